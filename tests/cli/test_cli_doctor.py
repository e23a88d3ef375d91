import json
import os
import pty
import select
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from licfsm.adapters.key_pairs import SigningKey
from licfsm.cli.main import main
from licfsm.testing import make_world

SIGNING = SigningKey.generate()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store: ACME-1 enabled on 2025-02-10 at 09:00, four days before its last day; ACME-2 without a key."""
    folder = tmp_path_factory.mktemp("original")
    store = folder / "licenses.db"
    world = make_world(store=store, start="2025-02-10T09:00", signing=SIGNING, licenses=["ACME-1", "ACME-2"])
    world.install(expires="2025-02-14")
    world.manager.enable_auto_update("ACME-1")
    world.manager.tick()
    world.manager.close()
    (folder / "public.json").write_text(SIGNING.public)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the store into the current folder."""
    shutil.copytree(original, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def doctor(folder: Path) -> Callable[..., Result]:
    """Run the command on the store, after it was changed by hand."""

    def run(*arguments: str, change: Sequence[str] = (), name: str = "licenses.db") -> Result:
        if change:
            with closing(sqlite3.connect(folder / "licenses.db")) as connection:
                connection.executescript(";".join(change))
        return CliRunner().invoke(main, ["doctor", name, *arguments])

    return run


def store_id() -> str:
    """Read which store it is."""
    with closing(sqlite3.connect("licenses.db")) as connection:
        found: str = connection.execute("SELECT value FROM meta").fetchone()[0]
    return found


MORE_LICENSES = (
    "WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < 30)"
    " INSERT INTO licenses (id, version, policy, next_due_at, notices) SELECT 'ACME-' || i, 1, '', 0, 0 FROM n"
)
FAILED_MAIL = "UPDATE outbox SET done_at = NULL, attempts = 3, error = 'no route' WHERE channel = 'mail' AND seq < 5"


class TestShown:
    def test_of_a_healthy_store(self, doctor: Callable[..., Result]) -> None:
        """Who it is, who drives it, each license, and that nothing is wrong."""
        shown = doctor("--trust", "public.json")
        assert (0, "") == (shown.exit_code, shown.stderr)
        assert [
            "licenses.db",
            f"Store {store_id()}, format 0001: 2 licenses, 6 journal",
            "entries.",
            "Nobody drives it; its driver was there last at 2025-02-10 09:00 UTC.",
            "",
            "license  as of its last step, times in UTC",
            "ACME-1   Expiring, automatic update Scheduled; expires 2025-02-15 00:00; next",
            "         check 2025-02-11 09:00; last outcome up_to_date; key verified;",
            "         journal agrees",
            "ACME-2   no key",
            "",
            "Nothing is wrong.",
        ] == shown.stdout.splitlines()

    def test_without_trust_says_so(self, doctor: Callable[..., Result]) -> None:
        """Keys that nobody verified are not said to be verified."""
        shown = doctor()
        assert 0 == shown.exit_code
        assert "Keys were not verified; name the public keys that are trusted by --trust.\n" in shown.stdout
        assert "key verified" not in shown.stdout

    def test_of_trouble_says_what_to_do(self, doctor: Callable[..., Result]) -> None:
        """Each finding stands with its license and its remedy."""
        shown = doctor("--trust", "public.json", change=["UPDATE licenses SET told = 8 WHERE id = 'ACME-1'"])
        assert 1 == shown.exit_code
        assert [
            "1 thing is wrong:",
            "  license ACME-1: its row cannot be read: told cannot be '8'",
            "    to do: install its license key again with force, or restore the store from a",
            "    backup",
        ] == shown.stdout.splitlines()[-4:]
        assert "ACME-1   expires 2025-02-15 00:00; key verified; journal not checked: the row" in shown.stdout

    def test_of_what_waits(self, doctor: Callable[..., Result]) -> None:
        """What waits stands in a table by channel, and why it failed."""
        shown = doctor("--trust", "public.json", change=[FAILED_MAIL])
        assert 1 == shown.exit_code
        lines = shown.stdout.splitlines()
        assert "waiting  notices  licenses  since (UTC)       tried    last error" in lines
        assert "mail     1        1         2025-02-10 09:00  3 times  no route" in lines
        assert "  1 notice could not be told by mail, tried 3 times: no route" in lines

    def test_of_several_things_counts_them(self, doctor: Callable[..., Result]) -> None:
        """How much is wrong is seen before what it is."""
        shown = doctor(change=[FAILED_MAIL, "DROP INDEX outbox_waiting"])
        assert "2 things are wrong:" in shown.stdout.splitlines()

    def test_of_a_license_that_is_being_asked_for(self, doctor: Callable[..., Result]) -> None:
        """A perpetual key has no expiry, and a license that is off no next check."""
        world = make_world(store="licenses.db", start="2025-02-10T10:00", signing=SIGNING)
        world.install(id="ACME-2")
        world.manager.close()
        assert (
            "ACME-2   Valid, automatic update Off; no expiry; key verified; journal agrees\n"
            in doctor("--trust", "public.json").stdout
        )

    def test_of_many_counts_the_rest(self, doctor: Callable[..., Result]) -> None:
        """Of more than twenty licenses only those with trouble are listed, all are counted."""
        shown = doctor(
            change=[
                MORE_LICENSES,
                "UPDATE licenses SET key = 1 WHERE id = 'ACME-17'",
            ]
        )
        assert 1 == shown.exit_code
        lines = shown.stdout.splitlines()
        text = "Licenses by state: 29 - / -, 1 Expiring / Scheduled. Those with trouble are"
        assert text in lines
        assert ["ACME-17"] == [line.split()[0] for line in lines if line.startswith("ACME-")]

    def test_in_eighty_columns(self, doctor: Callable[..., Result]) -> None:
        """Nothing is wider than a terminal, however long the words from outside are."""
        shown = doctor(
            change=[
                FAILED_MAIL,
                "UPDATE outbox SET error = 'no route to it or so, they say ' || hex(zeroblob(150)) WHERE error IS NOT NULL",
                "UPDATE licenses SET id = 'A' || hex(zeroblob(31)) WHERE id = 'ACME-2'",
            ]
        )
        assert 80 >= max(len(line) for line in shown.stdout.splitlines())

    @pytest.mark.parametrize("planted", ["char(27) || '[31m'", "char(8238)", "char(7)", "char(10) || 'x'", "char(155)"])
    def test_without_what_was_planted(self, doctor: Callable[..., Result], planted: str) -> None:
        """Text of a store that somebody changed moves no cursor and turns no line around (8.3)."""
        changes = (
            "UPDATE outbox SET error = error || {}, channel = channel || {} WHERE done_at IS NULL",
            "UPDATE licenses SET id = id || {} WHERE id = 'ACME-2'",
            "UPDATE meta SET value = {}",
        )
        shown = doctor(change=[FAILED_MAIL, *(change.replace("{}", planted) for change in changes)])
        assert 1 == shown.exit_code
        assert shown.output.replace("\n", "").isprintable()

    def test_markup_as_it_is(self, doctor: Callable[..., Result]) -> None:
        """What looks like markup is text."""
        shown = doctor(change=[FAILED_MAIL, "UPDATE outbox SET error = '[bold]no[/] [route' WHERE error IS NOT NULL"])
        assert "3 times  [bold]no[/] [route" in shown.stdout

    def test_on_a_narrow_terminal(self, folder: Path) -> None:
        """In forty columns it can still be read."""
        environment = {**os.environ, "COLUMNS": "40"}
        command = [sys.executable, "-m", "licfsm", "doctor", "licenses.db", "--trust", "public.json"]
        shown = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
        assert 40 >= max(len(line) for line in shown.stdout.splitlines())
        assert "Nothing is wrong." in shown.stdout


class TestJson:
    def test_has_everything(self, doctor: Callable[..., Result]) -> None:
        """One document tells what is shown, with times in UTC."""
        shown = doctor("--json", "--trust", "public.json", change=[FAILED_MAIL])
        assert 1 == shown.exit_code
        assert {
            "version": 1,
            "file": "licenses.db",
            "store": store_id(),
            "format": "0001",
            "healthy": False,
            "driven": "nobody",
            "driven_at": "2025-02-10T09:00:00+00:00",
            "keys_verified": True,
            "journal_entries": 6,
            "states": [
                {"entitlement": None, "auto_update": None, "licenses": 1},
                {"entitlement": "Expiring", "auto_update": "Scheduled", "licenses": 1},
            ],
            "licenses": [
                {
                    "id": "ACME-1",
                    "entitlement": "Expiring",
                    "auto_update": "Scheduled",
                    "expires": "2025-02-15T00:00:00+00:00",
                    "next_check": "2025-02-11T09:00:00+00:00",
                    "last_outcome": "up_to_date",
                    "key": "verified",
                    "journal": "agrees",
                    "trouble": False,
                },
                {
                    "id": "ACME-2",
                    "entitlement": None,
                    "auto_update": None,
                    "expires": None,
                    "next_check": None,
                    "last_outcome": None,
                    "key": "none",
                    "journal": "not checked: it has no key",
                    "trouble": False,
                },
            ],
            "waiting": [
                {
                    "channel": "mail",
                    "notices": 1,
                    "licenses": 1,
                    "since": "2025-02-10T09:00:00+00:00",
                    "attempts": 3,
                    "error": "no route",
                }
            ],
            "findings": [
                {
                    "license": None,
                    "what": "1 notice could not be told by mail, tried 3 times: no route",
                    "remedy": "mend what the error names; what waits is then told by itself",
                }
            ],
        } == json.loads(shown.stdout)

    def test_of_a_healthy_store(self, doctor: Callable[..., Result]) -> None:
        """A healthy store has no findings."""
        shown = doctor("--json")
        document = json.loads(shown.stdout)
        assert (0, True, []) == (shown.exit_code, document["healthy"], document["findings"])

    def test_of_what_cannot_be_examined(self, doctor: Callable[..., Result]) -> None:
        """A store that is refused is a document as well."""
        shown = doctor("--json", name="none.db")
        assert (2, "") == (shown.exit_code, shown.stderr)
        assert {
            "version": 1,
            "file": "none.db",
            "error": "none.db does not exist; name the file of a store",
        } == json.loads(shown.stdout)

    def test_is_ascii(self, doctor: Callable[..., Result]) -> None:
        """Every terminal and pipe can carry it."""
        shown = doctor("--json", change=[FAILED_MAIL, "UPDATE outbox SET error = 'größer' WHERE error IS NOT NULL"])
        assert shown.stdout.isascii()
        assert "größer" == json.loads(shown.stdout)["waiting"][0]["error"]


class TestRefused:
    @pytest.mark.parametrize("name", ["none.db", ".", "/dev/null", "public.json", "a\nb", "\udcff", "x" * 300])
    def test_is_told_in_one_line(self, doctor: Callable[..., Result], name: str) -> None:
        """Whatever is named that is no store, one line says why, and nothing is shown."""
        shown = doctor(name=name)
        assert (2, "", 1) == (shown.exit_code, shown.stdout, shown.stderr.count("\n"))
        assert shown.stderr.rstrip("\n").isprintable()
        assert "Traceback" not in shown.stderr

    def test_keeps_the_words_of_opening(self, doctor: Callable[..., Result], folder: Path) -> None:
        """What a manager says that opens it is what is said."""
        shown = doctor(name="public.json")
        assert (
            f"{folder.resolve() / 'public.json'} is no licfsm store (not even an SQLite file); it was left as it is: restore it from a backup,"
            " or move it away and install the license keys again\n"
        ) == shown.stderr

    @pytest.mark.parametrize(
        ("trust", "why"),
        [
            ("none.json", "--trust: none.json: "),
            ("licenses.db", "--trust: licenses.db"),
            ("{}", "--trust: "),
            ('{"kty": "RSA"}', "--trust: "),
        ],
    )
    def test_without_a_public_key(self, doctor: Callable[..., Result], trust: str, why: str) -> None:
        """A public key that is none is told with its option."""
        shown = doctor("--trust", trust)
        assert (2, "", 1) == (shown.exit_code, shown.stdout, shown.stderr.count("\n"))
        assert shown.stderr.startswith(why)

    def test_where_it_cannot_be_written(self, folder: Path) -> None:
        """A screen that is full is told in one line."""
        command = f"{sys.executable} -m licfsm doctor licenses.db > /dev/full"
        shown = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
        assert (2, "cannot write: No space left on device\n") == (shown.returncode, shown.stderr)


class TestTrust:
    def test_takes_text(self, doctor: Callable[..., Result]) -> None:
        """A public key may be given as text."""
        assert "key verified" in doctor("--trust", SIGNING.public).stdout

    def test_takes_several(self, doctor: Callable[..., Result]) -> None:
        """A host may trust several keys."""
        other = SigningKey.generate().public
        assert 0 == doctor("--trust", other, "--trust", "public.json").exit_code

    def test_in_others_refuses_keys(self, doctor: Callable[..., Result]) -> None:
        """Keys of a signer whom nobody trusts are wrong."""
        shown = doctor("--trust", SigningKey.generate().public)
        assert 1 == shown.exit_code
        assert "whom nothing here" in shown.stdout


def on_terminal(folder: Path, script: str) -> str:
    """Run the command on a pseudo-terminal of 80 columns, after a script, and give what it showed there."""
    master, slave = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "COLUMNS": "80", "HOME": str(folder)}
    command = [sys.executable, "-c", f"{script}\nfrom licfsm.cli.main import main\nmain(['doctor', 'licenses.db'])"]
    with subprocess.Popen(command, cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave):
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


class TestProgress:
    ROWS = (
        "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)"
        " INSERT INTO journal SELECT i, '', 0, 'opened', NULL, NULL, NULL FROM n"
    )

    @pytest.mark.parametrize(("patience", "seen"), [(0.0, True), (1000.0, False)])
    def test_is_shown_when_it_takes_long(self, folder: Path, patience: float, seen: bool) -> None:  # noqa: FBT001
        """On a terminal a bar is shown once the work has taken some time, and is gone at the end."""
        with closing(sqlite3.connect(folder / "licenses.db")) as connection:
            connection.executescript(self.ROWS)
        shown = on_terminal(
            folder, f"import licfsm.cli.main, sys\nsys.modules['licfsm.cli.doctor']._PATIENCE = {patience}"
        )
        assert seen is ("examining" in shown)
        assert "Nothing is wrong." in shown

    def test_waits_for_two_seconds(self) -> None:
        """Nobody needs a bar for what is over in a moment."""
        assert 2.0 == sys.modules["licfsm.cli.doctor"]._PATIENCE
