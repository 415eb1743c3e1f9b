"""The VampPrior: against the posterior itself, and its gradients by way of the encoder."""

import math

import pytest
import torch
from torch.func import functional_call

from lvmbench import (
    DataSummary,
    DiagonalNormal,
    LatentVariableModel,
    Mixture,
    Refusal,
    Split,
    Stream,
    Terms,
    evaluate,
    fit,
)
from lvmbench.combinations.budget import Budget
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.parts import build
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.training import train
from lvmbench.training.learner import restore, state
from lvmbench_plugins.priors.vamp import MARGIN, VampPrior

F64 = torch.float64
CATALOGUE = load_catalogue()
DATA = DataSummary((3,), "real", torch.tensor([0.5, -1.0, 2.0]), size=50)
BLOBS = {"data": "blobs[train=60,validation=20,test=30]", "decoder": "linear_gaussian", "objective": "elbo"}
FAMILIES = ["gaussian", "full_gaussian", "low_rank_gaussian[rank=1]", "iaf[flows=2]", "coupling[flows=2]"]


def model(prior="vamp[components=4,spread=1.0]", posterior="gaussian[hidden=8]", data=DATA):
    torch.manual_seed(0)
    p = CATALOGUE.build("prior", prior, data, 2)
    q = CATALOGUE.build("posterior", posterior, data, p.space)
    decoder = CATALOGUE.build("decoder", "linear_gaussian[noise=0.7]", data, p.space)
    return LatentVariableModel(p, q, decoder).double()


def noise():
    return Stream.seeded(0, "vamp", dtype=F64)


@pytest.mark.parametrize("family", FAMILIES)
def test_of_one_pseudo_input_it_is_its_posterior(family):
    built = model("vamp[components=1,spread=1.0]", family)
    z = 2 * torch.randn(5, 4, 2, dtype=F64)
    q = built.q(built.prior.pseudo_inputs)
    torch.testing.assert_close(built.p().log_prob(z), q.log_prob(z.unsqueeze(-2)).squeeze(-1))
    assert built.p().family == Mixture[q.family] == built.prior_distribution


@pytest.mark.parametrize("family", FAMILIES)
def test_of_all_data_no_posterior_is_further_away_than_log_n(family, points):
    """p(z) is then the aggregated posterior, and q(z|x) / p(z) at most N."""
    built, x = model("vamp[components=5]", family), 20 * points  # far apart
    with torch.no_grad():
        built.prior.raw.copy_(x)
        terms = Terms(built, x, noise(), 50)
        ratio = terms.log_q - terms.log_prior
        every = built.q(x).log_prob(terms.z.unsqueeze(-2).expand(-1, -1, 5, -1))
    torch.testing.assert_close(terms.log_prior, every.logsumexp(-1) - math.log(5))
    assert (ratio <= math.log(5) + 1e-6).all()
    assert ratio.max() > 1


def surrogate(built, points, estimator, objective):
    built_objective = CATALOGUE.build("objective", objective)
    made = CATALOGUE.build("estimator", estimator, DATA, built.prior.space)
    return made(built_objective, built, points, noise()).surrogate.sum()


def gradients(figure, built):
    names, weights = zip(*((n, w) for n, w in built.named_parameters() if w.requires_grad), strict=True)
    found = torch.autograd.grad(figure, weights, materialize_grads=True)
    return dict(zip(names, found, strict=True))


class Densities(torch.nn.Module):
    """A figure of values of z, ``log_w`` or ``log_q``, of a model that may be called with other weights."""

    def __init__(self, built, name):
        super().__init__()
        self.built, self.name = built, name

    def forward(self, x, z):
        log_q = self.built.q(x).log_prob(z)
        return log_q if self.name == "log_q" else self.built.log_joint(x, z) - log_q


def held(name, built, x, z):
    """A figure as a function of z alone: flows run their networks as late as when they are evaluated."""
    densities = Densities(built, name)
    weights = {name: weight.detach() for name, weight in densities.named_parameters()}
    return functional_call(densities, weights, (x, z))


