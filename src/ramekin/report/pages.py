"""A report as one HTML file that needs nothing else: no script, no external resource, a strict policy.

The template and the style sheet lie beside this module. Every value goes through the template's escaping;
only the style sheet and the SVGs drawn here go in as they are. It knows no files to write.
"""

import functools
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, TypeAlias

from ramekin.report.box_plots import box_plot_inline, box_table, drawn_boxes
from ramekin.report.curves import curves_inline
from ramekin.report.heat_maps import count_table, heat_map_inline, heat_map_size
from ramekin.report.lineage import lineage_svg
from ramekin.report.plots import drawable, inline_svg
from ramekin.report.reliability import RELIABILITY_INCHES, reliability_inline, reliability_table
from ramekin.report.tables import loss_columns, show, sweep_table, validation_rows
from ramekin.report.values import (
    BoxPlot,
    Curves,
    HeatMap,
    LossRow,
    LossTable,
    Reliability,
    Report,
    RunFacts,
    Sweep,
    TextTable,
    Timing,
    ValidationTable,
)
from ramekin.report.wording import alerts, clean, count_text, duration, short_hash

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["to_html"]

_Context: TypeAlias = dict[str, object]


def to_html(report: Report) -> str:
    """The whole report as a page; the same report gives the same text."""
    facts = report.facts
    return _template("page.html.jinja").render(
        css=_safe(_resource("page.css")),
        title=clean(report.title),
        summary=[clean(sentence) for sentence in report.summary],
        glance=_glance(report),
        alerts=alerts(facts),
        tables=[show(table) for table in report.tables],
        sweeps=[_sweep(sweep, i) for i, sweep in enumerate(report.sweeps, 1)],
        curves=[_curves(curves, i) for i, curves in enumerate(report.curves, 1)],
        box_plots=[_box_plot(plot, i) for i, plot in enumerate(report.box_plots, 1)],
        text_tables=[_texts(table) for table in report.text_tables],
        heat_maps=[_heat_map(heat_map, i) for i, heat_map in enumerate(report.heat_maps, 1)],
        reliabilities=[_reliability(each, i) for i, each in enumerate(report.reliabilities, 1)],
        losses=[_losses(table) for table in report.losses],
        validations=[_validation(table) for table in report.validations],
        timings=_timings(report.timings),
        total=duration(_total(report.timings)),
        lineage=_safe(lineage_svg(facts.checkpoints)),
        checkpoints=_checkpoints(facts),
        command="\n".join(clean(line) for line in facts.command.splitlines()),
        facts=_facts(facts),
        data=_data(facts),
        notes=[clean(note) for note in report.notes],
        version=clean(facts.versions.get("ramekin", "")),
    )


@functools.cache
def _template(name: str) -> "Template":
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(_resource(name))


@functools.cache
def _resource(name: str) -> str:
    return files("ramekin.report").joinpath(name).read_text("utf-8")


def _safe(markup: str) -> str:
    """Markup made in this unit, which has escaped every name in it already."""
    from markupsafe import Markup

    return Markup(markup)


def _total(timings: Sequence[Timing]) -> float:
    return sum(timing.seconds for timing in timings)


def _glance(report: Report) -> list[tuple[str, str]]:
    """The few facts that belong at the top."""
    facts = report.facts
    listed = [
        ("parameters", "" if facts.parameters is None else count_text(facts.parameters)),
        ("seed", "" if facts.seed is None else str(facts.seed)),
        ("took", duration(_total(report.timings)) if report.timings else ""),
        ("started", clean(facts.started).replace("T", " ").removesuffix("+00:00")),
        ("machine", clean(facts.machine)),
    ]
    return [(name, value) for name, value in listed if value]


def _sweep(sweep: Sweep, position: int) -> _Context:
    wide = narrow = ""
    if drawable(sweep):
        wide = _safe(inline_svg(sweep, prefix=f"plot{position}"))
        narrow = _safe(inline_svg(sweep, prefix=f"plot{position}n", narrow=True))
    return {"table": show(sweep_table(sweep)), "wide": wide, "narrow": narrow}


def _curves(curves: Curves, position: int) -> _Context:
    wide = _safe(curves_inline(curves, prefix=f"curves{position}"))
    narrow = _safe(curves_inline(curves, prefix=f"curves{position}n", narrow=True))
    return {"title": clean(curves.title), "caption": clean(curves.caption), "wide": wide, "narrow": narrow}


