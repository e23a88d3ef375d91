"""The host's face: all its licenses, what they allow, what may be done with them, and who drives them.

A host opens one manager, and lets it run: by `LicenseManager.running` in a thread, by `running_async` beside an event
loop, or by calling `tick` in a loop of its own. Whatever runs, `allows` answers at once and is never out of date: it
compares the clock with the next change of entitlement itself.
"""

from __future__ import annotations

import atexit
import datetime as dt
import os
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import pendulum

from licfsm import events as ev
from licfsm import instants
from licfsm.adapters.functions import see_that_it_returns
from licfsm.adapters.log import LogNotifier
from licfsm.adapters.store import Store
from licfsm.errors import InvalidValue, UnknownLicense, UnknownOperation, WrongProcess
from licfsm.explain import Explanation
from licfsm.host.drive import Drive
from licfsm.host.driver import Driver
from licfsm.host.entry import Entry, View
from licfsm.host.outbox import Outbox
from licfsm.host.performer import Performer
from licfsm.host.registry import Registry
from licfsm.host.settings import Settings, read_key
from licfsm.host.values import JournalEntry, SessionEntry, Status, ToldNotice, read_row
from licfsm.host.view import status_of
from licfsm.instants import NEVER, Span
from licfsm.lifecycle import CHECKING
from licfsm.policy import Policy
from licfsm.ports import Clock, LicenseServer, Notifier

if TYPE_CHECKING:
    from licfsm.scenario.replay import Replay

__all__ = ["LicenseManager"]

_MOST: Final = (1 << 63) - 1
"""So many rows SQLite can be asked for."""

_POLL: Final = 0.5
"""Seconds between two looks at a store that another process drives, while somebody waits for an outcome."""


