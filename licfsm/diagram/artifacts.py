"""The generated files: what is in them, and whether committed ones are still what the code says.

An SVG depends on the version of Graphviz, so it cannot be compared with a fresh one. It carries the
SHA-256 of the DOT text that it was drawn from, and of itself: both are checked without drawing anything.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from licfsm.diagram import render
from licfsm.diagram.dot import dot_of
from licfsm.diagram.graph import Graph, graph_of
from licfsm.diagram.markdown import markdown_of
from licfsm.diagram.mermaid import mermaid_of
from licfsm.diagram.path import Path as Way
from licfsm.diagram.path import path_of
from licfsm.diagram.wording import REGION_TITLES, SYMBOLIC, Wording, wording_of
from licfsm.instants import HOUR
from licfsm.lifecycle import AUTO_UPDATE
from licfsm.policy import Policy
from licfsm.rules import EXTENSION
from licfsm.scenario.account import when
from licfsm.scenario.replay import Replay

__all__ = ["ENDINGS", "Artifacts", "Picture", "drift", "of_lifecycle", "of_policy", "of_story"]

ENDINGS: Final[Mapping[str, str]] = {
    "dot": ".dot",
    "svg": ".svg",
    "png": ".png",
    "pdf": ".pdf",
    "mermaid": ".mmd",
    "md": ".md",
}
"""Format -> how its files' names end."""

_TITLE: Final = "The lifecycle of a license"
_BOTH: Final = "Two regions run side by side: a license is always in one state of each."
_CONDITIONS: Final = "[…]: only then, and only if all that stands between commas holds; [else]: in every other case."
_BEGUN: Final = " [begun in …]: the user asked by check now in that state, and has not enabled it since."
_UNDRAWN: Final = (
    "What leaves a state as it is, is not drawn; lifecycle.md tells it, and which condition is tried first."
)
_EXCUSED: Final = (
    "The deadline is the end of the retry period. If it passed while the host was off or asleep, or before the user"
    f" enabled: the server is asked at once, and automatic update goes on for {EXTENSION // HOUR} hours more."
)
_PATH: Final = (
    "Strong: where this story went, how often, when first. Faint: where it did not. Double border: where it ends."
)
_STAMP: Final = "<!-- SHA-256 of the DOT: {} and of this picture: {} -->\n"
_STAMPED: Final = re.compile(_STAMP.format("([0-9a-f]{64})", "([0-9a-f]{64})"))


@attrs.frozen
class Picture:
    """A picture before it is drawn: its title, lines below the title, notes at the foot, regions, a story's path."""

    title: str
    about: tuple[str, ...]
    notes: tuple[str, ...]
    graphs: tuple[Graph, ...]
    path: Way | None = None

    @property
    def dot(self) -> str:
        """Write it for Graphviz."""
        return dot_of(self.graphs, self.title, self.about, self.notes, self.path)

    @property
    def mermaid(self) -> str:
        """Write it for Mermaid."""
        return mermaid_of(self.graphs, self.title, self.path)

    def drawn(self, form: str) -> bytes | None:
        """Draw it in one of `render.PICTURES`; None if nothing here can draw it."""
        dot = self.dot
        data = render.draw(dot, form)
        return _stamped(data, dot) if data and form == "svg" else data


@attrs.frozen
class Artifacts:
    """What is to be written.

    Attributes:
        pictures: file name without ending -> picture.
        tables: file name without ending -> Markdown.

    """

    pictures: dict[str, Picture]
    tables: dict[str, str] = attrs.Factory(dict)

    def texts(self, formats: Container[str] = ENDINGS) -> dict[str, str]:
        """Write what needs no Graphviz: file name -> text.

        Args:
            formats: which formats, of `ENDINGS`; pictures are passed over.

        """
        found = {}
        for name, picture in self.pictures.items():
            if "dot" in formats:
                found[f"{name}.dot"] = picture.dot
            if "mermaid" in formats:
                found[f"{name}.mmd"] = picture.mermaid
        return found | ({f"{name}.md": text for name, text in self.tables.items()} if "md" in formats else {})


