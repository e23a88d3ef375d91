"""What the tests of loading share: files written in one line, and their mistakes as text."""

from collections.abc import Callable
from pathlib import Path

import pytest

from licfsm.errors import InvalidFile
from licfsm.loading.policies import load_policy
from licfsm.loading.scenarios import load_scenario
from licfsm.scenario.story import Story

HEAD = """version: 1
policy: veeam-9
license: {type: subscription, expires: 2025-02-14}
start: 2025-02-10T09:00
"""


def _told(error: InvalidFile) -> list[str]:
    return [f"{mistake.line}:{mistake.column}: {mistake.message}" for mistake in error.mistakes]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a file, and give its path."""

    def written(content: str | bytes, name: str = "story.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


@pytest.fixture
def mistakes(write: Callable[..., Path]) -> Callable[[str | bytes], list[str]]:
    """Load a scenario that is refused, and give its mistakes as ``line:column: message``."""

    def refused(content: str | bytes) -> list[str]:
        with pytest.raises(InvalidFile) as caught:
            load_scenario(write(content))
        return _told(caught.value)

    return refused


@pytest.fixture
def policy_mistakes(write: Callable[..., Path]) -> Callable[[str], list[str]]:
    """Load a policy that is refused, and give its mistakes as ``line:column: message``."""

    def refused(content: str) -> list[str]:
        with pytest.raises(InvalidFile) as caught:
            load_policy(write(content, "own.yaml"))
        return _told(caught.value)

    return refused


@pytest.fixture
def story(write: Callable[..., Path]) -> Callable[[str], Story]:
    """Load a scenario whose first four lines are the usual ones; give the lines from the fifth on."""

    def loaded(rest: str) -> Story:
        return load_scenario(write(HEAD + rest))

    return loaded


@pytest.fixture
def rest_mistakes(mistakes: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """Give the mistakes of the lines from the fifth on, after four usual ones."""

    def refused(rest: str) -> list[str]:
        return mistakes(HEAD + rest)

    return refused
