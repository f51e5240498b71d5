"""`ramekin evaluate` as a user types it: tasks and suites, by every mode; and training that evaluates."""

import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., tuple[int, str, str]]
WORDS = "words={yes: agree, no: disagree}"


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Path]) -> Path:
    """A tiny base; the working folder is empty but for it, and answers are kept there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAMEKIN_CACHE", str(tmp_path / "cache"))
    return make_checkpoint(tmp_path / "base", seed=0)


def answers() -> list[str]:
    """The lines of all kept answers."""
    files = sorted(Path("cache/answers").rglob("*.jsonl"))
    return sorted(line for path in files for line in path.read_text().splitlines())


def rows_of(name: str) -> list[dict]:
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


@pytest.mark.parametrize("mode", ["rank", "t0"])
def test_options_are_ranked_with_chance_interval_and_scores(base: Path, ramekin: Run, mode: str) -> None:
    words = (
        "evaluate",
        "model=base",
        "tasks=[mini/rte,mini/mnli]",
        f"mode={mode}",
        "limit=12",
        "output=eval",
    )
    code, out, err = ramekin(*words)
    assert code == 0, err
    assert f"Options are ranked by the rules of '{mode}'." in out
    assert "chance" in out and "33.3" in out and "±" in out
    found = json.loads(Path("eval/evaluation.json").read_text())
    assert (found["modes"][mode]["name"], found["modes"][mode]["direction"]) == (mode, "rank")
    rte, mnli = found["tasks"]
    assert (rte["scores"][0]["metric"], rte["scores"][0]["unparsable"], rte["ties"]) == ("accuracy", 0, 0)
    assert (rte["scores"][0]["chance"], mnli["scores"][0]["chance"]) == (0.5, pytest.approx(1 / 3))
    rows = rows_of("eval/predictions/mini_mnli-fusionbench-validation.jsonl")
    assert len(rows) == 12
    for row in rows:
        assert list(row["option_scores"]) == ["entailment", "neutral", "contradiction"]
        assert row["prediction"] == max(row["option_scores"], key=row["option_scores"].get)
    kept = answers()
    assert len(kept) == 24 and all(json.loads(line)["log_probs"] for line in kept)


def test_a_folder_of_something_else_is_kept_whoever_asks(base: Path, ramekin: Run) -> None:
    Path("thesis").mkdir()
    Path("thesis/chapter.tex").write_text("years")
    words = ("model=base", "task=mini/rte", "limit=4", "output=thesis", "overwrite=true")
    for verb in ("evaluate", "train"):
        code, _, err = ramekin(verb, *words, *(("max_steps=1",) if verb == "train" else ()))
        assert code == 2 and "a folder of something else, which is not overwritten: thesis" in err, verb
    assert [path.name for path in Path("thesis").iterdir()] == ["chapter.tex"]


def test_flipped_with_other_label_words(base: Path, ramekin: Run) -> None:
    words = ("evaluate", "model=base", "task=mini/rte", "mode=flipped", WORDS, "limit=10", "output=eval")
    code, out, err = ramekin(*words)
    assert code == 0, err
    assert "Label words: 'yes' is 'agree', 'no' is 'disagree'." in out
    (part,) = json.loads(Path("eval/evaluation.json").read_text())["tasks"]
    assert (part["options"], part["words"]) == (["agree", "disagree"], {"yes": "agree", "no": "disagree"})
    assert {row["target"] for row in rows_of("eval/predictions/mini_rte-fusionbench-validation.jsonl")} == {
        "agree",
        "disagree",
    }


def test_a_dry_run_shows_what_is_ranked_and_loads_no_weights(base: Path, ramekin: Run) -> None:
    (base / "model.safetensors").unlink()
    words = ("evaluate", "--dry-run", "model=base", "task=mini/rte", "limit=2")
    code, out, _ = ramekin(*words, "mode=rank")
    assert code == 0 and "options yes | no" in out and "Provide 'yes' or 'no'" in out
    code, out, _ = ramekin(*words, "mode=flipped", WORDS)
    assert code == 0 and "\noutput: agree" in out and "\noutput: disagree" in out
    assert "instruction <extra_id_0> Does the text:" in out and "'agree' or 'disagree'" in out
    code, out, _ = ramekin(*words, "--json", "mode=flipped")
    (shown,) = json.loads(out)["sets"]
    assert list(shown["inputs_under"]) == ["yes", "no"] and shown["instruction"].startswith("<extra_id_0>")
    code, out, _ = ramekin(*words, "--json", "mode=rank")
    assert json.loads(out)["sets"][0]["options"] == ["yes", "no"]
    code, out, _ = ramekin(*words, "--json")
    (shown,) = json.loads(out)["sets"]
    assert {key: shown[key] for key in ("task", "template", "split", "mode", "rows", "truncated_inputs")} == {
        "task": "mini/rte",
        "template": "fusionbench",
        "split": "validation",
        "mode": "fusionbench",
        "rows": 2,
        "truncated_inputs": 0,
    }


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (("task=mini/stsb", "mode=rank"), 3, "no options for mode 'rank' to rank"),
        (("task=mini/stsb", "mode=flipped"), 3, "fix: use mode=generate"),
        (("task=mini/rte", "mode=rnk"), 2, "did you mean 'rank'"),
        (("task=mini/rte", "mode=rank", "words={yess: agree}"), 2, "did you mean 'yes'"),
        (("task=mini/rte", "mode=rank", "words={yes: no}"), 2, "two options become the same word"),
        (("tasks=[mini/rte,mini/stsb]", "mode=rank", WORDS), 2, "only the options of a task"),
    ],
)
def test_what_cannot_be_ranked_ends_with_its_code(
    base: Path, ramekin: Run, words: tuple[str, ...], code: int, part: str
) -> None:
    for how in ((), ("--dry-run",)):
        found, _, err = ramekin("evaluate", *how, "model=base", "limit=4", "output=eval", *words)
        assert found == code and part in err
        assert "Traceback" not in err
    if code == 2:
        assert not Path("eval").exists()


@pytest.mark.parametrize("mode", ["rank", "flipped"])
def test_training_evaluates_by_ranking(base: Path, ramekin: Run, mode: str) -> None:
    code, out, err = ramekin(
        "train", "model=base", "task=mini/rte", "limit=24", "max_steps=2", "global_batch=8", "eval_limit=6",
        f"mode={mode}", "output=runs/rte",
    )  # fmt: skip
    assert code == 0, err
    assert f"Options are ranked by the rules of '{mode}'." in out
    report = json.loads(Path("runs/rte/report.json").read_text())
    (cell,) = report["tables"][0]["rows"][0]["cells"]
    assert (cell["metric"], cell["n"], cell["chance"]) == ("accuracy", 6, 0.5)


def test_a_killed_ranking_continues(base: Path, ramekin: Run) -> None:
    words = (
        "evaluate",
        "model=base",
        "task=mini/rte",
        "mode=rank",
        "limit=16",
        "output=eval",
        "batch_tokens=300",
    )
    assert ramekin(*words)[0] == 0
    whole = json.loads(Path("eval/evaluation.json").read_text())["tasks"][0]["scores"]
    kept = answers()
    (file,) = Path("cache/answers").rglob("*.jsonl")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    for name in ("report.json", "evaluation.json"):
        Path("eval", name).unlink()
    code, _, err = ramekin(*words)
    assert code == 0, err
    assert json.loads(Path("eval/evaluation.json").read_text())["tasks"][0]["scores"] == whole
    assert set(answers()) == set(kept)


def test_the_difference_to_an_earlier_evaluation_is_paired(base: Path, ramekin: Run) -> None:
    words = ("evaluate", "model=base", "tasks=[mini/rte,mini/mnli]", "mode=rank", "limit=12")
    assert ramekin(*words, "output=before")[0] == 0
    code, out, err = ramekin(*words, "against=before", "output=after")
    assert code == 0, err
    assert "base minus before" in out and "difference" in out
    found = json.loads(Path("after/evaluation.json").read_text())["differences"]
    assert list(found) == ["rte", "mnli", "Average"]
    assert all((each["difference"], each["low"], each["high"]) == (0, 0, 0) for each in found.values())
    words = ("evaluate", "model=base", "tasks=[mini/rte,mini/mnli]", "mode=perplexity", "limit=4")
    assert ramekin(*words, "output=loss")[0] == 0
    code, out, err = ramekin(*words, "against=loss", "output=less")
    assert code == 0, err
    table = json.loads(Path("less/report.json").read_text())["tables"][-1]
    assert {cell["metric"] for cell in table["rows"][0]["cells"]} == {"perplexity"}
    assert "0.00 ±0.00" in out, "a perplexity is shown as it is"
    code, _, err = ramekin(*words, "against=nowhere", "output=other")
    assert code == 3 and "there is no evaluation to compare with" in err


def told(folder: str = "eval") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(folder, "evaluation.json").read_text())
    return found


def test_a_suite_has_a_headline_parts_and_a_table(base: Path, ramekin: Run) -> None:
    code, out, err = ramekin("evaluate", "model=base", "suite=mini", "limit=4", "output=eval")
    assert code == 0, err
    assert "base on mini" in out and "Parts of mini" in out and "Average" in out
    found = told()
    assert (found["suite"], found["missing"], len(found["tasks"])) == ("mini", [], 15)
    assert list(found["parts"]) == ["GLUE in small", "passages", "steps"]
    assert {part["mode"] for part in found["tasks"]} == {"fusionbench", "generate", "cot"}
    values = [each["value"] for each in found["entries"]]
    assert [each["share"] for each in found["entries"]] == [pytest.approx(1 / 15)] * 15
    assert values == [part["scores"][0]["value"] for part in found["tasks"]]
    assert found["headline"]["value"] == pytest.approx(sum(values) / 15)
    assert found["headline"]["chance"] == pytest.approx(sum(e["chance"] for e in found["entries"]) / 15)
    assert found["parts"]["steps"]["value"] == pytest.approx(sum(values[-4:]) / 4)
    assert [part["n"] for part in found["tasks"]] == [4] * 15
    assert "Partial:" not in Path("eval/report.md").read_text()


def test_several_models_share_rows_and_a_table(
    base: Path, ramekin: Run, make_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import ramekin.evaluate.sets as sets

    calls: list[int] = []
    encode_sets = sets.encode_sets
    monkeypatch.setattr(sets, "encode_sets", lambda *a, **k: calls.append(1) or encode_sets(*a, **k))
    make_checkpoint(Path("other"), seed=5)
    words = ("suite=mini", "limit=4", "mode.max_new_tokens=4")
    code, out, err = ramekin("evaluate", "models=[other,base]", *words, "output=both")
    assert code == 0, err
    assert len(calls) == 1, "the rows are tokenised once"
    assert "other, base on mini" in out
    (table, _) = json.loads(Path("both/report.json").read_text())["tables"]
    assert [row["label"] for row in table["rows"]] == ["other", "base"]
    for row, name in zip(table["rows"], ("other", "base"), strict=True):
        found = told(f"both/{name}")
        assert found["model"] == name
        assert [cell["value"] for cell in row["cells"][:-1]] == [e["value"] for e in found["entries"]]
        assert row["cells"][-1]["value"] == found["headline"]["value"]
        assert len(list(Path("both", name, "predictions").iterdir())) == 15
        assert ramekin("evaluate", f"model={name}", *words, f"output=alone/{name}")[0] == 0
        for file in Path("both", name, "predictions").iterdir():
            assert file.read_text() == Path(f"alone/{name}/predictions", file.name).read_text()
    assert rows_of("both/base/predictions/mini_rte-fusionbench-validation.jsonl") != rows_of(
        "both/other/predictions/mini_rte-fusionbench-validation.jsonl"
    )


def test_all_templates_have_a_box_and_the_task_their_mean_or_median(base: Path, ramekin: Run) -> None:
    words = ("evaluate", "model=base", "mode=rank", "limit=6", "templates=all")
    code, out, err = ramekin(*words, "tasks=[mini/rte,mini/mnli]", "output=eval")
    assert code == 0, err
    assert "Scores by template" in out and "A task's score is the mean over its prompts." in out
    found = told()
    for entry in found["entries"]:
        parts = [part for part in found["tasks"] if part["task"] == entry["task"]]
        assert len(parts) > 4 and len({part["template"] for part in parts}) == len(parts)
        values = [part["scores"][0]["value"] for part in parts]
        assert entry["value"] == pytest.approx(sum(values) / len(values))
        assert entry["note"] == f"mean of {len(parts)} prompts"
    (boxes,) = json.loads(Path("eval/report.json").read_text())["box_plots"]
    assert [box["label"] for box in boxes["boxes"]] == ["mini/rte", "mini/mnli"]
    Path("own.yaml").write_text("over_templates: median\ntasks: [mini/rte, mini/mnli]\n")
    assert ramekin(*words, "suite=own.yaml", "output=median")[0] == 0
    again = told("median")
    for entry in again["entries"]:
        values = [p["scores"][0]["value"] for p in again["tasks"] if p["task"] == entry["task"]]
        assert entry["value"] == pytest.approx(statistics.median(values))


SHOTS = """\
Does the text: 'the baker was never called by the dog' entail that 'the baker was phoned by the dog' is true? \
Provide 'yes' or 'no'.

