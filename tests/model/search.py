"""Hunt for stories that the engine and the model tell differently: `python tests/model/search.py SEED COUNT`.

Plays COUNT stories of each mode from SEED on, and shows the smallest that differ, shrunk by dropping lines.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from compare import differences
from stories import MODES, story

from licfsm.errors import InvalidFile

SHOWN = 5


def differs(text: str, folder: Path) -> bool:
    """Say whether a story is valid and told differently."""
    try:
        return bool(differences(text, folder))
    except InvalidFile:  # what is left of it is no story
        return False


def smaller(text: str) -> Iterator[str]:
    """Drop lines of a story: some entries at once, then one by one, then what it can do without."""
    lines = text.splitlines(keepends=True)
    begin = lines.index("timeline:\n") + 1
    size = (len(lines) - begin) // 2
    while size:
        for at in range(len(lines) - size, begin - 1, -size):
            yield "".join(lines[:at] + lines[at + size :])
        size //= 2
    for at, line in enumerate(lines[:begin]):
        if line.startswith(("spread", "mail", "until")):
            yield "".join(lines[:at] + lines[at + 1 :])


def shrink(text: str, folder: Path) -> str:
    """Find the smallest story that still differs."""
    found: str | None = text
    while found:
        text = found
        found = next((less for less in smaller(text) if differs(less, folder)), None)
    return text


def main(seed: int, count: int) -> None:
    """Hunt."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for mode in MODES:
            different = [text for at in range(seed, seed + count) if differs(text := story(at, mode), folder)]
            sys.stdout.write(f"{mode}: {count} stories, {len(different)} differ\n")
            found += [shrink(text, folder) for text in different]
        for text in sorted(found, key=len)[:SHOWN]:
            sys.stdout.write("\n".join(["", text, *differences(text, folder), ""]))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
