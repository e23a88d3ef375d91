"""A graph as Graphviz DOT.

Arrows tell what brings the event by line style as well as by color (Okabe and Ito's, which color-blind
people tell apart), and each line of a label begins with the mark of its kind: in black and white the
styles and marks remain. The ground is white whatever page it stands on.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

import attrs
import graphviz

from licfsm.diagram.graph import ANY, CHOICE, START, Edge, Graph, Line
from licfsm.diagram.wording import CHANGE, KINDS, SERVER, TIME, USER
from licfsm.lifecycle import AUTO_UPDATE, ENTITLEMENT

__all__ = ["dot_of"]


@attrs.frozen
class _Style:
    line: str
    width: float
    color: str
    mark: str


_STYLES: Final[Mapping[str, _Style]] = {
    TIME: _Style("dashed", 1.4, "#0072B2", "●"),
    SERVER: _Style("solid", 2.2, "#D55E00", "▲"),
    USER: _Style("solid", 1.0, "#000000", "■"),
    CHANGE: _Style("dotted", 1.6, "#009E73", "◆"),
}
_FONT: Final = "Helvetica,Arial,sans-serif"
_SIZE: Final = 9
_WIDTH: Final = 30


def dot_of(graphs: Sequence[Graph], title: str) -> str:
    """Write a picture of some regions."""
    picture = graphviz.Digraph(
        graph_attr={
            "bgcolor": "white",
            "fontname": _FONT,
            "fontsize": str(_SIZE + 1),
            "label": _legend(),
            "labelloc": "b",
            "nodesep": "0.2",
            "pad": "0.1",
            "rankdir": "LR",
            "ranksep": "0.2",
        },
        node_attr={
            "color": "black",
            "fillcolor": "#F4F4F4",
            "fontname": _FONT,
            "fontsize": str(_SIZE + 1),
            "height": "0.36",
            "margin": "0.1,0.05",
            "shape": "box",
            "style": "rounded,filled",
        },
        edge_attr={"arrowsize": "0.6", "fontname": _FONT, "fontsize": str(_SIZE)},
    )
    for graph in graphs:
        with picture.subgraph(name=f"cluster_{graph.region}") as cluster:
            cluster.attr(label=title)
            _draw(cluster, graph)
    return picture.source


def _draw(cluster: graphviz.Digraph, graph: Graph) -> None:
    for node in graph.nodes:
        cluster.node(_node(graph, node))
    for node, attributes in _PSEUDO.items():
        if node in graph.nodes:
            cluster.node(_node(graph, node), **attributes)
    for edge in graph.edges:
        style = _STYLES.get(edge.kind)
        if style:
            cluster.edge(
                _node(graph, edge.source),
                _node(graph, edge.target),
                label=_label(edge),
                style=style.line,
                penwidth=str(style.width),
                color=style.color,
            )
        else:
            cluster.edge(_node(graph, edge.source), _node(graph, edge.target))


_PSEUDO: Final[Mapping[str, Mapping[str, str]]] = {
    START: {"label": "", "shape": "circle", "fillcolor": "black", "height": "0.12", "width": "0.12", "fixedsize": "true"},
    ANY: {"label": "any state", "style": "rounded,dashed"},
    CHOICE: {"label": "", "shape": "diamond", "height": "0.2", "width": "0.2", "fixedsize": "true"},
}


def _node(graph: Graph, node: str) -> str:
    return node if node in graph.states else f"{graph.region}_{node}"


def _label(edge: Edge) -> str:
    rows = "".join(f'<TR><TD ALIGN="LEFT" BALIGN="LEFT">{_line(line)}</TD></TR>' for line in edge.lines)
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">{rows}</TABLE>>'


def _line(line: Line) -> str:
    style = _STYLES[line.kind]
    head = f'<FONT COLOR="{style.color}">{style.mark}</FONT> <B>{html.escape(line.event)}</B>' if line.event else ""
    texts = [head] if head else []
    if line.when:
        texts += [html.escape(t) for t in textwrap.wrap(line.when, _WIDTH)]
    if line.given:
        texts += [html.escape(t) for t in textwrap.wrap(f"[{line.given}]", _WIDTH)]
    return "<BR/>".join(texts)


def _legend() -> str:
    cells = "".join(
        f'<TD><TABLE BORDER="0"><TR><TD BORDER="{s.width}" SIDES="B" STYLE="{s.line}" COLOR="{s.color}" WIDTH="30" HEIGHT="1"></TD></TR></TABLE></TD><TD><FONT COLOR="{s.color}">{s.mark}</FONT> {KINDS[k]}</TD>'
        for k, s in _STYLES.items()
    )
    return f'<<TABLE BORDER="0"><TR>{cells}</TR></TABLE>>'
