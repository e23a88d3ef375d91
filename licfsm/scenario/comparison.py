"""A story lived under its own policy and under another: what differs, side by side.

The account's lines are compared before they are folded, so that two long runs that part somewhere show only where
they do. But checks in two rhythms are two runs, though they meet now and then.
"""

from __future__ import annotations

import bisect
import functools
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Final, NamedTuple

import attrs

from licfsm.errors import InvalidFile, Mistake
from licfsm.policy import Policy
from licfsm.scenario.account import Told, even, folded, runs, unfolded
from licfsm.scenario.replay import Check, Line, Replay, Transition, replay
from licfsm.scenario.report import line_document, reported
from licfsm.scenario.story import HostDoes, ServerAnswers, Story

__all__ = ["Comparison", "Instant", "Row", "compare", "comparison_document"]

_CHECKS: Final = frozenset({"check", "failure"})


class Row(NamedTuple):
    """What happened here and there, side by side; None where nothing did."""

    here: Told | None
    there: Told | None


class Instant(NamedTuple):
    """What differs at an instant (milliseconds, true time), and both states here and there after all of it."""

    at: int
    rows: list[Row]
    here: tuple[str, str]
    there: tuple[str, str]


@attrs.frozen
class Comparison:
    """What differs between a story under its own policy, and under another; found out when it is asked for.

    Attributes:
        here: the story under its own policy.
        there: the story under the other.

    """

    here: Replay
    there: Replay

    @functools.cached_property
    def instants(self) -> list[Instant]:
        """When something happened otherwise, or led elsewhere, in the order of time."""
        return list(_instants(self.here, self.there))

    @functools.cached_property
    def only_here(self) -> list[Line]:
        """Lines of the trace that are not in the other's."""
        return list(_missing(self.here, self.there))

    @functools.cached_property
    def only_there(self) -> list[Line]:
        """Lines of the other's trace that are not in this one's."""
        return list(_missing(self.there, self.here))

    @property
    def final(self) -> dict[str, tuple[Any, Any]]:
        """What is observed otherwise at the end: name -> here, there."""
        there = self.there.final
        return {name: (value, there[name]) for name, value in self.here.final.items() if value != there[name]}

    @property
    def differs(self) -> bool:
        """Whether the account or the end shows any difference; lines of the trace may differ in due times still."""
        return bool(self.instants or self.final)


def compare(here: Replay, policy: Policy, watch: Callable[[int], None] | None = None) -> Comparison:
    """Live through a story once more, under another policy.

    Args:
        here: the story as it went under its own policy.
        policy: the other, from the start; where the story itself changes the policy, that stays as it is.
        watch: told now and then which instant is reached, in milliseconds.

    Raises:
        InvalidFile: the other policy does not know a license type of the story, or too much happens under it.

    """
    story = here.story
    _know_types(story, policy)
    try:
        return Comparison(here, replay(attrs.evolve(story, policy=policy), watch))
    except InvalidFile as error:
        raise InvalidFile(
            [attrs.evolve(slip, message=f"under policy {policy.name}, {slip.message}") for slip in error.mistakes]
        ) from None


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Describe what differs, beside the document of the story under its own policy."""
    return {
        "policy": comparison.there.story.policy.name,
        "trace_only_here": [line_document(line) for line in comparison.only_here],
        "trace_only_there": [line_document(line) for line in comparison.only_there],
        "final": comparison.there.final,
    }


def _know_types(story: Story, policy: Policy) -> None:
    """Make sure that the policy knows the first key's type, and every type that is offered."""
    types = [(story.key.type, story.places["type"])]
    types += [
        (entry.what.offer.type, entry.place)
        for entry in story.entries
        if isinstance(entry.what, ServerAnswers | HostDoes) and entry.what.offer and entry.what.offer.type
    ]
    for kind, place in types:
        if kind not in policy.grace:
            message = f"policy {policy.name} knows no license type {kind!r}, only {', '.join(policy.grace)}"
            raise InvalidFile([Mistake(story.file, *place, message)])


def _missing(of: Replay, other: Replay) -> Iterator[Line]:
    """Find the reported lines of one trace that the other has not."""
    there = Counter(map(_as_reported, reported(other)))
    for line in reported(of):
        same = _as_reported(line)
        if there[same]:
            there[same] -= 1
        else:
            yield line


def _as_reported(line: Line) -> Line:
    """Leave out what the report does not say of a line."""
    if isinstance(line, Transition):
        return line._replace(why="")
    return line._replace(failed=False) if isinstance(line, Check) else line


def _instants(here: Replay, there: Replay) -> Iterator[Instant]:
    all_here, all_there = unfolded(here), unfolded(there)
    left, right = _differing(all_here, all_there)
    _say_why(left, right)
    zone = here.story.key.zone
    sides: dict[int, tuple[list[Told], list[Told]]] = defaultdict(lambda: ([], []))
    for line in folded(left, zone):
        sides[line.at][0].append(line)
    for line in folded(right, zone):
        sides[line.at][1].append(line)
    for at in sorted(sides):
        yield Instant(at, list(_paired(*sides[at])), _states(all_here, at), _states(all_there, at))


def _differing(here: list[Told], there: list[Told]) -> tuple[list[Told], list[Told]]:
    """Leave out the lines that both have."""
    step_here, step_there = _steps(here), _steps(there)
    candidates: dict[Hashable, list[Told]] = defaultdict(list)
    for line in reversed(there):  # the first one is taken first
        candidates[_content(line)].append(line)
    left: list[Told] = []
    shared: set[int] = set()
    for line in here:
        alike = candidates[_content(line)]
        if alike:
            other = alike.pop()
            step = step_here.get(id(line))
            other_step = step_there.get(id(other))
            if step is None or other_step is None or even(step, other_step):
                shared.add(id(other))
                continue
        left.append(line)
    return left, [line for line in there if id(line) not in shared]


def _content(line: Told) -> Hashable:
    return line.at, line.text, line.entitlement, line.auto_update, line.kind, line.mails, line.said


def _steps(lines: list[Told]) -> dict[int, int]:
    """Say of each check that stands in a run how far apart its checks are, by the line's identity."""
    return {id(line): run[1].at - run[0].at for run in runs(lines) if len(run) > 1 for line in run}


def _say_why(left: list[Told], right: list[Told]) -> None:
    """Tell what was notified of a failed check where two that look alike differ in it."""
    others = {(line.at, line.text): line for line in right if line.said}
    for line in left:
        other = others.get((line.at, line.text))
        if other and line.said and line.said != other.said:
            line.text, other.text = f"{line.text}: {line.said}", f"{other.text}: {other.said}"


def _paired(here: list[Told], there: list[Told]) -> Iterator[Row]:
    """Put lines of an instant that tell of the same thing side by side; both sides keep their order."""
    taken = 0
    for line in here:
        topic = _topic(line)
        place = next((n for n in range(taken, len(there)) if _topic(there[n]) == topic), None)
        if place is None:
            yield Row(line, None)
            continue
        yield from (Row(None, other) for other in itertools.islice(there, taken, place))
        yield Row(line, there[place])
        taken = place + 1
    yield from (Row(None, other) for other in there[taken:])


def _topic(line: Told) -> str:
    if line.kind in _CHECKS:
        return "check"
    return line.kind if line.kind == "notice" else line.text.partition(":")[0]


def _states(lines: list[Told], at: int) -> tuple[str, str]:
    """Find both states after all that happened until an instant, inclusive."""
    last = lines[bisect.bisect_right(lines, at, key=lambda line: line.at) - 1]
    return last.entitlement, last.auto_update
