"""Reweighted wake-sleep: the gradients of both phases, and what it may be combined with."""

import math

import pytest
import torch

from lvmbench import Stream, Terms
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.given import combine
from lvmbench.combinations.parts import build
from lvmbench.combinations.requirements import applicable_estimators, capabilities, refusal
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref
from lvmbench_plugins.estimators.own import Own
from lvmbench_plugins.objectives.iwae import Iwae
from lvmbench_plugins.objectives.rws import Rws

CATALOGUE = load_catalogue()
GIVEN = {
    "dataset": "linear_gaussian[train=50]",
    "prior": "standard_normal",
    "posterior": "gaussian[hidden=8]",
    "decoder": "linear_gaussian",
}


def noise():
    return Stream.seeded(0, dtype=torch.float64)


def gradients(value, module):
    return torch.autograd.grad(
        value.sum(), list(module.parameters()), retain_graph=True, materialize_grads=True
    )


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_the_model_follows_the_importance_weighted_bound_of_the_same_samples(linear_model, points, weight):
    model = linear_model(prior="mixture[components=3]")
    found = Own()(Rws(samples=6), model, points, noise(), weight)
    bound = Iwae(samples=6)(Terms(model, points, noise(), 6, pathwise=False), weight)
    torch.testing.assert_close(found.bound, bound)
    for part in (model.prior, model.decoder):
        torch.testing.assert_close(gradients(found.surrogate, part), gradients(bound, part))


def test_the_posterior_follows_the_scores_by_their_shares(linear_model, points):
    model = linear_model()
    found = Own()(Rws(samples=6), model, points, noise())
    terms = Terms(model, points, noise(), 6, pathwise=False)
    w = terms.log_w().exp().detach()
    scores = (w / w.sum(0) * terms.log_q).sum(0)
    torch.testing.assert_close(
        gradients(found.surrogate, model.posterior), gradients(scores, model.posterior)
    )


@pytest.mark.statistical("the posterior's gradient with 0", "of the 20,000 draws")
def test_at_the_true_posterior_its_gradient_is_the_mean_score(line, chance):
    """All shares are 1 / K there: the gradient is not 0, as that of `stl`, but it is so on average."""
    w = line.model.decoder.weight.item()
    with torch.no_grad():
        line.model.posterior.weights[0] = w * line.x / (1 + w**2)
        line.model.posterior.weights[1] = -0.5 * math.log(1 + w**2)
    chance.agrees(line.gradients(Rws(samples=3), Own(), 20_000)[:, :2], 0.0)


@pytest.mark.statistical("0 and the posterior's gradient in log s, in order", "of the 4,000 draws")
def test_it_widens_a_posterior_that_is_too_narrow_and_centred(line, chance):
    """KL(p || q) falls as q covers p: the gradient in log s is E_p[(z - m)^2] / s^2 - 1 > 0 as K grows."""
    w = line.model.decoder.weight.item()
    with torch.no_grad():
        line.model.posterior.weights[0] = w * line.x / (1 + w**2)
        line.model.posterior.weights[1] = -0.5 * math.log(1 + w**2) - 0.3
    found = line.gradients(Rws(samples=50), Own(), 4000)[:, 1]
    chance.ordered(0.0, found.mean(), found.std() / len(found) ** 0.5)


@pytest.mark.parametrize(
    ("objective", "estimator", "lacking"),
    [
        ("rws", "pathwise", "objective 'rws' requires estimator.own"),
        ("rws", "score", "objective 'rws' requires estimator.own"),
        ("elbo", "own", "estimator 'own' requires objective.surrogate"),
        ("rws", "own", None),
    ],
)
def test_it_is_trained_by_its_own_surrogate_alone(objective, estimator, lacking):
    refs = {kind: Ref.parse(name) for kind, name in GIVEN.items()}
    refs |= {"objective": Ref(objective), "estimator": Ref(estimator)}
    combination, data = Combination(refs, 2), CATALOGUE.build("dataset", GIVEN["dataset"]).load()
    reason = refusal(data, build(CATALOGUE, combination, data, seed=0), combination)
    assert reason is None if lacking is None else reason.startswith(lacking)


def test_it_is_measured_with_no_other_estimator():
    catalogue, combination = combine(CATALOGUE, {**GIVEN, "objective": "rws"}, None, 2)
    assert str(combination["estimator"]) == "own"
    data = catalogue.build("dataset", combination["dataset"]).load()
    parts = build(catalogue, combination, data, seed=0)
    provided = capabilities(data, parts, measured=True)
    assert list(applicable_estimators(catalogue, parts, data, provided, combination["estimator"])) == ["own"]
