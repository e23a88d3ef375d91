from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from licfsm.diagram.artifacts import Artifacts, drift, of_lifecycle, of_policy, of_story
from licfsm.instants import Span
from licfsm.policy import Policy, named
from licfsm.scenario.replay import Replay

COMMITTED = Path(__file__).parents[2] / "diagrams"


@pytest.fixture
def wanted(policies: list[Policy]) -> Artifacts:
    """Give the files of the lifecycle."""
    return of_lifecycle(policies)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Copy the committed files, pictures too, so that a test can spoil them."""
    return Path(shutil.copytree(COMMITTED, tmp_path / "diagrams"))


@pytest.fixture
def committed(folder: Path) -> Artifacts:
    """Give what the committed DOT files say as if it were wanted, whatever the code says by now."""

    @attrs.frozen
    class Kept:
        dot: str
        mermaid: str

    names = [path.stem for path in folder.glob("*.dot")]
    pictures = {name: Kept(*((folder / f"{name}{end}").read_text() for end in (".dot", ".mmd"))) for name in names}
    return Artifacts(pictures, {"lifecycle": (folder / "lifecycle.md").read_text()})


def test_there_is_a_statechart_a_picture_of_each_region_and_an_overview_a_policy(wanted: Artifacts) -> None:
    """All pictures come as DOT and Mermaid, and the table as one Markdown file."""
    names = ["statechart", "entitlement", "auto-update"]
    names += [f"overview-veeam-{version}" for version in (7, 8, 9, 13)]

    assert {f"{name}{end}" for name in names for end in (".dot", ".mmd")} | {"lifecycle.md"} == set(wanted.texts())


def test_a_policy_has_an_overview_and_a_table_of_its_own() -> None:
    """Both carry the policy's name, so they overwrite nothing."""
    assert {"overview-veeam-9.dot", "overview-veeam-9.mmd", "lifecycle-veeam-9.md"} == set(
        of_policy(named("veeam-9")).texts()
    )


def test_an_overview_is_the_same_whichever_way_it_is_asked_for(wanted: Artifacts) -> None:
    """One policy alone is drawn as among the others."""
    assert wanted.texts()["overview-veeam-9.dot"] == of_policy(named("veeam-9")).texts()["overview-veeam-9.dot"]


def test_a_policys_name_makes_a_file_name() -> None:
    """What no file's name can hold is replaced."""
    policy = attrs.evolve(named("veeam-9"), name="acme/1")

    assert {"overview-acme-1.dot", "overview-acme-1.mmd", "lifecycle-acme-1.md"} == set(of_policy(policy).texts())


def test_general_pictures_tell_no_figures(wanted: Artifacts) -> None:
    """The statechart holds under every policy, whatever the built-in ones have in common."""
    text = wanted.texts()["statechart.mmd"]

    assert "some time before the expiration date" in text
    assert not [word for word in ("7 days", "60 minutes", "weekly", "subscription") if word in text]


def test_an_overview_tells_its_policys_figures(wanted: Artifacts) -> None:
    """Two policies that differ in a figure have different pictures."""
    texts = wanted.texts()

    assert "after 30 days of grace (rental#58; 2 months)" in texts["overview-veeam-9.mmd"]
    assert "after 30 days of grace (rental#58; 60 days)" in texts["overview-veeam-13.mmd"]


def test_only_the_formats_that_are_asked_for_are_written(wanted: Artifacts) -> None:
    """A format that needs Graphviz is no text."""
    assert {"lifecycle.md"} == set(wanted.texts(("md", "svg")))


def test_notes_tell_what_the_arrows_do_not(wanted: Artifacts) -> None:
    """What is not drawn, and the day that rule 5.2 grants, stand below the statechart."""
    text = wanted.texts()["statechart.dot"]

    assert "is not drawn; lifecycle.md tells it" in text
    assert "goes on for 24 hours more" in text.replace("<BR/>", " ").replace("\u00a0", " ")


