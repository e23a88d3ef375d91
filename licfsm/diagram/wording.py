"""The words of the pictures: states, events, guards, and a policy's durations.

States, events and guards keep the names that they have in the table, so that a reader finds them there;
beside them stands what they mean. Names without words would be drawn as they are in the code, so tests see
to it that there are none. Figures come from one policy; where none is meant, the arrow says what a time is
called instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from licfsm.instants import Span
from licfsm.lifecycle import (
    AUTO_UPDATE,
    AUTO_UPDATE_DISABLED,
    CHECKING,
    ENTITLEMENT,
    EXPIRING,
    FREE_MODE,
    GRACE,
    OFF,
    RETRYING,
    SCHEDULED,
    VALID,
)
from licfsm.policy import Policy

__all__ = [
    "CHANGE",
    "EVENTS",
    "GUARDS",
    "KINDS",
    "MARKS",
    "REGION_TITLES",
    "SERVER",
    "SYMBOLIC",
    "TIME",
    "USER",
    "Wording",
    "allowed",
    "by_length",
    "name_of",
    "retries",
    "retry_period",
    "wording_of",
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
"""What brings an event -> its words in the legend."""

MARKS: Final[Mapping[str, str]] = {TIME: "●", SERVER: "▲", USER: "■", CHANGE: "◆"}
"""What brings an event -> the mark before it, which needs no color."""

REGION_TITLES: Final[Mapping[str, str]] = {
    ENTITLEMENT: "Entitlement: what may the host do?",
    AUTO_UPDATE: "Automatic update: when is the server asked?",
}
"""Region -> its name, and the question it answers."""

EVENTS: Final[Mapping[str, tuple[str, str]]] = {
    "expiring": (TIME, ""),
    "expired": (TIME, ""),
    "grace_over": (TIME, ""),
    "check_due": (TIME, ""),
    "renewed": (SERVER, "a new key"),
    "current": (SERVER, "no newer key"),
    "retry": (SERVER, "the check failed"),
    "give_up": (SERVER, "the contract has ended"),
    "enable": (USER, ""),
    "disable": (USER, ""),
    "check_now": (USER, ""),
    "installed": (USER, "a key, by hand"),
    "new_key": (CHANGE, f"by {MARKS[SERVER]} renewed or {MARKS[USER]} installed"),
    "policy_changed": (CHANGE, ""),
    "clock_went_back": (CHANGE, "over an hour"),
    "clock_corrected": (CHANGE, ""),
    "restarted": (CHANGE, ""),
}
"""Trigger -> what brings it, and what its name does not say."""

GUARDS: Final[Mapping[str, str]] = {
    "has_grace": "has grace",
    "before_expiring": "before Expiring",
    "before_expiry": "before expiry",
    "before_grace_end": "before grace end",
    "deadline_reached": "deadline reached",
    "deadline_ahead": "deadline ahead",
    "deadline_missed": "deadline missed",
    "deadline_missed_away": "deadline missed away",
    "last_chance": "last chance: the retry period is over",
    "begun_in_off": "begun in Off",
    "begun_in_disabled": "begun in AutoUpdateDisabled",
    "begun_while_off": "begun while off",
    "disabled_by_deadline": "disabled by deadline",
    "expires_later": "expires later",
}
"""Guard -> its words, read inside square brackets."""

_LAST: Final = "and when the retry period ends"
_WHEN: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("expiring", VALID): ("some time before the expiration date",),
    ("expired", EXPIRING): ("at expiry",),
    ("grace_over", GRACE): ("after the grace period",),
    ("check_due", SCHEDULED): ("at regular intervals", _LAST),
    ("check_due", RETRYING): ("after the retry interval", _LAST),
}
_STATES: Final[Mapping[str, str]] = {
    VALID: "everything works",
    EXPIRING: "everything works; expires soon",
    GRACE: "expired, but everything works; every job warns",
    FREE_MODE: "only what the policy allows; restoring always",
    OFF: "automatic update is switched off",
    SCHEDULED: "waiting for the next check",
    CHECKING: "the server is being asked",
    RETRYING: "the last check failed; asking again",
    AUTO_UPDATE_DISABLED: "the engine gave up",
}
_FREE_MODE: Final[Mapping[tuple[str, ...], str]] = {
    (): "only restoring works",
    ("free",): "paid operations are refused; free ones and restoring work",
    ("paid",): "free operations are refused; paid ones and restoring work",
    ("free", "paid"): "everything still works",
}
_EVERY: Final[Mapping[str, str]] = {"1 week": "weekly", "7 days": "weekly", "1 day": "daily", "1 month": "monthly"}


@attrs.frozen
class Wording:
    """What stands in the states and on the arrows.

    Attributes:
        policy: the name of the policy whose figures are told; empty where times are told by name.
        states: state -> what it means.
        when: trigger and source -> when it comes, for timed events; the earliest counts.
        guards: guard -> its words.
        notes: what is told below the picture.

    """

    policy: str
    states: Mapping[str, str]
    when: Mapping[tuple[str, str], tuple[str, ...]]
    guards: Mapping[str, str]
    notes: tuple[str, ...]


SYMBOLIC: Final = Wording("", _STATES, _WHEN, GUARDS, ())
"""The words that hold under every policy: a time is told by its name."""


def wording_of(policy: Policy) -> Wording:
    """Word states and arrows with a policy's figures."""
    granted = [kind for kind, grace in policy.grace.items() if grace]
    valid, expiring = _every(policy.cadence.valid), _every(policy.cadence.expiring)
    when = {
        ("expiring", VALID): (f"{policy.expiring} before the expiration date",),
        ("grace_over", GRACE): (_grace(policy),),
        ("check_due", SCHEDULED): (f"{valid} in Valid, {expiring} from Expiring on", _LAST),
        ("check_due", RETRYING): (*_again(policy), _LAST),
    }
    guards = {
        "has_grace": f"has grace: {_listed(granted, 'or') or 'no license type'}",
        "last_chance": f"last chance: the retry period is over, {retry_period(policy)}",
    }
    return Wording(
        policy.name,
        {**_STATES, FREE_MODE: _FREE_MODE[tuple(sorted({*policy.free_mode_allows}))]},
        {**_WHEN, **when},
        {**GUARDS, **guards},
        (_announced(policy),),
    )


