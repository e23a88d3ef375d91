import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from readings import both
from test_loading_fuzz import POLICY, SCENARIO, SHORT, mutated
from test_policy_files import HEAD as POLICY_HEAD
from test_policy_files import TestForm as PolicyForm
from test_scenario_files import TestForm as ScenarioForm

from licfsm.errors import InvalidFile
from licfsm.loading.policies import available, built_in, is_policy, load_policy
from licfsm.loading.scenarios import load_scenario, scenario_files
from licfsm.loading.schema import FILES, schema, write

SCENARIO_HEAD = """version: 1
policy: veeam-9
license: {type: subscription, expires: 2025-02-14}
start: 2025-02-10T09:00
"""
Refused = Callable[[str, str], bool]

COMMITTED = {
    name: json.loads((files("licfsm") / "schemas" / f"{name}.json").read_text(encoding="utf-8")) for name in FILES
}
JUDGES = {name: Draft202012Validator(found) for name, found in COMMITTED.items()}
FOLDER = Path(__file__).parents[2] / "scenarios"
SCENARIOS = scenario_files([str(FOLDER)])
BUILT_IN = [Path(str(files("licfsm") / "policies" / f"{name}.yaml")) for name in available()]
POLICIES = [*BUILT_IN, *(path for path in sorted(FOLDER.rglob("*.yaml")) if is_policy(path))]
FIXTURE = [HealthCheck.function_scoped_fixture]

ONLY_THE_LOADER = [
    # Which policies, zones, types and jobs there are.
    "there is no policy", "there is no time zone 'Europe", "knows no license type", "unknown job",
    # The calendar, and how far this engine counts in it.
    "not in the calendar", "finer than a millisecond", "lies outside the years", "beyond the calendar", "lies after 9000",
    "lies before the year", "than this engine counts", "longer than 100 years", "59 seconds}",
    # What comes before what, and what other parts of the file say.
    "goes back in time", "ends before its last entry", "must end after it began", "start: expiry\n",
    # What a policy inherits.
    "4:24: 'retry' is missing", "4:25: only the reaction 'retry' has an interval",
]  # fmt: skip
"""Parts of those mistakes, or of their messages, that no schema can see, or none that is readable."""


