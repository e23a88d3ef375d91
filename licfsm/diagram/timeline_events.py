"""What a timeline does with what lies close together: it joins events, or counts them, and keeps labels apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from licfsm.diagram.timeline_scene import WIDTH, clipped, width_of
from licfsm.instants import DAY, HOUR, MINUTE

__all__ = [
    "MOST_LEVELS",
    "Event",
    "binned",
    "close",
    "counted",
    "how_often",
    "joined",
    "kept_apart",
    "stretch_of",
    "together",
]

MOST_LEVELS: Final = 8
"""Over how many lines labels are spread to keep them apart; more would hide the picture below them."""

_STRETCHES: Final = {
    MINUTE: "a minute",
    5 * MINUTE: "in 5 minutes",
    15 * MINUTE: "in 15 minutes",
    HOUR: "an hour",
    3 * HOUR: "in 3 hours",
    6 * HOUR: "in 6 hours",
    12 * HOUR: "in 12 hours",
    DAY: "a day",
    7 * DAY: "a week",
    28 * DAY: "in 4 weeks",
    364 * DAY: "in 52 weeks",
    3_640 * DAY: "in 520 weeks",
    36_400 * DAY: "in 5200 weeks",
}
_MONDAY: Final = 4 * DAY
"""1970 began on a Thursday; weeks are counted from the Monday after."""


class Event(NamedTuple):
    """Something that takes no time.

    Attributes:
        at: when, in milliseconds, true time.
        x: when, by the zone's wall clock, in milliseconds.
        what: what the tooltip says.
        style: how it looks.
        words: what the picture says.

    """

    at: int
    x: int
    what: str
    style: str
    words: str = ""


class _Label(NamedTuple):
    begin: float
    end: float
    place: int
    align: Literal["left", "right"]


def close(events: Sequence[Event], gap: float) -> list[list[Event]]:
    """Group events, each of which follows the one before it closely."""
    groups: list[list[Event]] = []
    for event in sorted(events, key=lambda event: event.x):
        if groups and event.x - groups[-1][-1].x < gap:
            groups[-1].append(event)
        else:
            groups.append([event])
    return groups


def together(events: Sequence[Event], gap: float) -> list[list[Event]]:
    """Group events that would lie on one another: close to the first of their group."""
    groups: list[list[Event]] = []
    for event in events:
        if groups and abs(event.x - groups[-1][0].x) < gap:
            groups[-1].append(event)
        else:
            groups.append([event])
    return groups


def stretch_of(shortest: float) -> int:
    """Choose the stretch of time in which to count: the first that is long enough to be seen."""
    return next((stretch for stretch in _STRETCHES if stretch >= shortest), max(_STRETCHES))


def binned(events: Iterable[Event], stretch: int) -> dict[int, list[Event]]:
    """Sort events, in order, into stretches of time: begin -> events."""
    first = _MONDAY if stretch % (7 * DAY) == 0 else 0
    bins: dict[int, list[Event]] = {}
    for event in events:
        bins.setdefault((event.x - first) // stretch * stretch + first, []).append(event)
    return bins


def how_often(bins: dict[int, list[Event]], stretch: int) -> str:
    """Say how many events there are in a stretch; the first and the last one may be cut short."""
    counts = [len(events) for events in bins.values()]
    most, unit = max(counts), _STRETCHES[stretch]
    plain = next(length for length in (7 * DAY, DAY, HOUR, MINUTE) if stretch % length == 0)
    if most % (stretch // plain) == 0:  # twelve in 12 hours are one an hour
        most, unit = most // (stretch // plain), _STRETCHES[plain]
    even = min(counts[1:-1], default=0) == max(counts)
    return f"{most} {unit}" if even else f"up to {most} {unit}"


def joined(texts: Sequence[str], most: int = 3, longest: int = 60) -> str:
    """Join texts, each once; of many, only the first and how many there are."""
    shown = list(dict.fromkeys(texts))
    more = f", … ({len(texts)} in all)" if len(shown) > most else ""
    return clipped(", ".join(shown[:most]), longest) + more


def kept_apart(labels: Sequence[tuple[float, str]]) -> dict[int, tuple[int, Literal["left", "right"]]]:
    """Find room for the labels of lines that go down from them.

    Labels stand to the right of their lines, and from right to left each above those that begin within it:
    then no line passes through a label. At the right edge it is the other way round.

    Args:
        labels: where each line is, in pixels, and its words; without words it needs no room.

    Returns:
        Place in ``labels`` -> level, counted from below, and alignment; where there is no room, nothing.

    """
    lefts, rights = [], []
    for place, (px, text) in enumerate(labels):
        width = width_of(text) + 3
        if text and px + width <= WIDTH:
            lefts.append(_Label(px, px + width, place, "left"))
        elif text:
            rights.append(_Label(px - width, px, place, "right"))
    placed: dict[_Label, int] = {}
    for label in [*sorted(lefts, reverse=True), *sorted(rights, key=lambda label: label.end)]:
        below = [
            level for other, level in placed.items() if other.begin - 6 < label.end and label.begin < other.end + 6
        ]
        level = 1 + max(below, default=-1)
        if level < MOST_LEVELS:
            placed[label] = level
    return {label.place: (level, label.align) for label, level in placed.items()}


def counted(count: int, thing: str) -> str:
    """Say how many things there are."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
