import gc
import json
import os
import socket
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from asking import JSON, Asker

from licfsm.adapters.answers import LARGEST_QUESTION
from licfsm.adapters.clock import ManualClock, SystemClock
from licfsm.adapters.key_pairs import SigningKey
from licfsm.adapters.keys import sign
from licfsm.errors import InvalidValue
from licfsm.instants import HOUR
from licfsm.key import LicenseKey
from licfsm.web.devserver import DevServer

Connect = Callable[[DevServer], Asker]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - one call, no objects


class TestAnswers:
    def test_the_newest_key(self, asker: Asker, key: LicenseKey) -> None:
        """Whoever has the newest key is told that it is up to date."""
        assert "up_to_date" == asker.ask(key).outcome

    def test_a_renewal(self, asker: Asker, server: DevServer, key: LicenseKey) -> None:
        """A renewed license's new key can be fetched where the answer says."""
        renewed = server.renew(expires="2026-02-14")
        assert (renewed, renewed.signed) == ((found := asker.fetch(key)), found.signed)

    def test_a_renewal_that_was_taken(self, asker: Asker, server: DevServer) -> None:
        """Whoever took the new key is up to date again."""
        assert "up_to_date" == asker.ask(server.renew()).outcome

    def test_a_key_is_fetched_twice(self, asker: Asker, server: DevServer, key: LicenseKey) -> None:
        """A path stays good, for a download that broke."""
        server.renew()
        assert asker.ask(key).key == asker.ask(key).key
        assert asker.fetch(key) == asker.fetch(key)

    def test_a_key_issued_elsewhere_later(self, asker: Asker, server: DevServer, key: LicenseKey) -> None:
        """Whoever has a genuine key that was issued later than the server's newest is up to date."""
        later = sign(attrs.evolve(key, issued="2025-02-08"), server.signing)
        assert "up_to_date" == asker.ask(later).outcome

    def test_the_signed_time(self, asker: Asker, clock: ManualClock, key: LicenseKey) -> None:
        """The signed time is that of the server's clock."""
        clock.move_to("2025-02-09T10:00")
        assert clock.now_ms() == asker.ask(key).time

    def test_a_clock_that_is_replaced(self, asker: Asker, server: DevServer, key: LicenseKey) -> None:
        """The clock can be replaced while the server runs."""
        server.clock = lambda: HOUR
        assert HOUR == asker.ask(key).time

    def test_a_download(self, asker: Asker, server: DevServer, key: LicenseKey) -> None:
        """A key comes as application/jose, and is nothing but the signed text."""
        renewed = server.renew()
        answer = asker.http.get(asker.ask(key).key, headers={"Accept": "application/jose"})
        assert ("application/jose", renewed.signed) == (answer.headers["Content-Type"], answer.text)

    def test_without_a_clock(self, connect: Connect) -> None:
        """By default it keeps the system's time."""
        with DevServer() as server:
            times = [SystemClock().now_ms(), connect(server).ask(server.issue()).time, SystemClock().now_ms()]
        assert sorted(times) == times

    def test_small_answers_are_sent_at_once(self, server: DevServer) -> None:
        """The socket says that it speaks TCP, and without delay; else each request waits for 40 ms."""
        listener = server._serving._listener
        delayless = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert (socket.IPPROTO_TCP, True) == (listener.proto, bool(delayless))


