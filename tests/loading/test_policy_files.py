from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

import licfsm
from licfsm.errors import InvalidFile, InvalidValue
from licfsm.instants import DAY, HOUR, Span
from licfsm.loading.policies import available, built_in, find_policy, load_policy

Mistakes = Callable[[str], list[str]]
Write = Callable[..., Path]

HEAD = "version: 1\npolicy: own\nextends: veeam-9\n"


@pytest.fixture
def changed(policy_mistakes: Mistakes) -> Mistakes:
    """Give the mistakes of a policy that extends veeam-9 by the lines from the fourth on."""
    return lambda rest: policy_mistakes(HEAD + rest)


class TestBuiltIn:
    def test_they_are_named(self) -> None:
        """The built-in policies are those of the four product versions, in the order of their names."""
        assert ("veeam-13", "veeam-7", "veeam-8", "veeam-9") == available()

    @pytest.mark.parametrize("name", available())
    def test_each_bears_its_name(self, name: str) -> None:
        """A built-in policy's name is its file's."""
        assert name == built_in(name).name

    def test_an_unknown_name(self) -> None:
        """The nearest name is told."""
        with pytest.raises(InvalidValue, match=r"^there is no policy 'veeam9'; did you mean 'veeam-\d'\?$"):
            built_in("veeam9")

    @pytest.mark.parametrize(
        ("name", "kind", "grace"),
        [
            ("veeam-8", "subscription", Span(days=14)),
            ("veeam-9", "subscription", Span(days=30)),
            ("veeam-9", "rental", Span(months=2)),
            ("veeam-9", "perpetual", None),
            ("veeam-9", "trial", None),
        ],
    )
    def test_their_grace(self, name: str, kind: str, grace: Span | None) -> None:
        """rules.md 2.1."""
        assert grace == built_in(name).grace[kind]


class TestExtends:
    def test_what_differs_counts(self, write: Write) -> None:
        """A policy that extends another says only what differs; below a key it is laid over key by key."""
        own = load_policy(write(HEAD + "grace: {nfr: 3 days}\n"))
        assert (Span(days=3), Span(days=30)) == (own.grace["nfr"], own.grace["subscription"])

    def test_a_list_of_types_may_grow(self, write: Write) -> None:
        """A license type of one's own needs only a grace period."""
        assert Span(months=1) == load_policy(write(HEAD + "grace: {site: 1 month}\n")).grace["site"]

    def test_a_file_beside_it(self, write: Write) -> None:
        """A policy may extend a file beside it, and that one another."""
        write(HEAD + "grace: {nfr: 3 days}\n", "base.yaml")
        own = load_policy(write("version: 1\npolicy: mine\nextends: base.yaml\n", "mine.yaml"))
        assert ("mine", Span(days=3)) == (own.name, own.grace["nfr"])

    def test_an_unknown_policy(self, policy_mistakes: Mistakes) -> None:
        """What is extended must exist; the nearest name is told where it stands."""
        told = ["3:10: there is no policy 'veeam-99'; did you mean 'veeam-9'?"]
        assert told == policy_mistakes("version: 1\npolicy: own\nextends: veeam-99\n")

    def test_a_missing_file(self, policy_mistakes: Mistakes) -> None:
        """A file that is not there is told where it is named."""
        told = ["3:10: there is no policy file 'x.yaml'; a path starts beside the file that names it, or where you are"]
        assert told == policy_mistakes("version: 1\npolicy: own\nextends: x.yaml\n")

    def test_a_circle(self, policy_mistakes: Mistakes) -> None:
        """A policy that extends itself is refused."""
        told = ["3:10: policies extend each other in a circle, or too deeply"]
        assert told == policy_mistakes("version: 1\npolicy: own\nextends: own.yaml\n")

    def test_a_mistake_of_the_file_below(self, write: Write, tmp_path: Path) -> None:
        """A file below that is no YAML is told by its own name and place."""
        write("a: 1\na: 2\n", "base.yaml")
        with pytest.raises(InvalidFile) as caught:
            load_policy(write("extends: base.yaml\n", "mine.yaml"))
        assert f"{tmp_path / 'base.yaml'}:2:1: 'a' is given twice; the first is at 1:1" == str(caught.value)

    def test_a_mistake_of_form_below(self, write: Write, tmp_path: Path) -> None:
        """A mistake of form in the file below is told there, too."""
        write(HEAD + "expiring: x\n", "base.yaml")
        with pytest.raises(InvalidFile) as caught:
            load_policy(write("version: 1\npolicy: mine\nextends: base.yaml\nmail_repeat: none\n", "mine.yaml"))
        assert [(str(tmp_path / "base.yaml"), 4, 11)] == [(m.file, m.line, m.column) for m in caught.value.mistakes]

    def test_what_is_extended_must_be_whole(self, write: Write, tmp_path: Path) -> None:
        """A file below that is no whole policy is refused by its own name."""
        write("version: 1\npolicy: base\n", "base.yaml")
        with pytest.raises(InvalidFile) as caught:
            load_policy(write("extends: base.yaml\n" + HEAD.replace("extends: veeam-9\n", ""), "mine.yaml"))
        assert {(str(tmp_path / "base.yaml"), 1, 1)} == {(m.file, m.line, m.column) for m in caught.value.mistakes}

    def test_what_is_wrong_only_together(self, changed: Mistakes) -> None:
        """Another reaction over an interval from below is told where the reaction's section begins."""
        told = "5:22: only the reaction 'retry' has an interval, not 'give_up'"
        assert [told] == changed("outcomes:\n  connection_failed: {reaction: give_up}\n")

    def test_extends_must_be_a_word(self, policy_mistakes: Mistakes) -> None:
        """A list of policies cannot be extended."""
        assert "1:11: must be a text, not a list" in policy_mistakes("extends:  []\n")


