import gc
import threading
import time

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from mirror_depth_ros.ros.lifecycle_node import OrderlyLifecycleNode


@pytest.mark.parametrize('order', [Transition.TRANSITION_ACTIVATE, 77])
def test_a_wrong_order_is_refused_and_the_next_one_taken(ros_context, order):
    node = OrderlyLifecycleNode('worker', context=ros_context)
    user = Node('user', context=ros_context)
    executor = SingleThreadedExecutor(context=ros_context)
    executor.add_node(node)
    executor.add_node(user)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    client = user.create_client(ChangeState, '/worker/change_state')
    assert client.wait_for_service(20)

    def change(transition):
        answered = threading.Event()
        future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
        future.add_done_callback(lambda _: answered.set())
        assert answered.wait(20), 'the node does not answer any more'
        return future.result().success

    try:
        assert not change(order)
        assert node._state_machine.current_state[1] == 'unconfigured'
        assert change(Transition.TRANSITION_CONFIGURE)
        assert node._state_machine.current_state[1] == 'inactive'
    finally:
        executor.shutdown()
        thread.join(20)
        node.destroy_node()
        user.destroy_node()


def test_a_node_that_was_destroyed_is_gone_without_the_garbage_collector(ros_context):
    user = Node('user', context=ros_context)
    gc.disable()
    try:
        node = OrderlyLifecycleNode('worker', context=ros_context)
        assert 'worker' in user.get_node_names()
        node.destroy_node()
        deadline = time.monotonic() + 20
        while 'worker' in user.get_node_names():
            assert time.monotonic() < deadline, user.get_node_names()
            time.sleep(0.01)
    finally:
        gc.enable()
        user.destroy_node()
