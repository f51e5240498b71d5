"""The peers that evaluate beside ramekin: their environments, and a process that does what it is told.

A peer loads its model once and then does one thing after another, so that its repetitions and ramekin's can
take turns. It takes its own time, from what a user of it would hand over to what that user would get back.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import transformers

__all__ = ["FUSIONBENCH", "LM_EVAL", "REQUIREMENTS", "Peer", "environment", "is_made"]

# torch first, so that the peer draws in no other build; the rest at once, so that it fits together.
REQUIREMENTS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "lmeval": (("torch==2.13.0",), ("lm_eval[hf]==0.4.13", f"transformers=={transformers.__version__}")),
    "fusionbench": (("torch==2.13.0",), ("fusion-bench==0.2.33", "transformers==4.57.1")),
}
"""FusionBench passes no attention mask, which transformers infers from the padding up to 4.57 only."""

_LISTEN = """
import json, os, sys, time
job = json.loads(sys.argv[1])
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what a library prints is no answer

import torch
torch.set_num_threads(job["threads"])

class Watch:
    def __enter__(self):
        self.started, self.cpu_started = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_):
        self.seconds = time.perf_counter() - self.started
        self.cpu_seconds = time.process_time() - self.cpu_started

    def told(self):
        return {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds}

def listen(operations):
    answers.write("{}\\n")
    answers.flush()
    for line in sys.stdin:
        request = json.loads(line)
        answers.write(json.dumps(operations[request.pop("do")](**request)) + "\\n")
        answers.flush()
"""

LM_EVAL = (
    _LISTEN
    + """
import copy
from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.loggers import EvaluationTracker
from lm_eval.models.huggingface import HFLM
from safetensors.torch import load_file
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

METRICS = ("acc", "acc_norm", "acc_bytes", "acc_mutual_info")
tokenizer = AutoTokenizer.from_pretrained(job["model"])
head = load_file(os.path.join(job["model"], "model.safetensors"))["lm_head.weight"]
made = {}

def model(mended):
    if mended not in made:
        plain = AutoModelForSeq2SeqLM.from_pretrained(job["model"])
        if mended:
            plain.config.tie_word_embeddings = False  # else HFLM() replaces the head by the embedding
        made[mended] = HFLM(
            pretrained=plain, tokenizer=tokenizer, backend="seq2seq", max_length=job["max_length"]
        )
        own = torch.equal(made[mended].model.lm_head.weight, head)
        assert own == mended, f"the head is its own: {own}"
    return made[mended]

def rows_of(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]

def rank(rows, batch_size, mended=True):
    found, rows = model(mended), rows_of(rows)
    found.batch_size_per_gpu = batch_size
    found.softmax_dtype = None
    with Watch() as watch:
        asked = [
            Instance("loglikelihood", row, (row["text"], " " + option), place)
            for row in rows
            for place, option in enumerate(row["options"])
        ]
        answered = iter(found.loglikelihood(asked, disable_tqdm=True))
        values = [[next(answered)[0] for _ in row["options"]] for row in rows]
    return {**watch.told(), "log_probs": values}

def evaluate(rows, batch_size, mended=True, exact=True, output=None):
    found = model(mended)
    found.batch_size_per_gpu = batch_size
    found.softmax_dtype = torch.float64 if exact else None
    tasks = [{
        "task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"validation": path}},
        "validation_split": "validation", "output_type": "multiple_choice", "doc_to_text": "text",
        "doc_to_target": "gold", "doc_to_choice": "options",
        "metric_list": [{"metric": m, "aggregation": "mean", "higher_is_better": True} for m in METRICS],
        "metadata": {"version": 1.0},
    } for name, path in rows.items()]
    tracker = EvaluationTracker(output_path=output) if output else None
    results = simple_evaluate(
        model=found, tasks=tasks, log_samples=True, evaluation_tracker=tracker, bootstrap_iters=1000
    )
    samples = results.pop("samples")
    told = {
        name: {
            "metrics": {m: results["results"][name][m + ",none"] for m in METRICS},
            "rows": [{m: sample[m] for m in METRICS} for sample in samples[name]],
            "log_probs": [[pair[0] for pair in sample["filtered_resps"]] for sample in samples[name]],
        }
        for name in rows
    }
    if tracker:
        tracker.save_results_aggregated(results=results, samples=samples)
        for name in samples:
            tracker.save_results_samples(task_name=name, samples=samples[name])
    return told

