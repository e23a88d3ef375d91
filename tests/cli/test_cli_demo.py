import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from licfsm.cli.main import main


def test_the_demo_tells_the_story_and_draws_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In 80 columns, with the account and the picture at its end."""
    monkeypatch.setenv("COLUMNS", "80")
    picture = tmp_path / "demo.svg"
    result = CliRunner().invoke(main, ["demo", "--picture", str(picture)])
    assert (0, "") == (result.exit_code, result.stderr)
    for words in ("Grace -> FreeMode", "nightly backup refused", "from its journal", "times more"):
        assert words in result.output
    assert max(len(line) for line in result.output.splitlines()) <= max(80, len(str(picture)) + 60)
    assert picture.read_text(encoding="utf-8").startswith("<svg")


def test_a_picture_of_another_kind_is_told(tmp_path: Path) -> None:
    """The story is told all the same."""
    result = CliRunner().invoke(main, ["demo", "--picture", str(tmp_path / "demo.gif")])
    assert 0 == result.exit_code
    assert "not drawn" in result.output


def test_without_its_packages_the_demo_says_which_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, and the status of what cannot be used."""
    for name in ("licfsm.demo.play", "licfsm.demo.mailbox"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "aiosmtpd.controller", None)
    result = CliRunner().invoke(main, ["demo"])
    assert (2, "licfsm demo needs") == (result.exit_code, result.stderr[:17])
    assert "licfsm[web]" in result.stderr
