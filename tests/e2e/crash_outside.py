"""The world outside of a life that test_crash.py cuts short: a license server over HTTPS, and a mail server.

Both run in the test's process, so that they live on where the life is killed. What they do depends on the virtual time
alone, which the life tells at each of its moments; what they were told is kept for the next process of the same life.
"""

import contextlib
import email
import email.policy
import json
import os
import shutil
import ssl
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import trustme
from aiosmtpd.smtp import Envelope
from crash_life import KEYS, LIVES, ms
from mailserver import serving

from licfsm.adapters.key_pairs import SigningKey
from licfsm.web.devserver import SIGNING_FILE, DevServer

__all__ = ["Authority", "Outside"]

HOST: Final = "localhost"
DOMAIN: Final = "example.com"


class Authority:
    """What both servers show and sign with, made once for all lives.

    Args:
        folder: an empty one.
        signing: signs keys and answers.

    """

    def __init__(self, folder: Path, signing: SigningKey) -> None:
        """Make the folder that each license server begins with."""
        self.license_server = folder / "license-server"
        self.license_server.mkdir(parents=True)
        signing.save(self.license_server / SIGNING_FILE)
        with DevServer(folder=self.license_server):
            pass  # makes the rest
        self.mail_ca = folder / "mail-ca.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.mail_ca)
        self.mail = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(HOST).configure_cert(self.mail)


class Box:
    """Keeps the mails that came: a line for each, in the file ``mail`` of the life's folder."""

    def __init__(self, folder: Path) -> None:
        """Begin without any."""
        self.down = False
        self._path = folder / "mail"
        self._path.touch()

    async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep a mail, on the disk before it counts."""
        if self.down:
            return "452 4.3.1 there is no room just now"
        mail = email.message_from_bytes(bytes(envelope.content or b""), policy=email.policy.default)
        notice_id = str(mail["Message-ID"]).strip().removeprefix("<").removesuffix(f".licfsm@{DOMAIN}>")
        told = {name: str(mail[name]) for name in ("Date", "To", "Subject")} | {"text": mail.get_content()}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{notice_id} {json.dumps(told)}\n")
            file.flush()
            os.fsync(file.fileno())
        return "250 OK"


class Outside:
    """Both servers, for one life; made by `Outside.of`.

    Attributes:
        told: what the life's process must know of them.

    """

    def __init__(self, life: str, server: DevServer, box: Box, told: Mapping[str, Any]) -> None:
        """Begin before the life does."""
        self.told = told
        self._life = LIVES[life]
        self._server = server
        self._box = box
        self._script = sorted((ms(at), what) for at, what in self._life.replies.items())
        self._done = 0
        self._now = 0
        server.clock = lambda: self._now

    @classmethod
    @contextlib.contextmanager
    def of(cls, life: str, folder: Path, authority: Authority) -> Iterator["Outside"]:
        """Run both until the life's last process has ended."""
        shutil.copytree(authority.license_server, folder / "server")
        box = Box(folder)
        with (
            DevServer(folder=folder / "server") as server,
            serving(box, tls_context=authority.mail, require_starttls=True) as port,
        ):
            told = {"url": server.url, "ca": str(server.ca), "smtp": port, "smtp_ca": str(authority.mail_ca)}
            yield cls(life, server, box, told)

    def move_to(self, now: int) -> None:
        """Let it be so late; what the script says happens then is done once."""
        self._now = max(now, self._now)
        while self._done < len(self._script) and self._script[self._done][0] <= now:
            self._do(self._script[self._done][1])
            self._done += 1
        down = self._life.mail_down
        self._box.down = down is not None and ms(down[0]) <= now < ms(down[1])

    def _do(self, what: str) -> None:
        name, _, key = what.partition(" ")
        if key:
            self._server.issue(**KEYS[f"ACME-1 {key}"])
        if name == "ok":
            self._server.ok()
        else:
            self._server.fault(name)

    def asked(self) -> Counter[str]:
        """Count what was asked of the license server: checks, and keys to download."""
        return Counter(entry.stage for entry in self._server.log)
