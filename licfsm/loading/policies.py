"""Policies from YAML: the built-in ones, and those of other products.

A policy may extend another, a built-in one by name or a file beside it, and say only what differs. What is
extended must be a whole policy itself: its mistakes are told in its own file, and what is wrong only together
is told where the policy above says so.
"""

from __future__ import annotations

import functools
import os
import re
import string
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final

import attrs

from licfsm.errors import InvalidFile, InvalidValue, Mistake
from licfsm.instants import MINUTE, Span
from licfsm.loading.document import LARGEST_FILE, Place, Section, is_file, nearest, quoted, read_document
from licfsm.loading.structure import VERSION, OneOf, span, structure
from licfsm.policy import MAIL_REPEATS, NOTIFICATIONS, OUTCOMES, REACTIONS, Cadence, Outcome, Policy, Texts

__all__ = ["available", "built_in", "find_policy", "is_policy", "load_policy"]

MONTH_OF_EXPIRY: Final = "days of the month of expiry"
SESSIONS: Final = ("success", "warning", "failed")
TEXT_FIELDS: Final = {
    "valid": ("days",),
    "grace": ("days",),
    "job_warning": ("days",),
    "target_failed": ("target", "reason"),
}
_LONGEST_CHAIN: Final = 8
_POLICY_KEYS: Final = {b"extends", b"grace", b"cadence", b"outcomes"}
_SHORT: Final = 5
"""In a word of fewer letters, another letter makes another word."""


class CalendarSpan(Span):
    """A length of time in days, weeks or months."""


class NoGrace:
    """A grace period, or ``none``."""


class NoNotice:
    """How long before the expiration date expiry is announced, or ``none``."""


class RetryPeriod:
    """A length of time, or as many days as the month of expiry has."""


@attrs.frozen
class PolicyFile:
    """What a product decides about its licenses. A policy that extends another says only what differs.

    What is said of each attribute is what an editor shows of its key (`licfsm.loading.schema`).

    Attributes:
        version: the version of this file format.
        policy: the policy's name.
        expiring: how long before the expiration date Expiring begins: days, weeks or months.
        grace: license type -> grace period, or none; lists every type there is.
        free_mode_allows: the kinds of operation that work in FreeMode; restoring always does.
        cadence: how often the server is asked.
        retry_period: how long after the expiration date retrying ends.
        outcomes: outcome of a check -> what it leads to.
        mail_repeat: how often failures are mailed; none where there are no mail settings.
        texts: what a user reads.
        notifications: the text of each notice.
        announce: license type -> how long before the expiration date expiry is announced, or none; types that
            are not listed are announced when Expiring begins.
        extends: the policy of which this one says only what differs: a built-in name, or a path beside this file.

    """

    version: Annotated[str, VERSION]
    policy: str
    expiring: CalendarSpan
    grace: dict[str, NoGrace]
    cadence: Cadence
    retry_period: RetryPeriod
    outcomes: dict[Annotated[str, OneOf(OUTCOMES)], Outcome]
    mail_repeat: Annotated[str, OneOf(MAIL_REPEATS)]
    texts: Texts
    notifications: dict[Annotated[str, OneOf(tuple(NOTIFICATIONS))], str]
    announce: dict[str, NoNotice] = attrs.Factory(dict)
    free_mode_allows: tuple[Annotated[str, OneOf(("paid", "free"))], ...] = ("free",)
    extends: str | None = None


def available() -> tuple[str, ...]:
    """Name the built-in policies."""
    return tuple(
        sorted(entry.name.removesuffix(".yaml") for entry in _folder().iterdir() if entry.name.endswith(".yaml"))
    )


def _folder() -> Path:
    return Path(str(files("licfsm") / "policies"))


@functools.cache
def built_in(name: str) -> Policy:
    """Load a built-in policy.

    Raises:
        InvalidValue: there is none of that name.

    """
    return load_policy(_built_in_path(name))


def _built_in_path(name: str) -> Path:
    if name not in available():
        message = f"there is no policy {quoted(name)}; {nearest(name, available())}"
        raise InvalidValue(message)
    return _folder() / f"{name}.yaml"


def is_policy(path: Path) -> bool:
    """Say whether a file looks like a policy rather than a scenario: by its keys at the left margin."""
    try:
        with path.open("rb") as stream:
            head = stream.read(LARGEST_FILE)
    except OSError:
        return False  # reading it as a scenario will say what is wrong
    keys = set(re.findall(rb"^(\w+):", head, re.MULTILINE))
    return (
        b"policy" in keys and not keys & {b"scenario", b"license", b"start", b"timeline"} and bool(keys & _POLICY_KEYS)
    )


