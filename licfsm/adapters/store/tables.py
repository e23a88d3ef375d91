"""The tables of a store. A change here is a change of the format: it needs a migration beside it.

Times are milliseconds since 1970 in UTC. A license's row is its timer as well: `next_due_at` says when it wants
to be looked at. Tables are STRICT, so that a number is a number.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

__all__ = ["HEAD", "RECORD", "SCHEMA", "journal", "keys", "licenses", "meta", "outbox", "policies", "sessions"]

HEAD: Final = "0001"
"""The revision of the migrations that these tables are."""

SCHEMA: Final = sa.MetaData()


def _table(name: str, *columns: sa.schema.SchemaItem) -> sa.Table:
    return sa.Table(name, SCHEMA, *columns, sqlite_strict=True, sqlite_autoincrement=True)


def _flag(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer)


meta: Final = _table(
    "meta",
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
"""What is to be known of the store itself: its id."""

policies: Final = _table(
    "policies",
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)
"""The policies that licenses ran under, whole, so that the journal can be replayed."""

keys: Final = _table(
    "keys",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("license", sa.Text, nullable=False, index=True),
    sa.Column("signed", sa.Text, nullable=False),
)
"""What was signed. Expiry, type and zone of a license come from here, verified, and from nowhere else."""

licenses: Final = _table(
    "licenses",
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("key", sa.Integer),
    sa.Column("policy", sa.Text, nullable=False),
    sa.Column("next_due_at", sa.Integer, nullable=False, index=True),
    sa.Column("notices", sa.Integer, nullable=False),
    sa.Column("entitlement", sa.Text),
    sa.Column("auto_update", sa.Text),
    sa.Column("origin", sa.Text),
    _flag("by_user"),
    sa.Column("attempt", sa.Integer),
    sa.Column("asked_at", sa.Integer),
    sa.Column("asked_due", sa.Integer),
    sa.Column("counts_from", sa.Integer),
    sa.Column("next_at", sa.Integer),
    sa.Column("give_up_at", sa.Integer),
    _flag("excused"),
    sa.Column("disabled_by", sa.Text),
    sa.Column("last_outcome", sa.Text),
    _flag("failing"),
    sa.Column("mailed", sa.Text),
    sa.Column("told", sa.Integer),
    _flag("held"),
    sa.Column("latest", sa.Integer),
    sa.Column("confirm_at", sa.Integer),
    _flag("went_back"),
    sa.Column("writes", sa.Text),
)
"""One row a license: its record (`licfsm.record.Record`), null throughout until it has a key."""

RECORD: Final = tuple(column.name for column in licenses.columns)[6:]
"""The columns that make up the record, in its order."""

journal: Final = _table(
    "journal",
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("license", sa.Text, nullable=False),
    sa.Column("at", sa.Integer, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("details", sa.Text),
    sa.Column("moves", sa.Text),
    sa.Column("outcome", sa.Text),
    sa.Index("journal_of_license", "license", "seq"),
)
"""Every event that a license was told of, in order, and the transitions that it led to."""

sessions: Final = _table(
    "sessions",
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("license", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("started_at", sa.Integer, nullable=False),
    sa.Column("ended_at", sa.Integer, nullable=False),
    sa.Column("outcome", sa.Text),
    sa.Column("result", sa.Text, nullable=False),
    sa.Column("messages", sa.Text, nullable=False),
    sa.Index("session_of_license", "license", "attempt"),
)
"""What every check left for people to read (rules.md 8.1)."""

outbox: Final = _table(
    "outbox",
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("license", sa.Text, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("level", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("at", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", sa.Integer, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("done_at", sa.Integer),
    sa.Column("dropped", sa.Text),
)
"""What is to be told, and was: in order of `seq` per license and channel; `done_at` is null until it is over."""

sa.Index("notice_of_license", outbox.c.license, outbox.c.seq)
sa.Index("outbox_waiting", outbox.c.channel, outbox.c.license, outbox.c.seq, sqlite_where=outbox.c.done_at.is_(None))
