"""``licfsm replay``: tell what happens to a license, when, and whether it is what the story expects."""

from __future__ import annotations

import datetime as dt
import io
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
import click
import pendulum
from rich.console import Console, Group
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from licfsm import instants
from licfsm.cli.output import FAILED, REFUSED, rendered, writing
from licfsm.errors import InvalidFile, InvalidValue, Mistake
from licfsm.loading.policies import find_policy
from licfsm.loading.scenarios import load_scenario, scenario_files
from licfsm.policy import Policy
from licfsm.scenario.account import Told, account, when
from licfsm.scenario.comparison import Comparison, compare, comparison_document
from licfsm.scenario.replay import Check, Replay
from licfsm.scenario.replay import replay as live
from licfsm.scenario.report import refused_document, written
from licfsm.scenario.story import Story

__all__ = ["account_table", "replay"]

_Advance = Callable[[int, float], None]
_WIDEST: Final = 110
_PATIENCE: Final = 2.0
_TIME: Final = len("2025-02-14 00:00")
_STYLES: Final = {"failure": "yellow", "check": "green", "change": "bold", "notice": "cyan", "action": "magenta"}
_NO_FILES: Final = "no scenario files (*.yaml, *.yml) there"


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document a scenario, a line each.")
@click.option("--only", metavar="NAME", help="Replay only scenarios whose title or file name contains NAME.")
@click.option("-q", "--quiet", is_flag=True, help="Show only what failed, and the summary.")
@click.option(
    "--policy",
    "reference",
    metavar="OTHER",
    help="Replay under another policy too, a name or a YAML file, and show side by side what differs.",
)
@click.option(
    "--picture",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Draw the timeline of the one scenario, as SVG or HTML.",
)
def replay(
    paths: tuple[str, ...],
    *,
    as_json: bool,
    only: str | None,
    quiet: bool,
    reference: str | None,
    picture: Path | None,
) -> None:
    """Replay scenario files, and folders of them, and judge what they expect.

    Exit status: 0 if every expectation holds, 1 if one does not, 2 if a file is refused, or the picture
    cannot be drawn. A story is judged under its own policy.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    run = _Run(
        as_json=as_json,
        only=(only or "").lower(),
        quiet=quiet,
        other=_other(reference),
        reference=reference or "",
        picture=picture,
    )
    files = scenario_files(list(paths))
    if picture:
        run.prepare(picture, files)
    with writing():
        run.all(files)
    if not run.passed + run.failed + run.refused:
        run.err.print(Text(f"no scenario there has {only!r} in its title or file name" if files else _NO_FILES))
        sys.exit(REFUSED)
    if not as_json:
        run.out.print(run.summary())
    sys.exit(REFUSED if run.refused or run.undrawn else FAILED if run.failed else 0)


def _other(reference: str | None) -> Policy | None:
    """Find the policy to compare with."""
    try:
        return find_policy(reference, Path()) if reference is not None else None
    except InvalidFile as error:
        click.echo(str(error), err=True)
    except InvalidValue as error:
        click.echo(f"--policy: {error}", err=True)
    sys.exit(REFUSED)


@attrs.define
class _Run:
    """One call of the command: what is wanted, and what came of the files so far."""

    as_json: bool
    only: str
    quiet: bool
    other: Policy | None
    reference: str
    picture: Path | None
    undrawn: bool = False
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
        if not self.chosen(story, path):
            return
        length = max(1, story.end - story.start) * (2 if self.other else 1)
        result = live(story, watch=lambda at: advance(number, (at - story.start) / length))
        compared = None
        if self.other:
            compared = compare(result, self.other, watch=lambda at: advance(number, 0.5 + (at - story.start) / length))
        self.passed += result.passed
        self.failed += not result.passed
        self.checks += sum(isinstance(line, Check) for line in result.trace)
        if self.as_json:
            more = {"comparison": comparison_document(compared)} if compared else {}
            sys.stdout.writelines(written(result, more))
            click.echo()
        elif not (self.quiet and result.passed):
            self.show(self.shown(result, compared))
        if self.picture:
            self.draw(result, self.picture)

    def chosen(self, story: Story, path: Path) -> bool:
        return self.only in f"{story.name}\n{path.name}".lower()

    def prepare(self, picture: Path, files: list[Path]) -> None:
        """Make sure, before anything is replayed, that the picture can be drawn."""
        from licfsm.diagram.timeline import drawn_by

        try:
            drawn_by(picture)
        except InvalidValue as error:
            self.err.print(Text(f"--picture: {error}"))
            sys.exit(REFUSED)
        if self.choose_many(files):
            self.err.print(Text("--picture draws one scenario, and more are chosen; name one file, or one by --only"))
            sys.exit(REFUSED)

    def choose_many(self, files: list[Path]) -> bool:
        """Say whether more than one scenario will be replayed, as far as they can be read."""
        chosen = 0
        for path in files if len(files) > 1 else ():
            try:
                chosen += self.chosen(load_scenario(path), path)
            except InvalidFile:
                continue  # it is refused in its turn
            if chosen > 1:
                return True
        return False

    def draw(self, result: Replay, path: Path) -> None:
        from licfsm.diagram.timeline import draw_timeline

        try:
            draw_timeline(result, path)
        except OSError as error:
            self.undrawn = True
            self.err.print(Text(f"cannot write {path}: {error.strerror}"))
        else:
            self.err.print(Text(f"the timeline is drawn in {path}"))

    def shown(self, result: Replay, compared: Comparison | None) -> Group:
        """Lay out a scenario's account or comparison, and the expectations that failed."""
        story = result.story
        mark, style = ("passed", "bold green") if result.passed else ("FAILED", "bold red")
        title = Text.assemble((story.name, "bold"), "  ", (mark, style))
        about = f"{story.file}: {story.key.id}, {story.key.type}, {story.policy.name}, {story.key.zone.name}"
        shown: list[Text | Table] = [title, Text(about, "dim"), Text()]
        if compared and not self.quiet:
            shown += [_comparison(compared, self.reference), Text()]
        elif not self.quiet:
            shown += [account_table(result), Text()]
        if result.failures:
            shown += [*_failures(result), Text()]
        return Group(*shown)

    def show(self, what: Group) -> None:
        """Print; in a pipe without the blanks that fill up lines."""
        if self.out.is_terminal:
            self.out.print(what)
            return
        sys.stdout.write(rendered(self.out, what))

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


