from collections import Counter
from dataclasses import replace

import pytest

from mirror_depth_ros.ros.diagnostics.health import (
    LATE_S,
    OTHER_CLOCK_S,
    SILENCE_S,
    Cause,
    Health,
    Level,
    check_health,
    check_node_health,
)
from mirror_depth_ros.ros.diagnostics.statistics import (
    ARRIVAL_AGE,
    CameraStatus,
    LatencyStats,
    LatestImage,
    NodeStatus,
    PublisherStatus,
    Statistics,
    SubscriptionStatus,
)

SECOND = 1_000_000_000
IMAGE = SubscriptionStatus('/camera/image_raw', 'sensor_msgs/msg/Image', n_publishers=1)
INFO = SubscriptionStatus('/camera/camera_info', 'sensor_msgs/msg/CameraInfo', n_publishers=1)
LOSSY = replace(IMAGE, is_reliable=False)
DEPTH = PublisherStatus('/mirror_depth/depth/image', n_subscribers=1)
POINTS = PublisherStatus('/mirror_depth/points')
FLOWING = Statistics(
    counts=Counter(received=100, processed=100),
    elapsed_s=10.0,
    since_image_s=0.05,
    input_hz=10.0,
    output_hz=10.0,
    times={'total': LatencyStats(0.03, 0.04), ARRIVAL_AGE: LatencyStats(0.02, 0.03)},
    latest=LatestImage(1000 * SECOND, 1000 * SECOND, frame_id='camera', size=(9, 7)),
)
NODE = NodeStatus(
    '/mirror_depth', 'active', model='builtin', device='cpu', precision='fp32', backend='torch'
)
WORKING = CameraStatus(
    NODE,
    image=IMAGE,
    camera_info=INFO,
    has_calibration=True,
    publishers=(DEPTH, POINTS),
    statistics=FLOWING,
)
# As it is before anything has come, and there is nothing to wait for any longer.
SILENT = replace(
    WORKING, has_calibration=False, statistics=Statistics(elapsed_s=3.0), publishers=(POINTS,)
)


def measured(**fields):
    return replace(WORKING, statistics=replace(FLOWING, **fields))


def node(state='active', **fields):
    """Return a camera of a node in this state; in others than active, nothing else is known."""
    if state != 'active':
        return CameraStatus(NodeStatus('/mirror_depth', state, **fields))
    return replace(WORKING, node=replace(NODE, **fields))


def aged(seconds):
    return measured(times=FLOWING.times | {ARRIVAL_AGE: LatencyStats(seconds, seconds)})


def without(**facts):
    """Nothing comes from the camera, and its image topic has these facts."""
    image = replace(IMAGE, **{'n_publishers': 0, **facts})
    return replace(SILENT, image=image, has_calibration=True)


def losing(image, n_lost=0, n_missing=0):
    """20 images have come on this topic in the last seconds."""
    recent = Counter(received=20, lost=n_lost)
    return replace(measured(recent=recent, n_missing=n_missing), image=image)


def dropping(n_dropped, n_processed, **fields):
    return measured(recent=Counter(processed=n_processed, dropped=n_dropped), **fields)


def skipping(stage, reason, *, others_pass=False, **fields):
    recent = Counter(skipped=3, processed=int(others_pass))
    return measured(recent=recent, skip_stage=stage, skip_reason=reason, **fields)


PAUSED = (
    'paused by ~/enable; to resume: ros2 service call /mirror_depth/enable '
    'std_srvs/srv/SetBool "{data: true}"'
)
UNCALIBRATED = 'got a CameraInfo whose K is all zero, expected intrinsics: calibrate it'

