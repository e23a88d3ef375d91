import datetime as dt
import hashlib
from collections.abc import Callable

import pendulum
import pytest

import licfsm
from licfsm import Answer, InvalidValue, KeyRejected, instants
from licfsm import effects as fx
from licfsm import events as ev
from licfsm.instants import HOUR, MINUTE, Span
from licfsm.license import OPERATIONS, spread_offset

# The key's last day is 2025-02-14: Expiring from 02-07, Grace from 02-15, FreeMode from 03-17.


class TestTexts:
    """rules.md 1.7, 2.4."""

    @pytest.mark.parametrize(
        ("now", "status", "days"),
        [
            ("2025-02-01T09:00", "Valid (14 days until expiration)", 14),  # to 02-15 09:00
            ("2025-02-10T09:00", "Valid (5 days until expiration)", 5),
            ("2025-02-13T23:59:59.999", "Valid (2 days until expiration)", 2),
            ("2025-02-14T00:00", "Valid (1 day until expiration)", 1),
            ("2025-02-14T23:59:59.999", "Valid (1 day until expiration)", 1),
            ("2025-02-15T00:00", "Expired (30 days of grace period remaining)", 30),
            ("2025-03-15T09:00", "Expired (2 days of grace period remaining)", 2),
            ("2025-03-16T00:00", "Expired (1 day of grace period remaining)", 1),
            ("2025-03-17T00:00", "Expired", 0),
        ],
    )
    def test_status_counts_the_days(self, begin: Callable, now: str, status: str, days: int) -> None:
        """The license information counts to expiry, then to the end of grace."""
        story = begin("2025-01-01")
        story.advance(now)
        assert (status, days) == (story.status, story.days_remaining)

    def test_status_of_a_perpetual_key_counts_nothing(self, begin: Callable) -> None:
        """Without expiry it is `Valid`, and no days remain to be counted."""
        story = begin(expires=None, type="perpetual")
        assert ("Valid", None) == (story.status, story.days_remaining)

    @pytest.mark.parametrize(
        ("now", "warning"),
        [
            ("2025-02-14T23:59:59.999", None),
            ("2025-02-15T00:00", "License key has expired, 30 days of grace period remaining"),
            ("2025-03-16T12:00", "License key has expired, 1 day of grace period remaining"),
            ("2025-03-17T00:00", None),
        ],
    )
    def test_jobs_are_warned_in_grace_only(self, begin: Callable, now: str, warning: str | None) -> None:
        """The warning counts the days of grace; before and after there is none."""
        story = begin("2025-01-01")
        story.advance(now)
        assert warning == story.job_warning

    def test_days_are_those_of_the_zone(self, begin: Callable) -> None:
        """On 14 February 23:30 in Berlin (22:30 in UTC) one day remains, half an hour later 30 of grace."""
        story = begin("2025-02-14T22:30", zone="Europe/Berlin")
        before = story.status
        story.advance("2025-02-15")
        assert ("Valid (1 day until expiration)", "Expired (30 days of grace period remaining)") == (
            before,
            story.status,
        )


class TestAllows:
    """rules.md 2.3."""

    @pytest.mark.parametrize("start", ["2025-02-01", "2025-02-10", "2025-02-20"])
    def test_everything_until_free_mode(self, begin: Callable, start: str) -> None:
        """In Valid, Expiring and Grace everything works."""
        assert [True, True, True] == [begin(start).allows(operation) for operation in OPERATIONS]

    def test_no_paid_operation_in_free_mode(self, begin: Callable) -> None:
        """In FreeMode paid operations are refused; free ones, and those never refused, work."""
        story = begin("2025-03-17")
        assert {"paid": False, "free": True, "always": True} == {kind: story.allows(kind) for kind in OPERATIONS}

    def test_no_unknown_kind(self, begin: Callable) -> None:
        """A misspelled kind of operation is an error, not a permission."""
        with pytest.raises(InvalidValue, match="one of paid, free, always; not 'restore'"):
            begin().allows("restore")


