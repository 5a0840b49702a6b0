"""``mirror_depth evaluate`` from the shell's side."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from mirror_depth_ros.cli.evaluate import evaluate
from mirror_depth_ros.cli.main import app
from mirror_depth_ros.data.specification import FORMS
from mirror_depth_ros.depth.eval_protocols import PROTOCOLS


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


def test_scenes_with_figures_and_pictures(tiny_model: Path, tmp_path: Path) -> None:
    report, pictures = tmp_path / 'below' / 'figures.json', tmp_path / 'pictures'
    command = ['evaluate', '--data', 'scenes:indoor', '--count', '2', '--model', str(tiny_model)]
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
    option = inspect.signature(evaluate).parameters['protocol'].default
    for name in PROTOCOLS:
        assert re.search(rf'\b{name}\b', option.help)
        assert f'`{name}`' in readme


def test_help_names_every_form_of_data() -> None:
    option = inspect.signature(evaluate).parameters['data'].default
    wholes, part = FORMS.split(', or a part of one such as ')
    forms = [*re.split(', | or ', wholes), part[part.index('[') :]]
    assert len(forms) >= 8
    for form in forms:
        assert re.search(rf'(?<!\w){re.escape(form)}(?!\w)', option.help), form


def test_a_protocol_that_does_not_fit(tiny_model: Path) -> None:
    options = ('--count', '1', '--protocol')
    code, output, _ = run('scenes:indoor', tiny_model, *options, 'kitti_garg_full')
    assert code == 1
    assert 'expected at least 352 x 1216, which the protocol kitti_garg_full cuts out' in output
    code, output, _ = run('scenes:indoor', tiny_model, *options, 'garg')
    assert code == 1
    assert "got protocol 'garg', expected one of indoor, outdoor, nyu" in output


@pytest.fixture
def captioned_model(
    tiny_clip_config: dict[str, Any], tiny_network: dict[str, Any], tmp_path: Path
) -> Path:
    """A checkpoint on a CLIP that knows the captions' words."""
    import open_clip
    from mirror_depth_ros.scenes.captions import VOCABULARY_SIZE
    from safetensors.torch import save_file

    from mirror_depth_ros.model.checkpoint import save_checkpoint
    from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig

    text = {**tiny_clip_config['text_cfg'], 'context_length': 12, 'vocab_size': VOCABULARY_SIZE}
    config = {'model_cfg': {**tiny_clip_config, 'text_cfg': text}}
    folder = tmp_path / 'clip'
    folder.mkdir()
    (folder / 'open_clip_config.json').write_text(json.dumps(config))
    clip = open_clip.create_model(f'local-dir:{folder}', load_weights=False)
    save_file(clip.state_dict(), folder / 'open_clip_model.safetensors')
    network = MirrorDepthConfig(**{**tiny_network, 'clip': f'local-dir:{folder}'})
    save_checkpoint(MirrorDepth.from_config(network), tmp_path / 'model.safetensors')
    return tmp_path / 'model.safetensors'


def test_a_baseline_in_place_of_the_model(captioned_model: Path, tmp_path: Path) -> None:
    report = tmp_path / 'figures.json'
    command = ['evaluate', '--data', 'scenes:outdoor', '--count', '1', '--device', 'cpu']
    command += ['--model', str(captioned_model), '--json', str(report)]
    result = CliRunner().invoke(app, [*command, '--baseline', 'depthclip'])
    assert result.exit_code == 0, result.output
    assert 'baseline' in result.output
    of_baseline = json.loads(report.read_text())
    assert (of_baseline['baseline'], of_baseline['model']) == ('depthclip', str(captioned_model))
    assert CliRunner().invoke(app, command).exit_code == 0
    of_model = json.loads(report.read_text())
    assert of_model['baseline'] is None
    assert of_model['metric'] != of_baseline['metric']


def test_a_baseline_that_is_not_there(tiny_model: Path) -> None:
    command = ['evaluate', '--data', 'scenes:indoor', '--model', str(tiny_model), '--baseline']
    result = CliRunner().invoke(app, [*command, 'median'])
    assert result.exit_code == 1
    assert "got baseline 'median', expected one of mean, linear, depthclip" in result.output
    result = CliRunner().invoke(app, [*command, 'depthclip'])
    assert result.exit_code == 1
    assert 'vocabulary of 40 words' in result.output


def test_a_baseline_that_was_not_fitted(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from research.baselines import weights

    monkeypatch.setattr(weights, 'model_directory', lambda: tmp_path)
    command = ['evaluate', '--data', 'scenes:indoor', '--model', str(tiny_model)]
    result = CliRunner().invoke(app, [*command, '--baseline', 'linear'])
    assert result.exit_code == 1
    assert 'fit it with: python -m mirror_depth_ros.training.baselines' in result.output


@pytest.mark.parametrize('data', ['kitchen', 'frames:nowhere'])
@pytest.mark.usefixtures('model_packages')
def test_unknown_data_ends_in_one_line(data: str) -> None:
    result = CliRunner().invoke(app, ['evaluate', '--data', data])
    assert result.exit_code == 1
    assert 'mirror_depth: got' in result.output
    assert 'Traceback' not in result.output


def test_clip_weights_that_lie_elsewhere(moved_clip: tuple[Path, Path]) -> None:
    model, weights = moved_clip
    code, output, _ = run('scenes:indoor', model, '--count', '1')
    assert code == 1
    assert 'say as clip_weights where this machine has them' in output
    options = ('--count', '1', '--clip-weights', str(weights))
    code, output, figures = run('scenes:indoor', model, *options)
    assert (code, figures['images']) == (0, 1), output
    # The baseline asks the same CLIP, and gets as far as its vocabulary.
    code, output, _ = run('scenes:indoor', model, *options, '--baseline', 'depthclip')
    assert 'vocabulary of 40 words' in output
