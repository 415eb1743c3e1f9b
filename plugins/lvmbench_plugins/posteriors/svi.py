"""Stochastic variational inference: each datum has parameters of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from lvmbench import Count, DataSummary, DiagonalNormal, LatentSpace, Positive, Searched, Varying, observed
from lvmbench_plugins.posteriors._refine import Parameters, refine

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel, Split


@final
class Svi(Searched):
    r"""A normal with independent coordinates, found for each datum by gradient ascent on its ELBO.

    .. math:: \lambda_{t+1} = \lambda_t + \rho_t F(\lambda_t)^{-1} \nabla_\lambda \mathrm{ELBO}(x; \lambda_t),
        \qquad \rho_t = \tfrac{\rho}{2} \left(1 + \cos \tfrac{\pi t}{T}\right), \qquad
        q(z|x) = N(z; \mu_T, \operatorname{diag} \sigma_T^2)

    from the standard normal, where :math:`F` is the Fisher information of q: steps of the natural gradient,
    with momentum in :math:`\mu`. There is no network: inference costs :math:`2 P T` gradients of the model
    for each datum, in training as in evaluation. The gradients are those of the path, from pairs of samples
    on opposite sides of the mean. As the steps shrink more of them bring q nearer to the best, and a datum to
    which a step promises less than 0.0001 nats stays where it is.

    The standard normal numbers of the steps are drawn once, other ones for each step and the same for all
    data, so that q(z|x) is a function of x and of the model. The model is trained at :math:`\lambda_T` held
    fixed. With ``warm`` a table keeps what was found for each training datum, from where the ascent goes on
    before every epoch; a datum then starts from the entry of the training datum that is nearest to it, which
    is its own where it is one of them. There the training mean stands for what was not observed.

    References:
        Stochastic Variational Inference (Hoffman, Blei, Wang, Paisley, 2013),
        https://jmlr.org/papers/v14/hoffman13a.html;
        Fast and Simple Natural-Gradient Variational Inference with Mixture of Exponential-family
        Approximations (Lin, Khan, Schmidt, 2019), https://arxiv.org/abs/1906.02914;
        Sticking the Landing: Simple, Lower-Variance Gradient Estimators for Variational Inference (Roeder,
        Wu, Duvenaud, 2017), https://arxiv.org/abs/1703.09194

    Arguments:
        steps: The number of steps :math:`T`.
        rate: The first step size :math:`\rho`; 1 is Newton's where the true posterior is a normal with
            independent coordinates.
        pairs: The number of pairs of samples :math:`P` that each gradient is taken from.
        warm: Whether to start from the table.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> Svi(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,)), steps=5).noise.shape
        torch.Size([5, 4, 2])
    """

    version = 2
    distribution = DiagonalNormal
    provides = frozenset({"held_fixed", "reads_model"})
    requires = frozenset({"prior.real", "prior.density", "decoder.density"})
    noise: Tensor
    rate: Tensor
    mean: Tensor
    rows: Tensor
    table: Tensor

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        steps: Count = 50,
        rate: Varying[Positive] = 0.5,
        pairs: Count = 4,
        warm: bool = False,
    ) -> None:
        super().__init__()
        self.shape, self.refreshes = space.event_shape, warm
        self.complete = data.complete
        size = max(data.size, 1) if warm else 0
        self.register_buffer("rows", torch.zeros(size, math.prod(data.event_shape)))
        self.register_buffer("rate", torch.tensor(rate), persistent=False)
        self.register_buffer("mean", data.mean.flatten(), persistent=False)
        self.register_buffer("table", torch.zeros(2, size, *space.event_shape))
        self.register_buffer("noise", torch.randn(steps, pairs, *space.event_shape))

    def search(self, x: Tensor, model: LatentVariableModel) -> Tensor:
        with torch.no_grad():
            found = refine(model, x, self._start(x), self.noise, self.rate)
        return torch.stack(found, -1 - len(self.shape)).detach()

    def of(self, parameters: Tensor) -> DiagonalNormal:
        return DiagonalNormal.of(parameters, len(self.shape))

    def refresh(self, train: Split, model: LatentVariableModel) -> None:
        found = refine(model, train.x, (self.table[0], self.table[1]), self.noise, self.rate)
        self.table.copy_(torch.stack(found))
        self.rows.copy_(self._row(train.x))

    def _start(self, x: Tensor) -> Parameters:
        if not self.refreshes:
            zeros = self.noise.new_zeros((len(x), *self.shape))
            return zeros, zeros
        near = torch.cdist(self._row(x), self.rows).argmin(1)
        return self.table[0][near], self.table[1][near]

    def _row(self, x: Tensor) -> Tensor:
        return x.flatten(1) if self.complete else observed(x.flatten(1), self.mean)[0]
