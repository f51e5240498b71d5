"""What `merge_parity.py` compares with FusionBench: each merge in the words of both sides.

`known` says why the two differ where they do, by a name in `parity_known.KNOWN`, which is held against the
numbers. mergekit's merges are in `parity_mergekit.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Settings = Mapping[str, Any]

ALL = 99
LAMBDA = 0.3
MINE = {"preset": "fusionbench"}
TABLES = (
    "shared.weight",
    "encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
    "lm_head.weight",
    "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
    "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One merge, in the words of both."""

    method: str
    """ramekin's."""
    words: str
    """The settings, as the table has them."""
    settings: Settings = field(default_factory=dict)
    """ramekin's."""
    post: Settings | None = None
    align: Settings | None = None
    statistics: str | None = None
    """The kind of what was measured of the models, where the method takes some."""
    run: str = "algorithm"
    """The peer's function, in `parity_fusionbench.py`."""
    name: str = ""
    """The peer's algorithm."""
    arguments: Any = None
    """What the peer is told; of mergekit, its document."""
    inputs: str = "tuned"
    """Which models."""
    num_models: int = ALL
    """How many of them, at the most."""
    base: bool = True
    """Whether there is a base."""
    exact: bool = False
    """Whether the peer merges in float64 too, which tells its rounding from another result."""
    control: bool = False
    """Whether ramekin is told otherwise on purpose: the difference shows that one would be seen."""
    known: str = ""
    """Why the two differ; empty where they must not."""


def fusionbench_cases(matrices: Sequence[str]) -> Iterator[Case]:
    """Every case.

    Args:
        matrices: the names of the weights of linear maps, without head and tables.
    """
    yield from _averages()
    yield from _ties()
    yield from _dare()
    yield from _chosen()
    yield from _between()
    yield from _matrix_wise()
    yield from _with_data()
    yield _knots(matrices)


def _averages() -> Iterator[Case]:
    yield Case(method="simple_average", words="", name="average", arguments={}, base=False)
    weights = [0.5, 0.1, 0.3, 0.4]
    for normalize in (True, False):
        setting = {"weights": weights, "normalize": normalize}
        words = f"weights, normalize={normalize}".lower()
        yield Case(
            method="simple_average",
            words=words,
            settings=setting,
            name="weighted",
            arguments=setting,
            base=False,
        )
    for factor in (0.0, 0.3, 1.0, -0.5):
        yield Case(
            method="task_arithmetic" if factor >= 0 else "task_negation",
            words=f"λ={abs(factor)}",
            settings={"scaling_factor": abs(factor)},
            name="arithmetic",
            arguments={"scaling_factor": factor},
        )
    for count in (1, ALL):
        yield Case(
            method="expo",
            words="one model" if count == 1 else "several models",
            settings={"extrapolation": 0.1},
            name="expo",
            arguments={"extrapolation_factor": 0.1},
            num_models=count,
        )
    layers = {"encoder.block.0.": 0.7, "decoder.block": 0.2, "lm_head": 0.0, "shared": 0.5}
    ours = [{**layers, ".*": 0.4}, {**layers, ".*": 0.1}, 0.6, 0.3]
    theirs = [{**layers, "": 0.4}, {**layers, "": 0.1}, {"": 0.6}, {"": 0.3}]
    yield Case(
        method="adamerging",
        words="given weights",
        settings={"weights": ours},
        run="layer_wise",
        arguments=theirs,
    )


def _ties() -> Iterator[Case]:
    for merge_func in ("sum", "mean", "max"):
        for threshold in (10, 20, 50):
            setting = {"scaling_factor": LAMBDA, "threshold": threshold, "merge_func": merge_func}
            case = Case(
                method="ties_merging",
                words=f"top {threshold} %, {merge_func}",
                settings=MINE | setting,
                name="ties",
                arguments=setting | {"remove_keys": []},
            )
            yield case
            if (threshold, merge_func) == (20, "sum"):
                own = {"scaling_factor": LAMBDA, "density": 0.2}
                yield replace(case, words="top 20 %, sum, no preset", settings=own, control=True)


def _dare() -> Iterator[Case]:
    plain = {"sparsity_ratio": 0.0, "only_on_linear_weights": False, "rescale": True}
    everything = MINE | {"density": 1.0}
    for words, setting, name, arguments in (
        ("nothing dropped", {"scaling_factor": LAMBDA}, "dare", {"scaling_factor": LAMBDA}),
        ("nothing dropped, average", {"scaling_factor": 0.25}, "dare_average", {}),
    ):
        yield Case(
            method="dare",
            words=words,
            settings=everything | setting,
            name=name,
            arguments=plain | arguments,
        )
    ties = {"scaling_factor": LAMBDA, "threshold": 20, "merge_func": "sum"}
    yield Case(
        method="ties_merging",
        words="DARE-TIES, nothing dropped",
        settings=MINE | ties,
        name="dare_ties",
        arguments=plain | ties | {"remove_keys": []},
    )
    for share in (0.5, 0.9):
        yield Case(
            method="dare",
            words=f"{share} dropped, one model",
            settings=MINE | {"density": 1 - share, "scaling_factor": 1.0},
            name="dare",
            arguments=plain | {"sparsity_ratio": share, "scaling_factor": 1.0},
            num_models=1,
            known="drawn",
        )


