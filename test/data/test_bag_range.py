"""Range sensors of a recording: where their cones are at each image's time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mirror_depth_ros.data.bag import BagFrames

H, W = 37, 53
START_NS = 1_700_000_000 * 10**9
MS = 10**6
OPTICAL = (-0.5, 0.5, -0.5, 0.5)


@pytest.fixture
def record(bag_maker: Any) -> Any:
    """Write images 100 ms apart of a robot that drives ahead at 1 m/s, with a sonar below them."""

    def record(
        *sonar: tuple[float, float], turn: Any = (0.0, 0.0, 0.0, 1.0), name: str = 'bag'
    ) -> Path:
        rgb = np.zeros((H, W, 3), np.uint8)
        return bag_maker.write(
            [
                ('/tf_static', bag_maker.transform('base_link', 'camera', quaternion=OPTICAL)),
                (
                    '/tf_static',
                    bag_maker.transform('base_link', 'sonar', xyz=(0.1, 0, -0.2), quaternion=turn),
                ),
                ('/camera/camera_info', bag_maker.info(W, H, START_NS)),
                *(
                    ('/odom', bag_maker.odometry(START_NS + t * MS, xyz=(t / 1000, 0, 0)))
                    for t in (0, 100, 200)
                ),
                *(
                    ('/camera/image_raw', bag_maker.image(rgb, 'rgb8', START_NS + t * MS))
                    for t in (0, 100, 200)
                ),
                *(
                    ('/sonar', bag_maker.range(metres, START_NS + round(t * MS), 'sonar'))
                    for t, metres in sonar
                ),
            ],
            name=name,
        )

    return record


def test_a_measurement_lies_where_it_is_at_the_images_time(record: Any) -> None:
    frames = BagFrames(record((20, 2.0), (100, 3.0)))
    assert len(frames) == 3
    # 2.1 m before the camera at 20 ms are 20 mm more at 0 ms; 0.2 m below it.
    (cone,) = frames[0].cones
    assert cone.centre == pytest.approx((0.0, 0.2, 2.12))
    assert cone.axis == pytest.approx((0.0, 0.0, 1.0))
    assert (cone.distance, cone.half_angle, cone.quantile) == pytest.approx((2.0, 0.2, 0.95))
    assert frames[1].cones[0].centre == pytest.approx((0.0, 0.2, 3.1))
    assert frames[2].cones == ()
    assert frames[0].depth is None
    assert [frames.has_depth(i) for i in range(3)] == [False] * 3
    assert ('range sensor', '/sonar in sonar') in frames.describe()
    assert ('with range', '2 of 3 images') in frames.describe()


def test_measurements_of_nothing_are_left_out(record: Any) -> None:
    frames = BagFrames(record((0, 4.1), (100, 3.0)))  # farther than it sees
    assert [len(sample.cones) for sample in frames] == [0, 1, 0]
    with pytest.raises(
        ValueError,
        match=r'got nothing on /sonar in .* in view of the camera, .*got a range of 4.1.*; or add '
        r',range=no to bag:',
    ):
        BagFrames(record((0, 4.1), name='far'), range_sensor='/sonar')


def test_a_sensor_that_looks_elsewhere_is_left_out_unless_it_is_named(
    record: Any, caplog: pytest.LogCaptureFixture
) -> None:
    behind = record((0, 2.0), turn=(0.0, 0.0, 1.0, 0.0))
    frames = BagFrames(behind)
    assert [sample.cones for sample in frames] == [(), (), ()]
    assert frames[0].pose is not None
    assert 'left out /sonar in ' in caplog.text
    with pytest.raises(ValueError, match='got nothing on /sonar in .* let the sensor look where'):
        BagFrames(behind, range_sensor='/sonar')
    with pytest.raises(ValueError, match='that may be the depth'):
        BagFrames(behind, motion=False)
    assert BagFrames(record((0, 2.0), name='ahead'), range_sensor='/sonar')[0].cones


def test_motion_that_is_asked_for_and_not_known(bag_maker: Any) -> None:
    rgb = bag_maker.image(np.zeros((H, W, 3), np.uint8), 'rgb8', START_NS)
    depth = bag_maker.image(np.full((H, W), 1500, np.uint16), '16UC1', START_NS)
    info = bag_maker.info(W, H, START_NS)
    recording = bag_maker.write(
        [('/camera/image_raw', rgb), ('/camera/camera_info', info), ('/depth', depth)]
    )
    assert not BagFrames(recording).has_hints
    with pytest.raises(ValueError, match=r'got motion=yes for .*, which does not say where its c'):
        BagFrames(recording, motion=True)
