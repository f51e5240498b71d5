from collections import deque

import pytest

from ramekin.errors import DataError, UsageError, WeightsError
from ramekin.infer.engine import AbstractEngine, Load
from ramekin.infer.request import Answered, Failed, Output, Request


class Backwards(AbstractEngine):
    """Answers two requests a step, the latest first, by their first token; 13 fails, 0 is refused."""

    def __init__(self):
        self.waiting = deque()
        self.ticket = 0

    def add(self, request, *, streams=False):
        assert not streams
        if request.input_ids[0] == 0:
            raise DataError("no such token")
        self.ticket += 1
        self.waiting.append((self.ticket, request.input_ids[0]))
        return self.ticket

    def cancel(self, ticket):
        self.waiting = deque(each for each in self.waiting if each[0] != ticket)

    def step(self):
        latest = [self.waiting.pop() for _ in range(min(2, len(self.waiting)))]
        return [
            Failed(ticket, WeightsError("unlucky"))
            if token == 13
            else Answered(ticket, (Output(str(token), (token,), "end"),))
            for ticket, token in latest
        ]

    def rank(self, inputs, options):
        raise NotImplementedError

    @property
    def load(self):
        return Load(0, len(self.waiting), 0)

    @property
    def pair_bytes(self):
        return 0

    def close(self):
        self.waiting.clear()


def requests(*tokens):
    return [Request((token, 1), 4) for token in tokens]


def texts(answers):
    return [[output.text for output in outputs] for outputs in answers]


def test_answers_come_in_the_order_of_the_requests():
    engine = Backwards()
    assert texts(engine.answer(requests(5, 6, 7, 6, 8))) == [["5"], ["6"], ["7"], ["6"], ["8"]]
    assert engine.answer([]) == []


@pytest.mark.parametrize(
    ("tokens", "error"),
    [((5, 6, 13, 7), WeightsError), ((13, 5, 6, 7, 8), WeightsError), ((5, 6, 0), DataError)],
)
def test_one_that_fails_is_an_error_and_the_others_are_forgotten(tokens, error):
    engine = Backwards()
    with pytest.raises(error):
        engine.answer(requests(*tokens))
    assert not engine.waiting
    assert texts(engine.answer(requests(9))) == [["9"]]


def test_an_engine_that_has_others_under_way_is_not_waited_for():
    engine = Backwards()
    ticket = engine.add(*requests(5))
    with pytest.raises(UsageError, match="under way"):
        engine.answer(requests(6))
    assert list(engine.waiting) == [(ticket, 5)]
