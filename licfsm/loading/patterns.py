"""What a text in a file may look like, as patterns for a JSON Schema.

They are written in what the regular expressions of Python and of JavaScript have in common, and never refuse
what the loader takes; what it refuses beyond a pattern (a 30 February, a span of over 100 years) only it tells.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["COUNT", "ID", "TRUTH", "TYPE", "ZONE", "calendar_span", "exact_span", "nonzero_span", "template", "time"]

_CALENDAR: Final = ("day", "week", "month")
_EXACT: Final = ("second", "minute", "hour", "day", "week")
_DAY: Final = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_OFFSET: Final = r"(?:Z|[+-]\d{2}:?\d{2})"
_INSTANT: Final = rf"{_DAY}(?:[T ][0-2]\d:[0-5]\d(?::[0-5]\d(?:\.\d{{1,6}})?)?{_OFFSET}?)?"

ID: Final = r"^[A-Za-z0-9._-]{1,64}$"
TYPE: Final = r"^[a-z0-9_-]{1,64}$"
ZONE: Final = r"^[A-Za-z0-9_+/-]{1,64}$"
COUNT: Final = r"^[0-9]{1,12}$"


def _any_case(word: str) -> str:
    return "".join(f"[{letter.upper()}{letter}]" for letter in word)


def _units(words: tuple[str, ...]) -> str:
    return f"(?:{'|'.join(_any_case(word) for word in words)})s?"


TRUTH: Final = f"^(?:{_any_case('true')}|{_any_case('false')})$"
_ALL: Final = _units((*_EXACT, "month"))
_NUMBER: Final = "[0-9]{1,12}"
_NOT_ZERO: Final = r"(?!0+\s)"


def calendar_span(*words: str) -> str:
    """Match a number of days, weeks or months, or one of some words."""
    spans = rf"\s*{_NOT_ZERO}{_NUMBER}\s+{_units(_CALENDAR)}\s*"
    return f"^(?:{'|'.join([*map(re.escape, words), spans])})$".replace("\\ ", " ")


def exact_span() -> str:
    """Match a number of seconds up to weeks; nothing, in months, is still nothing."""
    return rf"^\s*(?:{_NUMBER}\s+{_units(_EXACT)}|0{{1,12}}\s+{_units(('month',))})\s*$"


def nonzero_span() -> str:
    """Match a length of time that is longer than nothing."""
    return rf"^\s*{_NOT_ZERO}{_NUMBER}\s+{_ALL}\s*$"


def time(*bases: str, alone: str = "") -> str:
    """Match a date or a time, or one of some words, and steps from it.

    Args:
        bases: the words that steps may start from.
        alone: a word that stands without steps, if there is one.

    """
    stepped = rf"(?:{'|'.join([*bases, _INSTANT])})(?:\s*[+-]\s*{_NUMBER}\s*{_ALL})*"
    return rf"^\s*(?:{alone}|{stepped})\s*$" if alone else rf"^\s*{stepped}\s*$"


def template(fields: tuple[str, ...]) -> str:
    """Match a text with these placeholders; without any, braces have no place in it."""
    if not fields:
        return r"^[^{}]*$"
    return rf"^(?:[^{{}}]|\{{\{{|\}}\}}|\{{(?:{'|'.join(fields)}):?\}})*$"
