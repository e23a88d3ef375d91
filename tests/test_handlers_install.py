from collections.abc import Callable

import pytest

import licfsm
from licfsm import KeyRejected, instants, policy
from licfsm import effects as fx
from licfsm import events as ev
from licfsm.instants import HOUR

LATER = "2026-02-14"
SAME = "2025-02-14"


def given_up(begin: Callable, outcome: str = "generation_failed") -> licfsm.License:
    """Let the deadline of 15 March disable automatic update, with an outcome of its last question."""
    story = begin("2025-03-14T12:00", auto_update="Retrying")
    story.happen(ev.Tick(), "2025-03-15")
    story.answer(outcome)
    story.log.clear()
    return story


class TestInstall:
    """rules.md 6.5."""

    @pytest.mark.parametrize("state", ["Off", "Scheduled", "Checking", "Retrying", "AutoUpdateDisabled"])
    def test_puts_the_key_in_force_at_once(self, begin: Callable, state: str) -> None:
        """In every state the key is saved, decides the entitlement, and is told."""
        story = begin("2025-02-20", auto_update=state)
        key = story.renewal(expires=LATER)
        story.install(key)
        assert ("Valid", [fx.SaveKey(key)]) == (story.state.entitlement, story.all(fx.SaveKey))
        assert "key_installed" in story.told("mail")

    def test_saves_the_key_before_all_it_changes(self, begin: Callable) -> None:
        """The key is stored first, and in force from then on (4.4)."""
        story = begin("2025-02-20", auto_update="Scheduled")
        happened = story.install(story.renewal(expires=LATER))
        assert fx.SaveKey(story.key) == happened[0]

    def test_from_scheduled_counts_the_cadence_from_now(self, begin: Callable) -> None:
        """Valid by the new key, the next question is in a week."""
        story = begin(auto_update="Scheduled")
        story.clock.move_to("2025-02-10T15:00")
        story.install(story.renewal(expires=LATER))
        assert ("Scheduled", "2025-02-17T15:00:00+00:00") == (story.state.auto_update, story.next_question)

    def test_from_retrying_schedules_a_key_that_expires_later(self, begin: Callable) -> None:
        """A later expiry ends the retries."""
        story = begin(auto_update="Retrying")
        story.clock.move_to("2025-02-10T15:00")
        story.install(story.renewal(expires=LATER))
        assert ("Scheduled", "2025-02-17T15:00:00+00:00") == (story.state.auto_update, story.next_question)

    def test_from_retrying_keeps_on_otherwise(self, begin: Callable) -> None:
        """A key with the same expiry leaves the retry as it was."""
        story = begin(auto_update="Retrying")
        story.clock.move_to("2025-02-10T15:00")
        story.install(story.renewal(expires=SAME))
        assert ("Retrying", "2025-02-11T09:00:00+00:00") == (story.state.auto_update, story.next_question)

    @pytest.mark.parametrize("outcome", ["generation_failed", "up_to_date"])
    def test_resumes_what_the_deadline_disabled(self, begin: Callable, outcome: str) -> None:
        """A key that expires later resumes automatic update, and says so behind the key."""
        story = given_up(begin, outcome)
        story.install(story.renewal(expires=LATER))
        assert ("Scheduled", "2025-03-22T00:00:00+00:00") == (story.state.auto_update, story.next_question)
        assert ["key_installed", "auto_update_resumed"] == story.told()

    @pytest.mark.parametrize("in_mid_check", [False, True])
    def test_forgets_what_had_disabled_it(self, begin: Callable, in_mid_check: bool) -> None:  # noqa: FBT001
        """Resumed, automatic update is no longer disabled by anything."""
        story = given_up(begin)
        if in_mid_check:
            story.check_now()
        story.install(story.renewal(expires=LATER))
        assert story.record.disabled_by is None

    def test_does_not_resume_for_a_key_that_expires_no_later(self, begin: Callable) -> None:
        """With the same expiry automatic update stays disabled."""
        story = given_up(begin)
        story.install(story.renewal(expires=SAME))
        assert "AutoUpdateDisabled" == story.state.auto_update

    def test_does_not_resume_what_the_contract_disabled(self, begin: Callable) -> None:
        """A contract that has ended is not the deadline's doing."""
        story = begin(auto_update="AutoUpdateDisabled")
        story.install(story.renewal(expires=LATER))
        assert "AutoUpdateDisabled" == story.state.auto_update

    def test_takes_a_last_answer_about_the_contract_as_its_disabling(self, begin: Callable) -> None:
        """Where the last question learns that the contract has ended, a key does not resume."""
        story = given_up(begin, "contract_terminated")
        story.install(story.renewal(expires=LATER))
        assert "AutoUpdateDisabled" == story.state.auto_update

    @pytest.mark.parametrize("state", ["Off", "AutoUpdateDisabled"])
    def test_says_that_automatic_update_is_off(self, begin: Callable, state: str) -> None:
        """Where the state stays off, the report says so."""
        story = begin(auto_update=state)
        story.install(story.renewal(expires=LATER))
        installed = [notice for notice in story.all(fx.Notify) if notice.name == "key_installed"]
        assert [True] == [notice.text.endswith("; automatic update is off") for notice in installed]

    @pytest.mark.parametrize("state", ["Scheduled", "Checking", "Retrying"])
    def test_says_nothing_of_the_kind_where_it_is_on(self, begin: Callable, state: str) -> None:
        """Where automatic update is on, the notice speaks of the key alone."""
        story = begin(auto_update=state)
        story.install(story.renewal(expires=LATER))
        texts = [notice.text for notice in story.all(fx.Notify) if notice.name == "key_installed"]
        assert ["New license key has been installed for ACME-1, valid until 2026-02-14"] == texts

    @pytest.mark.parametrize("state", ["Off", "Scheduled", "Checking", "Retrying", "AutoUpdateDisabled"])
    def test_of_the_same_key_changes_nothing(self, begin: Callable, state: str) -> None:
        """The installed key again is no event."""
        story = begin("2025-02-10T09:00", auto_update=state)
        story.happen(ev.Tick())
        before = story.next_question
        assert [] == story.install(story.key)
        assert (state, before) == (story.state.auto_update, story.next_question)

    def test_brings_the_keys_own_deadline(self, begin: Callable) -> None:
        """The give-up deadline is that of the new key."""
        story = begin(auto_update="Scheduled")
        story.install(story.renewal(expires="2025-04-30"))
        assert "2025-05-31T00:00:00+00:00" == instants.isoformat(story.record.give_up_at)  # + 30 days, the end of it

    @pytest.mark.parametrize(
        ("now", "deadline"),
        [("2025-03-14T23:59:59", "2025-03-15T00:00:00"), ("2025-03-15T00:00:00", "2025-03-16T00:00:00")],
    )
    def test_gives_24_hours_where_the_keys_deadline_is_past(self, begin: Callable, now: str, deadline: str) -> None:
        """A deadline that does not lie ahead is replaced by 24 hours from then (5.2)."""
        story = begin(now)
        story.install(story.renewal(expires=SAME))
        assert f"{deadline}+00:00" == instants.isoformat(story.record.give_up_at)

    def test_asks_nothing_for_a_deadline_that_is_past(self, begin: Callable) -> None:
        """No question is asked for it: the next is by cadence (5.2)."""
        story = begin("2025-06-01T09:00", auto_update="Scheduled")
        story.clock.move_to("2025-06-01T12:00")
        story.install(story.renewal(expires=SAME))
        assert ([], "2025-06-02T12:00:00+00:00") == (story.all(fx.Ask), story.next_question)


