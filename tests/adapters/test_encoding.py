import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licfsm.adapters.encoding import from_base64url, json_object, shown, to_base64url
from licfsm.errors import InvalidValue


def nested(levels: int, last: str) -> str:
    """Write an object with lists in one another; the object is the first level."""
    return f'{{"a":{"[" * (levels - 1)}{last}{"]" * (levels - 1)}}}'


class TestBase64url:
    @given(st.binary(max_size=100))
    def test_reads_back_as_what_was_written(self, data: bytes) -> None:
        """Any bytes can be written, and are read as the same."""
        assert data == from_base64url(to_base64url(data))

    @pytest.mark.parametrize(("data", "text"), [(b"", ""), (b"\xfb\xff", "-_8"), (b"licfsm", "bGljZnNt")])
    def test_is_that_of_the_rfc(self, data: bytes, text: str) -> None:
        """The alphabet is RFC 4648's for names of files; RFC 7515 leaves the padding out."""
        assert text == to_base64url(data)

    @pytest.mark.parametrize(
        "text", ["-_8=", "+/8", "-_9", "-_8A8", "-_ 8", "-_8\n", "\N{FULLWIDTH DIGIT EIGHT}", "\ud800", "="]
    )
    def test_has_one_spelling(self, text: str) -> None:
        """Padding, another alphabet, bits left over, a length that no bytes have, and anything between are refused."""
        with pytest.raises(InvalidValue) as caught:
            from_base64url(text)
        assert "it is not the base64url that an issuer writes; was the text cut short?" == str(caught.value)


class TestJsonObject:
    @pytest.mark.parametrize("data", ['{"a": [1, "é", null]}', '{"a": [1, "é", null]}'.encode()])
    def test_reads_text_and_bytes(self, data: bytes | str) -> None:
        """An object is read from text, or from its UTF-8."""
        assert {"a": [1, "é", None]} == json_object(data, "it")

    @pytest.mark.parametrize(
        "data",
        [
            "",
            "[]",
            "null",
            "{} {}",
            '{"a": Infinity}',
            '{"a": ' + "9" * 5000 + "}",
            '{"a": ' * 100_000,
            "\ufeff{}",
            b"\xef\xbb\xbf{}",
            b'{"a": "\xff"}',
            "{}".encode("utf-16"),
        ],
        ids=range(11),
    )
    def test_refuses_what_some_reader_cannot_read(self, data: bytes | str) -> None:
        """What is no object, or not for every reader, is refused under the name that the caller gives it."""
        with pytest.raises(InvalidValue) as caught:
            json_object(data, "the answer")
        assert "the answer is no JSON object that can be read" == str(caught.value)

    @pytest.mark.parametrize("data", ['{"a": 1, "a": 1}', '{"b": [{"a": 1, "\\u0061": 2}]}'])
    def test_refuses_what_is_said_twice(self, data: str) -> None:
        """Of two values of one name readers take different ones, at whatever depth and however it is spelled."""
        with pytest.raises(InvalidValue) as caught:
            json_object(data, "the answer")
        assert "the answer says 'a' twice" == str(caught.value)

    def test_shows_what_is_said_twice_cleaned(self) -> None:
        """A name that an attacker chose can be shown (rules.md 8.3)."""
        name = json.dumps("\x1b[2J" + "x" * 100)
        with pytest.raises(InvalidValue) as caught:
            json_object(f"{{{name}: 1, {name}: 2}}", "it")
        assert f"it says '[2J{'x' * 61}' twice" == str(caught.value)

    @pytest.mark.parametrize("last", ["1", "[]"])
    def test_reads_16_levels(self, last: str) -> None:
        """Objects and lists may stand in one another 16 deep, the object itself the first."""
        levels = 16 if last == "1" else 15
        assert json.loads(nested(levels, last)) == json_object(nested(levels, last), "it")

    @pytest.mark.parametrize("last", ["[]", "{}"])
    def test_refuses_a_17th_level(self, last: str) -> None:
        """One level more is refused, also where it is empty."""
        with pytest.raises(InvalidValue, match="it is no JSON object that can be read"):
            json_object(nested(16, last), "it")


class TestShown:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("Ed25519", "'Ed25519'"),
            ("\x1b[2J\n", "'[2J'"),
            ("x" * 65, f"'{'x' * 64}'"),
            (5, "something else"),
            (None, "something else"),
        ],
    )
    def test_can_stand_in_a_line(self, value: object, text: str) -> None:
        """Text is cleaned and cut; of anything else nothing is shown."""
        assert text == shown(value)
