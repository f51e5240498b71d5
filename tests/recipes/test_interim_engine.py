import pytest

from ramekin.errors import DataError, UsageError
from ramekin.infer.decoding import Decoding
from ramekin.infer.generate import decode
from ramekin.infer.rank import rank
from ramekin.infer.request import Answered, Form, Request, Wrote
from ramekin.recipes.interim_engine import InterimEngine
from ramekin.tensors.tokenizer import decode as text_of
from ramekin.tensors.tokenizer import load_tokenizer
from ramekin.weights.seq2seq import load_model


@pytest.fixture(scope="module")
def parts(make_checkpoint, tmp_path_factory):
    folder = make_checkpoint(tmp_path_factory.mktemp("model") / "m", seed=0)
    return load_model(folder), load_tokenizer(folder)


@pytest.fixture
def engine(parts):
    return InterimEngine(*parts, batch_tokens=512)


def drained(engine):
    events = []
    while engine.load.waiting:
        events += engine.step()
    return events


def test_it_answers_as_decode_does(engine, parts):
    inputs, settings = (
        [(5, 6, 1), (7, 1), (8, 9, 10, 1)],
        Decoding(num_samples=3, sampling_temperature=1.0, seed=4),
    )
    greedy = [engine.add(Request(ids, 6)) for ids in inputs]
    drawn = [engine.add(Request(ids, 6, decoding=settings)) for ids in inputs]
    found = {event.ticket: event.outputs for event in drained(engine)}
    model, tokenizer = parts
    for tickets, decoding in ((greedy, Decoding()), (drawn, settings)):
        expected = decode(model, inputs, decoding=decoding, max_new_tokens=6, batch_tokens=512)
        assert [tuple(each.tokens for each in found[ticket]) for ticket in tickets] == expected
        assert all(
            each.text == text_of(tokenizer, each.tokens) for ticket in tickets for each in found[ticket]
        )


def test_a_stop_cuts_the_text(engine):
    engine.add(Request((5, 6, 1), 8))
    (whole,) = drained(engine)[0].outputs
    stop = whole.text[2:5]
    engine.add(Request((5, 6, 1), 8, stop=(stop, "never")))
    (cut,) = drained(engine)[0].outputs
    assert (cut.text, cut.ending) == (whole.text[: whole.text.index(stop)], "stop")


def test_what_streams_is_told_before_the_end(engine):
    engine.add(Request((5, 1), 5), streams=True)
    wrote, answered = drained(engine)
    assert isinstance(wrote, Wrote)
    assert isinstance(answered, Answered)
    assert wrote.text == answered.outputs[0].text


def test_what_is_cancelled_is_not_answered(engine):
    ticket = engine.add(Request((5, 1), 5))
    engine.cancel(ticket)
    engine.cancel(99)
    assert drained(engine) == []
    assert engine.step() == []


def test_it_ranks(engine, parts):
    inputs, options = [(5, 1), (6, 1)], [[(7, 1), (8, 1)], [(9, 1)]]
    assert engine.rank(inputs, options) == rank(parts[0], inputs, options, batch_tokens=512)


@pytest.mark.parametrize(
    "settings",
    [{"form": Form(options=("a",))}, {"prefix_ids": (5,)}, {"log_probs": True}, {"num_alternatives": 2}],
)
def test_what_it_cannot_do_is_refused(engine, settings):
    with pytest.raises(UsageError, match="this engine cannot do it"):
        engine.add(Request((5, 1), 5, **settings))
    with pytest.raises(DataError, match="an input is empty"):
        engine.add(Request((), 5))


def test_the_end(engine):
    engine.add(Request((5, 1), 5))
    engine.close()
    assert engine.load.waiting == 0
