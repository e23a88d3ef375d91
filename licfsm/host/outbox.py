"""What is to be told goes out here: each channel on its own, each license's notices in their order.

A notice is delivered at least once: it is marked only after its channel took it, so that a kill in between has it
delivered again, under the same id. What fails is tried again after a while that doubles; a channel that fails for one
license after another is left alone for as long. Nothing is given up but a notice that is refused for itself, after a
day, since the license's later ones wait behind it; the log tells of it as an error.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from licfsm.adapters.log import in_one_line, logger
from licfsm.adapters.store import Row, Store
from licfsm.instants import HOUR, MINUTE, NEVER
from licfsm.key import clean_text
from licfsm.ports import Clock, Notice, Notifier, Refusal

__all__ = ["FAILED", "Outbox", "as_reason"]

FAILED: Final = (Exception, SystemExit, GeneratorExit, CancelledError)
"""What an adapter may raise that is its own failure; to interrupt is the user's."""

_FIRST_WAIT: Final = MINUTE
_LONGEST_WAIT: Final = HOUR
_AT_A_TIME: Final = 100
_REFUSED: Final = 30
"""After so many tries a notice that is refused for itself is given up: a day after the first, as the waits add up."""

_DOWN: Final = 3
"""When so many licenses' notices failed, and none was delivered in between, a channel is thought to be down."""


class Outbox:
    """Delivers what waits.

    Args:
        store: where it waits.
        clock: tells the time.
        channels: name -> what delivers there.

    """

    def __init__(self, store: Store, clock: Clock, channels: Mapping[str, Notifier]) -> None:
        """Begin with whatever waits."""
        self._store = store
        self._clock = clock
        self._channels = dict(channels)
        self._failing: dict[str, set[str]] = {name: set() for name in channels}
        self._rests = dict.fromkeys(channels, 0)
        self._rest_until = dict.fromkeys(channels, -NEVER)
        self._next_at: int | None = None
        self._refusals: dict[int, int] = {}
        """How often a notice was refused for itself, by its number; a restart gives it another day."""
        self._unmarked: dict[int, int] = {}
        """What was delivered and could not be marked yet: its number, and when it was delivered."""

    def look_again(self) -> None:
        """Learn that something may wait that did not before."""
        self._next_at = None

    def deliver(self, turn: Callable[[], Callable[[], bool]]) -> None:
        """Deliver what is due.

        Args:
            turn: begins the turn of a channel: gives what is asked before each of its deliveries.

        Raises:
            StoreError: what came of a delivery could not be taken down; it will be delivered again.

        """
        self._mark_delivered()
        if self.next_at() > self._clock.now_ms():
            return
        self._next_at = None
        for name, notifier in self._channels.items():
            may_go_on = turn()
            while may_go_on() and self._rest(name) <= (now := self._clock.now_ms()):
                rows = self._store.due_notices(name, now, now + _LONGEST_WAIT, _AT_A_TIME)
                if not rows:
                    break
                self._deliver_all(name, notifier, rows, may_go_on)

    def _deliver_all(self, name: str, notifier: Notifier, rows: Sequence[Row], may_go_on: Callable[[], bool]) -> None:
        for place, row in enumerate(rows):
            if (place and not may_go_on()) or self._rest(name) > self._clock.now_ms():
                return
            self._deliver(name, notifier, row)

    def _mark_delivered(self) -> None:
        for seq, at in list(self._unmarked.items()):
            self._store.mark_notice(seq, done_at=at)
            del self._unmarked[seq]

    def _deliver(self, channel: str, notifier: Notifier, row: Row) -> None:
        notice = Notice(row["id"], row["license"], row["name"], row["level"], row["text"], row["at"])
        try:
            given = notifier.deliver(notice)
            reason = as_reason(given)
        except FAILED as error:
            given, reason = None, f"the adapter of channel {channel} failed: {in_one_line(error)}"
            logger.exception("the adapter of channel %s failed at notice %s", channel, notice.id)
        now = self._clock.now_ms()
        if reason is None:
            self._failing[channel].clear()
            self._rests[channel] = 0
            self._unmarked[row["seq"]] = now
            self._mark_delivered()
            return
        attempts = row["attempts"] + 1
        refusals = self._refusals.pop(row["seq"], 0) + isinstance(given, Refusal)
        if refusals >= _REFUSED:
            self._store.mark_notice(row["seq"], attempts=attempts, done_at=now, dropped=f"given up: {reason}")
            logger.error("notice %s is given up on channel %s: %s", notice.id, channel, reason)
            return
        if refusals:
            self._refusals[row["seq"]] = refusals
        self._failing[channel].add(notice.license)
        if len(self._failing[channel]) >= _DOWN:
            self._rest_until[channel] = now + _wait(self._rests[channel])
            self._rests[channel] += 1
        self._store.mark_notice(row["seq"], attempts=attempts, next_at=now + _wait(attempts - 1), error=reason)
        if attempts == 1:
            logger.warning("notice %s could not be delivered on channel %s: %s", notice.id, channel, reason)

    def next_at(self) -> int:
        """When something is to be delivered next, in milliseconds; NEVER where nothing waits."""
        now = self._clock.now_ms()
        if self._next_at is None or now + _LONGEST_WAIT < self._next_at < NEVER:
            waiting = self._store.next_notices_at(now, now + _LONGEST_WAIT)
            self._next_at = min((max(at, self._rest(name)) for name, at in waiting.items()), default=NEVER)
        return self._next_at

    def _rest(self, channel: str) -> int:
        """Until when a channel is left alone; nothing waits for longer than it may, whatever clock told its time."""
        rest = self._rest_until.get(channel, NEVER)
        return rest if rest <= self._clock.now_ms() + _LONGEST_WAIT or rest == NEVER else -NEVER


def as_reason(given: object) -> str | None:
    """Take what an adapter returned: None, or why it failed; anything else breaks its contract."""
    if given is None:
        return None
    if isinstance(given, str):
        return clean_text(" ".join(given.split())) or "it did not say why"
    return f"the adapter broke its contract: it returned {given!r:.40}; return None on success, or the reason as text"


def _wait(times: int) -> int:
    """Say how long to wait after a failure, in milliseconds; it doubles with each one before."""
    return int(min(_FIRST_WAIT << min(max(times, 0), 16), _LONGEST_WAIT))
