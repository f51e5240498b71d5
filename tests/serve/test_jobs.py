import asyncio

import pytest

from ramekin.infer.request import Answered, Output, Request, Wrote
from ramekin.serve.jobs import CancelledJobError, Job, Rank, Scored, Told, Write, log_probs_of, outputs_of

REQUEST = Request((5, 1), 4)


def answered(text):
    return Answered(1, (Output(text, (9, 1), "end"),))


def job(size=2):
    cancelled = []
    made = Job(Write((REQUEST,) * size), size, cancelled.append)
    return made, cancelled


def test_news_come_once_and_end_with_the_last_part():
    async def story():
        made, _ = job()
        made.tell([Told(0, Wrote(1, 0, "a", (9,)))], done=0)
        made.tell([Told(1, answered("b"))], done=1)
        first = await made.news()
        assert [each.place for each in first] == [0, 1]
        waiting = asyncio.ensure_future(made.news())
        await asyncio.sleep(0)
        assert not waiting.done()
        made.tell([Told(0, answered("a"))], done=1)
        assert len(await waiting) == 1
        assert await made.news() == []
        assert made.is_over

    asyncio.run(story())


def test_outputs_are_in_the_order_of_requests():
    async def story():
        made, _ = job()
        made.tell([Told(1, answered("b"))], done=1)
        made.tell([Told(0, answered("a"))], done=1)
        return [own[0].text for own in await outputs_of(made)]

    assert asyncio.run(story()) == ["a", "b"]


def test_log_probs_are_in_the_order_of_inputs():
    async def story():
        made = Job(Rank(((5,), (6,)), (((7,),), ((8,),))), 2, lambda _: None)
        made.tell([Scored(1, [-2.0])], done=1)
        made.tell([Scored(0, [-1.0])], done=1)
        return await log_probs_of(made)

    assert asyncio.run(story()) == [[-1.0], [-2.0]]


def test_a_failure_ends_it_and_what_comes_later_is_not_heard():
    async def story():
        made, _ = job()
        made.fail(ValueError("no"))
        made.tell([Told(0, answered("a"))], done=1)
        made.fail(ValueError("another"))
        with pytest.raises(ValueError, match="^no$"):
            await outputs_of(made)
        assert made.left == 2

    asyncio.run(story())


def test_it_is_cancelled_once_and_not_when_it_is_over():
    async def story():
        made, cancelled = job(1)
        made.cancel()
        made.cancel()
        assert cancelled == [made]
        with pytest.raises(CancelledJobError):
            await made.news()
        over, cancelled = job(1)
        over.tell([Told(0, answered("a"))], done=1)
        over.cancel()
        assert cancelled == []
        assert len(await over.news()) == 1

    asyncio.run(story())
