"""The whole evaluation: FusionBench's numbers by an independent route, golden rules, and what is counted."""

import copy
import dataclasses
import json
import math

import pytest
import torch
from scipy.stats import spearmanr

from ramekin.catalog import load_task
from ramekin.errors import DataError, UsageError
from ramekin.evaluate.evaluation import to_json, write_predictions
from ramekin.evaluate.mode import MODES
from ramekin.evaluate.runner import EvalSet, Progress, encode_sets, evaluate, evaluate_encoded
from ramekin.tensors.tokenizer import token_ids, train_tokenizer
from ramekin.text.metrics import score_answers
from ramekin.text.render import Style, render


def peers_answers(model, tokenizer, examples, batch=5):
    """FusionBench's loop in the open: pad to a fixed width, generate ten positions, decode, gold from labels."""
    tokenizer = copy.deepcopy(tokenizer)  # padding set in a call stays set in the tokenizer
    texts, golds = [], []
    for start in range(0, len(examples), batch):
        part = examples[start : start + batch]
        inputs = tokenizer([e.inputs for e in part], padding="max_length", max_length=64, truncation=True)
        labels = tokenizer([e.targets for e in part], padding="max_length", max_length=64, truncation=True)
        ids = torch.tensor(inputs["input_ids"])
        output = model.generate(
            ids, attention_mask=(ids != 0).long(), max_length=10, do_sample=False, num_beams=1
        )
        texts += tokenizer.batch_decode(output, skip_special_tokens=True)
        golds += tokenizer.batch_decode(labels["input_ids"], skip_special_tokens=True)
    return texts, golds


def test_answers_and_scores_are_fusionbenchs(model, tokenizer, sets, text_task):
    words, _ = peers_answers(model, tokenizer, sets[2].examples)
    free = text_task()
    labels = [word or "red" if row % 2 else "old `dog`" for row, word in enumerate(words)]
    examples = tuple(
        example._replace(targets=label) for example, label in zip(sets[2].examples, labels, strict=True)
    )
    sets = (*sets[:2], EvalSet(free, "ask", "validation", examples, "toy"))
    evaluation = evaluate(model, tokenizer, sets, batch_tokens=300)
    for each, part in zip(sets, evaluation.tasks, strict=True):
        texts, golds = peers_answers(model, tokenizer, each.examples)
        assert [p.prediction for p in part.predictions] == texts
        assert [p.target for p in part.predictions] == golds
        assert part.task == each.task.name
        if each.task.kind != "number":
            right = [a == b for a, b in zip(texts, golds, strict=True)]
            assert part.headline.metric == "accuracy"
            assert part.headline.value == sum(right) / len(right)
            assert [p.correct for p in part.predictions] == right
    assert 0 < evaluation.task("toy/free").headline.value < 1
    assert evaluation.task("toy/free").changed_targets == 5, "a backtick is <unk>, and decoding drops it"
    assert "`" not in evaluation.task("toy/free").predictions[0].target


def test_spearman_is_fusionbenchs_on_what_was_written(model, tokenizer, written, eval_set, number_task):
    each = eval_set(number_task(), [2.25, 0.75, 5.0, 3.4, 1.0])
    written(["2.2", "dog", "4.0", "5.0", "nan"])
    (part,) = evaluate(model, tokenizer, [each]).tasks
    golds = [p.target for p in part.predictions]
    assert golds == ["2.2", "0.8", "5.0", "3.4", "1.0"], "rounded half to even, as that tool's template does"
    expected = spearmanr([2.2, 0.0, 4.0, 5.0, 0.0], [float(gold) for gold in golds]).statistic
    assert part.headline.value == float(expected)
    assert part.headline.unparsable == 2
    assert [p.parsed for p in part.predictions] == [2.2, None, 4.0, 5.0, None]
    assert [score.metric for score in part.scores] == ["spearman", "pearson"]


