"""Hunt for lives that break a claim: `python tests/e2e/manager_search.py SEED COUNT LENGTH`; shows one, shrunk."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from manager_lives import failure, shrink, write


def main(seed: int, count: int = 1, length: int = 60) -> None:
    """Hunt."""
    logging.disable()
    for number in range(seed, seed + count):
        story = write(number, length)
        if failure(story) is None:
            continue
        story = shrink(story)
        steps = "\n".join(f"    {step!r}," for step in story.steps)
        sys.stdout.write(f"seed {number}: {story.setting}\n{steps}\n{failure(story)}\n")
        return
    sys.stdout.write(f"{count} lives of {length} steps, none breaks a claim\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