class TestViews:
    def test_state_has_both_regions(self, begin: Callable) -> None:
        """The state names what the host may do and when the server is asked."""
        assert licfsm.State(entitlement="Grace", auto_update="Retrying") == begin("2025-02-20", "Retrying").state

    def test_machines_are_those_of_the_table(self, begin: Callable) -> None:
        """The two machines are shared by all licenses."""
        assert begin().machines is begin().machines

    def test_events_are_those_that_do_something(self, begin: Callable) -> None:
        """In Valid and Scheduled these triggers have an effect; answers and `enable` have none."""
        assert (
            "expiring",
            "new_key",
            "policy_changed",
            "clock_corrected",
            "disable",
            "check_now",
            "check_due",
            "installed",
            "clock_went_back",
        ) == begin("2025-01-01", auto_update="Scheduled").events()

    def test_next_check_is_in_the_zone(self, begin: Callable) -> None:
        """Public times are pendulum's, in the license's zone."""
        story = begin("2025-02-10T09:00", auto_update="Scheduled", zone="Europe/Berlin")
        assert ("2025-02-11T10:00:00+01:00", pendulum.DateTime) == (
            story.next_check.isoformat(),
            type(story.next_check),
        )

    @pytest.mark.parametrize(
        ("start", "state", "due"),
        [
            ("2025-02-01", "Off", "2025-02-07T00:00:00+00:00"),  # Expiring
            ("2025-02-10", "Off", "2025-02-10T00:00:00+00:00"),  # the state of first sight is still to be told
            ("2025-02-01", "Scheduled", "2025-02-07T00:00:00+00:00"),  # both at once
            ("2025-02-10", "Scheduled", "2025-02-11T00:00:00+00:00"),  # the question
            ("2025-02-14T12:00", "Scheduled", "2025-02-15T00:00:00+00:00"),  # Grace, before the question
            ("2025-02-14T12:00", "Checking", "2025-02-15T00:00:00+00:00"),  # Grace, while it is under way
        ],
    )
    def test_next_due_is_the_earliest(self, begin: Callable, start: str, state: str, due: str) -> None:
        """The next change of entitlement or the next question, whichever is first."""
        assert due == begin(start, state).next_due().isoformat()

    @pytest.mark.parametrize(
        ("start", "due"),
        [
            ("2025-02-10", "2025-02-15T00:00:00+00:00"),  # Grace
            ("2025-02-20", "2025-03-17T00:00:00+00:00"),  # FreeMode
        ],
    )
    def test_next_due_after_first_sight(self, begin: Callable, start: str, due: str) -> None:
        """Once the state of first sight is told, the next change of entitlement is due."""
        story = begin(start)
        story.happen(ev.Tick())
        assert due == story.next_due().isoformat()

    def test_next_due_is_none_where_nothing_is(self, begin: Callable) -> None:
        """FreeMode and Off go on forever, once they are told."""
        story = begin("2025-04-01")
        story.happen(ev.Tick())
        assert story.next_due() is None

    def test_advance_tells_the_state_of_first_sight(self) -> None:
        """Expiring at first sight is told, though no change of entitlement leads to it (2.5)."""
        key = licfsm.LicenseKey(id="ACME-1", type="subscription", expires="2025-02-14")
        lic = licfsm.License(key, "veeam-9", clock=licfsm.ManualClock("2025-02-10"))
        told = [effect.name for effect in lic.advance("2025-02-11") if isinstance(effect, fx.Notify)]
        assert ["expiring"] == told

    def test_next_due_knows_the_targets(self, begin: Callable) -> None:
        """A target that is tried again is due."""
        story = begin("2025-02-10T09:00", targets=("server", "manager"))
        story.install(story.renewal(expires="2026-02-14"))
        story.happen(ev.Tick())
        story.happen(ev.TargetWritten("server", story.key))
        assert "2025-02-10T10:00:00+00:00" == story.next_due().isoformat()