def _chosen() -> Iterator[Case]:
    for factor in (0.5, 1.0):
        setting = {"scaling_factor": factor}
        yield Case(method="magmax", words=f"λ={factor}", settings=setting, name="magmax", arguments=setting)
    emr = Case(method="emr_merging", words="unified vector", settings=MINE, run="emr")
    yield emr
    yield replace(emr, words="unified vector, no preset", settings={}, control=True)
    for factor, agreeing in ((0.4, 2), (0.2, 1), (0.6, 3)):
        yield Case(
            method="consensus_ta",
            words=f"λ_tall={factor}, {agreeing} agree",
            settings={"scaling_factor": LAMBDA, "tall_lambda": factor, "agreeing": agreeing},
            run="consensus",
            arguments={"scaling_factor": LAMBDA, "tall_mask_lambda": factor, "prun_thre_k": agreeing},
            known="mask",
        )


def _between() -> Iterator[Case]:
    for count in (2, 3, ALL):
        stock = Case(
            method="model_stock",
            words=f"{'all' if count == ALL else count} models",
            settings=MINE,
            name="model_stock",
            arguments={},
            num_models=count,
            exact=True,
        )
        yield stock
    yield replace(stock, words="all models, no preset", settings={}, control=True, exact=False)
    yield replace(stock, words="all models, short deltas", inputs="short", known="added length")
    for inputs, t in (("tuned", 0.5), ("tuned", 0.3), ("turned", 0.5), ("turned", 0.3)):
        yield Case(
            method="slerp",
            words=f"t={t}" + (", near opposite" if inputs == "turned" else ""),
            settings=MINE | {"t": t},
            name="slerp",
            arguments={"t": t},
            inputs=inputs,
            num_models=2,
            base=False,
            exact=True,
        )


def _matrix_wise() -> Iterator[Case]:
    for inputs, factor in (("tuned", 1.0), ("tuned", 0.6), ("low_rank", 1.0)):
        setting = {"scaling_factor": factor}
        for method, name, arguments in (
            ("tsv_merge", "tsv", {"alpha": factor}),
            ("iso_c", "iso_c", setting),
            ("iso_cts", "iso_cts", setting | {"common_space_fraction": 0.8}),
        ):
            yield Case(
                method=method,
                words=f"λ={factor}" + (", rank 4" if inputs == "low_rank" else ""),
                settings=MINE | setting,
                name=name,
                arguments=arguments,
                inputs=inputs,
                exact=True,
                known="rank" if inputs == "low_rank" else "",
            )
    wudi = Case(
        method="wudi",
        words="its 400 steps, ridge 1e-9",
        settings={"ridge": 1e-9},
        name="wudi",
        arguments={"iter_num": 400, "exclude_keys": list(TABLES)},
        known="steps",
    )
    yield wudi
    post = {"name": "svc", "preset": "fusionbench"}
    arithmetic = {"scaling_factor": LAMBDA}
    for method, settings, name, first, alpha in (
        ("task_arithmetic", arithmetic, "arithmetic", arithmetic, 0.1),
        ("iso_c", MINE, "iso_c", {"scaling_factor": 1.0}, 0.1),
        ("tsv_merge", MINE, "tsv", {"alpha": 1.0}, 1.0),
    ):
        yield Case(
            method=method,
            words=f"then svc, alpha={alpha}",
            settings=settings,
            post=post | {"alpha": alpha},
            run="calibrated",
            name=name,
            arguments={"first": first, "alpha": alpha},
            exact=True,
            known="level" if method == "iso_c" else "",
        )


def _with_data() -> Iterator[Case]:
    for normalize in (True, False):
        case = Case(
            method="fisher",
            words=f"normalize={normalize}".lower(),
            settings=MINE | {"normalize": normalize},
            statistics="fisher",
            run="fisher",
            arguments={"normalize_fisher_weight": normalize, "minimal_fisher_weight": 1e-6},
            exact=True,
        )
        yield case
        known = "lengths" if normalize else ""
        yield replace(case, words=f"{case.words}, its class", run="fisher_class", known=known)
    yield replace(case, words="normalize=false, no preset", settings={"normalize": False}, control=True)
    for off_diagonal in (0.1, 0.95):
        for run, kind in (("regmean", "gram"), ("regmean_plus_plus", "propagated_gram")):
            yield Case(
                method=run,
                words=f"off-diagonal {off_diagonal}",
                settings={"off_diagonal": off_diagonal, "ridge": 1e-9},
                statistics=kind,
                run=run,
                arguments={"reduce_non_diagonal_ratio": off_diagonal},
                exact=True,
            )


def _knots(matrices: Sequence[str]) -> Case:
    ties = {"scaling_factor": LAMBDA, "merge_func": "mean"}
    return Case(
        method="ties_merging",
        words="in KnOTS' directions",
        settings=ties | {"density": 0.2, "keep": "official"},
        align={"name": "knots"},
        run="knots",
        arguments=ties | {"threshold": 20, "matrices": list(matrices)},
        exact=True,
    )
