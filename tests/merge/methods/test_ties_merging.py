from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge.combine import elected
from ramekin.merge.direction import merge_arrays
from ramekin.merge.methods import find_method
from ramekin.merge.methods import ties_merging as ties_module
from ramekin.merge.methods.task_arithmetic import task_arithmetic
from ramekin.merge.run import Walking

Tensors = dict[str, torch.Tensor]
seeds = st.integers(0, 10_000)


def ties_merging(base: Tensors, tuned: list[Tensors], **settings: object) -> Tensors:
    merged = merge_arrays("ties_merging", base, tuned, walking=Walking(threads=1), **settings)
    return {name: torch.from_numpy(each) for name, each in merged.items()}


densities = st.sampled_from([0.05, 0.1, 0.2, 0.5, 0.9])
merge_funcs = st.sampled_from(["sum", "mean", "max"])


def _random(seed: int, models: int, *, tied: bool = False) -> tuple[Tensors, list[Tensors]]:
    """Numbers on a coarse grid now and then, so that magnitudes tie and deltas cancel exactly."""
    rng = torch.Generator().manual_seed(seed)
    base = {"a": torch.randn(6, 5, generator=rng), "b": torch.randn(9, generator=rng), "c": torch.zeros(3)}
    tuned = []
    for _ in range(models):
        noise = {name: torch.randn(tensor.shape, generator=rng) for name, tensor in base.items()}
        if seed % 2:
            noise = {name: (tensor * 2).round() / 4 for name, tensor in noise.items()}
        tuned.append({name: base[name] + noise[name] for name in base})
    if seed % 2:
        base = {name: tensor.round() for name, tensor in base.items()}
        tuned = [{name: (tensor * 4).round() / 4 for name, tensor in model.items()} for model in tuned]
    return base, tuned


@given(
    seed=seeds,
    models=st.integers(1, 5),
    density=densities,
    merge_func=merge_funcs,
    scope=st.sampled_from(["model", "tensor"]),
    keep=st.sampled_from(["round", "floor", "official"]),
)
def test_equals_the_book(
    reference: Callable[..., Tensors],
    seed: int,
    models: int,
    density: float,
    merge_func: str,
    scope: str,
    keep: str,
) -> None:
    base, tuned = _random(seed, models)
    keep_count = {
        "round": lambda n: max(1, round(n * density)),
        "floor": lambda n: max(1, int(n * density)),
        "official": lambda n: int(n * density) + 1,
    }[keep]
    merged = ties_merging(
        base, tuned, scaling_factor=0.7, density=density, scope=scope, merge_func=merge_func, keep=keep
    )
    expected = reference(
        base, tuned, scaling_factor=0.7, keep_count=keep_count, scope=scope, merge_func=merge_func
    )
    assert merged.keys() == expected.keys()
    assert all(torch.equal(merged[name], expected[name]) for name in base)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=seeds, density=densities, merge_func=merge_funcs, often=st.integers(2, 4))
