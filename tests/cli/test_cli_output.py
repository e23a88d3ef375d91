import subprocess
import sys
from pathlib import Path

import pytest

STORY = Path(__file__).parents[2] / "scenarios" / "1-dates" / "1.5-february-has-28-days-of-retry.yaml"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("command", [["explain", str(STORY)], ["schema", "policy"], ["replay", str(STORY)]])
def test_every_command_ends_in_one_line_when_the_disk_is_full(command: list[str]) -> None:
    """Output that finds no room is told once, with status 2 and no traceback."""
    with Path("/dev/full").open("w", encoding="utf-8") as out:
        done = subprocess.run(
            [sys.executable, "-m", "licfsm", *command], stdout=out, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (2, "cannot write: No space left on device\n") == (done.returncode, done.stderr)