listen({"rank": rank, "evaluate": evaluate})
"""
)
"""lm-eval's seq2seq path: the log-likelihood of pairs of texts, and whole tasks by its own evaluator."""

FUSIONBENCH = (
    _LISTEN
    + """
from pathlib import Path
os.environ["HF_DATASETS_OFFLINE"] = "1"
import datasets
from omegaconf import OmegaConf
from transformers import T5ForConditionalGeneration
import fusion_bench.tasks.flan_t5_text_generation.glue_load_dataset as glue
from fusion_bench.compat.taskpool.flan_t5_glue_text_generation import FlanT5GLUETextGenerationTaskPool

def local_rows(path, name):
    # The pool maps every split of load_dataset("glue", name) and reads train's columns: train is there too.
    rows = datasets.Dataset.from_parquet(str(Path(job["data_root"]) / "glue" / name / "validation.parquet"))
    return datasets.DatasetDict(validation=rows, train=rows.select(range(1)))

glue.load_dataset = local_rows
mapped = datasets.DatasetDict.map
# num_proc=1 forks, and a fork beside torch's and the tokenizer's threads can hang.
datasets.DatasetDict.map = lambda self, *args, num_proc=None, **kwargs: mapped(self, *args, **kwargs)
pool = FlanT5GLUETextGenerationTaskPool(OmegaConf.create({
    "name": "flan-t5_glue_text_generation",
    "tasks": [{"name": n, "dataset": {"name": n, "split": "validation"}} for n in job["tasks"]],
    "tokenizer": job["tokenizer"], "cache_dir": None, "batch_size": 32, "num_workers": 0,
}))
plain = T5ForConditionalGeneration.from_pretrained(job["model"])
generate, written = plain.generate, []

def recorded(*args, **kwargs):
    written.extend((rows := generate(*args, **kwargs)).tolist())
    return rows

plain.generate = recorded
model = pool.fabric.setup(plain)
tasks = {name: pool.load_task(name) for name in job["tasks"]}
for each in tasks.values():
    each.test_dataset  # encoded and padded beforehand

def evaluate(task):
    written.clear()
    with Watch() as watch, torch.no_grad():
        report = tasks[task].evaluate(model)
    texts = pool.tokenizer.batch_decode(written, skip_special_tokens=True)
    return {**watch.told(), "report": report, "texts": texts}

listen({"evaluate": evaluate})
"""
)
"""FusionBench's Flan-T5 task pool on local rows of GLUE, task by task."""


@final
class Peer:
    """A peer's process, told what to do line by line.

    Args:
        python: of its environment.
        driver: what it runs: one of this module's.
        job: what the driver is told at first; `threads` is added.
        folder: where its words go, and what it keeps.
        threads: of torch.
    """

    def __init__(
        self, python: Path, driver: str, job: Mapping[str, Any], folder: Path, *, threads: int
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "log.txt"
        script = folder / "driver.py"
        script.write_text(driver, encoding="utf-8")
        environment = {
            **{key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
            "OMP_NUM_THREADS": str(threads),
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": str(folder / "huggingface"),
            "TOKENIZERS_PARALLELISM": "false",
        }
        with self._log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [str(python), str(script), json.dumps({**job, "threads": threads})],
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
            )
        self._answer()

    def ask(self, do: str, **what: Any) -> Any:
        """Let it do something and wait for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **what}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        if error is not None:
            self._process.kill()
        self._process.wait()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            said = self._log.read_text(encoding="utf-8", errors="replace")
            raise SystemExit(f"the peer ended:\n{said[-4000:]}")
        return json.loads(line)


def is_made(folder: Path) -> bool:
    """Whether an environment is there."""
    return (folder / "bin" / "python").exists()


def environment(folder: Path, requirements: Sequence[Sequence[str]]) -> Path:
    """The python of an environment, made if it is not there yet."""
    python = folder / "bin" / "python"
    if not is_made(folder):
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        for together in requirements:
            subprocess.run([str(python), "-m", "pip", "install", "-q", *together], check=True)
    return python
