"""JSON Schemas of the files, made from the classes that load them: an editor completes and checks by them.

``python -m licfsm.loading.schema`` writes them to ``licfsm/schemas``, from where ``licfsm schema`` prints them;
a test tells when they have drifted. Only the writing needs msgspec. What a key means is taken from its class's
docstring, the words of a policy from a built-in one.

Editors read plain scalars by YAML 1.2 (``version: 1`` is a number, ``true`` a boolean), the loader reads texts:
a schema takes both. It never refuses what the loader takes. What only the loader can see (the order of times,
a type that the policy does not know) it tells when the file is replayed.
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import attrs
import pendulum

from licfsm.instants import Span
from licfsm.loading import patterns
from licfsm.loading.policies import (
    MONTH_OF_EXPIRY,
    SESSIONS,
    TEXT_FIELDS,
    CalendarSpan,
    NoGrace,
    NoNotice,
    PolicyFile,
    RetryPeriod,
    available,
    built_in,
)
from licfsm.loading.scenario_file import ExactSpan, LicenseId, LicenseType, ScenarioFile, When, WorldSection
from licfsm.loading.structure import OneOf, Shorthand
from licfsm.policy import NOTIFICATIONS, OUTCOMES, REACTIONS, Policy
from licfsm.scenario.story import HOST_ACTIONS

__all__ = ["FILES", "schema", "write"]

FILES: Final = {"scenario": ScenarioFile, "policy": PolicyFile}
FOLDER: Final = Path(__file__).parent.parent / "schemas"
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_Schema = dict[str, Any]
_SAMPLE: Final = built_in("veeam-9")
_TEXTS: Final[dict[str, str]] = attrs.asdict(_SAMPLE.texts)
_NOTICES: Final = _SAMPLE.notifications
_TEXT: Final[_Schema] = {"type": ["string", "number", "boolean"]}


def _text(pattern: str, told: str, *examples: str) -> _Schema:
    """Describe a text; some editors show ``patternErrorMessage``."""
    return {"type": ["string"], "pattern": pattern, "patternErrorMessage": told, "examples": [*map(str, examples)]}


def _time(*bases: str, alone: str = "") -> _Schema:
    words = [*bases, *([alone] if alone else [])]
    examples = ["2025-02-14T09:00", "2025-02-14", *words, *(f"{base} + 2 days" for base in bases)]
    told = f"must be a time, such as {', '.join(examples)}"
    return _text(patterns.time(*bases, alone=alone), told, *examples)


def _or_a_number(described: _Schema) -> _Schema:
    """Let a text be one that looks like a number or a truth."""
    return described | _TEXT


def _template(fields: tuple[str, ...], example: str) -> _Schema:
    told = f"braces stand only in {_names(fields)}" if fields else "this text has no placeholders; leave the braces out"
    return _or_a_number(_text(patterns.template(fields), told, example))


def _placeholders(fields: tuple[str, ...], example: str) -> str:
    return f"Such as: {example}." + (f" It may use {_names(fields)}." if fields else "")


def _names(fields: tuple[str, ...]) -> str:
    return ", ".join(f"{{{field}}}" for field in fields)


_SPANS: Final = "a number and days, weeks or months"
_KINDS: Final[dict[Any, _Schema]] = {
    str: _TEXT,
    bool: {"type": ["boolean", "string"], "pattern": patterns.TRUTH, "patternErrorMessage": "must be true or false"},
    int: {"type": ["integer", "string"], "minimum": 0, "maximum": 10**12 - 1, "pattern": patterns.COUNT},
    When: _time("start", "expiry"),
    ExactSpan: _text(patterns.exact_span(), "must be a number and seconds, minutes, hours or days", "30 minutes"),
    Span: _text(patterns.nonzero_span(), "must be a number and a unit, such as 60 minutes or 1 day", "60 minutes"),
    CalendarSpan: _text(patterns.calendar_span(), f"must be {_SPANS}", "7 days"),
    NoGrace: _text(patterns.calendar_span("none"), f"must be {_SPANS}, or none", "30 days", "2 months", "none"),
    NoNotice: _text(patterns.calendar_span("none"), f"must be {_SPANS}, or none", "7 days", "none"),
    RetryPeriod: _text(patterns.calendar_span(MONTH_OF_EXPIRY), f"must be {_SPANS}, or {MONTH_OF_EXPIRY!r}", MONTH_OF_EXPIRY, "30 days"),
    LicenseId: _or_a_number(_text(patterns.ID, "must be 1 to 64 of the characters A-Z a-z 0-9 . _ -", "ACME-1")),
    LicenseType: _or_a_number(_text(patterns.TYPE, "must be 1 to 64 of the characters a-z 0-9 _ -", *_SAMPLE.grace)),
    pendulum.Timezone: _text(patterns.ZONE, "must be an IANA name, such as Europe/Berlin", "UTC", "Europe/Berlin"),
    Policy: {"type": ["string"], "examples": [*available(), "my-policy.yaml"]},
}  # fmt: skip
"""The type of an attribute -> what an editor may find there. Enums come from `OneOf`."""

_FIELDS: Final[dict[tuple[str, str], _Schema]] = {
    ("ScenarioFile", "start"): _time("expiry"),
    ("LicenseSection", "expires"): _time(),
    ("LicenseSection", "issued"): _time(),
    ("ServerSection", "signed_time"): _time("start", "expiry", alone="now"),
    ("PolicyFile", "extends"): _KINDS[Policy],
    ("Outcome", "reaction"): {"enum": [*REACTIONS]},
    ("Outcome", "session"): {"enum": [*SESSIONS]},
    **{("Texts", name): _template(TEXT_FIELDS.get(name, ()), text) for name, text in _TEXTS.items()},
    **{("notifications", name): _template(NOTIFICATIONS[name], text) for name, text in _NOTICES.items()},
}
"""Where a key takes other values than its type says."""

_NEED_MORE: Final = ("suspend",)
"""Words that say too little alone."""

_SAID: Final = {
    ("Outcome", "reaction"): "What the outcome leads to.",
    ("Outcome", "session"): "The result of the check's session entry.",
    **{("outcomes", name): f"What {name} leads to: {outcome.text}." for name, outcome in _SAMPLE.outcomes.items()},
    **{("Texts", name): _placeholders(TEXT_FIELDS.get(name, ()), text) for name, text in _TEXTS.items()},
    **{("notifications", name): _placeholders(NOTIFICATIONS[name], text) for name, text in _NOTICES.items()},
}
"""What is said of keys that are no attributes with a docstring."""


def _if(key: str, words: Any, then: _Schema) -> _Schema:
    """Say what holds where a key has one of these words."""
    return {"if": {"required": [key], "properties": {key: {"enum": [*words]}}}, "then": then}


def _others(words: tuple[str, ...], word: str) -> list[str]:
    return [other for other in words if other != word]


def _without(*keys: str) -> _Schema:
    return {"properties": dict.fromkeys(keys, False)}


def _something(*keys: str, kind: _Schema) -> list[_Schema]:
    return [{"required": [key], "properties": {key: kind}} for key in keys]


_NULL: Final = {"type": "null"}
_OFFER: Final = ("expires", "type", "issued")
_WORLD: Final = tuple(field.name for field in attrs.fields(WorldSection))
_RULES: Final[dict[str, _Schema]] = {
    "EntrySection": {
        "anyOf": [
            *_something("server", "host", "expect", kind={"not": _NULL}),
            *_something("world", kind={"type": "object", "anyOf": _something(*_WORLD, kind={"type": "string"})}),
        ],
    },
    "ServerSection": {"allOf": [_if("answer", _others(OUTCOMES, "new_key"), _without(*_OFFER))]},
    "HostSection": {
        "allOf": [
            _if("do", _others(HOST_ACTIONS, "install"), _without(*_OFFER, "force")),
            _if("do", _others(HOST_ACTIONS, "suspend"), _without("until")),
            _if("do", ["suspend"], {"required": ["until"], "properties": {"until": {"not": _NULL}}}),
        ]
    },
    "Outcome": {
        "allOf": [
            _if("reaction", ["retry"], {"properties": {"retry": {"not": _NULL}}}),
            _if("reaction", _others(REACTIONS, "retry"), {"properties": {"retry": _NULL}}),
        ]
    },
    "outcomes": {
        "allOf": [
            {
                "properties": {"new_key": {"properties": {"reaction": {"const": "renewed"}}}},
                "additionalProperties": {"properties": {"reaction": {"not": {"const": "renewed"}}}},
            }
        ]
    },
}
"""Section -> what holds of its keys together."""


def _unless_extending(root: _Schema, definitions: dict[str, _Schema]) -> _Schema:
    """Ask for a whole policy, unless it extends another."""
    sections = {"cadence": "Cadence", "texts": "Texts"}
    needed: _Schema = {key: {"required": definitions[name].pop("required")} for key, name in sections.items()}
    outcome = {
        "required": definitions["Outcome"].pop("required"),
        **_if("reaction", ["retry"], {"required": ["retry"]}),
    }
    needed["outcomes"] = {"required": [*OUTCOMES], "additionalProperties": outcome}
    needed["notifications"] = {"required": [*NOTIFICATIONS]}
    extends = {"required": ["extends"], "properties": {"extends": {"type": "string"}}}
    return {"if": extends, "else": {"required": root.pop("required"), "properties": needed}}


def schema(name: str) -> _Schema:
    """Make the schema of a kind of file.

    Args:
        name: one of `FILES`.

    """
    import msgspec  # only those who write the schemas need it

    cls = FILES[name]
    _, definitions = msgspec.json.schema_components([_Maker().struct(cls)], ref_template="#/$defs/{name}")
    root = definitions.pop(cls.__name__)
    for section, rules in _RULES.items():
        definitions.get(section, {}).update(rules)
    if cls is PolicyFile:
        root |= _unless_extending(root, definitions)
    about = {"$schema": _DIALECT, "$id": f"urn:licfsm:{name}:1", "title": f"licfsm {name}"}
    tidied: _Schema = _tidy(root | {"$defs": definitions})
    return about | tidied


def _tidy(part: Any) -> Any:
    """Leave out what says nothing: titles that are names of classes, lists of no or one word."""
    if isinstance(part, list):
        return [_tidy(item) for item in part]
    if not isinstance(part, dict):
        return part
    kept = {
        key: _tidy(value)
        for key, value in part.items()
        if (key, value) != ("required", []) and not (key == "title" and isinstance(value, str))
    }
    if isinstance(kept.get("type"), list) and len(kept["type"]) == 1:
        kept["type"] = kept["type"][0]
    return kept


def write(folder: Path = FOLDER) -> None:
    """Write all schemas."""
    for name in FILES:
        (folder / f"{name}.json").write_text(json.dumps(schema(name), indent=2) + "\n", encoding="utf-8")


class _Maker:
    """Turns attrs classes into msgspec structs, of which msgspec makes schemas."""

    def __init__(self) -> None:
        self.made: dict[Any, Any] = {}

    def struct(self, cls: Any) -> Any:
        """Turn an attrs class into a struct."""
        if cls not in self.made:
            hints = get_type_hints(cls, include_extras=True)
            said = _attributes(cls)
            fields = [
                self.field(cls.__name__, each.name, hints[each.name], said.get(each.name, _summary(cls)), each.default)
                for each in attrs.fields(cls)
            ]
            self.made[cls] = _defined(cls.__name__, _summary(cls), fields)
        return self.made[cls]

    def field(self, owner: str, name: str, hint: Any, said: str, default: Any = None) -> tuple[str, Any, Any]:
        """Describe one key: its name, its type with what is said of it, and whether it may be missing."""
        import msgspec

        shown = default if isinstance(default, bool) else str(default) if isinstance(default, str) else ""
        extra: _Schema = {"default": shown} if shown != "" else {}
        described = _FIELDS.get((owner, name))
        if described and _optional(hint):
            described = _or_nothing(described)
        kind = _leaf(described) if described else self.kind(name, hint)
        meta = msgspec.Meta(description=_SAID.get((owner, name), said), extra_json_schema=extra)
        # A factory says that the key may be missing, and shows no default.
        may_miss = msgspec.field() if default is attrs.NOTHING else msgspec.field(default_factory=lambda: None)
        return name, Annotated[kind, meta], may_miss

    def kind(self, name: str, hint: Any) -> Any:
        """Say as what type msgspec shall see what the loader takes for a type."""
        if _optional(hint):
            inner = next(each for each in get_args(hint) if each is not NoneType)
            found = _described(inner)
            return _leaf(_or_nothing(found)) if found else self.kind(name, inner) | None
        if found := _described(hint):
            return _leaf(found)
        if get_origin(hint) is tuple:
            return list.__class_getitem__(self.kind(name, get_args(hint)[0]))
        if get_origin(hint) is dict:
            return self.mapping(name, *get_args(hint))
        if issubclass(hint, Shorthand):
            first = get_type_hints(hint, include_extras=True)[attrs.fields(hint)[0].name]
            words = [word for word in _words(first) if word not in _NEED_MORE]
            return Literal.__getitem__(tuple(words)) | self.struct(hint)
        return self.struct(hint)

    def mapping(self, name: str, key: Any, value: Any) -> Any:
        """Name the keys that a mapping may have, or those that are likely."""
        import msgspec

        if words := _words(key):
            # Which of them must be there is said apart.
            return _defined(name, "", [self.field(name, word, value, "") for word in words])
        found = _described(value)
        likely = {"properties": {kind: found | {"description": f"For {kind} licenses."} for kind in _SAMPLE.grace}}
        meta = msgspec.Meta(extra_json_schema=likely if value in {NoGrace, NoNotice} else {})
        return Annotated[dict.__class_getitem__((str, _leaf(found))), meta]


def _defined(name: str, said: str, fields: list[tuple[str, Any, Any]]) -> Any:
    import msgspec

    return msgspec.defstruct(name, fields, namespace={"__doc__": said}, forbid_unknown_fields=True, kw_only=True)


def _leaf(described: _Schema) -> Any:
    import msgspec

    return Annotated[Any, msgspec.Meta(extra_json_schema=described)]


def _described(hint: Any) -> _Schema:
    """Describe what a type takes that is no section; nothing for a section."""
    words = _words(hint)
    if words:
        return {"enum": [*words, *(int(word) for word in words if word.isdecimal())]}
    return _KINDS.get(hint, {})


def _words(hint: Any) -> tuple[str, ...]:
    return next((extra.words for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, OneOf)), ())


def _optional(hint: Any) -> bool:
    return get_origin(hint) in {Union, UnionType} and NoneType in get_args(hint)


def _or_nothing(described: _Schema) -> _Schema:
    key = "enum" if "enum" in described else "type"
    return described | {key: [*described[key], None if key == "enum" else "null"]}


def _summary(cls: Any) -> str:
    return _plain((inspect.getdoc(cls) or "").split("\n\n")[0])


def _attributes(cls: Any) -> dict[str, str]:
    """Read what a class's docstring says of its attributes."""
    _, _, section = (inspect.getdoc(cls) or "").partition("Attributes:\n")
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    return {name: _plain(f"{said[0].upper()}{said[1:]}") for name, said in found}


def _plain(said: str) -> str:
    """Take from a docstring what only a reader of the code needs."""
    said = re.sub(r" \((?:rules\.md )?\d[\d., ]*\)", "", said)
    return " ".join(said.replace("`", "").split())


if __name__ == "__main__":
    write()
