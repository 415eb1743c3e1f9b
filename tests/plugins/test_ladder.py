"""The ladder posterior: the prior's conditionals times what x says of each layer."""

import pytest
import torch

import lvmbench
from lvmbench import DataSummary, DiagonalNormal, LatentVariableModel, Stream, Terms
from lvmbench.registry.loader import load_catalogue
from lvmbench_plugins.posteriors.ladder import _product

CATALOGUE = load_catalogue()
DATA = DataSummary((3,), "real", torch.tensor([0.5, -1.0, 2.0]))
F64 = torch.float64


def model(prior="hierarchy[layers=3 2 2,hidden=4]", posterior="ladder[hidden=4]"):
    """Double precision, with small weights."""
    p = CATALOGUE.build("prior", prior, DATA, 7)
    q = CATALOGUE.build("posterior", posterior, DATA, p.space)
    decoder = CATALOGUE.build("decoder", "linear_gaussian[noise=0.7]", DATA, p.space.visible)
    built = LatentVariableModel(p, q, decoder).double()
    noise = Stream.seeded(0, "weights", dtype=F64)
    with torch.no_grad():
        for weight in built.parameters():
            weight.copy_(0.3 * noise.normal(weight.shape))
    return built


def test_a_layer_is_the_product_of_the_papers_two_normals():
    told, p = (DiagonalNormal(*Stream.seeded(i, dtype=F64).normal((2, 5, 3))) for i in range(2))
    q = _product(told, lambda above: p, torch.zeros(5, 2))
    precision = (-2 * told.log_scale).exp() + (-2 * p.log_scale).exp()
    mean = (told.loc * (-2 * told.log_scale).exp() + p.loc * (-2 * p.log_scale).exp()) / precision
    torch.testing.assert_close(q.log_scale.exp(), precision**-0.5)
    torch.testing.assert_close(q.loc, mean)


@pytest.mark.parametrize("extreme", [-200.0, 200.0])
def test_where_x_says_all_or_nothing_the_product_and_its_gradients_are_finite(extreme):
    loc, log_scale = torch.full((3,), 2.0, requires_grad=True), torch.full((3,), extreme, requires_grad=True)
    p = DiagonalNormal(torch.full((3,), 0.5, requires_grad=True), torch.zeros(3))
    q = _product(DiagonalNormal(loc, log_scale), lambda above: p, torch.zeros(2))
    (q.loc.sum() + q.log_scale.sum()).backward()
    assert all(w.grad.isfinite().all() for w in (loc, log_scale, p.loc))
    due = p if extreme > 0 else DiagonalNormal(loc, log_scale)
    torch.testing.assert_close(q.loc, due.loc)
    torch.testing.assert_close(q.log_scale, due.log_scale)


def test_with_one_layer_it_is_a_normal_as_the_gaussian_posterior_is(points):
    built = model('hierarchy[layers="2"]')
    (q,) = built.q(points).given(torch.zeros(1, 5, 2, dtype=F64))
    assert type(q) is DiagonalNormal
    terms = Terms(built, points, Stream.seeded(0, dtype=F64), 3)
    torch.testing.assert_close(terms.log_q, q.log_prob(terms.z))
    kl = 0.5 * (q.loc**2 + (2 * q.log_scale).exp() - 1 - 2 * q.log_scale).sum(-1)
    torch.testing.assert_close(terms.kl(analytic=True), kl)