def name_of(name: str) -> str:
    """Write a name of the table as words."""
    return name.replace("_", " ")


def allowed(policy: Policy) -> str:
    """Say which kinds of operation work in FreeMode."""
    return _listed((*(f"{kind} operations" for kind in policy.free_mode_allows), "restoring"))


def retry_period(policy: Policy) -> str:
    """Say how long after expiry retrying ends."""
    return (
        f"{policy.retry_period} after expiry"
        if policy.retry_period
        else "as many days after expiry as the month of expiry has"
    )


def retries(policy: Policy) -> dict[str, tuple[str, ...]]:
    """Tell after which interval which outcomes are asked again: interval -> outcomes; the commonest last."""
    outcomes = by_length({name: rule.retry for name, rule in policy.outcomes.items() if rule.retry})
    return dict(sorted(outcomes.items(), key=lambda found: len(found[1])))


def by_length(spans: Mapping[str, Span | None]) -> dict[str, tuple[str, ...]]:
    """Turn a mapping round: length of time -> what has it; what has none is left out."""
    found: dict[str, list[str]] = {}
    for name, span in spans.items():
        if span:
            found.setdefault(str(span), []).append(name_of(name))
    return {span: tuple(names) for span, names in found.items()}


def _every(span: Span) -> str:
    return _EVERY.get(str(span), f"every {span}")


def _grace(policy: Policy) -> str:
    """Say how long grace is: what most license types have, and in brackets the others."""
    usual, others = _usual(by_length(policy.grace))
    return f"after {usual} of grace{others}" if usual else "never"


def _again(policy: Policy) -> tuple[str, ...]:
    """Say how long after a failure the server is asked again."""
    *some, last = retries(policy).items() or [("", ())]
    words = [f"every {span} ({_listed(names, 'or')})" for span, names in some]
    return (*words, f"every {last[0]}{' (other failures)' if some else ''}") if last[0] else ()


def _announced(policy: Policy) -> str:
    """Say when a user is told that the license will expire."""
    spans = {kind: policy.announce.get(kind, policy.expiring) for kind in policy.grace}
    lengths = by_length(spans)
    never = [name_of(kind) for kind, span in spans.items() if not span]
    if not lengths:
        return "That the license will expire is not announced."
    all_alike = len(lengths) == 1 and not never
    told = [span if all_alike else f"{span} ({_listed(names)})" for span, names in lengths.items()]
    end = f", not for {_listed(never)}" if never else ""
    return f"That the license will expire is announced before the expiration date: {', '.join(told)}{end}."


def _usual(lengths: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """Give the commonest length of time, and the others in brackets; empty where there is none."""
    if not lengths:
        return "", ""
    usual = max(lengths, key=lambda span: len(lengths[span]))
    others = "; ".join(f"{_listed(names)}: {span}" for span, names in lengths.items() if span != usual)
    return usual, f" ({others})" if others else ""


def _listed(words: Sequence[str], word: str = "and") -> str:
    return f" {word} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
