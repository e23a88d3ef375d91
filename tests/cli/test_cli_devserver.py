import os
import pty
import queue
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

import licfsm.web
from licfsm.cli import devserver as command
from licfsm.cli.main import main
from licfsm.web.devserver import DevServer

LOG = "Ctrl-C stops it."
PATIENCE = 20


class Running:
    """The command in a process of its own, on a terminal or not."""

    def __init__(self, *arguments: str, terminal: bool = False, **environment: str) -> None:
        """Start it."""
        self.shown = ""
        mine, its = pty.openpty() if terminal else os.pipe()
        self.screen = mine
        inherited = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "licfsm", "devserver", *arguments],
            stdin=its if terminal else subprocess.DEVNULL,
            stdout=its,
            stderr=its,
            env=inherited | {"TERM": "xterm", "COLUMNS": "80"} | environment,
        )
        os.close(its)

    def until(self, text: str) -> str:
        """Read until something is shown; give all that was."""
        while text not in self.shown and self.more():
            pass
        assert text in self.shown, self.shown
        return self.shown

    def more(self) -> bool:
        """Read some more, if there is more."""
        assert select.select([self.screen], [], [], PATIENCE)[0], self.shown
        try:
            part = os.read(self.screen, 65536)
        except OSError:  # the terminal's end
            part = b""
        self.shown += part.decode().replace("\r\n", "\n")
        return bool(part)

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self.screen, f"{line}\n".encode())

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop it; give its exit status."""
        self.process.send_signal(number)
        while self.more():
            pass
        return self.process.wait(PATIENCE)


@pytest.fixture
def running() -> Iterator[Callable[..., Running]]:
    """Start the command; what still runs at the end is ended."""
    made: list[Running] = []

    def start(*arguments: str, terminal: bool = False, **environment: str) -> Running:
        made.append(Running(*arguments, terminal=terminal, **environment))
        return made[-1]

    yield start
    for each in made:
        each.process.kill()
        each.process.wait()
        os.close(each.screen)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["devserver", *arguments])


@pytest.fixture
def lived(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command here, do something with its server, and interrupt it when it would begin to wait."""

    def live(*arguments: str, then: Callable[[DevServer], object] = lambda _: None) -> Result:
        def interrupted(server: DevServer, _: object) -> None:
            then(server)
            raise KeyboardInterrupt

        monkeypatch.setattr(command, "_run", interrupted)
        return run(*arguments)

    return live


class TestProcess:
    def test_serves_until_it_is_interrupted(self, running: Callable[..., Running], tmp_path: Path) -> None:
        """What it shows is what a host needs: the shown Python asks it. Each request is a line; Ctrl-C is no failure."""
        server = running("--folder", str(tmp_path))
        shown = server.until(LOG)
        code = textwrap.dedent(
            re.findall(r"Python\n(.*?)\n\n", shown.replace("\n\n  folder", "\n  folder"), re.DOTALL)[0]
        )
        asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert ("", True) == (asked.stderr, "outcome='up_to_date'" in asked.stdout)
        assert re.search(r"\n\d\d:\d\d:\d\d  ACME-1 +check +200  up_to_date\n", server.until("up_to_date\n"))
        assert (0, True, False) == (server.end(), server.shown.endswith("Stopped.\n"), "\x1b" in server.shown)
        assert not (tmp_path / "control.json").exists()

    def test_on_a_terminal(self, running: Callable[..., Running], tmp_path: Path) -> None:
        """On a terminal there are colors, and commands can be typed."""
        server = running("--folder", str(tmp_path), terminal=True)
        assert "typed here, renew ACME-1 is enough" in server.until(LOG)
        server.type("renew ACME-1 2099-02-14")
        server.until("\x1b[36mrenewed ACME-1: subscription, expires 2099-02-14\x1b[0m\n")
        server.type("outrage")
        server.until("\x1b[31mthere is no command 'outrage'; did you mean outage?\x1b[0m\n")
        server.type("\x04")
        server.until("Stopped.\n")
        assert 0 == server.process.wait(PATIENCE)

    def test_without_color(self, running: Callable[..., Running]) -> None:
        """NO_COLOR keeps a terminal plain."""
        server = running(terminal=True, NO_COLOR="1")
        server.until(LOG)
        assert (0, False) == (server.end(), "\x1b" in server.shown)

    def test_is_told_to_end(self, running: Callable[..., Running]) -> None:
        """SIGTERM ends it like Ctrl-C."""
        server = running()
        server.until(LOG)
        assert 0 == server.end(signal.SIGTERM)

    def test_a_closed_pipe(self, running: Callable[..., Running], tmp_path: Path) -> None:
        """When nobody reads any more, it ends by itself, as a command before a `head` does."""
        server = running("--folder", str(tmp_path))
        server.until("Its requests, times in UTC:\n")
        spare = os.open(os.devnull, os.O_RDONLY)
        os.dup2(spare, server.screen)
        os.close(spare)
        url = re.findall(r"https://[\d.:]+", server.shown)[0]
        with httpx.Client(verify=ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))) as client:
            client.get(f"{url}/nothing")
        assert 1 == server.process.wait(PATIENCE)

    def test_loads_nothing_before_it_is_wanted(self) -> None:
        """The command line starts without the packages of the extra."""
        code = "import sys, licfsm.cli.main; print(sorted({'starlette', 'uvicorn', 'licfsm.web'} & sys.modules.keys()))"
        assert "[]\n" == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


