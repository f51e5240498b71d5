"""Metrics over texts: from what was written and what should have been to a `Score` with its interval.

Every value is a fraction: BLEU and chrF too, 0.25 where papers print 25. A proportion (accuracy, exact
match) carries Wilson's interval, every other metric the percentile bootstrap (Efron 1979) over examples. A
metric that is undefined on its input (a correlation with constant predictions) is 0.0 and says so in the
score's note: no score is ever NaN. Knows nothing of models, tokens or tasks; numpy and all else that is heavy
load on first use.
"""

from ramekin.text.metrics.metric import Metric
from ramekin.text.metrics.scoring import (
    METRICS,
    bootstrap_draws,
    majority_level,
    score_answers,
    score_predictions,
)
from ramekin.text.metrics.values import Answers

__all__ = [
    "METRICS",
    "Answers",
    "Metric",
    "bootstrap_draws",
    "majority_level",
    "score_answers",
    "score_predictions",
]
