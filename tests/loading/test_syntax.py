import string

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from licfsm.loading.syntax import explained

LOADERS = [getattr(yaml, "CSafeLoader", yaml.SafeLoader), yaml.SafeLoader]
TAB = "a tab cannot stand here; use spaces, for indenting too"
COLON = "a second ': ' in one line; put the text in quotes, or begin a new line for a new key"
KEY = "this key does not fit the line above; indent it like its neighbors, and put a space after every colon"
INDENT = "the indentation of this line fits none above; indent it like its neighbors, with spaces"
LIST = "a list item cannot stand here, among keys; indent it like its neighbors, deeper than the list's key"
ITEM = "neither a list item nor indented like one; begin it with '- ', or indent it like its neighbors"
ENDED = "the value has ended before this; put all of it in quotes, and write '' for a ' within '...'"
INSIDE = "the file ends within brackets; close them with ']' or '}'"
ESCAPE = r"'\' has a meaning in double quotes; write '\\' for one, or use single quotes"
MARK = "a text cannot begin with '*', '&' or '!'; put the text in quotes"
BLOCK = "'|' and '>' begin a text on the lines below; put a text of one line in quotes"
ONE = "a file holds one document; take out lines with '%' or after '...'"


def missing(place: str, close: str, opened: str) -> str:
    return f"{place}: ',' or '{close}' is missing before this: {opened} is still open; a text with , : [ ] {{ }} needs quotes"


def told(text: str, loader: type) -> str:
    """Parse what is no YAML, and give place and message."""
    with pytest.raises(yaml.MarkedYAMLError) as caught:
        list(yaml.parse(text, Loader=loader))
    (line, column), message = explained(caught.value, text)
    return f"{line}:{column}: {message}"


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("a:\n\tb: 1\n", f"2:1: {TAB}"),
        ("a:\n  b: 1\n\tc: 1\n", f"3:1: {TAB}"),
        ("a:\n  -\tx: 1\n    y: 2\n", f"2:4: {TAB}"),
        ("a: |\n\tx\n", f"2:1: {TAB}"),
        ("a:\n    b: 1\n  c: 1\n", f"3:3: {INDENT}"),
        ("a:\n  - {x: 1}\n   - {x: 1}\n", f"3:4: {INDENT}"),
        ("a: 1\n- b\n", f"2:1: {LIST}"),
        ("- b\na: 1\n", f"2:1: {ITEM}"),
        ("a: 1\n  b: 2\n", f"2:4: {KEY}"),
        ("a:1\nb: 2\n", f"2:2: {KEY}"),
        ("a: 1\nb\nc: 2\n", "2:1: a key needs a colon and a space after it: write 'key: value'"),
        ("a: b: c\n", f"1:5: {COLON}"),
        ("a:\n  - at: start: x\n", f"2:14: {COLON}"),
        ('a: "b": c\n', f"1:7: {COLON}"),
        ("s: {status: Expired: 1}\n", missing("1:20", "}", "'{' at 1:4")),
        ("a: [1, 2\nb: 3\n", missing("2:2", "]", "'[' at 1:4")),
        ("t:\n  - {at: x\n  - {at: y}\n", missing("3:5", "}", "'{' at 2:5")),
        ("a: {x: 1]\n", missing("1:9", "}", "'{' at 1:4")),
        ("a: {x: 1", missing("1:9", "}", "'{' at 1:4")),
        ("a: [1,", f"1:7: {INSIDE}"),
        ("a: [\n---\n", f"2:1: {INSIDE}"),
        ("c: }\n", "1:4: a value is missing before '}'; write one, take '}' out, or put the text in quotes"),
        ("a: [1,,2]\n", "1:7: a value is missing before ','; write one, take ',' out, or put the text in quotes"),
        ("a: {x: 1}}\n", "1:10: '}' closes nothing; take it out, or put the text in quotes"),
        ("a: 'it's here'\n", f"1:8: {ENDED}"),
        ('a: "b" c\n', f"1:8: {ENDED}"),
        ('a: "abc\nb: 1\n', '1:4: the quote " that begins here is never closed; close it'),
        ("a: 'x\n---\n", "1:4: the quote ' that begins here is never closed; close it"),
        ('a: "\\xZZ"\n', f"1:7: {ESCAPE}"),
        ("a: @x\n", "1:4: a text cannot begin with '@'; put the text in quotes"),
        ("a: {days}%\n", "1:10: a text cannot begin with '%'; put the text in quotes"),
        ("a: *\n", f"1:5: {MARK}"),
        ("a: & x\n", f"1:5: {MARK}"),
        ("a: !x!y z\n", f"1:4: {MARK}"),
        ("a: | x\n", f"1:6: {BLOCK}"),
        ("a: - b\n", "1:4: a list cannot begin here; begin a new line, or put the text in quotes"),
        ("a: ? b\n", "1:4: '? ' cannot stand here; put the text in quotes"),
        ("%YAML 2.0\n---\na: 1\n", f"1:1: {ONE}"),
        ("a: 1\n...\nb: 2\n", f"3:1: {ONE}"),
    ],
)  # fmt: skip
def test_a_mistake_of_form(text: str, mistake: str, loader: type) -> None:
    """Each mistake is told at its place with the remedy, whichever of the two parsers found it."""
    assert mistake == told(text, loader)


def test_an_escape_is_told_where_it_stands() -> None:
    """An unknown escape is told in its text; the parsers differ by a character on where."""
    assert {f"1:5: {ESCAPE}", f"1:6: {ESCAPE}"} >= {told('a: "\\d"\n', loader) for loader in LOADERS}


@pytest.mark.parametrize("mark", [None, yaml.Mark("x", 0, 7, 1, None, None)])
def test_what_nobody_foresaw(mark: yaml.Mark | None) -> None:
    """What the parser says beyond that is passed on, with where to look; a place that is not there becomes the end."""
    error = yaml.MarkedYAMLError(problem="found a snark", problem_mark=mark)
    place, message = explained(error, "a: b")
    assert (
        (1, 5) if mark else (1, 1),
        "no valid YAML (found a snark); check indentation, brackets and quotes, here and above",
    ) == (place, message)


def test_the_parsers_own_limit() -> None:
    """Where the parser gives up on nesting before the reader does, the message is the reader's."""
    mark = yaml.Mark("x", 0, 0, 3, None, None)
    error = yaml.MarkedYAMLError("while increasing flow level", mark, "exceeded maximum nesting depth", mark)
    assert ((1, 4), "nested deeper than 40 levels") == explained(error, "[" * 2_000)


@given(st.text(alphabet=string.printable.translate({11: None, 12: None}), max_size=40))
def test_no_mistake_is_unforeseen(text: str) -> None:
    """Whatever printable text is no YAML, it is told in words of ours, at a place that is there."""
    for loader in LOADERS:
        try:
            list(yaml.parse(text, Loader=loader))
        except yaml.MarkedYAMLError as error:
            (line, column), message = explained(error, text)
            lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
            assert 1 <= line <= len(lines)
            assert 1 <= column <= len(lines[line - 1]) + 1
            assert "no valid YAML" not in message
