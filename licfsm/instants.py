"""Instants as integers, and the calendar of a time zone.

The engine counts time in whole milliseconds since 1970 in UTC: comparisons and sums of integers cost
nothing and cannot be ambiguous. The calendar is asked only where the rules speak of days, weeks and
months (rules.md 1.2, 3.3). Where a zone has no such local time, or has it twice, the standard library's
``fold=0`` reading is just what rule 1.2 asks for: a time in a gap moves forward by the gap, a doubled
time is its first occurrence. (pendulum's own constructors move a gap backward with ``fold=0`` and take
the second occurrence with ``fold=1``, so neither serves.)
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from calendar import monthrange
from typing import Final

import attrs
import pendulum

from licfsm.errors import InvalidValue

__all__ = [
    "DAY",
    "HOUR",
    "MINUTE",
    "NEVER",
    "SECOND",
    "Span",
    "at_wall",
    "days_until",
    "end_of_day",
    "from_ms",
    "has_offset",
    "in_range",
    "isoformat",
    "parse_instant",
    "start_of_day",
    "to_ms",
    "wall",
    "zone",
]

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
NEVER: Final = 1 << 62
"""Later than every instant: the deadline that does not exist."""

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MS: Final = dt.timedelta(milliseconds=1)
EARLIEST: Final = (dt.datetime(1000, 1, 1, tzinfo=dt.UTC) - _EPOCH) // _MS
LATEST: Final = (dt.datetime(9500, 1, 1, tzinfo=dt.UTC) - _EPOCH) // _MS
"""The years in which every sum that the rules ask for still has a date."""

UTC: Final = pendulum.timezone("UTC")


@functools.lru_cache(maxsize=1024)
def zone(name: str) -> pendulum.Timezone:
    """Find a time zone by its IANA name.

    Raises:
        InvalidValue: there is no such zone.

    """
    if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_+/-]{1,64}", name):
        try:
            return pendulum.timezone(name)
        except (ValueError, OSError):
            pass
    message = f"there is no time zone {name!r:.66}; use an IANA name such as UTC or Europe/Berlin"
    raise InvalidValue(message)


def to_ms(moment: dt.datetime) -> int:
    """Turn an aware datetime into milliseconds since 1970 in UTC, dropping what is finer."""
    return dt.datetime.__sub__(moment, _EPOCH) // _MS  # pendulum's own subtraction makes an Interval


def from_ms(ms: int, tz: pendulum.Timezone = UTC) -> pendulum.DateTime:
    """Turn milliseconds since 1970 in UTC into a pendulum datetime in a zone."""
    return pendulum.instance((_EPOCH + ms * _MS).astimezone(tz))


def isoformat(ms: int) -> str:
    """Write an instant in UTC with its offset; milliseconds only where there are any."""
    return (_EPOCH + ms * _MS).isoformat(timespec="milliseconds" if ms % SECOND else "seconds")


def wall(ms: int, tz: pendulum.Timezone) -> dt.datetime:
    """Read a zone's wall clock at an instant: a naive datetime."""
    return (_EPOCH + ms * _MS).astimezone(tz).replace(tzinfo=None, fold=0)


def at_wall(local: dt.datetime, tz: pendulum.Timezone) -> int:
    """Find the instant of a local time: forward out of a gap, first of two (rules.md 1.2)."""
    return (local.replace(tzinfo=tz, fold=0) - _EPOCH) // _MS


def end_of_day(day: dt.date, tz: pendulum.Timezone) -> int:
    """Find the midnight that ends a day: the first instant whose local date is later (rules.md 1.2)."""
    midnight = dt.datetime.combine(day + dt.timedelta(days=1), dt.time())
    instant = at_wall(midnight, tz)
    if wall(instant, tz) == midnight:
        return instant
    # The zone skips this midnight, or the whole day: look for the moment of the jump.
    early = (midnight.replace(tzinfo=tz, fold=1) - _EPOCH) // _MS
    while early < instant:
        middle = (early + instant) // 2
        if wall(middle, tz).date() > day:
            instant = middle
        else:
            early = middle + 1
    return instant


def start_of_day(day: dt.date, tz: pendulum.Timezone) -> int:
    """Find the first instant of a day, or of the next one where the zone skipped it."""
    return end_of_day(day - dt.timedelta(days=1), tz)


def days_until(now: int, deadline: int, tz: pendulum.Timezone) -> int:
    """Count the days that remain: the smallest whole n for which now + n calendar days reaches it.

    Args:
        now: milliseconds.
        deadline: milliseconds.
        tz: the zone whose wall clock counts (rules.md 1.7).

    Returns:
        0 from the deadline on, at least 1 before.

    """
    if now >= deadline:
        return 0
    local = wall(now, tz)
    days = max(1, (wall(deadline, tz) - local).days - 1)
    while at_wall(local + dt.timedelta(days=days), tz) < deadline:
        days += 1
    return days


