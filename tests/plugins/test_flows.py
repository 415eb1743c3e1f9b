"""The flow posteriors: log determinants, densities, inverses, and the property of each."""

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from zuko.transforms import AutoregressiveTransform

from lvmbench import DataSummary, Decoder, DiagonalNormal, LatentSpace, LatentVariableModel, Refusal, Stream
from lvmbench.kernels.flows import AutoregressiveStep, Splines, affine
from lvmbench.kernels.planar import PlanarMap
from lvmbench.options import OptionError, resolve
from lvmbench_plugins.estimators.dreg import Dreg
from lvmbench_plugins.estimators.pathwise import Pathwise
from lvmbench_plugins.estimators.stl import Stl
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.objectives.iwae import Iwae
from lvmbench_plugins.posteriors import radial, sylvester
from lvmbench_plugins.posteriors.coupling import Coupling
from lvmbench_plugins.posteriors.gaussian import Gaussian
from lvmbench_plugins.posteriors.iaf import Iaf
from lvmbench_plugins.posteriors.planar import Planar
from lvmbench_plugins.posteriors.radial import Radial
from lvmbench_plugins.posteriors.spline import Spline
from lvmbench_plugins.posteriors.sylvester import Sylvester
from lvmbench_plugins.priors.standard_normal import StandardNormal

F64 = torch.float64
DATA = DataSummary((3,), "real", torch.zeros(3))
INVERTIBLE = {
    "iaf gated": (Iaf, {}),
    "iaf affine": (Iaf, {"form": "affine"}),
    "coupling": (Coupling, {}),
    "spline coupling": (Spline, {}),
    "spline autoregressive": (Spline, {"form": "autoregressive"}),
}
FLOWS = {
    "planar": (Planar, {}),
    "radial": (Radial, {}),
    "sylvester": (Sylvester, {}),
    "sylvester of fewer units than latents": (Sylvester, {"units": 2}),
    **INVERTIBLE,
}
flows = pytest.mark.parametrize(("cls", "options"), FLOWS.values(), ids=FLOWS)
invertible = pytest.mark.parametrize(("cls", "options"), INVERTIBLE.values(), ids=INVERTIBLE)


def flow(cls, options, space=(3,), *, batch=5, jitter=0.3):
    """q(z|x) of a small flow in double precision, with weights moved away
    from the near-identity of the start.
    """
    torch.manual_seed(1)
    posterior = cls(DATA, LatentSpace(space), hidden=12, **options).double()
    with torch.no_grad():
        for weight in posterior.parameters():
            weight.add_(jitter * torch.randn_like(weight))
        return posterior, posterior(torch.randn(batch, 3, dtype=F64), None)


def jacobian_of(step, z):
    """The Jacobian of a step, or of a whole flow, at a vector of one datum, ``(1, D)``."""
    return torch.autograd.functional.jacobian(lambda v: step(v)[0], z)[0, :, 0]


def jacobians_of(step, z):
    """The same at vectors of draws, ``(K, 1, D)``, which do not touch each other: ``(K, D, D)``."""
    total = lambda v: step(v)[0].sum(0)
    return torch.autograd.functional.jacobian(total, z)[0, :, :, 0].movedim(1, 0)


def mapped(q, z):
    """A vector of noise, of one datum, through all steps: its image and the sum of log determinants."""
    total = 0.0
    for step in q.steps:
        z, log_det = step(z)
        total = total + log_det
    return z, total


@flows
def test_log_determinant_is_that_of_the_jacobian(cls, options):
    _, q = flow(cls, options, batch=1)
    for z in 2 * torch.randn(4, 1, 3, dtype=F64):
        expected = torch.linalg.slogdet(jacobian_of(lambda v: mapped(q, v), z)).logabsdet
        torch.testing.assert_close(mapped(q, z)[1].squeeze(), expected, rtol=1e-9, atol=1e-9)


@flows
def test_every_step_keeps_orientation(cls, options):
    """A determinant that never changes its sign, over draws far into the tails,
    also with large parameters.
    """
    _, q = flow(cls, options, batch=1, jitter=1.5)
    z = q.base.loc + 3 * torch.randn(30, 1, 3, dtype=F64)
    for step in q.steps:
        jacobians = jacobians_of(step, z)
        assert (torch.linalg.det(jacobians) > 0).all()
        z = step(z)[0]


