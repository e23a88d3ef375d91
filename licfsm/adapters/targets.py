"""Where keys go, for the programs that read them there: a file, or a function of the host's (rules.md 4.4).

Here is what a host may give as a target, and which file is a license's. How a file is written so that nobody ever
reads half a key, `replacing` knows.
"""

from __future__ import annotations

import inspect
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from licfsm.adapters.functions import see_that_it_returns
from licfsm.adapters.log import in_one_line
from licfsm.adapters.replacing import PREVIOUS, replace_file, unwritten
from licfsm.errors import InvalidValue
from licfsm.key import LicenseKey
from licfsm.ports import Target

__all__ = ["CallbackTarget", "FileTarget", "as_targets"]

PLACEHOLDER: Final = "{license}"
LONGEST_NAME: Final = 200
_SHOWN: Final = 120
_SEPARATORS: Final = ("/", "\\") if sys.platform == "win32" else ("/",)


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
        see_that_it_returns(thing.write, f"write of target {name or _name_of(thing)}")
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
        see_that_it_returns(function, f"target {_name_of(function, '__name__')}")

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
            return f"{self.name} is asynchronous; give a function that returns when the key is written"
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
    if text.startswith("~"):
        message = f"{text[-_SHOWN:]!r} is taken as it stands, and no ~ is replaced; give it as Path(...).expanduser()"
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
        why = self._why_not(key.id)
        return unwritten(file, why) if why else replace_file(file, data)

    def _why_not(self, license_id: str) -> str | None:
        """Refuse a license's id that leads out of the folder, or to the previous key of another license."""
        parts = [part for part in self._from_root.parts if PLACEHOLDER in part]
        if not all(part.replace(PLACEHOLDER, license_id).strip(". ") for part in parts):
            return f"the license id {license_id!r} is no name of a file or folder; write more than {PLACEHOLDER} there"
        name = self._from_root.name
        if PLACEHOLDER in name and name.replace(PLACEHOLDER, license_id).lower().endswith(PREVIOUS):
            return f"names that end in {PREVIOUS} are for the keys before; write something after {PLACEHOLDER}"
        return None


def _signed(key: LicenseKey) -> bytes:
    try:
        data = key.signed.encode()
    except UnicodeEncodeError:
        data = b""
    if not data:
        message = f"the key of {key.id} has no signed text to write; a target takes keys that were read and verified"
        raise InvalidValue(message)
    return data
