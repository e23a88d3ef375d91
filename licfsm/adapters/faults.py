"""Puts into words why a license server could not be asked: one line, for an administrator who can do something about it.

A fault arrives as an exception of httpx, with the operating system's or OpenSSL's own at the end of its causes, or as
an HTTP status. What a server or a certificate says of itself is untrusted: cleaned (rules.md 8.3) and cut. Nothing
that is told here holds a question, a key, a nonce or a password.
"""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import attrs

from licfsm.adapters.answers import CHECK_PATH
from licfsm.key import clean_text

__all__ = ["Address", "Certificate", "Scene", "explain", "explain_status", "read_certificate", "short"]

_SHOWN: Final = 200
_MOST_NAMES: Final = 5

Look = Callable[[], "Certificate | None"]


def short(text: str) -> str:
    """Show what another said, in one line, cleaned and cut."""
    return clean_text(" ".join(text.split()))[:_SHOWN].strip()


@attrs.frozen
class Address:
    """Where somebody is reached.

    Attributes:
        host: a name of DNS or an IP address.
        port: of TCP.

    """

    host: str
    port: int

    def __str__(self) -> str:
        """Write both as a URL does."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@attrs.define
class Scene:
    """What was going on.

    Attributes:
        server: the license server.
        deadline: how long the question may take, in seconds.
        patience: how long one address is given to connect, and TLS to be agreed on, in seconds.
        certified: whether there is a client certificate to show.
        hop: what TCP was connected to: the server, or a proxy.
        peer: who was being talked to.
        stage: ``connect``, ``tls``, ``answer`` or ``body``.

    """

    server: Address
    deadline: float
    patience: float
    certified: bool = False
    hop: Address = attrs.field()
    peer: Address = attrs.field()
    stage: str = "answer"

    @hop.default
    def _to_the_server(self) -> Address:
        return self.server

    @peer.default
    def _with_the_server(self) -> Address:
        return self.server

    @property
    def who(self) -> str:
        """Name who was being talked to."""
        return self.peer.host if self.peer == self.server else f"the proxy {self.peer}"

    @property
    def where(self) -> str:
        """Name who was being talked to, with the port."""
        return f"{self.who} (port {self.peer.port})" if self.peer == self.server else self.who

    def too_slow(self, seconds: float | None = None) -> str:
        """Say that the time is over: all of it, or some seconds of it."""
        what, remedy = _SLOW[self.stage]
        return f"{self.where} did not answer within {seconds or self.deadline:g} seconds: {what}; {remedy}"

    def too_slow_a_step(self) -> str:
        """Say that the time of this step is over."""
        return self.too_slow(self.patience if self.stage in {"connect", "tls"} else None)


_SLOW: Final = {
    "connect": ("no connection came about", "is it running, and does a firewall or DNS hold the connection up?"),
    "tls": ("the TLS handshake did not end", "is it overloaded, and is this the port of its HTTPS?"),
    "answer": ("no answer came", "is it overloaded? Its own log may say more"),
    "body": ("the answer did not end", "is it overloaded, or the network slow?"),
}
"""What had not happened at the deadline, and what to ask, by stage."""


# ---------------------------------------------------------------------------------------------- exceptions


def explain(error: BaseException, scene: Scene, look: Look) -> str:
    """Say in one line what went wrong, and what to do.

    Args:
        error: what was raised.
        scene: when.
        look: reads the certificate that the peer shows, if that is possible.

    """
    causes = []
    cause: BaseException | None = error
    while cause is not None:
        causes.append(cause)
        cause = _beneath(cause)
    for cause in reversed(causes):  # the last one knows best
        for kind, tell in _SYSTEM:
            if isinstance(cause, kind):
                return tell(cause, scene, look)
    return _explain_http(error, scene)


def _beneath(error: BaseException) -> BaseException | None:
    """Find what an exception was made of; httpcore holds it as an argument, and drops it as the cause."""
    first = error.args[0] if error.args else None
    return first if isinstance(first, BaseException) else error.__cause__


def _explain_http(error: BaseException, scene: Scene) -> str:
    """Say what httpx found by itself."""
    import httpx

    if isinstance(error, httpx.ProxyError):
        return _explain_proxy(str(error), scene)
    if isinstance(error, httpx.PoolTimeout):
        return "the HTTP client that was given has no free connection; give one that has, or one of its own"
    if isinstance(error, httpx.TimeoutException):
        return scene.too_slow_a_step()
    if isinstance(error, httpx.RemoteProtocolError):
        return _explain_protocol(str(error), scene)
    if isinstance(error, httpx.NetworkError):
        return _explain_closed(error, scene)
    return f"asking {scene.server} failed: {type(error).__name__}; the log says where"


def _explain_protocol(said: str, scene: Scene) -> str:
    if "disconnected" in said:
        return _explain_closed(None, scene)
    if "peer closed" in said:
        return f"{scene.where} broke its answer off; the network, or the server's own log, may say why"
    return f"{scene.where} answered what is no proper HTTP ({short(said)}); is this the address of a license server?"


def _explain_proxy(said: str, scene: Scene) -> str:
    proxy, server = f"the proxy {scene.hop}", scene.server
    status = said.partition(" ")[0]
    if status == "407":
        return f"{proxy} demands a login (407); give a name and a password, which it accepts, in the proxy's URL"
    if status.startswith("4"):
        return f"{proxy} does not let through to {server} ({short(said)}); have it allowed there"
    return f"{proxy} cannot reach {server} ({short(said)}); check the server's address, and the proxy's own log"


def _explain_name(_: Any, scene: Scene, __: Look) -> str:  # noqa: ANN401 - each kind of exception has its own type
    whose, what = ("", "server") if scene.peer == scene.server else (" of the proxy", "proxy")
    return (
        f"the name {scene.peer.host}{whose} cannot be resolved; check the {what}'s address, and the DNS of this machine"
    )


def _explain_refused(_: Any, scene: Scene, __: Look) -> str:  # noqa: ANN401 - likewise
    if scene.peer == scene.server:
        port = scene.peer.port
        return f"{scene.who} refused the connection on port {port}; is the server running, and does a firewall let it through?"
    return f"{scene.who} refused the connection; is it running, and is its address right?"


def _explain_closed(_: Any, scene: Scene, __: Look | None = None) -> str:  # noqa: ANN401 - likewise
    if scene.stage == "tls":
        return f"{scene.where} broke off the TLS handshake; is this the port of its HTTPS, and does a firewall let it through?"
    if scene.stage == "body":
        return f"{scene.where} broke its answer off; the network, or the server's own log, may say why"
    return f"{scene.where} closed the connection without an answer; its own log may say why{_perhaps(scene)}"


def _perhaps(scene: Scene) -> str:
    """Say what else a server may want that closes a connection."""
    return (
        ""
        if scene.certified or scene.peer != scene.server
        else ", and whether it wants a client certificate (client_certificate=)"
    )


def _explain_system(error: OSError, scene: Scene, _: Look) -> str:
    why = short(error.strerror or type(error).__name__)
    return f"{scene.where} cannot be reached: {why}; check the address, and the network of this machine"


# ---------------------------------------------------------------------------------------------- TLS


def _explain_tls(error: ssl.SSLError, scene: Scene, look: Look) -> str:
    """Say what OpenSSL found."""
    if isinstance(error, ssl.SSLCertVerificationError):
        tell = _VERIFYING.get(error.verify_code)
        if tell is not None:
            return tell(scene, look)
        why = short(error.verify_message)
        return f"the certificate of {scene.where} is refused: {why}; whoever runs the server must mend it"
    if isinstance(error, ssl.SSLEOFError):
        return _explain_closed(error, scene)
    reason = error.reason or ""
    for part, tell_reason in _REASONS:
        if part in reason:
            return tell_reason(scene)
    why = short(reason or type(error).__name__)
    return f"{scene.where} and this machine cannot agree on TLS ({why}); the server's own log may say why"


def _clock() -> str:
    return f"{dt.datetime.fromtimestamp(time.time(), dt.UTC):%Y-%m-%d %H:%M} UTC"


def _explain_expired(scene: Scene, look: Look) -> str:
    found = look()
    whose, when = f"the certificate of {scene.where}", ""
    if found is not None and found.until.timestamp() <= time.time():
        when = f" on {found.until:%Y-%m-%d}"
    elif found is not None:  # it is one of its CAs', or that of another machine behind the same address
        whose = f"a certificate that {scene.where} showed"
    return f"{whose} expired{when}; whoever runs the server must renew it (this machine's clock says {_clock()})"


def _explain_early(scene: Scene, look: Look) -> str:
    found = look()
    when = "not valid yet" if found is None else f"valid from {found.since:%Y-%m-%d %H:%M} UTC on only"
    return f"the certificate of {scene.where} is {when}; check this machine's clock, which says {_clock()}"


def _explain_another_name(scene: Scene, look: Look) -> str:
    found = look()
    if found is not None and scene.peer.host in found.names:  # that of another machine behind the same address
        found = None
    names = ", ".join(found.names[:_MOST_NAMES]) if found is not None else ""
    more = " and others" if found is not None and len(found.names) > _MOST_NAMES else ""
    whom = f"for {short(names)}{more}" if names else "for another name"
    return (
        f"the certificate of {scene.where} is {whom}, not for {scene.peer.host}; "
        f"give the address by a name that the certificate has, or have it issued anew"
    )


def _explain_unknown(scene: Scene, _: Look) -> str:
    return (
        f"the certificate of {scene.where} comes from a CA that is not known here; "
        f"if it is the right one, give its CA's certificate with ca="
    )


def _explain_self_signed(scene: Scene, _: Look) -> str:
    return (
        f"the certificate of {scene.where} is self-signed, so nobody vouches for it; "
        f"if it is the right one, give it with ca="
    )


def _explain_plain(scene: Scene) -> str:
    return f"{scene.who} does not speak TLS on port {scene.peer.port}; give the port of its HTTPS"


def _explain_version(scene: Scene) -> str:
    return f"{scene.where} has no version of TLS that is allowed here, 1.2 at least; whoever runs it must update it"


def _explain_no_certificate(scene: Scene) -> str:
    if scene.certified:
        return f"{scene.where} does not accept the client certificate; have it admitted there, or give another"
    return f"{scene.where} demands a client certificate; give one with client_certificate="


def _explain_disagreement(scene: Scene) -> str:
    return (
        f"{scene.where} and this machine cannot agree on TLS; the server's own log may say whether on the "
        f"ciphers{_perhaps(scene)}"
    )


_VERIFYING: Final[dict[int, Callable[[Scene, Look], str]]] = {
    9: _explain_early,
    10: _explain_expired,
    18: _explain_self_signed,
    19: _explain_unknown,
    20: _explain_unknown,
    21: _explain_unknown,
    62: _explain_another_name,
    64: _explain_another_name,
}
"""What is wrong with a certificate, by OpenSSL's number."""

