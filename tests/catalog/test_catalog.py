"""The built-in tasks, their prompts pinned byte for byte."""

import ast
import re
from importlib.resources import files
from pathlib import Path

import pytest

from ramekin.catalog import Catalog, load_task, task_names
from ramekin.catalog.clusters import clusters
from ramekin.errors import DataError, UsageError
from ramekin.text.reading import read_record
from ramekin.text.render import render
from ramekin.text.task_yaml import check_template

SHARED = Path(__file__).parents[2].parent / "shared"
PAIR = {"sentence1": "S one.", "sentence2": 'S "two"\'s'}

GOLDEN = {
    "cola": (
        {"sentence": "They drank the pub."},
        "Indicate if the following sentence is grammatically correct or not: \"They drank the pub.\". "
        "Answere 'acceptable' or 'unacceptable'.",
        ["unacceptable", "acceptable"],
    ),
    "mnli": (
        {"premise": "P", "hypothesis": "H"},
        "Does the premise: 'P' logically imply, contradict, or is neutral to the hypothesis: 'H'? "
        "Answere with 'entailment', 'contradiction', or 'neutral'.",
        ["entailment", "neutral", "contradiction"],
    ),
    "mrpc": (
        PAIR,
        "Are the following sentences 'S one.' and 'S \"two\"'s' conveying the same meaning? Answere with 'yes' or 'no'.",
        ["no", "yes"],
    ),
    "qnli": (
        {"question": "Q?", "sentence": "S"},
        "Given the context: 'S', does the question 'Q?' have an answer based on the information provided? "
        "Answer with 'yes' or 'no'.",
        ["yes", "no"],
    ),
    "qqp": (
        {"question1": "A?", "question2": "B?"},
        "Do the questions 'A?' and 'B?' have the same intent? Answere with 'yes' or 'no'.",
        ["no", "yes"],
    ),
    "rte": (
        PAIR,
        "Does the text: 'S one.' entail that 'S \"two\"'s' is true? Provide 'yes' or 'no'.",
        ["yes", "no"],
    ),
    "sst2": (
        {"sentence": "fine film "},
        "Given the sentence 'fine film ', determine the sentiment. Is it positive or negative?",
        ["negative", "positive"],
    ),
    "stsb": (
        PAIR,
        "Consider the sentences 'S one.' and 'S \"two\"'s'. "
        "On a scale from 1 (completely different) to 5 (completely similar), rate the similarity.",
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("family", ["glue", "mini"])
@pytest.mark.parametrize("name", GOLDEN)
def test_the_eight_prompts_are_pinned(family: str, name: str) -> None:
    record, inputs, answers = GOLDEN[name]
    task = load_task(f"{family}/{name}")
    labels = range(len(answers)) if answers else [2.25, 0.75, 5.0]
    for label, target in zip(labels, answers or ["2.2", "0.8", "5.0"], strict=True):
        example = render(task, {**record, "label": label}, split="validation", row=0)
        assert (example.inputs, example.targets) == (inputs, target)
    assert list(task.options) == (answers or [])


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/seeds and ../shared/data")
@pytest.mark.parametrize("name", ["cola", "mrpc", "qnli", "rte", "sst2", "stsb"])
def test_real_rows_render_as_the_seed_page_formats_them(name: str) -> None:
    import pyarrow.parquet

    page = (SHARED / "seeds" / "000_879895fa6e4f0356.txt").read_text(encoding="utf-8")
    prompts = ast.literal_eval(re.search(rf"^{name} = (\{{.*?^\}})", page, re.M | re.S).group(1))
    task = load_task(f"glue/{name}")
    rows = pyarrow.parquet.read_table(SHARED / "data" / "glue" / name / "validation.parquet").to_pylist()
    for index, row in enumerate(rows):
        example = render(task, row, split="validation", row=index)
        target = prompts["target_text"]
        expected = target.format(row["label"]) if isinstance(target, str) else target[str(row["label"])]
        assert (example.inputs, example.targets) == (prompts["input_text"].format(**row), expected)


def test_every_built_in_task_is_well_formed() -> None:
    names = task_names()
    assert names == tuple(sorted(names)) and len(names) == 241
    for name in names:
        task = load_task(name)
        assert task.name == name and task.description and task.licence and task.group, name
        assert task.cluster in clusters(), name
        assert len(task.templates) == 10, name
        assert sum(template.turned for template in task.templates.values()) <= 3, (
            "FLAN turns three around at most"
        )
        for template in task.templates.values():
            check_template(task, template)


def test_a_data_set_that_the_hub_does_not_load_as_it_is_says_how_to_come_by_it() -> None:
    for name in task_names():
        source = load_task(name).source
        if source.world is None and (source.hub is None or source.revision is not None):
            assert source.local and len(source.obtain) > 40, name


def test_the_templates_of_a_task_differ_in_their_words() -> None:
    for name in task_names():
        texts = [" ".join(template.source.split()) for template in load_task(name).templates.values()]
        assert len(set(texts)) == len(texts), name


def test_the_worlds_reading_tasks_are_not_asked_in_words_of_its_entailment_tasks() -> None:
    """One is held out while the other is trained on: docs/results/hold-out.md."""

    def runs(*names: str) -> set[tuple[str, ...]]:
        sources = [each.source for name in names for each in load_task(f"mini/{name}").templates.values()]
        pieces = [piece for source in sources for piece in re.split(r"\{\{.*?\}\}|\{%.*?%\}|\n", source)]
        words = [re.findall(r"[a-z']+", piece.lower()) for piece in pieces]
        return {tuple(each[i : i + 5]) for each in words for i in range(len(each) - 4)}

    read, entailed = runs("boolq", "multirc", "squad"), runs("mnli", "qnli", "rte")
    assert len(read) > 100 and len(entailed) > 100 and not read & entailed


def test_an_unknown_task_has_its_nearest_name() -> None:
    with pytest.raises(UsageError, match="unknown task 'glue/rtee': did you mean 'glue/rte'"):
        load_task("glue/rtee")


def test_a_users_folder_adds_tasks_and_may_not_hide_a_built_in_one(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    text = (
        "source: {local: own/t, obtain: made here, splits: {train: train}}\ncolumns: {text: string}\n"
        "kind: text\nanswer: text\nmetrics: [accuracy]\n"
    )
    (tmp_path / "own" / "t.yaml").write_text(text + "templates: {a: '{{ text }} ||| b'}\n")
    assert "own/t" in task_names(tmp_path)
    assert load_task("own/t", tasks_root=tmp_path).template().name == "a"
    (tmp_path / "glue").mkdir()
    (tmp_path / "glue" / "rte.yaml").write_text(text)
    with pytest.raises(UsageError, match="'glue/rte' exists already"):
        task_names(tmp_path)


def test_borrowed_templates_follow_their_owner_and_not_themselves(tmp_path: Path) -> None:
    assert load_task("mini/rte").templates == load_task("glue/rte").templates
    (tmp_path / "own").mkdir()
    text = (Path(str(files("ramekin.catalog"))) / "tasks/mini/rte.yaml").read_text(encoding="utf-8")
    for name, lender in [("loop", "own/loop"), ("chain", "mini/rte")]:
        (tmp_path / "own" / f"{name}.yaml").write_text(text.replace("glue/rte", lender))
        with pytest.raises(
            DataError, match=f"'own/{name}' borrows the templates of '{lender}', which has none"
        ):
            load_task(f"own/{name}", tasks_root=tmp_path)


def test_a_tasks_root_that_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a folder"):
        task_names(tmp_path / "none")


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    text = (
        "source: {hub: org/wet, splits: {train: train}}\ncolumns: {text: string}\nkind: text\nanswer: text\n"
        "metrics: [rouge1]\ntemplates: {ask: '{{ text }} ||| {{ answer }}'}\ndescription: "
    )
    for name, described in (("wet", "one"), ("wet", "another"), ("_both", "a third")):
        each = "each: {dry: {title: x}}\n" if name == "_both" else ""
        (tmp_path / "own" / f"{name}.yaml").write_text(each + text + described)
        task = load_task("own/dry" if each else "own/wet", tasks_root=tmp_path)
        assert task.description == described
    (tmp_path / "own" / "_both.yaml").write_text("each: {moist: {title: x}}\n" + text + "a fourth")
    assert load_task("own/moist", tasks_root=tmp_path).description == "a fourth"
    with pytest.raises(UsageError, match="unknown task 'own/dry'"):
        load_task("own/dry", tasks_root=tmp_path)


def test_a_task_is_made_once_a_catalogue() -> None:
    catalog = Catalog()
    assert catalog["glue/rte"] is catalog["glue/rte"] is load_task("glue/rte")


SHARING = (
    "super_glue/multirc",
    "super_glue/record",
    "super_glue/boolq",
    "reading/squad_v1",
    "reading/squad_v2",
    "reading/drop",
    "dialogue/quac",
    "multiple_choice/dream",
    "multiple_choice/quail",
    "commonsense/cosmos_qa",
    "tydiqa/ar",
    "nli/snli",
    "glue/mnli",
    "mini/squad",
    "mini/multirc",
)


def test_tasks_about_a_text_say_what_their_rows_share() -> None:
    for name in SHARING:
        task = load_task(name)
        example = render(task, task.sample, split="sample", row=0)
        assert re.fullmatch("[0-9a-f]{12}", example.passage), name
    for name in ("closed_book_qa/arc_easy", "glue/cola", "math/gsm8k"):
        assert load_task(name).passage is None


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared folder")
@pytest.mark.parametrize(
    ("name", "split", "passages"),
    [
        ("super_glue/multirc", "validation", 83),
        ("super_glue/wsc", "validation", 41),
        ("glue/qnli", "validation", 3913),
        ("nli/anli_r1", "validation", 845),
        ("sick/entailment", "test", 3393),
    ],
)
def test_real_rows_share_as_many_passages(name: str, split: str, passages: int) -> None:
    import pyarrow.parquet

    task = load_task(name)
    path = SHARED / "data" / task.source.local / f"{task.source.splits[split]}.parquet"
    rows = pyarrow.parquet.read_table(path).to_pylist()
    found = {read_record(task, row, where=name, names=frozenset()).passage for row in rows}
    assert len(found) == passages < len(rows)
