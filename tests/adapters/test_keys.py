import base64
import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pendulum
import pytest
from cryptography.exceptions import InvalidSignature
from hypothesis import given
from hypothesis import strategies as st
from issuing import HEADER, PRIVATE, PUBLIC, SAYS, STRANGER, THUMBPRINT, base64url, issue, says, signing

import licfsm
from licfsm.adapters.key_pairs import SigningKey
from licfsm.adapters.keys import TrustedKeys, read_unverified, sign
from licfsm.errors import InvalidValue, KeyRejected

TRUSTED = TrustedKeys.of(PUBLIC)


def refused(signed: object, trusted: TrustedKeys = TRUSTED) -> str:
    """Tell why a text is refused; always in one line that can be shown."""
    with pytest.raises(KeyRejected) as caught:
        trusted.verify(signed)
    why = str(caught.value)
    assert why.isprintable()
    return why


def outcome(signed: str) -> str:
    """Tell why a text is refused; nothing if it is accepted."""
    try:
        TRUSTED.verify(signed)
    except KeyRejected as error:
        return str(error)
    return ""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class TestVerify:
    def test_reads_what_was_signed(self) -> None:
        """Every field of the payload becomes a value of the key."""
        more = {"product": "Backup", "edition": "Gold", "holder": "Müller, 東京", "counts": {"sockets": 16, "vms": 0}}
        assert licfsm.LicenseKey(
            id="ACME-1",
            type="subscription",
            zone="Europe/Berlin",
            expires="2025-02-14",
            issued="2025-02-01T09:00:00+01:00",
            product="Backup",
            edition="Gold",
            holder="Müller, 東京",
            counts={"sockets": 16, "vms": 0},
        ) == TRUSTED.verify(says(**more))

    def test_keeps_the_exact_text(self) -> None:
        """``signed`` is what was signed, character by character."""
        text = says()
        assert text == TRUSTED.verify(text).signed

    @pytest.mark.parametrize("around", ["{}\n", "\r\n\t {} \r\n", "\n{}"])
    def test_takes_no_notice_of_blanks_around_it(self, around: str) -> None:
        """Blanks and line ends around the text, as files have them, are no part of it."""
        text = says()
        assert text == TRUSTED.verify(around.format(text)).signed

    def test_takes_bytes(self) -> None:
        """What was read from a file as bytes is verified likewise."""
        assert "ACME-1" == TRUSTED.verify(says().encode()).id

    def test_finds_the_key_by_its_id(self) -> None:
        """With several trusted keys, the one that the header names counts."""
        other = STRANGER.public_key().public_bytes_raw()
        trusted = TrustedKeys.of([PUBLIC | {"kid": "old"}, PUBLIC | {"x": base64url(other), "kid": "new"}])
        assert "ACME-1" == trusted.verify(issue(header=HEADER | {"kid": "new"}, private=STRANGER)).id

    def test_refuses_the_signature_of_another_trusted_key(self) -> None:
        """A key that is signed by one trusted key, but names another, is refused."""
        other = STRANGER.public_key().public_bytes_raw()
        trusted = TrustedKeys.of([PUBLIC | {"kid": "old"}, PUBLIC | {"x": base64url(other), "kid": "new"}])
        assert refused(issue(header=HEADER | {"kid": "old"}, private=STRANGER), trusted).startswith(
            "the signature is wrong: "
        )

    def test_refuses_a_key_that_is_not_trusted(self) -> None:
        """A key of a stranger is refused, and the stranger named."""
        text = issue(header=HEADER | {"kid": "stranger"}, private=STRANGER)
        assert "the key is signed by 'stranger', whom nothing here trusts" == refused(text)

    def test_names_a_stranger_cleaned(self) -> None:
        """The id of a stranger is shown without control characters, and cut (rules.md 8.3)."""
        text = issue(header=HEADER | {"kid": "\x1b[2J\n" + "x" * 300})
        assert f"the key is signed by '[2J{'x' * 61}', whom nothing here trusts" == refused(text)

    def test_refuses_a_changed_payload(self) -> None:
        """What was signed as something else is refused."""
        header, _, signature = says().split(".")
        payload = says(expires="2099-12-31").split(".")[1]
        assert f"the signature is wrong: the text was changed, or was not signed by {THUMBPRINT!r}" == refused(
            f"{header}.{payload}.{signature}"
        )

    def test_refuses_a_signature_that_is_the_same_but_for_the_order_of_the_group(self) -> None:
        """Ed25519 signatures have one spelling: S + L in place of S is refused (RFC 8032, 5.1.7)."""
        text, _, signature = says().rpartition(".")
        raw = base64.urlsafe_b64decode(f"{signature}==")
        order = 2**252 + 27742317777372353535851937790883648493
        other = raw[:32] + (int.from_bytes(raw[32:], "little") + order).to_bytes(32, "little")
        assert refused(f"{text}.{base64url(other)}").startswith("the signature is wrong: ")


