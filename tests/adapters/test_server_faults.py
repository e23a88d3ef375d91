import contextlib
import datetime as dt
import gc
import itertools
import json
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tls_faults import (
    CA,
    CA_FILE,
    HOST,
    INSTALLED,
    OTHER_CA,
    QUESTION,
    RENEWED,
    STRANGER,
    TIME,
    TLS,
    TRUSTED,
    LicenseServer,
    Line,
    Made,
    Proxy,
    Serve,
    Server,
    asked,
    downloaded,
    greeted,
    head,
    key_of,
    nobody,
    replying,
    sending,
    signed,
    signing,
    tls,
)

from licfsm.adapters.answers import LARGEST_ANSWER, write_answer
from licfsm.adapters.server import HttpsServer
from licfsm.ports import Answer

SHORT = 0.5
"""Seconds: the deadline where a server stalls."""
PROMPT = 2.0
"""Seconds within which every fault is told."""
BODY = b'{"answer":"' + b"x" * 90 + b'"}'
OTHER_TYPE = {"answer": RENEWED.signed}


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def told(ask: Callable[..., Answer], **options: Any) -> tuple[str, str]:  # noqa: ANN401 - passed on as they are
    """Ask, and give outcome and words; promptly, in one line, without anything secret."""
    started = time.monotonic()
    answer = ask(**options)
    assert time.monotonic() - started < PROMPT
    assert answer.key is None
    assert not [thread for thread in threading.enumerate() if thread.name == f"licfsm asks {HOST}"]
    assert answer.detail.isprintable()
    assert INSTALLED.signed not in answer.detail
    return answer.outcome, answer.detail


def ask(serve: Serve, context: ssl.SSLContext | None = TLS, **options: Any) -> tuple[str, str]:  # noqa: ANN401 - passed on as they are
    """Ask a server that does so; its address in what is told is written ``HERE``."""
    with Server(serve, context) as server:
        outcome, detail = told(server.ask, **options)
    return outcome, detail.replace(f"{HOST} (port {server.port})", "HERE").replace(str(server.port), "PORT")


def fault(what: str, outcome: str = "connection_failed") -> tuple[str, str]:
    """Write what is expected."""
    return outcome, what


# ---------------------------------------------------------------------------------------------- connections


class TestConnection:
    def test_needs_a_name_that_can_be_resolved(self) -> None:
        """A name that DNS does not know is told as such."""
        server = HttpsServer("https://licenses.invalid", trust=TRUSTED, deadline=PROMPT)
        assert fault(
            "the name licenses.invalid cannot be resolved; check the server's address, and the DNS of this machine",
        ) == told(server.ask, question=QUESTION)

    def test_needs_a_name_that_dns_can_have(self) -> None:
        """A name with an empty part, which cannot even be looked up, is told likewise."""
        with httpx.Client(transport=httpx.MockTransport(_raise(UnicodeError("label empty or too long")))) as client:
            server = HttpsServer("https://licenses.invalid", trust=TRUSTED, client=client)
            assert told(server.ask, question=QUESTION)[1].startswith("the name licenses.invalid cannot be resolved; ")

    def test_may_be_refused(self) -> None:
        """A port on which nobody listens is told, with host and port."""
        with nobody() as port:
            server = HttpsServer(f"https://{HOST}:{port}", trust=TRUSTED)
            assert fault(
                f"127.0.0.1 refused the connection on port {port}; "
                f"is the server running, and does a firewall let it through?",
            ) == told(server.ask, question=QUESTION)

    def test_may_lead_nowhere(self) -> None:
        """What the operating system says of an address that cannot be reached is told."""
        server = HttpsServer("https://[ff02::1]:9", trust=TRUSTED)
        outcome, detail = told(server.ask, question=QUESTION)
        assert "connection_failed" == outcome
        assert detail.startswith("ff02::1 (port 9) cannot be reached: ")
        assert detail.endswith("; check the address, and the network of this machine")

    @pytest.mark.skipif(sys.platform != "linux", reason="how Linux fills a backlog")
    def test_may_not_come_about(self) -> None:
        """A server that lets a connection hang is given up within half of the time, so that another address has its turn."""
        with socket.create_server((HOST, 0), backlog=0) as full, contextlib.ExitStack() as stack:
            for _ in range(3):
                filling = stack.enter_context(socket.socket())
                filling.setblocking(False)  # noqa: FBT003 - the standard library's own
                filling.connect_ex(full.getsockname())
            port = full.getsockname()[1]
            server = HttpsServer(f"https://{HOST}:{port}", trust=TRUSTED, deadline=2 * SHORT)
            assert fault(
                f"127.0.0.1 (port {port}) did not answer within 0.5 seconds: no connection came about; "
                f"is it running, and does a firewall or DNS hold the connection up?",
            ) == told(server.ask, question=QUESTION)

    def test_may_wait_for_dns_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing bounds a look-up in DNS; the question ends at its deadline all the same, and connects to nobody later."""
        over, ended = threading.Event(), threading.Event()

        def look_up(*_: object, **__: object) -> list[Any]:
            over.wait(PROMPT * 5)
            ended.set()
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (HOST, server.port))]

        with Server(LicenseServer()) as server:
            asking = server.client("localhost", deadline=SHORT)
            monkeypatch.setattr(socket, "getaddrinfo", look_up)  # no server on loopback makes the system's DNS hang
            assert (
                "did not answer within 0.5 seconds: no connection came about" in told(asking.ask, question=QUESTION)[1]
            )
            over.set()
            ended.wait(PROMPT)
            _join("licfsm asks")
            assert 0 == server.greeted


def _join(name: str) -> None:
    """Wait for threads that were left behind."""
    for thread in threading.enumerate():
        if thread.name.startswith(name):
            thread.join(PROMPT)
            assert not thread.is_alive()


def _raise(error: Exception) -> Callable[[httpx.Request], httpx.Response]:
    def handle(_: httpx.Request) -> httpx.Response:
        raise error

    return handle


# ---------------------------------------------------------------------------------------------- TLS


def expired(**changes: Any) -> ssl.SSLContext:  # noqa: ANN401 - passed on as they are
    """Make a server's side of TLS whose certificate has another time."""
    return tls(CA.issue_cert("localhost", HOST, **changes))


