import datetime as dt
import sys
import time

import pendulum
import pytest

from licfsm import InvalidValue, ManualClock, SystemClock
from licfsm.ports import HostClock

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts sleep apart")


class Readings:
    """Stands in for a clock of the system, and tells what it is given, in nanoseconds."""

    def __init__(self, *readings: int) -> None:
        self.readings = list(readings)

    def __call__(self, *_: object) -> int:
        return self.readings.pop(0)


class TestSystemClock:
    def test_tells_the_time_of_the_machine(self) -> None:
        """It lies between two readings of the machine's clock."""
        before = dt.datetime.now(dt.UTC).timestamp() * 1000 - 1
        assert before <= SystemClock().now_ms() <= dt.datetime.now(dt.UTC).timestamp() * 1000

    def test_is_a_clock_for_hosts(self) -> None:
        """It tells of running and sleep too."""
        assert isinstance(SystemClock(), HostClock)

    def test_tells_how_long_it_ran(self) -> None:
        """It lies between two readings of the clock that never steps."""
        before = time.monotonic_ns() // 1_000_000
        assert before <= SystemClock().running_ms() <= time.monotonic_ns() // 1_000_000

    @linux_only
    def test_tells_how_long_it_slept(self) -> None:
        """It is what the clock that counts sleep is ahead of the one that does not."""
        ahead = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
        assert pytest.approx(ahead * 1000, abs=20) == SystemClock().asleep_ms()

    @linux_only
    def test_takes_no_pause_of_its_own_for_sleep(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A process that was put aside for 50 ms between two readings did not sleep for them."""
        monkeypatch.setattr(time, "monotonic_ns", Readings(1_000_000_000, 1_100_000_000, 1_200_000_000))
        monkeypatch.setattr(time, "clock_gettime_ns", Readings(8_050_000_000, 8_100_000_500, 8_250_000_000))
        assert 7_000 == SystemClock().asleep_ms()

    def test_knows_no_sleep_elsewhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where no clock counts sleep apart, there was none."""
        monkeypatch.setattr(sys, "platform", "darwin")
        assert 0 == SystemClock().asleep_ms()


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

    @pytest.mark.parametrize(
        ("start", "told"),
        [
            (1.5, "1.5 is no time; give a datetime, ISO text, or whole milliseconds"),
            (None, "None is no time"),
            (True, "True is no time"),
            (dt.date(2025, 2, 14), "is no time"),
            (10**30, "lies outside the years 1000 to 9500"),
            ("soon", "'soon'"),
        ],
    )
    def test_starts_at_a_time_only(self, start: object, told: str) -> None:
        """What is no time is told as that, wherever one is wanted."""
        for use in (ManualClock, ManualClock("2025-02-14").move_to, ManualClock("2025-02-14").sleep):
            with pytest.raises(InvalidValue, match=told):
                use(start)

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

    @pytest.mark.parametrize(
        ("way", "to", "expected"),
        [
            ("move_to", 90_000, (90_000, 80_000, 0)),
            ("move_to", 4_000, (4_000, 0, 0)),
            ("move_to", 10_000, (10_000, 0, 0)),
            ("set_to", 90_000, (90_000, 0, 0)),
            ("set_to", 4_000, (4_000, 0, 0)),
            ("set_to", "1970-01-01T00:00:12", (12_000, 0, 0)),
            ("sleep", 90_000, (90_000, 0, 80_000)),
            ("sleep", dt.datetime(1970, 1, 1, 0, 1, tzinfo=dt.UTC), (60_000, 0, 50_000)),
            ("sleep", 10_000, (10_000, 0, 0)),
        ],
    )
    def test_tells_what_moved_it(self, way: str, to: object, expected: tuple[int, int, int]) -> None:
        """Time that passes is running, time slept is sleep, and a clock that is set is neither."""
        clock = ManualClock(10_000)
        getattr(clock, way)(to)
        assert expected == (clock.now_ms(), clock.running_ms(), clock.asleep_ms())

    def test_adds_up(self) -> None:
        """Running and sleep only grow, whatever becomes of the time."""
        clock = ManualClock(0)
        clock.move_to(5)
        clock.set_to(1_000)
        clock.sleep(1_007)
        clock.move_to(500)
        clock.move_to(503)
        clock.sleep(504)
        assert (504, 8, 8) == (clock.now_ms(), clock.running_ms(), clock.asleep_ms())

    def test_sleeps_forward_only(self) -> None:
        """A host does not wake before it fell asleep."""
        with pytest.raises(InvalidValue, match="1970-01-01T00:00:01\\+00:00 lies before the clock"):
            ManualClock(2_000).sleep(1_000)

    def test_stays_where_it_is_told_no_time(self) -> None:
        """A refused time changes nothing."""
        clock = ManualClock(2_000)
        for way in (clock.move_to, clock.set_to, clock.sleep):
            with pytest.raises(InvalidValue):
                way("soon")
        assert (2_000, 0, 0) == (clock.now_ms(), clock.running_ms(), clock.asleep_ms())

    def test_is_a_clock_for_hosts(self) -> None:
        """It tells of running and sleep too."""
        assert isinstance(ManualClock(0), HostClock)

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
