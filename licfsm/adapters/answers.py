"""What a license server and its clients say to each other: the texts, without the wire.

A client sends a question, in JSON; the key that is installed vouches for it::

    {"version": 1, "license": "ACME-1", "nonce": "<16 to 64 bytes in base64url>", "key": "<the signed license key>"}

The server answers with ``{"answer": "<signed text>"}``. The text is of the kind ``license-answer+jws`` (see `tokens`),
and says::

    {"version": 1, "license": "ACME-1", "nonce": "<the question's>", "time": "2025-02-07T00:00:00.000+00:00",
     "outcome": "new_key", "key": "/v1/keys/5f1c", "message": "..."}

``key`` says where the new license key lies, as a path on the same server; only ``new_key`` has one. ``message`` is for
people, and may be left out, as may names that begin with ``x-``. `licfsm.protocol` has the whole of it, for whoever
builds a server.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import attrs

from licfsm import instants
from licfsm.adapters.encoding import from_base64url, json_object, shown
from licfsm.adapters.key_pairs import SigningKey
from licfsm.adapters.keys import TrustedKeys
from licfsm.adapters.tokens import LARGEST, read_token, sign_token
from licfsm.errors import InvalidValue, KeyRejected
from licfsm.key import LONGEST_TEXT, LicenseKey, valid_id

__all__ = [
    "CHECK_PATH",
    "LARGEST_QUESTION",
    "SIGNED_OUTCOMES",
    "AskedQuestion",
    "SignedAnswer",
    "read_answer",
    "read_question",
    "sign_answer",
    "write_answer",
    "write_question",
]

CHECK_PATH: Final = "/v1/check"
"""Where a server is asked, behind its address."""
KIND: Final = "license-answer+jws"
VERSION: Final = 1
SIGNED_OUTCOMES: Final = ("new_key", "up_to_date", "generation_failed", "unsupported_type", "contract_terminated")
"""What a server may say; every other outcome of rules.md 4.1 is what its client makes of a fault."""
LARGEST_QUESTION: Final = LARGEST + 1024
"""Bytes; no question is longer."""
LARGEST_ANSWER: Final = LARGEST + 1024
"""Bytes; no answer is longer."""

_NONCE: Final = range(16, 65)
_NOTE: Final = "x-"
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,3})?(Z|\+00:00)", re.ASCII)
_PATH: Final = re.compile(r"/[A-Za-z0-9._~/-]{1,500}", re.ASCII)


@attrs.frozen
class AskedQuestion:
    """A question, as a server reads it.

    Attributes:
        license: the license's id.
        nonce: what the answer must repeat.
        key: the signed license key that is installed; whether it is genuine, the server finds out.

    """

    license: str
    nonce: str
    key: str = attrs.field(repr=False)


@attrs.frozen
class SignedAnswer:
    """What a server signs.

    Attributes:
        license: the license's id.
        nonce: that of the question.
        time: the server's time, in milliseconds.
        outcome: one of `SIGNED_OUTCOMES`.
        key: the path of the new license key on the same server; empty but with ``new_key``.
        message: for people; may be empty.

    """

    license: str
    nonce: str
    time: int
    outcome: str
    key: str = ""
    message: str = ""


def write_question(key: LicenseKey, nonce: str) -> bytes:
    """Write a question.

    Args:
        key: the key that is installed.
        nonce: what the answer must repeat: random bytes that are used once, in base64url.

    """
    return _json({"version": VERSION, "license": key.id, "nonce": nonce, "key": key.signed})


def read_question(data: bytes) -> AskedQuestion:
    """Read a question.

    Raises:
        InvalidValue: it is none; one line says why.

    """
    if len(data) > LARGEST_QUESTION:
        message = f"the question is longer than {LARGEST_QUESTION} bytes"
        raise InvalidValue(message)
    told = _fields(json_object(data, "the question"), {"license", "nonce", "key"}, set())
    return AskedQuestion(
        valid_id(_text(told, "license")), _valid_nonce(_text(told, "nonce")), _text(told, "key", LARGEST)
    )


def sign_answer(answer: SignedAnswer, private: SigningKey) -> str:
    """Sign an answer.

    Raises:
        InvalidValue: it breaks the protocol.

    """
    told: dict[str, Any] = {
        "version": VERSION,
        "license": answer.license,
        "nonce": answer.nonce,
        "time": instants.isoformat(answer.time),
        "outcome": answer.outcome,
    }
    told |= {name: value for name in ("key", "message") if (value := getattr(answer, name))}
    payload = _json(told)
    _read_payload(payload)
    return sign_token(payload, private, KIND)


def write_answer(signed: str) -> bytes:
    """Write the document in which signed text travels."""
    return _json({"answer": signed})


def read_answer(data: bytes, trust: TrustedKeys) -> SignedAnswer:
    """Read an answer, if its signature is trusted.

    Args:
        data: the document in which it travels.
        trust: whose signatures count.

    Raises:
        InvalidValue: this is not the protocol; one line says why.
        KeyRejected: the signature is wrong, or nobody's who is trusted; or license or nonce can be nobody's.

    """
    told = json_object(data, "the answer")
    signed = told.get("answer")
    if not isinstance(signed, str):
        message = "the answer holds no signed text (answer)"
        raise InvalidValue(message)
    try:
        token = read_token(signed, KIND)
        trust.check(token, "the answer")
    except InvalidValue as error:
        message = f"what the server signed cannot be read: {error}"
        raise KeyRejected(message) from None
    try:
        return _read_payload(token.payload)
    except _Wrong as error:
        raise KeyRejected(str(error)) from None


class _Wrong(InvalidValue):
    """License or nonce is none at all (rules.md 4.1: whoever signs such an answer did not answer this question)."""


def _read_payload(payload: bytes) -> SignedAnswer:
    told = _fields(json_object(payload, "the answer"), {"license", "nonce", "time", "outcome"}, {"key", "message"})
    outcome = _text(told, "outcome")
    if outcome not in SIGNED_OUTCOMES:
        message = f"the answer's outcome must be one of {', '.join(SIGNED_OUTCOMES)}, not {shown(outcome)}"
        raise InvalidValue(message)
    key = _text(told, "key")
    if (outcome == "new_key") != bool(key):
        message = "the answer's key must be there with new_key, and with nothing else"
        raise InvalidValue(message)
    if key and (not _PATH.fullmatch(key) or "//" in key or {".", ".."} & set(key.split("/"))):
        message = f"the answer's key must be a path on the same server, such as /v1/keys/5f1c, not {shown(key)}"
        raise InvalidValue(message)
    time, message = _time(told), _text(told, "message", LONGEST_TEXT)
    license_id, nonce = _text(told, "license"), _text(told, "nonce")
    try:
        return SignedAnswer(valid_id(license_id), _valid_nonce(nonce), time, outcome, key, message)
    except InvalidValue as error:
        raise _Wrong(str(error)) from None


def _fields(told: dict[str, Any], required: set[str], others: set[str]) -> dict[str, Any]:
    version = told.pop("version", None)
    if type(version) is not int or version != VERSION:
        message = f"the version of the protocol must be {VERSION}, not {version!r:.20}"
        raise InvalidValue(message)
    told = {name: value for name, value in told.items() if not name.startswith(_NOTE)}
    if missing := sorted(required - told.keys()):
        message = f"{missing[0]} is missing"
        raise InvalidValue(message)
    if unknown := sorted(told.keys() - required - others):
        message = f"{shown(unknown[0])} is not understood here"
        raise InvalidValue(message)
    return told


def _text(told: dict[str, Any], name: str, longest: int = LONGEST_TEXT) -> str:
    value = told.get(name, "")
    if not isinstance(value, str) or len(value) > longest or any("\ud800" <= mark <= "\udfff" for mark in value):
        message = f"{name} must be text of at most {longest} characters"
        raise InvalidValue(message)
    return value


def _valid_nonce(nonce: str) -> str:
    try:
        size = len(from_base64url(nonce))
    except InvalidValue:
        size = 0
    if size not in _NONCE:
        message = f"nonce must be {_NONCE.start} to {_NONCE.stop - 1} bytes in base64url"
        raise InvalidValue(message)
    return nonce


def _time(told: dict[str, Any]) -> int:
    text = _text(told, "time")
    found = instants.parse_instant(text, instants.UTC) if _TIME.fullmatch(text) else None
    if not isinstance(found, int):
        message = f"time must be an instant in UTC, such as 2025-02-07T00:00:00.000+00:00, not {shown(text)}"
        raise InvalidValue(message)
    return found


def _json(told: dict[str, Any]) -> bytes:
    try:
        return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half a character (a surrogate)
        message = "what is said must be text of whole characters"
        raise InvalidValue(message) from None
