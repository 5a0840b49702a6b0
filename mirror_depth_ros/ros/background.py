"""A call that takes long, in a thread of its own, for which an executor can wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from rclpy.node import Node
from rclpy.task import Future

T = TypeVar('T')


class Background(Generic[T]):
    """Runs a function in a thread, while the executor of a node serves its other callbacks."""

    def __init__(self, work: Callable[[], T], *, node: Node, name: str) -> None:
        """Start it.

        :param node: whose executor is woken at the end.
        :param name: of the thread, for debuggers.
        """
        self._work = work
        self._node = node
        self._ended = Future()
        self._result: list[T] = []
        self._error: Exception | None = None
        # A daemon: what takes for ever cannot keep the process from ending.
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def wait(self) -> None:
        """Give the executor back until the function has ended, however it did."""
        await self._ended

    def result(self) -> T:
        """Return what the function returned, once it has ended; only once, to keep nothing alive.

        :raises Exception: what it raised.
        """
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._result.pop()

    def _run(self) -> None:
        try:
            self._result.append(self._work())
        except Exception as error:
            self._error = error
        self._ended.set_result(None)
        executor = self._node.executor
        if executor is not None and self._node.context.ok():
            executor.wake()
