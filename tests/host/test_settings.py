import datetime as dt
from collections.abc import Iterator

import pytest

import licfsm
from licfsm.adapters.key_pairs import SigningKey
from licfsm.adapters.keys import TrustedKeys, sign
from licfsm.instants import DAY
from licfsm.testing import make_world
from licfsm.web.devserver import DevServer


@pytest.fixture
def server() -> Iterator[DevServer]:
    """Run a license server that knows ACME-1."""
    with DevServer() as running:
        yield running


class TestServer:
    def test_may_be_an_address(self) -> None:
        """Where nothing listens, the check fails with words, as any other does."""
        vendor = SigningKey.generate()
        address = "https://127.0.0.1:1"
        with licfsm.LicenseManager.open(":memory:", policy="veeam-9", trust=vendor.public, server=address) as manager:
            key = licfsm.LicenseKey(id="ACME-1", type="subscription", issued="2025-01-01")
            manager.install(sign(key, vendor).signed)
            session = manager.check_now(wait=20)
        assert session is not None
        assert "connection_failed" == session.outcome
        assert "127.0.0.1 refused the connection on port 1" in session.messages[-1]

    def test_is_asked_over_https_only(self) -> None:
        """An address of another kind is refused before anything is opened (rule 3.4)."""
        options = {"policy": "veeam-9", "trust": SigningKey.generate().public}
        with pytest.raises(licfsm.InvalidValue, match="https"):
            licfsm.LicenseManager.open(":memory:", server="http://licenses.example.com", **options)

    def test_is_trusted_as_the_manager_trusts(self, server: DevServer) -> None:
        """A client that names nobody whose answers count takes the manager's word for it."""
        client = licfsm.HttpsServer(server.url, ca=server.ca)
        key = server.issue("ACME-1", expires="2125-02-14")
        options = {"policy": "veeam-9", "trust": server.trust, "server": client}
        with licfsm.LicenseManager.open(":memory:", **options) as manager:
            manager.install(key.signed)
            session = manager.check_now(wait=20)
        client.close()
        assert session is not None
        assert "up_to_date" == session.outcome

    def test_that_answers_for_somebody_else_is_not_believed(self, server: DevServer) -> None:
        """Its answers are signed by nobody whom the manager trusts."""
        vendor = SigningKey.generate()
        client = licfsm.HttpsServer(server.url, ca=server.ca)
        key = server.issue("ACME-1", expires="2125-02-14")
        trust = [vendor.public, server.trust]
        elsewhere = client.trusting(TrustedKeys.of(vendor.public))
        options = {"policy": "veeam-9", "trust": trust, "server": elsewhere}
        with licfsm.LicenseManager.open(":memory:", **options) as manager:
            manager.install(key.signed)
            session = manager.check_now(wait=20)
        client.close()
        assert session is not None
        assert "answer_rejected" == session.outcome


class TestAdapters:
    """What only promises to ask or to deliver is refused where it is given."""

    def test_that_ask_later_are_refused(self) -> None:
        """A client for an event loop is no server."""

        class Later:
            async def ask(self, _question: licfsm.Question) -> licfsm.Answer:
                """Promise to."""

        with pytest.raises(licfsm.InvalidValue, match="ask of server is asynchronous; give a function that returns"):
            open_with(server=Later())

    def test_that_deliver_later_are_refused(self) -> None:
        """Nor is one a mail program."""

        class Later:
            async def deliver(self, _notice: licfsm.Notice) -> None:
                """Promise to."""

        with pytest.raises(licfsm.InvalidValue, match="deliver of mail is asynchronous; give a function that returns"):
            open_with(mail=Later())


class TestLengthsOfTime:
    @pytest.mark.parametrize("spread", ["1 day", "24 hours", dt.timedelta(days=1)])
    def test_of_a_spread_are_exact(self, spread: object) -> None:
        """A day is 24 hours here, however it is written (rules 3.6): the offset is that of a hash modulo as much."""
        with make_world(clock=licfsm.ManualClock("2025-02-01"), spread=spread).manager as manager:
            assert DAY == manager._settings.spread.ms

    @pytest.mark.parametrize("spread", ["1 month", "8 days", dt.timedelta(days=30)])
    def test_of_a_spread_are_a_week_at_most(self, spread: object) -> None:
        """More would put questions off beyond what they are for."""
        with pytest.raises(licfsm.InvalidValue, match="spread must be an exact length of time, a week at most"):
            open_with(spread=spread)

    @pytest.mark.parametrize("name", ["spread", "keep"])
    def test_are_not_negative(self, name: str) -> None:
        """Neither as text nor as a timedelta."""
        with pytest.raises(licfsm.InvalidValue, match=f"{name} must not be less than nothing"):
            open_with(**{name: dt.timedelta(hours=-5)})


class TestClock:
    @pytest.mark.parametrize(
        ("now", "told"),
        [
            (1.5, "clock must tell whole milliseconds since 1970, not 1.5"),
            (None, "clock must tell whole milliseconds since 1970, not None"),
            (10**30, "lies outside the years 1000 to 9500"),
        ],
    )
    def test_tells_milliseconds(self, now: object, told: str) -> None:
        """One that tells something else is told as what it is, and not as a damaged store."""

        class Wrong:
            def now_ms(self) -> object:
                return now

        with pytest.raises(licfsm.InvalidValue, match=told):
            open_with(clock=Wrong())


@pytest.mark.parametrize("given", [[], "", 0])
def test_operations_are_a_mapping(given: object) -> None:
    """Nothing else stands for none."""
    with pytest.raises(licfsm.InvalidValue, match="operations must be a mapping of names to paid, free or always"):
        open_with(operations=given)


@pytest.mark.parametrize("name", ["mine.yaml", "mine.yml", "./mine", "policies\\mine"])
def test_a_policy_of_a_file_is_read_by_load_policy(name: str) -> None:
    """A path where a name is wanted is told what to do."""
    with pytest.raises(licfsm.InvalidValue, match=r"is a file: give what licfsm\.load_policy makes of it"):
        open_with(policy=name)


def open_with(**options: object) -> None:
    """Open a manager with an adapter of the test's."""
    options = {"policy": "veeam-9", "trust": SigningKey.generate().public} | options
    licfsm.LicenseManager.open(":memory:", **options)
