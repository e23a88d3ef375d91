import ast
import sys
from pathlib import Path

import pytest
from compare import differences
from stories import MODES, story

HERE = Path(__file__).parent
SCENARIOS = sorted((HERE.parents[1] / "scenarios").glob("[1-8]*/*.yaml"))  # those of 9 run by policies of their own
SEEDS = range(50)
OWN = {"dates", "life", "model", "scenario", "telling"}


def imports(path: Path) -> set[str]:
    """Name what a module imports, wherever it does."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return {name.partition(".")[0] for name in found}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mode", MODES)
def test_random_stories_go_as_the_model_says(mode: str, seed: int, tmp_path: Path) -> None:
    """Engine and model agree, line by line, on a story that nobody thought of."""
    text = story(seed, mode)
    found = differences(text, tmp_path)
    assert not found, "\n".join(["engine and model differ", *found, text])


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_told_stories_go_as_the_model_says(path: Path, tmp_path: Path) -> None:
    """Engine and model agree on every scenario of the project."""
    found = differences(path.read_text(encoding="utf-8"), tmp_path)
    assert not found, "\n".join(["engine and model differ", *found])


@pytest.mark.parametrize("module", sorted(OWN | {"stories"}))
def test_the_model_shares_nothing_with_the_engine(module: str) -> None:
    """The model is made of the standard library, PyYAML and itself: it cannot repeat the engine's mistakes."""
    assert not imports(HERE / f"{module}.py") - sys.stdlib_module_names - OWN - {"yaml"}