def _table(*columns: str | Text) -> Table:
    """Begin a table; its first column is a time, or as narrow as one."""
    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False, header_style="dim")
    for place, name in enumerate(columns):
        table.add_column(name, no_wrap=not place)
    return table


def account_table(result: Replay, *, brief: bool = False) -> Table:
    """Lay out an account: what happened when, and both states where they change; notices by name if ``brief``."""
    zone = result.story.key.zone
    table = _table("time", "what happened", "entitlement", "auto update")
    table.columns[1].ratio = 1
    table.columns[2].no_wrap = table.columns[3].no_wrap = True
    before = ("", "", "")
    for told in account(result):
        row = (when(told.at, zone), told.entitlement, told.auto_update)
        cells = [now if now != then else "" for now, then in zip(row, before, strict=True)]
        text = (brief and told.brief) or told.text
        table.add_row(cells[0], Text(text, _STYLES[told.kind]), cells[1], cells[2])
        before = row
    return table


def _comparison(compared: Comparison, reference: str) -> Table | Text:
    """Lay out side by side what differs: what happened, the states after it where they part or meet, and the end."""
    story, other = compared.here.story, compared.there.story.policy.name
    if other == story.policy.name != reference:
        other = f"{other} ({reference})"
    if not compared.differs:
        due = ", but for times at which things were due" if compared.only_here or compared.only_there else ""
        return Text(f"Nothing differs under {other}{due}.")
    table = _table("time", Text(f"under {story.policy.name}"), Text(f"under {other}"))
    table.columns[1].ratio = table.columns[2].ratio = 1
    table.expand = True  # the columns are as wide as each other, whatever stands in them
    zone = story.key.zone
    apart = False
    for instant in compared.instants:
        moment = when(instant.at, zone)
        for here, there in instant.rows:
            table.add_row(moment, _side(here), _side(there))
            moment = ""
        if apart or instant.here != instant.there:
            table.add_row("", *(Text(", ".join(states), "dim") for states in (instant.here, instant.there)))
        apart = instant.here != instant.there
    if compared.final:
        table.add_row(when(story.end, zone), *[Text("at the end", "bold")] * 2)
    for name, values in compared.final.items():
        table.add_row(name.replace("_", " "), *(Text(_value(name, value, zone)) for value in values))
    return table


def _side(told: Told | None) -> Text:
    return Text(told.text, _STYLES[told.kind]) if told else Text()


def _failures(result: Replay) -> Iterator[Table | Text]:
    """Lay out the expectations that failed, below the place in the file that expects them."""
    zone = result.story.key.zone
    widest = max(len(failure.what) for failure in result.failures)
    yield _failure_table(widest, heading=True)
    for place, failures in itertools.groupby(result.failures, lambda failure: failure.place):
        yield Text(f"{result.story.file}:{place[0]}", "dim", overflow="fold")
        table = _failure_table(widest, heading=False)
        for failure in failures:
            expected, actual = (_value(failure.what, value, zone) for value in (failure.expected, failure.actual))
            table.add_row(when(failure.at, zone), Text(failure.what), Text(expected, "green"), Text(actual, "red"))
        yield table


def _failure_table(widest: int, *, heading: bool) -> Table:
    table = _table("time", "what", "expected", "actual")
    table.show_header = heading
    table.expand = True  # so that the columns of all the tables stand below each other
    table.columns[0].min_width = _TIME
    table.columns[1].min_width = min(widest, _TIME)
    table.columns[2].ratio = table.columns[3].ratio = 1
    return table


def _value(what: str, value: object, zone: pendulum.Timezone) -> str:
    """Write a value as a scenario does, a time in the license's zone."""
    if value is None:
        return "~"
    if what == "next_check":
        return when(instants.to_ms(dt.datetime.fromisoformat(str(value))), zone)
    return str(value).lower() if isinstance(value, bool) else str(value)


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