no


Does the text: 'the nurse is weaker than the singer' entail that 'the nurse is stronger than the singer' is true? \
Provide 'yes' or 'no'.

no


Does the text: 'the bear never welcomed the baker' entail that 'the bear was never greeted by the baker in the park' \
is true? Provide 'yes' or 'no'.

"""


def test_exemplars_are_pinned_to_the_byte_and_a_seed_changes_them(base: Path, ramekin: Run) -> None:
    words = ("evaluate", "model=base", "task=mini/rte", "limit=2", "shots=2", "mode=rank")
    code, out, err = ramekin(*words, "output=eval")
    assert code == 0, err
    assert "Exemplars before each question: 2." in out
    file = "predictions/mini_rte-fusionbench-validation.jsonl"
    first, second = (row["inputs"] for row in rows_of(f"eval/{file}"))
    assert first == SHOTS
    assert second.count("Does the text") == 3 and second.split("\n\n\n")[0] != first.split("\n\n\n")[0]
    (part,) = told()["tasks"]
    assert part["shots"] == 2 and "pruned_exemplars" not in part
    assert ramekin(*words, "seed=1", "output=other")[0] == 0
    for row, before in zip(rows_of(f"other/{file}"), (first, second), strict=True):
        assert row["inputs"] != before
        assert row["inputs"].split("\n\n\n")[-1] == before.split("\n\n\n")[-1]
    assert ramekin(*words, "max_input_tokens=120", "output=short")[0] == 0
    assert told("short")["tasks"][0]["pruned_exemplars"] == 2
    assert (
        "exemplars left out: they did not fit, or were not there: 2 of 4"
        in Path("short/report.md").read_text()
    )


def test_a_row_is_never_its_own_exemplar(base: Path, ramekin: Run) -> None:
    words = ("task=mini/rte", "limit=8", "shots=7", "exemplar_split=validation", "max_input_tokens=2048")
    assert ramekin("evaluate", "model=base", *words, "mode=rank", "output=eval")[0] == 0
    rows = [row["inputs"] for row in rows_of("eval/predictions/mini_rte-fusionbench-validation.jsonl")]
    for inputs in rows:
        question = inputs.split("\n\n\n")[-1].strip()
        assert inputs.count("Does the text") == 8 and inputs.count(question) == 1


def test_a_changed_rule_is_in_the_name_and_has_answers_of_its_own(base: Path, ramekin: Run) -> None:
    words = ("evaluate", "model=base", "task=mini/rte", "limit=6", "mode=rank")
    assert ramekin(*words, "output=plain")[0] == 0
    before = set(answers())
    code, out, err = ramekin(*words, "mode.option_eos=false", "output=changed")
    assert code == 0, err
    assert "Options are ranked by the rules of 'rank(option_eos=false)'." in out
    (mode,) = told("changed")["modes"].values()
    assert (mode["name"], mode["option_eos"]) == ("rank(option_eos=false)", False)
    after = set(answers())
    assert before < after and len(after) == 2 * len(before) == 12
    file = "predictions/mini_rte-fusionbench-validation.jsonl"
    for one, other in zip(rows_of(f"plain/{file}"), rows_of(f"changed/{file}"), strict=True):
        assert all(one["option_scores"][o] < other["option_scores"][o] for o in ("yes", "no")), "a token less"


def test_lm_evals_accuracies_stand_beside_each_other(base: Path, ramekin: Run) -> None:
    words = ("evaluate", "model=base", "task=mini/mnli", "limit=12", "mode=lm_eval", "output=eval")
    assert ramekin(*words)[0] == 0
    (part,) = told()["tasks"]
    rows = rows_of("eval/predictions/mini_mnli-fusionbench-validation.jsonl")
    scores = {score["metric"]: score["value"] for score in part["scores"]}
    assert list(scores) == ["accuracy", "accuracy_characters", "accuracy_bytes", "accuracy_pmi"]
    for row in rows:
        per = {option: score / len(option) for option, score in row["option_scores"].items()}
        assert row["others"]["characters"] == row["others"]["bytes"] == max(per, key=per.__getitem__)
    assert scores["accuracy"] == sum(row["prediction"] == row["target"] for row in rows) / 12
    for name in ("characters", "bytes", "pmi"):
        assert scores[f"accuracy_{name}"] == sum(row["others"][name] == row["target"] for row in rows) / 12
    assert told()["modes"]["lm_eval"]["keys"]["accuracy_pmi"] == "acc_mutual_info"


def test_perplexity_is_that_of_the_models_logits(base: Path, ramekin: Run) -> None:
    import torch

    from ramekin.tensors.tokenizer import load_tokenizer
    from ramekin.weights.seq2seq import load_model

    words = ("evaluate", "model=base", "task=mini/squad", "limit=5", "mode=perplexity", "output=eval")
    code, _, err = ramekin(*words)
    assert code == 0, err
    (part,) = told()["tasks"]
    model, tokenizer = load_model(base), load_tokenizer(base)
    loss, tokens = 0.0, 0
    for row in rows_of(f"eval/predictions/mini_squad-{part['template']}-validation.jsonl"):
        ids = [
            tokenizer(text, add_special_tokens=False)["input_ids"] + [1]
            for text in (row["inputs"], row["target"])
        ]
        inputs, labels = (torch.tensor([each]) for each in ids)
        with torch.inference_mode():
            loss += model(input_ids=inputs, labels=labels).loss.item() * labels.numel()
        tokens += labels.numel()
        assert row["num_tokens"] == labels.numel()
    (score,) = part["scores"]
    assert (score["metric"], score["value"]) == (
        "perplexity",
        pytest.approx(math.exp(loss / tokens), rel=1e-4),
    )
    assert score["chance"] == part["vocab_size"] == len(tokenizer)


def test_several_answers_are_drawn_and_voted_on(base: Path, ramekin: Run) -> None:
    words = ("model=base", "task=mini/rte", "limit=4", "mode=self_consistency", "mode.max_new_tokens=8")
    code, _, err = ramekin("evaluate", *words, "mode.num_samples=3", "output=eval")
    assert code == 0, err
    found = told()
    (mode,) = found["modes"].values()
    assert mode["name"] == "self_consistency(max_new_tokens=8, num_samples=3)"
    rows = rows_of("eval/predictions/mini_rte-fusionbench-validation.jsonl")
    for row in rows:
        assert len(row["samples"]) == 3 == sum(row["votes"].values())
        assert row["inputs"].endswith("Let's think step by step.")
        read = {answer: count for answer, count in row["votes"].items() if answer}
        assert row["prediction"] == (max(read, key=read.__getitem__) if read else "")
    assert found["tasks"][0]["unread_samples"] == sum(row["votes"].get("", 0) for row in rows)
    assert len({sample for row in rows for sample in row["samples"]}) > 4, "they are drawn"
    assert ramekin("evaluate", *words, "mode.num_samples=3", "seed=1", "output=other")[0] == 0
    assert rows_of("other/predictions/mini_rte-fusionbench-validation.jsonl") != rows


def test_beams_search_and_a_pattern_reads(base: Path, ramekin: Run) -> None:
    words = ("evaluate", "model=base", "task=mini/rte", "limit=4", "mode=generate", "mode.max_new_tokens=6")
    assert ramekin(*words, "mode.num_beams=2", "output=beams")[0] == 0
    assert list(told("beams")["modes"]) == ["generate(max_new_tokens=6, num_beams=2)"]
    code, _, err = ramekin(*words, "mode.extraction=pattern", "mode.pattern='^ ?(.)'", "output=eval")
    assert code == 0, err
    assert ramekin(*words, "output=plain")[0] == 0
    file = "predictions/mini_rte-fusionbench-validation.jsonl"
    for row, whole in zip(rows_of(f"eval/{file}"), rows_of(f"plain/{file}"), strict=True):
        assert row["written"] == whole["prediction"] and row["written"]
        assert row["prediction"] == row["written"].removeprefix(" ")[0]


OWN = """\
description: one task is here, two are not
mode: rank
limit: 4
average: parts
parts:
  - {title: here, tasks: [mini/rte]}
  - {title: gone, tasks: [glue/rte, {task: mgsm/de, splits: test, mode: generate, shots: 8}]}
