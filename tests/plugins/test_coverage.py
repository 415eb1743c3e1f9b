"""Every error that an evaluator states, against the one it makes:
over evaluations that differ in their seed alone.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import pytest
import torch

from lvmbench import (
    Data,
    DataSummary,
    DiagonalNormal,
    LatentVariableModel,
    Posterior,
    Split,
    Stream,
    Subject,
)
from lvmbench.checks.specimen import TOY
from lvmbench.registry.loader import load_catalogue
from lvmbench_plugins.decoders.bernoulli import BernoulliDecoder
from lvmbench_plugins.decoders.linear_gaussian import LinearGaussian
from lvmbench_plugins.estimators.pathwise import Pathwise
from lvmbench_plugins.estimators.score import Score
from lvmbench_plugins.evaluators._common import LogMean, standard_error
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.objectives.info import Info
from lvmbench_plugins.objectives.iwae import Iwae
from lvmbench_plugins.posteriors.gaussian import Gaussian
from lvmbench_plugins.posteriors.rejection import Rejection
from lvmbench_plugins.priors.mixture import MixturePrior
from lvmbench_plugins.priors.standard_normal import StandardNormal
from tests.plugins.sequences import model, sequences

CATALOGUE = load_catalogue()
REPEATS = 200
WITHIN, ERRORS = 1.2, 6.0
"""A stated error is within 20% of the true one, to 6 standard deviations of the logarithm
of their measured ratio.

If squared errors are those of a normal, that leaves a false alarm in ten million: of chi-squared with 200
degrees of freedom the root is that far below its mean with a probability of 2e-8, and above it with 4e-10.
"""
STATE_NOTHING = {"quadrature", "completion", "disentanglement", "cost"}


class Beside(Posterior):
    """A normal with independent coordinates, ``shift`` standard deviations beside the true posterior
    and ``width`` as wide.
    """

    distribution = DiagonalNormal

    def __init__(self, shift, width):
        super().__init__()
        self.shift, self.width = shift, width

    def forward(self, x, model):
        truth = model.exact_posterior(x)
        scale = truth.scale_tril.square().sum(-1).sqrt()
        return DiagonalNormal(truth.loc + self.shift * scale, (self.width * scale).log().expand_as(truth.loc))


def linear(shift=0.3, width=1.3, *, count=20, latent=2, values=(3,), noise=0.7, objective=None, knows=()):
    """A linear-Gaussian model and data drawn from it."""
    torch.manual_seed(0)
    summary = DataSummary(values, "real", torch.zeros(values))
    p = StandardNormal(summary, latent)
    decoder = LinearGaussian(summary, p.space, noise=noise)
    model = LatentVariableModel(p, Beside(shift, width), decoder).eval()
    x = model.generate(Stream.seeded(1, "data"), count)
    data = Data(dict.fromkeys(("train", "validation", "test"), Split(x)), "real", "none")
    return Subject(model, objective or Elbo(), {}, data, seed=0, provides=frozenset(knows))


def log_p(subject):
    return subject.model.exact_log_prob(subject.x).double().mean().item()


def elbo(subject):
    """log p(x) less the divergence from the true posterior, in closed form."""
    q, truth = subject.model.q(subject.x), subject.model.exact_posterior(subject.x)
    ours = torch.distributions.MultivariateNormal(q.loc, torch.diag_embed((2 * q.log_scale).exp()))
    theirs = torch.distributions.MultivariateNormal(truth.loc, scale_tril=truth.scale_tril)
    return log_p(subject) - torch.distributions.kl_divergence(ours, theirs).mean().item()


def gap(subject):
    return log_p(subject) - elbo(subject)


def drawn_log_p(found):
    """Of the data that this evaluation has drawn."""
    return found["log_likelihood", "simulated", "exact"].value


def hidden(subject):
    """log p(x_h|x_s) of the lower half, from the joint normal of x."""
    decoder, x = subject.model.decoder, subject.x.flatten(1)
    weight, bias = decoder.weight.flatten(0, -2), decoder.bias.flatten()
    covariance = weight @ weight.T + (2 * decoder.log_scale).exp() * torch.eye(x.shape[1])
    seen = slice(0, x.shape[1] // 2)

    def log_prob(keep):
        return torch.distributions.MultivariateNormal(bias[keep], covariance[keep][:, keep]).log_prob(
            x[:, keep]
        )

    return (log_prob(slice(None)) - log_prob(seen)).double().mean().item()


def mixture(count=20):
    """A prior whose divergence has no closed form."""
    subject = linear(count=count, knows={"posterior.density"})
    summary = DataSummary((3,), "real", torch.zeros(3))
    torch.manual_seed(0)
    prior = MixturePrior(summary, 2, components=2)
    model = LatentVariableModel(prior, Gaussian(summary, prior.space, hidden=8), subject.model.decoder).eval()
    return dataclasses.replace(subject, model=model)


def amortised(objective, **estimators):
    """A network as posterior, and gradients to take."""
    torch.manual_seed(0)
    subject = linear(count=6, objective=objective)
    summary = DataSummary((3,), "real", torch.zeros(3))
    prior, decoder = subject.model.prior, subject.model.decoder
    model = LatentVariableModel(prior, Gaussian(summary, prior.space, hidden=4), decoder).eval()
    return dataclasses.replace(subject, model=model, estimators=estimators)


def both_gradients():
    return amortised(Elbo(), pathwise=Pathwise(*TOY), score=Score(*TOY))


def sweep():
    return amortised(Iwae(samples=4), pathwise=Pathwise(*TOY))


def images(count=40):
    """Binary images of 4 by 4 from a model at its first weights, and the same model."""
    torch.manual_seed(0)
    summary = DataSummary((1, 4, 4), "binary", torch.full((1, 4, 4), 0.5))
    p = StandardNormal(summary, 2)
    parts = Gaussian(summary, p.space, hidden=8), BernoulliDecoder(summary, p.space, hidden=8)
    model = LatentVariableModel(p, *parts).eval()
    x = model.generate(Stream.seeded(1, "data"), count)
    data = Data(dict.fromkeys(("train", "validation", "test"), Split(x)), "binary", "none")
    return Subject(model, Elbo(), {}, data, seed=0, provides=frozenset({"dataset.binary", "dataset.image"}))


def proposing():
    """A posterior by rejection from the network's proposals."""
    subject = amortised(Elbo())
    prior, q, decoder = subject.model.prior, subject.model.posterior, subject.model.decoder
    by_rejection = Rejection(DataSummary((3,), "real", torch.zeros(3)), prior.space, base=q)
    return dataclasses.replace(subject, model=LatentVariableModel(prior, by_rejection, decoder).eval())


