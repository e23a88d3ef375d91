"""``licfsm replay``: tell what happens to a license, when, and whether it is what the story expects."""

from __future__ import annotations

import json
import sys

import click

from licfsm.errors import InvalidFile
from licfsm.loading.scenarios import load_scenario, scenario_files
from licfsm.scenario.replay import replay as live
from licfsm.scenario.report import document, refused_document

__all__ = ["replay"]


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document a scenario, a line each.")
def replay(paths: tuple[str, ...], *, as_json: bool) -> None:
    """Replay scenario files."""
    status = 0
    for path in scenario_files(list(paths)):
        try:
            result = live(load_scenario(path))
        except InvalidFile as error:
            status = 2
            print(json.dumps(refused_document(str(path), error.mistakes)))
            continue
        if not result.passed:
            status = max(status, 1)
        print(json.dumps(document(result)))
    sys.exit(status)
