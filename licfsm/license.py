"""One license as a live object: a key, a policy, a clock, and the two machines that run its life.

It does no I/O. `License.step` takes an event and returns what comes of it; what is due is asked for by
`License.next_due` and done by a `events.Tick`. A host may drive it by these alone; `License.advance`
does so on a clock that can be moved.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, runtime_checkable

import pendulum

from licfsm import effects as fx
from licfsm import events as ev
from licfsm import instants
from licfsm.errors import InvalidValue
from licfsm.handlers import ENTITLEMENT_TIMERS, entitlement_due, first_sight, question_due, take
from licfsm.instants import NEVER, Span
from licfsm.key import LicenseKey
from licfsm.lifecycle import (
    CHECKING,
    FREE_MODE,
    GRACE,
    ROWS,
)
from licfsm.machine import MACHINES
from licfsm.policy import MAIL_REPEATS, Policy, named
from licfsm.ports import Answer, Clock, LicenseServer, Question, Target
from licfsm.record import Record
from licfsm.step import Step, days_text, notice_due

if TYPE_CHECKING:
    from licfsm.explain import Cause, Explanation

__all__ = ["OPERATIONS", "License", "State"]

NO_SPREAD: Final = Span()

OPERATIONS: Final = ("paid", "free", "always")
"""What kinds of operation a host has; ``always`` is never refused, as restoring (rules.md 2.3)."""


class State(NamedTuple):
    """Both states of a license."""

    entitlement: str
    auto_update: str


@runtime_checkable
class MovableClock(Clock, Protocol):
    """A clock that a driver can move."""

    def move_to(self, ms: int) -> None:
        """Set the time, in milliseconds."""
        ...


class License:
    """The life of one license, stepped by events.

    Args:
        key: the verified key in force.
        policy: a built-in policy's name, or a `Policy`.
        clock: tells the time.
        spread: over how long the cadence's questions of many licenses are spread (rules.md 3.6).
        mail: how often failures are mailed, one of `policy.MAIL_REPEATS`; None leaves it to the policy.
        targets: names of what a new key is written to (4.4).
        record: what survived of the license's earlier life; None for a new license.

    Raises:
        InvalidValue: the policy or the mail setting is unknown, or the policy knows no such type.

    """

    __slots__ = ("_arrival", "clock", "dates", "key", "mail", "offset", "policy", "record", "targets")

    def __init__(
        self,
        key: LicenseKey,
        policy: Policy | str,
        *,
        clock: Clock,
        spread: Span | str = NO_SPREAD,
        mail: str | None = None,
        targets: tuple[str, ...] = (),
        record: Record | None = None,
    ) -> None:
        """Take over a license, or begin a new one in the state that its key's dates say (rules.md 2.5)."""
        for name, value, kind in (("key", key, LicenseKey), ("policy", policy, str | Policy), ("clock", clock, Clock)):
            if not isinstance(value, kind):
                message = f"{name} must be a {getattr(kind, '__name__', 'name or a Policy')}; not {value!r}"
                raise InvalidValue(message)
        if mail not in (None, *MAIL_REPEATS):
            message = f"mail must be one of {', '.join(MAIL_REPEATS)}, or None for the policy's; not {mail!r}"
            raise InvalidValue(message)
        self.key = key
        self.policy = named(policy) if isinstance(policy, str) else policy
        self.clock = clock
        self.mail = mail
        self.targets = targets
        self.offset = spread_offset(key.id, Span.parse(spread) if isinstance(spread, str) else spread)
        self.dates = self.policy.dates(key)
        self._arrival: tuple[int, int, Answer] | None = None
        self.record = record or first_sight(key, self.policy, clock.now_ms())

    def __repr__(self) -> str:
        """Show whose it is and where it stands."""
        return f"<License {self.key.id} ({self.key.type}, {self.policy.name}): {' / '.join(self.state)}>"

    # ------------------------------------------------------------------------------------ what is

    @property
    def state(self) -> State:
        """Both states, as of the last step."""
        return State(self.record.entitlement, self.record.auto_update)

    @property
    def machines(self) -> Mapping[str, Any]:
        """The two `transitions.Machine` that run it, by region; shared by all licenses."""
        return MACHINES

    @property
    def judged_at(self) -> int:
        """The time by which entitlement is judged: the later of clock and memory (rules.md 7.5)."""
        return max(self.clock.now_ms(), self.record.latest)

    @property
    def days_remaining(self) -> int | None:
        """Calendar days until expiry, or in Grace until its end; None without expiry (rules.md 1.7)."""
        if self.dates.expires_at == NEVER:
            return None
        state = self.record.entitlement
        if state == FREE_MODE:
            return 0
        deadline = self.dates.grace_until if state == GRACE else self.dates.expires_at
        return instants.days_until(self.judged_at, deadline, self.key.zone)

    @property
    def status(self) -> str:
        """The license information text (rules.md 2.4)."""
        texts, days = self.policy.texts, self.days_remaining
        if self.record.entitlement == FREE_MODE:
            template = texts.expired
        elif self.record.entitlement == GRACE:
            template = texts.grace
        else:
            template = texts.valid_perpetual if days is None else texts.valid
        return template.format(days=days_text(days or 0))

    @property
    def job_warning(self) -> str | None:
        """The warning on every job of the paid version; None outside Grace (rules.md 2.4)."""
        if self.record.entitlement != GRACE:
            return None
        return self.policy.texts.job_warning.format(days=days_text(self.days_remaining or 0))

    @property
    def next_check(self) -> pendulum.DateTime | None:
        """When the server is asked next; None in Off, Checking, AutoUpdateDisabled (rules.md 3.5)."""
        due = question_due(self.record)
        return None if due == NEVER else instants.from_ms(due, self.key.zone)

    @property
    def changes_at(self) -> int:
        """When the clock changes the entitlement next, in milliseconds; NEVER if it does not (rules.md 2.2)."""
        timer = ENTITLEMENT_TIMERS.get(self.record.entitlement)
        return getattr(self.dates, timer[1]) if timer else NEVER

    @property
    def next_change(self) -> pendulum.DateTime | None:
        """When the clock changes the entitlement next; None for never (rules.md 2.2)."""
        return None if self.changes_at == NEVER else instants.from_ms(self.changes_at, self.key.zone)

    def snapshot(self) -> License:
        """Copy it as it stands; what it shares with the copy is never changed by a step."""
        copied = object.__new__(License)
        for name in License.__slots__:
            setattr(copied, name, getattr(self, name))
        return copied

    def at_now(self) -> License:
        """Copy it with the entitlement that the clock has brought since its last step; it itself is left as it is."""
        shown = self.snapshot()
        record = shown.record = self.record.copy()
        judged = self.judged_at
        step = Step(record, self.key, self.policy, self.dates, judged, self.offset, "none", (), judged=judged)
        entitlement_due(step)
        return shown

    def allows(self, operation: str) -> bool:
        """Say whether an operation of a kind may run (rules.md 2.3).

        In `FreeMode` the policy says what still works; what is ``always`` allowed is never refused.

        Args:
            operation: one of `OPERATIONS`.

        Raises:
            InvalidValue: there is no such kind.

        """
        if operation not in OPERATIONS:
            message = f"an operation is one of {', '.join(OPERATIONS)}; not {operation!r}"
            raise InvalidValue(message)
        return (
            self.record.entitlement != FREE_MODE or operation == "always" or operation in self.policy.free_mode_allows
        )

    def events(self) -> tuple[str, ...]:
        """Name the triggers that do something in the present states, guards aside, in the table's order."""
        return tuple(
            dict.fromkeys(
                trigger
                for row in ROWS
                if getattr(self.record, row.region) in row.sources and (row.target or row.effects)
                for trigger in row.triggers
            )
        )

    def next_due(self) -> pendulum.DateTime | None:
        """When something is due next, if nothing happens until then; None for never."""
        due = self.due()
        return None if due == NEVER else instants.from_ms(due, self.key.zone)

    def due(self) -> int:
        """When something is due next, in milliseconds; NEVER where nothing is."""
        record = self.record
        due = min(question_due(record), record.confirm_at)  # what is confirmed is to be remembered, come what may
        notice = notice_due(record, self.dates)
        if notice != NEVER and not record.held:
            if notice <= record.latest:
                return min(record.latest, self.clock.now_ms())  # the memory may be ahead of the clock
            due = min(due, notice)
        timer = ENTITLEMENT_TIMERS.get(record.entitlement)
        if timer and (deadline := getattr(self.dates, timer[1])) < due:
            due = deadline
        if record.writes:
            due = min(due, *(write.retry_at for write in record.writes))
        return due

    def explain(self, history: Sequence[Cause] = ()) -> Explanation:
        """Explain both states: why, what comes next, what the user sees and may do.

        Args:
            history: what led to the states, from whoever kept it; by default the reasons are derived from
                the dates and the last check.

        """
        from licfsm.explain import explain  # wanted by people, not by every start

        return explain(self, history)

    # ------------------------------------------------------------------------------------ what may be done

    def enable(self) -> list[fx.Effect]:
        """Switch automatic update on, and ask at once (rules.md 6.1)."""
        return self.step(ev.Enable(), self.clock.now_ms())

    def disable(self) -> list[fx.Effect]:
        """Switch automatic update off (rules.md 6.2)."""
        return self.step(ev.Disable(), self.clock.now_ms())

    def check_now(self) -> list[fx.Effect]:
        """Ask once, now (rules.md 6.3)."""
        return self.step(ev.CheckNow(), self.clock.now_ms())

    def install(self, key: LicenseKey, *, force: bool = False) -> list[fx.Effect]:
        """Install a verified key by hand; it is in force at once (rules.md 6.5).

        Args:
            key: the key.
            force: also if it expires earlier than the installed one (4.3).

        Raises:
            KeyRejected: the key is refused; nothing changed.

        """
        return self.step(ev.Install(key, force), self.clock.now_ms())

    def advance(
        self,
        to: str | dt.datetime | int,
        *,
        server: LicenseServer | None = None,
        targets: Mapping[str, Target] | None = None,
        observe: Callable[[int, Sequence[fx.Effect]], None] | None = None,
    ) -> list[fx.Effect]:
        """Move the clock on, step by step through every due instant, never over one.

        Args:
            to: until when, inclusive: a datetime, ISO text in the license's zone, or milliseconds.
            server: is asked; without one, a question stays unanswered in Checking.
            targets: name -> what a key is written to; without one, a target counts as written.
            observe: called with each instant (milliseconds) and what came of it, in place of the return value.

        Returns:
            All that came of it, in order; empty with ``observe``.

        Raises:
            InvalidValue: the clock cannot be moved, or is past that time.

        """
        clock = self.clock
        if not isinstance(clock, MovableClock):
            message = "only a clock that can be moved is advanced; on a real one, step by Tick at next_due()"
            raise InvalidValue(message)
        end = to if isinstance(to, int) else _moment(to, self.key)
        if end < clock.now_ms():
            message = f"{instants.isoformat(end)} lies before the clock; time only advances"
            raise InvalidValue(message)
        happened: list[fx.Effect] = []
        note = observe or (lambda _, effects: happened.extend(effects))
        now = clock.now_ms()
        while True:
            arrival = self._under_way(server, now)
            moment = max(self.due(), now)
            if arrival and arrival[0] <= moment:
                moment = arrival[0]
            else:
                arrival = None
            if moment > end:
                break
            if moment != now:
                now = moment
                clock.move_to(now)
            if arrival:
                self._arrival = None
                effects = self.step(_answered(arrival, self.key), now)
            else:
                effects = self.step(ev.Tick(), now)
            note(now, effects)
            if self.record.writes:
                self._write(effects, now, targets or {}, note)
        if end > now:
            clock.move_to(end)
        return happened

    def _under_way(self, server: LicenseServer | None, now: int) -> tuple[int, int, Answer] | None:
        """Ask the question that is open, if nobody has, and give what is on its way: when, attempt, answer."""
        record = self.record
        if record.auto_update != CHECKING:
            self._arrival = None
        elif self._arrival is None or self._arrival[1] != record.attempt:
            self._arrival = None
            if server:
                answer = server.ask(Question(record.attempt, self.key, record.asked_at))
                self._arrival = (now + answer.takes, record.attempt, answer)
        return self._arrival

    def _write(
        self,
        effects: Sequence[fx.Effect],
        now: int,
        targets: Mapping[str, Target],
        note: Callable[[int, Sequence[fx.Effect]], None],
    ) -> None:
        for effect in effects:
            if type(effect) is fx.WriteTarget:
                target = targets.get(effect.target)
                reason = target.write(effect.key) if target else None
                outcome = (
                    ev.TargetFailed(effect.target, effect.key, reason)
                    if reason
                    else ev.TargetWritten(effect.target, effect.key)
                )
                note(now, self.step(outcome, now))

    def step_clock(self, by: int, *, interrupted: bool = False) -> list[fx.Effect]:
        """Tell that the clock moved otherwise than by running, after it did (rules.md 7.3, 7.5).

        Args:
            by: how far, in milliseconds; negative for backward.
            interrupted: whether what was under way is lost, as in a suspend.

        """
        if self._arrival:
            self._arrival = (self._arrival[0] + by, *self._arrival[1:])
        return self.step(ev.ClockStepped(by, interrupted), self.clock.now_ms())

    def step(self, event: ev.Event, now: int) -> list[fx.Effect]:
        """Take one step: on a fresh copy of the record, which an exception discards.

        Args:
            event: what happened.
            now: the host's clock, in milliseconds.

        Returns:
            The facts and effects, in order.

        Raises:
            KeyRejected: a key installed by hand is refused; nothing changed.

        """
        step = Step(
            self.record.copy(),
            self.key,
            self.policy,
            self.dates,
            now,
            self.offset,
            self.mail or self.policy.mail_repeat,
            self.targets,
        )
        take(step, event)
        self.record, self.key, self.policy, self.dates = step.record, step.key, step.policy, step.dates
        return step.out


def spread_offset(license_id: str, spread: Span) -> int:
    """Find a license's part of a spread, in milliseconds (rules.md 3.6).

    Args:
        license_id: whose.
        spread: an exact length of time.

    """
    if not spread.ms:
        return 0
    digest = hashlib.sha256(license_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") % spread.ms


def _answered(arrival: tuple[int, int, Answer], installed: LicenseKey) -> ev.Answered:
    _, attempt, answer = arrival
    key = answer.key(installed) if callable(answer.key) else answer.key
    if isinstance(key, str):
        message = "a License verifies no signed text; answer with the verified key, or use a LicenseManager"
        raise InvalidValue(message)
    return ev.Answered(attempt, answer.outcome, key, answer.retry_after, answer.signed_time)


def _moment(to: str | dt.datetime, key: LicenseKey) -> int:
    if isinstance(to, dt.datetime):
        return instants.to_ms(to) if to.tzinfo else instants.at_wall(to, key.zone)
    found = instants.parse_instant(to, key.zone)
    return found if isinstance(found, int) else instants.start_of_day(found, key.zone)
