"""Whether a CTranslate2 model computes what the model in torch does: the self-test of an export.

Inputs of one to a thousand tokens are drawn from the vocabulary, with sentences and sentinels among them.
Both backends are made to write the same outputs, which begin with what the CTranslate2 model itself would
write, and the log-probabilities of every token of the vocabulary are compared at every position; those that
ranking is done by (`score_batch`) too. Knows nothing of files.
"""

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np
import torch

from ramekin.errors import WeightsError
from ramekin.infer.ready import in_evaluation_mode, start_token
from ramekin.tensors.tokenizer import EOS_ID, token_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["EXACT", "LOSS", "WORST", "SelfTest", "self_test"]

EXACT: Final = 1e-4
"""How far 99 of 100 log-probabilities of an fp32 model's written tokens may be apart: nats, or beyond -1 the
share of the log-probability, as rounding grows with it. Sound models were within 4e-5; of those converted
with another GELU, another reach of the position biases or a thousandth too much scale, none within 4e-4."""
WORST: Final = 1e-3
"""How far any may be apart, of any token at any position. Sound models were within 2e-4, the others not."""
LOSS: Final = 0.25
"""How far a quantised model's log-probabilities of the written tokens may be off on average, in nats, unless
told otherwise. In int8 sound models lost 0.03 to 0.11, the same with outliers that the scale of a row cannot
hold 0.30 to 0.41, with one feed-forward layer gone 0.6, and with two layers swapped more than 2."""

_LENGTHS = (1, 5, 40, 600, 1100)
"""Drawn tokens of the inputs, before `</s>`: two are longer than T5's 512, one than CTranslate2's 1,024."""
_SENTENCES = (
    "Is this review positive or negative? It was a long film, but I would see it again tomorrow.",
    "Translate to German: The house near the river was sold in 1987 for 4,500 dollars.",
)
_WRITTEN = 10
_POSITIONS = 12
"""Tokens of each output, `</s>` included: what the model writes, then drawn ones."""


@final
@dataclass(frozen=True, slots=True)
class SelfTest:
    """What the comparison found. Differences are of log-probabilities, natural logarithms."""

    inputs: int
    positions: int
    """Tokens that were predicted."""
    longest: int
    """Tokens of the longest input."""
    max_difference: float
    """Of the tokens that were written."""
    mean_difference: float
    """Of the tokens that were written."""
    typical_difference: float
    """What 99 of 100 of them are within; beyond -1, as a share of the log-probability."""
    max_anywhere: float
    """Of all tokens of the vocabulary; beyond -1, as a share of the log-probability."""
    equal_greedy: float
    """The share of positions at which both have the same most probable token."""
    compute_type: str
    """What CTranslate2 computed in on this machine."""
    seed: int

    def to_json(self) -> dict[str, Any]:
        """The numbers by their names."""
        return asdict(self)


@final
@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    input_ids: tuple[int, ...]
    target_ids: tuple[int, ...] = ()
    """With `</s>`."""


@final
@dataclass(frozen=True, slots=True)
class _Difference:
    """Of one case."""

    case: _Case
    expected: "NDArray[np.float64]"
    """(2 * positions) of the tokens of the target, once for decoding and once for scoring; so is `got`."""
    got: "NDArray[np.float64]"
    anywhere: "NDArray[np.float64]"
    """(positions) how far the token of the vocabulary that is the farthest apart is apart."""
    equal: "NDArray[np.bool_]"
    """(positions) whether both have the same most probable token."""

    @property
    def written(self) -> "NDArray[np.float64]":
        """(2 * positions) how far the tokens of the target are apart."""
        return _apart(self.expected, self.got)


