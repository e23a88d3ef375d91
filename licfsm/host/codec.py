"""What a store keeps as text and numbers, and what it stands for: events, records, policies.

What comes out of a store was perhaps changed by hand: a row that cannot be what this package wrote is told as such.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import attrs
import cattrs

from licfsm import effects as fx
from licfsm import events as ev
from licfsm.errors import StoreDamaged
from licfsm.instants import EARLIEST, LATEST, NEVER, Span
from licfsm.key import LicenseKey
from licfsm.lifecycle import AUTO_UPDATE, CHECKING, ENTITLEMENT, REGIONS
from licfsm.policy import OUTCOMES, Policy
from licfsm.record import FailureMail, Record, TargetWrite

__all__ = [
    "decode_event",
    "decode_policy",
    "decode_record",
    "encode_event",
    "encode_moves",
    "encode_policy",
    "encode_record",
]

_encode: Final = json.JSONEncoder(separators=(",", ":")).encode

EVENTS: Final[Mapping[str, type]] = {
    "tick": ev.Tick,
    "clock_stepped": ev.ClockStepped,
    "restarted": ev.Restarted,
    "enable": ev.Enable,
    "disable": ev.Disable,
    "check_now": ev.CheckNow,
    "install": ev.Install,
    "first_installed": ev.FirstInstalled,
    "policy_changed": ev.PolicyChanged,
    "answered": ev.Answered,
    "target_named": ev.TargetNamed,
    "target_written": ev.TargetWritten,
    "target_failed": ev.TargetFailed,
}
"""The names of events in the journal."""

_SPAN_PARTS: Final = 4
_NAMES: Final = {kind: name for name, kind in EVENTS.items()}
_FIELDS: Final[dict[type, tuple[tuple[str, object], ...]]] = {
    kind: tuple((field.name, field.default) for field in attrs.fields(kind)) for kind in EVENTS.values()
}


def encode_event(event: ev.Event, key_number: Callable[[LicenseKey], int]) -> tuple[str, str | None]:
    """Write an event as its name and details; a key as the number that the store knows it by."""
    kind = type(event)
    details = {}
    for name, default in _FIELDS[kind]:
        value = getattr(event, name)
        if value == default:
            continue
        if isinstance(value, LicenseKey):
            value = key_number(value)
        elif isinstance(value, Policy):
            value = encode_policy(value)[0]
        details[name] = value
    return _NAMES[kind], _encode(details) if details else None


def decode_event(
    name: str, details: str | None, key_of: Callable[[int], LicenseKey], policy_of: Callable[[str], Policy]
) -> ev.Event:
    """Read an event back.

    Args:
        name: its name in the journal.
        details: its details there.
        key_of: finds a key by its number.
        policy_of: finds a policy by its digest.

    Raises:
        StoreDamaged: this package wrote no such thing.

    """
    try:
        values = json.loads(details) if details else {}
        if "key" in values:
            values["key"] = key_of(values["key"])
        if "policy" in values:
            values["policy"] = policy_of(values["policy"])
        event: ev.Event = EVENTS[name](**values)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        message = f"the journal holds no event that can be read: {name} {str(details)[:200]}"
        raise StoreDamaged(message) from error
    return event


def encode_moves(moves: Iterable[fx.Moved]) -> str:
    """Write transitions."""
    return _encode(list(moves))


# ---------------------------------------------------------------------------------------------- records


def encode_record(record: Record) -> tuple[Any, ...]:
    """Write a record as its columns, in their order."""
    mailed, writes = record.mailed, record.writes
    return (
        record.entitlement,
        record.auto_update,
        record.origin,
        record.by_user,
        record.attempt,
        record.asked_at,
        record.asked_due,
        record.counts_from,
        record.next_at,
        record.give_up_at,
        record.excused,
        record.disabled_by,
        record.last_outcome,
        record.failing,
        None if mailed is None else _encode([mailed.outcome, mailed.at, mailed.repeats]),
        record.told,
        record.held,
        record.latest,
        record.confirm_at,
        record.went_back,
        _encode([attrs.astuple(write) for write in writes]) if writes else None,
    )


def decode_record(row: Mapping[str, Any]) -> Record:
    """Read a record back from its row.

    Raises:
        StoreDamaged: a column holds what this package never wrote there; the message names it.

    """
    for name in ("version", "notices"):
        if not _is_count(row.get(name, 0)):
            message = f"{name} cannot be {str(row[name])[:60]!r}"
            raise StoreDamaged(message)
    record = Record(**{name: _read_column(name, row[name]) for name in Record.__slots__})
    if record.auto_update == CHECKING and record.origin is None:
        message = "origin cannot be nothing in Checking"
        raise StoreDamaged(message)
    return record


_STATES: Final[Mapping[str, tuple[object, ...]]] = {
    "entitlement": REGIONS[ENTITLEMENT],
    "auto_update": REGIONS[AUTO_UPDATE],
    "origin": (None, *REGIONS[AUTO_UPDATE]),
    "disabled_by": (None, "deadline", "contract"),
    "last_outcome": ("", *OUTCOMES),
}
_FLAGS: Final = frozenset({"by_user", "excused", "failing", "held", "went_back"})
_COUNTS: Final = {"attempt": 1 << 53, "told": 7}
_DEADLINES: Final = frozenset({"next_at", "give_up_at", "confirm_at"})
"""Times that may be never."""


def _read_column(name: str, value: Any) -> Any:
    try:
        if name in _TEXTS:
            return _TEXTS[name](value)
        if name in _STATES:
            good = value in _STATES[name]
        elif name in _FLAGS:
            good = value in {0, 1}
            value = bool(value)
        elif name in _COUNTS:
            good = type(value) is int and 0 <= value <= _COUNTS[name]
        else:
            good = _is_instant(value) or (name in _DEADLINES and value == NEVER)
    except (ValueError, TypeError, RecursionError):
        good = False
    if not good:
        message = f"{name} cannot be {str(value)[:60]!r}"
        raise StoreDamaged(message)
    return value


def _is_instant(value: object) -> bool:
    return type(value) is int and EARLIEST <= value <= LATEST


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _COUNTS["attempt"]


def _read_mailed(text: str | None) -> FailureMail | None:
    if text is None:
        return None
    outcome, at, repeats = json.loads(text)
    if outcome not in OUTCOMES or not _is_instant(at) or not _is_count(repeats):
        raise ValueError(text)
    return FailureMail(outcome, at, repeats)


def _read_writes(text: str | None) -> tuple[TargetWrite, ...]:
    writes = tuple(TargetWrite(*values) for values in json.loads(text)) if text is not None else ()
    for write in writes:
        numbers = _is_count(write.attempt) and _is_instant(write.retry_at)
        told = write.told_at is None or _is_instant(write.told_at)
        flags = isinstance(write.warned, bool) and isinstance(write.under_way, bool)
        if not (isinstance(write.target, str) and numbers and told and flags):
            raise ValueError(text)
    return writes


_TEXTS: Final[Mapping[str, Callable[[Any], Any]]] = {"mailed": _read_mailed, "writes": _read_writes}


# ---------------------------------------------------------------------------------------------- policies


@functools.cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    converter.register_unstructure_hook(Span, lambda span: [span.months, span.days, span.ms, span.text])
    converter.register_structure_hook(Span, lambda value, _: _read_span(*value))
    return converter


def _read_span(months: object, days: object, ms: object, text: object) -> Span:
    if not (type(months) is int and type(days) is int and type(ms) is int and isinstance(text, str)):
        raise TypeError(text)
    return Span(months, days, ms, text)


@functools.lru_cache(maxsize=64)
def encode_policy(policy: Policy) -> tuple[str, str]:
    """Write a policy whole, with a digest of what it decides: another text makes no other policy."""
    document = _converter().unstructure(policy)
    decides = {name: value for name, value in document.items() if name not in {"texts", "notifications"}}
    decides["outcomes"] = {
        name: {part: value for part, value in outcome.items() if part != "text"}
        for name, outcome in document["outcomes"].items()
    }
    plain = json.dumps(_wordless(decides), sort_keys=True)
    digest = hashlib.sha256(plain.encode()).hexdigest()
    return digest[:32], json.dumps(document)


def _wordless(value: Any) -> Any:
    """Leave out the words in which a length of time was written: two weeks are 14 days."""
    if isinstance(value, dict):
        return {name: _wordless(part) for name, part in value.items()}
    return value[:3] if isinstance(value, list) and len(value) == _SPAN_PARTS else value


@functools.lru_cache(maxsize=64)
def decode_policy(document: str) -> Policy:
    """Read a policy back.

    Raises:
        StoreDamaged: it is none.

    """
    try:
        return _converter().structure(json.loads(document), Policy)
    except (ValueError, TypeError, RecursionError, cattrs.BaseValidationError) as error:
        message = "a policy in the store cannot be read"
        raise StoreDamaged(message) from error
