"""``licfsm diagrams``: draw the lifecycle, or check that what was drawn is still true."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from licfsm.errors import InvalidFile, InvalidValue
from licfsm.loading.policies import available, built_in, find_policy

__all__ = ["diagrams"]


@click.command()
@click.option("--out", default="diagrams", show_default=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--policy", "reference", metavar="NAME", help="Show this policy's durations: a name, or a YAML file.")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a file is not what the code says.")
def diagrams(out: Path, reference: str | None, *, check: bool) -> None:
    """Draw the lifecycle: DOT, SVG, Mermaid, Markdown.

    Without --policy, arrows show a duration only where all built-in policies agree on it.
    """
    from licfsm.diagram.artifacts import artifacts, drift, svg_of

    try:
        policies = [find_policy(reference, Path())] if reference else [built_in(name) for name in available()]
    except (InvalidFile, InvalidValue) as error:
        raise click.UsageError(str(error)) from error
    texts = artifacts(policies)
    if check:
        wrong = drift(out, texts)
        for name, mistake in wrong.items():
            print(f"{out / name} {mistake}")
        if wrong:
            again = f"licfsm diagrams{f' --policy {reference}' if reference else ''} --out {out}"
            print(f"Draw anew with: {again}", file=sys.stderr)
        sys.exit(1 if wrong else 0)
    pictures = {
        name.removesuffix(".dot") + ".svg": svg_of(text) for name, text in texts.items() if name.endswith(".dot")
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, text in sorted((texts | pictures).items()):
        if text is not None:
            (out / name).write_text(text, encoding="utf-8", newline="\n")
            print(out / name)
    if None in pictures.values():
        print(
            "No SVG was drawn: Graphviz's `dot` is not on PATH. Get it by `apt install graphviz`,"
            " `brew install graphviz` or from https://graphviz.org/download/.",
            file=sys.stderr,
        )
