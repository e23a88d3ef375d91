"""A store that somebody changed by hand grants nothing that the signed keys refuse, and breaks nothing."""

import itertools
import logging
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import attrs
import pytest

import licfsm
from licfsm.adapters.key_pairs import SigningKey
from licfsm.adapters.store.tables import SCHEMA
from licfsm.host.codec import encode_policy
from licfsm.instants import Span
from licfsm.policy import named
from licfsm.ports import Answer, Question
from licfsm.testing import CollectingNotifier, LicenseWorld, ManualClock, make_world

pytestmark = pytest.mark.long

# Under veeam-9, by rules.md 1.6 and 2.1: the subscription ACME-1 ends at 14 February + 30 days, which is all of 16 March,
# the rental ACME-2 at 30 June + 2 months, which is all of 30 August. ACME-3 has no key. In the store it is 20 February,
# 12:31: ACME-1 in Grace and Checking (from Retrying), with a target that fails, ACME-2 Valid and Scheduled.
ENDS = {"ACME-1": "2025-03-17", "ACME-2": "2025-08-31"}
TIMES = ("2025-02-10", "2025-02-20T12:45", "2025-03-20", "2025-09-01")
SIGNING = SigningKey.generate()

COLUMNS = [(table.name, column) for table in SCHEMA.sorted_tables for column in table.columns.keys()]  # noqa: SIM118
COLUMNS += [("alembic_version", "version_num"), ("sqlite_sequence", "name"), ("sqlite_sequence", "seq")]
NUMBERS = (None, 0, -1, 2**62, -(2**62), 2**63 - 1)
TEXTS = (None, "0", "", "Valid", "FreeMode", "{", "[1]", '{"key": []}', "[" * 5000, "\x00\u202e", b"\xff")


def ms(moment: str) -> int:
    """Read a time."""
    return ManualClock(moment).now_ms()


class Server:
    """Never has news, and is never there for ACME-1."""

    def ask(self, question: Question) -> Answer:
        return Answer("connection_failed" if question.key.id == "ACME-1" else "up_to_date")


def full_disk(key: licfsm.LicenseKey) -> None:
    """Fail for one key: the second of ACME-1."""
    if key.holder == "ACME":
        message = "the disk is full"
        raise OSError(message)


OPTIONS = {"operations": {"replication": "paid", "restore": "always"}, "targets": {"app": full_disk}}


def live(path: Path) -> None:
    """Make a store in which something of every kind has happened."""
    ids = ["ACME-1", "ACME-2", "ACME-3"]
    world = make_world("veeam-9", store=path, signing=SIGNING, server=Server(), licenses=ids, **OPTIONS)
    world.install(expires="2025-02-14")
    world.install(id="ACME-2", type="rental", expires="2025-06-30")
    world.manager.enable_auto_update("ACME-2")
    world.manager.enable_auto_update("ACME-1")
    world.run(until="2025-02-01T01:00")
    world.manager.disable_auto_update("ACME-1")
    world.manager.check_now("ACME-1")
    world.manager.disable_auto_update("ACME-1")
    world.mail.down = "no route"
    world.run(until="2025-02-20T10:30")
    _end(world)
    world.manager.close()


def _end(world: LicenseWorld) -> None:
    """Bring ACME-1 into Checking from Retrying, with notices that were dropped, and some that wait."""
    world.install(expires="2025-02-14", holder="ACME")
    world.manager.enable_auto_update("ACME-1")
    world.run(until="2025-02-20T11:30")
    world.manager._store.drop_waiting(world.clock.now_ms(), "the store was restored")
    world.manager.disable_auto_update("ACME-1")
    world.manager.enable_auto_update("ACME-1")
    world.manager.tick()
    world.clock.move_to("2025-02-20T12:31")
    world.manager.tick(perform=False)


