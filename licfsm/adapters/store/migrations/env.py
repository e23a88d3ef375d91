"""Runs migrations on the connection that `licfsm.adapters.store.migrate` has opened."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
