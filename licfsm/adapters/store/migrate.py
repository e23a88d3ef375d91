"""Migrations of a store, by Alembic; loaded only where a store is of another version than this package."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

__all__ = ["revisions", "upgrade"]

_SCRIPTS: Final = Path(__file__).parent / "migrations"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return config


def revisions() -> list[str]:
    """Name the versions that this package knows, the latest first."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()]


def _copy(engine: sa.Engine, to: str) -> None:
    """Copy a store through SQLite: whoever opens its file otherwise takes this process's locks on it away."""
    raw = engine.raw_connection()
    try:
        source: Any = raw.dbapi_connection
        with closing(sqlite3.connect(to)) as target:
            source.backup(target)
    finally:
        raw.close()


def _version(connection: sa.Connection) -> str:
    return str(connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one())


def upgrade(engine: sa.Engine, path: str | Path, version: str | None) -> None:
    """Bring a store up to date, in one transaction; a copy of what was there is kept beside it.

    Args:
        engine: the store's.
        path: its file.
        version: of which version it is; None for an empty one.

    """
    config = _config()
    with engine.begin() as connection:  # from here on no other process can come between
        if version and _version(connection) != version:
            return  # another process did it meanwhile; its copy stays
        if version and Path(path).is_file():
            _copy(engine, f"{path}.{version}")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
