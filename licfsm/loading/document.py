"""A YAML file as plain values that know where they stand, so that every mistake can be told with its place.

PyYAML's event stream is read, not its constructors: every plain scalar stays the text that was written
(``Off`` is no boolean, ``12:30`` no number, ``010`` no octal), and only ``~``, ``null`` and nothing at all
are None. The stream needs no recursion, so nesting cannot overflow the stack; aliases share one value, and
what they stand for counts each time, so they cannot multiply.
"""

from __future__ import annotations

import codecs
import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Self

import attrs
import yaml

from licfsm.errors import InvalidFile, Mistake
from licfsm.loading.syntax import DEEPEST, LINE_BREAK, TOO_DEEP, Place, explained

__all__ = ["Items", "Place", "Scalar", "Section", "closest", "is_file", "nearest", "quoted", "read_document"]

LARGEST_FILE: Final = 1 << 20
MOST_VALUES: Final = 100_000
"""How many keys, texts, lists and mappings a file may hold, each alias counted as what it stands for."""

LONGEST_QUOTE: Final = 60
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONTROL: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What YAML allows nowhere; looked for here, since the parser counts its place in bytes."""


class Scalar(str):
    """A text that knows its place."""

    __slots__ = ("place",)
    place: Place

    def __new__(cls, text: str, place: Place) -> Self:
        """Make a text with its place."""
        self = super().__new__(cls, text)
        self.place = place
        return self


class Section(dict[str, Any]):
    """A mapping that knows its place, and those of its keys and values."""

    def __init__(self, place: Place) -> None:
        """Start empty."""
        super().__init__()
        self.place = place
        self.keys_at: dict[str, Place] = {}
        self.values_at: dict[str, Place] = {}


class Items(list[Any]):
    """A list that knows its place, and those of its items."""

    def __init__(self, place: Place) -> None:
        """Start empty."""
        super().__init__()
        self.place = place
        self.items_at: list[Place] = []


def is_file(path: Path) -> bool:
    """Say whether there is such a file; a name that cannot be one, or that may not be looked at, is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_document(path: Path, name: str) -> Section:
    """Read a YAML file that holds one mapping.

    Args:
        path: the file.
        name: how the user named it, for messages.

    Raises:
        InvalidFile: it cannot be read, is no YAML, or holds no mapping; with all mistakes that were found.

    """
    try:
        if not path.is_file():
            raise InvalidFile([Mistake(name, 1, 1, "no such file" if not path.exists() else "not a file")])
        with path.open("rb") as stream:
            data = stream.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidFile([Mistake(name, 1, 1, f"cannot be read: {reason}")]) from None
    if len(data) > LARGEST_FILE:
        raise InvalidFile([Mistake(name, 1, 1, f"larger than {LARGEST_FILE >> 20} MiB; a file of this kind is small")])
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        place = _place_of(before, len(before))
        raise InvalidFile([Mistake(name, *place, "not UTF-8; save the file as UTF-8 text")]) from None
    if found := _CONTROL.search(text):
        message = f"control character {quoted(found[0])} is not allowed; take it out"
        raise InvalidFile([Mistake(name, *_place_of(text, found.start()), message)])
    return _Builder(name).build(text)


@attrs.define
class _Frame:
    """A mapping or list that is being read."""

    holder: Section | Items
    place: Place
    anchor: str | None
    counted: int
    has_key: bool = False
    key: str | None = None


