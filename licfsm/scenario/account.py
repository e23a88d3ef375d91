"""A replayed scenario told to people: what happened when, both states after it, runs of retries in one line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs
import pendulum

from licfsm import instants
from licfsm.instants import DAY, HOUR, MINUTE
from licfsm.lifecycle import CHECKING, ENTITLEMENT
from licfsm.scenario.replay import Check, Line, Notification, Replay, Transition

__all__ = ["Told", "account", "even", "folded", "runs", "unfolded", "when"]

_SHORTEST_RUN: Final = 3
_FIRST: Final = "at the start"


@attrs.define
class Told:
    """One line of the account.

    Attributes:
        at: when, in milliseconds, true time.
        text: what happened.
        entitlement: the state after it.
        auto_update: likewise.
        kind: ``check``, ``failure``, ``change``, ``notice``, ``action``.
        mails: how many mails went out with it.
        said: what was notified of a failed check; the account does not show it, the check's outcome says as much.
        brief: the text of a notice in fewer words; empty where there are none.

    """

    at: int
    text: str
    entitlement: str
    auto_update: str
    kind: str
    mails: int = 0
    said: str = ""
    brief: str = ""


def account(result: Replay) -> list[Told]:
    """Tell what happened, line by line."""
    return [*folded(unfolded(result), result.story.key.zone)]


def unfolded(result: Replay) -> list[Told]:
    """Tell what happened, each check in a line of its own."""
    first = Told(result.story.start, _FIRST, *result.first, "change")
    return [first, *_told(result)]


def when(at: int, zone: pendulum.Timezone) -> str:
    """Write an instant in a zone, to the minute, or finer where it is finer."""
    local = instants.wall(at, zone)
    if local.second or local.microsecond:
        return local.isoformat(sep=" ", timespec="milliseconds" if local.microsecond else "seconds")
    return f"{local:%Y-%m-%d %H:%M}"


def _told(result: Replay) -> Iterator[Told]:
    """Tell the trace line by line; a question that is answered at once is one line with its answer."""
    entitlement, auto_update = result.first
    last_check: Told | None = None
    open_: list[Told] = []  # the last check, and what its key changed, before automatic update went on
    lines = result.trace
    for place, line in enumerate(lines):
        if isinstance(line, Transition):
            if line.region == ENTITLEMENT:
                entitlement = line.target
                open_.append(_changed(line, entitlement, auto_update))
                yield open_[-1]
                continue
            auto_update = line.target
            if line.source == CHECKING and last_check and last_check.at == line.at:
                for told in open_:
                    told.auto_update = line.target
            elif line.target != CHECKING or not _undisturbed(lines, place):
                yield _changed(line, entitlement, auto_update)
        elif isinstance(line, Check):
            kind = "failure" if line.failed else "check"
            last_check = Told(line.at, f"check: {line.outcome}", entitlement, auto_update, kind)
            open_ = [last_check]
            yield last_check
        elif isinstance(line, Notification):
            if line.name == "update_failed" and last_check and last_check.at == line.at:
                last_check.mails += line.channel == "mail"
                last_check.said = line.text
            elif _tells(lines, place, line):
                text, brief = (f"{line.channel}: {words}" for words in (line.text, line.name.replace("_", " ")))
                mails = int(line.channel == "mail")
                yield Told(line.at, text, entitlement, auto_update, "notice", mails, brief=brief)
        else:
            words = line.words(lambda moment: when(moment, result.story.key.zone))
            yield Told(line.at, f"{line.kind}: {words}", entitlement, auto_update, "action")


def _changed(line: Transition, entitlement: str, auto_update: str) -> Told:
    what = "asks the server" if line.target == CHECKING else f"{line.source} to {line.target}"
    return Told(line.at, f"{line.trigger}: {what}", entitlement, auto_update, "change")


def _undisturbed(lines: list[Line], place: int) -> bool:
    """Say whether nothing happens between a question and its answer."""
    following = lines[place + 1] if place + 1 < len(lines) else None
    return isinstance(following, Check)


def _tells(lines: list[Line], place: int, line: Notification) -> bool:
    """Say whether a notice is told here: by the mail if it was mailed, else by the report; the log stays silent."""
    if line.channel != "report":
        return line.channel == "mail"
    following = lines[place + 1] if place + 1 < len(lines) else None
    return not isinstance(following, Notification) or (following.channel, following.name, following.at) != (
        "mail",
        line.name,
        line.at,
    )


def folded(lines: list[Told], zone: pendulum.Timezone) -> Iterator[Told]:
    """Fold runs of checks into one line each, which is the run's first and is changed for it."""
    for run in runs(lines):
        first = run[0]
        if len(run) > 1:
            every = _every(run[1].at - run[0].at)
            first.mails = sum(line.mails for line in run)
            first.text = (
                f"{len(run)} × {first.text.removeprefix('check: ')}, every {every}, until {when(run[-1].at, zone)}"
            )
        if first.kind in {"check", "failure"} and first.mails:
            first.text += f" ({first.mails} mails)" if len(run) > 1 else " (mailed)"
        yield first


def runs(lines: list[Told]) -> Iterator[list[Told]]:
    """Part lines into runs of checks that are alike and evenly spaced; any other line is alone."""
    place = 0
    while place < len(lines):
        run = _run(lines, place)
        if len(run) < _SHORTEST_RUN:
            run = run[:1]
        yield run
        place += len(run)


def _run(lines: list[Told], place: int) -> list[Told]:
    first = lines[place]
    run = [first]
    if first.kind not in {"check", "failure"}:
        return run
    for following in range(place + 1, len(lines)):
        line = lines[following]
        alike = (line.kind, line.text, line.entitlement, line.auto_update) == (
            first.kind,
            first.text,
            first.entitlement,
            first.auto_update,
        )
        if not alike or (len(run) > 1 and not even(run[1].at - run[0].at, line.at - run[-1].at)):
            break
        run.append(line)
    return run


def even(step: int, other: int) -> bool:
    """Say whether two steps, in milliseconds, are alike; a calendar day may have an hour more or less."""
    return step == other or (step >= DAY - HOUR and abs(step - other) <= HOUR)


def _every(step: int) -> str:
    if step >= DAY - HOUR:
        days = round(step / DAY)
        return "24 hours" if days == 1 else f"{days} days"
    if step % MINUTE:
        return f"{step / 1000:g} seconds"
    minutes = step // MINUTE
    return f"{minutes} minutes" if minutes <= 90 or minutes % 60 else f"{minutes // 60} hours"  # noqa: PLR2004 - ninety