class TestCertificate:
    def test_may_have_expired(self) -> None:
        """The day is told on which it expired, and what this machine takes for the time."""
        outcome, detail = ask(LicenseServer(), expired(not_after=dt.datetime(2025, 1, 1, tzinfo=dt.UTC)))
        assert "connection_failed" == outcome
        assert detail.startswith(
            "the certificate of HERE expired on 2025-01-01; whoever runs the server must renew it "
            "(this machine's clock says 20"
        )

    def test_may_have_expired_further_up(self, tmp_path: Path) -> None:
        """Where the server's own certificate is good, that of a CA is what expired."""
        root = Made.of(ca=True)
        old = Made.of(root, ca=True, days=-1)
        (tmp_path / "root.pem").write_text(root.pem)
        detail = ask(LicenseServer(), Made.of(old, HOST).tls(old), ca=tmp_path)[1]
        assert detail.startswith("a certificate that HERE showed expired; whoever runs the server must renew it ")

    def test_may_not_be_valid_yet(self) -> None:
        """When it begins to be valid is told: most often the clock is wrong."""
        detail = ask(LicenseServer(), expired(not_before=dt.datetime(2090, 1, 1, tzinfo=dt.UTC)))[1]
        assert detail.startswith(
            "the certificate of HERE is valid from 2090-01-01 00:00 UTC on only; check this machine's clock, which says 20"
        )

    def test_may_be_for_another_name(self) -> None:
        """Whose certificate it is, is told."""
        assert fault(
            "the certificate of localhost (port PORT) is for a.example, 10.0.0.1, not for localhost; "
            "give the address by a name that the certificate has, or have it issued anew",
        ) == ask(LicenseServer(), tls(CA.issue_cert("a.example", "10.0.0.1")), host="localhost")

    def test_may_be_for_many_other_names(self) -> None:
        """Of more names than five, five are told."""
        names = [f"{letter}.example" for letter in "abcdefg"]
        assert (
            " is for a.example, b.example, c.example, d.example, e.example and others, not for "
            in ask(LicenseServer(), tls(CA.issue_cert(*names)))[1]
        )

    def test_may_come_from_an_unknown_ca(self) -> None:
        """The remedy is the certificate of its CA."""
        assert fault(
            "the certificate of HERE comes from a CA that is not known here; "
            "if it is the right one, give its CA's certificate with ca=",
        ) == ask(LicenseServer(), tls(OTHER_CA.issue_cert(HOST)))

    def test_may_be_unknown_to_the_system(self) -> None:
        """Without ca, the system's CAs count, which know no CA of a test."""
        assert "comes from a CA that is not known here" in ask(LicenseServer(), ca=None)[1]

    def test_may_be_self_signed(self) -> None:
        """That nobody vouches for it is told."""
        assert fault(
            "the certificate of HERE is self-signed, so nobody vouches for it; "
            "if it is the right one, give it with ca=",
        ) == ask(LicenseServer(), Made.of().tls())

    def test_is_not_looked_at_for_long(self) -> None:
        """A server that stalls the second look at its certificate hides nothing: only the date is left out."""
        seen = itertools.count()
        old = expired(not_after=dt.datetime(2025, 1, 1, tzinfo=dt.UTC))

        def serve(line: Line) -> None:
            if next(seen):
                line.wait()
            else:
                old.wrap_socket(line.sock, server_side=True)

        assert "the certificate of HERE expired; " in ask(serve, None, deadline=SHORT)[1]

    def test_may_be_gone_at_the_second_look(self) -> None:
        """Where the server breaks the second look off, what is known is told, without the date."""
        seen = itertools.count()
        old = expired(not_after=dt.datetime(2025, 1, 1, tzinfo=dt.UTC))

        def serve(line: Line) -> None:
            if next(seen):
                greeted(Line.reset)(line)
            else:
                old.wrap_socket(line.sock, server_side=True)

        assert "the certificate of HERE expired; " in ask(serve, None)[1]

    def test_may_be_unreachable_at_the_second_look(self) -> None:
        """Where the server takes no second connection, what is known is told."""
        old = expired(not_after=dt.datetime(2025, 1, 1, tzinfo=dt.UTC))

        def serve(line: Line) -> None:
            server.stop()
            old.wrap_socket(line.sock, server_side=True)

        with Server(serve, None) as server:
            assert f"the certificate of {HOST} (port {server.port}) expired; " in server.ask().detail

    def test_may_have_no_names(self, tmp_path: Path) -> None:
        """A certificate that names nobody is for another name."""
        root = Made.of(ca=True)
        (tmp_path / "root.pem").write_text(root.pem)
        assert " is for another name, not for 127.0.0.1; " in ask(LicenseServer(), Made.of(root).tls(), ca=tmp_path)[1]

    def test_may_break_another_rule(self) -> None:
        """What OpenSSL says of any other fault is told."""
        leaf = CA.issue_cert("localhost", HOST)
        context = ssl.create_default_context(cafile=CA_FILE)
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
        assert fault(
            "the certificate of HERE is refused: unable to get certificate CRL; whoever runs the server must mend it",
        ) == ask(LicenseServer(), tls(leaf), ca=context)


