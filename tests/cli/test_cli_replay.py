import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from licfsm.cli import replay as module
from licfsm.cli.main import main
from licfsm.diagram import timeline

COMMAND = (sys.executable, "-m", "licfsm", "replay")
RUN = "import licfsm.cli.main, licfsm.cli.replay as cli, licfsm.scenario.replay as replay; {}; licfsm.cli.main.main()"
IMPATIENT = (sys.executable, "-c", RUN.format("cli._PATIENCE = -1.0"), "replay")
HURRIED = (sys.executable, "-c", RUN.format("replay.MOST_STEPS = 1_000"), "replay")
HEAD = "version: 1\npolicy: veeam-9\nlicense: {type: subscription, expires: 2025-02-14}\nstart: 2025-02-01\n"
GOOD = HEAD + "scenario: All is well\ntimeline: [{at: start, expect: {checks: 0}}]\n"
FAILING = HEAD + "scenario: Not so\ntimeline: [{at: start, expect: {checks: 1, warning: x, next_check: ~}}]\n"
BROKEN = HEAD + "tmeline: []\nuntil: x\n"
BUSY = (
    HEAD.replace("subscription, expires: 2025-02-14", "perpetual")
    + "until: start + DAYS days\ntimeline: [{at: start, server: connection_failed}, {at: start, host: enable}]\n"
)
LONG = (
    HEAD
    + "scenario: "
    + "Word " * 40
    + "\njobs: {replication-of-everything-there-is: paid}\nuntil: expiry + 40 days\ntimeline:\n"
    "  - {at: start, server: {answer: connection_failed, takes: 1 second}}\n  - {at: start, host: enable}\n"
    "  - {at: start + 1 day, host: {do: install, expires: 2025-02-01}}\n"
    "  - {at: start + 2 days, expect: {status: "
    + "x" * 200
    + ", allows: {replication-of-everything-there-is: false}}}\n"
)


