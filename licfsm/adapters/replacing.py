"""A file that is replaced whole or not at all, and what an administrator is told where that cannot be done.

It is never seen half-written: what it shall hold is drafted beside it, made durable, and put in its place in one
step. A writer holds a lock on its drafts, so that the next writer knows those of a living one from those that a
killed one left behind. Nobody gains access by a replacement. This module knows files and the systems that keep
them; of what they hold only that it is called a key.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from licfsm.adapters.log import in_one_line, logger
from licfsm.key import clean_text

if sys.platform != "win32":  # pragma: no branch
    import fcntl

__all__ = ["PREVIOUS", "replace_file", "unwritten"]

PREVIOUS: Final = ".previous"
LARGEST: Final = 16 * 1024 * 1024
"""Bytes; a file that holds more is no key of ours, and is left alone."""
_SHOWN: Final = 120
_NEW_FILE: Final = 0o644
"""Less the umask. A key is no secret: the program that reads it may well run under another account."""
_DRAFT: Final = 0o600
_TOKEN: Final = re.compile("[0-9a-f]{16}")
_ACL: Final = "system.posix_acl_access"


def replace_file(file: Path, data: bytes) -> str | None:
    """Bring data to a file, whole or not at all; a file that holds the same bytes already is left untouched.

    A file that was there keeps its mode, and its owner, group and access list if the system lets this process give
    them; a new one has the mode 0644 less the umask. A symbolic link stays: the file behind it is replaced. What the
    file held before is kept beside it, under its name and `PREVIOUS`; where that fails, the log says so.

    Args:
        file: from the root; its folder must exist.
        data: what it shall hold.

    Returns:
        None, or in one line why the file could not be written, and what to do.

    """
    try:
        file = Path(os.path.realpath(file))
        _put(file, data)
    except _LeftAlone as refusal:
        why = str(refusal)
    except OSError as error:
        why = _why(error, file)
    else:
        return None
    return unwritten(file, why)


def unwritten(file: Path, why: str) -> str:
    """Tell in one clean line that a file could not be written (rules.md 8.3)."""
    return clean_text(f"{_shown(file)} cannot be written: {why}")


class _LeftAlone(Exception):
    """Why a file is left as it is, and what to do."""


@attrs.frozen
class _Before:
    """The file that is replaced."""

    data: bytes
    status: os.stat_result


def _put(file: Path, data: bytes) -> None:
    """Bring the data to the file.

    Raises:
        _LeftAlone: the file is not one to be replaced.
        OSError: it could not be done; the file is as before.

    """
    _remove_leftovers(file)
    before = _read(file)
    if before is None or before.data != data:
        _replace(file, data, before)
    _settle(file)  # also for the same bytes: who put them there may have been killed before this


def _read(file: Path) -> _Before | None:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        message = "it is a folder; add the name of the file to the path"
        raise _LeftAlone(message)
    if not stat.S_ISREG(status.st_mode):
        message = "it is a device, pipe or socket; give the path of a file"
        raise _LeftAlone(message)
    if status.st_size > LARGEST:
        message = f"it holds {status.st_size} bytes, more than any key; check the path, or move that file away"
        raise _LeftAlone(message)
    descriptor = os.open(file, os.O_RDONLY | _NO_WAITING)
    with open(descriptor, "rb") as opened:  # noqa: PTH123 - a descriptor has no path
        return _Before(opened.read(LARGEST), os.fstat(descriptor))


def _replace(file: Path, data: bytes, before: _Before | None) -> None:
    """Put the new key in its place first and the old one in its own next: a failure changes neither."""
    with contextlib.ExitStack() as drafts:
        draft = drafts.enter_context(_draft(file, data, before))
        old = None
        if before and before.data:
            with _previous_may_fail(file):
                old = drafts.enter_context(_draft(file, before.data, before))
        draft.replace(file)
        if old:
            with _previous_may_fail(file):
                old.replace(file.with_name(file.name + PREVIOUS))


@contextlib.contextmanager
def _previous_may_fail(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        logger.warning("%s: the key before cannot be kept as %s%s: %s", file, file.name, PREVIOUS, in_one_line(error))


def _settle(file: Path) -> None:
    """Make a replacement last through a power cut, where the system can."""
    if sys.platform != "win32":  # pragma: no branch
        try:
            folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            logger.warning("%s: a power cut now may undo that it was written: %s", file, in_one_line(error))


# ---------------------------------------------------------------------------------------------- drafts


@contextlib.contextmanager
def _draft(file: Path, data: bytes, like: _Before | None) -> Iterator[Path]:
    """Write a draft beside a file, durable and locked; it is gone at the end, unless it was put in its place.

    Args:
        file: whose place it shall take.
        data: what it holds.
        like: the file whose owner and mode it gets, if there is one.

    """
    draft = file.with_name(f".{file.name}~{secrets.token_hex(8)}")  # no id has ~: it is no license's file
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _DRAFT if like else _NEW_FILE)
    try:
        with open(descriptor, "wb") as opened:  # noqa: PTH123 - a descriptor has no path
            _lock(descriptor)
            opened.write(data)
            opened.flush()
            if like:
                _liken(descriptor, file, like.status)
            os.fsync(descriptor)
            if sys.platform == "win32":  # pragma: no cover
                opened.close()  # it moves no file that is open
            yield draft
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def _remove_leftovers(file: Path) -> None:
    """Remove the drafts of this file that killed writers left behind."""
    ours = f".{file.name}~"
    with contextlib.suppress(OSError):  # a folder that cannot be listed can still be written to
        with os.scandir(file.parent) as entries:  # fast where every one of many licenses has its file
            found = [entry.name for entry in entries if entry.name.startswith(ours)]
        for draft in map(file.with_name, found):
            if _TOKEN.fullmatch(draft.name, len(ours)) and _abandoned(draft):
                with contextlib.suppress(OSError):
                    draft.unlink()


if sys.platform == "win32":  # pragma: no cover - no Windows at hand
    _NO_WAITING: Final = 0

    def _lock(descriptor: int) -> None:
        """Do nothing: no file that is open can be removed."""

    def _abandoned(_: Path) -> bool:
        return True

    def _liken(_: int, __: Path, ___: os.stat_result) -> None:
        """Do nothing: a file gets its rights from its folder."""

else:
    _NO_WAITING: Final = os.O_NONBLOCK
    """A pipe that has just taken the file's place holds nobody up."""

    def _lock(descriptor: int) -> None:
        with contextlib.suppress(OSError):  # some file systems know no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _abandoned(draft: Path) -> bool:
        """Say whether no living writer holds a draft."""
        try:
            descriptor = os.open(draft, os.O_RDONLY | os.O_NOFOLLOW | _NO_WAITING)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # no locks here; at worst a living writer fails, and tries again
        finally:
            os.close(descriptor)
        return True

    def _liken(descriptor: int, file: Path, status: os.stat_result) -> None:
        """Give a draft the owner, group, mode and attributes of a file, as far as the system lets us.

        Where group or access list cannot be kept, the group that it has now may do no more than everybody.
        """
        made = os.fstat(descriptor)
        group_kept = made.st_gid == status.st_gid or _give(descriptor, file, group=status.st_gid)
        if made.st_uid != status.st_uid:
            _give(descriptor, file, owner=status.st_uid)
        mode = stat.S_IMODE(status.st_mode) & 0o777
        if not (_copy_attributes(descriptor, file) and group_kept):
            mode &= 0o707 | (mode & 0o007) << 3
        if mode != stat.S_IMODE(os.fstat(descriptor).st_mode):
            os.fchmod(descriptor, mode)

    def _give(descriptor: int, file: Path, owner: int = -1, group: int = -1) -> bool:
        try:
            os.fchown(descriptor, owner, group)
        except OSError as error:
            what = "owner" if group == -1 else "group"
            logger.warning("%s: it cannot keep its %s, and is written all the same: %s", file, what, in_one_line(error))
            return False
        return True


