"""Small linear-Gaussian models, whose every quantity is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from lvmbench import (
    DataSummary,
    Decoder,
    DiagonalNormal,
    Estimator,
    LatentVariableModel,
    Noise,
    Objective,
    Posterior,
    Stream,
)
from lvmbench.noise import Buffer, Recorder
from lvmbench.registry.loader import load_catalogue

CATALOGUE = load_catalogue()


@pytest.fixture
def linear_model() -> Callable[..., LatentVariableModel]:
    """A linear-Gaussian model in double precision:
    3 values from 2 latents, with the named prior and posterior.
    """

    def make(
        posterior: str = "gaussian[hidden=8]", prior: str = "standard_normal", latent: int = 2
    ) -> LatentVariableModel:
        data = DataSummary((3,), "real", torch.tensor([0.5, -1.0, 2.0]))
        p = CATALOGUE.build("prior", prior, data, latent)
        decoder = CATALOGUE.build("decoder", "linear_gaussian[noise=0.7]", data, p.space)
        return LatentVariableModel(
            p, CATALOGUE.build("posterior", posterior, data, p.space), decoder
        ).double()

    return make


@pytest.fixture
def points() -> torch.Tensor:
    """Five data points of three values."""
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2


class LinePosterior(Posterior):
    """q(z|x) = N(m, s^2) for every x; weights are m and log s."""

    distribution = DiagonalNormal

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([0.4, -0.5], dtype=torch.float64))

    def forward(self, x: Tensor, model: LatentVariableModel) -> DiagonalNormal:
        m, log_s = self.weights
        return DiagonalNormal(m.expand(len(x), 1), log_s.expand(len(x), 1))


class LineDecoder(Decoder):
    """p(x|z) = N(w z, 1); the weight is w."""

    distribution = DiagonalNormal

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.5, dtype=torch.float64))

    def forward(self, z: Tensor) -> DiagonalNormal:
        return DiagonalNormal(self.weight * z, torch.zeros((), dtype=torch.float64))


class Line(NamedTuple):
    """A one-dimensional model under a standard normal prior,
    with the gradient of its ELBO at x in closed form.

    ELBO = -((x - w m)^2 + w^2 s^2) / 2 - (m^2 + s^2 - 1) / 2 + log s + constant.
    """

    model: LatentVariableModel
    x: float = 2.0

    @property
    def gradient(self) -> Tensor:
        """With respect to m, log s and w."""
        (m, log_s), w = self.model.posterior.weights.tolist(), self.model.decoder.weight.item()
        s2 = math.exp(2 * log_s)
        in_w = m * (self.x - w * m) - w * s2
        return torch.tensor([w * (self.x - w * m) - m, 1 - s2 * (1 + w * w), in_w], dtype=torch.float64)

    def gradients(self, objective: Objective, estimator: Estimator, draws: int, *, batch: int = 1) -> Tensor:
        """Independent gradients, (draws, 3) with two weights of the posterior, each the mean of a batch
        that has x only, drawn together under vmap.
        """
        surrogate = Surrogate(
            self.model, objective, estimator, torch.full((batch, 1), self.x, dtype=torch.float64)
        )
        stream = Stream.seeded(0, "line", dtype=torch.float64)
        surrogate(recorder := Recorder(Stream.seeded(0, dtype=torch.float64)))
        normals, uniforms = recorder.demand
        numbers = stream.normal((draws, normals)), stream.uniform((draws, uniforms))

        def value(weights: dict[str, Tensor], *numbers: Tensor) -> Tensor:
            return torch.func.functional_call(surrogate, weights, (Buffer(*numbers),))

        found = torch.func.vmap(torch.func.grad(value), (None, 0, 0))(
            dict(surrogate.named_parameters()), *numbers
        )
        return torch.cat([found["model.posterior.weights"], found["model.decoder.weight"].unsqueeze(-1)], -1)


class Surrogate(nn.Module):
    """The mean surrogate of a batch, as a module."""

    def __init__(
        self, model: LatentVariableModel, objective: Objective, estimator: Estimator, x: Tensor
    ) -> None:
        super().__init__()
        self.model, self.objective, self.estimator, self.x = model, objective, estimator, x

    def forward(self, noise: Noise) -> Tensor:
        return self.estimator(self.objective, self.model, self.x, noise).surrogate.mean()


@pytest.fixture
def line() -> Line:
    """The one-dimensional model."""
    data = DataSummary((1,), "real", torch.zeros(1))
    prior = CATALOGUE.build("prior", "standard_normal", data, 1)
    return Line(LatentVariableModel(prior, LinePosterior(), LineDecoder()).double())


@pytest.fixture
def gradients() -> Callable[..., Tensor]:
    """Independent gradients of every weight of a model, (draws, P), drawn together under vmap."""

    def find(
        model: LatentVariableModel, x: Tensor, objective: str, estimator: str, draws: int, seed: int
    ) -> Tensor:
        data = DataSummary(tuple(x.shape[1:]), "real", x.mean(0))
        bound = CATALOGUE.build("objective", objective)
        built = CATALOGUE.build("estimator", estimator, data, model.prior.space)
        surrogate = Surrogate(model, bound, built, x)
        surrogate(recorder := Recorder(Stream.seeded(0, dtype=x.dtype)))
        stream = Stream.seeded(seed, "gradients", dtype=x.dtype)
        normals = stream.normal((draws, recorder.demand.normals))
        uniforms = stream.uniform((draws, recorder.demand.uniforms))

        def value(weights: dict[str, Tensor], normals: Tensor, uniforms: Tensor) -> Tensor:
            return torch.func.functional_call(surrogate, weights, (Buffer(normals, uniforms),))

        weights = dict(surrogate.named_parameters())
        found = torch.func.vmap(torch.func.grad(value), (None, 0, 0))(weights, normals, uniforms)
        return torch.cat([part.reshape(draws, -1) for part in found.values()], 1)

    return find
