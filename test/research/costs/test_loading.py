from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from mirror_depth_ros.data.nyu import NyuFolder
from research.costs import loading
from research.costs.loading import StepClock, make_nyu_folder


def test_pictures_are_read_as_the_data_set_itself(tmp_path: Path) -> None:
    make_nyu_folder(tmp_path / 'nyu', pictures=2, listed=5)
    train, test = (NyuFolder(tmp_path / 'nyu', split=split) for split in ('train', 'test'))
    assert (len(train), len(test)) == (5, 1)
    assert [train.name_of(i) for i in (0, 1, 4)] == [
        'den_1/rgb_00000.jpg',
        'den_1/rgb_00001.jpg',
        'den_1/rgb_00000.jpg',
    ]
    depth = train[1].depth
    assert depth is not None
    assert 0.01 < np.isnan(depth).mean() < 0.3
    assert 0.5 < np.nanmin(depth) < np.nanmax(depth) < 8.0
    # What is decoded is about as large as the data set's own files are.
    sizes = {p.name: p.stat().st_size for p in (tmp_path / 'nyu' / 'sync' / 'den_1').iterdir()}
    assert 50_000 < sizes['rgb_00001.jpg'] < 150_000
    assert 150_000 < sizes['sync_depth_00001.png'] < 400_000


def clock_of(monkeypatch: pytest.MonkeyPatch, *, steps: int, workers: int) -> StepClock:
    """Steps of 2 s each, of which the first five waited for 1.5 s and all others for half one."""
    clock = StepClock()
    for step in range(1, steps + 1):
        waited_s = 1.5 * min(step, 5) + 0.5 * max(0, step - 5)
        loader = SimpleNamespace(
            num_workers=workers, prefetch_factor=2 if workers else None, waited_s=waited_s
        )
        monkeypatch.setattr(loading.time, 'perf_counter', lambda s=step: 2.0 * s)
        clock.on_train_batch_end(SimpleNamespace(train_dataloader=loader))  # type: ignore[arg-type]
    return clock


def test_what_was_loaded_in_advance_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    # 3 workers have 6 batches ready: steps 8 to 17 count, each of 2 s with 0.5 s of waiting.
    assert clock_of(monkeypatch, steps=17, workers=3).figures() == {
        'measured_steps': 10,
        'steps_per_s': 0.5,
        'data_wait': 0.25,
    }


def test_the_first_steps_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    # Step 5 waited for 1.5 s, and step 6 for 0.5 s.
    assert clock_of(monkeypatch, steps=6, workers=0).figures() == {
        'measured_steps': 2,
        'steps_per_s': 0.5,
        'data_wait': 0.5,
    }
    with pytest.raises(ValueError, match='got 4 steps, of which the first 4 are not measured, ex'):
        clock_of(monkeypatch, steps=4, workers=0).figures()


@pytest.mark.parametrize('features', ['computed', 'cached'])
def test_the_figures_of_a_training(
    tiny_network: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    features: str,
) -> None:
    network = {**tiny_network, 'taps': [0, 2], 'input_size': [96, 128]}
    recipe = {'model': {'network': network}, 'data': {'workers': 3}}
    (tmp_path / 'mine.yaml').write_text(yaml.safe_dump(recipe))
    options = {'config': tmp_path / 'mine.yaml', 'pictures': 8, 'steps': 6, 'batch-size': 2}
    options |= {'workers': 0, 'features': features, 'json': tmp_path / 'figures.json'}
    arguments = [f'--{name}={value}' for name, value in options.items()]
    monkeypatch.setattr('sys.argv', ['loading', *arguments, '--data.variants=1'])
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    loading.main()
    figures = json.loads((tmp_path / 'figures.json').read_text())
    assert {name: figures[name] for name in ('recipe', 'features', 'batch_size', 'workers')} == {
        'recipe': 'mine',
        'features': features,
        'batch_size': 2,
        'workers': 0,
    }
    assert figures['options'] == ['--data.variants=1']
    assert 0 < figures['data_wait'] < 1
    assert figures['steps_per_s'] > 0
    assert 200 < figures['peak_memory_mb'] < 20_000
    assert capsys.readouterr().out.endswith(json.dumps(figures, indent=2) + '\n')
    assert not list(tmp_path.glob('mirror_depth_loading_*'))
