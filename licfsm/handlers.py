"""What an event leads to: which triggers are fired, in which order, and what a new key or a clock changes.

The order within a step is the order of rules.md 7.1 and 7.2: first the clock's memory, then every change
of entitlement that the clock brings, then what the event itself asks for, then the notice of the state
that is true by then. Numbers in docstrings are rules in rules.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from licfsm import effects as fx
from licfsm import events as ev
from licfsm import instants
from licfsm.errors import InvalidValue, KeyRejected
from licfsm.instants import DAY, HOUR, NEVER
from licfsm.key import LicenseKey, clean_text
from licfsm.lifecycle import (
    AUTO_UPDATE,
    AUTO_UPDATE_DISABLED,
    CHECKING,
    ENTITLEMENT,
    INITIAL,
    OFF,
    TIMERS,
)
from licfsm.machine import fire
from licfsm.policy import OUTCOMES, Policy
from licfsm.record import Record, TargetWrite
from licfsm.rules import EXTENSION
from licfsm.step import Step, forget_told, note_state, notice_due, tell, until_text

__all__ = ["ENTITLEMENT_TIMERS", "entitlement_due", "first_sight", "question_due", "take"]

ENTITLEMENT_TIMERS: Final[Mapping[str, tuple[str, str]]] = {
    state: (timer.trigger, timer.deadlines[0])
    for timer in TIMERS
    if timer.region == ENTITLEMENT
    for state in timer.sources
}
"""Entitlement -> the trigger that the clock brings, and the name of its date."""

ASKING: Final = frozenset(state for timer in TIMERS if timer.region == AUTO_UPDATE for state in timer.sources)
"""The states in which a question is due some time."""

JUMP: Final = DAY
"""A jump forward of more than this is believed only once it is confirmed (7.5)."""

CONFIRM: Final = HOUR
"""How long the clock must have run since a jump to confirm it (7.5)."""

NEAR: Final = HOUR
"""How far a signed time may be from the clock; a step back of more is told (7.5, 7.6)."""

TARGET_RETRY: Final = HOUR
"""How long after an attempt a target is tried again (4.4)."""

TARGET_MAIL_AGAIN: Final = DAY
"""How long after a mail about a target the next may follow (8.2)."""

UNSIGNED: Final = frozenset({"connection_failed", "request_refused", "answer_rejected"})
"""Outcomes without an accepted answer: a time that came with them proves nothing (7.6)."""


def first_sight(key: LicenseKey, policy: Policy, now: int) -> Record:
    """Make the record of a new license: in the state that its key's dates say (2.5)."""
    dates = policy.dates(key)
    record = Record.first(INITIAL[ENTITLEMENT], INITIAL[AUTO_UPDATE], dates.retry_until, now)
    step = Step(record, key, policy, dates, now, 0, "none", (), judged=now)
    fire(step, ENTITLEMENT, "new_key", now)
    return record


def question_due(record: Record) -> int:
    """Find when the server is to be asked next; NEVER where nothing is to be asked (3.5)."""
    if record.auto_update not in ASKING:
        return NEVER
    return min(record.next_at, record.give_up_at)


def take(step: Step, event: ev.Event) -> None:
    """Take a step: change its record and gather what comes of it.

    Raises:
        KeyRejected: a key installed by hand is refused.
        InvalidValue: what happened is no event, or an impossible answer.

    """
    record = step.record
    handler = _HANDLERS.get(type(event))
    if handler is None:
        message = f"{event!r} is no event; see licfsm.events"
        raise InvalidValue(message)
    handler(step, event)
    if record.held and record.auto_update != CHECKING:
        record.held = False
    # A changed policy comes before the question due at that instant, for whose answer notices wait (7.1, 7.2).
    if not record.held and notice_due(record, step.dates) <= step.judged and type(event) is not ev.PolicyChanged:
        note_state(step)
    step.out += step.told


# ---------------------------------------------------------------------------------------------- the clock


def _remember(step: Step) -> None:
    """7.5: the memory follows the clock, but not a jump that is not confirmed."""
    record, now = step.record, step.now
    if now >= record.confirm_at:
        record.confirm_at = NEVER
    if record.confirm_at == NEVER and now >= record.latest:
        record.latest = now
        record.went_back = False
    step.judged = max(now, record.latest)


