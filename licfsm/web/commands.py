"""What a development server can be told in words: typed at its terminal, by `licfsm devserver tell`, or over HTTP."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from licfsm import instants
from licfsm.errors import InvalidValue
from licfsm.key import LicenseKey, clean_text
from licfsm.web.faults import FAULTS, nearest
from licfsm.web.issuing import read_expires

if TYPE_CHECKING:
    from licfsm.web.devserver import DevServer

__all__ = ["perform"]

_TEXTS: Final = ("type", "zone", "product", "edition", "holder", "issued", "expires")
_WIDTH: Final = 80

_HELP: Final = """\
issue ID [EXPIRES] [type=TYPE] [zone=ZONE] [product=TEXT] ...
    sign a license key; its type is subscription unless another is given
renew ID [EXPIRES] [type=TYPE] ...
    sign a newer one; what is not given stays, without EXPIRES a year later
FAULT [ID] [times=N] [retry_after=SECONDS] [every=MILLISECONDS]
    let something go wrong, for one license or for all
ok [ID]
    let all be well again
show
    what was issued, and what goes wrong

EXPIRES is the last valid day, 2026-02-14, or an instant, or never. FAULT is:
"""


def perform(server: DevServer, command: str) -> str:
    """Do what a command says.

    Args:
        server: what is told.
        command: its words, separated by blanks.

    Returns:
        What was done, in some lines of at most 80 characters, but for what was given.

    Raises:
        LicfsmError: it cannot be done; one line says why.

    """
    words = command.split()
    if not words:
        message = "say what to do; help lists what there is"
        raise InvalidValue(message)
    name, rest = words[0].lower().replace("-", "_"), words[1:]
    plain = [word for word in rest if "=" not in word]
    options = dict(word.split("=", 1) for word in rest if "=" in word)
    do = _COMMANDS.get(name, _fault)
    if do is _fault and name not in FAULTS:
        message = f"there is no command {clean_text(words[0])[:64]!r}{_meant(name)}"
        raise InvalidValue(message)
    try:
        return do(server, name, plain, options)
    except OSError as error:
        message = f"cannot write {clean_text(str(error.filename))}: {error.strerror}"
        raise InvalidValue(message) from None


def _help(_server: DevServer, _name: str, _plain: list[str], _options: dict[str, str]) -> str:
    lines = [
        line
        for name, (_, said) in FAULTS.items()
        for line in textwrap.wrap(
            said, _WIDTH, initial_indent=f"    {name:21}", subsequent_indent=" " * 25, break_on_hyphens=False
        )
    ]
    return _HELP + "\n".join(lines)


def _show(server: DevServer, _name: str, plain: list[str], options: dict[str, str]) -> str:
    _only(plain, 0, options)
    keys = [_said(key) for key in server.licenses.values()]
    faults = [f"goes wrong: {fault}" for fault in server.faults]
    return "\n".join([*(keys or ["no license"]), *(faults or ["nothing goes wrong"])])


def _issue(server: DevServer, name: str, plain: list[str], options: dict[str, str]) -> str:
    _only(plain, 2, options, *_TEXTS)
    if not plain:
        message = f"say which license: {name} ACME-1 2026-02-14"
        raise InvalidValue(message)
    says: dict[str, Any] = dict(options)
    if len(plain) > 1 and "expires" in says:
        message = "it can expire but once"
        raise InvalidValue(message)
    expires = plain[1] if len(plain) > 1 else says.pop("expires", None)
    if expires is not None:
        says["expires"] = read_expires(expires)
    make: Callable[..., LicenseKey] = server.issue if name == "issue" else server.renew
    done = "issued" if name == "issue" else "renewed"
    return f"{done} {_said(make(plain[0], **says))}"


def _ok(server: DevServer, _name: str, plain: list[str], options: dict[str, str]) -> str:
    _only(plain, 1, options)
    server.ok(*plain)
    left = [f"goes wrong still: {fault}" for fault in server.faults]
    return "\n".join(left or ["nothing goes wrong"])


def _fault(server: DevServer, name: str, plain: list[str], options: dict[str, str]) -> str:
    _only(plain, 1, options, "times", "retry_after", "every")
    numbers: dict[str, Any] = {key: _number(key, text) for key, text in options.items() if key != "retry_after"}
    license_id = next(iter(plain), None)
    fault = server.fault(name, license_id, **numbers, retry_after=options.get("retry_after"))
    unknown = license_id is not None and license_id not in server.licenses
    return f"goes wrong: {fault}" + (f"\nno license {license_id} was issued so far" if unknown else "")


def _only(plain: list[str], most: int, options: dict[str, str], *known: str) -> None:
    """Refuse words that mean nothing."""
    if len(plain) > most:
        message = f"{clean_text(plain[most])[:64]!r} is a word too many"
        raise InvalidValue(message)
    for name in options:
        if name not in known:
            means = nearest(name, known) if known else "; nothing can be said here"
            message = f"{clean_text(name)[:64]!r} is not understood here{means}"
            raise InvalidValue(message)


def _meant(name: str) -> str:
    said = nearest(name, [*_COMMANDS, *FAULTS])
    return said if "mean" in said else "; help lists what there is"


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):  # noqa: PLR2004 - enough for both
        message = f"{name} must be a whole number, not {clean_text(text)[:64]!r}"
        raise InvalidValue(message)
    return int(text)


def _said(key: LicenseKey) -> str:
    expires = "never expires" if key.expires is None else f"expires {key.expires.isoformat()}"
    zone = f" {key.zone.name}" if key.expires is not None and key.zone is not instants.UTC else ""
    return f"{key.id}: {key.type}, {expires}{zone}"


_COMMANDS: Final[dict[str, Callable[[DevServer, str, list[str], dict[str, str]], str]]] = {
    "help": _help,
    "issue": _issue,
    "ok": _ok,
    "renew": _issue,
    "show": _show,
}
