import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import licfsm
from licfsm import InvalidValue, instants, policy
from licfsm.instants import NEVER, Span


def dates(name: str = "veeam-9", **values: object) -> dict[str, str]:
    """Give the deadlines of a key under a policy, in UTC."""
    key = licfsm.LicenseKey(**{"id": "ACME-1", "type": "subscription"} | values)
    found = attrs.asdict(policy.named(name).dates(key))
    return {what: instants.isoformat(ms) for what, ms in found.items()}


class TestExpiring:
    """rules.md 1.4: seven days before the expiration date."""

    @pytest.mark.parametrize(
        ("expires", "zone", "instant"),
        [
            ("2025-02-14", "UTC", "2025-02-07T00:00:00+00:00"),
            ("2025-03-04", "UTC", "2025-02-25T00:00:00+00:00"),  # 4 + 28 - 7 = 25
            ("2025-02-14", "Europe/Berlin", "2025-02-06T23:00:00+00:00"),  # 02-07 00:00 at +1
            ("2025-03-16", "America/Havana", "2025-03-09T05:00:00+00:00"),  # 03-09 begins at 01:00 (-4)
            ("2025-02-14T09:30", "UTC", "2025-02-07T09:30:00+00:00"),
            ("2025-04-02T09:00", "Europe/Berlin", "2025-03-26T08:00:00+00:00"),  # 09:00 CET (+1), from CEST
        ],
    )
    def test_begins(self, expires: str, zone: str, instant: str) -> None:
        """With a date at the start of that day, with an instant at its wall-clock time."""
        assert instant == dates(expires=expires, zone=zone)["expiring_at"]


class TestRetryUntil:
    """rules.md 1.5: as many days after the expiration date as its month has."""

    @pytest.mark.parametrize(
        ("expires", "zone", "instant"),
        [
            ("2025-01-31", "UTC", "2025-03-04T00:00:00+00:00"),  # + 31: 31 + 31 - 31 - 28 = 3 March, its end
            ("2024-01-31", "UTC", "2024-03-03T00:00:00+00:00"),  # + 31: 2 March in a leap year
            ("2025-01-15", "UTC", "2025-02-16T00:00:00+00:00"),  # + 31: 15 February
            ("2025-02-28", "UTC", "2025-03-29T00:00:00+00:00"),  # + 28: 28 March
            ("2024-02-28", "UTC", "2024-03-29T00:00:00+00:00"),  # + 29: 28 March
            ("2024-02-29", "UTC", "2024-03-30T00:00:00+00:00"),  # + 29: 29 March
            ("2025-02-14", "UTC", "2025-03-15T00:00:00+00:00"),  # + 28: 14 March
            ("2025-04-30", "UTC", "2025-05-31T00:00:00+00:00"),  # + 30: 30 May
            ("2025-12-31", "UTC", "2026-02-01T00:00:00+00:00"),  # + 31: 31 January
            ("2025-01-31", "Europe/Berlin", "2025-03-03T23:00:00+00:00"),  # the end of 3 March at +1
            ("2025-01-31T15:00", "UTC", "2025-03-03T15:00:00+00:00"),  # an instant: its time on 3 March
            ("2025-01-31T23:30Z", "Europe/Berlin", "2025-02-28T23:30:00+00:00"),  # 1 February there: + 28, 00:30
            ("2025-03-15T12:00", "Europe/Berlin", "2025-04-15T10:00:00+00:00"),  # + 31: 12:00 CEST, from CET
        ],
    )
    def test_ends(self, expires: str, zone: str, instant: str) -> None:
        """It is no month later: the days of the month of expiry are counted."""
        assert instant == dates(expires=expires, zone=zone)["retry_until"]

    def test_may_be_a_period_of_the_policy(self) -> None:
        """A policy may name another length of time."""
        shorter = attrs.evolve(policy.named("veeam-9"), retry_period=Span(days=10))
        key = licfsm.LicenseKey(id="A", type="subscription", expires="2025-02-14")
        assert "2025-02-25T00:00:00+00:00" == instants.isoformat(shorter.dates(key).retry_until)  # the end of the 24th