def test_constant_predictions_are_zero_and_say_so(model, tokenizer, written, eval_set, number_task):
    written(["dog"] * 4)
    (part,) = evaluate(model, tokenizer, [eval_set(number_task(), [1, 2, 3, 4])]).tasks
    assert part.headline.value == 0.0
    assert part.headline.note.startswith("constant predictions: correlation undefined, reported as 0")


def test_stsb_of_the_catalogue_has_fusionbenchs_gold(tokenizer):
    task = load_task("glue/stsb")
    golds = [
        render(task, {"sentence1": "a", "sentence2": "b", "label": label}, split="validation", row=0).targets
        for label in (2.25, 0.75, 5.0, 3.4000000953674316)
    ]
    assert golds == ["2.2", "0.8", "5.0", "3.4"]


def test_fusionbench_means_nine_new_tokens_and_exact_match(model, tokenizer, written, eval_set, toy_task):
    asked = {}
    written(["yes", "yes yes", "no", "dog"], asked)
    (part,) = evaluate(model, tokenizer, [eval_set(toy_task(), [1, 1, 0, 0])], mode="fusionbench").tasks
    assert asked["max_new_tokens"] == 9 == MODES["fusionbench"].max_new_tokens
    assert [p.correct for p in part.predictions] == [True, False, True, False]
    assert [p.parsed for p in part.predictions] == ["yes", None, "no", None]
    assert (part.headline.value, part.headline.unparsable, part.headline.chance) == (0.5, 2, 0.5)
    assert part.majority == {"accuracy": 0.5}


def test_cola_is_accuracy_first_under_fusionbench_and_its_own_metric_otherwise(
    model, tokenizer, written, eval_set, toy_task
):
    each = eval_set(toy_task(metrics=["matthews", "f1"]), [1, 1, 0, 0])
    written(["yes", "no", "no", "no"])
    (ours,) = evaluate(model, tokenizer, [each], mode="generate").tasks
    (theirs,) = evaluate(model, tokenizer, [each], mode="fusionbench").tasks
    assert [s.metric for s in ours.scores] == ["matthews", "f1"]
    assert [s.metric for s in theirs.scores] == ["accuracy", "matthews", "f1"]
    assert set(theirs.majority) == {"accuracy", "matthews", "f1"}


def test_the_gold_is_the_target_itself_outside_fusionbench(model, tokenizer, written, eval_set, text_task):
    each = eval_set(text_task(), ["old `dog`", "red cat"])
    written(["old dog", "red cat"])
    (ours,) = evaluate(model, tokenizer, [each], mode="generate").tasks
    (theirs,) = evaluate(model, tokenizer, [each], mode="fusionbench").tasks
    assert (ours.headline.value, ours.changed_targets) == (0.5, 1)
    assert (theirs.headline.value, theirs.changed_targets) == (1.0, 1)


def test_an_answer_is_read_behind_its_reasoning(model, tokenizer, written, eval_set, toy_task, text_task):
    texts = ["no cat ran . the answer is yes", "the answer is no . the answer is yes", "a new tree", "no"]
    written(texts)
    each = eval_set(toy_task(), [1, 0, 1, 0])
    (part,) = evaluate(model, tokenizer, [each], mode="cot").tasks
    assert [p.prediction for p in part.predictions] == ["yes", "yes", "", "no"]
    assert [p.correct for p in part.predictions] == [True, False, False, True]
    assert [p.written for p in part.predictions] == texts
    assert (part.headline.value, part.headline.unparsable) == (0.5, 1)
    assert [score_answers(score.metric, part.answers) for score in part.scores] == list(part.scores)
    (part,) = evaluate(model, tokenizer, [each], mode="generate").tasks
    assert [p.correct for p in part.predictions] == [False, False, False, True]
    assert {p.written for p in part.predictions} == {""}
    written(["so , the answer is a red cat", "old dog"])
    (part,) = evaluate(model, tokenizer, [eval_set(text_task(), ["a red cat", "old dog"])], mode="cot").tasks
    assert part.headline.value == 1.0


