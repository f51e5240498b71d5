import subprocess
import sys

import pytest

from ramekin.errors import UsageError
from ramekin.train.objective import FlippedLikelihood, Likelihood, build_objective
from ramekin.train.objectives.recipe import ObjectiveRecipe


def test_an_unknown_objective_names_the_nearest():
    with pytest.raises(UsageError, match="unknown objective 'dierct': did you mean 'direct'"):
        ObjectiveRecipe(name="dierct")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("label_smoothing", -0.1),
        ("label_smoothing", 1.0),
        ("label_smoothing", float("nan")),
        ("unlikelihood_weight", -1.0),
        ("unlikelihood_weight", float("inf")),
        ("clamp", 0.0),
        ("clamp", 1.0),
    ],
)
def test_numbers_out_of_range_are_named(key, value):
    with pytest.raises(UsageError, match=f"{key}: expected >="):
        ObjectiveRecipe(name="flipped", **{key: value})


@pytest.mark.parametrize("name", ["direct", "channel"])
def test_a_number_of_flipped_learning_means_nothing_elsewhere(name):
    with pytest.raises(UsageError, match=f"unlikelihood_weight: the objective '{name}' has none"):
        ObjectiveRecipe(name=name, unlikelihood_weight=1.0)
    with pytest.raises(UsageError, match="clamp: "):
        ObjectiveRecipe(name=name, clamp=1e-5)


def test_label_smoothing_and_unlikelihood_are_refused_together():
    with pytest.raises(UsageError, match="label_smoothing: expected 0 with unlikelihood"):
        ObjectiveRecipe(name="flipped", label_smoothing=0.1)
    assert (
        ObjectiveRecipe(name="flipped", label_smoothing=0.1, unlikelihood_weight=0.0).label_smoothing == 0.1
    )


def test_all_problems_are_shown_at_once():
    with pytest.raises(UsageError, match="3 problems"):
        ObjectiveRecipe(name="chanel", label_smoothing=2, unlikelihood_weight=-1)


def test_a_recipe_becomes_its_objective():
    assert build_objective(ObjectiveRecipe()) == Likelihood()
    assert build_objective(ObjectiveRecipe(name="channel", label_smoothing=0.1)) == Likelihood(0.1)
    flipped = ObjectiveRecipe(name="flipped")
    assert flipped.needs_wrong_inputs and build_objective(flipped) == FlippedLikelihood(3.0, 1e-6)
    without = ObjectiveRecipe(name="flipped", unlikelihood_weight=0)
    assert not without.needs_wrong_inputs and build_objective(without) == Likelihood()


def test_a_recipe_is_checked_without_torch():
    code = (
        "import sys, ramekin.train.objectives.recipe as r; r.ObjectiveRecipe(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
