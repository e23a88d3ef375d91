"""Random lives of licenses in a manager, the same for the same seed, and how they are lived.

A life is a setting and its steps, plain values that do not depend on one another: what is left of a life when steps
are dropped is a life as well, so that one that breaks a claim can be shrunk.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manager_claims import Claims
from manager_journal import shown
from manager_model import DAY, HOUR, MINUTE, OUTCOMES, SECOND, TYPES
from manager_world import Broken, Step, World

ZONES = ("UTC", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")
POLICIES = ("veeam-9", "veeam-9", "veeam-8", "veeam-13")
DATES = ("announce", "expiring", "expiry", "deadline", "grace")
FAILURES = tuple(outcome for outcome in OUTCOMES if outcome not in {"new_key", "up_to_date", "contract_terminated"})
BAD = ("stranger", "changed", "cut", "id", "product", "type")
PLACES = ("ask", "write", "deliver", "commit", "begin")
START = 1_738_368_000_000  # 2025-02-01


@dataclass
class Story:
    """A life: where it begins, and what happens."""

    setting: dict[str, Any]
    steps: list[Step]


def write(seed: int, length: int) -> Story:
    """Write the life of a seed."""
    return Writer(random.Random(seed)).write(length)  # noqa: S311 - nothing is secret


class Writer:
    """Writes one life."""

    def __init__(self, rng: random.Random) -> None:
        self.pick, self.between, self.random = rng.choice, rng.randint, rng.random
        self.choices = rng.choices
        self.licenses = [f"ACME-{number}" for number in range(1, self.pick((1, 1, 2, 3)) + 1)]
        self.clocks = self.pick((0, 0, 1, 4))

    def write(self, length: int) -> Story:
        options = {
            "policy": self.pick(POLICIES),
            "mailed": self.random() < 0.85,
            "mail_repeat": self.pick((None, None, "on_change", "every_failure", "none")),
            "spread": self.pick(("0 minutes", "1 hour", "90 seconds")),
            "keep": self.pick(("400 days", "400 days", "3 days")),
            "targets": self.targets(),
        }
        start = START + self.between(0, 1000) * DAY + self.pick((0, self.between(0, DAY), 23 * HOUR + 59 * MINUTE))
        steps: list[Step] = []
        for license_id in self.licenses:
            if self.random() < 0.95:
                first = self.key() | {"days": self.pick((-40, -10, 0, 1, 7, 8, 14, 30)), "zone": self.pick(ZONES)}
                steps.append(("install", license_id, first, False))
            if self.random() < 0.8:
                steps.append(("enable", license_id))
        while len(steps) < length:
            steps.append(self.step())
        return Story({"start": start, "licenses": self.licenses, "options": options}, steps)

    def targets(self) -> tuple[str, ...]:
        return self.pick(((), ("backup",), ("backup", "enterprise"), ("enterprise",)))

    def step(self) -> Step:
        kinds = {
            self.tick: 24,
            self.time: 22,
            self.clock: 2 * self.clocks,
            self.command: 16,
            self.server: 14,
            self.together: 6,
            self.world: 5,
            self.restart: 4,
            self.kill: 4,
            self.during: 2,
            self.disk: 2,
        }
        return self.choices(list(kinds), list(kinds.values()))[0]()

    def license(self) -> str:
        return self.pick(self.licenses)

    def span(self) -> int:
        """Give a length of time, from seconds to months."""
        unit, most = self.pick(((SECOND, 90), (MINUTE, 90), (HOUR, 30), (DAY, 10), (DAY, 45)))
        return self.between(1, most) * unit

    def tick(self) -> Step:
        chance = self.random()
        if chance < 0.5:
            return ("hop", self.pick((HOUR, DAY, 8 * DAY, 60 * DAY)), self.random() < 0.85)
        return ("tick", chance < 0.9)

    def time(self) -> Step:
        if self.random() < 0.4:
            offset = self.pick((0, 0, 1, -1, -HOUR, 4 * MINUTE, 6 * MINUTE, self.between(-DAY, DAY)))
            return ("near", self.license(), self.pick(DATES), offset)
        return (self.pick(("pass", "pass", "pass", "sleep")), self.span())

    def clock(self) -> Step:
        back = self.random() < 0.6
        span = self.pick((self.span(), 20 * SECOND, 50 * MINUTE, 61 * MINUTE, 25 * HOUR, 3 * DAY, 40 * DAY))
        return ("set", -span if back else span)

    def command(self) -> Step:
        chance, license_id = self.random(), self.license()
        if chance < 0.3:
            return ("enable", license_id)
        if chance < 0.42:
            return ("disable", license_id)
        if chance < 0.65:
            return ("check_now", license_id, self.pick((None, 5.0)))
        says = self.key()
        if self.random() < 0.25:
            says["bad"] = self.pick(BAD)
        return ("install", license_id, says, self.random() < 0.4)

    def key(self) -> dict[str, Any]:
        """Say what a key is like: one that expires later, at the same time, earlier or never."""
        says: dict[str, Any] = {
            "days": self.pick((0, 0, 1, 14, 28, 31, 90, 365, -1, -20)),
            "form": self.pick(("day", "day", "day", "instant", "never")),
        }
        if says["form"] == "instant":
            says["time"] = self.pick((0, 2 * HOUR, 9 * HOUR + 250, self.between(0, DAY - 1)))
        if self.random() < 0.3:
            says["today"] = True
        if self.random() < 0.3:
            says["type"] = self.pick(TYPES)
        if self.random() < 0.3:
            says["counts"] = {"sockets": self.between(1, 3)}
        if self.random() < 0.15:
            says["zone"] = self.pick(ZONES)
        if self.random() < 0.3:
            says["issued"] = self.pick((-HOUR, -DAY, -30 * DAY, 1, DAY))
        return says

    def server(self) -> Step:
        answer = self.choices(("up_to_date", "new_key", "contract_terminated", "fails"), (18, 26, 5, 51))[0]
        reply: dict[str, Any] = {"answer": self.pick(FAILURES) if answer == "fails" else answer}
        if answer == "new_key":
            reply["key"] = self.key()
            if self.random() < 0.5:
                reply["key"] |= {"days": self.pick((1, 14, 31, 365)), "form": "day", "issued": 0, "today": False}
            if self.random() < 0.15:
                reply["key"]["bad"] = self.pick(BAD)
        if self.random() < 0.2:
            reply["retry_after"] = self.pick((-1, 0, 10 * MINUTE, 2 * HOUR, 72 * HOUR, 10**15))
        if self.random() < 0.3:
            reply["time"] = self.pick((0, 0, 0, 59 * MINUTE, -59 * MINUTE, 61 * MINUTE, -2 * HOUR, -3 * DAY))
        if self.random() < 0.2:
            reply["takes"] = self.pick((SECOND, 30 * SECOND, 10 * MINUTE, 5 * HOUR))
        if self.random() < 0.06:
            reply["sleeps"] = self.span()
        if self.random() < 0.05:
            reply["raises"] = "no route to host"
        elif self.random() < 0.03:
            reply["nonsense"] = self.pick((None, "up_to_date", 42))
        return ("server", self.license(), reply)

    def together(self) -> Step:
        threads = [[self.threaded() for _ in range(self.between(1, 4))] for _ in range(self.between(2, 4))]
        return ("together", *(("several", *steps) if len(steps) > 1 else steps[0] for steps in threads))

    def threaded(self) -> Step:
        """Give what a thread does beside others."""
        if self.random() < 0.35:
            return ("tick", self.random() < 0.8)
        name, *rest = self.command()
        return ("check_now", rest[0], self.pick((None, 0.02))) if name == "check_now" else (name, *rest)

    def during(self) -> Step:
        steps = [self.command() for _ in range(self.pick((1, 1, 2)))]
        steps = [("check_now", step[1], None) if step[0] == "check_now" else step for step in steps]
        return ("during", self.pick(("ask", "ask", "write", "deliver")), *steps)

    def world(self) -> Step:
        mood = self.pick(("ok", "ok", "fails", "raises"))
        return ("mail", mood) if self.random() < 0.4 else ("target", self.pick(("backup", "enterprise")), mood)

    def restart(self) -> Step:
        off = self.pick((0, 0, self.span(), self.span(), -self.span() if self.clocks else 0))
        changes: dict[str, Any] = {}
        if self.random() < 0.4:
            changes["policy"] = self.pick(POLICIES)
        if self.random() < 0.2:
            changes["targets"] = self.targets()
        if self.random() < 0.15:
            changes["mail_repeat"] = self.pick((None, "on_change", "none"))
        if self.random() < 0.1:
            changes["keep"] = self.pick(("400 days", "3 days"))
        return ("restart", self.pick(("close", "kill")), off, changes)

    def kill(self) -> Step:
        place = self.pick(PLACES)
        step = ("tick", True) if place in {"ask", "write", "deliver"} or self.random() < 0.6 else self.command()
        return ("kill", place, self.pick((1, 1, 2, 3)), step)

    def disk(self) -> Step:
        return ("disk", ("tick", True) if self.random() < 0.6 else self.command())


class Failed(Exception):
    """A life broke a claim at a step."""

    def __init__(self, number: int, step: Step, tail: list[str], why: str) -> None:
        """Tell it."""
        super().__init__(f"step {number}, {step!r}\n{why}\nthe journal's latest entries:\n  " + "\n  ".join(tail))
        self.number = number


def live(story: Story, folder: Path) -> int:
    """Live a life, and tell how many steps it had.

    Raises:
        Failed: a claim does not hold.

    """
    path = folder / "licenses.db"
    claims = Claims(path)
    number, step = 0, ("open",)
    world: World | None = None
    try:
        setting = story.setting
        world = World(path, setting["start"], setting["licenses"], dict(setting["options"]), claims)
        for number, step in enumerate([*story.steps, *healed(setting["licenses"])], 1):  # noqa: B007 - told below
            claims.begin(world)
            world.do(step)
            claims.check(world)
        number, step = number + 1, ("the end",)
        claims.finish(world)
    except Exception as error:
        tail = [shown(row) for row in claims.rows[-12:]]
        why = str(error) if isinstance(error, Broken) else f"{type(error).__name__}: {error}"
        raise Failed(number, step, tail, why) from error
    finally:
        if world is not None:
            world.manager.close()
        claims.close()
    return number


def healed(licenses: list[str]) -> Iterator[Step]:
    """Let everything work again, until nothing waits."""
    yield ("mail", "ok")
    yield ("target", "backup", "ok")
    yield ("target", "enterprise", "ok")
    for license_id in licenses:
        yield ("server", license_id, {"answer": "up_to_date"})
    for _ in range(4):
        yield ("tick", True)
        yield ("pass", 61 * MINUTE)
    yield ("tick", True)


def smaller(story: Story) -> Iterator[Story]:
    """Drop steps of a life: many at once, then one by one."""
    size = len(story.steps) // 2
    while size:
        for at in range(len(story.steps) - size, -1, -size):
            yield Story(story.setting, story.steps[:at] + story.steps[at + size :])
        size //= 2


def failure(story: Story) -> Failed | None:
    """Live a life in a folder of its own, and give what it fails by."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            live(story, Path(folder))
        except Failed as failed:
            return failed
    return None


def shrink(story: Story) -> Story:
    """Find the smallest life that still fails."""
    found = failure(story)
    while found is not None:
        story = Story(story.setting, story.steps[: found.number])
        for less in smaller(story):
            found = failure(less)
            if found is not None:
                story = less
                break
        else:
            return story
    return story
