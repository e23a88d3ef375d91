"""Where keys go, for the programs that read them there: a file, or a function of the host's (rules.md 4.4).

A file is never seen half-written: the key is drafted beside it, made durable, and put in its place in one step.
A writer holds a lock on its drafts, so that the next writer knows those of a living one from those that a killed
one left behind.
"""

from __future__ import annotations

import contextlib
import errno
import inspect
import io
import os
import re
import secrets
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from licfsm.adapters.log import in_one_line, logger
from licfsm.errors import InvalidValue
from licfsm.key import LicenseKey, clean_text
from licfsm.ports import Target

if sys.platform != "win32":  # pragma: no branch
    import fcntl

__all__ = ["CallbackTarget", "FileTarget", "as_targets"]

PLACEHOLDER: Final = "{license}"
PREVIOUS: Final = ".previous"
LARGEST: Final = 16 * 1024 * 1024
"""Bytes; a file that holds more is no key of ours, and is left alone."""
LONGEST_NAME: Final = 200
_SHOWN: Final = 120
_NEW_FILE: Final = 0o644
"""Less the umask. A key is no secret: the program that reads it may well run under another account."""
_DRAFT: Final = 0o600
_TOKEN: Final = re.compile("[0-9a-f]{16}")
_ACL: Final = "system.posix_acl_access"
_ASYNCHRONOUS: Final = "is asynchronous; give a function that returns when the key is written"


# ---------------------------------------------------------------------------------------------- what a host gives


def as_targets(given: Mapping[str, Any] | Iterable[Any]) -> dict[str, Target]:
    """Read what a host gives as its targets.

    Args:
        given: paths, targets (whatever has ``write``) and functions of a key; or a mapping of names to these.
            Without a mapping, a file's name is its path as given, a function's its ``__name__``, and another
            target's its ``name``, or that of its class.

    Returns:
        Name -> target, in the order given.

    Raises:
        InvalidValue: something is no target, or a name is empty, too long, not printable, or given twice.

    """
    if isinstance(given, Mapping):
        return {_checked_name(name): _as_target(thing, name) for name, thing in given.items()}
    if isinstance(given, str | bytes | os.PathLike) or _writes(given) or not isinstance(given, Iterable):
        message = (
            f"targets must be a list of paths, targets and functions, or a mapping of names to them, "
            f"not {_kind(given)}; put it in a list"
        )
        raise InvalidValue(message)
    targets: dict[str, Target] = {}
    for thing in given:
        target = _as_target(thing)
        name = _checked_name(_name_of(target))
        if name in targets:
            message = f"two targets are called {name!r}; give a mapping of names to targets"
            raise InvalidValue(message)
        targets[name] = target
    return targets


def _as_target(thing: Any, name: str | None = None) -> Target:  # noqa: ANN401 - a host may give anything
    if isinstance(thing, str | os.PathLike):
        return FileTarget(thing)
    if isinstance(thing, io.IOBase):
        message = f"{_kind(thing)} is an open file; give its path, so that it can be replaced in one step"
        raise InvalidValue(message)
    if isinstance(thing, type):
        message = f"{thing.__name__} is a class; give a target made of it"
        raise InvalidValue(message)
    if _writes(thing):
        target: Target = thing
        return target
    if callable(thing):
        return CallbackTarget(thing) if name is None else CallbackTarget(thing, name)
    message = f"{_kind(thing)} is no target; give a path, a function of a key, or an object that has write(key)"
    raise InvalidValue(message)


def _writes(thing: object) -> bool:
    return callable(getattr(thing, "write", None))


def _kind(thing: object) -> str:
    return f"a value of type {type(thing).__name__}"


def _name_of(thing: object, attribute: str = "name") -> str:
    name = getattr(thing, attribute, None)
    return name if isinstance(name, str) else type(thing).__name__


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        shown = repr(name[:40]) if isinstance(name, str) else _kind(name)
        message = (
            f"a target's name must be 1 to {LONGEST_NAME} printable characters, not {shown}; "
            f"give a mapping of names to targets"
        )
        raise InvalidValue(message)
    return name


# ---------------------------------------------------------------------------------------------- a function


@attrs.frozen
class CallbackTarget:
    """Hands keys to a function of the host's; a `ports.Target`.

    Attributes:
        function: is called with the key; what it returns is of no account, what it raises is why the key could not
            be written.
        name: what the target is called; the function's own name unless another is given.

    Raises:
        InvalidValue: it is no function, or an asynchronous one.

    """

    function: Callable[[LicenseKey], object] = attrs.field()
    name: str = attrs.field()

    @function.validator
    def _check(self, _: object, function: object) -> None:
        if not callable(function):
            message = f"a callback must be a function of a key, not {_kind(function)}"
            raise InvalidValue(message)
        if inspect.iscoroutinefunction(function):
            message = f"{_name_of(function, '__name__')} {_ASYNCHRONOUS}"
            raise InvalidValue(message)

    @name.default
    def _own_name(self) -> str:
        return _name_of(self.function, "__name__")

    def write(self, key: LicenseKey, /) -> str | None:
        """Call the function with a key.

        Returns:
            None, or the type and text of what it raised.

        """
        try:
            result = self.function(key)
        except Exception as error:  # noqa: BLE001 - whatever the host's function raises
            return in_one_line(error)
        if inspect.iscoroutine(result):
            result.close()
            return f"{self.name} {_ASYNCHRONOUS}"
        return None


