"""The gap between log p(x) and the ELBO, split by its two causes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from lvmbench import (
    Count,
    DiagonalNormal,
    Distribution,
    Evaluator,
    Measurement,
    Metric,
    MultivariateNormal,
    Noise,
    Positive,
    Precision,
    Refusal,
    Size,
    Subject,
    Workload,
)
from lvmbench_plugins.evaluators._common import (
    Figure,
    Figures,
    LogMean,
    Several,
    Target,
    drawn,
    known,
    measurements,
    of_some,
    side,
    some_data,
)
from lvmbench_plugins.evaluators._local import (
    HELD,
    Ascent,
    Family,
    Fixed,
    Flow,
    Full,
    freed,
    log_weights,
    matching_normal,
    moments,
    optimise,
    windows,
)
from lvmbench_plugins.evaluators.ais import Ais


@final
class GapSplit(Evaluator):
    r"""The gap log p(x) - ELBO, split into an approximation gap (the family's) and an amortisation gap.

    .. math:: \log p(x) - L[q] = \underbrace{\log p(x) - L[q^*]}_{\mathrm{approximation}}
        + \underbrace{L[q^*] - L[q]}_{\mathrm{amortisation}}, \qquad
        L[q] = E_{q(z)} \log \frac{p(x, z)}{q(z)}

    where :math:`q^*` is the best member of the family for each datum alone, found by stochastic gradient
    ascent on all data at once, with path gradients. The ascent goes in windows, each twice as long as the
    last, whose steps shrink to nothing, and ends when a window has gained no more than ``tolerance``, on
    draws that no step sees, or at ``steps``. ``ascent_converged`` is the share of the data that it ended for
    by the first of these, ``ascent_gain`` what its last window gained and ``ascent_steps`` what it took. The
    optimum is one that was found: what the ascent misses counts as approximation gap. Of that the last gain
    is a measure, and part of the errors that are stated.

    From ``start=posterior`` the ascent begins at q(z|x); a datum that ends clearly worse stays there, and all
    of them do if they have not gained together, so that the best is at least q, wherever q is of the family.
    Both bounds are then taken from fresh noise, the same for both, so that what they have in common cancels.

    log p(x) is exact where the model allows it. Elsewhere it is a stochastic lower bound: by importance
    sampling from :math:`q^*`, or with ``temperatures`` by annealed importance sampling. Which one does not
    depend on what they find; ``method`` says it. Either falls short by about half of the variance of its log,
    which the errors include.

    ``same`` frees the mean and the scale of normal posteriors, and of the other amortised ones (flows, ...)
    what their network returns; it is refused for the rest. The other families suit every posterior with real
    z, and tell what a richer one could gain: ``flow`` is planar maps on what ``same`` frees, or on q itself
    where there is nothing to free; ``full`` is a normal with full covariance, which does not contain a
    posterior that is no normal. Where log q(z|x) is only estimated, as with auxiliary variables, the gap, as
    ``upper``, is an upper bound of that of q(z|x), and what is split is that.

    References:
        Inference Suboptimality in Variational Autoencoders (Cremer, Li, Duvenaud, 2018),
        https://arxiv.org/abs/1801.03558;
        Variational Inference with Normalizing Flows (Rezende, Mohamed, 2015),
        https://arxiv.org/abs/1505.05770;
        Sticking the Landing: Simple, Lower-Variance Gradient Estimators for Variational Inference (Roeder,
        Wu, Duvenaud, 2017), https://arxiv.org/abs/1703.09194

    Arguments:
        family: The local family: the ``same`` as the posterior's, ``full`` or ``flow``.
        start: Where the ascent begins: at the ``posterior`` q(z|x), or at a ``constant``, N(0, I).
        steps: The most steps of the ascent.
        tolerance: What a window may still gain, in nats per datum, for the ascent to have converged.
        draws: The number of draws of z for each step and datum.
        rate: The first learning rate, in standard deviations of the start.
        maps: The number of planar maps of ``flow``.
        samples: The number of draws :math:`S` for the final bounds.
        temperatures: Those of annealed importance sampling where log p(x) is not known; with 0 it is
            importance sampling.
        data: How many data of the split to take at most, drawn at random.
        batch: How many data are taken at once; the random numbers depend on it.
        precision: How exact the matrix products of the decoder are.

    Example:
        >>> sorted(name for name in GapSplit(family="full").metrics if "gap" in name)
        ['amortization_gap', 'approximation_gap', 'gap']
    """

    version = 3
    metrics: ClassVar[Mapping[str, Metric]] = {
        "gap": Metric("Gap", "nats", "lower", "log p(x) minus the ELBO"),
        "approximation_gap": Metric(
            "Approximation gap", "nats", "lower", "the gap that the best q of the family leaves"
        ),
        "amortization_gap": Metric(
            "Amortisation gap", "nats", "lower", "what the best q of the family gains over the posterior's"
        ),
        "elbo": Metric("ELBO", "nats", "higher", "evidence lower bound, of the posterior or of the best q"),
        "log_likelihood": Metric("log p(x)", "nats", "higher", "log density of the data under the model"),
        "ascent_steps": Metric(
            "Ascent steps", "steps", "neither", "the steps that the ascent to the best q took"
        ),
        "ascent_gain": Metric(
            "Ascent gain", "nats", "neither", "what the last window of the ascent still gained"
        ),
        "ascent_converged": Metric(
            "Ascent converged",
            "fraction",
            "higher",
            "share of the data whose ascent ended as a window gained nothing, not by the cap",
        ),
    }
    board = ("approximation_gap", "amortization_gap")

    def __init__(
        self,
        *,
        family: Literal["same", "full", "flow"] = "same",
        start: Literal["posterior", "constant"] = "posterior",
        steps: Count = 1500,
        tolerance: Positive = 0.005,
        draws: Count = 20,
        rate: Positive = 0.03,
        maps: Count = 8,
        samples: Several = 1000,
        temperatures: Size = 0,
        data: Count = 100,
        batch: Count = 64,
        precision: Precision = "highest",
    ) -> None:
        self.precision = precision
        self.family, self.start, self.draws, self.maps = family, start, draws, maps
        self.steps, self.tolerance, self.rate = steps, tolerance, rate
        self.samples, self.data, self.batch = samples, data, batch
        self.ais = Ais(temperatures=temperatures, data=data) if temperatures else None
        of_ais = self.ais.requires if self.ais else frozenset({"prior.density", "decoder.density"})
        self.requires = of_ais | {
            "objective.density",
            "posterior.weights",
            "prior.real",
            "prior.fixed",
        }

    def evaluations(self, work: Workload) -> int:
        """At most: with all steps, and with annealed importance sampling,
        which is not needed where log p(x) is known.
        """
        climb = self.steps * self.draws + (len(windows(self.steps)) + 1) * HELD
        annealed = self.ais.evaluations(work) if self.ais else 0
        return min(self.data, work.size) * (climb + 2 * self.samples) + annealed

    @torch.no_grad()
    def evaluate(self, subject: Subject) -> list[Measurement]:
        batches = some_data(subject, self.data).split(self.batch)
        noise = {word: subject.noise("gap_split", word) for word in ("climb", "ais")}
        figures = [
            self._figures(subject, x, index, noise) for index, x in enumerate(subject.followed(batches))
        ]
        return of_some(measurements(figures), subject)

    def _figures(self, subject: Subject, x: Tensor, index: int, noise: Mapping[str, Noise]) -> Figures:
        q, target = subject.q(x), Target(subject.model, x, subject.model.p())
        family = self._family(subject, x, self._first(subject, q), noise["climb"])
        ascent = self._climb(subject, target, family, noise["climb"], index)
        # common random numbers: what the two have in common cancels in their difference
        own, best = (self._draws(subject, target, member, index) for member in (q, family.q))
        method, log_p, sampled = self._log_p(subject, target, best, noise["ais"])
        name, every = self.family, torch.ones_like(own[0])
        missed = ascent.gain * every
        return {
            ("elbo", "", ""): drawn(own),
            ("elbo", f"best/{name}", ""): _missing(drawn(best), missed),
            ("amortization_gap", name, ""): _missing(drawn(best - own), missed),
            ("approximation_gap", name, method): _missing(_difference(log_p, sampled, best), missed),
            ("gap", side(subject), method): _difference(log_p, sampled, own),
            ("log_likelihood", "", method): log_p,
            ("ascent_steps", name, ""): Figure(ascent.steps * every, None),
            ("ascent_gain", name, ""): Figure(missed, None),
            ("ascent_converged", name, ""): Figure(ascent.converged * every, None),
        }

    def _climb(self, subject: Subject, target: Target, family: Family, noise: Noise, index: int) -> Ascent:
        return optimise(
            target,
            family,
            noise,
            lambda: subject.noise("gap_split", "held", index),
            samples=self.draws,
            most=self.steps,
            rate=self.rate,
            tolerance=self.tolerance,
        )

    def _first(self, subject: Subject, q: Distribution) -> Distribution:
        """Where the ascent begins."""
        if self.start == "posterior":
            return q
        zeros = torch.zeros_like(q.sample(subject.noise("gap_split", "shape"), 1)[0])
        if isinstance(q, MultivariateNormal):
            return MultivariateNormal(zeros, torch.eye(zeros.shape[-1]).to(zeros))
        if isinstance(q, DiagonalNormal) or self.family == "full":
            return DiagonalNormal(zeros, zeros, zeros.dim() - 1)
        return q

    def _family(self, subject: Subject, x: Tensor, first: Distribution, noise: Noise) -> Family:
        if self.family == "full":
            return self._full(subject, first, noise)
        posterior = subject.model.posterior.plain
        own = freed(posterior, first, x, constant=self.start == "constant")
        if self.family == "flow":
            return Flow(own or Fixed(first), moments(first, noise), self.maps, noise)
        if own is None:
            raise Refusal(
                "gap_split can free the parameters of normal posteriors and of those built on Amortized, and "
                f"{type(posterior).__name__} is neither; take family=full or family=flow"
            )
        return own

    def _full(self, subject: Subject, first: Distribution, noise: Noise) -> Full:
        event_shape = subject.model.prior.space.event_shape
        if len(event_shape) > 1:
            raise Refusal(
                "gap_split's full covariance is of vectors, and z is of shape "
                f"{event_shape}; take family=flow"
            )
        return Full(matching_normal(first, noise))

    def _draws(self, subject: Subject, target: Target, q: Distribution, index: int) -> Tensor:
        """Log weights, ``(S, B)``, of the same noise for each q."""
        noise = subject.noise("gap_split", "bound", index)
        sizes = [len(part) for part in torch.arange(self.samples).split(self.draws)]
        return torch.cat([log_weights(target, q, noise, size) for size in sizes])

    def _log_p(
        self, subject: Subject, target: Target, best: Tensor, noise: Noise
    ) -> tuple[str, Figure, LogMean | None]:
        """How log p(x) is found, what it is, and what each draw adds to it where they are those
        of the best q's bound.
        """
        if "model.exact_posterior" in subject.provides:
            return "exact", known(target.model.exact_log_prob(target.x, target.p)), None
        if self.ais:
            return "ais", self.ais.figures(subject, target.x, noise)["log_likelihood", "", "ais"], None
        # by draws of q*, which as its bound is higher is nearer to p(z|x) than q is
        sampled = LogMean.of(best)
        return "importance", sampled.figure(), sampled


def _missing(figure: Figure, missed: Tensor) -> Figure:
    """The figure with what the ascent missed as a bias of all data; that of a log mean has the same sign."""
    return figure._replace(bias=-missed if figure.bias is None else figure.bias - missed)


def _difference(log_p: Figure, sampled: LogMean | None, draws: Tensor) -> Figure:
    """log p(x) minus the mean of the draws; both errors, or that of their difference draw by draw."""
    bound = drawn(draws)
    if sampled is not None:
        return sampled.less_mean(draws).figure(bound.value)
    assert log_p.variance is not None
    assert bound.variance is not None
    # other draws: independent
    variance = log_p.variance + bound.variance
    return log_p._replace(value=log_p.value - bound.value, variance=variance, size=bound.value)
