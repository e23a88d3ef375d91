"""Why a license is in its states, what comes next, what its user sees and may do: for a support engineer.

All of it is read from what the license keeps, its dates, and the table: what a row would do is found by the
same guards that the machines use. Who kept what happened (a replay, a journal) hands it over, and gets the
rows that really led here; without it, the reason is derived from the dates and the last check. Numbers are
rules in rules.md.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs
import pendulum

from licfsm import instants
from licfsm.handlers import ENTITLEMENT_TIMERS, question_due
from licfsm.instants import NEVER
from licfsm.lifecycle import (
    AUTO_UPDATE,
    AUTO_UPDATE_DISABLED,
    CHECKING,
    ENTITLEMENT,
    OFF,
    ROWS,
    VALID,
    Row,
)
from licfsm.rules import GUARDS
from licfsm.step import Step, notice_due

if TYPE_CHECKING:
    from licfsm.license import License, State

__all__ = ["Cause", "Choice", "Explanation", "Upcoming", "explain", "move_text", "split"]

_RULES: Final = re.compile(r"\d+\.\d+(, \d+\.\d+)*")
_WIDTH: Final = 80
_TIME_WIDTH: Final = 18
_COMMANDS: Final = (("enable", "enable"), ("disable", "disable"), ("check_now", "check_now"), ("install", "installed"))
"""What the user may do, and the trigger in the table."""


@attrs.frozen
class Cause:
    """One thing that led to a state.

    Attributes:
        at: when, in the license's zone; None where that is not known.
        region: ``entitlement`` or ``auto_update``.
        rule: the rule's number in rules.md.
        text: what happened, in words.

    """

    at: pendulum.DateTime | None
    region: str
    rule: str
    text: str


@attrs.frozen
class Upcoming:
    """One thing that comes if nothing else happens.

    Attributes:
        at: when, in the license's zone; None for an answer that is awaited.
        rule: the rule's number in rules.md.
        text: what will happen, in words.

    """

    at: pendulum.DateTime | None
    rule: str
    text: str


@attrs.frozen
class Choice:
    """One thing that the host's user may do.

    Attributes:
        command: ``enable``, ``disable``, ``check_now``, ``install``.
        rule: the rule's number in rules.md.
        text: what it would do now, in words.

    """

    command: str
    rule: str
    text: str


@attrs.frozen
class Explanation:
    """A license explained; as text by ``str()``, as JSON by `as_dict`.

    Attributes:
        license: the id; with its ``type``, ``policy`` and ``zone``.
        expires: when the key in force expires; None without expiry (1.1).
        at: the host's clock.
        state: both states.
        why: what led there, region by region, in the order of time.
        next: what comes if nothing else happens, in the order of time.
        status: the license information text (rules.md 2.4).
        job_warning: the warning on every job of the paid version; None outside Grace (2.4).
        days_remaining: until expiry, or in Grace until its end; None without expiry (1.7).
        refused: what a refused operation is told; None where none is refused.
        allows: kind of operation -> whether it may run (2.3).
        choices: what the host's user may do, and what it would do now.

    """

    license: str
    type: str
    policy: str
    zone: str
    expires: pendulum.DateTime | None
    at: pendulum.DateTime
    state: State
    why: tuple[Cause, ...]
    next: tuple[Upcoming, ...]
    status: str
    job_warning: str | None
    days_remaining: int | None
    refused: str | None
    allows: Mapping[str, bool]
    choices: tuple[Choice, ...]

    def as_dict(self) -> dict[str, Any]:
        """Give plain values for JSON; instants in UTC with offset."""
        plain = attrs.asdict(self, value_serializer=lambda _, __, value: _plain(value))
        return {"version": 1} | plain | {"state": self.state._asdict()}

    def __str__(self) -> str:
        """Tell it in words, ready for a ticket."""
        return "\n".join(_told(self))


def explain(lic: License, history: Sequence[Cause] = ()) -> Explanation:
    """Explain a license as of its last step; the host's clock says what is ahead.

    Args:
        lic: the license.
        history: what led to its states, from whoever kept it; what it does not say of a region is derived.

    """
    zone = lic.key.zone
    known = {cause.region for cause in history}
    why = [*history]
    if ENTITLEMENT not in known:
        why = [*_entitlement_causes(lic), *why]
    if AUTO_UPDATE not in known:
        why += _auto_update_causes(lic)
    if lic.record.latest > lic.clock.now_ms():
        text = "judged by the latest time that was seen, since the clock is behind it"
        why.append(Cause(_moment(lic, lic.record.latest), ENTITLEMENT, "7.5", text))
    return Explanation(
        license=lic.key.id,
        type=lic.key.type,
        policy=lic.policy.name,
        zone=zone.name,
        expires=_moment(lic, lic.dates.expires_at),
        at=instants.from_ms(lic.clock.now_ms(), zone),
        state=lic.state,
        why=tuple(why),
        next=tuple(_upcoming(lic)),
        status=lic.status,
        job_warning=lic.job_warning,
        days_remaining=lic.days_remaining,
        refused=None if lic.allows("paid") else lic.policy.texts.refused,
        allows={kind: lic.allows(kind) for kind in ("paid", "free", "always")},
        choices=tuple(_choices(lic)),
    )


# ---------------------------------------------------------------------------------------------- why


def _entitlement_causes(lic: License) -> Iterator[Cause]:
    """2.5: the state is always the one that the dates say."""
    state, dates = lic.record.entitlement, lic.dates
    if state == VALID:
        why = "1.1 the key has no expiry" if dates.expires_at == NEVER else "1.4 Expiring has not begun"
        yield Cause(None, ENTITLEMENT, *split(why))
        return
    ways = [(when, row.why) for _, row, when in _deadlines(lic, VALID) if row.target == state]
    since, why = ways[0] if ways else (NEVER, "2.5 it was so when the key was last looked at")
    yield Cause(_moment(lic, since), ENTITLEMENT, *split(why))


def _auto_update_causes(lic: License) -> Iterator[Cause]:
    """Derive the reason from the last check, which is what the record keeps."""
    record = lic.record
    state = record.auto_update
    asked = _moment(lic, record.asked_at if record.attempt else NEVER)
    outcome = lic.policy.outcomes.get(record.last_outcome)
    came = f"the last check came to {record.last_outcome}: {outcome.text}" if outcome else "no check was answered yet"
    if state == OFF:
        yield Cause(None, AUTO_UPDATE, "6.2", "automatic update was never switched on, or was switched off")
    elif state == CHECKING:
        yield Cause(asked, AUTO_UPDATE, "6.3", f"attempt {record.attempt} is under way, begun in {record.origin}")
    elif state == AUTO_UPDATE_DISABLED and record.disabled_by == "deadline":
        yield Cause(asked, AUTO_UPDATE, "5.1", f"the last question brought no new key; {came}")
    else:
        yield Cause(asked, AUTO_UPDATE, "4.1", came)


def split(why: str) -> tuple[str, str]:
    """Part the numbers of rules from the words of a row's reason."""
    found = _RULES.match(why)
    rule = found[0] if found else ""
    return rule, why.removeprefix(rule).lstrip()


