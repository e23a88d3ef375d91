import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from asking import Asker
from starlette.applications import Starlette

from licfsm.errors import InvalidValue
from licfsm.key import LicenseKey
from licfsm.web.commanding import Commanding
from licfsm.web.control import running_in, send
from licfsm.web.devserver import DevServer

PATHS = [("POST", "/control/tell"), ("GET", "/control/state"), ("GET", "/control/log")]


class TestSend:
    def test_a_command(self, server: DevServer) -> None:
        """A command reaches the server that runs in a folder."""
        assert "goes wrong: outage times=2" == send(server.folder, "outage times=2")
        assert ("outage", 2) == (server.faults[0].name, server.faults[0].times)

    @pytest.mark.parametrize("fault", ["expired_certificate", "wrong_host", "unknown_ca"])
    def test_whatever_certificate_it_shows(self, server: DevServer, fault: str) -> None:
        """Commands get through where nobody else does, and count for no connection."""
        told = [send(server.folder, command) for command in (fault, "ok")]
        assert [f"goes wrong: {fault}", "nothing goes wrong"] == told
        assert [] == server.log

    def test_one_that_cannot_be(self, server: DevServer) -> None:
        """What the server refuses is told in its words."""
        with pytest.raises(InvalidValue, match="there is no command 'outrage'; did you mean outage"):
            send(server.folder, "outrage")

    def test_nobody_runs(self, tmp_path: Path) -> None:
        """A folder without a server says so."""
        with pytest.raises(InvalidValue) as refused:
            send(tmp_path, "show")
        assert f"{tmp_path}: no devserver runs in that folder" == str(refused.value)

    def test_nobody_answers(self, server: DevServer) -> None:
        """Of a server that was killed the URL is left, at which nobody answers."""
        control = server.folder / "control.json"
        control.write_text(json.dumps({"url": "https://127.0.0.1:1", "token": "t"}))
        with pytest.raises(InvalidValue, match=r"no devserver answers at https://127\.0\.0\.1:1: "):
            send(server.folder, "show")
        assert None is running_in(server.folder)

    @pytest.mark.parametrize("text", ["{}", "nonsense"])
    def test_a_file_of_something_else(self, tmp_path: Path, text: str) -> None:
        """What is no server's file is named."""
        (tmp_path / "control.json").write_text(text)
        with pytest.raises(InvalidValue, match=r"control\.json: cannot be used"):
            send(tmp_path, "show")


class TestGuard:
    @pytest.mark.parametrize(("method", "path"), PATHS)
    @pytest.mark.parametrize("shown", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer \xe9"}])
    def test_without_the_token(self, asker: Asker, method: str, path: str, shown: dict[str, str]) -> None:
        """401: nothing is told to, or done for, whoever does not show the token."""
        headers = {name: value.encode("latin-1") for name, value in shown.items()}
        answer = asker.http.request(method, path, headers=headers)
        assert (401, "the token is missing or wrong") == (answer.status_code, answer.json()["error"])

    @pytest.mark.parametrize(("method", "path"), PATHS)
    def test_from_another_machine(self, server: DevServer, method: str, path: str) -> None:
        """403: commands come from the server's own machine, also with the token."""
        assert [403, 403] == [status(server, method, path, client) for client in ("192.0.2.1", "2001:db8::1")]

    @pytest.mark.parametrize("client", ["127.0.0.2", "::1", "192.0.2.80"])
    def test_from_this_machine(self, server: DevServer, client: str) -> None:
        """Whoever comes from the address on which the server listens is on its machine."""
        assert 200 == status(server, "GET", "/control/state", client)

    def test_the_token_is_a_new_one(self) -> None:
        """No two servers have one token."""
        with DevServer() as one, DevServer() as other:
            assert one.token != other.token


def status(server: DevServer, method: str, path: str, client: str) -> int:
    """Ask the application as if from an address, with the token; the server listens on 192.0.2.80."""
    import asyncio

    commanding = Commanding(server)

    async def ask() -> int:
        app = Starlette(routes=commanding.routes)
        transport = httpx.ASGITransport(app, client=(client, 5))
        async with httpx.AsyncClient(transport=transport, base_url="https://192.0.2.80") as http:
            answer = await http.request(method, path, headers={"Authorization": f"Bearer {commanding.token}"})
            return answer.status_code

    return asyncio.run(ask())


class TestControl:
    @pytest.fixture
    def control(self, asker: Asker, server: DevServer) -> Callable[..., httpx.Response]:
        def asked(method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401 - httpx's
            return asker.http.request(method, path, headers={"Authorization": f"Bearer {server.token}"}, **more)

        return asked

    def test_the_state(self, control: Callable[..., httpx.Response], server: DevServer, key: LicenseKey) -> None:
        """The state has what was issued, what goes wrong, and the time."""
        server.fault("rate", "ACME-1", times=3)
        fault = {"name": "rate", "license": "ACME-1", "times": 3, "retry_after": None, "every": 1000}
        issued = "2025-02-07T00:00:00+00:00"
        license_ = {"type": "subscription", "expires": "2025-02-14", "issued": issued, "key": key.signed}
        state = {"version": 1, "url": server.url, "time": issued, "licenses": {"ACME-1": license_}, "faults": [fault]}
        assert state == control("GET", "/control/state").json()

    def test_the_log(self, control: Callable[..., httpx.Response], asker: Asker, key: LicenseKey) -> None:
        """The log is given from any entry on, without the commands themselves."""
        for _ in range(3):
            asker.ask(key)
        assert [3] == [entry["number"] for entry in control("GET", "/control/log?after=2").json()["entries"]]
        assert 3 == len(control("GET", "/control/log").json()["entries"])

    @pytest.mark.parametrize("after", ["-1", "x", "\u0663"])
    def test_after_nothing(self, control: Callable[..., httpx.Response], after: str) -> None:
        """400: what is no number is refused."""
        assert 400 == control("GET", "/control/log", params={"after": after}).status_code

    @pytest.mark.parametrize(
        "body", [b"", b"{}", b'{"command": 5}', b'{"command": ""}', b'{"command": "' + b"x" * 9999]
    )
    def test_no_command(self, control: Callable[..., httpx.Response], body: bytes) -> None:
        """400: what is no command is refused, and nothing ends."""
        assert 400 == control("POST", "/control/tell", content=body).status_code

    def test_a_command_is_no_request(self, control: Callable[..., httpx.Response], server: DevServer) -> None:
        """Commands are not in the log, and meet no fault, even where there is nothing of that name."""
        server.fault("outage")
        assert [200, 404] == [
            control("POST", "/control/tell", json={"command": "show"}).status_code,
            control("GET", "/control/nothing").status_code,
        ]
        assert [] == server.log
