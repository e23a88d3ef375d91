import multiprocessing
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from licfsm.adapters.store import MEMORY, Mark, Store, opening
from licfsm.adapters.store.tables import HEAD
from licfsm.errors import StoreDamaged, StoreError, StoreTooNew

PAGE = 4096
GARBAGE = random.Random(7).randbytes(PAGE)  # noqa: S311 - no secret


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a file for a store."""
    return tmp_path / "licenses.db"


@pytest.fixture
def made(path: Path) -> Path:
    """Make a store with some hundred rows, and close it."""
    with closing(Store(path)) as store, store.writing() as transaction:
        for number in range(300):
            transaction.add_license(f"ACME-{number}", "digest")
            transaction.add_entry(f"ACME-{number}", number, "added", None, None, None)
    return path


def mark(path: Path, seq: int) -> None:
    """Leave a file beside a store that says how far it had come."""
    path.with_name(f"{path.name}.lock").write_text(f"licfsm {'0' * 32} {seq:019d} {0:019d}\n")


def refusal(path: Path, kind: type[StoreError] = StoreDamaged) -> str:
    """Tell why a file is refused; it must be left byte for byte as it was."""
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        Store(path)
    assert before == path.read_bytes()
    assert kind is type(caught.value)
    return str(caught.value).replace(str(path), path.name)


class TestNew:
    def test_is_made_where_nothing_is(self, path: Path) -> None:
        """A store comes with its tables, and its format's version."""
        Store(path).close()
        with closing(sqlite3.connect(path)) as connection:
            assert [(HEAD,)] == connection.execute("SELECT version_num FROM alembic_version").fetchall()

    def test_is_known_by_its_number(self, path: Path) -> None:
        """SQLite's application id says ``licf``, so that other programs' files are told from ours."""
        Store(path).close()
        assert b"licf" == path.read_bytes()[68:72]

    def test_is_made_of_an_empty_file(self, path: Path) -> None:
        """An empty file beside which nothing says otherwise is taken for a new one."""
        path.touch()
        Store(path).close()
        assert 0 < path.stat().st_size

    def test_is_made_of_an_empty_file_that_never_was_more(self, path: Path) -> None:
        """A mark at entry 0 says that nothing was ever kept there."""
        path.touch()
        mark(path, 0)
        Store(path).close()
        assert 0 < path.stat().st_size

    def test_is_made_again_if_its_making_was_cut_short(self, path: Path) -> None:
        """A file that SQLite began, but that has no tables yet, holds nothing that could be lost."""
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA application_id = {opening.APPLICATION}")
        Store(path).close()
        with closing(sqlite3.connect(path)) as connection:
            assert [(HEAD,)] == connection.execute("SELECT version_num FROM alembic_version").fetchall()

    def test_in_memory_leaves_no_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A store in memory touches no folder."""
        monkeypatch.chdir(tmp_path)
        Store(MEMORY).close()
        assert [] == list(tmp_path.iterdir())

    def test_takes_any_name(self, tmp_path: Path) -> None:
        """Signs that mean something in an address are part of a file's name."""
        path = tmp_path / "a?mode=memory&b#c%20 é.db"
        with closing(Store(path)) as store:
            first = store.id
        with closing(Store(path)) as store:
            assert first == store.id


