from collections.abc import Callable

import attrs
import pytest

import licfsm
from licfsm import effects as fx
from licfsm import events as ev
from licfsm import instants, policy
from licfsm.instants import DAY, HOUR


def kinds(effects: list[fx.Effect]) -> list[str]:
    """Name the kinds of effects, a change of state by its region."""
    return [effect.region if isinstance(effect, fx.Moved) else type(effect).__name__ for effect in effects]


@pytest.fixture(scope="module")
def changed() -> Callable[..., policy.Policy]:
    """Make another policy of veeam-9."""
    return lambda **changes: attrs.evolve(policy.named("veeam-9"), name="changed", **changes)


class TestMissedTime:
    """rules.md 7.2."""

    def test_brings_every_change_with_its_due_time(self, begin: Callable) -> None:
        """The calendar's changes are made up for, in order, each with the time it was due."""
        story = begin("2025-02-01")
        story.happen(ev.Tick(), "2025-04-01")
        assert [
            ("Expiring", "2025-02-07T00:00:00+00:00"),
            ("Grace", "2025-02-15T00:00:00+00:00"),
            ("FreeMode", "2025-03-17T00:00:00+00:00"),
        ] == [(move.target, instants.isoformat(move.due)) for move in story.all(fx.Moved)]

    def test_asks_one_question_for_all_that_were_missed(self, begin: Callable) -> None:
        """A month asleep gives one check, whose due time is the earliest that was missed."""
        story = begin("2025-02-01T09:00", auto_update="Scheduled")  # next at 02-07 00:00
        story.happen(ev.Tick(), "2025-03-10")
        story.answer("up_to_date")
        check = story.all(fx.Checked)[0]
        assert (1, "2025-02-07T00:00:00+00:00", "2025-03-10T00:00:00+00:00") == (
            len(story.all(fx.Ask)),
            instants.isoformat(check.due),
            instants.isoformat(check.asked),
        )

    def test_changes_the_entitlement_before_it_asks(self, begin: Callable) -> None:
        """At one instant the calendar comes first, then the question."""
        story = begin("2025-02-05T09:00", auto_update="Scheduled")
        assert ["entitlement", "auto_update", "Ask"] == kinds(story.happen(ev.Tick(), "2025-02-07"))

    @pytest.mark.parametrize("command", ["enable", "disable", "check_now"])
    def test_is_made_up_for_before_a_command(self, begin: Callable, command: str) -> None:
        """What was due comes before what the user does."""
        story = begin("2025-02-14T09:00")
        story.clock.move_to("2025-02-15")
        getattr(story, command)()
        assert "Grace" == story.all(fx.Moved)[0].target

    def test_is_made_up_for_before_an_answer(self, begin: Callable) -> None:
        """A license that expired while the question was under way is in Grace when the answer comes."""
        story = begin("2025-02-14T23:59:59", auto_update="Checking")
        assert ["entitlement", "Checked", "auto_update", "Session", "Notify"] == kinds(
            story.answer("up_to_date", "2025-02-15")
        )


