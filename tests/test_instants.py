import datetime as dt
import zoneinfo

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from licfsm import InvalidValue, instants
from licfsm.instants import UTC, Span, isoformat

ZONES = sorted(zoneinfo.available_timezones() - {"Factory", "localtime"})
DAYS = st.dates(dt.date(1900, 1, 1), dt.date(2200, 1, 1))


def at(text: str, zone: str = "UTC") -> int:
    """Read a time without offset in a zone."""
    moment = instants.parse_instant(text, instants.zone(zone))
    assert isinstance(moment, int)
    return moment


class TestUnits:
    def test_they_build_on_each_other(self) -> None:
        """A second has 1000 ms, a minute 60 s, an hour 60 min, a day 24 h."""
        assert (1_000, 60_000, 3_600_000, 86_400_000) == (
            instants.SECOND,
            instants.MINUTE,
            instants.HOUR,
            instants.DAY,
        )

    def test_never_is_behind_every_instant(self) -> None:
        """NEVER is later than the last instant that the engine counts."""
        assert instants.NEVER > instants.LATEST


class TestZone:
    def test_is_found_by_its_name(self) -> None:
        """An IANA name gives its zone."""
        assert "Europe/Berlin" == instants.zone("Europe/Berlin").name

    @pytest.mark.parametrize("name", ["", "Mars/Olympus", "America", "../UTC", "/etc/localtime", "UTC\n", "A" * 65])
    def test_is_refused_where_there_is_none(self, name: str) -> None:
        """What is no IANA name, be it a path, is refused with a hint."""
        with pytest.raises(InvalidValue, match="use an IANA name such as UTC"):
            instants.zone(name)


class TestConversions:
    def test_to_ms_drops_what_is_finer(self) -> None:
        """Microseconds below a millisecond are dropped."""
        assert 1_999 == instants.to_ms(dt.datetime(1970, 1, 1, 0, 0, 1, 999_999, dt.UTC))

    def test_to_ms_reads_the_offset(self) -> None:
        """An aware time counts from 1970 in UTC."""
        assert -3_600_000 == instants.to_ms(pendulum.datetime(1970, 1, 1, tz="Europe/Berlin"))  # one hour ahead

    def test_from_ms_gives_a_pendulum_time_in_the_zone(self) -> None:
        """Milliseconds become a time of the zone's own wall clock."""
        moment = instants.from_ms(3_600_000, instants.zone("Asia/Tokyo"))  # 01:00 UTC
        assert ("1970-01-01T10:00:00+09:00", pendulum.DateTime) == (moment.isoformat(), type(moment))

    def test_from_ms_gives_utc_unless_told_otherwise(self) -> None:
        """Without a zone the time is in UTC."""
        assert "1970-01-01T00:00:01+00:00" == instants.from_ms(1_000).isoformat()

    @pytest.mark.parametrize(
        ("ms", "text"), [(1_000, "1970-01-01T00:00:01+00:00"), (1_001, "1970-01-01T00:00:01.001+00:00")]
    )
    def test_isoformat_shows_milliseconds_only_where_there_are_any(self, ms: int, text: str) -> None:
        """Whole seconds are written without a fraction."""
        assert text == isoformat(ms)

    def test_wall_reads_the_clock_of_the_zone(self) -> None:
        """The wall clock is a naive time, the same in both passes of a doubled hour."""
        berlin = instants.zone("Europe/Berlin")
        doubled = at("2025-10-26T00:30:00Z"), at("2025-10-26T01:30:00Z")  # 02:30 CEST, then 02:30 CET
        assert [dt.datetime(2025, 10, 26, 2, 30)] * 2 == [instants.wall(ms, berlin) for ms in doubled]  # noqa: DTZ001


