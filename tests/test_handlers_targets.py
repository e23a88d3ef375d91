from collections.abc import Callable

import pytest

import licfsm
from licfsm import effects as fx
from licfsm import events as ev

KEY_WRITTEN = "New license key has been installed"


class Shelf:
    """A target that fails as often as it is told to, and remembers what it holds."""

    def __init__(self, fails: int = 0) -> None:
        """Fail so many times first."""
        self.fails = fails
        self.tries = 0
        self.holds: list[str] = []

    def write(self, key: licfsm.LicenseKey) -> str | None:
        """Hold the key, or say why not."""
        self.tries += 1
        if self.tries <= self.fails:
            return "disk full"
        self.holds.append(str(key.expires))
        return None


def renewed(begin: Callable, *targets: str, **options: object) -> licfsm.License:
    """Accept a new key for some targets, and try to write it."""
    story = begin(auto_update="Checking", targets=targets, **options)
    story.answer("new_key")
    story.happen(ev.Tick())
    return story


class TestTargets:
    """rules.md 4.4."""

    def test_are_written_after_the_key_was_saved(self, begin: Callable) -> None:
        """The key is saved at the answer; each target is written by a step of its own."""
        story = renewed(begin, "server", "manager")
        assert [
            fx.SaveKey(story.key),
            fx.WriteTarget("server", story.key),
            fx.WriteTarget("manager", story.key),
        ] == [effect for effect in story.log if isinstance(effect, fx.SaveKey | fx.WriteTarget)]

    def test_are_due_at_once(self, begin: Callable) -> None:
        """A key that is to be written is due at once."""
        story = begin(auto_update="Checking", targets=("server",))
        story.answer("new_key")
        assert story.clock.now_ms() == story.due()

    def test_are_not_written_without_a_key(self, begin: Callable) -> None:
        """An answer without a key writes nothing."""
        story = begin(auto_update="Checking", targets=("server",))
        story.answer("up_to_date")
        assert () == story.record.writes

    def test_are_each_tried_again_every_hour(self, begin: Callable, script: type) -> None:
        """A target that fails is tried again on its own, 60 minutes apart, until it holds the key."""
        story = begin(auto_update="Checking", targets=("server", "manager"))
        story.answer("new_key")
        shelves = {"server": Shelf(), "manager": Shelf(fails=2)}
        written = []
        story.advance(
            "2025-02-10T20:00",
            server=script("up_to_date"),
            targets=shelves,
            observe=lambda now, effects: written.extend(
                (now - story.record.asked_at, effect.target) for effect in effects if isinstance(effect, fx.WriteTarget)
            ),
        )
        assert [(0, "server"), (0, "manager"), (3_600_000, "manager"), (7_200_000, "manager")] == written
        assert (["2026-02-14"], ["2026-02-14"]) == (shelves["server"].holds, shelves["manager"].holds)

    @pytest.mark.parametrize(("now", "tries"), [("2025-02-10T09:59:59.999", 1), ("2025-02-10T10:00", 2)])
    def test_are_not_tried_before_the_hour_is_over(self, begin: Callable, now: str, tries: int) -> None:
        """A step for something else does not write them earlier."""
        story = renewed(begin, "server")
        story.happen(ev.TargetFailed("server", story.key, "disk full"))
        story.happen(ev.Tick(), now)
        assert tries == len(story.all(fx.WriteTarget))

    def test_are_written_where_a_question_is_asked_at_that_instant(self, begin: Callable, script: type) -> None:
        """A target that fails and a question that is due do not get in each other's way."""
        story = begin("2025-02-10T09:00", targets=("server",))
        story.install(story.renewal(expires="2025-02-15"))  # Expiring still, so that it is asked daily
        story.enable()
        shelf = Shelf(fails=24)
        story.advance("2025-02-11T09:00", server=script("up_to_date"), targets={"server": shelf})
        assert (["2025-02-15"], 2) == (shelf.holds, len(story.asked))

    def test_that_fail_ask_the_server_nothing(self, begin: Callable, script: type) -> None:
        """The server is not asked again for a key that could not be written."""
        story = begin(auto_update="Checking", targets=("server",))
        story.answer("new_key")
        server = script("up_to_date")
        story.advance("2025-02-16", server=server, targets={"server": Shelf(fails=1000)})
        assert [] == server.questions

    def test_without_anything_to_write_to_count_as_written(self, begin: Callable) -> None:
        """A name without a target behind it is done with."""
        story = begin(auto_update="Checking", targets=("server",))
        story.answer("new_key")
        story.advance("2025-02-10T10:00")
        assert () == story.record.writes

    def test_are_given_the_later_key(self, begin: Callable) -> None:
        """A key that comes meanwhile takes the place of the one that could not be written."""
        story = renewed(begin, "server")
        first = story.key
        story.happen(ev.TargetFailed("server", first, "disk full"))
        story.install(story.renewal(issued="2025-02-02", expires="2027-02-14"))
        story.happen(ev.Tick())
        assert [first, story.key] == [write.key for write in story.all(fx.WriteTarget)]

    def test_that_hold_an_earlier_key_are_not_done(self, begin: Callable) -> None:
        """News about the key that was replaced says nothing of the one in force."""
        story = renewed(begin, "server")
        first = story.key
        story.install(story.renewal(issued="2025-02-02", expires="2027-02-14"))
        story.log.clear()
        story.happen(ev.TargetWritten("server", first))
        story.happen(ev.TargetFailed("server", first, "disk full"))
        assert (["server"], []) == ([write.target for write in story.record.writes], story.log)

    def test_of_another_name_say_nothing(self, begin: Callable) -> None:
        """A target that the license does not know is ignored."""
        story = renewed(begin, "server")
        story.log.clear()
        story.happen(ev.TargetWritten("manager", story.key))
        story.happen(ev.TargetFailed("manager", story.key, "disk full"))
        assert (["server"], []) == ([write.target for write in story.record.writes], story.log)


