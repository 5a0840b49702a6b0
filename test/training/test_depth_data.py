"""What is trained and validated on: splits, sizes, variants, and images that cannot be opened."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.data.sample import Selection
from mirror_depth_ros.depth.eval_protocols import PROTOCOLS, Protocol, Window
from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig
from mirror_depth_ros.training.augmentation import NO_AUGMENTATION, Augmentation
from mirror_depth_ros.training.depth_data import DepthData
from mirror_depth_ros.training.loading import Draw, TrainingPictures, ValidationPictures

VARIED = Augmentation(crop=(0.5, 1.0), flip=0.5, brightness=0.3, photometric=1.0)


@pytest.fixture(scope='module')
def network(tiny_network: dict[str, Any]) -> MirrorDepth:
    torch.manual_seed(4)
    return MirrorDepth.from_config(MirrorDepthConfig(**tiny_network, output='log'))


@pytest.fixture
def set_up(network: MirrorDepth, tmp_path: Path) -> Callable[..., DepthData]:
    """Return what prepares data as a trainer would, for process ``rank`` of ``world``."""

    def prepare(
        data: DepthData,
        *,
        rank: int = 0,
        world: int = 1,
        local_rank: int | None = None,
        barrier: Callable[[str], None] = lambda name: None,  # of one process
    ) -> DepthData:
        strategy = SimpleNamespace(root_device=torch.device('cpu'), barrier=barrier)
        data.trainer = SimpleNamespace(
            lightning_module=SimpleNamespace(model=network, max_depth=80.0),
            default_root_dir=str(tmp_path),
            local_rank=rank if local_rank is None else local_rank,
            global_rank=rank,
            world_size=world,
            strategy=strategy,
        )
        data.setup('fit')
        return data

    return prepare


def names(samples: Any) -> list[str]:
    return [samples.name_of(i) for i in range(len(samples))]


def test_a_recording_is_validated_on_its_last_fifth(frames: Path) -> None:
    data = DepthData(f'frames:{frames}')
    assert names(data.train_set.samples) == [f'{i:02d}' for i in range(8)]
    assert names(data.val_set.samples) == ['08', '09']
    assert data.protocol == PROTOCOLS['indoor']


def test_what_to_validate_on_can_be_named(frames: Path) -> None:
    data = DepthData(f'frames:{frames}[:3]', f'frames:{frames}[3:5]', protocol='outdoor')
    assert names(data.train_set.samples) == ['00', '01', '02']
    assert names(data.val_set.samples) == ['03', '04']
    assert data.protocol == PROTOCOLS['outdoor']


def test_a_part_alone_says_nothing_about_validation(frames: Path) -> None:
    with pytest.raises(
        ValueError, match=r'got frames:.*\[:3\] to train on and nothing to validate on, .*--val'
    ):
        DepthData(f'frames:{frames}[:3]')


def test_nyu_and_kitti_are_validated_on_their_test_split(tmp_path: Path) -> None:
    rgb = np.full((480, 640, 3), 120, np.uint8)
    depth = np.full((480, 640), 2500, np.uint16)
    for split in ('train', 'test'):
        for number in range(2):
            room = tmp_path / 'nyu' / 'official_splits' / split / f'{split}_room'
            room.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(room / f'rgb_{number}.jpg'), rgb)
            cv2.imwrite(str(room / f'sync_depth_{number}.png'), depth)
        lines = f'{split}.png {split}_depth.png 721.5\n'
        (tmp_path / f'eigen_{split}_files_with_gt.txt').write_text(lines)
    data = DepthData(f'nyu:{tmp_path / "nyu"}')
    assert {name.partition('/')[0] for name in names(data.train_set.samples)} == {'train_room'}
    assert names(data.val_set.samples) == ['test_room/rgb_0.jpg', 'test_room/rgb_1.jpg']
    assert data.protocol == PROTOCOLS['nyu']
    half = DepthData(f'nyu:{tmp_path / "nyu"}[:50%]')
    assert (len(half.train_set.samples), len(half.val_set.samples)) == (1, 2)
    data = DepthData(f'kitti:{tmp_path}')
    assert names(data.train_set.samples) == ['train.png']
    assert names(data.val_set.samples) == ['test.png']
    assert data.protocol == PROTOCOLS['kitti_garg_full']


def test_values_that_cannot_be(frames: Path) -> None:
    with pytest.raises(ValueError, match=r'got data.variants=0, expected an integer from 1 to'):
        DepthData(f'frames:{frames}', variants=0)
    with pytest.raises(ValueError, match=r'got data.seed=-1, expected an integer from 0 to'):
        DepthData(f'frames:{frames}', seed=-1)


def test_a_draw_decides_all_of_a_picture(frames: Path) -> None:
    pictures = TrainingPictures(Selection(FrameFolder(frames), [2, 5, 7]), VARIED, (48, 64))
    assert len(pictures) == 3
    one, same, other = (pictures[Draw(1, seed)] for seed in (11, 11, 12))
    assert one.image.shape == (3, 48, 64)
    assert one.depth.shape == (1, 48, 64)
    for part, again in zip(one, same):
        torch.testing.assert_close(part, again, rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(one.image, other.image)


def test_a_draw_leaves_chance_elsewhere_alone(frames: Path) -> None:
    pictures = TrainingPictures(FrameFolder(frames), VARIED, (48, 64))
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    pictures[Draw(0, 7)]
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_fixed_variants_differ_and_stay(frames: Path) -> None:
    pair = Selection(FrameFolder(frames), [0, 1])
    pictures = TrainingPictures(pair, VARIED, (48, 64))
    images = [picture.image for picture in pictures.variants(3, seed=0)]
    assert len({image.numpy().tobytes() for image in images}) == 6
    again, other = ([*pictures.variants(3, seed=seed)][4].image for seed in (0, 1))
    assert torch.equal(again, images[4])
    assert not torch.equal(other, images[4])
    plain = TrainingPictures(pair, NO_AUGMENTATION, (48, 64))
    images = [picture.image for picture in plain.variants(3, seed=0)]
    assert torch.equal(images[0], images[2])
    assert not torch.equal(images[2], images[3])  # the second frame's first variant


def test_validation_shows_what_the_estimator_does(frames: Path, network: MirrorDepth) -> None:
    # The lower 41 rows and the middle 61 columns are seen; of the frame, rows 20:45 count.
    protocol = Protocol('made', 4.0, input_size=(41, 61), crop=Window(20, 10, 25, 50))
    pictures = ValidationPictures(Selection(FrameFolder(frames), [1, 4]), protocol, network)
    picture = pictures[1]
    assert picture.size == network.input_size(41, 61) == (48, 64)
    sample = FrameFolder(frames)[4]
    # sqrt(60 * 62), times the scale sqrt(48 * 64 / (41 * 61))
    expected = math.sqrt(60 * 62) * math.sqrt(48 * 64 / (41 * 61))
    assert picture.focal_px.item() == pytest.approx(expected, rel=1e-6)
    assert sample.depth is not None
    truth = np.full((51, 69), np.nan, np.float32)
    truth[20:45, 10:60] = sample.depth[20:45, 10:60]
    truth[truth >= 4.0] = np.nan
    np.testing.assert_array_equal(picture.depth[0].numpy(), truth[10:51, 4:65])


def test_an_image_without_truth_where_it_counts(frames: Path, network: MirrorDepth) -> None:
    near = Protocol('near', 0.4, crop=None)  # the frames begin at half a metre
    pictures = ValidationPictures(Selection(FrameFolder(frames), [6]), near, network)
    with pytest.raises(
        ValueError,
        match=r'06: got no pixel with 0.001 < truth < 0.4 m where it counts, in a truth of 0.5.* m'
        r', expected .*; check the unit and the scale of the ground truth, leave the image out, or'
        r' choose another --data.protocol than near$',
    ):
        pictures[0]


@pytest.mark.parametrize('features', ['computed', 'cached'])
def test_a_wrong_unit_is_an_error_before_anything_is_encoded(
    features: Any,
    make_frames: Callable[..., Path],
    set_up: Callable[..., DepthData],
    tmp_path: Path,
) -> None:
    frames = make_frames(tmp_path / 'frames', 5)
    for meta in frames.rglob('meta.json'):
        facts = json.loads(meta.read_text())
        meta.write_text(json.dumps({**facts, 'depth_scale': 1000 * facts['depth_scale']}))
    with pytest.raises(
        ValueError, match=r'^04: got no pixel with 0.001 < truth < 10.0 m where it'
    ):
        set_up(DepthData(f'frames:{frames}', features=features, workers=0))
    assert not (tmp_path / 'features').exists()


def test_images_to_validate_on_are_shared_out(
    frames: Path, set_up: Callable[..., DepthData]
) -> None:
    options = {'workers': 0, 'val_count': 4}
    shares = []
    for rank in range(2):
        data = DepthData(f'frames:{frames}[:1]', f'frames:{frames}', **options)
        loader = set_up(data, rank=rank, world=2).val_dataloader()
        shares.append([loader.dataset.indices[i] for i in range(len(loader))])
    # Four of ten, evenly: 0 * 10 // 4, 10 // 4, 20 // 4, 30 // 4.
    assert shares == [[0, 5], [2, 7]]
    data = set_up(DepthData(f'frames:{frames}[:1]', f'frames:{frames}[5:]'))
    assert len(data.val_dataloader()) == 5
    assert [data.val_sample(i).name for i in range(4)] == ['05', '06', '07', '08']
    assert data.trainer.lightning_module.max_depth == 10.0  # of the protocol indoor


def test_fewer_images_to_validate_on_than_processes(
    frames: Path, set_up: Callable[..., DepthData]
) -> None:
    data = set_up(DepthData(f'frames:{frames}'), rank=2, world=3)
    with pytest.raises(
        ValueError, match=r'got 2 images to validate on, expected at least 3, one for each'
    ):
        data.val_dataloader()


def test_cached_features_are_made_once(
    frames: Path, set_up: Callable[..., DepthData], tmp_path: Path
) -> None:
    def prepare(**options: Any) -> DepthData:
        data = DepthData(f'frames:{frames}', features='cached', batch_size=3, workers=0, **options)
        return set_up(data)

    data = prepare(variants=2, augmentation=VARIED)
    loader = data.train_dataloader()
    assert len(loader) == 5  # 8 frames * 2 variants, in batches of 3
    features, depth, focal_px, to_camera = next(iter(loader))
    assert features.shape == (3, 2, 3, 4, 32)  # two taps of 3 x 4 patches
    assert depth.shape == (3, 1, 48, 64)
    assert focal_px.shape == (3,)
    assert to_camera.shape == (3, 2, 3)
    (first,) = (tmp_path / 'features').iterdir()
    made = (first / 'features.npy').stat().st_mtime_ns
    prepare(variants=2, augmentation=VARIED)
    assert (first / 'features.npy').stat().st_mtime_ns == made
    # What the features depend on names their folder.
    for options in (
        {'variants': 1, 'augmentation': VARIED},
        {'variants': 2},
        {'variants': 2, 'augmentation': VARIED, 'seed': 1},
    ):
        prepare(**options)
    assert len(list((tmp_path / 'features').iterdir())) == 4


def test_the_first_process_of_another_machine_waits_for_the_first_of_all(
    frames: Path, set_up: Callable[..., DepthData], tmp_path: Path
) -> None:
    there_at: list[int] = []
    features = tmp_path / 'features'

    def barrier(name: str) -> None:
        there_at.append(len(list(features.glob('*'))))

    def prepare(**ranks: Any) -> None:
        data = DepthData(f'frames:{frames}[:2]', f'frames:{frames}[2:]', features='cached')
        set_up(data, world=4, barrier=barrier, **ranks)

    # On a disk of its own it makes them after it has waited once; other processes of its machine
    # have waited twice before they read.
    prepare(rank=2, local_rank=0)
    assert there_at == [0, 1]
    prepare(rank=3, local_rank=1)
    assert there_at == [0, 1, 1, 1]
    shutil.rmtree(features)
    there_at.clear()
    prepare(rank=0)
    assert there_at == [1, 1]


def test_two_cameras_of_a_recording_have_features_of_their_own(
    bag_maker: Any, set_up: Callable[..., DepthData], tmp_path: Path
) -> None:
    messages = []
    for stamp_ns in range(0, 5 * 10**9, 10**9):
        for camera, grey in (('front', 50), ('rear', 200)):
            rgb, depth = np.full((51, 69, 3), grey, np.uint8), np.full((51, 69), 1500, np.uint16)
            messages += [
                (f'/{camera}/image', bag_maker.image(rgb, 'rgb8', stamp_ns, camera)),
                (f'/{camera}/depth', bag_maker.image(depth, '16UC1', stamp_ns, camera)),
                (f'/{camera}/camera_info', bag_maker.info(69, 51, stamp_ns)),
            ]
    recording = bag_maker.write(messages)
    first = []
    for camera in ('front', 'rear'):
        data = DepthData(
            f'bag:{recording},image=/{camera}/image', features='cached', variants=1, workers=0
        )
        assert data.names[1] == f'bag:{recording},image=/{camera}/image[80%:]'
        assert len(data.val_set.samples) == 1
        first.append(set_up(data)._train_data[Draw(0, 0)].features)
    assert len(list((tmp_path / 'features').iterdir())) == 2
    assert not torch.equal(*first)


def test_a_recording_with_a_lidar_says_what_is_used_of_it(
    lidar_recording: Path, set_up: Callable[..., DepthData], capsys: Any
) -> None:
    data = set_up(DepthData(f'bag:{lidar_recording}', augmentation=VARIED, workers=0))
    printed = capsys.readouterr().out
    assert '              lidar  /scan (LaserScan) in laser\n' in printed
    assert '          with lidar  10 of 10 images\n' in printed
    assert 'training on 8 images of' in printed
    assert data.protocol.name == 'outdoor'
    assert data._train_data is not None
    truth = data.train_set.samples[0].depth
    assert truth is not None
    depth = data._train_data[Draw(0, 5)].depth
    known = set(depth[~depth.isnan()].tolist())
    assert known
    assert known <= set(truth[~np.isnan(truth)].tolist())


@pytest.fixture
def damaged(make_frames: Callable[..., Path], tmp_path: Path) -> Path:
    """Six frames of which the second is cut off; the last is for validation."""
    folder = make_frames(tmp_path / 'damaged', 6)
    image = folder / '01' / 'rgb.png'
    image.write_bytes(image.read_bytes()[:100])
    return folder


def test_a_damaged_image_is_an_error_that_names_it(
    damaged: Path, set_up: Callable[..., DepthData]
) -> None:
    data = set_up(DepthData(f'frames:{damaged}', batch_size=5, workers=0))
    with pytest.raises(ValueError, match=r'got .*01/rgb.png, which is cut short or damaged'):
        next(iter(data.train_dataloader()))


def test_damaged_images_can_be_passed_over(
    damaged: Path, set_up: Callable[..., DepthData], tmp_path: Path, capsys: Any
) -> None:
    def prepare(where: Path) -> DepthData:
        return set_up(
            DepthData(f'frames:{where}', batch_size=2, workers=0, skip_broken=True, val_count=1)
        )

    loader = prepare(damaged).train_dataloader()
    assert sum(len(batch.image) for batch in loader) == 4  # 00, 02, 03 and 04
    broken = json.loads((tmp_path / 'broken.json').read_text())
    assert [entry['name'] for entry in broken['train']] == ['01']
    assert '01/rgb.png, which is cut short or damaged' in broken['train'][0]['error']
    assert broken['val'] == []
    assert '1 images of train cannot be opened' in capsys.readouterr().out
    # The list is kept, as looking through a large data set takes long, but for this one only.
    shutil.copy(damaged / '00' / 'rgb.png', damaged / '01' / 'rgb.png')
    assert len(prepare(damaged).train_dataloader()) == 2
    moved = damaged.rename(tmp_path / 'mended')
    assert sum(len(batch.image) for batch in prepare(moved).train_dataloader()) == 4
    assert json.loads((tmp_path / 'broken.json').read_text())['train'] == []


def test_nothing_but_damaged_images(
    damaged: Path, set_up: Callable[..., DepthData], tmp_path: Path
) -> None:
    (damaged / '05' / 'depth.png').write_bytes(b'')
    with pytest.raises(
        ValueError, match=r'got 1 images of frames:.*\[80%:\] and none that can be opened, .*05'
    ):
        set_up(DepthData(f'frames:{damaged}', skip_broken=True))


def test_frames_without_depth_come_with_others(
    moving_frames: Path, frames: Path, set_up: Callable[..., DepthData], capsys: Any
) -> None:
    data = set_up(DepthData(f'frames:{moving_frames}', f'frames:{frames}[:3]', batch_size=3))
    batch = next(iter(data.train_dataloader()))
    assert batch.seen.image.shape == (3, 3, 48, 64)
    assert batch.rays.shape == (3, 2, 48, 64)
    assert batch.views.pictures.shape == (3, 3, 1, 48, 64)
    assert batch.views.poses.shape == (3, 3, 4, 4)
    # What is validated on has depth all the same.
    assert next(iter(data.val_dataloader())).depth.isfinite().any()
    assert re.search(
        r': learning from motion, 10 of 10 images beside others 0\.[0-9]+ to 0\.[0-9]'
        r'+ m away',
        capsys.readouterr().out,
    )


def test_a_camera_that_stands_is_refused(
    make_frames: Callable[..., Path], set_up: Callable[..., DepthData], tmp_path: Path
) -> None:
    folder = make_frames(tmp_path / 'standing', 5)
    for meta in folder.rglob('meta.json'):
        facts = {**json.loads(meta.read_text()), 'camera_to_world': np.eye(4).tolist()}
        meta.write_text(json.dumps(facts))
        (meta.parent / 'depth.png').unlink()
    with pytest.raises(ValueError, match='expected a camera that moves'):
        set_up(DepthData(f'frames:{folder}'))


@pytest.fixture
def driving(bag_maker: Any) -> Callable[..., Path]:
    """Record ten images of a robot that drives ahead, and what else is given of each."""
    mounting = [
        ('/tf_static', bag_maker.transform('base_link', frame, quaternion=turn))
        for frame, turn in (('optical', (-0.5, 0.5, -0.5, 0.5)), ('laser', (0.0, 0.0, 0.0, 1.0)))
    ]

    def record(measure: Callable[[int, int], list[Any]], step_m: float = 0.25) -> Path:
        messages = [*mounting]
        for i in range(10):
            stamp_ns = 10**9 + i * 10**8
            rgb = np.random.default_rng(i).integers(0, 256, (51, 69, 3), np.uint8)
            messages += [
                ('/camera/image', bag_maker.image(rgb, 'rgb8', stamp_ns, 'optical')),
                ('/camera/camera_info', bag_maker.info(69, 51, stamp_ns)),
                ('/odom', bag_maker.odometry(stamp_ns, xyz=(step_m * i, 0, 0))),
                *measure(i, stamp_ns),
            ]
        return bag_maker.write(messages)

    return record


def test_a_recording_with_odometry_and_no_depth(
    driving: Callable[..., Path], set_up: Callable[..., DepthData], capsys: Any
) -> None:
    recording = driving(lambda i, stamp_ns: [])
    data = set_up(DepthData(f'bag:{recording}', batch_size=8, workers=0))
    output = capsys.readouterr().out
    assert 'motion  from odom -> optical' in output
    assert '[:80%]: learning from motion, 8 of 8 images beside others' in output
    batch = next(iter(data.train_dataloader()))
    # The camera moves along its axis, by a multiple of 0.25 m.
    steps = batch.views.poses[:, 1:, 2, 3] / 0.25
    assert (steps.abs() > 0.9).all()
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-5)
    assert (batch.views.poses[:, :, :2, 3].abs() < 1e-6).all()


def test_lidar_motion_and_range_sensor_together(
    bag_maker: Any, driving: Callable[..., Path], set_up: Callable[..., DepthData], capsys: Any
) -> None:
    def measure(i: int, stamp_ns: int) -> list[Any]:
        scan = ('/scan', bag_maker.scan([3.0, 3.0], stamp_ns, angle_increment=0.05))
        sonar = ('/sonar', bag_maker.range(1.5, stamp_ns, 'laser'))
        return [scan] * (i % 2) + [sonar] * (i % 3 == 0)

    recording = driving(measure)
    data = set_up(DepthData(f'bag:{recording},motion=yes', batch_size=8, workers=0))
    output = capsys.readouterr().out
    assert '[:80%]: learning from range sensors, 3 of 8 images' in output
    assert '[:80%]: learning from motion, 8 of 8 images beside others' in output
    batch = next(iter(data.train_dataloader()))
    assert batch.seen.depth.isfinite().flatten(1).any(dim=1).sum() == 4
    assert batch.views.pictures.shape == (8, 3, 1, 48, 64)
    assert batch.cones.shape == (8, 1, 9)
    assert batch.cones.isfinite().all(dim=2).sum() == 3
    # Of the last two images, one has a scan; it is what is validated on.
    assert len(data.val_dataloader()) == 1
    for without in ('', ',lidar=/scan'):
        data = set_up(DepthData(f'bag:{recording}{without}', batch_size=4, workers=0))
        batch = next(iter(data.train_dataloader()))
        if 'lidar' in without:
            assert batch.depth.shape == (4, 1, 48, 64)
        else:
            assert batch.views.pictures.shape[1] == 1


def test_a_robot_that_stands_still_learns_from_its_lidar(
    bag_maker: Any, driving: Callable[..., Path], set_up: Callable[..., DepthData], capsys: Any
) -> None:
    recording = driving(
        lambda i, stamp_ns: [('/scan', bag_maker.scan([3.0], stamp_ns))], step_m=0.0
    )
    data = set_up(DepthData(f'bag:{recording},motion=yes', batch_size=8, workers=0))
    assert 'not learning from motion: got 8 images' in capsys.readouterr().out
    batch = next(iter(data.train_dataloader()))
    assert batch.views.pictures.shape[1] == 1
    assert batch.seen.depth.isfinite().any()


def test_a_range_sensor_alone_is_refused(
    bag_maker: Any, driving: Callable[..., Path], set_up: Callable[..., DepthData]
) -> None:
    recording = driving(lambda i, stamp_ns: [('/sonar', bag_maker.range(1.5, stamp_ns, 'laser'))])
    with pytest.raises(
        ValueError, match='with neither depth nor motion, .*; give --val, or let ~/calibrate_scale'
    ):
        set_up(DepthData(f'bag:{recording},motion=no', batch_size=8, workers=0))
