"""The posterior of a sequence that sees all of x."""

from __future__ import annotations

from typing import final

from lvmbench import Count, DataSummary, LatentSpace, Size
from lvmbench.networks import Mask, Network
from lvmbench_plugins.posteriors._reading import Reading


@final
class Smoothing(Reading):
    r"""Normals step by step, each given x from the step on and the context of the step.

    .. math:: q(z|x) = \prod_t N(z_t; \mu(r_t, h_t), \operatorname{diag} \sigma^2(r_t, h_t)), \qquad
        r_t = \operatorname{LSTM}(r_{t+1}, x_t)

    where the context :math:`h_t` is the prior's: the step before, or what a recurrent prior remembers. Under
    a Markov chain the true posterior depends on the same: on :math:`z_{t-1}` and on x from t on.

    References:
        Structured Inference Networks for Nonlinear State Space Models (Krishnan, Shalit, Sontag, 2017),
        https://arxiv.org/abs/1609.09869

    Arguments:
        network: The body that reads a frame.
        hidden: The width of its hidden layers and of that of the normal, and the size of :math:`r`.
        layers: The number of its hidden layers.
        mask: Whether it is also told which values were observed; where all were, that changes nothing.

    Example:
        >>> import torch
        >>> q = Smoothing(
        ...     DataSummary((10, 3), "real", torch.zeros(10, 3), steps=10),
        ...     LatentSpace((10, 2), steps=10, context=3),
        ... )
        >>> sorted(q.requires)
        ['prior.real', 'prior.steps']
    """

    backward = True

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        network: Network = "mlp",
        hidden: Count = 64,
        layers: Size = 1,
        mask: Mask = False,
    ) -> None:
        super().__init__(data, space, network=network, hidden=hidden, layers=layers, mask=mask)
