"""What led to a license's states at the end of a replay: the rows that were taken, and the checks."""

from __future__ import annotations

from collections.abc import Iterator

import pendulum

from licfsm import instants
from licfsm.explain import Cause, move_text, split
from licfsm.lifecycle import AUTO_UPDATE, CHECKING, ENTITLEMENT
from licfsm.scenario.replay import Check, Replay, Transition

__all__ = ["causes"]

_Move = tuple[int, Transition]
"""A change of state, and where it stands in the trace."""


def causes(result: Replay) -> list[Cause]:
    """Tell what led to both states, in the order of time within a region.

    Args:
        result: what came of the story.

    """
    return [*_entitlement(result), *_auto_update(result)]


def _entitlement(result: Replay) -> Iterator[Cause]:
    if moves := _moves(result, ENTITLEMENT):
        yield _moved(result, moves[-1])
    else:
        text = f"{result.first[0]} is what the key's dates said at first sight"
        yield Cause(_moment(result, result.story.start), ENTITLEMENT, "2.5", text)


def _auto_update(result: Replay) -> Iterator[Cause]:
    """Tell how the present state was entered, and of the last check since then, if it led back here."""
    moves = _moves(result, AUTO_UPDATE)
    if not moves:
        text = f"{result.first[1]} is where a new license begins"
        yield Cause(_moment(result, result.story.start), AUTO_UPDATE, "6.1", text)
        return
    entered = last = len(moves) - 1
    while entered and moves[entered][1].source == CHECKING and moves[entered - 1][1].source == moves[entered][1].target:
        entered -= 2
    entered = max(entered, 0)
    if entered and moves[entered][1].source == CHECKING:
        yield _moved(result, moves[entered - 1])
        yield from _came_to(result, moves[entered - 1], moves[entered], "the check")
    yield _moved(result, moves[entered])
    if last > entered:
        checks = (last - entered) // 2
        name = f"the latest of {checks} checks since then" if checks > 1 else "a check since then"
        yield from _came_to(result, moves[last - 1], moves[last], name)


def _came_to(result: Replay, begun: _Move, ended: _Move, name: str) -> Iterator[Cause]:
    for line in result.trace[begun[0] : ended[0]]:
        if isinstance(line, Check):
            policy = next(force.policy for force in reversed(result.in_force) if force.at <= line.at)
            text = policy.outcomes[line.outcome].text
            yield Cause(_moment(result, line.at), AUTO_UPDATE, "4.1", f"{name} came to {line.outcome}: {text}")


def _moves(result: Replay, region: str) -> list[_Move]:
    return [
        (place, line)
        for place, line in enumerate(result.trace)
        if isinstance(line, Transition) and line.region == region
    ]


def _moved(result: Replay, move: _Move) -> Cause:
    line = move[1]
    rule, why = split(line.why)
    return Cause(_moment(result, line.at), line.region, rule, move_text(line.trigger, line.source, line.target, why))


def _moment(result: Replay, ms: int) -> pendulum.DateTime:
    return instants.from_ms(ms, result.story.key.zone)