class TestOtherIssuers:
    """Whoever has Ed25519 can issue and verify: nothing here is an invention of one library."""

    def test_a_token_made_with_nothing_but_ed25519_is_accepted(self) -> None:
        """A key made by hand from two JSON texts and one signature counts."""
        head = base64url(b'{"typ":"license-key+jws","kid":"me","alg":"Ed25519"}')
        body = base64url(
            b'{"issued": "2025-02-01T08:00:00Z", "zone": "UTC", "type": "rental", "id": "A", "version": 1}'
        )
        text = f"{head}.{body}.{base64url(STRANGER.sign(f'{head}.{body}'.encode()))}"
        x = base64url(STRANGER.public_key().public_bytes_raw())
        assert licfsm.LicenseKey(id="A", type="rental", issued="2025-02-01T08:00Z") == TrustedKeys.of(
            PUBLIC | {"x": x, "kid": "me"}
        ).verify(text)

    def test_a_signed_key_verifies_with_nothing_but_ed25519(self) -> None:
        """The signature is plain Ed25519 over ``header.payload``."""
        key = sign(licfsm.LicenseKey(id="A", type="rental", issued="2025-02-01"), signing())
        text, _, signature = key.signed.rpartition(".")
        PRIVATE.public_key().verify(base64.urlsafe_b64decode(f"{signature}=="), text.encode())
        with pytest.raises(InvalidSignature):
            PRIVATE.public_key().verify(base64.urlsafe_b64decode(f"{signature}=="), text.encode() + b".")

    def test_the_signed_text_is_known(self) -> None:
        """Ed25519 signs alike every time: the whole token, as worked out once."""
        key = licfsm.LicenseKey(id="A", type="rental", issued="2025-02-01", holder="Ä")
        header, payload, signature = sign(key, signing("me")).signed.split(".")
        assert (
            b'{"alg":"Ed25519","kid":"me","typ":"license-key+jws"}',
            '{"version":1,"id":"A","type":"rental","zone":"UTC","holder":"Ä","issued":"2025-02-01T00:00:00+00:00"}',
            base64url(PRIVATE.sign(f"{header}.{payload}".encode())),
        ) == (
            base64.urlsafe_b64decode(f"{header}=="),
            base64.urlsafe_b64decode(f"{payload}==").decode(),
            signature,
        )