class TestSessionOfTheCheck:
    """rules.md 4.4: the session is a Warning meanwhile."""

    def test_is_a_warning_when_a_target_fails(self, begin: Callable) -> None:
        """The check's entry says which target failed, and why, without control characters (8.3)."""
        story = renewed(begin, "server")
        story.happen(ev.TargetFailed("server", story.key, "disk\x1b full"))
        text = "New license key could not be written to server: disk full"
        assert [fx.SessionAmended(1, "warning", text)] == story.all(fx.SessionAmended)

    def test_is_amended_once_for_each_target(self, begin: Callable) -> None:
        """Failing again is no news."""
        story = renewed(begin, "server")
        for _ in range(2):
            story.happen(ev.TargetFailed("server", story.key, "disk full"))
        assert 1 == len(story.all(fx.SessionAmended))

    def test_is_a_success_when_the_target_holds_the_key_at_last(self, begin: Callable) -> None:
        """The last target that failed turns the warning into a success."""
        story = renewed(begin, "server")
        story.happen(ev.TargetFailed("server", story.key, "disk full"))
        story.happen(ev.TargetWritten("server", story.key))
        assert fx.SessionAmended(1, "success", KEY_WRITTEN) == story.all(fx.SessionAmended)[-1]

    def test_stays_a_warning_while_another_target_fails(self, begin: Callable) -> None:
        """One target of two that failed is not enough."""
        story = renewed(begin, "server", "manager")
        for target in ("server", "manager"):
            story.happen(ev.TargetFailed(target, story.key, "disk full"))
        story.happen(ev.TargetWritten("server", story.key))
        assert ["warning", "warning"] == [amended.result for amended in story.all(fx.SessionAmended)]

    def test_is_a_warning_until_every_target_holds_the_key(self, begin: Callable) -> None:
        """Whatever ends the process before the last target is written leaves no success that is none."""
        story = renewed(begin, "server", "manager")
        (session,) = story.all(fx.Session)
        story.happen(ev.TargetWritten("server", story.key))
        meanwhile = (session.result, story.all(fx.SessionAmended))
        story.happen(ev.TargetWritten("manager", story.key))
        assert (("warning", []), [fx.SessionAmended(1, "success", "")]) == (meanwhile, story.all(fx.SessionAmended))

    def test_is_a_success_at_once_without_targets(self, begin: Callable) -> None:
        """A key that is to be written nowhere is all there."""
        story = renewed(begin)
        assert ["success"] == [session.result for session in story.all(fx.Session)]
        assert [] == story.all(fx.SessionAmended)

    @pytest.mark.parametrize("outcome", ["up_to_date", "connection_failed"])
    def test_says_what_the_check_came_to_without_a_key(self, begin: Callable, outcome: str) -> None:
        """An older key that still waits for its target is no matter of this check."""
        story = begin(targets=("server",))
        story.install(story.renewal(expires="2026-02-14"))
        story.check_now()
        story.answer(outcome)
        expected = {"up_to_date": "success", "connection_failed": "failed"}
        assert [expected[outcome]] == [session.result for session in story.all(fx.Session)]

    @pytest.mark.parametrize("outcome", ["fails", "is written"])
    def test_does_not_exist_for_a_key_installed_by_hand(self, begin: Callable, outcome: str) -> None:
        """A key by hand came with no check, so there is no session to amend."""
        story = begin(targets=("server",))
        story.install(story.renewal(expires="2026-02-14"))
        story.happen(ev.TargetFailed("server", story.key, "disk full"))
        if outcome == "is written":
            story.happen(ev.TargetWritten("server", story.key))
        assert [] == story.all(fx.SessionAmended)


