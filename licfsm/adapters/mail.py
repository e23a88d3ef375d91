"""Notices by mail: what administrators read of a license when they look at no screen (rules.md 8.2).

A mail is delivered at least once. Its Message-ID is made of the notice's id, so that mail programs and servers know a
second copy for what it is (7.4). Nothing goes out in plain text where TLS was asked for, and no text of a key or a
server can add a line to a header (8.3). Whatever goes wrong is a reason in words, no exception.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import os
import re
import socket
import ssl
import string
from collections.abc import Callable, Iterable
from contextlib import suppress
from email import policy
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Final, NamedTuple

import attrs

from licfsm import instants
from licfsm.adapters.functions import see_that_it_returns
from licfsm.adapters.log import logger
from licfsm.adapters.smtp import DOMAIN, PORTS, Delivery, Sent, is_password, listed
from licfsm.errors import InvalidValue
from licfsm.key import clean_text
from licfsm.ports import Notice

__all__ = ["Mail", "Sent"]

FIELDS: Final = ("at", "host", "level", "license", "name", "text")
"""What subject and body may name."""

SUBJECT: Final = "[$license] $text"
BODY: Final = """\
$text

License  $license
Notice   $name ($level)
When     $at
Host     $host

Sent by licfsm, which looks after the licenses on this host.
"""
LONGEST_SUBJECT: Final = 150
_SHORT_SUBJECT: Final = 78 - len("Subject: ")
MOST_RECIPIENTS: Final = 100  # what every server must take at once, by RFC 5321 4.5.3.1.8
LONGEST_DEADLINE: Final = 3600
LONGEST_ADDRESS: Final = 500
_LONGEST_ID: Final = 120
_LOCAL: Final = re.compile(r'[^\s"(),:;<>@\[\]\\.]+(\.[^\s"(),:;<>@\[\]\\.]+)*')
_NAMED: Final = re.compile(r'(?:"([^"\\]*)"|([^"<>]*?))\s*<([^<>]*)>')
_PLAIN_ID: Final = re.compile(rf"(?=.{{1,{_LONGEST_ID}}}\Z)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_CONTROL: Final = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_TWO_READINGS: Final = frozenset("ßς\u200c\u200d")
"""Letters of domain names that two standards (IDNA 2003 and 2008) send to different domains."""


_TRIES: Final = 6
"""How often in a row those who are left may all be refused for now, before the mail counts as delivered."""


class _Partly(NamedTuple):
    """Who did not get a mail yet, and how often in a row they were refused for now."""

    left: tuple[Address, ...]
    tries: int


# ---------------------------------------------------------------------------------------------- what a host gives


def _kind(thing: object) -> str:
    return f"a value of type {type(thing).__name__}"


def _ascii_domain(text: str) -> str | None:
    """Write a domain name as DNS has it; None where it is no such name."""
    try:
        name = text if text.isascii() else text.encode("idna").decode()
    except UnicodeError:
        return None
    return name if DOMAIN.fullmatch(name) and not _TWO_READINGS & set(text) else None


def _address(argument: str, given: object) -> Address:
    """Read ``addr`` or ``Name <addr>``: one address, and nothing that could end its header."""
    if isinstance(given, Address):
        given = str(given)
    if not isinstance(given, str):
        message = f"{argument}: must be a mail address as text, such as admin@example.com, not {_kind(given)}"
        raise InvalidValue(message)
    shown = repr(clean_text(given)[:80])
    if not given.isprintable() or len(given) > LONGEST_ADDRESS:
        message = f"{argument}: {shown} is no one line of at most {LONGEST_ADDRESS} printable characters; shorten it"
        raise InvalidValue(message)
    named = _NAMED.fullmatch(given.strip())
    name = ((named[1] or named[2] or "") if named else "").strip()
    local, _, after = (named[3] if named else given).strip().rpartition("@")
    domain = _ascii_domain(after)
    if domain is None and _TWO_READINGS & set(after):
        message = f"{argument}: the domain of {shown} is read in two ways; write it in its xn-- form"
        raise InvalidValue(message)
    if domain is None or not _LOCAL.fullmatch(local) or len(local.encode()) > 64 or "=?" in name + local:  # noqa: PLR2004 - RFC 5321 4.5.3.1.1
        message = f"{argument}: {shown} is no mail address; write admin@example.com or Name <admin@example.com>"
        raise InvalidValue(message)
    return Address(name, local, domain)


def _as_sender(given: str | Address) -> Address:
    return _address("sender", given)


def _as_recipients(given: Iterable[str | Address]) -> tuple[Address, ...]:
    if isinstance(given, str | bytes | Address) or not isinstance(given, Iterable):
        message = f"recipients: must be a list of mail addresses, not {_kind(given)}; put it in a list"
        raise InvalidValue(message)
    read = {found.addr_spec: found for found in (_address("recipients", each) for each in given)}
    if not 0 < len(read) <= MOST_RECIPIENTS:
        message = f"recipients: must be 1 to {MOST_RECIPIENTS} addresses, not {len(read)}; name whom to tell, or a list"
        raise InvalidValue(message)
    return tuple(read.values())


def _as_server(given: str) -> str:
    if isinstance(given, str):
        with suppress(ValueError):
            return str(ipaddress.ip_address(given))
        if name := _ascii_domain(given):
            return name
    shown = repr(clean_text(given)[:80]) if isinstance(given, str) else _kind(given)
    message = f"server: {shown} is no name or address of a machine; write smtp.example.com, and the port as port"
    raise InvalidValue(message)


def _as_subject(given: str) -> str:
    text = _template("subject", given)
    if "\n" in text:
        message = "subject: must be one line; move the rest into the body"
        raise InvalidValue(message)
    return text


def _as_body(given: str) -> str:
    return _template("body", given)


def _template(argument: str, given: object) -> str:
    """Take a text for `string.Template` that can be filled in whatever a notice says."""
    if not isinstance(given, str):
        message = f"{argument}: must be text with fields such as $license, not {_kind(given)}"
        raise InvalidValue(message)
    text = given.replace("\r\n", "\n")
    if found := _CONTROL.search(text):
        message = (
            f"{argument}: has the control character {found[0]!r} in line {text.count(chr(10), 0, found.start()) + 1}"
        )
        raise InvalidValue(message)
    fields = ", ".join(f"${name}" for name in FIELDS)
    try:
        string.Template(text).substitute(dict.fromkeys(FIELDS, ""))
    except KeyError as error:
        message = f"{argument}: ${error.args[0]} stands for nothing; the fields are {fields}"
        raise InvalidValue(message) from None
    except ValueError as error:
        message = f"{argument}: {error}; the fields are {fields}, and $$ is a dollar sign"
        raise InvalidValue(message) from None
    return text


def _as_host_name(given: str | None) -> str:
    name = socket.gethostname() if given is None else given
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > 253:  # noqa: PLR2004 - the longest name in DNS
        shown = repr(clean_text(name)[:80]) if isinstance(name, str) else _kind(name)
        message = f"host_name: must be this machine's name, 1 to 253 printable characters, not {shown}"
        raise InvalidValue(message)
    return name.strip()


# ---------------------------------------------------------------------------------------------- what goes out


@attrs.frozen(eq=False)
class Mail:
    """Sends notices by SMTP, each in a mail and over a connection of its own; a `ports.Notifier`.

    Attributes:
        server: the name or address of the mail server.
        sender: from whom, ``licfsm@example.com`` or ``Name <licfsm@example.com>``.
        recipients: to whom; 1 to 100 such addresses.
        port: 587, 465 or 25, as `security` has it, unless another is given.
        security: ``starttls`` (TLS begins on a plain connection, or nothing is sent), ``tls`` (from the first byte on)
            or ``none``. With TLS, the server's certificate and name are verified.
        username: with which to log in; only over TLS. None: no login.
        password: its text, or a function that gives it, called at each delivery. It is shown nowhere.
        ca: path of a PEM file of authorities that are trusted beside those of the system; read once.
        subject: text for `string.Template` with the fields ``$at`` (ISO 8601 in UTC), ``$host``, ``$level``,
            ``$license``, ``$name`` and ``$text``; made one line of at most 150 characters.
        body: likewise, of any number of lines.
        deadline: seconds for a whole delivery, at most 3600; once the server has the text, it may look at that for four
            times as long, since a mail that it took and did not say so goes out twice.
        host_name: this machine's name for people and for the server; the system knows it unless it is given.
        tls: by what the server's certificate is verified; None where there is no TLS.

    Raises:
        InvalidValue: an argument cannot be used; the message begins with its name.

    """

    server: str = attrs.field(converter=_as_server)
    sender: Address = attrs.field(converter=_as_sender, kw_only=True)
    recipients: tuple[Address, ...] = attrs.field(converter=_as_recipients, kw_only=True)
    port: int | None = attrs.field(default=None, kw_only=True)
    security: str = attrs.field(default="starttls", kw_only=True)
    username: str | None = attrs.field(default=None, kw_only=True)
    password: str | Callable[[], str] | None = attrs.field(default=None, repr=False, kw_only=True)
    ca: str | os.PathLike[str] | None = attrs.field(default=None, kw_only=True)
    subject: str = attrs.field(default=SUBJECT, converter=_as_subject, repr=False, kw_only=True)
    body: str = attrs.field(default=BODY, converter=_as_body, repr=False, kw_only=True)
    deadline: float = attrs.field(default=30, kw_only=True)
    host_name: str = attrs.field(default=None, converter=_as_host_name, kw_only=True)
    tls: ssl.SSLContext | None = attrs.field(init=False, repr=False)
    _partly: dict[str, _Partly] = attrs.field(init=False, repr=False, eq=False, factory=dict)

    @security.validator
    def _check_security(self, _: object, security: object) -> None:
        if not isinstance(security, str) or security not in PORTS:
            message = f"security: must be one of {', '.join(PORTS)}, not {security!r:.80}"
            raise InvalidValue(message)

    @port.validator
    def _check_port(self, _: object, port: object) -> None:
        if port is not None and (type(port) is not int or not 0 < port < 1 << 16):
            message = f"port: must be a number from 1 to 65535, not {port!r:.80}; leave it out for the usual one"
            raise InvalidValue(message)

    @username.validator
    def _check_username(self, _: object, username: object) -> None:
        if username is None:
            return
        if not isinstance(username, str) or not username or not username.isprintable():
            message = f"username: must be printable text, not {username!r:.80}; leave it out where there is no login"
            raise InvalidValue(message)
        if self.security == "none":
            message = "username: a password is never sent in plain text; use security starttls or tls, or no login"
            raise InvalidValue(message)

    @password.validator
    def _check_password(self, _: object, password: object) -> None:
        if (password is None) != (self.username is None):
            missing = "password" if password is None else "username"
            message = f"{missing}: a login needs a username and a password; give both or neither"
            raise InvalidValue(message)
        if callable(password):
            see_that_it_returns(password, "password: the function that gives it", takes=0)
        elif password is not None and not is_password(password):
            message = "password: must be text without NUL characters, or a function that gives it"
            raise InvalidValue(message)

    @deadline.validator
    def _check_deadline(self, _: object, deadline: object) -> None:
        number = isinstance(deadline, int | float) and not isinstance(deadline, bool)
        if not number or not 0 < deadline <= LONGEST_DEADLINE:  # type: ignore[operator] # it is a number
            message = (
                f"deadline: must be a number of seconds, above 0 and at most {LONGEST_DEADLINE}, not {deadline!r:.80}"
            )
            raise InvalidValue(message)

    def __attrs_post_init__(self) -> None:
        """Take the usual port, and load the authorities once: that takes longer than a whole delivery."""
        put = object.__setattr__
        put(self, "port", self.port or PORTS[self.security])
        if self.ca is not None and self.security == "none":
            message = "ca: there is no certificate to verify without TLS; use security starttls or tls, or leave it out"
            raise InvalidValue(message)
        put(self, "tls", None if self.security == "none" else self._load_authorities())

    def _load_authorities(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self.ca is None:
            return context
        try:
            context.load_verify_locations(os.fspath(self.ca))
        except (OSError, TypeError, ValueError) as error:  # ValueError: no path at all; an SSLError is an OSError
            no_file = isinstance(error, OSError) and not isinstance(error, ssl.SSLError)
            why = error.strerror if no_file and isinstance(error, OSError) else "it is no PEM file of certificates"
            message = f"ca: {clean_text(str(self.ca))[:120]!r} cannot be used: {why}"
            raise InvalidValue(message) from None
        return context

    # ------------------------------------------------------------------------------------------ as a notifier

    def deliver(self, notice: Notice, /) -> str | None:
        """Send a notice; the same notice has the same Message-ID each time (rules.md 7.4).

        A recipient that the server refuses for good keeps the mail from nobody: it counts as delivered, and the log
        names who was refused. Those it refuses for now (4xx: greylisting, too many at once) are tried again, and they
        alone, a few times more. Who has the mail already is forgotten when the process ends; then it goes to all again.

        Returns:
            None, or in one line why the server did not take it, and what to do; a `ports.Refusal` where it had the
            text, and wants it neither now nor later.

        """
        before = self._partly.get(notice.id, _Partly(self.recipients, 0))
        sent = self.send(notice, before.left)
        now = {address for address, said in sent.refused.items() if said.startswith("4")}
        left = tuple(each for each in before.left if each.addr_spec in now)
        if sent.reason is not None and (before.left == self.recipients or not left):
            return sent.reason
        tries = before.tries + 1 if left == before.left else 0
        if left and tries < _TRIES:
            self._partly[notice.id] = _Partly(left, tries)
            return (
                f"{self.server} has the mail for the other recipients, and refused {len(left)} for now: "
                f"{listed({each.addr_spec: sent.refused[each.addr_spec] for each in left})}"
            )
        self._partly.pop(notice.id, None)
        if sent.refused:
            logger.warning(
                "mail %s was delivered, but %s refused %d of its %d recipients: %s",
                sent.message_id,
                self.server,
                len(sent.refused),
                len(self.recipients),
                listed(sent.refused),
            )
        return None

    def send(self, notice: Notice, recipients: Iterable[Address] | None = None) -> Sent:
        """Send a notice, and tell all that came of it; see `deliver`.

        Args:
            notice: what to tell.
            recipients: to whom it goes, of those it names; all by default.

        """
        whom = [each.addr_spec for each in (self.recipients if recipients is None else recipients)]
        return Delivery(self, self.compose(notice), whom).run()

    def compose(self, notice: Notice) -> EmailMessage:
        """Write the mail of a notice."""
        fields = {name: clean_text(getattr(notice, name)) for name in ("level", "license", "name", "text")}
        fields |= {"at": instants.isoformat(notice.at), "host": self.host_name}
        subject = " ".join(clean_text(string.Template(self.subject).substitute(fields)).split())
        message = EmailMessage(policy.SMTP.clone(cte_type="7bit", utf8=self.international))
        message["From"] = self.sender
        message["To"] = self.recipients
        message.set_raw("Subject", _as_header(subject))
        message["Date"] = dt.datetime.fromtimestamp(notice.at // instants.SECOND, dt.UTC)
        message["Message-ID"] = f"<{_id_part(notice.id)}.licfsm@{self.sender.domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message["X-Auto-Response-Suppress"] = "All"
        message.set_content(string.Template(self.body).substitute(fields))
        return message

    @property
    def international(self) -> bool:
        """Whether an address can be sent only to a server that knows SMTPUTF8 (RFC 6531)."""
        return not all(each.username.isascii() for each in (self.sender, *self.recipients))


def _as_header(subject: str) -> str:
    """Cut a subject, and fold it; the new API of `email` puts blanks into words that it folds, so the old one does."""
    cut = subject if len(subject) <= LONGEST_SUBJECT else f"{subject[: LONGEST_SUBJECT - 1]}…"
    if cut.isascii() and len(cut) <= _SHORT_SUBJECT and "=?" not in cut:  # which could pass for an encoded word
        return cut
    return Header(cut, "utf-8", header_name="Subject").encode(linesep="\r\n")


def _id_part(notice_id: str) -> str:
    """Make a notice's id a part of a Message-ID; no two ids become the same."""
    if _PLAIN_ID.fullmatch(notice_id):
        return notice_id
    digest = hashlib.sha256(notice_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"~{digest[:40]}"  # no plain id has a ~