#: Status, level, whole message and cause of whatever can be found.
ISSUES = {
    'no publisher': (
        without(),
        Level.ERROR,
        'got no image on /camera/image_raw, where nobody publishes; start the camera, or remap '
        'image to its topic',
        Cause.IMAGE,
    ),
    'stopped': (
        replace(measured(since_image_s=4.2), image=replace(IMAGE, n_publishers=0)),
        Level.ERROR,
        'got no image on /camera/image_raw for 4 s, where nobody publishes; start the camera, or '
        'remap image to its topic',
        Cause.IMAGE,
    ),
    'silent publisher': (
        without(n_publishers=1),
        Level.ERROR,
        'got no image on /camera/image_raw, though somebody publishes there; see: ros2 topic hz '
        '/camera/image_raw',
        Cause.IMAGE,
    ),
    'refused publisher': (
        without(n_publishers=1, is_refused=True, reliability_forced_by='image_reliability'),
        Level.ERROR,
        'got no image on /camera/image_raw: its publisher and this node differ in QoS '
        '(reliability); set the parameter image_reliability to auto, or change the publisher',
        Cause.IMAGE,
    ),
    'lost images': (
        losing(LOSSY, n_lost=30),
        Level.WARN,
        '30 of 50 images on /camera/image_raw were lost on their way in the last 5 s: their '
        'publisher sends them only once; give the camera driver config/fastdds.xml as well, or '
        'let it publish reliably',
        Cause.LOST,
    ),
    'more images lost than the middleware knows of': (
        losing(IMAGE, n_lost=4, n_missing=80),
        Level.WARN,
        '80 of 100 images on /camera/image_raw were lost on their way in the last 5 s: they are '
        'more than can be carried; give the camera driver config/fastdds.xml as well, or let it '
        'send fewer',
        Cause.LOST,
    ),
    'images lost by the parameter': (
        losing(replace(LOSSY, reliability_forced_by='image_reliability'), n_lost=30),
        Level.WARN,
        '30 of 50 images on /camera/image_raw were lost on their way in the last 5 s: '
        'image_reliability has them sent only once; set the parameter image_reliability to auto, '
        'and give the camera driver config/fastdds.xml as well',
        Cause.LOST,
    ),
    'images lost though they are sent again': (
        losing(IMAGE, n_lost=2),
        Level.WARN,
        '2 of 22 images on /camera/image_raw were lost on their way in the last 5 s: they are '
        'more than can be carried; give the camera driver config/fastdds.xml as well, or let it '
        'send fewer',
        Cause.LOST,
    ),
    'all images lost': (
        replace(
            without(n_publishers=1, is_reliable=False),
            statistics=Statistics(elapsed_s=3.0, recent=Counter(lost=12)),
        ),
        Level.ERROR,
        'got no image on /camera/image_raw: 12 were lost on their way; their publisher sends them '
        'only once; give the camera driver config/fastdds.xml as well, or let it publish reliably',
        Cause.IMAGE,
    ),
    'other type': (
        without(other_types=('sensor_msgs/msg/PointCloud2',)),
        Level.ERROR,
        'got no image on /camera/image_raw: sensor_msgs/msg/PointCloud2 is published there, '
        'expected sensor_msgs/msg/Image; remap image to a topic of that type',
        Cause.IMAGE,
    ),
    'other transport': (
        without(alternative='/camera/image_raw/compressed'),
        Level.ERROR,
        'got no image on /camera/image_raw, but compressed images are published on '
        '/camera/image_raw/compressed; set the parameter image_transport to compressed',
        Cause.IMAGE,
    ),
    'raw in place of compressed': (
        without(
            topic='/camera/image_raw/compressed',
            type_name='sensor_msgs/msg/CompressedImage',
            alternative='/camera/image_raw',
        ),
        Level.ERROR,
        'got no image on /camera/image_raw/compressed, but raw images are published on '
        '/camera/image_raw; set the parameter image_transport to raw',
        Cause.IMAGE,
    ),
    'compressed images under any name': (
        without(
            topic='/phone/jpeg',
            alternative='/phone/jpeg',
            other_types=('sensor_msgs/msg/CompressedImage',),
        ),
        Level.ERROR,
        'got no image on /phone/jpeg, but compressed images are published there; set the '
        'parameter image_transport to compressed',
        Cause.IMAGE,
    ),
    'raw images under the name of compressed ones': (
        without(
            topic='/camera/compressed',
            type_name='sensor_msgs/msg/CompressedImage',
            alternative='/camera/compressed',
            other_types=('sensor_msgs/msg/Image',),
        ),
        Level.ERROR,
        'got no image on /camera/compressed, but raw images are published there; set the '
        'parameter image_transport to raw',
        Cause.IMAGE,
    ),
    'no calibration': (
        replace(WORKING, has_calibration=False, camera_info=replace(INFO, n_publishers=0)),
        Level.ERROR,
        'got no CameraInfo on /camera/camera_info, where nobody publishes; start the camera, or '
        'remap camera_info to its topic',
        Cause.CAMERA_INFO,
    ),
    'refused calibration': (
        replace(
            WORKING,
            has_calibration=False,
            camera_info=replace(
                INFO,
                is_refused=True,
                reliability_forced_by='qos_overrides./camera/camera_info.subscription.reliability',
            ),
        ),
        Level.ERROR,
        'got no CameraInfo on /camera/camera_info: its publisher and this node differ in QoS '
        '(reliability); remove the parameter '
        'qos_overrides./camera/camera_info.subscription.reliability, or change the publisher',
        Cause.CAMERA_INFO,
    ),
    'uncalibrated': (
        replace(WORKING, calibration_error=UNCALIBRATED),
        Level.ERROR,
        f'/camera/camera_info: {UNCALIBRATED}',
        Cause.CALIBRATION,
    ),
    'only malformed images': (
        skipping('decode', 'got 3 bytes'),
        Level.ERROR,
        '3 malformed images skipped in the last 5 s, the latest: got 3 bytes',
        Cause.SKIPPED,
    ),
    'some malformed images': (
        skipping('decode', 'got 3 bytes', others_pass=True),
        Level.WARN,
        '3 malformed images skipped in the last 5 s, the latest: got 3 bytes',
        Cause.SKIPPED,
    ),
    'images of another aspect, compressed': (
        skipping('calibrate', 'got 9 x 7'),
        Level.ERROR,
        '3 images without a calibration that fits skipped in the last 5 s, the latest: got 9 x 7',
        Cause.SKIPPED,
    ),
    'failing model': (
        skipping('estimate', 'RuntimeError: out of memory'),
        Level.ERROR,
        '3 images on which the model failed (on cpu) in the last 5 s, the latest: RuntimeError: '
        'out of memory',
        Cause.SKIPPED,
    ),
    'failing publisher': (
        skipping('publish', 'MemoryError: '),
        Level.ERROR,
        '3 images whose depth could not be published in the last 5 s, the latest: MemoryError: ',
        Cause.SKIPPED,
    ),
    'stuck': (
        measured(busy_s=12.3),
        Level.WARN,
        'got no depth for 12 s: the model is still at work on one image, on cpu; wait if it is '
        'the first one, else start the node again',
        Cause.STUCK,
    ),
    'refused subscriber': (
        replace(WORKING, publishers=(replace(DEPTH, n_refused=2, refused_policy='reliability'),)),
        Level.WARN,
        '/mirror_depth/depth/image does not reach 2 of its subscribers, whose QoS differs '
        '(reliability); remove the parameter '
        'qos_overrides./mirror_depth/depth/image.publisher.reliability, or change theirs',
        Cause.OUTPUT,
    ),
    'subscriber that wants what was before it': (
        replace(WORKING, publishers=(replace(DEPTH, n_refused=1, refused_policy='durability'),)),
        Level.WARN,
        '/mirror_depth/depth/image does not reach 1 of its subscribers, whose QoS differs '
        '(durability); change theirs',
        Cause.OUTPUT,
    ),
    'paused': (node(enabled=False), Level.WARN, PAUSED, Cause.PAUSED),
    'late': (
        aged(2.34),
        Level.WARN,
        'got images that are 2.3 s old when they come, expected less than 1 s; relieve network '
        "and camera driver, or synchronise the camera's clock",
        Cause.LATE,
    ),
    'early': (
        aged(-2.34),
        Level.WARN,
        'got images with stamps 2.3 s ahead of the clock here, expected less than 1 s; '
        'synchronise the clocks',
        Cause.LATE,
    ),
    'slow for want of a GPU': (
        dropping(5, 5, output_hz=5.0),
        Level.WARN,
        'depth comes at 5.0 Hz and images at 10.0 Hz: no GPU was found, so the model runs on the '
        'CPU; install PyTorch for the GPU, or let the camera send fewer images',
        Cause.SLOW,
    ),
    'unlike the training': (
        measured(strangeness=1.37),
        Level.WARN,
        'the images are unlike those that the model was trained on (1.4 times as far from their '
        'mean as nearly all of those), so depth, its scale above all, may be far off; adapt the '
        'model to this camera: mirror_depth train --config bag',
        Cause.STRANGE,
    ),
    'skipped a moment ago, and none since': (
        replace(
            skipping('calibrate', UNCALIBRATED, since_image_s=4.0),
            calibration_error=UNCALIBRATED,
        ),
        Level.ERROR,
        f'/camera/camera_info: {UNCALIBRATED}',
        Cause.CALIBRATION,
    ),
    'a namesake': (
        node(n_namesakes=1),
        Level.WARN,
        'got 2 nodes of the name /mirror_depth, expected one: each output comes from all of them; '
        'end the others, or name this one -r __node:=NAME. One that was killed is listed for some '
        'seconds more',
        Cause.NAME,
    ),
    'not configured': (
        node('unconfigured', failure='not configured: got no model'),
        Level.ERROR,
        'not configured: got no model',
        Cause.STATE,
    ),
    'unconfigured': (
        node('unconfigured'),
        Level.WARN,
        'unconfigured; to go on: ros2 lifecycle set /mirror_depth configure',
        Cause.STATE,
    ),
    'inactive': (
        node('inactive'),
        Level.WARN,
        'inactive; to go on: ros2 lifecycle set /mirror_depth activate',
        Cause.STATE,
    ),
}


