"""The protocol's page and its description for tools say what the code does."""

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from licfsm.adapters import answers, encoding, keys, tokens
from licfsm.adapters.answers import SIGNED_OUTCOMES, SignedAnswer, read_answer, read_question, sign_answer, write_answer
from licfsm.adapters.key_pairs import SigningKey
from licfsm.adapters.keys import TrustedKeys, sign
from licfsm.errors import KeyRejected, LicfsmError
from licfsm.key import LONGEST_TEXT, LicenseKey
from licfsm.policy import OUTCOMES

FOLDER = files("licfsm") / "protocol"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
API: dict[str, Any] = json.loads((FOLDER / "openapi.json").read_text(encoding="utf-8"))
SCHEMAS = API["components"]["schemas"]
EXAMPLE = re.findall(r"```(?:json|text)\n(.*?)\n```", PAGE.partition("## A worked example")[2], re.DOTALL)
PRIVATE, QUESTION, INSTALLED, ANSWER, DOCUMENT, NEW = EXAMPLE


@pytest.fixture
def signing(tmp_path: Path) -> SigningKey:
    (tmp_path / "key.json").write_text(PRIVATE)
    return SigningKey.load(tmp_path / "key.json")


@pytest.fixture
def trust(signing: SigningKey) -> TrustedKeys:
    return TrustedKeys.of(signing.public)


def accepts(name: str, document: object) -> bool:
    schema = {"$ref": f"#/components/schemas/{name}", "components": API["components"]}
    return Draft202012Validator(schema).is_valid(document)


class TestVector:
    def test_the_answer_is_signed(self, trust: TrustedKeys) -> None:
        """The page's answer reads as the page says."""
        said = json.loads(ANSWER.splitlines()[1])
        read = read_answer(DOCUMENT.encode(), trust)
        names = ("license", "nonce", "outcome", "key", "message")
        assert [said[name] for name in names] == [getattr(read, name) for name in names]

    def test_the_question_is_answered(self) -> None:
        """The answer is that of the page's question."""
        asked = read_question(QUESTION.encode())
        said = json.loads(ANSWER.splitlines()[1])
        assert (said["license"], said["nonce"]) == (asked.license, asked.nonce)

    def test_the_keys_are_genuine(self, trust: TrustedKeys) -> None:
        """The installed key and the new one verify, and the new one replaces the other (4.3)."""
        old, new = trust.verify(read_question(QUESTION.encode()).key), trust.verify(NEW)
        assert (old.id, True, True) == (new.id, new.issued_at > old.issued_at, new.expires_at > old.expires_at)

    def test_is_made_again(self, signing: SigningKey, trust: TrustedKeys) -> None:
        """From the same values the code signs the same, byte for byte."""
        assert DOCUMENT == write_answer(sign_answer(read_answer(DOCUMENT.encode(), trust), signing)).decode()
        assert NEW == sign(trust.verify(NEW), signing).signed

    @pytest.mark.parametrize(("lines", "number"), [(INSTALLED, 0), (ANSWER, 1)])
    def test_what_was_signed_is_shown(self, lines: str, number: int) -> None:
        """Header and payload are shown as they were signed."""
        signed = [json.loads(QUESTION)["key"], json.loads(DOCUMENT)["answer"]][number]
        assert lines.splitlines() == [encoding.from_base64url(part).decode() for part in signed.split(".")[:2]]

    def test_one_byte_more(self, trust: TrustedKeys) -> None:
        """A vector that was changed is refused: the test sees it."""
        with pytest.raises(KeyRejected):
            read_answer(DOCUMENT.replace('"answer":"ey', '"answer":"fy').encode(), trust)


class TestPage:
    def test_every_outcome(self) -> None:
        """The page names each outcome of a check, and each that is signed in a row of its own."""
        assert [] == [outcome for outcome in OUTCOMES if f"`{outcome}`" not in PAGE]
        assert list(SIGNED_OUTCOMES) == re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", PAGE, re.MULTILINE)

    def test_limits(self) -> None:
        """The page has the limits of the code."""
        limits = dict(re.findall(r"^\| ([^|]+?) \| (\d+)(?: levels)? \|$", PAGE, re.MULTILINE))
        assert {
            "a signed text: an answer, a license key": str(tokens.LARGEST),
            "a question, the body": str(answers.LARGEST_QUESTION),
            "an answer, the body": str(answers.LARGEST_ANSWER),
            "depth of JSON": str(encoding.DEEPEST),
        } == limits

    def test_names(self) -> None:
        """The page tells every name that a key may have."""
        assert [] == [name for name in keys._FIELDS if f"`{name}`" not in PAGE]

    def test_lines_are_short(self) -> None:
        """Only what cannot be broken, tables and the vector, is longer than 140 characters."""
        long = [line for line in PAGE.splitlines() if len(line) > 140 and line[:1] not in {"|", "{"}]
        assert [NEW] == long


