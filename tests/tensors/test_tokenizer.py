import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ramekin.errors import DataError, UsageError, WeightsError
from ramekin.tensors.sentencepiece_model import parse_sentencepiece
from ramekin.tensors.tokenizer import (
    decode,
    distinct_ids,
    has_unknown,
    load_tokenizer,
    save_tokenizer,
    token_ids,
    train_tokenizer,
)

REAL = Path(__file__).parents[3] / "shared" / "tokenizer"
needs_real = pytest.mark.skipif(not REAL.exists(), reason="../shared/tokenizer is not there")

TEXTS = ["the cat sat on the mat", "a dog ate it all, did it not?", "yes no maybe"] * 20
PROBES = [
    "the cat ate <extra_id_0> mat <extra_id_1>",
    "  the\n\ncat\tsat  ",
    "½ ﬁ ＡＢＣ … \u200b",
    "",
    "unseen: {Ω}",
]


@pytest.fixture(scope="module")
def trained():
    return train_tokenizer(TEXTS, vocab_size=60, num_sentinels=4)


@needs_real
def test_real_vocabulary_gives_the_published_ids():
    tokenizer = load_tokenizer(REAL)
    assert tokenizer("Hello world").input_ids == [8774, 296, 1]
    assert len(tokenizer) == 32100
    assert tokenizer.convert_tokens_to_ids("<extra_id_0>") == 32099
    assert token_ids(tokenizer, ["yes", " yes", "yes "]) == [[4273]] * 3


@needs_real
def test_spiece_model_alone_gives_the_same_ids_as_tokenizer_json(tmp_path):
    (tmp_path / "spiece.model").write_bytes((REAL / "spiece.model").read_bytes())
    alone, whole = load_tokenizer(tmp_path), load_tokenizer(REAL)
    texts = [*PROBES, "naïve œuvre 5 ≥ 3", "Ünïcödé ﷺ ①②③ ㌀", "\r\n\t x"]
    assert token_ids(alone, texts) == token_ids(whole, texts)
    assert alone.get_vocab() == whole.get_vocab()


@needs_real
def test_decoding_drops_unknown_characters_and_has_unknown_tells():
    tokenizer = load_tokenizer(REAL)
    (ids,) = token_ids(tokenizer, ["Hello {world}"])
    assert decode(tokenizer, ids) == "Hello world"
    assert has_unknown(ids)
    assert not has_unknown(token_ids(tokenizer, ["Hello world"])[0])


@needs_real
def test_decoding_equals_transformers():
    tokenizer = load_tokenizer(REAL)
    for ids in ([8774, 296, 1, 0, 0], [0, 32099, 8774, 1], [2, 3, 5]):
        assert decode(tokenizer, ids) == tokenizer.decode(ids, skip_special_tokens=True)


def test_trained_vocabulary_has_the_layout_of_t5(trained):
    assert [trained.convert_ids_to_tokens(n) for n in range(3)] == ["<pad>", "</s>", "<unk>"]
    last = [trained.convert_ids_to_tokens(len(trained) - n) for n in range(4, 0, -1)]
    assert last == ["<extra_id_3>", "<extra_id_2>", "<extra_id_1>", "<extra_id_0>"]
    assert len(trained) <= 60
    assert (trained.pad_token_id, trained.eos_token_id, trained.unk_token_id) == (0, 1, 2)


def test_trained_vocabulary_round_trips_its_text(trained):
    for text in TEXTS[:3]:
        (ids,) = token_ids(trained, [text])
        assert decode(trained, ids) == text
        assert not has_unknown(ids)


def test_the_ids_of_distinct_texts_are_those_of_each(trained):
    found = distinct_ids(trained, iter(["the cat", "", "yes", "the cat"]))
    assert list(found) == ["the cat", "", "yes"] and found[""] == ()
    assert [list(ids) for ids in found.values()] == token_ids(trained, list(found))


def test_trained_vocabulary_normalises_like_t5(trained):
    assert token_ids(trained, ["ｃａｔ"]) == token_ids(trained, ["cat"])
    assert token_ids(trained, ["the\n\ncat\t sat"]) == token_ids(trained, ["the cat sat"])


def test_saved_vocabulary_reloads_the_same_here_and_in_transformers(trained, tmp_path):
    from transformers import AutoTokenizer, PreTrainedTokenizerFast, T5TokenizerFast

    save_tokenizer(trained, tmp_path)
    expected = token_ids(trained, PROBES)
    assert token_ids(load_tokenizer(tmp_path), PROBES) == expected
    for kind in (T5TokenizerFast, PreTrainedTokenizerFast, AutoTokenizer):
        reloaded = kind.from_pretrained(tmp_path, local_files_only=True)
        assert reloaded(PROBES, add_special_tokens=False).input_ids == expected
        assert reloaded("the cat").input_ids[-1] == 1
        assert len(reloaded) == len(trained)
        ids = reloaded("the cat sat on the mat").input_ids
        assert reloaded.decode(ids, skip_special_tokens=True) == "the cat sat on the mat"


