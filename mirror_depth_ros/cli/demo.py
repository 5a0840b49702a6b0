"""``mirror_depth demo``: a camera that plays frames, the node and a recorder over real DDS."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from mirror_depth_ros.cli.options import Backend, Device, JsonFile, Model, Precision
from mirror_depth_ros.cli.processes import (
    Child,
    ChildFailedError,
    Children,
    interruptible,
    lines_of,
    module_command,
)
from mirror_depth_ros.cli.ros_environment import missing_ros, private_environment
from mirror_depth_ros.inference.process_tuning import find_shm_shortage

_PACKAGE = 'mirror_depth_ros.ros'
_CAMERA, _NODE = '/camera', '/mirror_depth'


def demo(
    seconds: float = typer.Option(10.0, min=0.5, help='How long to record, once depth arrives.'),
    output: Path = typer.Option(Path('demo_output'), help='Folder for pictures, cloud, figures.'),
    images: Path | None = typer.Option(
        None, help='Play the photographs of this folder instead of the recording brought along.'
    ),
    fov: float | None = typer.Option(
        None,
        help='Field of view of photographs without meta.json, along the longer side (degrees).',
    ),
    max_depth: float | None = typer.Option(
        None,
        min=0.5,
        max=1000.0,
        help='Where figures and colours end (m): 10 by default, 80 for frames that are '
        '"outdoor" by their meta.json.',
    ),
    model: Model = 'builtin',
    device: Device = 'auto',
    precision: Precision = 'auto',
    backend: Backend = 'auto',
    rate: float = typer.Option(10.0, min=0.1, max=120.0, help='Frames per second of the camera.'),
    json_file: JsonFile = None,
) -> None:
    """Turn photographs and a rendered video, or your own, into metric depth through ROS 2."""
    console = Console(stderr=True)
    output = output.absolute()
    left_out: list[Path] = []
    logs = output / 'logs'
    try:
        if (remedy := missing_ros()) is not None:
            raise ValueError(remedy)
        if images is not None:
            images = images.absolute()
            left_out = _check_images(images, fov)
        _make_folder(logs)
        frames = {'images': str(images or ''), 'fov': fov or 0.0}
        # Of one's own photographs each; of the package's, two of each place.
        n_pictures = 0 if images else 2
        commands = {
            'camera': _camera(frames, rate),
            'depth node': _depth_node(model, device, precision, backend),
            'recorder': _recorder(frames, output, seconds, n_pictures, max_depth or 0.0),
        }
        environment = private_environment(os.environ, logs)
        if shortage := find_shm_shortage(len(commands), environment):
            console.print(shortage, style='yellow', markup=False, highlight=False, soft_wrap=True)
        with interruptible(), Children(logs, environment) as children:
            console.print(f'ROS_DOMAIN_ID={environment["ROS_DOMAIN_ID"]}', style='dim')
            sources = [children.start(name, commands[name]) for name in ('camera', 'depth node')]
            recorder = children.start('recorder', commands['recorder'], read_output=True)
            _follow(recorder, sources, console)
        if not (output / 'summary.json').is_file():
            recorder.check_success()
        summary = json.loads((output / 'summary.json').read_text(encoding='utf-8'))
        _show_tables(summary, output)
        if json_file is not None:
            shutil.copyfile(output / 'summary.json', json_file)
    except KeyboardInterrupt:
        _fail(console, 'interrupted', status=130)
    except (OSError, ValueError, ChildFailedError) as error:
        _fail(console, str(error))
    if summary['missing']:
        _fail(
            console, f'no depth came for {", ".join(summary["missing"])}; see the logs in {logs}'
        )
    if left_out:
        names = ', '.join(path.name for path in left_out)
        _fail(console, f'left out: {names}: no images that are read; convert them')


def _check_images(folder: Path, fov: float | None) -> list[Path]:
    """Refuse a folder that is no camera before any process starts.

    :returns: its files that may be pictures, but of no kind that is read.
    """
    from mirror_depth_ros.data.frames import FrameFolder  # loads OpenCV

    return FrameFolder(folder, hfov_deg=fov).left_out


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f'could not make the folder {folder}: {error.strerror}; choose another --output'
        ) from error


def _camera(frames: Mapping[str, Any], rate: float) -> list[str]:
    # No frame is skipped, however slow the model is.
    parameters = {**frames, 'rate_hz': rate, 'hold': True}
    remaps = {
        'image': f'{_CAMERA}/image_raw',
        'camera_info': f'{_CAMERA}/camera_info',
        'true_depth': f'{_CAMERA}/true_depth',
        'depth/camera_info': f'{_NODE}/depth/camera_info',
    }
    return _ros_command('frame_camera', remaps, parameters)


def _depth_node(model: str, device: str, precision: str, backend: str) -> list[str]:
    is_file = os.sep in model or Path(model).exists()
    parameters = {
        'model': str(Path(model).absolute()) if is_file else model,
        'device': device,
        'precision': precision,
        'backend': backend,
        # Every pixel is compared with the truth; none counts as the worst depth.
        'edge_filter': 0.0,
        'preview_max_depth': 80.0,  # rooms and streets with one range of colours
    }
    remaps = {'image': f'{_CAMERA}/image_raw', 'camera_info': f'{_CAMERA}/camera_info'}
    return _ros_command('depth_node', remaps, parameters)


def _recorder(
    frames: Mapping[str, Any], output: Path, seconds: float, n_pictures: int, max_depth: float
) -> list[str]:
    parameters = {
        **frames,
        'output': str(output),
        'seconds': seconds,
        'pictures': n_pictures,
        'max_depth': max_depth,
        'status': True,
    }
    remaps = {
        'image': f'{_CAMERA}/image_raw',
        'depth/image': f'{_NODE}/depth/image',
        'depth/preview': f'{_NODE}/depth/preview',
        'points': f'{_NODE}/points',
    }
    return _ros_command('recorder', remaps, parameters)


def _ros_command(
    module: str, remaps: Mapping[str, str], parameters: Mapping[str, Any]
) -> list[str]:
    """Return the command line of a node; JSON is the YAML that parameter values are read as."""
    command = [*module_command(f'{_PACKAGE}.{module}'), '--ros-args']
    for name, target in remaps.items():
        command += ['-r', f'{name}:={target}']
    for name, value in parameters.items():
        command += ['-p', f'{name}:={json.dumps(value, ensure_ascii=False)}']
    return command


def _follow(recorder: Child, sources: Sequence[Child], console: Console) -> None:
    """Show the recorder's progress until it ends.

    :raises ChildFailedError: if a process that it listens to ends before.
    """
    columns = (SpinnerColumn(), TextColumn('{task.description}'), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task('starting camera, depth node and recorder', total=None)
        for line in lines_of(recorder.process.stdout):
            if line.startswith('{'):
                status = json.loads(line)
                if status['stage'] == 'waiting':
                    sources[-1].check_no_error()
                progress.update(
                    task,
                    description=_describe(status, sources[0]),
                    total=status.get('of'),
                    completed=status.get('done', 0),
                )
            for child in sources:
                child.check_running()
    recorder.process.wait()


def _describe(status: Mapping[str, Any], camera: Child) -> str:
    if status['stage'] == 'waiting':
        if f'{_CAMERA}/image_raw' in status['silent']:
            return f'waiting for the camera: {camera.last_message()}'
        return 'waiting for the depth node'
    if status['stage'] == 'recording':
        missing = f', {status["missing"]} frames to come' if status['missing'] else ''
        return f'recording: {status["frames"]} frames{missing}'
    return 'writing pictures'


def _show_tables(summary: Mapping[str, Any], output: Path) -> None:
    """Print what was measured, and where the pictures are."""
    console, latency = Console(), summary['latency_ms']
    figures = Table('', 'frames', 'Abs Rel', 'delta < 1.25', 'Abs Rel, median scaled')
    figures.title = 'Against true depth'
    for group in summary['groups']:
        values = [group[name] for name in ('abs_rel', 'delta1', 'abs_rel_median_scaled')]
        cells = ['no truth' if value is None else f'{value:.3f}' for value in values]
        figures.add_row(group['name'], str(group['frames']), *cells)
    console.print(figures)
    table = Table(title='Depth through ROS 2', show_header=False)
    table.add_column()
    table.add_column(overflow='fold')  # a path that is cut short helps nobody
    table.add_row('images received', str(summary['frames_published']))
    per_second = '' if summary['fps'] is None else f' ({summary["fps"]:.3g} per s)'
    table.add_row('depth images', f'{summary["frames_processed"]}{per_second}')
    table.add_row('latency', f'p50 {latency["p50"]:.0f} ms, p95 {latency["p95"]:.0f} ms')
    table.add_row('pictures', f'{output / "overview.png"}')
    table.add_row('point cloud', f'{output / "cloud.ply"}')
    console.print(table)


def _fail(console: Console, message: str, *, status: int = 1) -> NoReturn:
    console.print(message, style='bold red', markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(status)
