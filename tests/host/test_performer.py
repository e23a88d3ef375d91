import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

import licfsm
from licfsm.testing import LicenseWorld


@pytest.fixture
def world(license_world: Callable) -> Callable[..., LicenseWorld]:
    """Make a world with ACME-1 (last day 2025-02-14) installed, a day ago."""

    def make(**options: object) -> LicenseWorld:
        made = license_world("veeam-9", **{"start": "2025-02-01"} | options)
        made.install(expires="2025-02-14")
        made.clock.move_to("2025-02-02")
        return made

    return make


class TestServer:
    def test_is_asked_with_the_key_in_force(self, world: Callable) -> None:
        """The question carries the attempt, the key and the time."""
        made = world()
        made.manager.check_now(wait=5)
        (question,) = made.server.questions
        assert (1, "ACME-1", made.clock.now_ms()) == (question.attempt, question.key.id, question.asked_at)

    def test_may_bring_a_new_key(self, world: Callable) -> None:
        """A trusted key that was issued later is in force at once (4.3, 4.4)."""
        made = world()
        made.server.will(made.renewal(expires="2026-02-14"))
        assert "new_key" == made.manager.check_now(wait=5).outcome
        assert "Valid (378 days until expiration)" == made.manager.status().text

    def test_may_not_bring_a_key_that_nobody_signed(self, world: Callable) -> None:
        """Entitlement is never taken from anything but a verified key: an adapter's word is not enough (4.4)."""
        made = world()
        forged = attrs.evolve(made.key(expires="2026-02-14"), expires="2036-02-14")
        unsigned = attrs.evolve(forged, signed="")
        for key in (forged, unsigned):
            made.server.will(licfsm.Answer("new_key", key))
            made.manager.check_now(wait=5)
            assert made.manager.status().days_remaining < 400

    def test_key_of_a_stranger_is_rejected(self, world: Callable, license_world: Callable) -> None:
        """The key of a good answer that 4.3 refuses is `key_rejected`."""
        made = world()
        made.server.will(license_world("veeam-9", start="2025-02-02").key(expires="2026-02-14"))
        assert "key_rejected" == made.manager.check_now(wait=5).outcome

    @pytest.mark.parametrize(
        "answer",
        [
            lambda _question: licfsm.Answer("renewed"),
            lambda _question: licfsm.Answer("new_key"),
            lambda _question: licfsm.Answer("connection_failed", retry_after="soon"),
            lambda _question: licfsm.Answer("up_to_date", signed_time=1.5),
            lambda _question: None,
            lambda _question: licfsm.Answer("new_key", key=b"eyJ"),
            lambda _question: licfsm.Answer("new_key", key=lambda _key: None),
            lambda _question: licfsm.Answer("new_key", key=lambda _key: b"eyJ"),
            asyncio.CancelledError(),
            GeneratorExit(),
        ],
    )
    def test_that_breaks_its_contract_counts_as_no_connection(
        self, world: Callable, answer: Callable, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A bug in an adapter is logged, and the question is asked again as after an outage."""
        made = world()
        made.server.will(answer)
        session = made.manager.check_now(wait=5)
        assert "connection_failed" == session.outcome
        assert session.messages[-1].startswith("the license server's adapter failed: ")
        assert "the license server's adapter failed for license ACME-1" in caplog.text

    def test_that_breaks_its_contract_keeps_no_other_license_waiting(self, world: Callable) -> None:
        """What is wrong about one answer holds up nobody else, and no mail."""
        made = world(licenses=["ACME-1", "ACME-2"])
        made.install(id="ACME-2", expires="2025-02-14")
        made.server.will(lambda _question: licfsm.Answer("new_key", key=lambda _key: b"eyJ"), "up_to_date")
        for license_id in made.manager.licenses:
            made.manager.enable_auto_update(license_id)
            made.clock.move_to(made.clock.now.add(seconds=1))
        made.manager.tick()
        assert ["Retrying", "Scheduled"] == [made.manager.status(name).auto_update for name in made.manager.licenses]
        assert "update_failed" in made.mail.names

    def test_is_asked_first_for_whom_a_user_asks(self, world: Callable) -> None:
        """Also where nobody waits for the answer, as a command of another process does not."""
        made = world(licenses=["ACME-1", "ACME-2"])
        made.install(id="ACME-2", expires="2025-02-14")
        made.manager.enable_auto_update("ACME-1")
        made.clock.move_to(made.clock.now.add(seconds=1))
        made.manager.check_now("ACME-2")
        made.manager.tick()
        assert ["ACME-2", "ACME-1"] == [question.key.id for question in made.server.questions]

    def test_has_its_key_taken_down_before_another_license_is_asked(self, world: Callable) -> None:
        """A key is in force when it came (4.4), and not when the next question is answered."""
        made = world(licenses=["ACME-1", "ACME-2"])
        made.install(id="ACME-2", expires="2025-02-14")
        seen: list[str] = []

        def look(_question: licfsm.Question) -> licfsm.Answer:
            seen.append(made.manager.status("ACME-1").expires.to_date_string())
            return licfsm.Answer("up_to_date")

        made.server.will(made.renewal(expires="2026-02-14"), look)
        for license_id in made.manager.licenses:
            made.manager.enable_auto_update(license_id)
            made.clock.move_to(made.clock.now.add(seconds=1))
        made.manager.tick()
        assert ["2026-02-15"] == seen

    def test_of_nobody_is_no_connection(self, license_world: Callable) -> None:
        """Without a server every check fails as one that cannot be reached."""
        made = license_world("veeam-9")
        with licfsm.LicenseManager.open(
            ":memory:", policy="veeam-9", trust=made.signing.public, clock=made.clock
        ) as manager:
            manager.install(made.key(expires="2025-02-14").signed)
            session = manager.check_now(wait=5)
            assert "connection_failed" == session.outcome
            assert "the host named no license server; give one with server=" == session.messages[-1]

    def test_is_not_asked_what_was_called_off(self, world: Callable) -> None:
        """A question that a subscriber calls off before it is asked is not asked."""
        made = world(licenses=["ACME-1", "ACME-2"])
        made.install(id="ACME-2", expires="2026-02-14")

        def call_off(_question: licfsm.Question) -> licfsm.Answer:
            made.manager.disable_auto_update("ACME-2")
            return licfsm.Answer("up_to_date")

        made.server.will(call_off)
        for license_id in made.manager.licenses:
            made.manager.enable_auto_update(license_id)
        made.manager.tick()
        assert ["ACME-1"] == [question.key.id for question in made.server.questions]

    def test_is_asked_no_more_when_a_tick_has_lasted_long_enough(
        self, world: Callable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A tick begins no further call after its time, but one at least; the next one goes on."""
        made = world(licenses=["ACME-1", "ACME-2"])
        made.install(id="ACME-2", expires="2026-02-14")
        for license_id in made.manager.licenses:
            made.manager.enable_auto_update(license_id)
        monkeypatch.setattr("licfsm.host.performer.LONGEST", -1.0)
        made.manager.tick()
        assert 1 == len(made.server.questions)
        monkeypatch.undo()
        made.manager.tick()
        assert 2 == len(made.server.questions)


class TestTargets:
    def test_get_the_first_key_and_every_later_one(self, world: Callable, tmp_path: Path) -> None:
        """A verified key is written to each target (4.4)."""
        path = tmp_path / "license.lic"
        made = world(targets=[path])
        made.manager.tick()
        first = path.read_text(encoding="ascii")
        made.server.will(made.renewal(expires="2026-02-14"))
        made.manager.check_now(wait=5)
        made.manager.tick()
        assert first != path.read_text(encoding="ascii")
        assert first == path.with_name("license.lic.previous").read_text(encoding="ascii")

    def test_that_fail_are_tried_every_hour(self, world: Callable, tmp_path: Path) -> None:
        """Each target is tried on its own every 60 minutes, without asking the server (4.4)."""
        path = tmp_path / "share" / "license.lic"
        made = world(targets=[path])
        made.run(until="2025-02-02T02:30")
        path.parent.mkdir()
        made.run(until="2025-02-02T02:59")
        assert not path.exists()
        made.run(until="2025-02-02T03:00")
        assert path.exists()
        assert [] == made.server.questions

    def test_are_written_again_when_that_was_interrupted(self, world: Callable) -> None:
        """Who presses Ctrl-C in the midst of a write finds the key written by the next tick."""
        written: list[str] = []

        def share(key: licfsm.LicenseKey) -> None:
            written.append(key.id)
            if len(written) == 1:
                raise KeyboardInterrupt

        made = world(targets=[share])
        with pytest.raises(KeyboardInterrupt):
            made.manager.tick()
        made.manager.tick()
        assert ["ACME-1", "ACME-1"] == written
        assert made.manager.status().targets[0].written

    def test_that_are_cancelled_are_tried_again_in_an_hour(self, world: Callable) -> None:
        """An adapter that leads to an event loop may raise what ends a task there: it failed, no more."""
        tries: list[str] = []

        def share(key: licfsm.LicenseKey) -> None:
            tries.append(key.id)
            raise asyncio.CancelledError

        made = world(targets=[share])
        made.run(until="2025-02-02T01:30")
        assert (2, ["key_installed", "install_target_failed"]) == (len(tries), made.mail.names)

    def test_of_others_are_not_waited_for_by_a_check_that_nobody_drives(self, world: Callable) -> None:
        """The call that asks by itself writes what it waits for, and nothing else."""
        written: list[str] = []

        def share(key: licfsm.LicenseKey) -> None:
            written.append(key.id)

        made = world(licenses=["ACME-1", "ACME-2"], targets=[share])
        made.install(id="ACME-2", expires="2025-02-14")
        made.manager.tick()
        written.clear()
        made.install(id="ACME-1", expires="2026-02-14")
        made.manager.tick(perform=False)
        made.server.will(made.renewal(expires="2026-02-14"))
        made.clock.move_to(made.clock.now.add(seconds=1))
        made.manager.check_now("ACME-2", wait=5)
        assert ["ACME-2"] == written
        made.manager.tick()
        assert ["ACME-2", "ACME-1"] == written

    def test_that_fail_are_told(self, world: Callable, tmp_path: Path) -> None:
        """Once per target and key, and mailed again after a day at the earliest (8.2)."""
        made = world(targets=[tmp_path / "share" / "license.lic"])
        made.run(until="2025-02-02T23:59")
        assert ["key_installed", "install_target_failed"] == made.mail.names
        made.run(until="2025-02-03T00:00")
        assert ["key_installed", "install_target_failed", "install_target_failed"] == made.mail.names

    def test_that_fail_make_the_session_a_warning(self, world: Callable) -> None:
        """The session is a Warning until all targets hold the key (4.4)."""
        refuses = True

        def target(_key: licfsm.LicenseKey) -> None:
            if refuses:
                message = "no such share"
                raise OSError(message)

        made = world(targets=[target])
        made.server.will(made.renewal(expires="2026-02-14"))
        made.manager.check_now(wait=5)
        made.manager.tick()
        assert "warning" == made.manager.sessions()[-1].result
        refuses = False
        made.run(until="2025-02-02T01:00")
        assert "success" == made.manager.sessions()[-1].result

    def test_that_the_host_no_longer_names_are_owed_nothing(
        self, world: Callable, license_world: Callable, tmp_path: Path
    ) -> None:
        """A target that is gone from the settings does not keep the session a warning forever."""
        made = world(store=tmp_path / "licenses.db", targets=[tmp_path / "share" / "license.lic"])
        made.manager.tick()
        made.manager.close()
        again = license_world("veeam-9", store=tmp_path / "licenses.db", clock=made.clock, signing=made.signing)
        again.manager.tick()
        assert () == again.manager.status().undelivered

    def test_that_the_host_names_later_get_the_installed_key(
        self, world: Callable, license_world: Callable, tmp_path: Path
    ) -> None:
        """A target that is new when a store is opened again gets the key that is installed, and the others do not."""
        paths = {"server": tmp_path / "one.lic", "manager": tmp_path / "two.lic"}
        made = world(store=tmp_path / "licenses.db", targets={"server": paths["server"]})
        made.manager.tick()
        made.manager.close()
        paths["server"].unlink()
        options = {"clock": made.clock, "signing": made.signing, "targets": paths}
        again = license_world("veeam-9", store=tmp_path / "licenses.db", **options)
        again.manager.tick()
        assert [False, True] == [path.exists() for path in paths.values()]

    def test_are_shown_with_what_they_hold(self, world: Callable, tmp_path: Path) -> None:
        """Each target has its own line: one holds the key, the other says why not, and when it is tried again."""
        made = world(targets={"server": tmp_path / "one.lic", "manager": tmp_path / "share" / "two.lic"})
        made.manager.tick()
        server, manager = made.manager.status().targets
        assert ("server", True, None, None) == (server.name, server.written, server.next_try, server.error)
        assert ("manager", False) == (manager.name, manager.written)
        assert "2025-02-02T01:00:00Z" == manager.next_try.to_iso8601_string()
        assert "the folder" in manager.error

    def test_whose_adapter_raises_are_tried_again(self, world: Callable, caplog: pytest.LogCaptureFixture) -> None:
        """A bug in a target is logged, and ends nothing."""

        class Broken:
            name = "broken"

            def write(self, _key: licfsm.LicenseKey, /) -> str | None:
                message = "a bug"
                raise RuntimeError(message)

        made = world(targets=[Broken()])
        made.manager.tick()
        assert ["broken"] == [pending.where for pending in made.manager.status().undelivered]
        assert "target broken failed" in caplog.text


class TestContract:
    """What an adapter gives that its contract does not know."""

    def test_a_key_may_come_as_signed_text(self, world: Callable) -> None:
        """A client need not verify what it was sent: the manager does."""
        made = world()
        made.server.will(licfsm.Answer("new_key", made.key(expires="2026-02-14").signed))
        assert "new_key" == made.manager.check_now(wait=5).outcome

    def test_a_client_that_verifies_by_itself_may_refuse(self, world: Callable) -> None:
        """What it raises of a key is `key_rejected`, and the next license is asked all the same."""
        made = world(licenses=["ACME-1", "ACME-2"])
        made.install(id="ACME-2", expires="2026-02-14")
        made.server.will(licfsm.KeyRejected("not ours"), "up_to_date")
        for license_id in made.manager.licenses:
            made.manager.enable_auto_update(license_id)
        made.manager.tick()
        assert ["key_rejected", "up_to_date"] == sorted(session.outcome for session in made.manager.sessions())

    def test_a_target_that_returns_something_else_failed(self, world: Callable) -> None:
        """The number of bytes is no reason, and no success: it is told, and nothing else is held up."""

        class Counting:
            name = "counting"

            def write(self, key: licfsm.LicenseKey, /) -> int:
                return len(key.signed)

        made = world(targets=[Counting()])
        made.manager.enable_auto_update()
        made.manager.tick()
        (pending,) = made.manager.status().undelivered
        assert "Scheduled" == made.manager.status().auto_update
        assert "the adapter broke its contract: it returned" in pending.error

    def test_a_channel_that_returns_something_else_failed(self, world: Callable) -> None:
        """True is no reason: the notice waits, as after any failure, and is not sent at every tick."""
        made = world()
        sent: list[str] = []
        made.mail.deliver = lambda notice: sent.append(notice.id) is None
        for _ in range(5):
            made.manager.tick()
        (pending,) = made.manager.status().undelivered
        assert ("the adapter broke its contract: it returned True", 1) == (pending.error.partition(";")[0], len(sent))

    def test_a_target_that_wants_to_end_the_host_is_tried_again(self, license_world: Callable) -> None:
        """It ends nothing, and has another try after 60 minutes (4.4), with its reason in one clean line."""
        tries = []

        def write(_key: licfsm.LicenseKey) -> None:
            tries.append(True)
            if len(tries) == 1:
                sys.exit("it\n\x1b[31mends")

        made = license_world("veeam-9", start="2025-02-01", targets={"callback": write})
        made.install(expires="2025-12-31")
        made.run(until="2025-02-01T00:59")
        (target,) = made.manager.status().targets
        assert (False, "the target's adapter failed: SystemExit: it [31mends") == (target.written, target.error)
        made.run(until="2025-02-01T01:00")
        assert [True] * 2 == tries
        assert made.manager.status().targets[0].written

    def test_the_reason_of_a_target_is_to_be_seen(self, world: Callable, tmp_path: Path) -> None:
        """What waits for a target says why."""
        made = world(targets=[tmp_path / "share" / "license.lic"])
        made.manager.tick()
        (pending,) = made.manager.status().undelivered
        assert "the folder" in pending.error


class TestShares:
    def test_a_slow_server_holds_up_no_mail(self, world: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
        """Server, targets and each channel get one call at least in every tick."""
        monkeypatch.setattr("licfsm.host.performer.LONGEST", 1e-9)
        made = world(licenses=["ACME-1", *(f"L-{number}" for number in range(3))])
        made.server.will("connection_failed")
        for license_id in made.manager.licenses[1:]:
            made.install(id=license_id, expires="2026-02-14")
            made.manager.enable_auto_update(license_id)
        made.manager.tick()
        assert (1, 1) == (len(made.server.questions), len(made.mail.notices))

    def test_who_waits_longest_is_asked_first(self, world: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
        """With a call a tick, every license has its turn before any is asked again."""
        monkeypatch.setattr("licfsm.host.performer.LONGEST", 1e-9)
        made = world(licenses=["ACME-1", "A", "B"])
        made.server.will("connection_failed")
        for license_id in ("A", "B"):
            made.install(id=license_id, expires="2026-02-14")
            made.manager.enable_auto_update(license_id)
        for _ in range(2):
            made.manager.tick()
            made.clock.move_to(made.clock.now.add(hours=2))
        assert ["A", "B"] == [question.key.id for question in made.server.questions]
