"""Where everything is kept that must survive: one SQLite file, through SQLAlchemy."""

from __future__ import annotations

from licfsm.adapters.store.opening import MEMORY
from licfsm.adapters.store.sidecar import Mark
from licfsm.adapters.store.store import Row, Store, Transaction, Waiting

__all__ = ["MEMORY", "Mark", "Row", "Store", "Transaction", "Waiting"]
