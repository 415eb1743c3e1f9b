"""A prior that asks a network each time is asked once per step, and once per batch of an evaluation."""

from dataclasses import replace

import pytest
import torch

from lvmbench import DiagonalNormal, LatentSpace, LatentVariableModel, Mixture, Prior, Split, Stream, Subject
from lvmbench.combinations.parts import Parts
from lvmbench.combinations.requirements import capabilities
from lvmbench.registry.loader import load_catalogue
from lvmbench.training.learner import Learner

CATALOGUE = load_catalogue()
EVALUATORS = {
    "tightness[samples=50]": 1,
    "quadrature[side=9,rounds=3]": 1,
    "ais[temperatures=4,adaptation=4]": 1,
    "ais[temperatures=4,adaptation=4,start=posterior]": 1,
    "bdmc[temperatures=4,adaptation=4,data=8]": 2,  # to draw data, and for the one batch of them
    "gap_split[steps=60,samples=50]": 1,
    "gap_split[steps=60,samples=50,family=flow]": 1,
    "informativeness[samples=5]": 1,
    "bits_back[samples=5]": 2,  # the message, and the ELBO
    "imputation[rounds=3,fills=2,samples=5]": 1,
    "sample_quality[sets=3,neighbours=2,features=pixels]": 3,  # a batch for each set
    "cost[samples=5,repeats=2]": 3,  # a batch for each repeat
    "clustering[starts=1]": 1,
}
"""How often each asks, with all data in one batch."""


class Asking(Prior):
    """A mixture of the posteriors of made-up data, as in the VampPrior,
    which counts how often it is asked.
    """

    distribution = Mixture[DiagonalNormal]

    def __init__(self, shape):
        super().__init__()
        self.pseudo = torch.nn.Parameter(torch.rand(4, *shape))
        self.calls = 0

    @property
    def space(self):
        return LatentSpace((2,))

    def forward(self, model):
        self.calls += 1
        return Mixture(self.pseudo.new_zeros(4), model.posterior(self.pseudo, model))


@pytest.fixture(scope="module")
def digits():
    data = CATALOGUE.build("dataset", "digits").load()
    few = {name: Split(part.x[:40], part.labels[:40]) for name, part in data.splits.items()}
    return replace(data, splits=few)


def parts_of(data, objective="elbo", estimator="pathwise", posterior="gaussian[hidden=8]"):
    torch.manual_seed(0)
    prior = Asking(data.summary.event_shape)
    q = CATALOGUE.build("posterior", posterior, data.summary, prior.space)
    decoder = CATALOGUE.build("decoder", "bernoulli[hidden=8]", data.summary, prior.space)
    model = LatentVariableModel(prior, q, decoder)
    built = CATALOGUE.build("estimator", estimator, data.summary, prior.space)
    return Parts(model, CATALOGUE.build("objective", objective), built)


@pytest.mark.parametrize("training", [True, False], ids=["training", "validation"])
@pytest.mark.parametrize(
    ("objective", "estimator"),
    [
        ("elbo", "pathwise"),
        ("elbo[samples=2,free_bits=0.1]", "stl"),
        ("elbo[samples=2]", "score[baseline=leave_one_out]"),
        ("iwae[samples=3]", "dreg"),
        ("iwae[samples=3]", "vimco"),
        ("info", "pathwise"),
    ],
)
def test_a_step_asks_once(digits, objective, estimator, training):
    parts = parts_of(digits, objective, estimator)
    learner = Learner(parts).train(training)
    learner.estimate(digits.splits["train"].values[:5], Stream.seeded(0, dtype=torch.float32), 1.0, training)
    assert parts.model.prior.calls == 1


@pytest.mark.parametrize(("evaluator", "calls"), EVALUATORS.items())
def test_an_evaluation_asks_once_for_each_batch(digits, evaluator, calls):
    parts = parts_of(digits)
    parts.ready(torch.device("cpu"))
    provides = capabilities(digits, parts, measured=True)
    built = CATALOGUE.build("evaluator", evaluator)
    assert built.requires <= provides
    subject = Subject(parts.model, parts.objective, {}, digits, seed=0, provides=provides)
    assert list(built.evaluate(subject))
    assert parts.model.prior.calls == calls
