"""Which frames of a camera that moves show the same from a bit aside."""

from __future__ import annotations

import numpy as np
import torch

from mirror_depth_ros.data.sample import DepthSample, LazySequence
from mirror_depth_ros.model.depth_network import DepthNetwork
from mirror_depth_ros.training.frame_views import Track
from mirror_depth_ros.training.pictures import resize, to_picture

#: How far the camera moved from a frame to its source, in shares of the median depth. Less shows
#: little depth beside the odometry's own error; with more, the two have little in common.
BASELINES = (0.05, 0.15)
#: How far it turned at most [degrees].
MAX_TURN_DEG = 15.0
# The median depth is that of so many frames.
_LOOKED_AT = 16


def choose_sources(where: Track, median_depth: float) -> dict[int, tuple[int, int]]:
    """Return the frames that others can be compared with, and those: one before and one after.

    Of the frames that are :data:`BASELINES` away, it is the nearest in time on either side; at the
    ends of a recording both are on one side and the same. A frame without any, where the camera
    stood still, is left out.

    :param median_depth: how far away most things are [m].
    :raises ValueError: if the camera stood still, or jumped, throughout.
    """
    least, most = (share * median_depth for share in BASELINES)
    positions, turns = where.poses[:, :3, 3], where.poses[:, :3, :3]
    sequences = np.unique(np.asarray(where.sequences), return_inverse=True)[1]
    chosen, farthest = {}, 0.0
    for i, position in enumerate(positions):
        baseline = np.linalg.norm(positions - position, axis=1)  # [N]
        cos = (np.einsum('nij,ij->n', turns, turns[i]) - 1) / 2
        is_same = sequences == sequences[i]
        farthest = max(farthest, baseline[is_same].max())
        fits = is_same & (baseline >= least) & (baseline <= most)
        fits &= cos >= np.cos(np.radians(MAX_TURN_DEG))
        before, after = np.flatnonzero(fits[:i])[-1:], i + np.flatnonzero(fits[i:])[:1]
        sources = [*before.tolist(), *after.tolist()]
        if sources:
            chosen[i] = (sources[0], sources[-1])
    if not chosen:
        raise ValueError(
            f'got {len(positions)} images, none of which has another of the same '
            f'recording {least:.3g} to {most:.3g} m beside it, with at most {MAX_TURN_DEG:.0f} '
            f'degrees between them (no two are more than {farthest:.3g} m apart; things are about '
            f'{median_depth:.3g} m away), expected a camera that moves by such steps; '
            'record while the robot drives, or record depth'
        )
    return chosen


@torch.inference_mode()
def median_depth(network: DepthNetwork, samples: LazySequence[DepthSample]) -> float:
    """Return how far away things are [m], as the network has it, of a few frames."""
    was_training, count = network.training, min(len(samples), _LOOKED_AT)
    device = next(network.parameters()).device
    network.eval()
    medians = []
    for number in range(count):
        picture = to_picture(samples[number * len(samples) // count], needs_depth=False)
        picture = resize(picture, network.input_size(*picture.size))
        image, focal_px = picture.image[None].to(device), picture.focal_px[None].to(device)
        depth = network(image / 255.0, focal_px)
        medians.append(float(depth.median()))
    network.train(was_training)
    return float(np.median(medians))
