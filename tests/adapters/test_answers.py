import base64
import json
import logging
import random
from typing import Any

import attrs
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tls_faults import INSTALLED, QUESTION, SIGNER, STRANGER, TIME, TRUSTED, Request, signed

from licfsm.adapters.answers import (
    LARGEST_QUESTION,
    SIGNED_OUTCOMES,
    AskedQuestion,
    SignedAnswer,
    read_answer,
    read_question,
    sign_answer,
    write_answer,
    write_question,
)
from licfsm.adapters.key_pairs import SigningKey
from licfsm.adapters.keys import LARGEST
from licfsm.adapters.server import HttpsServer
from licfsm.adapters.tokens import sign_token
from licfsm.errors import InvalidValue, KeyRejected
from licfsm.policy import OUTCOMES

NONCE = "AAECAwQFBgcICQoLDA0ODw"
ASKED = {"version": 1, "license": "ACME-1", "nonce": NONCE, "key": INSTALLED.signed}
SAID = {
    "version": 1,
    "license": "ACME-1",
    "nonce": NONCE,
    "time": "2025-02-07T00:00:00.123+00:00",
    "outcome": "new_key",
    "key": "/v1/keys/5f1c",
}
ANSWER = SignedAnswer("ACME-1", NONCE, TIME, "new_key", "/v1/keys/5f1c")
BAD_NONCE = "nonce must be 16 to 64 bytes in base64url"


def without(said: dict[str, Any], **changes: object) -> dict[str, Any]:
    """Change what is said; None leaves a name out."""
    return {name: value for name, value in (said | changes).items() if value is not None}


def dumped(said: object) -> bytes:
    """Write JSON; text stands for itself."""
    return said.encode() if isinstance(said, str) else json.dumps(said).encode()


def no_question(said: object) -> str:
    """Tell why this is no question."""
    with pytest.raises(InvalidValue) as caught:
        read_question(dumped(said))
    assert str(caught.value).isprintable()
    return str(caught.value)


def answer(said: object, kind: str = "license-answer+jws", signer: SigningKey = SIGNER) -> SignedAnswer:
    """Sign whatever it says, and read it."""
    return read_answer(write_answer(sign_token(dumped(said), signer, kind)), TRUSTED)


def no_answer(said: object) -> str:
    """Tell why this is no answer, though it is signed."""
    with pytest.raises(InvalidValue) as caught:
        answer(said)
    assert str(caught.value).isprintable()
    return str(caught.value)


# ---------------------------------------------------------------------------------------------- both

COMMON = [
    ({"version": None}, "the version of the protocol must be 1, not None"),
    ({"version": 2}, "the version of the protocol must be 1, not 2"),
    ({"version": True}, "the version of the protocol must be 1, not True"),
    ({"version": "1" * 99}, "the version of the protocol must be 1, not '1111111111111111111"),
    ({"version": 1.0}, "the version of the protocol must be 1, not 1.0"),
    ({"license": None}, "license is missing"),
    ({"nonce": None}, "nonce is missing"),
    ({"extra": 5}, "'extra' is not understood here"),
    ({"\x1b[2J": 5}, "'[2J' is not understood here"),
    ({"license": 5}, "license must be text of at most 500 characters"),
    ({"nonce": 5}, "nonce must be text of at most 500 characters"),
]
"""What is not the protocol."""
WRONG = [
    ({"license": "../x"}, "license id '../x' must be 1 to 64 of the characters A-Z a-z 0-9 . _ -"),
    ({"license": ""}, "license id '' must be 1 to 64 of the characters A-Z a-z 0-9 . _ -"),
    ({"nonce": "A" * 20}, BAD_NONCE),
    ({"nonce": "A" * 87}, BAD_NONCE),
    ({"nonce": ""}, BAD_NONCE),
    ({"nonce": NONCE + "=="}, BAD_NONCE),
    ({"nonce": "é" * 32}, BAD_NONCE),
]
"""A license or a nonce that can be nobody's."""


