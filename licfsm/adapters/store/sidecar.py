"""The file beside a store: who drives it, and how far it had come.

The lock belongs to the operating system, so that a killed process leaves none behind. The mark tells what the store
itself cannot: that it is an old copy of itself (its journal is shorter than it once was), that it was emptied,
and when the host was last there. It is written without waiting for the disk, after the store's own commit: where it
is lost, it is only behind, which means nothing.
"""

from __future__ import annotations

import os
import re
import weakref
from pathlib import Path
from typing import Final, NamedTuple

from licfsm.errors import StoreError

__all__ = ["Mark", "Sidecar", "is_there"]

_FORM: Final = re.compile(rb"licfsm ([0-9a-f]{32}) (\d{19}) (\d{19})\n")
_TRIES: Final = 3
"""How often a file is opened anew that was replaced before it could be locked."""

_LOCKED_BYTE: Final = 1 << 30
"""Windows locks bytes, not files: one far behind the mark, so that the mark can be read."""


class Mark(NamedTuple):
    """How far a store had come.

    Attributes:
        store: the store's id.
        seq: the number of its latest journal entry.
        seen_at: when its driver last looked at the clock, in milliseconds; 0 for never.

    """

    store: str
    seq: int
    seen_at: int


class Sidecar:
    """The file beside a store; None for a store in memory, which nobody else can see."""

    def __init__(self, path: Path | None) -> None:
        """Name the file; nothing is opened until it is needed."""
        self.path = path
        self._file: int | None = None
        self._closing: weakref.finalize[..., Sidecar] | None = None
        self._kept: Mark | None = None
        self.held = False
        _ALL.add(self)

    def acquire(self) -> bool:
        """Take the lock if nobody else has it.

        Raises:
            StoreError: the file cannot be made.

        """
        self.leave_what_is_gone()
        for _ in range(_TRIES):
            self.held = self.held or self.path is None or _lock(self._open())
            if not self.held or not self.leave_what_is_gone():
                break  # or the file was replaced in between
        return self.held

    def leave_what_is_gone(self) -> bool:
        """Give up a file that was removed or replaced: its lock keeps nobody away who opens the new one.

        Returns:
            Whether there was one.

        """
        if self.path is None or self._file is None or is_there(self.path, os.fstat(self._file)):
            return False
        self.close()
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self.held and self._file is not None:
            _unlock(self._file)
        self.held = False

    def read(self) -> Mark | None:
        """Read the mark; None where there is none, or none that can be read."""
        if self.path is None:
            return self._kept
        try:
            with self.path.open("rb") as file:
                found = _FORM.match(file.read(128))
        except OSError:
            return None
        return Mark(found[1].decode(), int(found[2]), int(found[3])) if found else None

    def write(self, mark: Mark) -> None:
        """Write the mark, if the lock is held: only the driver does."""
        self._kept = mark
        if self.held and self._file is not None:
            text = f"licfsm {mark.store} {mark.seq:019d} {max(mark.seen_at, 0):019d}\n".encode()
            try:
                os.lseek(self._file, 0, os.SEEK_SET)
                os.write(self._file, text)
            except OSError:
                return  # a full disk: the old mark is behind, which means nothing

    def close(self) -> None:
        """Give everything back; the file stays."""
        self.held = False
        if self._closing is not None:
            self._closing()  # also where nobody closes it, as its object goes
            self._closing = self._file = None

    def _open(self) -> int:
        if self._file is None:
            try:
                self._file = os.open(str(self.path), os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
            except OSError as error:
                there = os.path.exists(str(self.path))  # noqa: PTH110 - Path's raises where a folder is barred
                what = "it" if there else "the folder of the store"
                message = f"cannot open {self.path}: {error.strerror}; {what} must be writable for this user"
                raise StoreError(message) from None
            self._closing = weakref.finalize(self, os.close, self._file)
        return self._file


def is_there(path: Path, file: os.stat_result) -> bool:
    """Say whether a file that was opened has its name still; where nobody can tell, it has."""
    try:
        return os.path.samestat(path.stat(), file)
    except FileNotFoundError:
        return False
    except OSError:
        return True


_ALL: Final[weakref.WeakSet[Sidecar]] = weakref.WeakSet()


def _let_go() -> None:
    """After a fork: the child must not keep its parent's lock alive."""
    for sidecar in list(_ALL):
        sidecar.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)

if os.name == "nt":  # pragma: no cover - where Windows is
    import msvcrt

    def _lock(file: int) -> bool:
        os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True

    def _unlock(file: int) -> None:
        os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined,unused-ignore]

else:
    import fcntl

    def _lock(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
