"""The words of the pictures: events, guards, and a policy's durations.

The table speaks in names; people who read a manual want words. Names without words would be drawn as
they are in the code, so tests see to it that there are none. Figures come from policies only: where
several policies are drawn at once and do not agree, the arrow says what the time is called instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from licfsm.instants import Span
from licfsm.lifecycle import AUTO_UPDATE, ENTITLEMENT, EXPIRING, GRACE, RETRYING, SCHEDULED, VALID
from licfsm.policy import Policy

__all__ = [
    "CHANGE",
    "EVENTS",
    "GUARDS",
    "KINDS",
    "MARKS",
    "REGION_TITLES",
    "SERVER",
    "TIME",
    "USER",
    "Wording",
    "of_policies",
]

TIME: Final = "time"
SERVER: Final = "server"
USER: Final = "user"
CHANGE: Final = "change"

KINDS: Final[Mapping[str, str]] = {
    TIME: "time",
    SERVER: "the server's answer",
    USER: "the user",
    CHANGE: "a change of key, policy or clock",
}
"""What brings an event -> its words in the legend; the first of an arrow's kinds decides how it is drawn."""

MARKS: Final[Mapping[str, str]] = {TIME: "●", SERVER: "▲", USER: "■", CHANGE: "◆"}
"""What brings an event -> the mark before it, which needs no color."""

REGION_TITLES: Final[Mapping[str, str]] = {
    ENTITLEMENT: "Entitlement: what may the host do?",
    AUTO_UPDATE: "Automatic update: when is the server asked?",
}
"""Region -> its name, and the question it answers."""

EVENTS: Final[Mapping[str, tuple[str, str]]] = {
    "expiring": (TIME, "expiring"),
    "expired": (TIME, "expired"),
    "grace_over": (TIME, "grace over"),
    "check_due": (TIME, "check due"),
    "renewed": (SERVER, "new key"),
    "current": (SERVER, "up to date"),
    "retry": (SERVER, "failure"),
    "give_up": (SERVER, "contract ended"),
    "enable": (USER, "enable"),
    "disable": (USER, "disable"),
    "check_now": (USER, "check now"),
    "installed": (USER, "key installed by hand"),
    "new_key": (CHANGE, "new key"),
    "policy_changed": (CHANGE, "policy changed"),
    "clock_went_back": (CHANGE, "clock went back"),
    "clock_corrected": (CHANGE, "clock corrected"),
    "restarted": (CHANGE, "restarted"),
}
"""Trigger -> what brings it, and its words."""

GUARDS: Final[Mapping[str, str]] = {
    "has_grace": "grace period granted",
    "before_expiring": "before Expiring",
    "before_expiry": "before expiry",
    "before_grace_end": "before the end of grace",
    "deadline_reached": "past the deadline",
    "deadline_ahead": "deadline ahead again",
    "deadline_missed": "deadline missed unattended",
    "deadline_missed_away": "deadline missed while away",
    "last_chance": "retry period over",
    "begun_in_off": "begun in Off",
    "begun_in_disabled": "begun in AutoUpdateDisabled",
    "begun_while_off": "begun while off",
    "disabled_by_deadline": "disabled by deadline",
    "expires_later": "expires later",
}
"""Guard -> its words, read inside square brackets."""

_LAST: Final = "and at the retry period's end"
_SYMBOLIC: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("expiring", VALID): ("some days before", "the expiration date"),
    ("grace_over", GRACE): ("end of the grace period",),
    ("check_due", SCHEDULED): ("by cadence", _LAST),
    ("check_due", RETRYING): ("after the retry interval", _LAST),
}
_EVERY: Final[Mapping[str, str]] = {"1 week": "weekly", "7 days": "weekly", "1 day": "daily", "1 month": "monthly"}


@attrs.frozen
class Wording:
    """What stands on the arrows.

    Attributes:
        policy: the name of the only policy drawn; empty for several.
        when: trigger and source -> when it comes, for timed events; the earliest counts.
        guards: guard -> its words.

    """

    policy: str
    when: Mapping[tuple[str, str], tuple[str, ...]]
    guards: Mapping[str, str]


def of_policies(policies: Sequence[Policy]) -> Wording:
    """Word the arrows for some policies: figures where they agree, else the name of the time.

    Args:
        policies: at least one.

    """
    first, *others = [_when(policy) for policy in policies]
    agreed = {case: words for case, words in first.items() if all(other[case] == words for other in others)}
    guards = dict(GUARDS)
    if len(periods := {_retry_period(policy) for policy in policies}) == 1:
        guards["last_chance"] += f": {periods.pop()}"
    granted = [kind for kind, grace in policies[0].grace.items() if grace]
    if granted and not others:
        guards["has_grace"] = _listed(granted, "or")
    return Wording("" if others else policies[0].name, {**_SYMBOLIC, **agreed}, guards)


def _when(policy: Policy) -> dict[tuple[str, str], tuple[str, ...]]:
    valid, expiring = _every(policy.cadence.valid), _every(policy.cadence.expiring)
    return {
        ("expiring", VALID): (f"{policy.expiring} before", "the expiration date"),
        ("expired", EXPIRING): ("at expiry",),
        ("grace_over", GRACE): (_grace(policy),),
        ("check_due", SCHEDULED): (f"{valid} in Valid", f"{expiring} from Expiring on", _LAST),
        ("check_due", RETRYING): (*_retries(policy), _LAST),
    }


def _every(span: Span) -> str:
    return _EVERY.get(str(span), f"every {span}")


def _grace(policy: Policy) -> str:
    """Say how long grace is: what most license types have, and in brackets the others."""
    types: dict[str, list[str]] = {}
    for kind, span in policy.grace.items():
        if span:
            types.setdefault(str(span), []).append(kind)
    if not types:
        return "never"
    usual = max(types, key=lambda span: len(types[span]))
    others = "; ".join(f"{_listed(kinds)}: {span}" for span, kinds in types.items() if span != usual)
    return f"after {usual} ({others})" if others else f"after {usual}"


def _retries(policy: Policy) -> tuple[str, ...]:
    """Say how long after a failure the server is asked again; what most failures have, stands last."""
    outcomes: dict[str, list[str]] = {}
    for name, outcome in policy.outcomes.items():
        if outcome.retry:
            outcomes.setdefault(str(outcome.retry), []).append(name.replace("_", " "))
    if len(outcomes) < 2:  # noqa: PLR2004 - nothing to tell apart
        return tuple(f"every {span}" for span in outcomes)
    *some, rest = sorted(outcomes, key=lambda span: len(outcomes[span]))
    return (*(f"every {span} ({_listed(outcomes[span], 'or')})" for span in some), f"every {rest} (other failures)")


def _retry_period(policy: Policy) -> str:
    return f"{policy.retry_period} after expiry" if policy.retry_period else "days of the month of expiry"


def _listed(words: Sequence[str], word: str = "and") -> str:
    return f" {word} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
