"""`ramekin generate` as a user types it: prompts from everywhere, every format, kept answers, bad input."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Path]) -> Path:
    """A tiny base; the working folder is empty but for it, and answers are kept there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAMEKIN_CACHE", str(tmp_path / "cache"))
    return make_checkpoint(tmp_path / "base", seed=0)


@pytest.fixture
def generate(base: Path, ramekin: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, str]]:
    """Runs the verb on the base; gives standard output and error."""

    def run(*words: str, stdin: str = "", code: int = 0) -> tuple[str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        found, out, err = ramekin("generate", "model=base", "max_target_tokens=8", *words)
        assert found == code, err
        return out, err

    return run


def test_arguments_are_prompts_and_settings_are_shown(generate: Any) -> None:
    out, err = generate("-p", "the cat sat", "-p", "a=b, {c}: 'd' [e]")
    assert len(out.splitlines()) == 2
    assert "base: greedy, at most 8 tokens" in err
    out, err = generate("-p", "the cat sat", "sampling_top_p=0.95", "n=3", "seed=4")
    assert "sampled, temperature=1 top_k=all top_p=0.95 typical_p=1 seed=4, n=3, at most 8 tokens" in err
    assert [line.partition("  ")[0] for line in out.splitlines()] == ["1", "2", "3"]
    _, err = generate("-p", "the cat sat", "num_beams=3")
    assert "beam search, num_beams=3 length_penalty=1, at most 8 tokens" in err


def test_lines_of_standard_input_are_prompts(generate: Any) -> None:
    out, err = generate(stdin="the cat sat\n\n  a mat \n")
    one, _ = generate("-p", "the cat sat")
    two, _ = generate("-p", "a mat")
    assert out == one + two
    assert "1 blank lines were left out" in err
    _, err = generate(stdin="", code=3)
    assert "the prompt is empty: standard input" in err


def test_text_files_and_tables_are_read(generate: Any) -> None:
    Path("lines.txt").write_text("the cat sat\na mat\n")
    expected, _ = generate("file=lines.txt")
    rows = [{"prompt": "the cat sat", "id": 7}, {"prompt": "a mat", "id": 8}]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert generate("file=rows.jsonl")[0] == expected
    Path("rows.csv").write_text("id,question\n7,the cat sat\n8,a mat\n")
    assert generate("file=rows.csv", "column=question")[0] == expected
    assert generate("file=rows.csv", "template='{{ question }}'")[0] == expected
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), "rows.parquet")
    assert generate("file=rows.parquet")[0] == expected
    assert generate("file=rows.parquet", "limit=1")[0] == expected.splitlines()[0] + "\n"


def test_a_tasks_template_puts_records_into_words(generate: Any) -> None:
    rows = [{"sentence1": "it rained.", "sentence2": "it was wet."}]
    Path("rows.jsonl").write_text(json.dumps(rows[0]) + "\n")
    out, _ = generate("task=glue/rte", "template=fusionbench", "file=rows.jsonl", "format=jsonl")
    (found,) = map(json.loads, out.splitlines())
    assert "it rained." in found["prompt"] and "it was wet." in found["prompt"]
    assert found["record"] == rows[0]
    assert found["where"] == "rows.jsonl, row 1"
    from ramekin import load_task, render

    whole = render(load_task("glue/rte"), {**rows[0], "label": 1}, template="fusionbench", split="x", row=0)
    assert found["prompt"] == whole.inputs


def test_json_lines_have_everything(generate: Any) -> None:
    out, _ = generate("-p", "the cat", "n=2", "log_probs=true", "format=jsonl")
    (found,) = map(json.loads, out.splitlines())
    assert len(found["outputs"]) == 2
    for output in found["outputs"]:
        assert output["log_prob"] == pytest.approx(sum(output["token_log_probs"]))
        assert output["num_tokens"] == len(output["token_log_probs"]) <= 8
        assert output["ending"] in ("end", "length")
    out, _ = generate("-p", "the cat", "--json")
    found = json.loads(out)
    assert (found["prompts"], found["outputs"], found["failed"]) == (1, 1, 0)
    assert found["settings"] == "greedy, at most 8 tokens"


def test_a_table_is_markdown(generate: Any) -> None:
    out, _ = generate("-p", "the | cat", "-p", "mat " * 40, "format=table", "log_probs=true")
    lines = out.splitlines()
    assert [cell.strip() for cell in lines[0].split("|")][1:-1] == [
        "prompt",
        "output",
        "tokens",
        "log p",
        "ends",
    ]
    assert "the \\| cat" in lines[2]
    assert "mat mat" in lines[3] and "…" in lines[3]
    assert len(lines) == 4