def same(found, due):
    assert found.keys() == due.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, due[name], rtol=1e-8, atol=1e-8, msg=name)
    assert all(bool(gradient.any()) for gradient in found.values())


@pytest.mark.parametrize("family", FAMILIES[:1] + FAMILIES[3:4])
@pytest.mark.parametrize("estimator", ["stl", "blend"])
def test_holding_q_fixed_leaves_the_prior_its_encoder(family, estimator, points):
    """Of the whole bound only log q(z|x) is held fixed; one datum, where the blend has the whole path."""
    built, x = model(posterior=family), points[:1]
    spare = 1 if estimator == "blend" else 0
    z = built.q(x).sample(noise(), 3 + spare)[:3]
    bound = built.log_joint(x, z) - held("log_q", built, x, z)
    due = gradients(bound.mean(0).sum(), built)
    same(gradients(surrogate(built, x, estimator, "elbo[samples=3]"), built), due)


@pytest.mark.parametrize("family", FAMILIES[:1] + FAMILIES[3:4])
def test_double_reparameterisation_leaves_the_prior_its_encoder(family, points):
    """By way of z the squared weights, and by way of the pseudo-inputs the plain ones, as any prior."""
    built = model(posterior=family)
    z = built.q(points).sample(noise(), 3)
    share = held("log_w", built, points, z).softmax(0).detach()
    path = share**2 * held("log_w", built, points, z)
    partial = share * built.log_joint(points, z.detach())
    due = gradients(path.sum() + partial.sum(), built)
    same(gradients(surrogate(built, points, "dreg", "iwae[samples=3]"), built), due)


@pytest.mark.parametrize("estimator", ["pathwise", "stl", "blend", "score"])
def test_a_step_asks_the_encoder_for_data_and_for_pseudo_inputs_once_each(estimator, points):
    built, asked = model(), []
    built.posterior.network.register_forward_hook(lambda _, given, __: asked.append(len(given[0])))
    surrogate(built, points, estimator, "elbo[samples=3,free_bits=0.1]")
    assert sorted(asked) == [4, 5]


def test_analytic_divergences_are_those_of_mixtures_of_normals(points):
    assert "analytic_kl" in model().provides
    assert "analytic_kl" not in model(posterior="full_gaussian").provides
    terms = Terms(model(), points, noise(), 4)
    assert (terms.q.family, terms.p.family) == (DiagonalNormal, Mixture[DiagonalNormal])
    assert terms.kl_of_draws.grad_fn is not None


def test_pseudo_inputs_start_at_different_data_once():
    x = torch.rand(50, 3).round()
    summary = DataSummary((3,), "binary", x.mean(0), size=50)
    prior = VampPrior(summary, 2, components=50)
    with torch.no_grad():
        prior.refresh(Split(x), None)
        near = prior.pseudo_inputs.detach().clone()
        assert torch.equal(near.round().sort(0).values, x.sort(0).values)
        torch.testing.assert_close((near - near.round()).abs(), torch.full((50, 3), MARGIN))
        prior.raw.add_(1)
        moved = prior.pseudo_inputs.detach().clone()
        prior.refresh(Split(x), None)
    assert torch.equal(prior.pseudo_inputs, moved)


@pytest.mark.parametrize("vectorized", [True, False])
def test_a_pack_starts_each_seed_at_data_of_its_own(vectorized):
    refs = {
        "prior": "vamp[components=5]",
        "posterior": "gaussian[hidden=8]",
        "estimator": "pathwise",
        **BLOBS,
    }
    refs["dataset"] = refs.pop("data")
    combination = Combination({kind: Ref.parse(name) for kind, name in refs.items()}, 2)
    data = CATALOGUE.build("dataset", refs["dataset"]).load()
    parts = [build(CATALOGUE, combination, data, seed) for seed in (0, 1)]
    small = Budget(epochs=2, learning_rate=1e-6)
    found = train(parts, [0, 1], data, small, torch.device("cpu"), vectorized=vectorized)
    x, starts = data.splits["train"].values, [result.weights["model.prior.raw"] for result in found]
    for start, part in zip(starts, parts, strict=True):
        torch.testing.assert_close(start, x[part.model.prior.rows], rtol=0, atol=1e-4)
    assert not torch.equal(*starts)


