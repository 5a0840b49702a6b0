"""Nav2's lifecycle manager, by a stand-in that makes its calls, brings the node up and down."""

from types import SimpleNamespace

import numpy as np
import pytest
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.ros.depth_node import DepthNode

STAND_IN = SimpleNamespace(
    device='cpu', precision='fp32', backend='torch', notice='', has_confidence=False
)
CAMERA = CameraModel(9, 7, fx=6.0, fy=5.0, cx=4.0, cy=2.0)
# What nav2_lifecycle_manager expects of each (transition_state_map_ of lifecycle_manager.cpp).
LEADS_TO = {
    Transition.TRANSITION_CONFIGURE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_ACTIVATE: State.PRIMARY_STATE_ACTIVE,
    Transition.TRANSITION_DEACTIVATE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_CLEANUP: State.PRIMARY_STATE_UNCONFIGURED,
    Transition.TRANSITION_UNCONFIGURED_SHUTDOWN: State.PRIMARY_STATE_FINALIZED,
}
UP = (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE)
DOWN = (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP)


def one_metre(rgb, focal_px):
    return np.ones(rgb.shape[:2], np.float32)


def bring(bench, transitions):
    """Make transitions as the manager does: it asks for the state after each, and may give up."""
    for transition in transitions:
        request = ChangeState.Request(transition=Transition(id=transition))
        assert bench.call(ChangeState, 'change_state', request).success, transition
        state = bench.call(GetState, 'get_state', GetState.Request()).current_state.id
        assert state == LEADS_TO[transition], transition


@pytest.mark.parametrize('autostart', [False, True])
def test_the_manager_brings_the_node_up_and_down_and_up_again(make_camera_bench, autostart):
    bench = make_camera_bench(CAMERA, one_metre, autostart=autostart)
    if autostart:
        bench.wait_active()  # before the manager comes
    for _ in range(2):
        bring(bench, UP)
        bench.wait_active()
        bench.wait(lambda: bench.send() or bench.counts['received'] > 0)
        bring(bench, DOWN)
    bring(bench, [Transition.TRANSITION_UNCONFIGURED_SHUTDOWN])


def test_the_manager_may_come_while_the_node_starts_itself(make_camera_bench):
    bench = make_camera_bench(CAMERA, one_metre)
    bring(bench, UP)
    bench.wait_active()


def test_a_node_that_the_manager_has_configured_does_not_go_on_by_itself(ros_context):
    node = DepthNode(load_estimator=lambda *_, **__: STAND_IN, context=ros_context)
    executor = SingleThreadedExecutor(context=ros_context)
    executor.add_node(node)
    began = []
    node.create_timer(0.0, lambda: began.append(node.state), clock=node._steady_clock)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    while len(began) < 3:  # its own start is due before this timer
        executor.spin_once(timeout_sec=1.0)
    assert began[-1] == 'inactive'
    executor.shutdown()
    node.destroy_node()


def test_the_node_says_what_it_makes_of_a_second_configure(make_camera_bench, capfd):
    bench = make_camera_bench(CAMERA, one_metre)
    bench.wait_active()
    said = ''
    for state in ('active', 'inactive'):
        bring(bench, [Transition.TRANSITION_CONFIGURE])
        said += ''.join(capfd.readouterr())
        assert f'got configure while {state}: inactive now, and up to who asked for it; to' in said
