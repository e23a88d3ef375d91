"""One tree of errors, so that a host can catch by meaning.

    LicfsmError
    ├── InvalidValue     a value breaks its rule (an id, a date, a zone, a span)   also a ValueError
    ├── InvalidFile      a policy or scenario file, with every mistake's place
    ├── InvalidTable     the lifecycle's table contradicts itself (a bug in this package)
    ├── KeyRejected      an install by hand was refused; nothing changed (rules.md 6.5)
    ├── UnknownLicense   no license of that id is declared, or none was named and there is not exactly one
    ├── UnknownOperation the host declared no such operation
    ├── NotInstalled     the license has no key yet
    ├── WrongProcess     the manager was opened before a fork, or is closed
    └── StoreError       the store cannot be read or written now (a full disk, a lock held too long)
        ├── StoreDamaged     it is not what a store must be; it was left as it is
        └── StoreTooNew      a newer version of this package made it; it was left as it is

Expected failures of background work (a server that is down, a refused key in an answer) are no
errors: they are outcomes (rules.md 4.1).
"""

from __future__ import annotations

import attrs

__all__ = [
    "InvalidFile",
    "InvalidTable",
    "InvalidValue",
    "KeyRejected",
    "LicfsmError",
    "Mistake",
    "NotInstalled",
    "StoreDamaged",
    "StoreError",
    "StoreTooNew",
    "UnknownLicense",
    "UnknownOperation",
    "WrongProcess",
]


class LicfsmError(Exception):
    """The root: every error that this package raises on purpose."""


class InvalidValue(LicfsmError, ValueError):
    """A value breaks its rule; the message says which, and what to do."""


class InvalidTable(LicfsmError):
    """The lifecycle's table contradicts itself; the message lists every contradiction."""


class KeyRejected(LicfsmError):
    """A key installed by hand was refused; nothing changed (rules.md 4.3, 6.5)."""


class UnknownLicense(LicfsmError, LookupError):
    """No license of that id is declared, or none was named and there is not exactly one."""


class UnknownOperation(LicfsmError, LookupError):
    """The host declared no operation of that name."""


class NotInstalled(LicfsmError):
    """The license has no key yet; what was asked for needs one."""


class WrongProcess(LicfsmError):
    """The manager was opened before a fork, or is closed: open one of your own."""


class StoreError(LicfsmError):
    """The store cannot be read or written now; nothing was lost, and the same can be tried again."""


class StoreDamaged(StoreError):
    """The file is not what a store must be; it was left as it is."""


class StoreTooNew(StoreError):
    """A newer version of this package made the store; it was left as it is."""


@attrs.frozen(order=True)
class Mistake:
    """One mistake in a file.

    Attributes:
        file: the file as the user named it.
        line: counted from 1.
        column: counted from 1.
        message: what is wrong, and the nearest right word.
    """

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        """Give the form that editors and terminals make clickable."""
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class InvalidFile(LicfsmError):
    """A file with mistakes; ``mistakes`` has all of them, in the file's order."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        """Take the mistakes found; at least one."""
        self.mistakes = sorted(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))
