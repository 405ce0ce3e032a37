"""How often the intervals of `compare` cover a known mean, and how often it errs without one.

    python tests/benchmarks/interval_coverage.py --repeats 4000 --run runs/kodak \
        --out reports/published/comparison-statistics

Everything is drawn from known populations and judged by the functions that `compare` itself uses.
`--run` adds populations made of the differences of a stored run's first two codecs. Writes
coverage.csv, family_wise.csv and README.md.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from vaebench.bench.compare.statistics import (
    SIGNIFICANCE,
    compare_rows,
    holm,
    mean_intervals,
    verdict_of,
)
from vaebench.bench.store.run import load_run

SIZES = (24, 200)
ROWS_AT_ONCE = 200
METRICS, REGIONS = 5, 4
BETWEEN_METRICS, BETWEEN_REGIONS = 0.6, 0.5

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


@dataclass(frozen=True)
class Population:
    """Where differences are drawn from, and the mean that an interval must cover."""

    name: str
    draw: Draw
    mean: float


def lognormal(sigma: float) -> Population:
    return Population(
        f"lognormal, sigma {sigma}",
        lambda random, shape: random.lognormal(0, sigma, shape),
        math.exp(sigma**2 / 2),
    )


SYNTHETIC = (
    Population("normal", lambda random, shape: random.normal(0, 1, shape), 0.0),
    Population("Student's t, 5 degrees", lambda random, shape: random.standard_t(5, shape), 0.0),
    lognormal(0.5),
    lognormal(1.0),
)


def stored_populations(folder: Path) -> list[Population]:
    """Return a population for each metric: the differences of a run's first two codecs."""
    run = load_run(folder)
    first, second = (codec.name for codec in run.record.codecs[:2])
    whole = run.scores[run.scores["region"] == "whole"]
    values = whole.pivot_table(index="image_id", columns=["variant", "codec"], values="value")
    return [
        resampled(
            f"{run.record.name}: {second} - {first}, {entry.variant}",
            (values[entry.variant, second] - values[entry.variant, first]).to_numpy(),
        )
        for entry in run.record.metrics
    ]


def resampled(name: str, differences: np.ndarray) -> Population:
    return Population(
        name, lambda random, shape: random.choice(differences, shape), float(differences.mean())
    )


def generator(name: str, n_images: int) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(name.encode()), n_images])


def coverage(
    population: Population, n_images: int, repeats: int, resamples: int
) -> dict[str, object]:
    """Return how often the interval holds the mean, lies above it and lies below it."""
    random = generator(population.name, n_images)
    lows: list[float] = []
    highs: list[float] = []
    for start in range(0, repeats, ROWS_AT_ONCE):
        rows = population.draw(random, (min(ROWS_AT_ONCE, repeats - start), n_images))
        for interval in mean_intervals(list(rows), resamples=resamples):
            if interval is None:
                raise SystemExit(f"{population.name}: a row without an interval")
            lows.append(interval[0])
            highs.append(interval[1])
    above = float(np.mean(np.array(lows) > population.mean))
    below = float(np.mean(np.array(highs) < population.mean))
    covered = 1 - above - below
    return {
        "population": population.name,
        "n_images": n_images,
        "repeats": repeats,
        "resamples": resamples,
        "coverage": covered,
        "standard_error": math.sqrt(covered * (1 - covered) / repeats),
        "interval_above_mean": above,
        "interval_below_mean": below,
    }


def correlated(random: np.random.Generator, n_images: int) -> np.ndarray:
    """Return standard normal [metrics * regions, n_images], correlated within each picture."""
    metrics = np.full((METRICS, METRICS), BETWEEN_METRICS) + (1 - BETWEEN_METRICS) * np.eye(METRICS)
    regions = np.full((REGIONS, REGIONS), BETWEEN_REGIONS) + (1 - BETWEEN_REGIONS) * np.eye(REGIONS)
    root = np.linalg.cholesky(np.kron(metrics, regions))
    return root @ random.normal(size=(METRICS * REGIONS, n_images))


def normal_family(random: np.random.Generator, n_images: int) -> np.ndarray:
    return correlated(random, n_images)


def heavy_family(random: np.random.Generator, n_images: int) -> np.ndarray:
    return correlated(random, n_images) / np.sqrt(random.chisquare(5, n_images) / 5)


def exchanged_family(random: np.random.Generator, n_images: int) -> np.ndarray:
    """Skewed sizes of differences; which codec gets which of the two results is a coin's toss."""
    return np.exp(correlated(random, n_images)) * random.choice([-1, 1], n_images)


def skewed_family(random: np.random.Generator, n_images: int) -> np.ndarray:
    """Means of 0, medians below: most pictures lose a little, a few gain much."""
    return np.exp(0.5 * correlated(random, n_images)) - math.exp(0.125)


SKEWED = "lognormal, sigma 0.5, mean 0 but median below 0"
FAMILIES = {
    "normal": normal_family,
    "Student's t, 5 degrees": heavy_family,
    "lognormal, codecs exchanged at random": exchanged_family,
    SKEWED: skewed_family,
}


