"""The license server, asked over HTTPS (rules.md 3.4, 4.1).

What is said, `answers` knows; here is how it gets there and back. A question is answered by its `deadline`, whatever
the network does. httpx tells of each connection as it is made (its ``trace`` extension, with clients of the host's
too): that is where the connection is got hold of, and where one whose TLS is not verified is refused before anything
is sent. Why a question failed, `faults` puts into words. httpx is loaded at the first question.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import os
import re
import secrets
import socket
import ssl
import time
import traceback
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import SplitResult, urlsplit

import licfsm
from licfsm.adapters import faults
from licfsm.adapters.answers import LARGEST_ANSWER, SignedAnswer, read_answer, write_question
from licfsm.adapters.deadline import Deadline, Passed
from licfsm.adapters.encoding import json_object, to_base64url
from licfsm.adapters.faults import Address, Certificate, Scene
from licfsm.adapters.keys import LARGEST, TrustedKeys
from licfsm.adapters.log import logger
from licfsm.errors import InvalidValue, KeyRejected
from licfsm.instants import SECOND
from licfsm.key import clean_text
from licfsm.ports import Answer, Question

if TYPE_CHECKING:
    import httpx

__all__ = ["HttpsServer"]

PATH: Final = "/v1/check"
LONGEST: Final = 3600
"""Seconds; no deadline is later."""

_GRACE: Final = 0.25
"""For how many seconds the thread is waited for once its connection is shut down."""
_TRIES: Final = 100
"""How many used connections of a client that was given are dropped, one after the other, before one is fresh."""
_HTTPS: Final = 443
_PREFIX: Final = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*/?", re.ASCII)
_HOST: Final = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", re.ASCII)
_SECONDS: Final = re.compile(r"[0-9]{1,100}", re.ASCII)
_AT_MOST: Final = 10**9
_SHOWN: Final = 120
_WITH_PASSWORD: Final = 3


class HttpsServer:
    """Asks a license server over HTTPS; a `ports.LicenseServer`.

    The server's certificate is verified, always: there is no way to switch that off. Redirects are not followed, and
    no cookies are kept. Proxies are taken from the environment (``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY``) unless
    one is given. It can be shared by threads, and used in a process that was forked.

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
            ``ca``, ``client_certificate`` and ``proxy`` cannot be given with it.

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
        self._check = self._origin + parts.path.rstrip("/") + PATH
        self._address = Address(parts.hostname or "", parts.port or _HTTPS)
        self._trust = None if trust is None else _as_trust(trust)
        self._clients: _GivenClient | _OwnClients
        if client is not None:
            self._clients = _GivenClient(_checked_client(client, ca, client_certificate, proxy))
        else:
            self._clients = _OwnClients(
                _context(ca, client_certificate), None if proxy is None else _checked_proxy(proxy)
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
        return _Conversation(self._clients, self._origin, self._check, question, self._trust, scene).run()


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

    def __init__(self, tls: ssl.SSLContext, proxy: str | None) -> None:
        self._tls = tls
        self._proxy = proxy
        self._made: dict[int, httpx.Client] = {}

    def current(self) -> httpx.Client:
        """Give the one of this process.

        Raises:
            _Failure: what the environment says of proxies cannot be used.

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

        proxy = None
        if self._proxy is not None:
            proxy = httpx.Proxy(self._proxy, ssl_context=self._tls if self._proxy.startswith("https:") else None)
        try:
            return httpx.Client(
                verify=self._tls,
                proxy=proxy,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            )
        except Exception as error:  # noqa: BLE001 - an unknown scheme, a missing package, a URL that is none
            message = (
                f"the proxy that the environment names cannot be used ({type(error).__name__}); "
                f"check HTTPS_PROXY, ALL_PROXY and NO_PROXY, or give one with proxy="
            )
            raise _Failure(message) from None


# ---------------------------------------------------------------------------------------------- one question


class _Failure(Exception):
    """Why a question cannot go on: the outcome it comes to, and its words."""

    def __init__(self, detail: str, retry_after: int | None = None, *, outcome: str = "connection_failed") -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after
        self.outcome = outcome


class _Used(Exception):
    """A connection was used before, and nobody saw how its TLS was verified."""


class _Conversation:
    """Asks one question, in a thread of its own, which a deadline ends."""

    def __init__(
        self,
        clients: _GivenClient | _OwnClients,
        origin: str,
        check: str,
        question: Question,
        trust: TrustedKeys,
        scene: Scene,
    ) -> None:
        self._clients = clients
        self._origin = origin
        self._check = check
        self._question = question
        self._trust = trust
        self._scene = scene
        self._deadline = Deadline(scene.deadline, grace=_GRACE)
        self._fresh = False
        self._framed = False
        self._accepted: SignedAnswer | None = None
        self._answer: Answer | None = None

    def run(self) -> Answer:
        """Ask, and be back at the deadline; an answer that came at the last moment counts."""
        try:
            late = self._deadline.run(self._work, f"licfsm asks {self._scene.server.host}", self._scene.too_slow)
        except RuntimeError:
            return Answer("connection_failed", detail="this machine cannot start another thread; see what it runs")
        return self._answer or self._failed(_Failure(late or self._scene.too_slow()))

    def _failed(self, failure: _Failure) -> Answer:
        """Say that it failed; once an answer was accepted, it is the download that did (rules.md 4.1)."""
        if self._accepted is None:
            return Answer(failure.outcome, None, failure.retry_after, detail=failure.detail)
        detail = f"there is a new license key, but it could not be downloaded: {failure.detail}"
        return Answer("connection_failed", None, failure.retry_after, self._accepted.time, detail=detail)

    # ------------------------------------------------------------------------------------ in the thread

    def _work(self) -> None:
        try:
            self._answer = self._ask()
        except _Failure as failure:
            if not self._deadline.passed:  # or it is our own doing: what was shut down looks cut short
                self._answer = self._failed(failure)
        except Exception as error:  # noqa: BLE001 - whatever a client of the host's raises is an outcome
            if not self._deadline.passed:
                self._answer = self._explained(error)

    def _explained(self, error: Exception) -> Answer | None:
        """Put an exception into words; None if the deadline passes meanwhile."""
        import httpx

        if not isinstance(error, httpx.HTTPError | UnicodeError):
            # Without the exception's own text: nobody knows what a client of the host's has put into it.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("asking %s raised %s\n%s", self._scene.server, type(error).__name__, where)
        detail = faults.explain(error, self._scene, self._look)
        return None if self._deadline.passed else self._failed(_Failure(detail))

    def _look(self) -> Certificate | None:
        """Look at the certificate that was refused, within what is left of the time; not through a proxy."""
        scene, left = self._scene, self._deadline.left
        if scene.hop != scene.peer or left <= 0:
            return None
        try:
            # Half of the time: what is known already is to be told before the deadline.
            line = socket.create_connection((scene.peer.host, scene.peer.port), left / 2)
        except OSError:
            return None
        try:
            self._deadline.hold(line)
        except Passed:
            line.close()
            return None
        return faults.read_certificate(line, scene.peer.host)

    def _ask(self) -> Answer:
        nonce = to_base64url(secrets.token_bytes(32))
        key = self._question.key
        body, retry_after = self._fetch(
            "POST", self._check, "application/json", LARGEST_ANSWER, write_question(key, nonce)
        )
        where = self._scene.where
        try:
            answer = read_answer(body, self._trust)
        except InvalidValue as error:
            message = f"{where} answered what is not the protocol: {error}; is this the address of a license server?"
            raise _Failure(message, retry_after) from None
        except KeyRejected as error:
            message = f"the answer of {where} is refused: {error}"
            raise _Failure(message, retry_after, outcome="answer_rejected") from None
        if answer.license != key.id:
            message = f"the answer of {where} is refused: it is for the license {answer.license}"
            raise _Failure(message, retry_after, outcome="answer_rejected")
        if answer.nonce != nonce:
            message = (
                f"the answer of {where} is refused: it is for another question (its nonce); was an old one sent again?"
            )
            raise _Failure(message, retry_after, outcome="answer_rejected")
        if answer.outcome == "new_key":
            return self._download(answer, retry_after)
        detail = "" if answer.outcome == "up_to_date" else clean_text(answer.message)
        return Answer(answer.outcome, None, retry_after, answer.time, detail=detail)

    def _download(self, answer: SignedAnswer, retry_after: int | None) -> Answer:
        """Fetch the key that an answer names; it counts by its own signature (rules.md 4.3)."""
        self._accepted = answer
        body, _ = self._fetch("GET", self._origin + answer.key, "application/jose", LARGEST)
        try:
            key = self._trust.verify(body)
        except KeyRejected as error:
            if not self._framed:
                message = f"{self._scene.where} sent what is no whole key, and did not say how long it is ({error})"
                raise _Failure(message, retry_after) from None
            detail = f"the new license key of {self._scene.where} is refused: {error}"
            return Answer("key_rejected", None, retry_after, answer.time, detail=detail)
        return Answer("new_key", key, retry_after, answer.time)

    # ------------------------------------------------------------------------------------ HTTP

    def _fetch(
        self, method: str, url: str, kind: str, largest: int, content: bytes | None = None
    ) -> tuple[bytes, int | None]:
        """Ask for a document.

        Args:
            method: of HTTP.
            url: of the document.
            kind: its media type.
            largest: in bytes; no document may be longer.
            content: what to send, in JSON.

        Returns:
            The document, and for how many milliseconds the server wants to be left alone.

        Raises:
            _Failure: something else came.

        """
        headers = {
            "Accept": kind,
            "Accept-Encoding": "identity",  # nothing that is small here and endless there
            "Connection": "close",
            "User-Agent": f"licfsm/{licfsm.__version__}",
        } | ({} if content is None else {"Content-Type": "application/json"})
        with contextlib.closing(self._send(method, url, headers, content)) as response:
            retry_after = _retry_after(response.headers)
            told = {"content-length", "transfer-encoding"} & response.headers.keys()
            self._framed = bool(told) or response.http_version == "HTTP/2"
            if response.status_code != 200:  # noqa: PLR2004 - RFC 9110 15.3.1
                raise self._refused(response, retry_after)
            return self._body(response, kind, largest, retry_after), retry_after

    def _send(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> httpx.Response:
        """Send a request over a connection that was seen being made."""
        import httpx

        client = self._clients.current()
        timeout = httpx.Timeout(self._scene.deadline, connect=self._scene.patience, pool=self._scene.patience)
        for _ in range(_TRIES):
            self._fresh = False
            request = client.build_request(
                method, url, headers=headers, content=content, timeout=timeout, extensions={"trace": self._trace}
            )
            with contextlib.suppress(_Used):  # that closed it
                return client.send(request, stream=True, follow_redirects=False)
        message = "the HTTP client that was given has connections that were used before only; give one of its own"
        raise _Failure(message)

    def _trace(self, name: str, told: Mapping[str, Any]) -> None:
        """Follow what httpx does; names are such as ``connection.connect_tcp.started``."""
        part, _, event = name.partition(".")
        scene = self._scene
        match event:
            case "connect_tcp.started" if self._deadline.passed:
                raise Passed
            case "connect_tcp.started":
                scene.hop = scene.peer = Address(told["host"], told["port"])
                scene.stage = "connect"
            case "connect_tcp.complete" | "connect_unix_socket.complete":
                self._connected(told["return_value"])
            case "start_tls.started":
                scene.stage = "tls"
                if part != "connection":  # through the proxy, not with it
                    scene.peer = scene.server
            case "start_tls.complete":
                self._see_verified(told["return_value"])
                scene.stage = "answer"
            case "send_request_headers.started" if told["request"].method != b"CONNECT" and not self._fresh:
                raise _Used
            case "send_request_headers.started":
                scene.stage = "answer"
            case "receive_response_body.started":
                scene.stage = "body"

    def _connected(self, stream: Any) -> None:  # noqa: ANN401 - httpcore's; it is loaded later
        line = stream.get_extra_info("socket")
        if isinstance(line, socket.socket):
            try:
                self._deadline.hold(line)
            except BaseException:
                stream.close()
                raise

    def _see_verified(self, stream: Any) -> None:  # noqa: ANN401 - likewise
        """Refuse a connection whose TLS is not verified, before anything is sent (rules.md 3.4)."""
        context = getattr(stream.get_extra_info("ssl_object"), "context", None)
        if context is None or context.verify_mode != ssl.CERT_REQUIRED or not context.check_hostname:
            stream.close()
            message = (
                "the HTTP client that was given does not verify certificates, so nothing was sent; "
                "give one that does (httpx.Client verifies unless told otherwise)"
            )
            raise _Failure(message)
        self._fresh = True

    def _refused(self, response: httpx.Response, retry_after: int | None) -> _Failure:
        """Judge a status that is no 200 (rules.md 4.1)."""
        status = response.status_code
        refused = 400 <= status < 500 and status != 429  # noqa: PLR2004 - RFC 9110 15.5, RFC 6585 4
        outcome = "request_refused" if refused else "connection_failed"

        def failure(said: str) -> _Failure:
            words = (said, response.headers.get("location", ""), self._scene.where)
            return _Failure(faults.explain_status(status, *words), retry_after, outcome=outcome)

        self._answer = self._failed(failure(""))  # if the rest never comes
        return failure(self._said(response))

    def _said(self, response: httpx.Response) -> str:
        """Read what a server says of its refusal, if that is for people and comes soon."""
        kind = _media_type(response.headers)
        if kind != "text/plain" and not kind.endswith(("/json", "+json")):
            return ""
        try:
            text = self._limited(response, LARGEST).decode("utf-8", "replace")
            if kind == "text/plain":
                return text
            told = json_object(text, "it")
        except Exception:  # noqa: BLE001 - the status says enough
            return ""
        said = (told.get(name) for name in ("message", "detail", "title", "error"))
        return next((each for each in said if isinstance(each, str)), "")

    def _body(self, response: httpx.Response, kind: str, largest: int, retry_after: int | None) -> bytes:
        found = _media_type(response.headers)
        if found != kind:
            self._refuse(f"{faults.short(found) or 'something without a type'} in place of {kind}", retry_after)
        return self._limited(response, largest, retry_after)

    def _limited(self, response: httpx.Response, largest: int, retry_after: int | None = None) -> bytes:
        """Read a document, but no endless one."""
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding != "identity":
            self._refuse(f"something compressed ({faults.short(encoding)}), without being asked to", retry_after)
        body = bytearray()
        for part in response.iter_bytes():
            body += part
            if len(body) > largest:
                self._refuse(f"more than {largest} bytes, and the protocol has no document so long", retry_after)
        return bytes(body)

    def _refuse(self, what: str, retry_after: int | None) -> NoReturn:
        message = f"{self._scene.where} answered {what}; is this the address of a license server?"
        raise _Failure(message, retry_after)


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _retry_after(headers: Mapping[str, str]) -> int | None:
    """Read for how many milliseconds a server wants to be left alone; None where it says nothing (RFC 9110 10.2.3)."""
    told = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(told):
        return min(int(told), _AT_MOST) * SECOND
    at = _http_date(told)
    if at is None:
        return None
    now = _http_date(headers.get("date", ""))
    return max(0, at - (int(time.time() * SECOND) if now is None else now))


def _http_date(text: str) -> int | None:
    import datetime as dt

    try:
        found = parsedate_to_datetime(text)
        return int(found.replace(tzinfo=found.tzinfo or dt.UTC).timestamp()) * SECOND
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


# ---------------------------------------------------------------------------------------------- what a host gives


def _checked_url(url: object) -> SplitResult:
    parts = _split(url, "url", "https://licenses.example.com")
    if parts.scheme != "https":
        message = f"the license server is asked over HTTPS only (rules.md 3.4): url must begin with https://, not {parts.scheme[:20]!r}"
        raise InvalidValue(message)
    if "@" in parts.netloc:
        message = "url must hold no name and no password; the license key is all that a question shows"
        raise InvalidValue(message)
    _check_host(parts, "url")
    segments = parts.path.split("/")
    if parts.query or parts.fragment or {".", ".."} & set(segments) or not _PREFIX.fullmatch(parts.path):
        message = (
            "url may have a plain path behind the server's name, such as /licensing; no query (?), and no fragment (#)"
        )
        raise InvalidValue(message)
    return parts


def _split(url: object, name: str, example: str) -> SplitResult:
    """Take a URL apart; it is not shown, as it may hold a password."""
    text = url if isinstance(url, str) and url.isascii() and url.isprintable() and not {" ", "\\"} & set(url) else ""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        text, port = "", None
    if not text or port == 0 or text.endswith(("?", "#")):
        message = f"{name} must be a URL of plain characters, such as {example}; other names as DNS has them (xn--...)"
        raise InvalidValue(message)
    return parts


def _check_host(parts: SplitResult, name: str) -> None:
    if not _HOST.fullmatch(parts.hostname or ""):
        message = f"{name} must name a host, by its name in DNS or its IP address; not {(parts.hostname or '')[:80]!r}"
        raise InvalidValue(message)


def _checked_proxy(proxy: object) -> str:
    parts = _split(proxy, "proxy", "http://proxy.example.com:3128")
    if parts.scheme not in {"http", "https", "socks5", "socks5h"}:
        message = f"proxy must begin with http://, https:// or socks5://, not {parts.scheme[:20]!r}"
        raise InvalidValue(message)
    _check_host(parts, "proxy")
    if parts.scheme.startswith("socks") and find_spec("socksio") is None:
        message = "proxy: for SOCKS the package socksio is needed; install httpx[socks], or give an HTTP proxy"
        raise InvalidValue(message)
    return str(proxy)


def _checked_deadline(deadline: object) -> float:
    if isinstance(deadline, int | float) and not isinstance(deadline, bool) and 0 < deadline <= LONGEST:
        return float(deadline)
    message = f"deadline must be a number of seconds, more than 0 and {LONGEST} at most; not {deadline!r:.80}"
    raise InvalidValue(message)


def _as_trust(trust: object) -> TrustedKeys:
    return trust if isinstance(trust, TrustedKeys) else TrustedKeys.of(trust)


def _checked_client(client: Any, *others: object) -> Any:  # noqa: ANN401 - httpx is loaded at the first question
    send = getattr(client, "send", None)
    if not callable(send) or not hasattr(client, "build_request") or inspect.iscoroutinefunction(send):
        message = f"client must be an httpx.Client, not a value of type {type(client).__name__}"
        raise InvalidValue(message)
    if any(other is not None for other in others):
        message = "client has its own TLS and proxies: give ca, client_certificate and proxy to it, or leave client out"
        raise InvalidValue(message)
    return client


def _context(
    ca: str | os.PathLike[str] | ssl.SSLContext | None, certificate: str | os.PathLike[str] | tuple[Any, ...] | None
) -> ssl.SSLContext:
    """Make what verifies the server, and shows it who asks."""
    if isinstance(ca, ssl.SSLContext):
        _check_context(ca)
        if certificate is not None:
            message = "client_certificate: load it into the SSLContext that is given as ca, with its load_cert_chain"
            raise InvalidValue(message)
        return ca
    context = _of_the_system() if ca is None else _of_files(_checked_path(ca, "ca"))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        _load_certificate(context, certificate)
    return context


def _check_context(context: ssl.SSLContext) -> None:
    if context.verify_mode != ssl.CERT_REQUIRED or not context.check_hostname:
        message = (
            "ca: the SSLContext does not verify certificates and names; set verify_mode to ssl.CERT_REQUIRED and "
            "check_hostname to True, or give the path of the CA's certificate"
        )
        raise InvalidValue(message)
    if context.minimum_version < ssl.TLSVersion.TLSv1_2:
        message = "ca: the SSLContext allows TLS before 1.2; set minimum_version to ssl.TLSVersion.TLSv1_2"
        raise InvalidValue(message)


def _of_the_system() -> ssl.SSLContext:
    """Trust the system's CAs, or certifi's where the system has none."""
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    told = {paths.openssl_cafile_env, paths.openssl_capath_env} & os.environ.keys()
    some = context.cert_store_stats()["x509_ca"] or (paths.capath and any(Path(paths.capath).iterdir()))
    if not some and not told:
        import certifi

        context.load_verify_locations(cafile=certifi.where())
    return context


def _of_files(path: Path) -> ssl.SSLContext:
    """Trust the CAs of a file, or of all files of a folder that hold some."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= (
        ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    )  # who is named here counts, whoever vouches for it
    try:
        found = [path] if not path.is_dir() else [file for file in sorted(path.iterdir()) if file.is_file()]
        for file in found:
            if b"-----BEGIN " in file.read_bytes():
                path = file
                context.load_verify_locations(cafile=file)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise InvalidValue(_unusable("ca", path, error)) from None
    if not context.cert_store_stats()["x509"]:
        message = f"ca: {str(path)[:_SHOWN]!r} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"
        raise InvalidValue(message)
    return context


