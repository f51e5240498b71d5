"""Merge models into a LoRA adapter: of each matrix the best approximation of a given rank to what is added.

    D = merged - base,   B A = the first r triplets of the SVD of D,   residual = |D - B A| / |D|

Where the models are LoRA or rsLoRA and the method adds deltas with a coefficient each, the sum is the factors
side by side, and its SVD one of their size: exact as soon as the rank is the sum of theirs. All else is
decomposed matrix by matrix (`reduction`). Of checkpoints it is LoRA extraction. The scale is 1: alpha is the
rank; a matrix of a lower rank has that.

What no LoRA holds (embeddings, normalisations, biases, tables of positions) is counted, and refused where it
is not zero unless the user drops it. This module knows nothing of how methods work.
"""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple, Unpack, final

import numpy as np

from ramekin.errors import UsageError, WeightsError
from ramekin.files import atomic_directory
from ramekin.merge.array import Array
from ramekin.merge.delta_space import BaseRecord, DeltaSpace, delta_space, open_without_base
from ramekin.merge.factors import Product, joined
from ramekin.merge.matrices import is_matrix
from ramekin.merge.methods import find_method
from ramekin.merge.parameters import Parameter
from ramekin.merge.plan import (
    DTYPES,
    Dtype,
    MergeArguments,
    MergePlan,
    OpenMerge,
    check_asked_output,
    check_space,
    free_bytes,
    open_merge,
)
from ramekin.merge.reduction import Reduced, check_finite, reduced_matrix, reduced_product
from ramekin.merge.run import MergeReport, Walk, Walking, hashing, said_beside, steps_of, walk
from ramekin.merge.statistics import check_statistics_count
from ramekin.merge.stream import Chunk, Piece, num_threads
from ramekin.weights.dtypes import Floats
from ramekin.weights.layout import HEAD
from ramekin.weights.lineage import Lineage, Parent, weights_sha256, write_manifest
from ramekin.weights.lora_folder import lora_plan, write_lora
from ramekin.weights.writing import planned_bytes

__all__ = ["Rest", "can_hold", "merge_to_adapter", "plan_adapter"]

Rest = Literal["refuse", "drop"]
"""What is done where something changed that no LoRA holds."""

_NAMED = 3  # tensors named in a message
_MATRICES_AT_WORK = 6  # of a decomposition, in float64


@final
@dataclass(frozen=True, slots=True)
class _OpenAdapter:
    """A checked merge into an adapter, with its files open."""

    merge: OpenMerge
    space: DeltaSpace | None
    """The models beside the base, where they are that."""
    base: BaseRecord
    held: tuple[str, ...]
    """The tensors whose change the adapter can hold."""
    plan: MergePlan


@final
class _Left(NamedTuple):
    """A tensor of which nothing is stored."""

    name: str
    changed: int
    """Its elements that are not zero."""
    square: float
    """Its squared length."""


