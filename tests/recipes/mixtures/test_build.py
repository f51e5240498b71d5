"""A built mixture: what is made, what is kept, what is made again, and what cannot be read."""

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ramekin.catalog import Catalog
from ramekin.catalog.mixtures import load_mixture
from ramekin.errors import DataError
from ramekin.recipes.mixture_config import MixtureConfig
from ramekin.recipes.mixtures.build import How, build_mixture, survey_mixture
from ramekin.recipes.mixtures.index import MixtureIndex, is_current, read_index
from ramekin.recipes.mixtures.leaf import Teaching
from ramekin.recipes.mixtures.plan import planned, table
from ramekin.recipes.mixtures.prepare import prepare_mixture
from ramekin.recipes.places import Places
from ramekin.recipes.progress import SilentProgress
from ramekin.sources.records import Records, read_records
from ramekin.sources.rows import BadRows
from ramekin.tensors.cache import open_shard
from ramekin.text.mixing.mixture import Mixture, mixture_files
from ramekin.text.task import Source
from ramekin.train.mixture_feed import LeafShards, MixtureFeed

Build = Callable[..., MixtureIndex]


@pytest.fixture
def mixture(world: Path, make_how: Callable[..., How]) -> Mixture:
    return load_mixture(world / "two.yaml", Catalog(make_how().places.tasks_root))


@pytest.fixture
def build(world: Path, mixture: Mixture, make_how: Callable[..., How]) -> Build:
    def build(draws: int = 12, **changes: object) -> MixtureIndex:
        return build_mixture(
            mixture,
            map(Path, mixture_files(mixture)),
            make_how(**changes),
            draws=lambda _: draws,
            folder=world / "cache",
            num_workers=1,
            progress=SilentProgress(),
        )

    return build


@pytest.fixture
def prepare(world: Path, make_how: Callable[..., How]) -> Build:
    """The index of a mixture by name, from `world/cache`."""

    def prepare(
        name: str | Path, draws: int = 12, *, look_again: bool = False, **changes: object
    ) -> MixtureIndex:
        return prepare_mixture(
            MixtureConfig(name=str(name)),
            make_how(**changes),
            draws=lambda _: draws,
            cache=world / "cache",
            num_workers=1,
            progress=SilentProgress(),
            look_again=look_again,
        )

    return prepare


def shards(world: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (world / "cache").glob("*.safetensors")}


def test_rates_come_from_the_examples_that_there_are(build: Build) -> None:
    index = build()
    wet, dry = index.leaves
    assert (wet.task, wet.examples, dry.task, dry.examples) == ("own/wet", 10, "own/dry", 4)
    assert (wet.rate, dry.rate) == (8 / 12, 4 / 12)
    assert (wet.is_capped, dry.is_capped) == (True, False)
    assert index.epoch_examples == 12
    assert wet.num_variants == 3


def test_as_many_epochs_are_made_as_are_drawn(build: Build, world: Path) -> None:
    assert all(len(leaf.shards) == 3 for leaf in build(draws=20).leaves)
    few = build(draws=0)
    assert [len(leaf.shards) for leaf in few.leaves] == [1, 2], "the order of a block is not known: some more"
    more = build(draws=20)
    assert [len(leaf.shards) for leaf in more.leaves] == [3, 3]
    assert [leaf.shards[0] for leaf in few.leaves] == [leaf.shards[0] for leaf in more.leaves]
    assert set(shards(world)) == {name for leaf in more.leaves for name in leaf.shards}
    many = build(draws=10_000)
    assert [len(leaf.shards) for leaf in many.leaves] == [3, 3], "after the last template they recur"


def test_shards_hold_what_they_say(build: Build, world: Path) -> None:
    for leaf in build().leaves:
        for name, size in zip(leaf.shards, leaf.sizes, strict=True):
            shard = open_shard(world / "cache" / name)
            assert len(shard) == size
            assert {item.provenance.task for item in shard} == {leaf.task}
        assert leaf.input_tokens == sum(
            len(item.input_ids) for name in leaf.shards for item in open_shard(world / "cache" / name)
        )


