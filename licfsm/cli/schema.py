"""``licfsm schema``: what an editor needs to complete and check scenarios and policies."""

from __future__ import annotations

from importlib.resources import files

import click

from licfsm.cli.output import writing

__all__ = ["schema"]


@click.command()
@click.argument("kind", type=click.Choice(["scenario", "policy"]))
def schema(kind: str) -> None:
    """Print the JSON Schema of scenario or policy files, for an editor to complete and check them.

    \b
    Write it beside your files:
      licfsm schema scenario > scenario.schema.json
    and name it in the first line of each:
      # yaml-language-server: $schema=scenario.schema.json
    """  # noqa: D301 - click's mark for a paragraph that keeps its lines
    with writing():
        click.echo((files("licfsm") / "schemas" / f"{kind}.json").read_text(encoding="utf-8"), nl=False)
