"""How fast and how small a manager is, against bare commits of the same rows in the same run.

Run it by hand: ``python tests/benchmarks/manager.py``. Machines are noisy, so each figure is the median of rounds in
which the peer and the subject take turns; what counts are the ratios. A check is what a store keeps of it: two events
with their transitions (the question falls due, the answer comes), each an entry in the journal and a new state of the
license's row, and a session entry. The peer writes just these rows, by SQLAlchemy Core, in a store of the same kind.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import sqlalchemy as sa

import licfsm
from licfsm.adapters.store.opening import make_engine, prepare
from licfsm.adapters.store.tables import journal, licenses, sessions
from licfsm.instants import Span
from licfsm.policy import Cadence, named
from licfsm.testing import LicenseWorld, make_world

ROUNDS = 15
CHECKS = 40
BATCH = 100
CALLS = 200_000
LICENSES = 10_000

HOUR = Span.parse("1 hour")
HOURLY = attrs.evolve(named("veeam-9"), name="hourly", cadence=Cadence(HOUR, HOUR))


def world(folder: Path, count: int) -> LicenseWorld:
    """Open a manager whose licenses are all checked every hour, at the same time."""
    made = make_world(HOURLY, store=folder / "manager.db", start="2025-02-01", operations={"replication": "paid"})
    for number in range(count):
        license_id = f"ACME-{number}"
        made.manager.add(license_id)
        made.manager.install(made.key(id=license_id, expires="2036-02-14").signed)
        made.manager.enable_auto_update(license_id)
    made.manager.tick()
    return made


def checks(made: LicenseWorld, hours: int) -> None:
    """Let some hours go by."""
    for _ in range(hours):
        made.clock.move_to(made.manager.next_due())
        made.manager.tick()


class Bare:
    """The same rows, with nothing that decides what is in them."""

    def __init__(self, path: Path) -> None:
        """Take the rows of the latest check of every license."""
        source = make_engine(path.with_name("manager.db"))
        with source.connect() as connection:
            self.rows = [dict(row) for row in connection.execute(sa.select(licenses)).mappings()]
            count = len(self.rows)
            latest = sa.select(journal).order_by(journal.c.seq.desc()).limit(2 * count)
            entries = [dict(row) for row in connection.execute(latest).mappings()]
            last = sa.select(sessions).order_by(sessions.c.seq.desc()).limit(count)
            self.sessions = [dict(row) for row in connection.execute(last).mappings()]
        source.dispose()
        for row in (*entries, *self.sessions):
            del row["seq"]
        self.answers = [entry for entry in entries if entry["event"] == "answered"]
        self.ticks = [entry for entry in entries if entry["event"] != "answered"]
        assert (count, count, count) == (len(self.answers), len(self.ticks), len(self.sessions))
        engine = make_engine(path)
        prepare(engine, path)
        self.connection = engine.connect()
        with self.connection.begin():
            self.connection.execute(licenses.insert(), self.rows)
        self.update = (
            licenses.update()
            .where(licenses.c.id == sa.bindparam("the_id"), licenses.c.version == sa.bindparam("the_version"))
            .values({name: sa.bindparam(f"new_{name}") for name in licenses.columns.keys()[1:]})
        )

    def _saved(self) -> list[dict[str, Any]]:
        saved = [
            {f"new_{name}": value for name, value in row.items() if name != "id"}
            | {"the_id": row["id"], "the_version": row["version"], "new_version": row["version"] + 1}
            for row in self.rows
        ]
        for row in self.rows:
            row["version"] += 1
        return saved

    def check(self) -> None:
        """Write a check of every license."""
        connection = self.connection
        saved = self._saved()
        with connection.begin():
            connection.execute(self.update, saved)
            connection.execute(journal.insert(), self.ticks)
        saved = self._saved()
        with connection.begin():
            connection.execute(self.update, saved)
            connection.execute(journal.insert(), self.answers)
            connection.execute(sessions.insert(), self.sessions)


def seconds(run: Callable[[], object]) -> float:
    """Time one run."""
    gc.collect()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def durable_checks(count: int, rounds: int, times: int) -> None:
    """Compare the checks of so many licenses that fall due together."""
    with tempfile.TemporaryDirectory() as folder:
        made = world(Path(folder), count)
        checks(made, 2)
        bare = Bare(Path(folder) / "bare.db")
        for _ in range(5):
            bare.check()
        mine, theirs = [], []
        for _ in range(rounds):
            theirs.append(seconds(lambda: [bare.check() for _ in range(times)]) / times / count)
            mine.append(seconds(lambda: checks(made, times)) / times / count)
        made.manager.close()
    peer, subject = statistics.median(theirs), statistics.median(mine)
    label = "one license at a time" if count == 1 else f"{count} licenses at a time"
    print(
        f"durable checks, {label}: {1 / subject:,.0f}/s; bare commits {1 / peer:,.0f}/s;"
        f" {peer / subject:.0%} of them (at least {80 if count == 1 else 30} %)"
    )


def questions() -> None:
    """Measure how often a host may ask what is allowed."""
    with tempfile.TemporaryDirectory() as folder:
        made = world(Path(folder), 1)
        manager = made.manager
        system = licfsm.SystemClock()
        manager._clock = system
        rounds = [seconds(lambda: [manager.allows("replication") for _ in range(CALLS)]) / CALLS for _ in range(5)]
        made.manager.close()
    print(f"allows(): {1 / statistics.median(rounds):,.0f}/s (at least 200,000)")


def memory() -> None:
    """Measure what licenses of one manager take."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manager.db"
        made = world(Path(folder), 1)
        keys = [made.key(id=f"L-{number}", expires="2026-02-14").signed for number in range(LICENSES)]
        made.manager.close()
        _fill(path, keys)
        options: dict[str, Any] = {"policy": HOURLY, "trust": made.signing.public, "clock": made.clock}
        licfsm.LicenseManager.open(":memory:", **options).close()
        gc.collect()
        tracemalloc.start()
        manager = licfsm.LicenseManager.open(path, **options)
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        opened = len(manager.licenses)
        manager.close()
    print(f"{opened:,} licenses in a manager: {taken / 1e6:.1f} MB (at most 30)")


