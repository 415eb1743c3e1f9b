"""What several evaluators need: figures with their Monte Carlo error, and posterior means."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from lvmbench import (
    Distribution,
    LatentVariableModel,
    Measurement,
    Metric,
    Noise,
    Refusal,
    Subject,
    lasting,
)

Several = Annotated[int, Field(ge=2)]
"""A number of draws that a variance can be estimated from."""

FREEDOM = 4
"""The fewest degrees of freedom of an error that is stated:
two of them then cover 88% by Student's t, 70% with one.
"""

_WORTH = 5.0
"""How many draws of equal weight a mean weight must be as good as for the bias of its log to be known.

Simulated for normal log weights, for bounded ones and for powers with more than 1.5 moments, whatever the
number of draws, the stated error of means over 40 data or more is then within a fifth of the true one.
"""

_FEWEST = 4
"""The fewest weights whose spread says what they are worth."""

_APART = 16
"""Of so many batches at most figures are kept apart: of hundreds, they lie scattered in the memory between
tensors that come and go, which then find no room as large as they were.
"""

_FRAMES = 2**19
"""How many steps of sequences are decoded at once, at most."""


class Figure(NamedTuple):
    """One figure of each datum, ``(B,)``, and its Monte Carlo variance, ``(B,)``, where it is known.

    ``size``, ``(B,)``, is that of the numbers it was computed from, whose rounding is part of its error;
    ``freedom``, ``(B,)``, has the variance's degrees of freedom. A figure that is the log of a mean weight
    has a ``bias`` and a ``worth``, ``(B,)``, as `LogMean` has them.
    """

    value: Tensor
    variance: Tensor | None
    size: Tensor | None = None
    bias: Tensor | None = None
    worth: Tensor | None = None
    freedom: Tensor | None = None


Figures = dict[tuple[str, str, str], Figure]
"""Figures of a batch by metric, variant and method."""


def known(value: Tensor) -> Figure:
    """A figure without Monte Carlo error."""
    return Figure(value, torch.zeros_like(value))


def drawn(draws: Tensor, size: Tensor | None = None) -> Figure:
    """A figure that is the mean of independent draws, ``(S, B)``."""
    mean, count = draws.mean(0), len(draws)
    return Figure(mean, draws.var(0) / count, size, freedom=torch.full_like(mean, count - 1))


def drawn_together(draws: Tensor) -> Figure:
    """The same where the figures of a batch depend on each other:
    what each adds to the variance of their mean.
    """
    mean, size = draws.mean(0), draws.shape[1]
    # so that a sum over data as if they were independent comes to the variance that their mean has
    variance = (size * draws.mean(1).var() / len(draws)).expand(size)
    return Figure(mean, variance, freedom=torch.full_like(mean, (len(draws) - 1) / size))


def chosen(figure: Figure, count: int) -> Figure:
    r"""A figure of ``M`` data, ``(M,)``, drawn at random from as many as ``count``, :math:`N`, of which the
    mean is wanted.

    To the variance of the draws comes that of the choice: with the share :math:`f = M / N`, the variance
    :math:`s^2` of the figures and :math:`\bar w`, the mean of those by the draws, which is in :math:`s^2`,
    the mean has the variance

    .. math:: \frac{(1 - f) s^2 + f \bar w}{M}

    References:
        Sampling Techniques (Cochran, 1977), chapter 10.3
    """
    size = len(figure.value)
    if size == count or figure.variance is None:
        return figure
    share = size / count
    spread = (1 - share) * figure.value.var() + share * figure.variance
    return figure._replace(variance=spread, freedom=torch.full_like(spread, (size - 1) / size))


class LogMean(NamedTuple):
    r"""The log of the mean weight of each datum, ``(B,)``, and what is known of its error.

    ``influence``, ``(S, B)``, is what each draw adds to it, by the jackknife:
    :math:`(S - 1)(\ell - \ell_{-s})`, where :math:`\ell_{-s}` is the log of the mean weight without draw s.
    The variance that follows is on average at least the true one of S - 1 draws, times :math:`(S - 1) / S`,
    whatever the weights; the delta method's never exceeds 1, however heavy their tails. ``bias`` is minus
    half the variance, as for a normal :math:`\ell` whose exponential is unbiased. ``worth`` says how many
    draws of equal weight the mean weight is as good as: one over its squared coefficient of variation. A mode
    that no draw has met shows in none of these.

    References:
        The Jackknife Estimate of Variance (Efron, Stein, 1981), https://doi.org/10.1214/aos/1176345462
    """

    value: Tensor
    influence: Tensor
    bias: Tensor
    worth: Tensor

    @classmethod
    def of(cls, log_w: Tensor) -> LogMean:
        """From log weights of independent draws, ``(S, B)``."""
        count = len(log_w)
        # l - l_-s is minus the log of the others' share of the sum, but for the divisor, S - 1 in place of S
        influence = (1 - count) * (_log_share_of_others(log_w) - math.log1p(-1 / count))
        # shares have the mean 1 / S: the squared variation coefficient of the mean is S times their variance
        worth = 1 / log_w.softmax(0).var(0) / count
        bias = -influence.var(0) / count / 2
        value = log_w.logsumexp(0) - math.log(count)
        return cls(value, influence, bias, worth if count >= _FEWEST else torch.zeros_like(worth))

    def less(self, other: LogMean) -> LogMean:
        """The difference of two logs that rest on the same draws."""
        worth = torch.minimum(self.worth, other.worth)
        return LogMean(
            self.value - other.value, self.influence - other.influence, self.bias - other.bias, worth
        )

    def less_mean(self, draws: Tensor) -> LogMean:
        """The difference from the mean of other numbers of the same draws, ``(S, B)``."""
        mean = draws.mean(0)
        return self._replace(value=self.value - mean, influence=self.influence - (draws - mean))

    def figure(self, size: Tensor | None = None) -> Figure:
        """As a figure of its batch."""
        return drawn(self.influence, size)._replace(value=self.value, bias=self.bias, worth=self.worth)


def _log_share_of_others(log_w: Tensor) -> Tensor:
    """For each draw, ``(S, B)``, the log of the share of the weight that all others have:
    exact for the heaviest, too.
    """
    share = log_w.softmax(0)
    heaviest = share > 0.5
    rest = log_w.masked_fill(heaviest, -math.inf).logsumexp(0) - log_w.logsumexp(0)
    return torch.where(heaviest, rest, torch.log1p(-share))


def measurements(batches: Iterable[Figures]) -> list[Measurement]:
    """The mean over data of each figure; its error is that of the draws, independent between data."""
    return [_measurement(*key, figure) for key, figure in together(batches).items()]


def together(batches: Iterable[Figures]) -> Figures:
    """The figures of all batches, one after another, as those of one."""
    found: list[Figures] = []
    for figures in batches:
        found.append(figures)
        if len(found) == _APART:
            found = [_together(found)]
    return _together(found)


def _together(found: list[Figures]) -> Figures:
    return {key: joined([figures[key] for figures in found]) for key in found[0]}


def joined(batches: Sequence[Figure]) -> Figure:
    """The figures of all data, in main memory."""
    columns: list[Any] = [
        None if column[0] is None else torch.cat(column).cpu() for column in zip(*batches, strict=True)
    ]
    return Figure(*columns)


def _measurement(metric: str, variant: str, method: str, figure: Figure) -> Measurement:
    value, error = figure.value, standard_error(figure)
    if not (value.isfinite().all() and math.isfinite(error or 0.0)):
        raise Refusal(
            f"{metric} or its error is not finite, for {(~value.isfinite()).sum()} of {len(value)} data"
        )
    return Measurement(metric, value.double().mean().item(), error, variant, method, value)


def standard_error(figure: Figure) -> float | None:
    """The root mean square error of the mean over data, ``None`` where it is not known.

    It is made of the draws' spread, the bias that all data have in common, and rounding. It is not known from
    fewer than 4 degrees of freedom of all data together, nor where the mean weight of half of the data or
    more is worth fewer than 5 draws. That is decided by how many data there are of that kind and not by their
    share of the error: evaluations that happen to miss their heaviest weights would else be those that state
    one, and too small a one.
    """
    parts = _errors(figure)
    return None if parts is None else math.hypot(*parts)


def error_of_difference(one: Figure, other: Figure) -> float | None:
    """The same of the difference of two means over other data, in which biases cancel as far as they are
    alike.
    """
    a, b = _errors(one), _errors(other)
    if a is None or b is None:
        return None
    return math.hypot(a[0], b[0], a[1] - b[1], a[2], b[2])


def _errors(figure: Figure) -> tuple[float, float, float] | None:
    """The error of the mean over data by the spread of the draws, its bias, and that by rounding."""
    few = figure.freedom is not None and round(figure.freedom.double().sum().item()) < FREEDOM
    if figure.variance is None or few or (figure.worth is not None and figure.worth.median() < _WORTH):
        return None
    spread = figure.variance.double().sum().sqrt().item() / len(figure.variance)
    # of one sign for all data: it does not average out
    bias = 0.0 if figure.bias is None else figure.bias.double().mean().item()
    eps = torch.finfo(figure.value.dtype).eps
    return spread, bias, 0.0 if figure.size is None else eps * figure.size.abs().mean().item()


class Target(NamedTuple):
    """log p(x, z), ``(K, B)``, of a batch as a function of z; p(z) is found once."""

    model: LatentVariableModel
    x: Tensor
    p: Distribution

    def __call__(self, z: Tensor) -> Tensor:
        return self.model.log_joint(self.x, z, self.p)


def side(subject: Subject) -> str:
    """The variant of figures that log q enters:
    ``upper`` where it is only estimated or bounded, so that they are upper bounds.
    """
    return "" if subject.provides.isdisjoint({"posterior.estimate", "posterior.bound"}) else "upper"


@torch.no_grad()
def posterior_means(subject: Subject, values: Tensor, chunk: int = 8192) -> Tensor:
    """The posterior means as vectors, ``(N, D)``, in double precision and main memory."""
    means = torch.cat([subject.q(x).mean.flatten(1) for x in torch.split(values, chunk)])
    if not means.isfinite().all():
        raise Refusal("the posterior's means are not finite")
    return means.double().cpu()


def training_means(subject: Subject, noise: Noise, most: int, chunk: int = 8192) -> tuple[Tensor, Tensor]:
    """The posterior means of at most so many training data, ``(N, D)``, and which ones, ``(N,)``."""
    values, chosen = training_data(subject, noise, most)
    return posterior_means(subject, values, chunk), chosen.cpu()


def training_data(subject: Subject, noise: Noise, most: int) -> tuple[Tensor, Tensor]:
    """At most so many training data drawn at random, ``(N, *x)``, their values as a training visit makes
    them, and which ones, ``(N,)``.
    """
    chosen = noise.uniform((len(subject.part("train")),)).argsort()[:most]
    values = subject.values("train", chosen)
    return values if subject.data.visit is None else subject.data.visit(values, noise), chosen


def some_data(subject: Subject, count: int) -> Tensor:
    """At most so many data of the measured split, drawn without replacement: the same for each instrument."""
    if subject.size <= count:
        return subject.x
    return subject.values(subject.split, subject.order[:count])


def of_some(found: list[Measurement], subject: Subject) -> list[Measurement]:
    """The measurements, without the figures of each datum where they are not those of the whole split."""
    return [
        replace(m, per_datum=None) if m.per_datum is not None and len(m.per_datum) < subject.size else m
        for m in found
    ]


def samples_of_each(count: int, pairs: int, *, fewest: int, most: int) -> int:
    """How many samples of each of so many data make so many pairs of a sample and a datum, within bounds."""
    return max(fewest, min(most, pairs // count))


def in_steps(subject: Subject) -> bool:
    """Whether the model goes through the data step by step."""
    return subject.data.in_steps(subject.model.prior.space)


def in_batches(subject: Subject, x: Tensor, size: int) -> list[Tensor]:
    """Data ``(N, *x)`` in batches of at most so many;
    where the model goes through them in steps, as long as the longest of each.
    """
    parts = x.split(size)
    return (
        [part[:, : int(lasting(part).sum(1).max())] for part in parts] if in_steps(subject) else list(parts)
    )


def pairs_at_once(subject: Subject, chunk: int) -> int:
    """How many pairs of sample and datum are decoded at once: ``chunk``, or fewer of long sequences."""
    steps = subject.data.summary.steps if in_steps(subject) else 1
    return max(1, min(chunk, _FRAMES // steps))


def with_steps(
    found: list[Measurement], subject: Subject, batches: Sequence[Tensor], metrics: Mapping[str, Metric]
) -> list[Measurement]:
    """Measurements and, where the data are sequences, those in nats also per step:
    the total of the batches over their total number of steps.
    """
    if not subject.data.sequence:
        return found
    each = sum(map(len, batches)) / sum(int(lasting(x).sum()) for x in batches)
    return [*found, *(_per_step(m, each) for m in found if metrics[m.metric].unit == "nats")]


def _per_step(m: Measurement, each: float) -> Measurement:
    """A mean over data as one over steps: ``each`` is how many data there are to a step."""
    return replace(
        m,
        value=m.value * each,
        stderr=None if m.stderr is None else m.stderr * each,
        variant="/".join(filter(None, (m.variant, "per_step"))),
        per_datum=None if m.per_datum is None else m.per_datum * each,
    )
