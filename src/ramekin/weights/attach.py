"""Adapters put into a model by PEFT: LoRA, rsLoRA, DoRA, IA3, soft prompts.

What is drawn at random is drawn from a seed, the base is frozen, and at first the model computes what it
did (but for a prompt, which it reads from the start). This module knows nothing of files.
"""

import contextlib
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, final

import torch

from ramekin.errors import UsageError
from ramekin.weights.soft_prompt import put_prompt, refuse_prompt
from ramekin.weights.targets import find_layers, short_names

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

__all__ = [
    "AdapterRecipe",
    "IA3Recipe",
    "LoraRecipe",
    "PromptRecipe",
    "attach_adapter",
    "attach_ia3",
    "attach_lora",
    "attach_prompt",
]

_TASK_TYPE = "SEQ_2_SEQ_LM"
_SPECIAL_IDS = 3
_COMMON_IDS = 5000


@final
@dataclass(frozen=True, slots=True)
class LoraRecipe:
    """The shape of a LoRA adapter; by default rank 16 on q and v, scaled by 2."""

    rank: int = 16
    """The inner dimension of B A."""
    alpha: float = 32.0
    """The numerator of the scale."""
    dropout: float = 0.0
    """Dropout on the adapter's input while training."""
    targets: tuple[str, ...] = ("q", "v")
    """The layers that get an adapter: last names (of q, k, v, o, wi, wi_0, wi_1, wo), `all-linear`, or
    regular expressions for whole names."""
    rslora: bool = False
    """Scale by alpha / √rank instead of alpha / rank."""
    dora: bool = False
    """Learn the length of each row beside its direction."""

    def __post_init__(self) -> None:
        _check(
            "a LoRA",
            rank=(self.rank, type(self.rank) is int and self.rank >= 1, "an integer from 1"),
            alpha=(self.alpha, math.isfinite(self.alpha) and self.alpha > 0, "a number above 0"),
            dropout=(self.dropout, 0.0 <= self.dropout < 1.0, "0 ≤ dropout < 1"),
            targets=(self.targets, _are_names(self.targets), "a list of layer names"),
        )


@final
@dataclass(frozen=True, slots=True)
class IA3Recipe:
    """The shape of an IA3 adapter; by default the paper's: keys, values, and inside the feed-forward."""

    targets: tuple[str, ...] = ("k", "v", "wo")
    """The layers that are scaled, written as LoRA's."""
    feed_forward: tuple[str, ...] = ("wo",)
    """Those of them whose input is scaled instead of their output."""

    def __post_init__(self) -> None:
        is_list = isinstance(self.feed_forward, tuple | list)
        _check(
            "an IA3",
            targets=(self.targets, _are_names(self.targets), "a list of layer names"),
            feed_forward=(self.feed_forward, is_list, "a list of layer names"),
        )


@final
@dataclass(frozen=True, slots=True)
class PromptRecipe:
    """The shape of a soft prompt, and where its vectors start."""

    num_virtual_tokens: int = 20
    """Its length; the paper found little more beyond 20 and took 100."""
    initial_ids: tuple[int, ...] = ()
    """Tokens whose embeddings it starts from, over and over up to its length; () draws common ones."""

    def __post_init__(self) -> None:
        count = self.num_virtual_tokens
        _check(
            "a prompt",
            num_virtual_tokens=(count, type(count) is int and count >= 1, "an integer from 1"),
            initial_ids=(self.initial_ids, all(i >= 0 for i in self.initial_ids), "token ids"),
        )


AdapterRecipe: TypeAlias = LoraRecipe | IA3Recipe | PromptRecipe
"""The shape of any adapter."""


def attach_adapter(model: "PreTrainedModel", recipe: AdapterRecipe, *, seed: int) -> "PeftModel":
    """Put the recipe's adapter into a model; see the functions below."""
    match recipe:
        case LoraRecipe():
            return attach_lora(model, recipe, seed=seed)
        case IA3Recipe():
            return attach_ia3(model, recipe)
        case PromptRecipe():
            return attach_prompt(model, recipe, seed=seed)


def attach_lora(model: "PreTrainedModel", recipe: LoraRecipe, *, seed: int) -> "PeftModel":
    """Put a LoRA adapter into a model: A drawn from `seed`, B zero, everything else frozen.

    The model is wrapped and changed; `copy_model` it first to keep it. The global random state is left as
    it was. The output head is never adapted.

    Raises:
        UsageError: a target names no layer of the model; the nearest is suggested.
        WeightsError: the model reads a soft prompt.
    """
    from peft import LoraConfig

    alpha = int(recipe.alpha) if float(recipe.alpha).is_integer() else recipe.alpha
    config = LoraConfig(
        task_type=_TASK_TYPE,
        r=recipe.rank,
        lora_alpha=alpha,
        lora_dropout=recipe.dropout,
        target_modules=list(short_names(model, find_layers(model, recipe.targets))),
        use_rslora=recipe.rslora,
        use_dora=recipe.dora,
        bias="none",
    )
    return _wrapped(model, config, seed=seed)


