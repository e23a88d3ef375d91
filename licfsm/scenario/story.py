"""A scenario as values: what a file says once all its times are instants. `licfsm.loading` makes them.

Times are milliseconds since 1970 in UTC, and true time: the host's clock may differ (``world: {clock}``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

import attrs

from licfsm import instants
from licfsm.instants import Span
from licfsm.key import LicenseKey
from licfsm.policy import Policy

__all__ = ["HOST_ACTIONS", "NOW", "Entry", "Expect", "HostDoes", "Offer", "ServerAnswers", "Story", "WorldChanges"]

HOST_ACTIONS: Final = ("enable", "disable", "check_now", "restart", "install", "suspend")
NOW: Final = -(1 << 62)
"""A signed time that is the true time at which the answer arrives."""


@attrs.frozen
class Offer:
    """What a key says that is offered by the server or installed by hand.

    Attributes:
        expires: the last valid day, an exact instant in milliseconds, or None for perpetual.
        type: None for the installed key's.
        issued: in milliseconds.
        stated: whether the issue time was given; otherwise it is the entry's own, and a tie counts as later.

    """

    expires: dt.date | int | None
    type: str | None
    issued: int
    stated: bool

    def key(self, installed: LicenseKey) -> LicenseKey:
        """Make the key: the installed one where expiry and type are the same."""
        zone = installed.zone
        expires: Any = instants.from_ms(self.expires, zone) if isinstance(self.expires, int) else self.expires
        kind = self.type or installed.type
        issued = self.issued
        if not self.stated and issued == installed.issued_at:
            issued = min(issued + 1, instants.LATEST)
        key = attrs.evolve(installed, expires=expires, type=kind, issued=instants.from_ms(issued, zone))
        return installed if (key.expires_at, kind) == (installed.expires_at, installed.type) else key


@attrs.frozen
class ServerAnswers:
    """From now on the server answers so; the answer that stood when asked is judged when it arrives."""

    outcome: str
    offer: Offer | None = None
    retry_after: int | None = None
    takes: int = 0
    signed_time: int | None = None


@attrs.frozen
class HostDoes:
    """The host or its user does something: one of `HOST_ACTIONS`."""

    action: str
    offer: Offer | None = None
    force: bool = False
    until: int = 0


@attrs.frozen
class WorldChanges:
    """Something outside changes: one of them is not None.

    Attributes:
        clock: what the host's clock shows from now on, in milliseconds.
        policy: the policy from now on.
        mail: whether mail gets through.
        target: whether the target can be written.

    """

    clock: int | None = None
    policy: Policy | None = None
    mail: bool | None = None
    target: bool | None = None


@attrs.frozen
class Expect:
    """What must be observed: name -> expected value; ``allows.<job>`` for an operation."""

    values: Mapping[str, Any]


@attrs.frozen
class Entry:
    """One thing of the timeline; ``place`` is its line and column in the file."""

    at: int
    what: ServerAnswers | HostDoes | WorldChanges | Expect
    place: tuple[int, int] = (1, 1)


@attrs.frozen
class Story:
    """A whole scenario.

    Attributes:
        name: what it tells.
        file: as the user named it.
        policy: in force at the start.
        key: the first key.
        spread: over how long questions are spread.
        mail: how often failures are mailed; None leaves it to the policy.
        jobs: operation -> its kind.
        start: the first instant.
        end: the last instant, which still counts.
        end_place: line and column of that instant in the file, for messages.
        entries: in the order of time.
        never: states that must not be seen.
        reaches: states that must be seen.
        places: line and column in the file of ``never``, ``reaches``, and the first key's ``type``.

    """

    name: str
    file: str
    policy: Policy
    key: LicenseKey
    spread: Span
    mail: str | None
    jobs: Mapping[str, str]
    start: int
    end: int
    end_place: tuple[int, int]
    entries: tuple[Entry, ...]
    never: tuple[str, ...]
    reaches: tuple[str, ...]
    places: Mapping[str, tuple[int, int]]
