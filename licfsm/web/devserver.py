"""A license server for trying things out: real HTTPS, real signatures, and every fault on command.

It keeps the protocol of `licfsm.protocol` as a server must: it trusts nobody's question but one that a key of its own
vouches for, answers no nonce twice, and signs what it says: `answering`. What goes wrong on command is in `faults`; what
can be told to it in words, in `commands`, and by another process, in `commanding`; how bytes come onto the wire, in
`serving`.

In a test::

    with DevServer() as server:
        key = server.issue("ACME-1", expires="2025-02-14")
        server.fault("outage", times=2, retry_after=120)
        ...                                     # ask server.url, trusting server.ca and server.trust
        server.renew("ACME-1", expires="2026-02-14")
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from licfsm.adapters.clock import SystemClock
from licfsm.adapters.key_pairs import SigningKey
from licfsm.errors import InvalidValue
from licfsm.key import LicenseKey, clean_text
from licfsm.web import commands
from licfsm.web.answering import Answering
from licfsm.web.certificates import CA_FILE, Authority, write_private
from licfsm.web.commanding import Commanding
from licfsm.web.control import CONTROL_FILE, CONTROL_NAME, running_in
from licfsm.web.faults import Fault, Faults
from licfsm.web.issuing import KEYS_FOLDER, SUFFIX, Issuer
from licfsm.web.log import Entry, Log
from licfsm.web.serving import Serving, listen

__all__ = ["SIGNING_FILE", "TRUST_FILE", "DevServer"]

SIGNING_FILE: Final = "signing-key.json"
TRUST_FILE: Final = "trust.json"

_WRONG_HOST: Final = "elsewhere.example"


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
        self._faults = Faults()
        self._log = Log(self._now, watch)
        commanding = Commanding(self)
        self.token = commanding.token
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
            answering = Answering(self._issuer, self._faults, self._log, self._now)
            app = Starlette(
                routes=answering.routes + commanding.routes, exception_handlers={HTTPException: answering.lost}
            )
            self._serving = answering.serving = Serving(app, listener, self._contexts[""], self._context)
            stack.callback(self._serving.stop)
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
        return self._log.entries

    def _now(self) -> int:
        """Tell the time by the clock that is set now."""
        return self.clock()

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
            self._log.note("", "tls", fault.name, fault.name, None)
        return self._contexts[fault.name if fault else ""]

    def _broken(self, name: str) -> ssl.SSLContext:
        if name == "wrong_host":
            return self._authority.context([_WRONG_HOST])
        if name == "unknown_ca":
            return Authority.generate().context(self._names)
        return self._authority.context(self._names, expired=True)


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
