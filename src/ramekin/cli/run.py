"""`ramekin run`: a road, or a training recipe, which `ramekin train` carries out."""

from ramekin.cli.words import AsJson, ConfigFile, Debug, DryRun, Words, command

__all__ = ["run"]

_road = command("run", "RunConfig", "")
_training = command("train", "TrainConfig", "")


def run(
    words: Words = None,
    config: ConfigFile = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Run a whole recipe: a road from base to report, or a published system's training.

    Example: ramekin run recipe=real_text data_root=DIR output=runs/real-text

    Example: ramekin run recipe=t0/t0_3b tiny=true output=runs/t0_3b (as with ramekin train)
    """
    from ramekin.recipes.compose import chosen_option
    from ramekin.recipes.groups import recipe_verb

    name = chosen_option("recipe", words or (), config)
    is_training = name is not None and recipe_verb(name) == "train"
    (_training if is_training else _road)(words, config, dry_run, as_json, debug)
