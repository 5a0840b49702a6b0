"""The service ``~/calibrate_scale``: finds ``depth_scale`` from the height of the camera."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future
from std_srvs.srv import Trigger

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.ground_plane import scale_from_ground
from mirror_depth_ros.ros.diagnostics.health import Cause, Level, check_health
from mirror_depth_ros.ros.diagnostics.statistics import CameraStatus
from mirror_depth_ros.ros.parameter_server import ParameterServer
from mirror_depth_ros.ros.parameters import parameter_specs

#: Images that are measured.
N_IMAGES = 10
#: Largest spread of a scale that is worth having.
MAX_SPREAD = 0.1
# From one image to the next. Of successive images, one says what the others say, but in this time
# a robot turns or drives on [s].
_INTERVAL_S = 0.5
# How long the next image may take; a model of seconds an image is slow, but no failure [s].
_PATIENCE_S = 10.0
# How often to see whether there is still something to wait for; an executor that sleeps wakes by
# it, and sees then, too, that the waiting is over [s].
_CHECK_PERIOD_S = 0.5


@dataclass(frozen=True)
class MeasuredScale:
    """What depth must be multiplied by."""

    #: The median of the images' own.
    factor: float
    #: Width of the middle half of them, as a share of the factor.
    spread: float
    #: How many images showed the ground, and how many there were.
    n_used: int
    n_images: int


class ScaleMeasurement:
    """Collects the scales of images, one after the other, for those who wait."""

    def __init__(self, camera_height: float, *, n_images: int = N_IMAGES) -> None:
        """Begin.

        :param camera_height: true height of the camera above the ground [m].
        :param n_images: how many images to take.
        """
        self.n_images = n_images
        #: How many have been taken.
        self.n_taken = 0
        #: When it began, or the latest image was taken, of a monotonic clock [s].
        self.latest_s = time.monotonic()
        #: Completed with nothing, or with why there is nothing more to wait for.
        self.ended = Future()
        self._camera_height = camera_height
        self._scales: list[float] = []
        self._lack = ''

    @property
    def wants_image(self) -> bool:
        """Whether the time has come for one more."""
        if self.n_taken >= self.n_images:
            return False
        return not self.n_taken or time.monotonic() - self.latest_s >= _INTERVAL_S

    def add(self, depth: NDArray[np.float32], camera: CameraModel) -> None:
        """Find the ground in one more image; the last one ends the measurement.

        :param depth: metres along Z as the model has them, not scaled, ``[H, W]``.
        :param camera: the camera of that size.
        """
        try:
            # Other draws for each image: of a camera that stands still, too, the spread then says
            # how far the plane can be trusted.
            scale = scale_from_ground(depth, camera, self._camera_height, seed=self.n_taken)
            self._scales.append(scale)
        except ValueError as error:
            self._lack = str(error)
        self.n_taken += 1
        self.latest_s = time.monotonic()
        if self.n_taken == self.n_images:
            self.ended.set_result('')

    def conclude(self) -> MeasuredScale:
        """Return what the images agree on.

        :raises ValueError: if fewer than half of them show the ground, if they do not agree, or on
            a scale that is none.
        """
        n_used = len(self._scales)
        if 2 * n_used < self.n_taken:
            raise ValueError(
                f'got the ground in {n_used} of {self.n_taken} images, expected it in half of '
                f'them or more; the latest without it: {self._lack}'
            )
        lower, factor, upper = map(float, np.percentile(self._scales, [25, 50, 75]))
        spread = (upper - lower) / factor
        low, high = parameter_specs()['depth_scale'].limits or (0.0, np.inf)
        if not low <= factor <= high:
            raise ValueError(
                f'got a factor of {factor:.3g}, expected {low} to {high}; check camera_height '
                f'({self._camera_height} m) and the focal length in camera_info'
            )
        if spread > MAX_SPREAD:
            raise ValueError(
                f'got factors from {min(self._scales):.3g} to {max(self._scales):.3g}, of which '
                f'the middle half spreads over {100 * spread:.0f} %, expected at most '
                f'{100 * MAX_SPREAD:.0f} %; measure where the ground is open and level'
            )
        return MeasuredScale(factor, spread, n_used, self.n_taken)


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

        :param settings: has the camera's height; ``depth_scale`` is set through the node.
        :param observe: returns the facts of now, from which follows why no depth comes.
        :param clock: steady; paces the checks for that.
        :param service: its name, one for each camera.
        """
        self._node = node
        self._settings = settings
        self._observe = observe
        self._pending: ScaleMeasurement | None = None
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
        if pending is not None and pending.wants_image:
            pending.add(estimated, camera)

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
        self._pending = pending = ScaleMeasurement(camera_height)
        self._timer.reset()
        obstacle = await pending.ended
        # Nothing here is for «finally»: where the process ends meanwhile, so has the node.
        self._timer.cancel()
        self._pending = None
        if obstacle:
            raise ValueError(obstacle)
        return pending.conclude()

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
            health = check_health(self._observe())
            obstacle = f'no more came for {waited_s:.0f} s: {health.message}'
        if obstacle:
            taken = f'{pending.n_taken} of {pending.n_images} images'
            pending.ended.set_result(f'got depth of {taken}; {obstacle}')

    def _obstacle(self) -> str:
        """Return why no depth will come; empty where it will."""
        camera = self._observe()
        for issue in check_health(camera).issues:
            if issue.level == Level.ERROR or issue.cause in (Cause.STATE, Cause.PAUSED):
                return issue.message
        if camera.node.state != 'active':
            return f'the node is {camera.node.state}, expected active; start it again'
        return ''
