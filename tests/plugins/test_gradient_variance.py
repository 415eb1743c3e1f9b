"""Gradient variances against a one-dimensional model, where they are polynomials of normal moments."""

import dataclasses
import math

import pytest
import torch
from scipy import stats
from torch.func import vmap

import lvmbench
from lvmbench import (
    Data,
    DataSummary,
    DiagonalNormal,
    Estimate,
    Estimator,
    LatentVariableModel,
    Refusal,
    Split,
    Stream,
    Subject,
    Terms,
)
from lvmbench.checks.specimen import TOY
from lvmbench_plugins.decoders.linear_gaussian import LinearGaussian
from lvmbench_plugins.estimators.pathwise import Pathwise
from lvmbench_plugins.estimators.score import Score
from lvmbench_plugins.evaluators._gradients import Gradients, Group
from lvmbench_plugins.evaluators.gradient_variance import GradientVariance
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.objectives.iwae import Iwae
from lvmbench_plugins.posteriors.exact import Exact
from lvmbench_plugins.posteriors.gaussian import Gaussian
from lvmbench_plugins.priors.mixture import MixturePrior
from lvmbench_plugins.priors.standard_normal import StandardNormal

KURTOSIS = "stated; an excess kurtosis of up to 1 leaves two thirds of the degrees of freedom"
LOO = "score[baseline=leave_one_out]"
BOTH = {"pathwise": Pathwise(None, None), "score": Score(*TOY)}


class Frozen(Estimator):
    """The score gradient without its score: unbiased for the decoder, wrong for the posterior."""

    def forward(self, objective, model, x, noise, kl_weight=1.0):
        bound = objective(Terms(model, x, noise, objective.samples, pathwise=False), kl_weight)
        return Estimate(bound, bound)


class Biased(Frozen):
    """One that says so."""

    unbiased = False


class Noiseless(Estimator):
    """A surrogate with no noise but that of rounding."""

    def forward(self, objective, model, x, noise, kl_weight=1.0):
        value = model.q(x).mean.sum(-1) * (1 + 1e-7 * noise.normal(()))
        return Estimate(value, value)


class Landing(Estimator):
    """The pathwise gradient with the parameters of log q held fixed ("sticking the landing")."""

    def forward(self, objective, model, x, noise, kl_weight=1.0):
        terms = Terms(model, x, noise, objective.samples)
        fixed = DiagonalNormal(terms.q.loc.detach(), terms.q.log_scale.detach())
        bound = (terms.log_likelihood + terms.log_prior - fixed.log_prob(terms.z)).mean(0)
        return Estimate(bound, bound)


class Alone(Estimator):
    """The pathwise gradient, as of a part that cannot run inside vmap."""

    vectorizable = False
    forward = Pathwise.forward


def of(model, x, estimators, objective=None, seed=0):
    data = Data(dict.fromkeys(("train", "validation", "test"), Split(x)), "real", "none")
    return Subject(model, objective or Elbo(), estimators, data, seed=seed)


def mlp(estimators, posterior=Gaussian, prior=StandardNormal, objective=None, seed=0):
    """A model of 3 values from 2 latents with 12 data points."""
    torch.manual_seed(0)
    summary = DataSummary((3,), "real", torch.zeros(3))
    p = prior(summary, 2)
    model = LatentVariableModel(p, posterior(summary, p.space), LinearGaussian(summary, p.space, noise=0.7))
    return of(model, torch.randn(12, 3), estimators, objective, seed)


def measure(subject, **options):
    return {(m.metric, m.variant): m for m in GradientVariance(**options).evaluate(subject)}


X = torch.tensor([[2.0], [-1.0], [0.5]])


