"""The machines as a small graph: what a picture shows, whatever draws it.

Read from the ``transitions`` machines that run every license, so a picture cannot show what the engine
does not do. Three things make it readable, and lose no move between states:

* Rows that stay in their state are not drawn; nor are the guards of an event that leads to one state
  in any case: they choose what is done on the way. ``lifecycle.md`` has both.
* What may happen in every state leaves from one pseudo-state, *any state*; if it leads to several
  states, over a choice.
* Events that lead the same way under the same guards share a line, lines between the same two states
  share an arrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from licfsm.diagram.wording import EVENTS, KINDS, SERVER, Wording
from licfsm.lifecycle import INITIAL, REGIONS
from licfsm.machine import MACHINES

__all__ = ["ANY", "CHOICE", "START", "Edge", "Graph", "Line", "graph_of"]

START: Final = "start"
ANY: Final = "any"
CHOICE: Final = "choice"
"""The pseudo-states; a state's name begins with a capital letter."""

_ANSWERS: Final = frozenset(trigger for trigger, (kind, _) in EVENTS.items() if kind == SERVER)


@attrs.frozen
class Line:
    """One line on an arrow: events, and under which guards they lead this way.

    Attributes:
        kind: what brings it, one of `wording.KINDS`.
        triggers: the events' names.
        guards: the guards' names; all must hold.
        event: the events in words; empty behind a choice.
        when: when a timed event comes.
        given: the guards in words; ``else`` for what no guard of another way took.
        sources: the states it really leaves.

    """

    kind: str
    triggers: tuple[str, ...]
    guards: tuple[str, ...]
    event: str
    when: tuple[str, ...]
    given: tuple[str, ...]
    sources: tuple[str, ...]


@attrs.frozen
class Edge:
    """An arrow.

    Attributes:
        source: a state, or a pseudo-state.
        target: a state, or `CHOICE`.
        lines: what stands on it; none on the arrow from `START`.

    """

    source: str
    target: str
    lines: tuple[Line, ...] = ()

    @property
    def kind(self) -> str:
        """What brings it, or the first of `KINDS` if it is several."""
        return next((kind for kind in KINDS if any(line.kind == kind for line in self.lines)), "")


@attrs.frozen
class Graph:
    """A region, ready to be drawn.

    Attributes:
        region: its name in the table.
        states: its states, in the table's order.
        edges: the arrows.

    """

    region: str
    states: tuple[str, ...]
    edges: tuple[Edge, ...]

    @property
    def nodes(self) -> tuple[str, ...]:
        """The pseudo-states that are used, and the states."""
        used = {node for edge in self.edges for node in (edge.source, edge.target)}
        return (*(node for node in (START, ANY, CHOICE) if node in used), *self.states)


@attrs.frozen
class _Way:
    """Where an event leads, and under which guards."""

    trigger: str
    target: str
    guards: tuple[str, ...]
    otherwise: bool


def graph_of(region: str, wording: Wording) -> Graph:
    """Read a region's machine.

    Args:
        region: its name in the table.
        wording: the words of its guards and times.

    """
    edges: dict[tuple[str, str], list[Line]] = {}
    joined = list(_joined(region))
    choosing = tuple(dict.fromkeys(way.trigger for source, way, _ in joined if source == CHOICE))
    if choosing:
        kind = EVENTS[choosing[0]][0]
        edges[ANY, CHOICE] = [Line(kind, choosing, (), _event(choosing), (), (), REGIONS[region])]
    lines: dict[tuple[str, str, str, tuple[str, ...], bool], dict[str, tuple[str, ...]]] = {}
    for source, way, left in joined:
        same = (source, way.target, EVENTS[way.trigger][0], way.guards, way.otherwise)
        lines.setdefault(same, {})[way.trigger] = left
    for (source, target, kind, guards, otherwise), found in lines.items():
        triggers = tuple(found)
        event = "" if source == CHOICE and triggers == choosing else _event(triggers)
        when = tuple(words for trigger in triggers for words in wording.when.get((trigger, source), ()))
        given = ("else",) if otherwise else tuple(wording.guards[guard] for guard in guards)
        left = tuple(dict.fromkeys(state for states in found.values() for state in states))
        edges.setdefault((source, target), []).append(Line(kind, triggers, guards, event, when, given, left))
    order = list(KINDS)
    arrows = [
        Edge(source, target, tuple(sorted(found, key=lambda line: order.index(line.kind))))
        for (source, target), found in edges.items()
    ]
    return Graph(region, REGIONS[region], (Edge(START, INITIAL[region]), *arrows))


def _event(triggers: tuple[str, ...]) -> str:
    if set(triggers) == _ANSWERS:
        return "any answer"
    return " / ".join(EVENTS[trigger][1] for trigger in triggers)


def _joined(region: str) -> Iterator[tuple[str, _Way, tuple[str, ...]]]:
    """Yield where each way leaves in the picture, the way, and the states that it really leaves."""
    ways: dict[_Way, list[str]] = {}
    for source, way in _ways(region):
        ways.setdefault(way, []).append(source)
    everywhere = [way for way, left in ways.items() if len(left) > 1 and {*left, way.target} == set(REGIONS[region])]
    for way, left in ways.items():
        if way in everywhere:
            several = any(other.trigger == way.trigger and other.target != way.target for other in everywhere)
            yield (CHOICE if several else ANY), way, tuple(left)
        else:
            for source in left:
                yield source, way, (source,)


def _ways(region: str) -> Iterator[tuple[str, _Way]]:
    """Yield each source and way of a machine that a picture shows, in the machine's order."""
    for trigger, event in MACHINES[region].events.items():
        for source in REGIONS[region]:
            rows = [
                (row.dest, tuple(_guard(condition.func) for condition in row.conditions))
                for row in event.transitions[source]
            ]
            if len({target for target, _ in rows}) == 1:
                rows = rows[-1:]  # the guards only choose what is done
            for place, (target, guards) in enumerate(rows):
                if target is not None:
                    yield source, _Way(trigger, target, guards, otherwise=not guards and place > 0)


def _guard(predicate: object) -> str:
    return str(getattr(predicate, "__name__", predicate))
