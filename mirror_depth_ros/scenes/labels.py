"""What every pixel of a rendered picture shows, by name."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.scenes.render import RenderedFrame
from mirror_depth_ros.scenes.solids import Scene

#: Classes by number; 0 is the sky.
LABELS = (
    *('sky', 'wall', 'floor', 'ceiling', 'skirting', 'door', 'window', 'picture', 'lamp', 'table'),
    *('desk', 'chair', 'sofa', 'bed', 'shelf', 'cabinet', 'box', 'plant', 'rug', 'person'),
    *('road', 'pavement', 'grass', 'building', 'car', 'van', 'cyclist', 'tree', 'hedge', 'pole'),
    *('sign',),
)


def label_map(scene: Scene, frame: RenderedFrame) -> NDArray[np.uint8]:
    """Return the class of every pixel, an index into :data:`LABELS`, ``[H, W]``."""
    numbers = [LABELS.index(thing.name) for thing in scene.things]
    return np.array([*numbers, 0], np.uint8)[frame.things]  # -1, the sky, takes the last
