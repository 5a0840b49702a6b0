"""A lifecycle node that a wrong order does not end, and that answers while it is configured."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock
from rclpy.lifecycle import (
    LifecycleNode,
    LifecycleNodeMixin,
    LifecycleState,
    TransitionCallbackReturn,
)
from rclpy.node import Node
from rclpy.task import Future

from mirror_depth_ros.ros.process import describe_error


class OrderlyLifecycleNode(LifecycleNode):
    """Refuses a transition that its state does not have, whichever rclpy it runs on.

    Up to Jazzy, rclpy lets the error of ``activate`` before ``configure`` out of the executor, and
    the process ends; from Kilted on it answers that the transition failed, as rclcpp does.

    Configuring may take long. It waits for :meth:`prepare` without keeping the executor from
    diagnostics, parameters and other services, in the state ``configuring``.

    One it does not refuse: ``configure`` of a node that is configured. A manager, as that of Nav2,
    brings its nodes up from the beginning and gives up at the first that refuses. The node that
    has started itself then goes to where ``configure`` leads, and leaves the rest to the manager.
    """

    def __init__(self, node_name: str, **node_options: Any) -> None:
        Node.__init__(self, node_name, **node_options)
        # A group of its own: until a coroutine has its answer, those of its group wait.
        LifecycleNodeMixin.__init__(self, callback_group=ReentrantCallbackGroup())
        self._configured: Future | None = None
        #: Whether somebody has asked for ``configure``, who then decides what follows.
        self.is_managed = False
        #: Why the node could not be configured or activated, with what to do; empty where it was.
        self.failure = ''

    @property
    def state(self) -> str:
        """The label of the lifecycle state: ``unconfigured``, ``inactive``, ``active``, ..."""
        return self._state_machine.current_state[1]

    def destroy_node(self) -> None:
        """Destroy the node so that nobody finds it any more.

        rclpy leaves the state machine to the garbage collector, and that keeps the node alive.
        """
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def start_when_spun(self, clock: Clock) -> None:
        """Configure and activate as soon as the node is spun, unless a manager does.

        :param clock: steady, as simulated time may stand still.
        """
        # A group of its own: until a coroutine ends, the others of its group wait.
        group = ReentrantCallbackGroup()
        self._start_timer = self.create_timer(0.0, self._start, callback_group=group, clock=clock)

    async def _start(self) -> None:
        self._start_timer.cancel()
        if self.state != 'unconfigured':
            return  # a manager was faster, and goes on
        if await self.configure() == TransitionCallbackReturn.SUCCESS and not self.is_managed:
            self.trigger_activate()

    def fail(self, transition: str, error: Exception) -> TransitionCallbackReturn:
        """Say why a transition cannot be made; the node stays as it is, to be asked again."""
        self.failure = (
            f'not {transition}d: {describe_error(error)}. When that is mended: '
            f'ros2 lifecycle set {self.get_fully_qualified_name()} {transition}'
        )
        self.get_logger().error(self.failure)
        return TransitionCallbackReturn.FAILURE

    async def prepare(self) -> None:
        """Do what takes long before :meth:`on_configure` is called; it must not raise."""

    async def configure(self) -> TransitionCallbackReturn:
        """Configure; who calls this while it is under way gets the same result."""
        if self._configured is not None:
            return await self._configured
        state_id, label = self._state_machine.current_state
        self._state_machine.trigger_transition_by_id(Transition.TRANSITION_CONFIGURE, True)
        self._configured = configured = Future()
        await self.prepare()
        result = self.on_configure(LifecycleState(state_id=state_id, label=label))
        self._state_machine.trigger_transition_by_label(result.to_label(), True)
        self._configured = None
        configured.set_result(result)
        return result

    async def _LifecycleNodeMixin__on_change_state(  # noqa: N802 - what rclpy's own mangles to
        self, request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        transition = request.transition
        is_configure = transition.label == 'configure' or (
            not transition.label and transition.id == Transition.TRANSITION_CONFIGURE
        )
        self.is_managed |= is_configure
        if is_configure and self.state in ('unconfigured', 'configuring'):
            response.success = await self.configure() == TransitionCallbackReturn.SUCCESS
            return response
        return super()._LifecycleNodeMixin__on_change_state(request, response)

    def _LifecycleNodeMixin__change_state(  # noqa: N802 - the name that rclpy's own mangles to
        self, transition_id: int
    ) -> TransitionCallbackReturn:
        state = self.state
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
                f'got transition {transition_id}, which is none from the state {self.state} '
                f'({error}); see: ros2 lifecycle list {self.get_fully_qualified_name()}'
            )
            return TransitionCallbackReturn.ERROR


def run_in_thread(work: Callable[[], Any], *, node: Node, name: str) -> Future:
    """Run in a thread what takes long, while a node's executor serves its other callbacks.

    :param node: whose executor is woken at the end.
    :param name: of the thread, for debuggers.
    :returns: has what the function returned or raised, once it has ended.
    """
    ended = Future()

    def run() -> None:
        try:
            ended.set_result(work())
        except Exception as error:
            ended.set_exception(error)
        executor = node.executor
        if executor is not None and node.context.ok():
            executor.wake()

    # A daemon: what takes for ever cannot keep the process from ending.
    threading.Thread(target=run, name=name, daemon=True).start()
    return ended
