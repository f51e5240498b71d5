"""Two small tasks with data files, a mixture of them, and the tiny vocabulary of the whole test suite."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ramekin.files import sha256_file
from ramekin.recipes.mixtures.build import How
from ramekin.recipes.mixtures.leaf import Teaching
from ramekin.recipes.mixtures.shards import Tokens
from ramekin.recipes.places import Places

TASK = """
source: {{local: own/{name}, obtain: made here, splits: {{train: train, validation: validation}}}}
columns: {{text: string, label: integer, why: string}}
kind: classification
options: ["no", "yes"]
answer: label
rationale: why
metrics: [accuracy]
templates:
  ask: "Is it {name}? {{{{ text }}}}\\n\\n{{{{ options_ }}}} ||| {{{{ answer }}}}"
  say: "{{{{ text }}}} is it {name}? ||| {{{{ answer }}}}"
turned_around:
  write: "Write what is {name}: {{{{ answer }}}} ||| {{{{ text }}}}"
"""
MIXTURE = """
description: two tasks
tasks: [own/wet, own/dry]
mixing: {kind: proportional, cap_examples: 8}
"""
WORDS = ("rain", "the cat", "a dog", "on monday", "the baker", "in the park", "snow", "the nurse")


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder with `tasks/`, data and `two.yaml`; own/wet has 10 rows, own/dry 4 (two without a reason)."""
    (tmp_path / "tasks" / "own").mkdir(parents=True)
    for name, count in (("wet", 10), ("dry", 4)):
        (tmp_path / "tasks" / "own" / f"{name}.yaml").write_text(TASK.format(name=name))
        (tmp_path / "own" / name).mkdir(parents=True)
        for split in ("train", "validation"):
            rows = [
                {
                    "text": f"{WORDS[n % 8]} {WORDS[(n * 3 + 1) % 8]}",
                    "label": n % 2,
                    "why": "" if name == "dry" and n % 2 else f"because of {WORDS[n % 8]}",
                }
                for n in range(count)
            ]
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (tmp_path / "own" / name / f"{split}.jsonl").write_text(lines)
    (tmp_path / "two.yaml").write_text(MIXTURE)
    return tmp_path


@pytest.fixture
def places(world: Path) -> Places:
    return Places(data_root=world, tasks_root=(world / "tasks",))


@pytest.fixture
def make_how(places: Places, tokenizer_folder: Path) -> Callable[..., How]:
    """How examples are made, with changes."""

    def make(**changes: object) -> How:
        tokens = Tokens(
            tokenizer_folder,
            sha256_file(tokenizer_folder / "tokenizer.json"),
            max_input_tokens=int(changes.pop("max_input_tokens", 64)),  # type: ignore[call-overload]
            max_target_tokens=32,
        )
        values = {"places": places, "seed": 0, "teaching": Teaching(), **changes}
        return How(tokens, **values)  # type: ignore[arg-type]

    return make
