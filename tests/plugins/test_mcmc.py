"""The model trained at the end of chains: what each part follows, and where the chains come to."""

import math

import pytest
import torch

import lvmbench
from lvmbench import DataSummary, LatentVariableModel, Stream, Terms
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.parts import build
from lvmbench.combinations.requirements import refusal
from lvmbench.kernels.hmc import FIRST
from lvmbench.options import OptionError
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref
from lvmbench_plugins.estimators.own import Own
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.objectives.mcmc import Mcmc

CATALOGUE = load_catalogue()
F64 = torch.float64
KERNELS = ("hmc", "l2hmc")
each_kernel = pytest.mark.parametrize("kernel", KERNELS)


def noise(seed=0):
    return Stream.seeded(seed, dtype=F64)


def built(prior, posterior):
    """A model of three values and two latents."""
    data = DataSummary((3,), "real", torch.tensor([0.5, -1.0, 2.0]), size=50)
    p = CATALOGUE.build("prior", prior, data, 2)
    q = CATALOGUE.build("posterior", posterior, data, p.space)
    return LatentVariableModel(p, q, CATALOGUE.build("decoder", "linear_gaussian", data, p.space)).double()


def prepared(model, x, **options):
    """The objective with its kernel, whose learned steps are away from the ordinary ones."""
    torch.manual_seed(0)
    objective = Mcmc(hidden=8, **options)
    objective.prepare(DataSummary(tuple(x.shape[1:]), "real", x.mean(0)), model.prior.space)
    with torch.no_grad():
        for weight in objective.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return objective.double()


def gradients(value, module):
    weights = [w for w in module.parameters() if w.requires_grad]
    return torch.autograd.grad(value.sum(), weights, retain_graph=True, materialize_grads=True)


@each_kernel
@pytest.mark.parametrize(
    ("prior", "posterior"),
    [
        ("standard_normal", "gaussian[hidden=8]"),
        ("standard_normal", "semi_amortized[hidden=8,steps=2]"),
        ("vamp[components=3]", "gaussian[hidden=8]"),
    ],
)
def test_the_posterior_follows_the_elbo(points, kernel, prior, posterior):
    """Also where it reads the model, or the prior is made of it."""
    model = built(prior, posterior)
    found = Own()(prepared(model, points, kernel=kernel, samples=3), model, points, noise(), 0.3)
    elbo = Elbo(samples=3)(Terms(model, points, noise(), 3), 0.3)
    torch.testing.assert_close(found.bound, elbo)
    torch.testing.assert_close(gradients(found.surrogate, model.posterior), gradients(elbo, model.posterior))


@each_kernel
@pytest.mark.statistical("the model's gradient with that of log p(x)", "of the 2,000 draws")
def test_at_the_end_of_a_chain_the_model_follows_log_p(line, chance, kernel):
    """By Fisher's identity the mean over p(z|x) of the gradient of log p(x, z) is that of log p(x), which is
    N(x; 0, 1 + w^2). A posterior about 0 is not near the truth, nor its ELBO's gradient near this one.
    """
    w = line.model.decoder.weight.item()
    with torch.no_grad():
        line.model.posterior.weights[0] = 0
    objective = prepared(line.model, torch.full((1, 1), line.x), kernel=kernel, chain=8, leapfrogs=3).eval()
    steps = objective.chains.log_step if kernel == "hmc" else objective.chains.steps.log_step.data
    steps.fill_(math.log(0.5))  # long enough to forget within the chain
    truth = w * line.x**2 / (1 + w**2) ** 2 - w / (1 + w**2)
    assert abs(truth - line.gradient[2]) > 0.5
    chance.agrees(line.gradients(objective, Own(), 2000)[:, 2], truth, slack=0.01)


def test_step_sizes_are_found_for_each_datum_while_training(linear_model, points):
    """Those that data have in common come to what is accepted as it should be, and stay there afterwards."""
    model = linear_model()
    objective = prepared(model, points, chain=4, leapfrogs=3)
    first = objective.chains.log_step.clone()
    assert first.exp().item() == pytest.approx(FIRST)
    objective.eval()
    objective.estimate(model, points, noise())
    assert torch.equal(objective.chains.log_step, first)
    objective.train()
    stream = noise()
    for _ in range(30):
        objective.estimate(model, points, stream)
    assert objective.chains.log_step.exp() > 1.5 * FIRST


def test_the_kernel_learns_from_its_jumps_alone(linear_model, points):
    model = linear_model()
    objective = prepared(model, points, kernel="l2hmc", chain=2, leapfrogs=2)
    optimizer, stream, jumps = torch.optim.Adam(objective.parameters(), 1e-2), noise(), []
    for _ in range(30):
        surrogate = Own()(objective, model, points, stream).surrogate
        optimizer.zero_grad()
        (-surrogate.mean()).backward()
        optimizer.step()
        jumps.append(objective.chains.steps.log_step.item())
    assert jumps[-1] > jumps[0]


GIVEN = {"dataset": "digits", "posterior": "gaussian", "decoder": "bernoulli", "prior": "standard_normal"}


@pytest.mark.parametrize(
    ("parts", "lacking"),
    [
        ({"prior": "bernoulli", "posterior": "relaxed"}, "requires prior.real, which prior 'bernoulli'"),
        ({"prior": "bernoulli", "posterior": "bernoulli"}, "requires posterior.pathwise"),
        ({"posterior": "dlgmm"}, "requires posterior.pathwise"),
        ({}, None),
    ],
)
@each_kernel
def test_it_takes_real_latents_and_posteriors_with_a_path(kernel, parts, lacking):
    refs = {kind: Ref.parse(name) for kind, name in {**GIVEN, **parts}.items()}
    refs |= {"objective": Ref("mcmc", {"kernel": kernel}), "estimator": Ref("own")}
    combination, data = Combination(refs, 2), CATALOGUE.build("dataset", GIVEN["dataset"]).load()
    reason = refusal(data, build(CATALOGUE, combination, data, seed=0), combination)
    assert reason is None if lacking is None else lacking in reason


@pytest.mark.parametrize("option", ["chain", "leapfrogs", "samples"])
def test_no_transitions_and_no_steps_are_refused(option):
    with pytest.raises(OptionError, match=f"option '{option}' should be greater than or equal to 1, got 0"):
        CATALOGUE.build("objective", f"mcmc[{option}=0]")


def log_p(objective, seed):
    """The mean log p(x) of held-out digits after 420 steps of training."""
    fitted = lvmbench.fit(
        data="digits",
        prior="standard_normal",
        posterior="gaussian[hidden=64]",
        decoder="bernoulli[hidden=64]",
        objective=objective,
        latent=16,
        seed=seed,
        epochs=30,
        batch=100,
        learning_rate=2e-3,
        patience=0,
    )
    rows = fitted.measure("tightness[samples=500]")
    return next(row["value"] for row in rows if row["metric"] == "log_likelihood")


@pytest.mark.slow
@pytest.mark.statistical(
    "log p(x) of models trained by either, in order", "0.04 over three seeds, measured; taken as 0.1"
)
def test_the_model_is_better_than_the_one_that_the_elbo_trains(chance):
    """Hoffman's claim, at equal steps and with the same posterior: by 0.95 nats, though that is measured by
    importance sampling with a posterior that is further from the truth here, and so comes out too low.
    """
    seeds = range(3 * chance.seed, 3 * chance.seed + 3)
    found = [log_p("mcmc[chain=3,leapfrogs=4]", seed) - log_p("elbo", seed) for seed in seeds]
    chance.ordered(0.0, sum(found) / 3, 0.1 / 3**0.5)
