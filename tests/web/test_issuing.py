from collections.abc import Callable
from pathlib import Path

import pytest

from licfsm.adapters.clock import ManualClock
from licfsm.adapters.key_pairs import SigningKey
from licfsm.errors import InvalidValue, UnknownLicense
from licfsm.web.devserver import DevServer
from licfsm.web.issuing import Issuer

SIGNING = SigningKey.generate()


@pytest.fixture
def issuer(tmp_path: Path, clock: ManualClock) -> Callable[[], Issuer]:
    """Open an issuer in the same folder, as often as it is wanted."""
    return lambda: Issuer(SIGNING, tmp_path, clock.now_ms)


class TestIssuer:
    def test_says_what_it_is_given(self, server: DevServer) -> None:
        """A key says all that it is given, and is signed."""
        key = server.issue("A", type="rental", zone="Europe/Berlin", counts={"sockets": 16}, holder="ACME")
        assert ("A", "rental", {"sockets": 16}, "ACME", True) == (
            (key.id, key.type, dict(key.counts), key.holder, bool(key.signed))
        )

    def test_at_the_clocks_time(self, server: DevServer, clock: ManualClock) -> None:
        """A key is issued by the server's clock, unless another time is given."""
        assert (clock.now_ms(), 0) == (server.issue("A").issued_at, server.issue("B", issued="1970-01-01").issued_at)

    def test_later_than_the_one_before(self, server: DevServer, clock: ManualClock) -> None:
        """However the clock goes, and whatever is asked for, a license's keys are issued one after another (4.3)."""
        keys = [server.issue(), server.renew()]
        clock.set_to("2024-01-01")
        keys += [server.renew(), server.renew(issued="2020-01-01")]
        times = [key.issued_at for key in keys]
        assert sorted(set(times)) == times

    def test_a_renewal_keeps_what_it_is_not_told(self, server: DevServer) -> None:
        """A renewal changes what it is told, and its expiry by a year."""
        server.issue("A", zone="Europe/Berlin", expires="2024-02-29", holder="ACME")
        key = server.renew("A", type="rental")
        assert ("rental", "ACME", "Europe/Berlin", "2025-02-28") == (
            key.type, key.holder, key.zone.name, str(key.expires),
        )  # fmt: skip

    def test_a_renewal_of_an_instant(self, server: DevServer) -> None:
        """An exact instant of expiry is renewed by a year likewise."""
        server.issue("A", expires="2025-02-14T10:30:00+00:00")
        assert "2026-02-14T10:30:00+00:00" == server.renew("A").expires.isoformat()  # type: ignore[union-attr]

    def test_a_renewal_of_a_perpetual_key(self, server: DevServer) -> None:
        """What never expires does not do so by renewing."""
        server.issue("A")
        assert None is server.renew("A").expires

    def test_a_renewal_of_nothing(self, server: DevServer) -> None:
        """A license that was never issued cannot be renewed."""
        with pytest.raises(UnknownLicense, match="no key of the license 'A' was issued"):
            server.renew("A")

    def test_finds_what_it_issued(self, issuer: Callable[[], Issuer]) -> None:
        """What was issued is found again, the newest only."""
        issuer().issue(id="A", type="rental")
        renewed = issuer().renew("A", type="nfr")
        assert {"A": renewed} == issuer().newest

    @pytest.mark.parametrize("name", [".", ".."])
    def test_odd_ids(self, issuer: Callable[[], Issuer], name: str) -> None:
        """Ids that look like folders are names of files like others."""
        issuer().issue(id=name, type="rental")
        assert [name] == list(issuer().newest)

    def test_somebody_elses_file(self, issuer: Callable[[], Issuer], tmp_path: Path) -> None:
        """A file under another license's name is refused."""
        issuer().issue(id="A", type="rental")
        (tmp_path / "newest" / "A.lic").rename(tmp_path / "newest" / "B.lic")
        with pytest.raises(InvalidValue, match=r"B\.lic: it holds a key of A; remove it"):
            issuer()
