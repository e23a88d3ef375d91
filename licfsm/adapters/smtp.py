"""One mail to one server by SMTP, with a `deadline` for the whole, and words for whatever goes wrong."""

from __future__ import annotations

import base64
import re
import smtplib
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any, Final

import attrs

from licfsm.adapters.deadline import Deadline
from licfsm.key import clean_text
from licfsm.ports import Refusal

if TYPE_CHECKING:
    from licfsm.adapters.mail import Mail

__all__ = ["DOMAIN", "PORTS", "Delivery", "Sent", "is_password", "listed"]

PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
DOMAIN: Final = re.compile(r"(?=.{1,253}\Z)(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*")
_LONGEST_SAID: Final = 200
_GRACE: Final = 1.0
"""Seconds that a delivery has for its end, once its connection is shut down."""
_VERDICT: Final = 4
"""For so many deadlines more a server may look at the text of a mail before it says whether it takes it. Filters look
for long (RFC 5321 4.5.3.2.6 has ten minutes), and a mail that was taken and given up goes out again."""
_FOR_GOOD: Final = 500
"""RFC 5321 4.2.1: from here on a reply is for good."""
_BUSY: Final = 421
"""RFC 5321 4.2.2: the server ends the conversation."""


@attrs.frozen
class Sent:
    """What came of one mail.

    Attributes:
        message_id: its Message-ID.
        reason: None where the server took it, or why it did not, in one line.
        refused: the recipients that the server refused, each with what it said, which begins with its code; where there
            is no reason, the others are served.

    """

    message_id: str
    reason: str | None = None
    refused: Mapping[str, str] = attrs.field(factory=dict)


def is_password(given: object) -> bool:
    """Say whether it can be sent: text, and in it neither NUL, which parts name and password, nor half a character."""
    return isinstance(given, str) and given != "" and not re.search("[\0\ud800-\udfff]", given)


def listed(refused: Mapping[str, str]) -> str:
    """Name the first recipients of those that were refused, each with what the server said."""
    first = [f"{address} ({said})" for address, said in list(refused.items())[:3]]
    return ", ".join(first) + (f" and {len(refused) - 3} more" if len(refused) > 3 else "")  # noqa: PLR2004 - the three


class _Refusal(Exception):
    """Why a delivery cannot go on; its text is told as it is."""


class _Connection(smtplib.SMTP):
    """SMTP over a connection that the delivery makes."""

    def __init__(self, delivery: Delivery, server: str, port: int) -> None:
        self._delivery = delivery
        self._replies: int | None = None
        super().__init__(server, port, "localhost")  # a name, or smtplib would ask DNS for one

    def data(self, msg: Any) -> Any:  # noqa: ANN401 - as smtplib has it
        """Send the text of a mail."""
        self._replies = 0
        try:
            return super().data(msg)
        finally:
            self._replies = None

    def getreply(self) -> tuple[int, bytes]:
        """Wait for the server's word; the second one in `data` is that on the text."""
        if self._replies == 1:
            self._delivery.wait_for_the_verdict(self.sock)
        if self._replies is not None:
            self._replies += 1
        return super().getreply()

    def _get_socket(self, *_: object) -> socket.socket:
        """Connect; smtplib calls it with host, port and time limit."""
        return self._delivery.connect()


