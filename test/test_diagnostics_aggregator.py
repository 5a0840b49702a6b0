"""The analyzer for diagnostic_aggregator takes what the node says, and nothing else."""

from __future__ import annotations

from pathlib import Path

import yaml

CONFIG = Path(__file__).parents[1] / 'config' / 'diagnostics_aggregator.yaml'


def test_every_status_of_the_node_is_taken() -> None:
    parameters = yaml.safe_load(CONFIG.read_text())['analyzers']['ros__parameters']
    analyzer = parameters['depth']
    # As generic_analyzer.cpp reads them; what it does not know it would ignore.
    assert set(analyzer) == {'type', 'path', 'contains', 'timeout'}
    assert analyzer['type'] == 'diagnostic_aggregator/GenericAnalyzer'
    # Status names as docs/cameras.md has them: one camera, several, a namespace.
    ours = ['mirror_depth: depth', 'mirror_depth: front', 'robot/mirror_depth: depth']
    for name in ours:
        assert any(part in name for part in analyzer['contains'])
    assert not any(part in 'mirror: depth' for part in analyzer['contains'])
    assert analyzer['timeout'] > 1.0  # the node's period [s]
