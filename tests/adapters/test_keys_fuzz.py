"""Changed keys by the hundred thousand: none counts, and each is refused in the one way that a host expects."""

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey

import licfsm
from licfsm.adapters.key_pairs import SigningKey
from licfsm.adapters.keys import TrustedKeys, read_unverified, sign
from licfsm.errors import KeyRejected

pytestmark = pytest.mark.long

CHANGES = 100_000
PARTS = 10


def encode(data: bytes) -> str:
    """Encode as RFC 7515 says."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Decode likewise."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def issuer(kid: str) -> SigningKey:
    """Make a signing key, the same every time."""
    private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(kid.encode()).digest())
    jwk = {"d": encode(private.private_bytes_raw()), "x": encode(private.public_key().public_bytes_raw())}
    return SigningKey(kid, OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", **jwk}))


ISSUERS = [issuer("2024"), issuer("2025")]
TRUSTED = TrustedKeys.of([issuer.public for issuer in ISSUERS])
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEYS = [
    sign(licfsm.LicenseKey(id="A", type="rental", issued="2025-02-01"), ISSUERS[0]).signed,
    sign(licfsm.LicenseKey(id="AC", type="rental", expires="2025-02-14", issued="2025-02-01"), ISSUERS[0]).signed,
    sign(
        licfsm.LicenseKey(
            id="ACME-1",
            type="subscription",
            zone="Europe/Berlin",
            expires="2025-02-14T10:30",
            issued="2025-02-01",
            product="Backup",
            edition="Gold",
            holder="Müller & Söhne, 東京",
            counts={"sockets": 16, "instances": 100},
        ),
        ISSUERS[1],
    ).signed,
]
BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
ODD = ["=", "==", ".", "+", "/", " ", "\n", "\x00", "é", "\ud800", "\ufeff", "A" * 17_000, "..", "%41"]
VALUES = [
    None,
    True,
    -1,
    0,
    2,
    1.5,
    2**53,
    2**64,
    "",
    "x",
    "2099-12-31",
    "9999-12-31T00:00:00Z",
    [],
    {},
    [[]],
    {"a": 1},
]
FIELDS = ["version", "id", "type", "zone", "product", "edition", "holder", "counts", "expires", "issued", "x-", "sites"]
HEADERS = ["alg", "kid", "typ", "crit", "jwk", "jku", "x5c", "b64", "cty"]
ALGORITHMS = ["none", "None", "HS256", "EdDSA", "ES256", "Ed448", "ed25519", "", None]

Change = Callable[[random.Random, str], str]


def flip(rng: random.Random, text: str) -> str:
    """Flip a bit of a character."""
    at = rng.randrange(len(text))
    return text[:at] + chr(ord(text[at]) ^ 1 << rng.randrange(8)) + text[at + 1 :]


def replace(rng: random.Random, text: str) -> str:
    """Replace a character by another one of the alphabet."""
    at = rng.randrange(len(text))
    return text[:at] + rng.choice(BASE64) + text[at + 1 :]


def replace_last(rng: random.Random, text: str) -> str:
    """Replace the last character of a part: the one that may hold unused bits."""
    parts = text.split(".")
    part = rng.randrange(3)
    parts[part] = parts[part][:-1] + rng.choice(BASE64)
    return ".".join(parts)


def insert(rng: random.Random, text: str) -> str:
    """Insert some characters of the alphabet, or something odd."""
    at = rng.randrange(len(text) + 1)
    more = rng.choice(ODD) if rng.random() < 0.5 else "".join(rng.choices(BASE64, k=rng.randint(1, 4)))
    return text[:at] + more + text[at:]


def delete(rng: random.Random, text: str) -> str:
    """Delete some characters."""
    at = rng.randrange(len(text))
    return text[:at] + text[at + rng.randint(1, 8) :]


def truncate(rng: random.Random, text: str) -> str:
    """Lose the end, or the beginning."""
    at = rng.randrange(len(text))
    return text[:at] if rng.random() < 0.5 else text[at:]


def swap(rng: random.Random, text: str) -> str:
    """Put parts of two keys together in another order."""
    parts = text.split(".") + rng.choice(KEYS).split(".")
    return ".".join(rng.sample(parts, rng.choice([2, 3, 3, 3, 4])))


def resign(rng: random.Random, header: str, payload: str, old: str) -> str:
    """Sign in one of the ways that an attacker has."""
    text = f"{header}.{payload}"
    how = rng.randrange(6)
    if how == 0:
        return f"{text}.{encode(STRANGER.sign(text.encode()))}"
    if how == 1:
        public = rng.choice([issuer.public.encode() for issuer in ISSUERS])
        secret = rng.choice([public, decode(json.loads(public)["x"])])
        return f"{text}.{encode(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"
    if how == 2:
        return f"{text}.{encode(rng.randbytes(64))}"
    if how == 3:
        return f"{text}.{rng.choice(['', encode(bytes(64)), encode(bytes([1, *bytes(63)]))])}"
    return f"{text}.{old}"


def rewrite_header(rng: random.Random, text: str) -> str:
    """Say another algorithm, another signer, or more than a header may."""
    header, payload, signature = text.split(".")
    said = json.loads(decode(header))
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": encode(STRANGER.public_key().public_bytes_raw())}
    for _ in range(rng.randint(1, 2)):
        name = rng.choice(HEADERS)
        said[name] = {
            "alg": rng.choice(ALGORITHMS),
            "kid": rng.choice([*VALUES, "stranger", *(issuer.kid for issuer in ISSUERS)]),
            "jwk": jwk,
            "crit": [rng.choice(HEADERS)],
            "b64": rng.random() < 0.5,
        }.get(name, rng.choice(VALUES))
    return resign(rng, encode(json.dumps(said).encode()), payload, signature)


def rewrite_payload(rng: random.Random, text: str) -> str:
    """Say something else, or nothing that can be read."""
    header, payload, signature = text.split(".")
    said = json.loads(decode(payload))
    for _ in range(rng.randint(1, 3)):
        said[rng.choice(FIELDS)] = rng.choice(VALUES)
    written = json.dumps(said, ensure_ascii=False).encode()
    if rng.random() < 0.3:
        at = rng.randrange(len(written))
        written = written[:at] + rng.choice([b"[" * 2000, b"9" * 5000, b"\xff", b"NaN", b'"', b""]) + written[at + 1 :]
    return resign(rng, header, encode(written), signature)


def extend(rng: random.Random, text: str) -> str:
    """Write the same JSON with blanks, which is another text to sign."""
    header, payload, signature = text.split(".")
    part = rng.randrange(2)
    blanks = [b" " * rng.randint(1, 4) if index == part else b"" for index in range(2)]
    return f"{encode(decode(header) + blanks[0])}.{encode(decode(payload) + blanks[1])}.{signature}"


CHEAP: list[Change] = [flip, insert, delete, truncate, swap, rewrite_header]
COSTLY: list[Change] = [replace, replace_last, rewrite_payload, extend]
"""Most of what these make has the form of a key, so that its signature must be verified."""


def outcome(read: Callable[[str], object], text: str) -> str | None:
    """Tell why a text is refused; None if it is accepted."""
    try:
        read(text)
    except KeyRejected as error:
        return str(error)
    return None


@pytest.mark.parametrize("part", range(PARTS))
def test_no_changed_key_counts(part: int) -> None:
    """A key that is not, character by character, one that was signed is refused with `KeyRejected`, and nothing else."""
    rng = random.Random(part)  # noqa: S311 - the same keys every time
    accepted = []
    for number in range(CHANGES // PARTS):
        text = rng.choice(KEYS)
        while text.strip(" \t\r\n") in KEYS:
            text = rng.choice(CHEAP if number % 3 else COSTLY)(rng, text)
        if outcome(TRUSTED.verify, text) is None:
            accepted.append(text)
        assert (outcome(read_unverified, text) or "").isprintable()
    assert [] == accepted


def test_the_keys_count_as_they_are() -> None:
    """What is changed above is accepted unchanged, or nothing would be proved."""
    assert KEYS == [TRUSTED.verify(text).signed for text in KEYS]
