"""What decoding can be asked for, and what does not go together."""

import dataclasses
import math
import subprocess
import sys

import pytest

from ramekin.errors import UsageError
from ramekin.infer.decoding import GREEDY, Decoding


def test_by_itself_it_is_greedy():
    assert Decoding() == GREEDY
    assert not GREEDY.is_random
    assert GREEDY.num_rows == 1
    assert dataclasses.astuple(GREEDY) == (1, 1, 0.0, 0, 1.0, 1.0, 1.0, 0)


def test_rows_are_samples_or_beams():
    assert Decoding(num_samples=40, sampling_temperature=0.7).num_rows == 40
    assert Decoding(num_beams=4, length_penalty=0.6).num_rows == 4
    assert not Decoding(num_beams=4).is_random
    assert Decoding(sampling_temperature=1.0, top_k=5, top_p=0.9, seed=7).is_random


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_beams": 0}, r"num_beams: expected >= 1, got 0"),
        ({"num_samples": 0}, r"num_samples: expected >= 1, got 0"),
        (
            {"sampling_temperature": -0.5},
            r"sampling_temperature: expected 0, or a number from 1e-06, got -0.5",
        ),
        ({"sampling_temperature": 1e-9}, r"sampling_temperature: .*got 1e-09"),
        ({"sampling_temperature": math.nan}, r"sampling_temperature: .*got nan"),
        ({"sampling_temperature": math.inf}, r"sampling_temperature: .*got inf"),
        ({"sampling_temperature": 1.0, "top_k": -1}, r"top_k: expected >= 0 \(0: no limit\), got -1"),
        ({"sampling_temperature": 1.0, "top_p": 0.0}, r"top_p: expected above 0 and at most 1.*got 0.0"),
        ({"sampling_temperature": 1.0, "top_p": 1.1}, r"top_p: .*got 1.1"),
        ({"sampling_temperature": 1.0, "top_p": math.nan}, r"top_p: .*got nan"),
        ({"num_beams": 2, "length_penalty": math.inf}, r"length_penalty: expected a number, got inf"),
        ({"seed": -1}, r"seed: expected >= 0, got -1"),
    ],
)
def test_numbers_out_of_bounds_are_refused(settings, message):
    with pytest.raises(UsageError, match=f"a setting of decoding is out of its bounds: {message}"):
        Decoding(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"num_beams": 4, "sampling_temperature": 0.7},
            r"num_beams=4, sampling_temperature=0.7; fix: search with sampling_temperature=0, or sample",
        ),
        (
            {"num_beams": 4, "num_samples": 5},
            r"num_beams=4, num_samples=5; fix: beam search gives as many outputs as it has beams",
        ),
        ({"num_samples": 4}, r"num_samples=4, sampling_temperature=0.0; fix: set sampling_temperature"),
        ({"top_k": 5}, r"top_k=5, sampling_temperature=0.0; fix: set sampling_temperature"),
        ({"top_p": 0.5}, r"top_p=0.5, sampling_temperature=0.0; fix: set sampling_temperature"),
        ({"length_penalty": 2.0}, r"length_penalty=2.0, num_beams=1; fix: set num_beams"),
    ],
)
def test_settings_without_effect_or_against_each_other_are_refused(settings, message):
    with pytest.raises(UsageError, match=f"these settings of decoding do not go together: {message}"):
        Decoding(**settings)


def test_settings_are_read_without_loading_torch():
    code = "import sys, ramekin.infer.decoding; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
