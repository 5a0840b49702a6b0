"""The package as a whole: its metadata, its import arrows, and what colcon installs of it."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import mirror_depth_ros

ROOT = Path(__file__).parents[1]
SHARED_FOLDERS = ('config', 'launch', 'resource/models', 'resource/demo')
LINT_IMPORTS = 'from importlinter.cli import lint_imports_command as main; main()'


SETUP = ast.parse((ROOT / 'setup.py').read_text())
MANIFEST = ET.parse(ROOT / 'package.xml').getroot()
# Keys of rosdep/python.yaml in github.com/ros/rosdistro; ROS packages are keys by their own names.
ROSDEP_KEYS = {
    'tf2_ros': 'tf2_ros_py',
    'PIL': 'python3-pil',
    'cv2': 'python3-opencv',
    'h5py': 'python3-h5py',
    'hypothesis': 'python3-hypothesis',
    'numpy': 'python3-numpy',
    'plyfile': 'python3-plyfile-pip',
    'pytest': 'python3-pytest',
    'rich': 'python3-rich',
    'scipy': 'python3-scipy',
    'torch': 'python3-torch',
    'typer': 'python3-typer',
    'yaml': 'python3-yaml',
}
# What pip has to bring to a node, or what makes it faster: README, docs/backends.md.
WITHOUT_KEY = {
    'av',
    'onnx',
    'onnxruntime',
    'onnxscript',
    'open_clip',
    'openvino',
    'rerun',
    'safetensors',
    'timm',
}
# Of the extra [train], for data sets and trainings.
TRAINING_ALONE = {'h5py', 'lightning', 'rosbags', 'scipy', 'torchvision'}


def setup_constant(name):
    """Return a literal that setup.py gives a name."""
    assigned = [node for node in SETUP.body if isinstance(node, ast.Assign)]
    return ast.literal_eval(next(a.value for a in assigned if a.targets[0].id == name))


def test_the_version_stands_in_one_place():
    version = MANIFEST.findtext('version')
    assert re.fullmatch(r'\d+\.\d+\.\d+', version)
    assert mirror_depth_ros.__version__ == version
    for name in ('setup.py', 'setup.cfg', 'pyproject.toml', 'mirror_depth_ros/__init__.py'):
        assert version not in (ROOT / name).read_text()


def test_the_manifest_is_an_ament_python_package():
    assert MANIFEST.get('format') == '3'
    assert MANIFEST.findtext('export/build_type') == 'ament_python'
    licence = MANIFEST.find('license')
    assert (licence.text, licence.get('file')) == ('Apache-2.0', 'LICENSE')


def test_manifest_and_readme_name_one_repository():
    urls = {url.get('type'): url.text for url in MANIFEST.iter('url')}
    page = 'https://github.com/mirror-depth/mirror_depth_ros'
    assert urls == {
        'website': page,
        'repository': f'{page}.git',
        'bugtracker': f'{page}/issues',
    }
    readme = (ROOT / 'README.md').read_text(encoding='utf-8')
    assert re.findall(r'git clone (\S+)', readme) == [urls['repository']]


def third_party_imports(*folders):
    """Return the packages, neither Python's nor ours, that Python files of the folders import."""
    nodes = [
        node
        for folder in folders
        for path in (ROOT / folder).rglob('*.py')
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
    ]
    names = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    names |= {a.name for node in nodes if isinstance(node, ast.Import) for a in node.names}
    ours = {'mirror_depth_ros', 'research', *sys.stdlib_module_names}
    return {name.partition('.')[0] for name in names} - ours


def declared(*tags):
    """Return what the manifest depends on."""
    return {element.text for tag in tags for element in MANIFEST.iter(tag)}


def test_the_manifest_names_all_that_is_imported_and_rosdep_brings(optional_packages):
    imported = third_party_imports('mirror_depth_ros', 'launch')
    assert {'rclpy', 'sensor_msgs', 'numpy', 'torch'} <= imported
    keys = {ROSDEP_KEYS.get(name, name) for name in imported - WITHOUT_KEY - TRAINING_ALONE}
    assert keys <= declared('exec_depend')


