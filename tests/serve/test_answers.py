"""Streams, which must tell the same as a whole answer does."""

import json

import pytest

from ramekin.infer.request import Answered, Output
from ramekin.serve.answers import finite

BODY = {"model": "fake", "prompt": "is it wet", "stream": True}


def events(client, **fields):
    answer = client.post("/v1/completions", json={**BODY, **fields})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    parts = answer.text.split("\n\n")
    assert parts.pop() == ""
    assert all(part.startswith("data: ") for part in parts)
    assert parts.pop() == "data: [DONE]"
    return [json.loads(part.removeprefix("data: ")) for part in parts]


def together(chunks):
    """What all chunks tell of each output."""
    found = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            own = found.setdefault(choice["index"], {"text": "", "logprobs": None, "finish_reason": None})
            own["text"] += choice["text"]
            assert own["finish_reason"] is None, "a piece came behind the last one"
            own["finish_reason"] = choice["finish_reason"]
            if choice["logprobs"] is not None:
                own["logprobs"] = own["logprobs"] or {key: [] for key in choice["logprobs"]}
                for key, values in choice["logprobs"].items():
                    own["logprobs"][key] += values
    return [{"index": index, **found[index]} for index in sorted(found)]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"logprobs": 3},
        {"n": 3, "seed": 5, "logprobs": 0},
        {"prompt": ["a", "b"], "n": 2, "seed": 5},
        {"max_tokens": 3},
        {"num_beams": 3},
        {"num_beams": 3, "logprobs": 2},
        {"max_tokens": 1, "logprobs": 1},
    ],
)
def test_the_pieces_are_the_whole(client, fields):
    whole = client.post("/v1/completions", json={**BODY, "stream": False, **fields}).json()
    chunks = events(client, **fields, stream_options={"include_usage": True})
    assert together(chunks) == whole["choices"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == whole["usage"]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert {chunk["id"] for chunk in chunks} == {chunks[0]["id"]}


def test_a_stop_is_not_sent(client):
    whole = client.post("/v1/completions", json={**BODY, "stream": False}).json()["choices"][0]["text"]
    chunks = events(client, stop=whole[4:7])
    (choice,) = together(chunks)
    assert choice["text"] == whole[: whole.index(whole[4:7])]
    assert choice["finish_reason"] == "stop"


def test_without_being_asked_there_are_no_counts(client):
    assert all("usage" not in chunk for chunk in events(client))


def test_what_fails_before_the_first_piece_of_a_stream_has_a_status(client, engine):
    assert client.post("/v1/completions", json={**BODY, "n": 0}).status_code == 400


def test_what_fails_on_the_way_is_one_more_event_and_no_done(client, engine):
    engine.failing_input = 5
    text = client.post("/v1/completions", json={**BODY, "prompt": [5]}).text
    assert json.loads(text.removeprefix("data: "))["error"]["message"] == "the input failed: expected another"
    assert "[DONE]" not in text


def test_an_engine_that_told_no_pieces_is_told_whole(client, engine, monkeypatch):
    step = engine.step
    monkeypatch.setattr(engine, "step", lambda: [each for each in step() if isinstance(each, Answered)])
    (choice,) = together(events(client))
    assert choice["text"] == engine.written(engine.added[0], 0).text
    assert choice["finish_reason"] == "stop"


def test_characters_of_all_kinds_stand_in_events_as_they_are(client, engine, monkeypatch):
    text = 'a "quoted"\u2028line \U0001f600'
    monkeypatch.setattr(engine, "written", lambda request, number: Output(text, (5, 1), "end"))
    monkeypatch.setattr(engine, "_piece", lambda *_: (_ for _ in ()).throw(AssertionError))
    (choice,) = together(events(client, num_beams=2))
    assert choice["text"] == text


def test_logarithms_of_nothing():
    assert finite(float("-inf")) == -9999.0
    assert finite(-2.5) == -2.5
