from __future__ import annotations

import functools
import json

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mirror_depth_ros.cli.main import app
from mirror_depth_ros.depth.files import write_rgb_png

RGB = np.full((15, 21, 3), (200, 100, 0), np.uint8)


@pytest.fixture
def run(run_in_two_metres):
    """Return a function that runs `mirror_depth predict` in an empty folder."""
    return functools.partial(run_in_two_metres, 'predict')


def write_frame(folder):
    folder.mkdir(parents=True)
    write_rgb_png(folder / 'rgb.png', RGB)
    cv2.imwrite(str(folder / 'depth.png'), np.full((15, 21), 2500, np.uint16))
    camera = {'fx': 19.0, 'fy': 18.0, 'cx': 10.5, 'cy': 6.5, 'width': 21, 'height': 15}
    (folder / 'meta.json').write_text(json.dumps({'camera': camera, 'depth_scale': 0.001}))


def test_an_image_becomes_three_files(run, tmp_path):
    write_rgb_png(tmp_path / 'photo.png', RGB)
    result = run('photo.png', '--fov', 60)
    assert result.exit_code == 0, result.output
    written = {path.name for path in (tmp_path / 'predictions').iterdir()}
    assert written == {'photo_depth.png', 'photo_preview.png', 'photo.ply'}


def test_confidence_is_a_file_more(tmp_path, monkeypatch, tiny_model_with_confidence, tiny_model):
    monkeypatch.chdir(tmp_path)
    write_rgb_png(tmp_path / 'photo.png', RGB)
    command = ['predict', 'photo.png', '--fov', '60', '--no-ply', '--confidence']
    command += ['--device', 'cpu']
    result = CliRunner().invoke(app, [*command, '--model', str(tiny_model_with_confidence)])
    assert result.exit_code == 0, result.output
    written = {path.name for path in (tmp_path / 'predictions').iterdir()}
    assert written == {'photo_depth.png', 'photo_preview.png', 'photo_confidence.png'}
    result = CliRunner().invoke(app, [*command, '--model', str(tiny_model), '--backend', 'torch'])
    assert result.exit_code == 1
    assert 'without confidence, expected one that was' in ' '.join(result.output.split())


def test_frames_with_truth_are_measured(run, tmp_path):
    write_frame(tmp_path / 'desk' / 'a')
    write_frame(tmp_path / 'desk' / 'b')
    result = run('desk', '-o', 'out', '--json', 'figures/summary.json', '--no-ply')
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / 'figures' / 'summary.json').read_text())
    # |2 - 2.5| / 2.5 = 0.2; 2.5 / 2 = 1.25 is not below 1.25
    assert summary['mean'] == pytest.approx({'abs_rel': 0.2, 'delta1': 0.0})
    assert [p['name'] for p in summary['predictions']] == ['desk/a', 'desk/b']
    # sqrt(19 * 18)
    assert summary['predictions'][0]['focal_px'] == pytest.approx(18.493242)
    assert (summary['model'], summary['device'], summary['precision']) == (
        'stand-in',
        'cpu',
        'fp32',
    )
    assert '0.200' in result.stdout


def test_a_broken_image_is_named_and_the_rest_goes_on(run, tmp_path):
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in' / 'bad.png').write_text('not an image')
    write_rgb_png(tmp_path / 'in' / 'good.png', RGB)
    result = run('in', '--focal', 20, '--json', 'summary.json')
    assert result.exit_code == 1
    assert '1 of 2 inputs failed' in result.stderr
    assert 'bad.png' in result.stderr
    assert (tmp_path / 'predictions' / 'in' / 'good_depth.png').is_file()
    assert len(json.loads((tmp_path / 'summary.json').read_text())['failures']) == 1


def test_a_second_run_does_not_predict_its_own_results(run, tmp_path):
    write_rgb_png(tmp_path / 'photo.png', RGB)
    for _ in range(2):
        assert run('.', '--fov', 60).exit_code == 0
    assert len(list((tmp_path / 'predictions').rglob('*_depth.png'))) == 1


def test_the_focal_length_of_exif_data_is_taken_and_said(run, tmp_path):
    (tmp_path / 'in').mkdir()
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 26
    for name in ('a.jpg', 'b.jpg'):
        Image.fromarray(RGB).save(tmp_path / 'in' / name, exif=exif)
    write_frame(tmp_path / 'in' / 'c')
    result = run('in', '--json', 'summary.json')
    assert result.exit_code == 0, result.output
    assert (
        'camera of 2 images by EXIF data: a focal length of 26 mm in 35-mm film' in result.stderr
    )
    summary = json.loads((tmp_path / 'summary.json').read_text())
    # 26 / sqrt(36**2 + 24**2) * sqrt(21**2 + 15**2) = 15.508; of the frame as meta.json has it
    focal_px = [p['focal_px'] for p in summary['predictions']]
    assert focal_px == pytest.approx([15.508, 15.508, 18.493], abs=1e-3)
    # What is given goes before what a file says.
    assert run('in', '--focal', 20, '--json', 'summary.json').exit_code == 0
    summary = json.loads((tmp_path / 'summary.json').read_text())
    assert summary['predictions'][0]['focal_px'] == 20.0


def test_what_is_left_out_is_named_in_the_exit_code_too(run, tmp_path):
    (tmp_path / 'in').mkdir()
    write_rgb_png(tmp_path / 'in' / 'a.png', RGB)
    (tmp_path / 'in' / 'IMG_1.HEIC').write_bytes(b'content')
    result = run('in', '--focal', 20, '--json', 'summary.json')
    assert result.exit_code == 1
    assert 'left out: in/IMG_1.HEIC: no image or video that is read' in result.stderr
    assert (tmp_path / 'predictions' / 'in' / 'a_depth.png').is_file()
    assert json.loads((tmp_path / 'summary.json').read_text())['left_out'] == ['in/IMG_1.HEIC']


def test_a_video_without_a_given_camera_is_refused(run, tmp_path):
    (tmp_path / 'clip.mp4').write_bytes(b'content')
    result = run('clip.mp4')
    assert result.exit_code == 1
    assert 'got clip.mp4 without intrinsics' in result.stderr


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            (),
            'got photo.png without intrinsics, expected meta.json or a focal length in EXIF data',
        ),
        (('--fov', 60, '--focal', 20), 'got --fov and --focal, expected one of them'),
        (('--fov', 190), 'got a horizontal field of view of 190.0 degrees'),
        (('--focal', -1), 'got focal lengths fx=-1.0'),
        (('--fov', 60, '--every', 0), 'got every 0 frames'),
    ],
)
def test_an_unknown_camera_or_option_is_refused_before_anything_is_done(
    run, tmp_path, options, message
):
    write_rgb_png(tmp_path / 'photo.png', RGB)
    result = run('photo.png', *options)
    assert result.exit_code == 1
    assert message in result.stderr
    assert not (tmp_path / 'predictions').exists()


def test_clip_weights_that_lie_elsewhere(moved_clip, tmp_path):
    model, weights = moved_clip
    write_rgb_png(tmp_path / 'photo.png', RGB)
    command = ['predict', str(tmp_path / 'photo.png'), '--fov', '60', '--device', 'cpu']
    command += ['--model', str(model), '-o', str(tmp_path / 'out')]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert 'say as clip_weights where this machine has them' in ' '.join(result.stderr.split())
    result = CliRunner().invoke(app, [*command, '--clip-weights', str(weights)])
    assert result.exit_code == 0, result.output
    assert (tmp_path / 'out' / 'photo_depth.png').is_file()
