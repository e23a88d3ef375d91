import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from licfsm.adapters.store import Store, migrate
from licfsm.adapters.store.opening import APPLICATION, make_engine
from licfsm.adapters.store.tables import HEAD, SCHEMA
from licfsm.errors import StoreError

MIGRATIONS = Path(migrate.__file__).parent / "migrations"
LATER = """
from alembic import op

revision = "0001"
down_revision = "0000"


def upgrade() -> None:
    {statement}
"""
INDEX = 'op.create_index("notice_of_license", "outbox", ["license", "seq"])'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a file for a store."""
    return tmp_path / "licenses.db"


@pytest.fixture
def engine(path: Path) -> Iterator[sa.Engine]:
    """Open the file as a store does."""
    made = make_engine(path)
    yield made
    made.dispose()


def schema(path: Path) -> set[tuple[str, str, str]]:
    """List what a file is made of, in words that do not depend on how it was written down."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE '%alembic%'"
        ).fetchall()
    return {
        (kind, name, " ".join((sql or "").replace("(", " ( ").replace(")", " ) ").split())) for kind, name, sql in rows
    }


class TestSchema:
    def test_of_the_migrations_is_that_of_the_tables(self, path: Path, engine: sa.Engine, tmp_path: Path) -> None:
        """A store that came the long way is made like a new one, word by word."""
        migrate.upgrade(engine, path, None)
        Store(tmp_path / "new.db").close()
        assert schema(tmp_path / "new.db") == schema(path)

    def test_of_the_migrations_lacks_nothing_for_alembic(self, path: Path, engine: sa.Engine) -> None:
        """Alembic's own comparison finds nothing to migrate."""
        migrate.upgrade(engine, path, None)
        with engine.connect() as connection:
            assert [] == compare_metadata(MigrationContext.configure(connection), SCHEMA)

    def test_is_strict(self, path: Path, engine: sa.Engine) -> None:
        """In every table a number is a number."""
        migrate.upgrade(engine, path, None)
        with closing(sqlite3.connect(path)) as connection:
            strict = {name: strict for _, name, kind, _, _, strict in connection.execute("PRAGMA table_list")}
        assert dict.fromkeys(SCHEMA.tables, 1) == {name: strict[name] for name in SCHEMA.tables}

    def test_has_the_latest_revision(self) -> None:
        """The tables are those of the last migration."""
        assert HEAD == migrate.revisions()[0]


