"""What comes in and goes out over HTTP: questions read or refused, answers that are whole, cut off, or slow."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from licfsm import instants
from licfsm.adapters.answers import LARGEST_QUESTION, AskedQuestion, read_question
from licfsm.errors import InvalidValue

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from licfsm.web.serving import Serving

__all__ = ["Broken", "Drip", "Refused", "asked_question", "body_of", "json_response"]


class Broken(Response):
    """Half an answer, or none: then the end of the connection, a reset, or silence."""

    def __init__(
        self,
        serving: Serving,
        body: bytes,
        *,
        reset: bool = False,
        hang: bool = False,
        media_type: str = "application/json",
    ) -> None:
        super().__init__(body, media_type=media_type)
        self._serving = serving
        self._reset = reset
        self._hang = hang

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send half of it, and break off."""
        if self.body:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            half = bytes(self.body[: len(self.body) // 2])
            await send({"type": "http.response.body", "body": half, "more_body": True})
        if not self._hang:
            self._serving.cut(scope["client"], reset=self._reset)
        await _gone(receive)


class Drip(Response):
    """An answer that comes byte by byte, until the client has it or has gone."""

    def __init__(self, body: bytes, every: int) -> None:
        super().__init__(body, media_type="application/json")
        self._every = every / instants.SECOND

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's
        """Send byte after byte."""
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            for number in range(len(self.body)):
                done, _ = await asyncio.wait({gone}, timeout=self._every)
                if done:
                    return
                await send(
                    {
                        "type": "http.response.body",
                        "body": bytes(self.body[number : number + 1]),
                        "more_body": number + 1 < len(self.body),
                    }
                )
        finally:
            gone.cancel()


def json_response(body: bytes) -> Response:
    """Send a document that is JSON, or is said to be."""
    return Response(body, media_type="application/json")


async def _gone(receive: Receive) -> None:
    """Wait until the client has gone, or the server stops."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Refused(Exception):
    """A question that gets no answer: the status of HTTP, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


async def asked_question(request: Request) -> AskedQuestion:
    """Read a question, or refuse it."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    data = await body_of(request, LARGEST_QUESTION)
    if kind != "application/json":
        raise Refused(415, "the Content-Type must be application/json")
    try:
        return read_question(data)
    except InvalidValue as error:
        raise Refused(400, str(error)) from None


async def body_of(request: Request, most: int) -> bytes:
    """Read what came, but one byte more than is allowed at most: whoever reads it then refuses it."""
    data = b""
    with contextlib.suppress(ClientDisconnect):  # what came until then is judged, and nobody hears of it
        async for part in request.stream():
            data += part
            if len(data) > most:
                return data[: most + 1]
    return data