class TestAnswer:
    """rules.md 4.1, 4.4, 8.1."""

    def test_with_a_key_saves_it_first(self, begin: Callable) -> None:
        """The check, the key's saving, what it changes, the check's end, its session, and the notice: in this order."""
        story = begin(auto_update="Checking")
        expected = ["Checked", "SaveKey", "entitlement", "auto_update", "Session", "Notify"]
        assert expected == kinds(story.answer("new_key"))

    def test_with_a_key_puts_it_in_force(self, begin: Callable) -> None:
        """The stored key decides the entitlement from then on."""
        story = begin("2025-04-01", auto_update="Checking")
        story.answer("new_key")
        assert ("Valid", "2026-02-14") == (story.state.entitlement, str(story.key.expires))

    def test_says_when_the_check_was_asked_and_due(self, begin: Callable) -> None:
        """A check that was asked late tells both times, and whether it failed."""
        story = begin(auto_update="Scheduled")  # next at 02-11 09:00
        story.happen(ev.Tick(), "2025-02-11T10:00")
        story.answer("connection_failed", "2025-02-11T10:01")
        due, asked = (licfsm.ManualClock(f"2025-02-11T{hour}:00").now_ms() for hour in ("09", "10"))
        assert [fx.Checked(2, "connection_failed", failed=True, asked=asked, due=due)] == story.all(fx.Checked)

    @pytest.mark.parametrize(
        ("outcome", "result", "messages"),
        [
            (
                "new_key",
                "success",
                (
                    "New license key has been received",
                    "New license key has been installed",
                    "License key has been auto-updated",
                ),
            ),
            ("up_to_date", "success", ("Your existing license key is up to date",)),
            ("generation_failed", "failed", ("General license key generation error has occurred",)),
            ("contract_terminated", "failed", ("The contract of this license has been terminated",)),
        ],
    )
    def test_leaves_a_session(self, begin: Callable, outcome: str, result: str, messages: tuple[str, ...]) -> None:
        """Every check leaves a session entry with its start, end, result and messages."""
        story = begin(auto_update="Checking")
        story.answer(outcome, "2025-02-10T09:00:30")
        start = licfsm.ManualClock("2025-02-10T09:00").now_ms()
        assert [fx.Session(1, start, start + 30_000, result, messages)] == story.all(fx.Session)

    def test_that_says_why_has_its_words_in_the_session_and_the_notice(self, begin: Callable) -> None:
        """The cause stands behind the outcome's own text, without control characters (8.3)."""
        story = begin(auto_update="Checking")
        story.answer("generation_failed", detail="the\x1b printer is on fire")
        (session,) = story.all(fx.Session)
        assert ("General license key generation error has occurred", "the printer is on fire") == session.messages
        (notice,) = (notice for notice in story.all(fx.Notify) if notice.name == "update_failed")
        assert notice.text.endswith("General license key generation error has occurred: the printer is on fire")

    def test_that_says_nothing_new_says_it_once(self, begin: Callable) -> None:
        """A server that repeats the outcome's own text does not double it."""
        story = begin(auto_update="Checking")
        story.answer("generation_failed", detail="General license key generation error has occurred")
        (session,) = story.all(fx.Session)
        assert ("General license key generation error has occurred",) == session.messages

    def test_that_ends_the_contract_says_why_as_well(self, begin: Callable) -> None:
        """What the server said of the contract stands in the notice that automatic update is off."""
        story = begin(auto_update="Checking")
        story.answer("contract_terminated", detail="unpaid since January")
        (notice,) = (notice for notice in story.all(fx.Notify) if notice.name == "auto_update_disabled")
        assert notice.text.endswith("has been terminated: unpaid since January")


