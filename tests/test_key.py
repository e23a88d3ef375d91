import datetime as dt
from types import MappingProxyType

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from licfsm import InvalidValue, LicenseKey, instants
from licfsm.key import clean_text


def key(**values: object) -> LicenseKey:
    """Make a key with little in it."""
    return LicenseKey(**{"id": "ACME-1", "type": "subscription"} | values)


class TestExpiry:
    """rules.md 1.1: a date and the whole of it, an instant, or none."""

    def test_of_a_date_is_the_midnight_that_ends_it(self) -> None:
        """A key is valid through the whole of its last day, in its zone."""
        expiry = key(expires="2025-02-14", zone="Europe/Berlin").expiry
        assert "2025-02-15T00:00:00+01:00" == expiry.isoformat()

    def test_of_a_date_is_after_a_midnight_that_is_skipped(self) -> None:
        """Where the midnight does not exist, the expiry is the jump over it (1.2)."""
        expiry = key(expires="2025-03-08", zone="America/Havana").expiry
        assert "2025-03-09T01:00:00-04:00" == expiry.isoformat()

    def test_of_an_instant_is_that_instant(self) -> None:
        """An exact instant is the expiry, shown in the zone."""
        expiry = key(expires="2025-02-14T09:30Z", zone="Europe/Berlin").expiry
        assert "2025-02-14T10:30:00+01:00" == expiry.isoformat()

    def test_of_an_instant_without_offset_is_local(self) -> None:
        """A time without offset is read in the zone."""
        assert "2025-02-14T09:30:00+01:00" == key(expires="2025-02-14T09:30", zone="Europe/Berlin").expiry.isoformat()

    def test_of_a_perpetual_key_is_none(self) -> None:
        """A key without expiry never expires."""
        assert (None, None, instants.NEVER) == (key().expiry, key().expiry_date, key().expires_at)

    @pytest.mark.parametrize(
        ("value", "expires"),
        [
            (dt.date(2025, 2, 14), pendulum.Date(2025, 2, 14)),
            ("2025-02-14", pendulum.Date(2025, 2, 14)),
            (dt.datetime(2025, 2, 14, 9, 0, 0, 1999, dt.UTC), pendulum.datetime(2025, 2, 14, 9, 0, 0, 1000)),
            (dt.datetime(2025, 2, 14, 9), pendulum.datetime(2025, 2, 14, 9)),  # noqa: DTZ001 - local to the zone
        ],
    )
    def test_is_taken_in_many_forms(self, value: object, expires: object) -> None:
        """Dates, times and their text become pendulum values, in whole milliseconds."""
        taken = key(expires=value).expires
        assert (expires, type(expires)) == (taken, type(taken))

    def test_date_is_the_local_date_of_an_instant(self) -> None:
        """With an instant, the date of which the rules speak is that of the zone (1.3)."""
        assert dt.date(2025, 2, 1) == key(expires="2025-01-31T23:30Z", zone="Europe/Berlin").expiry_date

    def test_may_be_the_first_day_of_9000(self) -> None:
        """9000-01-01 is the last date that is accepted."""
        assert "9000-01-02T00:00:00+00:00" == key(expires="9000-01-01").expiry.isoformat()

    @pytest.mark.parametrize("expires", ["9000-01-02", "9000-01-02T00:00Z", dt.date(9999, 12, 31)])
    def test_after_9000_is_refused(self, expires: object) -> None:
        """A later expiry is refused with the hint to leave it out."""
        with pytest.raises(InvalidValue, match="after 9000-01-01; leave it out for a perpetual key"):
            key(expires=expires)

    @pytest.mark.parametrize("expires", [dt.date(999, 12, 31), dt.datetime(999, 12, 31, tzinfo=dt.UTC)])
    def test_before_1000_is_refused(self, expires: object) -> None:
        """An expiry before the years that the engine counts is refused."""
        with pytest.raises(InvalidValue, match="before the year 1000"):
            key(expires=expires)


class TestIssued:
    @pytest.mark.parametrize(
        ("issued", "instant"),
        [
            ("2025-02-01", "2025-01-31T23:00:00+00:00"),  # the start of the day in Berlin
            ("2025-02-01T09:00", "2025-02-01T08:00:00+00:00"),
            ("2025-02-01T09:00Z", "2025-02-01T09:00:00+00:00"),
        ],
    )
    def test_is_an_instant(self, issued: str, instant: str) -> None:
        """A date of issue is the start of that day in the zone, a time that time."""
        assert instant == instants.isoformat(key(issued=issued, zone="Europe/Berlin").issued_at)

    def test_is_earlier_than_every_other_where_it_is_missing(self) -> None:
        """A key without time of issue is older than every key with one."""
        assert key().issued_at < key(issued="1000-01-01").issued_at


