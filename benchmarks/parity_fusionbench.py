"""FusionBench's side of `merge_parity.py`: what it merges, through its public classes and functions.

    PEER_PYTHON benchmarks/parity_fusionbench.py JOB

Runs in an interpreter with fusion-bench 0.2.33, where ramekin is not. JOB is a JSON file: the models'
folders, and of each case what is run, by the name of a function here, and where its tensors are left.
"""

import contextlib
import copy
import io
import json
import logging
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSeq2SeqLM
from transformers import logging as transformers_logging

with contextlib.redirect_stdout(io.StringIO()):
    from fusion_bench import BaseModelPool, method
    from fusion_bench.method.dare import DareSimpleAverage, DareTaskArithmetic, DareTiesMerging
    from fusion_bench.method.emr_merging.emr_merging import EMRMerging
    from fusion_bench.method.fisher_merging.fisher_merging import (
        FisherMergingAlgorithm,
        merging_with_fisher_weights,
    )
    from fusion_bench.method.isotropic_merging import ISO_C_Merge, ISO_CTS_Merge
    from fusion_bench.method.knots.knots_utils import subspace_alignment
    from fusion_bench.method.magmax.magmax import MagMaxAlgorithm
    from fusion_bench.method.model_stock import ModelStock
    from fusion_bench.method.regmean.regmean import RegMeanAlgorithm
    from fusion_bench.method.regmean_plusplus import regmean_plusplus
    from fusion_bench.method.singular_value_calibration import SingularValueCalibrationWithBaseMethod
    from fusion_bench.method.slerp.slerp import SlerpMergeAlgorithm
    from fusion_bench.method.tall_mask import utils as tall_mask
    from fusion_bench.method.task_singular_vector import TaskSingularVectorMerging
    from fusion_bench.method.ties_merging.ties_merging_utils import ties_merging
    from fusion_bench.method.wudi.wudi import WUDIMerging
    from fusion_bench.models.wrappers.layer_wise_fusion import LayerWiseMergedModel

ALGORITHMS = {
    "average": method.SimpleAverageAlgorithm,
    "weighted": method.WeightedAverageAlgorithm,
    "arithmetic": method.TaskArithmeticAlgorithm,
    "ties": method.TiesMergingAlgorithm,
    "dare_average": DareSimpleAverage,
    "dare": DareTaskArithmetic,
    "dare_ties": DareTiesMerging,
    "model_stock": ModelStock,
    "slerp": SlerpMergeAlgorithm,
    "magmax": MagMaxAlgorithm,
    "expo": method.ExPOAlgorithm,
    "tsv": TaskSingularVectorMerging,
    "iso_c": ISO_C_Merge,
    "iso_cts": ISO_CTS_Merge,
    "wudi": WUDIMerging,
}


class Pool(BaseModelPool):
    """A pool of models without data sets: the statistics are given."""

    def load_train_dataset(self, dataset_name, *args, **kwargs):
        """None: nothing asks for rows."""


class Fisher(FisherMergingAlgorithm):
    """Its Fisher merging with given Fisher information."""

    given = None

    def get_fisher_weights(self, model_name, model, train_dataset, param_names_to_merge):
        """What was given of a model, a tied tensor under each of its names."""
        kept = {id(p): name for name, p in model.named_parameters()}
        names = {name: kept[id(p)] for name, p in model.state_dict(keep_vars=True).items()}
        return {name: self.given[model_name][names[name]] for name in param_names_to_merge}


class RegMean(RegMeanAlgorithm):
    """Its RegMean with given Gram matrices."""

    given = None

    def get_regmean_weights(self, model_name, model, train_dataset, linear_modules_to_merge):
        """What was given of a model."""
        return {
            name: gram for name, gram in self.given[model_name].items() if name in linear_modules_to_merge
        }


def models_of(job, case):
    """The models of a case, the base as `_pretrained_` unless it does without.

    In float64 a model is the base plus its delta as float32 has it, which is what float32 merges.
    """
    folders = dict(list(job["inputs"][case["inputs"]].items())[: case["num_models"]])
    models = {name: AutoModelForSeq2SeqLM.from_pretrained(place) for name, place in folders.items()}
    base = AutoModelForSeq2SeqLM.from_pretrained(job["base"])
    if case["float64"]:
        start = {name: p.detach().clone() for name, p in base.named_parameters()}
        base.double()
        for model in models.values():
            deltas = {name: p.detach() - start[name] for name, p in model.named_parameters()}
            model.double()
            for name, p in model.named_parameters():
                p.data = p.data if not case["base"] else start[name].double() + deltas[name].double()
    return models | ({"_pretrained_": base} if case["base"] else {})


def statistics_of(job, case):
    """The given statistics, model by model."""
    dtype = torch.float64 if case["float64"] else torch.float32
    files = {name: job["statistics"][name][case["statistics"]] for name in job["inputs"][case["inputs"]]}
    return {name: {k: v.to(dtype) for k, v in load_file(file).items()} for name, file in files.items()}


def split(models):
    """The base and the tuned models, as tensors by name, each stored once."""
    found = {key: {name: p.detach() for name, p in model.named_parameters()} for key, model in models.items()}
    return found.pop("_pretrained_"), list(found.values())


def deltas_of(models):
    base, tuned = split(models)
    return base, [{name: model[name] - base[name] for name in base} for model in tuned]


def algorithm(job, case):
    """One of its algorithms, on a pool."""
    return ALGORITHMS[case["name"]](**case["arguments"]).run(BaseModelPool(models_of(job, case)))


