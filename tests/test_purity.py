import ast
from pathlib import Path

import pytest

import licfsm

ROOT = Path(licfsm.__file__).parent
OUTSIDE = {"__init__", "__main__", "testing"}  # testing.py is for the tests of hosts, and knows everything
MODULES = sorted(path.stem for path in ROOT.glob("*.py") if path.stem not in OUTSIDE)
PURE = {"attrs", "pendulum", "transitions"}
STANDARD = {"__future__", "calendar", "collections", "datetime", "functools", "hashlib", "itertools", "re"}
STANDARD |= {"textwrap", "types", "typing", "unicodedata"}
CLOCKS = {"monotonic", "now", "perf_counter", "time_ns", "today", "travel_to", "utcnow"}
ALLOWED = {("policy", "licfsm.loading.policies")}  # policy.named reads YAML when a built-in policy is wanted


def nodes(module: str) -> list[ast.AST]:
    """Parse a root module."""
    return list(ast.walk(ast.parse((ROOT / f"{module}.py").read_text(encoding="utf-8"))))


def imports(module: str) -> set[str]:
    """Name what a root module imports, wherever it does."""
    found: set[str] = set()
    for node in nodes(module):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            from_package = node.module == "licfsm"
            found |= {f"licfsm.{alias.name}" for alias in node.names} if from_package else {str(node.module)}
    return found


@pytest.mark.parametrize("module", MODULES)
def test_imports_nothing_that_does_io(module: str) -> None:
    """A root module imports values, calendars and machines only: a list of what is allowed, not of what is not."""
    foreign = {name for name in imports(module) if name.partition(".")[0] not in PURE | STANDARD | {"licfsm"}}
    assert set() == foreign


@pytest.mark.parametrize("module", MODULES)
def test_imports_no_folder(module: str) -> None:
    """A root module knows the other root modules only, but for one import that waits until it is wanted."""
    own = {f"licfsm.{name}" for name in MODULES}
    folders = {name for name in imports(module) if name.startswith("licfsm") and name not in own}
    assert {name for where, name in ALLOWED if where == module} == folders


@pytest.mark.parametrize("module", MODULES)
def test_reads_no_clock(module: str) -> None:
    """Time is an argument: nothing is called that tells it."""
    called = [ast.unparse(node.func) for node in nodes(module) if isinstance(node, ast.Call)]
    read = {name for name in called if name.rpartition(".")[2] in CLOCKS}
    assert set() == read


@pytest.mark.parametrize("module", MODULES)
def test_touches_neither_files_nor_screen(module: str) -> None:
    """Nothing is opened, printed, read from a user or run from text."""
    called = {node.func.id for node in nodes(module) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert set() == called & {"__import__", "eval", "exec", "input", "open", "print"}


def test_only_one_module_knows_transitions() -> None:
    """The table is made into machines in one place."""
    assert ["machine"] == [module for module in MODULES if "transitions" in imports(module)]


def test_the_walk_finds_every_module() -> None:
    """The modules of the core are all looked at."""
    assert {"handlers", "instants", "key", "license", "lifecycle", "machine", "policy", "record", "rules"} <= set(
        MODULES
    )
