"""The stories that the project ships, each named after the rule that it tells."""

from pathlib import Path

import pytest

from licfsm.loading.scenarios import load_scenario, scenario_files
from licfsm.scenario.replay import replay

FOLDER = Path(__file__).parents[2] / "scenarios"
FILES = scenario_files([str(FOLDER)])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_a_story_comes_true(path: Path) -> None:
    """Everything that the story expects holds."""
    assert [] == replay(load_scenario(path)).failures


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_a_story_expects_something(path: Path) -> None:
    """A story that expects nothing could not fail."""
    story = load_scenario(path)
    assert story.never or story.reaches or any(hasattr(entry.what, "values") for entry in story.entries)


def test_there_are_stories() -> None:
    """The folder was found, and every section of the rules has its own."""
    assert {"1", "2", "3", "4", "5", "6", "7", "8"} <= {path.parent.name[0] for path in FILES}
