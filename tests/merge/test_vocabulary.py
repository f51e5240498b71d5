import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import WeightsError
from ramekin.merge.vocabulary import check_tokenizers, tokenizer_size


def _number(value: int) -> bytes:
    """A whole number as protocol buffers have it, by the book: seven bits a byte, the lowest first."""
    digits = []
    while True:
        digits.append(value % 128)
        value //= 128
        if not value:
            return bytes([*(digit + 128 for digit in digits[:-1]), digits[-1]])


def _spiece(pieces: list[str], *others: bytes) -> bytes:
    """SentencePiece's model: pieces in field 1, each with text and score; then other fields."""
    data = b""
    for piece in pieces:
        text = piece.encode()
        entry = b"\x0a" + _number(len(text)) + text + b"\x15\x00\x00\x80\xbf"
        data += b"\x0a" + _number(len(entry)) + entry
    return data + b"".join(others)


OTHERS = (b"\x12\x03abc", b"\x18\x96\x01", b"\x25\x00\x00\x00\x00", b"\x29" + bytes(8))


@given(st.lists(st.text(max_size=200), min_size=1, max_size=40), st.sets(st.sampled_from(OTHERS)))
def test_pieces_are_counted(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str], others: set[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("t")
    (folder / "spiece.model").write_bytes(_spiece(pieces, *others))
    assert tokenizer_size(folder) == ("spiece.model", len(pieces))
    (folder / "tokenizer_config.json").write_text(json.dumps({"extra_ids": 100}))
    assert tokenizer_size(folder) == ("spiece.model", len(pieces) + 100)


@pytest.mark.parametrize("data", [b"", b"\x0a\x05ab", b"\xff" * 30, b"\x0b\x01", b"\x80"])
def test_what_is_no_model_of_sentencepiece_has_no_size(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "spiece.model").write_bytes(data)
    assert tokenizer_size(tmp_path) is None


def test_a_model_that_sentencepiece_made(tmp_path: Path) -> None:
    import io

    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a small flan in a ramekin"] * 20), model_writer=model, vocab_size=14,
        minloglevel=2,
    )  # fmt: skip
    (tmp_path / "spiece.model").write_bytes(model.getvalue())
    assert tokenizer_size(tmp_path) == ("spiece.model", 14)


@pytest.mark.parametrize(
    ("document", "size"),
    [
        ({"model": {"vocab": [["a", -1.0], ["b", -2.0]]}, "added_tokens": [{"id": 7, "content": "<x>"}]}, 8),
        ({"model": {"vocab": [["a", -1.0], ["b", -2.0]]}, "added_tokens": [{"id": 0, "content": "a"}]}, 2),
        ({"model": {"vocab": {"a": 3, "b": 1}}}, 4),
        ({"model": {"vocab": []}, "added_tokens": []}, 0),
        ({}, None),
        ({"model": 3, "added_tokens": 4}, None),
    ],
)
def test_the_ids_of_a_tokenizer_json(tmp_path: Path, document: object, size: int | None) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    assert tokenizer_size(tmp_path) == (None if size is None else ("tokenizer.json", size))


def test_no_tokenizer_and_a_damaged_one(tmp_path: Path) -> None:
    assert tokenizer_size(tmp_path) is None
    assert not [*check_tokenizers(("a", tmp_path), ("b", tmp_path))]
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(WeightsError, match="not JSON"):
        tokenizer_size(tmp_path)


def test_it_is_the_size_that_the_library_tells(tokenizer_folder: Path) -> None:
    from ramekin.tensors.tokenizer import load_tokenizer

    found = tokenizer_size(tokenizer_folder)
    assert found is not None and found[1] == len(load_tokenizer(tokenizer_folder))
