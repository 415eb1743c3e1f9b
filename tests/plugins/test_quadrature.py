"""Quadrature against linear-Gaussian models, whose log p(x) is known, with wide and narrow posteriors."""

import pytest
import torch

from lvmbench import Data, DataSummary, LatentVariableModel, Refusal, Split, Stream, Subject
from lvmbench_plugins.decoders.linear_gaussian import LinearGaussian
from lvmbench_plugins.evaluators.quadrature import Quadrature
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.posteriors.exact import Exact
from lvmbench_plugins.priors.mixture import MixturePrior
from lvmbench_plugins.priors.standard_normal import StandardNormal


def linear(prior=StandardNormal, latent=2, noise=1.0):
    torch.manual_seed(0)
    summary = DataSummary((5,), "real", torch.zeros(5))
    p = prior(summary, latent)
    decoder = LinearGaussian(summary, p.space, noise=noise)
    model = LatentVariableModel(p, Exact(summary, p.space), decoder).eval()
    x = model.generate(Stream.seeded(1, "data"), 20)
    data = Data(dict.fromkeys(("train", "validation", "test"), Split(x)), "real", "none")
    return Subject(model, Elbo(), {}, data, seed=0)


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("prior", [StandardNormal, MixturePrior])
@pytest.mark.parametrize("latent", [1, 2])
@pytest.mark.parametrize("noise", [1.0, 0.001])
def test_quadrature_is_exact(double, prior, latent, noise, proof):
    """In double precision to 1e-9 nats, also where the posterior is 1000 times narrower than the prior."""
    subject = linear(prior, latent, noise)
    value, error = Quadrature().evaluate(subject)
    exact = subject.model.exact_log_prob(subject.x).detach()
    worst = (value.per_datum - exact).abs().max().item()
    against = f"exact log p(x), {prior.__name__}, {latent} latent, noise {noise:g}: largest difference"
    proof("quadrature", against, worst, 0.0, 1e-9)
    assert value.method == "quadrature"
    assert error.value < 1e-9


def test_single_precision_will_do():
    """To the rounding of log densities of about 20."""
    subject = linear(noise=0.1)
    value, _ = Quadrature().evaluate(subject)
    torch.testing.assert_close(
        value.per_datum.float(), subject.model.exact_log_prob(subject.x).detach(), atol=1e-3, rtol=0
    )


def test_error_says_when_the_grid_is_too_coarse(double):
    """One round of few nodes cannot find a posterior this narrow.

    The stated error owns up to most of the true one.
    """
    subject = linear(noise=0.001)
    value, error = Quadrature(side=4, rounds=1).evaluate(subject)
    wrong = (value.per_datum - subject.model.exact_log_prob(subject.x).detach()).abs()
    assert wrong.mean() > 1
    assert error.value > 0.5


def test_more_than_two_dimensions_are_refused():
    with pytest.raises(
        Refusal, match="z of 1 or 2 dimensions, and this model's z has 3; take ais or tightness"
    ):
        Quadrature().evaluate(linear(latent=3))
