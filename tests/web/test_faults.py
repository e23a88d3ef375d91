import os
import socket
import ssl
from typing import Any

import httpx
import pytest
from asking import JSON, Asker

from licfsm.adapters.answers import LARGEST_ANSWER, read_answer, write_question
from licfsm.errors import InvalidValue, KeyRejected
from licfsm.key import LicenseKey
from licfsm.web.devserver import DevServer
from licfsm.web.faults import FAULTS, SIGNED, Fault, Faults


class TestStatuses:
    @pytest.mark.parametrize(
        ("name", "given", "status", "after"),
        [
            ("outage", None, 503, None),
            ("outage", 120, 503, "120"),
            ("outage", "Fri, 07 Feb 2025 01:00:00 GMT", 503, "Fri, 07 Feb 2025 01:00:00 GMT"),
            ("refuse", None, 403, None),
            ("rate", None, 429, "60"),
            ("rate", 7, 429, "7"),
            ("rate", 0, 429, "0"),
        ],
    )
    def test_with_retry_after(
        self, asker: Asker, key: LicenseKey, name: str, given: int | str | None, status: int, after: str | None
    ) -> None:
        """A status comes with the Retry-After that was asked for."""
        asker.server.fault(name, retry_after=given)
        answer = asker.post(key)
        assert (status, after) == (answer.status_code, answer.headers.get("Retry-After"))

    def test_a_redirect(self, asker: Asker, key: LicenseKey) -> None:
        """A redirect leads to where all is well: who follows it is found out."""
        asker.server.fault("redirect")
        answer = asker.post(key)
        assert (307, "/elsewhere/v1/check") == (answer.status_code, answer.headers["Location"])
        assert 200 == asker.post(key, path="/elsewhere/v1/check").status_code

    def test_a_redirect_of_no_question(self, asker: Asker) -> None:
        """Where a redirect leads, what is no question is refused as elsewhere."""
        assert 415 == asker.http.post("/elsewhere/v1/check").status_code

    def test_comes_whatever_was_asked(self, asker: Asker) -> None:
        """A fault of the server does not wait for a question that can be read."""
        asker.server.fault("outage")
        assert 503 == asker.http.post("/v1/check", content=b"nonsense").status_code


class TestSignedFaults:
    @pytest.mark.parametrize("name", SIGNED)
    def test_an_outcome(self, asker: Asker, key: LicenseKey, name: str) -> None:
        """A server says in a signed answer what it cannot do, also where it has a new key."""
        asker.server.renew()
        asker.server.fault(name)
        assert (name, "") == ((answer := asker.ask(key)).outcome, answer.key)

    def test_the_words_of_the_rules(self, asker: Asker, key: LicenseKey) -> None:
        """generation_failed says what rules.md 4.1 quotes."""
        asker.server.fault("generation_failed")
        assert "General license key generation error has occurred" == asker.ask(key).message

    def test_an_unknown_signer(self, asker: Asker, key: LicenseKey) -> None:
        """wrong_key: the answer is signed, by nobody who is trusted."""
        asker.server.fault("wrong_key")
        with pytest.raises(KeyRejected, match="whom nothing here trusts"):
            asker.ask(key)

    def test_another_nonce(self, asker: Asker, key: LicenseKey) -> None:
        """wrong_nonce: the answer is another question's."""
        asker.server.fault("wrong_nonce")
        answer = read_answer(asker.post(key, "A" * 22).content, asker.trust)
        assert ("ACME-1", False) == (answer.license, answer.nonce == "A" * 22)

    def test_another_license(self, asker: Asker, key: LicenseKey) -> None:
        """wrong_license: the answer is to this question, about another license."""
        asker.server.fault("wrong_license")
        answer = read_answer(asker.post(key, "A" * 22).content, asker.trust)
        assert ("NOT-ACME-1", "A" * 22) == (answer.license, answer.nonce)

    def test_needs_a_question(self, asker: Asker) -> None:
        """What is signed answers a question: what is none is refused as ever."""
        asker.server.fault("generation_failed")
        assert 415 == asker.http.post("/v1/check", content=b"nonsense").status_code

    def test_needs_a_good_question(self, asker: Asker, server: DevServer, key: LicenseKey) -> None:
        """Nothing is signed for a question that is asked again."""
        server.fault("generation_failed")
        assert [200, 409] == [asker.post(key, "A" * 22).status_code for _ in range(2)]


