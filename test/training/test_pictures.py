"""Pictures for training: from samples, cut, and resized without inventing depth."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import default_collate

from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.eval_protocols import Window
from mirror_depth_ros.training.pictures import (
    Picture,
    crop,
    flip,
    resize,
    resize_depth,
    rotate,
    to_picture,
)

NAN = math.nan


def a_sample(depth: bool = True) -> DepthSample:
    rgb = np.arange(3 * 5 * 3, dtype=np.uint8).reshape(3, 5, 3)
    truth = np.arange(15, dtype=np.float32).reshape(3, 5)
    # sqrt(8 * 18) = 12
    camera = CameraModel(5, 3, 8.0, 18.0, 2.0, 1.0)
    return DepthSample(rgb, truth if depth else None, camera, 'office/0001')


def resized(depth: list[list[float]], size: tuple[int, int]) -> list[list[float]]:
    return resize_depth(torch.tensor([depth]), size)[0].tolist()


def a_picture(height: int, width: int, focal_px: float = 40.0) -> Picture:
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    depth = 1 + torch.rand(1, height, width)
    return Picture(image, depth, torch.tensor(focal_px))


def test_a_sample_as_tensors() -> None:
    sample = a_sample()
    picture = to_picture(sample)
    assert picture.size == (3, 5)
    assert picture.image.dtype == torch.uint8
    assert picture.image[1, 2, 3] == sample.rgb[2, 3, 1]
    assert picture.depth.dtype == torch.float32
    assert picture.depth.shape == (1, 3, 5)
    assert picture.depth[0, 2, 3] == 13.0
    assert picture.focal_px.shape == ()
    assert picture.focal_px.dtype == torch.float32
    assert picture.focal_px == 12.0


def test_a_picture_shares_no_memory_with_its_sample() -> None:
    sample = a_sample()
    picture = to_picture(sample)
    picture.image.zero_()
    picture.depth.zero_()
    assert sample.rgb[2, 4, 2] == 44
    assert sample.depth is not None
    assert sample.depth[2, 4] == 14.0


def test_a_sample_without_depth_is_refused() -> None:
    with pytest.raises(ValueError, match=r'got office/0001 without depth, expected depth to'):
        to_picture(a_sample(depth=False))


def test_pictures_make_batches() -> None:
    batch = default_collate([to_picture(a_sample()), to_picture(a_sample())])
    assert isinstance(batch, Picture)
    assert batch.image.shape == (2, 3, 3, 5)
    assert batch.depth.shape == (2, 1, 3, 5)
    assert batch.focal_px.tolist() == [12.0, 12.0]


def test_a_part_keeps_focal_length_and_places() -> None:
    picture = to_picture(a_sample())
    part = crop(picture, Window(top=1, left=2, height=2, width=3))
    assert part.depth.tolist() == [[[7.0, 8.0, 9.0], [12.0, 13.0, 14.0]]]
    assert torch.equal(part.image, picture.image[:, 1:3, 2:5])
    assert part.focal_px == 12.0


def test_a_quarter_turn_counterclockwise() -> None:
    picture = to_picture(a_sample())
    turned = rotate(picture, 90.0, (5, 3))
    # The last column comes to the top.
    assert turned.depth[0].tolist() == [
        [4.0, 9.0, 14.0],
        [3.0, 8.0, 13.0],
        [2.0, 7.0, 12.0],
        [1.0, 6.0, 11.0],
        [0.0, 5.0, 10.0],
    ]
    assert torch.equal(turned.image, picture.image.rot90(1, (1, 2)))
    assert turned.focal_px == 12.0


def test_beyond_the_edge_lies_no_depth() -> None:
    turned = rotate(to_picture(a_sample()), 90.0, (3, 5))
    assert turned.depth[0, :, 1:4].isfinite().all()
    assert turned.depth[0, :, [0, 4]].isnan().all()
    assert not turned.image[:, :, [0, 4]].any()


@pytest.mark.parametrize(
    ('size', 'focal_px'),
    [
        ((18, 30), 80.0),  # twice as large: 2 * 40
        ((3, 5), 40 / 3),
        ((9, 60), 80.0),  # sqrt(1 * 4) * 40
    ],
)
def test_focal_length_follows_the_size(size: tuple[int, int], focal_px: float) -> None:
    after = resize(a_picture(9, 15), size)
    assert after.size == size
    assert after.depth.shape == (1, *size)
    assert after.image.dtype == torch.uint8
    assert after.focal_px.item() == pytest.approx(focal_px)


def test_an_image_is_averaged_where_it_shrinks() -> None:
    stripes = torch.zeros(3, 9, 45, dtype=torch.uint8)
    stripes[:, :, ::2] = 200
    picture = Picture(stripes, torch.ones(1, 9, 45), torch.tensor(40.0))
    small = resize(picture, (3, 5)).image[:, :, 1:-1].float()
    # Nearest or plain bilinear sampling would give 0 or 200 in places.
    assert (small - 100).abs().max() < 10


def test_a_single_column_and_a_single_pixel_are_averaged_too() -> None:
    image = torch.tensor([[0, 40], [80, 240]], dtype=torch.uint8).expand(3, 2, 2)
    for pixels in (image, image.contiguous()):  # the latter is what PyTorch fails on
        picture = Picture(pixels, torch.ones(1, 2, 2), torch.tensor(40.0))
        # Two pixels under a triangle of twice their distance weigh the same.
        assert resize(picture, (2, 1)).image.tolist() == [[[20], [160]]] * 3
        assert resize(picture, (1, 1)).image.tolist() == [[[90]]] * 3


def test_dense_depth_takes_the_pixel_at_the_centre() -> None:
    depth = [[float(10 * row + column) for column in range(9)] for row in range(3)]
    # Cells of 3 x 3: centres in row 1, columns 1, 4 and 7.
    assert resized(depth, (1, 3)) == [[11.0, 14.0, 17.0]]


def test_a_hole_takes_the_nearest_valid_depth_of_its_cell() -> None:
    depth = [
        [1.0, NAN, NAN, NAN, NAN, NAN],
        [NAN, NAN, 2.0, NAN, NAN, 4.0],
        [NAN, NAN, NAN, NAN, NAN, NAN],
    ]
    # Centres at columns 1 and 4 of row 1. In the first cell, 1.0 is sqrt(2) away and 2.0 only 1.
    assert resized(depth, (1, 2)) == [[2.0, 4.0]]


def test_of_two_equally_near_depths_the_smaller_counts() -> None:
    assert resized([[3.0, NAN, 2.0, 4.0, NAN, 5.0]], (1, 2)) == [[2.0, 4.0]]


def test_a_cell_without_depth_stays_empty() -> None:
    depth = [[NAN] * 3 + [5.0] + [NAN] * 2] * 3
    first, second = resized(depth, (1, 2))[0]
    assert math.isnan(first)  # though 5.0 touches the cell
    assert second == 5.0


def test_cells_may_be_no_whole_number_of_pixels() -> None:
    # 7 pixels in 3 cells of 2 1/3: centres at 0.67, 3 and 5.33; pixels 0-1, 2-4 and 5-6.
    assert resized([[0.0, NAN, 2.0, NAN, NAN, NAN, 6.0]], (1, 3)) == [[0.0, 2.0, 6.0]]


def test_growing_repeats_depth_and_holes() -> None:
    grown = resized([[1.0, NAN]], (2, 4))
    assert [[math.isnan(depth) for depth in row] for row in grown] == [
        [False, False, True, True]
    ] * 2
    assert [row[:2] for row in grown] == [[1.0, 1.0]] * 2


def test_holes_close_along_the_axis_that_shrinks_only() -> None:
    # Rows 1 -> 2 repeat; columns 6 -> 2 have 4.0 in the second cell alone.
    grown = resized([[NAN, NAN, NAN, NAN, NAN, 4.0]], (2, 2))
    assert [[math.isnan(depth) for depth in row] for row in grown] == [[True, False]] * 2
    assert [row[1] for row in grown] == [4.0, 4.0]


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 23),
    width=st.integers(1, 23),
    rows=st.integers(1, 23),
    columns=st.integers(1, 23),
    share=st.floats(0, 1),
    seed=st.integers(0, 999),
)
def test_every_depth_is_the_nearest_of_its_cell(
    height: int, width: int, rows: int, columns: int, share: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    depth = torch.rand(1, height, width, generator=generator)
    depth[torch.rand(1, height, width, generator=generator) < share] = NAN
    actual = resize_depth(depth, (rows, columns))[0]
    for row in range(rows):
        for column in range(columns):
            expected = nearest_in_cell(depth[0], (rows, columns), row, column)
            assert actual[row, column].item() in expected or (
                not expected and actual[row, column].isnan()
            )


def nearest_in_cell(depth: Tensor, size: tuple[int, int], row: int, column: int) -> list[float]:
    """Return the depths a cell may take, several where they are equally near; slow and plain."""
    axes = []
    for length, count, cell in zip(depth.shape, size, (row, column)):
        centre = (cell + 0.5) * length / count - 0.5
        if count >= length:
            axes.append([(int((2 * cell + 1) * length / (2 * count)), 0.0)])
        else:
            owned = [p for p in range(length) if int((2 * p + 1) * count // (2 * length)) == cell]
            axes.append([(pixel, (pixel - centre) ** 2) for pixel in owned])
    found = [
        (down + across, depth[y, x].item())
        for y, down in axes[0]
        for x, across in axes[1]
        if not depth[y, x].isnan()
    ]
    least = min(found, default=(0.0, 0.0))[0]
    return [value for distance, value in found if distance < least + 1e-4]


def a_scan(height: int, width: int, *, every: int) -> tuple[Picture, set[float]]:
    """Return a picture whose depth is one row of a lidar's beams, and the depths."""
    depth = torch.full((1, height, width), NAN)
    beams = torch.arange(1, width, every)
    depth[0, height // 2, beams] = 1 + beams / 100
    picture = a_picture(height, width)._replace(depth=depth)
    return picture, set(depth[~depth.isnan()].tolist())


def test_every_beam_of_a_scan_survives_a_resize() -> None:
    # 481 x 641 to 192 x 256: cells of 2.504 columns, of which none has two beams 3 apart.
    picture, depths = a_scan(481, 641, every=3)
    small = resize(picture, (192, 256)).depth
    known = small[~small.isnan()]
    assert len(known) == len(depths) == 214
    assert set(known.tolist()) == depths  # each as it was: nothing is mixed with what is missing
    assert (~small.isnan()).any(dim=-1).sum() == 1  # in one row


def test_a_dense_scan_fills_every_column_of_a_smaller_picture() -> None:
    picture, depths = a_scan(481, 641, every=1)
    small = resize(picture, (192, 256)).depth
    known = small[~small.isnan()].tolist()
    assert len(known) == 256
    assert set(known) <= depths


def test_a_roll_loses_few_beams_and_invents_none() -> None:
    # A pixel's square is turned over the grid of the new ones: some lie between their centres.
    picture, depths = a_scan(481, 641, every=3)
    for angle_deg in (-3.0, 0.7, 3.0):
        rolled = rotate(picture, angle_deg, (440, 600)).depth
        found = set(rolled[~rolled.isnan()].tolist())
        assert found <= depths
        within = {1 + c / 100 for c in range(1, 641, 3) if abs(c - 320) < 295}
        assert len(found) > 0.9 * len(within)


def test_depths_beyond_measure_survive() -> None:
    assert resized([[math.inf] * 3 + [2.0] * 3] * 3, (1, 2)) == [[math.inf, 2.0]]


def test_a_size_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match='got an output of 0 x 5 pixels .*, expected at least'):
        resize(a_picture(9, 15), (0, 5))


