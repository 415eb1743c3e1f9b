"""Diffusions: noising is a normal, a perfect guess makes the way back exact, and of normal data the bound
reaches the entropy as steps grow.
"""

import itertools
import math

import pytest
import torch
from torch.distributions import MultivariateNormal

import lvmbench
from lvmbench import (
    DataSummary,
    Denoised,
    DiagonalNormal,
    LatentVariableModel,
    Noised,
    Refusal,
    Stream,
    Terms,
    UserError,
    analytic_kl,
)
from lvmbench.divergence import draw_kl
from lvmbench.noise import Buffer
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref

CATALOGUE = load_catalogue()
DATA = DataSummary((3,), "real", torch.tensor([0.5, -1.0, 2.0]))
F64 = torch.float64
GAMMA = torch.tensor([-3.0, -1.0, 0.5, 4.0], dtype=F64)


def model(prior="diffusion[steps=4,hidden=4,layers=1]", data=DATA, posterior="noising"):
    """Double precision."""
    torch.manual_seed(0)
    p = CATALOGUE.build("prior", prior, data, 2)
    q = CATALOGUE.build("posterior", posterior, data, p.space)
    decoder = CATALOGUE.build("decoder", "linear_gaussian", data, p.space.visible)
    return LatentVariableModel(p, q, decoder).double()


def normals(*shape):
    return Stream.seeded(0, "test", dtype=F64).normal(shape)


def test_noised_layers_are_one_normal():
    """Of mean alpha_t x and covariance alpha_s alpha_t times the smaller of the noise-to-signal ratios."""
    x, z = normals(5, 1), normals(6, 5, 4)
    alpha, ratio = GAMMA.neg().sigmoid().sqrt(), GAMMA.exp()
    covariance = alpha.outer(alpha) * torch.minimum(ratio.unsqueeze(0), ratio.unsqueeze(1))
    torch.testing.assert_close(covariance.diagonal(), GAMMA.sigmoid())
    q = Noised(x, GAMMA)
    torch.testing.assert_close(q.log_prob(z), MultivariateNormal(alpha * x, covariance).log_prob(z))
    torch.testing.assert_close(q.marginals.loc, (alpha * x).unsqueeze(-1))
    torch.testing.assert_close(
        q.marginals.log_scale, 0.5 * covariance.diagonal().log().expand(5, 4).unsqueeze(-1)
    )


@pytest.mark.statistical("moments of noised layers", "by Student's t", comparisons=2)
def test_samples_have_the_moments_of_the_normal(chance):
    x, noise = torch.tensor([[1.5]], dtype=F64), Stream.seeded(chance.seed, "noised", dtype=F64)
    z = Noised(x, GAMMA).sample(noise, 50_000)[:, 0]
    alpha, ratio = GAMMA.neg().sigmoid().sqrt(), GAMMA.exp()
    chance.agrees(z, 1.5 * alpha)
    off = z - 1.5 * alpha
    covariance = alpha.outer(alpha) * torch.minimum(ratio.unsqueeze(0), ratio.unsqueeze(1))
    chance.agrees(off.unsqueeze(-1) * off.unsqueeze(-2), covariance)


def test_with_a_perfect_guess_all_but_the_last_layer_is_undone():
    """log q - log p is then that of the last layer, whatever z."""
    x, z = normals(5, 3), normals(6, 5, 12)
    q, p = Noised(x, GAMMA), Denoised(lambda z, gamma: x.unsqueeze(-2).expand_as(z), GAMMA, 3)
    alpha, sigma = GAMMA[-1].neg().sigmoid().sqrt(), GAMMA[-1].sigmoid().sqrt()
    last = DiagonalNormal(alpha * x, sigma.log())
    due = last.log_prob(z[..., 9:]) - p.first.log_prob(z[..., 9:])
    torch.testing.assert_close(q.log_prob(z) - p.log_prob(z), due)
    torch.testing.assert_close(draw_kl(q, p, z, None), analytic_kl(last, p.first).expand(6, 5))


def test_the_layers_are_those_of_a_chain():
    p = model().p()
    z, noise = p.sample_and_log_prob(Stream.seeded(0, dtype=F64), 6)
    torch.testing.assert_close(p.log_prob(z), noise)
    each = zip(p.given(z), z.split(3, -1), strict=True)
    torch.testing.assert_close(p.log_prob(z), sum(one.log_prob(layer) for one, layer in each))


