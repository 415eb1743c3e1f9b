"""How much faster the seeds of a combination train as one vectorised pack than one after another.

``python benchmarks/packs.py`` prints milliseconds per step for networks of several sizes, one thread. The
rule that chooses between the two, ``lvmbench.training.pack.VECTORIZED_LIMIT``, rests on this table.
"""

from __future__ import annotations

import statistics
import time

import torch

from lvmbench import Data, Split
from lvmbench.combinations.budget import Budget
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.parts import build
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.training.loop import Training

CASES = [(64, 32, 10), (64, 128, 3), (64, 128, 10), (784, 128, 3), (784, 256, 3), (784, 512, 3)]
STEPS, ROUNDS = 20, 5


def combination(hidden: int) -> Combination:
    options = {"hidden": hidden, "layers": 2}
    names = {"dataset": "digits", "prior": "standard_normal", "objective": "elbo", "estimator": "pathwise"}
    parts = {"posterior": Ref("gaussian", options), "decoder": Ref("bernoulli", options)}
    return Combination({**{kind: Ref(name) for kind, name in names.items()}, **parts}, latent=8)


def milliseconds(pixels: int, hidden: int, seeds: int, *, vectorized: bool) -> float:
    x = (torch.rand(512, pixels, generator=torch.Generator().manual_seed(0)) < 0.3).to(torch.uint8)
    data = Data(dict.fromkeys(("train", "validation", "test"), Split(x)), "binary", "random numbers")
    parts = [build(load_catalogue(), combination(hidden), data, seed) for seed in range(seeds)]
    training = Training(parts, range(seeds), data, Budget(), torch.device("cpu"), vectorized)
    training.steps_of(3)
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        training.steps_of(STEPS)
        times.append(1000 * (time.perf_counter() - start) / STEPS)
    return statistics.median(times)


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'pixels':>7}{'hidden':>7}{'seeds':>6}{'looped ms':>11}{'pack ms':>9}{'ratio':>7}")
    for pixels, hidden, seeds in CASES:
        looped, pack = (milliseconds(pixels, hidden, seeds, vectorized=v) for v in (False, True))
        print(f"{pixels:7}{hidden:7}{seeds:6}{looped:11.2f}{pack:9.2f}{looped / pack:7.2f}")


if __name__ == "__main__":
    main()
