import math

from ramekin.train.ranges import out_of_range


def test_what_is_outside_is_told_with_its_bounds():
    ranges = {"open": (0, 2, False), "closed": (0, math.inf, True)}
    assert out_of_range({"open": 2, "closed": 0}, ranges) == []
    assert out_of_range({"open": None, "closed": None}, ranges) == []
    assert out_of_range({"open": 0, "closed": -1}, ranges) == [
        "open: expected > 0 and <= 2, got 0",
        "closed: expected >= 0, got -1",
    ]
    assert len(out_of_range({"open": math.nan, "closed": math.nan}, ranges)) == 2
