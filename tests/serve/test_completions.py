import json

import pytest

from ramekin.serve.limits import Limits

BODY = {"model": "fake", "prompt": "is it wet"}


def ask(client, **fields):
    return client.post("/v1/completions", json={**BODY, **fields})


def refused(client, **fields):
    answer = ask(client, **fields)
    assert answer.status_code == 400, answer.text
    return answer.json()["error"]


def test_without_more_words_the_most_probable_text_is_written(client, engine):
    answer = ask(client)
    assert answer.status_code == 200
    (request,) = engine.added
    assert not request.decoding.is_random
    assert request.max_new_tokens == Limits().default_max_tokens
    assert request.input_ids[-1] == 1
    assert not request.log_probs
    assert answer.json()["choices"][0]["text"] == engine.written(request, 0).text
    assert "seed" not in answer.json()


@pytest.mark.parametrize(
    "fields", [{"n": 3}, {"top_p": 0.9}, {"top_k": 5}, {"typical_p": 0.9}, {"n": 2, "top_p": 0.5}]
)
def test_what_asks_for_samples_is_drawn_at_temperature_one_as_by_openai(client, engine, fields):
    answer = ask(client, **fields).json()
    decoding = engine.added[0].decoding
    assert decoding.sampling_temperature == 1
    assert (decoding.num_samples, decoding.top_p, decoding.top_k, decoding.typical_p) == (
        fields.get("n", 1), fields.get("top_p", 1), fields.get("top_k", 0), fields.get("typical_p", 1),
    )  # fmt: skip
    assert answer["seed"] == decoding.seed


def test_a_seed_repeats_an_answer_and_none_is_another_each_time(client, engine):
    texts = [ask(client, temperature=0.8, seed=7).json()["choices"][0]["text"] for _ in range(2)]
    assert texts[0] == texts[1]
    assert engine.added[0].decoding.seed == 7
    for _ in range(2):
        ask(client, temperature=0.8)
    assert engine.added[2].decoding.seed != engine.added[3].decoding.seed


def test_all_that_may_be_said_comes_to_the_engine(client, engine):
    ask(client, temperature=0.5, top_p=0.8, top_k=9, max_tokens=12, stop=["wet", "dry"], n=2, seed=3, logprobs=4,
        prefix="it is", user="me", echo=False, suffix="", logit_bias={}, presence_penalty=0, frequency_penalty=0.0,
        best_of=2)  # fmt: skip
    (request,) = engine.added
    d = request.decoding
    assert (d.sampling_temperature, d.top_p, d.top_k, d.num_samples, d.seed) == (0.5, 0.8, 9, 2, 3)
    assert (request.max_new_tokens, request.stop, request.num_alternatives) == (12, ("wet", "dry"), 4)
    assert request.log_probs
    assert request.prefix_ids
    assert 1 not in request.prefix_ids


def test_beams(client, engine):
    ask(client, num_beams=4, length_penalty=0.6, n=2)
    d = engine.added[0].decoding
    assert (d.num_beams, d.num_samples, d.length_penalty, d.sampling_temperature) == (4, 2, 0.6, 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("options", ["yes", "no"]),
        ("regex", "[0-9]+"),
        ("json_schema", {"type": "object", "$ref": "#/$defs/a"}),
    ],
)
def test_forms(client, engine, field, value):
    assert ask(client, **{field: value}).status_code == 200
    form = engine.added[0].form
    found = getattr(form, field)
    assert (list(found) if field == "options" else found) == value


def test_several_prompts_are_numbered_through(client, engine):
    answer = ask(client, prompt=["a", "b c"], n=2, seed=1).json()
    assert [each["index"] for each in answer["choices"]] == [0, 1, 2, 3]
    texts = [engine.written(request, number).text for request in engine.added for number in range(2)]
    assert [each["text"] for each in answer["choices"]] == texts
    prompt_tokens = sum(len(each.input_ids) for each in engine.added)
    written = sum(len(engine.written(r, n).tokens) for r in engine.added for n in range(2))
    assert answer["usage"] == {
        "prompt_tokens": prompt_tokens, "completion_tokens": written, "total_tokens": prompt_tokens + written,
    }  # fmt: skip


def test_token_ids_are_taken_as_they_are(client, engine):
    assert ask(client, prompt=[5, 6, 7]).status_code == 200
    assert ask(client, prompt=[[5, 6], [7, 1]]).status_code == 200
    assert [each.input_ids for each in engine.added] == [(5, 6, 7), (5, 6), (7, 1)]


