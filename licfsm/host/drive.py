"""Who drives a store, and what driving is: what is due, then what it asks for, then upkeep.

One process drives; the operating system's lock says which. The others see what it writes, and command by writing
themselves. When it is gone, the next one that ticks takes its place, and begins where it ended (rules.md 7.3).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from licfsm import instants
from licfsm.adapters.log import logger
from licfsm.adapters.store import Store
from licfsm.adapters.store.store import LOOK_AGAIN
from licfsm.errors import InvalidValue, StoreError
from licfsm.host.codec import encode_policy
from licfsm.host.outbox import Outbox
from licfsm.host.performer import Performer
from licfsm.host.registry import Registry
from licfsm.instants import DAY, NEVER, SECOND, Span

__all__ = ["LONGEST_SLEEP", "Drive"]

LONGEST_SLEEP: Final = 60.0
"""Seconds after which a driver looks at the clock and at what other processes commanded, at the latest."""

_BUSY: Final = 1.0
"""Seconds after which to ask again where another thread of this process is at it."""


class Drive:
    """Drives a store, if no other process does.

    Args:
        store: the store.
        registry: its licenses.
        performer: does what they ask for.
        outbox: delivers what they tell.
        keep: for how long journal, sessions and notices are kept.

    """

    def __init__(self, store: Store, registry: Registry, performer: Performer, outbox: Outbox, keep: Span) -> None:
        """Begin where the store's last driver ended, if none drives it now.

        Raises:
            InvalidValue: another process drives it, under another policy.

        """
        self._store = store
        self._registry = registry
        self._performer = performer
        self._outbox = outbox
        self._keep = keep
        self._clock = registry.clock
        self._turn = threading.Lock()
        self._driving: int | None = None
        """The thread that is at it."""
        self._pruned_at = -NEVER
        self._look_at = 0.0
        registry.notified = outbox.look_again
        self._begin()

    def _begin(self) -> None:
        store, now = self._store, self._clock.now_ms()
        if not store.sidecar.acquire():
            self._check_policy()
            return
        try:
            if store.mark and store.mark.seq > store.seq:
                self._drop_old_notices(now)
            self._registry.catch_up(store.there_before)
            self._keep_mark()
        finally:
            store.sidecar.release()

    def _check_policy(self) -> None:
        digest = encode_policy(self._registry.policy)[0]
        for entry in self._registry.entries.values():
            if entry.lic is None or entry.lic.key.type not in self._registry.policy.grace:
                continue
            if encode_policy(entry.lic.policy)[0] != digest:
                message = (
                    f"{self._store.path} is driven by another process under policy {entry.lic.policy.name};"
                    " open it with the same policy, or end that process first"
                )
                raise InvalidValue(message)

    def _drop_old_notices(self, now: int) -> None:
        dropped = self._store.drop_waiting(now, "the store was restored from an old copy")
        logger.warning(
            "%s is an older copy of itself; %d notices that waited in it are not sent, since they may have been before",
            self._store.path,
            dropped,
        )

    def tick(self, wanted: Callable[[], bool], *, perform: bool) -> float:
        """Do what is due, unless another thread is at it or another process drives.

        Args:
            wanted: asked before each call to the world; no further one is made once it says no.
            perform: whether the world is called at all.

        Returns:
            After how many seconds to tick again.

        Raises:
            StoreError: the store cannot be written now.

        """
        if not self._turn.acquire(blocking=False):
            return _BUSY
        try:
            self._driving = threading.get_ident()
            if not self._take_over():
                self._registry.refresh()
                return LONGEST_SLEEP
            registry = self._registry
            registry.refresh()
            registry.step_due()
            if perform:
                self._performer.perform(wanted)
            self._prune()
            self._keep_mark()
            due = self.next_due(perform=perform)
            return min(max(0.0, (due - self._clock.now_ms()) / SECOND), LONGEST_SLEEP)
        except StoreError:
            self._leave_what_is_gone()
            raise
        finally:
            self._driving = None
            self._turn.release()

    def perform_for(self, license_id: str, wanted: Callable[[], bool]) -> bool:
        """Do what one license asks for, where nobody drives; False where somebody does.

        Raises:
            StoreError: the store cannot be written now.

        """
        if not self._turn.acquire(blocking=False):
            return False
        with self._registry.lock:  # others hold the place for a moment, to see whether it is free
            was_held = self._store.sidecar.held
        try:
            self._driving = threading.get_ident()
            if not self._take_over():
                return False
            self._performer.perform(wanted, only=license_id)
            self._keep_mark()
        finally:
            if not was_held:
                with self._registry.lock:
                    self._store.sidecar.release()
            self._driving = None
            self._turn.release()
        return True

    def _leave_what_is_gone(self) -> None:
        """Leave the place of a store that is no longer there to whoever opens the one that is.

        Raises:
            StoreError: it is not there.

        """
        with self._registry.lock:
            try:
                self._store.see_that_it_is_there(at_once=True)
            except StoreError:
                self._store.sidecar.release()
                raise

    def is_this_thread(self) -> bool:
        """Say whether it is this thread that drives at this moment: in a subscriber or an adapter, that is."""
        return self._driving == threading.get_ident()

    @contextmanager
    def awaiting(self, license_id: str) -> Iterator[None]:
        """Have a license's question asked, and its key written, before those of others: somebody waits for it."""
        self._performer.awaited.append(license_id)
        try:
            yield
        finally:
            self._performer.awaited.remove(license_id)

    def _take_over(self) -> bool:
        """Become the one who drives the store, unless another process does."""
        sidecar, left = self._store.sidecar, self._store.left
        with self._registry.lock:  # a command may hold the place for a moment, to tell of a clock that was set
            lost = False
            if (now := time.monotonic()) >= self._look_at:
                self._look_at = now + LOOK_AGAIN
                lost = sidecar.held and sidecar.leave_what_is_gone()
            if sidecar.held:
                return True
            if not sidecar.acquire():
                self._store.left = None
                return False
            if lost and left and sidecar.read() is None:
                sidecar.write(left)  # nobody else was there: the file alone was lost
                return True
        try:
            mark = sidecar.read()
            if self._store.left is None or mark != self._store.left:  # another process drove it meanwhile
                self._registry.refresh()
                self._registry.catch_up(self._store.last_there(mark))
            self._performer.write_again()
        except BaseException:
            sidecar.release()  # the place was not taken over whole; the next tick tries again
            raise
        return True

    def _keep_mark(self) -> None:
        """Note how far it came, and when; a clock that was set unnoticed is left to whoever drives next (7.5)."""
        self._store.keep_mark(self._registry.believed_now())

    def _prune(self) -> None:
        now = self._clock.now_ms()
        if abs(now - self._pruned_at) >= DAY and self._registry.clock_is_believed():
            self._pruned_at = now
            self._store.prune(self._keep.after(now, instants.UTC, -1))

    def next_due(self, *, perform: bool) -> int:
        """When something is due next, in milliseconds; NEVER where nothing is."""
        due = self._registry.next_due()
        if not perform:
            return due
        return self._clock.now_ms() if self._performer.is_owed() else min(due, self._outbox.next_at())

    @property
    def driven(self) -> str:
        """Who drives the store: ``here``, ``elsewhere`` or ``nobody``."""
        sidecar = self._store.sidecar
        with self._registry.lock:
            sidecar.leave_what_is_gone()
            if sidecar.held:
                return "here"
            if sidecar.acquire():
                sidecar.release()
                return "nobody"
            return "elsewhere"

    def let_go(self) -> None:
        """Leave the place to whoever ticks next."""
        with self._registry.lock:
            if self._store.sidecar.held:
                self._keep_mark()
                self._store.sidecar.release()
