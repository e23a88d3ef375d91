import itertools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import pytest

from licfsm.adapters.store import MEMORY, Mark, Row, Store, Transaction, Waiting, opening
from licfsm.errors import StoreError
from licfsm.instants import NEVER

TABLES = ("meta", "policies", "keys", "licenses", "journal", "sessions", "outbox")
RECORD = (
    "Valid",
    "Off",
    None,
    False,
    0,
    0,
    0,
    0,
    NEVER,
    NEVER,
    False,
    None,
    "",
    False,
    None,
    0,
    False,
    0,
    NEVER,
    False,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a file for a store."""
    return tmp_path / "licenses.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[[], Store]]:
    """Open the store, as often as wanted."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(Store(path)))


@pytest.fixture
def store(opened: Callable[[], Store]) -> Store:
    """Open a new store in a file."""
    return opened()


def dump(path: Path) -> dict[str, list[tuple]]:
    """Read everything in the file, by another connection."""
    with closing(sqlite3.connect(path)) as connection:
        return {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}  # noqa: S608


def note(store: Store, license_id: str = "ACME-1", event: str = "tick", at: int = 0) -> int:
    """Add an entry to the journal, and give its number."""
    with store.writing() as transaction:
        return transaction.add_entry(license_id, at, event, None, None, None)


def tell(store: Store, license_id: str = "ACME-1", channel: str = "mail", at: int = 0, *, done: bool = False) -> int:
    """Put a notice into the outbox, and give its number."""
    with store.writing() as transaction:
        transaction.add_notice(f"{license_id}.1.{at}", license_id, channel, "expiring", "info", "text", at, done=done)
    return store.notice_rows(None)[-1]["seq"]


class TestConnections:
    @pytest.mark.parametrize(
        ("setting", "expected"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)]
    )
    def test_have_the_same_settings(self, store: Store, setting: str, expected: object) -> None:
        """On every one there is a write-ahead log, and every commit waits for the disk (FULL is 2)."""
        with ExitStack() as stack:
            readers = [stack.enter_context(store._reading()) for _ in range(3)]
            found = [reader.exec_driver_sql(f"PRAGMA {setting}").scalar() for reader in readers]
        assert [expected] * 3 == found

    def test_of_the_writer_likewise(self, store: Store) -> None:
        """The one connection that writes has both settings."""
        raw = store._writer.connection.dbapi_connection
        assert ("wal", 2) == (
            raw.execute("PRAGMA journal_mode").fetchone()[0],
            raw.execute("PRAGMA synchronous").fetchone()[0],
        )

    def test_of_a_store_opened_again_likewise(self, opened: Callable[[], Store]) -> None:
        """The settings do not depend on who made the store."""
        opened().close()
        raw = opened()._writer.connection.dbapi_connection
        assert ("wal", 2) == (
            raw.execute("PRAGMA journal_mode").fetchone()[0],
            raw.execute("PRAGMA synchronous").fetchone()[0],
        )

    def test_of_a_store_that_lost_its_mode_get_it_back(self, opened: Callable[[], Store], path: Path) -> None:
        """A store that a tool put into another journal mode is in WAL mode again once it is opened."""
        opened().close()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
        opened()
        with closing(sqlite3.connect(path)) as connection:
            assert ("wal",) == connection.execute("PRAGMA journal_mode").fetchone()

    def test_in_memory_share_one_store(self) -> None:
        """A store in memory is read by the connection that writes it."""
        with closing(Store(MEMORY)) as store:
            note(store, "ACME-1")
            assert ["ACME-1"] == [row["license"] for row in store.entries(None)]


def _everything(transaction: Transaction) -> Iterator[None]:
    """Write into every table, step by step."""
    transaction.add_license("ACME-1", "digest")
    yield
    transaction.add_policy("digest", "name", "{}")
    yield
    number = transaction.add_key("ACME-1", "signed")
    yield
    transaction.save("ACME-1", 1, (number, "digest", 7, 3, *RECORD, None))
    yield
    transaction.add_entry("ACME-1", 1, "tick", None, None, None)
    yield
    transaction.add_session("ACME-1", 1, 1, 2, "up_to_date", "success", ["well"])
    yield
    transaction.amend_session("ACME-1", 1, "warning", "a target failed")
    yield
    transaction.add_notice("ACME-1.1.1", "ACME-1", "mail", "expiring", "info", "text", 1, done=False)
    yield
    transaction.flush()
    yield


STEPS = 9


