import pytest

from ramekin.errors import DataError, ResourceError, UsageError, WeightsError
from ramekin.serve.refusals import CODE_KEY, RefusalError, failed, refusal_of, refusal_response, refuse


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "invalid_request_error"),
        (415, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "server_error"),
        (503, "server_error"),
        (504, "timeout_error"),
    ],
)
def test_the_object_is_openais(status, kind):
    told = RefusalError(status, "no", param="n").to_json()["error"]
    assert set(told) == {"message", "type", "param", "code"}
    assert told["type"] == kind
    assert told["message"] == "no"
    assert told["param"] == "n"
    assert told["code"]


def test_retry_after_is_whole_seconds_and_never_none():
    assert refuse(429, "full", retry_after=2.1).headers() == {"retry-after": "3"}
    assert refuse(429, "full", retry_after=0.0).headers() == {"retry-after": "1"}
    assert refuse(400, "no").headers() == {}
    assert refuse(401, "no").headers() == {"www-authenticate": "Bearer"}


def test_a_message_has_a_bound():
    assert len(RefusalError(400, "x" * 100_000).message) == 1000


@pytest.mark.parametrize("error", [WeightsError("bad", where="/home/me/model"), ResourceError("full")])
def test_what_is_not_the_requests_fault_is_not_told(error):
    found = refusal_of(error)
    assert found.status == 500
    assert found.message == failed().message
    assert "home" not in found.message


def test_paths_are_not_told_and_names_are_the_requests():
    error = DataError("it is bad", where="/home/me/model.safetensors", expected="more", got="less")
    assert refusal_of(error).message == "it is bad: expected more, got less"
    error = UsageError("a number is wrong", where="max_new_tokens", fix="lower max_new_tokens")
    found = refusal_of(error, names={"max_new_tokens": "max_tokens"})
    assert (found.message, found.param) == (
        "a number is wrong: max_tokens; fix: lower max_tokens",
        "max_tokens",
    )


def test_each_raises_its_own_exception():
    """One that were shared would grow a traceback with every request."""
    assert failed() is not failed()


def test_the_scope_keeps_the_code():
    scope = {}
    assert refusal_response(refuse(413, "large"), scope).status_code == 413
    assert scope[CODE_KEY] == "body_too_large"
