"""How long a leaderboard and a report take where there are many measurements, and how large the report is.

``python benchmarks/report.py`` makes the tables of a grid of 1,000 combinations with 10 seeds of 100 figures
each, 1,000,000 measurements, and of one of 200 combinations with 5 seeds of 40 figures. For each it prints
how long it takes to read them and make the board, and then the report from the folder to the file, on the
clock and of the processor; the size of that file, and the most memory that the process has held.
"""

from __future__ import annotations

import itertools
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import lvmbench
from lvmbench.kinds import PARTS

FIGURES = ("elbo", "log_likelihood", "gap", "rate", "distortion", "active_units", "nmi", "train_seconds")
SIZES = {"1,000,000 measurements": ((10, 10, 5, 2), 10, 100), "200 combinations": ((5, 5, 4, 2), 5, 40)}


def grid(counts: tuple[int, ...], seeds: int) -> pd.DataFrame:
    """The records of a grid of so many priors, posteriors, decoders and objectives."""
    kinds = PARTS[1:5]
    names = [[f"{kind}_{i}[width={2**i}]" for i in range(n)] for kind, n in zip(kinds, counts, strict=True)]
    rows = [
        {"dataset": "digits", **dict(zip(kinds, words, strict=True)), "estimator": "pathwise", "seed": seed}
        for words in itertools.product(*names)
        for seed in range(seeds)
    ]
    records = pd.DataFrame(rows)
    same = {
        "suite": "large",
        "suite_version": 1,
        "latent": 8,
        "status": "ok",
        "reason": "",
        "train_seconds": 3.0,
    }
    return records.assign(key=[f"{i:064x}" for i in range(len(records))], **same)


def measure(records: pd.DataFrame, figures: int, rng: np.random.Generator) -> pd.DataFrame:
    """So many figures of each run, those of the same combination alike."""
    level = records.groupby(list(PARTS), sort=False).ngroup().to_numpy()
    parts = []
    for i in range(figures):
        metric, variant = FIGURES[i % len(FIGURES)], "" if i < len(FIGURES) else str(i)
        words = {"evaluator": "all", "split": "test", "metric": metric, "variant": variant, "method": ""}
        value = -90 - 0.01 * level + rng.normal(0, 0.3, len(records))
        parts.append(
            records[["key", *PARTS, "seed"]].assign(
                **words, value=value, stderr=0.1, unit="nats", better="higher"
            )
        )
    return pd.concat(parts, ignore_index=True)


def write(folder: Path, counts: tuple[int, ...], seeds: int, figures: int) -> int:
    """A folder as a published board is; how many measurements it has."""
    records = grid(counts, seeds)
    measurements = measure(records, figures, np.random.default_rng(0))
    records.to_csv(folder / "records.csv", index=False)
    measurements.to_csv(folder / "measurements.csv", index=False)
    (folder / "suite.yaml").write_text("suite: large\nversion: 1\n")
    return len(measurements)


def _timed(work: Callable[[], Any]) -> tuple[Any, str]:
    """What some work gives, and the seconds that it took: on the clock, and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    found = work()
    return found, f"{time.perf_counter() - clock:.1f} s ({time.process_time() - processor:.1f} s)"


def main() -> None:
    """Print the table."""
    for name, (counts, seeds, figures) in SIZES.items():
        with tempfile.TemporaryDirectory() as text:
            found = write(Path(text), counts, seeds, figures)
            results = lvmbench.load(text)
            board, of_board = _timed(results.board)
            file, of_report = _timed(results.report)
            size = file.stat().st_size / 1e6
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{name}: {found:,} measurements, {len(board.frame):,} rows")
        print(f"  board {of_board}, report {of_report} of {size:.1f} MB, {memory:.2f} GiB")


if __name__ == "__main__":
    main()