# ---------------------------------------------------------------------------------------------- what comes


def _deadlines(lic: License, state: str) -> Iterator[tuple[str, Row, int]]:
    """Follow the entitlement along its timers: trigger, row, when."""
    while timer := ENTITLEMENT_TIMERS.get(state):
        trigger, name = timer
        when: int = getattr(lic.dates, name)
        row = _row(lic, ENTITLEMENT, trigger, state, when)
        if when == NEVER or row.target is None:
            return
        yield trigger, row, when
        state = row.target


def _upcoming(lic: License) -> Iterator[Upcoming]:
    record = lic.record
    coming: list[tuple[int, str, str]] = []
    for trigger, row, when in _deadlines(lic, record.entitlement):
        rule, text = split(row.why)
        coming.append((when, rule, move_text(trigger, row.sources[0], str(row.target), text)))
    notice = notice_due(record, lic.dates)
    if notice not in (NEVER, lic.dates.expiring_at) and notice > record.latest:
        coming.append((notice, "8.2", "the coming expiry is announced"))
    coming += _questions(lic)
    coming += [(write.retry_at, "4.4", f"the key is written to {write.target} again") for write in record.writes]
    if record.auto_update == CHECKING:
        yield Upcoming(None, "7.3", f"the answer to attempt {record.attempt} is awaited")
    now = lic.clock.now_ms()
    for when, rule, text in sorted(coming):
        yield Upcoming(_moment(lic, when), rule, f"overdue: {text}" if when < now else text)


