"""Weights and rates against the published formulas, T0's own numbers, and hand calculation."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import DataError, UsageError
from ramekin.text.mixing.form import PromptForm
from ramekin.text.mixing.mixture import CapScope, Leaf, Mixing, Mixture, MixturePart, TaskPart, leaves
from ramekin.text.mixing.rates import Mixed, Size, mix

SIZES = (100, 1000, 10_000)
PROPORTIONAL = Mixing()


def flat(count: int, mixing: Mixing = PROPORTIONAL, name: str = "flat", **how: object) -> Mixture:
    return Mixture(name, tuple(TaskPart(f"{name}/{place}") for place in range(count)), mixing, **how)


def mixed(mixture: Mixture, examples: Sequence[int], templates: int | Sequence[int] = 1) -> Mixed:
    """The mixture with the sizes given task by task."""
    tasks = list(dict.fromkeys(leaf.task for leaf in leaves(mixture)))
    counts = [templates] * len(tasks) if isinstance(templates, int) else templates
    sizes = dict(zip(tasks, map(Size, examples, counts), strict=True))
    return mix(mixture, {leaf: sizes[leaf.task] for leaf in leaves(mixture)})


@pytest.mark.parametrize(
    ("mixing", "rates"),
    [
        (Mixing(), (0.0090, 0.0901, 0.9009)),
        (Mixing(cap_examples=3000), (0.0244, 0.2439, 0.7317)),
        (Mixing(cap_examples=3000, mixing_temperature=2), (0.1037, 0.3281, 0.5682)),
        (Mixing(cap_examples=3000, mixing_temperature=4), (0.1954, 0.3474, 0.4572)),
        (Mixing(cap_examples=3000, mixing_temperature=8), (0.2588, 0.3452, 0.3960)),
        (Mixing("equal"), (1 / 3, 1 / 3, 1 / 3)),
        (Mixing("equal", cap_examples=3000, mixing_temperature=2), (1 / 3, 1 / 3, 1 / 3)),
        (Mixing(cap_examples=0), (0.0090, 0.0901, 0.9009)),
        (Mixing(scale=0.5, cap_examples=1500), (0.0244, 0.2439, 0.7317)),
    ],
)  # fmt: skip
def test_the_published_rates(mixing: Mixing, rates: tuple[float, ...]) -> None:
    assert mixed(flat(3, mixing), SIZES).rates == pytest.approx(rates, abs=1e-4)


def test_the_cap_comes_before_the_temperature() -> None:
    """In the wrong order 10,000 would become 100, and no cap of 3,000 would hold it."""
    wrong = [min(n**0.5, 3000) for n in SIZES]
    assert [w / sum(wrong) for w in wrong] == pytest.approx((0.0706, 0.2233, 0.7061), abs=1e-4)
    found = mixed(flat(3, Mixing(cap_examples=3000, mixing_temperature=2)), SIZES).rates
    assert found[2] < 0.57 and found != pytest.approx((0.0706, 0.2233, 0.7061), abs=1e-2)


def test_proportional_is_not_equal() -> None:
    """T = 1 is proportional; it is T to infinity that is equal."""
    assert mixed(flat(3, Mixing(mixing_temperature=1)), SIZES).rates == mixed(flat(3), SIZES).rates
    assert mixed(flat(3, Mixing(mixing_temperature=1e9)), SIZES).rates == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize(
    ("task", "examples", "templates", "weight"),
    [
        ("amazon_polarity", 3_600_000, 9, 499_995),
        ("dbpedia_14", 560_000, 4, 500_000),
        ("qqp", 363_846, 6, 2_183_076),
        ("app_reviews", 288_065, 4, 1_152_260),
        ("ag_news", 120_000, 7, 840_000),
        ("imdb", 25_000, 11, 275_000),
    ],
)
def test_t0_weights_by_template(task: str, examples: int, templates: int, weight: int) -> None:
    mixture = Mixture("t0", (TaskPart(task),), Mixing(cap_examples=500_000, cap_scope="template"))
    found = mixed(mixture, [examples], templates)
    assert (found.leaves[0].weight, found.epoch_examples) == (weight, weight)
    assert found.leaves[0].is_capped == (examples > 500_000)
    by_set = Mixture("direct", (TaskPart(task),), Mixing(cap_examples=500_000))
    assert mixed(by_set, [examples], templates).leaves[0].weight == min(examples, 500_000)


def test_a_cap_of_each_template() -> None:
    mixing = Mixing(cap_examples=20_000, cap_scope="each_template", mixing_temperature=2)
    found = mixed(flat(2, mixing), [30_000, 400], [7, 3]).leaves
    assert [each.weight for each in found] == pytest.approx([7 * 20_000**0.5, 3 * 400**0.5])
    assert [each.is_capped for each in found] == [True, False]


def test_a_cap_at_the_number_of_examples_does_not_bind() -> None:
    for scope in ("dataset", "template", "each_template"):
        found = mixed(flat(1, Mixing(cap_examples=500, cap_scope=scope)), [500], 3).leaves[0]
        assert not found.is_capped and found.weight == (500 if scope == "dataset" else 1500)


def test_limits_and_floors() -> None:
    parts = (
        TaskPart("a", limit_examples=300),
        TaskPart("b", floor_examples=50),
        TaskPart("c", floor_examples=5),
    )
    found = mixed(Mixture("m", parts, Mixing(cap_examples=100)), [1000, 10, 20]).leaves
    assert [(each.examples, each.weight) for each in found] == [(300, 100), (10, 50), (20, 20)]
    assert [(each.is_capped, each.is_floored) for each in found] == [
        (True, False),
        (False, True),
        (False, False),
    ]
    assert found[1].passes(170) == pytest.approx(5.0)


def test_a_floor_counts_before_the_temperature_and_for_all_templates_together() -> None:
    part = TaskPart("a", floor_examples=400)
    assert mixed(Mixture("m", (part,), Mixing(mixing_temperature=2)), [9]).leaves[0].weight == 20
    by_template = Mixture("m", (part,), Mixing(cap_scope="each_template"))
    assert mixed(by_template, [9], 4).leaves[0].weight == 400


@pytest.mark.parametrize("scope", ["template", "each_template"])
def test_without_a_cap_every_template_still_counts_by_itself(scope: CapScope) -> None:
    mixture = flat(2, Mixing(cap_scope=scope))
    first, second = leaves(mixture)
    assert mix(mixture, {first: Size(100, 4), second: Size(100, 1)}).rates == (0.8, 0.2)


@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_a_temperature_whose_weights_no_number_holds_is_refused(scale: float) -> None:
    with pytest.raises(UsageError, match=r"examples at mixing_temperature 0\.001; fix: choose"):
        mixed(flat(2, Mixing(mixing_temperature=1e-3, scale=scale)), [1000, 4000])


def test_a_pass_has_at_least_one_example() -> None:
    assert mixed(flat(2, Mixing(scale=1e-9)), [10, 30]).epoch_examples == 1
    assert mixed(flat(2, Mixing(scale=1e-9)), [10, 30]).rates == pytest.approx((0.25, 0.75))


def test_rates_that_are_given() -> None:
    mixture = Mixture("m", (TaskPart("a", rate=3), TaskPart("b", rate=1)), Mixing(cap_examples=10))
    found = mixed(mixture, [100, 100])
    assert found.rates == (0.75, 0.25) and not any(each.is_capped for each in found.leaves)
    assert found.epoch_examples == 20


def test_nested_rates_by_hand() -> None:
    """rate(task) = sum of rate(sub) * weight in sub / total of sub."""
    muffin = flat(2, Mixing(cap_examples=300), "muffin")  # 100 and 300 of 400
    cot = flat(1, name="cot")
    whole = Mixture("whole", (MixturePart(muffin, 0.6), MixturePart(cot, 0.2)))
    found = mixed(whole, [100, 1000, 7])
    assert found.rates == pytest.approx((0.75 / 4, 0.75 * 3 / 4, 0.25))
    assert found.epoch_examples == 407
    outer = Mixture("outer", (MixturePart(whole, 1), TaskPart("own", rate=3)))
    assert mixed(outer, [100, 1000, 7, 5]).rates == pytest.approx((0.75 / 16, 0.75 * 3 / 16, 1 / 16, 3 / 4))


def test_a_mixture_without_a_rate_brings_its_own_weights() -> None:
    inner = flat(2, Mixing(cap_examples=300), "inner")
    outer = Mixture("outer", (MixturePart(inner), TaskPart("own")), Mixing(mixing_temperature=2))
    assert [each.weight for each in mixed(outer, [100, 1000, 900]).leaves] == [100, 300, 30]


def test_a_task_listed_twice_sums() -> None:
    twice = Mixture("m", (TaskPart("a"), TaskPart("b"), TaskPart("a")))
    assert mixed(twice, [10, 20]).rates == (0.5, 0.5) and len(leaves(twice)) == 2
    nested = Mixture(
        "n", (MixturePart(flat(2, name="x"), 1), MixturePart(Mixture("y", (TaskPart("x/0"),)), 1))
    )
    assert mixed(nested, [30, 10]).rates == (0.875, 0.125)


def test_forms_have_their_shares_of_a_task() -> None:
    forms = (PromptForm(), PromptForm(share=0.3, options="none"), PromptForm(share=0.2, options="none"))
    found = mixed(flat(2, forms=forms), [100, 300])
    assert [str(each.leaf) for each in found.leaves] == [
        "flat/0",
        "flat/0 options=none",
        "flat/1",
        "flat/1 options=none",
    ]
    assert found.rates == pytest.approx((1 / 6, 0.5 / 6, 0.5, 0.25))
    assert (
        found.task_rates() == pytest.approx({"flat/0": 0.25, "flat/1": 0.75}) and found.epoch_examples == 400
    )


def test_a_form_that_can_use_fewer_rows_weighs_less() -> None:
    mixture = flat(1, forms=(PromptForm(), PromptForm(cot="rationale")))
    plain, reasoned = leaves(mixture)
    found = mix(mixture, {plain: Size(100, 10), reasoned: Size(50, 8)})
    assert found.rates == pytest.approx((2 / 3, 1 / 3)) and found.epoch_examples == 75


def test_what_has_no_size_is_named() -> None:
    mixture = flat(12)
    some = {leaf: Size(5, 1) for leaf in leaves(mixture)[:2]} | {
        leaves(mixture)[2]: Size(0, 1),
        leaves(mixture)[3]: Size(3, 0),
    }
    with pytest.raises(DataError) as caught:
        mix(mixture, some)
    assert "flat/2: 0 examples, 1 templates; flat/3: 3 examples, 0 templates; flat/4: none" in str(
        caught.value
    )
    assert "and 2 more" in str(caught.value) and "flat/1" not in str(caught.value).split("flat/2")[0]
    with pytest.raises(DataError, match="flat/0: -1 examples"):
        mix(flat(1), {Leaf("flat/0"): Size(-1, 1)})


COUNTS = st.lists(st.integers(1, 10**7), min_size=1, max_size=12)
MIXINGS = st.builds(
    Mixing,
    st.sampled_from(["proportional", "equal"]),
    st.floats(0.01, 100),
    st.none() | st.integers(0, 10**6),
    st.sampled_from(["dataset", "template", "each_template"]),
    st.floats(0.5, 16),
)


@given(COUNTS, MIXINGS, st.integers(1, 20))
def test_rates_sum_to_one_and_none_is_lost(counts: list[int], mixing: Mixing, templates: int) -> None:
    found = mixed(flat(len(counts), mixing), counts, templates)
    assert math.fsum(found.rates) == pytest.approx(1) and min(found.rates) > 0
    assert math.fsum(found.task_rates().values()) == pytest.approx(1)


@given(COUNTS, MIXINGS, st.randoms(use_true_random=False))
def test_tasks_in_another_order_have_the_same_rates(counts: list[int], mixing: Mixing, random) -> None:
    order = list(range(len(counts)))
    random.shuffle(order)
    parts = flat(len(counts), mixing).parts
    other = mixed(
        Mixture("other", tuple(parts[place] for place in order), mixing), [counts[place] for place in order]
    )
    assert other.task_rates() == pytest.approx(mixed(flat(len(counts), mixing), counts).task_rates())


@given(COUNTS, st.integers(1, 10**6), st.floats(0.5, 16), st.integers(1, 10**6))
def test_more_examples_are_no_less_rate(counts: list[int], cap: int, temperature: float, more: int) -> None:
    mixture = flat(len(counts), Mixing(cap_examples=cap, mixing_temperature=temperature))
    before, after = mixed(mixture, counts), mixed(mixture, [counts[0] + more, *counts[1:]])
    assert after.rates[0] >= before.rates[0] * (1 - 1e-12)


@given(COUNTS, MIXINGS)
def test_a_mixture_is_itself_within_another(counts: list[int], mixing: Mixing) -> None:
    inner = flat(len(counts), mixing)
    expected = mixed(inner, counts).rates
    for rate in (None, 0.3):
        assert mixed(Mixture("outer", (MixturePart(inner, rate),)), counts).rates == pytest.approx(expected)
