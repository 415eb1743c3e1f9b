"""Stochastic variational inference of bits: each datum has logits of its own."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, final

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import grad

from lvmbench import (
    Bernoulli,
    Buffer,
    DataSummary,
    Distribution,
    Estimator,
    LatentSpace,
    LatentVariableModel,
    Noise,
    Positive,
    Probability,
    Searched,
    Size,
)
from lvmbench_plugins.estimators.enumeration import Enumeration
from lvmbench_plugins.estimators.rebar import Rebar
from lvmbench_plugins.estimators.score import Score
from lvmbench_plugins.objectives.elbo import Elbo

Name = Literal["score", "rebar", "enumeration"]
NUMBERS: dict[Name, int] = {"score": 1, "rebar": 2, "enumeration": 0}
"""How many uniform numbers each estimator takes for a bit of a sample."""
LARGEST = 20.0
"""No logit is further from 0: in single precision the bit is then always drawn, or never."""
LONGEST = 1.0
"""No logit changes by more in one step."""
LEAST = 0.05
"""The smallest variance of a bit that a step is divided by: less would make noise of the nearly certain."""


@final
class BernoulliSvi(Searched):
    r"""Independent bits, whose logits are found for each datum by gradient ascent on its ELBO.

    .. math:: \lambda_{t+1} = \lambda_t + \rho_t F(\lambda_t)^{-1} \nabla_\lambda \mathrm{ELBO}(x; \lambda_t),
        \qquad \rho_t = \tfrac{\rho}{2} \left(1 + \cos \tfrac{\pi t}{T}\right), \qquad
        q(z|x) = \prod_d \operatorname{Bernoulli}(z_d; \phi_d), \quad \phi = \operatorname{sigmoid} \lambda_T

    where :math:`F = \operatorname{diag} \phi (1 - \phi)` is the Fisher information of q: steps of the natural
    gradient, as those of `svi`. There is no network: inference costs :math:`K T` gradients of the model for
    each datum, in training as in evaluation. The gradients are those of an estimator of this catalogue:
    `score` with the other samples as the baseline, `rebar`, or `enumeration`, which sums over every z. As
    the steps shrink more of them bring q nearer to the best. Without steps :math:`\phi` is what it starts
    from.

    The random numbers of the steps are drawn once, other ones for each step and the same for all data, so
    that q(z|x) is a function of x and of the model. The model is trained at :math:`\lambda_T` held fixed.
    Logits stay within 20 of 0, where single precision tells :math:`\phi` from 1 no more; from there no sample
    differs, and no step leads away.

    References:
        Stochastic Variational Inference (Hoffman, Blei, Wang, Paisley, 2013),
        https://jmlr.org/papers/v14/hoffman13a.html;
        Black Box Variational Inference (Ranganath, Gerrish, Blei, 2014),
        https://proceedings.mlr.press/v33/ranganath14.html

    Arguments:
        estimator: What the gradients are found by.
        steps: The number of steps :math:`T`.
        rate: The first step size :math:`\rho`; 1 with exact gradients is mean-field coordinate ascent, of all
            coordinates at once.
        samples: The number of samples :math:`K` that each gradient is taken from.
        start: The :math:`\phi` of every bit before the first step.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> data, space = DataSummary((3,), "binary", torch.zeros(3)), LatentSpace((2,), "binary")
        >>> BernoulliSvi(data, space, steps=0, start=0.25)(torch.zeros(1, 3), None).mean
        tensor([[0.2500, 0.2500]])
    """

    distribution = Bernoulli
    provides = frozenset({"held_fixed", "reads_model"})
    requires = frozenset({"prior.binary", "prior.density", "decoder.density"})
    noise: Tensor

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        estimator: Name = "score",
        steps: Size = 100,
        rate: Positive = 0.3,
        samples: Annotated[int, Field(ge=2)] = 10,
        start: Probability = 0.5,
    ) -> None:
        super().__init__()
        self.shape, self.rate, self.start = space.event_shape, rate, start
        self.objective, self.estimator = Elbo(samples=samples), _estimator(estimator, data, space)
        self.requires = self.requires | (self.estimator.requires & {"prior.enumerable"})
        self.register_buffer("noise", torch.rand(steps, NUMBERS[estimator], samples, 1, *self.shape))

    def search(self, x: Tensor, model: LatentVariableModel) -> Tensor:
        first = self.noise.new_full((len(x), *self.shape), self.start).logit().clamp(-LARGEST, LARGEST)
        if not len(self.noise):
            return first  # there may be no model to ask
        with torch.no_grad():
            return self._ascended(first, x, model).detach()

    def of(self, parameters: Tensor) -> Bernoulli:
        return Bernoulli(parameters, len(self.shape))

    def _ascended(self, logits: Tensor, x: Tensor, model: LatentVariableModel) -> Tensor:
        p = model.p()
        for step, numbers in enumerate(self.noise.unbind(0)):
            size = self.rate * 0.5 * (1 + math.cos(math.pi * step / len(self.noise)))
            phi = logits.sigmoid()
            natural = self._slope(logits, x, model, p, numbers) / (phi * (1 - phi)).clamp(min=LEAST)
            moved = logits + (size * natural).clamp(-LONGEST, LONGEST)
            logits = moved.clamp(-LARGEST, LARGEST)
        return logits

    def _slope(
        self, logits: Tensor, x: Tensor, model: LatentVariableModel, p: Distribution, numbers: Tensor
    ) -> Tensor:
        """The gradient of each datum's ELBO in its logits, ``(B, *z)``."""
        uniforms = numbers.expand(-1, -1, len(x), *self.shape).flatten()
        noise = Buffer(uniforms[:0], uniforms)
        prior: Any = _Held(p, model.prior.space)

        def surrogate(logits: Tensor) -> Tensor:
            posterior: Any = _Held(Bernoulli(logits, len(self.shape)))
            held = LatentVariableModel(prior, posterior, model.decoder, complete=model.complete)
            found: Tensor = self.estimator(self.objective, held, x, noise).surrogate.sum()
            return found

        slope: Tensor = grad(surrogate)(logits)
        return slope


class _Held(nn.Module):
    """A prior or a posterior that is a given distribution."""

    def __init__(self, found: Distribution, space: LatentSpace | None = None) -> None:
        super().__init__()
        self.found, self.space = found, space

    def forward(self, *asked: object) -> Distribution:
        return self.found

    def corrupt(self, x: Tensor, noise: Noise) -> Tensor:
        return x


def _estimator(name: Name, data: DataSummary, space: LatentSpace) -> Estimator:
    if name == "score":
        return Score(data, space, baseline="leave_one_out")
    return Rebar() if name == "rebar" else Enumeration()
