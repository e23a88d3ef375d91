import base64
import contextlib
import datetime as dt
import email.utils
import logging
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from tls_faults import (
    CA,
    CA_FILE,
    HOST,
    INSTALLED,
    LEAF,
    OTHER_CA,
    PATIENCE,
    QUESTION,
    RENEWED,
    SIGNER,
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
    head,
    replying,
    sending,
    signed,
    tls,
)

import licfsm
from licfsm.adapters.answers import LARGEST_ANSWER
from licfsm.adapters.keys import TrustedKeys
from licfsm.adapters.proxies import environment_proxy
from licfsm.adapters.server import HttpsServer, _OwnClients
from licfsm.errors import InvalidValue
from licfsm.ports import Answer
from licfsm.ports import LicenseServer as Port

URL = "https://licenses.example.com"
NO_HTTP_2 = "the HTTP client that was given speaks HTTP/2 with this server; give one without http2=True"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def refused(url: Any = URL, **options: Any) -> str:  # noqa: ANN401 - passed on as they are
    """Tell why a server cannot be made so."""
    with pytest.raises(InvalidValue) as caught:
        HttpsServer(url, **options)
    assert str(caught.value).isprintable()
    return str(caught.value)


class TestQuestion:
    def test_is_posted(self) -> None:
        """A question is a POST of JSON to /v1/check, which asks for nothing compressed and no further question."""
        serving = LicenseServer()
        with Server(serving) as server:
            server.ask()
        (request,) = serving.seen
        assert ("POST", "/v1/check") == (request.method, request.path)
        assert {
            "content-type": "application/json",
            "accept": "application/json",
            "accept-encoding": "identity",
            "connection": "close",
            "user-agent": f"licfsm/{licfsm.__version__}",
            "host": f"127.0.0.1:{server.port}",
            "content-length": str(len(request.body)),
        } == request.headers

    def test_says_who_asks(self) -> None:
        """It holds the license's id, the key that is installed, and 32 random bytes."""
        serving = LicenseServer()
        with Server(serving) as server:
            server.ask()
        said = serving.seen[0].asked
        nonce = said.pop("nonce")
        assert {"version": 1, "license": "ACME-1", "key": INSTALLED.signed} == said
        assert 32 == len(base64.urlsafe_b64decode(nonce + "="))

    def test_has_its_own_nonce(self) -> None:
        """No two questions have the same nonce."""
        serving = LicenseServer()
        with Server(serving) as server:
            answers = [server.ask() for _ in range(5)]
        assert ["up_to_date"] * 5 == [answer.outcome for answer in answers]
        assert 5 == len({request.asked["nonce"] for request in serving.seen})

    @pytest.mark.parametrize("path", ["/licensing", "/licensing/", "/a/b-c"])
    def test_may_go_below_a_path(self, path: str) -> None:
        """The path of the server's URL comes first."""
        serving = LicenseServer()
        with Server(serving) as server:
            server.ask(path=path)
        assert f"{path.rstrip('/')}/v1/check" == serving.seen[0].path

    def test_goes_to_a_name(self) -> None:
        """A server can be given by its name in DNS."""
        with Server(LicenseServer()) as server:
            assert "up_to_date" == server.ask(host="localhost").outcome

    def test_shows_no_cookies(self) -> None:
        """What a server wants to have remembered is not."""
        serving = LicenseServer("up_to_date", "Set-Cookie: id=5; Path=/")
        with Server(serving) as server, contextlib.closing(server.client()) as client:
            client.ask(QUESTION)
            client.ask(QUESTION)
        assert ["cookie" in request.headers for request in serving.seen] == [False, False]

    def test_needs_trust(self) -> None:
        """Where nobody said whose signatures count, asking is a mistake."""
        with pytest.raises(InvalidValue, match="nobody said whose signatures count; give trust="):
            HttpsServer(URL).ask(QUESTION)


