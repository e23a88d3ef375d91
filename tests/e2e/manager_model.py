"""The plain model of tests/model, told of what a manager's journal says happened.

There it plays whole stories on true time; here each entry of the journal is an event, and nothing is done by itself:
an answer comes when the journal says so. What it adds is several targets, keys that are read from what was signed, and
sessions. It shares no code with the engine.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "model"))

from dates import DAY, EPOCH, HOUR, MINUTE, MS, SECOND, TYPES, Key, iso
from life import RETRY, Life
from scenario import Offer, Story
from telling import CHANNELS

OUTCOMES = ("new_key", "up_to_date", "contract_terminated", *RETRY)
ENTITLEMENTS = ("Valid", "Expiring", "Grace", "FreeMode")
BEGINNING = -(10**18)
"""When a key was issued that does not say so."""

__all__ = ["DAY", "HOUR", "MINUTE", "OUTCOMES", "SECOND", "TYPES", "JournaledLife", "Options", "SignedKey", "iso"]


@dataclass(frozen=True)
class SignedKey(Key):
    """A key as its signed text says it."""

    id: str = ""
    product: str = ""
    says: str = ""

    @classmethod
    def read(cls, signed: str) -> SignedKey:
        """Read the middle part of the text; whoever calls knows who signed it."""
        payload = signed.split(".")[1]
        says = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return cls(
            type=says["type"],
            expires=_expiry(says.get("expires")),
            zone=says["zone"],
            issued=_instant(says["issued"]) if "issued" in says else BEGINNING,
            id=says["id"],
            product=says.get("product", ""),
            says=json.dumps(says, sort_keys=True),
        )

    def same_as(self, other: Key) -> bool:
        """4.3: the same if it says the same: another type or other counts make another key."""
        return isinstance(other, SignedKey) and self.says == other.says


def _expiry(text: str | None) -> dt.date | int | None:
    return dt.date.fromisoformat(text) if text and len(text) == len("2025-02-14") else text and _instant(text)


def _instant(text: str) -> int:
    return (dt.datetime.fromisoformat(text) - EPOCH) // MS


@dataclass(frozen=True)
class Given(Offer):
    """An answer, or a key installed by hand, as the journal has it."""

    given: SignedKey | None = None

    def key(self, _: Key) -> Key:
        assert self.given is not None, "a new key comes with its key"
        return self.given


@dataclass(frozen=True)
class Options:
    """What a host chooses when it opens its manager."""

    mail: str
    targets: tuple[str, ...]
    spread: int


@dataclass(frozen=True)
class Owed:
    """4.4: a key that a target does not hold yet, the check that brought it, and whether writing it was begun."""

    retry_at: int
    brought_by: int = 0
    begun: bool = False
    told_at: int | None = None


class JournaledLife(Life):
    """One license, from its first key on."""

    def __init__(self, key: SignedKey, policy: str, at: int, options: Options) -> None:
        story = Story(key.id, policy, key.zone, options.mail, options.spread, start=at, until=at, key=key)
        super().__init__(story)
        self.adapt(options)
        self.attempts = 0
        self.begun = 0
        self.missed: int | None = None
        self.ended: list[tuple[int, int, str | None]] = []
        self.results: dict[int, str] = {}
        self.bringing = self.brought_by = 0
        self.owed: dict[str, Owed] = {}
        self.tell("key_installed")
        self.write_target()
        self.settle()

    def adapt(self, options: Options) -> None:
        """Run as the host says from now on."""
        self.mail = "every_failure" if options.mail == "policy" else options.mail
        self.targets = options.targets
        digest = hashlib.sha256(self.key.id.encode()).digest()
        self.offset = int.from_bytes(digest[:8], "big") % options.spread if options.spread else 0

    # ------------------------------------------------------------------------------------ events

    def hear(self, event: str, at: int, details: dict[str, Any]) -> None:
        """Live through an entry of the journal."""
        if event == "policy_changed":  # 2.5: told when the host opens, before the time that passed is
            self._policy_changed(at, details["policy"])
            return
        if event == "target_named":  # 4.4: likewise; it belongs to no check
            assert details["target"] in self.targets
            self.owed.setdefault(details["target"], Owed(at))
            return
        by = details.get("by", 0)
        self.run_to(at - by)
        self.now = at
        if event == "clock_stepped":
            self._clock_stepped(by, interrupted=details.get("interrupted", False))
        elif event in {"enable", "disable", "check_now"}:
            self.clock_brings()
            getattr(self, event)()
        else:
            getattr(self, f"_{event}")(details)
        self.settle()

    def _policy_changed(self, at: int, policy: str) -> None:
        there, self.now = self.now, at
        self.change_policy(policy)
        if self.auto_update == "Scheduled":  # 3.1: the next question is not later than by the policy's cadence
            self.next_question = min(self.next_question, self.cadence(at))
        self.now = there

    def _clock_stepped(self, by: int, *, interrupted: bool) -> None:
        """7.3, 7.5: the clock was set, the host slept, or it was off."""
        lost = self.attempt if interrupted else None
        self.clock_stepped(by)
        if lost:
            self.ask_again(self.clock - by)
        self.ask_what_is_due()

    def _tick(self, _: dict[str, Any]) -> None:
        """7.2: changes of entitlement, then at most one question; 4.4: targets on their own."""
        self.clock_brings()
        self.ask_what_is_due()
        for target, owed in self.owed.items():
            if owed.retry_at <= self.clock:
                self.owed[target] = replace(owed, retry_at=self.clock + HOUR, begun=True)

    def _install(self, details: dict[str, Any]) -> None:
        """6.5: the same key again changes nothing."""
        if not details["key"].same_as(self.key):
            self.clock_brings()
            self.bringing = 0
            self.install(Given("new_key", self.clock, given=details["key"]), force=details.get("force", False))

    def _answered(self, details: dict[str, Any]) -> None:
        """7.3: an answer belongs to its attempt; late ones are ignored."""
        attempt = self.attempt
        if attempt is None or details["attempt"] != self.attempts:
            return
        self.clock_brings()
        attempt.offer = Given(
            details["outcome"],
            self.clock,
            retry_after=details.get("retry_after"),
            signed_time=details.get("signed_time"),
            given=details.get("key"),
        )
        self.bringing = self.attempts
        self.answer(attempt)
        outcome = self.checks[-1][-1]
        result = "success" if outcome in {"new_key", "up_to_date"} else "failed"
        self._end(outcome, "warning" if outcome == "new_key" and self.owed else result)  # 4.4: until all hold it

    def _target_written(self, details: dict[str, Any]) -> None:
        """4.4: the session is a warning until all targets hold the key."""
        owed = self.owed.pop(details["target"], None) if details["key"].same_as(self.key) else None
        if owed and owed.brought_by not in {other.brought_by for other in self.owed.values()}:
            self._amend(owed.brought_by, "success")

    def _target_failed(self, details: dict[str, Any]) -> None:
        """8.2: told once per target and key, mailed again after 24 hours at the earliest."""
        owed = self.owed.get(details["target"])
        if owed is None or not details["key"].same_as(self.key):
            return
        first = owed.told_at is None
        if first or (self.clock - (owed.told_at or 0) >= DAY and self.mail != "none"):
            self.owed[details["target"]] = replace(owed, told_at=self.clock)
            self.tell("install_target_failed", CHANNELS if first else ("mail",))
        self._amend(owed.brought_by, "warning")

    def _amend(self, attempt: int, result: str) -> None:
        if attempt:
            self.results[attempt] = result

    # ------------------------------------------------------------------------------------ what differs here

    def excuse_lateness(self) -> None:
        self.missed = self.next_check()
        super().excuse_lateness()

    def ask(self, due: int, *, origin: str | None = None, by_user: bool = False, spread: bool = False) -> None:
        missed = None if by_user else self.missed or self.next_check()
        self.missed = None
        if missed is not None and missed <= due:  # 7.2: of two reasons to ask at once, the earlier is told
            due, spread = missed, self.auto_update == "Scheduled" and missed == self.next_question
        super().ask(due, origin=origin, by_user=by_user, spread=spread)
        self.attempts += 1
        self.begun = self.clock

    def ask_again(self, slept_at: int | None = None) -> None:
        if self.attempt:
            self._end(None, "warning")
            super().ask_again(slept_at)
            self.attempts += 1
            self.begun = self.clock

    def answer_if_here(self) -> None:
        """Nothing comes but by the journal."""

    def disable(self) -> None:
        if self.attempt:
            self._end(None, "warning")
        super().disable()

    def _end(self, outcome: str | None, result: str) -> None:
        """8.1: every check leaves a session entry."""
        self.ended.append((self.attempts, self.begun, outcome))
        self.results[self.attempts] = result

    def judge(self, offer: Offer) -> tuple[str, Key | None]:
        """4.3: license and product are ours, and the policy knows the type."""
        if offer.answer == "new_key":
            key = offer.key(self.key)
            if not key.same_as(self.key) and self.foreign(key):
                return "key_rejected", None
        return super().judge(offer)

    def foreign(self, key: Key) -> bool:
        """4.3: whether a key is of another license or product, or of no type that there is."""
        mine = self.key
        assert isinstance(key, SignedKey)
        assert isinstance(mine, SignedKey)
        return (key.id, key.product) != (mine.id, mine.product) or key.type not in TYPES

    def refuses(self, key: SignedKey, *, force: bool) -> bool:
        """6.5: whether installing it by hand is an error to the caller."""
        if key.same_as(self.key):
            return False
        return self.foreign(key) or (key.expires_before(self.key) and not force)

    def adopt(self, key: Key) -> None:
        self.zone, self.brought_by = key.zone, self.bringing
        super().adopt(key)

    def write_target(self) -> None:
        """4.4: each target gets the key."""
        self.owed = {target: Owed(self.clock, self.brought_by) for target in self.targets}

    # ------------------------------------------------------------------------------------ what is observed

    def seen_at(self, clock: int) -> dict[str, Any]:
        """Tell what a user sees at a time at which nothing may have been done yet (7.5)."""
        stored, now = self.state, self.now
        self.state, self.now = dict(stored), clock
        by_dates = self.key.state(self.judged, self.policy)
        self.state["entitlement"] = max(by_dates, self.entitlement, key=ENTITLEMENTS.index)  # no way back but by 7.6
        text, warning = self.texts()
        seen = {
            "text": text,
            "entitlement": self.entitlement,
            "auto_update": self.auto_update,
            "days_remaining": self.days_remaining(),
            "next_check": self.next_check(),
            "job_warning": warning,
        }
        self.state, self.now = stored, now
        return seen
