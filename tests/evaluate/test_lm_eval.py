"""lm-eval's layout, key for key as that tool was seen to write it."""

import dataclasses
import hashlib
import json
from datetime import UTC, datetime

import pytest

from ramekin.errors import UsageError
from ramekin.evaluate.evaluation import Evaluation, Prediction, TaskEvaluation
from ramekin.evaluate.lm_eval import (
    LmEvalGroup,
    date_id,
    lm_eval_key,
    lm_eval_names,
    lm_eval_results,
    lm_eval_samples,
    model_folder,
)
from ramekin.evaluate.mode import MODES
from ramekin.text.score import Score

STARTED = datetime(2026, 11, 23, 13, 47, 34, 298169, tzinfo=UTC)

EVERY_KEY = (
    "results", "groups", "group_subtasks", "configs", "versions", "n-shot", "higher_is_better", "n-samples",
    "config", "git_hash", "date", "pretty_env_info", "transformers_version", "lm_eval_version",
    "upper_git_hash", "tokenizer_pad_token", "tokenizer_eos_token", "tokenizer_bos_token", "eot_token_id",
    "max_length", "task_hashes", "model_source", "model_name", "model_name_sanitized", "system_instruction",
    "system_instruction_sha", "fewshot_as_multiturn", "chat_template", "chat_template_sha",
    "total_evaluation_time_seconds",
)  # fmt: skip
"""Of a real file of lm-eval 0.4.13, in its order."""

SAMPLE_KEYS = (
    "doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash",
    "prompt_hash", "target_hash",
)  # fmt: skip


def score(metric: str, value: float = 0.5, n: int = 2) -> Score:
    return Score(metric, value, n, 0.0, 1.0, 0.5, 0.25)


def ranked(row: int, target: str, chosen: str, **others: str) -> Prediction:
    scores = {"yes": -1.5, "no": -2.0} if chosen == "yes" else {"yes": -2.5, "no": -2.0}
    return Prediction(
        f"toy/rte#ask/validation/{row}", f"asked {row}", target, chosen, target == chosen, chosen,
        option_scores=scores, others=others,
    )  # fmt: skip


def part(
    task="toy/rte", *metrics: str, mode="lm_eval", predictions=(), template="ask", **more
) -> TaskEvaluation:
    chosen = predictions or (
        ranked(4, "yes", "yes", characters="no", bytes="no", pmi="yes"),
        ranked(7, "no", "yes", characters="no", bytes="yes", pmi="yes"),
    )
    given = MODES[mode] if isinstance(mode, str) else mode
    scores = tuple(
        map(score, metrics or ("accuracy", "accuracy_characters", "accuracy_bytes", "accuracy_pmi"))
    )
    return TaskEvaluation(
        task, template, "validation", given, "toy", ("yes", "no"), scores, {}, tuple(chosen), 0.1, **more
    )


def evaluation(*parts: TaskEvaluation) -> Evaluation:
    versions = {"ramekin": "9.9", "transformers": "5.23.0"}
    return Evaluation(parts, 3, 64, 512, 1.25, 10, 20, versions, {})


def written(mode, **fields) -> TaskEvaluation:
    text = Prediction("toy/qa#ask/validation/0", "asked", "Rome", "Rome", True, "Rome", ("Roma",), **fields)
    return part("toy/qa", "squad_f1", "exact_match", mode=mode, predictions=[text])


def results(*parts: TaskEvaluation, groups=(), **more):
    names = lm_eval_names([(each.task, each.template, each.label) for each in parts])
    return lm_eval_results(evaluation(*parts), names, groups, model="a/b", started=STARTED, **more)


def test_a_tasks_results_are_named_as_there() -> None:
    found = results(part())["results"]["toy_rte"]
    assert list(found) == [
        "name", "alias", "sample_len", "acc,none", "acc_stderr,none", "acc_norm,none", "acc_norm_stderr,none",
        "acc_bytes,none", "acc_bytes_stderr,none", "acc_mutual_info,none", "acc_mutual_info_stderr,none",
    ]  # fmt: skip
    assert (found["name"], found["alias"], found["sample_len"]) == ("toy_rte", "toy_rte", 2)
    assert (found["acc,none"], found["acc_stderr,none"]) == (0.5, 0.25)


