"""Signed text: a compact JWS (RFC 7515), signed with Ed25519 (RFC 9864) and nothing else.

License keys are such text, and so are a license server's answers; their kind (``typ``) keeps one from passing for the
other. What is read was perhaps made by an attacker, so its form is judged first, then the signature. A text has one
spelling: nobody but its issuer can write the same in another way. What it says is judged by those who know its kind.
How bytes and JSON are read strictly, `encoding` knows; what a key pair is, `key_pairs`. joserfc is loaded when it is
first used.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from licfsm.adapters.encoding import from_base64url, json_object, shown
from licfsm.adapters.key_pairs import ALGORITHM, SigningKey
from licfsm.errors import InvalidValue
from licfsm.key import clean_text

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey
    from joserfc.jws import JWSRegistry

__all__ = ["LARGEST", "Token", "is_signed", "read_token", "sign_token"]

LARGEST: Final = 16 * 1024
"""Bytes; no signed text is longer."""

_SIGNATURE: Final = 64
_HEADER: Final = frozenset({"alg", "kid", "typ"})
_PARTS: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


@attrs.frozen
class Token:
    """Signed text whose form is good; nothing vouches for it yet.

    Attributes:
        text: the text.
        kid: the id of the key that it names as its signer.
        payload: what it says.

    """

    text: str
    kid: str
    payload: bytes


def read_token(signed: str | bytes, kind: str) -> Token:
    """Judge the form, before anything costly.

    Args:
        signed: the text; blanks and line ends around it do not count.
        kind: what its header must say as its ``typ``.

    Raises:
        InvalidValue: it is no such text; one line says why.

    """
    if not isinstance(signed, str | bytes):
        message = "it is no text"
        raise InvalidValue(message)
    if len(signed) > LARGEST:
        message = f"it is longer than {LARGEST // 1024} KB"
        raise InvalidValue(message)
    text = (signed.decode("ascii", "replace") if isinstance(signed, bytes) else signed).strip(" \t\r\n")
    parts = _PARTS.fullmatch(text)
    if parts is None:
        message = "it must be three parts of base64url with dots between them" if text else "it is empty"
        raise InvalidValue(message)
    header, payload, signature = (from_base64url(part) for part in parts.groups())
    kid = _read_header(json_object(header, "its header"), kind)
    if len(signature) != _SIGNATURE:
        message = f"its signature has {len(signature)} bytes in place of {_SIGNATURE}; was the text cut short?"
        raise InvalidValue(message)
    return Token(text, kid, payload)


def _read_header(header: Mapping[str, Any], kind: str) -> str:
    """Accept the one header that there is, and find in it who signed."""
    if header.get("typ") != kind:
        message = f"it is signed text of another kind (typ must be {kind!r}, not {shown(header.get('typ'))})"
        raise InvalidValue(message)
    if header.get("alg") != ALGORITHM:
        message = f"it must be signed with {ALGORITHM} (alg), not {shown(header.get('alg'))}"
        raise InvalidValue(message)
    if unknown := sorted(header.keys() - _HEADER):
        message = f"its header says {shown(unknown[0])}, which is not understood here"
        raise InvalidValue(message)
    kid = header.get("kid")
    if not isinstance(kid, str):
        message = "its header does not say who signed it (kid)"
        raise InvalidValue(message)
    return kid


@functools.cache
def _registry() -> JWSRegistry:
    """Pin the algorithm, whatever a header says, and the size, whatever a version of joserfc takes for large."""
    from joserfc.jws import JWSRegistry

    registry = JWSRegistry(algorithms=[ALGORITHM], strict_check_header=True)
    registry.max_payload_length = LARGEST
    return registry


def is_signed(token: Token, key: OKPKey) -> bool:
    """Say whether a public key's owner signed it.

    Raises:
        InvalidValue: its form is bad after all.

    """
    from joserfc import jws
    from joserfc.errors import JoseError

    try:
        found = jws.extract_compact(token.text.encode(), registry=_registry())
        return jws.validate_compact(found, key, registry=_registry())
    except JoseError as error:  # of a header blown up by blanks
        raise InvalidValue(clean_text(error.description)) from None


def sign_token(payload: bytes, private: SigningKey, kind: str) -> str:
    """Sign what a text says."""
    from joserfc import jws

    header = {"alg": ALGORITHM, "kid": private.kid, "typ": kind}
    return jws.serialize_compact(header, payload, private._key, registry=_registry())  # noqa: SLF001 - for nothing but this
