"""What an engine answers depends on the request alone, whenever it comes and whatever else is under way."""

import json
import math
import random
import re

import pytest
import torch

from ramekin.errors import DataError, UsageError, WeightsError
from ramekin.infer.decoding import Decoding
from ramekin.infer.generate import decode
from ramekin.infer.rank import rank
from ramekin.infer.request import Answered, Failed, Form, Request, Wrote
from ramekin.infer.torch_engine import TorchEngine
from ramekin.tensors.tokenizer import token_ids, train_tokenizer
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model

WARM = Decoding(num_samples=3, sampling_temperature=1.0, top_p=0.9, seed=5)
BEAMS = Decoding(num_beams=3, num_samples=2)


@pytest.fixture(scope="module")
def tokenizer():
    words = [
        "the",
        "cat",
        "sat",
        "on",
        "a",
        "mat",
        "and",
        "ate",
        "12",
        "of",
        "345",
        "fish",
        "[SEP]",
        "yes,",
        "no;",
        "6",
        "7",
        "8",
        "9",
        "0",
        "[1]",
        '"x":',
        "{2}",
    ]
    rng = random.Random(0)
    texts = [" ".join(rng.choices(words, k=8)) for _ in range(300)]
    return train_tokenizer(texts, vocab_size=120, num_sentinels=4)


@pytest.fixture
def model(tokenizer):
    config = t5_config(vocab_size=len(tokenizer) + 3, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=3)
    model = build_model(config, seed=0, tied=False)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "EncDecAttention" in name or "relative_attention_bias" in name:
                parameter.mul_(6.0)
        model.lm_head.weight[1] *= 4.0
    return model


@pytest.fixture
def engine(model, tokenizer):
    return TorchEngine(model, tokenizer, batch_tokens=2000)


def ids(tokenizer, text):
    return (*token_ids(tokenizer, [text])[0], 1)


def finished(engine, *, limit=500):
    """Everything told until there is nothing to do."""
    events = []
    for _ in range(limit):
        load = engine.load
        if not load.running and not load.waiting:
            return events
        events += engine.step()
    raise AssertionError("the engine does not come to an end")


def answered(engine, *requests):
    return engine.answer(requests)


def some_requests(tokenizer, count, seed=0):
    rng = random.Random(seed)
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "ate", "fish"]
    for number in range(count):
        text = " ".join(rng.choices(words, k=rng.randrange(1, 14)))
        decoding = [Decoding(), WARM, BEAMS, Decoding(num_samples=5, sampling_temperature=2.0, seed=number)]
        yield Request(ids(tokenizer, text), rng.randrange(2, 12), decoding[number % 4])


def test_answers_are_those_of_decode(engine, model, tokenizer):
    requests = list(some_requests(tokenizer, 24))
    for request, outputs in zip(requests, answered(engine, *requests), strict=True):
        (alone,) = decode(
            model, [request.input_ids], decoding=request.decoding,
            max_new_tokens=request.max_new_tokens, batch_tokens=2000,
        )  # fmt: skip
        assert tuple(each.tokens for each in outputs) == alone
        assert {each.ending for each in outputs} <= {"end", "length"}
        for each in outputs:
            assert (each.tokens[-1] == 1) == (each.ending == "end")


@pytest.mark.parametrize("seed", range(4))
def test_arrivals_and_departures_do_not_change_an_answer(model, tokenizer, seed):
    requests = list(some_requests(tokenizer, 20, seed))
    alone = [answered(TorchEngine(model, tokenizer, batch_tokens=2000), each)[0] for each in requests]
    rng = random.Random(seed)
    engine = TorchEngine(model, tokenizer, batch_tokens=rng.choice([60, 200, 1000]))
    told, tickets, dropped = {}, {}, set()
    waiting = list(enumerate(requests))
    rng.shuffle(waiting)
    while waiting or engine.load.running or engine.load.waiting:
        if waiting and rng.random() < 0.5:
            number, request = waiting.pop()
            tickets[engine.add(request)] = number
        elif tickets and rng.random() < 0.05:
            ticket = rng.choice(list(tickets))
            engine.cancel(ticket)
            dropped.add(ticket)
        for event in engine.step():
            assert event.ticket not in dropped
            told[tickets[event.ticket]] = event.outputs
    assert len(told) >= 15
    for number, outputs in told.items():
        assert outputs == alone[number]


