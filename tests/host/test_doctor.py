import random
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import attrs
import pendulum
import pytest

import licfsm
from licfsm.adapters.key_pairs import SigningKey
from licfsm.adapters.keys import TrustedKeys
from licfsm.adapters.store import Mark, Store
from licfsm.adapters.store.sidecar import Sidecar
from licfsm.errors import StoreDamaged, StoreError, StoreTooNew
from licfsm.host.codec import encode_policy
from licfsm.host.doctor import examine
from licfsm.host.examination import MANY, Examination, Examined, Finding, Queue
from licfsm.policy import named
from licfsm.testing import LicenseWorld, make_world

# The store of these tests: ACME-1 has a subscription whose last day is 2025-02-14, ACME-2 has no key. On 2025-02-10 at
# 09:00, in Expiring, ACME-1 was enabled; the server had no news. Its next check is a day later (3.2).

SIGNING, STRANGER = SigningKey.generate(), SigningKey.generate()
TRUST = TrustedKeys.of(SIGNING.public)
PAGE = 4096
BACKUP = "restore the store from a backup"
FORCE = f"install its license key again with force, or {BACKUP}"


def utc(*when: int) -> pendulum.DateTime:
    """Make a time."""
    return pendulum.datetime(*when)


def world_at(path: Path, start: str = "2025-02-10T09:00", **options: object) -> LicenseWorld:
    """Open a world on a store in a file."""
    return make_world("veeam-9", start=start, store=path, signing=SIGNING, **options)


def live(path: Path, **options: object) -> None:
    """Make the store of these tests."""
    world = world_at(path, licenses=["ACME-1", "ACME-2"], **options)
    world.install(expires="2025-02-14")
    world.manager.enable_auto_update("ACME-1")
    world.manager.tick()
    world.manager.close()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the store once."""
    path = tmp_path_factory.mktemp("original") / "licenses.db"
    live(path)
    return path


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    """Copy the store, and the file beside it."""
    for name in ("licenses.db", "licenses.db.lock"):
        shutil.copy(original.with_name(name), tmp_path / name)
    return tmp_path / "licenses.db"


def change(path: Path, *statements: str) -> None:
    """Change a store by hand."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(";".join(statements))


def found(path: Path, *statements: str, trust: TrustedKeys | None = TRUST) -> list[Finding]:
    """Change a store by hand, and tell what is found."""
    change(path, *statements)
    return list(examine(path, trust).findings)


def found_of(path: Path, *statements: str) -> list[str]:
    """Change a store by hand, and tell what is found of ACME-1, which has one remedy."""
    return [finding.what for finding in found(path, *statements) if finding.license == "ACME-1"]


class TestHealthy:
    def test_store_has_no_findings(self, path: Path) -> None:
        """Nothing is wrong with a store as it was made."""
        examination = examine(path, TRUST)
        assert ((), True) == (examination.findings, examination.healthy)

    def test_store_is_named(self, path: Path) -> None:
        """Which store it is: its file, its id, the version of its format, how much there is."""
        with closing(Store(path)) as store:
            known, entries = store.id, store.seq
        examination = examine(path, TRUST)
        assert (str(path), known, "0001", entries, 2) == (
            examination.file,
            examination.store,
            examination.version,
            examination.entries,
            examination.count,
        )

    def test_licenses_are_told(self, path: Path) -> None:
        """Of each license: states, expiry, next check, last outcome, key and journal."""
        assert (
            Examined(
                id="ACME-1",
                entitlement="Expiring",
                auto_update="Scheduled",
                expires=utc(2025, 2, 15),
                next_check=utc(2025, 2, 11, 9),
                last_outcome="up_to_date",
                key="verified",
                journal="agrees",
            ),
            Examined(id="ACME-2"),
        ) == examine(path, TRUST).licenses

    def test_licenses_are_counted_by_state(self, path: Path) -> None:
        """How many licenses are in which states; one without a key is in none."""
        assert {("Expiring", "Scheduled"): 1, ("-", "-"): 1} == examine(path, TRUST).states

    def test_keys_are_not_verified_without_trust(self, path: Path) -> None:
        """Without public keys nothing vouches for a key, which is said, and is nothing wrong."""
        examination = examine(path)
        first = examination.licenses[0]
        assert (False, True, "not verified", "not checked: its key was not verified", utc(2025, 2, 15)) == (
            examination.verified,
            examination.healthy,
            first.key,
            first.journal,
            first.expires,
        )

    @pytest.mark.parametrize(
        ("expires", "shown"),
        [(None, None), ("2025-02-14T10:00+01:00", utc(2025, 2, 14, 9)), ("8999-12-31", utc(9000, 1, 1))],
    )
    def test_expiry_is_the_instant(self, tmp_path: Path, expires: str | None, shown: object) -> None:
        """A key expires at an instant, or never."""
        world = world_at(tmp_path / "store.db")
        world.install(expires=expires)
        world.manager.close()
        assert shown == examine(tmp_path / "store.db", TRUST).licenses[0].expires

    def test_progress_goes_from_nothing_to_all(self, path: Path) -> None:
        """Whoever watches is told of parts between 0 and 1, in order."""
        change(
            path,
            "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)"
            " INSERT INTO journal SELECT i, '', 0, 'tick', NULL, NULL, NULL FROM n",
        )
        parts: list[float] = []
        examine(path, TRUST, watch=parts.append)
        assert sorted(parts) == parts
        assert 5 <= len(parts)
        assert (True, True) == (parts[0] >= 0, parts[-1] <= 1)


