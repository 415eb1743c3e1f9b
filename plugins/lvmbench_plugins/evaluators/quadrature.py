"""log p(x) by a sum over a grid of z."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, NamedTuple, final

import torch
from pydantic import Field
from torch import Tensor

from lvmbench import (
    Count,
    Distribution,
    Evaluator,
    Measurement,
    Metric,
    Noise,
    Precision,
    Refusal,
    Subject,
    Workload,
    cholesky,
)
from lvmbench_plugins.evaluators._common import Figure, Target, measurements, of_some, some_data

Side = Annotated[int, Field(ge=4)]
"""A number of nodes on one side of the centre."""

_REACH = 8.0  # half the width of the grid, in standard deviations
_CHUNK = 8192  # how many pairs of node and datum are decoded at once
_CROWD = 3  # along each axis, how many nodes should carry weight while the grid is fitted
_LEAST, _HALVINGS = -40.0, 40  # the log of the lowest power, and how often its range is halved


class _Grid(NamedTuple):
    """The grid of each datum: z = centre + factor u for nodes u; ``(B, D)`` and ``(B, D, D)``."""

    centre: Tensor
    factor: Tensor

    def at(self, nodes: Tensor) -> Tensor:
        """z at each node, ``(G, B, D)``."""
        return self.centre + (self.factor @ nodes[:, None, :, None]).squeeze(-1)

    def fitted(self, nodes: Tensor, weights: Tensor, cell: float) -> _Grid:
        """The grid whose u has mean 0 and covariance I under these weights of the nodes, ``(G, B)``."""
        weights = weights.to(nodes)
        mean = torch.einsum("gb,gd->bd", weights, nodes)
        away = nodes.unsqueeze(1) - mean  # (G, B, D)
        # each node stands for a cell, which has a variance of its own
        covariance = torch.einsum("gb,gbd,gbe->bde", weights, away, away)
        covariance = covariance + torch.eye(nodes.shape[-1]).to(nodes) * cell**2 / 12
        return _Grid(
            self.centre + (self.factor @ mean.unsqueeze(-1)).squeeze(-1), self.factor @ cholesky(covariance)
        )


@final
class Quadrature(Evaluator):
    r"""log p(x) by the rectangle rule in one or two dimensions of z, a second opinion that owes nothing to q.

    .. math:: \log \hat p(x) = \log \Delta \sum_g p(x, z_g), \quad z_g = m + L u_g

    with :math:`u_g` on a regular grid of 8 standard deviations to each side and :math:`\Delta` the volume of
    a cell. The rule is accurate beyond all powers of the spacing for smooth densities that vanish at the
    ends. The grid of each datum begins with the prior's mean and covariance and takes, round by round, those
    of :math:`p(x, z)^\beta` on the grid before, with the largest :math:`\beta \le 1` at which several nodes
    carry weight: so it finds posteriors that fall between the nodes of a fixed grid.

    ``quadrature_error`` compares with the sum over every second node alone and adds the share at the grid's
    edge: a posterior that the grid does not resolve, or does not hold, shows there.

    References:
        The Exponentially Convergent Trapezoidal Rule (Trefethen, Weideman, 2014),
        https://doi.org/10.1137/130932132

    Arguments:
        side: The number of nodes on each side of the centre, along each axis.
        rounds: How often the grid is fitted: each round narrows it down to about a quarter (with 32 nodes to
            a side).
        data: How many data of the split to take at most, drawn at random.
        precision: How exact the matrix products of the decoder are.

    Example:
        >>> Quadrature(side=64).metrics["quadrature_error"].better
        'lower'
    """

    version = 2
    requires = frozenset(
        {"objective.density", "prior.real", "prior.density", "prior.fixed", "decoder.density"}
    )
    metrics: ClassVar[Mapping[str, Metric]] = {
        "log_likelihood": Metric("log p(x)", "nats", "higher", "log density of the data under the model"),
        "quadrature_error": Metric(
            "Quadrature error", "nats", "lower", "what halving the nodes changes, and the share at the edge"
        ),
    }
    board = ("quadrature_error",)

    def __init__(
        self, *, side: Side = 32, rounds: Count = 6, data: Count = 500, precision: Precision = "highest"
    ) -> None:
        self.precision = precision
        self.nodes, self.rounds, self.data = 2 * side + 1, rounds, data

    def evaluations(self, work: Workload) -> int:
        """For two dimensions of z; one needs the root of it for each datum."""
        return min(self.data, work.size) * (self.rounds + 1) * self.nodes**2

    @torch.no_grad()
    def evaluate(self, subject: Subject) -> list[Measurement]:
        dimensions = math.prod(subject.model.prior.space.event_shape)
        if dimensions > 2:
            raise Refusal(
                f"quadrature sums over z of 1 or 2 dimensions, and this model's z has {dimensions}; "
                "take ais or tightness"
            )
        x, nodes = some_data(subject, self.data), self._nodes(dimensions, subject)
        p = subject.model.p()
        first = _moments(p, subject.noise("quadrature"))
        batches = x.split(max(1, _CHUNK // len(nodes)))
        found = [
            self._summed(target, nodes, self._fit(target, nodes, first))
            for target in (Target(subject.model, batch, p) for batch in batches)
        ]
        both = [
            {
                ("log_likelihood", "", "quadrature"): Figure(value, None),
                ("quadrature_error", "", ""): Figure(error, None),
            }
            for value, error in found
        ]
        return of_some(measurements(both), subject)

    def _nodes(self, dimensions: int, subject: Subject) -> Tensor:
        """Every node u, ``(G, D)``."""
        axis = torch.linspace(-_REACH, _REACH, self.nodes).to(subject.x)
        return torch.cartesian_prod(*[axis] * dimensions).reshape(-1, dimensions)

    @property
    def _cell(self) -> float:
        """The distance of neighbouring nodes."""
        return 2 * _REACH / (self.nodes - 1)

    def _fit(self, target: Target, nodes: Tensor, first: _Grid) -> _Grid:
        grid = _Grid(*(part.expand(len(target.x), *part.shape[1:]) for part in first))
        for _ in range(self.rounds):
            weights = _tempered(_log_joint(target, grid.at(nodes)), _CROWD ** nodes.shape[1])
            grid = grid.fitted(nodes, weights, self._cell)
        return grid

    def _summed(self, target: Target, nodes: Tensor, grid: _Grid) -> tuple[Tensor, Tensor]:
        """log p(x) and its error, ``(B,)``."""
        dimensions = nodes.shape[1]
        log_joint = _log_joint(target, grid.at(nodes))
        log_det = grid.factor.diagonal(dim1=-2, dim2=-1).double().log().sum(-1)
        whole = log_joint.logsumexp(0) + dimensions * math.log(self._cell) + log_det
        cube = log_joint.reshape(*[self.nodes] * dimensions, -1)
        half = cube[(slice(None, None, 2),) * dimensions].flatten(0, -2).logsumexp(0)
        half = half + dimensions * math.log(2 * self._cell) + log_det
        edge = (nodes.abs().amax(1) > _REACH - self._cell / 2).to(log_joint)
        return whole, (whole - half).abs() + edge @ log_joint.softmax(0)


def _moments(p: Distribution, noise: Noise) -> _Grid:
    """The grid of p(z), of batch shape ``(1,)``."""
    z = p.sample(noise, 1000).flatten(1)
    return _Grid(z.mean(0).unsqueeze(0), cholesky(torch.cov(z.T).reshape(1, z.shape[1], -1)))


def _log_joint(target: Target, z: Tensor) -> Tensor:
    """log p(x, z), ``(G, B)``, in double precision."""
    shaped = z.unflatten(-1, target.model.prior.space.event_shape)
    return torch.cat([target(part) for part in shaped.split(max(1, _CHUNK // len(target.x)))]).double()


def _tempered(log_joint: Tensor, crowd: int) -> Tensor:
    """Weights of the nodes, ``(G, B)``, at the highest power up to 1
    that leaves so many nodes with weight.
    """
    low, high = torch.full_like(log_joint[0], _LEAST), torch.zeros_like(log_joint[0])
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        crowded = 1 / (middle.exp() * log_joint).softmax(0).square().sum(0) >= crowd
        low, high = torch.where(crowded, middle, low), torch.where(crowded, high, middle)
    return (low.exp() * log_joint).softmax(0)
