"""How often tests call rows different that are not, and how much they see:
the ranks of a board beside other procedures.

``python benchmarks/ranks.py`` draws tables of rows whose seeds spread alike, as one wild row among others, as
those of the published boards (``leaderboards/*/measurements.csv``), with heavy tails, with a skew and with
seeds in common, at 3 and at 5 seeds. It prints, for each test of all pairs at 0.05,

- the share of tables without any difference in which some pair is told apart, which should be at most 0.05
  (skew and unequal spreads together break every test), and
- the power: the share of truly different pairs that are told apart, where every other row is moved by 8
  median standard deviations.

It takes some minutes. What it gave, with 2,000 tables each, is in ``docs/read-a-leaderboard.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import studentized_range

from lvmbench.results.board import run_table, seed_values
from lvmbench.results.statistics import _pairs, holm
from lvmbench.results.tables import read_results
from lvmbench.results.tidy import tidy

Array = npt.NDArray[np.float64]
Test = Callable[[Array], npt.NDArray[np.bool_]]
Draw = Callable[[np.random.Generator, int, int], Array]
TABLES, ALPHA, MOVE = 2000, 0.05, 8.0
BOARDS = Path(__file__).parent.parent / "leaderboards"


@cache
def _range_quantile(rows: int, freedom: float) -> float:
    return float(studentized_range.ppf(1 - ALPHA, rows, freedom))


def tukey(values: Array) -> npt.NDArray[np.bool_]:
    """Tukey's test with seeds as blocks:
    the mean variance of all pairs, or the pair's own where that is larger.
    """
    pairs, (seeds, rows) = _pairs(values), values.shape
    error = np.maximum(pairs.deviation**2, np.mean(pairs.deviation**2)) / seeds
    q = np.sqrt(2) * np.abs(pairs.mean) / np.sqrt(error)
    return np.asarray(q > _range_quantile(rows, (seeds - 1) * (rows - 1)))


def games_howell(values: Array) -> npt.NDArray[np.bool_]:
    """The studentized range with the variances of the two rows and Welch's degrees of freedom."""
    pairs = _pairs(values)
    q = np.sqrt(2 * values.shape[0] / sum(pairs.variances)) * np.abs(pairs.mean)
    limits = [_range_quantile(values.shape[1], round(2 * f) / 2) for f in pairs.freedom]
    return np.asarray(q > limits)


def paired(values: Array) -> npt.NDArray[np.bool_]:
    """Paired t tests by Holm's limits."""
    return holm(_pairs(values).paired, ALPHA)


def signs(values: Array) -> npt.NDArray[np.bool_]:
    """Flipping the signs of whole seeds, which gives no p below 2 to the power of 1 - seeds.

    By Holm's limits.
    """
    seeds = values.shape[0]
    flips = np.array(np.meshgrid(*[[1, -1]] * seeds)).reshape(seeds, -1)
    i, j = np.triu_indices(values.shape[1], 1)
    difference = values[:, i] - values[:, j]
    means = np.abs(flips.T @ difference)
    return holm((means >= np.abs(difference.sum(0)) * (1 - 1e-9)).mean(0), ALPHA)


def ranks(values: Array) -> npt.NDArray[np.bool_]:
    """What boards do: Welch's test by Holm's limits, where the paired interval leaves out 0."""
    return _pairs(values).apart(ALPHA)


TESTS: dict[str, Test] = {
    "Tukey": tukey,
    "Games-Howell": games_howell,
    "sign flips": signs,
    "paired t, Holm": paired,
    "Welch, Holm (ranks)": ranks,
}


def published() -> dict[str, Array]:
    """The standard deviation over seeds of the rows of each board, by the ELBO; 40 rows at most."""
    found = {}
    for path in sorted(BOARDS.glob("*/measurements.csv")):
        tables = read_results(path.parent)
        runs = run_table(tables[0], tidy(*tables))
        figure = next((str(name) for name in runs.columns if str(name).partition("@")[0] == "elbo"), None)
        for dataset, values in seed_values(runs, figure).items() if figure else ():
            spread = values.std()
            spread = spread[spread > 0]
            few = spread.sample(min(len(spread), 40), random_state=0).to_numpy()
            found[f"{path.parent.name}, {dataset.partition('[')[0]}"] = few
    return {name: spread for name, spread in found.items() if len(spread) > 2}


def _normal(rng: np.random.Generator, seeds: int, rows: int) -> Array:
    return rng.standard_normal((seeds, rows))


def _heavy(rng: np.random.Generator, seeds: int, rows: int) -> Array:
    return rng.standard_t(3, (seeds, rows)) / np.sqrt(3)


def _skewed(rng: np.random.Generator, seeds: int, rows: int) -> Array:
    return 1 - rng.standard_exponential((seeds, rows))


def _shared(rng: np.random.Generator, seeds: int, rows: int) -> Array:
    return np.sqrt(0.9) * _normal(rng, seeds, 1) + np.sqrt(0.1) * _normal(rng, seeds, rows)


def cases() -> dict[str, tuple[Array, Draw]]:
    """Standard deviations of rows, and how seeds are drawn about them."""
    alike = np.ones(16)
    drawn = {
        "5 rows alike": (np.ones(5), _normal),
        "16 rows alike": (alike, _normal),
        "16 rows, one of 10 times the spread": (np.r_[10.0, alike[1:]], _normal),
        "16 rows, heavy tails": (alike, _heavy),
        "16 rows, skewed": (alike, _skewed),
        "16 rows, skewed, spreads from 1 to 100": (np.geomspace(1, 100, 16), _skewed),
        "16 rows, 9/10 of the variance in common": (alike, _shared),
    }
    return drawn | {name: (spread, _normal) for name, spread in published().items()}


def shares(test: Test, spread: Array, draw: Draw, seeds: int, moved: float, tables: int) -> float:
    """The share of tables without a difference that have a pair told apart,
    or of the pairs that differ that are.
    """
    rng, rows = np.random.default_rng(0), len(spread)
    moves = np.where(np.arange(rows) % 2, moved * np.median(spread), 0.0)
    i, j = np.triu_indices(rows, 1)
    differ = moves[i] != moves[j]
    found = []
    for _ in range(tables):
        apart = test(draw(rng, seeds, rows) * spread + moves)
        found.append(apart[differ].mean() if moved else apart.any())
    return float(np.mean(found))


def main() -> None:
    for seeds in (3, 5):
        rows = {
            name: {
                title: (
                    f"{shares(test, *case, seeds, 0.0, TABLES):.3f} / "
                    f"{shares(test, *case, seeds, MOVE, 100):.2f}"
                )
                for title, test in TESTS.items()
            }
            for name, case in cases().items()
        }
        print(f"\n{seeds} seeds: false alarms / power\n\n{pd.DataFrame(rows).T.to_string()}")


if __name__ == "__main__":
    main()
