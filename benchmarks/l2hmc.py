"""How many effective samples a gradient is worth: learned leapfrog steps beside Hamiltonian Monte Carlo.

``python benchmarks/l2hmc.py`` takes one thread and some minutes, about half of them for training. Targets are
those of Levy, Hoffman and Sohl-Dickstein (2018): a normal in 50 dimensions whose variances go from 0.01 to
100, and one in 2 dimensions with variances of 0.1 and 100, turned by 45 degrees. HMC is tuned over a grid of
step sizes, numbers of leapfrog steps, and shares by which step sizes are scattered, from transition to
transition, so that no coordinate comes round to where it was. L2HMC is trained from exact draws.

Chains start from exact draws, and what a chain's mean is worth follows from the variance of means over
chains: the effective sample size of N draws is Var(f) / Var(mean of f). It is given for places as a whole, by
sums over coordinates, as the paper has it, where the wide ones count most; and for the coordinate along the
axes of the normal, or its square, that has the least. All is per gradient of the log density: a transition of
L leapfrog steps takes L, whatever else it computes. The grid is searched with one seed, and its best measured
with others, each of which is a training of L2HMC, too.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from lvmbench import Noise, Stream
from lvmbench.kernels.hmc import Place, transition
from lvmbench.kernels.l2hmc import LearnedLeapfrog, jump_loss, learned_transition

CHAINS, TRANSITIONS, SEEDS = 400, 400, 3
SEARCHED = 100, 100
"""The chains and the transitions by which the grid is searched."""
Move = Callable[[Place, Noise], Place]


class Normal:
    """A normal with mean 0, whose slope is known."""

    def __init__(self, covariance: Tensor) -> None:
        self.precision = torch.linalg.inv(covariance)
        self.variances, self.axes = torch.linalg.eigh(covariance)

    def at(self, z: Tensor) -> Place:
        slope = -z @ self.precision
        return Place(z, 0.5 * (z * slope).sum(-1), slope)

    def log_density(self, state: Place) -> Tensor:
        return state.log_density

    def slope(self, state: Place) -> Tensor:
        return state.slope

    def draw(self, noise: Noise, chains: int) -> Place:
        return self.at(noise.normal((chains, len(self.variances))) * self.variances.sqrt() @ self.axes.T)


class Case(NamedTuple):
    """A target, the grid of HMC (leapfrog steps, step sizes, scatter), and how L2HMC is trained on it."""

    target: Normal
    grid: tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]
    leapfrogs: int
    hidden: int
    scale: float
    training: int


def cases() -> dict[str, Case]:
    """Both targets."""
    turned = torch.tensor([[50.05, -49.95], [-49.95, 50.05]])
    spread = torch.diag(torch.logspace(-2, 2, 50))
    wide = ((10, 25, 50, 75, 100), (0.1, 0.13, 0.16), (0.0, 0.2, 0.5))
    narrow = ((10, 20, 30, 40, 50), (0.3, 0.35, 0.4, 0.45, 0.5, 0.55), (0.0, 0.2))
    return {
        "2 dimensions, turned": Case(Normal(turned), narrow, 2, 16, 50**0.5, 3000),
        "50 dimensions, 0.01 to 100": Case(Normal(spread), wide, 3, 32, 1000**0.5, 2500),
    }


class Worth(NamedTuple):
    """Effective sample sizes: of places as a whole, and of the coordinate or square that has the least."""

    whole: float
    least: float

    def per(self, gradients: int) -> Worth:
        return Worth(*(size / gradients for size in self))


@torch.no_grad()
def worth(
    target: Normal, move: Move, seed: int, chains: int = CHAINS, transitions: int = TRANSITIONS
) -> Worth:
    """What a transition is worth."""
    noise = Stream.seeded(seed, "chains")
    state, total = target.draw(noise, chains), torch.zeros(())
    for _ in range(transitions):
        state = move(state, noise)
        values = state.z @ target.axes
        total = total + torch.cat([values, values.square() - target.variances], 1)
    variances = torch.cat([target.variances, 2 * target.variances.square()])
    errors, size = (total / transitions).square().mean(0) * transitions, len(target.variances)
    whole = variances[:size].sum() / errors[:size].sum()
    return Worth(whole.item(), (variances / errors).min().item())


def ordinary(target: Normal, leapfrogs: int, step: float, scatter: float) -> Move:
    """Hamiltonian transitions."""

    def move(state: Place, noise: Noise) -> Place:
        sizes = step * (1 + scatter * (2 * noise.uniform((len(state.z),)) - 1))
        return transition(target, state, sizes, leapfrogs, noise)[0]

    return move


def trained(case: Case, seed: int) -> Move:
    """Transitions by steps that were learned."""
    torch.manual_seed(seed)
    target, noise = case.target, Stream.seeded(seed, "training")
    kernel = LearnedLeapfrog((len(target.variances),), case.leapfrogs, hidden=case.hidden)
    optimizer = torch.optim.Adam(kernel.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, case.training)
    state = target.draw(noise, 200)
    for _ in range(case.training):
        moved, _, jump = learned_transition(kernel, target, state, noise)
        optimizer.zero_grad()
        jump_loss(jump, case.scale).mean().backward()
        optimizer.step()
        schedule.step()
        state = Place(*(part.detach() for part in moved))
    return lambda state, noise: learned_transition(kernel, target, state, noise)[0]


def compare(name: str, case: Case) -> None:
    """Print a row for the best setting of HMC by each figure, and one for L2HMC."""
    seeds = range(1, SEEDS + 1)
    searched = {
        setting: worth(case.target, ordinary(case.target, *setting), 0, *SEARCHED).per(setting[0])
        for setting in itertools.product(*case.grid)
    }
    for index in range(2):
        best = max(searched, key=lambda setting: searched[setting][index])
        found = [worth(case.target, ordinary(case.target, *best), seed).per(best[0]) for seed in seeds]
        row(name, f"HMC, {best[0]} steps of {best[1]}, scattered by {best[2]:.0%}", found)
    start = time.process_time()
    moves = [trained(case, seed) for seed in seeds]
    seconds = (time.process_time() - start) / SEEDS
    learned = [worth(case.target, move, s).per(case.leapfrogs) for move, s in zip(moves, seeds, strict=True)]
    row(name, f"L2HMC, {case.leapfrogs} steps, trained {case.training} times in {seconds:.0f} s", learned)


def row(name: str, what: str, found: list[Worth]) -> None:
    """Print the mean, and the least and the most of all seeds."""
    cells = (f"{sum(v) / len(v):.4f} ({min(v):.4f} to {max(v):.4f})" for v in zip(*found, strict=True))
    print(f"| {name} | {what} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    torch.set_num_threads(1)
    print("| target | sampler | places as a whole | the least |\n| --- | --- | --- | --- |")
    for name, case in cases().items():
        compare(name, case)


if __name__ == "__main__":
    main()
