"""An evaluation in the layout of lm-eval's result files (EleutherAI/lm-evaluation-harness 0.4.13).

    {"results": {"glue_rte": {"name": …, "alias": …, "sample_len": 277, "acc,none": …, "acc_stderr,none": …}},
     "groups": …, "group_subtasks": …, "configs": …, "versions": …, "n-shot": …, "higher_is_better": …,
     "n-samples": …, "config": …, "date": …, …}

Its other files are the samples, an object a row. What that tool would say and an evaluation does not know is
null or left out; `ramekin_version` says who wrote it. Names of metrics are that tool's where it has the same
measure, else ours, and the standard error is the score's own: of n, not of n - 1, and by passages where rows
share them. An answer that was read out of what was written stands under a filter of the way it was read.
Knows no files.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeAlias, final

from ramekin.errors import UsageError
from ramekin.evaluate.evaluation import Evaluation, Prediction, TaskEvaluation
from ramekin.evaluate.mode import MODES, Mode, Normalisation
from ramekin.text.score import LOWER_IS_BETTER, Score

__all__ = [
    "LmEvalGroup",
    "PartName",
    "date_id",
    "lm_eval_key",
    "lm_eval_names",
    "lm_eval_results",
    "lm_eval_samples",
    "model_folder",
    "plain_name",
    "refuse_twice",
]

PartName: TypeAlias = tuple[str, str, str]
"""A part's task, template and label."""

_OF_RANKS = MODES["lm_eval"].keys
"""What that tool calls the accuracies of multiple choice, by our names of them."""
_WRITTEN: Mapping[str, str] = MappingProxyType({"accuracy": "exact_match", "exact_match": "em"})
"""Of what is written: that tool's `exact_match` is ours character for character, and what it calls `em`, in
SQuAD's family of tasks, is compared in SQuAD's form."""
_SAME: Mapping[str, str] = MappingProxyType(
    {"matthews": "mcc", "squad_f1": "f1", "perplexity": "token_perplexity"}
)
"""Its `perplexity` is of whole answers, ours of a token."""
_HUNDREDFOLD = frozenset({"bleu", "chrf"})
"""Per cent there."""
_AGGREGATED: Mapping[str, str] = MappingProxyType(
    {"f1": "f1", "matthews": "matthews_corrcoef", "bleu": "bleu", "chrf": "chrf"}
)
_MEANS = frozenset(
    {"accuracy", "contains", "exact_match", "number_match", "rouge1", "rouge2", "rougeL", "squad_f1"}
)
_MAX_FOLDER = 200


@final
@dataclass(frozen=True, slots=True)
class LmEvalGroup:
    """Tasks, or groups of them, under one name, and what they come to."""

    name: str
    alias: str
    """As tables show it."""
    members: tuple[str, ...]
    key: str = ""
    """What its value is of, such as `acc,none`; empty: it has none."""
    value: float = 0.0
    standard_error: float = 0.0


def date_id(started: datetime) -> str:
    """When a run began, as its files' names have it.

    >>> date_id(datetime(2026, 11, 23, 13, 47, 34))
    '2026-11-23T13-47-34'
    """
    return started.replace(tzinfo=None).isoformat().replace(":", "-")


def model_folder(model: str) -> str:
    """The folder of a model's files: its name without what no file's name may have.

    >>> model_folder("google/flan-t5-small"), model_folder("..")
    ('google__flan-t5-small', '__..')
    """
    name = re.sub(r'["<>:/|\\?*\[\]]+', "__", model)[-_MAX_FOLDER:]
    return name if name.strip(".") else f"__{name}"


def plain_name(*words: str) -> str:
    """A name of letters, digits and underscores, which the name of a file may have within it.

    >>> plain_name("glue/rte", "GPT-3 style")
    'glue_rte_GPT_3_style'
    """
    return "_".join(re.sub(r"\W", "_", word) for word in words if word)