def entitlement_due(step: Step) -> None:
    """7.2: every change of entitlement that the clock brings, in the order of their due times."""
    record = step.record
    while (timer := ENTITLEMENT_TIMERS.get(record.entitlement)) is not None:
        due: int = getattr(step.dates, timer[1])
        if step.judged < due:
            break
        record.held = False
        fire(step, ENTITLEMENT, timer[0], due)


def _question_due(step: Step) -> None:
    """7.2: at most one question, however many were missed."""
    due = question_due(step.record)
    if due <= step.now:
        fire(step, AUTO_UPDATE, "check_due", due)


def _writes_due(step: Step) -> None:
    """4.4: the targets that do not hold the key yet."""
    for write in step.record.writes:
        if write.retry_at <= step.now:
            _replace_write(step, write, attrs.evolve(write, retry_at=step.now + TARGET_RETRY, under_way=True))
            step.out.append(fx.WriteTarget(write.target, step.key))


def _tick(step: Step, _: ev.Tick) -> None:
    """7.2: what is due, or was missed."""
    _remember(step)
    entitlement_due(step)
    _question_due(step)
    if step.record.writes:
        _writes_due(step)


def _clock_stepped(step: Step, event: ev.ClockStepped) -> None:
    """7.3, 7.5, 7.6: the clock was set, or the host slept."""
    record, now, by = step.record, step.now, event.by
    step.away_since = now - by
    came_back = False
    if now - by >= record.confirm_at:
        record.confirm_at = NEVER
    if record.confirm_at == NEVER:
        if now - by >= record.latest:
            record.latest = now - by
            record.went_back = False
    elif by < -NEAR:
        came_back = True
        record.confirm_at = NEVER
    else:
        record.confirm_at += by
    if (by > JUMP and now > record.latest) or (came_back and now - record.latest > JUMP):
        record.confirm_at = now + CONFIRM
    memory = max(record.latest, now - by)
    _remember(step)
    if came_back:
        _correct(step, memory)
    entitlement_due(step)
    if event.interrupted:
        fire(step, AUTO_UPDATE, "restarted", now)
    _question_due(step)  # what was missed comes first: its deadline is not held against the user (5.2)
    if record.latest - now > NEAR and not record.went_back:
        record.went_back = True
        tell(step, "clock_went_back", "warning", clock=_utc(now), memory=_utc(record.latest))
        fire(step, AUTO_UPDATE, "clock_went_back", now)


def _correct(step: Step, memory: int) -> None:
    """7.6: the memory is right again; both states and the deadline are derived anew from the dates."""
    record, now = step.record, step.now
    record.went_back = False
    step.judged = max(now, record.latest)
    before = record.entitlement
    fire(step, ENTITLEMENT, "clock_corrected", now)
    forget_told(step, before)
    if step.dates.retry_until > now:
        record.give_up_at = step.dates.retry_until
        record.excused = False
    else:
        record.give_up_at = min(record.give_up_at, now + EXTENSION)
    tell(step, "clock_corrected", "warning", clock=_utc(now), memory=_utc(memory))
    fire(step, AUTO_UPDATE, "clock_corrected", now)


def _heal(step: Step) -> None:
    """7.6: the memory is set to the clock, which was proved right."""
    record = step.record
    memory = record.latest
    record.latest = step.now
    record.confirm_at = NEVER
    _correct(step, memory)


def _utc(ms: int) -> str:
    return instants.isoformat(ms)


def _restarted(step: Step, _: ev.Restarted) -> None:
    """7.3: a question under way is asked again at once."""
    step.away_since = step.now
    _remember(step)
    entitlement_due(step)
    fire(step, AUTO_UPDATE, "restarted", step.now)
    _question_due(step)


# ---------------------------------------------------------------------------------------------- the user


_COMMANDS: Final[Mapping[type, str]] = {ev.Enable: "enable", ev.Disable: "disable", ev.CheckNow: "check_now"}


def _command(step: Step, event: ev.Enable | ev.Disable | ev.CheckNow) -> None:
    """6.1 to 6.4: what the user does to automatic update."""
    _remember(step)
    entitlement_due(step)
    fire(step, AUTO_UPDATE, _COMMANDS[type(event)], step.now)