def _fill(path: Path, keys: list[str]) -> None:
    """Put licenses into a store as if each had been installed."""
    engine = make_engine(path)
    with engine.begin() as connection:
        row = dict(connection.execute(sa.select(licenses)).mappings().one())
        for number, signed in enumerate(keys):
            connection.execute(
                sa.text("INSERT INTO keys (license, signed) VALUES (:license, :signed)"),
                {"license": f"L-{number}", "signed": signed},
            )
        numbers = dict(iter(connection.execute(sa.text("SELECT license, id FROM keys"))))
        connection.execute(
            licenses.insert(), [row | {"id": f"L-{n}", "key": numbers[f"L-{n}"]} for n in range(len(keys))]
        )
    engine.dispose()


def wakes() -> None:
    """Count how often an idle driver wakes in a minute."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manager.db"
        made = make_world(start="2025-02-01")
        key = made.key(expires="2036-02-14").signed
        with licfsm.LicenseManager.open(path, policy="veeam-9", trust=made.signing.public) as manager:
            manager.install(key)
            manager.check_now(wait=5)
            with manager.running():
                time.sleep(2)
                before = manager._driver.ticks
                time.sleep(125)
                woken = manager._driver.ticks - before
        made.manager.close()
    print(f"an idle driver woke {woken} times in 125 seconds (at most 3: once a minute)")


def main() -> None:
    """Measure, and print a line for each figure."""
    durable_checks(1, ROUNDS, CHECKS)
    durable_checks(BATCH, ROUNDS, 3)
    questions()
    memory()
    wakes()


if __name__ == "__main__":
    main()