class TestForm:
    """What is no license key at all; nothing costly is done for it."""

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("", "it is empty"),
            (" \r\n", "it is empty"),
            (None, "it is no text"),
            (5, "it is no text"),
            ("License: A", "it must be three parts of base64url with dots between them"),
            ("a.b", "it must be three parts of base64url with dots between them"),
            ("a.b.c.d", "it must be three parts of base64url with dots between them"),
            ("YQ.YQ.", "it must be three parts of base64url with dots between them"),
            ("YQ..YQ", "it must be three parts of base64url with dots between them"),
            (b"\xff\xfe", "it must be three parts of base64url with dots between them"),
            ("\ud800", "it must be three parts of base64url with dots between them"),
            ("Y.YQ.YQ", "it is not the base64url that an issuer writes; was the text cut short?"),
            ("YQ.YQ.YQ", "its header is no JSON object that can be read"),
        ],
    )
    def test_is_told(self, text: object, why: str) -> None:
        """What is no license key is told as such."""
        assert f"this is no license key: {why}" == refused(text)

    @pytest.mark.parametrize("change", ["+", "/", "=", " ", "\n", "é", "\N{FULLWIDTH LATIN SMALL LETTER A}", "."])
    @pytest.mark.parametrize("at", [10, -10])
    def test_has_one_alphabet(self, at: int, change: str) -> None:
        """Padding, blanks and the letters of other alphabets are refused wherever they stand."""
        text = says()
        assert "this is no license key: it must be three parts of base64url with dots between them" == refused(
            text[:at] + change + text[at:]
        )

    @pytest.mark.parametrize("around", ["{}=", "{}==", "\N{NO-BREAK SPACE}{}", "\ufeff{}", "{}\x00", "{}\x0b", "{}."])
    def test_has_nothing_else_around_it(self, around: str) -> None:
        """Only blanks and line ends are stripped: no padding, no mark of a byte order, no other space."""
        assert "this is no license key: it must be three parts of base64url with dots between them" == refused(
            around.format(says())
        )

    @pytest.mark.parametrize("part", [0, 1, 2])
    def test_has_no_bits_left_over(self, part: int) -> None:
        """Where base64url ends in unused bits these are zero, so that no two texts are the same key."""
        parts = issue(SAYS, HEADER | {"kid": "a"}).split(".")
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        same = parts[part][:-1] + letters[letters.index(parts[part][-1]) + 1]
        decoded = [base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) for text in (parts[part], same)]
        assert decoded[0] == decoded[1]
        parts[part] = same
        assert (
            "this is no license key: it is not the base64url that an issuer writes; was the text cut short?"
            == refused(".".join(parts), TrustedKeys.of(PUBLIC | {"kid": "a"}))
        )

    @pytest.mark.parametrize("length", [1, 62, 63, 65])
    def test_has_a_whole_signature(self, length: int) -> None:
        """A signature that is not 64 bytes long, as of a text cut short, is told by its length."""
        text, _, signature = says().rpartition(".")
        cut = base64url((base64.urlsafe_b64decode(f"{signature}==") + b"x")[:length])
        assert (
            f"this is no license key: its signature has {length} bytes in place of 64; was the text cut short?"
            == refused(f"{text}.{cut}")
        )

    def test_cannot_be_cut_short(self) -> None:
        """However many characters are lost at the end, what is left is refused for its form."""
        text = says()
        for length in range(len(text)):
            assert refused(text[:length]).startswith("this is no license key: ")

    def test_may_have_16_kb(self) -> None:
        """A text of 16384 characters, blanks around it counted, is still read."""
        text = says()
        assert text == TRUSTED.verify(text + " " * (16384 - len(text))).signed

    def test_has_at_most_16_kb(self) -> None:
        """One character more is refused."""
        text = says()
        assert "this is no license key: it is longer than 16 KB" == refused(text + " " * (16385 - len(text)))


