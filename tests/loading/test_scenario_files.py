import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from licfsm import instants
from licfsm.errors import InvalidFile
from licfsm.instants import DAY, HOUR, MINUTE, NEVER, SECOND
from licfsm.loading.scenarios import load_scenario, scenario_files
from licfsm.scenario.story import NOW, Expect, HostDoes, ServerAnswers, Story, WorldChanges

Mistakes = Callable[[str], list[str]]
Load = Callable[[str], Story]
Write = Callable[..., Path]


def times(story: Story) -> list[str]:
    return [instants.isoformat(entry.at) for entry in story.entries]


class TestForm:
    def test_everything_missing(self, mistakes: Mistakes) -> None:
        """All keys that may not be missing are told at once."""
        missing = ["license", "policy", "start", "version"]
        assert [f"1:1: '{key}' is missing" for key in missing] == mistakes("scenario: x\n")

    def test_type_may_not_be_missing(self, mistakes: Mistakes) -> None:
        """A license without a type is told where the license begins."""
        assert ["3:10: 'type' is missing"] == mistakes("version: 1\npolicy: veeam-9\nlicense: {}\nstart: 2025-01-01\n")

    @pytest.mark.parametrize("version", ["2", "one", "v2"])
    def test_an_unknown_version(self, mistakes: Mistakes, version: str) -> None:
        """There is one version."""
        told = mistakes(f"version: {version}\npolicy: veeam-9\nlicense: {{type: nfr}}\nstart: 2025-01-01\n")
        hint = (
            "this licfsm reads version 1 of the file format: write 'version: 1', or update licfsm if the file is newer"
        )
        assert [f"1:10: unknown version '{version}'; {hint}"] == told

    @pytest.mark.parametrize(
        ("head", "mistake"),
        [
            ("policy: veeam-91\nlicense: {type: nfr}", "2:9: there is no policy 'veeam-91'; did you mean 'veeam-9'?"),
            ("policy: x.yml\nlicense: {type: nfr}", "2:9: there is no policy file 'x.yml'; a path starts beside the file that names it, or where you are"),
            ("policy: '\\'\nlicense: {type: nfr}", "2:9: there is no policy '\\\\\\\\'; one of veeam-13, veeam-7, veeam-8, veeam-9"),
            ("policy: ~\nlicense: {type: nfr}", "2:9: must be a text, not nothing"),
            ("policy: []\nlicense: {type: nfr}", "2:9: must be a text, not a list"),
            ("policy: veeam-9\nlicense: nfr", "3:10: must be a mapping of type, id, expires, zone, issued, product, edition, holder; not a text"),
            ("policy: veeam-9\nlicense: {type: nfl}", "3:17: policy veeam-9 knows no license type 'nfl'; did you mean 'nfr'?"),
            ("policy: veeam-9\nlicense: {type: N F}", "3:17: license type 'N F' must be 1 to 64 of the characters a-z 0-9 _ -"),
            ("policy: veeam-9\nlicense: {type: nfr, id: a b}", "3:26: license id 'a b' must be 1 to 64 of the characters A-Z a-z 0-9 . _ -"),
            ("policy: veeam-9\nlicense: {type: nfr, zone: Europe/Belin}", "3:28: there is no time zone 'Europe/Belin'; did you mean 'Europe/Berlin'?"),
            ("policy: veeam-9\nlicense: {type: nfr, zone: ../x}", "3:28: there is no time zone '../x'; use an IANA name such as UTC or Europe/Berlin"),
            ("policy: veeam-9\nlicense: {type: nfr, expires: 9000-01-02}", "3:31: expiry 9000-01-02 lies after 9000-01-01; leave it out for a perpetual key"),
            ("policy: veeam-9\nlicense: {type: nfr, expires: 0999-12-31}", "3:31: '0999-12-31' lies outside the years 1000 to 9500"),
            ("policy: veeam-9\nlicense: {type: nfr, expires: 1000-01-01T00:00Z, zone: America/New_York}", "3:31: expiry 0999-12-31 lies before the year 1000"),
            ("policy: veeam-9\nlicense: {type: nfr, expires: start}", "3:31: 'start' has no meaning here; write a time"),
            ("policy: veeam-9\nlicense: {type: nfr, expires: expiry}", "3:31: 'expiry' has no meaning here: the first key has none; write a time"),
            ("policy: veeam-9\nlicense: {type: nfr, issued: now}", "3:30: 'now' has a meaning as signed_time only; write a time"),
            ("policy: veeam-9\nlicense: {type: nfr, product: [a]}", "3:31: must be a text, not a list"),
        ],
    )  # fmt: skip
    def test_a_mistake_of_the_first_key(self, mistakes: Mistakes, head: str, mistake: str) -> None:
        """Each mistake about policy and license is told with its place."""
        assert [mistake.replace("\\\\\\\\", "\\\\")] == mistakes(f"version: 1\n{head}\nstart: 2025-01-01\n")

    @pytest.mark.parametrize(
        ("start", "mistake"),
        [
            ("2025-02-30", "'2025-02-30' is not in the calendar"),
            ("12:30", "'12:30' is no time; write 2025-02-14T09:00, start, expiry, or expiry + 2 days"),
            ("2025-01-01T24:01", "'2025-01-01T24:01' is not in the calendar"),
            ("2025-01-01T00:00:00.0001", "'2025-01-01T00:00:00.0001' is finer than a millisecond"),
            ("9500-01-02", "'9500-01-02' lies outside the years 1000 to 9500"),
            ("1000-01-01 - 1 second", "the time lies outside the years 1000 to 9500"),
            ("start", "'start' has no meaning here; write a time"),
            ("expiry", "'expiry' has no meaning here: the first key has none; write a time"),
            ("2025-01-01 + 1 dag", "'1 dag' is no length of time; write a number and one of seconds, minutes, hours, days, weeks, months"),
            ("2025-01-01 + 9999999 months", "'9999999 months' is longer than this engine counts (10000 years)"),
            ("2025-01-01 + 100000 months", "100000 months from 2025-01-01 is beyond the calendar"),
            ("2025-01-01 + 90000 months", "the time lies outside the years 1000 to 9500"),
            ("2025-01-01 - 14000 months", "the time lies outside the years 1000 to 9500"),
            ("2025-01-01 + 1234567890123 days", "'2025-01-01 + 1234567890123 days' is no time; write 2025-02-14T09:00, start, expiry, or expiry + 2 days"),
            ("~", "must be a text, not nothing"),
        ],
    )  # fmt: skip
    def test_a_mistake_in_a_time(self, mistakes: Mistakes, start: str, mistake: str) -> None:
        """What is wrong with a time is told where it stands."""
        told = mistakes(f"version: 1\npolicy: veeam-9\nlicense: {{type: nfr}}\nstart: {start}\n")
        assert [f"4:8: {mistake}"] == told

    @pytest.mark.parametrize(
        ("rest", "mistake"),
        [
            ("timelin: []\n", "5:1: unknown key 'timelin'; did you mean 'timeline'?"),
            ("timeline: {at: start}\n", "5:11: must be a list, not a mapping"),
            ("timeline: [start]\n", "5:12: must be a mapping of at, server, world, host, expect; not a text"),
            ("timeline: [{host: enable}]\n", "5:12: 'at' is missing"),
            ("timeline: [{at: start}]\n", "5:12: the entry says nothing; give it a server, host, world or expect"),
            ("timeline: [{at: start, world: {}}]\n", "5:12: the entry says nothing; give it a server, host, world or expect"),
            ("timeline: [{at: start, host: enabel}]\n", "5:30: unknown word 'enabel'; did you mean 'enable'?"),
            ("timeline: [{at: start, host: {do: enabel}}]\n", "5:35: unknown word 'enabel'; did you mean 'enable'?"),
            ("timeline: [{at: start, host: {until: start}}]\n", "5:30: 'do' is missing"),
            ("timeline: [{at: start, server: up}]\n", "5:32: unknown word 'up'; one of answer_rejected, connection_failed, contract_terminated, generation_failed, key_rejected, new_key, request_refused, unsupported_type, up_to_date"),
            ("timeline: [{at: start, server: {answer: up_to_date, takes: 1 month}}]\n", "5:60: '1 month' must be a number of seconds, minutes, hours or days"),
            ("timeline: [{at: start, server: {answer: up_to_date, expires: 2026-01-01}}]\n", "5:53: 'expires' goes with the answer new_key only"),
            ("timeline: [{at: start, server: {answer: new_key, type: trail}}]\n", "5:56: policy veeam-9 knows no license type 'trail'; did you mean 'trial'?"),
            ("timeline: [{at: start, server: {answer: new_key, expires: 9000-01-02}}]\n", "5:59: expiry 9000-01-02 lies after 9000-01-01; leave it out for a perpetual key"),
            ("timeline: [{at: start, server: {answer: up_to_date, signed_time: then}}]\n", "5:66: 'then' is no time; write 2025-02-14T09:00, start, expiry, or expiry + 2 days"),
            ("timeline: [{at: start, server: {answer: up_to_date, signed_time: now + 1 day}}]\n", "5:66: 'now' has a meaning as signed_time only; write a time"),
            ("timeline: [{at: start, host: {do: enable, force: true}}]\n", "5:43: 'force' goes with do: install only"),
            ("timeline: [{at: start, host: {do: install, force: yes}}]\n", "5:51: 'yes' must be true or false"),
            ("timeline: [{at: start, host: {do: install, until: start}}]\n", "5:44: 'until' goes with do: suspend only"),
            ("timeline: [{at: start, host: suspend}]\n", "5:30: 'until' is missing: when does the host wake up?"),
            ("timeline: [{at: start, host: {do: suspend}}]\n", "5:30: 'until' is missing: when does the host wake up?"),
            ("timeline: [{at: start, host: {do: suspend, until: start}}]\n", "5:51: a suspend must end after it began"),
            ("timeline: [{at: start, world: {mail: of}}]\n", "5:38: unknown word 'of'; one of down, up"),
            ("timeline: [{at: start, world: {target: fail}}]\n", "5:40: unknown word 'fail'; did you mean 'fails'?"),
            ("timeline: [{at: start, world: {policy: veeam-10}}]\n", "5:40: there is no policy 'veeam-10'; did you mean 'veeam-13'?"),
            ("timeline: [{at: start, expect: {entitlement: Off}}]\n", "5:46: unknown word 'Off'; one of Expiring, FreeMode, Grace, Valid"),
            ("timeline: [{at: start, expect: {checks: -1}}]\n", "5:41: '-1' must be 0 or more"),
            ("timeline: [{at: start, expect: {checks: --1}}]\n", "5:41: '--1' is no whole number"),
            ("timeline: [{at: start, expect: {checks: 1.5}}]\n", "5:41: '1.5' is no whole number"),
            ("timeline: [{at: start, expect: {checks: ~}}]\n", "5:41: must be a text, not nothing"),
            ("timeline: [{at: start, expect: {checks: 1000000000000}}]\n", "5:41: '1000000000000' is no whole number"),
            ("timeline: [{at: start, expect: {checks: \u0663}}]\n", "5:41: '\u0663' is no whole number"),
            ("timeline: [{at: start, expect: {allows: {restore: true}}}]\n", "5:42: unknown job 'restore'; the scenario names no jobs"),
            ("jobs: {replicate: paid}\ntimeline: [{at: start, expect: {allows: {replicat: true}}}]\n", "6:42: unknown job 'replicat'; did you mean 'replicate'?"),
            ("jobs: {restore: payed}\n", "5:17: unknown word 'payed'; did you mean 'paid'?"),
            ("mail: never\n", "5:7: unknown word 'never'; one of every_failure, none, on_change, policy"),
            ("spread: 100 years\n", "5:9: '100 years' is no length of time; write a number and one of seconds, minutes, hours, days, weeks, months"),
            ("spread: 36601 days\n", "5:9: '36601 days' is longer than 100 years"),
            ("never: FreeMode\n", "5:8: must be a list, not a text"),
            ("never: [Free]\n", "5:9: unknown word 'Free'; did you mean 'FreeMode'?"),
            ("reaches: [Valid, valid]\n", "5:18: unknown word 'valid'; did you mean 'Valid'?"),
            ("until: start - 1 day\n", "5:8: the story ends before its last entry, 2025-02-10T09:00:00+00:00"),
            ("until: start\ntimeline: [{at: expiry, host: enable}]\n", "5:8: the story ends before its last entry, 2025-02-15T00:00:00+00:00"),
            ("timeline: [{at: start - 1 day, host: enable}]\n", "5:17: goes back in time: the start is at 2025-02-10T09:00:00+00:00"),
        ],
    )  # fmt: skip
    def test_a_mistake_of_the_rest(self, rest_mistakes: Mistakes, rest: str, mistake: str) -> None:
        """Each mistake is told with its place, and the nearest right word."""
        assert [mistake] == rest_mistakes(rest)

    def test_several_mistakes(self, rest_mistakes: Mistakes) -> None:
        """Mistakes of form and of the whole are told together, in the file's order."""
        rest = """until: start - 1 day
neverr: []
timeline:
  - {at: start + 1 day, host: enabel}
  - {at: expiry, server: {answer: nope}, expect: {checks: x, cheks: 1}}
  - {at: start, host: {do: suspend, until: expiry}}
  - {at: expiry - 1 day, host: enable}
  - {at: start, expect: {checks: 0}}
"""
        places = ["5:8", "6:1", "8:31", "9:35", "9:59", "9:62", "11:26", "12:10"]
        assert places == [told.split(": ")[0] for told in rest_mistakes(rest)]

    def test_mistakes_that_leave_nothing(self, mistakes: Mistakes) -> None:
        """Where nothing sensible remains, the mistakes of form are told alone."""
        assert ["1:10", "2:9", "3:17", "4:8"] == [
            told.split(": ")[0] for told in mistakes("version: 2\npolicy: x\nlicense: {type: X}\nstart: y\n")
        ]

    def test_an_alias_with_a_mistake(self, rest_mistakes: Mistakes) -> None:
        """A mistake behind an alias is told where it was written."""
        rest = "timeline:\n  - &e {at: start, host: enabel}\n  - *e\n"
        assert ["6:26", "6:26"] == [told.split(": ")[0] for told in rest_mistakes(rest)]

    def test_a_mistake_in_a_policy_beside_it(self, write: Write, tmp_path: Path) -> None:
        """A mistake in the policy's file is told by that file's name."""
        write("version: 1\npolicy: own\nextends: veeam-9\nexpiring: x\n", "own.yaml")
        path = write("version: 1\npolicy: own.yaml\nlicense: {type: nfr}\nstart: 2025-01-01\n")
        with pytest.raises(InvalidFile) as caught:
            load_scenario(path)
        assert [(str(tmp_path / "own.yaml"), 4, 11)] == [(m.file, m.line, m.column) for m in caught.value.mistakes]

    def test_a_type_that_a_later_policy_lacks(self, write: Write, rest_mistakes: Mistakes) -> None:
        """Every policy of the story must know every type."""
        write("version: 1\npolicy: own\nextends: veeam-9\ngrace: {site: none}\n", "own.yaml")
        rest = (
            "timeline: [{at: start, world: {policy: own.yaml}}, {at: start, server: {answer: new_key, type: site}}]\n"
        )
        assert ["5:96: policy veeam-9 knows no license type 'site'; did you mean 'nfr'?"] != rest_mistakes(rest)
        assert ["5:96"] == [told.split(": ")[0] for told in rest_mistakes(rest)]


