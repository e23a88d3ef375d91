"""A mail server on this machine that keeps what it gets."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

__all__ = ["Mailbox"]

_LOOPBACK = "127.0.0.1"


class Mailbox:
    """Runs from ``with`` on, on a free port.

    Attributes:
        mails: what came, in order.

    """

    def __init__(self) -> None:
        """Begin empty."""
        self.mails: list[EmailMessage] = []
        self._controller = _Controller(self, hostname=_LOOPBACK, port=0)

    async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep a mail."""
        content = envelope.content
        data = content if isinstance(content, bytes) else b""
        self.mails.append(email.message_from_bytes(data, policy=email.policy.default))
        return "250 OK"

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return _LOOPBACK, self._controller.port

    def __enter__(self) -> Self:
        """Start."""
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._controller.stop()


class _Controller(Controller):
    """One that may be given any free port: it knocks at its own door to see whether it runs."""

    def _trigger_server(self) -> None:
        """Learn the port first."""
        server: Any = self.server
        self.port = server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]
