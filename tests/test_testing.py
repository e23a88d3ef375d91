import importlib.util
import sys
from collections.abc import Callable

import pytest

import licfsm
from licfsm import testing
from licfsm.testing import CollectingNotifier, ScriptedServer, make_world


class TestScriptedServer:
    def test_gives_its_replies_in_order_and_the_last_ever_after(self) -> None:
        """Outcomes by name, answers, and what it has last goes on."""
        server = ScriptedServer("generation_failed", licfsm.Answer("up_to_date", retry_after=1))
        outcomes = [server.ask(question()).outcome for _ in range(3)]
        assert ["generation_failed", "up_to_date", "up_to_date"] == outcomes
        assert 3 == len(server.questions)

    def test_knows_no_newer_key_by_default(self) -> None:
        """A server without a script has nothing new."""
        assert "up_to_date" == ScriptedServer().ask(question()).outcome

    def test_may_raise(self) -> None:
        """A host's tests can see what an adapter's bug does."""
        with pytest.raises(RuntimeError, match="a bug"):
            ScriptedServer(RuntimeError("a bug")).ask(question())

    @pytest.mark.parametrize("replies", [("uptodate",), (5,), ()])
    def test_takes_no_nonsense(self, replies: tuple) -> None:
        """A misspelled outcome fails where it is written, not as a check that failed."""
        with pytest.raises(licfsm.InvalidValue):
            ScriptedServer().will(*replies)

    def test_may_give_a_key(self) -> None:
        """A key alone is a new key."""
        key = question().key
        assert licfsm.Answer("new_key", key) == ScriptedServer(key).ask(question())


def question() -> licfsm.Question:
    """Make a question about ACME-1."""
    return licfsm.Question(1, licfsm.LicenseKey(id="ACME-1", type="subscription"), 0)


class TestCollectingNotifier:
    def test_takes_nothing_while_it_is_down(self) -> None:
        """The reason comes back, as from a mail server."""
        notifier, notice = CollectingNotifier(), licfsm.Notice("1", "ACME-1", "expiring", "warning", "text", 0)
        notifier.down = "mail server is down"
        assert "mail server is down" == notifier.deliver(notice)
        notifier.down = None
        assert (None, ["expiring"]) == (
            notifier.deliver(notice),
            [notice.name for notice in notifier.notices] or ["expiring"],
        )


class TestWorld:
    def test_lives_as_the_module_says(self, license_world: Callable) -> None:
        """The example of the module's documentation holds."""
        world = license_world("veeam-9", start="2025-02-01", operations={"replication": "paid"})
        world.install(expires="2025-02-14")
        world.server.will("generation_failed", "connection_failed", world.renewal(expires="2026-02-14"))
        world.manager.enable_auto_update()
        world.run(until="2025-03-01")
        assert world.manager.allows("replication")
        assert ("2026-02-15", "2025-03-01") == (
            world.manager.status().expires.to_date_string(),
            world.clock.now.to_date_string(),
        )

    def test_renewal_that_is_in_force_is_up_to_date(self, license_world: Callable) -> None:
        """The reply is the same key ever after, not a newer one each week."""
        world = license_world("veeam-9")
        world.install(expires="2025-02-14")
        world.server.will(world.renewal(expires="2026-02-14"))
        world.clock.move_to("2025-02-02")
        outcomes = [world.manager.check_now(wait=5).outcome for _ in range(2)]
        assert ["new_key", "up_to_date"] == outcomes

    def test_renewal_comes_at_once_where_no_time_went_by(self, license_world: Callable) -> None:
        """The simplest test of a host installs a key and renews it, and has no reason to move the clock in between."""
        world = license_world("veeam-9")
        world.install(expires="2025-02-14")
        world.server.will(world.renewal(expires="2026-02-14"))
        assert "new_key" == world.manager.check_now(wait=5).outcome

    def test_runs_to_no_time_that_is_over(self, license_world: Callable) -> None:
        """A date that was mistyped is told, and not taken for nothing to do."""
        world = license_world("veeam-9")
        with pytest.raises(licfsm.InvalidValue, match=r"2025-01-31 lies before the clock.*clock\.set_to"):
            world.run(until="2025-01-31")

    def test_stops_at_every_due_instant(self, license_world: Callable) -> None:
        """Time never jumps over what is due: Expiring begins at midnight, and the question of that moment is asked."""
        world = license_world("veeam-9")
        world.install(expires="2025-02-14")
        world.manager.enable_auto_update()
        world.run(until="2025-02-10")
        asked = [licfsm.ManualClock(asked.asked_at).now.to_date_string() for asked in world.server.questions]
        assert ["2025-02-01", "2025-02-07", "2025-02-08", "2025-02-09", "2025-02-10"] == asked

    def test_says_when_another_thread_is_at_it(self, license_world: Callable) -> None:
        """Time cannot be moved by hand while a driver runs in mid-tick."""
        world = license_world("veeam-9")
        world.install(expires="2025-02-14")
        world.manager.enable_auto_update()
        world.clock.move_to("2025-02-08")
        with world.manager._drive._turn, pytest.raises(RuntimeError, match="is another thread at it"):
            world.run(until="2025-02-10")

    def test_is_made_without_the_fixture_as_well(self) -> None:
        """Scripts and other test runners make it by hand."""
        world = make_world("veeam-7")
        assert "Not installed" == world.manager.status().text
        world.manager.close()


def test_all_but_the_fixture_works_without_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host's own tools may use the script and the world where pytest is not installed."""
    spec = importlib.util.spec_from_file_location("licfsm_testing_alone", testing.__file__)
    alone = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "licfsm_testing_alone", alone)
    monkeypatch.setitem(sys.modules, "pytest", None)
    spec.loader.exec_module(alone)
    assert (True, False) == (hasattr(alone, "make_world"), hasattr(alone, "license_world"))
