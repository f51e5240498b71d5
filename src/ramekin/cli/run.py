"""`ramekin run`."""

from ramekin.cli.words import AsJson, ConfigFile, Debug, DryRun, Words, run_verb

__all__ = ["run"]


def run(
    words: Words = None,
    config: ConfigFile = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Run a whole recipe.

    Example: ramekin run recipe=real_text data_root=DIR output=runs/real-text
    """
    run_verb("run", "RunConfig", words or (), config=config, dry_run=dry_run, as_json=as_json)
