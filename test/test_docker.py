"""What can be checked of docker/ without Docker: that it names what is there, and its script."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from mirror_depth_ros.inference.process_tuning import find_shm_shortage

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / 'docker'
DOCKERFILE = (DOCKER / 'Dockerfile').read_text(encoding='utf-8')
IN_IMAGE = '/ws/src/mirror_depth_ros/'
#: What the script runs that a test must not; each notes how it was called.
PROGRAMS = ('sudo', 'apt-get', 'rosdep', 'python3', 'colcon')
NOTE = '#!/bin/sh\necho "$(basename "$0") $*" >> "$CALLS"\n'


@pytest.fixture
def services() -> dict[str, Any]:
    return dict(yaml.safe_load((DOCKER / 'compose.yaml').read_text(encoding='utf-8'))['services'])


@pytest.fixture
def devcontainer() -> dict[str, Any]:
    text = (ROOT / '.devcontainer' / 'devcontainer.json').read_text(encoding='utf-8')
    return dict(json.loads(text))


@pytest.mark.parametrize('script', sorted(path.name for path in DOCKER.glob('*.sh')))
def test_scripts_can_be_read_and_run(script: str) -> None:
    subprocess.run(['bash', '-n', DOCKER / script], check=True, timeout=10)
    assert (DOCKER / script).stat().st_mode & stat.S_IXUSR


def test_the_image_names_files_that_there_are() -> None:
    names = set(re.findall(rf'{IN_IMAGE}([\w./-]+)', DOCKERFILE))
    assert names == {'docker/install.sh', 'docker/entrypoint.sh'}
    assert all((ROOT / name).is_file() for name in names)
    assert f'COPY . {IN_IMAGE.rstrip("/")}\n' in DOCKERFILE
    command = json.loads(re.findall('^CMD (.*)$', DOCKERFILE, re.MULTILINE)[0])
    assert command[:3] == ['ros2', 'launch', 'mirror_depth_ros']
    assert (ROOT / 'launch' / command[3]).is_file()


def test_the_entry_point_sets_the_profile_that_is_installed() -> None:
    text = (DOCKER / 'entrypoint.sh').read_text(encoding='utf-8')
    (profile,) = re.findall('share/mirror_depth_ros/(.*)', text)
    assert (ROOT / profile).is_file()


def test_arguments_of_the_image_are_those_that_it_has(
    services: dict[str, Any], devcontainer: dict[str, Any]
) -> None:
    defaults = dict(re.findall(r'^ARG (\w+)=(\w+)$', DOCKERFILE, re.MULTILINE))
    assert defaults == {'ROS_DISTRO': 'kilted', 'TORCH': 'cpu'}
    given = services['depth']['build']['args']
    assert given == {name: f'${{{name}:-{value}}}' for name, value in defaults.items()}
    assert devcontainer['build']['args'] == defaults
    for folder, build in ((DOCKER, services['depth']['build']), (None, devcontainer['build'])):
        context = (folder or ROOT / '.devcontainer') / build['context']
        assert context.resolve() == ROOT
    assert (ROOT / services['depth']['build']['dockerfile']).is_file()
    assert (ROOT / '.devcontainer' / devcontainer['build']['dockerfile']).is_file()


def test_containers_have_the_shared_memory_that_their_processes_take(
    services: dict[str, Any], devcontainer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = {'FASTDDS_DEFAULT_PROFILES_FILE': str(ROOT / 'config' / 'fastdds.xml')}
    (option,) = devcontainer['runArgs']
    for size in (services['depth']['shm_size'], option.removeprefix('--shm-size=')):
        assert size.endswith('m')
        free = SimpleNamespace(f_bavail=int(size[:-1]) * 1024 * 1024, f_frsize=1)
        monkeypatch.setattr(os, 'statvfs', lambda _, free=free: free)
        assert find_shm_shortage(10, profile) == ''
    # Who shares the network shares the memory.
    for service in services.values():
        if 'network_mode' in service:
            assert service['ipc'] == service['network_mode'] == 'service:depth'
    assert services['depth']['ipc'] == 'shareable'


def test_the_camera_is_an_executable_of_the_package(services: dict[str, Any]) -> None:
    command = services['camera']['command'].split()
    assert command[:3] == ['ros2', 'run', 'mirror_depth_ros']
    assert f"'{command[3]} = " in (ROOT / 'setup.py').read_text(encoding='utf-8')
    assert services['camera']['image'] == services['depth']['image']


# The script


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / 'src').mkdir()
    (tmp_path / 'bin').mkdir()
    for program in PROGRAMS:
        path = tmp_path / 'bin' / program
        path.write_text(NOTE)
        path.chmod(0o755)
    # Of the virtual environment, its pip.
    make_pip = 'mkdir -p .venv/bin && cp "$(dirname "$0")/colcon" .venv/bin/pip\n'
    (tmp_path / 'bin' / 'python3').write_text(NOTE + '[ "$2" != venv ] || ' + make_pip)
    return tmp_path


def install(workspace: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        'PATH': f'{workspace / "bin"}{os.pathsep}{os.environ["PATH"]}',
        'CALLS': str(workspace / 'calls'),
        'ROS_DISTRO': 'kilted',
        'AMENT_PREFIX_PATH': '/opt/ros/kilted',
    }
    return subprocess.run(
        ['bash', DOCKER / 'install.sh', *arguments],
        env=environment | changes,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ('arguments', 'index'),
    [
        ([], '--index-url https://download.pytorch.org/whl/cpu '),
        (['cpu'], '--index-url https://download.pytorch.org/whl/cpu '),
        (['cuda'], ''),
    ],
)
def test_the_script_installs_what_the_readme_says(
    workspace: Path, arguments: list[str], index: str
) -> None:
    result = install(workspace, str(workspace), *arguments)
    assert result.returncode == 0, result.stderr
    calls = (workspace / 'calls').read_text().splitlines()
    assert [call.split()[0] for call in calls if not call.startswith(('sudo', 'apt-get'))] == [
        *('rosdep', 'rosdep', 'python3', 'pip', 'pip', 'colcon')
    ]
    (torch, others) = (call for call in calls if call.startswith('pip'))
    assert torch == f'pip install --no-cache-dir --upgrade {index}torch torchvision'
    # All that the README has pip bring, and the keys that rosdep leaves out.
    readme = (ROOT / 'README.md').read_text(encoding='utf-8')
    (by_hand,) = re.findall('pip install --upgrade (.*)', readme)
    packages = set(by_hand.replace("'", '').split())
    assert packages <= {*torch.split(), *others.split()}
    (skipped,) = (call.split('--skip-keys ')[1].split() for call in calls if '--skip' in call)
    (skipped_by_hand,) = re.findall("--skip-keys '(.*?)'", readme)
    assert skipped == skipped_by_hand.split()
    manifest = ElementTree.parse(ROOT / 'package.xml').getroot()
    assert set(skipped) <= {element.text for element in manifest.iter('exec_depend')}
    installed = {*torch.split(), *others.split()}
    assert {re.sub('^python3-|-pip$', '', key) for key in skipped} <= installed
    assert (workspace / '.venv' / 'COLCON_IGNORE').is_file()


@pytest.mark.parametrize(
    ('arguments', 'changes', 'error'),
    [
        ([], {}, "got the workspace '', expected a folder with src/ in it"),
        (['{ws}/bin'], {}, "bin', expected a folder with src/ in it"),
        (['{ws}', 'rocm'], {}, "got 'rocm' for PyTorch, expected cpu or cuda"),
        (['{ws}'], {'AMENT_PREFIX_PATH': ''}, 'got no ROS 2, expected one; source /opt/ros'),
    ],
)
def test_the_script_refuses_before_it_does_anything(
    workspace: Path, arguments: list[str], changes: dict[str, str], error: str
) -> None:
    result = install(workspace, *(a.replace('{ws}', str(workspace)) for a in arguments), **changes)
    assert result.returncode == 1
    assert error in result.stderr
    assert not (workspace / 'calls').exists()
