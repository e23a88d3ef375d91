"""A graph as a Mermaid ``stateDiagram-v2``, for pages that draw Mermaid themselves.

Mermaid lays out labels on its own and knows one kind of arrow only; what brings an event is told by the
same marks as in the pictures of Graphviz, and where a story went by counts on the arrows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final

from licfsm.diagram.graph import ANY, CHOICE, START, Edge, Graph, Line
from licfsm.diagram.path import Path
from licfsm.diagram.wording import KINDS, MARKS

__all__ = ["mermaid_of"]

_BREAK: Final = "<br/>"
_CLASSES: Final = (
    "classDef visited fill:#dddddd,color:#000000,stroke:#000000,stroke-width:2px",
    "classDef final fill:#dddddd,color:#000000,stroke:#000000,stroke-width:5px",
)


def mermaid_of(graphs: Sequence[Graph], title: str, path: Path | None = None) -> str:
    """Write a diagram of some regions; several stand side by side in one state.

    Args:
        graphs: the regions.
        title: what stands above.
        path: the way of a story; its states are marked, and its arrows counted.

    """
    marks = ", ".join(f"{MARKS[kind]} {KINDS[kind]}" for kind in KINDS)
    lines = ["---", f"title: {json.dumps(f'{title} ({marks})', ensure_ascii=False)}", "---", "stateDiagram-v2"]
    if len(graphs) == 1:
        lines += ["    " + line for line in _drawn(graphs[0], path)]
    else:
        lines.append("    state License {")
        for place, graph in enumerate(graphs):
            lines += ["        --"] if place else []
            lines += ["        " + line for line in _drawn(graph, path)]
        lines.append("    }")
    if path:
        lines += ["    " + line for line in _CLASSES]
        lines += [f"    class {state} {'final' if state in path.final else 'visited'}" for state in path.states]
    return "\n".join(lines) + "\n"


def _drawn(graph: Graph, path: Path | None) -> Iterator[str]:
    for source, words in {_source(graph, edge): edge.whence for edge in graph.edges if edge.source == ANY}.items():
        yield f'state "{words}" as {source}'
    if graph.chooses:
        yield f"state {graph.region}_{CHOICE} <<choice>>"
    for state, meaning in graph.states.items():
        visit = path.states.get(state) if path else None
        words = _BREAK.join([state, meaning, *(visit.words if visit else ())])
        yield f'state "{words}" as {state}'
    for edge in graph.edges:
        yield _arrow(graph, edge, path)


def _source(graph: Graph, edge: Edge) -> str:
    if edge.source == START:
        return "[*]"
    return "_".join((_name(graph, edge.source), *edge.spared))


def _name(graph: Graph, node: str) -> str:
    return node if node in graph.states else f"{graph.region}_{node}"


def _arrow(graph: Graph, edge: Edge, path: Path | None) -> str:
    arrow = f"{_source(graph, edge)} --> {_name(graph, edge.target)}"
    words = [_text(line, edge.kind) for line in edge.lines]
    if path and (visit := path.of(graph, edge)):
        words += visit.words
    return f"{arrow} : {_plain(_BREAK.join(words))}" if words else arrow


def _text(line: Line, kind: str) -> str:
    events = [f"{MARKS[kind]} {name}{f' ({meaning})' if meaning else ''}" for name, meaning in line.events]
    given = [f"[{', '.join(line.given)}]"] if line.given else []
    return _BREAK.join([*events, *line.when, *given])


def _plain(text: str) -> str:
    """Write what would end a label, colons and semicolons, by its number."""
    return text.replace(";", ",").replace(":", "#58;")
