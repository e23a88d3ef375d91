"""All licenses of a manager, in memory and in the store: every event goes through here.

One transaction takes down what a step led to, before anybody sees it. Steps of this process are taken one after
another under a lock; what other processes wrote is read at the start of each transaction. What `allows` needs is a
value of its own, replaced after each commit, so that asking waits for nothing.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import attrs

from licfsm import effects as fx
from licfsm import events as ev
from licfsm.adapters.log import logger
from licfsm.adapters.store import Row, Store, Transaction
from licfsm.errors import InvalidValue, KeyRejected, LicfsmError, StoreDamaged
from licfsm.handlers import first_sight
from licfsm.host.codec import decode_policy, decode_record, encode_policy
from licfsm.host.entry import Entry
from licfsm.host.settings import Settings
from licfsm.host.values import JournalEntry, read_row
from licfsm.host.work import Work
from licfsm.instants import MINUTE, NEVER
from licfsm.key import LicenseKey, clean_text, valid_id
from licfsm.license import License
from licfsm.lifecycle import CHECKING
from licfsm.policy import Policy
from licfsm.ports import HostClock

__all__ = ["ADDED", "BATCH", "OPENED", "Registry"]

BATCH: Final = 100
"""How many licenses' steps share a transaction at most."""

CLOCK_NOISE: Final = MINUTE
"""A clock that moved by less than this beside its running was adjusted, not set."""

OPENED: Final = "opened"
ADDED: Final = "added"
"""What the journal holds besides events: what licenses run under, and that one was declared."""

_MEND: Final = (
    "see that trust= names the public keys that it was signed by; else install its license key again with force,"
    " or restore the store from a backup"
)


@attrs.frozen
class _Seen:
    """What a clock showed when it was last looked at."""

    now: int
    running: int
    asleep: int


