"""What reaches Rerun's viewer, read back from a file of it."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.evaluation.viewer import DepthViewer, has_display, load_rerun

rerun = pytest.importorskip('rerun', reason="needs pip install '.[view]'")

CAMERA = CameraModel(fx=8.0, fy=8.0, cx=2.0, cy=1.0, width=6, height=4)


def logged(path: Path) -> dict[str, list[Any]]:
    """Return the table of every entity in a file."""
    tables: dict[str, list[Any]] = {}
    for chunk in rerun.chunk.RrdReader(str(path)).stream():
        tables.setdefault(chunk.entity_path, []).append(chunk.to_record_batch())
    return tables


def column(tables: list[Any], ending: str) -> Any:
    (table,) = tables
    (name,) = [name for name in table.schema.names if name.endswith(ending)]
    return table.column(name).to_pylist()


def test_a_frame_is_image_depth_and_cloud(tmp_path: Path) -> None:
    depth = np.full((4, 6), np.nan, np.float32)
    depth[3, 4], depth[0, 0], depth[1, 1] = 2.0, 50.0, np.inf
    rgb = np.zeros((4, 6, 3), np.uint8)
    rgb[3, 4] = 10, 20, 30
    viewer = DepthViewer(max_depth=5.0)
    viewer.save(tmp_path / 'below' / 'a.rrd')
    viewer.log(12.5, rgb, depth, CAMERA)
    viewer.close()
    tables = logged(tmp_path / 'below' / 'a.rrd')
    assert {'/camera', '/camera/image', '/camera/depth', '/cloud'} <= set(tables)
    assert not {'/camera/truth', '/camera/confidence'} & set(tables)
    # ((4 - 2) / 8 * 2, (3 - 1) / 8 * 2, 2); what is not finite or beyond 5 m is no point.
    (points,) = column(tables['/cloud'], 'positions')
    np.testing.assert_allclose(points, [[0.5, 0.5, 2.0]])
    (colours,) = column(tables['/cloud'], 'colors')
    assert [f'{colour:08x}' for colour in colours] == ['0a141eff']
    ((buffer,),) = column(tables['/camera/depth'], 'buffer')
    shown = np.frombuffer(bytes(buffer), np.float32).reshape(4, 6)
    assert (shown[3, 4], shown[0, 0], shown[1, 1], shown[2, 2]) == (2.0, 50.0, 0.0, 0.0)
    ((limits,),) = column(tables['/camera/depth'], 'depth_range')
    assert list(limits) == [0.0, 5.0]


def test_colours_reach_a_little_beyond_the_first_image(tmp_path: Path) -> None:
    viewer = DepthViewer()
    viewer.save(tmp_path / 'a.rrd')
    rgb = np.zeros((4, 6, 3), np.uint8)
    for stamp_s, metres in ((0.0, 2.0), (0.1, 40.0)):
        depth = np.full((4, 6), metres, np.float32)
        viewer.log(stamp_s, rgb, depth, CAMERA, truth=depth, confidence=depth / 80)
    viewer.close()
    tables = logged(tmp_path / 'a.rrd')
    ranges = [r for table in tables['/camera/depth'] for (r,) in column([table], 'depth_range')]
    assert [list(r) for r in ranges] == [[0.0, 3.0], [0.0, 3.0]]
    assert {'/camera/truth', '/camera/confidence'} <= set(tables)


def test_health_is_said_once(tmp_path: Path) -> None:
    viewer = DepthViewer()
    viewer.save(tmp_path / 'a.rrd')
    for level, message in ((0, 'running'), (0, 'running'), (1, 'no image'), (0, 'running')):
        viewer.log_health(1.0, 'node', level, message)
        viewer.log_health(1.0, 'camera', 0, 'fine')
    viewer.close()
    tables = logged(tmp_path / 'a.rrd')['/health']
    said = [text for table in tables for (text,) in column([table], 'text')]
    levels = [level for table in tables for (level,) in column([table], 'level')]
    assert said == ['node: running', 'camera: fine', 'node: no image', 'node: running']
    assert levels == ['INFO', 'INFO', 'WARN', 'INFO']


def test_a_page_is_served(tmp_path: Path) -> None:
    import urllib.request

    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            ports.append(free.getsockname()[1])
    viewer = DepthViewer()
    address = viewer.serve(web_port=ports[0], data_port=ports[1])
    assert address.startswith(f'http://localhost:{ports[0]}/?url=rerun')
    assert f'%3A{ports[1]}%2Fproxy' in address
    page = urllib.request.urlopen(f'http://127.0.0.1:{ports[0]}/', timeout=10).read()
    assert b'<html' in page.lower()
    viewer.close()


def test_without_rerun_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'rerun', None)
    with pytest.raises(ValueError, match=r'got no Rerun, expected it .*pip install .*rerun-sdk'):
        load_rerun()


def test_where_there_is_a_display() -> None:
    assert has_display({'DISPLAY': ':0'})
    assert has_display({'WAYLAND_DISPLAY': 'wayland-0'})
    assert not has_display({'DISPLAY': ''})
