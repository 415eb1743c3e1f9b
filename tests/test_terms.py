"""The terms of one draw."""

import pytest
import torch

from lvmbench import DataSummary, LatentVariableModel, Stream, Terms
from lvmbench.noise import Recorder
from lvmbench.registry.loader import load_catalogue

CATALOGUE = load_catalogue()
PARTS = (("posterior", "gaussian[hidden=8]"), ("decoder", "linear_gaussian"))
X = torch.tensor([[0.0, 1.0, 2.0], [1.0, -1.0, 0.5]])


@pytest.fixture
def model():
    data = DataSummary((3,), "real", torch.zeros(3))
    prior = CATALOGUE.build("prior", "standard_normal", data, 2)
    posterior = CATALOGUE.build("posterior", "gaussian[hidden=8]", data, prior.space)
    return LatentVariableModel(
        prior, posterior, CATALOGUE.build("decoder", "linear_gaussian", data, prior.space)
    )


def terms(model, samples=4, **options):
    return Terms(model, X, Stream.seeded(0), samples, **options)


def test_terms_are_the_densities_of_one_and_the_same_draw(model):
    drawn = terms(model)
    z = drawn.z
    torch.testing.assert_close(drawn.log_q, model.q(X).log_prob(z))
    torch.testing.assert_close(drawn.log_prior + drawn.log_likelihood, model.log_joint(X, z))
    torch.testing.assert_close(drawn.log_w(), model.log_joint(X, z) - drawn.log_q)
    torch.testing.assert_close(drawn.log_w(0.0), drawn.log_likelihood)


def test_nothing_is_drawn_before_it_is_needed_or_twice(model):
    recorder = Recorder(Stream.seeded(0))
    drawn = Terms(model, X, recorder, 4)
    drawn.kl(analytic=True)
    assert recorder.demand.normals == 0
    for _ in range(2):
        drawn.log_w()
    assert recorder.demand.normals == 4 * 2 * 2


def test_samples_carry_gradients_only_if_pathwise(model):
    assert terms(model).z.requires_grad
    score = terms(model, pathwise=False)
    assert not score.z.requires_grad
    assert score.log_q.requires_grad
    torch.testing.assert_close(score.z, terms(model).z)
    torch.testing.assert_close(score.log_w(), terms(model).log_w())


@pytest.mark.parametrize("asked_before", [True, False])
def test_leave_one_out_is_everything_but_one_sample(model, asked_before):
    drawn = terms(model)
    if asked_before:
        drawn.log_w()
    rest = drawn.leave_one_out()
    assert len(rest) == 4
    for k, other in enumerate(rest):
        keep = [i for i in range(4) if i != k]
        assert other.samples == 3
        assert torch.equal(other.z, drawn.z[keep])
        assert torch.equal(other.log_w(), drawn.log_w()[keep])
        assert torch.equal(other.kl(), (drawn.log_q - drawn.log_prior)[keep].mean(0))
        assert torch.equal(other.kl(analytic=True), drawn.kl(analytic=True))
    assert drawn.samples == 4
    assert drawn.z.shape[0] == 4


def test_terms_of_draws_are_taken_with_their_samples():
    """Whether they were asked for before or not."""
    data = DataSummary((3,), "real", torch.zeros(3))
    prior = CATALOGUE.build("prior", "mixture[components=3]", data, 2)
    parts = [CATALOGUE.build(kind, name, data, prior.space) for kind, name in PARTS]
    drawn = Terms(LatentVariableModel(prior, *parts), torch.randn(5, 3), Stream.seeded(0), 4, fixed=True)
    late = torch.cat([one.kl_of_draws for one in drawn.singles()])
    torch.testing.assert_close(late, drawn.kl_of_draws)
    torch.testing.assert_close(torch.cat([one.kl_of_draws for one in drawn.singles()]), late)
    torch.testing.assert_close(drawn.along(torch.ones(4, 5)).kl_of_draws, late)
