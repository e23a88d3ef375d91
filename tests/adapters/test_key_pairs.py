import json
import os
import stat
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from issuing import PRIVATE, PUBLIC, THUMBPRINT, D, X, base64url, says, signing

import licfsm
from licfsm.adapters.key_pairs import LARGEST_FILE, SigningKey
from licfsm.adapters.keys import TrustedKeys, sign
from licfsm.errors import InvalidValue

PASSWORD = b"open"


def pem(key: object, password: bytes | None = None) -> str:
    """Write a key as PEM."""
    if hasattr(key, "public_key"):
        hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        data = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
    else:
        data = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return data.decode()


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class TestTrust:
    """What a host may give as its trust."""

    def accepts(self, trust: object) -> bool:
        """Say whether a key of the RFC's private key counts."""
        return "ACME-1" == TrustedKeys.of(trust).verify(says()).id

    @pytest.mark.parametrize(
        "trust",
        [
            PUBLIC,
            json.dumps(PUBLIC),
            f"\n {json.dumps(PUBLIC, indent=2)}\n",
            pem(PRIVATE.public_key()),
            [PUBLIC],
            (json.dumps(PUBLIC),),
            iter([pem(PRIVATE.public_key())]),
            {"keys": [PUBLIC]},
            {"keys": ({"kid": "another"} | PUBLIC, PUBLIC)},
            json.dumps({"keys": [PUBLIC]}),
            [PUBLIC, PUBLIC, pem(PRIVATE.public_key())],
            PUBLIC | {"kid": THUMBPRINT, "use": "sig", "alg": "Ed25519", "key_ops": ["verify"], "note": 1},
            PUBLIC | {"alg": "EdDSA"},
        ],
        ids=range(13),
    )
    def test_may_be(self, trust: object) -> None:
        """A JWK, a set of them, or PEM; one, or several in anything that can be gone through."""
        assert self.accepts(trust)

    @pytest.mark.parametrize("content", [json.dumps(PUBLIC), json.dumps({"keys": [PUBLIC]}), pem(PRIVATE.public_key())])
    @pytest.mark.parametrize("start", ["", "\n", "\ufeff"])
    def test_may_be_a_file(self, tmp_path: Path, content: str, start: str) -> None:
        """A file of one of these, also with the mark that some editors put first, is read."""
        file = tmp_path / "trust"
        file.write_text(start + content, encoding="utf-8")
        assert self.accepts([file])
        assert self.accepts(file)

    @pytest.mark.parametrize(
        "trust", [PUBLIC | {"d": D}, json.dumps(PUBLIC | {"d": D}), pem(PRIVATE), SigningKey.generate()], ids=range(4)
    )
    def test_may_not_be_private(self, trust: object) -> None:
        """A private key is refused, in whatever form, and its public half asked for."""
        for given_trust in (trust, [trust]):
            with pytest.raises(
                InvalidValue, match="a private key is no trust, and has no place in a host; give its public half"
            ):
                TrustedKeys.of(given_trust)

    @pytest.mark.parametrize(
        ("trust", "why"),
        [
            ("key.pem", "a trusted key must be a JWK, PEM text, or the Path of a file with either"),
            (5, "a trusted key must be a JWK, PEM text, or the Path of a file with either"),
            (b"{}", "a trusted key must be a JWK, PEM text, or the Path of a file with either"),
            ([[PUBLIC]], "a trusted key must be a JWK, PEM text, or the Path of a file with either"),
            ("{", "a trusted key is no JSON object that can be read"),
            ('{"kty":"OKP","kty":"OKP"}', "a trusted key says 'kty' twice"),
            ({"keys": 5}, "a set of keys must list them (keys), each a JWK"),
            ({"keys": [X]}, "a set of keys must list them (keys), each a JWK"),
            ({"kty": "oct", "k": X}, "a key (JWK) must have the kty 'OKP' and the crv 'Ed25519'"),
            (PUBLIC | {"crv": "Ed448"}, "a key (JWK) must have the kty 'OKP' and the crv 'Ed25519'"),
            (PUBLIC | {"crv": ["Ed25519"]}, "a key (JWK) must have the kty 'OKP' and the crv 'Ed25519'"),
            (
                PUBLIC | {"use": "enc"},
                "a key (JWK) must be for signatures with Ed25519; this one's use or alg says otherwise",
            ),
            (
                PUBLIC | {"alg": ["Ed25519"]},
                "a key (JWK) must be for signatures with Ed25519; this one's use or alg says otherwise",
            ),
            (PUBLIC | {"x": X[:-1]}, "a key (JWK) must have 32 bytes in base64url as its x"),
            (PUBLIC | {"x": X + "AA"}, "a key (JWK) must have 32 bytes in base64url as its x"),
            (PUBLIC | {"x": X + "="}, "a key (JWK) must have 32 bytes in base64url as its x"),
            (PUBLIC | {"x": X[:-1] + "p"}, "a key (JWK) must have 32 bytes in base64url as its x"),
            (PUBLIC | {"x": X[:-1] + "é"}, "a key (JWK) must have 32 bytes in base64url as its x"),
            (PUBLIC | {"x": 5}, "a key (JWK) must have 32 bytes in base64url as its x"),
            ({"kty": "OKP", "crv": "Ed25519"}, "a key (JWK) must have 32 bytes in base64url as its x"),
            (PUBLIC | {"kid": ""}, "a key's id (kid) must be 1 to 128 printable ASCII characters"),
            (PUBLIC | {"kid": 5}, "a key's id (kid) must be 1 to 128 printable ASCII characters"),
            (PUBLIC | {"kid": "é"}, "a key's id (kid) must be 1 to 128 printable ASCII characters"),
            (PUBLIC | {"kid": "x" * 129}, "a key's id (kid) must be 1 to 128 printable ASCII characters"),
            (
                pem(ed448.Ed448PrivateKey.generate().public_key()),
                "PEM text must hold one Ed25519 key, without a password",
            ),
            (
                pem(ec.generate_private_key(ec.SECP256R1()).public_key()),
                "PEM text must hold one Ed25519 key, without a password",
            ),
            (2 * pem(PRIVATE.public_key()), "PEM text must hold one Ed25519 key, without a password"),
            ("-----BEGIN PUBLIC KEY-----\n", "PEM text must hold one Ed25519 key, without a password"),
            ("-----BEGIN \ud800", "PEM text must hold one Ed25519 key, without a password"),
        ],
        ids=range(29),
    )
    def test_may_not_be_anything_else(self, trust: object, why: str) -> None:
        """What is no public key of Ed25519 is refused, and why."""
        with pytest.raises(InvalidValue) as caught:
            TrustedKeys.of(trust)
        assert why == str(caught.value)

    @pytest.mark.parametrize("sign_bit", [0, 1 << 255])
    @pytest.mark.parametrize(
        "y",
        [
            0,  # a placeholder of zeros; of order 4
            1,  # the neutral point
            2**255 - 20,  # of order 2
            2**255 - 19,  # 0 and 1, written in another way
            2**255 - 18,
            0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,  # of order 8
            0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        ],
    )
    def test_may_not_be_a_key_of_anybody(self, y: int, sign_bit: int) -> None:
        """The points of small order, with which signatures need no secret, are refused."""
        x = base64url((y + sign_bit).to_bytes(32, "little"))
        with pytest.raises(InvalidValue, match="must not be one for which anybody can sign"):
            TrustedKeys.of(PUBLIC | {"x": x})

    def test_would_be_worth_nothing_with_such_a_key(self) -> None:
        """Why they are refused: for the neutral point, one signature holds for every text."""
        anybody = Ed25519PublicKey.from_public_bytes(bytes([1, *bytes(31)]))
        assert anybody.verify(bytes([1, *bytes(63)]), b"ACME-1 never expires") is None

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (None, "cannot be read: No such file or directory"),
            (b"", "a trusted key must be a JWK, PEM text, or the Path of a file with either"),
            (b"\xff", "cannot be read: it is no text"),
            (b" " * (LARGEST_FILE + 1), "cannot be read: it is too large for a file of keys"),
            (json.dumps(PUBLIC | {"d": D}).encode(), "a private key is no trust, and has no place in a host;"),
        ],
        ids=["missing", "empty", "binary", "large", "private"],
    )
    def test_may_not_be_such_a_file(self, content: bytes | None, why: str) -> None:
        """What is wrong with a file is told with its name."""
        if content is not None:
            Path("trust.json").write_bytes(content)
        with pytest.raises(InvalidValue) as caught:
            TrustedKeys.of(Path("trust.json"))
        assert str(caught.value).startswith(f"trust.json: {why}")

    @pytest.mark.parametrize("name", [".", "a\x00b"])
    def test_may_not_be_a_path_to_no_file(self, name: str) -> None:
        """A folder, or what is no path at all, cannot be read."""
        with pytest.raises(InvalidValue, match="cannot be read: "):
            TrustedKeys.of(Path(name))


