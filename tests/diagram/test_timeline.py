from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from licfsm.diagram import timeline_scene
from licfsm.diagram.timeline import draw_timeline, scene_of
from licfsm.diagram.timeline_events import Event, binned, how_often, joined, stretch_of
from licfsm.diagram.timeline_scene import Scene
from licfsm.errors import InvalidValue
from licfsm.instants import DAY, HOUR, MINUTE
from licfsm.loading.scenarios import load_scenario, scenario_files
from licfsm.scenario.replay import Replay, replay

SCENARIOS = scenario_files([str(Path(__file__).parents[2] / "scenarios")])

pytest.importorskip("altair")
pytest.importorskip("vl_convert")

RETRY = ("at: start, server: connection_failed", "at: start, host: enable")
Lived = Callable[..., Replay]


@pytest.fixture
def lived(tmp_path: Path) -> Lived:
    """Live through a story that is told in a few lines; its license expires on 14 February 2025."""

    def live(*entries: str, start: str = "2025-02-10T09:00", until: str = "2025-02-20", **more: str) -> Replay:
        head = {
            "version": "1",
            "scenario": "A story",
            "policy": "veeam-9",
            "license": "{id: ACME-1, type: subscription, expires: 2025-02-14}",
            "start": start,
            "until": until,
        } | more
        lines = [f"{name}: {value}" for name, value in head.items()]
        lines += ["timeline:", *(f"  - {{{entry}}}" for entry in entries)] if entries else ["timeline: []"]
        file = tmp_path / "story.yaml"
        file.write_text("\n".join(lines), encoding="utf-8")
        return replay(load_scenario(file))

    return live


def svg_of(result: Replay, folder: Path) -> ET.Element:
    """Draw, and parse what was drawn."""
    draw_timeline(result, folder / "picture.svg")
    return ET.fromstring((folder / "picture.svg").read_text(encoding="utf-8"))  # noqa: S314 - we wrote it ourselves


def texts(svg: ET.Element) -> list[str]:
    """List the texts that a reader sees."""
    return [line for element in svg.iter("{http://www.w3.org/2000/svg}text") for line in element.itertext()]


def headings(scene: Scene) -> list[str]:
    return [word.text for word in scene.headings]


def words(scene: Scene) -> list[str]:
    return [word.text for word in scene.words]


def states(scene: Scene) -> list[tuple[str, str]]:
    """List the bars of both lanes, with what their tooltips say of the time."""
    return [(box.what, box.when) for box in scene.boxes if box.style == box.what]


def test_the_picture_names_all_it_shows(lived: Lived, tmp_path: Path) -> None:
    """Title, lanes, states, outcomes, notices, actions, deadlines and the legend are readable in the SVG."""
    shown = texts(svg_of(lived("at: start, host: enable"), tmp_path))

    assert {
        "A story",
        "ACME-1, subscription, veeam-9, UTC: passed",
        "2025-02-10 09:00 to 2025-02-20 00:00",
        "entitlement",
        "automatic update",
        "Expiring",
        "Grace",
        "Scheduled",
        "up to date",
        "10 checks",
        "grace started",
        "1 mail, 1 report",
        "enable",
        "expires after 2025-02-14",
        "good check",
    } <= set(shown)


def test_screen_readers_are_told_the_same(lived: Lived, tmp_path: Path) -> None:
    """The labels of marks say what and when, and not where they are drawn."""
    labels = {element.get("aria-label") or "" for element in svg_of(lived(*RETRY), tmp_path).iter()}

    assert {
        "Grace, 2025-02-15 00:00 to 2025-02-20 00:00",
        "host: enable, 2025-02-10 09:00",
        "expires, 2025-02-15 00:00",
    } <= labels
    assert not [label for label in labels if "color:" in label]


def test_lanes_show_states_and_not_questions(lived: Lived) -> None:
    """A day of hourly retries is one bar, though a question interrupts it each hour."""
    result = lived(*RETRY, start="2025-02-14T12:00", until="2025-02-15T12:00")

    assert [
        ("Expiring", "2025-02-14 12:00 to 2025-02-15 00:00"),
        ("Grace", "2025-02-15 00:00 to 2025-02-15 12:00"),
        ("Retrying", "2025-02-14 12:00 to 2025-02-15 12:00"),
    ] == states(scene_of(result))


def test_a_long_question_is_a_bar(lived: Lived) -> None:
    """A check that takes an eighth of the story is a state like others."""
    server = "at: start, server: {answer: up_to_date, takes: 1 hour}"
    result = lived(server, "at: start, host: enable", until="2025-02-10T17:00")

    assert [
        ("Checking", "2025-02-10 09:00 to 2025-02-10 10:00"),
        ("Scheduled", "2025-02-10 10:00 to 2025-02-10 17:00"),
    ] == states(scene_of(result))[1:]