def _install(step: Step, event: ev.Install) -> None:
    """6.5: a key installed by hand is in force at once."""
    record, key, old, now = step.record, event.key, step.key, step.now
    _remember(step)
    if key == old:
        return
    if why := _refusal(step, key, force=event.force):
        raise KeyRejected(why)
    entitlement_due(step)
    proves = old.issued_at < key.issued_at < now
    if proves and record.latest - now > NEAR:
        _heal(step)
    _adopt(step, key, attempt=0)
    place = len(step.told)
    fire(step, AUTO_UPDATE, "installed", now)
    _tell_installed(step, place)


def _first_installed(step: Step, _: ev.FirstInstalled) -> None:
    """4.4, 8.2: the first key is in force already; it goes to the targets, and is told.

    That automatic update is off, as with every first key, only the report says (6.5): a mail is read later, when the
    host has switched it on.
    """
    _remember(step)
    _save(step, attempt=0)
    told = "key_installed_while_off"
    tell(step, "key_installed", "info", report=told, license=step.key.id, until=until_text(step.key))


def _refusal(step: Step, key: LicenseKey, *, force: bool) -> str:
    """4.3: why a key is not accepted; empty where it is."""
    old = step.key
    if key.id != old.id or key.product != old.product:
        return f"the key is for license {key.id} of {clean_text(key.product) or 'no product'}, not for {old.id}"
    if key.type not in step.policy.grace:
        return f"policy {step.policy.name} knows no license type {key.type}"
    if not force and key.expires_at < old.expires_at:
        return "the key expires earlier than the installed one; install it with force if that is wanted"
    return ""


# ---------------------------------------------------------------------------------------------- the server


def _answered(step: Step, event: ev.Answered) -> None:
    """4.1: the answer to the question under way; any other is ignored (7.3)."""
    record, now = step.record, step.now
    _remember(step)
    if record.auto_update != CHECKING or event.attempt != record.attempt:
        return
    entitlement_due(step)
    signed = event.signed_time
    if signed is not None and abs(signed - now) <= NEAR and event.outcome not in UNSIGNED:
        if record.latest - signed > NEAR:
            _heal(step)
        elif record.confirm_at != NEVER:
            record.confirm_at = NEVER
            record.latest = max(record.latest, now)
    outcome, reason = _outcome(step, event)
    rule = step.policy.outcomes[outcome]
    record.last_outcome = outcome
    detail = clean_text(reason or event.detail)
    step.retry_after, step.detail = event.retry_after, "" if detail == rule.text else detail
    asked, due = record.asked_at, record.asked_due
    record.asked_due = asked  # an idle license keeps one number in place of two
    step.out.append(fx.Checked(record.attempt, outcome, rule.failed, asked, due))
    messages: tuple[str, ...] = (rule.text, step.detail) if step.detail else (rule.text,)
    place = len(step.told)
    result = rule.session
    if outcome == "new_key" and event.key:
        texts = step.policy.texts
        messages = (texts.key_received, texts.key_installed, texts.key_updated)
        _adopt(step, event.key, attempt=record.attempt)
        if record.writes:
            result = "warning"  # until every target holds the key (4.4): a kill in between claims nothing
    fire(step, AUTO_UPDATE, rule.reaction, now)
    if outcome == "new_key":
        _tell_installed(step, place)
    step.out.append(fx.Session(record.attempt, asked, now, result, messages))


def _outcome(step: Step, event: ev.Answered) -> tuple[str, str]:
    """4.3: what an answer comes to against the key that is installed when it arrives (6.5), and why a key is refused."""
    key, old = event.key, step.key
    if event.outcome not in OUTCOMES or (event.outcome == "new_key" and key is None):
        message = f"an answer is one of {', '.join(OUTCOMES)}, and new_key comes with its key; got {event.outcome!r}"
        raise InvalidValue(message)
    if event.outcome != "new_key" or key is None:
        return event.outcome, ""
    if key == old:
        return "up_to_date", ""
    if another := _refusal(step, key, force=True):
        return "key_rejected", another
    if key.issued_at <= old.issued_at:
        return "up_to_date", ""
    earlier = _refusal(step, key, force=False)
    return "key_rejected" if earlier else "new_key", earlier


def _adopt(step: Step, key: LicenseKey, attempt: int) -> None:
    """4.4: the key is saved and in force; 5.2: it brings its own deadline."""
    record, now = step.record, step.now
    step.extends = key.expires_at > step.key.expires_at
    step.key = key
    step.dates = step.policy.dates(key)
    record.give_up_at = step.dates.retry_until if step.dates.retry_until > now else now + EXTENSION
    record.excused = False
    record.told = 0
    record.held = False
    _save(step, attempt)
    fire(step, ENTITLEMENT, "new_key", now)


