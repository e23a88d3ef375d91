from collections.abc import Callable

import pytest

import licfsm
from licfsm import effects as fx
from licfsm import events as ev
from licfsm import instants
from licfsm.instants import DAY, HOUR, MINUTE

# The key's last day is 2025-02-14: Expiring from 02-07, Grace from 02-15, FreeMode from 03-17.


def memory(story: licfsm.License) -> str:
    """Tell the latest time by which entitlement is judged."""
    return instants.isoformat(story.judged_at)


class TestClockSetBack:
    """rules.md 7.5."""

    def test_improves_nothing(self, begin: Callable) -> None:
        """The entitlement and the days that remain are judged by the latest time seen."""
        story = begin("2025-02-16T09:00")
        story.shift(-5 * DAY)
        # until 03-17 00:00: 29 days from 02-16 09:00
        assert ("Grace", "Expired (29 days of grace period remaining)") == (story.state.entitlement, story.status)

    def test_remembers_the_time_at_which_nothing_was_stepped(self, begin: Callable) -> None:
        """The memory is the clock before it was set back, not the last step."""
        story = begin("2025-02-10T09:00")
        story.clock.move_to("2025-02-16T09:00")
        story.shift(-6 * DAY)
        assert ("Grace", "2025-02-16T09:00:00+00:00") == (story.state.entitlement, memory(story))

    @pytest.mark.parametrize(
        ("by", "told"), [(-HOUR, []), (-HOUR - 1, ["clock_went_back"]), (-5 * DAY, ["clock_went_back"])]
    )
    def test_is_told_beyond_an_hour(self, begin: Callable, by: int, told: list[str]) -> None:
        """An hour back is nothing, a millisecond more is told."""
        story = begin("2025-02-01")
        story.shift(by)
        assert told == story.told()

    def test_is_told_once(self, begin: Callable) -> None:
        """Going back further behind the same memory is not told again."""
        story = begin("2025-02-01")
        for _ in range(3):
            story.shift(-2 * HOUR)
        assert ["clock_went_back"] == story.told()

    def test_adds_up(self, begin: Callable) -> None:
        """Two small steps that together are more than an hour behind the memory are one step back."""
        story = begin("2025-02-01")
        story.shift(-40 * MINUTE)
        story.shift(-40 * MINUTE)
        assert ["clock_went_back"] == story.told()

    @pytest.mark.parametrize("caught_up", ["by a tick", "by a step"])
    def test_is_told_again_once_the_clock_caught_up(self, begin: Callable, caught_up: str) -> None:
        """After the clock reached the memory again, another step back is news."""
        story = begin("2025-02-01T12:00")
        story.shift(-2 * HOUR)
        if caught_up == "by a tick":
            story.happen(ev.Tick(), "2025-02-01T12:00")
        else:
            story.clock.move_to("2025-02-01T12:00")
        story.shift(-2 * HOUR)
        assert ["clock_went_back"] * 2 == story.told()

    @pytest.mark.parametrize("state", ["Scheduled", "Retrying", "AutoUpdateDisabled"])
    def test_asks_once_at_once(self, begin: Callable, state: str) -> None:
        """From every state but Off the server is asked."""
        story = begin(auto_update=state)
        story.shift(-2 * HOUR)
        assert ("Checking", 1) == (story.state.auto_update, len(story.all(fx.Ask)))

    @pytest.mark.parametrize("state", ["Off", "Checking"])
    def test_asks_nothing_where_it_is_off_or_asking(self, begin: Callable, state: str) -> None:
        """In Off nothing is asked, in Checking nothing more."""
        story = begin(auto_update=state)
        story.shift(-2 * HOUR)
        assert (state, []) == (story.state.auto_update, story.all(fx.Ask))

    def test_leaves_what_the_contract_disabled(self, begin: Callable) -> None:
        """The question asked from AutoUpdateDisabled returns there."""
        story = begin(auto_update="AutoUpdateDisabled")
        story.shift(-2 * HOUR)
        story.answer("up_to_date")
        assert "AutoUpdateDisabled" == story.state.auto_update

    def test_does_not_stop_the_questions(self, begin: Callable) -> None:
        """Questions follow the clock as it is."""
        story = begin(auto_update="Scheduled")
        story.shift(-5 * DAY)
        story.answer("up_to_date")
        assert "2025-02-06T09:00:00+00:00" == story.next_question

    def test_catching_up_goes_on_with_the_calendar(self, begin: Callable) -> None:
        """When the clock passes the memory, the entitlement follows it again."""
        story = begin("2025-02-14T12:00")
        story.shift(-2 * HOUR)
        story.happen(ev.Tick(), "2025-02-15")
        assert ("Grace", "2025-02-15T00:00:00+00:00") == (story.state.entitlement, memory(story))


