"""How much faster the seeds of a combination train as one vectorised pack than one after another.

``python benchmarks/packs.py`` prints milliseconds of processor time per step for networks of several sizes,
one thread, both sides in turn. The rule that chooses between the two,
``lvmbench.training.pack.VECTORIZED_LIMIT``, rests on this table.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from _gpu.pieces import combined, in_turn, training

from lvmbench import Data, Split
from lvmbench.training.graph import faster
from lvmbench.training.precision import matmul_precision

CPU = torch.device("cpu")
CASES = [(64, 32, 8, 10), (64, 128, 8, 3), (64, 128, 8, 10), (784, 128, 16, 3), (784, 512, 16, 3)]
SIDES = {"one by one": False, "pack": True}


def steps(pixels: int, hidden: int, latent: int, seeds: int, *, vectorized: bool) -> Callable[[int], None]:
    """Steps of a training, with the products that it has."""
    x = (torch.rand(512, pixels, generator=torch.Generator().manual_seed(0)) < 0.3).to(torch.uint8)
    data = Data(dict.fromkeys(("train", "validation", "test"), Split(x)), "binary", "random numbers")
    combination = combined("standard_normal gaussian bernoulli elbo pathwise", latent, hidden)
    pack = training(combination, seeds, data, CPU, vectorized=vectorized, wrap=faster(CPU, warm=3))

    def some(count: int) -> None:
        with matmul_precision("highest", CPU, pack.product):
            pack.steps_of(count)

    return some


def main() -> None:
    torch.set_num_threads(1)
    print("| network | seeds | one by one, ms | pack, ms | ratio |\n| --- | --- | --- | --- | --- |")
    for pixels, hidden, latent, seeds in CASES:
        sides = {n: steps(pixels, hidden, latent, seeds, vectorized=v) for n, v in SIDES.items()}
        looped, pack = in_turn(sides, steps=10).values()
        size = f"{pixels}-{hidden}-{hidden}-{latent}"
        print(f"| {size} | {seeds} | {looped.text} | {pack.text} | {looped.median / pack.median:.2f} |")


if __name__ == "__main__":
    main()
