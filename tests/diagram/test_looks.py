from __future__ import annotations

from licfsm.diagram.looks import legend, lines, state_text, stroke
from licfsm.diagram.wording import KINDS, MARKS


def test_lines_are_short_and_lose_nothing() -> None:
    """Words are kept whole, and a figure with its unit."""
    found = lines("every 60 minutes (connection failed)", 23)

    assert "every 60 minutes (connection failed)" == " ".join(found).replace("\u00a0", " ")
    assert ["every 60\u00a0minutes", "(connection\u00a0failed)"] == found


def test_what_cannot_be_shown_is_left_out() -> None:
    """A control character would make an SVG unreadable."""
    assert ["a b"] == lines("a\x07 \x00b", 20)


def test_a_states_meaning_is_broken_evenly() -> None:
    """No word stands alone on the last line."""
    assert "the server is<BR/>being asked" in state_text("Checking", "the server is being asked", None, "#000000")


def test_strokes_of_a_path_are_wider_or_fainter() -> None:
    """Where no path is shown, neither."""
    for kind in KINDS:
        plain, strong, faint = (stroke(kind, visited=visited) for visited in (None, True, False))
        assert faint.width < plain.width < strong.width
        assert plain.color == strong.color != faint.color


def test_the_legend_has_every_kind_and_note() -> None:
    """Marks and lines are told, in one order, and notes below."""
    found = legend(["A note."])

    assert sorted(found.index(MARKS[kind]) for kind in KINDS) == [found.index(MARKS[kind]) for kind in KINDS]
    assert [] == [words for words in ("A note.", "dashed", "dotted") if words not in found]
