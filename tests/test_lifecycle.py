import re
from collections.abc import Callable

import pytest

from licfsm import effects as fx
from licfsm import events as ev
from licfsm import lifecycle
from licfsm.policy import OUTCOMES

AUTO_UPDATE = ["Off", "Scheduled", "Checking", "Retrying", "AutoUpdateDisabled"]
ON = ["Scheduled", "Checking", "Retrying"]
ASLEEP = ["Off", "AutoUpdateDisabled"]


class TestTable:
    @pytest.mark.parametrize("row", lifecycle.ROWS, ids=lambda row: f"{row.region} {'/'.join(row.triggers)}")
    def test_every_row_cites_a_rule(self, row: lifecycle.Row) -> None:
        """The reason of a row begins with a section of the rules that speaks of the life of a license."""
        assert re.match(r"[1-7]\.[1-7][ ,]", row.why)

    def test_reads_no_answer_outside_checking(self) -> None:
        """Where no question is under way, the four reactions to an answer never come (7.3)."""
        answers = {"renewed", "current", "retry", "give_up"}
        assert {("Checking",)} == {row.sources for row in lifecycle.ROWS if answers & set(row.triggers)}


class TestEntitlement:
    """rules.md 2.2, 2.5."""

    @pytest.mark.parametrize(
        ("start", "state"),
        [
            ("2025-02-06T23:59:59.999", "Valid"),
            ("2025-02-07", "Expiring"),  # 14 - 7
            ("2025-02-14T23:59:59.999", "Expiring"),
            ("2025-02-15", "Grace"),
            ("2025-03-16T23:59:59.999", "Grace"),
            ("2025-03-17", "FreeMode"),  # 14 February + 30 days is 16 March, and its end
        ],
    )
    def test_is_at_first_what_the_dates_say(self, begin: Callable, start: str, state: str) -> None:
        """A new license begins in the state of its dates, to the millisecond."""
        assert (state, "Off") == begin(start).state

    @pytest.mark.parametrize("start", ["2025-02-15", "2025-03-17"])
    def test_is_free_mode_where_no_grace_is_granted(self, begin: Callable, start: str) -> None:
        """An expired trial has no grace."""
        assert "FreeMode" == begin(start, type="trial").state.entitlement

    def test_follows_the_calendar(self, begin: Callable) -> None:
        """Valid, Expiring, Grace and FreeMode come by themselves, each at its time."""
        story = begin("2025-02-01")
        story.advance("2025-04-01")
        assert [
            ("expiring", "Valid", "Expiring"),
            ("expired", "Expiring", "Grace"),
            ("grace_over", "Grace", "FreeMode"),
        ] == [(move.trigger, move.source, move.target) for move in story.all(fx.Moved)]

    def test_skips_a_grace_that_there_is_not(self, begin: Callable) -> None:
        """Without grace, Expiring is followed by FreeMode."""
        story = begin("2025-02-01", type="nfr")
        story.advance("2025-04-01")
        assert ["Expiring", "FreeMode"] == [move.target for move in story.all(fx.Moved)]

    def test_of_a_perpetual_key_never_changes(self, begin: Callable) -> None:
        """Without expiry a license is Valid forever."""
        story = begin("2025-02-01", expires=None, type="perpetual")
        story.advance("2999-01-01")
        assert ("Valid", []) == (story.state.entitlement, story.log)

    @pytest.mark.parametrize(("start", "state"), [("2025-02-01", "Valid"), ("2025-02-10", "Expiring")])
    def test_moves_to_what_a_new_key_says_in_one_step(self, begin: Callable, start: str, state: str) -> None:
        """From FreeMode the state of the new key is reached without one on the way."""
        story = begin("2025-03-17")
        story.clock.move_to(start)  # no memory of the later time: nothing was stepped
        story.record.latest = story.clock.now_ms()
        story.install(story.renewal(type="rental"))
        assert [("FreeMode", state)] == [(move.source, move.target) for move in story.all(fx.Moved)]


