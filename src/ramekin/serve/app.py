"""The HTTP interface: OpenAI's completions and models, rankings, health and counts.

Joins the other modules of `serve`; each route is a few lines. Knows nothing of how models are loaded.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response

import ramekin
from ramekin.registry import unknown_name
from ramekin.serve.answers import Chunks, completion
from ramekin.serve.asked import (
    CompletionAnswer,
    CompletionBody,
    ErrorAnswer,
    HealthAnswer,
    ModelAnswer,
    ModelsAnswer,
    RankAnswer,
    RankBody,
    StreamOptions,
)
from ramekin.serve.bodies import Bodies
from ramekin.serve.completions import read_completion
from ramekin.serve.jobs import log_probs_of, outputs_of
from ramekin.serve.limits import Limits
from ramekin.serve.metrics import CONTENT_TYPE_LATEST
from ramekin.serve.ranking import ranking, read_ranking
from ramekin.serve.refusals import RefusalError, refusal_response, refuse
from ramekin.serve.security import Access, Guard
from ramekin.serve.service import Model, Service
from ramekin.serve.streaming import EventStream
from ramekin.serve.waiting import arrival, refusal_for, while_connected
from ramekin.serve.watch import NOTE_KEY, Watch
from ramekin.serve.worker import BusyError

__all__ = ["create_app"]

T = TypeVar("T")

_EXPECTED: Final = {
    "prompt": "a text, texts, token ids, or lists of token ids",
    "stop": "a text, or up to 4",
    "inputs": "a text, or texts",
    "options": "texts, or for a ranking such a list for each input",
}
"""What is said of fields of several types, where the library would list what each misses."""
_ALWAYS: Final = (400, 401, 403, 408, 413, 415, 429, 431, 500, 503)


def create_app(
    service: Service, access: Access, *, on_access: Callable[[str], None] | None = None
) -> FastAPI:
    """The application; its lifespan starts the engines' threads and ends them.

    Args:
        service: the models and limits.
        access: who may ask.
        on_access: told of each request in one line.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            await service.close()

    app = FastAPI(
        title="ramekin",
        version=ramekin.__version__,
        description="Text-to-text models: completions as OpenAI's, and rankings of options.",
        docs_url=None,  # its page takes scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    _add_completions(app, service)
    _add_ranking(app, service)
    _add_models(app, service)
    _add_health(app, service)
    app.openapi = _described(app.openapi)  # type: ignore[method-assign]
    app.add_exception_handler(RefusalError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _other)
    # Those that are added later are further out.
    app.add_middleware(Bodies, limits=service.limits)
    app.add_middleware(Guard, access=access)
    if access.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=sorted(access.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type"],
        )
    app.add_middleware(Watch, service=service, on_access=on_access)
    return app


def _answers(model: Any, *statuses: int, media_type: str | None = None) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of a route's answers."""
    good: dict[str, Any] = {"model": model} if model is not None else {}
    if media_type is not None:
        # Events have no schema: what they hold is JSON, of the completion's form and one choice, then [DONE].
        good["content"] = {media_type: {} if model else {"schema": {"type": "string"}}}
    return {200: good, **{status: {"model": ErrorAnswer} for status in (*_ALWAYS, *statuses)}}


def _described(original: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """The description without the library's own refusal, 422, which never comes: ours is 400."""

    def describe() -> dict[str, Any]:
        found = original()
        for operations in found["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            found["components"]["schemas"].pop(name, None)
        return found

    return describe


def _add_completions(app: FastAPI, service: Service) -> None:
    @app.post(
        "/v1/completions",
        responses=_answers(CompletionAnswer, 404, 504, media_type="text/event-stream"),
        summary="Write outputs for prompts",
    )
    async def completions(body: CompletionBody, request: Request) -> Response:
        service.refuse_if_stopping()
        served = service.named(body.model)
        worker, limits, metrics = served.worker, service.limits, service.metrics
        deadline = arrival(request.scope) + limits.seconds
        name, vocabulary = served.model.name, served.vocabulary

        asked = await _wait(read_completion(body, served, limits), request, service, deadline)
        job = _submitted(lambda: worker.write(asked.requests, streams=bool(body.stream)), limits)
        metrics.unknown_tokens.labels(name).inc(asked.unknown_tokens)
        started = arrival(request.scope)

        def count(written: int) -> None:
            metrics.input_tokens.labels(name).inc(asked.prompt_tokens)
            metrics.output_tokens.labels(name).inc(written)
            request.scope[NOTE_KEY] = f"{name} {asked.prompt_tokens}+{written} tokens"

        if body.stream:
            with_usage = bool(body.stream_options and body.stream_options.include_usage)
            chunks = Chunks(asked, model=name, vocabulary=vocabulary, with_usage=with_usage)
            return EventStream(
                job,
                chunks,
                limits=limits,
                deadline=deadline,
                on_first=lambda: metrics.first_token_seconds.labels(name).observe(
                    asyncio.get_running_loop().time() - started
                ),
                on_end=lambda: count(chunks.written),
            )
        try:
            outputs = await _wait(outputs_of(job), request, service, deadline)
        finally:
            job.cancel()
        answer = completion(asked, outputs, model=name, vocabulary=vocabulary)
        count(answer["usage"]["completion_tokens"])
        return JSONResponse(answer)


def _add_ranking(app: FastAPI, service: Service) -> None:
    @app.post(
        "/v1/rank", responses=_answers(RankAnswer, 404, 504), summary="Rank options by their probability"
    )
    async def rank(body: RankBody, request: Request) -> Response:
        service.refuse_if_stopping()
        served = service.named(body.model)
        limits, metrics, name = service.limits, service.metrics, served.model.name
        deadline = arrival(request.scope) + limits.seconds
        questions = await _wait(read_ranking(body, served, limits), request, service, deadline)

        job = _submitted(lambda: served.worker.rank(questions.inputs, questions.options), limits)
        try:
            log_probs = await _wait(log_probs_of(job), request, service, deadline)
        finally:
            job.cancel()
        metrics.input_tokens.labels(name).inc(questions.input_tokens)
        metrics.scored_tokens.labels(name).inc(questions.scored_tokens)
        request.scope[NOTE_KEY] = f"{name} {questions.input_tokens}+{questions.scored_tokens} tokens"
        return JSONResponse(ranking(body, questions, log_probs, model=name))


def _add_models(app: FastAPI, service: Service) -> None:
    @app.get("/v1/models", responses=_answers(ModelsAnswer), summary="The models that are served")
    async def models() -> Response:
        listed = [_model_object(served.model) for served in service.models.values()]
        return JSONResponse({"object": "list", "data": listed})

    @app.get("/v1/models/{name:path}", responses=_answers(ModelAnswer, 404), summary="One of the models")
    async def model(name: str) -> Response:
        return JSONResponse(_model_object(service.named(name).model))


def _model_object(model: Model) -> dict[str, Any]:
    own = {"id": model.name, "object": "model", "created": model.created, "owned_by": "ramekin"}
    return own if model.parent is None else {**own, "parent": model.parent}


def _add_health(app: FastAPI, service: Service) -> None:
    def health() -> Response:
        ready = service.is_live and not service.is_stopping
        status = "ready" if ready else "stopping" if service.is_stopping else "failed"
        found = {"status": status, "live": service.is_live, "ready": ready}
        return JSONResponse(found, status_code=200 if ready else 503)

    answers = {**_answers(HealthAnswer), 503: {"model": HealthAnswer}}

    @app.get("/health", responses=answers, summary="Whether the server is live and ready")
    async def both() -> Response:
        return health()

    @app.get("/health/ready", responses=answers, summary="Whether the server takes requests")
    async def ready() -> Response:
        return health()

    @app.get("/health/live", responses=_answers(HealthAnswer), summary="Whether the server runs")
    async def live() -> Response:
        return JSONResponse({"status": "ready", "live": True, "ready": not service.is_stopping})

    @app.get(
        "/metrics", responses=_answers(None, media_type="text/plain"), summary="Counts in Prometheus' format"
    )
    async def metrics() -> Response:
        return Response(service.metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})


def _submitted(submit: Callable[[], T], limits: Limits) -> T:
    """A job, where there is room for it."""
    try:
        return submit()
    except BusyError as error:
        refusal = refusal_for(error, limits)
        assert refusal is not None, "a full queue is told"
        raise refusal from error


async def _wait(work: Coroutine[Any, Any, T], request: Request, service: Service, deadline: float) -> T:
    """The result of some work, what goes wrong as a refusal."""
    try:
        return await while_connected(work, request.receive, deadline=deadline)
    except Exception as error:
        refusal = refusal_for(error, service.limits)
        if refusal is None:
            raise
        raise refusal from error


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusalError), "the handler is of this class"
    return refusal_response(error, request.scope)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError), "the handler is of this class"
    body = RankBody if request.url.path == "/v1/rank" else CompletionBody
    return refusal_response(_refusal_of_field(error.errors()[0], body.model_fields), request.scope)


