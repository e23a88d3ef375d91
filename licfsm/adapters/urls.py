"""URLs that a host or its environment gives: taken apart, and checked."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from licfsm.errors import InvalidValue

__all__ = ["check_host", "split_url"]

_HOST: Final = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", re.ASCII)


def split_url(url: object, name: str, example: str) -> SplitResult:
    """Take a URL apart; it is not shown, as it may hold a password.

    Args:
        url: what was given.
        name: the argument's.
        example: how it may look.

    Raises:
        InvalidValue: it is no such text.

    """
    text = url if isinstance(url, str) and url.isascii() and url.isprintable() and not {" ", "\\"} & set(url) else ""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        text, port = "", 0 if "ort" in str(error) else None  # urlsplit's words for a port that is none
    if port == 0:
        message = f"{name} must have a port from 1 to 65535, or none for the usual one, such as {example}"
        raise InvalidValue(message)
    if not text or text.endswith(("?", "#")):
        message = f"{name} must be a URL of plain characters, such as {example}; other names as DNS has them (xn--...)"
        raise InvalidValue(message)
    return parts


def check_host(parts: SplitResult, name: str) -> None:
    """See that a URL names a host.

    Raises:
        InvalidValue: it does not.

    """
    if not _HOST.fullmatch(parts.hostname or ""):
        message = f"{name} must name a host, by its name in DNS or its IP address; not {(parts.hostname or '')[:80]!r}"
        raise InvalidValue(message)
