"""``mirror_depth demo``: a camera that plays frames, the node and a recorder over real DDS."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mirror_depth_ros.cli.options import Backend, Device, JsonFile, Model, Precision

if TYPE_CHECKING:
    from rich.console import Console

    from mirror_depth_ros.cli.processes import Child

_CAMERA, _NODE = '/camera', '/mirror_depth'


def demo(
    seconds: float = typer.Option(10.0, min=0.5, help='How long to record, once depth arrives.'),
    output: Path = typer.Option(Path('demo_output'), help='Folder for pictures, cloud, figures.'),
    images: Path | None = typer.Option(
        None, help='Play the photographs of this folder instead of the recording brought.'
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
    rate: float = typer.Option(10.0, min=0.1, max=120.0, help="The camera's frames per second."),
    json_file: JsonFile = None,
) -> None:
    """Turn photographs and a rendered video, or your own, into metric depth through ROS 2."""
    from mirror_depth_ros.cli.ros_environment import missing_ros
    from mirror_depth_ros.data.frames import FrameFolder
    from mirror_depth_ros.depth.files import make_folder

    if (remedy := missing_ros()) is not None:
        raise ValueError(remedy)
    output = output.absolute()
    left_out: list[Path] = []
    if images is not None:  # a folder that is no camera is refused before any process starts
        images = images.absolute()
        left_out = FrameFolder(images, hfov_deg=fov).left_out
    make_folder(output / 'logs')
    frames = {'images': str(images or ''), 'fov': fov or 0.0}
    recording = {
        'output': str(output),
        'seconds': seconds,
        # Of one's own photographs each; of the package's, two of each place.
        'pictures': 0 if images else 2,
        'max_depth': max_depth or 0.0,
    }
    is_file = os.sep in model or Path(model).exists()
    estimating = {
        'model': str(Path(model).absolute()) if is_file else model,
        'device': device,
        'precision': precision,
        'backend': backend,
    }
    summary = _record(
        output, _commands({**frames, 'rate_hz': rate}, estimating, {**frames, **recording})
    )
    _print_summary(summary, output)
    if json_file is not None:
        shutil.copyfile(output / 'summary.json', json_file)
    if summary['missing']:
        names = ', '.join(summary['missing'])
        raise ValueError(f'no depth came for {names}; see the logs in {output / "logs"}')
    if left_out:
        names = ', '.join(path.name for path in left_out)
        raise ValueError(f'left out: {names}: no images that are read; convert them')


def _commands(
    camera: Mapping[str, Any], depth_node: Mapping[str, Any], recorder: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Return the command lines of the three nodes, of which parameters are given."""
    image = {'image': f'{_CAMERA}/image_raw'}
    info = {'camera_info': f'{_CAMERA}/camera_info'}
    outputs = ('depth/image', 'depth/preview', 'points')
    camera_topics = {
        'true_depth': f'{_CAMERA}/true_depth',
        'depth/camera_info': f'{_NODE}/depth/camera_info',
    }
    return {
        # No frame is skipped, however slow the model is.
        'camera': _command(
            'demo.frame_camera', {**image, **info, **camera_topics}, {**camera, 'hold': True}
        ),
        # Every pixel is compared with the truth: none counts as the worst depth. Rooms and streets
        # have one range of colours.
        'depth node': _command(
            'depth_node',
            {**image, **info},
            {**depth_node, 'edge_filter': 0.0, 'preview_max_depth': 80.0},
        ),
        'recorder': _command(
            'demo.recorder',
            {**image, **{name: f'{_NODE}/{name}' for name in outputs}},
            {**recorder, 'status': True},
        ),
    }


def _command(module: str, remaps: Mapping[str, str], parameters: Mapping[str, Any]) -> list[str]:
    """Return the command line of a node; JSON is the YAML that parameter values are read as."""
    from mirror_depth_ros.cli.processes import module_command

    command = [*module_command(f'mirror_depth_ros.ros.{module}'), '--ros-args']
    for name, target in remaps.items():
        command += ['-r', f'{name}:={target}']
    for name, value in parameters.items():
        command += ['-p', f'{name}:={json.dumps(value, ensure_ascii=False)}']
    return command


def _record(output: Path, commands: Mapping[str, list[str]]) -> dict[str, Any]:
    """Run camera, depth node and recorder until the last ends; return its summary.

    :raises ChildFailedError: if one of them fails.
    """
    from rich.console import Console

    from mirror_depth_ros.cli.processes import Children, interruptible
    from mirror_depth_ros.cli.ros_environment import private_environment
    from mirror_depth_ros.inference.process_tuning import find_shm_shortage

    console = Console(stderr=True)
    environment = private_environment(os.environ, output / 'logs')
    if shortage := find_shm_shortage(len(commands), environment):
        console.print(shortage, style='yellow', markup=False, highlight=False, soft_wrap=True)
    with interruptible(), Children(output / 'logs', environment) as children:
        console.print(f'ROS_DOMAIN_ID={environment["ROS_DOMAIN_ID"]}', style='dim')
        camera, depth_node = (children.start(n, commands[n]) for n in ('camera', 'depth node'))
        recorder = children.start('recorder', commands['recorder'], read_output=True)
        _show_progress(recorder, camera, depth_node, console)
        summary = output / 'summary.json'
        if not summary.is_file():
            recorder.check_success()
    return dict(json.loads(summary.read_text(encoding='utf-8')))


def _show_progress(recorder: Child, camera: Child, depth_node: Child, console: Console) -> None:
    """Show how far the recorder is until it ends.

    :raises ChildFailedError: if a process that it listens to ends before.
    """
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from mirror_depth_ros.cli.processes import lines_of

    columns = (SpinnerColumn(), TextColumn('{task.description}'), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task('starting camera, depth node and recorder', total=None)
        for line in filter(lambda line: line.startswith('{'), lines_of(recorder.process.stdout)):
            status = json.loads(line)
            doing = status['doing']
            if silent := status.get('silent'):  # no depth has come
                depth_node.check_no_error()
                if f'{_CAMERA}/image_raw' in silent:
                    doing = f'waiting for the camera: {camera.last_message()}'
            progress.update(
                task, description=doing, total=status.get('of'), completed=status.get('done', 0)
            )
            for child in (camera, depth_node):
                child.check_running()
    recorder.process.wait()


def _print_summary(summary: Mapping[str, Any], output: Path) -> None:
    """Print what was measured, and where the pictures are."""
    from mirror_depth_ros.cli.tables import print_table

    names = ('abs_rel', 'delta1', 'abs_rel_median_scaled')
    figures = [
        [group['name'], group['frames']]
        + ['no truth' if group[name] is None else group[name] for name in names]
        for group in summary['groups']
    ]
    titles = ('', 'frames', 'Abs Rel', 'delta < 1.25', 'Abs Rel, median scaled')
    print_table(figures, *titles, title='Against true depth')
    latency = summary['latency_ms']
    per_second = '' if summary['fps'] is None else f' ({summary["fps"]:.3g} per s)'
    facts = [
        ('images received', summary['frames_published']),
        ('depth images', f'{summary["frames_processed"]}{per_second}'),
        ('latency', f'p50 {latency["p50"]:.0f} ms, p95 {latency["p95"]:.0f} ms'),
        ('pictures', output / 'overview.png'),
        ('point cloud', output / 'cloud.ply'),
    ]
    print_table(facts, title='Depth through ROS 2')