class TestTls:
    def test_may_not_be_spoken(self) -> None:
        """Plain HTTP on the port is told as such."""
        assert fault(
            "127.0.0.1 does not speak TLS on port PORT; give the port of its HTTPS",
        ) == ask(sending(b"HTTP/1.1 400 Bad Request\r\n\r\n"), None)

    def test_may_be_too_old(self) -> None:
        """A server that knows TLS 1.1 at most is told which version is needed."""
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old = tls(maximum_version=ssl.TLSVersion.TLSv1_1)
        old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        assert fault(
            "HERE has no version of TLS that is allowed here, 1.2 at least; whoever runs it must update it",
        ) == ask(LicenseServer(), old)

    def test_may_have_no_cipher_in_common(self) -> None:
        """A handshake that the server ends without a word more is told as a disagreement."""
        context = ssl.create_default_context(cafile=CA_FILE)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        other = tls(maximum_version=ssl.TLSVersion.TLSv1_2)
        other.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
        assert fault(
            "HERE and this machine cannot agree on TLS; the server's own log may say whether on the ciphers",
        ) == ask(LicenseServer(), other, ca=context)

    def test_may_fail_in_another_way(self) -> None:
        """OpenSSL's own word is told where nothing else is known."""
        garbage = b"\x15\x03\x03\x00\x02\x02\x50"  # an alert: internal error
        assert fault(
            "HERE and this machine cannot agree on TLS (TLSV1_ALERT_INTERNAL_ERROR); the server's own log may say why",
        ) == ask(sending(garbage), None)

    @pytest.mark.parametrize("serve", [Line.reset, sending()])
    def test_may_be_broken_off(self, serve: Serve) -> None:
        """A connection that ends in the handshake is told as such."""
        assert fault(
            "HERE broke off the TLS handshake; is this the port of its HTTPS, and does a firewall let it through?",
        ) == ask(greeted(serve), None)

    def test_may_stall(self) -> None:
        """A handshake that does not go on ends at the deadline."""
        outcome, detail = ask(Line.wait, None, deadline=SHORT)
        assert "connection_failed" == outcome
        assert detail.startswith("HERE did not answer within 0.")
        assert detail.endswith(
            " seconds: the TLS handshake did not end; is it overloaded, and is this the port of its HTTPS?"
        )

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_may_demand_a_client_certificate(self, version: ssl.TLSVersion) -> None:
        """A server that wants to see a certificate is told, and how to give one."""
        wanting = tls(verify_mode=ssl.CERT_REQUIRED, minimum_version=version, maximum_version=version)
        CA.configure_trust(wanting)
        outcome, detail = ask(LicenseServer(), wanting)
        assert "connection_failed" == outcome
        assert "client_certificate=" in detail

    def test_may_refuse_the_client_certificate(self, tmp_path: Path) -> None:
        """A certificate that the server does not accept is told as that."""
        wanting = tls(verify_mode=ssl.CERT_REQUIRED, maximum_version=ssl.TLSVersion.TLSv1_2)
        CA.configure_trust(wanting)
        file = tmp_path / "client.pem"
        OTHER_CA.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(str(file))
        assert fault(
            "HERE does not accept the client certificate; have it admitted there, or give another",
        ) == ask(LicenseServer(), wanting, client_certificate=file)


