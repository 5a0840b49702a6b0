"""The waiting policy is set where nobody has set it."""

from __future__ import annotations

import os

import pytest

from mirror_depth_ros.inference.threads import let_idle_threads_sleep


def test_sets_the_policy_but_never_overrules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('OMP_WAIT_POLICY', raising=False)
    let_idle_threads_sleep()
    assert os.environ['OMP_WAIT_POLICY'] == 'passive'
    monkeypatch.setenv('OMP_WAIT_POLICY', 'active')
    let_idle_threads_sleep()
    assert os.environ['OMP_WAIT_POLICY'] == 'active'
