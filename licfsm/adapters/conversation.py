"""One question to the license server, over HTTPS, by its deadline (rules.md 4.1).

What is said, `answers` knows; here is how it gets there and back. httpx tells of each connection as it is made (its
``trace`` extension, with clients of the host's too): that is where the connection is got hold of, for the `deadline` to
end it, and where one whose TLS is not verified is refused before anything is sent. Why a question failed, `faults` puts
into words. httpx is loaded at the first question.
"""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn

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

__all__ = ["Conversation", "Failure"]

_ASKS: Final = "licfsm asks "
"""How the threads are called that ask."""


def _not_asking(_record: logging.LogRecord) -> bool:
    """Leave out httpx's line for each of our requests: who reads the address of a new key can fetch the key."""
    return not threading.current_thread().name.startswith(_ASKS)


logging.getLogger("httpx").addFilter(_not_asking)

_GRACE: Final = 0.25
"""For how many seconds the thread is waited for once its connection is shut down."""
_TRIES: Final = 100
"""How many used connections of a client that was given are dropped, one after the other, before one is fresh."""
_SECONDS: Final = re.compile(r"[0-9]{1,100}", re.ASCII)
_AT_MOST: Final = 10**9


class Failure(Exception):
    """Why a question cannot go on: the outcome it comes to, and its words."""

    def __init__(self, detail: str, retry_after: int | None = None, *, outcome: str = "connection_failed") -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after
        self.outcome = outcome


class _Used(Exception):
    """A connection was used before, and nobody saw how its TLS was verified."""


class Conversation:
    """Asks one question, in a thread of its own, which a deadline ends.

    Args:
        client: gives the HTTP client; it may raise `Failure`.
        origin: of the server, from which a new key is fetched.
        check: the URL at which it is asked.
        question: what to ask.
        trust: whose signatures count.
        scene: who is talked to, and for how long.

    """

    def __init__(
        self,
        client: Callable[[], httpx.Client],
        origin: str,
        check: str,
        question: Question,
        trust: TrustedKeys,
        scene: Scene,
    ) -> None:
        self._client = client
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
            late = self._deadline.run(self._work, _ASKS + self._scene.server.host, self._scene.too_slow)
        except RuntimeError:
            return Answer("connection_failed", detail="this machine cannot start another thread; see what it runs")
        return self._answer or self._failed(Failure(late or self._scene.too_slow()))

    def _failed(self, failure: Failure) -> Answer:
        """Say that it failed; once an answer was accepted, it is the download that did (rules.md 4.1)."""
        if self._accepted is None:
            return Answer(failure.outcome, None, failure.retry_after, detail=failure.detail)
        detail = f"there is a new license key, but it could not be downloaded: {failure.detail}"
        return Answer("connection_failed", None, failure.retry_after, self._accepted.time, detail=detail)

    # ------------------------------------------------------------------------------------ in the thread

    def _work(self) -> None:
        try:
            self._answer = self._ask()
        except Failure as failure:
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
        return None if self._deadline.passed else self._failed(Failure(detail))

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
            raise Failure(message, retry_after) from None
        except KeyRejected as error:
            message = f"the answer of {where} is refused: {error}"
            raise Failure(message, retry_after, outcome="answer_rejected") from None
        if answer.license != key.id:
            message = f"the answer of {where} is refused: it is for the license {answer.license}"
            raise Failure(message, retry_after, outcome="answer_rejected")
        if answer.nonce != nonce:
            message = (
                f"the answer of {where} is refused: it is for another question (its nonce); was an old one sent again?"
            )
            raise Failure(message, retry_after, outcome="answer_rejected")
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
                raise Failure(message, retry_after) from None
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
            Failure: something else came.

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
            self._framed = bool(told)
            if response.status_code != 200:  # noqa: PLR2004 - RFC 9110 15.3.1
                raise self._refused(response, retry_after)
            return self._body(response, kind, largest, retry_after), retry_after

    def _send(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> httpx.Response:
        """Send a request over a connection that was seen being made."""
        import httpx

        client = self._client()
        timeout = httpx.Timeout(self._scene.deadline, connect=self._scene.patience, pool=self._scene.patience)
        for _ in range(_TRIES):
            self._fresh = False
            request = client.build_request(
                method, url, headers=headers, content=content, timeout=timeout, extensions={"trace": self._trace}
            )
            with contextlib.suppress(_Used):  # that closed it
                return client.send(request, stream=True, follow_redirects=False)
        message = "the HTTP client that was given has connections that were used before only; give one of its own"
        raise Failure(message)

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
            case "send_request_headers.started" if part == "http2":
                # Its connections serve many requests, and none tells which: nobody saw how its TLS was verified.
                message = "the HTTP client that was given speaks HTTP/2 with this server; give one without http2=True"
                raise Failure(message)
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
            raise Failure(message)
        self._fresh = True

    def _refused(self, response: httpx.Response, retry_after: int | None) -> Failure:
        """Judge a status that is no 200 (rules.md 4.1)."""
        status = response.status_code
        refused = 400 <= status < 500 and status != 429  # noqa: PLR2004 - RFC 9110 15.5, RFC 6585 4
        outcome = "request_refused" if refused else "connection_failed"

        def failure(said: str) -> Failure:
            words = (said, response.headers.get("location", ""), self._scene.where)
            return Failure(faults.explain_status(status, *words), retry_after, outcome=outcome)

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
        raise Failure(message, retry_after)


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