class TestAnswer:
    @pytest.mark.parametrize("outcome", ["up_to_date", "generation_failed", "unsupported_type", "contract_terminated"])
    def test_is_what_the_server_signed(self, outcome: str) -> None:
        """What a server may say arrives, with the time it signed."""
        with Server(LicenseServer(outcome)) as server:
            assert Answer(outcome, signed_time=TIME) == server.ask()

    def test_says_why(self) -> None:
        """A failure that the server tells has its words, cleaned (rules.md 8.3)."""
        with Server(LicenseServer("generation_failed", message="General\x1b[2J error\n")) as server:
            assert "General[2J error" == server.ask().detail

    def test_says_nothing_of_what_went_well(self) -> None:
        """Where nothing failed there is nothing to explain."""
        with Server(LicenseServer("up_to_date", message="Hello")) as server:
            assert "" == server.ask().detail

    def test_brings_the_new_key(self) -> None:
        """A new key is fetched from where the answer says, verified, and handed on with its signed text."""
        serving = LicenseServer("new_key", key=f"{RENEWED.signed}\n".encode())
        with Server(serving) as server:
            answer = server.ask(path="/licensing")
        assert Answer("new_key", RENEWED, signed_time=TIME) == answer
        assert isinstance(answer.key, licfsm.LicenseKey)
        assert RENEWED.signed == answer.key.signed
        question, download = serving.seen
        assert ("GET", "/v1/keys/5f1c", b"") == (download.method, download.path, download.body)
        assert {
            "accept": "application/jose",
            "accept-encoding": "identity",
            "connection": "close",
            "user-agent": question.headers["user-agent"],
            "host": question.headers["host"],
        } == download.headers

    def test_may_be_spelled_in_another_way(self) -> None:
        """The media type may have parameters and capitals, and the answer may come in chunks."""

        def serve(line: Line) -> None:
            body = signed(line.request())
            line.send(b"HTTP/1.1 200 OK\r\nContent-Type: Application/JSON; charset=utf-8\r\n")
            line.send(b"Content-Encoding: Identity\r\nTransfer-Encoding: chunked\r\n\r\n")
            for part in (body[:50], body[50:]):
                line.send(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            line.send(b"0\r\n\r\n")

        with Server(serve) as server:
            assert "up_to_date" == server.ask().outcome

    def test_may_be_as_long_as_the_protocol_allows(self) -> None:
        """An answer of the largest size is read."""

        def serve(line: Line) -> None:
            line.reply(signed(line.request()).ljust(LARGEST_ANSWER))

        with Server(serve) as server:
            assert "up_to_date" == server.ask().outcome


NOW = "Fri, 07 Feb 2025 00:00:00 GMT"


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("told", "milliseconds"),
        [
            ("120", 120_000),
            ("0", 0),
            (" 007 ", 7_000),
            ("9" * 100, 10**12),
            ("9" * 101, None),
            ("Fri, 07 Feb 2025 00:10:00 GMT", 600_000),
            ("Fri, 07 Feb 2025 01:00:00 +0100", 0),
            ("Friday, 07-Feb-25 00:00:30 GMT", 30_000),
            ("Fri Feb  7 00:01:00 2025", 60_000),
            ("Thu, 06 Feb 2025 00:00:00 GMT", 0),
            ("Fri, 07 Feb 99999 00:00:00 GMT", None),
            ("", None),
            ("soon", None),
            ("-5", None),
            ("1.5", None),
            ("120, 240", None),
            ("٣", None),
        ],
    )
    def test_is_read(self, told: str, milliseconds: int | None) -> None:
        """Seconds, or a date by the server's own clock; what is neither counts for nothing."""
        headers = [(b"Retry-After", told.encode()), (b"Date", NOW.encode())]

        def handle(_: httpx.Request) -> httpx.Response:
            return httpx.Response(503, headers=headers)

        with httpx.Client(transport=httpx.MockTransport(handle)) as client:
            assert milliseconds == HttpsServer(URL, trust=TRUSTED, client=client).ask(QUESTION).retry_after

    @pytest.mark.parametrize("date", ["", "Date: now"])
    def test_goes_by_the_clock_of_this_machine_where_the_server_tells_no_time(self, date: str) -> None:
        """A date without another to compare it with is compared with the clock."""
        at = email.utils.format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(hours=1), usegmt=True)
        headers = [f"Retry-After: {at}", *filter(None, [date])]
        with Server(asked(replying(b"", "503 Service Unavailable", *headers))) as server:
            assert 3_500_000 < (server.ask().retry_after or 0) <= 3_600_000

    @pytest.mark.parametrize(
        ("serve", "outcome"),
        [
            (asked(replying(b"", "429 Too Many Requests", "Retry-After: 120")), "connection_failed"),
            (asked(replying(b"", "403 Forbidden", "Retry-After: 120")), "request_refused"),
            (asked(replying(b"", "302 Found", "Retry-After: 120", "Location: /x")), "connection_failed"),
            (asked(replying(b"x", "200 OK", "Retry-After: 120")), "connection_failed"),
            (LicenseServer("generation_failed", "Retry-After: 120"), "generation_failed"),
            (LicenseServer("up_to_date", "Retry-After: 120", nonce="A" * 43), "answer_rejected"),
            (LicenseServer("new_key", "Retry-After: 120", key=b""), "key_rejected"),
            (downloaded(replying(b"", "503 Service Unavailable", "Retry-After: 120")), "connection_failed"),
        ],
    )
    def test_comes_with_every_outcome(self, serve: Serve, outcome: str) -> None:
        """Whatever the status, and whatever becomes of the answer, the wish is handed on."""
        with Server(serve) as server:
            answer = server.ask()
        assert (outcome, 120_000) == (answer.outcome, answer.retry_after)


class TestTrust:
    def test_may_be_what_a_host_embeds(self) -> None:
        """What TrustedKeys.of takes will do."""
        with Server(LicenseServer()) as server:
            assert "up_to_date" == server.ask(trust=SIGNER.public).outcome

    def test_comes_from_the_manager_where_none_was_given(self) -> None:
        """A server without trust is given the manager's; the first one stays as it was."""
        with Server(LicenseServer()) as server:
            bare = server.client(trust=None)
            trusting = bare.trusting(TRUSTED)
            assert "up_to_date" == trusting.ask(QUESTION).outcome
            trusting.close()
        with pytest.raises(InvalidValue):
            bare.ask(QUESTION)

    def test_stays_where_it_was_given(self) -> None:
        """A server that has its own trust keeps it."""
        with Server(LicenseServer()) as server:
            own = server.client().trusting(TrustedKeys.of(STRANGER.public))
            assert "up_to_date" == own.ask(QUESTION).outcome

    def test_may_not_be_empty(self) -> None:
        """To trust nobody is a mistake."""
        assert "without trusted keys nothing opens" in refused(trust=[])


