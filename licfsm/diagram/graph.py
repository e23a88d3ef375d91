"""The machines as a small graph: what a picture shows, whatever draws it.

Read from the ``transitions`` machines that run every license, so a picture cannot show what the engine
does not do. Four things make it readable, and lose no move between states:

* Rows that stay in their state are not drawn; nor are the guards of an event that leads to one state
  in any case: they choose what is done on the way. ``lifecycle.md`` has both.
* What may happen in every state, or in all but one, is one arrow from a pseudo-state, *any state*; if it
  leads to several states, over a choice. Where there is a choice, a license begins there too: its dates
  say in which state (rules.md 2.5).
* Events of one kind that lead the same way under the same guards share a line, lines of one kind between
  the same two states share an arrow.
* Arrows of one region stand in the order of the table's states.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from licfsm.diagram.wording import EVENTS, SERVER, Wording, name_of
from licfsm.lifecycle import INITIAL, REGIONS
from licfsm.machine import MACHINES

__all__ = ["ANY", "CHOICE", "START", "Edge", "Graph", "Line", "graph_of"]

START: Final = "start"
ANY: Final = "any"
CHOICE: Final = "choice"
"""The pseudo-states; a state's name begins with a capital letter."""

_ANSWERS: Final = frozenset(trigger for trigger, (kind, _) in EVENTS.items() if kind == SERVER)
_EVERYWHERE: Final = 3
"""From how many states an event must leave to be drawn as leaving any state."""


@attrs.frozen
class Line:
    """One line on an arrow: events, and under which guards they lead this way.

    Attributes:
        triggers: the events' names in the table.
        guards: the guards' names; all must hold.
        events: the events in words, each with what it means; none behind a choice.
        when: when a timed event comes.
        given: the guards in words; ``else`` for what no guard of another way took.
        sources: the states it really leaves.

    """

    triggers: tuple[str, ...]
    guards: tuple[str, ...]
    events: tuple[tuple[str, str], ...]
    when: tuple[str, ...]
    given: tuple[str, ...]
    sources: tuple[str, ...]


@attrs.frozen
class Edge:
    """An arrow.

    Attributes:
        source: a state, or a pseudo-state.
        target: a state, or `CHOICE`.
        kind: what brings it, one of `wording.KINDS`; empty for the arrow from `START`.
        lines: what stands on it.
        spared: the states that an arrow from `ANY` does not leave, but for its target.

    """

    source: str
    target: str
    kind: str = ""
    lines: tuple[Line, ...] = ()
    spared: tuple[str, ...] = ()

    @property
    def whence(self) -> str:
        """The state it leaves, in words."""
        return self.source if self.source != ANY else " but ".join(("any state", *self.spared))

    def lines_of(self, source: str, trigger: str) -> list[Line]:
        """Find the lines that an event may take from a state."""
        return [line for line in self.lines if trigger in line.triggers and source in line.sources]


@attrs.frozen
class Graph:
    """A region, ready to be drawn.

    Attributes:
        region: its name in the table.
        states: its states, in the table's order, with what they mean.
        edges: the arrows.

    """

    region: str
    states: dict[str, str]
    edges: tuple[Edge, ...]

    @property
    def chooses(self) -> bool:
        """Whether there is a choice."""
        return any(edge.target == CHOICE for edge in self.edges)


@attrs.frozen
class _Way:
    """Where an event leads, and under which guards.

    Attributes:
        trigger: the event.
        target: where it leads.
        guards: the guards' names.
        otherwise: whether it is what remains when no guard of another way holds.
        rest: whether another way took some of the cases for which its own guards hold.

    """

    trigger: str
    target: str
    guards: tuple[str, ...]
    otherwise: bool
    rest: bool


def graph_of(region: str, wording: Wording) -> Graph:
    """Read a region's machine.

    Args:
        region: its name in the table.
        wording: the words of its states, guards and times.

    """
    edges: dict[Edge, list[Line]] = {}
    joined = list(_joined(region))
    choosing = tuple(dict.fromkeys(way.trigger for edge, way, _ in joined if edge.source == CHOICE))
    if choosing:
        edge = Edge(ANY, CHOICE, EVENTS[choosing[0]][0])
        edges[edge] = [Line(choosing, (), _events(choosing, rest=False), (), (), tuple(REGIONS[region]))]
    for edge, ways, left in _together(joined):
        first, triggers = ways[0], tuple(way.trigger for way in ways)
        events = () if edge.source == CHOICE else _events(triggers, rest=first.rest)
        when = tuple(words for trigger in triggers for words in wording.when.get((trigger, edge.source), ()))
        given = ("else",) if first.otherwise else tuple(wording.guards[guard] for guard in first.guards)
        edges.setdefault(edge, []).append(Line(triggers, first.guards, events, when, given, left))
    states = REGIONS[region]
    arrows = sorted(edges, key=lambda edge: states.index(edge.target) if edge.target in states else -1)
    return Graph(
        region,
        {state: wording.states[state] for state in states},
        (
            Edge(START, CHOICE if choosing else INITIAL[region]),
            *(attrs.evolve(edge, lines=tuple(edges[edge])) for edge in arrows),
        ),
    )


def _events(triggers: tuple[str, ...], *, rest: bool) -> tuple[tuple[str, str], ...]:
    if set(triggers) == _ANSWERS:
        return (("any other answer" if rest else "any answer", ""),)
    return tuple((name_of(trigger), EVENTS[trigger][1]) for trigger in triggers)


def _together(
    joined: list[tuple[Edge, _Way, tuple[str, ...]]],
) -> Iterator[tuple[Edge, list[_Way], tuple[str, ...]]]:
    """Put together the ways that share a line."""
    lines: dict[tuple[Edge, tuple[str, ...], bool], list[tuple[_Way, tuple[str, ...]]]] = {}
    for edge, way, left in joined:
        lines.setdefault((edge, way.guards, way.otherwise), []).append((way, left))
    for (edge, _, _), found in lines.items():
        yield (
            edge,
            [attrs.evolve(way, rest=any(other.rest for other, _ in found)) for way, _ in found],
            tuple(dict.fromkeys(state for _, left in found for state in left)),
        )


def _joined(region: str) -> Iterator[tuple[Edge, _Way, tuple[str, ...]]]:
    """Yield each way with the arrow that shows it, still without lines, and the states that it really leaves."""
    ways: dict[_Way, list[str]] = {}
    for source, way in _ways(region):
        ways.setdefault(way, []).append(source)
    states = REGIONS[region]
    spared = {way: tuple(state for state in states if state not in {*left, way.target}) for way, left in ways.items()}
    everywhere = [way for way, left in ways.items() if len(left) >= _EVERYWHERE and len(spared[way]) <= 1]
    for way, left in ways.items():
        kind = EVENTS[way.trigger][0]
        if way in everywhere:
            several = any(other.trigger == way.trigger and other.target != way.target for other in everywhere)
            yield Edge(CHOICE if several else ANY, way.target, kind, spared=spared[way]), way, tuple(left)
        else:
            for source in left:
                yield Edge(source, way.target, kind), way, (source,)


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
                    rest = any(set(guards) < set(earlier) and to != target for to, earlier in rows[:place])
                    yield source, _Way(trigger, target, guards, otherwise=not guards and place > 0, rest=rest)


def _guard(predicate: object) -> str:
    return str(getattr(predicate, "__name__", predicate))