def test_the_tests_import_what_rosdep_brings_or_are_skipped(optional_packages):
    imported = third_party_imports('test') - set(optional_packages) - {'setuptools'}
    assert {'pytest', 'hypothesis', 'numpy'} <= imported
    keys = {ROSDEP_KEYS.get(name, name) for name in imported}
    assert keys <= declared('exec_depend', 'test_depend')


def test_the_licence_is_the_whole_apache_licence():
    # SHA-256 of https://www.apache.org/licenses/LICENSE-2.0.txt
    digest = hashlib.sha256((ROOT / 'LICENSE').read_bytes()).hexdigest()
    assert digest == 'cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30'


def test_the_changelog_has_a_section_for_what_comes_next():
    assert re.search(r'^Forthcoming\n-+\n\* ', (ROOT / 'CHANGELOG.rst').read_text(), re.MULTILINE)


def test_imports_point_downward():
    pytest.importorskip('importlinter', reason="needs pip install '.[test]'")
    result = subprocess.run(
        [sys.executable, '-c', LINT_IMPORTS, '--no-cache'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def copy_of_the_source(folder):
    """Copy what git would, so that the checkout stays as it is."""
    ignored = shutil.ignore_patterns('.*', '__pycache__', '*.egg-info', 'build', 'install', 'log')
    for name in ('config', 'launch', 'resource', 'mirror_depth_ros'):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ('package.xml', 'setup.py', 'setup.cfg', 'pyproject.toml', 'README.md', 'LICENSE'):
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, folder / name)


@pytest.fixture(scope='module')
def install(tmp_path_factory):
    """Build with colcon in a workspace of its own and return the install prefix."""
    if importlib.util.find_spec('colcon_ros') is None:
        pytest.skip('colcon-core and colcon-ros are not installed (extra [test])')
    workspace = tmp_path_factory.mktemp('workspace')
    (workspace / 'src' / 'mirror_depth_ros').mkdir(parents=True)
    copy_of_the_source(workspace / 'src' / 'mirror_depth_ros')
    result = subprocess.run(
        [sys.executable, '-m', 'colcon', 'build', '--event-handlers', 'console_direct+'],
        cwd=workspace,
        env={**os.environ, 'COLCON_HOME': str(workspace / 'home')},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return workspace / 'install' / 'mirror_depth_ros'


def test_colcon_installs_the_executables_where_ros2_run_looks(install):
    folder = install / 'lib' / 'mirror_depth_ros'
    assert {path.name for path in folder.iterdir()} == {
        'depth_node',
        'mirror_depth',
        'frame_camera',
    }
    # Whichever Python the calling environment has, such as that of an active virtual environment.
    first_lines = {path.read_text().partition('\n')[0] for path in folder.iterdir()}
    assert first_lines == {'#!/usr/bin/env python3'}
    result = subprocess.run(
        [folder / 'mirror_depth', '--version'],
        env={
            **os.environ,
            'PATH': f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}',
            'PYTHONPATH': str(next(install.glob('lib/python*/site-packages'))),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.stdout == f'mirror_depth {mirror_depth_ros.__version__}\n', result.stderr


def test_colcon_installs_every_shared_file(install):
    share = install / 'share' / 'mirror_depth_ros'
    expected = {
        path.relative_to(ROOT)
        for folder in SHARED_FOLDERS
        for path in (ROOT / folder).rglob('*')
        if path.is_file() and '__pycache__' not in path.parts and not path.name.startswith('.')
    }
    assert expected
    missing = {path for path in expected if not (share / path).is_file()}
    assert not missing
    assert (share / 'package.xml').is_file()
    marker = install / 'share' / 'ament_index' / 'resource_index' / 'packages' / 'mirror_depth_ros'
    assert marker.is_file()


def test_the_constraints_pin_every_direct_dependency():
    groups = [setup_constant('RUNTIME'), *setup_constant('EXTRAS').values()]
    names = {re.split(r'[\[<>=]', name)[0] for group in groups for name in group}
    pinned = re.findall(r'^([\w-]+)==', (ROOT / 'constraints.txt').read_text(), re.MULTILINE)
    assert names <= set(pinned)
