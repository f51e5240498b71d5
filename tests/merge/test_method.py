"""What a method says of itself is true: that it looks at deltas alone, and that it adds them by coefficients."""

from typing import Any

import numpy as np
import pytest

from ramekin.merge.direction import merge_arrays
from ramekin.merge.methods import METHODS, find_method

SHAPES = {
    "encoder.block.0.layer.0.SelfAttention.q.weight": (8, 6),
    "decoder.block.0.layer.0.SelfAttention.v.weight": (6, 6),
    "encoder.block.0.layer.0.layer_norm.weight": (6,),
}
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "adamerging": [{"weights": [0.2, 0.7]}],
    "simple_average": [{}, {"weights": [1, 3]}, {"weights": [1, 3], "normalize": False}],
    "model_stock": [{"negative": "formula"}],
    "task_arithmetic": [{"weights": [1, -3]}],
    "ties_merging": [{"density": 0.5}, {"density": 0.5, "scope": "tensor"}],
}
CASES = [(name, settings) for name in sorted(METHODS) for settings in SETTINGS.get(name, [{}])]


def tensors(seed: int, scale: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)  # sums of multiples of 1/64 are exact in fp32
    return {
        name: (scale * rng.integers(-256, 257, shape) / 64).astype(np.float32)
        for name, shape in SHAPES.items()
    }


def collected(name: str, count: int) -> list[dict[str, np.ndarray]]:
    """Statistics that have nothing to do with the models' own numbers."""
    kind = find_method(name).statistics
    if kind is None:
        return []
    found = [tensors(10 + place) for place in range(count)]
    if kind == "fisher":
        return [{key: value**2 + 0.1 for key, value in each.items()} for each in found]
    return [
        {
            key: value.T @ value + np.eye(value.shape[1], dtype=np.float32)
            for key, value in each.items()
            if value.ndim == 2
        }
        for each in found
    ]


def added(name: str, settings: dict[str, Any], base: Any, deltas: list[Any]) -> dict[str, np.ndarray]:
    tuned = [{key: base[key] + delta[key] for key in base} for delta in deltas]
    merged = merge_arrays(name, base, tuned, statistics=collected(name, len(tuned)), **settings)
    return {key: merged[key].astype(float) - base[key] for key in base}


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_what_is_added_follows_from_the_deltas_or_not(name: str, settings: dict[str, Any]) -> None:
    method = find_method(name)
    deltas = [tensors(1), tensors(2)][: method.max_models or 2]
    zero = {key: np.zeros_like(value) for key, value in tensors(0).items()}
    beside, upon = (added(name, settings, base, deltas) for base in (zero, tensors(0)))
    same = all(np.allclose(beside[key], upon[key], atol=1e-4) for key in zero)
    assert same is method.of_deltas(method.parse(settings))


@pytest.mark.parametrize(
    ("name", "settings"),
    [case for case in CASES if find_method(case[0]).linear(find_method(case[0]).parse(case[1]))],
)
def test_linear_methods_add_each_delta_by_one_number_a_tensor(name: str, settings: dict[str, Any]) -> None:
    method = find_method(name)
    deltas = [tensors(1), tensors(2)][: method.max_models or 2]
    found = added(name, settings, {key: np.zeros_like(value) for key, value in tensors(0).items()}, deltas)
    for key, value in found.items():
        columns = np.stack([delta[key].ravel() for delta in deltas], axis=1).astype(float)
        rest = np.linalg.lstsq(columns, value.ravel(), rcond=None)[1]
        assert rest.size == 0 or rest < 1e-6


def test_methods_that_cut_or_elect_are_not_linear() -> None:
    for name in ("ties_merging", "dare", "magmax", "tsv_merge", "iso_c", "slerp", "karcher"):
        method = find_method(name)
        assert not method.linear(method.parse({}))