def test_few_checks_are_ticks(lived: Lived) -> None:
    """Each can be pointed at, with its time and outcome."""
    ticks = scene_of(lived("at: start, host: enable", until="2025-02-12T12:00")).ticks

    assert ["2025-02-10 09:00", "2025-02-11 09:00", "2025-02-12 09:00"] == [tick.when for tick in ticks]
    assert {("good check", "check: up to date")} == {(tick.style, tick.what) for tick in ticks}


def test_a_long_run_of_retries_is_density(lived: Lived) -> None:
    """Of 28 days of retries every hour none is a tick; bars count them, and add up to all."""
    scene = scene_of(lived(*RETRY, start="2025-02-15", until="2025-03-15"))
    bars = [box for box in scene.boxes if box.style == "many: failed check"]

    assert [] == scene.ticks
    assert 4 * 28 + 1 == len(bars)  # four a day, and the last question at the end of the story
    assert 28 * 24 + 1 == sum(int(bar.what.partition(" × ")[0]) for bar in bars)
    assert ("2025-02-15 00:00 to 2025-02-15 05:00", "6 × check: connection failed") == (bars[0].when, bars[0].what)
    assert "1 an hour" in words(scene)
    assert "673 checks" in headings(scene)


def test_a_mail_for_every_retry_is_density_too(lived: Lived) -> None:
    """Mails and reports stand in two halves of their row, and are counted in its heading."""
    scene = scene_of(lived(*RETRY, start="2025-02-15T00:30", until="2025-03-01"))
    mails, reports = ([box for box in scene.boxes if box.style == f"many: {kind}"] for kind in ("mail", "report"))

    assert "336 mails, 336 reports" in headings(scene)  # 14 days, from half past midnight
    assert max(box.bottom for box in mails) < min(box.top for box in reports)


def test_density_tells_of_every_kind_in_it(lived: Lived) -> None:
    """Of the questions from 00:00 to 03:00 on 20 February, the last one fails otherwise."""
    entry = "at: 2025-02-20T02:30, server: generation_failed"
    scene = scene_of(lived(*RETRY, entry, start="2025-02-15", until="2025-03-15"))
    (bar,) = [box for box in scene.boxes if box.style == "many: report" and box.when.startswith("2025-02-20 00:00")]

    assert re.fullmatch("3 × report: .*could not be reached, 1 × report: .*generation error.*", bar.what)


def test_midnights_are_told_by_the_day_before_only_where_all_end(lived: Lived) -> None:
    """What begins on a day begins at its midnight; what ends with a day is named by that day (1.1)."""
    shown = words(scene_of(lived(start="2025-02-01", until="2025-03-20")))

    assert {"expires after 2025-02-14", "retrying ends after 2025-03-14", "grace ends after 2025-03-16"} <= set(shown)
    assert "announced, Expiring begins 2025-02-07" in shown


def test_a_picture_that_cannot_be_written_is_named(lived: Lived, tmp_path: Path) -> None:
    """By its own name, not by that of its draft."""
    picture = tmp_path / "nowhere" / "picture.svg"
    with pytest.raises(FileNotFoundError) as caught:
        draw_timeline(lived(), picture)

    assert str(picture) == caught.value.filename


def test_mail_and_report_differ_by_shape(lived: Lived) -> None:
    """One mail and one report lie above each other, each with its text."""
    scene = scene_of(lived(start="2025-02-14T12:00", until="2025-02-14T13:00"))
    mail, report = scene.marks

    assert ("mail", "report") == (mail.style, report.style)
    assert "mail: License ACME-1 expires in 1 day" == mail.what[:37]
    assert timeline_scene.SHAPES["mail"] != timeline_scene.SHAPES["report"]


def test_times_are_the_zones(lived: Lived, tmp_path: Path) -> None:
    """In Kathmandu (5:45 ahead) a license begins and ends by its own clock, on the axis too."""
    license_ = "{id: ACME-1, type: subscription, expires: 2025-02-14, zone: Asia/Kathmandu}"
    result = lived("at: start, host: enable", until="2025-02-16", license=license_)
    scene = scene_of(result)

    assert 1739178000000 == scene.start  # 2025-02-10T09:00 as if it were UTC
    assert "2025-02-10 09:00" == scene.ticks[0].when
    assert "expires after 2025-02-14" in words(scene)
    assert "Feb 11" in texts(svg_of(result, tmp_path))


