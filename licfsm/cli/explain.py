"""``licfsm explain``: why a license is as it is at some time of a story, and what comes next."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from licfsm.cli.output import REFUSED, writing
from licfsm.errors import InvalidFile, InvalidValue

__all__ = ["explain"]


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--at",
    "moment",
    metavar="TIME",
    help="When, as times are written in the file: 2025-02-14T09:00,"
    " 'expiry + 2 days'. The end of the story by default; later than that is fine.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def explain(file: Path, moment: str | None, *, as_json: bool) -> None:
    """Explain a license at a time of its story.

    Tells both states and what led there, what comes next, what the user sees, and what the host may do.
    Exit status: 0, or 2 if the file is refused or TIME is none.
    """
    from licfsm.loading.scenarios import load_scenario
    from licfsm.scenario.causes import causes
    from licfsm.scenario.replay import replay

    try:
        result = replay(load_scenario(file, until=moment))
    except InvalidFile as error:
        click.echo(str(error), err=True)
        sys.exit(REFUSED)
    except InvalidValue as error:
        click.echo(f"--at: {error}", err=True)
        sys.exit(REFUSED)
    explanation = result.license.explain(causes(result))
    with writing():
        click.echo(json.dumps(explanation.as_dict()) if as_json else str(explanation))
