"""A report written to a folder: report.md, report.html, report.json, plots and tables beside them.

`tables/` has each score table by itself as LaTeX, CSV, Markdown and plain text.
Each file is written atomically; nothing else in the folder is touched.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from ramekin.files import write_bytes, write_text
from ramekin.report.box_plots import box_plot_names, box_plot_png, box_plot_svg, drawn_boxes
from ramekin.report.csv_table import table_csv
from ramekin.report.curves import curve_names, curves_png, curves_svg
from ramekin.report.document import to_json
from ramekin.report.heat_maps import heat_map_names, heat_map_png, heat_map_svg
from ramekin.report.latex import table_latex
from ramekin.report.markdown import table_markdown, to_markdown
from ramekin.report.pages import to_html
from ramekin.report.plots import drawable, plot_names, sweep_png, sweep_svg
from ramekin.report.reliability import reliability_names, reliability_png, reliability_svg
from ramekin.report.tables import named_tables
from ramekin.report.terminal import table_text
from ramekin.report.values import Report

__all__ = ["write_report"]


def write_report(report: Report, folder: Path) -> tuple[Path, ...]:
    """Write all forms of the report and return their paths, the page first.

    Raises:
        ResourceError: the disk is full or the folder cannot be written.
    """
    # Text before files: what cannot be shown must not leave half a report behind.
    page, text, document = to_html(report), to_markdown(report), _json_text(report)
    tables = list(_tables(report, folder / "tables"))
    written = []
    for name, svg, png in _pictures(report):
        written += [folder / "plots" / f"{name}.svg", folder / "plots" / f"{name}.png"]
        write_bytes(written[-2], svg)
        write_bytes(written[-1], png)
    files = [(folder / "report.html", page), (folder / "report.md", text), (folder / "report.json", document)]
    for path, content in (*tables, *files):
        write_text(path, content)
    return (*(path for path, _ in (*files, *tables)), *written)


def _tables(report: Report, folder: Path) -> Iterator[tuple[Path, str]]:
    """Each score table in its forms."""
    for name, table in named_tables(report):
        yield folder / f"{name}.tex", table_latex(table, label=f"tab:{name}")
        yield folder / f"{name}.csv", table_csv(table)
        yield folder / f"{name}.md", table_markdown(table) + "\n"
        yield folder / f"{name}.txt", table_text(table)


def _pictures(report: Report) -> Iterator[tuple[str, bytes, bytes]]:
    """Each picture's name, SVG and PNG; what has no point to draw is left out."""
    for name, sweep in zip(plot_names(report), report.sweeps, strict=True):
        if drawable(sweep):
            yield name, sweep_svg(sweep), sweep_png(sweep)
    for name, curves in zip(curve_names(report), report.curves, strict=True):
        yield name, curves_svg(curves), curves_png(curves)
    for name, boxes in zip(box_plot_names(report), report.box_plots, strict=True):
        if drawn_boxes(boxes):
            yield name, box_plot_svg(boxes), box_plot_png(boxes)
    for name, heat_map in zip(heat_map_names(report), report.heat_maps, strict=True):
        yield name, heat_map_svg(heat_map), heat_map_png(heat_map)
    for name, reliability in zip(reliability_names(report), report.reliabilities, strict=True):
        yield name, reliability_svg(reliability), reliability_png(reliability)


def _json_text(report: Report) -> str:
    """Readable JSON; escaped to ASCII when a name is not valid Unicode, as a file's name may be."""
    document = to_json(report)
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = json.dumps(document, indent=2, allow_nan=False)
    return text + "\n"
