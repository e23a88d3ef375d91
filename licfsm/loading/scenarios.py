"""Scenarios from YAML: a file's sections, with their times turned into instants, become a story.

All mistakes of a file are gathered: first those of form, then, if there are none, those that only the
whole shows (an unknown zone, entries that go back in time, a host that acts while it sleeps).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, Final

import attrs

from licfsm import instants
from licfsm.errors import InvalidFile, InvalidValue, Mistake
from licfsm.instants import NEVER, Span
from licfsm.key import LATEST_EXPIRY, LicenseKey
from licfsm.loading.document import Place, Section, nearest, quoted, read_document
from licfsm.loading.policies import is_policy
from licfsm.loading.scenario_file import (
    EntrySection,
    ExpectSection,
    HostSection,
    ScenarioFile,
    ServerSection,
    When,
    WorldSection,
    as_when,
    hooks,
)
from licfsm.loading.structure import structure
from licfsm.scenario.story import NOW, Entry, Expect, HostDoes, Offer, ServerAnswers, Story, WorldChanges

__all__ = ["load_scenario", "scenario_files"]

_EARLIEST_EXPIRY: Final = dt.date(1000, 1, 1)


def scenario_files(paths: list[str]) -> list[Path]:
    """List the files that paths name: files in the order given, folders recursively and sorted.

    A policy that lies in a folder is no scenario, and is left out.
    """
    found: list[Path] = []
    for name in paths:
        path = Path(name)
        if _is_folder(path):
            files = (entry for entry in path.rglob("*") if entry.suffix in {".yaml", ".yml"} and entry.is_file())
            found += sorted(entry for entry in files if not is_policy(entry))
        else:
            found.append(path)
    return found


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False  # a name that cannot be one; reading it will say so


def load_scenario(path: Path, name: str | None = None, *, until: str | None = None) -> Story:
    """Load a scenario file.

    Args:
        path: the file.
        name: how the user named it; its path by default.
        until: when the story ends, whatever it says itself; written as times are in a scenario.

    Raises:
        InvalidFile: with all that is wrong in it.
        InvalidValue: ``until`` is no time, or lies before the story's start.

    """
    shown = name or str(path)
    document = read_document(path, shown)
    loaded, mistakes = structure(document, ScenarioFile, shown, hooks(path.parent), parts="timeline")
    resolver = _Resolver(loaded, document, path, shown, mistakes)
    story = resolver.story()
    return story if until is None else resolver.cut(story, until)


class _Resolver:
    """Turns what a file says into a story, and gathers what is wrong with the whole."""

    def __init__(self, loaded: ScenarioFile, document: Section, path: Path, name: str, mistakes: list[Mistake]) -> None:
        self.loaded = loaded
        self.document = document
        self.path = path
        self.name = name
        self.mistakes = mistakes
        self.policies = [loaded.policy]
        self.policies += [entry.world.policy for entry in loaded.timeline if entry.world and entry.world.policy]
        self.zone = loaded.license.zone
        self.start: int | None = None
        self.expiry = NEVER
        self.at = 0
        self.clocks: list[tuple[int, When, int]] = []

    def wrong(self, place: Place, message: str) -> None:
        self.mistakes.append(Mistake(self.name, *place, message))

    def story(self) -> Story:
        loaded = self.loaded
        key = self.key()
        self.expiry = key.expires_at
        start = self.start = self.instant(loaded.start)
        if loaded.license.issued is None:
            key = attrs.evolve(key, issued=instants.from_ms(start, self.zone))
        entries = self.entries(start)
        end = self.end(start, entries)
        self.check_clocks(end)
        if self.mistakes:
            raise InvalidFile(self.mistakes)
        return Story(
            name=str(loaded.scenario or self.path.stem),
            file=self.name,
            policy=loaded.policy,
            key=key,
            spread=Span(ms=loaded.spread.ms) if loaded.spread else Span(),
            mail=None if loaded.mail == "policy" else str(loaded.mail),
            jobs=loaded.jobs,
            start=start,
            end=end,
            end_place=self.last_time().place,
            entries=entries,
            never=loaded.never,
            reaches=loaded.reaches,
            places={what: self.document.keys_at[what] for what in ("never", "reaches") if what in self.document}
            | {"type": self.document["license"].values_at["type"]},
        )

    def cut(self, story: Story, until: str) -> Story:
        at = self.instant(as_when(until))
        if self.mistakes:
            raise InvalidValue(self.mistakes[0].message)
        if at < story.start:
            message = f"{instants.isoformat(at)} lies before the start of the story, {instants.isoformat(story.start)}"
            raise InvalidValue(message)
        return attrs.evolve(story, end=at, entries=tuple(entry for entry in story.entries if entry.at <= at))

    def end(self, start: int, entries: tuple[Entry, ...]) -> int:
        last = max([start, *(entry.at for entry in entries)])
        if not self.loaded.until:
            return last
        end = self.instant(self.loaded.until)
        if end < last:
            self.wrong(self.loaded.until.place, f"the story ends before its last entry, {instants.isoformat(last)}")
        return end

    def last_time(self) -> When:
        """Say which time in the file is the story's last."""
        loaded = self.loaded
        return loaded.until or (loaded.timeline[-1].at if loaded.timeline else loaded.start)

    def check_clocks(self, end: int) -> None:
        """Make sure that the host's clock, set forward, stays within the calendar until it is set again."""
        ends = [at for at, _, _ in self.clocks[1:]] + [end]
        for (at, written, shown), until in zip(self.clocks, ends, strict=False):
            if shown + max(0, until - at) > instants.LATEST:
                self.wrong(written.place, "the host's clock would run past the year 9500 before the story ends")

    def check_type(self, kind: str | None, place: Place) -> None:
        for policy in self.policies:
            if kind is not None and kind not in policy.grace:
                message = f"policy {policy.name} knows no license type {quoted(kind)}; {nearest(kind, policy.grace)}"
                self.wrong(place, message)
                return

    def key(self) -> LicenseKey:
        """Make the first key; where its dates are wrong, one without them."""
        section = self.loaded.license
        self.check_type(section.type, self.document["license"].values_at["type"])
        wrong = len(self.mistakes)
        expires = self.expiration(section.expires)
        issued = self.instant(section.issued) if section.issued else None
        sound = len(self.mistakes) == wrong
        return LicenseKey(
            id=str(section.id),
            type=str(section.type),
            zone=self.zone,
            expires=(instants.from_ms(expires, self.zone) if isinstance(expires, int) else expires) if sound else None,
            issued=instants.from_ms(issued, self.zone) if sound and issued is not None else None,
            product=section.product,
            edition=section.edition,
            holder=section.holder,
        )

    def instant(self, when: When) -> int:
        """Turn a written time into an instant; 0 where it is wrong."""
        found = self.date_or_instant(when)
        return instants.start_of_day(found, self.zone) if isinstance(found, dt.date) else found

    def expiration(self, when: When | None) -> dt.date | int | None:
        """Turn a written expiry into the last valid day, an instant, or None for perpetual."""
        found = None if when is None else self.date_or_instant(when)
        if when and found is not None:
            day = found if isinstance(found, dt.date) else instants.wall(found, self.zone).date()
            if day < _EARLIEST_EXPIRY:
                self.wrong(when.place, f"expiry {day} lies before the year {_EARLIEST_EXPIRY.year}")
            if day > LATEST_EXPIRY:
                self.wrong(when.place, f"expiry {day} lies after {LATEST_EXPIRY}; leave it out for a perpetual key")
        return found

    def date_or_instant(self, when: When) -> dt.date | int:
        try:
            at: dt.date | int
            if when.base == "start":
                if self.start is None:
                    self.wrong(when.place, "'start' has no meaning here; write a time")
                    return 0
                at = self.start
            elif when.base == "expiry":
                if self.expiry == NEVER:
                    self.wrong(when.place, "'expiry' has no meaning here: the first key has none; write a time")
                    return 0
                at = self.expiry
            elif when.base == "now":
                self.wrong(when.place, "'now' has a meaning as signed_time only; write a time")
                return 0
            else:
                at = instants.parse_instant(when.base, self.zone)
            for sign, span in when.steps:
                begin = instants.start_of_day(at, self.zone) if isinstance(at, dt.date) else at
                at = span.after(begin, self.zone, sign)
                if not instants.EARLIEST <= at <= instants.LATEST:
                    self.wrong(when.place, "the time lies outside the years 1000 to 9500")
                    return 0
        except InvalidValue as error:
            self.wrong(when.place, str(error))
            return 0
        return at

    def entries(self, start: int) -> tuple[Entry, ...]:
        found: list[Entry] = []
        previous, asleep_until = start, instants.EARLIEST
        sections = self.document.get("timeline") or ()
        for section, entry in zip(sections, self.loaded.timeline, strict=True):
            before = len(self.mistakes)
            at = self.at = self.instant(entry.at)
            if len(self.mistakes) == before:
                if at < previous:
                    earlier = "the start" if previous == start else "the entry before"
                    self.wrong(entry.at.place, f"goes back in time: {earlier} is at {instants.isoformat(previous)}")
                previous = max(previous, at)
            things = self.things(section, entry)
            if not things:
                self.wrong(section.place, "the entry says nothing; give it a server, host, world or expect")
            if entry.host:
                if at < asleep_until:
                    until = instants.isoformat(asleep_until)
                    self.wrong(section.keys_at["host"], f"the host is suspended until {until}, it can do nothing")
                elif entry.host.do == "suspend" and entry.host.until:
                    asleep_until = self.instant(entry.host.until)
                    if asleep_until <= at:
                        self.wrong(entry.host.until.place, "a suspend must end after it began")
            found += [Entry(at, thing, section.place) for thing in things]
        return tuple(found)

    def things(self, section: Section, entry: EntrySection) -> list[ServerAnswers | HostDoes | WorldChanges | Expect]:
        things: list[ServerAnswers | HostDoes | WorldChanges | Expect] = []
        if entry.server:
            things.append(self.server(entry.server, section["server"]))
        if entry.world:
            things += self.world(entry.world, section["world"])
        if entry.host:
            things.append(self.host(entry.host, section["host"], section.values_at["host"]))
        if entry.expect:
            things.append(Expect(self.expected(entry.expect, section["expect"])))
        return things

    def offer(self, given: ServerSection | HostSection, section: Any) -> Offer:
        if given.type is not None:
            self.check_type(given.type, section.values_at["type"])
        issued = self.at if given.issued is None else self.instant(given.issued)
        kind = None if given.type is None else str(given.type)
        return Offer(self.expiration(given.expires), kind, issued, stated=given.issued is not None)

    def refuse(self, section: Any, fields: tuple[str, ...], where: str) -> None:
        for field in fields:
            if isinstance(section, Section) and field in section:
                self.wrong(section.keys_at[field], f"{field!r} goes with {where} only")

    def server(self, given: ServerSection, section: Any) -> ServerAnswers:
        offer = None
        if given.answer == "new_key":
            offer = self.offer(given, section)
        else:
            self.refuse(section, ("expires", "type", "issued"), "the answer new_key")
        signed: int | None = None
        if given.signed_time:
            plain_now = given.signed_time.base == "now" and not given.signed_time.steps
            signed = NOW if plain_now else self.instant(given.signed_time)
        return ServerAnswers(
            str(given.answer),
            offer,
            given.retry_after.ms if given.retry_after else None,
            given.takes.ms if given.takes else 0,
            signed,
        )

    def host(self, given: HostSection, section: Any, place: Place) -> HostDoes:
        action = str(given.do)
        offer = None
        if action == "install":
            offer = self.offer(given, section)
        else:
            self.refuse(section, ("expires", "type", "issued", "force"), "do: install")
        if action == "suspend":
            if given.until is None:
                self.wrong(place, "'until' is missing: when does the host wake up?")
        else:
            self.refuse(section, ("until",), "do: suspend")
        until = self.instant(given.until) if given.until and action == "suspend" else 0
        return HostDoes(action, offer, given.force, until)

    def world(self, given: WorldSection, section: Section) -> list[WorldChanges]:
        changes: list[WorldChanges] = []
        for field in section:
            if field == "clock" and given.clock:
                shown = self.instant(given.clock)
                self.clocks.append((self.at, given.clock, shown))
                changes.append(WorldChanges(clock=shown))
            elif field == "policy" and given.policy:
                changes.append(WorldChanges(policy=given.policy))
            elif field == "mail" and given.mail:
                changes.append(WorldChanges(mail=given.mail == "up"))
            elif field == "target" and given.target:
                changes.append(WorldChanges(target=given.target == "ok"))
        return changes

    def expected(self, given: ExpectSection, section: Section) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for field in section:
            value = getattr(given, field)
            if field == "allows":
                for job, allowed in (value or {}).items():
                    if job not in self.loaded.jobs:
                        known = nearest(job, self.loaded.jobs) if self.loaded.jobs else "the scenario names no jobs"
                        self.wrong(section["allows"].keys_at[job], f"unknown job {quoted(job)}; {known}")
                    values[f"allows.{job}"] = allowed
            elif isinstance(value, When):
                values[field] = self.instant(value)
            else:
                values[field] = str(value) if isinstance(value, str) else value
        return values
