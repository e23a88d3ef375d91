import os
from collections.abc import Callable
from pathlib import Path

import pytest

from licfsm.errors import InvalidFile
from licfsm.loading import document
from licfsm.loading.document import Scalar, closest, is_file, nearest, quoted, read_document

Mistakes = Callable[[str | bytes], list[str]]


@pytest.fixture
def read(write: Callable[..., Path]) -> Callable[[str | bytes], document.Section]:
    """Read a document."""
    return lambda content: read_document(write(content), "named.yaml")


@pytest.fixture
def refused(read: Callable[[str | bytes], document.Section]) -> Mistakes:
    """Read a document that is refused, and give its mistakes."""

    def told(content: str | bytes) -> list[str]:
        with pytest.raises(InvalidFile) as caught:
            read(content)
        return str(caught.value).splitlines()

    return told


class TestValues:
    @pytest.mark.parametrize("word", ["Off", "on", "yes", "12:30", "010", "1e3", "0x1F", "2025-02-14", ".inf", "true"])
    def test_a_plain_scalar_stays_text(self, read: Callable[..., document.Section], word: str) -> None:
        """No word becomes a boolean, a number or a date."""
        assert word == read(f"a: {word}\n")["a"]

    @pytest.mark.parametrize("word", ["", "~", "null", "Null", "NULL"])
    def test_nothing_is_null(self, read: Callable[..., document.Section], word: str) -> None:
        """Only these stand for None."""
        assert read(f"a: {word}\n")["a"] is None

    @pytest.mark.parametrize("word", ["'~'", '"null"', "''"])
    def test_a_quoted_null_is_text(self, read: Callable[..., document.Section], word: str) -> None:
        """In quotes a null is a text."""
        assert isinstance(read(f"a: {word}\n")["a"], str)

    def test_a_scalar_knows_its_place(self, read: Callable[..., document.Section]) -> None:
        """A text knows line and column, counted from 1."""
        assert (2, 4) == read("a: b\nc: d\n")["c"].place

    def test_a_mapping_knows_its_keys_and_values(self, read: Callable[..., document.Section]) -> None:
        """A mapping knows where its keys and values stand, null too."""
        found = read("a: {bb: ~}\n")["a"]
        assert ((1, 4), {"bb": (1, 5)}, {"bb": (1, 9)}) == (found.place, found.keys_at, found.values_at)

    def test_a_list_knows_its_items(self, read: Callable[..., document.Section]) -> None:
        """A list knows where its items stand."""
        found = read("a:\n  - x\n  - [y]\n")["a"]
        assert ((2, 3), [(2, 5), (3, 5)]) == (found.place, found.items_at)

    def test_a_byte_order_mark_is_skipped(self, read: Callable[..., document.Section]) -> None:
        """A file from an editor that writes a byte order mark reads as without."""
        assert {"a": "b"} == read(b"\xef\xbb\xbfa: b\n")

    def test_line_ends_of_windows_are_line_ends(self, read: Callable[..., document.Section]) -> None:
        """A carriage return before the line feed is no part of a text, and no line of its own."""
        found = read("a: b\r\nc: d\r\n")
        assert ("b", "d", (2, 4)) == (found["a"], found["c"], found["c"].place)

    @pytest.mark.parametrize("text", ["e\u0301", "\u202eabc", "\U0001f600", "\u05e9\u05dc\u05d5\u05dd", "\ufb01"])
    def test_odd_characters_stay(self, read: Callable[..., document.Section], text: str) -> None:
        """Combining, astral and right-to-left characters are kept as they are, not normalized."""
        assert text == read(f"a: {text}\n")["a"]

    def test_an_astral_character_is_one_column(self, read: Callable[..., document.Section]) -> None:
        """Columns count characters, not bytes or halves of them."""
        assert (1, 8) == read("{\U0001f600: 1, b: 2}\n").keys_at["b"]

    def test_a_document_start_and_end_may_stand(self, read: Callable[..., document.Section]) -> None:
        """The marks around a single document are allowed."""
        assert {"a": "b"} == read("%YAML 1.1\n---\na: b\n...\n")


