"""Dates and keys of the plain model.

An instant is a whole number of milliseconds since 1970 in UTC; a wall time is the same, as a local clock shows it.
Numbers in docstrings are rules of diagrams/rules.md.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from zoneinfo import ZoneInfo

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MS = dt.timedelta(milliseconds=1)

TYPES = ("subscription", "rental", "perpetual", "trial", "nfr")
OLD_GRACE = {"subscription": (14, "days"), "rental": (14, "days"), "perpetual": (14, "days")}
GRACE = {
    "veeam-7": OLD_GRACE,
    "veeam-8": OLD_GRACE,
    "veeam-9": {"subscription": (30, "days"), "rental": (2, "months")},
    "veeam-13": {"subscription": (30, "days"), "rental": (60, "days")},
}
"""2.1: how long, by policy and type; none where a type is missing."""

ANNOUNCE = {"veeam-13": {"subscription": 30, "trial": 30, "nfr": 30, "rental": 7}}
"""How many days before the expiration date expiry is announced; with `Expiring` where a type is missing."""


def iso(at: int) -> str:
    """Write an instant in UTC with offset."""
    moment = EPOCH + at * MS
    return moment.isoformat(timespec="milliseconds" if at % SECOND else "seconds")


def wall(at: int, zone: str) -> int:
    """Give the wall time of an instant."""
    offset = (EPOCH + at * MS).astimezone(ZoneInfo(zone)).utcoffset()
    return at + (offset or dt.timedelta()) // MS


def at_wall(time: int, zone: str) -> int:
    """1.2: a wall time in a gap moves forward by the gap; a doubled one is its first occurrence (both: fold=0)."""
    offset = (EPOCH + time * MS).replace(tzinfo=ZoneInfo(zone), fold=0).utcoffset()
    return time - (offset or dt.timedelta()) // MS


def day_of(time: int) -> dt.date:
    """Give the date of a wall time."""
    return (EPOCH + time * MS).date()


def midnight(day: dt.date) -> int:
    """Give the wall time at which a day would begin."""
    return (day - EPOCH.date()).days * DAY


@cache
def end_of_day(day: dt.date, zone: str) -> int:
    """1.2: the first instant whose local date is later than the day, found by looking.

    No local clock is ahead of UTC by 15 hours, and none changes twice in a quarter of an hour.
    """
    at = midnight(day) + 9 * HOUR
    while day_of(wall(at, zone)) <= day:
        at += 15 * MINUTE
    low, high = at - 15 * MINUTE, at
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if day_of(wall(middle, zone)) > day else (middle, high)
    return high


def start_of_day(day: dt.date, zone: str) -> int:
    """1.2: the end of the day before, also where the zone skips that day."""
    return end_of_day(day - dt.timedelta(days=1), zone)


def add_days(at: int, days: int, zone: str) -> int:
    """3.3: a calendar step, by wall clock in the zone."""
    return at_wall(wall(at, zone) + days * DAY, zone)


def add_months(day: dt.date, months: int) -> dt.date:
    """1.6: months are clamped at the month's end."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return dt.date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def days_until(now: int, deadline: int, zone: str) -> int:
    """1.7: the smallest whole n for which now + n calendar days reaches the deadline."""
    if now >= deadline:
        return 0
    days = max(1, (wall(deadline, zone) - wall(now, zone)) // DAY - 2)
    while add_days(now, days, zone) < deadline:
        days += 1
    return days


@dataclass(frozen=True)
class Key:
    """1.1: a key, whose `expires` is its last valid day, an instant, or None for never."""

    type: str
    expires: dt.date | int | None
    zone: str
    issued: int

    @cached_property
    def expiry(self) -> int | None:
        """1.1: the midnight that ends the last day, or the instant."""
        return end_of_day(self.expires, self.zone) if isinstance(self.expires, dt.date) else self.expires

    @cached_property
    def expiring_at(self) -> int | None:
        """1.4: the start of the day seven days before, or seven days before the instant."""
        return self.days_before(7)

    def announce_at(self, policy: str) -> int | None:
        """Veeam 13: the start of the day so many days before, or so many days before the instant."""
        return self.days_before(ANNOUNCE.get(policy, {}).get(self.type, 7))

    def days_before(self, days: int) -> int | None:
        """1.4: the start of an earlier day; with an instant, its time on that day."""
        day_too_many = 1 if isinstance(self.expires, dt.date) else 0
        return self._moved(lambda day: day - dt.timedelta(days=days + day_too_many))

    @cached_property
    def retry_until(self) -> int | None:
        """1.5: as many days later as the month has."""
        return self._moved(lambda day: day + dt.timedelta(days=calendar.monthrange(day.year, day.month)[1]))

    def grace_until(self, policy: str) -> int | None:
        """1.6: None without grace."""
        if self.type not in GRACE[policy]:
            return None
        amount, unit = GRACE[policy][self.type]
        if unit == "months":
            return self._moved(lambda day: add_months(day, amount))
        return self._moved(lambda day: day + dt.timedelta(days=amount))

    def _moved(self, move: Callable[[dt.date], dt.date]) -> int | None:
        """1.3: on the date, to the end of the day; or on the wall time of the instant."""
        if self.expires is None:
            return None
        if isinstance(self.expires, dt.date):
            return end_of_day(move(self.expires), self.zone)
        time = wall(self.expires, self.zone)
        day = day_of(time)
        return at_wall(time + midnight(move(day)) - midnight(day), self.zone)

    def state(self, at: int, policy: str) -> str:
        """2.2, 2.5: what the dates say; a boundary belongs to what follows it."""
        if self.expiry is None or self.expiring_at is None or at < self.expiring_at:
            return "Valid"
        if at < self.expiry:
            return "Expiring"
        grace_until = self.grace_until(policy)
        return "Grace" if grace_until is not None and at < grace_until else "FreeMode"

    def same_as(self, other: Key) -> bool:
        """Say whether it is the same key: the same expiry and type."""
        return (self.expiry, self.type) == (other.expiry, other.type)

    def expires_before(self, other: Key) -> bool:
        """4.3: no expiry is the latest."""
        if self.expiry is None:
            return False
        return other.expiry is None or self.expiry < other.expiry
