"""``licfsm diagrams``: draw the lifecycle or a story's path, or check that what was drawn is still true."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from licfsm.cli.output import FAILED, REFUSED, writing
from licfsm.errors import InvalidFile, InvalidValue
from licfsm.loading.policies import available, built_in, find_policy

if TYPE_CHECKING:
    from licfsm.diagram.artifacts import Artifacts

__all__ = ["diagrams"]

_FORMATS: Final = ("dot", "svg", "mermaid", "md", "png", "pdf")
_DEFAULT: Final = _FORMATS[:4]


@click.command()
@click.option("--out", default="diagrams", show_default=True, metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--policy", "reference", metavar="NAME", help="Only this policy's overview and table: a name, or a YAML file."
)
@click.option("--scenario", metavar="FILE", help="Only the path of this story through the lifecycle.")
@click.option(
    "--format", "formats", multiple=True, type=click.Choice(_FORMATS), help="Write only this; may be repeated."
)
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a file is not what the code says.")
def diagrams(out: Path, reference: str | None, scenario: str | None, formats: tuple[str, ...], *, check: bool) -> None:
    """Draw the lifecycle, as DOT, SVG, Mermaid and Markdown.

    \b
    statechart, entitlement, auto-update   the lifecycle, its two regions
    overview-<policy>                      with the figures of each policy
    lifecycle.md                           the table in words
    path-<file>                            where a story went (--scenario)

    SVG, PNG and PDF need Graphviz; the rest is always written. Exit status: 1 if a picture asked for by
    --format could not be drawn, or --check found a difference; 2 if a file is refused or cannot be written.
    """  # noqa: D301 - click's mark for lines that stay as they are
    if scenario and reference:
        message = "a story is drawn with the figures of its own policy; leave out --policy"
        raise click.UsageError(message)
    if scenario and "md" in formats:
        message = "a story's path has no Markdown; take one of dot, svg, mermaid, png, pdf"
        raise click.UsageError(message)
    if check and formats:
        message = "--check looks at every format; leave out --format"
        raise click.UsageError(message)
    try:
        wanted = _path(scenario) if scenario else _lifecycle(reference)
    except InvalidFile as error:
        for mistake in error.mistakes:
            click.echo(str(mistake), err=True)
        sys.exit(REFUSED)
    if check:
        options = {"--policy": reference, "--scenario": scenario}
        sys.exit(_check(out, wanted, "".join(f"{name} {value} " for name, value in options.items() if value)))
    with writing():
        undrawn = _write(out, wanted, formats or _DEFAULT)
    if undrawn:
        from licfsm.diagram.render import HELP

        click.echo(f"No {', '.join(form.upper() for form in undrawn)} was drawn: {HELP}", err=True)
        sys.exit(FAILED if formats else 0)


def _lifecycle(reference: str | None) -> Artifacts:
    """List the files of the lifecycle, or of one policy."""
    from licfsm.diagram.artifacts import of_lifecycle, of_policy

    if reference is None:
        return of_lifecycle([built_in(name) for name in sorted(available(), key=_numbered)])
    try:
        return of_policy(find_policy(reference, Path()))
    except InvalidValue as error:
        raise click.BadParameter(str(error), param_hint="--policy") from error


def _numbered(name: str) -> list[tuple[int, str]]:
    """Order names by the numbers in them, so that 13 comes after 9."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


def _path(scenario: str) -> Artifacts:
    """Live through a story, and list the file of its path."""
    from licfsm.diagram.artifacts import of_story
    from licfsm.loading.scenarios import load_scenario
    from licfsm.scenario.replay import replay

    result = replay(load_scenario(Path(scenario)))
    if failed := len(result.failures):
        click.echo(
            f"{scenario}: {failed} of its expectations {'does' if failed == 1 else 'do'} not hold;"
            f" `licfsm replay {scenario}` shows them. Its path is what happened.",
            err=True,
        )
    return of_story(result)


def _check(out: Path, wanted: Artifacts, options: str) -> int:
    """Tell what is not as it should be."""
    from licfsm.diagram.artifacts import drift

    wrong = drift(out, wanted)
    for name, mistake in wrong.items():
        click.echo(f"{out / name} {mistake}")
    if wrong:
        click.echo(f"Draw anew with: licfsm diagrams {options}--out {out}", err=True)
    return FAILED if wrong else 0


def _write(out: Path, wanted: Artifacts, formats: Sequence[str]) -> list[str]:
    """Write the files, and name the formats that could not be drawn."""
    from licfsm.diagram.render import PICTURES

    out.mkdir(parents=True, exist_ok=True)
    for name, text in wanted.texts(formats).items():
        _save(out / name, text.encode())
    return [form for form in PICTURES if form in formats and not _drawn(out, wanted, form)]


def _drawn(out: Path, wanted: Artifacts, form: str) -> bool:
    """Draw all pictures in a format; False, and none, if nothing here can draw it."""
    for name, picture in wanted.pictures.items():
        data = picture.drawn(form)
        if data is None:
            return False
        _save(out / f"{name}.{form}", data)
    return True


def _save(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from error
    click.echo(str(path))
