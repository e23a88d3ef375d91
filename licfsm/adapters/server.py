"""The license server, asked over HTTPS (rules.md 3.4, 4.1).

What the host gives is checked here, and the HTTP client kept; how one question goes, `conversation` knows, and whose
certificates count, `tls`. httpx is loaded at the first question.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import os
import re
import ssl
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult

from licfsm.adapters.answers import CHECK_PATH
from licfsm.adapters.conversation import Conversation, Failure
from licfsm.adapters.faults import Address, Scene
from licfsm.adapters.keys import TrustedKeys
from licfsm.adapters.proxies import checked_proxy, environment_proxy
from licfsm.adapters.tls import client_context
from licfsm.adapters.urls import check_host, split_url
from licfsm.errors import InvalidValue
from licfsm.ports import Answer, Question

if TYPE_CHECKING:
    import httpx

__all__ = ["HttpsServer"]

LONGEST: Final = 3600
"""Seconds; no deadline is later."""

_HTTPS: Final = 443
_PREFIX: Final = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*/?", re.ASCII)


class HttpsServer:
    """Asks a license server over HTTPS; a `ports.LicenseServer`.

    The server's certificate is verified, always: there is no way to switch that off. Redirects are not followed, and
    no cookies are kept. Of its requests httpx logs nothing, since the address of a new key gives away the key. The
    proxy is that of the environment (``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY``) unless one is given. It can be
    shared by threads, and used in a process that was forked.

    Args:
        url: of the server, beginning with ``https://``; it may have a path, which the protocol's own follows.
        trust: whose signatures count: `TrustedKeys`, or what `TrustedKeys.of` takes. A manager gives its own where
            there is none.
        ca: whose certificates count for TLS, in place of the system's: the path of a file or folder in PEM, or an
            `ssl.SSLContext` that verifies certificates and names, with TLS 1.2 or later.
        client_certificate: what to show a server that wants one: the path of a PEM file with certificate and key, or
            the paths of both, or these and the key's password.
        proxy: the URL of a proxy, in place of the environment's.
        deadline: after how many seconds the question has failed, the download of a new key included.
        client: an HTTP client of the host's, used as it is and never closed here; it has its own TLS and proxies, so
            ``ca``, ``client_certificate`` and ``proxy`` cannot be given with it. It may not speak HTTP/2, and a
            transport in it that is not httpx's own answers for its TLS by itself.

    Raises:
        InvalidValue: something of these cannot be used; the message names it, and says what to do.

    """

    def __init__(
        self,
        url: str,
        *,
        trust: object = None,
        ca: str | os.PathLike[str] | ssl.SSLContext | None = None,
        client_certificate: str | os.PathLike[str] | tuple[str | os.PathLike[str], ...] | None = None,
        proxy: str | None = None,
        deadline: float = 30.0,
        client: httpx.Client | None = None,
    ) -> None:
        """See that it can be used; nothing is connected to yet."""
        parts = _checked_url(url)
        self.url: Final = url.rstrip("/")
        self.deadline: Final = _checked_deadline(deadline)
        self._origin = f"https://{parts.netloc}"
        self._check = self._origin + parts.path.rstrip("/") + CHECK_PATH
        self._address = Address(parts.hostname or "", parts.port or _HTTPS)
        self._trust = None if trust is None else _as_trust(trust)
        self._clients: _GivenClient | _OwnClients
        if client is not None:
            self._clients = _GivenClient(_checked_client(client, ca, client_certificate, proxy))
        else:
            self._clients = _OwnClients(
                self._address.host,
                client_context(ca, client_certificate),
                None if proxy is None else checked_proxy(proxy),
            )
        self._certified = client_certificate is not None or client is not None or isinstance(ca, ssl.SSLContext)

    def __repr__(self) -> str:
        """Name the server."""
        return f"HttpsServer({self.url!r})"

    def trusting(self, trust: TrustedKeys) -> HttpsServer:
        """Give the same with that trust, if it has none of its own; both share their connections, and are closed together.

        Args:
            trust: whose signatures count.

        """
        if self._trust is not None:
            return self
        other = copy.copy(self)
        other._trust = trust  # noqa: SLF001 - of the same class
        return other

    def close(self) -> None:
        """Let go of what was opened; a further question opens it anew. A client that was given stays open."""
        self._clients.close()

    def ask(self, question: Question) -> Answer:
        """Ask for a newer key, and be back by the deadline; whatever goes wrong is an outcome (rules.md 4.1).

        Args:
            question: what to ask.

        Returns:
            What came of it; its ``detail`` says in words what went wrong.

        Raises:
            InvalidValue: nobody said whose signatures count.

        """
        if self._trust is None:
            message = (
                "nobody said whose signatures count; give trust= the public key of whoever signs your license keys"
            )
            raise InvalidValue(message)
        scene = Scene(self._address, self.deadline, self.deadline / 2, self._certified)
        return Conversation(self._clients.current, self._origin, self._check, question, self._trust, scene).run()


class _GivenClient:
    """A client of the host's."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def current(self) -> httpx.Client:
        """Give it."""
        return self._client

    def close(self) -> None:
        """Leave it open: it is the host's."""


