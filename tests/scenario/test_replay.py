from collections.abc import Callable

import pytest

from licfsm import instants
from licfsm.errors import InvalidFile
from licfsm.loading.scenarios import load_scenario
from licfsm.scenario import replay as module
from licfsm.scenario.replay import Action, Check, Failure, Notification, Replay, Transition, replay

Live = Callable[..., Replay]


def iso(ms: int) -> str:
    return instants.isoformat(ms).removesuffix(":00+00:00")


def of(result: Replay, kind: type) -> list[object]:
    return [line for line in result.trace if isinstance(line, kind)]


def told(result: Replay, channel: str) -> list[tuple[str, str]]:
    """When which notices went to a channel."""
    return [(iso(line.at), line.name) for line in of(result, Notification) if line.channel == channel]


def moves(result: Replay) -> list[str]:
    """The transitions, in short."""
    return [f"{iso(line.at)} {line.trigger}: {line.source} {line.target}" for line in of(result, Transition)]


def done(result: Replay) -> tuple[str, str]:
    """Tell the first thing that the host did or that changed outside."""
    action = of(result, Action)[0]
    return action.kind, action.words(instants.isoformat)


class TestOrder:
    """rules.md 7.1: at one instant."""

    def test_however_it_is_written(self, live: Live) -> None:
        """First the world, then what is due, then the host, then what is observed."""
        result = live("""start: 2025-02-06
timeline:
  - {at: 2025-02-07, expect: {entitlement: Expiring, auto_update: Retrying, checks: 1, failures: 1}}
  - {at: 2025-02-07, host: enable}
  - {at: 2025-02-07, server: connection_failed}
""")
        kinds = ["Action", "Transition", "Notification", "Notification", "Notification", "Action", "Transition"]
        assert (True, kinds) == (result.passed, [type(line).__name__ for line in result.trace][:7])

    def test_of_one_kind_in_the_order_given(self, live: Live) -> None:
        """Two host entries at one instant happen in the order in which they are written."""
        result = live("start: 2025-02-01\ntimeline: [{at: start, host: enable}, {at: start, host: disable}]\n")
        assert ["enable", "disable"] == [line.action for line in of(result, Action)]

    def test_the_last_answer_stands(self, live: Live) -> None:
        """Of two answers at one instant the last stands."""
        result = live("""start: 2025-02-01
timeline:
  - {at: start, server: connection_failed}
  - {at: start, server: generation_failed}
  - {at: start, host: enable}
""")
        assert ["generation_failed"] == [line.outcome for line in of(result, Check)]

    def test_a_question_answered_at_once(self, live: Live) -> None:
        """Checking, the check, what the key changes, back from Checking, and what is told."""
        result = live("""start: 2025-02-10
timeline:
  - {at: start, server: {answer: new_key, expires: 2026-02-14}}
  - {at: start, host: enable}
""")
        after = result.trace[result.trace.index(of(result, Action)[1]) + 1 :]
        names = [line.target if isinstance(line, Transition) else type(line).__name__ for line in after]
        assert ["Checking", "Check", "Valid", "Scheduled", "Notification", "Notification", "Notification"] == names

    def test_what_happens_at_the_end_counts(self, live: Live) -> None:
        """What is due at until still happens."""
        assert "Expiring" == live("start: 2025-02-01\nuntil: 2025-02-07\n").final["entitlement"]

    def test_what_happens_after_the_end_does_not(self, live: Live) -> None:
        """What is due after until does not happen."""
        assert "Valid" == live("start: 2025-02-01\nuntil: 2025-02-06T23:59\n").final["entitlement"]

    def test_the_first_state_is_told(self, live: Live) -> None:
        """A key first seen in its grace period is told at the start (2.5), and is no transition."""
        result = live("start: 2025-02-20\n")
        assert (("Grace", "Off"), [], [("2025-02-20T00:00", "grace_started")]) == (
            tuple(result.first),
            moves(result),
            told(result, "report"),
        )