class TestHeader:
    """The header is ``alg``, ``kid`` and ``typ``, each the one that is right, even if a trusted key signed another."""

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"alg": "EdDSA"}, "it must be signed with Ed25519 (alg), not 'EdDSA'"),
            ({"alg": "none"}, "it must be signed with Ed25519 (alg), not 'none'"),
            ({"alg": "HS256"}, "it must be signed with Ed25519 (alg), not 'HS256'"),
            ({"alg": ["Ed25519"]}, "it must be signed with Ed25519 (alg), not something else"),
            ({"typ": "JWT"}, "it is signed text of another kind (typ must be 'license-key+jws', not 'JWT')"),
            ({"typ": None}, "it is signed text of another kind (typ must be 'license-key+jws', not something else)"),
            (
                {"typ": "license-answer+jws"},
                "it is signed text of another kind (typ must be 'license-key+jws', not 'license-answer+jws')",
            ),
            ({"kid": 5}, "its header does not say who signed it (kid)"),
            ({"crit": []}, "its header says 'crit', which is not understood here"),
            ({"crit": ["b64"], "b64": False}, "its header says 'b64', which is not understood here"),
            ({"b64": True}, "its header says 'b64', which is not understood here"),
            ({"jwk": PUBLIC}, "its header says 'jwk', which is not understood here"),
            ({"x-note": "\x1b[2J"}, "its header says 'x-note', which is not understood here"),
            ({"\x1b[2J": 1}, "its header says '[2J', which is not understood here"),
        ],
    )
    def test_of_another_content_is_refused(self, change: dict[str, object], why: str) -> None:
        """Another algorithm, another kind, or anything more is refused."""
        assert f"this is no license key: {why}" == refused(issue(header=HEADER | change))

    @pytest.mark.parametrize("name", ["alg", "kid", "typ"])
    def test_without_one_of_the_three_is_refused(self, name: str) -> None:
        """None of the three may be missing."""
        header = {other: value for other, value in HEADER.items() if other != name}
        assert f"({name}" in refused(issue(header=header))

    @pytest.mark.parametrize(
        ("header", "why"),
        [
            ("[]", "its header is no JSON object that can be read"),
            ("null", "its header is no JSON object that can be read"),
            ("{", "its header is no JSON object that can be read"),
            ('{"alg":"Ed25519","alg":"Ed25519"}', "its header says 'alg' twice"),
            ('{"a":NaN}', "its header is no JSON object that can be read"),
            ("[" * 8000, "its header is no JSON object that can be read"),
            ('{"a":' * 2000, "its header is no JSON object that can be read"),
            ('{"a":' + "9" * 8000 + "}", "its header is no JSON object that can be read"),
            (f"{json.dumps(HEADER)}{' ' * 400}", "Header size exceeds 512 bytes."),
        ],
    )
    def test_that_no_issuer_writes_is_refused(self, header: str, why: str) -> None:
        """JSON that two readers could read in two ways, or that is made to exhaust the reader, is refused."""
        assert f"this is no license key: {why}" == refused(issue(header=header))

    def test_in_another_encoding_is_refused(self) -> None:
        """The header is UTF-8: UTF-16, which some JSON readers guess, is refused."""
        text = f"{base64url(json.dumps(HEADER).encode('utf-16'))}.{base64url(json.dumps(SAYS).encode())}"
        assert "this is no license key: its header is no JSON object that can be read" == refused(
            f"{text}.{base64url(PRIVATE.sign(text.encode()))}"
        )


