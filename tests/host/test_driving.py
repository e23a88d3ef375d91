import asyncio
import contextlib
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

import licfsm
from licfsm.adapters.key_pairs import SigningKey
from licfsm.adapters.keys import sign
from licfsm.host.driver import Driver
from licfsm.testing import LicenseWorld, ManualClock, ScriptedServer

LONG = 20
"""Seconds that a test waits at most for what another thread or process does at once."""


class SlowServer:
    """A license server that answers when it is let."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.let_go = threading.Event()

    def ask(self, _question: licfsm.Question) -> licfsm.Answer:
        self.asked.set()
        assert self.let_go.wait(LONG)
        return licfsm.Answer("up_to_date")


class SlowTarget:
    """A target that takes a key when it is let, or says at once why it does not."""

    name = "share"

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.let_go = threading.Event()
        self.refuses: str | None = None

    def write(self, _key: licfsm.LicenseKey) -> str | None:
        self.begun.set()
        assert self.let_go.wait(LONG)
        return self.refuses


@pytest.fixture
def world(license_world: Callable, tmp_path: Path) -> Callable[..., LicenseWorld]:
    """Make a world on a store in a file, with the key of ACME-1 (last day 2025-02-14) installed."""

    def make(**options: object) -> LicenseWorld:
        made = license_world("veeam-9", **{"store": tmp_path / "licenses.db", "operations": {"job": "paid"}} | options)
        if not made.manager.licenses:
            made.install(expires="2025-02-14")
        return made

    return make


@pytest.fixture
def slow() -> Iterator[SlowServer]:
    """Make a server that is let go at the end of the test at the latest."""
    server = SlowServer()
    yield server
    server.let_go.set()


@pytest.fixture
def spawn() -> Iterator[Callable[..., subprocess.Popen]]:
    """Run code in a process of its own that has opened the same store; it is ended with the test."""
    with contextlib.ExitStack() as ended:

        def start(made: LicenseWorld, code: str) -> subprocess.Popen:
            script = f"""
import sys, licfsm
from licfsm.testing import ManualClock, ScriptedServer
manager = licfsm.LicenseManager.open({str(made.manager._store.path)!r}, policy="veeam-9",
    trust={made.signing.public!r}, clock=ManualClock({made.clock.now.isoformat()!r}), server=ScriptedServer(),
    operations={{"job": "paid"}})
{code}
"""
            child = subprocess.Popen(
                [sys.executable, "-c", script],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            ended.enter_context(child)
            ended.callback(child.kill)
            return child

        yield start


@pytest.fixture
def share() -> Iterator[SlowTarget]:
    """Make a target that is let go at the end of the test at the latest."""
    target = SlowTarget()
    yield target
    target.let_go.set()


def somebody_waits(made: LicenseWorld) -> bool:
    """See that another thread has come to wait for its check."""
    end = time.monotonic() + LONG
    while not made.manager._drive._performer.awaited and time.monotonic() < end:
        os.sched_yield()
    return bool(made.manager._drive._performer.awaited)


def threads() -> list[str]:
    """Name the drivers' threads that are alive."""
    return [thread.name for thread in threading.enumerate() if thread.name == "licfsm"]