class TestOpenApi:
    def test_is_of_version_3_1(self) -> None:
        """The document is OpenAPI 3.1 with the parts that it must have."""
        assert ("3.1.0", True, True) == (API["openapi"], {"title", "version"} <= API["info"].keys(), bool(API["paths"]))
        operations = [operation for path in API["paths"].values() for operation in path.values()]
        assert {"check", "download"} == {operation["operationId"] for operation in operations}
        answered = [each for operation in operations for each in operation["responses"].values()]
        assert [] == [each for each in answered if not each.get("description")]

    @pytest.mark.parametrize("name", SCHEMAS)
    def test_schemas_are_schemas(self, name: str) -> None:
        """Every schema is JSON Schema 2020-12."""
        Draft202012Validator.check_schema(SCHEMAS[name])

    def test_references_lead_somewhere(self) -> None:
        """Every reference leads to a part of the document."""

        def walk(part: object) -> Iterator[str]:
            if isinstance(part, dict):
                yield from ([part["$ref"]] if "$ref" in part else [])
                for value in part.values():
                    yield from walk(value)
            if isinstance(part, list):
                for value in part:
                    yield from walk(value)

        found = {reference.rpartition("/")[2] for reference in walk(API)}
        assert found == found & {*SCHEMAS, *API["components"]["headers"]}

    def test_outcomes(self) -> None:
        """The outcomes are those that can be signed."""
        assert list(SIGNED_OUTCOMES) == SCHEMAS["Answer"]["properties"]["outcome"]["enum"]

    def test_sizes(self) -> None:
        """Sizes are those of the code."""
        counts = SCHEMAS["LicenseKey"]["properties"]["counts"]
        check = API["paths"]["/v1/check"]["post"]
        assert (tokens.LARGEST, LONGEST_TEXT, keys.MOST, keys.LONGEST_NAME) == (
            SCHEMAS["SignedText"]["maxLength"],
            SCHEMAS["Answer"]["properties"]["message"]["maxLength"],
            counts["additionalProperties"]["maximum"],
            counts["propertyNames"]["maxLength"],
        )
        assert f"At most {answers.LARGEST_QUESTION} bytes." == check["requestBody"]["description"]
        assert f"A signed answer; at most {answers.LARGEST_ANSWER} bytes." == check["responses"]["200"]["description"]

    def test_names(self) -> None:
        """The names are those of the code: of keys, of answers, of headers."""
        assert {"version", *keys._FIELDS} == SCHEMAS["LicenseKey"]["properties"].keys()
        assert {"version", *keys._REQUIRED} == set(SCHEMAS["LicenseKey"]["required"])
        assert {"version", *SignedAnswer.__slots__} - {"__weakref__"} == SCHEMAS["Answer"]["properties"].keys()
        assert set(tokens._HEADER) == set(SCHEMAS["Header"]["required"])
        assert [answers.KIND, keys.KIND] == SCHEMAS["Header"]["properties"]["typ"]["enum"]

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("Question", QUESTION),
            ("AnswerDocument", DOCUMENT),
            ("Header", INSTALLED.splitlines()[0]),
            ("LicenseKey", INSTALLED.splitlines()[1]),
            ("Header", ANSWER.splitlines()[0]),
            ("Answer", ANSWER.splitlines()[1]),
            ("SignedText", json.dumps(NEW)),
        ],
    )
    def test_takes_the_vector(self, name: str, text: str) -> None:
        """What the page shows is what the schemas describe."""
        assert accepts(name, json.loads(text))

    def test_examples_are_the_vector(self) -> None:
        """The document's examples are those of the page."""
        check, download = API["paths"]["/v1/check"]["post"], API["paths"]["/v1/keys/{name}"]["get"]
        shown = [
            check["requestBody"]["content"]["application/json"],
            check["responses"]["200"]["content"]["application/json"],
        ]
        shown.append(download["responses"]["200"]["content"]["application/jose"])
        assert [json.loads(QUESTION), json.loads(DOCUMENT), NEW] == [each["example"] for each in shown]

    @pytest.mark.parametrize("outcome", SIGNED_OUTCOMES)
    def test_takes_what_is_signed(self, signing: SigningKey, outcome: str) -> None:
        """Whatever the code signs, the schema takes."""
        path = "/v1/keys/5f1c" if outcome == "new_key" else ""
        answer = SignedAnswer("A", "A" * 22, 1738886400123, outcome, path, "\u00e4" * 500)
        payload = encoding.from_base64url(sign_answer(answer, signing).split(".")[1])
        assert accepts("Answer", json.loads(payload))

    @pytest.mark.parametrize("expires", [None, "2025-02-14", "2025-02-14T10:30:00.5+01:00"])
    def test_takes_keys(self, signing: SigningKey, expires: str | None) -> None:
        """Whatever key the code signs, the schema takes."""
        says = {"product": "p", "edition": "e", "holder": "h", "counts": {"sockets": 2**53}}
        key = LicenseKey(id="A", type="a", expires=expires, issued="2025-01-01T00:00:00.25", **says)
        payload = encoding.from_base64url(sign(key, signing).signed.split(".")[1])
        assert accepts("LicenseKey", json.loads(payload))

    @pytest.mark.parametrize(
        "change",
        [
            {"outcome": "key_rejected"}, {"outcome": "up_to_date"}, {"key": "v1"}, {"key": "//evil.example/x"},
            {"key": "/a/../b"}, {"key": "/a/."}, {"key": "/"}, {"key": "/" + "x" * 501}, {"key": "/x?y"}, {"nonce": "A" * 21},
            {"nonce": "A" * 87}, {"time": "2025-02-07"}, {"time": "2025-02-07T00:00:00+01:00"}, {"license": ""},
            {"message": "x" * 501}, {"version": 2}, {"version": None}, {"more": 1}, {"key": None},
        ],
        ids=str,
    )  # fmt: skip
    def test_both_refuse(self, signing: SigningKey, change: dict[str, object]) -> None:
        """What the code refuses in an answer, the schema refuses too."""
        said = {
            name: value for name, value in (json.loads(ANSWER.splitlines()[1]) | change).items() if value is not None
        }
        signed = tokens.sign_token(json.dumps(said).encode(), signing, answers.KIND)
        with pytest.raises(LicfsmError):
            read_answer(write_answer(signed), TrustedKeys.of(signing.public))
        assert not accepts("Answer", said)
