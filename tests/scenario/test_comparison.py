from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from licfsm.errors import InvalidFile
from licfsm.loading.policies import built_in, load_policy
from licfsm.scenario import replay as engine
from licfsm.scenario.comparison import Comparison, compare, comparison_document
from licfsm.scenario.replay import Replay

Live = Callable[..., Replay]
Against = Callable[..., Comparison]

REFUSED = "timeline: [{at: start, server: request_refused}, {at: start, host: enable}]\n"
UNREACHED = "timeline: [{at: start, server: connection_failed}, {at: start, host: enable}]\n"
HALF_A_DAY = "outcomes: {connection_failed: {retry: 12 hours}}\n"


@pytest.fixture
def against(live: Live, tmp_path: Path) -> Against:
    """Live through a story, and compare it with a built-in policy, or with veeam-9 but for some lines."""

    def compared(rest: str, policy: str, **options: str) -> Comparison:
        result = live(rest, **options)
        if ":" not in policy:
            return compare(result, built_in(policy))
        path = tmp_path / "own.yaml"
        path.write_text("version: 1\npolicy: own\nextends: veeam-9\n" + policy)
        return compare(result, load_policy(path))

    return compared


def rows(compared: Comparison) -> list[tuple[float, str, str]]:
    """Give the rows: days since the start, what happened here, and there."""
    start = compared.here.story.start
    return [
        ((instant.at - start) / 86_400_000, here.text if here else "", there.text if there else "")
        for instant in compared.instants
        for here, there in instant.rows
    ]