# ---------------------------------------------------------------------------------------------- HTTP

NO_SERVER = "; is this the address of a license server?"
BROKEN = "HERE broke its answer off; the network, or the server's own log, may say why"
CLOSED = (
    "HERE closed the connection without an answer; its own log may say why, "
    "and whether it wants a client certificate (client_certificate=)"
)
TOO_LONG = f"more than {LARGEST_ANSWER} bytes, and the protocol has no document so long"
CUT_SHORT = (
    "HERE sent what is no whole key, and did not say how long it is "
    "(this is no license key: its signature has 57 bytes in place of 64; was the text cut short?)"
)
HALF = head(200) + BODY
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n" + BODY[:64]
RESPONSES: dict[str, tuple[Serve, tuple[str, str]]] = {
    "reset before": (Line.reset, fault(CLOSED)),
    "end before": (sending(), fault(CLOSED)),
    "reset in mid-headers": (sending(head(200)[:40], then=Line.reset), fault(CLOSED)),
    "end in mid-headers": (sending(head(200)[:40]), fault(CLOSED)),
    "truncated": (sending(HALF), fault(BROKEN)),
    "truncated in chunks": (sending(CHUNKED), fault(BROKEN)),
    "no HTTP": (
        sending(b"220 mail.example.com ESMTP\r\n\r\n"),
        fault(
            "HERE answered what is no proper HTTP (illegal status line: bytearray(b'220 mail.example.com ESMTP'))"
            + NO_SERVER
        ),
    ),
    "redirect to http": (
        replying(b"", "302 Found", "Location: http://a.example/"),
        fault(
            "HERE redirects to http://a.example/ (302), which is not followed; "
            "it is not HTTPS, so give an address that does not redirect there"
        ),
    ),
    "redirect to https": (
        replying(b"", "308 Permanent Redirect", "Location: https://a.example/x"),
        fault("HERE redirects to https://a.example/x (308), which is not followed; give the address it redirects to"),
    ),
    "redirect to another server": (
        replying(b"", "308 Permanent Redirect", "Location: https://a.example/new/v1/check"),
        fault(
            "HERE redirects to https://a.example/new/v1/check (308), which is not followed; "
            "give the address it redirects to, without /v1/check at its end"
        ),
    ),
    "redirect to no URL": (
        replying(b"", "302 Found", "Location: https://a.example/\x7f"),
        fault(
            "HERE answered what is no proper HTTP (Invalid URL in location header: Invalid non-printable ASCII character "
            "in URL, '\\x7f' at position 18..)" + NO_SERVER
        ),
    ),
    "redirect to nowhere": (replying(b"", "304 Not Modified"), fault("HERE answered 304 Not Modified" + NO_SERVER)),
    "2xx": (replying(b"", "202 Accepted"), fault("HERE answered 202 Accepted" + NO_SERVER)),
    "unknown status": (replying(b"", "299 Hm"), fault("HERE answered 299" + NO_SERVER)),
    "400": (
        replying(b'{"message": "bad \\u001b[2Jquestion"}', "400 Bad Request"),
        fault(
            "HERE answered 400 Bad Request: bad [2Jquestion; it refuses the question; whoever runs the server can say why",
            "request_refused",
        ),
    ),
    "403": (
        replying(b"no\nway", "403 Forbidden", kind="text/plain; charset=utf-8"),
        fault(
            "HERE answered 403 Forbidden: no way; "
            "it does not admit this license or this machine; ask whoever runs the server",
            "request_refused",
        ),
    ),
    "404": (
        replying(b"<h1>no</h1>", "404 Not Found", kind="text/html"),
        fault("HERE answered 404 Not Found" + NO_SERVER, "request_refused"),
    ),
    "407 of the server itself": (
        replying(b"[]", "407 Proxy Authentication Required"),
        fault(
            "HERE answered 407 Proxy Authentication Required; it refuses the question; "
            "whoever runs the server can say why",
            "request_refused",
        ),
    ),
    "429": (
        replying(b'{"message": 5, "detail": "later"}', "429 Too Many Requests", kind="application/problem+json"),
        fault(
            "HERE answered 429 Too Many Requests: later; "
            "it is asked too often; it says itself when it wants to be asked again, or in an hour it is"
        ),
    ),
    "500": (
        replying(b"{}", "500 Internal Server Error"),
        fault("HERE answered 500 Internal Server Error; it has a fault; whoever runs the server finds it in its log"),
    ),
    "503": (
        replying(b"x" * 10**6, "503 Service Unavailable", kind="text/plain"),
        fault(
            "HERE answered 503 Service Unavailable; it is overloaded or under repair; whoever runs the server knows more"
        ),
    ),
    "refusal broken off": (
        sending(head(200, "400 Bad Request", kind="text/plain")),
        fault(
            "HERE answered 400 Bad Request; it refuses the question; whoever runs the server can say why",
            "request_refused",
        ),
    ),
    "wrong content type": (
        replying(BODY, kind="text/html; charset=utf-8"),
        fault("HERE answered text/html in place of application/json" + NO_SERVER),
    ),
    "no content type": (
        sending(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
        fault("HERE answered something without a type in place of application/json" + NO_SERVER),
    ),
    "oversized": (replying(b" " * (LARGEST_ANSWER + 1)), fault(f"HERE answered {TOO_LONG}{NO_SERVER}")),
    "compressed": (
        replying(b"\x1f\x8b", "200 OK", "Content-Encoding: gzip"),
        fault("HERE answered something compressed (gzip), without being asked to" + NO_SERVER),
    ),
    "no JSON": (
        replying(b"{"),
        fault("HERE answered what is not the protocol: the answer is no JSON object that can be read" + NO_SERVER),
    ),
    "other JSON": (
        replying(b'{"a": 1}'),
        fault("HERE answered what is not the protocol: the answer holds no signed text (answer)" + NO_SERVER),
    ),
    "a license key": (
        replying(json.dumps(OTHER_TYPE).encode()),
        fault(
            "the answer of HERE is refused: what the server signed cannot be read: it is signed text of another kind "
            "(typ must be 'license-answer+jws', not 'license-key+jws')",
            "answer_rejected",
        ),
    ),
}
STALLS: dict[str, tuple[Serve, str]] = {
    "answer": (Line.wait, "no answer came; is it overloaded? Its own log may say more"),
    "headers drip": (lambda line: line.drip(head(200)), "no answer came; is it overloaded? Its own log may say more"),
    "body": (sending(HALF, then=Line.wait), "the answer did not end; is it overloaded, or the network slow?"),
    "body drips": (
        sending(head(200), then=lambda line: line.drip(BODY)),
        "the answer did not end; is it overloaded, or the network slow?",
    ),
    "body drips without an end": (
        sending(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n",
            then=lambda line: line.drip(itertools.repeat(32)),
        ),
        "the answer did not end; is it overloaded, or the network slow?",
    ),
}
DOWNLOADS: dict[str, tuple[Serve, str]] = {
    "reset": (Line.reset, CLOSED),
    "truncated": (sending(head(2000, kind="application/jose") + RENEWED.signed.encode()), BROKEN),
    "truncated without a length": (
        sending(b"HTTP/1.1 200 OK\r\nContent-Type: application/jose\r\n\r\n" + RENEWED.signed.encode()[:-10]),
        CUT_SHORT,
    ),
    "404": (replying(b"gone", "404 Not Found", kind="text/plain"), "HERE answered 404 Not Found: gone" + NO_SERVER),
    "503": (
        replying(b"", "503 Service Unavailable"),
        "HERE answered 503 Service Unavailable; it is overloaded or under repair; whoever runs the server knows more",
    ),
    "redirect": (
        replying(b"", "302 Found", "Location: https://a.example/"),
        "HERE redirects to https://a.example/ (302), which is not followed; give the address it redirects to",
    ),
    "oversized": (
        replying(b" " * 16385, kind="application/jose"),
        "HERE answered more than 16384 bytes, and the protocol has no document so long" + NO_SERVER,
    ),
    "wrong content type": (
        replying(RENEWED.signed.encode(), kind="text/html"),
        "HERE answered text/html in place of application/jose" + NO_SERVER,
    ),
}


class TestResponse:
    @pytest.mark.parametrize("name", RESPONSES)
    def test_is_judged(self, name: str) -> None:
        """Each fault of HTTP has its outcome (rules.md 4.1), and words with which an administrator can act."""
        respond, expected = RESPONSES[name]
        assert expected == ask(asked(respond))

    def test_may_be_reset_in_the_middle(self) -> None:
        """A connection that is reset in mid-body is told; what had arrived by then, the system may throw away."""
        assert ask(asked(sending(HALF, then=Line.reset))) in {fault(BROKEN), fault(CLOSED)}

    @pytest.mark.parametrize("name", STALLS)
    def test_is_waited_for_until_the_deadline(self, name: str) -> None:
        """However slowly a server goes on, the question ends at its deadline."""
        respond, words = STALLS[name]
        assert fault(f"HERE did not answer within 0.5 seconds: {words}") == ask(asked(respond), deadline=SHORT)

    def test_counts_though_its_words_stall(self) -> None:
        """A refusal is a refusal, though the text that explains it never ends."""
        stalling = sending(head(200, "404 Not Found", kind="text/plain"), then=Line.wait)
        assert fault(
            "HERE answered 404 Not Found" + NO_SERVER,
            "request_refused",
        ) == ask(asked(stalling), deadline=SHORT)


class TestAnswer:
    def test_repeats_the_nonce(self) -> None:
        """An answer to another question, such as an old one that is sent again, is rejected."""
        assert fault(
            "the answer of HERE is refused: it is for another question (its nonce); was an old one sent again?",
            "answer_rejected",
        ) == ask(signing(nonce="A" * 43))

    def test_is_for_the_license(self) -> None:
        """An answer for another license is rejected."""
        assert fault(
            "the answer of HERE is refused: it is for the license ACME-2",
            "answer_rejected",
        ) == ask(signing(license="ACME-2"))

    def test_is_signed_by_whom_nothing_here_trusts(self) -> None:
        """The answer of a stranger is rejected."""
        assert fault(
            f"the answer of HERE is refused: the answer is signed by {STRANGER.kid!r}, whom nothing here trusts",
            "answer_rejected",
        ) == ask(signing(by=STRANGER))

    def test_has_a_good_signature(self) -> None:
        """An answer that was changed after it was signed is rejected."""

        def serve(line: Line) -> None:
            request = line.request()
            text = [json.loads(signed(request, outcome))["answer"] for outcome in ("generation_failed", "up_to_date")]
            parts = [each.split(".") for each in text]
            line.reply(write_answer(".".join((parts[0][0], parts[1][1], parts[0][2]))))

        outcome, detail = ask(serve)
        assert "answer_rejected" == outcome
        assert detail.startswith("the answer of HERE is refused: the signature is wrong: ")

    def test_gives_no_time_if_it_is_rejected(self) -> None:
        """The time of an answer that is not accepted counts for nothing (rules.md 7.6)."""
        for serve in (signing(nonce="A" * 43), signing(license="ACME-2"), signing(by=STRANGER)):
            with Server(serve) as server:
                assert server.ask().signed_time is None


class TestDownload:
    @pytest.mark.parametrize("name", DOWNLOADS)
    def test_is_judged(self, name: str) -> None:
        """Whatever is wrong with the download of a new key, the connection failed, and it is tried again soon."""
        respond, words = DOWNLOADS[name]
        said = f"there is a new license key, but it could not be downloaded: {words}"
        assert fault(said) == ask(downloaded(respond))

    def test_shares_the_deadline(self) -> None:
        """A download that stalls ends at the deadline of the whole question."""
        assert fault(
            "there is a new license key, but it could not be downloaded: HERE did not answer within 0.5 seconds: "
            "no answer came; is it overloaded? Its own log may say more"
        ) == ask(downloaded(Line.wait), deadline=SHORT)

    def test_keeps_the_time_that_was_signed(self) -> None:
        """The answer was accepted, so its time counts, whatever becomes of the key (rules.md 7.6)."""
        for respond in (Line.reset, replying(b"no key", kind="application/jose")):
            with Server(downloaded(respond)) as server:
                assert TIME == server.ask().signed_time

    @pytest.mark.parametrize(
        ("key", "words"),
        [
            (b"", "this is no license key: it is empty"),
            (b"\xff", "this is no license key: it must be three parts of base64url with dots between them"),
            (
                key_of(signer=STRANGER).signed.encode(),
                f"the key is signed by {STRANGER.kid!r}, whom nothing here trusts",
            ),
        ],
    )
    def test_may_be_of_a_bad_key(self, key: bytes, words: str) -> None:
        """A key that cannot be verified is rejected, with the reason."""
        assert ("key_rejected", f"the new license key of HERE is refused: {words}") == ask(
            LicenseServer("new_key", key=key)
        )

    def test_may_be_of_the_key_of_another_license(self) -> None:
        """A key that was signed for another license is handed on as it is: rule 4.3 judges it, and no adapter."""
        other = key_of("ACME-2")
        with Server(LicenseServer("new_key", key=other.signed.encode())) as server:
            assert Answer("new_key", other, signed_time=TIME) == server.ask()


# ---------------------------------------------------------------------------------------------- proxies


class TestProxy:
    def test_may_demand_a_login(self) -> None:
        """A proxy that answers 407 is told, and what to give; its password is not."""
        with Server(Proxy("407 Proxy Authentication Required"), None) as proxy:
            server = HttpsServer("https://a.example", trust=TRUSTED, proxy=f"http://me:secret@{HOST}:{proxy.port}")
            assert fault(
                f"the proxy 127.0.0.1:{proxy.port} demands a login (407); "
                f"give a name and a password, which it accepts, in the proxy's URL",
            ) == told(server.ask, question=QUESTION)

    @pytest.mark.parametrize(
        ("status", "words"),
        [
            ("403 Forbidden", "does not let through to a.example:443 (403 Forbidden); have it allowed there"),
            (
                "502 Bad Gateway",
                "cannot reach a.example:443 (502 Bad Gateway); check the server's address, and the proxy's own log",
            ),
        ],
    )
    def test_may_refuse(self, status: str, words: str) -> None:
        """What a proxy answers is told, and of which server it spoke."""
        with Server(Proxy(status), None) as proxy:
            server = HttpsServer("https://a.example", trust=TRUSTED, proxy=f"http://{HOST}:{proxy.port}")
            assert fault(f"the proxy 127.0.0.1:{proxy.port} {words}") == told(server.ask, question=QUESTION)

    def test_may_be_down(self) -> None:
        """It is the proxy that refused the connection, not the server."""
        with nobody() as port:
            server = HttpsServer("https://a.example", trust=TRUSTED, proxy=f"http://{HOST}:{port}")
            assert fault(
                f"the proxy 127.0.0.1:{port} refused the connection; is it running, and is its address right?"
            ) == told(server.ask, question=QUESTION)

    def test_may_have_a_wrong_name(self) -> None:
        """It is the proxy whose name is unknown, not the server."""
        server = HttpsServer("https://a.example", trust=TRUSTED, proxy="http://proxy.invalid:3128")
        assert fault(
            "the name proxy.invalid of the proxy cannot be resolved; "
            "check the proxy's address, and the DNS of this machine"
        ) == told(server.ask, question=QUESTION)

    def test_may_break_off(self) -> None:
        """It is the proxy that closed the connection."""
        with Server(asked(Line.reset), None) as proxy:
            server = HttpsServer("https://a.example", trust=TRUSTED, proxy=f"http://{HOST}:{proxy.port}")
            assert fault(
                f"the proxy 127.0.0.1:{proxy.port} closed the connection without an answer; its own log may say why"
            ) == told(server.ask, question=QUESTION)

    def test_may_stall(self) -> None:
        """It is the proxy that does not answer."""
        with Server(asked(Line.wait), None) as proxy:
            server = HttpsServer(
                "https://a.example", trust=TRUSTED, proxy=f"http://{HOST}:{proxy.port}", deadline=SHORT
            )
            outcome, detail = told(server.ask, question=QUESTION)
        assert "connection_failed" == outcome
        assert detail.startswith(
            f"the proxy 127.0.0.1:{proxy.port} did not answer within 0.5 seconds: no answer came; "
        )

    def test_changes_nothing_about_certificates(self) -> None:
        """Behind a proxy, a certificate is judged alike; its date is not looked up, as nobody can connect directly."""
        context = expired(not_after=dt.datetime(2025, 1, 1, tzinfo=dt.UTC))
        through = Proxy()
        with Server(LicenseServer(), context) as behind, Server(through, None) as proxy:
            outcome, detail = told(behind.ask, proxy=f"http://{HOST}:{proxy.port}")
        assert "connection_failed" == outcome
        assert detail.startswith(f"the certificate of 127.0.0.1 (port {behind.port}) expired; whoever ")
        assert 1 == len(through.seen)

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            ("gopher://me:secret@a.example", "proxy must begin with http://, https:// or socks5://, not 'gopher'"),
            ("http://me:sec ret@a.example", "proxy must be a URL of plain characters, such as http://proxy"),
        ],
    )
    def test_that_the_environment_names_may_be_none(
        self, monkeypatch: pytest.MonkeyPatch, given: str, why: str
    ) -> None:
        """A proxy of the environment that cannot be used is an outcome; its password is not told."""
        monkeypatch.setenv("HTTPS_PROXY", given)
        server = HttpsServer("https://a.example", trust=TRUSTED)
        outcome, detail = told(server.ask, question=QUESTION)
        assert "connection_failed" == outcome
        assert detail.startswith(f"HTTPS_PROXY in the environment cannot be used: {why}")
        assert detail.endswith("; mend it, except this server in NO_PROXY, or give a proxy with proxy=")
        assert "ret" not in detail

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("HTTP_PROXY", "socks5://a.example"),
            ("ALL_PROXY", "gopher://a.example"),
            ("NO_PROXY", "[::1],localhost,fe80::/10"),
            ("NO_PROXY", "a.example, 10.0.0.0/8"),
        ],
    )
    def test_that_is_for_others_is_left_alone(self, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
        """What else the environment says of proxies keeps no question from being asked."""
        through = Proxy()
        monkeypatch.setenv(name, value)
        with Server(LicenseServer(), tls(CA.issue_cert("b.example"))) as behind, Server(through, None) as proxy:
            through.instead = behind.port
            monkeypatch.setenv("HTTPS_PROXY", f"{HOST}:{proxy.port}")
            server = HttpsServer("https://b.example", trust=TRUSTED, ca=CA_FILE)
            assert ("up_to_date", "") == told(server.ask, question=QUESTION)
            server.close()
        assert 1 == len(through.seen)


# ---------------------------------------------------------------------------------------------- many


def _open() -> tuple[int, int]:
    """Count descriptors and threads."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_thousand_faults_leave_nothing_behind() -> None:
    """Whatever goes wrong a thousand times, no descriptor, thread or socket is left behind."""
    names = [name for name in RESPONSES if name != "503"]
    turn = itertools.count()

    def serve(line: Line) -> None:
        line.request()
        RESPONSES[names[next(turn) % len(names)]][0](line)

    old = expired(not_after=dt.datetime(2025, 1, 1, tzinfo=dt.UTC))
    with (
        Server(serve) as mixed,
        Server(LicenseServer(), old) as stale,
        Server(greeted(Line.reset), None) as plain,
        Server(Proxy("403 Forbidden"), None) as proxy,
        Server(downloaded(Line.reset)) as cut,
        Server(Line.wait, None) as stalled,
        nobody() as port,
    ):
        proxied = {"proxy": f"http://{HOST}:{proxy.port}"}
        kinds = [
            *[mixed.client()] * 12,
            stale.client(),
            plain.client(),
            mixed.client(**proxied),
            cut.client(),
            HttpsServer(f"https://{HOST}:{port}", trust=TRUSTED),
            HttpsServer("https://licenses.invalid", trust=TRUSTED),
        ]
        questions = [*(kinds * 60)[:990], *[stalled.client(deadline=0.2)] * 10]
        assert 1000 == len(questions)
        for server in kinds:
            server.ask(QUESTION)
        stalled.client(deadline=0.2).ask(QUESTION)
        _settle(stalled, mixed, cut, stale, plain, proxy)
        before = _open()
        with ThreadPoolExecutor(4) as pool:
            outcomes = {answer.outcome for answer in pool.map(lambda server: server.ask(QUESTION), questions)}
        assert {"connection_failed", "request_refused", "answer_rejected"} == outcomes
        _join("licfsm asks")
        _settle(stalled, mixed, cut, stale, plain, proxy)
        assert before == _open()


def _settle(*servers: Server) -> None:
    """Wait until the servers are through with their connections."""
    for server in servers:
        server.settle()
