"""What is wrong with a file that is no YAML, in the words of whoever wrote it, with the remedy.

The parser says what it looked for; its words are those of the YAML specification, and differ between PyYAML's
two parsers. Here its finding and the text at that place become what a user can act on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import attrs
import yaml

__all__ = ["DEEPEST", "LINE_BREAK", "TOO_DEEP", "Place", "explained"]

DEEPEST: Final = 40
"""How many mappings and lists may lie within each other."""

TOO_DEEP: Final = f"nested deeper than {DEEPEST} levels"
LINE_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
Place = tuple[int, int]
"""Line and column, counted from 1."""

_CLOSES: Final = {"[": "]", "{": "}"}
_KEY_BEFORE: Final = re.compile(r"\s*(?:- +)*[^\s#].*?:\s")
"""A key and its colon: what makes a second colon in the line one too many."""


@attrs.frozen
class _Site:
    """Where the parser stopped.

    Attributes:
        place: where it could not go on.
        opened: where what it was reading begins, if it says so.
        found: the character at that place; nothing at the end of a line.
        opener: the character where it begins.
        before: the line up to that place.
    """

    place: Place
    opened: Place
    found: str
    opener: str
    before: str


def explained(error: yaml.MarkedYAMLError, text: str) -> tuple[Place, str]:
    """Say where a text is no YAML, what is wrong, and what to do.

    Args:
        error: what the parser found.
        text: what it read.

    """
    lines = LINE_BREAK.split(text)
    place = _place(error.problem_mark or error.context_mark, lines)
    opened = _place(error.context_mark, lines) if error.context_mark else place
    site = _Site(place, opened, _at(lines, place), _at(lines, opened), lines[place[0] - 1][: place[1] - 1])
    if site.found == "\t":
        return place, "a tab cannot stand here; use spaces, for indenting too"
    said = f"{error.context or ''}: {error.problem or ''}"
    for pattern, message in _AT_ITS_BEGIN.items():
        if re.search(pattern, said):
            return opened, message(site)
    for pattern, message in _AT_ITS_PLACE.items():
        if re.search(pattern, said):
            return place, message(site)
    return place, f"no valid YAML ({error.problem}); check indentation, brackets and quotes, here and above"


def _place(mark: Any, lines: list[str]) -> Place:
    """Turn the parser's mark into a place that is there.

    What is missing at the end of a file without a last line break is marked on the line after it.
    """
    last = (len(lines), len(lines[-1]) + 1)
    return min((mark.line + 1, mark.column + 1), last) if mark else (1, 1)


def _at(lines: list[str], place: Place) -> str:
    return lines[place[0] - 1][place[1] - 1 : place[1]]


def _bad_begin(site: _Site) -> str:
    return f"a text cannot begin with {site.found!r}; put the text in quotes"


def _colon(site: _Site) -> str:
    if _KEY_BEFORE.match(site.before):
        return "a second ': ' in one line; put the text in quotes, or begin a new line for a new key"
    return "this key does not fit the line above; indent it like its neighbors, and put a space after every colon"


def _open_bracket(site: _Site) -> str:
    begin = f"'{site.opener}' at {site.opened[0]}:{site.opened[1]}"
    close = _CLOSES.get(site.opener, "]")
    return f"',' or '{close}' is missing before this: {begin} is still open; a text with , : [ ] {{ }} needs quotes"


def _no_value(site: _Site) -> str:
    found = site.found
    if not found or found in "-.":
        return "the file ends within brackets; close them with ']' or '}'"
    return f"a value is missing before {found!r}; write one, take {found!r} out, or put the text in quotes"


def _misfit(site: _Site, *, in_list: bool) -> str:
    if site.before.strip():
        if site.found in {"]", "}"}:
            return f"{site.found!r} closes nothing; take it out, or put the text in quotes"
        return "the value has ended before this; put all of it in quotes, and write '' for a ' within '...'"
    if in_list and site.found != "-":
        return "neither a list item nor indented like one; begin it with '- ', or indent it like its neighbors"
    if not in_list and site.found == "-":
        return "a list item cannot stand here, among keys; indent it like its neighbors, deeper than the list's key"
    return "the indentation of this line fits none above; indent it like its neighbors, with spaces"


_Explain = Callable[[_Site], str]
_AT_ITS_BEGIN: Final[dict[str, _Explain]] = {
    "a quoted scalar: found unexpected": lambda site: (
        f"the quote {site.opener} that begins here is never closed; close it"
    ),
    "could not find expected ':'": lambda _: "a key needs a colon and a space after it: write 'key: value'",
}
_AT_ITS_PLACE: Final[dict[str, _Explain]] = {
    "nesting depth": lambda _: TOO_DEEP,  # newer parsers have a limit of their own, and meet it first
    "cannot start any token": _bad_begin,
    "mapping values are not allowed": _colon,
    "a flow mapping|a flow sequence": _open_bracket,
    "node content": _no_value,
    "escape|hexdecimal": lambda _: r"'\' has a meaning in double quotes; write '\\' for one, or use single quotes",
    r"an alias|an anchor|\btag\b": lambda _: "a text cannot begin with '*', '&' or '!'; put the text in quotes",
    "a block scalar": lambda _: "'|' and '>' begin a text on the lines below; put a text of one line in quotes",
    "sequence entries are not": lambda _: "a list cannot begin here; begin a new line, or put the text in quotes",
    "mapping keys are not": lambda _: "'? ' cannot stand here; put the text in quotes",
    "directive|incompatible|document start": lambda _: (
        "a file holds one document; take out lines with '%' or after '...'"
    ),
    "a block mapping": lambda site: _misfit(site, in_list=False),
    "a block collection": lambda site: _misfit(site, in_list=True),
}
"""What the parser says, in the words of either of its kinds -> what is wrong, in a user's; the first that fits counts."""
