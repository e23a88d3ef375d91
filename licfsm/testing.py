"""For the tests of a host: a license server that follows a script, keys signed on the spot, a clock moved by hand.

    def test_a_renewed_license_works_on(license_world):
        world = license_world("veeam-9", start="2025-02-01", operations={"replication": "paid"})
        world.install(expires="2025-02-14")
        world.server.will("generation_failed", "connection_failed", world.renewal(expires="2026-02-14"))
        world.manager.enable_auto_update()
        world.run(until="2025-03-01")
        assert world.manager.allows("replication")

The fixture ``license_world`` is there once a conftest.py says ``pytest_plugins = ["licfsm.testing"]``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs

from licfsm import instants
from licfsm.adapters.clock import ManualClock
from licfsm.adapters.key_pairs import SigningKey
from licfsm.adapters.keys import sign
from licfsm.errors import InvalidValue
from licfsm.host.manager import LicenseManager
from licfsm.instants import SECOND
from licfsm.key import LicenseKey
from licfsm.policy import Policy
from licfsm.ports import Answer, Notice, Question

__all__ = ["CollectingNotifier", "LicenseWorld", "ManualClock", "ScriptedServer"]

Reply = Answer | LicenseKey | str | BaseException | Callable[[Question], Answer]
"""What a server may be told to reply: an outcome's name, a new key, an answer, what to raise, or a function."""


_KEPT: Final = ("id", "type", "zone", "expires", "product", "edition", "holder", "counts")


class ScriptedServer:
    """A license server that gives its replies in order, and the last one ever after.

    Attributes:
        questions: what it was asked so far.

    """

    def __init__(self, *replies: Reply) -> None:
        """Take the replies; by default there is never a newer key."""
        self.questions: list[Question] = []
        self.will(*(replies or ("up_to_date",)))

    def will(self, *replies: Reply) -> None:
        """Give these replies from now on, in order, and the last one ever after.

        Raises:
            InvalidValue: something is no reply, or there is none.

        """
        if not replies:
            message = "a script needs one reply at least"
            raise InvalidValue(message)
        self._replies = [_as_reply(reply) for reply in replies]

    def ask(self, question: Question) -> Answer:
        """Give the next reply."""
        self.questions.append(question)
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        if isinstance(reply, BaseException):
            raise reply
        return reply if isinstance(reply, Answer) else reply(question)


def _as_reply(given: Reply) -> Answer | BaseException | Callable[[Question], Answer]:
    if isinstance(given, str):
        return Answer(given)
    if isinstance(given, LicenseKey):
        return Answer("new_key", given)
    if isinstance(given, Answer | BaseException) or callable(given):
        return given
    message = f"a reply is an outcome's name, a key, an Answer, what to raise, or a function; not {given!r}"
    raise InvalidValue(message)


class CollectingNotifier:
    """Collects notices; says that it cannot deliver them while `down` has a reason.

    Attributes:
        notices: what was delivered, in order.
        down: why nothing can be delivered now; None where all is well.

    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.notices: list[Notice] = []
        self.down: str | None = None

    @property
    def names(self) -> list[str]:
        """The names of the notices that were delivered."""
        return [notice.name for notice in self.notices]

    def deliver(self, notice: Notice, /) -> str | None:
        """Take a notice."""
        if self.down is None:
            self.notices.append(notice)
        return self.down


@attrs.define
class LicenseWorld:
    """A manager, and everything around it that a test moves by hand.

    Attributes:
        manager: the manager; its store is in memory unless the test names a file.
        clock: its clock.
        server: the license server.
        mail: what was mailed.
        signing: the key whose signatures the manager trusts.

    """

    manager: LicenseManager
    clock: ManualClock
    server: ScriptedServer
    mail: CollectingNotifier
    signing: SigningKey

    def key(self, **values: Any) -> LicenseKey:  # noqa: ANN401 - whatever a key may say
        """Make a signed key: of ``ACME-1``, a subscription, issued now, unless told otherwise."""
        told = {"id": "ACME-1", "type": "subscription", "issued": instants.isoformat(self.clock.now_ms())} | values
        return sign(LicenseKey(**told), self.signing)

    def install(self, *, force: bool = False, **values: Any) -> LicenseKey:  # noqa: ANN401 - likewise
        """Make a signed key and install it by hand."""
        key = self.key(**values)
        self.manager.install(key.signed, force=force)
        return key

    def renewal(self, **values: Any) -> Callable[[Question], Answer]:  # noqa: ANN401 - likewise
        """Make a reply for the server: a key like the installed one but for these values, issued when it is asked.

        A key that is so already is up to date. One that was issued at this very instant, or later, is followed by one
        of a second later: a server gives no other key for a newer one (rules.md 4.3).
        """

        def reply(question: Question) -> Answer:
            old = question.key
            told = {name: getattr(old, name) for name in _KEPT}
            issued = max(self.clock.now_ms(), old.issued_at + SECOND)
            key = self.key(**{"issued": instants.isoformat(issued)} | told | values)
            same = all(getattr(key, name) == told[name] for name in _KEPT)
            return Answer("up_to_date") if same else Answer("new_key", key)

        return reply

    def run(self, *, until: str | dt.datetime, perform: bool = True) -> None:
        """Let time go by, through every instant at which something is due, never over one.

        Args:
            until: a datetime, or ISO text in UTC; what is due at that very instant still happens.
            perform: whether the server is asked, and keys and notices are delivered.

        Raises:
            InvalidValue: that lies before the clock; it is set back by its own ``set_to``.

        """
        end = ManualClock(until).now
        if end < self.clock.now:
            message = f"{until} lies before the clock, {self.clock.now.isoformat()}; to set it back, call clock.set_to"
            raise InvalidValue(message)
        while True:
            self.manager.tick(perform=perform)
            due = self.manager.next_due(perform=perform)
            if self.clock.now >= end:
                return
            if due is not None and due <= self.clock.now:
                message = "something is due that a tick does not do; is another thread at it?"
                raise RuntimeError(message)
            self.clock.move_to(end if due is None else min(due, end))


_START: Final = "2025-02-01"


def make_world(policy: Policy | str = "veeam-9", *, start: str = _START, **options: Any) -> LicenseWorld:  # noqa: ANN401
    """Make a manager with everything around it.

    Args:
        policy: a built-in policy's name, or a `Policy`.
        start: where the clock stands.
        options: of `LicenseManager.open`; by default a store in memory, and mail.

    """
    signing = options.pop("signing", None) or SigningKey.generate()
    clock = options.pop("clock", None) or ManualClock(start)
    server = options.pop("server", None) or ScriptedServer()
    mail = options.pop("mail", None) or CollectingNotifier()
    given = {"store": ":memory:", "spread": "0 minutes", "trust": [signing.public]} | options
    manager = LicenseManager.open(policy=policy, clock=clock, server=server, mail=mail, **given)
    return LicenseWorld(manager, clock, server, mail, signing)


try:
    import pytest
except ImportError:  # a host's own tools may use the rest without it
    pass
else:

    @pytest.fixture
    def license_world() -> Iterator[Callable[..., LicenseWorld]]:
        """Make worlds: ``license_world(policy, *, start=..., store=..., ...)``, see `make_world` for what it takes.

        Their managers are closed at the end of the test.
        """
        made: list[LicenseWorld] = []

        def make(*arguments: Any, **options: Any) -> LicenseWorld:  # noqa: ANN401 - those of make_world
            made.append(make_world(*arguments, **options))
            return made[-1]

        yield make
        for world in made:
            world.manager.close()
