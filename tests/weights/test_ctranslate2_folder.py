"""Which CTranslate2 folders may be opened: whole, unchanged, tested, and asking for nothing."""

import json
import shutil

import pytest

from ramekin.errors import WeightsError
from ramekin.files import sha256_file
from ramekin.infer.export import export_model
from ramekin.tensors.tokenizer import load_tokenizer
from ramekin.weights.ctranslate2_folder import check_translator
from ramekin.weights.ctranslate2_spec import translator_spec, vocabulary_of, write_spec
from ramekin.weights.layout import is_translator
from ramekin.weights.opening import open_model
from ramekin.weights.seq2seq import load_model
from ramekin.weights.verify import verify_checkpoint

pytest.importorskip("ctranslate2")


@pytest.fixture(scope="module")
def checkpoint(make_checkpoint, tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "m", seed=0)


@pytest.fixture(scope="module")
def whole(checkpoint, tmp_path_factory):
    output = tmp_path_factory.mktemp("exported") / "m"
    export_model(load_model(checkpoint), output, tokenizer_folder=checkpoint, threads=1)
    return output


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "m")


def rewrite(path, change, *, listed=True):
    """Change a file, and its entry in the manifest, as somebody with intent would."""
    path.write_bytes(change(path.read_bytes()))
    if listed:
        manifest = path.parent / "ramekin.json"
        content = json.loads(manifest.read_text())
        content["files"][path.name] = {"size": path.stat().st_size, "sha256": sha256_file(path)}
        manifest.write_text(json.dumps(content))


def with_keys(**more):
    return lambda old: json.dumps({**json.loads(old), **more}).encode()


def test_what_export_made_may_be_opened(folder, checkpoint):
    found = check_translator(folder)
    names = load_tokenizer(checkpoint).convert_ids_to_tokens(range(len(found.vocabulary)))
    assert list(found.vocabulary) == names and found.start_id == 0
    assert found.self_test["positions"] >= 50 and found.manifest.lineage.operation == "export"


@pytest.mark.parametrize(
    "key", ["auto_map", "__init__", "_name_or_path", "quantization_type", "model_type", "trust_remote_code"]
)
def test_a_configuration_that_asks_for_more_is_refused(folder, key):
    rewrite(folder / "config.json", with_keys(**{key: "x"}))
    with pytest.raises(WeightsError, match="asks for what is not known") as caught:
        check_translator(folder)
    assert caught.value.where.endswith(f"#{key}")


@pytest.mark.parametrize(
    ("key", "value"),
    [("add_source_eos", True), ("eos_token", "nowhere"), ("decoder_start_token", None), ("unk_token", ["a"]),
     ("layer_norm_epsilon", "1e-6"), ("multi_query_attention", True)],
)  # fmt: skip
def test_a_value_that_cannot_be_is_refused(folder, key, value):
    rewrite(folder / "config.json", with_keys(**{key: value}))
    with pytest.raises(WeightsError, match="cannot be") as caught:
        check_translator(folder)
    assert key in caught.value.where


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("model.bin", lambda old: old[:-1], "end of the file|more bytes|bytes"),
        ("model.bin", lambda old: b"PK\3\4" + old[4:], "version 6"),
        ("shared_vocabulary.json", lambda old: json.dumps(json.loads(old)[:-1]).encode(), "vocabulary is not"),
        ("shared_vocabulary.json", lambda old: b"{}", "a JSON list of strings"),
        ("shared_vocabulary.json", lambda old: b"[" * 100_000, "vocabulary"),
        ("config.json", lambda old: b"[]", "not a JSON object"),
    ],
)  # fmt: skip
def test_a_damaged_file_with_a_right_manifest_is_refused(folder, name, change, said):
    rewrite(folder / name, change)
    with pytest.raises(WeightsError, match=said):
        check_translator(folder)


def test_a_changed_byte_is_found_by_its_hash(folder):
    rewrite(folder / "model.bin", lambda old: old[:-2000] + b"\7" + old[-1999:], listed=False)
    with pytest.raises(WeightsError, match="changed or damaged"):
        check_translator(folder)
    assert check_translator(folder, verify=False)


def test_a_file_more_or_less_is_refused(folder):
    (folder / "code.py").write_text("1 / 0")
    with pytest.raises(WeightsError, match="not in its manifest"):
        check_translator(folder)
    (folder / "code.py").unlink()
    (folder / "tokenizer.json").unlink()
    with pytest.raises(WeightsError, match="missing"):
        check_translator(folder)


def test_what_nobody_tested_is_opened_only_where_asked(folder):
    (folder / "ramekin.json").unlink()
    with pytest.raises(WeightsError, match="nobody has compared") as caught:
        check_translator(folder)
    assert caught.value.kind == "untested" and "untested=allow" in caught.value.fix
    found = check_translator(folder, allow_untested=True)
    assert found.manifest is None and found.self_test is None


def test_the_fault_of_the_librarys_converter_is_refused_in_any_case(checkpoint, tmp_path):
    model, tokenizer = load_model(checkpoint), load_tokenizer(checkpoint)
    spec = translator_spec(model, vocabulary_of(tokenizer, model.config.vocab_size))
    spec.decoder.scale_outputs = model.config.d_model**-0.5
    write_spec(spec, tmp_path, "float32")
    shutil.copy(checkpoint / "tokenizer.json", tmp_path)
    with pytest.raises(WeightsError, match="converted wrong") as caught:
        check_translator(tmp_path, allow_untested=True)
    assert caught.value.kind == "scaled-head"


def test_a_tied_model_may_be_scaled(make_checkpoint, tmp_path):
    tied = make_checkpoint(tmp_path / "tied", seed=1, tied=True)
    export_model(load_model(tied), tmp_path / "out", tokenizer_folder=tied, threads=1)
    assert check_translator(tmp_path / "out")


def test_other_folders_are_told_apart(folder, checkpoint, tmp_path):
    assert is_translator(folder) and not is_translator(checkpoint)
    with pytest.raises(WeightsError, match="no folder of a CTranslate2 model") as caught:
        check_translator(checkpoint)
    assert f"ramekin export model={checkpoint}" in caught.value.fix
    with pytest.raises(WeightsError, match="no such folder"):
        check_translator(tmp_path / "nowhere")
    with pytest.raises(WeightsError, match="holds a CTranslate2 model") as caught:
        open_model(folder)
    assert "backend=ctranslate2" in caught.value.fix


def test_without_a_tokenizer_it_is_no_use(folder):
    for name in ("ramekin.json", "tokenizer.json"):
        (folder / name).unlink()
    with pytest.raises(WeightsError, match="has no tokenizer"):
        check_translator(folder, allow_untested=True)


def test_it_is_no_checkpoint_to_verify(folder):
    with pytest.raises(WeightsError, match="holds a CTranslate2 model"):
        verify_checkpoint(folder)