class TestAliases:
    def test_an_alias_is_what_it_stands_for(self, read: Callable[..., document.Section]) -> None:
        """An alias and its anchor are one value."""
        found = read("a: &x {b: c}\nd: *x\n")
        assert found["a"] is found["d"]

    def test_an_anchor_may_be_given_anew(self, read: Callable[..., document.Section]) -> None:
        """The last anchor before an alias counts."""
        assert "2" == read("a: &x 1\nb: &x 2\nc: *x\n")["c"]

    def test_a_null_may_have_an_anchor(self, read: Callable[..., document.Section]) -> None:
        """An alias of nothing is nothing."""
        assert read("a: &x ~\nb: *x\n")["b"] is None

    def test_an_unknown_alias(self, refused: Mistakes) -> None:
        """An alias without anchor is told where it stands."""
        assert ["named.yaml:1:4: alias 'x' stands for nothing that is complete here"] == refused("a: *x\n")

    def test_a_value_cannot_hold_itself(self, refused: Mistakes) -> None:
        """An alias inside its own anchor stands for nothing yet."""
        assert ["named.yaml:1:8: alias 'x' stands for nothing that is complete here"] == refused("a: &x [*x]\n")

    def test_an_anchor_given_anew_hides_the_old_one(self, refused: Mistakes) -> None:
        """Inside a value, its anchor does not stand for an earlier one."""
        assert ["named.yaml:2:8: alias 'x' stands for nothing that is complete here"] == refused(
            "a: &x 1\nb: &x [*x]\n"
        )

    def test_aliases_that_multiply(self, refused: Mistakes) -> None:
        """Aliases of aliases, a million values in some hundred bytes, are refused."""
        lines = ["a: &a [1,1,1,1,1,1,1,1,1,1]"]
        lines += [
            f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]"
            for before, name in zip("abcdef", "bcdefg", strict=True)
        ]
        # a to d have 11 + 111 + 1111 + 11111 = 12344 values; 8 more of d, with keys and mapping, exceed 100000.
        assert ["named.yaml:5:32: more than 100000 values, aliases counted as what they stand for"] == refused(
            "\n".join(lines)
        )

    def test_many_values_without_aliases(self, refused: Mistakes) -> None:
        """More values than a story can need are refused: the file's mapping, its key and the list are three of them."""
        text = "a:\n" + "- 1\n" * 100_000
        assert ["named.yaml:100000:3: more than 100000 values, aliases counted as what they stand for"] == refused(text)


class TestForm:
    def test_a_duplicate_key(self, refused: Mistakes) -> None:
        """A key given twice is told with the place of the first."""
        assert ["named.yaml:2:1: 'a' is given twice; the first is at 1:1"] == refused("a: 1\na: 2\n")

    def test_a_key_that_is_no_word(self, refused: Mistakes) -> None:
        """A list cannot be a key; what it leads to is skipped."""
        assert ["named.yaml:1:3: a key must be a word"] == refused("? [a]\n: {b: b}\n")

    @pytest.mark.parametrize("key", ["~", "''  : 1\n? null"])
    def test_a_key_that_is_nothing(self, refused: Mistakes, key: str) -> None:
        """Nothing cannot be a key."""
        assert refused(f"{key}: 1\n")[0].endswith("a key must be a word")

    def test_tags(self, refused: Mistakes) -> None:
        """Tags of scalars, lists and mappings are told, all of them."""
        told = [
            f"named.yaml:{line}:4: tag {tag} is not supported; leave it out"
            for line, tag in enumerate(
                ["'tag:yaml.org,2002:int'", "'!x'", "'tag:yaml.org,2002:python/object:os.system'"], 1
            )
        ]
        assert told == refused("a: !!int 1\nb: !x []\nc: !!python/object:os.system {}\n")

    def test_a_second_document(self, refused: Mistakes) -> None:
        """A second document is told where it begins."""
        assert ["named.yaml:2:1: a second document begins here; a file holds one"] == refused("a: 1\n---\nb: 2\n")

    @pytest.mark.parametrize("content", ["", "# nothing\n", "~\n", "---\n"])
    def test_an_empty_file(self, refused: Mistakes, content: str) -> None:
        """A file without anything in it is no mapping."""
        assert ["named.yaml:1:1: the file must be a mapping, such as 'version: 1'"] == refused(content)

    @pytest.mark.parametrize(("content", "place"), [("\n- a\n", "2:1"), ("  abc\n", "1:3")])
    def test_no_mapping(self, refused: Mistakes, content: str, place: str) -> None:
        """A list or a text is told where it begins."""
        assert [f"named.yaml:{place}: the file must be a mapping, such as 'version: 1'"] == refused(content)

    @pytest.mark.parametrize("content", ["[" * 10_000, "a: " + "{a: " * 10_000, "- " * 10_000, "[" * 1_000_000])
    def test_deep_nesting(self, refused: Mistakes, content: str) -> None:
        """Ten thousand brackets end in one mistake."""
        assert [True] == [told.endswith("nested deeper than 40 levels") for told in refused(content)]

    def test_where_it_is_too_deep(self, refused: Mistakes) -> None:
        """The 41st level is told where it begins."""
        assert ["named.yaml:1:41: nested deeper than 40 levels"] == refused("[" * 41 + "]" * 41)

    def test_forty_levels_are_enough(self, refused: Mistakes) -> None:
        """Forty levels are read; that they are no mapping is another mistake."""
        assert ["named.yaml:1:1: the file must be a mapping, such as 'version: 1'"] == refused("[" * 40 + "]" * 40)

    def test_broken_yaml(self, refused: Mistakes) -> None:
        """What is no YAML is told at its place, in a user's words."""
        told = "named.yaml:2:4: a value is missing before '}'; write one, take '}' out, or put the text in quotes"
        assert [told] == refused("a: b\nc: }\n")

    def test_mistakes_before_broken_yaml(self, refused: Mistakes) -> None:
        """What was found before the parser stopped is told as well."""
        places = [told.split(":", 1)[1].split(": ")[0] for told in refused("a: 1\na: 2\nc: }\n")]
        assert ["2:1", "3:4"] == places


