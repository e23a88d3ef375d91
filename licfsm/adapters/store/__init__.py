"""Where everything is kept that must survive: one SQLite file, through SQLAlchemy."""

from __future__ import annotations

from licfsm.adapters.store.opening import MEMORY
from licfsm.adapters.store.store import Row, Store, Transaction, Waiting

__all__ = ["MEMORY", "Row", "Store", "Transaction", "Waiting"]
