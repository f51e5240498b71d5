import asyncio
import contextlib
import logging
import time

import pytest

from ramekin.errors import DataError, WeightsError
from ramekin.infer.decoding import Decoding
from ramekin.infer.request import Answered, Request, Wrote
from ramekin.serve.jobs import CancelledJobError, log_probs_of, outputs_of
from ramekin.serve.worker import BusyError, EngineFailedError, Worker


@contextlib.asynccontextmanager
async def working(engine, **settings):
    worker = Worker(engine, **{"name": "fake", "queue_size": 256, "seconds": 60.0, **settings})
    worker.start()
    try:
        yield worker
    finally:
        engine.may_step.set()
        await worker.close()


def requests(*inputs, **settings):
    return [Request((*ids, 1), 8, **settings) for ids in inputs]


async def until(condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came to that")


def test_what_is_written_comes_back(engine):
    async def story():
        async with working(engine) as worker:
            asked = requests((5,), (6, 7))
            found = await outputs_of(worker.write(asked))
            assert found == [(engine.written(each, 0),) for each in asked]
            assert (worker.running, worker.waiting, worker.tokens) == (0, 0, 0)
        assert engine.is_closed
        assert not worker.is_alive

    asyncio.run(story())


def test_pieces_come_as_they_are_written_and_are_the_text_together(engine):
    async def story():
        async with working(engine) as worker:
            asked = requests((5,), decoding=Decoding(num_samples=2, sampling_temperature=1.0))
            job, told = worker.write(asked, streams=True), []
            while news := await job.news():
                told += news
        last = told[-1].event
        assert isinstance(last, Answered)
        for number, output in enumerate(last.outputs):
            pieces = [e for _, e in told if isinstance(e, Wrote) and e.number == number]
            assert "".join(each.text for each in pieces) == output.text
            assert len(pieces) > 1
            assert [each.ending for each in pieces if each.ending] == [output.ending]

    asyncio.run(story())


def test_many_jobs_share_the_engine(engine):
    async def story():
        async with working(engine) as worker:
            asked = [requests((n,)) for n in range(3, 60)]
            found = await asyncio.gather(*(outputs_of(worker.write(each)) for each in asked))
        assert [own[0][0].text for own in found] == [engine.written(each[0], 0).text for each in asked]

    asyncio.run(story())


def test_a_job_that_is_given_up_frees_its_room_at_once(make_engine):
    engine = make_engine(slots=1, num_tokens=10_000, step_seconds=0.002)

    async def story():
        async with working(engine) as worker:
            long = worker.write([Request((5, 1), 9000)])
            await until(lambda: worker.running == 1)
            short = worker.write([Request((6, 1), 2)])
            await until(lambda: worker.waiting == 1)
            long.cancel()
            assert (await outputs_of(short))[0][0].ending == "length"
            assert engine.cancelled == [1]
            with pytest.raises(CancelledJobError):
                await long.news()
            await until(lambda: worker.running == 0)

    asyncio.run(story())


def test_the_queue_has_a_bound_and_says_when_there_may_be_room(make_engine):
    engine, now = make_engine(slots=1), [0.0]

    async def story():
        async with working(engine, queue_size=4, clock=lambda: now[0]) as worker:
            engine.may_step.clear()
            jobs = [worker.write(requests((5,))) for _ in range(4)]
            with pytest.raises(BusyError) as told:
                worker.write(requests((5,)))
            assert told.value.waiting == 4
            assert told.value.retry_after == 60.0  # nothing is known of its pace
            with pytest.raises(BusyError):
                worker.rank([(5, 1)], [[(6, 1)]])
            engine.may_step.set()
            now[0] = 2.0
            await asyncio.gather(*map(outputs_of, jobs))
            engine.may_step.clear()
            now[0] = 4.0
            for _ in range(4):
                worker.write(requests((5,)))
            with pytest.raises(BusyError) as told:
                worker.write(requests((5,), (6,)))
            # Four in two seconds, and two places are wanted.
            assert told.value.retry_after == pytest.approx(1.0)
            worker.cancel_all()
            assert worker.waiting == 0
            worker.write(requests((5,)))

    asyncio.run(story())


def test_what_an_engine_refuses_fails_that_job_alone(engine):
    engine.refused_input, engine.failing_input = 7, 8

    async def story():
        async with working(engine) as worker:
            refused = worker.write(requests((5,), (7,), (6,)))
            failing = worker.write(requests((8,), (5,)))
            good = worker.write(requests((5,)))
            with pytest.raises(DataError, match="the input is refused"):
                await outputs_of(refused)
            with pytest.raises(DataError, match="the input failed"):
                await outputs_of(failing)
            assert len(await outputs_of(good)) == 1
            await until(lambda: worker.running == worker.waiting == 0)
            assert not engine.running
            assert not engine.waiting

    asyncio.run(story())


@pytest.mark.parametrize("error", [RuntimeError("CUDA: /home/me"), MemoryError(), WeightsError("not finite")])
def test_an_engine_that_raises_fails_what_it_had_and_goes_on(engine, error, caplog):
    async def story():
        async with working(engine) as worker:
            engine.step_error = error
            with pytest.raises(
                WeightsError if isinstance(error, WeightsError) else EngineFailedError
            ) as told:
                await outputs_of(worker.write(requests((5,), (6,))))
            assert "home" not in str(told.value)
            engine.step_error = None
            assert len(await outputs_of(worker.write(requests((5,))))) == 1
            assert worker.is_alive
            assert not engine.running

    with caplog.at_level(logging.ERROR, "ramekin.serve"):
        asyncio.run(story())
    assert ("engine of fake failed" in caplog.text) == (not isinstance(error, WeightsError))


def test_what_waits_to_be_ranked_is_ranked_together(engine):
    async def story():
        async with working(engine) as worker:
            engine.may_step.clear()
            blocking = worker.rank([(4, 1)], [[(6, 1)]])
            await asyncio.sleep(0.05)
            jobs = [worker.rank([(n, 1), (n, 2, 1)], [[(6, 1), (7, 1)], [(8, 1)]]) for n in range(5, 15)]
            engine.may_step.set()
            found = await asyncio.gather(*map(log_probs_of, [blocking, *jobs]))
        assert engine.rank_calls == [1, 20]
        assert found[3][0] == [engine.log_prob((7, 1), (6, 1)), engine.log_prob((7, 1), (7, 1))]
        assert found[3][1] == [engine.log_prob((7, 2, 1), (8, 1))]

    asyncio.run(story())


def test_a_call_has_a_bound_so_that_writing_goes_on(engine):
    async def story():
        async with working(engine, rank_tokens=10) as worker:
            job = worker.rank([(n, 1) for n in range(9)], [[(6, 1)]] * 9)
            assert len(await log_probs_of(job)) == 9
        assert engine.rank_calls == [3, 3, 3]

    asyncio.run(story())


def test_a_ranking_that_is_given_up_is_not_done(engine):
    async def story():
        async with working(engine, rank_tokens=1) as worker:
            engine.may_step.clear()
            job = worker.rank([(n, 1) for n in range(50)], [[(6, 1)]] * 50)
            await asyncio.sleep(0.05)
            job.cancel()
            engine.may_step.set()
            await log_probs_of(worker.rank([(5, 1)], [[(6, 1)]]))
        assert engine.rank_calls == [1, 1]

    asyncio.run(story())


def test_of_rankings_in_one_call_the_one_to_blame_fails(engine):
    engine.rank_error = (9, DataError("an option has no tokens"))

    async def story():
        async with working(engine) as worker:
            engine.may_step.clear()
            first = worker.rank([(4, 1)], [[(6, 1)]])
            await asyncio.sleep(0.05)
            jobs = [worker.rank([(n, 1)], [[(6, 1)]]) for n in (5, 9, 6)]
            engine.may_step.set()
            await log_probs_of(first)
            return await asyncio.gather(*map(log_probs_of, jobs), return_exceptions=True)

    found = asyncio.run(story())
    assert [isinstance(each, DataError) for each in found] == [False, True, False]


def test_the_end_gives_up_what_is_under_way(make_engine):
    engine = make_engine(num_tokens=10_000, step_seconds=0.002)

    async def story():
        async with working(engine) as worker:
            job = worker.write([Request((5, 1), 9000)])
            await until(lambda: worker.running == 1)
            await worker.close()
            with pytest.raises(CancelledJobError):
                await job.news()
            await worker.close()

    asyncio.run(story())
    assert engine.is_closed


def test_with_nothing_to_do_it_sleeps(engine):
    async def story():
        async with working(engine):
            await asyncio.sleep(0.1)
            before = time.process_time()
            await asyncio.sleep(0.3)
            return time.process_time() - before

    assert asyncio.run(story()) < 0.15


def test_an_engine_that_does_not_come_back_is_left_behind(engine, monkeypatch, caplog):
    monkeypatch.setattr("ramekin.serve.worker._JOIN_SECONDS", 0.1)

    async def story():
        worker = Worker(engine, name="fake", queue_size=4, seconds=60.0)
        worker.start()
        engine.may_step.clear()
        job = worker.write(requests((5,)))
        await asyncio.sleep(0.1)
        thread = worker._thread
        await worker.close()
        assert worker.is_left_behind
        with pytest.raises(CancelledJobError):
            await job.news()
        engine.may_step.set()
        thread.join(5)

    asyncio.run(story())
    assert "still at work and is left behind" in caplog.text