class TestEnable:
    """rules.md 6.1, 6.4."""

    @pytest.mark.parametrize("state", ASLEEP)
    def test_asks_at_once(self, begin: Callable, state: str) -> None:
        """From Off and AutoUpdateDisabled a question is under way."""
        story = begin(auto_update=state)
        story.enable()
        assert ("Checking", 1) == (story.state.auto_update, len(story.all(fx.Ask)))

    @pytest.mark.parametrize("state", ["Scheduled", "Checking", "Retrying"])
    def test_does_nothing_where_it_is_on(self, begin: Callable, state: str) -> None:
        """Where automatic update is on, neither the state nor the next question changes."""
        story = begin(auto_update=state)
        before = story.next_question
        assert [] == story.enable()
        assert (state, before) == (story.state.auto_update, story.next_question)

    @pytest.mark.parametrize("state", ASLEEP)
    def test_takes_over_a_check_begun_by_hand(self, begin: Callable, state: str) -> None:
        """A check_now from Off or AutoUpdateDisabled becomes the enabling check, without another question."""
        story = begin(auto_update=state)
        story.check_now()
        assert [] == [effect for effect in story.enable() if isinstance(effect, fx.Ask)]
        story.answer("up_to_date")
        assert ("Scheduled", "2025-02-11T09:00:00+00:00") == (story.state.auto_update, story.next_question)

    @pytest.mark.parametrize("state", ASLEEP)
    def test_makes_the_failure_of_a_check_begun_by_hand_its_own(self, begin: Callable, state: str) -> None:
        """The failure of the check that was taken over is mailed, for the user no longer looks at it (8.2)."""
        story = begin(auto_update=state)
        story.check_now()
        story.enable()
        story.answer("generation_failed")
        assert ("Retrying", True) == (story.state.auto_update, "update_failed" in story.told("mail"))


class TestDisable:
    """rules.md 6.2, 6.4."""

    @pytest.mark.parametrize("state", AUTO_UPDATE)
    def test_leads_to_off(self, begin: Callable, state: str) -> None:
        """From anywhere automatic update is off, and asks no more."""
        story = begin(auto_update=state)
        story.disable()
        assert ("Off", None) == (story.state.auto_update, story.next_check)

    @pytest.mark.parametrize("outcome", OUTCOMES)
    def test_makes_the_answer_under_way_count_for_nothing(self, begin: Callable, outcome: str) -> None:
        """An answer that was not accepted yet is ignored, be it a key."""
        story = begin(auto_update="Checking")
        story.disable()
        assert [] == story.answer(outcome)
        assert ("Off", "2025-02-14") == (story.state.auto_update, str(story.key.expires))

    def test_keeps_a_key_that_was_accepted(self, begin: Callable) -> None:
        """The key of an answer before stays in force."""
        story = begin(auto_update="Checking")
        story.answer("new_key")
        story.disable()
        assert ("Valid", "Off") == story.state

    def test_ignores_the_answer_also_when_enabled_again(self, begin: Callable) -> None:
        """An answer belongs to its attempt: that of the check before `disable` is not that of the next."""
        story = begin(auto_update="Checking")
        attempt = story.record.attempt
        story.disable()
        story.enable()
        assert [] == story.happen(ev.Answered(attempt, "up_to_date"))


class TestCheckNow:
    """rules.md 6.3."""

    @pytest.mark.parametrize("state", ["Off", "Scheduled", "Retrying", "AutoUpdateDisabled"])
    def test_asks_once(self, begin: Callable, state: str) -> None:
        """From every state but Checking, one question is under way."""
        story = begin(auto_update=state)
        story.check_now()
        assert ("Checking", 1) == (story.state.auto_update, len(story.all(fx.Ask)))

    def test_joins_the_running_check(self, begin: Callable) -> None:
        """In Checking no other question is asked."""
        story = begin(auto_update="Checking")
        assert [] == story.check_now()

    @pytest.mark.parametrize("outcome", OUTCOMES)
    @pytest.mark.parametrize("state", ASLEEP)
    def test_returns_to_where_it_began(self, begin: Callable, state: str, outcome: str) -> None:
        """A check begun in Off, or in AutoUpdateDisabled by the contract, returns there whatever the answer."""
        story = begin(auto_update=state)
        story.check_now()
        story.answer(outcome)
        assert (state, None) == (story.state.auto_update, story.next_check)

    @pytest.mark.parametrize("outcome", ["connection_failed", "contract_terminated"])
    @pytest.mark.parametrize("state", ASLEEP)
    def test_reports_a_failure_and_mails_none(self, begin: Callable, state: str, outcome: str) -> None:
        """The user is looking (8.2)."""
        story = begin(auto_update=state)
        story.check_now()
        story.answer(outcome)
        assert (1, 0) == (story.told("report").count("update_failed"), story.told("mail").count("update_failed"))

    @pytest.mark.parametrize("state", ["Scheduled", "Retrying"])
    @pytest.mark.parametrize(
        ("outcome", "after"),
        [
            ("new_key", "Scheduled"),
            ("up_to_date", "Scheduled"),
            ("connection_failed", "Retrying"),
            ("contract_terminated", "AutoUpdateDisabled"),
        ],
    )
    def test_acts_as_any_other_where_automatic_update_is_on(
        self, begin: Callable, state: str, outcome: str, after: str
    ) -> None:
        """A check begun in Scheduled or Retrying leads to where its answer does."""
        story = begin(auto_update=state)
        story.check_now()
        story.answer(outcome)
        assert after == story.state.auto_update


