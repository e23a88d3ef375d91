"""A thread that ticks: asleep until something is due, awake at least once a minute, gone when nobody wants it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from licfsm.adapters.log import logger
from licfsm.errors import StoreError, WrongProcess

__all__ = ["Driver"]

AFTER_TROUBLE: Final = 60.0
"""Seconds until the next tick, after one that failed."""

PATIENCE: Final = 5.0
"""For how many seconds stopping waits for a call to the world; a slower one is left to end by itself."""


class Driver:
    """Ticks in a thread, for as long as anybody wants that.

    Args:
        tick: does what is due, as long as what it is given says that this is wanted, and says after how many seconds
            it wants to be called again.
        ended: called by the thread at its end.

    """

    def __init__(self, tick: Callable[[Callable[[], bool]], float], ended: Callable[[], None]) -> None:
        """Begin asleep."""
        self._tick = tick
        self._ended = ended
        self._wake = threading.Event()
        self._guard = threading.Lock()
        self._wanted = 0
        self._thread: threading.Thread | None = None
        self.stopping = False
        self.ticks = 0

    @property
    def alive(self) -> bool:
        """Whether the thread runs, and is to go on."""
        return self._thread is not None and self._thread.is_alive() and not self.stopping

    def start(self) -> None:
        """Start the thread, or share the one that runs."""
        with self._guard:
            self._wanted += 1
            if not self.alive:
                self.stopping = False
                self._wake = threading.Event()
                self._thread = threading.Thread(target=self._run, args=(self._wake,), name="licfsm", daemon=True)
                self._thread.start()

    def stop(self, *, everyone: bool = False) -> bool:
        """End the thread when the last one who wanted it is gone.

        Args:
            everyone: whether nobody wants it any more.

        Returns:
            Whether it was ended.

        """
        with self._guard:
            if not self._wanted:
                return False
            self._wanted = 0 if everyone else self._wanted - 1
            if self._wanted:
                return False
            self.stopping = True
            self._wake.set()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(PATIENCE)
        return True

    def wake(self) -> None:
        """Have it look now."""
        self._wake.set()

    def _run(self, wake: threading.Event) -> None:
        def wanted() -> bool:
            return not self.stopping and wake is self._wake

        try:
            while wanted():
                wake.clear()
                self.ticks += 1
                wake.wait(self._seconds(wanted))
        finally:
            if wake is self._wake:
                self._ended()

    def _seconds(self, wanted: Callable[[], bool]) -> float:
        try:
            return self._tick(wanted)
        except WrongProcess:
            self.stopping = True
        except StoreError as error:
            logger.error("licenses cannot be driven now, which is tried again in a minute: %s", error)
        except BaseException:  # an adapter may even ask the interpreter to end: not from here
            if wanted():  # or the store was closed in mid-tick; whoever drives next begins there (rules.md 7.3)
                logger.exception("a tick failed; it is tried again in a minute")
        return AFTER_TROUBLE
