"""A graph as a Mermaid ``stateDiagram-v2``, for pages that draw Mermaid themselves.

Mermaid lays out labels on its own and knows one kind of arrow only; what brings an event is told by the
same marks as in the pictures of Graphviz.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from licfsm.diagram.graph import ANY, CHOICE, START, Edge, Graph, Line
from licfsm.diagram.wording import KINDS, MARKS

__all__ = ["mermaid_of"]

_BREAK: Final = "<br/>"


def mermaid_of(graphs: Sequence[Graph], title: str) -> str:
    """Write a diagram of some regions; several stand side by side in one state.

    Args:
        graphs: the regions.
        title: what stands above.

    """
    lines = [
        "---",
        f"title: {json.dumps(title)}",
        "---",
        f"%% {', '.join(f'{MARKS[kind]} {KINDS[kind]}' for kind in KINDS)}",
    ]
    lines.append("stateDiagram-v2")
    if len(graphs) == 1:
        lines += _drawn(graphs[0], "    ")
    else:
        lines.append("    state License {")
        for place, graph in enumerate(graphs):
            lines += ["        --"] if place else []
            lines += _drawn(graph, "        ")
        lines.append("    }")
    return "\n".join(lines) + "\n"


def _drawn(graph: Graph, indent: str) -> list[str]:
    lines = [f'state "any state" as {_name(graph, ANY)}'] if ANY in graph.nodes else []
    lines += [f"state {_name(graph, CHOICE)} <<choice>>"] if CHOICE in graph.nodes else []
    lines += [f"state {state}" for state in graph.states]
    lines += [_arrow(graph, edge) for edge in graph.edges]
    return [indent + line for line in lines]


def _name(graph: Graph, node: str) -> str:
    if node == START:
        return "[*]"
    return node if node in graph.states else f"{graph.region}_{node}"


def _arrow(graph: Graph, edge: Edge) -> str:
    arrow = f"{_name(graph, edge.source)} --> {_name(graph, edge.target)}"
    return f"{arrow} : {_BREAK.join(_text(line) for line in edge.lines)}" if edge.lines else arrow


def _text(line: Line) -> str:
    """Write a line of a label; colons and semicolons would end it."""
    event = f"{MARKS[line.kind]} {line.event}" if line.event else ""
    given = f"[{', '.join(line.given)}]" if line.given else ""
    text = _BREAK.join(part for part in (event, *line.when, given) if part)
    return text.replace(":", " –").replace(";", ",")
