import pytest

from ramekin.recipes.adaptation import AdaptationConfig, refuse_evaluation_split


@pytest.mark.parametrize(
    "split",
    [
        "validation",
        "validation_matched",
        "valid",
        "val",
        "dev",
        "dev-clean",
        "test",
        "test2",
        "Test",
        "x.eval",
    ],
)
def test_splits_that_are_evaluated_on(split: str) -> None:
    with pytest.raises(ValueError, match="is a split that models are evaluated on"):
        refuse_evaluation_split(split, allowed=False)
    with pytest.raises(ValueError, match="allow_evaluation_split=true"):
        AdaptationConfig(split=split)
    refuse_evaluation_split(split, allowed=True)
    assert AdaptationConfig(split=split, allow_evaluation_split=True).split == split


@pytest.mark.parametrize("split", ["train", "train_r1", "auxiliary_train", "contest", "invalid", "developed"])
def test_splits_that_are_for_training(split: str) -> None:
    refuse_evaluation_split(split, allowed=False)
