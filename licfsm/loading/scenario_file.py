"""What a scenario file may hold: one class a section, whose fields name the keys.

Times stay as they are written (`When`): only the whole file shows which zone they are in, and what
``start`` and ``expiry`` stand for. `licfsm.loading.scenarios` turns them into instants.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import attrs

from licfsm import instants
from licfsm.errors import InvalidValue
from licfsm.instants import UTC, Span
from licfsm.license import OPERATIONS
from licfsm.lifecycle import AUTO_UPDATE, ENTITLEMENT, REGIONS
from licfsm.loading.document import Place, Scalar, quoted
from licfsm.loading.structure import OneOf, Shorthand, text
from licfsm.policy import MAIL_REPEATS, OUTCOMES
from licfsm.scenario.story import HOST_ACTIONS

__all__ = [
    "HOOKS",
    "EntrySection",
    "ExactSpan",
    "ExpectSection",
    "HostSection",
    "LicenseSection",
    "ScenarioFile",
    "ServerSection",
    "When",
    "WorldSection",
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


@attrs.frozen
class LicenseSection:
    """The first key."""

    type: str
    id: str = "LICENSE-1"
    expires: When | None = None
    zone: str = "UTC"
    issued: When | None = None
    product: str = ""
    edition: str = ""
    holder: str = ""


@attrs.frozen
class ServerSection(Shorthand):
    """What the server answers from now on."""

    answer: Annotated[str, OneOf(OUTCOMES)]
    expires: When | None = None
    type: str | None = None
    issued: When | None = None
    retry_after: ExactSpan | None = None
    takes: ExactSpan | None = None
    signed_time: When | None = None


@attrs.frozen
class HostSection(Shorthand):
    """What the host or its user does."""

    do: Annotated[str, OneOf(HOST_ACTIONS)]
    expires: When | None = None
    type: str | None = None
    issued: When | None = None
    force: bool = False
    until: When | None = None


@attrs.frozen
class WorldSection:
    """What changes outside."""

    clock: When | None = None
    policy: str | None = None
    mail: Annotated[str, OneOf(("up", "down"))] | None = None
    target: Annotated[str, OneOf(("ok", "fails"))] | None = None


@attrs.frozen
class ExpectSection:
    """What must be observed."""

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
    """One entry of the timeline."""

    at: When
    server: ServerSection | None = None
    world: WorldSection | None = None
    host: HostSection | None = None
    expect: ExpectSection | None = None


@attrs.frozen
class ScenarioFile:
    """What a scenario file says."""

    version: Annotated[str, OneOf(("1",))]
    policy: str
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


def _when(value: Any, _: Any) -> When:
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
    span = Span.parse(text(value))
    if span.months:
        message = f"{quoted(value)} must be a number of seconds, minutes, hours or days"
        raise InvalidValue(message)
    return ExactSpan(span.ms + span.days * instants.DAY)


HOOKS: Final[Mapping[Any, Callable[[Any, Any], Any]]] = {When: _when, ExactSpan: _exact_span}
"""How what is written becomes a `When` or an `ExactSpan`."""
