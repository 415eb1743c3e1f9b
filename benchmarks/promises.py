"""How often `compare`, `effects` and the ranks of a board call what is not there, and what is.

``python benchmarks/promises.py [BOARDS]`` draws 2,000 boards of each kind, all by the seed that it prints,
and prints

- false alarms: the share of boards without any difference on which something is called, which is to be at
  most 0.05, and
- power: how often a true difference of three standard errors is called; and how often by a normal test that
  knew the standard error and allowed for as many comparisons: no test that keeps the promise does better.

Figures are ``seed + seed by part + noise``: all runs of a seed have in common what it makes of the test data,
parts may react to that in their own ways, and the noise of a combination has a spread of its own, from 1/3 to
3. It takes some minutes; what it gave is in ``docs/read-a-leaderboard.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm

from lvmbench.results.board import Board, leaderboard
from lvmbench.results.compare import compare
from lvmbench.results.effects import INCONCLUSIVE, effects, interactions
from lvmbench.results.statistics import rank_groups

Array = npt.NDArray[np.float64]
Called = tuple[bool, bool]
"""Of a board: whether anything is called where nothing differs, and whether what differs is."""
BOARDS, SEED, ERRORS, ALPHA = 2000, 0, 3.0, 0.05
PARTS = {"dataset": "d", "decoder": "b", "objective": "o", "estimator": "e", "status": "ok", "reason": ""}
FIGURE = {"evaluator": "t", "split": "test", "variant": "", "method": "", "unit": "nats", "better": "higher"}


@cache
def _empty(priors: int, posteriors: int, seeds: int) -> tuple[Board, pd.DataFrame]:
    """A board of a full grid, and its measurements; all figures are 0."""
    grid = list(product(range(priors), range(posteriors), range(seeds)))
    rows = [
        {"key": str(place), "seed": s, "prior": f"p{p}", "posterior": f"q{q}"}
        for place in grid
        for p, q, s in [place]
    ]
    records = pd.DataFrame(rows).assign(suite="s", suite_version=1, latent=8, **PARTS)
    measured = records[["key"]].assign(metric="elbo", value=0.0, stderr=0.0, **FIGURE)
    return leaderboard(records, measured), measured


def board_of(values: Array) -> tuple[Board, pd.DataFrame]:
    """The board of figures ``(priors, posteriors, seeds)``, and its measurements; ranks are not found."""
    board, measured = _empty(*values.shape)
    return replace(board, runs=board.runs.assign(elbo=values.ravel())), measured.assign(value=values.ravel())


def noise(rng: np.random.Generator, priors: int, posteriors: int, seeds: int) -> tuple[Array, Array]:
    """What seeds make of figures without any difference, ``(priors, posteriors, seeds)``, and the spread of
    each combination's own noise.
    """
    shared = 5 * rng.standard_normal(seeds)
    by_part = rng.standard_normal((priors, 1, seeds)) + rng.standard_normal((1, posteriors, seeds))
    spread = np.exp(rng.uniform(-np.log(3), np.log(3), (priors, posteriors, 1)))
    return shared + by_part + spread * rng.standard_normal((priors, posteriors, seeds)), spread


def parts_called(rng: np.random.Generator, priors: int, posteriors: int, seeds: int) -> Called:
    """Whether effects are called, and one of the second posterior."""
    values, spread = noise(rng, priors, posteriors, seeds)
    error = np.sqrt((2 + (spread[:, :2] ** 2).sum() / priors**2) / seeds)
    moved = values.copy()
    moved[:, 1] += ERRORS * error
    none, one = (effects(board_of(figures)[0]) for figures in (values, moved))
    own = one[(one["axis"] == "posterior") & (one["setting"] == "q1")]
    return bool((none["verdict"] != INCONCLUSIVE).any()), own["verdict"].item() == "better"


def pairs_called(rng: np.random.Generator, priors: int, posteriors: int, seeds: int) -> Called:
    """Whether interactions are called, and one of the second prior and posterior."""
    values, spread = noise(rng, priors, posteriors, seeds)
    moved = values.copy()
    moved[1, 1] += ERRORS * np.sqrt((spread[:2, :2] ** 2).sum() / seeds)
    none, one = (interactions(board_of(figures)[0]) for figures in (values, moved))
    own = one[one["setting"] == "p1 × q1"]
    return bool((none["verdict"] != INCONCLUSIVE).any()), own["verdict"].item() == "better"


def compared_called(rng: np.random.Generator, seeds: int, data: int, share: float) -> Called:
    """Whether two combinations are told apart, where test data make such a share of the variance of the
    difference, and seeds the rest.
    """
    of_seeds = np.sqrt((1 - share) * seeds) * rng.standard_normal((2, seeds, 1))
    of_data = np.sqrt(share * data) * rng.standard_normal((2, 1, max(data, 1)))
    rest = rng.standard_normal((2, seeds, max(data, 1)))
    each = 5 * rng.standard_normal(max(data, 1)) + of_seeds + of_data + rest
    moved = each + ERRORS * np.sqrt(2 + 2 / rest[0].size) * np.array([0, 1])[:, None, None]
    return _called(each, data) != INCONCLUSIVE, _called(moved, data) == "better"


def _called(each: Array, data: int) -> str:
    board, measured = board_of(each.mean(axis=2)[:, None])
    kept = dict(zip(measured["key"], each.reshape(-1, each.shape[2]), strict=True)) if data else {}
    found = compare(
        board, measured, "prior=p1", "prior=p0", equal_within=0.0, per_datum=lambda key, *_: kept.get(key)
    )
    return str(found.frame["verdict"].item())


def ranks_called(rng: np.random.Generator, rows: int, seeds: int) -> Called:
    """Whether any rows have other ranks than the first, and the first of rows one of which is better."""
    spread = np.exp(rng.uniform(-np.log(3), np.log(3), rows))
    values = spread * rng.standard_normal((seeds, rows))
    moved = values.copy()
    moved[:, 0] += ERRORS * np.sqrt((spread[0] ** 2 + spread[1] ** 2) / seeds)
    none, one = (rank_groups(pd.DataFrame(figures), "higher", ALPHA)["rank"] for figures in (values, moved))
    return bool((none > 1).any()), bool(one[0] < one[1])


KINDS: dict[str, tuple[Callable[..., Called], tuple[float, ...], int]] = {
    **{f"compare, {s} seeds, no data": (compared_called, (s, 0, 0.0), 1) for s in (3, 5, 20)},
    **{f"compare, {s} seeds, 100 data": (compared_called, (s, 100, 0.9), 1) for s in (3, 5, 20)},
    **{f"effects of 2 x 2, {s} seeds": (parts_called, (2, 2, s), 2) for s in (3, 5, 20)},
    **{f"effects of 4 x 3, {s} seeds": (parts_called, (4, 3, s), 5) for s in (3, 5, 20)},
    **{f"pairs of 2 x 2, {s} seeds": (pairs_called, (2, 2, s), 1) for s in (3, 20)},
    **{f"pairs of 4 x 3, {s} seeds": (pairs_called, (4, 3, s), 6) for s in (3, 20)},
    **{f"ranks of 2 rows, {s} seeds": (ranks_called, (2, s), 1) for s in (3, 5, 20)},
    **{f"ranks of 8 rows, {s} seeds": (ranks_called, (8, s), 28) for s in (3, 5, 20)},
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
    yield f"{boards} boards of each kind, seed {SEED}\n"
    yield "| boards | false alarms | power | best |\n|---|--:|--:|--:|"
    for kind, (*_, comparisons) in KINDS.items():
        alarms, power = calls(kind, boards).mean(axis=0)
        yield f"| {kind} | {alarms:.3f} | {power:.2f} | {best_power(comparisons):.2f} |"


if __name__ == "__main__":
    for line in main(int(sys.argv[1]) if len(sys.argv) > 1 else BOARDS):
        print(line, flush=True)
