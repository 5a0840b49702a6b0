"""Where the package keeps the files it brings along."""

from __future__ import annotations

from pathlib import Path

#: Name of the small CLIP that the package brings along, and of its open_clip folder.
BUILTIN_CLIP = 'mirror-depth-clip'
#: Names of the depth models that the package brings along: the best, and the paper's own network.
BUILTIN_MODELS = ('builtin', 'clip2depth')

_PLACES = (Path('resource') / 'models', Path('share') / 'mirror_depth_ros' / 'resource' / 'models')


def model_directory() -> Path:
    """Return the folder of the built-in weights.

    It lies in the source tree's ``resource/models``, or below ``share/mirror_depth_ros`` of
    whatever prefix the package was installed to (a venv, a colcon workspace, the system).

    :raises FileNotFoundError: if the installation lacks it.
    """
    for parent in Path(__file__).resolve().parents:
        for place in _PLACES:
            if (parent / place / BUILTIN_CLIP).is_dir():
                return parent / place
    raise FileNotFoundError(
        f'found no {_PLACES[0]} and no {_PLACES[1]} above {Path(__file__).parent}, expected the '
        'built-in weights there; install the package again (pip install . or colcon build)'
    )
