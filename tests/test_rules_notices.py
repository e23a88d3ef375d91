from collections.abc import Callable

import attrs
import pytest

import licfsm
from licfsm import effects as fx
from licfsm import events as ev
from licfsm import policy
from licfsm.instants import DAY, HOUR

EVERYWHERE = ("report", "mail", "log")
UNMAILED = ("report", "log")
PERPETUAL = {"expires": "2099-12-31"}  # far from any deadline
VEEAM_7 = policy.named("veeam-7")


def hours_of_mails(story: licfsm.License, server: object, to: str) -> list[float]:
    """Advance, and say after how many hours from the start each failure was mailed."""
    start = story.clock.now_ms()
    found: list[float] = []

    def observe(now: int, effects: list[fx.Effect]) -> None:
        mailed = [e for e in effects if isinstance(e, fx.Notify) and e.name == "update_failed" and "mail" in e.channels]
        found.extend((now - start) / HOUR for _ in mailed)

    story.advance(to, server=server, observe=observe)
    return found


def fails(begin: Callable) -> licfsm.License:
    """Fail a check."""
    story = begin(auto_update="Checking")
    story.answer("generation_failed")
    return story


def fails_by_hand(begin: Callable) -> licfsm.License:
    """Fail a check_now."""
    story = begin(auto_update="Scheduled")
    story.check_now()
    story.answer("generation_failed")
    return story


def recovers(begin: Callable) -> licfsm.License:
    """Succeed after a failure that was mailed."""
    story = begin(auto_update="Retrying")
    story.happen(ev.Tick(), "2025-02-11T09:00")
    story.answer("up_to_date")
    return story


def recovers_unmailed(begin: Callable) -> licfsm.License:
    """Succeed after failures that were not mailed."""
    story = fails_by_hand(begin)
    story.happen(ev.Tick(), "2025-02-11T09:00")
    story.answer("up_to_date")
    return story


def renews(begin: Callable) -> licfsm.License:
    """Accept a key that the server gives."""
    story = begin(auto_update="Checking")
    story.answer("new_key")
    return story


def installs(begin: Callable) -> licfsm.License:
    """Accept a key by hand."""
    story = begin(auto_update="Scheduled")
    story.install(story.renewal(expires="2026-02-14"))
    return story


def misses_target(begin: Callable) -> licfsm.License:
    """Fail to write a key to a target."""
    story = begin(targets=("server",))
    story.install(story.renewal(expires="2026-02-14"))
    story.happen(ev.TargetFailed("server", story.key, "disk\x1b full"))
    return story


def runs_until(to: str) -> Callable:
    """Live until a time."""

    def run(begin: Callable) -> licfsm.License:
        story = begin("2025-02-01")
        story.advance(to)
        return story

    return run


def gives_up(begin: Callable) -> licfsm.License:
    """Learn that the contract has ended."""
    story = begin(auto_update="Checking")
    story.answer("contract_terminated")
    return story


def gives_up_by_deadline(begin: Callable) -> licfsm.License:
    """Reach the deadline with a failure."""
    story = begin("2025-03-14T12:00", auto_update="Retrying")
    story.happen(ev.Tick(), "2025-03-15")
    story.answer("generation_failed")
    return story


def resumes(begin: Callable) -> licfsm.License:
    """Install a key that expires later after the deadline disabled automatic update."""
    story = gives_up_by_deadline(begin)
    story.install(story.renewal(expires="2026-02-14"))
    return story


def changes_policy(begin: Callable) -> licfsm.License:
    """Go on under another policy."""
    story = begin()
    story.happen(ev.PolicyChanged(VEEAM_7))
    return story


def goes_back(begin: Callable) -> licfsm.License:
    """Set the clock back."""
    story = begin()
    story.shift(-2 * HOUR)
    return story


def is_corrected(begin: Callable) -> licfsm.License:
    """Set the clock forward and back again."""
    story = begin()
    story.shift(2 * DAY)
    story.shift(-2 * DAY)
    return story


