"""How long arrays take to become messages, beside a copy of as many bytes; prints JSON."""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
from std_msgs.msg import Header

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.evaluation.benchmark import HFOV_DEG, random_image
from mirror_depth_ros.evaluation.interleaved_timing import interleave, summarize_times, timed
from mirror_depth_ros.inference.process_tuning import tune_malloc
from mirror_depth_ros.ros.messages import MessageMemory, cloud_message, image_message


def main() -> int:
    """Measure, print, and return the process's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ('height', 'width', 'rounds'):
        parser.add_argument(name, type=int)
    options = parser.parse_args()
    tune_malloc()  # as the node does
    camera = CameraModel.from_fov(options.width, options.height, HFOV_DEG)
    header, rgb, rays = Header(), random_image(options.height, options.width), camera.rays
    depth = np.full(rgb.shape[:2], 2.0, np.float32)
    of_clouds, of_depths = MessageMemory(), MessageMemory()  # as each topic of the node has
    source, target = (np.ones(16 * depth.size, np.uint8) for _ in range(2))
    steps = [
        timed('copy', lambda: np.copyto(target, source)),
        timed('cloud', lambda: cloud_message(header, depth, rays, rgb, of_clouds)),
        timed('depth', lambda: image_message(header, '32FC1', depth, of_depths)),
    ]
    print(json.dumps(summarize_times(interleave(steps, rounds=options.rounds, warm_up=3))))
    return 0


if __name__ == '__main__':
    sys.exit(main())
