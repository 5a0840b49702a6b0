"""What many tests share: messages without ROS, recordings, a small network with random weights.

The network is in files that any process can load; the recordings are written by rosbags itself.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from mirror_depth_ros.cli import ros_environment

# Before anything imports a hub client: tests never reach for the network.
os.environ.setdefault('HF_HUB_OFFLINE', '1')
# Idle OpenMP threads sleep; spinning, they would starve the other processes of a test.
os.environ.setdefault('OMP_WAIT_POLICY', 'passive')
# With pytest-xdist there are several processes of tests, workers gw0, gw1 and so on. Each keeps to
# ROS domains of its own, as two that chose the same one at the same moment would meet there.
_WORKER = os.environ.get('PYTEST_XDIST_WORKER')
ros_environment._DOMAINS = ros_environment._DOMAINS[
    int((_WORKER or 'gw0')[2:]) :: int(os.environ.get('PYTEST_XDIST_WORKER_COUNT', 1))
]
# No test finds the engines of whoever runs it, or leaves them any; the workers share theirs.
if _WORKER is None:
    _cache = tempfile.TemporaryDirectory(prefix='mirror_depth_cache_')
    os.environ['MIRROR_DEPTH_CACHE'] = _cache.name

# `make test` draws the same cases every time; `make soak` draws others, and prints their seed.
settings.register_profile('repeatable', derandomize=True, deadline=None)
settings.register_profile('fresh', deadline=None)
settings.load_profile(os.environ.get('MIRROR_DEPTH_DRAWS', 'repeatable'))

_EXTRA = "needs pip install '.[{}]'"
_LABORATORY = 'only the laboratory needs it: pip install {}'
# Packages that rosdep does not bring, and what for tests need them. Those are skipped where one is
# missing, so that `colcon test` does what it can on any machine.
_OPTIONAL = {
    'rclpy': 'needs ROS 2: source an installation, or pip install .[ros]',
    'launch': 'needs launch: source a ROS 2 installation',
    'launch_ros': 'needs launch_ros: source a ROS 2 installation',
    'open_clip': 'no model loads without it: pip install open_clip_torch',
    'safetensors': 'no model loads without it: pip install safetensors',
    'av': 'videos need it: pip install av',
    'plyfile': 'point clouds need it: pip install plyfile',
    **dict.fromkeys(
        ('onnx', 'onnxruntime', 'onnxscript', 'openvino'), _EXTRA.format('accelerate')
    ),
    **dict.fromkeys(
        ('jsonargparse', 'lightning', 'rosbags', 'tensorboard', 'torchvision'),
        _EXTRA.format('train'),
    ),
    **{name: _LABORATORY.format(name) for name in ('embreex', 'timm', 'trimesh')},
    'importlinter': _EXTRA.format('test'),
}


@pytest.fixture
def optional_packages() -> dict[str, str]:
    """Return the packages without which tests are skipped, and what is said then."""
    return _OPTIONAL


@pytest.fixture
def model_packages() -> None:
    """Skip a test whose other processes load a model where they could not."""
    for package in ('open_clip', 'safetensors'):
        pytest.importorskip(package, reason=_OPTIONAL[package])


def _missing_package(error: BaseException | None) -> str | None:
    """Return the optional package that an error says is not installed."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name:
            package = error.name.partition('.')[0]
            # What is installed and lacks a part is broken, which is no reason to skip.
            return package if package in _OPTIONAL and package == error.name else None
        error = error.__cause__
    return None


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """Skip a module that imports what is not installed."""
    outcome = yield
    report = outcome.get_result()
    raised = report.call.excinfo
    package = _missing_package(raised.value) if report.failed and raised else None
    if package is not None:
        report.outcome = 'skipped'
        report.longrepr = (collector.nodeid, 1, f'Skipped: {_OPTIONAL[package]}')


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Skip a test that, or a fixture of which, imports what is not installed."""
    outcome = yield
    report = outcome.get_result()
    package = _missing_package(call.excinfo.value) if report.failed and call.excinfo else None
    if package is not None:
        path, line, _ = item.location
        report.outcome = 'skipped'
        report.longrepr = (path, (line or 0) + 1, f'Skipped: {_OPTIONAL[package]}')


@pytest.fixture(scope='session')
def cuda() -> str:
    """Return the name of a GPU; what asks for it is skipped where there is none."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip('no CUDA device')
    return 'cuda:0'


