"""The CTranslate2 engine against CTranslate2 used directly, on the same folder.

    python benchmarks/export_speed.py runs/flan-t5-small-ct2
    python benchmarks/export_speed.py runs/flan-t5-small-ct2 --threads 2 --repeats 9

Greedy decoding of 128-token prompts in batches of 1, 8 and 32, 64 new tokens each; then 16 samples of a
prompt of 768 tokens, top_p 0.95, 100 new tokens. Directly is `translate_batch` without a callback, then
decoding the ids; samples are drawn directly from a generator that nobody seeded, by the engine with seeds
kept and not kept. Repetitions are interleaved; the median of each counts, of CPU seconds of the process and
of wall seconds: on a shared machine believe the first. Prints a table and, last, one JSON line.
"""

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from ramekin.infer.ctranslate_engine import CTranslateEngine
from ramekin.infer.decoding import GREEDY, Decoding
from ramekin.infer.request import Failed, Request, Wrote
from ramekin.tensors.tokenizer import decode, load_tokenizer
from ramekin.weights.ctranslate2_folder import read_vocabulary
from ramekin.weights.ctranslate2_library import load_library, open_translator

Rows = list[tuple[int, ...]]
SAMPLES = Decoding(num_samples=16, sampling_temperature=1.0, top_p=0.95)


def prompts(count: int, length: int) -> Rows:
    rng = random.Random(count)
    return [(*(rng.randrange(3, 32000) for _ in range(length - 1)), 1) for _ in range(count)]


def directly(folder: Path, threads: int) -> Callable[[Rows, Decoding, int], list[str]]:
    translator, tokenizer = open_translator(folder, threads=threads), load_tokenizer(folder)
    names = read_vocabulary(folder)
    ids = {name: number for number, name in enumerate(names)}

    def answer(rows: Rows, decoding: Decoding, new_tokens: int) -> list[str]:
        drawn = {"sampling_topk": 0, "sampling_topp": decoding.top_p} if decoding.is_random else {}
        results = translator.translate_batch(
            [[names[token] for token in row] for row in rows],
            beam_size=1,
            max_input_length=0,
            max_decoding_length=new_tokens,
            min_decoding_length=0,
            num_hypotheses=decoding.num_samples,
            **drawn,
        )
        texts = [tokens for result in results for tokens in result.hypotheses]
        return [decode(tokenizer, [ids[name] for name in tokens]) for tokens in texts]

    return answer


def by_engine(folder: Path, threads: int, seeding: str) -> Callable[[Rows, Decoding, int], list[str]]:
    engine = CTranslateEngine(folder, threads=threads, seeding=seeding)  # type: ignore[arg-type]

    def answer(rows: Rows, decoding: Decoding, new_tokens: int) -> list[str]:
        tickets = [engine.add(Request(row, new_tokens, decoding)) for row in rows]
        found: dict[int, list[str]] = {}
        while len(found) < len(tickets):
            for event in engine.step():
                if isinstance(event, Failed):
                    raise event.error
                assert not isinstance(event, Wrote)
                found[event.ticket] = [output.text for output in event.outputs]
        return [text for ticket in tickets for text in found[ticket]]

    return answer


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    systems = {
        "directly": directly(args.folder, args.threads),
        "engine": by_engine(args.folder, args.threads, "exact"),
        "engine, seeds not kept": by_engine(args.folder, args.threads, "none"),
    }
    cases = [(f"greedy, batch {n}", prompts(n, 128), GREEDY, 64) for n in (1, 8, 32)]
    cases.append(("16 samples of 768 tokens", prompts(1, 768), SAMPLES, 100))
    table: dict[str, dict[str, tuple[float, float]]] = {}
    for name, rows, decoding, new_tokens in cases:
        chosen = list(systems) if decoding.is_random else ["directly", "engine"]
        seconds: dict[str, list[tuple[float, float]]] = {system: [] for system in chosen}
        for repeat in range(args.repeats + 1):
            for system in chosen if repeat % 2 else reversed(chosen):
                cpu, wall = time.process_time(), time.perf_counter()
                systems[system](rows, decoding, new_tokens)
                if repeat:  # the first warms up
                    seconds[system].append((time.process_time() - cpu, time.perf_counter() - wall))
        table[name] = {
            system: (statistics.median(cpu for cpu, _ in both), statistics.median(wall for _, wall in both))
            for system, both in seconds.items()
        }
    for name, medians in table.items():
        print(name)
        cpu, wall = medians["directly"]
        for system, (own_cpu, own_wall) in medians.items():
            print(
                f"  {system:24} CPU {own_cpu:8.3f} s ({own_cpu / cpu:.3f})  wall {own_wall:8.3f} s "
                f"({own_wall / wall:.3f})"
            )
    versions = {"ctranslate2": load_library().__version__, "python": platform.python_version()}
    print(json.dumps({"folder": args.folder.name, "threads": args.threads, "seconds": table, **versions}))


if __name__ == "__main__":
    main()