class TestPayload:
    """A key that a trusted key signed, and that still says what cannot be."""

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"id": "A B"}, "id: license id 'A B' must be 1 to 64 of the characters A-Z a-z 0-9 . _ -"),
            ({"id": 5}, "id: must be text"),
            ({"type": "Rental"}, "type: license type 'Rental' must be 1 to 64 of the characters a-z 0-9 _ -"),
            (
                {"zone": "Mars/Olympus"},
                "zone: there is no time zone 'Mars/Olympus'; use an IANA name such as UTC or Europe/Berlin",
            ),
            ({"zone": ["UTC"]}, "zone: must be text"),
            ({"product": 1.5}, "product: must be text"),
            ({"edition": True}, "edition: must be text"),
            ({"holder": "x" * 501}, "holder: must have at most 500 characters"),
            ({"holder": "\ud83d"}, "holder: holds half a character (a surrogate)"),
            ({"counts": ["sockets"]}, "counts: must be names with their numbers"),
            ({"counts": {"": 1}}, "counts: has a name that is empty"),
            ({"counts": {"x" * 65: 1}}, "counts: must have at most 64 characters"),
            ({"counts": {"a": True}}, "counts: 'a' must be a whole number from 0 to 9007199254740992"),
            ({"counts": {"a": 1.0}}, "counts: 'a' must be a whole number from 0 to 9007199254740992"),
            ({"counts": {"a": "1"}}, "counts: 'a' must be a whole number from 0 to 9007199254740992"),
            ({"counts": {"a": -1}}, "counts: 'a' must be a whole number from 0 to 9007199254740992"),
            ({"counts": {"a": 2**53 + 1}}, "counts: 'a' must be a whole number from 0 to 9007199254740992"),
            ({"expires": 1739487600}, "expires: must be text"),
            ({"expires": "2025-02-30"}, "expires: '2025-02-30' is not in the calendar"),
            (
                {"expires": "9000-01-02"},
                "expires: expiry 9000-01-02 lies after 9000-01-01; leave it out for a perpetual key",
            ),
            ({"issued": "9999-01-01T00:00:00Z"}, "issued: '9999-01-01T00:00:00Z' lies outside the years 1000 to 9500"),
            ({"sites": 3}, "the field 'sites' is not understood here, and may restrict what the key allows"),
            ({"X-note": 3}, "the field 'X-note' is not understood here, and may restrict what the key allows"),
            ({"\x1b[2J": 3}, "the field '[2J' is not understood here, and may restrict what the key allows"),
            ({"version": 2}, "it was made for a newer version of this program; update it, then try again"),
            ({"version": 2, "id": 5}, "it was made for a newer version of this program; update it, then try again"),
            ({"version": 0}, "version must be the number 1"),
            ({"version": True}, "version must be the number 1"),
            ({"version": 1.0}, "version must be the number 1"),
            ({"version": "1"}, "version must be the number 1"),
        ],
    )
    def test_that_breaks_a_rule_is_refused(self, changes: dict[str, object], why: str) -> None:
        """The field that breaks a rule is named, and the rule."""
        assert f"what the key says cannot be used: {why}" == refused(says(**changes))

    @pytest.mark.parametrize("name", ["version", "id", "type", "zone", "issued"])
    def test_without_what_it_must_say_is_refused(self, name: str) -> None:
        """A key names its version, license, type, zone and time of issue."""
        why = "version must be the number 1" if name == "version" else f"{name} is missing"
        assert f"what the key says cannot be used: {why}" == refused(says(**{name: None}))

    @pytest.mark.parametrize("name", ["expires", "product", "edition", "holder", "counts"])
    def test_says_nothing_by_null(self, name: str) -> None:
        """What a key does not say is left out; null is refused."""
        assert f"what the key says cannot be used: {name}: must be " in refused(issue(SAYS | {name: None}))

    @pytest.mark.parametrize(
        "expires",
        ["2025-02-14T10:30:00", "2025-02-14 10:30:00Z", " 2025-02-14", "2025-2-14", "14.02.2025", "2025-02-14Z", "",
         "2025-02-14T10:30:00.1234Z", "2025-02-14T10:30:00+0100", "２０２５-02-14", "2025-02-14\n"],
    )  # fmt: skip
    def test_writes_its_expiry_in_one_form(self, expires: str) -> None:
        """An expiry is a date, or an instant that names its offset."""
        assert (
            "what the key says cannot be used: expires: must be a date or an instant with its offset,"
            " such as 2025-02-14 or 2025-02-14T10:30:00+01:00" == refused(says(expires=expires))
        )

    @pytest.mark.parametrize(
        "issued", ["2025-02-01", "2025-02-01T08:00:00", "2025-02-01T09:00:00+01:00", "2025-02-01T08:00:00-00:00"]
    )
    def test_writes_its_issue_in_utc(self, issued: str) -> None:
        """A time of issue is an instant in UTC that says so."""
        assert (
            "what the key says cannot be used: issued: must be an instant in UTC, such as 2025-02-01T08:00:00+00:00"
            == refused(says(issued=issued))
        )

    @pytest.mark.parametrize(
        ("payload", "why"),
        [
            ("[]", "it is no JSON object that can be read"),
            ("", "it is no JSON object that can be read"),
            ("{} {}", "it is no JSON object that can be read"),
            ('{"version":1,"id":"A","id":"B"}', "it says 'id' twice"),
            ('{"version":1,"counts":{"a":1,"a":2}}', "it says 'a' twice"),
            ('{"version":1,"x-":NaN}', "it is no JSON object that can be read"),
            ('{"version":1,"x-":-Infinity}', "it is no JSON object that can be read"),
            ('{"version":' + "9" * 6000 + "}", "it is no JSON object that can be read"),
            (
                '{"version":' + "9" * 4000 + "}",
                "it was made for a newer version of this program; update it, then try again",
            ),
            ('{"version":1,"x-":' + "[" * 8000, "it is no JSON object that can be read"),
            ('{"version":1,"x-":' + "[" * 5000 + "]" * 5000 + "}", "it is no JSON object that can be read"),
            ('{"version":1,"x-":' + '{"a":' * 1500 + "1" + "}" * 1500 + "}", "it is no JSON object that can be read"),
            ("\ufeff" + json.dumps(SAYS), "it is no JSON object that can be read"),
            ("\ud800", "it is no JSON object that can be read"),
        ],
        ids=range(14),
    )
    def test_that_no_issuer_writes_is_refused(self, payload: str, why: str) -> None:
        """JSON that two readers could read in two ways, or that is made to exhaust the reader, is refused."""
        head = base64url(json.dumps(HEADER).encode())
        body = base64url(payload.encode("utf-8", "surrogatepass")) or "AA"
        text = f"{head}.{body}"
        assert f"what the key says cannot be used: {why}" == refused(f"{text}.{base64url(PRIVATE.sign(text.encode()))}")

    @pytest.mark.parametrize(("depth", "why"), [(15, ""), (16, "it is no JSON object that can be read")])
    def test_is_nested_16_deep_at_most(self, depth: int, why: str) -> None:
        """How deep a reader can read differs; here it is 16 levels, the payload itself the first."""
        note: object = []
        for _ in range(depth - 1):
            note = [note]
        assert why == outcome(issue(SAYS | {"x-note": note})).removeprefix("what the key says cannot be used: ")

    @pytest.mark.parametrize("note", [1, 1.5, None, {"a": [True]}, "x" * 1000])
    def test_may_hold_notes_of_the_issuer(self, note: object) -> None:
        """A field whose name begins with x- is the issuer's own, and changes nothing."""
        assert TRUSTED.verify(says()) == TRUSTED.verify(issue(SAYS | {"x-order": note}))

    def test_may_count_to_the_largest(self) -> None:
        """0 and 2 to the 53 are the bounds of a count, 1 and 64 characters those of its name."""
        assert {"a": 0, "b" * 64: 2**53} == TRUSTED.verify(says(counts={"a": 0, "b" * 64: 9007199254740992})).counts

    def test_may_hold_500_characters(self) -> None:
        """Text is measured in characters, not in bytes."""
        assert 500 == len(TRUSTED.verify(says(holder="東" * 500)).holder)

    def test_without_expiry_is_perpetual(self) -> None:
        """A key that says no expiry has none."""
        assert TRUSTED.verify(says(expires=None)).expiry is None

    @pytest.mark.parametrize(
        ("expires", "expiry"),
        [
            ("2025-02-14", "2025-02-15T00:00:00+01:00"),
            ("2025-02-14T10:30+01:00", "2025-02-14T10:30:00+01:00"),
            ("2025-02-14T10:30:00Z", "2025-02-14T11:30:00+01:00"),
            ("2025-02-14T10:30:00.250-05:00", "2025-02-14T16:30:00.250000+01:00"),
            ("2025-10-26T02:30:00+01:00", "2025-10-26T02:30:00+01:00"),
        ],
    )
    def test_expires_when_it_says(self, expires: str, expiry: str) -> None:
        """A date is valid to its end in the zone; an instant is that instant, shown in the zone (1.1)."""
        assert expiry == TRUSTED.verify(says(expires=expires)).expiry.isoformat()

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*SAYS, "counts", "x-a"]), inner),
            max_leaves=20,
        )
    )
    def test_is_read_or_refused(self, value: object) -> None:
        """Whatever JSON takes the place of a field, or of all, nothing but a refusal comes of it."""
        for name in (*SAYS, "counts", "holder", "x-note"):
            assert outcome(issue(SAYS | {name: value})).isprintable()
        assert refused(issue([value])).startswith("what the key says cannot be used: ")


