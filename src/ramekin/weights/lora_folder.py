"""LoRA adapters written from arrays, as a folder that PEFT opens, without PEFT and without torch.

Each layer has a rank of its own, and its alpha is that rank: the scale is 1 and the change is `b @ a`. Which
matrices are decomposed, and how, is for others. This module knows the format and nothing of lineage.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from ramekin.files import write_json
from ramekin.weights.adapter_config import PREFIX
from ramekin.weights.dtypes import Floats
from ramekin.weights.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from ramekin.weights.writing import CheckpointWriter, PlannedTensor

__all__ = ["lora_config", "lora_plan", "write_lora"]

_WEIGHT = ".weight"


def lora_plan(shapes: Mapping[str, tuple[int, int, int]], *, dtype: str) -> dict[str, PlannedTensor]:
    """The tensors of an adapter's file.

    Args:
        shapes: of each changed tensor, by its name in a checkpoint, `(out, rank, in)`.
        dtype: a key of `FILE_DTYPES`.

    >>> list(lora_plan({"encoder.q.weight": (8, 2, 4)}, dtype="F32"))
    ['base_model.model.encoder.q.lora_A.weight', 'base_model.model.encoder.q.lora_B.weight']
    """
    planned: dict[str, PlannedTensor] = {}
    for name, (out, rank, width) in sorted(shapes.items()):
        module = PREFIX + name.removesuffix(_WEIGHT)
        planned[f"{module}.lora_A.weight"] = PlannedTensor(dtype, (rank, width))
        planned[f"{module}.lora_B.weight"] = PlannedTensor(dtype, (out, rank))
    return planned


def lora_config(
    ranks: Mapping[str, int], *, base: str | None, known: Iterable[str] = ()
) -> dict[str, object]:
    r"""The content of adapter_config.json.

    The most frequent rank is `r`; layers of another are named in `rank_pattern` and `alpha_pattern`.

    Args:
        ranks: the rank of each changed tensor, by its name in a checkpoint.
        base: the name by which the base is found again.
        known: the tensors of the base that are weights of linear layers, where it is known. Where all layers
            of a last name (`q`) are changed, that name stands for them; else whole names do.

    >>> lora_config({"a.q.weight": 4, "b.q.weight": 2, "a.v.weight": 4}, base="org/base")["rank_pattern"]
    {'b\\.q': 2}
    """
    common = Counter(ranks.values()).most_common(1)[0][0]
    odd = {
        re.escape(name.removesuffix(_WEIGHT)): rank for name, rank in sorted(ranks.items()) if rank != common
    }
    return {
        "alpha_pattern": odd,
        "base_model_name_or_path": base,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": common,
        "lora_dropout": 0.0,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": common,
        "rank_pattern": odd,
        "target_modules": _targets(set(ranks), set(known)),
        "task_type": "SEQ_2_SEQ_LM",
        "use_dora": False,
        "use_rslora": False,
    }


def write_lora(
    folder: Path,
    changes: Mapping[str, tuple[Floats, Floats]],
    *,
    dtype: str,
    base: str | None,
    known: Iterable[str] = (),
) -> dict[str, str]:
    """Write the two files of an adapter into a folder that becomes visible only when it is whole.

    Args:
        folder: under its temporary name.
        changes: `b: (out, rank)` and `a: (rank, in)` of each changed tensor, by its name in a checkpoint.
        dtype: what they are stored as, a key of `FILE_DTYPES`.
        base: the name by which the base is found again.
        known: see `lora_config`.

    Returns:
        The sha256 of the weights, by the file's name.

    Raises:
        WeightsError: a value is not finite in the dtype.
    """
    shapes = {name: (b.shape[0], a.shape[0], a.shape[1]) for name, (b, a) in changes.items()}
    halves = {f"{name.removesuffix(_WEIGHT)}.lora_B.weight": b for name, (b, _) in changes.items()}
    halves |= {f"{name.removesuffix(_WEIGHT)}.lora_A.weight": a for name, (_, a) in changes.items()}
    with CheckpointWriter(folder / ADAPTER_WEIGHTS, lora_plan(shapes, dtype=dtype)) as writer:
        for name in writer.order:
            writer.write(name, halves[name.removeprefix(PREFIX)].reshape(-1))
    ranks = {name: rank for name, (_, rank, _) in shapes.items()}
    write_json(folder / ADAPTER_CONFIG, lora_config(ranks, base=base, known=known))
    return {ADAPTER_WEIGHTS: writer.sha256}


def _targets(changed: set[str], known: set[str]) -> list[str]:
    """Last names, where they mean the changed layers and no others; else the layers' whole names."""
    last = {_last(name) for name in changed}
    if known and {name for name in known if _last(name) in last} == changed:
        return sorted(last)
    return sorted(name.removesuffix(_WEIGHT) for name in changed)


def _last(name: str) -> str:
    return name.removesuffix(_WEIGHT).rpartition(".")[2]
