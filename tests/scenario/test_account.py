import re
from collections.abc import Callable

import pendulum
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from licfsm import instants
from licfsm.scenario.account import Told, account, when
from licfsm.scenario.replay import Action, Check, Notification, Replay

Live = Callable[..., Replay]


def texts(result: Replay) -> list[str]:
    return [told.text for told in account(result)]


def checks(told: list[Told]) -> int:
    """Add up the checks that an account tells of."""
    counts = [re.match(r"(\d+) × ", line.text) for line in told if line.kind in {"check", "failure"}]
    return sum(int(found[1]) if found else 1 for found in counts)


class TestRuns:
    def test_hourly_failures(self, live: Live) -> None:
        """A run of retries is one line: enabled at 0:00, 25 checks until 0:00 of the next day."""
        result = live("""start: 2025-02-01
until: 2025-02-02
timeline: [{at: start, server: connection_failed}, {at: start, host: enable}]
""")
        assert [
            "at the start",
            "server: connection_failed",
            "host: enable",
            "25 × connection_failed, every 60 minutes, until 2025-02-02 00:00 (25 mails)",
        ] == texts(result)

    def test_daily_checks(self, live: Live) -> None:
        """In Expiring it asks once a day, across the change to summer time too."""
        result = live(
            "start: 2025-03-26T12:00\nuntil: 2025-03-31T12:00\ntimeline: [{at: start, host: enable}]\n",
            "version: 1\npolicy: veeam-9\nlicense: {type: subscription, expires: 2025-04-01, zone: Europe/Berlin}\n",
        )
        assert "6 × up_to_date, every 24 hours, until 2025-03-31 12:00" == texts(result)[-1]

    def test_weekly_checks(self, live: Live) -> None:
        """A perpetual key is asked for once a week."""
        result = live(
            "start: 2025-01-01\nuntil: 2025-01-29\ntimeline: [{at: start, host: enable}]\n",
            "version: 1\npolicy: veeam-9\nlicense: {type: perpetual}\n",
        )
        assert "5 × up_to_date, every 7 days, until 2025-01-29 00:00" == texts(result)[-1]

    @pytest.mark.parametrize(
        ("every", "told"),
        [
            ("1 minute", "1 minutes"),
            ("90 seconds", "90 seconds"),
            ("90 minutes", "90 minutes"),
            ("91 minutes", "91 minutes"),
            ("2 hours", "2 hours"),
            ("150 minutes", "150 minutes"),
        ],
    )
    def test_how_often(self, live: Live, every: str, told: str) -> None:
        """The interval is told in the unit that suits it, by the server's Retry-After here."""
        result = live(f"""start: 2025-02-01
until: start + {every} + {every}
timeline:
  - {{at: start, server: {{answer: connection_failed, retry_after: {every}}}}}
  - {{at: start, host: enable}}
""")
        assert texts(result)[-1].startswith(f"3 × connection_failed, every {told}, until")

    def test_two_are_no_run(self, live: Live) -> None:
        """Two checks stand on their own, each with its mail."""
        result = live("""start: 2025-02-01
until: start + 1 hour
timeline: [{at: start, server: connection_failed}, {at: start, host: enable}]
""")
        assert ["check: connection_failed (mailed)"] * 2 == texts(result)[-2:]

    def test_another_outcome_ends_a_run(self, live: Live) -> None:
        """Only like checks are one run."""
        result = live("""start: 2025-02-01
until: start + 6 hours
timeline:
  - {at: start, server: connection_failed}
  - {at: start, host: enable}
  - {at: start + 150 minutes, server: up_to_date}
""")
        told = [
            "3 × connection_failed, every 60 minutes, until 2025-02-01 02:00 (3 mails)",
            "server: up_to_date",
            "check: up_to_date",
        ]
        assert told == texts(result)[3:6]

    def test_another_interval_ends_a_run(self, live: Live) -> None:
        """Only evenly spaced checks are one run."""
        result = live("""start: 2025-02-01
until: start + 4 hours
timeline:
  - {at: start, server: connection_failed}
  - {at: start, host: enable}
  - {at: start + 150 minutes, host: check_now}
""")
        assert [
            "3 × connection_failed, every 60 minutes, until 2025-02-01 02:00 (3 mails)",
            "host: check_now",
        ] == texts(result)[3:5]

    def test_a_change_of_state_ends_a_run(self, live: Live) -> None:
        """A change of entitlement stands between two runs: 15 February 00:00."""
        result = live("""start: 2025-02-14T20:30
until: 2025-02-15T03:00
timeline: [{at: start, server: connection_failed}, {at: start, host: enable}]
""")
        told = texts(result)
        place = told.index("expired: Expiring to Grace")
        assert ("4 × connection_failed", "3 × connection_failed") == (told[place - 1][:21], told[place + 2][:21])

    def test_it_stays_quick(self, live: Live) -> None:
        """Nine thousand checks that are no runs take no longer than they must: each looks only at what follows."""
        result = live("""start: 2025-02-01
until: 2025-02-01
""")
        line = Check(0, 0, 0, 0, "up_to_date", failed=False)
        result.trace = [
            line._replace(at=n * n, outcome="up_to_date" if n % 2 else "key_rejected") for n in range(9_000)
        ]
        assert 9_000 == checks(account(result))


