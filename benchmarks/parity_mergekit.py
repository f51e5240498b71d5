"""What `merge_parity.py` compares with mergekit: YAML that both read, and how it is run.

mergekit's T5 has gated feed-forwards alone: on the ReLU of T5 1.0 it ends with an error, so that its tied
shape is gated here too. DARE and DELLA draw at random, and are compared where they keep everything, and by
their law where one model is merged.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from parity_cases import Case
from safetensors.torch import load_file

from ramekin.merge.inputs import ModelInput

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "flan (own head, gated)": {"tied": False, "feed_forward_proj": "gated-gelu"},
    "t5 1.1 tied (gated)": {"tied": True, "feed_forward_proj": "gated-gelu"},
}

_WEIGHTS: Sequence[Mapping[str, Any]] = ({"weight": 0.5}, {"weight": 0.8}, {"weight": 0.3})
_GRADIENTS: Sequence[Mapping[str, Any]] = (
    {"weight": [0.1, 0.9], "density": [0.2, 0.6, 0.8]},
    {
        "weight": [
            {"filter": "SelfAttention", "value": 0.3},
            {"filter": "wi_0", "value": [0.1, 0.9]},
            {"value": 1.0},
        ],
        "density": 0.5,
    },
    {"weight": 0.4, "density": [{"filter": "encoder", "value": 0.3}, {"value": 0.7}]},
)


def mergekit_cases() -> Iterator[Case]:
    """Every case; its arguments are mergekit's document, models by their names."""
    plain = [{key: value for key, value in each.items() if key != "density"} for each in _GRADIENTS]
    for normalize in (True, False):
        words = f"normalize={normalize}".lower()
        for own, added in ((_WEIGHTS, ""), (plain, ", gradients, filters")):
            yield _case("linear", words + added, own, {"normalize": normalize}, base=False)
            yield _case("task_arithmetic", words + added, own, {"normalize": normalize, "lambda": 0.7})
        known = "equal values"
        yield _case("ties", f"{words}, density 1", _WEIGHTS, {"normalize": normalize, "lambda": 0.6})
        for own, added in ((_with(_WEIGHTS, density=0.4), ", density 0.4"), (_GRADIENTS, ", gradients")):
            yield _case("ties", words + added, own, {"normalize": normalize}, known=known)
        for method in ("dare_linear", "dare_ties"):
            yield _case(method, f"{words}, density 1", _WEIGHTS, {"normalize": normalize, "lambda": 0.9})
        yield _case("della", f"{words}, density 1", _WEIGHTS, {"normalize": normalize})
        yield _case(
            "breadcrumbs_ties", f"{words}, gradients", _GRADIENTS, {"normalize": normalize}, known=known
        )
    yield _case("task_arithmetic", "λ by gradient", _WEIGHTS, {"lambda": [0.1, 0.9, 0.4]})
    yield _case("della_linear", "density 1", _WEIGHTS, {"lambda": 0.9})
    yield _case("breadcrumbs", "density 1", _WEIGHTS, {})
    for gamma in (0.01, 0.1):
        own = _with(_WEIGHTS, density=0.6)
        yield _case("breadcrumbs", f"density 0.6, γ={gamma}", own, {"gamma": gamma}, known=known)
    negative = ({"weight": 0.5}, {"weight": -0.3}, {"weight": 0.8})
    for normalize in (True, False):
        words = f"normalize={normalize}, a negative weight".lower()
        why = "negative weight" if normalize else ""
        yield _case("ties", words, negative, {"normalize": normalize}, known=why)
        yield _case("task_arithmetic", words, negative, {"normalize": normalize})
    few = _with(_WEIGHTS, density=0.01)
    yield _case("ties", "density 0.01", few, {}, known=known)
    yield _case("breadcrumbs", "density 0.01", few, {}, known="fewer than one")
    none: Sequence[Mapping[str, Any]] = ({}, {}, {})
    for count in (2, 3):
        yield _case("model_stock", f"{count} models", none[:count], {}, exact=True)
        yield _case("karcher", f"{count} models", none[:count], {}, base=False, exact=True)
    yield _case("karcher", "3 models, max_iter=3", none, {"max_iter": 3, "tol": 1e-8}, base=False, exact=True)
    yield _case("model_stock", "3 models, short deltas", none, {}, inputs="short", known="least length")
    for t in (0.3, [0.2, 0.9], [{"filter": "SelfAttention", "value": [0, 0.5, 1]}, {"value": 0.4}]):
        words = "t=0.3" if t == 0.3 else "t by gradient" if t == [0.2, 0.9] else "t by filter, gradient"
        yield _case("slerp", words, none[:1], {"t": t}, exact=True)
    for method in ("dare_linear", "dare_ties", "della_linear", "della"):
        own = [{"weight": 1.0, "density": 0.6}]
        yield _case(method, "density 0.6, one model", own, {"normalize": False}, known=method.split("_")[0])
    controls: Sequence[tuple[str, Sequence[Mapping[str, Any]], Mapping[str, Any], str]] = (
        ("model_stock", none, {}, "method.negative=base"),
        ("ties", _with(_WEIGHTS, density=0.4), {}, "method.keep=round"),
        ("ties", _with(_WEIGHTS, density=0.4), {}, "method.scope=model"),
        ("task_arithmetic", _WEIGHTS, {}, "method.scaling_factor=0.3"),
    )
    for method, models, parameters, words in controls:
        yield _case(method, words, models, parameters, control=True, settings={"words": [words]})


def _with(models: Sequence[Mapping[str, Any]], **more: Any) -> list[dict[str, Any]]:
    return [{**each, **more} for each in models]


def _case(
    method: str,
    words: str,
    models: Sequence[Mapping[str, Any]],
    parameters: Mapping[str, Any],
    *,
    base: bool = True,
    **more: Any,
) -> Case:
    document = {"merge_method": method, "models": list(models), "parameters": dict(parameters)}
    said = {key: [each[key] for each in models if key in each] for key in ("weight", "density")}
    settings = {"weights": said["weight"], "density": said["density"][0] if said["density"] else 1.0}
    more["settings"] = {**settings, **more.get("settings", {})}
    return Case(method=method, words=words, arguments=document, base=base, num_models=len(models), **more)


def document_of(case: Case, base: Path, models: Sequence[ModelInput], *, dtype: str = "float32") -> str:
    """The file of a case, for both; JSON is YAML.

    slerp goes from the base to a model, and lists both.
    """
    own = [
        {"model": str(model.folder), "parameters": parameters}
        for model, parameters in zip(models, case.arguments["models"], strict=True)
    ]
    if case.method == "slerp":
        own = [{"model": str(base)}, *({"model": each["model"]} for each in own)]
    document = {**case.arguments, "models": own, "dtype": dtype}
    return json.dumps(document | ({"base_model": str(base)} if case.base else {}), indent=1)


def run_mergekit(binary: str, document: str, folder: Path) -> dict[str, Any]:
    """What mergekit makes of a file: its tensors.

    Args:
        binary: mergekit-yaml.
        document: the file's content.
        folder: an empty one to work in.
    """
    (folder / "config.yml").write_text(document, encoding="utf-8")
    words = [str(folder / "config.yml"), str(folder / "out"), "--no-copy-tokenizer", "--quiet"]
    words += ["--random-seed", "0"]
    done = subprocess.run([binary, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"mergekit failed on\n{document}\n{done.stderr[-4000:]}")
    found: dict[str, Any] = {}
    for file in sorted((folder / "out").glob("*.safetensors")):
        found |= load_file(file)
    return found
