"""Build a mixture: tokenise what its draws will need, side by side, each shard once; or only survey it.

First every leaf's first epoch, which gives the sizes and so the rates; then as many further epochs as the
draws asked for will reach. What is there already is kept, so that a killed build goes on where it was. A
survey counts rows and samples lengths instead. Tasks whose data cannot be read are all found before anything
is refused.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, final

from ramekin.catalog import Catalog
from ramekin.errors import DataError
from ramekin.files import remove_old_leftovers
from ramekin.recipes.mixtures.index import LeafEntry, MixtureIndex
from ramekin.recipes.mixtures.leaf import Teaching
from ramekin.recipes.mixtures.shards import ShardWork, TaskJob, Tokens, make_shards, shard_name
from ramekin.recipes.mixtures.sizes import LeafSize, measure_task
from ramekin.recipes.places import Places
from ramekin.recipes.progress import AbstractProgress
from ramekin.recipes.rows import rows_state
from ramekin.recipes.states import InputFile, input_files
from ramekin.recipes.workers import Workers, workers
from ramekin.sources.records import DataState, data_folders
from ramekin.text.mixing.adjustments import Adjustments, adjusted
from ramekin.text.mixing.draws import MixtureDraws
from ramekin.text.mixing.mixture import Leaf, Mixture, leaf_templates, leaves
from ramekin.text.mixing.rates import LeafRate, Mixed, Size, mix

if TYPE_CHECKING:
    from ramekin.tensors.cache import ShardFacts

__all__ = ["How", "Survey", "build_mixture", "survey_mixture"]


class _HasExamples(Protocol):
    """What either way of looking at a leaf tells."""

    @property
    def examples(self) -> int: ...


R = TypeVar("R", bound=_HasExamples)

_MARGIN = 8  # draws: at the end of a block no leaf is further than this from its rate (text.mixing.draws)
_LOST = (
    "indistinct_labels",
    "truncated_inputs",
    "truncated_targets",
    "unknown_inputs",
    "unknown_targets",
    "left_out",
    "skipped",
    "pruned_exemplars",
    "lacking_exemplars",
)


@final
@dataclass(frozen=True)
class How:
    """How a mixture's examples are made, whatever its rates."""

    tokens: Tokens
    places: Places
    seed: int
    """Of what is drawn for each row: exemplars, option forms, wrong labels."""
    teaching: Teaching
    leave_out_missing: bool = False
    """Go on without tasks whose data cannot be read; they are named."""

    def job(
        self, task: str, split: str, limit: int | None, shards: tuple[ShardWork, ...], folder: Path
    ) -> TaskJob:
        """The job of making shards of one task."""
        return TaskJob(task, split, limit, shards, folder, self.tokens, self.places, self.seed, self.teaching)


def build_mixture(
    mixture: Mixture,
    files: Iterable[Path],
    how: How,
    *,
    draws: Callable[[int], int],
    folder: Path,
    num_workers: int,
    progress: AbstractProgress,
) -> MixtureIndex:
    """Tokenise what a number of draws needs.

    Args:
        mixture: adjusted, as it is to be drawn.
        files: that it was read from.
        how: its examples are made.
        draws: how many draws are needed, from the number of examples of one pass.
        folder: of the shards.
        num_workers: processes side by side; 0 takes one a core.
        progress: told of the tasks that are done.

    Raises:
        DataError: tasks whose data cannot be read, all of them by name, and they may not be left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_old_leftovers(folder)  # of builds that were killed: half a shard can be large
    with workers(num_workers) as pool:
        building = _Building(mixture, how, folder, pool, progress)
        building.make_first_epochs()
        while True:
            rated, epoch_examples = building.rates()
            needed = draws(epoch_examples)
            if building.make_epochs(rated, needed):
                return building.index(rated, epoch_examples, needed, files)


@final
@dataclass(frozen=True)
class Survey:
    """A mixture with its rates, before anything is tokenised."""

    mixture: Mixture
    """Without the tasks that were left out."""
    mixed: Mixed
    sizes: Mapping[Leaf, LeafSize]
    missing: Mapping[str, str]
    """Tasks that were left out, with the reason."""


def survey_mixture(
    mixture: Mixture, how: How, *, folder: Path, num_workers: int, progress: AbstractProgress
) -> Survey:
    """Count a mixture's rows and sample their lengths; arguments and errors as of `build_mixture`."""
    folder.mkdir(parents=True, exist_ok=True)
    with workers(num_workers) as pool:
        return _Building(mixture, how, folder, pool, progress).survey()


