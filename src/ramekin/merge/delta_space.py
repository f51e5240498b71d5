"""LoRA adapters as what they are beside any base: models on a base of zeros, made of their factors.

A method that looks at deltas alone gives the same there as on the base, without the rounding of a sum with
the base and without a byte of it being read. So adapters can be merged where no base is at hand. DoRA and IA3
change a tensor by what the base holds there, and are no such models. This module knows nothing of outputs.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from threadpoolctl import threadpool_limits

from ramekin.errors import UsageError, WeightsError
from ramekin.merge.alignment import parse_alignment
from ramekin.merge.check import check_list
from ramekin.merge.check_method import check_method, check_settings
from ramekin.merge.findings import raise_errors
from ramekin.merge.inputs import ModelInput
from ramekin.merge.method import Method
from ramekin.merge.plan import DTYPES, Dtype, MergePlan, OpenMerge, parse_merge, peak_bytes, said_step
from ramekin.merge.settings import settings_to_json
from ramekin.merge.stream import NamedReader
from ramekin.weights.dtypes import Floats
from ramekin.weights.factors import FactoredAdapter, Factors, is_plain_lora, read_factors
from ramekin.weights.layout import ADAPTER_WEIGHTS
from ramekin.weights.locate import is_hub_name
from ramekin.weights.made import MadeReader
from ramekin.weights.verify import verify_checkpoint
from ramekin.weights.writing import PlannedTensor

__all__ = ["BaseRecord", "DeltaSpace", "delta_space", "open_without_base"]

Shapes = Mapping[str, tuple[int, ...]]


@final
@dataclass(frozen=True, slots=True)
class BaseRecord:
    """What adapters recorded of the base they belong on."""

    name: str | None
    sha256: str | None


@final
@dataclass(frozen=True, slots=True)
class DeltaSpace:
    """Adapters on a base of zeros."""

    base: NamedReader
    """Zeros."""
    tuned: tuple[NamedReader, ...]
    """Each adapter's products, and zeros where it has none."""
    factors: tuple[Mapping[str, Factors], ...]
    """Each adapter's factors by tensor."""

    @property
    def changed(self) -> tuple[str, ...]:
        """The tensors that an adapter changes, sorted."""
        return tuple(sorted({name for each in self.factors for name in each}))


def delta_space(opened: OpenMerge) -> DeltaSpace | None:
    """The models of a merge beside its base; None where a model is no LoRA, or the method looks at the base.

    Args:
        opened: the merge, with its base.
    """
    found = [model.factors for model in opened.tuned if model.factors is not None]
    if not found or len(found) < len(opened.tuned) or not opened.method.of_deltas(opened.settings):
        return None
    shapes = {name: planned.shape for name, planned in opened.tensors.items()}
    return _space(shapes, [model.label for model in opened.tuned], found)


@contextlib.contextmanager
def open_without_base(
    method: str,
    *,
    models: Sequence[ModelInput],
    settings: Mapping[str, object],
    post: Mapping[str, object] | None,
    align: Mapping[str, object] | None = None,
    dtype: Dtype,
) -> Iterator[tuple[OpenMerge, DeltaSpace, BaseRecord]]:
    """Check a merge of LoRA adapters as far as they tell by themselves, and read them.

    The tensors of the merge are those that an adapter changes.

    Raises:
        UsageError: the method, a setting or the list of models is wrong, or one of them needs the base.
        WeightsError: an adapter is damaged, or does not belong with the others.
    """
    chosen, parsed, step = parse_merge(method, settings, post, align, dtype)
    labels = [model.label for model in models]
    raise_errors(check_list(None, models, needs_base=False))
    raise_errors(check_method(chosen, parsed, step, labels, has_base=True))
    _check_needs_no_base(chosen, parsed, models)
    for model in models:
        verify_checkpoint(model.folder, hashes=False)
    adapters = [read_factors(model.folder) for model in models]
    record, warnings = _common_base(models, adapters)
    shapes = _common_shapes(labels, adapters)
    raise_errors(check_settings(chosen, parsed, tuple(shapes), labels))
    space = _space(shapes, labels, [adapter.changes for adapter in adapters])
    tensors = {name: PlannedTensor(DTYPES[dtype] or "F32", shape) for name, shape in shapes.items()}
    measured = chosen.num_measure_passes(parsed)
    plan = MergePlan(
        method=method,
        settings=settings_to_json(parsed),
        post=said_step(post, step),
        align=said_step(align, parse_alignment(align)),
        base=None,
        models=tuple(model.name for model in models),
        output=None,
        dtype=dtype,
        tensors=len(tensors),
        parameters=sum(planned.numel for planned in tensors.values()),
        passes=measured + 1,
        bytes_read=sum((model.folder / ADAPTER_WEIGHTS).stat().st_size for model in models),
        bytes_written=0,
        peak_bytes=peak_bytes(chosen, parsed, step, tensors, len(models) + 1, measured=measured > 0),
        warnings=warnings,
    )
    names = tuple(shapes)
    with threadpool_limits(limits=1, user_api="blas"):
        opened = OpenMerge(
            plan, chosen, parsed, step, space.base, space.tuned, names, tensors, models[0].folder
        )
        yield opened, space, record


