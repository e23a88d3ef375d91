from __future__ import annotations

import re

from licfsm.diagram.dot import dot_of
from licfsm.diagram.graph import Graph
from licfsm.diagram.wording import Wording
from licfsm.lifecycle import REGIONS

SEVEN = ("Valid", "Checking", "Expiring", "Retrying", "Grace", "FreeMode", "AutoUpdateDisabled")


def test_every_state_is_a_node_of_the_statechart(graphs: list[Graph]) -> None:
    """The seven names, and the two of our own, are spelled as in the table."""
    nodes = set(re.findall(r"^\s*(\w+)(?: \[|$)", dot_of(graphs, "T"), re.MULTILINE))

    assert {state for states in REGIONS.values() for state in states} <= nodes
    assert set(SEVEN) <= nodes


def test_every_arrow_passes_its_label(graphs: list[Graph]) -> None:
    """An arrow is two edges with the label between, so each label has one arrow."""
    dot = dot_of(graphs, "T")
    for graph in graphs:
        for edge in graph.edges:
            if edge.lines:
                (label,) = re.findall(
                    rf'^\s*("(?:\w+ )?{edge.source} -> (?:\w+ )?{edge.target}") \[label', dot, re.MULTILINE
                )
                assert len(re.findall(rf"^\s*(?:.+ -> {label}|{label} -> .+) \[", dot, re.MULTILINE)) == 2


def test_timed_arrows_differ_by_line_and_not_by_color_alone(graphs: list[Graph]) -> None:
    """Timed arrows are dashed, as no other is."""
    dot = dot_of(graphs, "T")
    styles = dict(re.findall(r'^\s*\S.* -> .*\[color="(#\w{6})".*style=(\w+)', dot, re.MULTILINE))

    assert styles.pop("#0072B2") == "dashed"
    assert "dashed" not in styles.values()


def test_every_word_of_a_label_is_there(graphs: list[Graph], wording: Wording) -> None:
    """Events, times and guards all stand in the picture, however they are wrapped."""
    dot = dot_of(graphs, "T").replace("<BR/>", " ").replace("\u00a0", " ").replace("&#x27;", "'")
    for graph in graphs:
        for edge in graph.edges:
            for line in edge.lines:
                for words in (line.event, *line.when, *line.given):
                    assert words in dot
    assert "[grace period granted]" in dot
    assert wording.when["expiring", "Valid"][0] in dot


def test_texts_of_a_policy_are_escaped(graphs: list[Graph]) -> None:
    """A title cannot break out of its label."""
    assert "&lt;b&gt; &amp; co" in dot_of(graphs, "<b> & co")


def test_the_same_graph_gives_the_same_text(graphs: list[Graph]) -> None:
    """Nothing depends on the order of a set, or on the time."""
    assert dot_of(graphs, "T") == dot_of(graphs, "T")
