import hashlib
from collections.abc import Callable

import attrs
import pytest

import licfsm
from licfsm import events as ev
from licfsm import instants, policy
from licfsm.instants import DAY, HOUR, MINUTE, SECOND

# A license's part of a spread of one hour, by rules.md 3.6: computed here, not asked for.
OFFSET = int.from_bytes(hashlib.sha256(b"ACME-1").digest()[:8], "big") % 3_600_000

# The keys' last day is 2025-02-14: retrying ends at 2025-03-15 00:00 (14 February + 28 days, its end).
DEADLINE = "2025-03-15"


def later(text: str, ms: int) -> str:
    """Write a time some milliseconds later."""
    return instants.isoformat(licfsm.ManualClock(text).now_ms() + ms)


class TestCadence:
    """rules.md 3.1 to 3.3, 3.5."""

    def test_is_a_week_until_expiring_and_a_day_from_then_on(self, begin: Callable, script: type) -> None:
        """Enabling asks at once, then weekly, at the start of Expiring, and daily."""
        story = begin("2025-01-22T09:00", auto_update="Scheduled")
        story.advance("2025-02-09", server=script("up_to_date"))
        assert [
            "2025-01-29T09:00:00+00:00",
            "2025-02-05T09:00:00+00:00",
            "2025-02-07T00:00:00+00:00",  # never later than expiring_at
            "2025-02-08T00:00:00+00:00",
            "2025-02-09T00:00:00+00:00",
        ] == story.asked

    @pytest.mark.parametrize(
        ("start", "state"),
        [("2025-02-20T09:00", "Grace"), ("2025-03-01T09:00", "Grace"), ("2025-03-20T09:00", "FreeMode")],
    )
    def test_is_a_day_in_grace_and_free_mode_too(self, begin: Callable, start: str, state: str) -> None:
        """The daily cadence goes on after expiry."""
        story = begin(start, auto_update="Scheduled")
        assert (state, later(start, DAY)) == (story.state.entitlement, story.next_question)

    def test_counts_from_the_start_of_the_attempt(self, begin: Callable, script: type) -> None:
        """An answer that takes its time does not move the next question."""
        story = begin("2025-02-10T09:00")
        story.enable()
        story.advance("2025-02-10T12:00", server=script(licfsm.Answer("up_to_date", takes=20 * MINUTE)))
        assert "2025-02-11T09:00:00+00:00" == story.next_question

    def test_stays_moved_by_a_gap(self, begin: Callable, script: type) -> None:
        """A weekly question at a local time that is skipped is asked later, and so are those after it."""
        story = begin("2025-03-23T01:30", zone="Europe/Berlin", expires="2026-01-01", auto_update="Scheduled")  # 02:30
        story.advance("2025-04-07", server=script("up_to_date"))
        assert ["2025-03-30T01:30:00+00:00", "2025-04-06T01:30:00+00:00"] == story.asked  # 03:30 CEST, twice

    def test_keeps_its_local_time_over_a_change_of_offset(self, begin: Callable, script: type) -> None:
        """A week is a step of the calendar, not 168 hours."""
        story = begin("2025-03-26T08:00", zone="Europe/Berlin", expires="2026-01-01", auto_update="Scheduled")  # 09:00
        story.advance("2025-04-03", server=script("up_to_date"))
        assert ["2025-04-02T07:00:00+00:00"] == story.asked  # 09:00 CEST

    def test_of_a_late_question_counts_from_when_it_was_asked(self, begin: Callable) -> None:
        """A question asked half a day late is followed by the next a day after it."""
        story = begin(auto_update="Scheduled")  # next at 02-11 09:00
        story.happen(ev.Tick(), "2025-02-11T21:00")
        story.answer("up_to_date")
        assert "2025-02-12T21:00:00+00:00" == story.next_question

    @pytest.mark.parametrize(
        ("outcome", "next_question"),
        [("up_to_date", "2025-02-11T08:30:00+00:00"), ("connection_failed", "2025-02-10T09:30:00+00:00")],
    )
    def test_follows_a_clock_set_back_in_mid_check(self, begin: Callable, outcome: str, next_question: str) -> None:
        """Questions follow the clock as it is, so the next is not later than if it were counted from now (7.5)."""
        story = begin(auto_update="Checking")
        story.shift(-30 * MINUTE)
        story.answer(outcome)
        assert next_question == story.next_question

    @pytest.mark.parametrize("state", ["Off", "Checking", "AutoUpdateDisabled"])
    def test_has_no_next_question_where_none_is_due(self, begin: Callable, state: str) -> None:
        """`next_check` is null in Off, Checking and AutoUpdateDisabled."""
        assert begin(auto_update=state).next_check is None


