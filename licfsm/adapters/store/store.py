"""A store: what must survive of all licenses, in one SQLite file.

It keeps plain rows and decides nothing. A `Transaction` takes down what steps led to, all of it or nothing; several
processes may share a store, and each learns at the start of its transaction what the others wrote.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import sqlalchemy as sa

from licfsm.adapters.log import logger
from licfsm.adapters.store.opening import BUSY_SECONDS, MEMORY, check_file, make_engine, prepare, told_as_store_error
from licfsm.adapters.store.sidecar import Mark, Sidecar, is_there
from licfsm.adapters.store.tables import journal, keys, licenses, meta, outbox, policies, sessions
from licfsm.errors import InvalidValue, StoreDamaged, StoreError, WrongProcess

__all__ = ["LOOK_AGAIN", "Row", "Store", "Transaction", "Waiting"]

Row = Mapping[str, Any]

LOOK_AGAIN: Final = 1.0
"""Seconds after which it is looked whether the files are still where they were."""

_SAVE: Final = (
    licenses.update()
    .where(licenses.c.id == sa.bindparam("the_id"), licenses.c.version == sa.bindparam("the_version"))
    .values({name: sa.bindparam(f"new_{name}") for name in licenses.columns.keys()[1:]})
)
_ADD: Final = {table.name: table.insert() for table in (journal, sessions, outbox)}


def _sql(engine: sa.Engine, statement: sa.sql.ClauseElement) -> str:
    """Compile what is executed at every step, once; its parameters are given in the order of the columns."""
    return str(statement.compile(dialect=engine.dialect))


_STORED: Final = sa.select(licenses, keys.c.signed, policies.c.document).select_from(
    licenses.outerjoin(keys, keys.c.id == licenses.c.key).outerjoin(policies, policies.c.digest == licenses.c.policy)
)
_CHANGED: Final = sa.select(journal.c.license).where(journal.c.seq > sa.bindparam("seq")).distinct()
_LATEST: Final = sa.select(sa.func.coalesce(sa.func.max(journal.c.seq), 0))
_FEW: Final = 500
"""So many licenses are read by their ids; of more, all are read."""

_LAST_SEQ: Final = 1 << 62
_LATEST_AT: Final = sa.select(journal.c.at).order_by(journal.c.seq.desc()).limit(1)
_WAITING: Final = outbox.c.done_at.is_(None)
_HEADS: Final = sa.select(sa.func.min(outbox.c.seq)).where(_WAITING).group_by(outbox.c.channel, outbox.c.license)
"""The oldest notice of each license that waits on a channel: none overtakes another."""


class Waiting(NamedTuple):
    """What waits to be delivered on a channel.

    Attributes:
        channel: which.
        notices: how many.
        since: when the oldest came about, in milliseconds.
        attempts: how often the one was tried that failed most.
        error: why, the last time.

    """

    channel: str
    notices: int
    since: int
    attempts: int
    error: str | None


class Transaction:
    """What one or more steps lead to, written at its end, all of it or nothing."""

    def __init__(self, connection: sa.Connection, sql: Mapping[str, str], seq: int, data_version: int) -> None:
        """Begin with nothing."""
        self._connection = connection
        self._sql = sql
        self._saves: list[tuple[Any, ...]] = []
        self._journal: list[tuple[Any, ...]] = []
        self._sessions: list[tuple[Any, ...]] = []
        self._outbox: list[tuple[Any, ...]] = []
        self.seq = seq
        self.data_version = data_version

    def read(self, ids: Iterable[str] | None = None) -> Sequence[Row]:
        """Read the rows of licenses, with what was signed and the policy; of all of them by default."""
        wanted = None if ids is None else set(ids)
        few = wanted is not None and len(wanted) <= _FEW
        query = _STORED.where(licenses.c.id.in_(wanted)) if wanted is not None and few else _STORED
        rows = cast("Sequence[Row]", self._connection.execute(query.order_by(licenses.c.id)).mappings().all())
        return rows if wanted is None or few else [row for row in rows if row["id"] in wanted]

    def add_license(self, license_id: str, policy: str) -> None:
        """Declare a license that has no key yet."""
        row = {"id": license_id, "version": 1, "policy": policy, "next_due_at": 0, "notices": 0}
        self._connection.execute(licenses.insert(), [row])

    def add_policy(self, digest: str, name: str, document: str) -> None:
        """Keep a policy, if it is not kept yet."""
        known = self._connection.execute(sa.select(policies.c.digest).where(policies.c.digest == digest)).first()
        if known is None:
            row = {"digest": digest, "name": name, "document": document}
            self._connection.execute(policies.insert(), [row])

    def add_key(self, license_id: str, signed: str) -> int:
        """Keep what was signed, unless that is kept already, and give the number by which it is known."""
        row = {"license": license_id, "signed": signed}
        query = sa.select(keys.c.id).where(keys.c.license == license_id, keys.c.signed == signed)
        if (known := self._connection.execute(query).scalar()) is not None:
            return int(known)
        added: int = self._connection.execute(keys.insert().returning(keys.c.id), row).scalar_one()
        return added

    def save(self, license_id: str, version: int, values: tuple[Any, ...]) -> None:
        """Replace the row of a license; ``values`` are its key, policy, next due time, notices and record."""
        self._saves.append((version + 1, *values, license_id, version))

    def add_entry(
        self, license_id: str, at: int, event: str, details: str | None, moves: str | None, outcome: str | None
    ) -> int:
        """Take down an event, and give its number."""
        self.seq += 1
        self._journal.append((self.seq, license_id, at, event, details, moves, outcome))
        return self.seq

    def last_details(self, license_id: str) -> str | None:
        """Read the details of a license's latest entry."""
        query = sa.select(journal.c.details).where(journal.c.license == license_id).order_by(journal.c.seq.desc())
        found: str | None = self._connection.execute(query.limit(1)).scalar()
        return found

    def add_session(
        self,
        license_id: str,
        attempt: int,
        started_at: int,
        ended_at: int,
        outcome: str | None,
        result: str,
        messages: Sequence[str],
    ) -> None:
        """Take down a session entry."""
        told = json.dumps(messages)
        self._sessions.append((None, license_id, attempt, started_at, ended_at, outcome, result, told))

    def amend_session(self, license_id: str, attempt: int, result: str, message: str) -> None:
        """Give a session entry another result, and one more message where there is one."""
        self.flush()
        which = sessions.c.license == license_id, sessions.c.attempt == attempt
        query = sa.select(sessions.c.seq, sessions.c.messages).where(*which).order_by(sessions.c.seq.desc())
        if found := self._connection.execute(query).first():
            values = {"result": result}
            if message:
                values["messages"] = json.dumps([*_messages(found.messages), message])
            change = sessions.update().where(sessions.c.seq == found.seq).values(values)
            self._connection.execute(change)

    def add_notice(
        self, notice_id: str, license_id: str, channel: str, name: str, level: str, text: str, at: int, *, done: bool
    ) -> None:
        """Put a notice on a channel; ``done`` where it is delivered by being written here."""
        done_at = at if done else None
        self._outbox.append((None, notice_id, license_id, channel, name, level, text, at, 0, at, None, done_at, None))

    def flush(self) -> None:
        """Write what was taken down.

        Raises:
            StoreError: a row is not as it was when it was read.

        """
        # By the driver's own cursor: what SQLAlchemy does around a statement costs as much as the statement.
        cursor, sql = self._connection.connection.cursor(), self._sql
        if self._saves:
            cursor.executemany(sql["licenses"], self._saves)
            if cursor.rowcount != len(self._saves):
                message = "a license was changed by someone else meanwhile; nothing was written"
                raise StoreError(message)
            self._saves = []
        if self._journal:
            cursor.executemany(sql["journal"], self._journal)
            self._journal = []
        if self._sessions:
            cursor.executemany(sql["sessions"], self._sessions)
            self._sessions = []
        if self._outbox:
            cursor.executemany(sql["outbox"], self._outbox)
            self._outbox = []


