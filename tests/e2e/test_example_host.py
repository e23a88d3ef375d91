"""A host embeds licfsm as a customer's would, and lives through whole lives of its license.

License server, mail server and files are real, and so is the host's process; only the time is not, but for the last
life. Each life is worked out by hand from rules.md; the product's policy is veeam-9, mailing failures ``on_change``.
"""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from mta import MailServer, missing, told, until

from licfsm.key import LicenseKey
from licfsm.testing import ManualClock
from licfsm.web.devserver import DevServer

HERE: Final = Path(__file__).parent
ADMIN: Final = "admin@example.com"
ALL_RUN: Final = {"nightly": "runs", "replica": "runs", "tape copy": "runs", "restore": "runs"}
ONLY_FREE: Final = {"nightly": "refused", "replica": "refused", "tape copy": "runs", "restore": "runs"}
HELD: Final = {"backup server": "holds the key", "Enterprise Manager": "holds the key"}

_lacks = missing()
pytestmark = [pytest.mark.long, pytest.mark.skipif(_lacks is not None, reason=str(_lacks))]


def warned(days: str) -> dict[str, str]:
    """Say what the jobs do in the grace period (2.3, 2.4)."""
    warning = f"runs, but License key has expired, {days} of grace period remaining"
    return {"nightly": warning, "replica": warning, "tape copy": "runs", "restore": "runs"}


class World:
    """The product, its administrator's hands, and all that surrounds it.

    Args:
        folder: an empty one.
        server: the license server.
        mta: the mail server.
        start: when the product is started; None in real time.

    """

    def __init__(self, folder: Path, server: DevServer, mta: MailServer, start: str | None) -> None:
        """Start the product."""
        self.server = server
        self.mta = mta
        self._clock = ManualClock(start) if start else None
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        if self._clock:
            server.clock = self._clock.now_ms
        for name in HELD:
            (folder / name).mkdir()
        self.start()

    # ------------------------------------------------------------------------------------ the product's process

    def start(self, **settings: Any) -> None:  # noqa: ANN401 - whatever they may say
        """Start the product, with the settings it has always had unless told otherwise."""
        server, folder = self.server, self._folder
        told = {
            "store": str(folder / "licenses.db"),
            "server": server.url,
            "ca": str(server.ca),
            "trust": str(server.folder / "trust.json"),
            "targets": {name: str(self.target(name)) for name in HELD},
            "mail": {
                "server": "localhost",
                "port": self.mta.port,
                "ca": str(self.mta.ca),
                "sender": "product@example.com",
                "recipients": [ADMIN],
                "host_name": "backup01",
            },
            "clock": self._clock.now.isoformat() if self._clock else None,
        }
        path = folder / "settings.json"
        path.write_text(json.dumps(told | settings), encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "product.py"), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._clock:
            self.say("at", self._clock.now.isoformat())

    def _running(self) -> subprocess.Popen[str]:
        assert self._process, "the product does not run"
        return self._process

    def close(self) -> None:
        """Let the administrator close the product; nothing where it does not run."""
        if self._process:
            self._process.communicate(timeout=30)
            assert 0 == self._process.returncode
            self._process = None

    def kill(self) -> None:
        """Kill the product."""
        process, self._process = self._running(), None
        process.kill()
        process.communicate(timeout=30)
        assert -signal.SIGKILL == process.returncode

    def kill_while_it_asks(self, at: str) -> None:
        """Kill the product while it waits for the license server's answer, which does not come."""
        assert self._clock
        before = len(self.asked())
        self._clock.move_to(at)
        self._order("at", self._clock.now.isoformat())
        until(lambda: len(self.asked()) > before, "the license server was asked")
        self.kill()

    def end(self) -> None:
        """End the product, however it stands."""
        if self._process:
            self._process.kill()
            self._process.communicate()

    def _order(self, command: str, argument: object) -> None:
        process = self._running()
        assert process.stdin
        process.stdin.write(f"{command} {argument}\n")
        process.stdin.flush()

    def say(self, command: str, argument: object = "") -> Any:  # noqa: ANN401 - whatever it is
        """Give a command; gives the answer."""
        self._order(command, argument)
        process = self._running()
        assert process.stdout
        answered = json.loads(process.stdout.readline())
        assert "error" not in answered, answered["error"]
        return answered["answer"]

    # ------------------------------------------------------------------------------------ time, and the world

    def run(self, end: str) -> None:
        """Let time go by, through every instant at which the product has something to do."""
        assert self._clock
        while self._clock.now < ManualClock(end).now:
            due = self.say("due")
            ahead = ManualClock(due).now if due else ManualClock(end).now
            self._clock.move_to(max(self._clock.now, min(ahead, ManualClock(end).now)))
            self.say("at", self._clock.now.isoformat())

    def off_until(self, end: str) -> None:
        """Let time go by without the product, and start it."""
        assert self._clock
        self._clock.move_to(end)
        self.start()

    def do(self, command: str, argument: object = "") -> None:
        """Do something as the administrator; what it leads to at once is done."""
        self.say(command, argument)
        if self._clock:
            self.say("at", self._clock.now.isoformat())

    def install(self, key: LicenseKey) -> None:
        """Install a key as the administrator, who got it as a file."""
        path = self._folder / "from-the-vendor.lic"
        path.write_text(key.signed, encoding="ascii")
        self.do("install", path)

    def target(self, name: str) -> Path:
        """Name the file that holds the key on a target."""
        return self._folder / name / "license.lic"

    def holds(self) -> list[str]:
        """Read what key each target holds, in the order of their names."""
        return [self.target(name).read_text(encoding="ascii") for name in HELD]

    def mails(self) -> list[str]:
        """Read the administrator's mailbox: when and what, in the order in which it came."""
        return [told(message).replace(" ACME-1", "") for message in self.mta.mailbox()]

    def asked(self, stage: str = "check") -> list[str]:
        """Read in the license server's log when it was asked."""
        return [f"{ManualClock(entry.at).now:%m-%dT%H:%M}" for entry in self.server.log if entry.stage == stage]


