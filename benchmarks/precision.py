"""What rounded matrix products gain and change: ``python benchmarks/precision.py``: minutes on one thread.

For each precision: the processor time of a step of 784-512-512-16 at batch 128, in turn with the others and
with exact products by the kernels that torch takes by itself; by how much the bound and the gradient of a
step differ from those at ``highest`` with the same weights and noise; and what models come to that are
trained with it on the digits and on MNIST, by log p(x) of the test images, paired over seeds, where the
processor gains by it. Then by how much log p(x) and the ELBO of 500 test images of a model of MNIST and of
one of the digits differ, where the products of the decoder alone are rounded: with the same 1,000 draws for
each image, paired over images. The last row of each multiplies as units for bfloat16 do, wherever it is run:
numbers are rounded to bfloat16, and sums taken in float32.
"""

from __future__ import annotations

import copy
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from _gpu.pieces import Replay, catalogue, difference, training
from _gpu.sections import Setting
from _gpu.speed import large
from measuring import POSTERIORS, trained
from scipy.stats import t as student
from torch import Tensor, nn

import lvmbench
from lvmbench import LatentVariableModel
from lvmbench.combinations.parts import build
from lvmbench.options import Precision
from lvmbench.training.precision import decoding_precision, has_fast_products, matmul_precision
from lvmbench_plugins.evaluators._common import some_data
from lvmbench_plugins.evaluators.tightness import Tightness

CPU = torch.device("cpu")
PARTS = {"prior": "standard_normal", "posterior": "gaussian", "decoder": "bernoulli", "objective": "elbo"}
WIDE = {**PARTS, "posterior": "gaussian[hidden=512]", "decoder": "bernoulli[hidden=512]"}
"""Networks whose products are large enough to be rounded."""
TRAINED = {"digits": 30, "mnist": 2}
"""What models are trained on, and for how many epochs."""
PRECISIONS: tuple[Precision, ...] = ("highest", "high", "medium")
TORCH = "as torch has it"
ROUNDS, STEPS, SEEDS, IMAGES, DRAWS = 7, 10, 5, 500, 1000


def seconds() -> dict[str, float]:
    """The median processor time of a step, for each precision in turn, and as torch has it by itself."""
    size = large(Setting(CPU, False, float("inf")))
    found: dict[str, list[float]] = {name: [] for name in (*PRECISIONS, TORCH)}
    ways = {TORCH: nullcontext, **{p: partial(matmul_precision, p, CPU) for p in PRECISIONS}}
    # each its own, as a step that was recorded stays as it was
    packs = {name: training(size.combination(), 1, size.data, CPU) for name in found}
    for _ in range(ROUNDS):
        for name, times in found.items():
            with ways[name]():
                pack = packs[name]
                pack.steps_of(STEPS)
                start = time.process_time()
                pack.steps_of(STEPS)
                times.append((time.process_time() - start) / STEPS)
    return {name: statistics.median(times) for name, times in found.items()}


def differences() -> dict[str, tuple[float, float]]:
    """By how much the bound and the gradient of a step differ from those at ``highest``."""
    size = large(Setting(CPU, False, float("inf")))
    replay = Replay(
        build(catalogue(), size.combination(), size.data, seed=0), size.data.splits["train"].values[:128]
    )
    exact, found = replay.step(CPU), {}
    for precision in PRECISIONS:
        with matmul_precision(precision, CPU):
            step = replay.step(CPU)
        found[precision] = abs(step.bound / exact.bound - 1), difference(step.gradient, exact.gradient)
    return found


def models(data: str, epochs: int) -> pd.DataFrame:
    """log p(x) of test images by models: a row for each seed, a column for each precision that differs."""
    differ = [p for p in PRECISIONS if p == "highest" or has_fast_products(p, CPU)]
    return pd.DataFrame([{p: _log_p(data, epochs, p, seed) for p in differ} for seed in range(SEEDS)])


