"""What a bag of words (TF-IDF of words and word pairs, linear model) reaches on each task.

`paired` gives each text features of its own, `joined` puts the two texts into one bag. Joined, a linear model
can count how many different words there are, so overlap of words shows; paired, it sees next to nothing.
"""

import numpy as np
import pytest

from ramekin.sources.world import generate

# task: (paired, joined) ceilings in per cent of accuracy, Spearman × 100 for stsb
CEILINGS = {
    "mnli": (43, 51),
    "mrpc": (58, 70),
    "qnli": (58, 68),
    "qqp": (58, 58),
    "rte": (60, 62),
    "stsb": (12, 76),
}


def _reached(task: str, *, joined: bool) -> float:
    from scipy.sparse import hstack
    from scipy.stats import spearmanr
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge

    train, held = (generate(task, split, n=n, seed=0) for split, n in (("train", 2400), ("validation", 900)))
    columns = [name for name, value in train[0].items() if isinstance(value, str)]
    bags = [columns] if joined else [[name] for name in columns]
    seen, unseen = [], []
    for names in bags:
        vectors = TfidfVectorizer(ngram_range=(1, 2))
        seen.append(vectors.fit_transform([" ".join(str(row[name]) for name in names) for row in train]))
        unseen.append(vectors.transform([" ".join(str(row[name]) for name in names) for row in held]))
    model = Ridge() if task == "stsb" else LogisticRegression(max_iter=1000)
    model.fit(hstack(seen).tocsr(), [row["label"] for row in train])
    predicted, true = model.predict(hstack(unseen).tocsr()), [row["label"] for row in held]
    if task == "stsb":
        return 100 * float(spearmanr(predicted, true).statistic)
    return 100 * float(np.mean(predicted == np.array(true)))


@pytest.mark.parametrize("task", CEILINGS)
def test_a_bag_of_words_does_not_solve_the_pair_tasks(task: str) -> None:
    paired, joined = CEILINGS[task]
    assert _reached(task, joined=False) <= paired
    assert _reached(task, joined=True) <= joined