class TestBytes:
    @pytest.mark.parametrize(
        ("content", "place"),
        [
            (b"\xff", "1:1"),
            (b"a: b\nc: \xe4\n", "2:4"),
            ("\u00e4: ".encode() + b"\xe4\n", "1:4"),
            ("a: b".encode("utf-16"), "1:1"),
            (b"\xef\xbb\xbfa: \xe4", "1:4"),
        ],
    )
    def test_no_utf_8(self, refused: Mistakes, content: bytes, place: str) -> None:
        """The first byte that is no UTF-8 is told, by the column of its character."""
        assert [f"named.yaml:{place}: not UTF-8; save the file as UTF-8 text"] == refused(content)

    @pytest.mark.parametrize(
        ("content", "place", "shown"),
        [
            ("a: \0\n", "1:4", "\\x00"),
            ("\u00e4\u00e4: \x07\n", "1:5", "\\x07"),
            ("a: b\r\nc: \x1b[31m", "2:4", "\\x1b"),
            ("a: b\u2028c: \x7f", "2:4", "\\x7f"),
            ("a: \uffff", "1:4", "\\uffff"),
        ],
    )
    def test_a_control_character(self, refused: Mistakes, content: str, place: str, shown: str) -> None:
        """A control character is told by its code, at its line and column."""
        assert [f"named.yaml:{place}: control character '{shown}' is not allowed; take it out"] == refused(content)

    def test_a_large_file(self, refused: Mistakes) -> None:
        """A file of more than a MiB is not read to its end."""
        assert ["named.yaml:1:1: larger than 1 MiB; a file of this kind is small"] == refused("#" * (1 << 20) + "\n")

    def test_a_mebibyte_is_read(self, read: Callable[..., document.Section]) -> None:
        """A file of just a MiB is read."""
        assert {"a": "1"} == read("a: 1\n#" + "#" * ((1 << 20) - 6))


class TestFiles:
    def told(self, path: Path) -> str:
        with pytest.raises(InvalidFile) as caught:
            read_document(path, "named.yaml")
        return str(caught.value)

    def test_a_missing_file(self, tmp_path: Path) -> None:
        """A file that is not there is told as such."""
        assert "named.yaml:1:1: no such file" == self.told(tmp_path / "none.yaml")

    def test_a_folder(self, tmp_path: Path) -> None:
        """A folder is no file."""
        assert "named.yaml:1:1: not a file" == self.told(tmp_path)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
    def test_a_pipe(self, tmp_path: Path) -> None:
        """A named pipe, which would make a reader wait forever, is no file."""
        os.mkfifo(tmp_path / "pipe.yaml")
        assert "named.yaml:1:1: not a file" == self.told(tmp_path / "pipe.yaml")

    def test_a_name_that_is_too_long(self, tmp_path: Path) -> None:
        """What the system says against a name is told."""
        assert "named.yaml:1:1: cannot be read: File name too long" == self.told(tmp_path / ("a" * 5_000))

    def test_a_name_with_a_nul(self) -> None:
        """No file has such a name."""
        assert "named.yaml:1:1: no such file" == self.told(Path("a\0b"))

    @pytest.mark.parametrize(("name", "there"), [("a.yaml", True), (".", False), ("b", False), ("a" * 5_000, False)])
    def test_whether_there_is_a_file(self, tmp_path: Path, name: str, *, there: bool) -> None:
        """Neither a folder, nor a missing file, nor an impossible name is one."""
        (tmp_path / "a.yaml").touch()
        assert there == is_file(tmp_path / name)


class TestWords:
    @pytest.mark.parametrize(
        ("word", "meant"), [("grace", "Grace"), ("Schedled", "Scheduled"), ("xyz", None), ("e" * 1_000_000, None)]
    )
    def test_the_closest_word(self, word: str, meant: str | None) -> None:
        """A word near enough is found, whatever its case; for anything else there is none."""
        assert meant == closest(word, ("Grace", "Scheduled"))

    def test_the_nearest_word_is_asked_for(self) -> None:
        """A near word becomes a question."""
        assert "did you mean 'enable'?" == nearest("enabel", ("disable", "enable"))

    def test_all_words_are_listed(self) -> None:
        """Without a near word all there are stand in order."""
        assert "one of disable, enable" == nearest("xyz", ("enable", "disable"))

    @pytest.mark.parametrize(
        ("text", "shown"),
        [("a", "'a'"), ("a\nb\x1b", "'a\\nb\\x1b'"), ("\ud800", "'\\ud800'"), ("a" * 61, "'" + "a" * 55 + "...'")],
    )
    def test_a_text_is_shown(self, text: str, shown: str) -> None:
        """A text of the user's is printable in a message, and at most 60 characters long."""
        assert shown == quoted(text)

    def test_the_longest_quote(self) -> None:
        """58 characters and two quotes are shown whole."""
        assert 60 == len(quoted(Scalar("a" * 58, (1, 1))))