def _questions(lic: License) -> Iterator[tuple[int, str, str]]:
    """Tell of the next question, and of the deadline's, by the rows that would be taken then."""
    record, now = lic.record, lic.clock.now_ms()
    if question_due(record) == NEVER:
        return
    for when in sorted({record.next_at, record.give_up_at}):
        if when <= record.give_up_at and when != NEVER:
            rule, why = split(_row(lic, AUTO_UPDATE, "check_due", record.auto_update, max(when, now)).why)
            yield when, rule, f"the server is asked, {why}"


# ---------------------------------------------------------------------------------------------- what may be done


def _choices(lic: License) -> Iterator[Choice]:
    for command, trigger in _COMMANDS:
        row = _row(lic, AUTO_UPDATE, trigger, lic.record.auto_update, lic.clock.now_ms())
        rule, text = split(row.why)
        where = f"{lic.record.auto_update} to {row.target}, " if row.target else ""
        also = "a key that expires later is in force at once; " if command == "install" else ""
        yield Choice(command, rule, f"{also}{where}{text}")


def _row(lic: License, region: str, trigger: str, state: str, now: int) -> Row:
    """Find the row that would be taken at a time; a key installed by hand is thought to expire later."""
    step = Step(lic.record, lic.key, lic.policy, lic.dates, now, lic.offset, "none", (), judged=now, extends=True)
    return next(
        row
        for row in ROWS
        if row.region == region
        and trigger in row.triggers
        and state in row.sources
        and all(GUARDS[guard](step) for guard in row.guards)
    )


# ---------------------------------------------------------------------------------------------- in words


def _moment(lic: License, ms: int) -> pendulum.DateTime | None:
    return None if abs(ms) == NEVER else instants.from_ms(ms, lic.key.zone)


def _plain(value: object) -> object:
    return instants.isoformat(instants.to_ms(value)) if isinstance(value, pendulum.DateTime) else value


def move_text(trigger: str, source: str, target: str, why: str) -> str:
    """Tell of a change of state."""
    return f"{_spaced(trigger)}: {source} to {target}, {why}"


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _told(what: Explanation) -> Iterator[str]:
    yield f"License {what.license} ({what.type}, {what.policy}) at {_clock(what.at)}, {what.zone}"
    if what.expires is None:
        yield "The key does not expire."
    else:
        yield f"The key expire{'d' if what.expires <= what.at else 's'} at {_clock(what.expires)}."
    yield f"Entitlement: {what.state.entitlement}. Automatic update: {what.state.auto_update}."
    for region, title in ((ENTITLEMENT, "Why this entitlement"), (AUTO_UPDATE, "Why this automatic update")):
        yield f"\n{title}"
        for cause in what.why:
            if cause.region == region:
                yield _line(cause.at, f"{cause.text} ({cause.rule})")
    yield "\nWhat comes next, if nothing else happens"
    for coming in what.next:
        yield _line(coming.at, f"{coming.text} ({coming.rule})")
    if not what.next:
        yield _line(None, "nothing")
    yield "\nWhat the user sees"
    yield _line(None, f"License information: {what.status}")
    if what.job_warning:
        yield _line(None, f"Warning on paid jobs: {what.job_warning}")
    if what.refused:
        yield _line(None, f"Refused operations are told: {what.refused}")
    yield "\nWhat the host may do"
    for allowed, word in ((True, "allowed"), (False, "refused")):
        if kinds := [kind for kind, may in what.allows.items() if may == allowed]:
            yield _line(None, f"operations {word}: {', '.join(kinds)} (2.3)")
    for choice in what.choices:
        yield _line(None, f"{_spaced(choice.command)}: {choice.text} ({choice.rule})")
    yield "\nNumbers in brackets are rules in diagrams/rules.md."


def _line(at: pendulum.DateTime | None, text: str) -> str:
    head = f"  {_clock(at)}" if at else "  "
    indent = " " * (_TIME_WIDTH + 2) if at else "    "
    return textwrap.fill(
        text, _WIDTH, initial_indent=head.ljust(_TIME_WIDTH + 2) if at else head, subsequent_indent=indent
    )


def _clock(at: pendulum.DateTime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