def test_deadlines_outside_are_left_out(lived: Lived) -> None:
    """Only what lies between start and end of the story gets a line."""
    assert ["expires"] == [line.what for line in scene_of(lived()).deadlines]


def test_deadlines_at_one_instant_share_a_line(lived: Lived) -> None:
    """In April 30 days of grace end with retrying."""
    license_ = "{id: ACME-1, type: subscription, expires: 2025-04-10}"
    scene = scene_of(lived(start="2025-05-01", until="2025-06-01", license=license_))

    assert ["grace ends, retrying ends after 2025-05-10"] == [text for text in words(scene) if "ends" in text]


def test_labels_of_deadlines_keep_apart(lived: Lived) -> None:
    """No two labels of deadlines overlap, and no line passes through another's label."""
    license_ = "{id: ACME-1, type: rental, expires: 2025-02-14}"
    scene = scene_of(lived(start="2025-01-01", until="2025-04-20", license=license_))
    scale = timeline_scene.WIDTH / (scene.end - scene.start)
    labels = []
    for word in scene.words:
        if re.search(r"20\d\d-\d\d-\d\d", word.text):
            left, width = (word.x - scene.start) * scale, timeline_scene.width_of(word.text)
            labels.append((left - width if word.align == "right" else left, width, word.y))

    assert 4 == len(labels)
    for left, width, y in labels:
        others = [other for other in labels if other != (left, width, y)]
        assert not [1 for x, wide, at in others if at == y and x < left + width and left < x + wide]
        through = [line for line in scene.deadlines if left + 1 < (line.x - scene.start) * scale < left + width - 1]
        assert not [line for line in through if line.top < y]


def test_a_replaced_keys_deadlines_are_told_apart(lived: Lived) -> None:
    """What would have come without the new key is gray, and says so."""
    scene = scene_of(lived("at: 2025-02-12, host: {do: install, expires: 2026-02-14}"))

    assert [("replaced deadline", "expires (replaced)")] == [(line.style, line.what) for line in scene.deadlines]
    assert "deadline of a replaced key or policy" in words(scene.legend())


def test_labels_of_replaced_keys_give_way(lived: Lived) -> None:
    """Six keys, five of them replaced at once: all lines are drawn, but only what stood keeps its words."""
    entries = [f"at: 2025-02-{day}, host: {{do: install, expires: 2025-0{day - 7}-01}}" for day in range(11, 17)]
    scene = scene_of(lived(*entries, until="2025-12-01"))

    assert 20 == len(scene.deadlines)  # 24, of which four fall on the expiry of the next key
    assert [] == [text for text in words(scene) if "(replaced)" in text]
    assert {"deadline", "replaced deadline"} == {line.style for line in scene.deadlines}
    assert "grace ends, retrying ends after 2025-10-01" in words(scene)  # 1 September + 30 days, to the end of that day


def test_a_sleeping_host_is_a_band_through_all_rows(lived: Lived) -> None:
    """From the suspend to the waking; to the end of the picture if it does not wake."""
    entry = "at: 2025-02-11, host: {{do: suspend, until: {}}}"
    awake, never = (scene_of(lived(entry.format(until))) for until in ("2025-02-13T12:00", "2025-03-01"))
    band = next(box for box in awake.boxes if box.style == "asleep")

    assert ("2025-02-11 00:00 to 2025-02-13 12:00", "the host is asleep") == (band.when, band.what)
    assert awake.height == band.bottom
    assert "suspend" in words(awake)
    assert "host: suspend until 2025-02-13 12:00" in [mark.what for mark in awake.marks]
    assert [never.end] == [box.right for box in never.boxes if box.style == "asleep"]


def test_actions_close_together_share_a_mark(lived: Lived) -> None:
    """Four at one instant: three are named, and the tooltip has all."""
    changes = [f"at: 2025-02-12, world: {change}" for change in ("{mail: down}", "{target: fails}", "{mail: up}")]
    scene = scene_of(lived(*changes, "at: 2025-02-12, world: {target: ok}"))
    (mark,) = (mark for mark in scene.marks if mark.style == "world")

    assert "mail: down, target: fails, mail: up, … (4 in all)" in words(scene)
    assert "world: mail: down, world: target: fails, world: mail: up, world: target: ok" == mark.what


