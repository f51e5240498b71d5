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
from ramekin.evaluate.journal import Journal, Request
from ramekin.evaluate.runner import evaluate
from ramekin.infer.decoding import Decoding
from ramekin.infer.kept import fingerprint, versions

SCORED = Request((5, 6, 1), ((7, 1), (8, 1)))
WRITTEN = Request((5, 6, 1), (), 9, Decoding())
EVERY_WAY = ["fusionbench", "t0", "flipped", "channel", "lm_eval", "perplexity"]


def without_time(evaluation):
    document = to_json(evaluation)
    document.pop("seconds")
    for part in document["tasks"]:
        part.pop("seconds")
    return document, [part.predictions for part in evaluation.tasks]


def journal(folder, *, weights="w", **changes):
    return Journal(folder, weights=weights, versions={**versions(), **changes})


def lines(folder):
    """Every whole line of every file."""
    found = [path.read_bytes() for path in folder.rglob("*.jsonl")]
    return sorted(line for data in found for line in data.splitlines(keepends=True) if line.endswith(b"\n"))


def file_of(folder):
    (path,) = folder.rglob("*.jsonl")
    return path


@pytest.mark.parametrize("mode", EVERY_WAY)
def test_forty_kills_lose_no_line_and_change_no_score(model, tokenizer, ranked_sets, tmp_path, mode):
    """A kill leaves the first bytes of a file; each continuation writes a file of its own, and is killed too."""
    how = {"mode": mode, "batch_tokens": 150}
    whole = without_time(evaluate(model, tokenizer, ranked_sets, **how))
    assert without_time(evaluate(model, tokenizer, ranked_sets, journal=tmp_path / "one", **how)) == whole
    complete = lines(tmp_path / "one")
    rng = random.Random(0)
    folder = tmp_path / "other"
    for kill in range(40):
        assert without_time(evaluate(model, tokenizer, ranked_sets, journal=folder, **how)) == whole
        assert lines(folder) == complete
        newest = max(folder.rglob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
        data = newest.read_bytes()
        newest.write_bytes(data[: rng.randrange(len(data) + 1)])
        if kill % 8 == 7:
            for path in folder.rglob("*.jsonl"):
                path.unlink()


def test_finished_answers_are_not_computed_again(model, tokenizer, sets, tmp_path):
    folder = tmp_path / "run" / "answers"
    batches = []

    def stop_at_the_third(progress):
        batches.append(progress.answered)
        if len(batches) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(model, tokenizer, sets, batch_tokens=150, journal=folder, on_progress=stop_at_the_third)
    assert len(lines(folder)) == batches[-1]
    continued = []
    evaluate(
        model,
        tokenizer,
        sets,
        batch_tokens=150,
        journal=folder,
        on_progress=lambda progress: continued.append(progress.answered),
    )
    assert continued[0] > batches[-1]
    kept = lines(folder)
    nothing = []
    evaluate(model, tokenizer, sets, batch_tokens=1000, journal=folder, on_progress=nothing.append)
    assert nothing == []
    assert lines(folder) == kept


def test_two_models_share_a_folder_and_not_an_answer(model, tokenizer, sets, tmp_path):
    first = without_time(evaluate(model, tokenizer, sets, journal=tmp_path))
    before = lines(tmp_path)
    with torch.no_grad():
        model.lm_head.weight.mul_(-1.0)
    second = without_time(evaluate(model, tokenizer, sets, journal=tmp_path))
    assert second == without_time(evaluate(model, tokenizer, sets))
    assert second != first
    assert len(lines(tmp_path)) == 2 * len(before)


def test_two_writers_do_not_disturb_each_other(tmp_path):
    with journal(tmp_path) as one, journal(tmp_path) as other:
        one.add([(WRITTEN, ((9, 1),))])
        other.add([(SCORED, ((-0.5, -1.5),))])
    assert journal(tmp_path).found(WRITTEN) == ((9, 1),)
    assert journal(tmp_path).found(SCORED) == ((-0.5, -1.5),)
    assert len(list(tmp_path.rglob("*.jsonl"))) == 2


def test_what_is_found_writes_no_file(tmp_path):
    with journal(tmp_path) as opened:
        assert opened.found(WRITTEN) is None
        opened.add([])
    assert list(tmp_path.iterdir()) == []


def test_the_key_holds_weights_versions_and_the_whole_request(tmp_path):
    with journal(tmp_path) as first:
        first.add([(SCORED, ((-0.1, -2.302585092994046),)), (WRITTEN, ((9, 1),))])
    again = journal(tmp_path)
    assert again.found(SCORED) == ((-0.1, -2.302585092994046),)
    assert again.found(WRITTEN) == ((9, 1),)
    for other in (
        dataclasses.replace(SCORED, input_ids=(5, 1)),
        dataclasses.replace(SCORED, scored=SCORED.scored[::-1]),
        dataclasses.replace(SCORED, scored=((7, 1, 8, 1),)),
        Request((5, 6, 1, 7, 1), ((8, 1),)),
        dataclasses.replace(WRITTEN, input_ids=(5, 7, 1)),
        dataclasses.replace(WRITTEN, max_new_tokens=10),
        dataclasses.replace(WRITTEN, decoding=Decoding(num_beams=2)),
        dataclasses.replace(WRITTEN, decoding=Decoding(sampling_temperature=0.7)),
        dataclasses.replace(WRITTEN, decoding=Decoding(sampling_temperature=0.7, seed=1)),
    ):
        assert again.found(other) is None
    for other in (journal(tmp_path, weights="x"), journal(tmp_path, torch="0.1")):
        assert other.found(SCORED) is None
        assert other.found(WRITTEN) is None


def test_a_torn_line_is_left_out_and_a_broken_one_is_an_error(tmp_path):
    with journal(tmp_path) as first:
        first.add([(WRITTEN, ((2,),)), (SCORED, ((-3.0, -4.0),))])
    path = file_of(tmp_path)
    whole = path.read_bytes()
    for torn in range(len(whole.splitlines()[0]) + 2, len(whole)):
        path.write_bytes(whole[:torn])
        assert journal(tmp_path).found(SCORED) is None
        assert journal(tmp_path).found(WRITTEN) == ((2,),)
    for broken in (b"{}\n", b"nonsense\n", b"[1]\n", b'{"key": "k", "written": [["x"]]}\n'):
        path.write_bytes(whole + broken + whole)
        with pytest.raises(DataError, match=r"answer cannot be read: .*jsonl:3: .*fix: remove the line"):
            journal(tmp_path)


@pytest.mark.parametrize("value", ["[NaN]", '["x", "y"]', "-1.0", "[-1.0, Infinity]", "null"])
def test_a_log_probability_that_is_no_number_is_an_error(tmp_path, value):
    with journal(tmp_path) as first:
        first.add([(SCORED, ((-3.0, -4.0),))])
    path = file_of(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"[-3.0, -4.0]", value.encode()))
    with pytest.raises(DataError, match=r"answer cannot be read: .*byte 0: expected .*log_probs"):
        journal(tmp_path).found(SCORED)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"cannot write the answers: .*/file/w: .*answers=DIR"):
        journal(tmp_path / "file").add([(WRITTEN, ((2,),))])
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    opened = journal(tmp_path)
    opened._kept._file = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(ResourceError, match="cannot write the answers.*No space left on device"):
        opened.add([(WRITTEN, ((2,),))])


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