CHOICES = [
    (["cat", "dog"], 0, []),
    (["bird", "fish", "red", "blue"], 1, ["fish", "bird"]),
    (["old", "new"], 1, []),
]


@pytest.mark.parametrize("mode", ["generate", "fusionbench"])
def test_each_record_is_scored_by_its_own_options_and_references(model, tokenizer, written, choice_set, mode):
    written(["cat", "bird", "dog"])
    (part,) = evaluate(model, tokenizer, [choice_set(CHOICES)], mode=mode).tasks
    assert [p.correct for p in part.predictions] == [True, True, False]
    assert [p.parsed for p in part.predictions] == ["cat", "bird", None]
    assert [p.options for p in part.predictions] == [tuple(choices) for choices, _, _ in CHOICES]
    assert part.predictions[1].references == ("fish", "bird")
    assert part.options == ()
    assert part.headline.metric == "accuracy"
    assert (part.headline.value, part.headline.unparsable) == (pytest.approx(2 / 3), 1)
    assert part.headline.chance == pytest.approx((1 / 2 + 2 / 4 + 1 / 2) / 3)
    assert part.majority == {"accuracy": pytest.approx(1 / 3), "squad_f1": pytest.approx(1 / 3)}
    assert [score_answers(score.metric, part.answers) for score in part.scores] == list(part.scores)


def test_options_that_records_share_are_the_sets_own(model, tokenizer, written, choice_set):
    written(["dog", "dog"])
    each = choice_set([(["cat", "dog"], 1, []), (["dog", "cat"], 1, [])])
    (part,) = evaluate(model, tokenizer, [each], mode="generate").tasks
    assert (part.options, part.predictions[0].options) == (("cat", "dog"), ())
    assert (part.headline.value, part.headline.chance) == (0.5, 0.5)


def test_references_are_compared_as_targets_are(model, tokenizer, written, choice_set):
    """A backtick is <unk>: FusionBench's round trip loses it, and what is lost altogether is no answer."""
    each = choice_set([(["cat", "dog"], 0, ["`", "old `dog`"]), (["cat", "dog"], 0, ["`"])])
    written(["old dog", ""])
    (theirs,) = evaluate(model, tokenizer, [each], mode="fusionbench").tasks
    (ours,) = evaluate(model, tokenizer, [each], mode="generate").tasks
    assert [p.correct for p in theirs.predictions] == [True, False]
    assert [p.references for p in theirs.predictions] == [("old dog",), ()]
    assert [p.correct for p in ours.predictions] == [False, False]
    assert ours.predictions[0].references == ("`", "old `dog`")


def test_a_turned_around_template_asks_for_free_text(model, tokenizer, written, choice_set):
    text = "the the cat sat on a mat"
    written([text, "dog"])
    each = choice_set(CHOICES[:2], template="ask_back")
    (part,) = evaluate(model, tokenizer, [each], mode="generate").tasks
    assert [score.metric for score in part.scores] == ["rougeL", "chrf"]
    assert (part.headline.value, part.headline.chance, part.headline.unparsable) == (0.5, 0.0, 0)
    assert (part.options, part.predictions[1].options, part.predictions[1].references) == ((), (), ())
    (theirs,) = evaluate(model, tokenizer, [each], mode="fusionbench").tasks
    assert (theirs.headline.metric, theirs.headline.value) == ("accuracy", 0.5)


@pytest.mark.parametrize("batch_tokens", [1, 200, 100_000])
def test_batches_tasks_and_order_do_not_change_a_prediction(model, tokenizer, sets, batch_tokens):
    together = evaluate(model, tokenizer, sets, batch_tokens=batch_tokens)
    for each, part in zip(sets, together.tasks, strict=True):
        (alone,) = evaluate(model, tokenizer, [each], batch_tokens=150).tasks
        assert part.predictions == alone.predictions
        assert part.scores == alone.scores
    backwards = evaluate(model, tokenizer, sets[::-1], batch_tokens=batch_tokens)
    assert [part.predictions for part in backwards.tasks[::-1]] == [
        part.predictions for part in together.tasks
    ]


