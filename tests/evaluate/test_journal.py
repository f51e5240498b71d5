"""An evaluation that was killed ends in the same scores, bit for bit; no answer serves another model."""

import dataclasses
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ramekin.errors import DataError, ResourceError, UsageError
from ramekin.evaluate.evaluation import to_json
from ramekin.evaluate.journal import Journal, fingerprint
from ramekin.evaluate.mode import MODES
from ramekin.evaluate.runner import evaluate, versions

MODE = MODES["fusionbench"]


def without_time(evaluation):
    document = to_json(evaluation)
    document.pop("seconds")
    for part in document["tasks"]:
        part.pop("seconds")
    return document, [part.predictions for part in evaluation.tasks]


def journal(path, *, weights="w", mode=MODE, **changes):
    return Journal(path, weights=weights, mode=mode, versions={**versions(), **changes})


def test_forty_kills_and_the_same_scores(model, tokenizer, sets, tmp_path):
    path = tmp_path / "answers.jsonl"
    whole = without_time(evaluate(model, tokenizer, sets, batch_tokens=150))
    assert without_time(evaluate(model, tokenizer, sets, batch_tokens=150, journal=path)) == whole
    complete = path.read_bytes()
    assert complete.count(b"\n") == 42
    rng = random.Random(0)
    for _ in range(40):
        path.write_bytes(complete[: rng.randrange(len(complete) + 1)])
        assert without_time(evaluate(model, tokenizer, sets, batch_tokens=150, journal=path)) == whole
        assert sorted(path.read_bytes().splitlines()) == sorted(complete.splitlines())


def test_finished_answers_are_not_computed_again(model, tokenizer, sets, tmp_path):
    path = tmp_path / "run" / "answers.jsonl"
    batches = []

    def stop_at_the_third(done, total):
        batches.append(done)
        if len(batches) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(model, tokenizer, sets, batch_tokens=150, journal=path, on_progress=stop_at_the_third)
    assert path.read_bytes().count(b"\n") == batches[-1]
    continued = []
    evaluate(
        model,
        tokenizer,
        sets,
        batch_tokens=150,
        journal=path,
        on_progress=lambda done, _: continued.append(done),
    )
    assert continued[0] > batches[-1]
    nothing = []
    evaluate(model, tokenizer, sets, batch_tokens=150, journal=path, on_progress=lambda *_: nothing.append(1))
    assert nothing == []


def test_two_models_share_a_file_and_not_an_answer(model, tokenizer, sets, tmp_path):
    path = tmp_path / "answers.jsonl"
    first = without_time(evaluate(model, tokenizer, sets, journal=path))
    with torch.no_grad():
        model.lm_head.weight.mul_(-1.0)
    second = without_time(evaluate(model, tokenizer, sets, journal=path))
    assert second == without_time(evaluate(model, tokenizer, sets))
    assert second != first
    assert path.read_bytes().count(b"\n") == 2 * 42


def test_the_key_holds_weights_prompt_rules_and_versions(tmp_path):
    path = tmp_path / "answers.jsonl"
    with journal(path) as first:
        first.add([("toy#ask/v/0", (5, 6, 1), (9, 1))])
    assert journal(path).answer("toy#ask/v/0", (5, 6, 1)) == (9, 1)
    assert journal(path).answer("toy#ask/v/1", (5, 6, 1)) is None
    assert journal(path).answer("toy#ask/v/0", (5, 7, 1)) is None
    longer = dataclasses.replace(MODE, max_new_tokens=10)
    for other in (
        journal(path, weights="x"),
        journal(path, mode=longer),
        journal(path, torch="0.1"),
        journal(path, mode=dataclasses.replace(MODE, input_eos=False)),
    ):
        assert other.answer("toy#ask/v/0", (5, 6, 1)) is None
    renamed = dataclasses.replace(MODE, name="mine", gold="text")
    assert journal(path, mode=renamed).answer("toy#ask/v/0", (5, 6, 1)) == (9, 1), "scoring alone changed"


def test_a_torn_line_is_cut_off_and_a_broken_one_is_an_error(tmp_path):
    path = tmp_path / "answers.jsonl"
    with journal(path) as first:
        first.add([("a", (1,), (2,)), ("b", (1,), (3,))])
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])
    assert journal(path).answer("b", (1,)) == (3,)
    assert path.read_bytes() == whole
    for broken in (b"{}\n", b"nonsense\n", b"[1]\n", b'{"key": "k", "written": ["x"]}\n'):
        path.write_bytes(whole + broken + whole)
        with pytest.raises(
            DataError, match=r"journal cannot be read: .*answers.jsonl:3.*fix: remove the line"
        ):
            journal(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"cannot write the journal: .*file/answers.jsonl"):
        journal(tmp_path / "file" / "answers.jsonl")
    with pytest.raises(ResourceError, match="cannot write the journal.*No space left on device"):
        journal_on_a_full_disk().add([("a", (1,), (2,))])


def journal_on_a_full_disk():
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    opened = journal(Path("/dev/null"))
    opened._file = os.open("/dev/full", os.O_WRONLY)
    return opened


def test_the_fingerprint_follows_every_tensor_and_the_configuration(model):
    before = fingerprint(model)
    assert fingerprint(model) == before
    with torch.no_grad():
        model.decoder.block[1].layer[2].DenseReluDense.wo.weight[0, 0] += 1e-7
    changed = fingerprint(model)
    assert changed != before
    model.config.scale_decoder_outputs = not model.config.scale_decoder_outputs
    assert fingerprint(model) not in (before, changed)