def lm_eval_names(parts: Sequence[PartName]) -> tuple[str, ...]:
    """A name for each part: of its task, and of its template and label where the task stands several times.

    Raises:
        UsageError: two would have one name.

    >>> lm_eval_names([("glue/rte", "a", ""), ("glue/rte", "b", ""), ("glue/cola", "a", "")])
    ('glue_rte_a', 'glue_rte_b', 'glue_cola')
    """
    counts = Counter(task for task, _, _ in parts)
    names = tuple(plain_name(*part) if counts[part[0]] > 1 else plain_name(part[0]) for part in parts)
    refuse_twice(names)
    return names


def refuse_twice(names: Iterable[str]) -> None:
    """Refuse names of tasks and groups, or of models' folders, of which two are the same.

    Raises:
        UsageError: two are.
    """
    for name, count in Counter(names).items():
        if count > 1:
            raise UsageError(
                "two tasks, groups or models have one name in lm-eval's layout",
                where=name,
                fix="evaluate them apart",
            )


def lm_eval_key(part: TaskEvaluation, metric: str) -> tuple[str, str]:
    """What that tool calls a metric of a part, and the filter behind whose name it stands."""
    mode = part.mode
    if mode.ranks:
        normalisation = metric.removeprefix("accuracy_") if "_" in metric else mode.normalisation
        name = _OF_RANKS.get(_accuracy(normalisation), metric) if metric.startswith("accuracy") else metric
    else:
        name = _WRITTEN.get(metric, metric)
    return _SAME.get(name, name), _filter(mode)


def _accuracy(normalisation: Normalisation | str) -> str:
    return "accuracy" if normalisation == "none" else f"accuracy_{normalisation}"


def _filter(mode: Mode) -> str:
    """How an answer came out of what was written."""
    if mode.direction != "generate":
        return "none"
    if mode.votes:
        return f"maj@{mode.num_samples}"
    return "none" if mode.extraction == "exact" else mode.extraction


def lm_eval_results(
    evaluation: Evaluation,
    names: Sequence[str],
    groups: Sequence[LmEvalGroup] = (),
    *,
    model: str,
    started: datetime,
    limit: int | None = None,
) -> dict[str, Any]:
    """The result file of one model.

    Args:
        evaluation: whose.
        names: of its tasks, in order: `lm_eval_names`.
        groups: of these and of other groups; a member comes before what it is in.
        model: its name.
        started: when the run began.
        limit: of rows a task, where one holds for all.

    Raises:
        UsageError: two tasks or groups have one name.
    """
    refuse_twice((*names, *(group.name for group in groups)))
    named = dict(zip(names, evaluation.tasks, strict=True))
    lengths = {name: part.n for name, part in named.items()}
    for group in groups:
        lengths[group.name] = sum(lengths[member] for member in group.members)
    found = {name: _task(name, part) for name, part in named.items()}
    gathered = {group.name: _group(group, lengths[group.name]) for group in groups}
    better = {name: dict(_directions(part)) for name, part in named.items()}
    shots: dict[str, int] = {name: part.shots for name, part in named.items()}
    for group in groups:
        better[group.name] = {metric: told for name in group.members for metric, told in better[name].items()}
        of_members = {shots.get(name) for name in group.members}
        if len(of_members) == 1 and None not in of_members:
            shots[group.name] = shots[group.members[0]]
    return {
        "results": {**found, **gathered},
        **({"groups": gathered} if any(group.key for group in groups) else {}),
        "group_subtasks": {group.name: list(group.members) for group in groups},
        "configs": {name: _config(name, part) for name, part in named.items()},
        "versions": dict.fromkeys((*found, *gathered), "N/A"),
        "n-shot": shots,
        "higher_is_better": better,
        "n-samples": {name: {"original": None, "effective": part.n} for name, part in named.items()},
        "config": _run(evaluation, model, limit),
        "git_hash": None,
        "date": started.timestamp(),
        "transformers_version": evaluation.versions.get("transformers"),
        "lm_eval_version": None,
        "ramekin_version": f"ramekin {evaluation.versions['ramekin']}"
        if "ramekin" in evaluation.versions
        else None,
        "upper_git_hash": None,
        "max_length": evaluation.max_input_tokens,
        "task_hashes": {name: _task_hash(part) for name, part in named.items()},
        "model_source": "ramekin",
        "model_name": model,
        "model_name_sanitized": model_folder(model),
        "system_instruction": None,
        "system_instruction_sha": None,
        "fewshot_as_multiturn": None,
        "chat_template": None,
        "chat_template_sha": None,
        "total_evaluation_time_seconds": str(evaluation.seconds),
    }


