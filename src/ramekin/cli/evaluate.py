"""`ramekin evaluate`, and where two evaluations part."""

from typing import Annotated

import typer

from ramekin.cli.words import AsJson, ConfigFile, Debug, Words, command, emit, refuse_several

__all__ = ["diff", "evaluate"]

evaluate = command(
    "evaluate",
    "EvaluateConfig",
    """Evaluate a model on tasks; a killed evaluation continues.

    Example: ramekin evaluate model=runs/ties tasks=[glue/rte,glue/cola] data_root=DIR output=runs/ties-eval

    formats=[lm_eval,fusionbench] writes the results in those tools' layouts, too.
    """,
    module="evaluate_schema",
)


def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="The output folder of an evaluation.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another, of the same rows.")],
    words: Words = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show where two models part: what B has gained and lost over A, task by task and row by row.

    Example: ramekin evaluate diff runs/base-eval runs/tuned-eval output=runs/diff

    Example: ramekin evaluate diff runs/both/base runs/both/tuned task=glue/rte only=a_right show=5

    Differences are paired, with 95 % intervals and p-values, of several tasks also adjusted by Holm. Rows:
    only=a_right, b_right or both_wrong; show=20 of them, those first where the right option's probability
    changes most. output=DIR writes diff.jsonl with all rows and a report. Both must have answered the same
    rows by the same rules and in the same words; prompts=any lets the words differ.
    """
    from ramekin.recipes.compose import compose, words_of
    from ramekin.recipes.evaluate_diff_schema import DiffConfig

    refuse_several("evaluate diff")
    asked = [*words_of({"first": first, "second": second}), *(words or ())]
    settings = compose("evaluate_diff", DiffConfig, asked, config_file=config)
    from ramekin.recipes.evaluate_diff import diff as compared

    result = compared(settings)
    emit(result.to_json(), result.text(), as_json=as_json)
