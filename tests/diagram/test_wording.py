from __future__ import annotations

import attrs

from licfsm.diagram import wording as words
from licfsm.diagram.wording import EVENTS, KINDS, MARKS, REGION_TITLES, Wording, of_policies
from licfsm.instants import Span
from licfsm.lifecycle import REGIONS, ROWS, TIMERS
from licfsm.policy import named
from licfsm.rules import GUARDS


def test_each_guard_has_words() -> None:
    """No guard is drawn under its name in the code."""
    assert set(GUARDS) == set(words.GUARDS)
    assert len(words.GUARDS) == len(set(words.GUARDS.values()))
    assert not [text for text in words.GUARDS.values() if "_" in text]


def test_each_event_has_words_and_a_kind() -> None:
    """Every trigger of the table is told in words, and what brings it."""
    assert {trigger for row in ROWS for trigger in row.triggers} == set(EVENTS)
    assert {kind for kind, _ in EVENTS.values()} == set(KINDS) == set(MARKS)


def test_each_region_has_a_title() -> None:
    """Every region of the table is drawn."""
    assert list(REGIONS) == list(REGION_TITLES)


def test_each_timer_says_when(wording: Wording) -> None:
    """Every timed event has words for when it comes, in every state where its timer runs."""
    cases = {(timer.trigger, source) for timer in TIMERS for source in timer.sources}

    assert cases == set(wording.when)
    assert all(wording.when.values())


def test_figures_stand_only_where_all_policies_agree(wording: Wording) -> None:
    """A difference between policies is told by the name of the time."""
    assert wording.policy == ""
    assert wording.when["expiring", "Valid"] == ("7 days before", "the expiration date")
    assert wording.when["grace_over", "Grace"] == ("end of the grace period",)
    assert wording.guards["has_grace"] == "grace period granted"


def test_one_policy_gives_its_figures() -> None:
    """A single policy's durations stand on the arrows."""
    wording = of_policies([named("veeam-9")])

    assert wording.policy == "veeam-9"
    assert wording.when["grace_over", "Grace"] == ("after 30 days (rental: 2 months)",)
    assert wording.when["check_due", "Scheduled"][:2] == ("weekly in Valid", "daily from Expiring on")
    assert "every 60 minutes (connection failed)" in wording.when["check_due", "Retrying"]
    assert "every 24 hours (other failures)" in wording.when["check_due", "Retrying"]
    assert wording.guards["last_chance"] == "retry period over: days of the month of expiry"
    assert wording.guards["has_grace"] == "subscription or rental"


def test_another_products_policy_is_told_from_its_values() -> None:
    """Nothing on the arrows is taken from anywhere but the policy."""
    policy = named("veeam-9")
    changed = attrs.evolve(
        policy, expiring=Span.parse("3 weeks"), retry_period=Span.parse("5 days"), grace={"nfr": None}
    )
    other = of_policies([changed])
    one = {
        name: attrs.evolve(rule, retry=rule.retry and Span.parse("2 hours")) for name, rule in policy.outcomes.items()
    }

    assert other.when["expiring", "Valid"] == ("3 weeks before", "the expiration date")
    assert other.when["grace_over", "Grace"] == ("never",)
    assert other.guards["last_chance"] == "retry period over: 5 days after expiry"
    assert of_policies([attrs.evolve(policy, outcomes=one)]).when["check_due", "Retrying"][0] == "every 2 hours"


def test_policies_that_agree_on_nothing_are_told_without_figures() -> None:
    """Every time has a name of its own."""
    policy = named("veeam-9")
    cadence = attrs.evolve(policy.cadence, valid=Span.parse("2 weeks"))
    other = attrs.evolve(policy, expiring=Span.parse("3 weeks"), cadence=cadence, retry_period=Span.parse("5 days"))
    wording = of_policies([policy, other])

    assert wording.when["expiring", "Valid"] == ("some days before", "the expiration date")
    assert wording.when["check_due", "Scheduled"][0] == "by cadence"
    assert wording.guards["last_chance"] == "retry period over"