def test_the_keys_are_those_of_that_tool_in_its_order_and_one_that_says_who_wrote_it() -> None:
    group = LmEvalGroup("toy", "toy", ("toy_rte",), "acc,none", 0.5, 0.1)
    found = results(part(), groups=[group], limit=2)
    assert [key for key in found if key != "ramekin_version"] == [key for key in EVERY_KEY if key in found]
    assert set(EVERY_KEY) - set(found) == {
        "pretty_env_info", "tokenizer_pad_token", "tokenizer_eos_token", "tokenizer_bos_token", "eot_token_id",
    }  # fmt: skip
    assert (found["lm_eval_version"], found["ramekin_version"]) == (None, "ramekin 9.9")
    assert (found["model_source"], found["model_name"], found["model_name_sanitized"]) == (
        "ramekin",
        "a/b",
        "a__b",
    )
    assert (found["date"], found["total_evaluation_time_seconds"]) == (STARTED.timestamp(), "1.25")
    assert (found["config"]["limit"], found["config"]["random_seed"]) == (2, 3)
    assert found["config"]["model_num_parameters"] == 20
    assert found["n-samples"] == {"toy_rte": {"original": None, "effective": 2}}
    json.dumps(found, allow_nan=False)


def test_groups_stand_among_the_results_and_by_themselves() -> None:
    parts = (part(shots=2), part("toy/cola", "matthews", shots=2))
    inner = LmEvalGroup("inner", "The inner", ("toy_rte",), "acc,none", 0.5, 0.1)
    outer = LmEvalGroup("outer", "The outer", ("inner", "toy_cola"))
    found = results(*parts, groups=[inner, outer])
    assert list(found["results"]) == ["toy_rte", "toy_cola", "inner", "outer"]
    assert found["group_subtasks"] == {"inner": ["toy_rte"], "outer": ["inner", "toy_cola"]}
    assert found["groups"] == {name: found["results"][name] for name in ("inner", "outer")}
    assert found["groups"]["inner"] == {
        "alias": "The inner", "name": "inner", "sample_len": 2, "acc,none": 0.5, "acc_stderr,none": 0.1,
        "sample_count": {"acc,none": 2},
    }  # fmt: skip
    assert found["groups"]["outer"] == {"alias": "The outer", "name": "outer", "sample_len": 4}
    assert found["higher_is_better"]["outer"] == {
        "acc": True, "acc_norm": True, "acc_bytes": True, "acc_mutual_info": True, "mcc": True,
    }  # fmt: skip
    assert found["n-shot"] == {"toy_rte": 2, "toy_cola": 2, "inner": 2, "outer": 2}
    assert set(found["versions"].values()) == {"N/A"} and list(found["configs"]) == ["toy_rte", "toy_cola"]


def test_a_group_of_unlike_shots_has_none_and_without_a_value_there_are_no_groups() -> None:
    parts = (part(shots=2), part("toy/cola"))
    found = results(*parts, groups=[LmEvalGroup("all", "all", ("toy_rte", "toy_cola"))])
    assert found["n-shot"] == {"toy_rte": 2, "toy_cola": 0}
    assert "groups" not in found and found["group_subtasks"] == {"all": ["toy_rte", "toy_cola"]}
    assert results(part())["group_subtasks"] == {}