def steps():
    """Linear dynamics, whose log p(x) the Kalman smoother knows, and sequences of several lengths."""
    torch.manual_seed(0)
    built = model("linear_dynamics", "filtering[hidden=8]").float().eval()
    split = Split(sequences(lengths=(5, 5, 3, 1) * 5).float(), missing=torch.nan)
    data = Data(dict.fromkeys(("train", "validation", "test"), split), "real", "none", sequence=True)
    return Subject(built, Elbo(), {}, data, seed=0)


class Identity(Posterior):
    """q(z|x) = N(x, 1)."""

    distribution = DiagonalNormal

    def forward(self, x, model):
        return DiagonalNormal(x, torch.zeros(2))


def groups():
    """Points of four labelled groups that every method finds, of which the silhouettes differ."""
    group = torch.arange(4).repeat_interleave(15)
    corners = 10 * torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    x = corners[group] + Stream.seeded(2, "groups").normal((60, 2))
    summary = DataSummary((2,), "real", torch.zeros(2))
    p = StandardNormal(summary, 2)
    built = LatentVariableModel(p, Identity(), LinearGaussian(summary, p.space))
    data = Data(dict.fromkeys(("train", "validation", "test"), Split(x, group)), "real", "none")
    return Subject(built, Elbo(), {}, data, seed=0)


GRADIENTS = "gradient_variance gradient_norm gradient_variance_ratio"
SNR = "gradient_snr gradient_snr_slope"
SWEEP = "gradient_variance"
SAMPLES, SHARES = "squared_mmd two_sample_accuracy density", "precision recall coverage"


class Case(NamedTuple):
    """An evaluator, on what, the metrics whose error it states and those whose error it need not know.

    ``truth`` has what figures are held against by metric, from the subject, and ``drawn`` from what an
    evaluation has found, where it is of data that it draws; without either the true error is the standard
    deviation of the figures.
    """

    evaluator: str
    about: str
    subject: Callable[[], Subject]
    stated: str = ""
    unknown: str = ""
    truth: Mapping[str, Callable[[Subject], float]] = {}
    repeats: int = REPEATS
    slow: bool = False
    drawn: Mapping[str, Callable[[Mapping], float]] = {}


