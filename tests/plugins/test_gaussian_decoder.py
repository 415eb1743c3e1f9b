"""The Gaussian decoder against scipy."""

import torch
from scipy import stats

from lvmbench import DataSummary, LatentSpace
from lvmbench_plugins.decoders.gaussian import GaussianDecoder


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