class TestLines:
    def test_a_question_and_its_answer(self, live: Live) -> None:
        """A question between which and its answer nothing happens is one line, where the answer came."""
        result = live("""start: 2025-02-01
until: start + 1 hour
timeline: [{at: start, server: {answer: up_to_date, takes: 1 minute}}, {at: start, host: enable}]
""")
        last = account(result)[3:]
        assert [("check: up_to_date", "Scheduled", 60_000)] == [
            (line.text, line.auto_update, line.at - result.story.start) for line in last
        ]

    def test_a_question_under_way(self, live: Live) -> None:
        """A question is a line of its own, in Checking, if something happens before its answer."""
        result = live("""start: 2025-02-01
until: start + 1 hour
timeline: [{at: start, server: {answer: up_to_date, takes: 1 minute}}, {at: start, host: enable},
           {at: start + 30 seconds, world: {mail: up}}]
""")
        assert [
            ("enable: asks the server", "Checking"),
            ("world: mail: up", "Checking"),
            ("check: up_to_date", "Scheduled"),
        ] == [(line.text, line.auto_update) for line in account(result)[3:]]

    def test_a_question_that_stays_open(self, live: Live) -> None:
        """A question that is not answered before the end is a line of its own."""
        result = live("""start: 2025-02-01
timeline: [{at: start, server: {answer: up_to_date, takes: 1 minute}}, {at: start, host: enable}]
""")
        assert "enable: asks the server" == texts(result)[-1]

    def test_a_notice_is_told_once(self, live: Live) -> None:
        """A notice is told by its mail if it was mailed."""
        result = live("start: 2025-02-14\nuntil: 2025-02-15\n")
        assert [
            "mail: License LICENSE-1 expires in 1 day",
            "expired: Expiring to Grace",
            "mail: License LICENSE-1 has expired, 30 days of grace period remaining",
        ] == texts(result)[1:]

    def test_a_notice_without_mail(self, live: Live) -> None:
        """Without mail, a notice is told by the report."""
        result = live("mail: none\nstart: 2025-02-14\n")
        assert ["report: License LICENSE-1 expires in 1 day"] == texts(result)[1:]

    def test_a_failure_that_is_not_mailed(self, live: Live) -> None:
        """A failed check is one line, without a word about mails if there were none."""
        result = live(
            "mail: none\nstart: 2025-02-01\ntimeline: [{at: start, server: key_rejected}, {at: start, host: enable}]\n"
        )
        assert "check: key_rejected" == texts(result)[-1]

    def test_mail_that_came_late(self, live: Live) -> None:
        """A mail that waited is told when it was sent, apart from its check."""
        result = live("""start: 2025-02-01
until: start + 1 hour
timeline: [{at: start, world: {mail: down}}, {at: start, host: enable}, {at: start, server: key_rejected},
           {at: start + 1 hour, world: {mail: up}}]
""")
        mail = "mail: License key auto-update failed: The license key that the server sent was refused"
        assert ["check: key_rejected", "world: mail: up", mail] == texts(result)[-3:]

    def test_times_in_what_is_done(self, live: Live) -> None:
        """A time in what is done stands in the license's zone like all others: 9:00 in Berlin; the trace has it in UTC."""
        result = live(
            "start: 2025-02-01\ntimeline: [{at: start, world: {clock: 2025-02-01T09:00}},"
            " {at: start, host: {do: suspend, until: 2025-02-01T09:00:30}}]\n",
            "version: 1\npolicy: veeam-9\nlicense: {type: subscription, expires: 2025-04-01, zone: Europe/Berlin}\n",
        )
        assert ["world: clock: 2025-02-01 09:00", "host: suspend until 2025-02-01 09:00:30"] == texts(result)[1:]
        assert ["clock: 2025-02-01T08:00:00+00:00", "suspend until 2025-02-01T08:00:30+00:00"] == [
            line.words(instants.isoformat) for line in result.trace if isinstance(line, Action)
        ]

    def test_states_beside_each_line(self, live: Live) -> None:
        """Each line has both states after it."""
        result = live("start: 2025-02-14\nuntil: 2025-02-15\ntimeline: [{at: start, host: enable}]\n")
        assert ("Expiring", "Off") == (account(result)[0].entitlement, account(result)[0].auto_update)
        assert ("Grace", "Scheduled") == (account(result)[-1].entitlement, account(result)[-1].auto_update)

    def test_kinds(self, live: Live) -> None:
        """Each line has its kind."""
        result = live("start: 2025-02-14\ntimeline: [{at: start, server: key_rejected}, {at: start, host: enable}]\n")
        kinds = {told.text.split(":")[0]: told.kind for told in account(result)}
        assert {
            "at the start": "change",
            "server": "action",
            "mail": "notice",
            "host": "action",
            "check": "failure",
        } == kinds


