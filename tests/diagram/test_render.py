from __future__ import annotations

import shutil
import sys

import pytest

from licfsm.diagram.render import PICTURES, draw

DOT = "digraph { a -> b }"
HEADS = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")


@pytest.fixture
def _no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")


@pytest.fixture
def _no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygraphviz", None)


@needs_dot
@pytest.mark.usefixtures("_no_package")
@pytest.mark.parametrize("form", PICTURES)
def test_graphviz_draws(form: str) -> None:
    """The program is enough."""
    assert HEADS[form] == (draw(DOT, form) or b"")[: len(HEADS[form])]


@pytest.mark.usefixtures("_no_program")
@pytest.mark.parametrize("form", PICTURES)
def test_pygraphviz_draws(form: str) -> None:
    """The extra is enough: its wheel brings Graphviz along."""
    pytest.importorskip("pygraphviz")

    assert HEADS[form] == (draw(DOT, form) or b"")[: len(HEADS[form])]


@pytest.mark.usefixtures("_no_program", "_no_package")
def test_without_either_there_is_no_picture() -> None:
    """That is told by nothing, not by an error."""
    assert draw(DOT, "svg") is None


@needs_dot
@pytest.mark.usefixtures("_no_package")
def test_a_format_that_graphviz_lacks_gives_no_picture() -> None:
    """A Graphviz without PDF is no reason to crash."""
    assert draw(DOT, "pct") is None


@pytest.mark.usefixtures("_no_program")
def test_a_format_that_pygraphviz_lacks_gives_no_picture() -> None:
    """Likewise the package."""
    pytest.importorskip("pygraphviz")

    assert draw("no graph", "svg") is None