class TestSlips:
    @pytest.mark.parametrize(
        ("kind", "meant"),
        [
            ("trail", "trial"),  # swapped
            ("subscripton", "subscription"),  # left out
            ("rentals", "rental"),  # added
            ("perpetuel", "perpetual"),  # changed
            ("Trial", "trial"),  # no key's type has capitals
        ],
    )
    def test_a_misspelled_type(self, changed: Mistakes, kind: str, meant: str) -> None:
        """A new type that is one letter away from an inherited one is refused, since that one keeps its grace."""
        told = f"4:9: new license type '{kind}' is nearly '{meant}'; write that, or give '{meant}' a grace here, too"
        assert [told] == changed(f"grace: {{{kind}: 3 days}}\n")

    @pytest.mark.parametrize("kind", ["site", "rental2", "rental-eu", "nfs", "tri4l", "trilobite", "tiral2", "tirla"])
    def test_a_new_type(self, write: Write, kind: str) -> None:
        """A type that is another word, or has a number or a suffix more, is new."""
        assert Span(days=3) == load_policy(write(HEAD + f"grace: {{{kind}: 3 days}}\n")).grace[kind]

    def test_both_are_meant(self, write: Write) -> None:
        """A type may be nearly another, where both are given a grace."""
        own = load_policy(write(HEAD + "grace: {trail: 3 days, trial: none}\n"))
        assert (Span(days=3), None) == (own.grace["trail"], own.grace["trial"])

    def test_a_type_that_is_inherited_itself(self, write: Write) -> None:
        """A type that is nearly another, but inherited itself, may be changed."""
        write(HEAD + "grace: {trail: 3 days, trial: none}\n", "base.yaml")
        own = load_policy(write("policy: mine\nextends: base.yaml\ngrace: {trail: 4 days}\n", "mine.yaml"))
        assert Span(days=4) == own.grace["trail"]

    def test_a_misspelled_type_below(self, write: Write, tmp_path: Path) -> None:
        """A slip in the file below is told there."""
        write(HEAD + "grace: {trail: 3 days}\n", "base.yaml")
        with pytest.raises(InvalidFile) as caught:
            load_policy(write("policy: mine\nextends: base.yaml\n", "mine.yaml"))
        assert [(str(tmp_path / "base.yaml"), 4, 9)] == [(m.file, m.line, m.column) for m in caught.value.mistakes]

    def test_told_with_others(self, changed: Mistakes) -> None:
        """A slip is told together with what else is wrong with the whole."""
        told = changed("cadence: {valid: 1 second}\ngrace: {trail: none}\n")
        assert ["4:18", "5:9"] == [mistake.split(": ")[0] for mistake in told]


class TestFind:
    def test_by_name(self, tmp_path: Path) -> None:
        """A word without the ending of a file is a built-in name."""
        assert built_in("veeam-7") is find_policy("veeam-7", tmp_path)

    @pytest.mark.parametrize("name", ["own.yaml", "own.yml"])
    def test_by_path(self, write: Write, tmp_path: Path, name: str) -> None:
        """A path starts beside the file that names it."""
        write(HEAD, name)
        assert "own" == find_policy(name, tmp_path).name


