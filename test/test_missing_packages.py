"""Tests of what rosdep does not bring are skipped where it is missing, and nothing else is."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

# Packages that are not installed, whatever is installed here; the third is not optional.
HIDING = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in ('lightning', 'open_clip', 'numbers_of_mine'):
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)

sys.meta_path.insert(0, Hidden())
"""
FILES = {
    'test_module.py': """
        from lightning.pytorch import Trainer

        def test_it():
            pass
    """,
    'test_inside.py': """
        import pytest

        def test_in_the_test():
            import open_clip

        @pytest.fixture
        def clip():
            import open_clip

        def test_in_a_fixture(clip):
            pass

        def test_through_another_error():
            try:
                import open_clip
            except ImportError as error:
                raise ValueError('no CLIP') from error

        def test_beside():
            pass
    """,
    # What must not pass for a missing package.
    'test_broken.py': """
        def test_another_package():
            import numbers_of_mine

        def test_a_part_that_is_not_there():
            from numpy import no_such_part

        def test_a_module_that_is_not_there():
            import onnx_of_mine

        def test_wrong():
            assert 1 == 2
    """,
    'test_broken_module.py': 'import numbers_of_mine',
}


@pytest.fixture
def result(tmp_path: Path) -> str:
    """Run these files with this project's conftest.py; return the report."""
    shutil.copy(Path(__file__).with_name('conftest.py'), tmp_path)
    (tmp_path / 'pytest.ini').write_text('[pytest]\n')
    for name, text in {**FILES, 'hiding.py': HIDING}.items():
        (tmp_path / name).write_text(textwrap.dedent(text))
    code = 'import hiding, sys, pytest; sys.exit(pytest.main(sys.argv[1:]))'
    command = [sys.executable, '-c', code, '-rA', '--continue-on-collection-errors']
    command += ['-p', 'no:cacheprovider']
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110)
    return ran.stdout + ran.stderr


def test_skips_say_what_to_install_and_errors_stay_errors(result: str) -> None:
    assert '4 failed, 1 passed, 4 skipped, 1 error' in result
    train, clip = (
        "needs pip install '.[train]'",
        'no model loads without it: pip install open_clip',
    )
    assert f'SKIPPED [1] test_module.py:1: {train}' in result
    # Where each begins, a decorator and an empty first line counted.
    for line in (4, 11, 14):
        assert f'SKIPPED [1] test_inside.py:{line}: {clip}' in result
    assert 'PASSED test_inside.py::test_beside' in result
    assert 'ERROR test_broken_module.py' in result
    failed = [line.split()[1] for line in result.splitlines() if line.startswith('FAILED ')]
    assert sorted(name.partition('::')[2] for name in failed) == [
        'test_a_module_that_is_not_there',
        'test_a_part_that_is_not_there',
        'test_another_package',
        'test_wrong',
    ]
