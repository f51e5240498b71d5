import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramekin.errors import DataError
from ramekin.report import values as v
from ramekin.report.document import FORMAT, from_json, to_json

texts = st.text(max_size=8)
numbers = st.floats(-1, 1)
counts = st.integers(0, 10**9)
small = {"max_size": 3}


@st.composite
def cells(draw):
    ends = sorted(draw(st.tuples(numbers, numbers))) if draw(st.booleans()) else (None, None)
    return v.Cell(
        draw(numbers),
        *ends,
        draw(st.none() | counts),
        draw(st.none() | numbers),
        draw(counts),
        draw(texts),
        draw(texts),
    )


@st.composite
def score_tables(draw):
    columns = tuple(draw(st.lists(texts, **small)))
    row_cells = st.tuples(*[st.none() | cells()] * len(columns))
    rows = st.builds(v.TableRow, texts, row_cells, texts, texts, st.booleans())
    return v.ScoreTable(draw(texts), columns, tuple(draw(st.lists(rows, **small))), draw(texts), draw(texts))


@st.composite
def sweeps(draw):
    factors = tuple(sorted(draw(st.sets(numbers, **small))))
    line = st.builds(v.Series, texts, st.tuples(*[st.none() | cells()] * len(factors)))
    series = tuple(draw(st.lists(line, **small)))
    levels = st.just(()) | st.tuples(*[st.none() | cells()] * len(series))
    references = st.builds(v.Reference, texts, st.none() | cells(), levels)
    return v.Sweep(
        draw(texts), factors, series, draw(st.none() | line), tuple(draw(st.lists(references, **small)))
    )


def tuples_of(strategy):
    return st.lists(strategy, **small).map(tuple)


points = st.builds(v.BoxPoint, texts, numbers)
boxes = st.builds(v.Box, texts, st.lists(points, min_size=1, max_size=3).map(tuple), st.none() | numbers)
bins = st.builds(v.ReliabilityBin, numbers, numbers, counts, numbers, cells())
reliabilities = st.builds(
    v.Reliability, texts, tuples_of(bins), cells(), numbers, numbers, numbers, cells(), cells(), texts
)
pictures = st.builds(
    lambda *fields: v.HeatMap(*fields[:4], counts=fields[4], as_percent=fields[5], stub=fields[6]),
    *(texts, st.tuples(texts), st.tuples(texts), st.tuples(st.tuples(st.none() | numbers))),
    *(st.just(()) | st.tuples(st.tuples(counts)), st.booleans(), texts),
)
facts = st.builds(
    v.RunFacts,
    texts,
    st.none() | counts,
    texts,
    texts,
    st.none() | counts,
    st.dictionaries(texts, texts, **small),
    tuples_of(st.builds(v.DataOrigin, texts, texts, counts, counts, st.none() | texts)),
    tuples_of(
        st.builds(v.CheckpointFact, texts, texts, tuples_of(texts), st.none() | counts, st.none() | texts)
    ),
    tuples_of(st.builds(v.Counter, texts, counts, st.none() | counts)),
    tuples_of(texts),
)
losses = st.builds(
    v.LossTable, texts, tuples_of(st.builds(v.LossRow, texts, tuples_of(st.none() | numbers))), texts, texts
)
reports = st.builds(
    v.Report,
    texts,
    tuples_of(texts),
    tuples_of(score_tables()),
    tuples_of(sweeps()),
    tuples_of(losses),
    tuples_of(st.builds(v.Timing, texts, numbers)),
    facts,
    tuples_of(texts),
    tuples_of(
        st.builds(
            v.ValidationTable,
            texts,
            tuples_of(st.builds(v.LossPoint, counts, numbers, numbers, st.none() | numbers)),
            texts,
        )
    ),
    heat_maps=tuples_of(pictures),
    reliabilities=tuples_of(reliabilities),
    box_plots=tuples_of(st.builds(v.BoxPlot, texts, tuples_of(boxes), texts)),
)


@given(reports)
@settings(max_examples=60)
def test_what_is_written_is_read_back_equal(report):
    assert from_json(json.loads(json.dumps(to_json(report), allow_nan=False))) == report


def test_the_whole_example_comes_back(report):
    document = to_json(report)
    assert document["format"] == FORMAT
    assert from_json(document) == report


def test_whole_numbers_are_read_as_fractions_where_a_fraction_belongs():
    report = from_json({"format": FORMAT, "title": "T", "timings": [{"stage": "s", "seconds": 3}]})
    assert report.timings[0].seconds == 3.0
    assert isinstance(report.timings[0].seconds, float)


def test_left_out_fields_take_their_defaults():
    assert from_json({"format": FORMAT, "title": "T"}) == v.Report("T")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "not a report: format: expected ramekin.report/1, got None"),
        ({"format": "other/2"}, "got other/2"),
        ([], "got list"),
        ({"format": FORMAT}, "missing: report.title"),
        ({"format": FORMAT, "titel": "T", "title": "T"}, "report.titel; fix: did you mean 'title'"),
        ({"format": FORMAT, "title": "T", "zzzz": 1}, "fix: remove it"),
        ({"format": FORMAT, "title": 3}, "report.title: expected a string, got int '3'"),
        ({"format": FORMAT, "title": "T", "notes": "n"}, "report.notes: expected a list"),
        ({"format": FORMAT, "title": "T", "facts": None}, "report.facts: expected an object, got nothing"),
        ({"format": FORMAT, "title": "T", "facts": {"seed": True}}, "seed: expected a whole number"),
        ({"format": FORMAT, "title": "T", "facts": {"seed": 1.0}}, "seed: expected a whole number"),
        (
            {
                "format": FORMAT,
                "title": "T",
                "heat_maps": [{"title": "", "rows": [], "columns": [], "values": [], "as_percent": 1}],
            },
            r"heat_maps\[0\]\.as_percent: expected true or false, got int",
        ),
        ({"format": FORMAT, "title": "T", "facts": {"versions": []}}, "versions: expected an object"),
        ({"format": FORMAT, "title": "T", "facts": {"versions": {"a": 1}}}, r"versions\.a: expected a str"),
        (
            {"format": FORMAT, "title": "T", "timings": [{"stage": "s", "seconds": "3"}]},
            r"report\.timings\[0\]\.seconds: expected a number",
        ),
        (
            {"format": FORMAT, "title": "T", "timings": [{"stage": "s", "seconds": math.nan}]},
            "not finite: timing 's'",
        ),
    ],
)
def test_a_document_that_is_no_report_says_where(document, message):
    with pytest.raises(DataError, match=message):
        from_json(document)
