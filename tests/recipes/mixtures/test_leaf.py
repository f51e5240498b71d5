"""A leaf's examples: templates in turn, forms, objectives, and rows that are left out."""

from collections.abc import Callable

import pytest

from ramekin.catalog import load_task
from ramekin.errors import DataError
from ramekin.recipes.mixtures.leaf import Counts, LeafReader, Teaching
from ramekin.recipes.places import Places
from ramekin.text.example import Example
from ramekin.text.mixing.form import PromptForm
from ramekin.text.mixing.mixture import Leaf, Templates

DIRECT = Teaching()
Read = Callable[..., tuple[list[Example], Counts]]


@pytest.fixture
def read(places: Places) -> Read:
    def read(
        leaf: Leaf, epoch: int = 0, *, seed: int = 0, teaching: Teaching = DIRECT, longest: int = 64
    ) -> tuple[list[Example], Counts]:
        reader = LeafReader(
            load_task(leaf.task, tasks_root=places.tasks_root),
            split=leaf.split,
            limit=leaf.limit_examples,
            places=places,
            seed=seed,
            teaching=teaching,
            max_input_tokens=longest,
            count_tokens=lambda text: len(text.split()),
        )
        counts = Counts()
        return list(reader.examples(leaf, epoch, counts)), counts

    return read


def names(examples: list[Example]) -> list[str]:
    return [example.provenance.template for example in examples]


def test_templates_take_turns_over_rows_and_epochs(read: Read) -> None:
    epochs = [read(Leaf("own/dry"), epoch)[0] for epoch in range(3)]
    assert names(epochs[0]) == ["ask", "say", "write", "ask"]
    assert names(epochs[1]) == ["say", "write", "ask", "say"]
    met = [{(e.provenance.row, e.provenance.template) for e in epoch} for epoch in epochs]
    assert len(set.union(*met)) == 4 * 3, "in as many epochs as templates a row meets each once"


def test_a_leaf_can_have_some_templates_rows_and_another_split(read: Read) -> None:
    plain, _ = read(Leaf("own/wet", templates=Templates("plain")))
    assert set(names(plain)) == {"ask", "say"}
    few, _ = read(Leaf("own/wet", limit_examples=3))
    more, _ = read(Leaf("own/wet", limit_examples=6))
    rows = [[e.provenance.row for e in found] for found in (few, more)]
    assert len(rows[0]) == 3 and set(rows[0]) < set(rows[1])
    other, _ = read(Leaf("own/wet", split="validation"))
    assert {e.provenance.split for e in other} == {"validation"}


def test_exemplars_are_of_other_rows_and_drawn_by_the_seed(read: Read) -> None:
    leaf = Leaf("own/wet", PromptForm(shots=2), templates=Templates("first"))
    found, counts = read(leaf, longest=200)
    again, _ = read(leaf, longest=200)
    others, _ = read(leaf, seed=1, longest=200)
    later, _ = read(leaf, epoch=1, longest=200)
    assert found == again
    assert found != others and found != later
    assert all(e.inputs.count("Is it wet?") == 3 for e in found)
    assert counts.pruned_exemplars == 0
    _, short = read(leaf, longest=16)
    assert short.pruned_exemplars > 0


def test_rows_without_reasoning_are_left_out_where_it_is_shown(read: Read) -> None:
    found, counts = read(Leaf("own/dry", PromptForm(cot="rationale"), templates=Templates("plain")))
    assert [e.provenance.row for e in found] == [0, 2]
    assert all("because of" in e.targets for e in found)
    assert counts.left_out == 2


def test_flipped_examples_have_inputs_under_a_wrong_label(read: Read) -> None:
    leaf = Leaf("own/wet")
    found, counts = read(leaf, teaching=Teaching("flipped", wrong_inputs=True))
    assert found and all(e.wrong_inputs and e.wrong_inputs != e.inputs for e in found)
    assert {e.answer for e in found} <= {"no", "yes"}
    assert counts.left_out == 10 - len(found) == names(read(leaf)[0]).count("write"), "nothing to flip"
    alone, _ = read(leaf, teaching=Teaching("flipped"))
    assert all(not e.wrong_inputs for e in alone)


def test_channel_examples_are_turned_round(read: Read) -> None:
    direct, _ = read(Leaf("own/wet"))
    turned, _ = read(Leaf("own/wet"), teaching=Teaching("channel"))
    assert [(e.inputs, e.targets) for e in turned] == [(e.targets, e.inputs) for e in direct]


def test_other_words_stand_in_prompt_and_target_and_are_drawn_anew_each_epoch(read: Read) -> None:
    sets = ({"yes": "agree", "no": "disagree"}, {"yes": "right", "no": "wrong"})
    form = PromptForm(words=tuple(tuple(each.items()) for each in sets))
    leaf = Leaf("own/wet", form, templates=Templates("plain"))
    (first, _), (later, _), (plain, _) = (
        read(leaf),
        read(leaf, 2),
        read(Leaf("own/wet", templates=leaf.templates)),
    )
    met = set()
    for example, own in zip(first, plain, strict=True):
        words = next(each for each in sets if example.targets in each.values())
        assert example.targets == words[own.targets] and example.options == tuple(
            words[o] for o in own.options
        )
        shown = example.provenance.template == "ask"
        assert all((f"- {option}" in example.inputs) == shown for option in example.options)
        met.add(example.options)
    assert len(met) == 2
    assert [e.options for e in first] != [e.options for e in later]


def test_exemplars_have_the_words_of_their_question(read: Read) -> None:
    form = PromptForm(shots=2, words=((("yes", "agree"), ("no", "disagree")), ()))
    found, _ = read(Leaf("own/wet", form, templates=Templates("first")), longest=200)
    seen = {("agree" in each.inputs, " yes" in each.inputs) for each in found}
    assert seen == {(True, False), (False, True)}


def test_a_bad_row_is_named(read: Read, places: Places) -> None:
    assert places.data_root is not None
    path = places.data_root / "own" / "dry" / "train.jsonl"
    path.write_text(path.read_text().replace('"label": 1', '"label": 7', 1))
    with pytest.raises(DataError, match="own/dry"):
        read(Leaf("own/dry"))