class TestChecks:
    def test_an_answer_under_way(self, live: Live) -> None:
        """A check stands where its answer arrived, with the time it was asked and due."""
        result = live("""start: 2025-02-01
until: start + 1 hour
timeline:
  - {at: start, server: {answer: up_to_date, takes: 30 minutes}}
  - {at: start, host: enable}
""")
        start = result.story.start
        assert [Check(start + 1_800_000, start + 1_800_000, start, start, "up_to_date", failed=False)] == of(
            result, Check
        )

    def test_an_answer_stands_when_asked(self, live: Live) -> None:
        """The answer that stood when it was asked is what arrives."""
        result = live("""start: 2025-02-01
until: start + 2 minutes
timeline:
  - {at: start, server: {answer: generation_failed, takes: 1 minute}}
  - {at: start, host: enable}
  - {at: start + 30 seconds, server: up_to_date}
""")
        assert ["generation_failed"] == [line.outcome for line in of(result, Check)]

    def test_the_outcome_is_the_one_in_effect(self, live: Live) -> None:
        """An offer of the installed key is up_to_date."""
        result = live("""start: 2025-02-01
timeline: [{at: start, server: {answer: new_key, expires: 2025-02-14}}, {at: start, host: enable}]
""")
        assert [("up_to_date", False)] == [(line.outcome, line.failed) for line in of(result, Check)]

    def test_a_signed_time_that_is_now(self, live: Live) -> None:
        """``now`` is the true time at which the answer arrives: it sets the memory right (7.6)."""
        result = live("""start: 2025-02-01
until: start + 3 days
timeline:
  - {at: start, host: enable}
  - {at: start + 1 hour, world: {clock: 2025-06-01}}
  - {at: start + 1 day, server: {answer: up_to_date, signed_time: now, takes: 90 minutes}}
  - {at: start + 2 days, world: {clock: start + 2 days}}
  - {at: start + 2 days, expect: {entitlement: FreeMode}}
  - {at: start + 2 days + 90 minutes, expect: {entitlement: Valid}}
""")
        assert [] == result.failures


class TestClock:
    def test_true_time_and_the_hosts(self, live: Live) -> None:
        """The trace keeps true time; the host's clock and what is due by it stand beside."""
        result = live("""start: 2025-02-01
timeline: [{at: start + 1 day, world: {clock: 2025-02-07T01:00}}]
""")
        moved = of(result, Transition)[0]
        assert ("2025-02-02T00:00", "2025-02-07T01:00", "2025-02-07T00:00") == (
            iso(moved.at),
            iso(moved.clock),
            iso(moved.due),
        )

    def test_it_runs_on(self, live: Live) -> None:
        """Once set, the host's clock runs on: ten minutes fast, it expires ten minutes early."""
        result = live("""start: 2025-02-14T12:00
until: expiry
timeline: [{at: start, world: {clock: 2025-02-14T12:10}}]
""")
        assert ["2025-02-14T23:50 expired: Expiring Grace"] == moves(result)

    def test_it_can_be_set_while_the_host_sleeps(self, live: Live) -> None:
        """A sleeping host finds its clock set when it wakes."""
        result = live("""start: 2025-02-14T12:00
until: 2025-02-14T15:00
timeline:
  - {at: start, host: {do: suspend, until: 2025-02-14T14:00}}
  - {at: 2025-02-14T13:00, world: {clock: 2025-02-15T00:00}}
""")
        assert ["2025-02-14T14:00 expired: Expiring Grace"] == moves(result)

    def test_asked_is_true_time(self, live: Live) -> None:
        """When a check was asked is told in true time."""
        result = live("""start: 2025-02-01
timeline: [{at: start, world: {clock: 2025-02-01T00:30}}, {at: start + 1 hour, host: enable}]
""")
        check = of(result, Check)[0]
        assert ("2025-02-01T01:00", "2025-02-01T01:30") == (iso(check.asked), iso(check.clock))


