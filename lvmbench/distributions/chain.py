"""Chains of conditionals: distributions over several layers, each given the one before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from lvmbench.distributions.base import Distribution
from lvmbench.distributions.diagonal_normal import DiagonalNormal
from lvmbench.distributions.multivariate_normal import MultivariateNormal, cholesky
from lvmbench.noise import Noise

T = TypeVar("T")
Conditional = Callable[[Tensor], Distribution]
"""From a layer, ``(..., *batch, D)``, to the distribution of the next, of batch shape ``(..., *batch)``."""


class Chain(Distribution):
    r"""Layers side by side in one vector, each drawn given the layer before.

    .. math:: \log p(z) = \log p(z_{(1)}) + \sum_{l > 1} \log p(z_{(l)} | z_{(l-1)})

    where :math:`z_{(1)}, z_{(2)}, \dots` are the layers in the order in which they are drawn: from the first
    to the last in the vector, or, ``top_down``, from the last to the first. The layers have the traits
    ``pathwise`` and ``density``; bits make up a `BinaryChain`.

    References:
        Stochastic Backpropagation and Approximate Inference in Deep Generative Models (Rezende, Mohamed,
        Wierstra, 2014), https://arxiv.org/abs/1401.4082

    Arguments:
        first: The distribution of the layer that is drawn first.
        conditionals: That of each other layer given the one before it, in the order of drawing.
        sizes: The sizes of the layers, in the order of the vector.
        top_down: Whether the last layer of the vector is drawn first.

    Example:
        >>> top = DiagonalNormal(torch.zeros(2), torch.zeros(2))
        >>> means = lambda z: z.sum(-1, keepdim=True).expand(*z.shape[:-1], 3)
        >>> p = Chain(top, [lambda z: DiagonalNormal(means(z), z.new_zeros(3))], (3, 2), True)
        >>> p.log_prob(torch.zeros(5, 7, 5)).shape
        torch.Size([5, 7])
    """

    traits = frozenset({"pathwise", "density"})

    def __init__(
        self,
        first: Distribution,
        conditionals: Sequence[Conditional],
        sizes: tuple[int, ...],
        top_down: bool = False,
    ) -> None:
        self.first, self.conditionals, self.sizes, self.top_down = first, conditionals, sizes, top_down

    def log_prob(self, value: Tensor) -> Tensor:
        layers = zip(self.given(value), value.split(self.sizes, -1), strict=True)
        first, *others = [p.log_prob(layer) for p, layer in layers]
        return sum(others, first)

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        z, log_p = self.first.sample_and_log_prob(noise, samples)
        layers = [z]
        for conditional in self.conditionals:
            drawn, added = conditional(z).sample_and_log_prob(noise, 1)
            z, log_p = drawn[0], log_p + added[0]
            layers.append(z)
        return torch.cat(self._in_place(layers), -1), log_p

    def given(self, value: Tensor) -> list[Distribution]:
        """The distribution of each layer given the one before it in these values ``(..., *batch, D)``,
        in the order of the vector.
        """
        before = self._in_place(list(value.split(self.sizes, -1)))[:-1]
        conditionals = [c(layer) for c, layer in zip(self.conditionals, before, strict=True)]
        return self._in_place([self.first, *conditionals])

    def _in_place(self, layers: list[T]) -> list[T]:
        """From the order of drawing to that of the vector, or back."""
        return layers[::-1] if self.top_down else layers


class BinaryChain(Chain):
    r"""A chain of layers of independent bits.

    .. math:: p(z_{(l)} | z_{(l-1)}) = \prod_d \operatorname{Bernoulli}\big(z_{(l)d};
        \operatorname{sigmoid} f_{ld}(z_{(l-1)})\big)

    References:
        Connectionist Learning of Belief Networks (Neal, 1992), https://doi.org/10.1016/0004-3702(92)90065-6

    Arguments:
        first: The `Bernoulli` of the layer that is drawn first.
        conditionals: That of each other layer given the one before it, in the order of drawing.
        sizes: The sizes of the layers, in the order of the vector.
        top_down: Whether the last layer of the vector is drawn first.

    Example:
        >>> from lvmbench import Bernoulli
        >>> p = BinaryChain(Bernoulli(torch.zeros(1)), [lambda z: Bernoulli(4 * z - 2)], (1, 1), True)
        >>> p.log_prob(torch.tensor([[1.0, 1.0], [1.0, 0.0]])).exp()
        tensor([0.4404, 0.0596])
    """

    traits = frozenset({"density"})
    support = "binary"


class LinearChain(Chain):
    r"""A chain of normals whose means are linear in the layer before: one normal over all layers.

    .. math:: p(z_{(1)}) = N(b_1, \operatorname{diag} \sigma_1^2), \quad
        p(z_{(l)} | z_{(l-1)}) = N(A_l z_{(l-1)} + b_l, \operatorname{diag} \sigma_l^2)

    Arguments:
        first: The normal of the layer that is drawn first.
        maps: :math:`A_l`, ``(D_l, D_{l-1})``, :math:`b_l` and :math:`\log\sigma_l`, ``(D_l,)``, of each layer
            but the first, in the order of drawing.
        sizes: The sizes of the layers, in the order of the vector.
        top_down: Whether the last layer of the vector is drawn first.

    Example:
        >>> top = DiagonalNormal(torch.zeros(1), torch.zeros(1))
        >>> p = LinearChain(top, [(torch.ones(1, 1), torch.zeros(1), torch.zeros(1))], (1, 1), top_down=True)
        >>> (p.joint.scale_tril @ p.joint.scale_tril.T).round(decimals=4)
        tensor([[2., 1.],
                [1., 1.]])
    """

    traits = frozenset({"pathwise", "density", "mean"})

    def __init__(
        self,
        first: DiagonalNormal,
        maps: Sequence[tuple[Tensor, Tensor, Tensor]],
        sizes: tuple[int, ...],
        top_down: bool = False,
    ) -> None:
        super().__init__(first, [_linear(*m) for m in maps], sizes, top_down)
        self.loc, self.log_scale, self.maps = first.loc, first.log_scale, maps

    @property
    def joint(self) -> MultivariateNormal:
        """The normal over the whole vector."""
        mix, loc = torch.diag_embed(self.log_scale.exp()), self.loc
        rows, locs = [mix], [loc]  # each layer is a mix of the noise of all layers so far, plus its mean
        for weight, bias, log_scale in self.maps:
            mix = torch.cat([weight @ mix, torch.diag_embed(log_scale.exp())], -1)
            loc = weight @ loc + bias
            rows, locs = [*rows, mix], [*locs, loc]
        total = rows[-1].shape[-1]
        padded = [torch.nn.functional.pad(row, (0, total - row.shape[-1])) for row in rows]
        factor = torch.cat(self._in_place(padded), -2)
        return MultivariateNormal(torch.cat(self._in_place(locs), -1), cholesky(factor @ factor.mT))

    @property
    def mean(self) -> Tensor:
        return self.joint.mean


def _linear(weight: Tensor, bias: Tensor, log_scale: Tensor) -> Conditional:
    return lambda z: DiagonalNormal(z @ weight.mT + bias, log_scale)
