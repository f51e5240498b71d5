"""Deltas for the tests of the methods, as numpy arrays and as torch tensors."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from ramekin.merge.method import Method
from ramekin.merge.stream import Chunk, Lazy


@pytest.fixture(autouse=True, scope="session")
def one_torch_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _as_kind(arrays: Sequence[Any], kind: str) -> list[Any]:
    rows = [np.asarray(each, dtype=np.float32) for each in arrays]
    return rows if kind == "numpy" else [torch.from_numpy(each.copy()) for each in rows]


@pytest.fixture(scope="session")
def as_kind() -> Callable[[Sequence[Any], str], list[Any]]:
    """The same values as fp32 arrays of a kind, numpy or torch."""
    return _as_kind


@pytest.fixture(scope="session")
def random_deltas() -> Callable[..., list[np.ndarray]]:
    """Deltas as float64 arrays that hold fp32 values: of full rank, or of a low one as LoRA's."""

    def make(seed: int, count: int, shape: tuple[int, int], *, rank: int | None = None) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        found = []
        for _ in range(count):
            delta = rng.standard_normal(shape)
            if rank is not None:
                delta = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
            found.append((0.02 * delta).astype(np.float32).astype(np.float64))
        return found

    return make


class Watched:
    """A lazy sequence that writes down which member was asked for."""

    def __init__(self, members: Sequence[Any]) -> None:
        self.asked: list[int] = []
        self.members = Lazy(len(members), lambda place: self._give(members, place))

    def _give(self, members: Sequence[Any], place: int) -> Any:
        self.asked.append(place)
        return members[place]


@pytest.fixture(scope="session")
def watched() -> type[Watched]:
    return Watched


class Shapes:
    """What a method asks a stream for: the shapes of its tensors."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self._shapes = shapes

    def shape(self, name: str) -> tuple[int, ...]:
        return self._shapes[name]


MATRIX, TABLE, NORM = (
    "decoder.block.0.layer.2.DenseReluDense.wo.weight",
    "shared.weight",
    "a.layer_norm.weight",
)


@pytest.fixture(scope="session")
def check_wiring() -> Callable[..., None]:
    """Checks that a method takes matrices, tables where it is told to, and the mean of all else."""

    def check(method: Method[Any], function: Callable[..., Any], **settings: object) -> None:
        rng = np.random.default_rng(5)
        shapes = {MATRIX: (6, 4), TABLE: (7, 4), NORM: (5,)}
        stream: Any = Shapes(shapes)
        for embeddings in (False, True):
            parsed = method.parse({**settings, "embeddings": embeddings})
            prepared = method.prepare(stream, parsed)
            for name, shape in shapes.items():
                is_taken = name == MATRIX or (name == TABLE and embeddings)
                assert method.unit(parsed, name, shape) == ("matrix" if is_taken else "element")
                given = shape if is_taken else (3,)
                base, *tuned = (rng.standard_normal(given).astype(np.float32) for _ in range(4))
                found = prepared.combine(Chunk(name, 0, given, 0.5, base, tuned))
                deltas = [each - base for each in tuned]
                expected = function(deltas, **settings) if is_taken else np.mean(deltas, axis=0)
                assert found.shape == given and found.dtype == np.float32
                np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)

    return check


Arrays = dict[str, np.ndarray]


def _statistics_of(kind: str | None, models: Sequence[Arrays]) -> list[Arrays]:
    if kind is None:
        return []
    wide = [{name: np.asarray(each, dtype=np.float64) for name, each in model.items()} for model in models]
    if kind == "fisher":
        return [{name: each * each + 0.01 for name, each in model.items()} for model in wide]
    return [
        {n: each.T @ each + np.eye(each.shape[1]) for n, each in model.items() if each.ndim == 2}
        for model in wide
    ]


@pytest.fixture(scope="session")
def statistics_of() -> Callable[[str | None, Sequence[Arrays]], list[Arrays]]:
    """Statistics of a kind for some models, which follow from each model's own numbers."""
    return _statistics_of