def bound(steps, variance=2.0, schedule="linear"):
    """The exact mean of the ELBO over normal data, with the best guess and decoder.

    What it is the mean of is at most quadratic in x and in the noise of each layer,
    of which -1 and 1 have the first two moments.
    """
    data = DataSummary((1,), "real", torch.zeros(1))
    built = model(f"diffusion[steps={steps},signal=6,noise=12,schedule={schedule}]", data)
    gamma = built.prior.gamma

    def guess(z, gamma):
        return variance * z / ((-gamma).sigmoid().sqrt() * (variance + gamma.exp())).unsqueeze(-1)

    built.prior.denoise = guess
    with torch.no_grad():
        built.decoder.weight.copy_(guess(torch.ones(1, dtype=F64), gamma[0]))
        built.decoder.log_scale.copy_(-0.5 * (1 / variance + (-gamma[0]).exp()).log())
        signs = torch.tensor([-1.0, 1.0], dtype=F64)
        x = (variance**0.5 * signs).unsqueeze(1)
        q = built.q(x)
        z = q.marginals.loc + signs.reshape(2, 1, 1, 1) * q.marginals.log_scale.exp()  # (K, B, T, 1)
        terms = Terms(built, x, Stream.seeded(0), 2).having(z.flatten(-2))
        return (terms.log_likelihood - terms.kl_of_draws).mean().item()


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_of_normal_data_the_bound_reaches_the_entropy_as_steps_grow(schedule):
    entropy = 0.5 * math.log(2 * math.pi * math.e * 2.0)
    gaps = [-entropy - bound(steps, schedule=schedule) for steps in (4, 16, 64, 256, 1024)]
    assert all(high > 3 * low > 0 for high, low in itertools.pairwise(gaps))
    assert 3.9 < gaps[-2] / gaps[-1] < 4.2  # as 1 / T


def test_the_gap_of_few_steps_is_that_of_a_sum_for_an_integral():
    """Of half the mean square error of the guess, over the signal-to-noise ratio:
    half a step times what the error rises by, in closed form.
    """
    ratio, step = 2.0 * math.exp(6), 18 / 1023
    due = 0.25 * step * (math.log1p(ratio) + 1 / (1 + ratio) - 1)
    entropy = 0.5 * math.log(2 * math.pi * math.e * 2.0)
    assert 0.99 < (-entropy - bound(1024)) / due < 1.01


def test_one_random_time_is_each_time_in_its_turn(points):
    """Value and gradients: the mean over the times, which are equally likely, is the sum over all."""
    built = model("diffusion[steps=4,hidden=4,time=random]")
    q, random = built.q(points), built.p()
    z = q.sample(Stream.seeded(0, dtype=F64), 6).detach()
    weights = [*built.prior.parameters()]
    uniforms = [torch.full((6 * 5,), (time + 0.5) / 3, dtype=F64) for time in range(3)]
    turns = [draw_kl(q, random, z, Buffer(u[:0], u)) for u in uniforms]
    exact = draw_kl(q, built.eval().p(), z, None)
    torch.testing.assert_close(sum(turns) / 3, exact)
    assert all((turn - exact).abs().min() > 1e-6 for turn in turns)
    for one, other in zip(
        torch.autograd.grad(sum(turns).sum() / 3, weights),
        torch.autograd.grad(exact.sum(), weights),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.statistical("mean gradients at one random time and at all", "of the 4,000 draws, paired")
def test_training_at_one_random_time_follows_the_same_gradient(points, gradients, chance):
    one, other = (
        gradients(
            model(f"diffusion[steps=4,hidden=2,layers=1,time={time}]"),
            points,
            "elbo[kl=analytic]",
            "pathwise",
            4000,
            chance.seed,
        )
        for time in ("random", "all")
    )
    assert (one - other).std(0).max() > 1e-3
    chance.agrees(one - other, slack=1e-9)  # the decoder's are equal


@pytest.mark.parametrize("predict", ["v", "noise", "x"])
def test_what_the_network_returns_gives_the_guess(predict):
    prior = model(f"diffusion[steps=4,predict={predict}]").prior
    x, epsilon = normals(5, 4, 3), normals(4, 3)
    alpha, sigma = (g.sigmoid().sqrt().unsqueeze(-1) for g in (-GAMMA, GAMMA))
    told = {"v": alpha * epsilon - sigma * x, "noise": epsilon.expand_as(x), "x": x}[predict]
    prior.network = torch.nn.Identity()
    prior.network.forward = lambda inputs: told
    torch.testing.assert_close(prior.denoise(alpha * x + sigma * epsilon, GAMMA), x)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "learned"])