@pytest.mark.parametrize(
    ('status', 'level', 'message', 'cause'), ISSUES.values(), ids=list(ISSUES)
)
def test_what_is_wrong_is_found_with_its_remedy(status, level, message, cause):
    health = check_health(status)
    assert (health.level, health.message) == (level, message)
    (issue,) = health.issues
    assert (issue.level, issue.cause, issue.message) == (level, cause, message)


FAR = {
    'minutes behind': (90.0, '1.5 minutes behind'),
    'hours behind': (3 * 3600.0, '3.0 hours behind'),
    'days behind': (36 * 3600.0, '1.5 days behind'),
    'years ahead': (-2 * 365.25 * 86400, '2.0 years ahead of'),
}
#: Status, and what is added to the message of a node that works.
REMARKS = {
    **{
        name: (
            aged(seconds),
            f'stamps of images are {difference} the clock here, so their age is unknown; play a '
            'recording with --clock and use_sim_time, or set the clock of the camera',
        )
        for name, (seconds, difference) in FAR.items()
    },
    'no stamps': (
        measured(latest=LatestImage(0, 1000 * SECOND), times={'total': LatencyStats(0.03, 0.04)}),
        'the age of images is unknown: their stamps are zero; let the camera driver set them',
    ),
    'no clock': (
        measured(latest=LatestImage(1000 * SECOND, 0), times={'total': LatencyStats(0.03, 0.04)}),
        'the age of images is unknown: use_sim_time is set, and nobody publishes /clock; start '
        'the simulator, or play the recording with --clock',
    ),
}