Begin = Callable[[str | None], World]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Give what begins a life; all that runs in it is ended after the test."""
    mta = MailServer(tmp_path / "mta", known=[ADMIN])
    worlds: list[World] = []
    with DevServer() as server:

        def made(start: str | None) -> World:
            mta.start()
            folder = tmp_path / "product"
            folder.mkdir()
            worlds.append(World(folder, server, mta, start))
            return worlds[-1]

        try:
            yield made
        finally:
            for world in worlds:
                world.end()
            mta.stop()


def daily(month: int, days: range, clock: str) -> list[str]:
    """List an hour of some days."""
    return [f"{month:02}-{day:02}T{clock}" for day in days]


# -------------------------------------------------------------------------------------------------- lives


def test_a_good_year_is_a_few_mails(begin: Begin) -> None:
    """In Prague it is an hour later: 14 February ends at 23:00 UTC, and the key expires soon from 02-06T23:00 on (1.4).

    Asked at once (3.1), then at `expiring_at`, since a week would be later, then once a day at the same hour (3.2, 3.3).
    The key that the vendor makes on 10 February comes with the question of that night; the next one comes a week later.
    The product's window shows times in Prague's time.
    """
    world = begin("2025-02-01T09:00")
    assert ["Not installed", "", ONLY_FREE] == [world.say("window")[name] for name in ("license", "next check")] + [
        world.say("jobs")
    ]
    world.run("2025-02-01T09:30")
    first = world.server.issue("ACME-1", expires="2025-02-14", zone="Europe/Prague", holder="Example Works")
    world.install(first)
    assert [first.signed] * 2 == world.holds()
    world.run("2025-02-01T10:00")
    world.do("enable")
    world.run("2025-02-10T12:00")
    assert {
        "license": "Valid (5 days until expiration)",
        "auto update": "Scheduled",
        "next check": "02-11T00:00",
        "unsent": 0,
        "targets": HELD,
    } == world.say("window")
    renewed = world.server.renew("ACME-1", expires="2026-02-14")
    world.run("2025-02-12T00:00")
    assert {
        "license": "Valid (368 days until expiration)",
        "auto update": "Scheduled",
        "next check": "02-18T00:00",
        "unsent": 0,
        "targets": HELD,
    } == world.say("window")
    assert ALL_RUN == world.say("jobs")
    assert [renewed.signed] * 2 == world.holds()
    assert ["02-01T10:00", *daily(2, range(6, 11), "23:00")] == world.asked()
    assert ["02-10T23:00"] == world.asked("download")
    assert ["02-01T09:30 key_installed", "02-06T23:00 expiring", "02-10T23:00 key_installed"] == world.mails()
    entitlement = [line for line in world.say("heard") if line.split()[1] in {"NotInstalled", "Valid", "Expiring"}]
    assert "02-06T23:00 Valid > Expiring" in entitlement
    assert "02-10T23:00 Expiring > Valid" == entitlement[-1]
    world.close()


def test_a_vendor_that_makes_no_keys_ends_in_free_mode_and_a_key_by_hand_ends_that(begin: Begin) -> None:
    """Nothing is due for nobody: each failure, grace, giving up and free mode come on their days, and are told.

    The key expires on 14 February, so it expires soon from the 7th (1.4), retrying ends as many days later as February
    has, with 14 March (1.5), and grace 30 days later, with 16 March (1.6, 2.1). From the 7th the vendor cannot make
    keys, which is asked again every 24 hours (4.1) up to the deadline itself, 03-15T00:00.

    Mailed by 8.2: the failure of the 7th, the first one 24 hours later, seven of these, and then one in seven days.
    """
    world = begin("2025-02-01T09:30")
    world.install(world.server.issue("ACME-1", expires="2025-02-14"))
    world.run("2025-02-01T10:00")
    world.do("enable")
    world.run("2025-02-05T00:00")
    world.server.fault("generation_failed")
    world.run("2025-02-14T23:59")
    assert ALL_RUN == world.say("jobs")
    world.run("2025-02-15T00:00")
    assert warned("30 days") == world.say("jobs")
    assert "Expired (30 days of grace period remaining)" == world.say("window")["license"]
    world.run("2025-03-15T00:00")
    window = world.say("window")
    assert ["Expired (2 days of grace period remaining)", "AutoUpdateDisabled", ""] == [
        window[name] for name in ("license", "auto update", "next check")
    ]
    world.run("2025-03-16T12:00")
    assert warned("1 day") == world.say("jobs")
    world.mta.stop()
    world.run("2025-03-17T00:00")
    assert ONLY_FREE == world.say("jobs")
    assert ["Expired", 1] == [world.say("window")[name] for name in ("license", "unsent")]
    world.run("2025-03-18T12:00")
    world.mta.start()
    world.run("2025-03-20T09:00")
    assert "generation_failed" == world.say("check")
    assert "AutoUpdateDisabled" == world.say("window")["auto update"]
    world.run("2025-03-21T09:00")
    world.server.ok()
    sold = world.server.renew("ACME-1", expires="2026-02-14")
    world.install(sold)
    assert ALL_RUN == world.say("jobs")
    window = world.say("window")
    assert ["Valid (331 days until expiration)", "Scheduled", "03-28T09:00", 0, HELD] == list(window.values())
    world.run("2025-03-28T12:00")
    assert [sold.signed] * 2 == world.holds()
    assert [
        "02-01T10:00",
        *daily(2, range(7, 29), "00:00"),
        *daily(3, range(1, 16), "00:00"),
        "03-20T09:00",
        "03-28T09:00",
    ] == world.asked()
    failures = [*daily(2, range(7, 15), "00:00"), "02-21T00:00", "02-28T00:00", "03-07T00:00", "03-14T00:00"]
    others = [
        "02-01T09:30 key_installed",
        "02-07T00:00 expiring",
        "02-15T00:00 grace_started",
        "03-15T00:00 auto_update_disabled",
        "03-17T00:00 free_mode_entered",
        "03-21T09:00 auto_update_resumed",
        "03-21T09:00 key_installed",
    ]
    mails = world.mails()
    assert sorted([*others, *(f"{at} update_failed" for at in failures)]) == sorted(mails)
    assert [each.split()[0] for each in mails] == sorted(each.split()[0] for each in mails)
    world.close()


def test_a_contract_that_has_ended_is_given_up_at_once(begin: Begin) -> None:
    """A rental's grace is two months from 14 February (2.1), through 14 April. The server is asked no more (4.1).

    A key by hand brings the rights back, but not the automatic update, since it was no deadline that disabled it (6.5).
    """
    world = begin("2025-02-01T09:30")
    world.install(world.server.issue("ACME-1", type="rental", expires="2025-02-14"))
    world.run("2025-02-01T10:00")
    world.do("enable")
    world.server.fault("contract_terminated")
    world.run("2025-02-07T00:00")
    assert "AutoUpdateDisabled" == world.say("window")["auto update"]
    assert ALL_RUN == world.say("jobs")
    world.run("2025-04-14T23:59")
    assert warned("1 day") == world.say("jobs")
    world.run("2025-04-15T00:00")
    assert ONLY_FREE == world.say("jobs")
    world.run("2025-05-02T08:00")
    world.server.ok()
    world.install(world.server.renew("ACME-1", expires="2026-02-14"))
    assert ALL_RUN == world.say("jobs")
    assert "AutoUpdateDisabled" == world.say("window")["auto update"]
    world.run("2025-05-02T09:00")
    world.do("enable")
    assert ["Scheduled", "05-09T09:00"] == [world.say("window")[name] for name in ("auto update", "next check")]
    assert ["02-01T10:00", "02-07T00:00", "05-02T09:00"] == world.asked()
    assert [
        "02-01T09:30 key_installed",
        "02-07T00:00 auto_update_disabled",
        "02-07T00:00 expiring",
        "02-15T00:00 grace_started",
        "04-15T00:00 free_mode_entered",
        "05-02T08:00 key_installed",
    ] == sorted(world.mails())
    world.close()


def test_what_goes_wrong_with_the_server_is_mailed_in_words_that_help(begin: Begin) -> None:
    """Its certificate has expired: asked again each hour (4.1). Then another's signature: asked again after a day.

    Mailed by 8.2 as the first failure, and as one of another kind; then it is well, which is told since that was.
    """
    world = begin("2025-02-03T09:30")
    world.install(world.server.issue("ACME-1", expires="2025-12-31"))
    world.server.fault("expired_certificate")
    world.do("enable")
    world.run("2025-02-03T11:00")
    world.server.fault("wrong_key")
    world.run("2025-02-04T11:00")
    world.server.ok()
    world.run("2025-02-05T12:00")
    assert ["02-03T11:30", "02-04T11:30"] == world.asked()
    mails = world.mta.mailbox()
    assert [
        "02-03T09:30 key_installed",
        "02-03T09:30 update_failed",
        "02-03T11:30 update_failed",
        "02-04T11:30 recovered",
    ] == world.mails()
    assert re.search(r" expired on \d{4}-\d\d-\d\d; whoever runs the server must renew it", mails[1].get_content())
    assert ", whom nothing here trusts" in mails[2].get_content()
    assert 4 == len({message["Message-ID"] for message in mails})
    assert "02-11T11:30" == world.say("window")["next check"]
    world.close()


def test_a_host_that_is_killed_goes_on_where_it_was(begin: Begin) -> None:
    """Killed while the server hangs, it asks again at once, and the attempt is marked (7.3).

    It gets the new key, whose Enterprise Manager cannot be reached: the session is a warning, and the key is written at
    a later hour (4.4), though the host is killed and was off for two days between; what it missed meanwhile it makes
    good (7.2).
    """
    world = begin("2025-02-03T09:30")
    world.install(world.server.issue("ACME-1", expires="2025-12-31"))
    world.do("enable")
    world.server.fault("hang", times=1)
    renewed = world.server.renew("ACME-1", expires="2026-12-31")
    world.run("2025-02-10T09:29")
    share = world.target("Enterprise Manager").parent
    share.rename(share.with_name("away"))
    world.kill_while_it_asks("2025-02-10T09:30")
    world.start()
    assert renewed.signed == world.target("backup server").read_text(encoding="ascii")
    world.run("2025-02-10T10:00")
    window = world.say("window")
    assert ["Valid (690 days until expiration)", "Scheduled", "02-17T09:30"] == [
        window[name] for name in ("license", "auto update", "next check")
    ]
    assert "holds the key" == window["targets"]["backup server"]
    assert "holds the key" != window["targets"]["Enterprise Manager"]
    world.kill()
    world.off_until("2025-02-12T09:45")
    assert "holds the key" != world.say("window")["targets"]["Enterprise Manager"]
    share.with_name("away").rename(share)
    world.run("2025-02-12T10:45")
    assert HELD == world.say("window")["targets"]
    assert [renewed.signed] * 2 == world.holds()
    assert ["02-03T09:30", "02-10T09:30", "02-10T09:30"] == world.asked()
    first, second, third = world.say("sessions")
    assert "02-03T09:30 success: Your existing license key is up to date" == first
    assert second.startswith("02-10T09:30 ")
    assert "interrupted" in second
    assert third.startswith("02-10T09:30 success: ")
    assert [
        "02-03T09:30 key_installed",
        "02-10T09:30 install_target_failed",
        "02-10T09:30 key_installed",
        "02-12T09:45 install_target_failed",
    ] == sorted(world.mails())
    world.close()


def test_in_real_time_a_thread_drives_it(begin: Begin) -> None:
    """A trial has no grace (2.1): at its instant paid jobs are refused, with nobody's doing, and a new key ends that."""
    world = begin(None)
    last = (datetime.now(UTC) + timedelta(seconds=3)).replace(microsecond=0)
    world.install(world.server.issue("ACME-1", type="trial", expires=last))
    assert ALL_RUN == world.say("jobs")
    until(lambda: world.say("jobs") == ONLY_FREE, "the trial has ended")
    assert datetime.now(UTC) >= last
    assert "Expired" == world.say("window")["license"]
    sold = world.server.renew("ACME-1", type="subscription", expires=f"{last.year + 1}-12-31")
    assert "new_key" == world.say("check")
    assert ALL_RUN == world.say("jobs")
    until(lambda: world.say("window")["unsent"] == 0, "all is mailed")
    until(lambda: world.say("window")["targets"] == HELD, "both targets hold the key")
    assert [sold.signed] * 2 == world.holds()
    names = [mail.split()[1] for mail in world.mails()]
    assert ["key_installed", "free_mode_entered", "key_installed"] == [each for each in names if each != "expiring"]
    world.close()
