import base64
import contextlib
import datetime as dt
import email
import logging
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from hypothesis import given
from hypothesis import strategies as st
from mailserver import serving

from licfsm.adapters import smtp as smtp_module
from licfsm.adapters.mail import Mail, Sent
from licfsm.errors import InvalidValue
from licfsm.key import clean_text
from licfsm.ports import Notice, Notifier, Refusal

HOST = "127.0.0.1"
AT = 1739491200000
NOTICE = Notice("ACME-1.7.1739491200000", "ACME-1", "update_failed", "warning", "License key auto-update failed", AT)
WHOM: dict[str, Any] = {"sender": "licfsm@example.com", "recipients": ["admin@example.com"]}
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # TLS is there before aiosmtpd
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, or at how Linux fills a backlog")


def notice(**changes: Any) -> Notice:  # noqa: ANN401 - passed on as they are
    """Make the notice that is sent, with other words."""
    return attrs.evolve(NOTICE, **changes)


def mail_to(port: int, server: str = HOST, **options: Any) -> Mail:  # noqa: ANN401 - passed on as they are
    """Make a mail adapter for a server on loopback; in plain text unless told otherwise."""
    usual: dict[str, Any] = {**WHOM, "port": port, "security": "none", "deadline": 20, "host_name": "backup01"}
    return Mail(server, **{**usual, **options})


# ---------------------------------------------------------------------------------------------- a real server


class Box:
    """Keeps what a server takes; refuses the recipients it is told to."""

    def __init__(self) -> None:
        """Begin with no mail."""
        self.envelopes: list[Envelope] = []
        self.refused: tuple[str, ...] = ()
        self.later: list[str] = []
        self.most = 100
        self.logins: list[tuple[bytes, bytes]] = []

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take a recipient, or refuse it."""
        if address in self.refused:
            return "550 5.1.1 no such\x07 user"
        if address in self.later:
            self.later.remove(address)
            return "450 4.7.1 greylisted"
        if len(envelope.rcpt_tos) == self.most:
            return "452 4.5.3 too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - likewise
        """Keep a mail."""
        self.envelopes.append(envelope)
        return "250 OK"

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, given: object
    ) -> AuthResult:
        """Let in whoever has the password."""
        assert isinstance(given, LoginPassword)
        self.logins.append((given.login, given.password))
        return AuthResult(success=given.password in {b"secret", "gehé\u00ebim".encode()}, handled=False)

    @property
    def mails(self) -> list[EmailMessage]:
        """Read what was taken."""
        return [read(content(each)) for each in self.envelopes]


def content(envelope: Envelope) -> bytes:
    """Give the bytes of a mail as they came."""
    assert isinstance(envelope.content, bytes)
    return envelope.content


def read(data: bytes) -> EmailMessage:
    """Read a mail as its recipients do."""
    message = email.message_from_bytes(data, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def body(message: EmailMessage) -> str:
    """Give the text of a mail; a line of a mail ends in CR LF."""
    text: str = message.get_content()
    return text.replace("\r\n", "\n")


@pytest.fixture
def box() -> Box:
    """Make a mailbox."""
    return Box()


@pytest.fixture
def plain(box: Box) -> Iterator[int]:
    """Run a server without TLS."""
    with serving(box, enable_SMTPUTF8=False) as port:
        yield port


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Make an authority."""
    return trustme.CA()