# ---------------------------------------------------------------------------------------------- a file


def _checked_path(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        message = f"a path must be text or a pathlib.Path, not {_kind(path)}"
        raise InvalidValue(message)
    try:
        fits = os.fsencode(text) and "\0" not in text
    except UnicodeEncodeError:
        fits = False
    if not fits:
        message = f"{text[:40]!r} cannot be the path of a file"
        raise InvalidValue(message)
    if text.endswith(_SEPARATORS):
        message = f"{text[-_SHOWN:]!r} is the path of a folder; add the name of the file"
        raise InvalidValue(message)
    unknown = [word for word in re.findall(r"\{[A-Za-z_ ]*\}", text) if word != PLACEHOLDER]
    if unknown:
        message = f"{unknown[0]} in {text[-_SHOWN:]!r} stands for nothing; the one placeholder is {PLACEHOLDER}"
        raise InvalidValue(message)
    return text


def _from_here(path: str) -> Path:
    try:
        return Path(path).absolute()
    except OSError as error:
        message = f"the path {path[:_SHOWN]!r} starts from the current folder, which is gone; give one from the root"
        raise InvalidValue(message) from error


@attrs.frozen
class FileTarget:
    """Writes keys to a file, exactly as they were signed; a `ports.Target`.

    The file is replaced in one step: who reads it finds the old key or the new one, whole. It keeps its mode, and its
    owner, group and access list if the system lets this process give them; nobody gains access by a write. A new
    file has the mode 0644 less the umask. A symbolic link stays: the file behind it is replaced. The key before is
    kept beside the file as ``<name>.previous``; where that fails, the log says so, and the new key is written all
    the same. A kill between the two steps leaves there what was there before.

    Attributes:
        path: of the file; a relative one is taken from the current folder at once. ``{license}`` in it stands for
            the license's id. The folder must exist.

    Raises:
        InvalidValue: it cannot be the path of a file.

    """

    path: str = attrs.field(converter=_checked_path)
    _from_root: Path = attrs.field(init=False, repr=False, eq=False)

    @_from_root.default
    def _take_from_here(self) -> Path:
        return _from_here(self.path)

    @property
    def name(self) -> str:
        """What the target is called: its path as given."""
        return self.path

    @property
    def shared(self) -> bool:
        """Whether it is the same file for every license; such a target can serve one license only."""
        return PLACEHOLDER not in self.path

    def write(self, key: LicenseKey, /) -> str | None:
        """Write a key, whole or not at all; a file that holds the same bytes already is left untouched.

        Returns:
            None, or in one line why the file could not be written, and what to do.

        Raises:
            InvalidValue: the key was made by hand: there is no signed text to write.

        """
        data = _signed(key)
        file = Path(str(self._from_root).replace(PLACEHOLDER, key.id))
        try:
            self._check_id(key.id)
            file = Path(os.path.realpath(file))
            _put(file, data)
        except _LeftAlone as refusal:
            why = str(refusal)
        except OSError as error:
            why = _why(error, file)
        else:
            return None
        return clean_text(f"{_shown(file)} cannot be written: {why}")

    def _check_id(self, license_id: str) -> None:
        """Let no license's id lead out of the folder, or to the previous key of another license."""
        parts = [part for part in self._from_root.parts if PLACEHOLDER in part]
        if not all(part.replace(PLACEHOLDER, license_id).strip(". ") for part in parts):
            message = (
                f"the license id {license_id!r} is no name of a file or folder; write more than {PLACEHOLDER} there"
            )
            raise _LeftAlone(message)
        name = self._from_root.name
        if PLACEHOLDER in name and name.replace(PLACEHOLDER, license_id).lower().endswith(PREVIOUS):
            message = f"names that end in {PREVIOUS} are for the keys before; write something after {PLACEHOLDER}"
            raise _LeftAlone(message)


class _LeftAlone(Exception):
    """Why a file is left as it is, and what to do."""


@attrs.frozen
class _Before:
    """The file that is replaced."""

    data: bytes
    status: os.stat_result


def _signed(key: LicenseKey) -> bytes:
    try:
        data = key.signed.encode()
    except UnicodeEncodeError:
        data = b""
    if not data:
        message = f"the key of {key.id} has no signed text to write; a target takes keys that were read and verified"
        raise InvalidValue(message)
    return data


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
    _SEPARATORS: Final = ("/", "\\")

    def _lock(descriptor: int) -> None:
        """Do nothing: no file that is open can be removed."""

    def _abandoned(_: Path) -> bool:
        return True

    def _liken(_: int, __: Path, ___: os.stat_result) -> None:
        """Do nothing: a file gets its rights from its folder."""

else:
    _NO_WAITING: Final = os.O_NONBLOCK
    """A pipe that has just taken the file's place holds nobody up."""
    _SEPARATORS: Final = ("/",)

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
