"""`ramekin train`."""

from ramekin.cli.words import command

__all__ = ["train"]

train = command(
    "train",
    "TrainConfig",
    """Fine-tune a model on tasks or a mixture, whole or with an adapter.

    Example: ramekin train model=google/flan-t5-base task=glue/rte adapter=lora output=runs/rte

    Example: ramekin train model=mini/base task=mini/rte max_steps=200 optimizer=adafactor
    learning_rate=5e-3 dropout=0 output=runs/mini-rte

    The same command continues its own unfinished run (resume=auto). On several GPUs or machines: accelerate
    launch -m ramekin train …; see docs/multi-node.md.
    """,
    of_several=True,
)