_UNITS: Final = {
    "second": (0, 0, SECOND),
    "minute": (0, 0, MINUTE),
    "hour": (0, 0, HOUR),
    "day": (0, 1, 0),
    "week": (0, 7, 0),
    "month": (1, 0, 0),
}
UNITS: Final = tuple(f"{unit}s" for unit in _UNITS)
_MOST: Final = 10_000 * 366


@attrs.frozen
class Span:
    """A length of time: either calendar steps (months, days) or an exact one (milliseconds).

    A day and a week are steps of the calendar in the license's zone, minutes and hours are exact
    (rules.md 3.3); a month is clamped at the end of the month it lands in (1.6).
    """

    months: int = 0
    days: int = 0
    ms: int = 0
    text: str = attrs.field(default="", eq=False)

    @classmethod
    def parse(cls, text: str) -> Span:
        """Read ``14 days``, ``2 months``, ``60 minutes``, ``1 week``.

        Raises:
            InvalidValue: the text is no length of time, or is out of all proportion.

        """
        found = re.fullmatch(r"\s*([0-9]{1,12})\s+([A-Za-z]+?)s?\s*", text)
        unit = found and _UNITS.get(found[2].lower())
        if not found or not unit:
            message = f"{text[:40]!r} is no length of time; write a number and one of {', '.join(UNITS)}"
            raise InvalidValue(message)
        months, days, ms = (int(found[1]) * size for size in unit)
        if months * 31 + days + ms // DAY > _MOST:
            message = f"{text[:40]!r} is longer than this engine counts (10000 years)"
            raise InvalidValue(message)
        return cls(months, days, ms, " ".join(text.split()))

    def __bool__(self) -> bool:
        """Say whether it is longer than nothing."""
        return bool(self.months or self.days or self.ms)

    def __str__(self) -> str:
        """Give the words it was written in."""
        return self.text

    def shift(self, local: dt.datetime, sign: int = 1) -> dt.datetime:
        """Add the calendar steps to a wall-clock time, a month clamped at the month's end.

        Raises:
            InvalidValue: the calendar ends before.

        """
        try:
            if self.months:
                years, month = divmod(local.month - 1 + sign * self.months, 12)
                year, month = local.year + years, month + 1
                local = local.replace(year=year, month=month, day=min(local.day, monthrange(year, month)[1]))
            return local + dt.timedelta(days=sign * self.days)
        except (ValueError, OverflowError, IndexError):
            message = f"{self} from {local:%Y-%m-%d} is beyond the calendar"
            raise InvalidValue(message) from None

    def after(self, ms: int, tz: pendulum.Timezone, sign: int = 1) -> int:
        """Step from an instant: exactly, or by the zone's wall clock (rules.md 3.3).

        Args:
            ms: where to start, in milliseconds.
            tz: whose calendar counts.
            sign: 1 for later, -1 for earlier.

        Returns:
            Milliseconds.

        """
        if not (self.months or self.days):
            return ms + sign * self.ms
        if tz is UTC and not self.months:
            return ms + sign * self.days * DAY
        return at_wall(self.shift(wall(ms, tz), sign), tz)


_INSTANT: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)\s?(Z|[+-]\d{2}:?\d{2})?)?",
    re.ASCII,
)


def parse_instant(text: str, tz: pendulum.Timezone) -> dt.date | int:
    """Read an ISO date (a date), or an ISO time (milliseconds); without an offset it is local to the zone.

    Raises:
        InvalidValue: it is neither, or lies outside the years 1000 to 9500.

    """
    found = _INSTANT.fullmatch(text.strip())
    if not found:
        message = f"{text[:40]!r} is no date or time; write 2025-02-14 or 2025-02-14T09:00"
        raise InvalidValue(message)
    day, time, offset = found.groups()
    try:
        date = dt.date.fromisoformat(day)
        moment = dt.datetime.fromisoformat(f"{day}T{time or '00:00'}{offset or ''}")
        ms = to_ms(moment) if offset else at_wall(moment, tz)
    except (ValueError, OverflowError):
        message = f"{text[:40]!r} is not in the calendar"
        raise InvalidValue(message) from None
    if moment.microsecond % 1000:
        message = f"{text[:40]!r} is finer than a millisecond"
        raise InvalidValue(message)
    in_range(ms, text)
    return ms if time else date


def has_offset(text: str) -> bool:
    """Say whether a text that `parse_instant` reads names its offset from UTC."""
    found = _INSTANT.fullmatch(text.strip())
    return bool(found and found[3])


def in_range(ms: int, text: str) -> int:
    """Give back an instant, if it lies in the years with which the engine can reckon.

    Args:
        ms: the instant, in milliseconds.
        text: how it was written.

    Raises:
        InvalidValue: it lies outside.

    """
    if not EARLIEST <= ms <= LATEST:
        message = f"{text[:40]!r} lies outside the years 1000 to 9500"
        raise InvalidValue(message)
    return ms
