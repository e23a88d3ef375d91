"""Graphs as Graphviz DOT: one picture of a region, or of both side by side.

What stands on an arrow is a node of its own in the middle of the arrow: so Graphviz keeps labels apart, and
nobody has to guess which arrow a label belongs to. Arrows tell what brings the event by their line as
well as by color (Okabe and Ito's, which color-blind people tell apart), and each line of a label begins
with the mark of its kind, so that black and white is enough. The ground is white whatever page it is on.
"""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

import attrs
import graphviz

from licfsm.diagram.graph import ANY, CHOICE, START, Edge, Graph, Line
from licfsm.diagram.wording import CHANGE, KINDS, MARKS, REGION_TITLES, SERVER, TIME, USER
from licfsm.lifecycle import AUTO_UPDATE_DISABLED, CHECKING, OFF, RETRYING, SCHEDULED

__all__ = ["dot_of"]


@attrs.frozen
class _Style:
    line: str
    width: float
    color: str


_STYLES: Final[Mapping[str, _Style]] = {
    TIME: _Style("dashed", 1.4, "#0072B2"),
    SERVER: _Style("solid", 2.2, "#D55E00"),
    USER: _Style("solid", 0.9, "#000000"),
    CHANGE: _Style("dotted", 1.6, "#009E73"),
}
_PSEUDO: Final[Mapping[str, Mapping[str, str]]] = {
    START: {"label": "", "shape": "circle", "fillcolor": "black", "width": "0.12", "height": "0.12"},
    ANY: {"label": "any state", "style": "rounded,dashed"},
    CHOICE: {"label": "", "shape": "diamond", "style": "filled", "width": "0.2", "height": "0.2"},
}
_LABEL: Final[Mapping[str, str]] = {
    "color": "#CCCCCC",
    "fillcolor": "white",
    "fontsize": "10",
    "height": "0",
    "margin": "0.03,0.01",
    "penwidth": "0.5",
    "style": "filled",
    "width": "0",
}
_DEPTH: Final[Mapping[str, int]] = {OFF: 0, AUTO_UPDATE_DISABLED: 0, CHECKING: 1, SCHEDULED: 2, RETRYING: 3}
"""How far down a state stands; states that are not named here stand in the order of the table."""

_FONT: Final = "Helvetica,Arial,sans-serif"
_WIDTH: Final = 24
_WIDTH_CHOSEN: Final = 14
"""How long a label's lines may be, and behind a choice."""

_MORE: Final = "[condition]: where several hold, the order of lifecycle.md decides"


def dot_of(graphs: Sequence[Graph], title: str) -> str:
    """Write a picture of some regions, side by side.

    Args:
        graphs: the regions, from left to right.
        title: what stands above.

    """
    picture = graphviz.Digraph(
        title,
        graph_attr={
            "bgcolor": "white",
            "fontname": _FONT,
            "fontsize": "10",
            "label": _legend(graphs),
            "labelloc": "b",
            "nodesep": "0.2" if len(graphs) == 1 else "0.1",
            "pad": "0.05",
            "ranksep": "0.25",
        },
        node_attr={
            "fillcolor": "#EEEEEE",
            "fontname": _FONT,
            "fontsize": "11",
            "height": "0.36",
            "margin": "0.1,0.05",
            "shape": "box",
            "style": "rounded,filled",
        },
        edge_attr={"arrowsize": "0.7"},
    )
    with picture.subgraph(name="cluster") as frame:
        frame.attr(label=f"<<B>{html.escape(title)}</B>>", fontsize="12", labelloc="t", color="#888888", margin="9")
        if len(graphs) == 1:
            _draw(frame, graphs[0])
            graphs = ()
        for graph in reversed(graphs):  # Graphviz 2 puts the last one to the left, newer ones the first
            with frame.subgraph(name=f"cluster_{graph.region}") as part:
                part.attr(label=REGION_TITLES[graph.region], fontsize="11", style="dashed", labelloc="t", margin="12")
                _draw(part, graph)
    return str(picture.source)