class TestQuestion:
    def test_is_written(self) -> None:
        """A question holds version, license, nonce, and the key that is installed, and nothing else."""
        assert ASKED == json.loads(write_question(INSTALLED, NONCE))

    def test_is_read(self) -> None:
        """What was written is read."""
        assert AskedQuestion("ACME-1", NONCE, INSTALLED.signed) == read_question(write_question(INSTALLED, NONCE))

    def test_shows_no_key(self) -> None:
        """The key is left out of what a question shows of itself."""
        assert INSTALLED.signed not in repr(read_question(write_question(INSTALLED, NONCE)))

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            *COMMON,
            *WRONG,
            ({"key": None}, "key is missing"),
            ({"key": ["x"]}, "key must be text of at most 16384 characters"),
            ({"key": "x" * 16385}, "key must be text of at most 16384 characters"),
            ({"key": "\ud800"}, "key must be text of at most 16384 characters"),
        ],
    )
    def test_keeps_the_protocol(self, change: dict[str, object], why: str) -> None:
        """What breaks the protocol is refused, in one line that says what."""
        assert why == no_question(without(ASKED, **change))

    @pytest.mark.parametrize("said", ["", "[]", "{", "null", '{"a": NaN}', "[" * 9000])
    def test_is_json(self, said: str) -> None:
        """What is no JSON object is no question."""
        assert "the question is no JSON object that can be read" == no_question(said)

    def test_says_nothing_twice(self) -> None:
        """A name that comes twice could be read in two ways."""
        assert "the question says 'key' twice" == no_question('{"key": "a", "key": "b"}')

    def test_may_have_notes(self) -> None:
        """Names that begin with x- are for others, and count for nothing."""
        assert AskedQuestion("ACME-1", NONCE, "k") == read_question(dumped(ASKED | {"key": "k", "x-a": [{}]}))

    def test_may_be_so_long(self) -> None:
        """The largest key fits into the largest question; one byte more is refused."""
        largest = dumped(ASKED | {"key": "x" * LARGEST}).ljust(LARGEST_QUESTION)
        assert LARGEST == len(read_question(largest).key)
        with pytest.raises(InvalidValue, match="the question is longer than 17408 bytes"):
            read_question(largest + b" ")

    @pytest.mark.parametrize(("size", "nonce"), [(16, "A" * 22), (64, "A" * 86)])
    def test_has_a_nonce_of_some_bytes(self, size: int, nonce: str) -> None:
        """16 and 64 bytes are the bounds of a nonce."""
        assert size == len(base64.urlsafe_b64decode(read_question(dumped(ASKED | {"nonce": nonce})).nonce + "=="))


