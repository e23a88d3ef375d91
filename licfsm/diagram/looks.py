"""How things look in the pictures: lines and colors, and texts as Graphviz's HTML-like labels.

Arrows tell what brings the event by their line as well as by color (Okabe and Ito's, which color-blind people
tell apart), and each event begins with the mark of its kind, so black and white is enough. On a story's path,
what was visited is strong and the rest faint.
"""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs

from licfsm.diagram.graph import CHOICE, Edge, Line
from licfsm.diagram.path import Visit
from licfsm.diagram.wording import CHANGE, KINDS, MARKS, SERVER, TIME, USER

__all__ = [
    "FAINT",
    "FONT",
    "TEXT",
    "Stroke",
    "arrow_text",
    "bar",
    "bold",
    "given_text",
    "legend",
    "lines",
    "state_text",
    "stroke",
    "table",
    "title",
    "wide",
]

FONT: Final = "Helvetica,Arial,sans-serif"
TEXT: Final = "#000000"
FAINT: Final = "#8C8C8C"
_KEPT: Final = "\u00a0"
"""A blank that browsers keep where a text begins or ends."""
_FAINT_LINE: Final = "#C8C8C8"


@attrs.frozen
class Stroke:
    """A line: its pattern, width in points and color, and the color of the words on it."""

    pattern: str
    width: float
    color: str
    text: str = TEXT

    def attributes(self) -> dict[str, str]:
        """Give it as attributes of an edge."""
        return {"color": self.color, "penwidth": str(self.width), "style": self.pattern}


_STROKES: Final[Mapping[str, Stroke]] = {
    TIME: Stroke("dashed", 1.4, "#0072B2"),
    SERVER: Stroke("solid", 2.0, "#D55E00"),
    USER: Stroke("solid", 0.9, "#000000"),
    CHANGE: Stroke("dotted", 1.8, "#009E73"),
    "": Stroke("solid", 0.9, "#000000"),
}
_STATE_WIDTH: Final = 22
_LABEL_WIDTH: Final = 23
_WIDE: Final = 30
_WIDER: Final = 40
_MUCH: Final = 2
"""An arrow with more lines than this has a wider label."""
_TITLE_WIDTH: Final = 70
_NOTE_WIDTH: Final = 110


def stroke(kind: str, *, visited: bool | None) -> Stroke:
    """Choose the line of an arrow.

    Args:
        kind: what brings it, one of `wording.KINDS`, or empty.
        visited: whether the path goes this way; None where no path is shown.

    """
    plain = _STROKES[kind]
    if visited is None:
        return plain
    if visited:
        return attrs.evolve(plain, width=plain.width + 1.4)
    return attrs.evolve(plain, width=0.8, color=_FAINT_LINE, text=FAINT)


def table(rows: Iterable[Sequence[str]], *, align: str = "LEFT", padding: int = 1) -> str:
    """Lay out cells in rows, without lines."""
    cells = ("".join(f'<TD ALIGN="{align}" BALIGN="{align}">{cell}</TD>' for cell in row) for row in rows)
    body = "".join(f"<TR>{row}</TR>" for row in cells)
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="{padding}">{body}</TABLE>'


def bold(words: str) -> str:
    """Escape, and write bold."""
    return f"<B>{_escaped(words)}</B>"


def title(words: str) -> str:
    """Write the title of a picture, on as many lines as it takes."""
    return "<BR/>".join(f"<B>{line}</B>" for line in lines(words, _TITLE_WIDTH))


def _escaped(words: str) -> str:
    """Escape, without what no text can show and no XML can hold."""
    return html.escape("".join(letter for letter in words if letter.isprintable() or letter == _KEPT))


def lines(words: str, width: int) -> list[str]:
    """Escape, and break into short lines, but neither a figure from its unit nor a short bracket."""
    kept = re.sub(r"\d |\([^()]{,20}\)", lambda found: found[0].replace(" ", _KEPT), words)
    return [_escaped(line) for line in textwrap.wrap(kept, width, break_on_hyphens=False)]


def _balanced(words: str, width: int) -> list[str]:
    """Break words into as few lines as fit, each about as long as the others."""
    fewest = len(lines(words, width))
    while width > 1 and len(lines(words, width - 1)) == fewest:
        width -= 1
    return lines(words, width)


def state_text(name: str, meaning: str, visit: Visit | None, color: str) -> str:
    """Write a state's label: its name, what it means, and how often it was visited."""
    more = "<BR/>".join([*_balanced(meaning, _STATE_WIDTH), *(_visit(visit) if visit else [])])
    rows = [[bold(name)], [f'<FONT POINT-SIZE="10">{more}</FONT>']]
    return f'<<FONT COLOR="{color}">{table(rows, align="CENTER", padding=0)}</FONT>>'


