import json
from collections.abc import Callable

import pytest

from licfsm.errors import Mistake
from licfsm.scenario.replay import Replay
from licfsm.scenario.report import refused_document, written

Live = Callable[..., Replay]

RENEWED = """scenario: A story
start: 2025-02-10T09:00
timeline:
  - {at: start, server: {answer: new_key, expires: 2026-02-14}}
  - {at: start, host: enable}
"""


def document(result: Replay) -> dict[str, object]:
    """Read what is written."""
    return json.loads("".join(written(result)))


class TestDocument:
    def test_its_fields(self, live: Live) -> None:
        """The fields stand in the order that the contract names."""
        assert ["version", "scenario", "file", "policy", "passed", "failures", "trace", "final"] == [
            *document(live(RENEWED))
        ]

    def test_its_head(self, live: Live) -> None:
        """The head names the scenario, its file and its first policy."""
        found = document(live(RENEWED))
        assert (1, "A story", "story.yaml", "veeam-9", True, []) == tuple(found.values())[:6]

    def test_its_end(self, live: Live) -> None:
        """The end says what is observed then: 14 February 2026 is 370 days after 10 February 2025."""
        final = {
            "entitlement": "Valid",
            "auto_update": "Scheduled",
            "status": "Valid (370 days until expiration)",
            "warning": None,
            "days_remaining": 370,
            "next_check": "2025-02-17T09:00:00+00:00",
        }
        found = document(live(RENEWED))["final"]
        assert (final, [*final]) == (found, [*found])

    def test_its_trace(self, live: Live) -> None:
        """The trace has each kind of line with its fields, in order; the first sight told that it expires soon."""
        at = "2025-02-10T09:00:00+00:00"
        notice = {"at": at, "kind": "notification"}
        soon = notice | {"name": "expiring", "text": "License LICENSE-1 expires in 5 days"}
        key = notice | {
            "name": "key_installed",
            "text": "New license key has been installed for LICENSE-1, valid until 2026-02-14",
        }
        moved = {"at": at, "due": at, "kind": "transition"}
        assert [
            *(soon | {"channel": channel} for channel in ("report", "mail", "log")),
            {"at": at, "kind": "host", "action": "enable"},
            moved | {"region": "auto_update", "trigger": "enable", "source": "Off", "target": "Checking"},
            {"at": at, "asked": at, "due": at, "kind": "check", "outcome": "new_key"},
            moved | {"region": "entitlement", "trigger": "new_key", "source": "Expiring", "target": "Valid"},
            moved | {"region": "auto_update", "trigger": "renewed", "source": "Checking", "target": "Scheduled"},
            *(key | {"channel": channel} for channel in ("report", "mail", "log")),
        ] == document(live(RENEWED))["trace"]

    def test_the_order_of_a_lines_fields(self, live: Live) -> None:
        """The fields of each kind of line stand in the order that the contract names."""
        orders = {line["kind"]: [*line] for line in document(live(RENEWED))["trace"]}
        assert {
            "notification": ["at", "kind", "channel", "name", "text"],
            "host": ["at", "kind", "action"],
            "transition": ["at", "due", "kind", "region", "trigger", "source", "target"],
            "check": ["at", "asked", "due", "kind", "outcome"],
        } == orders

    def test_the_hosts_clock(self, live: Live) -> None:
        """The host's clock stands beside the true time only where it differs."""
        found = document(
            live(
                "start: 2025-02-01\ntimeline: [{at: start, host: restart}, {at: start + 1 day, world: {clock: 2025-02-01}}]\n"
            )
        )
        assert [None, "2025-02-01T00:00:00+00:00"] == [line.get("clock") for line in found["trace"][:2]]

    def test_a_failure(self, live: Live) -> None:
        """A failed expectation is told with its time, and expected and actual side by side."""
        found = document(live("start: 2025-02-01\ntimeline: [{at: start, expect: {checks: 1, warning: x}}]\n"))
        at = "2025-02-01T00:00:00+00:00"
        assert (False, [
            {"at": at, "what": "checks", "expected": 1, "actual": 0},
            {"at": at, "what": "warning", "expected": "x", "actual": None},
        ]) == (found["passed"], found["failures"])  # fmt: skip

    def test_it_is_json(self, live: Live) -> None:
        """It survives being written and read as JSON."""
        found = document(live(RENEWED))
        assert found == json.loads(json.dumps(found))


class TestWritten:
    @pytest.mark.parametrize(
        "story", [RENEWED, "start: 2025-01-01\n", "start: 2025-02-01\ntimeline: [{at: start, expect: {checks: 1}}]\n"]
    )
    def test_it_is_the_document(self, live: Live, story: str) -> None:
        """What is written bit by bit is the document as JSON, byte for byte; without a trace and failing, too."""
        result = live(story)
        assert json.dumps(document(result)) == "".join(written(result))

    def test_more_keys(self, live: Live) -> None:
        """Further keys come last."""
        result = live(RENEWED)
        assert json.dumps(document(result) | {"more": [1]}) == "".join(written(result, {"more": [1]}))

    def test_no_piece_is_long(self, live: Live) -> None:
        """No piece grows with the trace: none is longer than the head or a line."""
        result = live(
            "start: 2025-02-01\nuntil: 2025-02-06\ntimeline: [{at: start, host: enable}]\n".replace(
                "[", "[{at: start, server: connection_failed}, "
            )
        )
        assert (True, True) == (len(result.trace) > 500, max(map(len, written(result))) < 1_000)


class TestRefused:
    def test_its_fields(self) -> None:
        """A refused file is told with all its mistakes; one in another file says in which."""
        mistakes = [Mistake("a.yaml", 1, 2, "wrong"), Mistake("own.yaml", 3, 4, "bad")]
        assert {
            "version": 1,
            "file": "a.yaml",
            "errors": [
                {"line": 1, "column": 2, "message": "wrong"},
                {"line": 3, "column": 4, "message": "own.yaml:3:4: bad"},
            ],
        } == refused_document("a.yaml", mistakes)