class TestAtWall:
    """rules.md 1.2: forward out of a gap by the gap, the first of two."""

    @pytest.mark.parametrize(
        ("zone", "local", "instant"),
        [
            ("Europe/Berlin", "2025-03-30T02:30", "2025-03-30T01:30:00+00:00"),  # gap 02-03: 03:30 CEST (+2)
            ("Europe/Berlin", "2025-10-26T02:30", "2025-10-26T00:30:00+00:00"),  # doubled: CEST (+2) comes first
            ("America/Havana", "2025-03-09T00:30", "2025-03-09T05:30:00+00:00"),  # gap 00-01: 01:30 CDT (-4)
            ("America/Havana", "2025-11-02T00:30", "2025-11-02T04:30:00+00:00"),  # doubled: CDT (-4) comes first
            ("Australia/Lord_Howe", "2025-10-05T02:15", "2025-10-04T15:45:00+00:00"),  # gap of 30 min: 02:45 (+11)
            ("Australia/Lord_Howe", "2025-04-06T01:45", "2025-04-05T14:45:00+00:00"),  # doubled: +11 comes first
            ("Pacific/Apia", "2011-12-30T12:00", "2011-12-30T22:00:00+00:00"),  # gap of a day: 12-31 12:00 (+14)
            ("Asia/Kathmandu", "2025-02-14T00:00", "2025-02-13T18:15:00+00:00"),  # +5:45
        ],
    )
    def test_finds_the_instant(self, zone: str, local: str, instant: str) -> None:
        """A local time has one instant, also where the zone has no such time, or has it twice."""
        assert instant == isoformat(instants.at_wall(dt.datetime.fromisoformat(local), instants.zone(zone)))


class TestEndOfDay:
    """rules.md 1.2: the first instant whose local date is later."""

    @pytest.mark.parametrize(
        ("zone", "day", "instant"),
        [
            ("UTC", "2025-02-14", "2025-02-15T00:00:00+00:00"),
            ("Europe/Berlin", "2025-02-14", "2025-02-14T23:00:00+00:00"),  # +1
            ("America/Havana", "2025-03-08", "2025-03-09T05:00:00+00:00"),  # no midnight: 00:00 CST (-5) is 01:00 CDT
            ("America/Havana", "2025-11-01", "2025-11-02T04:00:00+00:00"),  # two midnights: CDT (-4) comes first
            ("Asia/Beirut", "2025-03-29", "2025-03-29T22:00:00+00:00"),  # no midnight: 00:00 (+2) is 01:00 (+3)
            ("Asia/Beirut", "2025-10-25", "2025-10-25T22:00:00+00:00"),  # 24:00 (+3) is 23:00 (+2) again, same day
            ("America/Sao_Paulo", "2018-11-03", "2018-11-04T03:00:00+00:00"),  # no midnight: 00:00 (-3) is 01:00
            ("Africa/Cairo", "2025-04-24", "2025-04-24T22:00:00+00:00"),  # no midnight: 00:00 (+2) is 01:00 (+3)
            ("Africa/Cairo", "2025-10-30", "2025-10-30T22:00:00+00:00"),  # 24:00 (+3) is 23:00 (+2) again, same day
            ("Pacific/Apia", "2011-12-29", "2011-12-30T10:00:00+00:00"),  # 24:00 (-10) is 12-31 00:00 (+14)
            ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00+00:00"),  # the day that Samoa skipped
            ("Australia/Lord_Howe", "2025-10-05", "2025-10-05T13:00:00+00:00"),  # +11 since 02:00 that day
            ("America/Toronto", "1919-03-30", "1919-03-31T04:30:00+00:00"),  # 23:30 (-5) is 00:30 (-4): in mid-gap
            ("America/St_Johns", "2010-11-06", "2010-11-07T02:30:00+00:00"),  # 00:01 NDT (-2:30) went back to 23:01
        ],
    )
    def test_is_the_first_instant_of_a_later_date(self, zone: str, day: str, instant: str) -> None:
        """A day ends at its midnight, or where the zone jumps over it."""
        assert instant == isoformat(instants.end_of_day(dt.date.fromisoformat(day), instants.zone(zone)))

    @given(st.sampled_from(ZONES), DAYS)
    def test_no_instant_before_it_has_a_later_date(self, name: str, day: dt.date) -> None:
        """In every zone, its local date is later than the day, and that of no instant of the two days before is."""
        zone = instants.zone(name)
        end = instants.end_of_day(day, zone)
        before = [1, *range(15 * instants.MINUTE, 2 * instants.DAY, 15 * instants.MINUTE)]
        assert instants.wall(end, zone).date() > day
        assert all(instants.wall(end - ms, zone).date() <= day for ms in before)

    @pytest.mark.parametrize(
        ("zone", "day", "instant"),
        [
            ("Europe/Berlin", "2025-02-07", "2025-02-06T23:00:00+00:00"),
            ("America/Havana", "2025-03-09", "2025-03-09T05:00:00+00:00"),  # the day begins at 01:00
            ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00+00:00"),  # skipped: the first instant of the 31st
        ],
    )
    def test_the_next_day_starts_there(self, zone: str, day: str, instant: str) -> None:
        """A day starts where the day before ends; a skipped one where the next one starts."""
        assert instant == isoformat(instants.start_of_day(dt.date.fromisoformat(day), instants.zone(zone)))