def sampled(shift=0.3, width=1.3, **options):
    return partial(linear, shift, width, **options)


EXACT = {"model.exact_posterior"}
KNOWN = {"elbo": elbo, "log_likelihood": log_p, "gap": gap, "approximation_gap": gap}
OF_Q, OF_P = "elbo bound", "log_likelihood gap"
LARGE = {"latent": 10, "values": (20,), "noise": 0.1**0.5, "count": 64}
NOTHING = {"generalization_gap": lambda subject: 0.0}
"""Where the training data are those that are measured."""
OF_X = {"log_likelihood": drawn_log_p}
OF_HIDDEN = {"hidden_log_likelihood[importance]": hidden}
ALL, SPLIT = f"{OF_Q} {OF_P}", f"elbo {OF_P} approximation_gap"
INFORMATION = "mutual_information mutual_information_upper marginal_kl"
FEW, SOME, MANY = (f"tightness[{o}]" for o in ("samples=2,repeats=2", "samples=20,repeats=10", "samples=50"))
ASCENT = "steps=1,rate=1e-9,temperatures=0"
NEAR, WIDE, NARROW = "q near the posterior", "q twice as wide", "q narrower"
BROAD, SHARP = "a broad posterior", "10 latents, 64 data"
FAR = "q 3 deviations off"
CASES = [
    Case(FEW, NEAR, sampled(), OF_Q, OF_P, KNOWN),
    Case(FEW, "two data", sampled(count=2), "", ALL, KNOWN),
    Case(FEW, "no closed divergence", partial(mixture, 40), OF_Q, OF_P),
    Case(SOME, NEAR, sampled(), ALL, "", KNOWN),
    Case(SOME, "log p(x) known", sampled(knows=EXACT), ALL, "", KNOWN, slow=True),
    Case(SOME, FAR, sampled(3.0, latent=4), OF_Q, OF_P, KNOWN),
    Case(SOME, "importance-weighted bound", sampled(objective=Iwae(samples=2)), ALL, "", KNOWN, slow=True),
    Case(SOME, "a bound that mixes data", sampled(objective=Info(scale=100.0)), ALL, "", KNOWN),
    Case(MANY, NARROW, sampled(width=0.8, count=200), ALL, "", KNOWN, slow=True),
    Case(MANY, WIDE, sampled(0.5, 2.0, count=200), ALL, "", KNOWN, slow=True),
    Case(
        "ais[temperatures=10,adaptation=5,leapfrogs=2]",
        BROAD,
        sampled(noise=3.0),
        "log_likelihood",
        "",
        KNOWN,
    ),
    Case("ais[temperatures=30,adaptation=10]", SHARP, sampled(**LARGE), "", "log_likelihood", KNOWN, 5),
    Case("ais[temperatures=30]", SHARP, sampled(**LARGE), "", "log_likelihood", KNOWN, 50, slow=True),
    Case("ais[temperatures=100]", SHARP, sampled(**LARGE), "", "log_likelihood", KNOWN, 50, slow=True),
    Case("ais[temperatures=300]", SHARP, sampled(**LARGE), "log_likelihood", "", KNOWN, 20, slow=True),
    Case(
        "bdmc[temperatures=300,data=50]",
        SHARP,
        sampled(**LARGE, knows=EXACT),
        "log_likelihood sandwich_gap",
        repeats=20,
        slow=True,
        drawn=OF_X,
    ),
    Case(
        "bdmc[temperatures=10,adaptation=5,leapfrogs=2,data=20]",
        "a very broad posterior",
        sampled(noise=6.0, knows=EXACT),
        "log_likelihood sandwich_gap",
        drawn=OF_X,
    ),
    Case(
        "bdmc[temperatures=10,adaptation=5,leapfrogs=2,data=10]",
        SHARP,
        sampled(**LARGE),
        "sandwich_gap",
        "log_likelihood",
        repeats=20,
    ),
    Case(f"gap_split[samples=20,{ASCENT}]", NEAR, sampled(count=10), SPLIT, "", KNOWN),
    Case(f"gap_split[samples=3,{ASCENT}]", NEAR, sampled(), "elbo", OF_P, KNOWN, 20),
    Case(
        "imputation[rounds=2,fills=3,samples=100]",
        NEAR,
        sampled(values=(1, 2, 2)),
        "hidden_log_likelihood",
        "",
        OF_HIDDEN,
    ),
    Case(
        "imputation[rounds=1,fills=1,samples=10]",
        "a sharp posterior",
        sampled(values=(1, 6, 2), noise=0.1),
        "",
        "hidden_log_likelihood",
        OF_HIDDEN,
        20,
    ),
    Case("informativeness[samples=5]", "no closed divergence", mixture, f"rate distortion {INFORMATION}"),
    Case(
        "informativeness[samples=5,pairs=1600]",
        "no closed divergence, half of the data held against all",
        partial(mixture, 40),
        f"rate distortion {INFORMATION}",
    ),
    Case("informativeness[samples=2]", NEAR, sampled(), "distortion"),
    Case("gradient_variance[repeats=20,batch=6]", "a network", both_gradients, GRADIENTS, SNR, slow=True),
    Case("gradient_variance[repeats=200,batch=6]", "a network", both_gradients, GRADIENTS, SNR, slow=True),
    Case(
        "gradient_variance[repeats=100,largest=16,batch=6]",
        "a network",
        sweep,
        SWEEP,
        f"gradient_norm {SNR}",
        slow=True,
    ),
    Case(
        "sample_quality[features=pixels,samples=20]", "images of 4 by 4", images, SAMPLES, SHARES, slow=True
    ),
    Case(
        "sample_quality[features=pixels,samples=20,sets=2]",
        "images of 4 by 4",
        images,
        "",
        f"{SAMPLES} {SHARES}",
        repeats=2,
    ),
    Case("generalization[samples=50]", NEAR, sampled(count=50), "generalization_gap", "", NOTHING),
    Case(
        "generalization[samples=20]",
        "log p(x) known",
        sampled(count=50, knows=EXACT),
        "generalization_gap",
        "",
        NOTHING,
        slow=True,
    ),
    Case("bits_back[samples=5,data=10]", "images of 4 by 4", images, "bits_per_dim"),
    Case("acceptance[samples=5]", "rejection", proposing, "proposals_accepted effective_proposals"),
    Case(
        "chains[chains=4,draws=8,adaptation=8,leapfrogs=2]",
        NEAR,
        sampled(count=6),
        "acceptance_rate",
        "ess_per_gradient split_r_hat",
        repeats=30,
    ),
    Case(
        "particle[particles=16,repeats=16]",
        "linear dynamics",
        steps,
        "log_likelihood particle_bound",
        "particle_spread",
        {"log_likelihood": log_p},
        repeats=30,
    ),
    Case("clustering[starts=1,compared=20]", "four groups", groups, "silhouette chance", slow=True),
    Case("quadrature[side=4]", NEAR, sampled(), "", "log_likelihood quadrature_error", repeats=2),
]


