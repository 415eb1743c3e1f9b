"""Normals of steps, each given all the steps before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from lvmbench.distributions.base import Distribution
from lvmbench.distributions.diagonal_normal import DiagonalNormal
from lvmbench.noise import Noise

Step = Callable[[Any], tuple[DiagonalNormal, Callable[[Tensor], Any]]]
"""From a state to the distribution of the next part, and to the state that follows from its value."""


class Recurrent(Distribution):
    r"""Steps side by side in one vector, each a normal given all steps before, by way of a state.

    .. math:: \log p(z) = \sum_t \log N(z_t; \mu(s_t), \operatorname{diag} \sigma^2(s_t)), \qquad
        s_{t+1} = f(s_t, z_t)

    References:
        DRAW: A Recurrent Neural Network For Image Generation (Gregor, Danihelka, Graves, Rezende, Wierstra,
        2015), https://arxiv.org/abs/1502.04623

    Arguments:
        start: The state before the first step; what follows from it has batch shape ``*batch``.
        step: From a state to the normal of the step, and to the function :math:`f(s_t, \cdot)`.
        sizes: The sizes of the steps.

    Example:
        >>> step = lambda s: (DiagonalNormal(s, torch.zeros(())), lambda z: s + z)
        >>> p = Recurrent(torch.zeros(3, 1), step, (1, 1))
        >>> p.log_prob(torch.zeros(5, 3, 2)).shape
        torch.Size([5, 3])
    """

    traits = frozenset({"pathwise", "density"})

    def __init__(self, start: Any, step: Step, sizes: tuple[int, ...]) -> None:
        self.start, self.step, self.sizes = start, step, sizes

    def log_prob(self, value: Tensor) -> Tensor:
        parts = zip(self.given(value), value.split(self.sizes, -1), strict=True)
        first, *others = [p.log_prob(part) for p, part in parts]
        return sum(others, first)

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        p, after = self.step(self.start)
        z, log_p = p.sample_and_log_prob(noise, samples)
        parts = [z]
        for _ in self.sizes[1:]:
            p, after = self.step(after(parts[-1]))
            drawn, added = p.sample_and_log_prob(noise, 1)
            parts, log_p = [*parts, drawn[0]], log_p + added[0]
        return torch.cat(parts, -1), log_p

    def given(self, value: Tensor) -> Iterator[DiagonalNormal]:
        """The normal of each step given those before it in these values ``(..., *batch, D)``."""
        p, after = self.step(self.start)
        yield p
        for part in value.split(self.sizes, -1)[:-1]:
            p, after = self.step(after(part))
            yield p