@pytest.fixture(scope="module")
def pem(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the authority's certificate."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


def context(authority: trustme.CA, *names: str, **options: Any) -> ssl.SSLContext:  # noqa: ANN401 - passed on as they are
    """Make what a server has for TLS."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(names or (HOST,)), **options).configure_cert(made)
    return made


@pytest.fixture(params=["starttls", "tls"])
def secured(request: pytest.FixtureRequest, box: Box, authority: trustme.CA) -> Iterator[tuple[int, str]]:
    """Run a server that wants TLS and a login; gives its port and its kind of security."""
    kind = request.param
    with secure_server(kind, box, context(authority), auth_required=True, authenticator=box.authenticate) as port:
        yield port, kind


def secure_server(kind: str, box: Box, tls: ssl.SSLContext, **options: Any) -> contextlib.AbstractContextManager[int]:  # noqa: ANN401 - passed on as they are
    """Run a server with TLS of a kind."""
    if kind == "tls":
        return serving(box, implicit=tls, auth_require_tls=False, **options)
    return serving(box, tls_context=tls, require_starttls=True, **options)


# ---------------------------------------------------------------------------------------------- a faulty server

Reply = bytes | Callable[[socket.socket, threading.Event], None] | None
USUAL: dict[str, Reply] = {
    "": b"220 mx.example.com ESMTP",
    "EHLO": b"250-mx.example.com\r\n250-AUTH PLAIN\r\n250 8BITMIME",
    "HELO": b"250 mx.example.com",
    "AUTH": b"235 ok",
    "MAIL": b"250 ok",
    "RCPT": b"250 ok",
    "DATA": b"354 go on",
    ".": b"250 taken",
    "RSET": b"250 ok",
    "QUIT": b"221 bye",
}


class Faulty:
    """Answers each command as it is told to; None closes the connection."""

    def __init__(self, replies: Mapping[str, Reply]) -> None:
        """Listen, and answer the connections one after another."""
        self._replies = USUAL | dict(replies)
        self.heard: list[str] = []
        self.ended = threading.Event()
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        while not self.ended.is_set():
            connection, _ = self._listener.accept()
            with connection, contextlib.suppress(OSError):
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            command = ""
            while True:
                reply = self._replies.get(command, b"502 what?")
                if callable(reply):
                    reply(connection, self.ended)
                    return
                if reply is None:
                    return
                connection.sendall(reply + b"\r\n")
                content = command == "DATA" and reply.startswith(b"3")
                for line in lines:
                    self.heard.append(line.decode("utf-8", "replace").rstrip("\r\n"))
                    if not content or line == b".\r\n":
                        break
                else:
                    return
                command = self.heard[-1].partition(" ")[0].upper()

    def close(self) -> None:
        """Stop listening."""
        self.ended.set()
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port)):
            pass
        self._thread.join(20)
        self._listener.close()


@contextlib.contextmanager
def faulty(**replies: Reply) -> Iterator[Faulty]:
    """Run a faulty server; ``greeting`` and ``end`` are what comes first, and what follows the mail's last dot."""
    names = {"greeting": "", "end": "."}
    server = Faulty({names.get(name, name.upper()): reply for name, reply in replies.items()})
    try:
        yield server
    finally:
        server.close()


def drip(connection: socket.socket, ended: threading.Event) -> None:
    """Send a byte every hundredth of a second, and never end the line."""
    while not ended.wait(0.01):
        connection.sendall(b"2")


def hang(_: socket.socket, ended: threading.Event) -> None:
    """Say nothing until the server is closed."""
    ended.wait(20)


def reset(connection: socket.socket, _: threading.Event) -> None:
    """Cut the connection off hard."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


# ---------------------------------------------------------------------------------------------- the mail


class TestMessage:
    @pytest.fixture
    def sent(self, box: Box, plain: int) -> Callable[..., EmailMessage]:
        """Send a notice, and read what arrived."""

        def send(given: Notice = NOTICE, **options: Any) -> EmailMessage:  # noqa: ANN401 - passed on as they are
            assert mail_to(plain, **options).deliver(given) is None
            return box.mails[-1]

        return send

    def test_is_a_notifier(self) -> None:
        """A manager takes it for its mail."""
        assert isinstance(Mail("smtp.example.com", **WHOM), Notifier)

    def test_has_these_headers(self, sent: Callable[..., EmailMessage]) -> None:
        """The headers tell who, whom, what, when, and that nobody should answer automatically."""
        headers = {
            "From": "License Manager <licfsm@example.com>",
            "To": "admin@example.com, Ops <ops@example.com>",
            "Subject": "[ACME-1] License key auto-update failed",
            "Date": "Fri, 14 Feb 2025 00:00:00 +0000",
            "Message-ID": "<ACME-1.7.1739491200000.licfsm@example.com>",
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "All",
            "Content-Type": 'text/plain; charset="utf-8"',
            "Content-Transfer-Encoding": "7bit",
            "MIME-Version": "1.0",
        }
        message = sent(
            sender="License Manager <licfsm@example.com>", recipients=["admin@example.com", "Ops <ops@example.com>"]
        )
        assert headers == {name: str(value) for name, value in message.items() if name != "X-Peer"}

    def test_says_what_happened(self, sent: Callable[..., EmailMessage]) -> None:
        """The body tells what happened to which license, when, and on which machine."""
        assert (
            "License key auto-update failed\n"
            "\n"
            "License  ACME-1\n"
            "Notice   update_failed (warning)\n"
            "When     2025-02-14T00:00:00+00:00\n"
            "Host     backup01\n"
            "\n"
            "Sent by licfsm, which looks after the licenses on this host.\n"
        ) == body(sent())

    def test_has_the_same_id_again(self, box: Box, plain: int) -> None:
        """A notice that is delivered again is the same mail."""
        mail = mail_to(plain)
        mail.deliver(NOTICE)
        mail.deliver(notice(text="in other words"))
        assert ["<ACME-1.7.1739491200000.licfsm@example.com>"] * 2 == [each["Message-ID"] for each in box.mails]

    @pytest.mark.parametrize("license_id", [".A", "A.", "A..B", "A" * 200, "A b", "<A>", "A\r\nBcc: x", "é", "\ud800"])
    def test_has_an_id_whatever_the_notices(self, license_id: str) -> None:
        """An id that has no place in a Message-ID is told by its digest."""
        message = mail_to(25).compose(notice(id=license_id))
        assert re.fullmatch(r"<~[0-9a-f]{40}\.licfsm@example\.com>", message["Message-ID"])

    def test_goes_to_all(self, box: Box, plain: int) -> None:
        """Every recipient is in the envelope, once."""
        mail_to(plain, recipients=["a@example.com", "B <b@example.com>", "A <a@example.com>"]).deliver(NOTICE)
        assert ("licfsm@example.com", ["a@example.com", "b@example.com"]) == (
            box.envelopes[0].mail_from,
            box.envelopes[0].rcpt_tos,
        )

    def test_brings_every_letter(self, sent: Callable[..., EmailMessage]) -> None:
        """What is beyond ASCII arrives, in the subject, in names and in the body."""
        message = sent(
            notice(text="Müller, 東京: 🔑"), recipients=["Jürgen Müller <j@example.com>"], host_name="büro-東京"
        )
        assert ("[ACME-1] Müller, 東京: 🔑", "Jürgen Müller <j@example.com>", True, True) == (
            message["Subject"],
            message["To"],
            "Müller, 東京: 🔑\n" in body(message),
            "Host     büro-東京\n" in body(message),
        )

    @pytest.mark.parametrize("text", ["é", "x" * 500, "é" * 500, "=" * 300])
    def test_is_in_seven_bits(self, box: Box, plain: int, text: str) -> None:
        """No server needs more than SMTP's first standard: short lines of ASCII."""
        mail_to(plain).deliver(notice(text=text))
        lines = content(box.envelopes[0]).split(b"\r\n")
        assert (True, True) == (max(map(len, lines)) < 100, all(line.isascii() for line in lines))

    def test_keeps_lines_that_begin_with_a_dot(self, sent: Callable[..., EmailMessage]) -> None:
        """A dot at the beginning of a line is text, also alone."""
        assert ".\n..\n.x\nFrom here\n" == body(sent(body=".\n..\n.x\nFrom here\n"))

    def test_keeps_long_lines(self, sent: Callable[..., EmailMessage]) -> None:
        """A line longer than a mail's may be arrives whole."""
        assert f"{'word ' * 400}\n" == body(sent(body=f"{'word ' * 400}\n"))

    def test_cuts_a_long_subject(self, sent: Callable[..., EmailMessage]) -> None:
        """A subject has at most 150 characters; the body has all of them."""
        message = sent(notice(text="x" * 400))
        assert (f"[ACME-1] {'x' * 140}…", True) == (message["Subject"], "x" * 400 in body(message))

    def test_fills_in_every_field(self, sent: Callable[..., EmailMessage]) -> None:
        """Subject and body may name each field; $$ is a dollar sign."""
        fields = "$$ $license ${name} $level $text $at $host"
        message = sent(subject=fields, body=fields)
        told = "$ ACME-1 update_failed warning License key auto-update failed 2025-02-14T00:00:00+00:00 backup01"
        assert (told, f"{told}\n") == (message["Subject"], body(message))

    @pytest.mark.parametrize(
        "text",
        [
            "a\r\nBcc: evil@example.com",
            "a\n\nevil",
            "a\u2028Bcc: evil@example.com",
            "=?utf-8?q?a=0D=0ABcc:_evil@example.com?=",
            "=?utf-8?b?YQ0KQmNjOiBldmlsQGV4YW1wbGUuY29t?=",
            "a\r\n.\r\nMAIL FROM:<evil@example.com>",
        ],
    )
    def test_lets_no_text_be_a_header(self, box: Box, sent: Callable[..., EmailMessage], text: str) -> None:
        """Whatever a text has in it, it is one mail, to whom it was to go, with its own headers."""
        message = sent(notice(text=text, license=text, name=text, level=text), subject="$license $name $level $text")
        assert (1, ["admin@example.com"], False) == (len(box.envelopes), box.envelopes[0].rcpt_tos, "Bcc" in message)

    @pytest.mark.parametrize("text", ["=?utf-8?q?a?=", "é =?utf-8?q?a?=", "=?utf-8?b?YQ==?= =?utf-8?b?YQ==?="])
    def test_lets_no_text_pass_for_another(self, sent: Callable[..., EmailMessage], text: str) -> None:
        """What looks like an encoded word is shown as it is."""
        assert f"[ACME-1] {text}" == sent(notice(text=text))["Subject"]

    def test_lets_no_text_add_a_line(self, sent: Callable[..., EmailMessage]) -> None:
        """In the body a text is one line, without control characters, of at most 500."""
        assert f"a.b{'x' * 497}\n" == body(sent(notice(text="a\x1b\r\n.b" + "x" * 600), body="$text\n"))

    @given(
        text=st.text(),
        name=st.text(),
        license_id=st.text(),
        level=st.text(),
        notice_id=st.text(),
        at=st.integers(0, 250_000_000_000_000),
    )
    def test_has_these_headers_whatever_it_says(
        self, text: str, name: str, license_id: str, level: str, notice_id: str, at: int
    ) -> None:
        """No text of a notice adds a header, takes one away, or changes to whom it goes."""
        mail = mail_to(25, subject="$license $name $level $text")
        message = read(mail.compose(Notice(notice_id, license_id, name, level, text, at)).as_bytes())
        cleaned = " ".join(clean_text(each) for each in (license_id, name, level, text))
        subject = " ".join(clean_text(cleaned).split())
        assert (
            [
                "From",
                "To",
                "Subject",
                "Date",
                "Message-ID",
                "Auto-Submitted",
                "X-Auto-Response-Suppress",
                "Content-Type",
                "Content-Transfer-Encoding",
                "MIME-Version",
            ],
            ("admin@example.com",),
            subject if len(subject) <= 150 else f"{subject[:149]}…",
        ) == (message.keys(), tuple(each.addr_spec for each in message["To"].addresses), message["Subject"])


class TestAddresses:
    def test_an_international_domain(self, box: Box, plain: int) -> None:
        """A domain of any letters is sent to as DNS has it; every server understands that."""
        mail_to(plain, recipients=["admin@bücher.example"]).deliver(NOTICE)
        assert ["admin@xn--bcher-kva.example"] == box.envelopes[0].rcpt_tos

    def test_an_international_name(self, box: Box) -> None:
        """A server that knows SMTPUTF8 takes any letters before the @."""
        with serving(box, enable_SMTPUTF8=True) as port:
            assert mail_to(port, recipients=["Jürgen <jürgen@example.com>"]).deliver(NOTICE) is None
        assert (["jürgen@example.com"], "Jürgen <jürgen@example.com>") == (
            box.envelopes[0].rcpt_tos,
            box.mails[0]["To"],
        )

    def test_an_international_name_that_the_server_cannot_take(self, plain: int) -> None:
        """Any other server cannot; the reason says so."""
        assert (
            f"127.0.0.1 port {plain} offers no way for addresses with letters beyond ASCII (SMTPUTF8); "
            "use other addresses, or another server"
        ) == mail_to(plain, sender="jürgen@example.com").deliver(NOTICE)

    @pytest.mark.parametrize(
        ("address", "header"),
        [
            ("a@example.com", "a@example.com"),
            (" a@example.com ", "a@example.com"),
            ("<a@example.com>", "a@example.com"),
            ("a+b.c@localhost", "a+b.c@localhost"),
            ('"Doe, John" <j@example.com>', '"Doe, John" <j@example.com>'),
            ("Doe, John <j@example.com>", '"Doe, John" <j@example.com>'),
            (Address("A", "a", "example.com"), "A <a@example.com>"),
        ],
    )
    def test_takes_what_is_one(self, address: str | Address, header: str) -> None:
        """An address may stand alone, or behind a name."""
        assert header == str(Mail("smtp.example.com", sender=address, recipients=[address]).sender)

    @pytest.mark.parametrize("argument", ["sender", "recipients"])
    @pytest.mark.parametrize(
        ("address", "reason"),
        [
            ("", "'' is no mail address; write admin@example.com or Name <admin@example.com>"),
            ("admin", "is no mail address"),
            ("@example.com", "is no mail address"),
            ("admin@", "is no mail address"),
            ("a@b@example.com", "is no mail address"),
            ("a..b@example.com", "is no mail address"),
            ("a b@example.com", "is no mail address"),
            ("a@exa mple.com", "is no mail address"),
            ("a@-example.com", "is no mail address"),
            (f"a@{'ü' * 70}.com", "is no mail address"),
            (f"{'a' * 65}@example.com", "is no mail address"),
            ("a@example.com, b@example.com", "is no mail address"),
            ("a@example.com <b@example.com", "is no mail address"),
            ("=?utf-8?q?a?= <a@example.com>", "is no mail address"),
            ("a@example.com\r\nBcc: b@example.com", "is no one line of at most 500 printable characters"),
            ("a\0@example.com", "is no one line of at most 500 printable characters"),
            ("A\u2028 <a@example.com>", "is no one line of at most 500 printable characters"),
            (f"{'A' * 500} <a@example.com>", "is no one line of at most 500 printable characters"),
            ("a@straße.example", "is read in two ways; write it in its xn-- form"),
            (7, "must be a mail address as text, such as admin@example.com, not a value of type int"),
        ],
    )
    def test_refuses_what_is_none(self, argument: str, address: object, reason: str) -> None:
        """What is no address, or more than one, or has control characters in it, is refused at once."""
        given: Any = {"sender": address} if argument == "sender" else {"recipients": [address]}
        with pytest.raises(InvalidValue, match=f"^{argument}: .*{re.escape(reason)}"):
            Mail("smtp.example.com", **WHOM | given)


class TestArguments:
    @pytest.mark.parametrize(("security", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
    def test_has_the_usual_port(self, security: str, port: int) -> None:
        """Each kind of security has its port."""
        assert port == Mail("smtp.example.com", **WHOM, security=security).port

    def test_begins_tls_unless_told_otherwise(self) -> None:
        """The default is no plain text."""
        assert "starttls" == Mail("smtp.example.com", **WHOM).security

    def test_names_this_machine(self) -> None:
        """The system knows this machine's name."""
        assert socket.gethostname() == Mail("smtp.example.com", **WHOM).host_name

    @pytest.mark.parametrize(
        ("given", "server"), [("::1", "::1"), ("10.0.0.1", "10.0.0.1"), ("bücher.example", "xn--bcher-kva.example")]
    )
    def test_takes_names_and_addresses(self, given: str, server: str) -> None:
        """A server is named, or told by its address."""
        assert server == Mail(given, **WHOM).server

    def test_shows_no_password(self) -> None:
        """A password is in no text about it."""
        assert "hunter2" not in repr(Mail("smtp.example.com", **WHOM, username="bob", password="hunter2"))  # noqa: S106 - of a test server

    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            ({"server": "smtp.example.com:587"}, "server: 'smtp.example.com:587' is no name or address of a machine"),
            ({"server": ""}, "server: '' is no name or address of a machine; write smtp.example.com, and the port"),
            ({"server": "a\nb"}, "server: 'ab' is no name"),
            ({"server": None}, "server: a value of type NoneType is no name"),
            ({"recipients": []}, "recipients: must be 1 to 100 addresses, not 0"),
            ({"recipients": [f"a{n}@example.com" for n in range(101)]}, "recipients: must be 1 to 100 addresses"),
            ({"recipients": "a@example.com"}, "recipients: must be a list of mail addresses.*; put it in a list"),
            ({"recipients": 7}, "recipients: must be a list of mail addresses, not a value of type int"),
            ({"security": "ssl"}, "security: must be one of starttls, tls, none, not 'ssl'"),
            ({"security": ["tls"]}, r"security: must be one of starttls, tls, none, not \['tls'\]"),
            ({"port": 0}, "port: must be a number from 1 to 65535, not 0; leave it out for the usual one"),
            ({"port": 65536}, "port: must be a number"),
            ({"port": "587"}, "port: must be a number"),
            ({"port": True}, "port: must be a number"),
            ({"username": "bob"}, "password: a login needs a username and a password; give both or neither"),
            ({"password": "x"}, "username: a login needs a username and a password"),
            ({"username": "bo\nb", "password": "x"}, "username: must be printable text"),
            ({"username": "", "password": "x"}, "username: must be printable text"),
            (
                {"username": "b", "password": "x", "security": "none"},
                "username: a password is never sent in plain text",
            ),
            ({"username": "b", "password": "a\0b"}, "password: must be text without NUL characters"),
            ({"username": "b", "password": "\ud800"}, "password: must be text without NUL characters"),
            ({"username": "b", "password": ""}, "password: must be text without NUL characters"),
            ({"username": "b", "password": 7}, "password: must be text without NUL characters"),
            ({"ca": "no/where.pem"}, "ca: 'no/where.pem' cannot be used: No such file or directory"),
            ({"ca": __file__}, "ca: '.*' cannot be used: it is no PEM file of certificates"),
            ({"ca": 7}, "ca: '7' cannot be used: it is no PEM file of certificates"),
            ({"ca": "a.pem", "security": "none"}, "ca: there is no certificate to verify without TLS"),
            ({"subject": "a\nb"}, "subject: must be one line; move the rest into the body"),
            ({"subject": "a\x1bb"}, r"subject: has the control character '\\x1b' in line 1"),
            ({"body": "a\nb\0"}, r"body: has the control character '\\x00' in line 2"),
            ({"body": "\ud800"}, r"body: has the control character '\\ud800' in line 1"),
            ({"body": 7}, r"body: must be text with fields such as \$license, not a value of type int"),
            (
                {"subject": "$licence"},
                (
                    r"subject: \$licence stands for nothing; "
                    r"the fields are \$at, \$host, \$level, \$license, \$name, \$text$"
                ),
            ),
            ({"body": "a\n5 $ only"}, r"body: Invalid placeholder in string: line 2, col 3; the fields are \$at"),
            ({"deadline": 0}, "deadline: must be a number of seconds, above 0 and at most 3600, not 0"),
            ({"deadline": float("nan")}, "deadline: must be a number of seconds"),
            ({"deadline": 3601}, "deadline: must be a number of seconds"),
            ({"deadline": True}, "deadline: must be a number of seconds"),
            ({"deadline": "30"}, "deadline: must be a number of seconds"),
            ({"host_name": "a\nb"}, "host_name: must be this machine's name.*, not 'ab'"),
            ({"host_name": " "}, "host_name: must be this machine's name"),
            ({"host_name": 7}, "host_name: must be this machine's name.*, not a value of type int"),
        ],
    )
    def test_refuses_what_cannot_be_used(self, given: dict[str, Any], reason: str) -> None:
        """Each argument is judged at once; the message begins with its name, and says what to do."""
        with pytest.raises(InvalidValue, match=f"^{reason}"):
            Mail(**{"server": "smtp.example.com"} | WHOM | given)

    def test_says_no_password_that_it_refuses(self) -> None:
        """A password that cannot be used is not in the message either."""
        with pytest.raises(InvalidValue) as caught:
            Mail("smtp.example.com", **WHOM, username="bob", password="hunter2\0")  # noqa: S106 - of a test server
        assert "hunter2" not in str(caught.value)

    def test_stays_out_of_the_way(self) -> None:
        """Importing the package, and its command line, loads no smtplib."""
        code = "import sys, licfsm, licfsm.cli.main; sys.exit('smtplib' in sys.modules)"
        assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode


# ---------------------------------------------------------------------------------------------- TLS and login


class TestSecurity:
    def login(self, port: int, kind: str, pem: Path, **options: Any) -> Mail:  # noqa: ANN401 - passed on as they are
        """Make a mail adapter that logs in."""
        return mail_to(port, **{"security": kind, "ca": pem, "username": "bob", "password": "secret", **options})

    def test_delivers(self, secured: tuple[int, str], box: Box, pem: Path) -> None:
        """With TLS of both kinds, and a login, the mail arrives."""
        assert self.login(*secured, pem).deliver(NOTICE) is None
        assert ([(b"bob", b"secret")], 1) == (box.logins, len(box.mails))

    def test_takes_the_password_from_a_function(self, secured: tuple[int, str], box: Box, pem: Path) -> None:
        """The host may keep it elsewhere; it is asked at each delivery."""
        passwords = iter(["secret", "wrong"])
        mail = self.login(*secured, pem, password=lambda: next(passwords))
        mail.deliver(NOTICE)
        mail.deliver(NOTICE)
        assert [(b"bob", b"secret"), (b"bob", b"wrong")] == box.logins[:2]

    def test_logs_in_with_every_letter(self, secured: tuple[int, str], box: Box, pem: Path) -> None:
        """Name and password may have letters beyond ASCII."""
        assert self.login(*secured, pem, username="jürgen", password="gehé\u00ebim").deliver(NOTICE) is None  # noqa: S106 - of a test server
        assert [("jürgen".encode(), "gehé\u00ebim".encode())] == box.logins

    @pytest.mark.parametrize(("username", "password"), [("bob", "hunter2"), ("jürgen", "hunter2")])
    def test_a_refused_login(self, secured: tuple[int, str], pem: Path, username: str, password: str) -> None:
        """The reason names the user, what the server said, and what to do."""
        reason = self.login(*secured, pem, username=username, password=password).deliver(NOTICE)
        assert (
            f"127.0.0.1 port {secured[0]} refused the login of '{username}': 535 5.7.8 Authentication credentials "
            "invalid; check username and password"
        ) == reason

    @pytest.mark.parametrize("give", [lambda: None, lambda: "", lambda: b"secret", lambda: "a\0b"])
    def test_a_function_that_gives_none(self, secured: tuple[int, str], pem: Path, give: Callable[[], Any]) -> None:
        """What the function returns is judged."""
        assert (
            "the function that gives the password gave none; it must return text without NUL characters"
            == self.login(*secured, pem, password=give).deliver(NOTICE)
        )

    def test_a_function_that_fails(self, secured: tuple[int, str], pem: Path) -> None:
        """What the function raises is a reason; its text, which may have the password, is not told."""

        def give() -> str:
            message = "hunter2"
            raise LookupError(message)

        assert "the function that gives the password failed: LookupError" == self.login(
            *secured, pem, password=give
        ).deliver(NOTICE)

    @pytest.mark.parametrize("kind", ["starttls", "tls"])
    @pytest.mark.parametrize(
        ("names", "options", "trusted", "reason"),
        [
            (
                ("mx.example.com",),
                {},
                True,
                "its certificate is for another name; give the server by a name that the certificate has",
            ),
            (
                (HOST,),
                {
                    "not_after": dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
                    "not_before": dt.datetime(2019, 1, 1, tzinfo=dt.UTC),
                },
                True,
                "its certificate has expired; have it renewed, and check the clock of this machine",
            ),
            (
                (HOST,),
                {},
                False,
                (
                    "its certificate is signed by an authority that is not trusted here; "
                    "check the server, and give its authority's certificate as ca"
                ),
            ),
        ],
    )
    def test_a_certificate_that_does_not_serve(
        self,
        box: Box,
        authority: trustme.CA,
        pem: Path,
        kind: str,
        names: tuple[str, ...],
        options: dict[str, Any],
        trusted: bool,  # noqa: FBT001 - a parameter of the table above
        reason: str,
    ) -> None:
        """A certificate that is for another name, expired, or of an unknown authority is refused; so is the server."""
        with secure_server(kind, box, context(authority, *names, **options)) as port:
            mail = mail_to(port, security=kind, ca=pem if trusted else None)
            assert f"127.0.0.1 port {port}: {reason}" == mail.deliver(NOTICE)

    def test_another_name(self, box: Box, authority: trustme.CA, pem: Path) -> None:
        """A name is verified as an address is."""
        with secure_server("tls", box, context(authority, "mx.example.com")) as port:
            reason = mail_to(port, "localhost", security="tls", ca=pem).deliver(NOTICE)
        assert f"localhost port {port}: its certificate is for another name; " in str(reason)

    def test_no_starttls(self, box: Box, plain: int) -> None:
        """A server without STARTTLS gets no mail: plain text is no fallback."""
        assert (
            f"127.0.0.1 port {plain} offers no STARTTLS, and the mail is not sent in plain text; have it switched on "
            "there, or try security tls (port 465)"
        ) == mail_to(plain, security="starttls").deliver(NOTICE)
        assert [] == box.envelopes

    def test_starttls_refused(self) -> None:
        """A server that offers STARTTLS and then refuses it gets no mail either."""
        with faulty(ehlo=b"250-mx\r\n250 STARTTLS", starttls=b"454 TLS not available") as server:
            assert (
                f"127.0.0.1 port {server.port} refused the TLS handshake: 454 TLS not available; "
                "the server's own log may say more"
            ) == mail_to(server.port, security="starttls").deliver(NOTICE)

    def test_plain_text_where_tls_is_wanted(self, plain: int) -> None:
        """The reason says which kind of security may serve."""
        assert (
            f"127.0.0.1 port {plain}: it does not speak TLS from the first byte on; try security starttls (port 587)"
        ) == mail_to(plain, security="tls").deliver(NOTICE)

    @pytest.mark.parametrize(
        ("record", "reason"),
        [
            (b"", "it broke off the TLS handshake; check port and security"),
            (b"\x15\3\3\0\2\2\x28", "no TLS could be agreed on: [A-Z0-9_]*HANDSHAKE_FAILURE; check port and security"),
        ],
    )
    def test_a_handshake_that_fails(self, record: bytes, reason: str) -> None:
        """A server that breaks off the handshake is told from one that refuses it (a TLS alert)."""

        def fail(connection: socket.socket, _: threading.Event) -> None:
            connection.sendall(b"220 go on\r\n")
            connection.recv(65536)
            connection.sendall(record)

        with faulty(ehlo=b"250-mx\r\n250 STARTTLS", starttls=fail) as server:
            told = mail_to(server.port, security="starttls").deliver(NOTICE)
        assert re.fullmatch(f"127.0.0.1 port {server.port}: {reason}", str(told))


# ---------------------------------------------------------------------------------------------- faults


class TestRefused:
    @pytest.mark.parametrize("code", [450, 554])
    @pytest.mark.parametrize(
        ("stage", "reason"),
        [
            ("greeting", "refused the greeting: {said}; the server's own log may say more"),
            ("mail", "refused the sender licfsm@example.com: {said}; check the address, or log in"),
            ("rcpt", "refused every recipient: admin@example.com ({said}); check the addresses"),
            ("data", "refused the sending of the mail: {said}; the server's own log may say more"),
            ("end", "refused the sending of the mail: {said}; the server's own log may say more"),
        ],
    )
    def test_tells_what_was_refused(self, stage: str, code: int, reason: str) -> None:
        """Whatever a server refuses, for now or for good, the reason names it, and has the server's words."""
        with faulty(**{stage: b"%d-5.7.1 not\r\n%d today" % (code, code)}) as server:
            told = mail_to(server.port).deliver(NOTICE)
        assert f"127.0.0.1 port {server.port} " + reason.format(said=f"{code} 5.7.1 not today") == told
        assert isinstance(told, Refusal) is (stage == "end" and code >= 500)  # the text itself, and for good

    def test_refused_hello(self) -> None:
        """A server that wants neither EHLO nor HELO is told as well."""
        with faulty(ehlo=b"502 no", helo=b"504 who?") as server:
            assert f"127.0.0.1 port {server.port} refused the greeting: 504 who?" in str(
                mail_to(server.port).deliver(NOTICE)
            )

    def test_an_old_server(self) -> None:
        """A server that knows HELO only takes mail."""
        with faulty(ehlo=b"502 no") as server:
            assert mail_to(server.port).deliver(NOTICE) is None

    def test_some_recipients(self, box: Box, plain: int, caplog: pytest.LogCaptureFixture) -> None:
        """A mail that some recipients have is delivered; the log names the others."""
        box.refused = ("b@example.com",)
        mail = mail_to(plain, recipients=["a@example.com", "b@example.com"])
        with caplog.at_level(logging.WARNING, "licfsm"):
            assert mail.deliver(NOTICE) is None
        assert [
            (
                "mail <ACME-1.7.1739491200000.licfsm@example.com> was delivered, but 127.0.0.1 refused 1 of its 2 "
                "recipients: b@example.com (550 5.1.1 no such user)"
            )
        ] == [record.getMessage() for record in caplog.records if record.name == "licfsm"]

    def test_all_recipients(self, box: Box, plain: int) -> None:
        """A mail that nobody has is not delivered; the reason names the first three."""
        box.refused = tuple(f"{name}@example.com" for name in "abcde")
        said = ", ".join(f"{name}@example.com (550 5.1.1 no such user)" for name in "abc")
        assert f"127.0.0.1 port {plain} refused every recipient: {said} and 2 more; check the addresses" == mail_to(
            plain, recipients=box.refused
        ).deliver(NOTICE)

    def test_tells_it_all(self, box: Box, plain: int) -> None:
        """Who wants to know more than a notifier tells learns the Message-ID, and who was refused."""
        box.refused = ("b@example.com",)
        assert Sent(
            "<ACME-1.7.1739491200000.licfsm@example.com>", None, {"b@example.com": "550 5.1.1 no such user"}
        ) == mail_to(plain, recipients=["a@example.com", "b@example.com"]).send(NOTICE)

    def test_cleans_what_the_server_says(self) -> None:
        """A server's words are untrusted: control characters are stripped, and they are cut."""
        with faulty(mail=b"550 \x1b[2Jno\0\xff " + b"x" * 3000) as server:
            told = str(mail_to(server.port).deliver(NOTICE))
        assert (True, True, True) == (told.isprintable(), "550 [2Jno\ufffd xxx" in told, len(told) < 400)

    @pytest.mark.parametrize("secret", [b"hunter  2", b"hunter \0 2", base64.b64encode(b"\0bob\0hunter  2")])
    def test_repeats_no_password(
        self, authority: trustme.CA, pem: Path, caplog: pytest.LogCaptureFixture, secret: bytes
    ) -> None:
        """A password that the server repeats is left out."""

        def talk(connection: socket.socket, _: threading.Event) -> None:
            connection.sendall(b"220 go on\r\n")
            with context(authority).wrap_socket(connection, server_side=True) as tls:
                tls.recv(1000)
                tls.sendall(b"250-mx\r\n250 AUTH PLAIN\r\n")
                tls.recv(1000)
                tls.sendall(b"535 not " + secret + b"!\r\n")
                tls.recv(1000)

        with faulty(ehlo=b"250-mx\r\n250 STARTTLS", starttls=talk) as server:
            mail = mail_to(server.port, security="starttls", ca=pem, username="bob", password="hunter  2")  # noqa: S106 - of a test server
            told = str(mail.deliver(NOTICE))
        assert (True, "") == ("535 not ***!" in told, caplog.text)

    @pytest.mark.parametrize("features", [b"250 8BITMIME", b"250 AUTH GSSAPI"])
    @pytest.mark.parametrize("username", ["bob", "jürgen"])
    def test_no_login_that_serves(self, authority: trustme.CA, pem: Path, features: bytes, username: str) -> None:
        """Where no known kind of login is offered, the reason says so."""

        def talk(connection: socket.socket, _: threading.Event) -> None:
            connection.sendall(b"220 go on\r\n")
            with context(authority).wrap_socket(connection, server_side=True) as tls:
                tls.recv(1000)
                tls.sendall(b"250-mx\r\n" + features + b"\r\n")
                tls.recv(1000)

        with faulty(ehlo=b"250-mx\r\n250 STARTTLS", starttls=talk) as server:
            mail = mail_to(server.port, security="starttls", ca=pem, username=username, password="x")  # noqa: S106 - of a test server
            assert (
                f"127.0.0.1 port {server.port} offers no login that can be used (AUTH); "
                "leave the username out, or try another port"
            ) == mail.deliver(NOTICE)

    def test_a_challenge_that_is_none(self, authority: trustme.CA, pem: Path) -> None:
        """A login that begins with nonsense is a reason, too."""

        def talk(connection: socket.socket, _: threading.Event) -> None:
            connection.sendall(b"220 go on\r\n")
            with context(authority).wrap_socket(connection, server_side=True) as tls:
                tls.recv(1000)
                tls.sendall(b"250-mx\r\n250 AUTH CRAM-MD5\r\n")
                tls.recv(1000)
                tls.sendall(b"334 a\r\n")
                tls.recv(1000)

        with faulty(ehlo=b"250-mx\r\n250 STARTTLS", starttls=talk) as server:
            mail = mail_to(server.port, security="starttls", ca=pem, username="bob", password="x")  # noqa: S106 - of a test server
            assert f"127.0.0.1 port {server.port} sent at the login what is no SMTP; check server and port" == (
                mail.deliver(NOTICE)
            )

    def test_what_is_no_smtp(self) -> None:
        """A server of another kind is recognized."""
        with faulty(greeting=b"HTTP/1.1 400 Bad Request") as server:
            assert f"127.0.0.1 port {server.port} sent at the greeting what is no SMTP; check server and port" == (
                mail_to(server.port).deliver(NOTICE)
            )


class TestUnreachable:
    def test_nobody_listens(self) -> None:
        """A refused connection is told with server and port."""
        with socket.create_server((HOST, 0)) as listener:
            port = listener.getsockname()[1]
        assert (
            f"127.0.0.1 port {port} refused the connection; check server and port, and that the server is up"
            == mail_to(port).deliver(NOTICE)
        )

    def test_no_such_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A name that DNS does not know is told."""

        def unknown(*_: object, **__: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)  # no test asks the network
        assert "the name mx.example.com was not found; check it, and this machine's DNS" == mail_to(
            25, "mx.example.com"
        ).deliver(NOTICE)

    def test_no_way_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An address that this machine cannot use is told in the system's words."""
        nowhere = [(9999, socket.SOCK_STREAM, 0, "", (HOST, 25))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: nowhere)
        assert re.fullmatch(
            "mx.example.com port 25 cannot be reached: .+; check server and port",
            str(mail_to(25, "mx.example.com").deliver(NOTICE)),
        )

    def test_tries_every_address(self, monkeypatch: pytest.MonkeyPatch, box: Box, plain: int) -> None:
        """Of several addresses, one that answers is enough."""
        with socket.create_server((HOST, 0)) as listener:
            dead = listener.getsockname()
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address) for address in (dead, (HOST, plain))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        assert (None, 1) == (mail_to(plain, "mx.example.com").deliver(NOTICE), len(box.mails))

    def test_tells_the_first_that_answers(self, monkeypatch: pytest.MonkeyPatch, plain: int) -> None:
        """An address that answers is the one; what is wrong there is not hidden by another that is down."""
        with socket.create_server((HOST, 0)) as listener:
            dead = listener.getsockname()
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address) for address in ((HOST, plain), dead)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        assert "it does not speak TLS" in str(mail_to(plain, "mx.example.com", security="tls").deliver(NOTICE))

    @pytest.mark.parametrize("stage", ["greeting", "ehlo", "mail", "rcpt", "data", "end"])
    @pytest.mark.parametrize("fault", [None, reset])
    def test_a_connection_that_ends(self, stage: str, fault: Reply) -> None:
        """A server that closes, or cuts off, is told with how far it had come."""
        told = "the greeting" if stage == "ehlo" else "the sending of the mail"
        if stage == "greeting":  # a reset may come before the system has told of the connection
            told = "the (connection|greeting)"
        with faulty(**{stage: fault}) as server:
            assert re.fullmatch(
                f"127.0.0.1 port {server.port} closed the connection during {told}; the server's own log may say why",
                str(mail_to(server.port).deliver(NOTICE)),
            )

    @pytest.mark.parametrize("fault", [None, reset, b"500 no"])
    def test_only_the_farewell_fails(self, fault: Reply) -> None:
        """A mail that was taken is delivered, whatever happens then."""
        with faulty(quit=fault) as server:
            assert mail_to(server.port).deliver(NOTICE) is None

    def test_says_its_name(self) -> None:
        """The server is told this machine's whole name, or else its address."""
        with faulty() as server:
            mail_to(server.port, host_name="backup01.example.com").deliver(NOTICE)
            mail_to(server.port, host_name="backup01").deliver(NOTICE)
        assert ["EHLO backup01.example.com", "EHLO [127.0.0.1]"] == [
            line.replace("ehlo", "EHLO") for line in server.heard if line.startswith(("ehlo", "EHLO"))
        ]

    @pytest.mark.parametrize(
        ("address", "literal"),
        [("10.0.0.1", "[10.0.0.1]"), ("::1", "[IPv6:::1]"), ("fe80::1%eth0", "[IPv6:fe80::1]")],
    )
    def test_writes_its_address(self, address: str, literal: str) -> None:
        """An address has the form that SMTP has for it; which link it is on is nobody else's business."""
        assert literal == smtp_module._literal(address)