class TestTimes:
    @pytest.mark.parametrize(
        ("written", "instant"),
        [
            ("start", "2025-02-10T09:00:00+00:00"),
            ("start+2 days", "2025-02-12T09:00:00+00:00"),
            ("start + 1 month + 1 week - 2 hours", "2025-03-17T07:00:00+00:00"),
            ("expiry", "2025-02-15T00:00:00+00:00"),
            ("expiry - 1 second", "2025-02-14T23:59:59+00:00"),
            ("2025-02-12", "2025-02-12T00:00:00+00:00"),
            ("2025-02-12T10:00+02:00", "2025-02-12T08:00:00+00:00"),
            ("2025-02-12 10:00:00.250Z", "2025-02-12T10:00:00.250000+00:00"),
            ("2025-02-12 + 1 day", "2025-02-13T00:00:00+00:00"),
        ],
    )
    def test_a_time(self, story: Load, written: str, instant: str) -> None:
        """Times are dates, ISO times, start and expiry, and steps from them."""
        found = story(f"timeline: [{{at: '{written}', host: enable}}]\n").entries[0].at
        assert instants.to_ms(dt.datetime.fromisoformat(instant)) == found

    @pytest.mark.parametrize(
        ("written", "instant"),
        [
            ("2025-03-30T02:30", "2025-03-30T01:30:00+00:00"),  # in the gap: 03:30 CEST
            ("2025-10-26T02:30", "2025-10-26T00:30:00+00:00"),  # twice: the first, CEST
            ("2025-03-29T02:30 + 1 day", "2025-03-30T01:30:00+00:00"),
            ("2025-03-29T02:30 + 24 hours", "2025-03-30T01:30:00+00:00"),
            ("2025-03-29T12:00 + 1 day", "2025-03-30T10:00:00+00:00"),
            ("2025-03-29T12:00 + 24 hours", "2025-03-30T11:00:00+00:00"),
            ("2025-07-01", "2025-06-30T22:00:00+00:00"),
            ("2025-07-01T00:00Z", "2025-07-01T00:00:00+00:00"),
            ("expiry", "2025-02-14T23:00:00+00:00"),
        ],
    )
    def test_a_local_time(self, write: Write, written: str, instant: str) -> None:
        """Times without an offset are in the license's zone; days step by its wall clock, hours are exact."""
        text = f"""version: 1
policy: veeam-9
license: {{type: nfr, expires: 2025-02-14, zone: Europe/Berlin}}
start: 2025-01-01
timeline: [{{at: '{written}', host: enable}}]
"""
        assert [instant] == times(load_scenario(write(text)))

    def test_a_day_that_begins_before_the_calendar(self, mistakes: Mistakes) -> None:
        """The first day of the year 1000 begins too early in Tokyo."""
        text = "version: 1\npolicy: veeam-9\nlicense: {type: nfr, zone: Asia/Tokyo}\nstart: 1000-01-01\n"
        assert ["4:8: '1000-01-01' lies outside the years 1000 to 9500"] == mistakes(text)

    def test_a_start_may_stand_on_the_expiry(self, write: Write) -> None:
        """The start may be told from the first key's expiry: 15 February 00:00, less a week."""
        text = "version: 1\npolicy: veeam-9\nlicense: {type: nfr, expires: 2025-02-14}\nstart: expiry - 1 week\n"
        assert "2025-02-08T00:00:00+00:00" == instants.isoformat(load_scenario(write(text)).start)

    def test_an_exact_expiry(self, write: Write) -> None:
        """An expiry with a time is that instant."""
        text = "version: 1\npolicy: veeam-9\nlicense: {type: nfr, expires: 2025-02-14T12:00}\nstart: 2025-01-01\n"
        assert 1_739_534_400 * SECOND == load_scenario(write(text)).key.expires_at  # date -u -d 2025-02-14T12:00 +%s

    def test_entries_that_go_back(self, rest_mistakes: Mistakes) -> None:
        """An entry before the latest one so far is told, at its time."""
        rest = "timeline:\n  - {at: start + 2 days, host: enable}\n  - {at: start + 1 day, host: disable}\n"
        told = ["7:10: goes back in time: the entry before is at 2025-02-12T09:00:00+00:00"]
        assert told == rest_mistakes(rest)

    def test_all_that_go_back(self, rest_mistakes: Mistakes) -> None:
        """Each entry is compared with the latest before it, not only with its neighbor."""
        rest = "timeline:\n" + "".join(f"  - {{at: start + {days} days, host: enable}}\n" for days in (3, 1, 2, 3))
        assert ["7:10", "8:10"] == [told.split(": ")[0] for told in rest_mistakes(rest)]

    def test_the_end_may_be_the_last_entry(self, story: Load) -> None:
        """A story may end at the instant of its last entry."""
        found = story("until: expiry\ntimeline: [{at: expiry, host: enable}]\n")
        assert found.entries[0].at == found.end

    def test_the_latest_expiry(self, write: Write) -> None:
        """A key may expire at 9000-01-01, and no later."""
        text = "version: 1\npolicy: veeam-9\nlicense: {type: nfr, expires: 9000-01-01}\nstart: 2025-01-01\n"
        assert "9000-01-01" == str(load_scenario(write(text)).key.expires)

    def test_entries_at_one_instant(self, story: Load) -> None:
        """Entries at one instant keep the order of the file."""
        rest = "timeline: [{at: start, host: enable}, {at: start, host: disable}]\n"
        assert ["enable", "disable"] == [entry.what.action for entry in story(rest).entries]

    def test_the_clock_must_stay_in_the_calendar(self, rest_mistakes: Mistakes) -> None:
        """A clock set so far forward that it leaves the calendar before the end is told at its time."""
        rest = "until: 2026-02-10\ntimeline: [{at: start, world: {clock: 9499-06-01}}]\n"
        told = ["6:39: the host's clock would run past the year 9500 before the story ends"]
        assert told == rest_mistakes(rest)

    def test_a_clock_may_be_far_ahead_for_a_while(self, story: Load) -> None:
        """A clock that is set back before it leaves the calendar is fine."""
        rest = (
            "until: 2026-02-10\ntimeline: [{at: start, world: {clock: 9499-06-01}}, "
            "{at: start + 1 day, world: {clock: start + 1 day}}]\n"
        )
        assert 2 == len(story(rest).entries)


