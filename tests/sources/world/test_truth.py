"""Every label is derived again from the words alone, by a reader that shares nothing with the generator."""

import importlib.util
import re
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramekin.sources.world import generate
from ramekin.sources.world.rows import SPLITS


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reading = _load("reading")
N = 1500


@pytest.mark.parametrize("split", SPLITS)
def test_mnli(split: str) -> None:
    names = ("entailment", "neutral", "contradiction")
    for row in generate("mnli", split, n=N, seed=0):
        assert reading.verdict(row["premise"], row["hypothesis"]) == names[int(str(row["label"]))], row


@pytest.mark.parametrize("split", SPLITS)
def test_rte(split: str) -> None:
    for row in generate("rte", split, n=N, seed=0):
        entailed = reading.verdict(row["sentence1"], row["sentence2"]) == "entailment"
        assert entailed == (row["label"] == 0), row


@settings(max_examples=25)
@given(st.integers(0, 2**31))
def test_entailment_for_any_seed(seed: int) -> None:
    for row in generate("rte", "train", n=20, seed=seed):
        entailed = reading.verdict(row["sentence1"], row["sentence2"]) == "entailment"
        assert entailed == (row["label"] == 0), row


@pytest.mark.parametrize("split", SPLITS)
def test_mrpc(split: str) -> None:
    for row in generate("mrpc", split, n=N, seed=0):
        same = reading.meaning(row["sentence1"]) == reading.meaning(row["sentence2"])
        assert same == (row["label"] == 1), row


@pytest.mark.parametrize("split", SPLITS)
def test_qqp(split: str) -> None:
    for row in generate("qqp", split, n=N, seed=0):
        same = reading.question(row["question1"]) == reading.question(row["question2"])
        assert same == (row["label"] == 1), row


@pytest.mark.parametrize("split", SPLITS)
def test_qnli(split: str) -> None:
    for row in generate("qnli", split, n=N, seed=0):
        assert reading.answered(reading.question(row["question"]), row["sentence"]) == (row["label"] == 0), (
            row
        )


@pytest.mark.parametrize("split", SPLITS)
def test_stsb(split: str) -> None:
    for row in generate("stsb", split, n=N, seed=0):
        assert reading.similarity(row["sentence1"], row["sentence2"]) == row["label"], row


@pytest.mark.parametrize("split", SPLITS)
def test_boolq(split: str) -> None:
    for row in generate("boolq", split, n=N, seed=0):
        assert reading.said(row["passage"], row["question"]) == (row["label"] == 1), row


@pytest.mark.parametrize("split", SPLITS)
def test_multirc(split: str) -> None:
    for row in generate("multirc", split, n=N, seed=0):
        right = reading.told(row["paragraph"], reading.question(row["question"]))
        assert right and (row["answer"] in right) == (row["label"] == 1), row


@pytest.mark.parametrize("split", SPLITS)
def test_squad(split: str) -> None:
    asked = Counter()
    for row in generate("squad", split, n=N, seed=0):
        (text,), (start,) = row["answers"]["text"], row["answers"]["answer_start"]
        question = reading.question(row["question"])
        assert reading.told(row["context"], question) == {text}, row
        before = row["context"][:start]
        sentence = reading.sentences(row["context"])[before.count(" . ")]
        assert row["context"][start:].startswith(text) and reading.answered(question, sentence), row
        asked[question[0]] += 1
    assert len(asked) == 7 and max(asked.values()) - min(asked.values()) <= 1


PAPER = re.compile(
    r"(?:we study the|this paper is about the|we ask what is known of the|little was known of the|many have asked about the"
    r"|earlier work has told little of the) (\w+)(?: before this paper)?"
    r"|we close with what is not known|our paper ends with open questions|we hope that others ask about it"
)


def claims(text: str) -> list[str]:
    """What a paper says of the world: its sentences without what any paper says, and without who says so."""
    told = [each for each in reading.sentences(text) if not PAPER.fullmatch(each)]
    return [each.partition(" that ")[2] for each in told]


