"""What a host gives when it opens a manager, checked before anything is opened."""

from __future__ import annotations

import codecs
import datetime as dt
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from licfsm import instants
from licfsm.adapters.clock import SystemClock
from licfsm.adapters.functions import see_that_it_returns
from licfsm.adapters.keys import TrustedKeys
from licfsm.adapters.targets import FileTarget, as_targets
from licfsm.errors import InvalidValue
from licfsm.instants import Span
from licfsm.key import clean_text
from licfsm.license import OPERATIONS
from licfsm.policy import MAIL_REPEATS, Policy, named
from licfsm.ports import Clock, LicenseServer, Notifier, Target

if TYPE_CHECKING:
    from licfsm.adapters.server import HttpsServer

__all__ = ["Settings", "read_key"]

_SIGNED: Final = re.compile(r"\s*(e[w-z][\w-]{18,}\.[\w-]+\.[\w-]+|[\w-]+\.[\w-]+\.[\w-]{86})\s*", re.ASCII)
"""Signed text: what begins as a JSON object does in base64url, or ends as an Ed25519 signature does."""
_SHOWN_PATH: Final = 80
_LONGEST_SPREAD: Final = 7 * instants.DAY
_LARGEST_KEY: Final = 1 << 20
_KNOWN: Final = {
    "policy": "a built-in policy's name or a Policy",
    "product": "a text",
    "server": "an https:// address, or a LicenseServer (an object that has ask(question), see licfsm.ports)",
    "mail": "a licfsm.Mail, or another Notifier (an object that has deliver(notice), see licfsm.ports)",
    "clock": "a Clock (an object that has now_ms(), see licfsm.ports)",
}


@attrs.frozen(kw_only=True)
class Settings:
    """What a host gives; see `manager.LicenseManager.open` for what each means.

    ``made_server`` is the client that was made of an address: the manager's to close.
    """

    licenses: tuple[str, ...]
    policy: Policy
    trust: TrustedKeys
    server: LicenseServer | None
    made_server: HttpsServer | None
    targets: Mapping[str, Target]
    mail: Notifier | None
    operations: Mapping[str, str]
    product: str | None
    mail_repeat: str | None
    spread: Span
    keep: Span
    clock: Clock

    @classmethod
    def checked(
        cls,
        *,
        licenses: Iterable[str],
        policy: Policy | str,
        trust: object,
        server: LicenseServer | str | None,
        targets: Mapping[str, object] | Iterable[object],
        mail: Notifier | None,
        operations: Mapping[str, str] | None,
        product: str | None,
        mail_repeat: str | None,
        spread: Span | dt.timedelta | str,
        keep: Span | dt.timedelta | str,
        clock: Clock | None,
    ) -> Self:
        """Check what a host gives.

        Raises:
            InvalidValue: an argument cannot be used; the message names it, and says what it may be.

        """
        for name, adapter, port in (
            ("server", server, str | LicenseServer),
            ("mail", mail, Notifier),
            ("clock", clock, Clock),
            ("policy", policy, str | Policy),
            ("product", product, str),
        ):
            missing = adapter is None and name == "policy"
            if missing or (adapter is not None and (isinstance(adapter, type) or not isinstance(adapter, port))):
                known = _KNOWN.get(name, f"a {getattr(port, '__name__', '')}")
                message = f"{name} must be {known}, not {_kind(adapter)}"
                raise InvalidValue(message)
        if isinstance(server, LicenseServer):
            see_that_it_returns(server.ask, "ask of server")
        if mail is not None:
            see_that_it_returns(mail.deliver, "deliver of mail")
        if mail_repeat not in (None, *MAIL_REPEATS):
            message = (
                f"mail_repeat must be one of {', '.join(MAIL_REPEATS)}, or None for the policy's; not {mail_repeat!r}"
            )
            raise InvalidValue(message)
        if isinstance(licenses, str) or not isinstance(licenses, Iterable):
            message = "licenses must be a list of ids; put one in a list"
            raise InvalidValue(message)
        trusted = TrustedKeys.of(trust)
        made = _client(server) if isinstance(server, str) else None
        return cls(
            licenses=tuple(licenses),
            policy=_policy(policy) if isinstance(policy, str) else policy,
            trust=trusted,
            server=_trusting(trusted, made or server),
            made_server=made,
            targets=as_targets(targets),
            mail=mail,
            operations=_operations({} if operations is None else operations),
            product=product,
            mail_repeat=mail_repeat if mail else "none",
            spread=_spread(spread),
            keep=_span("keep", keep),
            clock=_checked_clock(clock or SystemClock()),
        )

    @property
    def shared_target(self) -> str | None:
        """A target that can hold the key of one license only, if there is any."""
        shared = (name for name, target in self.targets.items() if isinstance(target, FileTarget) and target.shared)
        return next(shared, None)