class TestForm:
    def test_incomplete(self, policy_mistakes: Mistakes) -> None:
        """All keys that are missing are told at once, where the policy begins."""
        missing = ["cadence", "expiring", "grace", "mail_repeat", "notifications", "outcomes", "retry_period", "texts"]
        assert [f"1:1: '{key}' is missing" for key in missing] == policy_mistakes("version: 1\npolicy: own\n")

    @pytest.mark.parametrize(
        ("rest", "mistake"),
        [
            ("grce: {}\n", "4:1: unknown key 'grce'; did you mean 'grace'?"),
            ("grace: 3\n", "4:8: must be a mapping, not a text"),
            ("grace: {nfr: 3}\n", "4:14: '3' is no length of time; write a number and one of seconds, minutes, hours, days, weeks, months"),
            ("grace: {nfr: 0 days}\n", "4:14: '0 days' must be a number of days, weeks or months"),
            ("grace: {nfr: 6 hours}\n", "4:14: '6 hours' must be a number of days, weeks or months"),
            ("grace: {nfr: ~}\n", "4:14: must be a text, not nothing"),
            ("grace: {nfr: 36601 days}\n", "4:14: '36601 days' is longer than 100 years"),
            ("expiring: 60 minutes\n", "4:11: '60 minutes' must be a number of days, weeks or months"),
            ("retry_period: 1 hour\n", "4:15: '1 hour' must be a number of days, weeks or months; or 'days of the month of expiry'"),
            ("cadence: {valid: 59 seconds}\n", "4:18: must be at least 1 minute"),
            ("cadence: {expiring: 0 days}\n", "4:21: must be at least 1 minute"),
            ("cadence: {valid: 878424 hours}\n", "4:18: '878424 hours' is longer than 100 years"),
            ("cadence: weekly\n", "4:10: must be a mapping of valid, expiring; not a text"),
            ("mail_repeat: sometimes\n", "4:14: unknown word 'sometimes'; one of every_failure, none, on_change"),
            ("texts: {valid: '{day}'}\n", "4:16: unknown placeholder '{day}'; did you mean 'days'?"),
            ("texts: {valid: '{days!r}'}\n", "4:16: unknown placeholder '{days}'; did you mean 'days'?"),
            ("texts: {valid: '{days:>9999999}'}\n", "4:16: unknown placeholder '{days}'; did you mean 'days'?"),
            ("texts: {valid: '{days.real}'}\n", "4:16: unknown placeholder '{days.real}'; did you mean 'days'?"),
            ("texts: {valid: '{}'}\n", "4:16: unknown placeholder '{}'; one of days"),
            ("texts: {expired: '{days}'}\n", "4:18: '{days}': this text has no placeholders; leave the braces out"),
            ("texts: {valid: '{days'}\n", "4:16: '{days': expected '}' before end of string; write {{ for a brace"),
            ("texts: {valid: [a]}\n", "4:16: must be a text, not a list"),
            ("notifications: {recoverd: x}\n", "4:17: unknown word 'recoverd'; did you mean 'recovered'?"),
            ("notifications: {update_failed: '{days}'}\n", "4:32: unknown placeholder '{days}'; one of reason"),
            ("outcomes: {up_to_dat: {reaction: current}}\n", "4:12: unknown word 'up_to_dat'; did you mean 'up_to_date'?"),
            ("outcomes: {up_to_date: {reaction: curent}}\n", "4:35: unknown reaction 'curent'; did you mean 'current'?"),
            ("outcomes: {up_to_date: {session: fail}}\n", "4:34: unknown result 'fail'; did you mean 'failed'?"),
            ("outcomes: {up_to_date: {reaction: renewed}}\n", "4:35: new_key, and nothing else, leads to 'renewed'"),
            ("outcomes: {new_key: {reaction: current}}\n", "4:32: new_key, and nothing else, leads to 'renewed'"),
            ("outcomes: {up_to_date: {reaction: retry}}\n", "4:24: 'retry' is missing: how long until the next attempt?"),
            ("outcomes: {up_to_date: {retry: 1 day}}\n", "4:25: only the reaction 'retry' has an interval, not 'current'"),
            ("outcomes: {connection_failed: {retry: 59 seconds}}\n", "4:39: must be at least 1 minute"),
            ("outcomes: {connection_failed: {retry: 0 days}}\n", "4:39: must be at least 1 minute"),
            ("outcomes: {connection_failed: {retry: 80000000 hours}}\n", "4:39: '80000000 hours' is longer than 100 years"),
        ],
    )  # fmt: skip
    def test_a_mistake(self, changed: Mistakes, rest: str, mistake: str) -> None:
        """Each mistake is told with its place, and what to do."""
        assert [mistake] == changed(rest)

    def test_several_mistakes(self, changed: Mistakes) -> None:
        """All mistakes are told, in the file's order."""
        rest = "grace: {nfr: x}\nexpiring: y\nnotifications: {expiring: '{z}'}\ntexts: {valid: '{days'}\n"
        assert ["4:14", "5:11"] == [told.split(": ")[0] for told in changed(rest)]

    def test_several_mistakes_of_the_whole(self, changed: Mistakes) -> None:
        """All mistakes that only the whole shows are told, in the file's order."""
        rest = "cadence: {valid: 1 second}\ntexts: {valid: '{days'}\nnotifications: {expiring: '{z}{y}'}\n"
        assert ["4:18", "5:16", "6:27", "6:27"] == [told.split(": ")[0] for told in changed(rest)]

    @pytest.mark.parametrize(
        ("name", "line"),
        [
            ("recovered", "  recovered: License key auto-update works again\n"),
            ("policy_changed", '  policy_changed: "The license policy has changed from {old} to {new}"\n'),
        ],
    )
    def test_a_missing_notice(self, policy_mistakes: Mistakes, name: str, line: str) -> None:
        """A policy that extends nothing must have every notice."""
        whole = files("licfsm").joinpath("policies", "veeam-7.yaml").read_text()
        assert [f"missing: {name}"] == [told.split(": ", 1)[1] for told in policy_mistakes(whole.replace(line, ""))]

    def test_missing_outcomes(self, policy_mistakes: Mistakes) -> None:
        """A policy that extends nothing must say of every outcome what it leads to; all missing ones are told."""
        whole = files("licfsm").joinpath("policies", "veeam-7.yaml").read_text()
        begin, end = whole.index("  up_to_date:"), whole.index("  generation_failed:")
        told = policy_mistakes(whole[:begin] + whole[end:])
        assert ["missing: up_to_date, connection_failed"] == [mistake.split(": ", 1)[1] for mistake in told]

    def test_intervals_at_their_bounds(self, write: Write) -> None:
        """A minute is long enough, and a hundred years are not too long."""
        own = load_policy(
            write(HEAD + "cadence: {valid: 60 seconds, expiring: 878400 hours}\ngrace: {nfr: 36600 days}\n")
        )
        assert (HOUR // 60, 36600 * DAY) == (own.cadence.valid.ms, own.cadence.expiring.ms)

    def test_a_retry_period(self, write: Write) -> None:
        """A policy may give a length of time in place of the month of expiry's."""
        assert Span(days=7) == load_policy(write(HEAD + "retry_period: 1 week\n")).retry_period

    def test_braces_in_a_text(self, write: Write) -> None:
        """Doubled braces are braces."""
        assert "{{x}} {days}" == load_policy(write(HEAD + "texts: {valid: '{{x}} {days}'}\n")).texts.valid


def test_a_host_loads_its_policy_by_a_plain_path(tmp_path: Path) -> None:
    """The public function takes text as well as a path, and what it gives runs a license."""
    path = tmp_path / "own.yaml"
    path.write_text("version: 1\npolicy: own\nextends: veeam-9\ngrace: {team: 1 week}\n")
    policy = licfsm.load_policy(str(path))
    key = licfsm.LicenseKey(id="A", type="team", expires="2025-02-14")
    clock = licfsm.ManualClock("2025-02-21T12:00")
    assert ("own", "Grace") == (policy.name, licfsm.License(key, policy, clock=clock).state.entitlement)


@pytest.mark.parametrize("given", [5, None, b"x"])
def test_a_policy_file_is_named_by_its_path(given: object) -> None:
    """Anything else is refused, and not opened."""
    with pytest.raises(InvalidValue, match="a policy file must be named by its path, not by a value of type"):
        load_policy(given)


def test_a_built_in_policy_is_no_file() -> None:
    """Its name alone is enough wherever a policy is wanted."""
    with pytest.raises(InvalidValue, match="veeam-9 is a built-in policy, which needs no file: give its name"):
        load_policy("veeam-9")
