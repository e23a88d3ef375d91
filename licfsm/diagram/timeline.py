"""A replayed scenario as a picture over time: what is shown, and where; `timeline_chart` draws it.

Everything is laid out here, in pixels downward and in milliseconds of the zone's wall clock to the
right, so that names and labels can be kept apart. Many marks that lie closer than an eye can tell are
drawn as density: bars that count them by the hour, the day, the week.
"""

from __future__ import annotations

import datetime as dt
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from licfsm import instants
from licfsm.diagram.timeline_events import (
    MOST_LEVELS,
    Event,
    binned,
    close,
    counted,
    how_often,
    joined,
    kept_apart,
    stretch_of,
    together,
)
from licfsm.diagram.timeline_scene import WIDTH, Box, Line, Mark, Scene, Word, clipped, width_of
from licfsm.diagram.wording import name_of
from licfsm.errors import InvalidValue
from licfsm.instants import HOUR, MINUTE, NEVER
from licfsm.key import clean_text
from licfsm.lifecycle import CHECKING, ENTITLEMENT, REGIONS
from licfsm.policy import NOTIFICATIONS, OUTCOMES
from licfsm.scenario.account import when
from licfsm.scenario.replay import Action, Check, Notification, Replay, Transition

__all__ = ["draw_timeline", "drawn_by", "scene_of"]

_NAMES: Final = {ENTITLEMENT: "entitlement", "auto_update": "automatic update"}
_DEADLINES: Final = {
    "announce_at": "announced",
    "expiring_at": "Expiring begins",
    "expires_at": "expires",
    "grace_until": "grace ends",
    "retry_until": "retrying ends",
}
_LAST_DAYS: Final = frozenset({"expires", "grace ends", "retrying ends"})
"""Of these, people know the last day, not the midnight that ends it."""
_ACTORS: Final = {
    "server": "server's answer",
    "world": "world",
    "host": "host",
    "key not written to": "key not written to",
    "key written to": "key written to",
}
_SHORT: Final = {"AutoUpdateDisabled": "Disabled", "FreeMode": "Free"}
_NARROWEST_BAR: Final = 5.0
_TICKS_CLOSE: Final = 4.5
_MARKS_CLOSE: Final = 10.0
_CROWD: Final = 5
"""So many marks, each so close to the next, are a crowd: drawn as density."""

_LANE: Final = 24
_ROW: Final = 28
_GAP: Final = 6
_LEVEL: Final = 15
_SLIVER: Final = 1.0
_TOGETHER: Final = 3.0
_LETTER: Final = 9.0
_EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - a wall clock has no zone
_MS: Final = dt.timedelta(milliseconds=1)


_Draw = Callable[[Event, float, float], None]


class _State(NamedTuple):
    name: str
    start: int
    end: int


def draw_timeline(result: Replay, path: Path) -> None:
    """Write the picture of a replay, as SVG or HTML by the path's suffix; all of it or nothing.

    Raises:
        InvalidValue: it is another suffix, or what draws is not installed.
        OSError: it cannot be written.

    """
    text = drawn_by(path)(scene_of(result))
    part = path.with_name(f".{os.getpid()}{path.suffix}")  # beside it, so that it can take its place in one step
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(path)
    except OSError as error:
        error.filename = str(path)  # nobody asked for the other one
        raise
    finally:
        part.unlink(missing_ok=True)


def drawn_by(path: Path) -> Callable[[Scene], str]:
    """Find what draws a file, by its suffix.

    Raises:
        InvalidValue: it is another suffix than ``.svg`` and ``.html``, or what draws is not installed.

    """
    suffix = path.suffix.lower()
    if suffix not in {".svg", ".html"}:
        message = f"a timeline is written to a file that ends in .svg or .html, not to {path.name!r}"
        raise InvalidValue(message)
    try:
        from licfsm.diagram.timeline_chart import html_of, svg_of
    except ImportError:
        message = "timelines need altair and vl-convert: pip install 'licfsm[plot]'"
        raise InvalidValue(message) from None
    return svg_of if suffix == ".svg" else html_of


def scene_of(result: Replay) -> Scene:
    """Lay out the picture of a replay."""
    return _Layout(result).scene