class TestChannels:
    """rules.md 8.2, the table."""

    @pytest.mark.parametrize(
        ("live", "name", "channels", "level"),
        [
            (fails, "update_failed", EVERYWHERE, "warning"),
            (fails_by_hand, "update_failed", UNMAILED, "warning"),
            (recovers, "recovered", EVERYWHERE, "info"),
            (recovers_unmailed, "recovered", UNMAILED, "info"),
            (renews, "key_installed", EVERYWHERE, "info"),
            (installs, "key_installed", EVERYWHERE, "info"),
            (misses_target, "install_target_failed", EVERYWHERE, "warning"),
            (runs_until("2025-02-07"), "expiring", EVERYWHERE, "warning"),
            (runs_until("2025-02-15"), "grace_started", EVERYWHERE, "warning"),
            (runs_until("2025-03-17"), "free_mode_entered", EVERYWHERE, "warning"),
            (gives_up, "auto_update_disabled", EVERYWHERE, "error"),
            (gives_up, "update_failed", UNMAILED, "warning"),
            (gives_up_by_deadline, "auto_update_disabled", EVERYWHERE, "error"),
            (gives_up_by_deadline, "update_failed", UNMAILED, "warning"),
            (resumes, "auto_update_resumed", EVERYWHERE, "warning"),
            (changes_policy, "policy_changed", EVERYWHERE, "warning"),
            (goes_back, "clock_went_back", EVERYWHERE, "warning"),
            (is_corrected, "clock_corrected", EVERYWHERE, "warning"),
        ],
    )
    def test_are_those_of_the_table(
        self, begin: Callable, live: Callable, name: str, channels: tuple[str, ...], level: str
    ) -> None:
        """Each notice is told once, on its channels and at its level."""
        notices = [notice for notice in live(begin).all(fx.Notify) if notice.name == name]
        assert [(channels, level)] == [(notice.channels, notice.level) for notice in notices]

    @pytest.mark.parametrize("live", [fails, recovers, renews, resumes, goes_back])
    def test_have_no_mail_without_mail_settings(self, begin: Callable, live: Callable) -> None:
        """Where there are no mail settings, nothing is mailed and everything is reported."""
        story = live(lambda *args, **options: begin(*args, mail="none", **options))
        assert ([], True) == (story.told("mail"), bool(story.told("report")))


class TestWords:
    @pytest.mark.parametrize(
        ("live", "text"),
        [
            (fails, "License key auto-update failed: General license key generation error has occurred"),
            (renews, "New license key has been installed for ACME-1, valid until 2026-02-14"),
            (misses_target, "New license key could not be written to server: disk full"),  # without the escape
            (runs_until("2025-02-07"), "License ACME-1 expires in 8 days"),  # 7 to 14 February
            (runs_until("2025-02-15"), "License ACME-1 has expired, 30 days of grace period remaining"),
            (runs_until("2025-03-17"), "License ACME-1 has expired; only free functionality is available"),
            (gives_up, "Automatic license update has been disabled: The contract of this license has been terminated"),
            (
                gives_up_by_deadline,
                "Automatic license update has been disabled: the retry period is over and no new license key has come",
            ),
            (changes_policy, "The license policy has changed from veeam-9 to veeam-7"),
            (
                goes_back,  # by 2 hours
                "The clock went back to 2025-02-10T07:00:00+00:00; the license is judged by 2025-02-10T09:00:00+00:00",
            ),
            (
                is_corrected,  # 2 days forward and back
                (
                    "The clock was corrected to 2025-02-10T09:00:00+00:00; "
                    "the license is no longer judged by 2025-02-12T09:00:00+00:00"
                ),
            ),
        ],
    )
    def test_are_the_policys_filled_in(self, begin: Callable, live: Callable, text: str) -> None:
        """A notice says what happened, in the words of the policy."""
        assert text in [notice.text for notice in live(begin).all(fx.Notify)]

    @pytest.mark.parametrize(
        ("expires", "until"),
        [
            ("2026-02-14", "valid until 2026-02-14"),
            ("2026-02-14T08:30Z", "valid until 2026-02-14 09:30 Europe/Berlin"),
            (None, "valid without expiration"),
        ],
    )
    def test_say_until_when_a_key_is_valid(self, begin: Callable, expires: str | None, until: str) -> None:
        """A date is told as such, an instant with its zone, a perpetual key in words."""
        story = begin(auto_update="Checking", zone="Europe/Berlin")
        story.answer("new_key", key=story.renewal(expires=expires))
        assert f"New license key has been installed for ACME-1, {until}" in [n.text for n in story.all(fx.Notify)]


