"""The path of a story through the pictures: which states and arrows its license visited, how often, since when.

Read from the trace of a replay, so the path is what the engine did. Every change of state has its arrow,
since the pictures lose no move between states; one that had none would be a bug, and is told as one.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

import attrs

from licfsm.diagram.graph import ANY, CHOICE, START, Edge, Graph, Line
from licfsm.lifecycle import REGIONS, ROWS
from licfsm.scenario.account import when
from licfsm.scenario.replay import Replay, Transition

__all__ = ["Path", "Visit", "path_of"]

_Key = TypeVar("_Key", bound=Hashable)


@attrs.define
class Visit:
    """How often, and when first.

    Attributes:
        first: the first time, in the license's zone.
        count: how often.
        taken: by which events of which lines of an arrow.

    """

    first: str
    count: int = 0
    taken: set[tuple[Line, str]] = attrs.Factory(set)

    @property
    def words(self) -> tuple[str, ...]:
        """How often, and when first."""
        return (f"{self.count}×, first", self.first) if self.count > 1 else (f"1×, {self.first}",)


@attrs.frozen
class Path:
    """What a story visited.

    Attributes:
        states: state -> its visits; the first state's begin with the story.
        arrows: region, source, target and kind of an arrow -> its visits.
        final: the states in which the story ends.

    """

    states: dict[str, Visit] = attrs.Factory(dict)
    arrows: dict[tuple[str, str, str, str], Visit] = attrs.Factory(dict)
    final: tuple[str, ...] = ()

    def of(self, graph: Graph, edge: Edge) -> Visit | None:
        """Find the visits of an arrow."""
        return self.arrows.get(_key(graph, edge))


def path_of(result: Replay, graphs: Sequence[Graph]) -> Path:
    """Find the way of a replayed story.

    Args:
        result: the replay.
        graphs: both regions.

    Raises:
        LookupError: a change of state has no arrow, which is a bug in the graphs.

    """
    zone = result.story.key.zone
    by_region = {graph.region: graph for graph in graphs}
    now = dict(zip(REGIONS, result.first, strict=True))
    path = Path()
    for region, state in now.items():
        _note(path.states, state, when(result.story.start, zone))
        for edge in _first_edges(by_region[region], state):
            _note(path.arrows, _key(by_region[region], edge), when(result.story.start, zone))
    for line in result.trace:
        if isinstance(line, Transition):
            graph = by_region[line.region]
            at = when(line.at, zone)
            for edge in _edges(graph, line):
                visit = _note(path.arrows, _key(graph, edge), at)
                visit.taken.add((_taken(edge, line), line.trigger))
            _note(path.states, line.target, at)
            now[line.region] = line.target
    return attrs.evolve(path, final=tuple(now.values()))


def _first_edges(graph: Graph, state: str) -> list[Edge]:
    """Find the arrows into the first state."""
    start = [edge for edge in graph.edges if edge.source == START]
    return start + [edge for edge in graph.edges if (edge.source, edge.target) == (CHOICE, state)]


def _edges(graph: Graph, line: Transition) -> list[Edge]:
    """Find the arrow of a change of state; the two of it where it passes the choice."""
    found = [edge for edge in graph.edges if edge.target == line.target and edge.lines_of(line.source, line.trigger)]
    if not found:
        message = f"no arrow shows {line.region} {line.source} -> {line.target} by {line.trigger}"
        raise LookupError(message)
    if found[0].source == CHOICE:
        found[:0] = [edge for edge in graph.edges if (edge.source, edge.target) == (ANY, CHOICE)]
    return found


def _taken(edge: Edge, line: Transition) -> Line:
    """Find the line of an arrow that tells a change of state: the one with the guards of the table's row."""
    lines = edge.lines_of(line.source, line.trigger)
    guards = [
        row.guards
        for row in ROWS
        if (row.region, row.target, row.why) == (line.region, line.target, line.why)
        and line.trigger in row.triggers
        and line.source in row.sources
    ]
    return next((told for told in lines if told.guards in guards), lines[-1])


def _note(visits: dict[_Key, Visit], key: _Key, at: str) -> Visit:
    visit = visits.setdefault(key, Visit(at))
    visit.count += 1
    return visit


def _key(graph: Graph, edge: Edge) -> tuple[str, str, str, str]:
    return graph.region, edge.source, edge.target, edge.kind
