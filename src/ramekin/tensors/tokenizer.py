"""T5 tokenizers: the one place that loads, trains and saves them.

A T5 vocabulary has `<pad>` 0, `</s>` 1, `<unk>` 2 and ends with the sentinels `<extra_id_n>` counting
down. Whitespace of any kind collapses to one space, and `<unk>` disappears when text is decoded: ask
`has_unknown` before trusting a decoded answer. This module knows nothing of examples or models.
"""

import io
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ramekin import files
from ramekin.errors import DataError, UsageError, WeightsError
from ramekin.tensors.sentencepiece_model import SentencePieceModel, parse_sentencepiece

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

__all__ = [
    "EOS_ID",
    "PAD_ID",
    "TOKENIZER_FILES",
    "UNK_ID",
    "decode",
    "distinct_ids",
    "has_unknown",
    "load_tokenizer",
    "save_tokenizer",
    "token_ids",
    "token_offsets",
    "train_tokenizer",
    "vocabulary_file",
]

PAD_ID, EOS_ID, UNK_ID = 0, 1, 2
_SPECIALS = ("<pad>", "</s>", "<unk>")
_VANISHING = re.compile("[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]")
"""What T5's normaliser removes."""
_AT_ONCE = 512
"""Texts that the library encodes together: what it makes of a token is ten times the size of its id."""
_ONE_OBJECT: Final[dict[int, int]] = {}
"""Each id that was met: equal ids are one object, so that a token takes 8 bytes instead of 40."""
TOKENIZER_FILES = ("tokenizer.json", "spiece.model", "tokenizer_config.json", "special_tokens_map.json")
"""The files of a checkpoint folder that belong to its tokenizer."""


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerFast":
    """The tokenizer of a checkpoint folder, from `tokenizer.json` or else `spiece.model`.

    Truncation and padding that were saved inside the file are dropped: lengths are ours to count.
    Nothing is fetched, nothing printed.

    Raises:
        WeightsError: no tokenizer there, a damaged one, or one whose special tokens are not T5's.
    """
    folder = Path(folder)
    path = vocabulary_file(folder)
    if path.suffix == ".json":
        return _wrap(_from_json(path), path)
    return _wrap(_assemble(_from_sentencepiece(path), num_sentinels=100), path)


def vocabulary_file(folder: Path) -> Path:
    """The file that makes a folder's vocabulary: `tokenizer.json`, or else `spiece.model`.

    Raises:
        WeightsError: neither is there.
    """
    for name in ("tokenizer.json", "spiece.model"):
        if (folder / name).is_file():
            return folder / name
    raise WeightsError(
        "no tokenizer in the folder",
        where=str(folder),
        expected="tokenizer.json or spiece.model",
        got="neither" if folder.is_dir() else "no such folder",
        fix="copy the tokenizer files of the base checkpoint there",
    )


def train_tokenizer(
    texts: Iterable[str], *, vocab_size: int, num_sentinels: int = 16
) -> "PreTrainedTokenizerFast":
    """Train a T5-like vocabulary: unigram (Kudo 2018, arXiv 1804.10959), NFKC, Metaspace, sentinels last.

    The SentencePiece trainer is used, on one thread: the trainer of the `tokenizers` library gives
    another vocabulary in every process, for the same texts.

    Args:
        texts: the corpus, a sentence each; the order matters to the result.
        vocab_size: all pieces together, specials and sentinels included. A small corpus may give fewer.
        num_sentinels: how many `<extra_id_n>`.

    Raises:
        UsageError: `vocab_size` has no room for the characters of the texts.
        DataError: the texts are empty.
    """
    import sentencepiece

    pieces = vocab_size - num_sentinels
    output = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(_lines(texts)),
            model_writer=output,
            model_type="unigram",
            vocab_size=pieces,
            pad_id=PAD_ID,
            eos_id=EOS_ID,
            unk_id=UNK_ID,
            bos_id=-1,
            pad_piece="<pad>",
            eos_piece="</s>",
            unk_piece="<unk>",
            normalization_rule_name="nmt_nfkc",
            character_coverage=1.0,
            hard_vocab_limit=False,
            num_threads=1,
            minloglevel=3,
        )
    except (RuntimeError, OSError) as error:
        raise UsageError(
            "the vocabulary cannot be trained",
            where=f"vocab_size={vocab_size}, num_sentinels={num_sentinels}",
            got=" ".join(str(error).split()),
            fix="ask for a vocab_size above the number of distinct characters",
        ) from error
    tokenizer = _assemble(parse_sentencepiece(output.getvalue()), num_sentinels=num_sentinels)
    return _wrap(tokenizer, Path("<trained>"))


def save_tokenizer(tokenizer: "PreTrainedTokenizerFast", folder: Path) -> None:
    """Write `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json` into a folder.

    Equal tokenizers give equal bytes.
    """
    backend: Tokenizer = tokenizer.backend_tokenizer
    sentinels = _sentinels(backend)
    names = dict(zip(("pad_token", "eos_token", "unk_token"), _SPECIALS, strict=True))
    files.write_text(Path(folder) / "tokenizer.json", backend.to_str(pretty=False))
    files.write_json(
        Path(folder) / "tokenizer_config.json",
        {
            "tokenizer_class": "T5Tokenizer" if _is_t5(backend) else "PreTrainedTokenizerFast",
            **names,
            "extra_ids": len(sentinels),
            "additional_special_tokens": sentinels,
            "clean_up_tokenization_spaces": False,
        },
    )
    files.write_json(
        Path(folder) / "special_tokens_map.json", {**names, "additional_special_tokens": sentinels}
    )


