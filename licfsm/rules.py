"""What the guards and effects of the lifecycle's table mean: one small function a name.

A guard reads the `Step`, an effect changes the step's fresh record and adds what is to be told or done.
Nothing here touches the world; numbers in docstrings are rules in rules.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from licfsm import effects as fx
from licfsm.instants import DAY, HOUR, MINUTE, NEVER, SECOND
from licfsm.lifecycle import (
    AUTO_UPDATE_DISABLED,
    CHECKING,
    OFF,
    RETRYING,
    SCHEDULED,
    VALID,
)
from licfsm.record import FailureMail, Record
from licfsm.step import Step, notice_due, tell

__all__ = ["EFFECTS", "EXTENSION", "GUARDS"]

LATE: Final = 5 * MINUTE
"""A deadline found later than this passed unattended (5.2)."""

EXTENSION: Final = 24 * HOUR
"""How long automatic update goes on past a deadline that is not held against the user (5.2)."""

RETRY_AFTER: Final = (60 * SECOND, 24 * HOUR)
"""Within which bounds the server may choose when it is asked again (4.2)."""

_MAIL_AGAIN: Final = 24 * HOUR
_MAIL_AGAIN_LATER: Final = 7 * DAY
_MAIL_REPEATS: Final = 7

_BY_HAND: Final = frozenset({"enable", "check_now"})
"""Questions that the host asks: nothing was due with them that could wait for the answer (7.1)."""


# ---------------------------------------------------------------------------------------------- guards


def has_grace(step: Step) -> bool:
    """2.1: the policy grants this type of license a grace period."""
    return step.dates.grace_until > step.dates.expires_at


def before_expiring(step: Step) -> bool:
    """1.4: Expiring has not begun."""
    return step.judged < step.dates.expiring_at


def before_expiry(step: Step) -> bool:
    """1.1: the key is valid."""
    return step.judged < step.dates.expires_at


def before_grace_end(step: Step) -> bool:
    """1.6: the grace period is not over."""
    return step.judged < step.dates.grace_until


def deadline_reached(step: Step) -> bool:
    """5.2: the give-up deadline is reached or past."""
    return step.now >= step.record.give_up_at


def deadline_ahead(step: Step) -> bool:
    """7.6: the deadline that the dates give lies ahead."""
    return step.dates.retry_until > step.now


def deadline_missed(step: Step) -> bool:
    """5.2: the deadline passed unattended, for the first time with this key."""
    return step.now - step.record.give_up_at > LATE and not step.record.excused


def deadline_missed_away(step: Step) -> bool:
    """5.2, 7.3: the deadline passed unattended while the host was away in mid-check, automatic update being on."""
    return not begun_while_off(step) and step.away_since < step.record.give_up_at and deadline_missed(step)


def last_chance(step: Step) -> bool:
    """5.1: the deadline has come, so this was the last question."""
    return step.now >= step.record.give_up_at


def begun_in_off(step: Step) -> bool:
    """6.3: the check was begun in Off."""
    return step.record.origin == OFF


def begun_in_disabled(step: Step) -> bool:
    """6.3: the check was begun in AutoUpdateDisabled."""
    return step.record.origin == AUTO_UPDATE_DISABLED


def begun_while_off(step: Step) -> bool:
    """6.4: the check was begun in Off or AutoUpdateDisabled."""
    return step.record.origin in {OFF, AUTO_UPDATE_DISABLED}


def disabled_by_deadline(step: Step) -> bool:
    """6.5: the retry deadline disabled automatic update, not the contract."""
    return step.record.disabled_by == "deadline"


def expires_later(step: Step) -> bool:
    """6.5: the new key expires later than the one before."""
    return step.extends


# ---------------------------------------------------------------------------------------------- effects


def ask(step: Step) -> None:
    """Begin an attempt: the question is the state Checking with the attempt's number."""
    record = step.record
    by_cadence = step.trigger == "check_due" and record.auto_update == SCHEDULED and step.due == record.next_at
    record.origin = record.auto_update
    record.by_user = False
    record.asked_due = step.due
    record.held = step.trigger not in _BY_HAND and notice_due(record, step.dates) <= step.judged
    _begin(step, by_cadence=by_cadence)


