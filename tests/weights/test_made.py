"""A reader of tensors that are made on demand."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ramekin.errors import UsageError, WeightsError
from ramekin.weights.made import MadeReader

WHOLE = {name: np.arange(12, dtype=np.float64).reshape(3, 4) + place for place, name in enumerate("abc")}


def reader(kept: int = 2) -> tuple[MadeReader, list[str]]:
    calls: list[str] = []

    def make(name: str) -> np.ndarray | None:
        calls.append(name)
        return None if name == "zero" else WHOLE[name].T.copy().T  # not contiguous

    return MadeReader({**dict.fromkeys(WHOLE, (3, 4)), "zero": (2, 2)}, make, where="m", kept=kept), calls


def test_slices_are_of_one_whole() -> None:
    made, calls = reader()
    assert made.names() == ("a", "b", "c", "zero") and made.info("a").shape == (3, 4) and made.where == "m"
    assert made.info("a").nbytes == 0  # of a file
    for start, stop in ((0, 12), (3, 7), (11, 12), (5, 5)):
        np.testing.assert_array_equal(made.read("b", start, stop), WHOLE["b"].reshape(-1)[start:stop])
    assert calls == ["b"]


def test_zeros_and_buffers() -> None:
    made, _ = reader()
    out = np.ones(6, dtype=np.float32)
    assert made.read("zero", 1, 3, out=out).tolist() == [0, 0] and out.tolist() == [0, 0, 1, 1, 1, 1]
    made.read("a", 0, 2, out=out)[:] = 9
    assert made.read("a", 0, 2).tolist() == [0, 1]  # what is kept is not handed out


@pytest.mark.parametrize("kept", [1, 2])
def test_the_last_few_are_kept(kept: int) -> None:
    made, calls = reader(kept)
    for name in "abab":
        made.read(name, 0, 1)
    assert calls == (["a", "b"] if kept == 2 else list("abab"))
    made.read("c", 0, 1)
    made.read("b", 0, 1)
    made.close()
    made.read("b", 0, 1)
    assert calls[-1] == "b"


def test_what_is_not_there() -> None:
    made, _ = reader()
    with pytest.raises(WeightsError, match="no such tensor: m#d"):
        made.read("d", 0, 1)
    with pytest.raises(UsageError, match="outside the tensor"):
        made.read("a", 0, 13)


def test_two_threads_wait_for_one_making() -> None:
    calls, at_once = [], threading.Event()

    def make(name: str) -> np.ndarray:
        calls.append(name)
        at_once.wait(0.05)
        return WHOLE[name]

    made = MadeReader({"a": (3, 4)}, make, where="m")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda place: made.read("a", place, place + 1)[0], range(12)))
    assert found == list(range(12)) and calls == ["a"]
