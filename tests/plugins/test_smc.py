"""The sequential Monte Carlo bound against the bounds that it is at its ends, and what it refuses."""

import pytest
import torch

from lvmbench import Refusal, Stream, Terms
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.parts import build as parts
from lvmbench.combinations.requirements import refusal
from lvmbench.errors import UserError
from lvmbench.noise import Recorder
from lvmbench.registry.names import Ref
from tests.plugins.sequences import CATALOGUE, PRIORS, model, sequences

priors = pytest.mark.parametrize("prior", PRIORS)
RESAMPLED = (
    "smc[resampling=always]",
    "smc[resampling=ess,threshold=1]",
    "smc[resampling=always,scheme=systematic]",
)


def build(name):
    return CATALOGUE.build("objective", name)


def noise(*words):
    return Stream.seeded(0, *words, dtype=torch.float64)


def followed(estimator, objective, built, x):
    """The bound, and the gradient that training follows."""
    built.zero_grad()
    found = CATALOGUE.build("estimator", estimator)(build(objective), built, x, noise())
    found.surrogate.sum().backward()
    return found.bound, {name: w.grad.clone() for name, w in built.named_parameters() if w.grad is not None}


@priors
def test_without_resampling_it_is_the_importance_weighted_bound(prior):
    """On the same noise, and so is its gradient."""
    built, x = model(prior, "filtering"), sequences()
    one = followed("own", "smc[resampling=never]", built, x)
    other = followed("pathwise", "iwae[samples=4]", built, x)
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@priors
@pytest.mark.parametrize("smc", [name.replace("[", "[particles=1,") for name in RESAMPLED])
def test_of_one_particle_it_is_the_elbo(prior, smc):
    built, x = model(prior, "smoothing"), sequences()
    one, other = followed("own", smc, built, x), followed("pathwise", "elbo", built, x)
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("smc", RESAMPLED)
def test_the_bound_that_is_reported_is_that_of_training(smc):
    built, x, objective = model("recurrent[hidden=8]", "filtering"), sequences(), build(smc)
    found = objective.estimate(built, x, noise(), 0.3).bound
    assert torch.equal(found, objective(Terms(built, x, noise(), 4), 0.3))
    assert not torch.equal(found, build("iwae[samples=4]")(Terms(built, x, noise(), 4), 0.3))


def test_as_many_random_numbers_whatever_the_weights_and_lengths():
    """Also where the weights decide whether to resample."""
    built, objective = model("markov[hidden=8]", "filtering"), build("smc")

    def demand(x):
        recorder = Recorder(noise())
        objective.estimate(built, x, recorder)
        return recorder.demand

    assert demand(sequences()) == demand(9 * sequences()) == demand(sequences(lengths=(1, 5, 1, 1)))


def test_a_kept_gradient_differs_from_a_dropped_one_by_the_score_of_the_ancestors():
    built, x = model("markov[hidden=8]", "filtering"), sequences()
    dropped = followed("own", "smc[resampling=always]", built, x)
    kept = followed("own", "smc[resampling=always,gradient=kept]", built, x)
    torch.testing.assert_close(kept[0], dropped[0])
    assert any((kept[1][name] - dropped[1][name]).abs().max() > 1e-3 for name in kept[1])
    few = [followed("own", f"smc[particles=1,gradient={g}]", built, x) for g in ("kept", "dropped")]
    torch.testing.assert_close(*few)


@pytest.mark.parametrize(
    ("options", "unbiased"),
    [
        ("resampling=never", True),
        ("resampling=always", False),
        ("resampling=always,gradient=kept", True),
        ("resampling=ess,gradient=kept", False),
    ],
)
def test_it_says_where_its_gradient_is_unbiased(options, unbiased):
    offered = frozenset(f"objective.{word}" for word in build(f"smc[{options}]").provides)
    assert CATALOGUE.build("estimator", "own").is_unbiased(offered) == unbiased


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("particles=0", "particles"),
        ("threshold=0", "threshold"),
        ("threshold=1.5", "threshold"),
        ("gradient=kept,scheme=systematic", "use scheme=multinomial"),
    ],
)
def test_bad_options_are_refused_in_one_line(options, reason):
    with pytest.raises((UserError, Refusal), match=reason) as raised:
        build(f"smc[{options}]")
    assert "\n" not in str(raised.value)


def test_data_that_are_no_sequences_are_refused_before_training():
    given = {"dataset": "linear_gaussian[train=50]", "prior": "standard_normal", "posterior": "gaussian"}
    given |= {"decoder": "linear_gaussian", "objective": "smc", "estimator": "own"}
    combination = Combination({kind: Ref.parse(name) for kind, name in given.items()}, 2)
    data = CATALOGUE.build("dataset", given["dataset"]).load()
    reason = refusal(data, parts(CATALOGUE, combination, data, seed=0), combination)
    assert reason.startswith("objective 'smc' requires prior.steps")
