"""How close the bootstrap filter comes to log p(x), by the number of particles, beside importance sampling.

``python benchmarks/bootstrap_filter.py`` draws sequences of 50 steps from a linear-Gaussian model, whose
log p(x) the Kalman filter knows, and lets particles that follow the prior walk along them: nothing is
trained. It prints, for each number of particles N, by how much the mean of log Z falls short of log p(x), its
standard deviation from sweep to sweep, and the mean of Z / p(x); then what falls short with as many samples
of whole sequences. The mean of Z is p(x) for any N, but of few particles rests on sweeps too rare to be met.
It takes half a minute.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lvmbench import DiagonalNormal, Stream
from lvmbench.kernels.kalman import LinearSystem
from lvmbench.kernels.smc import Resampling, sweep
from lvmbench_plugins.datasets.linear_gaussian_sequences import LinearGaussianSequences

SEQUENCES, SWEEPS, STEPS = 20, 50, 50
PARTICLES = (4, 16, 64, 256, 1024)
FILTER, SAMPLES = Resampling("ess", 0.5, "systematic"), Resampling("never")


class Truth:
    """The model that the data are drawn from, along sequences ``(B, T, D)``."""

    def __init__(self, system: LinearSystem, x: Tensor) -> None:
        self.system, self.x = system, x
        self.lasting = torch.ones(x.shape[:2], dtype=torch.bool)

    def start(self, samples: int) -> Tensor:
        """The mean of the first step."""
        return self.system.loc.expand(samples, len(self.x), -1)

    def p(self, t: int, h: Tensor) -> DiagonalNormal:
        """Of a context that is the mean of the step."""
        scale = self.system.innovation if t else self.system.scale
        return DiagonalNormal(h, scale.diagonal().log())

    q = p

    def log_likelihood(self, t: int, z: Tensor, h: Tensor) -> Tensor:
        """log p(x_t | z_t)."""
        mean = z @ self.system.emission.mT + self.system.bias
        return DiagonalNormal(mean, self.system.log_noise).log_prob(self.x[:, t])

    def advance(self, t: int, h: Tensor, z: Tensor) -> Tensor:
        """The mean of the next step."""
        return z @ self.system.transition.mT + self.system.drift


def row(way: Truth, exact: Tensor, particles: int) -> str:
    """A row of the table."""
    log_z, samples = (_found(way, exact, particles, resampling) for resampling in (FILTER, SAMPLES))
    ratio = log_z.exp().mean(0)
    figures = [*_mean(-log_z.mean(0)), log_z.std(0).mean(), *_mean(ratio), *_mean(-samples.mean(0))]
    return "| {} | {:.2f} ± {:.2f} | {:.2f} | {:.2f} ± {:.2f} | {:.1f} ± {:.1f} |".format(particles, *figures)


def _found(way: Truth, exact: Tensor, particles: int, resampling: Resampling) -> Tensor:
    """log Z - log p(x) of each sweep and sequence."""
    noise = Stream.seeded(0, particles, dtype=torch.float64)
    sweeps = (sweep(way, noise, particles, resampling, bootstrap=True) for _ in range(SWEEPS))
    return torch.stack([found.log_z for found in sweeps]) - exact


def _mean(values: Tensor) -> tuple[float, float]:
    """The mean over sequences, and its standard error."""
    return values.mean().item(), values.std().item() / math.sqrt(len(values))


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    source = LinearGaussianSequences(steps=STEPS, shortest=STEPS, train=1, validation=1, test=SEQUENCES)
    data = source.load()
    x = data.splits["test"].x.double()
    assert data.log_prob is not None
    exact = data.log_prob(x)
    print(f"log p(x) of {SEQUENCES} sequences of {STEPS} steps: {exact.mean():.2f} on average\n")
    print(
        "| N | log p(x) less the mean log Z | spread of log Z | mean of Z / p(x) | by importance sampling |"
    )
    print("| --- | --- | --- | --- | --- |")
    for particles in PARTICLES:
        print(row(Truth(source.system, x), exact, particles), flush=True)


if __name__ == "__main__":
    main()
