"""The benchmark of parity: that it tells what is equal from what is not, and a reason from an excuse."""

import dataclasses
import importlib
import json
from pathlib import Path

import pytest
import torch
import yaml

from ramekin.merge.inputs import ModelInput
from ramekin.merge.methods import METHODS, parse_method
from ramekin.recipes.mergekit import convert

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
Q = "encoder.block.0.layer.0.SelfAttention.q.weight"


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    names = ("merge_parity", "parity_cases", "parity_known", "parity_mergekit", "parity_models")
    return {name.removeprefix("parity_"): importlib.import_module(name) for name in names}


@pytest.fixture
def merged(modules):
    """A merge of one tensor by two models, in which the two sides agree; fields may be given otherwise."""

    def make(**fields):
        base = {Q: torch.tensor([[1.0, -2.0], [0.5, 4.0]])}
        tuned = [{Q: base[Q] + torch.tensor([[0.25, 0.5], [0.25, -1.0]])}, {Q: base[Q] + 0.125}]
        both = {Q: base[Q] + 0.5}
        given = {"base": base, "tuned": tuned, "ours": both, "theirs": both, "exact": None, "settings": {}}
        return modules["known"].Merged(**{**given, **fields})

    return make


@pytest.fixture
def verdict(modules, merged):
    def judge(difference: float, **fields) -> str:
        case = modules["cases"].Case(method="m", words="", **fields.pop("case", {}))
        ours = {Q: merged().theirs[Q] + torch.tensor([[0.0, 0.0], [0.0, difference]])}
        return modules["merge_parity"].judged("peer", "shape", case, merged(ours=ours, **fields)).verdict

    return judge


def test_verdicts(verdict, merged) -> None:
    exact = {Q: merged().theirs[Q].double() + torch.tensor([[0.0, 0.0], [0.0, 1e-3]])}
    assert verdict(0.0) == "same"
    assert verdict(4e-6) == "rounding"  # of 4.5
    assert verdict(1e-3) == verdict(6e-6) == "unexplained"
    assert verdict(1e-3, exact=exact) == "its rounding" and verdict(2e-3, exact=exact) == "unexplained"
    assert verdict(1e-3, case={"known": "mask"}, settings={"tall_lambda": 0.4}) == "unexplained"
    assert verdict(1e-3, case={"control": True}) == "control"
    assert verdict(0.0, case={"control": True}) == verdict(4e-6, case={"control": True})
    assert verdict(0.0, case={"control": True}) == "control does not differ"


def test_what_a_row_counts(modules, merged) -> None:
    ours = {Q: merged().theirs[Q] + torch.tensor([[0.5, 0.0], [0.0, -0.25]])}
    row = modules["merge_parity"].judged(
        "peer", "shape", modules["cases"].Case(method="m", words="w"), merged(ours=ours)
    )
    assert (row.max_difference, row.of_largest_delta, row.differing, row.elements) == (0.5, 0.5, 2, 4)
    assert row.relative == pytest.approx(0.5 / 4.5) and not row.is_well
    line = modules["merge_parity"].line(row)
    assert "5.00e-01" in line and "2 of 4" in line and "unexplained" in line


def test_a_peers_names_are_ours_and_two_tensors_of_one_name_are_refused(modules) -> None:
    ours = {"shared.weight": torch.zeros(2), Q: torch.zeros(1)}
    theirs = {
        name: torch.ones(2) for name in ("decoder.embed_tokens.weight", "shared.weight", "lm_head.weight")
    }
    found = modules["known"].named_as_ours(ours, theirs)
    assert set(found) == {"shared.weight"} and found["shared.weight"].tolist() == [1, 1]
    with pytest.raises(SystemExit, match="otherwise than under its other name"):
        modules["known"].named_as_ours(ours, {**theirs, "lm_head.weight": torch.zeros(2)})
    with pytest.raises(SystemExit, match="that ramekin has not: other"):
        modules["known"].named_as_ours(ours, {"other": torch.zeros(2)})


def test_the_reason_of_equal_values(modules, merged) -> None:
    proof = modules["known"].KNOWN["equal values"].proof
    ties = {Q: merged().theirs[Q] + torch.tensor([[0.25, 0.0], [0.25, 0.0]])}  # both of magnitude 0.25
    assert proof(merged(ours=ties)).startswith("2 elements")
    first = [merged().tuned[0]]
    lone = {Q: merged().theirs[Q] + torch.tensor([[0.0, 0.25], [0.0, 0.0]])}
    assert proof(merged(ours=lone, tuned=first)) is None