def ask_again(step: Step) -> None:
    """7.3: begin another attempt in place of the one that is marked interrupted."""
    record = step.record
    record.held = record.held or notice_due(record, step.dates) <= step.judged
    _end_session(step, step.policy.texts.interrupted)
    _begin(step, by_cadence=record.counts_from != record.asked_at)


def _begin(step: Step, *, by_cadence: bool) -> None:
    record = step.record
    record.attempt += 1
    record.asked_at = step.now
    record.counts_from = step.now - step.offset if by_cadence and step.offset else step.now
    record.next_at = NEVER
    step.out.append(fx.Ask(record.attempt))


def _end_session(step: Step, message: str) -> None:
    """8.1: a check that gets no answer leaves its entry as well."""
    record = step.record
    step.out.append(fx.Session(record.attempt, record.asked_at, step.now, "warning", (message,)))


def mark_by_user(step: Step) -> None:
    """8.2: the failure of a check_now is not mailed; the user is looking."""
    step.record.by_user = True


def switch_on(step: Step) -> None:
    """6.1, 6.4: the check that is under way is the enabling one."""
    record = step.record
    record.origin = SCHEDULED
    record.by_user = False
    record.disabled_by = None
    _end_run(record)


def stop(step: Step) -> None:
    """6.2: nothing is due any more; a run of failures ends untold (4.2)."""
    record = step.record
    if record.auto_update == CHECKING:
        _end_session(step, step.policy.texts.called_off)
    record.disabled_by = None
    _end_question(record)
    _end_run(record)


def postpone_deadline(step: Step) -> None:
    """5.2: the give-up deadline moves to 24 hours from now."""
    step.record.give_up_at = step.now + EXTENSION


def excuse(step: Step) -> None:
    """5.2: once per key."""
    step.record.excused = True


def schedule(step: Step) -> None:
    """3.1, 3.2: the next question by cadence, counted from the start of the last attempt."""
    record = step.record
    record.next_at = _by_cadence(step, min(record.counts_from, step.now))
    record.origin = None


def schedule_from_now(step: Step) -> None:
    """6.5: the next question by cadence, counted from now."""
    step.record.next_at = _by_cadence(step, step.now)
    step.record.origin = None


def _by_cadence(step: Step, start: int) -> int:
    cadence, zone = step.policy.cadence, step.key.zone
    if step.record.entitlement == VALID:
        due = min(cadence.valid.after(start, zone), step.dates.expiring_at)
    else:
        due = cadence.expiring.after(start, zone)
    return due + step.offset


def bring_forward(step: Step) -> None:
    """7.6, 2.5: the next question is no later than if it were counted from now."""
    record = step.record
    if record.auto_update == RETRYING:
        if record.asked_at > step.now:  # by a clock that was wrong; the interval stays, also where it is again
            record.next_at -= record.asked_at - step.now
            record.asked_at = step.now
    else:
        record.next_at = min(record.next_at, _by_cadence(step, step.now))


def retry_later(step: Step) -> None:
    """4.2: again after the outcome's interval, or when the server says, from the start of the attempt."""
    record = step.record
    rule = step.policy.outcomes[record.last_outcome]
    asked = record.asked_at = min(record.asked_at, step.now)  # a clock set back in mid-check
    if step.retry_after is not None:
        shortest, longest = RETRY_AFTER
        record.next_at = asked + min(max(step.retry_after, shortest), longest)
    elif rule.retry:
        record.next_at = rule.retry.after(asked, step.key.zone)
    record.origin = None