class TestUnchanged:
    def test_is_the_file(self, path: Path) -> None:
        """Not a byte of the store is changed, nor of the file beside it."""
        before = [path.with_name(name).read_bytes() for name in ("licenses.db", "licenses.db.lock")]
        examine(path, TRUST)
        assert before == [path.with_name(name).read_bytes() for name in ("licenses.db", "licenses.db.lock")]

    def test_is_what_a_killed_process_left(self, path: Path) -> None:
        """What stands in the log only is seen, and stays there."""
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute("UPDATE licenses SET told = 9 WHERE id = 'ACME-1'")
            left = path.with_name("left.db")
            for end in ("", "-wal"):
                shutil.copy(f"{path}{end}", f"{left}{end}")
        before = [Path(f"{left}{end}").read_bytes() for end in ("", "-wal")]
        assert ["its row cannot be read: told cannot be '9'"] == [each.what for each in examine(left, TRUST).findings]
        assert before == [Path(f"{left}{end}").read_bytes() for end in ("", "-wal")]

    def test_makes_no_lock(self, path: Path) -> None:
        """The file beside a store is not made for asking who drives it."""
        path.with_name("licenses.db.lock").unlink()
        assert ("nobody", None) == (examine(path, TRUST).driven, examine(path, TRUST).driven_at)
        assert not path.with_name("licenses.db.lock").exists()

    @pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
    def test_store_may_be_driven_meanwhile(self, path: Path) -> None:
        """While a process drives the store, each look at it finds a store that is whole."""
        world = world_at(path)
        world.manager.tick()
        done = threading.Event()

        def drive() -> None:
            while not done.is_set():
                world.clock.move_to(world.clock.now_ms() + 3_600_000 * 24)
                world.manager.tick()

        thread = threading.Thread(target=drive)
        thread.start()
        try:
            examinations = [examine(path, TRUST) for _ in range(20)]
        finally:
            done.set()
            thread.join()
            world.manager.close()
        assert [()] * 20 == [examination.findings for examination in examinations]
        assert {"elsewhere"} == {examination.driven for examination in examinations}


class TestDriver:
    def test_is_the_process_with_the_lock(self, path: Path) -> None:
        """The lock in the file beside it tells whether somebody drives the store."""
        with closing(Sidecar(path.with_name("licenses.db.lock"))) as sidecar:
            sidecar.acquire()
            driven = examine(path, TRUST).driven
        assert ("elsewhere", "nobody") == (driven, examine(path, TRUST).driven)

    def test_is_left_alone(self, path: Path) -> None:
        """Who was asked can be asked again: no lock is kept."""
        examine(path, TRUST)
        with closing(Sidecar(path.with_name("licenses.db.lock"))) as sidecar:
            assert sidecar.acquire()

    def test_was_there_last_at_its_mark(self, path: Path) -> None:
        """When somebody last drove it is what the mark says."""
        assert utc(2025, 2, 10, 9) == examine(path, TRUST).driven_at

    def test_is_unknown_where_the_lock_cannot_be_opened(self, path: Path) -> None:
        """Something else in the lock's place is no reason to give up."""
        path.with_name("licenses.db.lock").unlink()
        path.with_name("licenses.db.lock").mkdir()
        assert "unknown" == examine(path, TRUST).driven

    def test_is_seen_through_a_link(self, path: Path) -> None:
        """Whatever name leads to a store, the file beside the store itself counts, as for its manager."""
        link = path.with_name("link.db")
        link.symlink_to(path)
        with closing(Sidecar(path.with_name("licenses.db.lock"))) as sidecar:
            sidecar.acquire()
            examination = examine(link, TRUST)
        assert ("elsewhere", utc(2025, 2, 10, 9), str(link)) == (
            examination.driven,
            examination.driven_at,
            examination.file,
        )


