"""A proportion with its standard error and interval, of independent examples or of examples in clusters.

Examples that share a passage are right or wrong together more often than others, so that n of them say
less than n independent ones. Then the standard error is the cluster-robust one of a mean (Liang & Zeger 1986;
for evaluations of language models Miller 2024, arXiv 2411.00640), with the factor G / (G - 1) of few
clusters. The interval is Wilson's for the number of independent examples that would have this error (the
effective sample size of Korn & Graubard 1998; in Wilson's interval by Dean & Pagano 2015), with Student's t
of G - 1 degrees of freedom for the normal. Knows nothing of what makes an answer right.
"""

import math
from collections import defaultdict
from collections.abc import Sequence

from ramekin.text.score import Score, binomial_error, wilson_interval

__all__ = ["clustered_error", "effective_number", "proportion_score"]


def proportion_score(
    name: str,
    right: Sequence[bool],
    clusters: Sequence[str],
    *,
    chance: float,
    unparsable: int = 0,
    note: str = "",
) -> Score:
    """The share of examples that are right.

    Args:
        name: the metric's.
        right: of each example, whether it is.
        clusters: what each shares with others; empty, all different or all the same: they are taken for
            independent, since one cluster alone tells nothing of others (see `notes.passage_note`).
        chance: what guessing reaches.
        unparsable: how many predictions are no answers.
        note: what a reader must know.

    >>> score = proportion_score("accuracy", [True, True, False, False], "aabb", chance=0.5)
    >>> score.clusters, score.value, score.standard_error, score.low < 0.01
    (2, 0.5, 0.5, True)
    """
    n = len(right)
    value = sum(right) / n
    num_clusters = found if 1 < (found := len(set(clusters))) < n else 0
    if not num_clusters:
        error = binomial_error(value, n)
        low, high = wilson_interval(sum(right), n)
    else:
        error = clustered_error(right, clusters)
        effective = effective_number(value, error, n, num_clusters)
        low, high = wilson_interval(value * effective, effective, z=_quantile(num_clusters - 1))
    return Score(
        name,
        value,
        n,
        low,
        high,
        chance,
        error,
        unparsable=unparsable,
        note=note,
        clusters=num_clusters,
    )


def clustered_error(values: Sequence[float], clusters: Sequence[str]) -> float:
    """The standard error of a mean of values in two or more clusters, which may differ in size.

    sqrt(G / (G - 1) * sum over clusters of (sum within it of (x - mean))²) / n: the sandwich estimator of a
    regression on nothing but a constant.

    >>> clustered_error([1, 1, 0, 0], "aabb"), round(clustered_error([1, 0, 1, 0], "abcd"), 4)
    (0.5, 0.2887)
    """
    mean = math.fsum(values) / len(values)
    sums: dict[str, float] = defaultdict(float)
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] += value - mean
    groups = len(sums)
    return math.sqrt(groups / (groups - 1) * math.fsum(each * each for each in sums.values())) / len(values)


def effective_number(value: float, error: float, n: int, num_clusters: int) -> float:
    """How many independent examples would give a proportion this standard error, at most n.

    That is p (1 - p) / error². Where all are right or all wrong the error is 0 and says nothing; then no
    more is known than that every cluster is alike, and their number counts.

    >>> effective_number(0.5, 0.125, 100, 20), effective_number(1.0, 0.0, 100, 20)
    (16.0, 20)
    """
    if value in (0.0, 1.0):
        return num_clusters
    spread, variance = value * (1 - value), error * error
    return spread / variance if spread < n * variance else n


def _quantile(degrees: int) -> float:
    """The 97.5th percentile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))
