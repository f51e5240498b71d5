"""Progress, time and kept answers around decoding and ranking."""

import pytest

from ramekin.evaluate.answering import Asked, Progress, answered
from ramekin.evaluate.journal import Request
from ramekin.infer.decoding import Decoding

WAYS = ["scored", "written"]


def asked(way, *, questions=1):
    """Six examples in two sets, each with so many requests."""
    scored = ((8, 1), (9, 3, 1)) if way == "scored" else ()
    how = (0, None) if scored else (9, Decoding())
    return [
        Asked(Request((5 + n, 6, 7 + q, 1), scored, *how), n, n // 4)
        for n in range(6)
        for q in range(questions)
    ]


def test_an_example_is_answered_when_all_its_requests_are(model):
    told = []
    found, seconds = answered(model, asked("scored", questions=3), batch_tokens=7, on_progress=told.append)
    assert [[len(values) for values in one] for one in found] == [[2]] * 18
    assert [each.answered for each in told] == [n // 3 for n in range(1, 19)]
    assert {each.total for each in told} == {6}
    assert [each.share for each in told] == pytest.approx([n / 18 for n in range(1, 19)])
    assert seconds.keys() == {0, 1}
    assert all(value > 0 for value in seconds.values())


def test_scoring_and_writing_tell_the_same_and_can_be_mixed(model):
    one, other, both = [], [], []
    scored, _ = answered(model, asked("scored"), batch_tokens=7, on_progress=one.append)
    written, _ = answered(model, asked("written"), batch_tokens=13, on_progress=other.append)
    assert [each.sets for each in one] == [each.sets for each in other]
    assert one[-1] == Progress(6, 6, 1.0, ((4, 4), (2, 2)))
    shifted = [Asked(each.request, each.example + 6, each.part + 2) for each in asked("written")]
    mixed, _ = answered(model, [*asked("scored"), *shifted], batch_tokens=13, on_progress=both.append)
    assert mixed[6:] == written
    for (values,), (expected,) in zip(mixed[:6], scored, strict=True):
        assert values == pytest.approx(expected, abs=1e-5)
    assert both[-1].sets == ((4, 4), (2, 2), (4, 4), (2, 2))


@pytest.mark.parametrize("way", WAYS)
def test_what_was_known_counts_from_the_first_batch_on(model, tmp_path, way):
    again = []
    found, _ = answered(model, asked(way)[:3], batch_tokens=13, journal=tmp_path)
    whole, _ = answered(model, asked(way), batch_tokens=13, journal=tmp_path, on_progress=again.append)
    assert whole[:3] == found
    assert again[-1].answered == 6
    assert again[0].answered > 3


@pytest.mark.parametrize("way", WAYS)
def test_equal_requests_are_kept_once(model, tmp_path, way):
    twice = [*asked(way), *(Asked(each.request, each.example + 6, 2) for each in asked(way))]
    found, _ = answered(model, twice, batch_tokens=30, journal=tmp_path)
    assert found[:6] == found[6:]
    (file,) = tmp_path.glob("*/*.jsonl")
    assert file.read_bytes().count(b"\n") == 6


def test_an_input_asked_for_too_many_texts_at_once_answers_each_once(model, tmp_path):
    texts = [tuple(5 + (n * 7 + k) % 100 for k in range(60)) for n in range(8)]  # 256 nodes hold four of them
    wanted = [(text,) for text in texts] + [(texts[0],), (texts[1],)]
    requests = [Asked(Request((9, 1), each), n, 0) for n, each in enumerate(wanted)]
    whole, _ = answered(model, requests, batch_tokens=200, journal=tmp_path)
    (file,) = tmp_path.glob("*/*.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    assert len(lines) == len(set(lines)) == 8
    assert whole[8:] == whole[:2]
    for kept in range(8):  # as a kill leaves it, each time
        file.write_bytes(b"".join(lines[:kept]) + lines[kept][:20])
        again, _ = answered(model, requests, batch_tokens=200, journal=tmp_path)
        assert again == whole
        for other in set(tmp_path.glob("*/*.jsonl")) - {file}:
            other.unlink()