class TestDaysUntil:
    """rules.md 1.7: the smallest whole n for which now + n calendar days reaches the deadline."""

    @pytest.mark.parametrize(
        ("zone", "now", "deadline", "days"),
        [
            ("UTC", "2025-02-15T00:00", "2025-03-01T00:00", 14),  # 28 - 14 days of February
            ("UTC", "2025-02-28T00:00", "2025-03-01T00:00", 1),
            ("UTC", "2025-02-28T23:59:59.999", "2025-03-01T00:00", 1),
            ("UTC", "2025-02-27T23:59:59.999", "2025-03-01T00:00", 2),  # + 1 day is a millisecond short
            ("UTC", "2025-03-01T00:00", "2025-03-01T00:00", 0),
            ("UTC", "2025-03-02T00:00", "2025-03-01T00:00", 0),
            ("UTC", "2025-01-01T00:00", "2026-01-01T00:00", 365),
            ("Europe/Berlin", "2025-03-29T12:00", "2025-03-30T12:00", 1),  # 23 hours
            ("Europe/Berlin", "2025-03-29T02:30", "2025-03-30T03:30", 1),  # 02:30 is skipped and read as 03:30
            ("Europe/Berlin", "2025-10-25T02:30", "2025-10-26T01:30:00Z", 2),  # the second 02:30; + 1 day is the first
            ("Pacific/Apia", "2011-12-29T12:00", "2011-12-31T12:00", 1),  # 24 hours; the 30th 12:00 is read as it
        ],
    )
    def test_counts_by_the_wall_clock(self, zone: str, now: str, deadline: str, days: int) -> None:
        """Days are steps of the calendar, and a part of a day counts as one."""
        assert days == instants.days_until(at(now, zone), at(deadline, zone), instants.zone(zone))

    @given(st.sampled_from(ZONES), DAYS, st.integers(0, 86_399_999), st.integers(1, 400 * instants.DAY))
    def test_is_the_smallest_number_that_reaches_the_deadline(
        self, name: str, day: dt.date, time: int, ahead: int
    ) -> None:
        """In every zone, n days on reach the deadline, and no smaller number from 1 does."""
        zone = instants.zone(name)
        now = instants.start_of_day(day, UTC) + time
        local = instants.wall(now, zone)
        days = instants.days_until(now, now + ahead, zone)
        reached = [instants.at_wall(local + dt.timedelta(n), zone) >= now + ahead for n in range(1, days + 1)]
        assert [*[False] * (days - 1), True] == reached


