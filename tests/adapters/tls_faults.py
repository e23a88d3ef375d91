"""License servers on loopback that do as they are told: answer, lie, stall, break off; real sockets, real TLS."""

import atexit
import contextlib
import datetime as dt
import ipaddress
import json
import select
import shutil
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import attrs
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import licfsm
from licfsm.adapters.answers import SignedAnswer, sign_answer, write_answer
from licfsm.adapters.key_pairs import SigningKey
from licfsm.adapters.keys import TrustedKeys, sign
from licfsm.adapters.server import HttpsServer
from licfsm.ports import Answer, Question

HOST = "127.0.0.1"
SIGNER = SigningKey.generate()
STRANGER = SigningKey.generate()
TRUSTED = TrustedKeys.of(SIGNER.public)
TIME = 1738886400123
PATIENCE = 20
"""Seconds; nothing that a server waits for takes longer, unless a test is broken."""


def key_of(license_id: str = "ACME-1", *, issued: str = "2025-02-01", signer: SigningKey = SIGNER) -> licfsm.LicenseKey:
    """Sign a license key."""
    return sign(licfsm.LicenseKey(id=license_id, type="rental", expires="2025-02-14", issued=issued), signer)


INSTALLED = key_of()
RENEWED = key_of(issued="2025-02-10")
QUESTION = Question(1, INSTALLED, TIME)


# ---------------------------------------------------------------------------------------------- certificates

CA = trustme.CA()
OTHER_CA = trustme.CA()
FOLDER = Path(tempfile.mkdtemp(prefix="licfsm-test-"))
atexit.register(shutil.rmtree, FOLDER)
CA_FILE = FOLDER / "ca.pem"
CA.cert_pem.write_to_path(str(CA_FILE))


def tls(leaf: trustme.LeafCert | None = None, **settings: Any) -> ssl.SSLContext:  # noqa: ANN401 - passed on as they are
    """Make a server's side of TLS; its certificate is for 127.0.0.1 and localhost unless another is given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (leaf or LEAF).configure_cert(context)
    for name, value in settings.items():
        setattr(context, name, value)
    return context


@attrs.frozen
class Made:
    """A certificate that trustme does not make, with its key."""

    certificate: x509.Certificate
    private: ec.EllipticCurvePrivateKey

    @classmethod
    def of(cls, issuer: Self | None = None, *names: str, ca: bool = False, days: int = 1) -> Self:
        """Make one that began ten days ago, and ends in some days; without an issuer it signs itself."""
        private = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"made {x509.random_serial_number()}")])
        now = dt.datetime.now(dt.UTC)
        by, signer = (issuer.certificate.subject, issuer.private) if issuer else (name, private)
        building = (
            x509.CertificateBuilder(by, name, private.public_key(), x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=10))
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            told = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name)) for name in names])
            building = building.add_extension(told, critical=False)
        return cls(building.sign(signer, hashes.SHA256()), private)

    @property
    def pem(self) -> str:
        """The certificate, as text."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def tls(self, *chain: Self) -> ssl.SSLContext:
        """Make a server's side of TLS that shows it, and what it comes from."""
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file = FOLDER / "made.pem"
        file.write_text(self.pem + "".join(each.pem for each in chain) + self.private.private_bytes(*form).decode())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


LEAF = CA.issue_cert("localhost", HOST)
TLS = tls()


# ---------------------------------------------------------------------------------------------- servers


@attrs.frozen
class Request:
    """What came over a connection."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def asked(self) -> dict[str, Any]:
        """What a question says."""
        found: dict[str, Any] = json.loads(self.body)
        return found


class Line:
    """A connection, from the server's end."""

    def __init__(self, sock: socket.socket, over: threading.Event) -> None:
        """Take it."""
        self.sock = sock
        self._over = over

    def request(self) -> Request:
        """Read a request; nobody keeps a connection here for two."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._some()
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(headers.get("content-length", 0)):
            body += self._some()
        method, path, _ = first.split(" ")
        return Request(method, path, headers, body)

    def _some(self) -> bytes:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError
        return data

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.sock.sendall(data)

    def reply(self, body: bytes = b"", status: str = "200 OK", *headers: str, kind: str = "application/json") -> None:
        """Send an HTTP response, whole."""
        self.send(head(len(body), status, *headers, kind=kind) + body)

    def wait(self) -> None:
        """Do nothing until the test is over, or the client has gone."""
        self.sock.settimeout(0.05)
        while not self._over.is_set():
            try:
                if not self.sock.recv(65536):
                    return
            except TimeoutError:
                continue

    def drip(self, data: Iterable[int]) -> None:
        """Send byte by byte, twenty in a second, until the client has enough."""
        for byte in data:
            self.send(bytes([byte]))
            if self._over.wait(0.05):
                return

    def reset(self) -> None:
        """End the connection rudely (RST)."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.socket(fileno=self.sock.detach()).close()  # without TLS's farewell


