"""``licfsm replay``: tell what happens to a license, when, and whether it is what the story expects."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
import click
from rich.console import Console, Group
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from licfsm.errors import InvalidFile, Mistake
from licfsm.loading.scenarios import load_scenario, scenario_files
from licfsm.scenario.account import account, when
from licfsm.scenario.replay import Check, Replay
from licfsm.scenario.replay import replay as live
from licfsm.scenario.report import document, refused_document

__all__ = ["replay"]

_Advance = Callable[[int, float], None]
_WIDEST: Final = 110
_PATIENCE: Final = 2.0
_STYLES: Final = {"failure": "yellow", "check": "green", "change": "bold", "notice": "cyan", "action": "magenta"}
_NO_FILES: Final = "no scenario files (*.yaml, *.yml) there"
FAILED: Final = 1
REFUSED: Final = 2


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document a scenario, a line each.")
@click.option("--only", metavar="NAME", help="Replay only scenarios whose title or file name contains NAME.")
@click.option("-q", "--quiet", is_flag=True, help="Show only what failed, and the summary.")
def replay(paths: tuple[str, ...], *, as_json: bool, only: str | None, quiet: bool) -> None:
    """Replay scenario files, and folders of them, and judge what they expect.

    Exit status: 0 if every expectation holds, 1 if one does not, 2 if a file is refused.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    run = _Run(as_json=as_json, only=(only or "").lower(), quiet=quiet)
    files = scenario_files(list(paths))
    try:
        run.all(files)
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # click ends in silence
    except OSError as error:
        click.echo(f"cannot write: {error.strerror}", err=True)
        # What is left in the buffer goes nowhere, or Python would complain of it once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(REFUSED)
    if not run.passed + run.failed + run.refused:
        run.err.print(Text(f"no scenario there has {only!r} in its title or file name" if files else _NO_FILES))
        sys.exit(REFUSED)
    if not as_json:
        run.out.print(run.summary())
    sys.exit(REFUSED if run.refused else FAILED if run.failed else 0)


@attrs.define
class _Run:
    """One call of the command: what is wanted, and what came of the files so far."""

    as_json: bool
    only: str
    quiet: bool
    passed: int = 0
    failed: int = 0
    refused: int = 0
    checks: int = 0
    began: float = attrs.field(factory=time.monotonic)
    out: Console = attrs.field(init=False)
    err: Console = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.out = Console(highlight=False)
        self.out.width = min(self.out.width, _WIDEST)
        self.err = Console(stderr=True, highlight=False, soft_wrap=True)

    def all(self, files: list[Path]) -> None:
        with _progress(self.out if self.out.is_terminal else self.err, len(files), self.began) as advance:
            for number, path in enumerate(files):
                advance(number, 0.0)
                try:
                    self.one(path, number, advance)
                except InvalidFile as error:
                    self.refuse(path, error.mistakes)

    def one(self, path: Path, number: int, advance: _Advance) -> None:
        story = load_scenario(path)
        if self.only not in f"{story.name}\n{path.name}".lower():
            return
        length = max(1, story.end - story.start)
        result = live(story, watch=lambda at: advance(number, (at - story.start) / length))
        self.passed += result.passed
        self.failed += not result.passed
        self.checks += sum(isinstance(line, Check) for line in result.trace)
        if self.as_json:
            click.echo(json.dumps(document(result)))
        elif not (self.quiet and result.passed):
            self.show(_shown(result, quiet=self.quiet))

    def show(self, what: Group) -> None:
        """Print; in a pipe without the blanks that fill up lines."""
        if self.out.is_terminal:
            self.out.print(what)
            return
        with self.out.capture() as captured:
            self.out.print(what)
        sys.stdout.write("\n".join(line.rstrip() for line in captured.get().split("\n")))

    def refuse(self, path: Path, mistakes: list[Mistake]) -> None:
        self.refused += 1
        if self.as_json:
            click.echo(json.dumps(refused_document(str(path), mistakes)))
        else:
            for mistake in mistakes:
                self.err.print(Text(str(mistake)))

    def summary(self) -> Text:
        total = self.passed + self.failed + self.refused
        counts = [f"{self.passed} passed"]
        counts += [f"{self.failed} failed"] if self.failed else []
        counts += [f"{self.refused} refused"] if self.refused else []
        scenarios = "1 scenario" if total == 1 else f"{total} scenarios"
        style = "bold red" if self.failed or self.refused else "bold green"
        seconds = time.monotonic() - self.began
        return Text(f"{scenarios}: {', '.join(counts)}; {self.checks} checks in {seconds:.1f} s", style)


def _shown(result: Replay, *, quiet: bool) -> Group:
    """Lay out a scenario's account, and the expectations that failed."""
    story = result.story
    mark, style = ("passed", "bold green") if result.passed else ("FAILED", "bold red")
    title = Text.assemble((story.name, "bold"), "  ", (mark, style))
    about = Text(f"{story.file}: {story.key.id}, {story.key.type}, {story.policy.name}, {story.key.zone.name}", "dim")
    shown: list[Text | Table] = [title, about, Text()]
    if not quiet:
        shown += [_account_table(result), Text()]
    if result.failures:
        shown += [_failure_table(result), Text()]
    return Group(*shown)


def _account_table(result: Replay) -> Table:
    zone = result.story.key.zone
    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False, header_style="dim")
    table.add_column("time", no_wrap=True)
    table.add_column("what happened", ratio=1)
    table.add_column("entitlement", no_wrap=True)
    table.add_column("auto update", no_wrap=True)
    before = ("", "", "")
    for told in account(result):
        moment = when(told.at, zone)
        row = (moment, told.entitlement, told.auto_update)
        cells = [now if now != then else "" for now, then in zip(row, before, strict=True)]
        table.add_row(cells[0], Text(told.text, _STYLES[told.kind]), cells[1], cells[2])
        before = row
    return table


def _failure_table(result: Replay) -> Table:
    zone = result.story.key.zone
    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False, header_style="dim")
    for name in ("time", "what", "expected", "actual"):
        table.add_column(name, ratio=1 if name in {"expected", "actual"} else None)
    for failure in result.failures:
        table.add_row(
            when(failure.at, zone),
            failure.what,
            Text(_value(failure.expected), "green"),
            Text(_value(failure.actual), "red"),
        )
    return table


def _value(value: object) -> str:
    return "~" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


@contextmanager
def _progress(console: Console, total: int, began: float) -> Iterator[_Advance]:
    """Show a bar on a terminal, once the work has taken two seconds."""
    columns = (TextColumn("replaying"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, auto_refresh=False)
    task = bar.add_task("replay", total=max(1, total))
    shown = False

    def advance(done: int, part: float) -> None:
        nonlocal shown
        if not shown and console.is_terminal and time.monotonic() - began > _PATIENCE:
            shown = True
            bar.start()
        if shown:
            bar.update(task, completed=done + part, refresh=True)

    try:
        yield advance
    finally:
        if shown:
            bar.stop()