class TestRows:
    def test_another_grace(self, against: Against) -> None:
        """Only the days told, the earlier end of grace, and what happens in other states from then on.

        Grace begins 02-15 00:00, 4.5 days after the start, and has 30 days, or 14: to the end of 02-28, 18.5 days.
        """
        compared = against("start: 2025-02-10T12:00\nuntil: 2025-03-04T12:00\n" + REFUSED, "veeam-7")
        expired = "mail: License LICENSE-1 has expired, {} days of grace period remaining"
        run = "4 × request_refused, every 24 hours, until 2025-03-04 12:00 (4 mails)"
        assert [
            (4.5, expired.format(30), expired.format(14)),
            (18.5, "", "grace_over: Grace to FreeMode"),
            (18.5, "", "mail: License LICENSE-1 has expired; only free functionality is available"),
            (19.0, run, run),
        ] == rows(compared)

    def test_states(self, against: Against) -> None:
        """Beside each instant stand both states after it, here and there, also where nothing happened."""
        compared = against("start: 2025-02-10T12:00\nuntil: 2025-03-04T12:00\n" + REFUSED, "veeam-7")
        assert [
            (("Grace", "Retrying"), ("Grace", "Retrying")),
            (("Grace", "Retrying"), ("FreeMode", "Retrying")),
            (("Grace", "Retrying"), ("FreeMode", "Retrying")),
        ] == [(instant.here, instant.there) for instant in compared.instants]

    def test_states_after_all_of_it(self, against: Against) -> None:
        """The states are those after all that happened at the instant: grace is over on 03-01, then it is disabled."""
        story = "start: 2025-02-20\ntimeline: [{at: start, host: enable}, {at: 2025-03-01, host: disable}]\n"
        last = against(story, "veeam-7").instants[-1]
        assert (("Grace", "Off"), ("FreeMode", "Off")) == (last.here, last.there)

    def test_the_same_policy(self, against: Against) -> None:
        """Under the same policy nothing differs, though checks, mails and changes abound."""
        compared = against("start: 2025-02-10\nuntil: 2025-04-01\n" + UNREACHED, "veeam-9")
        assert (False, [], [], [], {}) == (
            compared.differs,
            compared.instants,
            compared.only_here,
            compared.only_there,
            compared.final,
        )

    def test_another_rhythm(self, against: Against) -> None:
        """Retries every hour and every 12 hours are two runs, though they meet: 48 + 1 and 4 + 1 in two days."""
        compared = against("start: 2025-02-10\nuntil: 2025-02-12\n" + UNREACHED, HALF_A_DAY)
        assert [
            (
                0.0,
                "49 × connection_failed, every 60 minutes, until 2025-02-12 00:00 (49 mails)",
                "5 × connection_failed, every 12 hours, until 2025-02-12 00:00 (5 mails)",
            )
        ] == rows(compared)

    def test_runs_that_part(self, against: Against) -> None:
        """Of two runs that part, only what comes after is shown: retrying ends 5 days after 02-14, or 28.

        Six checks from 02-14 on are the same; the seventh, on 02-20 00:00, is the last one there, and one of many here.
        """
        compared = against("start: 2025-02-14\nuntil: 2025-02-23\n" + REFUSED, "retry_period: 5 days\n")
        given_up = (
            "mail: Automatic license update has been disabled: the retry period is over and no new license key has come"
        )
        assert [
            (6.0, "4 × request_refused, every 24 hours, until 2025-02-23 00:00 (4 mails)", "check: request_refused"),
            (6.0, "", given_up),
        ] == rows(compared)

    def test_mail(self, against: Against) -> None:
        """That something is mailed, or only reported, is a difference."""
        compared = against("start: 2025-02-10\n" + UNREACHED, "mail_repeat: none\n")
        assert [
            (
                0.0,
                "mail: License LICENSE-1 expires in 5 days",
                "report: License LICENSE-1 expires in 5 days",
            ),
            (0.0, "check: connection_failed (mailed)", "check: connection_failed"),
        ] == rows(compared)

    def test_the_words_of_a_failure(self, against: Against) -> None:
        """What is told of a failed check is shown where the policies word it otherwise, and only there."""
        compared = against(
            "start: 2025-02-10\nmail: none\n" + UNREACHED, "outcomes: {connection_failed: {text: No line}}\n"
        )
        assert [
            (
                0.0,
                "check: connection_failed: License key auto-update failed: The license server could not be reached",
                "check: connection_failed: License key auto-update failed: No line",
            )
        ] == rows(compared)

    def test_the_start(self, against: Against) -> None:
        """States that differ from the first instant on are shown there: 02-10 lies within 14 days, but not within 3."""
        compared = against("start: 2025-02-10\n", "expiring: 3 days\n")
        assert [
            (0.0, "at the start", "at the start"),
            (0.0, "mail: License LICENSE-1 expires in 5 days", ""),
        ] == rows(compared)

    def test_side_by_side(self, against: Against) -> None:
        """Lines of one instant that tell of the same thing share a row, whatever stands before them.

        The key of 02-20 is renewed to end on 02-25: it lies within 7 days of it here, within none of 3 there.
        """
        renewed = (
            "start: 2025-02-20\ntimeline: [{at: start, server: {answer: new_key, expires: 2025-02-25}},"
            " {at: start, host: enable}]\n"
        )
        told = [(here, there) for _, here, there in rows(against(renewed, "expiring: 3 days\n"))]
        assert [
            ("new_key: Grace to Expiring", "new_key: Grace to Valid"),
            ("mail: License LICENSE-1 expires in 6 days", ""),
        ] == [told[0], told[-1]]

    def test_a_line_more_before(self, against: Against) -> None:
        """Lines that only the other side has stand alone, and the next ones still meet: grace is over on 03-01."""
        compared = against("start: 2025-02-20\ntimeline: [{at: 2025-03-01, host: restart}]\n", "veeam-7")
        assert [
            (9.0, "", "grace_over: Grace to FreeMode"),
            (9.0, "", "mail: License LICENSE-1 has expired; only free functionality is available"),
            (9.0, "host: restart", "host: restart"),
        ] == rows(compared)[1:]

    def test_the_storys_own_changes_stay(self, against: Against) -> None:
        """Where the story changes the policy, it does so under the other one too."""
        compared = against("start: 2025-02-10\ntimeline: [{at: start, world: {policy: veeam-13}}]\n", "veeam-7")
        changed = "mail: The license policy has changed from {} to veeam-13"
        assert [(0.0, changed.format("veeam-9"), changed.format("veeam-7"))] == rows(compared)


class TestFinal:
    def test_what_differs(self, against: Against) -> None:
        """What is observed otherwise at the end: in grace until 03-16, after 03-04 there are 12 days and a half."""
        compared = against("start: 2025-03-04T12:00\n", "veeam-7")
        assert {
            "entitlement": ("Grace", "FreeMode"),
            "status": ("Expired (13 days of grace period remaining)", "Expired"),
            "warning": ("License key has expired, 13 days of grace period remaining", None),
            "days_remaining": (13, 0),
        } == compared.final

    def test_only_the_end(self, against: Against) -> None:
        """A difference that only the end shows is one: the first retry is due in 60 minutes, or in 12 hours."""
        compared = against("start: 2025-02-10\n" + UNREACHED, HALF_A_DAY)
        assert (True, [], {"next_check": ("2025-02-10T01:00:00+00:00", "2025-02-10T12:00:00+00:00")}) == (
            compared.differs,
            rows(compared),
            compared.final,
        )


