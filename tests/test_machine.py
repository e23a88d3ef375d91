import re

import attrs
import pytest

from licfsm import InvalidTable, lifecycle
from licfsm.lifecycle import Row
from licfsm.machine import MACHINES, build, contradictions

REGIONS = {"door": ("Open", "Shut")}
INITIAL = {"door": "Open"}

OPEN = Row("door", ("push",), ("Shut",), "Open", why="1 a door opens")
SHUT = Row("door", ("push",), ("Open",), "Shut", why="1 and shuts")
LATE = Row("door", ("push",), ("Open",), None, ("last_chance",), why="2 not when it is late")


def wrong(*rows: Row, regions: dict[str, tuple[str, ...]] = REGIONS, **comes_in: tuple[str, ...]) -> list[str]:
    """Find what is wrong with a small table."""
    return contradictions(rows, regions, INITIAL, comes_in)


class TestContradictions:
    def test_a_sound_table_has_none(self) -> None:
        """Guarded rows first, an unguarded one last, every case told."""
        assert [] == wrong(LATE, SHUT, OPEN)

    @pytest.mark.parametrize(
        ("change", "state"), [({"sources": ("Open", "Ajar")}, "Ajar"), ({"target": "Bolted"}, "Bolted")]
    )
    def test_an_unknown_state_is_found(self, change: dict[str, object], state: str) -> None:
        """A source or a target that the region does not have is named."""
        row = attrs.evolve(SHUT, **change)
        assert f"door push -> {row.target}: unknown state {state}" in wrong(row, OPEN)

    def test_a_row_of_an_unknown_region_is_found(self) -> None:
        """A region that does not exist has no states, so all of the row's are unknown."""
        row = attrs.evolve(SHUT, region="window")
        assert ["window push -> Shut: unknown state Open", "window push -> Shut: unknown state Shut"] == wrong(
            OPEN, SHUT, row
        )

    def test_a_guard_without_definition_is_found(self) -> None:
        """A guard that `licfsm.rules` does not define is named."""
        row = attrs.evolve(LATE, guards=("is_locked",))
        assert ["door push -> stay: guard is_locked has no definition"] == wrong(row, SHUT, OPEN)

    def test_an_effect_without_definition_is_found(self) -> None:
        """An effect that `licfsm.rules` does not define is named."""
        row = attrs.evolve(SHUT, effects=("creak",))
        assert ["door push -> Shut: effect creak has no definition"] == wrong(row, OPEN)

    @pytest.mark.parametrize("why", ["", "a door shuts"])
    def test_a_why_without_number_is_found(self, why: str) -> None:
        """Every row cites its rule."""
        assert ["door push -> Shut: 'why' must begin with the rule's number"] == wrong(
            attrs.evolve(SHUT, why=why), OPEN
        )

    def test_two_unguarded_rows_are_found(self) -> None:
        """The second could never be taken."""
        assert "door Open push: more than one unguarded row" in wrong(SHUT, attrs.evolve(SHUT, target=None), OPEN)

    def test_a_row_behind_the_unguarded_one_is_found(self) -> None:
        """The unguarded row stands last."""
        assert "door Open push: the row behind the unguarded one is unreachable" in wrong(SHUT, LATE, OPEN)

    def test_a_duplicate_row_is_found(self) -> None:
        """Of two rows with the same guards, the second could never be taken."""
        assert ["door Open push: a later row is unreachable, its guards include those of an earlier one"] == wrong(
            LATE, attrs.evolve(LATE, target="Shut"), SHUT, OPEN
        )

    def test_a_row_that_asks_for_more_than_an_earlier_one_is_found(self) -> None:
        """Where the earlier row's guards hold whenever its own do, a row could never be taken."""
        stricter = attrs.evolve(LATE, guards=("has_grace", "last_chance"))
        assert ["door Open push: a later row is unreachable, its guards include those of an earlier one"] == wrong(
            LATE, stricter, SHUT, OPEN
        )

    def test_a_row_that_asks_for_less_is_sound(self) -> None:
        """The stricter row may stand before."""
        assert [] == wrong(attrs.evolve(LATE, guards=("has_grace", "last_chance")), LATE, SHUT, OPEN)

    def test_guards_without_an_otherwise_are_found(self) -> None:
        """Some row must say what happens where no guard holds."""
        guarded = attrs.evolve(SHUT, guards=("has_grace",))
        assert ["door Open push: no unguarded row says what happens otherwise"] == wrong(guarded, OPEN)

    def test_a_trigger_that_is_not_told_is_found(self) -> None:
        """Each state handles or ignores each trigger of its region, on purpose."""
        pull = Row("door", ("pull",), ("Shut",), "Open", why="3 one side only")
        assert ["door Open: neither handles nor ignores pull"] == wrong(SHUT, OPEN, pull)

    def test_a_state_that_no_row_leads_to_is_found(self) -> None:
        """A state that cannot be entered from the first one is no part of the table."""
        gone = Row("door", ("push",), ("Gone",), None, why="4 off its hinges")
        assert ["door Gone: no row leads here"] == wrong(SHUT, OPEN, gone, regions={"door": ("Open", "Shut", "Gone")})

    def test_a_state_that_only_itself_leads_to_is_found(self) -> None:
        """A row from the state itself does not make it reachable."""
        gone = Row("door", ("push",), ("Gone",), "Gone", why="4 off its hinges")
        assert ["door Gone: no row leads here"] == wrong(SHUT, OPEN, gone, regions={"door": ("Open", "Shut", "Gone")})

    def test_a_trigger_that_comes_in_some_states_only(self) -> None:
        """Where it never comes, nothing is to be said of it."""
        assert [] == wrong(SHUT, OPEN, Row("door", ("knock",), ("Shut",), None, why="6 in vain"), knock=("Shut",))

    def test_a_row_for_what_never_comes_is_found(self) -> None:
        """A row that could never be taken is no part of the table."""
        knock = Row("door", ("knock",), ("Open", "Shut"), None, why="6 in vain")
        assert ["door Open: handles knock, which never comes there"] == wrong(SHUT, OPEN, knock, knock=("Shut",))

    def test_the_same_trigger_in_another_region_is_no_case_of_it(self) -> None:
        """Regions stand side by side: a trigger of one is none of the other."""
        lamp = Row("lamp", ("switch",), ("Lit",), None, why="5 a lamp burns on")
        assert [] == contradictions(
            (SHUT, OPEN, lamp), {"door": ("Open", "Shut"), "lamp": ("Lit",)}, {"door": "Open", "lamp": "Lit"}, {}
        )