def test_pieces_are_told_as_they_come_and_make_the_text(engine, tokenizer):
    requests = [*some_requests(tokenizer, 12), Request(ids(tokenizer, "the cat"), 9, stop=("a", "cat"))]
    tickets = [engine.add(each, streams=True) for each in requests]
    events = finished(engine)
    for ticket, request in zip(tickets, requests, strict=True):
        pieces = [event for event in events if isinstance(event, Wrote) and event.ticket == ticket]
        (answer,) = [event for event in events if isinstance(event, Answered) and event.ticket == ticket]
        for number, output in enumerate(answer.outputs):
            own = [piece for piece in pieces if piece.number == number]
            assert "".join(piece.text for piece in own) == output.text
            assert tuple(token for piece in own for token in piece.tokens) == output.tokens
            assert [piece.ending for piece in own] == [None] * (len(own) - 1) + [output.ending]
            if request.decoding.num_beams == 1:
                assert len(own) == len(output.tokens)


def test_who_does_not_stream_is_told_the_end_alone(engine, tokenizer):
    engine.add(Request(ids(tokenizer, "the cat"), 5))
    assert [type(event) for event in finished(engine)] == [Answered]


def test_log_probs_are_those_of_the_model_whatever_is_drawn_from(engine, model, tokenizer):
    for decoding in (Decoding(), Decoding(num_samples=4, sampling_temperature=3.0, top_k=5), BEAMS):
        request = Request(
            ids(tokenizer, "a mat on the fish"), 7, decoding, log_probs=True, num_alternatives=3
        )
        (outputs,) = answered(engine, request)
        for output in outputs:
            ((expected,),) = rank(model, [request.input_ids], [[output.tokens]], batch_tokens=500)
            assert output.log_prob == pytest.approx(expected, abs=2e-5)
            assert len(output.log_probs) == len(output.alternatives) == len(output.tokens)
            for token, log_prob, best in zip(
                output.tokens, output.log_probs, output.alternatives, strict=True
            ):
                assert [value for _, value in best] == sorted((value for _, value in best), reverse=True)
                assert log_prob <= best[0][1] + 1e-5
                assert dict(best).get(token, log_prob) == pytest.approx(log_prob, abs=2e-5)
                if decoding == Decoding():
                    assert token == best[0][0]
    (plain,) = answered(engine, Request(request.input_ids, 7))
    assert plain[0].log_probs == plain[0].alternatives == ()


@pytest.mark.parametrize("decoding", [Decoding(), WARM, BEAMS])
def test_outputs_begin_with_the_prefix(engine, tokenizer, decoding):
    prefix = tuple(token_ids(tokenizer, ["yes, the"])[0])
    (outputs,) = answered(
        engine, Request(ids(tokenizer, "a cat"), 9, decoding, prefix_ids=prefix, log_probs=True)
    )
    for output in outputs:
        assert output.tokens[: len(prefix)] == prefix
        assert output.text.startswith("yes, the")
        assert len(output.log_probs) == len(output.tokens) <= 9


def test_a_prefix_is_read_by_what_follows(engine, tokenizer):
    """A greedy output that is forced to begin as it would is the same output."""
    request = Request(ids(tokenizer, "the cat sat on a mat"), 8)
    ((free,),) = answered(engine, request)
    ((forced,),) = answered(engine, Request(request.input_ids, 8, prefix_ids=free.tokens[:2]))
    assert forced == free


