"""What rounded matrix products gain and change: ``python benchmarks/precision.py``, a minute on one thread.

For each precision: the processor time of a step of 784-512-512-16 at batch 128, in turn with the others; by
how much the bound and the gradient of a step differ from those at ``highest`` with the same weights and
noise; and what models come to that are trained with it on the digits, by log p(x) of the test images, paired
over seeds.
"""

from __future__ import annotations

import statistics
import time

import pandas as pd
import torch
from _gpu.pieces import Replay, catalogue, difference, training
from _gpu.sections import Setting
from _gpu.speed import large
from scipy.stats import t as student

import lvmbench
from lvmbench.combinations.parts import build
from lvmbench.training.precision import has_fast_products

CPU = torch.device("cpu")
PRECISIONS = ("highest", "high", "medium")
ROUNDS, STEPS, SEEDS = 7, 10, 5


def seconds() -> dict[str, float]:
    """The median processor time of a step, for each precision in turn."""
    size = large(Setting(CPU, False, float("inf")))
    pack = training(size.combination(), 1, size.data, CPU)
    found: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    for _ in range(ROUNDS):
        for precision, times in found.items():
            torch.set_float32_matmul_precision(precision)
            pack.steps_of(2)
            start = time.process_time()
            pack.steps_of(STEPS)
            times.append((time.process_time() - start) / STEPS)
    torch.set_float32_matmul_precision("highest")
    return {precision: statistics.median(times) for precision, times in found.items()}


def differences() -> dict[str, tuple[float, float]]:
    """By how much the bound and the gradient of a step differ from those at ``highest``."""
    size = large(Setting(CPU, False, float("inf")))
    replay = Replay(
        build(catalogue(), size.combination(), size.data, seed=0), size.data.splits["train"].values[:128]
    )
    exact, found = replay.step(CPU), {}
    for precision in PRECISIONS:
        torch.set_float32_matmul_precision(precision)
        step = replay.step(CPU)
        found[precision] = abs(step.bound / exact.bound - 1), difference(step.gradient, exact.gradient)
    torch.set_float32_matmul_precision("highest")
    return found


def trained() -> pd.DataFrame:
    """log p(x) of models of the digits: a row for each seed, a column for each precision."""
    return pd.DataFrame([{p: _log_p(p, seed) for p in PRECISIONS} for seed in range(SEEDS)])


def _log_p(precision: str, seed: int) -> float:
    parts = {"prior": "standard_normal", "posterior": "gaussian", "decoder": "bernoulli", "objective": "elbo"}
    fitted = lvmbench.fit(data="digits", **parts, epochs=30, seed=seed, precision=precision)
    found = fitted.measure("tightness[samples=200]")
    return next(float(row["value"]) for row in found if row["metric"] == "log_likelihood")


def main() -> None:
    torch.set_num_threads(1)
    times, apart, models = seconds(), differences(), trained()
    print("| precision | gains here | ms per step | bound | gradient | log p(x) less that at highest |")
    print("| --- | --- | --- | --- | --- | --- |")
    for precision in PRECISIONS:
        change = models[precision] - models["highest"]
        width = student.ppf(0.975, SEEDS - 1) * change.std() / SEEDS**0.5
        gains = "" if precision == "highest" else "yes" if has_fast_products(precision, CPU) else "no"
        step = f"{1e3 * times[precision]:.2f} | {apart[precision][0]:.1g} | {apart[precision][1]:.1g}"
        print(f"| {precision} | {gains} | {step} | {change.mean():.4f} ± {width:.4f} |")


if __name__ == "__main__":
    main()
