import numpy as np
import pytest

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.point_cloud import (
    POINT_FIELDS,
    POINT_FIELDS_WITH_CONFIDENCE,
    pack_cloud,
    read_cloud,
    unpack_cloud,
)

H, W = 3, 5
CAMERA = CameraModel(W, H, fx=4.0, fy=5.0, cx=1.0, cy=2.0)
NAN, INF = np.nan, np.inf


@pytest.fixture
def depth():
    return np.linspace(0.5, 7.5, H * W, dtype=np.float32).reshape(H, W)


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)


def cloud(depth, rays, rgb):
    """Return x y z, the colours and whether all points are finite."""
    points = np.empty((*depth.shape, 4), np.float32)
    is_dense = pack_cloud(depth, rays, rgb, out=points)
    return points[..., :3], points.view(np.uint32)[..., 3], is_dense


def test_points_are_where_the_formula_of_a_pinhole_has_them(rgb):
    points, _, is_dense = cloud(np.full((H, W), 2.0, np.float32), CAMERA.rays, rgb)
    # Row 0, column 4: x = (4 - 1) / 4 * 2, right; y = (0 - 2) / 5 * 2, up; z forward.
    np.testing.assert_allclose(points[0, 4], (1.5, -0.8, 2.0), atol=1e-6)
    np.testing.assert_allclose(points[2, 1], (0.0, 0.0, 2.0), atol=1e-6)
    assert is_dense


def test_colour_is_packed_as_00rrggbb(depth, rgb):
    rgb[1, 2] = 0x12, 0x34, 0x56
    _, colours, _ = cloud(depth, np.zeros((H, W, 2), np.float32), rgb)
    assert colours[1, 2] == 0x00123456
    r, g, b = (rgb[..., i].astype(np.uint32) for i in range(3))
    np.testing.assert_array_equal(colours, (r << 16) + (g << 8) + b)


def test_points_that_are_not_finite_are_nan_in_all_coordinates(depth, rgb):
    rays = CAMERA.rays.copy()
    depth[0, :3] = NAN, INF, -INF
    depth[2, 1] = INF  # on the optical axis, where x = 0 * inf
    rays[1, 4] = NAN  # beyond the lens's valid field
    points, colours, is_dense = cloud(depth, rays, rgb)
    expected = np.zeros((H, W), bool)
    expected[0, :3] = expected[2, 1] = expected[1, 4] = True
    np.testing.assert_array_equal(np.isnan(points), np.repeat(expected[..., None], 3, axis=-1))
    assert np.isfinite(points[~expected]).all()
    assert not is_dense
    assert colours[0, 0] != 0


def test_strips_join_without_a_seam():
    """Of a cloud higher than one strip, each point is where the formula of a pinhole has it."""
    height, width = 331, 641
    camera = CameraModel(width, height, fx=500.0, fy=400.0, cx=311.0, cy=166.0)
    random = np.random.default_rng(3)
    depth = random.uniform(0.5, 20.0, (height, width)).astype(np.float32)
    depth[random.random(depth.shape) < 0.01] = NAN
    rgb = random.integers(0, 256, (height, width, 3), np.uint8)
    points, colours, is_dense = cloud(depth, camera.rays, rgb)
    v, u = np.mgrid[:height, :width]
    x, y = (u - 311.0) / 500.0 * depth, (v - 166.0) / 400.0 * depth
    np.testing.assert_allclose(points, np.stack([x, y, depth], axis=-1), rtol=1e-5)
    channels = colours.astype('<u4').view(np.uint8).reshape(height, width, 4)
    np.testing.assert_array_equal(channels[..., 2::-1], rgb)
    assert not is_dense


def test_unpacking_gives_back_what_was_packed(depth, rgb):
    packed = np.empty((H, W, 4), np.float32)
    pack_cloud(depth, CAMERA.rays, rgb, out=packed)
    records = packed.view([(name, np.float32) for name in POINT_FIELDS])[..., 0]
    points, colours = unpack_cloud(records)
    np.testing.assert_array_equal(points, packed[..., :3])
    np.testing.assert_array_equal(colours, rgb)
    assert colours.dtype == np.uint8