class TestNamedLater:
    """A target that the host names later is to hold the installed key as well (rules.md 4.4)."""

    def test_gets_the_key_at_the_next_look(self, begin: Callable) -> None:
        """It is written without a check, and without a word about a new key."""
        story = begin("2025-02-01", targets=("server", "manager"))
        story.happen(ev.TargetNamed("manager"))
        story.happen(ev.Tick())
        assert [fx.WriteTarget("manager", story.key)] == story.all(fx.WriteTarget)
        assert [] == story.told()

    def test_is_not_owed_the_key_twice(self, begin: Callable) -> None:
        """One that waits for the key already is tried as before."""
        story = renewed(begin, "server")
        before = story.record.writes
        story.happen(ev.TargetNamed("server"))
        assert before == story.record.writes

    def test_is_one_of_the_host(self, begin: Callable) -> None:
        """Nothing is owed to what the host does not name."""
        story = begin(targets=("server",))
        story.happen(ev.TargetNamed("manager"))
        assert () == story.record.writes

    def test_does_not_keep_the_session_of_a_check_a_warning(self, begin: Callable) -> None:
        """The check's entry is a success once the targets of that time hold its key."""
        story = renewed(begin, "server")
        story.happen(ev.TargetFailed("server", story.key, "disk full"))
        story.targets = ("server", "manager")
        story.happen(ev.TargetNamed("manager"))
        story.happen(ev.TargetWritten("server", story.key))
        assert ["warning", "success"] == [amended.result for amended in story.all(fx.SessionAmended)]


class TestMails:
    """rules.md 8.2: install_target_failed, once per target and key, again after 24 hours at the earliest."""

    @pytest.mark.parametrize(
        ("second", "reports", "mails"),
        [("2025-02-10T10:00", 1, 1), ("2025-02-11T08:59:59.999", 1, 1), ("2025-02-11T09:00", 1, 2)],
    )
    def test_are_sent_again_after_a_day(self, begin: Callable, second: str, reports: int, mails: int) -> None:
        """The first failure is reported and mailed; a day later one is mailed again, and not reported."""
        story = renewed(begin, "server")
        story.happen(ev.TargetFailed("server", story.key, "disk full"))
        story.happen(ev.TargetFailed("server", story.key, "disk full"), second)
        told = story.told("report").count("install_target_failed"), story.told("mail").count("install_target_failed")
        assert (reports, mails) == told

    def test_are_sent_day_by_day(self, begin: Callable) -> None:
        """The next day counts from the last mail."""
        story = renewed(begin, "server")
        for hour in ("10T09", "11T10", "12T09", "12T10"):
            story.happen(ev.TargetFailed("server", story.key, "disk full"), f"2025-02-{hour}:00")
        assert 3 == story.told("mail").count("install_target_failed")

    def test_are_sent_for_each_target(self, begin: Callable) -> None:
        """Two targets that fail are two notices."""
        story = renewed(begin, "server", "manager")
        for target in ("server", "manager"):
            story.happen(ev.TargetFailed(target, story.key, "disk full"))
        assert 2 == story.told("mail").count("install_target_failed")

    def test_are_not_sent_without_mail_settings(self, begin: Callable) -> None:
        """Without mail settings the failure is reported once, and nothing is told a day later."""
        story = renewed(begin, "server", mail="none")
        for day in ("10", "12"):
            story.happen(ev.TargetFailed("server", story.key, "disk full"), f"2025-02-{day}T09:00")
        assert (1, 0, 1) == tuple(
            story.told(channel).count("install_target_failed") for channel in ("report", "mail", "log")
        )


class TestUnderWay:
    """7.4: a write that a kill may have cut short is to be known as such."""

    def test_from_the_attempt_until_its_outcome(self, begin: Callable) -> None:
        """A target is under way once it was to be written, and no longer when it failed."""
        story = begin("2025-02-10", targets=("one",))
        story.install(story.renewal(expires="2026-02-14"))
        seen = [story.record.writes[0].under_way]
        story.happen(ev.Tick())
        seen.append(story.record.writes[0].under_way)
        story.happen(ev.TargetFailed("one", story.key, "no such share"))
        seen.append(story.record.writes[0].under_way)
        assert [False, True, False] == seen

    def test_again_at_the_next_attempt(self, begin: Callable) -> None:
        """An hour later it is tried again (4.4), and under way again."""
        story = begin("2025-02-10", targets=("one",))
        story.install(story.renewal(expires="2026-02-14"))
        story.happen(ev.Tick())
        story.happen(ev.TargetFailed("one", story.key, "no such share"))
        story.happen(ev.Tick(), "2025-02-10T01:00")
        assert story.record.writes[0].under_way
