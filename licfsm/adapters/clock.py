"""Clocks: the system's, and one that is moved by hand. Nothing else in the package reads the time."""

from __future__ import annotations

import datetime as dt
import sys
import time
from typing import Final

import pendulum

from licfsm import instants
from licfsm.errors import InvalidValue

__all__ = ["ManualClock", "SystemClock"]

_NS: Final = 1_000_000
_READINGS: Final = 3


class SystemClock:
    """Reads the machine's clocks; a `ports.HostClock`.

    Only Linux has both a clock that counts sleep and one that does not. Elsewhere it tells of no sleep: on macOS a
    sleep looks like a clock that was set forward, on Windows, whose monotonic clock counts it, like running.
    """

    __slots__ = ()

    def now_ms(self) -> int:
        """Tell the time in milliseconds since 1970 in UTC; it may step either way."""
        return time.time_ns() // _NS

    def running_ms(self) -> int:
        """Tell for how many milliseconds the host has been awake, from any start; it never steps."""
        return time.monotonic_ns() // _NS

    def asleep_ms(self) -> int:
        """Tell for how many milliseconds the host has slept, from the same start; 0 where nobody can tell.

        In a container whose clocks are shifted the number may be below 0; how it grows is right there too.
        """
        if sys.platform != "linux":
            return 0
        # A process put aside between the two readings seems to have slept: the least of some is the truth.
        return -max(time.monotonic_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME) for _ in range(_READINGS)) // _NS


class ManualClock:
    """Stands still until it is moved; for tests, replay and simulation. A `ports.HostClock`.

    Args:
        start: milliseconds since 1970 in UTC, a datetime, or ISO text; UTC where it names no offset.

    Raises:
        InvalidValue: the text is no date or time.

    """

    __slots__ = ("_asleep", "_ms", "_running")

    def __init__(self, start: str | dt.datetime | int) -> None:
        """Stand at the start."""
        self._ms = _read(start)
        self._running = 0
        self._asleep = 0

    def now_ms(self) -> int:
        """Tell the time in milliseconds since 1970 in UTC."""
        return self._ms

    def running_ms(self) -> int:
        """Tell for how many milliseconds time passed with the host awake, since the clock was made."""
        return self._running

    def asleep_ms(self) -> int:
        """Tell for how many milliseconds the host slept, since the clock was made."""
        return self._asleep

    @property
    def now(self) -> pendulum.DateTime:
        """The time, in UTC."""
        return instants.from_ms(self._ms)

    def move_to(self, to: str | dt.datetime | int) -> None:
        """Let time pass until then, with the host awake; to an earlier time, it is as if the clock were set.

        Args:
            to: milliseconds, a datetime, or ISO text.

        """
        before, self._ms = self._ms, _read(to)
        self._running += max(0, self._ms - before)

    def set_to(self, to: str | dt.datetime | int) -> None:
        """Set the clock, either way, as somebody does whose clock was wrong: no time passes.

        Args:
            to: milliseconds, a datetime, or ISO text.

        """
        self._ms = _read(to)

    def sleep(self, to: str | dt.datetime | int) -> None:
        """Let the host sleep until then.

        Args:
            to: milliseconds, a datetime, or ISO text.

        Raises:
            InvalidValue: that time lies before the clock.

        """
        end = _read(to)
        if end < self._ms:
            message = f"{instants.isoformat(end)} lies before the clock; a host sleeps until a later time"
            raise InvalidValue(message)
        self._asleep += end - self._ms
        self._ms = end

    def __repr__(self) -> str:
        """Show where it stands."""
        return f"ManualClock({instants.isoformat(self._ms)!r})"


def _read(moment: str | dt.datetime | int) -> int:
    if type(moment) is int:
        instants.in_range(moment, f"{moment} milliseconds")
        return moment
    if not isinstance(moment, str | dt.datetime):
        message = f"{moment!r:.80} is no time; give a datetime, ISO text, or whole milliseconds since 1970"
        raise InvalidValue(message)
    if isinstance(moment, dt.datetime):
        if moment.tzinfo is None:
            message = f"{moment} has no time zone; give an aware datetime or text"
            raise InvalidValue(message)
        return instants.to_ms(moment)
    found = instants.parse_instant(moment, instants.UTC)
    return found if isinstance(found, int) else instants.start_of_day(found, instants.UTC)
