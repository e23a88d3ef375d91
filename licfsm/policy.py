"""What a product decides: cadences, graces, what each outcome leads to, texts. All of it is data.

A policy can choose among the reactions that the lifecycle knows (rules.md 4.1); it can name no state.
Policies are read from YAML by ``licfsm.loading``; the built-in ones lie in ``licfsm/policies``. This
module also derives the dates that a key implies under a policy (rules.md 1.4 to 1.6).
"""

from __future__ import annotations

import datetime as dt
import functools
from calendar import monthrange
from collections.abc import Mapping
from typing import Final

import attrs

from licfsm import instants
from licfsm.errors import InvalidValue
from licfsm.instants import NEVER, Span
from licfsm.key import LicenseKey

__all__ = [
    "FAILURES",
    "MAIL_REPEATS",
    "NOTIFICATIONS",
    "OUTCOMES",
    "REACTIONS",
    "Cadence",
    "Dates",
    "Outcome",
    "Policy",
    "Texts",
    "named",
]

REACTIONS: Final = ("renewed", "current", "retry", "give_up")
"""What an answer can lead to (rules.md 4.1)."""

FAILURES: Final = frozenset({"retry", "give_up"})
"""The reactions to an outcome that is a failure."""

OUTCOMES: Final = (
    "new_key",
    "up_to_date",
    "connection_failed",
    "generation_failed",
    "request_refused",
    "unsupported_type",
    "answer_rejected",
    "key_rejected",
    "contract_terminated",
)
"""What a check can come to (rules.md 4.1)."""

NOTIFICATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "update_failed": ("reason",),
    "recovered": (),
    "key_installed": ("license", "until"),
    "key_installed_while_off": ("license", "until"),
    "install_target_failed": ("target", "reason"),
    "expiring": ("license", "until", "days"),
    "grace_started": ("license", "days"),
    "free_mode_entered": ("license",),
    "auto_update_disabled": ("reason",),
    "auto_update_resumed": (),
    "policy_changed": ("old", "new"),
    "clock_went_back": ("clock", "memory"),
    "clock_corrected": ("clock", "memory"),
}
"""The notices of rules.md 8.2, and what their texts may speak of."""

MAIL_REPEATS: Final = ("every_failure", "on_change", "none")
"""How often failures are mailed (rules.md 8.2); ``none``: there are no mail settings."""


@attrs.frozen
class Outcome:
    """What an outcome leads to: the reaction, the session's result and text, and the retry interval.

    Attributes:
        reaction: one of `REACTIONS`.
        session: ``success``, ``warning`` or ``failed``, the result of the check's session entry.
        text: what the session entry says.
        retry: how long after the start of the attempt the next one is; only with ``retry``.

    """

    reaction: str
    session: str
    text: str
    retry: Span | None = None

    @property
    def failed(self) -> bool:
        """Whether the outcome is a failure."""
        return self.reaction in FAILURES


@attrs.frozen
class Cadence:
    """How often the server is asked.

    Attributes:
        valid: while `Valid` (rules.md 3.1).
        expiring: from the start of `Expiring` on, in grace and after it, too (3.2).

    """

    valid: Span
    expiring: Span


@attrs.frozen
class Texts:
    """What a user reads in each state (rules.md 2.4); ``{days}`` is ``1 day`` or ``14 days``."""

    valid: str
    valid_perpetual: str
    grace: str
    expired: str
    not_installed: str
    job_warning: str
    session: str
    key_received: str
    key_installed: str
    key_updated: str
    target_failed: str
    interrupted: str
    called_off: str
    refused: str = "License key has expired"


@attrs.frozen(weakref_slot=False)
class Dates:
    """The deadlines that a key implies under a policy, in milliseconds; NEVER where there is none."""

    announce_at: int
    expiring_at: int
    expires_at: int
    grace_until: int
    retry_until: int


_NO_DATES: Final = Dates(NEVER, NEVER, NEVER, NEVER, NEVER)


@attrs.frozen(eq=False)
class Policy:
    """A product's decisions; immutable and shared by all its licenses.

    Attributes:
        name: the name it is chosen by.
        expiring: how long before the expiration date `Expiring` begins (rules.md 1.4).
        announce: license type -> how long before the expiration date the expiry is announced, None for
            never; a type that is not listed is announced when `Expiring` begins (8.2).
        grace: license type -> grace period, None for none (2.1); lists every type there is.
        free_mode_allows: the kinds of operation, of ``paid`` and ``free``, that work in `FreeMode`; those
            that are never refused aside (2.3).
        cadence: how often the server is asked (3.1, 3.2).
        retry_period: how long after the expiration date retrying ends; None: as many days as the month
            of the expiration date has (1.5).
        outcomes: outcome -> what it leads to (4.1); lists every outcome.
        mail_repeat: how often failures are mailed, one of `MAIL_REPEATS` (8.2).
        texts: what a user reads (2.4).
        notifications: the text of each notice (8.2).

    """

    name: str
    expiring: Span
    announce: Mapping[str, Span | None]
    grace: Mapping[str, Span | None]
    free_mode_allows: tuple[str, ...]
    cadence: Cadence
    retry_period: Span | None
    outcomes: Mapping[str, Outcome]
    mail_repeat: str
    texts: Texts
    notifications: Mapping[str, str]

    def dates(self, key: LicenseKey) -> Dates:
        """Derive a key's deadlines (rules.md 1.3 to 1.6).

        Raises:
            InvalidValue: the policy knows no such license type.

        """
        if key.type not in self.grace:
            message = f"policy {self.name} knows no license type {key.type!r}, only {', '.join(self.grace)}"
            raise InvalidValue(message)
        grace = self.grace[key.type]
        day = key.expiry_date
        if day is None:
            return _NO_DATES
        month = Span(days=monthrange(day.year, day.month)[1])
        step = functools.partial(_deadline, key, day)
        expiring_at = announce_at = step(self.expiring, -1)
        if key.type in self.announce:
            announce = self.announce[key.type]
            announce_at = step(announce, -1) if announce else NEVER
        return Dates(
            announce_at=announce_at,
            expiring_at=expiring_at,
            expires_at=key.expires_at,
            grace_until=step(grace) if grace else key.expires_at,
            retry_until=step(self.retry_period or month),
        )


def _deadline(key: LicenseKey, day: dt.date, span: Span, sign: int = 1) -> int:
    """Step from the expiration date, or from an exact expiry's wall-clock time (rules.md 1.3)."""
    if isinstance(key.expires, dt.datetime):
        return span.after(key.expires_at, key.zone, sign)
    then = span.shift(dt.datetime.combine(day, dt.time()), sign).date()
    return instants.start_of_day(then, key.zone) if sign < 0 else instants.end_of_day(then, key.zone)


@functools.lru_cache(maxsize=64)
def named(name: str) -> Policy:
    """Find a built-in policy by its name.

    Raises:
        InvalidValue: there is none of that name.

    """
    from licfsm.loading.policies import built_in  # YAML is read only when a policy is wanted

    return built_in(name)
