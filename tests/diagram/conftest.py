from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from licfsm.diagram.graph import Graph, graph_of
from licfsm.diagram.path import Path as Way
from licfsm.diagram.path import path_of
from licfsm.diagram.wording import SYMBOLIC, wording_of
from licfsm.lifecycle import REGIONS
from licfsm.loading.policies import available
from licfsm.loading.scenarios import load_scenario
from licfsm.policy import Policy, named
from licfsm.scenario.replay import Replay, replay

SCENARIOS = Path(__file__).parents[2] / "scenarios"


@pytest.fixture
def policies() -> list[Policy]:
    """Give all built-in policies."""
    return [named(name) for name in available()]


@pytest.fixture
def graphs() -> list[Graph]:
    """Give both regions as graphs, without figures."""
    return [graph_of(region, SYMBOLIC) for region in REGIONS]


@pytest.fixture
def lived() -> Callable[[str], Replay]:
    """Replay the scenario of a name."""

    def live(name: str) -> Replay:
        (file,) = SCENARIOS.rglob(f"{name}.yaml")
        return replay(load_scenario(file))

    return live


@pytest.fixture
def walked(lived: Callable[[str], Replay]) -> Callable[[str], tuple[list[Graph], Way]]:
    """Give the graphs of the scenario of a name, with its policy's figures, and its path."""

    def walk(name: str) -> tuple[list[Graph], Way]:
        result = lived(name)
        graphs = [graph_of(region, wording_of(result.story.policy)) for region in REGIONS]
        return graphs, path_of(result, graphs)

    return walk
