import asyncio
import random

import pytest

from ramekin.serve.vocabulary import Placed, Vocabulary
from ramekin.tensors.tokenizer import EOS_ID, PAD_ID, UNK_ID, decode, load_tokenizer, token_ids


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder):
    return load_tokenizer(tokenizer_folder)


@pytest.fixture(scope="module")
def vocabulary(tokenizer):
    return Vocabulary(tokenizer)


@pytest.mark.parametrize("seed", range(40))
def test_shown_tokens_together_are_the_decoded_text(tokenizer, vocabulary, seed):
    rng = random.Random(seed)
    ids = [rng.randrange(vocabulary.size) for _ in range(rng.randrange(1, 20))]
    placed = Placed(vocabulary)
    places = [placed.place(token) for token in ids]
    shown = [
        (piece, start)
        for token, (piece, start) in zip(ids, places, strict=True)
        if vocabulary.is_shown(token)
    ]
    text = decode(tokenizer, ids)
    assert "".join(piece for piece, _ in shown) == text
    assert all(text[start : start + len(piece)] == piece for piece, start in shown)


def test_special_tokens_have_names_and_no_room(vocabulary):
    placed = Placed(vocabulary)
    assert [placed.place(token) for token in (PAD_ID, EOS_ID, UNK_ID)] == [
        ("<pad>", 0),
        ("</s>", 0),
        ("<unk>", 0),
    ]
    assert vocabulary.piece(10**9) == "<1000000000>"
    assert not vocabulary.knows(10**9)


def test_it_never_writes_line_breaks(vocabulary):
    assert vocabulary.cannot_write("is\nit\twet\n") == "\n\t"
    assert vocabulary.cannot_write("is it wet") == ""


def test_texts_are_encoded_in_one_thread_while_the_loop_goes_on(tokenizer, vocabulary):
    async def many():
        return await asyncio.gather(*(vocabulary.ids([f"is it wet {n}"]) for n in range(50)))

    assert asyncio.run(many()) == [token_ids(tokenizer, [f"is it wet {n}"]) for n in range(50)]


def test_what_goes_wrong_in_its_thread_is_told(vocabulary):
    async def fail():
        await vocabulary.with_tokenizer(lambda _: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(fail())