@final
class _Building:
    """What the steps of one build, or of a survey, share."""

    def __init__(
        self, mixture: Mixture, how: How, folder: Path, pool: Workers, progress: AbstractProgress
    ) -> None:
        self.mixture, self.how, self.folder = mixture, how, folder
        self.pool, self.progress = pool, progress
        self.catalog = Catalog(how.places.tasks_root)
        self.states: dict[tuple[str, str], DataState] = {}
        self.files: dict[str, tuple[Path, ...]] = {}
        self.missing: dict[str, str] = {}
        self.made: dict[Leaf, list[ShardFacts]] = {}
        self.names: dict[Leaf, list[str]] = {}

    # -- steps

    def survey(self) -> Survey:
        """Sizes and rates."""
        jobs = self._first_epochs()
        sizes: dict[Leaf, LeafSize] = {}
        for job, found in self._results(_attempt_measuring, jobs, f"survey {self.mixture.name}"):
            sizes.update({work.leaf: found[work.name] for work in job.shards})
        self._refuse_missing()
        mixed = self._mixed({leaf: size.examples for leaf, size in sizes.items()})
        return Survey(self.mixture, mixed, sizes, self.missing)

    def make_first_epochs(self) -> None:
        """Every leaf's examples of its first epoch."""
        self._make(self._first_epochs(), f"tokenise {self.mixture.name}")

    def rates(self) -> tuple[tuple[LeafRate, ...], int]:
        """What the sizes make of the mixture: its leaves' rates, and the examples of one pass."""
        mixed = self._mixed({leaf: facts[0].examples for leaf, facts in self.made.items()})
        return mixed.leaves, mixed.epoch_examples

    def make_epochs(self, rated: Sequence[LeafRate], draws: int) -> bool:
        """The further epochs that the draws reach, whatever their seed.

        Returns:
            Whether they are there; if not, a task had to be left out, and the others' rates are higher.
        """
        block = MixtureDraws([each.rate for each in rated], seed=0).block_draws
        draws = -(-draws // block) * block  # within a block the seed decides which leaf's turn comes sooner
        while True:
            wanted = [
                (each.leaf, len(self.made[each.leaf]))
                for each in rated
                if sum(facts.examples for facts in self.made[each.leaf]) < each.rate * draws + _MARGIN
                and len(self.made[each.leaf]) < self._num_variants(each.leaf)
            ]
            if not wanted:
                return True
            before = self.mixture
            self._make(list(self._jobs(wanted)), f"tokenise {self.mixture.name}, further epochs")
            if self.mixture is not before:
                return False

    def index(
        self, rated: Sequence[LeafRate], epoch_examples: int, draws: int, files: Iterable[Path]
    ) -> MixtureIndex:
        """What was built."""
        return MixtureIndex(
            self.mixture.name,
            tuple(self._entry(each) for each in rated),
            epoch_examples,
            draws,
            self._inputs(files),
            self.missing,
        )

    # -- tasks and their data

    def _find_data(self) -> None:
        """The state of every task's data; tasks that have none are noted."""
        for leaf in leaves(self.mixture):
            name = leaf.task
            if (name, leaf.split) in self.states or name in self.missing:
                continue
            self.files[name] = self.catalog.files(name)
            try:
                self.states[name, leaf.split] = rows_state(self.catalog[name], leaf.split, self.how.places)
            except DataError as error:
                self.missing[name] = str(error)

    def _refuse_missing(self) -> None:
        """Go on without the tasks that have no data, if that is allowed."""
        names = {leaf.task for leaf in leaves(self.mixture)} & self.missing.keys()
        if not names:
            return
        if not self.how.leave_out_missing:
            raise DataError(
                f"{len(self.missing)} of the mixture's tasks cannot be read",
                where=self.mixture.name,
                got=f"\n  {self._told()}",
                fix="obtain them, or go on without them: mixture.missing=leave_out",
            )
        if names == {leaf.task for leaf in leaves(self.mixture)}:
            raise DataError(
                "none of the mixture's tasks can be read",
                where=self.mixture.name,
                got=f"\n  {self._told()}",
                fix="obtain them, or correct data_root",
            )
        without = Adjustments(exclude=tuple(sorted(names)))
        self.mixture = adjusted(self.mixture, without, tasks=self.catalog, clusters={})

    def _told(self) -> str:
        return "\n  ".join(f"{name}: {reason}" for name, reason in sorted(self.missing.items()))

    def _num_variants(self, leaf: Leaf) -> int:
        """After so many epochs a leaf's renderings recur: every row has met every template."""
        return len(leaf_templates(leaf, self.catalog[leaf.task]))

    # -- shards

    def _first_epochs(self) -> list[TaskJob]:
        self._find_data()
        self._refuse_missing()
        return list(self._jobs((leaf, 0) for leaf in leaves(self.mixture)))

    def _mixed(self, examples: Mapping[Leaf, int]) -> Mixed:
        sizes = {
            leaf: Size(examples[leaf], len(leaf_templates(leaf, self.catalog[leaf.task])))
            for leaf in leaves(self.mixture)
        }
        return mix(self.mixture, sizes)

    def _make(self, jobs: Sequence[TaskJob], title: str) -> None:
        for job, facts in self._results(_attempt_making, jobs, title):
            self._keep(job, facts)
        self._refuse_missing()

    def _results(
        self, attempt: "Callable[[TaskJob], Mapping[str, R] | str]", jobs: Sequence[TaskJob], title: str
    ) -> "Iterator[tuple[TaskJob, Mapping[str, R]]]":
        """The results of the jobs as they come; tasks that cannot be read are noted."""
        examples = 0
        with self.progress.stage(title, len(jobs)) as stage:
            for position, result in self.pool.run(attempt, jobs):
                job = jobs[position]
                reason = result if isinstance(result, str) else _no_first_epoch(job, result)
                if reason is not None:
                    self.missing[job.task] = reason
                elif not isinstance(result, str):
                    examples += sum(each.examples for each in result.values())
                    yield job, result
                stage.advance(1, f"{examples:,} examples")

    def _keep(self, job: TaskJob, facts: "Mapping[str, ShardFacts]") -> None:
        for work in job.shards:
            self.made.setdefault(work.leaf, []).append(facts[work.name])
            self.names.setdefault(work.leaf, []).append(work.name)

    def _jobs(self, wanted: Iterable[tuple[Leaf, int]]) -> Iterator[TaskJob]:
        grouped: dict[tuple[str, str, int | None], list[ShardWork]] = {}
        for leaf, epoch in wanted:
            work = ShardWork(leaf, epoch, self._shard_name(leaf, epoch))
            grouped.setdefault((leaf.task, leaf.split, leaf.limit_examples), []).append(work)
        how = self.how
        for (task, split, limit), shards in grouped.items():
            yield how.job(task, split, limit, tuple(shards), self.folder)

    def _shard_name(self, leaf: Leaf, epoch: int) -> str:
        how = self.how
        return shard_name(
            leaf,
            epoch,
            task_sha256=self._task_sha256(leaf.task),
            data=self.states[leaf.task, leaf.split].told,
            tokens=how.tokens,
            places=how.places,
            seed=how.seed,
            teaching=how.teaching,
        )

    def _task_sha256(self, name: str) -> str:
        digest = hashlib.sha256(name.encode())
        for path in self.files[name]:
            digest.update(path.read_bytes())
        return digest.hexdigest()

    # -- the index

    def _entry(self, rated: LeafRate) -> LeafEntry:
        leaf, facts = rated.leaf, self.made[rated.leaf]
        lost = {name: sum(each.about[name] for each in facts) for name in _LOST}
        return LeafEntry(
            name=str(leaf),
            task=leaf.task,
            split=leaf.split,
            rate=rated.rate,
            weight=rated.weight,
            examples=rated.examples,
            is_capped=rated.is_capped,
            is_floored=rated.is_floored,
            shards=tuple(self.names[leaf]),
            sizes=tuple(each.examples for each in facts),
            num_variants=self._num_variants(leaf),
            input_tokens=sum(each.input_tokens for each in facts),
            target_tokens=sum(each.target_tokens for each in facts),
            lost={name: count for name, count in lost.items() if count},
            origin=str(facts[0].about["origin"]),
            data_sha256=facts[0].about["data_sha256"],
        )

    def _inputs(self, files: Iterable[Path]) -> tuple[InputFile, ...]:
        kept = {leaf.task for leaf in leaves(self.mixture)}
        tasks = (path for name in kept for path in self.files[name])
        data = (
            state.file for (name, _), state in self.states.items() if name in kept and state.file is not None
        )
        return input_files([*files, *sorted(tasks), *sorted(data)], looked_for=self._looked_for())

    def _looked_for(self) -> Iterator[Path]:
        """What may give the mixture further tasks, or a task other rows, or any at all, when it changes."""
        roots = self.how.places.tasks_root
        yield from roots
        yield from (state.file for state in self.states.values() if state.file is not None)
        for name, paths in self.files.items():
            yield from paths
            yield from (each for path in paths for each in path.parents if _is_below(each, roots))
            yield from data_folders(self.catalog[name].source, self.how.places.data_root)


def _is_below(folder: Path, roots: Iterable[Path]) -> bool:
    return any(root in folder.parents for root in roots)


def _no_first_epoch(job: TaskJob, found: Mapping[str, R]) -> str | None:
    """What to say of a leaf that no row can be put in the form of; a later epoch may well be without."""
    for work in job.shards:
        if work.epoch == 0 and not found[work.name].examples:
            return f"there are no rows to be put as '{work.leaf}' (ramekin tasks check says why)"
    return None


def _attempt_making(job: TaskJob) -> "Mapping[str, ShardFacts] | str":
    """The shards of a task, or why there are none: one task's fault must not hide the others'."""
    try:
        return make_shards(job)
    except DataError as error:
        return str(error)


def _attempt_measuring(job: TaskJob) -> Mapping[str, LeafSize] | str:
    """The sizes of a task's leaves, or why there are none."""
    try:
        return measure_task(job)
    except DataError as error:
        return str(error)
