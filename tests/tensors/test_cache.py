import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from ramekin.errors import DataError, ResourceError
from ramekin.tensors.cache import Shard, open_shard, read_facts, write_shard
from ramekin.tensors.encode import Encoded
from ramekin.text.example import Provenance


def item(row, inputs=(5, 6, 1), targets=(7, 1), wrong=(), template="ask"):
    return Encoded(tuple(inputs), tuple(targets), Provenance("toy/wet", template, "train", row), tuple(wrong))


def write(path, items, *, vocab_size=100, about=None):
    return write_shard(path, items, task="toy/wet", split="train", vocab_size=vocab_size, about=about or {})


ids = st.lists(st.integers(0, 65_535), max_size=9)
items_of = st.lists(
    st.builds(item, st.integers(0, 2**32 - 1), ids, ids, ids, st.sampled_from(["ask", "tell", "Œdipe"])),
    max_size=12,
)


@given(items_of)
def test_examples_come_back_as_they_were(tmp_path_factory, items):
    path = tmp_path_factory.mktemp("shard") / "one.safetensors"
    facts = write(path, items, vocab_size=65_536)
    shard = Shard(path)
    assert list(shard) == items
    assert [shard.example(place) for place in reversed(range(len(items)))] == items[::-1]
    assert facts == shard.facts == read_facts(path)
    assert facts.examples == len(shard) == len(items)
    assert facts.input_tokens == sum(len(i.input_ids) + len(i.wrong_input_ids) for i in items)
    assert facts.target_tokens == sum(len(i.target_ids) for i in items)


def test_large_vocabularies_keep_their_ids(tmp_path):
    path = tmp_path / "one.safetensors"
    large = item(3, inputs=(250_111, 1))
    write(path, [large], vocab_size=250_112)
    assert list(Shard(path)) == [large]


def test_other_tools_can_read_it(tmp_path):
    path = tmp_path / "one.safetensors"
    write(path, [item(7), item(9, template="tell")], about={"seed": 3})
    with safe_open(path, framework="np") as file:
        assert file.get_tensor("ids").tolist() == [5, 6, 1, 7, 1] * 2
        assert file.get_tensor("rows").tolist() == [7, 9]
        assert json.loads(file.metadata()["ramekin"])["about"] == {"seed": 3}


def test_equal_examples_give_equal_bytes(tmp_path):
    for name in ("one", "other"):
        write(tmp_path / name, [item(1), item(2)])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_what_is_counted_while_writing_is_recorded(tmp_path):
    counts = {"left_out": 0}

    def counted():
        yield item(1)
        counts["left_out"] += 5

    assert write(tmp_path / "one", counted(), about=counts).about == {"left_out": 5}


def test_a_failed_writing_leaves_nothing(tmp_path):
    def broken():
        yield item(1)
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        write(tmp_path / "one", broken())
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path):
    code = f"""
        import resource, signal, sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_cache import item, write
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write(Path({str(tmp_path)!r}) / "one", (item(row) for row in range(1000)))
        except Exception as error:
            print(type(error).__name__, error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(ResourceError.__name__), done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "grown", "empty", "text", "missing"])
def test_a_damaged_shard_is_named(tmp_path, damage):
    path = tmp_path / "one.safetensors"
    write(path, [item(1), item(2)])
    data = path.read_bytes()
    path.write_bytes(
        {"cut": data[:-1], "grown": data + b"x", "empty": b"", "text": b"hello, world" * 9, "missing": b""}[
            damage
        ]
    )
    if damage == "missing":
        path.unlink()
    with pytest.raises(DataError, match=r"a shard of the cache cannot be read: .*one\.safetensors"):
        open_shard(path)


def test_a_safetensors_file_of_something_else_is_refused(tmp_path):
    import numpy as np
    from safetensors.numpy import save_file

    path = tmp_path / "weights.safetensors"
    save_file({"ids": np.zeros(3, "uint16")}, path)
    with pytest.raises(DataError, match=r"a shard of the cache cannot be read: .*weights"):
        Shard(path)
