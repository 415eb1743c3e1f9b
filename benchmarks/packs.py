"""How much faster runs train in one vectorised pack: seeds than one by one, settings than in packs of each.

``python benchmarks/packs.py`` prints milliseconds of processor time per step, on one thread, each side in
turn. The first table is of the seeds of one combination; the rule that chooses,
``lvmbench.training.pack.VECTORIZED_LIMIT``, rests on it. The second is of 5 settings with 3 seeds each, on
digits, after it has checked that both sides train the same weights. The third is of whole trainings of 8
runs with patience, in seconds: where runs that have stopped stay in their pack, and where they leave it; it
needs the images of ``static_mnist``. ``python benchmarks/packs.py patience`` is one of the tables.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from lvmbench import Data, Split
from lvmbench.combinations.budget import Budget
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.parts import build
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.training import SeedResult, loop
from lvmbench.training.learner import Learner
from lvmbench.training.loop import Training
from lvmbench.training.precision import matmul_precision

SMALL = [(64, 32, 10), (64, 128, 3), (64, 128, 10), (784, 128, 3), (784, 256, 3), (784, 512, 3)]
LARGE = [(784, 1000, 3), (784, 1000, 10), (784, 1400, 3), (784, 1800, 3)]
FLOWS = [(784, 256, 3), (784, 512, 3), (784, 1024, 3)]
CASES = [*(("gaussian", *case) for case in SMALL + LARGE), *(("iaf", *case) for case in FLOWS)]
"""Posterior, pixels, hidden units, seeds."""
OPTIONS = {"gaussian": {"layers": 2}, "iaf": {"flows": 4}}
STEPS, ROUNDS, WARM = 20, 5, 30
"""Steps that are timed, how often, and how many come before: by then a step is replayed."""
CATALOGUE, CPU = load_catalogue(), torch.device("cpu")
SEEDS = range(3)
SETTINGS = {
    "elbo, 5 betas": [f"elbo[beta={beta}]" for beta in (0.25, 0.5, 1.0, 2.0, 4.0)],
    "iwae, 5 learning rates": ["iwae"] * 5,
    "renyi, 5 orders": [f"renyi[alpha={alpha}]" for alpha in (-1.0, 0.25, 0.5, 1.0, 2.0)],
}
RATES = {"iwae, 5 learning rates": [3e-4, 1e-3, 2e-3, 3e-3, 1e-2]}
WIDTHS = (32, 128, 256)


class Patience(NamedTuple):
    """A case of the third table: so many of the images, and how they are trained on; with 8 seeds in all."""

    dataset: str
    images: int
    patience: int
    rates: Sequence[float]


PATIENCE = [
    Patience("digits", 1257, 3, [1e-2]),
    Patience("digits", 1257, 5, [3e-3, 6e-3, 1e-2, 2e-2]),
    Patience("static_mnist", 10_000, 3, [1e-2]),
    Patience("static_mnist", 5_000, 3, [3e-3, 6e-3, 1e-2, 2e-2]),
]


def combination(hidden: int, objective: str = "elbo", posterior: str = "gaussian") -> Combination:
    options = {"hidden": hidden, "layers": 2}
    names = {"dataset": "digits", "prior": "standard_normal", "objective": objective, "estimator": "pathwise"}
    encoder = Ref(posterior, {"hidden": hidden, **OPTIONS[posterior]})
    parts = {"posterior": encoder, "decoder": Ref("bernoulli", options)}
    return Combination({**{kind: Ref.parse(name) for kind, name in names.items()}, **parts}, latent=8)


def random_pixels(pixels: int) -> Data:
    x = (torch.rand(512, pixels, generator=torch.Generator().manual_seed(0)) < 0.3).to(torch.uint8)
    return Data(dict.fromkeys(("train", "validation", "test"), Split(x)), "binary", "random numbers")


def pack(
    data: Data, combinations: Sequence[Combination], rates: Sequence[float], *, vectorized: bool
) -> Training:
    """A pack of these combinations with each of their seeds; ``rates`` are those of the combinations."""
    runs = [(c, rate, seed) for c, rate in zip(combinations, rates, strict=True) for seed in SEEDS]
    parts = [build(CATALOGUE, c, data, seed) for c, _, seed in runs]
    seeds = [seed for *_, seed in runs]
    return Training(parts, seeds, data, Budget(), CPU, vectorized, rates=[rate for _, rate, _ in runs])


def take(side: Sequence[Training], steps: int) -> None:
    """Take some steps of each training, with the products that it has while it trains."""
    for training in side:
        with matmul_precision("highest", CPU, training.product):
            training.steps_of(steps)


def in_turn(*sides: Sequence[Training]) -> list[float]:
    """Milliseconds of processor time that a step of all trainings of each side takes, each side in turn."""
    times: list[list[float]] = [[] for _ in sides]
    for side in sides:
        take(side, WARM)
    for _ in range(ROUNDS):
        for side, found in zip(sides, times, strict=True):
            take(side, 1)
            start = time.process_time()
            take(side, STEPS)
            found.append(1000 * (time.process_time() - start) / STEPS)
    return [statistics.median(found) for found in times]


def check_equal(one: Sequence[Training], other: Sequence[Training], steps: int = 10) -> float:
    """The largest relative distance between the weights of a run on both sides, after some steps."""
    weights = []
    for side in (one, other):
        for training in side:
            training.steps_of(steps)
        names = side[0].pack.parameters
        rows = [torch.cat([t.pack.parameters[n].detach() for t in side]).flatten(1) for n in names]
        weights.append(torch.cat(rows, 1))
    distance = (weights[0] - weights[1]).norm(dim=1) / weights[1].norm(dim=1)
    assert distance.max() < 1e-3, "the two sides train other weights"
    return float(distance.max())


def seeds() -> None:
    heads = (
        f"{'pixels':>7}{'hidden':>7}{'seeds':>6}{'parameters':>11}{'looped ms':>11}{'pack ms':>9}{'ratio':>7}"
    )
    print(f"{'posterior':10}{heads}")
    for posterior, pixels, hidden, count in CASES:
        data, what = random_pixels(pixels), combination(hidden, posterior=posterior)
        parts = [[build(CATALOGUE, what, data, s) for s in range(count)] for _ in range(2)]
        size = sum(p.numel() for p in Learner(parts[0][0]).parameters())
        sides = [
            Training(p, range(count), data, Budget(), CPU, v)
            for p, v in zip(parts, (False, True), strict=True)
        ]
        looped, packed = in_turn(*([side] for side in sides))
        figures = f"{looped:11.2f}{packed:9.2f}{looped / packed:7.2f}"
        print(f"{posterior:10}{pixels:7}{hidden:7}{count:6}{size:11}{figures}", flush=True)


def settings() -> None:
    heads = f"{'5 packs ms':>12}{'1 pack ms':>11}{'ratio':>7}{'distance':>11}"
    print(f"\n{'5 settings x 3 seeds':24}{'hidden':>7}{heads}")
    data = CATALOGUE.build("dataset", Ref("digits")).load()
    for label, objectives in SETTINGS.items():
        rates = RATES.get(label, [1e-3] * len(objectives))
        for hidden in WIDTHS:
            combinations = [combination(hidden, objective) for objective in objectives]
            apart = [pack(data, [c], [r], vectorized=True) for c, r in zip(combinations, rates, strict=True)]
            together = [pack(data, combinations, rates, vectorized=True)]
            distance = check_equal(together, apart)
            five, one = in_turn(apart, together)
            print(f"{label:24}{hidden:7}{five:12.2f}{one:11.2f}{five / one:7.2f}{distance:11.1e}")


def first_images(dataset: str, count: int) -> Data:
    """A data set with so many training images, and a fifth as many for validation at most."""
    data = CATALOGUE.build("dataset", Ref(dataset)).load()
    sizes = {"train": count, "validation": count // 5}
    few = {name: replace(data.splits[name], x=data.splits[name].x[:size]) for name, size in sizes.items()}
    return replace(data, splits={**data.splits, **few})


def whole(data: Data, case: Patience, worth: float) -> tuple[float, list[SeedResult]]:
    """Seconds of processor time of a whole training of 8 runs that leave where that saves so many steps."""
    loop.REPAID = worth
    parts = [build(CATALOGUE, combination(128), data, seed) for seed in range(8)]
    rates = [rate for rate in case.rates for _ in range(8 // len(case.rates))]
    budget = Budget(epochs=400, patience=case.patience)
    training = Training(parts, range(8), data, budget, CPU, rates=rates)
    with matmul_precision("highest", CPU, training.product):
        start = time.process_time()
        results = training.run(lambda epoch: None)
        return time.process_time() - start, results


def distance(one: SeedResult, other: SeedResult) -> float:
    """The relative distance between the weights of a run that is in both trainings."""
    assert (one.epochs, one.best_epoch) == (other.epochs, other.best_epoch), "the two sides end differently"
    a, b = (torch.cat([w.flatten() for w in result.weights.values()]) for result in (one, other))
    return float((a - b).norm() / b.norm())


def patience() -> None:
    heads = f"{'patience':>9}{'rates':>6}{'epochs':>10}{'needed':>8}{'stay s':>8}{'leave s':>9}{'ratio':>7}"
    print(f"\n{'8 runs, 128 hidden':24}{heads}{'distance':>11}")
    repaid = loop.REPAID
    for case in PATIENCE:
        data = first_images(case.dataset, case.images)
        (stay, one), (leave, other) = (whole(data, case, worth) for worth in (math.inf, repaid))
        far = max(map(distance, one, other))
        assert far < 1e-3, "the two sides train other weights"
        epochs = [result.epochs for result in one]
        needed = sum(epochs) / (len(epochs) * max(epochs))
        what = f"{case.dataset + f', {case.images}':24}{case.patience:9}{len(case.rates):6}"
        spread = f"{min(epochs)} to {max(epochs)}"
        figures = f"{needed:8.2f}{stay:8.2f}{leave:9.2f}{stay / leave:7.2f}{far:11.1e}"
        print(f"{what}{spread:>10}{figures}", flush=True)


TABLES = {"seeds": seeds, "settings": settings, "patience": patience}


def main() -> None:
    torch.set_num_threads(1)
    for name in sys.argv[1:] or TABLES:
        TABLES[name]()


if __name__ == "__main__":
    main()