class Coverage(NamedTuple):
    """One figure's errors: how many evaluations state one, and which share that is.

    Of these evaluations: the true error, the root mean square of those stated, the standard deviation of the
    logarithm of their ratio, and how often the figure is within two of those stated.
    """

    count: int
    states: float
    true: float
    stated: float
    spread: float
    covered: float

    @classmethod
    def of(cls, off, stated):
        """From what each evaluation is off, and what it states, NaN for nothing."""
        some = stated.isfinite()
        square, said = off[some].square(), stated[some].square()
        relative = [a.std() / a.mean() / len(a) ** 0.5 for a in (square, said)] if some.sum() > 1 else [0.0]
        return cls(
            int(some.sum()),
            some.double().mean().item(),
            (square if some.any() else off.square()).mean().sqrt().item(),
            said.mean().sqrt().item(),
            0.5 * math.hypot(*relative),
            (square <= 4 * said).double().mean().item(),
        )

    @property
    def is_right(self):
        """Whether the stated error is the true one; few state one by chance only."""
        if self.count < 5:
            return self.states <= 0.1
        return abs(math.log(self.stated / self.true)) <= math.log(WITHIN) + ERRORS * self.spread

    @property
    def shown(self):
        """As in the table: how many state an error, the true one, the stated one,
        their ratio and the coverage.
        """
        if not self.states:
            return ["0%", f"{self.true:.2g}", "none", "", ""]
        return [
            f"{self.states:.0%}",
            f"{self.true:.2g}",
            f"{self.stated:.2g}",
            f"{self.stated / self.true:.2f}",
            f"{self.covered:.0%}",
        ]


