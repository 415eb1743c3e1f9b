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
    Refusal,
    Size,
    Subject,
    Work,
)
from lvmbench_plugins.evaluators._common import (
    Figure,
    Figures,
    LogMean,
    Several,
    drawn,
    known,
    measurements,
    of_some,
    some_data,
)
from lvmbench_plugins.evaluators._local import (
    Family,
    Flow,
    Full,
    log_weights,
    matching_normal,
    optimise,
    same_family,
)
from lvmbench_plugins.evaluators.ais import Ais


@final
class GapSplit(Evaluator):
    r"""The gap log p(x) - ELBO as an approximation gap, of the family, and an amortisation gap, of the network.

    .. math:: \log p(x) - L[q] = \underbrace{\log p(x) - L[q^*]}_{\mathrm{approximation}}
        + \underbrace{L[q^*] - L[q]}_{\mathrm{amortisation}}, \qquad
        L[q] = E_{q(z)} \log \frac{p(x, z)}{q(z)}

    where :math:`q^*` is the best member of the family for each datum alone, found by stochastic gradient ascent on
    all data at once. From ``start=posterior`` it begins at q(z|x) and a datum that did not improve stays there.
    Both bounds are then taken from fresh noise, the same for both, so that what they have in common cancels.
    The optimum is one that was found: what the ascent misses counts as approximation gap.

    log p(x) is exact where the model allows it. Elsewhere it is the larger, on average over the data, of
    importance sampling from :math:`q^*` and of annealed importance sampling, both stochastic lower bounds;
    ``method`` says which.

    ``same`` frees the mean and the scale of normal posteriors, and of the other amortised ones (flows, ...) what
    their network returns; it is refused for the rest. The richer families ``full``, a normal with full covariance,
    and ``flow``, planar maps on a normal with independent coordinates, suit every posterior with real z: their split
    tells what a richer family could gain, and what is left of the gap with it.

    References:
        Inference Suboptimality in Variational Autoencoders (Cremer, Li, Duvenaud, 2018),
        https://arxiv.org/abs/1801.03558;
        Variational Inference with Normalizing Flows (Rezende, Mohamed, 2015), https://arxiv.org/abs/1505.05770

    Arguments:
        family: The local family: the ``same`` as the posterior's, ``full`` or ``flow``.
        start: Where the ascent begins: at the ``posterior`` q(z|x), or at a ``constant``, N(0, I).
        steps: The number of steps of the ascent.
        draws: The number of draws of z for each step and datum.
        rate: The first learning rate, in standard deviations of the start.
        maps: The number of planar maps of ``flow``.
        samples: The number of draws :math:`S` for the final bounds.
        temperatures: Those of annealed importance sampling where log p(x) is not known; 0 leaves it out.
        data: How many data of the split to take at most, drawn at random.
        batch: How many data are taken at once; the random numbers depend on it.

    Example:
        >>> sorted(GapSplit(family="full").metrics)
        ['amortization_gap', 'approximation_gap', 'elbo', 'gap', 'log_likelihood']
    """

    metrics: ClassVar[Mapping[str, Metric]] = {
        "gap": Metric("nats", "lower", "log density of the data minus evidence lower bound"),
        "approximation_gap": Metric("nats", "lower", "the gap that the best q of the family leaves"),
        "amortization_gap": Metric(
            "nats", "lower", "what the best q of the family gains over the posterior's"
        ),
        "elbo": Metric("nats", "higher", "evidence lower bound, of the posterior or of the best q"),
        "log_likelihood": Metric("nats", "higher", "log density of the data under the model"),
    }

    def __init__(
        self,
        *,
        family: Literal["same", "full", "flow"] = "same",
        start: Literal["posterior", "constant"] = "posterior",
        steps: Count = 300,
        draws: Count = 20,
        rate: Positive = 0.05,
        maps: Count = 8,
        samples: Several = 1000,
        temperatures: Size = 100,
        data: Count = 100,
        batch: Count = 64,
    ) -> None:
        self.family, self.start, self.steps, self.draws, self.rate = family, start, steps, draws, rate
        self.maps, self.samples, self.data, self.batch = maps, samples, data, batch
        self.ais = Ais(temperatures=temperatures, data=data) if temperatures else None
        of_ais = self.ais.requires if self.ais else frozenset({"prior.density", "decoder.density"})
        self.requires = of_ais | {"objective.density", "prior.real"}

    def evaluations(self, work: Work) -> int:
        """With annealed importance sampling, which is left out where log p(x) is known."""
        climb = (self.steps + 20) * self.draws
        annealed = self.ais.evaluations(work) if self.ais else 0
        return min(self.data, work.size) * (climb + 2 * self.samples) + annealed

    @torch.no_grad()
    def evaluate(self, subject: Subject) -> list[Measurement]:
        batches = some_data(subject, self.data).split(self.batch)
        noise = {word: subject.noise("gap_split", word) for word in ("climb", "ais")}
        figures = [self._figures(subject, x, index, noise) for index, x in enumerate(batches)]
        return of_some(_of_the_best(measurements(figures)), subject)

    def _figures(self, subject: Subject, x: Tensor, index: int, noise: Mapping[str, Noise]) -> Figures:
        q = subject.model.q(x)
        family = self._family(subject, x, self._first(subject, q), noise["climb"])
        optimise(
            subject.model, x, family, noise["climb"], samples=self.draws, steps=self.steps, rate=self.rate
        )
        own, best = (self._draws(subject, x, member, index) for member in (q, family.q))
        figures: Figures = {("elbo", "", ""): drawn(own), ("elbo", f"best/{self.family}", ""): drawn(best)}
        figures["amortization_gap", self.family, ""] = drawn(best - own)
        for method, (value, sampled) in self._log_p(subject, x, best, noise["ais"]).items():
            for metric, draws, variant in (("approximation_gap", best, self.family), ("gap", own, "")):
                figures[metric, variant, method] = _difference(value, sampled, draws)
            figures["log_likelihood", "", method] = value
        return figures

    def _first(self, subject: Subject, q: Distribution) -> Distribution:
        """Where the ascent begins."""
        if self.start == "posterior":
            return q
        zeros = torch.zeros_like(q.sample(subject.noise("gap_split", "shape"), 1)[0])
        if isinstance(q, MultivariateNormal):
            return MultivariateNormal(zeros, torch.eye(zeros.shape[-1]).to(zeros))
        if isinstance(q, DiagonalNormal) or self.family != "same":
            return DiagonalNormal(zeros, zeros, zeros.dim() - 1)
        return q

    def _family(self, subject: Subject, x: Tensor, first: Distribution, noise: Noise) -> Family:
        if self.family == "same":
            return same_family(subject.model.posterior, first, x, constant=self.start == "constant")
        event_shape = subject.model.prior.space.event_shape
        if self.family == "flow":
            return Flow(matching_normal(first, noise, len(event_shape)), self.maps, noise)
        if len(event_shape) > 1:
            raise Refusal(
                f"gap_split's full covariance is of vectors, and z is of shape {event_shape}; take family=flow"
            )
        if isinstance(first, MultivariateNormal):
            return Full(first)
        normal = matching_normal(first, noise, 1)
        return Full(MultivariateNormal(normal.loc, torch.diag_embed(normal.log_scale.exp())))

    def _draws(self, subject: Subject, x: Tensor, q: Distribution, index: int) -> Tensor:
        """Log weights, ``(S, B)``, of the same noise for each q."""
        noise = subject.noise("gap_split", "bound", index)
        sizes = [len(part) for part in torch.arange(self.samples).split(self.draws)]
        return torch.cat([log_weights(subject.model, x, q, noise, size) for size in sizes])

    def _log_p(
        self, subject: Subject, x: Tensor, best: Tensor, noise: Noise
    ) -> dict[str, tuple[Figure, LogMean | None]]:
        """log p(x) by each method, and what each draw adds to it where they are those of the bounds."""
        if "model.exact_posterior" in subject.provides:
            return {"exact": (known(subject.model.exact_log_prob(x)), None)}
        sampled = LogMean.of(best)
        found: dict[str, tuple[Figure, LogMean | None]] = {"importance": (sampled.figure(), sampled)}
        annealed = self.ais.figures(subject, x, noise) if self.ais else {}
        log_p = annealed.get(("log_likelihood", "", "ais"))
        return {**found, "ais": (log_p, None)} if log_p else found


def _difference(log_p: Figure, sampled: LogMean | None, draws: Tensor) -> Figure:
    """log p(x) minus the mean of the draws; both errors, or that of their difference draw by draw."""
    bound = drawn(draws)
    if sampled is not None:
        return sampled.less_mean(draws).figure(bound.value)
    assert log_p.variance is not None
    assert bound.variance is not None
    variance = log_p.variance + bound.variance
    return log_p._replace(value=log_p.value - bound.value, variance=variance, size=bound.value)


def _of_the_best(found: list[Measurement]) -> list[Measurement]:
    """The measurements that rest on the largest of the lower bounds of log p(x), where there are two."""
    bounds = [m for m in found if m.metric == "log_likelihood"]
    best = max(bounds, key=lambda m: m.value).method
    return [m for m in found if m.method in ("", best)]
