from __future__ import annotations

import functools
import json
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import Reader, ReaderError
from typer.testing import CliRunner

from mirror_depth_ros.cli.main import app

H, W = 37, 53
DEPTH = '/mirror_depth/depth/image'
# The command with a pause in the place of the model, without PyTorch, whose import takes seconds.
SLOW = """
    import sys, time, types
    import numpy as np
    from mirror_depth_ros.cli.main import app

    class Slow:
        model_name, device, precision, backend = 'slow', 'cpu', 'fp32', 'torch'

        @classmethod
        def load(cls, *_, **__):
            return cls()

        def estimate(self, rgb, focal_px):
            time.sleep(0.05)
            return np.full(rgb.shape[:2], 2 + rgb[0, 0, 0] / 100, np.float32)

    module = types.ModuleType('mirror_depth_ros.inference.estimator')
    module.DepthEstimator = Slow
    sys.modules[module.__name__] = module
    app(sys.argv[1:])
"""


@pytest.fixture
def run(run_in_two_metres):
    """Return a function that runs `mirror_depth bag` in a folder of recordings."""
    return functools.partial(run_in_two_metres, 'bag')


@pytest.fixture
def recording(bag_maker):
    """Write a recording of images in the folder ``bag``."""

    def recording(count=3, heights=None):
        messages = [('/camera_info', bag_maker.info(W, H))]
        for i in range(count):
            height = H if heights is None else heights[i]
            pixels = np.full((height, W, 3), i, np.uint8)
            messages.append(('/image_raw', bag_maker.image(pixels, 'rgb8', i * 10**8)))
        return bag_maker.write(messages)

    return recording


def raw(path):
    """Return topic, time and bytes of all messages, as ros2 bag's rules have it."""
    with Reader(path) as reader:
        return [(c.topic, log_ns, bytes(data)) for c, log_ns, data in reader.messages()]


def count_depth(path):
    return [topic for topic, _, _ in raw(path)].count(DEPTH)


def start(*arguments):
    command = [sys.executable, '-c', textwrap.dedent(SLOW), 'bag', *arguments]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What runs in the background of a script ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_depth(path, at_least, process):
    """Wait until a recording that is being written has so many depth images."""
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        assert process.poll() is None, process.communicate()
        # Each look is at a recording that another process is writing; between the last one's
        # and its own, there is a moment without any.
        with suppress(ReaderError, FileNotFoundError):
            if (path / 'metadata.yaml').is_file() and count_depth(path) >= at_least:
                return
        time.sleep(0.02)
    raise TimeoutError(f'no {at_least} depth images in {path}')


def test_a_recording_and_its_summary(run, recording):
    recording()
    result = run('bag', '-o', 'out', '--cloud', '--json', 'summary.json')
    assert result.exit_code == 0, result.output
    summary = json.loads(Path('summary.json').read_text())
    assert (summary['images'], summary['failed']) == (3, [])
    # Recorded 5 ms after the stamps of 0 (CameraInfo, first image) to 0.2 s.
    assert summary['recorded_s'] == pytest.approx(0.2)
    topics = [f'/mirror_depth/{name}' for name in ('depth/camera_info', 'depth/image')]
    assert summary['topics'] == [*topics, '/mirror_depth/depth/preview', '/mirror_depth/points']
    assert count_depth('out') == 3
    assert DEPTH in ' '.join(result.stdout.split())
    again = run('bag', '-o', 'out')
    assert again.exit_code == 1
    assert 'mirror_depth_state finished' in again.stderr
    assert '--overwrite' in again.stderr
    assert run('bag', '-o', 'out', '--overwrite', '--image', '/image_raw').exit_code == 0
    assert [f.name for f in sorted(Path('out').iterdir())] == ['metadata.yaml', 'out.mcap']
    assert '/mirror_depth/points' not in {topic for topic, _, _ in raw('out')}


def test_an_image_that_fails_is_named_and_the_exit_code_is_1(run, recording):
    recording(3, heights=[H, 20, H])
    result = run('bag', '-o', 'out')
    assert result.exit_code == 1
    assert 'failed: /image_raw at 100000000 ns: got an image of 53 x 20' in result.stderr
    assert '1 of 3 images failed' in result.stderr
    assert count_depth('out') == 2


def test_help_teaches(run):
    result = run('--help')
    assert 'mirror_depth bag drive/ --output drive_depth' in result.output


def test_killed_it_leaves_a_recording_and_goes_on(recording, tmp_path):
    source = str(recording(150))
    whole = start(source, '-o', str(tmp_path / 'whole'))
    output = tmp_path / 'out'
    for at_least in (2, 7):  # killed twice; the second time, it has gone on from the first
        process = start(source, '-o', str(output))
        wait_for_depth(output, at_least, process)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        part = raw(output)
        assert at_least <= count_depth(output) < 150
    last = start(source, '-o', str(output))
    assert last.communicate()[0].startswith(str(output))
    assert (last.returncode, whole.communicate() and whole.returncode) == (0, 0)
    messages = raw(tmp_path / 'whole')
    assert part == messages[: len(part)]
    assert raw(output) == messages
    assert sorted(f.name for f in tmp_path.iterdir()) == ['bag', 'out', 'whole']


def test_interrupted_it_says_how_to_go_on(recording, tmp_path):
    output = tmp_path / 'out'
    process = start(str(recording(250)), '-o', str(output))  # more than it comes to
    wait_for_depth(output, 2, process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130, stderr
    message = ' '.join(stderr.split())
    assert f'of 250 images: {output} is a recording of these; the same command goes on' in message
    assert 2 <= count_depth(output) < 250


def test_the_built_in_model(recording, tmp_path):
    arguments = ['bag', str(recording(2)), '-o', str(tmp_path / 'out'), '--no-preview']
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert count_depth(tmp_path / 'out') == 2