_REASONS: Final[tuple[tuple[str, Callable[[Scene], str]], ...]] = (
    ("WRONG_VERSION_NUMBER", _explain_plain),
    ("HTTP_REQUEST", _explain_plain),
    ("PACKET_LENGTH_TOO_LONG", _explain_plain),
    ("RECORD_LAYER_FAILURE", _explain_plain),
    ("PROTOCOL_VERSION", _explain_version),
    ("UNSUPPORTED_PROTOCOL", _explain_version),
    ("ALERT_HANDSHAKE_FAILURE", _explain_disagreement),
    ("CERTIFICATE", _explain_no_certificate),
    ("ALERT_UNKNOWN_CA", _explain_no_certificate),
    ("ALERT_ACCESS_DENIED", _explain_no_certificate),
)
"""What went wrong with TLS, by a part of OpenSSL's word for it; the first that fits tells it."""

_SYSTEM: Final[tuple[tuple[type[Exception], Callable[[Any, Scene, Look], str]], ...]] = (
    (socket.gaierror, _explain_name),
    (UnicodeError, _explain_name),  # of a name that DNS cannot have
    (ssl.SSLError, _explain_tls),
    (TimeoutError, lambda _, scene, __: scene.too_slow_a_step()),
    (ConnectionRefusedError, _explain_refused),
    (ConnectionError, _explain_closed),
    (OSError, _explain_system),
)
"""What the operating system and OpenSSL raise; the first kind that fits tells it."""


