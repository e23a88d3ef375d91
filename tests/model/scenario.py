"""Scenario files as the plain model reads them: valid ones only, without what they expect."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import Any

import dates
import yaml
from dates import DAY, HOUR, MINUTE, SECOND, Key

EXACT = {"millisecond": 1, "second": SECOND, "minute": MINUTE, "hour": HOUR}
DAYS = {"day": 1, "week": 7}
MONTHS = {"month": 1, "year": 12}
STEP = re.compile(r"([+-])\s*(\d+)\s*([a-z]+)")
NOTHING = ("~", "", None)


@dataclass(frozen=True)
class Offer:
    """What the server answers, or a key installed by hand; a key is issued at `at` unless `issued` is given."""

    answer: str
    at: int
    expires: dt.date | int | None = None
    type: str | None = None
    issued: int | None = None
    takes: int = 0
    retry_after: int | None = None
    signed_time: int | str | None = None

    def key(self, installed: Key) -> Key:
        """Make the key: the type as before unless given; of two issued at one instant the offered one is later."""
        issued = self.issued
        if issued is None:
            issued = self.at + 1 if self.at == installed.issued else self.at
        return Key(self.type or installed.type, self.expires, installed.zone, issued)


@dataclass(frozen=True)
class Entry:
    """One thing that happens: `kind` is server, clock, policy, mail, target, or what the host does."""

    at: int
    kind: str
    value: Any = None

    @property
    def outside(self) -> bool:
        """7.1: whether it changes outside, which comes first."""
        return self.kind in {"server", "clock", "policy", "mail", "target"}


@dataclass
class Story:
    """A whole scenario."""

    id: str
    policy: str
    zone: str
    mail: str
    spread: int
    start: int = 0
    until: int = 0
    key: Key = field(default_factory=lambda: Key("subscription", None, "UTC", 0))
    entries: list[Entry] = field(default_factory=list)

    def instant(self, text: str) -> int:
        """Read a time: a date is its first instant; without an offset it is in the license's zone."""
        base = re.split(r"\s+[+-]\s*(?=\d)", text.strip())[0]
        if base in {"start", "expiry"}:
            at = self.start if base == "start" else self.key.expiry
            assert at is not None, "the first key has no expiry"
        elif re.fullmatch(r"\d{4}-\d\d-\d\d", base):
            at = dates.start_of_day(dt.date.fromisoformat(base), self.zone)
        else:
            moment = dt.datetime.fromisoformat(base)
            at = dates.at_wall(_ms(moment), self.zone) if moment.tzinfo is None else _ms(moment)
        for sign, number, unit in STEP.findall(text.strip()[len(base) :]):
            at = self.after(at, int(sign + number), unit.removesuffix("s"))
        return at

    def after(self, at: int, number: int, unit: str) -> int:
        """Step from an instant: hours and less are exact, the rest goes by wall clock."""
        if unit in EXACT:
            return at + number * EXACT[unit]
        if unit in DAYS:
            return dates.add_days(at, number * DAYS[unit], self.zone)
        time = dates.wall(at, self.zone)
        day = dates.day_of(time)
        moved = dates.add_months(day, number * MONTHS[unit])
        return dates.at_wall(time + dates.midnight(moved) - dates.midnight(day), self.zone)

    def expires(self, text: str | None) -> dt.date | int | None:
        """1.1: the last valid day, an instant, or none."""
        if text in NOTHING or text is None:
            return None
        return dt.date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else self.instant(text)

    def offer(self, given: dict[str, str], at: int) -> Offer:
        """Read an answer, or a key."""
        signed, issued = given.get("signed_time"), given.get("issued")
        return Offer(
            answer=given.get("answer", "new_key"),
            at=at,
            expires=self.expires(given.get("expires")),
            type=given.get("type"),
            issued=self.instant(issued) if issued else None,
            takes=duration(given.get("takes", "0 seconds")),
            retry_after=duration(given["retry_after"]) if "retry_after" in given else None,
            signed_time=self.instant(signed) if signed and signed != "now" else signed,
        )

    def read(self, given: dict[str, Any]) -> None:
        """Read an entry of the timeline."""
        at = self.instant(given["at"])
        if server := given.get("server"):
            server = {"answer": server} if isinstance(server, str) else server
            self.entries.append(Entry(at, "server", self.offer(server, at)))
        for kind, value in (given.get("world") or {}).items():
            self.entries.append(Entry(at, kind, self.instant(value) if kind == "clock" else value))
        if host := given.get("host"):
            host = {"do": host} if isinstance(host, str) else host
            value = self.instant(host["until"]) if host["do"] == "suspend" else None
            if host["do"] == "install":
                value = (self.offer(host, at), host.get("force") == "true")
            self.entries.append(Entry(at, host["do"], value))
        self.until = max(self.until, at)


def duration(text: str) -> int:
    """Read an exact length of time; a day is 24 hours here."""
    number, unit = text.split()
    return int(number) * (EXACT | {"day": DAY, "week": 7 * DAY})[unit.removesuffix("s")]


def read_story(text: str) -> Story:
    """Read a scenario file."""
    given = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - plain scalars stay strings
    first = given["license"]
    story = Story(
        id=first.get("id", "LICENSE-1"),
        policy=given["policy"],
        zone=first.get("zone", "UTC"),
        mail=given.get("mail", "policy"),
        spread=duration(given.get("spread", "0 minutes")),
    )
    expires = story.expires(first.get("expires"))
    story.key = Key(first["type"], expires, story.zone, 0)
    story.start = story.until = story.instant(given["start"])
    issued = story.instant(first["issued"]) if "issued" in first else story.start
    story.key = Key(first["type"], expires, story.zone, issued)
    for entry in given.get("timeline") or []:
        story.read(entry)
    if "until" in given:
        story.until = story.instant(given["until"])
    return story


def _ms(moment: dt.datetime) -> int:
    return (moment.replace(tzinfo=moment.tzinfo or dt.UTC) - dates.EPOCH) // dates.MS
