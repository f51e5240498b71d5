"""The checkpoints that `benchmarks/merge.py` merges: a base and its fine-tunes, generated, always the same.

Every tensor of the base is normal with a deviation of its own about 0.05, every delta with one about 0.002.
The values come from one pool of normal numbers, from places that the seed, the model, the tensor and the
place in it decide. Files are plain safetensors as the hub has them, without ramekin's manifest. What is there
already with the same header is kept. Nothing of ramekin is used, so that it does not read its own hand.
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SHAPES: Mapping[str, Mapping[str, int]] = {
    "xxl": {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64},
    "base": {"d_model": 768, "d_kv": 64, "d_ff": 2048, "num_layers": 12, "num_heads": 12},
    "small": {"d_model": 512, "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_heads": 6},
    "tiny": {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4, "vocab_size": 512},
    "start": {"d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 2, "num_heads": 2, "vocab_size": 512},
}
"""Flan-T5's sizes; a merge of `start` costs little but the start of interpreter and libraries."""

POOL = 1 << 24
CHUNK = 1 << 20
SHARD_BYTES = 2_000_000_000
WIDTHS = {"F32": 4, "BF16": 2}
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Family:
    """A base and what was tuned from it."""

    base: Path
    tuned: tuple[Path, ...]

    def weight_files(self) -> list[Path]:
        """The files of all, the base's last."""
        return [file for folder in (*self.tuned, self.base) for file in weight_files(folder)]


def weight_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


# -- generating


def make_family(folder: Path, shape: str, num_models: int, *, seed: int) -> Family:
    """A base and fine-tunes in fp32, one file each; those that are there are kept."""
    family = Family(folder / "base", tuple(folder / f"tuned-{n}" for n in range(1, num_models + 1)))
    tensors = t5_tensors(SHAPES[shape])
    pool = _Pool(seed)
    for model, place in enumerate((family.base, *family.tuned)):
        place.mkdir(parents=True, exist_ok=True)
        _write_config(place, SHAPES[shape], "float32")
        _write_file(place / WEIGHTS, tensors, "F32", pool.described(model), pool.model(tensors, model))
    return family


def make_sharded_family(folder: Path, sizes: Mapping[str, int], *, seed: int) -> Family:
    """A base in shards of bf16 and one fine-tune of it; those that are there are kept.

    Two shards of three are the base's own files under a second name, as if those layers had been frozen:
    that saves their disk space.
    """
    family = Family(folder / "base", (folder / "tuned-1",))
    tensors = t5_tensors(sizes)
    shards = _shards(tensors)
    pool = _Pool(seed)
    for model, place in enumerate((family.base, *family.tuned)):
        place.mkdir(parents=True, exist_ok=True)
        _write_config(place, sizes, "bfloat16")
        names = [f"model-{n:05d}-of-{len(shards):05d}.safetensors" for n in range(1, len(shards) + 1)]
        for number, (name, names_in) in enumerate(zip(names, shards, strict=True)):
            if model and number % 3:
                _link(family.base / name, place / name)
                continue
            part = {each: tensors[each] for each in names_in}
            _write_file(place / name, part, "BF16", pool.described(model), pool.model(tensors, model))
        of = {each: name for name, names_in in zip(names, shards, strict=True) for each in names_in}
        index = {"metadata": {"total_size": 2 * num_parameters(tensors)}, "weight_map": of}
        (place / INDEX).write_text(json.dumps(index), encoding="utf-8")
    return family


def linked_family(folder: Path, family: Family, num_models: int) -> Family:
    """So many folders whose weight files are those of the family's fine-tunes, each under several names."""
    shutil.rmtree(folder, ignore_errors=True)
    places = tuple(folder / f"linked-{n:02d}" for n in range(1, num_models + 1))
    for number, place in enumerate(places):
        source = family.tuned[number % len(family.tuned)]
        place.mkdir(parents=True)
        for file in sorted(source.iterdir()):
            _link(file, place / file.name)
    return Family(family.base, places)