def _scores(part: TaskEvaluation) -> Iterator[tuple[str, str, Score]]:
    """Each score with that tool's name for it and the filter; of two that have one the second keeps ours."""
    taken: set[str] = set()
    for score in part.scores:
        name, filter_ = lm_eval_key(part, score.metric)
        name = score.metric if name in taken else name
        taken.add(name)
        yield name, filter_, score


def _task(name: str, part: TaskEvaluation) -> dict[str, Any]:
    values: dict[str, Any] = {"name": name, "alias": name, "sample_len": part.n}
    for metric, filter_, score in _scores(part):
        scale = 100 if score.metric in _HUNDREDFOLD else 1
        values[f"{metric},{filter_}"] = scale * score.value
        values[f"{metric}_stderr,{filter_}"] = scale * score.standard_error if score.n > 1 else "N/A"
    return values


def _group(group: LmEvalGroup, length: int) -> dict[str, Any]:
    values: dict[str, Any] = {"alias": group.alias, "name": group.name, "sample_len": length}
    if not group.key:
        return values
    metric, _, filter_ = group.key.partition(",")
    return {
        **values,
        group.key: group.value,
        f"{metric}_stderr,{filter_}": group.standard_error if length > 1 else "N/A",
        "sample_count": {group.key: length},
    }


def _directions(part: TaskEvaluation) -> Iterator[tuple[str, bool]]:
    for name, _, score in _scores(part):
        yield name, score.metric not in LOWER_IS_BETTER


def _config(name: str, part: TaskEvaluation) -> dict[str, Any]:
    """What can be told of a task in that tool's words, and all of it in ours."""
    mode = part.mode
    split = "validation_split" if part.split.startswith("validation") else "test_split"
    metrics = [
        {
            "metric": told,
            "aggregation": "mean" if score.metric in _MEANS else _AGGREGATED.get(score.metric, told),
            "higher_is_better": score.metric not in LOWER_IS_BETTER,
        }
        for told, _, score in _scores(part)
    ]
    kinds = {"generate": "generate_until", "perplexity": "loglikelihood"}
    return {
        "task": name,
        split: part.split,
        "target_delimiter": "",
        "num_fewshot": part.shots,
        "metric_list": metrics,
        "output_type": kinds.get(mode.direction, "multiple_choice"),
        **({"generation_kwargs": _generation(mode)} if mode.direction == "generate" else {}),
        "repeats": mode.num_samples,
        "should_decontaminate": False,
        "metadata": {
            "version": None,
            "ramekin": {
                "task": part.task,
                "template": part.template,
                "label": part.label,
                "origin": part.origin,
                "mode": mode.to_json(),
            },
        },
    }


def _generation(mode: Mode) -> dict[str, Any]:
    """How text is written, in that tool's words: nothing but the end of sequence stops it early."""
    drawn = {"temperature": mode.sampling_temperature, "top_k": mode.top_k, "top_p": mode.top_p}
    return {
        "until": [],
        "max_gen_toks": mode.max_new_tokens,
        "do_sample": mode.sampling_temperature > 0,
        **(drawn if mode.sampling_temperature > 0 else {}),
        **({"num_beams": mode.num_beams} if mode.num_beams > 1 else {}),
    }


