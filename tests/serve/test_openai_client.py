"""The official client against a real server, without any setting but the address."""

import threading
import time

import pytest

from ramekin.serve.security import Access

openai = pytest.importorskip("openai")
TOKEN = "0123456789abcdef-token"


@pytest.fixture
def client_of():
    made = []

    def make(server, **settings):
        settings = {"api_key": "none", "max_retries": 0, **settings}
        made.append(openai.OpenAI(base_url=f"{server.url}/v1", **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def client(serve, engine, client_of):
    return client_of(serve(engine))


def test_a_completion(client, engine):
    found = client.completions.create(
        model="fake", prompt="is it wet", n=2, temperature=0.7, top_p=0.9, max_tokens=20, seed=5, user="me"
    )
    texts = [engine.written(engine.added[0], number).text for number in range(2)]
    assert [choice.text for choice in found.choices] == texts
    assert [choice.finish_reason for choice in found.choices] == ["stop", "stop"]
    assert found.object == "text_completion"
    assert found.model == "fake"
    assert found.usage.total_tokens == found.usage.prompt_tokens + found.usage.completion_tokens
    assert engine.added[0].decoding.seed == 5


def test_several_prompts_and_token_ids(client):
    assert len(client.completions.create(model="fake", prompt=["a", "b"]).choices) == 2
    assert len(client.completions.create(model="fake", prompt=[[5, 6, 1], [7, 1]]).choices) == 2
    assert len(client.completions.create(model="fake", prompt=[5, 6, 1]).choices) == 1


def test_log_probabilities(client):
    choice = client.completions.create(model="fake", prompt="is it wet", logprobs=3).choices[0]
    told = choice.logprobs
    assert "".join(told.tokens[:-1]) == choice.text
    assert len(told.tokens) == len(told.token_logprobs) == len(told.top_logprobs) == len(told.text_offset)


def test_a_stream(client, engine):
    stream = client.completions.create(
        model="fake", prompt="is it wet", stream=True, stream_options={"include_usage": True}, logprobs=1
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == engine.written(engine.added[0], 0).text
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens == len(engine.written(engine.added[0], 0).tokens)


def test_our_own_fields_go_beside(client, engine):
    client.completions.create(
        model="fake",
        prompt="is it wet",
        extra_body={"num_beams": 3, "prefix": "it", "options": ["it is", "it"]},
    )
    (request,) = engine.added
    assert request.decoding.num_beams == 3
    assert request.form.options == ("it is", "it")


def test_the_models(client):
    assert [each.id for each in client.models.list()] == ["fake"]
    assert client.models.retrieve("fake").owned_by == "ramekin"


def test_a_stream_that_is_closed_frees_the_room(serve, make_engine, client_of):
    engine = make_engine(num_tokens=5000, step_seconds=0.001)
    client = client_of(serve(engine))
    with client.completions.create(model="fake", prompt="a", max_tokens=1000, stream=True) as stream:
        next(iter(stream))
        assert engine.running
    for _ in range(500):
        if not engine.running:
            break
        time.sleep(0.01)
    assert not engine.running


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        ("BadRequestError", {"model": "fake", "prompt": ""}),
        ("BadRequestError", {"model": "fake", "prompt": "a", "n": 1000}),
        ("BadRequestError", {"model": "fake", "prompt": "a", "echo": True}),
        ("BadRequestError", {"model": "fake", "prompt": "a", "extra_body": {"tok_k": 5}}),
        ("NotFoundError", {"model": "other", "prompt": "a"}),
    ],
)
def test_errors_are_its_exceptions(client, error, arguments):
    with pytest.raises(getattr(openai, error)) as told:
        client.completions.create(**arguments)
    assert told.value.body["message"]
    assert told.value.code


def test_the_token_is_its_key(serve, engine, client_of):
    server = serve(engine, access=Access.of_bind("127.0.0.1", token=TOKEN))
    with pytest.raises(openai.AuthenticationError):
        client_of(server, api_key="wrong").models.list()
    assert client_of(server, api_key=TOKEN).completions.create(model="fake", prompt="a").choices


def test_a_failure_and_the_deadline(serve, make_engine, client_of):
    engine = make_engine(num_tokens=5000, step_seconds=0.001)
    client = client_of(serve(engine, seconds=0.3))
    with pytest.raises(openai.InternalServerError) as told:
        client.completions.create(model="fake", prompt="a", max_tokens=1000)
    assert told.value.status_code == 504
    with pytest.raises(openai.APIError, match="not ready in time"):
        list(client.completions.create(model="fake", prompt="a", max_tokens=1000, stream=True))
    engine.step_error = RuntimeError("broken")
    with pytest.raises(openai.InternalServerError) as told:
        client.completions.create(model="fake", prompt="a")
    assert told.value.status_code == 500


def test_a_full_queue_is_its_rate_limit_and_it_comes_again_when_told(serve, make_engine, client_of):
    engine = make_engine(slots=1, num_tokens=3)
    server = serve(engine, queue=1, prompts=1, seconds=2.0)
    client, patient = client_of(server), client_of(server, max_retries=3)
    engine.may_step.clear()
    waiting = threading.Thread(target=lambda: client.completions.create(model="fake", prompt="a"))
    waiting.start()
    while server.service.models["fake"].worker.waiting < 1:
        time.sleep(0.01)
    with pytest.raises(openai.RateLimitError) as told:
        client.completions.create(model="fake", prompt="b")
    seconds = int(told.value.response.headers["retry-after"])
    assert 1 <= seconds <= 2
    threading.Timer(0.5, engine.may_step.set).start()
    started = time.monotonic()
    assert patient.completions.create(model="fake", prompt="b").choices
    assert time.monotonic() - started >= seconds
    waiting.join(10)


def test_its_asynchronous_form(serve, engine):
    import asyncio

    server = serve(engine)

    async def story():
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
            asked = [client.completions.create(model="fake", prompt=f"is it wet {n}") for n in range(20)]
            return await asyncio.gather(*asked)

    assert len({found.id for found in asyncio.run(story())}) == 20