class TestAcceptance:
    """rules.md 4.3: which key is accepted by itself."""

    @pytest.mark.parametrize(
        ("changes", "outcome"),
        [
            ({"expires": "2026-02-14"}, "new_key"),
            ({"expires": "2025-02-14"}, "new_key"),  # the same expiry, issued later
            ({"expires": "2025-02-14", "type": "rental"}, "new_key"),
            ({"expires": None}, "new_key"),  # no expiry is the latest
            ({"expires": "2025-02-13"}, "key_rejected"),
            ({"expires": "2025-02-14T23:59:59.999Z"}, "key_rejected"),  # a millisecond earlier
            ({"expires": "2026-02-14", "id": "ACME-2"}, "key_rejected"),
            ({"expires": "2026-02-14", "product": "other"}, "key_rejected"),
            ({"expires": "2026-02-14", "type": "gift"}, "key_rejected"),  # unknown to the policy
            ({"expires": "2026-02-14", "issued": "2025-01-01"}, "up_to_date"),  # issued with the installed one
            ({"expires": "2026-02-14", "issued": "2024-12-31"}, "up_to_date"),
            ({"expires": "2026-02-14", "issued": None}, "up_to_date"),
            ({"expires": "2025-02-13", "issued": "2024-12-31"}, "up_to_date"),  # older in both
            ({"issued": "2025-01-01"}, "up_to_date"),  # the installed one itself
        ],
    )
    def test_judges_the_key_of_an_answer(self, begin: Callable, changes: dict[str, object], outcome: str) -> None:
        """Against the installed key, issued 2025-01-01, valid until 2025-02-14."""
        story = begin(auto_update="Checking", issued="2025-01-01")
        story.answer("new_key", key=story.renewal(**{"issued": "2025-02-01"} | changes))
        assert [outcome] == [check.outcome for check in story.all(fx.Checked)]

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"expires": "2025-02-13"}, "the key expires earlier than the installed one; install it with force if"),
            ({"id": "ACME-2"}, "the key is for license ACME-2 of no product, not for ACME-1"),
            ({"product": "other"}, "the key is for license ACME-1 of other, not for ACME-1"),
            ({"type": "gift"}, "policy veeam-9 knows no license type gift"),
        ],
    )
    def test_says_why_a_key_is_refused(self, begin: Callable, changes: dict[str, object], why: str) -> None:
        """In the session entry and in the failure's notice, so that an administrator can do something about it."""
        story = begin(auto_update="Checking", issued="2025-01-01")
        story.answer("new_key", key=story.renewal(**{"issued": "2025-02-01", "expires": "2026-02-14"} | changes))
        (session,) = story.all(fx.Session)
        assert session.messages[-1].startswith(why)
        assert why in next(notice.text for notice in story.all(fx.Notify) if notice.name == "update_failed")

    @pytest.mark.parametrize("outcome", ["up_to_date", "key_rejected"])
    def test_keeps_the_installed_key_otherwise(self, begin: Callable, outcome: str) -> None:
        """A key that is not accepted changes nothing, and nothing is saved or told as installed."""
        story = begin(auto_update="Checking", issued="2025-01-01")
        refused = {"issued": "2025-01-01", "expires": "2026-02-14"} if outcome == "up_to_date" else {"id": "ACME-2"}
        story.answer("new_key", key=story.renewal(**refused))
        assert ("2025-02-14", [], False) == (
            str(story.key.expires),
            story.all(fx.SaveKey),
            "key_installed" in story.told(),
        )

    def test_takes_nothing_for_later_than_no_expiry(self, begin: Callable) -> None:
        """A perpetual key is not replaced by one that expires."""
        story = begin(auto_update="Checking", expires=None, type="perpetual")
        story.answer("new_key", key=story.renewal(expires="2099-01-01"))
        assert ["key_rejected"] == [check.outcome for check in story.all(fx.Checked)]

    def test_judges_against_a_key_installed_in_mid_check(self, begin: Callable) -> None:
        """The answer is judged against the key that is installed when it comes (6.5)."""
        story = begin(auto_update="Checking")
        key = story.renewal(expires="2026-02-14")
        story.install(key)
        story.answer("new_key", key=key)
        assert ["up_to_date"] == [check.outcome for check in story.all(fx.Checked)]

    def test_takes_no_key_from_another_outcome(self, begin: Callable) -> None:
        """Entitlement is taken from accepted keys only, not from what came along with a refusal."""
        story = begin(auto_update="Checking")
        story.answer("answer_rejected", key=story.renewal(expires="2026-02-14"))
        assert ("2025-02-14", "Retrying") == (str(story.key.expires), story.state.auto_update)


