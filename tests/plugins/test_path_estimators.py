"""Sticking the landing, doubly reparameterised and multi-sample gradients,
beyond the checks that hold them to enumeration.
"""

import math

import pytest
import torch

from lvmbench import Stream, Terms
from lvmbench.checks.specimen import TOY
from lvmbench_plugins.estimators.dreg import Dreg, _derivatives
from lvmbench_plugins.estimators.pathwise import Pathwise
from lvmbench_plugins.estimators.score import Score
from lvmbench_plugins.estimators.stl import Stl
from lvmbench_plugins.estimators.vimco import Vimco
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.objectives.iwae import Iwae
from lvmbench_plugins.objectives.renyi import Renyi

DRAWS = 20_000


def at_the_true_posterior(line):
    """The one-dimensional model with q = p(z|x): precision 1 + w^2, mean w x / (1 + w^2)."""
    w = line.model.decoder.weight.item()
    with torch.no_grad():
        line.model.posterior.weights.copy_(
            torch.tensor([w * line.x / (1 + w * w), -0.5 * math.log(1 + w * w)], dtype=torch.float64)
        )
    return line


def squares(gradients):
    """Squared deviations of the posterior's gradients, whose mean is the variance."""
    return (gradients - gradients.mean(0)).square()[:, :2]


def test_stl_has_no_variance_at_the_true_posterior(line):
    """Where the pathwise gradient has some."""
    exact = at_the_true_posterior(line)
    stl, pathwise = (exact.gradients(Elbo(), e, 1000).var(0)[:2] for e in (Stl(), Pathwise()))
    assert (stl < 1e-20).all()
    assert (pathwise > 1e-3).any()


@pytest.mark.statistical("the mean gradient with its closed form", "of the 20,000 draws")
def test_stl_averages_to_the_closed_form(line, chance):
    chance.agrees(line.gradients(Elbo(samples=3), Stl(), DRAWS), line.gradient)


@pytest.mark.parametrize("objective", [Iwae(samples=4), Renyi(alpha=0.5, samples=4)], ids=["iwae", "renyi"])
@pytest.mark.statistical("mean gradients of two estimators", "of the 20,000 draws, paired")
def test_dreg_averages_to_the_pathwise_gradient(line, objective, chance):
    one, other = (line.gradients(objective, e, DRAWS) for e in (Dreg(), Pathwise()))
    chance.agrees(one - other, slack=1e-9)  # the decoder's are equal


def test_dreg_coefficients_are_the_papers():
    """For IWAE w - dw/dlog w = w^2.

    For Renyi alpha w + (1 - alpha) w^2, of the normalised weights of its order.
    """
    log_w = torch.randn(5, 3, dtype=torch.float64)
    for alpha, objective in ((0.0, Iwae(samples=5)), (0.3, Renyi(alpha=0.3, samples=5))):
        share, bend = _derivatives(objective, log_w)
        w = ((1 - alpha) * log_w).softmax(0)
        torch.testing.assert_close(share, w)
        torch.testing.assert_close(share - bend, alpha * w + (1 - alpha) * w**2)


def snr(gradients):
    return gradients.mean(0).abs() / gradients.std(0)


@pytest.mark.statistical(
    "signal-to-noise ratios at 1 and 64 samples",
    "derived: the ratio of 4,000 draws errs by 1 / 63",
    comparisons=2,
)
def test_the_encoders_signal_grows_with_samples_under_dreg_and_falls_without(line, chance):
    """From 1 to 64 samples, of the mean's gradient: by sqrt(64) = 8 either way in the limit.

    At least 2 here.
    """
    dreg, plain = (
        [snr(line.gradients(Iwae(samples=k), e, 4000))[0].item() for k in (1, 64)]
        for e in (Dreg(), Pathwise())
    )
    for low, high in (dreg, plain[::-1]):  # the error of a ratio r of n draws is sqrt((1 + r^2 / 2) / n)
        chance.ordered(2 * low, high, math.sqrt((5 + high**2 / 2 + 2 * low**2) / 4000))


@pytest.mark.statistical("variances of two estimators, one below half the other", "of the 4,000 squares")
def test_vimco_has_less_variance_than_reinforce(line, chance):
    one, other = (squares(line.gradients(Iwae(samples=5), e, 4000)) for e in (Vimco(), Score(*TOY)))
    difference = other / 2 - one
    chance.ordered(0.0, difference.mean(0), difference.std(0) / math.sqrt(4000))


def test_a_moving_average_follows_the_bound_while_training(linear_model, points):
    model, estimator = linear_model(), Score(*TOY, baseline="moving_average", decay=0.5).double()
    noise, bounds = Stream.seeded(0, dtype=torch.float64), []
    for _ in range(3):
        bounds.append(estimator(Elbo(), model, points, noise).bound.mean())
    due = sum(2.0**k * b for k, b in enumerate(bounds)) / 7
    torch.testing.assert_close(estimator._expected(points), due.expand(5).detach())
    estimator.eval()(Elbo(), model, points, noise)
    torch.testing.assert_close(estimator._expected(points), due.expand(5).detach())


def test_the_baseline_network_alone_is_trained_by_its_error(linear_model, points):
    """Its gradient is that of half the squared error.

    The model's is that of the signal with the baseline held fixed.
    """
    from lvmbench import DataSummary

    data = DataSummary((3,), "real", torch.zeros(3))
    estimator = Score(data, TOY[1], baseline="network", hidden=4).double()
    model = linear_model()
    estimate = estimator(Elbo(), model, points, Stream.seeded(0, dtype=torch.float64))
    weights = list(estimator.network.parameters())
    found = torch.autograd.grad(estimate.surrogate.sum(), weights, retain_graph=True)
    error = 0.5 * (estimate.bound.detach() - estimator.network(points).squeeze(-1)).square().sum()
    for one, other in zip(found, torch.autograd.grad(-error, weights), strict=True):
        torch.testing.assert_close(one, other)


def test_terms_along_a_path_keep_their_values(linear_model, points):
    terms = Terms(linear_model(), points, Stream.seeded(0, dtype=torch.float64), 3, fixed=True)
    moved = terms.along(torch.rand(3, 5, dtype=torch.float64))
    torch.testing.assert_close(moved.log_w(), terms.log_w())
