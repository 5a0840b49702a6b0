"""Data sets by name: ``KIND:WHERE``, as the command line takes them."""

from __future__ import annotations

from collections.abc import Sequence

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.data.scene_samples import SceneSamples

#: What can be named, for help and errors.
FORMS = 'scenes:indoor, scenes:outdoor or frames:FOLDER'


def open_data(specification: str, *, scene_count: int) -> Sequence[DepthSample]:
    """Open a data set.

    :param specification: one of :data:`FORMS`.
    :param scene_count: how many of the unseen test scenes to take.
    :raises ValueError: for another form, or a folder without images.
    :raises FileNotFoundError: for a folder that does not exist.
    """
    kind, _, where = specification.partition(':')
    if kind == 'scenes' and where:
        return SceneSamples(where, count=scene_count)
    if kind == 'frames' and where:
        return FrameFolder(where)
    raise ValueError(f'got data set {specification!r}, expected {FORMS}')
