"""`ramekin fuse`."""

from ramekin.cli.words import command

__all__ = ["fuse"]

fuse = command(
    "fuse",
    "FuseConfig",
    """Merge a pool of models and evaluate it: FusionBench's sentence.

    Example: ramekin fuse method=task_arithmetic method.scaling_factor=0.3
    modelpool=Seq2SeqLMPool/flan-t5-base_glue taskpool=flan-t5_glue_text_generation
    report_save_path=out.json

    Checkpoints are looked for below hub_root=DIR (folders named by hub id), then on the hub.
    """,
)