def arrow_text(edge: Edge, visit: Visit | None, look: Stroke, head: str = "") -> str:
    """Write an arrow's label.

    Args:
        edge: the arrow.
        visit: how often the path goes this way.
        look: its line.
        head: what stands above, in italics.

    """
    rows = [[f"<I>{html.escape(head)}</I>"]] if head else []
    width = _WIDER if edge.target == CHOICE else _WIDE if len(edge.lines) > _MUCH else _LABEL_WIDTH
    rows += [["<BR/>".join(_line(line, edge.kind, look, visit, width))] for line in edge.lines]
    rows += [["<BR/>".join(_visit(visit))]] if visit else []
    return f'<<FONT COLOR="{look.text}">{table(rows)}</FONT>>'


def given_text(edge: Edge, visit: Visit | None, look: Stroke) -> str:
    """Write what stands at the choice on the way to a state."""
    words = [html.escape(f"[{', '.join(line.given)}]") for line in edge.lines]
    return _colored("<BR/>".join([*words, *(_visit(visit) if visit else [])]), look.text)


def bar(question: str, cells: Sequence[tuple[str, str]], width: int) -> str:
    """Draw a question above cells that arrows can leave.

    Args:
        question: what stands above.
        cells: the name of each, and what stands in it.
        width: how wide each is.

    """
    line = 'SIDES="{}" BORDER="{}" COLOR="#888888"'
    row = "".join(
        f'<TD PORT="{port}" WIDTH="{width}" {line.format("L", int(place > 0))}>{text}</TD>'
        for place, (port, text) in enumerate(cells)
    )
    head = f'<TD COLSPAN="{len(cells)}" {line.format("B", 1)}>{html.escape(question)}</TD>'
    frame = 'BORDER="1" COLOR="#555555" BGCOLOR="#F7F7F7" CELLBORDER="0" CELLSPACING="0" CELLPADDING="3"'
    return f"<<TABLE {frame}><TR>{head}</TR><TR>{row}</TR></TABLE>>"


def wide(words: str, width: int) -> str:
    """Write a title to the left of a line of some width."""
    shown = bold(words) if words else ""
    return f'<<TABLE BORDER="0" CELLPADDING="0"><TR><TD ALIGN="LEFT" WIDTH="{width}">{shown}</TD></TR></TABLE>>'


def _visit(visit: Visit) -> list[str]:
    return [bold(part) for part in visit.words]


def _line(line: Line, kind: str, look: Stroke, visit: Visit | None, width: int) -> Iterable[str]:
    """Write a line of a label; on an arrow that the path takes, what it does not take is faint."""
    taken = {trigger for told, trigger in visit.taken if told == line} if visit else set(line.triggers)
    triggers = line.triggers if len(line.events) > 1 else [taken]
    for (name, meaning), trigger in zip(line.events, triggers, strict=False):
        words = lines(f"{name} ({meaning})" if meaning else name, width + 2)
        words[0] = f"<B>{name}</B>{words[0].removeprefix(name).replace(' ', _KEPT, 1)}"
        strong = trigger in taken if isinstance(trigger, str) else bool(taken)
        words[0] = f"{_colored(MARKS[kind], look.color if strong else FAINT)}{_KEPT}{words[0]}"
        yield from words if strong else (_colored(text, FAINT) for text in words)
    given = [f"[{', '.join(line.given)}]"] if line.given else []
    told = [*line.when, *given] if len(line.when) > 1 else [" ".join([*line.when, *given])]
    for phrase in told:
        yield from (text if taken else _colored(text, FAINT) for text in lines(phrase, width))


def _colored(text: str, color: str) -> str:
    return f'<FONT COLOR="{color}">{text}</FONT>'


def legend(notes: Iterable[str]) -> str:
    """Write what the lines and marks mean, and notes below."""
    rows = [[table([[cell for kind in KINDS for cell in _entry(kind)]], padding=2)]]
    rows += [["<BR/>".join(lines(note, _NOTE_WIDTH))] for note in notes]
    return f"<{table(rows, padding=2)}>"


def _entry(kind: str) -> tuple[str, str]:
    """Draw a line between two empty cells of one height, so that it stands at the middle of the words."""
    look = _STROKES[kind]
    border = f'SIDES="B" BORDER="{round(look.width)}" STYLE="{look.pattern}" COLOR="{look.color}"'
    empty = 'FIXEDSIZE="TRUE" WIDTH="26" HEIGHT="5"'
    drawn = (
        '<TABLE BORDER="0" CELLBORDER="0" CELLPADDING="0" CELLSPACING="0">'
        f"<TR><TD {empty} {border}></TD></TR><TR><TD {empty}></TD></TR></TABLE>"
    )
    return drawn, f"{_colored(MARKS[kind], look.color)}{_KEPT}{html.escape(KINDS[kind])}  "
