"""Commands to a development server that come over its own HTTPS; `control` sends them."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from typing import TYPE_CHECKING, Final

import attrs
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from licfsm import instants
from licfsm.adapters.encoding import json_object
from licfsm.errors import LicfsmError
from licfsm.web.control import MOST_TOLD
from licfsm.web.wire import body_of

if TYPE_CHECKING:
    from licfsm.web.devserver import DevServer

__all__ = ["Commanding"]


class Commanding:
    """Does what is commanded from the same machine, and shows how the server stands.

    Attributes:
        token: what every command must show.

    """

    def __init__(self, server: DevServer) -> None:
        """Make a token that nobody can guess."""
        self._server = server
        self.token: Final = secrets.token_urlsafe(24)
        self.routes: Final = [
            Route("/control/tell", self._tell, methods=["POST"]),
            Route("/control/state", self._state, methods=["GET"]),
            Route("/control/log", self._log, methods=["GET"]),
        ]

    def _barred(self, request: Request) -> Response | None:
        """Refuse who comes from another machine, or does not show the token."""
        client, (here, _) = request.client, request.scope["server"]
        if client is None or not (client.host == here or ipaddress.ip_address(client.host).is_loopback):
            return JSONResponse({"error": "commands come from this machine only"}, 403)
        shown = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(shown, f"Bearer {self.token}".encode()):
            return JSONResponse({"error": "the token is missing or wrong"}, 401, {"WWW-Authenticate": "Bearer"})
        return None

    async def _tell(self, request: Request) -> Response:
        if barred := self._barred(request):
            return barred
        try:
            command = json_object(await body_of(request, MOST_TOLD), "the command").get("command")
            if not isinstance(command, str):
                return JSONResponse({"error": 'say what to do: {"command": "help"}'}, 400)
            return JSONResponse({"told": self._server.tell(command)})
        except LicfsmError as error:
            return JSONResponse({"error": str(error)}, 400)

    async def _state(self, request: Request) -> Response:
        if barred := self._barred(request):
            return barred
        licenses = {
            key.id: {
                "type": key.type,
                "expires": key.expires and key.expires.isoformat(),
                "issued": instants.isoformat(key.issued_at),
                "key": key.signed,
            }
            for key in self._server.licenses.values()
        }
        return JSONResponse(
            {
                "version": 1,
                "url": self._server.url,
                "time": instants.isoformat(self._server.clock()),
                "licenses": licenses,
                "faults": [attrs.asdict(fault) for fault in self._server.faults],
            }
        )

    async def _log(self, request: Request) -> Response:
        if barred := self._barred(request):
            return barred
        after = request.query_params.get("after", "0")
        if not (after.isascii() and after.isdecimal()):
            return JSONResponse({"error": "after must be the number of an entry"}, 400)
        entries = [attrs.asdict(entry) for entry in self._server.log if entry.number > int(after[:18])]
        return JSONResponse({"version": 1, "entries": entries})