@pytest.mark.parametrize(('status', 'remark'), REMARKS.values(), ids=list(REMARKS))
def test_what_is_worth_knowing_is_no_fault(status, remark):
    health = check_health(status)
    assert health.level == Level.OK
    assert health.message == f'depth comes at 10.0 Hz; {remark}'
    assert [issue.cause for issue in health.issues] == [Cause.CLOCK]


@pytest.mark.parametrize('has_calibration', [False, True])
def test_an_assumed_lens_is_said_and_no_fault(has_calibration):
    status = replace(WORKING, has_calibration=has_calibration, assumed_hfov_deg=62.5)
    health = check_health(status)
    assert health.level == Level.OK
    assert health.message == (
        'depth comes at 10.0 Hz; the camera is not calibrated: its images are assumed to be 62.5 '
        'degrees wide (parameter hfov_deg), without distortion; calibrate it for depth of true '
        'scale'
    )
    assert [issue.cause for issue in health.issues] == [Cause.CALIBRATION]


@pytest.mark.parametrize('state', ['unconfigured', 'inactive', 'active'])
def test_a_namesake_is_said_in_every_state(state):
    status = NodeStatus('/mirror_depth', state, n_namesakes=2)
    for health in (check_health(CameraStatus(status)), check_node_health(status, 2)):
        (issue,) = [issue for issue in health.issues if issue.cause == Cause.NAME]
        assert issue.message.startswith('got 3 nodes of the name /mirror_depth, expected one')


#: Of nodes without trouble.
ACTIVITIES = {
    'working': (WORKING, 'depth comes at 10.0 Hz'),
    'slow camera': (measured(output_hz=0.0), 'depth comes'),
    'first image at work': (measured(output_hz=0.0, times={}), 'waiting for depth'),
    'an image in 10 s': (
        measured(
            output_hz=0.0,
            times={},
            counts=Counter(processed=1, left_out=200),
            recent=Counter(left_out=150),
        ),
        'depth comes as seldom as max_rate_hz has it',
    ),
    'the first of those is at work': (
        measured(
            output_hz=0.0, times={}, counts=Counter(left_out=60), recent=Counter(left_out=60)
        ),
        'waiting for depth',
    ),
    'idle': (replace(WORKING, publishers=(POINTS,)), 'idle: nobody subscribes'),
    'just active': (
        replace(SILENT, statistics=Statistics(elapsed_s=SILENCE_S)),
        'waiting for the first image',
    ),
    'just active, nobody there': (
        replace(without(), statistics=Statistics(elapsed_s=1.0)),
        'waiting for the first image',
    ),
    'configuring': (node('configuring'), 'configuring'),
    'a pause of the camera': (measured(since_image_s=SILENCE_S), 'depth comes at 10.0 Hz'),
    'a few images lost': (losing(LOSSY, n_lost=1), 'depth comes at 10.0 Hz'),
    'images given up by a busy process': (losing(LOSSY, n_missing=30), 'depth comes at 10.0 Hz'),
    'nearly late': (aged(LATE_S), 'depth comes at 10.0 Hz'),
    'an image now and then too many': (dropping(2, 8), 'depth comes at 10.0 Hz'),
    'a CPU that is wanted': (
        replace(dropping(5, 5), node=replace(NODE, device_wanted='cpu')),
        'depth comes at 10.0 Hz',
    ),
    'a slow GPU': (
        replace(dropping(5, 5), node=replace(NODE, device='cuda')),
        'depth comes at 10.0 Hz',
    ),
    'a model at work': (measured(busy_s=2.9), 'depth comes at 10.0 Hz'),
    'a first image at work': (
        dropping(9, 1, output_hz=0.0, times={}),
        'waiting for depth',
    ),
}


