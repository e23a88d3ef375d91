import os
import pty
import re
import select
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from click.testing import CliRunner, Result
from mailserver import serving

from licfsm.cli.main import main

HOST = "127.0.0.1"
WHOM = ("--from", "licfsm@example.com", "--to", "admin@example.com")


class Box:
    """Keeps what arrives, and refuses b@example.com."""

    def __init__(self) -> None:
        """Begin with no mail."""
        self.mails: list[bytes] = []
        self.passwords: list[bytes] = []
        self.port = 0

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take a recipient, or refuse it."""
        if address == "b@example.com":
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - likewise
        """Keep a mail."""
        assert isinstance(envelope.content, bytes)
        self.mails.append(envelope.content)
        return "250 OK"

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, given: object
    ) -> AuthResult:
        """Let in whoever has the password."""
        assert isinstance(given, LoginPassword)
        self.passwords.append(given.password)
        return AuthResult(success=given.password == b"secret", handled=False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Make an authority."""
    return trustme.CA()


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: trustme.CA) -> Iterator[Box]:
    """Run a server with STARTTLS that lets people log in; its authority's certificate is in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LICFSM_MAIL_PASSWORD", raising=False)
    authority.cert_pem.write_to_path("ca.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(tls)
    box = Box()
    with serving(box, tls_context=tls, authenticator=box.authenticate) as box.port:
        yield box


def notify(*arguments: object, stdin: str | None = None, **environment: str) -> tuple[int, str, str]:
    """Run the command; gives the exit status, and what was written to standard output and standard error."""
    shown: Result = CliRunner(env=environment).invoke(main, ["notify", "test", *map(str, arguments)], input=stdin)
    return shown.exit_code, shown.stdout, shown.stderr


def plain(box: Box, *options: object, **environment: str) -> tuple[int, str, str]:
    """Send in plain text."""
    return notify(HOST, *WHOM, "--security", "none", "--port", box.port, *options, **environment)


def login(box: Box, *options: object, stdin: str | None = None, **environment: str) -> tuple[int, str, str]:
    """Send with TLS and a login."""
    secure = ("--port", box.port, "--ca", "ca.pem", "--user", "bob")
    return notify(HOST, *WHOM, *secure, *options, stdin=stdin, **environment)


class TestTaken:
    def test_says_so(self, box: Box) -> None:
        """A mail that was taken is told with its Message-ID, and to whom it went."""
        status, told, complaint = plain(box, "--to", "Ops <ops@example.com>")
        assert (0, "") == (status, complaint)
        assert re.fullmatch(
            f"Taken by 127.0.0.1 port {box.port}; look for it in the mailbox.\n"
            r"Message-ID  <test\.[0-9]+\.licfsm@example.com>\n"
            "To          admin@example.com\n"
            "            Ops <ops@example.com>\n",
            told,
        )

    def test_sends_it(self, box: Box) -> None:
        """The mail says what it is."""
        plain(box)
        assert b"\r\nSubject: Test mail of licfsm from " in box.mails[0]
        assert b"\r\nNotices about licenses will come this way.\r\n" in box.mails[0]

    def test_some_recipients(self, box: Box) -> None:
        """A mail that somebody did not get is no success, and tells who has it."""
        status, told, complaint = plain(box, "--to", "b@example.com")
        assert (1, "Refused     b@example.com: 550 no such user\n") == (status, complaint)
        assert told.endswith("To          admin@example.com\n")

    def test_the_password_in_a_file(self, box: Box) -> None:
        """A file has the password in its one line."""
        Path("password").write_text("secret\n")
        assert 0 == login(box, "--password-file", "password")[0]

    def test_the_password_in_the_environment(self, box: Box) -> None:
        """Without a file, the environment has it."""
        assert 0 == login(box, LICFSM_MAIL_PASSWORD="secret")[0]  # noqa: S106 - the test server's

    def test_the_password_on_standard_input(self, box: Box) -> None:
        """A file of the name - is standard input."""
        assert 0 == login(box, "--password-file", "-", stdin="secret\n")[0]

    def test_a_file_wins(self, box: Box) -> None:
        """What was asked for comes before what lies in the environment."""
        Path("password").write_text("secret")
        login(box, "--password-file", "password", LICFSM_MAIL_PASSWORD="other")  # noqa: S106 - likewise
        assert [b"secret"] == box.passwords

    def test_no_login_without_a_user(self, box: Box) -> None:
        """A password in the environment alone means nothing."""
        assert 0 == plain(box, LICFSM_MAIL_PASSWORD="secret")[0]  # noqa: S106 - likewise


class TestNotDelivered:
    def test_says_why(self, box: Box) -> None:
        """A mail that was not taken is told with the reason, and what to do."""
        assert (
            1,
            "",
            (
                f"NOT delivered: 127.0.0.1 port {box.port}: its certificate is signed by an authority that is not trusted "
                "here; check the server, and give its authority's certificate as ca\n"
            ),
        ) == notify(HOST, *WHOM, "--port", box.port)

    def test_a_refused_login(self, box: Box) -> None:
        """A password that is refused is in no line of it."""
        status, told, complaint = login(box, LICFSM_MAIL_PASSWORD="hunter2")  # noqa: S106 - likewise
        assert (1, "", False) == (status, told, "hunter2" in complaint)
        assert "refused the login of 'bob': 535" in complaint


class TestArguments:
    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            (("--to", "x"), "--to: 'x' is no mail address; write admin@example.com or Name <admin@example.com>\n"),
            (("--port", "0"), "--port: must be a number from 1 to 65535, not 0; leave it out for the usual one\n"),
            (("--ca", "no.pem"), "--ca: 'no.pem' cannot be used: No such file or directory\n"),
            (
                ("--user", "bob"),
                "--user: its password is missing; give --password-file FILE, or set LICFSM_MAIL_PASSWORD\n",
            ),
            (("--password-file", "one"), "--user: a login needs a username and a password; give both or neither\n"),
            (
                ("--user", "bob", "--password-file", "one", "--security", "none"),
                "--user: a password is never sent in plain text; use security starttls or tls, or no login\n",
            ),
            (
                ("--user", "bob", "--password-file", "no"),
                "--password-file: no cannot be read: No such file or directory\n",
            ),
            (
                ("--user", "bob", "--password-file", "two"),
                "--password-file: two must have the password as its one line\n",
            ),
            (
                ("--user", "bob", "--password-file", "empty"),
                "--password-file: empty must have the password as its one line\n",
            ),
            (
                ("--user", "bob", "--password-file", "large"),
                "--password-file: large must have the password as its one line\n",
            ),
            (
                ("--user", "bob", "--password-file", "binary"),
                "--password-file: binary cannot be read: it is no text in UTF-8\n",
            ),
        ],
    )
    def test_cannot_be_used(self, box: Box, options: tuple[str, ...], complaint: str) -> None:
        """What cannot be used is told in one line, by the option's name, and nothing is sent."""
        files = {"one": b"secret", "two": b"a\nb\n", "empty": b"", "large": b"x" * 5000, "binary": b"\xff"}
        for name, content in files.items():
            Path(name).write_bytes(content)
        assert ((2, "", complaint), []) == (notify(HOST, *WHOM, *options), box.mails)

    @pytest.mark.parametrize("missing", [("--from", "a@example.com"), ("--to", "a@example.com")])
    def test_must_be_told(self, missing: tuple[str, str]) -> None:
        """From whom and to whom cannot be left out."""
        assert 2 == notify(HOST, *missing)[0]

    def test_names_the_server(self) -> None:
        """What is wrong with the server is told by the argument's name."""
        assert (2, "", True) == (*(told := notify("a b", *WHOM))[:2], told[2].startswith("SERVER: 'a b' is no name"))

    def test_has_no_option_for_the_password(self) -> None:
        """A password is no argument: every list of processes would show it."""
        assert 2 == notify(HOST, *WHOM, "--password", "secret")[0]