def test_a_second_build_makes_nothing(build: Build, world: Path) -> None:
    first = build()
    before = {path: path.stat().st_mtime_ns for path in (world / "cache").iterdir()}
    assert build() == first
    assert {path: path.stat().st_mtime_ns for path in (world / "cache").iterdir()} == before


def test_a_lost_shard_is_made_again_with_the_same_bytes(build: Build, world: Path) -> None:
    build()
    before = shards(world)
    (world / "cache" / next(iter(before))).unlink()
    build()
    assert shards(world) == before


def test_what_killed_builds_have_left_goes_after_a_day(build: Build, world: Path) -> None:
    path = world / "cache" / f".tmp-half-file-{2**22 + 1}"  # no process has a number above 2^22
    path.parent.mkdir()
    path.write_bytes(b"half a shard")
    os.utime(path, (time.time() - 3600 * 25,) * 2)
    build()
    assert not path.exists()


def test_a_damaged_shard_is_made_again(build: Build, world: Path) -> None:
    first = build(leave_out_missing=True)
    before = shards(world)
    path = world / "cache" / first.leaves[1].shards[0]
    path.write_bytes(path.read_bytes()[:-3])
    assert build(leave_out_missing=True) == first
    assert shards(world) == before


@pytest.mark.parametrize(
    "changes", [{"seed": 1}, {"max_input_tokens": 20}], ids=["seed of what is drawn", "length"]
)
def test_whatever_shapes_an_example_is_in_the_name(build: Build, changes: dict[str, int]) -> None:
    names = {name for leaf in build().leaves for name in leaf.shards}
    assert not names & {name for leaf in build(**changes).leaves for name in leaf.shards}


@pytest.mark.parametrize("changed", ["tasks/own/wet.yaml", "own/wet/train.jsonl"])
def test_a_changed_file_gives_other_shards_to_its_own_task_alone(
    build: Build, world: Path, changed: str
) -> None:
    first = build()
    assert is_current(first, world / "cache")
    path = world / changed
    text = path.read_text()
    path.write_text(text.replace("Is it wet?", "Is it so wet?") if "yaml" in changed else text + text)
    assert not is_current(first, world / "cache")
    second = build()
    assert first.leaves[0].shards[0] != second.leaves[0].shards[0]
    assert first.leaves[1].shards[0] == second.leaves[1].shards[0]


def test_all_tasks_that_cannot_be_read_are_named(build: Build, world: Path) -> None:
    (world / "own" / "wet" / "train.jsonl").write_text('{"text": 5}\n')
    with pytest.raises(DataError, match="(?s)1 of the mixture's tasks cannot be read: two: .*own/wet: "):
        build()
    (world / "own" / "dry" / "train.jsonl").unlink()
    with pytest.raises(DataError, match="(?s)own/dry: .*mixture.missing=leave_out"):
        build()


def test_tasks_without_data_can_be_left_out_by_name(build: Build, world: Path) -> None:
    (world / "own" / "dry" / "train.jsonl").unlink()
    index = build(leave_out_missing=True)
    assert [leaf.task for leaf in index.leaves] == ["own/wet"]
    assert index.leaves[0].rate == 1.0
    assert list(index.missing) == ["own/dry"]


def one_row(world: Path) -> None:
    """Leave own/dry one row, which the third template, turned around, cannot be flipped by."""
    path = world / "own" / "dry" / "train.jsonl"
    path.write_text(path.read_text().splitlines(keepends=True)[0])


def test_an_epoch_may_be_without_rows_but_not_the_first(build: Build, world: Path) -> None:
    one_row(world)
    index = build(draws=100, teaching=Teaching("flipped"))
    assert index.leaves[1].sizes == (1, 1, 0)
    leaves = [LeafShards(x.name, x.rate, x.shards, x.sizes, x.num_variants) for x in index.leaves]
    feed = MixtureFeed(leaves, folder=world / "cache", epoch_examples=index.epoch_examples)
    met = Counter(item.provenance.id for item in feed.examples(0, seed=0, global_batch=100))
    assert {name: count for name, count in met.items() if "dry" in name}.keys() == {
        "own/dry#ask/train/0", "own/dry#say/train/0",
    }  # fmt: skip


