import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licfsm.errors import InvalidValue
from licfsm.instants import Span
from licfsm.loading import patterns
from licfsm.loading.document import Scalar
from licfsm.loading.policies import MONTH_OF_EXPIRY
from licfsm.loading.scenario_file import ExactSpan, When, hooks

HOOKS = hooks(Path())
PIECES = [
    "start", "expiry", "now", "2025-02-14", "2025-02-30", "2025-13-01", "T09:00", " 09:00:30", ".250", "Z", "+02:00", "-0330",
    "+", "-", " ", "  ", "\t", "0", "00", "1", "12", "123456789012", "1234567890123",
    "second", "Minutes", "hours", "DAY", "days", "DAYS", "weeks", "month", "dag", "s",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=9).map("".join)


def taken(take: Callable[[str], object]) -> Callable[[str], bool]:
    """Say whether the loader takes a text."""

    def judged(text: str) -> bool:
        try:
            take(text)
        except InvalidValue:
            return False
        return True

    return judged


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("2025-02-14", True),
        ("2025-02-14T09:00", True),
        (" 2025-02-14 09:00:30.250+02:00 + 1 month - 2 Hours ", True),
        ("start+2days", True),
        ("expiry", True),
        ("now", False),
        ("2025-02-14T9:00", False),
        ("2025-02-32", False),
        ("start + 1 dag", False),
        ("start + 1 DAYS", False),
        ("start + 1234567890123 days", False),
        ("start 2 days", False),
        ("", False),
    ],
)
def test_times(text: str, *, fits: bool) -> None:
    """A time is a date, a time or a word, and steps from it."""
    assert fits == bool(re.search(patterns.time("start", "expiry"), text))


@pytest.mark.parametrize(("text", "fits"), [("now", True), ("now + 1 day", False), ("start + 1 day", True)])
def test_a_word_that_stands_alone(text: str, *, fits: bool) -> None:
    """A word may stand without steps only."""
    assert fits == bool(re.search(patterns.time("start", alone="now"), text))


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        (patterns.calendar_span(), "2 months", True),
        (patterns.calendar_span(), "none", False),
        (patterns.calendar_span("none"), "none", True),
        (patterns.calendar_span("none"), "nones", False),
        (patterns.calendar_span(MONTH_OF_EXPIRY), "days of the month of expiry", True),
        (patterns.calendar_span(), "6 hours", False),
        (patterns.calendar_span(), "00 days", False),
        (patterns.calendar_span(), "010 days", True),
        (patterns.exact_span(), "0 minutes", True),
        (patterns.exact_span(), "0 months", True),
        (patterns.exact_span(), "1 month", False),
        (patterns.exact_span(), "3minutes", False),
        (patterns.nonzero_span(), "1 month", True),
        (patterns.nonzero_span(), "0 months", False),
        (patterns.TRUTH, "tRuE", True),
        (patterns.TRUTH, "yes", False),
        (patterns.COUNT, "010", True),
        (patterns.COUNT, "-1", False),
        (patterns.template(()), "50 % off", True),
        (patterns.template(()), "{days}", False),
        (patterns.template(("days", "until")), "{{{days}}} {until}", True),
        (patterns.template(("days",)), "{day}", False),
        (patterns.template(("days",)), "{{days}", False),
        (patterns.template(("days",)), "{days!r}", False),
    ],
)
def test_a_pattern(pattern: str, text: str, *, fits: bool) -> None:
    """Each pattern takes what the loader takes, and tells the usual slips."""
    assert fits == bool(re.search(pattern, text))


@given(TEXTS)
def test_no_time_is_refused(text: str) -> None:
    """Every time that the loader takes fits, whatever comes between its parts."""
    if taken(lambda each: HOOKS[When](Scalar(each, (1, 1)), When))(text):
        assert re.search(patterns.time("start", "expiry", "now"), text)


@given(TEXTS)
def test_no_span_is_refused(text: str) -> None:
    """Every length of time that the loader takes fits."""
    if taken(Span.parse)(text) and Span.parse(text):
        assert re.search(patterns.nonzero_span(), text)
    if taken(lambda each: HOOKS[ExactSpan](each, ExactSpan))(text):
        assert re.search(patterns.exact_span(), text)


@given(
    st.lists(st.sampled_from(["{", "}", "{{", "}}", "{days}", "{days:}", "{days!s}", "{}", "a\n", "days"])).map("".join)
)
def test_no_template_is_refused(text: str) -> None:
    """A text with placeholders fits just where `str.format` finds these, bare, and nothing else."""
    try:
        sound = text.replace("{days!s}", "{other}").format(days="1 day") is not None
    except (KeyError, ValueError, IndexError):
        sound = False
    assert sound == bool(re.search(patterns.template(("days",)), text))
