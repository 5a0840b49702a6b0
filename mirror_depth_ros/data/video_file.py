"""Videos, frame by frame, as they are to be seen. PyAV decodes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from mirror_depth_ros.depth.picture_file import turn_upright

# EXIF's orientation for each of the eight ways that a display matrix may turn a frame: the signs
# of a, b, c and d, which take column p and row q to a p + c q and b p + d q (libavutil/display.h).
_ORIENTATIONS = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}

# The rate of a video that does not say it [Hz].
_SLOWEST_HZ = 10.0
# Matroska's times are in milliseconds, and its streams end together only about so [s].
_ROUNDING_S = 0.05


def count_frames(path: str | os.PathLike[str]) -> int:
    """Return how many frames a video's header promises, which is not always right; at least 1."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            estimated = (container.duration or 0) / av.time_base * float(stream.average_rate or 0)
            return max(1, stream.frames or round(estimated))
    except (FFmpegError, IndexError):
        return 1  # read_frames says what is wrong with it


def read_frames(
    path: str | os.PathLike[str], *, every: int = 1
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the numbers of a video's frames and the frames, RGB uint8 ``[H, W, 3]``.

    They are turned upright as the video's display matrix says. A damaged frame is left out, and
    the rest goes on.

    :param every: take only each ``every``-th frame, from the first.
    :raises ValueError: if it is no video; at its end, if frames were damaged or it has ended
        before its header says.
    """
    reading = _Reading()
    try:
        with av.open(str(path)) as container:
            for index, frame in enumerate(reading.frames(container)):
                if frame.is_corrupt:
                    reading.n_damaged += 1
                elif index % every == 0:
                    yield index, _upright(frame)
            lack = reading.lack(container)
    except FFmpegError as error:
        raise _no_video(path, str(error)) from error
    if not reading.n_frames:
        raise _no_video(path, lack or 'it holds no frame')
    if lack:
        raise ValueError(
            f'got {path} with {lack}, expected a whole video; copy it again, or take its depth '
            'as far as it goes'
        )


class _Reading:
    """What has been read of one video."""

    def __init__(self) -> None:
        self.n_frames = 0
        self.n_damaged = 0
        # Where the last packet ends: of the video, and of any stream [s].
        self._video_end_s = 0.0
        self._end_s = 0.0

    def frames(self, container: InputContainer) -> Iterator[VideoFrame]:
        """Yield the frames of a video as they are stored."""
        stream = next(iter(container.streams.video), None)
        if stream is None:
            return
        stream.thread_type = 'AUTO'
        for packet in _packets(container):
            if packet.dts is not None or packet.size:  # the last has neither: it empties decoders
                self._note(packet, stream)
            if packet.stream.index == stream.index:
                for frame in self._decode(packet):
                    self.n_frames += 1
                    yield frame

    def _decode(self, packet: Any) -> list[VideoFrame]:
        try:
            return list(packet.decode())
        except FFmpegError:
            self.n_damaged += 1
            return []

    def _note(self, packet: Any, stream: VideoStream) -> None:
        start = packet.pts if packet.pts is not None else packet.dts
        end_s = (
            0.0 if start is None else float((start + (packet.duration or 0)) * packet.time_base)
        )
        self._end_s = max(self._end_s, end_s)
        if packet.stream.index == stream.index:
            self._video_end_s = max(self._video_end_s, end_s)

    def lack(self, container: InputContainer) -> str:
        """Say what is missing of a video that has been read to its end; empty if nothing is."""
        lacks = [self._lack_of_end(container)] if container.streams.video else []
        if self.n_damaged:
            lacks.append(f'{self.n_damaged} damaged frame{"s" * (self.n_damaged > 1)} left out')
        return ' and '.join(filter(None, lacks))

    def _lack_of_end(self, container: InputContainer) -> str:
        """Compare the end with what the header says of it, where it does."""
        stream, kind = container.streams.video[0], container.format.name
        end_s, frame_s = self._video_end_s, 1 / float(stream.average_rate or _SLOWEST_HZ)
        if 'mp4' in kind and stream.duration is not None:  # of what an edit list leaves
            expected_s, tolerance_s = float(stream.duration * (stream.time_base or 0)), frame_s / 2
        elif kind == 'avi':  # the number of frames, and of gaps between them
            expected_s, tolerance_s = stream.frames * frame_s, frame_s / 2
        elif 'matroska' in kind:  # the longest stream's; the last frame's duration may be missing
            end_s, expected_s = self._end_s, (container.duration or 0) / av.time_base
            tolerance_s = frame_s + _ROUNDING_S
        else:
            return ''
        if expected_s - end_s <= tolerance_s:
            return ''
        return f'only {end_s:.2f} of the {expected_s:.2f} s that its header says'


def _packets(container: InputContainer) -> Iterator[Any]:
    """Yield a container's packets, as far as they can be told from one another."""
    try:
        yield from container.demux()
    except FFmpegError:
        return  # the comparison with the header says what is missing


def _upright(frame: VideoFrame) -> NDArray[np.uint8]:
    rgb = frame.to_ndarray(format='rgb24')
    return np.asarray(turn_upright(rgb, _orientation(frame)), np.uint8)


def _orientation(frame: VideoFrame) -> int:
    """Return the display matrix of a frame as EXIF's orientation; 1 where it has none."""
    side_data: Any = frame.side_data  # which PyAV's own types take for that of motion vectors
    matrix = side_data.get('DISPLAYMATRIX')
    if matrix is None:
        return 1
    a, b, _, c, d = np.sign(np.frombuffer(matrix, np.int32)[:5]).tolist()
    return _ORIENTATIONS.get((a, b, c, d), 1)


def _no_video(path: str | os.PathLike[str], reason: str) -> ValueError:
    return ValueError(
        f'got no frame from {path} ({reason}), expected a video that FFmpeg can decode; is it '
        'damaged or renamed?'
    )
