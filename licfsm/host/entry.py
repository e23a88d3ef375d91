"""One license of a manager, in memory: the live object, its place in the store, and what it allows."""

from __future__ import annotations

from typing import Any, NamedTuple

import attrs

from licfsm.errors import NotInstalled
from licfsm.instants import NEVER
from licfsm.license import License
from licfsm.policy import Policy

__all__ = ["Before", "Entry", "View"]


class View(NamedTuple):
    """A license as of its last commit: all that is looked at without waiting for anything.

    Attributes:
        lic: as it stood then, under the host's policy; nobody steps it.
        until: up to when its entitlement is true, in milliseconds.

    """

    lic: License
    until: int

    def now(self) -> License:
        """Give the license with the entitlement of this moment, also where nobody drives it."""
        return self.lic if self.lic.judged_at < self.until else self.lic.at_now()


@attrs.define(eq=False)
class Entry:
    """One license of a manager.

    Attributes:
        id: its id.
        version: how often its row was written.
        lic: the license; None without a key that can be used.
        key_number: by which the store knows the key.
        notices: how many notices it had so far.
        due: when it wants to be looked at, in milliseconds.
        view: the license as of the last commit; None without a key that can be trusted.
        trouble: what is wrong with what is stored; empty where all is well.

    """

    id: str
    version: int
    lic: License | None
    key_number: int | None
    notices: int
    due: int = NEVER
    view: View | None = None
    trouble: str = ""

    def live(self) -> License:
        """Give the license.

        Raises:
            NotInstalled: it has no key, or none that can be trusted.

        """
        if self.lic is None:
            message = f"license {self.id} has no key yet; install one first"
            raise NotInstalled(f"license {self.id}: {self.trouble}" if self.trouble else message)
        return self.lic

    def settle(self, policy: Policy) -> None:
        """Derive what is asked often from what was committed.

        Args:
            policy: the host's, by which alone is judged what the key allows, whatever the store says.

        """
        lic = self.lic
        self.due = lic.due() if lic else NEVER
        if lic is None or lic.key.type not in policy.grace:
            self.view = None
            return
        shown = lic.snapshot()
        if lic.policy is not policy:
            shown.policy, shown.dates = policy, policy.dates(lic.key)
        self.view = View(shown, shown.changes_at)


class Before(NamedTuple):
    """How an entry was before a transaction that may yet fail."""

    entry: Entry
    lic: License | None
    inside: tuple[Any, ...] | None
    version: int
    key_number: int | None
    notices: int
    trouble: str

    @classmethod
    def of(cls, entry: Entry) -> Before:
        """Remember it."""
        lic = entry.lic
        inside = (lic.record, lic.key, lic.policy, lic.dates) if lic else None
        return cls(entry, lic, inside, entry.version, entry.key_number, entry.notices, entry.trouble)

    def restore(self) -> None:
        """Let it be so again."""
        entry = self.entry
        entry.lic, entry.version, entry.key_number = self.lic, self.version, self.key_number
        entry.notices, entry.trouble = self.notices, self.trouble
        if self.lic and self.inside:
            self.lic.record, self.lic.key, self.lic.policy, self.lic.dates = self.inside
