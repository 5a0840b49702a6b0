"""Flicker and continuity against figures worked out by hand, and on a recorded video."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from mirror_depth_ros.depth.camera import CameraModel
from research.consistency.consistency import (
    TemporalDisagreement,
    View,
    spatial_continuity,
    temporal_disagreement,
)
from research.consistency.videos import recorded_video

# 13 x 9 pixels, focal length 8 pixels, the axis through pixel (6, 4).
CAMERA = CameraModel(13, 9, 8.0, 8.0, 6.0, 4.0)
SIZE = (9, 13)
AHEAD, ASIDE = (0.0, 0.0, 0.5), (0.5, 0.0, 0.0)
STRAIGHT = np.eye(3)


def wall(metres: float) -> np.ndarray:
    return np.full(SIZE, metres, np.float32)


def compare(
    predicted: tuple[np.ndarray, np.ndarray],
    true: tuple[np.ndarray, np.ndarray],
    position: tuple[float, float, float] = (0.0, 0.0, 0.0),
    rotation: np.ndarray = STRAIGHT,
) -> TemporalDisagreement:
    """Compare a view from the origin with one from elsewhere."""
    now = View(predicted[0], true[0], np.zeros(3), STRAIGHT)
    following = View(predicted[1], true[1], np.array(position), rotation)
    return temporal_disagreement(now, following, CAMERA)


def test_a_perfect_prediction_of_a_wall_ahead_agrees() -> None:
    walls = wall(4.0), wall(3.5)  # 0.5 m nearer after 0.5 m ahead
    result = compare(walls, walls, AHEAD)
    assert result.mean == pytest.approx(0.0, abs=1e-6)
    # Pixels move away from the axis by 4 / 3.5: columns 6 +- 5.25 and rows 4 +- 3.5 still are
    # inside, so the outermost ring leaves: 11 x 7 of 13 x 9 pixels remain.
    assert result.covisible_fraction == pytest.approx(77 / 117)
    assert np.isnan(result.error_map[0]).all()
    assert np.isnan(result.error_map[:, 12]).all()
    assert result.error_map[1:8, 1:12] == pytest.approx(0.0, abs=1e-6)


def test_sideways_motion_moves_pixels_and_keeps_depth() -> None:
    # 0.5 m to the right at 4 m: 8 * 0.5 / 4 = 1 pixel to the left, so the first column leaves.
    # Predictions follow the pixels: column c says 4 + c m now, what column c + 1 said then.
    ramp = np.broadcast_to(4.0 + np.arange(13.0), SIZE)
    result = compare((ramp, ramp + 1), (wall(4.0), wall(4.0)), ASIDE)
    assert result.covisible_fraction == pytest.approx(12 / 13)
    assert np.isnan(result.error_map[:, 0]).all()
    assert result.mean == pytest.approx(0.0, abs=1e-6)
    # Were the pixels compared in place, 1 m apart everywhere, it would not be zero.
    still = compare((ramp, ramp + 1), (wall(4.0), wall(4.0)))
    assert still.mean == pytest.approx(np.mean(1 / (5.0 + np.arange(13.0))))
    assert still.covisible_fraction == 1.0


def test_a_constant_scale_shows_only_along_the_axis() -> None:
    # Twice too far: 8 m moved by 0.5 m is 7.5 m, the next prediction is 2 * 3.5 = 7 m.
    ahead = compare((wall(8.0), wall(7.0)), (wall(4.0), wall(3.5)), AHEAD)
    assert ahead.mean == pytest.approx(0.5 / 7.0)
    aside = compare((wall(8.0), wall(8.0)), (wall(4.0), wall(4.0)), ASIDE)
    assert aside.mean == pytest.approx(0.0, abs=1e-6)


def test_flicker_is_the_change_of_scale() -> None:
    # From 1 to 1.25: |4 - 5| / 5; from 1.25 to 1: |5 - 4| / 4.
    walls = wall(4.0), wall(4.0)
    assert compare((wall(4.0), wall(5.0)), walls, ASIDE).mean == pytest.approx(0.2)
    assert compare((wall(5.0), wall(4.0)), walls, ASIDE).mean == pytest.approx(0.25)


def test_rotation_has_the_optical_axes_as_columns() -> None:
    # A quarter turn clockwise about the axis: x is down, y is left. The pixel right of the centre
    # by c is now above it by c; rows reach 4 from the centre, so 9 x 9 pixels remain.
    turned = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    now, following = wall(4.0), wall(4.0)
    now[4, 8] = 5.0  # 2 to the right
    following[2, 6] = 5.0  # 2 up
    result = compare((now, following), (wall(4.0), wall(4.0)), rotation=turned)
    assert result.covisible_fraction == pytest.approx(81 / 117)
    assert result.mean == pytest.approx(0.0, abs=1e-6)


def floor(height: float, horizon_row: float = -3.0) -> np.ndarray:
    """Depth of a floor below a camera that looks down on it, ``z = f h / (v - v0)``."""
    rows = np.arange(9.0) - horizon_row
    return np.broadcast_to((8.0 * height / rows)[:, None], SIZE).astype(np.float32)


def test_between_pixels_planes_are_exact() -> None:
    # A plane's 1 / z is affine in the image; sideways motion of 0.1 m moves each row otherwise.
    floors = floor(1.5), floor(1.5)
    result = compare(floors, floors, (0.1, 0.0, 0.0))
    assert result.covisible_fraction > 0.5
    assert result.mean == pytest.approx(0.0, abs=1e-6)


def test_hidden_and_mixed_places_do_not_count() -> None:
    # A post at 2 m in column 6 stands still before a wall at 4 m; 0.25 m to the right moves the
    # wall by half a pixel and the post by one: 8 * 0.25 / 4 and 8 * 0.25 / 2.
    now, following = wall(4.0), wall(4.0)
    now[:, 6] = following[:, 5] = 2.0
    result = compare((now, following), (now, following), (0.25, 0.0, 0.0))
    counted = ~np.isnan(result.error_map[4])
    # Column 0 leaves. Column 5 lands on 4.5, between the wall at 4 and the post at 5: left out.
    # Column 7 lands on 6.5, wall on either side; the post lands on 5 exactly.
    assert np.flatnonzero(~counted).tolist() == [0, 5]
    assert result.mean == pytest.approx(0.0, abs=1e-6)


def test_unknown_depth_does_not_count() -> None:
    true = wall(4.0)
    true[0, :5] = (np.nan, np.inf, 0.0, -1.0, np.nan)
    predicted = wall(4.0)
    predicted[0, :5] = 9.0
    result = compare((predicted, wall(4.0)), (true, wall(4.0)))
    assert result.covisible_fraction == pytest.approx(112 / 117)
    assert result.mean == pytest.approx(0.0, abs=1e-6)
    back = compare((wall(4.0), predicted), (wall(4.0), true))
    assert back.covisible_fraction == pytest.approx(112 / 117)


@pytest.mark.parametrize(
    ('true', 'position'),
    [
        ((wall(4.0), wall(4.0)), (100.0, 0.0, 0.0)),  # out of sight
        ((wall(4.0), wall(4.0)), (0.0, 0.0, 5.0)),  # behind the camera
        ((wall(4.0), wall(3.0)), (0.0, 0.0, 0.0)),  # something in between
        ((wall(np.inf), wall(4.0)), (0.0, 0.0, 0.0)),  # only sky
    ],
)
def test_nothing_in_common_is_an_error(
    true: tuple[np.ndarray, np.ndarray], position: tuple[float, float, float]
) -> None:
    with pytest.raises(ValueError, match='got no pixel that both frames see'):
        compare((wall(4.0), wall(4.0)), true, position)


def test_impossible_predictions_are_refused() -> None:
    hole = wall(4.0)
    hole[2, 3:5] = (np.nan, 0.0)
    with pytest.raises(ValueError, match='got 2 pixels of predicted depth that are not finite'):
        compare((hole, wall(4.0)), (wall(4.0), wall(4.0)))
    with pytest.raises(ValueError, match='got 2 pixels of predicted depth that are not finite'):
        spatial_continuity(hole, wall(4.0))
    with pytest.raises(ValueError, match=r'prediction of shape \(13, 9\).*expected \(9, 13\)'):
        compare((wall(4.0).T, wall(4.0)), (wall(4.0), wall(4.0)))
    with pytest.raises(ValueError, match=r'prediction of shape \(13, 9\).*expected \(9, 13\)'):
        spatial_continuity(wall(4.0).T, wall(4.0))


def test_continuity_ignores_scale_and_finds_blocks() -> None:
    assert spatial_continuity(wall(7.0), wall(4.0)).away == 0.0
    assert spatial_continuity(wall(7.0), wall(4.0)).at_edges is None
    # Two blocks with a step of factor 1.5 between columns 5 and 6 of a plain wall: 9 pairs of
    # 9 * 12 across and 8 * 13 down have ln 1.5.
    blocks = wall(4.0)
    blocks[:, 6:] = 6.0
    result = spatial_continuity(blocks, wall(4.0))
    assert result.away == pytest.approx(9 * math.log(1.5) / (108 + 104))


def test_blur_shows_at_edges_only() -> None:
    # The truth steps from 2 m to 4 m between columns 5 and 6; columns 3 to 8 are at the edge.
    true, predicted = wall(2.0), wall(2.0)
    true[:, 6:] = 4.0
    predicted[:, 6:] = 4.0
    predicted[:, 6] = 3.0  # blurred: the steps are ln 1.5 and ln 4/3 in place of ln 2 and 0
    result = spatial_continuity(predicted, true)
    assert result.away == 0.0
    # Pairs with a pixel in columns 3..8: across 2-3 to 8-9, 7 a row; down 6 columns of 8 pairs.
    wrong = 9 * (math.log(2.0 / 1.5) + math.log(4.0 / 3.0))
    assert result.at_edges == pytest.approx(wrong / (9 * 7 + 6 * 8))


def test_a_slope_of_less_than_an_edge_is_none() -> None:
    # Steps of ln depth of 0.09 are a slope; 0.11 are edges everywhere.
    for step, fields in ((0.09, ('away', 'at_edges')), (0.11, ('at_edges', 'away'))):
        true = np.broadcast_to(np.exp(step * np.arange(13.0)), SIZE)
        result = spatial_continuity(wall(4.0), true)
        # 9 * 12 steps across are missed, 8 * 13 down are right.
        assert getattr(result, fields[0]) == pytest.approx(step * 108 / 212)
        assert getattr(result, fields[1]) is None


def test_the_sky_is_an_edge_but_never_counts() -> None:
    true = wall(4.0)
    true[:3] = np.inf
    predicted = wall(4.0)
    predicted[:3] = 50.0
    assert spatial_continuity(predicted, true).at_edges == 0.0
    predicted[4, 6] = 4.0 * math.e  # row 3 has the step, so the margin ends with row 5
    result = spatial_continuity(predicted, true)
    assert result.away == 0.0
    # Pairs that begin in rows 3 to 5: 3 * 12 across, 3 * 13 down; 4 of these are off by 1.
    assert result.at_edges == pytest.approx(4 / (36 + 39))
    true[:3] = np.nan  # unknown is no edge
    assert spatial_continuity(predicted, true).at_edges is None


def test_truth_without_neighbours_is_an_error() -> None:
    true = wall(np.nan)
    true[::2, ::2] = 4.0
    true[1::2, 1::2] = 0.0
    with pytest.raises(ValueError, match='got no two neighbouring pixels with true depth'):
        spatial_continuity(wall(4.0), true)


def test_on_a_recorded_video_the_truth_is_consistent() -> None:
    room = Path(__file__).parents[3] / 'resource/demo/rendered/room'
    frames = recorded_video(room).frames[:2]
    views = [View(f.depth, f.depth, f.pose[:3, 3], f.pose[:3, :3]) for f in frames]
    result = temporal_disagreement(views[0], views[1], frames[0].camera)
    # What remains is what is rounded to millimetres, and round things: their 1 / z is not affine.
    assert result.mean < 1e-3
    assert result.covisible_fraction > 0.6
    continuity = spatial_continuity(views[0].predicted, views[0].true)
    assert continuity.away == 0.0
    # The opposite motion would not do.
    swapped = [
        View(a.predicted, a.true, b.position, b.rotation) for a, b in zip(views, views[::-1])
    ]
    wrong = temporal_disagreement(swapped[0], swapped[1], frames[0].camera)
    assert wrong.covisible_fraction < 0.9 * result.covisible_fraction
