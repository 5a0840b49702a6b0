"""The depth node as it is, with a model that options of the benchmark describe."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from mirror_depth_ros.inference.interfaces import Estimator
from mirror_depth_ros.ros.depth_node import DepthNode
from mirror_depth_ros.ros.process import own_arguments, run_node


def main() -> int:
    """Run the node until it is interrupted; return the process's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('subject', help='Subject.to_dict() as JSON')
    options = parser.parse_args(own_arguments(sys.argv, name='benchmark'))

    def load_estimator(*_: Any, **__: Any) -> Estimator:
        from mirror_depth_ros.evaluation.benchmark.subject import (
            Subject,
            load_network,
            make_estimator,
        )

        subject = Subject.from_dict(json.loads(options.subject))
        return make_estimator(load_network(subject), subject)

    return run_node(lambda: DepthNode(load_estimator=load_estimator), sys.argv, name='benchmark')


if __name__ == '__main__':
    sys.exit(main())