class Truth:
    """Means and variances of the gradients of one datum, with z = m + s e, e standard normal, and

    log p(x|z) - KL = L + p e + r e^2 where p = s w (x - w m) and r = -w^2 s^2 / 2.
    """

    def __init__(self, line, x):
        (m, log_s), w = line.model.posterior.weights.tolist(), line.model.decoder.weight.item()
        s, slope = math.exp(log_s), w * (x - w * m)
        kl = 0.5 * (m**2 + s**2 - 1) - log_s
        L = -0.5 * (x - w * m) ** 2 - 0.5 * math.log(2 * math.pi) - kl
        p, r = s * slope, -0.5 * (w * s) ** 2
        self.means = (slope - m, -((w * s) ** 2) - s**2 + 1)
        # d/dm = p / s + 2 r e / s - m; d/dlog s = p e + 2 r e^2 - s^2 + 1
        self.pathwise_parts = (2 * r / s) ** 2, p**2 + 2 * (2 * r) ** 2
        self.pathwise = sum(self.pathwise_parts)
        # (L + p e + r e^2) e / s and (L + p e + r e^2) (e^2 - 1), each plus a constant
        in_m = (L**2 + 3 * p**2 + 15 * r**2 + 6 * L * r - p**2) / s**2
        in_log_s = 2 * L**2 + 10 * p**2 + 78 * r**2 + 20 * L * r - (2 * r) ** 2
        self.score = in_m + in_log_s
        # d/dz = a + b e with log q held fixed; times 1 and s e
        a, b = slope - m, 1 / s - s * (w**2 + 1)
        self.landing = b**2 + (s * a) ** 2 + 2 * (s * b) ** 2
        # d/dw = (x - w z) z
        self.decoder = ((x - 2 * w * m) * s) ** 2 + 2 * (w * s**2) ** 2


GROUPS = 40
ANALYTIC = Elbo(kl="analytic")
"""The objective whose gradients `Truth` has."""


@pytest.fixture(scope="module")
def under():
    """What has been measured under each seed, by what it is of."""
    return {}


