"""ramekin: instruction-tune, merge, evaluate and serve text-to-text language models.

The public surface. Every name is imported when it is first used, so that `import ramekin` costs nothing.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

# Public name: where it is. A name may not be a unit's: `ramekin.merge` is the subpackage.
_HOMES = {
    "Adjustments": "ramekin.text.mixing.adjustments:Adjustments",
    "CTranslateEngine": "ramekin.infer.ctranslate_engine:CTranslateEngine",
    "Catalog": "ramekin.catalog:Catalog",
    "Decoding": "ramekin.infer.decoding:Decoding",
    "Encoded": "ramekin.tensors.encode:Encoded",
    "EvalSet": "ramekin.evaluate.sets:EvalSet",
    "Example": "ramekin.text.example:Example",
    "Form": "ramekin.infer.request:Form",
    "Mixture": "ramekin.text.mixing.mixture:Mixture",
    "MixtureDraws": "ramekin.text.mixing.draws:MixtureDraws",
    "Prompting": "ramekin.text.prompting.prompt:Prompting",
    "RamekinError": "ramekin.errors:RamekinError",
    "Recipe": "ramekin.train.recipe:Recipe",
    "Request": "ramekin.infer.request:Request",
    "Score": "ramekin.text.score:Score",
    "Style": "ramekin.text.render:Style",
    "Suite": "ramekin.text.suite:Suite",
    "Task": "ramekin.text.task:Task",
    "Template": "ramekin.text.template:Template",
    "TorchEngine": "ramekin.infer.torch_engine:TorchEngine",
    "decode": "ramekin.infer.generate:decode",
    "encode": "ramekin.tensors.encode:encode",
    "evaluate_model": "ramekin.evaluate.runner:evaluate",
    "evaluate_suite": "ramekin.recipes.evaluations.suite:evaluate_suite",
    "finetune": "ramekin.train.loop:finetune",
    "generate": "ramekin.infer.generate:generate",
    "hold_out": "ramekin.text.clusters:hold_out",
    "load_mixture": "ramekin.catalog.mixtures:load_mixture",
    "load_model": "ramekin.weights.seq2seq:load_model",
    "load_suite": "ramekin.catalog.suites:load_suite",
    "load_task": "ramekin.catalog:load_task",
    "load_tokenizer": "ramekin.tensors.tokenizer:load_tokenizer",
    "merge_checkpoints": "ramekin.merge.run:merge",
    "mix": "ramekin.text.mixing.rates:mix",
    "mixture_names": "ramekin.catalog.mixtures:mixture_names",
    "prompt": "ramekin.text.prompting.prompt:prompt",
    "rank": "ramekin.infer.rank:rank",
    "read_records": "ramekin.sources.records:read_records",
    "render": "ramekin.text.render:render",
    "render_spans": "ramekin.text.render:render_spans",
    "save_checkpoint": "ramekin.weights.checkpoint:save_checkpoint",
    "suite_names": "ramekin.catalog.suites:suite_names",
    "task_names": "ramekin.catalog:task_names",
}

__all__ = [
    "Adjustments",
    "CTranslateEngine",
    "Catalog",
    "Decoding",
    "Encoded",
    "EvalSet",
    "Example",
    "Form",
    "Mixture",
    "MixtureDraws",
    "Prompting",
    "RamekinError",
    "Recipe",
    "Request",
    "Score",
    "Style",
    "Suite",
    "Task",
    "Template",
    "TorchEngine",
    "decode",
    "encode",
    "evaluate_model",
    "evaluate_suite",
    "finetune",
    "generate",
    "hold_out",
    "load_mixture",
    "load_model",
    "load_suite",
    "load_task",
    "load_tokenizer",
    "merge_checkpoints",
    "mix",
    "mixture_names",
    "prompt",
    "rank",
    "read_records",
    "render",
    "render_spans",
    "save_checkpoint",
    "suite_names",
    "task_names",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module, _, attribute = _HOMES[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    from ramekin.registry import nearest

    near = nearest(name, _HOMES)
    raise AttributeError(
        f"module 'ramekin' has no attribute '{name}'" + (f": did you mean '{near}'?" if near else "")
    )


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
