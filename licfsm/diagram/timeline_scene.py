"""What a timeline is made of: boxes, lines, marks and words, placed but not drawn; and its legend.

Colors are those of Okabe and Ito, which people see apart whatever their eyes; without color, names and
shapes tell the same.
"""

from __future__ import annotations

import unicodedata
from typing import Final, Literal

import attrs

__all__ = [
    "BLACK",
    "FILLS",
    "INKS",
    "SHAPES",
    "WIDTH",
    "Box",
    "Line",
    "Mark",
    "Scene",
    "Word",
    "clipped",
    "width_of",
]

WIDTH: Final = 680
"""How wide time is, in pixels; headings come to its left."""

BLACK: Final = "#1a1a1a"
GRAY: Final = "#5f5f5f"
_ORANGE: Final = "#e69f00"
_SKY: Final = "#56b4e9"
_GREEN: Final = "#009e73"
_YELLOW: Final = "#f0e442"
_BLUE: Final = "#0072b2"
_RED: Final = "#d55e00"
_PURPLE: Final = "#cc79a7"

FILLS: Final = {
    "Valid": "#3cc9a0",  # the green, lighter, so that black is read on it
    "Expiring": _YELLOW,
    "Grace": _ORANGE,
    "FreeMode": _PURPLE,
    "Off": "#ffffff",
    "Scheduled": _SKY,
    "Checking": _BLUE,
    "Retrying": "#f08a4b",  # the vermilion, lighter
    "AutoUpdateDisabled": GRAY,
    "good check": _BLUE,
    "failed check": _RED,
    "mail": "#ffffff",
    "report": _SKY,
    "host": _PURPLE,
    "server": _SKY,
    "world": _YELLOW,
    "key written to": _GREEN,
    "key not written to": _RED,
    "not as expected": "#c00000",
    "many: good check": "#8cc4e8",
    "many: failed check": "#f2a77c",
    "many: mail": "#d9d9d9",
    "many: report": _SKY,
    "asleep": "rgba(70, 70, 70, 0.22)",
    "row": "#f7f7f7",
    "deadline": BLACK,
    "replaced deadline": "#9a9a9a",
}
INKS: Final = {"dim": GRAY, "in Checking": "#ffffff", "in AutoUpdateDisabled": "#ffffff"}
"""The colors of words that are not black."""

SHAPES: Final = {
    "mail": "M-1,-0.75H1V0.75H-1Z M-1,-0.75L0,0.15L1,-0.75",  # an envelope
    "report": "M-0.7,-0.95H0.7V0.95H-0.7Z M-0.35,-0.4H0.35 M-0.35,0H0.35 M-0.35,0.4H0.35",  # a written page
    "host": "triangle-right",
    "server": "square",
    "world": "diamond",
    "key written to": "circle",
    "key not written to": "cross",
    "not as expected": "M-1,-0.6L-0.6,-1L0,-0.4L0.6,-1L1,-0.6L0.4,0L1,0.6L0.6,1L0,0.4L-0.6,1L-1,0.6L-0.4,0Z",
}
_LEGEND: Final = {
    "good check": "good check",
    "failed check": "failed check",
    "many: good check": "many good checks: the taller, the more",
    "many: failed check": "many failed checks: the taller, the more",
    "mail": "mail",
    "many: mail": "many mails",
    "report": "report",
    "many: report": "many reports",
    "host": "host",
    "server": "server",
    "world": "world",
    "key written to": "key written to a target",
    "key not written to": "key not written to a target",
    "asleep": "host asleep",
    "deadline": "deadline",
    "replaced deadline": "deadline of a replaced key or policy",
    "not as expected": "not as expected",
}
_LEGEND_ROW: Final = 18


@attrs.define
class Box:
    """A filled rectangle: from ``x`` to ``right`` in time, from ``top`` to ``bottom`` in pixels."""

    x: float
    right: float
    top: float
    bottom: float
    style: str
    when: str = ""
    what: str = ""


@attrs.define
class Line:
    """An upright line."""

    x: float
    top: float
    bottom: float
    style: str
    when: str = ""
    what: str = ""


@attrs.define
class Mark:
    """A small shape around a point."""

    x: float
    y: float
    style: str
    when: str = ""
    what: str = ""


@attrs.define
class Word:
    """Words at a point; ``style`` is a key of `INKS` or anything else for black."""

    x: float
    y: float
    text: str
    align: Literal["left", "center", "right"] = "left"
    style: str = ""


@attrs.define
class Scene:
    """All that is drawn, on a time axis from ``start`` to ``end``: milliseconds of the wall clock.

    ``backs`` lie behind all else, deadlines behind boxes. ``legend`` is a scene whose time is pixels.
    """

    title: str
    about: list[str]
    start: float
    end: float
    height: float = 0
    backs: list[Box] = attrs.Factory(list)
    deadlines: list[Line] = attrs.Factory(list)
    boxes: list[Box] = attrs.Factory(list)
    ticks: list[Line] = attrs.Factory(list)
    marks: list[Mark] = attrs.Factory(list)
    words: list[Word] = attrs.Factory(list)
    headings: list[Word] = attrs.Factory(list)

    def legend(self) -> Scene:
        """Lay out a legend of what occurs: states first, then all else."""
        legend = Scene("", [], 0, WIDTH)
        states = list(dict.fromkeys(box.style for box in self.boxes if box.style not in _LEGEND))
        things: list[Box | Line | Mark] = [*self.deadlines, *self.boxes, *self.ticks, *self.marks]
        used = {thing.style for thing in things}
        x, y = 0.0, _LEGEND_ROW / 2
        for style in [*states, *(style for style in _LEGEND if style in used)]:
            text = _LEGEND.get(style, style)
            if x + 18 + width_of(text) > WIDTH:
                x, y = 0.0, y + _LEGEND_ROW
            if style in SHAPES:
                legend.marks.append(Mark(x + 6, y, style))
            elif style in {"good check", "failed check"}:
                legend.ticks.append(Line(x + 6, y - 7, y + 7, style))
            elif style.endswith("deadline"):
                legend.deadlines.append(Line(x + 6, y - 7, y + 7, style))
            else:
                legend.boxes.append(Box(x, x + 12, y - 6, y + 6, style))
            legend.words.append(Word(x + 17, y, text))
            x += 34 + width_of(text)
        legend.height = y + _LEGEND_ROW / 2
        return legend


def clipped(text: str, longest: int) -> str:
    """Cut a text that is too long."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def width_of(text: str) -> float:
    """Estimate how many pixels wide a text is drawn; rather too many than too few."""
    return sum(11.5 if unicodedata.east_asian_width(char) in "WF" else 6.1 for char in text)