@attrs.frozen
class Certificate:
    """What a certificate says of itself; nothing vouches for it.

    Attributes:
        since: its first instant.
        until: its last instant.
        names: whose it is: names of DNS, IP addresses; cleaned.

    """

    since: dt.datetime
    until: dt.datetime
    names: tuple[str, ...]


def read_certificate(line: socket.socket, name: str) -> Certificate | None:
    """Shake hands only to see the certificate that is shown, and send nothing; closes the connection.

    It is looked at after it was refused, to say why: whatever it says, nothing is believed or sent for it.

    Args:
        line: a connection, with its time limit.
        name: what the server is called.

    """
    from cryptography import x509

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with line, context.wrap_socket(line, server_hostname=name) as shown:
            found = x509.load_der_x509_certificate(shown.getpeercert(binary_form=True) or b"")
        return Certificate(found.not_valid_before_utc, found.not_valid_after_utc, _names(found))
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it only adds to what is known already
        return None


def _names(found: Any) -> tuple[str, ...]:  # noqa: ANN401 - cryptography is not loaded here
    from cryptography import x509

    try:
        told = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    names = (*told.get_values_for_type(x509.DNSName), *map(str, told.get_values_for_type(x509.IPAddress)))
    return tuple(short(name) for name in names)


# ---------------------------------------------------------------------------------------------- HTTP


def explain_status(status: int, said: str, location: str, where: str) -> str:
    """Say what an HTTP status means, and what to do.

    Args:
        status: of the answer; not 200.
        said: what the server says about it; may be empty.
        location: where it redirects to; may be empty.
        where: who answered.

    """
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    told = short(" ".join(filter(None, (str(status), phrase))))
    told += f": {short(said)}" if said else ""
    if 300 <= status < 400 and location:  # noqa: PLR2004 - RFC 9110 15.4
        return f"{where} redirects to {short(location)} ({status}), which is not followed; {_redirected(location)}"
    remedy = _REMEDIES.get(status) or _CLASSES.get(status // 100, "is this the address of a license server?")
    return f"{where} answered {told}; {remedy}"


def _redirected(location: str) -> str:
    if location.lower().startswith("http://"):
        return "it is not HTTPS, so give an address that does not redirect there"
    own = f", without {CHECK_PATH} at its end" if location.endswith(CHECK_PATH) else ""
    return f"give the address it redirects to{own}"


_REMEDIES: Final = {
    401: "it does not admit this machine; ask whoever runs the server",
    403: "it does not admit this license or this machine; ask whoever runs the server",
    404: "is this the address of a license server?",
    429: "it is asked too often; it says itself when it wants to be asked again, or in an hour it is",
    503: "it is overloaded or under repair; whoever runs the server knows more",
}
_CLASSES: Final = {
    4: "it refuses the question; whoever runs the server can say why",
    5: "it has a fault; whoever runs the server finds it in its log",
}