class TestSpread:
    """rules.md 3.6."""

    def test_is_added_to_the_weekly_question(self, begin: Callable, script: type) -> None:
        """Each weekly question is later by the offset, which does not add up."""
        story = begin("2025-01-08T09:00", spread="1 hour", auto_update="Scheduled")
        story.advance("2025-01-29T12:00", server=script("up_to_date"))
        days = ("2025-01-15T09:00", "2025-01-22T09:00", "2025-01-29T09:00")
        assert [later(day, OFFSET) for day in days] == story.asked

    def test_is_added_at_expiring_and_to_the_daily_question(self, begin: Callable, script: type) -> None:
        """The question at the start of Expiring and those that follow are later by the offset."""
        story = begin("2025-02-05T09:00", spread="1 hour", auto_update="Scheduled")
        story.advance("2025-02-08T12:00", server=script("up_to_date"))
        assert [later("2025-02-07", OFFSET), later("2025-02-08", OFFSET)] == story.asked

    @pytest.mark.parametrize("outcome", ["connection_failed", "generation_failed"])
    def test_is_not_added_to_a_retry(self, begin: Callable, outcome: str) -> None:
        """Retries keep their interval."""
        story = begin(spread="1 hour", auto_update="Checking")
        story.answer(outcome)
        assert later("2025-02-10T09:00", HOUR if outcome == "connection_failed" else DAY) == story.next_question

    def test_is_added_anew_after_a_retry(self, begin: Callable, script: type) -> None:
        """The first question by cadence after a retry counts from the retry itself."""
        story = begin(spread="1 hour", auto_update="Retrying")
        story.advance("2025-02-11T09:00", server=script("up_to_date"))
        assert later("2025-02-12T09:00", OFFSET) == story.next_question

    def test_is_not_added_to_the_deadline(self, begin: Callable) -> None:
        """The last question is asked at the deadline itself."""
        assert later(DEADLINE, 0) == begin("2025-03-14T12:00", spread="1 hour", auto_update="Scheduled").next_question

    def test_is_added_anew_after_the_deadline(self, begin: Callable) -> None:
        """Where the last question brings a key, the next is a week and the offset after it."""
        story = begin("2025-03-14T12:00", spread="1 hour", auto_update="Scheduled")
        story.happen(ev.Tick(), DEADLINE)
        story.answer("new_key")
        assert later("2025-03-22", OFFSET) == story.next_question

    @pytest.mark.parametrize("command", ["enable", "check_now"])
    def test_is_not_added_to_what_the_user_asks(self, begin: Callable, command: str) -> None:
        """`enable` and `check_now` ask at once."""
        story = begin(spread="1 hour")
        getattr(story, command)()
        assert story.clock.now_ms() == story.record.asked_at

    def test_counts_from_the_time_of_asking_by_hand(self, begin: Callable) -> None:
        """A check_now has no offset to subtract, so the next question is a day and the offset after it."""
        story = begin(spread="1 hour", auto_update="Scheduled")
        story.clock.move_to("2025-02-10T15:00")
        story.check_now()
        story.answer("up_to_date")
        assert later("2025-02-11T15:00", OFFSET) == story.next_question

    @pytest.mark.parametrize(("by_cadence", "offset"), [(True, 0), (False, OFFSET)])
    def test_is_subtracted_once_where_a_check_is_interrupted(
        self,
        begin: Callable,
        by_cadence: bool,  # noqa: FBT001
        offset: int,
    ) -> None:
        """The question asked again counts as the interrupted one did: by cadence, or not."""
        story = begin(spread="1 hour", auto_update="Scheduled")  # next at 02-11 09:00 + offset
        if by_cadence:
            story.happen(ev.Tick(), later("2025-02-11T09:00", OFFSET))
        else:
            story.check_now()
        asked = instants.isoformat(story.clock.now_ms())
        story.happen(ev.Restarted(), later(asked, 10 * SECOND))
        story.answer("up_to_date")
        assert later(asked, DAY + 10 * SECOND + offset) == story.next_question