class TestRepeats:
    """rules.md 8.2: mail_repeat."""

    def test_every_failure_is_mailed_by_default(self, begin: Callable, script: type) -> None:
        """The seed's letter: hour by hour."""
        story = begin(**PERPETUAL)
        story.enable()
        assert [0, 1, 2, 3] == hours_of_mails(story, script("connection_failed"), "2025-02-10T12:00")

    def test_on_change_mails_once_a_day(self, begin: Callable, script: type) -> None:
        """Of hourly failures the first is mailed, and the first that is 24 hours after the last mail."""
        story = begin(mail="on_change", **PERPETUAL)
        story.enable()
        assert [0, 24, 48] == hours_of_mails(story, script("connection_failed"), "2025-02-12T20:00")

    def test_on_change_counts_from_the_last_mail_of_another_choice(self, begin: Callable, script: type) -> None:
        """A host that mailed every failure until noon is not mailed again before noon of the next day."""
        story = begin(**PERPETUAL)
        story.enable()
        server = script("connection_failed")
        assert [0, 1, 2, 3] == hours_of_mails(story, server, "2025-02-10T12:00")
        story.mail = "on_change"
        assert [24] == hours_of_mails(story, server, "2025-02-11T20:00")

    def test_on_change_mails_after_24_hours_not_before(self, begin: Callable) -> None:
        """A millisecond less than 24 hours after the last mail is too early."""
        story = begin(mail="on_change", auto_update="Retrying", **PERPETUAL)
        story.happen(ev.Tick(), "2025-02-11T09:00")
        story.shift(-1)
        story.answer("generation_failed")
        assert ([], ["update_failed"]) == (story.told("mail"), story.told("report"))

    def test_on_change_turns_weekly_after_seven_repeats(self, begin: Callable, script: type) -> None:
        """The first mail, seven more a day apart, then one a week."""
        story = begin(mail="on_change", **PERPETUAL)
        story.enable()
        days = [hours / 24 for hours in hours_of_mails(story, script("generation_failed"), "2025-03-12T09:00")]
        assert [0, 1, 2, 3, 4, 5, 6, 7, 14, 21, 28] == days

    def test_on_change_mails_another_failure_at_once(self, begin: Callable, script: type) -> None:
        """A failure of another kind than the last one mailed does not wait."""
        story = begin(mail="on_change", **PERPETUAL)
        story.enable()
        # asked at 0 h, 24 h, then hourly, and a day after the last: 24 + 1 + 1 = 26 h
        server = script("generation_failed", "connection_failed", "connection_failed", "generation_failed")
        assert [0, 24, 26] == hours_of_mails(story, server, "2025-02-11T12:00")

    def test_on_change_counts_anew_with_another_failure(self, begin: Callable, script: type) -> None:
        """After seven repeats and another kind, the first kind is mailed daily again."""
        story = begin(mail="on_change", **PERPETUAL)
        story.enable()
        # daily at 0 to 192 h, of which 192 waits for its week; then at 216 h, and from 217 h daily
        server = script(*["generation_failed"] * 9, "connection_failed", "generation_failed")
        expected = [0, 24, 48, 72, 96, 120, 144, 168, 216, 217, 241]
        assert expected == hours_of_mails(story, server, "2025-02-20T10:00")

    def test_on_change_mails_the_first_failure_of_each_run(self, begin: Callable) -> None:
        """Disabled and enabled again, another run begins, however soon."""
        story = begin(mail="on_change", auto_update="Retrying", **PERPETUAL)
        story.disable()
        story.enable()
        story.answer("generation_failed")
        assert ["update_failed"] == story.told("mail")

    def test_on_change_mails_the_first_failure_after_enabling(self, begin: Callable) -> None:
        """What was mailed while automatic update was disabled is no part of the run that enabling begins."""
        story = begin(mail="on_change", auto_update="AutoUpdateDisabled", **PERPETUAL)
        story.shift(-2 * HOUR)  # asks once at once (7.5)
        story.answer("connection_failed")
        story.enable()
        story.answer("connection_failed")
        assert 2 == story.told("mail").count("update_failed")

    def test_a_failure_that_is_not_mailed_does_not_count(self, begin: Callable) -> None:
        """After a failed check_now, which is not mailed, the next failure is mailed as the first."""
        story = begin(mail="on_change", auto_update="Scheduled", **PERPETUAL)
        story.check_now()
        story.answer("generation_failed")
        story.happen(ev.Tick(), "2025-02-11T09:00")
        story.answer("generation_failed")
        assert ["update_failed"] == story.told("mail")

    def test_the_host_chooses_over_the_policy(self, begin: Callable) -> None:
        """A policy's own choice holds only where the host makes none."""
        silent = attrs.evolve(policy.named("veeam-9"), mail_repeat="none")
        told = []
        for mail in (None, "every_failure"):
            story = begin(policy=silent, mail=mail)
            story.enable()
            story.answer("generation_failed")
            told.append("update_failed" in story.told("mail"))
        assert [False, True] == told

    def test_an_unknown_choice_is_refused(self, begin: Callable) -> None:
        """Only the three ways of mailing exist."""
        with pytest.raises(licfsm.InvalidValue, match="every_failure, on_change, none"):
            begin(mail="sometimes")