class TestAlembic:
    def test_is_not_loaded_for_a_store_of_this_version(self, path: Path) -> None:
        """Making a store and opening it again cost nothing of it."""
        script = (
            "import sys\nfrom licfsm.adapters.store import Store\n"
            "for _ in range(2): Store(sys.argv[1]).close()\n"
            "print([name for name in sys.modules if name.split('.')[0] in ('alembic', 'mako')])"
        )
        shown = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
        assert "[]\n" == shown.stdout

    def test_is_found_where_the_path_has_signs_of_its_own(
        self, tmp_path: Path, path: Path, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The package may be installed in a folder with a percent sign, a blank or a colon."""
        shutil.copytree(MIGRATIONS, tmp_path / "100% of a:b" / "migrations")
        monkeypatch.setattr(migrate, "_SCRIPTS", tmp_path / "100% of a:b" / "migrations")
        migrate.upgrade(engine, path, None)
        assert "licenses" in {name for _, name, _ in schema(path)}


@pytest.fixture
def old(tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], bytes]:
    """Make a store of a version before the first, in which one index is missing, and say what the next version does."""

    def make(statement: str) -> bytes:
        scripts = tmp_path / "migrations"
        (scripts / "versions").mkdir(parents=True)
        shutil.copy(MIGRATIONS / "env.py", scripts)
        first = (MIGRATIONS / "versions" / "0001_first.py").read_text(encoding="utf-8")
        first = first.replace('revision = "0001"', 'revision = "0000"').replace(INDEX, "")
        (scripts / "versions" / "0000_zero.py").write_text(first, encoding="utf-8")
        (scripts / "versions" / "0001_next.py").write_text(LATER.format(statement=statement), encoding="utf-8")
        monkeypatch.setattr(migrate, "_SCRIPTS", scripts)
        engine = make_engine(path)
        config = migrate._config()
        with engine.begin() as connection:
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION}")
            config.attributes["connection"] = connection
            command.upgrade(config, "0000")
            connection.exec_driver_sql("INSERT INTO meta VALUES ('store', 'the same')")
            connection.exec_driver_sql("INSERT INTO journal VALUES (7, 'ACME-1', 1, 'tick', NULL, NULL, NULL)")
        engine.dispose()
        return path.read_bytes()

    return make


def version(path: Path) -> list[tuple[str]]:
    """Read of which version a store is."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchall()


def dump(path: Path) -> list[str]:
    """Write out all that an SQLite file holds."""
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


class TestUpgrade:
    def test_brings_an_older_store_up_to_date(self, old: Callable, path: Path, tmp_path: Path) -> None:
        """A store of an older version becomes one of this version, as if it had been made by it."""
        old(INDEX)
        Store(path).close()
        Store(tmp_path / "new.db").close()
        assert ([(HEAD,)], schema(tmp_path / "new.db")) == (version(path), schema(path))

    def test_keeps_what_is_in_it(self, old: Callable, path: Path) -> None:
        """It is the same store, with the same rows."""
        old(INDEX)
        with closing(Store(path)) as store:
            assert ("the same", 7) == (store.id, store.seq)

    def test_keeps_a_copy_beside_it(self, old: Callable, path: Path) -> None:
        """What was there before is kept under the name of its version, and is a store of that version."""
        old(INDEX)
        before = dump(path)
        Store(path).close()
        copy = path.with_name("licenses.db.0000")
        assert ([("0000",)], before) == (version(copy), dump(copy))

    def test_keeps_in_the_copy_what_was_in_the_log(self, old: Callable, path: Path) -> None:
        """What a killed process left in the write-ahead log belongs to the store, so it is in the copy."""
        old(INDEX)
        script = (
            "import os, sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            "c.execute('PRAGMA journal_mode = WAL')\n"
            "c.execute(\"INSERT INTO journal VALUES (8, 'ACME-1', 1, 'tick', NULL, NULL, NULL)\")\nos._exit(0)"
        )
        subprocess.run([sys.executable, "-c", script, str(path)], check=True)
        Store(path).close()
        with closing(sqlite3.connect(path.with_name("licenses.db.0000"))) as connection:
            assert [(7,), (8,)] == connection.execute("SELECT seq FROM journal ORDER BY seq").fetchall()

    def test_happens_once(self, old: Callable, path: Path) -> None:
        """A store that is up to date is left as it is, and so is the copy."""
        old(INDEX)
        before = dump(path)
        Store(path).close()
        copy = path.with_name("licenses.db.0000")
        with closing(Store(path)) as store, store.writing() as transaction:
            transaction.add_license("ACME-1", "digest")
        assert before == dump(copy)

    def test_that_fails_changes_nothing(self, old: Callable, path: Path) -> None:
        """A migration that breaks off leaves the store as it was, of its old version."""
        old('op.drop_table("journal"); op.execute("nonsense")')
        before = schema(path)
        with pytest.raises(StoreError, match=r'licenses\.db: near "nonsense"'):
            Store(path)
        with closing(sqlite3.connect(path)) as connection:
            assert [(7,)] == connection.execute("SELECT seq FROM journal").fetchall()
        assert ([("0000",)], before) == (version(path), schema(path))


class TestTwoProcesses:
    def test_that_upgrade_at_once_keep_one_copy(self, old: Callable, path: Path) -> None:
        """Whoever comes second finds it done, and leaves the copy of what was there before."""
        old(INDEX)
        before = dump(path)
        engine = make_engine(path)
        Store(path).close()  # the other process, between the look at the version and the upgrade
        migrate.upgrade(engine, path, "0000")
        engine.dispose()
        assert before == dump(path.with_name("licenses.db.0000"))
