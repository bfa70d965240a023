"""Charts are Vega-Lite specifications, which the browser shows with the library in Altair.

A specification is made once a kind of chart; the page gives each chart its data as columns. All of
them know two parameters: ``shown``, the labels of the runs that the table shows (null: all), and
``picked``, one run or colour that stands out.
"""

from collections.abc import Sequence
from typing import Any

import altair as alt

from robust.report.packing import tooltip
from robust.vocabulary import Norm

_SHOWN = "shown == null || indexof(shown, datum.run) >= 0"
_FAINT = "picked == '' || datum.run == picked || datum.color == picked"
_DASHES = {
    "deployed": [1, 0],
    "published": [2, 3],
    "transfer": [8, 3, 2, 3],
    "adaptive": [7, 4],
}
_WIDTHS = {"deployed": 1.5, "published": 2.5, "transfer": 2.5, "adaptive": 2.5}
_UNITS: dict[Norm, str] = {
    "Linf": "Linf, pixel units",
    "L2": "L2, pixel units",
    "L1": "L1, pixel units",
    "L0": "L0, pixels",
}
_SHAPES = [
    *("triangle-left", "cross", "triangle-up", "diamond"),
    *("triangle-down", "triangle-right", "square", "circle"),
]
HEIGHT = 260
"""Pixels of a chart with lines."""
PARETO_HEIGHT = 340
"""Pixels of that of clean against robust accuracy, at least."""
LINE = 13.0
"""Pixels of a label."""
_HEAT = alt.Scale(domain=[0, 50, 100], range=["#b5364f", "#e0992f", "#2f8fd0"],
                  interpolate="rgb")  # fmt: skip
"""Colours that are visible on a light and on a dark background."""


def accuracy_curve_spec(
    names: Sequence[str], norm: Norm, ticks: Sequence[float] = (), *, points: bool
) -> dict[str, Any]:
    """Return a chart of robust accuracy against eps, with views by dashes, intervals as bands.

    Columns: ``run``, ``color``, ``view``, ``eps``, ``within`` (eps as text), ``rate``, ``low``,
    ``high`` (in %), ``n``.

    Args:
        names: Names that have a colour.
        norm: Of eps.
        ticks: Of eps, in grey levels; decimals without any.
        points: Whether only some eps were measured, which are marked.
    """
    views = list(_DASHES)
    base = _base().encode(
        x=alt.X("eps:Q", title=f"eps ({_UNITS[norm]})", axis=_eps_axis(ticks)),
        color=_color(names),
        detail=["run:N", "view:N"],
    )
    accuracy = alt.Y("rate:Q", title="robust accuracy, %", scale=alt.Scale(domain=[0, 100]))
    band = base.mark_area(aria=False).encode(
        y=alt.Y("low:Q", title="robust accuracy, %"), y2="high:Q", opacity=_opacity(0.13, 0.02)
    )
    line = base.mark_line(aria=False).encode(
        y=accuracy,
        opacity=_opacity(1.0, 0.15),
        strokeDash=alt.StrokeDash(
            "view:N", scale=alt.Scale(domain=views, range=list(_DASHES.values())), legend=None
        ),
        strokeWidth=alt.StrokeWidth(
            "view:O",
            sort=views,
            scale=alt.Scale(domain=views, range=list(_WIDTHS.values())),
            legend=None,
        ),
    )
    dots = base.mark_point(filled=True, size=45 if points else 80, aria=False).encode(
        y=accuracy,
        opacity=_opacity(1.0, 0.1) if points else alt.value(0),
        tooltip=tooltip("run", "view", "within", "rate", "low", "high", "n"),
    )
    return _finish(alt.layer(band, line, dots, _end_labels(names)))


def _eps_axis(ticks: Sequence[float]) -> alt.Axis:
    if not ticks:
        return alt.Axis(tickCount=5)
    label = "datum.value ? format(255 * datum.value, '.3~g') + '/255' : '0'"
    return alt.Axis(values=list(ticks), labelExpr=label)