class TestReadUnverified:
    def test_reads_what_a_stranger_signed(self) -> None:
        """What a key says can be shown, and who it says signed it, though nobody vouches for it."""
        signer, key = read_unverified(issue(header=HEADER | {"kid": "stranger"}, private=STRANGER))
        assert ("stranger", TRUSTED.verify(says())) == (signer, key)

    def test_gives_no_signed_text(self) -> None:
        """What was not verified cannot be taken for a key to install."""
        assert "" == read_unverified(says())[1].signed

    def test_refuses_what_is_no_key(self) -> None:
        """What is no license key cannot be shown as one."""
        with pytest.raises(KeyRejected, match="this is no license key: it is empty"):
            read_unverified("")


class TestTrust:
    """What a host may give as its trust."""

    def test_has_the_id_of_the_jwk(self) -> None:
        """A JWK's kid is the id of the key, and nothing else is then."""
        trusted = TrustedKeys.of(PUBLIC | {"kid": "2025"})
        assert "ACME-1" == trusted.verify(issue(header=HEADER | {"kid": "2025"})).id
        assert "is signed by" in refused(says(), trusted)

    def test_shows_the_ids(self) -> None:
        """Who is trusted can be seen."""
        assert "TrustedKeys(_keys=a, b)" == repr(TrustedKeys.of([PUBLIC | {"kid": "a"}, PUBLIC | {"kid": "b"}]))

    @pytest.mark.parametrize("trust", [None, [], "", b"", {}, (), {"keys": []}, [{"keys": []}]])
    def test_may_not_be_empty(self, trust: object) -> None:
        """Without a trusted key nothing would ever be accepted; that is a mistake."""
        with pytest.raises(InvalidValue, match="without trusted keys nothing opens; give the public key of whoever"):
            TrustedKeys.of(trust)

    def test_may_not_call_two_keys_alike(self) -> None:
        """Two keys of one id are refused: which of them counts would depend on their order."""
        other = PUBLIC | {"x": base64url(STRANGER.public_key().public_bytes_raw())}
        with pytest.raises(InvalidValue, match="two trusted keys have the id 'a'; give each an id"):
            TrustedKeys.of([PUBLIC | {"kid": "a"}, other | {"kid": "a"}])


