"""Imputation: against the exact conditional density of a linear-Gaussian model."""

from dataclasses import replace

import pytest
import torch

from lvmbench import (
    Data,
    DataSummary,
    DiagonalNormal,
    LatentVariableModel,
    MultivariateNormal,
    Posterior,
    Refusal,
    Split,
    Subject,
)
from lvmbench_plugins.decoders.linear_gaussian import LinearGaussian
from lvmbench_plugins.evaluators.imputation import Imputation, _mask, _random
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.posteriors.exact import Exact
from lvmbench_plugins.priors.standard_normal import StandardNormal


class AsPrior(Posterior):
    """q(z|x) = p(z)."""

    distribution = DiagonalNormal

    def forward(self, x, model):
        return DiagonalNormal(torch.zeros(len(x), 2), torch.zeros(2))


def subject(posterior=None, shape=(1, 2, 2)):
    torch.manual_seed(0)
    summary = DataSummary(shape, "real", torch.zeros(shape))
    prior = StandardNormal(summary, 2)
    decoder = LinearGaussian(summary, prior.space, noise=0.7)
    model = LatentVariableModel(prior, posterior or Exact(summary, prior.space), decoder)
    with torch.no_grad():
        z = torch.randn(1, 40, 2)
        x = decoder(z).loc[0] + 0.7 * torch.randn(40, *shape)
    data = Data(dict.fromkeys(("train", "validation", "test"), Split(x)), "real", "none")
    return Subject(model, Elbo(), {}, data, seed=0, provides=frozenset({"dataset.image"}))


def exact(given, hidden):
    """log p(x_h | x_s) = log p(x) - log p(x_s), from the joint normal of x."""
    decoder, x = given.model.decoder, given.x.flatten(1)
    covariance = decoder.weight @ decoder.weight.T + (2 * decoder.log_scale).exp() * torch.eye(x.shape[1])
    seen = ~_mask(tuple(given.x.shape[1:]), hidden).flatten()

    def log_prob(keep):
        part = covariance[keep][:, keep]
        return MultivariateNormal(decoder.bias[keep], torch.linalg.cholesky(part)).log_prob(x[:, keep])

    return (log_prob(torch.ones_like(seen)) - log_prob(seen)).mean().item()


@pytest.mark.parametrize("hidden", ["top", "bottom", "left", "right"])
@pytest.mark.parametrize("posterior", [None, AsPrior()])
@pytest.mark.statistical(
    "a conditional density with the exact one", "stated, of 40 data; the bias is 1 / samples"
)
def test_the_conditional_density_is_the_exact_one(hidden, posterior, chance):
    given = subject(posterior)
    options = {"hidden": hidden, "samples": 400, "fills": 5, "rounds": 3}
    found = {(m.metric, m.method): m for m in Imputation(**options).evaluate(given)}
    figure = found["hidden_log_likelihood", "importance"]
    chance.within(figure.value, exact(given, hidden), figure.stderr, slack=5e-3)


@pytest.mark.parametrize("hidden", ["random", "missing"])
@pytest.mark.statistical(
    "the density of values here and there with the exact one", "stated, of 40 data; the bias is 1 / samples"
)
def test_the_conditional_density_of_values_here_and_there_is_the_exact_one(hidden, chance):
    given = subject(AsPrior() if hidden == "missing" else None)
    x, gaps = given.x, _random(given.x)
    if hidden == "missing":
        gaps[:, 0, 0, 0] = False  # something is left of each datum
        split = Split(x.masked_fill(gaps, torch.nan), missing=torch.nan, whole=x)
        data = Data(dict.fromkeys(given.data.splits, split), "real", "none")
        given = replace(given, data=data)
        given.model.complete = False
    decoder = given.model.decoder
    covariance = decoder.weight @ decoder.weight.T + (2 * decoder.log_scale).exp() * torch.eye(x[0].numel())
    joint = MultivariateNormal(decoder.bias, torch.linalg.cholesky(covariance))
    seen = x.masked_fill(gaps, torch.nan)
    due = joint.log_prob(x.flatten(1)) - joint.observed_log_prob(seen.flatten(1))
    posed = seen.isnan().flatten(1).any(1)
    instrument = Imputation(hidden=hidden, samples=400, fills=5, rounds=3)
    found = {(m.metric, m.method): m for m in instrument.evaluate(given)}
    figure = found["hidden_log_likelihood", "importance"]
    chance.within(figure.value, due[posed].mean(), figure.stderr, slack=5e-3)


def test_nothing_hidden_is_refused():
    given = subject()
    splits = {
        name: replace(split, missing=torch.nan, whole=split.x) for name, split in given.data.splits.items()
    }
    with pytest.raises(Refusal, match="nothing that is known is hidden"):
        Imputation(hidden="missing").evaluate(replace(given, data=replace(given.data, splits=splits)))


def test_halves():
    assert _mask((1, 4, 2), "top")[0].tolist() == [[True] * 2] * 2 + [[False] * 2] * 2
    assert _mask((1, 4, 2), "right")[0].tolist() == [[False, True]] * 4
    assert _mask((1, 3, 2), "bottom")[0].tolist() == [[False] * 2] * 2 + [[True] * 2]


def test_an_image_of_one_row_has_no_top():
    with pytest.raises(Refusal, match="have no top half"):
        _mask((1, 1, 4), "top")


def test_better_than_the_marginals_where_pixels_hang_together():
    found = {(m.metric, m.method): m.value for m in Imputation().evaluate(subject())}
    for metric, better in (("hidden_log_likelihood", 1), ("imputation_error", -1)):
        assert better * (found[metric, "importance"] - found[metric, "marginal"]) > 0
