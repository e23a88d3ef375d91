"""What `licfsm replay --json` prints: one document a scenario, in the form that design and README promise."""

from __future__ import annotations

from typing import Any

from licfsm.errors import Mistake
from licfsm.instants import isoformat
from licfsm.scenario.replay import Action, Check, Line, Notification, Replay, Transition

__all__ = ["document", "refused_document"]


def document(result: Replay) -> dict[str, Any]:
    """Describe a replayed scenario."""
    return {
        "version": 1,
        "scenario": result.story.name,
        "file": result.story.file,
        "policy": result.story.policy.name,
        "passed": result.passed,
        "failures": [
            {"at": isoformat(failure.at), "what": failure.what, "expected": failure.expected, "actual": failure.actual}
            for failure in result.failures
        ],
        "trace": [_line(line) for line in result.trace if not (isinstance(line, Action) and line.kind == "server")],
        "final": result.final,
    }


def refused_document(file: str, mistakes: list[Mistake]) -> dict[str, Any]:
    """Describe a refused file."""
    return {
        "version": 1,
        "file": file,
        "errors": [
            {
                "line": mistake.line,
                "column": mistake.column,
                "message": mistake.message if mistake.file == file else str(mistake),
            }
            for mistake in mistakes
        ],
    }


def _line(line: Line) -> dict[str, Any]:
    told: dict[str, Any] = {"at": isoformat(line.at)}
    if line.clock != line.at:
        told["clock"] = isoformat(line.clock)
    if isinstance(line, Transition):
        told |= {
            "due": isoformat(line.due),
            "kind": "transition",
            "region": line.region,
            "trigger": line.trigger,
            "source": line.source,
            "target": line.target,
        }
    elif isinstance(line, Check):
        told |= {
            "asked": isoformat(line.asked),
            "due": isoformat(line.due),
            "kind": "check",
            "outcome": line.outcome,
        }
    elif isinstance(line, Notification):
        told |= {"kind": "notification", "channel": line.channel, "name": line.name, "text": line.text}
    else:
        told |= {"kind": line.kind, "action": line.action}
    return told
