"""A posterior whose samples follow Hamiltonian trajectories towards the true one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn

from lvmbench import Count, DataSummary, DiagonalNormal, Distribution, LatentSpace, Posterior, Size
from lvmbench.kernels.flows import NEAR
from lvmbench.kernels.hmc import Density, Place
from lvmbench.networks import ConditionalNormal, Mask, Network, encoder
from lvmbench_plugins.posteriors._trajectories import Iteration, Trajectories, Velocity

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel

STRONGEST = 10.0
"""No slope counts for more, in standard deviations of where trajectories begin."""
LENGTH = 0.5
"""How long trajectories are at first, in the same unit: of next to no length they are worth nothing,
and hardly learn to be longer.
"""


class _Pull(Density):
    """A target whose slopes are bounded, so that no trajectory runs away where steps are far too long for it.

    The leapfrog keeps volume by whatever force it is driven: the bound stays one. Where the start is near its
    target slopes are about 1.
    """

    def __init__(self, log_density: Callable[[Tensor], Tensor], scale: Tensor) -> None:
        super().__init__(log_density)
        self.scale = scale

    def slope(self, state: Place) -> Tensor:
        return STRONGEST * (state.slope * self.scale / STRONGEST).tanh() / self.scale


@final
class Hamiltonian(Posterior):
    r"""Samples of an amortised normal that a few steps of Hamiltonian dynamics move towards p(z|x).

    .. math:: z_0 \sim q(z|x), \qquad v_t \sim q(v|x, z_{t-1}), \qquad
        (z_t, v_t') = \mathrm{leapfrog}(z_{t-1}, v_t), \qquad
        \log p(x) \ge E\left[\log \frac{p(x, z_T) \prod_t r(v_t'|x, z_t)}
        {q(z_0|x) \prod_t q(v_t|x, z_{t-1})}\right]

    The trajectories follow the gradient of log p(x, z) itself, without a rejection, so that the bound can be
    trained through them. Step sizes are learned, of each coordinate in standard deviations of
    :math:`q(z_0|x)`; so are the normals q of the velocities and r of those that a trajectory ends with, by
    networks that read features of x and where :math:`z` is. They begin as standard normals, and the bound
    near that of :math:`q(z_0|x)`. It falls short of the ELBO of :math:`q(z_T|x)` by the divergence of the
    true law of the :math:`v_t'` from r. The weights estimate p(x) without bias, so that bounds of several
    samples hold, too. Rate and gap that are measured are upper bounds.

    References:
        Markov Chain Monte Carlo and Variational Inference: Bridging the Gap (Salimans, Kingma, Welling,
        2015), https://arxiv.org/abs/1410.6460

    Arguments:
        steps: The number of leapfrog steps of a trajectory; without any, it is the amortised posterior.
        iterations: The number of trajectories :math:`T`, each with a fresh velocity; without any, the same.
        network: The body of :math:`\mu` and :math:`\log\sigma` of :math:`q(z_0|x)`, and of the features.
        hidden: The number of features, and the width of all hidden layers.
        layers: The number of the bodies' hidden layers.
        mask: Whether the bodies are also told which values were observed; where all were, that changes
            nothing.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> q = Hamiltonian(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,)), iterations=0)
        >>> q(torch.zeros(7, 3), None).mean.shape
        torch.Size([7, 2])
    """

    distribution: type[Distribution] = Trajectories
    provides = frozenset({"reads_model"})
    requires = frozenset({"prior.real", "prior.density", "decoder.density"})

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        steps: Size = 4,
        iterations: Size = 1,
        network: Network = "mlp",
        hidden: Count = 128,
        layers: Size = 2,
        mask: Mask = False,
    ) -> None:
        super().__init__()
        self.shape, self.steps = space.event_shape, steps
        iterations = iterations if steps else 0
        if not iterations:
            self.distribution, self.provides = DiagonalNormal, frozenset({"amortized"})
        # before all others, so that it begins as that of the amortised posterior does
        self.network = encoder(network, data, (2, *self.shape), hidden=hidden, layers=layers, mask=mask)
        if iterations:
            self.features = encoder(network, data, (hidden,), hidden=hidden, layers=layers, mask=mask)
        self.forth, self.back = self._velocities(iterations, hidden), self._velocities(iterations, hidden)
        self.log_step = nn.Parameter(torch.full((iterations, *self.shape), LENGTH / max(steps, 1)).log())

    def _velocities(self, count: int, hidden: int) -> nn.ModuleList:
        """Normals of a velocity given features and z, which are near the standard one at first."""
        given = (hidden + math.prod(self.shape),)
        found = [ConditionalNormal(given, self.shape, hidden=hidden, layers=1) for _ in range(count)]
        with torch.no_grad():
            for weight in (weight for normal in found for weight in normal.network.linears[-1].parameters()):
                weight.mul_(NEAR)
        return nn.ModuleList(found)

    def forward(self, x: Tensor, model: LatentVariableModel) -> Distribution:
        start = DiagonalNormal.of(self.network(x), len(self.shape))
        if not len(self.log_step):
            return start
        features, scale, p = self.features(x), start.log_scale.exp(), model.p()

        def given(z: Tensor) -> Tensor:
            standard = ((z - start.loc) / scale).flatten(-len(self.shape))
            return torch.cat([features.expand(*standard.shape[:-1], -1), standard], -1)

        def velocity(network: nn.Module) -> Velocity:
            return lambda z: network(given(z))

        iterations = [
            Iteration(velocity(forth), velocity(back), step * scale, self.steps)
            for forth, back, step in zip(self.forth, self.back, self.log_step.exp().unbind(0), strict=True)
        ]
        return Trajectories(start, _Pull(lambda z: model.log_joint(x, z, p), scale), iterations)
