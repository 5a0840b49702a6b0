"""Depth in Rerun's viewer: image, depth, coloured cloud and the node's health, over time.

Rerun is an extra of this package: ``pip install '.[view]'``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.camera import CameraModel, back_project

#: Where the web viewer and what it reads are served [TCP ports].
WEB_PORT, DATA_PORT = 9090, 9876
# Points of the cloud at most: what a browser turns smoothly, five times a second.
_MOST_POINTS = 80_000
# Of what the first image shows, to where colours reach.
_MARGIN = 1.5
# Of diagnostic_msgs/DiagnosticStatus.
_LEVELS = ('INFO', 'WARN', 'ERROR', 'ERROR')


def load_rerun() -> ModuleType:
    """Return the module ``rerun``.

    :raises ValueError: where it is not installed.
    """
    try:
        import rerun
    except ModuleNotFoundError as error:
        raise ValueError(
            "got no Rerun, expected it for the viewer; pip install 'mirror_depth_ros[view]', or "
            'pip install rerun-sdk'
        ) from error
    return rerun


def has_display(environment: Mapping[str, str] = os.environ) -> bool:
    """Say whether a window can be opened here."""
    return any(environment.get(name) for name in ('DISPLAY', 'WAYLAND_DISPLAY'))


class DepthViewer:
    """Sends frames to a viewer."""

    def __init__(self, *, max_depth: float | None = None) -> None:
        """Open a recording that leads nowhere yet.

        :param max_depth: where colours and the cloud end [m]; None: a little beyond what the
            first image shows.
        :raises ValueError: where Rerun is not installed.
        """
        self._rerun = load_rerun()
        self._max_depth = max_depth
        self._stream = self._rerun.RecordingStream('mirror_depth')
        self._health: dict[str, tuple[int, str]] = {}

    def open_window(self) -> None:
        """Show Rerun's own window."""
        self._stream.spawn(default_blueprint=self._blueprint())

    def serve(self, *, web_port: int = WEB_PORT, data_port: int = DATA_PORT) -> str:
        """Serve the viewer to browsers; return the address of the page.

        :raises ValueError: if a port is taken.
        """
        try:
            data = self._stream.serve_grpc(
                grpc_port=data_port, default_blueprint=self._blueprint()
            )
            self._rerun.serve_web_viewer(web_port=web_port, open_browser=False)
        except RuntimeError as error:
            raise ValueError(
                f'got {error}, expected the ports {web_port} and {data_port} to be free; choose '
                'others'
            ) from error
        return f'http://localhost:{web_port}/?url={data.replace(":", "%3A").replace("/", "%2F")}'

    def save(self, path: Path) -> None:
        """Write all that follows to a file, to be opened with ``rerun FILE``."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream.save(path, default_blueprint=self._blueprint())

    def log(
        self,
        stamp_s: float,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32],
        camera: CameraModel,
        truth: NDArray[np.float32] | None = None,
        confidence: NDArray[np.float32] | None = None,
    ) -> None:
        """Show one image and its depth.

        :param stamp_s: when the image was taken [s].
        :param rgb: uint8 ``[H, W, 3]``.
        :param depth: metres along Z, ``[H, W]``; what is not finite is not shown.
        :param camera: of that size.
        :param truth: the same as measured by a sensor, where there is one.
        :param confidence: how sure the depth is, 0 to 1, ``[H, W]``, where that is known.
        """
        rerun, stream = self._rerun, self._stream
        if self._max_depth is None:
            seen = depth[np.isfinite(depth)]
            self._max_depth = _MARGIN * float(np.percentile(seen, 98)) if seen.size else 10.0
        stream.log('/', rerun.ViewCoordinates.RDF, static=True)
        stream.set_time('stamp', duration=stamp_s)
        stream.log(
            'camera',
            rerun.Pinhole(
                focal_length=(camera.fx, camera.fy),
                principal_point=(camera.cx, camera.cy),
                resolution=(camera.width, camera.height),
                camera_xyz=rerun.ViewCoordinates.RDF,
                image_plane_distance=0.3,
            ),
        )
        stream.log('camera/image', rerun.Image(rgb).compress(jpeg_quality=85))
        for name, metres in (('depth', depth), ('truth', truth)):
            if metres is not None:
                stream.log(f'camera/{name}', self._depth_image(metres))
        if confidence is not None:
            grey = np.round(255 * confidence).astype(np.uint8)  # white is sure
            stream.log('camera/confidence', rerun.Image(grey))
        points, colours = self._cloud(rgb, depth, camera)
        stream.log('cloud', rerun.Points3D(points, colors=colours, radii=-1.5))

    def log_health(self, stamp_s: float, name: str, level: int, message: str) -> None:
        """Show what a node says of itself, once for as long as it says the same.

        :param name: of what it says something.
        :param level: as of ``diagnostic_msgs/DiagnosticStatus``.
        """
        if self._health.get(name) != (level, message):
            self._health[name] = level, message
            self._stream.set_time('stamp', duration=stamp_s)
            line = self._rerun.TextLog(f'{name}: {message}', level=_LEVELS[level & 3])
            self._stream.log('health', line)

    def close(self) -> None:
        """Send what is not sent yet."""
        self._stream.flush()
        self._stream.disconnect()

    def _depth_image(self, metres: NDArray[np.float32]) -> Any:
        shown = np.where(np.isfinite(metres), metres, 0).astype(np.float32)
        return self._rerun.DepthImage(
            shown, meter=1.0, colormap='turbo', depth_range=(0.0, self._max_depth)
        )

    def _cloud(
        self, rgb: NDArray[np.uint8], depth: NDArray[np.float32], camera: CameraModel
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return points ``[N, 3]`` in the optical frame and their colours."""
        step = max(1, int(np.ceil(np.sqrt(depth.size / _MOST_POINTS))))
        thinned = (slice(None, None, step),) * 2
        points = back_project(depth, camera.rays)[thinned].reshape(-1, 3)
        with np.errstate(invalid='ignore'):
            near = points[:, 2] <= (self._max_depth or np.inf)
        usable = np.isfinite(points).all(axis=1) & near
        return points[usable], rgb[thinned].reshape(-1, 3)[usable]

    def _blueprint(self) -> Any:
        blueprint = self._rerun.blueprint
        images = blueprint.Vertical(
            blueprint.Spatial2DView(origin='camera', contents=['camera/image'], name='image'),
            blueprint.Tabs(
                *(
                    blueprint.Spatial2DView(
                        origin='camera', contents=[f'camera/{name}'], name=name
                    )
                    for name in ('depth', 'confidence')
                )
            ),
            blueprint.TextLogView(origin='health', name='health'),
            row_shares=[3, 3, 1],
        )
        cloud = blueprint.Spatial3DView(
            origin='/', contents=['cloud', 'camera', 'camera/image'], name='cloud'
        )
        return blueprint.Blueprint(
            blueprint.Horizontal(images, cloud, column_shares=[2, 3]),
            collapse_panels=True,
        )
