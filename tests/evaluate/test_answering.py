"""Progress and time around decoding and ranking: an example counts once all its inputs are answered."""

import pytest

from ramekin.evaluate.answering import Asked, How, log_probs_of, written_for
from ramekin.evaluate.choices import Question
from ramekin.evaluate.mode import MODES


def asked(*, questions=1):
    """Six examples in two sets, each with so many inputs."""
    return [
        Asked(Question((5 + n, 6, 7 + q, 1), ((8, 1), (9, 3, 1))), n, f"toy#ask/v/{n}", n // 4)
        for n in range(6)
        for q in range(questions)
    ]


def how(mode, told, *, batch_tokens=7):
    return How(MODES[mode], batch_tokens, lambda *progress: told.append(progress))


def test_an_example_is_answered_when_all_its_inputs_are(model):
    told = []
    ranked, seconds = log_probs_of(model, asked(questions=3), how("flipped", told))
    assert [len(values) for values in ranked] == [2] * 18
    assert [done for done, _ in told] == [n // 3 for n in range(1, 19)]
    assert {total for _, total in told} == {6}
    assert seconds.keys() == {0, 1}
    assert all(value > 0 for value in seconds.values())


def test_writing_and_ranking_tell_the_same(model):
    one, other = [], []
    written, _ = written_for(model, asked(), how("fusionbench", one, batch_tokens=13))
    log_probs_of(model, asked(), how("rank", other))
    assert len(written) == 6
    assert one == other == [(n, 6) for n in range(1, 7)]


@pytest.mark.parametrize("mode", ["rank", "fusionbench"])
def test_what_was_known_counts_from_the_first_batch_on(model, tmp_path, mode):
    ask = log_probs_of if mode == "rank" else written_for
    first, again = [], []
    path = tmp_path / "answers.jsonl"
    half = How(MODES[mode], 13, lambda *progress: first.append(progress), path)
    found, _ = ask(model, asked()[:3], half)
    whole, _ = ask(model, asked(), How(MODES[mode], 13, lambda *progress: again.append(progress), path))
    assert whole[:3] == found
    assert again[-1] == (6, 6)
    assert again[0][0] > 3
