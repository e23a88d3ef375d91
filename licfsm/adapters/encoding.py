"""Bytes and JSON that an attacker may have written: read in the one way that there is, or refused.

Where a text could be spelled in two ways, somebody could make a second one of what an issuer signed; where it could
be read in two ways, it could say one thing here and another elsewhere. So base64url has one spelling, and JSON is
only what any two readers read alike. What the text is for, this module does not know: it says what is wrong, and its
callers say with what.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from licfsm.errors import InvalidValue
from licfsm.key import clean_text

__all__ = ["from_base64url", "json_object", "shown", "to_base64url"]

DEEPEST: Final = 16
"""Levels of objects and lists in one another; a license key needs two, the rest is for notes."""

_SHOWN: Final = 64


def to_base64url(data: bytes) -> str:
    """Encode as RFC 7515 says: base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """Decode base64url in its one spelling: no padding, no bits left over.

    Raises:
        InvalidValue: it is spelled in any other way.

    """
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        data = b""
    if to_base64url(data) != text:
        message = "it is not the base64url that an issuer writes; was the text cut short?"
        raise InvalidValue(message)
    return data


def json_object(data: bytes | str, what: str) -> dict[str, Any]:
    """Read a JSON object that any two readers read alike: nothing twice, no NaN, no depth that some cannot hold.

    Args:
        data: what was written; bytes are UTF-8 without the mark of a byte order.
        what: what a refusal begins with, such as "its header".

    Raises:
        InvalidValue: it is none; what it says twice is shown cleaned.

    """
    try:
        found = json.loads(
            data.decode() if isinstance(data, bytes) else data, object_pairs_hook=_once, parse_constant=_no_number
        )
    except InvalidValue as error:
        message = f"{what} {error}"
        raise InvalidValue(message) from None
    except (ValueError, RecursionError):  # also nesting without end, and numbers of thousands of digits
        found = None
    if not isinstance(found, dict) or _is_deep(found):
        message = f"{what} is no JSON object that can be read"
        raise InvalidValue(message)
    return found


def shown(value: object) -> str:
    """Show a value as a refusal may: text cleaned (rules.md 8.3) and cut, nothing of another type."""
    return repr(clean_text(value)[:_SHOWN]) if isinstance(value, str) else "something else"


def _is_deep(found: object) -> bool:
    level: list[Any] = [found]
    for _ in range(DEEPEST):
        parts = [value.values() if isinstance(value, dict) else value for value in level]
        level = [value for part in parts for value in part if isinstance(value, dict | list)]
    return bool(level)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            message = f"says {shown(name)} twice"
            raise InvalidValue(message)
        found[name] = value
    return found


def _no_number(name: str) -> None:
    raise ValueError(name)
