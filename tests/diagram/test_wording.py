from __future__ import annotations

import attrs
import pytest

from licfsm.diagram import wording as words
from licfsm.diagram.wording import EVENTS, KINDS, MARKS, REGION_TITLES, SYMBOLIC, wording_of
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


def test_each_state_says_what_it_means() -> None:
    """Every state of the table has a line of its own."""
    assert {state for states in REGIONS.values() for state in states} == set(SYMBOLIC.states)
    assert len(SYMBOLIC.states) == len(set(SYMBOLIC.states.values()))


def test_each_timer_says_when() -> None:
    """Every timed event has words for when it comes, in every state where its timer runs."""
    cases = {(timer.trigger, source) for timer in TIMERS for source in timer.sources}

    assert cases == set(SYMBOLIC.when) == set(wording_of(named("veeam-9")).when)
    assert all(SYMBOLIC.when.values())


def test_symbolic_words_tell_no_figure() -> None:
    """They hold under every policy."""
    words = [*SYMBOLIC.states.values(), *SYMBOLIC.guards.values(), *(" ".join(when) for when in SYMBOLIC.when.values())]

    assert [] == [text for text in words if any(letter.isdigit() for letter in text)]


def test_one_policy_gives_its_figures() -> None:
    """A single policy's durations stand on the arrows."""
    wording = wording_of(named("veeam-9"))

    assert "veeam-9" == wording.policy
    assert ("7 days before the expiration date",) == wording.when["expiring", "Valid"]
    assert ("after 30 days of grace (rental: 2 months)",) == wording.when["grace_over", "Grace"]
    assert "weekly in Valid, daily from Expiring on" == wording.when["check_due", "Scheduled"][0]
    assert "every 60 minutes (connection failed)" in wording.when["check_due", "Retrying"]
    assert "every 24 hours (other failures)" in wording.when["check_due", "Retrying"]
    assert wording.guards["last_chance"].endswith("as many days after expiry as the month of expiry has")
    assert "has grace: subscription or rental" == wording.guards["has_grace"]


def test_another_products_policy_is_told_from_its_values() -> None:
    """Nothing on the arrows is taken from anywhere but the policy."""
    policy = named("veeam-9")
    changed = attrs.evolve(
        policy,
        cadence=attrs.evolve(policy.cadence, valid=Span.parse("2 weeks")),
        expiring=Span.parse("3 weeks"),
        retry_period=Span.parse("5 days"),
        grace={"nfr": None},
    )
    other = wording_of(changed)
    one = {
        name: attrs.evolve(rule, retry=rule.retry and Span.parse("2 hours")) for name, rule in policy.outcomes.items()
    }
    none = {name: attrs.evolve(rule, reaction="give_up", retry=None) for name, rule in policy.outcomes.items()}

    assert ("3 weeks before the expiration date",) == other.when["expiring", "Valid"]
    assert "every 2 weeks in Valid, daily from Expiring on" == other.when["check_due", "Scheduled"][0]
    assert ("never",) == other.when["grace_over", "Grace"]
    assert "last chance: the retry period is over, 5 days after expiry" == other.guards["last_chance"]
    assert "has grace: no license type" == other.guards["has_grace"]
    assert "every 2 hours" == wording_of(attrs.evolve(policy, outcomes=one)).when["check_due", "Retrying"][0]
    assert ("and when the retry period ends",) == wording_of(attrs.evolve(policy, outcomes=none)).when[
        "check_due", "Retrying"
    ]


@pytest.mark.parametrize(
    ("allowed", "told"),
    [
        ((), "only restoring works"),
        (("free",), "paid operations are refused; free ones and restoring work"),
        (("paid",), "free operations are refused; paid ones and restoring work"),
        (("paid", "free"), "everything still works"),
    ],
)
def test_free_mode_is_what_the_policy_allows(allowed: tuple[str, ...], told: str) -> None:
    """No reader is told that something works which is refused."""
    assert told == wording_of(attrs.evolve(named("veeam-9"), free_mode_allows=allowed)).states["FreeMode"]


@pytest.mark.parametrize(
    ("announce", "told"),
    [
        ({}, "That the license will expire is announced before the expiration date: 7 days."),
        (
            {"rental": None, "trial": Span.parse("30 days")},
            (
                "That the license will expire is announced before the expiration date: 7 days (subscription, perpetual and"
                " nfr), 30 days (trial), not for rental."
            ),
        ),
        (dict.fromkeys(named("veeam-9").grace), "That the license will expire is not announced."),
    ],
)
def test_the_announcement_is_told(announce: dict[str, Span | None], told: str) -> None:
    """Each length of time with its license types, and those that are told nothing."""
    assert (told,) == wording_of(attrs.evolve(named("veeam-9"), announce=announce)).notes
