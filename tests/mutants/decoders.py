"""Wrong decoders."""

import torch
from torch import nn

from lvmbench import Bernoulli, Decoder, DiagonalNormal, register_posterior
from lvmbench.distributions import ContinuousBernoulli, DiscretizedLogisticMixture, NegativeBinomial
from tests.mutants import mutant


class Linear(Decoder):
    """A normal about a linear map of a vector z."""

    distribution = DiagonalNormal
    requires = frozenset({"dataset.real", "prior.real"})

    def __init__(self, data, space):
        super().__init__()
        self.shape = data.event_shape
        self.linear = nn.Linear(space.event_shape[0], data.mean.numel())
        self.log_scale = nn.Parameter(torch.zeros(()))

    def loc(self, z):
        return self.linear(z).unflatten(-1, self.shape)

    def forward(self, z):
        return self.distribution(self.loc(z), self.log_scale, len(self.shape))


@mutant("ignores z", decoder_depends_on_z="use z")
class IgnoresZ(Linear):
    def loc(self, z):
        return super().loc(torch.zeros_like(z))


class Mean(DiagonalNormal):
    def log_prob(self, value):
        return super().log_prob(value) / self.loc.shape[-1]


@mutant("a mean over pixels where a sum is due", density_integrates_to_one="sum over dimensions")
class MeanOverPixels(Linear):
    distribution = Mean


class BatchSummed(DiagonalNormal):
    def log_prob(self, value):
        return super().log_prob(value).sum(-1)


@mutant("the log density is summed over the batch", log_prob_has_its_shape="keep samples K and batch B")
class SumOverBatch(Linear):
    distribution = BatchSummed


@mutant("the scale is detached", gradient_reaches_every_parameter="no gradient reaches log_scale")
class ScaleDetached(Linear):
    def forward(self, z):
        return DiagonalNormal(self.loc(z), self.log_scale.detach(), len(self.shape))


@mutant("a gradient of the wrong size", density_gradient_agrees_with_differences="by differences")
class HalfTheGradient(Linear):
    def loc(self, z):
        loc = super().loc(z)
        return 0.5 * loc + 0.5 * loc.detach()


class ZeroFilled(DiagonalNormal):
    def observed_log_prob(self, value):
        return self.log_prob(value.nan_to_num(0.0))


@mutant(
    "takes what was not observed for 0",
    observed_density_is_the_marginal="without the first value the density of what was observed is off",
)
class TakesHolesForZeros(Linear):
    distribution = ZeroFilled


class Conjugate(Linear):
    pass


@register_posterior(DiagonalNormal, Conjugate)
def _too_wide(p: DiagonalNormal, decoder: Conjugate, x: torch.Tensor) -> DiagonalNormal:
    return DiagonalNormal((x.flatten(1) - decoder.linear.bias) @ decoder.linear.weight, p.log_scale)


mutant("a registered posterior that is not the exact one", registered_posterior_is_exact="it varies by")(
    Conjugate
)


class Probabilities(Bernoulli):
    def log_prob(self, value):
        return (value * self.logits + (1 - value) * (1 - self.logits)).log().flatten(-self.event_dims).sum(-1)


@mutant(
    "logits taken for probabilities",
    log_prob_has_its_shape="not finite",
    samples_have_their_shapes="not finite",
)
class LogitsForProbabilities(Linear):
    distribution = Probabilities
    requires = frozenset({"dataset.binary", "prior.real"})

    def forward(self, z):
        return Probabilities(self.loc(z) + 0 * self.log_scale, len(self.shape))


@mutant(
    "probabilities that are rounded to 0 and 1, as logits",
    far_values_have_finite_densities="a figure or gradient is not finite; speak logits",
)
class Saturated(Linear):
    distribution = Bernoulli
    requires = frozenset({"dataset.binary", "prior.real"})

    def __init__(self, data, space):
        super().__init__(data, space)
        del self.log_scale

    def forward(self, z):
        p = (2 * self.loc(z)).sigmoid()
        return Bernoulli((p / (1 - p)).log(), len(self.shape))


class Thresholded(Bernoulli):
    def sample_and_log_prob(self, noise, samples):
        value = (noise.uniform((samples, *self.logits.shape)) < self.logits).to(self.logits.dtype)
        return value, self.log_prob(value)


@mutant(
    "samples compare uniform numbers with logits",
    samples_follow_the_density="sampling and density are of two distributions",
    mean_is_the_average_of_samples="the mean should be",
)
class SamplesFromLogits(Linear):
    distribution = Thresholded
    requires = frozenset({"dataset.binary", "prior.real"})

    def forward(self, z):
        return Thresholded(self.loc(z) + 0 * self.log_scale, len(self.shape))


class WithoutConstant(ContinuousBernoulli):
    def log_prob(self, value):
        return Bernoulli(self.logits, self.event_dims).log_prob(value)


@mutant(
    "the Bernoulli likelihood of grey values, which is no density",
    density_integrates_to_one="the density is",
)
class GreyBernoulli(Linear):
    distribution = WithoutConstant
    requires = frozenset({"dataset.unit", "dataset.real", "prior.real"})

    def forward(self, z):
        return WithoutConstant(self.loc(z) + 0 * self.log_scale, len(self.shape))


class WithoutTails(DiscretizedLogisticMixture):
    def _log_masses(self, value):
        return -self._standard(value) - 2 * torch.log1p((-self._standard(value)).exp()) + self._log_width


@mutant(
    "a density of levels times the width of one, without the tails at the ends",
    density_integrates_to_one="the density is",
)
class TailsLeftOut(Linear):
    distribution = WithoutTails
    requires = frozenset({"dataset.levels", "prior.real"})

    def __init__(self, data, space):
        super().__init__(data, space)
        self.levels, self.step = data.levels, data.step

    def forward(self, z):
        loc = self.loc(z).unsqueeze(-1)
        scale = self.log_scale.expand_as(loc)
        return WithoutTails(torch.zeros_like(loc), loc, scale, self.levels, self.step, len(self.shape))


class OfOwnTotal(NegativeBinomial):
    def log_prob(self, value):
        dims = tuple(range(-self.event_dims, 0))
        shares = self.log_mean - self.log_mean.logsumexp(dims, keepdim=True)
        total = value.sum(dims, keepdim=True).clamp(min=1).log()
        return NegativeBinomial(shares + total, self.log_dispersion, self.event_dims).log_prob(value)


@mutant(
    "a mean that is a share of the total of x itself",
    density_integrates_to_one="the density is",
)
class OwnTotal(Linear):
    distribution = OfOwnTotal
    requires = frozenset({"dataset.count", "prior.real"})

    def forward(self, z):
        return OfOwnTotal(self.loc(z), self.log_scale, len(self.shape))
