import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.recipes.searches.space import Dimension, space_of


@given(st.floats(-100, 100), st.floats(0.001, 100), st.floats(0, 1))
def test_a_value_lies_between_its_bounds_and_finds_its_place_again(low, width, place) -> None:
    dimension = Dimension("x", None, low, low + width)
    value = dimension.value(place)
    assert low - 1e-3 * width <= value <= low + width * (1 + 1e-3)
    assert abs(dimension.place(value) - place) <= 2e-3


def test_ends_and_the_middle_are_exact() -> None:
    dimension = Dimension("scaling_factor", None, 0.0, 1.5)
    assert [dimension.value(place) for place in (0, 0.5, 1, -1, 2)] == [0, 0.75, 1.5, 0, 1.5]
    assert [dimension.place(value) for value in (-1, 0.75, 9)] == [0, 0.5, 1]


def test_a_key_by_model_has_a_number_for_each_in_their_order() -> None:
    space = space_of({"weights": (0, 2), "density": (0, 1)}, ["weights"], num_models=3)
    assert [(each.key, each.model) for each in space.dimensions] == [
        ("weights", 0),
        ("weights", 1),
        ("weights", 2),
        ("density", None),
    ]
    assert space.settings([0, 0.5, 1, 0.2]) == {"weights": [0, 1, 2], "density": 0.2}


@pytest.mark.parametrize(
    ("given_settings", "start"),
    [
        ({}, (0.5, 0.5, 0.5)),
        ({"weights": None, "density": {"encoder": 0.1}}, (0.5, 0.5, 0.5)),
        ({"weights": [0.5, 1], "density": 0.9}, (0.25, 0.5, 0.9)),
        ({"weights": 2, "density": 7}, (1, 1, 1)),
        ({"weights": [0.5], "density": True}, (0.25, 0.5, 0.5)),
    ],
)
def test_a_search_starts_where_the_method_is(given_settings, start) -> None:
    space = space_of({"weights": (0, 2), "density": (0, 1)}, ["weights"], num_models=2)
    assert space.start(given_settings) == start
