"""What the world must offer. These docs are the contract that every adapter keeps.

Nothing here decides a rule: an adapter says what is, or does what an effect says, and reports the outcome. All of them
are called one at a time, from the thread that drives, and are waited for: none of them may be asynchronous.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import attrs

from licfsm.errors import InvalidValue
from licfsm.key import LicenseKey
from licfsm.policy import OUTCOMES

__all__ = ["Answer", "Clock", "HostClock", "LicenseServer", "Notice", "Notifier", "Question", "Refusal", "Target"]


@runtime_checkable
class Clock(Protocol):
    """Tells the time."""

    def now_ms(self) -> int:
        """Tell the time in milliseconds since 1970 in UTC; it may step either way."""
        ...


@runtime_checkable
class HostClock(Clock, Protocol):
    """Tells the time, and how long the host ran: a host notices by it that the time was set, or that it slept."""

    def running_ms(self) -> int:
        """Tell for how many milliseconds the host has been awake, from any start; it never steps."""
        ...

    def asleep_ms(self) -> int:
        """Tell for how many milliseconds the host has slept, from the same start; 0 where nobody can tell."""
        ...


@attrs.frozen
class Question:
    """What a license asks its server.

    Attributes:
        attempt: the attempt's number.
        key: the key that is installed.
        asked_at: when, in milliseconds by the host's clock.

    """

    attempt: int
    key: LicenseKey
    asked_at: int


@attrs.frozen
class Answer:
    """What an attempt came to.

    Attributes:
        outcome: one of `policy.OUTCOMES`.
        key: the key that came with ``new_key``. A manager takes its signed text as well, and verifies it in any
            case; a simulated server may give a function that makes it out of the key that is installed when the
            answer arrives.
        retry_after: when the server wants to be asked again, in milliseconds.
        signed_time: the time the server signed, in milliseconds; None where it signed none.
        takes: how long the answer was under way, in milliseconds; simulated servers only.
        detail: what went wrong, in words that an administrator can act on; the session's entry and the notice of the
            failure say it behind the outcome's own text.

    """

    outcome: str
    key: LicenseKey | str | Callable[[LicenseKey], LicenseKey] | None = None
    retry_after: int | None = None
    signed_time: int | None = None
    takes: int = 0
    detail: str = ""

    def __attrs_post_init__(self) -> None:
        """See that it is an answer.

        Raises:
            InvalidValue: a part of it is not what it must be; the message names the part.

        """
        if self.outcome not in OUTCOMES:
            message = f"outcome must be one of {', '.join(OUTCOMES)}; not {self.outcome!r}"
            raise InvalidValue(message)
        given = self.key is None or isinstance(self.key, LicenseKey | str) or callable(self.key)
        if not given or (self.outcome == "new_key" and self.key is None):
            message = "new_key comes with its key: the verified LicenseKey, or its signed text"
            raise InvalidValue(message)
        for name in ("retry_after", "signed_time", "takes"):
            value = getattr(self, name)
            if not (type(value) is int or (value is None and name != "takes")):
                message = f"{name} must be whole milliseconds, or None; not {value!r}"
                raise InvalidValue(message)
        if not isinstance(self.detail, str):
            message = f"detail must be text, not {self.detail!r:.80}"
            raise InvalidValue(message)


@runtime_checkable
class LicenseServer(Protocol):
    """Gives new keys."""

    def ask(self, question: Question) -> Answer:
        """Ask for a newer key, and say what came of it; whatever goes wrong is an outcome, no exception."""
        ...


class Target(Protocol):
    """Holds the key for a program that reads it there: a file, another server."""

    def write(self, key: LicenseKey, /) -> str | None:
        """Write a key, whole or not at all; a target that holds the same bytes already is written.

        Returns:
            None, or why it could not be written.

        """
        ...


@attrs.frozen
class Notice:
    """One thing to tell people (rules.md 8.2).

    Attributes:
        id: the same whenever the same notice is delivered again, and no other's: ``ACME-1.7.1739491200000``.
        license: which license it is about.
        name: one of the notices of rules.md 8.2.
        level: ``info``, ``warning`` or ``error``.
        text: in one line; what keys and servers said in it is cleaned (8.3).
        at: when it came about, in milliseconds by the host's clock.

    """

    id: str
    license: str
    name: str
    level: str
    text: str
    at: int


class Refusal(str):
    """Why a notice itself is refused for good, as by a filter: it is tried for a day all the same, and then given up."""

    __slots__ = ()


@runtime_checkable
class Notifier(Protocol):
    """Tells people on one channel, such as mail."""

    def deliver(self, notice: Notice, /) -> str | None:
        """Deliver a notice; it may come again with the same id where nobody knows whether it was delivered.

        Returns:
            None, or why it could not be delivered; it is tried again. A `Refusal` says that the notice itself was
            refused, so that the license's later ones need not wait for it.

        """
        ...