class TestJumpForward:
    """rules.md 7.5: the memory follows a jump of more than 24 hours only once it is confirmed."""

    @pytest.mark.parametrize(
        ("by", "remembered"),
        [(DAY, "2025-02-11T09:00:00+00:00"), (DAY + 1, "2025-02-10T09:00:00+00:00")],
    )
    def test_of_24_hours_is_believed(self, begin: Callable, by: int, remembered: str) -> None:
        """24 hours are remembered at once, a millisecond more is not."""
        story = begin()
        story.shift(by)
        story.shift(-by)
        assert remembered == memory(story)

    def test_counts_at_once_for_the_entitlement(self, begin: Callable) -> None:
        """The entitlement is judged by the clock, if it is the later."""
        story = begin("2025-02-10T09:00")
        story.shift(5 * DAY)
        assert "Grace" == story.state.entitlement

    @pytest.mark.parametrize(
        ("ran", "remembered"),
        [(HOUR - 1, "2025-02-10T09:00:00+00:00"), (HOUR, "2025-02-15T10:00:00+00:00")],
    )
    @pytest.mark.parametrize("ticks", [False, True])
    def test_is_confirmed_by_an_hour_of_running(self, begin: Callable, ran: int, remembered: str, ticks: bool) -> None:  # noqa: FBT001
        """An hour after the jump the memory follows, stepped or not; a millisecond before it does not."""
        story = begin("2025-02-10T09:00")
        story.shift(5 * DAY)
        story.clock.move_to(story.clock.now_ms() + ran)
        if ticks:
            story.happen(ev.Tick())
        story.shift(-5 * DAY - ran)
        assert remembered == memory(story)

    def test_is_confirmed_by_the_step_at_the_hour(self, begin: Callable) -> None:
        """The memory follows when the hour is over, not when the clock is moved next."""
        story = begin("2025-02-10T09:00")
        story.shift(5 * DAY)
        story.happen(ev.Tick(), "2025-02-15T10:00")
        story.clock.move_to("2025-02-10T10:00")  # unnoticed
        assert "2025-02-15T10:00:00+00:00" == memory(story)

    def test_goes_on_being_confirmed_over_a_step_of_24_hours(self, begin: Callable) -> None:
        """24 hours are no jump: the half hour that has run counts, and another confirms."""
        story = begin("2025-02-10T09:00")
        story.shift(2 * DAY)
        story.happen(ev.Tick(), "2025-02-12T09:30")
        story.shift(DAY)
        story.happen(ev.Tick(), "2025-02-13T10:00")
        story.shift(-3 * DAY)
        assert "2025-02-13T10:00:00+00:00" == memory(story)

    def test_counts_running_not_the_clock(self, begin: Callable) -> None:
        """A small step while a jump waits does not count as running."""
        story = begin("2025-02-10T09:00")
        story.shift(5 * DAY)
        story.shift(HOUR)
        story.shift(-5 * DAY - HOUR)
        assert "2025-02-10T09:00:00+00:00" == memory(story)

    def test_waits_an_hour_from_the_latest_jump(self, begin: Callable) -> None:
        """A second jump begins the hour anew."""
        story = begin("2025-02-10T09:00")
        story.shift(2 * DAY)
        story.happen(ev.Tick(), "2025-02-12T09:59")
        story.shift(2 * DAY)
        story.happen(ev.Tick(), "2025-02-14T10:00")
        story.shift(-4 * DAY - HOUR)
        assert ["expiring", "clock_corrected"] == story.told()[:2]

    def test_is_not_taken_back_by_an_hour(self, begin: Callable) -> None:
        """A correction of one hour while the jump waits is no coming back."""
        story = begin("2025-02-10T09:00")
        story.shift(5 * DAY)
        story.shift(-HOUR)
        assert "clock_corrected" not in story.told()

    def test_behind_the_memory_needs_no_confirming(self, begin: Callable) -> None:
        """A clock that jumps, but stays behind the memory, teaches it nothing."""
        story = begin("2025-02-10T09:00")
        story.shift(-5 * DAY)
        story.shift(3 * DAY)
        assert "2025-02-10T09:00:00+00:00" == memory(story)


