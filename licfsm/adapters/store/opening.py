"""How a store is opened: what is there is looked at before anything is written.

A file that is no store, is damaged, or was made by a newer version is refused and left as it is. An older one is
migrated, which is the only time that Alembic is loaded.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from licfsm.adapters.store.tables import HEAD, SCHEMA, meta
from licfsm.errors import StoreDamaged, StoreError, StoreTooNew
from licfsm.key import clean_text

__all__ = ["APPLICATION", "MEMORY", "check_file", "make_engine", "prepare", "switch_to_wal", "told_as_store_error"]

MEMORY: Final = ":memory:"
APPLICATION: Final = 0x6C696366  # "licf"
"""SQLite's application id, by which a file is known to be one of ours."""

BUSY_SECONDS: Final = 10.0
"""How long a transaction waits for one of another process."""

_SWITCH_AGAIN: Final = 0.01
"""Seconds after which the switch to WAL is tried again."""

_SMALLEST: Final = 512
"""Bytes of the smallest SQLite file; what is less would be taken for an empty one, and overwritten."""

_ROOM: Final = 1 << 17
"""Bytes; where less is free, the disk is as good as full."""

_RESTORE: Final = "restore it from a backup, or move it away and install the license keys again"
_DAMAGED: Final = frozenset({"SQLITE_CORRUPT"})
_WRONG_TABLES: Final = ("no such table", "no such column", "malformed", "Could not decode")
_THERE: Final = "SQLITE_CANTOPEN of a file that is there"
_WORDS: Final = {
    "SQLITE_BUSY": f"another program has kept it locked for {BUSY_SECONDS:g} seconds; try again when that one is done",
    "SQLITE_LOCKED": "it is locked within this program",
    "SQLITE_FULL": "the disk is full; make room",
    "SQLITE_READONLY": "it cannot be written; check the permissions of the file and its folder",
    "SQLITE_CANTOPEN": "it cannot be opened; check that its folder exists and may be written",
    "SQLITE_PERM": "access was denied; check the permissions",
    _THERE: (
        "it cannot be opened; check the permissions of the file, of those beside it and of their folder, and how many"
        " files this process has open"
    ),
    "SQLITE_IOERR": "the disk reports an error",
}


@contextmanager
def told_as_store_error(path: str | Path) -> Iterator[None]:
    """Tell what went wrong with a store by one of the package's errors.

    Raises:
        StoreDamaged: the file is damaged.
        StoreError: anything else that SQLite reports.

    """
    try:
        yield
    except (sa.exc.DBAPIError, sqlite3.Error) as error:
        origin = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        name = getattr(origin, "sqlite_errorname", "") or ""
        code = "_".join(name.split("_")[:2])
        if code == "SQLITE_NOTADB":
            message = (
                f"{path} is no licfsm store (not even an SQLite file); it was left as it is, for perhaps it is damaged:"
                f" {_RESTORE}"
            )
            raise StoreDamaged(message) from error
        if code in _DAMAGED or str(origin).startswith(_WRONG_TABLES):
            message = f"{path} is damaged ({origin}); it was left as it is: {_RESTORE}"
            raise StoreDamaged(message) from error
        message = f"{path}: {_WORDS.get(_meant(code, Path(path)), origin)}"
        raise StoreError(message) from error
    except (OverflowError, UnicodeError) as error:
        message = f"{path} holds what no store of ours does ({clean_text(str(error))}); {_RESTORE}"
        raise StoreDamaged(message) from error


def _meant(code: str, path: Path) -> str:
    """Find what SQLite means where it says less than can be known: a disk that is full, a file that is barred."""
    if code == "SQLITE_CANTOPEN" and os.path.exists(path):  # noqa: PTH110 - Path's raises where a folder is barred
        return _THERE
    if code == "SQLITE_IOERR":  # also where the memory that processes share cannot grow
        with suppress(OSError):
            return "SQLITE_FULL" if shutil.disk_usage(path.parent).free < _ROOM else code
    return code


