"""What the tests of the development server share: a server, and a client that trusts it."""

from collections.abc import Callable, Iterator

import pytest
from asking import Asker

from licfsm.adapters.clock import ManualClock
from licfsm.key import LicenseKey
from licfsm.web.devserver import DevServer


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock("2025-02-07")


@pytest.fixture
def server(clock: ManualClock) -> Iterator[DevServer]:
    with DevServer(clock=clock.now_ms) as made:
        made.issue(expires="2025-02-14")
        yield made


@pytest.fixture
def key(server: DevServer) -> LicenseKey:
    return server.licenses["ACME-1"]


@pytest.fixture
def asker(server: DevServer) -> Iterator[Asker]:
    made = Asker(server)
    with made.http:
        yield made


@pytest.fixture
def connect() -> Iterator[Callable[[DevServer], Asker]]:
    """Make clients of any servers."""
    made: list[Asker] = []

    def connected(server: DevServer) -> Asker:
        made.append(Asker(server))
        return made[-1]

    yield connected
    for each in made:
        each.http.close()
