"""What is done within one transaction: steps of licenses, and what they lead to, taken down as rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from licfsm import effects as fx
from licfsm import events as ev
from licfsm.adapters.store import Transaction
from licfsm.host.codec import encode_event, encode_moves, encode_record
from licfsm.host.entry import Before, Entry
from licfsm.key import LicenseKey, clean_text
from licfsm.policy import Policy
from licfsm.record import Record

__all__ = ["Work"]

_UNTOLD: Final = (ev.Tick, ev.ClockStepped, ev.Restarted)
"""Events that are not worth an entry where nothing comes of them."""


class Work:
    """What is done within one transaction."""

    def __init__(
        self,
        transaction: Transaction,
        now: int,
        keep_policy: Callable[[Policy], str],
        about_to_step: Callable[[Transaction], None],
    ) -> None:
        """Begin with nothing."""
        self._about_to_step = about_to_step
        self._keep_policy = keep_policy
        self.transaction = transaction
        self.now = now
        self.before: dict[str, Before] = {}
        self.added: dict[str, Entry] = {}
        self.changed: dict[str, Entry] = {}
        self.notices = 0
        self.writes: list[tuple[str, fx.WriteTarget]] = []

    def hold(self, entry: Entry) -> None:
        """Remember how an entry was, should the transaction fail."""
        if entry.id not in self.before:
            self.before[entry.id] = Before.of(entry)

    def step(self, entry: Entry, event: ev.Event) -> list[fx.Effect]:
        """Let a license take a step, and take down what it leads to.

        Raises:
            KeyRejected: a key installed by hand is refused.

        """
        self.hold(entry)
        lic = entry.live()
        before, key, number = lic.record, lic.key, entry.key_number
        effects = lic.step(event, self.now)
        if not effects and isinstance(event, _UNTOLD) and not self._matters(event, before, lic.record):
            return effects
        self._about_to_step(self.transaction)
        name, details = encode_event(event, lambda other: self._number(entry, key, number, other))
        offered = getattr(event, "key", None)
        if offered is not None and offered == lic.key and offered.signed != lic.key.signed:
            lic.key = offered  # the same key under another trusted signature: the latest is kept
            entry.key_number = self._number(entry, None, None, offered)
        self.changed[entry.id] = entry
        moves: list[fx.Moved] = []
        outcome = None
        for effect in effects:
            kind = type(effect)
            if kind is fx.Moved:
                moves.append(effect)  # type: ignore[arg-type]
            elif kind is fx.Checked:
                outcome = effect.outcome  # type: ignore[union-attr]
            elif kind is not fx.Ask:
                self._take_down(entry, effect, outcome)
        moved = encode_moves(moves) if moves else None
        self.transaction.add_entry(entry.id, self.now, name, details, moved, outcome)
        return effects

    def _matters(self, event: ev.Event, before: Record, after: Record) -> bool:
        """Say whether an event of which nothing came changed what must survive: the memory alone follows the clock."""
        ahead = before.latest != after.latest > self.now  # a clock set back by little (rules.md 7.5)
        return not _same(before, after) or (ahead and isinstance(event, ev.ClockStepped))

    def _take_down(self, entry: Entry, effect: fx.Effect, outcome: str | None) -> None:
        if isinstance(effect, fx.Session):
            messages = [clean_text(message) for message in effect.messages]
            self.transaction.add_session(
                entry.id, effect.attempt, effect.started, effect.ended, outcome, effect.result, messages
            )
        elif isinstance(effect, fx.Notify):
            self._notify(entry, effect)
        elif isinstance(effect, fx.SaveKey):
            entry.key_number = self._number(entry, None, None, effect.key)
        elif isinstance(effect, fx.WriteTarget):
            self.writes.append((entry.id, effect))
        elif isinstance(effect, fx.SessionAmended):
            self.transaction.amend_session(entry.id, effect.attempt, effect.result, clean_text(effect.message))

    def _number(self, entry: Entry, key: LicenseKey | None, number: int | None, other: LicenseKey) -> int:
        """Find by which number the store knows a key; one that it does not know yet is kept there first."""
        if number is not None and other is key:
            return number
        return self.transaction.add_key(entry.id, other.signed)

    def _notify(self, entry: Entry, notice: fx.Notify) -> None:
        entry.notices += 1
        self.notices += 1
        for channel in notice.channels:
            self.transaction.add_notice(
                f"{entry.id}.{entry.notices}.{self.now}",
                entry.id,
                channel,
                notice.name,
                notice.level,
                notice.said_on(channel),
                self.now,
                done=channel == "report",
            )

    def undo(self) -> None:
        """Let the licenses be as they were."""
        for before in self.before.values():
            before.restore()

    def save(self) -> None:
        """Replace the rows of all licenses that took a step."""
        for entry in self.changed.values():
            lic = entry.live()
            digest = self._keep_policy(lic.policy)
            values = (entry.key_number, digest, lic.due(), entry.notices, *encode_record(lic.record))
            self.transaction.save(entry.id, entry.version, values)
            entry.version += 1


def _same(one: Record, other: Record) -> bool:
    """Say whether two records differ in nothing but the memory of the time."""
    return all(getattr(one, name) == getattr(other, name) for name in Record.__slots__ if name != "latest")
