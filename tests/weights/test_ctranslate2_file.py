"""The head of a `model.bin`: read whole, refused when damaged, never followed past its end."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import WeightsError
from ramekin.weights.ctranslate2_file import Variable, read_model_file


def text(name):
    return struct.pack("<H", len(name) + 1) + name.encode() + b"\0"


def variable(name, shape, kind, data):
    dims = struct.pack(f"<B{len(shape)}I", len(shape), *shape)
    return text(name) + dims + struct.pack("<BI", kind, len(data)) + data


def model(*variables, aliases=(), version=6, spec="TransformerSpec"):
    parts = [struct.pack("<I", version), text(spec), struct.pack("<II", 7, len(variables)), *variables]
    parts += [struct.pack("<I", len(aliases)), *(text(name) for pair in aliases for name in pair)]
    return b"".join(parts)


GOOD = model(
    variable("a/weight", (2, 3), 1, b"\1" * 6),
    variable("a/weight_scale", (2,), 0, b"\0" * 8),
    variable("flag", (), 1, b"\1"),
    aliases=[("b/weight", "a/weight")],
)


@pytest.fixture
def read(tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "model.bin"

    def reading(content):
        path.write_bytes(content)
        return read_model_file(path)

    return reading


def test_names_shapes_and_types(read):
    found = read(GOOD)
    assert found.variables["a/weight"] == Variable((2, 3), "int8", 6)
    assert found.variables["a/weight_scale"] == Variable((2,), "float32", 8)
    assert found.shape("b/weight") == (2, 3) and found.shape("flag") == () and found.shape("c") is None


def test_every_shorter_file_is_refused(read):
    for length in range(len(GOOD)):
        with pytest.raises(WeightsError):
            read(GOOD[:length])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (GOOD + b"\0", "1 more bytes"),
        (model(version=5), "version 6"),
        (model(spec="WhisperSpec"), "WhisperSpec"),
        (model(variable("a", (2, 3), 1, b"\1" * 5)), "6 bytes of 'a'"),
        (model(variable("a", (2**31, 2**31, 2**31), 0, b"")), "bytes of 'a'"),
        (model(variable("a", (1,), 9, b"\1")), "a known type of 'a'"),
        (model(variable("a", (1,), 1, b"\1"), variable("a", (1,), 1, b"\1")), "each name once"),
        (model(variable("a", (1,) * 9, 1, b"\1")), "at most 8 dimensions"),
        (model(aliases=[("b", "a")]), "a variable behind 'b'"),
        (struct.pack("<I", 6) + text("TransformerSpec") + struct.pack("<II", 7, 2**32 - 1), "at most 100000 names"),
        (struct.pack("<IH", 6, 60000) + b"a" * 60000, "60000 bytes"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(read, content, said):
    with pytest.raises(WeightsError, match=said):
        read(content)


def test_a_size_that_is_not_there_is_not_read(read):
    content = bytearray(model(variable("a", (4,), 1, b"\1" * 4)))
    place = content.index(struct.pack("<IBI", 4, 1, 4))
    content[place : place + 9] = struct.pack("<IBI", 2**32 - 1, 1, 2**32 - 1)
    with pytest.raises(WeightsError, match="4294967295 bytes of 'a'"):
        read(bytes(content))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(WeightsError, match="cannot read"):
        read_model_file(tmp_path / "model.bin")


@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=8))
def test_a_changed_file_is_read_or_refused(tmp_path_factory, place, change):
    path = tmp_path_factory.getbasetemp() / "changed.bin"
    path.write_bytes(GOOD[:place] + change + GOOD[place + len(change) :])
    try:
        found = read_model_file(path)
    except WeightsError:
        return
    assert sum(each.size for each in found.variables.values()) < len(GOOD) + 8
