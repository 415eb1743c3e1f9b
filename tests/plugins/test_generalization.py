"""The generalisation gap of linear-Gaussian models, whose log p(x) is known, and of binarised images."""

from dataclasses import replace

import pytest
import torch

import lvmbench
from lvmbench import Data, Split, Stream, Subject
from lvmbench_plugins.evaluators._common import training_data
from lvmbench_plugins.evaluators.generalization import Generalization
from lvmbench_plugins.objectives.elbo import Elbo

ROUNDING = 1e-4


@pytest.fixture
def subject(linear_model):
    """A model with 40 training data of its own, and 30 others further out."""
    model = linear_model().float().eval()
    x = model.generate(Stream.seeded(1), 70)
    others = Split(x[40:] * 1.5)
    data = Data({"train": Split(x[:40]), "validation": others, "test": others}, "real", "none")
    return Subject(model, Elbo(), {}, data, seed=0, provides=frozenset({"model.exact_posterior"}))


def gaps(evaluator, subject):
    return {(m.variant, m.method): m for m in evaluator.evaluate(subject)}


def closed_forms(model, x):
    """The mean log p(x) and ELBO: log p(x) less the divergence from the true posterior."""
    q, truth = model.q(x), model.exact_posterior(x)
    ours = torch.distributions.MultivariateNormal(q.loc, torch.diag_embed((2 * q.log_scale).exp()))
    theirs = torch.distributions.MultivariateNormal(truth.loc, scale_tril=truth.scale_tril)
    log_p = model.exact_log_prob(x)
    return log_p.mean(), (log_p - torch.distributions.kl_divergence(ours, theirs)).mean()


@torch.no_grad()
def due(subject):
    """The differences of log p(x) and of the ELBO, and of the gap between the two."""
    seen, others = (closed_forms(subject.model, subject.values(name)) for name in ("train", subject.split))
    log_p, elbo = (one.item() - other.item() for one, other in zip(seen, others, strict=True))
    return {"log_likelihood": log_p, "elbo": elbo, "gap": log_p - elbo}


def test_of_log_p_it_is_exact_where_that_is_known(subject):
    found = gaps(Generalization(samples=10), subject)
    exact = found["log_likelihood", "exact"]
    assert exact.value == pytest.approx(due(subject)["log_likelihood"], abs=ROUNDING)
    assert (exact.stderr, exact.value > 1) == (0.0, True)


@pytest.mark.statistical(
    "the gap of ELBO, log p(x) and their distance with closed forms", "stated", comparisons=3
)
def test_it_is_the_difference_of_means_over_two_splits(subject, chance):
    found = gaps(Generalization(samples=2000), replace(subject, seed=chance.seed))
    for (variant, method), truth in {
        (name, method): due(subject)[name]
        for name, method in (("elbo", ""), ("log_likelihood", "importance"), ("gap", "exact"))
    }.items():
        measured = found[variant, method]
        chance.within(measured.value, truth, measured.stderr, slack=ROUNDING)


def test_of_data_that_are_those_of_training_there_is_none(subject):
    found = gaps(Generalization(samples=10), replace(subject, split="train"))
    assert found["log_likelihood", "exact"].value == pytest.approx(0.0, abs=ROUNDING)


def test_at_most_so_many_data_are_taken(subject):
    few = Generalization(samples=10, data=5)
    train, _ = training_data(subject, subject.noise("generalization"), 5)
    assert train.shape == (5, 3)
    assert gaps(few, subject)["elbo", ""].value != gaps(Generalization(samples=10), subject)["elbo", ""].value


def test_training_data_are_as_visits_draw_them():
    """Grey images have no probability under pixels of zeros and ones: those of a visit have."""
    parts = {"prior": "standard_normal", "posterior": "gaussian[hidden=8]", "decoder": "bernoulli[hidden=8]"}
    fitted = lvmbench.fit(
        data="digits[binarize=dynamic,train=50]", objective="elbo", latent=2, epochs=1, batch=50, **parts
    )
    subject = fitted.subject()
    values, _ = training_data(subject, subject.noise("any"), 50)
    assert set(values.unique().tolist()) == {0.0, 1.0}
    frame = lvmbench.evaluate(fitted, "generalization[samples=10,data=20]").set_index("variant")["value"]
    assert frame["elbo"] == pytest.approx(frame["log_likelihood"] - frame["gap"], abs=1e-3)