class TestInstallInMidCheck:
    """rules.md 6.5: at once; what the answer returns to is as if the key had come in that state."""

    def test_resumes_what_the_deadline_disabled(self, begin: Callable) -> None:
        """A check_now begun in AutoUpdateDisabled returns to Scheduled."""
        story = given_up(begin)
        story.check_now()
        story.install(story.renewal(expires=LATER))
        assert "auto_update_resumed" in story.told("mail")
        story.answer("up_to_date")
        assert ("Scheduled", "2025-03-22T00:00:00+00:00") == (story.state.auto_update, story.next_question)

    @pytest.mark.parametrize("disabled_by", ["deadline", "contract"])
    def test_returns_to_disabled_otherwise(self, begin: Callable, disabled_by: str) -> None:
        """The same expiry, or a contract that has ended, does not resume."""
        story = given_up(begin) if disabled_by == "deadline" else begin(auto_update="AutoUpdateDisabled")
        story.check_now()
        story.install(story.renewal(expires=SAME if disabled_by == "deadline" else LATER))
        story.answer("up_to_date")
        assert "AutoUpdateDisabled" == story.state.auto_update

    def test_returns_to_off(self, begin: Callable) -> None:
        """A check begun in Off returns there, and the report says that automatic update is off."""
        story = begin()
        story.check_now()
        story.install(story.renewal(expires=LATER))
        story.answer("up_to_date")
        assert "Off" == story.state.auto_update
        assert any(notice.text.endswith("automatic update is off") for notice in story.all(fx.Notify))

    def test_joins_no_other_check(self, begin: Callable) -> None:
        """The check goes on: its answer is awaited."""
        story = begin(auto_update="Checking")
        story.install(story.renewal(expires=LATER))
        assert ("Checking", []) == (story.state.auto_update, story.all(fx.Ask))

    def test_replaces_the_deadline_that_the_check_was_the_last_of(self, begin: Callable) -> None:
        """The last question is no longer the last, for the key brings its own deadline."""
        story = begin("2025-03-14T12:00", auto_update="Retrying")
        story.happen(ev.Tick(), "2025-03-15")
        story.install(story.renewal(expires=LATER))
        story.answer("up_to_date")
        assert "Scheduled" == story.state.auto_update


