"""What a merge would read and write, known from headers alone; the checks of a merge run here.

The plan is what `--dry-run` shows and what `run` follows, so its numbers are the run's. This module reads
no weights, except that the hash of a base is taken when an adapter recorded one.
"""

import contextlib
import functools
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Required, TypedDict, Unpack, final

from threadpoolctl import threadpool_limits

from ramekin.errors import ResourceError, UsageError
from ramekin.files import refuse_existing, refuse_inputs
from ramekin.merge.alignment import aligned, parse_alignment
from ramekin.merge.check_method import check_method, check_settings
from ramekin.merge.examine import examine
from ramekin.merge.findings import raise_errors, warnings_of
from ramekin.merge.inputs import ModelInput, ReaderOf, opened, second_names, unique_names
from ramekin.merge.method import Method
from ramekin.merge.methods import find_method
from ramekin.merge.post import Svc, parse_post
from ramekin.merge.settings import settings_to_json
from ramekin.merge.statistics import ModelStatistics, opened_statistics, statistics_bytes
from ramekin.merge.stream import NamedReader, chunk_elements, num_threads
from ramekin.registry import unknown_name
from ramekin.weights.layout import HEAD
from ramekin.weights.lineage import weights_sha256
from ramekin.weights.reading import CheckpointReader
from ramekin.weights.writing import PlannedTensor, planned_bytes

__all__ = [
    "DTYPES",
    "Dtype",
    "Head",
    "MergeArguments",
    "MergePlan",
    "OpenMerge",
    "OpenModels",
    "check_asked_output",
    "check_output",
    "check_space",
    "free_bytes",
    "open_merge",
    "open_models",
    "parse_merge",
    "peak_bytes",
    "plan_merge",
    "said_step",
    "used_models",
]

Head = Literal["stored", "embedding"]
Dtype = Literal["same", "float32", "bfloat16", "float16"]
DTYPES: Mapping[str, str | None] = {"same": None, "float32": "F32", "bfloat16": "BF16", "float16": "F16"}
"""The dtypes an output can have, and their safetensors names."""

_COUNTING_BYTES = 20 << 20  # bins, and what waits to be counted, of one model
_CHUNKS_AT_WORK = 12  # temporaries of a method and what waits to be written, of the length of a chunk
_MATRICES_AT_WORK = 8  # temporaries of a method of whole matrices, in fp64


@final
class MergeArguments(TypedDict, total=False):
    """What every form of a merge takes beside its method; `run.merge` says what each is."""

    base: Required[Path | None]
    models: Required[Sequence[ModelInput]]
    settings: Required[Mapping[str, object]]
    statistics: Sequence[Path] | None
    post: Mapping[str, object] | None
    align: Mapping[str, object] | None
    dtype: Dtype


@final
@dataclass(frozen=True, slots=True)
class MergePlan:
    """A merge before it happens."""

    method: str
    settings: Mapping[str, object]
    post: Mapping[str, object] | None
    """The step after the method, with its name."""
    base: str | None
    """The base's folder."""
    models: tuple[str, ...]
    """The names of the models, in order."""
    output: str | None
    """The folder to be made; None of a merge in memory."""
    dtype: str
    tensors: int
    """The number of tensors of the output."""
    parameters: int
    """Their elements."""
    passes: float
    """How often every model is read."""
    bytes_read: int
    """Bytes of weights read in all passes, of all models and the base."""
    bytes_written: int
    """Bytes of the output's weight files."""
    peak_bytes: int
    """An estimate of the memory beyond the interpreter and its libraries."""
    warnings: tuple[str, ...]
    adapter: Mapping[str, object] | None = None
    """Of an output that is an adapter: its rank and the number of its matrices; JSON values."""
    align: Mapping[str, object] | None = None
    """The space in which the method merges, with its name."""
    second_names: tuple[str, ...] = ()
    """Names under which files hold their embedding again: it is merged once, and they are not written."""
    head: Head = "stored"
    """Whether the files have an output head, or the models use their embedding. A head that is stored and
    equals the embedding in every model is merged with it, which reading tells."""
    bytes_free: int | None = None
    """On the disk of the output; None where there is none."""


@final
@dataclass(frozen=True, slots=True)
class OpenModels:
    """Models that belong together, with their files open."""

    base: NamedReader | None
    tuned: tuple[NamedReader, ...]
    names: tuple[str, ...]
    """The unique tensors."""
    config_folder: Path
    """Where the configuration and the tokenizer of all are."""
    warnings: tuple[str, ...]

    @property
    def everyone(self) -> tuple[NamedReader, ...]:
        """The base, where there is one, and the models."""
        return self.tuned if self.base is None else (self.base, *self.tuned)


