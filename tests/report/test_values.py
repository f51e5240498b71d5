import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import DataError
from ramekin.report.values import (
    Cell,
    LossPoint,
    LossRow,
    Reference,
    ScoreTable,
    Series,
    Sweep,
    TableRow,
    Timing,
)
from ramekin.report.values import average_cell as average
from ramekin.text.score import Score, wilson_interval

fractions = st.floats(0, 1)


@st.composite
def cells(draw):
    low, value, high = sorted(draw(st.tuples(fractions, fractions, fractions)))
    return Cell(value, low, high, chance=draw(fractions))


def test_a_cell_takes_all_that_a_score_knows():
    score = Score("accuracy", 0.7, 50, 0.6, 0.8, 0.5, 0.065, unparsable=3, note="mind")
    cell = Cell.of(score)
    assert (cell.value, cell.low, cell.high, cell.n, cell.chance) == (0.7, 0.6, 0.8, 50, 0.5)
    assert (cell.unparsable, cell.note, cell.metric) == (3, "mind", "accuracy")


@pytest.mark.parametrize("field", ["value", "low", "high", "chance"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_cannot_hold_are_refused(field, bad):
    given = {"value": 0.5, "low": 0.4, "high": 0.6, field: bad}
    with pytest.raises(DataError, match=rf"not finite: Cell\.{field}"):
        Cell(**given)


def test_half_an_interval_is_refused():
    with pytest.raises(DataError, match="both ends"):
        Cell(0.5, low=0.4)


def test_an_interval_upside_down_is_refused():
    with pytest.raises(DataError, match="upside down"):
        Cell(0.5, 0.6, 0.4)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LossRow("r", (1.0, math.nan)),
        lambda: Timing("t", math.inf),
        lambda: LossPoint(1, 1.0, math.nan),
    ],
)
def test_losses_and_times_are_finite(make):
    with pytest.raises(DataError, match="not finite"):
        make()


def test_a_row_that_does_not_fit_its_columns_is_named():
    with pytest.raises(DataError, match="table 'T', row 'short': expected 2 cells, got 1"):
        ScoreTable("T", ("a", "b"), (TableRow("short", (None,)),))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"factors": (0.0, math.nan)}, "not finite"),
        ({"factors": (0.5, 0.5)}, "must rise"),
        ({"series": (Series("a", (None,)),)}, "series 'a': expected 2, got 1"),
        ({"average": Series("avg", (None,))}, "series 'avg'"),
        ({"references": (Reference("r", None, (None, None)),)}, "reference 'r': expected 1, got 2"),
    ],
)
def test_a_sweep_that_does_not_fit_says_where(more, message):
    fields = {"factors": (0.0, 1.0), "series": (Series("a", (None, None)),)} | more
    with pytest.raises(DataError, match=message):
        Sweep("S", **fields)


class TestAverage:
    def test_a_missing_task_leaves_no_average(self):
        assert average([Cell(0.5), None]) is None
        assert average([]) is None

    def test_without_every_interval_there_is_none(self):
        mean = average([Cell(0.5, 0.4, 0.6), Cell(0.7)])
        assert (mean.value, mean.low, mean.high) == (pytest.approx(0.6), None, None)

    def test_chance_needs_every_chance(self):
        assert average([Cell(0.5, chance=0.5), Cell(0.7)]).chance is None

    def test_unparsable_predictions_add_up(self):
        assert average([Cell(0.5, unparsable=2), Cell(0.7, unparsable=3)]).unparsable == 5

    @given(st.lists(cells(), min_size=1, max_size=9))
    def test_it_lies_in_its_interval_and_the_interval_is_no_wider_than_the_mean_one(self, some):
        mean = average(some)
        assert mean.low <= mean.value <= mean.high
        widths = [cell.high - cell.low for cell in some]
        assert mean.high - mean.low <= sum(widths) / len(some) + 1e-9

    @given(cells(), st.integers(1, 9))
    def test_k_alike_tasks_shrink_the_interval_by_the_root_of_k(self, cell, k):
        mean = average([cell] * k)
        assert mean.high - mean.value == pytest.approx((cell.high - cell.value) / math.sqrt(k), abs=1e-12)
        assert mean.value - mean.low == pytest.approx((cell.value - cell.low) / math.sqrt(k), abs=1e-12)

    def test_it_covers_the_truth_as_often_as_it_says(self):
        import numpy as np

        rng = np.random.default_rng(0)
        truths, n, met = (0.5, 0.8, 0.93), 200, 0
        for _ in range(1000):
            drawn = [int(rng.binomial(n, p)) for p in truths]
            mean = average([Cell(k / n, *wilson_interval(k, n)) for k in drawn])
            met += mean.low <= sum(truths) / 3 <= mean.high
        assert 0.93 <= met / 1000 <= 0.97
