"""Full covariance, gradient ascent for each datum, and the two together with a network, on linear-Gaussian models."""

import pytest
import torch

from lvmbench import DataSummary, LatentSpace, Stream, Terms, analytic_kl
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.posteriors.semi_amortized import SemiAmortized
from lvmbench_plugins.posteriors.svi import Svi

SVI = "svi[steps=400,rate=0.03,samples=64]"


def test_svi_finds_the_best_diagonal_normal(linear_model, points):
    """Of the KL to the true normal with precision P: the mean is the true one, the variances are 1 / diag P.

    To 0.05: 64 samples to a step leave noise of about rate times the gradient's standard deviation.
    """
    model = linear_model(SVI)
    q, truth = model.q(points), model.exact_posterior(points)
    precision = torch.cholesky_inverse(truth.scale_tril)
    assert (q.loc - truth.loc).abs().max() < 0.05
    assert (q.log_scale + 0.5 * precision.diagonal(dim1=-2, dim2=-1).log()).abs().max() < 0.05


def test_svi_is_a_function_of_x_alone(linear_model, points):
    """What is inferred for a datum does not depend on the others of its batch."""
    model = linear_model("svi")
    torch.testing.assert_close(model.q(points).loc[2:3], model.q(points[2:3]).loc)


def elbo(model, points):
    terms = Terms(model, points, Stream.seeded(0, dtype=torch.float64), 4000)
    return Elbo()(terms).detach()


@pytest.mark.parametrize("through", ["true", "false"])
def test_refinement_raises_the_elbo_of_every_datum(linear_model, points, through):
    torch.manual_seed(0)
    start = linear_model("semi_amortized[steps=0,hidden=8]")
    refined = linear_model(f"semi_amortized[steps=50,rate=0.05,samples=16,hidden=8,through={through}]")
    state = start.state_dict()
    refined.load_state_dict(
        {k: state[k] if k != "posterior.noise" else v for k, v in refined.state_dict().items()}
    )
    assert (elbo(refined, points) > elbo(start, points)).all()


def test_without_steps_it_is_the_amortised_posterior(linear_model, points):
    torch.manual_seed(0)
    model = linear_model("semi_amortized[steps=0,hidden=8]")
    loc, log_scale = model.posterior.network(points).unbind(-2)
    torch.testing.assert_close(model.q(points).loc, loc)
    torch.testing.assert_close(model.q(points).log_scale, log_scale)
    assert isinstance(model.posterior, SemiAmortized)


def test_full_gaussian_can_be_the_true_posterior(linear_model, points):
    """With a linear network set to the true mean and factor nothing is left of the KL."""
    model = linear_model("full_gaussian[layers=0]")
    truth = model.exact_posterior(points)
    size = LatentSpace((2,)).event_shape[0]
    with torch.no_grad():
        linear = model.posterior.network.linears[0]
        weight, bias = linear.weight.view(size + 2, size, 3), linear.bias.view(size + 2, size)
        weight.zero_(), bias.zero_()
        precise = torch.cholesky_inverse(truth.scale_tril)
        gain = torch.linalg.solve(precise, model.decoder.weight.T * (-2 * model.decoder.log_scale).exp())
        weight[0], bias[0] = gain, -gain @ model.decoder.bias
        bias[1] = truth.scale_tril.diagonal().log()
        bias[2:] = truth.scale_tril * size**0.5
    q = model.q(points)
    torch.testing.assert_close(q.loc, truth.loc)
    torch.testing.assert_close(q.scale_tril, truth.scale_tril.expand_as(q.scale_tril))
    assert analytic_kl(q, model.p()) is not None


def test_a_warm_table_goes_on_where_it_stopped(linear_model, points):
    """Twenty refreshments of 10 steps come nearer to the best normals than 10 steps from the start; a new datum profits too."""
    model = linear_model("svi")
    data, space = DataSummary((3,), "real", torch.zeros(3), size=len(points)), LatentSpace((2,))
    torch.manual_seed(0)
    warm = Svi(data, space, steps=10, samples=16, warm=True).double()
    cold = Svi(data, space, steps=10, samples=16).double()
    cold.noise.copy_(warm.noise)
    first = warm(points, model).loc
    torch.testing.assert_close(first, cold(points, model).loc)
    for _ in range(20):
        warm.refresh(points, model)
    for x in (points, points + 0.01):
        truth = model.exact_posterior(x).loc
        near, far = ((q(x, model).loc - truth).abs().max() for q in (warm, cold))
        assert near < 0.1 * far
