"""What the model makes of values that it does not see."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, NamedTuple, final

import torch
from torch import Tensor

from lvmbench import (
    Bernoulli,
    Count,
    DiagonalNormal,
    Distribution,
    Evaluator,
    Measurement,
    Metric,
    Noise,
    Precision,
    Refusal,
    Stream,
    Subject,
    Workload,
    observed,
)
from lvmbench_plugins.evaluators._common import (
    Figure,
    Figures,
    LogMean,
    Several,
    known,
    measurements,
    of_some,
)

_SHARE = 0.5
_SMALLEST = -5.0  # log standard deviation of a pixel that never changes


class _Puzzle(NamedTuple):
    """Data ``(B, *x)`` of which a part is ``hidden``, to be told from what is ``seen``.

    What is neither is not known.
    """

    x: Tensor
    hidden: Tensor
    seen: Tensor

    def posed(self) -> _Puzzle:
        """The data of which something is hidden; raises `Refusal` where there are none."""
        rows = self.hidden.flatten(1).any(1)
        if not rows.any():
            raise Refusal("nothing that is known is hidden of any datum")
        return _Puzzle(*(part[rows] for part in self))

    def some(self, count: int, noise: Noise) -> _Puzzle:
        """At most so many of the data, drawn at random."""
        size = len(self.x)
        rows = noise.uniform((size,)).argsort()[:count] if count < size else slice(None)
        return _Puzzle(*(part[rows] for part in self))

    def split(self, size: int) -> Iterator[_Puzzle]:
        """So many data at once at most."""
        return map(_Puzzle, *(part.split(size) for part in self))


@final
class Imputation(Evaluator):
    r"""The hidden half of an image, or the missing values of a datum, inferred from what is seen.

    .. math:: \log p(x_h|x_s) \approx \log \sum_i \bar w_i\, p(x_h|z_i), \qquad
        w_i \propto \frac{p(x_s|z_i)\, p(z_i)}{\frac1{M+1} \left(p(z_i) + \sum_m q(z_i|x^{(m)})\right)}

    The posterior may know whole data only, so the weights correct for it: draws come from q(z|x) of M data
    whose hidden values are filled in, and from p(z), and are weighted as draws of this mixture: with p(z) in
    it no weight is large, though q(z|x) is narrower than p(z|x_s). The first round fills in the training
    means, or leaves the values out where the posterior has learnt from data that lack some; each later round
    chooses M of the draws by weight and fills in what the decoder draws from them (population Monte Carlo
    with pseudo-Gibbs moves). The last round is what counts. The approximation is that of self-normalised
    importance sampling, right for many draws. The error is the root mean square distance from
    :math:`\log p(x_h|x_s)`, by the jackknife over rows of one draw from each part of the mixture: spread and
    bias. None is stated where the mean weight of half of the data or more is worth fewer than 5 rows of equal
    weight. ``marginal`` is the baseline of independent values with the mean, and for values that are not
    binary the variance, of the training data.

    With ``hidden=missing`` the hidden values are those that the data lack, where the data set knows what they
    were; with ``random`` each value is hidden with a chance of a half, the same ones for every run. Data of
    which nothing is hidden are left out. Of what is hidden only what was observed counts.

    References:
        Stochastic Backpropagation and Approximate Inference in Deep Generative Models (Rezende, Mohamed,
        Wierstra, 2014), https://arxiv.org/abs/1401.4082;
        Population Monte Carlo (Cappe et al., 2004), https://doi.org/10.1198/106186004X12803;
        Leveraging the Exact Likelihood of Deep Latent Variable Models (Mattei, Frellsen, 2018),
        https://arxiv.org/abs/1802.04826;
        The Jackknife Estimate of Variance (Efron, Stein, 1981), https://doi.org/10.1214/aos/1176345462;
        MIWAE: Deep Generative Modelling and Imputation of Incomplete Data Sets (Mattei, Frellsen, 2019),
        https://arxiv.org/abs/1812.02633

    Arguments:
        hidden: The half of an image that is hidden; or ``random`` values, or ``missing``, what the data lack.
        rounds: How often data are filled in.
        fills: The number M of filled-in copies of each datum.
        samples: The number of draws of z from each of them, and from the prior.
        data: How many data of the split to take at most, drawn at random.
        chunk: How many pairs of sample and datum are decoded at once; the random numbers depend on it.
        precision: How exact the matrix products of the decoder are.

    Example:
        >>> Imputation(hidden="left").metrics["imputation_accuracy"].better
        'higher'
    """

    version = 3
    requires = frozenset(
        {"dataset.image", "decoder.units", "posterior.density", "prior.density", "prior.fixed"}
    )
    metrics: ClassVar[Mapping[str, Metric]] = {
        "hidden_log_likelihood": Metric(
            "log p(hidden | seen)", "nats", "higher", "log density of what is hidden given what is seen"
        ),
        "imputation_accuracy": Metric(
            "Imputation accuracy",
            "fraction",
            "higher",
            "hidden values of which the likelier one is the true one",
        ),
        "imputation_error": Metric(
            "Imputation error", "squared value", "lower", "mean squared error of the expected hidden values"
        ),
        "effective_sample_size": Metric(
            "Effective samples", "samples", "higher", "samples that the importance weights are worth"
        ),
    }
    board = ("hidden_log_likelihood", "imputation_accuracy", "imputation_error")

    def __init__(
        self,
        *,
        hidden: Literal["top", "bottom", "left", "right", "random", "missing"] = "bottom",
        rounds: Count = 5,
        fills: Count = 10,
        samples: Several = 50,
        data: Count = 500,
        chunk: Count = 4096,
        precision: Precision = "highest",
    ) -> None:
        self.precision = precision
        self.hidden, self.rounds, self.fills = hidden, rounds, fills
        self.samples, self.data, self.chunk = samples, data, chunk
        shown = {"missing": {"dataset.whole"}, "random": set()}.get(hidden, {"dataset.image"})
        self.requires = self.requires - {"dataset.image"} | shown

    def evaluations(self, work: Workload) -> int:
        each = self.rounds * (self.fills + 1) * self.samples + (self.rounds - 1) * self.fills
        return min(self.data, work.size) * each

    @torch.no_grad()
    def evaluate(self, subject: Subject) -> list[Measurement]:
        marginal, noise = _marginal(subject), subject.noise("imputation")
        puzzle = self._puzzle(subject).some(self.data, subject.noise("imputation", "data"))
        batches = puzzle.split(max(1, self.chunk // ((self.fills + 1) * self.samples)))
        found = measurements(self._figures(subject, b, marginal, noise) for b in subject.followed([*batches]))
        return of_some(found, subject)

    def _puzzle(self, subject: Subject) -> _Puzzle:
        """The data of the measured split of which something is hidden that is known."""
        x, seen = observed(subject.x)
        if self.hidden == "missing":
            whole = subject.part(subject.split).whole
            assert whole is not None
            return _Puzzle(whole.to(x), ~seen, seen).posed()
        hidden = (
            _random(x) if self.hidden == "random" else _mask(tuple(x.shape[1:]), self.hidden).to(x.device)
        )
        return _Puzzle(x, hidden & seen, ~hidden & seen).posed()

    def _figures(self, subject: Subject, puzzle: _Puzzle, marginal: Distribution, noise: Noise) -> Figures:
        x, mask = puzzle.x, puzzle.hidden
        z, log_w = self._infer(subject, puzzle, marginal.mean, noise)
        p = subject.model.decode(z).units
        weights = log_w.softmax(0)
        log_p = log_w + _over(p.log_prob(x), mask)
        expected = (weights.reshape(*weights.shape, *[1] * (x.dim() - 1)) * p.mean).sum(0)
        score = "imputation_accuracy" if "dataset.binary" in subject.provides else "imputation_error"
        both, seen = (LogMean.of(self._rows(each)) for each in (log_p, log_w))
        found = both.less(seen)
        return {
            ("hidden_log_likelihood", "", "importance"): found.figure(size=found.value),
            ("hidden_log_likelihood", "", "marginal"): known(_over(marginal.log_prob(x), mask)),
            (score, "", "importance"): Figure(_score(score, expected, x, mask), None),
            (score, "", "marginal"): Figure(_score(score, marginal.mean, x, mask), None),
            ("effective_sample_size", "imputation", ""): Figure(1 / weights.square().sum(0), None),
        }

    def _rows(self, log_w: Tensor) -> Tensor:
        """Log weights of independent rows, ``(samples, B)``,
        each of one draw from every part of the mixture.
        """
        near, far = log_w.split([self.samples * self.fills, self.samples])
        rows = torch.cat([near.unflatten(0, (self.samples, self.fills)), far.unsqueeze(1)], 1)
        return rows.logsumexp(1) - math.log(self.fills + 1)

    def _infer(self, subject: Subject, puzzle: _Puzzle, mean: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """Draws of z given what is seen, ``(S, B, *z)``, and their log weights, ``(S, B)``."""
        x, seen = puzzle.x, puzzle.seen
        first = mean if subject.model.complete else torch.nan
        filled = torch.where(seen, x, first).expand(self.fills, *x.shape)
        p = subject.model.p()
        for last in range(self.rounds):
            z, log_w = self._weighted(subject, p, filled, x, seen, noise)
            if last < self.rounds - 1:
                chosen = (log_w.unsqueeze(1) + noise.gumbel((len(z), self.fills, len(x)))).argmax(0)  # (M, B)
                parents = z[chosen, torch.arange(len(x), device=x.device)]
                made = subject.model.decode(parents).sample(noise, 1)[0]
                filled = torch.where(seen, x, made)
        return z, log_w

    def _weighted(
        self, subject: Subject, p: Distribution, filled: Tensor, x: Tensor, seen: Tensor, noise: Noise
    ) -> tuple[Tensor, Tensor]:
        """One round: ``filled`` is ``(M, B, *x)``."""
        model, (fills, size) = subject.model, filled.shape[:2]
        q = model.q(filled.flatten(0, 1))
        near = q.sample(noise, self.samples).unflatten(1, (fills, size)).flatten(0, 1)
        far = p.sample(noise, self.samples * size).unflatten(0, (self.samples, size))
        z = torch.cat([near, far])  # (S, B, *z)
        everywhere = z.unsqueeze(1).expand(len(z), fills, *z.shape[1:]).flatten(1, 2)  # (S, M B, *z)
        log_q, log_p = q.log_prob(everywhere).unflatten(1, (fills, size)), p.log_prob(z)
        proposal = torch.cat([log_q, log_p.unsqueeze(1)], 1).logsumexp(1) - math.log(fills + 1)
        return z, _over(model.decode(z).units.log_prob(x), seen) + log_p - proposal


def _random(x: Tensor) -> Tensor:
    """Each value with a chance of a half, the same ones for every run."""
    noise = Stream.seeded(0, "imputation", "random")
    return (noise.uniform(x.shape) < _SHARE).to(x.device)


def _mask(shape: tuple[int, ...], hidden: str) -> Tensor:
    """Where an image is hidden."""
    mask = torch.zeros(shape, dtype=torch.bool)
    sides = mask if hidden in ("top", "bottom") else mask.transpose(-1, -2)
    half = sides.shape[-2] // 2
    if half == 0:
        raise Refusal(f"images of shape {shape} have no {hidden} half")
    rows = slice(None, half) if hidden in ("top", "left") else slice(-half, None)
    sides[..., rows, :] = True
    return mask


def _over(values: Tensor, where: Tensor) -> Tensor:
    """The sum of values ``(..., B, *x)`` over a part ``(B, *x)`` of each datum."""
    return (values * where).flatten(1 - where.dim()).sum(-1)


def _marginal(subject: Subject) -> Distribution:
    """Independent values, as often on as in the training data plus one of each kind,
    or with their mean and variance.
    """
    values = subject.values("train")
    mean, count = values.nanmean(0), (~values.isnan()).sum(0)
    if "dataset.binary" in subject.provides:
        return Bernoulli(((count * mean + 1) / (count + 2)).logit(), 0)
    deviation = (values - mean).square().nanmean(0).sqrt()
    return DiagonalNormal(mean, deviation.log().clamp(min=_SMALLEST), 0)


def _score(metric: str, expected: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    """Of each datum, ``(B,)``: the share of hidden values that are right, or their mean squared error."""
    right = (expected > 0.5) == (x > 0.5) if metric == "imputation_accuracy" else (expected - x).square()
    return _over(right.to(x.dtype), mask) / mask.flatten(1).sum(1)
