"""The journal lived through again: the licenses that its events lead to, from nothing but what is stored.

It proves a store: what its rows say must be what its journal leads to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from licfsm import effects as fx
from licfsm import events as ev
from licfsm import instants
from licfsm.adapters.clock import ManualClock
from licfsm.adapters.store import Row
from licfsm.errors import StoreDamaged
from licfsm.host.codec import decode_event
from licfsm.host.registry import ADDED, OPENED
from licfsm.instants import Span
from licfsm.key import LicenseKey
from licfsm.license import License, spread_offset
from licfsm.policy import Policy

__all__ = ["replay_journal"]


def replay_journal(
    rows: Iterable[Row],
    keys: Mapping[int, LicenseKey],
    policies: Mapping[str, Policy],
    watch: Callable[[Row, License, ev.Event, list[fx.Effect]], None] | None = None,
) -> dict[str, License]:
    """Live through a journal from its beginning.

    Args:
        rows: its entries, in order.
        keys: the keys in the store, by number.
        policies: the policies in the store, by digest.
        watch: told of each entry's license, event and what came of it.

    Returns:
        The licenses that have a key, by id, as the last event left them.

    Raises:
        StoreDamaged: an entry cannot be read, or cannot have happened; the message says which.

    """
    licenses: dict[str, License] = {}
    options: dict[str, Any] = {}
    for row in rows:
        try:
            instants.in_range(row["at"], str(row["at"]))
            if row["event"] == OPENED:
                options = json.loads(row["details"])
                for lic in licenses.values():
                    _adapt(lic, options)
            elif row["event"] != ADDED:
                event = decode_event(row["event"], row["details"], keys.__getitem__, policies.__getitem__)
                if isinstance(event, ev.FirstInstalled):
                    policy = policies[options["policy"]]
                    licenses[row["license"]] = lic = License(event.key, policy, clock=ManualClock(row["at"]))
                    _adapt(lic, options)
                lic = _begun(licenses, row)
                effects = lic.step(event, row["at"])
                if watch:
                    watch(row, lic, event, effects)
        except Exception as error:  # of the machines as well, which tell what cannot have happened
            message = f"journal entry {row['seq']} of license {row['license']} cannot be replayed: {error}"
            raise StoreDamaged(message) from error
    return licenses


def _begun(licenses: Mapping[str, License], row: Row) -> License:
    if row["license"] not in licenses:
        message = f"what license {row['license']} began with is not in the journal, or was not kept"
        raise StoreDamaged(message)
    return licenses[row["license"]]


def _adapt(lic: License, options: Mapping[str, Any]) -> None:
    """Let a license run as its host says from now on."""
    lic.mail, lic.targets = options["mail"], tuple(options["targets"])
    lic.offset = spread_offset(lic.key.id, Span(ms=options["spread"]))