class TestMaking:
    def test_an_unknown_policy_is_refused(self, begin: Callable) -> None:
        """A policy that is not built in is an error."""
        with pytest.raises(InvalidValue, match="veeam-9"):
            begin(policy="veeam-99")

    def test_a_type_unknown_to_the_policy_is_refused(self, begin: Callable) -> None:
        """The policy must know the key's type."""
        with pytest.raises(InvalidValue, match="knows no license type 'gift'"):
            begin(type="gift")

    def test_a_record_is_taken_over(self, begin: Callable) -> None:
        """What survived of an earlier life goes on where it was (7.4)."""
        before = begin("2025-02-10T09:00", auto_update="Retrying")
        after = begin("2025-02-10T12:00", record=before.record)
        assert (before.state, before.next_check) == (after.state, after.next_check)

    def test_a_question_under_way_goes_on_after_a_kill(self, begin: Callable, script: type) -> None:
        """Checking with its attempt is the intent: whoever takes the record over asks."""
        before = begin(auto_update="Checking")
        after = begin(record=before.record)
        after.advance("2025-02-10T09:00", server=script("up_to_date"))
        assert "Scheduled" == after.state.auto_update

    @pytest.mark.parametrize("spread", [Span(), "0 minutes", Span(ms=0)])
    def test_no_spread_is_no_offset(self, begin: Callable, spread: Span | str) -> None:
        """Without a spread questions are not moved."""
        assert 0 == begin(spread=spread).offset

    @pytest.mark.parametrize("name", ["ACME-1", "ACME-2", "z"])
    @pytest.mark.parametrize("spread", ["1 hour", "7 minutes"])
    def test_the_offset_is_a_stable_hash_of_the_id(self, name: str, spread: str) -> None:
        """The first 8 bytes of its SHA-256, big-endian, modulo the spread in ms (3.6)."""
        ms = {"1 hour": 3_600_000, "7 minutes": 420_000}[spread]
        number = int(hashlib.sha256(name.encode()).hexdigest()[:16], 16)  # 16 hex digits are 8 bytes
        assert number % ms == spread_offset(name, Span.parse(spread))


class TestStep:
    def test_works_on_a_copy(self, begin: Callable) -> None:
        """A step leaves the record it began with as it was."""
        story = begin()
        before = story.record
        story.enable()
        assert ("Off", "Checking") == (before.auto_update, story.record.auto_update)

    def test_is_discarded_by_an_exception(self, begin: Callable) -> None:
        """A refused command changes neither record nor key."""
        story = begin(auto_update="Checking")
        before = story.record, story.key, story.dates
        with pytest.raises(KeyRejected):
            story.install(story.renewal(id="ACME-2"))
        assert before == (story.record, story.key, story.dates)

    def test_says_what_changed_and_what_to_do(self, begin: Callable) -> None:
        """Enabling moves to Checking, and asks."""
        story = begin("2025-02-01")
        now = story.clock.now_ms()
        assert [
            fx.Moved("auto_update", "enable", "Off", "Checking", now, "6.1 asks at once"),
            fx.Ask(1),
        ] == story.enable()