@pytest.fixture(params=['cpu', pytest.param('cuda', marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """Return where a test computes: on the CPU, then once more on a GPU."""
    return 'cpu' if request.param == 'cpu' else request.getfixturevalue('cuda')


@pytest.fixture(scope='session')
def make_cloud() -> Callable[..., SimpleNamespace]:
    """Return a maker of what has the fields of ``sensor_msgs/PointCloud2``."""

    def make(
        records: Any,
        *,
        is_bigendian: bool = False,
        row_padding: int = 0,
        sec: int = 0,
        nanosec: int = 0,
        **fields: Any,
    ) -> SimpleNamespace:
        """Lay out a structured array, ``[N]`` or ``[H, W]``, as its own type has it."""
        records = np.atleast_2d(records)
        datatypes = {'i1': 1, 'u1': 2, 'i2': 3, 'u2': 4, 'i4': 5, 'u4': 6, 'f4': 7, 'f8': 8}
        step = records.dtype.itemsize
        rows = np.frombuffer(records.tobytes(), np.uint8).reshape(len(records), -1)
        rows = np.pad(rows, ((0, 0), (0, row_padding)), constant_values=77)
        message = {
            'header': SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec)),
            'height': records.shape[0],
            'width': records.shape[1],
            'fields': [
                SimpleNamespace(
                    name=name, offset=offset, datatype=datatypes[kind.str[1:]], count=1
                )
                for name, (kind, offset, *_) in records.dtype.fields.items()
            ],
            'is_bigendian': is_bigendian,
            'point_step': step,
            'row_step': rows.shape[1],
            'data': rows.ravel(),
            'is_dense': True,
        }
        return SimpleNamespace(**{**message, **fields})

    return make


# A message is recorded so long after it was taken [ns].
_LATENCY_NS = 5_000_000


@pytest.fixture(scope='session')
def make_image() -> Callable[..., SimpleNamespace]:
    """Return a maker of what has the fields of ``sensor_msgs/Image``, its data read-only."""

    def make(pixels: Any, encoding: str, *, padding: int = 0, **fields: Any) -> SimpleNamespace:
        """Lay out ``[H, W]`` or ``[H, W, C]`` pixels, ``padding`` bytes after each row."""
        rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1).view(np.uint8)
        rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
        message = {
            'encoding': encoding,
            'height': pixels.shape[0],
            'width': pixels.shape[1],
            'step': rows.shape[1],
            'is_bigendian': False,
            'data': np.frombuffer(rows.tobytes(), np.uint8),
        }
        return SimpleNamespace(**{**message, **fields})

    return make


