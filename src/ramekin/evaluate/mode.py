"""A scoring mode: every rule that turns a model's answers into a number, as one printable value.

Two numbers are comparable only if their modes are equal, so a report prints all the fields. Knows nothing
of models or of how the rules are carried out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, final

from ramekin.errors import UsageError
from ramekin.infer.decoding import Decoding
from ramekin.registry import Registry, unknown_name
from ramekin.text.prompting.thought import TRIGGER

if TYPE_CHECKING:
    from ramekin.text.task import Kind

__all__ = ["CHANGEABLE", "MODES", "Direction", "Extraction", "Mode", "Normalisation"]

Direction: TypeAlias = Literal["generate", "rank", "flipped", "channel", "perplexity"]
Normalisation: TypeAlias = Literal["none", "tokens", "characters", "bytes", "pmi"]
Extraction: TypeAlias = Literal["exact", "answer", "first_word", "number", "pattern"]


@final
@dataclass(frozen=True, slots=True)
class Mode:
    """The rules of one way of scoring.

    Raises:
        UsageError: two rules do not go together.
    """

    name: str
    """As reports and the command line call it; rules that were changed stand behind it."""
    direction: Direction
    """How an answer is found: `generate` lets the model write; `rank` takes the option that is most probable
    given the input; `flipped` takes the option under which the instruction is most probable, `channel` the
    one given which the whole prompt is; `perplexity` asks how probable the target is."""
    input_eos: bool
    """Whether the input ends with `</s>` (T5 and Flan-T5 do, T0 does not)."""
    max_new_tokens: int = 0
    """Tokens that may be written, `</s>` among them; 0 where nothing is written."""
    num_beams: int = 1
    """Beams of a beam search; 1: greedy, or sampling."""
    num_samples: int = 1
    """Answers that are drawn for each prompt; of several the one most of them come to counts (Wang et al.
    2022, arXiv 2203.11171), of equals the one that came first, and ties are counted."""
    sampling_temperature: float = 0.0
    """0: nothing is drawn."""
    top_k: int = 0
    """Draw among so many tokens; 0: all."""
    top_p: float = 1.0
    """Draw among the most probable tokens that together have so much."""
    length_penalty: float = 1.0
    """Of a beam search: the power of the length that a log-probability is divided by."""
    extraction: Extraction = "exact"
    """How the answer is read: `exact` takes the whole text, character for character; `answer` what the text
    comes to (`text.answers.extract_answer`: behind its last "the answer is"); `first_word` and `number` the
    first word and the last number; `pattern` what `pattern` finds. None found is counted as unread."""
    pattern: str = ""
    """With `extraction=pattern`, a regular expression; its first group is the answer, or all it finds."""
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
    `characters` and `bytes` (of UTF-8) those of the text. `pmi` takes away the log-probability that the
    option has given an input of `</s>` alone."""
    also: tuple[Normalisation, ...] = ()
    """Other normalisations whose accuracy is reported beside the headline: `accuracy_characters` …"""
    otherwise: Literal["refuse", "generate"] = "refuse"
    """What becomes of a set of examples whose answers are not among options, where options are to be ranked:
    an error, or answers that the model writes."""
    headline: Mapping["Kind", str | None] = field(default_factory=dict)
    """The main metric by kind of answer; None or absent: the task's first."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """What the peer's report calls a metric, where its name differs from ours."""
    max_target_tokens: int = 512
    """Targets longer than this are cut, and counted."""

    def __post_init__(self) -> None:
        where = f"mode {self.name}"
        writes = self.direction == "generate" or self.otherwise == "generate"
        if writes and self.max_new_tokens < 1:
            raise UsageError("nothing can be written", where=where, expected="max_new_tokens of 1 or more")
        if bool(self.pattern) != (self.extraction == "pattern"):
            raise UsageError("extraction=pattern and a pattern go together", where=where, got=self.pattern)
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise UsageError(
                "the pattern is no regular expression", where=where, got=f"{self.pattern}: {error}"
            ) from error
        if self.direction in ("flipped", "channel") and set(self.normalisations) != {"none"}:
            raise UsageError(
                "one text is scored under all options, so that no normalisation changes the answer",
                where=where,
                expected="normalisation=none",
            )
        self.decoding(0)

    @property
    def ranks(self) -> bool:
        """Whether answers are chosen among options."""
        return self.direction in ("rank", "flipped", "channel")

    @property
    def votes(self) -> bool:
        """Whether several answers are drawn, of which the commonest counts."""
        return self.num_samples > 1

    @property
    def normalisations(self) -> tuple[Normalisation, ...]:
        """The one that decides, then the others that are reported, each once."""
        return tuple(dict.fromkeys((self.normalisation, *self.also)))

    def decoding(self, seed: int) -> Decoding:
        """How text is written, with the seed of what is drawn.

        Raises:
            UsageError: the settings do not go together.
        """
        return Decoding(
            num_beams=self.num_beams,
            num_samples=self.num_samples,
            sampling_temperature=self.sampling_temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            length_penalty=self.length_penalty,
            seed=seed,
        )

    def changed(self, **rules: Any) -> "Mode":
        """The same mode with other rules, which its name says.

        Raises:
            UsageError: no such rule, or it does not go together with the others.

        >>> MODES["rank"].changed(option_eos=False).name
        'rank(option_eos=false)'
        """
        for name in rules:
            if name not in CHANGEABLE:
                raise UsageError(unknown_name("rule", name, CHANGEABLE), where=f"mode {self.name}")
        others = {name: value for name, value in rules.items() if getattr(self, name) != value}
        if not others:
            return self
        listed = ", ".join(f"{name}={_shown(value)}" for name, value in others.items())
        base, _, before = self.name.partition("(")
        told = f"{before.removesuffix(')')}, {listed}" if before else listed
        return replace(self, name=f"{base}({told})", **others)

    def written(self) -> "Mode":
        """The same rules for examples whose answers are not among options: the model writes them."""
        return replace(self, direction="generate", otherwise="refuse", headline={}, also=())

    def to_json(self) -> dict[str, object]:
        """Every field, for a report."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{','.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


CHANGEABLE = (
    "input_eos",
    "max_new_tokens",
    "num_beams",
    "num_samples",
    "sampling_temperature",
    "top_k",
    "top_p",
    "length_penalty",
    "extraction",
    "pattern",
    "trigger",
    "gold",
    "option_eos",
    "normalisation",
    "also",
    "otherwise",
    "max_target_tokens",
)
"""The rules that a user may change of a mode."""

_ACCURACY: Mapping["Kind", str | None] = MappingProxyType(
    {"classification": "accuracy", "multiple_choice": "accuracy", "text": "accuracy"}
)
"""The headline where options are ranked; free text has options in some templates of promptsource's."""
_PERPLEXITY: Mapping["Kind", str | None] = MappingProxyType(
    dict.fromkeys(("classification", "multiple_choice", "number", "text"), "perplexity")
)

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
            Mode(
                name="self_consistency",
                direction="generate",
                input_eos=True,
                max_new_tokens=256,
                num_samples=40,
                sampling_temperature=0.7,
                top_k=40,
                extraction="answer",
                trigger=TRIGGER,
                gold="text",
            ),
            Mode(name="rank", direction="rank", input_eos=True, headline=_ACCURACY),
            Mode(name="t0", direction="rank", input_eos=False, headline=_ACCURACY),
            Mode(
                name="lm_eval",
                direction="rank",
                input_eos=True,
                option_eos=False,
                also=("characters", "bytes", "pmi"),
                headline=_ACCURACY,
                keys=MappingProxyType(
                    {
                        "accuracy": "acc",
                        "accuracy_characters": "acc_norm",
                        "accuracy_bytes": "acc_bytes",
                        "accuracy_pmi": "acc_mutual_info",
                    }
                ),
            ),
            Mode(
                name="flan",
                direction="rank",
                input_eos=True,
                max_new_tokens=64,
                otherwise="generate",
                headline=_ACCURACY,
            ),
            Mode(name="flipped", direction="flipped", input_eos=True, headline=_ACCURACY),
            Mode(name="channel", direction="channel", input_eos=True, headline=_ACCURACY),
            Mode(name="perplexity", direction="perplexity", input_eos=True, headline=_PERPLEXITY),
        )
    ],
)
"""`fusionbench`: the rules of FusionBench's `flan-t5_glue_text_generation` task pool (tanganke/fusion_bench):
at most ten decoder positions, exact match with the decoded label ids, Spearman with 0.0 for what is no
number. One departure, documented in `parse_number`: `nan` and `inf` are no numbers, so that a score is
never NaN. `generate`: the same comparison with room for longer answers and each task's own metrics.

`cot`: the model is asked to reason (Kojima et al. 2022, arXiv 2205.11916) and the answer is read behind its
reasoning, as Flan 2022's chain-of-thought scores are (arXiv 2210.11416). `self_consistency`: the same with 40
answers drawn at temperature 0.7 among the 40 most probable tokens, of which the commonest counts (Wang et al.
2022, arXiv 2203.11171).

`t0`: the rules of T0's evaluation (Sanh et al. 2021, arXiv 2110.08207): the option of the highest sum of
log-probabilities, its `</s>` counted, the input without one. `rank`: the same for models whose inputs end
with `</s>`, as T5's and Flan-T5's do. `lm_eval`: the rules of EleutherAI/lm-evaluation-harness for
encoder-decoders: the option's `</s>` does not count, and beside the plain sum the decisions per character,
per byte and by mutual information are reported. `flan`: FLAN 2021's (arXiv 2109.01652): options ranked where
a task has them, else the model writes. `flipped`: the option under which the instruction is the most probable
(Ye et al. 2022, arXiv 2210.02969). `channel`: the option given which the prompt is the most probable, as in
the noisy channel of Min et al. 2022 (arXiv 2108.04106) with all options equally likely before it is read. Of
equals the first option is taken, and ties are counted.

`perplexity`: the exponential of the mean loss of a target token, its `</s>` counted."""