def pareto_spec(
    names: Sequence[str], verdicts: Sequence[str], height: float = PARETO_HEIGHT, *, labels: bool
) -> dict[str, Any]:
    """Return a chart of clean accuracy against the adaptive worst case and the other views.

    Columns: ``run``, ``color``, ``verdict``, ``clean``, ``clean_low``, ``clean_high``, ``rate``,
    ``low``, ``high`` (adaptive), all in %; ``claim``, in %, of ``view``; ``n``; ``at``, in %, where
    the label stands.

    Args:
        names: Names that have a colour.
        verdicts: All words of a verdict, each of which has a shape.
        height: Of the chart, in pixels.
        labels: Whether runs are named beside their points.
    """
    x = alt.X(
        "clean:Q",
        title="clean accuracy, %",
        scale=alt.Scale(zero=False, nice=True),
        axis=alt.Axis(tickCount=6),
    )
    y_title = "robust accuracy, worst case, %"
    base = _base().encode(color=_color(names))
    # Better in one and not worse in the other: from right to left, every new best.
    front = (
        _base()
        .transform_window(
            best="max(rate)",
            sort=[alt.SortField("clean", "descending"), alt.SortField("rate", "descending")],
            frame=[None, 0],
        )
        .transform_filter("datum.rate >= datum.best")
        .mark_line(interpolate="step-before", strokeDash=[3, 3], strokeWidth=1.5, aria=False)
        .encode(
            x=x,
            y=alt.Y("rate:Q", title=y_title, scale=alt.Scale(domain=[0, 100])),
            order="clean:Q",
            color=alt.value("gray"),
        )
    )
    gap = base.mark_rule(strokeWidth=1.5, aria=False).encode(
        x=x, y="rate:Q", y2="claim:Q", opacity=_opacity(0.45, 0.06)
    )
    seen = base.mark_point(size=70, strokeWidth=1.5, aria=False).encode(
        x=x,
        y=alt.Y("claim:Q", title=y_title),
        opacity=_opacity(0.7, 0.1),
        tooltip=tooltip("run", "view", "claim"),
    )
    spans = [
        base.mark_rule(strokeWidth=1, aria=False).encode(x=x, y="low:Q", y2="high:Q"),
        base.mark_rule(strokeWidth=1, aria=False).encode(
            x=alt.X("clean_low:Q", title=""), x2="clean_high:Q", y="rate:Q"
        ),
    ]
    dots = base.mark_point(filled=True, size=110).encode(
        x=x,
        y="rate:Q",
        shape=alt.Shape(
            "verdict:N",
            scale=alt.Scale(
                domain=list(verdicts),
                range=_SHAPES[: len(verdicts)],
            ),
            legend=alt.Legend(title="verdict", orient="bottom", columns=3),
        ),
        opacity=_opacity(1.0, 0.15),
        tooltip=tooltip(
            "run", "verdict", "clean", "clean_low", "clean_high", "rate", "low", "high", "n"
        ),
    )
    spans = [span.encode(opacity=_opacity(0.8, 0.1)) for span in spans]
    told = _label(base.mark_text(align="right", dx=-9, fontSize=10, aria=False)).encode(
        x=x, y=alt.Y("at:Q", title=y_title)
    )
    layers = [front, gap, seen, *spans, dots, *([told] if labels else [])]
    return _finish(alt.layer(*layers), height=height)


def parallel_spec() -> dict[str, Any]:
    """Return a chart of settings that differ and both accuracies: axes, and a line a run.

    Columns: ``run``, ``color``, ``order`` (of the axis), ``axis``, ``position`` (0 to 1),
    ``value`` (as text), ``robust`` (in %). The second data set ``ticks`` has ``order``, ``axis``,
    ``position``, ``text``.
    """
    x = alt.X(
        "axis:N",
        sort=alt.EncodingSortField("order", order="ascending"),
        title=None,
        axis=alt.Axis(labelAngle=0, orient="top", domain=False, ticks=False, labelLimit=150),
        scale=alt.Scale(type="point", padding=0.4),
    )
    y = alt.Y("position:Q", axis=None, scale=alt.Scale(domain=[-0.05, 1.05], nice=False))
    ticks = alt.Chart(alt.NamedData("ticks"))
    rules = ticks.mark_rule(aria=False, opacity=0.5).encode(
        x=x,
        y=alt.Y("min(position):Q", axis=None),
        y2="max(position):Q",
        color=alt.value("gray"),
    )
    lines = (
        _base()
        .mark_line(strokeWidth=2.5, interpolate="monotone", aria=False)
        .encode(
            x=x,
            y=y,
            detail="run:N",
            opacity=_opacity(0.85, 0.08),
            color=alt.Color(
                "robust:Q",
                scale=_HEAT,
                legend=alt.Legend(
                    title="robust accuracy, worst case, %", orient="bottom", gradientLength=220
                ),
            ),
        )
    )
    dots = (
        _base()
        .mark_point(filled=True, size=60, aria=False)
        .encode(
            x=x,
            y=y,
            opacity=_opacity(1.0, 0.08),
            color=alt.Color("robust:Q", scale=_HEAT),
            tooltip=tooltip("run", "axis", "value", "robust"),
        )
    )
    channels = {"x": x, "y": y, "text": "text:N"}
    text = ticks.mark_text(align="right", dx=-8, fontSize=11, limit=110, aria=False).encode(
        **channels
    )
    # The background around letters keeps them readable where a line crosses.
    halo = ticks.mark_text(
        align="right", dx=-8, fontSize=11, limit=110, aria=False, strokeWidth=4,
        stroke=alt.expr("ground"),
    ).encode(**channels)  # fmt: skip
    return _finish(alt.layer(rules, lines, dots, halo, text), height=320)


