"""What the latent variables say about the data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar, final

import torch
from torch import Tensor

from lvmbench import (
    Bernoulli,
    Count,
    DiagonalNormal,
    Distribution,
    Enough,
    Evaluator,
    Measurement,
    Metric,
    NonNegative,
    Positive,
    Precision,
    Subject,
    Terms,
    Workload,
    analytic_kl,
)
from lvmbench_plugins.evaluators._aggregate import aggregate
from lvmbench_plugins.evaluators._common import (
    Figures,
    chosen,
    drawn,
    in_batches,
    known,
    measurements,
    of_some,
    pairs_at_once,
    posterior_means,
    samples_of_each,
    side,
    some_data,
    training_means,
    with_steps,
)
from lvmbench_plugins.evaluators._labels import told_apart
from lvmbench_plugins.evaluators._probes import taught


@final
class Informativeness(Evaluator):
    r"""Rate, distortion, mutual information, active units, and what probes read from the posterior means.

    .. math:: R = E_x\, \mathrm{KL}(q(z|x) \,\|\, p(z)), \qquad D = -E_x E_{q(z|x)} \log p(x|z), \qquad
        A = \sum_d \left[\operatorname{Var}_x(E_{q(z|x)} z_d) > \theta\right]

    so that :math:`-R - D` is the ELBO. With the aggregated posterior :math:`q(z) = \frac1N \sum_n q(z|x_n)`
    of the whole split the rate is exactly

    .. math:: R = I_q(x; z) + \mathrm{KL}(q(z) \,\|\, p(z)), \qquad
        I_q = \frac1N \sum_n E_{q(z|x_n)} \log \frac{q(z|x_n)}{q(z)} \le \log N

    Where z all but names its datum, :math:`I_q` says :math:`\log N` however much z tells of the data that the
    split is drawn from. With :math:`q(z)` over the :math:`N - 1` other data, the same mean is an upper bound
    of that, as :math:`I_q` is a lower one; where the two differ by more than ``tolerance`` of :math:`I_q`,
    the cap binds. Of a large split it is some data, drawn at random, whose samples of z are held against the
    posteriors of all: the figures are those of the whole split, and their error is also that of the choice.

    The rate is in closed form where one is known, else from the samples. Where log q(z|x) is only
    estimated or bounded, as with auxiliary variables, what the samples give is an upper bound of it,
    ``upper``; an estimate of q(z|x) at fresh auxiliary variables gives ``rate_lower``. Posterior and
    prior both being normal or both Bernoulli with independent coordinates, the rate is also given for
    each unit. The variance over the data is that of Burda et al., divided by :math:`N`. Where the
    posterior has no mean in closed form, it is that of the mean of samples, less what their own variance
    adds. Of a hierarchy active units are also counted by layer, from the one that the decoder reads. The
    probe needs the posterior's mean, the information its density, and the probes need labels; what a
    combination cannot have is left out: of sequences all but rate and distortion, as z of one is not of the
    shape of another's. The probes are a logistic regression on standardised means,
    fitted on the training split, its values as a training visit makes them, and a vote of the nearest
    neighbours among the means; the logistic regression's C and the number of neighbours are those of the
    best accuracy in three-fold cross-validation on these data. For a label of one training datum alone
    there is none: then C = 1, k = 1. Where the training split has one label alone, or the measured one
    has not two labels of two data or more, there is no probe; ``probe_chance`` is the accuracy of always
    saying the training data's commonest label.

    References:
        ELBO Surgery (Hoffman, Johnson, 2016),
        http://approximateinference.org/accepted/HoffmanJohnson2016.pdf;
        On Variational Bounds of Mutual Information (Poole et al., 2019), https://arxiv.org/abs/1905.06922
        (the two bounds);
        Importance Weighted Autoencoders (Burda, Grosse, Salakhutdinov, 2016),
        https://arxiv.org/abs/1509.00519;
        Fixing a Broken ELBO (Alemi et al., 2018), https://arxiv.org/abs/1711.00464

    Arguments:
        samples: The number of samples of z for each datum; by default 100, and of large splits as many as
            make 100,000 pairs of a sample and a datum, at least 10.
        threshold: The variance :math:`\theta` above which a unit is active.
        pairs: How many pairs of a sample of z and a datum the aggregated posterior is found from, about: as
            many samples of each of N data as make so many, at most ``samples``, or where that is fewer than
            two, two samples of each of some data.
        tolerance: The relative difference of the bounds of the information from which the cap is said to
            bind.
        data: How many data of the split rate, distortion and information are of at most, drawn at random.
        probe_data: The largest number of training data, drawn at random, that the probe is fitted on.
        chunk: How many pairs of sample and datum are decoded at once; the random numbers depend on it.
        precision: How exact the matrix products of the decoder are.

    Example:
        >>> Informativeness(samples=10).metrics["rate"].unit
        'nats'
    """

    version = 7
    metrics: ClassVar[Mapping[str, Metric]] = {
        "rate": Metric(
            "Rate", "nats", "neither", "KL divergence from the prior to the posterior, mean over data"
        ),
        "rate_lower": Metric(
            "Rate from below", "nats", "neither", "lower bound of the rate, where that is an upper bound"
        ),
        "distortion": Metric(
            "Distortion", "nats", "lower", "minus the expected log likelihood of the data given z"
        ),
        "kl_per_unit": Metric("KL per unit", "nats", "neither", "the rate of one latent unit"),
        "mutual_information": Metric(
            "Mutual information", "nats", "higher", "what z tells of which datum of the split it belongs to"
        ),
        "mutual_information_upper": Metric(
            "Mutual information from above",
            "nats",
            "neither",
            "upper bound of what z tells of x, from the other data's posteriors",
        ),
        "marginal_kl": Metric(
            "Marginal KL", "nats", "lower", "KL divergence from the prior to the aggregated posterior"
        ),
        "mutual_information_cap": Metric(
            "Mutual information cap", "nats", "neither", "log of the number of data"
        ),
        "mutual_information_capped": Metric(
            "Mutual information capped", "0 or 1", "neither", "1 where the cap binds"
        ),
        "active_units": Metric(
            "Active units", "units", "higher", "latent units whose posterior mean varies with the data"
        ),
        "collapsed_units": Metric(
            "Collapsed units", "fraction", "lower", "share of the latent units that are not active"
        ),
        "probe_accuracy": Metric(
            "Probe accuracy", "fraction", "higher", "test accuracy of a classifier of posterior means"
        ),
        "probe_chance": Metric(
            "Probe chance level",
            "fraction",
            "neither",
            "test accuracy of always saying the commonest label of the training data",
        ),
        "probe_strength": Metric(
            "Probe strength", "C or k", "neither", "the probe's strength, chosen by cross-validation"
        ),
    }
    board = ("active_units", "probe_accuracy[linear]")

    def __init__(
        self,
        *,
        samples: Enough = None,
        threshold: NonNegative = 0.01,
        pairs: Count = 500_000,
        tolerance: Positive = 0.04,
        data: Count = 10_000,
        probe_data: Count = 10_000,
        chunk: Count = 2048,
        precision: Precision = "highest",
    ) -> None:
        self.precision = precision
        self.samples, self.threshold, self.probe_data, self.chunk = samples, threshold, probe_data, chunk
        self.pairs, self.tolerance, self.data = pairs, tolerance, data

    @torch.no_grad()
    def evaluate(self, subject: Subject) -> Iterator[Measurement]:
        noise = subject.noise("informativeness")
        some = some_data(subject, self.data)
        samples = self._samples(len(some))
        batches = in_batches(subject, some, max(1, pairs_at_once(subject, self.chunk) // samples))
        code = measurements(
            _code(Terms(subject.model, x, noise, samples, q=subject.q(x)), side(subject))
            for x in subject.stage(0, 0.5).followed(batches)
        )
        yield from with_steps(of_some(code, subject), subject, batches, self.metrics)
        if "prior.steps" in subject.provides:
            return
        if "posterior.density" in subject.provides and len(some) > 1:
            yield from self._information(subject, some, next(m for m in code if m.metric == "rate"))
        if "posterior.mean" in subject.provides:
            means = posterior_means(subject, subject.x, self.chunk)
            yield from self._active(subject, means.var(0, correction=0))
            yield from self._probes(subject, means)
        else:
            yield from self._active(subject, self._variance_of_means(subject, some))

    def evaluations(self, work: Workload) -> int:
        count = min(self.data, work.size)
        return self._samples(count) * count

    def densities(self, work: Workload) -> int:
        count = min(self.data, work.size)
        some, draws = self._held(count)
        return draws * some * count if "posterior.density" in work.provides else 0

    def fits(self, work: Workload) -> int:
        # most are of linear classifiers, which cost less than clusterings do
        taught = min(self.probe_data, work.sizes["train"])
        return 4 * taught if {"posterior.mean", "dataset.labels"} <= work.provides else 0

    def _samples(self, count: int) -> int:
        """How many samples of z of each of so many data rate and distortion are found from."""
        return self.samples or samples_of_each(count, 100_000, fewest=10, most=100)

    def _held(self, count: int) -> tuple[int, int]:
        """How many of so many data have samples that are held against all, and how many samples of each."""
        # two tell the spread of the samples from that of the data
        draws = max(2, min(self._samples(count), self.pairs // count**2))
        return min(count, max(2, self.pairs // (draws * count))), draws

    def _information(self, subject: Subject, x: Tensor, rate: Measurement) -> Iterator[Measurement]:
        count, noise = len(x), subject.noise("informativeness", "aggregate")
        some, draws = self._held(count)
        rows = noise.uniform((count,)).argsort()[:some] if some < count else torch.arange(count)
        found = aggregate(subject.stage(0.5, 1), x, noise, rows, draws, self.chunk)
        figures = {
            ("mutual_information", "", ""): chosen(drawn(found.information), count),
            ("mutual_information_upper", "", ""): chosen(drawn(found.without_own), count),
        }
        information, upper = of_some(measurements([figures]), subject)
        yield from (information, upper, _difference("marginal_kl", rate, information))
        lower, excess = information.value, upper.value - information.value
        yield Measurement("mutual_information_cap", math.log(count))
        yield Measurement("mutual_information_capped", float(excess > self.tolerance * abs(lower)))

    def _variance_of_means(self, subject: Subject, x: Tensor) -> Tensor:
        """The variance over the data of the posterior's mean, ``(D,)``, from samples."""
        noise, means, own = subject.noise("informativeness", "activity"), [], []
        samples = self._samples(len(x))
        for part in x.split(max(1, self.chunk // samples)):
            z = subject.q(part).sample(noise, samples).flatten(2).double()  # (S, B, D)
            means.append(z.mean(0))
            own.append(z.var(0) / samples)
        # the mean of S samples varies also by what is left of their own variance: with it, a unit that is
        # N(0, 1) for every datum would be active
        return torch.cat(means).var(0, correction=0) - torch.cat(own).mean(0)

    def _active(self, subject: Subject, variance: Tensor) -> Iterator[Measurement]:
        """How many units are active, of all and of each layer, by the variances of their means, ``(D,)``."""
        active, space = variance > self.threshold, subject.model.prior.space
        yield Measurement("active_units", float(active.sum()))
        yield Measurement("collapsed_units", 1 - active.double().mean().item())
        for layer, units in enumerate(space.split(active) if space.layers else (), 1):
            yield Measurement("active_units", float(units.sum()), variant=f"layer/{layer}")

    def _probes(self, subject: Subject, means: Tensor) -> Iterator[Measurement]:
        train, labels = subject.part("train"), subject.labels
        if train.labels is None or labels is None:
            return
        noise = subject.noise("informativeness", "probe")
        z, rows = training_means(subject, noise, self.probe_data, self.chunk)
        known_labels, truth = train.labels.cpu()[rows].numpy(), labels.cpu().numpy()
        if not told_apart(known_labels, truth):
            return
        commonest = torch.from_numpy(known_labels).mode().values
        yield Measurement("probe_chance", (labels.cpu() == commonest).double().mean().item())
        for method, (probe, strength) in taught(z.numpy(), known_labels).items():
            right = torch.from_numpy(probe.predict(means.numpy()) == truth).double()
            yield Measurement("probe_accuracy", right.mean().item(), method=method, per_datum=right)
            yield Measurement("probe_strength", float(strength), method=method)


def _difference(metric: str, one: Measurement, other: Measurement) -> Measurement:
    """The difference of two means of independent draws."""
    errors = (one.stderr, other.stderr)
    error = None if None in errors else math.hypot(*(e for e in errors if e is not None))
    pair = (one.per_datum, other.per_datum)
    each = None if pair[0] is None or pair[1] is None else pair[0] - pair[1]
    return Measurement(metric, one.value - other.value, error, per_datum=each)


def _code(terms: Terms, variant: str) -> Figures:
    exact = analytic_kl(terms.q, terms.p)
    if exact is None:
        figures = {("rate", variant, "sampled"): drawn(terms.kl_of_draws)}
    else:
        figures = {("rate", "", "exact"): known(exact)}
    figures["distortion", "", ""] = drawn(-terms.log_likelihood)
    if "estimate" in terms.q.traits:
        lower = terms.q.estimate_log_prob(terms.z, terms.noise) - terms.log_prior
        figures["rate_lower", "", "sampled"] = drawn(lower)
    units = {("kl_per_unit", str(unit), "exact"): known(kl) for unit, kl in _units(terms.q, terms.p)}
    return figures | units


def _units(q: Distribution, p: Distribution) -> Iterator[tuple[int, Tensor]]:
    """The KL divergence of each unit, ``(B,)``, where the units are independent in both."""
    one, other = _apart(q), _apart(p)
    kl = analytic_kl(one, other) if one and other else None
    yield from enumerate(() if kl is None else kl.flatten(1).T)


def _apart(distribution: Distribution) -> Distribution | None:
    """The units as events of their own, where they are independent."""
    if type(distribution) is DiagonalNormal:
        return DiagonalNormal(distribution.loc, distribution.log_scale, event_dims=0)
    return Bernoulli(distribution.logits, event_dims=0) if type(distribution) is Bernoulli else None
