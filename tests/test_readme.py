"""The README's commands, snippets and tables are run, not believed."""

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from licfsm import testing
from licfsm.loading.scenarios import scenario_files

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ENVIRONMENT = os.environ | {"COLUMNS": "80", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}


def licfsm(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "licfsm", *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def blocks(kind: str) -> list[tuple[str, str]]:
    """Find the fenced blocks that a comment names: (what it names, the block's text)."""
    return re.findall(rf"<!-- {kind}: ([^\n]+) -->\n```\w+\n(.*?)\n```", README, re.DOTALL)


@pytest.mark.parametrize(("name", "text"), blocks("file"))
def test_shown_files_are_the_files(name: str, text: str) -> None:
    """A file shown in the README reads as it lies in the checkout."""
    assert (ROOT / name).read_text(encoding="utf-8").rstrip() == text


@pytest.mark.parametrize(("command", "text"), blocks("run"))
def test_shown_output_is_what_the_command_prints(command: str, text: str) -> None:
    """What the README shows of a command is what it prints, the rest of it aside."""
    lines = [line.rstrip() for line in licfsm(*shlex.split(command)).stdout.splitlines()]
    assert text.splitlines() == lines[: len(text.splitlines())]


COMMANDS = [
    commands
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    if (commands := re.findall(r"^(licfsm .+?)(?:\s+#.*)?$", block, re.MULTILINE))
]


@pytest.mark.parametrize("commands", COMMANDS, ids=lambda commands: commands[0])
def test_shown_commands_run(commands: list[str], tmp_path: Path) -> None:
    """Every command of licfsm that the README shows ends well, one after another, on files of the names it uses."""
    if "png" in str(commands) and not shutil.which("dot"):
        pytest.importorskip("pygraphviz")
    if "--picture" in str(commands):
        pytest.importorskip("altair")
    folder = ROOT / "scenarios"
    shutil.copy(folder / "1-dates" / "1.5-february-has-28-days-of-retry.yaml", tmp_path / "STORY.yaml")
    shutil.copy(folder / "9-your-own-policy" / "sketchpad.yaml", tmp_path)
    testing.make_world(store=tmp_path / "licenses.db").manager.close()
    for command in commands:
        done = licfsm(*shlex.split(command)[1:], folder=tmp_path)
        assert (0, True) == (done.returncode, "Traceback" not in done.stderr), done.stdout + done.stderr


def test_enough_commands_are_shown() -> None:
    """The commands above are found: keys, stores, drawing, pictures and comparisons."""
    shown = {command.split()[1] for commands in COMMANDS for command in commands}
    assert {"devserver", "diagrams", "doctor", "key", "notify", "replay"} == shown


def test_the_example_of_a_hosts_test_is_that_of_the_module() -> None:
    """What the README shows is what `licfsm.testing` says of itself, and a test of that module lives it."""
    (example,) = blocks("example")
    assert textwrap.indent(example[1], "    ").splitlines() == [
        line for line in str(testing.__doc__).splitlines() if line.startswith("    ")
    ]


def test_the_python_snippet_runs() -> None:
    """The README's Python session gives what it shows."""
    results = doctest.testfile(str(ROOT / "README.md"), module_relative=False, optionflags=doctest.REPORT_NDIFF)
    assert (0, True) == (results.failed, results.attempted > 5)


def test_the_format_example_loads(tmp_path: Path) -> None:
    """The scenario format shown in the README is accepted and passes."""
    example = README.split("## Scenario files")[1].split("```yaml\n")[1].split("```")[0]
    path = tmp_path / "example.yaml"
    path.write_text(example, encoding="utf-8")
    result = licfsm("replay", str(path))
    assert (0, "") == (result.returncode, result.stderr), result.stdout


def test_links_lead_somewhere() -> None:
    """Every relative link of the README leads to a file of the checkout."""
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in target]
    assert [] == [target for target in targets if not (ROOT / target).exists()]


def test_the_number_of_stories_is_right() -> None:
    """The README counts the committed scenarios as they are."""
    count = len(scenario_files([str(ROOT / "scenarios")]))
    assert f"see {count} licenses live" in README


def test_every_decision_of_ours_is_in_the_rules() -> None:
    """The project's rules mark what this project decided, which the README's table sums up."""
    rules = (ROOT / "diagrams" / "rules.md").read_text(encoding="utf-8")
    assert "**[ours]**" in rules
    assert "| the page is silent about | here |" in README
