from __future__ import annotations

import re

from licfsm.diagram.graph import Graph
from licfsm.diagram.mermaid import mermaid_of
from licfsm.lifecycle import REGIONS

LINE = re.compile(
    r"state \w+ \{|\}|--|state \w+|state \"any state\" as \w+|state \w+ <<choice>>"
    r"|(?:\w+|\[\*\]) --> \w+(?: : [^:;]+)?"
)


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
    assert mermaid_of([], "T: 1").split("%%")[0] == '---\ntitle: "T: 1"\n---\n'
