import os
import signal
import subprocess
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
    for words in ("Grace -> FreeMode", "nightly backup refused", "by the journal", "times more"):
        assert words in result.output
    assert max(len(line) for line in result.output.splitlines()) <= max(80, len(str(picture)) + 60)
    assert picture.read_text(encoding="utf-8").startswith("<svg")


def test_a_picture_of_another_kind_is_refused_before_the_story(tmp_path: Path) -> None:
    """Nobody waits for it in vain."""
    result = CliRunner().invoke(main, ["demo", "--picture", str(tmp_path / "demo.gif")])
    assert (2, "") == (result.exit_code, result.stdout)
    assert "ends in .svg or .html, not to 'demo.gif'" in result.stderr


def test_a_picture_that_cannot_be_written_takes_nothing_from_the_story(tmp_path: Path) -> None:
    """All is told to its end, and then which file could not be written."""
    picture = tmp_path / "nowhere" / "demo.svg"
    result = CliRunner().invoke(main, ["demo", "--picture", str(picture)])
    assert (2, f"cannot write {picture}: No such file or directory\n") == (result.exit_code, result.stderr)
    assert "157 failed" in result.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("wish", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_who_ends_it_in_the_middle_leaves_nothing(tmp_path: Path, wish: str) -> None:
    """Whether by Ctrl-C, by kill, or by closing the terminal: its folder is gone."""
    process = subprocess.Popen(
        [sys.executable, "-m", "licfsm", "demo", "--picture", str(tmp_path / "demo.svg")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert process.stdout
    assert any("a license key is installed" in line.lower() for line in process.stdout)
    assert [] != list(tmp_path.iterdir())
    process.send_signal(getattr(signal, wish))
    _, told = process.communicate(timeout=30)
    assert (1, "Aborted!") == (process.returncode, told.strip())
    assert [] == list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX terminals")
def test_with_step_each_scene_waits_for_enter(tmp_path: Path) -> None:
    """Seven scenes and the end; on a terminal nothing goes on before."""
    import pty

    mine, its = pty.openpty()
    picture = tmp_path / "demo.svg"
    process = subprocess.Popen(
        [sys.executable, "-m", "licfsm", "demo", "--step", "--fast", "--picture", str(picture)],
        stdin=its,
        stdout=its,
        stderr=its,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "1"},
    )
    os.close(its)
    shown, waits = "", 0
    while part := _read(mine):
        shown += part
        if shown.count("(Enter goes on)") > waits:
            waits += 1
            assert process.poll() is None
            os.write(mine, b"\n")
    os.close(mine)
    assert (0, 8) == (process.wait(30), waits)
    assert "157 failed" in shown


def _read(terminal: int) -> str:
    """Read some more of what is shown; empty at its end."""
    try:
        return os.read(terminal, 65536).decode("utf-8", "replace")
    except OSError:  # the terminal's end
        return ""


def test_without_its_packages_the_demo_says_which_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, and the status of what cannot be used."""
    for name in ("licfsm.demo.play", "licfsm.demo.mailbox"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "aiosmtpd.controller", None)
    result = CliRunner().invoke(main, ["demo"])
    assert (2, "licfsm demo needs") == (result.exit_code, result.stderr[:17])
    assert "licfsm[plot,web]" in result.stderr
