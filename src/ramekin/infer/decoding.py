"""How tokens are chosen when a model writes: greedily, by sampling, or by beam search.

Pure Python: knows nothing of tensors or models.
"""

import math
from dataclasses import dataclass
from typing import final

from ramekin.errors import UsageError

__all__ = ["GREEDY", "Decoding"]

_LEAST_TEMPERATURE = 1e-6
"""Below it a difference of logits over the temperature need not be a number of fp32."""


@final
@dataclass(frozen=True, slots=True)
class Decoding:
    """Settings of decoding; by themselves, greedy. What is not set here is not done.

    A setting that would have no effect is refused, so that nobody reads a result as if it had one.

    >>> Decoding(num_samples=40, sampling_temperature=0.7, seed=3).is_random
    True
    >>> Decoding(num_beams=4).num_rows
    4

    Raises:
        UsageError: a number is out of its bounds, or two settings do not go together.
    """

    num_beams: int = 1
    """Hypotheses that beam search keeps for an input; 1: no beam search."""
    num_samples: int = 1
    """Outputs of an input: so many are drawn, or the best so many beams."""
    sampling_temperature: float = 0.0
    """What logits are divided by before they are drawn from; 0: no sampling."""
    top_k: int = 0
    """Only so many of the most probable tokens can be drawn; 0: all."""
    top_p: float = 1.0
    """Only the fewest most probable tokens that have this probability together can be drawn; 1: all."""
    typical_p: float = 1.0
    """Of what is left, only the fewest tokens of the most usual information that have this share of it
    together can be drawn (typical sampling); 1: all."""
    length_penalty: float = 1.0
    """A hypothesis of n tokens scores its log-probability over n to this power."""
    seed: int = 0
    """With the input, the number of the sample and the position, it decides each draw."""

    def __post_init__(self) -> None:
        for problem, name, expected in self._bounds():
            if problem:
                raise UsageError(
                    "a setting of decoding is out of its bounds",
                    where=name,
                    expected=expected,
                    got=repr(getattr(self, name)),
                )
        for problem, names, fix in self._conflicts():
            if problem:
                raise UsageError(
                    "these settings of decoding do not go together",
                    where=", ".join(f"{name}={getattr(self, name)!r}" for name in names),
                    fix=fix,
                )

    @property
    def is_random(self) -> bool:
        """Whether tokens are drawn."""
        return self.sampling_temperature > 0

    @property
    def num_rows(self) -> int:
        """How many rows of the decoder an input takes at most: its samples or its beams."""
        return max(self.num_samples, self.num_beams)

    def _bounds(self) -> tuple[tuple[bool, str, str], ...]:
        heat = self.sampling_temperature
        warm = math.isfinite(heat) and heat >= _LEAST_TEMPERATURE
        return (
            (self.num_beams < 1, "num_beams", ">= 1"),
            (self.num_samples < 1, "num_samples", ">= 1"),
            (heat != 0 and not warm, "sampling_temperature", f"0, or a number from {_LEAST_TEMPERATURE:g}"),
            (self.top_k < 0, "top_k", ">= 0 (0: no limit)"),
            (not 0 < self.top_p <= 1, "top_p", "above 0 and at most 1 (1: no limit)"),
            (not 0 < self.typical_p <= 1, "typical_p", "above 0 and at most 1 (1: no limit)"),
            (not math.isfinite(self.length_penalty), "length_penalty", "a number"),
            (self.seed < 0, "seed", ">= 0"),
        )

    def _conflicts(self) -> tuple[tuple[bool, tuple[str, ...], str], ...]:
        beams, drawn = self.num_beams > 1, self.is_random
        heat = "sampling_temperature"
        need_heat = f"set {heat}, 0.7 for example"
        return (
            (beams and drawn, ("num_beams", heat), f"search with {heat}=0, or sample with num_beams=1"),
            (
                beams and self.num_samples > self.num_beams,
                ("num_beams", "num_samples"),
                "beam search gives as many outputs as it has beams",
            ),
            (not beams and not drawn and self.num_samples > 1, ("num_samples", heat), need_heat),
            (not drawn and self.top_k > 0, ("top_k", heat), need_heat),
            (not drawn and self.top_p < 1, ("top_p", heat), need_heat),
            (not drawn and self.typical_p < 1, ("typical_p", heat), need_heat),
            (not beams and self.length_penalty != 1, ("length_penalty", "num_beams"), "set num_beams"),
        )


GREEDY = Decoding()
"""The most probable token, always."""
