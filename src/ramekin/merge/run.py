"""Merge checkpoints on disk into checkpoints on disk, slice by slice.

Every input is checked before the first weight is read; every output folder is whole or not there. Asked to
verify, a merge hashes its inputs in a thread of their own while it reads them.
This module knows nothing of models in memory; `direction` does.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, final

import numpy as np
import numpy.typing as npt

from ramekin.files import atomic_directory, write_bytes
from ramekin.merge.array import AbstractDevice, Array
from ramekin.merge.inputs import ModelInput, check_copies, head_is_stored_embedding, output_sources
from ramekin.merge.method import Method, Prepared
from ramekin.merge.methods import find_method
from ramekin.merge.parameters import Parameter
from ramekin.merge.plan import (
    Dtype,
    MergeArguments,
    MergePlan,
    OpenMerge,
    check_asked_output,
    check_space,
    open_merge,
    used_models,
)
from ramekin.merge.post import Svc
from ramekin.merge.settings import settings_to_json
from ramekin.merge.statistics import ModelStatistics
from ramekin.merge.stream import Chunk, ModelStream, NamedReader, Piece
from ramekin.weights.beside import GENERATION_CONFIG, copy_tokenizer, has_tokenizer, read_beside
from ramekin.weights.config import CONFIG
from ramekin.weights.lineage import Lineage, Parent, recorded_sha256, weights_sha256, write_manifest
from ramekin.weights.verify import verify_checkpoint
from ramekin.weights.writing import PlannedTensor, ShardedWriter

__all__ = [
    "MergeReport",
    "Progress",
    "Walk",
    "Walking",
    "hashing",
    "merge",
    "said_beside",
    "steps_of",
    "walk",
]

Progress = Callable[[int, int], None]
"""Told the bytes of weights read so far and in all."""
T = TypeVar("T")
_NOTHING: Mapping[str, object] = MappingProxyType({})


@final
@dataclass(frozen=True, slots=True)
class Walking:
    """How models are walked through; of no effect on the result."""

    device: AbstractDevice | None = None
    threads: int | None = None
    chunk_length: int | None = None
    progress: Progress | None = None


@final
@dataclass(frozen=True, slots=True)
class MergeReport:
    """What a merge did."""

    method: str
    settings: Mapping[str, object]
    base: str | None
    models: tuple[str, ...]
    output: str
    dtype: str
    tensors: int
    parameters: int
    bytes_read: int
    """Bytes of weights read, in all passes."""
    bytes_written: int
    """The size of the weight files."""
    sha256: str
    """The hash of the weight file; of several, that of their hashes (`weights_sha256`)."""
    seconds: float
    figures: Mapping[str, object]
    """What the method measured; JSON values."""
    warnings: tuple[str, ...]
    adapter: Mapping[str, object] | None = None
    """Of an output that is an adapter: its ranks and what they leave out; JSON values."""


def merge(
    method: str,
    *,
    base: Path | None,
    models: Sequence[ModelInput],
    output: Path,
    settings: Mapping[str, object],
    statistics: Sequence[Path] = (),
    post: Mapping[str, object] | None = None,
    align: Mapping[str, object] | None = None,
    dtype: Dtype = "same",
    shard_bytes: int | None = None,
    overwrite: bool = False,
    verify: bool = False,
    device: AbstractDevice | None = None,
    threads: int | None = None,
    chunk_length: int | None = None,
    progress: Progress | None = None,
    about: Mapping[str, object] = _NOTHING,
) -> MergeReport:
    """Merge models into a checkpoint folder.

    Args:
        method: a name in `METHODS`.
        base: the checkpoint the models were tuned from; its configuration and tokenizer become the
            output's. Where it is None, the first model's do.
        models: checkpoints, sharded or not, and adapters.
        output: the folder to make.
        settings: the method's settings by name, `preset` among them where the method has presets.
        statistics: folders of what was collected of the models, in any order, for methods that need it.
        post: a step after the method, `{"name": "svc", …}`; None is none.
        align: the space in which the method merges, `{"name": "knots", …}`; None is that of the weights.
        dtype: `same` keeps the base's dtype tensor by tensor; computed in fp32 in any case.
        shard_bytes: the most bytes of tensors in a file of the output; None writes one file.
        overwrite: replace an existing output.
        verify: hash every input while it is merged and compare it with its manifest. Without it the sizes
            of the files are compared, and the lineage has the hashes that are known without reading the
            weights: hashing takes longer than merging.
        device: where it is computed; the processor when None.
        threads: how many chunks are worked on at a time; of no effect on the result.
        chunk_length: the elements of a chunk of one model; of no effect on the result.
        progress: told the bytes read so far and in all.
        about: what the lineage is to say beside the settings, as JSON values.

    Returns:
        The report; the same facts are in the output's `ramekin.json`.

    Raises:
        UsageError: a wrong method, setting or list of models, or an output that exists.
        WeightsError: an input is missing, damaged, not finite, or does not fit the others.
        ResourceError: the disk is full or the output cannot be written.
    """
    started = time.monotonic()
    models = used_models(find_method(method), base, models)
    asked: MergeArguments = {
        "base": base,
        "models": models,
        "settings": settings,
        "statistics": statistics,
        "post": post,
        "align": align,
        "dtype": dtype,
    }
    check_asked_output(output, asked, overwrite=overwrite)
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(open_merge(method, output=output, **asked))
        check_space(output, opened.plan.bytes_written)
        parents = stack.enter_context(hashing(base, models, opened.statistics, verify=verify))
        folder = stack.enter_context(atomic_directory(output, overwrite=overwrite))
        walked = walk(opened, Walking(device, threads, chunk_length, progress))
        writer = _write(walked, opened.tensors, folder, shard_bytes)
        _copy_rest(folder, opened.config_folder, models)
        write_manifest(folder, _lineage(opened, parents(), about), known_sha256=writer.digests)
        report = _report(opened.plan, walked, output, writer.nbytes, weights_sha256(folder))
    return replace(report, seconds=time.monotonic() - started)


def walk(
    opened: OpenMerge, walking: Walking, *, seen_as: tuple[NamedReader, Sequence[NamedReader]] | None = None
) -> "Walk":
    """Let the method measure, and give what is left to do: combine chunks.

    Args:
        opened: the merge.
        walking: how it is walked through.
        seen_as: another base and other models that the method sees in place of these, of the same tensors.
    """
    progress = walking.progress
    everyone = [*opened.tuned, *(() if opened.base is None else (opened.base,))]
    for model in everyone:
        check_copies(model)
    head_is_embedding = head_is_stored_embedding(everyone)
    sources = output_sources(opened.names, head_is_embedding=head_is_embedding)
    base, tuned = seen_as or (opened.base, opened.tuned)
    stream = ModelStream(
        base,
        tuned,
        dict.fromkeys(sources.values()),
        head_is_embedding=head_is_embedding,
        device=walking.device,
        threads=walking.threads,
        chunk_length=walking.chunk_length,
        statistics=[each.reader for each in opened.statistics],
        on_read=None if progress is None else lambda done: progress(done, max(done, opened.plan.bytes_read)),
    )
    prepared = opened.method.prepare(stream, opened.settings)
    return Walk(opened.method, opened.settings, opened.post, stream, prepared, sources)


@final
@dataclass(frozen=True, slots=True)
class Walk:
    """A merge whose method has measured what it must."""

    method: Method[Any]
    settings: Any
    post: Svc | None
    stream: ModelStream
    prepared: Prepared
    sources: Mapping[str, str]
    """The tensor that each tensor of the output is."""

    def over(self, names: Sequence[str], work: Callable[[str, Chunk, Array], T]) -> Iterator[tuple[str, T]]:
        """What a function makes of every chunk of the named tensors, in their order.

        Args:
            names: tensors of the output.
            work: given the name, the chunk and what the method combined of it; called in several threads.
        """
        pieces = [(name, piece) for name in names for piece in self._pieces(self.sources[name])]

        def combined(target: tuple[str, Piece], chunk: Chunk) -> tuple[str, T]:
            return target[0], work(target[0], chunk, self.prepared.combine(chunk))

        yield from self.stream.map_with(pieces, combined)

    def scaled(self, chunk: Chunk, combined: Array, factor: Parameter | None) -> Array:
        """`base + factor * direction`, the one place where a scaling factor is applied; None is no direction.

        Two operations, not one add with alpha: a fused multiply-add rounds once and would differ.
        """
        if factor is None:
            return combined
        assert chunk.base is not None  # scaled methods need a base
        return chunk.base + self.added(chunk, combined, factor)

    def added(self, chunk: Chunk, combined: Array, factor: Parameter | None) -> Array:
        """What is added to the base; None is no direction, of which the base is taken away again."""
        if factor is None:
            assert chunk.base is not None  # who asks has one
            return combined - chunk.base
        direction = combined * factor.at(chunk.name, chunk.depth)
        if self.post is not None and self.post.takes(chunk.name, chunk.shape):
            direction = self.post.apply(direction, chunk.deltas)
        return direction

    def _pieces(self, name: str) -> Iterator[Piece]:
        shape = self.stream.shape(name)
        whole = self.post is not None and self.post.takes(name, shape)
        return self.stream.pieces(name, "matrix" if whole else self.method.unit(self.settings, name, shape))


def _write(
    walked: Walk, plan: Mapping[str, PlannedTensor], folder: Path, shard_bytes: int | None
) -> ShardedWriter:
    """Write the weights in one walk; the writer, with the hash of each file."""
    factor = getattr(walked.settings, "scaling_factor", None)
    with ShardedWriter(folder, plan, shard_bytes=shard_bytes) as writer:

        def stored(name: str, chunk: Chunk, combined: Array) -> npt.NDArray[np.uint8]:
            return writer.stored(name, walked.stream.kept(walked.scaled(chunk, combined, factor)))

        for name, data in walked.over(writer.order, stored):
            writer.write_stored(name, data)
    return writer


@contextlib.contextmanager
def hashing(
    base: Path | None,
    models: Sequence[ModelInput],
    statistics: Sequence[ModelStatistics] = (),
    *,
    verify: bool,
    base_is_named: bool = False,
) -> Iterator[Callable[[], tuple[Parent, ...]]]:
    """The inputs and their hashes; those that are computed are so in a thread, which the value awaits.

    Args:
        base: of the merge.
        models: its models.
        statistics: what was collected of them; it is by their hashes that it is known to be of them.
        verify: whether all are hashed, and compared with their manifests; else only known hashes are taken.
        base_is_named: whether the base's is computed in any case, as what an adapter is to be opened on.

    Raises:
        WeightsError: from the value: an input is not what its manifest says.
    """
    named = [*(() if base is None else (("base", base.name, base),))]
    named += [("model", model.name, model.folder) for model in models]
    bases = dict.fromkeys(model.base_folder for model in models if model.base_folder is not None)
    named += [("base", folder.name, folder) for folder in bases if folder != base]

    def hashed(folder: Path) -> str | None:
        if verify:
            verify_checkpoint(folder)
        needed = verify or statistics or (base_is_named and folder == base)
        return (weights_sha256 if needed else recorded_sha256)(folder)

    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hash-inputs")
    futures: list[Future[str | None]] = [pool.submit(hashed, folder) for _, _, folder in named]
    named += [("statistics", each.folder.name, each.folder) for each in statistics]
    futures += [pool.submit(each.sha256, verify=verify) for each in statistics]
    try:
        yield lambda: tuple(
            Parent(name, future.result(), role)
            for (role, name, _), future in zip(named, futures, strict=True)
        )
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _copy_rest(folder: Path, source: Path, models: Sequence[ModelInput]) -> None:
    """Copy configuration and tokenizer byte for byte; the tokenizer of the first folder that has one."""
    for name in (CONFIG, GENERATION_CONFIG):
        if (source / name).is_file():
            write_bytes(folder / name, read_beside(source / name))
    for place in (source, *(model.folder for model in models)):
        if has_tokenizer(place):
            copy_tokenizer(place, folder)
            return


def _lineage(opened: OpenMerge, parents: tuple[Parent, ...], about: Mapping[str, object]) -> Lineage:
    plan = opened.plan
    return Lineage(
        kind="dense",
        operation=f"merge/{plan.method}",
        base=None if plan.base is None else Path(plan.base).name,
        parents=parents,
        settings={**settings_to_json(opened.settings), **said_beside(opened), **about},
    )


def said_beside(opened: OpenMerge) -> dict[str, object]:
    """What a lineage says beside the settings: steps, dtype, and what statistics were collected on."""
    collected = [dict(each.facts.data) for each in opened.statistics]
    data = {"statistics": collected} if collected else {}
    return {**steps_of(opened.plan), "dtype": opened.plan.dtype, **data}


def steps_of(plan: MergePlan) -> dict[str, object]:
    """What is done beside the method, for a lineage or a report."""
    steps = {"post": plan.post, "align": plan.align}
    return {key: dict(step) for key, step in steps.items() if step is not None}


def _report(plan: MergePlan, walked: Walk, output: Path, size: int, digest: str) -> MergeReport:
    return MergeReport(
        method=plan.method,
        settings={**settings_to_json(walked.settings), **steps_of(plan)},
        base=plan.base,
        models=plan.models,
        output=str(output),
        dtype=plan.dtype,
        tensors=plan.tensors,
        parameters=plan.parameters,
        bytes_read=walked.stream.bytes_read,
        bytes_written=size,
        sha256=digest,
        seconds=0.0,
        figures=walked.prepared.figures(),
        warnings=(*plan.warnings, *walked.prepared.warnings),
    )