def test_sets_encoded_once_serve_many_models(model, tokenizer, sets):
    encoded = encode_sets(sets, tokenizer, mode=MODES["fusionbench"])
    evaluation = evaluate_encoded(model, tokenizer, encoded, batch_tokens=100)
    expected = evaluate(model, tokenizer, sets, batch_tokens=100)
    assert [part.scores for part in evaluation.tasks] == [part.scores for part in expected.tasks]


def test_what_was_lost_is_counted(model, tokenizer, eval_set, toy_task):
    labels = [0, 1] * 5
    each = eval_set(toy_task(), labels)
    odd = each.examples[0]._replace(inputs="wet ? ` cat")
    each = dataclasses.replace(each, examples=(odd, *each.examples[1:]))
    (part,) = evaluate(model, tokenizer, [each], max_input_tokens=8).tasks
    (whole,) = encode_sets([each], tokenizer, mode=MODES["fusionbench"])
    assert part.truncated_inputs == sum(len(item.input_ids) > 8 for item in whole.encoded.items) > 0
    assert (part.unknown_inputs, part.skipped, part.origin, part.n) == (1, 2, "toy seed=0", 10)
    lengths = [len(item.input_ids) - 1 for item in whole.encoded.items]
    assert part.input_tokens == sum(lengths)
    assert (part.lost_tokens, part.lost_from_fields) == (sum(max(0, n - 7) for n in lengths), 0)


@pytest.mark.parametrize("mode", ["generate", "rank", "perplexity"])
def test_the_records_words_are_lost_first_and_that_is_told(model, tokenizer, toy_task, tmp_path, mode):
    text = "the red cat sat on a mat under the old tree"
    example = render(
        toy_task(), {"text": text, "label": 1}, split="validation", row=0, style=Style(mark_fields=True)
    )
    each = EvalSet(toy_task(), "ask", "validation", (example,), "toy", max_input_tokens=10)
    evaluation = evaluate(model, tokenizer, [each], mode=mode)
    (told,) = to_json(evaluation)["tasks"]
    whole = len(token_ids(tokenizer, [example.inputs])[0])
    assert (told["truncated_inputs"], told["max_input_tokens"]) == (1, 10)
    assert (told["input_tokens"], told["lost_tokens"], told["lost_from_fields"]) == (whole, *[whole - 9] * 2)
    (uncut,) = to_json(evaluate(model, tokenizer, [dataclasses.replace(each, max_input_tokens=None)]))[
        "tasks"
    ]
    assert uncut["input_tokens"] == whole and not {"lost_tokens", "max_input_tokens"} & uncut.keys()


def test_progress_time_and_parameters(model, tokenizer, sets):
    model.shared.weight.requires_grad_(False)
    told = []
    evaluation = evaluate(model, tokenizer, sets, batch_tokens=150, on_progress=told.append)
    done = [each.answered for each in told]
    assert done == sorted(set(done))
    assert told[-1] == Progress(42, 42, 1.0, ((18, 18), (14, 14), (10, 10)))
    assert [each.share for each in told] == sorted({each.share for each in told})
    assert len(told) > 3
    assert 0 < sum(part.seconds for part in evaluation.tasks) <= evaluation.seconds
    total = sum(p.numel() for p in model.parameters())
    assert (evaluation.all_parameters, evaluation.trainable_parameters) == (
        total,
        total - model.shared.weight.numel(),
    )
    assert evaluation.versions.keys() == {"python", "ramekin", "torch", "transformers", "tokenizers"}


def test_settings_that_are_not_honoured_are_shown(model, tokenizer, sets):
    model.generation_config.no_repeat_ngram_size = 3
    assert evaluate(model, tokenizer, sets[:1]).ignored_settings == {"no_repeat_ngram_size": 3}


