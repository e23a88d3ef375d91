"""The moments at which a process may be killed: before each thing it does that outlives it, and after the last.

What outlives a process: commits of its store, the file beside the store, key files and their drafts, and what was
handed to mail server and log. At each such moment the process says so, and goes on only once it is told to. The moment
before one thing is the moment after the one before it, so where nothing lasting was done in between, two moments are
one. Nothing of this is known to the product: statements are seen in SQLite, commits in SQLAlchemy, the rest in `os`.
"""

import os
import re
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine.default import DefaultDialect

__all__ = ["Points", "hear", "say"]

_WRITES: Final = re.compile(r"\s*(INSERT|UPDATE|DELETE|CREATE)\s+(?:INTO\s+|FROM\s+|TABLE\s+|INDEX\s+)?(\w+)")
_TOKEN: Final = re.compile(r"~[0-9a-f]{16}$")
_LICENSE: Final = re.compile(r"'(ACME-\d)'")
_write, _read = os.write, os.read


def say(kind: str, *words: object) -> None:
    """Tell the test something, in a line of its own."""
    line = memoryview(("\t".join((kind, *map(str, words))) + "\n").encode())
    while line:
        line = line[_write(1, line) :]


def hear() -> bytes:
    """Wait for one byte; empty where the test is gone."""
    return _read(0, 1)


class Points:
    """Stops the process before each thing that outlives it.

    Args:
        now: tells the virtual time, in milliseconds.
        fine: whether it stops before each statement of a transaction as well.

    """

    def __init__(self, now: Callable[[], int], *, fine: bool) -> None:
        """Begin with an empty folder."""
        self._now = now
        self._fine = fine
        self._changed = True
        self._worked = True
        self._writing = False

    def stop(self, label: str, *, always: bool = False) -> None:
        """Wait for the word to go on, if anything lasting was done since the last stop."""
        if self._changed or always:
            self._changed = False
            say("POINT", self._now(), label)
            if not hear():
                os._exit(1)

    def done(self) -> None:
        """Note that something lasting was done."""
        self._changed = self._worked = True

    def install(self) -> None:
        """See whatever is done from now on."""
        self._watch_store()
        self._watch_files()

    def _watch_store(self) -> None:
        commit = DefaultDialect.do_commit

        def stop_before(statement: str) -> None:
            if found := _WRITES.match(statement):
                self._writing = True
                if self._fine and found[1] != "CREATE":  # SQLAlchemy makes the indexes of a table in any order
                    self.stop(" ".join([*found.groups(), *sorted(set(_LICENSE.findall(statement)))]), always=True)

        @sa.event.listens_for(sa.Engine, "connect")
        def _trace(connection: sqlite3.Connection, _: object) -> None:
            connection.set_trace_callback(stop_before)

        def do_commit(dialect: DefaultDialect, connection: object) -> None:
            writing, self._writing = self._writing, False
            if writing:
                self.stop("COMMIT", always=True)
            commit(dialect, connection)
            if writing:
                self.done()

        DefaultDialect.do_commit = do_commit

    def _watch_files(self) -> None:
        make, sync, write = os.open, os.fsync, os.write

        def open_file(path: str | Path, flags: int, *more: object, **others: object) -> int:
            if not flags & os.O_CREAT or os.path.lexists(path):
                return make(path, flags, *more, **others)
            self.stop(f"create {_name(path)}")
            descriptor = make(path, flags, *more, **others)
            self.done()
            self.stop(f"created {_name(path)}")
            return descriptor

        def fsync(descriptor: int) -> None:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                self.done()  # whatever was written into it
                self.stop("fsync")
            sync(descriptor)

        def write_mark(descriptor: int, data: bytes) -> int:
            if self._worked:  # a mark that follows a mark changes nothing
                self.stop("mark")
            written = write(descriptor, data)
            self._worked, self._changed = False, True
            return written

        def stopping(name: str) -> Callable[..., None]:
            do = getattr(os, name)

            def stop_first(path: str | Path, *more: object, **others: object) -> None:
                if os.path.lexists(path):
                    self.stop(f"{name} {_name(path)}")
                do(path, *more, **others)
                self.done()

            return stop_first

        os.open, os.fsync, os.write = open_file, fsync, write_mark
        for name in ("replace", "rename", "link", "unlink"):
            setattr(os, name, stopping(name))


def _name(path: str | Path) -> str:
    """Name a file in the life's folder, the chance in a draft's name aside."""
    return _TOKEN.sub("~", os.path.relpath(path))
