"""What came of examining a store: plain values, for people and programs (`licfsm.host.doctor`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs
import pendulum

__all__ = ["MANY", "Examination", "Examined", "Finding", "Queue", "counted"]

MANY: Final = 20
"""Of more licenses than these, only those with trouble are listed."""


@attrs.frozen
class Finding:
    """Something that is wrong.

    Attributes:
        license: which license it is about; None for the store.
        what: what is wrong, in one line.
        remedy: what to do, in a few words.

    """

    license: str | None
    what: str
    remedy: str


@attrs.frozen(kw_only=True)
class Examined:
    """One license, as its row tells; states are those of its last step.

    Attributes:
        id: its id.
        entitlement: None where it has no key, or its row cannot be read.
        auto_update: likewise.
        expires: when its key expires; None for never, or without a key that can be read.
        next_check: when the server is asked next; None where it is not, or is being asked.
        last_outcome: what the last check came to; None before the first.
        key: ``verified``, ``not verified``, ``refused`` or ``none``.
        journal: ``agrees`` with the row, ``differs``, or why that was not checked.
        trouble: whether anything was found.

    """

    id: str
    entitlement: str | None = None
    auto_update: str | None = None
    expires: pendulum.DateTime | None = None
    next_check: pendulum.DateTime | None = None
    last_outcome: str | None = None
    key: str = "none"
    journal: str = "not checked: it has no key"
    trouble: bool = False


@attrs.frozen
class Queue:
    """What waits on a channel.

    Attributes:
        channel: which.
        notices: how many.
        licenses: of how many licenses.
        since: when the oldest came about; None where that is no time.
        attempts: how often the one was tried that failed most.
        error: why that one failed, the last time; None as long as none did.

    """

    channel: str
    notices: int
    licenses: int
    since: pendulum.DateTime | None
    attempts: int
    error: str | None


@attrs.frozen(kw_only=True)
class Examination:
    """What was found out about a store.

    Attributes:
        file: its file.
        store: its id.
        version: the version of its format.
        driven: ``elsewhere`` (another process drives it), ``nobody``, or ``unknown``.
        driven_at: when its driver last looked at the clock; None where nobody knows.
        verified: whether keys were verified.
        entries: how many entries its journal has.
        states: how many licenses are in each pair of states.
        licenses: the licenses; of more than `MANY` only those with trouble.
        queues: what waits to be told, by channel.
        findings: what is wrong.

    """

    file: str
    store: str
    version: str
    driven: str
    driven_at: pendulum.DateTime | None
    verified: bool
    entries: int
    states: Mapping[tuple[str, str], int]
    licenses: tuple[Examined, ...]
    queues: tuple[Queue, ...]
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @property
    def count(self) -> int:
        """How many licenses there are."""
        return sum(self.states.values())


def counted(number: int, noun: str) -> str:
    """Write a number of things."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
