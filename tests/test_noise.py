"""Randomness is an argument."""

import itertools

import numpy as np
import pytest
import torch
from scipy import special, stats

from lvmbench import DiagonalNormal, Distribution, LatentSpace, Mixture, Prior, Stream, derive
from lvmbench.checks import check
from lvmbench.checks.statistics import require_average
from lvmbench.noise import Buffer, Demand, Recorder, generator
from lvmbench.quantiles import LogGamma, poisson
from lvmbench.registry.loader import load_catalogue

DRAWS = [
    ("normal", (2, 3)),
    ("uniform", (4,)),
    ("normal", ()),
    ("gumbel", (2, 2)),
    ("normal", (5,)),
    ("uniform", (0, 3)),
]


def take(noise):
    return [getattr(noise, kind)(shape) for kind, shape in DRAWS]


def test_buffer_deals_each_kind_in_the_order_it_is_asked_for():
    normals, uniforms = torch.arange(12.0), torch.arange(8.0) / 10
    buffer = Buffer(normals, uniforms)
    found = take(buffer)
    assert [n.flatten().tolist() for (k, _), n in zip(DRAWS, found, strict=True) if k == "normal"] == [
        [0, 1, 2, 3, 4, 5],
        [6],
        [7, 8, 9, 10, 11],
    ]
    torch.testing.assert_close(found[1], uniforms[:4])
    torch.testing.assert_close(found[3].flatten(), -(-uniforms[4:8].log()).log())
    assert [tuple(f.shape) for f in found] == [shape for _, shape in DRAWS]
    assert buffer.dealt == Demand(12, 8)


def test_recorder_counts_what_it_passes_on():
    recorder = Recorder(Stream.seeded(0))
    assert all(torch.equal(a, b) for a, b in zip(take(recorder), take(Stream.seeded(0)), strict=True))
    assert recorder.demand == Demand(normals=12, uniforms=8)


def test_a_step_measured_by_the_recorder_fits_the_buffer_exactly():
    p = Mixture(torch.zeros(3), DiagonalNormal(torch.zeros(3, 2), torch.zeros(3, 2)))
    recorder = Recorder(Stream.seeded(0))
    p.sample(recorder, 4)
    buffer = Buffer(torch.zeros(recorder.demand.normals), torch.zeros(recorder.demand.uniforms))
    p.sample(buffer, 4)
    assert buffer.dealt == recorder.demand


@pytest.mark.parametrize("kind", ["normal", "uniform", "gumbel"])
def test_drawing_more_than_was_measured_is_an_error(kind):
    buffer = Buffer(torch.zeros(5), torch.zeros(5))
    getattr(buffer, kind)((5,))
    with pytest.raises(RuntimeError, match="drew 6 random numbers but only 5 .* use masks"):
        getattr(buffer, kind)((1,))


def test_buffer_inside_vmap_deals_each_seed_its_own_numbers():
    normals, uniforms = torch.randn(3, 12), torch.rand(3, 8)
    pack = torch.func.vmap(lambda n, u: tuple(take(Buffer(n, u))))(normals, uniforms)
    for i in range(3):
        assert all(
            torch.equal(p[i], one) for p, one in zip(pack, take(Buffer(normals[i], uniforms[i])), strict=True)
        )


@pytest.mark.parametrize("pack", [(0,), (1, 0), (0, 1, 2), (5, 4, 0)])
def test_noise_of_a_seed_does_not_depend_on_its_pack(pack):
    """Seeds filled side by side, step after step, as in training."""
    streams = {seed: Stream.seeded(seed, "noise") for seed in pack}
    steps = [{seed: stream.normal((9,)) for seed, stream in streams.items()} for _ in range(3)]
    alone = Stream.seeded(0, "noise")
    assert all(torch.equal(step[0], alone.normal((9,))) for step in steps)