def attach_ia3(model: "PreTrainedModel", recipe: IA3Recipe) -> "PeftModel":
    """Put an IA3 adapter into a model: vectors of ones, everything else frozen. The model is changed.

    Raises:
        UsageError: a target names no layer of the model, or `feed_forward` one that is no target.
        WeightsError: the model reads a soft prompt.
    """
    from peft import IA3Config

    layers = find_layers(model, recipe.targets)
    inside = find_layers(model, recipe.feed_forward, key="adapter.feed_forward")
    foreign = sorted(set(inside) - set(layers))
    if foreign:
        raise UsageError(
            "a feed-forward layer of an IA3 adapter is not among its targets",
            where="adapter.feed_forward",
            expected=f"some of {', '.join(recipe.targets)}",
            got=foreign[0],
        )
    targets, feed_forward = short_names(model, layers), short_names(model, inside)
    # PEFT takes any layer whose name ends with these letters for one of them: 'o' would be 'wo' too.
    if {name for name in layers if name.endswith(feed_forward)} != set(inside):
        targets, feed_forward = layers, inside
    config = IA3Config(
        task_type=_TASK_TYPE, target_modules=list(targets), feedforward_modules=list(feed_forward)
    )
    return _wrapped(model, config, seed=0)


def attach_prompt(model: "PreTrainedModel", recipe: PromptRecipe, *, seed: int) -> "PeftModel":
    """Make a model read a prompt before every input, and freeze everything but the prompt.

    The vectors start as rows of the embedding: of the recipe's tokens, or of tokens drawn from `seed` among
    the 5,000 most common, as in the paper (in a T5 vocabulary those with the smallest ids). The model itself
    reads the prompt from now on, with PEFT's wrapper or without.

    Raises:
        UsageError: a token is not in the vocabulary.
        WeightsError: the model reads a prompt already.
    """
    from peft import PromptTuningConfig

    table = model.get_input_embeddings().weight
    ids = _initial_ids(recipe, len(table), seed)
    config = PromptTuningConfig(
        task_type=_TASK_TYPE,
        num_virtual_tokens=recipe.num_virtual_tokens,
        num_transformer_submodules=1,  # the encoder; PEFT would make as many rows again that nothing reads
    )
    wrapped = _wrapped(model, config, seed=seed)
    embedding = wrapped.prompt_encoder["default"].embedding
    with torch.no_grad():
        embedding.weight.copy_(table[ids])
    put_prompt(model, embedding)
    return wrapped


def _initial_ids(recipe: PromptRecipe, vocab_size: int, seed: int) -> torch.Tensor:
    """One token id for each vector: (num_virtual_tokens,)."""
    count, given = recipe.num_virtual_tokens, recipe.initial_ids
    if given:
        if max(given) >= vocab_size:
            raise UsageError(
                "a token of the prompt is not in the vocabulary",
                where="initial_ids",
                expected=f"below {vocab_size}",
                got=str(max(given)),
            )
        return torch.tensor((given * count)[:count])
    generator = torch.Generator().manual_seed(seed)
    common = torch.arange(_SPECIAL_IDS, min(vocab_size, _SPECIAL_IDS + _COMMON_IDS))
    times = -(-count // len(common))
    return torch.cat([common[torch.randperm(len(common), generator=generator)] for _ in range(times)])[:count]


def _wrapped(model: "PreTrainedModel", config: Any, *, seed: int) -> "PeftModel":
    """PEFT's wrapper, its random numbers drawn from a seed; the global random state is left as it was."""
    from peft import get_peft_model

    refuse_prompt(model, where="adapter")
    with torch.random.fork_rng(devices=[]), _calm_peft():
        torch.default_generator.manual_seed(seed)  # the CPU's; no device's state is touched
        return get_peft_model(model, config)


@contextlib.contextmanager
def _calm_peft() -> Iterator[None]:
    """PEFT reads an attribute that transformers 5 deprecates; nothing of ours, and nothing else is hidden."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".is_gradient_checkpointing. is deprecated")
        yield


def _check(kind: str, **settings: tuple[object, bool, str]) -> None:
    """Refuse the first setting that is not right, given as (value, whether it is right, what is expected)."""
    for key, (value, right, expected) in settings.items():
        if not right:
            raise UsageError(
                f"{kind} setting cannot be", where=f"adapter.{key}", expected=expected, got=repr(value)
            )


def _are_names(targets: object) -> bool:
    return bool(targets) and isinstance(targets, tuple | list)
