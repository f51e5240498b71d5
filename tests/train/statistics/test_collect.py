from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from ramekin.train.statistics.collect import collect_fisher, collect_grams
from ramekin.train.statistics.fisher import fisher_information
from ramekin.train.statistics.gram import gram_matrices
from ramekin.train.statistics.sampling import with_sampled_target


@pytest.mark.parametrize("targets", ["sampled", "empirical"])
def test_the_file_is_the_fisher_information_of_those_targets(
    make_model, make_items, tmp_path: Path, targets
) -> None:
    model, items = make_model(), make_items(4)
    facts = collect_fisher(model, items, tmp_path, targets=targets, seed=5, max_target_tokens=4)
    if targets == "sampled":
        items = [with_sampled_target(model.eval(), item, seed=5, max_target_tokens=4) for item in items]
        assert facts.about == {"targets": "sampled", "seed": 5, "max_target_tokens": 4}
    else:
        assert facts.about == {"targets": "empirical"}
    expected = fisher_information(model, items)
    (file,) = facts.files
    found = load_file(tmp_path / file)
    assert found.keys() == expected.keys() and not facts.stored
    for name, each in found.items():
        np.testing.assert_array_equal(each, expected[name].numpy().astype(np.float32))


def test_the_file_has_the_gram_matrices_once_each(make_model, make_items, tmp_path: Path) -> None:
    model, items = make_model(), make_items(4)
    facts = collect_grams(model, items, tmp_path)
    expected = gram_matrices(model, items)
    (file,) = facts.files
    found = load_file(tmp_path / file)
    assert found.keys() == expected.matrices.keys() and facts.stored == expected.stored
    for name, each in found.items():
        np.testing.assert_array_equal(each, expected.matrices[name].numpy().astype(np.float32))
