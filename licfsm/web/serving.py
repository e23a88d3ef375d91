"""HTTPS on a socket, in a thread: uvicorn, and what it must do that no good server does.

Which certificate a connection gets is decided anew for each; a connection can be cut in the middle of an answer, the
way a broken network does it. Which of these happens when, this module does not know.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import uvicorn

if TYPE_CHECKING:
    from starlette.types import ASGIApp

__all__ = ["Serving", "listen"]

_BACKLOG: Final = 128
_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER for no seconds: closing sends a reset."""
_PATIENCE: Final = 30.0
"""Seconds to be up, and to close what is idle."""
_AT_THE_END: Final = 1.0
"""Seconds for answers that are cut off to notice it."""


def listen(host: str, port: int) -> socket.socket:
    """Open a socket that listens.

    Args:
        host: an address, or a name that has one.
        port: 0 for a free one.

    Raises:
        OSError: that address or port cannot be had.

    """
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    # asyncio sends small answers at once only where the socket says that it speaks TCP; else each waits for 40 ms.
    listener = socket.socket(family, kind, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sys.platform != "win32":  # where it would let two servers have one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


class Serving:
    """Serves an application until it is stopped; its methods may be called from any thread.

    Args:
        app: what answers.
        listener: what `listen` opened; closed at the end.
        context: speaks TLS, unless `choose` knows a better.
        choose: names the context for a connection, given the name by which the client calls the server (None for an
            address); it is called in the server's thread, once a connection.

    """

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        context: ssl.SSLContext,
        choose: Callable[[str | None], ssl.SSLContext],
    ) -> None:
        """Start; returns when it serves."""

        def chosen(connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            connection.context = choose(name)

        config = uvicorn.Config(
            app,
            http="h11",
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
        )
        config.load()
        context.sni_callback = chosen
        config.ssl = context
        self._server = _Server(config)
        self._listener = listener
        self._thread = threading.Thread(target=self._run, name="licfsm-devserver", daemon=True)
        self._thread.start()
        self._server.serves.wait(_PATIENCE)

    def _run(self) -> None:
        try:
            asyncio.run(self._server.serve(sockets=[self._listener]))
        finally:
            self._server.serves.set()

    def stop(self) -> None:
        """Stop: whoever still waits for an answer is cut off. Returns when the thread has ended."""
        with contextlib.suppress(RuntimeError):  # it has ended already
            self._server.loop.call_soon_threadsafe(self._server.ends.set)
        self._thread.join()

    def close_idle(self) -> None:
        """Close the connections on which nothing is under way, so that the next request opens one of its own."""
        if threading.current_thread() is self._thread:
            self._server.close_idle()
            return

        async def close() -> None:
            self._server.close_idle()

        asyncio.run_coroutine_threadsafe(close(), self._server.loop).result(_PATIENCE)

    def cut(self, client: Any, *, reset: bool) -> None:  # noqa: ANN401 - as the scope of a request names it
        """End a client's connection in the middle of whatever it waits for; in the server's thread.

        Args:
            client: the address and port that the request came from.
            reset: say so by a TCP reset; else what was written is sent, and then the end.

        """
        for transport in self._server.transports(client):
            if reset:
                raw = transport.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                transport.abort()
            else:
                transport.close()


class _Server(uvicorn.Server):
    """uvicorn, ended by an event in place of a signal, and without waiting for whoever is slow."""

    loop: asyncio.AbstractEventLoop

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serves = threading.Event()
        self.ends = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.serves.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.ends.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - uvicorn's; closed with their server
        for server in self.servers:
            server.close()
            if sys.version_info >= (3, 13):
                server.abort_clients()  # also those that are still about to secure their connection
        for transport in self.transports():
            transport.abort()
        if self.server_state.tasks:  # they see that their client has gone
            await asyncio.wait(set(self.server_state.tasks), timeout=_AT_THE_END)

    def close_idle(self) -> None:
        for connection in list(self.server_state.connections):
            connection.shutdown()

    def transports(self, client: object = None) -> list[asyncio.Transport]:
        """Find the connections of a client, or all."""
        connections: list[Any] = list(self.server_state.connections)  # uvicorn's types differ from version to version
        return [each.transport for each in connections if client is None or each.client == client]
