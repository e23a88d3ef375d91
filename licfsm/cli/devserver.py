"""``licfsm devserver``: a license server on this machine, to try out what a host does with it."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import os
import queue
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import click

from licfsm import instants
from licfsm.cli.output import REFUSED, interruptible, writing
from licfsm.errors import InvalidValue, LicfsmError
from licfsm.key import clean_text, valid_id

if TYPE_CHECKING:
    from licfsm.web.devserver import DevServer
    from licfsm.web.log import Entry

__all__ = ["devserver"]

_FIRST: Final = "ACME-1"
_DAYS: Final = 7
_TURN: Final = 0.5
_MOST: Final = 4096
_SHOWN: Final = 3
_EXTRA: Final = {"starlette", "uvicorn"}
_WARNING: Final = (
    "warning: other machines can reach {}; keys of this server are worth nothing, and anybody can get them"
)
_FIELDS: Final = "It is ID[,TYPE][,EXPIRES]"

_TRY: Final = """\
  import licfsm
  from pathlib import Path

  folder = Path({folder!r})
  server = licfsm.HttpsServer("{url}", ca=folder / "ca.pem")
  manager = licfsm.LicenseManager.open(
      ":memory:", policy="veeam-9", trust=folder / "trust.json", server=server
  )
  manager.install(folder / "keys" / "{license}.lic")
  manager.enable_auto_update()
  with manager.running():
      print(manager.check_now(wait=10))
  manager.close()
"""
"""What a host does, in lines that can be pasted."""


@click.group(invoke_without_command=True)
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default="a free one", metavar="N")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDR", help="The address to listen on.")
@click.option(
    "--folder",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where its certificates, its signing key and the license keys stay; a temporary one by default.",
)
@click.option(
    "--license",
    "licenses",
    multiple=True,
    metavar="ID[,TYPE][,EXPIRES]",
    help=f"A license that it serves; may be repeated. Without it: {_FIRST}, a subscription that expires in 7 days.",
)
@click.pass_context
def devserver(context: click.Context, port: int, host: str, folder: Path | None, licenses: tuple[str, ...]) -> None:
    """Run a license server for trying things out, until Ctrl-C.

    It speaks HTTPS with certificates of its own, signs what it says, and shows a line for every request. What it
    shall answer, and what shall go wrong, can be typed where it runs, or told by `licfsm devserver tell`; `help`
    lists what there is. Needs the extra web. Exit status: 0 when it was stopped, 2 if it cannot be started.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if context.invoked_subcommand is not None:
        return
    happened: queue.Queue[Any] = queue.Queue()
    with writing(), interruptible():
        with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
            try:
                server = stack.enter_context(_started(happened, host=host, port=port, folder=folder))
                _offer(server, licenses)
            except LicfsmError as error:
                click.echo(str(error), err=True)
                sys.exit(REFUSED)
            if not _is_own(host):
                click.echo(_WARNING.format(clean_text(host)), err=True)
            typing = sys.stdin.isatty()
            click.echo(_greeting(server, typing=typing))
            if typing:
                threading.Thread(target=_read, args=(sys.stdin.fileno(), happened), daemon=True).start()
            _run(server, happened)
        click.echo("Stopped.")


@devserver.command()
@click.option(
    "--folder",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The folder of the server that runs.",
)
@click.argument("command", nargs=-1, required=True)
def tell(folder: Path, command: tuple[str, ...]) -> None:
    """Tell a server that runs what to answer, and what shall go wrong.

    \b
    COMMAND is one of these; `help` has all of it:
      renew ACME-1 2026-02-14
      outage times=2 retry_after=120
      ok
    Exit status: 0, or 2 if no server runs there or it cannot do that.
    """  # noqa: D301 - click's mark for a paragraph that keeps its lines
    from licfsm.web.control import send

    try:
        told = send(folder, " ".join(command))
    except LicfsmError as error:
        click.echo(clean_text(str(error)), err=True)
        sys.exit(REFUSED)
    with writing():
        click.echo(told)


# ---------------------------------------------------------------------------------------------- starting


def _started(happened: queue.Queue[Any], *, host: str, port: int, folder: Path | None) -> DevServer:
    try:
        from licfsm.web.devserver import DevServer
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        message = f"the devserver needs {' and '.join(sorted(_EXTRA))}: pip install 'licfsm[web]'"
        raise InvalidValue(message) from None
    try:
        return DevServer(host=host, port=port, folder=folder, watch=happened.put)
    except OSError as error:
        if error.filename:
            raise  # it is of a file
        why = error.strerror or error
        advice = "; --port 0 takes a free one" if port else ""
        message = f"cannot listen on {clean_text(host)}, port {port}: {why}{advice}"
        raise InvalidValue(message) from None


