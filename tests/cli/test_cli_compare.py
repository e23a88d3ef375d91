import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from licfsm.cli.main import main

HEAD = "version: 1\npolicy: veeam-9\nlicense: {type: subscription, expires: 2025-02-14}\n"
STORY = HEAD + "scenario: Not renewed\nstart: 2025-02-10T12:00\nuntil: 2025-03-04T12:00\ntimeline:\n"
STORY += "- {at: start, server: request_refused}\n- {at: start, host: enable}\n"
SAME = HEAD + "scenario: Too early to differ\nstart: 2025-02-01\n"
RENTED = SAME.replace("subscription", "rental")
OWN = "version: 1\npolicy: veeam-9\nextends: veeam-9\nmail_repeat: none\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with a few stories and policies."""
    files = {"story": STORY, "same": SAME, "rented": RENTED, "own": OWN, "broken": OWN + "grce: {}\n"}
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Callable[..., Result]:
    """Run the command in this process."""
    assert folder.is_dir()
    return lambda *arguments: CliRunner().invoke(main, ["replay", *arguments])


class TestShown:
    def test_side_by_side(self, run: Callable[..., Result]) -> None:
        """Only what differs is shown, in two columns: 30 days of grace, or 14 that end with 02-28; then the end."""
        told = """\
Not renewed  passed
story.yaml: LICENSE-1, subscription, veeam-9, UTC

time             under veeam-9                   under veeam-7
2025-02-15 00:00 mail: License LICENSE-1 has     mail: License LICENSE-1 has
                 expired, 30 days of grace       expired, 14 days of grace
                 period remaining                period remaining
2025-03-01 00:00                                 grace_over: Grace to FreeMode
                                                 mail: License LICENSE-1 has
                                                 expired; only free
                                                 functionality is available
                 Grace, Retrying                 FreeMode, Retrying
2025-03-01 12:00 4 × request_refused, every 24   4 × request_refused, every 24
                 hours, until 2025-03-04 12:00   hours, until 2025-03-04 12:00
                 (4 mails)                       (4 mails)
                 Grace, Retrying                 FreeMode, Retrying
2025-03-04 12:00 at the end                      at the end
entitlement      Grace                           FreeMode
status           Expired (13 days of grace       Expired
                 period remaining)
warning          License key has expired, 13     ~
                 days of grace period remaining
days remaining   13                              0
"""
        shown = run("story.yaml", "--policy", "veeam-7")
        lines = [line.rstrip() for line in shown.stdout.splitlines()]
        assert (0, told.splitlines()) == (shown.exit_code, lines[:-2])

    def test_states_that_meet(self, run: Callable[..., Result], folder: Path) -> None:
        """Where states differed and are the same again, that is shown: both are over on 03-17, after 30 days."""
        (folder / "story.yaml").write_text(STORY.replace("until: 2025-03-04T12:00", "until: 2025-03-17"))
        lines = [
            re.split(r"\s{2,}", line.strip()) for line in run("story.yaml", "--policy", "veeam-7").stdout.splitlines()
        ]
        assert ["FreeMode, AutoUpdateDisabled", "FreeMode, AutoUpdateDisabled"] == lines[-3]

    def test_nothing(self, run: Callable[..., Result]) -> None:
        """That nothing differs is one line: on 02-01 a subscription of 02-14 is valid under both."""
        assert "Nothing differs under veeam-8." == run("same.yaml", "--policy", "veeam-8").stdout.splitlines()[3]

    def test_nothing_but_due_times(self, run: Callable[..., Result], folder: Path) -> None:
        """What only the document shows is named: a retry due in 60 minutes or in 12 hours, slept over."""
        (folder / "own.yaml").write_text(
            OWN.replace("mail_repeat: none", "outcomes: {connection_failed: {retry: 12 hours}}")
        )
        (folder / "same.yaml").write_text(
            SAME + "timeline: [{at: start, server: connection_failed}, {at: start, host: enable},"
            " {at: start, host: {do: suspend, until: start + 2 days}}, {at: start + 2 days, host: disable}]\n"
        )
        told = "Nothing differs under veeam-9 (own.yaml), but for times at which things were due."
        assert told == " ".join(run("same.yaml", "--policy", "own.yaml").stdout.splitlines()[3:5]).strip()

    def test_policies_of_one_name(self, run: Callable[..., Result]) -> None:
        """A policy of the same name as the story's own is told apart by its file."""
        shown = run("story.yaml", "--policy", "own.yaml").stdout
        assert ["time", "under veeam-9", "under veeam-9 (own.yaml)"] == re.split(
            r"\s{2,}", shown.splitlines()[3].strip()
        )

    def test_failures(self, run: Callable[..., Result], folder: Path) -> None:
        """The story is judged under its own policy: grace expected on 03-01 holds, though not under the other."""
        (folder / "story.yaml").write_text(STORY + "- {at: 2025-03-01, expect: {entitlement: Grace}}\n")
        assert 0 == run("story.yaml", "--policy", "veeam-7").exit_code
        (folder / "story.yaml").write_text(STORY + "- {at: 2025-03-01, expect: {entitlement: FreeMode}}\n")
        shown = run("story.yaml", "--policy", "veeam-7")
        assert (1, True) == (shown.exit_code, "story.yaml:10\n2025-03-01 00:00 entitlement " in shown.stdout)

    def test_quietly(self, run: Callable[..., Result]) -> None:
        """Quietly, a story that passes shows nothing of it."""
        assert 1 == len(run("story.yaml", "--policy", "veeam-7", "--quiet").stdout.splitlines())

    @pytest.mark.parametrize("columns", [80, 60])
    def test_on_a_terminal(self, folder: Path, columns: int) -> None:
        """On a terminal no line is longer than it is wide, and names in brackets are no markup."""
        (folder / "own.yaml").write_text(OWN.replace("policy: veeam-9", "policy: '[red]mine[/]'"))
        master, slave = pty.openpty()
        command = [sys.executable, "-m", "licfsm", "replay", "story.yaml", "--policy", "own.yaml"]
        environment = os.environ | {"COLUMNS": str(columns), "TERM": "xterm-256color"}
        with subprocess.Popen(command, cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave):
            os.close(slave)
            shown = b""
            try:
                while part := os.read(master, 65536):
                    shown += part
            except OSError:  # the other end is closed
                pass
        os.close(master)
        lines = re.sub("\x1b\\[[0-9;]*m", "", shown.decode()).splitlines()
        assert (True, True, True) == (
            len(lines) > 8,
            all(len(line) <= columns for line in lines),
            any("under [red]mine[/]" in line for line in lines),
        )


