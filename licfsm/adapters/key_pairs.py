"""Ed25519 keys: the private ones with which an issuer signs, the public ones that a host trusts.

Both come from outside, as JWK (RFC 7517, 8037), as PEM, or in files. Each is taken only as what it is for: a private
key never as trust, a public one never to sign, and none with which anybody could sign. What is signed with them, and
how, this module does not know. joserfc is loaded when it is first used.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from licfsm.adapters.encoding import from_base64url, json_object, to_base64url
from licfsm.errors import InvalidValue
from licfsm.key import clean_text

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey

__all__ = ["ALGORITHM", "SigningKey", "public_keys"]

ALGORITHM: Final = "Ed25519"
"""The name of the curve (RFC 8037), and of the signatures (RFC 9864)."""
LARGEST_FILE: Final = 1024 * 1024
"""Bytes; no file of public or private keys is longer."""

_POINT: Final = 32
_KID: Final = re.compile(r"[ -~]{1,128}")
_BEGIN: Final = "-----BEGIN "
_PRIME: Final = 2**255 - 19
_ORDER_8: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_FOR_ANYBODY: Final = frozenset({0, 1, _PRIME - 1, _ORDER_8, _PRIME - _ORDER_8})
"""The y of the curve's eight points of small order: with a key of these, signatures can be made without a secret."""


@attrs.frozen(eq=False)
class SigningKey:
    """A private key that signs license keys. It belongs to the issuer, never into a host.

    Attributes:
        kid: its id, which the license keys that it signs name.

    """

    kid: str
    _key: OKPKey = attrs.field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Make a new one; its id is its thumbprint (RFC 7638)."""
        from joserfc.jwk import OKPKey

        key = OKPKey.generate_key(ALGORITHM)
        return cls(key.thumbprint(), key)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read one from a file: a private JWK, or PEM without password.

        Raises:
            InvalidValue: the file cannot be read, or holds no private Ed25519 key.

        """
        with _naming(path):
            text = _file_text(path)
            kid, key = _from_pem(text) if _BEGIN in text else _from_jwk(json_object(text, "what it holds"))
            if not key.is_private:
                message = "this is a public key, which cannot sign; give the private one"
                raise InvalidValue(message)
        return cls(kid, key)

    def save(self, path: str | Path) -> None:
        """Write it to a new file that only its owner can read.

        Raises:
            InvalidValue: there is something at that path already; it was left alone.
            OSError: the file cannot be written.

        """
        try:
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            message = f"{path} exists already, and a private key never takes the place of another file"
            raise InvalidValue(message) from None
        try:
            with os.fdopen(number, "wb") as file:
                file.write(self.private.encode() + b"\n")
                file.flush()
                os.fsync(number)
        except OSError as error:
            Path(path).unlink()
            raise type(error)(error.errno, error.strerror, str(path)) from error

    @property
    def public(self) -> str:
        """What a host embeds as its trust: the public JWK in one line of JSON."""
        return json.dumps({"kty": "OKP", "crv": ALGORITHM, "x": _x(self._key), "kid": self.kid})

    @property
    def private(self) -> str:
        """The private JWK in one line of JSON: a secret."""
        return json.dumps(json.loads(self.public) | {"d": self._key["d"]})


# ---------------------------------------------------------------------------------------------- reading either half


def public_keys(given: object) -> list[tuple[str, OKPKey]]:
    """Read whatever stands for public keys.

    Args:
        given: one of what `keys.TrustedKeys.of` takes.

    Returns:
        Each key with its id; none for a set of keys that is empty.

    Raises:
        InvalidValue: it is no Ed25519 public key, or cannot be read.

    """
    if isinstance(given, os.PathLike):
        with _naming(given):
            return public_keys(_file_text(given))
    if isinstance(given, Mapping):
        jwks = given.get("keys", [given])
        if not isinstance(jwks, list | tuple) or not all(isinstance(jwk, Mapping) for jwk in jwks):
            message = "a set of keys must list them (keys), each a JWK"
            raise InvalidValue(message)
        return [_public(*_from_jwk(jwk)) for jwk in jwks]
    if isinstance(given, str) and given.lstrip().startswith("{"):
        return public_keys(json_object(given, "a trusted key"))
    if isinstance(given, str) and _BEGIN in given:
        return [_public(*_from_pem(given))]
    if isinstance(given, SigningKey):
        return [_public(given.kid, given._key)]  # noqa: SLF001 - of this module
    message = "a trusted key must be a JWK, PEM text, or the Path of a file with either"
    raise InvalidValue(message)


