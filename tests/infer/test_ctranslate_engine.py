"""The CTranslate2 engine against the plain model: tokens, log-probabilities, draws, text, and what is refused."""

import ctypes
import random
import shutil
import threading

import numpy as np
import pytest
import torch

from ramekin.errors import DataError, UsageError, WeightsError
from ramekin.infer import ctranslate_engine
from ramekin.infer.ctranslate_calls import write
from ramekin.infer.ctranslate_engine import CTranslateEngine
from ramekin.infer.decoding import Decoding
from ramekin.infer.export import export_model
from ramekin.infer.request import Answered, Failed, Form, Request, Wrote
from ramekin.tensors.tokenizer import load_tokenizer
from ramekin.tensors.written import written_text
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model

pytest.importorskip("ctranslate2")
DRAWN = Decoding(num_samples=4, sampling_temperature=1.2, seed=5)


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder):
    return load_tokenizer(tokenizer_folder)


@pytest.fixture(scope="module")
def model(tokenizer):
    """Its answers depend on the input, and end after different numbers of tokens."""
    config = t5_config(vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=3)
    model = build_model(config, seed=3, tied=False)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "EncDecAttention" in name:
                parameter.mul_(4.0)
        model.lm_head.weight.mul_(1.5)
        model.lm_head.weight[1] *= 2.5
    return model