class TestBuild:
    def test_the_real_table_has_no_contradictions(self) -> None:
        """The lifecycle's table is sound."""
        assert [] == contradictions(lifecycle.ROWS, lifecycle.REGIONS, lifecycle.INITIAL, lifecycle.COMES_IN)

    def test_refuses_a_table_that_contradicts_itself(self) -> None:
        """No machine is built, and everything that is wrong is told."""
        with pytest.raises(InvalidTable, match=re.escape("FreeMode: no row leads here")) as caught:
            build([row for row in lifecycle.ROWS if row.target != "FreeMode"])
        assert "entitlement Expiring expired: no unguarded row says what happens otherwise" in str(caught.value)

    def test_makes_a_machine_of_each_region(self) -> None:
        """The machines have the states of the table, in its order, and begin in its first ones."""
        built = build()
        assert {
            "entitlement": ["Valid", "Expiring", "Grace", "FreeMode"],
            "auto_update": ["Off", "Scheduled", "Checking", "Retrying", "AutoUpdateDisabled"],
        } == {region: list(machine.states) for region, machine in built.items()}

    def test_begins_where_the_table_says(self) -> None:
        """A license begins in Valid and Off."""
        assert ["Valid", "Off"] == [machine.initial for machine in MACHINES.values()]

    def test_lets_nothing_bypass_the_rules(self) -> None:
        """There is no trigger but those of the table: no to_FreeMode()."""
        assert {trigger for row in lifecycle.ROWS for trigger in row.triggers} == {
            trigger for machine in MACHINES.values() for trigger in machine.events
        }

    def test_keeps_no_model(self) -> None:
        """The machines are shared, and hold no license."""
        assert [[], []] == [machine.models for machine in MACHINES.values()]
