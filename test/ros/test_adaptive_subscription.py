"""Over real DDS: a subscription that follows what the publishers of its topic offer."""

import threading
import time

import numpy as np
import pytest
import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import UnsupportedEventTypeError
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from mirror_depth_ros.ros.adaptive_subscription import AdaptiveSubscription, LossEvents
from mirror_depth_ros.ros.messages import image_message

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
PATIENCE_S = 60.0
OVERRIDE = 'qos_overrides./image.subscription.reliability'


class Subscriber:
    """A node with such a subscription, and a camera beside it."""

    def __init__(self, contexts, topics=('/image',), overrides=None, **options):
        self.node = Node(
            'subscriber',
            context=contexts[0],
            parameter_overrides=[Parameter(n, value=v) for n, v in (overrides or {}).items()],
        )
        self.camera = Node('camera', context=contexts[1])
        self.seconds = []
        self._executor = SingleThreadedExecutor(context=contexts[0])
        try:
            self.subscription = AdaptiveSubscription(
                self.node,
                Image,
                topics,
                lambda message: self.seconds.append(message.header.stamp.sec),
                clock=Clock(clock_type=ClockType.STEADY_TIME),
                depth=5,
                **options,
            )
        except ValueError:
            self.node.destroy_node()
            self.camera.destroy_node()
            raise
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def close(self):
        self._executor.shutdown()
        self._thread.join(PATIENCE_S)
        for node in (self.node, self.camera):
            node.destroy_node()

    def publish(self, reliability, topic='/image', **qos):
        """Begin to publish."""
        profile = QoSProfile(depth=5, reliability=reliability, **qos)
        return self.camera.create_publisher(Image, topic, profile)

    def wait_asked(self, *reliabilities, topic='/image'):
        """Wait until the subscriptions to a topic are of these reliabilities and no others."""

        def asked():
            infos = self.camera.get_subscriptions_info_by_topic(topic)
            return sorted(info.qos_profile.reliability for info in infos)

        wait(lambda: asked() == sorted(reliabilities), asked)

    def send_until_heard(self, publisher, second):
        """Publish images of that stamp until one comes: a new subscription is found in a while."""

        def is_heard():
            publisher.publish(image(second))
            return second in self.seconds

        wait(is_heard)


def image(second):
    message = image_message(Header(), 'rgb8', np.zeros((7, 9, 3), np.uint8))
    message.header.stamp.sec = second
    return message


def wait(condition, describe=lambda: ''):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f'waited in vain {describe()}'
        time.sleep(0.02)


@pytest.fixture
def make_subscriber(ros_context, ros_domain_id):
    other = rclpy.Context()
    rclpy.init(context=other, domain_id=ros_domain_id)
    subscribers = []

    def make(**options):
        subscribers.append(Subscriber((ros_context, other), **options))
        return subscribers[-1]

    yield make
    for subscriber in subscribers:
        subscriber.close()
    rclpy.shutdown(context=other)


def test_it_is_reliable_while_all_publishers_are(make_subscriber):
    subscriber = make_subscriber()
    subscriber.wait_asked(RELIABLE)  # before anybody is there
    first = subscriber.publish(RELIABLE)
    subscriber.send_until_heard(first, 1)
    subscriber.wait_asked(RELIABLE)
    second = subscriber.publish(BEST_EFFORT)
    subscriber.wait_asked(BEST_EFFORT)
    subscriber.send_until_heard(first, 2)
    subscriber.send_until_heard(second, 3)
    subscriber.camera.destroy_publisher(second)
    subscriber.wait_asked(RELIABLE)
    subscriber.send_until_heard(first, 4)


def test_the_parameter_forces_it_and_may_change(make_subscriber):
    asked = ['best_effort']
    subscriber = make_subscriber(reliability=lambda: asked[0])
    camera = subscriber.publish(RELIABLE)
    subscriber.send_until_heard(camera, 1)
    subscriber.wait_asked(BEST_EFFORT)
    facts = subscriber.subscription.observe()
    assert (facts.is_reliable, facts.reliability_forced_by) == (False, 'image_reliability')
    asked[0] = 'auto'
    subscriber.wait_asked(RELIABLE)
    subscriber.send_until_heard(camera, 2)
    assert subscriber.subscription.observe().reliability_forced_by == ''


