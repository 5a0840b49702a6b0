from collections import Counter
from dataclasses import replace

from mirror_depth_ros.ros.diagnostics.statistics import (
    ARRIVAL_AGE,
    PUBLISHING_AGE,
    CameraStatus,
    LatencyStats,
    NodeStatus,
    Statistics,
)
from mirror_depth_ros.ros.diagnostics.updater import camera_values, node_values

NODE = NodeStatus(
    '/mirror_depth',
    'active',
    model='builtin',
    device='cpu',
    precision='bf16',
    backend='torch',
    resident_bytes=512_340_000,
)
WORKING = CameraStatus(
    NODE,
    statistics=Statistics(
        counts=Counter(
            received=12, processed=5, dropped=2, skipped=1, ignored=1, left_out=3, lost=7
        ),
        input_hz=9.996,
        output_hz=5.0,
        times={
            'decode': LatencyStats(0.001, 0.0025),
            'calibrate': LatencyStats(0.0001, 0.0002),
            'estimate': LatencyStats(0.04, 0.05),
            'publish': LatencyStats(0.003, 0.004),
            'total': LatencyStats(0.0441, 0.0567),
            ARRIVAL_AGE: LatencyStats(0.0125, 0.02),
            PUBLISHING_AGE: LatencyStats(0.06, 0.075),
        },
        strangeness=0.625,
        n_missing=4,
        skip_reason='got 3 bytes',
    ),
    grey_levels='12 of 16 bits',
)


def all_values(camera):
    """Return those of the only camera of a node."""
    return node_values(camera.node) | camera_values(camera)


def test_figures_are_text_with_their_units():
    assert all_values(WORKING) == {
        'state': 'active',
        'model': 'builtin',
        'device': 'cpu (no GPU found)',
        'precision': 'bf16',
        'backend': 'torch',
        'images received': '12',
        'images lost on the way': '7',
        'images processed': '5',
        'images dropped for newer ones': '2',
        'images skipped': '1',
        'images nobody wanted': '1',
        'images left out by max_rate_hz': '3',
        'CameraInfo without an image, last seconds': '4',
        'input rate [Hz]': '10.00',
        'output rate [Hz]': '5.00',
        'decode, p50 [ms]': '1.00',
        'decode, p95 [ms]': '2.50',
        'calibrate, p50 [ms]': '0.10',
        'calibrate, p95 [ms]': '0.20',
        'estimate, p50 [ms]': '40.00',
        'estimate, p95 [ms]': '50.00',
        'publish, p50 [ms]': '3.00',
        'publish, p95 [ms]': '4.00',
        'total, p50 [ms]': '44.10',
        'total, p95 [ms]': '56.70',
        'image age when it comes, p50 [ms]': '12.50',
        'image age when it comes, p95 [ms]': '20.00',
        'image age when depth goes out, p50 [ms]': '60.00',
        'image age when depth goes out, p95 [ms]': '75.00',
        'strangeness (above 1: unlike the training)': '0.62',
        'values of 16-bit images fill': '12 of 16 bits',
        'last skipped because': 'got 3 bytes',
        'resident memory [MB]': '512.3',
        'GPU memory [MB]': 'unknown',
    }


def test_names_are_the_same_before_anything_is_known():
    values = all_values(CameraStatus(NodeStatus('/mirror_depth', 'unconfigured')))
    assert list(values) == list(all_values(WORKING))
    assert values['device'] == values['total, p95 [ms]'] == 'unknown'
    assert values['last skipped because'] == 'none was'
    assert values['values of 16-bit images fill'] == 'none came'


def test_a_difference_of_clocks_is_no_age():
    statistics = Statistics(
        times={ARRIVAL_AGE: LatencyStats(-61.0, 1.0), PUBLISHING_AGE: LatencyStats(61.0, 62.0)}
    )
    values = all_values(CameraStatus(NODE, statistics=statistics))
    assert values['image age when it comes, p50 [ms]'] == 'unknown'
    assert values['image age when depth goes out, p95 [ms]'] == 'unknown'


def test_a_device_that_was_asked_for_is_named_as_it_is():
    assert node_values(replace(NODE, device_wanted='cpu'))['device'] == 'cpu'
    gpu = node_values(replace(NODE, device='cuda', gpu_bytes=2_000_000_000))
    assert (gpu['device'], gpu['GPU memory [MB]']) == ('cuda', '2000.0')


def test_no_figure_of_the_node_is_one_of_the_camera():
    of_node = node_values(NODE)
    assert list(of_node) == [
        'state',
        'model',
        'device',
        'precision',
        'backend',
        'resident memory [MB]',
        'GPU memory [MB]',
    ]
    assert of_node.keys().isdisjoint(camera_values(WORKING))
