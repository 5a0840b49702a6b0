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


def setup_keyword(name):
    """Return a literal that setup.py passes to setup()."""
    calls = [node for node in ast.walk(SETUP) if isinstance(node, ast.Call)]
    call = next(c for c in calls if getattr(c.func, 'id', '') == 'setup')
    return ast.literal_eval(next(k.value for k in call.keywords if k.arg == name))


def setup_constant(name):
    """Return a literal that setup.py gives a name."""
    assigned = [node for node in SETUP.body if isinstance(node, ast.Assign)]
    return ast.literal_eval(next(a.value for a in assigned if a.targets[0].id == name))


def test_all_places_name_one_version():
    manifest = ET.parse(ROOT / 'package.xml').getroot()
    assert manifest.findtext('version') == mirror_depth_ros.__version__
    assert setup_keyword('version') == mirror_depth_ros.__version__


def test_the_manifest_is_an_ament_python_package():
    manifest = ET.parse(ROOT / 'package.xml').getroot()
    assert manifest.get('format') == '3'
    assert manifest.findtext('export/build_type') == 'ament_python'
    licence = manifest.find('license')
    assert (licence.text, licence.get('file')) == ('Apache-2.0', 'LICENSE')
    assert setup_keyword('license') == 'Apache-2.0'


def test_the_manifest_names_every_ros_package_that_is_imported():
    manifest = ET.parse(ROOT / 'package.xml').getroot()
    declared = {element.text for element in manifest.iter('exec_depend')}
    files = [*(ROOT / 'mirror_depth_ros' / 'ros').glob('*.py'), *(ROOT / 'launch').glob('*.py')]
    imported = set()
    for node in (n for f in files for n in ast.walk(ast.parse(f.read_text()))):
        if isinstance(node, ast.ImportFrom):
            imported.add((node.module or '').partition('.')[0])
        elif isinstance(node, ast.Import):
            imported.update(alias.name.partition('.')[0] for alias in node.names)
    not_ros = {'mirror_depth_ros', 'cv2', 'numpy', 'torch', *sys.stdlib_module_names}
    assert imported - not_ros <= declared


def test_the_licence_is_the_whole_apache_licence():
    # SHA-256 of https://www.apache.org/licenses/LICENSE-2.0.txt
    digest = hashlib.sha256((ROOT / 'LICENSE').read_bytes()).hexdigest()
    assert digest == 'cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30'


def test_the_changelog_has_a_section_for_what_comes_next():
    assert re.search(r'^Forthcoming\n-+\n\* ', (ROOT / 'CHANGELOG.rst').read_text(), re.MULTILINE)


def test_imports_point_downward():
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
    result = subprocess.run(
        [folder / 'mirror_depth', '--version'],
        env={**os.environ, 'PYTHONPATH': str(next(install.glob('lib/python*/site-packages')))},
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
