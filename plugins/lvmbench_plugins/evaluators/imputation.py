"""What the model makes of a half that it does not see."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal, final

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
    Refusal,
    Subject,
    Work,
)
from lvmbench_plugins.evaluators._common import Figure, Figures, LogMean, Several, known, measurements

_SMALLEST = -5.0  # log standard deviation of a pixel that never changes


@final
class Imputation(Evaluator):
    r"""The hidden half of an image, inferred from the half that is seen.

    .. math:: \log p(x_h|x_s) \approx \log \sum_i \bar w_i\, p(x_h|z_i), \qquad
        w_i \propto \frac{p(x_s|z_i)\, p(z_i)}{\frac1{M+1} \left(p(z_i) + \sum_m q(z_i|x^{(m)})\right)}

    The posterior knows whole images only, so the weights correct for it: draws come from q(z|x) of M images whose hidden half
    is filled in, and from p(z), and are weighted as draws of this mixture: with p(z) in it no weight is large, though
    q(z|x) is narrower than p(z|x_s). The first round fills in the training means; each later
    round chooses M of the draws by weight and fills in what the decoder draws from them (population Monte Carlo
    with pseudo-Gibbs moves). The last round is what counts. The approximation is that of self-normalised importance
    sampling, right for many draws. The error is the root mean square distance from :math:`\log p(x_h|x_s)`, by the
    jackknife over rows of one draw from each part of the mixture: spread and bias. None is stated where the mean
    weight of half of the data or more is worth fewer than 5 rows of equal weight. ``marginal`` is the
    baseline of independent pixels with the mean, and for values that are not binary the variance, of the training data.

    References:
        Stochastic Backpropagation and Approximate Inference in Deep Generative Models (Rezende, Mohamed, Wierstra, 2014),
        https://arxiv.org/abs/1401.4082;
        Population Monte Carlo (Cappe et al., 2004), https://doi.org/10.1198/106186004X12803;
        Leveraging the Exact Likelihood of Deep Latent Variable Models (Mattei, Frellsen, 2018),
        https://arxiv.org/abs/1802.04826;
        The Jackknife Estimate of Variance (Efron, Stein, 1981), https://doi.org/10.1214/aos/1176345462

    Arguments:
        hidden: The half that is hidden.
        rounds: How often images are filled in.
        fills: The number M of filled-in images of each datum.
        samples: The number of draws of z from each of them, and from the prior.
        chunk: How many pairs of sample and datum are decoded at once; the random numbers depend on it.

    Example:
        >>> Imputation(hidden="left").metrics["imputation_accuracy"].better
        'higher'
    """

    version = 2
    requires = frozenset({"dataset.image", "decoder.units", "posterior.density", "prior.density"})
    metrics: ClassVar[Mapping[str, Metric]] = {
        "hidden_log_likelihood": Metric(
            "nats", "higher", "log density of the hidden half given the seen half"
        ),
        "imputation_accuracy": Metric(
            "fraction", "higher", "hidden pixels whose likelier value is the true one"
        ),
        "imputation_error": Metric(
            "squared value", "lower", "mean squared error of the hidden pixels' expected values"
        ),
        "effective_sample_size": Metric("samples", "higher", "samples that the importance weights are worth"),
    }

    def __init__(
        self,
        *,
        hidden: Literal["top", "bottom", "left", "right"] = "bottom",
        rounds: Count = 5,
        fills: Count = 10,
        samples: Several = 50,
        chunk: Count = 16384,
    ) -> None:
        self.hidden, self.rounds, self.fills = hidden, rounds, fills
        self.samples, self.chunk = samples, chunk

    def evaluations(self, work: Work) -> int:
        return work.size * (self.rounds * (self.fills + 1) * self.samples + (self.rounds - 1) * self.fills)

    @torch.no_grad()
    def evaluate(self, subject: Subject) -> list[Measurement]:
        mask = _mask(tuple(subject.x.shape[1:]), self.hidden).to(subject.device)
        marginal = _marginal(subject)
        noise = subject.noise("imputation")
        batches = subject.batches(max(1, self.chunk // ((self.fills + 1) * self.samples)))
        return measurements([self._figures(subject, x, mask, marginal, noise) for x in batches])

    def _figures(
        self, subject: Subject, x: Tensor, mask: Tensor, marginal: Distribution, noise: Noise
    ) -> Figures:
        z, log_w = self._infer(subject, x, mask, marginal.mean, noise)
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
        """Log weights of independent rows, ``(samples, B)``, each of one draw from every part of the mixture."""
        near, far = log_w.split([self.samples * self.fills, self.samples])
        rows = torch.cat([near.unflatten(0, (self.samples, self.fills)), far.unsqueeze(1)], 1)
        return rows.logsumexp(1) - math.log(self.fills + 1)

    def _infer(
        self, subject: Subject, x: Tensor, mask: Tensor, mean: Tensor, noise: Noise
    ) -> tuple[Tensor, Tensor]:
        """Draws of z given what is seen, ``(S, B, *z)``, and their log weights, ``(S, B)``."""
        filled = torch.where(mask, mean, x).expand(self.fills, *x.shape)
        p = subject.model.p()
        for last in range(self.rounds):
            z, log_w = self._weighted(subject, p, filled, x, ~mask, noise)
            if last < self.rounds - 1:
                chosen = (log_w.unsqueeze(1) + noise.gumbel((len(z), self.fills, len(x)))).argmax(0)  # (M, B)
                parents = z[chosen, torch.arange(len(x), device=x.device)]
                made = subject.model.decode(parents).sample(noise, 1)[0]
                filled = torch.where(mask, made, x)
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
    """The sum of pixels' values over a part of the image."""
    return (values * where).flatten(-where.dim()).sum(-1)


def _marginal(subject: Subject) -> Distribution:
    """Independent pixels, as often on as in the training data plus one of each kind, or with their mean and variance."""
    values = subject.values("train")
    mean, count = values.mean(0), len(values)
    if "dataset.binary" in subject.provides:
        return Bernoulli(((count * mean + 1) / (count + 2)).logit(), 0)
    return DiagonalNormal(mean, values.std(0, correction=0).log().clamp(min=_SMALLEST), 0)


def _score(metric: str, expected: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    """Of each datum, ``(B,)``: the share of hidden pixels that are right, or their mean squared error."""
    right = (expected > 0.5) == (x > 0.5) if metric == "imputation_accuracy" else (expected - x).square()
    return _over(right.to(x.dtype), mask) / mask.sum()