class _Layout:
    """Fills a scene from top to bottom; ``y`` is how far it has come."""

    def __init__(self, result: Replay) -> None:
        self.result = result
        story = result.story
        self.zone = story.key.zone
        self.start = self.wall(story.start)
        end = max(self.wall(story.end), self.start)
        # What happens at the last instant is seen only if the picture goes on a little.
        self.end = end + max((end - self.start) // 40, MINUTE if end > self.start else HOUR)
        failures = len(result.failures)
        judged = ": passed" if not failures else f": FAILED: {failures} not as expected"
        if not story.file:
            judged = ""  # what a host went through; nobody expected anything
        self.scene = Scene(
            clipped(clean_text(story.name), 100),
            [
                clipped(
                    clean_text(f"{story.key.id}, {story.key.type}, {story.policy.name}, {self.zone.name}{judged}"),
                    120,
                ),
                f"{self.when(story.start)} to {self.when(story.end)}",
            ],
            self.start,
            self.end,
        )
        if any(line.clock != line.at for line in result.trace):
            self.scene.about[1] += "; true time, the host's clock differs at times"
        self.y = 0.0
        self.draw()

    def draw(self) -> None:
        self.deadlines()
        top = self.y
        for region, first in zip(REGIONS, self.result.first, strict=True):
            self.lane(region, first)
        self.checks()
        self.notices()
        self.actions()
        self.failures()
        self.sleep(top)
        for line in self.scene.deadlines:
            line.bottom = self.y
        self.scene.height = self.y

    # ---------------------------------------------------------------------------------------------- time

    def wall(self, at: int) -> int:
        """Read the zone's wall clock, as milliseconds that vega is told are UTC."""
        return (instants.wall(at, self.zone) - _EPOCH) // _MS

    def when(self, at: int) -> str:
        return when(at, self.zone)

    def px(self, x: float) -> float:
        return (x - self.start) / (self.end - self.start) * WIDTH

    def ms(self, px: float) -> float:
        return px / WIDTH * (self.end - self.start)

    def event(self, line: Check | Notification | Action, what: str, style: str, words: str = "") -> Event:
        aside = f" (the host's clock: {self.when(line.clock)})" if line.clock != line.at else ""
        return Event(line.at, self.wall(line.at), clean_text(what) + aside, style, clean_text(words))

    def span(self, events: Sequence[Event]) -> str:
        first, last = self.when(events[0].at), self.when(events[-1].at)
        return first if first == last else f"{first} to {last}"

    # ---------------------------------------------------------------------------------------------- lanes

    def lane(self, region: str, first: str) -> None:
        top, bottom = self.y, self.y + _LANE
        self.scene.headings.append(Word(0, (top + bottom) / 2, _NAMES[region]))
        for state in self.states(region, first):
            left, right = self.wall(state.start), self.end
            lasted = f"{self.when(state.start)} to {self.when(state.end)}"
            if state.end < self.result.story.end:
                right = max(left, self.wall(state.end))
            self.scene.boxes.append(Box(left, right, top, bottom, state.name, lasted, state.name))
            room = self.px(right) - self.px(left)
            names = (state.name, _SHORT.get(state.name, state.name))
            text = next((name for name in names if width_of(name) + 6 <= room), names[-1][0] if room >= _LETTER else "")
            if text:
                style = f"in {state.name}"
                self.scene.words.append(Word((left + right) / 2, (top + bottom) / 2, text, "center", style))
        self.y = bottom + _GAP

    def states(self, region: str, first: str) -> list[_State]:
        """List a region's states, without those of no length and checks too short to be seen.

        An hourly retry is then one bar, and not one for each hour.
        """
        start, end = self.result.story.start, self.result.story.end
        moves = [(start, first)]
        moves += [
            (line.at, line.target)
            for line in self.result.trace
            if isinstance(line, Transition) and line.region == region
        ]
        untils = [at for at, _ in moves[1:]]
        shortest = self.ms(_SLIVER)
        found: list[_State] = []
        for (at, name), until in zip(moves, [*untils, None], strict=True):
            if until is not None and (until == at or (name == CHECKING and until - at < shortest)):
                continue
            began = at
            if found:
                began = found[-1].end
                if found[-1].name == name:
                    began = found.pop().start
            found.append(_State(name, began, end if until is None else until))
        return found

    # ---------------------------------------------------------------------------------------------- rows

    def checks(self) -> None:
        by_outcome: dict[str, list[Event]] = {name: [] for name in OUTCOMES}
        for line in self.result.trace:
            if isinstance(line, Check):
                style = "failed check" if line.failed else "good check"
                by_outcome[line.outcome].append(self.event(line, f"check: {name_of(line.outcome)}", style))
        for outcome, events in by_outcome.items():
            if events:
                top, bottom = self.row(name_of(outcome), counted(len(events), "check"))
                self.marked(events, top + 3, bottom - 3, self.tick, _TICKS_CLOSE)

    def notices(self) -> None:
        """Show mail in the upper half of a notice's row, the report in the lower one."""
        found: dict[str, dict[str, list[Event]]] = {name: {"mail": [], "report": []} for name in NOTIFICATIONS}
        for line in self.result.trace:
            if isinstance(line, Notification) and line.channel in {"mail", "report"}:
                event = self.event(line, f"{line.channel}: {line.text}", line.channel)
                found[line.name][line.channel].append(event)
        for name, channels in found.items():
            counts = [counted(len(events), channel) for channel, events in channels.items() if events]
            if counts:
                top, bottom = self.row(name_of(name), ", ".join(counts))
                middle = (top + bottom) / 2
                self.marked(channels["mail"], top + 2, middle - 1, self.point, _MARKS_CLOSE)
                self.marked(channels["report"], middle + 1, bottom - 2, self.point, _MARKS_CLOSE)

    def row(self, heading: str, below: str) -> tuple[float, float]:
        top, bottom = self.y, self.y + _ROW
        self.scene.backs.append(Box(self.start, self.end, top, bottom, "row"))
        self.scene.headings.append(Word(0, top + 9, heading))
        self.scene.headings.append(Word(0, top + 20, below, style="dim"))
        self.y = bottom + 3
        return top, bottom

    def marked(self, events: Sequence[Event], top: float, bottom: float, mark: _Draw, near: float) -> None:
        """Show events one by one where they can be told apart, as density where they crowd."""
        crowds = []
        for group in close(events, self.ms(near)):
            if len(group) >= _CROWD:
                crowds.append(group)
            else:
                for event in group:
                    mark(event, top, bottom)
        stretch = stretch_of(self.ms(_NARROWEST_BAR))
        binned_crowds = [binned(group, stretch) for group in crowds]
        most = max((len(events) for bins in binned_crowds for events in bins.values()), default=1)
        for bins in binned_crowds:
            self.density(bins, stretch, bottom, (bottom - top) / most)

    def density(self, bins: dict[int, list[Event]], stretch: int, bottom: float, each: float) -> None:
        left, right = max(min(bins), self.start), min(max(bins) + stretch, self.end)
        for begin, events in bins.items():
            begun, ended = max(begin, left), min(begin + stretch, right)
            kinds = Counter(event.what for event in events)
            what = joined([f"{times} × {clipped(kind, 200)}" for kind, times in kinds.items()], most=4, longest=800)
            top = bottom - each * len(events)
            style = f"many: {events[0].style}"
            self.scene.boxes.append(Box(begun, ended, top, bottom, style, self.span(events), what))
        often = how_often(bins, stretch)
        if len(bins) > 1 and width_of(often) + 6 <= self.px(right) - self.px(left):
            middle = bottom - each * max(len(events) for events in bins.values()) / 2
            self.scene.words.append(Word((left + right) / 2, middle, often, "center"))

    def tick(self, event: Event, top: float, bottom: float) -> None:
        self.scene.ticks.append(Line(event.x, top, bottom, event.style, self.when(event.at), event.what))

    def point(self, event: Event, top: float, bottom: float) -> None:
        self.scene.marks.append(Mark(event.x, (top + bottom) / 2, event.style, self.when(event.at), event.what))

    # ---------------------------------------------------------------------------------------------- words

    def actions(self) -> None:
        for kind, heading in _ACTORS.items():
            events = []
            for line in self.result.trace:
                if isinstance(line, Action) and line.kind == kind:
                    words = name_of(line.words(self.when))
                    events.append(self.event(line, f"{kind}: {words}", kind, words.partition(" until ")[0]))
            self.worded(heading, events)

    def failures(self) -> None:
        events = []
        for failure in self.result.failures:
            what = clean_text(f"{failure.what}: expected {failure.expected}, got {failure.actual}")
            events.append(Event(failure.at, self.wall(failure.at), what, "not as expected", what))
        events.sort(key=lambda event: event.at)
        self.worded("not as expected", events)

    def worded(self, heading: str, events: Sequence[Event]) -> None:
        """Write events out beside their marks, on as many levels as keep the words apart."""
        if not events:
            return
        self.scene.headings.append(Word(0, self.y + _LEVEL / 2, heading))
        ends: list[float] = []
        for group in together(events, self.ms(_TOGETHER)):
            first = group[0]
            text = joined([event.words for event in group])
            at = self.px(first.x)
            left = at + 9 + width_of(text) > WIDTH and at - 9 - width_of(text) >= 0
            begin = at - 9 - width_of(text) if left else at - 5
            level = next((level for level, end in enumerate(ends) if end < begin), len(ends))
            if level < MOST_LEVELS:
                ends[level : level + 1] = [(at + 5 if left else at + 9 + width_of(text)) + 6]
                align: Literal["left", "right"] = "right" if left else "left"
                x = first.x + self.ms(-8 if left else 8)
                self.scene.words.append(Word(x, self.y + (level + 0.5) * _LEVEL, text, align))
            y = self.y + (min(level, MOST_LEVELS - 1) + 0.5) * _LEVEL
            what = joined([event.what for event in group], most=8, longest=400)
            self.scene.marks.append(Mark(first.x, y, first.style, self.span(group), what))
        self.y += len(ends) * _LEVEL + _GAP

    def sleep(self, top: float) -> None:
        since: int | None = None
        for line in self.result.trace:
            if isinstance(line, Action) and line.kind == "host":
                if line.action.startswith("suspend"):
                    since = line.at
                elif line.action == "wake" and since is not None:
                    self.asleep(since, line.at, top)
                    since = None
        if since is not None:
            self.asleep(since, self.result.story.end, top)

    def asleep(self, since: int, until: int, top: float) -> None:
        right = self.end if until == self.result.story.end else self.wall(until)
        lasted = f"{self.when(since)} to {self.when(until)}"
        self.scene.boxes.append(Box(self.wall(since), right, top, self.y, "asleep", lasted, "the host is asleep"))

    # ---------------------------------------------------------------------------------------------- deadlines

    def deadlines(self) -> None:
        """Draw each deadline's line down from its label; where there are too many, label only those that stood."""
        lines = self.deadline_lines()
        labels = kept_apart([(self.px(x), text) for x, _, text, _ in lines])
        if len(labels) < len(lines):
            labels = kept_apart([(self.px(x), text if style == "deadline" else "") for x, style, text, _ in lines])
        levels = 1 + max((level for level, _ in labels.values()), default=-1)
        for place, (x, style, text, tip) in enumerate(lines):
            level, align = labels.get(place, (levels - 1, None))
            y = (levels - 1 - level) * _LEVEL
            self.scene.deadlines.append(Line(x, y, 0, style, *tip))
            if align:
                ink = "dim" if style == "replaced deadline" else ""
                beside = x + self.ms(-3 if align == "right" else 3)
                self.scene.words.append(Word(beside, y + _LEVEL / 2, text, align, ink))
        self.y = levels * _LEVEL + 4.0

    def deadline_lines(self) -> list[tuple[int, str, str, tuple[str, str]]]:
        """List the deadlines in the picture: wall clock, style, label, tooltip."""
        story = self.result.story
        found: dict[tuple[int, str], bool] = {}
        in_force = self.result.in_force
        untils = [force.at for force in in_force[1:]]
        for force, until in zip(in_force, [*untils, NEVER], strict=True):
            for name, words in _DEADLINES.items():
                at = getattr(force.dates, name)
                if story.start <= at <= story.end and not (name == "grace_until" and at == force.dates.expires_at):
                    stood = force.at <= at <= until
                    found[at, words] = found.get((at, words), False) or stood
        events = [
            Event(at, self.wall(at), words, "deadline" if stood else "replaced deadline")
            for (at, words), stood in sorted(found.items(), key=lambda item: item[0][0])
        ]
        lines = []
        for style in ("deadline", "replaced deadline"):
            of_style = [event for event in events if event.style == style]
            for group in together(of_style, self.ms(1.5)):
                words = joined([event.what for event in group])
                day = self.when(group[0].at)
                if day.endswith(" 00:00"):
                    ends = _LAST_DAYS.issuperset(event.what for event in group)
                    day = f"after {self.when(group[0].at - 1)[:10]}" if ends else day[:10]
                aside = " (replaced)" if style == "replaced deadline" else ""
                lines.append((group[0].x, style, f"{words} {day}{aside}", (self.span(group), words + aside)))
        return lines