def self_test(
    model: "PreTrainedModel",
    translator: Any,
    vocabulary: Sequence[str],
    tokenizer: "PreTrainedTokenizerFast",
    *,
    is_exact: bool,
    seed: int = 0,
    max_loss: float = LOSS,
) -> SelfTest:
    """Compare a CTranslate2 model with the model that it was made from.

    Where fp32 differs by more than the bounds, torch computes again in fp64, and differences may be four
    times torch's own rounding error, if that is more: a model that magnifies rounding does so in both.

    Args:
        model: in fp32.
        translator: CTranslate2's.
        vocabulary: the names of its tokens.
        tokenizer: of both.
        is_exact: whether the CTranslate2 model is in fp32 too, and not quantised.
        seed: decides the inputs.
        max_loss: of a quantised model: what its written tokens' log-probabilities may be off on average.

    Raises:
        WeightsError: they differ; the message names the worst input and token, what torch says and what
            CTranslate2 says.
    """
    cases = _with_targets(_inputs(tokenizer, len(vocabulary), seed), translator, vocabulary, seed)
    ours = [_torch_log_probs(model, case) for case in cases]
    theirs = _their_log_probs(translator, vocabulary, cases)
    found = [_difference(*each) for each in zip(cases, ours, theirs, strict=True)]
    bounds = (EXACT, WORST) if is_exact else (math.inf, math.inf)
    if not _is_within(found, bounds) and is_exact:
        with _in_fp64(model):
            exact = [_torch_log_probs(model, case) for case in cases]
        rounded = [(own, own[_places(case)]) for case, own in zip(cases, ours, strict=True)]
        own = [_difference(*each) for each in zip(cases, exact, rounded, strict=True)]
        found = [_difference(*each) for each in zip(cases, exact, theirs, strict=True)]
        bounds = (max(EXACT, 4 * _typical(own)), max(WORST, 4 * _most(own)))
    if not _is_within(found, bounds):
        raise _differs(found, bounds, vocabulary)
    result = _summary(found, str(translator.compute_type), seed)
    if not is_exact and result.mean_difference > max_loss:
        raise _loses_too_much(found, result, vocabulary, max_loss)
    return result


def _inputs(tokenizer: "PreTrainedTokenizerFast", vocab_size: int, seed: int) -> list[_Case]:
    """Inputs that are neither empty nor all alike; the same for the same vocabulary and seed."""
    rng = random.Random(seed)
    backend = tokenizer.backend_tokenizer
    sentinels = [backend.token_to_id(f"<extra_id_{number}>") for number in range(2)]
    sentinels = [token for token in sentinels if token is not None and token < vocab_size]
    known = min(vocab_size, backend.get_vocab_size())
    drawn = [token for token in range(EOS_ID + 2, known) if token not in sentinels] or [EOS_ID + 1]
    cases = [_Case(f"{count} drawn tokens", (*rng.choices(drawn, k=count), EOS_ID)) for count in _LENGTHS]
    texts = token_ids(tokenizer, list(_SENTENCES))
    cases += [
        _Case(f"the sentence '{text[:20]}…'", (*(t for t in ids if t < vocab_size), EOS_ID))
        for text, ids in zip(_SENTENCES, texts, strict=True)
        if ids
    ]
    if sentinels:
        gaps = [token for sentinel in sentinels for token in (*rng.choices(drawn, k=6), sentinel)]
        cases.append(_Case("drawn tokens with sentinels", (*gaps, EOS_ID)))
    return cases


def _with_targets(
    cases: Sequence[_Case], translator: Any, vocabulary: Sequence[str], seed: int
) -> list[_Case]:
    """What the CTranslate2 model writes of each input, then drawn tokens, then `</s>`."""
    rng = random.Random(seed + 1)
    ids = {name: number for number, name in reversed(list(enumerate(vocabulary)))}
    answers = translator.translate_batch(
        [[vocabulary[token] for token in case.input_ids] for case in cases],
        beam_size=1,
        max_input_length=0,
        max_decoding_length=_WRITTEN,
        min_decoding_length=0,
    )
    complete = []
    for case, answer in zip(cases, answers, strict=True):
        written = [ids[name] for name in answer.hypotheses[0]]
        more = rng.choices(range(EOS_ID + 2, len(vocabulary)), k=_POSITIONS - 1 - len(written))
        complete.append(replace(case, target_ids=(*written, *more, EOS_ID)))
    return complete


@torch.inference_mode()
def _torch_log_probs(model: "PreTrainedModel", case: _Case) -> "NDArray[np.float64]":
    """(positions, vocabulary), one pass; the softmax is in fp64, as fp32 loses 3e-5 in its sum."""
    before = [start_token(model), *case.target_ids[:-1]]
    with in_evaluation_mode(model):
        logits = model(
            input_ids=torch.tensor([case.input_ids], device=model.device),
            decoder_input_ids=torch.tensor([before], device=model.device),
            use_cache=False,
        ).logits[0]
    found: NDArray[np.float64] = logits.double().log_softmax(-1).cpu().numpy()
    return found


def _their_log_probs(
    translator: Any, vocabulary: Sequence[str], cases: Sequence[_Case]
) -> "list[tuple[NDArray[np.float64], NDArray[np.float64]]]":
    """Of each case (positions, vocabulary) as decoding has them, and (positions) of its own as scoring does.

    All cases are decoded at once, step by step.
    """
    sources = [[vocabulary[token] for token in case.input_ids] for case in cases]
    targets = [[vocabulary[token] for token in case.target_ids[:-1]] for case in cases]
    decoded = translator.translate_batch(
        sources,
        targets,
        beam_size=1,
        max_input_length=0,
        max_decoding_length=_POSITIONS,
        min_decoding_length=0,
        return_logits_vocab=True,
    )
    scored = translator.score_batch(sources, targets, max_input_length=0)
    found = []
    for answer, score in zip(decoded, scored, strict=True):
        steps = np.stack([np.asarray(step, np.float64).reshape(-1) for step in answer.logits[0][:_POSITIONS]])
        found.append(
            (torch.from_numpy(steps).log_softmax(-1).numpy(), np.asarray(score.log_probs, np.float64))
        )
    return found