def test_the_reason_of_the_threshold(modules, merged) -> None:
    proof = modules["known"].KNOWN["mask"].proof
    ours = {Q: merged().theirs[Q] + torch.tensor([[0.25, 0.0], [0.0, 0.0]])}
    # Model 1 has 0.25 beside the other's 0.125 there: at a factor of 2 it is at the threshold.
    assert proof(merged(ours=ours, settings={"tall_lambda": 2.0})) is not None
    assert proof(merged(ours=ours, settings={"tall_lambda": 1.0})) is None


def test_the_reason_of_arbitrary_directions(modules, merged) -> None:
    proof = modules["known"].KNOWN["rank"].proof
    ours = {Q: merged().theirs[Q] + 0.5}
    assert proof(merged(ours=ours, exact={Q: merged().theirs[Q] - 0.5})) is not None
    assert proof(merged(ours=ours, exact=merged().theirs)) is None and proof(merged(ours=ours)) is None


@pytest.mark.parametrize(("reason", "scaled"), [("drawn", False), ("dare", True), ("della", True)])
def test_the_reason_of_random_numbers(modules, reason: str, scaled: bool) -> None:
    known = modules["known"]

    def drawn(seed: int, density: float, *, factor: float = 1.0) -> dict[str, torch.Tensor]:
        rng = torch.Generator().manual_seed(seed)
        chances = known._by_rank(delta, density) if reason == "della" else torch.full_like(delta, density)
        kept = delta * (torch.rand(delta.shape, generator=rng) < chances)
        scale = delta.abs().sum() / kept.abs().sum() if scaled else 1 / density
        return {Q: base[Q] + kept * scale * factor}

    delta = torch.randn(300, 200, generator=torch.Generator().manual_seed(0)) * 0.1
    base = {Q: torch.ones(300, 200)}
    given = known.Merged(base, [{Q: base[Q] + delta}], drawn(1, 0.5), drawn(2, 0.5), None, {"density": 0.5})
    delta = given.deltas(Q)[0]
    given = dataclasses.replace(given, ours=drawn(1, 0.5), theirs=drawn(2, 0.5))
    proof = known.KNOWN[reason].proof
    assert proof(given) is not None
    assert proof(dataclasses.replace(given, theirs=drawn(2, 0.45))) is None
    assert proof(dataclasses.replace(given, theirs=drawn(2, 0.5, factor=1.01))) is None
    if reason == "della":
        alike = {Q: base[Q] + delta * (torch.rand(delta.shape) < 0.5)}
        assert proof(dataclasses.replace(given, theirs=alike)) is None


def test_the_reason_of_another_algorithm_is_its_higher_loss(modules, merged) -> None:
    proof = modules["known"].KNOWN["steps"].proof
    deltas = merged().deltas(Q)
    at_one = {Q: merged().base[Q] + deltas[1]}
    equal = merged(tuned=[merged().tuned[1]] * 2)
    assert proof(dataclasses.replace(equal, ours=at_one)).startswith("the loss over all matrices: ours 0,")
    assert proof(dataclasses.replace(equal, theirs=at_one)) is None


def test_models_are_the_same_for_a_seed_and_share_a_part(modules) -> None:
    models = modules["models"]
    base = {Q: torch.zeros(40, 40), "encoder.block.0.layer.0.layer_norm.weight": torch.ones(40)}
    one, again, other = (models.tuned(base, seed) for seed in (0, 0, 1))
    assert all(torch.equal(one[name], again[name]) for name in base) and not torch.equal(one[Q], other[Q])
    cosine = torch.nn.functional.cosine_similarity(one[Q].flatten(), other[Q].flatten(), dim=0)
    assert 0.15 < float(cosine) < 0.6
    assert torch.linalg.matrix_rank(models.low_rank(base, 0)[Q]) == models.RANK
    norm = one["encoder.block.0.layer.0.layer_norm.weight"]
    assert torch.equal(norm * 64, (norm * 64).round())


def test_every_fusionbench_case_has_settings_that_its_method_takes(modules) -> None:
    cases = list(modules["cases"].fusionbench_cases([Q]))
    assert len({(case.method, case.words) for case in cases}) == len(cases) > 40
    for case in cases:
        parse_method({"name": case.method, **case.settings})
        assert case.known in ("", *modules["known"].KNOWN)


def test_every_mergekit_case_is_a_file_that_ramekin_reads(modules, tmp_path: Path) -> None:
    cases = list(modules["mergekit"].mergekit_cases())
    assert len({(case.method, case.words) for case in cases}) == len(cases) > 30
    models = [ModelInput(name, tmp_path / name) for name in ("a", "b", "c")]
    for case in cases:
        text = modules["mergekit"].document_of(case, tmp_path / "base", models[: case.num_models])
        assert json.loads(text)["dtype"] == "float32"
        found = convert(yaml.safe_load(text), where="f.yml")
        parse_method(found["method"])
        assert found["method"]["name"] in METHODS and case.known in ("", *modules["known"].KNOWN)