def test_streams_are_repeatable_and_leave_the_global_generator():
    before = torch.random.get_rng_state()
    assert all(
        torch.equal(a, b)
        for a, b in zip(take(Stream.seeded(3, "a")), take(Stream.seeded(3, "a")), strict=True)
    )
    assert not torch.equal(Stream.seeded(3, "a").normal((4,)), Stream.seeded(3, "b").normal((4,)))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_derived_seeds_are_stable_over_releases():
    """Stored results stay comparable: these numbers must never change."""
    assert derive(0) == 3456079177858693020
    assert derive(0, "noise") == 5127903134280592399
    assert derive(7, "evaluate", "tightness", 3) == 1833771623434692525


def test_derived_seeds_are_distinct_and_fit_a_generator():
    words = list(itertools.product(range(20), ["order", "noise", "weights"], range(20)))
    seeds = {derive(*w) for w in words}
    assert len(seeds) == len(words)
    assert all(0 <= s < 2**63 for s in seeds)
    generator(0, "order").manual_seed(max(seeds))


def test_word_boundaries_matter():
    assert derive(1, 23) != derive(12, 3)
    assert derive(0, "a", "b") != derive(0, "ab")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_have_the_asked_type(dtype):
    assert {n.dtype for n in take(Stream.seeded(0, dtype=dtype))} == {dtype}


@pytest.mark.parametrize(
    ("kind", "law"), [("normal", stats.norm), ("uniform", stats.uniform), ("gumbel", stats.gumbel_r)]
)
@pytest.mark.statistical("10,000 numbers with their law", "exact, by Kolmogorov and Smirnov")
def test_numbers_follow_their_law(kind, law, chance):
    drawn = getattr(Stream.seeded(0, dtype=torch.float64), kind)((10_000,))
    chance.likely(stats.kstest(drawn, law.cdf).pvalue)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gumbel_is_finite_at_the_ends(dtype):
    ends = torch.tensor([0.0, torch.finfo(dtype).tiny, 1 - torch.finfo(dtype).eps / 2], dtype=dtype)
    assert Buffer(ends[:0], ends).gumbel((3,)).isfinite().all()


# --- numbers with parameters --------------------------------------------------------------------------------

SHAPES = torch.tensor([1.0, 1.01, 1.5, 3.0, 10.0, 100.0, 1e4, 1e6], dtype=torch.float64)[:, None]
POINTS = torch.linspace(-8, 8, 81, dtype=torch.float64)


def quantile(shape):
    """The logarithm of gamma quantiles by scipy, from the smaller tail."""
    z = POINTS.numpy()
    low, high = special.gammaincinv(shape, special.ndtr(z)), special.gammainccinv(shape, special.ndtr(-z))
    return np.log(np.where(z < 0, low, high))


