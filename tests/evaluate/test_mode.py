"""The modes by name, and what each of them means."""

import pytest

from ramekin.errors import UsageError
from ramekin.evaluate.mode import MODES


def test_fusionbench_and_generate_write_and_the_others_rank():
    assert [name for name in MODES if not MODES[name].ranks] == ["fusionbench", "generate", "cot"]
    assert {name: MODES[name].direction for name in MODES if MODES[name].ranks} == {
        "rank": "rank",
        "t0": "rank",
        "flipped": "flipped",
        "channel": "channel",
    }


def test_cot_alone_asks_for_reasoning_and_reads_the_answer_out_of_it():
    found = {name: (MODES[name].extraction, bool(MODES[name].trigger)) for name in MODES}
    assert found.pop("cot") == ("answer", True)
    assert set(found.values()) == {("exact", False)}


def test_t0_differs_from_rank_in_the_inputs_end_alone():
    t0, rank = MODES["t0"].to_json(), MODES["rank"].to_json()
    assert {key for key in t0 if t0[key] != rank[key]} == {"name", "input_eos"}
    assert (t0["input_eos"], rank["input_eos"]) == (False, True)
    assert (t0["option_eos"], t0["normalisation"]) == (True, "none")


@pytest.mark.parametrize("name", ["rank", "t0", "flipped", "channel"])
def test_where_options_are_ranked_accuracy_is_the_headline(name):
    kinds = ("classification", "multiple_choice", "text")
    assert [MODES[name].headline.get(kind) for kind in kinds] == ["accuracy"] * 3


def test_a_mode_that_is_not_there():
    with pytest.raises(UsageError, match="unknown mode 'flippd': did you mean 'flipped'"):
        MODES["flippd"]
