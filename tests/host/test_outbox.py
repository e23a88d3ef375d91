import logging
from collections.abc import Callable
from pathlib import Path

import pytest

import licfsm
from licfsm.ports import Refusal
from licfsm.testing import CollectingNotifier, LicenseWorld


@pytest.fixture
def world(license_world: Callable) -> Callable[..., LicenseWorld]:
    """Make a world with ACME-1 (last day 2025-02-14) and, if wanted, other licenses installed."""

    def make(*others: str, **options: object) -> LicenseWorld:
        made = license_world("veeam-9", **{"start": "2025-02-01", "licenses": ["ACME-1", *others]} | options)
        for license_id in made.manager.licenses:
            made.install(id=license_id, expires="2025-02-14")
        return made

    return make


def waiting(made: LicenseWorld, channel: str = "mail") -> int:
    """Count what waits on a channel, of ACME-1."""
    return sum(pending.count for pending in made.manager.status("ACME-1").undelivered if pending.where == channel)


class Picky(CollectingNotifier):
    """Takes no notice about one license."""

    refused = "ACME-1"

    def deliver(self, notice: licfsm.Notice, /) -> str | None:
        """Refuse what is about that license."""
        return "mailbox is full" if notice.license == self.refused else super().deliver(notice)


class TestOrder:
    def test_of_a_license_is_kept(self, world: Callable) -> None:
        """What came about first is delivered first, also after an outage."""
        made = world()
        made.mail.down = "mail server is down"
        made.run(until="2025-02-16")
        assert [] == made.mail.names
        made.mail.down = None
        made.run(until="2025-02-17")
        assert ["key_installed", "expiring", "grace_started"] == made.mail.names

    def test_of_one_license_does_not_hold_up_another(self, world: Callable) -> None:
        """A message that is refused makes only those of its own license wait."""
        made = world("ACME-2", mail=Picky())
        made.run(until="2025-02-08")
        assert {"ACME-2"} == {notice.license for notice in made.mail.notices}
        assert ["key_installed", "expiring"] == made.mail.names
        assert 2 == waiting(made)

    def test_of_one_channel_does_not_hold_up_another(self, world: Callable, caplog: pytest.LogCaptureFixture) -> None:
        """While mail is down the log goes on."""
        caplog.set_level(logging.INFO, "licfsm.notices")
        made = world()
        made.mail.down = "mail server is down"
        made.run(until="2025-02-08")
        told = [record.notice for record in caplog.records if record.name == "licfsm.notices"]
        assert ["key_installed", "expiring"] == told


