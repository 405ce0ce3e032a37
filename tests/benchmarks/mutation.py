"""Mutation testing of metrics/ and bench/timing/regression.py: which changes do tests notice?

    OMP_NUM_THREADS=1 python tests/benchmarks/mutation.py --state FOLDER [--only flip] [--again]

The mutants are those of mutmut 3.8 (see mutation_mutants.py). Its own runner is not used: it passes
over decorated functions (here every `prepare` and `compare`) and module constants (here the
matrices and exponents of the papers), and wants a folder by the name of the package. Instead each
mutant is a fork of a process that has imported torch and the reference packages, but nothing of
vaebench: it imports one module from changed source and runs the tests that belong to it, quick
ones first, until one fails.

FOLDER gets results.jsonl, to which a run that was stopped adds the rest; summary.csv, counts by
file; and survivors.txt. `--again` runs the survivors of an earlier run once more, for new tests.
"""

from __future__ import annotations

import argparse
import csv
import gc
import importlib
import importlib.abc
import importlib.util
import json
import os
import random
import resource
import signal
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import pytest
from mutation_mutants import Mutant, mutants_of

ROOT = Path(__file__).resolve().parents[2]
FILES = [*sorted((ROOT / "metrics").glob("*.py")), ROOT / "bench" / "timing" / "regression.py"]

MORE_TESTS = {
    "__init__": ["table"],
    "adapted": ["pyiqa_adapter", "torchmetrics_adapter"],
    "base": ["table", "psnr"],
    "info": ["table", "pyiqa_adapter"],
    "pictures": ["psnr", "ssim", "ms_ssim", "table"],
    "psnr": ["table"],
    "separable": ["ssim"],
    "ssim": ["table"],
    "ms_ssim": ["table"],
    "flip": ["table"],
    "ciede2000": ["table"],
    "table": ["pyiqa_adapter", "torchmetrics_adapter"],
    "lpips": ["info"],
    "trunks": ["lpips", "trunk_weights"],
}
"""Tests of a module of metrics/ beside the one of its own name."""

SLOWEST_S = 1.2
"""A test that takes longer is left out: a new interpreter, a simulation, the largest pictures."""

PRELOADED = (
    "flip_evaluator",
    "http.server",
    "hypothesis.strategies",
    "lpips",
    "pytorch_msssim",
    "safetensors.torch",
    "scipy.stats",
    "skimage.color",
    "skimage.metrics",
    "torchmetrics.functional.image",
    "torchmetrics.image",
    "torchvision.models",
)

KILLED = {"killed", "timeout", "crash"}


def tests_of(file: str) -> list[str]:
    stem = Path(file).stem
    if file.startswith("bench/"):
        return [str(path) for path in sorted((ROOT / "tests/bench").rglob(f"test_{stem}*.py"))]
    names = [stem, *MORE_TESTS.get(stem, [])]
    paths = [ROOT / f"tests/metrics/test_{name}.py" for name in names]
    return [str(path) for path in paths if path.is_file()]


class Changed(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Import one module from changed source."""

    def __init__(self, name: str, source: str, path: Path) -> None:
        self.name, self.source, self.path = name, source, path

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> Any:
        if fullname != self.name:
            return None
        places = [str(self.path.parent)] if self.path.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            fullname, self.path, loader=self, submodule_search_locations=places
        )

    def get_source(self, fullname: str) -> str:
        return self.source

    def get_filename(self, fullname: str) -> str:
        return str(self.path)


class QuickFirst:
    """Order tests by the time they took on the unchanged code, and leave the slow ones out."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds
        self.measured: defaultdict[str, float] = defaultdict(float)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [x for x in items if self.seconds.get(x.nodeid, 0.0) < SLOWEST_S]
        items.sort(key=lambda item: self.seconds.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.measured[report.nodeid] += report.duration


def run_tests(file: str, seconds: dict[str, float]) -> tuple[int, dict[str, float]]:
    """Run the tests of a file in this process; return pytest's exit code, and their times."""
    quick = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile(
        "mutation", database=None, derandomize=True, deadline=None, phases=quick
    )
    hypothesis.settings.load_profile("mutation")
    order = QuickFirst(seconds)
    options = "-x -q --tb=no --assert=plain --import-mode=importlib -p no:cacheprovider"
    where = ["--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml"), "-o", "addopts="]
    markers = ["-m", "not cuda and not network"]
    code = pytest.main([*options.split(), *where, *markers, *tests_of(file)], plugins=[order])
    return int(code), dict(order.measured)


def forked(limit_s: float, task: Callable[[], int], log: Path) -> tuple[str, float]:
    """Run a task that returns an exit code in a fork, and say how it ended and after how long."""
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        os.setsid()
        with log.open("w") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
            try:
                code = task()
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", flush=True)
                code = 2
            sys.stdout.flush()
            os._exit(code)
    status: int | None = None
    while time.perf_counter() - began < limit_s:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.01)
    else:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "timeout", time.perf_counter() - began
    code = os.waitstatus_to_exitcode(status or 0)
    end = "survived" if code == 0 else "crash" if code < 0 else "killed"
    return end, time.perf_counter() - began


