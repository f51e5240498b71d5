"""From words with several values to points with names of their own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.recipes.sweeps.points import sweep_points


def test_the_points_are_the_product_and_the_last_key_changes_fastest() -> None:
    found = sweep_points(["task=glue/rte", "seed=1,2", "adapter=none,lora"])
    assert found.keys == ("seed", "adapter")
    assert [point.values for point in found.points] == [
        ("1", "none"),
        ("1", "lora"),
        ("2", "none"),
        ("2", "lora"),
    ]
    assert found.points[1].name == "seed=1,adapter=lora"
    assert found.points[1].words == ("task=glue/rte", "seed=1", "adapter=lora")


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("a=choice(x,y)", ("x", "y")),
        ("a=range(0,3)", ("0", "1", "2")),
        ("a=range(0,0.5,0.1)", ("0.0", "0.1", "0.2", "0.3", "0.4")),
        ("a=range(1e-5,4e-5,1e-5)", ("1e-05", "2e-05", "3e-05")),
        ("a=[x],[x,y]", ("[x]", "[x,y]")),
        ("a=null,3", ("null", "3")),
        ("+a.b=1,2", ("1", "2")),
    ],
)
def test_values_stand_in_hydras_sweep_grammar(word: str, values: tuple[str, ...]) -> None:
    found = sweep_points([word])
    assert tuple(value for point in found.points for value in point.values) == values
    assert len({point.name for point in found.points}) == len(values)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["a=1", "b=2"], "nothing is swept"),
        ([], "nothing is swept"),
        (["a=1,1"], "comes twice"),
        (["a=1,2", "b=3", "+a=4,5"], "a key that is swept is given twice: got a"),
        (["a=1,2", "a=3"], "a key that is swept is given twice: got a"),
        (["a=range(5,1)"], "a sweep over nothing"),
        (["a=interval(0,1)"], "cannot be swept"),
        (["a=(1,2"], "cannot be swept"),
        (["a=x/y,x-y"], "one folder"),
    ],
)
def test_what_cannot_be_swept_is_said(words: list[str], part: str) -> None:
    with pytest.raises(UsageError, match=part):
        sweep_points(words)


@given(st.lists(st.integers(0, 999), min_size=2, max_size=5, unique=True), st.integers(1, 40))
def test_a_name_is_a_folders_and_says_the_value(values: list[int], length: int) -> None:
    key = "k" * 4 * length
    found = sweep_points([f"{key}={','.join(map(str, values))}"])
    names = [point.name for point in found.points]
    assert len(set(names)) == len(values)
    for name in names:
        assert "/" not in name and 0 < len(name) <= 100
    again = sweep_points([f"{key}={','.join(map(str, [*values, 1000]))}"])
    assert [point.name for point in again.points][: len(values)] == names
