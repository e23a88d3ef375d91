"""Files that nobody would write: each ends in a result or in `InvalidFile`, with places inside the file."""

import json
import random
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from licfsm.errors import InvalidFile, Mistake
from licfsm.loading.scenarios import load_scenario
from licfsm.scenario.account import account
from licfsm.scenario.replay import replay
from licfsm.scenario.report import written

Live = Callable[[bytes, str], None]

SCENARIO = """version: 1
scenario: Automatic update gives up before the grace period ends
policy: own.yaml
license: {id: ACME-1, type: subscription, expires: 2025-02-14, zone: Europe/Berlin}
spread: 10 minutes
mail: on_change
jobs: {replication: paid}
start: 2025-02-10T09:00
until: expiry + 2 days
timeline:
  - {at: start, host: enable}
  - {at: start + 1 day, server: {answer: generation_failed, retry_after: 10 hours, takes: 30 seconds}}
  - {at: start + 2 days, world: {clock: 2025-02-13}}
  - {at: start + 2 days, world: {policy: veeam-7, mail: down, target: fails}}
  - {at: start + 3 days, host: {do: install, expires: 2026-02-14, type: rental, issued: start, force: true}}
  - {at: expiry - 1 day, server: {answer: new_key, expires: 2026-02-14, signed_time: now}}
  - {at: expiry, host: {do: suspend, until: expiry + 1 day}}
  - {at: expiry, expect: {entitlement: Valid, status: x, warning: ~, next_check: start, allows: {replication: true}}}
never: [FreeMode]
reaches: [AutoUpdateDisabled]
"""
POLICY = files("licfsm").joinpath("policies", "veeam-7.yaml").read_text(encoding="utf-8")
SHORT = "version: 1\npolicy: own\nextends: veeam-9\n"
ODD = (
    "~ null [] {} ' \" *a &a !x !!int --- ... ? - : , | > # { } [ ] @ ` % \\ Off on 12:30 010 1e999 -1 0 1 99999999999999 "
    "expiry start now 9499-12-31 9000-01-01 9500-01-01 1000-01-01 1000-01-01T00:00Z 2025-02-30 2025-02-14T09:00+14:00 "
    "suspend install new_key connection_failed trial perpetual none policy renewed retry give_up America/Havana "
    "Pacific/Apia veeam-9 own.yaml none.yaml {days} {0} {x!r} {{ }} \ufeff \u202e e\u0301 \U0001f600 \u2028 \x85 \x00 \x07 <<"
)
WORDS = [
    *ODD.split(" "),
    "", " ", "\t", "\n", "\r", "\r\n", "\n  - ", ": ", "expiry + 3 days", "start - 1 month", "3600000 days", "100000 months",
    "0 days", "1 second", "80000000 hours", "{do: suspend, until: expiry}", "world: {clock: 9400-01-01}", "host: restart",
]  # fmt: skip
KEYS = "version policy license timeline at server host until"
TOKEN = re.compile(r"[A-Za-z_]+|\d+|\s+|[^\w\s]")
LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
FIXTURE = [HealthCheck.function_scoped_fixture]


def mutated(text: str, seed: int) -> str:
    """Delete, double or replace some words of a text."""
    chance = random.Random(seed)  # noqa: S311 - the same files in every run
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        tokens = list(TOKEN.finditer(text)) or [re.match("", text)]
        begin, end = chance.choice(tokens).span()
        new = chance.choice(
            ("", text[begin:end] * 2, chance.choice(tokens).group(), chance.choice(WORDS), chance.choice(WORDS))
        )
        text = text[:begin] + new + text[end:]
    return text


@pytest.fixture
def live(tmp_path: Path) -> Live:
    """Load and live through a scenario; what is refused must be told at a place that is there."""
    (tmp_path / "own.yaml").write_text(SHORT)
    scenario = tmp_path / "story.yaml"
    scenario.write_text(SCENARIO)

    def lived(content: bytes, name: str = "story.yaml") -> None:
        (tmp_path / name).write_bytes(content)
        for mistake in mistakes():
            lines = LINE_BREAK.split(Path(mistake.file).read_bytes().decode("utf-8-sig", "replace"))
            assert 1 <= mistake.line <= len(lines)
            assert 1 <= mistake.column <= len(lines[mistake.line - 1]) + 1
            assert mistake.message.isprintable()

    def mistakes() -> list[Mistake]:
        try:
            result = replay(load_scenario(scenario))
        except InvalidFile as error:
            return error.mistakes or [Mistake(str(scenario), 0, 0, "refused without a mistake")]
        json.loads("".join(written(result)))
        account(result)
        return []

    return lived


def test_the_stories_that_are_changed_are_sound(live: Live, tmp_path: Path) -> None:
    """The scenario is one that replays, with either policy."""
    assert 10 == len(load_scenario(tmp_path / "story.yaml").entries)
    live(POLICY.encode(), "own.yaml")
    assert "veeam-7" == load_scenario(tmp_path / "story.yaml").policy.name


@pytest.mark.parametrize("seed", range(80))
def test_a_changed_scenario(live: Live, seed: int) -> None:
    """A scenario with words deleted, doubled or replaced."""
    live(mutated(SCENARIO, seed).encode())


@pytest.mark.parametrize("seed", range(60))
def test_a_changed_policy(live: Live, seed: int) -> None:
    """A policy with words deleted, doubled or replaced."""
    live(mutated(POLICY, seed).encode(), "own.yaml")


@settings(max_examples=80, suppress_health_check=FIXTURE)
@given(content=st.binary(max_size=80))
def test_random_bytes(live: Live, content: bytes) -> None:
    """Any bytes."""
    live(content)


@settings(max_examples=80, suppress_health_check=FIXTURE)
@given(words=st.lists(st.sampled_from([*WORDS, *KEYS.split(" ")]), max_size=30))
def test_random_words(live: Live, words: list[str]) -> None:
    """What looks like YAML."""
    live(" ".join(words).encode())


@settings(max_examples=80, suppress_health_check=FIXTURE)
@given(place=st.integers(0, len(SCENARIO.encode()) - 1), byte=st.integers(0, 255))
def test_one_byte_changed(live: Live, place: int, byte: int) -> None:
    """A scenario with one byte changed."""
    content = bytearray(SCENARIO.encode())
    content[place] = byte
    live(bytes(content))
