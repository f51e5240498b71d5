"""A form that takes too long to read is refused by whoever asks for it, and costs nobody else a moment."""

import asyncio
import sys
import time

import pytest

from ramekin.infer.request import Form
from ramekin.serve import form_check
from ramekin.serve.form_check import FormCheck
from ramekin.serve.refusals import RefusalError

pytest.importorskip("llguidance")
HARD = {"allOf": [{"type": "string", "pattern": f"[a-z]{{{least},}}x"} for least in range(1, 60)]}
EASY = [
    Form(regex="[0-9]{4}"),
    Form(json_schema={"type": "array", "items": {"enum": ["a", "b"]}}),
    Form(options=("yes", "no")),
    Form(regex="(("),  # wrong, which is not this check's to say
    Form(json_schema={"type": "nothing"}),
]


def checked(check, *asked):
    """What comes of checking them, side by side."""

    async def run():
        return await asyncio.gather(*(check.check(form) for form in asked), return_exceptions=True)

    return asyncio.run(run())


def test_what_is_read_in_time_passes():
    assert checked(FormCheck(seconds=5), *EASY) == [None] * len(EASY)


def test_what_takes_too_long_is_refused_by_its_name(monkeypatch):
    check = FormCheck(seconds=1)
    started = time.monotonic()
    easy, refusal = checked(check, EASY[0], Form(json_schema=HARD))
    assert easy is None and isinstance(refusal, RefusalError)
    assert (refusal.status, refusal.param) == (400, "json_schema") and "too long" in refusal.message
    assert time.monotonic() - started < 12
    monkeypatch.setattr(sys, "executable", "/bin/false")
    known = checked(check, Form(json_schema=HARD), EASY[0])
    assert isinstance(known[0], RefusalError) and known[1] is None, "both are remembered"


def test_a_client_that_leaves_ends_the_process(monkeypatch):
    started = []
    create = asyncio.create_subprocess_exec

    async def noted(*args, **settings):
        started.append(await create(*args, **settings))
        return started[-1]

    monkeypatch.setattr(form_check.asyncio, "create_subprocess_exec", noted)

    async def leave():
        check = FormCheck(seconds=60)
        work = asyncio.create_task(check.check(Form(json_schema=HARD)))
        while not started:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert started[0].returncode is None
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert started[0].returncode is not None
        assert not check._known, "nothing was found out"

    asyncio.run(leave())


def test_only_so_many_processes_run_at_one_time(monkeypatch):
    running, most = 0, 0

    async def read(self, grammar):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return True

    monkeypatch.setattr(FormCheck, "_is_read", read)
    monkeypatch.setattr(form_check, "_KEPT", 3)
    check = FormCheck(seconds=1, at_once=2)
    assert set(checked(check, *(Form(regex=f"a{number}") for number in range(9)))) == {None}
    assert most == 2 and len(check._known) == 3


def test_many_who_ask_the_same_wait_for_one_process(monkeypatch):
    count = 0

    async def read(self, grammar):
        nonlocal count
        count += 1
        await asyncio.sleep(0.01)
        return True

    monkeypatch.setattr(FormCheck, "_is_read", read)
    assert checked(FormCheck(seconds=1, at_once=1), *[EASY[0]] * 20) == [None] * 20
    assert count == 1


def test_a_process_that_waits_too_long_for_a_core_is_given_up_and_may_come_again(monkeypatch):
    check = FormCheck(seconds=1)
    with monkeypatch.context() as patch:
        patch.setattr(form_check, "_PATIENCE", 0.0)
        (refusal,) = checked(check, EASY[0])
    assert isinstance(refusal, RefusalError)
    assert checked(check, EASY[0]) == [None]


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "llguidance", None)
    (refusal,) = checked(FormCheck(seconds=1), EASY[0])
    assert "ramekin[constrain]" in refusal.message