class TestAdvance:
    def test_steps_through_every_due_instant(self, begin: Callable, script: type) -> None:
        """The clock stops at each thing due on the way, and never goes over one."""
        story = begin("2025-02-06T09:00", auto_update="Scheduled")
        seen = []
        story.advance(
            "2025-02-08", server=script("up_to_date"), observe=lambda now, _: seen.append(instants.isoformat(now))
        )
        # at each instant: what is due, then the answer
        assert ["2025-02-07T00:00:00+00:00"] * 2 + ["2025-02-08T00:00:00+00:00"] * 2 == seen

    def test_gives_all_that_came_of_it(self, begin: Callable) -> None:
        """Without an observer the effects are returned, in order."""
        assert ["Expiring", "Grace"] == [
            effect.target for effect in begin("2025-02-01").advance("2025-02-20") if isinstance(effect, fx.Moved)
        ]

    @pytest.mark.parametrize(
        "to",
        [
            "2025-02-12",
            "2025-02-12T00:00",
            "2025-02-11T23:00Z",
            pendulum.datetime(2025, 2, 12, tz="Europe/Berlin"),
            dt.datetime(2025, 2, 12),  # noqa: DTZ001 - local to the zone
            1_739_314_800_000,  # 20130 days and 23 hours
        ],
    )
    def test_goes_to_a_time_in_any_form(self, begin: Callable, to: object) -> None:
        """A datetime, text in the license's zone, or milliseconds."""
        story = begin("2025-02-10T09:00", zone="Europe/Berlin")
        story.advance(to)
        assert "2025-02-11T23:00:00Z" == story.clock.now.to_iso8601_string()

    def test_does_what_is_due_at_the_end(self, begin: Callable) -> None:
        """The end is inclusive."""
        story = begin("2025-02-10")
        story.advance("2025-02-15")
        assert "Grace" == story.state.entitlement

    def test_never_goes_back(self, begin: Callable) -> None:
        """An end that is past is refused, and leaves the clock alone."""
        story = begin("2025-02-10")
        with pytest.raises(InvalidValue, match="lies before the clock"):
            story.advance("2025-02-01")
        assert "2025-02-10T00:00:00Z" == story.clock.now.to_iso8601_string()

    def test_leaves_a_question_open_without_a_server(self, begin: Callable) -> None:
        """Nobody answers: Checking lasts, and the calendar goes on."""
        story = begin("2025-02-10", auto_update="Checking")
        story.advance("2025-02-20")
        assert ("Grace", "Checking") == story.state

    def test_tells_the_server_who_asks(self, begin: Callable, script: type) -> None:
        """A question has its attempt, the installed key, and its time."""
        story = begin("2025-02-10T09:00")
        story.enable()
        server = script("up_to_date")
        story.advance("2025-02-10T10:00", server=server)
        assert [licfsm.Question(1, story.key, licfsm.ManualClock("2025-02-10T09:00").now_ms())] == server.questions

    def test_waits_for_an_answer_that_takes_its_time(self, begin: Callable, script: type) -> None:
        """Until the answer arrives the check is under way, over more than one advance."""
        story = begin("2025-02-10T09:00")
        story.enable()
        server = script(Answer("up_to_date", takes=30 * MINUTE))
        seen = []
        for minute in (15, 29, 30):
            story.advance(f"2025-02-10T09:{minute}", server=server)
            seen.append(story.state.auto_update)
        assert (["Checking", "Checking", "Scheduled"], 1) == (seen, len(server.questions))

    def test_lets_an_answer_come_before_what_is_due_then(self, begin: Callable, script: type) -> None:
        """What changes outside comes first (7.1): a key that arrives as the old one expires makes grace no news."""
        story = begin("2025-02-14T23:00")
        story.enable()
        key = story.renewal(expires="2026-02-14")
        story.advance("2025-02-15", server=script(Answer("new_key", key=key, takes=HOUR)))
        assert ("Valid", ["expiring", "key_installed"]) == (story.state.entitlement, story.told())

    def test_drops_the_answer_to_a_question_that_was_given_up(self, begin: Callable, script: type) -> None:
        """After `disable` and `enable` another question is asked, and its answer counts."""
        story = begin("2025-02-10T09:00")
        story.enable()
        server = script(Answer("generation_failed", takes=HOUR), "up_to_date")
        story.advance("2025-02-10T09:10", server=server)
        story.disable()
        story.enable()
        story.advance("2025-02-10T09:10", server=server)
        assert ("Scheduled", [2]) == (story.state.auto_update, [check.attempt for check in story.all(fx.Checked)])

    def test_drops_the_answer_when_switched_off(self, begin: Callable, script: type) -> None:
        """After `disable` the answer under way is never given."""
        story = begin("2025-02-10T09:00")
        story.enable()
        server = script(Answer("generation_failed", takes=HOUR))
        story.advance("2025-02-10T09:10", server=server)
        story.disable()
        story.advance("2025-02-10T12:00", server=server)
        assert ("Off", []) == (story.state.auto_update, story.all(fx.Checked))

    def test_lets_a_server_make_its_key_of_the_installed_one(self, begin: Callable, script: type) -> None:
        """A simulated server may give a function of the key that is installed when the answer arrives."""
        story = begin("2025-02-10T09:00")
        story.enable()
        answer = Answer("new_key", key=lambda key: story.renewal(expires=key.expires.add(years=1)))
        story.advance("2025-02-10T10:00", server=script(answer))
        assert "2026-02-14" == str(story.key.expires)

    def test_passes_on_what_the_answer_says(self, begin: Callable, script: type) -> None:
        """Retry-After and the signed time reach the license."""
        story = begin("2025-02-10T09:00")
        story.enable()
        story.advance("2025-02-10T09:00", server=script(Answer("connection_failed", retry_after=10 * MINUTE)))
        assert "2025-02-10T09:10:00+00:00" == story.next_question

    def test_moves_an_answer_under_way_with_the_clock(self, begin: Callable, script: type) -> None:
        """An answer that takes half an hour takes it by a clock that was set forward meanwhile, too."""
        story = begin("2025-02-10T09:00")
        story.enable()
        server = script(Answer("up_to_date", takes=30 * MINUTE))
        story.advance("2025-02-10T09:10", server=server)
        story.shift(2 * HOUR)
        story.advance("2025-02-10T11:29", server=server)
        before = story.state.auto_update
        story.advance("2025-02-10T11:30", server=server)
        assert ("Checking", "Scheduled") == (before, story.state.auto_update)

    def test_needs_a_clock_that_can_be_moved(self) -> None:
        """The system's clock is not advanced: a host steps by Tick."""
        key = licfsm.LicenseKey(id="A", type="nfr")
        story = licfsm.License(key, "veeam-9", clock=licfsm.SystemClock())
        with pytest.raises(InvalidValue, match=r"step by Tick at next_due\(\)"):
            story.advance("2025-02-10")


