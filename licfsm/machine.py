"""The table made into ``transitions`` machines; the only module that imports transitions.

One flat `transitions.Machine` a region, shared by all licenses and threads: it keeps no state of its own
and is not queued. The model is the license's record; a trigger gets the `rules.Step` as its argument,
which guards read and effects change. Effects run before the state changes, so they see where the record
comes from; an exception leaves a copy that the license throws away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import transitions

from licfsm import effects as fx
from licfsm.errors import InvalidTable
from licfsm.lifecycle import COMES_IN, INITIAL, REGIONS, ROWS, Row
from licfsm.rules import EFFECTS, GUARDS
from licfsm.step import Step

__all__ = ["MACHINES", "build", "contradictions", "fire"]


def contradictions(
    rows: Sequence[Row],
    regions: Mapping[str, Sequence[str]],
    initial: Mapping[str, str],
    comes_in: Mapping[str, Sequence[str]],
) -> list[str]:
    """Find what is wrong with a table, which ``transitions`` itself would accept in silence.

    Args:
        rows: the table.
        regions: region -> its states.
        initial: region -> its first state.
        comes_in: trigger -> the only states it comes in; any other may come in every state.

    Returns:
        One sentence a contradiction; none for a sound table.

    """
    wrong: list[str] = []
    cases: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        states = regions.get(row.region, ())
        name = f"{row.region} {'/'.join(row.triggers)} -> {row.target or 'stay'}"
        wrong += [
            f"{name}: unknown state {state}" for state in (*row.sources, row.target) if state not in (None, *states)
        ]
        wrong += [f"{name}: guard {guard} has no definition" for guard in row.guards if guard not in GUARDS]
        wrong += [f"{name}: effect {effect} has no definition" for effect in row.effects if effect not in EFFECTS]
        if not row.why[:1].isdigit():
            wrong.append(f"{name}: 'why' must begin with the rule's number")
        for source in row.sources:
            for trigger in row.triggers:
                cases.setdefault((row.region, source, trigger), []).append(row)
    for (region, source, trigger), candidates in cases.items():
        where = f"{region} {source} {trigger}"
        guards = [row.guards for row in candidates]
        if () in guards[:-1]:
            wrong.append(f"{where}: the row behind the unguarded one is unreachable")
        if guards.count(()) > 1:
            wrong.append(f"{where}: more than one unguarded row")
        wrong += [
            f"{where}: a later row is unreachable, its guards include those of an earlier one"
            for place, guard in enumerate(guards)
            if any(earlier and set(earlier) <= set(guard) for earlier in guards[:place])
        ]
        if guards[-1]:
            wrong.append(f"{where}: no unguarded row says what happens otherwise")
    for region, states in regions.items():
        own = [row for row in rows if row.region == region]
        for trigger in dict.fromkeys(trigger for row in own for trigger in row.triggers):
            wrong += [
                f"{region} {state}: neither handles nor ignores {trigger}"
                for state in comes_in.get(trigger, states)
                if (region, state, trigger) not in cases
            ]
            wrong += [
                f"{region} {state}: handles {trigger}, which never comes there"
                for state in states
                if (region, state, trigger) in cases and state not in comes_in.get(trigger, states)
            ]
        reached = {initial[region]}
        while more := {row.target for row in own if row.target and reached & set(row.sources)} - reached:
            reached |= more
        wrong += [f"{region} {state}: no row leads here" for state in states if state not in reached]
    return wrong


def build(rows: Sequence[Row] = ROWS) -> dict[str, transitions.Machine]:
    """Build the machines of a table, one a region.

    Raises:
        InvalidTable: the table contradicts itself.

    """
    if wrong := contradictions(rows, REGIONS, INITIAL, COMES_IN):
        raise InvalidTable("\n".join(wrong))
    machines = {}
    for region, states in REGIONS.items():
        machine = transitions.Machine(
            model=None,
            states=list(states),
            initial=INITIAL[region],
            auto_transitions=False,
            model_attribute=region,
            name=f"licfsm {region}",
        )
        for row in rows:
            if row.region == region:
                for trigger in row.triggers:
                    machine.add_transition(
                        trigger,
                        list(row.sources),
                        row.target,
                        conditions=[GUARDS[guard] for guard in row.guards],
                        before=_taken(row),
                    )
        machines[region] = machine
    return machines


def _taken(row: Row) -> Callable[[Step], None]:
    """Make one callback of a row's effects, in order: ``transitions`` takes its time for each."""
    effects = [EFFECTS[effect] for effect in row.effects]
    why = row.why

    def take(step: Step) -> None:
        step.why = why
        for effect in effects:
            effect(step)

    return take


MACHINES: Final = build()
"""The machines that run every license; share them, and attach no model."""

_TRIGGERS: Final = {
    region: {name: event.trigger for name, event in machine.events.items()} for region, machine in MACHINES.items()
}


def fire(step: Step, region: str, trigger: str, due: int) -> None:
    """Trigger a machine on the step's record, and note the change of state.

    What the row tells is placed behind the change that caused it.

    Args:
        step: the step under way.
        region: which machine.
        trigger: the event's name.
        due: when it should have happened, in milliseconds.

    """
    record = step.record
    source = getattr(record, region)
    place = len(step.out)
    step.trigger = trigger
    step.due = due
    _TRIGGERS[region][trigger](record, step)
    target = getattr(record, region)
    if target != source:
        step.out.insert(place, fx.Moved(region, trigger, source, target, due, step.why))
