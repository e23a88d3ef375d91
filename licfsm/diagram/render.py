"""DOT drawn as SVG, PNG or PDF: by Graphviz's ``dot``, or by the Graphviz that pygraphviz brings along.

``dot`` on PATH comes first, since its pictures do not depend on what else is installed in Python. Without it
the extra ``render`` is enough: pygraphviz's wheels bundle Graphviz. Without either there is no picture, but
everything that is text.
"""

from __future__ import annotations

import importlib
from typing import Final

import graphviz

__all__ = ["HELP", "PICTURES", "draw"]

PICTURES: Final = ("svg", "png", "pdf")
"""The formats that need Graphviz."""

HELP: Final = (
    "Graphviz's `dot` is not on PATH and pygraphviz is not installed, or they cannot draw. Get either:"
    " `pip install 'licfsm[render]'`, `apt install graphviz`, `brew install graphviz`,"
    " or https://graphviz.org/download/."
)


def draw(dot: str, form: str) -> bytes | None:
    """Draw a picture.

    Args:
        dot: what to draw.
        form: one of `PICTURES`.

    Returns:
        The picture, or None if nothing here can draw it.

    """
    return _by_program(dot, form) or _by_package(dot, form)


def _by_program(dot: str, form: str) -> bytes | None:
    try:
        return bytes(graphviz.Source(dot).pipe(format=form, quiet=True))
    except (graphviz.ExecutableNotFound, graphviz.CalledProcessError, OSError):
        return None


def _by_package(dot: str, form: str) -> bytes | None:
    try:
        pygraphviz = importlib.import_module("pygraphviz")  # an extra, which ships no types
    except ImportError:  # not installed, or its own libraries are missing
        return None
    try:
        return bytes(pygraphviz.AGraph(string=dot).draw(format=form, prog="dot"))
    except (OSError, ValueError):  # built without this format
        return None