def head(length: int, status: str = "200 OK", *headers: str, kind: str = "application/json") -> bytes:
    """Write the head of an HTTP response."""
    lines = (f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {length}", *headers, "", "")
    return "\r\n".join(lines).encode()


Serve = Callable[[Line], None]


class Server:
    """Serves each connection in a thread, by a function.

    Args:
        serve: is called with each connection, once TLS is agreed on.
        context: the server's side of TLS; None for none.

    """

    def __init__(self, serve: Serve, context: ssl.SSLContext | None = TLS) -> None:
        """Listen."""
        self.serve = serve
        self.greeted = 0
        """How many connections got through the handshake."""
        self._context = context
        self._over = threading.Event()
        self._listening = socket.create_server((HOST, 0), backlog=128)
        self.port: int = self._listening.getsockname()[1]
        self._serving: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def __enter__(self) -> Self:
        """Serve."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let every connection go, and wait until all threads have ended."""
        self._over.set()
        self.stop()
        self.settle()

    def stop(self) -> None:
        """Take no further connection."""
        with contextlib.suppress(OSError):  # it takes none already
            self._listening.shutdown(socket.SHUT_RDWR)
        self._accepting.join(PATIENCE)
        self._listening.close()

    def settle(self) -> None:
        """Wait until every connection so far is served."""
        for thread in list(self._serving):
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a server did not end"
        self._serving.clear()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._handle, args=(sock,))
            thread.start()
            self._serving.append(thread)

    def _handle(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE)
        with contextlib.suppress(OSError), sock:
            if self._context is None:
                self.serve(Line(sock, self._over))
                return
            with self._context.wrap_socket(sock, server_side=True) as line:
                self.greeted += 1
                self.serve(Line(line, self._over))

    def ask(self, question: Question = QUESTION, **options: Any) -> Answer:  # noqa: ANN401 - passed on as they are
        """Ask it, once."""
        with contextlib.closing(self.client(**options)) as server:
            return server.ask(question)

    def client(self, host: str = HOST, path: str = "", **options: Any) -> HttpsServer:  # noqa: ANN401 - passed on as they are
        """Make a client of it."""
        own = {} if "client" in options else {"ca": CA_FILE}
        options = {**own, "trust": TRUSTED, "deadline": PATIENCE, **options}
        return HttpsServer(f"https://{host}:{self.port}{path}", **options)


# ---------------------------------------------------------------------------------------------- a license server


def signed(request: Request, outcome: str = "up_to_date", *, by: SigningKey = SIGNER, **changes: Any) -> bytes:  # noqa: ANN401 - passed on as they are
    """Write the answer to a question, signed."""
    asked = request.asked
    values: dict[str, Any] = {"license": asked["license"], "nonce": asked["nonce"], "time": TIME, "outcome": outcome}
    if outcome == "new_key":
        values["key"] = "/v1/keys/5f1c"
    return write_answer(sign_answer(SignedAnswer(**values | changes), by))


class LicenseServer:
    """Answers questions; each request is kept in ``seen``.

    Args:
        outcome: what it says.
        headers: of the answer.
        key: what it gives as the new key.
        changes: of the signed answer.

    """

    def __init__(self, outcome: str = "up_to_date", *headers: str, key: bytes | None = None, **changes: Any) -> None:  # noqa: ANN401 - passed on as they are
        """Begin with no question."""
        self.seen: list[Request] = []
        self._outcome = outcome
        self._headers = headers
        self._key = RENEWED.signed.encode() if key is None else key
        self._changes = changes

    def __call__(self, line: Line) -> None:
        """Serve a connection."""
        request = line.request()
        self.seen.append(request)
        if request.method == "GET":
            line.reply(self._key, kind="application/jose")
        else:
            line.reply(signed(request, self._outcome, **self._changes), "200 OK", *self._headers)


def greeted(respond: Serve) -> Serve:
    """Make what reads the beginning of a handshake first."""

    def serve(line: Line) -> None:
        line.sock.recv(65536)
        respond(line)

    return serve


def asked(respond: Serve) -> Serve:
    """Make what reads a request first."""

    def serve(line: Line) -> None:
        line.request()
        respond(line)

    return serve


def downloaded(respond: Serve) -> Serve:
    """Make what says that there is a new key, and then serves its download so."""

    def serve(line: Line) -> None:
        request = line.request()
        if request.method == "POST":
            line.reply(signed(request, "new_key"))
        else:
            respond(line)

    return serve


def replying(body: bytes = b"", status: str = "200 OK", *headers: str, kind: str = "application/json") -> Serve:
    """Make what responds so."""
    return lambda line: line.reply(body, status, *headers, kind=kind)


def sending(*data: bytes, then: Serve = lambda _: None) -> Serve:
    """Make what sends bytes as they are, and then does something else."""

    def respond(line: Line) -> None:
        for part in data:
            line.send(part)
        then(line)

    return respond


def signing(outcome: str = "up_to_date", **changes: Any) -> Serve:  # noqa: ANN401 - passed on as they are
    """Make what reads a question and answers it, signed."""
    return lambda line: line.reply(signed(line.request(), outcome, **changes))


class Proxy:
    """Tunnels by CONNECT; ``seen`` has what it was asked."""

    def __init__(self, status: str = "200 Connection established", *, instead: int | None = None) -> None:
        """Begin with no request; ``instead`` is the port it connects to whatever it is asked for."""
        self.seen: list[Request] = []
        self._status = status
        self.instead = instead

    def __call__(self, line: Line) -> None:
        """Serve a connection."""
        request = line.request()
        self.seen.append(request)
        if not self._status.startswith("200"):
            line.send(f"HTTP/1.1 {self._status}\r\nContent-Length: 0\r\n\r\n".encode())
            return
        port = int(request.path.rpartition(":")[2])
        with socket.create_connection((HOST, self.instead or port), PATIENCE) as onward:
            line.send(f"HTTP/1.1 {self._status}\r\n\r\n".encode())
            tunnel(line.sock, onward)


def tunnel(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes either way until one of both ends."""
    ways = {one: other, other: one}
    while True:
        waiting = [end for end in ways if isinstance(end, ssl.SSLSocket) and end.pending()]
        for end in waiting or select.select(list(ways), [], [], PATIENCE)[0]:
            data = end.recv(65536)
            if not data:
                return
            ways[end].sendall(data)


@contextlib.contextmanager
def nobody() -> Iterator[int]:
    """Give a port on which nobody listens."""
    with socket.socket() as held:
        held.bind((HOST, 0))
        yield held.getsockname()[1]
