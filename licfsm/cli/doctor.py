"""``licfsm doctor``: what is wrong with a store, and how to mend it."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import pendulum

from licfsm.adapters.keys import TrustedKeys
from licfsm.cli.output import FAILED, REFUSED, writing
from licfsm.errors import InvalidValue, StoreError
from licfsm.key import clean_text

if TYPE_CHECKING:
    from licfsm.host.examination import Examination, Examined

__all__ = ["doctor"]

_PATIENCE: Final = 2.0
_WIDEST: Final = 110
_DRIVEN: Final = {
    "elsewhere": "Another process drives it",
    "nobody": "Nobody drives it",
    "unknown": "Who drives it cannot be seen from here",
}


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option(
    "--trust",
    multiple=True,
    metavar="PUBLIC",
    help="A public key, by which license keys and the journal are verified: a file of a JWK, a set of them or PEM, or"
    " such text itself; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(store: Path, trust: tuple[str, ...], *, as_json: bool) -> None:
    """Examine a store: what it holds, what is wrong with it, and how to mend that.

    Nothing in it is changed; it may be in use. Exit status: 0 if it is healthy, 1 if something is wrong, 2 if it
    cannot be examined.
    """
    from licfsm.host.doctor import examine  # the store's packages take a while to load

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        trusted = _trusted(trust)
        with _progress() as advance:
            found = examine(store, trusted, watch=advance)
    except (InvalidValue, StoreError) as error:
        told = clean_text(str(error))
        with writing():
            if as_json:
                click.echo(json.dumps({"version": 1, "file": clean_text(str(store)), "error": told}))
            else:
                click.echo(told, err=True)
        sys.exit(REFUSED)
    with writing():
        if as_json:
            click.echo(json.dumps(_document(found)))
        else:
            _show(found)
    sys.exit(0 if found.healthy else FAILED)


def _trusted(trust: tuple[str, ...]) -> TrustedKeys | None:
    """Read the public keys: text of one, or names of files."""
    given = [text if text.lstrip().startswith(("{", "-----BEGIN ")) else Path(text) for text in trust]
    try:
        return TrustedKeys.of(given) if given else None
    except InvalidValue as error:
        message = f"--trust: {error}"
        raise InvalidValue(message) from None


# ---------------------------------------------------------------------------------------------- for programs


def _document(found: Examination) -> dict[str, Any]:
    """Write what was found as JSON; of many licenses only those with trouble."""
    return {
        "version": 1,
        "file": found.file,
        "store": found.store,
        "format": found.version,
        "healthy": found.healthy,
        "driven": found.driven,
        "driven_at": _iso(found.driven_at),
        "keys_verified": found.verified,
        "journal_entries": found.entries,
        "states": [
            {"entitlement": _none(entitlement), "auto_update": _none(auto_update), "licenses": number}
            for (entitlement, auto_update), number in sorted(found.states.items())
        ],
        "licenses": [
            {
                "id": each.id,
                "entitlement": each.entitlement,
                "auto_update": each.auto_update,
                "expires": _iso(each.expires),
                "next_check": _iso(each.next_check),
                "last_outcome": each.last_outcome,
                "key": each.key,
                "journal": each.journal,
                "trouble": each.trouble,
            }
            for each in found.licenses
        ],
        "waiting": [
            {
                "channel": queue.channel,
                "notices": queue.notices,
                "licenses": queue.licenses,
                "since": _iso(queue.since),
                "attempts": queue.attempts,
                "error": queue.error,
            }
            for queue in found.queues
        ],
        "findings": [
            {"license": finding.license, "what": finding.what, "remedy": finding.remedy} for finding in found.findings
        ],
    }


def _iso(moment: pendulum.DateTime | None) -> str | None:
    return None if moment is None else moment.in_timezone("UTC").isoformat()


def _none(state: str) -> str | None:
    return None if state == "-" else state


# ---------------------------------------------------------------------------------------------- for people


def _show(found: Examination) -> None:
    """Print what was found; the parts that nothing is to be said about are left out."""
    from rich.console import Console, Group
    from rich.text import Text

    from licfsm.host.examination import counted

    out = Console(highlight=False)
    out.width = min(out.width, _WIDEST)
    count = sum(found.states.values())
    holds = f"{counted(count, 'license')}, {found.entries} journal entries"
    driven = f"; its driver was there last at {_when(found.driven_at)} UTC" if found.driven_at else ""
    parts: list[Any] = [
        Text(found.file, "bold"),
        Text(f"Store {found.store}, format {found.version}: {holds}."),
        Text(f"{_DRIVEN[found.driven]}{driven}."),
    ]
    if not found.verified:
        parts.append(Text("Keys were not verified; name the public keys that are trusted by --trust.", "yellow"))
    if count > len(found.licenses):
        states = ", ".join(f"{number} {' / '.join(pair)}" for pair, number in sorted(found.states.items()))
        parts += [Text(), Text(f"Licenses by state: {states}. Those with trouble are listed.")]
    parts += [part for table in (_licenses(found), _queues(found)) if table for part in (Text(), table)]
    parts += [Text(), *_findings(found)]
    with out.capture() as captured:
        out.print(Group(*parts))
    text = captured.get()
    sys.stdout.write(text if out.is_terminal else "\n".join(line.rstrip() for line in text.split("\n")))


def _licenses(found: Examination) -> Any:  # noqa: ANN401 - rich is loaded where something is shown
    if not found.licenses:
        return None
    table = _table("license", "as of its last step, times in UTC")
    for each in found.licenses:
        table.add_row(_text(each.id, "bold red" if each.trouble else "bold"), _text("; ".join(_said(each, found))))
    return table


def _said(each: Examined, found: Examination) -> Iterator[str]:
    """Say in some words what is known of a license."""
    if each.key == "none":
        yield "no key"
        return
    if each.entitlement:
        yield f"{each.entitlement}, automatic update {each.auto_update}"
    if each.key != "refused":
        yield f"expires {_when(each.expires)}" if each.expires else "no expiry"
    if each.next_check:
        yield f"next check {_when(each.next_check)}"
    if each.last_outcome:
        yield f"last outcome {each.last_outcome}"
    if found.verified or each.key == "refused":
        yield f"key {each.key}"
        yield f"journal {each.journal}"


def _queues(found: Examination) -> Any:  # noqa: ANN401 - likewise
    if not found.queues:
        return None
    from licfsm.host.examination import counted

    table = _table("waiting", "notices", "licenses", "since (UTC)", "tried", "last error")
    for queue in found.queues:
        values = (queue.channel, queue.notices, queue.licenses, _when(queue.since), counted(queue.attempts, "time"))
        table.add_row(*(_text(str(value)) for value in values), _text(queue.error or "-"))
    return table


def _findings(found: Examination) -> Iterator[Any]:
    from rich.padding import Padding
    from rich.text import Text

    if found.healthy:
        yield Text("Nothing is wrong.", "bold green")
        return
    many = len(found.findings)
    yield Text("1 thing is wrong:" if many == 1 else f"{many} things are wrong:", "bold red")
    for finding in found.findings:
        where = f"license {finding.license}: " if finding.license is not None else ""
        yield Padding(Text(f"{where}{finding.what}", overflow="fold"), (0, 0, 0, 2))
        yield Padding(Text(f"to do: {finding.remedy}", "cyan", overflow="fold"), (0, 0, 0, 4))


def _table(*columns: str) -> Any:  # noqa: ANN401 - likewise
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _text(value: str, style: str = "") -> Any:  # noqa: ANN401 - likewise
    """Show text as it is: nothing in it is markup."""
    from rich.text import Text

    return Text(value, style)


def _when(moment: pendulum.DateTime | None) -> str:
    return "-" if moment is None else f"{moment.in_timezone('UTC'):%Y-%m-%d %H:%M}"


@contextmanager
def _progress() -> Iterator[Callable[[float], None]]:
    """Show a bar on a terminal, once the work has taken two seconds."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    began = time.monotonic()
    columns = (TextColumn("examining"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    bar = Progress(*columns, console=console, transient=True, auto_refresh=False)
    task = bar.add_task("examine", total=1.0)
    shown = False

    def advance(part: float) -> None:
        nonlocal shown
        if not shown and console.is_terminal and time.monotonic() - began > _PATIENCE:
            shown = True
            bar.start()
        if shown:
            bar.update(task, completed=part, refresh=True)

    try:
        yield advance
    finally:
        if shown:
            bar.stop()