class TestComingBack:
    """rules.md 7.6: the clock coming back before a jump was confirmed."""

    def test_derives_the_entitlement_anew(self, begin: Callable) -> None:
        """What the wrong clock brought is taken back, and told."""
        story = begin("2025-02-10T09:00")
        story.shift(40 * DAY)
        story.shift(-40 * DAY)
        assert "Expiring" == story.state.entitlement
        assert ["free_mode_entered", "clock_corrected", "expiring"] == story.told()

    def test_does_not_tell_a_state_again_that_did_not_change(self, begin: Callable) -> None:
        """A jump within Expiring tells it once."""
        story = begin("2025-02-10T09:00")
        story.shift(2 * DAY)
        story.shift(-2 * DAY)
        assert ["expiring", "clock_corrected"] == story.told()

    def test_lets_later_states_be_told_again(self, begin: Callable) -> None:
        """Grace, told by the wrong clock, is told again when it comes."""
        story = begin("2025-02-10T09:00")
        story.shift(10 * DAY)
        story.shift(-10 * DAY)
        story.happen(ev.Tick(), "2025-02-15")
        assert 2 == story.told().count("grace_started")

    def test_half_way_waits_again(self, begin: Callable) -> None:
        """A clock that comes back, but not all the way, is to be confirmed anew."""
        story = begin("2025-02-10T09:00")
        story.shift(10 * DAY)
        story.shift(-5 * DAY)
        story.shift(-5 * DAY)
        assert ("2025-02-10T09:00:00+00:00", 2) == (memory(story), story.told().count("clock_corrected"))

    def test_is_no_step_back(self, begin: Callable) -> None:
        """A clock that is right again is not told to have gone back."""
        story = begin("2025-02-10T09:00", auto_update="Scheduled")
        story.shift(40 * DAY)
        story.shift(-40 * DAY)
        assert "clock_went_back" not in story.told()

    def test_behind_where_it_jumped_from_is_one(self, begin: Callable) -> None:
        """A clock that comes back further than it jumped is behind the memory."""
        story = begin("2025-02-10T09:00")
        story.shift(40 * DAY)
        story.shift(-45 * DAY)
        assert ["clock_corrected", "clock_went_back"] == [name for name in story.told() if "clock" in name]

    def test_keeps_the_retry_interval_however_often_it_comes_back(self, begin: Callable) -> None:
        """Coming back in two steps, the next question is 24 hours from the last of them, not at once."""
        story = begin("2025-02-10T09:00")
        story.shift(20 * DAY)
        story.enable()
        story.answer("generation_failed")
        for _ in range(2):
            story.shift(-10 * DAY)
        assert ("Retrying", "2025-02-11T09:00:00+00:00") == (story.state.auto_update, story.next_check.isoformat())

    @pytest.mark.parametrize(("state", "outcome"), [("Scheduled", "up_to_date"), ("Retrying", "generation_failed")])
    def test_brings_the_next_question_forward(self, begin: Callable, state: str, outcome: str) -> None:
        """A question put off by the wrong clock is asked within its interval from now."""
        story = begin("2025-02-10T09:00", auto_update=state)
        story.shift(20 * DAY)
        story.answer(outcome)
        story.shift(-20 * DAY)
        assert "2025-02-11T09:00:00+00:00" == story.next_question

    def test_derives_the_deadline_anew(self, begin: Callable) -> None:
        """The deadline that the wrong clock moved is that of the key again, and may be excused again."""
        story = begin("2025-02-10T09:00", auto_update="Retrying")
        story.shift(50 * DAY)
        story.answer("generation_failed")
        story.shift(-50 * DAY)
        assert ("2025-03-15T00:00:00+00:00", False) == (
            instants.isoformat(story.record.give_up_at),
            story.record.excused,
        )

    def disabled_by_a_jump(self, begin: Callable) -> licfsm.License:
        """Jump to a minute after the deadline, which asks its last question."""
        story = begin("2025-03-13T12:00", auto_update="Retrying")
        story.clock.move_to("2025-03-13T23:58")  # 26 hours before 03-15 00:01 less a minute
        story.shift(DAY + 3 * MINUTE)
        story.answer("generation_failed")
        assert "AutoUpdateDisabled" == story.state.auto_update
        return story

    def test_resumes_what_a_deadline_that_lies_ahead_disabled(self, begin: Callable) -> None:
        """Automatic update goes on where its deadline is not past after all, and says so."""
        story = self.disabled_by_a_jump(begin)
        story.shift(-DAY - 3 * MINUTE)
        assert ("Scheduled", "2025-03-14T23:58:00+00:00") == (story.state.auto_update, story.next_question)
        assert "auto_update_resumed" in story.told("mail")

    def test_resumes_it_in_mid_check_too(self, begin: Callable) -> None:
        """A check_now begun in AutoUpdateDisabled returns to Scheduled."""
        story = self.disabled_by_a_jump(begin)
        story.check_now()
        story.shift(-DAY - 3 * MINUTE)
        story.answer("up_to_date")
        assert ("Scheduled", 1) == (story.state.auto_update, story.told().count("auto_update_resumed"))

    @pytest.mark.parametrize("in_mid_check", [False, True])
    def test_does_not_resume_what_a_deadline_that_is_past_disabled(
        self,
        begin: Callable,
        in_mid_check: bool,  # noqa: FBT001
    ) -> None:
        """Back on 15 March the deadline of that day is past all the same."""
        story = begin("2025-03-14T12:00", auto_update="Retrying")
        story.happen(ev.Tick(), "2025-03-15")
        story.answer("generation_failed")
        story.shift(2 * DAY)
        if in_mid_check:
            story.check_now()
        story.shift(-2 * DAY)
        story.answer("up_to_date")
        assert ("AutoUpdateDisabled", False) == (story.state.auto_update, "auto_update_resumed" in story.told())

    @pytest.mark.parametrize("state", ["Off", "Checking", "AutoUpdateDisabled"])
    def test_leaves_the_other_states(self, begin: Callable, state: str) -> None:
        """Off, Checking, and what the contract disabled, stay."""
        story = begin(auto_update=state)
        story.shift(2 * DAY)
        story.shift(-2 * DAY)
        assert state == story.state.auto_update


