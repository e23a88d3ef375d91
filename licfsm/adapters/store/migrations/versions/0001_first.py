"""The first version of a store."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _table(name: str, *columns: sa.schema.SchemaItem) -> None:
    op.create_table(name, *columns, sqlite_strict=True, sqlite_autoincrement=True)


def upgrade() -> None:
    """Make the tables; what they mean stands in `licfsm.adapters.store.tables`."""
    _table(
        "meta",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    _table(
        "policies",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    _table(
        "keys",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("license", sa.Text, nullable=False),
        sa.Column("signed", sa.Text, nullable=False),
    )
    op.create_index("ix_keys_license", "keys", ["license"])
    _table(
        "licenses",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("key", sa.Integer),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("next_due_at", sa.Integer, nullable=False),
        sa.Column("notices", sa.Integer, nullable=False),
        sa.Column("entitlement", sa.Text),
        sa.Column("auto_update", sa.Text),
        sa.Column("origin", sa.Text),
        sa.Column("by_user", sa.Integer),
        sa.Column("attempt", sa.Integer),
        sa.Column("asked_at", sa.Integer),
        sa.Column("asked_due", sa.Integer),
        sa.Column("counts_from", sa.Integer),
        sa.Column("next_at", sa.Integer),
        sa.Column("give_up_at", sa.Integer),
        sa.Column("excused", sa.Integer),
        sa.Column("disabled_by", sa.Text),
        sa.Column("last_outcome", sa.Text),
        sa.Column("failing", sa.Integer),
        sa.Column("mailed", sa.Text),
        sa.Column("told", sa.Integer),
        sa.Column("held", sa.Integer),
        sa.Column("latest", sa.Integer),
        sa.Column("confirm_at", sa.Integer),
        sa.Column("went_back", sa.Integer),
        sa.Column("writes", sa.Text),
    )
    op.create_index("ix_licenses_next_due_at", "licenses", ["next_due_at"])
    _table(
        "journal",
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("license", sa.Text, nullable=False),
        sa.Column("at", sa.Integer, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("details", sa.Text),
        sa.Column("moves", sa.Text),
        sa.Column("outcome", sa.Text),
    )
    op.create_index("journal_of_license", "journal", ["license", "seq"])
    _table(
        "sessions",
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("license", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("started_at", sa.Integer, nullable=False),
        sa.Column("ended_at", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("messages", sa.Text, nullable=False),
    )
    op.create_index("session_of_license", "sessions", ["license", "attempt"])
    _table(
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
    op.create_index("notice_of_license", "outbox", ["license", "seq"])
    op.create_index("outbox_waiting", "outbox", ["channel", "license", "seq"], sqlite_where=sa.text("done_at IS NULL"))