class Original(NamedTuple):
    """A store as it was made, and the file beside it."""

    store: bytes
    lock: bytes


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Spare the log what hundreds of changed stores have to say."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    """Make the store once."""
    path = tmp_path_factory.mktemp("original") / "licenses.db"
    live(path)
    return Original(path.read_bytes(), path.with_name("licenses.db.lock").read_bytes())


@pytest.fixture
def copy(original: Original, tmp_path: Path) -> Callable[[], Path]:
    """Make copies of the store."""
    numbers = itertools.count()

    def make() -> Path:
        path = tmp_path / f"{next(numbers)}.db"
        path.write_bytes(original.store)
        path.with_name(f"{path.name}.lock").write_bytes(original.lock)
        return path

    return make


def manager(path: Path, start: str) -> licfsm.LicenseManager:
    """Open a store as its host does."""
    mail = CollectingNotifier()
    mail.down = "no route"
    world = {"server": Server(), "mail": mail, "clock": ManualClock(start), "spread": "0 minutes"}
    return licfsm.LicenseManager.open(path, policy="veeam-9", trust=[SIGNING.public], **world, **OPTIONS)


def change(path: Path, statement: str, *values: object) -> bool:
    """Change a store by hand; False where SQLite refuses to."""
    with closing(sqlite3.connect(path)) as connection:
        try:
            with connection:
                connection.execute(statement, values)
        except (sqlite3.IntegrityError, OverflowError):
            return False
    return True


def cells(path: Path, table: str, column: str) -> Iterator[tuple[int, object]]:
    """Give rows of a column, and what to put there: all values, but of many rows only some, and a part into most.

    The last row, which is one that waits if there is any, gets all values.
    """
    order = "done_at IS NULL, rowid" if table == "outbox" else "rowid"
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(f"SELECT rowid, {column} FROM {table} ORDER BY {order}").fetchall()  # noqa: S608
        kinds = {name: kind for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})")}
    values = {"INTEGER": NUMBERS, "": (*NUMBERS, *TEXTS)}.get(kinds[column], TEXTS)
    others = list(dict.fromkeys(value for _, value in rows if value is not None))
    few = len(rows) <= 4
    chosen = rows if few else [rows[0], rows[1], rows[len(rows) // 2], rows[-2], rows[-1]]
    for place, (rowid, held) in enumerate(chosen):
        stride = 1 if few or place == len(chosen) - 1 else len(chosen) - 1
        for value in [*values, *[other for other in others if other != held][:2]][place % stride :: stride]:
            yield rowid, value


class Host:
    """A host that uses a store, and notes what should not happen."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.wrong: list[str] = []

    def tries(self, what: str, function: Callable[[], object]) -> object:
        """Call, and note any error but those that a host knows."""
        try:
            return function()
        except licfsm.LicfsmError:
            return None
        except Exception as error:  # noqa: BLE001 - which is the point
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            self.wrong.append(f"{self.label}: {what} raised {type(error).__name__} at {where}")
            return None

    def asks(self, opened: licfsm.LicenseManager) -> None:
        """Ask whether paid operations may run, and note where the keys' own dates refuse them."""
        now = opened._clock.now_ms()
        for name in list(opened._registry.entries):
            allowed = self.tries("allows", lambda name=name: opened.allows("replication", name))
            if allowed and (name not in ENDS or now >= ms(ENDS[name])):
                self.wrong.append(f"{self.label}: allows {name} at {opened._clock.now}")

    def looks(self, opened: licfsm.LicenseManager) -> None:
        """Ask for everything that is shown."""
        self.asks(opened)
        for name in list(opened._registry.entries):
            self.tries("status", lambda name=name: str(opened.status(name)))
            self.tries("job_warning", lambda name=name: opened.job_warning("replication", name))
        for what in ("history", "sessions", "notices", "next_due"):
            self.tries(what, getattr(opened, what))

    def uses(self, path: Path, start: str) -> None:
        """Open the store, look, tick, and look again, from a time on."""
        opened = self.tries("open", lambda: manager(path, start))
        if not isinstance(opened, licfsm.LicenseManager):
            return
        try:
            self.looks(opened)
            self.tries("tick", opened.tick)
            for time in TIMES[TIMES.index(start) + 1 :]:
                opened._clock.move_to(time)
                self.asks(opened)
            self.tries("tick", opened.tick)
            self.looks(opened)
        finally:
            opened.close()


class TestOneCell:
    @pytest.mark.parametrize(("table", "column"), COLUMNS, ids=lambda name: name)
    def test_grants_nothing_and_breaks_nothing(self, copy: Callable[[], Path], table: str, column: str) -> None:
        """Whatever stands in a cell, no operation runs that the signed keys refuse, and every error is one of ours."""
        starts = itertools.cycle(TIMES)
        wrong: list[str] = []
        for rowid, value in cells(copy(), table, column):
            path = copy()
            put = "CAST(x'ff' AS TEXT)" if value == b"\xff" else "?"
            given = () if put != "?" else (value,)
            if change(path, f"UPDATE {table} SET {column} = {put} WHERE rowid = ?", *given, rowid):  # noqa: S608
                host = Host(f"row {rowid} = {str(value)[:30]!r}")
                host.uses(path, next(starts))
                wrong += host.wrong
        assert [] == wrong


class TestUntouched:
    @pytest.mark.parametrize(
        ("now", "allowed"),
        [
            ("2025-02-20T12:45", [True, True, False]),
            ("2025-03-16T23:59", [True, True, False]),
            ("2025-03-17", [False, True, False]),
            ("2025-08-30T23:59", [False, True, False]),
            ("2025-08-31", [False, False, False]),
        ],
    )
    def test_grants_what_the_dates_say(self, copy: Callable[[], Path], now: str, allowed: list[bool]) -> None:
        """The dates against which the changed stores are held are those of the store as it was made."""
        with manager(copy(), now) as opened:
            assert allowed == [opened.allows("replication", name) for name in ("ACME-1", "ACME-2", "ACME-3")]

    def test_has_something_in_every_column(self, copy: Callable[[], Path]) -> None:
        """No column is empty throughout, so that each is changed from something to something else, but for two."""
        with closing(sqlite3.connect(copy())) as connection:
            empty = {
                (table, column)
                for table, column in COLUMNS
                if connection.execute(f"SELECT count({column}) FROM {table}").fetchone() == (0,)  # noqa: S608
            }
        assert {("licenses", "disabled_by")} == empty