class TestRunning:
    def test_answers_a_command_at_once(self, world: Callable) -> None:
        """The thread wakes for a command, not a minute later."""
        made = world()
        with made.manager.running():
            session = made.manager.check_now(wait=LONG)
        assert "up_to_date" == session.outcome

    def test_ends_with_its_block(self, world: Callable) -> None:
        """Nothing runs on once the block is left, and the place is free for another process."""
        made = world()
        with made.manager.running():
            made.manager.check_now(wait=LONG)
            assert ["licfsm"] == threads()
        assert ([], "nobody") == (threads(), made.manager.status().driven)

    def test_twice_is_one_thread(self, world: Callable) -> None:
        """Blocks within each other share a thread, and the last one out ends it."""
        made = world()
        with made.manager.running():
            with made.manager.running():
                assert ["licfsm"] == threads()
            assert ["licfsm"] == threads()
        assert [] == threads()

    def test_again_after_its_end_works(self, world: Callable) -> None:
        """A host may stop and start as it likes."""
        made = world()
        for _ in range(3):
            with made.manager.running():
                assert "up_to_date" == made.manager.check_now(wait=LONG).outcome

    def test_in_mid_check_ends_without_the_answer(
        self, world: Callable, slow: SlowServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Leaving the block does not wait for a server; the question stays open for whoever drives next."""
        monkeypatch.setattr("licfsm.host.driver.PATIENCE", 0.0)
        made = world(server=slow)
        with made.manager.running():
            made.manager.check_now()
            assert slow.asked.wait(LONG)
        assert "Checking" == made.manager.status().auto_update

    def test_closed_in_mid_check_drops_the_answer_quietly(
        self, world: Callable, slow: SlowServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An answer that comes after the end is nobody's: it is asked for again at the next start (7.3)."""
        monkeypatch.setattr("licfsm.host.driver.PATIENCE", 0.0)
        made = world(server=slow)
        with made.manager.running():
            made.manager.check_now()
            assert slow.asked.wait(LONG)
            (thread,) = (thread for thread in threading.enumerate() if thread.name == "licfsm")
            made.manager.close()
            slow.let_go.set()
            thread.join(LONG)
        assert [] == [record.message for record in caplog.records if record.levelno >= logging.ERROR]

    def test_survives_adapters_that_fail(self, world: Callable, caplog: pytest.LogCaptureFixture) -> None:
        """What an adapter raises is logged, counts as no connection, and ends neither thread nor host."""
        made = world(server=ScriptedServer(RuntimeError("a bug in the adapter"), "up_to_date"))
        with made.manager.running():
            assert "connection_failed" == made.manager.check_now(wait=LONG).outcome
            assert "up_to_date" == made.manager.check_now(wait=LONG).outcome
        assert "a bug in the adapter" in caplog.text

    def test_lets_allows_answer_while_the_server_is_waited_for(self, world: Callable, slow: SlowServer) -> None:
        """No lock is held while the world is waited for."""
        made = world(server=slow)
        with made.manager.running():
            made.manager.check_now()
            assert slow.asked.wait(LONG)
            assert made.manager.allows("job")
            assert "Checking" == made.manager.status().auto_update
            made.manager.disable_auto_update()
            assert "Off" == made.manager.status().auto_update
            slow.let_go.set()

    def test_lets_allows_answer_while_the_store_is_written(self, world: Callable) -> None:
        """What is allowed is asked without waiting for a disk."""
        made = world()
        allowed: list[bool] = []
        with made.manager._registry.work():
            asking = threading.Thread(target=lambda: allowed.append(made.manager.allows("job")))
            asking.start()
            asking.join(LONG)
            assert [True] == allowed

    def test_beside_an_event_loop_never_blocks_it(self, world: Callable) -> None:
        """The loop goes on while a tick is taken in a worker thread."""
        made = world()

        async def host() -> tuple[str, str]:
            async with made.manager.running_async() as manager:
                session = await asyncio.to_thread(manager.check_now, wait=LONG)
                return session.outcome, manager.status().driven

        assert ("up_to_date", "here") == asyncio.run(host())
        assert [] == threads()


class TestWaitingForTargets:
    """rules.md 4.4: a check's session is a Warning until every target holds its key."""

    def check(self, world: Callable, share: SlowTarget, **options: object) -> LicenseWorld:
        """Have a world whose next check brings a key, after the target got the first one."""
        share.let_go.set()
        made = world(targets=[share], **options)
        made.manager.tick()
        share.begun.clear()
        share.let_go.clear()
        made.server.will(made.renewal(expires="2026-02-14"))
        return made

    def test_claims_no_success_while_a_target_is_written(self, world: Callable, share: SlowTarget) -> None:
        """A kill in the midst of a write leaves a Warning in the store."""
        made = self.check(world, share)
        with made.manager.running():
            made.manager.check_now()
            assert share.begun.wait(LONG)
            seen = [made.manager.sessions()[-1].result]
            share.let_go.set()
            made.manager.close()
        with licfsm.LicenseManager.open(
            made.manager._store.path, policy="veeam-9", trust=made.signing.public, clock=made.clock, targets=[share]
        ) as again:
            seen.append(again.sessions()[-1].result)
        assert ["warning", "success"] == seen

    def test_ends_when_each_target_was_tried(self, world: Callable, share: SlowTarget) -> None:
        """Who waits for a check learns what came of its key, and not of the question alone."""
        made = self.check(world, share)
        found: list[licfsm.SessionEntry] = []
        with made.manager.running():
            waiting = threading.Thread(target=lambda: found.append(made.manager.check_now(wait=LONG)))
            waiting.start()
            assert share.begun.wait(LONG)
            share.let_go.set()
            waiting.join(LONG)
        assert ["success"] == [session.result for session in found]

    def test_ends_when_a_target_failed(self, world: Callable, share: SlowTarget) -> None:
        """Its next try is an hour away, and nobody waits for that."""
        made = self.check(world, share)
        share.refuses = "no such share"
        share.let_go.set()
        session = made.manager.check_now(wait=LONG)
        assert ("warning", "New license key could not be written to share: no such share") == (
            session.result,
            session.messages[-1],
        )

    def test_gives_the_entry_as_it_stands_when_its_time_is_over(self, world: Callable, share: SlowTarget) -> None:
        """An answer that came is told, though a target is being written still."""
        made = self.check(world, share)
        with made.manager.running():
            made.manager.check_now()
            assert share.begun.wait(LONG)
            session = made.manager._outcome("ACME-1", 1, 0.0)
            share.let_go.set()
        assert ("new_key", "warning") == (session.outcome, session.result)


class TestWaitingFirst:
    """Who waits for a check waits for no other license's question, nor for the mail."""

    @pytest.mark.parametrize(("favor", "order"), [(10.0, ["L-1", "L-3", "L-2"]), (0.0, ["L-1", "L-2", "L-3"])])
    def test_is_asked_before_those_that_were_due_earlier(
        self, world: Callable, slow: SlowServer, monkeypatch: pytest.MonkeyPatch, favor: float, order: list[str]
    ) -> None:
        """A user who looks at the window comes first, whatever a slow server has still to do; but not for ever."""
        monkeypatch.setattr("licfsm.host.performer._FAVOR", favor)
        made = world(licenses=["L-1", "L-2", "L-3"], server=slow)
        asked: list[str] = []
        ask = slow.ask

        def note(question: licfsm.Question) -> licfsm.Answer:
            asked.append(question.key.id)
            return ask(question)

        slow.ask = note
        for name in ("L-1", "L-2", "L-3"):
            made.install(id=name, expires="2025-02-14")
            made.manager.enable_auto_update(name)
            made.clock.move_to(made.clock.now.add(seconds=1))
        with made.manager.running():
            assert slow.asked.wait(LONG)
            waiting = threading.Thread(target=lambda: made.manager.check_now("L-3", wait=LONG))
            waiting.start()
            assert somebody_waits(made)
            slow.let_go.set()
            waiting.join(LONG)
            made.manager.check_now("L-2", wait=LONG)
        assert order == asked[:3]

    def test_is_asked_before_the_mail_goes_out(self, world: Callable) -> None:
        """A mail server that takes its time holds up one mail, not a mail for each license."""
        made = world(licenses=["L-1", "L-2"])
        for name in ("L-1", "L-2"):
            made.install(id=name, expires="2025-02-14")
        mailing, let_go = threading.Event(), threading.Event()
        told: list[str] = []
        deliver = made.mail.deliver

        def slowly(notice: licfsm.Notice) -> str | None:
            mailing.set()
            assert let_go.wait(LONG)
            told.append("mail")
            return deliver(notice)

        def ask(_question: licfsm.Question) -> licfsm.Answer:
            told.append("question")
            return licfsm.Answer("up_to_date")

        made.mail.deliver = slowly
        made.server.will(ask)
        with made.manager.running():
            assert mailing.wait(LONG)
            waiting = threading.Thread(target=lambda: made.manager.check_now("L-1", wait=LONG))
            waiting.start()
            assert somebody_waits(made)
            let_go.set()
            waiting.join(LONG)
        assert ["mail", "question"] == told[:2]

    def test_has_its_key_written_before_those_of_others(self, world: Callable) -> None:
        """The targets that somebody waits for come first as well."""
        written: list[str] = []

        def share(key: licfsm.LicenseKey) -> None:
            written.append(key.id)

        made = world(licenses=["L-1", "L-2"], targets=[share])
        for name in ("L-1", "L-2"):
            made.install(id=name, expires="2025-02-14")
        made.manager.tick()
        written.clear()
        made.manager.install(made.key(id="L-1", expires="2026-02-14", issued="2025-02-02").signed)
        made.server.will(made.renewal(expires="2026-02-14"))
        made.manager.check_now("L-2", wait=LONG)
        made.manager.tick()
        assert ["L-2", "L-1"] == written

    @pytest.mark.parametrize("wait", [-1, float("nan"), "5", True, 1e300])
    def test_takes_a_number_of_seconds(self, world: Callable, wait: object) -> None:
        """Anything else is refused before the server is asked."""
        made = world()
        with pytest.raises(licfsm.InvalidValue, match="wait must be a number of seconds, 0 or more"):
            made.manager.check_now(wait=wait)
        assert "Off" == made.manager.status().auto_update

    def test_is_refused_where_it_would_wait_for_itself(self, world: Callable) -> None:
        """Within a subscriber of the driver's thread, what it waits for goes on only when it returns."""
        made = world()
        told: list[str] = []
        heard = threading.Event()

        def hear(entry: licfsm.JournalEntry) -> None:
            drives = threading.current_thread().name == "licfsm"
            if entry.event == "answered" and drives and not told:
                try:
                    made.manager.check_now(wait=LONG)
                except licfsm.InvalidValue as error:
                    told.append(str(error))
                made.manager.check_now()  # a command alone is taken
                heard.set()

        made.manager.enable_auto_update()
        made.manager.subscribe(hear)
        with made.manager.running():  # whose thread has the answer, and is the only one that tells
            assert heard.wait(LONG)
        assert ["check_now cannot wait within a subscriber or an adapter"] == [text.partition(",")[0] for text in told]


class TestTick:
    def test_says_when_it_wants_to_be_called_again(self, world: Callable) -> None:
        """At most a minute later, or when something is due."""
        made = world()
        assert 60.0 == made.manager.tick()
        made.clock.move_to("2025-02-06T23:59:30")
        assert 30.0 == made.manager.tick()

    def test_without_performing_asks_nobody(self, world: Callable) -> None:
        """Only states change: the question stays open."""
        made = world()
        made.manager.enable_auto_update()
        made.manager.tick(perform=False)
        assert ([], [], "Checking") == (made.server.questions, made.mail.names, made.manager.status().auto_update)

    def test_beside_a_driver_does_not_disturb_it(self, world: Callable, slow: SlowServer) -> None:
        """While another thread is at it, a tick comes back at once."""
        made = world(server=slow)
        with made.manager.running():
            made.manager.check_now()
            assert slow.asked.wait(LONG)
            assert 1.0 == made.manager.tick()
            slow.let_go.set()

    def test_of_many_licenses_does_all_that_is_due(self, world: Callable) -> None:
        """More licenses than share a transaction."""
        made = world(licenses=[f"L-{number}" for number in range(250)])
        for license_id in made.manager.licenses:
            made.install(id=license_id, expires="2025-02-14")
            made.manager.enable_auto_update(license_id)
        made.manager.tick()
        assert (250, {"Scheduled"}) == (
            len(made.server.questions),
            {made.manager.status(license_id).auto_update for license_id in made.manager.licenses},
        )


class TestClock:
    def test_set_back_by_hours_is_noticed(self, world: Callable) -> None:
        """A step back of more than an hour is told, and asks once at once (7.5)."""
        made = world()
        made.manager.enable_auto_update()
        made.run(until="2025-02-03T12:00")
        asked = len(made.server.questions)
        made.clock.set_to("2025-02-03T09:00")
        made.manager.tick()
        assert (asked + 1, "clock_went_back") == (len(made.server.questions), made.mail.names[-1])

    def test_set_back_just_before_the_end_is_noticed_at_the_next_start(self, world: Callable) -> None:
        """A host that is ended before it looked at the clock again leaves that to whoever drives next (7.5)."""
        made = world()
        made.run(until="2025-02-03T12:00")
        made.clock.set_to("2025-02-02T11:00")
        made.manager.close()
        again = world(clock=made.clock, signing=made.signing)
        again.manager.tick()
        assert "clock_went_back" == again.mail.names[-1]

    def test_set_in_the_last_tick_hides_no_old_copy(
        self, world: Callable, license_world: Callable, tmp_path: Path
    ) -> None:
        """How far the store had come is noted also by a clock that was set: a copy from before sends nothing again (7.4)."""
        made = world()
        made.mail.down = "mail server is down"
        made.manager.tick()
        with (
            contextlib.closing(sqlite3.connect(tmp_path / "licenses.db")) as store,
            contextlib.closing(sqlite3.connect(tmp_path / "copy.db")) as copy,
        ):
            store.backup(copy)
        made.mail.down = None
        deliver = made.mail.deliver

        def set_clock(notice: licfsm.Notice) -> str | None:
            made.clock.set_to(made.clock.now.add(minutes=5))
            return deliver(notice)

        made.mail.deliver = set_clock
        made.clock.move_to("2025-02-01T02:00")
        made.manager.check_now()
        made.manager.tick()
        made.manager.close()
        (tmp_path / "copy.db").replace(tmp_path / "licenses.db")
        again = license_world("veeam-9", store=tmp_path / "licenses.db", clock=made.clock, signing=made.signing)
        again.manager.tick()
        assert (["key_installed"], []) == (made.mail.names, again.mail.names)

    def test_that_is_confirmed_is_remembered_where_nothing_else_is_due(
        self, world: Callable, license_world: Callable, tmp_path: Path
    ) -> None:
        """A sleep of nine days is believed after an hour (7.5), so that a clock set back by then improves nothing."""
        made = world()
        made.manager.tick()
        made.clock.sleep("2025-02-10")
        made.manager.tick()
        made.run(until="2025-02-10T02:00")
        made.manager.close()
        made.clock.set_to("2025-02-01")
        again = license_world("veeam-8", store=tmp_path / "licenses.db", clock=made.clock, signing=made.signing)
        changed = [entry for entry in again.manager.history() if entry.event == "policy_changed"]
        assert [()] == [entry.transitions for entry in changed]
        assert "Expiring" == again.manager.status().entitlement

    def test_that_runs_on_is_no_step(self, world: Callable) -> None:
        """A host that was not ticked for days, but ran, has no clock that jumped."""
        made = world()
        made.manager.tick()
        made.clock.move_to("2025-02-05")
        made.manager.tick()
        assert "clock_stepped" not in [entry.event for entry in made.manager.history()]

    def test_of_a_host_that_slept_interrupts_the_check(self, world: Callable) -> None:
        """After a suspend in Checking the question is asked again at once (7.3)."""
        made = world()
        made.manager.check_now()
        made.clock.sleep("2025-02-03")
        made.manager.tick()
        assert [(1, None), (2, "up_to_date")] == [
            (session.attempt, session.outcome) for session in made.manager.sessions()
        ]

    def test_of_a_host_that_slept_does_not_mislead_whoever_waits(self, world: Callable) -> None:
        """Who waits for a check that is interrupted gets the outcome of the one that took its place."""
        made = world()

        def sleep(_question: licfsm.Question) -> licfsm.Answer:
            made.clock.sleep(made.clock.now.add(hours=1))
            made.server.will("generation_failed")
            return licfsm.Answer("up_to_date")

        made.server.will(sleep)
        session = made.manager.check_now(wait=LONG)
        assert (2, "generation_failed") == (session.attempt, session.outcome)

    def test_of_a_check_that_is_called_off_is_waited_for_no_longer(self, world: Callable) -> None:
        """Who waits for a check that is called off gets the entry that says so."""
        made = world()

        def call_off(_question: licfsm.Question) -> licfsm.Answer:
            made.manager.disable_auto_update()
            return licfsm.Answer("up_to_date")

        made.server.will(call_off)
        assert None is made.manager.check_now(wait=LONG).outcome

    def test_without_a_running_time_is_taken_as_it_is(self, license_world: Callable) -> None:
        """A host's own clock need only tell the time."""

        class Plain:
            def now_ms(self) -> int:
                return ManualClock("2025-02-20").now_ms()

        made = license_world("veeam-9", clock=Plain(), operations={"job": "paid"})
        made.clock = ManualClock("2025-02-01")
        made.install(expires="2025-02-14")
        made.manager.tick()
        assert "Grace" == made.manager.status().entitlement


class TestStoreThatCannotBeWritten:
    def test_changes_nothing_and_says_so(self, world: Callable) -> None:
        """A command that cannot be stored has not happened."""
        made = world()
        lock(made)
        with pytest.raises(licfsm.StoreError, match="it cannot be written; check the permissions"):
            made.manager.enable_auto_update()
        unlock(made)
        assert "Off" == made.manager.status().auto_update

    def test_loses_no_answer(self, world: Callable) -> None:
        """What the server said is kept until it can be stored, and not asked for again."""
        made = world()
        made.clock.move_to("2025-02-02")
        made.server.will(fills(made, made.renewal(expires="2026-02-14")))
        made.manager.enable_auto_update()
        with pytest.raises(licfsm.StoreError, match="it cannot be written"):
            made.manager.tick()
        unlock(made)
        made.manager.tick()
        assert (1, "Valid (378 days until expiration)") == (
            len(made.server.questions),
            made.manager.status().text,
        )

    def test_is_told_by_the_driver_and_tried_again(self, world: Callable, caplog: pytest.LogCaptureFixture) -> None:
        """The thread goes on, and says in the log what is wrong."""
        made = world()
        calls: list[int] = []
        done = threading.Event()

        def tick(_wanted: Callable[[], bool]) -> float:
            calls.append(1)
            if len(calls) > 2:
                done.set()
                return 60.0
            driver.wake()
            if len(calls) == 1:
                message = "the disk is full"
                raise licfsm.StoreError(message)
            message = "a bug"
            raise RuntimeError(message)

        driver = Driver(tick, lambda: None)
        driver.start()
        assert done.wait(LONG)
        assert driver.stop()
        assert ["licenses cannot be driven now", "a tick failed; it is tried again in a minute"] == [
            record.message.partition(",")[0] for record in caplog.records if record.levelno >= logging.ERROR
        ]
        assert made.manager.allows("job")


def lock(made: LicenseWorld) -> None:
    """Let the store be one that cannot be written."""
    made.manager._store._writer.connection.dbapi_connection.execute("PRAGMA query_only = ON")


def unlock(made: LicenseWorld) -> None:
    """Let it be written again."""
    made.manager._store._writer.connection.dbapi_connection.execute("PRAGMA query_only = OFF")


def fills(made: LicenseWorld, reply: Callable) -> Callable:
    """Make a reply that comes when the store can no longer be written."""

    def ask(question: licfsm.Question) -> licfsm.Answer:
        lock(made)
        return reply(question)

    return ask


class TestTwoProcesses:
    def test_one_drives_and_the_other_sees(self, world: Callable) -> None:
        """The operating system's lock says who drives."""
        one = world()
        one.manager.tick()
        other = world(clock=one.clock, signing=one.signing)
        assert ("here", "elsewhere") == (one.manager.status().driven, other.manager.status().driven)
        other.manager.tick()
        one.manager.enable_auto_update()
        one.manager.tick()
        assert ("Scheduled", []) == (other.manager.status().auto_update, other.server.questions)

    def test_the_other_commands(self, world: Callable) -> None:
        """A command of one process is carried out by the one that drives."""
        one = world()
        one.manager.tick()
        other = world(clock=one.clock, signing=one.signing)
        other.manager.enable_auto_update()
        one.manager.tick()
        assert (1, []) == (len(one.server.questions), other.server.questions)
        assert "Scheduled" == other.manager.status().auto_update

    def test_the_other_hears_of_it(self, world: Callable) -> None:
        """What the driving process does comes to subscribers of the other one when it looks."""
        one = world()
        one.manager.tick()
        other = world(clock=one.clock, signing=one.signing)
        heard: list[str] = []
        other.manager.subscribe(lambda entry: heard.append(entry.event))
        one.manager.enable_auto_update()
        one.manager.tick()
        other.manager.tick()
        assert ["enable", "answered"] == heard

    def test_commands_of_both_at_once_all_count(self, world: Callable) -> None:
        """Threads of two managers change one license in turns, and none is lost."""
        one = world()
        other = world(clock=one.clock, signing=one.signing)
        ready = threading.Barrier(4)

        def command(manager: licfsm.LicenseManager) -> None:
            ready.wait(LONG)
            for _ in range(10):
                manager.enable_auto_update()
                manager.disable_auto_update()

        busy = [threading.Thread(target=command, args=(made.manager,)) for made in (one, other) * 2]
        for thread in busy:
            thread.start()
        for thread in busy:
            thread.join(LONG)
        events = [entry.event for entry in one.manager.history(limit=1000)]
        assert (40, 40) == (events.count("enable"), events.count("disable"))

    def test_a_store_that_was_replaced_is_driven_by_whoever_opens_it(
        self, world: Callable, license_world: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who cannot use its store any more does not keep the place from who can."""
        monkeypatch.setattr("licfsm.adapters.store.store.LOOK_AGAIN", 0.0)
        one = world()
        one.manager.tick()
        (tmp_path / "licenses.db").rename(tmp_path / "old.db")
        for name in ("wal", "shm"):
            (tmp_path / f"licenses.db-{name}").rename(tmp_path / f"old.db-{name}")
        with pytest.raises(licfsm.StoreError, match="was removed or replaced while it was open"):
            one.manager.tick()
        other = license_world("veeam-9", store=tmp_path / "licenses.db", clock=one.clock, signing=one.signing)
        other.manager.tick()
        assert "here" == other.manager.status().driven

    def test_a_lock_that_was_removed_is_made_again(
        self, world: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The host ran all the time: nothing is taken for a sleep, and nobody else had the place."""
        monkeypatch.setattr("licfsm.host.drive.LOOK_AGAIN", 0.0)
        made = world()
        made.run(until="2025-02-03")
        (tmp_path / "licenses.db.lock").unlink()
        made.run(until="2025-02-05")
        assert ("here", True) == (made.manager.status().driven, (tmp_path / "licenses.db.lock").exists())
        assert "clock_stepped" not in [entry.event for entry in made.manager.history()]

    def test_another_policy_is_refused_while_one_drives(self, world: Callable, license_world: Callable) -> None:
        """Two policies would undo each other."""
        one = world()
        one.manager.tick()
        with pytest.raises(licfsm.InvalidValue, match="driven by another process under policy veeam-9"):
            license_world("veeam-7", store=one.manager._store.path, clock=one.clock, signing=one.signing)

    def test_the_place_of_a_killed_one_is_taken(self, world: Callable, spawn: Callable) -> None:
        """A process killed in mid-check leaves its place and its question to the next one that ticks (7.3)."""
        made = world()
        made.manager.close()
        child = spawn(
            made, "manager.enable_auto_update(); manager.tick(perform=False); print('driving', flush=True); input()"
        )
        assert "driving\n" == child.stdout.readline()
        again = world(clock=made.clock, signing=made.signing)
        again.manager.tick()
        assert ("elsewhere", []) == (again.manager.status().driven, again.server.questions)
        child.kill()
        child.wait(LONG)
        again.manager.tick()
        assert ("here", [2]) == (
            again.manager.status().driven,
            [question.attempt for question in again.server.questions],
        )


class TestEnd:
    @pytest.mark.parametrize(
        "code",
        [
            "running = manager.running(); running.__enter__()",
            "running = manager.running(); running.__enter__(); manager.check_now(wait=20)",
            "manager.enable_auto_update()",
            "import threading; threading.Thread(target=lambda: globals().update(running=manager.running()) or running.__enter__()).start()",
        ],
    )
    def test_of_the_interpreter_is_clean(self, world: Callable, spawn: Callable, code: str) -> None:
        """A host that just ends leaves no noise, and no hanging process."""
        made = world()
        made.manager.close()
        child = spawn(made, code)
        told, _ = child.communicate(timeout=LONG)
        assert (0, "") == (child.returncode, told)

    def test_in_mid_check_is_clean(self, world: Callable, spawn: Callable) -> None:
        """A server that does not answer does not keep the interpreter."""
        made = world()
        made.manager.close()
        code = """
import threading, licfsm.host.driver
licfsm.host.driver.PATIENCE = 0.0
asked = threading.Event()
class Never:
    def ask(self, question):
        asked.set()
        threading.Event().wait()
manager._drive._performer._server = Never()
running = manager.running()
running.__enter__()
manager.check_now()
asked.wait(20)
"""
        child = spawn(made, code)
        told, _ = child.communicate(timeout=LONG)
        assert (0, "") == (child.returncode, told)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
class TestFork:
    def test_is_told_in_the_child(self, world: Callable, spawn: Callable) -> None:
        """A manager does not cross a fork: the child is told to open its own."""
        made = world()
        made.manager.close()
        child = spawn(
            made,
            """
import os, warnings
warnings.simplefilter("ignore")  # that a process with threads forks, which is what is looked at here
def told(call):
    try:
        call()
    except licfsm.WrongProcess as error:
        return "open another one after forking" in str(error)
with manager.running():
    pid = os.fork()
    if not pid:
        manager.close()
        ok = told(manager.status) and told(lambda: manager.allows("job")) and told(manager.tick)
        os._exit(0 if ok else 1)
    print(os.waitpid(pid, 0)[1], manager.check_now(wait=20).outcome)
""",
        )
        told, _ = child.communicate(timeout=LONG)
        assert (0, "0 up_to_date\n") == (child.returncode, told)

    def test_leaves_no_lock_with_the_child(self, world: Callable, spawn: Callable) -> None:
        """A child that outlives its parent does not keep the place occupied."""
        made = world()
        made.manager.close()
        child = spawn(
            made,
            """
import os, signal
manager.tick()
pid = os.fork()
if not pid:
    signal.pause()
print(pid, flush=True)
os._exit(0)
""",
        )
        orphan = int(child.stdout.readline())
        child.wait(LONG)
        try:
            again = world(clock=made.clock, signing=made.signing)
            again.manager.tick()
            assert "here" == again.manager.status().driven
        finally:
            os.kill(orphan, signal.SIGKILL)


class TestAfterADriver:
    def test_a_tick_works_as_before(self, world: Callable) -> None:
        """A driver that was stopped stops nobody else."""
        made = world()
        with made.manager.running():
            pass
        assert "up_to_date" == made.manager.check_now(wait=LONG).outcome
        made.manager.enable_auto_update()
        made.manager.tick()
        assert "Scheduled" == made.manager.status().auto_update

    def test_that_an_adapter_wanted_to_end_it_goes_on(self, world: Callable, caplog: pytest.LogCaptureFixture) -> None:
        """An adapter that raises SystemExit ends neither the thread nor the host, and that is logged."""

        def end(_question: licfsm.Question) -> licfsm.Answer:
            raise SystemExit(3)

        made = world(server=ScriptedServer(end, "up_to_date"))
        with made.manager.running():
            assert "connection_failed" == made.manager.check_now(wait=LONG).outcome
            assert "up_to_date" == made.manager.check_now(wait=LONG).outcome
        assert "the license server's adapter failed for license ACME-1" in caplog.text
        assert "a tick failed" not in caplog.text


class TestLocks:
    def test_of_a_store_outlive_a_second_manager_of_the_same_process(self, world: Callable, spawn: Callable) -> None:
        """Whoever opens the store elsewhere is not the last one, and does not take its log away."""
        made = world()
        world(clock=made.clock, signing=made.signing).manager.close()
        child = spawn(made, "manager.close(); print('closed', flush=True)")
        assert "closed\n" == child.stdout.readline()
        child.wait(LONG)
        made.manager.enable_auto_update()
        again = world(clock=made.clock, signing=made.signing)
        assert "Checking" == again.manager.status().auto_update

    def test_let_nobody_read_a_store_that_is_being_closed(self, world: Callable) -> None:
        """Threads that look while the manager is closed are told so, each time."""
        made = world()
        told: list[BaseException] = []

        def look() -> None:
            try:
                while True:
                    made.manager.status()
            except licfsm.WrongProcess as error:
                told.append(error)

        busy = [threading.Thread(target=look) for _ in range(4)]
        for thread in busy:
            thread.start()
        made.manager.close()
        for thread in busy:
            thread.join(LONG)
        assert 4 == len(told)

    def test_are_the_same_by_every_path(self, world: Callable, license_world: Callable, tmp_path: Path) -> None:
        """A link to a store is that store: only one drives it."""
        made = world()
        made.manager.tick()
        (tmp_path / "link.db").symlink_to(tmp_path / "licenses.db")
        other = license_world("veeam-9", store=tmp_path / "link.db", clock=made.clock, signing=made.signing)
        assert "elsewhere" == other.manager.status().driven


class TestInterrupted:
    def test_between_the_commit_and_its_end_loses_nothing(
        self, world: Callable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A Ctrl-C right after the commit leaves a manager that reads again what was written."""
        made = world()

        def interrupt() -> None:
            raise KeyboardInterrupt

        entry = made.manager._registry.entries["ACME-1"]
        monkeypatch.setattr(type(entry), "settle", lambda *_: interrupt())
        with pytest.raises(KeyboardInterrupt):
            made.manager.enable_auto_update()
        monkeypatch.undo()
        assert "Checking" == made.manager.status().auto_update
        made.manager.tick()
        assert "Scheduled" == made.manager.status().auto_update


class TestWrongClock:
    def test_for_a_moment_removes_no_history(self, world: Callable) -> None:
        """A clock that is years ahead for one tick does no lasting harm (7.5)."""
        made = world()
        made.manager.check_now(wait=LONG)
        before = len(made.manager.history())
        made.clock.set_to("2027-06-01")
        made.manager.tick()
        made.clock.set_to("2025-02-01T01:00")
        made.manager.tick()
        assert len(made.manager.history()) >= before


class TestHealing:
    def test_of_a_type_that_the_new_policy_does_not_know(self, world: Callable, license_world: Callable) -> None:
        """A key of a type that it knows is taken, and the license goes on under it."""
        policy = licfsm.policy.named("veeam-9")
        other = attrs.evolve(policy, name="other", grace={"platinum": None})
        made = world()
        made.manager.close()
        again = license_world(
            other, store=made.manager._store.path, clock=made.clock, signing=made.signing, operations={"job": "paid"}
        )
        assert ("Not installed", False) == (again.manager.status().text, again.manager.allows("job"))
        again.install(type="platinum", expires="2025-03-14")
        assert (None, "Valid", True) == (
            again.manager.status().trouble,
            again.manager.status().entitlement,
            again.manager.allows("job"),
        )

    def test_by_a_new_signature_on_the_same_key(self, world: Callable, license_world: Callable) -> None:
        """An issuer that rotates its key signs anew what it sold: the latest trusted signature is kept."""
        made = world()
        made.manager.close()
        new = SigningKey.generate()
        both = [made.signing.public, new.public]
        path, key = made.manager._store.path, made.key(expires="2025-02-14")
        again = license_world("veeam-9", store=path, clock=made.clock, trust=both, signing=new)
        again.manager.install(sign(key, new).signed)
        again.manager.close()
        last = license_world("veeam-9", store=path, clock=made.clock, signing=new)
        assert ("Valid", None) == (last.manager.status().entitlement, last.manager.status().trouble)
