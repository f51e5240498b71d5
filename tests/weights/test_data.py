"""Tensor data goes to the file and back unchanged, and the hash on the way is the file's."""

import hashlib
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from ramekin.errors import WeightsError
from ramekin.files import sha256_file
from ramekin.weights.data import check_finite, read_tensors, write_tensors
from ramekin.weights.header import read_header

TENSORS = {
    "z": torch.randn(3, 5),
    "a": torch.randn(4).bfloat16(),
    "scalar": torch.tensor(1.5),
    "empty": torch.zeros(0, 3),
    "half": torch.randn(2, 2).half(),
    "ü.weight": torch.randn(2).double(),
    "strided": torch.randn(4, 6).t(),
}


def test_the_bytes_are_those_of_the_safetensors_library(tmp_path: Path) -> None:
    sha256 = write_tensors(tmp_path / "ours", TENSORS)
    save_file(
        {name: t.contiguous() for name, t in TENSORS.items()}, tmp_path / "theirs", metadata={"format": "pt"}
    )
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    assert sha256 == sha256_file(tmp_path / "ours")


def test_what_is_written_is_read_back_with_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    sha256 = write_tensors(path, TENSORS)
    digest = hashlib.sha256()
    read = dict(read_tensors(path, read_header(path), digest))
    assert digest.hexdigest() == sha256
    assert read.keys() == TENSORS.keys()
    for name, tensor in load_file(path).items():
        assert torch.equal(read[name], tensor) and torch.equal(read[name], TENSORS[name])
        assert read[name].dtype == TENSORS[name].dtype


def test_the_order_of_the_mapping_does_not_change_the_bytes(tmp_path: Path) -> None:
    first = write_tensors(tmp_path / "1", TENSORS)
    assert first == write_tensors(tmp_path / "2", dict(reversed(TENSORS.items())))


def test_a_file_that_shrinks_after_its_header_was_read_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"a": torch.ones(100), "b": torch.ones(100)})
    header = read_header(path)
    with path.open("r+b") as file:
        file.truncate(header.data_offset + 500)
    with pytest.raises(WeightsError, match=r"ended while it was read: .*x\.safetensors#b"):
        dict(read_tensors(path, header, None))
    path.write_bytes(b"12")
    with pytest.raises(WeightsError, match="ended while it was read"):
        dict(read_tensors(path, header, None))


def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"q": torch.ones(3, dtype=torch.int8)}, path)
    with pytest.raises(
        WeightsError, match=r"not of a floating-point type: .*#q: expected one of F32.*got I8"
    ):
        dict(read_tensors(path, read_header(path), None))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), min_size=1, max_size=30),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
)
def test_exactly_the_tensors_that_are_not_finite_are_refused(values: list[float], dtype: torch.dtype) -> None:
    tensor = torch.tensor(values).to(dtype)
    try:
        check_finite(tensor, where="w", fix="f")
    except WeightsError as error:
        nan, infinite = int(tensor.isnan().sum()), int(tensor.isinf().sum())
        assert f"got {nan} NaN and {infinite} infinite of {len(values)}" in str(error)
        assert nan + infinite > 0
    else:
        assert torch.isfinite(tensor).all()


def test_a_finite_tensor_whose_sum_overflows_is_accepted() -> None:
    check_finite(torch.full((4,), 3e38), where="w", fix="f")
    check_finite(torch.zeros(0), where="w", fix="f")