class TestRetryAfter:
    """rules.md 4.2."""

    @pytest.mark.parametrize(
        ("wanted", "kept"),
        [
            (-1, 60 * SECOND),
            (0, 60 * SECOND),
            (59_999, 60 * SECOND),
            (60_000, 60 * SECOND),
            (60_001, 60_001),
            (10 * MINUTE, 10 * MINUTE),
            (24 * HOUR, 24 * HOUR),
            (24 * HOUR + 1, 24 * HOUR),
        ],
    )
    @pytest.mark.parametrize("outcome", ["connection_failed", "generation_failed"])
    def test_is_kept_between_a_minute_and_a_day(self, begin: Callable, outcome: str, wanted: int, kept: int) -> None:
        """The server's wish takes the place of the interval, within its bounds."""
        story = begin(auto_update="Checking")
        story.answer(outcome, retry_after=wanted)
        assert later("2025-02-10T09:00", kept) == story.next_question

    def test_counts_from_the_start_of_the_attempt(self, begin: Callable) -> None:
        """An answer half a minute later does not move it."""
        story = begin(auto_update="Checking")
        story.answer("connection_failed", "2025-02-10T09:00:30", retry_after=10 * MINUTE)
        assert "2025-02-10T09:10:00+00:00" == story.next_question

    def test_means_nothing_to_a_success(self, begin: Callable) -> None:
        """The cadence is not the server's to choose."""
        story = begin(auto_update="Checking")
        story.answer("up_to_date", retry_after=10 * MINUTE)
        assert "2025-02-11T09:00:00+00:00" == story.next_question

    def test_gives_way_to_the_deadline(self, begin: Callable) -> None:
        """In 24 hours, or at the deadline, whichever is first."""
        story = begin("2025-03-14T12:00", auto_update="Checking")
        story.answer("generation_failed", retry_after=20 * HOUR)
        assert later(DEADLINE, 0) == story.next_question

    def test_a_retry_without_interval_waits_for_the_deadline(self, begin: Callable) -> None:
        """Where a policy names no interval, only the deadline bounds the next question."""
        rules = policy.named("veeam-9")
        endless = attrs.evolve(rules.outcomes["generation_failed"], retry=None)
        story = begin(policy=attrs.evolve(rules, outcomes={**rules.outcomes, "generation_failed": endless}))
        story.enable()
        story.answer("generation_failed")
        assert ("Retrying", later(DEADLINE, 0)) == (story.state.auto_update, story.next_question)


class TestDeadline:
    """rules.md 5.1."""

    def test_asks_one_last_time(self, begin: Callable, script: type) -> None:
        """After a month of daily failures the deadline asks once more, and gives up."""
        story = begin(auto_update="Retrying")
        story.advance("2025-04-01", server=script("generation_failed"))
        assert later(DEADLINE, 0) == story.asked[-1]
        assert 33 == len(story.asked)  # 11 to 28 February: 18; 1 to 14 March: 14; the last one
        assert ("FreeMode", "AutoUpdateDisabled") == story.state

    def test_disables_in_grace(self, begin: Callable, script: type) -> None:
        """Automatic update is disabled at the deadline, two days before this grace ends."""
        story = begin("2025-03-14T12:00", auto_update="Retrying")
        story.advance(DEADLINE, server=script("generation_failed"))
        assert ("Grace", "AutoUpdateDisabled") == story.state

    @pytest.mark.parametrize("state", ["Scheduled", "Retrying"])
    @pytest.mark.parametrize("outcome", sorted({*policy.OUTCOMES} - {"new_key"}))
    def test_every_answer_but_a_new_key_disables(self, begin: Callable, script: type, state: str, outcome: str) -> None:
        """Whatever else the last question brings leads to AutoUpdateDisabled, and is told."""
        story = begin("2025-03-14T12:00", auto_update=state)
        story.advance(DEADLINE, server=script(outcome))
        assert "AutoUpdateDisabled" == story.state.auto_update
        assert ["auto_update_disabled"] == [name for name in story.told("mail") if name != "update_failed"]

    @pytest.mark.parametrize("state", ["Scheduled", "Retrying"])
    def test_a_new_key_goes_on(self, begin: Callable, state: str) -> None:
        """The last question may bring the renewal."""
        story = begin("2025-03-14T12:00", auto_update=state)
        story.happen(ev.Tick(), DEADLINE)
        story.answer("new_key")
        assert ("Valid", "Scheduled") == story.state

    @pytest.mark.parametrize(
        ("answered", "state"), [("2025-03-14T23:59:59.999", "Retrying"), ("2025-03-15T00:00", "AutoUpdateDisabled")]
    )
    @pytest.mark.parametrize("command", ["check_now", "enable"])
    def test_a_check_under_way_is_the_last_one(self, begin: Callable, command: str, answered: str, state: str) -> None:
        """A check begun before the deadline and answered at it is the last."""
        story = begin("2025-03-14T12:00", auto_update="Off" if command == "enable" else "Scheduled")
        story.clock.move_to("2025-03-14T23:59:30")
        getattr(story, command)()
        story.answer("generation_failed", answered)
        assert state == story.state.auto_update

    def test_leaves_nothing_of_the_last_check(self, begin: Callable) -> None:
        """Once disabled, the record keeps no state that an answer would return to."""
        story = begin("2025-03-14T12:00", auto_update="Scheduled")
        story.happen(ev.Tick(), DEADLINE)
        story.answer("up_to_date")
        assert (None, None) == (story.record.origin, story.next_check)


