"""A one-slot mailbox and the thread that empties it: a slow reader always gets the newest item."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar('T')


class Mailbox(Generic[T]):
    """Holds at most one item; a newer one replaces it. Any thread may use it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._closed = False

    def put(self, item: T) -> bool:
        """Leave an item, in place of one not yet taken. A closed mailbox ignores it.

        :returns: whether it took the place of another, which nobody will get.
        """
        with self._changed:
            if self._closed:
                return False
            replaces = self._item is not None
            self._item = item
            self._changed.notify()
            return replaces

    def take(self) -> T | None:
        """Wait for an item and remove it; return None once the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._item is not None)
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Forget the item and let every reader go."""
        with self._changed:
            self._closed, self._item = True, None
            self._changed.notify_all()


class Worker(Generic[T]):
    """A thread that works on the newest item of its mailbox."""

    def __init__(self, work: Callable[[T], None], *, name: str) -> None:
        """Start the thread.

        :param work: called with one item at a time; it must not raise.
        :param name: of the thread, for debuggers.
        """
        self.mailbox: Mailbox[T] = Mailbox()
        self._work = work
        # A daemon: an item that takes for ever cannot keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self, *, timeout_s: float | None = None) -> bool:
        """Finish the item at hand, forget the one waiting, and end the thread.

        :returns: whether the thread ended within the time.
        """
        self.mailbox.close()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (item := self.mailbox.take()) is not None:
            self._work(item)
