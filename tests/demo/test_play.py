import pytest

from licfsm import instants
from licfsm.demo.play import Act, Checked, Ended, Jobs, Mailed, Moved, Play, Repeated, Told, Written


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[Told]:
    """Live through the play once."""
    seen: list[Told] = []
    with Play.begun(tmp_path_factory.mktemp("demo"), seen.append) as play:
        play.run()
    return seen


def at(moment: str) -> int:
    """Read a time."""
    found = instants.parse_instant(moment, instants.UTC)
    assert isinstance(found, int)
    return found


class TestPlay:
    """The key is good through 14 February; veeam-9 gives a subscription 30 days of grace, and 28 of retrying."""

    def test_leads_through_the_states_of_a_license(self, told: list[Told]) -> None:
        """Seven days before, at the midnight after the last day, 30 days later, and by the new key."""
        moves = [(line.at, line.target) for line in told if isinstance(line, Moved) and line.region == "entitlement"]
        assert [
            (at("2025-02-07T00:00"), "Expiring"),
            (at("2025-02-15T00:00"), "Grace"),
            (at("2025-03-17T00:00"), "FreeMode"),
            (at("2025-03-20T09:30"), "Valid"),
        ] == moves

    def test_gives_up_openly(self, told: list[Told]) -> None:
        """28 days after 14 February, at the end of 14 March; the first question after the outage began failed."""
        moves = [(line.at, line.target) for line in told if isinstance(line, Moved) and line.region == "auto_update"]
        assert [
            (at("2025-02-01T10:15"), "Scheduled"),
            (at("2025-02-13T00:00"), "Retrying"),
            (at("2025-03-15T00:00"), "AutoUpdateDisabled"),
            (at("2025-03-20T09:30"), "Scheduled"),
        ] == moves

    def test_refuses_paid_jobs_without_a_license_alone(self, told: list[Told]) -> None:
        """In grace everything runs, the paid ones with a warning; a restore is never refused."""
        shown = [[job.runs for job in line.jobs] for line in told if isinstance(line, Jobs)]
        paid = [False, False, True, True]
        everything = [True] * 4
        assert [paid, everything, everything, paid, everything] == shown
        warned = [[bool(job.warning) for job in line.jobs] for line in told if isinstance(line, Jobs)]
        assert [True, True, False, False] == warned[2]

    def test_asks_every_hour_while_no_connection_can_be_had(self, told: list[Told]) -> None:
        """From 13 February 00:00 to 18 February 10:00 there are 131 hours, both ends counted."""
        first = next(place for place, line in enumerate(told) if isinstance(line, Checked) and line.failed)
        until = next(place for place, line in enumerate(told) if isinstance(line, Act) and "is back, but" in line.title)
        assert 130 == sum(line.times for line in told[first:until] if isinstance(line, Repeated))

    def test_writes_the_new_key_once_the_share_is_back(self, told: list[Told]) -> None:
        """The Enterprise Manager's is tried every hour; the backup server's was written at once."""
        written = [(line.at, line.target, line.done) for line in told if isinstance(line, Written)][2:]
        assert [
            (at("2025-03-20T09:30"), "backup server", True),
            (at("2025-03-20T09:30"), "Enterprise Manager", False),
            (at("2025-03-20T10:30"), "Enterprise Manager", False),
            (at("2025-03-20T11:30"), "Enterprise Manager", True),
        ] == written

    def test_mails_what_happens(self, told: list[Told]) -> None:
        """Each state and failure has its mail, which went through a mail server."""
        subjects = " / ".join(line.subject for line in told if isinstance(line, Mailed))
        for words in ("expires in 8 days", "auto-update failed", "30 days of grace", "has been disabled", "only free"):
            assert words in subjects

    def test_pulls_the_server(self, told: list[Told]) -> None:
        """While it is down there is none: the connection is refused, and nothing answers."""
        failed = [line.said for line in told if isinstance(line, Checked) and line.failed]
        assert "refused the connection" in failed[0]

    def test_asks_one_last_time(self, told: list[Told]) -> None:
        """At the end of 14 March, after 24 questions more in as many days: 19 February to 14 March, both counted."""
        (last,) = [place for place, line in enumerate(told) if isinstance(line, Checked) and line.last]
        before, line = told[last - 1], told[last]
        assert isinstance(before, Repeated)
        assert isinstance(line, Checked)
        assert (at("2025-02-19T11:00"), at("2025-03-14T11:00"), 24) == (before.at, before.until, before.times)
        assert (at("2025-03-15T00:00"), "the same result", None) == (line.at, line.said, line.next_at)

    def test_mails_a_lasting_failure_once_a_day_and_then_once_a_week(self, told: list[Told]) -> None:
        """By 8.2 with ``on_change``: on 13 to 18 February at 00:00, of another kind at 11:00, on seven days, twice more.

        That is one first mail of each kind, and 5 and 9 more.
        """
        assert 5 + 9 == sum(line.mails for line in told if isinstance(line, Repeated))
        failures = [line for line in told if isinstance(line, Mailed) and "auto-update failed" in line.subject]
        assert [at("2025-02-13T00:00"), at("2025-02-18T11:00")] == [line.at for line in failures]

    def test_tells_of_every_mail(self, told: list[Told]) -> None:
        """What is mailed again and again is counted; the mailbox has no other."""
        end = told[-1]
        assert isinstance(end, Ended)
        single = sum(isinstance(line, Mailed) for line in told)
        assert end.mails == single + sum(line.mails for line in told if isinstance(line, Repeated))

    def test_ends_with_a_valid_license(self, told: list[Told]) -> None:
        """14 February 2026 is 320 days after 1 April 2025, its last day counted; both servers hold the key."""
        end = told[-1]
        assert isinstance(end, Ended)
        assert "Valid (320 days until expiration)" == end.status.text
        assert [("backup server", True), ("Enterprise Manager", True)] == end.held
        assert ["file copy", "restore"] == end.always