class TestRecovered:
    """rules.md 4.2."""

    @pytest.mark.parametrize("outcome", ["up_to_date", "new_key"])
    def test_is_told_at_the_first_success(self, begin: Callable, outcome: str) -> None:
        """The first outcome that is no failure ends the run, and is told once."""
        story = begin(auto_update="Retrying")
        story.happen(ev.Tick(), "2025-02-11T09:00")
        story.answer(outcome)
        story.check_now()
        story.answer("up_to_date")
        assert 1 == story.told().count("recovered")

    def test_is_told_behind_the_key(self, begin: Callable) -> None:
        """The key that ends a run of failures is told first."""
        story = begin(auto_update="Retrying")
        story.check_now()
        story.answer("new_key")
        assert ["key_installed", "recovered"] == story.told()

    def test_is_told_when_a_check_by_hand_ends_the_run(self, begin: Callable) -> None:
        """However the run of failures stopped."""
        story = begin(auto_update="Retrying")
        story.check_now()
        story.answer("up_to_date")
        assert ["recovered"] == story.told("mail")

    def test_is_told_after_a_key_by_hand_at_the_next_success(self, begin: Callable) -> None:
        """A key installed in Retrying ends the retries; the run is over when a check succeeds."""
        story = begin(auto_update="Retrying")
        story.install(story.renewal(expires="2026-02-14"))
        story.check_now()
        story.answer("up_to_date")
        assert ["key_installed", "recovered"] == story.told()

    def test_is_not_told_without_a_failure(self, begin: Callable) -> None:
        """A success after a success is no news."""
        story = begin(auto_update="Scheduled")
        story.check_now()
        story.answer("up_to_date")
        assert [] == story.told()

    def test_is_not_told_after_disabling(self, begin: Callable) -> None:
        """`disable` ends the run untold."""
        story = begin(auto_update="Retrying")
        story.disable()
        story.enable()
        story.answer("up_to_date")
        assert [] == story.told()

    def test_is_not_told_by_a_check_by_hand_after_disabling(self, begin: Callable) -> None:
        """A check_now that succeeds in Off ends no run, for `disable` has ended it."""
        story = begin(auto_update="Retrying")
        story.disable()
        story.check_now()
        story.answer("up_to_date")
        assert [] == story.told()

    def test_is_not_told_after_giving_up(self, begin: Callable) -> None:
        """Giving up ends the run untold."""
        story = gives_up_by_deadline(begin)
        story.enable()
        story.answer("up_to_date")
        assert "recovered" not in story.told()

    @pytest.mark.parametrize("state", ["Off", "AutoUpdateDisabled"])
    def test_is_not_told_of_checks_where_automatic_update_is_off(self, begin: Callable, state: str) -> None:
        """A check_now that fails in Off or AutoUpdateDisabled begins no run."""
        story = begin(auto_update=state)
        for outcome in ("generation_failed", "up_to_date"):
            story.check_now()
            story.answer(outcome)
        assert "recovered" not in story.told()
