"""Augmented pictures are still pictures of a pinhole camera, and no depth in them is made up."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mirror_depth_ros.depth.camera import CameraModel, back_project
from mirror_depth_ros.training.augmentation import NO_AUGMENTATION, Augmentation
from mirror_depth_ros.training.pictures import Picture

NAN = math.nan
LIGHT = Augmentation(photometric=1.0, gamma=0.1, brightness=0.25, colour=0.1)
EVERYTHING = replace(LIGHT, roll_deg=5.0, crop=(0.5, 1.0), flip=0.5, blur=1.0, noise=4.0, jpeg=50)


def a_picture(height: int = 33, width: int = 45, holes: float = 0.0) -> Picture:
    """Return a picture in which no two depths are the same."""
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    depth = 1 + torch.randperm(height * width).reshape(1, height, width) / 1024
    depth[torch.rand(1, height, width) < holes] = NAN
    return Picture(image, depth, torch.tensor(40.0))


def same(one: Picture, other: Picture) -> bool:
    depths = torch.equal(one.depth.nan_to_num(-1.0), other.depth.nan_to_num(-1.0))
    return depths and torch.equal(one.image, other.image) and one.focal_px == other.focal_px


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(7)


def test_no_augmentation_is_the_largest_centred_window() -> None:
    picture = a_picture(33, 45)
    after = NO_AUGMENTATION(picture, (7, 9))
    # 33 / 7 = 4.7 and 45 / 9 = 5: 33 rows and 4.7 * 9 = 42.4 columns, 42 from (45 - 42) // 2 = 1.
    # Centres of cells: 33 / 14 (2 i + 1) = 2, 7, 11, ...; 1 + 42 / 18 (2 j + 1) = 3, 8, 12, ...
    assert after.depth[0, :3, :3].tolist() == picture.depth[0, [2, 7, 11]][:, [3, 8, 12]].tolist()
    # sqrt(7 / 33 * 9 / 42) * 40
    assert after.focal_px.item() == pytest.approx(8.52803, rel=1e-5)


def test_no_augmentation_leaves_a_picture_of_that_size_as_it_is() -> None:
    picture = a_picture(33, 45, holes=0.3)
    state = torch.get_rng_state()
    after = NO_AUGMENTATION(picture, (33, 45))
    assert same(after, picture)
    assert torch.equal(torch.get_rng_state(), state)  # chance has no part in it


def test_an_output_may_be_larger_than_the_picture() -> None:
    picture = a_picture(5, 7)
    after = NO_AUGMENTATION(picture, (15, 21))
    assert torch.equal(after.depth[:, 1::3, 1::3], picture.depth)
    assert after.focal_px == 120.0


def test_flip_mirrors_image_and_depth_together() -> None:
    image = torch.tensor([[10, 20, 30]], dtype=torch.uint8).expand(3, 1, 3)
    picture = Picture(image, torch.tensor([[[1.0, 2.0, NAN]]]), torch.tensor(40.0))
    after = Augmentation(flip=1.0)(picture, (1, 3))
    assert after.image.tolist() == [[[30, 20, 10]]] * 3
    assert after.depth[0, 0, 0].isnan()
    assert after.depth[0, 0, 1:].tolist() == [2.0, 1.0]
    assert after.focal_px == 40.0


def test_flip_happens_as_often_as_asked() -> None:
    picture = a_picture(3, 5)
    flip = Augmentation(flip=0.25)
    mirrored = sum(not same(flip(picture, (3, 5)), picture) for _ in range(200))
    assert 30 < mirrored < 70  # 50 expected, deviation sqrt(200 * 0.25 * 0.75) = 6


def test_half_the_window_doubles_the_focal_length_and_keeps_depths() -> None:
    picture = a_picture(33, 45)
    whole = NO_AUGMENTATION(picture, (11, 15))
    half = Augmentation(crop=(0.5, 0.5))(picture, (22, 30))
    # Windows of 33 x 45 and round(16.5) x round(22.5) = 16 x 22 pixels.
    assert whole.focal_px.item() == pytest.approx(40 / 3)
    assert half.focal_px.item() == pytest.approx(40 * math.sqrt(22 / 16 * 30 / 22))
    assert half.focal_px / 2 == pytest.approx(2 * whole.focal_px.item(), rel=0.04)
    top, left, height, width = window_of(half, picture)
    assert (height, width) == (16, 22)
    inside = picture.depth[:, top : top + height, left : left + width]
    assert set(half.depth.flatten().tolist()) == set(inside.flatten().tolist())


def test_a_surface_looks_larger_by_the_factor_of_the_focal_length() -> None:
    image = torch.zeros(3, 33, 45, dtype=torch.uint8)
    image[:, 11:22, 15:30] = 255  # 15 pixels wide
    picture = Picture(image, torch.full((1, 33, 45), 3.0), torch.tensor(40.0))
    after = Augmentation(crop=(0.8, 0.8))(picture, (99, 135))
    wide = int((after.image[0, 49] > 127).sum())
    factor = after.focal_px.item() / 40
    assert factor == pytest.approx(3 / 0.8, rel=0.02)
    assert wide == pytest.approx(15 * factor, abs=1)


def window_of(after: Picture, before: Picture) -> tuple[int, int, int, int]:
    """Return top, left, height and width of what ``after`` shows, found by its unique depths."""
    shown = torch.isin(before.depth[0], after.depth)
    rows, columns = shown.any(1).nonzero()[:, 0], shown.any(0).nonzero()[:, 0]
    top, left = int(rows[0]), int(columns[0])
    return top, left, int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left


def test_windows_lie_everywhere_and_have_every_size() -> None:
    picture = a_picture(33, 45)
    some = Augmentation(crop=(0.4, 1.0))
    windows = [window_of(some(picture, (33, 45)), picture) for _ in range(300)]
    tops, lefts, heights, widths = (set(values) for values in zip(*windows))
    # 0.4 * 33 = 13.2 and 0.4 * 45 = 18: from 13 x 18 to 33 x 45.
    assert heights >= set(range(14, 33))
    assert widths >= set(range(19, 45))
    assert min(heights) >= 13
    assert min(widths) >= 18
    assert tops >= set(range(15))
    assert lefts >= set(range(20))


@pytest.mark.parametrize('flip', [0.0, 1.0])
def test_a_tilted_plane_stays_one(flip: float) -> None:
    camera = CameraModel(45, 33, 40.0, 40.0, 20.3, 17.1)
    normal = np.array([0.31, -0.47, 0.83])
    # n . (x, y, 1) Z = 4
    depth = 4.0 / (camera.rays @ normal[:2] + normal[2])
    image = torch.zeros(3, 33, 45, dtype=torch.uint8)
    picture = Picture(image, torch.from_numpy(depth.astype(np.float32))[None], torch.tensor(40.0))
    # A share of 21 / 45 is 21 columns and 15 rows of 32.14: in (5, 7), every third of them.
    after = Augmentation(crop=(21 / 45, 21 / 45), flip=flip)(picture, (5, 7))
    shown = torch.isin(picture.depth[0], after.depth).nonzero()
    top, left = (shown.amin(0) - 1).tolist()  # the centre of the first cell of 3 x 3
    seen = camera.cropped(left, top, 21, 15).resized(7, 5)
    if flip:
        seen, normal = replace(seen, cx=6 - seen.cx), normal * [-1, 1, 1]
    assert after.focal_px.item() == pytest.approx(seen.focal_px)
    points = back_project(after.depth[0].numpy(), seen.rays)
    assert np.abs(points @ normal - 4.0).max() < 1e-5
    assert np.ptp(points[..., 2]) > 0.3  # a slope that a wrong camera would show


def test_roll_keeps_a_wall_where_it_is_and_invents_no_corner() -> None:
    picture = Picture(
        torch.full((3, 33, 45), 200, dtype=torch.uint8),
        torch.full((1, 33, 45), 2.5),
        torch.tensor(40.0),
    )
    for crop in (None, (0.3, 1.0)):
        for size in ((11, 15), (45, 21), (3, 101), (101, 3)):
            for _ in range(25):
                after = Augmentation(roll_deg=45.0, crop=crop)(picture, size)
                assert after.depth.unique().tolist() == [2.5]
                assert after.image.unique().tolist() == [200]


def test_roll_turns_image_and_depth_together_by_up_to_the_angle() -> None:
    down = torch.arange(101.0)[:, None].expand(101, 151)
    picture = Picture(
        (2 * down).to(torch.uint8).expand(3, 101, 151), 1 + down[None] / 100, torch.tensor(40.0)
    )
    angles = []
    for _ in range(40):
        after = Augmentation(roll_deg=10.0)(picture, (61, 91))
        # Grey levels are 2 a row, depth 0.01 m a row.
        difference = after.image[0] / 2 - 100 * (after.depth[0] - 1)
        assert difference.abs().max() < 1.1  # nearest pixels are up to half one off, twice
        slope_y, slope_x = (float(g.mean()) for g in torch.gradient(after.image[0].float()))
        angles.append(math.degrees(math.atan2(slope_x, slope_y)))
        # The longer the gradient, the larger the picture's scale: 2 a pixel at the first size.
        scale = after.focal_px.item() / 40
        assert math.hypot(slope_x, slope_y) == pytest.approx(2 / scale, rel=0.03)
    assert max(map(abs, angles)) < 10.5
    assert min(angles) < -5
    assert max(angles) > 5


@settings(max_examples=80, deadline=None)
@given(
    height=st.integers(1, 29),
    width=st.integers(1, 29),
    size=st.tuples(st.integers(1, 29), st.integers(1, 29)),
    roll_deg=st.sampled_from([0.0, 3.0, 45.0]),
    crop=st.sampled_from([None, (0.1, 0.9), (1.0, 1.0)]),
    holes=st.sampled_from([0.0, 0.5, 0.95, 1.0]),
    seed=st.integers(0, 999),
)
def test_no_depth_is_made_up(
    height: int,
    width: int,
    size: tuple[int, int],
    roll_deg: float,
    crop: tuple[float, float] | None,
    holes: float,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    picture = a_picture(height, width, holes)
    picture.depth[0, 0, 0] = math.inf  # the sky of rendered scenes
    after = replace(EVERYTHING, roll_deg=roll_deg, crop=crop)(picture, size)
    assert after.size == size
    assert after.depth.shape == (1, *size)
    assert (torch.isin(after.depth, picture.depth) | after.depth.isnan()).all()
    assert after.focal_px > 0


def test_a_result_is_plain_and_shares_nothing_with_its_picture() -> None:
    for augmentation in (NO_AUGMENTATION, EVERYTHING):
        picture = a_picture(11, 15, holes=0.3)
        before = Picture(*(part.clone() for part in picture))
        after = augmentation(picture, (11, 15))
        assert same(picture, before)
        for part in after:
            assert type(part) is Tensor
            assert part.is_contiguous()
            part.zero_()
        assert same(picture, before)
        assert after.image.dtype == torch.uint8
        assert after.depth.dtype == after.focal_px.dtype == torch.float32


def test_light_never_touches_depth() -> None:
    picture = a_picture(33, 45, holes=0.2)
    plain = NO_AUGMENTATION(picture, (11, 15))
    for change in (
        LIGHT,
        Augmentation(photometric=1.0, gamma=0.1),
        Augmentation(photometric=1.0, brightness=0.2),
        Augmentation(photometric=1.0, colour=0.1),
        Augmentation(blur=2.0),
        Augmentation(noise=8.0),
        Augmentation(jpeg=20),
    ):
        after = change(picture, (11, 15))
        assert not torch.equal(after.image, plain.image)
        assert same(after._replace(image=plain.image), plain)


def grey(level: int) -> Picture:
    image = torch.full((3, 5, 7), level, dtype=torch.uint8)
    return Picture(image, torch.ones(1, 5, 7), torch.tensor(40.0))


@pytest.mark.parametrize(
    ('ranges', 'darkest', 'brightest'),
    [
        ({'brightness': 0.25}, 75, 125),  # 100 * 0.75, 100 * 1.25
        ({'gamma': 0.1}, 91, 110),  # 255 (100 / 255)^1.1 = 91.06 and ^0.9 = 109.8
        ({'colour': 0.1}, 90, 110),
    ],
)
def test_light_changes_within_its_range(
    ranges: dict[str, Any], darkest: int, brightest: int
) -> None:
    change = Augmentation(photometric=1.0, **ranges)
    levels = torch.stack([change(grey(100), (5, 7)).image for _ in range(300)])  # [300, 3, 5, 7]
    assert darkest <= levels.amin() <= darkest + 2
    assert brightest - 2 <= levels.amax() <= brightest
    is_grey = (levels[:, 0] == levels[:, 1]).all() and (levels[:, 1] == levels[:, 2]).all()
    assert is_grey == ('colour' not in ranges)


def test_light_changes_as_often_as_asked_and_not_at_all_by_default() -> None:
    sometimes = replace(LIGHT, photometric=0.25)
    changed = sum(bool((sometimes(grey(100), (5, 7)).image != 100).any()) for _ in range(200))
    assert 30 < changed < 70  # 50 expected, deviation 6
    assert all((NO_AUGMENTATION(grey(100), (5, 7)).image == 100).all() for _ in range(20))


def test_white_stays_white_when_it_brightens() -> None:
    levels = [LIGHT(grey(255), (5, 7)).image.amin().item() for _ in range(50)]
    assert max(levels) == 255
    assert min(levels) > 255 * 0.75 * 0.9 - 1


def test_noise_has_up_to_the_sigma_asked_for() -> None:
    picture = Picture(
        torch.full((3, 45, 63), 128, dtype=torch.uint8), torch.ones(1, 45, 63), torch.tensor(40.0)
    )
    noise = Augmentation(noise=10.0)
    deviations = [noise(picture, (45, 63)).image.float().std().item() for _ in range(60)]
    assert 9 < max(deviations) < 10.5
    assert min(deviations) < 1.5
    assert noise(picture, (45, 63)).image.float().mean().item() == pytest.approx(128, abs=0.5)


def test_blur_spreads_a_point_and_keeps_its_light() -> None:
    image = torch.zeros(3, 31, 31, dtype=torch.uint8)
    image[:, 13:18, 13:18] = 240
    picture = Picture(image, torch.ones(1, 31, 31), torch.tensor(40.0))
    after = [Augmentation(blur=2.0)(picture, (31, 31)).image.float() for _ in range(60)]
    peaks = [blurred[0, 15, 15].item() for blurred in after]
    assert min(peaks) < 160  # erf(2.5 / 2 / sqrt(2))^2 = 0.79^2 = 0.62 at sigma 2: 150
    assert max(peaks) == 240
    for blurred in after:
        assert blurred[0].sum().item() == pytest.approx(240 * 25, rel=0.03)


def test_jpeg_keeps_colours_in_their_order_and_loses_detail() -> None:
    image = torch.zeros(3, 33, 45, dtype=torch.uint8)
    image[0], image[1], image[2] = 200, 120, 40
    plain = Picture(image, torch.ones(1, 33, 45), torch.tensor(40.0))
    after = Augmentation(jpeg=50)(plain, (33, 45)).image
    assert (after.float() - image.float()).abs().max() < 6
    noise = torch.randint(0, 256, (1, 33, 45), dtype=torch.uint8).expand(3, 33, 45)
    busy = plain._replace(image=noise)
    losses = {
        lowest: [
            (Augmentation(jpeg=lowest)(busy, (33, 45)).image.float() - noise).abs().mean().item()
            for _ in range(40)
        ]
        for lowest in (5, 50, 100)
    }
    assert max(losses[5]) > 2 * max(losses[50]) > 20 * max(losses[100])
    assert min(losses[5]) < min(losses[50]) + 3  # both reach up to 100


def test_border_goes_first_and_window_is_the_middle_of_the_bottom() -> None:
    picture = a_picture(33, 45)
    after = Augmentation(border=(3, 2, 40, 31))(picture, (29, 37))
    assert torch.equal(after.depth, picture.depth[:, 2:31, 3:40])
    both = Augmentation(border=(3, 2, 40, 31), window=(11, 23))(picture, (11, 23))
    # Rows 31 - 11 = 20 to 31; columns 3 + (37 - 23) / 2 = 10 to 33.
    assert torch.equal(both.depth, picture.depth[:, 20:31, 10:33])
    assert torch.equal(both.image, picture.image[:, 20:31, 10:33])
    assert both.focal_px == 40.0


def test_the_same_seed_gives_the_same_picture_whatever_other_generators_do() -> None:
    picture = a_picture(33, 45, holes=0.2)
    results = []
    for other in range(2):
        random.seed(other)
        np.random.seed(other)  # noqa: NPY002
        with torch.random.fork_rng():
            torch.manual_seed(11)
            results.append([EVERYTHING(picture, (21, 31)) for _ in range(5)])
    assert all(map(same, *results))
    assert not same(results[0][0], results[0][1])


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'roll_deg': -1.0}, r'got roll_deg=-1.0, expected degrees from 0 to 45; correct it'),
        ({'roll_deg': NAN}, r'got roll_deg=nan, expected degrees'),
        ({'flip': 1.5}, r'got flip=1.5, expected a probability from 0 to 1'),
        ({'flip': True}, r'got flip=True, expected a probability from 0 to 1'),
        ({'blur': float('nan')}, r'got blur=nan, expected pixels'),
        ({'noise': 'much'}, r"got noise='much', expected grey levels"),
        ({'gamma': float('inf')}, r'got gamma=inf, expected a half-range'),
        ({'photometric': -0.1}, r'got photometric=-0.1, expected a probability'),
        ({'gamma': 1.1}, r'got gamma=1.1, expected a half-range about 1 from 0 to 0.9'),
        ({'brightness': -0.1}, r'got brightness=-0.1, expected a half-range'),
        ({'colour': 2.0}, r'got colour=2.0, expected a half-range'),
        ({'blur': -1.0}, r'got blur=-1.0, expected pixels'),
        ({'noise': 300.0}, r'got noise=300.0, expected grey levels from 0 to 255'),
        ({'jpeg': 101}, r'got jpeg=101, expected an integer from 0 to 100'),
        ({'crop': (0.0, 1.0)}, r'got crop\[0\]=0.0, expected a fraction above 0, up to 1'),
        ({'crop': (NAN, 1.0)}, r'got crop\[0\]=nan, expected a fraction'),
        ({'crop': (True, 1.0)}, r'got crop\[0\]=True, expected a fraction'),
        ({'crop': 0.5}, r'got crop=0.5, expected a list of 2'),
        ({'jpeg': 50.5}, r'got jpeg=50.5, expected an integer'),
        ({'crop': (0.9, 0.5)}, r'got crop=\(0.9, 0.5\), expected smallest <= largest'),
        ({'crop': (0.5, 1.1)}, r'got crop\[1\]=1.1, expected a fraction'),
        (
            {'border': (8, 2, 4, 9)},
            r'got border=\(8, 2, 4, 9\), expected left < right .* order left, top',
        ),
        ({'border': (-1, 2, 4, 9)}, r'got border\[0\]=-1, expected an integer from 0'),
        ({'window': (0, 5)}, r'got window\[0\]=0, expected an integer from 1'),
    ],
)
def test_impossible_values_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augmentation(**fields)


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (
            {'border': (3, 2, 46, 31)},
            r'got a picture of 33 x 45 pixels .*, of which border takes '
            r'Window\(top=2, left=3, height=29, width=43\), expected .*; change border',
        ),
        (
            {'window': (35, 23)},
            r'got a picture of 33 x 45 pixels .*, of which window takes '
            r'Window\(top=-2, left=11, height=35, width=23\), expected .*; change window',
        ),
    ],
)
def test_parts_beyond_the_picture_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augmentation(**fields)(a_picture(33, 45), (11, 15))


def test_an_output_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match='got an output of 0 x 5 pixels .*, expected at least'):
        NO_AUGMENTATION(a_picture(), (0, 5))
