"""Images that did not come, by what the middleware and their CameraInfo say. Without ROS."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Losses:
    """Images of the last seconds that did not come."""

    #: Those that came.
    n_images: int = 0
    #: Those that the middleware says it lost.
    n_lost: int = 0
    #: Those whose CameraInfo came, between two images; 0 where the two are not stamped alike.
    n_missing: int = 0


def count_losses(
    stamps_ns: list[int], lost: list[tuple[float, int]], announced: list[tuple[float, int]]
) -> Losses:
    """Count the images that did not come.

    :param stamps_ns: of those that came; 0 where that is not set [ns].
    :param lost: when the middleware said that it had lost some, and how many.
    :param announced: when a CameraInfo came, and its stamp [ns].
    """
    n_lost = sum(n_images for _, n_images in lost)
    came = set(stamps_ns) - {0}
    infos = {stamp_ns for _, stamp_ns in announced}
    n_missing = 0
    if len(came & infos) > len(came) / 2:  # else the camera does not stamp the two alike
        # Between two that came: the CameraInfo of an image comes before it.
        n_missing = len({stamp for stamp in infos - came if min(came) < stamp < max(came)})
    return Losses(len(stamps_ns), n_lost, n_missing)