class TestForNow:
    """Some recipients are refused for now: they, and they alone, are tried again."""

    EVERYBODY = ("a@example.com", "b@example.com", "c@example.com")

    def test_who_is_greylisted_gets_it_at_the_next_try(self, box: Box, plain: int) -> None:
        """The others have it already, and get it once."""
        mail = mail_to(plain, recipients=self.EVERYBODY)
        box.later = ["b@example.com"]
        assert (
            "127.0.0.1 has the mail for the other recipients, and refused 1 for now: b@example.com (450 4.7.1 greylisted)"
        ) == mail.deliver(NOTICE)
        assert mail.deliver(NOTICE) is None
        assert [["a@example.com", "c@example.com"], ["b@example.com"]] == [each.rcpt_tos for each in box.envelopes]
        assert [", ".join(self.EVERYBODY)] * 2 == [each["To"] for each in box.mails]
        assert 1 == len({each["Message-ID"] for each in box.mails})

    def test_a_server_that_takes_a_few_at_once_gets_them_one_after_another(self, box: Box, plain: int) -> None:
        """Of nine recipients, one a try: however many tries that takes, each gets it."""
        mail = mail_to(plain, recipients=[f"{letter}@example.com" for letter in "abcdefghi"])
        box.most = 1
        told = [mail.deliver(NOTICE) for _ in range(9)]
        assert [True] * 8 + [False] == [each is not None for each in told]
        assert [[f"{letter}@example.com"] for letter in "abcdefghi"] == [each.rcpt_tos for each in box.envelopes]

    def test_who_is_refused_again_and_again_holds_up_nobody(
        self, box: Box, plain: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        """After six tries in vain the mail counts as delivered, and the log says to whom it was not."""
        mail = mail_to(plain, recipients=self.EVERYBODY)
        box.later = ["b@example.com"] * 100
        told = [mail.deliver(NOTICE) for _ in range(7)]
        assert [True] * 6 + [False] == [each is not None for each in told]
        assert 1 == len(box.envelopes)
        assert "was delivered, but 127.0.0.1 refused 1 of its 3 recipients: b@example.com (450" in caplog.text

    def test_who_is_refused_for_good_is_not_tried_again(self, box: Box, plain: int) -> None:
        """Beside one who is refused for now."""
        mail = mail_to(plain, recipients=self.EVERYBODY)
        box.refused, box.later = ("a@example.com",), ["b@example.com"]
        assert [True, False] == [mail.deliver(NOTICE) is not None for _ in range(2)]
        assert [["c@example.com"], ["b@example.com"]] == [each.rcpt_tos for each in box.envelopes]

    def test_a_server_that_is_down_meanwhile_counts_for_no_try(self, box: Box) -> None:
        """Who has the mail is remembered however long the server is away."""
        box.later = ["b@example.com"]
        with serving(box, enable_SMTPUTF8=False) as port:
            mail = mail_to(port, recipients=self.EVERYBODY)
            assert "for now" in str(mail.deliver(NOTICE))
        assert all("refused the connection" in str(mail.deliver(NOTICE)) for _ in range(8))
        with serving(box, enable_SMTPUTF8=False) as port:
            object.__setattr__(mail, "port", port)
            assert mail.deliver(NOTICE) is None
        assert [["a@example.com", "c@example.com"], ["b@example.com"]] == [each.rcpt_tos for each in box.envelopes]

    def test_all_are_refused_for_now(self, box: Box, plain: int) -> None:
        """Nobody has it, so it waits for as long as that takes."""
        mail = mail_to(plain, recipients=self.EVERYBODY)
        box.later = list(self.EVERYBODY) * 8
        assert all("refused every recipient" in str(mail.deliver(NOTICE)) for _ in range(8))
        assert mail.deliver(NOTICE) is None
        assert [list(self.EVERYBODY)] == [each.rcpt_tos for each in box.envelopes]

    def test_a_server_that_ends_the_conversation_is_told_so(self) -> None:
        """It is no recipient's fault."""
        with faulty(rcpt=b"421 4.3.2 going down") as server:
            told = mail_to(server.port, recipients=self.EVERYBODY).deliver(NOTICE)
        assert (
            f"127.0.0.1 port {server.port} ended the conversation at a recipient: a@example.com (421 4.3.2 going down); "
            "it is busy, or wants fewer mails"
        ) == told


class TestDeadline:
    @pytest.mark.parametrize(
        ("stage", "during"),
        [
            ("greeting", "the greeting"),
            ("ehlo", "the greeting"),
            ("starttls", "the TLS handshake"),
            ("mail", "the sending of the mail"),
        ],
    )
    @pytest.mark.parametrize("fault", [drip, hang])
    def test_ends_what_takes_too_long(self, stage: str, during: str, fault: Reply) -> None:
        """A server that drips, or says nothing, has until the deadline; the reason tells how far it had come."""
        features = b"250-mx\r\n250 STARTTLS" if stage == "starttls" else b"250 mx"
        with faulty(**{"ehlo": features, stage: fault}) as server:
            mail = mail_to(server.port, deadline=0.2, security="starttls" if stage == "starttls" else "none")
            began = time.monotonic()
            told = mail.deliver(NOTICE)
            took = time.monotonic() - began
        assert (
            (
                f"127.0.0.1 port {server.port} did not take the mail within 0.2 seconds, which ended during {during}; check "
                "that the server is up and reachable from this machine, or raise the deadline"
            ),
            True,
        ) == (told, 0.2 <= took < 1.2)

    @pytest.mark.parametrize("fault", [drip, hang])
    def test_waits_longer_for_the_word_on_a_mail(self, fault: Reply) -> None:
        """A server that has the text has four deadlines more; then nobody knows, so the mail goes out again (7.4)."""
        with faulty(end=fault) as server:
            mail = mail_to(server.port, deadline=0.2)
            began = time.monotonic()
            told = mail.deliver(NOTICE)
            took = time.monotonic() - began
        assert (
            f"127.0.0.1 port {server.port} did not say within 0.8 seconds whether it takes the mail, which goes out again, "
            "under the same Message-ID; the server's own log may say more, or raise the deadline"
        ) == told
        assert 0.8 <= took < 1.8

    def test_takes_a_late_word_on_a_mail(self) -> None:
        """A filter that looks for longer than the deadline is waited for: one mail, not one at each try."""

        def late(connection: socket.socket, ended: threading.Event) -> None:
            ended.wait(0.6)
            connection.sendall(b"250 taken\r\n")

        with faulty(end=late) as server:
            assert mail_to(server.port, deadline=0.5).deliver(NOTICE) is None

    def test_a_slow_farewell(self) -> None:
        """A mail that was taken is delivered, also if the deadline ends the farewell."""
        with faulty(quit=drip) as server:
            assert mail_to(server.port, deadline=0.3).deliver(NOTICE) is None

    def test_no_farewell(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nobody waits for a farewell until the deadline."""
        monkeypatch.setattr(smtp_module, "_GRACE", 0.05)
        with faulty(quit=hang) as server:
            began = time.monotonic()
            mail_to(server.port, deadline=15).deliver(NOTICE)
            assert time.monotonic() - began < 10

    @linux_only
    def test_a_connection_that_is_not_taken(self) -> None:
        """A server that does not even take the connection has until the deadline."""
        with socket.create_server((HOST, 0), backlog=0) as listener, contextlib.ExitStack() as stack:
            for _ in range(4):
                line = stack.enter_context(socket.socket())
                line.settimeout(0)
                line.connect_ex(listener.getsockname())
            told = mail_to(listener.getsockname()[1], deadline=0.2).deliver(NOTICE)
        assert "within 0.2 seconds, which ended during the connection;" in str(told)

    def test_a_name_that_is_not_found_in_time(self, monkeypatch: pytest.MonkeyPatch, box: Box, plain: int) -> None:
        """A lookup that takes too long is left behind; when it ends, no connection is made any more."""
        go_on = threading.Event()
        found = socket.getaddrinfo(HOST, plain, type=socket.SOCK_STREAM)

        def slow(*_: object, **__: object) -> object:
            go_on.wait(20)
            return found

        monkeypatch.setattr(socket, "getaddrinfo", slow)
        monkeypatch.setattr(smtp_module, "_GRACE", 0.01)
        told = mail_to(plain, "mx.example.com", deadline=0.1).deliver(NOTICE)
        go_on.set()
        for thread in threading.enumerate():
            if thread.name == "licfsm mail to mx.example.com":
                thread.join(20)
        assert (True, []) == ("which ended during the name lookup;" in str(told), box.envelopes)

    def test_a_connection_that_comes_too_late(self) -> None:
        """What connects just after the deadline is given up."""
        with socket.create_server((HOST, 0)) as listener:
            mail = mail_to(listener.getsockname()[1])
            delivery = smtp_module.Delivery(mail, mail.compose(NOTICE), [])
            delivery._deadline.end()
            with pytest.raises(TimeoutError):
                delivery.connect()

    def test_a_lookup_that_comes_too_late(self) -> None:
        """Where the lookup took all the time, nothing is connected to."""
        mail = mail_to(1, deadline=1e-9)
        with pytest.raises(TimeoutError):
            smtp_module.Delivery(mail, mail.compose(NOTICE), []).connect()

    def test_raises_what_is_a_bug(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What nobody expects is raised where the delivery was asked for."""

        def broken(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(smtp_module.Delivery, "_send", broken)
        with pytest.raises(ZeroDivisionError):
            mail_to(25).deliver(NOTICE)


class TestTidiness:
    @linux_only
    def test_leaves_nothing_behind(self, plain: int) -> None:
        """After many failures of all kinds there are as many threads and open files as before."""

        def open_files() -> int:
            return len(list(Path("/proc/self/fd").iterdir()))

        with (
            faulty(end=None) as closing,
            faulty(greeting=drip) as slow,
            faulty(rcpt=b"550 no") as refusing,
            faulty(ehlo=b"250-mx\r\n250 STARTTLS", starttls=b"220 go on") as no_tls,
            socket.create_server((HOST, 0)) as listener,
        ):
            mails = [
                mail_to(closing.port),
                mail_to(slow.port, deadline=0.05),
                mail_to(refusing.port),
                mail_to(no_tls.port, security="starttls", deadline=0.05),
                mail_to(plain, security="tls"),
                mail_to(plain, security="starttls"),
                mail_to(plain),
            ]
            [mail.deliver(NOTICE) for mail in mails]
            before = (threading.active_count(), open_files())
            told = [mail.deliver(NOTICE) for _ in range(10) for mail in mails]
            listener.close()
            assert (60, before[0]) == (sum(each is not None for each in told), threading.active_count())
            assert open_files() <= before[1] + 2  # the servers' ends of the last connections may be open yet

    def test_works_from_any_thread(self, box: Box, plain: int) -> None:
        """One adapter serves many threads at once."""
        mail = mail_to(plain)
        told: list[str | None] = []
        threads = [
            threading.Thread(target=lambda n=n: told.append(mail.deliver(notice(id=f"A.{n}.1")))) for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert ([None] * 8, {f"<A.{n}.1.licfsm@example.com>" for n in range(8)}) == (
            told,
            {each["Message-ID"] for each in box.mails},
        )