def test_a_tensor_that_counts_several_times_is_that_tensor_repeated(
    reference: Callable[..., Tensors], seed: int, density: float, merge_func: str, often: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(ties_module, "embedding_counts", lambda names, head_is_embedding: {"b": often})
    base, tuned = _random(seed, 4)
    merged = ties_merging(
        base, tuned, density=density, merge_func=merge_func, keep="official", counting="fusionbench"
    )
    expected = reference(
        base, tuned, scaling_factor=0.3, keep_count=lambda n: int(n * density) + 1, scope="model",
        merge_func=merge_func, times={"b": often},
    )  # fmt: skip
    assert all(torch.equal(merged[name], expected[name]) for name in base)


@given(seed=seeds, models=st.integers(1, 4), density=densities)
def test_factor_zero_and_density_zero_are_the_base(seed: int, models: int, density: float) -> None:
    base, tuned = _random(seed, models)
    for merged in (
        ties_merging(base, tuned, scaling_factor=0.0, density=density),
        ties_merging(base, tuned, scaling_factor=0.7, density=0.0),
    ):
        assert all(torch.equal(merged[name], base[name]) for name in base)


@given(seed=seeds)
def test_one_model_untrimmed_with_factor_one_is_that_model(seed: int) -> None:
    base, tuned = _random(seed, 1)
    merged = ties_merging(base, tuned, scaling_factor=1.0, density=1.0)
    for name in base:
        torch.testing.assert_close(merged[name], tuned[0][name])


@given(seed=seeds, merge_func=merge_funcs, copies=st.integers(2, 4))
def test_copies_of_one_model(seed: int, merge_func: str, copies: int) -> None:
    base, tuned = _random(seed, 1)
    one = ties_merging(base, tuned, scaling_factor=1.0, density=0.5)
    factor = 1.0 / copies if merge_func == "sum" else 1.0
    many = ties_merging(base, tuned * copies, scaling_factor=factor, density=0.5, merge_func=merge_func)
    for name in base:
        torch.testing.assert_close(many[name], one[name])


@given(seed=seeds, order=st.permutations(range(4)), density=densities, merge_func=merge_funcs)
def test_the_order_does_not_matter(seed: int, order: list[int], density: float, merge_func: str) -> None:
    base, tuned = _random(2 * seed, 4)  # no exact cancellations, whose sign rounding decides
    merged = ties_merging(base, tuned, density=density, merge_func=merge_func)
    permuted = ties_merging(base, [tuned[i] for i in order], density=density, merge_func=merge_func)
    for name in base:
        torch.testing.assert_close(permuted[name], merged[name], atol=1e-5, rtol=1e-5)


@given(seed=seeds)
def test_untrimmed_without_conflicts_is_task_arithmetic(seed: int) -> None:
    base, tuned = _random(seed, 3)
    apart = [{n: base[n] + (t[n] - base[n]).abs() for n in base} for t in tuned]
    merged = ties_merging(base, apart, density=1.0)
    for name in base:
        expected = task_arithmetic(base[name], [model[name] for model in apart])
        torch.testing.assert_close(merged[name], expected)


@pytest.mark.parametrize(
    ("zero_sign", "merge_func", "expected"),
    [
        (1, "sum", 2.0),
        (-1, "sum", -2.0),
        (0, "sum", -2.0),
        (0, "max", 0.0),
        (1, "max", 2.0),
        (-1, "mean", -2.0),
    ],
)
def test_deltas_that_cancel_take_the_elected_sign(zero_sign: int, merge_func: str, expected: float) -> None:
    deltas = [torch.tensor([2.0]), torch.tensor([-2.0])]
    merged = elected(deltas, zero_sign=zero_sign, merge_func=merge_func)
    assert merged.tolist() == [expected]


def test_inputs_are_left_alone() -> None:
    base, tuned = _random(0, 2)
    before = [{name: tensor.clone() for name, tensor in model.items()} for model in (base, *tuned)]
    for density in (0.0, 0.3, 1.0):
        ties_merging(base, tuned, density=density)
    for model, kept in zip((base, *tuned), before, strict=True):
        assert all(torch.equal(model[name], kept[name]) for name in model)


def test_no_models() -> None:
    with pytest.raises(UsageError, match="ties_merging was given no models: expected at least 1"):
        ties_merging({"a": torch.ones(1)}, [])


def test_a_percent_is_refused() -> None:
    with pytest.raises(UsageError, match=r"fix: density=0\.2"):
        ties_merging({"a": torch.ones(1)}, [{"a": torch.ones(1)}], density=20)


def test_what_a_cut_tensor_by_tensor_makes_no_difference_to_is_refused() -> None:
    with pytest.raises(UsageError, match="counting=fusionbench says .* scope=tensor cuts each by itself"):
        find_method("ties_merging").parse({"scope": "tensor", "counting": "fusionbench"})
