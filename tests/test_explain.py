from collections.abc import Callable

import pytest

import licfsm
from licfsm import Answer, instants
from licfsm.explain import Cause

Begin = Callable[..., licfsm.License]


def why(story: licfsm.License, region: str) -> list[tuple[str | None, str, str]]:
    """Give the causes of a region's state: when, rule, words."""
    return [
        (f"{cause.at:%Y-%m-%d %H:%M}" if cause.at else None, cause.rule, cause.text)
        for cause in story.explain().why
        if cause.region == region
    ]


def coming(story: licfsm.License, *, whole: bool = False) -> list[tuple[str | None, str, str]]:
    """Give what comes: when, rule, and its words, as a rule only up to the first comma."""
    return [
        (
            f"{item.at:%Y-%m-%d %H:%M}" if item.at else None,
            item.rule,
            item.text.partition("," if not whole else "\0")[0],
        )
        for item in story.explain().next
    ]


class TestWhyEntitlement:
    """The key expires with 14 February 2025; under veeam-9 grace of a subscription ends with 16 March."""

    @pytest.mark.parametrize(
        ("start", "kind", "expected"),
        [
            ("2025-01-01", "subscription", (None, "1.4", "Expiring has not begun")),
            ("2025-02-08", "subscription", ("2025-02-07 00:00", "1.4", "the policy's time before the expiration date")),
            ("2025-02-16", "subscription", ("2025-02-15 00:00", "2.2", "the policy grants a grace period")),
            ("2025-03-18", "subscription", ("2025-03-17 00:00", "2.2", "by itself, when the grace period ends")),
            ("2025-02-16", "trial", ("2025-02-15 00:00", "2.2", "no grace period for this type")),
        ],
    )
    def test_is_the_date_that_brought_it(self, begin: Begin, start: str, kind: str, expected: tuple) -> None:
        """A state is there since the deadline before it, for the reason of its row."""
        assert [expected] == why(begin(start, type=kind), "entitlement")

    def test_of_a_perpetual_key(self, begin: Begin) -> None:
        """A key without expiry is valid for good."""
        assert [(None, "1.1", "the key has no expiry")] == why(begin("2025-01-01", expires=None), "entitlement")

    def test_of_a_record_that_the_dates_do_not_tell(self, begin: Begin) -> None:
        """A record of another key says what it said when it was last looked at."""
        grace = begin("2025-02-16").record
        key = licfsm.LicenseKey(id="A", type="perpetual")
        other = licfsm.License(key, "veeam-9", clock=licfsm.ManualClock("2025-02-16"), record=grace)
        assert [(None, "2.5", "it was so when the key was last looked at")] == why(other, "entitlement")

    def test_a_clock_that_is_behind(self, begin: Begin) -> None:
        """Where the memory of the latest time decides, that is said."""
        story = begin("2025-02-16")
        story.shift(-3 * instants.DAY)
        assert ("2025-02-16 00:00", "7.5") == why(story, "entitlement")[-1][:2]


class TestWhyAutoUpdate:
    def test_off(self, begin: Begin) -> None:
        """Nobody switched it on."""
        text = "automatic update was never switched on, or was switched off"
        assert [(None, "6.2", text)] == why(begin("2025-01-01"), "auto_update")

    def test_retrying(self, begin: Begin, script: type) -> None:
        """The last check failed; it is told by its words."""
        story = begin("2025-01-01T09:00")
        story.enable()
        story.advance("2025-01-01T09:30", server=script("connection_failed"))
        text = "the last check came to connection_failed: The license server could not be reached"
        assert [("2025-01-01 09:00", "4.1", text)] == why(story, "auto_update")

    def test_checking(self, begin: Begin) -> None:
        """A question is under way, and where it began is told."""
        story = begin("2025-01-01T09:00")
        story.check_now()
        text = "attempt 1 is under way, begun in Off"
        assert [("2025-01-01 09:00", "6.3", text)] == why(story, "auto_update")

    def test_given_up_by_the_deadline(self, begin: Begin, script: type) -> None:
        """The last question was asked at the end of the retry period: 28 days after 14 February."""
        story = begin("2025-02-14")
        story.enable()
        story.advance("2025-03-20", server=script("connection_failed"))
        assert [("2025-03-15 00:00", "5.1")] == [cause[:2] for cause in why(story, "auto_update")]

    def test_given_up_by_the_contract(self, begin: Begin, script: type) -> None:
        """The server's word ended it."""
        story = begin("2025-01-01T09:00")
        story.enable()
        story.advance("2025-01-02", server=script("contract_terminated"))
        text = "the last check came to contract_terminated: The contract of this license has been terminated"
        assert [("2025-01-01 09:00", "4.1", text)] == why(story, "auto_update")

    def test_scheduled_without_an_answer(self, begin: Begin) -> None:
        """Nothing is made up where no check was answered."""
        story = begin("2025-01-01")
        story.record.auto_update = "Scheduled"
        assert [(None, "4.1", "no check was answered yet")] == why(story, "auto_update")

    def test_a_history_takes_its_place(self, begin: Begin) -> None:
        """What somebody kept of a region is told, and nothing derived for it."""
        kept = [Cause(None, "auto_update", "6.1", "switched on in spring"), Cause(None, "entitlement", "2.5", "seen")]
        assert tuple(kept) == begin("2025-01-01").explain(kept).why