class TestDocument:
    def test_it(self, against: Against) -> None:
        """The document names the other policy, the lines that only one has, and the other's end."""
        found = comparison_document(against("start: 2025-02-14\nuntil: 2025-02-15\n", "veeam-7"))
        at = "2025-02-15T00:00:00+00:00"
        told = [
            [
                {
                    "at": at,
                    "kind": "notification",
                    "channel": channel,
                    "name": "grace_started",
                    "text": f"License LICENSE-1 has expired, {days} days of grace period remaining",
                }
                for channel in ("report", "mail", "log")
            ]
            for days in (30, 14)
        ]
        final = {
            "entitlement": "Grace",
            "auto_update": "Off",
            "status": "Expired (14 days of grace period remaining)",
            "warning": "License key has expired, 14 days of grace period remaining",
            "days_remaining": 14,
            "next_check": None,
        }
        assert {
            "policy": "veeam-7",
            "trace_only_here": told[0],
            "trace_only_there": told[1],
            "final": final,
        } == found

    def test_due_times(self, against: Against) -> None:
        """A check that was due at another time differs in the document, though nothing else does.

        Asleep for two days after a failure: due after 60 minutes or after 12 hours, done on waking.
        """
        compared = against(
            "start: 2025-02-10\ntimeline: [{at: start, server: connection_failed}, {at: start, host: enable},"
            " {at: start, host: {do: suspend, until: start + 2 days}}, {at: start + 2 days, host: disable}]\n",
            HALF_A_DAY,
        )
        found = comparison_document(compared)
        due = [
            [line["due"] for line in found[side] if line["kind"] == "check"]
            for side in ("trace_only_here", "trace_only_there")
        ]
        assert (False, [["2025-02-10T01:00:00+00:00"], ["2025-02-10T12:00:00+00:00"]]) == (compared.differs, due)


class TestRefused:
    @pytest.mark.parametrize(
        ("kind", "rest", "place"),
        [
            ("rental", "start: 2025-02-01\n", (3, 17)),
            ("subscription", "start: 2025-02-01\ntimeline:\n- {at: start, server: ANSWER}\n", (6, 3)),
            ("subscription", "start: 2025-02-01\ntimeline:\n- {at: start, host: INSTALL}\n", (6, 3)),
        ],
    )
    def test_a_type_that_it_does_not_know(self, live: Live, kind: str, rest: str, place: tuple[int, int]) -> None:
        """A policy that does not know a type of the story cannot be compared with; the file's mistake says so."""
        rest = rest.replace("ANSWER", "{answer: new_key, type: rental}").replace(
            "INSTALL", "{do: install, type: rental}"
        )
        result = live(rest, f"version: 1\npolicy: veeam-9\nlicense: {{type: {kind}, expires: 2025-02-14}}\n")
        few = attrs.evolve(built_in("veeam-9"), grace={"subscription": None})
        with pytest.raises(InvalidFile) as refused:
            compare(result, few)
        line, column = place
        assert f"story.yaml:{line}:{column}: policy veeam-9 knows no license type 'rental', only subscription" == str(
            refused.value
        )

    def test_too_much_under_the_other(self, against: Against, monkeypatch: pytest.MonkeyPatch) -> None:
        """A story that goes well here, but in which too much happens there, says under which policy."""
        monkeypatch.setattr(engine, "MOST_STEPS", 1_000)
        with pytest.raises(InvalidFile) as refused:
            against(
                "start: 2025-02-10\nuntil: 2025-02-20\n" + UNREACHED,
                "outcomes: {connection_failed: {retry: 1 minute}}\n",
            )
        assert str(refused.value).startswith(
            "story.yaml:5:8: under policy own, too much happens: 1000 steps reach only"
        )


def test_it_can_be_watched(live: Live) -> None:
    """A comparison of a long story tells how far it is: hourly failures of a perpetual key for 100 days."""
    seen: list[int] = []
    result = live(
        "start: 2025-01-01\nuntil: start + 100 days\n" + UNREACHED,
        "version: 1\npolicy: veeam-9\nlicense: {type: perpetual}\n",
    )
    compare(result, built_in("veeam-8"), seen.append)
    assert (True, sorted(seen)) == (len(seen) > 1, seen)