def test_a_publisher_that_cannot_serve_what_is_forced_is_named(make_subscriber):
    subscriber = make_subscriber(reliability=lambda: 'reliable')
    subscriber.publish(BEST_EFFORT)
    wait(lambda: subscriber.subscription.observe().is_refused)
    subscriber.wait_asked(RELIABLE)
    subscriber.publish(RELIABLE)  # of two, one is heard
    wait(lambda: subscriber.subscription.observe().n_publishers == 2)
    assert not subscriber.subscription.observe().is_refused


def test_a_qos_override_precedes_the_parameter(make_subscriber):
    subscriber = make_subscriber(
        overrides={OVERRIDE: 'best_effort', OVERRIDE.replace('reliability', 'depth'): 3},
        reliability=lambda: 'reliable',
    )
    subscriber.wait_asked(BEST_EFFORT)
    assert subscriber.subscription.observe().reliability_forced_by == OVERRIDE
    (info,) = subscriber.camera.get_subscriptions_info_by_topic('/image')
    assert info.qos_profile.reliability == BEST_EFFORT
    assert subscriber.node.get_parameter(OVERRIDE.replace('reliability', 'depth')).value == 3


def test_an_override_that_is_no_reliability_is_refused(make_subscriber):
    with pytest.raises(
        ValueError,
        match=f"^got {OVERRIDE} 'sometimes', expected reliable or best_effort; correct the",
    ):
        make_subscriber(overrides={OVERRIDE: 'sometimes'})


def test_what_was_latched_before_is_heard_where_it_is_wanted(make_subscriber):
    subscriber = make_subscriber(wants_latched=True)
    latch = {'durability': DurabilityPolicy.TRANSIENT_LOCAL}
    latched = subscriber.publish(RELIABLE, **latch)
    latched.publish(image(1))
    wait(lambda: 1 in subscriber.seconds)
    subscriber.wait_asked(RELIABLE)  # one subscription serves both
    volatile = subscriber.publish(BEST_EFFORT)
    subscriber.wait_asked(RELIABLE, BEST_EFFORT)
    subscriber.send_until_heard(volatile, 2)
    subscriber.camera.destroy_publisher(latched)
    subscriber.wait_asked(BEST_EFFORT)
    subscriber.send_until_heard(volatile, 3)


def test_the_type_decides_which_of_two_topics_is_heard(make_subscriber):
    subscriber = make_subscriber(topics=('/cam/compressed', '/cam'))
    assert subscriber.subscription.topic == '/cam/compressed'
    subscriber.camera.create_publisher(CompressedImage, '/cam/compressed', 1)
    camera = subscriber.publish(BEST_EFFORT, topic='/cam')
    subscriber.wait_asked(BEST_EFFORT, topic='/cam')
    subscriber.wait_asked(topic='/cam/compressed')
    subscriber.send_until_heard(camera, 1)
    assert subscriber.subscription.observe().topic == '/cam'


def test_without_publishers_it_waits_on_the_first_topic(make_subscriber):
    subscriber = make_subscriber(topics=('/cam/compressed', '/cam'))
    camera = subscriber.publish(RELIABLE, topic='/cam')
    subscriber.wait_asked(RELIABLE, topic='/cam')
    subscriber.camera.destroy_publisher(camera)
    subscriber.wait_asked(RELIABLE, topic='/cam/compressed')
    facts = subscriber.subscription.observe()
    assert (facts.topic, facts.type_name) == ('/cam/compressed', 'sensor_msgs/msg/Image')
    assert (facts.n_publishers, facts.other_types) == (0, ())


def test_between_two_subscriptions_there_is_a_topic_all_the_same(make_subscriber, monkeypatch):
    subscriber = make_subscriber(topics=('/cam/compressed', '/cam'))
    subscription = subscriber.subscription
    seen, subscribe = [], type(subscription)._subscribe

    def look_first(self, offer):
        seen.append(self.observe().topic)
        return subscribe(self, offer)

    monkeypatch.setattr(type(subscription), '_subscribe', look_first)
    subscriber.publish(RELIABLE, topic='/cam')
    subscriber.wait_asked(RELIABLE, topic='/cam')
    assert seen == ['/cam']


def test_where_losses_are_not_counted_the_subscription_is_made(make_subscriber, monkeypatch):
    def refuse(*_, **__):
        raise UnsupportedEventTypeError('not by this middleware')

    monkeypatch.setattr(LossEvents.__mro__[1], 'create_event_handlers', refuse)
    subscriber = make_subscriber()
    subscriber.send_until_heard(subscriber.publish(RELIABLE), 1)