@pytest.mark.parametrize(
    ("mode", "metric", "expected"),
    [
        (MODES["t0"], "accuracy", ("acc", "none")),
        (MODES["lm_eval"].changed(normalisation="characters"), "accuracy", ("acc_norm", "none")),
        (MODES["rank"].changed(normalisation="characters", also=("none",)), "accuracy_none", ("acc", "none")),
        (MODES["rank"].changed(normalisation="tokens"), "accuracy", ("accuracy", "none")),
        (MODES["rank"].changed(also=("tokens",)), "accuracy_tokens", ("accuracy_tokens", "none")),
        (MODES["rank"], "f1_macro", ("f1_macro", "none")),
        (MODES["rank"], "matthews", ("mcc", "none")),
        (MODES["fusionbench"], "accuracy", ("exact_match", "none")),
        (MODES["fusionbench"], "spearman", ("spearman", "none")),
        (MODES["generate"], "exact_match", ("em", "none")),
        (MODES["generate"], "squad_f1", ("f1", "none")),
        (MODES["cot"], "accuracy", ("exact_match", "answer")),
        (MODES["self_consistency"], "accuracy", ("exact_match", "maj@40")),
        (MODES["flan"].written(), "accuracy", ("exact_match", "none")),
        (MODES["perplexity"], "perplexity", ("token_perplexity", "none")),
    ],
    ids=lambda value: getattr(value, "name", None) if not isinstance(value, str) else value,
)
def test_metrics_have_that_tools_names_for_the_same_measure(mode, metric, expected) -> None:
    assert lm_eval_key(part(mode=mode), metric) == expected


def test_bleu_and_chrf_are_per_cent_there_and_one_row_has_no_error() -> None:
    found = results(part("toy/mt", "bleu", "chrf", mode="generate"))["results"]["toy_mt"]
    assert (found["bleu,none"], found["bleu_stderr,none"], found["chrf,none"]) == (50, 25, 50)
    alone = dataclasses.replace(part(), scores=(score("accuracy", n=1),))
    assert results(alone)["results"]["toy_rte"]["acc_stderr,none"] == "N/A"


def test_of_two_metrics_of_one_name_the_second_keeps_its_own() -> None:
    twice = results(part("toy/qa", "f1", "squad_f1", mode="generate"))["results"]["toy_qa"]
    assert {"f1,none", "squad_f1,none"} <= twice.keys()


def test_less_of_a_perplexity_is_better() -> None:
    found = results(part("toy/loss", "perplexity", mode="perplexity"))
    assert found["higher_is_better"] == {"toy_loss": {"token_perplexity": False}}
    assert found["configs"]["toy_loss"]["output_type"] == "loglikelihood"


def test_a_configuration_tells_the_rules() -> None:
    found = results(part(), written("self_consistency"))["configs"]
    rte, qa = found["toy_rte"], found["toy_qa"]
    assert (rte["output_type"], rte["validation_split"], rte["target_delimiter"]) == (
        "multiple_choice", "validation", "",
    )  # fmt: skip
    assert rte["metric_list"][0] == {"metric": "acc", "aggregation": "mean", "higher_is_better": True}
    assert rte["metadata"]["ramekin"]["task"] == "toy/rte"
    assert rte["metadata"]["ramekin"]["mode"] == MODES["lm_eval"].to_json()
    assert (qa["output_type"], qa["repeats"]) == ("generate_until", 40)
    assert qa["generation_kwargs"] == {
        "until": [], "max_gen_toks": 256, "do_sample": True, "temperature": 0.7, "top_k": 40, "top_p": 1.0,
    }  # fmt: skip
    test = dataclasses.replace(part(), split="test")
    assert results(test)["configs"]["toy_rte"]["test_split"] == "test"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_ranked_rows_are_pairs_of_prompt_and_option() -> None:
    first, second = lm_eval_samples(part())
    assert tuple(first)[: len(SAMPLE_KEYS)] == SAMPLE_KEYS
    assert (first["doc_id"], second["doc_id"], first["target"], second["target"]) == (4, 7, "0", "1")
    assert first["arguments"] == {
        "gen_args_0": {"arg_0": "asked 4", "arg_1": "yes"}, "gen_args_1": {"arg_0": "asked 4", "arg_1": "no"},
    }  # fmt: skip
    assert first["resps"] == [[["-1.5", None]], [["-2.0", None]]]
    assert first["filtered_resps"] == [["-1.5", None], ["-2.0", None]]
    assert first["metrics"] == ["acc", "acc_norm", "acc_bytes", "acc_mutual_info"]
    assert [first[name] for name in first["metrics"]] == [1.0, 0.0, 0.0, 1.0]
    assert [second[name] for name in second["metrics"]] == [0.0, 1.0, 0.0, 0.0]
    assert first["doc"]["id"] == "toy/rte#ask/validation/4" and first["doc"]["options"] == ["yes", "no"]
    assert first["prompt_hash"] == sha256("asked 4") and first["target_hash"] == sha256("0")
    assert first["doc_hash"] == sha256(json.dumps(first["doc"], indent=2, ensure_ascii=False))
    joined = "".join(
        row[key] for row in (first, second) for key in ("doc_hash", "prompt_hash", "target_hash")
    )
    assert results(part())["task_hashes"] == {"toy_rte": sha256(joined)}


