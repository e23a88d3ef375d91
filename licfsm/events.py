"""What happened: the inputs of a license. Times are milliseconds since 1970 in UTC, by the host's clock.

A license is told of everything by one of these values, and of nothing else: the clock (`Tick`,
`ClockStepped`), the user (`Enable`, `Disable`, `CheckNow`, `Install`, `FirstInstalled`), the host (`Restarted`,
`PolicyChanged`) and the outcomes of what it asked for (`Answered`, `TargetWritten`, `TargetFailed`).
"""

from __future__ import annotations

import attrs

from licfsm.key import LicenseKey
from licfsm.policy import Policy

__all__ = [
    "Answered",
    "CheckNow",
    "ClockStepped",
    "Disable",
    "Enable",
    "Event",
    "FirstInstalled",
    "Install",
    "PolicyChanged",
    "Restarted",
    "TargetFailed",
    "TargetNamed",
    "TargetWritten",
    "Tick",
]


@attrs.frozen
class Tick:
    """The clock moved on: what is due, is to be done (rules.md 7.2)."""


@attrs.frozen
class ClockStepped:
    """The clock moved otherwise than by running: set by hand, or the host slept (rules.md 7.3, 7.5).

    Attributes:
        by: how far, in milliseconds; negative for backward.
        interrupted: whether what was under way is lost, as in a suspend.

    """

    by: int
    interrupted: bool = False


@attrs.frozen
class Restarted:
    """The host process started again (rules.md 7.3); time that passed meanwhile is told by `ClockStepped`."""


@attrs.frozen
class Enable:
    """The user switches automatic update on (rules.md 6.1)."""


@attrs.frozen
class Disable:
    """The user switches automatic update off (rules.md 6.2)."""


@attrs.frozen
class CheckNow:
    """The user asks now (rules.md 6.3)."""


@attrs.frozen
class Install:
    """The user installs a verified key by hand (rules.md 6.5).

    Attributes:
        key: the key.
        force: whether it may expire earlier than the installed one (4.3).

    """

    key: LicenseKey
    force: bool = False


@attrs.frozen
class FirstInstalled:
    """The key with which the license begins was installed by hand just now: targets get it, and it is told."""

    key: LicenseKey


@attrs.frozen
class PolicyChanged:
    """The host runs under another policy from now on (rules.md 2.5)."""

    policy: Policy


@attrs.frozen
class Answered:
    """What an attempt to ask the server came to (rules.md 4.1).

    Attributes:
        attempt: the attempt's number, as `effects.Ask` gave it; an answer to another one is ignored.
        outcome: one of `policy.OUTCOMES`.
        key: the verified key that came with ``new_key``.
        retry_after: when the server wants to be asked again, in milliseconds from the attempt's start.
        signed_time: the time that the server signed, if it signed any.
        detail: what went wrong, in words that an administrator can act on; empty where the outcome says it all.

    """

    attempt: int
    outcome: str
    key: LicenseKey | None = None
    retry_after: int | None = None
    signed_time: int | None = None
    detail: str = ""


@attrs.frozen
class TargetNamed:
    """The host names a target that it did not name before: it is to hold the installed key (rules.md 4.4)."""

    target: str


@attrs.frozen
class TargetWritten:
    """A target holds the key now (rules.md 4.4)."""

    target: str
    key: LicenseKey


@attrs.frozen
class TargetFailed:
    """A target could not be written (rules.md 4.4)."""

    target: str
    key: LicenseKey
    reason: str


Event = (
    Tick
    | ClockStepped
    | Restarted
    | Enable
    | Disable
    | CheckNow
    | Install
    | FirstInstalled
    | PolicyChanged
    | Answered
    | TargetNamed
    | TargetWritten
    | TargetFailed
)