def _run(evaluation: Evaluation, model: str, limit: int | None) -> dict[str, Any]:
    return {
        "model": "ramekin",
        "model_args": {"pretrained": model},
        "model_num_parameters": evaluation.all_parameters,
        "batch_size": None,
        "batch_sizes": [],
        "device": None,
        "use_cache": None,
        "limit": limit,
        "gen_kwargs": {},
        "random_seed": evaluation.seed,
        "numpy_seed": None,
        "torch_seed": None,
        "fewshot_seed": evaluation.seed,
    }


def lm_eval_samples(part: TaskEvaluation) -> Iterator[dict[str, Any]]:
    """The rows of a samples file.

    `doc` is what an example says of itself, as the record it was made of is not kept. Where options are
    ranked, `resps` has their log-probabilities (whether an option is also what would be written is null), or
    nothing where they were divided by something; `filtered_resps` has what they were ranked by. Where the
    mode scores a prompt under each option, `arguments` still has the prompt and the option. The metrics are
    those of single rows: accuracies.
    """
    mode = part.mode
    for place, each in enumerate(part.predictions):
        options = list(each.option_scores)
        doc = _doc(part, each)
        target = _target(each, options)
        asked, answers, read = _requests(mode, each, options)
        metrics = dict(_row_metrics(part, each))
        row = each.id.rpartition("/")[2]
        yield {
            "doc_id": int(row) if row.isdecimal() else place,
            "doc": doc,
            "target": target,
            "arguments": {
                f"gen_args_{i}": {"arg_0": each.inputs, "arg_1": arg} for i, arg in enumerate(asked)
            },
            "resps": answers,
            "filtered_resps": read,
            "filter": _filter(mode),
            "metrics": list(metrics),
            "doc_hash": _sha256(json.dumps(doc, indent=2, ensure_ascii=False)),
            "prompt_hash": _sha256(each.inputs),
            "target_hash": _sha256(target),
            **metrics,
        }


def _doc(part: TaskEvaluation, each: Prediction) -> dict[str, Any]:
    options = each.options or part.options
    return {
        "id": each.id,
        "inputs": each.inputs,
        "target": each.target,
        **({"options": list(options)} if options else {}),
        **({"references": list(each.references)} if each.references else {}),
    }


def _target(each: Prediction, options: Sequence[str]) -> str:
    """Of options the place of the right one."""
    right = (place for place, option in enumerate(options) if option in (each.target, *each.references))
    exact = options.index(each.target) if each.target in options else next(right, None)
    return each.target if exact is None else str(exact)


def _requests(
    mode: Mode, each: Prediction, options: Sequence[str]
) -> tuple[list[Any], list[list[Any]], list[Any]]:
    """What was asked behind the prompt, what came back, and what was read out of it."""
    if options:
        ranked = [[str(score), None] for score in each.option_scores.values()]
        plain = mode.normalisation == "none"
        return list(options), [[pair] for pair in ranked] if plain else [], list(ranked)
    if each.log_prob is not None:
        scored = [str(each.log_prob), None]
        return [each.target], [[scored]], [scored]
    written = list(each.samples) or [each.written or each.prediction]
    return [_generation(mode)], [written], [each.prediction]


def _row_metrics(part: TaskEvaluation, each: Prediction) -> Iterator[tuple[str, float]]:
    """The accuracies of one row."""
    right = {each.target, *each.references}
    for name, _, score in _scores(part):
        other = score.metric.removeprefix("accuracy_")
        if score.metric == "accuracy":
            yield name, float(each.correct)
        elif other in each.others:
            yield name, float(each.others[other] in right)


def _task_hash(part: TaskEvaluation) -> str:
    """That of all rows' documents, prompts and targets."""
    told = (row["doc_hash"] + row["prompt_hash"] + row["target_hash"] for row in lm_eval_samples(part))
    return _sha256("".join(told))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
