"""The CTranslate2 engine against CTranslate2 used directly, on the same folder.

    python benchmarks/export_speed.py runs/flan-t5-small-ct2
    python benchmarks/export_speed.py runs/flan-t5-small-ct2 --threads 2 --rounds 9

Greedy decoding of 128-token prompts in batches of 1, 8 and 32, 64 new tokens each; then 16 samples of a
prompt of 768 tokens, top_p 0.95, 100 new tokens. Directly is `translate_batch` without a callback, then
decoding the ids: by the engine's own translator, cut into as many batches as that has workers, and by one
of a single worker with all threads. Samples are drawn directly from a generator that nobody seeded, by the
engine with seeds kept and not kept. Sides take turns, translators of other threads in processes of their
own; medians count. Prints a table and, last, one JSON line.
"""

import argparse
import json
import platform
import random
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from turns import Side, answer_cases, in_turns

from ramekin.infer.ctranslate_engine import CTranslateEngine, Seeding
from ramekin.infer.decoding import GREEDY, Decoding
from ramekin.infer.request import Request
from ramekin.tensors.tokenizer import decode, load_tokenizer
from ramekin.weights.ctranslate2_folder import read_vocabulary
from ramekin.weights.ctranslate2_library import load_library, open_translator

Rows = list[list[int]]
Answer = Callable[[Rows, int, int], list[str]]
SEEDING: dict[str, Seeding] = {"engine": "exact", "engine, seeds not kept": "none"}


def prompts(count: int, length: int) -> Rows:
    rng = random.Random(count)
    return [[*(rng.randrange(3, 32000) for _ in range(length - 1)), 1] for _ in range(count)]


def directly(folder: Path, translator: Any) -> Answer:
    tokenizer, names = load_tokenizer(folder), read_vocabulary(folder)
    ids = {name: number for number, name in enumerate(names)}

    def answer(rows: Rows, samples: int, new_tokens: int) -> list[str]:
        results = translator.translate_batch(
            [[names[token] for token in row] for row in rows],
            beam_size=1,
            max_input_length=0,
            max_decoding_length=new_tokens,
            min_decoding_length=0,
            num_hypotheses=samples or 1,
            max_batch_size=-(-len(rows) // translator.num_translators),
            **({"sampling_topk": 0, "sampling_topp": 0.95} if samples else {}),
        )
        texts = [tokens for result in results for tokens in result.hypotheses]
        return [decode(tokenizer, [ids[name] for name in tokens]) for tokens in texts]

    return answer


def by_engine(engine: CTranslateEngine) -> Answer:
    def answer(rows: Rows, samples: int, new_tokens: int) -> list[str]:
        drawn = Decoding(num_samples=samples or 1, sampling_temperature=1.0, top_p=0.95)
        decoding = drawn if samples else GREEDY
        answers = engine.answer([Request(tuple(row), new_tokens, decoding) for row in rows])
        return [output.text for outputs in answers for output in outputs]

    return answer


def side(folder: Path, threads: int, name: str) -> Callable[..., list[str]]:
    """What a process answers a case with."""
    if name not in SEEDING:
        own = directly(folder, open_translator(folder, threads=threads))
        return lambda rows, samples, new_tokens, direct: own(rows, samples, new_tokens)
    engine = CTranslateEngine(folder, threads=threads, seeding=SEEDING[name])
    ways = {False: by_engine(engine), True: directly(folder, engine._translator)}
    return lambda rows, samples, new_tokens, direct: ways[direct](rows, samples, new_tokens)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        answer_cases(side(args.folder, args.threads, args.side))
        return
    words = [__file__, str(args.folder), f"--threads={args.threads}"]
    processes = {name: Side([*words, f"--side={name}"]) for name in (*SEEDING, "one worker")}
    sides = {
        "directly": partial(processes["engine"].ask, direct=True),
        "directly, one worker": partial(processes["one worker"].ask, direct=True),
        **{name: partial(processes[name].ask, direct=False) for name in SEEDING},
    }
    cases = [(f"greedy, batch {n}", prompts(n, 128), 0, 64) for n in (1, 8, 32)]
    cases.append(("16 samples of 768 tokens", prompts(1, 768), 16, 100))
    table: dict[str, dict[str, dict[str, float]]] = {}
    for name, rows, samples, new_tokens in cases:
        answers = in_turns(sides, args.rounds, rows=rows, samples=samples, new_tokens=new_tokens)
        table[name] = {
            name: {unit: statistics.median(each[unit] for each in own) for unit in ("cpu", "wall")}
            for name, own in answers.items()
        }
        best = table[name]["directly"]["wall"]
        print(name)
        for own, medians in table[name].items():
            print(
                f"  {own:24} wall {medians['wall']:7.3f} s ({medians['wall'] / best:.3f})  "
                f"CPU {medians['cpu']:7.3f} s"
            )
    for process in processes.values():
        process.end()
    versions = {"ctranslate2": load_library().__version__, "python": platform.python_version()}
    print(json.dumps({"folder": args.folder.name, "threads": args.threads, "seconds": table, **versions}))


if __name__ == "__main__":
    main()