def training_spec(names: Sequence[str], title: str) -> dict[str, Any]:
    """Return a chart of a logged metric against the training step.

    Columns: ``run``, ``color``, ``step``, ``value``.

    Args:
        names: Names that have a colour.
        title: Title of the vertical axis.
    """
    base = _base().encode(
        x=alt.X("step:Q", title="training step", axis=alt.Axis(tickCount=5)),
        y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False)),
        color=_color(names),
        detail="run:N",
    )
    line = base.mark_line(strokeWidth=1.75, aria=False).encode(opacity=_opacity(1.0, 0.12))
    dots = base.mark_point(filled=True, size=60, opacity=0, aria=False).encode(
        tooltip=tooltip("run", "step", "value")
    )
    return _finish(alt.layer(line, dots, _end_labels(names)))


def overlap_spec() -> dict[str, Any]:
    """Return a chart of the share of images that two attacks both got misclassified.

    The share is of the images that are misclassified under the attack of the row. Columns: ``row``,
    ``column`` (attacks), ``share`` (in %), ``both``, ``own`` (images).
    """
    base = (
        alt.Chart(alt.NamedData("data"))
        .transform_filter("datum.own > 0")
        .encode(
            x=alt.X("column:N", sort=None, title="misclassified under this one as well",
                    axis=alt.Axis(labelAngle=-45, orient="bottom")),
            y=alt.Y("row:N", sort=None, title=["of the images", "misclassified", "under"]),
        )
    )  # fmt: skip
    cells = base.mark_rect().encode(
        color=alt.Color(
            "share:Q",
            title="share, %",
            scale=alt.Scale(scheme="blues", domain=[0, 100]),
            legend=None,
        ),
        tooltip=tooltip("row", "column", "share", "both", "own"),
    )
    text = base.mark_text(fontSize=10, aria=False).encode(
        text=alt.Text("share:Q", format=".0f"),
        color=alt.condition("datum.share > 55", alt.value("white"), alt.value("black")),
    )
    chart = alt.layer(cells, text).properties(width=alt.Step(34), height=alt.Step(24))
    return chart.to_dict(validate=False)


def _end_labels(names: Sequence[str]) -> alt.Chart:
    """Return names of runs at the ends of their lines. The second data set ``ends`` has them."""
    ends = alt.Chart(alt.NamedData("ends")).transform_filter(_SHOWN)
    text = ends.mark_text(align="left", dx=5, fontSize=10, aria=False)
    return _label(text).encode(x="x:Q", y="at:Q", color=_color(names))


def _label(text: alt.Chart) -> alt.Chart:
    return text.encode(text="run:N", opacity=_opacity(1.0, 0.1))


def _base() -> alt.Chart:
    return alt.Chart(alt.NamedData("data")).transform_filter(_SHOWN)


def _color(names: Sequence[str]) -> alt.Color:
    # The page sets the colours, with others on a dark background.
    return alt.Color("color:N", scale=alt.Scale(domain=list(names)), legend=None)


def _opacity(full: float, faint: float) -> Any:  # noqa: ANN401
    # Of `alt.condition` Altair would ask at each use what it may be, for 8 ms.
    return alt.OpacityValue(faint, condition={"test": _FAINT, "value": full})


def _finish(chart: alt.LayerChart | alt.FacetChart, height: float = HEIGHT) -> dict[str, Any]:
    shown = alt.param(name="shown", value=None)
    picked = alt.param(name="picked", value="")
    ground = alt.param(name="ground", value="white")
    complete = chart.add_params(shown, picked, ground).properties(width="container", height=height)
    return complete.to_dict(validate=False)  # a test does, for every kind of chart