class TestTerminal:
    def shown(self, box: Box, *options: str, **environment: str) -> str:
        """Run the command in a terminal of 80 columns."""
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "licfsm", "notify", "test", HOST, *WHOM, "--port", str(box.port), *options]
        inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        told = b""
        with subprocess.Popen(
            command, stdout=theirs, stderr=theirs, env=inherited | {"COLUMNS": "80", "TERM": "xterm"} | environment
        ) as process:
            os.close(theirs)
            while select.select([ours], [], [], 60)[0]:
                try:
                    if not (read := os.read(ours, 4096)):
                        break
                except OSError:  # how Linux tells that the other end is closed
                    break
                told += read
            process.wait(60)
        os.close(ours)
        return told.decode()

    def test_has_colors(self, box: Box) -> None:
        """What came of it stands out."""
        assert "\x1b[1;32mTaken\x1b[0m by 127.0.0.1" in self.shown(box, "--security", "none")

    def test_has_none_where_they_are_not_wanted(self, box: Box) -> None:
        """NO_COLOR takes the colors away."""
        assert re.search("\x1b\\[[0-9;]*3[0-9]", self.shown(box, NO_COLOR="1")) is None

    def test_fits(self, box: Box) -> None:
        """A long reason is broken between words."""
        lines = re.sub("\x1b\\[[0-9;]*m", "", self.shown(box)).split("\r\n")
        assert max(map(len, lines)) <= 80