@flows
@pytest.mark.statistical("E_q[p(z) / q(z)] with 1", "of the 40,000 draws; bounded, as p is half as wide as q")
def test_own_densities_weigh_a_narrower_normal_to_one(cls, options, chance):
    _, q = flow(cls, options, (2,), batch=2, jitter=0.1)
    centre = q.sample(Stream.seeded(3, dtype=F64), 101).median(0).values
    z, log_q = q.sample_and_log_prob(Stream.seeded(4, dtype=F64), 40_000)
    p = DiagonalNormal(centre, (0.5 * z.std(0)).log())
    ratio = (p.log_prob(z) - log_q).exp()
    chance.agrees(ratio, 1.0)
    assert (ratio.mean(0) ** 2 / ratio.square().mean(0) > 0.01).all()  # effective share of the draws


@invertible
def test_inverse_leads_back(cls, options):
    _, q = flow(cls, options)
    z = torch.randn(4, 5, 3, dtype=F64)
    for step, inverse in zip(q.steps, q.inverses, strict=True):
        image, log_det = step(z)
        back, log_det_back = inverse(image)
        torch.testing.assert_close(back, z, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(log_det_back, -log_det, rtol=1e-9, atol=1e-9)


@invertible
def test_density_of_a_grid_sums_to_one(cls, options):
    """Within 2e-3 of quadrature over all but a 1e-4 share of the draws."""
    _, q = flow(cls, options, (2,), batch=1, jitter=0.1)
    z = q.sample(Stream.seeded(0, dtype=F64), 10_000)[:, 0]
    low, high = z.min(0).values - z.std(0), z.max(0).values + z.std(0)
    axes = [torch.linspace(a, b, 200, dtype=F64) for a, b in zip(low, high, strict=True)]
    density = q.log_prob(torch.cartesian_prod(*axes).unsqueeze(1)).exp()
    total = density.sum() * (axes[0][1] - axes[0][0]) * (axes[1][1] - axes[1][0])
    assert abs(total.item() - 1) < 2e-3


@invertible
def test_one_value_is_weighed_under_every_datum(cls, options):
    _, q = flow(cls, options)
    z = torch.randn(4, 1, 3, dtype=F64)
    torch.testing.assert_close(q.log_prob(z), q.log_prob(z.expand(4, 5, 3)), rtol=1e-12, atol=1e-12)


@flows
def test_a_fresh_flow_is_its_normal(cls, options):
    """Draws and densities are those of the diagonal normal that it starts from,
    to a few per cent of its width.
    """
    torch.manual_seed(0)
    posterior = cls(DATA, LatentSpace((4,)), **options)
    x = torch.randn(5, 3)
    base, _ = posterior.network.split(posterior.network(x))
    z, log_q = posterior(x, None).sample_and_log_prob(Stream.seeded(0), 200)
    plain, density = base.sample_and_log_prob(Stream.seeded(0), 200)
    assert ((z - plain).abs() / base.log_scale.exp()).max() < 0.05
    assert (log_q - density).abs().max() < 0.05


@invertible
def test_slope_is_that_of_the_density(cls, options):
    """Carried along the steps, against the gradient through all inverses."""
    _, q = flow(cls, options)
    z, log_q, slope = q.sample_with_slope(Stream.seeded(0, dtype=F64), 4)
    at = z.detach().requires_grad_()
    (due,) = torch.autograd.grad(q.log_prob(at).sum(), at)
    torch.testing.assert_close(slope, due, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(log_q, q.log_prob(z), rtol=1e-7, atol=1e-7)


class AsTarget(Decoder):
    """A decoder that makes log p(x, z) the density of a distribution of z
    that is held fixed, whatever x is.
    """

    distribution = DiagonalNormal

    def __init__(self, q, prior):
        super().__init__()
        self.q, self.prior = q, prior

    def forward(self, z):
        return SimpleNamespace(log_prob=lambda x: self.q.log_prob(z) - self.prior(None).log_prob(z))


@pytest.mark.parametrize("estimator", [Stl(), Dreg()], ids=["stl", "dreg"])
@invertible
def test_path_gradients_of_a_flow_vanish_draw_by_draw_at_the_true_posterior(cls, options, estimator):
    """What is left would be the score of the flow's own networks, which run when the density is evaluated."""
    posterior, _ = flow(cls, options)
    prior, x = StandardNormal(DATA, 3).double(), torch.randn(1, 3, dtype=F64)
    with torch.no_grad():
        truth = copy.deepcopy(posterior)(x, None)
    model = LatentVariableModel(prior, posterior, AsTarget(truth, prior))
    objective = Iwae(samples=3) if isinstance(estimator, Dreg) else Elbo(samples=3)
    surrogate = estimator(objective, model, x, Stream.seeded(0, dtype=F64)).surrogate.sum()
    weights = list(posterior.parameters())
    path = torch.cat([g.flatten() for g in torch.autograd.grad(surrogate, weights)])
    plain = Pathwise()(objective, model, x, Stream.seeded(0, dtype=F64)).surrogate.sum()
    whole = torch.cat([g.flatten() for g in torch.autograd.grad(plain, weights)])
    assert path.abs().max() < 1e-6 * whole.abs().max()


@flows
def test_tables_of_latents_are_as_good_as_vectors(cls, options):
    _, table = flow(cls, options, (2, 3))
    _, vector = flow(cls, options, (6,))
    z, log_q = table.sample_and_log_prob(Stream.seeded(0, dtype=F64), 4)
    flat, same = vector.sample_and_log_prob(Stream.seeded(0, dtype=F64), 4)
    assert z.shape == (4, 5, 2, 3)
    torch.testing.assert_close(z.flatten(2), flat)
    torch.testing.assert_close(log_q, same)
    if "density" in table.traits:
        torch.testing.assert_close(table.log_prob(z), log_q, rtol=1e-8, atol=1e-8)


@flows
def test_a_step_at_least(cls, options):
    with pytest.raises(OptionError, match="option 'flows' should be greater than or equal to 1, got 0"):
        resolve(cls, {"flows": 0}, "posterior")


@pytest.mark.parametrize("cls", [Planar, Radial, Sylvester])
def test_density_elsewhere_is_not_known(cls):
    assert "density" not in cls.distribution.traits
    with pytest.raises(NotImplementedError, match="at its own draws only"):
        flow(cls, {})[1].log_prob(torch.zeros(5, 3, dtype=F64))


@pytest.mark.parametrize("cls", [Coupling, Spline])
def test_a_single_latent_has_no_halves(cls):
    with pytest.raises(Refusal, match="splits the latents in two halves; a single latent has none"):
        cls(DATA, LatentSpace((1,)))


@pytest.mark.parametrize("large", [1.0, 10.0, 1000.0])
def test_planar_step_is_invertible_whatever_its_parameters(large):
    """w'u >= -1: along w the step never turns back, and the log determinant is finite."""
    u, w = (large * torch.randn(200, 4, dtype=F64) for _ in range(2))
    b = torch.randn(200, 1, dtype=F64)
    along = torch.linspace(-2, 2, 401, dtype=F64).view(-1, 1, 1) * w / w.norm(dim=-1, keepdim=True) ** 2
    image, log_det = PlanarMap(u, w, b)(along)
    path = (image * w).sum(-1)
    assert (path.diff(dim=0) >= -1e-9 * path.abs().amax()).all()
    moved = PlanarMap(u, w, torch.zeros_like(b))(w / w.square().sum(-1, keepdim=True))[0]
    h = math.tanh(1)
    assert (((moved * w).sum(-1) - 1) / h >= -1 - 1e-6).all()  # w'u itself
    assert log_det.isfinite().logical_or((w * u).sum(-1) < -700).all()


def test_planar_and_radial_steps_without_strength_are_the_identity():
    z = torch.randn(6, 5, 3, dtype=F64)
    w, c, zero = torch.randn(5, 3).double(), torch.randn(5, 3).double(), torch.zeros(5, 1).double()
    for image, log_det in (PlanarMap(0 * w, w, zero + 0.3)(z), radial._step(c, zero, zero, z)):
        torch.testing.assert_close(image, z)
        torch.testing.assert_close(log_det, torch.zeros(6, 5).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("large", [1.0, 30.0])
def test_radial_step_is_invertible_whatever_its_parameters(large):
    """The distance from the centre grows with the distance, along any ray."""
    c, a, b = (large * torch.randn(200, n, dtype=F64) for n in (3, 1, 1))
    ray = torch.nn.functional.normalize(torch.randn(200, 3, dtype=F64), dim=-1)
    image, _ = radial._step(c, a, b, c + torch.linspace(0, 50, 400, dtype=F64).view(-1, 1, 1) * ray)
    out = ((image - c) * ray).sum(-1)
    assert (out.diff(dim=0) >= -1e-9).all()


@pytest.mark.parametrize("units", [3, 5])
def test_sylvester_is_orthogonal_and_keeps_its_constraint(units):
    v = torch.randn(7, 4, 5, dtype=F64)
    eye = torch.eye(5, dtype=F64).unsqueeze(1).expand(5, 7, 5)
    q_t = sylvester._reflected(eye, v.unbind(-2)).movedim(0, -1)  # columns are images, (7, 5, 5)
    torch.testing.assert_close(q_t @ q_t.mT, torch.eye(5, dtype=F64).expand(7, 5, 5))
    raw = 100 * torch.randn(2, 7, units, units, dtype=F64)
    r, r_tilde = (sylvester._triangular(m) for m in raw)
    product = r.diagonal(dim1=-2, dim2=-1) * r_tilde.diagonal(dim1=-2, dim2=-1)
    assert (product > -1).all()
    assert (r == r.triu()).all()
    b, z = torch.randn(7, units, dtype=F64), torch.randn(2, 7, 5, dtype=F64)
    assert sylvester._step(v, *raw, b, z)[1].isfinite().all()


@pytest.mark.parametrize("form", ["gated", "affine"])
def test_iaf_samples_in_one_pass(form):
    posterior, q = flow(Iaf, {"form": form, "flows": 3}, (4,))
    calls = []
    for step in posterior.steps:
        step.network.register_forward_hook(lambda *_: calls.append(1))
    q.sample_and_log_prob(Stream.seeded(0, dtype=F64), 6)
    assert len(calls) == 3


@pytest.mark.parametrize("hidden", [3, 8, 13])
@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("element", [affine, Splines(4, 5.0)], ids=["affine", "splines"])
def test_the_way_back_is_that_of_a_pass_for_each_coordinate(element, backwards, context, hidden):
    """Whether ranks have equally many hidden units, or fewer of them than there are coordinates."""
    torch.manual_seed(0)
    outputs = getattr(element, "outputs", 2)
    step = AutoregressiveStep(4, outputs, context=context, hidden=hidden, backwards=backwards).double()
    with torch.no_grad():
        for weight in step.parameters():
            weight.add_(0.5 * torch.randn_like(weight))
    z, h = torch.randn(5, 3, 4, dtype=F64), torch.randn(3, context, dtype=F64) if context else None
    by_passes = AutoregressiveTransform(lambda v: element(step.given(v, h)), passes=4)
    torch.testing.assert_close(step(h, element).back(z), by_passes.inv.call_and_ladj(z))


@pytest.mark.parametrize(("cls", "options"), [(Iaf, {}), (Spline, {"form": "autoregressive"})])
def test_autoregressive_jacobians_are_triangular_and_the_order_reversed(cls, options):
    _, q = flow(cls, {**options, "flows": 4}, (4,), batch=1)
    for t, step in enumerate(q.steps[:4]):
        z = torch.randn(1, 4, dtype=F64)
        jacobian = jacobian_of(step, z)
        other = jacobian.triu(1) if t % 2 == 0 else jacobian.tril(-1)
        assert (other == 0).all()
        assert jacobian.count_nonzero() == 10


@pytest.mark.parametrize("cls", [Coupling, Spline])
def test_coupling_keeps_one_half_by_turns(cls):
    _, q = flow(cls, {"flows": 2}, (5,))
    z = torch.randn(3, 5, 5, dtype=F64)
    kept = [(step(z)[0] == z).all((0, 1)).tolist() for step in q.steps[:2]]
    assert kept == [[True, True, False, False, False], [False, False, False, True, True]]


def banana(z):
    """A log density, up to a constant: a correlated normal bent along a parabola."""
    return -0.5 * (z[..., 0] ** 2 + ((z[..., 1] - z[..., 0] ** 2 + 1) / 0.4) ** 2)


def gap(cls, options):
    """KL(q || p) of the best q found for the banana, from 20,000 draws: its estimate and standard error."""
    torch.manual_seed(0)
    posterior = cls(DATA, LatentSpace((2,)), hidden=32, **options)
    optimizer = torch.optim.Adam(posterior.parameters(), lr=5e-3)
    noise, x = Stream.seeded(0), torch.ones(1, 3)
    for _ in range(600):
        z, log_q = posterior(x, None).sample_and_log_prob(noise, 128)
        optimizer.zero_grad()
        (log_q - banana(z)).mean().backward()
        optimizer.step()
    with torch.no_grad():
        z, log_q = posterior(x, None).sample_and_log_prob(noise, 20_000)
    constant = math.log(2 * math.pi * 0.4)
    ratio = log_q - banana(z) + constant
    return ratio.mean().item(), ratio.std().item() / math.sqrt(len(z))


@pytest.mark.slow
@flows
@pytest.mark.statistical("KL divergences of a flow and a normal", "of the 20,000 draws", comparisons=2)
def test_richer_posterior_shrinks_the_approximation_gap(cls, options, chance):
    normal, flowed = gap(Gaussian, {}), gap(cls, options)
    chance.within(-flowed[0], 0.0, flowed[1], above=True)  # a KL divergence
    assert flowed[0] + chance.allowed(math.hypot(flowed[1], normal[1])) < normal[0]