class TestSuspend:
    STORY = """start: 2025-02-10
until: 2025-02-20
timeline:
  - {at: start, host: enable}
  - {at: start + 1 hour, host: {do: suspend, until: 2025-02-18T12:00}}
  - {at: 2025-02-16, expect: {entitlement: Expiring, auto_update: Scheduled, checks: 1}}
  - {at: 2025-02-18T12:00, expect: {entitlement: Grace, checks: 2}}
"""

    def test_nothing_happens_inside(self, live: Live) -> None:
        """What is observed is the stored state; on waking comes what was missed."""
        assert [] == live(self.STORY).failures

    def test_what_was_missed(self, live: Live) -> None:
        """A change found late has the time it was due; seven questions missed are one."""
        result = live(self.STORY)
        woken = [line for line in result.trace if iso(line.at) == "2025-02-18T12:00"]
        assert (Action, "wake", "2025-02-15T00:00", "2025-02-11T00:00") == (
            type(woken[0]),
            woken[0].action,
            iso(woken[1].due),
            iso(next(line.due for line in woken if isinstance(line, Check))),
        )

    def test_a_question_under_way_is_asked_again(self, live: Live) -> None:
        """A suspend in Checking loses the answer; it is asked again on waking (7.3)."""
        result = live("""start: 2025-02-01
until: start + 1 day
timeline:
  - {at: start, server: {answer: up_to_date, takes: 1 hour}}
  - {at: start, host: enable}
  - {at: start + 10 minutes, host: {do: suspend, until: start + 5 hours}}
""")
        assert [("2025-02-01T05:00", "2025-02-01T06:00")] == [
            (iso(line.asked), iso(line.at)) for line in of(result, Check)
        ]

    def test_a_deadline_that_passes_meanwhile(self, live: Live) -> None:
        """The host was away when retrying ended (03-15 00:00) in mid-check: that is not held against the user (5.2)."""
        result = live("""start: 2025-03-14T23:30
until: 2025-03-16T01:00
timeline:
  - {at: start, server: {answer: up_to_date, takes: 1 hour}}
  - {at: start, host: enable}
  - {at: start + 10 minutes, host: {do: suspend, until: 2025-03-16}}
  - {at: 2025-03-15T12:00, expect: {auto_update: Checking}}
""")
        assert ("Scheduled", "2025-03-17T00:00:00+00:00") == (result.final["auto_update"], result.final["next_check"])

    def test_beyond_the_end(self, live: Live) -> None:
        """A host that does not wake before the end leaves its stored state."""
        result = live(
            "start: 2025-02-01\nuntil: 2025-03-01\ntimeline: [{at: start, host: {do: suspend, until: 2025-04-01}}]\n"
        )
        assert ("Valid", []) == (result.final["entitlement"], moves(result))

    def test_a_policy_that_changes_meanwhile(self, live: Live) -> None:
        """A sleeping host learns of another policy when it wakes."""
        result = live("""start: 2025-02-20
until: 2025-03-02
timeline:
  - {at: start, host: {do: suspend, until: 2025-03-01T12:00}}
  - {at: 2025-02-25, world: {policy: veeam-7}}
  - {at: 2025-03-01, expect: {entitlement: Grace}}
""")
        assert (True, ["2025-03-01T12:00 policy_changed: Grace FreeMode"]) == (result.passed, moves(result))


class TestWorld:
    def test_mail_waits(self, live: Live) -> None:
        """While mail is down the report goes on; when it is up again, what waited is sent in order."""
        result = live("""start: 2025-02-01
until: 2025-03-20
timeline:
  - {at: start, world: {mail: down}}
  - {at: 2025-02-15, expect: {mails: 0, reports: 2}}
  - {at: 2025-02-16, world: {mail: up}, expect: {mails: 2, reports: 2}}
""")
        mails = [
            ("2025-02-16T00:00", "expiring"),
            ("2025-02-16T00:00", "grace_started"),
            ("2025-03-17T00:00", "free_mode_entered"),
        ]
        assert ([], mails) == (result.failures, told(result, "mail"))

    def test_mail_waits_for_the_host_to_wake(self, live: Live) -> None:
        """A sleeping host sends nothing, though mail is up."""
        result = live("""start: 2025-02-01
until: 2025-02-20
timeline:
  - {at: start, world: {mail: down}}
  - {at: 2025-02-08, host: {do: suspend, until: 2025-02-12}}
  - {at: 2025-02-10, world: {mail: up}}
""")
        assert [("2025-02-12T00:00", "expiring"), ("2025-02-15T00:00", "grace_started")] == told(result, "mail")

    def test_mail_that_stays_down(self, live: Live) -> None:
        """A wake does not bring the mail server back."""
        result = live("""start: 2025-02-01
until: 2025-02-20
timeline:
  - {at: start, world: {mail: down}}
  - {at: 2025-02-08, host: {do: suspend, until: 2025-02-12}}
""")
        assert [] == told(result, "mail")

    def test_a_target_that_fails(self, live: Live) -> None:
        """A target that cannot be written is told, and tried again every hour until it can."""
        result = live("""start: 2025-02-01
until: 2025-02-02
timeline:
  - {at: start, world: {target: fails}}
  - {at: start, host: {do: install, expires: 2026-02-14}}
  - {at: start + 90 minutes, world: {target: ok}}
""")
        assert [("2025-02-01T00:00", "key_installed"), ("2025-02-01T00:00", "install_target_failed")] == told(
            result, "report"
        )

    def test_another_policy(self, live: Live) -> None:
        """Another policy moves the entitlement, and is told: veeam-7 grants 14 days, until 1 March."""
        result = live("start: 2025-02-20\nuntil: 2025-03-02\ntimeline: [{at: start, world: {policy: veeam-7}}]\n")
        assert (["2025-03-01T00:00 grace_over: Grace FreeMode"], "world", "policy: veeam-7") == (
            moves(result),
            *done(result),
        )

    @pytest.mark.parametrize(
        ("change", "action"),
        [
            ("{mail: up}", "mail: up"),
            ("{mail: down}", "mail: down"),
            ("{target: ok}", "target: ok"),
            ("{target: fails}", "target: fails"),
            ("{clock: 2025-02-02}", "clock: 2025-02-02T00:00:00+00:00"),
        ],
    )
    def test_what_changes_is_told(self, live: Live, change: str, action: str) -> None:
        """Each change of the world is a line of the trace."""
        result = live(f"start: 2025-02-01\ntimeline: [{{at: start, world: {change}}}]\n")
        assert ("world", action) == done(result)


