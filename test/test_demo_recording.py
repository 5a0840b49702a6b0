"""The recording that ships with the package: what the demo promises of it."""

import json
from pathlib import PurePosixPath

import numpy as np

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.model.resources import demo_directory

FRAMES = FrameFolder(demo_directory())
PLACES = [PurePosixPath(name).parent.as_posix() for name in FRAMES.names]


def test_it_is_small():
    files = [path for path in demo_directory().rglob('*') if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 8 * 2**20


def test_photographs_come_first_and_then_the_videos():
    assert {place: PLACES.count(place) for place in dict.fromkeys(PLACES)} == {
        'photographs/bedroom': 7,
        'photographs/bins': 3,
        'photographs/building': 4,
        'photographs/desk_1': 3,
        'photographs/desk_2': 2,
        'photographs/street': 6,
        'rendered/room': 24,
        'rendered/street': 24,
    }


def test_every_frame_is_small_different_and_has_true_depth():
    contents = set()
    for i, sample in enumerate(FRAMES):
        assert sample.camera.width <= 640
        assert sample.camera.height <= 480
        known = sample.depth[np.isfinite(sample.depth)]
        assert len(known) > 1000, sample.name
        nearest, farthest = (0.2, 10.0) if FRAMES.domain_of(i) == 'indoor' else (1.0, 260.0)
        assert nearest < np.percentile(known, 1), sample.name
        assert np.percentile(known, 99) < farthest, sample.name
        contents.add(sample.rgb.tobytes())
    assert len(contents) == len(FRAMES)


def test_streets_count_farther_than_rooms():
    outdoor = {place for i, place in enumerate(PLACES) if FRAMES.domain_of(i) == 'outdoor'}
    assert outdoor == {'photographs/street', 'rendered/street'}


def test_every_frame_names_an_open_licence_and_every_place_its_authors():
    attribution = (demo_directory() / 'ATTRIBUTION.md').read_text()
    for name in FRAMES.names:
        meta = json.loads((demo_directory() / name / 'meta.json').read_text())
        assert meta['licence'].startswith(('MIT', 'Apache-2.0', 'CC BY 4.0')), name
    for place in {place for place in PLACES if place.startswith('photographs')}:
        assert f'| `{PurePosixPath(place).name}` | {PLACES.count(place)} |' in attribution


def test_videos_know_where_the_camera_was():
    for kind in ('room', 'street'):
        folders = sorted((demo_directory() / 'rendered' / kind).iterdir())
        poses = [json.loads((f / 'meta.json').read_text())['camera_to_world'] for f in folders]
        rotations = np.array(poses)[:, :3, :3]
        identity = np.broadcast_to(np.eye(3), rotations.shape)
        np.testing.assert_allclose(rotations @ rotations.swapaxes(1, 2), identity, atol=1e-5)
        steps = np.linalg.norm(np.diff(np.array(poses)[:, :3, 3], axis=0), axis=1)
        assert steps.min() > 0
        assert steps.max() < 0.6  # [m]