class TestPolicyChange:
    """rules.md 2.5."""

    def test_moves_the_entitlement_either_way(self, begin: Callable) -> None:
        """On 5 March, version 7 has no grace left (until 28 February), version 9 has (until 16 March)."""
        story = begin("2025-03-05")
        seen = []
        for name in ("veeam-7", "veeam-9"):
            story.happen(ev.PolicyChanged(policy.named(name)))
            seen.append(story.state.entitlement)
        assert ["FreeMode", "Grace"] == seen

    def test_is_told(self, begin: Callable) -> None:
        """The change is told at once, the state that it leads to with what is due at that instant (7.1)."""
        story = begin("2025-03-05", auto_update="Scheduled")
        story.happen(ev.PolicyChanged(policy.named("veeam-7")))
        assert ["policy_changed"] == story.told("mail")
        assert story.clock.now_ms() >= instants.to_ms(story.next_due())
        story.happen(ev.Tick())
        assert ["policy_changed", "free_mode_entered"] == story.told("mail")

    def test_to_the_same_changes_nothing(self, begin: Callable) -> None:
        """The policy in force is no change."""
        story = begin(auto_update="Scheduled")
        assert [] == story.happen(ev.PolicyChanged(policy.named("veeam-9")))

    def test_keeps_automatic_update_going(self, begin: Callable) -> None:
        """The state and the next question stay where the cadence is the same."""
        story = begin(auto_update="Scheduled")
        story.happen(ev.PolicyChanged(policy.named("veeam-7")))
        assert ("Scheduled", "2025-02-11T09:00:00+00:00") == (story.state.auto_update, story.next_question)

    @pytest.mark.parametrize("state", ["Off", "Checking", "AutoUpdateDisabled"])
    def test_asks_nothing_where_nothing_was_due(self, begin: Callable, state: str) -> None:
        """Off, Checking and AutoUpdateDisabled stay as they are."""
        story = begin(auto_update=state)
        story.happen(ev.PolicyChanged(policy.named("veeam-7")))
        assert (state, None) == (story.state.auto_update, story.next_check)

    def test_brings_the_next_question_forward(self, begin: Callable, changed: Callable) -> None:
        """A cadence of 2 hours is no later than 2 hours from the change."""
        story = begin(auto_update="Scheduled")
        story.happen(
            ev.PolicyChanged(changed(cadence=policy.Cadence(instants.Span(days=7), instants.Span(ms=2 * HOUR))))
        )
        assert "2025-02-10T11:00:00+00:00" == story.next_question

    def test_does_not_put_the_next_question_off(self, begin: Callable, changed: Callable) -> None:
        """A longer cadence leaves the question that was due."""
        story = begin(auto_update="Scheduled")
        story.happen(ev.PolicyChanged(changed(cadence=policy.Cadence(instants.Span(days=7), instants.Span(days=3)))))
        assert "2025-02-11T09:00:00+00:00" == story.next_question

    def test_leaves_the_retry_alone(self, begin: Callable, changed: Callable) -> None:
        """A retry that is under way stays as it was, whatever interval the new policy would give (4.2)."""
        story = begin(auto_update="Retrying")
        rule = policy.Outcome("retry", "failed", "later", instants.Span(ms=2 * HOUR))
        story.happen(ev.PolicyChanged(changed(outcomes={**story.policy.outcomes, "generation_failed": rule})))
        assert "2025-02-11T09:00:00+00:00" == story.next_question

    @pytest.mark.parametrize(
        ("days", "deadline"),
        [
            (10, "2025-02-25T00:00:00+00:00"),  # the end of 24 February
            (3, "2025-02-21T09:00:00+00:00"),  # the end of 17 February is past: 24 hours from now
        ],
    )
    def test_derives_the_deadline_anew(self, begin: Callable, changed: Callable, days: int, deadline: str) -> None:
        """Another retry period gives another deadline; one that is past, 24 hours."""
        story = begin("2025-02-20T09:00")
        story.happen(ev.PolicyChanged(changed(retry_period=instants.Span(days=days))))
        assert deadline == instants.isoformat(story.record.give_up_at)

    def test_keeps_an_extended_deadline(self, begin: Callable) -> None:
        """The 24 hours that enabling granted stay, for the retry period is the same."""
        story = begin("2025-06-01T09:00", auto_update="Scheduled")
        story.happen(ev.PolicyChanged(policy.named("veeam-7")), "2025-06-01T12:00")
        assert "2025-06-02T09:00:00+00:00" == instants.isoformat(story.record.give_up_at)

    def test_that_does_not_know_the_type_is_refused(self, begin: Callable, changed: Callable) -> None:
        """An error, and nothing changed."""
        story = begin()
        with pytest.raises(licfsm.InvalidValue, match="knows no license type 'subscription'"):
            story.happen(ev.PolicyChanged(changed(grace={"rental": instants.Span(days=1)})))
        assert "veeam-9" == story.policy.name

    def test_judges_by_the_memory(self, begin: Callable) -> None:
        """The entitlement is derived at the later of the clock and the memory (7.5)."""
        story = begin("2025-03-05")
        story.shift(-20 * DAY)
        story.happen(ev.PolicyChanged(policy.named("veeam-7")))
        assert "FreeMode" == story.state.entitlement