@pytest.mark.parametrize('step', [1, 2])  # 2: views that are not contiguous
def test_confidence_comes_after_the_points_that_there_are_without_it(
    depth, rgb, monkeypatch, step
):
    monkeypatch.setattr('mirror_depth_ros.depth.point_cloud._STRIP_PIXELS', 2 * W)  # rows 0-1, 2
    depth[1, 2] = NAN
    confidence = depth[::-1, ::-1] / 8
    kept = (slice(None, None, step),) * 2
    plain = np.empty((*depth[kept].shape, 4), np.float32)
    cloud = np.empty((*depth[kept].shape, 5), np.float32)
    arrays = depth[kept], CAMERA.rays[kept], rgb[kept]
    is_dense = pack_cloud(*arrays, out=plain)
    assert pack_cloud(*arrays, confidence=confidence[kept], out=cloud) == is_dense == (step == 2)
    np.testing.assert_array_equal(cloud[..., :4].view(np.uint32), plain.view(np.uint32))
    np.testing.assert_array_equal(cloud[..., 4], confidence[kept])
    assert POINT_FIELDS_WITH_CONFIDENCE == ('x', 'y', 'z', 'rgb', 'confidence')


def test_confidence_of_another_size_is_refused(depth, rgb):
    points = np.empty((H, W, 5), np.float32)
    with pytest.raises(ValueError, match=r'got confidence of shape \(2, 3\) for depth of shape'):
        pack_cloud(depth, CAMERA.rays, rgb, confidence=depth[::2, ::2], out=points)


@pytest.mark.parametrize(('n_fields', 'has_confidence'), [(4, True), (5, False)])
def test_a_cloud_without_room_for_what_is_given_is_refused(depth, rgb, n_fields, has_confidence):
    points = np.empty((H, W, n_fields), np.float32)
    confidence = depth if has_confidence else None
    with pytest.raises(ValueError, match=rf'got memory of shape \(3, 5, {n_fields}\) for a cloud'):
        pack_cloud(depth, CAMERA.rays, rgb, confidence=confidence, out=points)


def test_an_image_of_another_size_is_refused(depth, rgb):
    with pytest.raises(ValueError, match=r'got an image of shape \(5, 3, 3\) for depth of shape'):
        cloud(depth, np.zeros((H, W, 2), np.float32), rgb.swapaxes(0, 1))


LAYOUT = np.dtype([('x', 'f4'), ('ring', 'u2'), ('time', 'f8')])


def test_fields_that_are_there_are_read_as_a_view(make_cloud):
    records = np.zeros((H, W), LAYOUT)
    records['x'], records['ring'] = np.arange(H * W).reshape(H, W), 7
    message = make_cloud(records, row_padding=5)
    read = read_cloud(message, ('x', 'ring'), optional=('t', 'time'))
    assert read.dtype.names == ('x', 'ring', 'time')
    np.testing.assert_array_equal(read['x'], records['x'])
    assert (read['ring'] == 7).all()
    assert np.shares_memory(read, message.data)


def test_a_cloud_whose_row_step_is_not_filled_in(make_cloud):
    records = np.zeros((1, W), LAYOUT)
    records['x'] = range(W)
    read = read_cloud(make_cloud(records, row_step=0), ['x'])
    np.testing.assert_array_equal(read['x'][0], range(W))


def test_a_cloud_without_points(make_cloud):
    assert read_cloud(make_cloud(np.zeros((1, 0), LAYOUT)), ['x']).shape == (1, 0)


def test_a_field_that_is_missing(make_cloud):
    message = make_cloud(np.zeros(4, LAYOUT))
    with pytest.raises(
        ValueError, match='got a cloud with the fields x, ring, time, expected x, y'
    ):
        read_cloud(message, ('x', 'y'))


def test_a_layout_that_is_none(make_cloud):
    message = make_cloud(np.zeros(4, LAYOUT), point_step=5)
    with pytest.raises(
        ValueError, match=r'of 5 bytes a point with x .* ring \(type 4 at 4\), exp'
    ):
        read_cloud(message, ('x', 'ring'))
    message = make_cloud(np.zeros(4, LAYOUT))
    message.fields[0].datatype = 9
    with pytest.raises(ValueError, match=r'with x \(type 9 at 0\), expected types 1 to 8'):
        read_cloud(message, ['x'])


def test_data_that_are_cut_short(make_cloud):
    message = make_cloud(np.zeros((H, W), LAYOUT), row_padding=2)
    message.data = message.data[:-3]  # the last row's padding may be left out, not more
    # 3 rows of 5 points of 14 bytes, 2 bytes behind each but the last
    error = 'got 213 bytes of a cloud of 3 x 5 points .* rows of 72, expected at least 214 bytes'
    with pytest.raises(ValueError, match=error):
        read_cloud(message, ['x'])
