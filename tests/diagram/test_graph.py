from __future__ import annotations

import pytest

from licfsm.diagram.graph import ANY, CHOICE, START, Edge, Graph, graph_of
from licfsm.diagram.wording import EVENTS, KINDS, SYMBOLIC, TIME
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


def edge_between(graph: Graph, source: str, target: str, kind: str = "") -> Edge:
    """Find an arrow, of one kind if several join the two."""
    return next(
        edge
        for edge in graph.edges
        if (edge.source, edge.target) == (source, target) and (not kind or edge.kind == kind)
    )


@pytest.mark.parametrize("region", REGIONS)
def test_every_moving_row_is_drawn_and_nothing_else(region: str) -> None:
    """The picture shows exactly the moves of the table."""
    assert moves(region) == drawn(graph_of(region, SYMBOLIC))


@pytest.mark.parametrize("region", REGIONS)
def test_every_state_is_there_with_its_meaning(region: str) -> None:
    """Each state of the table is one of the graph, in the table's order."""
    graph = graph_of(region, SYMBOLIC)

    assert REGIONS[region] == tuple(graph.states)
    assert all(graph.states.values())


def test_automatic_update_begins_in_its_first_state(graphs: list[Graph]) -> None:
    """The arrow without words leads to the initial state."""
    assert [INITIAL["auto_update"]] == [edge.target for edge in graphs[1].edges if edge.source == START]


def test_entitlement_begins_where_the_dates_say(graphs: list[Graph]) -> None:
    """Not every license begins Valid (2.5)."""
    assert [CHOICE] == [edge.target for edge in graphs[0].edges if edge.source == START]


def test_arrows_of_one_kind_between_the_same_states_are_one(graphs: list[Graph]) -> None:
    """No two arrows of one kind join the same two states in the same direction."""
    for graph in graphs:
        ends = [(edge.source, edge.target, edge.kind, edge.spared) for edge in graph.edges]
        assert len(ends) == len(set(ends))


def test_an_arrow_has_one_kind(graphs: list[Graph]) -> None:
    """What brings its events is what its line says."""
    for graph in graphs:
        for edge in graph.edges:
            assert {edge.kind} >= {EVENTS[trigger][0] for line in edge.lines for trigger in line.triggers}
            assert edge.kind in KINDS or edge.source == START


def test_what_may_happen_everywhere_leaves_from_any_state(graphs: list[Graph]) -> None:
    """Disabling leaves from one pseudo-state in place of four states."""
    edge = edge_between(graphs[1], ANY, "Off")
    (line,) = edge.lines

    assert ("any state", ("disable",)) == (edge.whence, line.triggers)
    assert ("Scheduled", "Checking", "Retrying", "AutoUpdateDisabled") == line.sources


def test_what_may_happen_in_all_states_but_one_says_so(graphs: list[Graph]) -> None:
    """A clock that went back asks nothing in Off."""
    edge = edge_between(graphs[1], ANY, "Checking", "change")
    (line,) = edge.lines

    assert ("any state but Off", ("clock_went_back",)) == (edge.whence, line.triggers)


def test_what_leads_everywhere_from_everywhere_passes_a_choice(graphs: list[Graph]) -> None:
    """A new key leads from any state over a choice to each state of the entitlement, in their order."""
    graph = graphs[0]

    assert ("new_key", "policy_changed", "clock_corrected") == edge_between(graph, ANY, CHOICE).lines[0].triggers
    assert ["Valid", "Expiring", "Grace", "FreeMode"] == [e.target for e in graph.edges if e.source == CHOICE]


def test_the_row_without_guard_says_else(graphs: list[Graph]) -> None:
    """Where a guarded row stands before it, the unguarded one is marked."""
    assert ("else",) == edge_between(graphs[0], "Expiring", "FreeMode").lines[0].given
    assert ("has grace",) == edge_between(graphs[0], "Expiring", "Grace").lines[0].given


def test_answers_that_lead_the_same_way_share_a_line(graphs: list[Graph]) -> None:
    """Every answer to a check begun in Off leads back there."""
    (line,) = edge_between(graphs[1], "Checking", "Off").lines

    assert ((("any answer", ""),), ("begun in Off",)) == (line.events, line.given)


def test_what_an_earlier_row_took_is_not_any_answer(graphs: list[Graph]) -> None:
    """A renewal that resumes leads elsewhere, though its check was begun in AutoUpdateDisabled too."""
    line = edge_between(graphs[1], "Checking", "AutoUpdateDisabled").lines[0]

    assert ((("any other answer", ""),), ("begun in AutoUpdateDisabled",)) == (line.events, line.given)


def test_an_arrow_with_a_timed_event_is_drawn_as_timed(graphs: list[Graph]) -> None:
    """The clock's events have arrows of their own."""
    timed = {(edge.source, edge.target) for graph in graphs for edge in graph.edges if edge.kind == TIME}

    assert {
        ("Valid", "Expiring"),
        ("Expiring", "Grace"),
        ("Expiring", "FreeMode"),
        ("Grace", "FreeMode"),
        ("Scheduled", "Checking"),
        ("Retrying", "Checking"),
    } == timed