class TestAnswer:
    def test_is_what_was_signed(self) -> None:
        """What was signed is read."""
        assert ANSWER == read_answer(write_answer(sign_answer(ANSWER, SIGNER)), TRUSTED)

    def test_can_be_written_in_any_language(self) -> None:
        """What the protocol says of its JSON is all that counts."""
        assert ANSWER == answer(SAID)

    def test_says_what_the_protocol_says(self) -> None:
        """The JSON that is signed has the names of the protocol, without what is empty."""
        parts = sign_answer(ANSWER, SIGNER).split(".")
        header, payload = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in parts[:2])
        assert {"alg": "Ed25519", "kid": SIGNER.kid, "typ": "license-answer+jws"} == header
        assert SAID == payload

    @pytest.mark.parametrize("outcome", SIGNED_OUTCOMES)
    def test_has_one_of_five_outcomes(self, outcome: str) -> None:
        """Each of the five is an outcome of the rules, and is signed and read, with its message."""
        assert outcome in OUTCOMES
        said = SignedAnswer("A", NONCE, 0, outcome, "/a" if outcome == "new_key" else "", "Grüße 東京")
        assert said == read_answer(write_answer(sign_answer(said, SIGNER)), TRUSTED)

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            *COMMON,
            ({"time": None}, "time is missing"),
            ({"outcome": None}, "outcome is missing"),
            (
                {"outcome": "request_refused"},
                f"the answer's outcome must be one of {', '.join(SIGNED_OUTCOMES)}, not 'request_refused'",
            ),
            ({"outcome": 5}, "outcome must be text of at most 500 characters"),
            ({"key": None}, "the answer's key must be there with new_key, and with nothing else"),
            ({"key": ""}, "the answer's key must be there with new_key, and with nothing else"),
            ({"outcome": "up_to_date"}, "the answer's key must be there with new_key, and with nothing else"),
            ({"key": 5}, "key must be text of at most 500 characters"),
            ({"message": 5}, "message must be text of at most 500 characters"),
            ({"message": "x" * 501}, "message must be text of at most 500 characters"),
            ({"message": "\udfff"}, "message must be text of at most 500 characters"),
        ],
    )
    def test_keeps_the_protocol(self, change: dict[str, object], why: str) -> None:
        """What breaks the protocol is refused, even if it is signed by whom one trusts."""
        assert why == no_answer(without(SAID, **change))

    @pytest.mark.parametrize(("change", "why"), WRONG)
    def test_is_for_somebody(self, change: dict[str, object], why: str) -> None:
        """A license or a nonce that can be nobody's is as wrong as another's (4.1)."""
        with pytest.raises(KeyRejected) as caught:
            answer(SAID | change)
        assert why == str(caught.value)

    @pytest.mark.parametrize(
        "key",
        [
            "keys/5",
            "/",
            "//a.example/x",
            "/a//b",
            "/../x",
            "/a/./b",
            "/a/..",
            "/a?b",
            "/a#b",
            "/a%2e",
            "/a b",
            "/é",
            "/a\n",
            "https://a.example/x",
            "\\a",
            "/a@b",
            "/a:1",
        ],
    )
    def test_names_a_path_on_the_same_server(self, key: str) -> None:
        """What could lead to another server, or be read in two ways, is refused."""
        assert no_answer(SAID | {"key": key}).startswith(
            "the answer's key must be a path on the same server, such as /v1/keys/5f1c, not '"
        )

    @pytest.mark.parametrize("key", ["/a", "/..a/b..", "/v1/keys/A-Z_0.9~", "/a/", "/" + "x" * 499])
    def test_may_name(self, key: str) -> None:
        """Plain paths of up to 500 characters are taken."""
        assert key == answer(SAID | {"key": key}).key

    @pytest.mark.parametrize(
        "time",
        [
            "2025-02-07",
            "2025-02-07T00:00:00",
            "2025-02-07T00:00:00+01:00",
            "2025-02-07T00:00Z",
            "2025-02-07T00:00:00.1234Z",
            "2025-02-07 00:00:00Z",
            "2025-02-07T00:00:00Z\n",
            "٢٠٢٥-02-07T00:00:00Z",
            "",
        ],
    )
    def test_has_a_time_in_utc(self, time: str) -> None:
        """The time has one form."""
        assert no_answer(SAID | {"time": time}).startswith(
            "time must be an instant in UTC, such as 2025-02-07T00:00:00.000+00:00, not '"
        )

    @pytest.mark.parametrize("time", ["2025-02-30T00:00:00Z", "2025-02-07T25:00:00Z", "0001-01-01T00:00:00Z"])
    def test_has_a_time_that_exists(self, time: str) -> None:
        """A day or an hour that does not exist, or with which nobody can reckon, is refused."""
        assert no_answer(SAID | {"time": time})

    @pytest.mark.parametrize(
        ("time", "ms"),
        [("2025-02-07T00:00:00Z", 1738886400000), ("2025-02-07T00:00:00.5+00:00", 1738886400500)],
    )
    def test_may_leave_milliseconds_out(self, time: str, ms: int) -> None:
        """Up to three digits of a second are read."""
        assert ms == answer(SAID | {"time": time}).time

    @pytest.mark.parametrize("document", ["", "[]", "x", '{"answer": "a", "answer": "b"}', "{}", '{"answer": 5}'])
    def test_travels_in_json(self, document: str) -> None:
        """What holds no signed text is not the protocol."""
        with pytest.raises(InvalidValue):
            read_answer(document.encode(), TRUSTED)

    def test_may_travel_with_more(self) -> None:
        """What stands beside the signed text counts for nothing."""
        assert ANSWER == read_answer(dumped({"answer": sign_answer(ANSWER, SIGNER), "outcome": "up_to_date"}), TRUSTED)

    @pytest.mark.parametrize("text", ["", "a.b.c", "x" * 16385])
    def test_is_signed_text(self, text: str) -> None:
        """What is no signed text counts as a wrong signature."""
        with pytest.raises(KeyRejected, match="what the server signed cannot be read: it "):
            read_answer(write_answer(text), TRUSTED)

    def test_is_of_its_own_kind(self) -> None:
        """A license key, though signed by whom one trusts, is no answer."""
        with pytest.raises(KeyRejected, match="it is signed text of another kind"):
            answer(SAID, "license-key+jws")

    def test_is_signed_by_whom_one_trusts(self) -> None:
        """The answer of a stranger is refused before it is read."""
        with pytest.raises(KeyRejected, match="whom nothing here trusts"):
            answer("no JSON", signer=STRANGER)


class TestSigning:
    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"license": "../x"}, "license id '../x' must be 1 to 64"),
            ({"nonce": "x"}, "base64url"),
            ({"outcome": "answer_rejected"}, "the answer's outcome must be one of "),
            ({"outcome": "up_to_date"}, "the answer's key must be there with new_key, and with nothing else"),
            ({"key": "//a"}, "the answer's key must be a path on the same server"),
            ({"message": "x" * 501}, "message must be text of at most 500 characters"),
            ({"message": "\ud800"}, "text of whole characters"),
        ],
    )
    def test_signs_nothing_that_breaks_the_protocol(self, change: dict[str, Any], why: str) -> None:
        """What no client would take is refused before it is signed."""
        with pytest.raises(InvalidValue, match=why):
            sign_answer(attrs.evolve(ANSWER, **change), SIGNER)


# ---------------------------------------------------------------------------------------------- forgeries


