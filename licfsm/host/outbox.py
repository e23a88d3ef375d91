"""What is to be told goes out here: each channel on its own, each license's notices in their order.

A notice is delivered at least once: it is marked only after its channel took it, so that a kill in between has it
delivered again, under the same id. What fails is tried again after a while that doubles; a channel that fails for one
license after another is left alone for as long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from licfsm.adapters.log import in_one_line, logger
from licfsm.adapters.store import Row, Store
from licfsm.instants import HOUR, MINUTE, NEVER
from licfsm.key import clean_text
from licfsm.ports import Clock, Notice, Notifier

__all__ = ["Outbox"]

_FIRST_WAIT: Final = MINUTE
_LONGEST_WAIT: Final = HOUR
_AT_A_TIME: Final = 100
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

    def look_again(self) -> None:
        """Learn that something may wait that did not before."""
        self._next_at = None

    def deliver(self, may_go_on: Callable[[], bool]) -> None:
        """Deliver what is due.

        Args:
            may_go_on: asked before each delivery.

        Raises:
            StoreError: what came of a delivery could not be taken down; it will be delivered again.

        """
        if self.next_at() > self._clock.now_ms():
            return
        self._next_at = None
        for name, notifier in self._channels.items():
            while may_go_on() and self._rest_until[name] <= self._clock.now_ms():
                rows = self._store.due_notices(name, self._clock.now_ms(), _AT_A_TIME)
                if not rows:
                    break
                for row in rows:
                    if not may_go_on() or self._rest_until[name] > self._clock.now_ms():
                        break
                    self._deliver(name, notifier, row)

    def _deliver(self, channel: str, notifier: Notifier, row: Row) -> None:
        notice = Notice(row["id"], row["license"], row["name"], row["level"], row["text"], row["at"])
        try:
            reason = notifier.deliver(notice)
        except Exception as error:
            reason = f"the adapter of channel {channel} failed: {in_one_line(error)}"
            logger.exception("the adapter of channel %s failed at notice %s", channel, notice.id)
        now = self._clock.now_ms()
        if reason is None:
            self._failing[channel].clear()
            self._rests[channel] = 0
            self._store.mark_notice(row["seq"], done_at=now)
            return
        attempts = row["attempts"] + 1
        self._failing[channel].add(notice.license)
        if len(self._failing[channel]) >= _DOWN:
            self._rest_until[channel] = now + _wait(self._rests[channel])
            self._rests[channel] += 1
        why = clean_text(reason)
        self._store.mark_notice(row["seq"], attempts=attempts, next_at=now + _wait(attempts - 1), error=why)
        if attempts == 1:
            logger.warning("notice %s could not be delivered on channel %s: %s", notice.id, channel, why)

    def next_at(self) -> int:
        """When something is to be delivered next, in milliseconds; NEVER where nothing waits."""
        if self._next_at is None:
            waiting = self._store.next_notices_at()
            self._next_at = min(
                (max(waiting[name], rest) for name, rest in self._rest_until.items() if name in waiting), default=NEVER
            )
        return self._next_at

    def bring_forward(self) -> None:
        """Try everything again now: its times were told by a clock that was set back since."""
        self._rest_until = dict.fromkeys(self._channels, -NEVER)
        self._next_at = None
        self._store.bring_forward(self._clock.now_ms())


def _wait(times: int) -> int:
    """Say how long to wait after a failure, in milliseconds; it doubles with each one before."""
    return int(min(_FIRST_WAIT << min(times, 16), _LONGEST_WAIT))