def _draw(part: graphviz.Digraph, graph: Graph) -> None:
    for node in graph.nodes:
        part.node(_name(graph, node), **_PSEUDO.get(node, {"label": node}))
    heights: dict[int, list[str]] = {}
    for state in graph.states:
        heights.setdefault(_depth(graph, state), []).append(state)
    for level in heights.values():
        if len(level) > 1:
            with part.subgraph() as rank:
                rank.attr(rank="same")
                for state in level:
                    rank.node(state)
    for edge in graph.edges:
        _arrow(part, graph, edge)


def _arrow(part: graphviz.Digraph, graph: Graph, edge: Edge) -> None:
    """Draw an arrow through its label."""
    source, target = _name(graph, edge.source), _name(graph, edge.target)
    if not edge.lines:
        part.edge(source, target)
        return
    style = _STYLES[edge.kind]
    looks = {"color": style.color, "style": style.line, "penwidth": str(style.width)}
    label = f"{source} -> {target}"
    chosen = edge.source == CHOICE
    part.node(label, _label(edge, _WIDTH_CHOSEN if chosen else _WIDTH), **_LABEL)
    down = _depth(graph, edge.target) - _depth(graph, edge.source)
    if down < 0:  # declared downward all the same, or the label would not be between
        part.edge(target, label, dir="back", **looks)
        part.edge(label, source, dir="none", **looks)
        return
    if edge.kind == TIME and down == 1:  # the way through life is straight
        looks["weight"] = "4"
    part.edge(source, label, dir="none", **looks | ({"weight": "5"} if chosen else {}))  # beside the choice
    part.edge(label, target, **looks)


def _name(graph: Graph, node: str) -> str:
    """Name a node: states by their own name, pseudo-states so that each region has its own."""
    return node if node in graph.states else f"{graph.region} {node}"


def _depth(graph: Graph, node: str) -> int:
    return _DEPTH.get(node, graph.states.index(node)) if node in graph.states else -1


def _label(edge: Edge, width: int) -> str:
    rows = "".join(f'<TR><TD ALIGN="LEFT" BALIGN="LEFT">{_text(line, width)}</TD></TR>' for line in edge.lines)
    return f'<<TABLE BORDER="0" CELLSPACING="0" CELLPADDING="1">{rows}</TABLE>>'


def _text(line: Line, width: int) -> str:
    event = f"{_mark(line.kind)} <B>{html.escape(line.event)}</B>" if line.event else ""
    given = [f"{words}," for words in line.given[:-1]] + [f"{words}]" for words in line.given[-1:]]
    given[:1] = [f"[{words}" for words in given[:1]]
    lines = [html.escape(text) for words in (*line.when, *given) for text in _wrapped(words, width)]
    return "<BR/>".join([event, *lines] if event else lines)


def _wrapped(words: str, width: int) -> list[str]:
    """Break words into short lines, but neither a figure from its unit nor a short bracket."""
    kept = re.sub(r"\d |\([^()]{,24}\)", lambda found: found[0].replace(" ", "\u00a0"), words)
    return textwrap.wrap(kept, width)


def _mark(kind: str) -> str:
    return f'<FONT COLOR="{_STYLES[kind].color}">{MARKS[kind]}</FONT>'


def _legend(graphs: Sequence[Graph]) -> str:
    used = {line.kind for graph in graphs for edge in graph.edges for line in edge.lines}
    entries = [_entry(kind) for kind in KINDS if kind in used]
    wide = len(entries) if len(graphs) > 1 else 2
    rows = ["".join(entries[start : start + wide]) for start in range(0, len(entries), wide)]
    marks = f'<TABLE BORDER="0">{"".join(f"<TR>{row}</TR>" for row in rows)}</TABLE>'
    return f'<<TABLE BORDER="0"><TR><TD>{marks}</TD></TR><TR><TD>{html.escape(_MORE)}</TD></TR></TABLE>>'


def _entry(kind: str) -> str:
    style = _STYLES[kind]
    looks = f'SIDES="B" BORDER="{round(style.width)}" STYLE="{style.line}" COLOR="{style.color}" WIDTH="28"'
    cell = f'<TD {looks}><FONT POINT-SIZE="4"> </FONT></TD>'
    line = f'<TABLE BORDER="0" CELLPADDING="0" CELLSPACING="0"><TR>{cell}</TR></TABLE>'
    return f'<TD>{line}</TD><TD>{_mark(kind)}</TD><TD ALIGN="LEFT">{html.escape(KINDS[kind])}</TD>'
