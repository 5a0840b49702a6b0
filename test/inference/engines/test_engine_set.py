"""What kept engines depend on."""

from __future__ import annotations

from pathlib import Path

from mirror_depth_ros.inference.engines.engine_set import engine_sources


def test_an_engine_is_made_of_the_models_code_and_of_the_engines() -> None:
    package = Path(__file__).parents[3] / 'mirror_depth_ros'
    sources = {path.relative_to(package).as_posix() for path in engine_sources()}
    assert {'model/mirror_depth.py', 'model/pyramid_decoder.py'} <= sources
    assert {'inference/engines/onnx_export.py', 'inference/engines/engine_set.py'} <= sources
    assert {name.rpartition('/')[0] for name in sources} == {'model', 'inference/engines'}