def can_hold(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a LoRA can hold the change of a tensor: the weight of a linear map, or a head of its own.

    >>> can_hold("encoder.block.0.layer.0.SelfAttention.q.weight", (8, 8)), can_hold("shared.weight", (99, 8))
    (True, False)
    """
    return is_matrix(name, shape) or name == HEAD


def plan_adapter(
    method: str, *, output: Path, rank: int, overwrite: bool = False, **asked: Unpack[MergeArguments]
) -> MergePlan:
    """Check a merge into an adapter and say what it would read and write; see `merge_to_adapter`."""
    check_asked_output(output, asked, overwrite=overwrite)
    with _opened(method, rank, None, asked) as found:
        check_space(output, found.plan.bytes_written)
        return replace(found.plan, output=str(output), bytes_free=free_bytes(output))


def merge_to_adapter(
    method: str,
    *,
    output: Path,
    rank: int,
    rest: Rest = "refuse",
    base_name: str | None = None,
    overwrite: bool = False,
    verify: bool = False,
    walking: Walking | None = None,
    about: Mapping[str, object] = MappingProxyType({}),
    **asked: Unpack[MergeArguments],
) -> MergeReport:
    """Merge models into the folder of a LoRA adapter.

    Args:
        method: a name in `METHODS`.
        output: the folder to make.
        rank: the most directions that are kept of a matrix; fewer are stored where it has fewer.
        rest: what is done where something changed that no LoRA holds.
        base_name: the name under which the adapter's base is found again; the base's folder, or what the
            adapters recorded, when None.
        overwrite: replace an existing output.
        verify: hash every input while it is merged and compare it with its manifest.
        walking: how the models are walked through; of no effect on the result.
        about: what the lineage is to say beside the settings, as JSON values.
        asked: see `run.merge`. The base may be None where all models are LoRA or rsLoRA and the method looks
            at deltas alone; the merge is then of the adapted tensors. `dtype` is that of the factors; `same`
            is fp32, as adapters are trained and kept.

    Returns:
        The report, whose `adapter` has the residual of each matrix and of all.

    Raises:
        UsageError: a wrong method, setting, rank or list of models, or an output that exists.
        WeightsError: an input is missing, damaged, not finite, or does not fit the others; something changed
            that no LoRA holds; nothing changed at all.
        ResourceError: the disk is full or the output cannot be written.
    """
    started = time.monotonic()
    check_asked_output(output, asked, overwrite=overwrite)
    base, models, dtype = asked["base"], asked["models"], asked.get("dtype", "same")
    with contextlib.ExitStack() as stack:
        found = stack.enter_context(_opened(method, rank, base_name, asked))
        check_space(output, found.plan.bytes_written)
        parents = stack.enter_context(
            hashing(base, models, found.merge.statistics, verify=verify, base_is_named=True)
        )
        folder = stack.enter_context(atomic_directory(output, overwrite=overwrite))
        seen_as = None if found.space is None else (found.space.base, found.space.tuned)
        walked = walk(found.merge, walking or Walking(), seen_as=seen_as)
        stored_dtype = DTYPES[dtype] or "F32"
        left = _left_out(found, walked, rest)
        reduced = _reduced(found, walked, rank, stored_dtype)
        known = () if base is None else found.held
        digests = write_lora(
            folder,
            {name: (each.b, each.a) for name, each in reduced.items()},
            dtype=stored_dtype,
            base=found.base.name,
            known=known,
        )
        figures = {
            **_figures(rank, reduced, left),
            "in_factors": _is_in_factors(found.merge, found.space),
            "elements_merged": sum(walked.stream.numel(name) for name in walked.stream.names),
        }
        told = {"adapter_rank": rank, "adapter_rest": rest, **about}
        write_manifest(folder, _lineage(found, parents(), told), known_sha256=digests)
        plan = found.plan
        report = MergeReport(
            method=plan.method,
            settings={**plan.settings, **steps_of(plan)},
            base=plan.base,
            models=plan.models,
            output=str(output),
            dtype=plan.dtype,
            tensors=2 * len(reduced),
            parameters=sum(each.b.size + each.a.size for each in reduced.values()),
            bytes_read=max(plan.bytes_read if found.space else 0, walked.stream.bytes_read),
            bytes_written=sum(path.stat().st_size for path in folder.glob("*.safetensors")),
            sha256=weights_sha256(folder),
            seconds=0.0,
            figures=walked.prepared.figures(),
            warnings=(*plan.warnings, *walked.prepared.warnings, *_dropped(left, reduced)),
            adapter=figures,
        )
    return replace(report, seconds=time.monotonic() - started)


@contextlib.contextmanager
def _opened(method: str, rank: int, base_name: str | None, asked: MergeArguments) -> Iterator[_OpenAdapter]:
    if rank < 1:
        raise UsageError("the rank of an adapter cannot be", expected="a whole number from 1", got=str(rank))
    base, statistics, dtype = asked["base"], asked.get("statistics"), asked.get("dtype", "same")
    with contextlib.ExitStack() as stack:
        space: DeltaSpace | None
        if base is None:
            # A method that takes some needs the base, and says so when it is opened.
            if statistics and find_method(method).statistics is None:
                check_statistics_count(find_method(method), len(statistics), len(asked["models"]))
            merge, space, recorded = stack.enter_context(
                open_without_base(
                    method,
                    models=asked["models"],
                    settings=asked["settings"],
                    post=asked.get("post"),
                    align=asked.get("align"),
                    dtype=dtype,
                )
            )
            record = BaseRecord(base_name or recorded.name, recorded.sha256)
            held = merge.names
        else:
            merge = stack.enter_context(open_merge(method, **asked))
            space = delta_space(merge)
            record = BaseRecord(base_name or str(base), None)
            changed = set(() if space is None else space.changed)
            held = tuple(n for n in merge.names if n in changed or can_hold(n, merge.tensors[n].shape))
        yield _OpenAdapter(merge, space, record, held, _plan(merge, space, held, rank, dtype))


def _plan(
    merge: OpenMerge, space: DeltaSpace | None, held: Sequence[str], rank: int, dtype: Dtype
) -> MergePlan:
    """The plan of the merge, with the adapter for its output; ranks are at most those."""
    changed = set(held if space is None else space.changed)
    names = [name for name in held if name in changed]
    most = {name: min(rank, *merge.tensors[name].shape) for name in names}
    if space is not None and _is_in_factors(merge, space):
        for name in names:
            most[name] = min(most[name], sum(each[name].rank for each in space.factors if name in each))
    shapes = {
        name: (merge.tensors[name].shape[0], most[name], merge.tensors[name].shape[1]) for name in names
    }
    planned = lora_plan(shapes, dtype=DTYPES[dtype] or "F32")
    size = planned_bytes(planned)
    largest = max((merge.tensors[name].numel for name in names), default=0)
    return replace(
        merge.plan,
        dtype="float32" if dtype == "same" else dtype,
        tensors=len(planned),
        parameters=sum(each.numel for each in planned.values()),
        bytes_read=merge.plan.bytes_read if space is None else _bytes_of(space),
        bytes_written=size,
        peak_bytes=merge.plan.peak_bytes + size + num_threads() * _MATRICES_AT_WORK * 8 * largest,
        adapter={
            "rank": rank,
            "matrices": len(names),
            "in_factors": _is_in_factors(merge, space),
            "reads_the_base": space is None,
        },
    )


def _bytes_of(space: DeltaSpace) -> int:
    return sum(f.a.nbytes + f.b.nbytes for each in space.factors for f in each.values())


def _is_linear(found: _OpenAdapter) -> bool:
    """Whether the output is a sum of the adapters' factors with a coefficient each."""
    merge = found.merge
    return found.space is not None and merge.post is None and merge.method.linear(merge.settings)


def _is_in_factors(merge: OpenMerge, space: DeltaSpace | None) -> bool:
    """Whether what is decomposed is a product of thin matrices, of at most the models' ranks together."""
    thin = merge.plan.align is not None or merge.method.linear(merge.settings)
    return space is not None and merge.post is None and thin


def _reduced(found: _OpenAdapter, walked: Walk, rank: int, dtype: str) -> dict[str, Reduced]:
    """Every matrix that changed, at its rank.

    Raises:
        WeightsError: none did, or a value is not finite.
    """
    factor: Parameter | None = getattr(walked.settings, "scaling_factor", None)
    held = set(found.held)
    names = [name for name in walked.stream.names if name in held]
    reduced: dict[str, Reduced] = {}
    if _is_linear(found):
        assert found.space is not None  # which is what linear means here
        for name in names:
            parts = {place: each[name] for place, each in enumerate(found.space.factors) if name in each}
            if parts:
                weights = _coefficients(walked, name, factor)
                products = [Product(change.b, change.a) for change in parts.values()]
                scales = [float(weights[place]) * change.scale for place, change in parts.items()]
                reduced[name] = reduced_product(name, joined(products, scales), rank, dtype)
    else:
        reduced.update(_of_chunks(walked, names, factor, rank, dtype))
    kept = {name: each for name, each in reduced.items() if each.a.shape[0]}
    if not kept:
        raise WeightsError(
            "the merge changes no matrix: there is nothing an adapter could hold",
            where=walked.method.name,
            expected="a change of at least one matrix",
            fix="other weights or another scaling factor",
        )
    return kept


def _of_chunks(
    walked: Walk, names: Sequence[str], factor: Parameter | None, rank: int, dtype: str
) -> Iterator[tuple[str, Reduced]]:
    """Matrices that are walked through whole."""
    stream, factored = walked.stream, walked.prepared.factored

    def work(target: tuple[str, Piece], chunk: Chunk) -> tuple[str, Reduced]:
        name, post = target[0], walked.post
        product = None if factored is None or (post and post.takes(name, chunk.shape)) else factored(chunk)
        if product is not None:
            scale = 1.0 if factor is None else factor.at(name, chunk.depth)
            return name, reduced_product(name, joined([product], [scale]), rank, dtype)
        added = walked.added(chunk, walked.prepared.combine(chunk), factor)
        return name, reduced_matrix(name, stream.take(added).reshape(chunk.shape), rank, dtype)

    pieces = ((name, piece) for name in names for piece in stream.pieces(name, "matrix"))
    yield from stream.map_with(pieces, work)


def _coefficients(walked: Walk, name: str, factor: Parameter | None) -> Floats:
    """How much of each model's delta a linear method takes: what it makes of the unit vectors."""
    stream, count = walked.stream, walked.stream.num_tuned
    units = np.eye(count, dtype=np.float32)
    chunk = Chunk(
        name,
        0,
        (count,),
        stream.depth(name),
        stream.place(np.zeros(count, dtype=np.float32)),
        [stream.place(row) for row in units],
    )
    return stream.take(walked.added(chunk, walked.prepared.combine(chunk), factor))


def _left_out(found: _OpenAdapter, walked: Walk, rest: Rest) -> list[_Left]:
    """The tensors that changed and of which the adapter holds nothing.

    Raises:
        WeightsError: there are some, and they are not to be dropped.
    """
    held = set(found.held)
    names = [] if _is_linear(found) else [n for n in walked.stream.names if n not in held]  # or sums of zeros
    factor: Parameter | None = getattr(walked.settings, "scaling_factor", None)

    def look(name: str, chunk: Chunk, combined: Array) -> tuple[int, float]:
        added = walked.stream.take(walked.added(chunk, combined, factor)).reshape(-1)
        check_finite(name, added)
        return int(np.count_nonzero(added)), float(np.square(added, dtype=np.float64).sum())

    counts: dict[str, int] = dict.fromkeys(names, 0)
    squares: dict[str, list[float]] = {name: [] for name in names}
    for name, (count, square) in walked.over(names, look):
        counts[name] += count
        squares[name].append(square)
    left = [_Left(name, counts[name], math.fsum(squares[name])) for name in names if counts[name]]
    left.sort(key=lambda each: -each.square)
    if left and rest == "refuse":
        shown = ", ".join(each.name for each in left[:_NAMED])
        raise WeightsError(
            f"{len(left)} tensors changed that no LoRA can hold",
            where=shown + (f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""),
            expected="changes of the weights of linear layers alone",
            got=f"{sum(each.changed for each in left):,} other elements, of length "
            f"{math.sqrt(math.fsum(each.square for each in left)):.3g}",
            fix="leave out adapter_rank for a whole checkpoint, or add adapter_rest=drop to do without them",
        )
    return left


def _dropped(left: Sequence[_Left], reduced: Mapping[str, Reduced]) -> tuple[str, ...]:
    if not left:
        return ()
    return (
        f"{len(left)} tensors changed that no LoRA can hold and were dropped, {_share(left, reduced):.1%} of "
        f"the squared length of all that changed; the longest is {left[0].name}",
    )


def _share(left: Sequence[_Left], reduced: Mapping[str, Reduced]) -> float:
    dropped = math.fsum(each.square for each in left)
    whole = dropped + math.fsum(each.length**2 for each in reduced.values())
    return dropped / whole if whole else 0.0


def _figures(rank: int, reduced: Mapping[str, Reduced], left: Sequence[_Left]) -> dict[str, object]:
    """What the report says of the adapter."""
    residuals = {name: each.error / each.length for name, each in reduced.items()}
    worst = max(residuals, key=lambda name: residuals[name])
    error = math.sqrt(math.fsum(each.error**2 for each in reduced.values()))
    whole = math.sqrt(math.fsum(each.length**2 for each in reduced.values()))
    return {
        "rank": rank,
        "matrices": len(reduced),
        "residual": {
            "whole": error / whole,
            "median": float(np.median(list(residuals.values()))),
            "worst": residuals[worst],
            "worst_tensor": worst,
        },
        "by_tensor": {
            name: {"rank": each.a.shape[0], "residual": residuals[name]} for name, each in reduced.items()
        },
        "dropped": {
            "tensors": len(left),
            "elements": sum(each.changed for each in left),
            "share_of_squared_length": _share(left, reduced),
            "lengths": {each.name: math.sqrt(each.square) for each in left},
        },
    }


def _lineage(found: _OpenAdapter, parents: tuple[Parent, ...], about: Mapping[str, object]) -> Lineage:
    record, plan = found.base, found.plan
    hashes = [parent.sha256 for parent in parents if parent.role == "base"]
    models = tuple(parent for parent in parents if parent.role != "base")
    base = (
        () if record.name is None else (Parent(record.name, hashes[0] if hashes else record.sha256, "base"),)
    )
    return Lineage(
        kind="adapter",
        operation=f"merge/{plan.method}",
        base=record.name,
        parents=(*base, *models),
        settings={**plan.settings, **said_beside(found.merge), **about},
    )
