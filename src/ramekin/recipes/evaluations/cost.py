"""What an evaluation would cost, from its requests and the model's configuration alone.

Floating-point operations of the matrix products (Kaplan et al. 2020, arXiv 2001.08361, section 2.1), two for
a multiplication and addition. Attention's scores are left out, a few per cent at the lengths of prompts,
and what a model writes is counted at its longest. Knows nothing of weights.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ramekin.recipes.places import set_threads
from ramekin.report.wording import duration

if TYPE_CHECKING:
    from ramekin.evaluate.sets import EncodedEvalSet

__all__ = ["Cost", "Sizes", "cost_of", "flop", "sizes_of"]

_USED = 0.5
"""Of what large matrix products reach, a whole model reaches about so much."""


@final
@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of a model that its cost depends on."""

    layers: int
    decoder_layers: int
    d_model: int
    inner: int
    """Heads times their width."""
    d_ff: int
    projections: int
    """Matrices of a feed-forward layer: 3 where it is gated, else 2."""
    vocab: int


@final
@dataclass(frozen=True, slots=True)
class Cost:
    """Of one evaluation."""

    requests: int
    """Different ones to each model."""
    input_tokens: int
    """That each model reads."""
    output_tokens: int
    """That are scored, or written at most."""
    flop: float
    """Of all models together."""
    flop_per_second: float
    """What large matrix products reach on this machine just now."""

    @property
    def seconds(self) -> float:
        """A rough estimate."""
        return self.flop / (self.flop_per_second * _USED)

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"{self.requests:,} requests, {self.input_tokens:,} tokens to read, "
            f"{self.output_tokens:,} to score or to write at most",
            f"{self.flop / 1e12:,.2f} TFLOP: about {duration(self.seconds)} at "
            f"{self.flop_per_second / 1e9:,.0f} GFLOP/s, of which models reach half",
        ]

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "seconds": self.seconds}


def flop(sizes: Sizes, inputs: int, outputs: int) -> float:
    """The operations of reading so many tokens and of scoring or writing so many.

    >>> small = Sizes(8, 8, 512, 384, 1024, 3, 32128)
    >>> round(flop(small, 128, 1) / 1e9, 1)  # 4.83 encoder, 0.81 cross-attention's keys, 0.08 decoder
    5.7
    """
    attention, forward = 4 * sizes.d_model * sizes.inner, sizes.projections * sizes.d_model * sizes.d_ff
    encoder = 2 * sizes.layers * inputs * (attention + forward)
    cross = 4 * sizes.d_model * sizes.inner * sizes.decoder_layers * inputs
    token = 2 * (sizes.decoder_layers * (attention + attention // 2 + forward) + sizes.d_model * sizes.vocab)
    return float(encoder + cross + outputs * token)


def sizes_of(config: Mapping[str, Any]) -> Sizes:
    """The sizes that a configuration of the T5 family says."""
    return Sizes(
        config["num_layers"],
        config.get("num_decoder_layers") or config["num_layers"],
        config["d_model"],
        config["num_heads"] * config["d_kv"],
        config["d_ff"],
        3 if str(config.get("feed_forward_proj", "relu")).startswith("gated") else 2,
        config["vocab_size"],
    )


def cost_of(sets: Sequence["EncodedEvalSet"], folders: Sequence[Path], *, threads: int = 0) -> Cost:
    """The cost of putting sets to models.

    Args:
        sets: what is asked.
        folders: of each model, or of an adapter's base, with its configuration.
        threads: of the trial of this machine; 0: all.
    """
    from ramekin.evaluate.runner import requests_of
    from ramekin.weights.config import read_config

    sizes = [sizes_of(read_config(folder)) for folder in folders]
    requests = {each.request for each in requests_of(sets)}
    inputs = outputs = 0
    whole = 0.0
    for each in requests:
        decoding = each.decoding
        written = 0 if decoding is None else each.max_new_tokens * decoding.num_samples * decoding.num_beams
        count = sum(map(len, each.scored)) + written
        inputs, outputs = inputs + len(each.input_ids), outputs + count
        whole += sum(flop(each_size, len(each.input_ids), count) for each_size in sizes)
    set_threads(threads)
    return Cost(len(requests), inputs, outputs, whole, _measured())


def _measured() -> float:
    """Operations a second of a large matrix product here."""
    import torch

    size, best = 1024, 0.0
    one = torch.ones(size, size)
    for _ in range(4):
        began = time.perf_counter()
        _product = one @ one
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best
