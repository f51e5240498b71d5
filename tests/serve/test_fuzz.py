"""Requests made by schemathesis from the server's own description, valid and invalid ones."""

import time
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

schemathesis = pytest.importorskip("schemathesis")
requests = pytest.importorskip("requests")


RARELY_RIGHT = {
    "best_of", "echo", "frequency_penalty", "json_schema", "length_penalty", "logit_bias", "max_tokens", "mode", "n",
    "num_beams", "options", "presence_penalty", "regex", "stop", "stream_options", "suffix", "top_p", "typical_p",
}  # fmt: skip
"""Fields that a value of the right type does not fit."""


def checks():
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    return [content_type_conformance, response_schema_conformance, status_code_conformance]


def fuzzed(server, examples):
    """How often each status came, for each operation; at most so many requests for a body and kind of data."""
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    statuses = {}
    with requests.Session() as session:
        for found in schema.get_all_operations():
            operation = found.ok()
            own = statuses[operation.label] = Counter()
            has_body = operation.method == "post"
            # Where there is no body, nothing could be invalid.
            for mode in schemathesis.GenerationMode if has_body else [schemathesis.GenerationMode.POSITIVE]:
                strategy = operation.as_strategy(generation_mode=mode)
                run(strategy, examples if has_body else examples // 10, session, own)
    return statuses


def run(strategy, examples, session, statuses):
    @settings(
        max_examples=max(examples, 2), deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=strategy, help_given=st.integers(0, 9))
    def one(case, help_given):
        if help_given and isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
            case.body["model"] = "fake"  # else nearly all would ask for models that are not there
            if help_given > 5:  # and hardly any would be answered
                for name in RARELY_RIGHT & case.body.keys():
                    del case.body[name]
                if "inputs" in case.body:
                    case.body["options"] = ["yes", "no"]
        response = case.call(session=session, timeout=30)
        statuses[response.status_code] += 1
        assert response.status_code < 500, response.text
        case.validate_response(response, checks=checks())

    one()


def judge(statuses, server, at_least):
    assert sum(sum(own.values()) for own in statuses.values()) >= at_least
    for label in ("POST /v1/completions", "POST /v1/rank"):
        assert statuses[label][200] > 0, statuses
        assert statuses[label][400] > 0, statuses
    worker, end = server.service.models["fake"].worker, time.monotonic() + 5
    while server.service.open_requests or worker.waiting:  # the last answer was seen before it was over
        assert time.monotonic() < end, "something is still open"
        time.sleep(0.01)


def test_no_request_breaks_the_server(serve, make_engine):
    server = serve(make_engine(num_tokens=2))
    judge(fuzzed(server, 40), server, at_least=150)


@pytest.mark.slow
def test_ten_thousand_requests_do_not(serve, make_engine):
    server = serve(make_engine(num_tokens=2))
    judge(fuzzed(server, 2600), server, at_least=10_000)
