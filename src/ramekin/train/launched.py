"""What a launcher left in the environment: which process this is, and how the weights are to be held.

`torchrun`, `accelerate launch` and a Slurm script write it; what is asked for and not done here is refused,
or told. Reading it loads nothing heavy. Joining the processes is `launch`'s.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, final

from ramekin.errors import UsageError

__all__ = [
    "Launched",
    "StrategyName",
    "launched_local_rank",
    "launched_on_cpu",
    "launched_rank",
    "launched_size",
    "launched_strategy",
    "remarks",
]

StrategyName: TypeAlias = Literal["replicated", "fully_sharded", "zero"]
"""How the processes hold the model's weights: each the whole model, or each a part of it, by FSDP2 or by
DeepSpeed's ZeRO."""


@final
@dataclass(frozen=True, slots=True)
class Launched:
    """What the launcher's configuration says of the weights."""

    strategy: StrategyName = "replicated"
    reshard_after_forward: bool = True
    """FSDP2: whether a block's weights are let go between its forward and its backward pass."""
    zero_stage: int = 2
    """DeepSpeed: 1 to 3."""


@final
@dataclass(frozen=True, slots=True)
class _Setting:
    """A key of the launcher's configuration, what it may be here (first its default), and the way out."""

    key: str
    allowed: tuple[str, ...]
    fix: str


def launched_rank() -> int:
    """Which of the launched processes this is, from 0; 0 where nothing was launched."""
    return _number("RANK", 0)


def launched_local_rank() -> int:
    """Which of those on this machine this is, from 0."""
    return _number("LOCAL_RANK", 0)


def launched_size() -> int:
    """How many processes were launched together."""
    return _number("WORLD_SIZE", 1)


def launched_on_cpu() -> bool:
    """Whether the launcher was told to use processors only."""
    return _is_true("ACCELERATE_USE_CPU")


def launched_strategy() -> Launched:
    """What the launcher's configuration says of the weights.

    Raises:
        UsageError: it asks for something that is not done here; all such settings are named at once.
    """
    is_fsdp, is_deepspeed = _is_true("ACCELERATE_USE_FSDP"), _is_true("ACCELERATE_USE_DEEPSPEED")
    own = _FSDP if is_fsdp else _DEEPSPEED if is_deepspeed else {}
    problems = [*_problems(_EVERYWHERE), *_problems(own)]
    if problems:
        raise UsageError.of_problems(problems)
    if is_fsdp:
        return Launched("fully_sharded", _is_true("FSDP_RESHARD_AFTER_FORWARD", default=True))
    if is_deepspeed:
        return Launched("zero", zero_stage=_number("ACCELERATE_DEEPSPEED_ZERO_STAGE", 2))
    return Launched()


def remarks() -> tuple[str, ...]:
    """What the launcher was asked for and does not do, in sentences for the user."""
    found = []
    if launched_on_cpu() and "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ:
        found.append(
            "accelerate launch --cpu has started a single process, whatever --num_processes says; "
            "configs/accelerate/cpu.yaml starts several"
        )
    for name, (key, defaults, instead) in _UNUSED.items():
        value = os.environ.get(name, defaults[0])
        if value not in defaults:
            found.append(f"the launcher's {key}: {value} is not used; the command's {instead}=… is")
    return tuple(found)


def _problems(settings: Mapping[str, _Setting]) -> Iterator[str]:
    for name, setting in settings.items():
        got = os.environ.get(name, setting.allowed[0])
        if got.lower() not in setting.allowed:
            expected = " or ".join(setting.allowed)
            yield f"{setting.key}: expected {expected}, got {got}; fix: {setting.fix}"


def _number(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else default


def _is_true(name: str, *, default: bool = False) -> bool:
    return os.environ.get(name, str(default)).lower() in ("1", "true", "yes")


_NO = ("false", "0", "no", "none")
_EVERYWHERE = {
    "ACCELERATE_USE_MEGATRON_LM": _Setting(
        "distributed_type MEGATRON_LM", _NO, "take one of those in configs/accelerate"
    ),
    "ACCELERATE_USE_PARALLELISM_CONFIG": _Setting("parallelism_config", _NO, "leave it out"),
}
_FSDP = {
    "FSDP_VERSION": _Setting("fsdp_config.fsdp_version", ("2",), "set it to 2"),
    "FSDP_RESHARD_AFTER_FORWARD": _Setting(
        "fsdp_config.fsdp_reshard_after_forward", ("true", "false"), "choose one; the others are FSDP1's"
    ),
    "FSDP_OFFLOAD_PARAMS": _Setting("fsdp_config.fsdp_offload_params", _NO, "take more devices"),
    "FSDP_ACTIVATION_CHECKPOINTING": _Setting(
        "fsdp_config.fsdp_activation_checkpointing", _NO, "add gradient_checkpointing=true to the command"
    ),
    "FSDP_IGNORED_MODULES": _Setting("fsdp_config.fsdp_ignored_modules", _NO, "leave it out"),
}
_DEEPSPEED = {
    "ACCELERATE_DEEPSPEED_ZERO_STAGE": _Setting(
        "deepspeed_config.zero_stage", ("2", "1", "3"), "choose one; ddp.yaml is what 0 would be"
    ),
    "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": _Setting(
        "deepspeed_config.offload_optimizer_device", ("none",), "take more devices"
    ),
    "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE": _Setting(
        "deepspeed_config.offload_param_device", ("none",), "take more devices"
    ),
    "ACCELERATE_DEEPSPEED_CONFIG_FILE": _Setting(
        "deepspeed_config.deepspeed_config_file",
        ("none",),
        "write zero_stage there instead; the rest is the command's",
    ),
}
_UNUSED = {
    "ACCELERATE_MIXED_PRECISION": ("mixed_precision", ("no",), "precision"),
    "ACCELERATE_DYNAMO_BACKEND": ("dynamo_backend", ("no", "NO"), "compile"),
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": (
        "gradient_accumulation_steps",
        ("1", "auto"),
        "micro_batch_tokens",
    ),
    "ACCELERATE_GRADIENT_CLIPPING": ("gradient_clipping", ("auto",), "max_grad_norm"),
}
