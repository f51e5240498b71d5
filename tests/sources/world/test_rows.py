"""Columns, balance, splits, determinism and the prefix property of the built-in world's rows."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.sources.world import TASKS, corpus, generate
from ramekin.sources.world.rows import SPLITS, split_of

STEPS = ["facts", "question", "steps", "answer", "idx"]
COLUMNS = {
    "boolq": ["question", "passage", "label", "idx"],
    "chain": ["facts", "question", "choices", "steps", "answer", "idx"],
    "cola": ["sentence", "label", "idx"],
    "ledger": STEPS,
    "mnli": ["premise", "hypothesis", "label", "idx"],
    "mrpc": ["sentence1", "sentence2", "label", "idx"],
    "multirc": ["paragraph", "question", "answer", "label", "idx"],
    "papers": ["abstract", "introduction", "question", "answer", "idx"],
    "qnli": ["question", "sentence", "label", "idx"],
    "qqp": ["question1", "question2", "label", "idx"],
    "ranking": STEPS,
    "rte": ["sentence1", "sentence2", "label", "idx"],
    "squad": ["title", "context", "question", "answers", "idx"],
    "sst2": ["sentence", "label", "idx"],
    "stsb": ["sentence1", "sentence2", "label", "idx"],
    "tally": STEPS,
}
SYMMETRIC = ("mrpc", "qqp", "stsb")
SEEDS = st.integers(min_value=0, max_value=2**31)


def texts(row: dict[str, object]) -> tuple[str, ...]:
    return tuple(value for value in row.values() if isinstance(value, str))


def test_the_tasks_are_eight_of_glue_three_of_reading_four_in_steps_and_papers() -> None:
    assert list(COLUMNS) == list(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_columns_and_types_are_those_of_the_namesake(task: str) -> None:
    for row in generate(task, "train", n=50, seed=1):
        assert list(row) == COLUMNS[task]
        if task == "squad":
            assert set(row["answers"]) == {"text", "answer_start"}
        elif "steps" not in row and task != "papers":
            assert isinstance(row["label"], float if task == "stsb" else int)
        assert all(text == text.strip() and "  " not in text for text in texts(row))


@settings(max_examples=30)
@given(st.sampled_from(TASKS), st.sampled_from(SPLITS), SEEDS, st.integers(0, 20), st.integers(0, 20))
def test_a_shorter_list_begins_the_longer(task: str, split: str, seed: int, n: int, more: int) -> None:
    long = generate(task, split, n=n + more, seed=seed)
    assert long[:n] == generate(task, split, n=n, seed=seed)
    assert [row["idx"] for row in long] == list(range(n + more))


@settings(max_examples=40)
@given(st.sampled_from(TASKS), st.sampled_from(SPLITS), SEEDS)
def test_every_row_is_of_its_own_split(task: str, split: str, seed: int) -> None:
    rows = generate(task, split, n=20, seed=seed)
    assert all(split_of(row) == split for row in rows)
    assert all(split_of(dict(reversed(row.items()))) == split for row in rows)


@pytest.mark.parametrize("task", TASKS)
def test_train_and_validation_share_no_row(task: str) -> None:
    seen = {frozenset(texts(row)) for seed in (0, 1) for row in generate(task, "train", n=3000, seed=seed)}
    held = {
        frozenset(texts(row)) for seed in (0, 5) for row in generate(task, "validation", n=600, seed=seed)
    }
    assert not seen & held


@pytest.mark.parametrize("task", SYMMETRIC)
def test_a_turned_pair_stays_in_its_split(task: str) -> None:
    one, two, *_ = COLUMNS[task]
    for row in generate(task, "validation", n=100, seed=0):
        assert split_of({**row, one: row[two], two: row[one]}) == "validation"


@pytest.mark.parametrize("task", [task for task in TASKS if "label" in COLUMNS[task] and task != "stsb"])
def test_labels_are_balanced(task: str) -> None:
    labels = 3 if task == "mnli" else 2
    counts = Counter(row["label"] for row in generate(task, "validation", n=60 * labels, seed=4))
    assert counts == dict.fromkeys(range(labels), 60)


def test_similarity_scores_cover_the_scale() -> None:
    scores = Counter(float(str(row["label"])) for row in generate("stsb", "train", n=1200, seed=0))
    assert min(scores) == 0.0 and max(scores) == 5.0 and len(scores) >= 9
    assert max(scores.values()) < 1200 / 3


@pytest.mark.parametrize("task", ["mnli", "mrpc", "qnli", "qqp", "rte", "stsb"])
def test_a_pair_never_repeats_itself(task: str) -> None:
    for row in generate(task, "train", n=1000, seed=2):
        one, two = texts(row)
        assert one != two


def test_seeds_and_splits_give_other_rows() -> None:
    rows = [generate("mnli", split, n=20, seed=seed) for split in SPLITS for seed in (0, 1)]
    assert all(a != b for i, a in enumerate(rows) for b in rows[:i])


def test_rows_of_a_seed_do_not_change_between_versions() -> None:
    assert generate("cola", "train", n=1, seed=0) == generate("cola", "train", n=5, seed=0)[:1]
    assert generate("mnli", "validation", n=3, seed=0) == generate("mnli", "validation", n=3, seed=0)


def test_the_vocabulary_is_small() -> None:
    words = {
        word
        for task in TASKS
        for row in generate(task, "train", n=2000, seed=0)
        for text in texts(row)
        for word in text.split()
    }
    words |= {word for text in corpus(3000, seed=0) for word in text.split()}
    assert 150 <= len(words) <= 300


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown task of the built-in world 'mrcp': did you mean 'mrpc'\?"):
        generate("mrcp", "train", n=1, seed=0)


def test_an_unknown_split_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown split .* 'validaton': did you mean 'validation'\?"):
        generate("rte", "validaton", n=1, seed=0)


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(UsageError, match="negative number of rows: cola/train: expected 0 or more, got -1"):
        generate("cola", "train", n=-1, seed=0)