def _difference(
    case: _Case,
    ours: "NDArray[np.float64]",
    theirs: "tuple[NDArray[np.float64], NDArray[np.float64]]",
) -> _Difference:
    steps, scores = theirs
    own = _places(case)
    return _Difference(
        case,
        np.tile(ours[own], 2),
        np.concatenate([steps[own], scores]),
        _apart(ours, steps).max(axis=1),
        ours.argmax(axis=1) == steps.argmax(axis=1),
    )


def _places(case: _Case) -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """Where a case's own tokens stand among (positions, vocabulary)."""
    return np.arange(len(case.target_ids)), np.asarray(case.target_ids)


def _apart(expected: "NDArray[np.float64]", got: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Differences, as shares of what is expected where that is beyond -1."""
    apart: NDArray[np.float64] = np.nan_to_num(
        np.abs(expected - got) / np.maximum(1.0, np.abs(expected)), nan=math.inf
    )
    return apart


@contextmanager
def _in_fp64(model: "PreTrainedModel") -> Iterator[None]:
    """The model in fp64, and back, to the same bits."""
    model.to(torch.float64)
    try:
        yield
    finally:
        model.to(torch.float32)


def _typical(found: Sequence[_Difference]) -> float:
    """What 99 of 100 written tokens are within."""
    return float(np.quantile(np.concatenate([each.written for each in found]), 0.99, method="lower"))


def _most(found: Sequence[_Difference]) -> float:
    return float(max(max(each.anywhere.max(), each.written.max()) for each in found))


def _is_within(found: Sequence[_Difference], bounds: tuple[float, float]) -> bool:
    """Whether differences are finite and within (what most, what all must be)."""
    most = _most(found)
    return math.isfinite(most) and _typical(found) <= bounds[0] and most <= bounds[1]


def _differs(
    found: Sequence[_Difference], bounds: tuple[float, float], vocabulary: Sequence[str]
) -> WeightsError:
    where, expected, got = _worst(found, vocabulary)
    return WeightsError(
        "the converted model computes other log-probabilities than the checkpoint, and is not kept",
        where=where,
        expected=expected if math.isinf(bounds[0]) else f"{expected}, within {bounds[0]:.1g} as a rule",
        got=f"{got}; of all tokens the worst is {_most(found):.2g} apart",
        fix="report it with the versions of ctranslate2 and ramekin; use the checkpoint with backend=torch",
        kind="self-test",
    )


def _loses_too_much(
    found: Sequence[_Difference], result: SelfTest, vocabulary: Sequence[str], max_loss: float
) -> WeightsError:
    where, expected, got = _worst(found, vocabulary)
    return WeightsError(
        "quantised, the model's log-probabilities are too far off, and it is not kept",
        where=f"{result.mean_difference:.3f} nats on average; worst at {where}",
        expected=f"{expected}, and {max_loss:g} nats on average at most",
        got=got,
        fix="quantization=float32, or max_loss=NATS where that is good enough",
        kind="self-test",
    )


def _worst(found: Sequence[_Difference], vocabulary: Sequence[str]) -> tuple[str, str, str]:
    """Where the worst difference of a written token is, what torch says there and what CTranslate2 says."""
    worst = max(found, key=lambda each: float(each.written.max()))
    place = int(worst.written.argmax())
    position = place % len(worst.case.target_ids)
    token = vocabulary[worst.case.target_ids[position]]
    return (
        f"input {worst.case.name} ({len(worst.case.input_ids)} tokens), position {position}, token '{token}'",
        f"{worst.expected[place]:.5f}",
        f"{worst.got[place]:.5f}",
    )


def _summary(found: Sequence[_Difference], compute_type: str, seed: int) -> SelfTest:
    apart = np.concatenate([np.abs(each.expected - each.got) for each in found])
    return SelfTest(
        inputs=len(found),
        positions=sum(len(each.equal) for each in found),
        longest=max(len(each.case.input_ids) for each in found),
        max_difference=float(apart.max()),
        mean_difference=float(apart.mean()),
        typical_difference=_typical(found),
        max_anywhere=float(max(each.anywhere.max() for each in found)),
        equal_greedy=float(np.concatenate([each.equal for each in found]).mean()),
        compute_type=compute_type,
        seed=seed,
    )