class TestJson:
    def test_one_more_key(self, run: Callable[..., Result]) -> None:
        """The document is the usual one, and the comparison after it: three channels tell of 30 days, or of 14."""
        usual = json.loads(run("story.yaml", "--json").stdout)
        found = json.loads(run("story.yaml", "--json", "--policy", "veeam-7").stdout)
        compared = found.pop("comparison")
        assert (usual, ["policy", "trace_only_here", "trace_only_there", "final"]) == (found, [*compared])
        assert ("veeam-7", ["notification"] * 3, "FreeMode") == (
            compared["policy"],
            [line["kind"] for line in compared["trace_only_here"]],
            compared["final"]["entitlement"],
        )

    def test_nothing(self, run: Callable[..., Result]) -> None:
        """Where nothing differs, both lists are empty."""
        compared = json.loads(run("same.yaml", "--json", "--policy", "veeam-8").stdout)["comparison"]
        assert ([], []) == (compared["trace_only_here"], compared["trace_only_there"])


class TestRefused:
    @pytest.mark.parametrize(
        ("policy", "told"),
        [
            ("veeam-6", "--policy: there is no policy 'veeam-6'; "),
            ("none.yaml", "--policy: there is no policy file 'none.yaml'; "),
            ("broken.yaml", "broken.yaml:5:1: unknown key 'grce'; did you mean 'grace'?"),
        ],
    )
    def test_no_such_policy(self, run: Callable[..., Result], policy: str, told: str) -> None:
        """A policy that is none is told in a line, before anything is replayed."""
        shown = run("story.yaml", "--policy", policy)
        assert (2, "", 1, True) == (
            shown.exit_code,
            shown.stdout,
            len(shown.stderr.splitlines()),
            shown.stderr.startswith(told),
        )

    def test_a_type_that_it_does_not_know(self, run: Callable[..., Result], folder: Path) -> None:
        """A type that the other policy does not know refuses the file, and no other."""
        (folder / "own.yaml").write_text(OWN.replace("veeam-9\nextends", "mine\nextends") + "grace: {team: none}\n")
        (folder / "team.yaml").write_text(SAME.replace("veeam-9", "own.yaml").replace("subscription", "team"))
        shown = run("team.yaml", "same.yaml", "--policy", "veeam-8")
        told = "team.yaml:3:17: policy veeam-8 knows no license type 'team', only subscription, rental, perpetual, trial, nfr"
        assert (2, [told], True) == (
            shown.exit_code,
            shown.stderr.splitlines(),
            "2 scenarios: 1 passed, 1 refused" in shown.stdout,
        )
        found = json.loads(run("team.yaml", "--policy", "veeam-8", "--json").stdout)
        assert (["version", "file", "errors"], "team.yaml") == ([*found], found["file"])
