"""Notices go by mail through a real mail server, and are read back from the mailbox of whom they are for."""

import logging
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from mta import MailServer, missing, told

from licfsm.adapters.key_pairs import SigningKey
from licfsm.adapters.mail import Mail
from licfsm.ports import Answer, Notice
from licfsm.testing import LicenseWorld, ManualClock, ScriptedServer

ADMIN, SECOND, STRANGER = "admin@example.com", "second@example.com", "stranger@example.com"
Make = Callable[..., LicenseWorld]

_lacks = missing()
pytestmark = [pytest.mark.long, pytest.mark.skipif(_lacks is not None, reason=str(_lacks))]


@pytest.fixture
def mta(tmp_path: Path) -> Iterator[MailServer]:
    """Make a mail server, which does not run yet; it is ended after the test."""
    server = MailServer(tmp_path / "mta", known=[ADMIN, SECOND])
    try:
        yield server
    finally:
        server.stop()


def mail_to(mta: MailServer, *recipients: str, **options: Any) -> Mail:  # noqa: ANN401 - passed on as they are
    """Make a mail adapter for the mail server, by STARTTLS; for the administrator unless told otherwise."""
    usual: dict[str, Any] = {"sender": "licfsm@example.com", "ca": mta.ca, "host_name": "backup01"}
    return Mail("localhost", port=mta.port, recipients=recipients or [ADMIN], **usual | options)


def text(message: EmailMessage) -> str:
    content: str = message.get_content()
    return content


def ids(messages: list[EmailMessage]) -> list[str]:
    return [message["Message-ID"] for message in messages]


def waiting(world: LicenseWorld) -> list[tuple[str, int]]:
    """Say what waits: the channel, and how many notices."""
    return [(pending.where, pending.count) for pending in world.manager.status().undelivered]


# -------------------------------------------------------------------------------------------------- what arrives


def test_a_failure_arrives_with_its_headers_and_its_words(mta: MailServer, license_world: Make) -> None:
    """Message-ID, Date, From, To, Subject and text are those of the notice, letters beyond ASCII too."""
    mta.start()
    mail = mail_to(mta, ADMIN, f"Zweite Wächterin <{SECOND}>", sender="Lizenzen für Köln <licfsm@example.com>")
    server = ScriptedServer(Answer("connection_failed", detail="»lizenz.müller.example« schweigt – 漢字 🔑"))
    world = license_world("veeam-9", start="2025-02-01T09:30", server=server, mail=mail)
    world.install(expires="2025-12-31")
    world.manager.enable_auto_update()
    world.run(until="2025-02-01T09:30")
    _, failure = mta.mailbox()
    (notice,) = [each for each in world.manager.notices() if each.name == "update_failed" and each.channel == "mail"]
    assert notice.text.endswith("»lizenz.müller.example« schweigt – 漢字 🔑")
    assert f"<{notice.id}.licfsm@example.com>" == failure["Message-ID"]
    assert "2025-02-01T09:30:00+00:00" == failure["Date"].datetime.isoformat()
    assert "Lizenzen für Köln <licfsm@example.com>" == failure["From"]
    assert f"{ADMIN}, Zweite Wächterin <{SECOND}>" == failure["To"]
    assert f"[ACME-1] {notice.text}" == failure["Subject"]
    assert notice.text == text(failure).splitlines()[0]
    assert ids(mta.mailbox("admin")) == ids(mta.mailbox("second"))


def test_a_notice_that_is_delivered_twice_has_one_message_id(mta: MailServer) -> None:
    """Killed between the server's answer and its record, a mail goes out twice, and under the same id (7.4)."""
    mta.start()
    mail = mail_to(mta)
    notice = Notice("ACME-1.7.1739491200000", "ACME-1", "update_failed", "warning", "It failed", 1739491200000)
    assert [None, None] == [mail.deliver(notice), mail.deliver(notice)]
    assert ["<ACME-1.7.1739491200000.licfsm@example.com>"] * 2 == ids(mta.mailbox())