# ---------------------------------------------------------------------------------------------- clients


def unverified(*, hostname: bool = False, certificate: bool = False) -> ssl.SSLContext:
    """Make a client's side of TLS that does not verify everything."""
    context = ssl.create_default_context(cafile=CA_FILE)
    context.check_hostname = hostname
    if not certificate:
        context.verify_mode = ssl.CERT_NONE
    return context


class KeptAlive(LicenseServer):
    """Keeps its connections for further requests."""

    def __call__(self, line: Line) -> None:
        """Serve a connection until the client ends it."""
        while True:
            request = line.request()
            self.seen.append(request)
            line.reply(b"{}" if request.method == "GET" else signed(request))


class TestGivenClient:
    def test_may_not_speak_http_2(self) -> None:
        """Over HTTP/2 nobody sees by which connection a request goes; nothing is sent, and the reason says so."""
        context = tls(CA.issue_cert(HOST))
        context.set_alpn_protocols(["h2"])
        heard = bytearray()

        def serve(line: Line) -> None:
            while data := line.sock.recv(65536):
                heard.extend(data)

        with (
            Server(serve, context) as server,
            httpx.Client(verify=ssl.create_default_context(cafile=CA_FILE), http2=True) as client,
        ):
            answers = [server.ask(client=client) for _ in range(2)]
        assert [("connection_failed", NO_HTTP_2)] * 2 == [(answer.outcome, answer.detail) for answer in answers]
        assert b"PRI * HTTP/2.0" == bytes(heard[:14])
        assert INSTALLED.signed.encode() not in heard

    def test_is_used_as_it_is(self) -> None:
        """A client of the host's asks with its own TLS, and stays open."""
        serving = LicenseServer()
        with (
            Server(serving) as server,
            httpx.Client(verify=ssl.create_default_context(cafile=CA_FILE), headers={"X-Host": "b1"}) as client,
        ):
            assert "up_to_date" == server.ask(client=client).outcome
            assert not client.is_closed
        assert "b1" == serving.seen[0].headers["x-host"]

    @pytest.mark.parametrize("context", [unverified(), unverified(certificate=True)], ids=["no certificate", "no name"])
    def test_must_verify(self, context: ssl.SSLContext) -> None:
        """A client that does not verify certificate and name is refused before anything is sent (rules.md 3.4)."""
        serving = LicenseServer()
        with Server(serving) as server, httpx.Client(verify=context) as client:
            assert Answer(
                "connection_failed",
                detail="the HTTP client that was given does not verify certificates, so nothing was sent; "
                "give one that does (httpx.Client verifies unless told otherwise)",
            ) == server.ask(client=client)
        assert 1 == server.greeted
        assert [] == serving.seen

    def test_must_verify_connections_it_has_already(self) -> None:
        """A connection that the host left open without verifying it is not used."""
        serving = KeptAlive()
        with Server(serving) as server, httpx.Client(verify=unverified()) as client:
            client.get(f"https://{HOST}:{server.port}/")
            assert "connection_failed" == server.ask(client=client).outcome
        assert ["GET"] == [request.method for request in serving.seen]

    def test_connects_anew(self) -> None:
        """A connection that the host left open is dropped, as nobody saw how it was verified, and another one made."""
        serving = KeptAlive()
        with (
            Server(serving) as server,
            httpx.Client(verify=ssl.create_default_context(cafile=CA_FILE)) as client,
        ):
            client.get(f"https://{HOST}:{server.port}/")
            assert "up_to_date" == server.ask(client=client).outcome
        assert 2 == server.greeted

    def test_may_have_used_connections_only(self) -> None:
        """A transport that never makes a connection of its own comes to an end, and nothing was sent."""

        def handle(request: httpx.Request) -> httpx.Response:
            request.extensions["trace"]("http11.send_request_headers.started", {"request": QuickRequest})
            raise AssertionError

        with httpx.Client(transport=httpx.MockTransport(handle)) as client:
            assert (
                "the HTTP client that was given has connections that were used before only; give one of its own"
                == HttpsServer(URL, trust=TRUSTED, client=client).ask(QUESTION).detail
            )

    def test_may_have_no_free_connection(self) -> None:
        """A pool that is used up is told as such."""
        with (
            Server(sending(head(200), then=Line.wait)) as busy,
            httpx.Client(
                verify=ssl.create_default_context(cafile=CA_FILE), limits=httpx.Limits(max_connections=1)
            ) as client,
            client.stream("GET", f"https://{HOST}:{busy.port}/"),
            Server(LicenseServer()) as server,
        ):
            assert (
                "the HTTP client that was given has no free connection; give one that has, or one of its own"
                == server.ask(client=client, deadline=0.5).detail
            )

    def test_may_fail_in_its_own_way(self, caplog: pytest.LogCaptureFixture) -> None:
        """What a client of the host's raises is an outcome; the log says where, but not its text, which may be secret."""

        def fail(request: httpx.Request) -> None:
            message = request.content.decode()
            raise LookupError(message)

        with httpx.Client(event_hooks={"request": [fail]}) as client:
            assert Answer(
                "connection_failed", detail="asking licenses.example.com:443 failed: LookupError; the log says where"
            ) == HttpsServer(URL, trust=TRUSTED, client=client).ask(QUESTION)
        assert "asking licenses.example.com:443 raised LookupError" in caplog.text
        assert ", in fail" in caplog.text
        assert INSTALLED.signed not in caplog.text

    def test_may_be_closed(self) -> None:
        """A client that the host has closed is an outcome."""
        client = httpx.Client()
        client.close()
        assert (
            "asking licenses.example.com:443 failed: RuntimeError; the log says where"
            == HttpsServer(URL, trust=TRUSTED, client=client).ask(QUESTION).detail
        )

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (httpx.ReadTimeout(""), " did not answer within 30 seconds: no answer came; "),
            (httpx.ConnectError("no reason"), " closed the connection without an answer; "),
            (httpx.UnsupportedProtocol(""), "asking licenses.example.com:443 failed: UnsupportedProtocol; "),
            (
                httpx.ProxyError("Proxy Server could not connect"),
                " cannot reach licenses.example.com:443 (Proxy Server ",
            ),
        ],
    )
    def test_may_say_little(self, error: Exception, words: str) -> None:
        """What other transports raise by themselves is put into words as far as it goes."""

        def handle(_: httpx.Request) -> httpx.Response:
            raise error

        with httpx.Client(transport=httpx.MockTransport(handle)) as client:
            answer = HttpsServer(URL, trust=TRUSTED, client=client).ask(QUESTION)
        assert "connection_failed" == answer.outcome
        assert words in answer.detail

    def test_may_connect_in_its_own_way(self) -> None:
        """A connection of which only its owner has the socket cannot be shut down; it is used all the same."""

        class Stream:
            def get_extra_info(self, _: str) -> None:
                return None

        def handle(request: httpx.Request) -> httpx.Response:
            trace = request.extensions["trace"]
            trace("connection.connect_unix_socket.complete", {"return_value": Stream()})
            return httpx.Response(404)

        with httpx.Client(transport=httpx.MockTransport(handle)) as client:
            assert "request_refused" == HttpsServer(URL, trust=TRUSTED, client=client).ask(QUESTION).outcome

    @pytest.mark.parametrize("client", ["https", object(), httpx.AsyncClient()])
    def test_must_be_one(self, client: object) -> None:
        """Something else, an asynchronous client too, is refused at once."""
        assert f"client must be an httpx.Client, not a value of type {type(client).__name__}" == refused(client=client)

    @pytest.mark.parametrize(
        "other", [{"ca": CA_FILE}, {"client_certificate": "a.pem"}, {"proxy": "http://a"}], ids=str
    )
    def test_excludes_what_it_has_itself(self, other: dict[str, Any]) -> None:
        """TLS and proxies are the client's own."""
        with httpx.Client() as client:
            assert (
                "client has its own TLS and proxies: give ca, client_certificate and proxy to it, or leave client out"
                == refused(client=client, **other)
            )


