"""A lidar's points and their depth images against pixels and depths worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.lidar import free_floor, is_any_in_view, lidar_points, sparse_depth

H, W = 37, 53
CAMERA = CameraModel(W, H, fx=50.0, fy=52.0, cx=26.0, cy=18.0)
NAN, INF = np.nan, np.inf


def scan(ranges, **fields):
    message = {'angle_min': 0.0, 'angle_increment': np.pi / 4, 'time_increment': 0.0}
    message |= {'range_min': 0.2, 'range_max': 8.0, 'ranges': np.array(ranges, np.float32)}
    return SimpleNamespace(**{**message, **fields})


def test_points_of_a_scan_lie_at_its_angles() -> None:
    # At 0, 45 and 90 degrees: ahead, ahead and left, left.
    points = lidar_points(scan([2.0, 2.0**0.5, 3.0]))
    np.testing.assert_allclose(points.xyz, [(2, 0, 0), (1, 1, 0), (0, 3, 0)], atol=1e-6)
    assert points.offsets_ns is None
    assert points.span_ns == (0, 0)


def test_a_scan_that_turns_clockwise() -> None:
    points = lidar_points(scan([1.0, 1.0, 1.0], angle_increment=-np.pi / 2))
    np.testing.assert_allclose(points.xyz, [(1, 0, 0), (0, -1, 0), (-1, 0, 0)], atol=1e-6)


def test_what_a_scan_did_not_measure_is_no_point() -> None:
    # REP-117, zeros of older drivers, and the range's own ends, which count.
    ranges = [-INF, NAN, INF, 0.0, 0.1, 8.5, 0.2, 8.0]
    points = lidar_points(scan(ranges, range_min=np.float32(0.2)))
    np.testing.assert_allclose(np.linalg.norm(points.xyz, axis=-1), [0.2, 8.0], rtol=1e-6)
    no_minimum = lidar_points(scan([0.0, -1.0, 0.1], range_min=-5.0))
    assert len(no_minimum.xyz) == 1


def test_each_point_of_a_scan_has_its_time() -> None:
    points = lidar_points(scan([1.0, NAN, 1.0, 1.0], time_increment=0.025))
    assert points.offsets_ns is not None
    assert points.offsets_ns.tolist() == [0, 50_000_000, 75_000_000]
    assert points.span_ns == (0, 75_000_000)


XYZ = [('x', 'f4'), ('y', 'f4'), ('z', 'f4')]


@pytest.mark.parametrize('order', '<>')
def test_a_cloud_of_any_layout(make_cloud, order) -> None:
    # Fields in another order, with gaps, doubles, a ring, rows with bytes behind them.
    layout = {
        'names': ['ring', 'z', 'x', 'y', 'intensity'],
        'formats': [f'{order}{kind}' for kind in ('u2', 'f8', 'f8', 'f8', 'f4')],
        'offsets': [1, 5, 13, 21, 33],
        'itemsize': 41,
    }
    records = np.zeros((2, 3), np.dtype(layout))
    expected = np.arange(1.0, 19.0).reshape(2, 3, 3)
    for i, axis in enumerate('xyz'):
        records[axis] = expected[..., i]
    message = make_cloud(records, is_bigendian=order == '>', row_padding=7)
    np.testing.assert_array_equal(lidar_points(message).xyz, expected.reshape(6, 3))


def test_what_a_cloud_did_not_measure_is_no_point(make_cloud) -> None:
    points = [(1, 2, 3), (0, 0, 0), (NAN, 1, 1), (1, INF, 1), (0, 0, 2)]
    cloud = make_cloud(np.array(points, XYZ))
    np.testing.assert_array_equal(lidar_points(cloud).xyz, [(1, 2, 3), (0, 0, 2)])
    assert lidar_points(make_cloud(np.array([], XYZ))).xyz.shape == (0, 3)


STAMP = {'sec': 1_700_000_000, 'nanosec': 250_000_000}


@pytest.mark.parametrize(
    ('name', 'kind', 'times'),
    [
        ('time', 'f4', (-0.02, 0.0, 0.05)),  # Velodyne: seconds after the stamp
        ('time', 'f8', (-0.02, 0.0, 0.05)),
        ('t', 'u4', (0, 20_000_000, 50_000_000)),  # Ouster: nanoseconds after it
        ('offset_time', 'i4', (-20_000_000, 0, 50_000_000)),
        # Hesai: seconds; Livox: nanoseconds, as floats
        ('timestamp', 'f8', (1_700_000_000.23, 1_700_000_000.25, 1_700_000_000.3)),
        ('timestamp', 'f8', (1.70000000023e18, 1.70000000025e18, 1.7000000003e18)),
    ],
)
def test_each_point_of_a_cloud_has_its_time(make_cloud, name, kind, times) -> None:
    records = np.ones(3, [*XYZ, (name, kind)])
    records[name] = times
    points = lidar_points(make_cloud(records, **STAMP))
    expected = [0, 20e6, 50e6] if kind == 'u4' else [-20e6, 0, 50e6]
    assert points.offsets_ns is not None
    np.testing.assert_allclose(points.offsets_ns, expected, atol=300)  # of doubles, at that size
    assert points.span_ns == (points.offsets_ns[0], points.offsets_ns[2])


def test_integer_times_are_exact(make_cloud) -> None:
    layout = np.dtype([*XYZ, ('timestamp', 'f8')])
    records = np.ones(2, layout)
    # 2**53 and more: doubles are multiples of 256 ns there.
    records['timestamp'] = 1_700_000_000_250_000_128 + np.array([0, 512])
    offsets = lidar_points(make_cloud(records, **STAMP)).offsets_ns
    assert offsets is not None
    assert offsets[1] - offsets[0] == 512


@pytest.mark.parametrize(
    ('name', 'kind', 'times'),
    [
        ('timestamp', 'f8', (12.0, 12.1)),  # since the lidar was switched on
        ('timestamp', 'f4', (1.7e9, 1.7e9)),  # which has a step of 128 s
        ('time', 'f4', (0.0, NAN)),
    ],
)
def test_times_of_another_clock_are_left_alone(make_cloud, name, kind, times) -> None:
    records = np.ones(2, [*XYZ, (name, kind)])
    records[name] = times
    points = lidar_points(make_cloud(records, **STAMP))
    assert len(points.xyz) == 2
    assert points.offsets_ns is None


def pixels_of(depth: np.ndarray) -> dict[tuple[int, int], float]:
    """Return what is known, by row and column."""
    return {(int(r), int(c)): float(depth[r, c]) for r, c in zip(*np.nonzero(~np.isnan(depth)))}


def test_points_fall_into_their_pixels() -> None:
    # u = 50 x / z + 26, v = 52 y / z + 18
    points = [(0.2, 0.0, 2.0), (-1.0, 0.5, 4.0), (0.109, 0.0, 1.0)]
    points += [(0.0, 0.0, -2.0), (0.0, 0.0, 0.0), (9.0, 0.0, 2.0), (0.0, -9.0, 2.0)]  # not seen
    depth = sparse_depth(np.array(points), CAMERA, is_flat=False)
    assert depth.dtype == np.float32
    assert depth.shape == (H, W)
    # 31, 18; 13.5 -> 14, 24.5 -> 25; 31.45 -> 31, where it is the nearer one
    assert pixels_of(depth) == {(25, 14): 4.0, (18, 31): 1.0}


def test_the_outermost_pixels_count_up_to_their_edges() -> None:
    edges = np.array([(-0.5, -0.5), (W - 0.51, H - 0.51), (-0.51, 0.0), (0.0, H - 0.5)])
    rays = (edges - (26.0, 18.0)) / (50.0, 52.0)
    depth = sparse_depth(np.column_stack([rays, np.ones(4)]), CAMERA, is_flat=False)
    assert pixels_of(depth) == {(0, 0): 1.0, (H - 1, W - 1): 1.0}


def test_no_point_is_no_depth() -> None:
    for points in (np.zeros((0, 3)), np.full((2, 3), NAN), np.array([(9.0, 0.0, 1.0)])):
        for is_flat in (False, True):
            assert np.isnan(sparse_depth(points, CAMERA, is_flat=is_flat)).all()
        assert not is_any_in_view(points, CAMERA)


def test_one_of_many_points_in_view_is_found() -> None:
    points = np.full((10_001, 3), (9.0, 0.0, 1.0))
    points[4321] = 0, 0, 1
    assert is_any_in_view(points, CAMERA)


def test_a_lens_bends_where_they_fall() -> None:
    camera = CameraModel(W, H, 50.0, 52.0, 26.0, 18.0, 'plumb_bob', (-0.2, 0.0, 0.0, 0.0, 0.0))
    # x / z = 0.4: 0.4 (1 - 0.2 * 0.16) = 0.3872, times 50 is 19.36; without the lens 20.
    depth = sparse_depth(np.array([(0.8, 0.0, 2.0)]), camera, is_flat=False)
    assert pixels_of(depth) == {(18, 45): 2.0}
    # It folds over at r = sqrt(1 / 0.6) = 1.29: at 3.0 the formula says 3 (1 - 1.8) = -2.4, and
    # at 2.2 2.2 (1 - 0.968) = 0.07, in the middle of a picture that never shows that.
    depth = sparse_depth(np.array([(4.4, 0.0, 2.0)]), camera, is_flat=False)
    assert pixels_of(depth) == {}


def test_a_fisheye_lens() -> None:
    camera = CameraModel(W, H, 20.0, 20.0, 26.0, 18.0, 'equidistant', (0.0, 0.0, 0.0, 0.0))
    # 45 degrees to the right: 20 pi / 4 = 15.7.
    depth = sparse_depth(np.array([(2.0, 0.0, 2.0)]), camera, is_flat=False)
    assert pixels_of(depth) == {(18, 42): 2.0}


def on_grid(rows, columns, z) -> np.ndarray:
    """Return points at some depth that fall into pixels."""
    v, u = (axis.ravel() for axis in np.meshgrid(rows, columns, indexing='ij'))
    return np.column_stack([(u - 26.0) / 50.0 * z, (v - 18.0) / 52.0 * z, np.full(len(u), z)])


def test_a_point_between_nearer_ones_is_hidden() -> None:
    # A board at 2 m from column 10 to 30; a wall at 5 m, whose points fall between the board's.
    board = on_grid(range(4, 32, 3), range(10, 31, 2), 2.0)
    wall = on_grid(range(5, 32, 3), range(1, 52, 2), 5.0)
    depth = sparse_depth(np.concatenate([board, wall]), CAMERA, is_flat=False)
    known = pixels_of(depth)
    assert sum(z == 2.0 for z in known.values()) == len(board)
    assert [p for p, z in known.items() if z == 5.0 and 10 < p[1] < 30] == []
    # Up to the spacing of the points from its edge, the wall is seen.
    seen = {(row, column) for row in range(5, 32, 3) for column in range(1, 52, 2)}
    assert {p for p in seen if not 8 <= p[1] <= 32} <= known.keys()


def test_a_little_nearer_hides_nothing() -> None:
    points = [on_grid([18], range(0, 53, 2), 2.0), on_grid([18], range(1, 53, 2), 2.2)]
    depth = sparse_depth(np.concatenate(points), CAMERA, is_flat=False)
    assert len(pixels_of(depth)) == 53


def test_the_ground_hides_nothing_of_itself() -> None:
    # 0.5 m below the camera, in rings 3 rows apart: each is much nearer than the one above it.
    rings = [on_grid([row], range(0, 53, 2), 52 * 0.5 / (row - 18)) for row in range(21, 37, 3)]
    depth = sparse_depth(np.concatenate(rings), CAMERA, is_flat=False)
    assert len(pixels_of(depth)) == 6 * 27
    assert depth[21, 0] == np.float32(26 / 3)


def test_the_window_grows_with_sparseness() -> None:
    # Between two posts at 1 m there is one at 3 m, 4 columns from each. With those in the corners
    # 7 points are spread over the picture, 17 pixels apart; with 12 rows filled, 1.7 apart.
    sparse = np.concatenate([on_grid([18], [10, 18], 1.0), on_grid([18], [14], 3.0)])
    sparse = np.concatenate([sparse, on_grid([0, 36], [0, 52], 1.0)])
    assert (18, 14) not in pixels_of(sparse_depth(sparse, CAMERA, is_flat=False))
    filled = on_grid(range(12), range(53), 1.0)
    depth = sparse_depth(np.concatenate([sparse, filled]), CAMERA, is_flat=False)
    assert pixels_of(depth)[18, 14] == 3.0


def test_of_one_beam_all_that_is_farther_in_a_column_is_hidden() -> None:
    # As the lidar is 0.3 m below the camera, near things lie lower: 18 + 52 * 0.3 / z.
    box = np.column_stack([np.linspace(-0.2, 0.2, 21), np.full(21, 0.3), np.full(21, 1.0)])
    wall = np.column_stack([np.linspace(-2.5, 2.5, 51), np.full(51, 0.3), np.full(51, 5.0)])
    depth = sparse_depth(np.concatenate([box, wall]), CAMERA, is_flat=True)
    known = pixels_of(depth)
    assert {row for (row, _), z in known.items() if z == 1.0} == {34}
    assert {row for (row, _), z in known.items() if z == 5.0} == {21}
    # The box fills the columns 16 to 36.
    assert {c for (_, c), z in known.items() if z == 5.0} == {*range(1, 16), *range(37, 52)}
    # As a cloud's, they would be thought to lie beside it.
    cloud = pixels_of(sparse_depth(np.concatenate([box, wall]), CAMERA, is_flat=False))
    assert len(cloud) == 21 + 51


def hit(origin: np.ndarray, rays: np.ndarray, boxes: list[np.ndarray]) -> np.ndarray:
    """Return how far along rays ``[N, 3]`` a floor, a wall or a box is; y is down."""
    with np.errstate(divide='ignore', invalid='ignore'):
        floor = np.where(rays[:, 1] > 0, (0.5 - origin[1]) / rays[:, 1], np.inf)
        wall = (6 - origin[2]) / rays[:, 2]
        nearest = np.minimum(floor, np.where(wall > 0, wall, np.inf))
        for box in boxes:
            near, far = np.sort((box - origin)[:, None] / rays, axis=0)
            enters, leaves = near.max(axis=-1), far.min(axis=-1)
            is_hit = (enters < leaves) & (enters > 0)
            nearest = np.where(is_hit, np.minimum(nearest, enters), nearest)
    return nearest


def nearest(points: np.ndarray, camera: CameraModel) -> np.ndarray:
    """Return the depth image of all points, hidden ones as well: far ones are drawn first."""
    depth = np.full((camera.height, camera.width), NAN)
    points = points[points[:, 2] > 0.01]
    points = points[np.argsort(-points[:, 2])]
    u = np.floor(points[:, 0] / points[:, 2] * camera.fx + camera.cx + 0.5)
    v = np.floor(points[:, 1] / points[:, 2] * camera.fy + camera.cy + 0.5)
    inside = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    depth[v[inside].astype(int), u[inside].astype(int)] = points[inside, 2]
    return depth


def wrong_and_all(depth: np.ndarray, truth: np.ndarray) -> tuple[int, int]:
    """Return how many depths are off by more than a tenth, and how many there are."""
    known = np.isfinite(depth) & np.isfinite(truth)
    off = np.abs(depth[known] / truth[known] - 1) > 0.1
    return int(off.sum()), int(known.sum())


@pytest.mark.parametrize(
    ('rings_deg', 'step_deg', 'is_flat', 'seen_through', 'most_wrong', 'least_kept'),
    [
        (np.arange(-15, 16, 2), 0.2, False, 0.05, 0.02, 0.9),  # as a VLP-16
        (np.linspace(-22, 22, 64), 0.35, False, 0.03, 0.005, 0.92),  # as an OS1
        (np.zeros(1), 0.5, True, 0.02, 0.01, 0.92),  # of one beam
    ],
)
def test_what_only_the_lidar_sees_is_left_out(
    rings_deg, step_deg, is_flat, seen_through, most_wrong, least_kept
) -> None:
    camera = CameraModel(321, 241, 260.0, 260.0, 160.0, 120.0)
    pixels = np.concatenate([camera.rays, np.ones((241, 321, 1))], axis=-1).reshape(-1, 3)
    # 15 cm beside the camera; 20 cm above it, or for a plane, which passes over low boxes, below.
    lidar = np.array([0.15, 0.2 if is_flat else -0.2, 0.0])
    angles = np.meshgrid(np.radians(rings_deg), np.radians(np.arange(-60, 60, step_deg)))
    up, right = (angle.ravel() for angle in angles)
    beams = np.stack(
        [np.cos(up) * np.sin(right), -np.sin(up), np.cos(up) * np.cos(right)], axis=-1
    )
    counts = np.zeros(4)
    for seed in range(8):
        random = np.random.default_rng(seed)
        low = np.stack([random.uniform(-2, 1.6, 5), 0.5 - random.uniform(0.4, 1.3, 5)], axis=-1)
        low = np.column_stack([low, random.uniform(1, 4, 5)])
        high = low + random.uniform(0.2, 0.6, (5, 3))
        high[:, 1] = 0.5
        boxes = [np.stack(box) for box in zip(low, high)]
        truth = hit(np.zeros(3), pixels, boxes).reshape(241, 321)
        along = hit(lidar, beams, boxes)[:, None]
        points = (lidar + beams * along)[np.isfinite(along[:, 0])]
        depth = sparse_depth(points, camera, is_flat=is_flat)
        counts += [*wrong_and_all(nearest(points, camera), truth), *wrong_and_all(depth, truth)]
    wrong_before, before, wrong, kept = counts
    assert wrong_before / before > seen_through
    assert wrong / kept < most_wrong
    assert kept / before > least_kept


def level(height: float) -> np.ndarray:
    """Return the pose of body axes (x ahead, y left, z up) so far above a level camera."""
    pose = np.eye(4)
    pose[:3] = [(0, -1, 0, 0), (0, 0, -1, -height), (1, 0, 0, 0)]
    return pose


def around(ranges: dict[int, float]) -> SimpleNamespace:
    """Return a scan of 11 beams, 0.1 rad apart and the sixth ahead, of 2.2 m but where said."""
    beams = np.full(11, 2.2)
    beams[list(ranges)] = list(ranges.values())
    return scan(beams, angle_min=-0.5, angle_increment=0.1)


def test_the_floor_is_measured_until_a_beam_hits() -> None:
    # The camera is 0.5 m above the floor: in row 18 + n it is 0.5 * 52 / n ahead.
    depth = free_floor(around({9: 1.5}), CAMERA, level(-0.3), level(-0.5))
    assert depth.shape == (H, W)
    assert depth.dtype == np.float32
    # Ahead, until 0.1 m before 2.2 m: 2.0 m in row 31, 2.17 m in row 30.
    ahead = np.full(H, np.nan)
    ahead[31:] = 26 / np.arange(13, 19)
    np.testing.assert_allclose(depth[:, 26], ahead, rtol=1e-6)
    # 20 / 50 to the right the floor is 1.077 times as far away as it is deep: 2.15 m in row 31.
    assert depth[32, 46] == pytest.approx(26 / 14)
    assert np.isnan(depth[31, 46])
    # As much to the left, the lowest row is 1.56 m away, and the beam hits something at 1.5 m.
    assert np.isnan(depth[:, 6]).all()
    # No beam passes beyond the outermost one.
    assert np.isnan(depth[:, 52]).all()


@pytest.mark.parametrize('nothing', [INF, NAN, 0.1, 9.0])
def test_a_beam_without_return_says_nothing_of_the_floor(nothing: float) -> None:
    depth = free_floor(around({5: nothing}), CAMERA, level(-0.3), level(-0.5))
    assert np.isnan(depth[:, 26]).all()
    assert np.isfinite(depth[36, 46])


def test_the_floor_far_away_is_left_out() -> None:
    far = scan(np.full(11, 7.9), angle_min=-0.5, angle_increment=0.1)
    depth = free_floor(far, CAMERA, level(-0.3), level(-0.5))
    # 8 times 0.5 m are 4 m: row 25 is at 3.71 m, row 24 at 4.33 m.
    assert np.flatnonzero(np.isfinite(depth[:, 26])).tolist() == list(range(25, H))


def test_the_floor_of_any_pose_and_lens_lies_in_its_plane() -> None:
    turn = cv2.Rodrigues(np.array([0.3, 0.05, -0.1]))[0]
    tilted = np.eye(4)
    tilted[:3, :3] = turn
    camera = CameraModel(
        W, H, 50.0, 52.0, 26.0, 18.0, 'plumb_bob', (-0.2, 0.03, 0.001, 0.002, 0.0)
    )
    floor, lidar = tilted @ level(-0.6), tilted @ level(-0.25)
    lidar[:3, 3] += 0.1 * floor[:3, 0]
    # It turns the other way round, and all around.
    scan_ = scan(np.full(63, 3.0), angle_min=np.pi, angle_increment=-0.1)
    depth = free_floor(scan_, camera, lidar, floor)
    rows, columns = np.nonzero(np.isfinite(depth))
    assert len(rows) > 300
    rays = np.column_stack([camera.rays[rows, columns], np.ones(len(rows))])
    on_floor = (depth[rows, columns, None] * rays - floor[:3, 3]) @ floor[:3, :3]
    np.testing.assert_allclose(on_floor[:, 2], 0.0, atol=1e-5)
    assert np.hypot(on_floor[:, 0] - 0.1, on_floor[:, 1]).max() < 2.9


@pytest.mark.parametrize(('lidar', 'floor'), [(-0.3, 0.1), (-0.7, -0.5)])
def test_a_floor_that_is_none_is_an_error(lidar: float, floor: float) -> None:
    with pytest.raises(
        ValueError,
        match=rf'camera {-floor:.2f} m and the lidar {lidar - floor:.2f} m above the floor, '
        'expected both above it; name the frame that lies on the floor, such as base_footprint',
    ):
        free_floor(around({}), CAMERA, level(lidar), level(floor))