@pytest.mark.parametrize(('status', 'message'), ACTIVITIES.values(), ids=list(ACTIVITIES))
def test_where_nothing_is_wrong_the_message_says_what_is_done(status, message):
    health = check_health(status)
    assert (health.level, health.message) == (Level.OK, message)
    assert health.issues == ()


@pytest.mark.parametrize(
    'facts',
    [
        {'n_publishers': 1, 'is_refused': True},
        {'other_types': ('sensor_msgs/msg/PointCloud2',)},
    ],
)
def test_a_known_reason_need_not_be_waited_for(facts):
    status = replace(without(**facts), statistics=Statistics(elapsed_s=0.1))
    assert check_health(status).level == Level.ERROR


def test_a_publisher_of_the_right_type_may_still_begin():
    facts = {'n_publishers': 1, 'other_types': ('sensor_msgs/msg/PointCloud2',)}
    status = replace(without(**facts), statistics=Statistics(elapsed_s=0.1))
    assert check_health(status).level == Level.OK


@pytest.mark.parametrize(('seconds', 'cause'), [(59.9, Cause.LATE), (60.1, Cause.CLOCK)])
def test_what_is_too_old_to_be_late_is_of_another_clock(seconds, cause):
    assert OTHER_CLOCK_S == 60.0
    assert [issue.cause for issue in check_health(aged(seconds)).issues] == [cause]


def test_the_gravest_comes_first_and_then_the_way_of_an_image():
    status = replace(
        SILENT, node=replace(NODE, enabled=False), publishers=(replace(POINTS, n_refused=1),)
    )
    health = check_health(status)
    causes = [issue.cause for issue in health.issues]
    assert causes == [Cause.IMAGE, Cause.CAMERA_INFO, Cause.OUTPUT, Cause.PAUSED]
    assert health.message == health.issues[0].message
    late = {ARRIVAL_AGE: LatencyStats(2.0, 2.0)}
    late_and_malformed = skipping('decode', 'got 3 bytes', times=late)
    causes = [issue.cause for issue in check_health(late_and_malformed).issues]
    assert causes == [Cause.SKIPPED, Cause.LATE]


def test_a_malformed_image_is_not_held_against_the_calibration():
    status = replace(skipping('decode', 'got 3 bytes'), calibration_error='got 9 x 0')
    assert [issue.cause for issue in check_health(status).issues] == [Cause.SKIPPED]
    # What was skipped for the calibration is not said twice.
    status = replace(skipping('calibrate', UNCALIBRATED), calibration_error=UNCALIBRATED)
    assert [issue.cause for issue in check_health(status).issues] == [Cause.CALIBRATION]


def test_a_node_of_several_cameras_is_checked_without_them():
    assert check_node_health(NODE, 3) == Health('active, for 3 cameras')
    assert check_node_health(NODE, 3).level == Level.OK
    paused = check_node_health(replace(NODE, enabled=False), 3)
    assert (paused.level, paused.message) == (Level.WARN, PAUSED)
    short = check_node_health(replace(NODE, shrunk='it sees less'), 3)
    assert (short.level, short.message) == (Level.WARN, 'it sees less')
    lost = check_node_health(replace(NODE, motion_lack='no pose of camera'), 3)
    assert (lost.level, lost.message) == (Level.WARN, 'no pose of camera')
    failed = check_node_health(replace(NODE, state='unconfigured', failure='no model'), 1)
    assert (failed.level, failed.message) == (Level.ERROR, 'no model')


def test_an_input_is_remapped_by_its_cameras_name():
    front = replace(SILENT, name='front', image=replace(IMAGE, n_publishers=0))
    front = replace(front, camera_info=replace(INFO, n_publishers=0))
    messages = [issue.message for issue in check_health(front).issues]
    assert [m.split('remap ')[1] for m in messages] == [
        'front/image to its topic',
        'front/camera_info to its topic',
    ]
