"""Linear-Gaussian data with values missing at random: exact densities, training, imputation."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from lvmbench import DataSummary, LatentVariableModel, evaluate, fit
from lvmbench.registry.loader import load_catalogue
from lvmbench_plugins.datasets.blobs import Blobs
from lvmbench_plugins.datasets.linear_gaussian import LinearGaussianData

CATALOGUE = load_catalogue()
DIMS, LATENT = 10, 4


def blocks(x, loc, covariance):
    """log p of what was observed of each row, by the dense normal of these coordinates."""
    found = []
    for row in x.double():
        keep = ~row.isnan()
        block = stats.multivariate_normal(loc[keep].numpy(), covariance[keep][:, keep].numpy())
        found.append(block.logpdf(row[keep].numpy()))
    return np.array(found)


def model(prior, missing):
    """A linear-Gaussian model in double precision with weights of its own, and data for it."""
    data = LinearGaussianData(missing=missing).load()
    summary = data.summary
    summary = DataSummary(summary.event_shape, "real", summary.mean, complete=summary.complete)
    torch.manual_seed(0)
    p = CATALOGUE.build("prior", prior, summary, LATENT)
    decoder = CATALOGUE.build("decoder", "linear_gaussian[noise=0.6]", summary, p.space)
    q = CATALOGUE.build("posterior", "exact", summary, p.space)
    built = LatentVariableModel(p, q, decoder, complete=summary.complete).double()
    return built, data.splits["test"].values.double()


@pytest.mark.parametrize("missing", [0.0, 0.3])
@torch.no_grad()
def test_exact_log_p_is_that_of_the_dense_normal_of_what_was_observed(missing):
    built, x = model("standard_normal", missing)
    assert bool(x.isnan().any()) == (missing > 0)
    decoder = built.decoder
    covariance = decoder.weight @ decoder.weight.T + 0.36 * torch.eye(DIMS, dtype=torch.float64)
    due = blocks(x, decoder.bias, covariance)
    np.testing.assert_allclose(built.exact_log_prob(x).numpy(), due, rtol=0, atol=1e-6)


@torch.no_grad()
def test_exact_log_p_under_a_mixture_prior_is_that_of_the_dense_mixture():
    built, x = model("mixture[components=3]", 0.3)
    p, decoder = built.p(), built.decoder
    due = []
    for loc, log_scale in zip(p.components.loc, p.components.log_scale, strict=True):
        signal = decoder.weight @ torch.diag((2 * log_scale).exp()) @ decoder.weight.T
        covariance = signal + 0.36 * torch.eye(DIMS, dtype=torch.float64)
        due.append(blocks(x, decoder.weight @ loc + decoder.bias, covariance))
    due = np.logaddexp.reduce(np.stack(due) + p.log_weights.unsqueeze(1).numpy())
    np.testing.assert_allclose(built.exact_log_prob(x).numpy(), due, rtol=0, atol=1e-6)


def test_the_datas_own_density_is_of_what_was_observed():
    source = LinearGaussianData(missing=0.3)
    data = source.load()
    x = data.splits["test"].values.double()
    np.testing.assert_allclose(data.log_prob(x), blocks(x, source.bias, source.covariance), rtol=1e-10)
    lone = Blobs(missing=0.5, clusters=1).load()
    x = lone.splits["test"].values.double()
    centre = Blobs(clusters=1).centres[0]
    np.testing.assert_allclose(lone.log_prob(x), blocks(x, centre, torch.eye(2).double()), rtol=1e-10)


@pytest.mark.parametrize("source", [LinearGaussianData, Blobs])
def test_what_is_left_is_what_there_is_without_holes(source):
    whole, data, again = source().load(), source(missing=0.3).load(), source(missing=0.3).load()
    assert data.checksum == again.checksum != whole.checksum
    for name, split in data.splits.items():
        seen = ~split.x.isnan()
        assert torch.equal(split.x[seen], whole.splits[name].x[seen])
        assert torch.equal(split.whole, whole.splits[name].x)
        assert seen.any(1).all()
    assert {"whole", "complete"} & data.capabilities == {"whole"}


@pytest.mark.statistical("how many values are missing with their law", "binomial")
def test_the_share_that_is_missing(chance):
    x = LinearGaussianData(missing=0.3, train=4000, seed=chance.seed).load().splits["train"].x
    count = int(x.isnan().sum())  # that a datum would have none left has a chance of 0.3^10
    chance.likely(stats.binomtest(count, x.numel(), 0.3).pvalue)


TRAIN = 2000
PARAMETERS = DIMS * LATENT - LATENT * (LATENT - 1) // 2 + DIMS + 1
"""Those of the density: W up to a rotation, b and sigma."""
SETTING = {
    "prior": "standard_normal",
    "decoder": "linear_gaussian",
    "latent": LATENT,
    "epochs": 60,
    "batch": 100,
    "learning_rate": 3e-3,
}


def data(missing, seed, *, filled=False):
    found = LinearGaussianData(missing=missing, train=TRAIN, test=2000, seed=seed).load()
    if filled:
        mean = found.summary.mean
        splits = {n: type(s)(torch.where(s.x.isnan(), mean, s.x)) for n, s in found.splits.items()}
        return type(found)(splits, "real", "none")
    return found


def density(fitted, x):
    """log p of what was observed, of each datum, under a fitted model."""
    decoder = fitted.model.decoder
    covariance = decoder.weight @ decoder.weight.T + (2 * decoder.log_scale).exp() * torch.eye(DIMS)
    return torch.from_numpy(blocks(x, decoder.bias.detach().double(), covariance.detach().double()))


@pytest.mark.slow
@pytest.mark.statistical(
    "the density of models that were fitted to incomplete data with that of those fitted to complete data",
    "by chi-squared: the best fit loses that of as many degrees as there are parameters over 2 N; of the "
    "test data measured",
    comparisons=2,
)
def test_the_fit_to_incomplete_data_approaches_that_to_complete_data(chance):
    """With p(z|x) as q the bound is log p, and its maximum that of the likelihood of what was observed."""
    incomplete, complete = data(0.3, chance.seed), data(0.0, chance.seed)
    x = incomplete.splits["test"].values
    fitted, best = (
        fit(data=each, posterior="exact", objective="elbo", seed=chance.seed, **SETTING)
        for each in (incomplete, complete)
    )
    tail = 1e-6 / 2 / chance.comparisons
    slack = stats.chi2(PARAMETERS).isf(tail) / (2 * TRAIN)
    found = density(fitted, x)
    chance.agrees(incomplete.log_prob(x.double()) - found, slack=slack, above=True)
    chance.agrees(density(best, x) - found, slack=slack, above=True)


@pytest.mark.slow
@pytest.mark.parametrize("mask", ["false", "true"])
@pytest.mark.parametrize("objective", ["elbo", "iwae", "miwae"])
@pytest.mark.statistical(
    "the density of models fitted with an encoder with that of models fitted to data filled with the mean",
    "measured, of the difference for each test datum",
)
def test_better_than_to_fill_in_the_mean(objective, mask, chance):
    incomplete, filled = data(0.3, chance.seed), data(0.3, chance.seed, filled=True)
    x = incomplete.splits["test"].values
    parts = {"posterior": f"gaussian[hidden=32,mask={mask}]", "objective": objective, "seed": chance.seed}
    found, naive = (density(fit(data=each, **parts, **SETTING), x) for each in (incomplete, filled))
    chance.agrees(naive - found, above=True)


def conditional_mean(x, loc, covariance):
    """E[x | what was observed] of each row."""
    rows = []
    for row in x.double():
        keep = ~row.isnan()
        gain = torch.linalg.solve(covariance[keep][:, keep], covariance[keep]).T
        rows.append(loc + gain @ (row[keep] - loc[keep]))
    return torch.stack(rows)


@pytest.mark.slow
@pytest.mark.statistical(
    "by how much the expected missing values are nearer to the true ones than the column means, "
    "with the true model's",
    "measured, of the true model's margin for each datum",
)
def test_imputed_values_beat_the_column_means_as_the_true_model_does(chance):
    source = LinearGaussianData(missing=0.3, train=TRAIN, test=2000, seed=chance.seed)
    incomplete = data(0.3, chance.seed)
    fitted = fit(data=incomplete, posterior="exact", objective="elbo", seed=chance.seed, **SETTING)
    table = evaluate(fitted, "imputation[hidden=missing,rounds=2,fills=4]").query(
        "metric == 'imputation_error'"
    )
    error = dict(zip(table["method"], table["value"], strict=True))
    split = incomplete.splits["test"]
    gaps, truth = split.x.isnan(), split.whole.double()
    posed = gaps.any(1)

    def errors(guess):
        return ((guess - truth).square() * gaps).sum(1)[posed] / gaps.sum(1)[posed]

    plain = errors(incomplete.summary.mean.double().expand_as(truth))
    margin = plain - errors(conditional_mean(split.x, source.bias, source.covariance))
    assert error["marginal"] == pytest.approx(plain.mean().item(), rel=1e-5)
    spread = margin.std().item() / math.sqrt(len(margin))
    chance.within(error["marginal"] - error["importance"], margin.mean(), spread, freedom=len(margin) - 1)