ZONES = ["UTC", "Europe/Berlin", "America/Havana", "Asia/Kathmandu", "Pacific/Apia", "Africa/Monrovia"]
INSTANTS = st.integers(-30_000_000_000_000, 200_000_000_000_000).map(licfsm.instants.from_ms)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=500)
KEYS = st.builds(
    licfsm.LicenseKey,
    id=st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True),
    type=st.from_regex(r"[a-z0-9_-]{1,64}", fullmatch=True),
    zone=st.sampled_from(ZONES),
    expires=st.none() | st.dates(dt.date(1001, 1, 1), dt.date(9000, 1, 1)) | INSTANTS,
    issued=INSTANTS,
    product=TEXT,
    edition=TEXT,
    holder=TEXT,
    counts=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64), st.integers(0, 2**53), max_size=8
    ),
)
SIGNER = SigningKey.generate()


class TestSign:
    @given(KEYS)
    def test_reads_back_as_what_was_signed(self, key: licfsm.LicenseKey) -> None:
        """Whatever a key says, in every zone and script, it says after it was signed and verified."""
        read = TrustedKeys.of(SIGNER.public).verify(sign(key, SIGNER).signed)
        for name in ("id", "type", "zone", "expires", "issued", "product", "edition", "holder", "counts"):
            assert getattr(key, name) == getattr(read, name)
        assert (key.expires_at, key.issued_at) == (read.expires_at, read.issued_at)

    def test_gives_the_same_key(self) -> None:
        """What is signed is equal to the key that was given."""
        key = licfsm.LicenseKey(id="A", type="rental", issued="2025-02-01T08:00Z")
        assert key == sign(key, signing())

    def test_keeps_the_wall_time_of_an_instant(self) -> None:
        """An exact expiry is the same instant, at the same local time of the same zone."""
        key = licfsm.LicenseKey(
            id="A", type="rental", issued="2025-02-01T08:00Z", zone="Europe/Berlin", expires="2025-02-14T10:30"
        )
        assert pendulum.datetime(2025, 2, 14, 10, 30, tz="Europe/Berlin") == sign(key, signing()).expires
        assert '"expires":"2025-02-14T10:30:00+01:00"' in payload_of(sign(key, signing()))

    @pytest.mark.parametrize(
        ("expires", "written"), [("2025-10-26T00:30Z", "02:30:00+02:00"), ("2025-10-26T01:30Z", "02:30:00+01:00")]
    )
    def test_keeps_apart_the_two_readings_of_a_local_time(self, expires: str, written: str) -> None:
        """Where clocks go back, the offset says which of two equal local times is meant."""
        key = licfsm.LicenseKey(
            id="A", type="rental", issued="2025-02-01T08:00Z", zone="Europe/Berlin", expires=expires
        )
        assert f'"expires":"2025-10-26T{written}"' in payload_of(sign(key, signing()))
        assert key.expires_at == sign(key, signing()).expires_at

    def test_writes_an_offset_with_seconds_as_utc(self) -> None:
        """Before standard time offsets had seconds, which ISO times have not: Monrovia was 44:30 behind in 1970."""
        key = licfsm.LicenseKey(
            id="A", type="rental", issued="1969-02-01T08:00Z", zone="Africa/Monrovia", expires="1970-01-01T00:00:00.5"
        )
        assert '"expires":"1970-01-01T00:44:30.500+00:00"' in payload_of(sign(key, signing()))

    def test_makes_a_date_of_issue_an_instant(self) -> None:
        """A key that says only its day of issue was issued when that day began in its zone."""
        key = sign(licfsm.LicenseKey(id="A", type="rental", zone="Europe/Berlin", issued="2025-02-01"), signing())
        assert "2025-02-01T00:00:00+01:00" == key.issued.isoformat()
        assert '"issued":"2025-01-31T23:00:00+00:00"' in payload_of(key)

    def test_keeps_milliseconds_of_the_issue(self) -> None:
        """Two keys issued within a second stay one after the other."""
        key = sign(licfsm.LicenseKey(id="A", type="rental", issued="2025-02-01T08:00:00.007Z"), signing())
        assert '"issued":"2025-02-01T08:00:00.007+00:00"' in payload_of(key)

    def test_leaves_out_what_is_empty(self) -> None:
        """No field says nothing."""
        key = sign(licfsm.LicenseKey(id="A", type="rental", issued="2025-02-01"), signing())
        assert ["version", "id", "type", "zone", "issued"] == list(json.loads(payload_of(key)))

    def test_names_its_key(self) -> None:
        """The header names the signing key by the id of its JWK, whatever printable characters it has."""
        kid = '"\\' * 64
        key = sign(licfsm.LicenseKey(id="A", type="rental", issued="2025-02-01"), signing(kid))
        assert kid == read_unverified(key.signed)[0]

    def test_needs_a_time_of_issue(self) -> None:
        """Without it nobody could tell which of two keys is newer (rules.md 4.3)."""
        with pytest.raises(InvalidValue, match="a key that is signed must say when it was issued"):
            sign(licfsm.LicenseKey(id="A", type="rental"), signing())

    @pytest.mark.parametrize(
        ("values", "why"),
        [
            ({"holder": "x" * 501}, "what the key says cannot be used: holder: must have at most 500 characters"),
            ({"counts": {"a": True}}, "what the key says cannot be used: counts: 'a' must be a whole number"),
            ({"counts": {str(n): n for n in range(2000)}}, "this is no license key: it is longer than 16 KB"),
            ({"holder": "\ud800"}, "it holds something that is no text, or no number"),
            ({"holder": b"x"}, "it holds something that is no text, or no number"),
            ({"counts": {1: 2}}, "it would read back as another; are all its values of the right type?"),
            ({"holder": None}, "it would read back as another; are all its values of the right type?"),
        ],
    )
    def test_signs_nothing_that_would_be_refused(self, values: dict[str, object], why: str) -> None:
        """What could not be verified, or would read back as something else, is told before it is handed out."""
        with pytest.raises(InvalidValue) as caught:
            sign(licfsm.LicenseKey(id="A", type="rental", issued="2025-02-01", **values), signing())
        assert str(caught.value).startswith(f"the key cannot be signed: {why}")


def payload_of(key: licfsm.LicenseKey) -> str:
    """Decode what was signed."""
    return base64.urlsafe_b64decode(key.signed.split(".")[1] + "==").decode()


class TestImport:
    def test_loads_no_cryptography(self) -> None:
        """Importing the module is cheap: joserfc and what it needs wait until they are used."""
        program = "import sys, licfsm.adapters.keys; print({'joserfc', 'cryptography'} & sys.modules.keys())"
        shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert "set()\n" == shown.stdout
