"""The recipe behind `ramekin export`: a model by name, a CTranslate2 folder out, tested."""

import time
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from ramekin.files import refuse_existing
from ramekin.recipes.export_schema import ExportConfig
from ramekin.recipes.models import locate, locate_base, locate_config, locate_tokenizer, open_named
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import places_of, set_threads
from ramekin.recipes.progress import AbstractProgress, SilentProgress
from ramekin.weights.ctranslate2_folder import Quantization

if TYPE_CHECKING:
    from ramekin.infer.ctranslate_check import SelfTest
    from ramekin.weights.layout import Layout
    from ramekin.weights.lineage import Parent
    from ramekin.weights.opening import Opened

__all__ = ["execute", "plan"]


def plan(config: ExportConfig) -> Outcome:
    """What would be read and written, from the headers alone."""
    from ramekin.weights.config import read_config
    from ramekin.weights.ctranslate2_library import load_library
    from ramekin.weights.ctranslate2_spec import refuse_unfit
    from ramekin.weights.layout import open_layout

    library = load_library()
    places, silent = places_of(config), SilentProgress()
    output = _output(config)
    refuse_existing(output, overwrite=config.overwrite)
    folder = locate(config.model, places, silent)
    base = locate_base(folder, config.base, places, silent)
    whole = base or locate_config(config.model, places, silent, base=config.base)
    tokenizer = locate_tokenizer(config.model, places, silent, base=config.base)
    refuse_unfit(read_config(whole))
    layout = open_layout(whole)
    before = sum((whole / name).stat().st_size for name in layout.headers)
    after = _planned_bytes(layout, config.quantization)
    values = {
        "model": str(folder),
        "base": None if whole == folder else str(whole),
        "tokenizer": str(tokenizer),
        "output": str(output),
        "quantization": config.quantization,
        "ctranslate2": library.__version__,
        "bytes_before": before,
        "bytes_after": after,
    }
    lines = [
        f"export {config.model} for CTranslate2 {library.__version__}, {config.quantization}",
        f"  model   {folder}" + ("" if whole == folder else f", an adapter of {whole}"),
        f"  output  {output}",
        f"  weights {before / 1e6:,.1f} MB, then about {after / 1e6:,.1f} MB",
        "  then its log-probabilities are compared with torch's; a model that differs is not kept",
    ]
    return Outcome(values, "\n".join(lines))


def execute(config: ExportConfig, progress: AbstractProgress) -> Outcome:
    """Convert, compare, and put the folder in place."""
    from ramekin.infer.ctranslate_check import LOSS
    from ramekin.infer.export import export_model
    from ramekin.weights.ctranslate2_library import load_library
    from ramekin.weights.lineage import weight_files

    load_library()
    started = time.perf_counter()
    refuse_existing(_output(config), overwrite=config.overwrite)
    set_threads(config.threads)
    with progress.stage(f"exporting {config.model}", total=2) as stage:
        opened = open_named(config.model, places_of(config), progress, base=config.base)
        stage.advance(1, "converting and comparing")
        exported = export_model(
            opened.model,
            _output(config),
            tokenizer_folder=opened.tokenizer_folder,
            quantization=config.quantization,
            parents=_parents(config, opened),
            base=None if opened.base_folder is None else _base_name(config, opened),
            threads=config.threads,
            seed=config.seed,
            max_loss=config.max_loss or LOSS,
            overwrite=config.overwrite,
        )
        stage.advance(1)
    before = sum(path.stat().st_size for path in weight_files(opened.base_folder or opened.folder))
    values = {
        "output": str(exported.output),
        "quantization": exported.quantization,
        "bytes_before": before,
        "bytes_after": exported.size,
        "sha256": exported.sha256,
        "self_test": exported.self_test.to_json(),
        "self_test_in_float32": exported.exact.to_json(),
        "seconds": time.perf_counter() - started,
    }
    lines = [
        f"{exported.output}: {config.model} for CTranslate2, {exported.quantization}",
        f"  weights {before / 1e6:,.1f} MB, now {exported.size / 1e6:,.1f} MB",
        *_test_lines("float32", exported.exact),
        *(() if exported.quantised is None else _test_lines(exported.quantization, exported.quantised)),
        f"  in {values['seconds']:.1f} s, sha256 {exported.sha256}",
    ]
    return Outcome(values, "\n".join(lines))


def _test_lines(name: str, found: "SelfTest") -> list[str]:
    """A self-test for people."""
    computed = "" if found.compute_type.startswith(name) else f", computed in {found.compute_type} here"
    return [
        f"  {name} against torch: {found.positions} positions of {found.inputs} inputs of up to "
        f"{found.longest} tokens{computed}",
        f"    log-probabilities of what is written differ by {found.mean_difference:.2g} on average, "
        f"{found.max_difference:.2g} at most; greedy tokens equal at {100 * found.equal_greedy:.1f} %",
    ]


def _output(config: ExportConfig) -> Path:
    assert config.output is not None, "the configuration has one"
    return config.output


def _base_name(config: ExportConfig, opened: "Opened") -> str:
    recorded = None if opened.lineage is None else opened.lineage.base
    return config.base or recorded or str(opened.base_folder)


def _parents(config: ExportConfig, opened: "Opened") -> "tuple[Parent, ...]":
    from ramekin.weights.lineage import Parent, weights_sha256

    model = Parent(config.model, weights_sha256(opened.folder))
    if opened.base_folder is None:
        return (model,)
    return model, Parent(_base_name(config, opened), weights_sha256(opened.base_folder), "base")


def _planned_bytes(layout: "Layout", quantization: Quantization) -> int:
    """About how large `model.bin` becomes: each tensor once, matrices as they will be held."""
    total = 0
    for name in layout.homes:
        shape = layout.info(name).shape
        is_matrix = len(shape) == 2 and "relative_attention_bias" not in name
        if quantization.startswith("int8") and is_matrix:
            total += prod(shape) + 4 * shape[0]
        else:
            total += prod(shape) * (2 if quantization.endswith("bfloat16") else 4)
    return total
