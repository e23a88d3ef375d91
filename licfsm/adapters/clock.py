"""Clocks: the system's, and one that is moved by hand. Nothing else in the package reads the time."""

from __future__ import annotations

import datetime as dt

import pendulum

from licfsm import instants
from licfsm.errors import InvalidValue

__all__ = ["ManualClock", "SystemClock"]


class SystemClock:
    """Reads the machine's clock."""

    def now_ms(self) -> int:
        """Tell the time in milliseconds since 1970 in UTC."""
        return instants.to_ms(pendulum.now(pendulum.UTC))


class ManualClock:
    """Stands still until it is moved; for tests, replay and simulation.

    Args:
        start: a datetime, or ISO text; UTC where it names no offset.

    Raises:
        InvalidValue: the text is no date or time.

    """

    __slots__ = ("_ms",)

    def __init__(self, start: str | dt.datetime | int) -> None:
        """Stand at the start."""
        self._ms = start if isinstance(start, int) else _read(start)

    def now_ms(self) -> int:
        """Tell the time in milliseconds since 1970 in UTC."""
        return self._ms

    @property
    def now(self) -> pendulum.DateTime:
        """The time, in UTC."""
        return instants.from_ms(self._ms)

    def move_to(self, to: str | dt.datetime | int) -> None:
        """Set the time: milliseconds, a datetime, or ISO text."""
        self._ms = to if isinstance(to, int) else _read(to)

    def __repr__(self) -> str:
        """Show where it stands."""
        return f"ManualClock({instants.isoformat(self._ms)!r})"


def _read(moment: str | dt.datetime) -> int:
    if isinstance(moment, dt.datetime):
        if moment.tzinfo is None:
            message = f"{moment} has no time zone; give an aware datetime or text"
            raise InvalidValue(message)
        return instants.to_ms(moment)
    found = instants.parse_instant(moment, instants.UTC)
    return found if isinstance(found, int) else instants.start_of_day(found, instants.UTC)