def test_quantiles_are_those_of_scipy():
    found = LogGamma.apply(POINTS, SHAPES).numpy()
    np.testing.assert_allclose(found, quantile(SHAPES.numpy()), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("rate", [0.0, 1e-6, 0.3, 4.0, 250.0, 1e5])
def test_poisson_quantiles_are_those_of_scipy(rate):
    u = torch.linspace(0, 1 - 2**-20, 400, dtype=torch.float64)
    due = stats.poisson.ppf(u, rate).clip(min=0)
    np.testing.assert_array_equal(poisson(u, torch.full_like(u, rate)), due)
    assert poisson(u[1:], torch.full_like(u[1:], 1e12)).unique().tolist() == [2**24 - 1]


def test_derivatives_of_quantiles_are_those_of_differences():
    shapes = SHAPES[:-1].expand(-1, len(POINTS)).clone().requires_grad_()
    LogGamma.apply(POINTS, shapes).sum().backward()
    a, h = SHAPES[:-1].numpy(), 1e-3 * SHAPES[:-1].sqrt().numpy()
    near, far = (quantile(a + k * h) - quantile(a - k * h) for k in (1, 2))
    np.testing.assert_allclose(shapes.grad.numpy(), (8 * near - far) / (12 * h), rtol=1e-6)


LAWS = [
    ("gamma", (0.05,), stats.gamma(0.05)),
    ("gamma", (0.7,), stats.gamma(0.7)),
    ("gamma", (1.0,), stats.gamma(1.0)),
    ("gamma", (30.0,), stats.gamma(30.0)),
    ("gamma", (1e5,), stats.gamma(1e5)),
    ("log_gamma", (0.01,), stats.loggamma(0.01)),
    ("log_gamma", (2.5,), stats.loggamma(2.5)),
    ("beta", (0.5, 0.5), stats.beta(0.5, 0.5)),
    ("beta", (2.0, 7.0), stats.beta(2.0, 7.0)),
    ("student", (1.0,), stats.t(1.0)),
    ("student", (4.5,), stats.t(4.5)),
    ("student", (1e4,), stats.t(1e4)),
]


@pytest.mark.parametrize(
    ("kind", "parameters", "law"), LAWS, ids=[f"{kind}{parameters}" for kind, parameters, _ in LAWS]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.statistical("10,000 numbers with their law", "exact, by Kolmogorov and Smirnov")
def test_numbers_with_parameters_follow_their_law(kind, parameters, law, dtype, chance):
    noise = Stream.seeded(0, kind, dtype=dtype)
    drawn = getattr(noise, kind)((10_000,), *(torch.tensor(p, dtype=dtype) for p in parameters))
    assert drawn.dtype == dtype
    chance.likely(stats.kstest(drawn.double(), law.cdf).pvalue)


@pytest.mark.statistical("10,000 shares with their law", "exact, by Kolmogorov and Smirnov", comparisons=5)
def test_shares_follow_their_law(chance):
    """Each share of a Dirichlet is beta, and so is the sum of two."""
    a = torch.tensor([0.3, 1.0, 4.0], dtype=torch.float64)
    drawn = Stream.seeded(0, "shares", dtype=torch.float64).dirichlet((10_000, 3), a)
    torch.testing.assert_close(drawn.sum(-1), torch.ones(10_000).double())
    for part in ([0], [1], [2], [0, 1], [1, 2]):
        law = stats.beta(a[part].sum().item(), a.sum().item() - a[part].sum().item())
        chance.likely(stats.kstest(drawn[:, part].sum(-1), law.cdf).pvalue)


def slopes(kind, figure, *parameters):
    """The derivative of a figure of each of 10,000 draws in each parameter, ``(N, P)``."""
    given = [torch.full((10_000,), p, dtype=torch.float64, requires_grad=True) for p in parameters]
    drawn = getattr(Stream.seeded(0, kind, "slopes", dtype=torch.float64), kind)((10_000,), *given)
    return torch.stack(torch.autograd.grad(figure(drawn).sum(), given), 1)


@pytest.mark.parametrize("a", [0.3, 1.0, 2.5, 40.0])
def test_gradients_of_gamma_average_to_the_derivatives_of_moments(a):
    """E G = a and E log G = digamma(a); false alarms 1e-6."""
    require_average(slopes("gamma", lambda g: g, a), 1.0, "d E[G] / da")
    require_average(
        slopes("log_gamma", lambda y: y, a), special.polygamma(1, a).item(), "d E[log G] / da", slack=1e-9
    )
    require_average(slopes("gamma", torch.square, a), 2 * a + 1, "d E[G^2] / da")


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.8), (2.0, 7.0)])
def test_gradients_of_beta_average_to_the_derivatives_of_the_mean(a, b):
    due = torch.tensor([b, -a]) / (a + b) ** 2
    require_average(slopes("beta", lambda x: x, a, b), due, "d E[B]")


@pytest.mark.parametrize("freedom", [1.0, 5.0])
def test_gradients_of_student_average_to_the_derivative_of_the_mean_logarithm(freedom):
    """E log |T| = E log |N| + (log(f / 2) - digamma(f / 2)) / 2."""
    due = 0.5 * (1 / freedom - 0.5 * special.polygamma(1, freedom / 2))
    require_average(slopes("student", lambda t: t.abs().log(), freedom), due.item(), "d E[log |T|] / df")


