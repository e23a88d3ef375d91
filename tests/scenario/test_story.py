import datetime as dt

import pytest

from licfsm import LicenseKey, instants
from licfsm.scenario.story import Offer

ISSUED = 1_738_368_000_000  # 2025-02-01


@pytest.fixture
def installed() -> LicenseKey:
    """The installed key."""
    return LicenseKey(id="A", type="subscription", expires="2025-02-14", issued="2025-02-01T00:00Z")


class TestOffer:
    def test_the_installed_key(self, installed: LicenseKey) -> None:
        """An offer of the same expiry and type is the installed key itself."""
        assert installed is Offer(dt.date(2025, 2, 14), None, ISSUED + 5, stated=True).key(installed)

    def test_the_same_expiry_as_an_instant(self, installed: LicenseKey) -> None:
        """The same expiry may be written as an instant."""
        assert installed is Offer(1_739_577_600_000, "subscription", ISSUED, stated=True).key(installed)

    def test_another_expiry(self, installed: LicenseKey) -> None:
        """Another expiry makes another key; what is not told stays as installed."""
        key = Offer(dt.date(2026, 2, 14), None, ISSUED + 5, stated=False).key(installed)
        assert ("A", "subscription", "2026-02-14", ISSUED + 5) == (key.id, key.type, str(key.expires), key.issued_at)

    def test_another_type(self, installed: LicenseKey) -> None:
        """Another type makes another key."""
        assert "rental" == Offer(dt.date(2025, 2, 14), "rental", ISSUED, stated=False).key(installed).type

    def test_a_perpetual_key(self, installed: LicenseKey) -> None:
        """Without an expiry the key is perpetual."""
        assert Offer(None, None, ISSUED, stated=False).key(installed).expires is None

    @pytest.mark.parametrize(("stated", "later"), [(False, 1), (True, 0)])
    def test_a_tie(self, installed: LicenseKey, *, stated: bool, later: int) -> None:
        """A key issued at the same instant counts as later, unless its time of issue was stated."""
        assert ISSUED + later == Offer(None, None, ISSUED, stated=stated).key(installed).issued_at

    def test_a_tie_at_the_end_of_the_calendar(self) -> None:
        """At the last instant of the calendar there is no later one."""
        last = LicenseKey(id="A", type="nfr", issued=instants.from_ms(instants.LATEST))
        assert instants.LATEST == Offer(dt.date(2025, 1, 1), None, instants.LATEST, stated=False).key(last).issued_at