class Delivery:
    """Sends one mail in a thread of its own, which a deadline ends.

    Args:
        mail: which server, and how it is spoken to.
        message: the mail.
        recipients: to whom.

    """

    def __init__(self, mail: Mail, message: EmailMessage, recipients: Sequence[str]) -> None:
        self._mail = mail
        self._message = message
        self._recipients = recipients
        self._where = f"{mail.server} port {mail.port}"
        self._stage = "the name lookup"
        self._deadline = Deadline(mail.deadline, grace=_GRACE)
        self._secrets: tuple[str, ...] = ()
        self._literal = ""
        self._judged = False
        self._sent: Sent | None = None
        self._failure: BaseException | None = None

    def run(self) -> Sent:
        """Send it, and be back at the deadline.

        A mail that the server took at the last moment is delivered; one of which nobody knows is not.
        """
        too_slow = self._deadline.run(self._work, f"licfsm mail to {self._mail.server}", self._too_slow)
        sent, failure = self._sent, self._failure
        if failure is not None:
            raise failure
        if too_slow and (sent is None or sent.reason):
            return self._outcome(too_slow)
        return sent or self._outcome(self._closed())

    def _outcome(self, reason: str | None, refused: Mapping[str, str] | None = None) -> Sent:
        return Sent(self._message["Message-ID"], reason, refused or {})

    def _work(self) -> None:
        try:
            self._send()
        except _Refusal as refusal:
            self._sent = self._outcome(str(refusal))
        except (OSError, ValueError) as error:  # smtplib's own are OSErrors; ValueError: a challenge that is no base64
            if self._sent is None:
                refused = error.recipients if isinstance(error, smtplib.SMTPRecipientsRefused) else {}
                self._sent = self._outcome(self._explain(error), self._all_said(refused))
        except BaseException as error:  # noqa: BLE001 - it is raised where the delivery was asked for
            self._failure = error

    def _send(self) -> None:
        mail = self._mail
        password = self._password()
        smtp = _Connection(self, mail.server, mail.port or 0)
        try:
            smtp.local_hostname = self._own_name()
            smtp.ehlo_or_helo_if_needed()
            if mail.security == "starttls":
                self._secure(smtp)
            if mail.username is not None:
                self._stage = "the login"
                _login(smtp, mail.username, password)
            self._stage = "the sending of the mail"
            options = ("SMTPUTF8", "BODY=8BITMIME") if mail.international else ()
            refused = smtp.sendmail(mail.sender.addr_spec, self._recipients, self._message.as_bytes(), options)
            self._sent = self._outcome(None, self._all_said(refused))
            if smtp.sock:
                smtp.sock.settimeout(_GRACE)
            smtp.quit()  # whatever comes of it, the mail is delivered
        finally:
            smtp.close()

    def _password(self) -> str:
        mail = self._mail
        password = mail.password
        if callable(password):
            self._stage = "asking the host for the password"
            try:
                password = password()
            except Exception as error:  # noqa: BLE001 - whatever the host's function raises; its text may have the password
                message = f"the function that gives the password failed: {type(error).__name__}"
                raise _Refusal(message) from None
            if not is_password(password):
                message = "the function that gives the password gave none; it must return text without NUL characters"
                raise _Refusal(message)
        if password is None:
            return ""
        both = (password, f"\0{mail.username}\0{password}")
        self._secrets = (password, *(base64.b64encode(each.encode()).decode() for each in both))
        return password

    # ------------------------------------------------------------------------------------------ the connection

    def connect(self) -> socket.socket:
        """Connect to the first of the server's addresses that answers, each having its share of the time."""
        mail = self._mail
        self._stage = "the name lookup"
        found = socket.getaddrinfo(mail.server, mail.port, type=socket.SOCK_STREAM)
        self._stage = "the connection"
        failure: OSError = TimeoutError()
        for place, (family, kind, protocol, _, address) in enumerate(found):
            left = self._deadline.left
            if left <= 0:
                break
            try:
                line = socket.socket(family, kind, protocol)
            except OSError as error:  # a kind of address that this machine cannot use
                failure = error
                continue
            try:
                line.settimeout(left / (len(found) - place))
                line.connect(address)
                return self._begin(line)
            except OSError as error:
                line.close()
                failure = error
                if self._stage != "the connection":
                    break
        raise failure

    def _begin(self, line: socket.socket) -> socket.socket:
        """Hold on to a connection, so that the deadline can end it, and begin TLS where that comes first."""
        line.settimeout(self._mail.deadline + _GRACE)  # longer than the deadline, which is what ends it
        self._deadline.hold(line)
        self._literal = _literal(line.getsockname()[0])
        self._stage = "the greeting"
        if self._mail.security == "tls" and self._mail.tls:
            self._stage = "the TLS handshake"
            line = self._mail.tls.wrap_socket(line, server_hostname=self._mail.server)
            self._stage = "the greeting"
        return line

    def wait_for_the_verdict(self, line: socket.socket | None) -> None:
        """Begin to wait for what the server says of the text."""
        self._judged = True
        seconds = _VERDICT * self._mail.deadline
        self._deadline.extend(seconds)
        if line is not None:
            line.settimeout(seconds + _GRACE)

    def _own_name(self) -> str:
        """Name this machine to the server: a whole domain name, or else its address (RFC 5321 4.1.4)."""
        name = self._mail.host_name
        return name if "." in name and DOMAIN.fullmatch(name) else self._literal

    def _secure(self, smtp: smtplib.SMTP) -> None:
        self._stage = "the TLS handshake"
        if not smtp.has_extn("starttls"):
            message = (
                f"{self._where} offers no STARTTLS, and the mail is not sent in plain text; have it switched on there, "
                f"or try security tls (port {PORTS['tls']})"
            )
            raise _Refusal(message)
        smtp.starttls(context=self._mail.tls)
        smtp.ehlo_or_helo_if_needed()

    # ------------------------------------------------------------------------------------------ why it failed

    def _said(self, code: int, text: bytes | str) -> str:
        """Tell what the server said, cleaned and cut (rules.md 8.3); a password that it repeats is left out."""
        told = self._discreet(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)
        told = self._discreet(clean_text(" ".join(told.split())))
        return f"{code} {told}"[:_LONGEST_SAID].strip()

    def _all_said(self, refused: Mapping[str, tuple[int, bytes]]) -> dict[str, str]:
        return {address: self._said(*reply) for address, reply in refused.items()}

    def _discreet(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _too_slow(self) -> str:
        if self._judged:
            return (
                f"{self._where} did not say within {_VERDICT * self._mail.deadline:g} seconds whether it takes the mail, "
                f"which goes out again, under the same Message-ID; the server's own log may say more, or raise the deadline"
            )
        return (
            f"{self._where} did not take the mail within {self._mail.deadline:g} seconds, which ended during "
            f"{self._stage}; check that the server is up and reachable from this machine, or raise the deadline"
        )

    def _explain(self, error: OSError | ValueError) -> str:
        """Say in one line what went wrong, and what to do; the first kind that fits tells it."""
        where, server = self._where, self._mail.server
        told: dict[type[Exception], Callable[[Any], str]] = {
            smtplib.SMTPException: self._explain_answer,
            TimeoutError: lambda _: self._too_slow(),
            ssl.SSLError: lambda error: f"{where}: {_explain_tls(error)}",
            socket.gaierror: lambda _: f"the name {server} was not found; check it, and this machine's DNS",
            ConnectionRefusedError: lambda _: (
                f"{where} refused the connection; check server and port, and that the server is up"
            ),
            ConnectionError: lambda _: self._closed(),
            OSError: lambda error: (
                f"{where} cannot be reached: {clean_text(error.strerror or str(error))}; check server and port"
            ),
            ValueError: lambda _: self._no_smtp(),
        }
        return next(tell(error) for kind, tell in told.items() if isinstance(error, kind))

    def _closed(self) -> str:
        return f"{self._where} closed the connection during {self._stage}; the server's own log may say why"

    def _no_smtp(self) -> str:
        return f"{self._where} sent at {self._stage} what is no SMTP; check server and port"

    def _explain_answer(self, error: smtplib.SMTPException) -> str:
        """Say what the server refused."""
        if isinstance(error, smtplib.SMTPServerDisconnected):
            return self._closed()
        if isinstance(error, smtplib.SMTPResponseException):
            return self._explain_refusal(error) if error.smtp_code >= 0 else self._no_smtp()
        if isinstance(error, smtplib.SMTPRecipientsRefused):
            said = listed(self._all_said(error.recipients))
            if any(code == _BUSY for code, _ in error.recipients.values()):  # whoever was named before, it is off
                return f"{self._where} ended the conversation at a recipient: {said}; it is busy, or wants fewer mails"
            return f"{self._where} refused every recipient: {said}; check the addresses"
        what, remedy = _UNSUPPORTED[self._stage == "the login"]
        return f"{self._where} offers no {what}; {remedy}"

    def _explain_refusal(self, error: smtplib.SMTPResponseException) -> str:
        mail, said = self._mail, self._said(error.smtp_code, error.smtp_error)
        if isinstance(error, smtplib.SMTPAuthenticationError):
            return f"{self._where} refused the login of {mail.username!r:.80}: {said}; check username and password"
        if isinstance(error, smtplib.SMTPSenderRefused):
            remedy = "log in" if mail.username is None else "use one that this login may send for"
            return f"{self._where} refused the sender {mail.sender.addr_spec}: {said}; check the address, or {remedy}"
        why = f"{self._where} refused {self._stage}: {said}; the server's own log may say more"
        return Refusal(why) if self._judged and error.smtp_code >= _FOR_GOOD else why


def _explain_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        what, remedy = _CERTIFICATE.get(
            error.verify_code, (f"is refused: {clean_text(error.verify_message)}", "look at it on the server")
        )
        return f"its certificate {what}; {remedy}"
    if error.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:  # by the version of OpenSSL
        return f"it does not speak TLS from the first byte on; try security starttls (port {PORTS['starttls']})"
    if isinstance(error, ssl.SSLEOFError):
        return "it broke off the TLS handshake; check port and security"
    return f"no TLS could be agreed on: {clean_text(error.reason or str(error))}; check port and security"


_UNSUPPORTED: Final = (
    ("way for addresses with letters beyond ASCII (SMTPUTF8)", "use other addresses, or another server"),
    ("login that can be used (AUTH)", "leave the username out, or try another port"),
)
"""What an extension is for that a server does not have, and what to do: at the sending, at the login."""


def _literal(address: str) -> str:
    """Write an address as SMTP has it in place of a name."""
    plain = address.partition("%")[0]
    return f"[IPv6:{plain}]" if ":" in plain else f"[{plain}]"


_UNKNOWN_CA: Final = (
    "is signed by an authority that is not trusted here",
    "check the server, and give its authority's certificate as ca",
)
_WRONG_NAME: Final = ("is for another name", "give the server by a name that the certificate has")
_CERTIFICATE: Final = {
    9: ("is not valid yet", "check the clock of this machine"),
    10: ("has expired", "have it renewed, and check the clock of this machine"),
    18: _UNKNOWN_CA,
    19: _UNKNOWN_CA,
    20: _UNKNOWN_CA,
    21: _UNKNOWN_CA,
    62: _WRONG_NAME,
    64: _WRONG_NAME,
}
"""What is wrong by OpenSSL's number, and what to do."""


def _login(smtp: smtplib.SMTP, username: str, password: str) -> None:
    """Log in; what is beyond ASCII goes as UTF-8 (RFC 4616), which smtplib's own cannot send."""
    if username.isascii() and password.isascii():
        smtp.login(username, password)
        return
    if "PLAIN" not in smtp.esmtp_features.get("auth", "").split():
        message = "no login for letters beyond ASCII"
        raise smtplib.SMTPNotSupportedError(message)
    both = base64.b64encode(f"\0{username}\0{password}".encode()).decode()
    code, text = smtp.docmd("AUTH", f"PLAIN {both}")
    if code != 235:  # noqa: PLR2004 - RFC 4954: accepted
        raise smtplib.SMTPAuthenticationError(code, text)