class TestGreeting:
    def test_fits_the_terminal(self, lived: Callable[..., Result]) -> None:
        """But for the public key nothing that it says is wider than 80 columns."""
        shown = lived().output
        assert [] == [line for line in shown.splitlines() if len(line) > 80 and not line.startswith("{")]

    def test_names_what_there_is(self, lived: Callable[..., Result], tmp_path: Path) -> None:
        """It names the URL, the authority, what a host trusts, a license key to install, and what commands must show."""
        seen: list[str] = []
        shown = lived(
            "--folder", str(tmp_path), then=lambda server: seen.extend([server.url, server.trust, server.token])
        ).output
        wanted = [*seen, *(str(tmp_path / name) for name in ("ca.pem", "trust.json", "keys/ACME-1.lic"))]
        assert [] == [text for text in wanted if text not in shown]

    def test_many_licenses(self, lived: Callable[..., Result]) -> None:
        """Of many licenses some are shown."""
        assert "and 2 more\n" in lived(*(f"--license=A{number}" for number in range(5))).output

    def test_warns_of_others(self, lived: Callable[..., Result]) -> None:
        """An address that others can reach is warned of; the machine's own are not."""
        outputs = [lived("--host", host).stderr for host in ("0.0.0.0", "127.0.0.2", "localhost")]  # noqa: S104 - for an instant
        assert ["warning: other machines can reach 0.0.0.0", "", ""] == [shown[:41] for shown in outputs]


class TestLicenses:
    @pytest.mark.parametrize(
        ("given", "told"),
        [
            ("A", "A: subscription, expires "),
            ("A,rental", "A: rental, expires "),
            ("A,2099-02-14,rental", "A: rental, expires 2099-02-14"),
            ("A,never", "A: subscription, never expires"),
        ],
    )
    def test_are_issued(self, lived: Callable[..., Result], given: str, told: str) -> None:
        """A license is served as it is asked for; what is left out is a subscription for a week."""
        shown: list[str] = []
        assert 0 == lived("--license", given, then=lambda server: shown.append(server.tell("show"))).exit_code
        assert told == shown[0][: len(told)]

    def test_expire_in_a_week(self, lived: Callable[..., Result]) -> None:
        """What nobody said anything of expires on the seventh day from now."""
        days: list[int] = []
        lived(then=lambda server: days.append((server.licenses["ACME-1"].expires_at - server.clock()) // 86_400_000))
        assert [7] == days

    def test_of_a_folder_are_kept(self, lived: Callable[..., Result], tmp_path: Path) -> None:
        """A folder's licenses stay, and are issued anew only where something else is asked for."""
        issued: list[str] = []
        for given in ([], ["--license=ACME-1"], ["--license=ACME-1,subscription"], ["--license=ACME-1,rental"], []):
            arguments = ["--folder", str(tmp_path), *given]
            assert 0 == lived(*arguments, then=lambda server: issued.append(server.licenses["ACME-1"].signed)).exit_code
        assert [0, 0, 0, 3, 3] == [issued.index(each) for each in issued]

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            ("A B", "license id 'A B' must be 1 to 64"),
            ("A,rental,nfr", "--license A,rental,nfr: it has two of the same kind. It is ID[,TYPE][,EXPIRES]"),
            ("A,Rental", "--license A,Rental: license type 'Rental' must be"),
            ("A,2025-02-30", "--license A,2025-02-30: '2025-02-30' is not in the calendar"),
        ],
    )
    def test_are_refused(self, given: str, why: str) -> None:
        """A license that cannot be is refused in one line."""
        refused = run("--license", given)
        assert (2, why, 1) == (refused.exit_code, refused.output[: len(why)], refused.output.count("\n"))


