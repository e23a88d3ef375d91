from __future__ import annotations

import re
from collections.abc import Callable

from licfsm.diagram.graph import Graph
from licfsm.diagram.mermaid import mermaid_of
from licfsm.diagram.path import Path as Way
from licfsm.diagram.wording import KINDS, MARKS
from licfsm.lifecycle import REGIONS

LINE = re.compile(
    r"state \w+ \{|\}|--|state \"[^\"]+\" as \w+|state \w+ <<choice>>"
    r"|(?:\w+|\[\*\]) --> \w+(?: : (?:[^:;#]|#58;)+)?"
    r"|classDef \w+ \S+|class \w+ (?:visited|final)"
)
FEBRUARY = "1.5-february-has-28-days-of-retry"


def body(text: str) -> list[str]:
    """Give the lines of the diagram itself."""
    return [line.strip() for line in text.split("stateDiagram-v2\n")[1].splitlines()]


def test_every_line_is_one_that_mermaid_knows(graphs: list[Graph]) -> None:
    """The diagram consists of states, arrows, and one closed block with two regions."""
    lines = body(mermaid_of(graphs, "T: 1"))

    assert [line for line in lines if not LINE.fullmatch(line)] == []
    assert (lines[0], lines[-1], lines.count("--")) == ("state License {", "}", 1)


def test_no_arrow_names_an_unknown_state(graphs: list[Graph]) -> None:
    """Every end of an arrow is declared."""
    lines = body(mermaid_of(graphs, "T"))
    declared = {
        found[1] for line in lines if (found := re.fullmatch(r"state (?:\".+\" as )?(\w+)(?: <<choice>>)?", line))
    }
    ends = {end for line in lines if " --> " in line for end in re.split(r" --> | : ", line)[:2]}

    assert {"[*]"} == ends - declared
    assert {state for states in REGIONS.values() for state in states} <= declared


def test_every_arrow_is_there(graphs: list[Graph]) -> None:
    """Each arrow of a region is one line."""
    for graph in graphs:
        lines = body(mermaid_of([graph], "T"))
        assert len(graph.edges) == sum(" --> " in line for line in lines)


def test_the_title_is_quoted() -> None:
    """A colon in the title does not end it."""
    title = mermaid_of([], 'T: "1"').splitlines()[1]

    assert title.startswith('title: "T: \\"1\\" (')


def test_the_marks_are_told() -> None:
    """Mermaid has no legend, so the title has it."""
    title = mermaid_of([], "T").splitlines()[1]

    assert [] == [mark for kind, mark in MARKS.items() if f"{mark} {KINDS[kind]}" not in title]


def test_a_state_that_an_event_does_not_leave_is_named(graphs: list[Graph]) -> None:
    """Any state but one is not any state."""
    assert 'state "any state but Off" as auto_update_any_Off' in body(mermaid_of(graphs, "T"))


def test_a_path_marks_states_and_counts_arrows(walked: Callable[[str], tuple[list[Graph], Way]]) -> None:
    """Mermaid cannot make arrows faint, so only those that were taken have counts."""
    graphs, path = walked(FEBRUARY)
    lines = body(mermaid_of(graphs, "T", path))

    assert [] == [line for line in lines if not LINE.fullmatch(line)]
    assert {"class Grace visited", "class FreeMode final", "class AutoUpdateDisabled final"} <= set(lines)
    assert "class Valid visited" not in lines
    assert next(line for line in lines if line.startswith("Retrying --> Checking")).endswith(
        "30×, first<br/>2025-02-28 12#58;00"
    )
