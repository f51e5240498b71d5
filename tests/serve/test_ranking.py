import math

import pytest

from ramekin.errors import DataError
from ramekin.evaluate.mode import MODES
from ramekin.serve.ranking import RANK_MODES
from ramekin.tensors.tokenizer import EOS_ID, load_tokenizer, token_ids

BODY = {"model": "fake", "inputs": "is it wet", "options": ["yes", "no", "maybe it is"]}


def ask(client, **fields):
    return client.post("/v1/rank", json={**BODY, **fields})


@pytest.fixture
def ids(tokenizer_folder):
    tokenizer = load_tokenizer(tokenizer_folder)
    return lambda text, *, eos: (*token_ids(tokenizer, [text])[0], *((EOS_ID,) if eos else ()))


def softmax(values):
    total = sum(math.exp(value) for value in values)
    return [math.exp(value) / total for value in values]


@pytest.mark.parametrize(
    ("mode", "input_eos", "option_eos"),
    [
        (None, True, True),
        ("rank", True, True),
        ("flan", True, True),
        ("t0", False, True),
        ("lm_eval", True, False),
    ],
)
def test_options_are_scored_given_the_input(client, engine, ids, mode, input_eos, option_eos):
    answer = ask(client, mode=mode).json()
    source = ids(BODY["inputs"], eos=input_eos)
    expected = [engine.log_prob(source, ids(option, eos=option_eos)) for option in BODY["options"]]
    (result,) = answer["results"]
    assert [each["text"] for each in result["options"]] == BODY["options"]
    assert [each["log_prob"] for each in result["options"]] == expected
    assert [each["score"] for each in result["options"]] == expected
    assert [each["probability"] for each in result["options"]] == pytest.approx(softmax(expected))
    best = max(range(3), key=expected.__getitem__)
    assert (result["winner_index"], result["winner"]) == (best, BODY["options"][best])
    assert result["is_tied"] is False
    assert answer["mode"] == (mode or "rank")


def test_lm_eval_has_its_other_normalisations_too(client, engine, ids):
    (result,) = ask(client, mode="lm_eval").json()["results"]
    source = ids(BODY["inputs"], eos=True)
    scored = [ids(option, eos=False) for option in BODY["options"]]
    given = [engine.log_prob(source, each) for each in scored]
    alone = [engine.log_prob((EOS_ID,), each) for each in scored]
    winners = {
        "characters": [value / len(text) for value, text in zip(given, BODY["options"], strict=True)],
        "bytes": [value / len(text.encode()) for value, text in zip(given, BODY["options"], strict=True)],
        "pmi": [value - other for value, other in zip(given, alone, strict=True)],
    }
    assert result["other_winners"] == {
        name: BODY["options"][max(range(3), key=values.__getitem__)] for name, values in winners.items()
    }


def test_a_channel_scores_the_input_given_the_option(client, engine, ids):
    (result,) = ask(client, mode="channel").json()["results"]
    expected = [
        engine.log_prob(ids(option, eos=True), ids(BODY["inputs"], eos=True)) for option in BODY["options"]
    ]
    assert [each["log_prob"] for each in result["options"]] == expected


def test_several_inputs_have_options_of_their_own(client, engine, ids):
    answer = ask(client, inputs=["a", "b"], options=[["yes", "no"], ["wet", "dry", "no"]]).json()
    assert [each["index"] for each in answer["results"]] == [0, 1]
    assert [len(each["options"]) for each in answer["results"]] == [2, 3]
    inputs = [ids(text, eos=True) for text in ("a", "b")]
    scored = [[ids(text, eos=True) for text in own] for own in (["yes", "no"], ["wet", "dry", "no"])]
    assert answer["usage"]["prompt_tokens"] == sum(map(len, inputs))
    assert answer["usage"]["scored_tokens"] == sum(len(each) for own in scored for each in own)
    assert [each["log_prob"] for each in answer["results"][1]["options"]] == [
        engine.log_prob(inputs[1], each) for each in scored[1]
    ]


def test_one_option_is_certain(client):
    (result,) = ask(client, options=["yes"]).json()["results"]
    assert result["options"][0]["probability"] == 1


