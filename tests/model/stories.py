"""Random scenario files, valid ones, the same for the same seed.

Modes: ``plain`` is a bit of everything; ``tame`` leaves the clock, the sleep of the world and older keys alone;
``wild`` sets the clock, changes the world while the host sleeps, and gives times of issue and signed times.
"""

from __future__ import annotations

import datetime as dt
import random

from dates import DAY, HOUR, MINUTE, SECOND, TYPES, Key, at_wall, end_of_day, iso, midnight

MODES = ("plain", "tame", "wild")
ZONES = {
    "UTC": (),
    "Europe/London": ("2025-03-29", "2025-10-25", "2025-03-30"),
    "America/Havana": ("2025-03-08", "2025-11-01", "2025-03-09", "2025-02-22"),
    "Asia/Beirut": ("2025-03-29", "2025-10-25", "2025-10-26", "2022-03-26"),
    "Pacific/Apia": ("2011-12-28", "2011-12-29", "2011-12-30", "2011-12-31", "2012-01-06", "2011-11-30"),
    "Australia/Lord_Howe": ("2025-04-05", "2025-10-04", "2025-04-06"),
    "America/Sao_Paulo": ("2018-02-17", "2018-11-03", "2018-11-04", "2018-10-20"),
    "Africa/Cairo": ("2025-04-24", "2025-04-25", "2025-10-30", "2024-10-31"),
    "Pacific/Chatham": ("2025-04-05", "2025-09-27"),
    "Asia/Kathmandu": (),
    "America/Santiago": ("2025-09-06", "2025-04-05"),
}
"""Zones, with days of expiry around a change of the clocks there."""

ORDINARY = (
    *("2025-01-31", "2024-01-31", "2025-02-28", "2024-02-29", "2025-02-14", "2025-12-31"),
    *("2025-04-30", "2025-11-30", "2025-06-15", "2024-12-29", "2025-08-31", "2023-12-30"),
)
RETRIED = (
    *("connection_failed", "generation_failed", "request_refused"),
    *("unsupported_type", "answer_rejected", "key_rejected"),
)
MANY_RETRIED = (*RETRIED, *("connection_failed",) * 3, *("generation_failed",) * 2)
ANSWERS = ("up_to_date", "new_key", "contract_terminated", "fails")
HOST = ("enable", "disable", "check_now", "restart", "install", "suspend")
STARTS = (-40, -20, -9, -8, -7, -6, -3, -1, 0, 1, 5, 13, 14, 20, 29, 30, 31, 35, 60, 62, 70)
CLOCK_STEPS = (
    *(-40 * DAY, -3 * DAY, -2 * HOUR, -61 * MINUTE, -30 * MINUTE, 0, 0, 0),
    *(30 * MINUTE, 3 * HOUR, 23 * HOUR, 25 * HOUR, 3 * DAY, 40 * DAY),
)

Value = str | dict[str, str]


def story(seed: int, mode: str) -> str:
    """Write the scenario file of a seed."""
    writer = Writer(random.Random(f"{seed} {mode}"), mode)  # noqa: S311 - nothing is secret
    return writer.write(f"random {mode} {seed}")