class TestWhen:
    @pytest.mark.parametrize(
        ("ms", "told"),
        [
            (0, "1970-01-01 01:00"),
            (1_000, "1970-01-01 01:00:01"),
            (60_001, "1970-01-01 01:01:00.001"),
            (1_719_784_800_000, "2024-07-01 00:00"),  # 2024-06-30T22:00Z, summer time
        ],
    )
    def test_as_fine_as_it_is(self, ms: int, told: str) -> None:
        """An instant is told in the zone, to the minute, or finer where it is finer."""
        assert told == when(ms, pendulum.timezone("Europe/Berlin"))


ANSWERS = st.sampled_from(
    ["up_to_date", "connection_failed", "generation_failed", "{answer: connection_failed, takes: 7 minutes}",
     "{answer: up_to_date, takes: 1 hour}", "{answer: new_key, expires: 2026-02-14}", "contract_terminated"]
)  # fmt: skip
HOST = st.sampled_from(["enable", "disable", "check_now", "restart"])
WORLD = st.sampled_from(["{mail: down}", "{mail: up}", "{target: fails}", "{clock: 2025-02-20}", "{policy: veeam-7}"])
ENTRIES = st.lists(
    st.tuples(st.integers(0, 2_000), st.one_of(
        st.tuples(st.just("server"), ANSWERS), st.tuples(st.just("host"), HOST), st.tuples(st.just("world"), WORLD))),
    max_size=12,
)  # fmt: skip


class TestNothingIsLost:
    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(entries=ENTRIES)
    def test_every_check_is_told(self, live: Live, entries: list[tuple[int, tuple[str, str]]]) -> None:
        """The counts of the folded runs add up to the number of checks, and those of mails to that of failure mails."""
        lines = [f"  - {{at: start + {minutes} minutes, {key}: {value}}}" for minutes, (key, value) in sorted(entries)]
        result = live(
            "start: 2025-02-10\nuntil: start + 3 days\ntimeline:\n"
            + "\n".join(["  - {at: start, host: enable}", *lines])
            + "\n"
        )
        assert sum(isinstance(line, Check) for line in result.trace) == checks(account(result))
        mails = sum(isinstance(line, Notification) and line.channel == "mail" for line in result.trace)
        assert mails == sum(told.mails for told in account(result))

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(entries=ENTRIES)
    def test_time_does_not_go_back(self, live: Live, entries: list[tuple[int, tuple[str, str]]]) -> None:
        """Trace and account are in the order of true time, and the last states are the final ones."""
        lines = [f"  - {{at: start + {minutes} minutes, {key}: {value}}}" for minutes, (key, value) in sorted(entries)]
        result = live(
            "start: 2025-02-10\nuntil: start + 3 days\ntimeline:\n"
            + "\n".join(["  - {at: start, host: enable}", *lines])
            + "\n"
        )
        at = [line.at for line in result.trace]
        assert (sorted(at), instants.isoformat(result.story.end) >= instants.isoformat(at[-1])) == (at, True)
        last = account(result)[-1]
        assert (last.entitlement, last.auto_update) == (result.final["entitlement"], result.final["auto_update"])


def test_a_renewal_shows_the_states_after_it(live: Live) -> None:
    """The check, what its key changed, and the notices all stand beside the states that came of them."""
    result = live(
        "start: 2025-02-20\ntimeline: [{at: start, host: enable}, {at: 2025-02-21,"
        " server: {answer: new_key, expires: 2026-02-14}}]\n"
    )
    lines = [line for line in account(result) if line.text in {"check: new_key", "new_key: Grace to Valid"}]
    assert ["Scheduled", "Scheduled"] == [line.auto_update for line in lines]
