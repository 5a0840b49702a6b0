"""The options that subcommands share."""

from __future__ import annotations

import re
from collections.abc import Collection

import pytest
import typer

from mirror_depth_ros.cli.main import app
from mirror_depth_ros.inference.engines.backend import BACKENDS, PRECISIONS
from mirror_depth_ros.model.resources import BUILTIN_MODEL

COMMANDS = typer.main.get_group(app).commands


def option(command: str, flag: str) -> typer.core.TyperOption:
    return next(option for option in COMMANDS[command].params if flag in option.opts)


ESTIMATING = [name for name in COMMANDS if name not in ('train', 'export')]


@pytest.mark.parametrize('command', ESTIMATING)
@pytest.mark.parametrize(
    ('flag', 'default', 'names'),
    [
        ('--model', 'builtin', (BUILTIN_MODEL,)),
        ('--device', 'auto', ('auto', 'cpu', 'cuda', 'cuda:1', 'mps')),
        ('--precision', 'auto', PRECISIONS),
        ('--backend', 'auto', BACKENDS),
        ('--json', None, ()),
    ],
)
def test_every_subcommand_that_estimates_has_them(
    command: str, flag: str, default: str | None, names: Collection[str]
) -> None:
    if (command, flag) == ('view', '--json'):
        pytest.skip('a viewer has no figures')
    shared = option(command, flag)
    assert shared.default == default
    assert shared.help == option('predict', flag).help
    for name in names:
        assert re.search(rf'\b{name}\b', shared.help), name
