"""The bidirectional sandwich of log p(x)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from lvmbench import Count, Evaluator, Measurement, Metric, Noise, Precision, Refusal, Subject, Workload
from lvmbench_plugins.evaluators._annealing import Annealing, Path
from lvmbench_plugins.evaluators._common import (
    Figure,
    LogMean,
    Several,
    joined,
    standard_error,
)


@final
class Bdmc(Evaluator):
    r"""Bidirectional Monte Carlo: a lower and an upper bound of log p(x) on data drawn from the model.

    .. math:: E\left[\log \frac1C \sum_c w_c\right] \le \log p(x) \le
        E\left[-\log \frac1C \sum_c \frac{1}{\tilde w_c}\right]

    The data are :math:`z \sim p(z)`, :math:`x \sim p(x|z)`, so that z is an exact draw of p(z|x). From there
    the reverse chains start, with weights :math:`\tilde w`, at the temperatures and step sizes of annealed
    importance sampling. The width of the sandwich bounds the error of both: it is the certificate that so
    many temperatures suffice for this model. It says so for data like the model's own.

    Figures of ``simulated`` variants are means over the same drawn data, and their errors the root mean
    square distances from the mean log p(x) of these data: spread and bias, which is half the variance. For
    the lower bound both are the jackknife's. The reverse chains of a datum share their start, so that the
    spread between them says too little: the variance of the upper bound is what that of the lower one leaves
    of the width's variance over the data. Neither is stated where the mean weight of half of the data or more
    is worth fewer than 5 chains of equal weight, nor with fewer than 4 chains. The width's own error is that
    of other data drawn, and is always known.

    References:
        Sandwiching the Marginal Likelihood Using Bidirectional Monte Carlo (Grosse, Ghahramani, Adams, 2015),
        https://arxiv.org/abs/1511.02543;
        On the Quantitative Analysis of Decoder-Based Generative Models (Wu et al., 2017),
        https://arxiv.org/abs/1611.04273

    Arguments:
        temperatures: The number of intervals that the path is cut into.
        chains: The number of chains :math:`C` for each datum, in each direction.
        leapfrogs: The number of leapfrog steps of each transition.
        start: The density at the other end: the ``prior``, or the ``posterior`` q(z|x).
        adaptation: The number of temperatures of the run that finds the step sizes.
        data: How many data to draw.
        batch: How many data have their chains moved at once; the random numbers depend on it.
        precision: How exact the matrix products of the decoder are.

    Example:
        >>> Bdmc(temperatures=1000).metrics["sandwich_gap"].better
        'lower'
    """

    version = 2
    metrics: ClassVar[Mapping[str, Metric]] = {
        "log_likelihood": Metric("log p(x)", "nats", "higher", "log density of data drawn from the model"),
        "sandwich_gap": Metric(
            "Sandwich gap", "nats", "lower", "upper minus lower bound of log p(x) on drawn data"
        ),
        "acceptance_rate": Metric(
            "Acceptance rate", "fraction", "neither", "share of the Hamiltonian transitions accepted"
        ),
    }
    board = ("sandwich_gap",)

    def __init__(
        self,
        *,
        temperatures: Count = 100,
        chains: Several = 16,
        leapfrogs: Count = 5,
        start: Literal["prior", "posterior"] = "prior",
        adaptation: Count = 30,
        data: Several = 50,
        batch: Count = 64,
        precision: Precision = "highest",
    ) -> None:
        self.precision = precision
        self.temperatures, self.chains, self.leapfrogs = temperatures, chains, leapfrogs
        self.start, self.adaptation, self.data, self.batch = start, adaptation, data, batch
        of_q = {"posterior.density"} if start == "posterior" else set()
        self.requires = frozenset(
            {"objective.density", "prior.real", "prior.density", "decoder.density"} | of_q
        )

    def evaluations(self, work: Workload) -> int:
        moves = self.adaptation + 2 * (self.temperatures - 1)
        return self.data * (self.chains * (moves * self.leapfrogs + 3) + 1)

    @torch.no_grad()
    def evaluate(self, subject: Subject) -> Iterator[Measurement]:
        noise = subject.noise("bdmc")
        z, x = subject.model.simulate(noise, self.data)
        batches = [
            self._sandwich(subject, *pair, noise)
            for pair in subject.followed([*zip(x.split(self.batch), z.split(self.batch), strict=True)])
        ]
        columns = list(zip(*batches, strict=True))
        lower = joined(columns[0])
        upper, up, down = (torch.cat(column).cpu() for column in columns[1:])
        width = upper - lower.value
        if not width.isfinite().all():
            raise Refusal(
                f"the bounds are not finite, for {(~width.isfinite()).sum()} of {len(width)} drawn data"
            )
        below, above = standard_error(lower), standard_error(_upper(lower, upper))
        spread = (width.std() / len(width) ** 0.5).item()
        yield Measurement("log_likelihood", lower.value.mean().item(), below, "simulated/lower", "bdmc")
        yield Measurement(
            "log_likelihood", upper.mean().item(), None if below is None else above, "simulated/upper", "bdmc"
        )
        yield Measurement("sandwich_gap", width.mean().item(), spread, method="bdmc")
        yield Measurement("acceptance_rate", up.mean().item(), variant="lower")
        yield Measurement("acceptance_rate", down.mean().item(), variant="upper")
        if "model.exact_posterior" in subject.provides:
            exact = subject.model.exact_log_prob(x).double().mean().item()
            yield Measurement("log_likelihood", exact, 0.0, "simulated", "exact")

    def _sandwich(
        self, subject: Subject, x: Tensor, z: Tensor, noise: Noise
    ) -> tuple[Figure, Tensor, Tensor, Tensor]:
        """The lower bound, the upper bound and both acceptance rates of each datum, ``(B,)``."""
        q = subject.q(x) if self.start == "posterior" else None
        path = Path(subject.model, x, q, leapfrogs=self.leapfrogs)
        annealing = Annealing(path, self.temperatures, self.adaptation, self.chains, noise)
        up, moved_up = annealing.forward(noise)
        down, moved_down = annealing.backward(z, noise)
        # the mean inverse weight is 1 / p(x) on average: by Jensen minus its log is no less than log p(x)
        upper = math.log(self.chains) - (-down).logsumexp(0)
        return LogMean.of(up).figure(), upper, moved_up.mean(0), moved_down.mean(0)


def _upper(lower: Figure, upper: Tensor) -> Figure:
    """The upper bound, whose variance is what the lower one's leaves of the width's."""
    assert lower.variance is not None
    left = ((upper - lower.value).var() - lower.variance.mean()).clamp(min=0).expand(len(upper))
    return Figure(upper, left, bias=left / 2)
