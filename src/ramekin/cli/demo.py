"""`ramekin demo`."""

from ramekin.cli.run import run
from ramekin.cli.words import AsJson, ConfigFile, Debug, DryRun, Words

__all__ = ["demo"]


def demo(
    words: Words = None,
    config: ConfigFile = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """The whole road on the built-in synthetic world, offline: train, merge, evaluate, report.

    Example: ramekin demo

    Example: ramekin demo seed=1 output=runs/demo
    """
    run(["recipe=demo", *(words or ())], config=config, dry_run=dry_run, as_json=as_json, debug=debug)
