from pathlib import Path

import pytest
import torch

from ramekin.errors import UsageError, WeightsError
from ramekin.merge.inputs import (
    ModelInput,
    check_copies,
    embedding_counts,
    head_is_stored_embedding,
    open_model,
    opened,
    output_sources,
    unique_names,
)
from ramekin.merge.stream import NamedReader
from ramekin.weights.reading import AdapterReader, CheckpointReader

ALIASES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")


def test_what_a_model_is_called() -> None:
    assert ModelInput("rte", Path("runs/rte")).label == "'rte' (runs/rte)"


def test_checkpoints_and_adapters_open_alike(world) -> None:
    tensors = {"shared.weight": torch.randn(4, 3), "w.weight": torch.randn(3, 3)}
    base = world.save("base", tensors)
    adapter = world.adapter("ad", ["w.weight"], {"w.weight": (3, 3)})
    models = [ModelInput("base", base), ModelInput("ad", adapter), ModelInput("own", adapter, base)]
    assert [model.is_adapter for model in models] == [False, True, True]
    with opened(base, models) as (root, tuned):
        assert root is not None and root.label == f"the base ({base})"
        assert [type(model.reader) for model in tuned] == [CheckpointReader, AdapterReader, AdapterReader]
        of_base, first, second = (model.reader.read("w.weight", 0, 9).tolist() for model in tuned)
        assert of_base == tensors["w.weight"].flatten().tolist() != first == second


def test_an_adapter_without_a_base(world) -> None:
    adapter = world.adapter("ad", ["w.weight"], {"w.weight": (3, 3)})
    with pytest.raises(UsageError, match=r"without its base: 'ad' .*; fix: name the base checkpoint: base="):
        open_model(ModelInput("ad", adapter), base=None)


def test_second_names_of_the_embedding_are_dropped() -> None:
    assert unique_names(["shared.weight", *ALIASES, "x"]) == ("shared.weight", "x")
    assert unique_names([*ALIASES]) == tuple(sorted(ALIASES))


def test_how_often_fusionbench_counts() -> None:
    untied, tied = ["shared.weight", "lm_head.weight", "x"], ["shared.weight", "x"]
    assert embedding_counts(untied, head_is_embedding=False) == {
        "shared.weight": 3,
        "lm_head.weight": 1,
        "x": 1,
    }
    assert embedding_counts(tied, head_is_embedding=False) == {"shared.weight": 4, "x": 1}
    assert embedding_counts(tied, head_is_embedding=True)["shared.weight"] == 4
    with pytest.raises(UsageError, match="known for T5 models only: expected a tensor shared.weight"):
        embedding_counts(["model.shared.weight"], head_is_embedding=False)


def test_copies_of_the_embedding_must_be_copies(world) -> None:
    embedding = torch.randn(4, 3)
    good = world.save("good", {"shared.weight": embedding, **dict.fromkeys(ALIASES, embedding.clone())})
    bad = world.save("bad", {"shared.weight": embedding, ALIASES[1]: embedding + 1})
    odd = world.save("odd", {"shared.weight": embedding, ALIASES[1]: embedding[:2]})
    with CheckpointReader(good) as reader:
        check_copies(NamedReader("'good'", reader))
    for folder in (bad, odd):
        with (
            CheckpointReader(folder) as reader,
            pytest.raises(WeightsError, match=r"twice with different values: .*#decoder.embed.*in 'x'"),
        ):
            check_copies(NamedReader("'x'", reader))


def test_a_head_that_is_the_embedding_stored_twice(world) -> None:
    embedding = torch.randn(4, 3)
    same = world.save("same", {"shared.weight": embedding, "lm_head.weight": embedding.clone()})
    own = world.save("own", {"shared.weight": embedding, "lm_head.weight": embedding + 1})
    tied = world.save("tied", {"shared.weight": embedding})

    def holds(*folders: Path) -> bool:
        return head_is_stored_embedding(NamedReader("m", CheckpointReader(folder)) for folder in folders)

    assert holds(same, same)
    assert not holds(same, own)
    assert not holds(tied)


def test_what_each_output_is_made_of() -> None:
    names = ("lm_head.weight", "shared.weight")
    assert output_sources(names, head_is_embedding=False) == {name: name for name in names}
    assert output_sources(names, head_is_embedding=True) == dict.fromkeys(names, "shared.weight")
