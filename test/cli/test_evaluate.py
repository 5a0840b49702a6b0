"""``mirror_depth evaluate`` from the shell's side."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from mirror_depth_ros.cli.main import app
from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.data.specification import FORMS
from mirror_depth_ros.depth.eval_protocols import PROTOCOLS
from mirror_depth_ros.evaluation.misalignment import Misalignment, Move

COMMAND = typer.main.get_group(app).commands['evaluate']
HELP = {option.name: option.help for option in COMMAND.params}


def write_kitti(root: Path, truths: dict[str, float | None]) -> None:
    """Write a grey KITTI frame for each name, the same depth [m] in all of it, or none."""
    lines = []
    for name, metres in truths.items():
        cv2.imwrite(str(root / f'{name}.png'), np.full((371, 1227, 3), 120, np.uint8))
        depth = 'None'
        if metres is not None:
            depth = f'{name}_depth.png'
            cv2.imwrite(str(root / depth), np.full((371, 1227), 256 * metres, np.uint16))
        lines.append(f'{name}.png {depth} 721.5377')
    (root / 'eigen_test_files_with_gt.txt').write_text('\n'.join(lines))


def run(data: str, model: Path, *options: str) -> tuple[int, str, dict[str, Any]]:
    """Return exit code, output and figures of an evaluation."""
    report = model.with_name('figures.json')
    report.unlink(missing_ok=True)
    command = ['evaluate', '--data', data, '--model', str(model), '--device', 'cpu']
    result = CliRunner().invoke(app, [*command, '--json', str(report), *options])
    figures = json.loads(report.read_text()) if report.is_file() else {}
    return result.exit_code, ' '.join(result.output.split()), figures


def test_frames_with_figures_and_pictures(tiny_model: Path, frames: Path, tmp_path: Path) -> None:
    report, pictures = tmp_path / 'below' / 'figures.json', tmp_path / 'pictures'
    command = ['evaluate', '--data', f'frames:{frames}[:2]', '--model', str(tiny_model)]
    command += ['--device', 'cpu', '--json', str(report), '--pictures', str(pictures)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert 'abs_rel' in result.output
    summary = json.loads(report.read_text())
    assert summary['images'] == 2
    assert (summary['protocol'], summary['max_depth_m']) == ('indoor', 10.0)
    assert (summary['left_out'], summary['broken']) == (0, [])
    assert summary['metric']['abs_rel'] > 0
    assert summary['metric'] != summary['median_scaled']
    assert len(list(pictures.iterdir())) == 2


def test_a_recording_with_a_lidar_says_first_what_is_used(
    tiny_model: Path, lidar_recording: Path
) -> None:
    code, output, figures = run(f'bag:{lidar_recording}[:3]', tiny_model)
    assert code == 0, output
    assert re.search(
        r'images │ /image │ .* lidar │ /scan \(LaserScan\) in laser .* abs_rel', output
    )
    assert (figures['images'], figures['protocol']) == (3, 'outdoor')
    assert figures['metric']['abs_rel'] > 0


def test_delta1_as_expected_stands_below_delta1_as_reached(
    tiny_model: Path, tiny_model_with_confidence: Path, frames: Path
) -> None:
    code, output, figures = run(f'frames:{frames}[:2]', tiny_model_with_confidence)
    assert code == 0, output
    expected = figures['expected_delta1']
    assert 0 < expected < 1
    assert re.search(rf'delta1 │ .* delta1 expected │ {expected:.3f} │ │ │ delta2 │', output)
    assert np.mean([i['expected_delta1'] for i in figures['per_image']]) == pytest.approx(expected)
    code, output, figures = run(f'frames:{frames}[:2]', tiny_model)
    assert (code, figures['expected_delta1']) == (0, None)
    assert 'expected' not in output


def test_kitti_by_its_protocols(tiny_model: Path, tmp_path: Path) -> None:
    write_kitti(tmp_path, {'a': 9.0, 'b': None, 'c': 30.0})
    code, output, figures = run(f'kitti:{tmp_path}', tiny_model)
    assert code == 0, output
    assert '2 images of kitti:' in output
    assert 'protocol kitti_garg_full, up to 80 m' in output
    assert 'images without true depth, which do not count: 1' in output
    assert (figures['images'], figures['left_out']) == (2, 1)
    assert (figures['protocol'], figures['max_depth_m']) == ('kitti_garg_full', 80.0)
    assert [image['name'] for image in figures['per_image']] == ['a.png', 'c.png']
    options = ('--protocol', 'kitti_eigen_cropped', '--max-depth', '50', '--flip')
    code, output, others = run(f'kitti:{tmp_path}', tiny_model, *options)
    assert code == 0, output
    assert (others['protocol'], others['max_depth_m']) == ('kitti_eigen_cropped', 50.0)
    assert others['metric'] != figures['metric']


def test_broken_images_are_an_error_unless_they_may_be_skipped(
    tiny_model: Path, tmp_path: Path
) -> None:
    write_kitti(tmp_path, {'a': 9.0, 'b': 9.0, 'c': 9.0})
    (tmp_path / 'a_depth.png').unlink()
    (tmp_path / 'c.png').write_bytes((tmp_path / 'c.png').read_bytes()[:-9])
    code, output, figures = run(f'kitti:{tmp_path}', tiny_model)
    assert code == 1
    assert 'mirror_depth: got no file' in output
    assert 'a_depth.png' in output
    assert not figures
    code, output, figures = run(f'kitti:{tmp_path}', tiny_model, '--skip-broken')
    assert code == 0, output
    assert 'images that cannot be opened, which do not count: 2 a.png: got no file' in output
    assert figures['images'] == 1
    assert [image['name'] for image in figures['broken']] == ['a.png', 'c.png']
    assert 'c.png, which is cut short or damaged, expected' in figures['broken'][1]['error']


def test_nyu_by_its_protocol(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / 'official_splits' / 'test' / 'den'
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / 'rgb_1.jpg'), np.full((480, 640, 3), 120, np.uint8))
    cv2.imwrite(str(folder / 'sync_depth_1.png'), np.full((480, 640), 2500, np.uint16))
    code, output, figures = run(f'nyu:{tmp_path}', tiny_model, '--no-per-image')
    assert code == 0, output
    assert (figures['protocol'], figures['max_depth_m']) == ('nyu', 10.0)
    assert figures['images'] == 1
    assert 'per_image' not in figures


def test_help_and_readme_name_every_protocol() -> None:
    readme = (Path(__file__).parents[2] / 'README.md').read_text()
    for name in PROTOCOLS:
        assert re.search(rf'\b{name}\b', HELP['protocol'])
        assert f'`{name}`' in readme


def test_help_names_every_form_of_data() -> None:
    wholes, part = FORMS.split(', or a part of one such as ')
    forms = [*re.split(', | or ', wholes), part[part.index('[') :]]
    assert len(forms) >= 6
    for form in forms:
        assert re.search(rf'(?<!\w){re.escape(form)}(?!\w)', HELP['data']), form


def test_a_protocol_that_does_not_fit(tiny_model: Path, frames: Path) -> None:
    code, output, _ = run(f'frames:{frames}[:1]', tiny_model, '--protocol', 'kitti_garg_full')
    assert code == 1
    assert 'expected at least 352 x 1216, which the protocol kitti_garg_full cuts out' in output
    code, output, _ = run(f'frames:{frames}[:1]', tiny_model, '--protocol', 'garg')
    assert code == 1
    assert "got protocol 'garg', expected one of indoor, outdoor, nyu" in output


@pytest.mark.parametrize('data', ['kitchen', 'frames:nowhere'])
@pytest.mark.usefixtures('model_packages')
def test_unknown_data_ends_in_one_line(data: str) -> None:
    result = CliRunner().invoke(app, ['evaluate', '--data', data])
    assert result.exit_code == 1
    assert 'mirror_depth: got' in result.output
    assert 'Traceback' not in result.output


def test_clip_weights_that_lie_elsewhere(moved_clip: tuple[Path, Path], frames: Path) -> None:
    model, weights = moved_clip
    code, output, _ = run(f'frames:{frames}[:1]', model)
    assert code == 1
    assert 'say as clip_weights where this machine has them' in output
    code, output, figures = run(f'frames:{frames}[:1]', model, '--clip-weights', str(weights))
    assert (code, figures['images']) == (0, 1), output


def test_errors_by_distance_and_place(tiny_model: Path, frames: Path, tmp_path: Path) -> None:
    code, output, figures = run(
        f'frames:{frames}[:2]', tiny_model, '--where', str(tmp_path / 'new' / 'where.png')
    )
    assert code == 0, output
    assert 'by distance, every pixel counting the same' in output
    assert 'by place in the picture' in output
    for name in ('by_distance', 'by_place'):
        assert sum(part['fraction'] for part in figures[name]) == pytest.approx(1.0)
    assert cv2.imread(str(tmp_path / 'new' / 'where.png')).shape[2] == 3
    assert 'by distance' not in run(f'frames:{frames}[:2]', tiny_model)[1]


def test_truth_beside_the_picture_is_looked_for_and_said(
    tiny_model: Path, frames: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[dict[str, Any]] = []

    def add(_: Misalignment, prediction: Any, truth: Any, focal_px: float, **options: Any) -> None:
        assert prediction.shape == truth.shape
        looked_at.append({'focal_px': focal_px, **options})

    monkeypatch.setattr(Misalignment, 'add', add)
    assert run(f'frames:{frames}[:2]', tiny_model)[2]['misalignment'] is None
    samples = [FrameFolder(frames)[i] for i in range(2)]
    assert [seen['focal_px'] for seen in looked_at] == [s.camera.focal_px for s in samples]
    assert {seen['max_depth'] for seen in looked_at} == {PROTOCOLS['indoor'].max_depth}
    move = Move(right_deg=-5.0, down_deg=0.0, gain=0.2, images=4, fraction=1.0)
    monkeypatch.setattr(Misalignment, 'find', lambda self: move)
    code, output, figures = run(f'frames:{frames}[:2]', tiny_model)
    assert code == 0
    assert 'better when moved by 5 degrees to the left' in output
    assert figures['misalignment']['right_deg'] == -5.0
