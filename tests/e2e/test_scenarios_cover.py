"""The committed stories leave nothing of the table untold: every row, every guard both ways, every outcome."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from licfsm import lifecycle, machine
from licfsm.loading.scenarios import load_scenario, scenario_files
from licfsm.policy import NOTIFICATIONS, OUTCOMES
from licfsm.rules import EFFECTS, GUARDS
from licfsm.scenario.replay import Check, Notification, replay
from licfsm.step import Step

SCENARIOS = Path(__file__).parents[2] / "scenarios"


class Seen(NamedTuple):
    """What happened in all stories together."""

    rows: set[lifecycle.Row]
    guards: set[tuple[str, bool]]
    outcomes: set[str]
    notices: set[str]


@pytest.fixture(scope="module")
def seen() -> Seen:
    """Live through all stories on machines that note what they do."""
    found = Seen(set(), set(), set(), set())

    def watched(name: str) -> Callable[[Step], bool]:
        def guard(step: Step) -> bool:
            held = GUARDS[name](step)
            found.guards.add((name, held))
            return held

        return guard

    def noted(row: lifecycle.Row) -> Callable[[Step], None]:
        def take(step: Step) -> None:
            found.rows.add(row)
            plain(row)(step)

        return take

    plain = machine._taken
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "GUARDS", {name: watched(name) for name in GUARDS})
        patch.setattr(machine, "_taken", noted)
        built = machine.build()
        triggers = {region: {name: event.trigger for name, event in built[region].events.items()} for region in built}
        patch.setattr(machine, "_TRIGGERS", triggers)
        for path in scenario_files([str(SCENARIOS)]):
            result = replay(load_scenario(path))
            found.outcomes.update(line.outcome for line in result.trace if isinstance(line, Check))
            found.notices.update(line.name for line in result.trace if isinstance(line, Notification))
    return found


@pytest.mark.parametrize("row", lifecycle.ROWS, ids=lambda row: f"{'/'.join(row.triggers)}: {row.why}")
def test_every_row_is_taken(seen: Seen, row: lifecycle.Row) -> None:
    """Each row of the table happens in some story, those that ignore an event too."""
    assert row in seen.rows


@pytest.mark.parametrize("guard", GUARDS)
def test_every_guard_goes_both_ways(seen: Seen, guard: str) -> None:
    """Each guard holds in some story, and fails in some."""
    assert {(guard, True), (guard, False)} <= seen.guards


def test_every_outcome_comes(seen: Seen) -> None:
    """Each outcome of a check comes in some story."""
    assert set(OUTCOMES) == seen.outcomes


def test_every_notice_is_sent(seen: Seen) -> None:
    """Each notice is sent in some story; one of them has two texts."""
    assert set(NOTIFICATIONS) - {"key_installed_while_off"} == seen.notices


def test_every_effect_has_a_row() -> None:
    """Nothing is defined that no row does."""
    assert set(EFFECTS) == {effect for row in lifecycle.ROWS for effect in row.effects}