def _public(kid: str, key: OKPKey) -> tuple[str, OKPKey]:
    if key.is_private:
        message = "a private key is no trust, and has no place in a host; give its public half"
        raise InvalidValue(message)
    if int.from_bytes(key.public_key.public_bytes_raw(), "little") % 2**255 % _PRIME in _FOR_ANYBODY:
        message = "a trusted key must not be one for which anybody can sign (a point of small order)"
        raise InvalidValue(message)
    return kid, key


def _x(key: OKPKey) -> str:
    """Work out the public half, whatever a JWK says it is."""
    return to_base64url(key.public_key.public_bytes_raw())


def _from_jwk(jwk: Mapping[str, Any]) -> tuple[str, OKPKey]:
    """Take what makes a key, and its id; nothing else of a JWK counts, unless it says that the key is for other use."""
    from joserfc.jwk import OKPKey

    if (jwk.get("kty"), jwk.get("crv")) != ("OKP", ALGORITHM):
        message = f"a key (JWK) must have the kty 'OKP' and the crv {ALGORITHM!r}"
        raise InvalidValue(message)
    if jwk.get("use", "sig") != "sig" or jwk.get("alg", ALGORITHM) not in (ALGORITHM, "EdDSA"):
        message = f"a key (JWK) must be for signatures with {ALGORITHM}; this one's use or alg says otherwise"
        raise InvalidValue(message)
    kid = jwk.get("kid")
    if kid is not None and not (isinstance(kid, str) and _KID.fullmatch(kid)):
        message = "a key's id (kid) must be 1 to 128 printable ASCII characters"
        raise InvalidValue(message)
    known: dict[str, str | list[str]] = {"kty": "OKP", "crv": ALGORITHM, "x": _point("x", jwk.get("x"))}
    if "d" in jwk:
        known["d"] = _point("d", jwk["d"])
    key = OKPKey.import_key(known)
    if _x(key) != known["x"]:
        message = "the two halves of a key (JWK), x and d, do not belong together"
        raise InvalidValue(message)
    return kid or key.thumbprint(), key


def _point(name: str, value: object) -> str:
    with contextlib.suppress(InvalidValue):
        if isinstance(value, str) and len(from_base64url(value)) == _POINT:
            return value
    message = f"a key (JWK) must have {_POINT} bytes in base64url as its {name}"
    raise InvalidValue(message)


def _from_pem(text: str) -> tuple[str, OKPKey]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from joserfc.errors import JoseError
    from joserfc.jwk import OKPKey

    try:
        key = OKPKey.import_key(text.encode()) if text.count(_BEGIN) == 1 else None
    except (ValueError, TypeError, UnsupportedAlgorithm, JoseError):  # TypeError: a password is missing
        key = None
    if key is None or key.curve_name != ALGORITHM:
        message = f"PEM text must hold one {ALGORITHM} key, without a password"
        raise InvalidValue(message)
    return key.thumbprint(), key


def _file_text(path: str | os.PathLike[str]) -> str:
    try:
        with Path(path).open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
        if len(data) <= LARGEST_FILE:
            return data.decode("utf-8-sig")
        why = "it is too large for a file of keys"
    except UnicodeDecodeError:
        why = "it is no text"
    except (OSError, ValueError) as error:  # ValueError: no path at all
        why = getattr(error, "strerror", None) or str(error)
    message = f"cannot be read: {why}"
    raise InvalidValue(message)


@contextlib.contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Begin what is wrong with the name of the file."""
    try:
        yield
    except InvalidValue as error:
        message = f"{clean_text(os.fspath(path))}: {error}"
        raise InvalidValue(message) from None