class TestRefusals:
    def test_a_port_in_use(self) -> None:
        """A port that somebody has: one line, and what helps."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            refused = run("--port", str(port))
        why = f"cannot listen on 127.0.0.1, port {port}: Address already in use; --port 0 takes a free one\n"
        assert (2, why) == (refused.exit_code, refused.output)

    def test_an_address_of_others(self) -> None:
        """An address that is not this machine's."""
        refused = run("--host", "192.0.2.1")
        assert (2, "cannot listen on 192.0.2.1, port 0: Cannot assign") == (refused.exit_code, refused.output[:49])

    def test_a_folder_that_cannot_be(self, tmp_path: Path) -> None:
        """A folder that cannot be made is named."""
        (tmp_path / "file").touch()
        refused = run("--folder", str(tmp_path / "file" / "folder"))
        why = f"cannot write {tmp_path / 'file' / 'folder'}: Not a directory\n"
        assert (2, why) == (refused.exit_code, refused.output)

    @pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
    def test_without_the_extra(self, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
        """Without its packages it says how to get them."""
        for name in [name for name in sys.modules if name.split(".")[0] == missing or name.startswith("licfsm.web.")]:
            monkeypatch.delitem(sys.modules, name)
            if name.startswith("licfsm.web."):  # what is imported in their place goes again, from the package as well
                monkeypatch.delattr(licfsm.web, name.removeprefix("licfsm.web."))
        monkeypatch.setitem(sys.modules, missing, None)
        monkeypatch.setattr(sys, "meta_path", [Without(missing), *sys.meta_path])
        monkeypatch.delitem(sys.modules, missing)
        refused = run()
        assert (2, "the devserver needs starlette and uvicorn: pip install 'licfsm[web]'\n") == (
            refused.exit_code,
            refused.output,
        )

    def test_something_else_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is missing for another reason is no matter of the extra."""
        monkeypatch.delitem(sys.modules, "licfsm.web.devserver")
        monkeypatch.setattr(sys, "meta_path", [Without("licfsm.web.devserver"), *sys.meta_path])
        assert "licfsm.web.devserver" == getattr(run().exception, "name", None)


class Without:
    """Finds no package of a name."""

    def __init__(self, name: str) -> None:
        """Take the name."""
        self.name = name

    def find_spec(self, name: str, *_: object) -> None:
        """Stop the search."""
        if name == self.name:
            raise ModuleNotFoundError(name=name)


class TestRunning:
    def test_shows_and_does(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Requests and typed lines come in turn, to the end of what is typed; blank lines do nothing."""
        happened = queue.Queue()  # type: ignore[var-annotated]  # of all that can happen
        with DevServer(clock=lambda: 0, watch=happened.put) as server:
            server._log.note("ACME-1", "check", "new_key", "", 200)
            server._log.note("ACME-1", "check", "up_to_date", "drip", 200)
            server._log.note("ACME-1", "check", "simulated, on command", "outage", 503)
            server._log.note("", "tls", "wrong_host", "wrong_host", None)
            server._log.note("", "other", "GET /\x1b[31m", "", 404)
            for line in ("ok", " ", "nonsense", None):
                happened.put(line)
            command._run(server, happened)
        assert [
            "00:00:00  ACME-1         check     200  new_key",
            "00:00:00  ACME-1         check     200  drip (up_to_date)",
            "00:00:00  ACME-1         check     503  outage",
            "00:00:00  -              tls         -  wrong_host",
            "00:00:00  -              other     404  GET /[31m",
            "nothing goes wrong",
            "there is no command 'nonsense'; help lists what there is",
        ] == capsys.readouterr().out.splitlines()

    def test_reads_to_the_end(self) -> None:
        """What is typed is read line by line, and its end is told."""
        mine, its = os.pipe()
        os.write(its, b"show\nok\xff\n")
        os.close(its)
        happened = queue.Queue()  # type: ignore[var-annotated]  # likewise
        command._read(mine, happened)
        os.close(mine)
        assert ["show", "ok\ufffd", None] == [happened.get() for _ in range(3)]

    def test_a_terminal_that_goes(self) -> None:
        """A terminal that goes away is the end of what is typed."""
        happened = queue.Queue()  # type: ignore[var-annotated]  # likewise
        command._read(-1, happened)
        assert None is happened.get_nowait()


class TestTell:
    def test_a_server(self, tmp_path: Path) -> None:
        """A server that runs is told, in words with or without quotes."""
        with DevServer(folder=tmp_path) as server:
            server.issue(expires="2025-02-14")
            told = [
                run("tell", "--folder", str(tmp_path), *words) for words in (["renew ACME-1"], ["outage", "times=2"])
            ]
        assert [
            (0, "renewed ACME-1: subscription, expires 2026-02-14\n"),
            (0, "goes wrong: outage times=2\n"),
        ] == [(each.exit_code, each.output) for each in told]

    def test_nobody(self, tmp_path: Path) -> None:
        """Where no server runs, one line says so."""
        told = run("tell", "--folder", str(tmp_path), "ok")
        assert (2, f"{tmp_path}: no devserver runs in that folder\n") == (told.exit_code, told.output)

    def test_needs_no_extra(self) -> None:
        """A server can be told where its packages are not installed."""
        code = "import sys, licfsm.web.control; print(sorted({'starlette', 'uvicorn'} & sys.modules.keys()))"
        assert "[]\n" == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