class TestBytes:
    def test_garbage(self, asker: Asker, key: LicenseKey) -> None:
        """garbage: status 200, and no JSON."""
        asker.server.fault("garbage")
        answer = asker.post(key)
        with pytest.raises(InvalidValue, match="no JSON object"):
            read_answer(answer.content, asker.trust)
        assert 200 == answer.status_code

    def test_oversized(self, asker: Asker, key: LicenseKey) -> None:
        """oversized: nothing is wrong with the answer but how long it is."""
        asker.server.fault("oversized")
        answer = asker.post(key)
        assert (True, "up_to_date") == (
            len(answer.content) > LARGEST_ANSWER,
            read_answer(answer.content, asker.trust).outcome,
        )

    def test_truncated(self, asker: Asker, key: LicenseKey) -> None:
        """truncated: half of what was announced, and the connection ends."""
        asker.server.fault("truncated")
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            asker.post(key)

    def test_reset(self, asker: Asker, server: DevServer) -> None:
        """reset: TCP itself says so."""
        server.fault("reset")
        host, port = server.url.removeprefix("https://").split(":")
        plain = socket.create_connection((host, int(port)), timeout=10)
        below = socket.socket(fileno=os.dup(plain.fileno()))
        with below, asker.tls.wrap_socket(plain, server_hostname=host) as secured:
            below.settimeout(10)
            secured.sendall(b"POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            with pytest.raises(ConnectionResetError):
                below.recv(1)

    def test_hang(self, asker: Asker, key: LicenseKey) -> None:
        """hang: the question is taken, and no answer comes."""
        asker.server.fault("hang")
        asker.http.timeout = 0.05
        with pytest.raises(httpx.ReadTimeout):
            asker.post(key)
        assert ("hang", None) == (asker.server.log[-1].said, asker.server.log[-1].status)

    def test_drip(self, asker: Asker, key: LicenseKey) -> None:
        """drip: a good answer comes in many pieces."""
        asker.server.fault("drip", every=1)
        with asker.http.stream("POST", "/v1/check", content=write_question(key, "A" * 22), headers=JSON) as answer:
            pieces = list(answer.iter_raw())
        assert (True, "up_to_date") == (len(pieces) > 50, read_answer(b"".join(pieces), asker.trust).outcome)

    def test_a_drip_that_nobody_waits_for(self, asker: Asker, key: LicenseKey) -> None:
        """drip: whoever leaves ends it, and the server goes on."""
        asker.server.fault("drip", every=60_000)
        asker.http.timeout = 0.05
        with pytest.raises(httpx.ReadTimeout):
            asker.post(key)
        asker.server.ok()
        assert "up_to_date" == asker.ask(key).outcome


class TestCertificates:
    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("expired_certificate", "certificate has expired"),
            ("wrong_host", "certificate is not valid for '127.0.0.1'"),
            ("unknown_ca", "unable to get local issuer certificate"),
        ],
    )
    def test_is_bad(self, asker: Asker, key: LicenseKey, name: str, why: str) -> None:
        """A bad certificate is shown at once, also to whoever was connected; and the good one again."""
        asker.ask(key)
        asker.server.fault(name)
        with pytest.raises(httpx.ConnectError, match=why):
            asker.post(key)
        asker.server.ok()
        assert "up_to_date" == asker.ask(key).outcome

    def test_is_logged(self, asker: Asker, server: DevServer, key: LicenseKey) -> None:
        """A connection that came to nothing is an entry of the log."""
        server.fault("wrong_host", times=1)
        with pytest.raises(httpx.ConnectError):
            asker.post(key)
        entry = server.log[-1]
        assert ("", "tls", "wrong_host", None) == (entry.license, entry.stage, entry.fault, entry.status)

    def test_wrong_host_is_otherwise_good(self, server: DevServer) -> None:
        """wrong_host: nothing is wrong with the certificate but the name."""
        server.fault("wrong_host")
        host, port = server.url.removeprefix("https://").split(":")
        tls = ssl.create_default_context(cafile=str(server.ca))
        with (
            socket.create_connection((host, int(port)), timeout=10) as plain,
            tls.wrap_socket(plain, server_hostname="elsewhere.example") as secured,
        ):
            names = secured.getpeercert()["subjectAltName"]  # type: ignore[index]  # it was verified
        assert (("DNS", "elsewhere.example"),) == names


