from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from licfsm.cli.main import main
from licfsm.diagram import artifacts as module
from licfsm.diagram.artifacts import artifacts, drift, svg_of
from licfsm.policy import Policy, named

COMMITTED = Path(__file__).parents[2] / "diagrams"


@pytest.fixture(autouse=True)
def _no_graphviz(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")


@pytest.fixture
def texts(policies: list[Policy]) -> dict[str, str]:
    """Give the general files but for the SVGs."""
    return artifacts(policies)


@pytest.fixture
def folder(tmp_path: Path, texts: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write all files as if Graphviz had drawn the SVGs."""
    with monkeypatch.context() as patched:
        patched.setattr(module.graphviz.Source, "pipe", lambda *_, **__: '<?xml version="1.0"?>\r\n<svg/>\r\n')
        for name, text in texts.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
            if name.endswith(".dot"):
                (tmp_path / name).with_suffix(".svg").write_text(svg_of(text) or "", encoding="utf-8")
    return tmp_path


def run(*arguments: object) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["diagrams", *map(str, arguments)])


@pytest.mark.parametrize("arguments", [(), ("--policy", "veeam-9")])
def test_the_committed_files_are_what_the_code_says(arguments: tuple[str, ...]) -> None:
    """Whoever changes the table draws it anew."""
    result = run("--check", "--out", COMMITTED, *arguments)

    assert (result.output, result.exit_code) == ("", 0)


def test_there_is_a_statechart_and_a_picture_of_each_region(texts: dict[str, str]) -> None:
    """All pictures come as DOT and Mermaid, and the table as Markdown."""
    names = ("statechart", "entitlement", "auto-update")

    assert {f"{name}{end}" for name in names for end in (".dot", ".mmd")} | {"lifecycle.md"} == set(texts)


def test_a_policys_files_carry_its_name() -> None:
    """The pictures of a policy do not overwrite the general ones."""
    assert "statechart-veeam-9.dot" in artifacts([named("veeam-9")])


def test_an_svg_carries_the_hash_of_its_dot(folder: Path, texts: dict[str, str]) -> None:
    """The hash stands in a comment behind the XML declaration."""
    declaration, comment, *_ = (folder / "statechart.svg").read_text(encoding="utf-8").splitlines()

    assert declaration.startswith("<?xml")
    assert hashlib.sha256(texts["statechart.dot"].encode()).hexdigest() in comment


def test_fresh_files_have_not_drifted(folder: Path, texts: dict[str, str]) -> None:
    """What was just written needs no drawing."""
    assert drift(folder, texts) == {}


@pytest.mark.parametrize("name", ["statechart.dot", "entitlement.mmd", "lifecycle.md"])
def test_a_changed_file_is_found(name: str, folder: Path, texts: dict[str, str]) -> None:
    """One changed character is drift."""
    (folder / name).write_text(texts[name] + "x", encoding="utf-8")

    assert {name: "is not what the code says"} == drift(folder, texts)


def test_a_missing_file_is_found(folder: Path, texts: dict[str, str]) -> None:
    """Text and picture alike must be there."""
    (folder / "lifecycle.md").unlink()
    (folder / "statechart.svg").unlink()

    assert drift(folder, texts) == {"lifecycle.md": "is missing", "statechart.svg": "is missing"}


def test_an_svg_of_another_dot_is_found(folder: Path, texts: dict[str, str]) -> None:
    """A picture that was not drawn anew after the table changed tells itself."""
    (folder / "statechart.svg").write_bytes((folder / "entitlement.svg").read_bytes())

    assert drift(folder, texts) == {"statechart.svg": "was drawn from another DOT"}


def test_an_svg_changed_by_hand_is_found(folder: Path, texts: dict[str, str]) -> None:
    """The picture carries its own hash too."""
    svg = folder / "statechart.svg"
    svg.write_text(svg.read_text(encoding="utf-8").replace("<svg/>", "<svg></svg>"), encoding="utf-8")

    assert drift(folder, texts) == {"statechart.svg": "was changed after it was drawn"}


def test_an_svg_without_hash_is_found(folder: Path, texts: dict[str, str]) -> None:
    """A picture from elsewhere is no picture of ours."""
    (folder / "statechart.svg").write_text("<svg/>", encoding="utf-8")

    assert drift(folder, texts) == {"statechart.svg": "does not say what it was drawn from"}


def test_checking_names_each_file_and_ends_with_1(folder: Path) -> None:
    """The command line tells which files drifted, and how to draw them anew."""
    (folder / "lifecycle.md").unlink()
    result = run("--check", "--out", folder)

    assert result.exit_code == 1
    assert f"{folder / 'lifecycle.md'} is missing" == result.output.splitlines()[0]
    assert f"Draw anew with: licfsm diagrams --out {folder}" in result.output


def test_without_graphviz_the_rest_is_written(tmp_path: Path, texts: dict[str, str]) -> None:
    """One line says how to get it, and the exit status is 0."""
    result = run("--out", tmp_path / "new")

    assert result.exit_code == 0
    assert set(texts) == {path.name for path in (tmp_path / "new").iterdir()}
    assert sum("https://graphviz.org/download/" in line for line in result.output.splitlines()) == 1


def test_a_misspelled_policy_is_refused(tmp_path: Path) -> None:
    """The nearest name is offered, and nothing is written."""
    result = run("--policy", "veam-9", "--out", tmp_path / "new")

    assert (result.exit_code, (tmp_path / "new").exists()) == (2, False)
    assert "did you mean 'veeam-9'?" in result.output


def test_a_policy_file_is_drawn_under_its_own_name(tmp_path: Path) -> None:
    """Another product's policy needs no place in this package."""
    (tmp_path / "acme.yaml").write_text("version: 1\npolicy: acme/1\nextends: veeam-9\nexpiring: 3 weeks\n")
    run("--policy", tmp_path / "acme.yaml", "--out", tmp_path)

    assert "3 weeks before" in (tmp_path / "entitlement-acme-1.mmd").read_text(encoding="utf-8")