def test_outputs_are_shaped(generate: Any) -> None:
    out, _ = generate("-p", "the cat", "options=[yes, no]")
    assert out.strip() in ("yes", "no")
    out, _ = generate("-p", "the cat", "prefix='the answer'")
    assert out.startswith("the answer")
    out, _ = generate("-p", "the cat", "regex='(yes|no) (yes|no)'")
    assert len(out.split()) == 2 and set(out.split()) <= {"yes", "no"}
    Path("schema.json").write_text('{"enum": [1, 2]}')
    out, _ = generate("-p", "the cat", "json_schema=schema.json")
    assert out.strip() in ("1", "2")


def test_what_was_answered_is_not_asked_again(generate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("lines.txt").write_text("the cat sat\na mat\nthe cat sat\n")
    first, _ = generate("file=lines.txt", "format=jsonl", "n=2", "log_probs=true")
    kept = sorted(Path("cache/answers").rglob("*.jsonl"))
    assert sum(len(path.read_text().splitlines()) for path in kept) == 2, "equal prompts are asked once"
    from ramekin.infer.torch_engine import TorchEngine

    monkeypatch.setattr(TorchEngine, "add", lambda *_: pytest.fail("it was asked again"))
    again, _ = generate("file=lines.txt", "format=jsonl", "n=2", "log_probs=true")
    assert again == first
    out, _ = generate("file=lines.txt", "--json", "n=2", "log_probs=true")
    assert json.loads(out)["kept"] == 3


def test_a_folder_holds_outputs_and_a_report(generate: Any) -> None:
    Path("lines.txt").write_text("the cat sat\na mat\n")
    out, _ = generate("file=lines.txt", "n=2", "output=run")
    assert "4 outputs for 2 prompts" in out and "written to run" in out
    rows = [json.loads(line) for line in Path("run/outputs.jsonl").read_text().splitlines()]
    assert [len(row["outputs"]) for row in rows] == [2, 2]
    assert Path("run/outputs.txt").read_text().startswith("1.1  ")
    report = json.loads(Path("run/report.json").read_text())
    assert report["outputs"] == 4 and "generate" in report["command"]
    _, err = generate("file=lines.txt", "n=2", "output=run", code=2)
    assert "run" in err and "overwrite" in err
    generate("file=lines.txt", "n=2", "output=run", "overwrite=true")


def test_a_dry_run_loads_no_weights(generate: Any, base: Path) -> None:
    for path in base.glob("*.safetensors"):
        path.unlink()
    out, _ = generate("-p", "the cat {x}", "--dry-run")
    assert "1 prompts from prompt" in out and "the first: the cat {x}" in out and "greedy" in out
    assert not Path("cache").exists()


def test_losses_are_told(generate: Any) -> None:
    Path("lines.txt").write_text("the cat sat on a mat and ate\nthe ~ cat\n")
    _, err = generate("file=lines.txt", "max_input_tokens=6")
    assert "of 2 prompts were cut to 6 tokens" in err
    assert "1 of 2 prompts have characters that the vocabulary does not have" in err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("n=0",), 2, "n: input should be greater than 0"),
        (("sampling_temperature=nan",), 2, "sampling_temperature"),
        (("sampling_top_p=2", "-p", "x"), 2, "top_p: expected above 0 and at most 1"),
        (("num_beams=2", "sampling_top_p=0.5", "-p", "x"), 2, "do not go together"),
        (("num_beams=100000", "-p", "x"), 2, "more beams than the vocabulary"),
        (("max_target_tokens=0", "-p", "x"), 2, "max_target_tokens"),
        (("stop=['']", "-p", "x"), 2, "stop"),
        ((r'stop=["\n"]', "-p", "x"), 2, "can never come up"),
        (("prefix='the the the the the the the the'", "-p", "x"), 2, "fewer tokens than max_new_tokens=8"),
        (("prefix='~'", "-p", "x"), 3, "the prefix cannot be written"),
        (("options=[yes]", "regex=a", "-p", "x"), 2, "an output has one form"),
        (("regex='(a'", "-p", "x"), 2, "a regular expression cannot be read"),
        (("json_schema=none.json", "-p", "x"), 3, "the JSON schema cannot be read: none.json"),
        (("file=none.txt",), 3, "cannot be read: none.txt"),
        (("file=none.pdf",), 3, "none.pdf"),
        (("file=binary.txt",), 3, "binary.txt"),
        (("file=empty.txt",), 3, "empty.txt"),
        (("file=rows.csv",), 3, "which column holds the prompts is not known"),
        (("file=rows.csv", "column=nam"), 3, "no such column: rows.csv: expected column=name"),
        (("file=rows.csv", "template=plain"), 2, "a template of one's own shows columns"),
        (("file=rows.csv", "template='{{ nam }}'"), 3, "nam"),
        (("file=rows.csv", "task=glue/rtee"), 2, "glue/rte"),
        (("task=glue/rte", "-p", "x"), 2, "a template reads the records of a file"),
        (("file=rows.csv", "-p", "x"), 2, "prompts and file: give one of them"),
        (("file=rows.jsonl", "column=name"), 3, "a prompt is no text: rows.jsonl, row 2"),
        (("-p", "  "), 3, "the prompt is empty"),
        (("modle=x", "-p", "x"), 2, "did you mean 'model'"),
        (("model=nowhere", "-p", "x"), 4, "nowhere"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_its_reason(
    generate: Any, words: tuple[str, ...], code: int, message: str
) -> None:
    Path("binary.txt").write_bytes(b"\x00\xff\xfe\x80abc\n")
    Path("empty.txt").write_bytes(b"")
    Path("rows.csv").write_text("id,name\n7,the cat\n")
    Path("rows.jsonl").write_text('{"name": "the cat"}\n{"name": 7}\n')
    out, err = generate(*words, code=code)
    assert message in err
    assert "Traceback" not in err
    assert out == ""


def test_a_prompt_of_a_million_tokens_is_refused_before_it_is_read(generate: Any) -> None:
    Path("long.txt").write_text("the cat " * 20_000)
    _, err = generate("file=long.txt", code=3)
    assert "a prompt is too long: long.txt:1: expected at most 16,384 tokens" in err
    assert "max_input_tokens=1024" in err


@pytest.mark.parametrize(
    "change",
    [
        lambda config: {**config, "auto_map": {"AutoModel": "evil.Evil"}},
        lambda config: {**config, "_attn_implementation_internal": "evil/kernel"},
        lambda config: {**config, "d_model": 2**31},
        lambda config: {**config, "model_type": "gpt2"},
    ],
)
def test_a_hostile_folder_is_refused_or_harmless(generate: Any, base: Path, change: Any) -> None:
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(change(config)))
    (base / "ramekin.json").unlink(missing_ok=True)
    started = time.perf_counter()
    if "_attn_implementation_internal" in change(config):
        generate("-p", "the cat")
    else:
        _, err = generate("-p", "the cat", code=4)
        assert "config.json" in err
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize("verb", [("generate", "-p", "x"), ("serve", "port=0")])
def test_a_hostile_folder_is_refused_before_anything_heavy_is_loaded(
    base: Path, verb: tuple[str, ...]
) -> None:
    """In half a second, where torch alone takes two."""
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil.Evil"}}))
    code = f"""
import sys
sys.argv = ["ramekin", {verb[0]!r}, "model=base", *{verb[1:]!r}]
from ramekin.cli import main
try:
    main()
except SystemExit as end:
    assert end.code == 4, end.code
assert not {{"torch", "transformers"}} & sys.modules.keys()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "config.json#auto_map" in done.stderr


def test_pickled_weights_are_refused(generate: Any, base: Path) -> None:
    for path in base.glob("*.safetensors"):
        path.rename(base / "pytorch_model.bin")
    (base / "ramekin.json").unlink(missing_ok=True)
    _, err = generate("-p", "the cat", code=4)
    assert "pytorch_model.bin" in err


def test_what_ctranslate2_has_no_memory_to_read_is_refused(
    generate: Any, ramekin: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ctranslate2")
    code, _, err = ramekin("export", "model=base", "output=fast", "threads=1")
    assert code == 0, err
    monkeypatch.setattr("ramekin.recipes.generate.free_bytes", lambda device: 1 << 20)
    long = "the cat sat " * 400
    _, err = generate("-p", "the cat", "-p", long, "model=fast", code=3)
    assert "more than half of the 0.0 GB that are free: prompt 2" in err
    assert "at most 512 tokens" in err and "max_input_tokens=512" in err
    out, _ = generate("-p", "the cat", "-p", long, "model=fast", "max_input_tokens=512")
    assert len(out.splitlines()) == 2
    generate("-p", long)  # torch reads it in parts


def test_an_exported_model_writes_the_same(generate: Any, ramekin: Run) -> None:
    pytest.importorskip("ctranslate2")
    code, _, err = ramekin("export", "model=base", "output=fast")
    assert code == 0, err
    prompts = ("-p", "the cat sat", "-p", "a mat and the cat")
    expected, _ = generate(*prompts)
    assert generate(*prompts, "model=fast")[0] == expected
    found = json.loads(generate(*prompts, "model=fast", "--json")[0])
    assert found["backend"].startswith("ctranslate2 ") and found["backend"].endswith(" float32")
    assert found["kept"] == 2
    sampled = ("n=3", "sampling_temperature=1", "seed=3")
    first, _ = generate(*prompts, *sampled, "model=fast", "answers=one")
    assert generate(*prompts, *sampled, "model=fast", "answers=two")[0] == first, "seeds are kept"
    _, err = generate(*prompts, "model=fast", "regex=a", code=2)
    assert "backend=torch" in err
    _, err = generate(*prompts, "backend=ctranslate2", code=2)
    assert "the folder holds no model for CTranslate2: base" in err and "ramekin export model=base" in err
    _, err = generate(*prompts, "model=fast", "backend=torch", code=4)
    assert "fast" in err


def test_a_conversation_at_the_terminal(generate: Any) -> None:
    typed = "the cat sat\n\n/n=2\na mat\n/model=other\n/nn=3\n/\n/n=1\nthe cat sat\n/quit\nnever\n"
    out, err = generate("--chat", "max_target_tokens=5", stdin=typed)
    alone, _ = generate("-p", "the cat sat", "max_target_tokens=5")
    lines = out.splitlines()
    assert lines[0] == lines[3] == alone.strip()
    assert len(lines) == 4
    assert "sampled, temperature=1" in err and "n=2, at most 5 tokens" in err
    assert "error: the model is open already: model" in err
    assert "error: unknown key 'nn': did you mean 'n'?" in err
    assert "(cut at 5 tokens)" in err


def test_a_killed_run_goes_on(base: Path, tmp_path: Path) -> None:
    """A kill loses what was under way; what was answered stays, and the end is that of an undisturbed run."""
    Path("lines.txt").write_text("".join(f"the cat {number} sat\n" for number in range(60)))
    command = [
        *(sys.executable, "-m", "ramekin", "generate", "model=base", "file=lines.txt", "output=run"),
        *("max_target_tokens=8", "batch_tokens=60", "threads=1", "n=2", "log_probs=true"),
    ]
    env = {**os.environ, "RAMEKIN_CACHE": str(tmp_path / "cache")}
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    answers = tmp_path / "cache" / "answers"
    while process.poll() is None and not any(path.stat().st_size for path in answers.rglob("*.jsonl")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = sum(path.read_bytes().count(b"\n") for path in answers.rglob("*.jsonl"))
    done = subprocess.run([*command, "--json"], env=env, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["kept"] >= kept > 0 or process.returncode == 0
    other = {**env, "RAMEKIN_CACHE": str(tmp_path / "other")}
    subprocess.run([*command, "output=whole"], env=other, check=True, capture_output=True)
    assert Path("run/outputs.jsonl").read_bytes() == Path("whole/outputs.jsonl").read_bytes()


def test_csv_with_commas_and_quotes(generate: Any) -> None:
    with Path("rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text"], ['the "cat", sat']])
    out, _ = generate("file=rows.csv", "format=jsonl")
    assert json.loads(out)["prompt"] == 'the "cat", sat'


PAPER = """Of Flans and Ovens