def errs(rows: np.ndarray, resamples: int) -> bool:
    """Whether any row of a family without differences is called better or worse."""
    # All rows at once: `wilcoxon_p` of every row gives the same, as none has a zero.
    tested: Any = stats.wilcoxon(rows, axis=-1)
    corrected = holm(tested.pvalue.tolist())
    if min(corrected) >= SIGNIFICANCE:
        # No verdict but `same` or `undecided` can follow, so the intervals are not needed.
        return False
    is_higher = [True] * len(rows)
    results = compare_rows(list(rows), is_higher, resamples=resamples)
    verdicts = (
        verdict_of(result, p_holm, True, None)
        for result, p_holm in zip(results, corrected, strict=True)
    )
    return any(verdict in ("better", "worse") for verdict in verdicts)


def family_wise(name: str, n_images: int, repeats: int, resamples: int) -> dict[str, object]:
    random = generator(name, n_images)
    families = (FAMILIES[name](random, n_images) for _ in range(repeats))
    share = sum(errs(rows, resamples) for rows in families) / repeats
    return {
        "differences": name,
        "n_images": n_images,
        "families": repeats,
        "rows": METRICS * REGIONS,
        "resamples": resamples,
        "family_wise_error": share,
        "standard_error": math.sqrt(share * (1 - share) / repeats),
    }


def as_markdown(frame: pd.DataFrame) -> str:
    shares = [name for name in frame.columns if frame[name].dtype.kind == "f"]
    shown = frame.assign(**{name: (100 * frame[name]).map("{:.2f} %".format) for name in shares})
    rows = [list(map(str, row)) for row in shown.to_numpy()]
    head = [str(column).replace("_", " ") for column in shown.columns]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


README = """# How far the statistics of `vaebench compare` hold

Made by

    {command}

with the functions that `compare` uses (`bench/compare/statistics.py`): BCa intervals of {resamples}
resamples (seed 0), widened by the row's own resampled t; Wilcoxon's p, corrected by Holm over the
family.
Standard errors are those of the simulation.

## Coverage

How often the 95 % interval holds the known mean of the population that differences of {sizes}
pictures were drawn from. `interval above mean` and `interval below mean` are the two ways to miss
it. {held} of {cells} cells are within 1.5 % of 95 %; the mean over the populations is {means}.

{coverage}

Above 96.5 % the interval is wider than it need be, below 93.5 % too narrow. The latter happens with
few pictures where one in twenty makes much of the mean, as in the lognormal of sigma 1: many draws
do not hold such a picture.

## Family-wise error

How often at least one of {rows} rows ({metrics} metrics, correlated by {between_metrics}, times
{regions} regions, correlated by {between_regions}) is called better or worse although neither codec
is: their results could be exchanged on any picture.

{no_difference}

This does not hold where the mean is 0 but most pictures lose a little and a few gain much.
Wilcoxon's test rightly finds that most lose, and of the two conditions of a verdict only the
interval is left, which Holm's correction does not reach. Read `better` and `worse` together with
the share of pictures won.

{skewed}
"""


def write_readme(out: Path, command: str) -> None:
    """Write README.md from the two tables that lie beside it."""
    covered, family = (pd.read_csv(out / name) for name in ("coverage.csv", "family_wise.csv"))
    is_skewed = family["differences"] == SKEWED
    within = (covered["coverage"] - 0.95).abs() <= 0.015
    text = README.format(
        command=command,
        resamples=covered["resamples"].iloc[0],
        sizes=" and ".join(map(str, SIZES)),
        means=", ".join(
            f"{100 * share:.1f} % at {n_images} pictures"
            for n_images, share in covered.groupby("n_images")["coverage"].mean().items()
        ),
        held=int(within.sum()),
        cells=len(within),
        coverage=as_markdown(covered.assign(within=within.map({True: "yes", False: "no"}))),
        no_difference=as_markdown(family[~is_skewed]),
        skewed=as_markdown(family[is_skewed]),
        rows=METRICS * REGIONS,
        metrics=METRICS,
        regions=REGIONS,
        between_metrics=BETWEEN_METRICS,
        between_regions=BETWEEN_REGIONS,
    )
    (out / "README.md").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=4000)
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--run", type=Path, help="a run folder of two or more codecs")
    parser.add_argument("--out", type=Path, default=Path(".cache/interval-coverage"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    populations = [*SYNTHETIC, *(stored_populations(asked.run) if asked.run else [])]
    errors: list[dict[str, object]] = []
    for name in FAMILIES:
        for n_images in SIZES:
            errors.append(family_wise(name, n_images, asked.repeats, asked.resamples))
            print(errors[-1], flush=True)
    family = pd.DataFrame(errors)
    family.to_csv(asked.out / "family_wise.csv", index=False)
    covered: list[dict[str, object]] = []
    for population in populations:
        for n_images in SIZES:
            covered.append(coverage(population, n_images, asked.repeats, asked.resamples))
            print(covered[-1], flush=True)
    table = pd.DataFrame(covered)
    table.to_csv(asked.out / "coverage.csv", index=False)
    write_readme(asked.out, shlex.join(["python", *sys.argv]))


if __name__ == "__main__":
    main()
