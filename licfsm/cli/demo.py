"""``licfsm demo``: two months of a license, told as they happen, in under a minute and without any set-up."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from licfsm import instants
from licfsm.cli.output import REFUSED, interruptible, rendered, writing
from licfsm.errors import InvalidValue
from licfsm.lifecycle import ENTITLEMENT

if TYPE_CHECKING:
    from licfsm.demo.host import Job
    from licfsm.demo.play import Act, Checked, Ended, Jobs, Mailed, Moved, Repeated, Told, Written

__all__ = ["demo"]

_WIDEST: Final = 100
_TIME: Final = 13
_A_WORD, _A_SCENE = 0.038, 1.0
"""Seconds for which a terminal stands still for each word, and between two scenes, so that people can follow."""

_STATES: Final = {
    "Valid": "green",
    "Expiring": "yellow",
    "Grace": "yellow",
    "FreeMode": "red",
    "Scheduled": "green",
    "Retrying": "yellow",
    "AutoUpdateDisabled": "red",
}
_MEANS: Final = {
    "Expiring": "it is to be renewed soon",
    "Grace": "expired, and all still works",
    "FreeMode": "only what is free works",
    "Scheduled": "it asks by its schedule",
    "Retrying": "the last check failed",
    "AutoUpdateDisabled": "it gave up",
}
_NAMES: Final = {"entitlement": "license", "auto_update": "automatic update"}
_EXTRA: Final = "licfsm demo needs a web server and a mail server of its own: pip install 'licfsm[plot,web]'"


@click.command()
@click.option("--fast", is_flag=True, help="Do not pause for reading; as in a pipe.")
@click.option("--step", is_flag=True, help="Wait for Enter at the beginning of each scene; on a terminal only.")
@click.option(
    "--picture",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("licfsm-demo.svg"),
    show_default=True,
    help="Where the timeline is drawn at the end, as SVG or HTML; what is there is replaced.",
)
def demo(*, fast: bool, step: bool, picture: Path) -> None:
    """Live through two months of a license: asked for, expired, in grace, given up, renewed.

    A license server (HTTPS on this machine, with an authority of its own), a mail server and a small backup product
    run for real; only the clock is simulated. Nothing is kept but the picture.
    """
    try:
        from licfsm.demo.play import Play
    except ImportError:
        click.echo(_EXTRA, err=True)
        sys.exit(REFUSED)
    from licfsm.diagram.timeline import draw_timeline, drawn_by

    try:
        drawn_by(picture)
    except InvalidValue as error:
        click.echo(str(error), err=True)
        sys.exit(REFUSED)
    console = Console(highlight=False)
    console.width = min(console.width, _WIDEST)
    teller = _Teller(console, pause=console.is_terminal and not fast, step=step and sys.stdin.isatty())
    with writing(), interruptible():
        with tempfile.TemporaryDirectory(prefix="licfsm-demo-") as folder:
            teller.welcome()
            with Play.begun(Path(folder), teller.tell) as play:
                end = play.run()
        draw_timeline(end.result, picture)
        teller.say(Text.assemble("The timeline is drawn in ", (str(picture), "bold"), "; open it in a browser."))


class _Teller:
    """Writes what the play tells."""

    def __init__(self, console: Console, *, pause: bool, step: bool) -> None:
        self._console = console
        self._pause = pause
        self._step = step
        self._last = ""

    def welcome(self) -> None:
        words = """licfsm decides what a license allows, and keeps its key up to date. Here a backup product embeds it. The
            license server, the mail server and the key files are real, on this machine; only the clock is simulated. The
            license is ACME-1, a subscription. How often the server is asked, and what happens after the expiration date,
            a policy says: here veeam-9, one that comes with licfsm. The key is written to two places: the backup server,
            and the Enterprise Manager, from which several of these are managed."""
        self.say(Text("Two months of a license", "bold"), Text(" ".join(words.split())), pause=self._pause)

    def say(self, *lines: RenderableType, pause: bool = False) -> None:
        """Write lines, without blanks at their ends, and wait until they can have been read."""
        text = rendered(self._console, *lines)
        sys.stdout.write(text)
        sys.stdout.flush()
        if pause:
            time.sleep(_A_WORD * len(text.split()))

    def tell(self, told: Told) -> None:
        """Write it, and wait; after the end there is nothing to wait for."""
        kind = type(told).__name__
        if kind in {"Act", "Ended"}:
            self._begin()
        self.say(*getattr(self, f"_{kind.lower()}")(told), pause=self._pause and kind != "Ended")

    def _begin(self) -> None:
        """Let what was told sink in, before the next scene."""
        if self._step:
            sys.stdout.write("\n(Enter goes on) ")
            sys.stdout.flush()
            sys.stdin.readline()
        elif self._pause:
            time.sleep(_A_SCENE)

    # ------------------------------------------------------------------------------------ line by line

    def _line(self, at: int, text: Text) -> Table:
        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_column(width=_TIME, no_wrap=True)
        table.add_column()
        when = _moment(at)
        table.add_row(Text("" if when == self._last else when, "dim"), text)
        self._last = when
        return table

    def _act(self, told: Act) -> list[RenderableType]:
        self._last = ""
        when = instants.from_ms(told.at).format("D MMMM YYYY, HH:mm")
        heading = Text.assemble((f"{when}: {told.title}", "bold"))
        return [Text(), heading, Text(told.text)]

    def _checked(self, told: Checked) -> list[RenderableType]:
        asked = "asked one last time: " if told.last else "asked the license server: "
        words = Text.assemble(asked, (told.said, "yellow" if told.failed else "green"))
        if told.next_at is not None:
            words.append(f" (next on {_moment(told.next_at)})")
        return [self._line(told.at, words)]

    def _repeated(self, told: Repeated) -> list[RenderableType]:
        asked = f"asked {_times(told.times)} more, the same result" if told.times else ""
        if told.until > told.at:
            asked += f", until {_moment(told.until)}"
        often = f"{_times(told.mails)} more" if asked else "again"
        mailed = f"the failure was mailed {often}" if told.mails else ""
        return [self._line(told.at, Text("; ".join(filter(None, (asked, mailed))), "dim"))]

    def _written(self, told: Written) -> list[RenderableType]:
        if told.done:
            return [self._line(told.at, Text(f"the key was written to the {told.target}", "green"))]
        words = f"the key could not be written to the {told.target}; that is tried again every 60 minutes"
        return [self._line(told.at, Text(words, "yellow"))]

    def _moved(self, told: Moved) -> list[RenderableType]:
        words = Text.assemble(
            f"{_NAMES[told.region]}: {told.source} -> ", (told.target, f"bold {_STATES[told.target]}")
        )
        if told.target in _MEANS:
            words.append(f" ({_MEANS[told.target]})")
        if told.region == ENTITLEMENT:
            words.append(f', shown as "{told.status}"')
        return [self._line(told.at, words)]

    def _jobs(self, told: Jobs) -> list[RenderableType]:
        words = Text("jobs: ")
        for place, job in enumerate(told.jobs):
            words.append(", " if place else "")
            words.append(f"{job.name} ")
            words.append(*_may(job))
        lines: list[RenderableType] = [self._line(told.at, words)]
        warnings = {job.warning for job in told.jobs if job.warning}
        lines += [
            self._line(told.at, Text(f'shown in the paid jobs: "{warning}"', "yellow")) for warning in sorted(warnings)
        ]
        return lines

    def _mailed(self, told: Mailed) -> list[RenderableType]:
        return [self._line(told.at, Text.assemble(("mail: ", "cyan"), told.subject))]

    # ------------------------------------------------------------------------------------ the end

    def _ended(self, told: Ended) -> list[RenderableType]:
        from licfsm.cli.replay import account_table
        from licfsm.scenario.replay import Check

        checks = [line for line in told.result.trace if isinstance(line, Check)]
        failed = sum(check.failed for check in checks)
        held = ", ".join(f"the {name} {'holds it' if holds else 'does not hold it'}" for name, holds in told.held)
        end = instants.from_ms(told.at).format("D MMMM")
        always = f"At no time was this refused: {' and '.join(told.always)}." if told.always else ""
        return [
            Text(),
            Text(f"{end}: the same from the first key on, by the journal that licfsm keeps", "bold"),
            Text("(entitlement: what the license allows; host: what the administrator does in the product)"),
            account_table(told.result, brief=True),
            Text(),
            Text(f"License {told.status.license}: {told.status.text}. The new key: {held}."),
            Text(
                f"{len(checks)} checks over HTTPS, of which {failed} failed, as was staged; {told.mails} mails. {always}"
            ),
        ]


def _moment(at: int) -> str:
    return instants.from_ms(at).format("D MMM HH:mm")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _may(job: Job) -> tuple[str, str]:
    if not job.runs:
        return "refused", "bold red"
    return ("runs, with a warning", "yellow") if job.warning else ("runs", "green")
