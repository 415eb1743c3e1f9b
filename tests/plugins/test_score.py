"""The score-function gradient against closed forms, and against enumeration of binary latents."""

import itertools
import math

import pytest
import torch
from torch import nn

from lvmbench import (
    Bernoulli,
    Decoder,
    DiagonalNormal,
    LatentSpace,
    LatentVariableModel,
    Posterior,
    Prior,
    Stream,
    Terms,
)
from lvmbench.checks.specimen import TOY
from lvmbench_plugins.estimators.pathwise import Pathwise
from lvmbench_plugins.estimators.score import Score
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.objectives.iwae import Iwae

DRAWS = 20_000
BASELINES = ["none", "leave_one_out"]


def squares(gradients):
    """Squared deviations of the posterior's gradients, whose mean is the variance."""
    return (gradients - gradients.mean(0)).square()[:, :2]


@pytest.mark.parametrize("kl", ["analytic", "sampled"])
@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.statistical("the mean gradient with its closed form", "of the 20,000 draws")
def test_mean_gradient_is_the_closed_form(line, kl, baseline, chance):
    found = line.gradients(Elbo(kl=kl, samples=3), Score(*TOY, baseline=baseline), DRAWS)
    chance.agrees(found, line.gradient)


@pytest.mark.parametrize("objective", [Elbo(samples=4), Iwae(samples=4)], ids=["elbo", "iwae"])
@pytest.mark.statistical("variances with and without a baseline, in order", "of the 20,000 squares")
def test_leave_one_out_lowers_the_variance(line, objective, chance):
    """Of the posterior's gradients."""
    none, other = (squares(line.gradients(objective, Score(*TOY, baseline=b), DRAWS)) for b in BASELINES)
    difference = none - other
    chance.ordered(0.0, difference.mean(0), difference.std(0) / math.sqrt(DRAWS))


@pytest.mark.statistical("variances of two estimators, in order", "of the 20,000 squares")
def test_variance_is_above_the_pathwise_one(line, chance):
    score, pathwise = (squares(line.gradients(Elbo(), e, DRAWS)) for e in (Score(*TOY), Pathwise()))
    chance.ordered(0.0, (score - pathwise).mean(0), (score - pathwise).std(0) / math.sqrt(DRAWS))


def test_baseline_of_the_elbo_is_the_mean_of_the_others(linear_model, points):
    """The surrogate beyond the bound is sum_k (L - mean of the others' terms) log q(z_k|x)."""
    model, objective = linear_model(), Elbo(samples=3, kl="sampled")
    terms = Terms(model, points, Stream.seeded(0, dtype=torch.float64), 3, pathwise=False)
    log_w = terms.log_w().detach()
    others = (log_w.sum(0) - log_w) / 2
    expected = ((log_w.mean(0) - others) * terms.log_q).sum(0)
    estimate = Score(*TOY, baseline="leave_one_out")(
        objective, model, points, Stream.seeded(0, dtype=torch.float64)
    )
    torch.testing.assert_close(estimate.surrogate - estimate.bound, expected)


class Coins(Prior):
    distribution = Bernoulli

    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([0.5, -1.0], dtype=torch.float64))

    space = LatentSpace((2,), "binary")

    def forward(self, model):
        return Bernoulli(self.logits)


class CoinPosterior(Posterior):
    distribution = Bernoulli

    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([-0.3, 0.8], dtype=torch.float64))

    def forward(self, x, model):
        return Bernoulli(self.logits + 0 * x)


class CoinDecoder(Decoder):
    distribution = DiagonalNormal

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0, 2.0], [-1.0, 0.5]], dtype=torch.float64))

    def forward(self, z):
        return DiagonalNormal(z @ self.weight, torch.zeros((), dtype=torch.float64))


@pytest.mark.parametrize("objective", [Elbo(samples=2), Elbo(samples=2, kl="sampled"), Iwae(samples=2)])
@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.statistical(
    "the mean gradient with the sum over all pairs of latents", "of 100 groups of 200 draws"
)
def test_is_unbiased_for_binary_latents(objective, baseline, chance):
    """E over all 4^2 pairs of latents."""
    model, x = (
        LatentVariableModel(Coins(), CoinPosterior(), CoinDecoder()),
        torch.tensor([[1.0, 0.3]]).double(),
    )
    weights = list(model.parameters())
    states = torch.tensor(list(itertools.product([0.0, 1.0], repeat=2)), dtype=torch.float64)
    log_q, log_p = model.q(x).log_prob(states[:, None])[:, 0], model.log_joint(x, states[:, None])[:, 0]
    log_w = log_p - log_q
    pair = (log_q[:, None] + log_q).exp()
    bound = (
        torch.logaddexp(log_w[:, None], log_w) - math.log(2)
        if isinstance(objective, Iwae)
        else (log_w[:, None] + log_w) / 2
    )
    exact = torch.cat([g.flatten() for g in torch.autograd.grad((pair * bound).sum(), weights)])

    noise, groups = Stream.seeded(0, dtype=torch.float64), []
    for _ in range(100):
        surrogate = Score(*TOY, baseline=baseline)(objective, model, x.expand(200, 2), noise).surrogate.mean()
        groups.append(torch.cat([g.flatten() for g in torch.autograd.grad(surrogate, weights)]))
    # the analytic KL has no variance, only rounding
    chance.agrees(torch.stack(groups), exact, slack=1e-10)
