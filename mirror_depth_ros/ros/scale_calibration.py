"""The service ``~/calibrate_scale``: finds ``depth_scale`` from the height of the camera."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future
from std_srvs.srv import Trigger

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.ros.judgement import Cause, Level, judge
from mirror_depth_ros.ros.observations import Snapshot
from mirror_depth_ros.ros.parameters import ParameterServer
from mirror_depth_ros.ros.scale_measurement import MeasuredScale, ScaleMeasurement

# From one image to the next. Of successive images, one says what the others say, but in this time
# a robot turns or drives on [s].
_INTERVAL_S = 0.5
# How long the next image may take; a model of seconds an image is slow, but no failure [s].
_PATIENCE_S = 10.0
# How often to see whether there is still something to wait for; an executor that sleeps wakes by
# it, and sees then, too, that the waiting is over [s].
_CHECK_PERIOD_S = 0.5


@dataclass
class _Pending:
    """A measurement under way, and those who wait for it."""

    measurement: ScaleMeasurement
    #: Completed with nothing, or with why there is nothing more to wait for.
    ended: Future
    #: When it began, or the latest image was taken, of a monotonic clock [s].
    latest_s: float = field(default_factory=time.monotonic)

    @property
    def wants_image(self) -> bool:
        """Whether the time has come for one more."""
        if self.measurement.is_complete:
            return False
        waited_s = time.monotonic() - self.latest_s
        return not self.measurement.n_taken or waited_s >= _INTERVAL_S


class ScaleCalibration:
    """Takes the depth of images while somebody waits for the scale, and sets the parameter.

    The service's callback is a coroutine. It waits without keeping the executor, of which most
    nodes have but one thread, from the images; :meth:`take`, in whichever thread makes depth, ends
    its waiting.
    """

    def __init__(
        self,
        node: Node,
        *,
        settings: ParameterServer,
        observe: Callable[[], Snapshot],
        clock: Clock,
        service: str = '~/calibrate_scale',
    ) -> None:
        """Offer the service.

        :param settings: has the camera's height; ``depth_scale`` is set through the node.
        :param observe: returns the facts of now, from which follows why no depth comes.
        :param clock: steady; paces the checks for that.
        :param service: its name, one for each camera.
        """
        self._node = node
        self._settings = settings
        self._observe = observe
        self._pending: _Pending | None = None
        # A group of its own, for until a callback has its answer, those of its group wait, and the
        # images among them; reentrant, so that a second call can be refused meanwhile.
        node.create_service(
            Trigger,
            service,
            self._calibrate,
            callback_group=ReentrantCallbackGroup(),
        )
        self._timer = node.create_timer(_CHECK_PERIOD_S, self._check, clock=clock)
        self._timer.cancel()

    @property
    def wants_image(self) -> bool:
        """Whether the depth of an image is needed, whoever subscribes to it."""
        pending = self._pending
        return pending is not None and pending.wants_image

    def take(self, estimated: NDArray[np.float32], camera: CameraModel) -> None:
        """Measure an image if one is wanted. Any thread may call this, one at a time.

        :param estimated: metres along Z as the model has them, not scaled, ``[H, W]``.
        :param camera: the camera of that size.
        """
        pending = self._pending
        if pending is None or not pending.wants_image:
            return
        is_last = pending.measurement.add(estimated, camera)
        pending.latest_s = time.monotonic()
        if is_last:
            pending.ended.set_result('')

    async def _calibrate(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            scale = await self._measure()
            factor = round(scale.factor, 4)
            self._set(factor)
        except ValueError as error:
            response.success, response.message = False, str(error)
            self._node.get_logger().warning(f'depth_scale is left as it is: {error}')
            return response
        response.success = True
        response.message = (
            f'depth_scale is now {factor}, from {scale.n_used} of {scale.n_images} images, spread '
            f'{100 * scale.spread:.1f} %; to keep it, write it into the parameter file'
        )
        self._node.get_logger().info(response.message)
        return response

    async def _measure(self) -> MeasuredScale:
        """Wait for as many images as it takes.

        :raises ValueError: if there is nothing to wait for, or no scale in the images.
        """
        if self._pending is not None:
            raise ValueError(
                'got a second call while the scale is being measured, expected one at a time; '
                'wait for its answer'
            )
        camera_height = self._settings.values.camera_height
        if not camera_height:
            raise ValueError(
                'got camera_height 0, which means unknown, expected the height of the lens above '
                f'the ground; set it: ros2 param set {self._node.get_fully_qualified_name()} '
                'camera_height METRES'
            )
        obstacle = self._obstacle()
        if obstacle:
            raise ValueError(obstacle)
        pending = _Pending(ScaleMeasurement(camera_height), Future())
        self._pending = pending
        self._timer.reset()
        obstacle = await pending.ended
        # Nothing here is for «finally»: where the process ends meanwhile, so has the node.
        self._timer.cancel()
        self._pending = None
        if obstacle:
            raise ValueError(obstacle)
        return pending.measurement.conclude()

    def _set(self, factor: float) -> None:
        (result,) = self._node.set_parameters([Parameter('depth_scale', value=factor)])
        if not result.successful:
            raise ValueError(f'got a factor of {factor}, which is refused: {result.reason}')

    def _check(self) -> None:
        """End the waiting where it is in vain."""
        pending = self._pending
        if pending is None or pending.ended.done():
            return
        obstacle = self._obstacle()
        waited_s = time.monotonic() - pending.latest_s
        if not obstacle and waited_s > _PATIENCE_S:
            obstacle = f'no more came for {waited_s:.0f} s: {judge(self._observe()).message}'
        if obstacle:
            taken = f'{pending.measurement.n_taken} of {pending.measurement.n_images} images'
            pending.ended.set_result(f'got depth of {taken}; {obstacle}')

    def _obstacle(self) -> str:
        """Return why no depth will come; empty where it will."""
        snapshot = self._observe()
        for finding in judge(snapshot).findings:
            if finding.level == Level.ERROR or finding.cause in (Cause.STATE, Cause.PAUSED):
                return finding.message
        if snapshot.state != 'active':
            return f'the node is {snapshot.state}, expected active; start it again'
        return ''
