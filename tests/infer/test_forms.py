"""A form allows what can still become one of its texts, and nothing else."""

import itertools
import re
from pathlib import Path

import pytest
import torch

from ramekin.errors import DataError, UsageError
from ramekin.infer.forms import form_state
from ramekin.infer.request import Form
from ramekin.tensors.tokenizer import train_tokenizer
from ramekin.tensors.written import written_text


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["the cat sat, on 1 2 3 mats [a] x"] * 50, vocab_size=60, num_sentinels=2)


def begun(form, tokenizer):
    return form_state(form, tokenizer, vocab_size=len(tokenizer) + 2, eos_id=1, device=torch.device("cpu"))


def texts(state, tokenizer, *, depth, ids=()):
    """All texts that can be written in so many tokens."""
    for token in state.allowed().nonzero()[:, 0].tolist():
        if token == 1:
            yield written_text(tokenizer, ids)
        elif depth:
            yield from texts(state.after(token), tokenizer, depth=depth - 1, ids=(*ids, token))


def test_exactly_the_options_can_be_written(tokenizer):
    options = ("the cat", "the", "cat, 1")
    found = set(texts(begun(Form(options=options), tokenizer), tokenizer, depth=9))
    assert found == set(options)


def test_exactly_the_matches_can_be_written(tokenizer):
    pattern = r"(the|a) [12]"
    found = set(texts(begun(Form(regex=pattern), tokenizer), tokenizer, depth=7))
    assert found == {f"{word} {digit}" for word, digit in itertools.product(("the", "a"), "12")}
    assert all(re.fullmatch(pattern, text) for text in found)


def test_exactly_the_values_of_a_schema_can_be_written(tokenizer):
    found = set(texts(begun(Form(json_schema={"enum": [1, 23, [3]]}), tokenizer), tokenizer, depth=7))
    assert found == {"1", "23", "[3]"}


def test_an_output_has_one_form():
    with pytest.raises(UsageError, match="one form.*got 0"):
        Form()
    with pytest.raises(UsageError, match="one form.*got 2"):
        Form(options=("a",), regex="b")


def test_what_the_vocabulary_lacks_is_refused(tokenizer):
    with pytest.raises(DataError, match=r"an option cannot be written: '~'"):
        begun(Form(options=("a", "~")), tokenizer)
    with pytest.raises(DataError, match=r"an option cannot be written: ' '.*got nothing"):
        begun(Form(options=(" ",)), tokenizer)


def test_with_t5s_own_vocabulary():
    folder = Path(__file__).parents[3] / "shared" / "tokenizer"
    if not folder.is_dir():
        pytest.skip("../shared/tokenizer is not there")
    from ramekin.tensors.tokenizer import load_tokenizer

    t5 = load_tokenizer(folder)
    state = form_state(
        Form(regex=r"[0-9]{4}-[0-9]{2}"), t5, vocab_size=32128, eos_id=1, device=torch.device("cpu")
    )
    ids = []
    generator = torch.Generator().manual_seed(0)
    while True:
        allowed = state.allowed().nonzero()[:, 0]
        token = int(allowed[torch.randint(len(allowed), (1,), generator=generator)])
        if token == 1:
            break
        ids.append(token)
        state = state.after(token)
    assert re.fullmatch(r"[0-9]{4}-[0-9]{2}", written_text(t5, ids))
    with pytest.raises(DataError, match=r"got '{.*' has to come, which no token writes"):
        form_state(
            Form(json_schema={"type": "object"}), t5, vocab_size=32128, eos_id=1, device=torch.device("cpu")
        ).after(3)
