from __future__ import annotations

import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from licfsm.diagram.artifacts import of_lifecycle
from licfsm.diagram.dot import dot_of
from licfsm.diagram.graph import CHOICE, START, Graph
from licfsm.diagram.path import Path as Way
from licfsm.diagram.render import draw
from licfsm.lifecycle import REGIONS
from licfsm.policy import Policy

SEVEN = ("Valid", "Checking", "Expiring", "Retrying", "Grace", "FreeMode", "AutoUpdateDisabled")
PAGE = 700
PIXELS = 96 / 72
FEBRUARY = "1.5-february-has-28-days-of-retry"

needs_graphviz = pytest.mark.skipif(draw("digraph {}", "svg") is None, reason="nothing here can draw")
DRAWERS = [
    pytest.param("program", marks=pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")),
    "package",
]


@pytest.fixture(params=DRAWERS)
def drawer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Draw with one Graphviz, then with the other; they are years apart."""
    if request.param == "program":
        monkeypatch.setitem(sys.modules, "pygraphviz", None)
    else:
        pytest.importorskip("pygraphviz")
        monkeypatch.setenv("PATH", "")
    return str(request.param)


def plain(dot: str) -> str:
    """Undo what breaks texts into lines, and the markup of fonts."""
    text = re.sub(r"</?(?:B|I|FONT[^>]*)>", "", dot.replace("<BR/>", " "))
    return text.replace("\u00a0", " ").replace("&#x27;", "'")


def nodes(dot: str) -> set[str]:
    """List the nodes that have an entry of their own."""
    return set(re.findall(r"^\s*(\w+)(?: \[|$)", dot, re.MULTILINE))


def places(svg: bytes) -> dict[str, tuple[float, float]]:
    """Say where the name of each state stands."""
    texts = ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")  # noqa: S314 - drawn here
    names = {state for states in REGIONS.values() for state in states}
    return {text.text: (float(text.get("x", "")), float(text.get("y", ""))) for text in texts if text.text in names}


def test_every_state_is_a_node_of_the_statechart(graphs: list[Graph]) -> None:
    """The seven names, and the two of our own, are spelled as in the table."""
    found = nodes(dot_of(graphs, "T"))

    assert {state for states in REGIONS.values() for state in states} <= found
    assert set(SEVEN) <= found


def test_every_state_says_what_it_means(graphs: list[Graph]) -> None:
    """A reader needs no other page."""
    dot = plain(dot_of(graphs, "T"))

    assert [] == [meaning for graph in graphs for meaning in graph.states.values() if meaning not in dot]


def test_every_arrow_passes_its_label(graphs: list[Graph]) -> None:
    """An arrow is two edges with the label between, so each label has one arrow; from any state it is one."""
    dot = dot_of(graphs, "T")
    for graph in graphs:
        for edge in graph.edges:
            if edge.source in graph.states:
                label = f'"{edge.source} -> {edge.target} {edge.kind}"'
                assert 2 == len(re.findall(rf"^\s*(?:\w+ -> {label}|{label} -> \w+) \[color", dot, re.MULTILINE))


def test_kinds_differ_by_line_and_not_by_color_alone(graphs: list[Graph]) -> None:
    """Black and white is enough to tell them apart."""
    dot = dot_of(graphs, "T")
    found = set(re.findall(r'color="(#\w{6})".*penwidth=(\S+) style=(\w+)', dot))
    looks = {color: (style, width) for color, width, style in found if color != "#CCCCCC"}

    assert {"#0072B2", "#D55E00", "#000000", "#009E73"} <= set(looks)
    assert len(set(looks.values())) == len(looks)


def test_an_arrow_has_the_mark_of_its_own_line(graphs: list[Graph]) -> None:
    """No mark stands on an arrow of another color."""
    for line in dot_of(graphs, "T").splitlines():
        colors = set(re.findall(r'<FONT COLOR="(#\w{6})">[●▲■◆]', line))
        assert len(colors) <= 1 or "label=<<TABLE" in line  # the legend has them all


def test_every_word_of_a_label_is_there(graphs: list[Graph]) -> None:
    """Events, times and guards all stand in the picture, however they are wrapped."""
    dot = plain(dot_of(graphs, "T"))
    for graph in graphs:
        for edge in graph.edges:
            for line in edge.lines:
                for words in (*(word for event in line.events for word in event), *line.when, *line.given):
                    assert words in dot
    assert "[has grace]" in dot


def test_the_choice_has_its_ways_in_the_order_of_life(graphs: list[Graph]) -> None:
    """A reader goes from left to right."""
    dot = dot_of(graphs, "T")

    assert ["Valid", "Expiring", "Grace", "FreeMode"] == re.findall(r'PORT="(\w+)"', dot)
    assert ["before Expiring", "before expiry", "before grace end", "else"] == re.findall(
        r"<TD PORT.*?\[(.*?)\]", dot.replace("\n", "")
    )


def test_a_license_begins_at_the_choice(graphs: list[Graph]) -> None:
    """Not every license begins Valid."""
    assert f'"entitlement {START}" -> "entitlement {CHOICE}"' in dot_of(graphs, "T")


def test_texts_are_escaped(graphs: list[Graph]) -> None:
    """A title cannot break out of its label."""
    assert "&lt;b&gt; &amp; co" in plain(dot_of(graphs, "<b> & co", ["<i>"], ["<u>"]))


@needs_graphviz
def test_an_odd_title_can_be_drawn(graphs: list[Graph]) -> None:
    """Whatever a story is called, its picture is sound XML; a long title is broken."""
    svg = draw(dot_of(graphs, 'a "b" \\N \x07 ' + "word " * 60), "svg")

    assert svg
    assert set(SEVEN) <= set(places(svg))
    assert float(re.search(rb'width="(\d+)pt"', svg)[1]) * PIXELS < PAGE * 1.05


def test_the_same_graph_gives_the_same_text(graphs: list[Graph]) -> None:
    """Nothing depends on the order of a set, or on the time."""
    assert dot_of(graphs, "T") == dot_of(graphs, "T")


@pytest.mark.usefixtures("drawer")
def test_every_picture_fits_a_page(policies: list[Policy]) -> None:
    """At page width no text is smaller than it was written."""
    for name, picture in of_lifecycle(policies).pictures.items():
        svg = draw(picture.dot, "svg")
        assert svg
        assert (name, True) == (name, float(re.search(rb'width="(\d+)pt"', svg)[1]) * PIXELS <= PAGE)


@pytest.mark.usefixtures("drawer")
def test_states_stand_alike_in_every_version_of_graphviz(graphs: list[Graph]) -> None:
    """Entitlement above automatic update, and in each the same order from left to right."""
    found = places(draw(dot_of(graphs, "T"), "svg") or b"")
    left_to_right = sorted(REGIONS["entitlement"], key=lambda state: found[state][0])

    assert ["Valid", "Expiring", "Grace", "FreeMode"] == left_to_right
    assert max(found[state][1] for state in REGIONS["entitlement"]) < min(
        found[state][1] for state in REGIONS["auto_update"]
    )
    assert found["AutoUpdateDisabled"][0] < found["Off"][0]
    assert found["Scheduled"][0] < found["Retrying"][0]
    assert found["Off"][1] < found["Checking"][1] < found["Retrying"][1]


@pytest.mark.usefixtures("drawer")
def test_the_ground_is_white(graphs: list[Graph]) -> None:
    """The picture can be read on a dark page."""
    assert b'<polygon fill="white" stroke="none"' in (draw(dot_of(graphs, "T"), "svg") or b"").replace(
        b'stroke="transparent"', b'stroke="none"'
    )


@needs_graphviz
@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_has_nothing_to_complain_of(policies: list[Policy]) -> None:
    """Neither syntax nor an edge that it cannot draw."""
    for picture in of_lifecycle(policies).pictures.values():
        done = subprocess.run(["dot", "-Tsvg"], input=picture.dot, capture_output=True, text=True, check=True)
        assert [] == [line for line in done.stderr.splitlines() if line and "ontconfig" not in line]


def test_the_path_is_strong_and_the_rest_faint(walked: Callable[[str], tuple[list[Graph], Way]]) -> None:
    """Visited arrows are wider than in a statechart, the others thin and grey."""
    graphs, path = walked(FEBRUARY)
    dot = dot_of(graphs, "T", path=path)

    assert re.search(r'Grace -> "Grace -> FreeMode time" \[color="#0072B2".*penwidth=2.8', dot)
    assert re.search(r'Valid -> "Valid -> Expiring time" \[color="#C8C8C8".*penwidth=0.8', dot)


def test_the_path_tells_counts_and_first_dates(walked: Callable[[str], tuple[list[Graph], Way]]) -> None:
    """In states, on arrows, and at the choice."""
    graphs, path = walked(FEBRUARY)
    dot = plain(dot_of(graphs, "T", path=path))

    assert "the server is being asked 31×, first 2025-02-27 12:00" in dot
    assert "30×, first 2025-02-28 12:00" in dot
    assert "[before expiry] 1×, 2025-02-27 12:00" in dot


def test_final_states_have_a_double_border(walked: Callable[[str], tuple[list[Graph], Way]]) -> None:
    """One in each region, and no other."""
    graphs, path = walked(FEBRUARY)

    assert {"FreeMode", "AutoUpdateDisabled"} == set(
        re.findall(r"^\s*(\w+) \[.*peripheries=2", dot_of(graphs, "T", path=path), re.MULTILINE)
    )


def test_on_a_taken_arrow_what_was_not_taken_is_faint(walked: Callable[[str], tuple[list[Graph], Way]]) -> None:
    """The deadline disabled it, not the contract."""
    graphs, path = walked(FEBRUARY)
    (label,) = re.findall(
        r'^\s*"Checking -> AutoUpdateDisabled server" \[label.*', dot_of(graphs, "T", path=path), re.MULTILINE
    )

    assert '<FONT COLOR="#D55E00">▲</FONT>\u00a0<B>retry</B>' in label
    assert '<FONT COLOR="#8C8C8C">▲</FONT>\u00a0<B>give up</B>' in label
    assert '<FONT COLOR="#8C8C8C">▲</FONT>\u00a0<B>any other answer</B>' in label