POOL: dict[str, tuple[int, ...]] = {
    "shared.weight": (9, 4),
    "encoder.block.0.layer.0.SelfAttention.q.weight": (5, 4),
    "encoder.block.1.layer.0.layer_norm.weight": (7,),
    "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": (6, 1),
    "decoder.block.1.layer.1.EncDecAttention.k.weight": (2, 3, 4),
    "empty": (0, 3),
    "scale": (),
    "lm_head.weight": (9, 4),
}


@pytest.fixture(scope="session")
def make_models() -> Callable[..., tuple[Arrays, list[Arrays]]]:
    """A base and models tuned from it, fp32, with some of the tensors of the pool, as the seed will have it.

    With grid=True all numbers are multiples of 1/4, whose sums are exact, equal now and then, and cancel.
    """

    def make(
        seed: int, count: int, *, grid: bool = False, shapes: dict[str, tuple[int, ...]] | None = None
    ) -> tuple[Arrays, list[Arrays]]:
        rng = np.random.default_rng(seed)
        if shapes is None:
            chosen = rng.permutation(len(POOL))[: rng.integers(2, len(POOL) + 1)]
            shapes = {name: shape for place, (name, shape) in enumerate(POOL.items()) if place in chosen}
            shapes["always"] = (4, 5)

        def draw(shape: tuple[int, ...], scale: float) -> np.ndarray:
            values = rng.standard_normal(shape) * scale
            return np.asarray(np.round(values * 4) / 4 if grid else values, dtype=np.float32)

        base = {name: draw(shape, 1.0) for name, shape in shapes.items()}
        tuned = [{name: each + draw(each.shape, 0.6) for name, each in base.items()} for _ in range(count)]
        return base, [{name: np.float32(each) for name, each in model.items()} for model in tuned]

    return make


@pytest.fixture(scope="session")
def deltas_of() -> Callable[[Arrays, Sequence[Arrays]], list[Arrays]]:
    """Tuned minus base in fp32, as every method has it, then as float64 for a reference to go on with."""

    def subtract(base: Arrays, tuned: Sequence[Arrays]) -> list[Arrays]:
        return [
            {name: np.asarray(each[name] - base[name], dtype=np.float64) for name in base} for each in tuned
        ]

    return subtract


@pytest.fixture(scope="session")
def agree() -> Callable[..., None]:
    """Fails unless two models have the same names, shapes and, within a tolerance, numbers."""

    def check(found: Arrays, expected: Arrays, tolerance: float = 1e-5) -> None:
        assert found.keys() == expected.keys()
        for name, each in found.items():
            assert each.dtype == np.float32 and each.shape == np.shape(expected[name]), name
            np.testing.assert_allclose(each, expected[name], rtol=tolerance, atol=tolerance, err_msg=name)

    return check


@pytest.fixture(scope="session")
def election() -> Callable[..., np.ndarray]:
    """TIES' election element by element: the sign of the sum, plus where it is zero, and who has it."""

    def elect(rows: Sequence[np.ndarray], weights: Sequence[float], merge_func: str) -> np.ndarray:
        merged = np.zeros(rows[0].shape)
        for place in np.ndindex(merged.shape):
            votes = [(weight * row[place], weight) for row, weight in zip(rows, weights, strict=True)]
            sign = 1 if sum(value for value, _ in votes) >= 0 else -1
            agreeing = [(value, weight) for value, weight in votes if value * sign > 0]
            if not agreeing:
                continue
            if merge_func == "max":
                merged[place] = sign * max(abs(value) for value, _ in agreeing)
            else:
                merged[place] = sum(value for value, _ in agreeing)
            if merge_func == "mean":
                merged[place] /= sum(weight for _, weight in agreeing)
        return merged

    return elect
