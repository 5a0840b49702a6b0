from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mirror_depth_ros import __version__
from mirror_depth_ros.cli.main import app


def test_help_names_the_subcommands_and_version_the_version():
    result = CliRunner().invoke(app, ['--help'])
    assert result.exit_code == 0
    assert 'demo' in result.output
    assert 'predict' in result.output
    assert CliRunner().invoke(app, ['--version']).output == f'mirror_depth {__version__}\n'


@pytest.mark.parametrize(
    'subcommand', [[], ['demo'], ['predict'], ['train'], ['evaluate'], ['bag']]
)
def test_help_needs_nothing_heavy(subcommand):
    # What takes long to import would make `mirror_depth --help` slow.
    code = (
        'import sys; from mirror_depth_ros.cli.main import app; '
        "app(sys.argv[1:], prog_name='mirror_depth', standalone_mode=False); "
        "print(sorted({'cv2', 'lightning', 'numpy', 'open_clip', 'plyfile', 'rclpy', 'torch'}"
        ' & set(sys.modules)))'
    )
    command = [sys.executable, '-c', code, *subcommand, '--help']
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert ' '.join(['Usage: mirror_depth', *subcommand]) in result.stdout
    assert result.stdout.endswith('\n[]\n')


@pytest.mark.serial
def test_help_answers_at_once():
    """Within 0.5 s of a quiet computer; of the CPU's time, which others cannot lengthen much."""
    resource = pytest.importorskip('resource')
    taken_s = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, '-m', 'mirror_depth_ros.cli.main', '--help']
        subprocess.run(command, cwd=Path(__file__).parents[2], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(taken_s) < 1.0, taken_s


@pytest.mark.parametrize(
    ('error', 'message'),
    [
        (ValueError('got this,\n  expected that'), 'mirror_depth: got this, expected that\n'),
        (FileNotFoundError('got nothing'), 'mirror_depth: got nothing\n'),
        (
            ModuleNotFoundError("No module named 'open_clip'", name='open_clip'),
            "No module named 'open_clip'; install this package with pip",
        ),
        (ModuleNotFoundError('got no h5py; get it'), 'mirror_depth: got no h5py; get it\n'),
    ],
)
def test_expected_errors_are_one_line(monkeypatch, error, message):
    def fail():
        raise error

    command = typer.models.CommandInfo(name='fail', callback=fail)
    monkeypatch.setattr(app, 'registered_commands', [*app.registered_commands, command])
    result = CliRunner().invoke(app, ['fail'])
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count('\n') == 1
    with pytest.raises(type(error)):
        CliRunner().invoke(app, ['--debug', 'fail'], catch_exceptions=False)


def test_unknown_options_exit_with_2():
    assert CliRunner().invoke(app, ['predict', '--what']).exit_code == 2