def places(height: int, width: int) -> Picture:
    """Return a picture that shows its own pixels' columns and rows."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    image = torch.stack([columns, rows, rows]).to(torch.uint8)
    return Picture(image, torch.ones(1, height, width), torch.tensor(40.0))


def test_a_picture_knows_where_its_pixels_were() -> None:
    picture = places(33, 45)
    assert picture.to_camera.tolist() == [[1, 0, 0], [0, 1, 0]]
    assert crop(picture, Window(3, 5, 20, 30)).to_camera.tolist() == [[1, 0, 5], [0, 1, 3]]
    assert flip(picture).to_camera.tolist() == [[-1, 0, 44], [0, 1, 0]]
    # 45 / 15 = 3 columns become one, the first at the middle of 0, 1 and 2.
    assert resize(picture, (66, 15)).to_camera.tolist() == [[3, 0, 1], [0, 0.5, -0.25]]


def test_whatever_is_done_to_it() -> None:
    for angle_deg in (0.0, 7.0, -20.0):
        picture = rotate(crop(places(93, 121), Window(4, 6, 85, 110)), angle_deg, (40, 50))
        picture = crop(flip(resize(picture, (80, 75))), Window(10, 10, 60, 50))
        rows, columns = torch.meshgrid(torch.arange(60.0), torch.arange(50.0), indexing='ij')
        pixels = torch.stack([columns, rows, torch.ones_like(rows)], dim=-1)
        there = pixels @ picture.to_camera.T  # [60, 50, 2]
        torch.testing.assert_close(
            there.permute(2, 0, 1), picture.image[:2].float(), rtol=0, atol=1.1
        )


def test_a_sample_without_depth_where_none_is_needed() -> None:
    picture = to_picture(a_sample(depth=False), needs_depth=False)
    assert picture.depth.shape == (1, 3, 5)
    assert picture.depth.isnan().all()