class TestRefused:
    def test_is_an_empty_file_that_was_a_store(self, path: Path) -> None:
        """Where the file beside it knows of entries, an empty file is what is left of a store."""
        path.touch()
        mark(path, 1)
        assert refusal(path).startswith("licenses.db is empty, but a store was there; restore it from a backup")

    @pytest.mark.parametrize("content", [b"\x00", b"hello", b"SQLite format 2\x00" + b"x" * 500, b"PK\x03\x04" * 99])
    def test_is_a_file_of_another_kind(self, path: Path, content: bytes) -> None:
        """What is no SQLite file at all is said to be none."""
        path.write_bytes(content)
        assert "licenses.db is no licfsm store (not even an SQLite file); it was left as it is" in refusal(path)

    def test_is_the_file_of_another_program(self, path: Path) -> None:
        """Another program's SQLite file is not touched, and another name is asked for."""
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE music (title TEXT)")
        assert "licenses.db is an SQLite file of another program; it was left as it is: name another file" == refusal(
            path
        )

    def test_is_an_empty_database_of_another_program(self, path: Path) -> None:
        """One that says whose it is belongs to that one, even without tables."""
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA application_id = 1")
        assert "of another program" in refusal(path)

    def test_is_a_store_that_is_not_marked_as_ours(self, made: Path) -> None:
        """Tables alone do not make a store."""
        with closing(sqlite3.connect(made)) as connection:
            connection.execute("PRAGMA application_id = 0")
        assert "of another program" in refusal(made)

    def test_is_a_store_without_its_id(self, made: Path) -> None:
        """A store that does not say which one it is cannot be told from its copies."""
        with closing(sqlite3.connect(made)) as connection, connection:
            connection.execute("DELETE FROM meta")
        assert "licenses.db is damaged: it does not say which store it is; restore it from a backup" == refusal(made)

    @pytest.mark.parametrize("versions", [["0002"], ["9999"], ["0001", "0002"], ["ffffffffffff"], []])
    def test_is_one_of_a_newer_version(self, made: Path, versions: list[str]) -> None:
        """A format that this version does not know is left to the version that made it."""
        with closing(sqlite3.connect(made)) as connection, connection:
            connection.execute("DELETE FROM alembic_version")
            connection.executemany("INSERT INTO alembic_version VALUES (?)", [(version,) for version in versions])
        shown = ", ".join(versions) or "unknown"
        expected = f"was made by a newer version of licfsm (format {shown}, this version knows {HEAD}); it was left"
        assert expected in refusal(made, StoreTooNew)

    @pytest.mark.parametrize("size", [1, 15, 16, 99, 100, 101, 2000, PAGE, PAGE + 1, 3 * PAGE])
    def test_is_one_that_was_cut_off(self, made: Path, size: int) -> None:
        """A file that lacks its end is damaged, wherever it was cut."""
        made.write_bytes(made.read_bytes()[:size])
        assert "; it was left as it is: restore it from a backup" in refusal(made)

    def test_is_one_whose_header_is_garbled(self, made: Path) -> None:
        """The first 16 bytes say that it is SQLite, the next 84 how to read it."""
        data = made.read_bytes()
        made.write_bytes(data[:16] + GARBAGE[:84] + data[100:])
        assert "is damaged" in refusal(made)

    def test_is_one_whose_first_page_is_garbled(self, made: Path) -> None:
        """The first page holds the list of all tables."""
        data = made.read_bytes()
        made.write_bytes(data[:100] + GARBAGE[100:] + data[PAGE:])
        assert "is damaged" in refusal(made)

    def test_is_one_whose_tables_are_gone(self, made: Path) -> None:
        """A store in which a table is missing is damaged, which is not worth trying again."""
        with closing(sqlite3.connect(made)) as connection:
            connection.execute("DROP TABLE meta")
        assert "is damaged" in refusal(made)