def check_file(path: Path, *, began: bool) -> bool:
    """Look at what is there, without changing it.

    Args:
        path: the store's file.
        began: whether a store was there before, as the file beside it tells.

    Returns:
        Whether a store is there; otherwise one may be made.

    Raises:
        StoreDamaged: it is something else, or damaged.
        StoreTooNew: a newer version made it.
        StoreError: it cannot be read.

    """
    # The file is never opened but through SQLite: closing it would take away the locks that this process has on it.
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise StoreError(message) from None
    if not stat.S_ISREG(found.st_mode):
        why = os.strerror(errno.EISDIR) if stat.S_ISDIR(found.st_mode) else "it is no file"
        message = f"cannot read {path}: {why}; name a file for the store"
        raise StoreError(message)
    if not found.st_size:
        if began:
            message = f"{path} is empty, but a store was there; {_RESTORE}"
            raise StoreDamaged(message)
        return False
    if found.st_size < _SMALLEST:
        message = f"{path} is no licfsm store (not even an SQLite file); it was left as it is: {_RESTORE}"
        raise StoreDamaged(message)
    with told_as_store_error(path), closing(_read_only(path)) as connection:
        return _check_version(path, connection)


def _read_only(path: Path) -> sqlite3.Connection:
    # What a kill left half-written is rolled back, which takes the right to write.
    cut_short = path.with_name(f"{path.name}-journal").exists()
    mode = "rw" if cut_short else "ro"
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY_SECONDS)


def _check_version(path: Path, connection: sqlite3.Connection) -> bool:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if not tables and application in {0, APPLICATION}:
        return False  # its making was cut short
    if application != APPLICATION or "alembic_version" not in tables:
        message = f"{path} is an SQLite file of another program; it was left as it is: name another file"
        raise StoreDamaged(message)
    versions = [version for (version,) in connection.execute("SELECT version_num FROM alembic_version")]
    if versions != [HEAD] and not _known(versions):
        message = (
            f"{path} was made by a newer version of licfsm (format {', '.join(map(str, versions)) or 'unknown'}, this"
            f" version knows {HEAD}); it was left as it is: use that version, or restore a copy from before"
        )
        raise StoreTooNew(message)
    return True


def _known(versions: list[str]) -> bool:
    """Say whether a store is older than this version; asked only if it is not of this version."""
    from licfsm.adapters.store.migrate import revisions

    return len(versions) == 1 and versions[0] in revisions()


def make_engine(path: str | Path) -> sa.Engine:
    """Make the engine of a store: SQLite in WAL mode, every commit on the disk before it counts."""
    if path == MEMORY:
        engine = sa.create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}, query_cache_size=100
        )
    else:
        url = sa.URL.create("sqlite", database=str(path))
        engine = sa.create_engine(
            url,
            connect_args={"check_same_thread": False, "timeout": BUSY_SECONDS},
            pool_size=4,
            query_cache_size=100,
        )

    @sa.event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver's guess
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error:
            connection.close()
            raise

    @sa.event.listens_for(engine, "begin")
    def _begun(connection: sa.Connection) -> None:
        # Who will write takes the lock at once: one that asks for it later could find its view outdated.
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def prepare(engine: sa.Engine, path: str | Path) -> None:
    """Make the tables of a new store, or bring those of an older one up to date.

    Raises:
        StoreError: it cannot be written.

    """
    with told_as_store_error(path):
        with engine.begin() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                _make(connection)
        with engine.connect() as connection:
            (version,) = connection.execute(sa.text("SELECT version_num FROM alembic_version")).one()
        if version != HEAD:
            from licfsm.adapters.store.migrate import upgrade

            upgrade(engine, path, version)
        if path != MEMORY:
            switch_to_wal(engine)


def _make(connection: sa.Connection) -> None:
    """Make the tables, in one transaction with their version."""
    connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION}")
    SCHEMA.create_all(connection)
    connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    connection.execute(sa.text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})
    connection.execute(meta.insert(), [{"name": "store", "value": uuid.uuid4().hex}])


def switch_to_wal(engine: sa.Engine) -> None:
    """Switch the file to WAL, written only where it is not WAL yet.

    SQLite refuses the switch at once while another connection writes, for it does not wait in the midst of a read.

    Raises:
        sqlite3.OperationalError: it was refused for `BUSY_SECONDS`.

    """
    deadline = time.monotonic() + BUSY_SECONDS
    with closing(engine.raw_connection()) as raw:
        while True:
            try:
                raw.cursor().execute("PRAGMA journal_mode = WAL").close()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise
                time.sleep(_SWITCH_AGAIN)
            else:
                return