def cases(test: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - pytest's marks have no type of their own
    """Give the parameters of a test that lists mistakes."""
    return next(mark.args[1] for mark in test.pytestmark if mark.name == "parametrize")


def corpus() -> Iterator[tuple[str, str, str]]:
    """List all mistakes that the loader's tests know: kind of file, text, message."""
    for head, told in cases(ScenarioForm.test_a_mistake_of_the_first_key):
        yield "scenario", f"version: 1\n{head}\nstart: 2025-01-01\n", told
    for start, told in cases(ScenarioForm.test_a_mistake_in_a_time):
        yield "scenario", f"version: 1\npolicy: veeam-9\nlicense: {{type: nfr}}\nstart: {start}\n", told
    for rest, told in cases(ScenarioForm.test_a_mistake_of_the_rest):
        yield "scenario", SCENARIO_HEAD + rest, told
    for rest, told in cases(PolicyForm.test_a_mistake):
        yield "policy", POLICY_HEAD + rest, told


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Say whether a schema refuses a text; both ways to read it must agree."""

    def judged(kind: str, text: str) -> bool:
        path = tmp_path / "judged.yaml"
        path.write_text(text, encoding="utf-8")
        [found] = {JUDGES[kind].is_valid(read) for read in both(path)}
        return not found

    return judged


@pytest.fixture
def false_alarms(tmp_path: Path) -> Callable[[str, str], list[str]]:
    """Load a text; where it is sound, give what a schema has against it, in either reading."""
    (tmp_path / "own.yaml").write_text(SHORT, encoding="utf-8")

    def found(kind: str, text: str) -> list[str]:
        path = tmp_path / f"{kind}.yaml"
        path.write_bytes(text.encode())
        try:
            (load_policy if kind == "policy" else load_scenario)(path)
        except InvalidFile:
            return []
        return [error.message for read in both(path) for error in JUDGES[kind].iter_errors(read)]

    return found


@pytest.mark.parametrize("name", FILES)
class TestThemselves:
    def test_they_have_not_drifted(self, name: str) -> None:
        """The committed schema is what the classes say; write it anew with python -m licfsm.loading.schema."""
        assert schema(name) == COMMITTED[name]

    def test_they_are_valid(self, name: str) -> None:
        """A schema is one by its own dialect, and names no place in the world."""
        Draft202012Validator.check_schema(COMMITTED[name])
        assert f"urn:licfsm:{name}:1" == COMMITTED[name]["$id"]

    def test_every_key_is_described(self, name: str) -> None:
        """Each key that a section may have comes with what an editor shows of it."""
        found = COMMITTED[name]
        for section in [found, *found["$defs"].values()]:
            assert section["additionalProperties"] is False
            for key, about in section["properties"].items():
                assert about.get("description", ""), key

    def test_all_patterns_are_simple(self, name: str) -> None:
        """No pattern has what JavaScript lacks: named groups as Python writes them, flags, possessive repeats."""
        text = json.dumps(COMMITTED[name])
        assert [] == [piece for piece in ("(?P", "(?i", "(?s", "(?x", "*+", "++", "\\\\A", "\\\\Z") if piece in text]

    def test_they_are_written(self, name: str, tmp_path: Path) -> None:
        """Writing makes the committed file, byte by byte."""
        write(tmp_path)
        assert (files("licfsm") / "schemas" / f"{name}.json").read_bytes() == (tmp_path / f"{name}.json").read_bytes()


class TestSoundFiles:
    @pytest.mark.skipif(not SCENARIOS, reason="the scenarios lie in the checkout only")
    def test_every_scenario(self) -> None:
        """Every committed scenario fits, as the loader reads it and as an editor does."""
        assert [] == [str(path) for path in SCENARIOS for read in both(path) if not JUDGES["scenario"].is_valid(read)]

    def test_every_policy(self) -> None:
        """Every committed policy fits in both readings; those that extend another say only what differs."""
        assert [] == [str(path) for path in POLICIES for read in both(path) if not JUDGES["policy"].is_valid(read)]

    @pytest.mark.parametrize(
        "rest",
        [
            "timeline: [{at: start, server: ~, world: ~, host: ~, expect: {}}]\n",
            "timeline: [{at: start, world: {clock: ~, policy: ~, target: ~, mail: up}}]\n",
            "timeline: [{at: start, world: {mail: down}, server: up_to_date, expect: {checks: 010}, host: enable}]\n",
            "timeline: [{at: start, world: {}, host: {do: install, type: ~, expires: ~, issued: ~, force: TRUE}}]\n",
            "timeline: [{at: start, host: {do: suspend, until: expiry}}, {at: expiry, host: {do: enable}}]\n",
            "timeline: [{at: start, host: {do: install, until: ~}}]\n",
            "jobs: {1: paid, true: free}\ntimeline: [{at: start, expect: {allows: {1: False, true: 'true'}}}]\n",
            "timeline: [{at: start, expect: {warning: ~, days_remaining: ~, next_check: ~, status: 1e3, checks: '2'}}]\n",
            "timeline: [{at: start, server: {answer: up_to_date, signed_time: ' now ', takes: 0 months, retry_after: ~}}]\n",
            "scenario: 2025\nuntil: ~\nspread: ~\nnever: []\nreaches: [Off]\n",
            "scenario: true\nmail: policy\njobs: {}\ntimeline: []\n",
        ],
    )
    def test_an_odd_scenario(self, false_alarms: Callable[[str, str], list[str]], rest: str) -> None:
        """What the loader takes is not refused, however odd."""
        assert [] == false_alarms("scenario", SCENARIO_HEAD + rest)

    @pytest.mark.parametrize(
        "rest",
        [
            "grace: {365: 1 DAY, Site A: none, true: 2 Weeks}\n",
            "outcomes: {connection_failed: {reaction: give_up, retry: ~}}\ntexts: {expired: 404, valid: '{{{days:}}}'}\n",
            "outcomes: {}\ntexts: {}\nnotifications: {}\ncadence: {}\ngrace: {}\n",
            "notifications: {recovered: true}\nretry_period: days of the month of expiry\nannounce: {trial: none}\n",
            "free_mode_allows: []\n",
        ],
    )
    def test_an_odd_policy(self, false_alarms: Callable[[str, str], list[str]], rest: str) -> None:
        """What the loader takes of a policy is not refused, however odd."""
        assert [] == false_alarms("policy", POLICY_HEAD + rest)

    @pytest.mark.parametrize("seed", range(150))
    def test_a_changed_scenario(self, false_alarms: Callable[[str, str], list[str]], seed: int) -> None:
        """A scenario with words deleted, doubled or replaced is not refused where the loader takes it."""
        assert [] == false_alarms("scenario", mutated(SCENARIO, seed))

    @pytest.mark.parametrize("seed", range(150))
    def test_a_changed_policy(self, false_alarms: Callable[[str, str], list[str]], seed: int) -> None:
        """Likewise a policy."""
        assert [] == false_alarms("policy", mutated(POLICY, seed))

    @settings(max_examples=100, suppress_health_check=FIXTURE, deadline=None)
    @given(place=st.integers(0, len(SCENARIO) - 1), character=st.characters(codec="utf-8"))
    def test_one_character_changed(
        self, false_alarms: Callable[[str, str], list[str]], place: int, character: str
    ) -> None:
        """Likewise a scenario with one character changed."""
        assert [] == false_alarms("scenario", SCENARIO[:place] + character + SCENARIO[place + 1 :])


class TestMistakes:
    def test_all_that_only_the_loader_sees_is_in_the_corpus(self) -> None:
        """Nothing is listed as the loader's alone that no mistake shows."""
        mistakes = [text + told for _, text, told in corpus()]
        assert [] == [part for part in ONLY_THE_LOADER if not any(part in mistake for mistake in mistakes)]

    @pytest.mark.parametrize(("kind", "text", "told"), [*corpus()])
    def test_a_mistake(self, refused: Refused, kind: str, text: str, told: str) -> None:
        """Each mistake that the loader tells is refused, but for those that only the loader can see."""
        assert refused(kind, text) != any(part in text + told for part in ONLY_THE_LOADER)

    @pytest.mark.parametrize("key", ["version", "policy", "license", "start"])
    def test_a_missing_key(self, refused: Refused, key: str) -> None:
        """A scenario without a key that must be there is refused."""
        lines = SCENARIO_HEAD.splitlines(keepends=True)
        assert refused("scenario", "".join(line for line in lines if not line.startswith(key)))

    @pytest.mark.parametrize("version", ["2", "one", "v2", "1.5", "[1]"])
    def test_another_version(self, refused: Refused, version: str) -> None:
        """There is one version."""
        assert refused("scenario", SCENARIO_HEAD.replace("version: 1", f"version: {version}"))

    @pytest.mark.parametrize(
        "rest",
        [
            "timeline: [{at: start, server: {answer: new_key, takes: ~, retry_after: soon}}]\n",
            "timeline: [{at: start, host: {do: install, issued: now}}]\n",
            "timeline: [{at: start, host: {do: suspend, until: ~}}]\n",
            "timeline: [{at: start, host: {do: enable, type: ~}}]\n",
            "timeline: [{at: start, host: {do: enable, until: ~}}]\n",
            "timeline: [{at: start, world: {clock: ~}, server: ~}]\n",
            "timeline: [{at: start, expect: {statuss: x}}]\n",
            "timeline: ~\n",
            "mail: ~\n",
            "never: ~\n",
        ],
    )
    def test_a_long_form(self, refused: Refused, rest: str) -> None:
        """What goes with other words only, what may not be nothing, what is misspelled inside: all are refused."""
        assert refused("scenario", SCENARIO_HEAD + rest)

    @pytest.mark.parametrize("name", COMMITTED["policy"]["else"]["required"])
    def test_a_whole_policy_needs_all(self, name: str) -> None:
        """A policy that extends nothing must say everything."""
        whole = both(BUILT_IN[available().index("veeam-7")])[1]
        assert [True, False] == [
            JUDGES["policy"].is_valid(each) for each in (whole, {key: whole[key] for key in whole if key != name})
        ]

    @pytest.mark.parametrize(
        ("section", "key"),
        [
            ("cadence", "valid"),
            ("texts", "session"),
            ("outcomes", "up_to_date"),
            ("notifications", "recovered"),
            ("outcomes.key_rejected", "retry"),
            ("outcomes.key_rejected", "text"),
        ],
    )
    def test_a_whole_section_needs_all(self, section: str, key: str) -> None:
        """Likewise in each section of it; a policy that extends another may leave it out."""
        whole = both(BUILT_IN[available().index("veeam-7")])[1]
        part = whole
        for step in section.split("."):
            part = part[step]
        del part[key]
        assert [False, True, False] == [
            JUDGES["policy"].is_valid(whole | extends) for extends in ({}, {"extends": "veeam-9"}, {"extends": None})
        ]


def test_the_examples_are_sound() -> None:
    """Each example fits its own pattern."""

    def examples(part: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 - JSON
        if isinstance(part, dict):
            if "examples" in part and "pattern" in part:
                yield from ((part, example) for example in part["examples"])
            for inner in part.values():
                yield from examples(inner)

    found = [pair for each in COMMITTED.values() for pair in examples(each)]
    assert [] == [example for part, example in found if not Draft202012Validator(part).is_valid(example)]
    assert {"30 days", "expiry + 2 days", built_in("veeam-9").texts.grace} <= {example for _, example in found}