@pytest.mark.parametrize(("support", "high"), [("unit", 1.0), ("binary", 1.0), ("count", math.inf)])
def test_pseudo_inputs_stay_where_the_data_live(support, high):
    x = torch.tensor([[0.0, 1.0, 0.5], [1.0, 1.0, 0.0]]) * (40 if support == "count" else 1)
    prior = VampPrior(DataSummary((3,), support, x.mean(0), size=2), 2, components=2)
    with torch.no_grad():
        prior.refresh(Split(x), None)
        torch.testing.assert_close(
            prior.pseudo_inputs.sort(0).values, x.sort(0).values, rtol=0, atol=MARGIN + 1e-6
        )
        prior.raw.mul_(100)
    assert ((prior.pseudo_inputs >= 0) & (prior.pseudo_inputs <= high)).all()


def test_what_was_not_observed_starts_at_the_mean():
    x = torch.tensor([[math.nan, 1.0], [0.0, math.nan]])
    prior = VampPrior(DataSummary((2,), "real", torch.tensor([7.0, 8.0]), 2, complete=False), 2, components=2)
    with torch.no_grad():
        prior.refresh(Split(x), None)
    assert prior.pseudo_inputs.sum(0).tolist() == [7.0, 9.0]


def test_noise_starts_about_the_mean():
    def off(spread):
        torch.manual_seed(0)
        prior = VampPrior(DATA, 2, components=50, start="noise", spread=spread)
        assert not prior.refreshes
        return prior.pseudo_inputs - DATA.mean

    assert len(off(0.5).unique(dim=0)) == 50
    torch.testing.assert_close(off(1.0), 2 * off(0.5))
    torch.testing.assert_close(off(1e-6), torch.zeros(50, 3), rtol=0, atol=1e-4)


def test_more_pseudo_inputs_than_data_are_refused():
    with pytest.raises(
        Refusal, match=r"at least as many training data as pseudo-inputs, got 50 data and components=51"
    ):
        VampPrior(DATA, 2, components=51)


@pytest.mark.parametrize(
    ("posterior", "word"),
    [
        ("svi[steps=2]", "posterior.amortized"),
        ("semi_amortized[steps=2]", "posterior.amortized"),
        ("auxiliary", "posterior.density"),
        ("planar", "posterior.density"),
        ("exact", "posterior.amortized"),
    ],
)
def test_posteriors_that_it_cannot_ask_are_refused(posterior, word):
    with pytest.raises(Refusal, match=rf"prior 'vamp' requires {word}"):
        fit(prior="vamp", posterior=posterior, epochs=1, latent=2, **BLOBS)


@pytest.mark.parametrize("family", ["gaussian[hidden=8]", "iaf[flows=1,hidden=8]"])
def test_components_cluster_whatever_the_family(family):
    fitted = fit(prior="vamp[components=5]", posterior=family, epochs=2, latent=2, **BLOBS)
    asked = "clustering[starts=1]" if "gaussian" in family else "tightness[samples=20,repeats=2]"
    found = evaluate(fitted, asked)
    assert found["value"].notna().all()
    with torch.no_grad():
        shares = fitted.model.p().assign(torch.zeros(3, 2))
    assert shares.shape == (3, 5)
    if "gaussian" in family:
        assert (found["method"] == "prior").sum() >= 5
    else:
        assert "prior.mean" not in fitted.provides


def test_what_training_started_from_and_found_is_saved():
    parts = {"prior": "vamp[components=5]", "posterior": "gaussian[hidden=8]", "latent": 2, **BLOBS}
    fitted, other = fit(epochs=2, **parts), fit(epochs=1, seed=1, **parts)
    restore(other.parts, state(fitted.parts))
    z = torch.randn(7, 2)
    with torch.no_grad():
        assert torch.equal(other.model.p().log_prob(z), fitted.model.p().log_prob(z))
        others = Split(torch.randn(60, *other.model.prior.raw.shape[1:]))
        other.model.prior.refresh(others, other.model)
        assert torch.equal(other.model.p().log_prob(z), fitted.model.p().log_prob(z))