def baseline(file: str, state: Path) -> dict[str, float]:
    """Return the seconds of each test of a file on the unchanged code, which must pass them all.

    Then a mutant that changes nothing must survive.
    """
    kept = state / f"seconds-{file.replace('/', '-')}.json"

    def task() -> int:
        code, seconds = run_tests(file, {})
        kept.write_text(json.dumps(seconds))
        return code

    end, _ = forked(600, task, state / "baseline.log")
    if end != "survived":
        raise SystemExit(f"The tests of {file} fail without a mutant: see {state}/baseline.log.")
    seconds = json.loads(kept.read_text())
    source = (ROOT / file).read_text(encoding="utf-8")
    end, _ = outcome(Mutant(file, 0, "", "", "", source), seconds, state)
    if end != "survived":
        raise SystemExit(f"Unchanged code of {file} is {end} as a mutant: see {state}/last.log.")
    return seconds


def outcome(mutant: Mutant, seconds: dict[str, float], state: Path) -> tuple[str, float]:
    """Run the tests of a mutant's file on it."""
    path = ROOT / mutant.file
    stem = () if path.stem == "__init__" else (path.stem,)
    name = ".".join(["vaebench", *path.parent.relative_to(ROOT).parts, *stem])

    def task() -> int:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.meta_path.insert(0, Changed(name, mutant.source, path))
        return run_tests(mutant.file, seconds)[0]

    total = sum(x for x in seconds.values() if x < SLOWEST_S)
    return forked(20 + 5 * total, task, state / "last.log")


def read_results(path: Path) -> dict[str, dict[str, Any]]:
    lines = path.read_text().splitlines() if path.is_file() else []
    return {row["key"]: row for row in map(json.loads, lines)}


def run(chosen: Sequence[Mutant], state: Path, again: bool) -> None:
    """Run the mutants that have no result yet; with `again`, also those that survived."""
    known = read_results(state / "results.jsonl")
    seconds: dict[str, dict[str, float]] = {}
    with (state / "results.jsonl").open("a") as stream:
        for number, mutant in enumerate(chosen, 1):
            row = known.get(mutant.key)
            if row is not None and not (again and row["end"] == "survived"):
                continue
            if mutant.file not in seconds:
                seconds[mutant.file] = baseline(mutant.file, state)
            end, took_s = outcome(mutant, seconds[mutant.file], state)
            row = {key: value for key, value in asdict(mutant).items() if key != "source"}
            stream.write(json.dumps(row | {"end": end, "s": round(took_s, 2)}) + "\n")
            stream.flush()
            print(f"{number}/{len(chosen)} {mutant.file}:{mutant.line} {end} {took_s:.1f} s")


def summarise(chosen: Sequence[Mutant], state: Path) -> None:
    """Write summary.csv and survivors.txt of the mutants that have a result."""
    known = read_results(state / "results.jsonl")
    ends = [(mutant, known[mutant.key]["end"]) for mutant in chosen if mutant.key in known]
    columns = ["survived", *sorted(KILLED)]
    groups = [*sorted({x.file for x, _ in ends}), "function", "module", "all"]
    with (state / "summary.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["file", "mutants", *columns, "killed_percent"])
        for group in groups:
            found = [end for x, end in ends if group in (x.file, x.place, "all")]
            count = Counter(found)
            share = 100 * sum(count[end] for end in KILLED) / max(1, len(found))
            table.writerow([group, len(found), *(count[x] for x in columns), f"{share:.1f}"])
    survivors = [x for x, end in ends if end == "survived"]
    blocks = [f"{x.file}:{x.line} {x.key} ({x.place})\n{x.change}\n" for x in survivors]
    (state / "survivors.txt").write_text("\n".join(blocks))
    print((state / "summary.csv").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--state", type=Path, required=True, help="a folder for the results")
    parser.add_argument("--only", default="", help="a part of the names of files to mutate")
    parser.add_argument("--again", action="store_true", help="run the survivors once more")
    parser.add_argument("--summary", action="store_true", help="run nothing, count the results")
    arguments = parser.parse_args()
    state: Path = arguments.state.resolve()
    state.mkdir(parents=True, exist_ok=True)
    files = [path for path in FILES if arguments.only in str(path.relative_to(ROOT))]
    chosen = [mutant for path in files for mutant in mutants_of(path, ROOT)]
    # In a random order what is done of a run that was stopped is a sample of all.
    random.Random(0).shuffle(chosen)
    print(f"{len(chosen)} mutants of {len(files)} files")
    if not arguments.summary:
        warnings.simplefilter("ignore")
        for name in PRELOADED:
            importlib.import_module(name)
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        pytest.main(["--version"])
        gc.freeze()
        # What a mutant writes by mistake it writes there.
        os.environ["HOME"] = os.environ["TORCH_HOME"] = str(state)
        os.chdir(state)
        run(chosen, state, arguments.again)
    summarise(chosen, state)


if __name__ == "__main__":
    main()