def test_a_model_whose_inputs_have_no_end(make_client, engine):
    client = make_client(engine, input_eos=False)
    ask(client)
    assert engine.added[0].input_ids[-1] != 1


@pytest.mark.parametrize("log_probs", [0, 1, 5])
def test_log_probabilities_are_in_openais_legacy_object(client, engine, log_probs):
    choice = ask(client, logprobs=log_probs).json()["choices"][0]
    output, told = engine.written(engine.added[0], 0), choice["logprobs"]
    assert told["token_logprobs"] == list(output.log_probs)
    assert "".join(told["tokens"][:-1]) == choice["text"]
    assert told["tokens"][-1] == "</s>"
    for piece, start in zip(told["tokens"][:-1], told["text_offset"], strict=False):
        assert choice["text"][start : start + len(piece)] == piece
    for piece, own, top in zip(told["tokens"], told["token_logprobs"], told["top_logprobs"], strict=True):
        assert top[piece] == own
        assert len(top) in (log_probs, log_probs + 1)


def test_an_impossible_tokens_log_probability_is_a_number(client, engine, monkeypatch):
    written = engine.written

    def impossible(request, number):
        output = written(request, number)
        import dataclasses

        return dataclasses.replace(output, log_probs=(float("-inf"),) * len(output.tokens))

    monkeypatch.setattr(engine, "written", impossible)
    assert set(ask(client, logprobs=1).json()["choices"][0]["logprobs"]["token_logprobs"]) == {-9999.0}


def test_why_an_output_ended(client, engine):
    whole = ask(client).json()["choices"][0]
    assert whole["finish_reason"] == "stop"
    short = ask(client, max_tokens=2).json()["choices"][0]
    assert short["finish_reason"] == "length"
    at = whole["text"][3:6]
    stopped = ask(client, stop=at).json()["choices"][0]
    assert stopped["finish_reason"] == "stop"
    assert stopped["text"] == whole["text"][: whole["text"].index(at)]