def test_bad_requests_are_refused(model, tokenizer, sets):
    with pytest.raises(UsageError, match="unknown mode 'fusion_bench': did you mean 'fusionbench'"):
        evaluate(model, tokenizer, sets, mode="fusion_bench")
    with pytest.raises(UsageError, match="scored twice: toy/wet#ask/validation"):
        evaluate(model, tokenizer, [sets[0], sets[0]])
    with pytest.raises(DataError, match="nothing to score: toy/wet#ask/validation: expected at least one"):
        evaluate(model, tokenizer, [dataclasses.replace(sets[0], examples=())])
    with pytest.raises(DataError, match="the task was not evaluated: toy/dry: expected toy/wet"):
        evaluate(model, tokenizer, sets[:1]).task("toy/dry")


@torch.inference_mode()
def log_prob(model, tokenizer, inputs, text, *, input_eos=True, option_eos=True):
    """log p(text and its end | inputs) by transformers alone, one row without padding."""
    ids = tokenizer(inputs, add_special_tokens=False)["input_ids"] + [1] * input_eos
    labels = [*tokenizer(text, add_special_tokens=False)["input_ids"], *[1] * option_eos]
    logits = model(
        input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([[0, *labels[:-1]]]), use_cache=False
    ).logits[0]
    return logits.log_softmax(dim=-1)[range(len(labels)), labels].sum().item()


@pytest.mark.parametrize("mode", ["rank", "t0", "flipped", "channel"])
def test_the_option_of_the_highest_probability_is_the_answer(model, tokenizer, ranked_sets, mode):
    evaluation = evaluate(model, tokenizer, ranked_sets, mode=mode, batch_tokens=300)
    for each, part in zip(ranked_sets, evaluation.tasks, strict=True):
        for example, form, found in zip(each.examples, each.flipped, part.predictions, strict=True):
            pairs = [(example.inputs, option) for option in example.options]
            if mode == "flipped":
                pairs = [(form.inputs_under(option), form.example.targets) for option in example.options]
            if mode == "channel":
                pairs = [(option, example.inputs) for option in example.options]
            expected = [log_prob(model, tokenizer, *pair, input_eos=mode != "t0") for pair in pairs]
            assert list(found.option_scores) == list(example.options)
            assert list(found.option_scores.values()) == pytest.approx(expected, rel=2e-5, abs=1e-4)
            assert found.prediction == example.options[expected.index(max(expected))]
            assert (found.inputs, found.target) == (example.inputs, example.targets)
            assert found.correct == (found.prediction == example.targets)
            assert found.parsed == found.prediction
        right = sum(p.correct for p in part.predictions)
        assert part.headline.metric == "accuracy"
        assert part.headline.value == right / len(part.predictions)
        assert part.headline.chance == pytest.approx(1 / len(each.examples[0].options))
        assert (part.headline.unparsable, part.ties) == (0, 0)
        assert part.options == tuple(each.task.options)
    answers = {p.prediction for part in evaluation.tasks for p in part.predictions}
    assert len(answers) > 2, "the test model says too little to tell rules apart"


@pytest.mark.parametrize("mode", ["rank", "flipped", "channel"])
@pytest.mark.parametrize("batch_tokens", [1, 120, 100_000])
def test_batches_and_order_do_not_change_a_ranking(model, tokenizer, ranked_sets, mode, batch_tokens):
    model.double()  # this model is so sharp that rounding in fp32 would show
    expected = evaluate(model, tokenizer, ranked_sets, mode=mode, batch_tokens=250)
    found = evaluate(model, tokenizer, ranked_sets[::-1], mode=mode, batch_tokens=batch_tokens)
    for one, other in zip(expected.tasks, found.tasks[::-1], strict=True):
        assert one.scores == other.scores
        for a, b in zip(one.predictions, other.predictions, strict=True):
            assert a.prediction == b.prediction
            assert a.option_scores == pytest.approx(b.option_scores, abs=1e-5)


