"""Many draws and densities, so few at a time that what networks make of them stays near the processor."""

from __future__ import annotations

import torch
from torch import Tensor

from lvmbench.distributions import Distribution
from lvmbench.noise import Noise

AT_ONCE = 1000
"""Of 20,000 at a time flows and recurrent networks take about twice as long for each (measured)."""


@torch.no_grad()
def draw(p: Distribution, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
    """``K`` samples, ``(K, *batch, *event)``, and their log densities, ``(K, *batch)``."""
    sizes = [AT_ONCE] * (samples // AT_ONCE) + [samples % AT_ONCE] * (samples % AT_ONCE > 0)
    values, log_probs = zip(*(p.sample_and_log_prob(noise, size) for size in sizes), strict=True)
    return torch.cat(values), torch.cat(log_probs)


@torch.no_grad()
def log_prob_at(p: Distribution, values: Tensor) -> Tensor:
    """The log densities, ``(N, ..., *batch)``, of values ``(N, ..., *batch, *event)``."""
    return torch.cat([p.log_prob(some) for some in values.split(AT_ONCE)])
