"""What a host sees of its licenses: plain values, times as pendulum datetimes in the license's zone or UTC."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs
import pendulum

from licfsm import instants
from licfsm.errors import StoreDamaged
from licfsm.key import clean_text

__all__ = [
    "JournalEntry",
    "Pending",
    "SessionEntry",
    "Status",
    "TargetStatus",
    "ToldNotice",
    "Transition",
    "read_row",
]

_Value = TypeVar("_Value")


def read_row(read: Callable[[Mapping[str, Any]], _Value], row: Mapping[str, Any]) -> _Value:
    """Read a value from a row of the store, which perhaps was changed by hand.

    Raises:
        StoreDamaged: the row cannot be what this package wrote.

    """
    try:
        return read(row)
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
        message = f"row {row['seq']} of license {clean_text(row['license'])} cannot be read; see licfsm doctor"
        raise StoreDamaged(message) from error


@attrs.frozen
class Pending:
    """What is still to be delivered on a channel, or written to a target.

    Attributes:
        where: the channel (``mail``, ``log``) or the target.
        count: how many notices, or 1 key.
        since: since when the oldest waits; None where that is not known.
        error: why it was not delivered, the last time; None as long as it did not fail.

    """

    where: str
    count: int
    since: pendulum.DateTime | None
    error: str | None


@attrs.frozen
class TargetStatus:
    """Whether a target holds the installed key (rules.md 4.4).

    Attributes:
        name: the target's.
        written: whether it holds the key, as far as it was written by this package.
        next_try: when it is written next; None where it is written, or is being written now.
        error: why it could not be written, the last time; None as long as it did not fail.

    """

    name: str
    written: bool
    next_try: pendulum.DateTime | None = None
    error: str | None = None


@attrs.frozen(kw_only=True)
class Status:
    """How a license stands, at the moment of asking.

    Attributes:
        license: its id; None where the manager has no license yet.
        text: the license information that a user reads (rules.md 2.4).
        entitlement: ``Valid``, ``Expiring``, ``Grace`` or ``FreeMode``; None without a key.
        auto_update: ``Off``, ``Scheduled``, ``Checking``, ``Retrying`` or ``AutoUpdateDisabled``.
        days_remaining: until expiry, or in grace until its end; None without expiry or key (1.7).
        expires: when the key expires; None without expiry or key.
        next_check: when the server is asked next; None where it will not be (3.5).
        next_change: when the entitlement changes next; None for never.
        last_outcome: what the last check came to, one of `policy.OUTCOMES`; None before the first.
        job_warning: what every job of the paid version is to warn of; None outside grace (2.4).
        why: why the states are what they are, each with the number of its rule.
        targets: what each target of the host holds.
        undelivered: notices and keys that are still on their way.
        driven: who asks servers and delivers: ``here``, ``elsewhere`` (another process) or ``nobody``.
        trouble: what is wrong with what is stored of this license, and what to do; None where all is well.

    """

    license: str | None
    text: str
    entitlement: str | None = None
    auto_update: str | None = None
    days_remaining: int | None = None
    expires: pendulum.DateTime | None = None
    next_check: pendulum.DateTime | None = None
    next_change: pendulum.DateTime | None = None
    last_outcome: str | None = None
    job_warning: str | None = None
    why: tuple[str, ...] = ()
    targets: tuple[TargetStatus, ...] = ()
    undelivered: tuple[Pending, ...] = ()
    driven: str = "nobody"
    trouble: str | None = None

    def __str__(self) -> str:
        """Show it in one line."""
        states = f" ({self.entitlement}, automatic update {self.auto_update})" if self.entitlement else ""
        return f"{self.license or 'no license'}: {self.text}{states}{f'; {self.trouble}' if self.trouble else ''}"


@attrs.frozen
class Transition:
    """A change of state.

    Attributes:
        region: ``entitlement`` or ``auto_update``.
        trigger: the event's name in the lifecycle's table.
        source: the state before.
        target: the state after.
        due: when it should have happened.
        why: the reason, beginning with the number of its rule.

    """

    region: str
    trigger: str
    source: str
    target: str
    due: pendulum.DateTime
    why: str


@attrs.frozen
class JournalEntry:
    """Something that a license was told of, and what it led to.

    Attributes:
        seq: its number in the store's journal; later entries have higher ones.
        license: which license.
        at: when, by the host's clock.
        event: what happened: ``tick`` (something was due), ``enable``, ``install``, ``answered`` ...
        details: what belongs to the event; keys are numbers in the store.
        transitions: the changes of state that it led to, in order.
        outcome: of an answered check, one of `policy.OUTCOMES`.

    """

    seq: int
    license: str
    at: pendulum.DateTime
    event: str
    details: Mapping[str, Any]
    transitions: tuple[Transition, ...]
    outcome: str | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> JournalEntry:
        """Read an entry from the store."""
        return cls(
            row["seq"],
            row["license"],
            instants.from_ms(row["at"]),
            row["event"],
            json.loads(row["details"]) if row["details"] else {},
            tuple(
                Transition(region, trigger, source, target, instants.from_ms(due), why)
                for region, trigger, source, target, due, why in json.loads(row["moves"] or "[]")
            ),
            row["outcome"],
        )


@attrs.frozen
class SessionEntry:
    """The session entry of a check, `License key auto-update` (rules.md 8.1).

    Attributes:
        license: which license.
        attempt: the number of the check.
        started: when it began.
        ended: when its answer came.
        outcome: what it came to, one of `policy.OUTCOMES`; None for one that was interrupted or called off.
        result: ``success``, ``warning`` or ``failed``.
        messages: what the entry says, line by line.

    """

    license: str
    attempt: int
    started: pendulum.DateTime
    ended: pendulum.DateTime
    outcome: str | None
    result: str
    messages: tuple[str, ...]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> SessionEntry:
        """Read an entry from the store."""
        return cls(
            row["license"],
            row["attempt"],
            instants.from_ms(row["started_at"]),
            instants.from_ms(row["ended_at"]),
            row["outcome"],
            row["result"],
            tuple(json.loads(row["messages"])),
        )


@attrs.frozen
class ToldNotice:
    """A notice on a channel (rules.md 8.2).

    Attributes:
        id: the same for a notice on all its channels.
        license: which license.
        channel: ``report``, ``mail`` or ``log``.
        name: which notice.
        level: ``info``, ``warning`` or ``error``.
        text: what it says.
        at: when it came about.
        delivered: when it was delivered; None as long as it was not.
        attempts: how often that was tried in vain.
        error: why, the last time, or why it was dropped.

    """

    id: str
    license: str
    channel: str
    name: str
    level: str
    text: str
    at: pendulum.DateTime
    delivered: pendulum.DateTime | None
    attempts: int
    error: str | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> ToldNotice:
        """Read a notice from the store."""
        delivered = row["done_at"] is not None and row["dropped"] is None
        return cls(
            row["id"],
            row["license"],
            row["channel"],
            row["name"],
            row["level"],
            row["text"],
            instants.from_ms(row["at"]),
            instants.from_ms(row["done_at"]) if delivered else None,
            row["attempts"],
            row["dropped"] or row["error"],
        )
