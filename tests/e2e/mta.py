"""A real mail server for the tests: Debian's OpenSMTPD, told of its recipients, on ports of its own.

It runs in the foreground as a child process, in a mount namespace in which spool, control socket and mailboxes are
folders of the test: what the machine has of its own is neither seen nor touched. OpenSMTPD 6.8, which Debian 12 has,
cannot do TLS with OpenSSL 3 (its issue 1171); STARTTLS is done by stunnel in front of it, and the bytes go through.
"""

from __future__ import annotations

import email
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Final

import trustme

HOST: Final = "127.0.0.1"
NAME: Final = "mail.example.com"
PATIENCE: Final = 20.0
"""Seconds after which a process that should have done something is thought to have failed."""

_PATH: Final = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin{os.pathsep}/sbin"
_NAMESPACE: Final = ("unshare", "--mount", "--propagation", "private")
_OWNER: Final = "nobody"
"""Whom mailboxes belong to: OpenSMTPD delivers nothing as root."""

_IN_FOLDERS: Final = """\
mount --bind "$1/spool" /var/spool && mount --bind "$1/run" /run && mount --bind "$1/mail" /var/mail &&
exec smtpd -d -f "$1/smtpd.conf"
"""
_SMTPD: Final = """\
table known {{ {known} }}
listen on {host} port {port} hostname {name}
action "box" maildir "/var/mail/%{{rcpt.user}}" user {owner} virtual {{ "@" = {owner} }}
match from any for rcpt-to <known> action "box"
"""
_GREETING: Final = 1.0
"""Seconds after which another connection is tried: one that comes while the server starts may never be greeted."""

_STUNNEL: Final = """\
foreground = yes
pid =
syslog = no
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[mail]
protocol = smtp
accept = {host}:{port}
connect = {host}:{inner}
cert = {folder}/certificate.pem
key = {folder}/key.pem
"""


def missing() -> str | None:
    """Say what this machine lacks for running the mail server; None where it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "OpenSMTPD runs in a mount namespace here, which takes Linux and root"
    for program, package in (("smtpd", "opensmtpd"), ("stunnel", "stunnel4"), ("unshare", "util-linux")):
        if shutil.which(program, path=_PATH) is None:
            return f"{program} is not installed; apt-get install {package}"
    if subprocess.run([*_NAMESPACE, "true"], capture_output=True, check=False).returncode:
        return "this machine lets nobody make mount namespaces, not even root"
    return None


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for what another process does; it is looked at often, for it tells nobody.

    Raises:
        TimeoutError: it was not done in good time.

    """
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            message = f"after {PATIENCE:g} seconds still not: {what}"
            raise TimeoutError(message)
        time.sleep(0.005)


class MailServer:
    """OpenSMTPD with a mailbox for each recipient that it knows; it refuses all others.

    Attributes:
        known: the addresses it knows, as of its next start.
        port: where it listens, with STARTTLS; the same at each start.
        ca: path of the certificate that its own is to be verified by.

    """

    def __init__(self, folder: Path, known: Iterable[str]) -> None:
        """Make its folders and certificate; it does not run yet."""
        self.known = set(known)
        self._folder = folder
        self._log = folder / "log"
        self._running: list[subprocess.Popen[bytes]] = []
        for name in ("spool", "run", "mail"):
            (folder / name).mkdir(parents=True)
        self._log.touch()
        shutil.chown(folder / "mail", _OWNER)
        self.port, self._inner = _free_ports(2)
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", HOST)
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(self.ca)
        (folder / "certificate.pem").write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        (folder / "key.pem").touch(mode=0o600)
        issued.private_key_pem.write_to_path(folder / "key.pem")

    def start(self) -> None:
        """Run it; back when it greets."""
        known = ", ".join(f'"{each}"' for each in sorted(self.known))
        smtpd = _SMTPD.format(known=known, host=HOST, port=self._inner, name=NAME, owner=_OWNER)
        stunnel = _STUNNEL.format(host=HOST, port=self.port, inner=self._inner, folder=self._folder)
        (self._folder / "smtpd.conf").write_text(smtpd)
        (self._folder / "stunnel.conf").write_text(stunnel)
        self._run([*_NAMESPACE, "sh", "-c", _IN_FOLDERS, "smtpd", str(self._folder)])
        self._await_greeting(self._inner)
        self._run(["stunnel", str(self._folder / "stunnel.conf")])
        self._await_greeting(self.port)

    def stop(self) -> None:
        """End it once all that it took is in its mailboxes; back when nothing listens. A second time does nothing.

        Ended amid a delivery, it would begin that one anew at its next start: a second copy, and of its own making.
        """
        try:
            if self._running:
                self._settle()
        finally:
            self._end()

    def _end(self) -> None:
        while self._running:
            process = self._running.pop()  # the last one first: nothing comes in while the other one ends
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def mailbox(self, user: str = "admin") -> list[EmailMessage]:
        """Read a mailbox once nothing is under way to one; in the order in which the server took the mails."""
        self._settle()
        taken = re.findall(r" smtp message msgid=(\w+) ", self._log.read_text())
        found = [_read(path) for path in (self._folder / "mail" / user / "new").glob("*")]
        return sorted(found, key=lambda each: taken.index(_queue_id(each)))

    def _settle(self) -> None:
        """Wait until its queue is empty: a mail is in there before it is taken, until it is in its mailbox."""
        queue = self._folder / "spool" / "smtpd" / "queue"
        until(lambda: not any(queue.glob("*/*")), "all mail that was taken is in its mailbox")

    def _run(self, command: Sequence[str]) -> None:
        with self._log.open("ab") as log:
            environment = os.environ | {"PATH": _PATH}
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        self._running.append(process)

    def _await_greeting(self, port: int) -> None:
        def greets() -> bool:
            if any(each.poll() is not None for each in self._running):
                message = f"the mail server ended by itself:\n{self._log.read_text()[-2000:]}"
                raise RuntimeError(message)
            with suppress(OSError), socket.create_connection((HOST, port), _GREETING) as line:
                return line.recv(4) == b"220 "
            return False

        until(greets, f"port {port} greets")


def told(message: EmailMessage) -> str:
    """Say of a mail of licfsm when its notice arose, its license and its name."""
    lines = dict(line.split(maxsplit=1) for line in message.get_content().splitlines() if line.count("  "))
    return f"{message['Date'].datetime:%m-%dT%H:%M} {lines['License']} {lines['Notice'].split()[0]}"


def _free_ports(number: int) -> list[int]:
    lines = [socket.create_server((HOST, 0)) for _ in range(number)]
    try:
        return [line.getsockname()[1] for line in lines]
    finally:
        for line in lines:
            line.close()


def _read(path: Path) -> EmailMessage:
    message = email.message_from_bytes(path.read_bytes(), policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def _queue_id(message: EmailMessage) -> str:
    """Find under which id the server took a mail: it writes that into the mail."""
    found = re.search(r" id (\w+)", message["Received"])
    assert found, message["Received"]
    return found[1]
