"""Flow and autoregressive priors: densities, inverses, known entropies, and the posterior they come from."""

import math

import pytest
import torch

from lvmbench import DataSummary, DiagonalNormal, LatentVariableModel, Refusal, Stream, Terms
from lvmbench.kernels.flows import affine, pushed
from lvmbench.registry.loader import load_catalogue
from lvmbench_plugins.priors.autoregressive import Autoregressive
from lvmbench_plugins.priors.flow import FlowPrior

F64 = torch.float64
CATALOGUE = load_catalogue()
DATA = DataSummary((3,), "real", torch.zeros(3))
PRIORS = {
    "affine": (FlowPrior, {"form": "affine"}),
    "spline": (FlowPrior, {"form": "spline"}),
    "autoregressive": (Autoregressive, {}),
}
priors = pytest.mark.parametrize(("cls", "options"), PRIORS.values(), ids=PRIORS)


def prior(cls, options, latent=3, *, jitter=0.3):
    """A small flow in double precision, with weights moved away from the near-identity of the start."""
    torch.manual_seed(1)
    built = cls(DATA, latent, hidden=12, **options).double()
    with torch.no_grad():
        for weight in built.parameters():
            weight.add_(jitter * torch.randn_like(weight))
    return built


@priors
def test_inverses_lead_back(cls, options):
    p = prior(cls, options)(None)
    z = 2 * torch.randn(4, 5, 3, dtype=F64)
    for step, inverse in zip(p.steps, p.inverses, strict=True):
        image, log_det = step(z)
        back, log_det_back = inverse(image)
        torch.testing.assert_close(back, z, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(log_det_back, -log_det, rtol=1e-9, atol=1e-9)


@priors
def test_single_precision_leads_back_as_well(cls, options):
    p = prior(cls, options, jitter=0.1).float()(None)
    noise = Stream.seeded(0, dtype=torch.float32).normal((1000, 3))
    z, _ = p.sample_and_log_prob(Stream.seeded(0, dtype=torch.float32), 1000)
    torch.testing.assert_close(noise_of(p, z), noise, rtol=1e-5, atol=1e-5)


@priors
def test_log_determinants_are_those_of_jacobians(cls, options):
    p = prior(cls, options)(None)
    for z in 2 * torch.randn(4, 3, dtype=F64):
        jacobian = torch.autograd.functional.jacobian(lambda v: noise_of(p, v), z)
        due = p.base.log_prob(noise_of(p, z)) + torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(p.log_prob(z), due)


def noise_of(p, z):
    """What a value was made of."""
    for inverse in reversed(p.inverses):
        z, _ = inverse(z)
    return z


@priors
def test_a_fresh_one_is_all_but_standard_normal(cls, options):
    torch.manual_seed(0)
    z = torch.randn(200, 4)
    standard = DiagonalNormal(torch.zeros(4), torch.zeros(4))
    assert (cls(DATA, 4, **options)(None).log_prob(z) - standard.log_prob(z)).abs().max() < 0.2


def test_density_takes_one_pass():
    built, calls = prior(Autoregressive, {"flows": 3}, 4), []
    for step in built.steps:
        step.network.register_forward_hook(lambda *_: calls.append(1))
    p = built(None)
    p.log_prob(torch.zeros(5, 4, dtype=F64))
    assert len(calls) == 3


def test_it_is_the_inverse_autoregressive_flow_moved_to_the_prior(points):
    """With the noise as latents: a standard normal prior, the steps behind the encoder, their inverse before
    the decoder.

    Bounds are the same, sample by sample.
    """
    torch.manual_seed(0)
    p = CATALOGUE.build("prior", "autoregressive[hidden=12]", DATA, 2)
    q = CATALOGUE.build("posterior", "gaussian[hidden=8]", DATA, p.space)
    decoder = CATALOGUE.build("decoder", "linear_gaussian", DATA, p.space)
    built = LatentVariableModel(p, q, decoder).double()
    with torch.no_grad():
        for weight in built.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    terms = Terms(built, points, Stream.seeded(0, dtype=F64), 4)
    steps = [step(None, affine) for step in p.steps]
    u, log_q = pushed(built.q(points), steps, (2,)).sample_and_log_prob(Stream.seeded(0, dtype=F64), 4)
    back = pushed(DiagonalNormal(u.new_zeros(2), u.new_zeros(2)), steps, (2,))
    decoded = u
    for inverse in reversed(back.inverses):
        decoded, _ = inverse(decoded)
    log_w = built.log_likelihood(points, decoded) + back.base.log_prob(u) - log_q
    torch.testing.assert_close(log_w, terms.log_w())


def banana(noise, samples):
    """Draws of a correlated normal bent along a parabola, and the entropy of their law."""
    e = noise.normal((samples, 2))
    z = torch.stack([e[:, 0], e[:, 0] ** 2 - 1 + 0.4 * e[:, 1]], -1)
    return z, 1 + math.log(2 * math.pi) + math.log(0.4)


@pytest.mark.slow
@priors
@pytest.mark.statistical("the mean log density of draws with the entropy", "of the 20,000 draws")
def test_a_fitted_one_reaches_the_entropy_of_a_banana(cls, options, chance):
    """Between the entropy and 0.05 nats more: the difference is a KL divergence."""
    torch.manual_seed(0)
    built, noise = cls(DATA, 2, hidden=32, **options), Stream.seeded(0, "banana", dtype=torch.float32)
    optimizer = torch.optim.Adam(built.parameters(), lr=5e-3)
    for _ in range(400):
        optimizer.zero_grad()
        (-built(None).log_prob(banana(noise, 256)[0])).mean().backward()
        optimizer.step()
    z, entropy = banana(noise, 20_000)
    with torch.no_grad():
        each = -built(None).log_prob(z)
    chance.agrees(each, entropy + 0.025, slack=0.025)
    assert torch.cov(z.T).logdet() / 2 + 1 + math.log(2 * math.pi) > entropy + 0.3  # of the best normal


@pytest.mark.parametrize("cls", [FlowPrior, Autoregressive])
def test_a_single_latent_is_refused(cls):
    with pytest.raises(Refusal, match="take a latent size of at least 2"):
        cls(DATA, 1)
