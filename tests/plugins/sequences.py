"""Small sequence models in double precision, and sequences of several lengths for them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lvmbench import DataSummary, LatentVariableModel, Stream
from lvmbench.registry.loader import load_catalogue

CATALOGUE = load_catalogue()
LENGTHS = (5, 5, 3, 1)
PRIORS = ("linear_dynamics", "markov[hidden=8]", "recurrent[hidden=8]")
POSTERIORS = ("filtering[hidden=8]", "smoothing[hidden=8]")


def summary(steps: int = 5, support: str = "real", *, whole: bool = True) -> DataSummary:
    """Of sequences of frames of three values."""
    mean = torch.full((steps, 3), 0.4)
    return DataSummary((steps, 3), support, mean, complete=False, steps=steps, whole_frames=whole)


def model(
    prior: str, posterior: str, decoder: str = "linear_gaussian[noise=0.7]", data: DataSummary | None = None
) -> LatentVariableModel:
    """A model with two latents at each step, whose weights are off where they start."""
    data = data or summary()
    p = CATALOGUE.build("prior", prior, data, 2)
    q = CATALOGUE.build("posterior", posterior, data, p.space)
    d = CATALOGUE.build("decoder", decoder, data.frame, p.space.visible)
    built = LatentVariableModel(p, q, d, complete=data.frame.complete).double()
    noise = Stream.seeded(0, "weights", dtype=torch.float64)
    with torch.no_grad():
        for weight in built.parameters():
            weight.add_(noise.normal(weight.shape), alpha=0.4 / max(weight.shape[-1:], default=1) ** 0.5)
    return built


def sequences(steps: int = 5, lengths: tuple[int, ...] = LENGTHS) -> Tensor:
    """Frames of three real values, and NaN after the end of each sequence."""
    x = Stream.seeded(1, "sequences", dtype=torch.float64).normal((len(lengths), steps, 3))
    for row, length in enumerate(lengths):
        x[row, length:] = math.nan
    return x


def alone(x: Tensor) -> list[Tensor]:
    """Each of the sequences as a batch of its own, up to its end."""
    return [row[None, :length] for row, length in zip(x, LENGTHS, strict=True)]
