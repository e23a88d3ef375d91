"""A mail server for tests: aiosmtpd on loopback, which leaves no thread and no connection behind."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from typing import Any

from aiosmtpd.smtp import SMTP

__all__ = ["serving"]


@contextlib.contextmanager
def serving(box: object, *, implicit: ssl.SSLContext | None = None, **options: Any) -> Iterator[int]:  # noqa: ANN401 - passed on as they are
    """Run aiosmtpd on loopback; gives its port.

    Args:
        box: handles what comes, as aiosmtpd has it.
        implicit: with which TLS begins at the first byte.
        options: of `aiosmtpd.smtp.SMTP`.

    """
    loop = asyncio.new_event_loop()
    made: list[SMTP] = []

    def make() -> SMTP:
        made.append(SMTP(box, hostname="mx.example.com", loop=loop, **options))
        return made[-1]

    server = loop.run_until_complete(loop.create_server(make, "127.0.0.1", 0, ssl=implicit))

    async def close() -> None:
        server.close()
        await asyncio.gather(
            *(each._handler_coroutine for each in made if each._handler_coroutine), return_exceptions=True
        )
        for each in made:
            if isinstance(each.transport, asyncio.WriteTransport):
                each.transport.abort()
        while getattr(server, "_active_count", 0):  # noqa: ASYNC110 - all that Python 3.11 has to wait for connections
            await asyncio.sleep(0)
        await server.wait_closed()
        await loop.shutdown_default_executor()

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(close(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()
