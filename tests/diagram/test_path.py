from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from licfsm.diagram.graph import ANY, CHOICE, START, Edge, Graph, graph_of
from licfsm.diagram.path import Path as Way
from licfsm.diagram.path import Visit, path_of
from licfsm.diagram.wording import wording_of
from licfsm.lifecycle import REGIONS
from licfsm.loading.scenarios import load_scenario, scenario_files
from licfsm.scenario.replay import Replay, Transition, replay

FOLDER = Path(__file__).parents[2] / "scenarios"
FILES = scenario_files([str(FOLDER)])
FEBRUARY = "1.5-february-has-28-days-of-retry"


def visit(walked: tuple[list[Graph], Way], source: str, target: str, kind: str = "") -> Visit | None:
    """Find the visits of an arrow."""
    graphs, path = walked
    (found,) = (
        (graph, edge)
        for graph in graphs
        for edge in graph.edges
        if (edge.source, edge.target) == (source, target) and kind in {"", edge.kind}
    )
    return path.of(*found)


def taken(visited: Visit) -> set[tuple[str, tuple[str, ...]]]:
    """List the events by which an arrow was taken, each with the guards of its line."""
    return {(trigger, line.guards) for line, trigger in visited.taken}


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_every_change_of_state_of_a_story_has_its_arrow(file: Path) -> None:
    """As many visits of states as changes and beginnings, and as many of arrows that lead into states."""
    result = replay(load_scenario(file))
    graphs = [graph_of(region, wording_of(result.story.policy)) for region in REGIONS]
    path = path_of(result, graphs)
    moved = sum(isinstance(line, Transition) for line in result.trace)
    into_states = [count for key, count in path.arrows.items() if key[2] != CHOICE]

    assert moved + 2 == sum(visited.count for visited in path.states.values())
    assert moved + 2 == sum(visited.count for visited in into_states)


def test_visits_are_counted_and_dated(walked: Callable[[str], tuple[list[Graph], Way]]) -> None:
    """The first time is told, and how often."""
    seen = visit(walked(FEBRUARY), "Retrying", "Checking")

    assert seen
    assert (30, "2025-02-28 12:00") == (seen.count, seen.first)
    assert ("30×, first", "2025-02-28 12:00") == seen.words


def test_a_single_visit_is_told_on_one_line(walked: Callable[[str], tuple[list[Graph], Way]]) -> None:
    """Once is no run."""
    seen = visit(walked(FEBRUARY), "Grace", "FreeMode")

    assert seen
    assert ("1×, 2025-03-31 00:00",) == seen.words


def test_dates_are_in_the_licenses_zone(walked: Callable[[str], tuple[list[Graph], Way]]) -> None:
    """A reader sees the times that the story is written in."""
    _, path = walked("3.3-a-day-is-not-24-hours")

    assert "2025-10-25 08:00" == path.states["Off"].first  # 06:00 in UTC


def test_what_was_not_visited_is_told_apart(walked: Callable[[str], tuple[list[Graph], Way]]) -> None:
    """Neither the state nor its arrows have visits."""
    graphs, path = walked(FEBRUARY)

    assert {"Valid", "Scheduled"} == {state for graph in graphs for state in graph.states if state not in path.states}
    assert visit((graphs, path), "Valid", "Expiring") is None


def test_the_story_ends_in_one_state_of_each_region(walked: Callable[[str], tuple[list[Graph], Way]]) -> None:
    """The final states are marked."""
    assert ("FreeMode", "AutoUpdateDisabled") == walked(FEBRUARY)[1].final


def test_a_story_begins_where_its_dates_say(walked: Callable[[str], tuple[list[Graph], Way]]) -> None:
    """The way from the start passes the choice into the first state."""
    walk = walked(FEBRUARY)

    assert visit(walk, START, CHOICE)
    assert visit(walk, CHOICE, "Expiring")
    assert visit(walk, CHOICE, "Valid") is None


def test_a_new_key_passes_the_choice(walked: Callable[[str], tuple[list[Graph], Way]]) -> None:
    """What leaves any state is found there, and behind the choice."""
    walk = walked("1.6-two-months-from-31-december")
    seen = visit(walk, ANY, CHOICE)

    assert seen
    assert {("new_key", ())} == taken(seen)
    assert visit(walk, CHOICE, "Valid")


def test_an_event_of_nearly_every_state_is_found(walked: Callable[[str], tuple[list[Graph], Way]]) -> None:
    """A clock that went back asks from any state but Off."""
    seen = visit(walked("7.5-a-clock-set-back-improves-nothing"), ANY, "Checking", "change")

    assert seen
    assert {"clock_went_back"} == {trigger for trigger, _ in taken(seen)}


def test_of_several_lines_the_one_that_was_taken_is_known(walked: Callable[[str], tuple[list[Graph], Way]]) -> None:
    """A key that resumes what the deadline disabled is no ordinary renewal."""
    seen = visit(walked("6.3-asking-now-finds-the-key-after-the-deadline"), "Checking", "Scheduled")

    assert seen
    assert ("renewed", ("begun_in_disabled", "disabled_by_deadline", "expires_later")) in taken(seen)
    assert ("renewed", ()) not in taken(seen)


def test_a_change_without_arrow_is_a_bug(lived: Callable[[str], Replay]) -> None:
    """It is told, not left out of the picture."""
    result = lived(FEBRUARY)
    graphs = [graph_of(region, wording_of(result.story.policy)) for region in REGIONS]
    poorer = [
        attrs.evolve(graph, edges=tuple(edge for edge in graph.edges if not _is(edge, "Checking", "Retrying")))
        for graph in graphs
    ]

    with pytest.raises(LookupError, match="no arrow shows auto_update Checking -> Retrying by retry"):
        path_of(result, poorer)


def _is(edge: Edge, source: str, target: str) -> bool:
    return (edge.source, edge.target) == (source, target)