@final
@dataclass(frozen=True, slots=True)
class OpenMerge:
    """A checked merge with its files open."""

    plan: MergePlan
    method: Method[Any]
    settings: Any
    post: Svc | None
    base: NamedReader | None
    tuned: tuple[NamedReader, ...]
    names: tuple[str, ...]
    """The unique tensors."""
    tensors: Mapping[str, PlannedTensor]
    """What an output holds."""
    config_folder: Path
    """Where the configuration and the tokenizer are copied from."""
    statistics: tuple[ModelStatistics, ...] = ()
    """What was collected of each model, in the order of the models."""


def plan_merge(
    method: str,
    *,
    output: Path | None,
    overwrite: bool = False,
    **asked: Unpack[MergeArguments],
) -> MergePlan:
    """Check a merge and say what it would read and write; see `run.merge` for the arguments and errors.

    Statistics that are None are yet to be collected, and not counted.
    """
    if output is None:
        with open_merge(method, **asked) as found:
            return found.plan
    check_asked_output(output, asked, overwrite=overwrite)
    with open_merge(method, output=output, **asked) as found:
        check_space(output, found.plan.bytes_written)
        return replace(found.plan, bytes_free=free_bytes(output))


@contextlib.contextmanager
def open_merge(
    method: str,
    *,
    base: Path | None,
    models: Sequence[ModelInput],
    settings: Mapping[str, object],
    statistics: Sequence[Path] | None = (),
    post: Mapping[str, object] | None = None,
    align: Mapping[str, object] | None = None,
    dtype: Dtype = "same",
    output: Path | None = None,
    reader_of: ReaderOf = CheckpointReader,
) -> Iterator[OpenMerge]:
    """Check everything that settings, headers and configurations tell, and keep the files open.

    Raises:
        UsageError: the method, a setting, the dtype, the list of models or that of statistics is wrong.
        WeightsError: a model is damaged or does not belong with the others.
    """
    chosen, parsed, step = parse_merge(method, settings, post, align, dtype)
    models = used_models(chosen, base, models)
    labels = [model.label for model in models]
    raise_errors(check_method(chosen, parsed, step, labels, has_base=base is not None))
    with (
        open_models(base, models, needs_base=chosen.needs_base, reader_of=reader_of) as found,
        opened_statistics(chosen, base, models, statistics, found.everyone[0]) as collected,
    ):
        everyone, names = found.everyone, found.names
        raise_errors(check_settings(chosen, parsed, names, labels))
        reader = everyone[0].reader
        tensors = {
            name: PlannedTensor(DTYPES[dtype] or reader.info(name).dtype, reader.info(name).shape)
            for name in names
        }
        passes = chosen.num_measure_passes(parsed) + 1
        plan = MergePlan(
            method=method,
            settings=settings_to_json(parsed),
            post=said_step(post, step),
            align=said_step(align, parse_alignment(align)),
            base=None if base is None else str(base),
            models=tuple(model.name for model in models),
            output=None if output is None else str(output),
            dtype=dtype,
            tensors=len(names),
            parameters=sum(planned.numel for planned in tensors.values()),
            passes=passes,
            bytes_read=int(
                passes * sum(model.reader.info(name).nbytes for model in everyone for name in names)
                + statistics_bytes(chosen, parsed, collected, names, everyone[0])
            ),
            bytes_written=planned_bytes(tensors),
            peak_bytes=peak_bytes(chosen, parsed, step, tensors, len(everyone), measured=passes > 1),
            warnings=found.warnings,
            second_names=tuple(
                sorted({alias for model in everyone for alias in second_names(set(model.reader.names()))})
            ),
            head="stored" if HEAD in names else "embedding",
        )
        yield OpenMerge(
            plan,
            chosen,
            parsed,
            step,
            found.base,
            found.tuned,
            names,
            tensors,
            found.config_folder,
            collected,
        )


def said_step(given: Mapping[str, object] | None, step: object) -> dict[str, object] | None:
    """A step beside the method as a plan and a lineage say it, with its name; None is none."""
    return None if step is None else {"name": (given or {})["name"], **settings_to_json(step)}


def parse_merge(
    method: str,
    settings: Mapping[str, object],
    post: Mapping[str, object] | None,
    align: Mapping[str, object] | None,
    dtype: str,
) -> tuple[Method[Any], Any, Svc | None]:
    """The method, in the space it is to merge in, its settings and the step after it, from a configuration.

    Raises:
        UsageError: one of them, or the dtype, is wrong.
    """
    chosen = find_method(method)
    parsed, step = chosen.parse(settings), parse_post(post)
    if dtype not in DTYPES:
        raise UsageError(unknown_name("dtype", str(dtype), DTYPES))
    alignment = parse_alignment(align)
    if alignment is not None:
        chosen = aligned(chosen, parsed, alignment)
    return chosen, parsed, step