class TestGrace:
    """rules.md 1.6, 2.1: the expiration date and the grace, to the end of that day."""

    @pytest.mark.parametrize(
        ("name", "kind", "expires", "instant"),
        [
            ("veeam-7", "subscription", "2025-02-14", "2025-03-01T00:00:00+00:00"),  # + 14: 28 February
            ("veeam-7", "rental", "2025-02-14", "2025-03-01T00:00:00+00:00"),
            ("veeam-7", "perpetual", "2025-02-14", "2025-03-01T00:00:00+00:00"),
            ("veeam-8", "subscription", "2025-02-14", "2025-03-01T00:00:00+00:00"),
            ("veeam-8", "rental", "2025-02-14", "2025-03-01T00:00:00+00:00"),
            ("veeam-8", "perpetual", "2025-02-14", "2025-03-01T00:00:00+00:00"),
            ("veeam-9", "subscription", "2025-02-14", "2025-03-17T00:00:00+00:00"),  # + 30: 14 + 30 - 28 = 16 March
            ("veeam-9", "rental", "2025-02-14", "2025-04-15T00:00:00+00:00"),  # + 2 months: 14 April
            ("veeam-9", "rental", "2024-12-31", "2025-03-01T00:00:00+00:00"),  # clamped: 28 February
            ("veeam-9", "rental", "2023-12-31", "2024-03-01T00:00:00+00:00"),  # clamped: 29 February
            ("veeam-9", "rental", "2024-12-31T10:00", "2025-02-28T10:00:00+00:00"),  # an instant: its time that day
            ("veeam-9", "subscription", "2025-02-14T10:00", "2025-03-16T10:00:00+00:00"),
        ],
    )
    def test_ends(self, name: str, kind: str, expires: str, instant: str) -> None:
        """Each policy grants its types their grace, months clamped at the month's end."""
        assert instant == dates(name, type=kind, expires=expires)["grace_until"]

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            *((name, kind) for name in ("veeam-7", "veeam-8", "veeam-9") for kind in ("trial", "nfr")),
            ("veeam-9", "perpetual"),
        ],
    )
    def test_is_over_at_once_where_there_is_none(self, name: str, kind: str) -> None:
        """Without grace it ends at expiry."""
        assert "2025-02-15T00:00:00+00:00" == dates(name, type=kind, expires="2025-02-14")["grace_until"]


class TestDates:
    def test_expiry_is_that_of_the_key(self) -> None:
        """The policy does not touch the expiry."""
        assert "2025-02-15T00:00:00+00:00" == dates(expires="2025-02-14")["expires_at"]

    def test_of_a_perpetual_key_never_come(self) -> None:
        """Without expiry there is no deadline at all."""
        key = licfsm.LicenseKey(id="A", type="perpetual")
        assert policy.Dates(NEVER, NEVER, NEVER, NEVER, NEVER) == policy.named("veeam-7").dates(key)

    @pytest.mark.parametrize("expires", [None, "2025-02-14"])
    def test_of_an_unknown_type_are_refused(self, expires: str | None) -> None:
        """A type that the policy does not list is an error that names those it does."""
        key = licfsm.LicenseKey(id="A", type="gift", expires=expires)
        with pytest.raises(InvalidValue, match=r"veeam-9 knows no license type 'gift', only .*subscription"):
            policy.named("veeam-9").dates(key)

    @given(
        st.sampled_from(["veeam-7", "veeam-8", "veeam-9"]),
        st.sampled_from(["subscription", "rental", "perpetual", "trial", "nfr"]),
        st.dates() | st.datetimes(timezones=st.just(instants.UTC)),
        st.sampled_from(["UTC", "Asia/Beirut", "Pacific/Apia", "America/Havana", "Australia/Lord_Howe"]),
    )
    def test_stand_in_order(self, name: str, kind: str, expires: object, zone: str) -> None:
        """For every key there is: expiring, then expired, then the ends of grace and of retrying."""
        try:
            key = licfsm.LicenseKey(id="A", type=kind, expires=expires, zone=zone)
        except (InvalidValue, OverflowError):
            return
        found = policy.named(name).dates(key)
        assert found.expiring_at < found.expires_at <= found.grace_until
        assert found.expires_at < found.retry_until