def test_each_record_is_ranked_among_its_own_options(model, tokenizer, choice_set):
    (part,) = evaluate(model, tokenizer, [choice_set(CHOICES)], mode="rank").tasks
    for found, (options, label, golds) in zip(part.predictions, CHOICES, strict=True):
        assert list(found.option_scores) == options
        assert found.prediction == max(options, key=found.option_scores.__getitem__)
        assert found.correct == (found.prediction in {options[label], *golds})
    assert part.headline.chance == pytest.approx((1 / 2 + 2 / 4 + 1 / 2) / 3)
    assert [score.metric for score in part.scores] == ["accuracy", "squad_f1"]
    assert [score_answers(score.metric, part.answers) for score in part.scores] == list(part.scores)


def test_where_the_items_are_the_answers_they_are_ranked(model, toy_task):
    tokenizer = train_tokenizer(["(A) yes (B) no wet ? red cat OPTIONS:"] * 20, vocab_size=60)
    task = toy_task(templates={"ask": "wet ? {{ text }} {{ options_ }} ||| {{ answer }}"})
    examples = tuple(
        render(
            task,
            {"text": "red cat", "label": row % 2},
            split="validation",
            row=row,
            style=Style(options="items"),
        )
        for row in range(4)
    )
    each = EvalSet(task, "ask", "validation", examples, "toy")
    (part,) = evaluate(model, tokenizer, [each], mode="rank").tasks
    assert [list(p.option_scores) for p in part.predictions] == [["(A)", "(B)"]] * 4
    assert {p.target for p in part.predictions} == {"(A)", "(B)"}
    assert part.options == ("(A)", "(B)")


def test_a_long_option_is_not_punished_where_its_length_is_divided_by(model, tokenizer, choice_set):
    options = ["cat", "the old dog sat on a red mat"]
    tokens = tuple(len(ids) + 1 for ids in token_ids(tokenizer, options))
    each = choice_set([(options, 0, [])] * 3)
    (plain,) = evaluate(model, tokenizer, [each], mode="rank").tasks
    for rule, divisors in (("tokens", tokens), ("characters", (3, 28)), ("bytes", (3, 28))):
        mode = dataclasses.replace(MODES["rank"], normalisation=rule)
        (part,) = evaluate(model, tokenizer, [each], mode=mode).tasks
        for one, other in zip(plain.predictions, part.predictions, strict=True):
            expected = [v / d for v, d in zip(one.option_scores.values(), divisors, strict=True)]
            assert list(other.option_scores.values()) == pytest.approx(expected, rel=1e-6)
            assert other.prediction == max(other.option_scores, key=other.option_scores.__getitem__)


def test_ties_go_to_the_first_option_and_are_counted(model, tokenizer, ranked_sets):
    with torch.no_grad():
        model.lm_head.weight.zero_()
    (part, other) = evaluate(model, tokenizer, ranked_sets, mode="flipped").tasks
    assert {p.prediction for p in part.predictions} == {"no"}
    assert (part.ties, other.ties) == (18, 12)
    (ranked, _) = evaluate(model, tokenizer, ranked_sets, mode="rank").tasks
    assert ranked.ties == 18


def test_other_words_are_ranked_and_told(model, tokenizer, flipped_set, toy_task):
    words = {"yes": "red", "no": "blue"}
    each = flipped_set(toy_task(metrics=["f1"]), [0, 1] * 4, style=Style(words=words))
    for mode in ("rank", "flipped"):
        evaluation = evaluate(model, tokenizer, [each], mode=mode)
        (part,) = evaluation.tasks
        assert [list(p.option_scores) for p in part.predictions] == [["blue", "red"]] * 8
        assert [p.target for p in part.predictions] == ["blue", "red"] * 4
        assert (part.options, part.words) == (("blue", "red"), words)
        assert [score.metric for score in part.scores] == ["accuracy", "f1"]
        assert to_json(evaluation)["tasks"][0]["words"] == words


