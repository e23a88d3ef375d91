"""From a document to attrs values through cattrs, with every mistake at its line and column.

cattrs is asked to gather all that is wrong; its notes say on which path each mistake lies, and the document
knows where that path stands in the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin

import attrs
import cattrs
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn

from licfsm.errors import InvalidFile, InvalidValue, Mistake
from licfsm.instants import DAY, Span
from licfsm.loading.document import Items, Place, Scalar, Section, nearest, quoted

__all__ = ["VERSION", "OneOf", "Shorthand", "span", "structure", "text"]

T = TypeVar("T")
_WRONG: Final = "what is wrong in it"
_MOST_DIGITS: Final = 12
_LONGEST_SPAN: Final = 100 * 366
"""In days: from the latest time of a story on, a policy's steps must still find a date."""


@attrs.frozen
class OneOf:
    """Says of a text field that it takes one of these words: ``Annotated[str, OneOf(WORDS)]``.

    Attributes:
        words: in the order in which they are told.
        noun: what such a word is called.
        hint: what to tell of any other word, where the nearest right one is no help.

    """

    words: tuple[str, ...]
    noun: str = "word"
    hint: str = ""


VERSION: Final = OneOf(
    ("1",),
    noun="version",
    hint="this licfsm reads version 1 of the file format: write 'version: 1', or update licfsm if the file is newer",
)
"""The version of a file's format; a file that a later licfsm wrote may have another."""


class Shorthand:
    """A class whose mapping may be written as a single word, which stands for its first field."""


def structure(
    document: Section,
    cls: type[T],
    name: str,
    hooks: Mapping[Any, Callable[[Any, Any], Any]],
    parts: str = "",
) -> tuple[T, list[Mistake]]:
    """Make a value of a class from a document.

    Args:
        document: what the file holds.
        cls: an attrs class; its fields name the keys.
        name: how the user named the file.
        hooks: type -> how it is made of a value of the document.
        parts: a list in the document that makes sense without the items that have mistakes: they, and
            unknown keys, are taken out of the document, so that what remains can be looked at as a whole.

    Returns:
        The value, and the mistakes in what was taken out.

    Raises:
        InvalidFile: with all that is wrong, where nothing sensible remains.

    """
    converter = _converter()
    for kind, hook in hooks.items():
        converter.register_structure_hook(kind, hook)
    mistakes: list[Mistake] = []
    try:
        return converter.structure(document, cls), mistakes
    except (BaseValidationError, InvalidValue) as error:
        mistakes += _mistakes(error, document, document.place, name)
        _take_out(error, document, parts)
    try:
        return converter.structure(document, cls), mistakes
    except (BaseValidationError, InvalidValue):
        raise InvalidFile(mistakes) from None


def _take_out(error: BaseException, document: Section, parts: str) -> None:
    """Take out of a document the items of a list that have mistakes, and its unknown keys."""
    for inner in error.exceptions if isinstance(error, BaseValidationError) else ():
        if isinstance(inner, ForbiddenExtraKeysError):
            for key in inner.extra_fields:
                document.pop(key, None)
        items = document.get(parts)
        if parts in _steps(inner) and isinstance(items, Items) and isinstance(inner, BaseValidationError):
            bad = {step for item in inner.exceptions for step in _steps(item)}
            good = [index for index in range(len(items)) if index not in bad]
            items.items_at = [items.items_at[index] for index in good]
            items[:] = [items[index] for index in good]


def _steps(error: BaseException) -> list[Any]:
    """Name the steps along which a mistake lies, as cattrs noted them."""
    steps: list[Any] = []
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            steps.append(note.name)
        elif isinstance(note, IterableValidationNote):
            steps.append(note.index)
    return steps


def _converter() -> cattrs.Converter:
    made = cattrs.Converter(detailed_validation=True, forbid_extra_keys=True)
    made.register_structure_hook(str, lambda value, _: text(value))
    made.register_structure_hook(int, lambda value, _: count(value))
    made.register_structure_hook(bool, lambda value, _: truth(value))
    made.register_structure_hook(Span, lambda value, _: span(value))
    made.register_structure_hook_factory(_is_choice, _choice_hook)
    made.register_structure_hook_factory(_is(tuple), lambda kind: _list_hook(kind, made))
    made.register_structure_hook_factory(_is(dict), lambda kind: _dict_hook(kind, made))
    made.register_structure_hook_factory(attrs.has, lambda cls: _class_hook(cls, made))
    return made


def _is(origin: type) -> Callable[[Any], bool]:
    def matches(kind: Any) -> bool:
        return get_origin(kind) is origin

    return matches


def text(value: Any) -> str:
    """Take a text as it is written."""
    if not isinstance(value, str):
        message = f"must be a text, not {_kind(value)}"
        raise InvalidValue(message)
    return value


def count(value: Any) -> int:
    """Take a whole number."""
    written = text(value)
    if re.fullmatch(r"-[0-9]+", written):
        message = f"{quoted(written)} must be 0 or more"
        raise InvalidValue(message)
    if not (written.isascii() and written.isdecimal() and len(written) <= _MOST_DIGITS):
        message = f"{quoted(written)} is no whole number"
        raise InvalidValue(message)
    return int(written)