@pytest.mark.parametrize("mode", EVERY_WAY)
def test_answers_are_kept_through_a_stop_between_batches(model, tokenizer, ranked_sets, tmp_path, mode):
    how = {"mode": mode, "batch_tokens": 150, "journal": tmp_path}
    whole = without_time(evaluate(model, tokenizer, ranked_sets, mode=mode, batch_tokens=150))
    told = []

    def stop_at_the_third(progress):
        told.append(progress.share)
        if len(told) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(model, tokenizer, ranked_sets, on_progress=stop_at_the_third, **how)
    kept = lines(tmp_path)
    assert kept
    continued = []
    again = evaluate(model, tokenizer, ranked_sets, on_progress=continued.append, **how)
    assert without_time(again) == whole
    assert continued[-1].sets == ((18, 18), (12, 12))
    assert set(kept) < set(lines(tmp_path))


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
def die(progress):
    global seen
    seen += 1
    if seen == 4:
        os.kill(os.getpid(), signal.SIGKILL)
evaluate(model, tokenizer, world.sets.__wrapped__(), batch_tokens=150, journal=Path(sys.argv[2]), on_progress=die)
"""


@pytest.mark.slow
def test_a_real_kill_in_another_process(model, tokenizer, sets, tmp_path):
    world = Path(__file__).with_name("conftest.py")
    done = subprocess.run([sys.executable, "-c", KILLED, str(world), str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert 0 < len(lines(tmp_path)) < 42
    continued = without_time(evaluate(model, tokenizer, sets, batch_tokens=150, journal=tmp_path))
    assert continued == without_time(evaluate(model, tokenizer, sets, batch_tokens=150))
