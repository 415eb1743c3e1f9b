"""What measuring real images costs: the default evaluators on MNIST's 10,000 test images, by posterior.

``python benchmarks/measuring.py`` trains a model 784-400-400-20 for two epochs with each posterior, keeps it
in ``--models``, and applies the evaluators to it one after another, in a process of its own with one thread,
as a worker does. It prints the processor seconds, the most resident memory so far, and how the figures differ
from those of ``--before``, a file that an earlier call wrote to ``--out``, of the same models. About five
minutes::

    python benchmarks/measuring.py --out now.json --before before.json
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import lvmbench
from lvmbench.training.memory import keep_freed_memory

POSTERIORS = ("gaussian[hidden=400]", "coupling[hidden=400]", "iaf[hidden=400]", "svi[steps=10,pairs=1]")
EVALUATORS = ("tightness", "gradient_variance", "informativeness", "clustering")
Row = dict[str, Any]


def trained(posterior: str, folder: Path) -> Path:
    """The file of a trained model."""
    file = folder / f"{posterior}.lvmbench"
    if not file.exists():
        fitted = lvmbench.fit(
            data="mnist",
            prior="standard_normal",
            posterior=posterior,
            decoder="bernoulli[hidden=400]",
            objective="elbo",
            latent=20,
            epochs=2,
        )
        lvmbench.save(fitted, file)
    return file


def measured(file: Path, evaluators: list[str], out: Path) -> None:
    """Apply evaluators to a model, and write what each took and gave."""
    keep_freed_memory()
    fitted, found = lvmbench.load(file), {}
    kept = defaultdict[Any, Any](dict)  # as the evaluators that a worker applies to a run share
    for evaluator in evaluators:
        spent, start = time.process_time(), time.perf_counter()
        try:
            figures = pd.DataFrame(fitted.measure(evaluator, kept=kept))
        except lvmbench.Refusal as refusal:
            print(f"{evaluator}: {refusal}")
            continue
        taken = {"seconds": time.process_time() - spent, "wall": time.perf_counter() - start}
        figures = figures.astype(object).where(figures.notna(), None)
        found[evaluator] = {**taken, "resident": _resident(), "figures": figures.to_dict("records")}
    out.write_text(json.dumps(found))


def _resident() -> float:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def compared(now: list[Row], before: list[Row]) -> list[str]:
    """How far figures are from those before, in errors of the difference, and which are further than 3."""
    old = {_name(row): row for row in before}
    pairs = {_name(row): (row, old[_name(row)]) for row in now if _name(row) in old}
    apart = {name: _apart(*pair) for name, pair in pairs.items()}
    known = [each for each in apart.values() if each is not None]
    within = ", ".join(f"{sum(each <= n for each in known)} within {n}" for n in (1, 2, 3))
    far = [name for name, each in apart.items() if each is not None and each > 3]
    told = [f"  {len(pairs)} figures as before, {len(known)} with errors: {within} errors of the difference"]
    return told + [
        f"  {name}: {pairs[name][0]['value']:.5g}, was {pairs[name][1]['value']:.5g}" for name in far
    ]


def _name(row: Row) -> str:
    return " ".join(filter(None, (row["metric"], row["variant"], row["method"])))


def _apart(new: Row, then: Row) -> float | None:
    if new["stderr"] is None or then["stderr"] is None:
        return None
    # figures without draws differ by rounding
    error = math.hypot(new["stderr"], then["stderr"], 1e-6 * abs(then["value"]))
    return abs(new["value"] - then["value"]) / error if error else 0.0


def show(name: str, seconds: float, wall: float, resident: float) -> None:
    """Print what an evaluator took, or all together."""
    took = f"{seconds:7.1f} s  {wall:7.1f} s by the clock"
    print(f"{name:44} {took}  at most {resident:.0f} MiB so far", flush=True)


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--models", type=Path, default=Path("lvmbench-results/measuring"))
    ask.add_argument("--out", type=Path)
    ask.add_argument("--before", type=Path)
    ask.add_argument("--posteriors", nargs="*", default=POSTERIORS)
    ask.add_argument("--evaluators", nargs="*", default=EVALUATORS)
    ask.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)
    given = ask.parse_args()
    if given.measure:
        measured(given.measure[0], given.evaluators, given.measure[1])
        return
    given.models.mkdir(parents=True, exist_ok=True)
    before = json.loads(given.before.read_text()) if given.before else {}
    found: dict[str, Any] = {}
    for posterior in given.posteriors:
        file, out = trained(posterior, given.models), given.models / "found.json"
        command = [sys.executable, __file__, "--measure", str(file), str(out), "--evaluators"]
        subprocess.run([*command, *given.evaluators], check=True)
        ours = json.loads(out.read_text())
        for evaluator, one in ours.items():
            name = f"{posterior} {evaluator.partition('[')[0]}"
            found[name] = one
            show(name, one["seconds"], one["wall"], one["resident"])
            if name in before:
                print("\n".join(compared(one["figures"], before[name]["figures"])), flush=True)
        totals = (sum(one[column] for one in ours.values()) for column in ("seconds", "wall"))
        show(f"{posterior} together", *totals, max(one["resident"] for one in ours.values()))
        if given.out:
            given.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
