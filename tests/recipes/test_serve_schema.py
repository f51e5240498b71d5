import pytest

from ramekin.errors import DataError, UsageError
from ramekin.recipes.compose import compose
from ramekin.recipes.serve_schema import ServeConfig, served_names, token_of

TOKEN = "0123456789abcdef-secret"


def config(*words):
    return compose("serve", ServeConfig, words)


@pytest.fixture(autouse=True)
def _no_token(monkeypatch):
    monkeypatch.delenv("RAMEKIN_TOKEN", raising=False)


def test_limits_may_be_written_without_their_group():
    found = config("model=a/b", "queue=100", "limits.seconds=5", "prompts=8")
    assert (found.limits.queue, found.limits.seconds, found.limits.prompts) == (100, 5, 8)
    assert found.host == "127.0.0.1"
    assert found.port == 8000


def test_a_limit_that_cannot_be_is_told():
    with pytest.raises(UsageError, match="limits.queue: expected a number above 0, got 0"):
        config("model=a/b", "queue=0")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "needs a model"),
        (("models=[a/b,a/b]",), "two models would be called 'a/b'"),
        (("models=[x/one/m,./m]", "names=[a]"), "names: expected one for each of 2 models, got 1"),
        (("model=a/b", "port=70000"), "port"),
        (("model=a/b", "quue=3"), "did you mean 'queue'?"),
        (("model=a/b", f"token={TOKEN}", "token_file=x"), "expected one of them, got both"),
        (("model=a/b", "token=12345678901234567890"), "token: expected text"),
    ],
)
def test_what_cannot_be_served_is_told(words, said):
    with pytest.raises(UsageError) as told:
        config(*words)
    assert said in str(told.value)
    assert TOKEN not in str(told.value)
    assert "12345678901234567890" not in str(told.value)


def test_names_are_no_paths(tmp_path):
    (tmp_path / "rte").mkdir()
    found = config(f"models=[{tmp_path}/rte,google/flan-t5-base,../x/cola]")
    assert served_names(found) == ("rte", "google/flan-t5-base", "cola")
    assert served_names(config("models=[a,b]", "names=[one,two]")) == ("one", "two")


def test_where_the_token_comes_from(tmp_path, monkeypatch):
    assert token_of(config("model=a")) is None
    monkeypatch.setenv("RAMEKIN_TOKEN", "of the environment")
    assert token_of(config("model=a")) == ("of the environment", "RAMEKIN_TOKEN")
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)
    assert token_of(config("model=a", f"token_file={path}")) == (TOKEN, f"token_file={path}")
    assert token_of(config("model=a", f"token={TOKEN}")) == (TOKEN, "token")


def test_a_file_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o644)
    with pytest.raises(DataError, match="others can read the token's file.*chmod 600") as told:
        token_of(config("model=a", f"token_file={path}"))
    assert TOKEN not in str(told.value)
    with pytest.raises(DataError, match="cannot be read"):
        token_of(config("model=a", f"token_file={tmp_path}/none"))


def test_a_token_is_not_written_anywhere():
    found = config("model=a", f"token={TOKEN}")
    for text in (repr(found), str(found.model_dump()), found.model_dump_json()):
        assert TOKEN not in text