def emr(job, case):
    """The base plus the unified vector of its EMR model."""
    models = models_of(job, case)
    base = {name: p.clone() for name, p in models["_pretrained_"].state_dict().items()}
    unified = EMRMerging().run(BaseModelPool(models)).unified_task_vector.state_dict()
    return {name: p + unified[name] for name, p in base.items()}


def consensus(job, case):
    """The base plus the sum of the deltas where its consensus mask is.

    The function that makes the mask reads masks that were stored as pickles, which torch no longer loads:
    it is handed the masks.
    """
    base, deltas = deltas_of(models_of(job, case))
    flat = torch.stack([tall_mask.state_dict_to_vector(each) for each in deltas])
    flat_base = tall_mask.state_dict_to_vector(base)
    masks = tall_mask.generate_task_masks(
        flat, flat_base + flat, flat_base, tall_mask_lambda=case["arguments"]["tall_mask_lambda"]
    )
    # It writes into the tensors that it is given as a model of the shapes: each mask needs its own.
    stored = {
        str(place): tall_mask.vector_to_state_dict(mask, copy.deepcopy(base))
        for place, mask in enumerate(masks)
    }
    tall_mask.load_tall_mask = lambda *_: stored
    mask = tall_mask.construct_consensus_mask(base, case["arguments"]["prun_thre_k"], None)
    merged = flat_base + case["arguments"]["scaling_factor"] * mask * flat.sum(0)
    return tall_mask.vector_to_state_dict(merged, copy.deepcopy(base))


def layer_wise(job, case):
    """Its layer-wise merged model with given weights: of a model the first whose key is in a name."""
    models = models_of(job, case)
    base = models.pop("_pretrained_")
    names = [name for name, _ in base.named_parameters()]
    weights = torch.tensor(
        [
            [next(value for part, value in own.items() if part in name) for name in names]
            for own in case["arguments"]
        ]
    )
    return LayerWiseMergedModel(weights, base, list(models.values())).merge_and_unload()


def calibrated(job, case):
    """Its singular value calibration after another of its algorithms."""
    arguments = dict(case["arguments"])
    first = ALGORITHMS[case["name"]](**arguments.pop("first"))
    pool = BaseModelPool(models_of(job, case))
    # Its algorithms may write into the models of a pool; the calibration needs them as they were.
    merged = first.run(BaseModelPool(models_of(job, case)))
    algorithm = SingularValueCalibrationWithBaseMethod(base_method=_Made(merged), **arguments)
    return algorithm.run(pool)


class _Made:
    """A method that has been run."""

    def __init__(self, merged):
        self.merged = merged

    def run(self, pool):
        return self.merged


def knots(job, case):
    """The matrices of layers in its shared directions, merged there by its TIES, and turned back."""
    base, deltas = deltas_of(models_of(job, case))
    names = case["arguments"]["matrices"]
    turned = {}
    rows = [[] for _ in deltas]
    for name in names:
        left, values, right = subspace_alignment([each[name] for each in deltas])
        turned[name] = left
        for row, own in zip(rows, right, strict=True):
            row.append(values[:, None] * own)
    flat = torch.stack([torch.cat([part.reshape(-1) for part in row]) for row in rows])
    merged = ties_merging(flat, case["arguments"]["threshold"], case["arguments"]["merge_func"])
    found, start = {}, 0
    for name, part in zip(names, rows[0], strict=True):
        own = merged[start : start + part.numel()].reshape(part.shape)
        start += part.numel()
        found[name] = base[name] + case["arguments"]["scaling_factor"] * turned[name] @ own
    return found


def fisher(job, case):
    """Its Fisher merging of given information, every tensor counted once as its `fisher_merging` does."""
    models = models_of(job, case)
    base, tuned = split(models)
    return merging_with_fisher_weights(
        {name: [model[name] for model in tuned] for name in base},
        list(statistics_of(job, case).values()),
        torch.ones(len(tuned)) / len(tuned),
        **case["arguments"],
    )


def fisher_class(job, case):
    """The same by its class, which goes through a state_dict, where a tied tensor stands several times."""
    made = Fisher(exclude_param_names_regex=[], num_fisher_examples=1, **case["arguments"])
    made.given = statistics_of(job, case)
    return made.run(Pool(models_of(job, case)))


def regmean(job, case):
    """Its RegMean of given Gram matrices."""
    made = RegMean(
        num_regmean_examples=1, exclude_param_names_regex=[], weight_transpose=True, **case["arguments"]
    )
    made.given = {name: _by_module(grams) for name, grams in statistics_of(job, case).items()}
    return made.run(Pool(models_of(job, case)))


def regmean_plus_plus(job, case):
    """The solve of its RegMean++, for given Gram matrices."""
    base, tuned = split(models_of(job, case))
    return regmean_plusplus.merging_with_regmean_weights(
        {name: [model[name] for model in tuned] for name in base},
        [_by_module(grams) for grams in statistics_of(job, case).values()],
        **case["arguments"],
    )


def _by_module(grams):
    return {name.removesuffix(".weight"): gram for name, gram in grams.items()}


RUNS = {
    function.__name__: function
    for function in (
        algorithm,
        emr,
        consensus,
        layer_wise,
        calibrated,
        knots,
        fisher,
        fisher_class,
        regmean,
        regmean_plus_plus,
    )
}


def main(path):
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    logging.disable(logging.WARNING)
    transformers_logging.set_verbosity_error()
    for case in job["cases"]:
        torch.manual_seed(case["seed"])
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            merged = RUNS[case["run"]](job, case)
        tensors = merged.state_dict() if isinstance(merged, torch.nn.Module) else merged
        save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, case["output"])


if __name__ == "__main__":
    main(sys.argv[1])
