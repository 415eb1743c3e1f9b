"""How close the bounds come to log p(x)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, final

import torch
from torch import Tensor

from lvmbench import (
    Count,
    Distribution,
    Enough,
    Evaluator,
    Measurement,
    Metric,
    Noise,
    Precision,
    Subject,
    Terms,
    Workload,
    analytic_kl,
)
from lvmbench_plugins.evaluators._common import (
    Figure,
    Figures,
    LogMean,
    drawn,
    drawn_together,
    in_batches,
    joined,
    known,
    measurements,
    of_some,
    pairs_at_once,
    samples_of_each,
    side,
    some_data,
    together,
    with_steps,
)


@final
class Tightness(Evaluator):
    r"""The ELBO, the objective's own bound, log p(x), and the gap between log p(x) and the ELBO.

    .. math:: \log \hat p(x) = \log \frac1S \sum_s w_s, \quad w_s = \frac{p(x, z_s)}{q(z_s|x)},
        \quad z_s \sim q(z|x)

    All figures but the bound come from the same :math:`S` draws. Where the KL divergence is known, the ELBO
    is the mean of :math:`\log p(x|z_s) - \mathrm{KL} - c\,(r_s - \mathrm{KL})`, where the mean of
    :math:`r_s = \log q(z_s|x) - \log p(z_s)` is the KL and :math:`0 \le c \le 1` is the regression
    coefficient of log p(x|z) on r for the other data of a batch. Its error is then about as small as with the
    closed form (:math:`c = 0`) or with the samples alone (:math:`c = 1`), whichever is better, and nothing
    where q is the true posterior.

    The standard errors are those of what each draw adds to its datum's figure. For :math:`\log \hat p` that
    is found by the jackknife, and its error is the root mean square distance from log p(x): it counts the
    bias, half the variance, by which :math:`\log \hat p` is too low on average. For the gap it is the
    difference of what a draw adds to both, so that what they have in common cancels. The rounding of the log
    densities is added: where q is the true posterior nothing else is left. No error is stated for these two
    where the mean weight of half of the data or more is worth fewer than 5 draws of equal weight, nor with
    fewer than 4 samples: then the bias is not known. What no sample has met, a mode far from q, does not show
    in it. The effective sample size :math:`(\sum w)^2 / \sum w^2` has no standard error: that would rest on
    fourth moments of the weights, and came out half as large as it should be where it was tried. The bound
    has the KL weight 1 and keeps the objective's own weights.

    Where log q(z|x) is only estimated or bounded, as with auxiliary variables, the ELBO is a lower bound
    still, and the gap, as ``upper``, an upper bound of that of q(z|x). Of a bound of log q alone no weights
    follow, and what rests on them is left out.

    Of sequences, figures in nats are also given as ``per_step``: the total over all data over the total
    number of their steps.

    References:
        Importance Weighted Autoencoders (Burda, Grosse, Salakhutdinov, 2016),
        https://arxiv.org/abs/1509.00519;
        Sticking the Landing (Roeder, Wu, Duvenaud, 2017), https://arxiv.org/abs/1703.09194 (when samples beat
        the closed form);
        Monte Carlo theory, methods and examples (Owen, 2013), chapters 8 and 9,
        https://artowen.su.domains/mc/;
        The Jackknife Estimate of Variance (Efron, Stein, 1981), https://doi.org/10.1214/aos/1176345462

    Arguments:
        samples: The number of draws :math:`S`; by default 1,000, and of large splits as many as make
            1,000,000 pairs of a draw and a datum, at least 100.
        repeats: How many draws of the bound to take at most: fewer, but at least 2, where they would need
            more than ``samples`` samples. By default 100, and of large splits as many as make 100,000 pairs,
            at least 10.
        data: How many data of the split to take at most, drawn at random.
        chunk: How many pairs of sample and datum are decoded at once, or fewer of long sequences; the random
            numbers depend on it.
        precision: How exact the matrix products of the decoder are.

    Example:
        >>> sorted(Tightness(samples=100).metrics)
        ['bound', 'data_log_prob', 'effective_sample_size', 'elbo', 'gap', 'log_likelihood']
    """

    version = 5
    requires = frozenset({"objective.density"})
    metrics: ClassVar[Mapping[str, Metric]] = {
        "elbo": Metric("ELBO", "nats", "higher", "evidence lower bound"),
        "bound": Metric("Bound", "nats", "higher", "the training objective's own bound"),
        "log_likelihood": Metric("log p(x)", "nats", "higher", "log density of the data under the model"),
        "gap": Metric("Gap", "nats", "lower", "log p(x) minus the ELBO"),
        "effective_sample_size": Metric(
            "Effective samples", "samples", "higher", "samples that the importance weights are worth"
        ),
        "data_log_prob": Metric(
            "True log p(x)", "nats", "neither", "log density of the data under their true distribution"
        ),
    }
    board = ("elbo", "log_likelihood", "gap")

    def __init__(
        self,
        *,
        samples: Enough = None,
        repeats: Enough = None,
        data: Count = 10_000,
        chunk: Count = 2048,
        precision: Precision = "highest",
    ) -> None:
        self.precision = precision
        self.samples, self.repeats, self.data, self.chunk = samples, repeats, data, chunk

    def evaluations(self, work: Workload) -> int:
        count, samples = min(self.data, work.size), work.objective.samples
        return count * (self.draws(count) + self._repeats(count, samples) * samples)

    @torch.no_grad()
    def evaluate(self, subject: Subject) -> list[Measurement]:
        batches = self.batches(subject, some_data(subject, self.data))
        figures = self.figures(subject, batches, subject.noise("tightness"))
        return with_steps(of_some(measurements([figures]), subject), subject, batches, self.metrics)

    def batches(self, subject: Subject, x: Tensor) -> list[Tensor]:
        """Data ``(N, *x)`` in batches of which the draws fit into memory."""
        # what is kept of a batch are S numbers for each datum, 100 chunks of them at most
        size = min(math.isqrt(self.chunk), 100 * self.chunk // self.draws(len(x)))
        return in_batches(subject, x, max(1, size))

    def figures(self, subject: Subject, batches: Sequence[Tensor], noise: Noise) -> Figures:
        """The figures of all data of some batches."""
        count = sum(map(len, batches))
        draws, repeats = self.draws(count), self._repeats(count, subject.objective.samples)
        return together(self._figures(subject, x, noise, draws, repeats) for x in subject.followed(batches))

    def draws(self, count: int) -> int:
        """How many draws are taken of each of so many data, :math:`S`."""
        return self.samples or samples_of_each(count, 1_000_000, fewest=100, most=1000)

    def _figures(self, subject: Subject, x: Tensor, noise: Noise, draws: int, repeats: int) -> Figures:
        p, pairs = subject.model.p(), pairs_at_once(subject, self.chunk)
        elbo, log_w = self._draws(Terms(subject.model, x, noise, draws, p=p, q=subject.q(x)), pairs)
        log_p = LogMean.of(log_w)
        size = elbo.mean(0)  # what every log density here is about as large as
        figures = {
            ("elbo", "", ""): drawn(elbo, size=size),
            ("bound", "", ""): self._bound(subject, x, noise, p, pairs, repeats),
        }
        if "posterior.bound" not in subject.provides:
            figures |= self._weighed(log_w, log_p.figure(size))
        if "model.exact_posterior" in subject.provides:
            exact = subject.model.exact_log_prob(x, p)
            figures["log_likelihood", "", "exact"] = known(exact)
            figures["gap", side(subject), "exact"] = drawn(exact - elbo, size=size)
        elif "posterior.bound" not in subject.provides:
            figures["gap", side(subject), "importance"] = log_p.less_mean(elbo).figure(size)
        if subject.data.log_prob is not None:
            figures["data_log_prob", "", "exact"] = known(subject.data.log_prob(x.cpu()))
        return figures

    def _weighed(self, log_w: Tensor, log_p: Figure) -> Figures:
        """What rests on weights whose mean is p(x)."""
        worth = (1 / log_w.softmax(0).square().sum(0)).clamp(max=len(log_w))
        return {
            ("log_likelihood", "", "importance"): log_p,
            ("effective_sample_size", "", ""): Figure(worth, None),
        }

    def _draws(self, terms: Terms, pairs: int) -> tuple[Tensor, Tensor]:
        """What each draw adds to the ELBO, and its log weight, both ``(S, B)``."""
        tiles = []
        for rows in torch.split(torch.arange(terms.samples), max(1, pairs // len(terms.x))):
            tile = terms.again(len(rows))
            tiles.append((tile.log_likelihood, tile.log_q - tile.log_prior))
        likelihood, ratio = (torch.cat(column) for column in zip(*tiles, strict=True))
        return _elbo(likelihood, ratio, analytic_kl(terms.q, terms.p)), likelihood - ratio

    def _repeats(self, count: int, samples: int) -> int:
        """How often the bound of so many data is drawn, of so many samples each."""
        wished = self.repeats or samples_of_each(count * samples, 100_000, fewest=10, most=100)
        return max(2, min(wished, self.draws(count) // samples))

    def _bound(
        self, subject: Subject, x: Tensor, noise: Noise, p: Distribution, pairs: int, repeats: int
    ) -> Figure:
        objective, figures = subject.objective, []
        for part in torch.split(x, max(1, pairs // objective.samples)):
            terms = Terms(subject.model, part, noise, objective.samples, p=p, q=subject.q(part))
            draws = torch.stack([objective(each) for each in _repeated(terms, repeats, pairs)])
            figures.append(drawn_together(draws) if objective.batchwise else drawn(draws))
        return joined(figures)


def _repeated(terms: Terms, repeats: int, pairs: int) -> Iterator[Terms]:
    """Fresh draws of terms, as many together as there are pairs of sample and datum to be decoded at once."""
    at_once = max(1, pairs // (terms.samples * len(terms.x)))
    for numbers in torch.arange(repeats).split(at_once):
        many = terms.again(terms.samples * len(numbers))
        yield from map(many.take, torch.arange(many.samples).split(terms.samples))


def _elbo(likelihood: Tensor, ratio: Tensor, kl: Tensor | None) -> Tensor:
    """What each draw adds to the ELBO, ``(S, B)``."""
    if kl is None:
        return likelihood - ratio
    centred = ratio - ratio.mean(0)
    shared, squares = (centred * likelihood).sum(0), centred.square().sum(0)
    # of the other data: a coefficient that knows a datum's own draws makes their error look too small
    others = squares.sum() - squares
    c = torch.where(others > 0, (shared.sum() - shared) / others, 1.0)
    return likelihood - kl - c.clamp(0, 1) * (ratio - kl)