def test_training_gives_the_same_bytes_in_two_processes(trained, tmp_path):
    save_tokenizer(trained, tmp_path / "here")
    script = (
        "import sys; from pathlib import Path\n"
        "from ramekin.tensors.tokenizer import save_tokenizer, train_tokenizer\n"
        f"texts = {TEXTS!r}\n"
        "save_tokenizer(train_tokenizer(texts, vocab_size=60, num_sentinels=4), Path(sys.argv[1]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "there")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def digests(folder):
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}

    assert digests(tmp_path / "here") == digests(tmp_path / "there")


def test_truncation_and_padding_baked_into_the_file_are_dropped(trained, tmp_path):
    save_tokenizer(trained, tmp_path)
    path = tmp_path / "tokenizer.json"
    state = json.loads(path.read_text())
    state["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    state["padding"] = {
        "strategy": {"Fixed": 64},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "<pad>",
    }
    path.write_text(json.dumps(state))
    loaded = load_tokenizer(tmp_path)
    assert loaded(TEXTS[0]).input_ids == trained(TEXTS[0]).input_ids
    assert token_ids(loaded, TEXTS[:3]) == token_ids(trained, TEXTS[:3])


def test_missing_tokenizer_names_the_folder_and_what_it_should_hold(tmp_path):
    with pytest.raises(
        WeightsError, match=r"no tokenizer.*expected tokenizer.json or spiece.model, got neither"
    ):
        load_tokenizer(tmp_path)
    with pytest.raises(WeightsError, match=r"absent.*no such folder"):
        load_tokenizer(tmp_path / "absent")


@pytest.mark.parametrize("content", [b"", b"\x0a\xff\xff", b"\x0b", b"\x10\x01", b"\x80", b"\x0a\x05ab"])
def test_damaged_spiece_model_is_named(tmp_path, content):
    (tmp_path / "spiece.model").write_bytes(content)
    with pytest.raises(WeightsError, match=r"cannot be read: .*spiece.model"):
        load_tokenizer(tmp_path)


@needs_real
@pytest.mark.parametrize("kept", [1, 1000, 400_000, 791_000])
def test_truncated_real_spiece_model_is_refused(kept):
    with pytest.raises(ValueError):
        parse_sentencepiece((REAL / "spiece.model").read_bytes()[:kept])


def test_damaged_tokenizer_json_is_named(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0"')
    with pytest.raises(WeightsError, match=r"cannot be read: .*tokenizer.json"):
        load_tokenizer(tmp_path)


def test_null_normaliser_is_refused(trained, tmp_path):
    save_tokenizer(trained, tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "normalizer": None}))
    with pytest.raises(WeightsError, match="no normaliser"):
        load_tokenizer(tmp_path)


def test_other_special_tokens_are_refused(trained, tmp_path):
    save_tokenizer(trained, tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(path.read_text().replace("<pad>", "<start>"))
    with pytest.raises(WeightsError, match=r"expected <pad> 0, </s> 1, <unk> 2, got <start> 0"):
        load_tokenizer(tmp_path)


def test_training_without_text_is_an_error():
    with pytest.raises(DataError, match="no text to train"):
        train_tokenizer(["", " \n"], vocab_size=100)


def test_vocabulary_without_room_for_the_characters_is_an_error(capfd):
    with pytest.raises(UsageError, match=r"cannot be trained: vocab_size=8, num_sentinels=2"):
        train_tokenizer(TEXTS, vocab_size=8, num_sentinels=2)
    assert capfd.readouterr() == ("", "")


def test_a_call_with_padding_and_truncation_leaves_no_trace():
    tokenizer = train_tokenizer(TEXTS, vocab_size=60, num_sentinels=4)
    before = token_ids(tokenizer, ["the cat sat on the mat", "yes"])
    tokenizer(["the cat"], padding="max_length", max_length=4, truncation=True)
    assert token_ids(tokenizer, ["the cat sat on the mat", "yes"]) == before


def test_equal_ids_are_one_object_however_many_texts_there_are():
    tokenizer = train_tokenizer(TEXTS, vocab_size=460, num_sentinels=400)
    texts = ["the <extra_id_0> cat <extra_id_50>", "a dog <extra_id_0> <extra_id_7>"]
    found = token_ids(tokenizer, texts * 700)
    assert found == [token_ids(tokenizer, [text])[0] for text in texts] * 700
    objects = {id(number): number for ids in found for number in ids}
    assert max(objects.values()) > 300  # Python itself has one object for each number up to 256
    assert len(objects) == len(set(objects.values()))
