from collections.abc import Callable

import pytest

import licfsm
from licfsm import events as ev
from licfsm import policy


class TestStateNotices:
    """rules.md 2.5, 7.2, 8.2: a state is told once per key, and only if it is true by then."""

    def test_are_told_once_per_key(self, begin: Callable, script: type) -> None:
        """Each state is told once, however often the license is stepped."""
        story = begin("2025-02-01", auto_update="Scheduled")
        story.advance("2025-03-14", server=script("up_to_date"))
        assert ["expiring", "grace_started"] == story.told("mail")

    def test_are_told_again_for_another_key(self, begin: Callable) -> None:
        """With another key that expires soon, Expiring is told again."""
        story = begin(auto_update="Scheduled")
        story.install(story.renewal(expires="2025-02-15"))
        assert ["key_installed", "expiring"] == story.told()

    def test_passed_unseen_are_not_told(self, begin: Callable) -> None:
        """Of the states that went by unattended, only the one reached is told."""
        story = begin("2025-02-01")
        story.happen(ev.Tick(), "2025-04-01")
        assert ["free_mode_entered"] == story.told()

    def test_wait_for_the_question_of_the_same_instant(self, begin: Callable, script: type) -> None:
        """A renewal at the start of Expiring makes its notice untrue: it is dropped."""
        story = begin("2025-02-05T09:00", auto_update="Scheduled")
        server = script(licfsm.Answer("new_key", key=story.renewal(expires="2026-02-14"), takes=5_000))
        story.advance("2025-02-08", server=server)
        assert ["key_installed"] == story.told()

    def test_still_true_after_the_question_are_told_then(self, begin: Callable, script: type) -> None:
        """Where the question brings no key, the notice follows the answer."""
        story = begin("2025-02-05T09:00", auto_update="Scheduled")
        story.advance("2025-02-07T01:00", server=script("generation_failed"))
        assert ["update_failed", "expiring"] == story.told()

    def test_held_are_told_when_automatic_update_is_switched_off(self, begin: Callable) -> None:
        """Disabling drops the question, so its notices wait no longer."""
        story = begin("2025-02-05T09:00", auto_update="Scheduled")
        story.happen(ev.Tick(), "2025-02-07")
        held = story.told()
        story.disable()
        assert ([], ["expiring"]) == (held, story.told())

    def test_still_wait_when_the_question_is_asked_again(self, begin: Callable) -> None:
        """A restart in mid-check does not send what waits for the answer."""
        story = begin("2025-02-05T09:00", auto_update="Scheduled")
        story.happen(ev.Tick(), "2025-02-07")
        story.happen(ev.Restarted(), "2025-02-07T00:01")
        held = story.told()
        story.answer("up_to_date")
        assert ([], ["expiring"]) == (held, story.told())

    def test_entered_in_mid_check_are_told_at_once(self, begin: Callable) -> None:
        """A state that begins while an earlier question is under way waits for nothing."""
        story = begin("2025-02-14T23:00", auto_update="Checking")
        story.happen(ev.Tick(), "2025-02-15")
        assert ["grace_started"] == story.told()

    def test_of_a_changed_policy_wait_for_the_question_of_that_instant(self, begin: Callable) -> None:
        """A policy that changes as a question is due tells its state after the answer (7.1, 7.2)."""
        story = begin("2025-03-05T09:00", auto_update="Scheduled")
        story.happen(ev.PolicyChanged(policy.named("veeam-7")), "2025-03-06T09:00")  # no grace since 1 March
        story.happen(ev.Tick())
        before = story.told()
        story.answer("up_to_date")
        assert (["policy_changed"], ["policy_changed", "free_mode_entered"]) == (before, story.told())

    def test_entered_while_another_waits_are_told_at_once(self, begin: Callable) -> None:
        """What waited for an answer that does not come is overtaken by the next state."""
        story = begin("2025-02-05T09:00", auto_update="Scheduled")
        story.happen(ev.Tick(), "2025-02-07")
        story.happen(ev.Tick(), "2025-02-15")
        assert ["grace_started"] == story.told()

    def test_of_a_key_by_hand_wait_for_nothing(self, begin: Callable) -> None:
        """A key installed in mid-check has its state told at once, though the old one's still waits."""
        story = begin("2025-02-05T09:00", auto_update="Scheduled")
        story.happen(ev.Tick(), "2025-02-07")
        story.clock.move_to("2025-02-09")
        story.install(story.renewal(expires="2025-02-15"))  # Expiring since 02-08
        assert ["key_installed", "expiring"] == story.told()

    @pytest.mark.parametrize("command", ["enable", "check_now"])
    def test_do_not_wait_for_what_the_user_asks(self, begin: Callable, command: str) -> None:
        """A question of the user was not due with them."""
        story = begin()
        getattr(story, command)()
        assert ["expiring"] == story.told()

    @pytest.mark.parametrize(
        ("start", "name"),
        [("2025-02-10", "expiring"), ("2025-02-20", "grace_started"), ("2025-04-01", "free_mode_entered")],
    )
    def test_seen_first_are_told(self, begin: Callable, start: str, name: str) -> None:
        """The state in which a key is first seen is told, and none before it."""
        story = begin(start)
        story.happen(ev.Tick())
        assert [name] == story.told()

    def test_valid_is_no_news(self, begin: Callable) -> None:
        """A license that is Valid has nothing to tell."""
        story = begin("2025-02-01")
        story.happen(ev.Tick())
        assert [] == story.log
