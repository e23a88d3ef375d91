"""The generated files: what is in them, and whether committed ones are still what the code says.

An SVG depends on the version of Graphviz, so it cannot be compared with a fresh one. It carries the
SHA-256 of the DOT text that it was drawn from, and of itself: both are checked without drawing anything.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import graphviz

from licfsm.diagram.dot import dot_of
from licfsm.diagram.graph import graph_of
from licfsm.diagram.markdown import markdown_of
from licfsm.diagram.mermaid import mermaid_of
from licfsm.diagram.wording import REGION_TITLES, of_policies
from licfsm.policy import Policy

__all__ = ["artifacts", "drift", "svg_of"]

_TITLE: Final = "The lifecycle of a license"
_STAMP: Final = "<!-- SHA-256 of the DOT: {} and of this picture: {} -->\n"
_STAMPED: Final = re.compile(_STAMP.format("([0-9a-f]{64})", "([0-9a-f]{64})"))


def artifacts(policies: Sequence[Policy]) -> dict[str, str]:
    """List the generated files but for the SVGs: file name -> text.

    Args:
        policies: whose durations are told; one alone is named in titles and file names.

    """
    wording = of_policies(policies)
    suffix = f"-{re.sub(r'[^A-Za-z0-9._-]', '-', wording.policy)}" if wording.policy else ""
    named = f" (policy {wording.policy})" if wording.policy else ""
    graphs = [graph_of(region, wording) for region in REGION_TITLES]
    pictures = {"statechart": (graphs, _TITLE)}
    for graph in graphs:
        pictures[graph.region.replace("_", "-")] = ([graph], REGION_TITLES[graph.region])
    texts = {}
    for name, (shown, title) in pictures.items():
        texts[f"{name}{suffix}.dot"] = dot_of(shown, title + named)
        texts[f"{name}{suffix}.mmd"] = mermaid_of(shown, title + named)
    texts[f"lifecycle{suffix}.md"] = markdown_of(wording, policies, _TITLE + named, f"statechart{suffix}.svg")
    return texts


def svg_of(dot: str) -> str | None:
    """Draw a DOT text with Graphviz; None if its ``dot`` is not there."""
    try:
        svg = graphviz.Source(dot).pipe(format="svg", encoding="utf-8")
    except graphviz.ExecutableNotFound:
        return None
    svg = svg.replace("\r\n", "\n")
    head, _, body = svg.partition("\n")
    return f"{head}\n{_STAMP.format(_sha256(dot), _sha256(svg))}{body}"


def drift(folder: Path, texts: dict[str, str]) -> dict[str, str]:
    """Find the committed files that are not what the code says; needs no Graphviz.

    Args:
        folder: where they are.
        texts: the files of `artifacts`; each DOT is expected to have its SVG.

    Returns:
        File name -> what is wrong with it.

    """
    wrong = {}
    for name, text in texts.items():
        if (found := _read(folder / name)) != text:
            wrong[name] = "is missing" if found is None else "is not what the code says"
        if name.endswith(".dot"):
            picture = name.removesuffix(".dot") + ".svg"
            if mistake := _picture_drift(_read(folder / picture), text):
                wrong[picture] = mistake
    return wrong


def _picture_drift(svg: str | None, dot: str) -> str:
    if svg is None:
        return "is missing"
    stamp = _STAMPED.search(svg)
    if stamp is None:
        return "does not say what it was drawn from"
    if stamp[1] != _sha256(dot):
        return "was drawn from another DOT"
    return "" if stamp[2] == _sha256(svg.replace(stamp[0], "", 1)) else "was changed after it was drawn"


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
