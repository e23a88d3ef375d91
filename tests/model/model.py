"""A plain model of the rules: a discrete-event simulation that shares no code with the engine.

It exists to disagree: where the engine and this model tell a story differently, one of them misreads rules.md.
`live` plays a scenario file's text; what is around the license (true time, sleep, what changes outside) is here,
the license itself in life.py, its dates in dates.py, what it tells in telling.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dates import iso
from life import Life
from scenario import Entry, Story, read_story


@dataclass
class Lived:
    """What came of a story, in true time but for the due times, which are the host's clock's.

    Transitions are (at, due, region, source, target), checks (at, asked, due, outcome), notifications
    (at, channel, name).
    """

    transitions: list[tuple[int, int, str, str, str]]
    checks: list[tuple[int, int, int, str]]
    notifications: list[tuple[int, str, str]]
    final: dict[str, Any]


def live(text: str) -> Lived:
    """Live through a scenario file's text."""
    return World(read_story(text)).live()


class World:
    """Everything around the license."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.life = Life(story)
        self.policy = story.policy
        self.wakes_at: int | None = None
        self.slept_at = 0

    def live(self) -> Lived:
        entries = list(self.story.entries)
        now = self.story.start
        while now <= self.story.until:
            here = [entry for entry in entries if entry.at == now]
            entries = [entry for entry in entries if entry.at > now]
            self.instant(now, here)
            times = [self.next_due(), entries[0].at if entries else None]
            later = [max(time, now) for time in times if time is not None]
            now = min(later, default=self.story.until + 1)
        self.pass_time(self.story.until)
        life = self.life
        (status, warning), check = life.texts(), life.next_check()
        final = {
            "entitlement": life.entitlement,
            "auto_update": life.auto_update,
            "status": status,
            "warning": warning,
            "days_remaining": life.days_remaining(),
            "next_check": None if check is None else iso(check),
        }
        return Lived(life.transitions, life.checks, life.notifications, final)

    def pass_time(self, now: int) -> None:
        """7.5: only a host that runs sees its clock."""
        if self.wakes_at is None:
            self.life.run_to(now)
        else:
            self.life.now = now

    def next_due(self) -> int | None:
        """When something happens by itself next, in true time."""
        life = self.life
        if self.wakes_at is not None:
            return self.wakes_at
        clocked = (life.entitlement_due(), life.announce_due(), life.next_check(), life.target_retry_at)
        times = [time - life.shift for time in clocked if time is not None]
        if life.attempt:
            times.append(life.attempt.arrives)
        return min(times, default=None)

    def instant(self, now: int, entries: list[Entry]) -> None:
        """7.1: first what changes outside, then what is due, then what the host does."""
        self.pass_time(now)
        clock_before = self.life.clock
        for entry in entries:
            if entry.outside:
                self.change(entry)
        if self.wakes_at is not None and self.wakes_at <= now:
            self.wakes_at = None
            self.due(self.life.clock - self.slept_at, woke=True)
        elif self.wakes_at is None:
            self.due(self.life.clock - clock_before)
        for entry in entries:
            if not entry.outside:
                self.act(entry)

    def change(self, entry: Entry) -> None:
        """Something changes outside; a host that sleeps learns of it when it wakes."""
        life, value = self.life, entry.value
        if entry.kind == "server":
            life.offer = value
        elif entry.kind == "clock":
            life.shift = value - life.now
        elif entry.kind == "policy":
            self.policy = value
            if self.wakes_at is None:
                life.change_policy(value)
        elif entry.kind == "target":
            life.target_ok = value == "ok"
        else:
            life.mail_up = value == "up"

    def due(self, stepped: int, *, woke: bool = False) -> None:
        """2.5: a policy that changed in sleep first; 7.2: then changes of entitlement, then at most one question."""
        life = self.life
        life.deliver()
        life.change_policy(self.policy)
        if stepped or woke:
            life.clock_stepped(stepped)
        life.clock_brings()
        if woke:
            life.ask_again(self.slept_at)
        life.answer_if_here()
        if life.target_retry_at is not None and life.target_retry_at <= life.clock:
            life.write_target()
        life.ask_what_is_due()
        life.settle()

    def act(self, entry: Entry) -> None:
        """6, 7.3: the host does something."""
        life = self.life
        if entry.kind == "suspend":
            self.wakes_at, self.slept_at = entry.value, life.clock
        elif entry.kind == "install":
            offer, force = entry.value
            life.install(offer, force=force)
        elif entry.kind == "restart":
            life.ask_again()
        else:
            {"enable": life.enable, "disable": life.disable, "check_now": life.check_now}[entry.kind]()
        life.settle()
