"""The engine and the plain model, side by side."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from dates import iso
from model import Lived, live

from licfsm.loading.scenarios import load_scenario
from licfsm.scenario.replay import Check, Notification, Transition, replay


def engine(text: str, folder: Path) -> Lived:
    """Live through a scenario file's text with the engine."""
    path = folder / "story.yaml"
    path.write_text(text, encoding="utf-8")
    done = replay(load_scenario(path))
    lived = Lived([], [], [], done.final)
    for line in done.trace:
        if isinstance(line, Transition):
            lived.transitions.append((line.at, line.due, line.region, line.source, line.target))
        elif isinstance(line, Check):
            lived.checks.append((line.at, line.asked, line.due, line.outcome))
        elif isinstance(line, Notification):
            lived.notifications.append((line.at, line.channel, line.name))
    return lived


def differences(text: str, folder: Path) -> list[str]:
    """Say where the engine and the model first differ, of each kind of line; nothing where they agree."""
    theirs, ours = engine(text, folder), live(text)
    found = []
    for kind in ("transitions", "checks"):
        found += first(kind, getattr(theirs, kind), getattr(ours, kind))
    told, expected = Counter(theirs.notifications), Counter(ours.notifications)
    found += first("notifications", sorted((told - expected).elements()), sorted((expected - told).elements()))
    found += first("final", list(theirs.final.items()), list(ours.final.items()))
    return found


def first(kind: str, theirs: list, ours: list) -> list[str]:
    """Show the first line that differs."""
    for number in range(max(len(theirs), len(ours))):
        one = theirs[number] if number < len(theirs) else None
        other = ours[number] if number < len(ours) else None
        if one != other:
            return [
                f"{kind}, line {number + 1}: engine {shown(one)}",
                f"{kind}, line {number + 1}: model  {shown(other)}",
            ]
    return []


def shown(line: tuple | None) -> str:
    """Write a line with its instants readable."""
    return "nothing" if line is None else ", ".join(iso(x) if isinstance(x, int) and x > 1e9 else str(x) for x in line)