def test_schedules_rise_from_end_to_end(schedule):
    gamma = model(f"diffusion[steps=9,signal=3,noise=5,schedule={schedule}]").prior.gamma
    assert (gamma.diff() > 0).all()
    torch.testing.assert_close(gamma[[0, -1]], torch.tensor([-3.0, 5.0], dtype=F64), rtol=0, atol=1e-5)
    if schedule == "cosine":
        torch.testing.assert_close(
            gamma.neg().sigmoid().sqrt().acos().diff(2), torch.zeros(7, dtype=F64), rtol=0, atol=1e-6
        )
    else:
        torch.testing.assert_close(gamma.diff(2), torch.zeros(7, dtype=F64), rtol=0, atol=1e-5)


def test_a_schedule_is_learned_by_the_bound_and_rises_still(points):
    built = model("diffusion[steps=4,hidden=4,schedule=learned]")
    terms = Terms(built, points, Stream.seeded(0, dtype=F64), 3)
    (terms.log_likelihood - terms.kl_of_draws).sum().backward()
    assert built.prior.learned.grad.abs().min() > 0
    with torch.no_grad():
        built.prior.learned.copy_(10 * normals(4))
    assert (built.prior.gamma.diff() > 0).all()


def test_with_one_step_it_is_the_standard_normal(points):
    built = model("diffusion[steps=1,signal=0.5]")
    terms = Terms(built, points, Stream.seeded(0, dtype=F64), 3)
    assert torch.equal(
        terms.log_prior, DiagonalNormal(terms.z.new_zeros(3), terms.z.new_zeros(3)).log_prob(terms.z)
    )
    variance = torch.sigmoid(torch.tensor(-0.5, dtype=F64))
    mean = (1 - variance).sqrt() * (points - DATA.mean)
    kl = 0.5 * (mean**2 + variance - 1 - variance.log()).sum(-1)
    torch.testing.assert_close(terms.kl(analytic=True), kl)


def test_x_is_noised_about_zero():
    binary = DataSummary((2, 2), "binary", torch.full((2, 2), 0.3))
    p = CATALOGUE.build("prior", "diffusion[steps=2]", binary, 8)
    built = LatentVariableModel(p, CATALOGUE.build("posterior", "noising", binary, p.space), None)
    assert built.q(torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])).x.tolist() == [[-1.0, 1.0, 1.0, -1.0]]
    real = model(posterior="noising[scale=2]").q((DATA.mean + 4.0).unsqueeze(0))
    assert real.x.tolist() == [[2.0, 2.0, 2.0]]


def test_tables_say_how_many_latents_it_has_with_the_data():
    prior = CATALOGUE.entry("prior", "diffusion").load()

    def size(name, data=lambda: DATA):
        return prior.latent_size(8, CATALOGUE.options("prior", Ref.parse(name)), data)

    assert (size("diffusion"), size("diffusion[steps=7]")) == (30, 21)
    assert size("diffusion[steps=7,size=2]", None) == 14  # without data


@pytest.mark.parametrize(
    ("prior", "objective", "data", "reason"),
    [
        ("diffusion[size=3]", "elbo", "blobs", "each layer has the size of x, 2; the prior's have 3"),
        ("hierarchy[layers=2 2]", "elbo", "blobs", "posterior 'noising' requires prior.schedule"),
        ("diffusion[time=random]", "elbo", "blobs", "requires objective.analytic_kl"),
    ],
)
def test_what_does_not_go_together_is_refused(prior, objective, data, reason):
    parts = {"prior": prior, "posterior": "noising", "decoder": "gaussian", "objective": objective}
    with pytest.raises(Refusal, match=reason):
        lvmbench.fit(data=data, **parts)


def test_no_steps_are_refused():
    with pytest.raises(UserError, match="option 'steps' should be greater than or equal to 1"):
        model("diffusion[steps=0]")


@pytest.mark.parametrize("posterior", ["bottom_up[hidden=8]", "ladder[hidden=8]"])
def test_layers_of_another_size_are_for_other_posteriors(points, posterior):
    built = model("diffusion[steps=3,size=2,hidden=8]", posterior=posterior)
    terms = Terms(built, points, Stream.seeded(0, dtype=F64), 6)
    assert terms.z.shape == (6, 5, 6)
    assert terms.log_w().isfinite().all()
