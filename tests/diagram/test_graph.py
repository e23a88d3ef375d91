from __future__ import annotations

import pytest

from licfsm.diagram.graph import ANY, CHOICE, START, Edge, Graph, graph_of
from licfsm.diagram.wording import KINDS, TIME, Wording
from licfsm.lifecycle import INITIAL, REGIONS, ROWS


def drawn(graph: Graph) -> set[tuple[str, str, str]]:
    """List what a picture shows: source, trigger and target."""
    return {
        (source, trigger, edge.target)
        for edge in graph.edges
        for line in edge.lines
        for source in line.sources
        for trigger in line.triggers
        if edge.target != CHOICE
    }


def moves(region: str) -> set[tuple[str, str, str]]:
    """List what the table says: source, trigger and target."""
    return {
        (source, trigger, row.target)
        for row in ROWS
        if row.region == region and row.target
        for source in row.sources
        for trigger in row.triggers
    }


def edge_between(graph: Graph, source: str, target: str) -> Edge:
    """Find an arrow."""
    return next(edge for edge in graph.edges if (edge.source, edge.target) == (source, target))


@pytest.mark.parametrize("region", REGIONS)
def test_every_moving_row_is_drawn_and_nothing_else(region: str, wording: Wording) -> None:
    """The picture shows exactly the moves of the table."""
    assert moves(region) == drawn(graph_of(region, wording))


@pytest.mark.parametrize("region", REGIONS)
def test_every_state_is_a_node(region: str, wording: Wording) -> None:
    """Each state of the table is a node, in the table's order."""
    graph = graph_of(region, wording)

    assert REGIONS[region] == graph.states
    assert set(REGIONS[region]) <= set(graph.nodes)


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_begins_in_its_first_state(region: str, wording: Wording) -> None:
    """The arrow without words leads to the initial state."""
    graph = graph_of(region, wording)

    assert [(START, INITIAL[region])] == [(edge.source, edge.target) for edge in graph.edges if not edge.lines]


def test_arrows_between_the_same_states_are_one(graphs: list[Graph]) -> None:
    """No two arrows join the same two states in the same direction."""
    for graph in graphs:
        ends = [(edge.source, edge.target) for edge in graph.edges]
        assert len(ends) == len(set(ends))


def test_what_may_happen_everywhere_leaves_from_any_state(graphs: list[Graph]) -> None:
    """Disabling leaves from one pseudo-state in place of four states."""
    (line,) = edge_between(graphs[1], ANY, "Off").lines

    assert line.triggers == ("disable",)
    assert line.sources == ("Scheduled", "Checking", "Retrying", "AutoUpdateDisabled")


def test_what_leads_everywhere_from_everywhere_passes_a_choice(graphs: list[Graph]) -> None:
    """A new key leads from any state over a choice to each state of the entitlement."""
    graph = graphs[0]

    assert edge_between(graph, ANY, CHOICE).lines[0].triggers == ("new_key", "policy_changed", "clock_corrected")
    assert {"Valid", "Expiring", "Grace", "FreeMode"} == {e.target for e in graph.edges if e.source == CHOICE}


def test_the_row_without_guard_says_else(graphs: list[Graph]) -> None:
    """Where a guarded row stands before it, the unguarded one is marked."""
    assert edge_between(graphs[0], "Expiring", "FreeMode").lines[0].given == ("else",)
    assert edge_between(graphs[0], "Expiring", "Grace").lines[0].given == ("grace period granted",)


def test_answers_that_lead_the_same_way_share_a_line(graphs: list[Graph]) -> None:
    """Every answer to a check begun in Off leads back there."""
    (line,) = edge_between(graphs[1], "Checking", "Off").lines

    assert (line.event, line.given) == ("any answer", ("begun in Off",))


def test_an_arrow_with_a_timed_event_is_drawn_as_timed(graphs: list[Graph]) -> None:
    """The clock's events decide how an arrow looks."""
    timed = {(edge.source, edge.target) for graph in graphs for edge in graph.edges if edge.kind == TIME}

    assert {
        ("Valid", "Expiring"),
        ("Expiring", "Grace"),
        ("Expiring", "FreeMode"),
        ("Grace", "FreeMode"),
        ("Scheduled", "Checking"),
        ("Retrying", "Checking"),
    } == timed
    assert all(edge.kind in KINDS for graph in graphs for edge in graph.edges if edge.lines)
