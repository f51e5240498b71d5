"""The small world that tests share: tiny stand-in checkpoints named by hub id, and GLUE-shaped rows.

Everything is made from a seed in a temporary folder; nothing is downloaded, and the network is closed.
"""

import json
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import hypothesis
import pytest

# A busy machine is slow now and then; that is no failure of the property.
hypothesis.settings.register_profile("ramekin", deadline=None, max_examples=50)
hypothesis.settings.load_profile("ramekin")

TASKS = ("cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb")
SPLITS = {"mnli": "validation_matched"}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may open a connection beyond this machine."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise OSError(f"the network is closed in tests: {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("RAMEKIN_DATA", "RAMEKIN_HUB", "RAMEKIN_CACHE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def glue_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a few rows of each GLUE task, taken from the synthetic world."""
    from ramekin.sources.world import generate

    root = tmp_path_factory.mktemp("data")
    for task in TASKS:
        folder = root / "glue" / task
        folder.mkdir(parents=True)
        for split, name, count in (
            ("train", "train", 24),
            ("validation", SPLITS.get(task, "validation"), 12),
        ):
            rows = generate(task, split, n=count, seed=3)
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


OWN_TASK = """
source: {{local: own/wet, obtain: made here, splits: {{{split}: {split}}}}}
columns: {{text: string, label: integer}}
kind: classification
options: {options}
answer: label
metrics: [accuracy]
templates:
  ask: "Is it wet? {{{{ text }}}} ||| {{{{ answer }}}}"
turned_around:
  write: "Write what is wet: {{{{ answer }}}} ||| {{{{ text }}}}"
"""


@pytest.fixture
def own_task(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Writes a task of the user's own, `own/wet`: its file below `tasks`, its rows below `own/wet`."""

    def write(
        rows: Sequence[tuple[str, int]], *, options: Sequence[str] = ("no", "yes"), split: str = "train"
    ) -> tuple[Path, Path]:
        task, data = tmp_path / "tasks/own/wet.yaml", tmp_path / f"own/wet/{split}.jsonl"
        for path in (task, data):
            path.parent.mkdir(parents=True)
        task.write_text(OWN_TASK.format(split=split, options=json.dumps(list(options))))
        data.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
        return task, data

    return write


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory, glue_root: Path) -> Path:
    """A tiny vocabulary trained on the prompts of the eight tasks."""
    from ramekin.catalog import load_task
    from ramekin.tensors.tokenizer import save_tokenizer, train_tokenizer
    from ramekin.text.render import render

    texts = []
    for name in TASKS:
        task = load_task(f"glue/{name}")
        for path in (glue_root / "glue" / name).glob("*.jsonl"):
            for row, line in enumerate(path.read_text().splitlines()):
                example = render(task, json.loads(line), split="train", row=row)
                texts += [example.inputs, example.targets]
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(train_tokenizer(texts, vocab_size=260), folder)
    return folder


@pytest.fixture(scope="session")
def make_checkpoint(tokenizer_folder: Path) -> Callable[..., Path]:
    """Makes a tiny untied Flan-T5-shaped checkpoint; `like` takes that one's weights, a little changed."""

    def make(folder: Path, *, seed: int, like: Path | None = None, tied: bool = False) -> Path:
        import torch

        from ramekin.tensors.tokenizer import load_tokenizer
        from ramekin.weights.checkpoint import save_checkpoint
        from ramekin.weights.config import t5_config
        from ramekin.weights.lineage import Lineage
        from ramekin.weights.seq2seq import build_model, load_model, set_tensors, tensors_of

        vocab_size = len(load_tokenizer(tokenizer_folder))
        config = t5_config(vocab_size=vocab_size, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2)
        model = build_model(config, seed=seed, tied=tied) if like is None else load_model(like)
        if like is not None:
            generator = torch.Generator().manual_seed(seed)
            changed = {
                name: tensor + 0.05 * tensor.std() * torch.randn(tensor.shape, generator=generator)
                for name, tensor in tensors_of(model).items()
            }
            set_tensors(model, changed)
        lineage = Lineage(kind="dense", operation="stand-in", seed=seed)
        save_checkpoint(model, folder, tokenizer_folder=tokenizer_folder, lineage=lineage)
        return folder

    return make


@pytest.fixture(scope="session")
def hub_root(tmp_path_factory: pytest.TempPathFactory, make_checkpoint: Callable[..., Path]) -> Path:
    """Tiny stand-ins for every checkpoint of the FusionBench page, below their hub ids."""
    import torch

    from ramekin.weights.adapter import LoraRecipe, attach_lora, save_adapter
    from ramekin.weights.lineage import Lineage
    from ramekin.weights.seq2seq import load_model

    root = tmp_path_factory.mktemp("hub")
    for size in ("base", "large"):
        base = make_checkpoint(root / f"google/flan-t5-{size}", seed=0 if size == "base" else 100)
        for seed, task in enumerate(TASKS, start=1):
            if size == "base":
                make_checkpoint(root / f"tanganke/flan-t5-base_glue-{task}", seed=seed, like=base)
            peft_model = attach_lora(load_model(base), LoraRecipe(rank=4, alpha=8), seed=seed)
            generator = torch.Generator().manual_seed(seed)
            for name, parameter in peft_model.named_parameters():
                if "lora_B" in name:
                    parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
            save_adapter(
                peft_model,
                root / f"tanganke/flan-t5-{size}_glue-{task}_lora-16",
                base=f"google/flan-t5-{size}",
                lineage=Lineage(kind="adapter", operation="stand-in", base=f"google/flan-t5-{size}"),
            )
    return root


@pytest.fixture
def ramekin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs `ramekin WORDS…` in this process: exit code, stdout and stderr."""
    import sys

    from ramekin.cli import main

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ramekin", *map(str, words)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
        out = capsys.readouterr()
        return code, out.out, out.err

    return run