def test_scores_that_are_no_log_probabilities_are_not_given_out_for_such() -> None:
    row, _ = lm_eval_samples(part(mode=MODES["rank"].changed(normalisation="pmi")))
    assert row["resps"] == [] and row["filtered_resps"] == [["-1.5", None], ["-2.0", None]]


def test_written_rows_have_the_text_and_what_was_read_out_of_it() -> None:
    (row,) = lm_eval_samples(written("cot", written="So it is Rome."))
    assert (row["target"], row["filter"], row["resps"]) == ("Rome", "answer", [["So it is Rome."]])
    assert (row["filtered_resps"], row["doc"]["references"]) == (["Rome"], ["Roma"])
    assert row["arguments"]["gen_args_0"]["arg_1"]["max_gen_toks"] == 256
    (row,) = lm_eval_samples(written("self_consistency", samples=("Rome", "Oslo")))
    assert (row["resps"], row["filter"]) == ([["Rome", "Oslo"]], "maj@40")
    (row,) = lm_eval_samples(written("generate"))
    assert (row["resps"], row["metrics"]) == ([["Rome"]], [])


def test_scored_targets_have_their_log_probability() -> None:
    scored = dataclasses.replace(ranked(0, "yes", "yes"), option_scores={}, log_prob=-3.5, num_tokens=2)
    (row,) = lm_eval_samples(part("toy/loss", "perplexity", mode="perplexity", predictions=[scored]))
    assert (row["target"], row["resps"], row["filtered_resps"]) == (
        "yes",
        [[["-3.5", None]]],
        [["-3.5", None]],
    )
    assert row["arguments"] == {"gen_args_0": {"arg_0": "asked 0", "arg_1": "yes"}}


def test_a_right_option_that_is_a_reference_is_the_target() -> None:
    row = dataclasses.replace(ranked(0, "yeah", "no"), references=("no",))
    (found,) = lm_eval_samples(part(predictions=[row]))
    assert found["target"] == "1"
    (found,) = lm_eval_samples(part(predictions=[dataclasses.replace(row, references=())]))
    assert found["target"] == "yeah"


def test_several_templates_stand_in_the_names() -> None:
    names = lm_eval_names(
        [("a/b", "x", ""), ("a/b", "y z?", ""), ("a/c", "x", ""), ("a/b", "x", "yes=agree")]
    )
    assert names == ("a_b_x", "a_b_y_z_", "a_c", "a_b_x_yes_agree")
    with pytest.raises(
        UsageError, match="two tasks, groups or models have one name in lm-eval's layout: a_b_c"
    ):
        lm_eval_names([("a/b_c", "x", ""), ("a_b/c", "x", "")])
    with pytest.raises(UsageError, match="toy_rte"):
        results(part(), groups=[LmEvalGroup("toy_rte", "toy_rte", ("toy_rte",))])


def test_names_of_files() -> None:
    assert date_id(STARTED) == "2026-11-23T13-47-34.298169"
    assert model_folder("/tmp/x") == "__tmp__x"
    assert model_folder("google/flan-t5-small") == "google__flan-t5-small"
    assert model_folder('a<>:/|\\?*[]"b') == "a__b"
    assert model_folder(".") == "__." and len(model_folder("x" * 500)) == 200
