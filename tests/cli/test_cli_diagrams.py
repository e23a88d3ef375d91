from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from licfsm.cli.main import main
from licfsm.diagram.render import draw

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "diagrams"
FEBRUARY = ROOT / "scenarios" / "1-dates" / "1.5-february-has-28-days-of-retry.yaml"

needs_graphviz = pytest.mark.skipif(draw("digraph {}", "svg") is None, reason="nothing here can draw")


@pytest.fixture
def _no_graphviz(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "pygraphviz", None)


def run(*arguments: object) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["diagrams", *map(str, arguments)])


def written(folder: Path) -> set[str]:
    """List the files of a folder."""
    return {path.name for path in folder.iterdir()}


@pytest.mark.usefixtures("_no_graphviz")
def test_the_committed_files_are_what_the_code_says() -> None:
    """Whoever changes the table or a policy draws them anew; finding that out needs no Graphviz."""
    result = run("--check", "--out", COMMITTED)

    assert ("", 0) == (result.output, result.exit_code)


def test_nothing_else_is_committed() -> None:
    """A file of an earlier set would be found by readers, and by no check."""
    assert {"rules.md", "lifecycle.md"} == {path.name for path in COMMITTED.glob("*.md")}
    stems = [sorted(path.stem for path in COMMITTED.glob(f"*{end}")) for end in (".dot", ".mmd", ".svg")]
    assert stems[0] == stems[1] == stems[2]


@needs_graphviz
def test_everything_is_drawn(tmp_path: Path) -> None:
    """Each picture as DOT, SVG and Mermaid, the table as Markdown; a second look finds no drift."""
    result = run("--out", tmp_path)

    assert 0 == result.exit_code
    assert written(COMMITTED) - {"rules.md"} == written(tmp_path)
    assert sorted(result.output.splitlines()) == sorted(str(tmp_path / name) for name in written(tmp_path))
    assert 0 == run("--check", "--out", tmp_path).exit_code


@needs_graphviz
def test_a_story_is_drawn(tmp_path: Path) -> None:
    """Only its path, and nothing in words."""
    result = run("--scenario", FEBRUARY, "--out", tmp_path)

    assert 0 == result.exit_code
    assert {f"path-{FEBRUARY.stem}{end}" for end in (".dot", ".svg", ".mmd")} == written(tmp_path)
    assert 0 == run("--check", "--scenario", FEBRUARY, "--out", tmp_path).exit_code