class TestAnswers:
    """rules.md 4.1."""

    @pytest.mark.parametrize(
        ("outcome", "state", "next_question"),
        [
            ("new_key", "Scheduled", "2025-02-17T09:00:00+00:00"),  # Valid by the new key: a week
            ("up_to_date", "Scheduled", "2025-02-11T09:00:00+00:00"),  # Expiring: a day
            ("connection_failed", "Retrying", "2025-02-10T10:00:00+00:00"),
            ("generation_failed", "Retrying", "2025-02-11T09:00:00+00:00"),
            ("request_refused", "Retrying", "2025-02-11T09:00:00+00:00"),
            ("unsupported_type", "Retrying", "2025-02-11T09:00:00+00:00"),
            ("answer_rejected", "Retrying", "2025-02-11T09:00:00+00:00"),
            ("key_rejected", "Retrying", "2025-02-11T09:00:00+00:00"),
            ("contract_terminated", "AutoUpdateDisabled", None),
        ],
    )
    @pytest.mark.parametrize("took", ["00", "30"])
    def test_lead_to_their_reaction(
        self, begin: Callable, outcome: str, state: str, next_question: str | None, took: str
    ) -> None:
        """Each outcome has its state and its next question, counted from the start of the attempt (3.3)."""
        story = begin(auto_update="Checking")
        story.answer(outcome, f"2025-02-10T09:00:{took}")
        assert (state, next_question) == (story.state.auto_update, story.next_question)

    @pytest.mark.parametrize("outcome", OUTCOMES)
    @pytest.mark.parametrize("state", ["Off", "Scheduled", "Retrying", "AutoUpdateDisabled"])
    def test_count_for_nothing_where_none_is_awaited(self, begin: Callable, state: str, outcome: str) -> None:
        """Outside Checking an answer is ignored (7.3)."""
        story = begin(auto_update=state)
        before = story.next_question
        story.answer(outcome)
        assert (state, before, []) == (story.state.auto_update, story.next_question, story.all(fx.Checked))

    def test_to_an_earlier_attempt_count_for_nothing(self, begin: Callable) -> None:
        """An answer belongs to its attempt (7.3)."""
        story = begin(auto_update="Checking")
        assert [] == story.happen(ev.Answered(story.record.attempt - 1, "up_to_date"))


class TestRestart:
    """rules.md 7.3."""

    @pytest.mark.parametrize("interrupt", ["restart", "suspend"])
    def test_asks_again_at_once_in_checking(self, begin: Callable, interrupt: str) -> None:
        """A question under way is asked again, as another attempt."""
        story = begin(auto_update="Checking")
        attempt = story.record.attempt
        happened = story.happen(ev.Restarted()) if interrupt == "restart" else story.shift(5_000, interrupted=True)
        assert [fx.Ask(attempt + 1)] == [effect for effect in happened if isinstance(effect, fx.Ask)]

    def test_ignores_the_answer_to_the_interrupted_attempt(self, begin: Callable) -> None:
        """A late answer is ignored."""
        story = begin(auto_update="Checking")
        attempt = story.record.attempt
        story.happen(ev.Restarted())
        assert [] == story.happen(ev.Answered(attempt, "up_to_date"))

    @pytest.mark.parametrize("state", ["Off", "Scheduled", "Retrying", "AutoUpdateDisabled"])
    def test_changes_nothing_elsewhere(self, begin: Callable, state: str) -> None:
        """Where no question was under way, the state and the next question stay."""
        story = begin(auto_update=state)
        before = story.next_question
        story.happen(ev.Restarted(), "2025-02-10T09:05")
        assert (state, before, []) == (story.state.auto_update, story.next_question, story.all(fx.Ask))

    def test_asks_what_was_missed_meanwhile(self, begin: Callable) -> None:
        """A question that was due while the host was down is asked at the restart."""
        story = begin(auto_update="Scheduled")  # next at 02-11 09:00
        story.happen(ev.Restarted(), "2025-02-12T12:00")
        assert ("Checking", 1) == (story.state.auto_update, len(story.all(fx.Ask)))

    def test_returns_to_where_the_interrupted_check_began(self, begin: Callable) -> None:
        """A check_now from Off that is asked again still returns to Off."""
        story = begin()
        story.check_now()
        story.happen(ev.Restarted())
        story.answer("up_to_date")
        assert "Off" == story.state.auto_update
