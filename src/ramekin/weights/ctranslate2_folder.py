"""The folder of a CTranslate2 model: what is in it, and whether it may be opened.

    model.bin  config.json  shared_vocabulary.json  tokenizer files  ramekin.json

`ramekin export` makes it, with a self-test in its lineage. A folder without one was made by other tools; it
is opened only where that is asked for, as CTranslate2's own converter writes T5 1.1, Flan-T5 and T0 wrong.
The library is not needed here.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, final

from ramekin.errors import WeightsError
from ramekin.files import sha256_file
from ramekin.weights.beside import has_tokenizer
from ramekin.weights.config import CONFIG
from ramekin.weights.ctranslate2_file import ModelFile, read_model_file
from ramekin.weights.layout import TRANSLATOR, VOCABULARY, is_translator, read_json
from ramekin.weights.lineage import Manifest
from ramekin.weights.verify import check_digest, check_files

__all__ = ["EXPORT", "Quantization", "TranslatorFolder", "check_translator", "read_vocabulary"]

Quantization: TypeAlias = Literal["float32", "bfloat16", "int8", "int8_bfloat16"]
"""How a model's matrices are held: as they are, rounded to bf16, or as int8 by rows with a scale each. What
is not a matrix is in fp32, but for the two with `bfloat16` in their names."""

EXPORT: Final = "export"
"""The operation in the lineage of what `ramekin export` makes."""

_KEYS = {
    "add_source_bos",
    "add_source_eos",
    "bos_token",
    "decoder_start_token",
    "eos_token",
    "layer_norm_epsilon",
    "multi_query_attention",
    "unk_token",
}
_BIAS: Final = "encoder/layer_0/self_attention/relative_attention_bias"
"""(buckets, heads)."""
_MAX_VOCABULARY_BYTES = 256_000_000
_AGAIN = "export the checkpoint again: ramekin export model=M output=DIR"


@final
@dataclass(frozen=True, slots=True)
class TranslatorFolder:
    """A folder that may be opened."""

    folder: Path
    vocabulary: tuple[str, ...]
    """The names of the tokens, by id."""
    start_id: int
    """What the decoder begins with."""
    heads: int
    """Of the encoder's attention."""
    is_int8: bool
    """Whether matrices are held as int8."""
    manifest: Manifest | None
    """None: made by other tools, and never compared with the model it was made from."""

    @property
    def self_test(self) -> Mapping[str, Any] | None:
        """What the self-test found when the folder was made; None: there was none."""
        if self.manifest is None:
            return None
        found: Mapping[str, Any] | None = self.manifest.lineage.settings.get("self_test")
        return found


def check_translator(folder: Path, *, allow_untested: bool = False, verify: bool = True) -> TranslatorFolder:
    """Check a CTranslate2 folder before the library sees it.

    Args:
        folder: the model.
        allow_untested: also take one that has no self-test, as others made it.
        verify: compare the files' sha256 with the manifest.

    Raises:
        WeightsError: it is no such folder, a file is missing, damaged, foreign or asks for what it should
            not, the tokenizer is not the model's, or the folder was never self-tested.
    """
    folder = Path(folder)
    if not is_translator(folder):
        raise _no_translator(folder)
    manifest = check_files(folder)
    found = read_model_file(folder / TRANSLATOR)
    vocabulary = read_vocabulary(folder)
    config = _read_config(folder, vocabulary)
    _check_sizes(folder, found, vocabulary)
    if not has_tokenizer(folder):
        raise WeightsError(
            "the folder of the CTranslate2 model has no tokenizer",
            where=str(folder),
            expected="tokenizer.json or spiece.model",
            fix="copy the tokenizer files of the checkpoint there",
        )
    if manifest is not None and verify:
        for name in manifest.files:
            check_digest(folder, name, sha256_file(folder / name), manifest)
    start = str(config["decoder_start_token"])
    bias = found.shape(_BIAS)
    heads = bias[1] if bias is not None and len(bias) == 2 else 1
    is_int8 = any(each.dtype == "int8" and len(each.shape) == 2 for each in found.variables.values())
    checked = TranslatorFolder(folder, vocabulary, vocabulary.index(start), heads, is_int8, manifest)
    if checked.self_test is None and not allow_untested:
        raise WeightsError(
            "nobody has compared this CTranslate2 model with the one it was made from",
            where=str(folder),
            expected="a folder that ramekin export made and tested",
            fix=f"{_AGAIN}; or open it as it is with untested=allow",
            kind="untested",
        )
    return checked


