"""What led to a license's states at the end of a replay: the rows that were taken, and the checks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pendulum

from licfsm import instants
from licfsm.explain import Cause, move_text, split
from licfsm.lifecycle import AUTO_UPDATE, CHECKING, ENTITLEMENT
from licfsm.scenario.account import when
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
        yield from _came_to(result, _checks(result, moves[entered - 1], moves[entered]), "the check")
    yield _moved(result, moves[entered])
    checks = _checks(result, moves[entered], moves[last])
    name = f"the latest of {len(checks)} checks since then" if len(checks) > 1 else "a check since then"
    yield from _came_to(result, checks, name)


def _came_to(result: Replay, checks: list[Check], name: str) -> Iterator[Cause]:
    """Tell what the last of some checks came to, and since when they did if they did not before."""
    if not checks:
        return
    last = checks[-1]
    alike = list(itertools.takewhile(lambda check: check.outcome == last.outcome, reversed(checks)))
    zone = result.story.key.zone
    since = f", as all since {when(alike[-1].at, zone)}" if 1 < len(alike) < len(checks) else ""
    policy = next(force.policy for force in reversed(result.in_force) if force.at <= last.at)
    told = f"{name} came to {last.outcome}{since}: {policy.outcomes[last.outcome].text}"
    yield Cause(_moment(result, last.at), AUTO_UPDATE, "4.1", told)


def _checks(result: Replay, begun: _Move, ended: _Move) -> list[Check]:
    return [line for line in result.trace[begun[0] : ended[0]] if isinstance(line, Check)]


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