def test_a_form_that_no_row_can_be_put_in_is_named(prepare: Build, world: Path) -> None:
    (world / "two.yaml").write_text(
        "tasks: [own/wet, own/dry]\nforms: [{cot: rationale}]\ntemplates: plain\n"
    )
    path = world / "own" / "dry" / "train.jsonl"
    path.write_text(path.read_text().replace("because of", ""))
    path.write_text(
        "".join(line for line in path.read_text().splitlines(keepends=True) if '"why": ""' in line)
    )
    with pytest.raises(DataError, match="own/dry: there are no rows to be put as 'own/dry cot=rationale"):
        prepare(world / "two.yaml")
    index = prepare(world / "two.yaml", leave_out_missing=True)
    assert [leaf.task for leaf in index.leaves] == ["own/wet"]


def test_a_task_that_fails_in_a_later_epoch_is_left_out_too(build: Build, world: Path) -> None:
    path = world / "tasks" / "own" / "dry.yaml"
    path.write_text(path.read_text().replace("{{ text }} is it dry?", "{{ nothing }} is it dry?"))
    one_row(world)
    with pytest.raises(DataError, match="own/dry: .*nothing"):
        build(draws=100)
    index = build(draws=100, leave_out_missing=True)
    assert [(leaf.task, leaf.rate) for leaf in index.leaves] == [("own/wet", 1.0)]
    assert list(index.missing) == ["own/dry"]
    assert len(index.leaves[0].shards) == 3, "as many as the draws need that the other would have had"


def test_why_nothing_is_left_is_told(build: Build, world: Path) -> None:
    for name in ("wet", "dry"):
        (world / "own" / name / "train.jsonl").unlink()
    with pytest.raises(DataError, match="(?s)none of the mixture's tasks .*own/dry: .*own/wet: "):
        build(leave_out_missing=True)


def test_bad_rows_of_every_epoch_are_set_aside(build: Build, world: Path, places: Places) -> None:
    path = world / "own" / "dry" / "train.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text(
        "".join(json.dumps(row | {"label": 7 * (place == 1)}) + "\n" for place, row in enumerate(rows))
    )
    apart = world / "apart.jsonl"
    index = build(draws=100, places=replace(places, bad_rows=BadRows("quarantine", quarantine=apart)))
    assert index.leaves[1].lost["skipped"] == 3
    assert len(apart.read_text().splitlines()) == 3


def test_two_workers_make_the_same(
    build: Build, mixture: Mixture, make_how: Callable[..., How], world: Path
) -> None:
    build()
    alone = shards(world)
    build_mixture(
        mixture,
        (),
        make_how(),
        draws=lambda _: 12,
        folder=world / "other",
        num_workers=2,
        progress=SilentProgress(),
    )
    assert {path.name: path.read_bytes() for path in (world / "other").glob("*.safetensors")} == alone


# -- surveys and plans


def test_a_survey_counts_as_a_build_does_and_makes_no_shard(
    build: Build, mixture: Mixture, make_how: Callable[..., How], world: Path
) -> None:
    survey = survey_mixture(
        mixture, make_how(), folder=world / "cache", num_workers=1, progress=SilentProgress()
    )
    assert not shards(world)
    built = build()
    assert [(each.examples, each.rate) for each in survey.mixed.leaves] == [
        (leaf.examples, leaf.rate) for leaf in built.leaves
    ]
    plan = planned(survey, steps=30, global_batch=4, seed=0)
    assert sum(leaf.draws for leaf in plan.leaves) == plan.draws == 120
    assert [leaf.draws for leaf in plan.leaves] == [pytest.approx(80, abs=15), pytest.approx(40, abs=15)]
    assert [leaf.binds for leaf in plan.leaves] == ["cap", ""]
    assert plan.leaves[1].epochs == plan.leaves[1].draws / 4
    shown = table(plan)
    assert "own/wet" in shown and "66.67 %" in shown and "cap" in shown
    lacking = table(replace(plan, missing={"own/dry": "no rows", "own/odd": "no file"})).splitlines()
    assert lacking[:2] == ["left out own/dry: no rows", "left out own/odd: no file"]
    assert shown.splitlines()[-1].split()[6] == f"{120 / survey.mixed.epoch_examples:.2f}"
    assert (
        "epochs" in shown and "." not in table(replace(plan, is_explicit=True)).splitlines()[-1].split("%")[1]
    )
    half = [replace(leaf, weight=leaf.weight / 48) for leaf in plan.leaves]
    assert table(replace(plan, leaves=tuple(half))).splitlines()[-1].split()[2] == "0.25", "rates, one gone"
    over = replace(survey, mixture=replace(mixture, passed_over=("own/tests",)))
    missing = planned(over, steps=30, global_batch=4, seed=0).missing
    assert missing == {"own/tests": "it lacks the split that is drawn from"}
    assert lacking[2].endswith(", without 2 tasks, named above") and lacking[3:] == shown.splitlines()[1:]
    again = survey_mixture(
        mixture, make_how(), folder=world / "cache", num_workers=1, progress=SilentProgress()
    )
    assert again.mixed == survey.mixed, "from the shards this time"