class TestTransaction:
    def test_writes_all_of_it(self, store: Store, path: Path) -> None:
        """What was taken down is in every table once the transaction is over."""
        with store.writing() as transaction:
            assert STEPS == len(list(_everything(transaction)))
        after = dump(path)
        assert {"meta": 1, "policies": 1, "keys": 1, "licenses": 1, "journal": 1, "sessions": 1, "outbox": 1} == {
            table: len(rows) for table, rows in after.items()
        }
        assert ("ACME-1", 2, 1, "digest", 7, 3, "Valid", "Off") == after["licenses"][0][:8]
        assert [(1, "ACME-1", 1, 1, 2, "up_to_date", "warning", '["well", "a target failed"]')] == after["sessions"]

    @pytest.mark.parametrize("steps", range(1, STEPS + 1))
    def test_that_fails_writes_nothing(self, store: Store, path: Path, steps: int) -> None:
        """Wherever an exception comes, nothing of the transaction stays, and no number is used up."""
        before = dump(path)
        with pytest.raises(RuntimeError, match="power cut"), store.writing() as transaction:  # noqa: PT012
            list(itertools.islice(_everything(transaction), steps))
            message = "power cut"
            raise RuntimeError(message)
        assert before == dump(path)
        assert 1 == note(store)

    def test_shows_nothing_before_its_end(self, store: Store, path: Path) -> None:
        """Other connections see what was before, as long as it goes on."""
        before = dump(path)
        with store.writing() as transaction:
            list(_everything(transaction))
            assert before == dump(path)

    def test_that_sqlite_refuses_writes_nothing(self, store: Store, path: Path) -> None:
        """An error of SQLite is told as one of the package's, and undoes what came before it."""
        note(store)
        before = dump(path)
        refused = pytest.raises(StoreError, match=r"licenses\.db: UNIQUE constraint failed: licenses\.id")
        with refused, store.writing() as transaction:
            transaction.add_entry("ACME-1", 1, "added", None, None, None)
            transaction.add_license("ACME-1", "digest")
            transaction.add_license("ACME-1", "digest")
        assert before == dump(path)

    def test_on_a_full_disk_writes_nothing(self, store: Store, path: Path) -> None:
        """A disk that has no room is told as such, and everything is as before."""
        before = dump(path)
        raw = store._writer.connection.dbapi_connection
        (pages,) = raw.execute("PRAGMA page_count").fetchone()
        raw.execute(f"PRAGMA max_page_count = {pages}")
        refused = pytest.raises(StoreError, match="the disk is full; make room")
        with refused, store.writing() as transaction:
            for _ in range(100):
                transaction.add_entry("ACME-1", 1, "tick", "x" * 1000, None, None)
        assert before == dump(path)

    def test_counts_entries_without_gaps(self, store: Store) -> None:
        """Entries are numbered one after another, also across a transaction that failed."""
        assert 1 == note(store)
        failed = pytest.raises(ZeroDivisionError)
        with failed, store.writing() as transaction:
            transaction.add_entry("ACME-1", 0, "tick", None, None, None)
            transaction.flush()
            _ = 1 // 0
        assert [2, 3] == [note(store), note(store)]

    def test_gives_a_key_the_same_number_again(self, store: Store) -> None:
        """What was signed is kept once a license."""
        with store.writing() as transaction:
            numbers = [transaction.add_key(*key) for key in (("A", "one"), ("A", "two"), ("A", "one"), ("B", "one"))]
        assert [1, 2, 1, 3] == numbers

    def test_keeps_a_policy_once(self, store: Store) -> None:
        """A policy of a digest that is kept already stays as it was kept."""
        with store.writing() as transaction:
            transaction.add_policy("digest", "first", "{}")
            transaction.add_policy("digest", "second", "{}")
        assert ["first"] == [row["name"] for row in store.policy_rows()]

    def test_finds_the_latest_details(self, store: Store) -> None:
        """The details of a license's latest entry are those of that license only."""
        with store.writing() as transaction:
            for license_id, details in (("", "old"), ("", "new"), ("A", "other")):
                transaction.add_entry(license_id, 0, "opened", details, None, None)
        with store.writing() as transaction:
            assert ("new", None) == (transaction.last_details(""), transaction.last_details("B"))

    def test_amends_the_latest_session_of_an_attempt(self, store: Store) -> None:
        """Where an attempt's number was used again, the later session is the one that is meant."""
        with store.writing() as transaction:
            for started in (1, 2):
                transaction.add_session("A", 1, started, started, "up_to_date", "success", ["well"])
            transaction.amend_session("A", 1, "warning", "a target failed")
        assert [(1, "success"), (2, "warning")] == [
            (row["started_at"], row["result"]) for row in store.session_rows("A")
        ]

    def test_amends_no_session_that_is_gone(self, store: Store) -> None:
        """A session that was pruned meanwhile is not missed."""
        with store.writing() as transaction:
            transaction.amend_session("A", 1, "warning", "a target failed")
        assert [] == store.session_rows("A")

    def test_waits_for_the_one_before(self, path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """A store that another program keeps locked for too long is told as such, and nothing is lost."""
        monkeypatch.setattr(opening, "BUSY_SECONDS", 0.01)
        with closing(Store(path)) as other, store.writing() as transaction:
            transaction.add_license("ACME-1", "digest")
            with pytest.raises(StoreError, match=r"licenses\.db: another program has kept it locked"), other.writing():
                pass
        assert ["ACME-1"] == [row[0] for row in dump(path)["licenses"]]


class TestVersionOfARow:
    @pytest.fixture
    def declared(self, store: Store) -> Store:
        """Declare two licenses, which are of version 1 then."""
        with store.writing() as transaction:
            transaction.add_license("A", "digest")
            transaction.add_license("B", "digest")
        return store

    @staticmethod
    def versions(store: Store) -> list[tuple[str, int]]:
        """Read the versions of all licenses."""
        with store.writing() as transaction:
            return [(row["id"], row["version"]) for row in transaction.read()]

    def test_is_counted_up(self, declared: Store) -> None:
        """Each time a row is replaced, its version is one more."""
        for version in (1, 2):
            with declared.writing() as transaction:
                transaction.save("A", version, (None, "digest", 0, 0, *RECORD, None))
        assert [("A", 3), ("B", 1)] == self.versions(declared)

    @pytest.mark.parametrize("version", [0, 2])
    def test_that_is_another_is_refused(self, declared: Store, path: Path, version: int) -> None:
        """A row that is not as it was when it was read is not overwritten, and nothing else of the transaction stays."""
        before = dump(path)
        refused = pytest.raises(StoreError, match="changed by someone else meanwhile; nothing was written")
        with refused, declared.writing() as transaction:
            transaction.add_entry("A", 1, "tick", None, None, None)
            transaction.save("A", 1, (None, "digest", 0, 0, *RECORD, None))
            transaction.save("B", version, (None, "digest", 0, 0, *RECORD, None))
        assert before == dump(path)

    def test_of_a_license_that_is_gone_is_refused(self, declared: Store) -> None:
        """A row that is not there cannot be replaced."""
        refused = pytest.raises(StoreError, match="changed by someone else meanwhile")
        with refused, declared.writing() as transaction:
            transaction.save("C", 1, (None, "digest", 0, 0, *RECORD, None))


class TestNews:
    @pytest.fixture
    def two(self, opened: Callable[[], Store]) -> tuple[Store, Store]:
        """Open the store twice, as two processes do."""
        return opened(), opened()

    @staticmethod
    def news(store: Store) -> set[str]:
        """Ask for news as a transaction does."""
        with store.writing() as transaction:
            return store.news(transaction)

    def test_are_what_others_wrote(self, two: tuple[Store, Store]) -> None:
        """Each license that another process changed is named once."""
        here, there = two
        for license_id in ("A", "B", "A"):
            note(there, license_id)
        assert {"A", "B"} == self.news(here)

    def test_are_told_once(self, two: tuple[Store, Store]) -> None:
        """What was learned is no news any more."""
        here, there = two
        note(there)
        self.news(here)
        assert (False, set()) == (here.has_news(), self.news(here))

    def test_are_not_what_one_wrote_oneself(self, two: tuple[Store, Store]) -> None:
        """A store's own transactions are no news to it."""
        here, _ = two
        note(here)
        assert (False, set()) == (here.has_news(), self.news(here))

    def test_are_noticed_without_a_transaction(self, two: tuple[Store, Store]) -> None:
        """Whether there are any costs no transaction to know."""
        here, there = two
        before = here.has_news()
        note(there)
        assert (False, True) == (before, here.has_news())

    def test_may_change_no_license(self, two: tuple[Store, Store]) -> None:
        """A delivery that was taken down elsewhere names no license."""
        here, there = two
        tell(there)
        assert (True, set()) == (here.has_news(), self.news(here))

    def test_come_both_ways(self, two: tuple[Store, Store]) -> None:
        """Two that write in turn see each other's changes, and never number two entries alike."""
        seen = []
        for one, other in (two, two[::-1], two):
            with one.writing() as transaction:
                seen.append(one.news(transaction))
                transaction.add_entry(f"of {two.index(one)}", 0, "tick", None, None, None)
            assert other.has_news()
        assert [set(), {"of 0"}, {"of 1"}] == seen
        assert [(1, "of 0"), (2, "of 1"), (3, "of 0")] == [(row["seq"], row["license"]) for row in two[0].entries(None)]

    def test_do_not_name_what_came_before_opening(self, opened: Callable[[], Store]) -> None:
        """Who opens a store has read it."""
        note(opened())
        later = opened()
        assert (1, set()) == (later.seq, self.news(later))


class Heads(NamedTuple):
    """What is due on a channel: license and time of each notice, in order."""

    channel: str
    store: Store

    def at(self, now: int, limit: int = 10) -> list[tuple[str, int]]:
        """Ask at a time."""
        return [(row["license"], row["at"]) for row in self.store.due_notices(self.channel, now, NEVER, limit)]


class TestDueNotices:
    @pytest.fixture
    def mail(self, store: Store) -> Heads:
        """Look at what is due by mail."""
        return Heads("mail", store)

    def test_are_the_oldest_of_each_license(self, mail: Heads) -> None:
        """Of a license only the notice that was put there first can go out."""
        for license_id, at in (("A", 1), ("A", 2), ("B", 3)):
            tell(mail.store, license_id, at=at)
        assert [("A", 1), ("B", 3)] == mail.at(10)

    def test_do_not_overtake_one_that_failed(self, mail: Heads) -> None:
        """Behind a notice that is to be tried again later, the license's next ones wait."""
        first = tell(mail.store, "A", at=1)
        tell(mail.store, "A", at=2)
        mail.store.mark_notice(first, attempts=1, next_at=50, error="no route")
        assert [] == mail.at(49)
        assert [("A", 1)] == mail.at(50)

    def test_of_other_licenses_go_on(self, mail: Heads) -> None:
        """One license's notice that fails holds up nobody else's."""
        first = tell(mail.store, "A", at=1)
        tell(mail.store, "B", at=2)
        mail.store.mark_notice(first, attempts=1, next_at=50, error="no route")
        assert [("B", 2)] == mail.at(49)

    def test_of_other_channels_go_on(self, store: Store) -> None:
        """A channel has an order of its own."""
        first = tell(store, "A", "mail", at=1)
        tell(store, "A", "log", at=1)
        store.mark_notice(first, attempts=1, next_at=50, error="no route")
        assert ([], [("A", 1)]) == (Heads("mail", store).at(49), Heads("log", store).at(49))

    def test_come_one_after_another(self, mail: Heads) -> None:
        """Once a notice is delivered, the license's next one is due."""
        first = tell(mail.store, "A", at=1)
        tell(mail.store, "A", at=2)
        mail.store.mark_notice(first, done_at=5)
        assert [("A", 2)] == mail.at(10)

    def test_are_not_due_before_their_time(self, mail: Heads) -> None:
        """A notice is due from the instant on at which it came about."""
        tell(mail.store, "A", at=10)
        assert ([], [("A", 10)]) == (mail.at(9), mail.at(10))

    def test_that_waited_longest_come_first(self, mail: Heads) -> None:
        """The order is that of the times at which they are to be tried, then that in which they came."""
        numbers = [tell(mail.store, license_id, at=at) for license_id, at in (("A", 1), ("B", 2), ("C", 2))]
        mail.store.mark_notice(numbers[0], attempts=1, next_at=5, error="no route")
        assert [("B", 2), ("C", 2), ("A", 1)] == mail.at(10)

    def test_are_at_most_so_many(self, mail: Heads) -> None:
        """A batch has a limit."""
        for license_id in "ABC":
            tell(mail.store, license_id)
        assert [("A", 0), ("B", 0)] == mail.at(0, limit=2)

    def test_are_never_what_is_done(self, mail: Heads) -> None:
        """What was delivered by being written is not delivered again."""
        tell(mail.store, "A", done=True)
        assert [] == mail.at(10)

    def test_are_announced_by_channel(self, store: Store) -> None:
        """The next time of each channel is that of the earliest notice that nothing stands before."""
        numbers = [tell(store, *place, at=at) for *place, at in (("A", "mail", 1), ("A", "mail", 2), ("B", "mail", 9))]
        tell(store, "A", "log", at=4)
        tell(store, "A", "report", at=3, done=True)
        store.mark_notice(numbers[0], attempts=1, next_at=50, error="no route")
        assert {"mail": 9, "log": 4} == store.next_notices_at(0, NEVER)


class TestOutbox:
    def test_is_due_where_its_time_is_later_than_anything_waits(self, store: Store) -> None:
        """A time beyond the longest wait was told by a clock that was set back since: it counts as come."""
        for at in (5, 100, 200):
            tell(store, f"A{at}", at=at)
        assert [5, 200] == [row["at"] for row in store.due_notices("mail", 60, 150, 10)]
        assert {"mail": 5} == store.next_notices_at(60, 150)
        store.mark_notice(1, done_at=50)
        assert {"mail": 60} == store.next_notices_at(60, 150)

    def test_is_emptied_of_what_waits(self, store: Store) -> None:
        """What is dropped is over, and says why; what was delivered was."""
        for _ in range(3):
            tell(store, at=1)
        store.mark_notice(1, done_at=2)
        assert 2 == store.drop_waiting(9, "an old copy")
        assert [(2, None), (9, "an old copy"), (9, "an old copy")] == [
            (row["done_at"], row["dropped"]) for row in store.notice_rows(None)
        ]
        assert [] == store.due_notices("mail", NEVER, NEVER, 10)

    def test_tells_what_waits(self, store: Store) -> None:
        """By channel: how many, since when, how often the worst was tried, and why it failed."""
        for channel, at in (("mail", 7), ("mail", 3), ("log", 5)):
            tell(store, channel=channel, at=at)
        tell(store, channel="report", at=1, done=True)
        store.mark_notice(1, attempts=4, next_at=50, error="no route")
        assert [Waiting("log", 1, 5, 0, None), Waiting("mail", 2, 3, 4, "no route")] == store.waiting()

    def test_tells_what_waits_of_one_license(self, store: Store) -> None:
        """What waits of the others is left out."""
        tell(store, "A", at=1)
        tell(store, "B", at=2)
        assert [Waiting("mail", 1, 2, 0, None)] == store.waiting("B")

    def test_tells_the_last_error(self, store: Store) -> None:
        """The reason is that of the last time, whatever letter it begins with."""
        tell(store, "A", at=1)
        tell(store, "B", at=2)
        store.mark_notice(1, attempts=1, next_at=50, error="timed out")
        store.mark_notice(2, attempts=3, next_at=90, error="no route")
        assert [Waiting("mail", 2, 1, 3, "no route")] == store.waiting()


class TestPrune:
    def test_removes_what_is_old(self, store: Store) -> None:
        """Entries, sessions and delivered notices from before a time go; those from that time on stay."""
        for at in (1, 9, 10, 11):
            note(store, at=at)
            tell(store, at=at, done=True)
            with store.writing() as transaction:
                transaction.add_session("ACME-1", at, at, at, "up_to_date", "success", [])
        assert 6 == store.prune(10)
        kept = [
            [row["at"] for row in store.entries(None)],
            [row["ended_at"] for row in store.session_rows(None)],
            [row["at"] for row in store.notice_rows(None)],
        ]
        assert [[10, 11]] * 3 == kept

    def test_keeps_the_latest_entry_of_each_license(self, store: Store) -> None:
        """Of a license that is idle for years, the last thing that happened is still known."""
        for license_id in ("A", "A", "B", ""):
            note(store, license_id, at=1)
        assert 1 == store.prune(100)
        assert [(2, "A"), (3, "B"), (4, "")] == [(row["seq"], row["license"]) for row in store.entries(None)]

    def test_keeps_the_last_failure_and_the_last_success(self, store: Store) -> None:
        """Of each license the last failed check stays, and the last that did not fail."""
        with store.writing() as transaction:
            for attempt, result in enumerate(("failed", "success", "failed", "warning", "success"), start=1):
                transaction.add_session("A", attempt, 1, 1, "up_to_date", result, [])
            transaction.add_session("B", 9, 1, 1, "up_to_date", "failed", [])
        assert 3 == store.prune(100)
        assert [("A", 3), ("A", 5), ("B", 9)] == [(row["license"], row["attempt"]) for row in store.session_rows(None)]

    def test_keeps_what_waits(self, store: Store) -> None:
        """A notice that was never delivered stays, however old."""
        tell(store, at=1)
        tell(store, at=1, done=True)
        assert 1 == store.prune(100)
        assert [None] == [row["done_at"] for row in store.notice_rows(None)]

    def test_keeps_what_was_delivered_late(self, store: Store) -> None:
        """The age of a notice is that of its delivery."""
        tell(store, at=1)
        store.mark_notice(1, done_at=100)
        assert (0, 1) == (store.prune(100), store.prune(101))

    def test_of_nothing_old_writes_nothing(self, opened: Callable[[], Store]) -> None:
        """A store in which nothing is old is left alone: others see no news."""
        here, there = opened(), opened()
        note(here, at=10)
        with there.writing() as transaction:
            there.news(transaction)
        assert (0, False) == (here.prune(10), there.has_news())

    def test_leaves_numbers_alone(self, opened: Callable[[], Store]) -> None:
        """What was removed is not numbered again."""
        store = opened()
        note(store, "A", at=1)
        note(store, "B", at=1)
        store.prune(100)
        store.close()
        assert 3 == note(opened())


class TestRows:
    @pytest.fixture
    def full(self, store: Store) -> Store:
        """Take down five entries, of two licenses."""
        for license_id in "ABABA":
            note(store, license_id)
        return store

    @pytest.mark.parametrize(
        ("license_id", "options", "expected"),
        [
            (None, {}, [1, 2, 3, 4, 5]),
            ("A", {}, [1, 3, 5]),
            ("C", {}, []),
            (None, {"limit": 2}, [4, 5]),
            ("A", {"limit": 2}, [3, 5]),
            (None, {"after": 3}, [4, 5]),
            ("A", {"after": 1, "limit": 1}, [5]),
            (None, {"limit": 0}, []),
        ],
    )
    def test_are_read_in_their_order(
        self, full: Store, license_id: str | None, options: dict[str, int], expected: list[int]
    ) -> None:
        """Of a license or of all, after a number, the latest so many: always in the journal's order."""
        assert expected == [row["seq"] for row in full.entries(license_id, **options)]

    def test_of_licenses_come_with_key_and_policy(self, store: Store) -> None:
        """A license's row has what was signed and the policy beside it, or nothing where there is none."""
        with store.writing() as transaction:
            list(_everything(transaction))
            transaction.add_license("ACME-2", "unknown")

        def shown(rows: list[Row]) -> list[tuple]:
            return [(row["id"], row["signed"], row["document"]) for row in rows]

        with store.writing() as transaction:
            assert [("ACME-1", "signed", "{}"), ("ACME-2", None, None)] == shown(transaction.read())
            assert [("ACME-2", None, None)] == shown(transaction.read({"ACME-2"}))

    def test_of_keys_are_all_that_ever_were(self, store: Store) -> None:
        """Keys are numbered in the order in which they came."""
        with store.writing() as transaction:
            transaction.add_key("B", "two")
            transaction.add_key("A", "one")
        assert [(1, "B", "two"), (2, "A", "one")] == [tuple(row.values()) for row in store.key_rows()]


class TestMark:
    def test_tells_how_far_it_has_come(self, store: Store) -> None:
        """The driver's mark names the store, its latest entry and when that was."""
        note(store)
        assert store.sidecar.acquire()
        mark = store.keep_mark(1234)
        assert Mark(store.id, 1, 1234) == mark == store.sidecar.read()

    def test_is_read_when_opened(self, opened: Callable[[], Store]) -> None:
        """Who opens the store next knows how far it had come."""
        store = opened()
        store.sidecar.acquire()
        mark = store.keep_mark(1234)
        store.close()
        assert mark == opened().mark

    def test_of_another_store_is_ignored(self, opened: Callable[[], Store]) -> None:
        """A file that was left behind by another store says nothing of this one."""
        store = opened()
        store.sidecar.acquire()
        store.sidecar.write(Mark("0" * 32, 0, 7))
        store.close()
        assert opened().mark is None

    def test_is_not_there_at_first(self, store: Store) -> None:
        """A new store has come from nowhere."""
        assert store.mark is None

    def test_is_written_by_the_driver_only(self, store: Store, path: Path) -> None:
        """Who does not drive leaves the file beside it alone."""
        store.keep_mark(1234)
        assert not path.with_name("licenses.db.lock").exists()


def test_an_id_stays_the_same(opened: Callable[[], Store]) -> None:
    """A store is the same one whoever opens it, and no two stores are."""
    first = opened()
    with closing(Store(MEMORY)) as other:
        assert (first.id, False) == (opened().id, first.id == other.id)
