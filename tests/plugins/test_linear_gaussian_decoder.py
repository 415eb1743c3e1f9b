"""The linear-Gaussian decoder against its formula, and trained, against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.decomposition import PCA, FactorAnalysis

from lvmbench import DataSummary, LatentSpace, LatentVariableModel, Refusal, Stream, Terms
from lvmbench.registry.loader import load_catalogue
from lvmbench_plugins.datasets.digits import Digits
from lvmbench_plugins.datasets.linear_gaussian import LinearGaussianData
from lvmbench_plugins.decoders.linear_gaussian import LinearGaussian

CATALOGUE = load_catalogue()


@pytest.mark.parametrize("event", [(3,), (2, 3)])
def test_log_prob_is_that_of_scipy(event):
    built = LinearGaussian(
        DataSummary(event, "real", torch.ones(event)), LatentSpace((2,)), noise=0.5
    ).double()
    z, x = torch.randn(4, 5, 2).double(), torch.randn(5, *event).double()
    size = math.prod(event)
    loc = torch.einsum("dz,kbz->kbd", built.weight, z) + built.bias
    expected = [
        [
            stats.multivariate_normal(m, 0.25 * torch.eye(size)).logpdf(v.flatten())
            for m, v in zip(row, x, strict=True)
        ]
        for row in loc.detach()
    ]
    torch.testing.assert_close(
        built(z).log_prob(x).detach(), torch.tensor(expected).double(), rtol=1e-6, atol=1e-6
    )


def test_starts_at_the_training_mean_and_the_given_noise():
    built = LinearGaussian(DataSummary((3,), "real", torch.arange(3.0)), LatentSpace((2,)), noise=0.5)
    p = built(torch.zeros(1, 1, 2))
    assert p.mean[0, 0].tolist() == [0, 1, 2]
    torch.testing.assert_close(p.log_scale.exp(), torch.full((1, 1, 3), 0.5))


def test_refuses_latents_that_are_not_vectors():
    with pytest.raises(Refusal, match=r"vector of latents; the prior's are of shape \(2, 4\)"):
        LinearGaussian(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2, 4)))


def model(covariance, x, latent, prior="standard_normal", **options):
    """With the exact posterior, in double precision."""
    data = DataSummary(tuple(x.shape[1:]), "real", x.nanmean(0), complete=not x.isnan().any())
    torch.manual_seed(0)
    p = CATALOGUE.build("prior", prior, data, latent)
    q = CATALOGUE.build("posterior", "exact", data, p.space)
    decoder = LinearGaussian(data, p.space, covariance=covariance, **options)
    return LatentVariableModel(p, q, decoder, complete=data.complete).double()


def real_images():
    """The pixels of scikit-learn's digits that vary: a standard deviation of one that does not would be 0."""
    x = Digits(binarize="none").load().splits["train"].values.flatten(1).double()
    return x[:, x.std(0) > 0.05]


def generated():
    return LinearGaussianData(train=500).load().splits["train"].values.double()


SKLEARN = {
    "isotropic": lambda x, latent: PCA(latent, svd_solver="full").fit(x),
    "diagonal": lambda x, latent: FactorAnalysis(latent, tol=1e-10, max_iter=20_000, svd_method="lapack").fit(
        x
    ),
}


@pytest.mark.parametrize("covariance", SKLEARN)
@torch.no_grad()
def test_the_density_of_sklearns_optimum_is_sklearns_on_real_images(covariance):
    x = real_images()
    known = SKLEARN[covariance](x.numpy(), 5)
    built = model(covariance, x, 5, floor=-20.0)
    noise = torch.as_tensor(known.noise_variance_)
    lengths = (
        np.sqrt(known.explained_variance_ - known.noise_variance_)
        if covariance == "isotropic"
        else np.ones(5)
    )
    built.decoder.weight.copy_(torch.from_numpy(known.components_.T * lengths))
    built.decoder.bias.copy_(torch.from_numpy(known.mean_))
    built.decoder.log_scale.copy_(0.5 * noise.log())
    np.testing.assert_allclose(built.exact_log_prob(x), known.score_samples(x.numpy()), rtol=1e-6)


@pytest.mark.parametrize("covariance", SKLEARN)
@pytest.mark.parametrize("source", [generated, real_images])
def test_the_elbo_with_the_exact_posterior_ends_at_sklearns_likelihood(source, covariance):
    x = source()
    built = model(covariance, x, 4, noise=0.3, floor=-20.0)
    descent = torch.optim.LBFGS(
        built.parameters(),
        max_iter=600,
        tolerance_grad=1e-9,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def loss():
        descent.zero_grad()
        noise = Stream.seeded(0, "elbo", dtype=torch.float64)
        elbo = Terms(built, x, noise, 1).log_w().mean()  # with the exact posterior, log p(x) at every z
        (-elbo).backward()
        return -elbo

    descent.step(loss)
    due = SKLEARN[covariance](x.numpy(), 4).score(x.numpy())
    assert abs(-loss().item() - due) < 1e-2


@pytest.mark.parametrize("prior", ["standard_normal", "mixture[components=3]"])
@torch.no_grad()
def test_exact_log_p_with_noise_of_each_value_is_that_of_the_dense_normal_of_what_was_observed(prior):
    x = LinearGaussianData(missing=0.3).load().splits["test"].values[:50].double()
    built = model("diagonal", x, 4, prior)
    decoder, p = built.decoder, built.p()
    decoder.log_scale.copy_(torch.linspace(-1, 0.5, 10))
    locs, scales, weights = torch.zeros(1, 4), torch.ones(1, 4), torch.zeros(1)
    if prior != "standard_normal":
        locs, scales, weights = p.components.loc, p.components.log_scale.exp(), p.log_weights
    due = []
    for loc, scale in zip(locs.double(), scales.double(), strict=True):
        signal = decoder.weight @ torch.diag(scale**2) @ decoder.weight.T
        covariance = signal + torch.diag((2 * decoder.log_scale).exp())
        due.append([_block(row, decoder.weight @ loc + decoder.bias, covariance) for row in x])
    due = torch.tensor(due) + weights.unsqueeze(1)
    torch.testing.assert_close(built.exact_log_prob(x), due.logsumexp(0).double(), rtol=0, atol=1e-6)


def _block(row, loc, covariance):
    seen = ~row.isnan()
    return stats.multivariate_normal(loc[seen], covariance[seen][:, seen]).logpdf(row[seen])


def test_the_floor_keeps_columns_that_do_not_vary_from_growing_without_bound():
    built = LinearGaussian(
        DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,)), covariance="diagonal", noise=1e-9
    )
    torch.testing.assert_close(built(torch.zeros(1, 1, 2)).log_scale, torch.full((1, 1, 3), -5.0))