def _save(step: Step, attempt: int) -> None:
    """4.4: the key is saved, and each target is to get it."""
    step.record.writes = tuple(TargetWrite(target, attempt, step.now) for target in step.targets)
    step.out.append(fx.SaveKey(step.key))


def _tell_installed(step: Step, place: int) -> None:
    """8.2: a key was accepted; 6.5: the report says where automatic update is off."""
    record = step.record
    state = record.origin if record.auto_update == CHECKING else record.auto_update
    text = "key_installed_while_off" if state in {OFF, AUTO_UPDATE_DISABLED} else "key_installed"
    later = step.told[place:]
    del step.told[place:]
    tell(step, "key_installed", "info", text=text, license=step.key.id, until=until_text(step.key))
    step.told.extend(later)


# ---------------------------------------------------------------------------------------------- targets, policy


def _replace_write(step: Step, old: TargetWrite, new: TargetWrite | None) -> None:
    others = tuple(write for write in step.record.writes if write is not old)
    step.record.writes = (*others, new) if new else others


def _target_named(step: Step, event: ev.TargetNamed) -> None:
    """4.4: a target that is new gets the installed key; the clock is looked at by whatever comes next."""
    if event.target in step.targets and all(write.target != event.target for write in step.record.writes):
        step.record.writes = (*step.record.writes, TargetWrite(event.target, 0, step.now))


def _target_written(step: Step, event: ev.TargetWritten) -> None:
    """4.4: the target holds the key; the session of its check is a success once all of that time's targets do."""
    _remember(step)
    for write in step.record.writes:
        if write.target == event.target and event.key == step.key:
            _replace_write(step, write, None)
            last = all(other.attempt != write.attempt for other in step.record.writes)
            if write.attempt and last:
                result, text = step.policy.outcomes["new_key"].session, step.policy.texts.key_installed
                step.out.append(fx.SessionAmended(write.attempt, result, text if write.warned else ""))


def _target_failed(step: Step, event: ev.TargetFailed) -> None:
    """4.4: the target is tried again on its own, without asking the server; 8.2: told once, mailed again daily."""
    _remember(step)
    if event.key == step.key:
        step.record.writes = tuple(attrs.evolve(write, warned=True) for write in step.record.writes)
    for write in step.record.writes:
        if write.target != event.target or event.key != step.key:
            continue
        first = write.told_at is None
        tell_again = first or (step.now - (write.told_at or 0) >= TARGET_MAIL_AGAIN and step.mail_repeat != "none")
        told_at = step.now if tell_again else write.told_at
        _replace_write(step, write, attrs.evolve(write, told_at=told_at, under_way=False))
        if tell_again:
            again = () if first else ("mail",)
            tell(step, "install_target_failed", "warning", only=again, target=event.target, reason=event.reason)
        if first and write.attempt:
            message = step.policy.texts.target_failed.format(
                target=clean_text(event.target), reason=clean_text(event.reason)
            )
            step.out.append(fx.SessionAmended(write.attempt, "warning", message))


def _policy_changed(step: Step, event: ev.PolicyChanged) -> None:
    """2.5: the dates are derived anew; the entitlement may move either way."""
    record, old, new, now = step.record, step.policy, event.policy, step.now
    step.judged = max(now, record.latest)
    if new is old:
        return
    dates = new.dates(step.key)
    if dates.retry_until != step.dates.retry_until:
        record.give_up_at = dates.retry_until if dates.retry_until > now else now + EXTENSION
    step.policy, step.dates = new, dates
    fire(step, ENTITLEMENT, "policy_changed", now)
    tell(step, "policy_changed", "warning", old=old.name, new=new.name)
    fire(step, AUTO_UPDATE, "policy_changed", now)


_HANDLERS: Final[Mapping[type, Callable[[Step, Any], None]]] = {
    ev.Tick: _tick,
    ev.ClockStepped: _clock_stepped,
    ev.Restarted: _restarted,
    ev.Enable: _command,
    ev.Disable: _command,
    ev.CheckNow: _command,
    ev.Install: _install,
    ev.FirstInstalled: _first_installed,
    ev.PolicyChanged: _policy_changed,
    ev.Answered: _answered,
    ev.TargetNamed: _target_named,
    ev.TargetWritten: _target_written,
    ev.TargetFailed: _target_failed,
}