def test_an_output_ends_before_its_stop_string(engine, model, tokenizer):
    request = Request(
        ids(tokenizer, "fish and mat and cat"), 30, Decoding(num_samples=8, sampling_temperature=1.5)
    )
    (free,) = answered(engine, request)
    stop = free[0].text.split()[2][:3]
    (outputs,) = answered(engine, Request(request.input_ids, 30, request.decoding, stop=(stop, "345 345")))
    for before, output in zip(free, outputs, strict=True):
        if stop in before.text:
            assert output.ending == "stop"
            assert output.text == before.text.partition(stop)[0]
            assert output.tokens == before.tokens[: len(output.tokens)]
            assert len(output.tokens) < len(before.tokens)
        else:
            assert output == before
    assert {each.ending for each in outputs} >= {"stop"}


@pytest.mark.parametrize("decoding", [Decoding(), WARM, BEAMS, Decoding(num_beams=8, num_samples=3)])
def test_outputs_are_among_the_options(engine, model, tokenizer, decoding):
    options = ("yes", "no", "the cat", "the mat")
    request = Request(ids(tokenizer, "sat on"), 12, decoding, form=Form(options=options), log_probs=True)
    (outputs,) = answered(engine, request)
    assert {each.text for each in outputs} <= set(options)
    assert {each.ending for each in outputs} == {"end"}
    if decoding.num_beams == 8:
        scores = rank(
            model, [request.input_ids], [[ids(tokenizer, each) for each in options]], batch_tokens=500
        )
        best = sorted(zip(scores[0], options, strict=True), reverse=True)
        means = {option: score / len(ids(tokenizer, option)) for score, option in best}
        assert [each.text for each in outputs] == sorted(means, key=means.get, reverse=True)[:3]


@pytest.mark.parametrize("decoding", [Decoding(), WARM, BEAMS])
@pytest.mark.parametrize(
    "pattern", [r"(yes|no), [0-9]{2,3} (cat|fish)", r"[0-9 ]{4}", r"\[[0-9]{1,9}\] (a|the)"]
)
def test_outputs_match_the_regular_expression(engine, tokenizer, decoding, pattern):
    (outputs,) = answered(engine, Request(ids(tokenizer, "sat"), 60, decoding, form=Form(regex=pattern)))
    for output in outputs:
        if output.ending == "end":
            assert re.fullmatch(pattern, output.text), output.text
    assert any(output.ending == "end" for output in outputs)


def test_outputs_are_json_of_the_schema(engine, tokenizer):
    schema = {
        "type": "object",
        "properties": {"x": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2}},
        "required": ["x"],
        "additionalProperties": False,
    }
    (outputs,) = answered(engine, Request(ids(tokenizer, "a"), 60, WARM, form=Form(json_schema=schema)))
    ended = [json.loads(output.text) for output in outputs if output.ending == "end"]
    assert ended
    for value in ended:
        assert set(value) == {"x"}
        assert 1 <= len(value["x"]) <= 2
        assert all(type(each) is int for each in value["x"])


