"""Particles against linear dynamics, whose log p(x) the Kalman smoother knows."""

import pytest
import torch

from lvmbench import Data, Split, Subject, Workload
from lvmbench.errors import UserError
from lvmbench_plugins.evaluators.particle import Particle
from lvmbench_plugins.objectives.elbo import Elbo
from tests.plugins.sequences import CATALOGUE, LENGTHS, model, sequences


def subject(posterior="filtering[hidden=8]", prior="linear_dynamics", copies=10, seed=0):
    torch.manual_seed(0)  # of the initial weights
    built = model(prior, posterior).float().eval()
    x = sequences(lengths=copies * LENGTHS)
    data = Data(
        dict.fromkeys(("train", "validation", "test"), Split(x, missing=torch.nan)),
        "real",
        "s",
        sequence=True,
    )
    provides = frozenset(f"model.{name}" for name in built.provides)
    return Subject(built, Elbo(), {}, data, seed=seed, provides=provides)


def measure(subject, **options):
    with torch.no_grad():
        found = Particle(**options).evaluate(subject)
    return {(m.metric, m.method, *filter(None, [m.variant])): m for m in found}


@pytest.mark.parametrize("proposal", ["posterior", "prior"])
@pytest.mark.statistical("log p(x) by particles with that of the Kalman smoother", "the stated error")
def test_the_density_is_that_of_the_kalman_smoother(chance, proposal):
    found = measure(subject(seed=chance.seed), particles=512, proposal=proposal)
    exact = found["log_likelihood", "exact"]
    ours = found["log_likelihood", {"posterior": "particles", "prior": "bootstrap"}[proposal]]
    assert (exact.stderr, found["particle_spread", ours.method].stderr) == (0, None)
    assert ours.stderr < 0.1
    chance.within(ours.value, exact.value, ours.stderr)


@pytest.mark.statistical("the mean log of sweeps of 2, 8 and 32 particles, and log p(x)", "the stated error")
def test_the_bound_rises_to_the_density_and_its_spread_falls(chance):
    """Of particles that follow the prior: their weights are bounded; an untrained posterior may lead far."""
    options = {"proposal": "prior", "repeats": 50}
    found = [measure(subject(seed=chance.seed), particles=n, **options) for n in (2, 8, 32)]
    exact = found[0]["log_likelihood", "exact"].value
    bounds = [each["particle_bound", "bootstrap"] for each in found]
    values = torch.tensor([bound.value for bound in bounds] + [exact])
    errors = torch.tensor([bound.stderr for bound in bounds] + [0.0])
    chance.ordered(values[:-1], values[1:], (errors[1:].square() + errors[:-1].square()).sqrt())
    spreads = [each["particle_spread", "bootstrap"].value for each in found]
    assert spreads == sorted(spreads, reverse=True)


def test_with_the_true_posterior_and_no_resampling_each_sweep_is_exact():
    found = measure(subject("exact"), particles=2, resampling="never")
    for metric in ("log_likelihood", "particle_bound"):
        assert found[metric, "particles"].value == pytest.approx(
            found["log_likelihood", "exact"].value, abs=1e-4
        )
    assert found["particle_spread", "particles"].value < 1e-4


def test_where_nothing_is_exact_it_says_nothing_of_it():
    assert ("log_likelihood", "exact") not in measure(subject(prior="markov[hidden=8]"), particles=2)


def test_figures_are_of_each_sequence_and_of_all_that_were_asked_for():
    some = measure(subject(), particles=2, data=7)["particle_bound", "particles"]
    assert some.per_datum is None
    assert measure(subject(), particles=2)["particle_bound", "particles"].per_datum.shape == (40,)


def test_figures_per_step_are_totals_over_all_steps():
    found = measure(subject(), particles=2)
    for name in ("particle_bound", "log_likelihood"):
        whole, each = found[name, "particles"], found[name, "particles", "per_step"]
        assert each.value == pytest.approx(whole.value * len(LENGTHS) / sum(LENGTHS))


def test_the_cost_is_that_of_all_sweeps():
    work = Workload(Elbo(), {}, {"test": 100})
    assert Particle(particles=8, repeats=3, data=50).evaluations(work) == 50 * 8 * 3


@pytest.mark.parametrize(
    "options", ["particles=0", "repeats=1", "threshold=0", "threshold=1.1", "resampling=no"]
)
def test_bad_options_are_refused_in_one_line(options):
    with pytest.raises(UserError, match=options.split("=")[0]) as raised:
        CATALOGUE.build("evaluator", f"particle[{options}]")
    assert "\n" not in str(raised.value)