class TestPlantedPolicy:
    @pytest.fixture
    def plant(self) -> Callable[[Path], None]:
        """Let a store say that ACME-1 runs under a policy with 9000 days of grace, where all is free."""

        def make(path: Path) -> None:
            grace = dict.fromkeys(named("veeam-9").grace, Span.parse("9000 days"))
            policy = attrs.evolve(named("veeam-9"), grace=grace, free_mode_allows=("paid", "free"))
            digest, document = encode_policy(policy)
            change(path, "INSERT INTO policies VALUES (?, 'veeam-9', ?)", digest, document)
            change(path, "UPDATE licenses SET policy = ? WHERE id = 'ACME-1'", digest)

        return make

    def test_grants_nothing_when_opened(self, copy: Callable[[], Path], plant: Callable[[Path], None]) -> None:
        """A host's licenses run under the host's policy, whatever the store says."""
        path = copy()
        plant(path)
        with manager(path, "2025-03-17") as opened:
            assert not opened.allows("replication", "ACME-1")

    def test_grants_nothing_while_open(self, copy: Callable[[], Path], plant: Callable[[Path], None]) -> None:
        """Nor does a policy count that is planted while a host has the store open."""
        path = copy()
        with manager(path, "2025-02-20T12:45") as opened:
            opened.tick()
            plant(path)
            entry = "SELECT max(seq) + 1, 'ACME-1', max(at), 'tick', NULL, NULL, NULL FROM journal"
            change(path, f"INSERT INTO journal {entry}")
            opened.status("ACME-1")
            opened._clock.move_to("2025-03-17")
            assert not opened.allows("replication", "ACME-1")

    def test_of_a_type_that_the_host_does_not_know_grants_nothing(self, tmp_path: Path) -> None:
        """A stored policy is no way around the host's, which knows no such license type."""
        path = tmp_path / "licenses.db"
        known = named("veeam-9")
        other = attrs.evolve(known, name="other", grace=known.grace | {"site": Span.parse("9000 days")})
        world = make_world(other, store=path, signing=SIGNING, **OPTIONS)
        world.install(type="site", expires="2025-02-14")
        world.manager.close()
        with manager(path, "2025-02-20") as opened:
            assert not opened.allows("replication")


class TestOtherKeys:
    def test_of_another_license_grant_nothing(self, copy: Callable[[], Path]) -> None:
        """A license without a key gets none by being given another's."""
        path = copy()
        change(
            path,
            "UPDATE licenses SET key = 2, entitlement = 'Valid', auto_update = 'Off', by_user = 0, attempt = 0,"
            " asked_at = 0, asked_due = 0, counts_from = 0, next_at = 0, give_up_at = 0, excused = 0, last_outcome = '',"
            " failing = 0, told = 0, held = 0, latest = 0, confirm_at = 0, went_back = 0 WHERE id = 'ACME-3'",
        )
        with manager(path, "2025-02-20T12:45") as opened:
            assert not opened.allows("replication", "ACME-3")
            assert "the key is for license ACME-2, not for ACME-3" in str(opened.status("ACME-3").trouble)

    def test_of_another_signer_grant_nothing(self, copy: Callable[[], Path]) -> None:
        """A key that somebody signed for himself counts for nothing."""
        path = copy()
        world = make_world("veeam-9", start="2025-02-01")
        change(path, "UPDATE keys SET signed = ?", world.key(expires="2030-01-01").signed)
        world.manager.close()
        with manager(path, "2025-02-20T12:45") as opened:
            assert not opened.allows("replication", "ACME-1")

    def test_that_say_more_than_was_signed_grant_nothing(self, copy: Callable[[], Path]) -> None:
        """A later date written into a signed key breaks its signature."""
        path = copy()
        with closing(sqlite3.connect(path)) as connection:
            (signed,) = connection.execute("SELECT signed FROM keys WHERE id = 3").fetchone()
        header, payload, signature = signed.split(".")
        other = make_world("veeam-9", signing=SIGNING)
        later = other.key(expires="2030-01-01").signed.split(".")[1]
        other.manager.close()
        assert payload != later
        change(path, "UPDATE keys SET signed = ? WHERE id = 3", f"{header}.{later}.{signature}")
        with manager(path, "2025-02-20T12:45") as opened:
            assert "the signature is wrong" in str(opened.status("ACME-1").trouble)

    def test_in_trouble_are_mended_by_installing_again(self, copy: Callable[[], Path]) -> None:
        """What a store lost is got back by installing the key with force, as the trouble says."""
        path = copy()
        with closing(sqlite3.connect(path)) as connection:
            (signed,) = connection.execute("SELECT signed FROM keys WHERE id = 3").fetchone()
        change(path, "UPDATE licenses SET latest = -1, entitlement = 'Nonsense' WHERE id = 'ACME-1'")
        with manager(path, "2025-02-20T12:45") as opened:
            assert not opened.allows("replication", "ACME-1")
            opened.install(signed, "ACME-1", force=True)
            assert opened.allows("replication", "ACME-1")
            assert opened.status("ACME-1").trouble is None
