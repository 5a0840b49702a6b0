"""Messages from one process to another over real DDS, with and without the Fast DDS profile."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mirror_depth_ros.cli.processes import Children, interruptible, module_command
from mirror_depth_ros.cli.ros_environment import (
    find_config,
    private_environment,
    profile_variable,
)
from research.costs.node import ask, child_environment

_PACKAGE = 'research.costs'
MESSAGES = ('image', 'depth', 'points')
_RELIABILITIES = ('reliable', 'best_effort')
#: Who has config/fastdds.xml, sender and receivers.
SETTINGS = {
    'default': (False, False),
    'profile on both sides': (True, True),
    'profile of the publisher only': (True, False),
}
#: How often :func:`measure` advances.
N_PAIRS = len(SETTINGS) * len(MESSAGES)


def measure(count: int, *, advance: Callable[[], None]) -> dict[str, Any]:
    """Send messages of a 640 x 480 camera at 10 Hz to a reliable and a best-effort subscriber.

    :param count: messages of each kind and setting.
    :param advance: called after each kind in each setting.
    :returns: ``rows``: latency from publishing to the callback [ms], and how many arrived.
    :raises ChildFailedError: if one of the processes fails.
    """
    from mirror_depth_ros.evaluation.benchmark.rounds import Spread

    rows = []
    for setting, has_profile in SETTINGS.items():
        for message in MESSAGES:
            received = _receive(message, count, *has_profile)
            for subscriber, latencies in received.items():
                rows.append(
                    {
                        'settings': setting,
                        'message': message,
                        'subscriber': subscriber,
                        'latency_ms': Spread.of(latencies).to_dict() if latencies else None,
                        'sent': count,
                        'received': len(latencies),
                    }
                )
            advance()
    return {'rows': rows}


def _receive(
    message: str, count: int, at_sender: bool, at_receivers: bool
) -> dict[str, list[float]]:
    """Return the latencies of what arrived [ms], by the reliability asked for."""
    with (
        TemporaryDirectory(prefix='mirror_depth_') as folder,
        interruptible(),
        Children(Path(folder), {}) as children,
    ):
        common = child_environment(private_environment(_plain_environment(), Path(folder)))
        variable = profile_variable(os.environ)
        profile = common.pop(variable, str(find_config('fastdds.xml')))
        environments = [
            {**common, variable: profile} if has else common for has in (at_sender, at_receivers)
        ]
        takers = {
            reliability: children.start(
                reliability,
                [*module_command(f'{_PACKAGE}.taker_process'), reliability, message],
                read_output=True,
                write_input=True,
                environment=environments[1],
            )
            for reliability in _RELIABILITIES
        }
        sender = children.start(
            'sender',
            module_command(f'{_PACKAGE}.sender_process'),
            read_output=True,
            write_input=True,
            environment=environments[0],
        )
        ask(sender, [], kind=message, count=count, subscribers=len(takers))
        return {name: ask(taker, [])['latencies_ms'] for name, taker in takers.items()}


def _plain_environment() -> dict[str, str]:
    """Return this process's environment without a choice of transport."""
    chosen = ('DEFAULT_PROFILES_FILE', 'BUILTIN_TRANSPORTS')
    return {name: value for name, value in os.environ.items() if not name.endswith(chosen)}
