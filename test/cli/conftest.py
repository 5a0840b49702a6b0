"""Commands that load a model, run in an empty folder without one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from mirror_depth_ros.cli.main import app
from mirror_depth_ros.inference.estimator import DepthEstimator


class TwoMetres:
    """Stands in for a model: everything is two metres away."""

    model_name, device, precision = 'stand-in', torch.device('cpu'), 'fp32'
    backend = 'torch'
    has_confidence = False

    def estimate(self, rgb: np.ndarray, focal_px: float) -> np.ndarray:
        return np.full(rgb.shape[:2], 2.0, np.float32)


@pytest.fixture
def run_in_two_metres(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return a function that runs a command of `mirror_depth` by a model that says two metres."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(DepthEstimator, 'load', lambda *_, **__: TwoMetres())
    return lambda *arguments: CliRunner().invoke(app, [*map(str, arguments)])