"""


def test_what_is_missing_is_told_by_name(base: Path, ramekin: Run) -> None:
    Path("own.yaml").write_text(OWN)
    Path("data/mgsm/de").mkdir(parents=True)
    row = {"question": "1 + 1?", "answer": None, "answer_number": 2, "equation_solution": None}
    Path("data/mgsm/de/test.jsonl").write_text(json.dumps(row) + "\n")
    words = ("evaluate", "model=base", "suite=own.yaml", "data_root=data")
    code, out, err = ramekin(*words, "output=eval")
    assert code == 0, err
    partial = "Partial: 1 of 3 tasks; the data of these is missing: glue/rte, mgsm/de."
    assert partial in " ".join(out.split())
    assert partial in Path("eval/report.md").read_text()
    found = told()
    assert [each["name"] for each in found["missing"]] == ["glue/rte", "mgsm/de"]
    assert "the hub cannot be reached" in found["missing"][0]["reason"]
    assert "there is no split 'train'" in found["missing"][1]["reason"], "its exemplars"
    assert [(each["name"], each["share"]) for each in found["entries"]] == [("mini/rte", 1.0)]
    assert list(found["parts"]) == ["here"]
    assert "missing: glue/rte: the hub" in err
    code, out, _ = ramekin(*words, "--dry-run")
    assert code == 0 and "missing: mgsm/de: there is no split 'train'" in out
    code, _, err = ramekin(*words, "missing=error", "output=other")
    assert code == 3 and "the hub cannot be reached" in err
    code, _, err = ramekin("evaluate", "model=base", "task=glue/rte", "output=other")
    assert code == 3, "a task that was named must be there"
    words = (
        "evaluate",
        "model=base",
        "tasks=[glue/rte,mini/rte]",
        "limit=2",
        "missing=report",
        "output=other",
    )
    assert ramekin(*words)[0] == 0 and [e["name"] for e in told("other")["missing"]] == ["glue/rte"]


def test_where_all_is_missing_there_is_nothing_to_do(base: Path, ramekin: Run) -> None:
    for how in ((), ("--dry-run",)):
        code, _, err = ramekin("evaluate", *how, "model=base", "suite=glue", "output=eval")
        assert code == 3 and "nothing of the suite 'glue' is there" in err
        assert "glue/cola: " in err and "glue/stsb: " in err
    assert not Path("eval/evaluation.json").exists()


def test_the_first_split_whose_rows_are_there_is_asked(base: Path, ramekin: Run) -> None:
    Path("own.yaml").write_text("mode: rank\nsplits: [validation, train]\ntasks: [glue/rte]\n")
    Path("data/glue/rte").mkdir(parents=True)
    for split, part in (("train", "train"), ("validation", "validation")):
        row = {"sentence1": "it rains", "sentence2": "it is wet", "label": 0}
        Path(f"data/glue/rte/{split}.jsonl").write_text(json.dumps(row) + "\n")
        assert (
            ramekin("evaluate", "model=base", "suite=own.yaml", "data_root=data", f"output={split}")[0] == 0
        )
        assert told(split)["tasks"][0]["split"] == part
    words = ("evaluate", "model=base", "suite=own.yaml", "data_root=data", "split=train", "output=said")
    assert ramekin(*words)[0] == 0 and told("said")["tasks"][0]["split"] == "train"


def test_a_second_run_into_another_output_computes_nothing(base: Path, ramekin: Run) -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counted(TorchDispatchMode):
        """Counts matrix products, without which no batch is computed."""

        products = 0

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = function.overloadpacket.__name__
            self.products += name in (
                "_linear_pointwise",
                "addmm",
                "baddbmm",
                "bmm",
                "linear",
                "matmul",
                "mm",
            )
            return function(*args, **(kwargs or {}))

    counts, scores = [], []
    for output in ("first", "second"):
        with Counted() as counted:
            words = ("evaluate", "model=base", "suite=mini", "limit=3", "mode.max_new_tokens=4")
            code, _, err = ramekin(*words, f"output={output}")
        assert code == 0, err
        counts.append(counted.products)
        scores.append([part["scores"] for part in told(output)["tasks"]])
    assert counts[0] > 50 and counts[1] == 0
    assert scores[0] == scores[1]
    for file in Path("first/predictions").iterdir():
        assert file.read_text() == Path("second/predictions", file.name).read_text()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("suite=mni",), "did you mean 'mini'"),
        (("suite=mini", "metric=acuracy"), "did you mean 'accuracy'"),
        (("suite=mini", "mode=rank", "mode.option_eoss=false"), "did you mean 'mode.option_eos'"),
        (("suite=mini", "mode.num_beam=2"), "did you mean 'mode.num_beams'"),
        (("suite=mini", "mode.extraction=patern"), "'pattern'"),
        (("suite=mini", "mode.extraction=pattern"), "extraction=pattern and a pattern go together"),
        (("suite=mini", "shot_form=qa"), "'shot_form' says nothing of no exemplars"),
        (("suite=mini", "mode=flipped", "shots=2"), "has no room for exemplars"),
        (("task=mini/rte", "shots=2", "exemplars=published"), "no file of exemplars was published"),
        (("task=mini/rte", "shots=2", "thought=rationale"), "no reasoning to show: mini/rte"),
        (("task=mini/rte", "metric=perplexity"), "do not go together"),
        (("suite=mini", "words={yes: agree}"), "unknown option 'yes'"),
        (("suite=mini", "template=all"), "did you mean 'templates'"),
        (("suite=mini", "missing=ignore"), "'report' or 'error'"),
        (("task=mini/rte", "models=[base,base]"), "named twice"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_a_model_is_opened(
    base: Path, ramekin: Run, words: tuple[str, ...], part: str
) -> None:
    (base / "model.safetensors").unlink()
    for how in ((), ("--dry-run",)):
        model = () if any(word.startswith("models=") for word in words) else ("model=base",)
        code, _, err = ramekin("evaluate", *how, *model, "limit=2", "output=eval", *words)
        assert code == 2 and part in err, err
        assert "Traceback" not in err


def test_a_dry_run_of_a_suite_tells_tokens_cuts_and_cost(base: Path, ramekin: Run) -> None:
    (base / "model.safetensors").unlink()
    words = ("evaluate", "--dry-run", "model=base", "suite=mini", "limit=3")
    code, out, err = ramekin(*words)
    assert code == 0, err
    assert "evaluate base on mini by the rules of 'fusionbench', 'generate', 'cot':" in out
    assert "45 requests" in out and "TFLOP: about" in out and "0 of 3 prompts cut\n" in out
    code, out, _ = ramekin(*words, "--json")
    found = json.loads(out)
    assert (found["suite"], found["models"], found["missing"], len(found["sets"])) == (
        "mini",
        ["base"],
        [],
        15,
    )
    cost = found["cost"]
    assert (cost["requests"], cost["output_tokens"]) == (45, 3 * (8 * 9 + 3 * 64 + 4 * 256))
    assert cost["input_tokens"] == pytest.approx(sum(3 * e["mean_input_tokens"] for e in found["sets"]))
    assert {each["lost_tokens"] for each in found["sets"]} == {0}
    code, out, _ = ramekin(*words, "max_input_tokens=60", "--json")
    short = json.loads(out)["sets"]
    assert all(each["rows"] == 3 and each["max_input_tokens"] <= 60 for each in short)
    for before, after in zip(found["sets"], short, strict=True):
        tokens = 3 * (before["mean_input_tokens"] - after["mean_input_tokens"])
        assert after["lost_tokens"] == pytest.approx(tokens)
        assert (
            (after["truncated_inputs"] > 0) == (after["lost_tokens"] > 0) == (before["max_input_tokens"] > 60)
        )
    assert "tokens lost" in ramekin(*words, "max_input_tokens=60")[1]
    assert not Path("eval").exists() and not Path("cache/answers").exists()


def test_tokens_that_were_lost_stand_in_the_report(base: Path, ramekin: Run) -> None:
    words = ("model=base", "task=mini/rte", "limit=4", "mode=rank", "max_input_tokens=30", "output=eval")
    assert ramekin("evaluate", *words)[0] == 0
    (part,) = told()["tasks"]
    assert part["truncated_inputs"] == 4
    assert part["input_tokens"] - part["lost_tokens"] == 4 * 29
    assert 0 < part["lost_from_fields"] <= part["lost_tokens"]
    shown = f"{part['lost_from_fields']} of {part['input_tokens']}"
    assert (
        f"input tokens lost from the ends of the records' words: {shown}"
        in Path("eval/report.md").read_text()
    )


def test_suites_within_may_ask_the_same_of_a_task_twice(base: Path, ramekin: Run) -> None:
    Path("plain.yaml").write_text("mode: rank\ntasks: [mini/rte]\n")
    Path("shown.yaml").write_text("mode: rank\nshots: 1\ntasks: [mini/rte]\n")
    Path("both.yaml").write_text("parts:\n  - {title: 0, suite: plain.yaml}\n".replace("0", "zero shots"))
    with Path("both.yaml").open("a") as file:
        file.write("  - {title: one shot, suite: shown.yaml}\n")
    words = ("evaluate", "model=base", "suite=both.yaml", "limit=3")
    code, _, err = ramekin(*words, "output=eval")
    assert code == 0, err
    found = told()
    labels = [part["label"] for part in found["tasks"]]
    assert labels == ["zero shots, plain", "one shot, shown"]
    assert [each["path"] for each in found["entries"]] == [["zero shots", "plain"], ["one shot", "shown"]]
    files = sorted(Path("eval/predictions").iterdir())
    assert len(files) == 2
    assert sorted(rows_of(str(path))[0]["inputs"].count("Does the text") for path in files) == [1, 2]
    code, _, err = ramekin(*words, "against=eval", "output=again")
    assert code == 0, err
    assert len(told("again")["differences"]) == 3, "each of the two, and their average"


def test_label_words_of_a_suite_are_told_apart(base: Path, ramekin: Run) -> None:
    Path("own.yaml").write_text(
        "mode: rank\nmetric: f1_macro\ntasks:\n"
        "  - {task: mini/rte, words: [{yes: agree, no: disagree}, {yes: right, no: wrong}]}\n"
    )
    code, _, err = ramekin("evaluate", "model=base", "suite=own.yaml", "limit=4", "output=eval")
    assert code == 0, err
    found = told()
    assert [part["scores"][0]["metric"] for part in found["tasks"]] == ["f1_macro"] * 2
    assert [part["words"] for part in found["tasks"]] == [
        {"yes": "agree", "no": "disagree"},
        {"yes": "right", "no": "wrong"},
    ]
    assert len(list(Path("eval/predictions").iterdir())) == 2
    (boxes,) = json.loads(Path("eval/report.json").read_text())["box_plots"]
    assert len(boxes["boxes"][0]["points"]) == 2
