import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from ramekin.report.document import from_json, to_json
from ramekin.report.pages import to_html
from ramekin.report.values import (
    Box,
    BoxPlot,
    BoxPoint,
    Cell,
    CheckpointFact,
    Counter,
    DataOrigin,
    HeatMap,
    LossPoint,
    LossRow,
    LossTable,
    Reliability,
    ReliabilityBin,
    Report,
    RunFacts,
    ScoreTable,
    Series,
    Sweep,
    TableRow,
    Timing,
    ValidationTable,
)

VOID = {"meta", "link", "br", "img", "input", "hr"}
LOADING = {"src", "href", "data", "poster", "srcset", "action", "formaction", "background", "xlink:href"}


class Page(HTMLParser):
    """A strict reading of a page: every tag closed in order, attributes and text kept."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.text, self.ids = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open[-3:])
        self.open.pop()

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)


def test_the_page_is_well_formed_and_its_identifiers_are_unique(report):
    page = Page(to_html(replace(report, sweeps=report.sweeps * 2)))
    assert page.tags.count("svg") >= 6
    assert len(page.ids) == len(set(page.ids))


def test_nothing_is_loaded_from_anywhere(report):
    text = to_html(report)
    page = Page(text)
    assert not {"script", "iframe", "object", "embed", "img", "base", "form"} & set(page.tags)
    for tag, name, value in page.attributes:
        if name in LOADING:
            assert value.startswith(("#", "data:,")), (tag, name, value)
        assert not name.startswith("on"), (tag, name)
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not re.search(r"@import|url\((?!#)", text)


def test_the_policy_forbids_everything_but_inline_style(report):
    page = Page(to_html(report))
    (policy,) = (v for t, n, v in page.attributes if t == "meta" and n == "content" and "default-src" in v)
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert "script" not in policy


def test_light_dark_phone_and_print_are_cared_for(report):
    text = to_html(report)
    for part in (
        'name="viewport"',
        'content="light dark"',
        "prefers-color-scheme: dark",
        "@media print",
        "@media (max-width",
    ):
        assert part in text


def test_every_colour_of_the_plots_is_set_for_light_and_for_dark(report):
    text = to_html(report)
    used = set(re.findall(r"var\((--[\w-]+)\)", text))
    light, dark, *_ = re.findall(r":root \{(.*?)\}", text, flags=re.DOTALL)
    for name in used:
        assert f"{name}:" in light and f"{name}:" in dark, name


def test_scores_intervals_and_marks_are_there(report):
    text = to_html(report)
    assert '<b class="value">88.1</b><span class="interval">85.1–91.1</span>' in text
    assert re.search(r'<td class="near" title="Pre-trained, cola: 49\.0, [^"]*includes the chance', text)
    assert '<td class="below"' in text
    assert '<td class="none average">–</td>' in text
    assert '<sup>1</sup><span class="interval">−2.0 to 2.0</span>' in text
    words = " ".join(Page(text).text)
    for sentence in (
        "Merging keeps most of it.",
        "inputs truncated: 12 of 8,000",
        "the GPU was not used",
        "Reference results",
        "constant predictions: correlation undefined, reported as 0",
        "Pre-trained on stsb 21 of 400",
        "4,816,896",
        "2025-01-31 12:00:00",
        "1 min 02 s",
        "ramekin demo seed=0",
        "torch 2.13.0",
        "targets truncated",
        "The average is the plain mean.",
    ):
        assert sentence in words


def test_a_table_of_many_tasks_has_a_row_a_task():
    cells = tuple(Cell(0.5, 0.4, 0.6, 100 + i, 0.25) for i in range(57))
    columns = (*(f"subject {i}" for i in range(56)), "Average")
    text = to_html(Report("T", tables=(ScoreTable("MMLU", columns, (TableRow("model", cells),)),)))
    page = Page(text)
    assert page.tags.count("tr") == 58 and '<table class="scores turned">' in text
    assert '<th scope="row">subject 7</th><td class="above"' in text
    assert text.count('<tr class="average">') == 1
    assert '<td class="quiet" title="subject 7: n 107"><span class="value">107</span></td>' in text


def hostile(name):
    """A report with `name` in every place that takes text."""
    cell = Cell(0.5, 0.4, 0.6, 10, 0.5, 1, name, name)
    facts = RunFacts(
        name,
        1,
        name,
        name,
        1,
        {name: name},
        (DataOrigin(name, name, 1, 1, name),),
        (CheckpointFact(name, name, (name + "2",), 1, name),),
        (Counter(name, 1, 2), Counter(name, 0)),
        (name,),
    )
    table = ScoreTable(name, (name,), (TableRow(name, (cell,), name, name),), name, name)
    sweep = Sweep(name, (0.0, 1.0), (Series(name, (cell, None)),), None, (), name, name)
    losses = LossTable(name, (LossRow(name, (1.0, 0.5)),), name, name)
    return Report(
        name,
        (name, name),
        (table,),
        (sweep,),
        (losses,),
        (Timing(name, 1.0),),
        facts,
        (name,),
        (ValidationTable(name, (LossPoint(1, 1.0, 1.0),), name),),
        reliabilities=(
            Reliability(
                name, (ReliabilityBin(0.0, 0.1, 1, 0.5, cell),), cell, 0.5, 0.1, 0.1, cell, cell, name
            ),
        ),
        heat_maps=(HeatMap(name, (name,), (name,), ((0.5,),), caption=name, counts=((1,),), stub=name),),
        box_plots=(BoxPlot(name, (Box(name, (BoxPoint(name, 0.4), BoxPoint(name, 0.6)), 0.5),), name),),
    )


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "' onload='x",
        "{{ 7*7 }}{% raw %}",
        "</style></svg></title>",
        "]]>--><!--",
        "$\\frac{$ \x00\x1b[2J\u202e",
        "var(--plot-ink) #211c17",
    ],
)
def test_a_hostile_name_is_text_wherever_it_stands(name):
    text = to_html(hostile(name))
    page = Page(text)
    assert not {"script", "img"} & set(page.tags)
    assert not any(attribute.startswith("on") for _, attribute, _ in page.attributes)
    assert "49" not in page.text[:20]
    assert page.tags.count("style") == 1 and page.tags.count("title") >= 1
    assert not re.search(r"[\x00-\x08\x1b\u202e]", text)


def test_the_page_is_a_function_of_the_report(report):
    assert to_html(report) == to_html(from_json(to_json(report)))


@pytest.mark.parametrize(
    "report",
    [
        Report("Nothing"),
        Report("", ("one sentence",)),
        Report("T", tables=(ScoreTable("T", (), ()),)),
        Report("T", tables=(ScoreTable("T", ("a",), (TableRow("r", (None,)),)),)),
        Report("T", tables=(ScoreTable("T", ("a",), (TableRow("r", (Cell(0.5),)),)),)),
        Report("T", sweeps=(Sweep("S", (), ()),)),
        Report("T", sweeps=(Sweep("S", (0.5,), (Series("a", (Cell(0.5),)),)),)),
        Report("T", losses=(LossTable("L", ()), LossTable("M", (LossRow("r", ()), LossRow("s", (0.0,)))))),
        Report("T", timings=(Timing("s", 0.0),)),
        Report("T", facts=RunFacts(checkpoints=(CheckpointFact("c"),))),
    ],
)
def test_small_and_empty_reports_are_pages(report):
    page = Page(to_html(report))
    assert "Written by ramekin" in " ".join(page.text)
