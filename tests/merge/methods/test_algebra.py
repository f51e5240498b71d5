"""What every method must do, whichever it is: the algebra of models, chunks, threads, devices and dtypes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ramekin.merge.array import TorchDevice
from ramekin.merge.direction import merge_arrays
from ramekin.merge.methods import METHODS, find_method
from ramekin.merge.run import Walking

Tensors = dict[str, np.ndarray]
ALONE = Walking(threads=1)
SHAPES = {
    "shared.weight": (14, 6),
    "encoder.block.0.layer.0.SelfAttention.q.weight": (8, 6),
    "encoder.block.1.layer.0.SelfAttention.q.weight": (5, 6),
    "decoder.block.0.layer.0.layer_norm.weight": (6,),
    "decoder.block.0.layer.1.EncDecAttention.k.weight": (6, 9),
    "lm_head.weight": (14, 6),
}
RANDOM = {"dare", "della"}
CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {"weights": 0.4} if name == "adamerging" else {}) for name in sorted(METHODS)),
    ("adamerging", {"weights": [0.2, {"encoder": 0.5, ".*": 0.1}]}),
    ("breadcrumbs", {"density": 0.5, "gamma": 0.1, "elect": True, "merge_func": "mean"}),
    ("breadcrumbs", {"preset": "mergekit", "density": 0.7}),
    ("consensus_ta", {"agreeing": 1, "tall_lambda": [0.2, 0.5]}),
    ("dare", {"density": 0.3, "elect": True, "normalize": True}),
    ("dare", {"preset": "mergekit", "density": 0.6}),
    ("della", {"preset": "mergekit", "density": 0.6}),
    ("della", {"elect": False, "weights": [1, 2]}),
    ("fisher", {"normalize": False, "weights": [1, 2], "floor": 0.05}),
    ("lines", {"along": "network", "alpha": 0.2}),
    ("karcher", {"weights": [1, 3]}),
    ("model_stock", {"preset": "fusionbench"}),
    ("pcb_merging", {"density": 0.4}),
    ("regmean", {"off_diagonal": 1.0, "head": True, "scaling_factor": {"encoder": 0.5, ".*": 1.2}}),
    ("simple_average", {"weights": [1, 3]}),
    ("slerp", {"t": {"depth": [0.1, 0.9]}}),
    (
        "task_arithmetic",
        {"weights": [1, 3], "normalize": True, "scaling_factor": {"encoder": 0.2, ".*": 0.7}},
    ),
    ("ties_merging", {"scope": "tensor", "density": {"depth": [0.2, 0.8]}, "merge_func": "mean"}),
    ("ties_merging", {"preset": "paper", "density": [0.3, 0.6], "weights": [1, 0.5]}),
]
IDS = [f"{name}-{place}" for place, (name, _) in enumerate(CASES)]
SCALED = [case for case in CASES if find_method(case[0]).scaled]
OF_DELTAS = [case for case in SCALED if case[0] != "task_analogy"]


def _world(seed: int, models: int = 2, scale: float = 0.1) -> tuple[Tensors, list[Tensors]]:
    rng = np.random.default_rng(seed)
    base = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}
    tuned = [
        {
            name: (each + scale * rng.standard_normal(each.shape)).astype(np.float32)
            for name, each in base.items()
        }
        for _ in range(models)
    ]
    return base, tuned


@pytest.fixture(autouse=True, scope="module")
def _known_statistics(statistics_of: Callable[..., list[Tensors]]) -> None:
    global _statistics_of
    _statistics_of = statistics_of


_statistics_of: Callable[..., list[Tensors]]


def _merge(
    method: str, base: Tensors, tuned: Sequence[Tensors], given: dict[str, Any], walking: Walking = ALONE
) -> Tensors:
    chosen = find_method(method)
    models = tuned if chosen.uses_models else []
    statistics = _statistics_of(chosen.statistics, models)
    return merge_arrays(method, base, models, walking=walking, statistics=statistics, **given)


def _close(left: Tensors, right: Tensors, tolerance: float = 2e-5) -> None:
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_allclose(left[name], right[name], atol=tolerance, rtol=tolerance, err_msg=name)


@pytest.mark.usefixtures("short_runs")
@pytest.mark.parametrize(("method", "given"), CASES, ids=IDS)
@pytest.mark.parametrize(("length", "threads"), [(8, 1), (24, 3), (1 << 20, 2)])
def test_chunks_and_threads_do_not_change_a_bit(
    method: str, given: dict[str, Any], length: int, threads: int
) -> None:
    base, tuned = _world(0)
    whole = _merge(method, base, tuned, given)
    cut = _merge(method, base, tuned, given, Walking(threads=threads, chunk_length=length))
    assert all(np.array_equal(whole[name], cut[name]) for name in whole)
    assert all(whole[name].shape == SHAPES[name] and whole[name].dtype == np.float32 for name in SHAPES)


@pytest.mark.parametrize(("method", "given"), CASES, ids=IDS)
def test_torch_computes_the_same(method: str, given: dict[str, Any]) -> None:
    base, tuned = _world(1)
    device = Walking(device=TorchDevice("cpu"), threads=2)
    _close(_merge(method, base, tuned, given, device), _merge(method, base, tuned, given), 1e-4)


@pytest.mark.parametrize(
    ("method", "given"),
    [
        (method, given)
        for method, given in CASES
        if method not in {*RANDOM, "dummy", "slerp", "task_analogy"}
        and not any(isinstance(value, list) for value in given.values())
    ],
)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), order=st.permutations(range(3)))
def test_the_order_of_the_models_does_not_matter(
    method: str, given: dict[str, Any], seed: int, order: list[int]
) -> None:
    base, tuned = _world(seed, 3)
    if find_method(method).max_models == 2:
        tuned, order = tuned[:2], [1, 0]
    merged = _merge(method, base, tuned, given)
    _close(_merge(method, base, [tuned[place] for place in order], given), merged, 1e-4)


@pytest.mark.parametrize(("method", "given"), OF_DELTAS)
def test_models_that_learned_nothing_leave_the_base(method: str, given: dict[str, Any]) -> None:
    base, _ = _world(2)
    merged = _merge(method, base, [base, {name: each.copy() for name, each in base.items()}], given)
    assert all(np.array_equal(merged[name], base[name]) for name in base)


@pytest.mark.parametrize(("method", "given"), SCALED)
def test_a_scaling_factor_of_zero_is_the_base(method: str, given: dict[str, Any]) -> None:
    base, tuned = _world(3)
    merged = _merge(method, base, tuned, {**given, "scaling_factor": 0})
    assert all(np.array_equal(merged[name], base[name]) for name in base)


WHOLE: dict[str, dict[str, Any]] = {
    "breadcrumbs": {"density": 1, "gamma": 0, "scaling_factor": 1},
    "consensus_ta": {"agreeing": 0, "scaling_factor": 1},
    "dare": {"density": 1, "scaling_factor": 1},
    "della": {"density": 1},
    "emr_merging": {},
    "expo": {"extrapolation": 0},
    "fisher": {},
    "karcher": {},
    "lines": {"alpha": 1, "beta": 0},
    "magmax": {"scaling_factor": 1},
    "metagpt": {},
    "regmean": {},
    "simple_average": {},
    "slerp": {"t": 1},
    "task_arithmetic": {"scaling_factor": 1},
    "task_negation": {"scaling_factor": -1},
    "ties_merging": {"density": 1, "scaling_factor": 1},
}


@pytest.mark.parametrize("method", sorted(WHOLE))
def test_one_model_kept_whole_is_that_model(method: str) -> None:
    base, tuned = _world(4, 1)
    _close(_merge(method, base, tuned, WHOLE[method]), tuned[0])


@pytest.mark.parametrize(
    "method",
    ["simple_average", "karcher", "metagpt", "emr_merging", "model_stock", "lines", "fisher", "regmean"],
)
def test_copies_of_one_model_merge_to_it(method: str) -> None:
    base, tuned = _world(5, 1)
    given = {"beta": 0} if method == "lines" else {}
    _close(_merge(method, base, tuned * 3, given), tuned[0])


@pytest.mark.parametrize(("method", "given"), CASES, ids=IDS)
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_models_of_mixed_dtypes(world, method: str, given: dict[str, Any], half: torch.dtype) -> None:
    from ramekin.merge.inputs import ModelInput
    from ramekin.merge.run import merge

    base, tuned = _world(6)
    folders = [
        world.save(name, {key: torch.from_numpy(each) for key, each in tensors.items()}, dtype=dtype, shards=shards)
        for name, tensors, dtype, shards in (
            ("base", base, half, 1), ("a", tuned[0], torch.float32, 3), ("b", tuned[1], half, 1),
        )
    ]  # fmt: skip
    models = [ModelInput(folder.name, folder) for folder in folders[1:]]
    read = [
        {name: each.float().numpy() for name, each in (world.load(f) if f.name != "a" else tuned_a).items()}
        for f, tuned_a in zip(
            folders, [None, {k: torch.from_numpy(v) for k, v in tuned[0].items()}, None], strict=True
        )
    ]
    kind = find_method(method).statistics
    collected = [
        world.statistics(f"of-{model.name}", kind, model.folder, arrays)
        for model, arrays in zip(models, _statistics_of(kind, read[1:]), strict=kind is not None)
    ]
    merge(method, base=folders[0], models=models, output=world.root / "out", settings=given,
          statistics=collected)  # fmt: skip
    expected = _merge(method, read[0], read[1:], given)
    for name, tensor in world.load(world.root / "out").items():
        assert tensor.dtype == half
        assert torch.equal(tensor, torch.from_numpy(expected[name]).to(half)), name