def find_policy(reference: str, beside: Path) -> Policy:
    """Find a policy by a built-in name, or by a path beside a file.

    Args:
        reference: a name, or a path that ends in ``.yaml`` or ``.yml``.
        beside: the folder that a relative path starts from.

    Raises:
        InvalidValue: there is no such policy.
        InvalidFile: the file has mistakes.

    """
    path = _path_of(reference, beside)
    return load_policy(path) if path else built_in(reference)


def _path_of(reference: str, beside: Path) -> Path | None:
    """Find the file that a reference names; None for a built-in policy's name."""
    if not reference.endswith((".yaml", ".yml")):
        return None
    if not is_file(beside / reference):
        message = f"there is no policy file {quoted(reference)}; a path starts beside the file that names it, or where you are"
        raise InvalidValue(message)
    return beside / reference


def load_policy(path: Path | str, name: str | None = None) -> Policy:
    """Load a policy file.

    Args:
        path: the file.
        name: how the user named it, for messages.

    Raises:
        InvalidFile: with all that is wrong in it.
        InvalidValue: it is no path.

    """
    if not isinstance(path, str | os.PathLike):
        message = f"a policy file must be named by its path, not by a value of type {type(path).__name__}"
        raise InvalidValue(message)
    if not Path(path).exists() and str(path) in available():
        message = f"{path} is a built-in policy, which needs no file: give its name where a policy is wanted"
        raise InvalidValue(message)
    path, shown = Path(path), name or str(path)
    loaded = _structured(*_extended(read_document(path, shown), path, shown, _LONGEST_CHAIN), shown)
    wanted: Any = loaded
    return Policy(
        name=str(loaded.policy),
        expiring=wanted.expiring,
        announce={str(kind): before or None for kind, before in wanted.announce.items()},
        grace={str(kind): grace or None for kind, grace in wanted.grace.items()},
        free_mode_allows=tuple(str(kind) for kind in loaded.free_mode_allows),
        cadence=loaded.cadence,
        retry_period=wanted.retry_period,
        outcomes=loaded.outcomes,
        mail_repeat=str(loaded.mail_repeat),
        texts=loaded.texts,
        notifications=loaded.notifications,
    )


def _structured(document: Section, slips: list[tuple[Place, str]], shown: str) -> PolicyFile:
    hooks = {CalendarSpan: _calendar_span, NoGrace: _span_or_none, NoNotice: _span_or_none, RetryPeriod: _retry_period}
    loaded, mistakes = structure(document, PolicyFile, shown, hooks)
    mistakes += [Mistake(shown, *place, message) for place, message in slips + _more_mistakes(loaded, document)]
    if mistakes:
        raise InvalidFile(mistakes)
    return loaded


def _extended(document: Section, path: Path, shown: str, depth: int) -> tuple[Section, list[tuple[Place, str]]]:
    """Lay a document over the one that it extends, and say what looks like a slip only beside that one."""
    reference = document.get("extends")
    if not isinstance(reference, str):
        return document, []
    place = document.values_at["extends"]
    try:
        beside = _path_of(reference, path.parent)
        parent_path = beside or _built_in_path(reference)
    except InvalidValue as error:
        raise InvalidFile([Mistake(shown, *place, str(error))]) from None
    if depth == 0:
        raise InvalidFile([Mistake(shown, *place, "policies extend each other in a circle, or too deeply")])
    parent, slips = _extended(read_document(parent_path, str(parent_path)), parent_path, shown, depth - 1)
    if beside:
        _structured(parent, slips, str(parent_path))
    return _laid_over(parent, document), _slips(parent.get("grace"), document.get("grace"))


def _slips(below: Any, above: Any) -> list[tuple[Place, str]]:
    """Find new license types that are one letter away from an inherited one of which nothing is said.

    New types are welcome, but a misspelled one would leave the type that was meant with its inherited grace.
    """
    if not isinstance(below, Section) or not isinstance(above, Section):
        return []
    return [
        (
            above.keys_at[kind],
            f"new license type {quoted(kind)} is nearly {known!r}; write that, or give {known!r} a grace here, too",
        )
        for kind in above
        for known in below
        if kind not in below and known not in above and _one_letter_apart(kind.lower(), known.lower())
    ]


def _one_letter_apart(word: str, other: str) -> bool:
    """Say whether one letter was added, left out, changed, or swapped with its neighbor.

    A digit or a dash more is no slip; another case, which a key's type cannot have, is.
    """
    short, long = sorted((word, other), key=len)
    if len(short) < _SHORT or len(long) > len(short) + 1:
        return False
    if len(long) > len(short):
        return any(long[:at] + long[at + 1 :] == short and long[at].isalpha() for at in range(len(long)))
    swapped = any(long[:at] + long[at : at + 2][::-1] + long[at + 2 :] == short for at in range(len(short)))
    changed = [one + two for one, two in zip(short, long, strict=True) if one != two]
    return swapped or (len(changed) == 1 and changed[0].isalpha())