def test_a_turned_around_template_has_nothing_to_rank(model, tokenizer, choice_set):
    each = choice_set(CHOICES[:2], template="ask_back")
    with pytest.raises(DataError, match="no options for mode 'rank' to rank: toy/pick#ask_back/validation/0"):
        evaluate(model, tokenizer, [each], mode="rank")


def test_a_ranking_is_told_whole_and_a_generation_as_before(model, tokenizer, ranked_sets, tmp_path):
    evaluation = evaluate(model, tokenizer, ranked_sets, mode="t0", seed=3)
    (wet, _) = to_json(evaluation)["tasks"]
    assert wet["ties"] == 0
    assert "words" not in wet
    assert (to_json(evaluation)["modes"]["t0"]["direction"], evaluation.ignored_settings) == ("rank", {})
    write_predictions(tmp_path / "wet.jsonl", evaluation.tasks[0].predictions)
    rows = [json.loads(line) for line in (tmp_path / "wet.jsonl").read_text().splitlines()]
    assert [row["option_scores"] for row in rows] == [
        p.option_scores for p in evaluation.tasks[0].predictions
    ]
    written = evaluate(model, tokenizer, ranked_sets, mode="generate")
    (wet, _) = to_json(written)["tasks"]
    assert not {"ties", "words"} & wet.keys()
    write_predictions(tmp_path / "wet.jsonl", written.tasks[0].predictions)
    assert "option_scores" not in (tmp_path / "wet.jsonl").read_text()


LONG_AND_SHORT = [
    (["cat", "the old dog sat on a red mat", "a bird"], 0, []),
    (["under the new tree", "é fish"], 1, []),
    (["blue", "red red red red", "old cat ran"], 2, []),
    (["a mat", "dog", "é é é é"], 0, []),
]


def test_lm_evals_four_accuracies_are_those_of_the_logits(model, tokenizer, choice_set):
    """Sums without `</s>`, by themselves, per character, per byte, and less what they are after `</s>` alone."""
    with torch.no_grad():
        model.lm_head.weight[1] /= 4.0
        model.lm_head.weight.mul_(0.05)  # flat, so that lengths decide
    each = choice_set(LONG_AND_SHORT)
    (part,) = evaluate(model, tokenizer, [each], mode="lm_eval", batch_tokens=100).tasks
    chosen = {name: [] for name in ("none", "characters", "bytes", "pmi")}
    for example, found in zip(each.examples, part.predictions, strict=True):
        sums = [log_prob(model, tokenizer, example.inputs, o, option_eos=False) for o in example.options]
        alone = [log_prob(model, tokenizer, "", o, option_eos=False) for o in example.options]
        assert list(found.option_scores.values()) == pytest.approx(sums, rel=2e-5, abs=1e-4)
        scores = {
            "none": sums,
            "characters": [s / len(o) for s, o in zip(sums, example.options, strict=True)],
            "bytes": [s / len(o.encode()) for s, o in zip(sums, example.options, strict=True)],
            "pmi": [s - a for s, a in zip(sums, alone, strict=True)],
        }
        for name, values in scores.items():
            chosen[name].append(example.options[values.index(max(values))])
        assert {"none": found.prediction, **found.others} == {
            name: texts[-1] for name, texts in chosen.items()
        }
    assert len({tuple(texts) for texts in chosen.values()}) > 2, "the rules differ on these rows"
    targets = [example.targets for example in each.examples]
    expected = {
        f"accuracy_{name}": sum(map(str.__eq__, texts, targets)) / len(targets)
        for name, texts in chosen.items()
    }
    expected = {name.removesuffix("_none"): value for name, value in expected.items()}
    assert {s.metric: s.value for s in part.scores if s.metric in expected} == expected
    assert [s.metric for s in part.scores][:4] == list(expected), "behind the headline"
    assert all(part.majority[name] == part.majority["accuracy"] for name in expected)


