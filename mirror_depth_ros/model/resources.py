"""Where the package keeps the files it brings along."""

from __future__ import annotations

from pathlib import Path

#: Name of the CLIP that the package brings along, and of its open_clip folder.
BUILTIN_CLIP = 'mirror-depth-lit'
#: Name of the depth model that the package brings along.
BUILTIN_MODEL = 'builtin'

_SHARE = Path('share') / 'mirror_depth_ros'


def model_directory() -> Path:
    """Return the folder of the built-in weights.

    :raises FileNotFoundError: if the installation lacks it.
    """
    return _find(Path('resource') / 'models', holding=BUILTIN_CLIP, what='built-in weights')


def recipe_directory() -> Path:
    """Return the folder of the recipes to train by.

    :raises FileNotFoundError: if the installation lacks it.
    """
    return _find(Path('config') / 'train', holding='nyu.yaml', what='recipes')


def recipe_path(recipe: Path) -> Path:
    """Return the file of a recipe, or of one that the package brings along under that name.

    :raises FileNotFoundError: if there is neither.
    """
    if recipe.is_file():
        return recipe
    shipped = {path.stem: path for path in sorted(recipe_directory().glob('*.yaml'))}
    if str(recipe) not in shipped:
        names = ', '.join(shipped)
        raise FileNotFoundError(f'got recipe {recipe}, expected a YAML file or one of {names}')
    return shipped[str(recipe)]


def demo_directory() -> Path:
    """Return the folder of the recording that the demo plays.

    :raises FileNotFoundError: if the installation lacks it.
    """
    folder = Path('resource') / 'demo'
    return _find(folder, holding='photographs', what='recording of the demo')


def _find(folder: Path, *, holding: str, what: str) -> Path:
    """Return a folder of the source tree or, installed, below ``share/mirror_depth_ros``.

    The prefix is whatever the package was installed to: a venv, a colcon workspace, the system.
    """
    for parent in Path(__file__).resolve().parents:
        for place in (folder, _SHARE / folder):
            if (parent / place / holding).exists():
                return parent / place
    raise FileNotFoundError(
        f'found no {folder} and no {_SHARE / folder} above {Path(__file__).parent}, expected the '
        f'{what} there; install the package again (pip install . or colcon build)'
    )