# -------------------------------------------------------------------------------------------------- while it is down


def test_a_day_without_the_mail_server_loses_and_doubles_nothing(mta: MailServer, license_world: Make) -> None:
    """One mail a cause arrives, in order: the first failure, one a day later, one of another kind, the recovery.

    By 8.2 with ``on_change``: it fails at each hour from 02-01 00:00 to 02-02 00:00, which is 25 times. The first one
    is mailed, and the first one at least 24 hours after that, which is the last one. That of 01:00 is of another kind;
    it asks again 24 hours later, and is well.
    """
    server = ScriptedServer(*["connection_failed"] * 25, "generation_failed", "up_to_date")
    world = license_world("veeam-9", start="2025-02-01", server=server, mail=mail_to(mta), mail_repeat="on_change")
    world.install(expires="2025-12-31")
    world.manager.enable_auto_update()
    world.run(until="2025-02-02T01:00")
    assert (26, [("mail", 4)]) == (len(server.questions), waiting(world))
    assert [] == mta.mailbox()
    mta.start()
    world.run(until="2025-02-05")
    arrived = mta.mailbox()
    assert [
        "02-01T00:00 ACME-1 key_installed",
        "02-01T00:00 ACME-1 update_failed",
        "02-02T00:00 ACME-1 update_failed",
        "02-02T01:00 ACME-1 update_failed",
        "02-03T01:00 ACME-1 recovered",
    ] == [told(message) for message in arrived]
    assert 5 == len(set(ids(arrived)))
    assert [] == waiting(world)


def test_a_server_that_is_back_is_found_on_the_same_port_within_an_hour(mta: MailServer, license_world: Make) -> None:
    """What was taken before it went down stays; what came up meanwhile arrives, an hour later at the latest."""
    mta.start()
    world = license_world("veeam-9", start="2025-02-01", server=ScriptedServer("connection_failed"), mail=mail_to(mta))
    world.install(expires="2025-12-31")
    world.run(until="2025-02-01")
    mta.stop()
    world.manager.enable_auto_update()
    world.run(until="2025-02-01T05:30")
    (pending,) = world.manager.status().undelivered
    assert f"localhost port {mta.port} refused the connection" in (pending.error or "")
    assert 6 == pending.count
    mta.start()
    world.run(until="2025-02-01T06:30")
    hours = ["00", "01", "02", "03", "04", "05", "06"]
    expected = ["02-01T00:00 ACME-1 key_installed", *(f"02-01T{hour}:00 ACME-1 update_failed" for hour in hours)]
    assert expected == [told(message) for message in mta.mailbox()]
    assert 8 == len(set(ids(mta.mailbox())))


def test_what_waits_when_the_manager_is_closed_arrives_after_the_next_start(
    mta: MailServer, license_world: Make, tmp_path: Path
) -> None:
    """The same store opened again delivers what waited, each once and under the id it had."""
    kept: dict[str, Any] = {
        "store": tmp_path / "licenses.db",
        "clock": ManualClock("2025-02-01"),
        "signing": SigningKey.generate(),
        "server": ScriptedServer("connection_failed"),
        "mail": mail_to(mta),
    }
    before = license_world("veeam-9", **kept)
    before.install(expires="2025-12-31")
    before.manager.enable_auto_update()
    before.run(until="2025-02-01T02:30")
    assert [("mail", 4)] == waiting(before)
    waited = [f"<{each.id}.licfsm@example.com>" for each in before.manager.notices() if each.channel == "mail"]
    before.manager.close()
    mta.start()
    after = license_world("veeam-9", **kept)
    after.run(until="2025-02-01T03:30")
    assert [
        "02-01T00:00 ACME-1 key_installed",
        "02-01T00:00 ACME-1 update_failed",
        "02-01T01:00 ACME-1 update_failed",
        "02-01T02:00 ACME-1 update_failed",
        "02-01T03:00 ACME-1 update_failed",
    ] == [told(message) for message in mta.mailbox()]
    assert waited == ids(mta.mailbox())[:4]
    assert 5 == len(set(ids(mta.mailbox())))


