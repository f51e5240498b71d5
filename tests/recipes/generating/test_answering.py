"""Each prompt is asked once, kept answers are not asked again, and one that fails fails alone."""

from collections import deque

import pytest

from ramekin.errors import DataError, UsageError
from ramekin.infer.decoding import Decoding
from ramekin.infer.engine import Load
from ramekin.infer.request import Answered, Failed, Form, Output, Request, Wrote
from ramekin.recipes.engines import OpenEngine
from ramekin.recipes.generating import answering
from ramekin.recipes.generating.answering import answers_of, streamed


class Engine:
    """Answers with the input's tokens, two requests a step, the later ones first."""

    def __init__(self):
        self.asked, self.open, self.most, self.cancelled = [], deque(), 0, []

    @property
    def load(self):
        return Load(0, len(self.open), 0)

    def add(self, request, *, streams=False):
        if request.input_ids == (13,):
            raise DataError("an unlucky input")
        if request.input_ids == (99,):
            raise UsageError("a wrong setting")
        self.asked.append(request)
        self.open.append((len(self.asked), request, streams))
        self.most = max(self.most, len(self.open))
        return len(self.asked)

    def step(self):
        events = []
        for _ in range(min(2, len(self.open))):
            ticket, request, streams = self.open.pop()
            if request.input_ids == (66,):
                events.append(Failed(ticket, DataError("stuck")))
                continue
            text = " ".join(map(str, request.input_ids))
            if streams:
                events += [Wrote(ticket, 0, piece, (1,)) for piece in (text[:1], text[1:])]
            tokens = (*request.input_ids, 1)
            log_probs = (-0.5,) * len(tokens) if request.log_probs else ()
            events.append(Answered(ticket, (Output(text, tokens, "end", log_probs, (((5, -0.1),),)),)))
        return events

    def cancel(self, ticket):
        self.cancelled.append(ticket)


@pytest.fixture
def engine():
    return Engine()


def opened(engine, folder, *, weights="w"):
    """An engine over a folder of such weights."""
    place = folder / f"model {weights}"
    place.mkdir(exist_ok=True)
    (place / "model.bin").write_text(weights)
    return OpenEngine("m", engine, None, "ctranslate2", place)  # type: ignore[arg-type]


def answers(engine, requests, folder, *, weights="w"):
    model = opened(engine, folder, weights=weights)
    return list(answers_of(model, requests, folder=folder / "answers", versions={"v": "1"}))


def test_every_prompt_is_answered_and_equal_ones_are_asked_once(engine, tmp_path):
    requests = [Request((number % 5 + 2,), 4) for number in range(12)]
    found = answers(engine, requests, tmp_path)
    assert sorted(each.index for each in found) == list(range(12))
    assert len(engine.asked) == 5
    for each in found:
        assert each.outputs[0].tokens == (*requests[each.index].input_ids, 1)
        assert not each.was_kept


def test_kept_answers_come_back_whole_and_only_for_the_same_question(engine, tmp_path):
    request = Request((5, 6), 4, log_probs=True)
    (first,) = answers(engine, [request], tmp_path)
    (again,) = answers(engine, [request], tmp_path)
    assert again.was_kept
    assert again.outputs == first.outputs
    others = [
        Request((5, 6), 5, log_probs=True),
        Request((5, 6), 4),
        Request((5, 6), 4, Decoding(sampling_temperature=1.0, seed=1), log_probs=True),
        Request((5, 6), 4, log_probs=True, stop=("x",)),
        Request((5, 6), 4, log_probs=True, prefix_ids=(5,)),
        Request((5, 6), 4, log_probs=True, form=Form(options=("5",))),
        Request((5, 6), 4, log_probs=True, form=Form(json_schema={"type": "integer"})),
    ]
    assert not any(each.was_kept for each in answers(engine, others, tmp_path))
    assert not answers(engine, [request], tmp_path, weights="other")[0].was_kept


def test_a_prompt_that_cannot_be_answered_fails_alone(engine, tmp_path):
    found = answers(engine, [Request((each,), 4) for each in (5, 13, 66, 7)], tmp_path)
    told = {each.index: str(each.error) for each in found if each.error is not None}
    assert told == {1: "an unlucky input", 2: "stuck"}
    assert len(found) == 4
    again = answers(engine, [Request((66,), 4)], tmp_path)
    assert str(again[0].error) == "stuck", "failures are not kept"


def test_settings_that_are_wrong_stop_everything(engine, tmp_path):
    with pytest.raises(UsageError, match="a wrong setting"):
        answers(engine, [Request((99,), 4), Request((5,), 4)], tmp_path)


def test_an_engine_holds_a_bounded_number_of_requests(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(answering, "_WAITING", 7)
    answers(engine, [Request((number + 100,), 4) for number in range(60)], tmp_path)
    assert engine.most == 7


def test_what_is_finished_is_kept_before_the_rest_is_asked(engine, tmp_path):
    requests = [Request((number + 100,), 4) for number in range(9)]
    model = opened(engine, tmp_path)
    running = answers_of(model, requests, folder=tmp_path / "answers", versions={"v": "1"})
    next(running)
    running.close()
    again = answers(Engine(), requests, tmp_path)
    assert sum(each.was_kept for each in again) == 2


def test_pieces_are_told_as_they_come(engine, tmp_path):
    told, model = [], opened(engine, tmp_path)
    outputs = streamed(model, Request((5, 6), 4), lambda number, piece: told.append((number, piece)))
    assert told == [(0, "5"), (0, " 6")]
    assert outputs[0].text == "5 6"
    with pytest.raises(DataError, match="stuck"):
        streamed(model, Request((66,), 4), lambda *_: None)
    assert engine.cancelled == [1, 2]


@pytest.mark.parametrize("damage", ['"outputs": 5', '"outputs": [{"text": "2"}]', '"inputs": []'])
def test_a_kept_answer_that_is_damaged_is_told_with_its_place(engine, tmp_path, damage):
    answers(engine, [Request((2,), 4)], tmp_path)
    (path,) = tmp_path.glob("answers/*/*.jsonl")
    line = path.read_text()
    path.write_text(f"{line[: line.index(chr(34) + 'outputs')]}{damage}}}\n")
    with pytest.raises(DataError, match=r"a kept answer cannot be read: .*\.jsonl, byte 0.*remove the line"):
        answers(engine, [Request((2,), 4)], tmp_path)