def _log_p(data: str, epochs: int, precision: Precision, seed: int) -> float:
    fitted = lvmbench.fit(data=data, **WIDE, epochs=epochs, seed=seed, precision=precision)
    found = fitted.measure("tightness[samples=100]")
    return next(float(row["value"]) for row in found if row["metric"] == "log_likelihood")


def measured(fitted: lvmbench.Fitted) -> Iterator[tuple[str, str, float, float]]:
    """By how much each figure differs from that at ``highest``, and half the width of the interval."""
    exact = figures(fitted, fitted.model, "highest")
    found = {precision: figures(fitted, fitted.model, precision) for precision in PRECISIONS[1:]}
    found["bfloat16"] = figures(fitted, rounding(fitted.model), "highest")
    for precision, values in found.items():
        for name, each in values.items():
            change = each - exact[name]
            width = student.ppf(0.975, len(change) - 1) * change.std() / len(change) ** 0.5
            yield precision, name, change.mean().item(), width.item()


def figures(fitted: lvmbench.Fitted, model: LatentVariableModel, precision: Precision) -> dict[str, Tensor]:
    """log p(x) and the ELBO of each of some test images, ``(N,)``."""
    subject, instrument = replace(fitted.subject(), model=model), Tightness(samples=DRAWS, repeats=2)
    batches = instrument.batches(subject, some_data(subject, IMAGES))
    with torch.no_grad(), decoding_precision(precision, model.decoder, CPU):
        found = instrument.figures(subject, batches, subject.noise("precision"))
    names = {"log p": ("log_likelihood", "", "importance"), "ELBO": ("elbo", "", "")}
    return {name: found[key].value.double() for name, key in names.items()}


def rounding(model: LatentVariableModel) -> LatentVariableModel:
    """A copy whose decoder multiplies numbers that are rounded to bfloat16, and adds them up in float32."""
    model = copy.deepcopy(model)
    for layer in model.decoder.modules():
        if isinstance(layer, nn.Linear):
            layer.weight.data = _rounded(layer.weight.data)
            layer.register_forward_pre_hook(lambda _, given: tuple(map(_rounded, given)))
    return model


def _rounded(numbers: Tensor) -> Tensor:
    return numbers.bfloat16().float()


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the table says where a precision gains nothing
    times, apart = seconds(), differences()
    print("| precision | gains here | ms per step | bound | gradient |\n| --- | --- | --- | --- | --- |")
    for precision in PRECISIONS:
        gains = "" if precision == "highest" else "yes" if has_fast_products(precision, CPU) else "no"
        step = f"{1e3 * times[precision]:.2f} | {apart[precision][0]:.1g} | {apart[precision][1]:.1g}"
        print(f"| {precision} | {gains} | {step} |")
    print(f"| {TORCH} | | {1e3 * times[TORCH]:.2f} | | |")
    print("\n| models of | trained with | log p(x) less that at highest |\n| --- | --- | --- |")
    for data, epochs in TRAINED.items():
        ended = models(data, epochs)
        for precision in ended.columns[1:]:
            change = ended[precision] - ended["highest"]
            width = student.ppf(0.975, SEEDS - 1) * change.std() / SEEDS**0.5
            print(f"| {data} | {precision} | {change.mean():+.4f} ± {width:.4f} |")
    print("\n| data | products | log p(x) less that at highest | ELBO less that at highest |")
    print("| --- | --- | --- | --- |")
    for data, fitted in subjects():
        rows = pd.DataFrame(measured(fitted), columns=["precision", "figure", "change", "width"])
        for precision, row in rows.groupby("precision", sort=False):
            told = [
                f"{change:+.4f} ± {width:.4f}" for change, width in zip(row.change, row.width, strict=True)
            ]
            print(f"| {data} | {precision} | {' | '.join(told)} |")


def subjects() -> Iterator[tuple[str, lvmbench.Fitted]]:
    """A model of MNIST, of two epochs, and one of the digits."""
    with tempfile.TemporaryDirectory() as folder:
        yield "mnist", lvmbench.load(trained(POSTERIORS[0], Path(folder)))
    yield "digits", lvmbench.fit(data="digits", **PARTS, epochs=30)


if __name__ == "__main__":
    main()