class TestOutcomes:
    """rules.md 4.1."""

    @pytest.mark.parametrize(
        ("outcome", "reaction", "retry", "session"),
        [
            ("new_key", "renewed", None, "success"),
            ("up_to_date", "current", None, "success"),
            ("connection_failed", "retry", Span(ms=3_600_000), "failed"),  # 60 minutes
            ("generation_failed", "retry", Span(ms=86_400_000), "failed"),  # 24 hours
            ("request_refused", "retry", Span(ms=86_400_000), "failed"),
            ("unsupported_type", "retry", Span(ms=86_400_000), "failed"),
            ("answer_rejected", "retry", Span(ms=86_400_000), "failed"),
            ("key_rejected", "retry", Span(ms=86_400_000), "failed"),
            ("contract_terminated", "give_up", None, "failed"),
        ],
    )
    @pytest.mark.parametrize("name", ["veeam-7", "veeam-8", "veeam-9"])
    def test_lead_to_their_reaction(
        self, name: str, outcome: str, reaction: str, retry: Span | None, session: str
    ) -> None:
        """Each outcome has its reaction, interval and session result in every built-in policy."""
        rule = policy.named(name).outcomes[outcome]
        assert (reaction, retry, session) == (rule.reaction, rule.retry, rule.session)

    def test_are_all_there(self) -> None:
        """A policy maps every outcome, and no other."""
        assert sorted(policy.OUTCOMES) == sorted(policy.named("veeam-9").outcomes)

    @pytest.mark.parametrize(
        ("reaction", "failed"), [("renewed", False), ("current", False), ("retry", True), ("give_up", True)]
    )
    def test_that_retry_or_give_up_are_failures(self, reaction: str, failed: bool) -> None:  # noqa: FBT001
        """An outcome that leads to a retry or to giving up is a failure."""
        assert failed == policy.Outcome(reaction, "failed", "text").failed


class TestBuiltIn:
    def test_asks_weekly_and_from_expiring_on_daily(self) -> None:
        """The cadence is a week, then a day (rules.md 3.1, 3.2)."""
        assert policy.Cadence(Span(days=7), Span(days=1)) == policy.named("veeam-9").cadence

    def test_mails_every_failure(self) -> None:
        """The default is the seed's letter (rules.md 8.2)."""
        assert "every_failure" == policy.named("veeam-9").mail_repeat

    def test_words_every_notice(self) -> None:
        """A policy has a text for every notice, and for no other."""
        assert sorted(policy.NOTIFICATIONS) == sorted(policy.named("veeam-9").notifications)

    def test_says_what_a_user_reads(self) -> None:
        """The texts are those of rules.md 2.4."""
        texts = policy.named("veeam-9").texts
        assert (
            "Valid ({days} until expiration)",
            "Valid",
            "Expired ({days} of grace period remaining)",
            "Expired",
            "Not installed",
            "License key has expired, {days} of grace period remaining",
        ) == (texts.valid, texts.valid_perpetual, texts.grace, texts.expired, texts.not_installed, texts.job_warning)

    def test_is_loaded_once(self) -> None:
        """All licenses of a policy share it."""
        assert policy.named("veeam-9") is policy.named("veeam-9")

    def test_unknown_name_is_refused(self) -> None:
        """A name that is not built in is refused, and the nearest one told."""
        with pytest.raises(InvalidValue, match="veeam-9"):
            policy.named("veam-9")