class TestRetry:
    def test_waits_longer_each_time(self, world: Callable) -> None:
        """After 1, 2, 4, ... minutes, and at most an hour."""
        made = world()
        tried: list[int] = []

        def refuse(notice: licfsm.Notice) -> str:
            tried.append((made.clock.now_ms() - notice.at) // 60_000)
            return "mail server is down"

        made.mail.deliver = refuse
        made.run(until="2025-02-01T04:30")
        assert [0, 1, 3, 7, 15, 31, 63, 123, 183, 243] == tried

    def test_goes_on_until_it_succeeds(self, world: Callable) -> None:
        """A day later the same notice arrives, under its id, once."""
        made = world()
        made.mail.down = "mail server is down"
        made.run(until="2025-02-02")
        (pending,) = made.manager.status().undelivered
        assert ("mail", 1, "mail server is down") == (pending.where, pending.count, pending.error)
        made.mail.down = None
        made.run(until="2025-02-02T01:00")
        assert [("ACME-1.1.1738368000000", 1738368000000)] == [(notice.id, notice.at) for notice in made.mail.notices]
        assert () == made.manager.status().undelivered

    def test_ends_after_a_day_where_the_notice_itself_is_refused(
        self, world: Callable, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A filter that does not like one mail does not keep back the license's later ones for ever; the log tells.

        It is tried for a day: 30 times, which come 0, 1, 3, 7, 15, 31, 63 minutes after the notice, then hourly.
        """
        made = world()
        deliver = made.mail.deliver

        def refuse_one(notice: licfsm.Notice) -> str | None:
            return Refusal("554 looks like spam") if notice.name == "key_installed" else deliver(notice)

        made.mail.deliver = refuse_one
        made.run(until="2025-02-02T00:02")
        assert 1 == waiting(made)
        made.run(until="2025-02-08")
        first = next(notice for notice in made.manager.notices() if notice.channel == "mail")
        assert (None, 30, "given up: 554 looks like spam") == (first.delivered, first.attempts, first.error)
        assert ["expiring"] == made.mail.names
        assert "notice ACME-1.1.1738368000000 is given up on channel mail: 554 looks like spam" in caplog.text

    def test_does_not_end_where_the_server_was_down_before_the_notice_was_refused(self, world: Callable) -> None:
        """What nobody had the chance to refuse is no refusal: the day begins with the first one."""
        made = world()
        made.mail.down = "mail server is down"
        made.run(until="2025-02-03")
        made.mail.down = None
        made.mail.deliver = lambda _notice: Refusal("554 looks like spam")
        made.run(until="2025-02-03T12:00")
        assert 1 == waiting(made)

    def test_leaves_a_channel_alone_that_fails_for_everybody(self, world: Callable) -> None:
        """After three failures in a row a channel is thought to be down: a hundred licenses do not try each."""
        made = world(*(f"L-{number}" for number in range(100)))
        tried: list[str] = []

        def refuse(notice: licfsm.Notice) -> str:
            tried.append(notice.license)
            return "mail server is down"

        made.mail.deliver = refuse
        made.manager.tick()
        assert 3 == len(tried)

    def test_after_a_clock_set_back_does_not_wait_for_the_old_time(self, world: Callable) -> None:
        """A time told by a clock that was wrong is forgotten."""
        made = world()
        made.clock.set_to("2026-02-01")
        made.mail.down = "mail server is down"
        made.manager.tick()
        made.clock.set_to("2025-02-01T00:01")
        made.mail.down = None
        made.manager.tick()
        assert 0 == waiting(made)

    def test_after_a_restart_does_not_wait_for_the_time_of_a_clock_set_back(
        self, world: Callable, license_world: Callable, tmp_path: Path
    ) -> None:
        """A clock set back before the host was closed makes no mail wait for the days between."""
        made = world(store=tmp_path / "licenses.db", start="2025-02-10")
        made.mail.down = "mail server is down"
        made.manager.tick()
        made.clock.set_to("2025-01-10")
        made.manager.close()
        again = license_world("veeam-9", store=tmp_path / "licenses.db", clock=made.clock, signing=made.signing)
        again.manager.tick()
        assert ["key_installed", "clock_went_back"] == [name for name in again.mail.names if name != "expiring"]

    @pytest.mark.parametrize(
        ("kind", "told"), [(OSError, "OSError: no such host"), (SystemExit, "SystemExit: no such host")]
    )
    def test_counts_an_adapter_that_raises_as_a_failure(
        self, world: Callable, caplog: pytest.LogCaptureFixture, kind: type[BaseException], told: str
    ) -> None:
        """What an adapter raises is logged and shown, and the notice waits; it may not end the host, either."""
        made = world()

        def fail(_notice: licfsm.Notice) -> None:
            message = "no such host"
            raise kind(message)

        made.mail.deliver = fail
        made.manager.tick()
        (pending,) = made.manager.status().undelivered
        assert f"the adapter of channel mail failed: {told}" == pending.error
        assert "the adapter of channel mail failed" in caplog.text


class TestSurvival:
    def test_of_what_waits_over_a_restart(self, world: Callable, license_world: Callable, tmp_path: Path) -> None:
        """Outstanding notices survive (7.4)."""
        made = world(store=tmp_path / "licenses.db")
        made.mail.down = "mail server is down"
        made.manager.tick()
        made.manager.close()
        made.clock.move_to("2025-02-01T02:00")
        again = license_world("veeam-9", store=tmp_path / "licenses.db", clock=made.clock, signing=made.signing)
        again.manager.tick()
        assert ["ACME-1.1.1738368000000"] == [notice.id for notice in again.mail.notices]

    def test_of_what_waits_over_the_retention(self, world: Callable) -> None:
        """What is old is removed, but never what was not delivered, nor the last failure."""
        made = world(keep="30 days")
        made.server.will("generation_failed", "up_to_date")
        made.manager.check_now(wait=5)
        made.mail.down = "mail server is down"
        made.run(until="2025-06-01")
        assert ["generation_failed"] == [session.outcome for session in made.manager.sessions()]
        assert ["expiring", "grace_started", "free_mode_entered"] == [
            notice.name for notice in made.manager.notices() if notice.channel == "mail"
        ]
        assert {"mail"} == {notice.channel for notice in made.manager.notices()}


class TestWithoutMail:
    def test_nothing_is_mailed(self, license_world: Callable) -> None:
        """Without mail settings, report and log tell everything (8.2)."""
        made = license_world("veeam-9")
        manager = licfsm.LicenseManager.open(":memory:", policy="veeam-9", trust=made.signing.public, clock=made.clock)
        manager.install(made.key(expires="2025-02-14").signed)
        assert ["report", "log"] == [notice.channel for notice in manager.notices()]
        manager.close()

    def test_how_often_failures_are_mailed_is_the_hosts_choice(self, license_world: Callable) -> None:
        """`on_change` over any policy: the first failure, and not each day's (8.2)."""
        made = license_world("veeam-9", mail_repeat="on_change")
        made.install(expires="2026-02-14")
        made.server.will("connection_failed")
        made.manager.enable_auto_update()
        made.run(until="2025-02-01T12:00")
        assert (13, ["key_installed", "update_failed"]) == (len(made.server.questions), made.mail.names)