def test_a_loose_adapter_is_refused(model):
    attention = model.encoder.block[0].layer[0].SelfAttention
    attention.lora_A = torch.nn.Parameter(torch.zeros(2, 32))
    with pytest.raises(UsageError, match="loose adapter.*expected an adapter that was merged.*load_adapter"):
        fingerprint(model)


@pytest.mark.parametrize("mode", ["t0", "flipped", "channel"])
def test_rankings_are_kept_through_a_stop_between_batches(model, tokenizer, ranked_sets, tmp_path, mode):
    path = tmp_path / "answers.jsonl"
    whole = without_time(evaluate(model, tokenizer, ranked_sets, mode=mode, batch_tokens=150))
    told = []

    def stop_at_the_third(done, total):
        told.append(done)
        if len(told) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(
            model,
            tokenizer,
            ranked_sets,
            mode=mode,
            batch_tokens=150,
            journal=path,
            on_progress=stop_at_the_third,
        )
    kept = path.read_bytes()
    assert 0 < kept.count(b"\n") < (30 if mode == "t0" else 18 * 2 + 12 * 3)
    continued = []
    again = evaluate(
        model,
        tokenizer,
        ranked_sets,
        mode=mode,
        batch_tokens=150,
        journal=path,
        on_progress=lambda done, total: continued.append((done, total)),
    )
    assert without_time(again) == whole
    assert continued[0][0] >= told[-1]
    assert continued[-1] == (30, 30)
    assert path.read_bytes().startswith(kept)
    nothing = []
    done = evaluate(
        model, tokenizer, ranked_sets, mode=mode, journal=path, on_progress=lambda *_: nothing.append(1)
    )
    assert nothing == []
    assert [part.predictions for part in done.tasks] == whole[1]


@pytest.mark.parametrize("mode", ["t0", "flipped", "channel"])
def test_rankings_survive_a_kill_at_any_byte(model, tokenizer, ranked_sets, tmp_path, mode):
    path = tmp_path / "answers.jsonl"
    whole = without_time(evaluate(model, tokenizer, ranked_sets, mode=mode, batch_tokens=150, journal=path))
    complete = path.read_bytes()
    rng = random.Random(0)
    for _ in range(10):
        path.write_bytes(complete[: rng.randrange(len(complete) + 1)])
        again = evaluate(model, tokenizer, ranked_sets, mode=mode, batch_tokens=150, journal=path)
        assert without_time(again) == whole
        assert sorted(path.read_bytes().splitlines()) == sorted(complete.splitlines())


def test_a_rankings_key_holds_prompt_options_and_direction_and_not_how_it_is_divided(tmp_path):
    path = tmp_path / "answers.jsonl"
    rank = MODES["rank"]
    asked = ("toy#ask/v/0", (5, 6, 1), ((7, 1), (8, 1)))
    with journal(path, mode=rank) as first:
        first.add_log_probs([(*asked, (-0.1, -2.302585092994046))])
        first.add([("toy#ask/v/1", (5, 6, 1), (9, 1))])
    again = journal(path, mode=rank)
    assert again.log_probs(*asked) == (-0.1, -2.302585092994046)
    name, ids, scored = asked
    assert again.log_probs("toy#ask/v/1", ids, scored) is None
    assert again.log_probs(name, (5, 1), scored) is None
    assert again.log_probs(name, ids, scored[::-1]) is None
    assert again.log_probs(name, ids, ((7, 1, 8, 1),)) is None
    assert again.log_probs(name, (5, 6, 1, 7, 1), ((8, 1),)) is None
    assert again.answer(name, ids) is None
    divided = dataclasses.replace(rank, name="mine", normalisation="tokens")
    assert journal(path, mode=divided).log_probs(*asked) is not None
    for other in (
        journal(path, mode=rank, weights="x"),
        journal(path, mode=rank, torch="0.1"),
        journal(path, mode=MODES["t0"]),
        journal(path, mode=MODES["flipped"]),
        journal(path),
    ):
        assert other.log_probs(*asked) is None


def test_a_log_probability_that_is_no_number_is_an_error(tmp_path):
    path = tmp_path / "answers.jsonl"
    for broken in ("[NaN]", '["x"]', "-1.0", "[-1.0, Infinity]"):
        path.write_text(f'{{"key": "k", "id": "a", "log_probs": {broken}}}\n')
        with pytest.raises(DataError, match=r"cannot be read: .*answers.jsonl:1: expected .*log_probs"):
            journal(path, mode=MODES["rank"])


KILLED = """
import importlib.util, os, signal, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("world", sys.argv[1])
world = importlib.util.module_from_spec(spec)
spec.loader.exec_module(world)
from ramekin.evaluate.runner import evaluate
tokenizer = world.tokenizer.__wrapped__()
model = world.model.__wrapped__(tokenizer)
seen = 0
def die(done, total):
    global seen
    seen += 1
    if seen == 4:
        os.kill(os.getpid(), signal.SIGKILL)
evaluate(model, tokenizer, world.sets.__wrapped__(), batch_tokens=150, journal=Path(sys.argv[2]), on_progress=die)
"""


@pytest.mark.slow
def test_a_real_kill_in_another_process(model, tokenizer, sets, tmp_path):
    path = tmp_path / "answers.jsonl"
    world = Path(__file__).with_name("conftest.py")
    done = subprocess.run([sys.executable, "-c", KILLED, str(world), str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert 0 < path.read_bytes().count(b"\n") < 42
    continued = without_time(evaluate(model, tokenizer, sets, batch_tokens=150, journal=path))
    assert continued == without_time(evaluate(model, tokenizer, sets, batch_tokens=150))
