"""A step while it is taken: the event's circumstances, what comes of it, and how people are told.

Guards and effects (`licfsm.rules`) and the events' handlers (`licfsm.handlers`) all work on a `Step`.
Numbers in docstrings are rules in rules.md.
"""

from __future__ import annotations

from typing import Final

import attrs

from licfsm import effects as fx
from licfsm import instants
from licfsm.instants import NEVER
from licfsm.key import LicenseKey, clean_text
from licfsm.lifecycle import EXPIRING, FREE_MODE, GRACE, VALID
from licfsm.policy import Dates, Policy
from licfsm.record import Record

__all__ = ["Step", "days_text", "forget_told", "note_state", "notice_due", "tell", "until_text"]

_EVERYWHERE: Final = ("report", "mail", "log")
_NOT_MAILED: Final = ("report", "log")
_BEFORE_EXPIRY: Final = frozenset({VALID, EXPIRING})
_STATE_NOTICES: Final = {
    VALID: "expiring",
    EXPIRING: "expiring",
    GRACE: "grace_started",
    FREE_MODE: "free_mode_entered",
}
_TOLD_BITS: Final = {VALID: 1, EXPIRING: 1, GRACE: 2, FREE_MODE: 4}
"""A policy may announce the expiry before or after `Expiring` begins, but once."""


@attrs.define(eq=False, weakref_slot=False)
class Step:
    """One step of one license, while it is taken: the event's circumstances and what comes of it.

    Attributes:
        record: the fresh copy that the step works on.
        key, policy, dates: what is in force, exchanged by a new key or policy.
        now: the host's clock, in milliseconds.
        judged: the later of the clock and the memory, by which entitlement is judged (7.5).
        offset: the license's part of the spread, in milliseconds (3.6).
        mail_repeat: how often failures are mailed, the host's choice or the policy's (8.2).
        targets: the names of the targets that a key is written to.
        trigger: the trigger that is being fired.
        due: when it was due.
        why: the reason of the row that was taken, beginning with the rule's number.
        away_since: when the host was last there, before a restart or a suspend.
        extends: whether the new key expires later than the one before.
        retry_after: what the server asked for, in milliseconds.
        detail: why the check failed, for people.
        out: facts and effects, in order.
        told: the notices of what is being done, placed behind it.

    """

    record: Record
    key: LicenseKey
    policy: Policy
    dates: Dates
    now: int
    offset: int
    mail_repeat: str
    targets: tuple[str, ...]
    judged: int = 0
    trigger: str = ""
    due: int = 0
    why: str = ""
    away_since: int = 0
    extends: bool = False
    retry_after: int | None = None
    detail: str = ""
    out: list[fx.Effect] = attrs.field(factory=list)
    told: list[fx.Effect] = attrs.field(factory=list)


def notice_due(record: Record, dates: Dates) -> int:
    """Find when the state, or the coming expiry, is to be told; NEVER where it was (8.2).

    Returns:
        By the time that entitlement is judged by, in milliseconds.

    """
    state = record.entitlement
    if record.told & _TOLD_BITS[state]:
        return NEVER
    return dates.announce_at if state in _BEFORE_EXPIRY else -NEVER


def forget_told(step: Step, before: str) -> None:
    """7.6: notices may be told again, but not of what has not changed.

    Args:
        step: the step under way.
        before: the entitlement before it was derived anew.

    """
    record = step.record
    state = record.entitlement
    same = {before, state} <= _BEFORE_EXPIRY and step.judged >= step.dates.announce_at
    record.told &= _TOLD_BITS[state] if same or (state == before and state not in _BEFORE_EXPIRY) else 0


def note_state(step: Step) -> None:
    """2.5, 7.2: tell the state that is true now, or the coming expiry, which is still untold."""
    record = step.record
    record.told |= _TOLD_BITS[record.entitlement]
    deadline = step.dates.expires_at if record.entitlement in _BEFORE_EXPIRY else step.dates.grace_until
    tell(
        step,
        _STATE_NOTICES[record.entitlement],
        "warning",
        license=step.key.id,
        until=until_text(step.key),
        days=days_text(instants.days_until(step.judged, deadline, step.key.zone)),
    )


def tell(
    step: Step,
    name: str,
    level: str,
    *,
    mail: bool = True,
    only: tuple[str, ...] = (),
    report: str = "",
    text: str = "",
    **values: str,
) -> None:
    """Add a notice: to the report and the log, and by mail if there are mail settings (8.2).

    Args:
        step: the step under way.
        name: the notice's.
        level: for the log.
        mail: whether it is to be mailed.
        only: the only channels it goes to.
        report: the name of the report's text, where that differs.
        text: the name of its text, where that differs.
        values: what the text may speak of.

    """
    channels = only or (_EVERYWHERE if mail and step.mail_repeat != "none" else _NOT_MAILED)
    template = step.policy.notifications[text or name]
    for key, value in values.items():
        values[key] = clean_text(value)
    in_report = step.policy.notifications[report].format_map(values) if report else ""
    step.told.append(fx.Notify(name, channels, template.format_map(values), level, in_report))


def days_text(days: int) -> str:
    """Write a number of days (2.4)."""
    return "1 day" if days == 1 else f"{days} days"


def until_text(key: LicenseKey) -> str:
    """Write until when a key is valid, in its zone."""
    if key.expires is None:
        return "without expiration"
    if key.expiry_date == key.expires:
        return f"until {key.expires.isoformat()}"
    return f"until {instants.wall(key.expires_at, key.zone):%Y-%m-%d %H:%M} {key.zone.name}"