def _policy(name: str) -> Policy:
    if name.endswith((".yaml", ".yml")) or {"/", "\\"} & set(name):
        message = f"policy {clean_text(name)[:_SHOWN_PATH]!r} is a file: give what licfsm.load_policy makes of it"
        raise InvalidValue(message)
    return named(name)


def _operations(given: Any) -> dict[str, str]:  # noqa: ANN401 - a host may give anything
    if not isinstance(given, Mapping):
        message = "operations must be a mapping of names to paid, free or always"
        raise InvalidValue(message)
    for name, kind in given.items():
        if not isinstance(name, str) or kind not in OPERATIONS:
            message = f"operation {name!r} must be one of {', '.join(OPERATIONS)}; not {kind!r}"
            raise InvalidValue(message)
    return dict(given)


def _client(address: str) -> HttpsServer:
    from licfsm.adapters.server import HttpsServer

    return HttpsServer(address)


def _trusting(trust: TrustedKeys, server: Any) -> Any:  # noqa: ANN401 - what has ``trusting`` is an HttpsServer, which is not loaded here
    """Let a client that names nobody whose answers count trust whom the manager trusts."""
    return server.trusting(trust) if hasattr(server, "trusting") else server


def _kind(thing: object) -> str:
    return f"the class {thing.__name__}" if isinstance(thing, type) else f"a value of type {type(thing).__name__}"


def _checked_clock(clock: Clock) -> Clock:
    now = clock.now_ms()
    if type(now) is not int:
        message = f"clock must tell whole milliseconds since 1970, not {now!r:.80}"
        raise InvalidValue(message)
    instants.in_range(now, f"clock: {now} milliseconds")
    return clock


def _spread(given: Span | dt.timedelta | str) -> Span:
    """Take an exact length of time (3.6); a day has 24 hours here."""
    span = _span("spread", given)
    exact = Span(ms=span.ms + span.days * instants.DAY)
    if span.months or exact.ms > _LONGEST_SPREAD:
        message = f"spread must be an exact length of time, a week at most, such as '1 hour'; not {given!s:.80}"
        raise InvalidValue(message)
    return exact


def _span(name: str, given: Span | dt.timedelta | str) -> Span:
    if isinstance(given, dt.timedelta):
        if given < dt.timedelta():
            message = f"{name} must not be less than nothing; got {given}"
            raise InvalidValue(message)
        given = Span(ms=given // dt.timedelta(milliseconds=1))
    if not isinstance(given, Span | str):
        message = f"{name} must be a length of time, such as '30 days' or a timedelta, not {_kind(given)}"
        raise InvalidValue(message)
    try:
        return Span.parse(given) if isinstance(given, str) else given
    except InvalidValue as error:
        message = f"{name}: {error}"
        raise InvalidValue(message) from None


def read_key(key: str | bytes | Path) -> str:
    """Read a key's signed text, from a file unless it is that text.

    Raises:
        InvalidValue: the file cannot be read.

    """
    if isinstance(key, bytes):
        return key.decode("ascii", "replace")
    if isinstance(key, str) and _SIGNED.fullmatch(key):
        return key
    if isinstance(key, str) and not key.strip():
        message = "a license key must be its file, or the signed text itself; this is empty"
        raise InvalidValue(message)
    try:
        with Path(key).open("rb") as file:
            return file.read(_LARGEST_KEY).removeprefix(codecs.BOM_UTF8).decode("ascii", "replace")
    except (OSError, ValueError, TypeError) as error:
        shown = clean_text(str(key))
        shown = shown if len(shown) <= _SHOWN_PATH else f"{shown[:_SHOWN_PATH]}…"  # it may be a key, after all
        home = "; no ~ is replaced: give it as Path(...).expanduser()" if shown.startswith("~") else ""
        message = f"cannot read the license key {shown}: {getattr(error, 'strerror', None) or error}{home}"
        raise InvalidValue(message) from None
