"""A model as a CTranslate2 folder: written, compared with the model it was made from, and only then in place.

A quantised model is tested twice: once in fp32, where both must agree to rounding, so that no fault of the
conversion can pass as a loss through quantisation; and then as it is. Knows nothing of names or of the
command line.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ramekin.errors import WeightsError
from ramekin.files import atomic_directory, sha256_file
from ramekin.infer.ctranslate_check import LOSS, SelfTest, self_test
from ramekin.tensors.tokenizer import load_tokenizer
from ramekin.weights.beside import copy_tokenizer
from ramekin.weights.ctranslate2_folder import EXPORT, Quantization
from ramekin.weights.ctranslate2_library import load_library, open_translator
from ramekin.weights.ctranslate2_spec import refuse_unfit, translator_spec, vocabulary_of, write_spec
from ramekin.weights.layout import TRANSLATOR
from ramekin.weights.lineage import Lineage, Parent, current_versions, write_manifest
from ramekin.weights.seq2seq import config_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["Exported", "export_model"]


@final
@dataclass(frozen=True, slots=True)
class Exported:
    """A model that was exported."""

    output: Path
    quantization: Quantization
    size: int
    """Bytes of `model.bin`."""
    sha256: str
    """Of `model.bin`."""
    exact: SelfTest
    """The comparison in fp32."""
    quantised: SelfTest | None
    """That of the quantised model, if it is."""

    @property
    def self_test(self) -> SelfTest:
        """That of the model as it is."""
        return self.quantised or self.exact


def export_model(
    model: "PreTrainedModel",
    output: Path,
    *,
    tokenizer_folder: Path,
    quantization: Quantization = "float32",
    parents: "Sequence[Parent]" = (),
    base: str | None = None,
    threads: int = 0,
    seed: int = 0,
    max_loss: float = LOSS,
    overwrite: bool = False,
) -> Exported:
    """Write a model as a CTranslate2 folder, atomically, if it computes what the model does.

    Args:
        model: a plain model in fp32, on the CPU.
        output: the folder to make.
        tokenizer_folder: where the tokenizer's files are copied from.
        quantization: how matrices are held.
        parents: what the model was made from, for the lineage.
        base: the base of an adapter, for the lineage.
        threads: of CTranslate2 in the self-test; 0: its own choice.
        seed: of the self-test's inputs.
        max_loss: how far a quantised model's log-probabilities may be off on average, in nats.
        overwrite: replace an existing folder.

    Raises:
        UsageError: CTranslate2 is not installed, or the output exists.
        WeightsError: CTranslate2 cannot represent the model, or computes something else; nothing is left.
        ResourceError: the disk is full or the place cannot be written.
    """
    library = load_library()
    refuse_unfit(config_of(model))
    tokenizer = load_tokenizer(tokenizer_folder)
    vocabulary = vocabulary_of(tokenizer, int(model.config.vocab_size))
    is_exact = quantization == "float32"
    with atomic_directory(Path(output), overwrite=overwrite) as folder:
        whole = folder if is_exact else folder / "float32"
        whole.mkdir(exist_ok=True)
        settings = {"threads": threads, "seed": seed, "max_loss": max_loss}
        exact = _written(model, whole, "float32", vocabulary, tokenizer, settings)
        quantised = None
        if not is_exact:
            shutil.rmtree(whole)
            quantised = _written(model, folder, quantization, vocabulary, tokenizer, settings)
        copy_tokenizer(Path(tokenizer_folder), folder)
        sha256 = sha256_file(folder / TRANSLATOR)
        exported = Exported(
            Path(output), quantization, (folder / TRANSLATOR).stat().st_size, sha256, exact, quantised
        )
        lineage = Lineage(
            kind="export",
            operation=EXPORT,
            base=base,
            parents=tuple(parents),
            settings={
                "format": "ctranslate2",
                "quantization": quantization,
                "max_loss": None if is_exact else max_loss,
                "self_test": exported.self_test.to_json(),
                "self_test_in_float32": exact.to_json(),
            },
            seed=seed,
            versions={**current_versions(), "ctranslate2": library.__version__},
        )
        write_manifest(folder, lineage, known_sha256={TRANSLATOR: sha256})
    return exported


def _written(
    model: "PreTrainedModel",
    folder: Path,
    quantization: Quantization,
    vocabulary: "Sequence[str]",
    tokenizer: "PreTrainedTokenizerFast",
    settings: "Mapping[str, Any]",
) -> SelfTest:
    """Write the model's files into a folder, and compare what CTranslate2 computes from them with it."""
    write_spec(translator_spec(model, vocabulary), folder, quantization)
    translator = open_translator(folder, threads=settings["threads"])
    try:
        return self_test(
            model,
            translator,
            vocabulary,
            tokenizer,
            is_exact=quantization == "float32",
            seed=settings["seed"],
            max_loss=settings["max_loss"],
        )
    except WeightsError as error:
        # Its frames would hold the translator, which aborts the process if it is still there at the end.
        raise error.with_traceback(None) from None
    finally:
        del translator
