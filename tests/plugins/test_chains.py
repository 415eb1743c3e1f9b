"""Chains on posteriors that are known, and on one of two modes."""

from dataclasses import replace

import pytest
import torch

from lvmbench import (
    Data,
    DataSummary,
    Decoder,
    DiagonalNormal,
    LatentVariableModel,
    Split,
    Stream,
    Subject,
    Workload,
)
from lvmbench.kernels.hmc import AIM, Density
from lvmbench_plugins.decoders.linear_gaussian import LinearGaussian
from lvmbench_plugins.evaluators.chains import Chains
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.posteriors.gaussian import Gaussian
from lvmbench_plugins.priors.standard_normal import StandardNormal

SUMMARY = DataSummary((5,), "real", torch.zeros(5))
SHARE, R_HAT = 0.0091, 0.0016
"""The standard deviations of two figures of `test_chains_on_a_normal_agree`, over 30 other seeds."""


def linear(latent):
    return LinearGaussian(SUMMARY, StandardNormal(SUMMARY, latent).space, noise=0.3)


def subject(decoder, latent, count=6):
    """A model whose posterior is untrained, and data that it generates."""
    torch.manual_seed(0)
    p = StandardNormal(SUMMARY, latent)
    model = LatentVariableModel(p, Gaussian(SUMMARY, p.space), decoder).eval()
    x = model.generate(Stream.seeded(1, "data"), count)
    data = Data(dict.fromkeys(("train", "validation", "test"), Split(x)), "real", "none")
    return Subject(model, Elbo(), {}, data, seed=0)


def measured(given, **options):
    return {m.metric: m for m in Chains(leapfrogs=3, **options).evaluate(given)}


@pytest.mark.statistical(
    "means and squares of chains with those of the exact posterior",
    "of 400 chains of 20 draws",
    comparisons=2,
)
def test_draws_are_those_of_the_posterior(chance):
    """From the prior, and with step sizes that were found on the way."""
    given = subject(linear(2), 2, count=1)
    model, x = given.model.double(), given.x.double()
    noise, p = Stream.seeded(chance.seed, "chains", dtype=torch.float64), given.model.p()
    evaluator = Chains(chains=400, draws=20, adaptation=60, leapfrogs=3)
    start = p.sample(noise, 400).unsqueeze(1)
    z, _ = evaluator.run(Density(lambda z: model.log_joint(x, z, p)), start, noise)
    truth = model.exact_posterior(x)
    u = torch.linalg.solve_triangular(truth.scale_tril, (z - truth.loc).unsqueeze(-1), upper=False)
    u = u.squeeze(-1)[:, :, 0]  # (N, C, D): standard normal
    chance.agrees(u.mean(0))
    chance.agrees(u.square().mean(0), 1.0)


@pytest.mark.statistical(
    "the share that is accepted with the aim, and the agreement of chains with that of independent draws",
    "measured over 30 other seeds",
    comparisons=2,
)
def test_chains_on_a_normal_agree(chance):
    """Steps are kept once they are found, by which the share may be off by the last of their adaptation."""
    found = measured(replace(subject(linear(3), 3), seed=chance.seed), draws=1000)
    chance.within(found["acceptance_rate"].value, AIM, SHARE, slack=0.01)
    chance.within(found["split_r_hat"].value, 1.0, R_HAT, slack=0.01, above=True)


class Folded(Decoder):
    """x is the square of z five times, but for noise: the posterior has a mode on either side of 0."""

    distribution = DiagonalNormal

    def forward(self, z):
        return DiagonalNormal(z.square().expand(*z.shape[:-1], 5), torch.tensor(-2.0))


def test_chains_in_two_modes_do_not_agree():
    given = subject(Folded(), 1, count=40)
    found = measured(given, chains=32, draws=50, adaptation=50)
    apart = given.x.mean(-1) > 1
    assert apart.sum() > 5
    assert (found["split_r_hat"].per_datum[apart] > 1.2).all()
    assert (found["ess_per_gradient"].per_datum[apart] < 0.1).all()


def test_decoder_is_evaluated_as_often_as_said():
    given, pairs = subject(linear(2), 2, count=9), []
    given.model.decoder.register_forward_hook(lambda _, args, __: pairs.append(args[0].shape[:2].numel()))
    evaluator = Chains(chains=3, draws=8, adaptation=4, leapfrogs=3, data=7, batch=4)
    list(evaluator.evaluate(given))
    assert sum(pairs) == evaluator.evaluations(Workload(given.objective, {}, {"test": 9}))


def test_figures_of_single_data_are_given_for_the_whole_split_only():
    whole, some = (measured(subject(linear(2), 2), draws=8, adaptation=4, data=n) for n in (6, 5))
    assert all(m.per_datum.shape == (6,) for m in whole.values())
    assert all(m.per_datum is None for m in some.values())
