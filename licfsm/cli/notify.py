"""``licfsm notify``: try the channels on which people are told, before they are needed."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from licfsm.adapters.clock import SystemClock
from licfsm.cli.output import FAILED, REFUSED, writing
from licfsm.errors import InvalidValue
from licfsm.key import clean_text
from licfsm.ports import Notice

if TYPE_CHECKING:
    from licfsm.adapters.mail import Mail, Sent

__all__ = ["notify"]

PASSWORD: Final = "LICFSM_MAIL_PASSWORD"  # noqa: S105 - the name of a variable, no password
_LARGEST: Final = 4096
_OPTIONS: Final = {
    "server": "SERVER",
    "sender": "--from",
    "recipients": "--to",
    "port": "--port",
    "security": "--security",
    "username": "--user",
    "password": "--password-file",
    "ca": "--ca",
}
"""What an argument of `Mail` is called here."""

_BODY: Final = """\
This is a test mail of licfsm, sent from $host at $at.

Notices about licenses will come this way.
"""


@click.group()
def notify() -> None:
    """Try the channels on which people are told of their licenses."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@notify.command()
@click.argument("server")
@click.option("--from", "sender", required=True, metavar="ADDR", help="From whom: licfsm@example.com")
@click.option("--to", "recipients", required=True, multiple=True, metavar="ADDR", help="To whom; may be repeated.")
@click.option(
    "--security",
    type=click.Choice(["starttls", "tls", "none"]),
    default="starttls",
    show_default=True,
    help="How the connection is secured; with TLS the server's certificate is verified.",
)
@click.option("--port", type=int, metavar="N", help="587 for starttls, 465 for tls, 25 for none by default.")
@click.option("--user", "username", metavar="NAME", help="Log in by this name; only over TLS.")
@click.option(
    "--password-file",
    metavar="FILE",
    type=click.Path(path_type=Path, allow_dash=True),
    help=f"Has the password as its one line; - for standard input. Without it: {PASSWORD} in the environment.",
)
@click.option("--ca", metavar="FILE", type=click.Path(path_type=Path), help="PEM of authorities to trust as well.")
def test(
    server: str,
    sender: str,
    recipients: tuple[str, ...],
    security: str,
    port: int | None,
    username: str | None,
    password_file: Path | None,
    ca: Path | None,
) -> None:
    """Send a test mail by SERVER, and say whether it was taken.

    Exit status: 0 if the server took it for every recipient, 1 if it did not, and why, 2 if something given
    cannot be used.
    """
    from licfsm.adapters.mail import Mail  # smtplib takes a while to load

    now = SystemClock().now_ms()
    with _refusing():
        mail = Mail(
            server,
            sender=sender,
            recipients=recipients,
            port=port,
            security=security,
            username=username,
            password=_password(username, password_file),
            ca=ca,
            subject="Test mail of licfsm from $host",
            body=_BODY,
        )
    sent = mail.send(Notice(f"test.{now}", "none", "test", "info", "a test", now))
    with writing():
        _show(mail, sent)
    sys.exit(FAILED if sent.reason or sent.refused else 0)


@contextmanager
def _refusing() -> Iterator[None]:
    """End with one line where something given cannot be used; it names the option."""
    try:
        yield
    except InvalidValue as error:
        argument, _, why = str(error).partition(": ")
        click.echo(f"{_OPTIONS.get(argument, argument)}: {why}", err=True)
        sys.exit(REFUSED)


def _password(username: str | None, file: Path | None) -> str | None:
    """Read the password from where no list of processes shows it."""
    if file is None:
        password = os.environ.get(PASSWORD, "") if username is not None else None
        if password == "":
            message = f"username: its password is missing; give --password-file FILE, or set {PASSWORD}"
            raise InvalidValue(message)
        return password
    try:
        with click.open_file(str(file), "rb") as stream:
            text = str(stream.read(_LARGEST + 1), "utf-8")
    except (OSError, ValueError, RuntimeError) as error:  # ValueError: no path or no UTF-8; RuntimeError: no input
        why = "it is no text in UTF-8" if isinstance(error, UnicodeError) else getattr(error, "strerror", None) or error
        message = f"password: {clean_text(str(file))} cannot be read: {why}"
        raise InvalidValue(message) from None
    lines = text.splitlines()
    if len(lines) != 1 or len(text) > _LARGEST:
        message = f"password: {clean_text(str(file))} must have the password as its one line"
        raise InvalidValue(message)
    return lines[0]


def _show(mail: Mail, sent: Sent) -> None:
    """Tell what came of it: of the mail on standard output, why not on standard error."""
    if sent.reason:
        _print(("NOT delivered", "bold red"), f": {sent.reason}", err=True)
        return
    taken = [str(each) for each in mail.recipients if each.addr_spec not in sent.refused]
    _print(("Taken", "bold green"), f" by {mail.server} port {mail.port}; look for it in the mailbox.")
    _print("Message-ID  ", sent.message_id)
    for number, address in enumerate(taken):
        _print("            " if number else "To          ", address)
    for address, said in sent.refused.items():
        _print(("Refused", "bold red"), f"     {address}: {said}", err=True)


def _print(*parts: str | tuple[str, str], err: bool = False) -> None:
    """Print a line with its styles; nothing in it is markup, and no address is broken."""
    from rich.console import Console
    from rich.text import Text

    out: Any = Console(stderr=err, highlight=False)
    text = Text.assemble(*parts)
    if out.is_terminal:
        out.print(text)
    else:
        click.echo(text.plain, err=err)