def _laid_over(below: Section, above: Section) -> Section:
    merged = Section(above.place)
    for layer in (below, above):
        for key, value in layer.items():
            old = merged.get(key)
            both = isinstance(value, Section) and isinstance(old, Section)
            merged[key] = _laid_over(old, value) if both and old is not None else value
            # Places of the layer below are lines of another file.
            merged.keys_at[key] = above.keys_at.get(key, above.place)
            merged.values_at[key] = above.values_at.get(key, above.place)
    return merged


def _calendar_span(value: Any, _: Any) -> Span:
    found = span(value)
    if found.ms or not found:
        message = f"{quoted(value)} must be a number of days, weeks or months"
        raise InvalidValue(message)
    return found


def _span_or_none(value: Any, _: Any) -> Span | None:
    return None if value == "none" else _calendar_span(value, Span)


def _retry_period(value: Any, _: Any) -> Span | None:
    if value == MONTH_OF_EXPIRY:
        return None
    try:
        return _calendar_span(value, Span)
    except InvalidValue as error:
        message = f"{error}; or {MONTH_OF_EXPIRY!r}"
        raise InvalidValue(message) from None


def _more_mistakes(loaded: PolicyFile, document: Section) -> list[tuple[Place, str]]:
    """Find what only the whole policy shows to be wrong."""
    wrong: list[tuple[Place, str]] = []
    for field in ("valid", "expiring"):
        every: Span = getattr(loaded.cadence, field)
        if not (every.days or every.months or every.ms >= MINUTE):
            wrong.append((document["cadence"].values_at[field], "must be at least 1 minute"))
    wrong += [
        (
            document["announce"].keys_at[kind],
            f"unknown license type {quoted(kind)}; {nearest(kind, tuple(loaded.grace))}",
        )
        for kind in loaded.announce
        if kind not in loaded.grace
    ]
    for section, needed in (("outcomes", OUTCOMES), ("notifications", tuple(NOTIFICATIONS))):
        missing = [name for name in needed if name not in document[section]]
        if missing:
            wrong.append((document.values_at[section], f"missing: {', '.join(missing)}"))
    for name, outcome in loaded.outcomes.items():
        wrong += _outcome_mistakes(name, outcome, document["outcomes"][name])
    templates = [("texts", name, TEXT_FIELDS.get(name, ())) for name in document["texts"]]
    templates += [("notifications", name, NOTIFICATIONS[name]) for name in document["notifications"]]
    for section, name, fields in templates:
        wrong += [
            (document[section].values_at[name], message)
            for message in _template_mistakes(document[section][name], fields)
        ]
    return wrong


def _outcome_mistakes(name: str, outcome: Outcome, section: Section) -> list[tuple[Place, str]]:
    place = section.values_at["reaction"]
    if outcome.reaction not in REACTIONS:
        return [(place, f"unknown reaction {quoted(outcome.reaction)}; {nearest(outcome.reaction, REACTIONS)}")]
    wrong: list[tuple[Place, str]] = []
    if outcome.session not in SESSIONS:
        known = nearest(outcome.session, SESSIONS)
        wrong.append((section.values_at["session"], f"unknown result {quoted(outcome.session)}; {known}"))
    if (outcome.reaction == "renewed") != (name == "new_key"):
        wrong.append((place, "new_key, and nothing else, leads to 'renewed'"))
    if outcome.reaction == "retry":
        if outcome.retry is None:
            wrong.append((section.place, "'retry' is missing: how long until the next attempt?"))
        elif not (outcome.retry.days or outcome.retry.months or outcome.retry.ms >= MINUTE):
            wrong.append((section.values_at["retry"], "must be at least 1 minute"))
    elif outcome.retry is not None:
        wrong.append((section.keys_at["retry"], f"only the reaction 'retry' has an interval, not {outcome.reaction!r}"))
    return wrong


def _template_mistakes(template: str, fields: tuple[str, ...]) -> list[str]:
    if not fields and re.search("[{}]", template):
        return [f"{quoted(template)}: this text has no placeholders; leave the braces out"]
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        return [f"{quoted(template)}: {error}; write {{{{ for a brace"]
    wrong = []
    for _, field, form, conversion in parts:
        if field is None:
            continue
        if form or conversion or field not in fields:
            wrong.append(f"unknown placeholder {quoted('{' + field + '}')}; {nearest(field, fields)}")
    return wrong
