import ast
from pathlib import Path

import licfsm

ROOT = Path(licfsm.__file__).parent


def imports(path: Path) -> set[str]:
    """Name the modules that a file imports, wherever it does."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return found | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}


def test_what_a_host_embeds_does_not_know_it() -> None:
    """Nothing imports `licfsm.web` but itself, the demo and their commands: a host needs none of its packages."""
    apart = [ROOT / "web", ROOT / "demo", ROOT / "cli"]
    hosts = [path for path in ROOT.rglob("*.py") if not any(path.is_relative_to(folder) for folder in apart)]
    assert [] == [path.name for path in hosts if any(name.startswith("licfsm.web") for name in imports(path))]


def test_the_walk_sees_imports() -> None:
    """The walk above would see one."""
    assert "licfsm.web.control" in imports(ROOT / "cli" / "devserver.py")
