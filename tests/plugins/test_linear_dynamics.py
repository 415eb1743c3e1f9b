"""Linear dynamics are one normal over all steps, and with a linear decoder one over all data."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from lvmbench import Stream, Terms
from tests.plugins.sequences import CATALOGUE, LENGTHS, model, sequences, summary


def dense(prior, steps=5):
    """Mean and covariance of all steps, ``(T Z)``, from the powers of A."""
    first, weight, bias, log_scale = (part for part in prior.move)
    noise = [first.log_scale, *[log_scale] * (steps - 1)]
    means, rows = [first.loc], []
    for t in range(steps):
        means.append(weight @ means[-1] + bias)
        rows.append(
            torch.cat(
                [
                    torch.linalg.matrix_power(weight, t - s) @ noise[s].exp().diag()
                    if s <= t
                    else torch.zeros(2, 2).double()
                    for s in range(steps)
                ],
                1,
            )
        )
    factor = torch.cat(rows)
    return torch.cat(means[:-1]), factor @ factor.T


def observed(built, x):
    """The exact normal of what was observed of one sequence, and those values."""
    mean, covariance = dense(built.prior)
    emission = torch.block_diag(*[built.decoder.weight] * 5)
    loc = emission @ mean + built.decoder.bias.repeat(5)
    noise = (2 * built.decoder.log_noise).exp() * torch.eye(15).double()
    seen = ~x.flatten().isnan()
    whole = emission @ covariance @ emission.T + noise
    return MultivariateNormal(loc[seen], whole[seen][:, seen]), x.flatten()[seen]


@pytest.fixture(params=["full", "diagonal"])
def built(request):
    return model(f"linear_dynamics[transition={request.param}]", "exact", data=summary(whole=False))


@pytest.fixture
def x():
    """Sequences of several lengths, with a hole in a frame and a frame that was not observed."""
    values = sequences()
    values[0, 2, 1] = values[1, 1] = math.nan
    return values


def test_linear_dynamics_are_a_normal(built):
    z = Stream.seeded(0, dtype=torch.float64).normal((7, 5, 2))
    truth = MultivariateNormal(*dense(built.prior))
    torch.testing.assert_close(built.p().log_prob(z), truth.log_prob(z.flatten(1)), rtol=0, atol=1e-6)
    torch.testing.assert_close(built.p().mean.flatten(), truth.mean, rtol=0, atol=1e-12)


def test_log_p_is_that_of_the_dense_normal(built, x):
    due = torch.stack([p.log_prob(values) for p, values in (observed(built, row) for row in x)])
    torch.testing.assert_close(built.exact_log_prob(x), due, rtol=0, atol=1e-6)


def test_the_exact_posterior_leaves_no_gap(built, x):
    terms = Terms(built, x, Stream.seeded(0, dtype=torch.float64), 4)
    torch.testing.assert_close(
        terms.log_w(), built.exact_log_prob(x).expand(4, len(LENGTHS)), rtol=0, atol=1e-6
    )


def test_in_single_precision_the_gap_is_below_a_thousandth(built, x):
    single = built.float()
    terms = Terms(single, x.float(), Stream.seeded(0), 100)
    gap = single.exact_log_prob(x.float()) - CATALOGUE.build("objective", "elbo")(terms)
    assert gap.abs().max() < 1e-3


def test_the_exact_posterior_is_the_dense_conditional(built, x):
    """Its mean, and its density anywhere, of the longest sequence."""
    mean, covariance = dense(built.prior)
    emission = torch.block_diag(*[built.decoder.weight] * 5)
    seen, values = ~x[0].flatten().isnan(), x[0].flatten()
    across = covariance @ emission[seen].T
    data, _ = observed(built, x[0])
    gain = across @ torch.linalg.inv(data.covariance_matrix)
    due = MultivariateNormal(mean + gain @ (values[seen] - data.mean), covariance - gain @ across.T)
    q = built.exact_posterior(x[:1])
    torch.testing.assert_close(q.mean.flatten(), due.mean, rtol=0, atol=1e-9)
    z = due.mean + Stream.seeded(1, dtype=torch.float64).normal((7, 10))
    torch.testing.assert_close(q.log_prob(z.reshape(7, 1, 5, 2))[:, 0], due.log_prob(z), rtol=0, atol=1e-6)


def test_training_by_the_exact_posterior_climbs_log_p(built, x):
    """The gradient of the ELBO of the true posterior is that of log p(x)."""
    weights = [*built.prior.parameters(), *built.decoder.parameters()]
    terms = Terms(built, x, Stream.seeded(0, dtype=torch.float64), 2)
    found = torch.autograd.grad(CATALOGUE.build("objective", "elbo")(terms).sum(), weights)
    exact = torch.stack([p.log_prob(values) for p, values in (observed(built, row) for row in x)])
    torch.testing.assert_close(found, torch.autograd.grad(exact.sum(), weights))


@pytest.mark.statistical("moments of samples", "by Student's t", comparisons=2)
def test_samples_have_the_moments_of_the_normal(chance):
    built = model("linear_dynamics", "exact")
    mean, covariance = dense(built.prior)
    with torch.no_grad():
        z = built.p().sample(Stream.seeded(chance.seed, "dynamics", dtype=torch.float64), 50_000).flatten(1)
        chance.agrees(z, mean)
        apart = z - mean
        chance.agrees(apart.unsqueeze(-1) * apart.unsqueeze(-2), covariance)