def _offer(server: DevServer, licenses: tuple[str, ...]) -> None:
    """Issue what is asked for, unless the folder has it already."""
    for text in licenses or (() if server.licenses else (_FIRST,)):
        told = _told(text)
        license_id = told.pop("id")
        before = server.licenses.get(license_id)
        try:
            if before and attrs.evolve(before, **told) == before:
                continue
            in_a_week = instants.from_ms(server.clock()).add(days=_DAYS).date()
            server.issue(license_id, **{"expires": before.expires if before else in_a_week} | told)
        except InvalidValue as error:
            message = f"--license {clean_text(text)[:100]}: {error}"
            raise InvalidValue(message) from None


def _told(text: str) -> dict[str, Any]:
    """Read an option: a license's id, and in any order its type and its expiry."""
    from licfsm.web.issuing import is_expires, read_expires

    first, *rest = text.split(",")
    told: dict[str, Any] = {"id": valid_id(first)}
    for part in rest:
        name = "expires" if is_expires(part) else "type"
        if name in told:
            message = f"--license {clean_text(text)[:100]}: it has two of the same kind. {_FIELDS}"
            raise InvalidValue(message)
        told[name] = read_expires(part) if name == "expires" else part
    return told


def _is_own(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# ---------------------------------------------------------------------------------------------- running


def _read(descriptor: int, happened: queue.Queue[Any]) -> None:
    """Read what is typed, to its end; past Python's own buffers, whose lock would hold up the end of the program."""
    with contextlib.suppress(OSError):  # the terminal has gone
        while typed := os.read(descriptor, _MOST):
            for line in typed.decode(errors="replace").splitlines():
                happened.put(line)
    happened.put(None)


def _run(server: DevServer, happened: queue.Queue[Any]) -> None:
    """Show what comes, and do what is typed, until there is nothing more to be read."""
    while True:
        try:
            found = happened.get(timeout=_TURN)  # on Windows no wait can be interrupted
        except queue.Empty:
            continue
        if found is None:
            return
        if not isinstance(found, str):
            _echo(*_line(found))
        elif found.strip():
            try:
                _echo(server.tell(found), "cyan")
            except LicfsmError as error:
                _echo(clean_text(str(error)), "red")


# ---------------------------------------------------------------------------------------------- what is shown


def _greeting(server: DevServer, *, typing: bool) -> str:
    from licfsm.web.devserver import TRUST_FILE

    keys = list(server.licenses.values())
    rows = [("URL", server.url), ("CA", str(server.ca)), ("trusted key", str(server.folder / TRUST_FILE))]
    for key in keys[:_SHOWN]:
        expires = "never expires" if key.expires is None else f"expires {key.expires}"
        rows += [("license key", str(server.key_file(key.id))), ("", f"{key.type}, {expires}")]
    if len(keys) > _SHOWN:
        rows.append(("", f"and {len(keys) - _SHOWN} more"))
    rows += [("commands", f"POST {server.url}/control/tell"), ("", f"Authorization: Bearer {server.token}")]
    first = keys[0].id
    head = _styled("A license server for trying things out; nothing here is a secret.", bold=True)
    tell = f"  licfsm devserver tell --folder {server.folder}"
    lines = [
        head,
        "",
        *(f"  {name:13}{value}" for name, value in rows),
        "",
        _styled("What a host trusts, trust=['...']", bold=True),
        server.trust,
        "",
        _styled("A host in Python", bold=True),
        _TRY.format(folder=str(server.folder), license=first, url=server.url),
        _styled("What it shall answer" + (f"; typed here, renew {first} is enough" if typing else ""), bold=True),
        f"{tell} renew {first}",
        f"{tell} outage times=2",
        f"{tell} help",
        "",
        _styled("Ctrl-C stops it. Its requests, times in UTC:", bold=True),
    ]
    return "\n".join(lines)


def _line(entry: Entry) -> tuple[str, str]:
    """Show a request in a line, and say in which color."""
    at = instants.from_ms(entry.at)
    said = clean_text(entry.said)
    if entry.fault and entry.fault != said:
        said = entry.fault if said == "simulated, on command" else f"{entry.fault} ({said})"
    color = "yellow" if entry.fault else "green" if entry.said in {"new_key", "the new key"} else ""
    color = color or ("red" if entry.status != 200 else "")  # noqa: PLR2004 - all is well
    status = "-" if entry.status is None else str(entry.status)
    return f"{at:%H:%M:%S}  {entry.license or '-':14} {entry.stage:9} {status:>3}  {said}", color


def _echo(text: str, color: str) -> None:
    click.echo(_styled(text, fg=color or None))
    sys.stdout.flush()


def _styled(text: str, **style: Any) -> str:  # noqa: ANN401 - click's
    colored = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return click.style(text, **style) if colored and any(style.values()) else text