Abstract
We study how flans set. A flan of 12 eggs sets in 40 minutes.

1 Introduction
Flans have been baked for a long time. We ask how many eggs are needed.

2 Related work
None.
"""


class Parrot:
    """An engine in place of a model's, whose outputs are given."""

    pair_bytes = 0

    def __init__(self, texts: list[tuple[str, float, str]]) -> None:
        self.texts, self.tickets, self.asked = texts, [], []

    @property
    def load(self) -> Any:
        from ramekin.infer.engine import Load

        return Load(0, 0, 0)

    def add(self, request: Any, *, streams: bool = False) -> int:
        self.asked.append(request)
        self.tickets.append(len(self.asked))
        return len(self.asked)

    def close(self) -> None:
        assert not self.tickets

    def step(self) -> list[Any]:
        from ramekin.infer.request import Answered, Output

        outputs = tuple(Output(text, (5, 1), ending, (p, 0.0)) for text, p, ending in self.texts)  # type: ignore[arg-type]
        tickets, self.tickets = self.tickets, []
        return [Answered(ticket, outputs) for ticket in tickets]


@pytest.fixture
def parrot(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Parrot]:
    def put(*texts: tuple[str, float, str]) -> Parrot:
        import dataclasses

        from ramekin.recipes import engines

        open_engine, engine = engines.open_engine, Parrot(list(texts))
        monkeypatch.setattr(
            engines, "open_engine", lambda *a, **k: dataclasses.replace(open_engine(*a, **k), engine=engine)
        )
        return engine

    return put


