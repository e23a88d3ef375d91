"""A store examined without changing anything in it: what it holds, what is wrong with it, and how to mend that.

It may be examined while another process drives it, and whoever may have changed it: nothing of it is believed, and
what was meant for a license is shown only cleaned (rules.md 8.3). What needs a signature is checked where the public
keys are given.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import pendulum

from licfsm import instants
from licfsm.adapters.keys import TrustedKeys, read_unverified
from licfsm.adapters.store.opening import BUSY_SECONDS, check_file, told_as_store_error
from licfsm.adapters.store.sidecar import Mark, Sidecar
from licfsm.adapters.store.tables import HEAD, SCHEMA
from licfsm.errors import InvalidValue, KeyRejected, LicfsmError, StoreDamaged, StoreError
from licfsm.handlers import question_due
from licfsm.host.audit import replay_journal
from licfsm.host.codec import decode_policy, decode_record, encode_policy
from licfsm.host.examination import MANY, Examination, Examined, Finding, Queue, counted
from licfsm.host.registry import OPENED
from licfsm.host.values import JournalEntry, SessionEntry, ToldNotice
from licfsm.instants import NEVER
from licfsm.key import LicenseKey, clean_text, valid_id
from licfsm.policy import Policy
from licfsm.record import Record

__all__ = ["examine"]

_FIRST: Final = "first_installed"
_LIMIT: Final = 1 << 62
_BACKUP: Final = "restore the store from a backup"
_FORCE: Final = f"install its license key again with force, or {_BACKUP}"
_BROKEN: Final = (LicfsmError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading something made by hand may come to."""

_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], object]]] = {
    "journal": JournalEntry.of,
    "sessions": SessionEntry.of,
    "outbox": ToldNotice.of,
}
_STORED: Final = """
    SELECT licenses.*, keys.signed, policies.document FROM licenses
    LEFT JOIN keys ON keys.id = licenses.key LEFT JOIN policies ON policies.digest = licenses.policy
    ORDER BY licenses.id"""
_WAITING: Final = "SELECT channel, license, at, attempts, error FROM outbox WHERE done_at IS NULL ORDER BY channel, seq"
_STRANGERS: Final = {
    table: f"SELECT count(*) AS found FROM {table} WHERE license <> '' AND license NOT IN (SELECT id FROM licenses)"  # noqa: S608
    for table in ("keys", *_READERS)
}
_AT_LIMIT: Final = (
    "SELECT name FROM sqlite_sequence WHERE typeof(seq) <> 'integer' OR seq >= :limit OR seq < 0"
    " UNION SELECT 'licenses' FROM licenses WHERE max(abs(version / 2), abs(notices / 2)) >= :limit / 2"
    " UNION SELECT 'journal' FROM journal WHERE seq >= :limit"
    " UNION SELECT 'sessions' FROM sessions WHERE seq >= :limit"
    " UNION SELECT 'outbox' FROM outbox WHERE seq >= :limit"
    " UNION SELECT 'keys' FROM keys WHERE id >= :limit"
    " UNION SELECT 'outbox' FROM outbox WHERE attempts >= :limit OR attempts < 0"
)


def examine(
    path: str | Path, trust: TrustedKeys | None = None, *, watch: Callable[[float], None] | None = None
) -> Examination:
    """Examine a store; nothing in it is changed.

    Whether a process drives it is found by trying its lock for a moment, as managers do.

    Args:
        path: its file.
        trust: the public keys whose signatures count; None leaves keys unverified.
        watch: called now and then with the part that is done.

    Raises:
        StoreDamaged: there is no store, it is damaged, or it is a file of another program.
        StoreTooNew: a newer version of this package made it.
        StoreError: it cannot be read, or an older version made it.

    """
    given = Path(path)
    _check_kind(given)
    path = Path(os.path.realpath(given))  # as managers open it: what is beside a link is not beside the store
    sidecar = Sidecar(path.with_name(f"{path.name}.lock"))
    try:
        mark = sidecar.read()  # before the journal, which can then only be longer
        if not check_file(path, began=bool(mark and mark.seq)):
            message = f"{path} holds no store yet; it is made when a manager opens it"
            raise StoreDamaged(message)
        driven = _driver(sidecar)
    finally:
        sidecar.close()
    with told_as_store_error(path), closing(_connect(path)) as connection:
        return _Examiner(given, connection, trust, watch or (lambda _: None)).examine(mark, driven)