class TestSpanText:
    @pytest.mark.parametrize(
        ("text", "span"),
        [
            ("90 seconds", Span(ms=90_000)),
            ("60 minutes", Span(ms=3_600_000)),
            ("24 hours", Span(ms=86_400_000)),  # exact: no calendar step
            ("1 day", Span(days=1)),
            ("2 weeks", Span(days=14)),
            ("2 months", Span(months=2)),
            ("  7   Days ", Span(days=7)),
            ("3660000 days", Span(days=3_660_000)),  # 10000 years of 366 days
        ],
    )
    def test_is_read(self, text: str, span: Span) -> None:
        """A number and a unit are a length of time."""
        assert span == Span.parse(text)

    @pytest.mark.parametrize(
        "text", ["", "14", "days", "14days", "-1 days", "1.5 days", "2 fortnights", "1 years", "1 dayss", "1 day\n2"]
    )
    def test_is_refused_where_it_is_none(self, text: str) -> None:
        """Anything else is refused, and the message names the units."""
        with pytest.raises(InvalidValue, match="one of seconds, minutes, hours, days, weeks, months"):
            Span.parse(text)

    @pytest.mark.parametrize("text", ["3660001 days", "118065 months", "999999999999 hours"])  # 118065 * 31 = 3660015
    def test_is_refused_where_it_is_out_of_proportion(self, text: str) -> None:
        """More than 10000 years are refused."""
        with pytest.raises(InvalidValue, match="10000 years"):
            Span.parse(text)

    def test_is_given_back(self) -> None:
        """A span shows the words it was written in."""
        assert "60 minutes" == str(Span.parse(" 60  minutes"))

    @pytest.mark.parametrize("text", ["0 days", "0 minutes", "0 months"])
    def test_of_nothing_is_false(self, text: str) -> None:
        """A span of no length is false."""
        assert not Span.parse(text)

    @pytest.mark.parametrize("text", ["1 day", "1 second", "1 month"])
    def test_of_something_is_true(self, text: str) -> None:
        """Any other is true."""
        assert Span.parse(text)


class TestSpanSteps:
    @pytest.mark.parametrize(
        ("start", "months", "sign", "end"),
        [
            ("2024-12-31", 2, 1, "2025-02-28"),
            ("2023-12-31", 2, 1, "2024-02-29"),
            ("2025-01-15", 12, 1, "2026-01-15"),
            ("2025-03-31", 1, -1, "2025-02-28"),
            ("2025-01-31", 2, -1, "2024-11-30"),
        ],
    )
    def test_months_are_clamped(self, start: str, months: int, sign: int, end: str) -> None:
        """A month lands on the same day, or on the last that the month has (rules.md 1.6)."""
        shifted = Span(months=months).shift(dt.datetime.fromisoformat(start), sign)
        assert dt.datetime.fromisoformat(end) == shifted

    @pytest.mark.parametrize(("text", "sign"), [("12000 months", 1), ("366000 days", 1), ("108000 months", -1)])
    def test_beyond_the_calendar_is_refused(self, text: str, sign: int) -> None:
        """A step out of the years 1 to 9999 is an error that says so."""
        with pytest.raises(InvalidValue, match=f"{text} from 9000-01-01 is beyond the calendar"):
            Span.parse(text).shift(dt.datetime(9000, 1, 1), sign)  # noqa: DTZ001

    @pytest.mark.parametrize(
        ("start", "text", "end"),
        [
            ("2025-03-29T12:00", "1 day", "2025-03-30T10:00:00+00:00"),  # 12:00 CEST
            ("2025-03-29T12:00", "24 hours", "2025-03-30T11:00:00+00:00"),  # 13:00 CEST
            ("2025-03-29T02:30", "1 day", "2025-03-30T01:30:00+00:00"),  # 02:30 is skipped: 03:30 CEST
            ("2025-03-30T03:30", "1 day", "2025-03-31T01:30:00+00:00"),  # and 03:30 CEST it stays
            ("2025-03-23T02:30", "1 week", "2025-03-30T01:30:00+00:00"),  # likewise
            ("2025-10-26T00:30:00Z", "60 minutes", "2025-10-26T01:30:00+00:00"),  # 02:30 CEST, then 02:30 CET
            ("2025-01-31T12:00", "1 month", "2025-02-28T11:00:00+00:00"),
        ],
    )
    def test_after_steps_by_the_zone(self, start: str, text: str, end: str) -> None:
        """Days, weeks and months are steps of the calendar, minutes and hours are exact (rules.md 3.3)."""
        zone = instants.zone("Europe/Berlin")
        assert end == isoformat(Span.parse(text).after(at(start, zone.name), zone))

    @pytest.mark.parametrize(
        ("text", "end"),
        [
            ("1 day", "2025-03-30T00:00:00+00:00"),
            ("60 minutes", "2025-03-30T23:00:00+00:00"),
            ("1 month", "2025-02-28T00:00:00+00:00"),
        ],
    )
    def test_after_steps_back(self, text: str, end: str) -> None:
        """A sign of -1 steps the other way."""
        assert end == isoformat(Span.parse(text).after(at("2025-03-31T00:00"), UTC, -1))


