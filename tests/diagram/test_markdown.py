from __future__ import annotations

from licfsm.diagram.markdown import markdown_of
from licfsm.diagram.wording import Wording, of_policies
from licfsm.lifecycle import ROWS
from licfsm.policy import Policy, named


def rows(text: str) -> list[list[str]]:
    """Split all tables into cells."""
    return [[cell.strip() for cell in line[1:-1].split(" | ")] for line in text.splitlines() if line.startswith("| ")]


def test_every_row_of_the_table_is_a_line(wording: Wording, policies: list[Policy]) -> None:
    """The reasons with their rules stand in the table's order."""
    text = markdown_of(wording, policies, "T", "p.svg")

    assert [row.why for row in ROWS] == [line[5] for line in rows(text) if len(line) == 6 and line[5][0].isdigit()]


def test_a_line_tells_the_whole_row(wording: Wording, policies: list[Policy]) -> None:
    """State, event, condition, what is done, target and reason are words."""
    assert [
        "Checking",
        "▲ failure (`retry`)",
        "otherwise",
        "note failure, retry later",
        "**Retrying**",
        "4.1 again after the outcome's interval",
    ] in rows(markdown_of(wording, policies, "T", "p.svg"))


def test_what_is_ignored_on_purpose_is_told(wording: Wording, policies: list[Policy]) -> None:
    """A row without a target says that the state stays, and why."""
    assert ["Off", "■ disable", "", "", "stays", "6.2 already off"] in rows(
        markdown_of(wording, policies, "T", "p.svg")
    )


def test_a_single_policys_outcomes_are_listed() -> None:
    """Each outcome stands with the event it leads to, and its interval."""
    policy = named("veeam-9")
    lines = rows(markdown_of(of_policies([policy]), [policy], "T", "p.svg"))

    assert [
        "connection failed: The license server could not be reached",
        "▲ failure (`retry`)",
        "after 60 minutes",
    ] in lines
    assert ["rental", "2 months"] in lines
    assert ["● grace over", "Grace", "after 30 days (rental: 2 months)"] in lines


def test_every_table_is_even(wording: Wording, policies: list[Policy]) -> None:
    """All lines of a table have as many cells as its head."""
    for block in markdown_of(wording, policies, "T", "p.svg").split("\n\n"):
        assert len({len(line) for line in rows(block)}) <= 1
