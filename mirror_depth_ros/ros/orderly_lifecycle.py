"""A lifecycle node that a wrong order does not end."""

from __future__ import annotations

from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn


class OrderlyLifecycleNode(LifecycleNode):
    """Refuses a transition that its state does not have, whichever rclpy it runs on.

    Up to Jazzy, rclpy lets the error of ``activate`` before ``configure`` out of the executor, and
    the process ends; from Kilted on it answers that the transition failed, as rclcpp does.
    """

    def _LifecycleNodeMixin__change_state(  # noqa: N802 - the name that rclpy's own mangles to
        self, transition_id: int
    ) -> TransitionCallbackReturn:
        try:
            return super()._LifecycleNodeMixin__change_state(transition_id)
        except Exception as error:  # RCLError, which rclpy does not export
            state = self._state_machine.current_state[1]
            self.get_logger().error(
                f'got transition {transition_id}, which is none from the state {state} ({error}); '
                f'see: ros2 lifecycle list {self.get_fully_qualified_name()}'
            )
            return TransitionCallbackReturn.ERROR
