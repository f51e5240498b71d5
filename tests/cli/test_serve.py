import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

TOKEN = "0123456789abcdef-token"


@pytest.fixture
def checkpoint(make_checkpoint, tmp_path):
    return make_checkpoint(tmp_path / "models/rte", seed=0)


def test_a_dry_run_says_what_would_be_served_and_loads_nothing(ramekin, checkpoint, monkeypatch):
    monkeypatch.setattr("ramekin.weights.seq2seq.load_model", lambda *_, **__: 1 / 0)
    code, out, _ = ramekin("serve", f"model={checkpoint}", "port=9", "queue=99", "--dry-run")
    assert code == 0
    assert out.startswith(f"would serve at http://127.0.0.1:9/v1:\n  rte: {checkpoint}\n")
    assert "a token is not needed; it answers to: 127.0.0.1, [::1], localhost" in out
    assert "\n  queue = 99\n" in out
    code, out, _ = ramekin("serve", f"model={checkpoint}", "--dry-run", "--json")
    told = json.loads(out)
    assert told["models"] == [{"name": "rte", "folder": str(checkpoint)}]
    assert told["limits"]["body_bytes"] == 1 << 20


def test_other_machines_need_a_token(ramekin, checkpoint, monkeypatch):
    code, _, err = ramekin("serve", f"model={checkpoint}", "host=0.0.0.0", "--dry-run")
    assert code == 2
    assert "so that a token is needed" in err
    monkeypatch.setenv("RAMEKIN_TOKEN", TOKEN)
    code, out, err = ramekin("serve", f"model={checkpoint}", "host=0.0.0.0", "--dry-run")
    assert code == 0
    assert "a token is needed; it answers to: any" in out
    assert TOKEN not in out + err


def test_a_token_that_is_refused_is_not_shown(ramekin, checkpoint, monkeypatch):
    monkeypatch.setenv("RAMEKIN_TOKEN", "too-short")
    code, out, err = ramekin("serve", f"model={checkpoint}", "--dry-run")
    assert code == 2
    assert "the token is refused: RAMEKIN_TOKEN" in err
    assert "too-short" not in out + err


def test_without_the_extra(ramekin, checkpoint, monkeypatch):
    monkeypatch.setattr("ramekin.recipes.serve.find_spec", lambda name: None if name == "uvicorn" else True)
    code, _, err = ramekin("serve", f"model={checkpoint}")
    assert code == 2
    assert "serving needs uvicorn; fix: pip install 'ramekin[serve]'" in err


def test_an_address_in_use_is_told_before_anything_is_loaded(ramekin, checkpoint, monkeypatch):
    from ramekin.serve.server import bind

    monkeypatch.setattr("ramekin.recipes.engines.open_named", lambda *_, **__: 1 / 0)
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        code, _, err = ramekin("serve", f"model={checkpoint}", f"port={taken.getsockname()[1]}")
    assert code == 5
    assert "the address cannot be served" in err


def test_a_model_that_is_not_there(ramekin, tmp_path):
    code, _, err = ramekin("serve", f"model={tmp_path}/none", "port=0")
    assert code == 4
    assert "none" in err


def ask(url, body=None, token=TOKEN):
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as answer:
        return json.load(answer)


def test_two_models_are_served_until_a_signal_comes(checkpoint, make_checkpoint, tmp_path, monkeypatch):
    monkeypatch.undo()  # the network is closed by a patch of sockets, and this machine is asked here
    other = make_checkpoint(tmp_path / "models/cola", seed=1, like=checkpoint)
    environment = {**os.environ, "RAMEKIN_TOKEN": TOKEN, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "ramekin", "serve", f"models=[{checkpoint},{other}]", "port=0", "--json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        ready = json.loads(process.stdout.readline())
        assert ready["models"] == ["rte", "cola"]
        assert ready["token"] is True
        url = f"{ready['url']}/v1"
        assert [each["id"] for each in ask(f"{url}/models")["data"]] == ["rte", "cola"]
        texts = [
            ask(f"{url}/completions", {"model": name, "prompt": "is it wet", "max_tokens": 8})["choices"][0][
                "text"
            ]
            for name in ("rte", "cola")
        ]
        assert all(isinstance(text, str) for text in texts)
        ranked = ask(f"{url}/rank", {"model": "rte", "inputs": "is it wet", "options": ["yes", "no"]})
        assert sum(each["probability"] for each in ranked["results"][0]["options"]) == pytest.approx(1)
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(f"{url}/models", token="wrong")
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert json.loads(out) == {"requests": 5, "given_up": 0, "left_behind": False}
    assert " POST /v1/completions 200 " in err
    assert "stopping: 0 open requests" in err
    assert TOKEN not in err
    assert str(tmp_path) not in json.dumps(ready)