def of_lifecycle(policies: Sequence[Policy]) -> Artifacts:
    """List the files of the lifecycle: in general, with the figures of each policy, and in words.

    Args:
        policies: whose overviews are drawn, and whose figures stand in the table.

    """
    statechart = _both(_TITLE, SYMBOLIC)
    pictures = {"statechart": statechart}
    for graph in statechart.graphs:
        other = next(title for region, title in REGION_TITLES.items() if region != graph.region)
        about = (f"One of two regions that run side by side. The other is {other[0].lower()}{other[1:]}",)
        pictures[graph.region.replace("_", "-")] = Picture(
            REGION_TITLES[graph.region], about, _notes([graph], SYMBOLIC), (graph,)
        )
    for policy in policies:
        pictures |= of_policy(policy).pictures
    links = {policy.name: f"{_overview(policy)}.svg" for policy in policies}
    return Artifacts(pictures, {"lifecycle": markdown_of(policies, _TITLE, "statechart.svg", links)})


def of_policy(policy: Policy) -> Artifacts:
    """List the files of one policy: the overview with its figures, and the table."""
    title = f"{_TITLE} under {policy.name}"
    overview = _overview(policy)
    return Artifacts(
        {overview: _both(title, wording_of(policy))},
        {f"lifecycle-{_file_name(policy.name)}": markdown_of([policy], title, f"{overview}.svg")},
    )


def of_story(result: Replay) -> Artifacts:
    """List the file of a story's path."""
    story = result.story
    key, policy = story.key, story.policy.name
    others = dict.fromkeys(force.policy.name for force in result.in_force if force.policy.name != policy)
    changes = f", under which it begins; later it is {', '.join(others)}" if others else ""
    span = f"{when(story.start, key.zone)} to {when(story.end, key.zone)} ({key.zone.name})"
    graphs = _graphs(wording_of(story.policy))
    picture = Picture(
        story.name,
        (f"{key.id}, {key.type}, {span}",),
        (_PATH, f"Figures are those of {policy}{changes}."),
        graphs,
        path_of(result, graphs),
    )
    return Artifacts({f"path-{_file_name(Path(story.file).stem)}": picture})


def drift(folder: Path, wanted: Artifacts) -> dict[str, str]:
    """Find the committed files that are not what the code says; needs no Graphviz.

    Args:
        folder: where they are.
        wanted: what should be there; each DOT is expected to have its SVG.

    Returns:
        File name -> what is wrong with it.

    """
    wrong = {}
    texts = wanted.texts()
    for name, text in texts.items():
        if (found := _read(folder / name)) != text:
            wrong[name] = "is missing" if found is None else "is not what the code says"
        if name.endswith(".dot"):
            picture = name.removesuffix(".dot") + ".svg"
            if mistake := _picture_drift(_read(folder / picture), text):
                wrong[picture] = mistake
    return wrong


def _both(title: str, wording: Wording) -> Picture:
    graphs = _graphs(wording)
    return Picture(title, (_BOTH,), _notes(graphs, wording), graphs)


def _graphs(wording: Wording) -> tuple[Graph, ...]:
    return tuple(graph_of(region, wording) for region in REGION_TITLES)


def _notes(graphs: Sequence[Graph], wording: Wording) -> tuple[str, ...]:
    """List what the arrows of some regions do not say."""
    if any(graph.region == AUTO_UPDATE for graph in graphs):
        return (_CONDITIONS + _BEGUN, _UNDRAWN, _EXCUSED, *wording.notes)
    return (_CONDITIONS, _UNDRAWN, *wording.notes)


def _stamped(data: bytes, dot: str) -> bytes:
    svg = data.decode().replace("\r\n", "\n")
    head, _, body = svg.partition("\n")
    return f"{head}\n{_STAMP.format(_sha256(dot), _sha256(svg))}{body}".encode()


def _picture_drift(svg: str | None, dot: str) -> str:
    if svg is None:
        return "is missing"
    stamp = _STAMPED.search(svg)
    if stamp is None:
        return "does not say what it was drawn from"
    if stamp[1] != _sha256(dot):
        return "was drawn from another DOT"
    return "" if stamp[2] == _sha256(svg.replace(stamp[0], "", 1)) else "was changed after it was drawn"


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def _overview(policy: Policy) -> str:
    return f"overview-{_file_name(policy.name)}"


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]", "-", name)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
