"""Record interleaved pairs of fresh processes of one and the same side, to judge rules on.

    python tests/benchmarks/record_pairs.py --pairs 100 --out .cache/pairs.jsonl

Each line is a pair: what two processes of the same codec gave, drawn in the order A B B A. The
file is added to, so a recording that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from vaebench.bench.suite import CodecSpec
from vaebench.bench.timing.processes import ProcessSource, Request, staged_harness
from vaebench.bench.timing.regression import draw_pair


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--block", type=int, default=20, help="samples of each process")
    parser.add_argument("--codec", default="demo-f8c4")
    parser.add_argument("--stage", default="decode")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--out", type=Path, default=Path(".cache/pairs.jsonl"))
    asked = parser.parse_args()
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    done = len(asked.out.read_text().splitlines()) if asked.out.exists() else 0
    request = Request(CodecSpec.parse(asked.codec), asked.stage, None, warmup_s=2.0)
    with staged_harness(asked.size, batch=1) as harness:
        base = ProcessSource("A", request, None, harness)
        head = ProcessSource("B", request, None, harness)
        for number in range(done, asked.pairs):
            begin = time.time()
            pair = draw_pair(base, head, asked.block, base_first=number % 2 == 0)
            row = {
                "unix_s": round(begin, 1),
                "base_first": number % 2 == 0,
                "base_ms": [round(sample, 4) for sample in pair.base_ms],
                "head_ms": [round(sample, 4) for sample in pair.head_ms],
                "environment": base.environment,
            }
            with asked.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{number + 1} of {asked.pairs}, {time.time() - begin:.1f} s", flush=True)


if __name__ == "__main__":
    main()
