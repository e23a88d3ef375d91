"""What a scenario file may hold: one class a section, whose fields name the keys.

What is said of each attribute is what an editor shows of its key (`licfsm.loading.schema`).

Times stay as they are written (`When`): only the whole file shows which zone they are in, and what
``start`` and ``expiry`` stand for. `licfsm.loading.scenarios` turns them into instants.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import attrs
import pendulum

from licfsm import instants
from licfsm.errors import InvalidValue
from licfsm.instants import UTC, Span
from licfsm.key import valid_id, valid_type
from licfsm.license import OPERATIONS
from licfsm.lifecycle import AUTO_UPDATE, ENTITLEMENT, REGIONS
from licfsm.loading.document import Place, Scalar, closest, quoted
from licfsm.loading.policies import find_policy
from licfsm.loading.structure import VERSION, OneOf, Shorthand, span, text
from licfsm.policy import MAIL_REPEATS, OUTCOMES, Policy
from licfsm.scenario.story import HOST_ACTIONS

__all__ = [
    "EntrySection",
    "ExactSpan",
    "ExpectSection",
    "HostSection",
    "LicenseSection",
    "ScenarioFile",
    "ServerSection",
    "When",
    "WorldSection",
    "as_when",
    "hooks",
]

_STATES: Final = (*REGIONS[ENTITLEMENT], *REGIONS[AUTO_UPDATE])
_UNSET: Any = Scalar("", (0, 0))
"""Stands where a key is not given, since nothing (~) is a value there."""
_TIME: Final = re.compile(
    r"(?P<base>start|expiry|now|\d{4}-\d{2}-\d{2}(?:[T ]\d\S*)?)"
    r"(?P<steps>(?:\s*[+-]\s*\d{1,12}\s*[A-Za-z]+)*)\s*"
)
_STEP: Final = re.compile(r"([+-])\s*(\d+)\s*([A-Za-z]+)")


@attrs.frozen
class When:
    """A point in time as it is written: a base, and steps from it."""

    base: str
    steps: tuple[tuple[int, Span], ...]
    place: Place


@attrs.frozen
class ExactSpan:
    """An exact length of time, in milliseconds; a day is 24 hours here."""

    ms: int


class LicenseId(str):
    """A license id (rules.md 8.3)."""

    __slots__ = ()


class LicenseType(str):
    """A license type: a word that the policy knows."""

    __slots__ = ()


_UNNAMED: Final = LicenseId("LICENSE-1")


@attrs.frozen
class LicenseSection:
    """The first key.

    Attributes:
        type: the license type, one that the policy has a grace period for.
        id: the license's id.
        expires: the last valid day, or with a time the exact end; without it the license is perpetual.
        zone: the time zone of all times without an offset, by its IANA name.
        issued: when the key was issued; at the start of the story unless given.
        product: what is licensed.
        edition: which edition of it.
        holder: whom the license is for.

    """

    type: LicenseType
    id: LicenseId = _UNNAMED
    expires: When | None = None
    zone: pendulum.Timezone = UTC
    issued: When | None = None
    product: str = ""
    edition: str = ""
    holder: str = ""


@attrs.frozen
class ServerSection(Shorthand):
    """What the server answers from now on.

    Attributes:
        answer: what a check comes to.
        expires: the new key's last valid day, or its exact end; without it the new key is perpetual.
        type: the new key's license type; as before unless given.
        issued: when the new key was issued; at this entry unless given.
        retry_after: when the server wants to be asked again, in place of the policy's interval.
        takes: how long the answer takes to arrive.
        signed_time: the time that the server signs; now is the time at which the answer arrives.

    """

    answer: Annotated[str, OneOf(OUTCOMES)]
    expires: When | None = None
    type: LicenseType | None = None
    issued: When | None = None
    retry_after: ExactSpan | None = None
    takes: ExactSpan | None = None
    signed_time: When | None = None


@attrs.frozen
class HostSection(Shorthand):
    """What the host or its user does.

    Attributes:
        do: what is done.
        expires: of a key that is installed: its last valid day, or its exact end; without it, perpetual.
        type: of a key that is installed: its license type; as before unless given.
        issued: of a key that is installed: when it was issued; at this entry unless given.
        force: whether to install the key though it expires earlier than the installed one.
        until: when a suspended host wakes up.

    """

    do: Annotated[str, OneOf(HOST_ACTIONS)]
    expires: When | None = None
    type: LicenseType | None = None
    issued: When | None = None
    force: bool = False
    until: When | None = None


@attrs.frozen
class WorldSection:
    """What changes outside.

    Attributes:
        clock: what the host's clock shows from now on; the times of the story stay true time.
        policy: the policy from now on: a built-in name, or a path beside this file.
        mail: whether mail gets through.
        target: whether the key can be written to its target.

    """

    clock: When | None = None
    policy: Policy | None = None
    mail: Annotated[str, OneOf(("up", "down"))] | None = None
    target: Annotated[str, OneOf(("ok", "fails"))] | None = None


@attrs.frozen
class ExpectSection:
    """What must be observed.

    Attributes:
        entitlement: the state that says what the host may do.
        auto_update: the state that says when the server is asked.
        status: the license information that a user reads.
        warning: what every job of the paid version warns of; ~ for no warning.
        days_remaining: days until expiry, or of grace; ~ where the key has no expiry.
        next_check: when the server is asked next; ~ for never.
        allows: job -> whether it may run now.
        checks: how many checks there were so far.
        failures: how many of them failed.
        mails: how many mails were sent so far.
        reports: how many entries the report has so far.

    """

    entitlement: Annotated[str, OneOf(REGIONS[ENTITLEMENT])] = _UNSET
    auto_update: Annotated[str, OneOf(REGIONS[AUTO_UPDATE])] = _UNSET
    status: str = _UNSET
    warning: str | None = _UNSET
    days_remaining: int | None = _UNSET
    next_check: When | None = _UNSET
    allows: dict[str, bool] = _UNSET
    checks: int = _UNSET
    failures: int = _UNSET
    mails: int = _UNSET
    reports: int = _UNSET


@attrs.frozen
class EntrySection:
    """One entry of the timeline.

    Attributes:
        at: when, in true time.
        server: what the server answers from now on, until the next such entry; up_to_date at first.
        world: what changes outside.
        host: what the host or its user does.
        expect: what must be observed.

    """

    at: When
    server: ServerSection | None = None
    world: WorldSection | None = None
    host: HostSection | None = None
    expect: ExpectSection | None = None


@attrs.frozen
class ScenarioFile:
    """A license's story on a simulated clock, and what must be observed on the way.

    Attributes:
        version: the version of this file format.
        policy: the policy at the start: a built-in name, or a path beside this file.
        license: the first key.
        start: when the story begins.
        timeline: what happens, in the order of time.
        scenario: a title that says what the story shows; the file's name unless given.
        until: when the story ends, that instant included; with its last entry unless given.
        spread: over how long the questions of many licenses are spread; none unless given.
        mail: how often failures are mailed; policy leaves it to the policy.
        jobs: job -> its kind: paid, free, or always (never refused).
        never: states that must not be seen.
        reaches: states that must be seen, the first state included.

    """

    version: Annotated[str, VERSION]
    policy: Policy
    license: LicenseSection
    start: When
    timeline: tuple[EntrySection, ...] = ()
    scenario: str | None = None
    until: When | None = None
    spread: ExactSpan | None = None
    mail: Annotated[str, OneOf(("policy", *MAIL_REPEATS))] = "policy"
    jobs: dict[str, Annotated[str, OneOf(OPERATIONS)]] = attrs.Factory(dict)
    never: tuple[Annotated[str, OneOf(_STATES)], ...] = ()
    reaches: tuple[Annotated[str, OneOf(_STATES)], ...] = ()


def as_when(value: Any) -> When:
    """Take a time as scenarios write it."""
    written = text(value)
    found = _TIME.fullmatch(written.strip())
    if not found:
        message = f"{quoted(written)} is no time; write 2025-02-14T09:00, start, expiry, or expiry + 2 days"
        raise InvalidValue(message)
    base = found["base"]
    if base[0].isdigit():
        instants.parse_instant(base, UTC)
    steps = tuple(
        (1 if sign == "+" else -1, Span.parse(f"{number} {unit}"))
        for sign, number, unit in _STEP.findall(found["steps"])
    )
    return When(base, steps, value.place if isinstance(value, Scalar) else (1, 1))


def _exact_span(value: Any, _: Any) -> ExactSpan:
    found = span(value)
    if found.months:
        message = f"{quoted(value)} must be a number of seconds, minutes, hours or days"
        raise InvalidValue(message)
    return ExactSpan(found.ms + found.days * instants.DAY)


def _zone(value: Any, _: Any) -> pendulum.Timezone:
    written = text(value)
    try:
        return instants.zone(str(written))
    except InvalidValue:
        meant = closest(written, pendulum.timezones())
        hint = f"did you mean {meant!r}?" if meant else "use an IANA name such as UTC or Europe/Berlin"
        message = f"there is no time zone {quoted(written)}; {hint}"
        raise InvalidValue(message) from None


def hooks(folder: Path) -> Mapping[Any, Callable[[Any, Any], Any]]:
    """Say how what is written becomes a value, by its type.

    Args:
        folder: where the file lies, and a policy's path starts.

    """
    return {
        When: lambda value, _: as_when(value),
        ExactSpan: _exact_span,
        LicenseId: lambda value, _: valid_id(text(value)),
        LicenseType: lambda value, _: valid_type(text(value)),
        Policy: lambda value, _: find_policy(str(text(value)), folder),
        pendulum.Timezone: _zone,
    }