def test_words_beside_marks_are_staggered(lived: Lived) -> None:
    """Actions an hour apart stand on levels of their own; past the eighth only the marks are left."""
    entries = [f"at: 2025-02-12T{hour:02}:00, world: {{mail: {'down' if hour % 2 else 'up'}}}" for hour in range(20)]
    scene = scene_of(lived(*entries))
    shown = [word for word in scene.words if word.text.startswith("mail: ")]

    assert 20 > len(shown) >= 8
    assert 8 == len({word.y for word in shown})


def test_a_host_with_another_clock_is_told(lived: Lived) -> None:
    """The axis is true time; the tooltip says what the host's clock showed."""
    scene = scene_of(lived("at: 2025-02-12, world: {clock: 2025-02-11T12:00}", "at: 2025-02-12, host: enable"))

    assert scene.about[1].endswith("; true time, the host's clock differs at times")
    assert "2025-02-12 00:00" == scene.ticks[0].when
    assert "check: up to date (the host's clock: 2025-02-11 12:00)" == scene.ticks[0].what


def test_a_failed_expectation_is_a_cross(lived: Lived, tmp_path: Path) -> None:
    """It stands at its time, with what was expected and what was seen."""
    result = lived("at: 2025-02-12, expect: {entitlement: Grace}")
    (cross,) = (mark for mark in scene_of(result).marks if mark.style == "not as expected")

    assert ("2025-02-12 00:00", "entitlement: expected Grace, got Expiring") == (cross.when, cross.what)
    assert "ACME-1, subscription, veeam-9, UTC: FAILED: 1 not as expected" in texts(svg_of(result, tmp_path))


@pytest.mark.parametrize(
    ("more", "seen"),
    [
        ({"until": "2025-02-10T09:00"}, "10:00"),  # one instant
        ({"until": "2025-02-10T09:00:01"}, "09:00:30"),
        ({"until": "2125-02-10"}, "2050"),
        ({"license": "{id: ACME-1, type: perpetual, expires: ~}"}, "Valid"),
        ({"start": "1000-01-02", "until": "1000-03-01"}, "1000"),
        ({"start": "9400-01-02", "until": "9400-03-01"}, "9400"),
    ],
)
def test_the_corners_of_time_are_drawn(lived: Lived, tmp_path: Path, more: dict[str, str], seen: str) -> None:
    """One instant, a second, a century, no expiry, the first and the last years."""
    shown = texts(svg_of(lived("at: start, host: enable", **more), tmp_path))

    assert [text for text in shown if re.search(seen, text)]


def test_a_short_states_name_is_cut(lived: Lived) -> None:
    """A name that does not fit is its letter, or only in the tooltip."""
    entries = ["at: start, host: enable", "at: 2025-02-10T18:00, host: disable", "at: 2025-02-10T20:00, host: enable"]
    scene = scene_of(lived(*entries))
    names = [word.text for word in scene.words if word.style in {"in Off", "in Scheduled"}]

    assert ["S", "Scheduled"] == names
    assert "Off" in words(scene.legend())


def test_texts_break_out_of_nothing(lived: Lived, tmp_path: Path) -> None:
    """A name with markup is text in the SVG and in the page; a control character is left out."""
    name = "</script><script>alert(1)</script>&<!--"
    result = lived(scenario=f'"{name}\\a"')
    draw_timeline(result, tmp_path / "picture.html")
    page = (tmp_path / "picture.html").read_text(encoding="utf-8")

    assert name in [text.strip() for text in texts(svg_of(result, tmp_path))]
    assert 2 == page.count("<script>") == page.count("</script>")
    assert name in json.loads(spec_of(page))["title"]["text"]


def spec_of(page: str) -> str:
    """Find the chart in a page."""
    found = re.search(r'vegaEmbed\("#timeline", (.*), \{"actions": false, "renderer": "svg"\}\);', page)
    assert found
    return found[1]


def test_the_page_has_tooltips_and_needs_nothing(lived: Lived, tmp_path: Path) -> None:
    """Times and words are in the page, and its policy forbids to load anything."""
    draw_timeline(lived("at: start, host: enable"), tmp_path / "PICTURE.HTML")
    page = (tmp_path / "PICTURE.HTML").read_text(encoding="utf-8")

    assert '"when": "2025-02-10 09:00", "what": "check: up to date"' in spec_of(page)
    assert "default-src 'none'" in page
    assert "src=" not in re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
def test_a_browser_draws_the_page(lived: Lived, tmp_path: Path) -> None:
    """Without a network the page shows the states and the title."""
    draw_timeline(lived("at: start, host: enable", scenario="'</script>one & two'"), tmp_path / "picture.html")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    offline = ["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=10000", "--dump-dom"]
    page = (tmp_path / "picture.html").as_uri()
    done = subprocess.run(
        ["chromium", *options, *offline, page], capture_output=True, text=True, check=True, timeout=60
    )

    shown = re.findall(r"<(?:text|tspan)[^>]*>([^<]+)<", done.stdout)
    assert {"&lt;/script&gt;one &amp; two", "Expiring", "Grace", "Scheduled", "Feb 11"} <= set(shown)


