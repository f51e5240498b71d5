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
