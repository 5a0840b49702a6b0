"""A training's memory: that of its network and one batch, however large the data set is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from research.costs.loading import make_nyu_folder

ROOT = Path(__file__).parents[2]
# Pictures of the two data sets. Opened, one takes 640 x 480 x (3 + 4) bytes = 2.2 MB; what is
# cached of its four variants takes 4 x 384 x 512 x 2 bytes = 1.6 MB for depth alone.
SMALL, LARGE = 8, 48
# Of those 40 pictures, 86 MB opened or 63 MB cached, nothing may stay in memory. Counted is all
# that is resident, mapped files included, although the kernel may take their pages back: whoever
# looks at a training does the same. Two equal trainings differ by up to 15 MB.
ALLOWED_MB = 30

TRAIN = """
import json, resource, sys
from mirror_depth_ros.cli.main import app
from mirror_depth_ros.training import feature_cache

# Even the small data set is encoded in some batches: the heap grows during the first of them.
feature_cache._BATCH = 4
app(['train', *sys.argv[1:]], standalone_mode=False)
whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
print(json.dumps([resource.getrusage(who).ru_maxrss * 1024 / 1e6 for who in whose]))
"""


@pytest.fixture(scope='module')
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Make the two data sets, in NYU's format and size."""
    folders = [tmp_path_factory.mktemp('nyu') for _ in range(2)]
    for folder, count in zip(folders, (SMALL, LARGE)):
        make_nyu_folder(folder, pictures=count)
    return folders


def start(data: Path, network: dict[str, Any], output: Path, **options: Any) -> Any:
    """Train on a data set for as many steps as show each picture of the larger one once."""
    steps = LARGE // 2
    recipe = {
        'model': {'network': {**network, 'taps': list(network['taps']), 'input_size': [384, 512]}},
        'data': {'batch_size': 2, **options},
        'trainer': {
            'max_steps': steps,
            'max_epochs': -1,
            'check_val_every_n_epoch': None,
            'val_check_interval': steps,
            'num_sanity_val_steps': 0,
            'logger': False,
            'accelerator': 'cpu',
        },
    }
    output.mkdir()
    (output / 'mine.yaml').write_text(yaml.safe_dump(recipe))
    arguments = ['--config', output / 'mine.yaml', '--data', f'nyu:{data}', '--output', output]
    return subprocess.Popen(
        [sys.executable, '-c', TRAIN, *map(str, arguments)],
        cwd=ROOT,
        # One thread: how many share the heap decides how much of it is lost between them.
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize(
    'options',
    [{'workers': 1}, {'workers': 0, 'features': 'cached', 'variants': 4}],
    ids=['computed', 'cached'],
)
def test_memory_does_not_grow_with_the_data_set(
    folders: list[Path], tiny_network: dict[str, Any], tmp_path: Path, options: dict[str, Any]
) -> None:
    trainings = [
        start(folder, tiny_network, tmp_path / str(i), **options)
        for i, folder in enumerate(folders)
    ]
    peaks_mb = []
    for training in trainings:
        output, errors = training.communicate(timeout=110)
        assert training.returncode == 0, errors
        peaks_mb.append(json.loads(output.splitlines()[-1]))
    for small_mb, large_mb in zip(*peaks_mb):  # of the training, and of its largest worker
        assert large_mb < small_mb + ALLOWED_MB, peaks_mb