@pytest.fixture
def found(line, chance, under):
    if ("line", chance.seed) not in under:
        given = of(line.model, X, BOTH | {"landing": Landing()}, ANALYTIC)
        under["line", chance.seed] = measure(given, repeats=20_000, chunk=20_000 // GROUPS)
    return under["line", chance.seed]


def total(line, name):
    """The variance of the mean over the batch, whose data have independent noise."""
    return sum(getattr(Truth(line, x), name) for x in X.flatten().tolist()) / len(X) ** 2


@pytest.mark.parametrize("name", ["pathwise", "score", "landing"])
@pytest.mark.statistical("variances with their closed form", "stated, of 20,000 repeats", comparisons=2)
def test_variances_are_those_in_closed_form(line, found, name, proof, chance):
    for part, expected in (("posterior", total(line, name)), ("decoder", total(line, "decoder"))):
        figure = found["gradient_variance", f"{name}/{part}"]
        against = f"closed-form variance of the {name} gradient, {part}"
        proof("gradient variance", against, figure.value, expected, chance.allowed(figure.stderr))
        assert 0 < figure.stderr < 0.25 * figure.value, "too coarse to see a factor of two"


@pytest.mark.statistical("a ratio of variances with its closed form", "stated, of 20,000 repeats")
def test_ratio_is_that_in_closed_form(line, found, chance):
    ratio = found["gradient_variance_ratio", "score/pathwise"]
    chance.within(ratio.value, total(line, "score") / total(line, "pathwise"), ratio.stderr)
    assert 0 < ratio.stderr < 0.25 * ratio.value, "too coarse to see a factor of two"


@pytest.mark.parametrize("name", ["pathwise", "score", "landing"])
@pytest.mark.statistical("the norm of the mean with its closed form", "stated, of 40 groups of repeats")
def test_norm_of_the_mean_is_that_in_closed_form(line, found, name, chance):
    means = torch.tensor([Truth(line, x).means for x in X.flatten().tolist()]).mean(0)
    norm = found["gradient_norm", f"{name}/posterior"]
    chance.within(norm.value, means.norm(), norm.stderr, freedom=GROUPS - 1)
    assert 0 < norm.stderr < 0.2


def test_no_variance_is_left_at_the_true_posterior_where_log_q_is_held_fixed(line, proof):
    """Every draw of the gradient is zero there, up to rounding; the pathwise one still varies."""
    at_optimum(line)
    found = measure(of(line.model, X[:1], {"landing": Landing(), "pathwise": Pathwise(None, None)}))
    value = found["gradient_variance", "landing/posterior"].value
    proof("gradient variance", "STL at q = p(z given x)", value, 0.0, 1e-20)
    assert found["gradient_variance", "pathwise/posterior"].value > 0.1


@pytest.mark.parametrize("name", ["pathwise", "score"])
@pytest.mark.statistical("signal-to-noise ratios with their closed form", "stated, of 40 groups of repeats")
def test_signal_to_noise_is_that_in_closed_form(line, found, name, proof, chance):
    means = torch.tensor([Truth(line, x).means for x in X.flatten().tolist()]).mean(0)
    snr = found["gradient_snr", f"{name}/posterior"]
    truth = means.norm().item() / total(line, name) ** 0.5
    allowed = chance.allowed(snr.stderr, freedom=GROUPS - 1)
    proof("gradient signal-to-noise", f"closed form, {name}", snr.value, truth, allowed)
    assert 0 < snr.stderr < 0.1


def at_optimum(line, beside=0.0):
    """Put q at the true posterior of x = 2, or its mean beside it."""
    w = line.model.decoder.weight.item()
    best = torch.tensor([2 * w / (1 + w**2) + beside, -0.5 * math.log(1 + w**2)], dtype=torch.float64)
    line.model.posterior.weights.data.copy_(best)


def moments_of_ratios(truth, repeats):
    """The mean of the ratio where the mean gradient is zero, and how often it is clipped at 0:
    of 50,000 normal means.
    """
    z = Stream.seeded(0, "ratios").normal((50_000, 2)).square()
    e, s = truth.pathwise_parts
    excess = (z @ torch.tensor([e, s])) / (e + s) - 1
    return (excess.clamp(min=0) / repeats).sqrt().mean().item(), (excess < 0).float().mean().item()


@pytest.mark.statistical("40 ratios of no signal with their law", "of the 40; binomial", comparisons=2)
def test_signal_to_noise_has_no_floor(line, chance):
    """At a stationary point the mean is zero, and the plain ratio would read 0.14 at 50 repeats.

    Here it is near 0.05.
    """
    at_optimum(line)
    assert Truth(line, 2.0).means == pytest.approx((0, 0), abs=1e-6)
    estimators = {"pathwise": Pathwise(None, None)}
    runs = [measure(of(line.model, X[:1], estimators, ANALYTIC, s), repeats=50) for s in range(40)]
    values = torch.tensor([run["gradient_snr", "pathwise/posterior"].value for run in runs])
    mean, clipped = moments_of_ratios(Truth(line, 2.0), 50)
    chance.agrees(values, mean, slack=0.01)  # the law is that of many repeats
    chance.likely(stats.binomtest(int((values == 0).sum()), len(values), clipped).pvalue)


@pytest.mark.slow
@pytest.mark.statistical("the spread over 40 seeds with the stated error", KURTOSIS, comparisons=4)
def test_standard_errors_are_those_of_repeated_evaluation(chance):
    given = {"pathwise": Pathwise(None, None), LOO: Score(*TOY, baseline="leave_one_out")}
    runs = [measure(mlp(given, objective=Elbo(samples=3), seed=s), repeats=100, chunk=9) for s in range(40)]
    for key in (
        ("gradient_variance", f"{LOO}/posterior"),
        ("gradient_variance_ratio", f"{LOO}/pathwise"),
        ("gradient_snr", "pathwise/posterior"),
        ("gradient_snr", "pathwise/decoder"),
    ):
        values = torch.tensor([run[key].value for run in runs], dtype=torch.float64)
        stated = torch.tensor([run[key].stderr for run in runs], dtype=torch.float64)
        chance.spreads(values, stated, kurtosis=1.0)


@pytest.mark.statistical("the spread over 40 seeds with the stated error", KURTOSIS)
def test_standard_error_of_a_weak_signal_is_that_of_repeated_evaluation(line, chance):
    """Near the optimum it is the mean whose error counts; for the runs that state one."""
    at_optimum(line, beside=0.3)
    given = {"pathwise": Pathwise(None, None)}
    runs = [measure(of(line.model, X[:1], given, seed=s), repeats=200, chunk=9) for s in range(40)]
    snr = [run["gradient_snr", "pathwise/posterior"] for run in runs]
    values = torch.tensor([m.value for m in snr], dtype=torch.float64)
    stated = torch.tensor([m.stderr for m in snr if m.stderr is not None], dtype=torch.float64)
    assert 0 < values.mean() < 1  # weaker than its noise; how weak it is hangs on the datum
    assert len(stated) > 35
    chance.spreads(values, stated, kurtosis=1.0)


def test_error_of_a_ratio_near_zero_is_not_stated(line):
    """Student's t of 9 degrees is beyond 2 in 4% of evaluations:
    in more than 12 of 40 with a probability of 1e-9.
    """
    at_optimum(line, beside=0.0)
    given = {"pathwise": Pathwise(None, None)}
    runs = [measure(of(line.model, X[:1], given, seed=s), repeats=20) for s in range(40)]
    assert sum(run["gradient_snr", "pathwise/posterior"].stderr is not None for run in runs) <= 12


@pytest.mark.parametrize("size", [2, 3, 20])
@pytest.mark.statistical("a stated error with the spread of 400", "chi-squared, to 20%; kurtosis up to 1")
def test_error_of_a_variance_counts_the_groups_of_few(size, chance):
    """Normal gradients of 3 dimensions in 60 / size groups, 400 times."""
    draws = Stream.seeded(0, "groups").normal((400, 60 // size, size, 3))
    kept = vmap(vmap(lambda group: Group.of([group], [torch.zeros(3, 1)])))(draws)
    repeats = zip(*(part.unbind() for part in kept), strict=True)
    groups = [[*map(Group, *repeat)] for repeat in repeats]
    found = torch.tensor([Gradients.joined(repeat).variance for repeat in groups], dtype=torch.float64)
    chance.spreads(found[:, 0], found[:, 1], kurtosis=1.0, slack=0.2)


@pytest.mark.parametrize("options", [{"chunk": 1}, {"chunk": 7, "repeats": 203}, {"chunk": 1000}])
@pytest.mark.statistical("figures of two chunkings", "stated, each of 10 groups of repeats or more")
def test_chunks_change_nothing_but_the_draws(options, chance, under):
    if ("network", chance.seed) not in under:
        under["network", chance.seed] = measure(mlp(BOTH))
    one, other = measure(mlp(BOTH), **options), under["network", chance.seed]
    assert one.keys() == other.keys()
    pairs = [(m, other[key]) for key, m in one.items() if m.stderr is not None]
    found, due = (torch.tensor([m.value for m in figures]) for figures in zip(*pairs, strict=True))
    errors = torch.tensor([math.hypot(m.stderr, n.stderr) for m, n in pairs])
    chance.within(found, due, errors, freedom=18)


@pytest.mark.statistical("variances with and without a baseline, in order", "stated, of 200 repeats")
def test_leave_one_out_lies_between(chance):
    given = BOTH | {LOO: Score(*TOY, baseline="leave_one_out")}
    found = measure(mlp(given, objective=Iwae(samples=8)))
    score, loo = (found["gradient_variance_ratio", f"{name}/pathwise"] for name in ("score", LOO))
    chance.ordered(loo.value, score.value, math.hypot(loo.stderr, score.stderr))


@pytest.mark.parametrize("objective", [Elbo(samples=3), Elbo(samples=3, kl="sampled"), Iwae(samples=3)])
@pytest.mark.parametrize("prior", [StandardNormal, MixturePrior])
@pytest.mark.statistical("mean gradients of three estimators", "of 200 repeats, by Hotelling's F")
def test_unbiased_estimators_agree(prior, objective, chance):
    given = BOTH | {LOO: Score(*TOY, baseline="leave_one_out")}
    found = measure(mlp(given, prior=prior, objective=objective))
    pairs = [variant for metric, variant in found if metric == "gradient_agreement"]
    assert sorted(pairs) == sorted([f"{LOO}/pathwise", "score/pathwise", f"score/{LOO}"])
    chance.likely(*(found["gradient_agreement", pair].value for pair in pairs))
    assert all(found["gradient_disagreement", pair].value >= 0 for pair in pairs)


@pytest.mark.slow
@pytest.mark.statistical("40 levels of agreement with the uniform law", "exact, by Kolmogorov and Smirnov")
def test_agreement_is_uniform_where_means_agree(chance):
    values = [
        measure(mlp(BOTH, seed=seed), repeats=60)["gradient_agreement", "score/pathwise"].value
        for seed in range(40)
    ]
    chance.likely(stats.kstest(values, "uniform").pvalue)


def test_wrong_estimators_are_found_out():
    found = measure(mlp({"pathwise": Pathwise(None, None), "frozen": Frozen()}))
    assert found["gradient_agreement", "frozen/pathwise"].value < 1e-6
    assert found["gradient_disagreement", "frozen/pathwise"].value > 5


def test_biased_estimators_need_not_agree():
    found = measure(mlp({"pathwise": Pathwise(None, None), "biased": Biased()}), repeats=20)
    assert not [variant for metric, variant in found if metric == "gradient_agreement"]
    assert ("gradient_variance_ratio", "biased/pathwise") in found


def test_parts_without_parameters_are_left_out():
    found = measure(mlp(BOTH, posterior=Exact), repeats=20)
    parts = {variant for metric, variant in found if metric == "gradient_variance"}
    assert parts == {"pathwise/decoder", "score/decoder"}
    assert not [variant for metric, variant in found if metric == "gradient_variance_ratio"]
    assert ("gradient_variance", "pathwise/prior") in measure(mlp(BOTH, prior=MixturePrior), repeats=20)


def test_gradients_without_noise_have_no_ratios():
    found = measure(mlp({"pathwise": Noiseless(), "other": Noiseless()}), repeats=20)
    assert {metric for metric, _ in found} == {"gradient_variance", "gradient_norm"}
    assert all(m.value < 1e-10 for (metric, _), m in found.items() if metric == "gradient_variance")


def test_loop_and_vmap_agree():
    """One name, hence one noise: equal up to rounding."""
    together, alone = (measure(mlp({"pathwise": e}), repeats=30) for e in (Pathwise(None, None), Alone()))
    assert together.keys() == alone.keys()
    for key, figure in together.items():
        assert alone[key].value == pytest.approx(figure.value, rel=1e-3)


def test_runs_under_no_grad_and_leaves_the_model_alone():
    for estimator in (Pathwise(None, None), Alone()):
        subject = mlp({"pathwise": estimator})
        before = {name: value.clone() for name, value in subject.model.state_dict().items()}
        with torch.no_grad():
            assert measure(subject, repeats=20)
        assert all(torch.equal(value, before[name]) for name, value in subject.model.state_dict().items())
        assert all(parameter.grad is None for parameter in subject.model.parameters())


def test_every_metric_is_declared():
    found = measure(mlp(BOTH), repeats=200, largest=16, chunk=160)
    assert {metric for metric, _ in found} == set(GradientVariance.metrics)


def test_more_data_than_there_are_makes_no_difference():
    subject = mlp(BOTH)
    assert measure(subject, repeats=20, batch=12) == measure(subject, repeats=20, batch=500)
    fewer = measure(subject, repeats=20, batch=3)["gradient_variance", "pathwise/posterior"]
    assert fewer.value > measure(subject, repeats=20)["gradient_variance", "pathwise/posterior"].value


def test_values_that_are_not_finite_are_refused():
    subject = mlp(BOTH)
    subject.model.decoder.bias.data.fill_(math.nan)
    with pytest.raises(Refusal, match="gradient_variance of pathwise/posterior is not finite"):
        measure(dataclasses.replace(subject), repeats=20)


def test_estimators_are_those_that_suit_a_posterior_as_it_trains():
    """A relaxed one is measured as the discrete law that it stands for, but does not train with its draws."""
    fitted = lvmbench.fit(
        data="blobs",
        prior="bernoulli",
        posterior="relaxed[hidden=4]",
        decoder="gaussian[hidden=4]",
        objective="elbo[samples=3]",
        estimator="pathwise",
        epochs=1,
    )
    variants = {row["variant"] for row in fitted.measure("gradient_variance[repeats=20]")}
    assert any("pathwise" in variant for variant in variants)
    assert not any("rebar" in variant for variant in variants)
