"""Child processes that live no longer than the command that started them."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO

# What a child gets to finish by itself after each signal [s].
_GRACE_S = 5.0
_LOG_LINES = 15
# Not what a program says, but the last line of a traceback: its place matters.
_TRACEBACK_END = re.compile(r'\w*(Error|Exception|Interrupt|Exit|Warning): ')
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def module_command(module: str) -> list[str]:
    """Return the command that runs a module of ours with this interpreter.

    As ``python -m`` does, but without the working directory, where a file would stand for any
    module of its name; Python 3.10 has no ``-P``.
    """
    code = (
        'import sys; sys.path[:] = filter(None, sys.path); '
        f'import runpy; runpy.run_module({module!r}, run_name="__main__")'
    )
    return [sys.executable, '-c', code]


class ChildFailedError(RuntimeError):
    """A child process ended too early, or with an error."""


@dataclass(frozen=True)
class Child:
    """A running child process and its log."""

    #: What the user knows it as.
    name: str
    #: Its standard error, and its standard output unless that is read.
    log: Path
    process: subprocess.Popen[str]

    def check_running(self) -> None:
        """Check that the process still runs.

        :raises ChildFailedError: if it has ended, in whatever way; with the end of its log.
        """
        if self.process.poll() is not None:
            raise ChildFailedError(self._epitaph())

    def check_success(self) -> None:
        """Check that the process has not ended with an error.

        :raises ChildFailedError: if it has; with the end of its log.
        """
        if self.process.poll():
            raise ChildFailedError(self._epitaph())

    def check_no_error(self) -> None:
        """Check that the process has logged no error.

        :raises ChildFailedError: if it has; with the message.
        """
        for line in self._lines():
            if '[ERROR]' in line:
                raise ChildFailedError(f'The {self.name} says: {_message(line)}')

    def last_message(self) -> str:
        """Return what the process logged last."""
        return _message((self._lines() or [''])[-1])

    def _lines(self) -> list[str]:
        return self.log.read_text(encoding='utf-8', errors='replace').splitlines()

    def _epitaph(self) -> str:
        status = self.process.poll()
        own = re.fullmatch(r'\w+: (.+)', (self._lines() or [''])[-1])
        if status and status > 0 and own and not _TRACEBACK_END.match(own[0]):
            return f'The {self.name} says: {own[1]}'  # it knew what was wrong, and said so
        how = (
            f'by signal {-status}'
            if status is not None and status < 0
            else f'with status {status}'
        )
        tail = '\n'.join(self._lines()[-_LOG_LINES:]) or '(it is empty)'
        return f'The {self.name} ended {how}. The end of its log {self.log}:\n{tail}'


class Children:
    """Starts processes, and stops all of them when the context is left."""

    def __init__(self, log_folder: Path, environment: Mapping[str, str]) -> None:
        """Start nothing yet.

        :param log_folder: gets one log for each process.
        :param environment: all of the children's environment.
        """
        self._log_folder = log_folder
        self._environment = dict(environment)
        self._children: list[Child] = []

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        read_output: bool = False,
        write_input: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> Child:
        """Start a process.

        :param read_output: make its standard output readable instead of logging it.
        :param write_input: make its standard input writable instead of empty.
        :param environment: of its own; None: that of all children.
        :raises OSError: if the log cannot be written or the process not started.
        """
        log = self._log_folder / f'{name.replace(" ", "_")}.log'
        with log.open('w', encoding='utf-8') as stream:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE if write_input else subprocess.DEVNULL,
                stdout=subprocess.PIPE if read_output else stream,
                stderr=stream,
                text=True,
                env=self._environment if environment is None else dict(environment),
                start_new_session=True,  # Ctrl-C is for the parent, which stops them in order
                preexec_fn=_die_with_parent(),
            )
        child = Child(name, log, process)
        self._children.append(child)
        return child

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop all children, ever less gently."""
        for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            running = [child.process for child in self._children if child.process.poll() is None]
            for process in running:
                process.send_signal(signal_number)
            for process in running:
                with suppress(subprocess.TimeoutExpired):  # the next signal is stronger
                    process.wait(_GRACE_S)
        for child in self._children:
            if child.process.stdout is not None:
                child.process.stdout.close()


@contextmanager
def interruptible() -> Iterator[None]:
    """Make SIGTERM and SIGHUP end the block as Ctrl-C does, so that it can clean up."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    earlier = {
        number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def lines_of(stream: IO[str] | None) -> Iterator[str]:
    """Return the lines of a child's output until it closes it."""
    return iter(()) if stream is None else iter(stream)


def _message(line: str) -> str:
    """Return a line of a ROS log without its level, time and logger."""
    return line.rsplit(']: ', 1)[-1]


def _die_with_parent() -> Callable[[], None] | None:
    """Return what a child runs first, so that the kernel ends it when its parent is killed."""
    if not sys.platform.startswith('linux'):
        return None
    libc = ctypes.CDLL(None)  # loaded before the fork: nothing may be loaded after it
    parent = os.getpid()

    def run_in_child() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return run_in_child