def truth(value: Any) -> bool:
    """Take true or false."""
    written = text(value)
    if written.lower() not in {"true", "false"}:
        message = f"{quoted(written)} must be true or false"
        raise InvalidValue(message)
    return written.lower() == "true"


def span(value: Any) -> Span:
    """Take a length of time."""
    found = Span.parse(text(value))
    if found.months * 31 + found.days + found.ms // DAY > _LONGEST_SPAN:
        message = f"{quoted(value)} is longer than 100 years"
        raise InvalidValue(message)
    return found


def _kind(value: Any) -> str:
    return {Section: "a mapping", Items: "a list", type(None): "nothing"}.get(type(value), "a text")


def _is_choice(kind: Any) -> bool:
    return get_origin(kind) is Annotated and any(isinstance(extra, OneOf) for extra in kind.__metadata__)


def _choice_hook(kind: Any) -> Callable[[Any, Any], str]:
    choice = next(extra for extra in kind.__metadata__ if isinstance(extra, OneOf))

    def take(value: Any, _: Any) -> str:
        written = text(value)
        if written not in choice.words:
            message = f"unknown {choice.noun} {quoted(written)}; {choice.hint or nearest(written, choice.words)}"
            raise InvalidValue(message)
        return written

    return take


def _list_hook(kind: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    item = get_args(kind)[0]

    def take(value: Any, _: Any) -> Any:
        if not isinstance(value, Items):
            message = f"must be a list, not {_kind(value)}"
            raise InvalidValue(message)
        taken: list[Any] = []
        errors: list[Exception] = []
        for index, entry in enumerate(value):
            try:
                taken.append(converter.structure(entry, item))
            except (BaseValidationError, InvalidValue, InvalidFile) as error:
                error.add_note(IterableValidationNote(f"item {index}", index, item))
                errors.append(error)
        if errors:
            raise IterableValidationError(_WRONG, errors, kind)
        return tuple(taken)

    return take


def _dict_hook(kind: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    key_kind, value_kind = get_args(kind)

    def take(value: Any, _: Any) -> Any:
        if not isinstance(value, Section):
            message = f"must be a mapping, not {_kind(value)}"
            raise InvalidValue(message)
        taken: dict[str, Any] = {}
        errors: list[Exception] = []
        for key, entry in value.items():
            try:
                converter.structure(key, key_kind)
            except InvalidValue as error:
                errors.append(_Misplaced(str(error), value.keys_at[key]))
                continue
            try:
                taken[str(key)] = converter.structure(entry, value_kind)
            except (BaseValidationError, InvalidValue, InvalidFile) as error:
                error.add_note(IterableValidationNote(f"key {key}", key, value_kind))
                errors.append(error)
        if errors:
            raise IterableValidationError(_WRONG, errors, kind)
        return taken

    return take


class _Misplaced(InvalidValue):
    """A mistake that knows its own place."""

    def __init__(self, message: str, place: Place) -> None:
        super().__init__(message)
        self.place = place


def _class_hook(cls: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    take_mapping = make_dict_structure_fn(
        cls, converter, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=True
    )
    fields = [field.name for field in attrs.fields(cls)]

    def take(value: Any, _: Any) -> Any:
        if isinstance(value, str) and issubclass(cls, Shorthand):
            short = Section(value.place if isinstance(value, Scalar) else (1, 1))
            short[fields[0]] = value
            short.keys_at[fields[0]] = short.values_at[fields[0]] = short.place
            value = short
        if not isinstance(value, Section):
            message = f"must be a mapping of {', '.join(fields)}; not {_kind(value)}"
            raise InvalidValue(message)
        return take_mapping(value, cls)

    return take


def _mistakes(error: BaseException, at: Any, place: Place, name: str) -> Iterator[Mistake]:
    """Walk cattrs' tree of errors along the document, and give each mistake with its place."""
    for step in _steps(error):
        if isinstance(at, Section) and step in at:
            at, place = at[step], at.values_at.get(step, place)
        elif isinstance(at, Items) and isinstance(step, int) and step < len(at):
            at, place = at[step], at.items_at[step]
    if isinstance(error, BaseValidationError):
        for inner in error.exceptions:
            yield from _mistakes(inner, at, place, name)
    elif isinstance(error, InvalidFile):
        yield from error.mistakes
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [field.name for field in attrs.fields(error.cl)]
        for key in error.extra_fields:
            where = at.keys_at.get(key, place) if isinstance(at, Section) else place
            yield Mistake(name, *where, f"unknown key {quoted(key)}; {nearest(key, known)}")
    elif isinstance(error, _Misplaced):
        yield Mistake(name, *error.place, str(error))
    elif isinstance(error, KeyError):
        yield Mistake(name, *place, f"{error.args[0]!r} is missing")
    else:
        yield Mistake(name, *place, str(error))
