"""How many training pictures this machine renders a second: ``python -m`` this module."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from mirror_depth_ros.data.rendered_scenes import render_scenes


def images_per_second(
    count: int, *, height: int = 192, width: int = 256, processes: int | None = None
) -> float:
    """Render scenes of the training split, rooms and roads in turn, and time it.

    Geometry, shading, sensor, captions and writing all count. What it takes to start the processes
    is measured with a few pictures first, and taken off.

    :param count: how many pictures are timed.
    :param processes: worker processes; one per core by default.
    """
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for i, n in enumerate((8, 8 + count)):
            start = time.perf_counter()
            render_scenes(
                Path(folder) / str(i),
                split='train',
                count=n,
                height=height,
                width=width,
                processes=processes,
            )
            seconds.append(time.perf_counter() - start)
    return count / (seconds[1] - seconds[0])


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('--count', type=int, default=600, help='pictures to time')
    parser.add_argument('--height', type=int, default=192)
    parser.add_argument('--width', type=int, default=256)
    arguments = parser.parse_args()
    rate = images_per_second(arguments.count, height=arguments.height, width=arguments.width)
    size = f'{arguments.width}x{arguments.height}'
    print(json.dumps({'images_per_second': round(rate, 1), 'size': size, 'cores': os.cpu_count()}))


if __name__ == '__main__':
    main()
