"""What a step leads to: facts for the journal, and things for the adapters to do. All are plain values.

Named tuples, since a step makes half a dozen of them and they cost half of what a frozen class does.
Times are milliseconds since 1970 in UTC, by the host's clock.
"""

from __future__ import annotations

from typing import NamedTuple

from licfsm.key import LicenseKey

__all__ = ["Ask", "Checked", "Effect", "Moved", "Notify", "SaveKey", "Session", "SessionAmended", "WriteTarget"]


class Moved(NamedTuple):
    """A region changed its state.

    Attributes:
        region: ``entitlement`` or ``auto_update``.
        trigger: the event's name in the table.
        source: the state before.
        target: the state after.
        due: when it should have happened.
        why: the reason of the table's row that was taken, beginning with the rule's number.

    """

    region: str
    trigger: str
    source: str
    target: str
    due: int
    why: str


class Ask(NamedTuple):
    """Ask the license server, and tell the license what came of it by `events.Answered`."""

    attempt: int


class Checked(NamedTuple):
    """An answer came: the outcome in effect (rules.md 4.1).

    Attributes:
        attempt: the attempt's number.
        outcome: one of `policy.OUTCOMES`.
        failed: whether it is a failure.
        asked: when the attempt began.
        due: when it should have begun.

    """

    attempt: int
    outcome: str
    failed: bool
    asked: int
    due: int


class SaveKey(NamedTuple):
    """Save a verified key; it is in force from the moment it is stored (rules.md 4.4)."""

    key: LicenseKey


class WriteTarget(NamedTuple):
    """Write a key to a target, and tell by `events.TargetWritten` or `TargetFailed` what came of it."""

    target: str
    key: LicenseKey


class Session(NamedTuple):
    """A check's session entry, `License key auto-update` (rules.md 8.1).

    Attributes:
        attempt: the attempt's number.
        started: when it began.
        ended: when its answer came.
        result: ``success``, ``warning`` or ``failed``.
        messages: what the entry says, line by line.

    """

    attempt: int
    started: int
    ended: int
    result: str
    messages: tuple[str, ...]


class SessionAmended(NamedTuple):
    """A check's session entry is told of its targets: one failed, or all have the key at last (rules.md 4.4).

    Attributes:
        attempt: the attempt's number.
        result: its result from now on: ``warning``, then ``success``.
        message: what is added to the entry; empty for nothing.

    """

    attempt: int
    result: str
    message: str


class Notify(NamedTuple):
    """Tell people (rules.md 8.2).

    Attributes:
        name: one of the notices of rules.md 8.2.
        channels: where it goes, in order: ``report``, ``mail``, ``log``.
        text: in one line.
        level: ``info``, ``warning`` or ``error``, for the log.
        report: what the report says in place of that; empty where it says the same.

    """

    name: str
    channels: tuple[str, ...]
    text: str
    level: str
    report: str = ""

    def said_on(self, channel: str) -> str:
        """Give the text for a channel."""
        return self.report if self.report and channel == "report" else self.text


Effect = Moved | Ask | Checked | SaveKey | WriteTarget | Session | SessionAmended | Notify