def exact_ladder():
    """A linear hierarchy in which x tells of the coordinates of each layer independently,
    and the ladder of its true posterior.

    From N(m; z, V), what x says of a layer, that of the layer above follows: m = A z' + b + noise.
    """
    built = model("hierarchy[layers=2 2 1,network=linear]", "ladder[hidden=3,layers=0]")
    noise = (2 * built.decoder.log_scale).exp()
    with torch.no_grad():
        built.decoder.weight.copy_(torch.tensor([[1.0, 0.5], [2.0, -0.5], [-1.0, -0.5]]))
        built.prior.maps[1].weight.copy_(torch.tensor([[1.5, 0.0], [0.0, -0.7]]))
        weight = built.decoder.weight
        square = weight.T @ weight  # diagonal, as the columns are orthogonal
        slope = torch.linalg.solve(square, weight.T)
        offset, variance = -slope @ built.decoder.bias, noise / square.diagonal()
        layers = [(slope, offset, variance)]
        for lower in reversed(built.prior.maps):
            precision = 1 / (variance + (2 * lower.log_scale).exp())
            variance = 1 / (lower.weight.T.square() @ precision)
            back = variance.unsqueeze(1) * lower.weight.T * precision
            slope, offset = back @ slope, back @ (offset - lower.bias)
            layers.append((slope, offset, variance))
        share = 1 / (1 + variance)  # of the top layer q is the posterior itself
        layers[-1] = (share.unsqueeze(1) * slope, share * offset, share * variance)
        _tell(built.posterior, layers)
    return built


FAR = 100.0
"""As features so far out silu is the identity, to double precision."""


def _tell(ladder, layers):
    """Set the weights so that x says this of each layer: slope, offset and variance."""
    for network, shift in zip([ladder.first, *ladder.above], [FAR, 0.0, 0.0], strict=True):
        network.linears[0].weight.copy_(torch.eye(3))
        network.linears[0].bias.fill_(shift)
    for head, (slope, offset, variance) in zip(ladder.heads, layers, strict=True):
        linear = head.network.linears[0]
        linear.weight.copy_(torch.cat([slope, torch.zeros_like(slope)]))
        linear.bias.copy_(torch.cat([offset - slope.sum(1) * FAR, 0.5 * variance.log()]))


def test_in_a_linear_hierarchy_it_can_be_the_true_posterior(points):
    built = exact_ladder()
    terms = Terms(built, points, Stream.seeded(0, dtype=F64), 4)
    torch.testing.assert_close(terms.log_w(), built.exact_log_prob(points).expand(4, 5), rtol=0, atol=1e-6)
    truth = built.exact_posterior(points)
    torch.testing.assert_close(terms.log_q, truth.log_prob(terms.z), rtol=0, atol=1e-6)


def test_every_layer_of_the_divergence_is_in_closed_form_given_the_layers_above(points):
    built = model()
    terms = Terms(built, points, Stream.seeded(0, dtype=F64), 6)
    total = 0
    for one, other in zip(terms.q.given(terms.z), terms.p.given(terms.z), strict=True):
        scale, difference = one.log_scale - other.log_scale, one.loc - other.loc
        square = (2 * scale).exp() + difference**2 * (-2 * other.log_scale).exp()
        total = total + (0.5 * (square - 1) - scale).sum(-1)
    torch.testing.assert_close(terms.kl_of_draws, total)


@pytest.mark.parametrize(
    ("objective", "estimator"), [("elbo", "stl"), ("elbo", "blend"), ("iwae[samples=3]", "dreg")]
)
@pytest.mark.statistical("mean gradients of two estimators", "of the 4,000 draws, paired")
def test_with_q_held_fixed_the_prior_within_it_is(points, gradients, objective, estimator, chance):
    """The prior's weights, which are q's as well, have the gradient that the whole path gives."""
    built = model("hierarchy[layers=2 2,hidden=2]", "ladder[hidden=3,layers=0]")
    one, other = (gradients(built, points, objective, e, 4000, chance.seed) for e in (estimator, "pathwise"))
    assert (one - other).std(0).max() > 1e-3
    chance.agrees(one - other, slack=1e-9)  # the decoder's are equal


def test_it_is_refused_with_a_prior_of_no_conditionals():
    parts = {"prior": "standard_normal", "posterior": "ladder", "decoder": "gaussian", "objective": "elbo"}
    with pytest.raises(lvmbench.Refusal, match=r"posterior 'ladder' requires prior\.top_down"):
        lvmbench.fit(data="blobs", **parts)