@pytest.fixture(scope="module")
def folder(model, tokenizer_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("exported") / "m"
    export_model(model, output, tokenizer_folder=tokenizer_folder, threads=1)
    return output


@pytest.fixture(scope="module")
def engine(folder):
    engine = CTranslateEngine(folder, threads=1)
    yield engine
    engine.close()


def prompts(count, size, *, longest=30, seed=0):
    rng = random.Random(seed)
    return [(*(rng.randrange(3, size) for _ in range(rng.randrange(1, longest))), 1) for _ in range(count)]


def ask(engine, *requests, streams=False):
    """The outputs of each request, and all pieces."""
    tickets = [engine.add(request, streams=streams) for request in requests]
    answers, pieces = {}, []
    while len(answers) < len(tickets):
        for event in engine.step():
            if isinstance(event, Wrote):
                pieces.append(event)
            elif isinstance(event, Answered):
                answers[event.ticket] = event.outputs
            else:
                raise event.error
    return [answers[ticket] for ticket in tickets], pieces


@pytest.fixture
def gate(monkeypatch):
    """Calls begin and write nothing until this is set."""
    opened = threading.Event()

    def held(*args):
        opened.wait()
        write(*args)

    monkeypatch.setattr("ramekin.infer.ctranslate_engine.write", held)
    yield opened
    opened.set()


@torch.inference_mode()
def log_probs(model, source, target):
    """(positions, vocabulary) of the whole target at once."""
    logits = model(
        input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([[0, *target[:-1]]])
    ).logits
    return logits[0].double().log_softmax(-1)


def greedily(model, source, most, prefix=()):
    """By the book: a full pass for each token."""
    written = list(prefix)
    while len(written) < most and (len(written) == len(prefix) or written[-1] != 1):
        written.append(int(log_probs(model, source, [*written, 0])[-1].argmax()))
    return tuple(written)


def own(model, source, tokens):
    return log_probs(model, source, tokens)[range(len(tokens)), list(tokens)].numpy()


def test_greedy_tokens_and_endings_are_the_models(engine, model, tokenizer):
    sources = prompts(20, len(tokenizer))
    answers, _ = ask(engine, *(Request(source, 9, log_probs=True) for source in sources))
    endings = set()
    for source, (output,) in zip(sources, answers, strict=True):
        assert output.tokens == greedily(model, source, 9)
        assert output.ending == ("end" if output.tokens[-1] == 1 else "length")
        assert output.text == written_text(tokenizer, output.tokens)
        assert np.abs(own(model, source, output.tokens) - output.log_probs).max() < 1e-4
        assert output.log_prob == pytest.approx(sum(output.log_probs))
        endings.add(output.ending)
    assert endings == {"end", "length"}


def test_an_input_of_more_than_1024_tokens_is_not_cut(engine, model, tokenizer):
    (source,) = prompts(1, len(tokenizer), longest=2, seed=1)
    source = (*random.Random(0).choices(range(3, len(tokenizer)), k=1200), *source)
    ((output,),), _ = ask(engine, Request(source, 6, log_probs=True))
    assert output.tokens == greedily(model, source, 6)
    assert np.abs(own(model, source, output.tokens) - output.log_probs).max() < 1e-4


@pytest.mark.parametrize("most", [1, 2, 17])
def test_the_limit_counts_every_token(engine, tokenizer, most):
    answers, _ = ask(engine, *(Request(source, most) for source in prompts(8, len(tokenizer))))
    lengths = [len(output.tokens) for (output,) in answers]
    assert max(lengths) == most or most == 17
    assert all(length <= most for length in lengths)


@pytest.mark.parametrize("decoding", [Decoding(), Decoding(num_beams=3), Decoding(num_samples=2, sampling_temperature=0.9)])  # fmt: skip
def test_a_prefix_begins_each_output_and_counts(engine, model, tokenizer, decoding):
    source, other = prompts(2, len(tokenizer), seed=2)
    prefix = (40, 41, 42)
    requests = [Request(each, 7, decoding, prefix_ids=prefix, log_probs=True) for each in (source, other)]
    answers, _ = ask(engine, *requests)
    for each, outputs in zip((source, other), answers, strict=True):
        assert len(outputs) == decoding.num_samples
        for output in outputs:
            assert output.tokens[:3] == prefix and len(output.tokens) <= 7
            assert output.text.startswith(written_text(tokenizer, prefix))
            assert np.abs(own(model, each, output.tokens) - output.log_probs).max() < 1e-4
    if decoding == Decoding():
        assert answers[0][0].tokens == greedily(model, source, 7, prefix)


def test_prefixes_of_a_call_may_differ(engine, model, tokenizer):
    sources = prompts(3, len(tokenizer), seed=4)
    prefixes = [(40,), (41, 42, 43), ()]
    answers, _ = ask(engine, *(Request(s, 6, prefix_ids=p) for s, p in zip(sources, prefixes, strict=True)))
    for source, prefix, (output,) in zip(sources, prefixes, answers, strict=True):
        assert output.tokens == greedily(model, source, 6, prefix)


def test_beam_search_finds_no_less_than_greedy_and_tells_its_log_probs(engine, model, tokenizer):
    sources = prompts(10, len(tokenizer), seed=5)
    beams = Decoding(num_beams=4, length_penalty=0.0)
    found, _ = ask(engine, *(Request(source, 6, beams, log_probs=True) for source in sources))
    for source, (output,) in zip(sources, found, strict=True):
        assert np.abs(own(model, source, output.tokens) - output.log_probs).max() < 1e-4
        assert output.log_prob >= own(model, source, greedily(model, source, 6)).sum() - 0.5
        assert output.ending == ("end" if output.tokens[-1] == 1 else "length")


@torch.inference_mode()
def by_beams(model, source, most, beams):
    """By the book, without any early end: all that `beams` hypotheses come to in `most` steps."""
    alive, ended = [((), 0.0)], []
    for _ in range(most):
        more = []
        for tokens, score in alive:
            best = log_probs(model, source, [*tokens, 0])[-1].topk(2 * beams)
            more += [((*tokens, t), score + v) for v, t in zip(best.values.tolist(), best.indices.tolist(), strict=True)]  # fmt: skip
        more.sort(key=lambda each: -each[1])
        ended += [(tokens, score / len(tokens)) for tokens, score in more[:beams] if tokens[-1] == 1]
        alive = [each for each in more if each[0][-1] != 1][:beams]
    ended += [(tokens, score / len(tokens)) for tokens, score in alive]
    return max(ended, key=lambda each: each[1])[0]


def test_several_outputs_of_a_beam_search_are_its_best(engine, model, tokenizer):
    sources = prompts(6, len(tokenizer), seed=23)
    beams = [Decoding(num_beams=4, num_samples=n, length_penalty=0.0) for n in (1, 3)]
    ones, threes = (ask(engine, *(Request(s, 6, each, log_probs=True) for s in sources))[0] for each in beams)
    for source, one, three in zip(sources, ones, threes, strict=True):
        assert three[0] == one[0]
        assert len({output.tokens for output in three}) == 3
        assert [output.log_prob for output in three] == sorted((o.log_prob for o in three), reverse=True)
        for output in three:
            assert np.abs(own(model, source, output.tokens) - output.log_probs).max() < 1e-4
    (many,), _ = ask(engine, Request(sources[0], 6, Decoding(num_beams=12, num_samples=12)))
    assert len(many) == 12, "they are one search, however many"


def test_beam_search_goes_on_while_longer_ones_may_be_better(engine, model, tokenizer):
    sources = prompts(20, len(tokenizer), seed=19)
    found, _ = ask(engine, *(Request(source, 10, Decoding(num_beams=2)) for source in sources))
    same = [out[0].tokens == by_beams(model, s, 10, 2) for s, out in zip(sources, found, strict=True)]
    assert sum(same) >= 19, sum(same)


def test_beam_search_does_not_depend_on_prefixes_of_others(engine, tokenizer):
    sources = prompts(6, len(tokenizer), seed=6)
    beams = Decoding(num_beams=3)
    alone = [ask(engine, Request(source, 5, beams))[0][0] for source in sources]
    mixed = [Request(s, 5, beams, prefix_ids=(40,) if place % 2 else ()) for place, s in enumerate(sources)]
    together, _ = ask(engine, *mixed)
    assert [each[0].tokens for each in together[::2]] == [each[0].tokens for each in alone[::2]]


def test_a_seed_decides_the_samples_whatever_else_is_asked(engine, tokenizer):
    source, *others = prompts(4, len(tokenizer), seed=7)
    wanted = Request(source, 8, DRAWN)
    (first,), _ = ask(engine, wanted)
    many, _ = ask(engine, *(Request(other, 8, DRAWN) for other in others), wanted, Request(others[0], 8))
    assert many[3] == first
    assert len({output.tokens for output in first}) > 1
    (again,), _ = ask(engine, Request(source, 8, Decoding(num_samples=4, sampling_temperature=1.2, seed=6)))
    assert again != first
    assert engine.keeps_seeds


def test_two_engines_of_one_process_draw_the_same(engine, folder, tokenizer):
    (source,) = prompts(1, len(tokenizer), seed=8)
    other = CTranslateEngine(folder, threads=1)
    results = [None, None]

    def run(place, one):
        results[place], _ = ask(one, *[Request(source, 8, DRAWN)] * 3)

    threads = [threading.Thread(target=run, args=(place, one)) for place, one in enumerate((engine, other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert results[0] == results[1] and len(set(results[0])) == 1


def test_samples_are_the_same_by_any_number_of_threads(folder, tokenizer):
    """Of 20 samples three groups are drawn, by calls one after the other or beside each other."""
    sources = prompts(3, len(tokenizer), seed=20)
    many = Decoding(num_samples=20, sampling_temperature=1.2, seed=5)
    found = []
    for threads in (1, 3):
        engine = CTranslateEngine(folder, threads=threads)
        answers, _ = ask(engine, *(Request(source, 8, many) for source in sources))
        found.append([[output.tokens for output in outputs] for outputs in answers])
        assert engine.load.running == engine.load.waiting == 0
        engine.close()
    assert found[0] == found[1]
    for outputs in found[0]:
        assert len(outputs) == 20 and len(set(outputs)) > 10
        assert outputs[:6] != outputs[6:12] != outputs[13:19], "groups have draws of their own"


def test_a_request_of_several_calls_fails_once_and_as_a_whole(folder, tokenizer, monkeypatch):
    engine = CTranslateEngine(folder, threads=2)
    (source,) = prompts(1, len(tokenizer), seed=21)

    def broken(translator, part, names):
        if part.first:
            raise RuntimeError("no such kernel")

    monkeypatch.setattr("ramekin.infer.ctranslate_engine.seed", broken)
    ticket = engine.add(Request(source, 3000, Decoding(num_samples=40, sampling_temperature=1.0)))
    told = []
    while engine.load.running or engine.load.waiting:
        told += engine.step()
    assert [type(event) for event in told] == [Failed] and told[0].ticket == ticket
    assert ask(engine, Request(source, 5))[0]
    engine.close()


@pytest.fixture(scope="module")
def int8(model, tokenizer_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("exported") / "int8"
    export_model(
        model, output, tokenizer_folder=tokenizer_folder, threads=1, quantization="int8", max_loss=1e9
    )
    return output


def test_of_int8_several_calls_are_under_way_at_one_time(int8, tokenizer, monkeypatch, gate):
    engine, alone = CTranslateEngine(int8, threads=3), CTranslateEngine(int8, threads=1)
    calls, start = [], engine._start
    monkeypatch.setattr(engine, "_start", lambda parts: (calls.append(len(parts)), start(parts)))
    sources = prompts(7, len(tokenizer), seed=22)
    threading.Timer(0.2, gate.set).start()
    answers, _ = ask(engine, *(Request(source, 6) for source in sources))
    assert len(calls) == 3 and sum(calls) == 7, "what waits is divided"
    assert answers == ask(alone, *(Request(source, 6) for source in sources))[0]
    options = [[(5, 1), (7, 8, 9, 1)]] * 7
    np.testing.assert_allclose(engine.rank(sources, options), alone.rank(sources, options), atol=1e-4)
    alone.close()
    engine.close()


def test_calls_under_way_have_the_budget_together(int8, tokenizer, gate):
    engine = CTranslateEngine(int8, threads=3, batch_tokens=60)
    for _ in range(12):
        engine.add(Request((5, 6, 7, 1), 6))  # ten tokens each
    for number in range(4):
        engine.add(Request((5, 6, 7, 1), 6, Decoding(num_samples=2, sampling_temperature=1.0, seed=number)))
    threading.Timer(0.3, gate.set).start()
    most, left = 0, 16
    while left:
        left -= sum(isinstance(event, Answered) for event in engine.step())
        most = max(
            most,
            sum(part.cost for parts in engine._under_way.values() for part in parts if not part.is_written),
        )
        assert most <= 60
    assert most >= 50
    ticket = engine.add(Request((5, 6, 7, 1), 500))
    while not (events := engine.step()):
        pass
    assert events[0].ticket == ticket, "one that alone has more is answered"
    engine.close()


def test_without_seeds_requests_share_calls(folder, tokenizer):
    engine = CTranslateEngine(folder, threads=1, seeding="none")
    assert not engine.keeps_seeds
    answers, _ = ask(engine, *(Request(source, 8, DRAWN) for source in prompts(5, len(tokenizer))))
    assert [len(each) for each in answers] == [4] * 5
    engine.close()


def test_the_filters_are_those_that_were_asked_for(engine, model, tokenizer):
    (source,) = prompts(1, len(tokenizer), seed=9)
    distribution = log_probs(model, source, [0])[-1].exp()
    order = distribution.argsort(descending=True).tolist()

    def drawn(**settings):
        decoding = Decoding(num_samples=400, sampling_temperature=1.0, **settings)
        ((outputs),), _ = ask(engine, Request(source, 1, decoding))
        return [output.tokens[0] for output in outputs]

    counts = np.bincount(drawn(), minlength=len(tokenizer)) / 400
    assert np.abs(counts - distribution.numpy()).max() < 5 * 0.5 / 20
    assert len(set(drawn())) > 20
    assert set(drawn(top_k=3)) == set(order[:3]) or set(drawn(top_k=3)) < set(order[:3])
    nucleus, mass = [], 0.0
    while mass < 0.3:
        nucleus.append(order[len(nucleus)])
        mass += float(distribution[nucleus[-1]])
    assert set(drawn(top_p=0.3)) <= set(nucleus)
    assert set(drawn(top_k=1)) == {order[0]}
    assert len(set(drawn(top_k=10**6))) > 20


def test_log_probs_of_samples_are_the_models_own(engine, model, tokenizer):
    (source,) = prompts(1, len(tokenizer), seed=10)
    decoding = Decoding(num_samples=3, sampling_temperature=2.0, top_k=20, top_p=0.9, seed=1)
    (outputs,), _ = ask(engine, Request(source, 8, decoding, log_probs=True))
    for output in outputs:
        assert np.abs(own(model, source, output.tokens) - output.log_probs).max() < 1e-4


@pytest.mark.parametrize("decoding", [Decoding(), DRAWN, Decoding(num_beams=3)])
def test_pieces_join_to_the_outputs(engine, tokenizer, decoding):
    sources = prompts(5, len(tokenizer), seed=11)
    answers, pieces = ask(engine, *(Request(s, 8, decoding, log_probs=True) for s in sources), streams=True)
    for ticket in sorted({each.ticket for each in pieces}):
        outputs = answers[ticket - min(each.ticket for each in pieces)]
        for number, output in enumerate(outputs):
            told = [each for each in pieces if (each.ticket, each.number) == (ticket, number)]
            assert "".join(each.text for each in told) == output.text
            assert tuple(token for each in told for token in each.tokens) == output.tokens
            assert tuple(value for each in told for value in each.log_probs) == output.log_probs
            assert [each.ending for each in told] == [None] * (len(told) - 1) + [output.ending]


@pytest.mark.parametrize("decoding", [Decoding(), DRAWN, Decoding(num_beams=3)])
def test_a_stop_string_ends_an_output_before_it(engine, tokenizer, decoding):
    stopped = 0
    for source in prompts(8, len(tokenizer), seed=12):
        (plain,), _ = ask(engine, Request(source, 12, decoding))
        stop = plain[0].text[1:3]
        if not stop:
            continue
        (outputs,), pieces = ask(engine, Request(source, 12, decoding, stop=("\0", stop)), streams=True)
        for number, output in enumerate(outputs):
            assert stop not in output.text
            told = "".join(each.text for each in pieces if each.number == number)
            assert told == output.text
            if output.ending == "stop":
                stopped += 1
                assert stop in written_text(tokenizer, output.tokens)
                assert stop not in written_text(tokenizer, output.tokens[:-1])
        assert outputs[0].ending == "stop" and outputs[0].tokens == plain[0].tokens[: len(outputs[0].tokens)]
    assert stopped > 4


def test_one_that_stops_leaves_its_mates_alone(engine, tokenizer):
    sources = prompts(6, len(tokenizer), seed=13)
    plain, _ = ask(engine, *(Request(source, 12) for source in sources))
    stops = [each[0].text[1:3] or "\0" for each in plain]
    requests = [Request(s, 12, stop=(stop,) if place % 2 else ()) for place, (s, stop) in enumerate(zip(sources, stops, strict=True))]  # fmt: skip
    mixed, _ = ask(engine, *requests)
    assert mixed[::2] == plain[::2]
    assert any(each[0].ending == "stop" for each in mixed[1::2])


def test_what_is_cancelled_is_heard_of_no_more(engine, tokenizer, gate):
    sources = prompts(4, len(tokenizer), seed=14)
    long = [engine.add(Request(source, 3000, prefix_ids=(9,)), streams=True) for source in sources[:2]]
    waiting = engine.add(Request(sources[2], 4, DRAWN))
    engine.step()
    assert engine.load.running == 2 and engine.load.waiting == 1
    assert engine.load.tokens == sum(len(source) + 3000 for source in sources[:2])
    for ticket in (*long, waiting, 10**9):
        engine.cancel(ticket)
    assert (engine.load.running, engine.load.waiting, engine.load.tokens) == (0, 0, 0)
    gate.set()
    (outputs,), pieces = ask(engine, Request(sources[3], 5))
    assert outputs[0].tokens and pieces == []


def thread_states():
    """How many threads Python keeps something of."""
    api = ctypes.pythonapi
    api.PyInterpreterState_Main.restype = api.PyInterpreterState_ThreadHead.restype = ctypes.c_void_p
    api.PyThreadState_Next.restype = ctypes.c_void_p
    state, count = api.PyInterpreterState_ThreadHead(ctypes.c_void_p(api.PyInterpreterState_Main())), 0
    while state:
        state, count = api.PyThreadState_Next(ctypes.c_void_p(state)), count + 1
    return count


@pytest.mark.parametrize("streams", [False, True])
def test_nothing_is_kept_of_the_library_s_threads_when_a_call_is_over(folder, tokenizer, streams):
    for call in list(ctranslate_engine._calls):  # of other tests' engines
        call.join()
    before = thread_states()
    engine = CTranslateEngine(folder, threads=1)
    sources = prompts(6, len(tokenizer), seed=23)
    ask(engine, *(Request(source, 12) for source in sources), streams=streams)
    ask(engine, *(Request(source, 12, stop=("a", "e")) for source in sources), streams=streams)
    ask(engine, *(Request(source, 12, DRAWN, log_probs=True) for source in sources), streams=streams)
    left = [engine.add(Request(source, 3000, prefix_ids=(9,)), streams=True) for source in sources[:3]]
    while not engine.step():
        assert thread_states() <= before + 2, "the thread of the call, and the library's"
    for ticket in left[:2]:
        engine.cancel(ticket)
    engine.close()
    assert thread_states() == before


def test_beams_that_are_cancelled_go_on_for_nobody(engine, tokenizer):
    (source,) = prompts(1, len(tokenizer), seed=15)
    ticket = engine.add(Request(source, 40, Decoding(num_beams=4)), streams=True)
    engine.step()
    engine.cancel(ticket)
    (outputs,), pieces = ask(engine, Request(source, 3))
    assert len(outputs) == 1 and pieces == []


def test_requests_of_the_same_settings_share_a_call(engine, tokenizer, monkeypatch):
    calls = []
    start = engine._start
    monkeypatch.setattr(engine, "_start", lambda parts: (calls.append(len(parts)), start(parts)))
    sources = prompts(7, len(tokenizer), seed=16)
    ask(
        engine,
        *(Request(source, 5) for source in sources),
        Request(sources[0], 6),
        Request(sources[0], 5, DRAWN),
    )
    assert calls == [7, 1, 1]
    calls.clear()
    monkeypatch.setattr(engine, "_batch_tokens", 40)
    ask(engine, *(Request((5, 6, 7, 1), 6) for _ in range(6)), Request((5, 6, 7, 1), 500), Request((5, 1), 6))
    assert calls == [4, 3, 1]


def test_ranks_with_and_without_the_end(engine, model, tokenizer):
    inputs = prompts(5, len(tokenizer), seed=17)
    options = [[(5, 1), (5,), (1,), (7, 8, 9, 1), (7, 8, 9)], [], [(6, 1, 5)], [(5, 5, 5)], [(5, 1), (5, 1)]]
    found = engine.rank([*inputs[:4], (1,)], options)
    for source, own_options, values in zip([*inputs[:4], (1,)], options, found, strict=True):
        assert len(values) == len(own_options)
        for option, value in zip(own_options, values, strict=True):
            assert value == pytest.approx(float(own(model, source, option).sum()), abs=1e-4)
    assert engine.rank([], []) == [] and engine.rank([(5, 1)], [[]]) == [[]]


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Request((5, 1), 5, form=Form(options=("a", "b"))), "form"),
        (Request((5, 1), 5, num_alternatives=2), "alternatives"),
        (Request((1,), 5), "special tokens alone"),
        (Request((0, 1), 5), "special tokens alone"),
        (Request((1, 7), 5), "special tokens alone"),
        (Request((5, 1), 5, Decoding(num_beams=2000)), "beams"),
    ],
)
def test_what_it_cannot_do_is_refused_with_the_way_out(engine, request_, said):
    with pytest.raises(UsageError, match=said) as caught:
        engine.add(request_)
    assert caught.value.fix == "backend=torch"


@pytest.mark.parametrize("ids", [(), (5, 10**6), (-1, 1)])
def test_tokens_that_the_model_has_not_are_refused(engine, ids):
    with pytest.raises(DataError):
        engine.add(Request(ids, 5))
    with pytest.raises(DataError):
        engine.rank([(5, 1)], [[ids]])
    with pytest.raises(DataError):
        engine.rank([(5, 1)], [])


def test_every_input_that_is_taken_is_answered(engine):
    """Those of few tokens: the library itself leaves out some without a word."""
    ids = (0, 1, 2, 5)
    inputs = [(a,) for a in ids] + [(a, b) for a in ids for b in ids] + [(a, b, c) for a in ids for b in ids for c in ids]  # fmt: skip
    for source in inputs:
        try:
            engine.add(Request(source, 2))
        except UsageError:
            continue
        while not (events := engine.step()):
            pass
        assert all(isinstance(event, Answered) for event in events), source


def test_an_error_of_the_library_fails_its_requests_alone(engine, tokenizer, monkeypatch):
    (source,) = prompts(1, len(tokenizer), seed=18)

    def broken(*args, **settings):
        raise RuntimeError("no such kernel")

    with monkeypatch.context() as patch:
        patch.setattr("ramekin.infer.ctranslate_engine.write", broken)
        ticket = engine.add(Request(source, 5))
        while not (events := engine.step()):
            pass
    (event,) = events
    assert isinstance(event, Failed) and event.ticket == ticket and "no such kernel" in str(event.error)
    assert ask(engine, Request(source, 5))[0]


def test_nothing_to_do_returns_at_once_and_closed_is_closed(folder):
    engine = CTranslateEngine(folder, threads=1)
    assert engine.step() == [] and engine.load.running == 0
    engine.add(Request((5, 6, 1), 2000, prefix_ids=(9,)))
    engine.add(Request((5, 6, 1), 5))
    engine.step()
    engine.close()
    engine.close()
    assert engine.step() == [] and engine.load.waiting == 0
    with pytest.raises(UsageError, match="closed"):
        engine.add(Request((5, 1), 5))


def test_an_untested_folder_is_opened_only_where_asked(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "m")
    (copy / "ramekin.json").unlink()
    with pytest.raises(WeightsError, match="nobody has compared"):
        CTranslateEngine(copy)
    engine = CTranslateEngine(copy, allow_untested=True, threads=1)
    assert engine.model.self_test is None and engine.compute_type == "float32"
    engine.close()


def test_a_device_that_is_not_there(folder):
    with pytest.raises(UsageError, match="cannot compute like this"):
        CTranslateEngine(folder, device="abacus")
    with pytest.raises(UsageError, match="cannot compute like this"):
        CTranslateEngine(folder, compute_type="float7")
