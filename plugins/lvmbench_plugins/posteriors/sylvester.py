"""The Sylvester flow."""

from __future__ import annotations

import math
from functools import partial
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import pad

from lvmbench import Amortized, Count, DataSummary, Flow, LatentSpace, Size
from lvmbench.networks import Mask, Network
from lvmbench_plugins.posteriors._flows import TINY, Encoder

LARGEST = 0.999
"""The largest size of a diagonal entry: that of their product stays below 1."""


@final
class Sylvester(Amortized):
    r"""A normal pushed along several directions at once, by planar flows of several units; each datum's own.

    .. math:: z_t = z_{t-1} + Q R \tanh(\tilde R Q^\top z_{t-1} + b)

    :math:`Q` is the first :math:`M` columns of a product of Householder reflections, :math:`R` and
    :math:`\tilde R` are upper triangular with diagonals within (-1, 1), so that every step is invertible, and
    :math:`\log|\det| = \sum_m \log(1 + \tanh'(\cdot)_m R_{mm} \tilde R_{mm})`.

    References:
        Sylvester Normalizing Flows for Variational Inference (van den Berg et al., 2018),
        https://arxiv.org/abs/1803.05649

    Arguments:
        flows: The number of steps :math:`T`.
        units: The number of directions :math:`M` of a step, at most one for each coordinate.
        reflections: The number of reflections whose product is :math:`Q`.
        network: The body of :math:`\mu`, :math:`\log\sigma` and each step's :math:`Q, R, \tilde R, b`.
        hidden: The width of its hidden layers.
        layers: The number of its hidden layers.
        mask: Whether the network is also told which values were observed; where all were, that changes
            nothing.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace, Stream
        >>> q = Sylvester(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,)))
        >>> q(torch.zeros(7, 3), None).sample(Stream.seeded(0), 5).shape
        torch.Size([5, 7, 2])
    """

    version = 3
    distribution = Flow
    requires = frozenset({"prior.real"})
    network: Encoder

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        flows: Count = 4,
        units: Count = 16,
        reflections: Count = 4,
        network: Network = "mlp",
        hidden: Count = 128,
        layers: Size = 2,
        mask: Mask = False,
    ) -> None:
        super().__init__()
        self.space, size = space, math.prod(space.event_shape)
        m = min(units, size)
        self.shapes = [(reflections, size), (m, m), (m, m), (m,)]
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.flows = flows
        further = flows * sum(self.sizes)
        self.network = Encoder(network, data, space, further, hidden=hidden, layers=layers, mask=mask)
        of_r = torch.arange(further).view(flows, -1).split(self.sizes, -1)[1]
        self.network.calm(of_r.flatten())

    def of(self, parameters: Tensor) -> Flow:
        base, flat = self.network.split(parameters)
        steps = flat.unflatten(-1, (self.flows, -1)).unbind(-2)
        return Flow(base, [partial(_step, *self._parts(step)) for step in steps], self.space.event_shape)

    def _parts(self, step: Tensor) -> list[Tensor]:
        """The parameters of one step: reflections ``(B, H, D)``, two matrices ``(B, M, M)``,
        a shift ``(B, M)``.
        """
        parts = step.split(self.sizes, -1)
        return [part.unflatten(-1, shape) for part, shape in zip(parts, self.shapes, strict=True)]


def _step(v: Tensor, r: Tensor, r_tilde: Tensor, b: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """The step of each datum."""
    mirrors, m = v.unbind(-2), b.shape[-1]
    r, r_tilde = _triangular(r), _triangular(r_tilde)
    y = _reflected(z, mirrors)[..., :m]
    h = (_times(r_tilde, y) + b).tanh()
    moved = pad(_times(r, h), (0, z.shape[-1] - m))
    # Sylvester's identity: the determinant is that of I + diag(h') R~ R, M by M and triangular, as Q' Q = I
    product = r.diagonal(dim1=-2, dim2=-1) * r_tilde.diagonal(dim1=-2, dim2=-1)
    # a reflection undoes itself: in the reverse order they are the transpose of their product
    return z + _reflected(moved, mirrors[::-1]), ((1 - h**2) * product).log1p().sum(-1)


def _triangular(raw: Tensor) -> Tensor:
    """An upper triangular matrix with its diagonal within (-1, 1)."""
    return raw.triu(1) + torch.diag_embed(LARGEST * raw.diagonal(dim1=-2, dim2=-1).tanh())


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def _reflected(z: Tensor, mirrors: tuple[Tensor, ...]) -> Tensor:
    """Reflect at the hyperplane across each vector in turn."""
    for v in mirrors:
        share = (z * v).sum(-1, keepdim=True) / (v.square().sum(-1, keepdim=True) + TINY)
        z = z - 2 * share * v
    return z
