"""Graphs as Graphviz DOT: one picture of a region, or of both, one above the other.

What stands on an arrow is a node of its own in the middle of the arrow: so Graphviz keeps labels apart, and
nobody has to guess which arrow a label belongs to. Whatever the version of Graphviz, a region looks alike,
because its states stand in rows and in an order that is fixed here. The picture paints its own white ground,
so that it can be read on a dark page too.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Final

import attrs
import graphviz

from licfsm.diagram import looks
from licfsm.diagram.graph import ANY, CHOICE, START, Edge, Graph
from licfsm.diagram.path import Path, Visit
from licfsm.diagram.wording import REGION_TITLES
from licfsm.lifecycle import AUTO_UPDATE_DISABLED, CHECKING, OFF, RETRYING, SCHEDULED

__all__ = ["dot_of"]

_PLACES: Final[Mapping[str, tuple[int, int]]] = {
    AUTO_UPDATE_DISABLED: (0, 0),
    OFF: (0, 1),
    CHECKING: (1, 0),
    SCHEDULED: (2, 0),
    RETRYING: (2, 1),
}
"""Row and place of a state; states that are not named here stand in one row, in the order of the table."""

_ABOUT_WIDTH: Final = 110
_LAST: Final = 99
_REGION_WIDTH: Final = 474
"""In points: a page's width, less margins."""
_CELL_WIDTH: Final = 112
_PSEUDO: Final[Mapping[str, str]] = {"color": "#555555", "margin": "0.06,0.02", "style": "rounded,dashed,filled"}
_SMALL: Final[Mapping[str, str]] = {"height": "0", "margin": "0.06,0.03", "width": "0"}
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


def dot_of(
    graphs: Sequence[Graph], title: str, about: Sequence[str] = (), notes: Sequence[str] = (), path: Path | None = None
) -> str:
    """Write a picture of some regions, one above the other.

    Args:
        graphs: the regions.
        title: what stands above.
        about: lines below the title.
        notes: lines below the legend.
        path: the way of a story, which is drawn strong, and the rest faint.

    """
    picture = graphviz.Digraph(
        "lifecycle",
        graph_attr={
            "bgcolor": "white",
            "fontname": looks.FONT,
            "fontsize": "10",
            "label": looks.legend(notes),
            "labelloc": "b",
            "nodesep": "0.11",
            "pad": "0.05",
            "ranksep": "0.18",
        },
        node_attr={
            "fillcolor": "#EEEEEE",
            "fontname": looks.FONT,
            "fontsize": "11",
            "height": "0.36",
            "margin": "0.08,0.05",
            "shape": "box",
            "style": "rounded,filled",
        },
        edge_attr={"arrowsize": "0.7"},
    )
    head = [[f'<FONT POINT-SIZE="13">{looks.title(title)}</FONT>']]
    head += [["<BR/>".join(looks.lines(line, _ABOUT_WIDTH))] for line in about]
    with picture.subgraph(name="cluster") as frame:
        frame.attr(label=f"<{looks.table(head, align='CENTER')}>", labelloc="t", peripheries="0", margin="2")
        for graph in graphs:
            with frame.subgraph(name=f"cluster_{graph.region}") as part:
                _Region(part, graph, path).draw(titled=len(graphs) > 1)
        for above, below in itertools.pairwise(graphs):
            frame.edge(*_between(above, below), style="invis", weight="0")
    return str(picture.source)


def _between(above: Graph, below: Graph) -> tuple[str, str]:
    """Name the lowest node of a region, and one at the head of the next."""
    places = list(above.states)
    foot = max(
        (edge for edge in above.edges if edge.source in places),
        key=lambda edge: abs(places.index(edge.source) - places.index(edge.target)),
    )
    return _label(above, foot), _name(below, START)