# -- the index


def test_a_built_mixture_starts_from_its_index(
    world: Path, prepare: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = world / "two.yaml"
    first = prepare(name)
    (path,) = (world / "cache" / "indexes").iterdir()
    assert read_index(path) == first
    with monkeypatch.context() as patched:
        patched.setattr("ramekin.recipes.mixtures.prepare.build_mixture", None)
        assert prepare(name) == first
        assert prepare(name, 3) == first, "fewer draws need nothing more"
    more = prepare(name, 60)
    assert more.sha256 == first.sha256, "it is the same mixture"
    assert more.draws == 60 and sum(map(len, (leaf.shards for leaf in more.leaves))) == 6
    path.write_bytes(path.read_bytes()[:-9])
    assert prepare(name, 60) == more, "a damaged index is made again"


def test_a_file_of_the_same_name_elsewhere_is_another_mixture(
    world: Path, prepare: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = world / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "two.yaml").write_text("tasks: [own/dry]")
    found = []
    for folder in (world, elsewhere):
        monkeypatch.chdir(folder)
        found.append([leaf.task for leaf in prepare("two.yaml").leaves])
    assert found == [["own/wet", "own/dry"], ["own/dry"]]


def test_removed_shards_are_made_again(world: Path, prepare: Build) -> None:
    first = prepare(world / "two.yaml")
    shutil.rmtree(world / "cache" / "shards")
    assert prepare(world / "two.yaml") == first


def test_data_that_comes_later_is_found(world: Path, prepare: Build) -> None:
    (world / "own" / "dry").rename(world / "away")
    assert list(prepare(world / "two.yaml", leave_out_missing=True).missing) == ["own/dry"]
    (world / "away").rename(world / "own" / "dry")
    assert not prepare(world / "two.yaml", leave_out_missing=True).missing


def test_a_build_looks_again_for_what_was_missing_and_a_run_does_not(
    world: Path, prepare: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reached(source: Source, *which: str, **how: Any) -> Records:
        if source.local == "own/dry":
            raise DataError("the hub cannot be reached")
        return read_records(source, *which, **how)

    with monkeypatch.context() as patched:
        patched.setattr("ramekin.recipes.rows.read_records", reached)
        assert list(prepare(world / "two.yaml", leave_out_missing=True).missing) == ["own/dry"]
    assert list(prepare(world / "two.yaml", leave_out_missing=True).missing) == ["own/dry"]
    assert not prepare(world / "two.yaml", leave_out_missing=True, look_again=True).missing


def test_a_data_file_that_is_mended_is_read(world: Path, prepare: Build) -> None:
    path = world / "own" / "dry" / "train.jsonl"
    right = path.read_text()
    path.write_text(right.replace("text", "test"))
    assert list(prepare(world / "two.yaml", leave_out_missing=True).missing) == ["own/dry"]
    path.write_text(right)
    assert not prepare(world / "two.yaml", leave_out_missing=True).missing


def test_a_task_that_comes_later_is_met_by_its_pattern(world: Path, prepare: Build) -> None:
    (world / "all.yaml").write_text("tasks: [own/*]")
    assert len(prepare(world / "all.yaml").leaves) == 2
    text = (world / "tasks" / "own" / "dry.yaml").read_text()
    (world / "tasks" / "own" / "humid.yaml").write_text(text)
    assert [leaf.task for leaf in prepare(world / "all.yaml").leaves] == ["own/dry", "own/humid", "own/wet"]