class TestGarbledPage:
    def test_is_told_as_an_error_of_the_store(self, made: Path, tmp_path: Path) -> None:
        """Whichever page is garbled, opening and reading either work or say that the store is damaged."""
        data = made.read_bytes()
        unknown = []
        for page in range(1, len(data) // PAGE):
            path = tmp_path / f"{page}.db"
            path.write_bytes(data[: page * PAGE] + GARBAGE + data[(page + 1) * PAGE :])
            try:
                with closing(Store(path)) as store:
                    store.entries(None)
                    with store.writing() as transaction:
                        transaction.read()
            except StoreDamaged:
                pass
            except Exception as error:  # noqa: BLE001 - which is the point
                unknown.append((page, repr(error)))
        assert [] == unknown

    @pytest.mark.parametrize("seed", range(3))
    def test_bytes_are_told_likewise(self, made: Path, seed: int) -> None:
        """So it is with single bytes, wherever they are, most of all in the list of tables."""
        chance = random.Random(seed)  # noqa: S311 - no secret
        data = made.read_bytes()
        unknown = []
        for _ in range(60):
            garbled = bytearray(data)
            for _ in range(chance.choice((1, 20))):
                garbled[chance.randrange(chance.choice((100, PAGE, len(data))))] = chance.randrange(256)
            made.write_bytes(garbled)
            try:
                with closing(Store(made)) as store:
                    store.entries(None)
            except StoreError:
                assert garbled == made.read_bytes()
            except Exception as error:  # noqa: BLE001 - which is the point
                unknown.append(repr(error))
        assert [] == unknown

    def test_that_is_not_read_when_opening_is_found_when_it_is(self, made: Path) -> None:
        """Damage behind the first pages is told once somebody reads there, and what is there is left alone."""
        data = made.read_bytes()
        with closing(sqlite3.connect(made)) as connection:
            (page,) = connection.execute("SELECT rootpage - 1 FROM sqlite_master WHERE name = 'licenses'").fetchone()
        made.write_bytes(data[: page * PAGE] + GARBAGE + data[(page + 1) * PAGE :])
        before = made.read_bytes()
        with closing(Store(made)) as store:
            damaged = pytest.raises(StoreDamaged, match="restore it from a backup")
            with damaged, store.writing() as transaction:
                transaction.read()
        assert before == made.read_bytes()


class TestPlace:
    def test_must_have_its_folder(self, tmp_path: Path) -> None:
        """A folder that is missing is not made, and named."""
        path = tmp_path / "none" / "licenses.db"
        with pytest.raises(StoreError, match=r"licenses\.db: it cannot be opened; check that its folder exists"):
            Store(path)
        assert not path.parent.exists()

    @pytest.mark.parametrize("replaced", ["", "by a copy"])
    def test_is_the_same_file_all_the_time(self, made: Path, replaced: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is written to a file that was removed is lost, and nobody else drives by it: told, not done."""
        monkeypatch.setattr("licfsm.adapters.store.store.LOOK_AGAIN", 0.0)
        with closing(Store(made)) as store:
            kept = made.rename(made.with_name("kept.db"))
            if replaced:
                made.write_bytes(kept.read_bytes())
            with pytest.raises(StoreError, match="was removed or replaced while it was open"):
                store.has_news()
            kept.replace(made)
            assert not store.has_news()
            with store.writing() as transaction:
                transaction.add_license("BETA-1", "digest")

    def test_is_made_anew_with_a_word_where_one_was(self, made: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Who removed it on purpose has a new one; who did not finds in the log why no license is there."""
        mark(made, 300)
        made.unlink()
        with closing(Store(made)) as store:
            assert [] == store.entries(None)
        assert "licenses.db is gone, though a store was there; a new one is made, without any license" in caplog.text

    def test_on_a_full_disk_is_told_as_that(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """SQLite calls it an error of the disk where the memory that processes share cannot grow."""
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorname = "SQLITE_IOERR_SHMSIZE"
        usage = shutil.disk_usage(path.parent)
        for free, told in ((4096, "the disk is full; make room"), (1 << 30, "the disk reports an error")):
            monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
            with pytest.raises(StoreError, match=told), opening.told_as_store_error(path):
                raise error

    def test_may_not_be_a_folder(self, tmp_path: Path) -> None:
        """A folder in place of the file is told with what the system says."""
        with pytest.raises(StoreError, match=r"cannot read .*: Is a directory"):
            Store(tmp_path)

    @pytest.mark.parametrize(
        ("name", "told"),
        [("~/licenses.db", r"no ~ is replaced; give Path\(...\)"), ("a\0b", "cannot be the path of a file")],
    )
    def test_must_be_plain(self, name: str, told: str) -> None:
        """What the system would take otherwise than it looks is refused."""
        with pytest.raises(StoreError, match=told):
            Store(name)

    @pytest.mark.parametrize("name", ["", ".", "/"])
    def test_must_have_a_name(self, name: str) -> None:
        """A path that names no file is refused like a folder."""
        with pytest.raises(StoreError):
            Store(name)

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
    def test_must_be_writable(self, made: Path) -> None:
        """In a folder that may not be written no store can be driven, and the permissions are named."""
        made.parent.chmod(0o500)
        try:
            with pytest.raises(StoreError, match="permission"):
                Store(made)
        finally:
            made.parent.chmod(0o700)


class TestLocked:
    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(opening, "BUSY_SECONDS", 0.05)

    @pytest.fixture
    def lock(self, made: Path) -> Callable[[str], subprocess.Popen[str]]:
        """Have another process keep the store locked until its input ends."""

        def keep(statement: str) -> subprocess.Popen[str]:
            script = (
                "import sqlite3, sys\n"
                f"connection = sqlite3.connect({str(made)!r}, isolation_level=None)\n"
                f"connection.executescript({statement!r})\n"
                "print('locked', flush=True)\n"
                "sys.stdin.read()\n"
            )
            process = subprocess.Popen(
                [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            assert process.stdout
            assert "locked\n" == process.stdout.readline()
            return process

        return keep

    @pytest.mark.parametrize(
        "statement", ["BEGIN IMMEDIATE", "PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE"], ids=["written", "exclusive"]
    )
    def test_for_too_long_is_told(self, made: Path, lock: Callable, statement: str) -> None:
        """A store that another process keeps to itself cannot be opened now, and opens once it is let go."""
        with lock(statement) as process:
            with pytest.raises(StoreError, match="another program has kept it locked") as caught:
                Store(made)
            process.stdin.close()
        assert StoreError is type(caught.value)
        Store(made).close()

    def test_while_it_is_switched_to_wal_is_waited_for(
        self, made: Path, lock: Callable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The switch waits for who writes, although SQLite refuses it at once; two who make a store meet like that."""
        monkeypatch.setattr(opening, "BUSY_SECONDS", 60)
        with lock("PRAGMA journal_mode = DELETE; BEGIN IMMEDIATE") as process:
            threading.Timer(0.1, process.stdin.close).start()
            engine = opening.make_engine(made)
            opening.switch_to_wal(engine)
            engine.dispose()
        with closing(sqlite3.connect(made)) as connection:
            assert [("wal",)] == connection.execute("PRAGMA journal_mode").fetchall()

    def test_by_one_that_was_killed_opens(self, made: Path, lock: Callable) -> None:
        """A lock dies with its process."""
        with lock("BEGIN IMMEDIATE; DELETE FROM licenses") as process:
            process.kill()
        with closing(Store(made)) as store, store.writing() as transaction:
            assert 300 == len(transaction.read())


ROUNDS = 10


def _make_together(paths: list[Path], barrier: Barrier, results: "multiprocessing.Queue[list[str]]") -> None:
    """Open each store at the same moment as the other process does."""
    ids = []
    for path in paths:
        barrier.wait(timeout=60)
        try:
            with closing(Store(path)) as store:
                ids.append(store.id)
        except Exception as error:  # noqa: BLE001 - told to the test
            ids.append(repr(error))
    results.put(ids)


def test_two_processes_make_one_store(tmp_path: Path) -> None:
    """Whoever comes first makes it, the other one takes it; both have the same store."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    paths = [tmp_path / f"{number}.db" for number in range(ROUNDS)]
    processes = [context.Process(target=_make_together, args=(paths, barrier, results)) for _ in range(2)]
    for process in processes:
        process.start()
    one, other = results.get(timeout=60), results.get(timeout=60)
    for process in processes:
        process.join(60)
        process.close()
    results.close()
    assert one == other
    assert {32} == {len(each) for each in one}


class TestMark:
    def test_of_a_copy_tells_that_it_is_older(self, path: Path) -> None:
        """A copy that is put back is behind what the file beside it knows."""
        with closing(Store(path)) as store:
            store.sidecar.acquire()
            before = path.read_bytes()
            with store.writing() as transaction:
                transaction.add_entry("ACME-1", 1, "tick", None, None, None)
            written = store.keep_mark(5)
        path.write_bytes(before)
        path.with_name("licenses.db-wal").unlink(missing_ok=True)
        with closing(Store(path)) as store:
            assert (Mark(store.id, 1, 5), 0) == (store.mark, store.seq)
            assert written == store.mark
