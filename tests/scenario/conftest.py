"""What the tests of replay share: a story told in a few lines, and lived through."""

from collections.abc import Callable
from pathlib import Path

import pytest

from licfsm.loading.scenarios import load_scenario
from licfsm.scenario.replay import Replay, replay

HEAD = """version: 1
policy: veeam-9
license: {type: subscription, expires: 2025-02-14}
"""


@pytest.fixture
def live(tmp_path: Path) -> Callable[..., Replay]:
    """Live through a story, given by its lines after the license; that expires at 2025-02-15 00:00 UTC.

    Under veeam-9 it is Expiring from 02-07 00:00 on, in Grace until 03-17 00:00, and retrying ends at 03-15 00:00.
    """

    def lived(rest: str, head: str = HEAD) -> Replay:
        path = tmp_path / "story.yaml"
        path.write_text(head + rest)
        return replay(load_scenario(path, "story.yaml"))

    return lived
