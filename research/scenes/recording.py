"""Frames with depth and poses as a robot would have recorded them: images, lidar, odometry.

``python -m research.scenes.recording --help``
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.depth.camera import CameraModel, back_project
from mirror_depth_ros.depth.ground_plane import fit_ground_plane

#: Images a second.
RATE_HZ = 10
_START_NS = 1_700_000_000 * 10**9
# Of a camera that looks ahead, and of the lidar beside it: x right, y down, z ahead in x ahead, y
# left, z up (REP-103).
_OPTICAL = Rotation.from_quat([-0.5, 0.5, -0.5, 0.5])
_BODY_OF_OPTICAL = np.eye(4)
_BODY_OF_OPTICAL[:3, :3] = _OPTICAL.as_matrix()
_BEAM_RAD = np.radians(0.25)


class OdometryErrors:
    """What wheels make of a way: another scale, noise in each step, a turn that drifts.

    :param scale: of every step.
    :param noise: a standard deviation, as a share of each step.
    :param heading_deg: a standard deviation after a metre [degrees].
    """

    def __init__(self, scale: float, noise: float, heading_deg: float, *, seed: int = 0) -> None:
        self._scale, self._noise, self._heading_deg = scale, noise, heading_deg
        self._random = np.random.default_rng(seed)

    def of(self, poses: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
        """Return the poses ``[4, 4]`` as odometry has them, the first as it is."""
        measured = [poses[0]]
        for before, after in pairwise(poses):
            step = np.linalg.inv(before) @ after
            length = float(np.linalg.norm(step[:3, 3]))
            step[:3, 3] *= self._scale
            step[:3, 3] += self._random.normal(0, self._noise * length / np.sqrt(3), 3)
            turn = np.radians(self._random.normal(0, self._heading_deg * np.sqrt(length)))
            step[:3, :3] = Rotation.from_rotvec([0, 0, turn]).as_matrix() @ step[:3, :3]
            measured.append(measured[-1] @ step)
        return measured


def scan_ranges(sample: DepthSample) -> tuple[float, NDArray[np.float32]]:
    """Return what a lidar in the camera's place, of one level turn, measures of what that sees.

    :returns: the first angle, counted to the left [rad], and ranges a quarter of a degree apart.
    """
    depth = _depth_of(sample)
    camera = sample.camera
    row = round(camera.cy)
    first, last = (
        -np.arctan((column - camera.cx) / camera.fx) for column in (camera.width - 1, 0)
    )
    angles = np.arange(first, last, _BEAM_RAD)
    columns = np.round(camera.cx - camera.fx * np.tan(angles)).astype(int)
    ranges = depth[row, columns.clip(0, camera.width - 1)] / np.cos(angles)
    return float(first), np.nan_to_num(ranges, nan=np.inf).astype(np.float32)


class LevelLidar:
    """A lidar under the camera that turns in a plane above the floor, which is found in depth.

    :param height: its own above the floor [m].
    """

    # A beam hits what reaches so far above or below its plane [m].
    _THICKNESS_M = 0.03

    def __init__(self, height: float) -> None:
        self._height = height
        #: In the frame on the floor, ``[4, 4]``.
        self.pose = np.eye(4)
        self.pose[2, 3] = height

    def floor(self, sample: DepthSample) -> NDArray[np.float64]:
        """Return the pose of the place on the floor under the camera in its optical frame.

        :raises ValueError: if no floor is in view.
        """
        plane = fit_ground_plane(_depth_of(sample), sample.camera)
        ahead = np.array([0.0, 0.0, 1.0]) - plane.normal[2] * plane.normal
        ahead /= np.linalg.norm(ahead)
        pose = np.eye(4)
        pose[:3, :3] = np.column_stack([ahead, np.cross(plane.normal, ahead), plane.normal])
        pose[:3, 3] = -plane.distance * plane.normal
        return pose

    def ranges(
        self, sample: DepthSample, floor: NDArray[np.float64]
    ) -> tuple[float, NDArray[np.float32]]:
        """Return what it measures of what the camera sees, as :func:`scan_ranges` does.

        :raises ValueError: if that is nothing.
        """
        points = back_project(_depth_of(sample), sample.camera.rays).reshape(-1, 3)
        x, y, z = ((points - floor[:3, 3]) @ floor[:3, :3]).T
        with np.errstate(invalid='ignore'):
            is_hit = np.abs(z - self._height) < self._THICKNESS_M
        if not is_hit.any():
            raise ValueError(
                f'got nothing {self._height} m above the floor in {sample.name}, expected what a '
                'lidar hits there; give another height'
            )
        angles, distances = np.arctan2(y, x)[is_hit], np.hypot(x, y)[is_hit]
        first = float(angles.min())
        numbers = np.round((angles - first) / _BEAM_RAD).astype(int)
        ranges = np.full(numbers.max() + 1, np.inf, np.float32)
        np.minimum.at(ranges, numbers, distances.astype(np.float32))
        return first, ranges


def ring_points(sample: DepthSample, rings: int, *, step: int = 3) -> NDArray[np.float32]:
    """Return the points of a lidar of several rows, in body axes, ``[N, 3]`` [m].

    :param rings: rows, evenly over the picture.
    :param step: columns from point to point.
    """
    depth, camera = _depth_of(sample), sample.camera
    rows = np.round((np.arange(rings) + 0.5) * camera.height / rings - 0.5).astype(int)
    chosen = np.zeros(depth.shape, bool)
    chosen[rows, ::step] = True
    chosen &= np.isfinite(depth)
    rays = np.column_stack([camera.rays[chosen], np.ones(np.count_nonzero(chosen))])
    return _OPTICAL.apply(depth[chosen, None] * rays).astype(np.float32)


def write_recording(
    samples: Sequence[DepthSample],
    folder: Path,
    *,
    scan: bool | LevelLidar,
    rings: int,
    depth: bool,
    odometry: OdometryErrors | None,
) -> None:
    """Write samples as a recording of one MCAP file.

    :param scan: with what a lidar of one beam measures, ``/scan``, in the camera's place or as
        that lidar has it.
    :param rings: with ``/points`` of a lidar of so many rows, where not 0.
    :param depth: with depth images.
    :param odometry: with ``/odom``, as these errors have it.
    """
    if rings and isinstance(scan, LevelLidar):
        raise ValueError('got rings beside a level lidar, expected one of them; write two')
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    make = _Messages(store)
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections: dict[str, Any] = {}

        def write(topic: str, stamp_ns: int, message: Any) -> None:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            writer.write(connections[topic], stamp_ns, store.serialize_cdr(message, kind))

        lidar = ('base_link', 'laser', np.eye(4))
        if isinstance(scan, LevelLidar):
            lidar = ('base_footprint', 'laser', scan.pose)
        for mounted in (('base_link', 'camera_optical', _BODY_OF_OPTICAL), lidar):
            write('/tf_static', _START_NS, make.transform(*mounted, _START_NS))
        poses = [_pose_of(sample) for sample in samples] if odometry is not None else []
        for i, sample in enumerate(samples):
            stamp_ns = _START_NS + i * 10**9 // RATE_HZ
            write('/camera/image_raw/compressed', stamp_ns, make.jpeg(sample.rgb, stamp_ns))
            write('/camera/camera_info', stamp_ns, make.info(sample.camera, stamp_ns))
            if depth:
                write('/camera/depth/image_raw', stamp_ns, make.depth(_depth_of(sample), stamp_ns))
            if isinstance(scan, LevelLidar):
                floor = scan.floor(sample)
                place = ('base_link', 'base_footprint', _BODY_OF_OPTICAL @ floor)
                write('/tf', stamp_ns, make.transform(*place, stamp_ns))
                write('/scan', stamp_ns, make.scan(*scan.ranges(sample, floor), stamp_ns))
            elif scan:
                write('/scan', stamp_ns, make.scan(*scan_ranges(sample), stamp_ns))
            if rings:
                write('/points', stamp_ns, make.cloud(ring_points(sample, rings), stamp_ns))
        if odometry is not None:
            for i, pose in enumerate(odometry.of(poses)):
                stamp_ns = _START_NS + i * 10**9 // RATE_HZ
                write('/odom', stamp_ns, make.odometry(pose, stamp_ns))


def _depth_of(sample: DepthSample) -> NDArray[np.float32]:
    if sample.depth is None:
        raise ValueError(f'got {sample.name} without depth, expected it to make a lidar of it')
    return sample.depth


def _pose_of(sample: DepthSample) -> NDArray[np.float64]:
    """Return where the robot's base is: its axes are those of the body, its place the camera's."""
    if sample.pose is None:
        raise ValueError(f'got {sample.name} without pose, expected it to make odometry of it')
    pose = sample.pose.copy()
    pose[:3, :3] = pose[:3, :3] @ _OPTICAL.inv().as_matrix()
    return pose


class _Messages:
    """Makes messages of arrays."""

    def __init__(self, store: Any) -> None:
        self._types = store.types

    def make(self, kind: str, **fields: Any) -> Any:
        package, name = kind.split('/')
        return self._types[f'{package}/msg/{name}'](**fields)

    def header(self, frame: str, stamp_ns: int) -> Any:
        seconds, nanoseconds = divmod(stamp_ns, 10**9)
        stamp = self.make('builtin_interfaces/Time', sec=seconds, nanosec=nanoseconds)
        return self.make('std_msgs/Header', stamp=stamp, frame_id=frame)

    def jpeg(self, rgb: NDArray[np.uint8], stamp_ns: int) -> Any:
        quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
        data = cv2.imencode('.jpg', cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), quality)[1]
        header = self.header('camera_optical', stamp_ns)
        return self.make(
            'sensor_msgs/CompressedImage', header=header, format='jpeg', data=data.ravel()
        )

    def depth(self, depth: NDArray[np.float32], stamp_ns: int) -> Any:
        height, width = depth.shape
        return self.make(
            'sensor_msgs/Image',
            header=self.header('camera_optical', stamp_ns),
            height=height,
            width=width,
            encoding='32FC1',
            is_bigendian=0,
            step=4 * width,
            data=np.ascontiguousarray(depth, '<f4').view(np.uint8).ravel(),
        )

    def info(self, camera: CameraModel, stamp_ns: int) -> Any:
        matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]], float)
        sides = dict.fromkeys(('x_offset', 'y_offset', 'height', 'width'), 0)
        return self.make(
            'sensor_msgs/CameraInfo',
            header=self.header('camera_optical', stamp_ns),
            height=camera.height,
            width=camera.width,
            distortion_model='plumb_bob',
            d=np.zeros(5),
            k=matrix.ravel(),
            r=np.eye(3).ravel(),
            p=np.column_stack([matrix, np.zeros(3)]).ravel(),
            binning_x=0,
            binning_y=0,
            roi=self.make('sensor_msgs/RegionOfInterest', do_rectify=False, **sides),
        )

    def scan(self, first: float, ranges: NDArray[np.float32], stamp_ns: int) -> Any:
        return self.make(
            'sensor_msgs/LaserScan',
            header=self.header('laser', stamp_ns),
            angle_min=first,
            angle_max=first + (len(ranges) - 1) * _BEAM_RAD,
            angle_increment=_BEAM_RAD,
            time_increment=0.0,
            scan_time=1 / RATE_HZ,
            range_min=0.05,
            range_max=100.0,
            ranges=ranges,
            intensities=np.zeros(0, np.float32),
        )

    def cloud(self, points: NDArray[np.float32], stamp_ns: int) -> Any:
        fields = [
            self.make('sensor_msgs/PointField', name=name, offset=4 * i, datatype=7, count=1)
            for i, name in enumerate('xyz')
        ]
        return self.make(
            'sensor_msgs/PointCloud2',
            header=self.header('laser', stamp_ns),
            height=1,
            width=len(points),
            fields=fields,
            is_bigendian=False,
            point_step=12,
            row_step=12 * len(points),
            data=np.ascontiguousarray(points, '<f4').view(np.uint8).ravel(),
            is_dense=True,
        )

    def transform(self, parent: str, child: str, pose: NDArray[np.float64], stamp_ns: int) -> Any:
        turn = Rotation.from_matrix(pose[:3, :3]).as_quat()
        transform = self.make(
            'geometry_msgs/Transform',
            translation=self._numbers('Vector3', pose[:3, 3].tolist()),
            rotation=self._numbers('Quaternion', turn),
        )
        stamped = self.make(
            'geometry_msgs/TransformStamped',
            header=self.header(parent, stamp_ns),
            child_frame_id=child,
            transform=transform,
        )
        return self.make('tf2_msgs/TFMessage', transforms=[stamped])

    def odometry(self, pose: NDArray[np.float64], stamp_ns: int) -> Any:
        turn = Rotation.from_matrix(pose[:3, :3]).as_quat()
        place = self.make(
            'geometry_msgs/Pose',
            position=self._numbers('Point', pose[:3, 3].tolist()),
            orientation=self._numbers('Quaternion', turn),
        )
        still = self.make(
            'geometry_msgs/Twist',
            linear=self._numbers('Vector3', (0, 0, 0)),
            angular=self._numbers('Vector3', (0, 0, 0)),
        )
        unknown = np.zeros(36)
        return self.make(
            'nav_msgs/Odometry',
            header=self.header('odom', stamp_ns),
            child_frame_id='base_link',
            pose=self.make('geometry_msgs/PoseWithCovariance', pose=place, covariance=unknown),
            twist=self.make('geometry_msgs/TwistWithCovariance', twist=still, covariance=unknown),
        )

    def _numbers(self, kind: str, values: Sequence[float]) -> Any:
        return self.make(f'geometry_msgs/{kind}', **dict(zip('xyzw', map(float, values))))


def main(
    frames: Annotated[Path, typer.Option(help='Folder of frames with depth, and poses.')],
    output: Annotated[Path, typer.Option(help='The new recording.')],
    scan: Annotated[bool, typer.Option(help='With a lidar of one beam.')] = False,
    level_scan: Annotated[
        float, typer.Option(help='With one so high above the floor, and where that is [m].')
    ] = 0.0,
    rings: Annotated[int, typer.Option(help='With a lidar of so many rows.')] = 0,
    depth: Annotated[bool, typer.Option(help='With depth images.')] = False,
    odometry: Annotated[bool, typer.Option(help='With odometry.')] = False,
    scale: Annotated[float, typer.Option(help="Odometry's scale.")] = 1.02,
    noise: Annotated[float, typer.Option(help='Of each of its steps, as a share.')] = 0.02,
    heading_deg: Annotated[float, typer.Option(help='Its drift after a metre.')] = 1.0,
) -> None:
    """Write a recording of frames in the order of their names."""
    write_recording(
        FrameFolder(frames),
        output,
        scan=LevelLidar(level_scan) if level_scan else scan,
        rings=rings,
        depth=depth,
        odometry=OdometryErrors(scale, noise, heading_deg) if odometry else None,
    )


if __name__ == '__main__':
    typer.run(main)
