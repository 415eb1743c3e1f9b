"""How often comparisons, effects and ranks call what is not there, and how often what is.

``python benchmarks/promises.py [BOARDS]`` draws 2,000 boards of each kind, all by the seed that it prints,
and prints

- false alarms: the share of boards without any difference on which something is called, which is to be at
  most 0.05, and
- power: how often a true difference of three standard errors is called; and how often by a normal test that
  knew the standard error and allowed for as many comparisons: no test that keeps the promise does better.

Figures are ``seed + seed by part + noise``: all runs of a seed have in common what it makes of the test data,
parts may react to that in their own ways, and the noise of a combination has a spread of its own, from 1/3 to
3. What is called is found by the functions that `compare` and `effects` call; the tests hold the two to each
other. It takes a minute or two; what it gave is in ``docs/read-a-leaderboard.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm

from lvmbench.results.comparison import Comparison
from lvmbench.results.statistics import holm, rank_groups

Array = npt.NDArray[np.float64]
Called = tuple[bool, bool]
"""Of a board: whether anything is called where nothing differs, and whether what differs is."""
BOARDS, SEED, ERRORS, ALPHA = 2000, 0, 3.0, 0.05
SEEDS = (3, 5, 10, 20)


def noise(rng: np.random.Generator, priors: int, posteriors: int, seeds: int) -> tuple[Array, Array]:
    """What seeds make of figures without any difference, ``(priors, posteriors, seeds)``, and the spread of
    each combination's own noise.
    """
    shared = 5 * rng.standard_normal(seeds)
    by_part = rng.standard_normal((priors, 1, seeds)) + rng.standard_normal((1, posteriors, seeds))
    spread = np.exp(rng.uniform(-np.log(3), np.log(3), (priors, posteriors, 1)))
    return shared + by_part + spread * rng.standard_normal((priors, posteriors, seeds)), spread


def parts(values: Array) -> Array:
    """What each part but the first of its axis is worth, for each seed, ``(parts, seeds)``."""
    by_prior, by_posterior = values.mean(axis=1), values.mean(axis=0)
    return np.concatenate([by_prior[1:] - by_prior[0], by_posterior[1:] - by_posterior[0]])


def pairs(values: Array) -> Array:
    """What each pair of these is worth beyond the sum of the two, for each seed, ``(pairs, seeds)``."""
    beyond = values[1:, 1:] + values[0, 0] - values[1:, :1] - values[:1, 1:]
    return beyond.reshape(-1, values.shape[2])


def told(differences: Array) -> npt.NDArray[np.bool_]:
    """Which of some differences, ``(rows, seeds)``, are called."""
    return holm(np.array([Comparison.by_seed(row).p for row in differences], dtype=float), ALPHA)


def parts_called(rng: np.random.Generator, priors: int, posteriors: int, seeds: int) -> Called:
    """Whether effects are called, and that of the second posterior."""
    values, spread = noise(rng, priors, posteriors, seeds)
    moved = values.copy()
    moved[:, 1] += ERRORS * np.sqrt((2 + (spread[:, :2] ** 2).sum() / priors**2) / seeds)
    return bool(told(parts(values)).any()), bool(told(parts(moved))[priors - 1])


def pairs_called(rng: np.random.Generator, priors: int, posteriors: int, seeds: int) -> Called:
    """Whether interactions are called, and that of the second prior and posterior."""
    values, spread = noise(rng, priors, posteriors, seeds)
    moved = values.copy()
    moved[1, 1] += ERRORS * np.sqrt((spread[:2, :2] ** 2).sum() / seeds)
    return bool(told(pairs(values)).any()), bool(told(pairs(moved))[0])


def compared_called(rng: np.random.Generator, seeds: int, data: int, share: float) -> Called:
    """Whether two combinations are told apart, where test data make such a share of the variance of the
    difference, and seeds the rest.
    """
    of_seeds = np.sqrt((1 - share) * seeds) * rng.standard_normal((seeds, 1))
    of_data = np.sqrt(share * data) * rng.standard_normal((1, data))
    differences = of_seeds + of_data + rng.standard_normal((seeds, data))
    moved = differences + ERRORS * np.sqrt(1 + 1 / differences.size)
    none, one = (_p(found) for found in (differences, moved))
    return none <= ALPHA, one <= ALPHA


def _p(differences: Array) -> float:
    found = Comparison.by_seed_and_datum(differences) if differences.shape[1] > 1 else None
    return float((found or Comparison.by_seed(differences[:, 0])).p or 0.0)


def ranks_called(rng: np.random.Generator, rows: int, seeds: int) -> Called:
    """Whether any rows have other ranks than the first, and the first of rows one of which is better."""
    spread = np.exp(rng.uniform(-np.log(3), np.log(3), rows))
    values = spread * rng.standard_normal((seeds, rows))
    moved = values.copy()
    moved[:, 0] += ERRORS * np.sqrt((spread[0] ** 2 + spread[1] ** 2) / seeds)
    none, one = (rank_groups(pd.DataFrame(v), "higher", ALPHA)["rank"] for v in (values, moved))
    return bool((none > 1).any()), bool(one[0] < one[1])


KINDS: dict[str, tuple[Callable[..., Called], tuple[float, ...], int]] = {
    **{f"compare, {s} seeds": (compared_called, (s, 1, 0.0), 1) for s in SEEDS},
    **{f"compare, {s} seeds and 100 data": (compared_called, (s, 100, 0.9), 1) for s in SEEDS},
    **{f"effects of 2 x 2, {s} seeds": (parts_called, (2, 2, s), 2) for s in SEEDS},
    **{f"effects of 4 x 3, {s} seeds": (parts_called, (4, 3, s), 5) for s in SEEDS},
    **{f"pairs of 2 x 2, {s} seeds": (pairs_called, (2, 2, s), 1) for s in SEEDS},
    **{f"pairs of 4 x 3, {s} seeds": (pairs_called, (4, 3, s), 6) for s in SEEDS},
    **{f"ranks of 2 rows, {s} seeds": (ranks_called, (2, s), 1) for s in SEEDS},
    **{f"ranks of 8 rows, {s} seeds": (ranks_called, (8, s), 28) for s in SEEDS},
}
"""What draws a board, with what, and how many comparisons its verdicts allow for."""


def calls(kind: str, boards: int, seed: int = SEED) -> Array:
    """Of so many boards of a kind: on which something is called that is not there, and what is there,
    ``(boards, 2)``.
    """
    draw, words, _ = KINDS[kind]
    rng = np.random.default_rng(seed)
    return np.array([draw(rng, *words) for _ in range(boards)], dtype=float)


def best_power(comparisons: int) -> float:
    """Of a normal test that knows the standard error, by the first of Holm's limits."""
    return float(norm.sf(norm.isf(ALPHA / 2 / comparisons) - ERRORS))


def main(boards: int) -> Iterator[str]:
    """The table, line by line."""
    yield f"{boards} boards of each kind, seed {SEED}\n"
    yield "| boards | false alarms | power | best |\n|---|--:|--:|--:|"
    for kind, (*_, comparisons) in KINDS.items():
        alarms, power = calls(kind, boards).mean(axis=0)
        yield f"| {kind} | {alarms:.3f} | {power:.2f} | {best_power(comparisons):.2f} |"


if __name__ == "__main__":
    for line in main(int(sys.argv[1]) if len(sys.argv) > 1 else BOARDS):
        print(line, flush=True)