@pytest.mark.parametrize("rule", ["tokens", "characters", "bytes", "pmi"])
@pytest.mark.parametrize("mode", ["rank", "t0"])
def test_each_normalisation_decides_as_the_logits_do(model, tokenizer, choice_set, mode, rule):
    rules = MODES[mode].changed(normalisation=rule)
    (part,) = evaluate(model, tokenizer, [choice_set(LONG_AND_SHORT)], mode=rules).tasks
    for example, found in zip(choice_set(LONG_AND_SHORT).examples, part.predictions, strict=True):
        expected = []
        for option in example.options:
            value = log_prob(model, tokenizer, example.inputs, option, input_eos=mode != "t0")
            length = {
                "tokens": len(token_ids(tokenizer, [option])[0]) + 1,
                "characters": len(option),
                "bytes": len(option.encode()),
                "pmi": 1,
            }[rule]
            alone = log_prob(model, tokenizer, "", option) if rule == "pmi" else 0.0
            expected.append((value - alone) / length)
        assert list(found.option_scores.values()) == pytest.approx(expected, rel=2e-5, abs=1e-4)
        assert found.prediction == example.options[expected.index(max(expected))]


def test_perplexity_is_the_exponential_of_the_mean_loss(model, tokenizer, sets):
    with torch.no_grad():
        model.lm_head.weight.mul_(0.2)  # so that it is a number that one can read
    evaluation = evaluate(model, tokenizer, sets, mode="perplexity", batch_tokens=200)
    for each, part in zip(sets, evaluation.tasks, strict=True):
        losses = [-log_prob(model, tokenizer, e.inputs, e.targets) for e in each.examples]
        tokens = [len(token_ids(tokenizer, [e.targets])[0]) + 1 for e in each.examples]
        assert [p.num_tokens for p in part.predictions] == tokens
        assert [-p.log_prob for p in part.predictions] == pytest.approx(losses, rel=2e-5, abs=1e-4)
        (score,) = part.scores
        assert score.metric == "perplexity"
        assert score.value == pytest.approx(math.exp(sum(losses) / sum(tokens)), rel=1e-4)
        assert score.low < score.value < score.high
        assert score.chance == part.vocab_size == len(tokenizer)
        assert {(p.prediction, p.correct) for p in part.predictions} == {("", False)}, "nothing is answered"


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary(model, tokenizer, sets):
    with torch.no_grad():
        model.lm_head.weight.zero_()
    (part,) = evaluate(model, tokenizer, sets[:1], mode="perplexity").tasks
    assert part.headline.value == pytest.approx(len(tokenizer), rel=1e-5)
    assert part.headline.normalised == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("mode", ["rank", "generate", "perplexity"])
def test_a_row_beyond_the_budget_is_answered_alone_or_cut_and_counted(
    model, tokenizer, eval_set, toy_task, mode
):
    each = eval_set(toy_task(), [0, 1] * 4)
    long = each.examples[2]._replace(inputs=" ".join([each.examples[2].inputs] * 120))
    each = dataclasses.replace(each, examples=(*each.examples[:2], long, *each.examples[3:]))
    (cut,) = evaluate(model, tokenizer, [each], mode=mode, batch_tokens=200).tasks
    told = []
    (whole,) = evaluate(
        model, tokenizer, [each], mode=mode, batch_tokens=200, max_input_tokens=5000, on_progress=told.append
    ).tasks
    assert (cut.truncated_inputs, whole.truncated_inputs) == (1, 0)
    (encoded,) = encode_sets([each], tokenizer, mode=mode, max_input_tokens=5000)
    assert sorted(encoded.input_lengths)[-2] < 200 < 512 < max(encoded.input_lengths)
    assert told[0].answered == 1 and told[-1].answered == 8, "the longest row comes first, by itself"
    for row, (one, other) in enumerate(zip(cut.predictions, whole.predictions, strict=True)):
        if row != 2:
            assert one.prediction == other.prediction