def test_papers_become_questions_and_answers(generate: Any, parrot: Any) -> None:
    """The seed's command, on text and JSON: split, joined, ranked, and written in three forms."""
    Path("flan.txt").write_text(PAPER)
    engine = parrot(
        ("How many eggs are needed? [SEP] 12 eggs", -0.5, "end"),
        ("how many eggs are needed ?[SEP]12 eggs", -2.0, "end"),
        ("What is baked? [SEP] a spaceship", -0.1, "end"),
        ("no mark here", -0.1, "end"),
        ("What sets? [SEP] flans that are not", -0.1, "length"),
    )
    words = ("task=papers/question_answer", "n=5", "sampling_top_p=0.95", "max_target_tokens=100")
    out, err = generate(*words, "file=flan.txt", "output=run")
    (request,) = engine.asked
    assert (request.decoding.num_samples, request.decoding.top_p, request.decoding.top_k) == (5, 0.95, 0)
    assert request.log_probs and request.max_new_tokens == 100
    assert "## Of Flans and Ovens" in out and "2 pairs of 5 outputs" in out
    found = json.loads(Path("run/pairs.json").read_text())
    (paper,) = found["papers"]
    best, other = paper["pairs"]
    assert (best["question"], best["answer"], best["times"]) == ("How many eggs are needed?", "12 eggs", 2)
    assert best["support"] == 1.0 and best["log_prob"] == -0.5
    assert other["support"] == 0.0
    assert {each["reason"] for each in paper["dropped"]} == {"no mark", "cut off"}
    assert Path("run/pairs.csv").read_text().startswith("#separator:Comma\n#html:false\n#columns:Question")
    assert "**How many eggs are needed?**" in Path("run/pairs.md").read_text()
    rows = [json.loads(line) for line in Path("run/outputs.jsonl").read_text().splitlines()]
    assert len(rows[0]["outputs"]) == 5 and "A flan of 12 eggs" in rows[0]["prompt"]
    assert "the title is guessed" in err