def _token(header: dict[str, Any], payload: str, private: Ed25519PrivateKey) -> str:
    parts = [base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in (json.dumps(header), payload)]
    signature = private.sign(".".join(parts).encode())
    return ".".join((*parts, base64.urlsafe_b64encode(signature).rstrip(b"=").decode()))


class Forger:
    """Changes good answers, each time in another way; never into a good answer."""

    def __init__(self, seed: int) -> None:
        """Begin."""
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._old: list[bytes] = []
        self.nonces: set[str] = set()
        self._stranger = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        self._ways = (self.flip, self.cut, self.swap, self.rename, self.say, self.twice, self.sign_anew, self.replay)

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer a question."""
        said = json.loads(request.content)
        self.nonces.add(said["nonce"])
        outcome = self._random.choice(("new_key", "up_to_date", "generation_failed", "contract_terminated"))
        good = signed(Request("POST", "/v1/check", {}, request.content), outcome)
        forged = self._random.choice(self._ways)(good)
        self._old.append(good)
        return httpx.Response(200, headers={"Content-Type": "application/json"}, content=forged)

    def flip(self, good: bytes) -> bytes:
        """Change a bit of the signed text."""
        data = bytearray(good)
        start = len(b'{"answer":"')
        data[self._random.randrange(start, len(data) - 2)] ^= 1 << self._random.randrange(8)
        return bytes(data)

    def cut(self, good: bytes) -> bytes:
        """Lose the end, or the end of the signed text."""
        at = self._random.randrange(len(good))
        return good[:at] + self._random.choice((b"", b'"}'))[: len(good) - at - 1]

    def swap(self, good: bytes) -> bytes:
        """Put the parts in another order, or mix them with an older answer's."""
        parts = json.loads(good)["answer"].split(".")
        other = json.loads(self._random.choice(self._old))["answer"].split(".") if self._old else parts[::-1]
        at = self._random.randrange(3)
        mixed = [*parts[:at], other[at], *parts[at + 1 :]]
        return write_answer(".".join(mixed if mixed != parts else parts[::-1]))

    def rename(self, good: bytes) -> bytes:
        """Give it another header, signed by a stranger as the one who is trusted."""
        payload = self._payload(good)
        header = {"alg": "Ed25519", "kid": SIGNER.kid, "typ": "license-answer+jws"}
        change = self._random.choice(
            (
                {"typ": "license-key+jws"},
                {"alg": "none"},
                {"alg": "HS256"},
                {"kid": STRANGER.kid},
                {"kid": 5},
                {"b64": 0},
                {},
            )
        )
        return write_answer(_token(header | change, payload, self._stranger))

    def say(self, good: bytes) -> bytes:
        """Say something else under the same signature."""
        head_, _, signature = json.loads(good)["answer"].split(".")
        told = json.loads(self._payload(good))
        name = self._random.choice(sorted(told))
        told[name] = self._random.choice(("up_to_date", "new_key", 2, None, "x" * 600, [], told["nonce"][::-1]))
        payload = base64.urlsafe_b64encode(json.dumps(told).encode()).rstrip(b"=").decode()
        return write_answer(f"{head_}.{payload}.{signature}")

    def twice(self, good: bytes) -> bytes:
        """Give two answers in one document."""
        return good[:-1] + b"," + self._random.choice((b'"answer":"x"', good[1:-1])) + b"}"

    def sign_anew(self, good: bytes) -> bytes:
        """Sign the same by another key, under its name or that of the one who is trusted."""
        kid = self._random.choice((SIGNER.kid, STRANGER.kid, "", "\x1b[2J", "x" * 300))
        header = {"alg": "Ed25519", "kid": kid, "typ": "license-answer+jws"}
        return write_answer(_token(header, self._payload(good), self._stranger))

    def replay(self, good: bytes) -> bytes:
        """Give an old answer."""
        return self._random.choice(self._old) if self._old else good[:-1]

    @staticmethod
    def _payload(good: bytes) -> str:
        part = json.loads(good)["answer"].split(".")[1]
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode()


@pytest.mark.long
def test_ten_thousand_forgeries_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    """No changed, replayed or re-signed answer counts, none raises, and neither log nor words hold key or nonce."""
    caplog.set_level(logging.DEBUG)
    forger = Forger(seed=1)
    with httpx.Client(transport=httpx.MockTransport(forger.handle)) as client:
        server = HttpsServer("https://a.example", trust=TRUSTED, client=client)
        answers = [server.ask(QUESTION) for _ in range(10_000)]
    assert {"connection_failed", "answer_rejected"} == {answer.outcome for answer in answers}
    assert {None} == {answer.signed_time for answer in answers}
    written = caplog.text + "\n".join(answer.detail for answer in answers)
    assert INSTALLED.signed not in written
    assert 10_000 == len(forger.nonces)
    assert not [nonce for nonce in forger.nonces if nonce in written]
