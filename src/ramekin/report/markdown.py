"""A report as Markdown that reads well raw and rendered.

Nothing in a name can become markup: what Markdown would read is escaped. It knows no files; the plots are
linked under the folder it is told.
"""

import re
from collections.abc import Sequence

from ramekin.report.box_plots import box_plot_names, box_table, drawn_boxes
from ramekin.report.curves import curve_names
from ramekin.report.heat_maps import count_table, heat_map_names
from ramekin.report.plots import drawable, plot_names
from ramekin.report.reliability import reliability_names, reliability_table
from ramekin.report.tables import (
    Section,
    ShownCell,
    ShownTable,
    loss_columns,
    show,
    sweep_table,
    validation_rows,
)
from ramekin.report.values import LossTable, Report, RunFacts, ScoreTable, TextTable, Timing, ValidationTable
from ramekin.report.wording import alerts, clean, count_text, duration, short_hash, superscript

__all__ = ["escape", "table_markdown", "text_table_markdown", "to_markdown"]


def to_markdown(report: Report, *, plots: str | None = "plots") -> str:
    """The whole report.

    Args:
        report: what to show.
        plots: the folder beside the file where `write_report` put the plots; None leaves the images out.
    """
    blocks = [f"# {escape(report.title)}", *_summary(report)]
    for table in report.tables:
        blocks += [f"## {escape(table.title)}", table_markdown(table)]
    for name, sweep in zip(plot_names(report), report.sweeps, strict=True):
        blocks.append(f"## {escape(sweep.title)}")
        if plots is not None and drawable(sweep):
            blocks.append(f"![{escape(sweep.title)}]({plots}/{name}.svg)")
        blocks.append(table_markdown(sweep_table(sweep)))
    for name, curves in zip(curve_names(report), report.curves, strict=True):
        if plots is not None:
            blocks.append(f"![{escape(curves.title)}]({plots}/{name}.svg)")
    for name, boxes in zip(box_plot_names(report), report.box_plots, strict=True):
        blocks += [f"## {escape(boxes.title)}", escape(boxes.caption)]
        if plots is not None and drawn_boxes(boxes):
            blocks.append(f"![{escape(boxes.title)}]({plots}/{name}.svg)")
        blocks.append(text_table_markdown(box_table(boxes)))
    for texts in report.text_tables:
        blocks += [f"## {escape(texts.title)}", escape(texts.caption), text_table_markdown(texts)]
    for name, heat_map in zip(heat_map_names(report), report.heat_maps, strict=True):
        blocks += [f"## {escape(heat_map.title)}", escape(heat_map.caption)]
        if plots is not None:
            blocks.append(f"![{escape(heat_map.title)}]({plots}/{name}.svg)")
        counts = count_table(heat_map)
        if counts is not None:
            blocks.append(text_table_markdown(counts))
    for name, reliability in zip(reliability_names(report), report.reliabilities, strict=True):
        bins = reliability_table(reliability)
        blocks += [f"## {escape(bins.title)}", escape(bins.caption)]
        if plots is not None:
            blocks.append(f"![{escape(bins.title)}]({plots}/{name}.svg)")
        blocks.append(text_table_markdown(bins))
    for losses in report.losses:
        blocks += [f"## {escape(losses.title)}", _losses(losses)]
    for validation in report.validations:
        blocks += [f"## {escape(validation.title)}", escape(validation.caption), _validation(validation)]
    blocks += [*_timings(report.timings), *_facts(report.facts)]
    if report.notes:
        blocks += ["## Notes", "\n".join(f"- {escape(note)}" for note in report.notes)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def table_markdown(table: ScoreTable) -> str:
    """One score table with its caption before and its key after; sections are bold rows."""
    shown = show(table)
    lines = _grid(
        [shown.stub, *shown.columns],
        [row for section in shown.sections for row in _section(section, len(shown.columns))]
        + [[f"*{name}*", *texts] for name, texts in shown.footer],
    )
    return "\n\n".join(part for part in (escape(shown.caption), lines, _key(shown)) if part)


def escape(text: str) -> str:
    r"""Text in which Markdown finds nothing to interpret.

    >>> escape("ties_merging *a|b* <i>")
    'ties_merging \\*a\\|b\\* &lt;i&gt;'
    """
    text = clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*\[\]|~$])", r"\\\1", text)
    text = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)
    return re.sub(r"^(#+|[+\-]|\d+[.)])(?=\s|$)", lambda marker: _escape_start(marker.group()), text)


def _escape_start(marker: str) -> str:
    """Headings, list marks and rules are only read at the start of a line."""
    return f"{marker[:-1]}\\{marker[-1]}"


def _summary(report: Report) -> list[str]:
    blocks = []
    if report.summary:
        blocks.append(f"**{escape(report.summary[0])}**")
        blocks.append(" ".join(escape(sentence) for sentence in report.summary[1:]))
    mind = [escape(alert) for alert in alerts(report.facts)]
    if mind:
        blocks.append("\n".join(["> **Mind**", ">", *(f"> - {alert}" for alert in mind)]))
    return blocks


def _section(section: Section, columns: int) -> list[list[str]]:
    heading = [[f"**{escape(section.group)}**", *[""] * columns]] if section.group else []
    return heading + [[escape(row.label), *(_cell(cell) for cell in row.cells)] for row in section.rows]