def covered(case):
    """The coverage of each figure whose error is stated, or is said to be unknown."""
    subject, evaluator = case.subject(), CATALOGUE.build("evaluator", case.evaluator)
    seeds = (dataclasses.replace(subject, seed=seed) for seed in range(case.repeats))
    runs = [{(m.metric, m.variant, m.method): m for m in evaluator.evaluate(each)} for each in seeds]
    wanted = {*case.stated.split(), *case.unknown.split()}
    keys = {
        key
        for run in runs
        for key, m in run.items()
        # figures per step are those per datum, times a number
        if key[1] != "per_step" and (key[0] in wanted and key[1] != "real" or m.stderr is not None)
    }
    return {key: Coverage.of(*_columns(case, subject, key, runs)) for key in sorted(keys)}


def _columns(case, subject, key, runs):
    """What each evaluation is off, and what it states."""
    runs = [run for run in runs if key in run]
    values = torch.tensor([run[key].value for run in runs], dtype=torch.float64)
    errors = [run[key].stderr for run in runs]
    stated = torch.tensor([math.nan if error is None else error for error in errors], dtype=torch.float64)
    if drawn := case.drawn.get(key[0]):
        return values - torch.tensor([drawn(run) for run in runs], dtype=torch.float64), stated
    if truth := case.truth.get(f"{key[0]}[{key[2]}]", case.truth.get(key[0])):
        return values - truth(subject), stated
    return (values - values.mean()) * (len(values) / (len(values) - 1)) ** 0.5, stated


def marked(number, case):
    marks = [pytest.mark.slow] if case.slow else []
    return pytest.param(case, id=f"{number}-{case.evaluator}", marks=marks)


@pytest.mark.parametrize("case", [marked(*pair) for pair in enumerate(CASES)])
def test_stated_error_is_the_true_one_or_is_not_stated(case, record_property):
    found = covered(case)
    for (metric, variant, method), each in found.items():
        if each.stated > 0 or not each.states:
            name = " ".join(filter(None, (metric, variant, method)))
            record_property("errors", [case.evaluator, case.about, name, case.repeats, *each.shown])
    for key, each in found.items():
        # a figure without draws is known to rounding
        assert each.stated != 0 or each.true < 1e-5, key
        if each.stated > 0:
            assert key[0] in {*case.stated.split(), *case.unknown.split()}, key
            assert each.is_right, key
    sure = {key[0] for key, each in found.items() if each.states >= 0.9 and each.stated > 0}
    assert sure >= set(case.stated.split())


def drawn_weights(name, *shape):
    """Log weights whose expected weight is 1."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(*shape, generator=generator, dtype=torch.float64)
    if name.startswith("normal"):
        scale = float(name.partition(" ")[2])
        return scale * z - scale**2 / 2
    if name == "bounded":  # a normal by one that is half as wide again
        return -0.5 * (1.5**2 - 1) * z.square() + math.log(1.5)
    uniform = torch.rand(*shape, generator=generator, dtype=torch.float64)
    return -uniform.log() / 2.5 + math.log(1.5 / 2.5)  # Pareto with 2.5 moments


@pytest.mark.parametrize("draws", [4, 16, 100])
@pytest.mark.parametrize("name", ["normal 0.5", "normal 1", "normal 1.5", "bounded", "Pareto"])
def test_error_of_a_log_mean_is_known_for_weights_of_any_kind(name, draws):
    """200 means over 40 data each; of four draws of the heavier ones the error is not known."""
    log_w = drawn_weights(name, draws, 200, 40)
    figures = [LogMean.of(each).figure() for each in log_w.unbind(1)]
    errors = [math.nan if (e := standard_error(figure)) is None else e for figure in figures]
    off = torch.stack([figure.value.mean() for figure in figures])
    each = Coverage.of(off, torch.tensor(errors, dtype=torch.float64))
    assert each.is_right
    assert each.states > 0.9 or draws == 4


@pytest.mark.parametrize("draws", [2, 3, 16, 100])
def test_error_of_a_log_mean_of_heavy_weights_is_not_stated(draws):
    figures = [LogMean.of(each).figure() for each in drawn_weights("normal 4", draws, 20, 40).unbind(1)]
    assert all(standard_error(figure) is None for figure in figures)


def test_every_evaluator_is_here():
    named = {case.evaluator.partition("[")[0] for case in CASES}
    assert named | STATE_NOTHING == set(CATALOGUE.names("evaluator"))
