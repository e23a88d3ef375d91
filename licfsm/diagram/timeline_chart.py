"""Draws a timeline's scene with altair: as SVG, or as HTML that needs nothing from elsewhere."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import Any, Final

import altair as alt
import attrs
import vl_convert

from licfsm.diagram.timeline_scene import BLACK, FILLS, INKS, SHAPES, WIDTH, Box, Line, Mark, Scene, Word
from licfsm.instants import DAY

__all__ = ["html_of", "svg_of"]

_FONT: Final = "Helvetica, Arial, sans-serif"
_HEADINGS: Final = 150
_FONT_SIZE: Final = 11
_MARK: Final = 90
_DAYS: Final = 3 * DAY
_YEARS: Final = 3 * 366 * DAY
_TOOLTIP: Final = [alt.Tooltip(field="when", type="nominal", title="time"), alt.Tooltip(field="what", type="nominal")]

_HTML: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>body {{ margin: 16px; background: #fff; }}</style>
</head>
<body>
<div id="timeline"></div>
<noscript>{title}: this picture is drawn by the script in this file, which your browser does not run.</noscript>
<script>{bundle}</script>
<script>vegaEmbed("#timeline", {spec}, {{"actions": false, "renderer": "svg"}});</script>
</body>
</html>
"""


def svg_of(scene: Scene) -> str:
    """Draw a scene as SVG."""
    return vl_convert.vegalite_to_svg(_spec(scene))


def html_of(scene: Scene) -> str:
    """Draw a scene as a page of HTML, with tooltips."""
    # Inside a script, only "<" can begin what ends it or hides it.
    spec = json.dumps(_spec(scene)).replace("<", r"\u003c")
    bundle = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its types forget the default
    return _HTML.format(title=html.escape(scene.title), bundle=bundle, spec=spec)


def _spec(scene: Scene) -> dict[str, Any]:  # JSON
    # Titles begin where the headings do, left of the time axis.
    title = alt.TitleParams(
        text=scene.title,
        subtitle=scene.about,
        anchor="start",
        frame="group",
        dx=-_HEADINGS,
        offset=10,
    )
    chart = (
        alt.vconcat(
            _panel(scene, _axis(scene)),
            _panel(scene.legend(), None),
            spacing=14,
            title=title,
            background="white",
            padding=10,
            description=". ".join([scene.title, *scene.about]),
        )
        .configure(font=_FONT)
        .configure_view(stroke=None)
        .configure_title(
            fontSize=15, fontWeight="bold", subtitleFontSize=11, subtitleColor=BLACK, subtitlePadding=4, color=BLACK
        )
    )
    spec: dict[str, Any] = chart.to_dict()
    return spec


def _panel(scene: Scene, axis: alt.Axis | None) -> alt.LayerChart | alt.FacetChart:
    time = alt.Scale(type="utc", domain=[scene.start, scene.end], nice=False)
    height = alt.Scale(domain=[0, scene.height], reverse=True, nice=False, zero=False)
    x = alt.X(field="x", type="temporal", axis=axis, title=None, scale=time)
    right = alt.X2(field="right")
    y, top = (alt.Y(field=name, type="quantitative", axis=None, scale=height) for name in ("y", "top"))
    fill = alt.Fill(field="color", type="nominal", scale=None)
    stroke = alt.Stroke(field="color", type="nominal", scale=None)
    edge = alt.Stroke(field="edge", type="nominal", scale=None)
    shape = alt.Shape(field="shape", type="nominal", scale=None)
    text = alt.Text(field="text", type="nominal")
    upright = {"y": top, "y2": alt.Y2(field="bottom")}
    # Without a description, screen readers are told coordinates and colors.
    told: dict[str, Any] = {"tooltip": _TOOLTIP, "description": alt.Description(field="told", type="nominal")}
    words = {"x": x, "y": y, "text": text, "description": alt.Description(field="text", type="nominal")}

    layers = [
        _marks(scene.backs).mark_rect(opacity=1, aria=False).encode(x=x, x2=right, fill=fill, **upright),
        _marks(scene.deadlines)
        .mark_rule(strokeWidth=1.2, strokeDash=[4, 3])
        .encode(x=x, stroke=stroke, **told, **upright),
        _marks(scene.boxes)
        .mark_rect(opacity=1, strokeWidth=0.5)
        .encode(x=x, x2=right, fill=fill, stroke=edge, **told, **upright),
        _marks(scene.ticks).mark_rule(strokeWidth=2).encode(x=x, stroke=stroke, **told, **upright),
        _marks(scene.marks)
        .mark_point(filled=False, stroke=BLACK, strokeWidth=0.8, opacity=1, size=_MARK)
        .encode(x=x, y=y, fill=fill, shape=shape, **told),
    ]
    for align in ("left", "center", "right"):
        chart = _marks([word for word in scene.words if word.align == align])
        plain: dict[str, Any] = {"align": align, "baseline": "middle", "fontSize": _FONT_SIZE, "tooltip": None}
        if align != "center":  # what is written in boxes needs no halo against the lines behind it
            layers.append(
                chart.mark_text(stroke="white", strokeWidth=3, strokeJoin="round", aria=False, **plain).encode(**words)
            )
        layers.append(chart.mark_text(**plain).encode(fill=fill, **words))
    layers.append(
        _marks(scene.headings)
        .mark_text(align="left", baseline="middle", fontSize=_FONT_SIZE)
        .encode(**words | {"x": alt.value(-_HEADINGS)}, fill=fill)
    )
    return alt.layer(*layers).properties(width=WIDTH, height=scene.height)


def _marks(things: Sequence[Box | Line | Mark | Word]) -> alt.Chart:
    values = []
    for thing in things:
        value = attrs.asdict(thing)
        style = value.pop("style")
        if not isinstance(thing, Word):
            value["told"] = f"{thing.what}, {thing.when}" if thing.what else style
        value["color"] = INKS.get(style, BLACK) if isinstance(thing, Word) else FILLS[style]
        if isinstance(thing, Mark):
            value["shape"] = SHAPES[style]
        if isinstance(thing, Box):  # dark edges would make soup of many narrow bars, and cut the sleeping host's states
            value["edge"] = "transparent" if style == "asleep" else "white" if style.startswith("many") else BLACK
        values.append(value)
    return alt.Chart(alt.InlineData(values=values))


def _axis(scene: Scene) -> alt.Axis:
    """Label times so that the first label, and each that begins a day or a year, says which."""
    if scene.end - scene.start > _YEARS:
        first, second = "utcmonth(datum.value) ? '%b %Y' : '%Y'", "''"
    elif scene.end - scene.start > _DAYS:
        first, second = "utchours(datum.value) ? '%H:%M' : '%b %-d'", "datum.index ? '' : '%Y'"
    else:
        time = "utcseconds(datum.value) ? '%H:%M:%S' : '%H:%M'"
        first, second = time, "datum.index && utchours(datum.value) + utcminutes(datum.value) ? '' : '%b %-d, %Y'"
    label = f"[utcFormat(datum.value, {first}), utcFormat(datum.value, {second})]"
    return alt.Axis(
        labelExpr=label, tickCount=9, labelFontSize=_FONT_SIZE, labelColor=BLACK, gridColor="#e4e4e4", labelFlush=False
    )
