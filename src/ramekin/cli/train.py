"""`ramekin train`."""

from ramekin.cli.words import AsJson, ConfigFile, Debug, DryRun, Words, run_verb

__all__ = ["train"]


def train(
    words: Words = None,
    config: ConfigFile = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Fine-tune a model on tasks, whole or with a LoRA adapter.

    Example: ramekin train model=google/flan-t5-base task=glue/rte adapter=lora output=runs/rte

    Example: ramekin train model=mini/base task=mini/rte max_steps=200 learning_rate=1e-3 output=runs/mini-rte

    The same command continues its own unfinished run (resume=auto).
    """
    run_verb("train", "TrainConfig", words or (), config=config, dry_run=dry_run, as_json=as_json)