def t5_tensors(sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Every tensor of a Flan-T5 of these sizes with its shape: gated feed-forward, a head of its own."""
    model, heads, inner = sizes["d_model"], sizes["num_heads"], sizes["num_heads"] * sizes["d_kv"]
    vocabulary = sizes.get("vocab_size", 32128)
    shapes: dict[str, tuple[int, ...]] = {
        name: (vocabulary, model) for name in ("shared.weight", "lm_head.weight")
    }
    stacks = {"encoder": ("SelfAttention",), "decoder": ("SelfAttention", "EncDecAttention")}
    for stack, attentions in stacks.items():
        shapes[f"{stack}.final_layer_norm.weight"] = (model,)
        shapes[f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"] = (32, heads)
        for block in range(sizes["num_layers"]):
            prefix = f"{stack}.block.{block}.layer"
            for layer, attention in enumerate(attentions):
                for name in "qkv":
                    shapes[f"{prefix}.{layer}.{attention}.{name}.weight"] = (inner, model)
                shapes[f"{prefix}.{layer}.{attention}.o.weight"] = (model, inner)
                shapes[f"{prefix}.{layer}.layer_norm.weight"] = (model,)
            last = f"{prefix}.{len(attentions)}"
            for name in ("wi_0", "wi_1"):
                shapes[f"{last}.DenseReluDense.{name}.weight"] = (sizes["d_ff"], model)
            shapes[f"{last}.DenseReluDense.wo.weight"] = (model, sizes["d_ff"])
            shapes[f"{last}.layer_norm.weight"] = (model,)
    return dict(sorted(shapes.items()))


def num_parameters(tensors: Mapping[str, Sequence[int]]) -> int:
    return sum(math.prod(shape) for shape in tensors.values())


class _Pool:
    """Normal numbers, and the values of any tensor of any model drawn from them."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._values: np.ndarray | None = None

    def described(self, model: int) -> str:
        return f"generated, seed {self._seed}, model {model}"

    def model(
        self, tensors: Mapping[str, Sequence[int]], model: int
    ) -> Callable[[str], Iterator[np.ndarray]]:
        """The values of a tensor by its name, fp32, a chunk at a time; model 0 is the base."""
        positions = {name: position for position, name in enumerate(tensors)}

        def chunks(name: str) -> Iterator[np.ndarray]:
            count = math.prod(tensors[name])
            base = self._chunks(count, 0.05, positions[name], 0)
            if model == 0:
                yield from base
                return
            for values, delta in zip(base, self._chunks(count, 0.002, positions[name], model), strict=True):
                yield values + delta

        return chunks

    def _chunks(self, count: int, scale: float, position: int, model: int) -> Iterator[np.ndarray]:
        if self._values is None:
            self._values = np.random.default_rng(self._seed).standard_normal(POOL, dtype=np.float32)
        rng = np.random.default_rng([self._seed, position, model])
        deviation = np.float32(scale * math.exp(0.5 * rng.standard_normal()))
        for start in range(0, count, CHUNK):
            size = min(CHUNK, count - start)
            place = int(rng.integers(POOL - size))
            yield self._values[place : place + size] * deviation


def _write_file(
    path: Path,
    tensors: Mapping[str, Sequence[int]],
    dtype: str,
    described: str,
    chunks: Callable[[str], Iterator[np.ndarray]],
) -> None:
    """Write a safetensors file whole or not at all, unless it is there with the same header."""
    header = _header(tensors, dtype, described)
    size = len(header) + WIDTHS[dtype] * num_parameters(tensors)
    if path.is_file() and path.stat().st_size == size:
        with path.open("rb") as file:
            if file.read(len(header)) == header:
                return
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb", buffering=0) as file:
        file.write(header)
        for name in tensors:
            for values in chunks(name):
                file.write(values if dtype == "F32" else _bf16(values))
    unfinished.replace(path)


def _header(tensors: Mapping[str, Sequence[int]], dtype: str, described: str) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt", "made": described}}
    start = 0
    for name, shape in tensors.items():
        end = start + WIDTHS[dtype] * math.prod(shape)
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _bf16(values: np.ndarray) -> np.ndarray:
    """fp32 rounded to the nearest bf16, to the even one of two as near; the bits."""
    bits = values.view(np.uint32)
    return ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)


def _shards(tensors: Mapping[str, Sequence[int]]) -> list[list[str]]:
    """The names, in their order, in shards of at most `SHARD_BYTES` of bf16."""
    shards: list[list[str]] = [[]]
    room = SHARD_BYTES
    for name, shape in tensors.items():
        size = 2 * math.prod(shape)
        if size > room and shards[-1]:
            shards.append([])
            room = SHARD_BYTES
        shards[-1].append(name)
        room -= size
    return shards


def _write_config(folder: Path, sizes: Mapping[str, int], dtype: str) -> None:
    config = {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "vocab_size": 32128,
        **sizes,
        "num_decoder_layers": sizes["num_layers"],
        "feed_forward_proj": "gated-gelu",
        "is_encoder_decoder": True,
        "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128,
        "layer_norm_epsilon": 1e-6,
        "dropout_rate": 0.1,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "tie_word_embeddings": False,
        "torch_dtype": dtype,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")


def _link(source: Path, place: Path) -> None:
    place.unlink(missing_ok=True)
    os.link(source, place)


# -- comparing


def largest_difference(ours: Path, theirs: Path) -> float:
    """The largest difference between the fp32 tensors of two checkpoints, over the names that the first has.

    Raises:
        SystemExit: the second lacks one, or has it in another shape.
    """
    reference, other = _places(ours), _places(theirs)
    worst = 0.0
    for name, (path, offset, shape) in reference.items():
        if name not in other or other[name][2] != shape:
            raise SystemExit(f"{name} of {ours} is not in {theirs}, or has another shape there")
        one, two = (np.memmap(file, np.float32, "r", start, tuple(shape)) for file, start, _ in (
            (path, offset, shape), other[name]))  # fmt: skip
        rows = max(1, CHUNK // math.prod(shape[1:]))
        for start in range(0, shape[0], rows):
            difference = np.abs(one[start : start + rows] - two[start : start + rows]).max()
            worst = max(worst, float(difference))
    return worst


def _places(folder: Path) -> dict[str, tuple[Path, int, list[int]]]:
    """Where every tensor of a folder lies: file, offset, shape."""
    places = {}
    for path in weight_files(folder):
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            if entry["dtype"] != "F32":
                raise SystemExit(f"{name} of {path} is {entry['dtype']}, not F32")
            places[name] = (path, 8 + length + entry["data_offsets"][0], entry["shape"])
    return places