class TestNext:
    def test_the_whole_life_is_ahead(self, begin: Begin) -> None:
        """Every deadline that the clock brings is told, in order; nothing is asked in Off."""
        assert [
            ("2025-02-07 00:00", "1.4", "expiring: Valid to Expiring"),
            ("2025-02-15 00:00", "2.2", "expired: Expiring to Grace"),
            ("2025-03-17 00:00", "2.2", "grace over: Grace to FreeMode"),
        ] == coming(begin("2025-01-01"))

    def test_an_announcement_apart_from_expiring(self, begin: Begin) -> None:
        """Under veeam-13 the expiry is announced 30 days before: at the start of 15 January."""
        first = coming(begin("2025-01-01", policy="veeam-13"))[0]
        assert ("2025-01-15 00:00", "8.2", "the coming expiry is announced") == first

    def test_an_announcement_that_was_made(self, begin: Begin) -> None:
        """What was told is not told again."""
        story = begin("2025-01-20", policy="veeam-13")
        story.advance("2025-01-20")
        assert "8.2" not in [item[1] for item in coming(story)]

    @pytest.mark.parametrize(
        ("start", "outcome", "expected"),
        [
            ("2025-01-01T09:00", "up_to_date", ("2025-01-08 09:00", "3.1, 3.2", "the server is asked, by cadence")),
            ("2025-02-10T09:00", "up_to_date", ("2025-02-11 09:00", "3.1, 3.2", "the server is asked, by cadence")),
            (
                "2025-02-10T09:00",
                "generation_failed",
                ("2025-02-11 09:00", "4.2", "the server is asked, after the retry interval"),
            ),
        ],
    )
    def test_the_next_question(self, begin: Begin, script: type, start: str, outcome: str, expected: tuple) -> None:
        """A week later, a day later from Expiring on, or after the retry interval; then the deadline's."""
        story = begin(start)
        story.enable()
        story.advance(start, server=script(outcome))
        last = "the server is asked, one last time: without a new key automatic update disables itself"
        asked = [item for item in coming(story, whole=True) if "asked" in item[2]]
        assert [expected, ("2025-03-15 00:00", "5.1", last)] == asked

    def test_the_server_says_when(self, begin: Begin, script: type) -> None:
        """A Retry-After takes the place of the interval: ten minutes, not an hour."""
        story = begin("2025-01-01T09:00")
        story.enable()
        story.advance("2025-01-01T09:00", server=script(Answer("connection_failed", retry_after=10 * instants.MINUTE)))
        assert ("2025-01-01 09:10", "4.2") == coming(story)[0][:2]

    def test_a_deadline_that_was_slept_over(self, begin: Begin) -> None:
        """A host that slept past the deadline is not held to it, and that is told of the overdue question."""
        story = begin("2025-03-10", auto_update="Scheduled")
        story.clock.move_to("2025-03-20")
        assert ("2025-03-15 00:00", "5.2") in [item[:2] for item in coming(story)]

    def test_an_answer_is_awaited(self, begin: Begin) -> None:
        """In Checking the answer comes at a time that nobody knows."""
        story = begin("2025-01-01")
        story.check_now()
        assert (None, "7.3", "the answer to attempt 1 is awaited") == coming(story)[0]

    def test_only_the_deadline_is_left(self, begin: Begin) -> None:
        """A retry that would come after the deadline gives way to it."""
        story = begin("2025-03-14T12:00", auto_update="Retrying")
        assert [("2025-03-15 00:00", "5.1"), ("2025-03-17 00:00", "2.2")] == [item[:2] for item in coming(story)]

    def test_without_a_deadline(self, begin: Begin, script: type) -> None:
        """A perpetual license is asked for every week, for good."""
        story = begin("2025-01-01", expires=None)
        story.enable()
        story.advance("2025-01-01", server=script("up_to_date"))
        assert [("2025-01-08 00:00", "3.1, 3.2", "the server is asked")] == coming(story)

    def test_what_was_missed(self, begin: Begin) -> None:
        """A host that slept over a deadline finds it overdue."""
        story = begin("2025-02-01")
        story.clock.move_to("2025-02-10")
        assert ("2025-02-07 00:00", "1.4", "overdue: expiring: Valid to Expiring") == coming(story)[0]

    def test_a_target_that_failed(self, begin: Begin) -> None:
        """A key that could not be written is written again after an hour."""
        story = begin("2025-01-01T09:00", targets=("backup server",))

        class Full:
            def write(self, _key: licfsm.LicenseKey, /) -> str:
                return "no space"

        story.install(story.renewal(issued="2025-01-02", expires="2026-01-01"))
        story.advance("2025-01-01T09:10", targets={"backup server": Full()})
        assert ("2025-01-01 10:00", "4.4", "the key is written to backup server again") == coming(story)[0]


