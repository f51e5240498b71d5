"""`ramekin fuse`."""

from ramekin.cli.words import AsJson, ConfigFile, Debug, DryRun, Words, run_verb

__all__ = ["fuse"]


def fuse(
    words: Words = None,
    config: ConfigFile = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """FusionBench's sentence: merge a pool of models and evaluate the result.

    Example: ramekin fuse method=task_arithmetic method.scaling_factor=0.3
    modelpool=Seq2SeqLMPool/flan-t5-base_glue taskpool=flan-t5_glue_text_generation
    report_save_path=out.json

    Checkpoints are looked for below hub_root=DIR (folders named by hub id), then on the hub.
    """
    run_verb("fuse", "FuseConfig", words or (), config=config, dry_run=dry_run, as_json=as_json)