@attrs.frozen
class _Region:
    """A region under the pen."""

    part: graphviz.Digraph
    graph: Graph
    path: Path | None

    def draw(self, *, titled: bool) -> None:
        """Draw the region in a box of its own."""
        title = looks.wide(REGION_TITLES[self.graph.region] if titled else "", _REGION_WIDTH)
        self.part.attr(label=title, fontsize="11", style="dashed", color="#888888", peripheries="1", margin="6")
        for state in self.graph.states:
            self.state(state)
        if self.graph.chooses:
            self.choice()
        for edge in self.graph.edges:
            self.arrow(edge)
        self.ranks()

    def ranks(self) -> None:
        """Fix the height and the order of what stands between and beside the states.

        Graphviz would find places too, but each of its versions others.
        """
        ranks: dict[float, list[tuple[tuple[int, int], str]]] = {}
        for state in self.graph.states:
            row, place = self.place(state)
            ranks.setdefault(row, []).append(((place, 0), state))
        for edge in self.graph.edges:
            if edge.source != CHOICE and (berth := self.berth(edge)):
                node = self.name(START) if edge.source == START else self.label(edge)
                ranks.setdefault(berth[0], []).append((berth[1], node))
        for _, found in sorted(ranks.items()):
            with self.part.subgraph() as rank:
                rank.attr(rank="same")
                nodes = [node for _, node in sorted(found)]
                for node in nodes:
                    rank.node(node)
                for left, right in itertools.pairwise(nodes):
                    rank.edge(left, right, style="invis")

    def berth(self, edge: Edge) -> tuple[float, tuple[int, int]] | None:
        """Say how far down the label of an arrow stands, and where there; None for one that hangs below a row."""
        row, column = self.place(edge.target)
        if edge.source in {START, ANY}:
            return row - 1, (_LAST, int(edge.source == START))
        from_row, from_column = self.place(edge.source)
        if from_row == row:
            return None
        column += from_column
        if abs(from_row - row) > 1:
            return (from_row + row) / 2, (-1, 0)
        inward = sum(self.place(state)[0] == row for state in self.graph.states) == 1  # outside those that go out
        return (from_row + row) / 2, (column, int(inward == bool(column)))

    def place(self, node: str) -> tuple[int, int]:
        """Say in which row a node stands, and where there."""
        if node == CHOICE:
            return -1, 0
        return _PLACES.get(node, (0, list(self.graph.states).index(node)))

    def state(self, state: str) -> None:
        """Draw a state."""
        visit = self.path.states.get(state) if self.path else None
        color, marks = looks.TEXT, {}
        if visit and self.path:
            marks = {"penwidth": "2", "fillcolor": "#DDDDDD"}
            marks |= {"peripheries": "2"} if state in self.path.final else {}
        elif self.path:
            color, marks = looks.FAINT, {"color": looks.FAINT, "fillcolor": "white"}
        text = looks.state_text(state, self.graph.states[state], visit, color)
        self.part.node(state, label=text, **marks)

    def choice(self) -> None:
        """Draw the choice as a bar, with a cell above each state."""
        ways = sorted(
            (edge for edge in self.graph.edges if edge.source == CHOICE), key=lambda edge: self.place(edge.target)
        )
        cells = [(edge.target, looks.given_text(edge, self.visit(edge), self.look(edge))) for edge in ways]
        bar = looks.bar("which state do its dates say?", cells, _CELL_WIDTH)
        self.part.node(self.name(CHOICE), label=bar, shape="plain", fontsize="10", style="")

    def arrow(self, edge: Edge) -> None:
        """Draw an arrow, through its label if it has one."""
        look = self.look(edge)
        strokes = look.attributes()
        source, target, label = self.name(edge.source), self.name(edge.target), self.label(edge)
        if edge.source == START:
            self.part.node(source, label="start", fontsize="10", fontcolor="white", fillcolor=look.text, **_SMALL)
            self.part.edge(source, target, **strokes)
        elif edge.source == CHOICE:  # the words stand in the bar
            self.part.edge(f"{source}:{edge.target}:s", target, weight="20", minlen="2", **strokes)
        elif edge.source == ANY:  # the label is the pseudo-state
            text = looks.arrow_text(edge, self.visit(edge), look, edge.whence)
            self.part.node(label, label=text, **{**_LABEL, **_PSEUDO})
            self.part.edge(label, target, **strokes)
        else:
            self.part.node(label, label=looks.arrow_text(edge, self.visit(edge), look), **_LABEL)
            self.through(edge, strokes)

    def through(self, edge: Edge, strokes: Mapping[str, str]) -> None:
        """Draw an arrow through its label; declared downward, or the label would not be between."""
        (row, place), (to_row, to_place) = self.place(edge.source), self.place(edge.target)
        label = self.label(edge)
        if row == to_row:  # the label hangs below
            deep = str(min(2, abs(to_place - place)))
            self.part.edge(edge.source, label, dir="none", minlen=deep, **strokes)
            self.part.edge(edge.target, label, dir="back", minlen=deep, **strokes)
        elif row > to_row:
            self.part.edge(edge.target, label, dir="back", **strokes)
            self.part.edge(label, edge.source, dir="none", **strokes)
        else:
            self.part.edge(edge.source, label, dir="none", **strokes)
            self.part.edge(label, edge.target, **strokes)

    def visit(self, edge: Edge) -> Visit | None:
        """Find how often the path goes this way."""
        return self.path.of(self.graph, edge) if self.path else None

    def look(self, edge: Edge) -> looks.Stroke:
        """Choose the line of an arrow."""
        return looks.stroke(edge.kind, visited=self.visit(edge) is not None if self.path else None)

    def name(self, node: str) -> str:
        """Name a node: states by their own name, pseudo-states so that each region has its own."""
        return _name(self.graph, node)

    def label(self, edge: Edge) -> str:
        """Name the node in the middle of an arrow."""
        return _label(self.graph, edge)


def _name(graph: Graph, node: str) -> str:
    return node if node in graph.states else f"{graph.region} {node}"


def _label(graph: Graph, edge: Edge) -> str:
    return f"{_name(graph, edge.source)} -> {_name(graph, edge.target)} {edge.kind}"