class TestSuspend:
    def test_the_host_can_do_nothing(self, rest_mistakes: Mistakes) -> None:
        """A host entry inside a suspend is told at its key."""
        rest = """timeline:
  - {at: start, host: {do: suspend, until: start + 1 day}}
  - {at: start + 1 day - 1 second, host: enable}
"""
        told = ["7:36: the host is suspended until 2025-02-11T09:00:00+00:00, it can do nothing"]
        assert told == rest_mistakes(rest)

    def test_it_may_act_as_it_wakes(self, story: Load) -> None:
        """At the instant of waking the host can act again."""
        rest = """timeline:
  - {at: start, host: {do: suspend, until: start + 1 day}}
  - {at: start + 1 hour, world: {mail: down}, server: up_to_date, expect: {checks: 0}}
  - {at: start + 1 day, host: {do: suspend, until: start + 2 days}}
"""
        assert 5 == len(story(rest).entries)


class TestStory:
    def test_its_defaults(self, story: Load) -> None:
        """What is not given has a default: the file's name, no spread, the policy's mail, an end at the start."""
        found = story("")
        assert ("story", 0, None, {}, found.start, (4, 8)) == (
            found.name,
            found.spread.ms,
            found.mail,
            found.jobs,
            found.end,
            found.end_place,
        )

    def test_what_is_given(self, story: Load) -> None:
        """Title, spread, mail, jobs and states are taken as they are written."""
        rest = "scenario: Off\nspread: 1 day\nmail: on_change\njobs: {x: free}\nnever: [Off]\nreaches: [Valid]\nuntil: expiry\n"
        found = story(rest)
        assert ("Off", DAY, "on_change", {"x": "free"}, ("Off",), ("Valid",), (11, 8)) == (
            found.name,
            found.spread.ms,
            found.mail,
            found.jobs,
            found.never,
            found.reaches,
            found.end_place,
        )

    def test_its_end_without_until(self, story: Load) -> None:
        """Without until, it ends with its last entry."""
        found = story("timeline:\n  - {at: expiry, host: enable}\n")
        assert (found.key.expires_at, (6, 10)) == (found.end, found.end_place)

    def test_the_key(self, write: Write) -> None:
        """Every field of the first key is taken; it was issued at the start unless told."""
        text = """version: 1
policy: veeam-9
license: {type: nfr, id: A-1, product: P, edition: E, holder: H, zone: Asia/Tokyo, issued: 2025-01-01}
start: 2025-02-01
"""
        key = load_scenario(write(text)).key
        assert ("nfr", "A-1", "P", "E", "H", "Asia/Tokyo", NEVER) == (
            key.type, key.id, key.product, key.edition, key.holder, key.zone.name, key.expires_at,
        )  # fmt: skip
        assert "2024-12-31T15:00:00+00:00" == instants.isoformat(key.issued_at)

    def test_the_key_is_issued_at_the_start(self, story: Load) -> None:
        """Without a time of issue, the first key was issued at the start."""
        found = story("")
        assert found.start == found.key.issued_at

    def test_its_file_may_be_named(self, write: Write) -> None:
        """A caller may choose how the file is called."""
        text = "version: 1\npolicy: veeam-9\nlicense: {type: nfr}\nstart: 2025-02-01\n"
        assert "mine" == load_scenario(write(text), "mine").file

    def test_an_answer(self, story: Load) -> None:
        """All that an answer may carry is taken."""
        rest = (
            "timeline: [{at: start, server: {answer: new_key, expires: 2026-01-01, type: rental, issued: 2025-01-05, "
            "retry_after: 10 minutes, takes: 30 seconds, signed_time: now}}]\n"
        )
        answer = story(rest).entries[0].what
        assert isinstance(answer, ServerAnswers)
        assert ("new_key", 10 * MINUTE, 30 * SECOND, NOW) == (
            answer.outcome, answer.retry_after, answer.takes, answer.signed_time,
        )  # fmt: skip
        assert ("2026-01-01", "rental", True) == (str(answer.offer.expires), answer.offer.type, answer.offer.stated)

    def test_a_signed_time(self, story: Load) -> None:
        """A signed time may be any time of the story."""
        answer = story("timeline: [{at: start, server: {answer: up_to_date, signed_time: expiry}}]\n").entries[0].what
        assert 1_739_577_600 * SECOND == answer.signed_time  # 2025-02-15

    def test_an_offer_is_issued_at_its_entry(self, story: Load) -> None:
        """A key is issued when its entry stands, unless told."""
        found = story("timeline: [{at: start + 1 hour, host: {do: install, force: true}}]\n")
        does = found.entries[0].what
        assert isinstance(does, HostDoes)
        assert (None, found.start + HOUR, False, True) == (
            does.offer.expires, does.offer.issued, does.offer.stated, does.force,
        )  # fmt: skip

    def test_the_world(self, story: Load) -> None:
        """One entry may change several things of the world, in the order in which they are written."""
        rest = "timeline: [{at: start, world: {target: ok, mail: down, clock: expiry, policy: veeam-7}}]\n"
        changes = [entry.what for entry in story(rest).entries]
        assert all(isinstance(change, WorldChanges) for change in changes)
        assert [True, False, 1_739_577_600 * SECOND, "veeam-7"] == [
            changes[0].target, changes[1].mail, changes[2].clock, changes[3].policy.name,
        ]  # fmt: skip

    def test_nothing_changes_nothing(self, story: Load) -> None:
        """A world key that is null changes nothing; the others of its entry count."""
        rest = "timeline: [{at: start, world: {clock: ~, policy: ~, target: ~, mail: up}}]\n"
        assert [True] == [entry.what.mail for entry in story(rest).entries]

    def test_expectations(self, story: Load) -> None:
        """Only what is given is expected; nothing is a value of its own."""
        rest = (
            "jobs: {x: paid}\ntimeline: [{at: start, expect: {warning: ~, days_remaining: ~, next_check: expiry, "
            "status: 010, checks: 010, allows: {x: False}}}]\n"
        )
        expect = story(rest).entries[0].what
        assert isinstance(expect, Expect)
        assert {
            "warning": None,
            "days_remaining": None,
            "next_check": 1_739_577_600 * SECOND,
            "status": "010",
            "checks": 10,
            "allows.x": False,
        } == expect.values

    def test_no_next_check_is_expected(self, story: Load) -> None:
        """That there is no next question can be expected."""
        assert {"next_check": None} == story("timeline: [{at: start, expect: {next_check: ~}}]\n").entries[
            0
        ].what.values

    def test_null_sections_are_left_out(self, story: Load) -> None:
        """A section of an entry that is null is as if it were not there."""
        assert 1 == len(story("timeline: [{at: start, server: ~, world: ~, host: ~, expect: {checks: 0}}]\n").entries)


