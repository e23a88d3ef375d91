"""What a license key says: the values that were signed, and nothing derived from a policy.

Rules: rules.md 1.1 (expiry), 4.3 (which key replaces which), 8.3 (untrusted text, license ids).
"""

from __future__ import annotations

import datetime as dt
import itertools
import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs
import pendulum

from licfsm import instants
from licfsm.errors import InvalidValue

__all__ = ["LATEST_EXPIRY", "LicenseKey", "clean_text", "valid_id", "valid_type"]

_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TYPE: Final = re.compile(r"[a-z0-9_-]{1,64}")
LONGEST_TEXT: Final = 500
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of what controls a text rather than being part of it."""

EARLIEST_YEAR: Final = 1000
LATEST_EXPIRY: Final = dt.date(9000, 1, 1)
_TOO_LATE: Final = f"expiry {{}} lies after {LATEST_EXPIRY}; leave it out for a perpetual key"


def clean_text(text: str) -> str:
    """Strip control characters from untrusted text and cut it at 500 characters (rules.md 8.3)."""
    if len(text) <= LONGEST_TEXT and text.isprintable():
        return text
    shown = (character for character in text if unicodedata.category(character) not in _UNSEEN)
    return "".join(itertools.islice(shown, LONGEST_TEXT))


def valid_id(value: str) -> str:
    """Take a license id, or raise InvalidValue (rules.md 8.3)."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        message = f"license id {str(value)[:64]!r} must be 1 to 64 of the characters A-Z a-z 0-9 . _ -"
        raise InvalidValue(message)
    return value


def valid_type(value: str) -> str:
    """Take a license type, a word of the policy, or raise InvalidValue."""
    if not isinstance(value, str) or not _TYPE.fullmatch(value):
        message = f"license type {value!r:.66} must be 1 to 64 of the characters a-z 0-9 _ -"
        raise InvalidValue(message)
    return value


def _zone(value: str | pendulum.Timezone) -> pendulum.Timezone:
    return value if isinstance(value, pendulum.Timezone) else instants.zone(value)


def _read(value: dt.date | str | None) -> dt.date | None:
    """Read text as a date, or a time; one without an offset stays naive until the zone is known."""
    if value is None or isinstance(value, dt.date):
        return value
    if not isinstance(value, str):
        message = f"{value!r} is no date or time; give a date, a datetime, or ISO text"
        raise InvalidValue(message)
    found = instants.parse_instant(value, instants.UTC)
    if isinstance(found, dt.date):
        return found
    moment = instants.from_ms(found)
    return moment if instants.has_offset(value) else moment.naive()


def _check_years(expires: dt.date | None) -> None:
    """Refuse an expiry with which the calendar cannot reckon (rules.md 1.1)."""
    if expires and expires.year > LATEST_EXPIRY.year:
        raise InvalidValue(_TOO_LATE.format(expires))
    if expires and expires.year < EARLIEST_YEAR:
        message = f"expiry {expires} lies before the year {EARLIEST_YEAR}"
        raise InvalidValue(message)


def _in_zone(value: dt.date | None, tz: pendulum.Timezone) -> dt.date | None:
    """Bring a time into the zone, in whole milliseconds; a date stays a date."""
    if isinstance(value, dt.datetime):
        # A naive pendulum datetime has arithmetic of its own: a plain one is what the zone can place.
        plain = dt.datetime.combine(value.date(), value.time())
        ms = instants.to_ms(value) if value.tzinfo else instants.at_wall(plain, tz)
        return instants.from_ms(instants.in_range(ms, str(value)), tz)
    if value is None:
        return None
    instants.in_range(instants.at_wall(dt.datetime.combine(value, dt.time()), instants.UTC), str(value))
    return pendulum.Date(value.year, value.month, value.day)


def _counts(value: Mapping[str, int]) -> Mapping[str, int]:
    return value if isinstance(value, MappingProxyType) else MappingProxyType(dict(value))


@attrs.frozen(kw_only=True, weakref_slot=False)
class LicenseKey:
    """One license key, as issued.

    Attributes:
        id: the license's id, 1 to 64 of ``A-Za-z0-9._-`` (rules.md 8.3); all its keys carry it.
        type: what was sold, a word of the policy (``subscription``, ``rental``, ...).
        zone: the time zone of its dates; an IANA name will do.
        expires: the last day on which it is valid (a date), the exact instant at which it ends being
            valid (a datetime), or None for a perpetual key (rules.md 1.1). Text in ISO form will do.
        issued: when it was issued; None is earlier than every other.
        product, edition, holder: text from the issuer, shown only cleaned (rules.md 8.3).
        counts: what the key allows, such as ``{"sockets": 16}``.
        signed: the text that was signed, from which all else was read; empty for a key made by hand. Two keys
            that say the same are equal, whoever signed them.
        expires_at: the expiry in milliseconds since 1970 in UTC; `instants.NEVER` for a perpetual key.
        issued_at: the time of issue, likewise.

    Raises:
        InvalidValue: a value breaks its rule, or the expiry lies after 9000-01-01.

    """

    id: str = attrs.field(converter=valid_id)
    type: str = attrs.field(converter=valid_type)
    zone: pendulum.Timezone = attrs.field(default=instants.UTC, converter=_zone)
    expires: dt.date | None = attrs.field(default=None, converter=_read)
    issued: dt.date | None = attrs.field(default=None, converter=_read)
    product: str = ""
    edition: str = ""
    holder: str = ""
    counts: Mapping[str, int] = attrs.field(factory=dict, converter=_counts, hash=False)
    signed: str = attrs.field(default="", eq=False, repr=False)
    expires_at: int = attrs.field(init=False, repr=False)
    issued_at: int = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Bring the times into the zone, and derive the instants that are compared."""
        put = object.__setattr__
        _check_years(self.expires)
        put(self, "expires", _in_zone(self.expires, self.zone))
        put(self, "issued", _in_zone(self.issued, self.zone))
        put(self, "expires_at", self._expires_at())
        put(self, "issued_at", self._issued_at())

    def _expires_at(self) -> int:
        day = self.expiry_date
        if day is None:
            return instants.NEVER
        if day > LATEST_EXPIRY:
            raise InvalidValue(_TOO_LATE.format(day))
        if isinstance(self.expires, dt.datetime):
            return instants.to_ms(self.expires)
        return instants.end_of_day(day, self.zone)

    def _issued_at(self) -> int:
        if self.issued is None:
            return -instants.NEVER
        if isinstance(self.issued, dt.datetime):
            return instants.to_ms(self.issued)
        return instants.start_of_day(self.issued, self.zone)

    @property
    def expiry(self) -> pendulum.DateTime | None:
        """The instant at which it expires, in its zone; None for a perpetual key."""
        return None if self.expires is None else instants.from_ms(self.expires_at, self.zone)

    @property
    def expiry_date(self) -> dt.date | None:
        """The date of which the rules speak: the last valid day, or an instant's local date (1.3)."""
        return self.expires.date() if isinstance(self.expires, dt.datetime) else self.expires