class Writer:
    """Writes one scenario file."""

    def __init__(self, rng: random.Random, mode: str) -> None:
        self.rng, self.mode = rng, mode
        self.pick, self.between = rng.choice, rng.randint
        self.clocks = self.chance({"plain": 0.08, "tame": 0, "wild": 0.5}[mode])
        self.entries: list[tuple[int, str, Value]] = []
        self.last_day = dt.date.min
        self.near: list[int] = []
        self.at = self.asleep_until = self.changed_at = 0
        self.hurry = self.busy = False

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def write(self, name: str) -> str:
        zone = self.pick(list(ZONES))
        day = self.last_day = dt.date.fromisoformat(
            self.pick(ZONES[zone] if self.chance(0.6 * bool(ZONES[zone])) else ORDINARY)
        )
        policy = self.pick(("veeam-7", "veeam-8", "veeam-9", "veeam-9", "veeam-13", "veeam-13"))
        kind = self.rng.choices(TYPES, (4, 4, 2, 1, 1))[0]
        first = {"id": f"L-{self.between(1, 99999)}", "type": kind, "zone": zone}
        key = Key(kind, day, zone, 0)
        shape = self.rng.random()
        if shape < 0.72:
            first["expires"] = day.isoformat()
        elif shape < 0.93:
            time = self.pick((0, 0, 1, 2, 2, 3, 9, 12, 23)) * HOUR + self.pick((0, 0, 30, 15, 59)) * MINUTE
            key = Key(kind, at_wall(midnight(day) + time + self.pick((0, 0, 250)), zone), zone, 0)
            first["expires"] = iso(key.expiry or 0)
        else:
            key = Key(kind, None, zone, 0)
        start = end_of_day(day, zone) + self.pick(STARTS) * DAY
        start += self.pick((0, 0, self.between(0, 23) * HOUR, self.between(0, DAY), self.between(0, 47) * 30 * MINUTE))
        head = [
            "version: 1",
            f"scenario: {name}",
            f"policy: {policy}",
            f"license: {flow(first)}",
            f"start: {iso(start)}",
        ]
        if self.chance(0.2):
            head.append(f"spread: {self.pick(('10 minutes', '1 hour', '3 hours', '90 seconds'))}")
        if self.chance(0.5):
            head.append(f"mail: {self.pick(('policy', 'every_failure', 'on_change', 'on_change', 'none'))}")
        self.timeline(
            start, [at for at in (key.expiring_at, key.expiry, key.retry_until, key.grace_until(policy)) if at]
        )
        until = max(self.at, self.asleep_until) + self.pick((0, HOUR, DAY, 10 * DAY, 40 * DAY, 75 * DAY))
        body = [f"  - {{at: {iso(at)}, {what}: {flow(value)}}}" for at, what, value in self.entries]
        return "\n".join([*head, f"until: {iso(until)}", "timeline:", *body, ""])

    def timeline(self, start: int, landmarks: list[int]) -> None:
        """Write the entries, often near the dates of the first key."""
        self.at, self.asleep_until = start, start - 1
        offsets = (0, 0, -self.between(1, 3) * HOUR, -MINUTE, 5 * MINUTE, 6 * MINUTE)
        near = self.near = [at + offset for at in landmarks for offset in offsets]
        if self.chance(0.8):
            if self.chance(0.7):
                self.server()
            self.entries.append((start, "host", "enable"))
        for _ in range(self.between(3, 23)):
            ahead = [at for at in near if at > self.at]
            if self.hurry:
                self.at += self.between(1, 240) * MINUTE
            elif self.busy and self.chance(0.4):
                self.at += self.pick((self.between(0, 90), 59, 61)) * MINUTE
            else:
                self.at = self.pick(ahead) if ahead and self.chance(0.22) else self.at + self.span()
            if self.at <= self.asleep_until and self.chance(0.75):
                self.at = self.asleep_until + self.pick((0, 1, MINUTE, HOUR, 2 * DAY))
            self.busy = False
            self.entry()
        if self.hurry:
            self.entries.append((self.at, "server", "up_to_date"))

    def span(self) -> int:
        """Give a length of time, from nothing to months."""
        unit = self.rng.choices((SECOND, MINUTE, HOUR, DAY, 7 * DAY), (1, 3, 5, 8, 3))[0]
        longest = {SECOND: 60, MINUTE: 90, HOUR: 48, DAY: 10, 7 * DAY: 9}[unit]
        return self.between(0, longest) * unit + self.pick((0, 0, self.between(0, min(unit, DAY))))

    def entry(self) -> None:
        chance, asleep = self.rng.random(), self.at < self.asleep_until
        if self.hurry:
            self.server()
        elif self.clocks and self.chance(0.2) and self.at > self.changed_at:
            self.changed_at, self.busy = self.at, True
            self.entries.append((self.at, "world", {"clock": iso(self.at + self.pick(CLOCK_STEPS))}))
        elif chance < 0.36 or (asleep and not (self.mode == "wild" and chance < 0.6)):
            self.server()
        elif chance < 0.86 and not asleep:
            self.host()
        elif self.at > self.changed_at:
            self.changed_at = self.at
            what, values = self.pick(
                (
                    ("policy", ("veeam-7", "veeam-8", "veeam-9", "veeam-13")),
                    ("mail", ("down", "up")),
                    ("target", ("fails", "ok")),
                )
            )
            self.entries.append((self.at, "world", {what: self.pick(values)}))

    def server(self) -> None:
        answer = self.rng.choices(ANSWERS, (17, 23, 5, 55))[0]
        answer = self.pick(MANY_RETRIED) if answer == "fails" else answer
        given = {"answer": answer}
        if answer == "new_key":
            given |= self.key()
        longest, unit = self.pick(((0, 1), (0, 1), (0, 1), (120, SECOND), (90, MINUTE), (90, MINUTE), (8, HOUR)))
        if longest:
            given["takes"] = f"{self.between(1, longest) * unit // SECOND} seconds"
        short = not self.hurry and answer in RETRIED and self.chance(0.25)
        if short:
            minutes = self.pick((0, 1, 10, 120, 24 * 60, 72 * 60))
            given["retry_after"] = f"{minutes} minutes"
            short = minutes < 60  # not a minute's retries for months: another answer soon
        self.hurry = short
        if self.mode == "wild" and self.chance(0.15):
            given["signed_time"] = self.pick(("now", "now", iso(self.at)))
        self.entries.append((self.at, "server", given if len(given) > 1 else answer))

    def host(self) -> None:
        what = self.rng.choices(HOST, (36, 9, 15, 8, 15, 17))[0]
        value: Value = what
        self.busy = what in {"enable", "check_now", "suspend"}  # much may happen before the answer, or in sleep
        if what == "install":
            if self.mode == "tame":
                self.entries.append((self.at, "server", "up_to_date"))  # no standing offer older than it
            value = {"do": what} | self.key() | ({"force": "true"} if self.chance(0.35) else {})
        elif what == "suspend":
            unit, longest = self.pick(((MINUTE, 12), (HOUR, 30), (DAY, 12), (DAY, 80)))
            ahead = [at for at in self.near if self.at < at < self.at + 20 * DAY]
            near = ahead and self.chance(0.4)
            self.asleep_until = self.pick(ahead) if near else self.at + self.between(1, longest) * unit
            value = {"do": what, "until": iso(self.asleep_until)}
        self.entries.append((self.at, "host", value))

    def key(self) -> dict[str, str]:
        """Write what a key says: one that expires later, at the same time, earlier or never."""
        given, shape = {}, self.rng.random()
        if shape > 0.08:
            later = self.pick((1, 7, 14, 28, 30, 31, 60, 90, 365))
            days = later if shape < 0.62 else 0 if shape < 0.8 else -self.pick((1, 5, 20, 40))
            day = self.last_day + dt.timedelta(days=days)
            given["expires"] = day.isoformat()
            if self.chance(0.12):
                given["expires"] += f"T{self.between(0, 23):02}:{self.pick((0, 30, 59)):02}"
            if self.chance(0.5):
                self.last_day = max(day, self.last_day)
        if self.chance(0.3):
            given["type"] = self.pick(TYPES)
        if self.mode == "wild" and self.chance(0.15):
            given["issued"] = iso(self.at - self.pick((0, HOUR, DAY, 30 * DAY)))
        return given


def flow(value: Value) -> str:
    """Write YAML in one line."""
    return (
        "{" + ", ".join(f"{name}: {text}" for name, text in value.items()) + "}" if isinstance(value, dict) else value
    )