def _cell(cell: ShownCell | None) -> str:
    """`**83.4** ±2.1`; at chance `≈ *50.2* ±3.0`, below it `↓ *12.0* ±2.0`."""
    if cell is None:
        return "–"
    value = f"**{cell.value}**" if cell.best else cell.value
    if cell.standing in ("near", "below"):
        value = f"*{value}*"
    mark = {"near": "≈", "below": "↓"}.get(cell.standing, "")
    return " ".join(part for part in (mark, value + superscript(cell.footnotes), cell.plus_minus) if part)


def _key(shown: ShownTable) -> str:
    sentences = [f"{escape(shown.metrics)}." if shown.metrics else ""]
    if shown.has_intervals:
        sentences.append("± is the larger side of the 95 % interval.")
    if shown.best_of:
        sentences.append(f"**Bold**: best of {shown.best_of}.")
    if "near" in shown.standings:
        sentences.append("≈: the interval includes the chance level.")
    if "below" in shown.standings:
        sentences.append("↓: below the chance level.")
    lines = [
        " ".join(sentence for sentence in sentences if sentence),
        *(f"{superscript([i])} {escape(note)}" for i, note in enumerate(shown.footnotes, 1)),
        escape(shown.unparsable),
    ]
    return "  \n".join(line for line in lines if line)


def _grid(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A pipe table padded so that it also reads as plain text: `left` columns flush left, the rest right."""
    lines = [[escape(text) for text in header], *[list(row) for row in rows]]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(header))]
    rule = [f":{'-' * (w - 1)}" if i < left else f"{'-' * (w - 1)}:" for i, w in enumerate(widths)]
    return "\n".join(f"| {' | '.join(_pad(line, widths, left))} |" for line in (lines[0], rule, *lines[1:]))


def _pad(line: Sequence[str], widths: Sequence[int], left: int) -> list[str]:
    return [
        text.ljust(width) if i < left else text.rjust(width)
        for i, (text, width) in enumerate(zip(line, widths, strict=True))
    ]


def _losses(table: LossTable) -> str:
    columns = loss_columns(table)
    rows = [
        [escape(row.label), *(_loss(row.losses[i] if i < len(row.losses) else None) for i in columns)]
        for row in table.rows
    ]
    grid = _grid(["Run", *(f"{clean(table.step)} {i + 1}" for i in columns)], rows)
    return "\n\n".join(part for part in (escape(table.caption), grid) if part)


def text_table_markdown(table: TextTable) -> str:
    """A table of texts, without its title and caption."""
    return _grid(table.columns, [[escape(text) or "–" for text in row] for row in table.rows])


def _validation(table: ValidationTable) -> str:
    header, *rows = validation_rows(table)
    return _grid(header, rows, left=0)


def _loss(loss: float | None) -> str:
    return "–" if loss is None else f"{loss:.3f}"


def _timings(timings: Sequence[Timing]) -> list[str]:
    if not timings:
        return []
    rows = [[escape(timing.stage), duration(timing.seconds)] for timing in timings]
    total = duration(sum(timing.seconds for timing in timings))
    return ["## Time", _grid(["Stage", "Time"], [*rows, ["**Total**", f"**{total}**"]])]


def _facts(facts: RunFacts) -> list[str]:
    blocks = ["## The run", _fence(facts.command)] if facts.command else ["## The run"]
    listed = [
        ("seed", "" if facts.seed is None else str(facts.seed)),
        ("started", facts.started),
        ("machine", facts.machine),
        ("parameters", "" if facts.parameters is None else count_text(facts.parameters)),
        ("versions", ", ".join(f"{name} {version}" for name, version in facts.versions.items())),
        ("counted, none met", ", ".join(c.name for c in facts.counters if not c.count)),
    ]
    lines = [f"- {name}: {escape(value)}" for name, value in listed if value]
    if lines:
        blocks.append("\n".join(lines))
    if facts.checkpoints:
        blocks += ["### Checkpoints", _checkpoints(facts)]
    if facts.data:
        blocks += ["### Data", _data(facts)]
    return blocks if len(blocks) > 1 else []


def _fence(command: str) -> str:
    """A code block whose fence is longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall(r"`+", command)), default=0)
    fence = "`" * max(3, longest + 1)
    lines = "\n".join(clean(line) for line in command.splitlines())
    return f"{fence}\n{lines}\n{fence}"


def _checkpoints(facts: RunFacts) -> str:
    rows = [
        [
            escape(checkpoint.name),
            escape(checkpoint.operation),
            escape(", ".join(checkpoint.parents)),
            short_hash(checkpoint.sha256),
            "" if checkpoint.parameters is None else count_text(checkpoint.parameters),
        ]
        for checkpoint in facts.checkpoints
    ]
    return _grid(["Checkpoint", "Made by", "From", "sha256", "Parameters"], rows, left=4)


def _data(facts: RunFacts) -> str:
    rows = [
        [
            escape(origin.name),
            escape(origin.origin),
            short_hash(origin.sha256),
            count_text(origin.rows),
            count_text(origin.skipped),
        ]
        for origin in facts.data
    ]
    return _grid(["Data", "Origin", "sha256", "Rows", "Skipped"], rows, left=3)