class TestNewKeyOfACheckNow:
    """rules.md 6.3: a new key acts as one installed by hand does."""

    def test_resumes_what_the_deadline_disabled(self, begin: Callable) -> None:
        """A key that expires later leads from AutoUpdateDisabled to Scheduled, told behind the key."""
        story = given_up(begin)
        story.check_now()
        story.answer("new_key")
        assert ("Scheduled", "2025-03-22T00:00:00+00:00") == (story.state.auto_update, story.next_question)
        assert ["key_installed", "auto_update_resumed"] == story.told()

    def test_does_not_resume_for_a_key_that_expires_no_later(self, begin: Callable) -> None:
        """With the same expiry it returns to AutoUpdateDisabled, and says that automatic update is off."""
        story = given_up(begin)
        story.check_now()
        story.answer("new_key", key=story.renewal(expires=SAME))
        assert "AutoUpdateDisabled" == story.state.auto_update
        assert story.all(fx.Notify)[0].text.endswith("automatic update is off")


class TestRefusal:
    """rules.md 4.3, 6.5: a refused key is an error to the caller and changes nothing."""

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"id": "ACME-2"}, "for license ACME-2 of no product, not for ACME-1"),
            ({"product": "other"}, "for license ACME-1 of other, not for ACME-1"),
            ({"type": "gift"}, "policy veeam-9 knows no license type gift"),
            ({"expires": "2025-02-13"}, "expires earlier than the installed one; install it with force"),
        ],
    )
    def test_says_why(self, begin: Callable, changes: dict[str, object], reason: str) -> None:
        """The error tells what is wrong with the key."""
        story = begin()
        with pytest.raises(KeyRejected, match=reason):
            story.install(story.renewal(**{"expires": LATER} | changes))

    @pytest.mark.parametrize("changes", [{"id": "ACME-2"}, {"product": "other"}, {"type": "gift"}])
    def test_cannot_be_forced_for_another_license(self, begin: Callable, changes: dict[str, object]) -> None:
        """Force is for an earlier expiry only."""
        story = begin()
        with pytest.raises(KeyRejected):
            story.install(story.renewal(**{"expires": LATER} | changes), force=True)

    def test_changes_nothing(self, begin: Callable) -> None:
        """The license is as it was: nothing is in its record, nothing came of it."""
        story = begin(auto_update="Scheduled")
        before = story.record, story.key
        story.clock.move_to("2025-02-20")
        with pytest.raises(KeyRejected):
            story.install(story.renewal(expires="2025-02-13"))
        assert (*before, []) == (story.record, story.key, story.log)

    def test_of_an_earlier_expiry_can_be_forced(self, begin: Callable) -> None:
        """A forced key with an earlier expiry is in force."""
        story = begin("2025-02-10")
        story.install(story.renewal(expires="2025-01-31"), force=True)
        assert ("Grace", "2025-01-31") == (story.state.entitlement, str(story.key.expires))

    def test_does_not_ask_when_a_key_was_issued(self, begin: Callable) -> None:
        """By hand also an older key with a later expiry is accepted."""
        story = begin(issued="2025-01-01")
        story.install(story.renewal(issued="2024-12-01", expires=LATER))
        assert "Valid" == story.state.entitlement

    def test_is_made_after_what_was_due(self, begin: Callable) -> None:
        """Changes of the calendar that are due come first, then the key."""
        story = begin("2025-02-14T09:00")
        story.clock.move_to("2025-02-15")
        story.install(story.renewal(expires=LATER))
        assert [("expired", "Grace"), ("new_key", "Valid")] == [(m.trigger, m.target) for m in story.all(fx.Moved)]