def busy(days: int) -> str:
    """Write a story of hourly failures."""
    return BUSY.replace("DAYS", str(days))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with one scenario of each kind."""
    for name, text in {"a-good": GOOD, "b-failing": FAILING, "c-broken": BROKEN, "d-good": GOOD}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Callable[..., Result]:
    """Run the command in this process."""
    assert folder.is_dir()
    return lambda *arguments: CliRunner().invoke(main, ["replay", *arguments])


def called(
    *arguments: str, cwd: Path, command: tuple[str, ...] = COMMAND, **env: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [*command, *arguments], cwd=cwd, env=os.environ | env, capture_output=True, check=False, timeout=60
    )


def on_terminal(*arguments: str, cwd: Path, command: tuple[str, ...] = COMMAND, **env: str) -> str:
    """Run the command on a pseudo-terminal of 80 columns, and give what it showed there."""
    master, slave = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "COLUMNS": "80", "HOME": str(cwd)} | env
    with subprocess.Popen([*command, *arguments], cwd=cwd, env=environment, stdin=slave, stdout=slave, stderr=slave):
        os.close(slave)
        shown = b""
        while select.select([master], [], [], 60)[0]:
            try:
                part = os.read(master, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
    os.close(master)
    return shown.decode()


class TestStatus:
    @pytest.mark.parametrize(
        ("files", "status"),
        [
            (["a-good.yaml"], 0),
            (["a-good.yaml", "b-failing.yaml"], 1),
            (["b-failing.yaml", "c-broken.yaml"], 2),
            (["c-broken.yaml"], 2),
            (["none.yaml"], 2),
            (["."], 2),
            ([], 2),
        ],
    )
    @pytest.mark.parametrize("option", [[], ["--json"], ["--quiet"]])
    def test_it(self, run: Callable[..., Result], files: list[str], option: list[str], status: int) -> None:
        """0: all expectations hold; 1: one does not; 2: a file is refused, whatever else."""
        assert status == run(*option, *files).exit_code

    def test_an_empty_folder(self, run: Callable[..., Result], folder: Path) -> None:
        """A folder without scenarios is told, and is no success."""
        (folder / "empty").mkdir()
        shown = run("empty")
        assert (2, "no scenario files (*.yaml, *.yml) there\n") == (shown.exit_code, shown.stderr)

    def test_an_impossible_name(self, run: Callable[..., Result]) -> None:
        """A name that no file can have is a refused file."""
        shown = run("a" * 5_000)
        assert (2, True) == (shown.exit_code, shown.stderr.endswith(":1:1: cannot be read: File name too long\n"))


class TestMistakes:
    def test_all_of_them(self, run: Callable[..., Result]) -> None:
        """All mistakes of a file stand on the error stream, each with its place; nothing of it on the other."""
        shown = run("c-broken.yaml", "--quiet")
        told = [
            "c-broken.yaml:5:1: unknown key 'tmeline'; did you mean 'timeline'?",
            "c-broken.yaml:6:8: 'x' is no time; write 2025-02-14T09:00, start, expiry, or expiry + 2 days",
        ]
        assert (told, True) == (
            shown.stderr.splitlines(),
            shown.stdout.startswith("1 scenario: 0 passed, 1 refused; 0 checks in"),
        )

    def test_other_files_are_replayed(self, run: Callable[..., Result]) -> None:
        """A refused file does not stop the others."""
        assert "4 scenarios: 2 passed, 1 failed, 1 refused; 0 checks in" in run(".").stdout

    def test_a_long_one_is_one_line(self, folder: Path) -> None:
        """A mistake is not wrapped: an editor must be able to read its place."""
        (folder / "c-broken.yaml").write_text(GOOD.replace("start, expect", "start, server: nothing, expect"))
        shown = called("c-broken.yaml", cwd=folder, COLUMNS="40")
        assert 1 == len(shown.stderr.splitlines())

    def test_it_is_no_markup(self, run: Callable[..., Result], folder: Path) -> None:
        """Square brackets in a file are shown, not obeyed."""
        (folder / "c-broken.yaml").write_text(GOOD.replace("start, expect", "'[red]x[/]', expect"))
        assert "'[red]x[/]' is no time" in run("c-broken.yaml").stderr

    def test_a_story_that_never_ends(self, folder: Path) -> None:
        """A story in which too much happens is a refused file."""
        text = (
            "version: 1\npolicy: veeam-9\nlicense: {type: perpetual}\nstart: 1000-01-01\nuntil: 8000-01-01\ntimeline:\n"
        )
        text += "  - {at: start, server: connection_failed}\n  - {at: start, host: enable}\n"
        (folder / "never.yaml").write_text(text)
        shown = called("never.yaml", cwd=folder, command=HURRIED)
        assert (2, True) == (shown.returncode, shown.stderr.startswith(b"never.yaml:5:8: too much happens: "))

    @pytest.mark.parametrize(
        "content",
        [
            b"\xff\xfe",
            b"a: \0",
            b"[" * 100_000,
            b"a: &a [*a]",
            b"a: 9" + b"9" * 10_000,
            b"version: 1\n" * 2,
            b"\xef\xbb\xbf" + BROKEN.encode(),
            HEAD.replace("2025-02-14", "9999-99-99").encode(),
            (HEAD + "spread: 9999999 days\n").encode(),
            (HEAD + "until: start + 999999999999 months\n").encode(),
            (HEAD + 'scenario: "\\uD800"\n').encode(),
        ],
    )
    def test_bad_files(self, folder: Path, content: bytes) -> None:
        """Whatever the file, it is refused with its places, and no traceback."""
        (folder / "bad.yaml").write_bytes(content)
        shown = called("bad.yaml", cwd=folder)
        places = [re.match(rb"bad\.yaml:\d+:\d+: ", line) is not None for line in shown.stderr.splitlines()]
        assert (2, True, False) == (shown.returncode, bool(places) and all(places), b"Traceback" in shown.stderr)


class TestJson:
    def test_one_document_a_line(self, run: Callable[..., Result]) -> None:
        """Each file gives one line that is JSON, in the order given, and nothing else."""
        shown = run("--json", "d-good.yaml", ".")
        documents = [json.loads(line) for line in shown.stdout.splitlines()]
        names = ["d-good.yaml", "a-good.yaml", "b-failing.yaml", "c-broken.yaml", "d-good.yaml"]
        assert (names, "") == ([document["file"] for document in documents], shown.stderr)

    def test_a_refused_file(self, run: Callable[..., Result]) -> None:
        """A refused file is a document with its mistakes."""
        found = json.loads(run("--json", "c-broken.yaml").stdout)
        assert (["version", "file", "errors"], [(5, 1), (6, 8)]) == (
            [*found],
            [(error["line"], error["column"]) for error in found["errors"]],
        )

    def test_it_is_ascii(self, run: Callable[..., Result], folder: Path) -> None:
        """The documents are plain ASCII, so that every terminal and pipe can carry them."""
        (folder / "a-good.yaml").write_text(GOOD.replace("All is well", "Größe ≠ \U0001f600"))
        assert run("--json", "a-good.yaml").stdout.isascii()


class TestChoice:
    @pytest.mark.parametrize(
        ("only", "files"), [("NOT SO", ["b-failing.yaml"]), ("-GOOD", ["a-good.yaml", "d-good.yaml"])]
    )
    def test_only(self, run: Callable[..., Result], folder: Path, only: str, files: list[str]) -> None:
        """Only scenarios whose title or file name has the words are replayed, whatever their case."""
        (folder / "c-broken.yaml").unlink()
        assert files == [json.loads(line)["file"] for line in run("--json", "--only", only, ".").stdout.splitlines()]

    def test_only_what_is_not_there(self, run: Callable[..., Result]) -> None:
        """That nothing is chosen is told, and is no success."""
        shown = run("--only", "xyz", "a-good.yaml")
        assert (2, "no scenario there has 'xyz' in its title or file name\n", "") == (
            shown.exit_code,
            shown.stderr,
            shown.stdout,
        )

    def test_quiet(self, run: Callable[..., Result]) -> None:
        """Quietly, only what failed is shown, without its account, and the summary."""
        shown = run("--quiet", "a-good.yaml", "b-failing.yaml").stdout
        assert (False, False, True, True) == (
            "All is well" in shown,
            "at the start" in shown,
            "Not so  FAILED" in shown,
            "2 scenarios: 1 passed, 1 failed; 0 checks in" in shown,
        )


class TestShown:
    def test_an_account(self, run: Callable[..., Result]) -> None:
        """A scenario is shown with title, file, key, and what happened."""
        lines = [line.rstrip() for line in run("a-good.yaml").stdout.splitlines()]
        assert ("All is well  passed", "a-good.yaml: LICENSE-1, subscription, veeam-9, UTC", "") == tuple(lines[:3])

    def test_states_are_shown_when_they_change(self, run: Callable[..., Result], folder: Path) -> None:
        """Time and states stand only where they differ from the line above."""
        (folder / "busy.yaml").write_text(busy(1))
        lines = [re.split(r"\s{2,}", line.strip()) for line in run("busy.yaml").stdout.splitlines()[4:8]]
        assert [
            ["2025-02-01 00:00 at the start", "Valid", "Off"],
            ["server: connection_failed"],
            ["host: enable"],
            ["25 × connection_failed, every 60", "Retrying"],
        ] == lines

    def test_a_failure(self, run: Callable[..., Result]) -> None:
        """A failed expectation is shown with expected and actual side by side; nothing is ~."""
        rows = [line.split() for line in run("b-failing.yaml", "-q").stdout.splitlines()]
        assert ["2025-02-01", "00:00", "checks", "1", "0"] in rows
        assert ["2025-02-01", "00:00", "warning", "x", "~"] in rows

    def test_the_place_of_a_failure(self, run: Callable[..., Result], folder: Path) -> None:
        """Above what failed stands its place in the file, once for each entry, in a form that editors understand."""
        (folder / "x.yaml").write_text(
            HEAD + "never: [Valid]\nreaches: [Grace]\ntimeline:\n- at: start\n  expect: {checks: 1, failures: 1}\n"
        )
        told = [line.split() for line in run("x.yaml", "-q").stdout.splitlines()]
        start = ["2025-02-01", "00:00"]
        assert [
            ["time", "what", "expected", "actual"],
            ["x.yaml:8"],
            [*start, "checks", "1", "0"],
            [*start, "failures", "1", "0"],
            ["x.yaml:5"],
            [*start, "never", "no", "Valid", "Valid"],
            ["x.yaml:6"],
            [*start, "reaches", "Grace", "not", "seen"],
        ] == told[3:11]

    def test_failures_are_aligned(self, run: Callable[..., Result], folder: Path) -> None:
        """Expected and actual stand below each other, wherever in the file they are expected."""
        (folder / "x.yaml").write_text(
            HEAD + "timeline:\n- {at: start, expect: {checks: 1}}\n- {at: start, expect: {status: 'Very, very long'}}\n"
        )
        lines = run("x.yaml", "-q").stdout.splitlines()
        rows = [line for line in lines if line.startswith("2025")]
        assert [lines[3].index("actual")] * 2 == [rows[0].rindex("0"), rows[1].index("Valid (14")]

    def test_a_time_that_failed(self, run: Callable[..., Result], folder: Path) -> None:
        """A time that failed is told in the license's zone, as all others: 9:30 in Berlin, in an hour or at once."""
        (folder / "x.yaml").write_text(
            HEAD.replace("14}", "14, zone: Europe/Berlin}").replace("02-01", "02-01T09:30")
            + "timeline: [{at: start, server: connection_failed}, {at: start, host: enable},"
            " {at: start, expect: {next_check: start}}]\n"
        )
        told = [line.split() for line in run("x.yaml", "-q").stdout.splitlines()]
        time_ = ["2025-02-01", "09:30"]
        assert [*time_, "next_check", *time_, "2025-02-01", "10:30"] in told

    def test_a_failure_of_yes_and_no(self, run: Callable[..., Result], folder: Path) -> None:
        """True and false are written as in the file."""
        (folder / "x.yaml").write_text(
            HEAD + "jobs: {j: paid}\ntimeline: [{at: start, expect: {allows: {j: false}}}]\n"
        )
        assert ["2025-02-01", "00:00", "allows.j", "false", "true"] in [
            line.split() for line in run("x.yaml").stdout.splitlines()
        ]

    @pytest.mark.parametrize("columns", [80, 60])
    def test_no_line_is_too_long(self, folder: Path, columns: int) -> None:
        """No line is longer than the terminal is wide."""
        (folder / "long.yaml").write_text(LONG)
        shown = called("long.yaml", cwd=folder, COLUMNS=str(columns)).stdout.decode()
        assert (True, True) == (len(shown.splitlines()) > 20, all(len(line) <= columns for line in shown.splitlines()))

    def test_it_does_not_spread_out(self, folder: Path) -> None:
        """On a very wide terminal lines stay readable."""
        (folder / "long.yaml").write_text(LONG)
        shown = called("long.yaml", cwd=folder, COLUMNS="300").stdout.decode()
        assert max(len(line) for line in shown.splitlines()) <= 110

    def test_titles_are_no_markup(self, run: Callable[..., Result], folder: Path) -> None:
        """Square brackets in a title or a status are shown, not obeyed."""
        (folder / "x.yaml").write_text(
            GOOD.replace("All is well", "'[red]x[/] [/y]'").replace("checks: 0", "status: '[/z]'")
        )
        shown = run("x.yaml").stdout
        assert ("[red]x[/] [/y]" in shown, "[/z]" in shown) == (True, True)