class TestMissedDeadline:
    """rules.md 5.2."""

    FOUND = "2025-03-15T00:05:00.001"

    @pytest.mark.parametrize("state", ["Scheduled", "Retrying"])
    @pytest.mark.parametrize(("found", "after"), [("2025-03-15T00:05", "AutoUpdateDisabled"), (FOUND, "Retrying")])
    def test_is_excused_more_than_five_minutes_late(self, begin: Callable, state: str, found: str, after: str) -> None:
        """Five minutes late it is the last question, a millisecond more and retrying goes on."""
        story = begin("2025-03-14T12:00", auto_update=state)
        story.happen(ev.Tick(), found)
        story.answer("connection_failed")
        assert after == story.state.auto_update

    def test_moves_to_24_hours_from_then(self, begin: Callable, script: type) -> None:
        """The usual retries go on until the new deadline, which asks one last time."""
        story = begin("2025-03-14T12:00", auto_update="Retrying")
        story.happen(ev.Tick(), self.FOUND)
        story.advance("2025-03-17", server=script("connection_failed"))
        assert 25 == len(story.asked)  # at once, every 60 minutes 23 times, and at the deadline
        assert ("2025-03-16T00:05:00.001+00:00", "AutoUpdateDisabled") == (story.asked[-1], story.state.auto_update)

    def test_is_excused_once_per_key(self, begin: Callable) -> None:
        """The second time it is found late, the question is the last one."""
        story = begin("2025-03-14T12:00", auto_update="Retrying")
        story.happen(ev.Tick(), self.FOUND)
        story.answer("connection_failed")
        story.happen(ev.Tick(), "2025-03-16T01:00")
        story.answer("connection_failed")
        assert "AutoUpdateDisabled" == story.state.auto_update

    def test_is_excused_again_with_another_key(self, begin: Callable) -> None:
        """A new key brings its own deadline, and its own excuse."""
        story = begin("2025-03-14T12:00", auto_update="Retrying")
        story.happen(ev.Tick(), self.FOUND)
        story.answer("new_key", key=story.renewal(expires="2025-02-20"))  # until 20 March, its end
        story.happen(ev.Tick(), "2025-03-22")
        story.answer("connection_failed")
        assert "Retrying" == story.state.auto_update

    @pytest.mark.parametrize("start", ["2025-03-15T00:00", "2025-06-01T09:00"])
    def test_is_excused_when_the_user_enables(self, begin: Callable, start: str) -> None:
        """Enabling at or past the deadline asks, and goes on for 24 hours."""
        story = begin(start, auto_update="Retrying")
        assert later(start, DAY) == story.next_question

    def test_is_excused_each_time_the_user_enables(self, begin: Callable, script: type) -> None:
        """Disabled again after those 24 hours, enabling grants another 24."""
        story = begin("2025-06-01T09:00", auto_update="Retrying")
        story.advance("2025-06-03T09:00", server=script("generation_failed"))
        assert "AutoUpdateDisabled" == story.state.auto_update
        story.enable()
        story.answer("generation_failed")
        assert ("Retrying", "2025-06-04T09:00:00+00:00") == (story.state.auto_update, story.next_question)

    def test_is_excused_when_the_user_enables_in_mid_check(self, begin: Callable) -> None:
        """Enabling takes over a check begun in Off, with 24 hours from then (6.4)."""
        story = begin("2025-06-01T09:00")
        story.check_now()
        story.happen(ev.Enable(), "2025-06-01T09:00:10")
        story.answer("connection_failed")
        assert ("Retrying", 24 * HOUR + 10 * SECOND) == (
            story.state.auto_update,
            story.record.give_up_at - licfsm.ManualClock("2025-06-01T09:00").now_ms(),
        )

    def test_a_key_whose_deadline_is_past_has_24_hours(self, begin: Callable) -> None:
        """A new key with the same old expiry gives 24 hours from then, and nothing is asked for it."""
        story = begin("2025-06-01T09:00")
        story.enable()
        story.answer("new_key", "2025-06-01T09:00:30", key=story.renewal(expires="2025-02-14"))
        assert ("Scheduled", "2025-06-02T09:00:00+00:00") == (story.state.auto_update, story.next_question)
        assert later("2025-06-02T09:00:30", 0) == instants.isoformat(story.record.give_up_at)
