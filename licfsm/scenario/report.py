"""What `licfsm replay --json` prints: one document a scenario, in the form that design and README promise."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from licfsm.errors import Mistake
from licfsm.instants import isoformat
from licfsm.scenario.replay import Action, Check, Line, Notification, Replay, Transition

__all__ = ["line_document", "refused_document", "reported", "written"]


def written(result: Replay, more: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Write a replayed scenario as JSON, bit by bit: a long trace is never in memory as a whole.

    Args:
        result: the replayed scenario.
        more: further keys, which come last.

    Yields:
        Pieces that together are one JSON document, as ``json.dumps`` would write it.

    """
    yield json.dumps(_head(result)).removesuffix("}") + ', "trace": ['
    separator = ""
    for line in reported(result):
        yield separator + json.dumps(line_document(line))
        separator = ", "
    yield "], " + json.dumps({"final": result.final} | dict(more or {})).removeprefix("{")


def reported(result: Replay) -> Iterator[Line]:
    """Give the lines of the trace that are reported; how the server would answer is none of them."""
    return (line for line in result.trace if not (isinstance(line, Action) and line.kind == "server"))


def _head(result: Replay) -> dict[str, Any]:
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


def line_document(line: Line) -> dict[str, Any]:
    """Describe a line of the trace."""
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
        told |= {"kind": line.kind, "action": line.words(isoformat)}
    return told