class TestPicture:
    def test_it_is_drawn(self, run: Callable[..., Result], folder: Path) -> None:
        """The timeline is written, and where it is stands on the error stream; the document stays alone."""
        pytest.importorskip("altair")
        shown = run("a-good.yaml", "--json", "--picture", "life.svg")
        assert (0, "the timeline is drawn in life.svg\n", 1) == (
            shown.exit_code,
            shown.stderr,
            len(shown.stdout.splitlines()),
        )
        assert "<svg" in (folder / "life.svg").read_text(encoding="utf-8")

    def test_it_cannot_be_written(self, run: Callable[..., Result]) -> None:
        """A picture that cannot be written is told in one line, with status 2; the story is told all the same."""
        pytest.importorskip("altair")
        shown = run("a-good.yaml", "--picture", "none/life.svg")
        told = "cannot write none/life.svg: No such file or directory\n"
        assert (2, told, True) == (shown.exit_code, shown.stderr, "All is well  passed" in shown.stdout)

    def test_it_cannot_be_drawn(self, run: Callable[..., Result]) -> None:
        """A picture of another kind is told in one line, with status 2, before anything is replayed."""
        shown = run("a-good.yaml", "--picture", "life.txt")
        told = "--picture: a timeline is written to a file that ends in .svg or .html, not to 'life.txt'\n"
        assert (2, told, "") == (shown.exit_code, shown.stderr, shown.stdout)

    def test_of_one_only(self, run: Callable[..., Result], folder: Path) -> None:
        """Of several scenarios none is replayed or drawn: one line says to choose."""
        shown = run(".", "--picture", "life.svg")
        told = "--picture draws one scenario, and more are chosen; name one file, or one by --only\n"
        assert (2, told, "", False) == (shown.exit_code, shown.stderr, shown.stdout, (folder / "life.svg").exists())

    def test_of_the_one_chosen(self, run: Callable[..., Result], folder: Path) -> None:
        """The one that --only leaves is drawn; files with mistakes are told beside it."""
        pytest.importorskip("altair")
        shown = run(".", "--only", "not so", "--picture", "life.html")
        assert (2, True, 3) == (shown.exit_code, (folder / "life.html").exists(), len(shown.stderr.splitlines()))

    def test_of_a_refused_file(self, run: Callable[..., Result], folder: Path) -> None:
        """Of a file with mistakes there is no picture."""
        shown = run("c-broken.yaml", "--picture", "life.svg")
        assert (2, 2, False) == (shown.exit_code, len(shown.stderr.splitlines()), (folder / "life.svg").exists())

    def test_under_its_own_policy(
        self, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, folder: Path
    ) -> None:
        """Where another policy is compared with, the picture shows the story under its own."""
        drawn: list[str] = []
        monkeypatch.setattr(timeline, "draw_timeline", lambda result, _: drawn.append(result.story.policy.name))
        assert folder.is_dir()
        run("a-good.yaml", "--policy", "veeam-7", "--picture", "life.svg")
        assert ["veeam-9"] == drawn