@contextlib.contextmanager
def open_models(
    base: Path | None,
    models: Sequence[ModelInput],
    *,
    needs_base: bool,
    reader_of: ReaderOf = CheckpointReader,
) -> Iterator[OpenModels]:
    """Check everything that headers and configurations tell of some models, and keep their files open.

    Products of matrices are made in one thread each while they are, as chunks are worked on side by side and
    the same bits are wanted whatever the machine's cores.

    Args:
        base: the checkpoint the models were tuned from.
        models: checkpoints and adapters.
        needs_base: whether deltas are wanted, so that the base cannot be among the models.
        reader_of: how checkpoints are opened.

    Raises:
        UsageError: the list of models is wrong.
        WeightsError: a model is damaged or does not belong with the others.
    """
    findings = examine(base, models, needs_base=needs_base, hash_of=functools.cache(weights_sha256)).findings
    raise_errors(findings)
    with (
        threadpool_limits(limits=1, user_api="blas"),
        opened(base, models, reader_of=reader_of) as (root, tuned),
    ):
        everyone = tuned if root is None else (root, *tuned)
        names = unique_names(everyone[0].reader.names())
        yield OpenModels(root, tuned, names, _config_folder(base, models), warnings_of(findings))


def used_models(method: Method[Any], base: Path | None, models: Sequence[ModelInput]) -> Sequence[ModelInput]:
    """The models a method reads."""
    if method.uses_models:
        return models
    return models[:1] if base is None else ()


def check_asked_output(output: Path, asked: MergeArguments, *, overwrite: bool) -> None:
    """Refuse an output that lies over what a merge reads; see `check_output`."""
    inputs = asked["base"], asked["models"], asked.get("statistics") or ()
    check_output(output, *inputs, overwrite=overwrite)


def check_output(
    output: Path,
    base: Path | None,
    models: Sequence[ModelInput],
    statistics: Sequence[Path] = (),
    *,
    overwrite: bool,
) -> None:
    """Refuse an output that exists (unless it may be overwritten), is or holds an input, or lies in one.

    So is one in a folder that may not be written to.

    Raises:
        UsageError: it does.
        ResourceError: it may not.
    """
    inputs = (*_folders(base, models), *statistics)
    refuse_inputs(output, inputs)
    for folder in inputs:
        if folder.resolve() in output.resolve().parents:
            raise UsageError(
                "the output lies in one of the inputs, which holds what its manifest lists and no more",
                where=str(output),
                got=str(folder),
                fix="choose another output",
            )
    refuse_existing(output, overwrite=overwrite)
    _refuse_read_only(output)


def _refuse_read_only(output: Path) -> None:
    place = _nearest(output.parent)
    if not os.access(place, os.W_OK | os.X_OK):
        raise ResourceError(
            "the output cannot be written here",
            where=str(output),
            got=f"{place}, which may not be written to",
            fix="choose a folder that can be written",
        )


def check_space(output: Path, needed: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        ResourceError: less is free than will be written.
    """
    free = free_bytes(output)
    if free < needed:
        raise ResourceError(
            "the disk is too full for the output",
            where=str(output),
            expected=f"{needed / 1e6:,.1f} MB free",
            got=f"{free / 1e6:,.1f} MB",
            fix="free some space, or choose another output",
        )


def free_bytes(place: Path) -> int:
    """What is free on the disk where a folder is, or is to be."""
    return shutil.disk_usage(_nearest(place)).free


def _nearest(place: Path) -> Path:
    """The folder, or the nearest around it that is there."""
    found = place.absolute()
    while not found.exists():
        found = found.parent
    return found


def _folders(base: Path | None, models: Sequence[ModelInput]) -> list[Path]:
    """Every input folder once."""
    found = [] if base is None else [base]
    for model in models:
        found += [model.folder, *(() if model.base_folder is None else (model.base_folder,))]
    return list(dict.fromkeys(found))


def _config_folder(base: Path | None, models: Sequence[ModelInput]) -> Path:
    """The folder whose configuration and tokenizer are the output's: the base's, or the first model's."""
    first = models[0] if base is None else None
    folder = base if first is None else first.base_folder if first.is_adapter else first.folder
    assert folder is not None  # an adapter without a base was refused
    return folder


def peak_bytes(
    method: Method[Any],
    settings: Any,
    post: Svc | None,
    tensors: Mapping[str, PlannedTensor],
    num_models: int,
    *,
    measured: bool,
) -> int:
    """An estimate of the memory that a merge takes beyond the interpreter and its libraries."""
    chunks = num_threads() * (num_models + _CHUNKS_AT_WORK) * chunk_elements(num_models) * 4
    matrices = [
        each.numel
        for name, each in tensors.items()
        if method.unit(settings, name, each.shape) == "matrix"
        or (post is not None and post.takes(name, each.shape))
    ]
    whole = num_threads() * _MATRICES_AT_WORK * 8 * max(matrices, default=0)
    return chunks + whole + (num_models * _COUNTING_BYTES if measured else 0)