def _load_certificate(context: ssl.SSLContext, given: str | os.PathLike[str] | tuple[Any, ...]) -> None:
    parts = given if isinstance(given, tuple) else (given,)
    password = parts[2] if len(parts) == _WITH_PASSWORD else None
    if not 1 <= len(parts) <= _WITH_PASSWORD or not (password is None or isinstance(password, str | bytes)):
        message = "client_certificate must be a path, or (certificate, key), or (certificate, key, password)"
        raise InvalidValue(message)
    paths = [_checked_path(part, "client_certificate") for part in parts[:2]]
    asked = []

    def tell() -> str | bytes:  # without it, OpenSSL would ask at the terminal
        asked.append(True)
        return password or ""

    try:
        for path in paths:
            path.open("rb").close()
        context.load_cert_chain(paths[0], paths[1] if len(paths) > 1 else None, tell)
    except (OSError, ValueError) as error:
        if asked:
            message = (
                f"client_certificate: the key in {str(paths[-1])[:_SHOWN]!r} is encrypted, and "
                f"{'the password does not open it' if password else 'there is no password'}; "
                f"give (certificate, key, password)"
            )
            raise InvalidValue(message) from None
        raise InvalidValue(_unusable("client_certificate", path, error)) from None


def _checked_path(path: object, name: str) -> Path:
    if isinstance(path, str | os.PathLike) and str(path) and "\0" not in str(path):
        return Path(path)
    message = f"{name} must be the path of a file in PEM, not a value of type {type(path).__name__}"
    raise InvalidValue(message)


def _unusable(name: str, path: Path, error: Exception) -> str:
    shown = f"{name}: {str(path)[:_SHOWN]!r} cannot be used"
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"{shown}: key and certificate do not belong together; give the two that do"
        return f"{shown}: it does not hold what it should in PEM ({faults.short(error.reason or 'no PEM')})"
    why = error.strerror if isinstance(error, OSError) else type(error).__name__
    return f"{shown}: {why}; check the path, and the rights of this process"