class QuickRequest:
    """What httpcore tells of a request."""

    method = b"POST"


class TestOwnClient:
    def test_is_shared_by_threads(self) -> None:
        """Many threads ask at once, each its own question."""
        serving = LicenseServer()
        with (
            Server(serving) as server,
            contextlib.closing(server.client()) as client,
            ThreadPoolExecutor(16) as pool,
        ):
            answers = list(pool.map(client.ask, [QUESTION] * 64))
        assert {"up_to_date"} == {answer.outcome for answer in answers}
        assert 64 == len({request.asked["nonce"] for request in serving.seen})

    def test_is_one_for_all_threads(self) -> None:
        """Threads that ask for the first time at once use one client."""
        server = HttpsServer(URL, trust=TRUSTED)
        barrier = threading.Barrier(8)

        def current(_: int) -> object:
            barrier.wait(PATIENCE)
            return server._clients.current()

        with ThreadPoolExecutor(8) as pool, contextlib.closing(server):
            assert 1 == len({id(client) for client in pool.map(current, range(8))})

    def test_that_comes_second_is_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of two clients that are made at once, the second is closed and not used."""
        clients = HttpsServer(URL, trust=TRUSTED)._clients
        first, second = httpx.Client(), httpx.Client()
        coming = [second, first]

        def new() -> httpx.Client:
            mine = coming.pop()
            if coming:
                clients.current()  # what another thread does in the middle of it
            return mine

        monkeypatch.setattr(clients, "_new", new)
        assert second is clients.current()
        assert (True, False) == (first.is_closed, second.is_closed)
        clients.close()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_is_made_anew_in_a_fork(self) -> None:
        """A process that was forked asks with a client of its own."""
        program = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from tls_faults import QUESTION, TRUSTED
from licfsm.adapters.server import HttpsServer
server = HttpsServer(sys.argv[1], trust={SIGNER.public!r}, ca=sys.argv[2])
mine = server._clients.current()
child = os.fork()
outcome = server.ask(QUESTION).outcome
same = server._clients.current() is mine
if not child:
    os._exit(0 if (outcome, same) == ("up_to_date", False) else 1)
print(outcome, same, os.waitpid(child, 0)[1])
"""
        with Server(LicenseServer()) as server:
            arguments = [sys.executable, "-c", program, f"https://{HOST}:{server.port}", str(CA_FILE)]
            shown = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=PATIENCE)
        assert ("up_to_date True 0\n", "") == (shown.stdout, shown.stderr)

    def test_can_be_closed_and_used_again(self) -> None:
        """After close, a further question opens what it needs anew."""
        with Server(LicenseServer()) as server:
            client = server.client()
            for _ in range(2):
                assert "up_to_date" == client.ask(QUESTION).outcome
                client.close()
                client.close()

    def test_needs_a_thread(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A machine that can start no further thread is an outcome."""

        def start(_: threading.Thread) -> None:
            message = "can't start new thread"
            raise RuntimeError(message)

        monkeypatch.setattr(threading.Thread, "start", start)
        assert Answer(
            "connection_failed", detail="this machine cannot start another thread; see what it runs"
        ) == HttpsServer(URL, trust=TRUSTED).ask(QUESTION)

    def test_logs_nothing_secret(self, caplog: pytest.LogCaptureFixture) -> None:
        """Even with everything logged, no log holds the key, the nonce, or the path at which the new key lies."""
        caplog.set_level(logging.DEBUG)
        serving = LicenseServer("new_key")
        with Server(serving) as server:
            server.ask()
        assert "connect_tcp" in caplog.text
        for secret in (INSTALLED.signed, RENEWED.signed, serving.seen[0].asked["nonce"], serving.seen[1].path):
            assert secret not in caplog.text

    def test_leaves_the_log_of_other_requests_alone(self, caplog: pytest.LogCaptureFixture) -> None:
        """What the host asks by httpx itself is logged as ever."""
        caplog.set_level(logging.INFO)
        with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200))) as client:
            client.get("https://example.com/other")
        assert "https://example.com/other" in caplog.text


class TestImport:
    def test_is_light(self) -> None:
        """Neither the module nor a server that is made loads httpx or cryptography."""
        program = (
            "import sys; from licfsm.adapters.server import HttpsServer; HttpsServer('https://a.example');"
            "print({'httpx', 'httpcore', 'cryptography', 'certifi'} & sys.modules.keys())"
        )
        shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert "set()\n" == shown.stdout

    def test_is_a_license_server(self) -> None:
        """It is what a manager asks."""
        assert isinstance(HttpsServer(URL), Port)


# ---------------------------------------------------------------------------------------------- proxies


@pytest.fixture
def through() -> Iterator[tuple[LicenseServer, Proxy, Server, Server]]:
    """Begin a license server, and a proxy that leads to it whatever it is asked for."""
    serving = LicenseServer("new_key")
    with Server(serving, tls(CA.issue_cert("licenses.example.com"))) as server:
        proxy = Proxy(instead=server.port)
        with Server(proxy, None) as proxying:
            yield serving, proxy, server, proxying


class TestProxy:
    def test_may_be_given(self, through: tuple[LicenseServer, Proxy, Server, Server]) -> None:
        """Question and download go through the proxy; its login is for the proxy alone."""
        serving, proxy, _, proxying = through
        url = f"http://me:secret@{HOST}:{proxying.port}"
        with contextlib.closing(HttpsServer(URL, trust=TRUSTED, ca=CA_FILE, proxy=url)) as server:
            assert "new_key" == server.ask(QUESTION).outcome
        login = f"Basic {base64.b64encode(b'me:secret').decode()}"
        assert [("CONNECT", "licenses.example.com:443", login)] * 2 == [
            (request.method, request.path, request.headers["proxy-authorization"]) for request in proxy.seen
        ]
        assert not [request for request in serving.seen if "proxy-authorization" in request.headers]

    def test_may_come_from_the_environment(
        self, through: tuple[LicenseServer, Proxy, Server, Server], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """HTTPS_PROXY is used where none is given."""
        _, proxy, _, proxying = through
        monkeypatch.setenv("HTTPS_PROXY", f"http://{HOST}:{proxying.port}")
        with contextlib.closing(HttpsServer(URL, trust=TRUSTED, ca=CA_FILE)) as server:
            assert "new_key" == server.ask(QUESTION).outcome
        assert 2 == len(proxy.seen)

    @pytest.mark.parametrize(
        ("host", "excepted", "proxy"),
        [
            ("licenses.example.com", "", True),
            ("licenses.example.com", "other.example,ample.com", True),
            ("licenses.example.com", "other.example, example.com", False),
            ("licenses.example.com", ".example.com", False),
            ("licenses.example.com", "licenses.example.com", False),
            ("licenses.example.com", "*", False),
            ("10.1.2.3", "10.2.0.0/16", True),
            ("10.1.2.3", "example.com,10.0.0.0/8", False),
            ("10.1.2.3", "10.1.2.3", False),
            ("2001:db8::5", "2001:db9::/32", True),
            ("2001:db8::5", "[2001:db8::5]", False),
            ("2001:db8::5", "2001:db8::/32", False),
            ("localhost", "", False),
            ("127.0.0.2", "", False),
            ("::1", "", False),
        ],
    )
    def test_may_be_passed_by(self, monkeypatch: pytest.MonkeyPatch, host: str, excepted: str, proxy: bool) -> None:  # noqa: FBT001 - a case
        """NO_PROXY names whom to ask directly; nobody asks this machine through another one."""
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
        monkeypatch.setenv("NO_PROXY", excepted)
        assert ("http://proxy.example.com:3128" if proxy else None) == environment_proxy(host)

    def test_for_all_is_taken_where_there_is_no_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """ALL_PROXY stands behind HTTPS_PROXY; HTTP_PROXY is for something else."""
        monkeypatch.setenv("HTTP_PROXY", "http://c.example")
        assert environment_proxy("licenses.example.com") is None
        monkeypatch.setenv("ALL_PROXY", "a.example:3128")
        assert "http://a.example:3128" == environment_proxy("licenses.example.com")
        monkeypatch.setenv("HTTPS_PROXY", "b.example")
        assert "http://b.example" == environment_proxy("licenses.example.com")

    def test_of_the_environment_is_verified_by_the_same_cas(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A proxy with https:// that nobody gave as an argument is verified by what was given as ca, too."""
        serving, through = LicenseServer(), Proxy()
        with Server(serving, tls(CA.issue_cert("licenses.example.com"))) as server, Server(through, TLS) as proxy:
            through.instead = server.port
            monkeypatch.setenv("HTTPS_PROXY", f"https://localhost:{proxy.port}")
            with contextlib.closing(HttpsServer(URL, trust=TRUSTED, ca=CA_FILE)) as asking:
                assert "up_to_date" == asking.ask(QUESTION).outcome
        assert 1 == len(through.seen)

    def test_may_speak_tls_itself(self) -> None:
        """A proxy with https:// is verified by the same CAs."""
        with Server(LicenseServer()) as server, Server(Proxy(), TLS) as proxy:
            assert "up_to_date" == server.ask(proxy=f"https://localhost:{proxy.port}").outcome

    def test_is_verified_where_it_speaks_tls(self) -> None:
        """A proxy whose certificate is for another name is told as the proxy."""
        with Server(LicenseServer()) as server, Server(Proxy(), tls(CA.issue_cert("a.example"))) as proxy:
            detail = server.ask(proxy=f"https://localhost:{proxy.port}").detail
        assert detail.startswith(
            f"the certificate of the proxy localhost:{proxy.port} is for a.example, not for localhost; "
        )

    @pytest.mark.parametrize(
        ("proxy", "why"),
        [
            ("ftp://a.example", "proxy must begin with http://, https:// or socks5://, not 'ftp'"),
            ("proxy.example.com:3128", "proxy must begin with http://, https:// or socks5://, not 'proxy.example.com'"),
            ("http://", "proxy must name a host, by its name in DNS or its IP address; not ''"),
            ("http://me:sec ret@a", "proxy must be a URL of plain characters, such as http://proxy.example.com:3128"),
            (5, "proxy must be a URL of plain characters, such as http://proxy.example.com:3128"),
        ],
    )
    def test_must_be_one(self, proxy: object, why: str) -> None:
        """What is no URL of a proxy is refused, without a password it may hold."""
        assert refused(proxy=proxy).startswith(why)
        assert "ret" not in refused(proxy=proxy)

    @pytest.mark.skipif(find_spec("socksio") is not None, reason="SOCKS can be used")
    def test_may_need_another_package(self) -> None:
        """A SOCKS proxy without what is needed for it is refused at once."""
        assert "proxy: for SOCKS the package socksio is needed; install httpx[socks], or give an HTTP proxy" == refused(
            proxy="socks5://a.example"
        )


# ---------------------------------------------------------------------------------------------- TLS


def tls_of(server: HttpsServer) -> ssl.SSLContext:
    """Look at a client's side of TLS."""
    clients = server._clients
    assert isinstance(clients, _OwnClients)
    return clients._tls


class TestAuthority:
    def test_may_be_a_folder(self, tmp_path: Path) -> None:
        """Every file of a folder counts that holds a certificate; nothing need be linked by hashes."""
        (tmp_path / "README").write_text("no certificate")
        (tmp_path / "sub").mkdir()
        OTHER_CA.cert_pem.write_to_path(str(tmp_path / "a.pem"))
        CA.cert_pem.write_to_path(str(tmp_path / "b.crt"))
        CA.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
        with Server(LicenseServer()) as server:
            assert "up_to_date" == server.ask(ca=tmp_path).outcome

    def test_may_be_the_certificate_of_the_server_itself(self, tmp_path: Path) -> None:
        """A self-signed certificate can be given as it is."""
        alone = Made.of(None, HOST)
        (tmp_path / "alone.pem").write_text(alone.pem)
        with Server(LicenseServer(), alone.tls()) as server:
            assert "up_to_date" == server.ask(ca=str(tmp_path / "alone.pem")).outcome

    def test_may_stand_below_another(self, tmp_path: Path) -> None:
        """A CA that is given counts by itself: who vouches for it need not be known."""
        middle = Made.of(Made.of(ca=True), ca=True)
        (tmp_path / "middle.pem").write_text(middle.pem)
        with Server(LicenseServer(), Made.of(middle, HOST).tls(middle)) as server:
            assert "up_to_date" == server.ask(ca=tmp_path / "middle.pem").outcome

    def test_may_be_a_context(self) -> None:
        """A context of the host's is used as it is."""
        with Server(LicenseServer()) as server:
            assert "up_to_date" == server.ask(ca=ssl.create_default_context(cafile=CA_FILE)).outcome

    def test_may_be_the_environments(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without ca the system's CAs count, which SSL_CERT_FILE names."""
        monkeypatch.setenv("SSL_CERT_FILE", str(CA_FILE))
        with Server(LicenseServer()) as server:
            assert "up_to_date" == server.ask(ca=None).outcome

    @pytest.mark.parametrize(("told", "known"), [({}, 1), ({"SSL_CERT_FILE": "/none"}, 0)])
    def test_is_certifis_where_the_system_has_none(
        self, told: dict[str, str], known: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """A system without CAs gets those of certifi, unless somebody said which ones count."""
        paths = ssl.DefaultVerifyPaths("", str(tmp_path), "SSL_CERT_FILE", "", "SSL_CERT_DIR", "")
        monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
        monkeypatch.setattr(ssl, "create_default_context", lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        for name, value in told.items():
            monkeypatch.setenv(name, value)
        assert known == min(1, tls_of(HttpsServer(URL)).cert_store_stats()["x509_ca"])

    def test_is_given_tls_of_today(self) -> None:
        """Whatever the system allows, TLS before 1.2 is not spoken."""
        for ca in (None, CA_FILE):
            assert ssl.TLSVersion.TLSv1_2 == tls_of(HttpsServer(URL, ca=ca)).minimum_version

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (None, "No such file or directory; check the path, and the rights of this process"),
            (b"", "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"),
            (b"\x30\x82", "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"),
            (
                b"-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n",
                "it does not hold what it should in PEM",
            ),
        ],
    )
    def test_must_be_one(self, content: bytes | None, why: str, tmp_path: Path) -> None:
        """What is no CA's certificate is refused at once, with its path."""
        file = tmp_path / "ca.pem"
        if content is not None:
            file.write_bytes(content)
        said = refused(ca=file)
        assert said.startswith(f"ca: {str(file)!r}")
        assert why in said

    @pytest.mark.parametrize("ca", ["", 5, False, "a\0b"])
    def test_must_be_a_path(self, ca: object) -> None:
        """What is no path is refused; False, with which others switch verification off, is none."""
        assert f"ca must be the path of a file in PEM, not a value of type {type(ca).__name__}" == refused(ca=ca)

    def test_must_verify(self) -> None:
        """A context that does not verify everything is refused at once (rules.md 3.4)."""
        for context in (unverified(), unverified(certificate=True)):
            assert refused(ca=context).startswith("ca: the SSLContext does not verify certificates and names; ")

    def test_must_be_of_today(self) -> None:
        """A context that allows TLS before 1.2 is refused."""
        context = ssl.create_default_context(cafile=CA_FILE)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        assert "ca: the SSLContext allows TLS before 1.2; set minimum_version to ssl.TLSVersion.TLSv1_2" == refused(
            ca=context
        )


def wanting() -> ssl.SSLContext:
    """Make a server's side of TLS that wants to see a certificate."""
    context = tls(verify_mode=ssl.CERT_REQUIRED)
    CA.configure_trust(context)
    return context


@pytest.fixture
def mine(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Write a client's certificate and its key, which a password may encrypt."""

    def write(password: str = "", leaf: trustme.LeafCert = LEAF) -> tuple[Path, Path]:
        private = leaf.private_key_pem.bytes()
        if password:
            loaded = serialization.load_pem_private_key(private, None)
            form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
            private = loaded.private_bytes(*form, serialization.BestAvailableEncryption(password.encode()))
        certificate, key = tmp_path / "client.pem", tmp_path / "client.key"
        certificate.write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))
        key.write_bytes(private)
        return certificate, key

    return write


class TestClientCertificate:
    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_may_be_two_files(self, version: ssl.TLSVersion, mine: Callable[..., tuple[Path, Path]]) -> None:
        """A server that wants a certificate is shown it."""
        context = wanting()
        context.maximum_version = version
        with Server(LicenseServer(), context) as server:
            assert "up_to_date" == server.ask(client_certificate=mine()).outcome

    def test_may_be_one_file(self, tmp_path: Path) -> None:
        """Certificate and key may stand in one file."""
        LEAF.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
        with Server(LicenseServer(), wanting()) as server:
            assert "up_to_date" == server.ask(client_certificate=str(tmp_path / "both.pem")).outcome

    @pytest.mark.parametrize("password", ["secret", b"secret"])
    def test_may_be_encrypted(self, password: str | bytes, mine: Callable[..., tuple[Path, Path]]) -> None:
        """The key's password may be given."""
        with Server(LicenseServer(), wanting()) as server:
            assert "up_to_date" == server.ask(client_certificate=(*mine("secret"), password)).outcome

    @pytest.mark.parametrize(
        ("password", "why"), [((), "there is no password"), (("wrong-one",), "the password does not open it")]
    )
    def test_needs_the_right_password(
        self, password: tuple[str, ...], why: str, mine: Callable[..., tuple[Path, Path]]
    ) -> None:
        """A key that cannot be decrypted is refused, without asking at the terminal, and without the password."""
        files = mine("secret")
        assert (
            f"client_certificate: the key in {str(files[1])!r} is encrypted, and {why}; "
            f"give (certificate, key, password)"
        ) == refused(client_certificate=(*files, *password))

    def test_must_be_there(self, mine: Callable[..., tuple[Path, Path]], tmp_path: Path) -> None:
        """A file that is missing is named."""
        certificate, _ = mine()
        gone = tmp_path / "gone.key"
        assert (
            f"client_certificate: {str(gone)!r} cannot be used: No such file or directory; "
            f"check the path, and the rights of this process"
        ) == refused(client_certificate=(certificate, gone))

    def test_must_fit_its_key(self, mine: Callable[..., tuple[Path, Path]], tmp_path: Path) -> None:
        """A key of another certificate is told as such."""
        certificate, _ = mine()
        other = tmp_path / "other.key"
        OTHER_CA.issue_cert("other").private_key_pem.write_to_path(str(other))
        assert refused(client_certificate=(certificate, other)).endswith(
            "key and certificate do not belong together; give the two that do"
        )

    def test_must_be_pem(self, tmp_path: Path) -> None:
        """A file that holds something else is told as such."""
        (tmp_path / "a.pem").write_text("nothing")
        assert "it does not hold what it should in PEM (" in refused(client_certificate=tmp_path / "a.pem")

    @pytest.mark.parametrize("given", [(), ("a", "b", "c", "d"), ("a", "b", 5)])
    def test_must_be_up_to_three_things(self, given: tuple[Any, ...]) -> None:
        """Anything else than certificate, key and password is refused."""
        assert "client_certificate must be a path, or (certificate, key), or (certificate, key, password)" == refused(
            client_certificate=given
        )

    def test_belongs_into_a_context_that_is_given(self) -> None:
        """A context of the host's is not changed."""
        assert (
            "client_certificate: load it into the SSLContext that is given as ca, with its load_cert_chain"
            == refused(ca=ssl.create_default_context(), client_certificate="a.pem")
        )


# ---------------------------------------------------------------------------------------------- other arguments


class TestUrl:
    @pytest.mark.parametrize("url", ["http://a.example", "HTTP://a.example", "a.example:443", "/v1", "ftp://a.example"])
    def test_must_be_https(self, url: str) -> None:
        """Anything but HTTPS is refused, by rule 3.4."""
        assert refused(url).startswith(
            "the license server is asked over HTTPS only (rules.md 3.4): url must begin with https://, not '"
        )

    @pytest.mark.parametrize(
        "url",
        [
            "",
            5,
            None,
            "https://a.example/\n",
            "https://a b.example",
            "https://bücher.example",
            "https://[::1",
            "https://a.example?",
            "https://a.example#",
            "https:\\\\a.example",
        ],
    )
    def test_must_be_plain(self, url: object) -> None:
        """What is no URL of plain characters is refused, with an example of one."""
        assert (
            "url must be a URL of plain characters, such as https://licenses.example.com; "
            "other names as DNS has them (xn--...)"
        ) == refused(url)

    @pytest.mark.parametrize("port", ["70000", "0", "x", "-1"])
    def test_has_a_port_that_there_is(self, port: str) -> None:
        """What is no port is told as that."""
        assert (
            "url must have a port from 1 to 65535, or none for the usual one, such as https://licenses.example.com"
        ) == refused(f"https://a.example:{port}")

    @pytest.mark.parametrize("url", ["https://me:secret@a.example", "https://me@a.example", "https://@a.example"])
    def test_holds_no_login(self, url: str) -> None:
        """A name and a password are refused, and not shown."""
        assert "url must hold no name and no password; the license key is all that a question shows" == refused(url)

    @pytest.mark.parametrize("url", ["https://", "https:///v1", "https://:443", "https://a..b", "https://a%41.example"])
    def test_names_a_host(self, url: str) -> None:
        """What names no host is refused."""
        assert refused(url).startswith("url must name a host, by its name in DNS or its IP address; not '")

    @pytest.mark.parametrize(
        "path", ["?a=1", "#a", "/a?b", "/a#b", "/a/../b", "/./a", "//a", "/a//b", "/a//", '/"', "/<"]
    )
    def test_has_a_plain_path(self, path: str) -> None:
        """A query, a fragment, or a path that leads elsewhere is refused."""
        assert refused(f"https://a.example{path}").startswith("url may have a plain path behind the server's name, ")

    @pytest.mark.parametrize(
        "url",
        [
            "https://a.example",
            "HTTPS://A.example.:8443/a/",
            "https://[::1]:443",
            "https://10.0.0.1/x%20y",
            "https://a_b",
        ],
    )
    def test_may_be(self, url: str) -> None:
        """Names and addresses, ports and paths are taken."""
        assert f"HttpsServer({url.rstrip('/')!r})" == repr(HttpsServer(url))


class TestDeadline:
    @pytest.mark.parametrize("deadline", [0, -1, float("nan"), float("inf"), 3601, True, None, "30"])
    def test_must_be_a_number_of_seconds(self, deadline: object) -> None:
        """What cannot be a deadline is refused."""
        assert f"deadline must be a number of seconds, more than 0 and 3600 at most; not {deadline!r}" == refused(
            deadline=deadline
        )

    def test_is_30_seconds(self) -> None:
        """Unless another is given, a question may take half a minute."""
        assert 30.0 == HttpsServer(URL).deadline

    def test_covers_many_questions_at_once(self) -> None:
        """Questions that stall side by side all end at their deadline."""
        started = time.monotonic()
        with (
            Server(asked(Line.wait)) as server,
            contextlib.closing(server.client(deadline=0.5)) as client,
            ThreadPoolExecutor(8) as pool,
        ):
            answers = list(pool.map(client.ask, [QUESTION] * 8))
        assert {"connection_failed"} == {answer.outcome for answer in answers}
        assert time.monotonic() - started < 2
