"""The statistics of a merge's models: each found by the hash of the model it was collected of.

Methods such as Fisher merging and RegMean take, beside the weights, what was measured of every model on data
and stands in folders (`weights.statistics`). The folders may be named in any order. This module knows nothing
of how anything is collected.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from ramekin.errors import UsageError, WeightsError
from ramekin.merge.inputs import ModelInput, unique_names
from ramekin.merge.method import Method
from ramekin.merge.stream import NamedReader
from ramekin.weights.layout import HEAD
from ramekin.weights.lineage import weights_sha256
from ramekin.weights.statistics import (
    StatisticsFacts,
    StatisticsReader,
    check_statistics,
    read_statistics,
    statistics_sha256,
)

__all__ = ["ModelStatistics", "check_statistics_count", "opened_statistics", "statistics_bytes"]


@final
@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """What was collected of one model, with its files open."""

    folder: Path
    facts: StatisticsFacts
    reader: NamedReader

    def sha256(self, *, verify: bool) -> str:
        """A hash of all of it; with `verify` the files are hashed too, and compared.

        Raises:
            WeightsError: a file was changed.
        """
        if verify:
            check_statistics(self.folder, self.facts)
        return statistics_sha256(self.folder)


def check_statistics_count(method: Method[Any], num_statistics: int, num_models: int) -> None:
    """Refuse statistics where a method takes none, and none where it takes some.

    Raises:
        UsageError: there are too few or too many.
    """
    if method.statistics is None:
        if num_statistics:
            raise UsageError(
                f"{method.name} takes no statistics", fix="leave out statistics, or use fisher or regmean"
            )
        return
    if num_statistics == 0:
        raise UsageError(
            f"{method.name} needs statistics of every model, collected on data",
            expected=f"statistics=[…], {num_models} folder{'s' * (num_models != 1)}",
            got="none",
            fix=_command("MODEL", method),
        )
    if num_statistics > num_models:
        raise UsageError(
            "there are more statistics than models",
            expected=f"{num_models}, one for each model",
            got=str(num_statistics),
        )


@contextlib.contextmanager
def opened_statistics(
    method: Method[Any],
    base: Path | None,
    models: Sequence[ModelInput],
    folders: Sequence[Path] | None,
    like: NamedReader,
) -> Iterator[tuple[ModelStatistics, ...]]:
    """Open the statistics of each model; only headers are read. Closed when the block ends.

    Args:
        method: what takes them.
        base: the base of the merge, for adapters that name none.
        models: the models.
        folders: of statistics, in any order; None where they are yet to be collected.
        like: a model, for names and shapes.

    Raises:
        UsageError: the method takes none, or not as many.
        WeightsError: they are of another model, or lack what the method takes, or do not fit it.
    """
    if folders is not None:
        check_statistics_count(method, len(folders), len(models))
    if folders is None or method.statistics is None:
        yield ()
        return
    facts = [read_statistics(folder) for folder in folders]
    hash_of = functools.cache(weights_sha256)
    chosen = _matched(method, base, models, list(zip(folders, facts, strict=True)), hash_of)
    with contextlib.ExitStack() as stack:
        found = []
        for folder, fact in chosen:
            reader = stack.enter_context(StatisticsReader(folder, fact, method.statistics))
            found.append(ModelStatistics(folder, fact, NamedReader(f"the statistics ({folder})", reader)))
        for each in found:
            _check_shapes(each, like, all_tensors=method.statistics == "fisher")
        yield tuple(found)


def statistics_bytes(
    method: Method[Any],
    settings: Any,
    statistics: Sequence[ModelStatistics],
    names: Sequence[str],
    like: NamedReader,
) -> int:
    """The bytes of statistics that a merge reads."""
    if method.statistics is None:
        return 0
    read = [
        each.reader.reader.info(name).nbytes
        for each in statistics
        for name in set(names) & set(each.reader.reader.names())
        if method.statistics == "fisher"
        or method.unit(settings, name, like.reader.info(name).shape) == "matrix"
    ]
    return int(method.num_statistics_passes(settings) * sum(read))


def _matched(
    method: Method[Any],
    base: Path | None,
    models: Sequence[ModelInput],
    given: list[tuple[Path, StatisticsFacts]],
    hash_of: Callable[[Path], str],
) -> list[tuple[Path, StatisticsFacts]]:
    """The statistics of each model, in the order of the models."""
    found: list[tuple[Path, StatisticsFacts]] = []
    left = list(given)
    for model in models:
        own = hash_of(model.folder)
        fitting = [each for each in given if each[1].model_sha256 == own]
        if not fitting:
            raise _no_statistics(method, model, own, left)
        # Copies of one model may have statistics of their own.
        chosen = next((each for each in fitting if each in left), fitting[0])
        if chosen in left:
            left.remove(chosen)
        _check_base(chosen, model, base, hash_of)
        found.append(chosen)
    if left:
        folder, facts = left[0]
        raise WeightsError(
            "statistics of a model that is not merged",
            where=str(folder),
            expected=" or ".join(model.label for model in models),
            got=_described(facts),
            fix="leave them out, or add the model",
        )
    return found


def _no_statistics(
    method: Method[Any], model: ModelInput, own: str, left: Sequence[tuple[Path, StatisticsFacts]]
) -> WeightsError:
    others = "; ".join(f"{folder}: {_described(facts)}" for folder, facts in left)
    return WeightsError(
        "no statistics are of a model",
        where=model.label,
        expected=f"statistics of weights {own[:12]}…",
        got=others or "those of the other models",
        fix=_command(model.name, method),
    )


def _described(facts: StatisticsFacts) -> str:
    return f"of '{facts.model}', weights {facts.model_sha256[:12]}…"


def _command(model: str, method: Method[Any]) -> str:
    if method.statistics == "propagated_gram":
        return f"ramekin merge method={method.name} base=… models=[…] tasks=[one for each model] output=…"
    return f"ramekin merge statistics model={model} task=… kinds=[{method.statistics}] output=…"


def _check_base(
    chosen: tuple[Path, StatisticsFacts],
    model: ModelInput,
    base: Path | None,
    hash_of: Callable[[Path], str],
) -> None:
    """Refuse what was collected of an adapter on another base."""
    folder, facts = chosen
    own = model.base_folder or base
    if model.is_adapter and own is not None and facts.base_sha256 not in (None, hash_of(own)):
        raise WeightsError(
            "the statistics are of an adapter on another base",
            where=str(folder),
            expected=f"{model.label} on {own}",
            got=f"on '{facts.base}'",
            fix="collect them anew with this base",
        )


def _check_shapes(collected: ModelStatistics, like: NamedReader, *, all_tensors: bool) -> None:
    reader, known = collected.reader.reader, set(like.reader.names())
    for name in reader.names():
        if name not in known:
            continue
        shape, found = like.reader.info(name).shape, reader.info(name).shape
        expected = shape if all_tensors else (shape[-1], shape[-1])
        if found != expected:
            raise WeightsError(
                "the statistics do not fit the models",
                where=f"{reader.where}#{name}",
                expected=str(list(expected)),
                got=str(list(found)),
            )
    # A head that is stored beside the embedding it equals is merged as the embedding.
    lacking = sorted(set(unique_names(known)) - set(reader.names()) - {HEAD}) if all_tensors else []
    if lacking:
        raise WeightsError("the statistics lack a tensor", where=f"{reader.where}#{lacking[0]}")