def test_the_retry_interval_stays_after_a_key_with_the_same_expiry(begin: Callable) -> None:
    """In Retrying a key that expires no later leaves the run of failures as it was."""
    story = begin(auto_update="Retrying")
    story.install(story.renewal(expires=SAME))
    story.happen(ev.PolicyChanged(policy.named("veeam-7")))
    assert story.clock.now_ms() + 24 * HOUR == instants.to_ms(story.next_check)


class TestFirstInstalled:
    """The key with which a license begins was installed by hand."""

    def test_goes_to_every_target(self, begin: Callable) -> None:
        """The first key is saved, and written to the targets at the next look (4.4)."""
        story = begin("2025-02-01", targets=("one", "two"))
        story.happen(ev.FirstInstalled(story.key))
        story.happen(ev.Tick())
        assert [fx.SaveKey(story.key)] == story.all(fx.SaveKey)
        assert ["one", "two"] == [write.target for write in story.all(fx.WriteTarget)]

    def test_is_told_with_the_word_that_automatic_update_is_off(self, begin: Callable) -> None:
        """A key accepted by hand is told (8.2), and in Off the report says that automatic update is off (6.5).

        The mail does not: a host that switches it on at once has made that untrue before anybody reads it (7.2).
        """
        story = begin("2025-02-01")
        story.happen(ev.FirstInstalled(story.key))
        (notice,) = story.all(fx.Notify)
        told = {channel: (notice.name, notice.said_on(channel)) for channel in notice.channels}
        text = "New license key has been installed for ACME-1, valid until 2025-02-14"
        assert {
            "report": ("key_installed", f"{text}; automatic update is off"),
            "mail": ("key_installed", text),
            "log": ("key_installed", text),
        } == told

    def test_of_an_expired_key_tells_the_state_after_it(self, begin: Callable) -> None:
        """The state reached at first sight is told, too (2.5)."""
        story = begin("2025-02-20")
        story.happen(ev.FirstInstalled(story.key))
        assert ["key_installed", "grace_started"] == story.told()