class TestSigningKey:
    def test_is_known_by_its_thumbprint(self) -> None:
        """Without a kid, its id is the thumbprint, as RFC 8037 works it out in A.3."""
        assert THUMBPRINT == signing().kid

    def test_is_known_by_its_kid(self) -> None:
        """A JWK's kid comes first."""
        assert "2025" == signing("2025").kid

    def test_tells_its_public_half(self) -> None:
        """``public`` is a JWK in one line, with the id, without the secret."""
        assert f'{{"kty": "OKP", "crv": "Ed25519", "x": "{X}", "kid": "me"}}' == signing("me").public

    def test_tells_its_secret_when_asked(self) -> None:
        """``private`` is the whole JWK."""
        assert PUBLIC | {"kid": "me", "d": D} == json.loads(signing("me").private)

    def test_shows_no_secret(self) -> None:
        """Neither logs nor tracebacks tell the secret."""
        assert "SigningKey(kid='me')" == repr(signing("me"))

    def test_is_new_each_time(self) -> None:
        """No two that are made are the same."""
        assert SigningKey.generate().public != SigningKey.generate().public

    def test_signs_for_its_public_half(self) -> None:
        """What a new one signs, who trusts its public half accepts."""
        made = SigningKey.generate()
        key = sign(licfsm.LicenseKey(id="A", type="rental", issued="2025-02-01"), made)
        assert key == TrustedKeys.of(made.public).verify(key.signed)

    def test_loads_what_it_saved(self) -> None:
        """A file that it wrote holds the same key."""
        made = SigningKey.generate()
        made.save("mine.json")
        assert made.private == SigningKey.load("mine.json").private

    def test_loads_pem(self) -> None:
        """A private key in PEM without password is loaded, and is the same as the JWK."""
        Path("key.pem").write_text(pem(PRIVATE))
        assert PUBLIC | {"d": D, "kid": THUMBPRINT} == json.loads(SigningKey.load(Path("key.pem")).private)

    @pytest.mark.skipif(sys.platform == "win32", reason="no modes there")
    def test_is_saved_for_its_owner_only(self) -> None:
        """Nobody else can read the file, whatever the umask."""
        before = os.umask(0)
        try:
            SigningKey.generate().save("mine.json")
        finally:
            os.umask(before)
        assert 0o600 == stat.S_IMODE(Path("mine.json").stat().st_mode)

    def test_never_takes_the_place_of_a_file(self) -> None:
        """A file that exists is left alone: it may be the only copy of another private key."""
        Path("mine.json").write_text("precious")
        with pytest.raises(InvalidValue, match=r"mine\.json exists already"):
            SigningKey.generate().save("mine.json")
        assert "precious" == Path("mine.json").read_text()

    def test_leaves_no_half_a_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the disk is full nothing is left, and the error names the file."""

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"No space left on device: 'mine\.json'"):
            SigningKey.generate().save("mine.json")
        assert not Path("mine.json").exists()

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (json.dumps(PUBLIC), "this is a public key, which cannot sign; give the private one"),
            (pem(PRIVATE.public_key()), "this is a public key, which cannot sign; give the private one"),
            (pem(PRIVATE, PASSWORD), "PEM text must hold one Ed25519 key, without a password"),
            ("secret", "what it holds is no JSON object that can be read"),
            (json.dumps(PUBLIC | {"d": X}), "the two halves of a key (JWK), x and d, do not belong together"),
            (json.dumps(PUBLIC | {"d": D[:-2]}), "a key (JWK) must have 32 bytes in base64url as its d"),
            (json.dumps(PUBLIC | {"d": None}), "a key (JWK) must have 32 bytes in base64url as its d"),
        ],
        ids=range(7),
    )
    def test_loads_nothing_else(self, content: str, why: str) -> None:
        """What is no private key of Ed25519 is refused, and the file named."""
        Path("key").write_text(content)
        with pytest.raises(InvalidValue) as caught:
            SigningKey.load("key")
        assert f"key: {why}" == str(caught.value)