class TestAge:
    def test_of_an_older_copy_is_told(self, path: Path) -> None:
        """A journal that is shorter than it once was is that of an older copy."""
        with closing(Store(path)) as store:
            store.sidecar.acquire()
            store.sidecar.write(Mark(store.id, store.seq + 5, 7))
            known = store.seq
        what = f"it is an older copy of itself: its journal ends at {known}, and had come to {known + 5}"
        remedy = "put a newer copy in its place if there is one, or install newer license keys again"
        assert [Finding(None, what, remedy)] == found(path)

    def test_is_not_judged_by_another_stores_mark(self, path: Path) -> None:
        """A file that another store left there says nothing."""
        with closing(Store(path)) as store:
            store.sidecar.acquire()
            store.sidecar.write(Mark("0" * 32, 999, 7))
        assert (True, None) == (examine(path, TRUST).healthy, examine(path, TRUST).driven_at)


class TestCannotBeExamined:
    def refusal(self, path: Path, kind: type[StoreError] = StoreDamaged) -> str:
        """Tell why, which is one of the package's errors in one line."""
        with pytest.raises(StoreError) as caught:
            examine(path, TRUST)
        assert kind is type(caught.value)
        return str(caught.value).replace(str(path), path.name)

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        """A name that is misspelled makes no store."""
        assert "none.db does not exist; name the file of a store" == self.refusal(tmp_path / "none.db", StoreError)
        assert [] == list(tmp_path.iterdir())

    def test_a_folder(self, tmp_path: Path) -> None:
        """A folder is none."""
        assert self.refusal(tmp_path, StoreError).endswith(" is no file; name the file of a store")

    @pytest.mark.parametrize("name", ["", ".", "/", "a\0b", "x" * 300, "/dev/null"])
    def test_a_name_that_is_none(self, name: str) -> None:
        """Whatever is given for a name, it is told that it is none."""
        assert "; name the file of a store" in self.refusal(Path(name), StoreError)

    def test_an_empty_file(self, tmp_path: Path) -> None:
        """A file in which nothing is yet is not made a store."""
        path = tmp_path / "empty.db"
        path.touch()
        assert "empty.db holds no store yet; it is made when a manager opens it" == self.refusal(path)
        assert b"" == path.read_bytes()

    def test_an_empty_file_that_was_a_store(self, path: Path) -> None:
        """What opening says of it is said."""
        path.write_bytes(b"")
        assert "licenses.db is empty, but a store was there; restore it" in self.refusal(path)

    def test_a_text(self, path: Path) -> None:
        """So of a file that is something else."""
        path.write_text("license: ACME-1\n")
        assert "licenses.db is no licfsm store (not even an SQLite file)" in self.refusal(path)

    def test_a_store_of_a_newer_version(self, path: Path) -> None:
        """So of a store of a newer version."""
        change(path, "UPDATE alembic_version SET version_num = '9999'")
        assert "licenses.db was made by a newer version of licfsm (format 9999," in self.refusal(path, StoreTooNew)

    def test_a_store_of_an_older_version(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A store of an older version is not brought up to date by looking at it."""
        change(path, "UPDATE alembic_version SET version_num = '0000'")
        before = path.read_bytes()
        monkeypatch.setattr("licfsm.adapters.store.migrate.revisions", lambda: ["0001", "0000"])
        assert "made by an older version of licfsm (format 0000, this version knows 0001)" in self.refusal(
            path, StoreError
        )
        assert before == path.read_bytes()

    def test_a_store_that_does_not_know_itself(self, path: Path) -> None:
        """A store without its id cannot be told from its copies."""
        change(path, "DELETE FROM meta")
        assert "licenses.db is damaged: it does not say which store it is; restore" in self.refusal(path)

    @pytest.mark.parametrize(
        "statement",
        ["DROP TABLE outbox", "ALTER TABLE licenses DROP COLUMN told", "ALTER TABLE keys RENAME TO other"],
    )
    def test_a_store_without_its_tables(self, path: Path, statement: str) -> None:
        """A table that is missing, or has other columns, is damage."""
        change(path, statement)
        assert "is not as it was made; restore the store from a backup" in self.refusal(path)

    def test_a_store_with_a_view_in_place_of_a_table(self, path: Path) -> None:
        """What a view makes up is not believed to be stored."""
        change(path, "ALTER TABLE keys RENAME TO hidden; CREATE VIEW keys AS SELECT * FROM hidden")
        assert "table keys is not as it was made" in self.refusal(path)

    def test_a_store_that_is_locked_for_too_long(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A program that keeps the store to itself is told as such."""
        for module in ("licfsm.adapters.store.opening", "licfsm.host.doctor"):
            monkeypatch.setattr(f"{module}.BUSY_SECONDS", 0.01)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.executescript("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE")
            assert "another program has kept it locked" in self.refusal(path, StoreError)


class TestDamage:
    def test_of_a_page_is_told(self, path: Path) -> None:
        """SQLite's own check finds what nobody reads, such as a garbled index."""
        change(path, "PRAGMA journal_mode = DELETE")
        with closing(sqlite3.connect(path)) as connection:
            (page,) = connection.execute(
                "SELECT rootpage FROM sqlite_master WHERE name = 'notice_of_license'"
            ).fetchone()
        data = bytearray(path.read_bytes())
        data[page * PAGE - 1] ^= 1  # the number of the row that the index's last cell stands for
        path.write_bytes(data)
        told = examine(path, TRUST).findings
        assert [("SQLite finds damage: ", BACKUP)] == [(finding.what[:21], finding.remedy) for finding in told[:1]]

    def test_of_a_table_keeps_the_rest_from_nothing(self, path: Path) -> None:
        """Where one table cannot be read any further, the others are examined all the same."""
        with closing(sqlite3.connect(path)) as connection:
            (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'sessions'").fetchone()
        data = bytearray(path.read_bytes())
        data[(page - 1) * PAGE : page * PAGE] = b"\xff" * PAGE
        path.write_bytes(data)
        examination = examine(path, TRUST)
        assert ["ACME-1", "ACME-2"] == [each.id for each in examination.licenses]
        assert "table sessions cannot be read any further" in str(examination.findings)

    @pytest.mark.parametrize("seed", range(4))
    def test_of_any_kind_is_told(self, path: Path, seed: int) -> None:
        """Whatever bytes are garbled, a store is examined or refused, and never changed."""
        chance = random.Random(seed)  # noqa: S311 - no secret
        data = path.read_bytes()
        for _ in range(30):
            garbled = bytearray(data)
            start, length = chance.randrange(len(data)), chance.choice((1, 4, 100, PAGE))
            garbled[start : start + length] = chance.randbytes(len(garbled[start : start + length]))
            path.write_bytes(garbled)
            try:
                assert isinstance(examine(path, TRUST), Examination)
            except StoreError as error:
                assert str(path) in str(error)  # noqa: PT017 - either is fine
            assert garbled == path.read_bytes()

    @pytest.mark.parametrize(
        ("statement", "what"),
        [
            ("DROP INDEX outbox_waiting", "index outbox_waiting is missing"),
            (
                "CREATE TRIGGER t AFTER UPDATE ON licenses BEGIN SELECT 1; END",
                "it holds what licfsm never made: trigger t",
            ),
            ("CREATE VIEW v AS SELECT 1", "it holds what licfsm never made: view v"),
        ],
    )
    def test_of_what_it_is_made_of_is_told(self, path: Path, statement: str, what: str) -> None:
        """What is missing from the store, or was planted in it, is named."""
        assert [Finding(None, what, BACKUP)] == found(path, statement)

    def test_of_what_a_row_refers_to_is_told(self, path: Path) -> None:
        """A reference that leads nowhere is told, should a table ever have any."""
        made = "CREATE TABLE keys (id INTEGER PRIMARY KEY, license TEXT NOT NULL, signed TEXT REFERENCES meta (name))"
        told = found(
            path,
            "PRAGMA legacy_alter_table = ON; ALTER TABLE keys RENAME TO old",
            "DROP INDEX ix_keys_license",
            made,
            "INSERT INTO keys SELECT * FROM old",
            "CREATE INDEX ix_keys_license ON keys (license)",
            "DROP TABLE old",
        )
        assert Finding(None, "a row of table keys refers to one that is not there", BACKUP) in told

    def test_of_a_policy_is_told(self, path: Path) -> None:
        """A policy that was changed is not the one of its digest, and licenses miss it."""
        told = found(path, "UPDATE policies SET document = replace(document, 'subscription', 'rent')")
        digest = told[0].what.split()[1]
        assert [
            Finding(None, f"policy {digest} is not what was stored", BACKUP),
            Finding("ACME-1", f"its policy {digest} is not in the store", BACKUP),
        ] == told[:2]

    @pytest.mark.parametrize(
        ("table", "column"), [("journal", "details"), ("journal", "moves"), ("sessions", "messages")]
    )
    @pytest.mark.parametrize("value", ["'{'", "'7'", "'[7]'", "CAST(x'ff' AS TEXT)"])
    def test_of_what_is_shown_is_told(self, path: Path, table: str, column: str, value: str) -> None:
        """Rows that cannot be shown any more are counted, and the first is named."""
        if (column, value) == ("details", "'7'"):
            value = "'[' || '['"
        told = found(path, f"UPDATE {table} SET {column} = {value} WHERE seq = 1", "UPDATE journal SET license = ''")  # noqa: S608
        shown = [each for each in told if f"of table {table}" in each.what]
        if (table, value) != ("sessions", "'[7]'") and (column, value) != ("details", "'[7]'"):
            assert shown[0].what.startswith(f"1 row of table {table} cannot be read, first number 1 (")

    @pytest.mark.parametrize("column", ["started_at", "ended_at"])
    def test_of_a_time_is_told(self, path: Path, column: str) -> None:
        """A time that no calendar has cannot be shown."""
        (finding,) = found(path, f"UPDATE sessions SET {column} = {2**62}")  # noqa: S608
        assert finding.what.startswith("1 row of table sessions cannot be read, first number 1 (")
        assert f"{BACKUP} if they are wanted; licenses do without them" == finding.remedy

    def test_of_rows_without_a_license_is_told(self, path: Path) -> None:
        """Rows of a license that is not declared any more are counted."""
        assert [
            Finding(None, "1 row of table sessions of no license that is here", f"{BACKUP} if they are wanted")
        ] == found(path, "UPDATE sessions SET license = 'ACME-9'")

    @pytest.mark.parametrize(
        ("statement", "table"),
        [
            ("UPDATE sqlite_sequence SET seq = 9223372036854775807 WHERE name = 'outbox'", "outbox"),
            ("UPDATE licenses SET version = 9223372036854775807 WHERE id = 'ACME-2'", "licenses"),
            ("UPDATE licenses SET notices = -9223372036854775808 WHERE id = 'ACME-2'", "licenses"),
            ("UPDATE outbox SET seq = 9223372036854775807 WHERE seq = 1", "outbox"),
            ("UPDATE outbox SET attempts = -1 WHERE seq = 1", "outbox"),
        ],
    )
    def test_of_a_count_is_told(self, path: Path, statement: str, table: str) -> None:
        """A number after which there is none, or that nobody counted to, is named by its table."""
        assert [Finding(None, f"table {table} counts from a number that is not its own", BACKUP)] == found(
            path, statement
        )


class TestLicense:
    @pytest.mark.parametrize(
        ("column", "value", "why"),
        [
            ("entitlement", "'Paid'", "entitlement cannot be 'Paid'"),
            ("auto_update", "NULL", "auto_update cannot be 'None'"),
            ("auto_update", "'Checking'", "origin cannot be nothing in Checking"),
            ("told", "8", "told cannot be '8'"),
            ("mailed", "'{'", "mailed cannot be '{'"),
            ("latest", "-99999999999999999", "latest cannot be '-99999999999999999'"),
        ],
    )
    def test_whose_row_cannot_be_read_is_told(self, path: Path, column: str, value: str, why: str) -> None:
        """A row that this package cannot have written names the column, and what to do."""
        statement = f"UPDATE licenses SET {column} = {value} WHERE id = 'ACME-1'"  # noqa: S608
        assert [Finding("ACME-1", f"its row cannot be read: {why}", FORCE)] == found(path, statement)

    def test_in_trouble_is_marked(self, path: Path) -> None:
        """Which licenses have trouble is seen at a glance, and what is known of them is told."""
        change(path, "UPDATE licenses SET told = 8 WHERE id = 'ACME-1'")
        first, second = examine(path, TRUST).licenses
        assert (True, None, utc(2025, 2, 15), "verified", "not checked: the row cannot be read") == (
            first.trouble,
            first.entitlement,
            first.expires,
            first.key,
            first.journal,
        )
        assert not second.trouble

    def test_whose_key_is_not_there_is_told(self, path: Path) -> None:
        """A key that is missing grants nothing until it is installed again."""
        told = found(path, "DELETE FROM keys")
        assert Finding("ACME-1", "its key (number 1) is not in the store", FORCE) == told[0]
        assert "refused" == examine(path, TRUST).licenses[0].key

    def test_whose_key_is_of_another_signer_is_told(self, path: Path) -> None:
        """A key that somebody signed for himself is refused, once public keys are named."""
        other = make_world("veeam-9", start="2025-02-01", signing=STRANGER)
        signed = other.key(expires="2030-01-01").signed
        other.manager.close()
        told = found(path, f"UPDATE keys SET signed = '{signed}'")  # noqa: S608
        assert "whom nothing here trusts" in told[0].what
        assert [] == found(path, trust=None)

    def test_whose_key_was_changed_is_told(self, path: Path) -> None:
        """A key of which a letter was changed is refused, or none at all."""
        told = found(path, "UPDATE keys SET signed = substr(signed, 1, length(signed) - 30)")
        assert ("ACME-1", FORCE) == (told[0].license, told[0].remedy)
        assert told[0].what.startswith("this is no license key: its signature has")

    def test_whose_key_is_anothers_is_told(self, path: Path) -> None:
        """A key counts for the license that it names."""
        assert [Finding("ACME-2", "its key is for license ACME-1", FORCE)] == [
            finding for finding in found(path, "UPDATE licenses SET key = 1") if "key is for" in finding.what
        ]

    def test_whose_id_is_none_is_told(self, path: Path) -> None:
        """An id that cannot be one is told, cleaned."""
        told = found(path, "UPDATE licenses SET id = 'bad' || char(27, 8238) || 'id' WHERE id = 'ACME-2'")
        assert [("badid", BACKUP)] == [(each.license, each.remedy) for each in told if each.license]

    @pytest.mark.parametrize(
        ("change_by_hand", "wrong"),
        [
            ("give_up_at = 9999999999999", "give_up_at"),
            ("entitlement = 'Valid'", "entitlement"),
            ("told = 0, failing = 1", "failing, told"),
            ("next_at = next_at + 1", "next_at"),
        ],
    )
    def test_that_is_not_what_its_journal_leads_to_is_told(self, path: Path, change_by_hand: str, wrong: str) -> None:
        """A row that was changed to something possible contradicts the journal, in the parts that are named."""
        statement = f"UPDATE licenses SET {change_by_hand} WHERE id = 'ACME-1'"  # noqa: S608
        assert [Finding("ACME-1", f"its row is not what its journal leads to: {wrong}", BACKUP)] == found(
            path, statement
        )

    def test_is_not_judged_by_its_memory(self, path: Path) -> None:
        """The memory of the time moves without an entry, so the journal does not tell it."""
        assert [] == found(path, "UPDATE licenses SET latest = latest + 1 WHERE id = 'ACME-1'")

    def test_whose_journal_cannot_have_happened_is_told(self, path: Path) -> None:
        """An entry that leads nowhere is named by its number."""
        (what,) = found_of(path, "UPDATE journal SET event = 'unknown' WHERE event = 'enable'")
        assert "cannot be replayed: the journal holds no event that can be read: unknown" in what

    def test_whose_journal_was_shortened_is_not_checked(self, path: Path) -> None:
        """What was pruned is not missed, but nothing can be proved by what is left."""
        assert [] == found(path, "DELETE FROM journal WHERE event = 'enable'")
        assert "not checked: it does not reach back to its beginning" == examine(path, TRUST).licenses[0].journal

    def test_whose_earlier_key_is_not_trusted_any_more_is_not_checked(self, path: Path) -> None:
        """A journal that speaks of a key of another signer can prove nothing either."""
        trusted = LicenseWorldOf(path)
        trusted.install_by(STRANGER)
        assert [] == found(path)
        assert "not checked: an earlier key could not be verified" == examine(path, TRUST).licenses[0].journal
        both = TrustedKeys.of([SIGNING.public, STRANGER.public])
        assert "agrees" == examine(path, both).licenses[0].journal

    def test_with_an_earlier_key_that_is_none_is_told(self, path: Path) -> None:
        """A key that is not in force any more is still part of what happened."""
        world = world_at(path, "2025-02-10T10:00")
        world.install(expires="2025-02-28")
        world.manager.close()
        told = found(path, "UPDATE keys SET signed = 'none' WHERE id = 1")
        what = "key number 1 cannot be read: this is no license key: it must be three parts of base64url with dots between them"
        assert [Finding("ACME-1", what, f"{BACKUP} if it is wanted")] == told

    def test_of_a_type_that_its_policy_does_not_know_is_told(self, path: Path) -> None:
        """A type about which the policy of its row says nothing cannot be judged."""
        known = named("veeam-9")
        grace = {kind: span for kind, span in known.grace.items() if kind != "subscription"}
        digest, document = encode_policy(attrs.evolve(known, grace=grace))
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("INSERT INTO policies VALUES (?, 'veeam-9', ?)", (digest, document))
            connection.execute("UPDATE licenses SET policy = ? WHERE id = 'ACME-1'", (digest,))
        remedy = "open the store with a policy that knows it"
        assert [remedy] == [each.remedy for each in found(path) if "knows no license type 'subscription'" in each.what]

    def test_that_began_anew_is_checked_from_there(self, path: Path) -> None:
        """The journal of a license whose key was installed again with force begins there."""
        change(path, "UPDATE licenses SET told = 8 WHERE id = 'ACME-1'")
        world = world_at(path, "2025-02-10T10:00")
        world.manager.install(world.key(expires="2025-02-14").signed, "ACME-1", force=True)
        world.run(until="2025-02-16")
        world.manager.close()
        assert ("Grace", "agrees") == (
            examine(path, TRUST).licenses[0].entitlement,
            examine(path, TRUST).licenses[0].journal,
        )

    def test_that_is_asked_for_has_no_next_check(self, path: Path) -> None:
        """While the server is being asked, nothing else is due."""
        world = world_at(path, "2025-02-11T09:00")
        world.manager.tick(perform=False)
        world.manager.close()
        first = examine(path, TRUST).licenses[0]
        assert ("Checking", None, "agrees") == (first.auto_update, first.next_check, first.journal)


class LicenseWorldOf:
    """The world of a store whose keys were once signed by somebody else as well."""

    def __init__(self, path: Path) -> None:
        self.world = world_at(path, "2025-02-10T10:00", trust=[SIGNING.public, STRANGER.public])

    def install_by(self, signing: SigningKey) -> None:
        """Install a key of another signer, then one of ours again."""
        other = make_world("veeam-9", start="2025-02-10T10:30", signing=signing)
        self.world.clock.move_to("2025-02-10T11:00")
        self.world.manager.install(other.key(expires="2025-02-20").signed, "ACME-1")
        self.world.clock.move_to("2025-02-10T12:00")
        self.world.install(expires="2025-02-28")
        other.manager.close()
        self.world.manager.close()


class TestMany:
    @pytest.fixture
    def many(self, tmp_path: Path) -> Path:
        """Make a store of one license more than are listed."""
        path = tmp_path / "many.db"
        names = [f"ACME-{number:02}" for number in range(MANY + 1)]
        world = world_at(path, licenses=names)
        for name in names:
            world.install(id=name, expires="2025-02-14")
        world.manager.close()
        return path

    def test_licenses_are_counted_only(self, many: Path) -> None:
        """Where there are many, those that are well are not listed."""
        examination = examine(many, TRUST)
        assert ((), {("Expiring", "Off"): 21}) == (examination.licenses, examination.states)

    def test_licenses_with_trouble_are_listed(self, many: Path) -> None:
        """Those that are not well are, wherever they stand."""
        change(many, "UPDATE licenses SET told = 9 WHERE id IN ('ACME-03', 'ACME-20')")
        examination = examine(many, TRUST)
        assert ["ACME-03", "ACME-20"] == [each.id for each in examination.licenses]
        assert ["ACME-03", "ACME-20"] == [each.license for each in examination.findings]
        assert 21 == examination.count


class TestQueues:
    @pytest.fixture
    def waiting(self, tmp_path: Path) -> Iterator[Callable[[str | None], Path]]:
        """Make a store in which mail of two licenses waits, that failed for a reason, or was not tried yet."""
        path = tmp_path / "waiting.db"

        def make(reason: str | None) -> Path:
            world = world_at(path, licenses=["ACME-1", "ACME-2"])
            world.install(expires="2025-02-14")
            world.clock.move_to("2025-02-10T10:00")
            world.install(id="ACME-2", expires="2025-02-14")
            world.mail.down = reason
            world.run(until="2025-02-10T10:05", perform=reason is not None)
            world.manager.close()
            return path

        return make

    def test_are_told_by_channel(self, waiting: Callable[[str | None], Path]) -> None:
        """How many wait, of how many licenses, since when; what was not tried yet is nothing wrong."""
        examination = examine(waiting(None), TRUST)
        assert (
            Queue("log", 4, 2, utc(2025, 2, 10, 9), 0, None),
            Queue("mail", 4, 2, utc(2025, 2, 10, 9), 0, None),
        ) == examination.queues
        assert examination.healthy

    def test_that_fail_are_found(self, waiting: Callable[[str | None], Path]) -> None:
        """How often the worst was tried, by 10:05 at minutes 0, 1 and 3, and why it failed the last time."""
        examination = examine(waiting("no route to mail.example.com"), TRUST)
        assert (Queue("mail", 4, 2, utc(2025, 2, 10, 9), 3, "no route to mail.example.com"),) == examination.queues
        what = "4 notices could not be told by mail, tried 3 times: no route to mail.example.com"
        assert (
            Finding(None, what, "mend what the error names; what waits is then told by itself"),
        ) == examination.findings

    def test_are_shown_cleaned(self, waiting: Callable[[str | None], Path]) -> None:
        """What a mail server said is text from outside (8.3)."""
        path = waiting("no route")
        change(path, "UPDATE outbox SET error = 'no' || char(27) || '[31m ' || char(8238) || 'route' || char(10)")
        examination = examine(path, TRUST)
        assert ["no[31m route"] == [queue.error for queue in examination.queues if queue.channel == "mail"]
        assert all(finding.what.isprintable() for finding in examination.findings)

    def test_since_a_time_that_is_none_are_told(self, waiting: Callable[[str | None], Path]) -> None:
        """A notice with an impossible time still waits."""
        path = waiting(None)
        change(path, "UPDATE outbox SET at = -4611686018427387904")
        assert [None, None] == [queue.since for queue in examine(path, TRUST).queues]


def test_what_a_manager_finds_wrong_is_found(path: Path) -> None:
    """Each cell of a license's row that troubles its manager is among the findings."""
    with closing(sqlite3.connect(path)) as connection:
        columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(licenses)")]
        whole = path.read_bytes()
    missed = []
    for column in columns[1:]:
        for value in ("NULL", "-1", "'x'", str(2**63 - 1)):
            path.write_bytes(whole)
            try:
                change(path, f"UPDATE licenses SET {column} = {value} WHERE id = 'ACME-1'")  # noqa: S608
            except sqlite3.IntegrityError:
                continue
            healthy = examine(path, TRUST).healthy
            try:
                with licfsm.LicenseManager.open(
                    path, policy="veeam-9", trust=[SIGNING.public], spread="0 minutes"
                ) as made:
                    trouble = made.status("ACME-1").trouble
            except Exception as error:  # noqa: BLE001 - also what it should not raise
                trouble = repr(error)
            if trouble and healthy:
                missed.append((column, value, trouble))
    assert [] == missed