def test_gradients_of_shares_average_to_the_derivatives_of_their_mean_logarithms():
    """E log p_i = digamma(a_i) - digamma(sum a)."""
    a = torch.tensor([0.6, 3.0], dtype=torch.float64)
    given = a.expand(10_000, 2).clone().requires_grad_()
    drawn = Stream.seeded(0, "shares", "slopes", dtype=torch.float64).dirichlet((10_000, 2), given)
    drawn[:, 0].log().sum().backward()
    both = special.polygamma(1, a.sum().item())
    due = torch.tensor([special.polygamma(1, 0.6) - both, -both])
    require_average(given.grad, due, "d E[log p]")


def parametric(noise, a):
    return [
        noise.gamma((2, 3), a),
        noise.beta((3,), a, 2 * a),
        noise.student((3,), a),
        noise.dirichlet((2, 3), a),
    ]


def test_each_number_is_made_of_as_many_whatever_the_parameters():
    demands = set()
    for a in (0.01, 1.0, 1e3):
        recorder = Recorder(Stream.seeded(0, a))
        parametric(recorder, torch.full((3,), a))
        demands.add(recorder.demand)
    assert demands == {Demand(normals=6 + 6 + 6 + 6, uniforms=6 + 6 + 3 + 6)}


def test_numbers_with_parameters_inside_vmap_are_those_of_each_seed():
    make = Stream.seeded(0, "vmap", dtype=torch.float64)
    normals, uniforms, a = make.normal((4, 24)), make.uniform((4, 21)), make.uniform((4, 3)) + 0.2
    pack = torch.func.vmap(lambda n, u, a: tuple(parametric(Buffer(n, u), a)))(normals, uniforms, a)
    slope = torch.func.vmap(
        torch.func.grad(lambda a, n, u: sum(p.sum() for p in parametric(Buffer(n, u), a)))
    )(a, normals, uniforms)
    for i in range(4):
        own = a[i].clone().requires_grad_()
        alone = parametric(Buffer(normals[i], uniforms[i]), own)
        for packed, one in zip(pack, alone, strict=True):
            torch.testing.assert_close(packed[i], one.detach())
        torch.testing.assert_close(slope[i], torch.autograd.grad(sum(p.sum() for p in alone), own)[0])


class LogGammaLaw(Distribution):
    """The logarithm of a gamma number."""

    support = "real"
    traits = frozenset({"pathwise", "density"})

    def __init__(self, log_a):
        self.a, self.batch_shape, self.event_shape = log_a.exp(), (), log_a.shape

    def log_prob(self, value):
        return (self.a * value - value.exp() - torch.lgamma(self.a)).sum(-1)

    def sample_and_log_prob(self, noise, samples):
        z = noise.log_gamma((samples, *self.event_shape), self.a)
        return z, self.log_prob(z)


class LogGammaPrior(Prior):
    """Independent logarithms of gamma numbers."""

    distribution = LogGammaLaw

    def __init__(self, data, latent):
        super().__init__()
        self.log_a = torch.nn.Parameter(torch.zeros(latent))

    @property
    def space(self):
        return LatentSpace(tuple(self.log_a.shape))

    def forward(self, model):
        return LogGammaLaw(self.log_a)


def test_a_prior_made_of_gamma_numbers_keeps_its_contract():
    names = (
        "sample_gradient_agrees_with_differences",
        "vectorised_equals_looped",
        "number_of_draws_is_fixed",
        "step_never_synchronises",
        "device_is_followed",
        "density_integrates_to_one",
        "samples_follow_the_density",
    )
    report = check(LogGammaPrior, catalogue=load_catalogue(), only=names)
    assert {r.check: (str(r.status), r.message) for r in report} == dict.fromkeys(names, ("passed", ""))
