"""A story lived through: the same `License` and machines that a host runs, on a clock that is moved.

At one instant, first what changes outside happens, then what is due, then what the host does, then what is
observed (rules.md 7.1). The trace keeps true time; the license only knows the host's clock.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import attrs

from licfsm import effects as fx
from licfsm import events as ev
from licfsm import instants
from licfsm.adapters.clock import ManualClock
from licfsm.errors import InvalidFile, KeyRejected, Mistake
from licfsm.key import LicenseKey
from licfsm.license import License
from licfsm.policy import Dates, Policy
from licfsm.ports import Answer, Question
from licfsm.scenario.story import NOW, Entry, Expect, HostDoes, ServerAnswers, Story, WorldChanges

__all__ = [
    "Action",
    "Check",
    "Failure",
    "InForce",
    "Line",
    "Notification",
    "Replay",
    "Transition",
    "lines_of",
    "replay",
]

MOST_STEPS: Final = 500_000
"""How many steps a story may take: half a minute of waiting; a question every minute for half a year."""

_HOST_EVENTS: Final[dict[str, ev.Event]] = {
    "enable": ev.Enable(),
    "disable": ev.Disable(),
    "check_now": ev.CheckNow(),
    "restart": ev.Restarted(),
}
_WATCH_EVERY: Final = 2_000
_TARGET: Final = "backup server"
_COUNTED_CHANNELS: Final = {"mail": "mails", "report": "reports"}


class Transition(NamedTuple):
    """A region changed its state; times in milliseconds, ``clock`` is the host's, ``why`` the row's."""

    at: int
    clock: int
    due: int
    region: str
    trigger: str
    source: str
    target: str
    why: str


class Check(NamedTuple):
    """An answer came."""

    at: int
    clock: int
    asked: int
    due: int
    outcome: str
    failed: bool


class Notification(NamedTuple):
    """Something was told on a channel."""

    at: int
    clock: int
    channel: str
    name: str
    text: str


class Action(NamedTuple):
    """The host did something, or the world changed; ``moment`` is the time that it speaks of, in milliseconds."""

    at: int
    clock: int
    kind: str
    action: str
    moment: int | None = None

    def words(self, written: Callable[[int], str]) -> str:
        """Say what was done; ``written`` writes the time that it speaks of."""
        return self.action if self.moment is None else f"{self.action} {written(self.moment)}"


Line = Transition | Check | Notification | Action


class Failure(NamedTuple):
    """An expectation that did not hold; ``place`` is its line and column in the file."""

    at: int
    what: str
    expected: Any
    actual: Any
    place: tuple[int, int]


class InForce(NamedTuple):
    """From ``at`` on (milliseconds, true time) this key was in force under this policy, with these deadlines."""

    at: int
    key: LicenseKey
    policy: Policy
    dates: Dates


@attrs.define
class Replay:
    """What came of a story.

    Attributes:
        story: the story.
        first: both states at the start, before anything happened.
        trace: what happened, in order.
        failures: the expectations that did not hold.
        final: what is observed at the end.
        license: the license as it stands at the end; the clock too.
        in_force: which keys, policies and deadlines were in force, in order.

    """

    story: Story
    license: License
    first: tuple[str, str] = ("", "")
    trace: list[Line] = attrs.Factory(list)
    failures: list[Failure] = attrs.Factory(list)
    final: dict[str, Any] = attrs.Factory(dict)
    in_force: list[InForce] = attrs.Factory(list)

    @property
    def passed(self) -> bool:
        """Whether every expectation held."""
        return not self.failures


def lines_of(effects: Iterable[fx.Effect], at: int, clock: int, asked: int | None = None) -> Iterator[Line]:
    """Make lines of what came of a step.

    Args:
        effects: what came of it.
        at: when, true time, in milliseconds.
        clock: the host's clock then.
        asked: when the question was asked whose answer it may be, true time; by default as the license says.

    """
    for effect in effects:
        if type(effect) is fx.Moved:
            yield Transition(
                at, clock, effect.due, effect.region, effect.trigger, effect.source, effect.target, effect.why
            )
        elif type(effect) is fx.Notify:
            yield from (
                Notification(at, clock, channel, effect.name, effect.said_on(channel)) for channel in effect.channels
            )
        elif type(effect) is fx.Checked:
            began = effect.asked if asked is None else asked
            yield Check(at, clock, began, effect.due, effect.outcome, effect.failed)


def replay(story: Story, watch: Callable[[int], None] | None = None) -> Replay:
    """Live through a story.

    Args:
        story: the story.
        watch: told now and then which instant is reached, in milliseconds.

    Raises:
        InvalidFile: more happens in it than anyone can wait for, or read.

    """
    return _World(story, watch).live()


def _as_answer(answers: ServerAnswers) -> Answer:
    """Make what the license gets of what the story says."""
    return Answer(
        answers.outcome,
        answers.offer.key if answers.offer else None,
        answers.retry_after,
        answers.signed_time,
        answers.takes,
    )


class _World:
    """Everything around the license: true time, the server, mail, a target, the user."""

    def __init__(self, story: Story, watch: Callable[[int], None] | None) -> None:
        self.story = story
        self.watch = watch
        self.steps = 0
        self.clock = ManualClock(story.start)
        self.license = License(
            story.key, story.policy, clock=self.clock, spread=story.spread, mail=story.mail, targets=(_TARGET,)
        )
        self.result = Replay(story, self.license, self.license.state)
        self.note_in_force(story.start)
        self.shift = 0
        self.policy = story.policy
        self.answers = ServerAnswers("up_to_date")
        self.answer = _as_answer(self.answers)
        self.asked = story.start
        self.mail_up = True
        self.waiting_mail: list[Notification] = []
        self.target_ok = True
        self.asleep_until: int | None = None
        self.counts = {"checks": 0, "failures": 0, "mails": 0, "reports": 0}
        self.counted_to = 0

    def live(self) -> Replay:
        story = self.story
        for at, group in itertools.groupby(story.entries, lambda entry: entry.at):
            self.instant(at, list(group))
        self.run(story.end)
        self.judge_states()
        self.result.final = self.observed(story.end)
        self.clock.move_to(story.end + self.shift)
        return self.result

    def instant(self, at: int, entries: Sequence[Entry]) -> None:
        self.run(at - 1)
        shift = self.shift
        for entry in entries:
            if isinstance(entry.what, ServerAnswers):
                self.server(at, entry.what)
            elif isinstance(entry.what, WorldChanges):
                self.world(at, entry.what)
        if self.asleep_until is None:
            self.notice_world(at, self.shift - shift)
        self.run(at)
        for entry in entries:
            if isinstance(entry.what, HostDoes):
                self.host(at, entry.what)
                self.run(at)
        for entry in entries:
            if isinstance(entry.what, Expect):
                self.expect(at, entry.what, entry.place)

    def run(self, to: int) -> None:
        """Let time go by until an instant, inclusive."""
        if self.asleep_until is not None:
            if to < self.asleep_until:
                return
            self.wake(self.asleep_until)
        if to + self.shift >= self.clock.now_ms():
            self.license.advance(to + self.shift, server=self, targets={_TARGET: self}, observe=self.observe)

    def wake(self, at: int) -> None:
        self.asleep_until = None
        self.note(Action(at, at + self.shift, "host", "wake"))
        self.deliver_mail(at)
        self.notice_world(at, at + self.shift - self.clock.now_ms(), asleep=True)

    def notice_world(self, at: int, by: int, *, asleep: bool = False) -> None:
        """Let the host notice what changed outside, all at once; one that sleeps notices when it wakes.

        Args:
            at: the instant, true time.
            by: how far its clock moved otherwise than by running.
            asleep: whether it slept until now.

        """
        now = at + self.shift
        self.clock.move_to(now)
        if self.policy is not self.license.policy:
            self.observe(now, self.license.step(ev.PolicyChanged(self.policy), now))
        if by or asleep:
            self.observe(now, self.license.step_clock(by, interrupted=asleep))

    # ------------------------------------------------------------------------------------ what happens

    def server(self, at: int, answers: ServerAnswers) -> None:
        self.answers, self.answer = answers, _as_answer(answers)
        self.note(Action(at, at + self.shift, "server", answers.outcome))

    def world(self, at: int, change: WorldChanges) -> None:
        if change.clock is not None:
            self.shift = change.clock - at
            told = "clock:"
        elif change.policy is not None:
            self.policy = change.policy
            told = f"policy: {change.policy.name}"
        elif change.mail is not None:
            self.mail_up = change.mail
            told = "mail: up" if change.mail else "mail: down"
        else:
            self.target_ok = bool(change.target)
            told = "target: ok" if change.target else "target: fails"
        self.note(Action(at, at + self.shift, "world", told, change.clock))
        if self.asleep_until is None:
            self.deliver_mail(at)

    def host(self, at: int, does: HostDoes) -> None:
        now = at + self.shift
        action = does.action
        if action == "install" and does.offer:
            key = does.offer.key(self.license.key)
            try:
                effects = self.license.install(key, force=does.force)
            except KeyRejected as error:
                self.note(Action(at, now, "host", f"install, refused: {error}"))
                return
            self.note(Action(at, now, "host", "install"))
        elif action == "suspend":
            self.note(Action(at, now, "host", "suspend until", does.until))
            self.asleep_until = does.until
            return
        else:
            self.note(Action(at, now, "host", action))
            effects = self.license.step(_HOST_EVENTS[action], now)
        self.observe(now, effects)

    # ------------------------------------------------------------------------------------ what the license asks for

    def ask(self, question: Question) -> Answer:
        """Answer as a license server: the answer that stands now is judged when it arrives."""
        self.asked = question.asked_at - self.shift
        if self.answers.signed_time == NOW:
            return attrs.evolve(self.answer, signed_time=self.asked + self.answers.takes)
        return self.answer

    def write(self, _key: LicenseKey, /) -> str | None:
        """Take a key as a target."""
        return None if self.target_ok else "the target cannot be written"

    # ------------------------------------------------------------------------------------ what is seen

    def note(self, line: Line) -> None:
        self.result.trace.append(line)

    def observe(self, now: int, effects: Sequence[fx.Effect]) -> None:
        """Take down what came of a step."""
        at = now - self.shift
        trace = self.result.trace
        self.steps += 1
        if self.steps > MOST_STEPS:
            message = (
                f"too much happens: {MOST_STEPS} steps reach only {instants.isoformat(at)}; let the story end earlier"
            )
            raise InvalidFile([Mistake(self.story.file, *self.story.end_place, message)])
        if self.watch and not self.steps % _WATCH_EVERY:
            self.watch(at)
        for line in lines_of(effects, at, now, self.asked):
            if not self.mail_up and type(line) is Notification and line.channel == "mail":
                self.waiting_mail.append(line)
            else:
                trace.append(line)
        last = self.result.in_force[-1]
        if self.license.key is not last.key or self.license.policy is not last.policy:
            self.note_in_force(at)

    def note_in_force(self, at: int) -> None:
        lic = self.license
        self.result.in_force.append(InForce(at, lic.key, lic.policy, lic.dates))

    def deliver_mail(self, at: int) -> None:
        if self.mail_up:
            waiting, self.waiting_mail = self.waiting_mail, []
            for line in waiting:
                self.note(line._replace(at=at, clock=at + self.shift))

    def observed(self, at: int) -> dict[str, Any]:
        """Observe the license at an instant; its stored state, while the host sleeps."""
        lic = self.license
        stood_at = self.clock.now_ms()
        self.clock.move_to(at + self.shift)
        next_check = lic.next_check
        seen = {
            "entitlement": lic.state.entitlement,
            "auto_update": lic.state.auto_update,
            "status": lic.status,
            "warning": lic.job_warning,
            "days_remaining": lic.days_remaining,
            "next_check": None if next_check is None else instants.isoformat(instants.to_ms(next_check)),
        }
        self.clock.move_to(stood_at)
        return seen

    def expect(self, at: int, expect: Expect, place: tuple[int, int]) -> None:
        observed = self.observed(at) | self.counted()
        for what, expected in expect.values.items():
            wanted = expected
            if what.startswith("allows."):
                actual: Any = self.license.allows(self.story.jobs[what.removeprefix("allows.")])
            else:
                actual = observed[what]
                if what == "next_check" and expected is not None:
                    wanted = instants.isoformat(expected)
            if wanted != actual:
                self.result.failures.append(Failure(at, what, wanted, actual, place))

    def counted(self) -> dict[str, int]:
        """Count the lines of the trace so far, from where they were last counted."""
        trace = self.result.trace
        for line in trace[self.counted_to :]:
            if isinstance(line, Check):
                self.counts["checks"] += 1
                self.counts["failures"] += line.failed
            elif isinstance(line, Notification) and line.channel in _COUNTED_CHANNELS:
                self.counts[_COUNTED_CHANNELS[line.channel]] += 1
        self.counted_to = len(trace)
        return self.counts

    def judge_states(self) -> None:
        story = self.story
        seen = dict.fromkeys(self.result.first, story.start)
        for line in self.result.trace:
            if isinstance(line, Transition):
                seen.setdefault(line.target, line.at)
        for state in story.never:
            if state in seen:
                failure = Failure(seen[state], "never", f"no {state}", state, story.places["never"])
                self.result.failures.append(failure)
        for state in story.reaches:
            if state not in seen:
                failure = Failure(story.end, "reaches", state, "not seen", story.places["reaches"])
                self.result.failures.append(failure)