class _Builder:
    """Builds the values from the parser's events, without recursion."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.mistakes: list[Mistake] = []
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.counted = 0

    def wrong(self, place: Place, message: str) -> None:
        self.mistakes.append(Mistake(self.name, *place, message))

    def build(self, text: str) -> Section:
        root: Any = None
        try:
            root = self._read(text)
        except yaml.MarkedYAMLError as error:
            self.wrong(*explained(error, text))
        if not self.mistakes and not isinstance(root, Section):
            self.wrong(getattr(root, "place", (1, 1)), "the file must be a mapping, such as 'version: 1'")
        if self.mistakes:
            raise InvalidFile(self.mistakes)
        found: Section = root
        return found

    def _read(self, text: str) -> Any:
        documents: list[Any] = []
        stack: list[_Frame] = []
        for event in yaml.parse(text, Loader=_LOADER):
            place = _place(event.start_mark)
            if isinstance(event, yaml.DocumentStartEvent) and documents:
                self.wrong(place, "a second document begins here; a file holds one")
                break
            if too_much := self._too_much(event, len(stack)):
                self.wrong(place, too_much)
                break
            if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                self._refuse_tag(event.tag, place)
                # An anchor can be found only once its value is complete, so that nothing can hold itself.
                self.anchors.pop(event.anchor or "", None)
                holder = Section(place) if isinstance(event, yaml.MappingStartEvent) else Items(place)
                stack.append(_Frame(holder, place, event.anchor, self.counted))
                self.counted += 1
                continue
            if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                frame = stack.pop()
                value: Any = frame.holder
                place, anchor, counted = frame.place, frame.anchor, frame.counted
            elif isinstance(event, yaml.ScalarEvent):
                self._refuse_tag(event.tag, place)
                null = event.implicit[0] and not event.style and event.value in _NULLS
                value, anchor = None if null else Scalar(event.value, place), event.anchor
                counted = self.counted
                self.counted += 1
            elif isinstance(event, yaml.AliasEvent):
                if event.anchor not in self.anchors:
                    self.wrong(place, f"alias {quoted(event.anchor)} stands for nothing that is complete here")
                value, size = self.anchors.get(event.anchor or "", (None, 1))
                anchor = None
                self.counted += size
            else:
                continue
            if anchor:
                self.anchors[anchor] = (value, self.counted - counted)
            if stack:
                self._put(stack[-1], value, place)
            else:
                documents.append(value)
        return documents[0] if documents else None

    def _too_much(self, event: yaml.Event, depth: int) -> str:
        if self.counted > MOST_VALUES:
            return f"more than {MOST_VALUES} values, aliases counted as what they stand for"
        begins = isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent)
        return TOO_DEEP if begins and depth >= DEEPEST else ""

    def _refuse_tag(self, tag: str | None, place: Place) -> None:
        if tag not in (None, "!"):
            self.wrong(place, f"tag {quoted(tag)} is not supported; leave it out")

    def _put(self, frame: _Frame, value: Any, place: Place) -> None:
        """Put a value into the list, or as the next key or value into the mapping, that is being read."""
        holder = frame.holder
        if isinstance(holder, Items):
            holder.append(value)
            holder.items_at.append(place)
        elif not frame.has_key:
            frame.has_key, frame.key = True, None
            if not isinstance(value, str):
                self.wrong(place, "a key must be a word")
            elif value in holder:
                line, column = holder.keys_at[value]
                self.wrong(place, f"{quoted(value)} is given twice; the first is at {line}:{column}")
            else:
                frame.key = value
                holder.keys_at[value] = place
        else:
            frame.has_key = False
            if frame.key is not None:
                holder[frame.key] = value
                holder.values_at[frame.key] = place


def _place(mark: Any) -> Place:
    return mark.line + 1, mark.column + 1


def _place_of(text: str, offset: int) -> Place:
    """Find line and column of a character; YAML knows these line breaks."""
    lines = LINE_BREAK.split(text[:offset])
    return len(lines), len(lines[-1]) + 1


def quoted(text: object) -> str:
    """Show a text of the user's in a message: printable, and not too long."""
    shown = repr(str(text))
    return shown if len(shown) <= LONGEST_QUOTE else f"{shown[: LONGEST_QUOTE - 4]}...'"


def closest(word: str, known: Iterable[str]) -> str | None:
    """Find the word that was meant, if one is near enough."""
    by_lower = {name.lower(): name for name in sorted(known)}
    found = difflib.get_close_matches(word[:LONGEST_QUOTE].lower(), by_lower, 1, 0.6)
    return by_lower[found[0]] if found else None


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which word was meant, or which there are."""
    words = sorted(known)
    meant = closest(word, words)
    return f"did you mean {meant!r}?" if meant else f"one of {', '.join(words)}"