def token_ids(tokenizer: "PreTrainedTokenizerFast", texts: Sequence[str]) -> list[list[int]]:
    """The ids of each text, without `</s>`, whole: never truncated or padded."""
    backend = tokenizer.backend_tokenizer
    # A call of the tokenizer with padding or truncation leaves them switched on in the backend.
    backend.no_padding()
    backend.no_truncation()
    found: list[list[int]] = []
    for start in range(0, len(texts), _AT_ONCE):
        part = backend.encode_batch_fast(list(texts[start : start + _AT_ONCE]), add_special_tokens=False)
        found += [list(map(_ONE_OBJECT.setdefault, ids, ids)) for ids in (each.ids for each in part)]
    return found


def token_offsets(tokenizer: "PreTrainedTokenizerFast", text: str) -> list[tuple[int, int]]:
    """Which characters each of a text's tokens was made from, from and up to; tokens as `token_ids` has them.

    Tokens that the normaliser makes of one character ("½" is three) have the same place, and a mark that it
    joins to a letter may be left out. The space before a word may be its first token's or nobody's.
    """
    backend = tokenizer.backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    found = backend.encode(text, add_special_tokens=False)
    offsets: list[tuple[int, int]] = found.offsets
    if _VANISHING.search(text) is None:
        return offsets
    # Behind characters that the normaliser removes at a text's beginning, the library's places are too low.
    places = [place for place, character in enumerate(text) if not _VANISHING.match(character)]
    without = backend.encode("".join(map(text.__getitem__, places)), add_special_tokens=False)
    if without.ids != found.ids:
        return offsets
    places.append(len(text))
    return [
        (places[start], places[end - 1] + 1 if end > start else places[start])
        for start, end in without.offsets
    ]


def distinct_ids(tokenizer: "PreTrainedTokenizerFast", texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """The ids of each distinct text, as `token_ids` has them."""
    distinct = list(dict.fromkeys(texts))
    return dict(zip(distinct, map(tuple, token_ids(tokenizer, distinct)), strict=True))


def decode(tokenizer: "PreTrainedTokenizerFast", ids: Sequence[int]) -> str:
    """The text of ids without special tokens; `<unk>` counts as one and vanishes (see `has_unknown`)."""
    text: str = tokenizer.backend_tokenizer.decode(list(ids), skip_special_tokens=True)
    return text


def has_unknown(ids: Sequence[int]) -> bool:
    """Whether some of the text could not be represented, or was generated as `<unk>`."""
    return UNK_ID in ids


def _lines(texts: Iterable[str]) -> list[str]:
    lines = [line for text in texts if (line := " ".join(text.split()))]
    if not lines:
        raise DataError("there is no text to train a vocabulary on", expected="at least one word", got="none")
    return lines


def _from_json(path: Path) -> "Tokenizer":
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise _damaged(path, error) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if tokenizer.normalizer is None:
        raise WeightsError(
            "the tokenizer has no normaliser, so its ids differ from the model's training",
            where=str(path),
            expected="T5's NFKC normaliser",
            got="null",
            fix="put the base checkpoint's tokenizer.json or spiece.model there instead",
        )
    return tokenizer


def _from_sentencepiece(path: Path) -> SentencePieceModel:
    try:
        return parse_sentencepiece(path.read_bytes())
    except ValueError as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> WeightsError:
    return WeightsError(
        "the tokenizer file cannot be read",
        where=str(path),
        got=str(error).splitlines()[0] if str(error) else type(error).__name__,
        fix="copy it again from the base checkpoint",
    )


def _assemble(model: SentencePieceModel, *, num_sentinels: int) -> "Tokenizer":
    """T5's pipeline around a vocabulary, the same that transformers builds for `T5Tokenizer`."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    sentinels = [f"<extra_id_{n}>" for n in reversed(range(num_sentinels))]
    vocabulary = [*model.pieces, *((name, 0.0) for name in sentinels)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=UNK_ID, byte_fallback=False))
    tokenizer.normalizer = normalizers.Precompiled(model.charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=["$A", "</s>"], pair=["$A", "</s>", "$B", "</s>"], special_tokens=[("</s>", EOS_ID)]
    )
    specials = [AddedToken(name, normalized=False, special=True) for name in (*_SPECIALS, *sentinels)]
    tokenizer.add_special_tokens(specials)
    return tokenizer


def _wrap(tokenizer: "Tokenizer", path: Path) -> "PreTrainedTokenizerFast":
    from transformers import PreTrainedTokenizerFast

    found = tuple(tokenizer.id_to_token(n) for n in range(3))
    if found != _SPECIALS:
        raise WeightsError(
            "the tokenizer is not T5's",
            where=str(path),
            expected="<pad> 0, </s> 1, <unk> 2",
            got=", ".join(f"{name} {n}" for n, name in enumerate(found)),
            fix="use a T5 tokenizer, the one the model was trained with",
        )
    pad, eos, unk = _SPECIALS
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        eos_token=eos,
        unk_token=unk,
        extra_special_tokens=_sentinels(tokenizer),
        clean_up_tokenization_spaces=False,
    )


def _sentinels(tokenizer: "Tokenizer") -> list[str]:
    """`<extra_id_0>`, `<extra_id_1>`, … as far as the vocabulary has them."""
    names: list[str] = []
    while tokenizer.token_to_id(f"<extra_id_{len(names)}>") is not None:
        names.append(f"<extra_id_{len(names)}>")
    return names


def _is_t5(tokenizer: "Tokenizer") -> bool:
    """Whether transformers' T5Tokenizer, which keeps only a precompiled normaliser, rebuilds this one."""
    state = json.loads(tokenizer.to_str())
    kinds = json.dumps(state["normalizer"])
    return state["model"]["type"] == "Unigram" and '"Precompiled"' in kinds