def test_only_svg_and_html_are_written(lived: Lived, tmp_path: Path) -> None:
    """Another suffix is refused with the two that are not."""
    with pytest.raises(InvalidValue, match=r"ends in \.svg or \.html, not to 'picture\.png'"):
        draw_timeline(lived(), tmp_path / "picture.png")


def test_what_is_missing_is_told(lived: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without altair one line says how to get it."""
    monkeypatch.setitem(sys.modules, "altair", None)
    monkeypatch.delitem(sys.modules, "licfsm.diagram.timeline_chart", raising=False)
    with pytest.raises(InvalidValue, match=r"pip install 'licfsm\[plot\]'"):
        draw_timeline(lived(), tmp_path / "picture.svg")


def test_nothing_half_is_left(lived: Lived, tmp_path: Path) -> None:
    """A file that cannot be written leaves what was there, and nothing beside it."""
    (tmp_path / "folder" / "picture.svg").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        draw_timeline(lived(), tmp_path / "folder" / "picture.svg")

    assert ["picture.svg"] == [entry.name for entry in (tmp_path / "folder").iterdir()]


def test_a_picture_takes_the_place_of_an_older_one(lived: Lived, tmp_path: Path) -> None:
    """It is written over, and nothing is left beside it."""
    (tmp_path / "picture.svg").write_text("old", encoding="utf-8")
    svg_of(lived(), tmp_path)

    assert {"picture.svg", "story.yaml"} == {entry.name for entry in tmp_path.iterdir()}


@pytest.mark.parametrize("file", SCENARIOS, ids=lambda file: file.stem)
def test_every_scenario_is_laid_out(file: Path) -> None:
    """Nothing lies outside the picture, and the legend has all states."""
    scene = scene_of(replay(load_scenario(file)))

    for box in scene.boxes:
        assert scene.start <= box.x <= box.right <= scene.end
        assert 0 <= box.top <= box.bottom <= scene.height
    assert {box.style for box in scene.boxes} >= {word.text for word in scene.legend().words if word.text[0].isupper()}


def test_a_count_says_its_unit() -> None:
    """Even runs are told as they are, uneven ones by their most; twelve in half a day are one an hour."""

    def often(counts: list[int], stretch: int) -> str:
        bins = {place: [Event(0, 0, "", "")] * count for place, count in enumerate(counts)}
        return how_often(bins, stretch)

    assert "24 a day" == often([3, 24, 24, 1], DAY)
    assert "up to 24 a day" == often([3, 24, 12, 1], DAY)
    assert "1 an hour" == often([12, 12, 12], 12 * HOUR)
    assert "up to 1 a week" == often([52, 50], 364 * DAY)
    assert "up to 5 in 6 hours" == often([5, 2], 6 * HOUR)


def test_stretches_begin_on_the_clock() -> None:
    """Days begin at midnight, weeks on Monday; the shortest that is long enough is chosen."""
    wednesday = 1739318400000  # 2025-02-12

    assert {wednesday} == set(binned([Event(0, wednesday + HOUR, "", "")], DAY))
    assert {wednesday - 2 * DAY} == set(binned([Event(0, wednesday + HOUR, "", "")], 7 * DAY))
    assert MINUTE == stretch_of(1.0)
    assert 6 * HOUR == stretch_of(4.0 * HOUR)
    assert 36_400 * DAY == stretch_of(1e18)


def test_long_lists_are_cut() -> None:
    """Of many words the first three are shown, each once."""
    assert "a, b" == joined(["a", "b", "a"])
    assert "a, b, c, … (5 in all)" == joined(["a", "b", "c", "d", "a"])
    assert "x" * 59 + "…" == joined(["x" * 80])


def test_no_two_times_are_labeled_alike(tmp_path: Path) -> None:
    """Over six days, what lies between the days is told by its hour: noon is no second 2 February."""
    story = next(file for file in SCENARIOS if file.stem == "7.5-a-clock-wrong-for-a-moment")
    draw_timeline(replay(load_scenario(story)), tmp_path / "life.svg")
    labels = re.findall(r">(Feb \d+)<", (tmp_path / "life.svg").read_text(encoding="utf-8"))
    assert len(labels) > 3
    assert sorted(set(labels)) == sorted(labels)