def test_what_the_vocabulary_does_not_know_is_told(client):
    answer = ask(client, prompt=["is it wet", "\u6f22 wet \u6f22"]).json()
    assert answer["warnings"] == ["prompt 1: 2 of its tokens stand for what the vocabulary does not know"]
    assert 'ramekin_unknown_tokens_total{model="fake"} 2.0' in client.get("/metrics").text
    assert "warnings" not in ask(client).json()


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"n": 0}, "n", "1 to 64"),
        ({"n": 65, "temperature": 1}, "n", "1 to 64"),
        ({"n": 10**30}, "n", "1 to 64"),
        ({"best_of": 3}, "best_of", "expected n=1, got 3"),
        ({"max_tokens": 0}, "max_tokens", "1 to 1024"),
        ({"max_tokens": 1025}, "max_tokens", "1 to 1024"),
        ({"temperature": -0.1}, "temperature", "greater than or equal to 0"),
        ({"temperature": 2.1}, "temperature", "less than or equal to 2"),
        ({"temperature": 1e-9}, "temperature", "a number from"),
        ({"temperature": "1"}, "temperature", "valid number"),
        ({"temperature": True}, "temperature", "valid number"),
        ({"top_p": 0}, "top_p", "above 0 and at most 1"),
        ({"top_p": 1.5}, "top_p", "above 0 and at most 1"),
        ({"temperature": 0, "top_p": 0.5}, "top_p", "set temperature"),
        ({"temperature": 0, "n": 2}, "n", "set temperature"),
        ({"num_beams": 2, "n": 3}, "num_beams", "n"),
        ({"num_beams": 17}, "num_beams", "0 to 16"),
        ({"num_beams": 2, "temperature": 1}, "num_beams", "temperature=0"),
        ({"length_penalty": 2.0}, "length_penalty", "set num_beams"),
        ({"seed": -1, "temperature": 1}, "seed", "greater than or equal to 0"),
        ({"logprobs": 6}, "logprobs", "less than or equal to 5"),
        ({"logprobs": True}, "logprobs", "valid integer"),
        ({"stop": ["a"] * 5}, "stop", "at most 4"),
        ({"stop": ""}, "stop", "1 to 256 characters"),
        ({"stop": "a" * 257}, "stop", "1 to 256 characters"),
        ({"stop": ["wet", "\n"]}, "stop", "never writes this"),
        ({"stop": 5}, "stop", "a text, or up to 4"),
        ({"echo": True}, "echo", "does not continue its prompt"),
        ({"suffix": "x"}, "suffix", "not written"),
        ({"logit_bias": {"5": 1}}, "logit_bias", "no bias"),
        ({"presence_penalty": 0.5}, "presence_penalty", "no penalty"),
        ({"frequency_penalty": -1}, "frequency_penalty", "no penalty"),
        ({"stream_options": {}}, "stream_options", "without a stream"),
        ({"stream": True, "stream_options": {"include": True}}, "stream_options.include", "include_usage"),
        ({"prompt": []}, "prompt", "1 to 64"),
        ({"prompt": ["a"] * 65}, "prompt", "1 to 64"),
        ({"prompt": ""}, "prompt", "it is empty"),
        ({"prompt": " \t\n"}, "prompt", "it is empty"),
        ({"prompt": ["a", ""]}, "prompt[1]", "it is empty"),
        ({"prompt": [[]]}, "prompt", "it is empty"),
        ({"prompt": [5, "a"]}, "prompt", "a text, texts, token ids"),
        ({"prompt": [5, True]}, "prompt", "a text, texts, token ids"),
        ({"prompt": [5, 1.5]}, "prompt", "a text, texts, token ids"),
        ({"prompt": {"text": "a"}}, "prompt", "a text, texts, token ids"),
        ({"prompt": None}, "prompt", "a text, texts, token ids"),
        ({"prompt": [5, -1]}, "prompt[0]", "no such token"),
        ({"prompt": [10**9]}, "prompt[0]", "no such token"),
        ({"prompt": [10**30]}, "prompt[0]", "no such token"),
        ({"prompt": ["a"] * 60, "n": 10}, "n", "at most 512"),
        ({"n": 64, "max_tokens": 257}, "max_tokens", "at most 16384 for a prompt, got 16448"),
        ({"prefix": "wet " * 300}, "prefix", "fewer tokens than max_tokens"),
        ({"options": []}, "options", "1 to 256"),
        ({"options": ["a", "a"]}, "options", "differ"),
        ({"options": ["a", ""]}, "options", "none is empty"),
        ({"options": ["a"], "regex": "a"}, None, "one form"),
        ({"regex": "a" * 20_000}, "regex", "too long"),
        ({"regex": "("}, "regex", "no regular expression"),
        ({"json_schema": {"a": "x" * 20_000}}, "json_schema", "too long"),
        ({"json_schema": {"$ref": "http://evil.example/schema"}}, "json_schema", "nothing is fetched"),
        ({"json_schema": {"items": [{"$ref": "file:///etc/passwd"}]}}, "json_schema", "nothing is fetched"),
        ({"temprature": 1}, "temprature", "did you mean 'temperature'?"),
        ({"messages": []}, "messages", "unknown field"),
    ],
)  # fmt: skip
def test_what_cannot_be_met_is_refused_and_says_why(client, engine, fields, param, said):
    error = refused(client, **fields)
    assert said in error["message"]
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"


def test_a_prompt_that_is_too_long_is_not_cut(make_client, engine):
    client = make_client(engine, prompt_tokens=10)
    error = refused(client, prompt=["wet", "wet " * 30])
    assert error["code"] == "context_length_exceeded"
    tokens = len(client.service.models["fake"].model.tokenizer("wet " * 30)["input_ids"])
    assert f"expected at most 10 tokens, got {tokens}, {tokens - 10} too many" in error["message"]
    assert refused(client, prompt=[5] * 11)["code"] == "context_length_exceeded"
    assert ask(client, prompt=[5] * 10).status_code == 200
    assert engine.added[0].input_ids == (5,) * 10


def test_an_unknown_model(client):
    error = client.post("/v1/completions", json={**BODY, "model": "fak"}).json()["error"]
    assert error == {
        "message": "unknown model 'fak': did you mean 'fake'?",
        "type": "not_found_error",
        "param": "model",
        "code": "model_not_found",
    }


def test_what_an_engine_refuses_is_told_without_its_paths(client, engine):
    engine.refused_input = 5
    error = refused(client, prompt=[5])
    assert error["message"] == "the input is refused: expected another"


def test_a_failure_is_told_without_its_reason(client, engine):
    engine.step_error = RuntimeError("CUDA error at /home/me/secret.cu")
    answer = ask(client)
    assert answer.status_code == 500
    assert "home" not in answer.text
    assert answer.json()["error"]["code"] == "internal_error"
    engine.step_error = None
    assert ask(client).status_code == 200


def test_a_million_wrong_items_are_one_error(client):
    body = json.dumps({**BODY, "prompt": ["a", *[1] * 300_000]}).encode()
    answer = client.post("/v1/completions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert len(answer.content) < 500