def _refusal_of_field(first: Mapping[str, Any], known: Iterable[str]) -> RefusalError:
    """The first thing that is wrong with a body, in our words."""
    path = [str(part) for part in first["loc"] if part != "body"]
    field = path[0] if path else ""
    if not path:
        return refuse(400, "the body is no request", expected="a JSON object with its fields")
    if first["type"] == "extra_forbidden":
        said = unknown_name("field", path[-1][:40], known if len(path) == 1 else StreamOptions.model_fields)
        return RefusalError(400, said, param=".".join(path), code="unknown_field")
    if first["type"] == "missing":
        return refuse(400, "a field is missing", param=field)
    if field in _EXPECTED:
        return refuse(400, "a field has the wrong type", param=field, expected=_EXPECTED[field])
    met = first.get("input")
    shown = repr(met)[:40] if isinstance(met, str | int | float | bool) or met is None else type(met).__name__
    message = str(first["msg"])
    return refuse(400, message[:1].lower() + message[1:], param=".".join(path[:3]), got=shown)


async def _other(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "the handler is of this class"
    told = {
        404: "there is nothing at this path",
        405: "this path does not take that method",
        400: "the body cannot be read",
    }
    message = told.get(error.status_code, "the request is refused")
    response = refusal_response(RefusalError(error.status_code, message), request.scope)
    response.headers.update(error.headers or {})
    return response