class TestStreams:
    def test_a_pipe_has_no_escape_codes(self, folder: Path) -> None:
        """What is piped is plain text."""
        shown = called(".", cwd=folder, TERM="xterm-256color")
        assert b"\x1b" not in shown.stdout + shown.stderr

    def test_a_terminal_has_colors(self, folder: Path) -> None:
        """On a terminal, what failed is red."""
        assert "\x1b[1;31mFAILED" in on_terminal("b-failing.yaml", cwd=folder)

    def test_no_color(self, folder: Path) -> None:
        """NO_COLOR takes the colors away."""
        assert re.search("\x1b\\[[0-9;]*3[0-9]", on_terminal("b-failing.yaml", cwd=folder, NO_COLOR="1")) is None

    def test_json_on_a_terminal_is_plain(self, folder: Path) -> None:
        """JSON has no escape codes, even on a terminal."""
        assert "\x1b" not in on_terminal("a-good.yaml", "--json", cwd=folder)

    @pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
    def test_a_poor_encoding(self, folder: Path, encoding: str) -> None:
        """Characters that the stream cannot carry are written by their codes."""
        (folder / "busy.yaml").write_text(busy(1) + "scenario: '≠ ש'\n")
        shown = called("busy.yaml", "c-broken.yaml", cwd=folder, PYTHONIOENCODING=encoding)
        assert (2, True, False) == (shown.returncode, b"\\u2260" in shown.stdout, b"Traceback" in shown.stderr)

    def test_a_file_name_that_is_no_text(self, folder: Path) -> None:
        """A file name with bytes that are no UTF-8 can be told."""
        name = os.fsencode(folder) + b"/\xff.yaml"
        with open(name, "wb") as stream:  # noqa: PTH123 - a name in bytes
            stream.write(BROKEN.encode())
        for option in ("--quiet", "--json"):
            shown = called(option, ".", cwd=folder, PYTHONIOENCODING="utf-8")
            assert (2, False) == (shown.returncode, b"Traceback" in shown.stderr)

    @pytest.mark.parametrize("option", [[], ["--json"]])
    def test_a_closed_pipe(self, folder: Path, option: list[str]) -> None:
        """A reader that stops early, such as ``head``, causes no traceback."""
        for number in range(100):
            (folder / f"e{number}.yaml").write_text(LONG)
        with subprocess.Popen(
            [*COMMAND, *option, "."], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            told = process.stderr.read()
        assert b"Traceback" not in told
        assert b"BrokenPipe" not in told

    def test_an_interrupt(self, folder: Path) -> None:
        """Ctrl-C ends it without a traceback."""
        for number in range(30):
            (folder / f"e{number}.yaml").write_text(busy(2_000))
        with subprocess.Popen(
            [*COMMAND, "--json", "."], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            process.stdout.read()
            told = process.stderr.read()
        assert (1, False) == (process.returncode, b"Traceback" in told)


class TestProgress:
    def test_a_long_run_shows_it(self, folder: Path) -> None:
        """A run that tries the patience shows a bar on a terminal, and takes it away before the end."""
        shown = on_terminal("a-good.yaml", "--quiet", cwd=folder, command=IMPATIENT)
        assert (True, True) == ("replaying" in shown, shown.index("replaying") < shown.index("1 passed"))

    def test_a_short_run_does_not(self, folder: Path) -> None:
        """A short run shows no bar."""
        assert "replaying" not in on_terminal("a-good.yaml", cwd=folder)

    def test_a_pipe_does_not(self, folder: Path) -> None:
        """In a pipe there is no bar, however long it takes."""
        shown = called("a-good.yaml", "--quiet", cwd=folder, command=IMPATIENT)
        assert (0, False) == (shown.returncode, b"replaying" in shown.stdout + shown.stderr)

    def test_it_advances(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The bar counts whole files and the part of the one under way, once patience is at its end."""
        console = module.Console(force_terminal=True, width=80, file=open(os.devnull, "w"), record=True)  # noqa: PTH123, SIM115
        monkeypatch.setattr(module, "_PATIENCE", -1.0)
        with module._progress(console, 4, time.monotonic()) as advance:
            advance(1, 0.5)
            advance(3, 0.0)
        console.file.close()
        shown = console.export_text()
        assert ("38 %" in shown, "75 %" in shown) == (True, True)  # 1.5 and 3 of 4


def test_a_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    """Output that cannot be written ends with one line and status 2, which is no failed expectation."""
    (tmp_path / "good.yaml").write_text(GOOD)
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*COMMAND, "good.yaml"], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (2, b"cannot write: No space left on device\n") == (done.returncode, done.stderr.replace(b"\r", b""))
