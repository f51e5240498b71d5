"""An export is whole, tested and under its name, or not there."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ramekin.errors import UsageError, WeightsError
from ramekin.infer.export import export_model
from ramekin.weights.ctranslate2_folder import check_translator
from ramekin.weights.lineage import Parent, read_lineage
from ramekin.weights.seq2seq import load_model

pytest.importorskip("ctranslate2")


@pytest.fixture(scope="module")
def checkpoint(make_checkpoint, tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "m", seed=0)


@pytest.mark.parametrize("quantization", ["float32", "int8", "bfloat16", "int8_bfloat16"])
def test_the_folder_and_what_it_says_of_itself(checkpoint, tmp_path, quantization):
    parent = Parent("org/m", "0" * 64)
    done = export_model(
        load_model(checkpoint),
        tmp_path / "out",
        tokenizer_folder=checkpoint,
        quantization=quantization,
        parents=[parent],
        threads=1,
    )
    names = {path.name for path in (tmp_path / "out").iterdir()}
    tokenizer = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}
    assert names == {"model.bin", "config.json", "shared_vocabulary.json", "ramekin.json", *tokenizer}
    lineage = read_lineage(tmp_path / "out")
    assert (lineage.kind, lineage.operation, lineage.parents) == ("export", "export", (parent,))
    assert lineage.settings["quantization"] == quantization
    assert lineage.settings["self_test"] == done.self_test.to_json()
    assert lineage.settings["self_test_in_float32"] == done.exact.to_json()
    assert set(lineage.versions) >= {"ctranslate2", "torch", "ramekin"}
    assert done.size == (tmp_path / "out/model.bin").stat().st_size
    assert (done.quantised is None) == (quantization == "float32")
    assert check_translator(tmp_path / "out").self_test["mean_difference"] == done.self_test.mean_difference


def spoil(monkeypatch):
    from ramekin.infer import export

    right = export.translator_spec

    def wrong(model, vocabulary):
        spec = right(model, vocabulary)
        spec.decoder.scale_outputs = 0.25
        return spec

    monkeypatch.setattr(export, "translator_spec", wrong)


@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_one_that_differs_is_never_there(checkpoint, tmp_path, monkeypatch, quantization):
    spoil(monkeypatch)
    with pytest.raises(WeightsError, match="computes other log-probabilities"):
        export_model(
            load_model(checkpoint), tmp_path / "out", tokenizer_folder=checkpoint, quantization=quantization
        )
    assert list(tmp_path.iterdir()) == []


def test_one_that_differs_leaves_what_was_there(checkpoint, tmp_path, monkeypatch):
    model = load_model(checkpoint)
    export_model(model, tmp_path / "out", tokenizer_folder=checkpoint, threads=1)
    before = (tmp_path / "out/ramekin.json").read_bytes()
    with pytest.raises(UsageError, match="exists"):
        export_model(model, tmp_path / "out", tokenizer_folder=checkpoint, threads=1)
    spoil(monkeypatch)
    with pytest.raises(WeightsError):
        export_model(model, tmp_path / "out", tokenizer_folder=checkpoint, threads=1, overwrite=True)
    assert (tmp_path / "out/ramekin.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


KILLED = """
import os, signal, sys
from pathlib import Path
import ramekin.infer.export as export
from ramekin.weights.seq2seq import load_model
real, calls = export.self_test, []
def test(*args, **settings):
    calls.append(1)
    if len(calls) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **settings)
export.self_test = test
folder = Path(sys.argv[1])
export.export_model(load_model(folder), Path(sys.argv[2]), tokenizer_folder=folder, quantization="int8", threads=1)
"""


@pytest.mark.parametrize("when", [1, 2])
def test_a_killed_export_leaves_nothing_under_its_name(checkpoint, tmp_path, when):
    output = tmp_path / "out"
    words = [sys.executable, "-c", KILLED, str(checkpoint), str(output), str(when)]
    ended = subprocess.run(words, env=os.environ.copy(), capture_output=True, timeout=200)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert not output.exists() and len(list(tmp_path.iterdir())) == 1
    export_model(load_model(checkpoint), output, tokenizer_folder=checkpoint, threads=1)
    assert [path.name for path in tmp_path.iterdir()] == ["out"] and check_translator(output)


def test_umt5_is_refused_before_anything_is_written(tmp_path, checkpoint):
    from ramekin.weights.config import t5_config
    from ramekin.weights.seq2seq import build_model

    config = t5_config(vocab_size=64, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2)
    model = build_model({**config, "model_type": "umt5"}, seed=0, tied=False)
    with pytest.raises(WeightsError, match="UMT5"):
        export_model(model, tmp_path / "out", tokenizer_folder=checkpoint)
    assert list(tmp_path.iterdir()) == []


def test_a_tied_models_weights_are_written_once(make_checkpoint, tmp_path):
    tied, untied = make_checkpoint(tmp_path / "t", seed=0, tied=True), make_checkpoint(tmp_path / "u", seed=0)
    sizes = [
        export_model(load_model(folder), tmp_path / f"o{place}", tokenizer_folder=folder, threads=1).size
        for place, folder in enumerate((tied, untied))
    ]
    config = json.loads((untied / "config.json").read_text())
    head = 4 * config["vocab_size"] * config["d_model"]
    assert abs(sizes[1] - sizes[0] - head) < 200


def test_an_engine_left_open_ends_with_its_process(checkpoint, tmp_path):
    export_model(load_model(checkpoint), tmp_path / "out", tokenizer_folder=checkpoint, threads=1)
    code = (
        "import sys; from pathlib import Path\n"
        "from ramekin.infer.ctranslate_engine import CTranslateEngine\n"
        "from ramekin.infer.decoding import Decoding\n"
        "from ramekin.infer.request import Request\n"
        "engine = CTranslateEngine(Path(sys.argv[1]), threads=1)\n"
        "engine.add(Request((5, 6, 1), 4000, Decoding(sampling_temperature=1.0)))\n"
        "engine.step()\n"
    )
    for _ in range(3):
        ended = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "out")],
            capture_output=True,
            timeout=100,
            cwd=Path.cwd(),
        )
        assert ended.returncode == 0, ended.stderr.decode()