class TestRefusals:
    def refused(self, answer: httpx.Response) -> tuple[int, str]:
        return answer.status_code, answer.json()["error"]

    def test_a_key_that_is_not_genuine(self, asker: Asker, key: LicenseKey) -> None:
        """403: the installed key is signed by somebody else."""
        status, why = self.refused(asker.post(sign(key, SigningKey.generate())))
        assert (403, True) == (status, why.startswith("the installed key is not genuine: "))

    def test_another_licenses_key(self, asker: Asker, server: DevServer, key: LicenseKey) -> None:
        """403: the installed key is genuine, but another license's."""
        other = server.issue("ACME-2")
        mixed = attrs.evolve(key, signed=other.signed)
        assert (403, "the installed key is another license's") == self.refused(asker.post(mixed))

    def test_an_unknown_license(self, asker: Asker, server: DevServer, key: LicenseKey) -> None:
        """404: the key is genuine, and the server knows no such license."""
        foreign = sign(attrs.evolve(key, id="ACME-9"), server.signing)
        assert (404, "no such license") == self.refused(asker.post(foreign))

    def test_a_nonce_that_comes_again(self, asker: Asker, key: LicenseKey) -> None:
        """409: a question that was recorded is answered once."""
        answers = [asker.post(key, "A" * 22) for _ in range(2)]
        assert [200, 409] == [answer.status_code for answer in answers]

    def test_nonces_are_forgotten(self, asker: Asker, key: LicenseKey, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not every nonce ever seen is kept."""
        monkeypatch.setattr("licfsm.web.answering._NONCES", 1)
        answers = [asker.post(key, letter * 22) for letter in ("A", "Q", "A")]
        assert [200, 200, 200] == [answer.status_code for answer in answers]

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            (b"[]", "the question is no JSON object that can be read"),
            (b'{"version": 2}', "the version of the protocol must be 1, not 2"),
            (b"x" * (LARGEST_QUESTION + 5000), f"the question is longer than {LARGEST_QUESTION} bytes"),
        ],
    )
    def test_no_question(self, asker: Asker, body: bytes, why: str) -> None:
        """400: what cannot be read is refused, with the reason."""
        assert (400, why) == self.refused(asker.http.post("/v1/check", content=body, headers=JSON))

    def test_another_content_type(self, asker: Asker) -> None:
        """415: the question must say that it is JSON."""
        answer = asker.http.post("/v1/check", content=b"{}", headers={"Content-Type": "text/plain"})
        assert (415, "the Content-Type must be application/json") == self.refused(answer)

    def test_a_key_that_was_never_offered(self, asker: Asker) -> None:
        """404: paths of keys cannot be guessed."""
        assert (404, "no such key") == self.refused(asker.http.get("/v1/keys/5f1c"))

    @pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/check", 405), ("POST", "/check", 404)])
    def test_a_wrong_path(self, asker: Asker, server: DevServer, method: str, path: str, status: int) -> None:
        """What is neither a check nor a download is refused, and logged: perhaps the base URL is wrong."""
        assert status == asker.http.request(method, path).status_code
        assert (f"{method} {path}", status) == (server.log[-1].said, server.log[-1].status)

    def test_a_client_that_leaves(self, server: DevServer, asker: Asker) -> None:
        """Half a question ends nothing but itself."""
        host, port = server.url.removeprefix("https://").split(":")
        with asker.tls.wrap_socket(socket.create_connection((host, int(port))), server_hostname=host) as half:
            half.sendall(b"POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        assert 404 == asker.http.get("/nothing").status_code


class TestLog:
    def test_what_came(self, asker: Asker, server: DevServer, clock: ManualClock, key: LicenseKey) -> None:
        """Each request is an entry: when, whose, what came of it."""
        server.renew()
        clock.move_to("2025-02-08")
        asker.fetch(key)
        told = [(entry.number, entry.at, entry.license, entry.stage, entry.said, entry.status) for entry in server.log]
        now = clock.now_ms()
        assert [(1, now, "ACME-1", "check", "new_key", 200), (2, now, "ACME-1", "download", "the new key", 200)] == told

    def test_is_watched(self, connect: Connect) -> None:
        """Whoever watches is told of each entry."""
        seen: list[Any] = []
        with DevServer(watch=seen.append) as server:
            connect(server).ask(server.issue())
        assert server.log == seen

    def test_is_kept(self, server: DevServer) -> None:
        """What was logged can be read when the server has stopped; stopping twice is once."""
        server.stop()
        server.stop()
        assert [] == server.log


class TestFolder:
    def test_a_temporary_one(self) -> None:
        """Without a folder nothing is left behind."""
        with DevServer() as server:
            assert server.ca.exists()
        assert not server.folder.exists()

    def test_a_server_comes_back(self, tmp_path: Path, connect: Connect) -> None:
        """A folder's next server has the same authority, signing key and license keys."""
        with DevServer(folder=tmp_path / "new" / "here") as first:
            first.issue(expires="2025-02-14")
            renewed = first.renew(expires="2026-02-14")
            trust, ca = first.trust, first.ca.read_bytes()
        with DevServer(folder=tmp_path / "new" / "here") as second:
            assert (trust, ca, renewed) == (second.trust, second.ca.read_bytes(), second.licenses["ACME-1"])
            assert "up_to_date" == connect(second).ask(renewed).outcome

    def test_the_file_to_install(self, server: DevServer, key: LicenseKey) -> None:
        """The key to install lies in a file, and renewing leaves it alone: a check shall bring the new one."""
        server.renew()
        assert f"{key.signed}\n" == server.key_file().read_text()

    @pytest.mark.skipif(sys.platform == "win32", reason="has no such modes")
    def test_secrets_are_the_owners(self, server: DevServer) -> None:
        """Nobody else can read private keys and the token."""
        private = {path.name for path in server.folder.iterdir() if stat.S_IMODE(path.stat().st_mode) == 0o600}
        assert {"ca-key.pem", "control.json", "signing-key.json"} == private

    def test_two_in_one_folder(self, tmp_path: Path) -> None:
        """A folder has one server at a time."""
        with DevServer(folder=tmp_path) as server, pytest.raises(InvalidValue) as refused:
            DevServer(folder=tmp_path)
        assert f"{tmp_path}: a devserver runs there already, at {server.url}" == str(refused.value)

    def test_one_that_was_killed(self, tmp_path: Path) -> None:
        """What a server left that was killed keeps no other out."""
        (tmp_path / "control.json").write_text(json.dumps({"version": 1, "url": "https://127.0.0.1:1", "token": "t"}))
        with DevServer(folder=tmp_path) as server:
            assert server.token in (tmp_path / "control.json").read_text()

    def test_nothing_is_left_of_a_start_that_failed(self, tmp_path: Path) -> None:
        """A server that cannot start leaves no thread, no socket and no word that it runs."""
        (tmp_path / "newest").mkdir()
        (tmp_path / "newest" / "ACME-1.lic").write_text("no key")
        before = threading.active_count()
        with pytest.raises(InvalidValue, match="this is no license key"):
            DevServer(folder=tmp_path)
        assert (before, False) == (threading.active_count(), (tmp_path / "control.json").exists())


class TestStartingAndStopping:
    def test_twenty_times(self, connect: Connect) -> None:
        """No thread and no descriptor is left of servers that were asked and stopped, whatever was under way."""
        with DevServer() as server:
            asker = connect(server)
            asker.ask(server.issue())
            asker.http.close()
        gc.collect()  # what other tests left to it
        threads, files = threading.active_count(), descriptors()
        for _ in range(20):
            with DevServer() as server:
                asker = connect(server)
                asker.ask(server.issue())
                server.fault("hang")
                with pytest.raises(httpx.TransportError):
                    asker.http.post("/v1/check", content=b"{}", headers=JSON, timeout=0.01)
            asker.http.close()
        assert (threads, files) == (threading.active_count(), descriptors())

    def test_whoever_waits_is_cut_off(self, server: DevServer, asker: Asker, key: LicenseKey) -> None:
        """Stopping waits for nobody: an answer that hangs ends with the server."""
        server.fault("hang")
        failed: list[Exception] = []
        asked = threading.Event()
        server._log._watch = lambda _: asked.set()

        def ask() -> None:
            try:
                asker.post(key)
            except httpx.TransportError as error:
                failed.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        assert asked.wait(10)
        server.stop()
        thread.join(5)
        assert (False, 1) == (thread.is_alive(), len(failed))

    def test_two_at_once(self, connect: Connect) -> None:
        """Servers know nothing of each other: other ports, other keys, other authorities."""
        with DevServer() as one, DevServer() as other:
            keys = [server.issue() for server in (one, other)]
            outcomes = [connect(server).ask(key).outcome for server, key in zip((one, other), keys, strict=True)]
            strange = connect(one).post(keys[1]).status_code
        assert (["up_to_date"] * 2, 403, 2) == (outcomes, strange, len({one.url, other.url}))

    def test_a_port_in_use(self, server: DevServer) -> None:
        """A port that somebody has cannot be had."""
        with pytest.raises(OSError, match="in use"):
            DevServer(port=int(server.url.rpartition(":")[2]))

    def test_ipv6(self, connect: Connect) -> None:
        """An address of IPv6 is written in brackets."""
        with DevServer(host="::1") as server:
            assert "https://[::1]:" == server.url[:14]
            assert "up_to_date" == connect(server).ask(server.issue()).outcome

    def test_every_address(self, connect: Connect) -> None:
        """A server that listens everywhere names an address at which it can be reached."""
        with DevServer(host="0.0.0.0") as server:  # noqa: S104 - for an instant
            assert "https://127.0.0.1:" == server.url[:18]
            assert "up_to_date" == connect(server).ask(server.issue()).outcome

    def test_many_threads(self, connect: Connect) -> None:
        """Requests and commands come from many threads at once, and none is lost."""
        with DevServer() as server:
            keys = [server.issue(f"ACME-{number}") for number in range(4)]

            def live(key: LicenseKey, asker: Asker) -> None:
                for _ in range(10):
                    server.renew(key.id)
                    server.fault("outage", key.id, times=1)
                    asker.post(key)
                    asker.ask(key)

            threads = [threading.Thread(target=live, args=(key, connect(server))) for key in keys]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            outcomes = [entry.said for entry in server.log]
        assert (40, 40) == (outcomes.count("simulated, on command"), outcomes.count("new_key"))