class TestFiles:
    def test_folders_are_searched(self, tmp_path: Path) -> None:
        """Files stand in the order given, folders are searched through and sorted."""
        for name in ("b/z.yaml", "b/a/x.yml", "b/a/notes.txt", "c.yaml", "b/folder.yaml/y.yaml"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        found = scenario_files([str(tmp_path / "c.yaml"), str(tmp_path / "b"), "none.yaml"])
        names = ["c.yaml", "b/a/x.yml", "b/folder.yaml/y.yaml", "b/z.yaml"]
        assert [*(tmp_path / name for name in names), Path("none.yaml")] == found

    def test_pipes_in_folders_are_left_out(self, tmp_path: Path) -> None:
        """A named pipe in a folder is no scenario."""
        os.mkfifo(tmp_path / "pipe.yaml")
        assert [] == scenario_files([str(tmp_path)])

    @pytest.mark.parametrize("name", ["a" * 5_000, "a\0b"])
    def test_an_impossible_name(self, name: str) -> None:
        """A name that cannot be one is passed on, for the reader to refuse."""
        assert [Path(name)] == scenario_files([name])


def test_a_policy_in_a_folder_is_no_scenario(tmp_path: Path) -> None:
    """Replaying a folder leaves out the policies that lie in it."""
    (tmp_path / "acme.yaml").write_text("version: 1\npolicy: acme\nextends: veeam-9\n", encoding="utf-8")
    story = tmp_path / "story.yaml"
    story.write_text("version: 1\npolicy: acme.yaml\nlicense: {type: trial}\nstart: 2025-01-01\n", encoding="utf-8")
    assert [story] == scenario_files([str(tmp_path)])
