"""The waiting policy is set where nobody has set it."""

from __future__ import annotations

import os

import pytest

from mirror_depth_ros.inference.threads import set_passive_omp_wait


def test_sets_the_policy_but_never_overrules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('OMP_WAIT_POLICY', raising=False)
    set_passive_omp_wait()
    assert os.environ['OMP_WAIT_POLICY'] == 'passive'
    monkeypatch.setenv('OMP_WAIT_POLICY', 'active')
    set_passive_omp_wait()
    assert os.environ['OMP_WAIT_POLICY'] == 'active'