def test_a_folder_of_papers_and_an_own_template(generate: Any, parrot: Any) -> None:
    Path("papers").mkdir()
    Path("papers/a.txt").write_text(PAPER)
    document = {"title": "B", "abstract": "We bake.", "introduction": "Ovens are hot."}
    Path("papers/b.json").write_text(json.dumps(document))
    engine = parrot(("What is hot? [SEP] Ovens", -0.5, "end"))
    out, _ = generate("task=papers/question_answer", "file=papers", "max_target_tokens=60")
    assert len(engine.asked) == 2
    assert "## Of Flans and Ovens" in out and "## B" in out
    (folder,) = Path("outputs/generate").iterdir()
    assert len(json.loads((folder / "pairs.json").read_text())["papers"]) == 2
    own = "template='Summarise: {{ abstract }}'"
    out, _ = generate(own, "file=papers/b.json")
    assert out == "What is hot? [SEP] Ovens\n"
    out, _ = generate(own, "file=papers/b.json", "pairs=true", "output=own")
    assert "1 pairs of 1 outputs" in out
    with_pairs = "task=papers/question_answer", "file=papers/b.json", "pairs=false", "max_target_tokens=60"
    assert generate(*with_pairs)[0] == "What is hot? [SEP] Ovens\n"


def test_papers_that_cannot_be_read_say_why(generate: Any) -> None:
    Path("none").mkdir()
    _, err = generate("task=papers/question_answer", "file=none", code=3)
    assert "the folder has no papers" in err
    Path("bad.pdf").write_bytes(b"not a pdf")
    _, err = generate("task=papers/question_answer", "file=bad.pdf", code=3)
    assert "bad.pdf" in err
    Path("rows.xyz").write_text("x")
    _, err = generate("task=papers/question_answer", "file=rows.xyz", code=3)
    assert "a template reads the columns of a table: rows.xyz" in err
    Path("cut.txt").write_text(PAPER.replace("None.", "") + "")
    _, err = generate("task=papers/question_answer", "file=cut.txt", "max_input_tokens=20", "limit=1")
    assert "1 of 1 prompts were cut to 20 tokens" in err
