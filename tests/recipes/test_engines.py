"""Names become engines: which backend, what they answer, what they share and what marks their answers."""

import pytest

from ramekin.errors import UsageError
from ramekin.infer.ctranslate_engine import CTranslateEngine
from ramekin.infer.export import export_model
from ramekin.infer.request import Request
from ramekin.infer.torch_engine import TorchEngine
from ramekin.recipes.engines import open_engine
from ramekin.recipes.places import Places
from ramekin.recipes.progress import SilentProgress
from ramekin.weights.seq2seq import load_model

BASE = "google/flan-t5-base"
ADAPTER = "tanganke/flan-t5-base_glue-rte_lora-16"


@pytest.fixture
def open_one(hub_root):
    opened = []

    def run(name, **settings):
        found = open_engine(name, Places(hub_root=hub_root), SilentProgress(), batch_tokens=512, **settings)
        opened.append(found)
        return found

    yield run
    for each in opened:
        each.engine.close()


@pytest.fixture
def exported(hub_root, tmp_path):
    pytest.importorskip("ctranslate2")
    folder = hub_root / BASE
    export_model(load_model(folder), tmp_path / "fast", tokenizer_folder=folder, threads=1)
    return str(tmp_path / "fast")


def answer(opened):
    ((output,),) = opened.engine.answer([Request((5, 6, 7, 1), 6)])
    return output.tokens


def test_the_folder_decides_the_backend(open_one, exported):
    by_torch, fast = open_one(BASE), open_one(exported, threads=1)
    assert isinstance(by_torch.engine, TorchEngine) and by_torch.backend == "torch"
    assert isinstance(fast.engine, CTranslateEngine)
    assert fast.backend.startswith("ctranslate2 ") and fast.backend.endswith(" float32")
    assert answer(by_torch) == answer(fast)
    assert (fast.model, fast.packed) == (None, None)


def test_a_backend_that_the_folder_is_not_made_for_is_refused(open_one):
    with pytest.raises(UsageError, match="holds no model for CTranslate2") as caught:
        open_one(BASE, backend="ctranslate2")
    assert "ramekin export" in (caught.value.fix or "")


def test_fingerprints_tell_weights_apart(open_one, exported):
    base, again, adapter = open_one(BASE), open_one(BASE), open_one(ADAPTER, base=BASE)
    assert base.fingerprint() == again.fingerprint() != adapter.fingerprint()
    fast = open_one(exported, threads=1)
    assert fast.fingerprint() not in (base.fingerprint(), adapter.fingerprint())
    assert len(fast.fingerprint()) == 64


def test_what_models_have_in_common_is_kept_once(open_one):
    base = open_one(BASE)
    beside = open_one(ADAPTER, base=BASE, beside=[base])
    apart = open_one(ADAPTER, base=BASE)
    assert beside.packed is base.packed is not apart.packed
    shared = base.model.shared.weight.data_ptr()
    assert beside.model.shared.weight.data_ptr() == shared != apart.model.shared.weight.data_ptr()
    assert answer(beside) == answer(apart)
    assert beside.parent == BASE
