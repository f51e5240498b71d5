"""Each sentence where its threshold is passed, and none where nothing stands out."""

from collections.abc import Mapping

import pytest
import torch

from ramekin.merge.inputs import ModelInput
from ramekin.merge.inspection.inspect import inspect_models
from ramekin.merge.inspection.readings import OPPOSITE, SHARED, STARVED, UNEQUAL, readings

Tensors = dict[str, torch.Tensor]
QS = [f"{stack}.block.0.layer.0.SelfAttention.{q}.weight" for stack in ("encoder", "decoder") for q in "qkvo"]


@pytest.fixture
def read(world):
    """The sentences on some deltas, by the name of their model."""
    base = world.save("base")
    start = world.load(base)

    def read(deltas: Mapping[str, Tensors], **how) -> tuple[str, ...]:
        models = []
        for name, delta in deltas.items():
            tensors = {key: start[key] + delta.get(key, 0 * start[key]) for key in start}
            models.append(ModelInput(name, world.save(name, tensors)))
        return readings(inspect_models(base=base, models=models, **{"density": 0.2, **how}))

    read.start = start
    return read


def noise(start: Mapping[str, torch.Tensor], seed: int, scale: float = 0.1) -> Tensors:
    rng = torch.Generator().manual_seed(seed)
    return {name: scale * torch.randn(tensor.shape, generator=rng) for name, tensor in start.items()}


def test_nothing_is_said_of_deltas_that_are_like_noise(read) -> None:
    # Subspaces so large against these small matrices are left out: chance has a wide spread.
    assert read({f"m{i}": noise(read.start, i) for i in range(3)}, with_spectra=False) == ()


def test_a_model_without_a_delta(read) -> None:
    (sentence,) = read({"one": {}, "two": noise(read.start, 1)}, with_spectra=False)
    assert sentence == "one equals the base in every element: there is nothing to merge."


def test_unequal_lengths(read) -> None:
    def said(times: float, prefix: str) -> list[str]:
        deltas = {f"{prefix}a": noise(read.start, 1), f"{prefix}b": noise(read.start, 2, 0.1 * times)}
        return [each for each in read(deltas, with_spectra=False) if each.startswith("The lengths")]

    assert said(0.8 * UNEQUAL, "x") == []
    (sentence,) = said(4 * UNEQUAL, "y")
    assert "differ 11.5 times, from ya to yb" in sentence and "metagpt" in sentence


def test_models_that_are_nearly_one_another(read) -> None:
    one = noise(read.start, 1)
    near = {name: delta + noise(read.start, 2, 0.01)[name] for name, delta in one.items()}
    said = read({"one": one, "two": near}, with_spectra=False)
    assert said == ("one and two have nearly the same delta (cosine 1.00): merging both counts it twice.",)


def test_opposite_ways_in_a_layer(read) -> None:
    one, other = noise(read.start, 1), noise(read.start, 2)
    for name in other:
        if "decoder" in name:
            other[name] = -one[name]
    said = read({"one": one, "two": other}, with_spectra=False)
    assert said[0] == "one and two point opposite ways in decoder.block.0 (cosine −1.00)."
    assert OPPOSITE == -0.5


def test_opposite_signs_beyond_chance(read) -> None:
    one = noise(read.start, 1)
    other = {name: noise(read.start, 2)[name] - 0.5 * delta for name, delta in one.items()}
    said = [each for each in read({"one": one, "two": other}, with_spectra=False) if "by chance" in each]
    assert len(said) == 1 and said[0].startswith("one and two change 6") and "ties_merging" in said[0]


def test_a_delta_that_is_in_one_layer(read) -> None:
    small = noise(read.start, 1, 0.01)
    small["lm_head.weight"] *= 100
    said = read({"one": small, "two": noise(read.start, 2, 0.1)}, with_spectra=False)
    assert any("of the squared length of one's delta is in head" in each for each in said)
    starved = [each for each in said if each.startswith("ties_merging")]
    assert len(starved) == 1 and f"less than {100 * STARVED * 0.2:.2g} %" in starved[0]
    assert "encoder.block.0 (one)" in starved[0] and "scope=tensor" in starved[0]


def test_nothing_would_be_trimmed(read) -> None:
    few = {name: noise(read.start, 1)[name] for name in QS[:1]}
    said = read({"one": few, "two": noise(read.start, 2)}, with_spectra=False)
    assert any("density 0.2 would trim nothing of one: only 4.7 % of its elements" in each for each in said)
    assert not any("trim" in each for each in read({"three": few}, density=0.01, with_spectra=False))


def test_shared_subspaces(read) -> None:
    rng = torch.Generator().manual_seed(0)
    side = {name: torch.randn(read.start[name].shape[0], 1, generator=rng) for name in QS}
    across = {name: torch.randn(1, read.start[name].shape[1], generator=rng) for name in QS}
    deltas = {}
    for place, name in enumerate(("one", "two")):
        deltas[name] = noise(read.start, place, 0.01)
        sign = torch.tensor(1.0 if place else -1.0)
        # The same subspace with a sign of its own, matrix by matrix, so that the angle tells nothing.
        for q, matrix in enumerate(QS):
            deltas[name][matrix] += side[matrix] @ across[matrix] * (sign if q % 2 else 1.0)
    said = [each for each in read(deltas, rank=1) if "far above chance" in each]
    assert said[0].startswith("The dominant subspaces of one and two (") and "iso_c" in said[0]
    assert said[1].startswith("The deltas share subspaces far above chance in ")
    assert 0 < SHARED < 1


def test_of_many_the_strongest_are_named(read) -> None:
    one = noise(read.start, 1)
    deltas = {f"m{i}": {name: delta + noise(read.start, 2 + i, 0.002 * i)[name] for name, delta in one.items()}
              for i in range(4)}  # fmt: skip
    said = [each for each in read(deltas, with_spectra=False)]
    assert (
        len(said) == 4
        and said[0].startswith("m0 and m1 ")
        and said[3].startswith("The like holds 3 more times")
    )