class TestValues:
    @pytest.mark.parametrize("text", ["A", "a.b_c-9", "Z" * 64])
    def test_an_id_of_the_right_characters_is_taken(self, text: str) -> None:
        """License ids match [A-Za-z0-9._-]{1,64} (rules.md 8.3)."""
        assert text == key(id=text).id

    @pytest.mark.parametrize("text", ["", "A" * 65, "A B", "Ä", "A/B", "A\n", "A\x1b[2J"])
    def test_any_other_id_is_refused(self, text: str) -> None:
        """Any other id is refused, and shown without its control characters."""
        with pytest.raises(InvalidValue, match=r"1 to 64 of the characters A-Z a-z 0-9 \. _ -") as caught:
            key(id=text)
        assert str(caught.value).isprintable()

    @pytest.mark.parametrize("text", ["", "Rental", "a b", "t" * 65, "rental\n", [], None])
    def test_a_type_of_other_characters_is_refused(self, text: object) -> None:
        """A type is a word of a policy: small letters, digits, _ and -."""
        with pytest.raises(InvalidValue, match="license type"):
            key(type=text)

    @pytest.mark.parametrize("zone", ["Mars/Olympus", 5, None])
    def test_an_unknown_zone_is_refused(self, zone: object) -> None:
        """The zone must exist."""
        with pytest.raises(InvalidValue, match=f"no time zone {zone!r}"):
            key(zone=zone)

    def test_a_zone_may_be_given_as_such(self) -> None:
        """A pendulum time zone is taken as it is."""
        zone = pendulum.timezone("Asia/Tokyo")
        assert zone is key(zone=zone).zone

    def test_the_zone_is_utc_unless_told(self) -> None:
        """Without a zone the dates are in UTC."""
        assert "UTC" == key().zone.name

    def test_counts_cannot_be_changed(self) -> None:
        """The counts are a read-only copy."""
        given_counts = {"sockets": 16}
        made = key(counts=given_counts)
        given_counts["sockets"] = 99
        assert ({"sockets": 16}, MappingProxyType) == (dict(made.counts), type(made.counts))

    def test_read_only_counts_are_kept(self) -> None:
        """Counts that cannot be changed anyway are shared, not copied."""
        counts = MappingProxyType({"sockets": 16})
        assert counts is key(counts=counts).counts

    def test_equal_values_are_equal_keys(self) -> None:
        """The same values, however written, are the same key (rules.md 6.5)."""
        assert key(expires="2025-02-14T09:00Z") == key(expires=pendulum.datetime(2025, 2, 14, 9))

    @pytest.mark.parametrize(
        "change",
        [{"type": "rental"}, {"issued": "2025-01-01"}, {"expires": "2025-02-15"}, {"counts": {"sockets": 1}}],
    )
    def test_other_values_are_another_key(self, change: dict[str, object]) -> None:
        """Another type, time of issue, expiry or count makes another key (rules.md 4.3)."""
        assert key(expires="2025-02-14") != key(**{"expires": "2025-02-14"} | change)


class TestCleanText:
    """rules.md 8.3: text from keys and servers is untrusted."""

    def test_leaves_good_text_alone(self) -> None:
        """Printable text, of any script, stays as it is."""
        assert "Müller & Söhne, 東京" == clean_text("Müller & Söhne, 東京")

    @pytest.mark.parametrize("text", ["a\x1b[2Jb", "a\x00[2Jb", "a\n[2Jb", "a\x9b[2Jb", "a\u202e[2Jb", "a\r[2Jb"])
    def test_strips_control_characters(self, text: str) -> None:
        """Escape, line end, null, C1 and direction marks are stripped, what stands around them stays."""
        assert "a[2Jb" == clean_text(text)

    @pytest.mark.parametrize(("length", "left"), [(499, 499), (500, 500), (501, 500), (100_000, 500)])
    def test_cuts_at_500_characters(self, length: int, left: int) -> None:
        """No more than 500 characters are left."""
        assert "x" * left == clean_text("x" * length)

    def test_cuts_what_is_left_after_stripping(self) -> None:
        """Control characters do not count."""
        assert "x" * 500 == clean_text("\x00" * 100 + "x" * 600)

    @given(st.text(max_size=1200))
    def test_leaves_nothing_else(self, text: str) -> None:
        """Whatever comes in, at most 500 characters come out, all printable."""
        cleaned = clean_text(text)
        assert len(cleaned) <= 500
        assert cleaned.isprintable()


class TestSigned:
    def test_keys_that_say_the_same_are_equal(self) -> None:
        """Who signed a key, and with which bytes, does not make it another key."""
        assert key(signed="one") == key(signed="two")

    def test_the_two_readings_of_a_doubled_time_are_two_keys(self) -> None:
        """Clocks in Berlin show 02:30 twice on 26 October 2025; an hour lies between."""
        first, second = (key(expires=f"2025-10-26T{hour}:30Z", zone="Europe/Berlin") for hour in ("00", "01"))
        assert first != second