def _messages(text: str) -> list[Any]:
    """Read a session's messages; what was changed by hand is left out."""
    try:
        messages = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return messages if isinstance(messages, list) else []


class Store:
    """A store that is open.

    Args:
        path: its file, or `opening.MEMORY`.

    Raises:
        StoreDamaged: the file is no store, or is damaged.
        StoreTooNew: a newer version of this package made it.
        StoreError: it cannot be read or written.

    """

    def __init__(self, path: str | Path) -> None:
        """Open a store, or make a new one where there is none."""
        if not isinstance(path, str | os.PathLike):
            message = f"a store must be a path or {MEMORY!r}, not a value of type {type(path).__name__}"
            raise InvalidValue(message)
        if "\0" in str(path):
            message = f"{str(path)!r} cannot be the path of a file"
            raise StoreError(message)
        if str(path).startswith("~"):
            message = (
                f"{str(path)!r} cannot be the path of a store, since no ~ is replaced; give Path(...).expanduser()"
            )
            raise StoreError(message)
        self.path: str | Path = MEMORY if str(path) == MEMORY else Path(os.path.realpath(path))
        if isinstance(self.path, Path) and (not str(path) or not self.path.name):
            message = f"{str(path)!r} is no file; name one for the store"
            raise StoreError(message)
        self._closed = False
        self._look_at = 0.0
        self._file: os.stat_result | None = None
        """Which file it is, by which another one of the same name is known; None in memory."""
        self.left: Mark | None = None
        """The mark as this process left it; None as long as it has not, or another process drives."""
        in_memory = isinstance(self.path, str)
        self.sidecar = Sidecar(None if isinstance(self.path, str) else self.path.with_name(self.path.name + ".lock"))
        mark = self.sidecar.read()
        if isinstance(self.path, Path):
            there = check_file(self.path, began=bool(mark and mark.seq))
            if mark and mark.seq and not there:
                logger.warning(
                    "%s is gone, though a store was there; a new one is made, without any license", self.path
                )
        self._lock = threading.RLock()
        self._read = threading.Condition()
        self._readers = 0
        """How many threads are reading."""
        self._shared = in_memory
        self._engine = make_engine(self.path)
        self._sql = {name: _sql(self._engine, statement) for name, statement in _ADD.items()}
        self._sql["licenses"] = _sql(self._engine, _SAVE)
        try:
            self._begin()
            self.mark = mark if mark and mark.store == self.id else None
            """How far it had come, as the file beside it says; None where that file is new, or another store's."""
            self.there_before = self.last_there(self.mark)
            """When somebody was last there before it was opened, in milliseconds; 0 where nobody knows."""
        except BaseException:
            self._engine.dispose()
            raise

    def _begin(self) -> None:
        prepare(self._engine, self.path)
        self._file = self.path.stat() if isinstance(self.path, Path) else None
        with self._reading() as connection:
            self.id = self._read_id(connection)
            self.seq = int(connection.execute(_LATEST).scalar_one())
        if self.seq >= _LAST_SEQ:
            message = f"{self.path} is damaged: its journal is numbered beyond all measure; restore it from a backup"
            raise StoreDamaged(message)
        with told_as_store_error(self.path):
            self._writer = self._engine.connect()
        try:
            self._data_version = self._look()
        except BaseException:
            self._writer.close()
            raise

    def _read_id(self, connection: sa.Connection) -> str:
        found = connection.execute(sa.select(meta.c.value).where(meta.c.name == "store")).scalar()
        if not isinstance(found, str):
            message = f"{self.path} is damaged: it does not say which store it is; restore it from a backup"
            raise StoreDamaged(message)
        return found

    # ------------------------------------------------------------------------------------ writing

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """Begin a transaction that no other process can come between, and commit it at the end.

        Raises:
            StoreError: it could not be written; then nothing was.

        """
        with self._lock:
            self._check_open()
            try:
                with told_as_store_error(self.path):
                    self._end_what_was_cut_short()
                    with self._writer.begin():
                        transaction = Transaction(self._writer, self._sql, self.seq, self._data_version)
                        yield transaction
                        transaction.flush()
            except BaseException:
                self._data_version = -1  # nobody knows what was written: look for it next time
                raise
            self.seq, self._data_version = transaction.seq, transaction.data_version

    def _check_open(self) -> None:
        if self._closed:
            message = "this store is closed; open it again"
            raise WrongProcess(message)

    def see_that_it_is_there(self, *, at_once: bool = False) -> None:
        """See that the file still has its name; once a second at most, since commands and ticks come often.

        Args:
            at_once: look in any case.

        Raises:
            StoreError: it was removed or replaced, and what is written to it would be lost.

        """
        now = time.monotonic()
        if not self._file or (now < self._look_at and not at_once):
            return
        if not is_there(Path(self.path), self._file):
            message = (
                f"{self.path} was removed or replaced while it was open, and what is written would be lost: put that very"
                " file back; or end all that has it open, remove the files ending in -wal and -shm beside it, which"
                " belong to the one before, and open what is there now"
            )
            raise StoreError(message)
        self._look_at = now + LOOK_AGAIN

    def _end_what_was_cut_short(self) -> None:
        """Roll back a transaction that an interrupt left open behind SQLAlchemy's back."""
        raw: Any = self._writer.connection.dbapi_connection
        if raw.in_transaction:
            raw.rollback()

    def news(self, transaction: Transaction) -> set[str]:
        """Name the licenses that other processes changed since this one last looked; within a transaction."""
        version = self._look()
        if version == self._data_version:
            return set()
        changed = set(self._writer.execute(_CHANGED, {"seq": transaction.seq}).scalars())
        transaction.seq = int(self._writer.execute(_LATEST).scalar_one())
        transaction.data_version = version
        return changed

    def has_news(self) -> bool:
        """Say whether another process wrote since this one last looked; costs next to nothing."""
        with self._lock:
            self._check_open()
            self.see_that_it_is_there()
            return self._look() != self._data_version

    def _look(self) -> int:
        """Read SQLite's counter of what others wrote."""
        with self._lock, told_as_store_error(self.path):
            self._check_open()
            raw: Any = self._writer.connection.dbapi_connection
            (version,) = raw.execute("PRAGMA data_version").fetchone()
            return int(version)

    # ------------------------------------------------------------------------------------ reading

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        """Read what was committed; a store in memory has one connection, which is waited for."""
        if self._shared:
            self._lock.acquire()
        try:
            with self._read:
                self._check_open()
                self._readers += 1
            try:
                with (
                    told_as_store_error(self.path),
                    self._engine.connect().execution_options(reading=True) as connection,
                ):
                    yield connection
            finally:
                with self._read:
                    self._readers -= 1
                    self._read.notify_all()
        finally:
            if self._shared:
                self._lock.release()

    def _rows(self, query: sa.Select[Any]) -> Sequence[Row]:
        with self._reading() as connection:
            return cast("Sequence[Row]", connection.execute(query).mappings().all())

    def entries(self, license_id: str | None, *, after: int = 0, limit: int | None = None) -> Sequence[Row]:
        """Read the journal in its order: all of it after a number, or the latest so many entries."""
        return self._latest(journal, license_id, after, limit)

    def session_rows(self, license_id: str | None, *, limit: int | None = None) -> Sequence[Row]:
        """Read session entries in their order, the latest so many."""
        return self._latest(sessions, license_id, 0, limit)

    def notice_rows(self, license_id: str | None, *, limit: int | None = None) -> Sequence[Row]:
        """Read what was told, or is to be, in its order, the latest so many."""
        return self._latest(outbox, license_id, 0, limit)

    def _latest(self, table: sa.Table, license_id: str | None, after: int, limit: int | None) -> Sequence[Row]:
        query = sa.select(table).where(table.c.seq > after)
        if license_id is not None:
            query = query.where(table.c.license == license_id)
        if limit is None:
            return self._rows(query.order_by(table.c.seq))
        return self._rows(query.order_by(table.c.seq.desc()).limit(limit))[::-1]

    def policy_rows(self) -> Sequence[Row]:
        """Read every policy that licenses ran under."""
        return self._rows(sa.select(policies))

    def key_rows(self, license_id: str | None = None) -> Sequence[Row]:
        """Read every key that was ever in force, of one license or of all."""
        query = sa.select(keys).order_by(keys.c.id)
        return self._rows(query if license_id is None else query.where(keys.c.license == license_id))

    # ------------------------------------------------------------------------------------ the outbox

    def due_notices(self, channel: str, now: int, beyond: int, limit: int) -> Sequence[Row]:
        """Read what is to be delivered now: of each license the oldest notice that waits, if its time has come.

        Those that wait for the longest come first, so that what fails again and again holds up nobody else.

        Args:
            channel: where.
            now: milliseconds.
            beyond: so late nothing is meant to wait: such a time was told by a clock that was set back since.
            limit: how many at most.

        """
        heads = _HEADS.where(outbox.c.channel == channel)
        due = sa.or_(outbox.c.next_at <= now, outbox.c.next_at > beyond)
        query = sa.select(outbox).where(outbox.c.seq.in_(heads), due)
        return self._rows(query.order_by(outbox.c.next_at, outbox.c.seq).limit(limit))

    def next_notices_at(self, now: int, beyond: int) -> dict[str, int]:
        """When something is to be delivered next, by channel, in milliseconds; a channel where nothing waits is not named.

        Args:
            now: milliseconds.
            beyond: what waits until later than this is due now; see `due_notices`.

        """
        next_at = sa.func.min(sa.case((outbox.c.next_at > beyond, now), else_=outbox.c.next_at))
        query = sa.select(outbox.c.channel, next_at.label("next_at")).where(outbox.c.seq.in_(_HEADS))
        return {row["channel"]: row["next_at"] for row in self._rows(query.group_by(outbox.c.channel))}

    def mark_notice(self, seq: int, **values: int | str | None) -> None:
        """Take down what came of a delivery."""
        with self.writing():
            self._writer.execute(outbox.update().where(outbox.c.seq == seq).values(**values))

    def drop_waiting(self, now: int, why: str) -> int:
        """Let go of everything that waits, and say how much that was."""
        with self.writing():
            change = outbox.update().where(_WAITING).values(done_at=now, dropped=why)
            return int(self._writer.execute(change).rowcount)

    def waiting(self, license_id: str | None = None) -> list[Waiting]:
        """Tell what waits, by channel."""
        query = sa.select(outbox.c.channel, outbox.c.at, outbox.c.attempts, outbox.c.error).where(_WAITING)
        if license_id is not None:
            query = query.where(outbox.c.license == license_id)
        found: dict[str, Waiting] = {}
        for row in self._rows(query.order_by(outbox.c.channel, outbox.c.next_at)):
            name, error = row["channel"], row["error"]
            old = found.get(name, Waiting(name, 0, row["at"], 0, None))
            since, attempts = min(old.since, row["at"]), max(old.attempts, row["attempts"])
            found[name] = Waiting(name, old.notices + 1, since, attempts, error or old.error)
        return list(found.values())

    # ------------------------------------------------------------------------------------ upkeep

    def prune(self, before: int) -> int:
        """Remove what is older than a time; never the last failure, the last entries, or what waits.

        Args:
            before: milliseconds.

        Returns:
            How many rows were removed.

        """
        oldest = [
            self._rows(sa.select(when.label("at")).order_by(table.c.seq).limit(1))
            for table, when in ((journal, journal.c.at), (sessions, sessions.c.ended_at), (outbox, outbox.c.at))
        ]
        if not any(row["at"] < before for rows in oldest for row in rows):
            return 0
        last_entry = sa.select(sa.func.max(journal.c.seq)).group_by(journal.c.license)
        failed = sessions.c.result == "failed"
        last_session = sa.select(sa.func.max(sessions.c.seq)).group_by(sessions.c.license, failed)
        removals = (
            sa.delete(journal).where(journal.c.at < before, journal.c.seq.not_in(last_entry)),
            sa.delete(sessions).where(sessions.c.ended_at < before, sessions.c.seq.not_in(last_session)),
            sa.delete(outbox).where(outbox.c.done_at < before),
        )
        with self.writing():
            return sum(int(self._writer.execute(removal).rowcount) for removal in removals)

    def last_there(self, mark: Mark | None) -> int:
        """When somebody was last there, by the mark or by a later entry of the journal; 0 where nobody knows.

        Args:
            mark: what the file beside the store says.

        """
        if mark is not None and mark.store == self.id and mark.seq >= self.seq:
            return mark.seen_at
        rows = self._rows(_LATEST_AT)
        return int(rows[0]["at"]) if rows else 0

    def keep_mark(self, seen_at: int) -> Mark:
        """Note how far the store has come, and when that was; only its driver does."""
        self.left = Mark(self.id, self.seq, seen_at)
        self.sidecar.write(self.left)
        return self.left

    def close(self) -> None:
        """Close it; what was committed stays."""
        with self._lock:
            with self._read:
                self._closed = True
                self._read.wait_for(lambda: not self._readers, BUSY_SECONDS)  # what they have open would stay open
            self._writer.close()
            self._engine.dispose()
            self.sidecar.close()

    def abandon(self) -> None:
        """Let go of it after a fork, without touching what the parent has open."""
        _ORPHANS.append(self._writer)
        self._engine.dispose(close=False)


_ORPHANS: Final[list[object]] = []
"""Connections of a parent process: closing them here could disturb it."""
