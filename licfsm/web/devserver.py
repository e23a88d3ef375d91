"""A license server for trying things out: real HTTPS, real signatures, and every fault on command.

It keeps the protocol of `licfsm.protocol` as a server must: it trusts nobody's question but one that a key of its own
vouches for, answers no nonce twice, and signs what it says. What goes wrong on command is in `faults`; what can be
told to it in words, in `commands`; how bytes come onto the wire, in `serving`.

In a test::

    with DevServer() as server:
        key = server.issue("ACME-1", expires="2025-02-14")
        server.fault("outage", times=2, retry_after=120)
        ...                                     # ask server.url, trusting server.ca and server.trust
        server.renew("ACME-1", expires="2026-02-14")
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import json
import secrets
import socket
import ssl
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import attrs
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from licfsm import instants
from licfsm.adapters.answers import (
    AskedQuestion,
    SignedAnswer,
    sign_answer,
    write_answer,
)
from licfsm.adapters.clock import SystemClock
from licfsm.adapters.encoding import json_object
from licfsm.adapters.key_pairs import SigningKey
from licfsm.errors import InvalidValue, KeyRejected, LicfsmError
from licfsm.key import LicenseKey, clean_text
from licfsm.web import commands
from licfsm.web.certificates import CA_FILE, Authority, write_private
from licfsm.web.control import CONTROL_FILE, CONTROL_NAME, MOST_TOLD, running_in
from licfsm.web.faults import SIGNED, Fault, Faults
from licfsm.web.issuing import KEYS_FOLDER, SUFFIX, Issuer, key_path, other_id
from licfsm.web.serving import Serving, listen
from licfsm.web.wire import Broken, Drip, Refused, asked_question, body_of, json_response

__all__ = ["SIGNING_FILE", "TRUST_FILE", "DevServer", "Entry"]

SIGNING_FILE: Final = "signing-key.json"
TRUST_FILE: Final = "trust.json"

_MESSAGES: Final = {
    "generation_failed": "General license key generation error has occurred",
    "unsupported_type": "This license type has no automatic update",
    "contract_terminated": "The contract has been terminated",
}
_OVERSIZED: Final = 1024 * 1024
_LOGGED: Final = 10_000
_NONCES: Final = 10_000
_WRONG_HOST: Final = "elsewhere.example"
_ELSEWHERE: Final = "/elsewhere"
_JOSE: Final = "application/jose"
_STATUS: Final = {"outage": 503, "refuse": 403, "rate": 429}


@attrs.frozen(kw_only=True)
class Entry:
    """One thing that came to the server.

    Attributes:
        number: counted from 1.
        at: when, in milliseconds by the server's clock.
        license: the license's id; empty where the server did not learn it.
        stage: ``check``, ``download``, ``other``, or ``tls`` for a connection that a fault of TLS befell.
        said: the outcome that was signed, or in some words what came of it.
        fault: the fault that was commanded; empty where none was.
        status: that of HTTP; None where no answer was sent, or not all of it.

    """

    number: int
    at: int
    license: str
    stage: str
    said: str
    fault: str
    status: int | None


class DevServer:
    """A license server that runs in a thread of its own, from the moment it is made; `stop` or ``with`` ends it.

    Its methods may be called from any thread.

    Args:
        host: the address on which it listens. Other than the machine's own (127.0.0.1, ::1), others reach it: its
            keys are worth nothing, but so is its protection.
        port: 0 for a free one.
        folder: where its authority, signing key and license keys lie, and are found again by the next server there;
            None for a temporary one, which goes when it stops.
        clock: tells the time in milliseconds since 1970 in UTC, by which keys are issued and answers signed; the
            system's by default. Certificates are always judged by the system's.
        watch: called with each entry of the log, in the server's thread.

    Attributes:
        url: its base URL.
        folder: its folder.
        ca: the file of the authority that clients must trust.
        token: what commands over HTTP must show.
        clock: may be replaced at any time.

    Raises:
        InvalidValue: the folder holds something else than a server's, or a server runs there already.
        OSError: the address cannot be had, or the folder not be written.

    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        folder: str | Path | None = None,
        clock: Callable[[], int] | None = None,
        watch: Callable[[Entry], None] | None = None,
    ) -> None:
        """Start."""
        self.clock = clock or SystemClock().now_ms
        self._watch = watch
        self._faults = Faults()
        self._lock = threading.Lock()
        self._log: deque[Entry] = deque(maxlen=_LOGGED)
        self._count = 0
        self._nonces: dict[str, None] = {}
        with contextlib.ExitStack() as stack:
            self.folder = _folder(stack, folder)
            self.ca = self.folder / CA_FILE
            self._authority = Authority.open(self.folder)
            self._issuer = Issuer(_signing(self.folder), self.folder, self._now)
            (self.folder / TRUST_FILE).write_text(f"{self.trust}\n", encoding="utf-8")
            listener = stack.enter_context(listen(host, port))
            self.url = _url(listener)
            self._names = _names(host)
            self._contexts = {"": self._authority.context(self._names)}
            self._serving = Serving(self._app(), listener, self._contexts[""], self._context)
            stack.callback(self._serving.stop)
            self.token = secrets.token_urlsafe(24)
            told = {"version": 1, "url": self.url, "token": self.token}
            control = self.folder / CONTROL_FILE
            write_private(control, json.dumps(told) + "\n")
            stack.callback(control.unlink, missing_ok=True)
            self._stack = stack.pop_all()

    def stop(self) -> None:
        """Stop: connections are cut, the thread ends, a temporary folder goes. What was logged can still be read."""
        self._stack.close()

    def __enter__(self) -> Self:
        """Give the server, which runs already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    # ------------------------------------------------------------------------------------------ what it has

    @property
    def signing(self) -> SigningKey:
        """What signs license keys and answers."""
        return self._issuer.signing

    @property
    def trust(self) -> str:
        """What a host trusts: the public half of the signing key, as a JWK in one line."""
        return self.signing.public

    @property
    def licenses(self) -> Mapping[str, LicenseKey]:
        """The newest key of each license, by its id."""
        return self._issuer.newest

    def key_file(self, id: str = "ACME-1") -> Path:  # noqa: A002 - as a key calls it
        """Name the file from which a host installs a license's first key; renewing leaves it as it is."""
        return self.folder / KEYS_FOLDER / f"{id}{SUFFIX}"

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that stand."""
        return self._faults.standing

    @property
    def log(self) -> list[Entry]:
        """What came to the server, in order; of many entries the last 10,000."""
        with self._lock:
            return list(self._log)

    # ------------------------------------------------------------------------------------------ what it is told

    def issue(self, id: str = "ACME-1", *, type: str = "subscription", **says: Any) -> LicenseKey:  # noqa: A002, ANN401 - as a key calls it, and whatever it may say
        """Sign a license key; from then on the server offers it to whoever has another of that license.

        Args:
            id: the license's id.
            type: what was sold.
            says: what else the key says, as `LicenseKey` takes it; without ``expires`` it is perpetual. It is issued
                now unless ``issued`` says otherwise, and in any case later than the one before.

        Returns:
            The key, with the text to install in ``signed``; its file is `key_file`.

        Raises:
            InvalidValue: a value breaks its rule.
            OSError: the folder cannot be written.

        """
        return self._issuer.issue(id=id, type=type, **says)

    def renew(self, id: str = "ACME-1", **says: Any) -> LicenseKey:  # noqa: A002, ANN401 - likewise
        """Sign a newer key of a license: the next check brings ``new_key``; `key_file` stays as it is.

        Args:
            id: the license's id.
            says: what it says otherwise than the newest so far; without ``expires`` it expires a year later.

        Raises:
            UnknownLicense: the server issued no key of that license.
            InvalidValue: a value breaks its rule.
            OSError: the folder cannot be written.

        """
        return self._issuer.renew(id, **says)

    def fault(
        self,
        name: str,
        license: str | None = None,  # noqa: A002 - as everywhere here
        times: int | None = None,
        *,
        retry_after: int | str | None = None,
        every: int = 1000,
    ) -> Fault:
        """Let something go wrong, in place of what went wrong for the same license before, or for all.

        Args:
            name: one of `faults.FAULTS`.
            license: for which license; None for all.
            times: for how many requests (connections, downloads); None until something else is said.
            retry_after: what the header Retry-After says: seconds, or text that is sent as it is.
            every: milliseconds between two bytes of a ``drip``.

        Raises:
            InvalidValue: a value breaks its rule.

        """
        fault = Fault(name=name, license=license, times=times, retry_after=retry_after, every=every)
        if fault.stage == "tls" and name not in self._contexts:
            self._contexts[name] = self._broken(name)
        self._faults.set(fault)
        if fault.stage == "tls":
            self._serving.close_idle()
        return fault

    def ok(self, license: str | None = None) -> None:  # noqa: A002 - likewise
        """Let all be well again, for one license or for all."""
        self._faults.clear(license)

    def tell(self, command: str) -> str:
        """Do what a command in words says, such as ``renew ACME-1 2026-02-14``; ``help`` lists them.

        Returns:
            What was done, in some lines.

        Raises:
            LicfsmError: it cannot be done; one line says why.

        """
        return commands.perform(self, command)

    # ------------------------------------------------------------------------------------------ TLS

    def _context(self, name: str | None) -> ssl.SSLContext:
        """Choose what a connection is secured with; commands come under a name of their own, and always in."""
        fault = None if name == CONTROL_NAME else self._faults.take("tls")
        if fault:
            self._note("", "tls", fault.name, fault, None)
        return self._contexts[fault.name if fault else ""]

    def _broken(self, name: str) -> ssl.SSLContext:
        if name == "wrong_host":
            return self._authority.context([_WRONG_HOST])
        if name == "unknown_ca":
            return Authority.generate().context(self._names)
        return self._authority.context(self._names, expired=True)

    # ------------------------------------------------------------------------------------------ HTTP

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/check", self._check, methods=["POST"]),
                Route(f"{_ELSEWHERE}/v1/check", self._check_elsewhere, methods=["POST"]),
                Route("/v1/keys/{name}", self._download, methods=["GET"]),
                Route("/control/tell", self._control_tell, methods=["POST"]),
                Route("/control/state", self._control_state, methods=["GET"]),
                Route("/control/log", self._control_log, methods=["GET"]),
            ],
            exception_handlers={HTTPException: self._lost},
        )

    async def _check(self, request: Request) -> Response:
        asked: AskedQuestion | Refused
        try:
            asked = await asked_question(request)
        except Refused as error:
            asked = error
        license_id = asked.license if isinstance(asked, AskedQuestion) else ""
        fault = self._faults.take("check", license_id or None)
        if fault and (unheard := self._without_an_answer(fault, license_id)):
            return unheard
        return self._refuse("", asked, fault) if isinstance(asked, Refused) else self._answered(asked, fault)

    async def _check_elsewhere(self, request: Request) -> Response:
        """Answer as if nothing went wrong: who follows a redirect is found out by it."""
        try:
            return self._answered(await asked_question(request), None)
        except Refused as error:
            return self._refuse("", error, None)

    def _answered(self, question: AskedQuestion, fault: Fault | None) -> Response:
        """Answer a question by its merits, and bring about what goes wrong with the answer."""
        try:
            answer = self._answer(question)
        except Refused as error:
            return self._refuse(question.license, error, fault)
        if fault:
            return self._with_a_fault(answer, fault)
        self._note(question.license, "check", answer.outcome, None, 200)
        return json_response(write_answer(sign_answer(answer, self.signing)))

    def _answer(self, question: AskedQuestion) -> SignedAnswer:
        """Find the answer that is right, or refuse the question."""
        try:
            installed = self._issuer.trust.verify(question.key)
        except KeyRejected as error:
            raise Refused(403, f"the installed key is not genuine: {error}") from None
        if installed.id != question.license:
            raise Refused(403, "the installed key is another license's")
        newest = self._issuer.newest.get(question.license)
        if newest is None:
            raise Refused(404, "no such license")
        with self._lock:
            if question.nonce in self._nonces:
                raise Refused(409, "the nonce was used before")
            self._nonces[question.nonce] = None
            if len(self._nonces) > _NONCES:
                del self._nonces[next(iter(self._nonces))]
        told = SignedAnswer(question.license, question.nonce, self.clock(), "up_to_date")
        if newest.signed == installed.signed or newest.issued_at < installed.issued_at:
            return told
        return attrs.evolve(told, outcome="new_key", key=key_path(newest))

    def _without_an_answer(self, fault: Fault, asked: str) -> Response | None:
        """Do what goes wrong whatever was asked; None where a fault needs an answer."""
        name = fault.name
        if name in _STATUS:
            return self._refuse(asked, Refused(_STATUS[name], "simulated, on command"), fault)
        if name == "redirect":
            self._note(asked, "check", name, fault, 307)
            return Response(status_code=307, headers={"Location": f"{self.url}{_ELSEWHERE}/v1/check"})
        if name == "garbage":
            self._note(asked, "check", name, fault, 200)
            return json_response(b'{"answer": "this is no JSON')
        if name in {"hang", "reset"}:
            self._note(asked, "check", name, fault, None)
            return Broken(self._serving, b"", reset=name == "reset", hang=name == "hang")
        return None

    def _with_a_fault(self, answer: SignedAnswer, fault: Fault) -> Response:
        """Answer, but with something that is wrong."""
        signing, name, asked = self.signing, fault.name, answer.license
        if name in SIGNED:
            answer = attrs.evolve(answer, outcome=name, key="", message=_MESSAGES[name])
        elif name == "wrong_key":
            signing = SigningKey.generate()
        elif name == "wrong_nonce":
            answer = attrs.evolve(answer, nonce=secrets.token_urlsafe(32))
        elif name == "wrong_license":
            answer = attrs.evolve(answer, license=other_id(asked))
        body = write_answer(sign_answer(answer, signing))
        self._note(asked, "check", answer.outcome, fault, None if name == "truncated" else 200)
        if name == "truncated":
            return Broken(self._serving, body)
        if name == "drip":
            return Drip(body, fault.every)
        return json_response(body[:-1] + b',"x-filler":"' + b"x" * _OVERSIZED + b'"}' if name == "oversized" else body)

    async def _download(self, request: Request) -> Response:
        key = self._issuer.at_path(request.url.path)
        if key is None:
            return self._refuse("", Refused(404, "no such key"), None, "download")
        fault = self._faults.take("download", key.id)
        name = fault.name if fault else ""
        if name == "download_missing":
            return self._refuse(key.id, Refused(404, "simulated, on command"), fault, "download")
        cut = name == "download_truncated"
        self._note(key.id, "download", "the new key", fault, None if cut else 200)
        if cut:
            return Broken(self._serving, key.signed.encode(), media_type=_JOSE)
        sent = self._issuer.foreign(key) if name == "download_other" else key
        return Response(sent.signed, media_type=_JOSE)

    async def _lost(self, request: Request, error: Exception) -> Response:
        """Refuse what is neither a check nor a download."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        headers = error.headers if isinstance(error, HTTPException) else None
        if not request.url.path.startswith("/control/"):
            self._note("", "other", clean_text(f"{request.method} {request.url.path}")[:64], None, status)
        return JSONResponse({"error": "there is nothing of that kind here"}, status, headers)

    def _refuse(self, asked: str, refused: Refused, fault: Fault | None, stage: str = "check") -> Response:
        self._note(asked, stage, refused.why, fault, refused.status)
        return JSONResponse({"error": refused.why}, refused.status, fault.headers if fault else None)

    def _now(self) -> int:
        """Tell the time by the clock that is set now."""
        return self.clock()

    def _note(self, asked: str, stage: str, said: str, fault: Fault | None, status: int | None) -> None:
        now, told = self.clock(), fault.name if fault else ""
        with self._lock:
            self._count += 1
            entry = Entry(number=self._count, at=now, license=asked, stage=stage, said=said, fault=told, status=status)
            self._log.append(entry)
        if self._watch:
            self._watch(entry)

    # ------------------------------------------------------------------------------------------ commands over HTTP

    def _barred(self, request: Request) -> Response | None:
        """Refuse who comes from another machine, or does not show the token."""
        client, (here, _) = request.client, request.scope["server"]
        if client is None or not (client.host == here or ipaddress.ip_address(client.host).is_loopback):
            return JSONResponse({"error": "commands come from this machine only"}, 403)
        shown = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(shown, f"Bearer {self.token}".encode()):
            return JSONResponse({"error": "the token is missing or wrong"}, 401, {"WWW-Authenticate": "Bearer"})
        return None

    async def _control_tell(self, request: Request) -> Response:
        if barred := self._barred(request):
            return barred
        try:
            command = json_object(await body_of(request, MOST_TOLD), "the command").get("command")
            if not isinstance(command, str):
                return JSONResponse({"error": 'say what to do: {"command": "help"}'}, 400)
            return JSONResponse({"told": self.tell(command)})
        except LicfsmError as error:
            return JSONResponse({"error": str(error)}, 400)

    async def _control_state(self, request: Request) -> Response:
        if barred := self._barred(request):
            return barred
        licenses = {
            key.id: {
                "type": key.type,
                "expires": key.expires and key.expires.isoformat(),
                "issued": instants.isoformat(key.issued_at),
                "key": key.signed,
            }
            for key in self.licenses.values()
        }
        return JSONResponse(
            {
                "version": 1,
                "url": self.url,
                "time": instants.isoformat(self.clock()),
                "licenses": licenses,
                "faults": [attrs.asdict(fault) for fault in self.faults],
            }
        )

    async def _control_log(self, request: Request) -> Response:
        if barred := self._barred(request):
            return barred
        after = request.query_params.get("after", "0")
        if not (after.isascii() and after.isdecimal()):
            return JSONResponse({"error": "after must be the number of an entry"}, 400)
        entries = [attrs.asdict(entry) for entry in self.log if entry.number > int(after[:18])]
        return JSONResponse({"version": 1, "entries": entries})


# ---------------------------------------------------------------------------------------------- its folder and names


def _folder(stack: contextlib.ExitStack, given: str | Path | None) -> Path:
    if given is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="licfsm-devserver-")))
    folder = Path(given).absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if url := running_in(folder):
        message = f"{clean_text(str(folder))}: a devserver runs there already, at {url}"
        raise InvalidValue(message)
    return folder


def _signing(folder: Path) -> SigningKey:
    path = folder / SIGNING_FILE
    if path.exists():
        return SigningKey.load(path)
    made = SigningKey.generate()
    made.save(path)
    return made


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - to reach it, not to open it
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _names(host: str) -> list[str]:
    """Name what the certificate is for: this machine, and the address on which it listens."""
    names = dict.fromkeys(["localhost", "127.0.0.1", "::1", socket.gethostname(), host, CONTROL_NAME])
    return [name for name in names if name.isascii()]