def test_equals_are_told(client, engine, monkeypatch):
    monkeypatch.setattr(engine, "log_prob", lambda ids, option: -1.0)
    (result,) = ask(client).json()["results"]
    assert (result["winner_index"], result["is_tied"]) == (0, True)
    assert [each["probability"] for each in result["options"]] == pytest.approx([1 / 3] * 3)


def test_what_is_impossible_is_a_number_too(client, engine, monkeypatch):
    monkeypatch.setattr(engine, "log_prob", lambda ids, option: float("-inf"))
    (result,) = ask(client).json()["results"]
    assert {each["log_prob"] for each in result["options"]} == {-9999.0}
    assert sum(each["probability"] for each in result["options"]) == pytest.approx(1)


def test_a_model_whose_inputs_have_no_end_is_asked_as_t0(make_client, engine):
    assert ask(make_client(engine, input_eos=False)).json()["mode"] == "t0"


def test_the_modes_are_those_of_evaluations_that_rank_a_text():
    assert set(RANK_MODES) <= set(MODES)
    assert all(MODES[name].direction in ("rank", "channel") for name in RANK_MODES)
    left = {name for name, mode in MODES.items() if mode.ranks} - set(RANK_MODES)
    assert left == {"flipped"}


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"mode": "flipped"}, "mode", "mode flipped cannot be asked of a text"),
        ({"mode": "generate"}, "mode", "mode generate cannot be asked of a text"),
        ({"mode": "perplexity"}, "mode", "expected one of rank, t0, lm_eval, flan, channel"),
        ({"mode": "rnak"}, "mode", "did you mean 'rank'?"),
        ({"mode": 3}, "mode", "valid string"),
        ({"inputs": []}, "inputs", "1 to 64"),
        ({"inputs": ["a"] * 65}, "inputs", "1 to 64"),
        ({"inputs": ""}, "inputs", "it is empty"),
        ({"inputs": ["a", " "]}, "inputs[1]", "it is empty"),
        ({"inputs": [[1, 2]]}, "inputs", "a text, or texts"),
        ({"options": []}, "options", "1 to 256"),
        ({"options": ["a"] * 2}, "options", "given twice"),
        ({"options": [str(n) for n in range(257)]}, "options", "1 to 256"),
        ({"options": ["a", ""]}, "options of inputs[0]", "empty after tokenising"),
        ({"options": ["a  b", "a b"]}, "options of inputs[0]", "the same to the model"),
        ({"options": [["a"], ["b"]]}, "options", "expected 1 lists"),
        ({"options": [["a"], "b"]}, "options", "such a list for each input"),
        ({"inputs": ["a", "b"], "options": [["a"], []]}, "options[1]", "1 to 256"),
        ({"options": ["wet " * 600]}, "options", "not cut"),
        ({"inputs": "wet " * 600, "mode": "channel"}, "inputs", "not cut"),
        ({"option": ["a"]}, "option", "did you mean 'options'?"),
    ],
)
def test_what_cannot_be_ranked_is_refused_and_says_why(client, fields, param, said):
    answer = ask(client, **fields)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert said in error["message"]
    assert error["param"] == param


def test_an_input_that_is_too_long_is_not_cut(make_client, engine):
    client = make_client(engine, prompt_tokens=10)
    error = ask(client, inputs=["wet", "wet " * 30]).json()["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", "inputs[1]")


def test_options_have_a_bound_together(make_client, engine):
    client = make_client(engine, scored_tokens=10)
    assert ask(client, inputs=["a"] * 10).json()["error"]["param"] == "options"
    assert ask(client, options=["yes"]).status_code == 200


def test_what_the_vocabulary_does_not_know_is_told(client):
    answer = ask(client, inputs=["wet", "\u6f22"]).json()
    assert answer["warnings"] == [
        "1 inputs, and the options of 0, have tokens for what the vocabulary does not know"
    ]


def test_what_an_engine_refuses_is_told(client, engine, ids):
    engine.rank_error = (ids("wet", eos=False)[0], DataError("it cannot be", where="/home/me"))
    answer = ask(client, inputs="wet")
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "it cannot be")
    assert ask(client, inputs="dry", options=["a"]).status_code == 200