def _space(shapes: Shapes, labels: Sequence[str], changes: Sequence[Mapping[str, Factors]]) -> DeltaSpace:
    def reader(label: str, own: Mapping[str, Factors]) -> NamedReader:
        def make(name: str) -> Floats | None:
            return own[name].dense() if name in own else None

        return NamedReader(label, MadeReader(shapes, make, where=label), own)

    zeros = NamedReader("the base, left out", MadeReader(shapes, lambda name: None, where="the base"))
    tuned = tuple(reader(label, own) for label, own in zip(labels, changes, strict=True))
    return DeltaSpace(zeros, tuned, tuple(changes))


def _check_needs_no_base(method: Method[Any], settings: Any, models: Sequence[ModelInput]) -> None:
    if not models:
        raise UsageError(f"{method.name} was given no models", fix="add models=[…]")
    if method.statistics is not None:
        raise UsageError(
            f"{method.name} weighs by statistics, which are of whole models",
            expected="a method of the deltas alone, where no base is given",
            fix="add base=…",
        )
    if not method.of_deltas(settings):
        raise UsageError(
            f"{method.name} looks at the base's values with these settings",
            expected="a method of the deltas alone, where no base is given",
            fix="add base=…",
        )
    for model in models:
        if not model.is_adapter:
            raise UsageError(
                "what a checkpoint learned is known beside its base only",
                where=model.label,
                expected="LoRA adapters, where no base is given",
                fix="add base=…",
            )
        if not is_plain_lora(model.folder):
            raise UsageError(
                "what this adapter changes depends on the base's values",
                where=model.label,
                expected="a LoRA or rsLoRA, where no base is given",
                got="another kind of adapter, such as DoRA or IA3",
                fix="add base=…",
            )


def _common_base(
    models: Sequence[ModelInput], adapters: Sequence[FactoredAdapter]
) -> tuple[BaseRecord, tuple[str, ...]]:
    """The base that all adapters recorded, and what cannot be told of it.

    Raises:
        WeightsError: two of them were trained on different bases.
    """
    warnings = []
    first = next((place for place, each in enumerate(adapters) if each.base_sha256 or each.base), 0)
    known = adapters[first]
    for model, adapter in zip(models, adapters, strict=True):
        if known.base_sha256 and adapter.base_sha256:
            differ = known.base_sha256 != adapter.base_sha256
        else:
            names = (known.base or "", adapter.base or "")
            differ = names[0] != names[1] and all(is_hub_name(name) for name in names)
            if names[0] != names[1] and not differ:
                warnings.append(
                    f"{model.label} records the base {adapter.base!r} and {models[first].label} "
                    f"{known.base!r}; nothing tells whether these are one"
                )
        if differ:
            raise WeightsError(
                "the adapters were trained on different bases",
                where=f"{models[first].label} and {model.label}",
                expected=f"{known.base!r}",
                got=f"{adapter.base!r}",
                fix="merge adapters of one base",
            )
    hashes = [each.base_sha256 for each in adapters if each.base_sha256]
    return BaseRecord(known.base, hashes[0] if hashes else None), tuple(warnings)


def _common_shapes(labels: Sequence[str], adapters: Sequence[FactoredAdapter]) -> dict[str, tuple[int, ...]]:
    """The shapes of all tensors that an adapter changes.

    Raises:
        WeightsError: two adapters change a tensor of different shapes.
    """
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    for label, adapter in zip(labels, adapters, strict=True):
        for name, change in adapter.changes.items():
            other, shape = found.setdefault(name, (label, change.shape))
            if shape != change.shape:
                raise WeightsError(
                    "a tensor differs in shape",
                    where=name,
                    expected=f"{list(shape)} as in {other}",
                    got=f"{list(change.shape)} in {label}",
                    fix="merge adapters of one base",
                )
    return {name: found[name][1] for name in sorted(found)}