class LicenseManager:
    """All licenses of a host; made by `LicenseManager.open`."""

    def __init__(self, store: Store, settings: Settings) -> None:
        """Take over what is stored; `open` is how a host does it."""
        self._store = store
        self._settings = settings
        self._clock = settings.clock
        self._registry = Registry(store, settings)
        channels: dict[str, Notifier] = {"log": LogNotifier()} | ({"mail": settings.mail} if settings.mail else {})
        outbox = Outbox(store, settings.clock, channels)
        performer = Performer(self._registry, outbox, settings.server, settings.targets)
        self._drive = Drive(store, self._registry, performer, outbox, settings.keep)
        self._pid = os.getpid()
        self._closed = False
        self._changed = threading.Condition()
        self._driver = Driver(self._driven_tick, self._driver_ended)
        self._registry.committed = self._committed
        _OPEN.add(self)

    @classmethod
    def open(
        cls,
        store: str | Path,
        *,
        policy: Policy | str,
        trust: object,
        server: LicenseServer | str | None = None,
        targets: Mapping[str, object] | Iterable[object] = (),
        mail: Notifier | None = None,
        operations: Mapping[str, str] | None = None,
        licenses: Iterable[str] = (),
        product: str | None = None,
        mail_repeat: str | None = None,
        spread: Span | dt.timedelta | str = "1 hour",
        keep: Span | dt.timedelta | str = "400 days",
        clock: Clock | None = None,
    ) -> Self:
        """Open a store, or make a new one, and take over the licenses in it.

        Args:
            store: its file; ``:memory:`` for one that is gone when it is closed.
            policy: a built-in policy's name, or a `Policy`.
            trust: the public keys whose signatures count; see `adapters.keys.TrustedKeys.of`.
            server: gives new keys: its https:// address, a `licfsm.HttpsServer` where more is to be said, or another
                `ports.LicenseServer`; without one every check fails as `connection_failed`. Its answers must be signed
                by whom ``trust`` names, unless the `HttpsServer` names others.
            targets: what new keys are written to: paths (``{license}`` in one stands for the id), functions of a
                key, objects that have ``write``; or a mapping of names to these.
            mail: delivers mail, such as a `licfsm.Mail`; without it nothing is mailed.
            operations: what the host does -> ``paid``, ``free`` or ``always`` (rules.md 2.3).
            licenses: ids that are declared, as by `add`.
            product: of which product keys must be; by default that of the first key.
            mail_repeat: how often failures are mailed, in place of the policy's word (8.2).
            spread: over how long the questions of many licenses are spread (3.6).
            keep: for how long journal, sessions and notices are kept.
            clock: tells the time; by default the system's.

        Raises:
            InvalidValue: an argument cannot be used; without trusted keys nothing opens.
            StoreError: the store cannot be used, and was left as it is.

        """
        settings = Settings.checked(
            licenses=licenses,
            policy=policy,
            trust=trust,
            server=server,
            targets=targets,
            mail=mail,
            operations=operations,
            product=product,
            mail_repeat=mail_repeat,
            spread=spread,
            keep=keep,
            clock=clock,
        )
        opened = Store(store)
        try:
            manager = cls(opened, settings)
            registry = manager._registry
            for license_id in settings.licenses:
                manager.add(license_id)
            if len(registry.entries) > 1:
                manager._check_shared(next(iter(registry.entries)))
        except BaseException:
            opened.close()
            raise
        return manager

    # ------------------------------------------------------------------------------------ licenses and their keys

    def add(self, license_id: str) -> None:
        """Declare a license, so that a key for it can be installed; one that is declared stays as it is.

        Raises:
            InvalidValue: the id breaks its rule (rules.md 8.3), or a target would hold the keys of two licenses.

        """
        self._check()
        self._check_shared(license_id)
        self._registry.add(license_id)

    def install(self, key: str | bytes | Path, license_id: str | None = None, *, force: bool = False) -> None:
        """Install a key by hand; it is in force at once (rules.md 6.5). The first one declares its license.

        Args:
            key: a file, or the signed text itself.
            license_id: for which license it must be; by default the one that it names, if that is declared.
            force: also if it expires earlier than the installed one (4.3).

        Raises:
            KeyRejected: it is refused, and why; nothing changed.
            InvalidValue: the file cannot be read, or a target would hold the keys of two licenses.
            UnknownLicense: the license was not declared.

        """
        self._check()
        signed = read_key(key)
        if license_id is not None:
            self._entry(license_id)
        self._check_shared(license_id or self._registry.trust.verify(signed).id)
        self._registry.install(signed, force=force, license_id=license_id)

    def _check_shared(self, license_id: str) -> None:
        """No two licenses share a file: they would replace each other's keys forever."""
        others = [other for other in self._registry.entries if other != license_id]
        if others and (target := self._settings.shared_target):
            message = (
                f"target {target} would hold the keys of {others[0]} and {license_id}; put {{license}} in its path"
            )
            raise InvalidValue(message)

    # ------------------------------------------------------------------------------------ commands

    def enable_auto_update(self, license_id: str | None = None) -> None:
        """Switch automatic update on, and ask at once (rules.md 6.1).

        Raises:
            UnknownLicense: there is no such license, or none was named and there is not exactly one.
            NotInstalled: it has no key yet.

        """
        self._command(license_id, ev.Enable())

    def disable_auto_update(self, license_id: str | None = None) -> None:
        """Switch automatic update off; an answer still under way is ignored (rules.md 6.2).

        Raises:
            UnknownLicense: there is no such license, or none was named and there is not exactly one.
            NotInstalled: it has no key yet.

        """
        self._command(license_id, ev.Disable())

    def check_now(self, license_id: str | None = None, *, wait: float | None = None) -> SessionEntry | None:
        """Ask the license server once, now (rules.md 6.3).

        Args:
            license_id: which license; not needed where there is exactly one.
            wait: for how many seconds to wait for what comes of it: the answer, and a first try at each target of a
                new key. The driver asks, before whatever else is due but after the call that it is at (to a server, a
                target, a mail server), with a turn for the others now and then; or this call where none runs, which
                then takes as long as the server and the targets let it, and one mail that waits. A driver in another
                process looks for commands at least once a minute, so wait longer than that for it.

        Returns:
            The check's session entry, a ``warning`` as long as a target does not hold the new key (4.4); None without
            ``wait``, or where no answer came in that time.

        Raises:
            InvalidValue: ``wait`` is no number of seconds, or this is within an adapter, or a subscriber that the
                driving thread calls.
            UnknownLicense: there is no such license, or none was named and there is not exactly one.
            NotInstalled: it has no key yet.

        """
        if wait is None:
            self._command(license_id, ev.CheckNow())
            return None
        self._check()
        self._check_wait(wait)
        self._registry.refresh()
        with self._drive.awaiting(self._entry(license_id).id):
            entry = self._command(license_id, ev.CheckNow())
            return self._outcome(entry.id, entry.live().record.attempt, wait)

    def _check_wait(self, wait: object) -> None:
        if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 <= wait <= threading.TIMEOUT_MAX:
            message = f"wait must be a number of seconds, 0 or more; not {wait!r:.80}"
            raise InvalidValue(message)
        if wait and self._drive.is_this_thread():
            message = (
                "check_now cannot wait within a subscriber or an adapter, for what it waits for goes on when that one"
                " returns: leave wait out, or call it from another thread"
            )
            raise InvalidValue(message)

    def _command(self, license_id: str | None, event: ev.Event) -> Entry:
        self._check()
        self._registry.refresh()
        entry = self._entry(license_id)
        entry.live()
        self._registry.step(entry.id, event)
        return self._entry(entry.id)

    def _outcome(self, license_id: str, attempt: int, wait: float) -> SessionEntry | None:
        """Wait for what a check comes to; one that is interrupted is asked again, which is waited for as well."""
        end = time.monotonic() + wait
        while True:
            self._check()
            self._registry.refresh()
            ended = self._ended(license_id, attempt)
            left = end - time.monotonic()
            if left <= 0:
                return ended
            if ended and not self._waits_for_target(license_id, ended.attempt):
                return self._ended(license_id, attempt)  # as the targets left it
            here = not self._driver.alive and self._drive.perform_for(
                license_id, lambda: self._is_open() and time.monotonic() < end
            )
            if not here or self._ended(license_id, attempt) == ended:  # nothing came of it so far
                with self._changed:
                    self._changed.wait(min(left, _POLL))

    def _waits_for_target(self, license_id: str, attempt: int) -> bool:
        """Say whether a target was not tried yet with the key of a check, so that its session says little so far."""
        with self._registry.lock:  # what is being committed is in the record already, but nobody may read it yet
            writes = self._registry.entries[license_id].live().record.writes
        return any(write.attempt == attempt and write.told_at is None for write in writes)

    def _ended(self, license_id: str, attempt: int) -> SessionEntry | None:
        """Find the session entry of an attempt; that of the attempt which took its place, where it was interrupted."""
        record = self._registry.entries[license_id].live().record
        if record.auto_update == CHECKING and record.attempt == attempt:
            return None
        sessions = {entry.attempt: entry for entry in self.sessions(license_id)}
        while (entry := sessions.get(attempt)) and entry.outcome is None:
            if record.auto_update == CHECKING and record.attempt == attempt + 1:
                return None if record.asked_at == instants.to_ms(entry.ended) else entry
            following = sessions.get(attempt + 1)
            if following is None or following.started != entry.ended:
                break
            attempt += 1
        return entry

    # ------------------------------------------------------------------------------------ what is

    def allows(self, operation: str, license_id: str | None = None) -> bool:
        """Say whether an operation may run now (rules.md 2.3); waits for nothing.

        Args:
            operation: one of those that the host declared.
            license_id: which license; not needed where there is at most one.

        Raises:
            UnknownOperation: the host declared no such operation.
            UnknownLicense: there is no such license, or several and none was named.

        """
        kind = self._kind(operation)
        view = self._view(license_id)
        if view is None:
            return kind == "always" or kind in self._settings.policy.free_mode_allows
        return view.now().allows(kind)

    def job_warning(self, operation: str, license_id: str | None = None) -> str | None:
        """Give the warning that a job is to show: on paid ones, in grace (rules.md 2.4); waits for nothing.

        Raises:
            UnknownOperation: the host declared no such operation.
            UnknownLicense: there is no such license, or several and none was named.

        """
        kind = self._kind(operation)
        view = self._view(license_id)
        return view.now().job_warning if view and kind == "paid" else None

    def _kind(self, operation: str) -> str:
        if self._closed or self._pid != os.getpid():
            self._check()
        try:
            return self._settings.operations[operation]
        except (KeyError, TypeError):
            known = ", ".join(self._settings.operations) or "none"
            message = f"the host declared no operation {operation!r}; it has {known}"
            raise UnknownOperation(message) from None

    def _view(self, license_id: str | None) -> View | None:
        if license_id is None and not self._registry.entries:
            return None
        return self._entry(license_id).view

    def status(self, license_id: str | None = None) -> Status:
        """Tell how a license stands at this moment.

        Raises:
            UnknownLicense: there is no such license, or several and none was named.
            StoreError: the store cannot be read.

        """
        self._check()
        self._registry.refresh()
        entry = None if license_id is None and not self._registry.entries else self._entry(license_id)
        shown = entry.view.now() if entry and entry.view else None
        waiting = self._store.waiting(entry.id) if entry else []
        reasons = self._registry.reasons
        return status_of(entry, shown, self._settings.policy, waiting, reasons, driven=self._drive.driven)

    def explain(self, license_id: str | None = None) -> Explanation:
        """Explain both states of a license: why, what comes next, what the user sees and may do.

        Raises:
            UnknownLicense: there is no such license, or none was named and there is not exactly one.
            NotInstalled: it has no key yet.

        """
        self._check()
        self._registry.refresh()
        entry = self._entry(license_id)
        return (entry.view.now() if entry.view else entry.live()).explain()

    @property
    def licenses(self) -> tuple[str, ...]:
        """The ids of all licenses, sorted."""
        self._check()
        self._registry.refresh()
        return tuple(sorted(self._registry.entries))

    def history(self, license_id: str | None = None, *, limit: int = 100) -> tuple[JournalEntry, ...]:
        """Read the journal: what happened, and the changes of state that it led to; the latest, in order.

        Args:
            license_id: which license; all by default.
            limit: how many entries.

        Raises:
            InvalidValue: ``limit`` is no whole number, or below 0.
            UnknownLicense: there is no such license.
            StoreError: the store cannot be read.

        """
        rows = self._store.entries(self._known(license_id), limit=_checked_limit(limit))
        return tuple(read_row(JournalEntry.of, row) for row in rows)

    def recorded(self, license_id: str | None = None) -> Replay:
        """Live through a license's journal again, so that its life can be told and drawn as a scenario's is.

        Raises:
            UnknownLicense: there is no such license, or none was named and there is not exactly one.
            NotInstalled: it has no key yet.
            StoreDamaged: the journal cannot be lived through, for one because its beginning was not kept.

        """
        from licfsm.host.codec import decode_policy
        from licfsm.host.recording import recorded

        self._check()
        self._registry.refresh()
        entry = self._entry(license_id)
        store, trust = self._store, self._settings.trust
        rows = sorted([*store.entries(""), *store.entries(entry.id)], key=itemgetter("seq"))  # "": what all run under
        keys = {row["id"]: trust.verify(row["signed"]) for row in store.key_rows(entry.id)}
        policies = {row["digest"]: decode_policy(row["document"]) for row in store.policy_rows()}
        return recorded(entry.id, self._settings.clock.now_ms(), rows, keys, policies)

    def sessions(self, license_id: str | None = None, *, limit: int = 100) -> tuple[SessionEntry, ...]:
        """Read the session entries of checks (rules.md 8.1); the latest, in order.

        Args:
            license_id: which license; all by default.
            limit: how many entries.

        Raises:
            InvalidValue: ``limit`` is no whole number, or below 0.
            UnknownLicense: there is no such license.
            StoreError: the store cannot be read.

        """
        rows = self._store.session_rows(self._known(license_id), limit=_checked_limit(limit))
        return tuple(read_row(SessionEntry.of, row) for row in rows)

    def notices(self, license_id: str | None = None, *, limit: int = 100) -> tuple[ToldNotice, ...]:
        """Read what was told, or waits to be, on all channels (rules.md 8.2); the latest, in order.

        Args:
            license_id: which license; all by default.
            limit: how many notices.

        Raises:
            InvalidValue: ``limit`` is no whole number, or below 0.
            UnknownLicense: there is no such license.
            StoreError: the store cannot be read.

        """
        rows = self._store.notice_rows(self._known(license_id), limit=_checked_limit(limit))
        return tuple(read_row(ToldNotice.of, row) for row in rows)

    def subscribe(self, function: Callable[[JournalEntry], None]) -> Callable[[], None]:
        """Have a function called with every journal entry from now on, after it was stored.

        It is called in the thread that did it, most often the driver's (of `running_async` too, so not in the event
        loop's: ``loop.call_soon_threadsafe`` leads there), and must not take long. What it raises is logged. Entries
        of other processes come when this one looks at the store, at most a minute later.

        Returns:
            A function that ends it.

        Raises:
            InvalidValue: it is no function, or an asynchronous one.

        """
        self._check()
        see_that_it_returns(function, "a subscriber")
        return self._registry.subscribe(function)

    def _entry(self, license_id: str | None) -> Entry:
        entries = self._registry.entries
        try:
            if license_id is not None:
                return entries[license_id]
            (entry,) = entries.values()
        except (KeyError, ValueError, RuntimeError, TypeError):
            known = ", ".join(sorted(entries)[:5]) or "none yet: install a key first"
            message = (
                f"there is no license {license_id!r}; there is {known}"
                if license_id is not None
                else f"name a license; there is {known}"
            )
            raise UnknownLicense(message) from None
        return entry

    def _known(self, license_id: str | None) -> str | None:
        self._check()
        return None if license_id is None else self._entry(license_id).id

    # ------------------------------------------------------------------------------------ driving

    def tick(self, *, perform: bool = True) -> float:
        """Do what is due: changes of state first, then, with ``perform``, what they ask for.

        It waits for the store, and with ``perform`` for the server, targets and notices: it begins no further call
        after 30 seconds (`performer.LONGEST`), but for one to each of them, so it takes no longer than that and their
        own time limits together. Without
        ``perform`` nothing but the store's disk is waited for. Where another process drives the store, it only looks
        at what that one wrote.

        Returns:
            After how many seconds it wants to be called again, at most a minute.

        Raises:
            StoreError: the store cannot be written now, or was removed; nothing is lost, the next tick tries again.
            WrongProcess: the manager is closed, or another process opened it.

        """
        self._check()
        return self._drive.tick(self._is_open, perform=perform)

    def _driven_tick(self, wanted: Callable[[], bool]) -> float:
        self._check()
        return self._drive.tick(wanted, perform=True)

    def _is_open(self) -> bool:
        return not self._closed

    def next_due(self, *, perform: bool = True) -> pendulum.DateTime | None:
        """When something is due next, if nothing happens until then; None for never.

        Args:
            perform: whether notices that wait count as well.

        """
        self._check()
        due = self._drive.next_due(perform=perform)
        return None if due == NEVER else instants.from_ms(due)

    def _committed(self) -> None:
        self._driver.wake()
        with self._changed:
            self._changed.notify_all()

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Drive all licenses in a thread, until the block ends; several blocks share one thread.

        The thread sleeps until something is due, and looks at the clock and at other processes' commands at least
        once a minute. What an adapter raises is logged, and ends neither the thread nor the host. Leaving the block
        in mid-check waits 5 seconds for the answer (`driver.PATIENCE`); a later one is dropped, and asked for again by
        whoever drives next (rules.md 7.3), which is after a minute at most where another process has the store open.
        Signals are the host's: what ends the block, or the process, ends the driving.
        """
        self._check()
        self._driver.start()
        try:
            yield self
        finally:
            self._end_driving()

    @asynccontextmanager
    async def running_async(self) -> AsyncIterator[Self]:
        """Drive all licenses beside an event loop: as `running`, in a thread, without ever blocking the loop.

        `allows` and `job_warning` may be called on the loop; the other methods wait for the store's disk, so call them
        by ``asyncio.to_thread``.
        """
        import asyncio

        self._check()
        self._driver.start()
        try:
            yield self
        finally:
            loop = asyncio.get_running_loop()
            await asyncio.shield(loop.run_in_executor(None, self._end_driving))

    def _end_driving(self) -> None:
        if self._pid == os.getpid():
            self._driver.stop()

    def _driver_ended(self) -> None:
        """Leave the driver's place; called by the thread, when it is done with its last call to the world."""
        if self._is_open() and self._pid == os.getpid():
            self._drive.let_go()

    def close(self) -> None:
        """End driving and close the store; a second time does nothing."""
        if self._closed or self._pid != os.getpid():
            return
        self._driver.stop(everyone=True)
        with self._registry.lock:
            self._drive.let_go()
            self._closed = True
            self._store.close()
        if self._settings.made_server:
            self._settings.made_server.close()
        _OPEN.discard(self)

    def __enter__(self) -> Self:
        """Use it, and close it at the end of the block; this alone drives nothing."""
        self._check()
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        """Show which store, and how many licenses."""
        return f"<LicenseManager {self._store.path}: {len(self._registry.entries)} licenses>"

    def _check(self) -> None:
        if self._pid != os.getpid():
            message = (
                f"this manager was opened by process {self._pid}, and this is a fork of it ({os.getpid()});"
                " open another one after forking"
            )
            raise WrongProcess(message)
        if self._closed:
            message = "this manager is closed; open another one"
            raise WrongProcess(message)

    def _abandon(self) -> None:
        self._store.abandon()


def _checked_limit(limit: object) -> int:
    if type(limit) is not int or not 0 <= limit <= _MOST:
        message = f"limit must be a whole number, 0 or more; not {limit!r:.80}"
        raise InvalidValue(message)
    return limit


_OPEN: Final[weakref.WeakSet[LicenseManager]] = weakref.WeakSet()


def _close_all() -> None:
    for manager in list(_OPEN):
        manager.close()


def _abandon_all() -> None:
    for manager in list(_OPEN):
        manager._abandon()  # noqa: SLF001 - the child of a fork keeps its hands off


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)