class TestHost:
    @pytest.mark.parametrize(
        ("does", "action"),
        [
            ("enable", "enable"),
            ("restart", "restart"),
            ("{do: install, expires: 2026-02-14}", "install"),
            ("{do: suspend, until: 2025-02-02}", "suspend until 2025-02-02T00:00:00+00:00"),
        ],
    )
    def test_what_it_does_is_told(self, live: Live, does: str, action: str) -> None:
        """Each thing the host does is a line of the trace."""
        result = live(f"start: 2025-02-01\ntimeline: [{{at: start, host: {does}}}]\n")
        assert ("host", action) == done(result)

    def test_a_refused_key(self, live: Live) -> None:
        """A key that expires earlier is refused, and that is told; it changes nothing."""
        result = live("start: 2025-02-01\ntimeline: [{at: start, host: {do: install, expires: 2025-02-13}}]\n")
        action = (
            "install, refused: the key expires earlier than the installed one; install it with force if that is wanted"
        )
        assert ([action], 14) == ([line.action for line in of(result, Action)], result.final["days_remaining"])

    def test_a_forced_key(self, live: Live) -> None:
        """With force it is installed: 13 February ends in 13 days."""
        result = live(
            "start: 2025-02-01\ntimeline: [{at: start, host: {do: install, expires: 2025-02-13, force: true}}]\n"
        )
        assert 13 == result.final["days_remaining"]


