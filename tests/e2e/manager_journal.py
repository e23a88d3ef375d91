"""The first claim: a manager's journal, entry after entry, leads the plain model to what was told, stored and said.

The reader looks into the store's file by itself, past everything that is claimed about it, and knows from the world
how the clock was really moved.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from manager_model import MINUTE, JournaledLife, Options, SignedKey, iso
from manager_world import ISSUER, Broken, Jump, World

from licfsm import License, instants
from licfsm.adapters.clock import ManualClock
from licfsm.adapters.keys import TrustedKeys
from licfsm.host.codec import decode_event, decode_policy

TRUST = TrustedKeys.of(ISSUER.public)
CALM = MINUTE
"""A clock that moves by less was not set."""

Row = dict[str, Any]


def equal(what: str, expected: object, found: object) -> None:
    """See that two things are the same; of mappings, what differs is told."""
    if expected != found:
        if isinstance(expected, dict) and isinstance(found, dict):
            names = [name for name in expected | found if expected.get(name) != found.get(name)]
            expected, found = ({name: some.get(name) for name in names} for some in (expected, found))
        message = f"{what}\n  expected {expected!r}\n  found    {found!r}"
        raise Broken(message)


def shown(row: Row) -> str:
    """Write a journal entry in a line."""
    moves = ", ".join(f"{source} -> {target}" for _, _, source, target, *_ in json.loads(row["moves"] or "[]"))
    outcome = f" = {row['outcome']}" if row["outcome"] else ""
    return f"{row['seq']} {iso(row['at'])} {row['license']} {row['event']} {row['details'] or ''}{outcome} [{moves}]"


def adjusted(life: JournaledLife, at: int) -> bool:
    """7.5: say whether the clock stands less than a minute behind the latest time: adjusted, not set.

    In a host the memory follows the clock where a license takes a step; what was shown for some seconds before is
    not held against the clock.
    """
    return 0 < life.memory - at < CALM


def moved(jumps: list[Jump]) -> tuple[int, bool]:
    """Say how far the clock moved otherwise than by running, and whether the host slept."""
    return sum(jump.by for jump in jumps), sum(jump.by for jump in jumps if jump.slept) >= CALM


class Reader:
    """Reads a manager's store, and feeds the model.

    Attributes:
        lives: the model's licenses, by id.
        rows, notices, sessions: all that was ever read, also what was removed since.
        there: when the host was last seen to be there, by its clock: at its latest entry, or tick.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lives: dict[str, JournaledLife] = {}
        self.rows: list[Row] = []
        self.notices: list[Row] = []
        self.sessions: list[Row] = []
        self.there: int | None = None
        self.step = 0
        self.began_at = 0
        self._options = Options("policy", (), 0)
        self._policy_name = ""
        self._engine: dict[str, License] = {}
        self._noticed: dict[str, int] = {}
        self._away_since: int | None = None
        self._stepped: set[str] = set()
        self._opening = False
        self._signed: dict[int, str] = {}
        self._policies: dict[str, Row] = {}
        self._lock = threading.Lock()
        self._store: sqlite3.Connection | None = None

    def query(self, text: str, *values: object) -> list[Row]:
        """Read the store."""
        with self._lock:
            if self._store is None:
                self._store = sqlite3.connect(self.path, check_same_thread=False)
                self._store.row_factory = sqlite3.Row
            return [dict(row) for row in self._store.execute(text, values).fetchall()]

    def close(self) -> None:
        if self._store is not None:
            self._store.close()

    def signed(self, number: int) -> str:
        """Find a key's text, and see that its signature can be trusted."""
        if number not in self._signed:
            (row,) = self.query("SELECT signed FROM keys WHERE id = ?", number)
            TRUST.verify(row["signed"])
            self._signed[number] = row["signed"]
        return self._signed[number]

    def policy(self, digest: str) -> Row:
        if digest not in self._policies:
            (self._policies[digest],) = self.query("SELECT * FROM policies WHERE digest = ?", digest)
        return self._policies[digest]

    # ------------------------------------------------------------------------------------ entries

    def opened(self, world: World) -> None:
        """Read what opening led to."""
        self._noticed = dict.fromkeys(self.lives, 0)
        self._stepped = set()
        self._opening, self._away_since = True, self.there
        self.began_at = world.now
        self.read(world)
        for license_id in self.lives:
            self._come_back(license_id, world.now)
        self._opening = False
        self.there = world.now

    def read(self, world: World) -> None:
        """Feed the model with what has happened since it was read last."""
        last = self.rows[-1]["seq"] if self.rows else 0
        for row in self.query("SELECT * FROM journal WHERE seq > ? ORDER BY seq", last):
            equal("the number of the next journal entry", last + 1, row["seq"])
            last = row["seq"]
            self.rows.append(row)
            if not self.began_at <= row["at"] <= world.now:
                broken(row, f"the clock stood between {iso(self.began_at)} and {iso(world.now)}")
            self._hear(world, row)
            self.there = row["at"]
        self._compare_notices()
        self._compare_sessions()

    def _hear(self, world: World, row: Row) -> None:
        details = json.loads(row["details"]) if row["details"] else {}
        license_id, event = row["license"], row["event"]
        if event == "added":
            return
        if event == "opened":
            self._options = Options(details["mail"] or "policy", tuple(details["targets"]), details["spread"])
            self._policy_name = self.policy(details["policy"])["name"]
            for life in self.lives.values():
                life.adapt(self._options)
                self._adapt(life)
            return
        if "key" in details:
            details["key"] = SignedKey.read(self.signed(details["key"]))
        if "policy" in details:
            details["policy"] = self.policy(details["policy"])["name"]
        if event == "first_installed":
            life = self.lives[license_id] = JournaledLife(details["key"], self._policy_name, row["at"], self._options)
            self._noticed[license_id] = len(world.jumps)
        else:
            life = self.lives[license_id]
            self._notice(world, row, details)
            before = len(life.transitions), len(life.checks)
            life.hear(event, row["at"], details)
            _compare_entry(row, life, *before)
        self._step_engine(row, life)

    # ------------------------------------------------------------------------------------ the clock

    def _notice(self, world: World, row: Row, details: Row) -> None:
        """7.3, 7.5: that the clock was set, the host slept or was off, is told as it was."""
        license_id, event = row["license"], row["event"]
        if self._opening:
            if event == "clock_stepped":
                self._stepped.add(license_id)
                if row["at"] - details["by"] != self._away_since:
                    broken(row, f"the host was last there at {iso(self._away_since or 0)}")
            elif event not in {"policy_changed", "target_named"}:
                self._come_back(license_id, row["at"])
        elif event == "clock_stepped":
            self._find(world, row, (details["by"], details.get("interrupted", False)))
        else:
            before = [
                jump for jump in self.unnoticed(world, license_id) if jump.step < self.step or jump.to <= row["at"]
            ]
            self._notice_silently(license_id, before, row["at"])

    def _come_back(self, license_id: str, at: int) -> None:
        """7.3: a host that was off noticed the time that passed, also where nothing came of it."""
        if license_id not in self._stepped and self._away_since is not None:
            self._stepped.add(license_id)
            self._silently(license_id, at, at - self._away_since, interrupted=True)

    def _find(self, world: World, row: Row, told: tuple[int, bool]) -> None:
        """Find the jumps that were noticed together; what came before them was, without anything coming of it."""
        license_id, jumps = row["license"], world.jumps
        for first in range(self._noticed[license_id], len(jumps)):
            for last in range(first + 1, len(jumps) + 1):
                if moved(jumps[first:last]) == told:
                    self._noticed[license_id] = last
                    return
        broken(row, f"the clock was moved otherwise: {self.unnoticed(world, license_id)}")

    def unnoticed(self, world: World, license_id: str) -> list[Jump]:
        """Name the jumps that the host has not noticed yet, as far as anybody knows."""
        return world.jumps[self._noticed[license_id] :]

    def is_set_unnoticed(self, world: World) -> bool:
        """7.5: say whether the clock was set, or the host slept, since the host last looked: its next start tells."""
        jumps = [moved(self.unnoticed(world, license_id)) for license_id in self.lives]
        return any(slept or abs(by) >= CALM for by, slept in jumps)

    def _notice_silently(self, license_id: str, jumps: list[Jump], at: int) -> None:
        self._noticed[license_id] += len(jumps)
        by, slept = moved(jumps)
        if slept or abs(by) >= CALM:
            self._silently(license_id, at, by, interrupted=slept)

    def _silently(self, license_id: str, at: int, by: int, *, interrupted: bool) -> None:
        """Have the model notice what is not in the journal: nothing may come of it."""
        life = self.lives[license_id]
        before = len(life.transitions), len(life.notifications), life.attempts, life.next_check()
        life.hear("clock_stepped", at, {"by": by, "interrupted": interrupted})
        after = len(life.transitions), len(life.notifications), life.attempts, life.next_check()
        equal(f"{license_id}: what comes of a clock that moved by {by} at {iso(at)}, untold", after, before)

    def look(self, world: World, *, ticked: bool) -> None:
        """7.5: a host that looked at the clock noticed what it shows; one that ticks remembers it."""
        for license_id, life in self.lives.items():
            self._notice_silently(license_id, self.unnoticed(world, license_id), world.now)
            if ticked:
                life.run_to(world.now)
        if ticked:
            self.there = world.now

    # ------------------------------------------------------------------------------------ comparing

    def _adapt(self, life: JournaledLife) -> None:
        lic = self._engine[life.key.id]
        lic.mail = None if self._options.mail == "policy" else self._options.mail
        lic.targets, lic.offset = self._options.targets, life.offset

    def _step_engine(self, row: Row, life: JournaledLife) -> None:
        """Step a bare license of the engine through the entry: it must stand where the model stands."""
        event = decode_event(
            row["event"],
            row["details"],
            lambda number: TRUST.verify(self.signed(number)),
            lambda digest: decode_policy(self.policy(digest)["document"]),
        )
        clock = ManualClock(row["at"])
        if row["event"] == "first_installed":
            self._engine[row["license"]] = License(event.key, life.policy, clock=clock)
            self._adapt(life)
        lic = self._engine[row["license"]]
        lic.clock = clock
        lic.step(event, row["at"])
        expected = life.seen_at(row["at"]) | {"deadline": life.deadline, "attempt": life.attempts}
        found = {
            "text": lic.status,
            "entitlement": lic.state.entitlement,
            "auto_update": lic.state.auto_update,
            "days_remaining": lic.days_remaining,
            "next_check": None if lic.next_check is None else instants.to_ms(lic.next_check),
            "job_warning": lic.job_warning,
            "deadline": None if lic.record.give_up_at == instants.NEVER else lic.record.give_up_at,
            "attempt": lic.record.attempt,
        }
        later = row["event"] in {
            "policy_changed",
            "target_named",
        }  # told before the time that passed, and was remembered, is
        brings = later or expected["entitlement"] != life.entitlement  # what the clock brings comes with the next step
        if brings:
            expected |= {"entitlement": life.entitlement}
        if brings or adjusted(life, row["at"]):
            for name in ("text", "days_remaining", "job_warning"):
                del expected[name], found[name]
        equal(f"engine and model after journal entry {shown(row)}", expected, found)

    def _compare_notices(self) -> None:
        """8.2: what is to be told is what the model tells, once on each channel."""
        last = self.notices[-1]["seq"] if self.notices else 0
        rows = self.query("SELECT * FROM outbox WHERE seq > ? ORDER BY seq", last)
        self.notices += rows
        found = Counter((row["license"], row["at"], row["channel"], row["name"]) for row in rows)
        expected: Counter[tuple[str, int, str, str]] = Counter()
        for license_id, life in self.lives.items():
            expected.update((license_id, at, channel, name) for at, channel, name in life.notifications)
            life.notifications.clear()
        equal("notices", sorted((expected - found).elements()), sorted((found - expected).elements()))

    def _compare_sessions(self) -> None:
        """8.1: every check leaves an entry, when it is over."""
        last = self.sessions[-1]["seq"] if self.sessions else 0
        rows = self.query("SELECT * FROM sessions WHERE seq > ? ORDER BY seq", last)
        self.sessions += rows
        for license_id, life in self.lives.items():
            found = [
                (row["attempt"], row["started_at"], row["outcome"]) for row in rows if row["license"] == license_id
            ]
            equal(f"sessions of {license_id}", life.ended, found)
            life.ended.clear()


def broken(row: Row, why: str) -> NoReturn:
    message = f"journal entry {shown(row)}: {why}"
    raise Broken(message)


def _compare_entry(row: Row, life: JournaledLife, moves: int, checks: int) -> None:
    expected = [(due, region, source, target) for _, due, region, source, target in life.transitions[moves:]]
    found = [(due, region, source, target) for region, _, source, target, due, _ in json.loads(row["moves"] or "[]")]
    equal(f"transitions of journal entry {shown(row)}", expected, found)
    outcomes = [outcome for *_, outcome in life.checks[checks:]] or [None]
    equal(f"outcome of journal entry {shown(row)}", outcomes[0], row["outcome"])
