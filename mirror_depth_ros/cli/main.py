"""``mirror_depth``: one command, its subcommands, and how their errors look.

Nothing heavy is imported here or at the top of a subcommand's module: ``--help`` answers at once.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from mirror_depth_ros import __version__
from mirror_depth_ros.cli.bag import bag
from mirror_depth_ros.cli.benchmark import benchmark
from mirror_depth_ros.cli.demo import demo
from mirror_depth_ros.cli.evaluate import evaluate
from mirror_depth_ros.cli.export import export
from mirror_depth_ros.cli.predict import predict
from mirror_depth_ros.cli.processes import ChildFailedError
from mirror_depth_ros.cli.train import train
from mirror_depth_ros.cli.view import view
from mirror_depth_ros.inference.process_tuning import set_passive_omp_wait


class _OneLineErrors(TyperGroup):
    """Ends a subcommand's expected errors with one line and exit code 1, Ctrl-C with 130."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader has gone: the base class ends that quietly
            raise
        except KeyboardInterrupt:
            typer.echo('interrupted', err=True)
            raise typer.Exit(130) from None
        except ChildFailedError as error:  # whose log may have many lines
            typer.echo(error, err=True)
            raise typer.Exit(1) from error
        except (ValueError, OSError, ModuleNotFoundError) as error:
            if ctx.params.get('debug'):
                raise
            message = ' '.join(str(error).split()) or type(error).__name__
            if isinstance(error, ModuleNotFoundError) and error.name:  # not a message of ours
                message += '; install this package with pip into the Python that runs it'
            typer.echo(f'mirror_depth: {message}', err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    name='mirror_depth',
    cls=_OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode='markdown',
    context_settings={'help_option_names': ['-h', '--help']},
)
app.command()(demo)
app.command()(predict)
# What typer does not know is Lightning's.
app.command(context_settings={'allow_extra_args': True, 'ignore_unknown_options': True})(train)
app.command()(evaluate)
app.command()(bag)
app.command()(export)
app.command()(benchmark)
app.command()(view)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f'mirror_depth {__version__}')
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, '--version', callback=_print_version, is_eager=True, help='Print the version.'
    ),
    debug: bool = typer.Option(False, '--debug', help='Show where in the code an error arose.'),
) -> None:
    """Metric depth from any calibrated RGB camera.

    Begin with `mirror_depth demo`, or with a photograph:
    `mirror_depth predict photo.jpg --fov 65`.
    """


def main() -> None:
    """Run the command line."""
    set_passive_omp_wait()
    app(prog_name='mirror_depth')


if __name__ == '__main__':
    main()