def test_a_form_that_cannot_be_written_fails_alone(engine, tokenizer):
    with pytest.raises(DataError, match=r"an option cannot be written: '~'.*<unk>"):
        engine.add(Request((5, 1), 9, form=Form(options=("a", "~"))))
    stuck = engine.add(Request((5, 1), 9, form=Form(regex="the (cat )*~")))
    good = engine.add(Request((5, 1), 9, form=Form(regex="the (cat )*a")))
    never = engine.add(Request((5, 1), 9, form=Form(regex="~a")))
    told = {event.ticket: event for event in finished(engine)}
    assert type(told[good]) is Answered
    assert type(told[never]) is Failed
    assert "an output cannot go on in its form" in str(told[never].error)
    assert "got '~a' has to come, which no token writes" in str(told[never].error)
    assert type(told[stuck]) is Failed or "~" not in told[stuck].outputs[0].text


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (Form(regex="(a"), "a regular expression cannot be read: regex: got .*unclosed group"),
        (Form(regex="a)|(b"), "a regular expression cannot be read"),
        (
            Form(json_schema={"type": "nonsense"}),
            "the form of an output cannot be read: json_schema: .*nonsense",
        ),
    ],
)
def test_a_form_that_is_wrong_is_refused(engine, form, message):
    with pytest.raises(UsageError, match=message):
        engine.add(Request((5, 1), 9, form=form))


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (Request((), 5), DataError, "an input has no tokens"),
        (Request((5, 10**6, 1), 5), DataError, r"does not know a token: expected 0 to \d+, got 1000000"),
        (Request((5, 1), 5, prefix_ids=(-3,)), DataError, "got -3"),
        (Request((5, 1), 5, Decoding(num_beams=100)), UsageError, "more beams than"),
        (Request((5, 1), 5, stop=("\n",)), UsageError, r"can never come up: '\\n'.*no line break"),
        (Request((5, 1), 5, stop=("~",)), UsageError, "can never come up: '~'"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_at_once(engine, request_, error, message):
    with pytest.raises(error, match=message):
        engine.add(request_)
    assert engine.load.waiting == 0


def test_requests_wait_for_room_in_their_order(model, tokenizer):
    engine = TorchEngine(model, tokenizer, batch_tokens=50)
    tickets = [engine.add(Request((9, 9, 1), 12, prefix_ids=(5,) * 11)) for _ in range(5)]
    big = engine.add(Request((9,) * 100, 12))
    last = engine.add(Request((9, 1), 3))
    engine.step()
    assert (engine.load.running, engine.load.waiting, engine.load.tokens) == (3, 4, 45)
    order = [event.ticket for event in finished(engine)]
    assert order == [*tickets, big, last]


def test_a_model_that_gives_no_numbers_fails_its_requests_and_lives_on(model, tokenizer):
    engine = TorchEngine(model, tokenizer, batch_tokens=500)
    ticket = engine.add(Request((9, 1), 3))
    with torch.no_grad():
        keep = model.decoder.embed_tokens.weight[0, 0].item()
        model.decoder.embed_tokens.weight[0, 0] = math.nan
    (event,) = engine.step()
    assert (event.ticket, type(event.error)) == (ticket, WeightsError)
    with torch.no_grad():
        model.decoder.embed_tokens.weight[0, 0] = keep
    assert len(answered(engine, Request((9, 1), 3))) == 1


def test_after_an_error_of_anothers_the_engine_lives_on(model, tokenizer, monkeypatch):
    engine = TorchEngine(model, tokenizer, batch_tokens=500)
    expected = answered(engine, Request((9, 1), 5))
    engine.add(Request((9, 9, 1), 5, prefix_ids=(5,) * 4))
    engine.step()
    with monkeypatch.context() as patch:
        patch.setattr(engine._layers, "decode", lambda *_: [][0])
        with pytest.raises(IndexError):
            engine.step()
    assert engine.load.running == 0
    assert answered(engine, Request((9, 1), 5)) == expected


def test_cancelled_requests_free_their_room(model, tokenizer):
    engine = TorchEngine(model, tokenizer, batch_tokens=40)
    first, second = (engine.add(Request((9, 9, 1), 30, prefix_ids=(5,) * 29)) for _ in range(2))
    engine.step()
    engine.cancel(first)
    assert engine.load.running == 0
    assert [event.ticket for event in finished(engine)] == [second]
    engine.cancel(first)
    engine.cancel(10**6)


def test_closing_forgets_everything(engine, tokenizer):
    engine.add(Request((9, 1), 3))
    engine.step()
    engine.add(Request((9, 1), 3))
    engine.close()
    assert engine.load.running == engine.load.waiting == 0
    assert engine.step() == []


def test_options_are_ranked(engine, model):
    inputs, options = [[5, 6, 1], [7, 1]], [[[8, 1], [9, 1]], [[8, 9, 1]]]
    assert engine.rank(inputs, options) == rank(model, inputs, options, batch_tokens=2000)