class TestAwayInMidCheck:
    """rules.md 5.2, 7.3: the deadline of 15 March passed while the host was away in mid-check."""

    @pytest.mark.parametrize(
        ("found", "state"), [("2025-03-15T00:05", "AutoUpdateDisabled"), ("2025-03-15T00:05:00.001", "Retrying")]
    )
    def test_is_excused_more_than_five_minutes_late(self, begin: Callable, found: str, state: str) -> None:
        """The question is asked again; it is the last one only where the deadline was found in time."""
        story = begin("2025-03-14T12:00", auto_update="Checking")
        story.shift(licfsm.ManualClock(found).now_ms() - story.clock.now_ms(), interrupted=True)
        story.answer("connection_failed")
        assert state == story.state.auto_update

    def test_is_not_excused_where_the_host_was_there(self, begin: Callable) -> None:
        """A host that ran past the deadline with the question under way missed nothing."""
        story = begin("2025-03-14T12:00", auto_update="Checking")
        story.happen(ev.Restarted(), "2025-03-15T02:00")
        story.answer("connection_failed")
        assert "AutoUpdateDisabled" == story.state.auto_update

    def test_is_excused_once_per_key(self, begin: Callable) -> None:
        """The second time it is found late, the question is the last one."""
        story = begin("2025-03-14T12:00", auto_update="Checking")
        story.happen(ev.Restarted(), "2025-03-15T12:00")
        story.happen(ev.Restarted(), "2025-03-16T18:00")
        story.answer("connection_failed")
        assert "AutoUpdateDisabled" == story.state.auto_update


class TestAwayInMidCheckOfAUser:
    """A check_now begun in Off has no deadline that could be missed (5.2, 6.3)."""

    def test_excuses_nothing(self, begin: Callable) -> None:
        """The host sleeps past the deadline in mid-check, and the key's one excuse is still there."""
        story = begin("2025-03-14T12:00")
        story.check_now()
        story.clock.move_to("2025-03-20")
        story.step_clock(5 * DAY + 12 * HOUR, interrupted=True)
        assert not story.record.excused


class TestClockSetBackInMidCheck:
    def test_counts_the_attempt_from_the_clock(self, begin: Callable) -> None:
        """An attempt's start is never later than the clock, so the retry keeps its whole interval (4.2, 7.6)."""
        story = begin("2025-02-10T09:00", auto_update="Checking")
        story.shift(-HOUR // 2)
        story.answer("connection_failed")
        assert ("2025-02-10T08:30:00+00:00", "2025-02-10T09:30:00+00:00") == (
            instants.isoformat(story.record.asked_at),
            story.next_question,
        )


def test_a_question_missed_in_a_suspend_is_asked_when_the_host_wakes(begin: Callable) -> None:
    """What was due while the host slept is asked at once (7.2)."""
    story = begin(auto_update="Scheduled")
    story.shift(3 * DAY, interrupted=True)
    assert ("Checking", 1) == (story.state.auto_update, len(story.all(fx.Ask)))