def _box_plot(plot: BoxPlot, position: int) -> _Context:
    wide = narrow = ""
    if drawn_boxes(plot):
        wide = _safe(box_plot_inline(plot, prefix=f"boxes{position}"))
        narrow = _safe(box_plot_inline(plot, prefix=f"boxes{position}n", narrow=True))
    return {"table": _texts(box_table(plot)), "wide": wide, "narrow": narrow}


def _texts(table: TextTable) -> _Context:
    return {
        "title": clean(table.title),
        "caption": clean(table.caption),
        "header": [clean(text) for text in table.columns],
        "rows": [[clean(text) or "–" for text in row] for row in table.rows],
    }


def _heat_map(heat_map: HeatMap, position: int) -> _Context:
    counts = count_table(heat_map)
    return {
        "table": None if counts is None else _texts(counts),
        "title": clean(heat_map.title),
        "caption": clean(heat_map.caption),
        "width": f"{96 * heat_map_size(heat_map)[0]:.0f}",
        "picture": _safe(heat_map_inline(heat_map, prefix=f"heat{position}")),
    }


def _reliability(reliability: Reliability, position: int) -> _Context:
    return {
        "table": _texts(reliability_table(reliability)),
        "width": f"{96 * RELIABILITY_INCHES[0]:.0f}",
        "picture": _safe(reliability_inline(reliability, prefix=f"reliability{position}")),
    }


def _losses(table: LossTable) -> _Context:
    columns = loss_columns(table)
    longest = max((len(row.losses) for row in table.rows), default=0)
    top = max((loss for row in table.rows for loss in row.losses if loss is not None), default=0.0)
    return {
        "title": clean(table.title),
        "caption": clean(table.caption),
        "columns": [f"{clean(table.step)} {i + 1}" for i in columns],
        "rows": [
            {
                "label": clean(row.label),
                "texts": [_loss(row.losses[i] if i < len(row.losses) else None) for i in columns],
                "spark": _safe(_spark(row, longest, top)),
            }
            for row in table.rows
        ],
    }


def _validation(table: ValidationTable) -> _Context:
    header, *rows = validation_rows(table)
    return {"title": clean(table.title), "caption": clean(table.caption), "header": header, "rows": rows}


def _loss(loss: float | None) -> str:
    return "" if loss is None else f"{loss:.3f}"


def _spark(row: LossRow, longest: int, top: float) -> str:
    """The losses as a small line from 0 to the table's highest, so that rows compare."""
    points = [
        (104 * i / max(1, longest - 1) + 2, 22 - 20 * max(0.0, loss) / (top or 1.0))
        for i, loss in enumerate(row.losses)
        if loss is not None
    ]
    if len(points) < 2:
        return ""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    return (
        '<svg class="spark" viewBox="0 0 108 24" aria-hidden="true">'
        f'<polyline points="{path}"/><circle cx="{x:.1f}" cy="{y:.1f}" r="2"/></svg>'
    )


def _timings(timings: Sequence[Timing]) -> list[_Context]:
    longest = max((timing.seconds for timing in timings), default=0.0) or 1.0
    return [
        {
            "stage": clean(timing.stage),
            "share": f"{max(0.0, 100 * timing.seconds / longest):.1f}",
            "text": duration(timing.seconds),
        }
        for timing in timings
    ]


def _checkpoints(facts: RunFacts) -> list[Mapping[str, str]]:
    return [
        {
            "name": clean(c.name),
            "operation": clean(c.operation),
            "parents": ", ".join(clean(parent) for parent in c.parents),
            "parameters": "" if c.parameters is None else count_text(c.parameters),
            "sha256": short_hash(c.sha256),
            "sha256_full": clean(c.sha256 or ""),
        }
        for c in facts.checkpoints
    ]


def _facts(facts: RunFacts) -> list[tuple[str, str]]:
    listed = [
        ("versions", ", ".join(f"{clean(name)} {clean(text)}" for name, text in facts.versions.items())),
        ("counted, none met", ", ".join(clean(c.name) for c in facts.counters if not c.count)),
    ]
    return [(name, value) for name, value in listed if value]


def _data(facts: RunFacts) -> list[Mapping[str, str]]:
    return [
        {
            "name": clean(d.name),
            "origin": clean(d.origin),
            "rows": count_text(d.rows),
            "skipped": count_text(d.skipped),
            "sha256": short_hash(d.sha256),
            "sha256_full": clean(d.sha256 or ""),
        }
        for d in facts.data
    ]