class Registry:
    """All licenses of a manager.

    Args:
        store: where they are kept.
        settings: what the host gave.

    """

    def __init__(self, store: Store, settings: Settings) -> None:
        """Read what is stored."""
        self.store = store
        self.trust = settings.trust
        self.policy = settings.policy
        self.clock = clock = settings.clock
        self.product = settings.product
        self._options: dict[str, Any] = {
            "spread": settings.spread,
            "mail": settings.mail_repeat,
            "targets": tuple(settings.targets),
        }
        self.lock = threading.RLock()
        self.entries: dict[str, Entry] = {}
        self._unsettled: dict[str, Entry] = {}
        self.writes: deque[tuple[str, fx.WriteTarget]] = deque()
        self.committed: Callable[[], None] = lambda: None
        """Called after each commit that gives the driver something to do, or changes when it has."""
        self.reasons: dict[tuple[str, str], str | None] = {}
        """License and target -> why the key could not be written there, the last time."""
        self.notified: Callable[[], None] = lambda: None
        """Called when there may be notices that are to be delivered."""
        self.subscribers: tuple[Callable[[JournalEntry], None], ...] = ()
        self._host_clock = clock if isinstance(clock, HostClock) else None
        self._told_to = 0
        self._telling = threading.Lock()
        self._kept_policies: dict[Policy, str] = {}
        self._opened = False
        """Whether the journal says last that it was this manager under whose settings the licenses run."""
        self._new_targets: set[str] = set()
        """Targets that were not named under the settings that ran before these."""
        self._seen = self._look()
        with self.lock, store.writing() as transaction:
            store.news(transaction)
            for row in transaction.read():
                self._read(row)

    # ------------------------------------------------------------------------------------ reading

    def _note_opening(self, transaction: Transaction) -> None:
        """Take down under what the licenses run from now on, so that the journal can be replayed by itself."""
        options = {
            "policy": self._keep_policy(transaction)(self.policy),
            "spread": self._options["spread"].ms,
            "mail": self._options["mail"],
            "targets": self._options["targets"],
        }
        details = json.dumps(options)
        before = transaction.last_details("")
        if before != details:
            self._new_targets |= set(options["targets"]).difference(_targets_of(before))
            transaction.add_entry("", self.clock.now_ms(), OPENED, details, None, None)
        self._opened = True

    def _keep_policy(self, transaction: Transaction) -> Callable[[Policy], str]:
        """Make a function that finds a policy's digest, and sees to it that the store keeps the policy."""

        def keep(policy: Policy) -> str:
            digest = self._kept_policies.get(policy)
            if digest is None:
                digest, document = encode_policy(policy)
                transaction.add_policy(digest, policy.name, document)
                self._kept_policies[policy] = digest
            return digest

        return keep

    def _read(self, row: Row) -> None:
        """Take over what is stored of a license; what cannot be trusted grants nothing and is left as it is."""
        entry = Entry(row["id"], row["version"], None, row["key"], row["notices"])
        try:
            entry.lic = self._license(row)
        except LicfsmError as error:
            entry.trouble = f"{clean_text(str(error))}; {_MEND}"
            logger.error("license %s: %s", clean_text(entry.id), entry.trouble, extra={"license": entry.id})
        entry.settle(self.policy)
        self.entries[entry.id] = entry

    def _license(self, row: Row) -> License | None:
        valid_id(row["id"])
        if row["key"] is None:
            return None
        if row["signed"] is None:
            message = f"its key (number {row['key']}) is not in the store"
            raise StoreDamaged(message)
        key = self._verified(row["signed"], row["id"])
        record = decode_record(row)
        policy = self.policy
        if row["policy"] != encode_policy(policy)[0]:
            policy = decode_policy(row["document"] or "")
            if encode_policy(policy)[0] != row["policy"]:
                message = "the policy that it ran under was changed in the store"
                raise StoreDamaged(message)
        return License(key, policy, clock=self.clock, record=record, **self._options)

    def _verified(self, signed: str, license_id: str) -> LicenseKey:
        key = self.trust.verify(signed)
        if key.id != license_id:
            message = f"the key is for license {key.id}, not for {license_id}"
            raise KeyRejected(message)
        if self.product is not None and key.product != self.product:
            message = f"the key is for product {clean_text(key.product) or 'no product'}, not for {self.product}"
            raise KeyRejected(message)
        return key

    def refresh(self) -> None:
        """Learn what other processes wrote."""
        if self.store.has_news():
            with self.work(watch=False):
                pass
        if self._unsettled:
            with self.lock:
                self._settle()

    def _settle(self) -> None:
        """Let what was committed be seen; what an interrupt left undone is done the next time."""
        for license_id, entry in list(self._unsettled.items()):
            entry.settle(self.policy)
            del self._unsettled[license_id]

    # ------------------------------------------------------------------------------------ transactions

    @contextmanager
    def work(self, *, watch: bool = True) -> Iterator[Work]:
        """Do something within one transaction: all of it counts, or none of it.

        Args:
            watch: whether a clock that was set is noticed first.

        Raises:
            StoreError: it could not be written; then nothing has changed.

        """
        with self.lock:
            work: Work | None = None
            try:
                with self.store.writing() as transaction:
                    news = self.store.news(transaction)
                    if news:
                        self._opened &= "" not in news
                        for row in transaction.read(news):
                            self._read(row)
                    work = Work(transaction, self.clock.now_ms(), self._keep_policy(transaction), self._about_to_step)
                    seen = self._watch(work) if watch else self._seen
                    yield work
                    work.save()
            except BaseException:
                if work:
                    work.undo()
                    for license_id in work.added:
                        del self.entries[license_id]
                self._kept_policies.clear()
                self._opened = False
                raise
            self._seen = seen
            self._unsettled.update(work.changed)
            self._settle()
            self.writes.extend(work.writes)
        if work.notices or news:
            self.notified()
        if work.changed:
            self.committed()
        if self.subscribers:
            self._tell()

    def _about_to_step(self, transaction: Transaction) -> None:
        if not self._opened:
            self._note_opening(transaction)

    def step(self, license_id: str, event: ev.Event) -> list[fx.Effect]:
        """Tell one license of an event.

        Raises:
            KeyRejected: a key installed by hand is refused; nothing changed.
            StoreError: it could not be written; nothing changed.

        """
        with self.work() as work:
            return work.step(self.entries[license_id], event)

    def step_all(self, events: Sequence[tuple[str, ev.Event]]) -> None:
        """Tell several licenses of an event each, so many in a transaction."""
        for start in range(0, len(events), BATCH):
            with self.work() as work:
                for license_id, event in events[start : start + BATCH]:
                    entry = self.entries[license_id]
                    if entry.lic is not None:
                        work.step(entry, event)

    def step_due(self) -> None:
        """Do what is due, of all licenses (rules.md 7.2)."""
        if self.has_stepped():
            with self.work():
                pass
        tick = ev.Tick()
        while True:
            now = self.clock.now_ms()
            due = [entry.id for entry in list(self.entries.values()) if entry.due <= now]
            if not due:
                return
            self.step_all([(license_id, tick) for license_id in due])

    def next_due(self) -> int:
        """When something is due next, in milliseconds; NEVER where nothing is."""
        return min((entry.due for entry in list(self.entries.values())), default=NEVER)

    def checking(self) -> list[tuple[str, int]]:
        """Name the licenses whose question waits for an answer, with the attempt's number.

        Those that a user asked for come first, also in another process; then the oldest.
        """
        records = [(entry.id, entry.lic.record) for entry in list(self.entries.values()) if entry.lic is not None]
        waiting = [
            (not record.by_user, record.asked_at, name, record.attempt)
            for name, record in records
            if record.auto_update == CHECKING
        ]
        return [(name, attempt) for _, _, name, attempt in sorted(waiting)]

    # ------------------------------------------------------------------------------------ the clock

    def clock_is_believed(self) -> bool:
        """Say whether no license waits for a jump of the clock to be confirmed (rules.md 7.5)."""
        records = (entry.lic.record for entry in list(self.entries.values()) if entry.lic is not None)
        return all(record.confirm_at == NEVER for record in records)

    def _look(self) -> _Seen:
        clock = self._host_clock
        if clock:
            return _Seen(clock.now_ms(), clock.running_ms(), clock.asleep_ms())
        now = self.clock.now_ms()
        return _Seen(now, now, 0)

    def _moved(self, seen: _Seen) -> tuple[int, bool]:
        """Find how far the clock moved otherwise than by running, and whether the host slept."""
        last = self._seen
        by = (seen.now - last.now) - (seen.running - last.running)
        return by, seen.asleep - last.asleep >= CLOCK_NOISE

    def has_stepped(self) -> bool:
        """Say whether the clock was set, or the host slept; what is less is forgotten, so that it does not add up."""
        with self.lock:
            seen = self._look()
            by, slept = self._moved(seen)
            if slept or abs(by) >= CLOCK_NOISE:
                return True
            self._seen = seen
            return False

    def believed_now(self) -> int:
        """Tell the time; that of the last look where the clock was set since, or the host slept."""
        with self.lock:
            return self._seen.now if self.has_stepped() else self.clock.now_ms()

    def _watch(self, work: Work) -> _Seen:
        """Tell all licenses of a clock that was set, or of a sleep, once; another process that drives does it for us."""
        seen = self._look()
        by, slept = self._moved(seen)
        if not (slept or abs(by) >= CLOCK_NOISE):
            return seen
        held = self.store.sidecar.held
        if held or self.store.sidecar.acquire():
            others = (
                not held and self.store.sidecar.read() != self.store.left
            )  # who drives next begins where they ended
            for entry in self.entries.values():
                if entry.lic is not None and not others:
                    work.step(entry, ev.ClockStepped(by, slept))
            if not held:
                self.store.sidecar.release()
        return seen

    def catch_up(self, seen_at: int) -> None:
        """Begin where the last driver ended: another policy, the time that passed, what was under way.

        Args:
            seen_at: when it was last there, in milliseconds; 0 where nobody knows.

        """
        digest = encode_policy(self.policy)[0]
        entries = [entry for entry in self.entries.values() if entry.lic is not None]
        with self.work(watch=False) as work:  # at once: a kill must not leave a target without the key
            self._about_to_step(work.transaction)
            for entry in entries:
                for target in sorted(self._new_targets):
                    work.step(entry, ev.TargetNamed(target))
        self._new_targets.clear()
        for start in range(0, len(entries), BATCH):
            with self.work(watch=False) as work:
                for entry in entries[start : start + BATCH]:
                    lic = entry.live()
                    if encode_policy(lic.policy)[0] != digest:
                        self._change_policy(work, entry)
                    since = seen_at or lic.record.latest
                    work.step(entry, ev.ClockStepped(work.now - since, interrupted=True))
                    self._drop_targets(work, entry)
        self._seen = self._look()

    def _change_policy(self, work: Work, entry: Entry) -> None:
        try:
            work.step(entry, ev.PolicyChanged(self.policy))
        except InvalidValue as error:
            entry.trouble = clean_text(str(error))
            logger.error("license %s: %s", entry.id, entry.trouble, extra={"license": entry.id})

    def _drop_targets(self, work: Work, entry: Entry) -> None:
        """Nothing is owed to a target that the host no longer names."""
        lic = entry.live()
        for write in lic.record.writes:
            if write.target not in lic.targets:
                work.step(entry, ev.TargetWritten(write.target, lic.key))

    # ------------------------------------------------------------------------------------ licenses

    def add(self, license_id: str) -> None:
        """Declare a license; one that is declared already stays as it is.

        Raises:
            InvalidValue: that can be no license id.

        """
        valid_id(license_id)
        with self.work() as work:
            self._add(work, license_id)

    def _add(self, work: Work, license_id: str) -> Entry:
        if license_id not in self.entries:
            work.transaction.add_license(license_id, self._keep_policy(work.transaction)(self.policy))
            work.transaction.add_entry(license_id, work.now, ADDED, None, None, None)
            self.entries[license_id] = work.added[license_id] = Entry(license_id, 1, None, None, 0)
        return self.entries[license_id]

    def install(self, signed: str, *, force: bool, license_id: str | None) -> str:
        """Install a key by hand; the first one of a manager without licenses declares its license.

        Returns:
            The license's id.

        Raises:
            KeyRejected: the key is refused, and why; nothing changed.

        """
        key = self.trust.verify(signed)
        wanted = license_id or key.id
        with self.work() as work:
            if license_id is None and key.id not in self.entries and self.entries:
                known = ", ".join(list(self.entries)[:3])
                message = f"the key is for license {key.id}, which was not declared (there is {known}); add it first"
                raise KeyRejected(message)
            key = self._verified(signed, wanted)
            if key.type not in self.policy.grace:
                message = f"policy {self.policy.name} knows no license type {key.type}"
                raise KeyRejected(message)
            entry = self._add(work, wanted)
            if entry.lic is None or entry.lic.key.type not in self.policy.grace:
                if entry.lic is None and entry.trouble and not force:
                    message = f"license {wanted}: {entry.trouble}"
                    raise KeyRejected(message)
                work.hold(entry)
                record = first_sight(key, self.policy, work.now)
                entry.lic = License(key, self.policy, clock=self.clock, record=record, **self._options)
                entry.key_number, entry.trouble = None, ""
                work.step(entry, ev.FirstInstalled(key))
            else:
                work.step(entry, ev.Install(key, force))
        return wanted

    # ------------------------------------------------------------------------------------ telling

    def subscribe(self, function: Callable[[JournalEntry], None]) -> Callable[[], None]:
        """Tell a function of every journal entry from now on, until what is returned is called."""
        with self.lock:
            if not self.subscribers:
                self._told_to = self.store.seq
            self.subscribers = (*self.subscribers, function)

        def unsubscribe() -> None:
            with self.lock:
                self.subscribers = tuple(other for other in self.subscribers if other is not function)

        return unsubscribe

    def _tell(self) -> None:
        """Tell subscribers what was committed, in order, one thread at a time; without holding up any step."""
        while self.subscribers and self._told_to < self.store.seq and self._telling.acquire(blocking=False):
            try:
                for row in self.store.entries(None, after=self._told_to):
                    self._told_to = row["seq"]
                    entry = read_row(JournalEntry.of, row)
                    for subscriber in self.subscribers:
                        try:
                            subscriber(entry)
                        except Exception:
                            logger.exception("a subscriber failed at journal entry %s", entry.seq)
            except LicfsmError:
                logger.exception("what was stored could not be read to tell of it")
                return
            finally:
                self._telling.release()


def _targets_of(details: str | None) -> list[str]:
    """Read which targets were named when the store was opened before; what was changed by hand names none."""
    try:
        named = json.loads(details or "{}").get("targets", [])
        return [str(name) for name in named]
    except (ValueError, TypeError, AttributeError, RecursionError):
        return []
