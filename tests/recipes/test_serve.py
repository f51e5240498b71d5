import pytest
import torch

from ramekin.infer.export import export_model
from ramekin.infer.generate import generate
from ramekin.infer.request import Request
from ramekin.recipes.compose import compose
from ramekin.recipes.generate import execute
from ramekin.recipes.generate_schema import GenerateConfig
from ramekin.recipes.models import open_named
from ramekin.recipes.places import Places
from ramekin.recipes.progress import SilentProgress
from ramekin.recipes.serve import prepare
from ramekin.recipes.serve_schema import ServeConfig
from ramekin.weights.seq2seq import load_model

ADAPTERS = [f"tanganke/flan-t5-base_glue-{task}_lora-16" for task in ("rte", "cola")]


@pytest.fixture
def ready(hub_root, monkeypatch):
    monkeypatch.delenv("RAMEKIN_TOKEN", raising=False)
    words = [f"models=[{','.join(ADAPTERS)}]", "base=google/flan-t5-base", f"hub_root={hub_root}", "port=0"]
    made = prepare(compose("serve", ServeConfig, words), SilentProgress())
    yield made
    made.listening.close()


def answered(engine, ids):
    ((output,),) = engine.answer([Request(ids, 6)])
    return output.tokens


def test_adapters_on_one_base_answer_as_each_does_alone(ready, hub_root):
    inputs = [(5, 6, 7, 1), (9, 1)]
    for name in ADAPTERS:
        alone = open_named(name, Places(hub_root=hub_root), SilentProgress(), base="google/flan-t5-base")
        expected = generate(alone.model, inputs, max_new_tokens=6, batch_tokens=512)
        engine = ready.service.models[name].model.engine
        assert [list(answered(engine, ids)) for ids in inputs] == expected


def test_what_adapters_leave_of_their_base_is_in_memory_once(ready):
    models = [ready.service.models[name].model.engine._model for name in ADAPTERS]
    shared = [
        name
        for (name, one), (_, other) in zip(*(model.named_parameters() for model in models), strict=True)
        if one.data_ptr() == other.data_ptr()
    ]
    apart = {name for name, _ in models[0].named_parameters()} - set(shared)
    assert "shared.weight" in shared
    assert apart
    assert all(".q." in name or ".v." in name for name in apart)


def test_each_model_names_its_base_and_has_a_tokenizer_for_each_thread(ready):
    model = ready.service.models[ADAPTERS[0]].model
    assert model.parent == "google/flan-t5-base"
    assert model.tokenizer is not model.engine._tokenizer
    told = ready.outcome()
    assert told.to_json()["models"] == ADAPTERS
    assert told.text().startswith(f"serving {', '.join(ADAPTERS)} at http://127.0.0.1:")


def test_where_a_model_is_missing_the_address_is_free_again(hub_root, monkeypatch):
    from ramekin.errors import WeightsError

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    words = ["model=./nothing-here", "port=0"]
    with pytest.raises(WeightsError):
        prepare(compose("serve", ServeConfig, words), SilentProgress())


@pytest.fixture
def exported(hub_root, tmp_path):
    """A model for CTranslate2, and words to serve it as "fast"."""
    pytest.importorskip("ctranslate2")
    folder = hub_root / "google/flan-t5-base"
    export_model(load_model(folder), tmp_path / "fast", tokenizer_folder=folder, threads=1)
    return [f"model={tmp_path / 'fast'}", "port=0", "threads=2"]


def test_a_model_for_ctranslate2_is_served_like_any_other(exported, hub_root):
    made = prepare(compose("serve", ServeConfig, exported), SilentProgress())
    made.listening.close()
    plain = open_named("google/flan-t5-base", Places(hub_root=hub_root), SilentProgress())
    inputs = [(5, 6, 7, 1), (9, 1)]
    model = made.service.models["fast"].model
    expected = generate(plain.model, inputs, max_new_tokens=6, batch_tokens=512)
    assert [list(answered(model.engine, ids)) for ids in inputs] == expected
    model.engine.close()


def test_prompts_are_no_longer_than_there_is_memory_for(exported, hub_root, monkeypatch):
    monkeypatch.setattr("ramekin.recipes.serve.free_bytes", lambda device: 1 << 30)
    said = []
    monkeypatch.setattr(SilentProgress, "say", lambda self, text: said.append(text))
    made = prepare(compose("serve", ServeConfig, exported), SilentProgress())
    made.listening.close()
    longest = made.service.limits.prompt_tokens
    assert 512 < longest < 16_384
    assert said == [
        f"prompt_tokens is {longest} in place of 16384: a longer prompt would take more than half of the 1.1 GB "
        "that are free"
    ]
    made.service.models["fast"].model.engine.close()
    words = ["model=google/flan-t5-base", f"hub_root={hub_root}", "port=0"]
    by_torch = prepare(compose("serve", ServeConfig, words), SilentProgress())
    by_torch.listening.close()
    assert by_torch.service.limits.prompt_tokens == 16_384


def test_a_base_that_is_made_first_has_the_threads_that_were_asked_for(monkeypatch):
    class MadeError(Exception):
        pass

    def make(name, seed, progress):
        raise MadeError(torch.get_num_threads())

    words, threads = ["model=mini/base", "threads=1"], torch.get_num_threads()
    monkeypatch.setattr("ramekin.recipes.bases.world.ensure_world_base", make)
    try:
        torch.set_num_threads(2)
        with pytest.raises(MadeError, match="1"):
            prepare(compose("serve", ServeConfig, [*words, "port=0"]), SilentProgress())
        torch.set_num_threads(2)
        with pytest.raises(MadeError, match="1"):
            execute(compose("generate", GenerateConfig, [*words, "prompts=[a]"]), SilentProgress())
    finally:
        torch.set_num_threads(threads)