def _copy_attributes(descriptor: int, file: Path) -> bool:
    """Copy extended attributes, and say whether the draft has the file's access list: that one, or none."""
    if sys.platform != "linux":
        return True
    try:
        names = os.listxattr(file)
    except OSError:
        names = []  # there are none on this file system
    if _ACL not in names:
        with contextlib.suppress(OSError):  # it inherited none from its folder
            os.removexattr(descriptor, _ACL)
    kept = True
    for name in names:
        try:
            os.setxattr(descriptor, name, os.getxattr(file, name))
        except OSError:
            kept = kept and name != _ACL
    return kept


# ---------------------------------------------------------------------------------------------- reasons

_FORBIDDEN: Final = "no permission; let the account of this program read the file and write in the folder {folder}"
_READ_ONLY: Final = "the file system of {folder} is read-only; make it writable, or give another path"
_TOO_LONG: Final = "the name is too long; give a shorter path"
_REASONS: Final = {
    errno.ENOENT: "the folder {folder} is missing; create it",
    errno.ENOTDIR: "{folder} is no folder; move away the file that stands in its place",
    errno.EISDIR: "it is a folder; add the name of the file to the path",
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: _READ_ONLY,
    errno.ENOSPC: "the disk is full; free some space on that of {folder}",
    errno.EDQUOT: "the disk quota is used up; free some space, or raise it",
    errno.EFBIG: "this process may write no file of that size; raise its limit (ulimit -f)",
    errno.EBUSY: "it is in use, or a mount point of its own; close what uses it, or mount its folder instead",
    errno.ENAMETOOLONG: _TOO_LONG,
    errno.ELOOP: "its symbolic links lead in a circle; remove one of them",
    errno.EIO: "the disk reports an error; check it",
}
_DENIED: Final = (
    "it is open in another program or read-only, or there is no permission; close that program, or allow it"
)
_IN_USE: Final = "it is in use by another program; close that program"
_WINDOWS_REASONS: Final = {
    5: _DENIED,
    19: _READ_ONLY,
    32: _IN_USE,
    33: _IN_USE,
    123: "the path holds characters that no file's name may have; give another path",
    206: _TOO_LONG,
}


def _why(error: OSError, file: Path) -> str:
    """Tell an administrator what an error of the file system means, and what to do."""
    words = _WINDOWS_REASONS.get(getattr(error, "winerror", None) or 0)
    if words is None and error.errno == errno.ENOENT and os.path.isdir(file.parent):  # noqa: PTH112 - it raises nothing
        words = "no file can be made in {folder}, or another program removed it; let only one program write there"
    words = words or _REASONS.get(error.errno or 0)
    return words.format(folder=_shown(file.parent)) if words else f"the system reports: {error.strerror or error}"


def _shown(path: Path) -> str:
    text = str(path)
    return text if len(text) <= _SHOWN else f"…{text[-_SHOWN:]}"