class TestExpect:
    def test_all_that_can_be_expected(self, live: Live) -> None:
        """Every observation has its name."""
        result = live("""start: 2025-02-15
jobs: {replication: paid, restore: always}
timeline:
  - {at: start, server: connection_failed}
  - {at: start, host: enable}
  - at: start
    expect:
      entitlement: Grace
      auto_update: Retrying
      status: Expired (30 days of grace period remaining)
      warning: License key has expired, 30 days of grace period remaining
      days_remaining: 30
      next_check: start + 1 hour
      allows: {replication: true, restore: true}
      checks: 1
      failures: 1
      mails: 2
      reports: 2
""")
        assert [] == result.failures

    @pytest.mark.parametrize(
        ("expect", "failure"),
        [
            ("entitlement: Valid", ("entitlement", "Valid", "FreeMode")),
            ("auto_update: Retrying", ("auto_update", "Retrying", "Off")),
            ("status: Valid", ("status", "Valid", "Expired")),
            ("warning: x", ("warning", "x", None)),
            ("days_remaining: ~", ("days_remaining", None, 0)),
            ("next_check: 2025-05-01", ("next_check", "2025-05-01T00:00:00+00:00", None)),
            ("allows: {replication: true}", ("allows.replication", True, False)),
            ("allows: {restore: false}", ("allows.restore", False, True)),
            ("checks: 1", ("checks", 1, 0)),
            ("failures: 1", ("failures", 1, 0)),
            ("mails: 0", ("mails", 0, 1)),
            ("reports: 2", ("reports", 2, 1)),
        ],
    )
    def test_each_can_fail(self, live: Live, expect: str, failure: tuple[object, ...]) -> None:
        """An expectation that does not hold is told with what was seen."""
        result = live(f"""start: 2025-05-01
jobs: {{replication: paid, restore: always}}
timeline: [{{at: start, expect: {{{expect}}}}}]
""")
        assert ([Failure(result.story.start, *failure, (6, 12))], False) == (result.failures, result.passed)

    def test_states_never_seen(self, live: Live) -> None:
        """A state that must not be seen is told with the time it was."""
        result = live("start: 2025-02-01\nuntil: 2025-03-01\nnever: [Grace, FreeMode]\n")
        assert [Failure(result.story.key.expires_at, "never", "no Grace", "Grace", (6, 1))] == result.failures

    def test_a_state_seen_twice(self, live: Live) -> None:
        """A state that must not be seen is told with the first time it was."""
        result = live("""start: 2025-02-01
never: [Retrying]
timeline:
  - {at: start, server: connection_failed}
  - {at: start, host: enable}
  - {at: start + 1 minute, host: disable}
  - {at: start + 2 minutes, host: enable}
""")
        assert [Failure(result.story.start, "never", "no Retrying", "Retrying", (5, 1))] == result.failures

    def test_what_is_counted(self, live: Live) -> None:
        """Counts go on from one expectation to the next; only failed checks are failures."""
        result = live("""start: 2025-02-01
timeline:
  - {at: start, host: enable}
  - {at: start, expect: {checks: 1, failures: 0, mails: 0, reports: 0}}
  - {at: start + 1 minute, server: generation_failed}
  - {at: start + 1 minute, host: disable}
  - {at: start + 1 minute, host: enable}
  - {at: start + 1 minute, expect: {checks: 2, failures: 1, mails: 1, reports: 1}}
""")
        assert [] == result.failures

    def test_the_first_state_is_seen(self, live: Live) -> None:
        """The first states count as seen."""
        result = live("start: 2025-02-01\nnever: [Valid]\nreaches: [Off, Grace]\n")
        start = result.story.start
        assert [
            Failure(start, "never", "no Valid", "Valid", (5, 1)),
            Failure(start, "reaches", "Grace", "not seen", (6, 1)),
        ] == result.failures


class TestBounds:
    HEAD = "version: 1\npolicy: veeam-9\nlicense: {type: perpetual, expires: 1100-01-01}\n"
    BUSY = """start: 1000-01-01
until: 8000-01-01
timeline:
  - {at: start, server: connection_failed}
  - {at: start, host: {do: install}}
  - {at: start, host: enable}
"""

    @pytest.fixture
    def few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Allow a thousand steps, so that the tests are quick."""
        monkeypatch.setattr(module, "MOST_STEPS", 1_000)

    @pytest.mark.usefixtures("few")
    def test_too_many_questions(self, live: Live) -> None:
        """A story that goes on for too long is refused where its end is written.

        The first Tick, install, its write, enable: 4 steps; then two an hour from the answer on. Step 1001 is the
        question after 498 hours and its failed answer: 20 days and 18 hours.
        """
        with pytest.raises(InvalidFile) as caught:
            live(self.BUSY, self.HEAD)
        told = "story.yaml:5:8: too much happens: 1000 steps reach only 1000-01-21T18:00:00+00:00; let the story end earlier"
        assert told == str(caught.value)

    @pytest.mark.usefixtures("few")
    def test_too_many_writes(self, live: Live) -> None:
        """What leaves no trace counts too: a target that is tried every hour for a thousand years."""
        with pytest.raises(InvalidFile, match="too much happens"):
            live("""start: 1000-01-01
timeline:
  - {at: start, world: {target: fails}}
  - {at: start, host: {do: install}}
  - {at: 2000-01-01, expect: {checks: 0}}
""")

    def test_the_limit(self) -> None:
        """Five years of hourly questions can be replayed: two steps each."""
        assert module.MOST_STEPS > 2 * 24 * 366 * 5

    def test_progress_is_told(self, tmp_path: object) -> None:
        """A long story tells now and then which instant is reached."""
        path = tmp_path / "long.yaml"
        path.write_text(self.HEAD + self.BUSY.replace("8000-01-01", "1000-06-01"))
        reached: list[int] = []
        story = load_scenario(path)
        replay(story, reached.append)
        assert (3, True) == (len(reached), story.start < reached[0] < reached[1] < reached[2] < story.end)
