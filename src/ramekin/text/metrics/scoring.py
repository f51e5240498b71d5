"""Every metric by name, and the functions that score by it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ramekin.registry import Registry
from ramekin.text.metrics.accuracy import ACCURACY
from ramekin.text.metrics.bleu import BLEU
from ramekin.text.metrics.bootstrap import RESAMPLES, draws
from ramekin.text.metrics.chrf import CHRF
from ramekin.text.metrics.contains import CONTAINS
from ramekin.text.metrics.correlation import PEARSON, SPEARMAN
from ramekin.text.metrics.f1 import F1, F1_MACRO
from ramekin.text.metrics.matthews import MATTHEWS
from ramekin.text.metrics.metric import Metric
from ramekin.text.metrics.multirc import MULTIRC_EM, MULTIRC_F1A
from ramekin.text.metrics.number import NUMBER_MATCH
from ramekin.text.metrics.perplexity import PERPLEXITY
from ramekin.text.metrics.rouge import ROUGE_1, ROUGE_2, ROUGE_L
from ramekin.text.metrics.squad import EXACT_MATCH, SQUAD_F1
from ramekin.text.metrics.triples import TRIPLE_F1
from ramekin.text.metrics.values import Answers
from ramekin.text.score import Score

if TYPE_CHECKING:
    from ramekin.text.metrics.values import Floats

__all__ = ["METRICS", "bootstrap_draws", "majority_level", "score_answers", "score_predictions"]

METRICS: Registry[Metric] = Registry(
    "metric",
    [
        (metric.name, metric)
        for metric in (
            ACCURACY,
            EXACT_MATCH,
            CONTAINS,
            F1,
            F1_MACRO,
            MATTHEWS,
            NUMBER_MATCH,
            PEARSON,
            SPEARMAN,
            SQUAD_F1,
            ROUGE_1,
            ROUGE_2,
            ROUGE_L,
            BLEU,
            CHRF,
            TRIPLE_F1,
            MULTIRC_F1A,
            MULTIRC_EM,
            PERPLEXITY,
        )
    ],
)
"""Every metric by name."""


def score_predictions(
    metric: str,
    predictions: Sequence[str],
    targets: Sequence[str],
    *,
    options: Sequence[str] = (),
    positive: str | None = None,
    references: Sequence[Sequence[str]] = (),
    example_options: Sequence[Sequence[str]] = (),
    clusters: Sequence[str] = (),
    questions: Sequence[str] = (),
    seed: int = 0,
) -> Score:
    """Score predictions by the metric of that name.

    Args:
        metric: a name in `METRICS`, such as `accuracy`, `squad_f1` or `rougeL`.
        predictions: what the model wrote, a text an example.
        targets: what it should have written.
        options: the admissible answers, for the chance level and the count of unparsable answers.
        positive: for F1, the option that counts as positive.
        references: for each example, what counts as right beside its target. Accuracy, exact match, number
            match, token and triple F1, ROUGE, BLEU and chrF use them; the others compare with the target.
        example_options: for each example, its own admissible answers, where they differ.
        clusters: for each example, what it shares with others, such as its passage.
        questions: for each example, the question of which it is one candidate answer.
        seed: of the bootstrap.

    Raises:
        UsageError: no such metric, F1 without a positive option, macro F1 without options, or MultiRC's
            exact match without questions.
        DataError: nothing to score, unequal numbers, or a target that is no number for a correlation.

    >>> score = score_predictions("accuracy", ["yes", "maybe"], ["yes", "no"], options=["yes", "no"])
    >>> score.value, score.chance, score.unparsable
    (0.5, 0.5, 1)
    """
    answers = Answers(
        tuple(predictions),
        tuple(targets),
        tuple(options),
        positive,
        tuple(map(tuple, references)),
        tuple(map(tuple, example_options)),
        tuple(clusters),
        tuple(questions),
    )
    return score_answers(metric, answers, seed=seed)


def score_answers(metric: str, answers: Answers, *, seed: int = 0) -> Score:
    """`score_predictions` on answers that stand side by side already."""
    return METRICS[metric].compute(answers, seed)


def majority_level(
    metric: str,
    targets: Sequence[str],
    *,
    options: Sequence[str] = (),
    positive: str | None = None,
    references: Sequence[Sequence[str]] = (),
) -> float:
    """What the best constant answer reaches on these targets (0.0 for correlations and overlap of texts).

    >>> majority_level("accuracy", ["yes", "no", "no"])
    0.6666666666666666
    """
    others = tuple(map(tuple, references))
    answers = Answers(tuple(targets), tuple(targets), tuple(options), positive, others)
    return METRICS[metric].majority(answers)


def bootstrap_draws(metric: str, answers: Answers, *, seed: int, resamples: int = RESAMPLES) -> "Floats":
    """The metric on `resamples` draws of n examples, or of their passages, with repeats: (resamples,).

    Memory is bounded: the draws are made in chunks, and the same seed gives the same draws whatever is
    measured, so two models on the same examples are resampled alike.
    """
    return draws(METRICS[metric].prepare(answers), answers, seed=seed, resamples=resamples)