class TestNextChange:
    """rules.md 2.2: when the clock changes the entitlement next."""

    @pytest.mark.parametrize(
        ("now", "change"),
        [
            ("2025-02-01", "2025-02-07T00:00:00+00:00"),
            ("2025-02-10", "2025-02-15T00:00:00+00:00"),
            ("2025-02-20", "2025-03-17T00:00:00+00:00"),
        ],
    )
    def test_is_the_date_of_the_state_to_come(self, begin: Callable, now: str, change: str) -> None:
        """Expiring begins 7 days before 14 February, grace after that day, free mode 30 days later."""
        assert change == begin(now).next_change.isoformat()

    @pytest.mark.parametrize("options", [{"start": "2025-04-01"}, {"expires": None}])
    def test_is_none_where_nothing_comes(self, begin: Callable, options: dict) -> None:
        """Free mode and a perpetual key stay."""
        assert begin(**options).next_change is None


class TestAtNow:
    """A license as of this moment, where nobody stepped it since a change was due."""

    @pytest.mark.parametrize(
        ("begun", "now", "entitlement"),
        [
            ("2025-02-01", "2025-02-06T23:59:59.999", "Valid"),
            ("2025-02-01", "2025-02-07", "Expiring"),
            ("2025-02-01", "2025-02-15", "Grace"),
            ("2025-02-01", "2025-03-17", "FreeMode"),
            ("2025-02-10", "2025-03-16T23:59:59.999", "Grace"),
            ("2025-04-01", "2025-02-01", "FreeMode"),
            ("2025-02-20", "2025-02-01", "Grace"),
        ],
    )
    def test_has_the_entitlement_that_the_clock_has_brought(
        self, begin: Callable, begun: str, now: str, entitlement: str
    ) -> None:
        """The dates take effect by themselves, but a clock set back improves nothing (7.5)."""
        story = begin(begun)
        story.clock.move_to(now)
        assert entitlement == story.at_now().state.entitlement

    def test_without_grace_goes_from_expiring_to_free_mode(self, begin: Callable) -> None:
        """A trial has no grace: at its expiry free mode begins (2.1)."""
        story = begin("2025-02-10", type="trial")
        story.clock.move_to("2025-02-15")
        assert "FreeMode" == story.at_now().state.entitlement

    def test_leaves_the_license_as_it_is(self, begin: Callable) -> None:
        """To look at it is no step."""
        story = begin("2025-02-01")
        story.clock.move_to("2025-03-17")
        story.at_now()
        assert ("Valid", []) == (story.state.entitlement, story.log)


class TestSignedText:
    def test_is_none_of_a_licenses_business(self, begin: Callable, script: type) -> None:
        """A License without a manager verifies nothing, and says so."""
        story = begin("2025-02-10")
        story.enable()
        with pytest.raises(InvalidValue, match="verifies no signed text"):
            story.advance("2025-02-11", server=script(Answer("new_key", "eyJ")))