class TestParseInstant:
    def test_reads_a_date(self) -> None:
        """A date alone stays a date."""
        assert dt.date(2025, 2, 14) == instants.parse_instant(" 2025-02-14 ", UTC)

    @pytest.mark.parametrize(
        ("text", "instant"),
        [
            ("2025-02-14T09:00", "2025-02-14T08:00:00+00:00"),  # local to Berlin, +1
            ("2025-02-14 09:00:30", "2025-02-14T08:00:30+00:00"),
            ("2025-02-14T09:00:30.5", "2025-02-14T08:00:30.500+00:00"),
            ("2025-02-14T09:00Z", "2025-02-14T09:00:00+00:00"),
            ("2025-02-14T09:00-0500", "2025-02-14T14:00:00+00:00"),
            ("2025-02-14T09:00 +02:00", "2025-02-14T07:00:00+00:00"),
            ("9500-01-01T00:00Z", "9500-01-01T00:00:00+00:00"),
            ("1000-01-01T00:00Z", "1000-01-01T00:00:00+00:00"),
        ],
    )
    def test_reads_a_time(self, text: str, instant: str) -> None:
        """A time with an offset is that instant; without one it is local to the zone."""
        assert instant == isoformat(at(text, "Europe/Berlin"))

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("tomorrow", "is no date or time; write 2025-02-14 or 2025-02-14T09:00"),
            ("2025-2-14", "is no date or time"),
            ("2025-02-30", "is not in the calendar"),
            ("2025-02-14T25:00", "is not in the calendar"),
            ("2025-02-14T09:00+99:00", "is not in the calendar"),
            ("2025-02-14T09:00:00.0001", "is finer than a millisecond"),
            ("0999-12-31T23:59Z", "lies outside the years 1000 to 9500"),
            ("9500-01-01T00:00:00.001Z", "lies outside the years 1000 to 9500"),
        ],
    )
    def test_refuses_anything_else(self, text: str, reason: str) -> None:
        """What is no time that the engine counts is refused, and the message says why."""
        with pytest.raises(InvalidValue, match=reason):
            instants.parse_instant(text, UTC)

    @pytest.mark.parametrize(
        ("text", "named"), [("2025-02-14T09:00+01:00", True), (" 2025-02-14 09:00Z", True), ("2025-02-14T09:00", False)]
    )
    def test_an_offset_is_seen(self, text: str, named: bool) -> None:  # noqa: FBT001
        """A time with an offset is told from one that is local."""
        assert named == instants.has_offset(text)

    @pytest.mark.parametrize("text", ["2025-02-14", "tomorrow"])
    def test_no_offset_is_seen_where_there_is_no_time(self, text: str) -> None:
        """A date, or what is no time at all, names no offset."""
        assert not instants.has_offset(text)
