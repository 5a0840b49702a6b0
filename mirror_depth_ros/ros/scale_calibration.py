"""The service ``~/calibrate_scale``: finds ``depth_scale`` by what knows the true scale."""

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
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.ros.diagnostics.health import Cause, Level, check_health
from mirror_depth_ros.ros.diagnostics.statistics import CameraStatus
from mirror_depth_ros.ros.parameter_server import ParameterServer
from mirror_depth_ros.ros.process import describe_error
from mirror_depth_ros.ros.scale_measurement import MeasuredScale, ScaleMeasurement
from mirror_depth_ros.ros.scale_sources import GroundSource, ScaleSource, SensorSource

# From one image to the next. Of successive images, one says what the others say, but in this time
# a robot turns or drives on [s].
_INTERVAL_S = 0.5
# How long the next image may take; a model of seconds an image is slow, but no failure [s].
_PATIENCE_S = 10.0
# How long the first message of a sensor may take, after which images still have time [s].
_SENSOR_PATIENCE_S = 5.0
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
        if self.measurement.is_complete or not self.measurement.source.is_ready:
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
        observe: Callable[[], CameraStatus],
        clock: Clock,
        service: str = '~/calibrate_scale',
    ) -> None:
        """Offer the service.

        :param settings: say what to measure by; ``depth_scale`` is set through the node.
        :param observe: returns the status of now, from which follows why no depth comes.
        :param clock: steady; paces the checks for that, and for whoever publishes.
        :param service: its name, one for each camera.
        """
        self._node = node
        self._settings = settings
        self._observe = observe
        self._clock = clock
        self._pending: _Pending | None = None
        # A group of its own, for until a callback has its answer, those of its group wait, and the
        # images among them; reentrant, so that a second call can be refused meanwhile.
        group = ReentrantCallbackGroup()
        node.create_service(Trigger, service, self._calibrate, callback_group=group)
        self._timer = node.create_timer(_CHECK_PERIOD_S, self._check, clock=clock)
        self._timer.cancel()

    @property
    def wants_image(self) -> bool:
        """Whether the depth of an image is needed, whoever subscribes to it."""
        pending = self._pending
        return pending is not None and pending.wants_image

    def take(self, estimated: NDArray[np.float32], camera: CameraModel, header: Header) -> None:
        """Measure an image if one is wanted. Any thread may call this, one at a time.

        :param estimated: metres along Z as the model has them, not scaled, ``[H, W]``.
        :param camera: the camera of that size.
        :param header: the image's stamp, and the camera's optical frame.
        """
        pending = self._pending
        if pending is None or not pending.wants_image:
            return
        is_last = pending.measurement.add(estimated, camera, header)
        pending.latest_s = time.monotonic()
        if is_last:
            pending.ended.set_result('')

    async def _calibrate(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            scale = await self._measure()
            factor = round(scale.factor, 4)
            (result,) = self._node.set_parameters([Parameter('depth_scale', value=factor)])
            if not result.successful:
                raise ValueError(f'got a factor of {factor}, which is refused: {result.reason}')
        except ValueError as error:
            response.success, response.message = False, str(error)
            self._node.get_logger().warning(f'depth_scale is left as it is: {error}')
            return response
        response.success = True
        response.message = (
            f'depth_scale is now {factor}, from {scale.source} in {scale.n_used} of '
            f'{scale.n_images} images, spread {100 * scale.spread:.1f} %; to keep it, write it '
            'into the parameter file'
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
        self._check_height()
        if obstacle := self._obstacle():
            raise ValueError(obstacle)
        pending = _Pending(ScaleMeasurement(self._listen()), Future())
        self._pending = pending
        self._timer.reset()
        obstacle = await pending.ended
        # Nothing here is for «finally»: where the process ends meanwhile, so has the node.
        self._timer.cancel()
        self._pending = None
        pending.measurement.source.destroy()
        if obstacle:
            raise ValueError(obstacle)
        return pending.measurement.conclude()

    def _check_height(self) -> None:
        """Refuse to measure by the ground without the height of the camera above it.

        :raises ValueError: for that.
        """
        values, node = self._settings.values, self._node.get_fully_qualified_name()
        if values.scale_source == 'ground' and not values.camera_height:
            raise ValueError(
                'got camera_height 0, which means unknown, expected the height of the lens above '
                f'the ground; set it: ros2 param set {node} camera_height METRES'
            )

    def _listen(self) -> ScaleSource:
        """Return what the parameter says to measure by, which listens from now on.

        :raises ValueError: where it cannot.
        """
        values = self._settings.values
        if values.scale_source == 'ground':
            return GroundSource(values.camera_height)
        try:
            return SensorSource(values.scale_source, self._node, clock=self._clock)
        except RuntimeError as error:  # of the middleware, as for a topic that it has as another
            topic = self._node.resolve_topic_name(values.scale_source)
            raise ValueError(
                f'got no subscription to {topic} ({describe_error(error)}); remap it: -r '
                f'{values.scale_source}:=TOPIC'
            ) from None

    def _check(self) -> None:
        """End the waiting where it is in vain."""
        pending = self._pending
        if pending is None or pending.ended.done():
            return
        if obstacle := self._obstacle() or self._overdue(pending):
            taken = f'{pending.measurement.n_taken} of {pending.measurement.n_images} images'
            pending.ended.set_result(f'got depth of {taken}; {obstacle}')

    def _overdue(self, pending: _Pending) -> str:
        """Return what has been waited for long enough, and why it does not come."""
        source, waited_s = pending.measurement.source, time.monotonic() - pending.latest_s
        if not source.is_ready and waited_s > _SENSOR_PATIENCE_S:
            return source.explain()
        if waited_s > _PATIENCE_S:
            health = check_health(self._observe())
            return f'no more came for {waited_s:.0f} s: {health.message}'
        return ''

    def _obstacle(self) -> str:
        """Return why no depth will come; empty where it will."""
        camera = self._observe()
        for issue in check_health(camera).issues:
            if issue.level == Level.ERROR or issue.cause in (Cause.STATE, Cause.PAUSED):
                return issue.message
        if camera.node.state != 'active':
            return f'the node is {camera.node.state}, expected active; start it again'
        return ''
