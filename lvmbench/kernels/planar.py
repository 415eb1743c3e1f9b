"""The planar map of normalizing flows."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import softplus

_UNIT = math.log(math.e - 1)  # where softplus is 1
_TINY = 1e-30  # added to a squared length that is divided by


class PlanarMap:
    r"""A map that moves points along a direction, by how far across a plane they are; each datum's own.

    .. math:: f(z) = z + \hat u \tanh(w^\top z + b), \qquad
        \hat u = u + (m(w^\top u) - w^\top u) \frac{w}{\|w\|^2}, \qquad m(a) = -1 + \log(1 + (e - 1) e^a)

    As :math:`w^\top \hat u = m(w^\top u) > -1` it is invertible, though not in closed form; :math:`m` is that
    of the paper, moved so that the map with :math:`u = 0` is the identity.

    References:
        Variational Inference with Normalizing Flows (Rezende, Mohamed, 2015),
        https://arxiv.org/abs/1505.05770

    Arguments:
        u: The direction before it is corrected, ``(*batch, D)``.
        w: The normal of the plane, ``(*batch, D)``.
        b: Its offset, ``(*batch, 1)``.

    Example:
        >>> import torch
        >>> u, w, b = torch.zeros(7, 2), torch.ones(7, 2), torch.zeros(7, 1)
        >>> z = torch.rand(5, 7, 2)
        >>> image, log_det = PlanarMap(u, w, b)(z)
        >>> torch.equal(image, z), log_det.shape
        (True, torch.Size([5, 7]))
    """

    def __init__(self, u: Tensor, w: Tensor, b: Tensor) -> None:
        along = (w * u).sum(-1, keepdim=True)
        self.w, self.b = w, b
        self.reach = softplus(along + _UNIT)
        """1 + w'u after the correction, ``(*batch, 1)``: positive, and exact where w'u is near -1."""
        self.u = u + (self.reach - 1 - along) * w / (w.square().sum(-1, keepdim=True) + _TINY)

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The images of z, ``(..., *batch, D)``, and the log
        of the Jacobian determinant, ``(..., *batch)``.
        """
        image, _, det = self._at(z)
        return image, det.log().squeeze(-1)

    def with_slope(self, z: Tensor, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r"""The same, and the slope of a log density once it has gone through the map.

        .. math:: s' = J^{-\top} (s - \nabla \log \det J), \qquad J = I + h' \hat u w^\top, \quad
            h' = 1 - \tanh^2

        J is the identity and a matrix of rank 1, which the formula of Sherman and Morrison inverts.
        """
        image, h, det = self._at(z)
        steep = 1 - h.square()
        # the determinant 1 + h' w'u depends on z through h', whose own slope is -2 h h' w
        due = slope + 2 * h * steep * (self.reach - 1) / det * self.w
        # J^-T = I - h' w u' / det
        pushed = due - steep * (self.u * due).sum(-1, keepdim=True) / det * self.w
        return image, det.log().squeeze(-1), pushed

    def _at(self, z: Tensor) -> _Values:
        h = ((self.w * z).sum(-1, keepdim=True) + self.b).tanh()
        # 1 + h' w'u as a sum of positive terms: the difference would round to 0 or below where w'u is near -1
        return _Values(z + self.u * h, h, h**2 + (1 - h**2) * self.reach)


class _Values(NamedTuple):
    """What is known at a point: the image, the tanh and the determinant,
    the last two ``(..., *batch, 1)``.
    """

    image: Tensor
    h: Tensor
    det: Tensor