def resume(step: Step) -> None:
    """6.5, 7.6: automatic update goes on, and says so."""
    step.record.disabled_by = None
    schedule_from_now(step)
    tell(step, "auto_update_resumed", "warning")


def resume_after_check(step: Step) -> None:
    """6.5, 7.6: automatic update goes on when the check under way is answered, and says so."""
    step.record.disabled_by = None
    step.record.origin = SCHEDULED
    tell(step, "auto_update_resumed", "warning")


def note_success(step: Step) -> None:
    """4.2: the first outcome that is no failure ends a run of failures, and that is told."""
    record = step.record
    record.origin = None
    if record.failing:
        tell(step, "recovered", "info", mail=record.mailed is not None)
        _end_run(record)


def note_failure(step: Step) -> None:
    """8.2: a failed check is reported, and mailed as often as wanted."""
    _failure(step, mail=not step.record.by_user and _mail_wanted(step))


def report_failure(step: Step) -> None:
    """8.2: a failed check that makes the engine give up: the mail about that takes the place of its own."""
    _failure(step, mail=False)


def _failure(step: Step, *, mail: bool) -> None:
    record = step.record
    record.failing = record.origin not in {OFF, AUTO_UPDATE_DISABLED}
    record.origin = None
    outcome = record.last_outcome
    last = record.mailed
    if mail:
        again = step.mail_repeat == "on_change" and last is not None and last.outcome == outcome
        record.mailed = FailureMail(outcome, step.now, last.repeats + 1 if last and again else 0)
    tell(step, "update_failed", "warning", mail=mail, reason=_reason(step))


def _reason(step: Step) -> str:
    """8.2: what a failed check came to, and why, where that is known."""
    text = step.policy.outcomes[step.record.last_outcome].text
    return f"{text}: {step.detail}" if step.detail else text


def _mail_wanted(step: Step) -> bool:
    if step.mail_repeat != "on_change":
        return step.mail_repeat == "every_failure"
    last = step.record.mailed
    if last is None or last.outcome != step.record.last_outcome:
        return True
    wait = _MAIL_AGAIN if last.repeats < _MAIL_REPEATS else _MAIL_AGAIN_LATER
    return step.now - last.at >= wait


def give_up_by_deadline(step: Step) -> None:
    """5.1, 5.3: automatic update disables itself, and says so."""
    _give_up(step, "deadline", "the retry period is over and no new license key has come")


def give_up_by_contract(step: Step) -> None:
    """4.1, 5.3: automatic update disables itself, and says so."""
    _give_up(step, "contract", _reason(step))


def _give_up(step: Step, why: str, reason: str) -> None:
    record = step.record
    record.disabled_by = why
    _end_question(record)
    _end_run(record)
    tell(step, "auto_update_disabled", "error", reason=reason)


def _end_question(record: Record) -> None:
    record.next_at = NEVER
    record.origin = None
    record.by_user = False


def _end_run(record: Record) -> None:
    record.failing = False
    record.mailed = None


GUARDS: Final[dict[str, Callable[[Step], bool]]] = {
    guard.__name__: guard
    for guard in (
        has_grace,
        before_expiring,
        before_expiry,
        before_grace_end,
        deadline_reached,
        deadline_ahead,
        deadline_missed,
        deadline_missed_away,
        last_chance,
        begun_in_off,
        begun_in_disabled,
        begun_while_off,
        disabled_by_deadline,
        expires_later,
    )
}
"""Every predicate that the table may name."""

EFFECTS: Final[dict[str, Callable[[Step], None]]] = {
    effect.__name__: effect
    for effect in (
        ask,
        ask_again,
        mark_by_user,
        switch_on,
        stop,
        postpone_deadline,
        excuse,
        schedule,
        schedule_from_now,
        bring_forward,
        retry_later,
        resume,
        resume_after_check,
        note_success,
        note_failure,
        report_failure,
        give_up_by_deadline,
        give_up_by_contract,
    )
}
"""Everything that a row of the table may do."""
