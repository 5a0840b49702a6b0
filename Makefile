# mirror_depth_ros: each target makes its own .venv on first use. `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RESEARCH_STAMP := $(VENV)/.installed-research
JAZZY := .venv-jazzy
JAZZY_STAMP := $(JAZZY)/.installed
DEMO_SECONDS ?= 10
DEMO_OUTPUT ?= demo_output
PYTEST_ARGS ?=
COSTS := $(BIN)/python -m research.costs
# Folders of recordings for `make builtin`, to train on and to validate on.
REAL ?= build/real
PHOTOGRAPHS ?= build/photographs
# Tests at a time, besides those marked serial; more than cores, as most wait most of the time.
WORKERS ?= 4
# Of an environment, the tests in a folder: many at a time, then those that must be alone. Either
# part may be empty (5) where PYTEST_ARGS chooses tests.
define pytest
HF_HUB_OFFLINE=1 $(1)/bin/python -m pytest $(2) -n $(WORKERS) --dist worksteal \
    -m 'not soak and not serial' $(PYTEST_ARGS) || [ $$? -eq 5 ]
HF_HUB_OFFLINE=1 $(1)/bin/python -m pytest $(2) -m 'serial and not soak' $(PYTEST_ARGS) || [ $$? -eq 5 ]
endef
# What `make soak` draws from.
SEED := $(shell od -An -N4 -tu4 /dev/urandom | tr -d " ")
# Those with rows in docs/reliability.md.
SOAK_TESTS := test/test_random_messages.py test/model/test_damaged_files.py $(addprefix test/ros/test_, \
    faults.py disk_full.py lifecycle.py overload.py delivery.py soak.py)

# The .venv has a ROS 2 of its own: one that the calling shell has sourced must not leak into it.
ifdef AMENT_PREFIX_PATH
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH
unexport RMW_IMPLEMENTATION ROS_DISTRO
endif

.DEFAULT_GOAL := help
.PHONY: help demo test test-research test-gpu soak performance test-jazzy lint format builtin clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## camera -> depth and point cloud over real ROS 2, pictures in demo_output/
	$(BIN)/mirror_depth demo --seconds $(DEMO_SECONDS) --output $(DEMO_OUTPUT)
	@echo 'Look into $(DEMO_OUTPUT)/: pictures (PNG), the point clouds (cloud.ply) and summary.json.'

test: lint ## linters, types, import arrows and all tests of the package
	$(call pytest,$(VENV))

test-research: $(RESEARCH_STAMP) ## the tests of research/
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest test/research $(PYTEST_ARGS)

# Nothing is installed for it: on a machine with a GPU and its own PyTorch, PYTHON has what there is.
test-gpu: ## the tests that need a GPU, with .venv or, where there is none, with PYTHON
	HF_HUB_OFFLINE=1 $(or $(wildcard $(BIN)/python),$(PYTHON)) -m pytest -m gpu $(PYTEST_ARGS)

soak: export RELIABILITY = write
soak: export MIRROR_DEPTH_DRAWS = fresh
soak: $(STAMP) ## what docs/reliability.md says, tried anew: about 20 minutes
	@echo 'Drawing at random from the seed $(SEED); the same again: make soak SEED=$(SEED)'
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest --hypothesis-seed=$(SEED) -m '' $(SOAK_TESTS)
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest --hypothesis-seed=$(SEED) -m hypothesis
	$(BIN)/python -m research.pages.results_page docs/reliability.md

# In int8 there are matrix products alone, which the built-in model's convolutional tower has none of;
# OpenVINO's bf16 is refused for that model.
performance: export OMP_WAIT_POLICY = passive
performance: $(STAMP) ## what docs/performance.md says, measured anew: about 15 minutes of nothing else
	mkdir -p docs/performance/accuracy
	for run in torch:bf16 openvino:bf16 onnxruntime:fp32 onnxruntime:int8; do \
	    backend=$${run%:*}; precision=$${run#*:}; \
	    options="--backend $$backend --precision $$precision"; name=$${backend}_$$precision; \
	    [ $$precision = int8 ] || [ $$name = openvino_bf16 ] || $(COSTS) node $$options --json docs/performance/cost_builtin_$$name.json \
	        || exit 1; \
	    $(COSTS) node $$options --clip ViT-B-16 --size 352 352 \
	        --json docs/performance/cost_vit_b16_$$name.json || exit 1; done
	$(COSTS) transport --rounds 30 --json docs/performance/transport.json
	$(COSTS) start-up --rounds 10 --json docs/performance/start_up.json
	$(COSTS) growth --rounds 7 --backend torch --json docs/performance/growth.json
	for run in torch:fp32 torch:bf16 onnxruntime:fp32 openvino:fp32; do \
	    backend=$${run%:*}; precision=$${run#*:}; \
	    for video in room:indoor street:outdoor; do kind=$${video#*:}; \
	    $(BIN)/mirror_depth evaluate --data frames:resource/demo/rendered/$${video%:*} --protocol $$kind \
	        --backend $$backend --precision $$precision --no-per-image \
	        --json docs/performance/accuracy/$${backend}_$${precision}_$$kind.json || exit 1; done; done
	$(BIN)/python -m research.pages.results_page docs/performance.md

test-jazzy: $(JAZZY_STAMP) ## the tests that need ROS 2 once more, on Jazzy in place of Kilted
	@$(JAZZY)/bin/python -c 'from importlib.metadata import version as v; print("rclpy", v("ros-rclpy"))'
	$(call pytest,$(JAZZY),test/ros)

lint: $(STAMP) ## linters, types and import arrows only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(STAMP) ## rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

builtin: export OMP_WAIT_POLICY = passive
builtin: $(RESEARCH_STAMP) ## train the built-in model anew; research/README.md has what it needs before
	$(BIN)/python -m research.builtin.train --real $(REAL) --photographs $(PHOTOGRAPHS) --output resource/models

clean: ## remove .venv and everything built, but not what `make builtin` has worked out
	rm -rf $(VENV) $(JAZZY) install log demo_output *.egg-info $(filter-out build/builtin,$(wildcard build/*))
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# An existing .venv is adopted where its Python and pip work, and repaired where they do not.
$(STAMP): setup.py setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	    echo 'got "$(PYTHON)" missing or older than Python 3.10; install a newer one' \
	        'and run: make PYTHON=/path/to/python3' >&2; exit 1; }
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv $(VENV) || { \
	    echo 'could not make $(VENV); on Debian and Ubuntu: apt install python3-venv,' \
	        'then run: rm -rf $(VENV) and try again' >&2; exit 1; }
	@echo 'Installing into $(VENV); the first time this downloads PyTorch and ROS 2 and takes minutes.'
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[ros,accelerate,train,test,view]'
	@touch $@

$(RESEARCH_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[research]'
	@touch $@

# ROS 2 of its own, and everything else from .venv: PyTorch alone is 6 GB.
$(JAZZY_STAMP): $(STAMP) requirements-jazzy.txt
	$(BIN)/python -m venv --clear $(JAZZY)
	$(JAZZY)/bin/python -m pip install --quiet -r requirements-jazzy.txt
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	    > "$$($(JAZZY)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/shared.pth"
	$(JAZZY)/bin/python -m pip install --quiet --no-deps -e .
	@touch $@