def test_an_overview_says_when_the_expiry_is_announced(wanted: Artifacts) -> None:
    """The notice may come long before Expiring begins."""
    text = wanted.texts()["overview-veeam-13.dot"].replace("<BR/>", " ").replace("\u00a0", " ")

    assert (
        "announced before the expiration date: 30 days (subscription, trial and nfr), 7 days (rental and perpetual)"
        in text
    )


def test_a_story_is_drawn_under_the_name_of_its_file(lived: Callable[[str], Replay]) -> None:
    """A path has its picture, and no table."""
    texts = of_story(lived("2.5-another-policy-moves-it-either-way")).texts()

    assert {
        "path-2.5-another-policy-moves-it-either-way.dot",
        "path-2.5-another-policy-moves-it-either-way.mmd",
    } == set(texts)


def test_a_story_says_whose_figures_it_shows(lived: Callable[[str], Replay]) -> None:
    """Where the policy changes on the way, the figures are those of the beginning."""
    text = of_story(lived("2.5-another-policy-moves-it-either-way")).pictures.popitem()[1]

    assert "Figures are those of veeam-8, under which it begins; later it is veeam-9." in text.notes


def test_a_storys_picture_names_license_and_span(lived: Callable[[str], Replay]) -> None:
    """Times are in the license's zone."""
    picture = of_story(lived("3.3-a-day-is-not-24-hours")).pictures.popitem()[1]

    assert "(Europe/Berlin)" in picture.about[0]


def test_committed_pictures_have_not_been_touched(folder: Path, committed: Artifacts) -> None:
    """Every committed SVG was drawn from the DOT beside it."""
    assert {} == drift(folder, committed)


def test_an_svg_carries_the_hash_of_its_dot(folder: Path) -> None:
    """The hash stands in a comment behind the XML declaration."""
    declaration, comment, *_ = (folder / "statechart.svg").read_text(encoding="utf-8").splitlines()

    assert declaration.startswith("<?xml")
    assert hashlib.sha256((folder / "statechart.dot").read_bytes()).hexdigest() in comment


@pytest.mark.parametrize("name", ["statechart.dot", "entitlement.mmd", "lifecycle.md"])
def test_a_changed_file_is_found(name: str, folder: Path, committed: Artifacts) -> None:
    """One changed character is drift."""
    with (folder / name).open("a", encoding="utf-8") as file:
        file.write("x")

    assert {name: "is not what the code says"} == drift(folder, committed)


def test_a_missing_file_is_found(folder: Path, committed: Artifacts) -> None:
    """Text and picture alike must be there."""
    (folder / "lifecycle.md").unlink()
    (folder / "statechart.svg").unlink()

    assert {"lifecycle.md": "is missing", "statechart.svg": "is missing"} == drift(folder, committed)


def test_an_svg_of_another_dot_is_found(folder: Path, committed: Artifacts) -> None:
    """A picture that was not drawn anew after the table changed tells itself."""
    (folder / "statechart.svg").write_bytes((folder / "entitlement.svg").read_bytes())

    assert {"statechart.svg": "was drawn from another DOT"} == drift(folder, committed)


def test_an_svg_changed_by_hand_is_found(folder: Path, committed: Artifacts) -> None:
    """The picture carries its own hash too."""
    svg = folder / "statechart.svg"
    svg.write_text(svg.read_text(encoding="utf-8").replace("Grace", "Mercy"), encoding="utf-8")

    assert {"statechart.svg": "was changed after it was drawn"} == drift(folder, committed)


def test_an_svg_without_hash_is_found(folder: Path, committed: Artifacts) -> None:
    """A picture from elsewhere is no picture of ours."""
    (folder / "statechart.svg").write_text("<svg/>", encoding="utf-8")

    assert {"statechart.svg": "does not say what it was drawn from"} == drift(folder, committed)


def test_a_figure_that_changed_is_drift(folder: Path) -> None:
    """The overview follows the policy."""
    policy = attrs.evolve(named("veeam-9"), expiring=Span.parse("3 weeks"))

    assert {"overview-veeam-9.dot", "overview-veeam-9.mmd", "overview-veeam-9.svg"} <= set(
        drift(folder, of_policy(policy))
    )
