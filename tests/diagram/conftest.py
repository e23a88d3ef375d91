from __future__ import annotations

import pytest

from licfsm.diagram.graph import Graph, graph_of
from licfsm.diagram.wording import Wording, of_policies
from licfsm.lifecycle import REGIONS
from licfsm.loading.policies import available
from licfsm.policy import Policy, named


@pytest.fixture
def policies() -> list[Policy]:
    """Give all built-in policies."""
    return [named(name) for name in available()]


@pytest.fixture
def wording(policies: list[Policy]) -> Wording:
    """Give the words on which all built-in policies agree."""
    return of_policies(policies)


@pytest.fixture
def graphs(wording: Wording) -> list[Graph]:
    """Give both regions as graphs."""
    return [graph_of(region, wording) for region in REGIONS]
