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


def misled(begin: Callable, days: int = 40, **options: object) -> licfsm.License:
    """Let a wrong clock be believed, and set it right: the memory is then so many days ahead."""
    story = begin(**options)
    story.shift(days * DAY)
    story.clock.move_to(story.clock.now_ms() + HOUR)  # an hour of running
    story.happen(ev.Tick())
    story.shift(-days * DAY - HOUR)
    assert story.judged_at - story.clock.now_ms() == days * DAY + HOUR
    return story


class TestSignedTime:
    """rules.md 7.5, 7.6."""

    @pytest.mark.parametrize(
        ("off", "outcome", "confirmed"),
        [
            (0, "up_to_date", True),
            (HOUR, "up_to_date", True),
            (-HOUR, "generation_failed", True),
            (HOUR + 1, "up_to_date", False),
            (-HOUR - 1, "up_to_date", False),
            (0, "connection_failed", False),
            (0, "request_refused", False),
            (0, "answer_rejected", False),
        ],
    )
    def test_confirms_a_jump(self, begin: Callable, off: int, outcome: str, confirmed: bool) -> None:  # noqa: FBT001
        """A time signed in an accepted answer, within an hour of the clock, makes the memory follow."""
        story = begin(auto_update="Checking")
        story.shift(5 * DAY)
        story.answer(outcome, signed_time=story.clock.now_ms() + off)
        story.shift(-5 * DAY)
        assert confirmed == (memory(story) == "2025-02-15T09:00:00+00:00")

    def test_confirms_a_jump_at_once(self, begin: Callable) -> None:
        """The memory follows with the answer, not when the clock is moved next."""
        story = begin(auto_update="Checking")
        story.shift(5 * DAY)
        story.answer("up_to_date", signed_time=story.clock.now_ms())
        story.clock.move_to("2025-02-10T09:00")  # unnoticed
        assert "2025-02-15T09:00:00+00:00" == memory(story)

    @pytest.mark.parametrize(
        ("off", "outcome", "healed"),
        [
            (0, "up_to_date", True),
            (HOUR, "contract_terminated", True),
            (-HOUR, "key_rejected", True),
            (HOUR + 1, "up_to_date", False),
            (-HOUR - 1, "up_to_date", False),
            (0, "connection_failed", False),
            (0, "request_refused", False),
            (0, "answer_rejected", False),
        ],
    )
    def test_sets_the_memory_right(self, begin: Callable, off: int, outcome: str, healed: bool) -> None:  # noqa: FBT001
        """The memory that a wrong clock left is the clock again, and the entitlement is derived anew."""
        story = misled(begin)
        story.check_now()
        story.answer(outcome, signed_time=story.clock.now_ms() + off)
        after = ("Expiring", True) if healed else ("FreeMode", False)
        assert after == (story.state.entitlement, "clock_corrected" in story.told())

    @pytest.mark.parametrize(("ahead", "healed"), [(HOUR, False), (HOUR + 1, True)])
    def test_must_be_more_than_an_hour_before_the_memory(self, begin: Callable, ahead: int, healed: bool) -> None:  # noqa: FBT001
        """An hour is within what clocks differ."""
        story = begin(auto_update="Checking")
        story.shift(-ahead)
        story.answer("up_to_date", signed_time=story.clock.now_ms())
        assert healed == ("clock_corrected" in story.told())

    def test_sets_the_memory_right_before_anything_else(self, begin: Callable) -> None:
        """The states are derived before the answer takes effect: the key then leads on from them."""
        story = misled(begin)
        story.check_now()
        happened = story.answer("new_key", signed_time=story.clock.now_ms())
        assert [("clock_corrected", "Expiring"), ("new_key", "Valid"), ("renewed", "Off")] == [
            (move.trigger, move.target) for move in happened if isinstance(move, fx.Moved)
        ]

    def test_resumes_what_a_deadline_that_lies_ahead_disabled(self, begin: Callable) -> None:
        """The check that a clock set back asked for ends in Scheduled."""
        story = begin("2025-03-13T23:58", auto_update="Retrying")
        story.shift(DAY + 3 * MINUTE)
        story.answer("generation_failed", signed_time=story.clock.now_ms())  # confirms the wrong clock
        story.shift(-DAY - 3 * MINUTE)
        story.answer("up_to_date", signed_time=story.clock.now_ms())
        assert ("Scheduled", True) == (story.state.auto_update, "auto_update_resumed" in story.told())

    def test_ends_being_behind(self, begin: Callable) -> None:
        """With the memory set right, the record no longer says that the clock is behind it."""
        story = begin(auto_update="Checking")
        story.shift(-2 * HOUR)
        story.answer("up_to_date", signed_time=story.clock.now_ms())
        assert not story.record.went_back


class TestNewerKeyByHand:
    """rules.md 7.6."""

    @pytest.mark.parametrize(
        ("issued", "healed"),
        [
            ("2025-02-10T08:59:59.999Z", True),
            ("2025-02-10T09:00Z", False),  # not before the clock
            ("2025-01-01", False),  # not newer than the installed one
            (None, False),
        ],
    )
    def test_sets_the_memory_right(self, begin: Callable, issued: str | None, healed: bool) -> None:  # noqa: FBT001
        """A key issued later than the installed one, and before the clock's time, proves the clock."""
        story = misled(begin, issued="2025-01-01")
        story.install(story.renewal(issued=issued, expires="2025-02-15"))
        after = ("Expiring", True) if healed else ("FreeMode", False)
        assert after == (story.state.entitlement, "clock_corrected" in story.told())

    @pytest.mark.parametrize(("ahead", "healed"), [(HOUR, False), (HOUR + 1, True)])
    def test_must_be_more_than_an_hour_before_the_memory(self, begin: Callable, ahead: int, healed: bool) -> None:  # noqa: FBT001
        """An hour is within what clocks differ."""
        story = begin()
        story.shift(-ahead)
        story.install(story.renewal(expires="2026-02-14"))
        assert healed == ("clock_corrected" in story.told())