@pytest.fixture(scope='session')
def make_info() -> Callable[..., SimpleNamespace]:
    """Return a maker of what has the fields of ``sensor_msgs/CameraInfo``.

    It describes the calibrated right camera of a stereo pair, 640 x 480 pixels.
    """

    def make(*, roi: dict[str, int] | None = None, **fields: Any) -> SimpleNamespace:
        all_of_it = dict.fromkeys(('x_offset', 'y_offset', 'width', 'height'), 0)
        message = {
            'width': 640,
            'height': 480,
            'distortion_model': 'plumb_bob',
            'd': [-0.3, 0.1, 0.001, -0.002, 0.0],
            'k': [500.0, 0.0, 322.0, 0.0, 510.0, 238.0, 0.0, 0.0, 1.0],
            'r': [0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0],
            'p': [480.0, 0.0, 320.0, -48.0, 0.0, 480.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            'binning_x': 0,
            'binning_y': 0,
            'roi': SimpleNamespace(**{**all_of_it, **(roi or {})}),
        }
        return SimpleNamespace(**{**message, **fields})

    return make


@pytest.fixture(scope='session')
def tiny_clip_config() -> dict[str, Any]:
    """Return open_clip's description of a CLIP of three small blocks."""
    return {
        'embed_dim': 24,
        'vision_cfg': {
            'image_size': [48, 64],
            'layers': 3,
            'width': 32,
            'head_width': 16,
            'patch_size': 16,
        },
        'text_cfg': {'context_length': 10, 'vocab_size': 40, 'width': 16, 'heads': 2, 'layers': 2},
    }


@pytest.fixture(scope='session')
def tiny_clip(tiny_clip_config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the open_clip name of that CLIP with random weights, in a folder of its own."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp('tiny_clip')
    (folder / 'open_clip_config.json').write_text(json.dumps({'model_cfg': tiny_clip_config}))
    torch.manual_seed(3)
    clip = open_clip.create_model(f'local-dir:{folder}', load_weights=False)
    save_file(clip.state_dict(), folder / 'open_clip_model.safetensors')
    return f'local-dir:{folder}'


@pytest.fixture(scope='session')
def tiny_network(tiny_clip: str) -> dict[str, Any]:
    """Return the fields of a small ``MirrorDepthConfig`` on :func:`tiny_clip`."""
    return {
        'clip': tiny_clip,
        'taps': (0, 2),
        'mirror_tokens': 6,
        'width': 16,
        'heads': 2,
        'mlp_width': 32,
        'input_size': (48, 64),
        'reference_focal_px': 50.0,
    }


@pytest.fixture(scope='session')
def tiny_model(tiny_network: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint of that network with random weights."""
    import torch

    from mirror_depth_ros.model.checkpoint import save_checkpoint
    from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig

    torch.manual_seed(4)
    path = tmp_path_factory.mktemp('tiny_model') / 'tiny.safetensors'
    config = MirrorDepthConfig(**tiny_network, output='log')
    save_checkpoint(MirrorDepth.from_config(config), path)
    return path


@pytest.fixture(scope='session')
def tiny_model_with_confidence(
    tiny_network: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a checkpoint of that network which also says how far off it may be."""
    import torch

    from mirror_depth_ros.model.checkpoint import save_checkpoint
    from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig

    torch.manual_seed(5)
    path = tmp_path_factory.mktemp('tiny_model') / 'with_confidence.safetensors'
    config = MirrorDepthConfig(**tiny_network, output='log', confidence=True)
    save_checkpoint(MirrorDepth.from_config(config), path)
    return path


@pytest.fixture(scope='session')
def make_view() -> Callable[..., SimpleNamespace]:
    """Return a maker of views of boxes on a floor, with exact depth."""

    def make(kind: str, seed: int, *, width: int = 321, height: int = 241) -> SimpleNamespace:
        """Look about at random.

        :param kind: ``room``, within walls, or ``road``, below an open sky.
        :returns: ``camera``; ``depth`` ``[H, W]`` [m], infinity = the sky; ``is_floor``
            ``[H, W]``; ``position`` ``[3]`` and ``rotation`` ``[3, 3]``, which lead from the
            optical frame to the world, z up from the floor.
        """
        from mirror_depth_ros.depth.camera import CameraModel

        random = np.random.default_rng(seed)
        is_room = kind == 'room'
        camera = CameraModel.from_fov(width, height, random.uniform(55, 90))
        yaw, pitch, roll = np.radians(random.uniform((-20, 5, -4), (20, 25, 4)))
        position = np.array([0.0, 0.0, random.uniform(0.4, 1.6)])
        # Columns: right, down, forward, for a camera that looks along x.
        level = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
        about_z = _turn(2, yaw)
        rotation = about_z @ level @ _turn(0, -pitch) @ _turn(2, roll)
        rays = np.concatenate([camera.rays, np.ones((height, width, 1))], 2) @ rotation.T
        reach = 4.0 if is_room else 25.0
        low = np.stack([random.uniform(1.5, reach, 8), random.uniform(-3, 2.5, 8), np.zeros(8)], 1)
        high = low + random.uniform(0.2, 1.2, (8, 3)) * [1, 1, 1.3]
        with np.errstate(divide='ignore', invalid='ignore'):
            floor = np.where(rays[..., 2] < 0, -position[2] / rays[..., 2], np.inf)
            depth = floor
            for a, b in zip(low, high):
                near, far = np.sort(
                    np.stack([a - position, b - position])[..., None, None, :] / rays, 0
                )
                enters, leaves = near.max(-1), far.min(-1)
                depth = np.where(
                    (enters < leaves) & (enters > 0), np.minimum(depth, enters), depth
                )
            if is_room:
                walls = np.array([[-2, -3, -1], [reach + 2, 3.5, 2.8]]) - position
                depth = np.minimum(depth, (walls[:, None, None] / rays).max(0).min(-1))
        return SimpleNamespace(
            camera=camera,
            depth=depth.astype(np.float32),
            is_floor=np.isfinite(depth) & (depth == floor),
            position=position,
            rotation=rotation,
        )

    return make


def _turn(axis: int, angle: float) -> np.ndarray:
    """Return the rotation about an axis, counter-clockwise seen from its end."""
    one, other = (axis + 1) % 3, (axis + 2) % 3
    turned = np.eye(3)
    turned[[one, other], [one, other]] = np.cos(angle)
    turned[other, one], turned[one, other] = np.sin(angle), -np.sin(angle)
    return turned


@pytest.fixture(scope='session')
def make_frames() -> Callable[..., Path]:
    """Return a maker of folders of frames of 51 x 69 pixels: noise, and noisy depth from it."""
    import cv2
    import numpy as np

    camera = {'fx': 60.0, 'fy': 62.0, 'cx': 34.0, 'cy': 25.0, 'width': 69, 'height': 51}

    def make(folder: Path, count: int) -> Path:
        """Write frames 00, 01 and so on, each with three columns less of true depth."""
        random = np.random.default_rng(5)
        for number in range(count):
            frame = folder / f'{number:02d}'
            frame.mkdir(parents=True)
            millimetres = random.integers(500, 5000, (51, 69), np.uint16)
            grey = (millimetres // 20).astype(np.uint8)
            millimetres[:, : 3 * number] = 0
            cv2.imwrite(str(frame / 'depth.png'), millimetres)
            cv2.imwrite(str(frame / 'rgb.png'), np.stack([grey, 255 - grey, grey], axis=-1))
            meta = {'camera': camera, 'depth_scale': 0.001}
            (frame / 'meta.json').write_text(json.dumps(meta))
        return folder

    return make


@pytest.fixture(scope='session')
def frames(make_frames: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of ten frames; by default eight are trained and two validated on."""
    return make_frames(tmp_path_factory.mktemp('recording') / 'frames', 10)


@pytest.fixture(scope='session')
def small_recipe(
    tiny_network: dict[str, Any], frames: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a recipe of ``mirror_depth train`` for a second: two epochs of four steps."""
    import yaml

    network = {k: list(v) if isinstance(v, tuple) else v for k, v in tiny_network.items()}
    recipe = {
        'model': {'network': {**network, 'output': 'log'}, 'lr': 0.01},
        'data': {
            'train': f'frames:{frames}',
            'batch_size': 2,
            'workers': 0,
            'augmentation': {'crop': [0.7, 1.0], 'flip': 0.5, 'brightness': 0.2},
        },
        'trainer': {
            'max_epochs': 2,
            'precision': 32,
            'accelerator': 'cpu',
            'log_every_n_steps': 1,
            'num_sanity_val_steps': 0,
        },
    }
    path = tmp_path_factory.mktemp('recipe') / 'small.yaml'
    path.write_text(yaml.safe_dump(recipe))
    return path


@pytest.fixture
def report_row(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Return what holds a test and its row in ``docs/reliability.md`` together.

    With ``RELIABILITY=write`` (``make soak``) the row is written, else it must be there already.
    """

    def report(table: str, what: str, outcome: str, *, tried: int = 1, figures: str = '') -> None:
        """Say what was tried how often, and what came of it.

        :param figures: what was measured, which differs from run to run and is not compared.
        """
        path = Path(__file__).parents[1] / 'docs' / 'reliability' / f'{table}.json'
        rows = json.loads(path.read_text(encoding='utf-8')) if path.is_file() else []
        row = {'what': what, 'tried': tried, 'outcome': outcome}
        places = [i for i, earlier in enumerate(rows) if earlier['what'] == what]
        if os.environ.get('RELIABILITY') == 'write':
            row |= {'figures': figures, 'test': request.node.nodeid}
            at = places[0] if places else len(rows)
            rows[at : at + 1] = [row]
            path.parent.mkdir(exist_ok=True)
            text = json.dumps(rows, indent=2, ensure_ascii=False)
            path.write_text(f'{text}\n', encoding='utf-8')
            return
        assert places, f'{path.name} has no row {what!r}; make soak writes it'
        there = {name: rows[places[0]][name] for name in row}
        assert row == there, f'{path.name} says otherwise; make soak writes it anew'

    return report


class StoppedError(RuntimeError):
    """The training was stopped by the test."""


@pytest.fixture
def stopped_training(
    small_recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """Return what trains up to before a step, as if it was killed there."""

    from mirror_depth_ros.training.command import train
    from mirror_depth_ros.training.depth_training import MirrorDepthTraining

    def stop(folder: Path, step: int, *options: str, save_every: int) -> list[str]:
        """Return the arguments that the training can go on with."""
        arguments = [f'--config={small_recipe}', *options]
        whole_step = MirrorDepthTraining.training_step

        def training_step(self: MirrorDepthTraining, batch: Any, index: int) -> Any:
            if self.global_step == step:
                raise StoppedError
            return whole_step(self, batch, index)

        with monkeypatch.context() as patch:
            patch.setattr(MirrorDepthTraining, 'training_step', training_step)
            with pytest.raises(StoppedError):
                train(arguments, folder, save_every=save_every)
        return arguments

    return stop


@pytest.fixture
def files_up_to() -> Callable[[int], AbstractContextManager[None]]:
    """Return what makes the system refuse larger files [bytes], as it does on a full disk."""
    import resource

    @contextmanager
    def limit(size: int) -> Iterator[None]:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    return limit


@pytest.fixture(scope='session')
def content_of() -> Callable[[Path], tuple[dict[str, str], dict[str, bytes]]]:
    """Return what reads metadata and tensors of a safetensors file, to the bit.

    The files themselves differ: safetensors writes metadata in an order of chance.
    """
    from safetensors import safe_open

    def read(path: Path) -> tuple[dict[str, str], dict[str, bytes]]:
        with safe_open(path, framework='np') as file:
            tensors = {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118
            return file.metadata(), tensors

    return read


@pytest.fixture
def moved_clip(
    tiny_clip: str,
    tiny_clip_config: dict[str, Any],
    tiny_network: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Path, Path]:
    """Return a checkpoint, and where its CLIP's weights are since it was trained."""
    import open_clip

    from mirror_depth_ros.model.checkpoint import save_checkpoint
    from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig

    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, 'tiny', tiny_clip_config)
    folder = Path(tiny_clip.removeprefix('local-dir:'))
    trained_with, model = tmp_path / 'clip.safetensors', tmp_path / 'model.safetensors'
    shutil.copy(folder / 'open_clip_model.safetensors', trained_with)
    fields = {**tiny_network, 'clip': 'tiny', 'clip_weights': str(trained_with)}
    save_checkpoint(MirrorDepth.from_config(MirrorDepthConfig(**fields)), model)
    return model, trained_with.rename(tmp_path / 'moved.safetensors')


class BagMaker:
    """Makes messages, and recordings of them below a folder."""

    def __init__(self, folder: Path) -> None:
        from rosbags.typesys import Stores, get_typestore

        self.folder = folder
        self._store = get_typestore(Stores.LATEST)

    def make(self, kind: str, **fields: Any) -> Any:
        """Make a message of a type such as ``sensor_msgs/msg/Image``."""
        return self._store.types[kind](**fields)

    def header(self, stamp_ns: int, frame: str) -> Any:
        seconds, nanoseconds = divmod(stamp_ns, 10**9)
        stamp = self.make('builtin_interfaces/msg/Time', sec=seconds, nanosec=nanoseconds)
        return self.make('std_msgs/msg/Header', stamp=stamp, frame_id=frame)

    def image(self, pixels: Any, encoding: str, stamp_ns: int = 0, frame: str = 'camera') -> Any:
        return self.make(
            'sensor_msgs/msg/Image',
            header=self.header(stamp_ns, frame),
            height=pixels.shape[0],
            width=pixels.shape[1],
            encoding=encoding,
            is_bigendian=0,
            step=pixels.nbytes // len(pixels),
            data=np.ascontiguousarray(pixels).reshape(-1).view(np.uint8),
        )

    def compressed(self, data: Any, form: str, stamp_ns: int = 0, frame: str = 'camera') -> Any:
        return self.make(
            'sensor_msgs/msg/CompressedImage',
            header=self.header(stamp_ns, frame),
            format=form,
            data=np.frombuffer(bytes(data), np.uint8),
        )

    def info(self, width: int, height: int, stamp_ns: int = 0, **fields: Any) -> Any:
        """Make a CameraInfo: K is 50, 52, 26.5, 17.5 and P is 40, 41, 25, 18."""
        k = [50.0, 0.0, 26.5, 0.0, 52.0, 17.5, 0.0, 0.0, 1.0]
        p = [40.0, 0.0, 25.0, 0.0, 0.0, 41.0, 18.0, 0.0, 0.0, 0.0, 1.0, 0.0]
        fields = {'distortion_model': 'plumb_bob', 'd': [0.0] * 5, 'k': k, 'p': p, **fields}
        arrays = {name: np.array(fields.pop(name), np.float64) for name in 'dkp'}
        region = self.make(
            'sensor_msgs/msg/RegionOfInterest',
            **dict.fromkeys(('x_offset', 'y_offset', 'height', 'width'), 0),
            do_rectify=False,
        )
        return self.make(
            'sensor_msgs/msg/CameraInfo',
            header=self.header(stamp_ns, 'camera'),
            width=width,
            height=height,
            binning_x=0,
            binning_y=0,
            **{'roi': region, 'r': np.eye(3).ravel(), **arrays, **fields},
        )

    def transform(
        self,
        parent: str,
        child: str,
        stamp_ns: int = 0,
        *,
        xyz: Sequence[float] = (0.0, 0.0, 0.0),
        quaternion: Sequence[float] = (0.0, 0.0, 0.0, 1.0),
    ) -> Any:
        """Make a TFMessage of one transform."""
        transform = self.make(
            'geometry_msgs/msg/Transform',
            translation=self._numbers('Vector3', xyz),
            rotation=self._numbers('Quaternion', quaternion),
        )
        stamped = self.make(
            'geometry_msgs/msg/TransformStamped',
            header=self.header(stamp_ns, parent),
            child_frame_id=child,
            transform=transform,
        )
        return self.make('tf2_msgs/msg/TFMessage', transforms=[stamped])

    def odometry(
        self,
        stamp_ns: int,
        *,
        xyz: Sequence[float],
        quaternion: Sequence[float] = (0.0, 0.0, 0.0, 1.0),
        child: str = 'base_link',
    ) -> Any:
        """Make an Odometry of a robot in the frame ``odom``."""
        pose = self.make(
            'geometry_msgs/msg/Pose',
            position=self._numbers('Point', xyz),
            orientation=self._numbers('Quaternion', quaternion),
        )
        still = self.make(
            'geometry_msgs/msg/Twist',
            linear=self._numbers('Vector3', (0, 0, 0)),
            angular=self._numbers('Vector3', (0, 0, 0)),
        )
        unknown = np.zeros(36)
        kind = 'geometry_msgs/msg/{}WithCovariance'
        return self.make(
            'nav_msgs/msg/Odometry',
            header=self.header(stamp_ns, 'odom'),
            child_frame_id=child,
            pose=self.make(kind.format('Pose'), pose=pose, covariance=unknown),
            twist=self.make(kind.format('Twist'), twist=still, covariance=unknown),
        )

    def scan(
        self,
        ranges: Sequence[float],
        stamp_ns: int = 0,
        frame: str = 'laser',
        *,
        angle_min: float = 0.0,
        angle_increment: float = 0.1,
        time_increment: float = 0.0,
    ) -> Any:
        """Make a LaserScan of 0.05 to 30 m."""
        return self.make(
            'sensor_msgs/msg/LaserScan',
            header=self.header(stamp_ns, frame),
            angle_min=angle_min,
            angle_max=angle_min + angle_increment * (len(ranges) - 1),
            angle_increment=angle_increment,
            time_increment=time_increment,
            scan_time=0.1,
            range_min=0.05,
            range_max=30.0,
            ranges=np.array(ranges, np.float32),
            intensities=np.zeros(0, np.float32),
        )

    def range(self, metres: float, stamp_ns: int = 0, frame: str = 'laser') -> Any:
        """Make a Range of a sonar of 0.2 to 4 m."""
        return self.make(
            'sensor_msgs/msg/Range',
            header=self.header(stamp_ns, frame),
            radiation_type=0,
            field_of_view=0.4,
            min_range=0.2,
            max_range=4.0,
            range=metres,
            variance=0.0,
        )

    def cloud(self, layout: Any, stamp_ns: int = 0, frame: str = 'laser') -> Any:
        """Make a PointCloud2 of what ``make_cloud`` has laid out."""
        fields = [
            self.make('sensor_msgs/msg/PointField', **vars(field)) for field in layout.fields
        ]
        header = self.header(stamp_ns, frame)
        return self.make(
            'sensor_msgs/msg/PointCloud2', **{**vars(layout), 'header': header, 'fields': fields}
        )

    def _numbers(self, kind: str, values: Sequence[float]) -> Any:
        names = dict(zip('xyzw', map(float, values)))
        return self.make(f'geometry_msgs/msg/{kind}', **names)

    def write(
        self,
        messages: list[tuple[str, Any]],
        *,
        name: str = 'bag',
        storage: str = 'mcap',
        compression: Any = None,
        log_ns: int | None = None,
    ) -> Path:
        """Write a recording; all is recorded at ``log_ns``, or soon after its stamp."""
        from rosbags.rosbag2 import CompressionFormat, StoragePlugin, Writer

        folder = self.folder / name
        plugin = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}[storage]
        writer = Writer(folder, version=9, storage_plugin=plugin)
        if compression is not None:
            writer.set_compression(compression, CompressionFormat.ZSTD)
        with writer:
            connections: dict[str, Any] = {}
            for topic, message in messages:
                kind = message.__msgtype__
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, kind, typestore=self._store)
                header = getattr(message, 'header', None) or message.transforms[0].header
                stamp = header.stamp
                soon_ns = stamp.sec * 10**9 + stamp.nanosec + _LATENCY_NS
                data = self._store.serialize_cdr(message, kind)
                writer.write(connections[topic], soon_ns if log_ns is None else log_ns, data)
        return folder


@pytest.fixture
def bag_maker(tmp_path: Path) -> BagMaker:
    return BagMaker(tmp_path)


@pytest.fixture
def lidar_recording(bag_maker: BagMaker) -> Path:
    """Return a recording of ten images of 51 x 69 pixels with a scan each; no depth image."""
    optical = (-0.5, 0.5, -0.5, 0.5)
    messages = [
        ('/tf_static', bag_maker.transform('base', 'laser', xyz=(0, 0, 0.2))),
        ('/tf_static', bag_maker.transform('base', 'camera', xyz=(0, 0, 0.4), quaternion=optical)),
        ('/camera_info', bag_maker.info(69, 51)),
    ]
    random = np.random.default_rng(1)
    for stamp_ns in range(0, 10**9, 10**8):
        rgb = random.integers(0, 256, (51, 69, 3), np.uint8)
        ranges = random.uniform(1, 4, 60)
        scan = bag_maker.scan(ranges, stamp_ns, angle_min=-0.6, angle_increment=0.02)
        messages += [('/image', bag_maker.image(rgb, 'rgb8', stamp_ns)), ('/scan', scan)]
    return bag_maker.write(messages)


@pytest.fixture
def exif_corners() -> dict[int, tuple[str, str]]:
    """Where an upright picture shows the stored one's top left and top right corners.

    By orientation, as EXIF 2.32, 4.6.4 has it.
    """
    return {
        1: ('top left', 'top right'),
        2: ('top right', 'top left'),
        3: ('bottom right', 'bottom left'),
        4: ('bottom left', 'bottom right'),
        5: ('top left', 'bottom left'),
        6: ('top right', 'bottom right'),
        7: ('bottom right', 'top right'),
        8: ('bottom left', 'top left'),
    }


@pytest.fixture
def marked_corners() -> Callable[[np.ndarray], tuple[str, str]]:
    """Return what finds the corners of grey levels 250 and 120, in marks of 8 pixels or more."""

    def find(picture: np.ndarray) -> tuple[str, str]:
        grey = picture[..., 0] if picture.ndim == 3 else picture
        places = {
            'top left': grey[5, 5],
            'top right': grey[5, -6],
            'bottom left': grey[-6, 5],
            'bottom right': grey[-6, -6],
        }
        white, mark = (
            min(places, key=lambda name: abs(int(places[name]) - level)) for level in (250, 120)
        )
        return white, mark

    return find
