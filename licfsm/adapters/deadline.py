"""A deadline for a whole conversation over the network, whatever the network does.

Libraries bound each single step of one, but not the sum of the steps, and nothing bounds a look-up in DNS. So a
thread of its own does the talking, and who asked for it waits no longer than the deadline; then the connection is
shut down under the thread, which ends whatever that waits for. Only a look-up cannot be ended: the thread lingers until
the system gives up, and then connects to nobody.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

__all__ = ["Deadline", "Passed"]


class Passed(TimeoutError):
    """The deadline has passed: nobody waits any longer."""


class Deadline:
    """Bounds one conversation; it begins when this is made.

    Args:
        seconds: for how long it may go on.
        grace: for how many seconds the thread is waited for once its connection is shut down.

    Attributes:
        passed: whether it is over: whatever ends now ends by our own doing.

    """

    def __init__(self, seconds: float, *, grace: float) -> None:
        """Begin."""
        self._until = time.monotonic() + seconds
        self._grace = grace
        self._lock = threading.Lock()
        self._held: socket.socket | None = None
        self.passed = False

    @property
    def left(self) -> float:
        """How many seconds are left; 0 or less where none are."""
        return self._until - time.monotonic()

    def run(self, work: Callable[[], None], name: str, told: Callable[[], str]) -> str | None:
        """Let a thread work, and be back at the deadline.

        Args:
            work: what it does; what comes of it, it keeps itself.
            name: the thread's.
            told: says what takes so long; called at the deadline, before the end moves things on.

        Returns:
            None where the work ended in time, else what was told.

        Raises:
            RuntimeError: no thread can be started.

        """
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        try:
            while thread.is_alive() and (left := self.left) > 0:  # it may be extended meanwhile
                thread.join(left)
            late = told() if thread.is_alive() else None
        finally:
            self.end()
        thread.join(self._grace)
        return late

    def extend(self, seconds: float) -> None:
        """Let it go on for so many seconds from now."""
        self._until = time.monotonic() + seconds

    def hold(self, line: socket.socket) -> None:
        """Get hold of the connection, in place of the one before, so that the deadline can end it.

        Raises:
            Passed: it is too late for it.

        """
        with self._lock:
            if self.passed:
                raise Passed
            self._let_go()
            self._held = line.dup()  # TLS takes the first one for itself

    def end(self) -> None:
        """End it now: the connection is shut down."""
        with self._lock:
            self.passed = True
            if self._held is not None:
                with suppress(OSError):  # it is closed already
                    self._held.shutdown(socket.SHUT_RDWR)
            self._let_go()

    def _let_go(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None
