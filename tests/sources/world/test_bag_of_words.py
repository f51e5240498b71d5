"""What bags of words reach on the tasks with two texts or more: some, but far from all.

A bag knows how often each word stands in either text and no order (of three texts, the first is one and the
others are the other). `union` sees which words there are in the two together, `compared` how often each
stands in one text more than in the other and in both, `trees` the same with any interaction of words and the
numbers of shared and of different words. A model that reads the order gets nearly everything right: see
docs/results/world.md.
"""

import numpy as np
import pytest

from ramekin.sources.world import generate

CEILINGS = {"boolq": 76, "multirc": 60, "mnli": 74, "mrpc": 78, "qnli": 72, "qqp": 77, "rte": 79, "stsb": 71}
"""Per cent of accuracy, Spearman × 100 for stsb."""
FLOORS = {"boolq": 60, "multirc": 50, "mnli": 55, "mrpc": 60, "qnli": 58, "qqp": 58, "rte": 60, "stsb": 50}
"""What the best bag reaches at least: a bag that finds nothing at all would be a broken one."""


def _reached(task: str) -> dict[str, float]:
    from scipy.sparse import hstack
    from scipy.stats import spearmanr
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge

    train, held = (generate(task, split, n=n, seed=0) for split, n in (("train", 2400), ("validation", 900)))
    columns = [name for name, value in train[0].items() if isinstance(value, str)]
    words = CountVectorizer().fit(str(row[name]) for row in train for name in columns)

    def bags(rows: list[dict[str, object]]) -> dict[str, object]:
        first = words.transform([str(row[columns[0]]) for row in rows])
        second = words.transform([" ".join(str(row[name]) for name in columns[1:]) for row in rows])
        compared = [abs(first - second), first.minimum(second), first, second]
        totals = [np.asarray(each.sum(axis=1)) for each in compared]
        return {
            "union": ((first + second) > 0).astype(float),
            "compared": hstack(compared).tocsr().astype(float),
            "trees": np.hstack([*totals, hstack(compared).toarray()]).astype(float),
        }

    seen, unseen = bags(train), bags(held)
    graded = task == "stsb"
    reached = {}
    for name in seen:
        if name == "trees":
            model = (HistGradientBoostingRegressor if graded else HistGradientBoostingClassifier)(max_iter=60)
        else:
            model = Ridge() if graded else LogisticRegression(max_iter=2000)
        model.fit(seen[name], [row["label"] for row in train])
        predicted, true = model.predict(unseen[name]), np.array([row["label"] for row in held])
        score = spearmanr(predicted, true).statistic if graded else np.mean(predicted == true)
        reached[name] = 100 * float(score)
    return reached


@pytest.mark.parametrize("task", CEILINGS)
def test_a_bag_of_words_does_not_solve_the_pair_tasks(task: str) -> None:
    reached = _reached(task)
    assert max(reached.values()) <= CEILINGS[task], reached
    assert max(reached.values()) >= FLOORS[task], reached
