"""How a request is parted into calls, and how its outputs are told of from several at one time."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.infer.ctranslate_calls import Job, Writer, parts_of
from ramekin.infer.decoding import GREEDY, Decoding
from ramekin.infer.request import Request
from ramekin.tensors.tokenizer import load_tokenizer
from ramekin.tensors.written import written_text


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder):
    return load_tokenizer(tokenizer_folder)


def job(count, *, decoding=None, tokenizer=None):
    drawn = Decoding(num_samples=count, sampling_temperature=1.0)
    request = Request((5, 6, 1), 8, drawn if decoding is None else decoding)
    return Job(0, request, False, [Writer(tokenizer, (), streams=False) for _ in range(count)])


@given(st.integers(1, 200))
def test_samples_are_parted_evenly_and_in_their_order(count):
    whole = job(count)
    parts = parts_of(whole)
    sizes = [len(part.writers) for part in parts]
    assert [writer for part in parts for writer in part.writers] == whole.writers
    assert [part.first for part in parts] == [sum(sizes[:place]) for place in range(len(parts))]
    assert max(sizes) <= 8 and max(sizes) - min(sizes) <= 1
    assert len(parts) == -(-count // 8)


def test_parts_cost_what_is_written_in_them():
    drawn = parts_of(job(12))
    assert [part.cost for part in drawn] == [3 + 6 * 8] * 2
    (greedy,), (beams,) = (parts_of(job(1, decoding=each)) for each in (GREEDY, Decoding(num_beams=5)))
    assert (greedy.cost, beams.cost) == (3 + 8, 3 + 5 * 8) == (greedy.job.cost, beams.job.cost)


def test_an_answer_is_told_once_whichever_call_ends_last(tokenizer):
    for _ in range(50):
        whole, answers = job(16, tokenizer=tokenizer), []
        barrier = threading.Barrier(2)

        def end(part, whole=whole, answers=answers, barrier=barrier):
            barrier.wait()
            for writer in part.writers:
                writer.take(1, None, is_last=True)
                answers.append(whole.answer())

        threads = [threading.Thread(target=end, args=(part,)) for part in parts_of(whole)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        told = [each for each in answers if each is not None]
        assert len(told) == 1 and len(told[0].outputs) == 16


def test_text_is_the_same_whether_it_is_read_piece_by_piece_or_at_the_end(tokenizer):
    tokens = [*range(5, 40), 2, 1]
    outputs = []
    for stop, streams in (((), False), ((), True), (("\0",), False)):
        writer = Writer(tokenizer, stop, streams=streams)
        pieces = [writer.take(token, -1.0, is_last=token == 1) for token in tokens]
        assert writer.output is not None
        assert "".join(pieces) == (writer.output.text if stop or streams else "")
        outputs.append(writer.output)
    assert outputs[0] == outputs[1] == outputs[2]
    assert outputs[0].text == written_text(tokenizer, tokens)
