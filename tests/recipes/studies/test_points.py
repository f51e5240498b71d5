"""From a study to its points: which trainings and evaluations, by which words, below which folders."""

from pathlib import Path

import pytest

from ramekin.errors import UsageError
from ramekin.recipes.compose import compose
from ramekin.recipes.evaluate_schema import EvaluateConfig
from ramekin.recipes.groups import group_options
from ramekin.recipes.schema import TrainConfig
from ramekin.recipes.studies.plan import refuse_lacking, sizes_of
from ramekin.recipes.studies.points import StudyPoint, study_points
from ramekin.recipes.studies.schema import StudyConfig
from ramekin.recipes.sweeps.jobs import check_jobs, composed


def points_of(*words: str) -> tuple[StudyPoint, ...]:
    return study_points(compose("study", StudyConfig, words), Path("out"))


def trained(point: StudyPoint) -> TrainConfig:
    assert point.training is not None
    config = composed(point.training)
    assert isinstance(config, TrainConfig)
    return config


def test_the_grid_is_the_product_and_an_untuned_model_stands_once() -> None:
    points = points_of("study=mini", "num_tasks=[0,2]", "seeds=[0,1]")
    assert [each.point.name for each in points if each.model == "small"] == [
        "num_tasks=0,model=small,cot=leave_out",
        "num_tasks=0,model=small,cot=include,seed=0",
        "num_tasks=0,model=small,cot=include,seed=1",
        "num_tasks=2,model=small,cot=leave_out,seed=0",
        "num_tasks=2,model=small,cot=leave_out,seed=1",
        "num_tasks=2,model=small,cot=include,seed=0",
        "num_tasks=2,model=small,cot=include,seed=1",
    ]
    assert len(points) == 14


def test_a_point_trains_on_tasks_that_its_seed_draws_with_or_without_reasoning() -> None:
    points = points_of("study=mini", "num_tasks=[0,2]", "models=[small]", "seeds=[3]")
    untuned, alone, without, with_cot = points
    assert untuned.training is None and untuned.seed is None
    assert trained(alone).mixture.cot == "only" and trained(alone).mixture.num_tasks is None
    for point, cot in ((without, "leave_out"), (with_cot, "include")):
        config = trained(point)
        assert (config.model, config.seed, config.mixture.name) == ("mini/study_small", 3, "mini_study")
        assert (config.mixture.num_tasks, config.mixture.seed, config.mixture.cot) == (2, 3, cot)
    counts = [(size.num_tasks, size.num_cot_tasks) for size in sizes_of(points)]
    assert counts == [(0, 0), (0, 2), (2, 0), (2, 2)]


def test_each_model_is_scored_by_every_evaluation() -> None:
    untuned, tuned, *_ = points_of("study=mini", "num_tasks=[0,1]", "models=[google/t5-v1_1-small]")
    for point, model in ((untuned, "google/t5-v1_1-small"), (tuned, str(tuned.training.output))):
        assert list(point.evaluations) == ["held_out", "held_out_in_steps"]
        for name, job in point.evaluations.items():
            config = composed(job)
            assert isinstance(config, EvaluateConfig) and config.model == model
            assert job.output == Path("out") / f"{point.point.name},evaluation={name}"
    # The folder may move with all that is in it: where the model is decides nothing.
    (job, _) = tuned.evaluations.values()
    assert not any(word.startswith("model=") for word in job.words)


def test_keys_of_every_verb_reach_every_point(tmp_path: Path) -> None:
    points = points_of("study=mini", f"data_root={tmp_path}", "threads=1", "device=cpu", "models=[small]")
    for point in points:
        for job in (point.training, *point.evaluations.values()):
            if job is not None:
                config = composed(job)
                assert (config.data_root, config.threads, config.device) == (tmp_path, 1, "cpu")


def test_chains_of_thought_alone_are_trained_on_whatever_the_number_of_tasks() -> None:
    points = points_of("study=mini", "num_tasks=[0,1]", "models=[small]", "cot=[only]")
    assert [(trained(each).mixture.cot, trained(each).mixture.num_tasks) for each in points] == [
        ("only", None)
    ] * 2
    refuse_lacking(points, sizes_of(points))


def test_a_grid_that_cannot_be_trained_is_refused_before_a_point_is() -> None:
    points = points_of("study=mini", "num_tasks=[1,50,60]", "models=[small]", "cot=[leave_out]")
    with pytest.raises(UsageError, match=r"(?s)num_tasks=50.*expected 1 to 8, got 50.*num_tasks=60"):
        refuse_lacking(points, sizes_of(points))


@pytest.mark.parametrize("name", group_options("study"))
def test_every_study_says_how_it_is_run_and_is_well_formed(name: str) -> None:
    from ramekin.recipes.groups import CONF

    first = (CONF / "study" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith(f"# ramekin study name={name}")
    points = points_of(f"study={name}")
    check_jobs([each.training for each in points if each.training is not None])


def test_flan_2022_has_its_sizes_with_their_steps_and_adds_collections_one_by_one() -> None:
    points = points_of("study=flan_2022", "num_tasks=[0,muffin,muffin_t0_sf]")
    steps = {each.model: trained(each).training.max_steps for each in points if each.training is not None}
    assert steps == {"small": 98000, "base": 84000, "large": 64000, "xl": 38000, "xxl": 14000}
    small = [each for each in points if each.model == "small"]
    assert {trained(each).mixture.name for each in small if each.training} == {"flan_2022_a"}
    found = [(size.num_tasks, size.num_cot_tasks) for size in sizes_of(small)]
    assert found == [(0, 0), (0, 9), (68, 0), (68, 9), (80, 0), (80, 9)]
    assert not any(size.lack for size in sizes_of(small))


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("study=mini", "num_tasks=[1,1]"), "num_tasks needs one value or several that differ"),
        (("study=mini", "models=[]"), "models needs one value"),
        (("study=flan_2022", "num_tasks=[mufin]"), "did you mean 'muffin'"),
        (("study=mini", "num_task=[1]"), "did you mean 'num_tasks'"),
        (("study=flan_2021",), "did you mean 'flan_2022'"),
        ((), "'study' is needed"),
        (("study=mini", "evaluations=null"), "evaluations"),
        (("study=mini", "seed=3"), "seeds=[3] in place of seed=3"),
        (("study=mini", "models=[runs/a,runs-a]", "num_tasks=[0,1]"), "two points of the study"),
        (("study=mini", "+study.sizes.tiny.max_steps=3"), "sizes.tiny needs a model"),
        (("study=mini", "study.evaluations.held_out.model=own"), "evaluations.held_out.model is the grid's"),
        (("study=mini", "study.train.seed=4"), "train.seed is the grid's to say: seeds"),
        (("study=mini", "study.train.mixture.num_tasks=4"), "train.mixture.num_tasks is the grid's to say"),
        (("study=mini", "study.sizes.small.mixture.cot=only"), "sizes.small.mixture.cot is the grid's"),
        (("study=flan_2022", "study.task_sets.all.output=x"), "task_sets.all.output is the grid's to say"),
    ],
)
def test_what_is_wrong_is_said(words: tuple[str, ...], part: str) -> None:
    with pytest.raises(UsageError) as caught:
        points_of(*words)
    assert part in str(caught.value)