class TestMay:
    def test_in_free_mode(self, begin: Begin) -> None:
        """Paid operations are refused, and with which words."""
        told = begin("2025-04-01", policy="veeam-13").explain()
        assert (
            {"paid": False, "free": True, "always": True},
            "License key has expired; paid jobs fail, restoring works",
        ) == (
            told.allows,
            told.refused,
        )

    def test_nothing_is_refused_in_grace(self, begin: Begin) -> None:
        """In Grace everything works."""
        assert begin("2025-02-16").explain().refused is None

    def test_each_command_is_tried_on_the_table(self, begin: Begin) -> None:
        """What each command would do now is what its row says."""
        stays = "the state stays, and the report says where automatic update is off"
        choices = {choice.command: (choice.rule, choice.text) for choice in begin("2025-04-01").explain().choices}
        assert {
            "enable": ("5.2", "Off to Checking, enabling past the deadline grants 24 hours, each time"),
            "disable": ("6.2", "already off"),
            "check_now": ("6.3", "Off to Checking, asks once, and remembers where it came from"),
            "install": (
                "6.5",
                f"a key that expires later is in force at once; {stays}",
            ),
        } == choices


class TestForms:
    def test_words(self, begin: Begin, script: type) -> None:
        """The text fits 80 columns and holds all that a ticket needs."""
        story = begin("2025-02-16T09:00")
        story.enable()
        story.advance("2025-02-16T09:00", server=script(Answer("generation_failed")))
        text = str(story.explain())
        assert max(map(len, text.splitlines())) <= 80
        for part in (
            "Entitlement: Grace. Automatic update: Retrying.",
            "  2025-02-15 00:00  the policy grants a grace period (2.2)\n",
            "The key expired at 2025-02-15 00:00.\n",
            "  2025-02-17 09:00  the server is asked, after the retry interval (4.2)\n",
            "License information: Expired (29 days of grace period remaining)",
            "Warning on paid jobs: License key has expired, 29 days of grace period",
            "operations allowed: paid, free, always (2.3)",
        ):
            assert part in text

    def test_words_of_the_expiry(self, begin: Begin) -> None:
        """When the key expires is told, and when it never does."""
        assert "The key expires at 2025-02-15 00:00.\n" in str(begin("2025-01-01").explain())
        assert "The key does not expire.\n" in str(begin("2025-01-01", expires=None).explain())

    def test_words_where_nothing_comes(self, begin: Begin) -> None:
        """At the end of a life nothing comes, and what is refused is told."""
        text = str(begin("2025-04-01").explain())
        assert "if nothing else happens\n  nothing\n" in text
        assert "operations refused: paid (2.3)" in text

    def test_json(self, begin: Begin) -> None:
        """The same as plain values, instants in UTC."""
        told = begin("2025-02-16", zone="Europe/Berlin").explain().as_dict()
        assert (1, {"entitlement": "Grace", "auto_update": "Off"}, "2025-02-14T23:00:00+00:00") == (
            told["version"],
            told["state"],
            told["why"][0]["at"],
        )

    def test_a_license_shows_itself(self, begin: Begin) -> None:
        """In a shell a license says whose it is and where it stands."""
        assert "<License ACME-1 (subscription, veeam-9): Grace / Off>" == repr(begin("2025-02-16"))
