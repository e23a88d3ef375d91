from __future__ import annotations

import attrs

from licfsm.diagram.markdown import markdown_of
from licfsm.lifecycle import REGIONS, ROWS
from licfsm.policy import Policy, named


def rows(text: str) -> list[list[str]]:
    """Split all tables into cells."""
    return [[cell.strip() for cell in line[1:-1].split(" | ")] for line in text.splitlines() if line.startswith("| ")]


def figures(text: str) -> dict[str, list[str]]:
    """Give the table of figures: name -> a cell a policy."""
    block = text.split("## The figures of the polic")[1].split("##", maxsplit=1)[0]
    return {name: cells for name, *cells in rows(block)}


def test_every_row_of_the_table_is_a_line(policies: list[Policy]) -> None:
    """The reasons with their rules stand in the table's order."""
    text = markdown_of(policies, "T", "p.svg")

    assert [row.why for row in ROWS] == [line[5] for line in rows(text) if len(line) == 6 and line[5][0].isdigit()]


def test_a_line_tells_the_whole_row(policies: list[Policy]) -> None:
    """State, event, condition, what is done, target and reason are words."""
    assert [
        "Checking",
        "▲ retry (the check failed)",
        "otherwise",
        "note failure, retry later",
        "**Retrying**",
        "4.1 again after the outcome's interval",
    ] in rows(markdown_of(policies, "T", "p.svg"))


def test_what_is_ignored_on_purpose_is_told(policies: list[Policy]) -> None:
    """A row without a target says that the state stays, and why."""
    assert ["Off", "■ disable", "", "", "stays", "6.2 already off"] in rows(markdown_of(policies, "T", "p.svg"))


def test_every_state_has_its_meaning(policies: list[Policy]) -> None:
    """The words are those of the pictures."""
    told = {line[0] for line in rows(markdown_of(policies, "T", "p.svg")) if len(line) == 2}

    assert {f"**{state}**" for states in REGIONS.values() for state in states} <= told


def test_figures_of_policies_stand_beside_each_other() -> None:
    """A column each, and a line a license type and outcome."""
    found = figures(markdown_of([named("veeam-7"), named("veeam-9"), named("veeam-13")], "T", "p.svg"))

    assert ["veeam-7", "veeam-9", "veeam-13"] == found[""]
    assert ["14 days", "2 months", "60 days"] == found["Grace period: rental"]
    assert ["7 days before", "7 days before", "30 days before"] == found["Expiry is announced: subscription"]
    assert ["retry after 60 minutes"] * 3 == found["After connection failed"]
    assert ["give up"] * 3 == found["After contract terminated"]
    assert ["as many days after expiry as the month of expiry has"] * 3 == found["Retry period"]
    assert ["free operations and restoring"] * 3 == found["In FreeMode works"]


def test_a_type_that_a_policy_does_not_know_has_a_dash() -> None:
    """It is not the same as no grace."""
    policy = named("veeam-9")
    grace = {kind: span for kind, span in policy.grace.items() if kind != "nfr"}
    poorer = attrs.evolve(policy, grace=grace, announce={"trial": None})
    found = figures(markdown_of([policy, poorer], "T", "p.svg"))

    assert ["none", "–"] == found["Grace period: nfr"]
    assert ["7 days before", "–"] == found["Expiry is announced: nfr"]
    assert ["7 days before", "never"] == found["Expiry is announced: trial"]


def test_a_single_policys_times_are_told() -> None:
    """Its figures stand in the table of events too."""
    assert ["● grace over", "Grace", "after 30 days of grace (rental: 2 months)"] in rows(
        markdown_of([named("veeam-9")], "T", "p.svg")
    )


def test_the_overviews_are_linked() -> None:
    """From the figures to their picture."""
    text = markdown_of([named("veeam-7"), named("veeam-9")], "T", "p.svg", {"veeam-9": "o.svg"})

    assert "[veeam-9](o.svg)" in text


def test_every_table_is_even(policies: list[Policy]) -> None:
    """All lines of a table have as many cells as its head."""
    for block in markdown_of(policies, "T", "p.svg").split("\n\n"):
        assert len({len(line) for line in rows(block)}) <= 1
