"""The Gaussian decoder against scipy, with each kind of covariance."""

import math

import pytest
import torch
from scipy import stats

from lvmbench import DataSummary, LatentSpace, Stream
from lvmbench_plugins.decoders.gaussian import GaussianDecoder

KINDS = ("isotropic", "diagonal", "low_rank", "full")
SCALES = ("network", "constant")


def decoder(**options):
    data = DataSummary((2, 3), "real", torch.arange(6.0).reshape(2, 3))
    return GaussianDecoder(data, LatentSpace((2,)), hidden=8, **options).double()


def test_log_prob_is_that_of_scipy():
    built, z, x = decoder(), torch.randn(4, 5, 2).double(), torch.randn(5, 2, 3).double()
    loc, log_scale = built.network(z).detach().unbind(-3)
    expected = stats.norm.logpdf(x, loc + built.offset.detach(), log_scale.exp()).sum((-2, -1))
    torch.testing.assert_close(
        built(z).log_prob(x).detach(), torch.from_numpy(expected), rtol=1e-10, atol=1e-10
    )


def test_starts_about_the_training_mean():
    built = decoder()
    torch.testing.assert_close(built.offset.detach(), torch.arange(6.0).reshape(2, 3).double())


def test_floor_bounds_the_likelihood():
    built, z = decoder(floor=-1.0), torch.zeros(1, 1, 2).double()
    with torch.no_grad():
        built.network.linears[-1].bias.fill_(-50)
        p = built(z)
        assert (p.log_scale == -1).all()
        at_mode = p.log_prob(p.mean[0])
    torch.testing.assert_close(
        at_mode, torch.full((1, 1), 6 * stats.norm.logpdf(0, scale=torch.tensor(-1.0).exp())).double()
    )


def covariance_of(built, kind, z):
    loc, rows = maps(built, z)
    scale = rows[..., 0, :].exp()
    if kind == "isotropic":
        shared = rows[..., 0, :].mean(-1).exp()
        return loc, torch.diag_embed(shared.square().unsqueeze(-1).expand_as(loc))
    if kind == "low_rank":
        factor = scale.unsqueeze(-1) * rows[..., 1:, :].mT / 2**0.5
        return loc, torch.diag_embed(scale**2) + factor @ factor.mT
    below = rows[..., 1:, :].tril(-1) / 6**0.5 if kind == "full" else 0
    root = torch.diag_embed(scale) + below
    return loc, root @ root.mT


def maps(built, z):
    loc, *rows = built.network(z).flatten(-2).unbind(-2)
    rows = torch.stack(rows, -2) if built.rows is None else built.rows.expand(*z.shape[:-1], -1, -1)
    return loc + built.offset.flatten(), rows


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_each_covariance_is_the_dense_one_of_scipy_also_of_what_was_observed(kind, scale):
    torch.manual_seed(0)
    built = decoder(covariance=kind, scale=scale)
    for weight in built.parameters():
        weight.add_(0.3 * torch.randn_like(weight))
    z, x = torch.randn(4, 5, 2).double(), torch.randn(5, 2, 3).double()
    holed = x.flatten(1).masked_fill(torch.arange(30).reshape(5, 6) % 4 == 0, torch.nan)
    p, (loc, dense) = built(z), covariance_of(built, kind, z)
    for values, found in (
        (x.flatten(1), p.log_prob(x)),
        (holed, p.observed_log_prob(holed.reshape(x.shape))),
    ):
        for k in range(4):
            for b, row in enumerate(values):
                seen = ~row.isnan()
                block = stats.multivariate_normal(loc[k, b][seen], dense[k, b][seen][:, seen])
                assert math.isclose(found[k, b], block.logpdf(row[seen]), abs_tol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_covariance_is_the_same_for_every_z(kind):
    built, z = decoder(covariance=kind, scale="constant"), torch.randn(4, 5, 2).double()
    p = built(z)
    about = p.log_prob(p.mean + 0.3)
    torch.testing.assert_close(about, about[0, 0].expand(4, 5))


def test_a_constant_isotropic_scale_is_one_number():
    alone = decoder(covariance="isotropic", scale="constant")
    assert alone.rows.numel() == 1
    assert decoder(scale="constant").rows.numel() == 6
    assert decoder(covariance="low_rank", scale="constant", rank=9).rows.shape == (
        7,
        6,
    )  # no more than values


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_the_floor_bounds_every_covariance(kind):
    built, z = decoder(covariance=kind, floor=-1.0), torch.zeros(1, 1, 2).double()
    built.network.linears[-1].weight.zero_()
    built.network.linears[-1].bias[6:] = -50
    p = built(z)
    assert p.log_prob(p.mean).item() <= 6 * stats.norm.logpdf(0, scale=math.exp(-1)) + 1e-6


def fitted(scale, seed):
    """The log densities of fresh pairs of z and x, x normal about 0 with the standard deviation e^z,
    under a decoder that was fitted to others. z is bounded, so that no fresh one is far from all others.
    """
    noise = Stream.seeded(seed, "heteroscedastic")
    z = 4 * noise.uniform((4000, 1)) - 2
    x = z.exp() * noise.normal((4000, 1))
    torch.manual_seed(0)
    built = GaussianDecoder(
        DataSummary((1,), "real", torch.zeros(1)), LatentSpace((1,)), hidden=8, scale=scale
    )
    descent = torch.optim.Adam(built.parameters(), 3e-2)
    for _ in range(150):
        descent.zero_grad()
        (-built(z[None, :2000]).log_prob(x[:2000]).mean()).backward()
        descent.step()
    return built(z[None, 2000:]).log_prob(x[2000:]).detach()[0]


@pytest.mark.statistical(
    "the log density of fresh heteroscedastic data under a variance that is a network with that under a "
    "constant one",
    "measured: the differences between data",
)
def test_a_variance_that_depends_on_z_beats_a_constant_one_where_the_noise_does(chance):
    constant, varying = fitted("constant", chance.seed), fitted("network", chance.seed)
    difference = varying - constant
    chance.ordered(constant.mean(), varying.mean(), difference.std() / len(difference) ** 0.5)
