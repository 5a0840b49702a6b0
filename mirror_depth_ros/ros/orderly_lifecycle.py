"""A lifecycle node that a wrong order does not end."""

from __future__ import annotations

from lifecycle_msgs.msg import Transition
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn


class OrderlyLifecycleNode(LifecycleNode):
    """Refuses a transition that its state does not have, whichever rclpy it runs on.

    Up to Jazzy, rclpy lets the error of ``activate`` before ``configure`` out of the executor, and
    the process ends; from Kilted on it answers that the transition failed, as rclcpp does.

    One it does not refuse: ``configure`` of a node that is configured. A manager, as that of Nav2,
    brings its nodes up from the beginning and gives up at the first that refuses. The node that
    has started itself then goes to where ``configure`` leads, and leaves the rest to the manager.
    """

    def _LifecycleNodeMixin__change_state(  # noqa: N802 - the name that rclpy's own mangles to
        self, transition_id: int
    ) -> TransitionCallbackReturn:
        state = self._state_machine.current_state[1]
        if transition_id == Transition.TRANSITION_CONFIGURE and state in ('inactive', 'active'):
            self.get_logger().info(
                f'got configure while {state}: inactive now, and up to who asked for it; to have '
                'the node started only once, set autostart to false'
            )
            if state == 'inactive':
                return TransitionCallbackReturn.SUCCESS
            transition_id = Transition.TRANSITION_DEACTIVATE
        try:
            return super()._LifecycleNodeMixin__change_state(transition_id)
        except Exception as error:  # RCLError, which rclpy does not export
            self.get_logger().error(
                f'got transition {transition_id}, which is none from the state {state} ({error}); '
                f'see: ros2 lifecycle list {self.get_fully_qualified_name()}'
            )
            return TransitionCallbackReturn.ERROR
