"""Ray casting against distances worked out by hand, and against itself without windows."""

from __future__ import annotations

import math

import pytest
import torch

from mirror_depth_ros.camera import CameraModel
from mirror_depth_ros.scenes import cast
from mirror_depth_ros.scenes.cast import SolidTensors, cast_rays
from mirror_depth_ros.scenes.render import render
from mirror_depth_ros.scenes.solids import Light, Pose, Scene, Shape, Solid, Surface, Thing
from mirror_depth_ros.scenes.video import make_scene

GREY = Surface((0.5, 0.5, 0.5))


def scene_of(*solids: Solid, pose: Pose | None = None) -> Scene:
    return Scene(
        kind='indoor',
        seed=0,
        things=tuple(Thing(f'thing{i}', '', (solid,)) for i, solid in enumerate(solids)),
        light=Light((0.0, 0.0, 5.0), is_sun=False, ambient=0.5, gain=1.0),
        pose=pose or Pose((0.0, 0.0, 1.0), yaw=0.0),
        hfov_deg=90.0,
        clearance=0.5,
    )


def centre_depth(*solids: Solid, pose: Pose | None = None) -> float:
    frame = render(scene_of(*solids, pose=pose), CameraModel.from_fov(41, 31, 90.0))
    return float(frame.depth[15, 20])


@pytest.mark.parametrize(
    ('shape', 'depth'),
    [
        (Shape.BOX, 4.5),  # front face at 5 - 0.5
        (Shape.ELLIPSOID, 4.5),  # pole of the half axis 0.5
        (Shape.CYLINDER, 4.5),  # side of the half axis 0.5
    ],
)
def test_straight_ahead(shape: Shape, depth: float) -> None:
    solid = Solid(shape, (5.0, 0.0, 1.0), (0.5, 0.8, 1.2), GREY)
    assert centre_depth(solid) == pytest.approx(depth, abs=1e-5)


def test_turned_box_shows_its_edge() -> None:
    # A square of half side 1 turned by 45 degrees reaches sqrt(2) towards the camera.
    solid = Solid(Shape.BOX, (5.0, 0.0, 1.0), (1.0, 1.0, 1.0), GREY, yaw=math.pi / 4)
    assert centre_depth(solid) == pytest.approx(5.0 - math.sqrt(2.0), abs=1e-4)


def test_cylinder_cap_from_above() -> None:
    pose = Pose((0.0, 0.0, 4.0), yaw=0.3, pitch=-math.pi / 2)
    solid = Solid(Shape.CYLINDER, (0.0, 0.0, 0.75), (0.6, 0.4, 0.75), GREY)
    assert centre_depth(solid, pose=pose) == pytest.approx(4.0 - 1.5, abs=1e-5)


def test_shell_is_seen_from_inside() -> None:
    room = Solid(Shape.SHELL, (0.0, 0.0, 1.25), (3.0, 2.0, 1.25), GREY)
    assert centre_depth(room) == pytest.approx(3.0, abs=1e-5)
    left = Pose((0.0, 0.5, 1.0), yaw=math.pi / 2)
    assert centre_depth(room, pose=left) == pytest.approx(1.5, abs=1e-5)


def test_depth_is_along_z_not_along_the_ray() -> None:
    wall = Solid(Shape.BOX, (4.0, 0.0, 1.0), (1.0, 50.0, 50.0), GREY)
    frame = render(scene_of(wall), CameraModel.from_fov(33, 17, 90.0))
    assert frame.depth == pytest.approx(3.0, abs=1e-5)  # 3 m in every corner, too


def test_image_axes_follow_the_optical_frame() -> None:
    # Looking along x: y is left in the world, so negative y is right in the image; z is up.
    right = Solid(Shape.BOX, (5.0, -2.5, 1.0), (0.2, 0.2, 0.2), GREY)
    above = Solid(Shape.BOX, (5.0, 0.0, 3.5), (0.2, 0.2, 0.2), GREY)
    things = render(scene_of(right, above), CameraModel.from_fov(41, 41, 90.0)).things
    rows, columns = (things == 0).nonzero()
    assert (columns.mean(), rows.mean()) == pytest.approx((30.0, 20.0), abs=1.0)  # 20 + 20.5 / 2
    rows, columns = (things == 1).nonzero()
    assert (columns.mean(), rows.mean()) == pytest.approx((20.0, 10.0), abs=1.0)


def test_roll_turns_the_camera_clockwise() -> None:
    right = Solid(Shape.BOX, (5.0, -2.5, 1.0), (0.2, 0.2, 0.2), GREY)
    pose = Pose((0.0, 0.0, 1.0), yaw=0.0, roll=math.pi / 2)
    rows, columns = (
        render(scene_of(right, pose=pose), CameraModel.from_fov(41, 41, 90.0)).things == 0
    ).nonzero()
    # The camera's own right now points down, so what was right of it appears above.
    assert (columns.mean(), rows.mean()) == pytest.approx((20.0, 10.0), abs=1.0)


def test_the_nearest_solid_wins_and_nothing_is_infinity() -> None:
    far = Solid(Shape.BOX, (8.0, 0.0, 1.0), (0.5, 3.0, 0.5), GREY)
    near = Solid(Shape.ELLIPSOID, (4.0, 0.0, 1.0), (0.5, 0.5, 0.5), GREY)
    behind = Solid(Shape.BOX, (-4.0, 0.0, 1.0), (0.5, 0.5, 0.5), GREY)
    frame = render(scene_of(far, near, behind), CameraModel.from_fov(41, 31, 90.0))
    assert frame.things[15, 20] == 1
    assert frame.things[15, 14] == 0  # 6 / 20.5 * 7.5 = 2.2 m to the left
    assert frame.things[0, 0] == -1
    assert math.isinf(frame.depth[0, 0])
    assert not (frame.things == 2).any()


@pytest.mark.parametrize(('kind', 'seed'), [('indoor', 3), ('outdoor', 4), ('outdoor', 8)])
def test_windows_change_nothing(kind: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = make_scene(kind, seed)
    x, y = torch.from_numpy(CameraModel.from_fov(61, 45, scene.hfov_deg).rays).unbind(dim=-1)
    rays = torch.stack([x, y, torch.ones(45, 61)])
    view = (
        SolidTensors.from_scene(scene),
        torch.tensor(scene.pose.position, dtype=torch.float32),
        torch.tensor(scene.pose.rotation, dtype=torch.float32),
        rays,
    )
    depth, index = cast_rays(*view)
    everywhere = torch.tensor([[0, 45, 0, 61]]).expand(len(scene.solids), 4)
    monkeypatch.setattr(cast, '_pixel_windows', lambda *_: everywhere)
    full_depth, full_index = cast_rays(*view)
    # Vector units sum in another order in windows of another width: some units of the last place.
    torch.testing.assert_close(depth, full_depth, rtol=1e-5, atol=1e-5)
    assert torch.equal(index, full_index)
    monkeypatch.setattr(cast, '_LARGE', 2.0)  # all together rather than one by one
    together_depth, together_index = cast_rays(*view)
    torch.testing.assert_close(together_depth, full_depth, rtol=1e-5, atol=1e-5)
    assert (together_index == full_index).float().mean() > 0.999  # of equals, another may win
