"""A scoring mode: every rule that turns a model's answers into a number, as one printable value.

Two numbers are comparable only if their modes are equal, so a report prints all the fields. Knows nothing
of models or of how the rules are carried out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias, final

from ramekin.registry import Registry
from ramekin.text.prompting.thought import TRIGGER

if TYPE_CHECKING:
    from ramekin.text.task import Kind

__all__ = ["MODES", "Direction", "Mode", "Normalisation"]

Direction: TypeAlias = Literal["generate", "rank", "flipped", "channel"]
Normalisation: TypeAlias = Literal["none", "tokens", "characters", "bytes"]


@final
@dataclass(frozen=True, slots=True)
class Mode:
    """The rules of one way of scoring."""

    name: str
    """As reports and the command line call it."""
    direction: Direction
    """How an answer is found: `generate` decodes greedily and compares texts; `rank` takes the option that is
    most probable given the input; `flipped` takes the option under which the instruction is most probable,
    `channel` the one given which the whole prompt is."""
    input_eos: bool
    """Whether the input ends with `</s>` (T5 and Flan-T5 do, T0 does not)."""
    max_new_tokens: int = 0
    """Tokens that may be written, `</s>` among them; 0 where nothing is written."""
    extraction: Literal["exact", "answer"] = "exact"
    """How the answer is read: `exact` takes the whole text, character for character; `answer` what the text
    comes to (`text.answers.extract_answer`: behind its last "the answer is"; none is counted as unread)."""
    trigger: str = ""
    """What is added to each prompt to ask for the reasoning; empty: nothing."""
    gold: Literal["text", "round_trip"] = "text"
    """What an answer is compared with: the target itself, or the target encoded and decoded again, which
    loses whatever the vocabulary cannot represent."""
    numbers: Literal["float_else_zero"] = "float_else_zero"
    """How a number is read: by `parse_number`, and 0.0 (counted) where the answer is none."""
    option_eos: bool = True
    """Where options are ranked: whether the `</s>` behind what is scored counts."""
    normalisation: Normalisation = "none"
    """Where options are ranked: what their log-probability is divided by. `tokens` are those that are scored,
    `characters` and `bytes` (of UTF-8) those of the text."""
    headline: Mapping["Kind", str | None] = field(default_factory=dict)
    """The main metric by kind of answer; None or absent: the task's first."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """What the peer's report calls a metric, where its name differs from ours."""
    max_target_tokens: int = 512
    """Targets longer than this are cut, and counted."""

    @property
    def ranks(self) -> bool:
        """Whether answers are chosen among options instead of written."""
        return self.direction != "generate"

    def to_json(self) -> dict[str, object]:
        """Every field, for a report."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: dict(v) if isinstance(v, Mapping) else v for k, v in values.items()}


_ACCURACY: Mapping["Kind", str | None] = MappingProxyType(
    {"classification": "accuracy", "multiple_choice": "accuracy", "text": "accuracy"}
)
"""The headline where options are ranked; free text has options in some templates of promptsource's."""

MODES: Registry[Mode] = Registry(
    "mode",
    [
        (mode.name, mode)
        for mode in (
            Mode(
                name="fusionbench",
                direction="generate",
                input_eos=True,
                max_new_tokens=9,  # that tool asks for max_length=10, which counts the start token
                extraction="exact",
                gold="round_trip",
                numbers="float_else_zero",
                headline=MappingProxyType(
                    {
                        "classification": "accuracy",
                        "multiple_choice": "accuracy",
                        "text": "accuracy",
                        "number": "spearman",
                    }
                ),
                keys=MappingProxyType({"accuracy": "accuracy", "spearman": "spearman_rho"}),
            ),
            Mode(
                name="generate",
                direction="generate",
                input_eos=True,
                max_new_tokens=64,
                extraction="exact",
                gold="text",
                numbers="float_else_zero",
            ),
            Mode(
                name="cot",
                direction="generate",
                input_eos=True,
                max_new_tokens=256,
                extraction="answer",
                trigger=TRIGGER,
                gold="text",
            ),
            Mode(name="rank", direction="rank", input_eos=True, headline=_ACCURACY),
            Mode(name="t0", direction="rank", input_eos=False, headline=_ACCURACY),
            Mode(name="flipped", direction="flipped", input_eos=True, headline=_ACCURACY),
            Mode(name="channel", direction="channel", input_eos=True, headline=_ACCURACY),
        )
    ],
)
"""`fusionbench`: the rules of FusionBench's `flan-t5_glue_text_generation` task pool (tanganke/fusion_bench):
at most ten decoder positions, exact match with the decoded label ids, Spearman with 0.0 for what is no
number. One departure, documented in `parse_number`: `nan` and `inf` are no numbers, so that a score is
never NaN. `generate`: the same comparison with room for longer answers and each task's own metrics.

`cot`: the model is asked to reason (Kojima et al. 2022, arXiv 2205.11916) and the answer is read behind its
reasoning, as Flan 2022's chain-of-thought scores are (arXiv 2210.11416).

`t0`: the rules of T0's evaluation (Sanh et al. 2021, arXiv 2110.08207): the option of the highest sum of
log-probabilities, its `</s>` counted, the input without one. `rank`: the same for models whose inputs end
with `</s>`, as T5's and Flan-T5's do. `flipped`: the option under which the instruction is the most probable
(Ye et al. 2022, arXiv 2210.02969). `channel`: the option given which the prompt is the most probable, as in
the noisy channel of Min et al. 2022 (arXiv 2108.04106) with all options equally likely before it is read. Of
equals the first option is taken, and ties are counted."""
