"""Data sets by name: ``KIND:WHERE``, as the command line takes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.data.kitti import KittiFolder
from mirror_depth_ros.data.nyu import NyuFolder, NyuMat
from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.data.scene_samples import SceneSamples
from mirror_depth_ros.lazy_sequence import LazySequence

#: What can be named, for help and errors.
FORMS = (
    'nyu:FOLDER, nyu:FILE.mat, kitti:FOLDER, bag:FOLDER, frames:FOLDER, scenes:indoor or '
    'scenes:outdoor'
)


@dataclass(frozen=True)
class DataSet:
    """Samples, and how they are usually evaluated."""

    samples: LazySequence[DepthSample]
    #: A name in :data:`mirror_depth_ros.protocols.PROTOCOLS`.
    protocol: str
    #: How many of its images have no true depth and were left out.
    left_out: int = 0


def open_data(specification: str, *, scene_count: int, split: str = 'test') -> DataSet:
    """Open a data set.

    :param specification: one of :data:`FORMS`.
    :param scene_count: how many scenes of the split to take.
    :param split: ``train`` or ``test``; recordings and frame folders have no splits and are given
        whole.
    :raises ValueError: for another form, or a folder without images.
    :raises FileNotFoundError: for a file or folder that does not exist.
    """
    kind, _, where = specification.partition(':')
    if not where:
        kind = ''
    if kind == 'nyu':
        reader = NyuMat if Path(where).suffix == '.mat' else NyuFolder
        return DataSet(reader(where, split=split), 'nyu')
    if kind == 'kitti':
        kitti = KittiFolder(where, split=split, with_truth_only=True)
        return DataSet(kitti, 'kitti_garg_full', kitti.left_out)
    if kind == 'bag':
        from mirror_depth_ros.data.bag import BagFrames

        frames = BagFrames(where)
        return DataSet(frames, 'indoor', frames.unmatched)
    if kind == 'frames':
        return DataSet(FrameFolder(where), 'indoor')
    if kind == 'scenes':
        # The protocols of scenes bear the names of their kinds.
        return DataSet(SceneSamples(where, count=scene_count, split=split), where)
    raise ValueError(f'got data set {specification!r}, expected {FORMS}')
