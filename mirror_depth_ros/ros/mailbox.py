"""A mailbox and the thread that empties it: a slow reader always gets the newest items."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar('K', bound=Hashable)
T = TypeVar('T')


class Mailbox(Generic[K, T]):
    """Holds at most one item of each sender; a newer one replaces it. Any thread may use it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._items: dict[K, T] = {}
        self._closed = False

    def put(self, sender: K, item: T) -> bool:
        """Leave an item, in place of the sender's last if not yet taken.

        A closed mailbox ignores it.

        :returns: whether it took the place of another, which nobody will get.
        """
        with self._changed:
            if self._closed:
                return False
            replaces = sender in self._items
            self._items[sender] = item
            self._changed.notify()
            return replaces

    def take(self) -> dict[K, T] | None:
        """Wait for items and remove all that are there; return None once the mailbox is closed.

        :returns: items by sender, who has waited longest first.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._items)
            items, self._items = self._items, {}
            return items or None

    def close(self) -> None:
        """Forget the items and let every reader go."""
        with self._changed:
            self._closed, self._items = True, {}
            self._changed.notify_all()


class Worker(Generic[K, T]):
    """A thread that works on the newest items of its mailbox, one of each sender at a time."""

    def __init__(self, work: Callable[[dict[K, T]], None], *, name: str) -> None:
        """Start the thread.

        :param work: called with all items that wait, by sender; it must not raise.
        :param name: of the thread, for debuggers.
        """
        self.mailbox: Mailbox[K, T] = Mailbox()
        self._work = work
        # A daemon: an item that takes for ever cannot keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self, *, timeout_s: float | None = None) -> bool:
        """Finish the items at hand, forget those waiting, and end the thread.

        :returns: whether the thread ended within the time.
        """
        self.mailbox.close()
        self._thread.join(timeout_s)
        return not self.is_alive

    @property
    def is_alive(self) -> bool:
        """Whether the thread has not ended."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while (items := self.mailbox.take()) is not None:
            self._work(items)