# -------------------------------------------------------------------------------------------------- several licenses


def test_no_mail_of_a_license_overtakes_another_one(mta: MailServer, license_world: Make) -> None:
    """The server goes down twice, two licenses fail each hour: of each, mails arrive in the order of their causes.

    ``every_failure``, which is the default of veeam-9: ACME-1 fails at each full hour from 0 to 9, BETA-2 at each half
    one from 0 to 8; the server is up from 5 to 6 and from 7 on.
    """
    licenses = ["ACME-1", "BETA-2"]
    server = ScriptedServer("connection_failed")
    world = license_world("veeam-9", start="2025-02-01", licenses=licenses, server=server, mail=mail_to(mta))
    world.install(expires="2025-12-31")
    world.manager.enable_auto_update("ACME-1")
    world.run(until="2025-02-01T00:30")
    world.install(id="BETA-2", expires="2025-12-31")
    world.manager.enable_auto_update("BETA-2")
    world.run(until="2025-02-01T05:00")
    mta.start()
    world.run(until="2025-02-01T06:00")
    mta.stop()
    world.run(until="2025-02-01T07:00")
    mta.start()
    world.run(until="2025-02-01T09:00")
    arrived = mta.mailbox()
    assert [
        "02-01T00:00 ACME-1 key_installed",
        *(f"02-01T{hour:02}:00 ACME-1 update_failed" for hour in range(10)),
    ] == [told(message) for message in arrived if "[ACME-1]" in message["Subject"]]
    assert [
        "02-01T00:30 BETA-2 key_installed",
        *(f"02-01T{hour:02}:30 BETA-2 update_failed" for hour in range(9)),
    ] == [told(message) for message in arrived if "[BETA-2]" in message["Subject"]]
    assert 21 == len(arrived) == len(set(ids(arrived)))


# -------------------------------------------------------------------------------------------------- who is refused


def test_a_refused_recipient_keeps_no_mail_from_the_others(
    mta: MailServer, license_world: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """The others have it, so it does not wait; the log names who was refused, and what the server said."""
    mta.start()
    world = license_world("veeam-9", mail=mail_to(mta, ADMIN, STRANGER, SECOND))
    with caplog.at_level(logging.WARNING, "licfsm"):
        world.install(expires="2025-12-31")
        world.run(until="2025-02-01T00:30")
    assert ["02-01T00:00 ACME-1 key_installed"] == [told(message) for message in mta.mailbox("admin")]
    assert ["02-01T00:00 ACME-1 key_installed"] == [told(message) for message in mta.mailbox("second")]
    assert [] == mta.mailbox("stranger")
    assert [] == waiting(world)
    refused = [line.partition(" was delivered, but ")[2] for line in caplog.messages if line.startswith("mail <")]
    assert [f"localhost refused 1 of its 3 recipients: {STRANGER} (550 Invalid recipient: <{STRANGER}>)"] == refused


def test_a_mail_that_the_server_takes_for_nobody_waits_and_says_why(mta: MailServer, license_world: Make) -> None:
    """The status tells what the server said of the only recipient; once the server knows it, the mail arrives."""
    mta.start()
    world = license_world("veeam-9", mail=mail_to(mta, STRANGER))
    world.install(expires="2025-12-31")
    world.run(until="2025-02-01T00:30")
    (pending,) = world.manager.status().undelivered
    assert ("mail", 1) == (pending.where, pending.count)
    assert (
        f"localhost port {mta.port} refused every recipient: {STRANGER} "
        f"(550 Invalid recipient: <{STRANGER}>); check the addresses"
    ) == pending.error
    mta.stop()
    mta.known.add(STRANGER)
    mta.start()
    world.run(until="2025-02-01T01:30")
    assert ["02-01T00:00 ACME-1 key_installed"] == [told(message) for message in mta.mailbox("stranger")]
    assert [] == waiting(world)
