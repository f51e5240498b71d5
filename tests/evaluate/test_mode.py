"""The modes by name, what each of them means, and what is changed of one."""

import dataclasses
import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramekin.evaluate.mode as module
from ramekin.errors import UsageError
from ramekin.evaluate.mode import CHANGEABLE, MODES, Mode
from ramekin.infer.decoding import Decoding


def test_the_example_of_the_docstring():
    assert doctest.testmod(module).failed == 0


def test_what_each_mode_does():
    assert {name: MODES[name].direction for name in MODES} == {
        "fusionbench": "generate",
        "generate": "generate",
        "cot": "generate",
        "self_consistency": "generate",
        "rank": "rank",
        "t0": "rank",
        "lm_eval": "rank",
        "flan": "rank",
        "flipped": "flipped",
        "channel": "channel",
        "perplexity": "perplexity",
    }
    ranking = {name for name in MODES if MODES[name].ranks}
    assert ranking == {"rank", "t0", "lm_eval", "flan", "flipped", "channel"}
    assert [name for name in MODES if MODES[name].votes] == ["self_consistency"]


def test_only_reasoning_is_asked_for_and_read():
    found = {name: (MODES[name].extraction, bool(MODES[name].trigger)) for name in MODES}
    assert found.pop("cot") == found.pop("self_consistency") == ("answer", True)
    assert set(found.values()) == {("exact", False)}


def test_self_consistency_is_cot_with_forty_answers_drawn():
    cot, voted = MODES["cot"].to_json(), MODES["self_consistency"].to_json()
    assert {key: voted[key] for key in cot if voted[key] != cot[key]} == {
        "name": "self_consistency",
        "num_samples": 40,
        "sampling_temperature": 0.7,
        "top_k": 40,
    }
    assert MODES["self_consistency"].decoding(3) == Decoding(
        num_samples=40, sampling_temperature=0.7, top_k=40, seed=3
    )


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("t0", {"input_eos": False}),
        ("lm_eval", {"option_eos": False, "also": ["characters", "bytes", "pmi"]}),
        ("flan", {"otherwise": "generate", "max_new_tokens": 64}),
    ],
)
def test_how_presets_differ_from_rank(name, changes):
    ours, rank = MODES[name].to_json(), MODES["rank"].to_json()
    assert {
        key: ours[key] for key in ours if ours[key] != rank[key] and key not in ("name", "keys")
    } == changes
    assert (rank["input_eos"], rank["option_eos"], rank["normalisation"]) == (True, True, "none")


def test_lm_evals_names_of_its_accuracies():
    assert MODES["lm_eval"].keys == {
        "accuracy": "acc",
        "accuracy_characters": "acc_norm",
        "accuracy_bytes": "acc_bytes",
        "accuracy_pmi": "acc_mutual_info",
    }
    assert MODES["lm_eval"].normalisations == ("none", "characters", "bytes", "pmi")


@pytest.mark.parametrize("name", ["rank", "t0", "lm_eval", "flan", "flipped", "channel"])
def test_where_options_are_ranked_accuracy_is_the_headline(name):
    kinds = ("classification", "multiple_choice", "text")
    assert [MODES[name].headline.get(kind) for kind in kinds] == ["accuracy"] * 3


def test_a_mode_that_is_not_there():
    with pytest.raises(UsageError, match="unknown mode 'flippd': did you mean 'flipped'"):
        MODES["flippd"]


def test_what_is_changed_stands_in_the_name():
    changed = MODES["rank"].changed(option_eos=False, normalisation="pmi", also=("tokens", "bytes"))
    assert changed.name == "rank(option_eos=false, normalisation=pmi, also=[tokens,bytes])"
    assert (changed.option_eos, changed.normalisations) == (False, ("pmi", "tokens", "bytes"))
    again = changed.changed(input_eos=False)
    assert again.name == "rank(option_eos=false, normalisation=pmi, also=[tokens,bytes], input_eos=false)"
    assert MODES["t0"].changed(input_eos=False) is MODES["t0"]
    with pytest.raises(UsageError, match="unknown rule 'normalization': did you mean 'normalisation'"):
        MODES["rank"].changed(normalization="tokens")
    with pytest.raises(UsageError, match="unknown rule 'direction'"):
        MODES["rank"].changed(direction="flipped")


@given(st.sets(st.sampled_from(["input_eos", "option_eos"])), st.sets(st.sampled_from(["bytes", "pmi"])))
def test_equal_names_are_equal_rules(flags, also):
    mode = MODES["rank"].changed(**dict.fromkeys(sorted(flags), False), also=tuple(sorted(also)))
    other = MODES["rank"].changed(also=tuple(sorted(also)), **dict.fromkeys(sorted(flags), False))
    assert dataclasses.replace(mode, name="") == dataclasses.replace(other, name="")
    assert set(CHANGEABLE) < set(Mode.__dataclass_fields__)


@pytest.mark.parametrize(
    ("name", "rules", "message"),
    [
        ("generate", {"max_new_tokens": 0}, "nothing can be written: mode generate"),
        ("rank", {"otherwise": "generate"}, "nothing can be written"),
        ("generate", {"extraction": "pattern"}, "extraction=pattern and a pattern go together"),
        ("generate", {"pattern": "a"}, "extraction=pattern and a pattern go together"),
        ("generate", {"extraction": "pattern", "pattern": "(a"}, r"no regular expression: .*\(a: "),
        ("flipped", {"normalisation": "tokens"}, "one text is scored under all options"),
        ("channel", {"also": ("pmi",)}, "one text is scored under all options"),
    ],
)
def test_rules_that_do_not_go_together(name, rules, message):
    with pytest.raises(UsageError, match=message):
        MODES[name].changed(**rules)


def test_what_is_written_where_nothing_can_be_ranked():
    written = MODES["flan"].written()
    assert (written.direction, written.max_new_tokens, written.headline, written.name) == (
        "generate",
        64,
        {},
        "flan",
    )
