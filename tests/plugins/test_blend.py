"""The blended gradient: between its two ends as its formula says, without bias,
and with little variance at both ends.
"""

import math

import pytest
import torch

from lvmbench import Buffer, Stream
from lvmbench_plugins.estimators.blend import Blend
from lvmbench_plugins.estimators.pathwise import Pathwise
from lvmbench_plugins.estimators.stl import Stl
from lvmbench_plugins.objectives.elbo import Elbo

BETAS = pytest.mark.parametrize("beta", [1.0, 0.3])


def noise():
    """Equal numbers for the first samples, however many more are drawn."""
    numbers = Stream.seeded(0, dtype=torch.float64).normal((100,))
    return Buffer(numbers, numbers[:0])


def with_posterior(line, mean, scale):
    with torch.no_grad():
        line.model.posterior.weights.copy_(torch.tensor([mean, math.log(scale)], dtype=torch.float64))
    return line


def optimal(line, beta):
    """The line whose q has no better one: q is as p(x|z)^(1 / beta) p(z), of precision 1 + w^2 / beta."""
    w = line.model.decoder.weight.item()
    precision = 1 + w * w / beta
    return with_posterior(line, w * line.x / beta / precision, precision**-0.5)


def closed_form(line, beta):
    """The gradient of -((x - w m)^2 + w^2 s^2) / 2 + beta (log s - (m^2 + s^2 - 1) / 2) in m, log s and w."""
    (m, log_s), w = line.model.posterior.weights.tolist(), line.model.decoder.weight.item()
    s2, off = math.exp(2 * log_s), line.x - w * m
    return torch.tensor(
        [w * off - beta * m, beta * (1 - s2) - w * w * s2, m * off - w * s2], dtype=torch.float64
    )


def weights(model, x, beta, samples):
    """The weight c of each datum, by the slopes of log p and of log q at the samples,
    and of log q at a spare one.
    """
    z, _, slope = model.q(x).sample_with_slope(noise(), samples + 1)
    at = z[:-1].detach().requires_grad_()
    log_p = model.decoder(at).log_prob(x) + beta * model.p().log_prob(at)
    (of_p,) = torch.autograd.grad(log_p.sum(), at)
    product, square = ((v * slope[:-1]).sum((0, 2)) for v in (of_p, beta * slope[:-1]))
    own = samples * beta * slope[-1].square().sum(-1)
    others = [[a for a in range(len(x)) if a != b] for b in range(len(x))]
    found = [product[rest].mean() * len(x) / (own[b] + square[rest].sum()) for b, rest in enumerate(others)]
    return torch.stack(found).clamp(0, 1)


def narrow(model):
    """The same with less of a scale to q than the decoder would have,
    so that the weight is within its ends.
    """
    with torch.no_grad():
        list(model.posterior.network.parameters())[-1].sub_(1)
        model.decoder.weight.mul_(0.1)
    return model


def squares(gradients):
    """Squared deviations of the posterior's gradients, whose mean is the variance."""
    return (gradients - gradients.mean(0)).square()[:, :2]


def gradient(model, value):
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(model.parameters()))])


@BETAS
@pytest.mark.parametrize("posterior", ["gaussian[hidden=8]", "full_gaussian[hidden=8]", "planar", "coupling"])
def test_each_datum_blends_the_two_gradients_by_the_slopes_of_the_others(
    linear_model, points, posterior, beta
):
    torch.manual_seed(0)
    model, objective = narrow(linear_model(posterior)), Elbo(samples=3, beta=beta)
    c = weights(model, points, beta, 3)
    found, stl, pathwise = (
        e(objective, model, points, noise()).surrogate for e in (Blend(), Stl(), Pathwise())
    )
    assert ((c > 0) & (c < 1)).any()
    due = gradient(model, (c * stl + (1 - c) * pathwise).mean())
    torch.testing.assert_close(gradient(model, found.mean()), due)
    torch.testing.assert_close(found, stl)


def test_a_batch_of_one_datum_leaves_the_score_out(linear_model, points):
    model = linear_model()
    blend, stl = (e(Elbo(), model, points[:1], noise()).surrogate.sum() for e in (Blend(), Stl()))
    torch.testing.assert_close(gradient(model, blend), gradient(model, stl))


@BETAS
@pytest.mark.statistical(
    "variances of two estimators, one below 1 / 500 of the other", "of the 4,000 squares"
)
def test_has_all_but_no_variance_where_q_is_the_best(line, beta, chance):
    """Where that of `stl` has none: what is left is by how much the spare slope
    of a datum is more than those of the others.
    """
    objective = Elbo(beta=beta)
    best = optimal(line, objective.beta.item())  # as it is kept, in single precision
    assert best.gradients(objective, Stl(), 100, batch=50)[:, :2].abs().max() < 1e-12
    blend, pathwise = (squares(best.gradients(objective, e, 4000, batch=50)) for e in (Blend(), Pathwise()))
    difference = pathwise / 500 - blend
    chance.ordered(0.0, difference.mean(0), difference.std(0) / math.sqrt(4000))


@BETAS
@pytest.mark.parametrize("batch", [2, 5])
@pytest.mark.statistical("the mean gradient with its closed form", "of the 20,000 draws")
def test_averages_to_the_closed_form(line, beta, batch, chance):
    gradients = line.gradients(Elbo(samples=2, beta=beta), Blend(), 20_000, batch=batch)
    chance.agrees(gradients, closed_form(line, beta))


@pytest.mark.statistical(
    "variances of two estimators, one below 1 / 100 of the other", "of the 4,000 squares"
)
def test_a_q_that_is_far_too_narrow_makes_little_noise(line, chance):
    """At s = e^-4 the slope of log q varies by 1 / s^2, about 3,000.

    By the regression as good as nothing of it is followed.
    """
    thin = with_posterior(line, 0.4, math.exp(-4))
    blend, stl = (squares(thin.gradients(Elbo(), e, 4000, batch=8)) for e in (Blend(), Stl()))
    difference = stl / 100 - blend
    chance.ordered(0.0, difference.mean(0), difference.std(0) / math.sqrt(4000))