def read_vocabulary(folder: Path) -> tuple[str, ...]:
    """The names of a model's tokens.

    Raises:
        WeightsError: the file is missing, too long, or no list of strings.
    """
    path = folder / VOCABULARY
    try:
        if path.stat().st_size > _MAX_VOCABULARY_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes")
        names = json.loads(path.read_bytes())
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(type(names).__name__)
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(
            "cannot read the vocabulary of the CTranslate2 model",
            where=str(path),
            expected="a JSON list of strings",
            got=str(error)[:80],
            fix=_AGAIN,
        ) from error
    return tuple(names)


def _read_config(folder: Path, vocabulary: Sequence[str]) -> dict[str, object]:
    path = folder / CONFIG
    config = read_json(path)
    unknown = sorted(config.keys() - _KEYS)
    if unknown:
        raise WeightsError(
            "the configuration of the CTranslate2 model asks for what is not known",
            where=f"{path}#{unknown[0][:60]}",
            expected=f"of {', '.join(sorted(_KEYS))}",
            fix=_AGAIN,
            kind="configuration-value",
        )
    words = ("bos_token", "decoder_start_token", "eos_token", "unk_token")
    wrong = [key for key in words if config.get(key) not in vocabulary]
    wrong += [key for key in ("add_source_bos", "add_source_eos") if config.get(key) not in (None, False)]
    wrong += [key for key in ("multi_query_attention",) if config.get(key) not in (None, False)]
    epsilon = config.get("layer_norm_epsilon")
    if epsilon is not None and (isinstance(epsilon, bool) or not isinstance(epsilon, int | float)):
        wrong.append("layer_norm_epsilon")
    if wrong:
        raise WeightsError(
            "a value of the configuration cannot be",
            where=f"{path}#{wrong[0]}",
            got=repr(config.get(wrong[0]))[:60],
            fix=_AGAIN,
            kind="configuration-value",
        )
    return config


def _check_sizes(folder: Path, found: ModelFile, vocabulary: Sequence[str]) -> None:
    """The vocabulary against the embedding and the head, and T5's own fault of other converters."""
    path = folder / TRANSLATOR
    names = ("encoder/embeddings_0/weight", "decoder/embeddings/weight", "decoder/projection/weight")
    for name in names:
        shape = found.shape(name)
        if shape is None or len(shape) != 2 or shape[0] != len(vocabulary):
            raise WeightsError(
                "the vocabulary is not the model's",
                where=f"{path}#{name}",
                expected=f"{len(vocabulary)} rows",
                got="none" if shape is None else str(list(shape)),
                fix=_AGAIN,
            )
    if "decoder/scale_outputs" in found.variables and "decoder/projection/weight" in found.variables:
        raise WeightsError(
            "this model was converted wrong: its outputs are scaled as if its head were its embedding, and "
            "beam search, sampling and log-probabilities are off",
            where=f"{path}#decoder/scale_outputs",
            expected="a head that is the embedding, or no scale",
            fix=_AGAIN,
            kind="scaled-head",
        )


def _no_translator(folder: Path) -> WeightsError:
    if not folder.is_dir():
        return WeightsError("there is no such folder", where=str(folder), kind="no-folder")
    return WeightsError(
        "this is no folder of a CTranslate2 model",
        where=str(folder),
        expected=f"{TRANSLATOR} and {VOCABULARY}",
        fix=f"ramekin export model={folder} output=DIR",
        kind="no-weights",
    )
