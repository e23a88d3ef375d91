import datetime as dt

import pendulum
import pytest

from licfsm import InvalidValue, ManualClock, SystemClock


class TestSystemClock:
    def test_tells_the_time_of_the_machine(self) -> None:
        """It lies between two readings of the machine's clock."""
        before = dt.datetime.now(dt.UTC).timestamp() * 1000 - 1
        assert before <= SystemClock().now_ms() <= dt.datetime.now(dt.UTC).timestamp() * 1000


class TestManualClock:
    @pytest.mark.parametrize(
        "start",
        [
            1_739_433_600_000,  # 55 * 365 + 14 + 43 = 20132 days of 86400 s, and 8 h
            "2025-02-13T08:00",
            "2025-02-13T09:00+01:00",
            dt.datetime(2025, 2, 13, 8, tzinfo=dt.UTC),
            pendulum.datetime(2025, 2, 13, 9, tz="Europe/Berlin"),
        ],
    )
    def test_starts_where_it_is_told(self, start: object) -> None:
        """Milliseconds, text and times with a zone all say when."""
        assert "2025-02-13T08:00:00Z" == ManualClock(start).now.to_iso8601_string()

    def test_reads_a_date_as_its_start(self) -> None:
        """A date alone is its first instant in UTC."""
        assert "2025-02-14T00:00:00Z" == ManualClock("2025-02-14").now.to_iso8601_string()

    def test_stands_still(self) -> None:
        """It tells the same time until it is moved."""
        clock = ManualClock(5)
        assert (5, 5) == (clock.now_ms(), clock.now_ms())

    @pytest.mark.parametrize("to", [1_000, "1970-01-01T00:00:01", dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC)])
    def test_moves_either_way(self, to: object) -> None:
        """It goes to a time given in any form, forward or back."""
        clock = ManualClock("2025-02-14")
        clock.move_to(to)
        assert 1_000 == clock.now_ms()

    @pytest.mark.parametrize("start", ["soon", "2025-02-30"])
    def test_refuses_what_is_no_time(self, start: str) -> None:
        """Text that is no time is refused."""
        with pytest.raises(InvalidValue):
            ManualClock(start)

    def test_refuses_a_time_without_zone(self) -> None:
        """A naive datetime could mean anything."""
        with pytest.raises(InvalidValue, match="has no time zone"):
            ManualClock(dt.datetime(2025, 2, 14))  # noqa: DTZ001

    def test_shows_where_it_stands(self) -> None:
        """Its representation makes it again."""
        assert "ManualClock('2025-02-14T00:00:00+00:00')" == repr(ManualClock("2025-02-14"))
