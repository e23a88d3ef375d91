"""License keys: text that an issuer signed. The signature alone makes it count (rules.md 4.3).

A key is a compact JWS (RFC 7515) signed with Ed25519 (RFC 9864), so that issuers can be written in any language::

    header   {"alg": "Ed25519", "kid": "<id of the signing key>", "typ": "license-key+jws"}, and nothing else
    payload  {"version": 1, "id": "ACME-1", "type": "subscription", "zone": "Europe/Berlin",
              "product": "...", "edition": "...", "holder": "...", "counts": {"sockets": 16},
              "expires": "2025-02-14", "issued": "2025-02-01T08:00:00+00:00"}

``expires`` is the last valid day, or an exact instant with its offset; a perpetual key has none. ``issued`` is in
UTC. ``product``, ``edition``, ``holder`` and ``counts`` may be left out. A field that is not known here may restrict
what the key allows, so it is refused, unless its name begins with ``x-``: those are the issuer's own notes.

What is read was perhaps made by an attacker. Its form is judged first, then the signature, then what it says. A text
has one spelling: nobody but its issuer can write the same key in another way. How signed text is read and written,
`tokens` knows.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from licfsm import instants
from licfsm.adapters.encoding import json_object, shown
from licfsm.adapters.key_pairs import SigningKey, public_keys
from licfsm.adapters.tokens import LARGEST, Token, is_signed, read_token, sign_token
from licfsm.errors import InvalidValue, KeyRejected
from licfsm.key import LONGEST_TEXT, LicenseKey, valid_id, valid_type

if TYPE_CHECKING:
    import datetime as dt

    import pendulum
    from joserfc.jwk import OKPKey

__all__ = ["LARGEST", "SigningKey", "TrustedKeys", "read_unverified", "sign"]

KIND: Final = "license-key+jws"
VERSION: Final = 1
MOST: Final = 2**53
"""The largest count: the largest whole number that every JSON reader keeps exactly."""
LONGEST_NAME: Final = 64
NOTE: Final = "x-"


# ---------------------------------------------------------------------------------------------- whose signature counts


@attrs.frozen(eq=False)
class TrustedKeys:
    """The public keys whose signatures count. Made by `of`."""

    _keys: Mapping[str, OKPKey] = attrs.field(repr=", ".join)

    @classmethod
    def of(cls, trust: object) -> Self:
        """Read what a host embeds.

        Args:
            trust: one, or an iterable, of these: a JWK or a set of them (JSON text or a mapping), an Ed25519 public
                key in PEM, or the `Path` of a file with one of these. A key's id is the JWK's ``kid``, else its
                thumbprint (RFC 7638).

        Raises:
            InvalidValue: something is no Ed25519 public key or cannot be read, two keys have one id, or there is none.

        """
        if isinstance(trust, str | bytes | Mapping | os.PathLike | SigningKey) or not isinstance(trust, Iterable):
            trust = [trust] if trust else []
        keys: dict[str, OKPKey] = {}
        for given in trust:
            for kid, key in public_keys(given):
                if keys.setdefault(kid, key).public_key != key.public_key:
                    message = f"two trusted keys have the id {kid!r}; give each an id (kid) of its own"
                    raise InvalidValue(message)
        if not keys:
            message = "without trusted keys nothing opens; give the public key of whoever signs your license keys"
            raise InvalidValue(message)
        return cls(MappingProxyType(keys))

    def verify(self, signed: str | bytes) -> LicenseKey:
        """Read a license key, if its signature is trusted and what it says breaks no rule.

        Args:
            signed: the text, as it stands in a file; blanks and line ends around it do not count.

        Returns:
            The key, with the exact text in ``signed``.

        Raises:
            KeyRejected: it is refused; one line says why.

        """
        try:
            token = read_token(signed, KIND)
            self.check(token, "the key")
        except InvalidValue as error:
            raise _no_key(error) from None
        return _read_payload(token.payload, token.text)

    def check(self, token: Token, what: str) -> None:
        """See that a trusted signer signed it.

        Args:
            token: signed text.
            what: how a refusal names it.

        Raises:
            KeyRejected: none did.
            InvalidValue: its form is bad.

        """
        key = self._keys.get(token.kid)
        if key is None:
            message = f"{what} is signed by {shown(token.kid)}, whom nothing here trusts"
            raise KeyRejected(message)
        if not is_signed(token, key):
            message = f"the signature is wrong: the text was changed, or was not signed by {shown(token.kid)}"
            raise KeyRejected(message)


def read_unverified(signed: str | bytes) -> tuple[str, LicenseKey]:
    """Read what a license key says, to show it: nothing vouches for it, anybody can have written it.

    Returns:
        The id of the key that it names as its signer, and what it says, with ``signed`` empty.

    Raises:
        KeyRejected: it is no license key, or what it says breaks a rule.

    """
    try:
        token = read_token(signed, KIND)
    except InvalidValue as error:
        raise _no_key(error) from None
    return token.kid, _read_payload(token.payload, "")


def sign(key: LicenseKey, private: SigningKey) -> LicenseKey:
    """Sign a license key, and see that it reads back as what it says.

    Args:
        key: what to sign; it must say when it was issued. A date of issue becomes the instant at which it begins.
        private: the signing key.

    Returns:
        The same key, with the text to hand out in ``signed``.

    Raises:
        InvalidValue: it does not say when it was issued, or would be refused by `TrustedKeys.verify`.

    """
    if key.issued is None:
        message = "a key that is signed must say when it was issued"
        raise InvalidValue(message)
    key = attrs.evolve(key, issued=instants.from_ms(key.issued_at, key.zone))
    try:
        payload = json.dumps(_payload(key), ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError):
        message = "the key cannot be signed: it holds something that is no text, or no number"
        raise InvalidValue(message) from None
    text = sign_token(payload, private, KIND)
    try:
        read = TrustedKeys.of(private.public).verify(text)
    except KeyRejected as error:
        message = f"the key cannot be signed: {error}"
        raise InvalidValue(message) from None
    if (read, read.expires_at, read.issued_at) != (key, key.expires_at, key.issued_at):
        message = "the key cannot be signed: it would read back as another; are all its values of the right type?"
        raise InvalidValue(message)
    return read


def _no_key(error: InvalidValue) -> KeyRejected:
    return KeyRejected(f"this is no license key: {error}")


# ---------------------------------------------------------------------------------------------- what it says


def _payload(key: LicenseKey) -> dict[str, Any]:
    """List what a key says; what is empty is left out."""
    told: dict[str, Any] = {"version": VERSION, "id": key.id, "type": key.type, "zone": key.zone.name}
    told |= {name: value for name in ("product", "edition", "holder") if (value := getattr(key, name))}
    if key.counts:
        told["counts"] = dict(key.counts)
    if key.expires is not None:
        told["expires"] = _written(key.expires)
    return told | {"issued": instants.isoformat(key.issued_at)}


def _written(expires: dt.date) -> str:
    """Write a date, or an instant by its local time; in UTC where the offset has seconds, as before standard time."""
    import datetime as dt

    if not isinstance(expires, dt.datetime):
        return expires.isoformat()
    offset = expires.utcoffset()
    if offset is None or offset % dt.timedelta(minutes=1):
        return instants.isoformat(instants.to_ms(expires))
    return dt.datetime.isoformat(expires, timespec="milliseconds" if expires.microsecond else "seconds")


def _read_payload(data: bytes, signed: str) -> LicenseKey:
    try:
        told = json_object(data, "it")
        _check_version(told.pop("version", None))
        values = {name: _read_field(name, value) for name, value in told.items() if not name.startswith(NOTE)}
        return _made(values, signed)
    except InvalidValue as error:
        message = f"what the key says cannot be used: {error}"
        raise KeyRejected(message) from None


def _made(values: dict[str, Any], signed: str) -> LicenseKey:
    if missing := _REQUIRED - values.keys():
        message = f"{min(missing)} is missing"
        raise InvalidValue(message)
    try:
        return LicenseKey(**values, signed=signed)
    except InvalidValue as error:  # each value is good by itself; only an expiry can still be out of bounds
        message = f"expires: {error}"
        raise InvalidValue(message) from None


def _check_version(version: object) -> None:
    if type(version) is int and version > VERSION:
        message = "it was made for a newer version of this program; update it, then try again"
        raise InvalidValue(message)
    if type(version) is not int or version != VERSION:
        message = f"version must be the number {VERSION}"
        raise InvalidValue(message)


def _read_field(name: str, value: object) -> Any:  # noqa: ANN401 - each field has a type of its own
    read = _FIELDS.get(name)
    if read is None:
        message = f"the field {shown(name)} is not understood here, and may restrict what the key allows"
        raise InvalidValue(message)
    try:
        return read(value)
    except InvalidValue as error:
        message = f"{name}: {error}"
        raise InvalidValue(message) from None


def _text(value: object, longest: int = LONGEST_TEXT) -> str:
    if not isinstance(value, str):
        message = "must be text"
        raise InvalidValue(message)
    if len(value) > longest:
        message = f"must have at most {longest} characters"
        raise InvalidValue(message)
    if any("\ud800" <= character <= "\udfff" for character in value):
        message = "holds half a character (a surrogate)"
        raise InvalidValue(message)
    return value


def _moment(form: str, hint: str) -> Callable[[object], dt.date]:
    """Read a date or an instant that is written in the one form that is allowed."""
    pattern = re.compile(form, re.ASCII)

    def read(value: object) -> dt.date:
        text = _text(value)
        if not pattern.fullmatch(text):
            message = f"must be {hint}"
            raise InvalidValue(message)
        found = instants.parse_instant(text, instants.UTC)
        return instants.from_ms(found) if isinstance(found, int) else found

    return read


def _counts(value: object) -> Mapping[str, int]:
    if not isinstance(value, dict):
        message = "must be names with their numbers"
        raise InvalidValue(message)
    for name, count in value.items():
        if not _text(name, LONGEST_NAME):
            message = "has a name that is empty"
            raise InvalidValue(message)
        if type(count) is not int or not 0 <= count <= MOST:
            message = f"{shown(name)} must be a whole number from 0 to {MOST}"
            raise InvalidValue(message)
    return value


def _zone(value: object) -> pendulum.Timezone:
    return instants.zone(_text(value))


_TIME: Final = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?"
_FIELDS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "id": lambda value: valid_id(_text(value)),
    "type": lambda value: valid_type(_text(value)),
    "zone": _zone,
    "product": _text,
    "edition": _text,
    "holder": _text,
    "counts": _counts,
    "expires": _moment(
        rf"\d{{4}}-\d{{2}}-\d{{2}}|{_TIME}(Z|[+-]\d{{2}}:\d{{2}})",
        "a date or an instant with its offset, such as 2025-02-14 or 2025-02-14T10:30:00+01:00",
    ),
    "issued": _moment(rf"{_TIME}(Z|\+00:00)", "an instant in UTC, such as 2025-02-01T08:00:00+00:00"),
}
_REQUIRED: Final = frozenset({"id", "type", "zone", "issued"})
