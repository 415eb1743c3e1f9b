"""How far a model's samples are from the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, final

import torch
from lvmbench import Count, Evaluator, Measurement, Metric, Subject
from pydantic import Field
from torch import Tensor


@final
class EnergyDistance(Evaluator):
    r"""The energy distance between samples of the model and the data, 0 only where the two are alike.

    .. math:: 2\, E\|x - y\| - E\|x - x'\| - E\|y - y'\|, \quad x, x' \sim \text{data},\; y, y' \sim p

    Each expectation is over pairs of different points, so that the figure is unbiased and may be negative.
    Its standard error is that of the draws of :math:`y`, by what each adds to it; the data are held fixed.

    References:
        Energy Statistics: A Class of Statistics Based on Distances (Szekely, Rizzo, 2013),
        https://doi.org/10.1016/j.jspi.2013.03.018

    Arguments:
        samples: The number of samples of the model.
        chunk: From how many points at once distances are found.

    Example:
        >>> EnergyDistance().metrics["energy_distance"].better
        'lower'
    """

    metrics: ClassVar[Mapping[str, Metric]] = {
        "energy_distance": Metric(
            "Energy distance", "units of x", "lower", "distance between samples of the model and the data"
        ),
    }
    board: ClassVar[tuple[str, ...]] = ("energy_distance",)

    def __init__(self, *, samples: Annotated[int, Field(ge=2)] = 1000, chunk: Count = 512) -> None:
        self.samples, self.chunk = samples, chunk

    @torch.no_grad()
    def evaluate(self, subject: Subject) -> Iterator[Measurement]:
        x = subject.x.flatten(1)
        y = subject.model.generate(subject.noise("energy_distance"), self.samples).flatten(1)
        across = self._distances(y, x) / len(x)
        among = self._distances(y, y) / (len(y) - 1)
        within = self._distances(x, x).sum() / (len(x) * max(1, len(x) - 1))
        shares = 2 * (across - among)  # what each sample adds, to first order
        value = (2 * across - among).mean() - within
        yield Measurement("energy_distance", value.item(), (shares.var() / len(y)).sqrt().item())

    def _distances(self, to: Tensor, of: Tensor) -> Tensor:
        """The sum of the distances of all points ``of`` from each ``to``, ``(M,)``, in double precision."""
        total = to.new_zeros(len(to), dtype=torch.float64)
        for part in of.double().split(self.chunk):
            total += torch.cdist(part, to.double()).sum(0)
        return total