class TestDownloads:
    @pytest.fixture(autouse=True)
    def renewed(self, server: DevServer, key: LicenseKey) -> None:
        del key  # the one that is installed
        server.renew()

    def test_missing(self, asker: Asker, key: LicenseKey) -> None:
        """download_missing: the answer is good, and the key is not there."""
        asker.server.fault("download_missing")
        answer = asker.ask(key)
        assert ("new_key", 404) == (answer.outcome, asker.http.get(answer.key).status_code)

    def test_truncated(self, asker: Asker, key: LicenseKey) -> None:
        """download_truncated: half of the key comes."""
        asker.server.fault("download_truncated")
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            asker.fetch(key)

    def test_another_license(self, asker: Asker, key: LicenseKey) -> None:
        """download_other: a genuine key, of a license that is made up."""
        asker.server.fault("download_other")
        assert "NOT-ACME-1" == asker.fetch(key).id

    def test_another_license_that_there_is(self, asker: Asker, key: LicenseKey) -> None:
        """download_other: a genuine key of the license that there is beside."""
        asker.server.issue("ACME-2")
        asker.server.fault("download_other", times=1)
        assert ["ACME-2", "ACME-1"] == [asker.fetch(key).id for _ in range(2)]


class TestWhenTheyStand:
    def test_as_often_as_asked(self, asker: Asker, key: LicenseKey) -> None:
        """A fault comes as often as it is meant to."""
        asker.server.fault("outage", times=2)
        assert [503, 503, 200] == [asker.post(key).status_code for _ in range(3)]

    def test_for_one_license(self, asker: Asker, server: DevServer, key: LicenseKey) -> None:
        """A fault for one license leaves others alone."""
        other = server.issue("ACME-2")
        server.fault("outage", "ACME-2")
        assert [200, 503] == [asker.post(each).status_code for each in (key, other)]

    def test_the_licenses_own_comes_first(self, asker: Asker, server: DevServer, key: LicenseKey) -> None:
        """A license's own fault comes before the one for all, which comes when it is over."""
        server.fault("outage")
        server.fault("refuse", "ACME-1", times=1)
        assert [403, 503] == [asker.post(key).status_code for _ in range(2)]

    def test_another_takes_its_place(self, server: DevServer) -> None:
        """For a license, or for all, one fault stands at a time."""
        server.fault("outage")
        assert (server.fault("wrong_host"),) == server.faults

    def test_all_is_well_for_one(self, server: DevServer) -> None:
        """What is cleared for one license stands for the others."""
        server.fault("outage", "ACME-1")
        left = server.fault("outage")
        server.ok("ACME-1")
        assert (left,) == server.faults

    def test_of_another_stage(self) -> None:
        """A fault waits for its stage."""
        faults = Faults()
        faults.set(Fault(name="download_missing"))
        assert [None, "download_missing"] == [
            found and found.name for found in (faults.take("check", "A"), faults.take("download", "A"))
        ]


class TestFault:
    @pytest.mark.parametrize(
        ("given", "why"),
        [
            ({"name": "outrage"}, "there is no fault 'outrage'; did you mean outage?"),
            ({"name": "wrong_host", "license": "A"}, "wrong_host comes before anybody knows a license: it can only"),
            ({"name": "hang", "license": "A B"}, "license id 'A B' must be"),
            ({"name": "hang", "times": 0}, "times must be at least 1, not 0"),
            ({"name": "drip", "every": -1}, "every must be 0 to 60000 milliseconds, not -1"),
            ({"name": "rate", "retry_after": "1\r\nX: y"}, "retry_after must be seconds, or text of at most 100 ASCII"),
        ],
    )
    def test_is_refused(self, given: dict[str, Any], why: str) -> None:
        """A fault that cannot be is refused, with the reason."""
        with pytest.raises(InvalidValue) as refused:
            Fault(**given)
        assert why == str(refused.value)[: len(why)]

    def test_there_are_others(self) -> None:
        """A name that is like no other is answered by all there are."""
        with pytest.raises(InvalidValue, match="there are outage, refuse, "):
            Fault(name="?")

    def test_says_itself(self) -> None:
        """A fault reads like the command for it."""
        assert "drip A times=2 retry_after=5 every=7" == str(
            Fault(name="drip", license="A", times=2, retry_after=5, every=7)
        )

    @pytest.mark.parametrize("name", FAULTS)
    def test_each_can_be_commanded(self, server: DevServer, name: str) -> None:
        """Every fault that is listed can be set."""
        assert name == server.fault(name).name
