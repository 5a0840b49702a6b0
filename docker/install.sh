#!/usr/bin/env bash
# Installs the package in a ROS 2 workspace; docker/Dockerfile runs it, and so does Ubuntu with ROS 2:
#
#   . /opt/ros/kilted/setup.bash
#   docker/install.sh WORKSPACE [cpu|cuda]
#
# WORKSPACE/src has this repository; which wheels of PyTorch: cpu by default, or those for CUDA, which
# take some GB more. Made in WORKSPACE: .venv for what no distribution packages, build/ and install/.
set -euo pipefail

fail() {
    echo "install.sh: got $1" >&2
    exit 1
}

workspace=${1:-}
torch=${2:-cpu}
[ -d "$workspace/src" ] || fail "the workspace '$workspace', expected a folder with src/ in it; correct it"
case $torch in
    # From the usual index PyTorch comes for CUDA. torchvision has to be of the same kind.
    cpu) index=(--index-url https://download.pytorch.org/whl/cpu) ;;
    cuda) index=() ;;
    *) fail "'$torch' for PyTorch, expected cpu or cuda; correct the second argument" ;;
esac
[ -n "${AMENT_PREFIX_PATH:-}" ] || fail "no ROS 2, expected one; source /opt/ros/DISTRO/setup.bash first"

cd "$workspace"
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo)
"${as_root[@]}" apt-get update
"${as_root[@]}" apt-get install -y --no-install-recommends python3-venv
rosdep update --rosdistro "$ROS_DISTRO"
# Without what goes into .venv: rosdep installs it by a pip that Ubuntu 24.04 stops.
rosdep install --from-paths src --ignore-src -y --rosdistro "$ROS_DISTRO" \
    --skip-keys 'python3-torch python3-onnxruntime-pip python3-plyfile-pip'

python3 -m venv --system-site-packages .venv
touch .venv/COLCON_IGNORE
.venv/bin/pip install --no-cache-dir --upgrade "${index[@]}" torch torchvision
# numpy<2: OpenCV and cv_bridge of the distribution are built for it.
.venv/bin/pip install --no-cache-dir --upgrade \
    open_clip_torch safetensors onnxruntime plyfile typer av 'numpy<2'
colcon build --packages-select mirror_depth_ros
