"""What came to a development server, entry by entry."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

import attrs

__all__ = ["Entry", "Log"]

_LOGGED: Final = 10_000


@attrs.frozen(kw_only=True)
class Entry:
    """One thing that came to the server.

    Attributes:
        number: counted from 1.
        at: when, in milliseconds by the server's clock.
        license: the license's id; empty where the server did not learn it.
        stage: ``check``, ``download``, ``other``, or ``tls`` for a connection that a fault of TLS befell.
        said: the outcome that was signed, or in some words what came of it.
        fault: the fault that was commanded; empty where none was.
        status: that of HTTP; None where no answer was sent, or not all of it.

    """

    number: int
    at: int
    license: str
    stage: str
    said: str
    fault: str
    status: int | None


class Log:
    """Keeps the newest entries. Its methods may be called from any thread.

    Args:
        now_ms: tells the time in milliseconds.
        watch: called with each entry, by whoever notes it.

    """

    def __init__(self, now_ms: Callable[[], int], watch: Callable[[Entry], None] | None) -> None:
        """Begin without any."""
        self._now_ms = now_ms
        self._watch = watch
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=_LOGGED)
        self._count = 0

    @property
    def entries(self) -> list[Entry]:
        """What came, in order; of many entries the last 10,000."""
        with self._lock:
            return list(self._entries)

    def note(self, license_id: str, stage: str, said: str, fault: str, status: int | None) -> None:
        """Take down that something came; see `Entry`."""
        now = self._now_ms()
        with self._lock:
            self._count += 1
            entry = Entry(
                number=self._count, at=now, license=license_id, stage=stage, said=said, fault=fault, status=status
            )
            self._entries.append(entry)
        if self._watch:
            self._watch(entry)
