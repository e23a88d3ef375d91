"""The plain model's license: both regions, its questions, its clock (rules.md 2 to 7).

One object whose methods do at once what a rule says. `now` is true time, `clock` is what the host's clock shows.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from dates import DAY, HOUR, MINUTE, SECOND, Key, add_days, days_until
from scenario import Offer, Story
from telling import CHANNELS, NOTICES, Telling

RETRY = {"connection_failed": 60 * MINUTE} | dict.fromkeys(
    ("generation_failed", "request_refused", "unsupported_type", "answer_rejected", "key_rejected"), 24 * HOUR
)
"""4.1: the failures after which the server is asked again, and when."""

PROVES_NOTHING = ("connection_failed", "request_refused", "answer_rejected")
"""7.6: outcomes without an accepted answer."""


@dataclass
class Attempt:
    """A question under way.

    `origin` is Off or AutoUpdateDisabled where it was begun there (6.3), else None; `start` is by the host's clock.
    """

    asked: int
    start: int
    due: int
    offer: Offer
    origin: str | None
    by_user: bool
    spread: bool

    @property
    def arrives(self) -> int:
        """When the answer comes, in true time."""
        return self.asked + self.offer.takes


class Life(Telling):
    """One license, from its first sight on."""

    def __init__(self, story: Story) -> None:
        super().__init__(story.mail, story.start)
        self.zone, self.policy, self.key = story.zone, story.policy, story.key
        self.transitions: list[tuple[int, int, str, str, str]] = []
        self.checks: list[tuple[int, int, int, str]] = []
        self.offer = Offer("up_to_date", at=story.start)
        self.target_ok = True
        # 2.5: what the dates say, without a transition; a new license is Off
        self.state = {"entitlement": self.key.state(self.now, self.policy), "auto_update": "Off"}
        self.held = False
        self.attempt: Attempt | None = None
        self.next_question = self.retry = 0
        self.deadline = self.key.retry_until
        self.excused = False
        self.disabled_by: str | None = None
        self.target_retry_at: int | None = None
        self.target_told_at: int | None = None
        self.memory = self.now
        self.unproved: int | None = None
        self.went_back = False
        digest = hashlib.sha256(story.id.encode()).digest()
        self.offset = int.from_bytes(digest[:8], "big") % story.spread if story.spread else 0  # 3.6

    @property
    def entitlement(self) -> str:
        return self.state["entitlement"]

    @property
    def auto_update(self) -> str:
        return self.state["auto_update"]

    @property
    def judged(self) -> int:
        """7.5: entitlement is judged at the later of the clock and the remembered latest time."""
        return max(self.clock, self.memory)

    def move(self, region: str, target: str, due: int | None = None) -> None:
        source = self.state[region]
        if source != target:
            self.state[region] = target
            self.transitions.append((self.now, self.clock if due is None else due, region, source, target))

    # ------------------------------------------------------------------------------------ what is observed

    def next_check(self) -> int | None:
        """3.5: the earlier of the next question and the give-up deadline."""
        if self.auto_update not in {"Scheduled", "Retrying"}:
            return None
        return self.next_question if self.deadline is None else min(self.next_question, self.deadline)

    def days_remaining(self) -> int | None:
        """1.7: to expiry in Valid and Expiring, to the end of grace in Grace, 0 in FreeMode."""
        deadline = self.key.grace_until(self.policy) if self.entitlement == "Grace" else self.key.expiry
        if deadline is None:
            return None
        return 0 if self.entitlement == "FreeMode" else days_until(self.judged, deadline, self.zone)

    def texts(self) -> tuple[str, str | None]:
        """2.4: the license information, and the warning on jobs."""
        left = self.days_remaining()
        days = "1 day" if left == 1 else f"{left} days"
        if self.entitlement == "FreeMode":
            return "Expired", None
        if self.entitlement == "Grace":
            warning = f"License key has expired, {days} of grace period remaining"
            return f"Expired ({days} of grace period remaining)", warning
        return "Valid" if left is None else f"Valid ({days} until expiration)", None

    # ------------------------------------------------------------------------------------ entitlement

    def entitlement_due(self) -> int | None:
        """2.2: when the clock brings the next change."""
        grace_until = self.key.grace_until(self.policy)
        dates = {"Valid": self.key.expiring_at, "Expiring": self.key.expiry, "Grace": grace_until}
        return dates.get(self.entitlement)

    def clock_brings(self) -> None:
        """7.2: every change of entitlement that the clock brings, in the order of their due times."""
        while (due := self.entitlement_due()) is not None and due <= self.judged:
            graceless = self.key.grace_until(self.policy) is None
            after = {"Valid": "Expiring", "Expiring": "FreeMode" if graceless else "Grace", "Grace": "FreeMode"}
            self.move("entitlement", after[self.entitlement], due)
            self.held = False

    def derive(self) -> None:
        """2.5: what the dates say, in one step."""
        self.move("entitlement", self.key.state(self.judged, self.policy))

    def announce_due(self) -> int | None:
        """When the coming expiry is to be told; None after expiry, if it was, or if it waits for an answer."""
        if self.entitlement in NOTICES or self.held or "expiring" in self.told:
            return None
        return self.key.announce_at(self.policy)

    def notice(self) -> str | None:
        """8.2: what is true now and to be told once per key."""
        if self.entitlement in NOTICES:
            return NOTICES[self.entitlement]
        announce_at = self.key.announce_at(self.policy)
        return "expiring" if announce_at is not None and announce_at <= self.judged else None

    def untold(self) -> bool:
        return self.notice() not in {None, *self.told}

    def settle(self) -> None:
        """8.2: a state is told once per key; 7.2: if it is true after the question of its instant is answered."""
        self.held = self.held and self.attempt is not None
        notice = self.notice()
        if notice and notice not in self.told and not self.held:
            self.told.add(notice)
            self.tell(notice)

    def change_policy(self, policy: str) -> None:
        """2.5: the dates are derived anew, and that is told."""
        if policy != self.policy:
            self.policy = policy
            self.tell("policy_changed")
            self.derive()

    def adopt(self, key: Key) -> None:
        """4.4: a key is in force; 5.2: it brings its own deadline; 8.2: what was told of the old one is forgotten."""
        self.key = key
        self.deadline = key.retry_until
        if self.deadline is not None and self.deadline <= self.clock:
            self.deadline = self.clock + 24 * HOUR
        self.excused = self.held = False
        self.told.clear()
        self.derive()
        self.tell("key_installed")
        self.target_told_at = None
        self.write_target()

    def write_target(self) -> None:
        """4.4: tried again every 60 minutes; 8.2: told once, mailed again after 24 hours at the earliest."""
        self.target_retry_at = None if self.target_ok else self.clock + HOUR
        first = self.target_told_at is None
        if not self.target_ok and self.clock - (self.target_told_at or 0) >= DAY:
            self.tell("install_target_failed", CHANNELS if first else ("mail",))
            self.target_told_at = self.clock

    # ------------------------------------------------------------------------------------ questions

    def cadence(self, start: int) -> int:
        """3.1, 3.2: weekly in Valid, but no later than expiring_at, else daily; 3.6: spread."""
        days = 7 if self.entitlement == "Valid" else 1
        due = add_days(start, days, self.zone)
        if self.entitlement == "Valid" and self.key.expiring_at is not None:
            due = min(due, self.key.expiring_at)
        return due + self.offset

    def excuse_lateness(self) -> None:
        """5.2: a deadline found more than five minutes late moves, once per key."""
        if self.deadline is not None and self.clock - self.deadline > 5 * MINUTE and not self.excused:
            self.excused = True
            self.deadline = self.clock + 24 * HOUR

    def ask_what_is_due(self) -> None:
        """7.2: one question, due at the earliest that was missed; 3.6: spread if it is the cadence's."""
        while (due := self.next_check()) is not None and due <= self.clock:
            self.held = self.untold()
            self.excuse_lateness()
            self.ask(due, spread=self.auto_update == "Scheduled" and due == self.next_question)

    def ask(self, due: int, *, origin: str | None = None, by_user: bool = False, spread: bool = False) -> None:
        self.move("auto_update", "Checking", due)
        self.attempt = Attempt(self.now, self.clock, due, self.offer, origin, by_user, spread)
        self.answer_if_here()

    def ask_again(self, slept_at: int | None = None) -> None:
        """7.3: an interrupted question is asked again; 5.2: late only if the deadline passed while the host slept."""
        if (attempt := self.attempt) is None:
            return
        if attempt.origin is None and slept_at is not None and self.deadline is not None and slept_at < self.deadline:
            self.excuse_lateness()
        self.held = self.held or self.untold()
        attempt.asked, attempt.start, attempt.offer = self.now, self.clock, self.offer
        self.answer_if_here()

    def answer_if_here(self) -> None:
        if self.attempt and self.attempt.arrives <= self.now:
            self.answer(self.attempt)
            self.settle()

    def answer(self, attempt: Attempt) -> None:
        """4.1: what an answer leads to; 7.6: a signed time comes before anything else of it."""
        self.heed_signed_time(attempt.offer)
        outcome, key = self.judge(attempt.offer)
        self.checks.append((self.now, attempt.asked, attempt.due, outcome))
        self.attempt = None
        resumes = False
        if key:
            resumes = self.resumes(key) and attempt.origin == "AutoUpdateDisabled"
            self.adopt(key)
        failed = outcome not in {"new_key", "up_to_date"}
        last = not key and self.deadline is not None and self.clock >= self.deadline
        if resumes:
            self.recover()
            self.resume()
        elif attempt.origin:  # 6.3: returns there, whatever the answer
            self.move("auto_update", attempt.origin)
            if failed:
                self.tell_failure(outcome, by_user=attempt.by_user, in_run=False)
            else:
                self.recover()
        elif outcome == "contract_terminated":  # 4.1; 6.5: also as a last answer
            self.give_up("contract", failed=failed)
        elif last:  # 5.1: every outcome but new_key
            self.give_up("deadline", failed=failed)
        elif failed:
            self.fail(outcome, attempt)
        else:
            self.recover()
            self.move("auto_update", "Scheduled")
            start = attempt.start - self.offset if attempt.spread else attempt.start
            self.next_question = self.cadence(min(start, self.clock))  # 3.3, 3.6

    def judge(self, offer: Offer) -> tuple[str, Key | None]:
        """4.3: the outcome in effect, and the key if it is accepted."""
        if offer.answer != "new_key":
            return offer.answer, None
        key = offer.key(self.key)
        if key.same_as(self.key) or key.issued <= self.key.issued:
            return "up_to_date", None
        return ("key_rejected", None) if key.expires_before(self.key) else ("new_key", key)

    def fail(self, outcome: str, attempt: Attempt) -> None:
        """4.2: asked again after the outcome's interval, or the server's between its bounds, from the start."""
        self.move("auto_update", "Retrying")
        wanted = attempt.offer.retry_after
        self.retry = RETRY[outcome] if wanted is None else min(max(wanted, 60 * SECOND), 24 * HOUR)
        self.next_question = min(attempt.start, self.clock) + self.retry
        self.tell_failure(outcome, by_user=attempt.by_user, in_run=True)

    def give_up(self, why: str, *, failed: bool) -> None:
        """5.1, 5.3: it switches itself off, and its mail stands in place of the failure's."""
        self.move("auto_update", "AutoUpdateDisabled")
        self.disabled_by = why
        if failed:
            self.tell("update_failed", ("report", "log"))
        self.tell("auto_update_disabled")
        self.end_run()

    def resumes(self, key: Key) -> bool:
        """6.5: whether a key that replaces the installed one resumes what the deadline has disabled."""
        return self.disabled_by == "deadline" and self.key.expires_before(key)

    def resume(self) -> None:
        """6.5, 7.6: automatic update goes on by cadence, counted from now, and says so."""
        self.disabled_by = None
        self.tell("auto_update_resumed")
        if self.attempt:  # 6.5: what the answer returns to is as if it had been so before
            self.attempt.origin = None
            return
        self.move("auto_update", "Scheduled")
        self.next_question = self.cadence(self.clock)

    # ------------------------------------------------------------------------------------ the user

    def enable(self) -> None:
        """6.1, 6.4: asks at once, or makes the check under way the enabling one; 5.2: past the deadline."""
        begun_off = self.attempt is not None and self.attempt.origin is not None
        if self.auto_update not in {"Off", "AutoUpdateDisabled"} and not begun_off:
            return
        if self.deadline is not None and self.clock >= self.deadline:
            self.deadline = self.clock + 24 * HOUR
        self.disabled_by = None
        self.end_run()
        if self.attempt:
            self.attempt.origin, self.attempt.by_user = None, False
        else:
            self.ask(self.clock)

    def disable(self) -> None:
        """6.2: an answer that has not come yet is ignored; 4.2: the run ends untold."""
        self.attempt = self.disabled_by = None
        self.move("auto_update", "Off")
        self.end_run()

    def check_now(self) -> None:
        """6.3: asks once, and remembers where it came from."""
        if not self.attempt:
            off = self.auto_update in {"Off", "AutoUpdateDisabled"}
            self.ask(self.clock, origin=self.auto_update if off else None, by_user=True)

    def install(self, offer: Offer, *, force: bool) -> None:
        """6.5: a key installed by hand; 4.3: an earlier expiry needs force."""
        key, old = offer.key(self.key), self.key
        if key.same_as(old) or (key.expires_before(old) and not force):
            return
        if old.issued < key.issued < self.clock < self.memory - HOUR:  # 7.6
            self.memory = self.clock
            self.correct()
        resumes, later = self.resumes(key), old.expires_before(key)
        self.adopt(key)
        disabled = "AutoUpdateDisabled" in {self.auto_update, self.attempt and self.attempt.origin}
        if disabled and resumes:
            self.resume()
        elif self.auto_update == "Scheduled" or (self.auto_update == "Retrying" and later):
            self.move("auto_update", "Scheduled")
            self.next_question = self.cadence(self.clock)

    # ------------------------------------------------------------------------------------ the clock

    def remember(self) -> None:
        """7.5: the memory follows the clock, but for a jump that is not confirmed."""
        if self.unproved is None and self.clock >= self.memory:
            self.memory = self.clock
            self.went_back = False

    def run_to(self, now: int) -> None:
        """7.5: the host runs; an hour of that confirms a jump."""
        if self.unproved is not None:
            self.unproved -= now - self.now
            self.unproved = self.unproved if self.unproved > 0 else None
        self.now = now
        self.remember()

    def clock_stepped(self, by: int) -> None:
        """7.5: the clock changed otherwise than by running."""
        came_back = self.unproved is not None and by < -HOUR
        if came_back:
            self.unproved = None
        if self.clock > self.memory + (DAY if came_back else 0) and (by > DAY or came_back):
            self.unproved = HOUR
        self.remember()
        if came_back:
            self.correct()
        self.clock_brings()
        if self.clock < self.memory - HOUR and not self.went_back:
            self.went_back = True
            self.tell("clock_went_back")
            if self.auto_update not in {"Off", "Checking"}:
                self.held = self.untold()
                disabled = self.auto_update == "AutoUpdateDisabled"
                if not disabled:
                    self.excuse_lateness()
                self.ask(self.clock, origin=self.auto_update if disabled else None)

    def heed_signed_time(self, offer: Offer) -> None:
        """7.5, 7.6: a signed time within an hour of the clock sets the memory right, or confirms a jump."""
        signed = self.now if offer.signed_time == "now" else offer.signed_time
        if not isinstance(signed, int) or offer.answer in PROVES_NOTHING or abs(signed - self.clock) > HOUR:
            return
        self.unproved = None
        if signed < self.memory - HOUR:
            self.memory = self.clock
            self.correct()
        self.remember()

    def correct(self) -> None:
        """7.6: both states and the deadline are derived anew; a state that stays is not told again."""
        before = self.entitlement
        self.went_back = False
        self.tell("clock_corrected")
        self.derive()
        stays = self.entitlement == before or {self.entitlement, before} == {"Valid", "Expiring"}
        self.told &= {self.notice()} if stays else set()
        ahead = self.key.retry_until is None or self.key.retry_until > self.clock
        if ahead:
            self.deadline, self.excused = self.key.retry_until, False
        elif self.deadline is not None:  # 5.2: what was granted stands, but no longer than a day by the clock as it is
            self.deadline = min(self.deadline, self.clock + 24 * HOUR)
        if self.disabled_by == "deadline" and ahead:
            self.resume()
        elif self.auto_update == "Scheduled":
            self.next_question = min(self.next_question, self.cadence(self.clock))
        elif self.auto_update == "Retrying":
            self.next_question = min(self.next_question, self.clock + self.retry)