class _OwnClients:
    """A client in each process, made when it is first needed."""

    def __init__(self, host: str, tls: ssl.SSLContext, proxy: str | None) -> None:
        self._host = host
        self._tls = tls
        self._proxy = proxy
        self._made: dict[int, httpx.Client] = {}

    def current(self) -> httpx.Client:
        """Give the one of this process.

        Raises:
            Failure: what the environment says of proxies cannot be used.

        """
        client = self._made.get(os.getpid())
        if client is None:
            made = self._new()
            client = self._made.setdefault(os.getpid(), made)  # without a lock, which a fork could leave locked
            if client is not made:  # another thread was faster
                made.close()
        return client

    def close(self) -> None:
        """Close them."""
        while self._made:
            with contextlib.suppress(KeyError):  # another thread closes it too
                self._made.popitem()[1].close()

    def _new(self) -> httpx.Client:
        from http.cookiejar import CookieJar, DefaultCookiePolicy

        import httpx

        try:
            url = self._proxy or environment_proxy(self._host)
        except InvalidValue as error:
            message = f"{error}; mend it, except this server in NO_PROXY, or give a proxy with proxy="
            raise Failure(message) from None
        secured = url is not None and url.startswith("https:")
        return httpx.Client(
            verify=self._tls,
            proxy=None if url is None else httpx.Proxy(url, ssl_context=self._tls if secured else None),
            trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )


# ---------------------------------------------------------------------------------------------- what a host gives


def _checked_url(url: object) -> SplitResult:
    parts = split_url(url, "url", "https://licenses.example.com")
    if parts.scheme != "https":
        message = f"the license server is asked over HTTPS only (rules.md 3.4): url must begin with https://, not {parts.scheme[:20]!r}"
        raise InvalidValue(message)
    if "@" in parts.netloc:
        message = "url must hold no name and no password; the license key is all that a question shows"
        raise InvalidValue(message)
    check_host(parts, "url")
    segments = parts.path.split("/")
    if parts.query or parts.fragment or {".", ".."} & set(segments) or not _PREFIX.fullmatch(parts.path):
        message = (
            "url may have a plain path behind the server's name, such as /licensing; no query (?), and no fragment (#)"
        )
        raise InvalidValue(message)
    return parts


def _checked_deadline(deadline: object) -> float:
    if isinstance(deadline, int | float) and not isinstance(deadline, bool) and 0 < deadline <= LONGEST:
        return float(deadline)
    message = f"deadline must be a number of seconds, more than 0 and {LONGEST} at most; not {deadline!r:.80}"
    raise InvalidValue(message)


def _as_trust(trust: object) -> TrustedKeys:
    return trust if isinstance(trust, TrustedKeys) else TrustedKeys.of(trust)


def _checked_client(client: Any, *others: object) -> Any:  # noqa: ANN401 - httpx is loaded at the first question
    send = getattr(client, "send", None)
    no_client = isinstance(client, type) or not callable(send) or not hasattr(client, "build_request")
    if no_client or inspect.iscoroutinefunction(send):
        message = f"client must be an httpx.Client, not a value of type {type(client).__name__}"
        raise InvalidValue(message)
    if any(other is not None for other in others):
        message = "client has its own TLS and proxies: give ca, client_certificate and proxy to it, or leave client out"
        raise InvalidValue(message)
    return client
