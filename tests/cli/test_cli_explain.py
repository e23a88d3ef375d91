import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from licfsm.cli.main import main

STORY = """version: 1
policy: veeam-9
license: {id: ACME-1, type: subscription, expires: 2025-02-14}
start: 2025-02-10T09:00
until: expiry
timeline:
  - {at: start, server: connection_failed}
  - {at: start, host: enable}
  - {at: start + 2 days, server: up_to_date}
"""


@pytest.fixture
def story(tmp_path: Path) -> Path:
    """Write a story: hourly retries from 10 February 09:00, the server is back on the 12th at 09:00."""
    path = tmp_path / "story.yaml"
    path.write_text(STORY)
    return path


def explain(*arguments: object) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["explain", *map(str, arguments)])


class TestExplain:
    def test_at_a_time(self, story: Path) -> None:
        """Tells the states of that time, the rows that led there, and what comes next."""
        shown = explain(story, "--at", "2025-02-10T12:30").output
        for line in (
            "License ACME-1 (subscription, veeam-9) at 2025-02-10 12:30, UTC",
            "Entitlement: Expiring. Automatic update: Retrying.",
            "  2025-02-10 09:00  Expiring is what the key's dates said at first sight (2.5)",
            "  2025-02-10 09:00  enable: Off to Checking, asks at once (6.1)",
            "  2025-02-10 12:00  the latest of 3 checks since then came to connection_failed:",
            "  2025-02-10 13:00  the server is asked, after the retry interval (4.2)",
        ):
            assert f"{line}\n" in shown

    def test_times_are_written_as_in_the_file(self, story: Path) -> None:
        """``expiry`` and steps from it are understood, also after the story's own end."""
        assert (
            "at 2025-02-18 00:00, UTC\nThe key expired at 2025-02-15 00:00.\nEntitlement: Grace."
            in explain(story, "--at", "expiry + 3 days").output
        )

    def test_at_the_end_by_default(self, story: Path) -> None:
        """Without a time the story's end is told; what happens at that instant has happened."""
        assert (
            "at 2025-02-15 00:00, UTC\nThe key expired at 2025-02-15 00:00.\nEntitlement: Grace."
            in explain(story).output
        )

    def test_one_check_since(self, story: Path) -> None:
        """A single check that led back is not counted."""
        shown = explain(story, "--at", "2025-02-13T12:00").output
        assert "  2025-02-13 09:00  a check since then came to up_to_date: Your existing" in shown

    def test_since_when_it_fails_so(self, story: Path) -> None:
        """Where the kind of failure has changed, the first check of the present kind is told: at 11:00."""
        story.write_text(
            STORY.replace("start + 2 days, server: up_to_date", "start + 2 hours, server: request_refused")
        )
        story.write_text(story.read_text().replace("server: connection_failed", "server: {answer: connection_failed}"))
        shown = " ".join(explain(story, "--at", "2025-02-12T12:00").output.split())
        told = (
            "2025-02-12 11:00 the latest of 4 checks since then came to request_refused, as all since 2025-02-10 11:00:"
        )
        assert told in shown

    def test_under_another_policy_since(self, story: Path) -> None:
        """The words of an outcome are those of the policy that was in force then."""
        own = story.with_name("own.yaml")
        own.write_text("version: 1\npolicy: own\nextends: veeam-9\noutcomes: {up_to_date: {text: All is well}}\n")
        story.write_text(STORY + "  - {at: start + 1 day, world: {policy: own.yaml}}\n".replace("1 day", "2 days"))
        shown = explain(story, "--at", "2025-02-13T12:00").output
        assert "came to up_to_date: All is well (4.1)\n" in shown

    def test_before_anything_happened(self, story: Path) -> None:
        """A license that was never switched on says where it began."""
        story.write_text(STORY.replace("host: enable", "expect: {checks: 0}"))
        assert "  2025-02-10 09:00  Off is where a new license begins (6.1)\n" in explain(story).output

    def test_while_it_asks(self, story: Path) -> None:
        """A question under way is told by what began it."""
        story.write_text(STORY.replace("server: connection_failed", "server: {answer: up_to_date, takes: 1 hour}"))
        shown = explain(story, "--at", "start + 1 minute").output
        assert "  2025-02-10 09:00  enable: Off to Checking, asks at once (6.1)\n" in shown
        assert "  the answer to attempt 1 is awaited (7.3)\n" in shown

    def test_json(self, story: Path) -> None:
        """The same as one JSON document."""
        told = json.loads(explain(story, "--at", "expiry", "--json").output)
        assert ("ACME-1", "2025-02-15T00:00:00+00:00", "Grace", "2.2") == (
            told["license"],
            told["at"],
            told["state"]["entitlement"],
            told["why"][0]["rule"],
        )


class TestRefused:
    def test_a_time_that_is_none(self, story: Path) -> None:
        """A wrong time is told with the right form."""
        shown = explain(story, "--at", "tomorrow")
        assert (2, "--at: 'tomorrow' is no time; write 2025-02-14T09:00, start, expiry, or expiry + 2 days\n") == (
            shown.exit_code,
            shown.stderr,
        )

    def test_a_time_before_the_start(self, story: Path) -> None:
        """Nothing was before the story began."""
        shown = explain(story, "--at", "2025-02-01")
        told = "--at: 2025-02-01T00:00:00+00:00 lies before the start of the story, 2025-02-10T09:00:00+00:00\n"
        assert (2, told) == (shown.exit_code, shown.stderr)

    def test_a_time_without_meaning(self, story: Path) -> None:
        """A perpetual key has no expiry to count from."""
        story.write_text(STORY.replace(", expires: 2025-02-14", "").replace("until: expiry\n", ""))
        shown = explain(story, "--at", "expiry")
        assert (2, "--at: 'expiry' has no meaning here: the first key has none; write a time\n") == (
            shown.exit_code,
            shown.stderr,
        )

    def test_a_file_with_mistakes(self, story: Path) -> None:
        """A refused file is told as everywhere."""
        story.write_text(STORY.replace("version: 1", "version: 1\nexpect: 2"))
        shown = explain(story)
        assert (2, f"{story}:2:1: unknown key 'expect'") == (shown.exit_code, shown.stderr.partition(";")[0])
