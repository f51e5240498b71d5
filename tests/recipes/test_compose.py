"""From words to a validated configuration: every problem at once, each with its nearest name, and quickly."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.recipes.compose import compose
from ramekin.recipes.evaluate_schema import EvaluateConfig
from ramekin.recipes.groups import group_options
from ramekin.recipes.merge_schema import MergeConfig
from ramekin.recipes.runs import config_text
from ramekin.recipes.schema import FuseConfig, RunConfig, TrainConfig

POOL = "modelpool=Seq2SeqLMPool/flan-t5-base_glue"
TASKS = "taskpool=flan-t5_glue_text_generation"


def problems(verb: str, schema: type, *words: str) -> str:
    with pytest.raises(UsageError) as caught:
        compose(verb, schema, words)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_the_seed_pages_words_compose() -> None:
    config = compose(
        "fuse",
        FuseConfig,
        [
            "method=task_arithmetic",
            "method.scaling_factor=0.3",
            POOL,
            TASKS,
            "report_save_path=outputs/out.json",
        ],
    )
    assert config.method == {"name": "task_arithmetic", "scaling_factor": 0.3}
    assert list(config.modelpool.models)[:2] == ["_pretrained_", "glue-cola"]
    assert (
        config.modelpool.models["glue-stsb"].pretrained_model_name_or_path
        == "tanganke/flan-t5-base_glue-stsb"
    )
    assert config.taskpool.tasks[0] == "glue/cola" and config.report_save_path == Path("outputs/out.json")


def test_a_pool_members_name_is_overridden_as_on_the_seed_page() -> None:
    config = compose(
        "fuse",
        FuseConfig,
        [
            "method=dummy",
            "modelpool=Seq2SeqLMPool/flan-t5-base_individual",
            "modelpool.models._pretrained_.pretrained_model_name_or_path=tanganke/flan-t5-base_glue-cola",
            TASKS,
        ],
    )
    assert (
        config.modelpool.models["_pretrained_"].pretrained_model_name_or_path
        == "tanganke/flan-t5-base_glue-cola"
    )


@pytest.mark.parametrize("size", ["base", "large"])
def test_the_adapters_of_a_pool_follow_their_base(size: str) -> None:
    pool = f"modelpool=Seq2SeqLMPool/flan-t5-{size}_glue_lora16"
    member = compose("fuse", FuseConfig, ["method=dummy", pool]).modelpool.models["glue-rte"]
    assert member.base_model_path == f"google/flan-t5-{size}"
    assert member.peft_model_path == f"tanganke/flan-t5-{size}_glue-rte_lora-16"
    other = compose("fuse", FuseConfig, ["method=dummy", pool, "modelpool.base_model=my/base"]).modelpool
    assert other.models["glue-rte"].base_model_path == "my/base"


def test_all_problems_are_shown_at_once_with_the_nearest_names() -> None:
    shown = problems(
        "fuse", FuseConfig,
        "method=task_arithmatic", "modelpool=Seq2SeqLMPool/flan-t5-base_glu", "taskpoool=dummy",
        "modelpool.modles.x=1", "sed=1", "limit=-3",
    )  # fmt: skip
    assert "6 problems" in shown
    for part in (
        "unknown method 'task_arithmatic': did you mean 'task_arithmetic'?",
        "did you mean 'Seq2SeqLMPool/flan-t5-base_glue'?",
        "unknown key 'taskpoool': did you mean 'taskpool'?",
        "unknown key 'modelpool.modles': did you mean 'modelpool.models'?",
        "unknown key 'sed': did you mean 'seed'?",
        "limit: input should be greater than 0, got -3",
    ):
        assert part in shown


def test_a_wrong_task_is_found_whatever_else_is_wrong() -> None:
    shown = problems("train", TrainConfig, "modle=x", "task=mini/rt", "tasks=[glue/coola]", "batch=2")
    assert "5 problems" in shown
    for part in ("mean 'model'?", "mean 'mini/rte'?", "mean 'glue/cola'?", "'model' is needed"):
        assert part in shown
    assert shown.count("modelpool") == 0
    assert problems("fuse", FuseConfig, "method=dummy").count("is needed") == 1
    assert "mean 'mini/rte'?" in problems("run", RunConfig, "recipe=demo", "recipe.tasks=[mini/rt]", "sed=1")


@pytest.mark.parametrize(
    ("verb", "schema", "words", "part"),
    [
        ("fuse", FuseConfig, (), "'modelpool' is needed: modelpool=…, one of Seq2SeqLMPool/"),
        ("merge", MergeConfig, ("models=[a]",), "'method' is needed"),
        ("train", TrainConfig, ("task=glue/rte",), "the key 'model' is needed"),
        ("train", TrainConfig, ("model=x",), "needs a task"),
        ("train", TrainConfig, ("model=x", "task=mini/rte", "output=."), "fix: output=runs/NAME"),
        ("train", TrainConfig, ("model=x", "task=mini/rte", "output="), "fix: output=runs/NAME"),
        ("train", TrainConfig, ("model=x", "task=mini/rte", "output=runs/.."), "fix: output=runs/NAME"),
        ("train", TrainConfig, ("model=x", "task=glue/rt"), "unknown task 'glue/rt': did you mean 'glue/rte'"),
        ("train", TrainConfig, ("model=x", "task=glue/rte", "templates=fusionbnch"), "did you mean 'fusionbench'"),
        ("train", TrainConfig, ("model=x", "task=glue/rte", "learning_rat=1"), "did you mean 'learning_rate'"),
        ("train", TrainConfig, ("model=x", "task=glue/rte", "optimizer=adam"), "optimizer"),
        ("train", TrainConfig, ("model=x", "task=glue/rte", "precision=fp16"), "fp16 is refused"),
        ("train", TrainConfig, ("model=x", "task=glue/rte", "max_steps=5", "epochs=1"), "max_steps, epochs"),
        ("train", TrainConfig, ("model=x", "task=glue/rte", "adapter=lroa"), "unknown adapter 'lroa': did you mean 'lora'"),
        ("train", TrainConfig, ("model=x", "task=glue/rte", "adapter.rnk=3"), "did you mean 'adapter.rank'"),
        ("train", TrainConfig, ("model=x", "task=glue/rte", "max_steps=1,2"), "several values"),
        ("train", TrainConfig, ("model=x", "task=glue/rte", "bad word"), "is not group=option or key=value"),
        ("train", TrainConfig, ("model=x", "task=glue/rte", "model.x=1"), "has no keys below it"),
        ("evaluate", EvaluateConfig, ("model=x", "task=glue/rte", "mode=fusionbnch"), "unknown mode 'fusionbnch'"),
        ("merge", MergeConfig, ("method=ties_merging", "models=[a]", "method.densty=0.2"), "did you mean 'density'"),
        ("merge", MergeConfig, ("method=ties_merging", "models=[a]", "method.density=20"), "density=0.2"),
        ("merge", MergeConfig, ("method=ties_merging", "models=[a]", "method.preset=fusionbnch"), "did you mean 'fusionbench'"),
        ("merge", MergeConfig, ("method=task_arithmetic", "models=[a]", "method.scaling_factor=much"), "expected a finite number"),
        ("run", RunConfig, ("recipe=dmo",), "did you mean 'demo'"),
        ("run", RunConfig, ("recipe=t0_3b",), "did you mean 't0/t0_3b'"),
        ("run", RunConfig, (), "'recipe' is needed: recipe=…, one of demo, direct/channel_3b"),
        ("train", TrainConfig, ("recipe=t0/t03b",), "did you mean 't0/t0_3b'"),
        ("train", TrainConfig, ("recipe=demo",), "'demo' is none for 'ramekin train': ramekin run recipe=demo"),
        ("train", TrainConfig, ("recipe=glue/_base",), "unknown recipe 'glue/_base'"),
        ("train", TrainConfig, ("recipe=glue/lora_base",), "needs a task or a mixture"),
        ("run", RunConfig, ("recipe=demo", "recipe.base.d_modl=3"), "did you mean 'recipe.base.d_model'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(verb: str, schema: type, words: tuple[str, ...], part: str) -> None:
    assert part in problems(verb, schema, *words)


def test_training_keys_may_stand_without_their_group() -> None:
    config = compose(
        "train", TrainConfig, ["model=x", "task=glue/rte", "max_steps=7", "adapter=lora", "adapter.rank=8"]
    )
    assert config.training.max_steps == 7 and config.training.epochs is None
    assert config.adapter.kind == "lora" and config.adapter.rank == 8
    assert compose("train", TrainConfig, ["model=x", "task=glue/rte"]).training.epochs == 3


def test_a_file_is_read_first_and_words_win(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("method: ties_merging\nmodels: [a, 'b''c']\nseed: 3\n")
    config = compose("merge", MergeConfig, ["seed=4", "method.density=0.5"], config_file=file)
    assert (config.models, config.seed, config.method) == (
        ("a", "b'c"),
        4,
        {"name": "ties_merging", "density": 0.5},
    )


def of_file(path: Path, text: str, *words: str) -> TrainConfig:
    path.write_text(text)
    return compose("train", TrainConfig, words, config_file=path)


LORA = "model: x\ntask: glue/rte\nadapter: {kind: lora, rank: 4}\nobjective: {name: flipped, clamp: 1e-3}\n"


@pytest.mark.parametrize("option", ["none", "ia3", "lora"])
def test_a_word_that_chooses_an_option_wins_over_all_that_a_file_says_of_the_group(
    option: str, tmp_path: Path
) -> None:
    alone = compose("train", TrainConfig, ["model=x", "task=glue/rte", f"adapter={option}"])
    assert of_file(tmp_path / "c.yaml", LORA, f"adapter={option}").adapter == alone.adapter
    assert of_file(tmp_path / "c.yaml", LORA, "objective=direct").objective == alone.objective
    assert of_file(tmp_path / "c.yaml", LORA, "adapter=null").adapter.kind == "none"
    kept = of_file(tmp_path / "c.yaml", LORA, "adapter.rank=8")
    assert (kept.adapter.kind, kept.adapter.rank, kept.objective.clamp) == ("lora", 8, 1e-3)


def test_a_word_wins_over_the_configuration_that_a_run_wrote(tmp_path: Path) -> None:
    words = ["recipe=direct/flipped_3b", "adapter=lora", "adapter.rank=4"]
    text = config_text(compose("train", TrainConfig, words))
    changed = of_file(tmp_path / "c.yaml", text, "adapter=none", "objective=direct", "mode=fusionbench")
    expected = compose("train", TrainConfig, [words[0], "objective=direct", "mode=fusionbench"])
    assert changed == expected and changed.objective.name == "direct"


def test_a_word_wins_over_a_method_that_a_file_spells_out(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("method: {name: task_arithmetic, scaling_factor: 0.3}\nmodels: [a]\n")
    words = ["method=simple_average"]
    assert compose("merge", MergeConfig, words, config_file=tmp_path / "c.yaml").method == {
        "name": "simple_average"
    }
    words += [POOL, TASKS]
    (tmp_path / "c.yaml").write_text("method: {name: task_arithmetic, scaling_factor: 0.3}\n")
    assert compose("fuse", FuseConfig, words, config_file=tmp_path / "c.yaml").method == {
        "name": "simple_average"
    }


def test_a_recipe_that_a_word_chooses_and_a_file_may_not_differ(tmp_path: Path) -> None:
    file, recipe = tmp_path / "c.yaml", "recipe=glue/lora_base"
    with pytest.raises(UsageError, match=r"recipe=glue/lora_base and .* differ.*training.max_steps.*fix:"):
        of_file(file, "task: glue/rte\nmax_steps: 5\n", recipe)
    with pytest.raises(UsageError, match=r"got training.max_steps;"):
        of_file(file, "task: glue/rte\nepochs: 5\n", recipe)
    told = of_file(file, "task: glue/rte\nmax_steps: 5\nseed: 3\n", recipe, "max_steps=7")
    assert (told.training.max_steps, told.seed, told.recipe) == (7, 3, "glue/lora_base")
    assert of_file(file, f"{recipe.replace('=', ': ')}\ntask: glue/rte\nmax_steps: 5\n", recipe) == (
        compose("train", TrainConfig, [recipe, "task=glue/rte", "max_steps=5"])
    )
    with pytest.raises(UsageError, match="and the configuration file differ"):
        of_file(file, config_text(compose("train", TrainConfig, ["recipe=t0/t0"])), recipe)


@pytest.mark.parametrize(
    "words",
    [["adapter=none"], ["adapter=ia3"], ["adapter=prompt", "adapter.text=Say:"], ["adapter.kind=ia3"]],
    ids=lambda words: words[0],
)
def test_another_option_than_a_recipes_has_none_of_its_keys(words: list[str], tmp_path: Path) -> None:
    base = ["recipe=glue/lora_base", "task=glue/rte"]
    config = compose("train", TrainConfig, [*base, *words])
    kind = words[0].partition("=")[2]
    assert config.adapter == compose("train", TrainConfig, ["model=x", *base[1:], *words]).adapter
    assert config.adapter.kind == kind and config.training.max_steps == 2000
    assert of_file(tmp_path / "c.yaml", config_text(config)) == config


def test_null_is_the_option_none_of_a_group_that_has_it() -> None:
    config = compose("train", TrainConfig, ["recipe=glue/lora_base", "task=glue/rte", "adapter=null"])
    assert config.adapter.kind == "none"


def test_the_same_option_as_a_recipes_keeps_its_keys() -> None:
    words = ["recipe=relations/flan_t5_large", "task=relations/conll04"]
    recipes = compose("train", TrainConfig, words)
    again = compose("train", TrainConfig, [*words, f"adapter={recipes.adapter.kind}"])
    assert again == recipes
    flipped = compose("train", TrainConfig, ["recipe=direct/flipped_3b", "objective=flipped"])
    assert flipped == compose("train", TrainConfig, ["recipe=direct/flipped_3b"])


def test_a_word_wins_over_its_alternative_in_a_file(tmp_path: Path) -> None:
    file, base = tmp_path / "c.yaml", "model: x\ntask: mini/rte\n"
    told = of_file(file, base + "epochs: 3\neval_every_epochs: 1\n", "max_steps=5", "eval_every=2").training
    assert (told.max_steps, told.epochs, told.eval_every, told.eval_every_epochs) == (5, None, 2, None)
    run = config_text(compose("train", TrainConfig, ["model=x", "task=mini/rte", "max_steps=3"]))
    told = of_file(file, run, "epochs=2").training
    assert (told.max_steps, told.epochs) == (None, 2)
    recipes = of_file(file, "recipe: glue/lora_base\ntask: mini/rte\nepochs: 3\n").training
    assert (recipes.max_steps, recipes.epochs) == (None, 3)
    with pytest.raises(UsageError, match="max_steps, epochs: expected one of them"):
        of_file(file, base + "epochs: 3\nmax_steps: 3\n")


def test_a_task_takes_back_a_mixture_and_a_mixture_tasks(tmp_path: Path) -> None:
    for word in ("task=mini/rte", "tasks=mini/rte", "tasks=[mini/rte]"):
        config = compose("train", TrainConfig, ["recipe=mini/hold_out", word])
        assert config.mixture is None and config.task_names == ("mini/rte",)
        assert of_file(tmp_path / "c.yaml", config_text(config)) == config
    run = config_text(
        compose("train", TrainConfig, ["model=x", "tasks=[mini/rte,mini/cola]", "task=mini/sst2"])
    )
    told = of_file(tmp_path / "c.yaml", run, "mixture=mini")
    assert told.task_names == () and told.mixture is not None
    told = of_file(tmp_path / "c.yaml", "model: x\nmixture: mini\nmixture.cap_examples: 3\n", "task=mini/rte")
    assert told.mixture is None and told.task_names == ("mini/rte",)
    kept = compose("train", TrainConfig, ["recipe=mini/hold_out", "tasks=[]", "eval_tasks=mini/rte"])
    assert kept.mixture is not None and kept.eval_tasks == ("mini/rte",)
    assert "got both" in problems("train", TrainConfig, "model=x", "task=mini/rte", "mixture=mini")


def test_the_keys_of_a_free_mapping_may_be_any_text(tmp_path: Path) -> None:
    words = {"not entailment": "no: never", "entailment": "it's {so}", "é.1": "ja, $x"}
    (tmp_path / "c.yaml").write_text(
        yaml.safe_dump({"method": {"name": "dummy"}, "modelpool": {"models": {
            name: {"pretrained_model_name_or_path": value} for name, value in words.items()
        }}, "taskpool": "dummy"}, allow_unicode=True)
    )  # fmt: skip
    models = compose("fuse", FuseConfig, [], config_file=tmp_path / "c.yaml").modelpool.models
    assert {name: model.pretrained_model_name_or_path for name, model in models.items()} == words
    (tmp_path / "c.yaml").write_text("model: x\ntask: glue/rte\nwords: {not entailment: no, 'yes': maybe}\n")
    with pytest.raises(UsageError, match="not entailment"):  # by the task, whose options are yes and no
        compose("evaluate", EvaluateConfig, [], config_file=tmp_path / "c.yaml")


def test_a_wrong_key_in_a_file_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="2 problems") as caught:
        of_file(tmp_path / "c.yaml", "model: x\ntask: mini/rte\nmax steps: 3\nadapter: {rnk: 3}\n")
    assert "'max steps': did you mean 'max_steps'" in str(caught.value)
    assert "'adapter.rnk': did you mean 'adapter.rank'" in str(caught.value)


def test_a_folder_given_for_a_file_is_refused_with_the_file_in_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is a folder.*fix: --config .*FILE\.yaml"):
        compose("merge", MergeConfig, [], config_file=tmp_path)
    (tmp_path / "config.yaml").write_text("seed: 1\n")
    with pytest.raises(UsageError, match=r"is a folder.*fix: --config .*config\.yaml"):
        compose("merge", MergeConfig, [], config_file=tmp_path)


def test_a_resolved_configuration_reads_back_equal(tmp_path: Path) -> None:
    words = [
        "method=ties_merging",
        "method.preset=paper",
        POOL,
        TASKS,
        "limit=3",
        "report_save_path=a b/x.json",
    ]
    config = compose("fuse", FuseConfig, words)
    (tmp_path / "config.yaml").write_text(config_text(config))
    assert compose("fuse", FuseConfig, [], config_file=tmp_path / "config.yaml") == config


@pytest.mark.parametrize(
    "words",
    [
        ["recipe=direct/flipped_3b", "tiny=true", "max_steps=3"],
        ["recipe=glue/lora_base", "task=glue/rte", "adapter.rank=8"],
        ["recipe=papers/question_answer"],
        ["recipe=t0/t0_3b", "mixture=null", "task=glue/rte"],
        ["model=x", "task=glue/rte"],
    ],
    ids=lambda words: words[0],
)
def test_a_training_reads_back_equal_with_and_without_a_recipe(words: list[str], tmp_path: Path) -> None:
    config = compose("train", TrainConfig, words)
    assert config.recipe == (words[0].removeprefix("recipe=") if "recipe" in words[0] else None)
    (tmp_path / "config.yaml").write_text(config_text(config))
    assert compose("train", TrainConfig, [], config_file=tmp_path / "config.yaml") == config


def test_the_last_recipe_wins_and_none_takes_it_back() -> None:
    assert compose("train", TrainConfig, ["recipe=t0/t0", "recipe=t0/t0_plus"]).recipe == "t0/t0_plus"
    config = compose("train", TrainConfig, ["recipe=t0/t0", "recipe=null", "model=x", "task=glue/rte"])
    assert config.recipe is None and config.training.epochs == 3


def test_parts_of_other_files_are_not_offered() -> None:
    assert not any("_base" in name.rpartition("/")[2][:5] for name in group_options("recipe"))
    assert "Seq2SeqLMPool/_template" in group_options("modelpool"), "a name of FusionBench's"
    trainings, roads = group_options("recipe", "train"), group_options("recipe", "run")
    assert set(trainings) | set(roads) == set(group_options("recipe")) and not set(trainings) & set(roads)


def test_a_file_that_holds_no_keys(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("- a\n")
    with pytest.raises(UsageError, match="holds keys and values"):
        compose("merge", MergeConfig, [], config_file=tmp_path / "c.yaml")


KEYS = [
    "limit", "seed", "hub_root", "data_root", "overwrite", "report_save_path", "merged_model_save_path",
    "batch_tokens", "max_input_tokens", "taskpool.tasks", "taskpool.split", "modelpool.models", "device",
]  # fmt: skip


@settings(max_examples=60)
@given(st.sampled_from(KEYS), st.integers(0, 30), st.sampled_from("abcdefghijklmnopqrstuvwxyz_"))
def test_a_key_with_one_wrong_letter_is_refused_with_the_right_one(key: str, place: int, letter: str) -> None:
    head, _, last = key.rpartition(".")
    place %= len(last)
    wrong = last[:place] + letter + last[place + 1 :]
    full = f"{head}.{wrong}" if head else wrong
    if wrong == last:
        return
    shown = problems("fuse", FuseConfig, POOL, f"{full}=x")
    assert f"did you mean '{key}'" in shown


def test_every_option_of_every_group_composes() -> None:
    for method in group_options("method"):
        assert compose("merge", MergeConfig, [f"method={method}", "models=[a]"]).method["name"] == method
    for recipe in group_options("recipe", "run"):
        assert compose("run", RunConfig, [f"recipe={recipe}"]).recipe.name == recipe
    for pool in group_options("modelpool"):
        assert compose("fuse", FuseConfig, [f"modelpool={pool}"]).modelpool.tokenizer is not None


def test_every_shipped_configuration_opens_with_its_command() -> None:
    from ramekin.recipes.groups import CONF

    for path in CONF.rglob("*.yaml"):
        if path.parent.name in ("method", "adapter"):
            continue
        first = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
        assert any(line.startswith("# ramekin ") for line in first), path


def test_a_wrong_configuration_is_refused_before_torch_is_imported() -> None:
    code = (
        "import sys\nfrom ramekin.recipes.compose import compose\nfrom ramekin.recipes.schema import FuseConfig\n"
        "from ramekin.errors import UsageError\n"
        "try:\n    compose('fuse', FuseConfig, ['method=tis', 'modelpool=x', 'method.densty=1'])\n"
        "except UsageError as error:\n    print(error)\n"
        "assert not {'torch', 'transformers', 'datasets', 'peft'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "problems" in done.stdout
