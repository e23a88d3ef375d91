"""Random lives of licenses in a manager, with everything that a host, its threads and its clock do to them.

A life that breaks a claim is told with its seed and the step; `python tests/e2e/manager_search.py SEED` shrinks it.
"""

import logging
from pathlib import Path

import pytest
from manager_lives import live, write

pytestmark = pytest.mark.long

LIVES, STEPS = range(170), 60
"""10,200 steps."""


@pytest.mark.parametrize("seed", LIVES)
def test_a_random_life_goes_as_its_journal_says(seed: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Journal, store, and all that is shown, granted, asked and told agree with the plain model after every step."""
    caplog.set_level(logging.CRITICAL, "licfsm")  # what is logged is read from the store
    assert STEPS < live(write(seed, STEPS), tmp_path)
