"""Normalizing flows: a simple distribution pushed through invertible steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import vjp, vmap

from lvmbench.distributions.base import Distribution
from lvmbench.noise import Noise

Step = Callable[[Tensor], tuple[Tensor, Tensor]]
"""A map of z, ``(..., *batch, D)``, that returns its image and the log
of its absolute Jacobian determinant, ``(..., *batch)``.
"""


class Coupled:
    """A step that changes some coordinates only, each by a map of its own,
    as the coordinates that it keeps say.

    Its Jacobian is triangular in two blocks, which makes the slope of its density cheap. Arguments: the step,
    and which coordinates it changes; where that is all of them, they change independently.
    """

    def __init__(self, step: Step, changed: slice) -> None:
        self.step, self.changed = step, changed

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.step(z)


class Flow(Distribution):
    r"""A distribution over vectors pushed through invertible steps.

    Its density is known at its own draws only.

    .. math:: \log q(z_T) = \log q_0(z_0) - \sum_t \log \left| \det \partial z_t / \partial z_{t-1} \right|

    The slope of the log density follows the same steps, without their inverses: with the Jacobian
    :math:`J_t = \partial z_t / \partial z_{t-1}`,

    .. math:: \nabla \log q_t(z_t) = J_t^{-\top} \left(\nabla \log q_{t-1}(z_{t-1})
        - \nabla \log |\det J_t|\right)

    References:
        Fast and Unified Path Gradient Estimators for Normalizing Flows (Vaitl, Winkler, Richter, Kessel,
        2024), https://arxiv.org/abs/2403.15881

    Arguments:
        base: The distribution :math:`q_0` of :math:`z_0`, over vectors.
        steps: The maps :math:`z_{t-1} \mapsto z_t`, each with its log determinant, in the order of sampling.
        event_shape: The shape of an event, which has as many values as the vectors have.

    Example:
        >>> from lvmbench import DiagonalNormal, Stream
        >>> log_2 = torch.tensor(2.0).log()
        >>> double = lambda z: (2 * z, 3 * log_2.expand(z.shape[:-1]))
        >>> q = Flow(DiagonalNormal(torch.zeros(7, 3), torch.zeros(3)), [double], (3,))
        >>> z, log_q = q.sample_and_log_prob(Stream.seeded(0), 5)
        >>> z.shape, log_q.shape
        (torch.Size([5, 7, 3]), torch.Size([5, 7]))
    """

    traits = frozenset({"pathwise", "slope"})

    def __init__(self, base: Distribution, steps: Sequence[Step], event_shape: tuple[int, ...]) -> None:
        self.base, self.steps, self.event_shape = base, steps, event_shape

    def log_prob(self, value: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} knows its density at its own draws only")

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        z, log_q = self.base.sample_and_log_prob(noise, samples)
        for step in self.steps:
            z, log_det = step(z)
            log_q = log_q - log_det
        return z.reshape(*z.shape[:-1], *self.event_shape), log_q

    def sample_with_slope(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor, Tensor]:
        z, log_q, slope = self.base.sample_with_slope(noise, samples)
        for step in self.steps:
            # a number, as log q is to be held fixed: no parameter may have a gradient by way of it
            with torch.no_grad():
                slope = _pushed(step, z.detach(), slope)
            z, log_det = step(z)
            log_q = log_q - log_det
        shape = (*z.shape[:-1], *self.event_shape)
        return z.reshape(shape), log_q, slope.reshape(shape)


def _pushed(step: Step, z: Tensor, slope: Tensor) -> Tensor:
    """The slope of the log density after a step, from that before it, at vectors ``(..., D)``."""
    pulled_back: Any = vjp(step, z)
    (image, log_det), pull = pulled_back

    def back(v: Tensor) -> Tensor:
        """J^T v."""
        pulled: Tensor = pull((v.expand_as(image), torch.zeros_like(log_det)))[0]
        return pulled

    # the slope of log |det J|, for all vectors at once, as none depends on another
    (bend,) = pull((torch.zeros_like(image), torch.ones_like(log_det)))
    due = slope - bend
    if isinstance(step, Coupled):
        return _of_blocks(back, step.changed, due)
    # J^T of each unit vector is a column of J^T
    columns = vmap(back)(torch.eye(z.shape[-1], dtype=z.dtype, device=z.device))
    # solve_ex: whether it succeeded is not asked for, which would wait for the device
    solved: Tensor = torch.linalg.solve_ex(columns.movedim(0, -1), due.unsqueeze(-1)).result.squeeze(-1)
    return solved


def _of_blocks(back: Callable[[Tensor], Tensor], changed: slice, due: Tensor) -> Tensor:
    """The solution s of J^T s = due:
    J^T is the identity on what is kept, and diagonal from changed to changed.
    """
    mask = torch.zeros(due.shape[-1], dtype=due.dtype, device=due.device)
    mask[changed] = 1
    # the block from changed to changed is diagonal: J^T of ones there reads off its diagonal
    moved = torch.where(mask > 0, due / (back(mask) * mask + 1 - mask), 0)
    return torch.where(mask > 0, moved, due - back(moved))


class InvertibleFlow(Flow):
    r"""A flow whose steps can be undone, so that its density can be evaluated anywhere.

    .. math:: \log q(z_T) = \log q_0(z_0) + \sum_t \log \left| \det \partial z_{t-1} / \partial z_t \right|

    Arguments:
        base: The distribution :math:`q_0` of :math:`z_0`, over vectors.
        steps: The maps :math:`z_{t-1} \mapsto z_t`, each with its log determinant, in the order of sampling.
        inverses: The map :math:`z_t \mapsto z_{t-1}` of each step, with its own log determinant, in the same
            order.
        event_shape: The shape of an event, which has as many values as the vectors have.

    Example:
        >>> from lvmbench import DiagonalNormal
        >>> log_2 = torch.tensor(2.0).log()
        >>> double = lambda z: (2 * z, log_2.expand(z.shape[:-1]))
        >>> halve = lambda z: (z / 2, -log_2.expand(z.shape[:-1]))
        >>> base = DiagonalNormal(torch.zeros(1), torch.zeros(1))
        >>> wide = DiagonalNormal(torch.zeros(1), log_2)
        >>> z = torch.ones(5, 1)
        >>> torch.allclose(InvertibleFlow(base, [double], [halve], (1,)).log_prob(z), wide.log_prob(z))
        True
    """

    traits = frozenset({"pathwise", "density"})

    def __init__(
        self,
        base: Distribution,
        steps: Sequence[Step],
        inverses: Sequence[Step],
        event_shape: tuple[int, ...],
    ) -> None:
        super().__init__(base, steps, event_shape)
        self.inverses = inverses

    def log_prob(self, value: Tensor) -> Tensor:
        z = value.reshape(*value.shape[: value.dim() - len(self.event_shape)], -1)
        log_dets = []
        for inverse in reversed(self.inverses):
            z, log_det = inverse(z)
            log_dets.append(log_det)
        return self.base.log_prob(z) + sum(log_dets)
