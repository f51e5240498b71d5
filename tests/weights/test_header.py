"""A header is believed only when every byte of the file agrees with it."""

import json
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ramekin.errors import WeightsError
from ramekin.weights.header import read_header

GOOD = {
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "b": {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]},
}


def write(path: Path, header: object, data: bytes = bytes(32), *, raw: bytes | None = None) -> Path:
    text = json.dumps(header).encode() if raw is None else raw
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_a_header_says_what_the_library_says(tmp_path: Path) -> None:
    tensors = {
        "w": torch.randn(3, 5),
        "scalar": torch.tensor(2.0),
        "empty": torch.zeros(0, 4),
        "half": torch.randn(7).bfloat16(),
        "ids": torch.arange(4),
    }
    path = tmp_path / "x.safetensors"
    save_file(tensors, path, metadata={"format": "pt"})
    header = read_header(path)
    assert header.metadata == {"format": "pt"}
    assert header.file_size == path.stat().st_size
    with safe_open(path, "pt") as file:
        assert set(header.tensors) == set(file.keys())
        for name, info in header.tensors.items():
            tensor = file.get_tensor(name)
            assert (info.shape, info.numel) == (tuple(tensor.shape), tensor.numel())
            assert info.nbytes == tensor.numel() * tensor.element_size()
            start = header.data_offset + info.start
            raw = path.read_bytes()[start : start + info.nbytes]
            assert raw == bytes(tensor.flatten().view(torch.uint8).numpy().tobytes())
    starts = [info.start for info in header.tensors.values()]
    assert starts == sorted(starts)


@pytest.mark.parametrize(
    ("header", "data", "sentence"),
    [
        ({"a": {**GOOD["a"], "dtype": "F33"}}, 24, "unknown dtype: FILE#a"),
        ({"a": {**GOOD["a"], "dtype": ["F32"]}}, 24, "unknown dtype: FILE#a"),
        (
            {"a": {**GOOD["a"], "shape": [2, 4]}},
            24,
            "wrong size: FILE#a: expected 32 bytes for F32 [2, 4], got 24",
        ),
        ({"a": {**GOOD["a"], "shape": [2, -3]}}, 24, "no valid shape: FILE#a"),
        ({"a": {**GOOD["a"], "shape": [True, 6]}}, 24, "no valid shape: FILE#a"),
        ({"a": {**GOOD["a"], "shape": "23"}}, 24, "no valid shape: FILE#a"),
        ({"a": {**GOOD["a"], "data_offsets": [24, 0]}}, 24, "no valid offsets: FILE#a"),
        ({"a": {**GOOD["a"], "data_offsets": [0]}}, 24, "no valid offsets: FILE#a"),
        ({"a": {**GOOD["a"], "data_offsets": [0, 24.0]}}, 24, "no valid offsets: FILE#a"),
        ({"a": {"dtype": "F32", "shape": [6]}}, 24, "not described: FILE#a"),
        ({"a": {**GOOD["a"], "more": 1}}, 24, "not described: FILE#a"),
        ({"a": 3}, 24, "not described: FILE#a"),
        (
            {**GOOD, "b": {**GOOD["b"], "data_offsets": [20, 28]}},
            28,
            "overlaps the one before it in its data: FILE#b",
        ),
        ({**GOOD, "b": {**GOOD["b"], "data_offsets": [28, 36]}}, 36, "a hole in its data: FILE#b"),
        ({"a": {**GOOD["a"], "data_offsets": [4, 28]}}, 28, "a hole in its data: FILE#a"),
        (GOOD, 31, "truncated: FILE#b: expected 32 bytes of data or more, got 31"),
        (GOOD, 33, "bytes follow its last tensor: FILE"),
        ({}, 1, "bytes follow its last tensor: FILE"),
        ([1], 0, "not a JSON object: FILE"),
        ({"__metadata__": {"a": 1}}, 0, "metadata is not text: FILE#__metadata__"),
        ({"__metadata__": None}, 0, "metadata is not text: FILE#__metadata__"),
    ],
)
def test_a_wrong_header_is_refused_by_name(tmp_path: Path, header: object, data: int, sentence: str) -> None:
    path = write(tmp_path / "x.safetensors", header, bytes(data))
    with pytest.raises(WeightsError) as caught:
        read_header(path)
    assert sentence.replace("FILE", str(path)) in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (
            b'{"a": {"dtype":"F32","shape":[],"data_offsets":[0,4]}, "a": 1}',
            "stands twice in its header: FILE#a",
        ),
        (b'{"a": {"dtype":"F32","dtype":"F32","shape":[],"data_offsets":[0,4]}}', "stands twice"),
        (b"{nonsense", "its header is not JSON: FILE"),
        (b"\xff\xfe\x00", "its header is not JSON: FILE"),
        (b"[" * 100_000, "its header is not JSON: FILE"),
    ],
)
def test_a_header_that_is_no_json_object_is_refused(tmp_path: Path, raw: bytes, sentence: str) -> None:
    path = write(tmp_path / "x.safetensors", None, bytes(4), raw=raw)
    with pytest.raises(WeightsError) as caught:
        read_header(path)
    assert sentence.replace("FILE", str(path)) in str(caught.value)


def test_a_length_that_cannot_be_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for content, sentence in (
        (b"", "too short"),
        (b"1234567", "too short"),
        (struct.pack("<Q", 1 << 60), "its header is too long"),
        (struct.pack("<Q", 100), "it ends inside its header"),
    ):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=sentence):
            read_header(path)
    with pytest.raises(WeightsError, match="cannot read a weights file.*missing"):
        read_header(tmp_path / "missing")
    with pytest.raises(WeightsError, match="cannot read a weights file"):
        read_header(tmp_path)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("header") / "x.safetensors"
    save_file({"a": torch.randn(4, 4), "b": torch.randn(3), "c": torch.ones(2).bfloat16()}, path)
    return path.read_bytes()


def test_every_truncation_is_found(tmp_path: Path, good: bytes) -> None:
    path = tmp_path / "x.safetensors"
    for cut in range(len(good)):
        path.write_bytes(good[:cut])
        with pytest.raises(WeightsError, match=r"x\.safetensors"):
            read_header(path)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_accepted_the_library_accepts_too(tmp_path: Path, good: bytes, data: st.DataObject) -> None:
    """A mutant of the header is refused, or it is one the safetensors library reads alike."""
    length = 8 + struct.unpack("<Q", good[:8])[0]
    mutant = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        mutant[data.draw(st.integers(0, length - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "mutant.safetensors"
    path.write_bytes(mutant)
    try:
        ours = read_header(path)
    except WeightsError:
        return
    try:
        with safe_open(path, "pt") as file:
            assert {name: list(info.shape) for name, info in ours.tensors.items()} == {
                name: file.get_slice(name).get_shape()
                for name in file.keys()  # noqa: SIM118
            }
    except SafetensorError as error:  # pragma: no cover
        raise AssertionError("the library refuses what was accepted") from error
