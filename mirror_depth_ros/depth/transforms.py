"""Where the frames of a robot are to each other, by the rules of tf2, without ROS."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.poses import MAX_GAP_NS, pose_at, pose_matrix

# Publishers of one transform may be out of step by less than this; more is time that jumps [ns].
_JUMP_NS = 1_000_000_000


class TransformError(ValueError):
    """Two frames have no transform, whatever the time."""


class ExtrapolationError(TransformError):
    """Two frames have no transform at that time, but may have one at another."""


class TransformBuffer:
    """All transforms of a recording, each frame below its parent.

    As in tf2, a static transform holds at all times; between two of a moving one, the translation
    is linear and the rotation spherical-linear; nothing is extrapolated. Unlike there, nothing is
    interpolated over a gap of more than :data:`~mirror_depth_ros.depth.poses.MAX_GAP_NS`, and a
    frame whose parent changes is an error.
    """

    def __init__(self) -> None:
        # Of each frame, its place in each of its parents. More than one is an error.
        self._edges: dict[str, dict[str, _Edge]] = {}

    @property
    def frames(self) -> list[str]:
        """All frames, sorted."""
        return sorted({*self._edges, *(p for parents in self._edges.values() for p in parents)})

    def add(
        self,
        parent: str,
        child: str,
        stamp_ns: int,
        translation: Sequence[float],
        quaternion: Sequence[float],
        *,
        is_static: bool = False,
    ) -> None:
        """Remember where a frame was in its parent.

        :param translation: of the child's origin in the parent: x, y, z [m].
        :param quaternion: x, y, z, w, of the child's axes in the parent.
        :param is_static: whether it holds at all times; the last one counts.
        """
        edges = self._edges.setdefault(_plain(child), {})
        edge = edges.setdefault(_plain(parent), _Edge())
        edge.add(stamp_ns, (*translation, *quaternion), is_static=is_static)

    def has_parent(self, frame: str) -> bool:
        """Say whether it is known where a frame is in another."""
        return _plain(frame) in self._edges

    def lookup(self, target: str, source: str, stamp_ns: int) -> NDArray[np.float64]:
        """Return what moves points from one frame to another, ``[4, 4]`` [m].

        :param target: the frame in which the points are wanted.
        :param source: the frame in which they are; the result is also its pose in ``target``.
        :raises ExtrapolationError: where a transform between them is not known at that time.
        :raises TransformError: for a frame that is not known, two trees, a loop, a frame with two
            parents, or time that jumps back; it shows the tree.
        """
        target, source = _plain(target), _plain(source)
        up, down = self._path(target, source)
        return np.linalg.inv(self._climb(down, stamp_ns)) @ self._climb(up, stamp_ns)

    def lookup_between(
        self, target: str, target_ns: int, source: str, source_ns: int, *, fixed: str
    ) -> NDArray[np.float64]:
        """Return what moves points of one time to a frame of another, ``[4, 4]`` [m].

        :param fixed: the frame that has not moved in the world meanwhile, such as ``odom``.
        :raises TransformError: as :meth:`lookup`.
        """
        there = self.lookup(fixed, source, source_ns)
        return self.lookup(target, fixed, target_ns) @ there

    def is_static(self, target: str, source: str) -> bool:
        """Say whether one transform between two frames holds at all times.

        :raises TransformError: if they have none.
        """
        paths = self._path(_plain(target), _plain(source))
        return all(
            self._edges[child][parent].is_static for path in paths for child, parent in path
        )

    def describe(self) -> str:
        """Return all frames as text, each below its parent and further to the right."""
        children: dict[str, list[str]] = {}
        for child in sorted(self._edges):
            for parent in sorted(self._edges[child]):
                children.setdefault(parent, []).append(child)
        lines: list[str] = []
        shown: set[str] = set()

        def show(frame: str, indent: str, note: str) -> None:
            lines.append(f'{indent}{frame}{note}')
            if frame in shown:  # of a loop
                return
            shown.add(frame)
            for child in children.get(frame, []):
                is_static = self._edges[child][frame].is_static
                show(child, f'{indent}  ', ' (static)' * is_static)

        roots = [frame for frame in self.frames if frame not in self._edges]
        for root in [*roots, *self.frames]:  # a loop has no root
            if root not in shown:
                show(root, '  ', '')
        return '\n'.join(lines) or '  no transform at all'

    def _path(self, target: str, source: str) -> tuple[list[_Step], list[_Step]]:
        """Return the steps from the source, and from the target, up to where they meet."""
        if target == source:  # of which no transform need tell
            return [], []
        for frame in (target, source):
            if frame not in self._edges and frame not in self.frames:
                raise TransformError(
                    f'got frame {frame!r}, which no transform names, expected one of the tree; '
                    f'publish where it is on the robot (static_transform_publisher), and record '
                    f'/tf_static{self._shown()}'
                )
        up, down = self._ancestry(source), self._ancestry(target)
        if _root(up, source) != _root(down, target):
            raise TransformError(
                f'got frames {target!r} and {source!r} in two trees, expected one; publish a '
                f'transform that joins them, and record /tf and /tf_static{self._shown()}'
            )
        while up and down and up[-1] == down[-1]:
            up.pop()
            down.pop()
        return up, down

    def _ancestry(self, frame: str) -> list[_Step]:
        """Return the steps from a frame up to its root."""
        steps: list[_Step] = []
        while frame in self._edges:
            parents = sorted(self._edges[frame])
            if len(parents) > 1:
                raise TransformError(
                    f'got frame {frame!r} with the parents {" and ".join(map(repr, parents))}, '
                    f'expected one; let only one node publish it{self._shown()}'
                )
            steps.append((frame, parents[0]))
            frame = parents[0]
            if frame in (child for child, _ in steps):
                raise TransformError(
                    f'got transforms from {frame!r} up to itself, expected a tree; stop what '
                    f'publishes one of them{self._shown()}'
                )
        return steps

    def _climb(self, steps: list[_Step], stamp_ns: int) -> NDArray[np.float64]:
        """Return the pose of the first step's child in the last step's parent, ``[4, 4]``."""
        pose = np.eye(4)
        for child, parent in steps:
            try:
                pose = self._edges[child][parent].find(stamp_ns) @ pose
            except ExtrapolationError as error:
                raise ExtrapolationError(f'{error} (from {child!r} to {parent!r})') from None
            except ValueError as error:
                where = f'from {child!r} to {parent!r}'
                raise TransformError(f'{error} ({where}){self._shown()}') from None
        return pose

    def _shown(self) -> str:
        return f'; the tree:\n{self.describe()}'


def stamp_text(stamp_ns: int) -> str:
    """Return a stamp [ns] as seconds with all of its digits."""
    return f'{stamp_ns // 10**9}.{stamp_ns % 10**9:09d}'


# A frame and its parent.
_Step = tuple[str, str]


class _Edge:
    """One frame in its parent: once for all times, or by time."""

    def __init__(self) -> None:
        self._stamps_ns = array('q')
        # x, y, z, and the quaternion's x, y, z, w, of each stamp, one after the other: numbers of
        # 8 bytes, as a recording holds millions.
        self._values = array('d')
        self.is_static = False
        self._jump: tuple[int, int] | None = None

    def add(self, stamp_ns: int, values: Sequence[float], *, is_static: bool) -> None:
        if is_static or self.is_static:
            if is_static:
                self.is_static, self._stamps_ns = True, array('q', [stamp_ns])
                self._values = array('d', values)
            return
        stamps_ns = self._stamps_ns
        place = len(stamps_ns)
        if place and stamp_ns <= stamps_ns[-1]:
            if stamps_ns[-1] - stamp_ns > _JUMP_NS and self._jump is None:
                self._jump = (stamps_ns[-1], stamp_ns)
            place = bisect_left(stamps_ns, stamp_ns)
            if stamps_ns[place] == stamp_ns:  # as in tf2, the first of two counts
                return
        stamps_ns.insert(place, stamp_ns)
        self._values[7 * place : 7 * place] = array('d', values)

    def find(self, stamp_ns: int) -> NDArray[np.float64]:
        """Return the pose at a time, ``[4, 4]``."""
        if self.is_static:
            return self._pose(0)
        if self._jump is not None:
            raise ValueError(
                'got time that jumps back from {} to {} s, expected one run; was a recording '
                'played in a loop or the simulation reset? Record each run by itself'.format(
                    *map(stamp_text, self._jump)
                )
            )
        pose, stamps_ns = pose_at(self._stamps_ns, self._pose, stamp_ns), self._stamps_ns
        if pose is not None:
            return pose
        i = bisect_left(stamps_ns, stamp_ns)
        if not 0 < i < len(stamps_ns):
            raise ExtrapolationError(
                f'got the time {stamp_text(stamp_ns)} s, expected one from '
                f'{stamp_text(stamps_ns[0])} to {stamp_text(stamps_ns[-1])} s, in which the '
                'transform is known'
            )
        raise ExtrapolationError(
            f'got the time {stamp_text(stamp_ns)} s in a gap from {stamp_text(stamps_ns[i - 1])} '
            f'to {stamp_text(stamps_ns[i])} s, expected at most {MAX_GAP_NS / 1e9} s between '
            'transforms'
        )

    def _pose(self, i: int) -> NDArray[np.float64]:
        values = self._values[7 * i : 7 * i + 7]
        return pose_matrix(values[:3], values[3:])


def _plain(frame: str) -> str:
    """Return a frame's name as of tf2; before it, names began with a slash."""
    return frame.lstrip('/')


def _root(steps: list[_Step], frame: str) -> str:
    return steps[-1][1] if steps else frame