@needs_graphviz
def test_only_wanted_formats_are_written(tmp_path: Path) -> None:
    """Formats add up."""
    run("--scenario", FEBRUARY, "--format", "png", "--format", "pdf", "--out", tmp_path)

    assert {f"path-{FEBRUARY.stem}.png", f"path-{FEBRUARY.stem}.pdf"} == written(tmp_path)
    assert (tmp_path / f"path-{FEBRUARY.stem}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("_no_graphviz")
def test_a_policys_files_are_its_own(tmp_path: Path) -> None:
    """One overview and one table, and the rest is left alone."""
    run("--policy", "veeam-9", "--out", tmp_path)

    assert {"overview-veeam-9.dot", "overview-veeam-9.mmd", "lifecycle-veeam-9.md"} == written(tmp_path)


@pytest.mark.usefixtures("_no_graphviz")
def test_a_policy_file_is_drawn_under_its_own_name(tmp_path: Path) -> None:
    """Another product's policy needs no place in this package."""
    (tmp_path / "acme.yaml").write_text("version: 1\npolicy: acme/1\nextends: veeam-9\nexpiring: 3 weeks\n")
    run("--policy", tmp_path / "acme.yaml", "--out", tmp_path)

    assert "3 weeks before" in (tmp_path / "overview-acme-1.mmd").read_text(encoding="utf-8")


@pytest.mark.usefixtures("_no_graphviz")
def test_without_graphviz_the_rest_is_written(tmp_path: Path) -> None:
    """One line says how to get it, and the exit status is 0: nobody asked for the pictures by name."""
    result = run("--out", tmp_path / "new")

    assert 0 == result.exit_code
    assert {name for name in written(COMMITTED) - {"rules.md"} if not name.endswith(".svg")} == written(
        tmp_path / "new"
    )
    assert 1 == sum("pip install" in line for line in result.output.splitlines())


@pytest.mark.usefixtures("_no_graphviz")
def test_a_picture_asked_for_by_name_must_be_drawn(tmp_path: Path) -> None:
    """What could not be drawn is an error then; what is text is written all the same."""
    result = run("--format", "png", "--format", "pdf", "--format", "dot", "--out", tmp_path)

    assert 1 == result.exit_code
    assert 1 == sum(line.startswith("No PNG, PDF was drawn: ") for line in result.output.splitlines())
    assert "statechart.dot" in written(tmp_path)


def test_without_either_a_real_shell_tells_the_same(tmp_path: Path) -> None:
    """No PATH, and a pygraphviz that cannot be imported."""
    (tmp_path / "pygraphviz.py").write_text("raise ImportError\n")
    done = subprocess.run(
        [sys.executable, "-m", "licfsm", "diagrams", "--format", "svg", "--out", str(tmp_path / "out")],
        env={**os.environ, "PATH": "", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (1, "") == (done.returncode, done.stdout)
    assert 1 == len(done.stderr.splitlines())


def test_checking_names_each_file_and_ends_with_1(tmp_path: Path) -> None:
    """The command line tells which files drifted, and how to draw them anew."""
    folder = Path(shutil.copytree(COMMITTED, tmp_path / "diagrams"))
    (folder / "lifecycle.md").unlink()
    result = run("--check", "--out", folder)

    assert 1 == result.exit_code
    assert f"{folder / 'lifecycle.md'} is missing" == result.output.splitlines()[0]
    assert f"Draw anew with: licfsm diagrams --out {folder}" in result.output


def test_checking_a_policy_says_how_to_draw_it(tmp_path: Path) -> None:
    """The hint can be pasted."""
    result = run("--check", "--policy", "veeam-9", "--out", tmp_path)

    assert 1 == result.exit_code
    assert f"Draw anew with: licfsm diagrams --policy veeam-9 --out {tmp_path}" in result.output


def test_a_misspelled_policy_is_refused(tmp_path: Path) -> None:
    """The nearest name is offered, and nothing is written."""
    result = run("--policy", "veam-9", "--out", tmp_path / "new")

    assert (2, False) == (result.exit_code, (tmp_path / "new").exists())
    assert "did you mean 'veeam-9'?" in result.output


def test_a_policy_file_with_mistakes_is_refused(tmp_path: Path) -> None:
    """Each mistake has its place."""
    file = tmp_path / "acme.yaml"
    file.write_text("version: 1\npolicy: acme\nextends: veeam-9\nexpiring: soon\n")
    result = run("--policy", file, "--out", tmp_path)

    assert 2 == result.exit_code
    assert f"{file}:4:11: " in result.output


def test_a_story_with_mistakes_is_refused(tmp_path: Path) -> None:
    """Each mistake on a line, with its place, and nothing is written."""
    file = tmp_path / "story.yaml"
    file.write_text("version: 1\nscenario: x\npolicy: veam-9\nstart: 2025-02-01\n")
    result = run("--scenario", file, "--out", tmp_path / "new")

    assert (2, False) == (result.exit_code, (tmp_path / "new").exists())
    assert result.output.splitlines()
    assert all(line.startswith(f"{file}:") for line in result.output.splitlines())


@pytest.mark.parametrize("what", ["missing.yaml", ".", "a\nb"])
def test_a_story_that_is_not_there_is_one_line(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback for a name that is mistyped."""
    monkeypatch.chdir(tmp_path)
    result = run("--scenario", what)

    assert 2 == result.exit_code
    assert isinstance(result.exception, SystemExit)


def test_a_story_that_does_not_come_true_is_drawn_and_told(tmp_path: Path) -> None:
    """The path is what happened, and a reader must know that it is not what was expected."""
    file = tmp_path / "story.yaml"
    file.write_text(
        "version: 1\nscenario: x\npolicy: veeam-9\nlicense: {id: A, type: rental, expires: 2025-02-14}\n"
        "start: 2025-02-01\nuntil: 2025-02-16\ntimeline:\n  - {at: start, expect: {entitlement: Grace}}\n"
    )
    result = run("--scenario", file, "--format", "dot", "--out", tmp_path)

    assert 0 == result.exit_code
    assert f"{file}: 1 of its expectations does not hold" in result.output
    assert "path-story.dot" in written(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--scenario", FEBRUARY, "--policy", "veeam-9"), "leave out --policy"),
        (("--scenario", FEBRUARY, "--format", "md"), "has no Markdown"),
        (("--check", "--format", "svg"), "leave out --format"),
        (("--format", "gif"), "'gif' is not one of"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: tuple[object, ...], told: str) -> None:
    """The message says what to leave out."""
    result = run(*arguments)

    assert 2 == result.exit_code
    assert told in " ".join(result.output.split())


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    """The place is named."""
    (tmp_path / "taken").write_text("")
    result = run("--out", tmp_path / "taken", "--format", "md")

    assert (2, f"cannot write {tmp_path / 'taken'}: File exists\n") == (result.exit_code, result.output)


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """The place is named."""
    (tmp_path / "lifecycle.md").mkdir()
    result = run("--out", tmp_path, "--format", "md")

    assert (2, f"cannot write {tmp_path / 'lifecycle.md'}: Is a directory\n") == (result.exit_code, result.output)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("full", ["stdout", "file"])
def test_a_full_disk_is_told_in_one_line(full: str, tmp_path: Path) -> None:
    """Whether the file or the list of files finds no room."""
    if full == "file":
        (tmp_path / "lifecycle.md").symlink_to("/dev/full")
    with Path("/dev/full" if full == "stdout" else "/dev/null").open("w", encoding="utf-8") as out:
        done = subprocess.run(
            [sys.executable, "-m", "licfsm", "diagrams", "--format", "md", "--out", str(tmp_path)],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert 2 == done.returncode
    place = f" {tmp_path / 'lifecycle.md'}" if full == "file" else ""
    assert f"cannot write{place}: No space left on device\n" == done.stderr


def test_a_reader_that_goes_away_ends_it_in_silence(tmp_path: Path) -> None:
    """As it is with `| head -0`."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "licfsm", "diagrams", "--format", "md", "--out", str(tmp_path)],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)

    assert "" == done.stderr