@pytest.mark.parametrize("split", SPLITS)
def test_papers(split: str) -> None:
    asked, places = Counter(), Counter()
    for row in generate("papers", split, n=N, seed=0):
        question = reading.question(row["question"])
        parts = [claims(row["abstract"]), claims(row["introduction"])]
        assert all(parts) and {
            answer for part in parts for claim in part for answer in reading.told(f"{claim} .", question)
        } == {row["answer"]}, row
        telling = [[claim for claim in part if reading.answered(question, claim)] for part in parts]
        assert all(row["answer"] in claim for part in telling for claim in part), row
        assert not set(telling[0]) & set(telling[1]), "what stands in both stands in other words"
        for one in (told := [*parts[0], *parts[1]]):
            assert all(reading.verdict(one, other) != "contradiction" for other in told), row
        asked[question[0]] += 1
        places[tuple(bool(each) for each in telling)] += 1
    assert len(asked) == 7 and max(asked.values()) - min(asked.values()) <= 1
    assert min(places.values()) > 0.15 * N and (False, False) not in places


@pytest.mark.parametrize("task", ["boolq", "multirc", "squad"])
def test_a_passage_does_not_contradict_itself(task: str) -> None:
    column = {"boolq": "passage", "multirc": "paragraph", "squad": "context"}[task]
    for row in generate(task, "train", n=N, seed=1):
        told = reading.sentences(row[column])
        facts = [reading.meaning(each) for each in told]
        assert len(set(facts)) == len(facts), row
        alone = [
            fact[:2] if reading.kind(each) == "numbers" else fact[1]
            for fact, each in zip(facts, told, strict=True)
            if reading.kind(each) != "happenings"
        ]
        assert len(set(alone)) == len(alone), "two comparisons or two bounds can tell a third"
        for one in told:
            assert all(reading.verdict(one, other) != "contradiction" for other in told if other != one), row


GOOD = ["good", "great", "lovely", "clever", "moving", "fresh"]
DENIED = r"not|never|hardly|anything but|far from"


def _tone(clause: str) -> tuple[int, bool]:
    """(+1 or -1, whether it is said faintly)."""
    sign = 1 if clause.split()[-1] in GOOD else -1
    denied = re.search(rf"\b({DENIED})\b", clause) is not None
    return (-sign if denied else sign), re.search(r"\b(a bit|slightly|somewhat)\b", clause) is not None


def _sentiment(line: str) -> int:
    if " but the " in line:  # 'anything but' is no contrast
        return _tone(line.split(" but the ")[1])[0]
    if line.startswith("although"):
        return _tone(line.rsplit(" the ", 1)[1])[0]
    if " although " in line:
        return _tone(line.split(" although ")[0])[0]
    clauses = [_tone(clause) for clause in line.split(" and ")]
    return next((sign for sign, faint in clauses if not faint), clauses[0][0])


def test_sst2() -> None:
    for row in generate("sst2", "train", n=N, seed=0):
        assert (_sentiment(str(row["sentence"])) == 1) == (row["label"] == 1), row


NOUN = "(?:" + "|".join(name for group in reading.KINDS.values() for name in group.split()) + ")"
OBJECT_VERBS = (
    "helped assisted chased pursued greeted welcomed pushed shoved watched observed carried hauled "
    "scared frightened called phoned"
)
PAST = "(?:" + "|".join(OBJECT_VERBS.split()) + ")"
ACCEPTABLE = [
    rf"the {NOUN}(?: (?:near|behind) the {NOUN}s?)? was (?:sleeping|waiting|tired|hungry)",
    rf"the {NOUN}s(?: (?:near|behind) the {NOUN}s?)? were (?:sleeping|waiting|tired|hungry)",
    rf"the {NOUN} has (?:two|three|four|five|six|seven|eight|nine) (?:coins|books|apples|lamps)",
    rf"the {NOUN}s have (?:two|three|four|five|six|seven|eight|nine) (?:coins|books|apples|lamps)",
    rf"the {NOUN} {PAST} the {NOUN} in the \w+",
    rf"the {NOUN} (?:slept|waited|smiled|arrived) in the \w+",
    rf"the {NOUN} was {PAST} by the {NOUN}",
    rf"the {NOUN} is (?:taller|shorter|older|younger|faster|slower|stronger|weaker) than the {NOUN}",
]


def test_cola() -> None:
    for row in generate("cola", "train", n=N, seed=0):
        fine = any(re.fullmatch(pattern, str(row["sentence"])) for pattern in ACCEPTABLE)
        assert fine == (row["label"] == 1), row