def _check_kind(path: Path) -> None:
    """See that there is a file, and not something that one could wait for."""
    try:
        kind = "" if path.is_file() else "is no file" if path.exists() else "does not exist"
    except OSError as error:
        kind = f"cannot be looked at ({error.strerror})"
    if kind:
        message = f"{path} {kind}; name the file of a store"
        raise StoreError(message)


def _driver(sidecar: Sidecar) -> str:
    """Find out who drives a store, without making the file that is locked."""
    if sidecar.path is None or not sidecar.path.exists():
        return "nobody"
    try:
        return "nobody" if sidecar.acquire() else "elsewhere"
    except StoreError:
        return "unknown"


def _connect(path: Path) -> sqlite3.Connection:
    """Open a store for reading, all of it as of one moment."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS, isolation_level=None
    )
    connection.row_factory = lambda cursor, row: {
        column[0]: value for column, value in zip(cursor.description, row, strict=True)
    }
    connection.execute("PRAGMA trusted_schema = OFF")  # nothing that was planted there is run
    connection.execute("BEGIN")
    return connection


def _moment(ms: object) -> pendulum.DateTime | None:
    """Read a time that may be anything."""
    good = isinstance(ms, int) and instants.EARLIEST <= ms <= instants.LATEST
    return instants.from_ms(ms) if good and isinstance(ms, int) else None


@attrs.define
class _Examiner:
    """One examination: the store, and what was found so far."""

    path: Path
    connection: sqlite3.Connection
    trust: TrustedKeys | None
    watch: Callable[[float], None]
    findings: list[Finding] = attrs.field(factory=list)
    policies: dict[str, Policy] = attrs.field(factory=dict)
    entries: int = 0
    last: int = 0
    begins: dict[str, int] = attrs.field(factory=dict)
    """License -> the latest entry with which its record began."""
    openings: list[int] = attrs.field(factory=list)
    whole_from: int = 0
    """From which entry on none is missing."""
    garbled: int = 0
    """How many texts were none."""
    total: int = 1
    done: int = 0

    def __attrs_post_init__(self) -> None:
        """Read text that is none as well as it can be."""
        self.connection.text_factory = self._text

    def _text(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError:
            self.garbled += 1
            return data.decode(errors="replace")

    def examine(self, mark: Mark | None, driven: str) -> Examination:
        """Look at everything."""
        version, store = self._identity()
        self._check_tables()
        self.connection.set_progress_handler(self._beat, 500_000)
        ours = mark if mark and mark.store == store else None
        states: Counter[tuple[str, str]] = Counter()
        licenses: list[Examined] = []
        queues: list[Queue] = []
        with self._part("the file"):
            self._check_pages()
        with self._part("the file"):
            self._count()
        with self._part("table policies"):
            self._read_policies()
        for table in _READERS:
            with self._part(f"table {table}"):
                self._read_rows(table)
        with self._part("the file"):
            self._check_age(ours)
            self._check_rows()
        with self._part("table licenses"):
            licenses.extend(self._licenses(states))
        with self._part("table outbox"):
            queues.extend(self._queues())
        if sum(states.values()) > MANY:
            licenses = [each for each in licenses if each.trouble]
        return Examination(
            file=clean_text(str(self.path)),
            store=clean_text(store),
            version=version,
            driven=driven,
            driven_at=_moment(ours.seen_at) if ours and ours.seen_at else None,
            verified=self.trust is not None,
            entries=self.entries,
            states=states,
            licenses=tuple(licenses),
            queues=tuple(queues),
            findings=tuple(dict.fromkeys(self.findings)),
        )

    @contextmanager
    def _part(self, name: str) -> Iterator[None]:
        """Go on behind what is damaged."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if not (error.sqlite_errorname or "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
                raise
            self._find(f"{name} cannot be read any further: {error}", _BACKUP)

    # ------------------------------------------------------------------------------------ the file

    def _identity(self) -> tuple[str, str]:
        """Read which version made it, and which store it is."""
        version = str(self._one("SELECT version_num AS it FROM alembic_version")["it"])
        if version != HEAD:
            message = (
                f"{self.path} was made by an older version of licfsm (format {version}, this version knows {HEAD});"
                " a manager that opens it brings it up to date, after which it can be examined"
            )
            raise StoreError(message)
        found = self._one("SELECT max(value) AS it FROM meta WHERE name = 'store'")["it"]
        if not isinstance(found, str) or self.garbled:
            message = f"{self.path} is damaged: it does not say which store it is; {_BACKUP}"
            raise StoreDamaged(message)
        return version, found

    def _check_tables(self) -> None:
        """See that it has the tables of its version, and nothing besides."""
        there = {row["name"]: row["type"] for row in self._rows("SELECT type, name FROM sqlite_master")}
        wanted = {"alembic_version": "table"}
        for table in SCHEMA.sorted_tables:
            wanted |= {table.name: "table"} | {str(index.name): "index" for index in table.indexes}
            columns = [row["name"] for row in self._rows(f"PRAGMA table_info({table.name})")]
            if there.get(table.name) != "table" or columns != table.columns.keys():
                message = f"{self.path} is damaged: table {table.name} is not as it was made; {_BACKUP}"
                raise StoreDamaged(message)
        for name in wanted.keys() - there.keys():
            self._find(f"{wanted[name]} {name} is missing", _BACKUP)
        for name in there.keys() - wanted.keys():
            if not name.startswith("sqlite_"):
                self._find(f"it holds what licfsm never made: {there[name]} {clean_text(name)[:60]}", _BACKUP)

    def _count(self) -> None:
        """Find out how much there is to do."""
        counts = (self._one(f"SELECT count(*) AS n FROM {name}")["n"] for name in ("licenses", *_READERS))  # noqa: S608
        self.total = sum(counts) or 1

    def _check_age(self, ours: Mark | None) -> None:
        """See whether it is behind what the file beside it knows."""
        if ours and ours.seq > self.last:
            what = f"it is an older copy of itself: its journal ends at {self.last}, and had come to {ours.seq}"
            self._find(what, "put a newer copy in its place if there is one, or install newer license keys again")

    def _check_pages(self) -> None:
        for row in self._rows("PRAGMA integrity_check(5)"):
            if (what := str(*row.values())) != "ok":
                self._find(f"SQLite finds damage: {clean_text(what)[:200]}", _BACKUP)
        for row in self._rows("PRAGMA foreign_key_check"):
            self._find(f"a row of table {row['table']} refers to one that is not there", _BACKUP)

    def _read_policies(self) -> None:
        for row in self._rows("SELECT digest, document FROM policies ORDER BY digest"):
            try:
                policy = decode_policy(row["document"])
                good = encode_policy(policy)[0] == row["digest"]
            except _BROKEN:
                good = False
            if good:
                self.policies[row["digest"]] = policy
            else:
                self._find(f"policy {clean_text(row['digest'])[:32]} is not what was stored", _BACKUP)

    # ------------------------------------------------------------------------------------ rows to look back at

    def _read_rows(self, table: str) -> None:
        """Read every row of a table, and count those that cannot be shown."""
        read, broken, first, garbled = _READERS[table], 0, "", self.garbled
        for row in self._rows(f"SELECT * FROM {table} ORDER BY seq"):  # noqa: S608
            self._beat(1)
            if table == "journal":
                self._note(row)
            try:
                read(row)
                self._check_text(garbled)
            except _BROKEN as error:
                broken += 1
                first = first or f"{row['seq']} ({clean_text(str(error))[:80]})"
            garbled = self.garbled
        if broken:
            what = f"{counted(broken, 'row')} of table {table} cannot be read, first number {first}"
            self._find(what, f"{_BACKUP} if they are wanted; licenses do without them")

    def _check_text(self, before: int) -> None:
        if self.garbled > before:
            message = "text that is no UTF-8"
            raise StoreDamaged(message)

    def _note(self, row: Mapping[str, Any]) -> None:
        """Note where the journal has what begins anew, and from where on it is whole."""
        seq: int = row["seq"]
        if seq != self.last + 1 or not self.entries:
            self.whole_from = seq
        self.entries += 1
        self.last = seq
        if row["event"] == OPENED:
            self.openings.append(seq)
        elif row["event"] == _FIRST:
            self.begins[row["license"]] = seq

    def _check_rows(self) -> None:
        """Look for rows of no license, and numbers from which SQLite cannot count on."""
        for table, query in _STRANGERS.items():
            if found := self._one(query)["found"]:
                self._find(
                    f"{counted(found, 'row')} of table {table} of no license that is here",
                    f"{_BACKUP} if they are wanted",
                )
        for row in self._rows(_AT_LIMIT, {"limit": _LIMIT}):
            self._find(f"table {clean_text(str(row['name']))[:60]} counts from a number that is not its own", _BACKUP)

    def _queues(self) -> Iterator[Queue]:
        """Sum up what waits, by channel."""
        for name, rows in itertools.groupby(self._rows(_WAITING), lambda row: clean_text(row["channel"])):
            notices, since, attempts, error, licenses = 0, NEVER, 0, None, set()
            for row in rows:
                notices += 1
                since = min(since, row["at"])
                licenses.add(row["license"])
                if row["error"] is not None and row["attempts"] >= attempts:
                    attempts, error = row["attempts"], clean_text(row["error"])
            yield Queue(name, notices, len(licenses), _moment(since), attempts, error)
            if error is not None:
                what = f"{counted(notices, 'notice')} could not be told by {name}, tried {counted(attempts, 'time')}: {error}"
                self._find(what, "mend what the error names; what waits is then told by itself")

    # ------------------------------------------------------------------------------------ licenses

    def _licenses(self, states: Counter[tuple[str, str]]) -> Iterator[Examined]:
        """Examine each license; of many, only the first ones and those with trouble are given."""
        garbled = self.garbled
        for row in self._rows(_STORED):
            self._beat(1)
            before = len(self.findings)
            if self.garbled > garbled:
                self._find(
                    "its row holds text that is no UTF-8, so no manager opens the store", _BACKUP, clean_text(row["id"])
                )
            examined = self._license(row, clean_text(row["id"]))
            garbled = self.garbled
            trouble = len(self.findings) > before
            states[examined.entitlement or "-", examined.auto_update or "-"] += 1
            if trouble or sum(states.values()) <= MANY:
                yield attrs.evolve(examined, trouble=trouble)

    def _license(self, row: Mapping[str, Any], name: str) -> Examined:
        try:
            valid_id(row["id"])
        except InvalidValue as error:
            self._find(str(error), _BACKUP, name)
        if row["key"] is None:
            return Examined(id=name)
        examined, key = self._read_key(row, name)
        try:
            record = decode_record(row)
        except StoreDamaged as error:
            self._find(f"its row cannot be read: {error}", _FORCE, name)
            return attrs.evolve(examined, journal="not checked: the row cannot be read")
        asked = question_due(record)
        examined = attrs.evolve(
            examined,
            entitlement=record.entitlement,
            auto_update=record.auto_update,
            next_check=None if asked == NEVER else _moment(asked),
            last_outcome=record.last_outcome or None,
        )
        policy = self.policies.get(row["policy"])
        if policy is None:
            self._find(f"its policy {clean_text(row['policy'])[:32]} is not in the store", _BACKUP, name)
        elif key is not None:
            try:
                policy.dates(key)
            except _BROKEN as error:
                self._find(str(error), "open the store with a policy that knows it", name)
        return attrs.evolve(examined, journal=self._journal(row, record, key, name))

    def _read_key(self, row: Mapping[str, Any], name: str) -> tuple[Examined, LicenseKey | None]:
        """Read the key in force, and verify it if that can be done."""
        try:
            key = self._key(row)
        except KeyRejected as error:
            self._find(str(error), _FORCE, name)
            return Examined(id=name, key="refused"), None
        kind = "verified" if self.trust else "not verified"
        return Examined(id=name, key=kind, expires=key.expiry), key

    def _key(self, row: Mapping[str, Any]) -> LicenseKey:
        if row["signed"] is None:
            message = f"its key (number {row['key']}) is not in the store"
            raise KeyRejected(message)
        key = self.trust.verify(row["signed"]) if self.trust else read_unverified(row["signed"])[1]
        if key.id != row["id"]:
            message = f"its key is for license {key.id}"
            raise KeyRejected(message)
        return key

    def _journal(self, row: Mapping[str, Any], record: Record, key: LicenseKey | None, name: str) -> str:
        """Live through the license's journal again, and compare what it leads to with its row."""
        trust = self.trust
        if trust is None or key is None:
            return "not checked: its key was not verified"
        begin = self.begins.get(row["id"], 0)
        opening = max((seq for seq in self.openings if self.whole_from <= seq < begin), default=None)
        if opening is None:
            return "not checked: it does not reach back to its beginning"
        keys, doubtful = self._keys(row["id"], name, trust)
        try:
            lived = replay_journal(self._lived(row["id"], begin, opening), keys, self.policies)[row["id"]]
        except Exception as error:  # of the machines as well, which are told what cannot have happened
            if doubtful:
                return "not checked: an earlier key could not be verified"
            self._find(str(error), _BACKUP, name)
            return "differs"
        wrong = [
            part
            for part in Record.__slots__
            if part != "latest" and getattr(record, part) != getattr(lived.record, part)
        ]
        wrong += ["key"] * (lived.key != key) + ["policy"] * (encode_policy(lived.policy)[0] != row["policy"])
        if not wrong:
            return "agrees"
        self._find(f"its row is not what its journal leads to: {', '.join(wrong)}", _BACKUP, name)
        return "differs"

    def _lived(self, license_id: str, begin: int, opening: int) -> Iterator[Mapping[str, Any]]:
        """Give what a license lived through, and under what, in order."""
        query = "SELECT * FROM journal WHERE (license = '' AND seq >= ?) OR (license = ? AND seq >= ?) ORDER BY seq"
        return self._rows(query, (opening, license_id, begin))

    def _keys(self, license_id: str, name: str, trust: TrustedKeys) -> tuple[dict[int, LicenseKey], bool]:
        """Read the keys that a license ever had, and say whether there are some that cannot be verified."""
        keys: dict[int, LicenseKey] = {}
        doubtful = False
        for row in self._rows("SELECT id, signed FROM keys WHERE license = ?", (license_id,)):
            try:
                read_unverified(row["signed"])
            except KeyRejected as error:
                self._find(f"key number {row['id']} cannot be read: {error}", f"{_BACKUP} if it is wanted", name)
            try:
                keys[row["id"]] = trust.verify(row["signed"])
            except KeyRejected:
                doubtful = True
        return keys, doubtful

    # ------------------------------------------------------------------------------------ reading

    def _rows(self, query: str, values: Sequence[object] | Mapping[str, object] = ()) -> Iterator[Mapping[str, Any]]:
        for row in self.connection.execute(query, values):  # noqa: UP028 - a cursor that is left behind is not to be closed late
            yield row

    def _one(self, query: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.connection.execute(query).fetchone()
        return found

    def _find(self, what: str, remedy: str, name: str | None = None) -> None:
        self.findings.append(Finding(name, clean_text(what), remedy))

    def _beat(self, rows: int = 0) -> int:
        """Tell how far it has come; SQLite asks for it as well, and goes on for 0."""
        self.done += rows
        if not rows or self.done % 1000 == 0:
            self.watch(min(1.0, self.done / self.total))
        return 0
