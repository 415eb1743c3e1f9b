"""Wrong priors."""

import torch
from torch import nn

from lvmbench import (
    DiagonalNormal,
    LatentSpace,
    MarkovPrior,
    Mixture,
    MultivariateNormal,
    Positive,
    Prior,
    Steps,
)
from tests.mutants import mutant


class NormalPrior(Prior):
    """A normal with learned location and scale."""

    distribution = DiagonalNormal

    def __init__(self, data, latent):
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(latent))
        self.log_scale = nn.Parameter(torch.zeros(latent))

    @property
    def space(self):
        return LatentSpace(tuple(self.loc.shape))

    def forward(self, model):
        return self.distribution(self.loc, self.log_scale)


class RawMixture(Mixture):
    def __init__(self, logits, components):
        super().__init__(logits, components)
        self.log_weights = logits


@mutant(
    "a mixture whose weights are not normalised: no log-softmax",
    density_integrates_to_one="normalised weight",
)
class UnnormalisedMixture(Prior):
    distribution = RawMixture

    def __init__(self, data, latent):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(4))
        self.loc = nn.Parameter(torch.randn(4, latent))
        self.log_scale = nn.Parameter(torch.zeros(4, latent))

    @property
    def space(self):
        return LatentSpace(tuple(self.loc.shape[1:]))

    def forward(self, model):
        return RawMixture(self.logits, DiagonalNormal(self.loc, self.log_scale))


class NoConstant(DiagonalNormal):
    def log_prob(self, value):
        return super().log_prob(value) + 0.9189385 * self.loc.shape[-1]


@mutant("the density without its constant log 2 pi", density_integrates_to_one="missing constant")
class ConstantForgotten(NormalPrior):
    distribution = NoConstant


class VarianceAsScale(DiagonalNormal):
    def log_prob(self, value):
        return DiagonalNormal(self.loc, 2 * self.log_scale + 0.5).log_prob(value)


@mutant(
    "the density takes the variance for the standard deviation", samples_follow_the_density="another scale"
)
class VarianceForScale(NormalPrior):
    distribution = VarianceAsScale


class ScaleForgotten(DiagonalNormal):
    def sample_and_log_prob(self, noise, samples):
        eps = noise.normal((samples, *self.loc.shape))
        return self.loc + self.log_scale.exp() * eps, DiagonalNormal(
            self.loc * 0, self.log_scale * 0
        ).log_prob(eps)


@mutant(
    "the density of a sample is that of its noise: no Jacobian",
    sampled_density_is_log_prob="another scale",
    own_densities_weigh_a_box="log-determinant",
)
class JacobianForgotten(NormalPrior):
    distribution = ScaleForgotten


@mutant(
    "a mixture of other components than it declares",
    distribution_is_the_declared_one="it returns Mixture[MultivariateNormal], declared is "
    "Mixture[DiagonalNormal]",
)
class OtherComponents(UnnormalisedMixture):
    distribution = Mixture[DiagonalNormal]

    def forward(self, model):
        return Mixture(self.logits, MultivariateNormal(self.loc, torch.diag_embed(self.log_scale.exp())))


class EqualWeights(Mixture):
    @property
    def mean(self):
        return self.components.mean.mean(0)


@mutant(
    "the mean of a mixture ignores its weights",
    mean_is_the_average_of_samples="do not declare the trait 'mean'",
)
class WrongMean(UnnormalisedMixture):
    distribution = EqualWeights

    def forward(self, model):
        return EqualWeights(self.logits, DiagonalNormal(3 * self.loc, self.log_scale))


@mutant(
    "declares the trait 'mean', and has none",
    mean_is_the_average_of_samples="does not declare the trait 'mean'",
)
class ProvidesTooMuch(NormalPrior):
    class distribution(DiagonalNormal):  # noqa: N801
        mean = property(lambda self: super(DiagonalNormal, self).mean)


class RawShares(Mixture):
    def assign(self, value):
        return self._log_joint(value).exp()


@mutant("shares of components that do not add up to one", components_share_each_value="sum is off")
class SharesNotNormalised(UnnormalisedMixture):
    distribution = RawShares

    def forward(self, model):
        return RawShares(self.logits, DiagonalNormal(self.loc, self.log_scale))


class EqualStrata(Mixture):
    def strata(self, noise, samples):
        values, log_weights = super().strata(noise, samples)
        return values, torch.zeros_like(log_weights).log_softmax(0)


@mutant("strata that ignore the weights", strata_make_up_the_whole="the components' weights beside them")
class StrataOfEqualWeights(UnnormalisedMixture):
    distribution = EqualStrata

    def forward(self, model):
        return EqualStrata(4 * self.logits, DiagonalNormal(3 * self.loc, self.log_scale))


class StillStrata(Mixture):
    def strata(self, noise, samples):
        values, log_weights = super().strata(noise, samples)
        return values, log_weights.detach()


@mutant("weights of strata without gradients", strata_make_up_the_whole="the strata along 'logits'")
class StrataOfStillWeights(UnnormalisedMixture):
    distribution = StillStrata

    def forward(self, model):
        return StillStrata(self.logits, DiagonalNormal(self.loc, self.log_scale))


@mutant(
    "a random constant that is neither parameter nor buffer: lost when saved, left behind when moved",
    state_round_trips="persistent buffer",
    device_is_followed="register constant tensors",
)
class BufferNotRegistered(NormalPrior):
    def __init__(self, data, latent):
        super().__init__(data, latent)
        self.shift = torch.randn(latent)

    def forward(self, model):
        return DiagonalNormal(self.loc + self.shift, self.log_scale)


@mutant("a result rounded to single precision", double_precision_is_kept="float32")
class RoundedToSingle(NormalPrior):
    class distribution(DiagonalNormal):  # noqa: N801
        def log_prob(self, value):
            return super().log_prob(value).float()


class Global(DiagonalNormal):
    def sample_and_log_prob(self, noise, samples):
        value = self.loc + self.log_scale.exp() * torch.randn(samples, *self.loc.shape)
        return value, self.log_prob(value)


@mutant(
    "noise drawn from torch's global generator",
    global_generators_are_left_alone="generator of torch was used in training",
    same_noise_gives_the_same_result="noise argument only",
)
class GlobalNoise(NormalPrior):
    distribution = Global


@mutant(
    "returns another class than it declares", distribution_is_the_declared_one="declared is DiagonalNormal"
)
class OtherDistribution(NormalPrior):
    def forward(self, model):
        return NoConstant(self.loc, self.log_scale)


@mutant("a parameter that nothing uses", gradient_reaches_every_parameter="no gradient reaches unused")
class UnusedParameter(NormalPrior):
    def __init__(self, data, latent):
        super().__init__(data, latent)
        self.unused = nn.Parameter(torch.zeros(3))


@mutant(
    "an option that its smallest value breaks",
    options_work_at_their_ends="narrow the range of 'width' to what works, width: Annotated[float, "
    "Field(ge=0.5, allow_inf_nan",
)
class BrokenAtTheEnd(NormalPrior):
    def __init__(self, data, latent, *, width: Positive = 1.0):
        super().__init__(data, latent)
        self.power = 10 // int(width + 0.5)


@mutant(
    "hardly any metadata: no sentence, formula, reference or example, an option without words",
    summary_is_one_sentence="full stop",
    formula_is_stated="math::",
    references_have_year_and_link="References",
    example_runs="no '>>> '",
    options_are_documented="undocumented: width",
)
class Undocumented(NormalPrior):
    """A prior"""

    def __init__(self, data, latent, *, width: Positive = 1.0):
        super().__init__(data, latent)


@mutant("an example that prints something else", example_runs="the example fails")
class ExampleLies(NormalPrior):
    """A prior.

    Example:
        >>> 1 + 1
        3
    """


@mutant(
    "requirements without a kind, an option that is positional",
    declarations_are_well_formed="write kind.capability",
    options_are_keyword_only="put options after *",
)
class BadDeclarations(NormalPrior):
    requires = frozenset({"binary"})

    def __init__(self, data, latent, width=1.0):
        super().__init__(data, latent)


@mutant("z has a latent more than tables say", latent_size_is_that_of_z="z has 3 latents, and tables say 2")
class OneMore(NormalPrior):
    def __init__(self, data, latent):
        super().__init__(data, latent + 1)


class ReadsTwice(LatentSpace):
    def read(self, z):
        return z[..., :1].expand(*z.shape[:-1], self.layers[0])


class Unregistered(DiagonalNormal):
    """A normal of which nothing is registered."""


@mutant("the decoder is shown one latent for all", decoder_reads_a_part_of_z="each once")
class OneForAll(NormalPrior):
    distribution = Unregistered

    @property
    def space(self):
        size = len(self.loc)
        return ReadsTwice((size,), layers=(size,))


@mutant(
    "declares normals from the top layer down, and has none", top_down_is_true="not a Chain that is drawn"
)
class FalselyTopDown(NormalPrior):
    provides = frozenset({"top_down"})


@mutant("a class that is no prior in full", class_is_of_its_kind="space is missing")
class Abstract(Prior):
    distribution = DiagonalNormal

    def forward(self, model):
        return None


@mutant(
    "the samples of a step decide how many there are",
    number_of_draws_is_fixed="masks instead of data-dependent loops",
)
class Rejecting(NormalPrior):
    class distribution(DiagonalNormal):  # noqa: N801
        def sample_and_log_prob(self, noise, samples):
            value, log_prob = super().sample_and_log_prob(noise, samples)
            while (value - self.loc).abs().max() > 1.5 * self.log_scale.exp().max():
                value, log_prob = super().sample_and_log_prob(noise, samples)
            return value, log_prob


class Drift(MarkovPrior):
    """A chain of normals, each about a line in the step before."""

    distribution = Steps

    def __init__(self, data, latent):
        super().__init__(data, latent)
        self.slope, self.loc = nn.Parameter(torch.ones(latent)), nn.Parameter(torch.zeros(latent))

    def law(self, h):
        return DiagonalNormal(self.slope * h[..., :-1] + self.loc, torch.zeros_like(self.loc))


class Unending(Steps):
    def total(self, figures):
        return figures.sum(-1)


@mutant(
    "padding counted as data: it adds up steps after the end of a sequence",
    nothing_counts_after_the_end="log_prior of a sequence among longer ones is off",
)
class PaddingCounted(Drift):
    distribution = Unending

    def of(self, memory):
        return Unending(memory, lambda t, h: self.law(h), self.along)


@mutant(
    "the contexts of all steps, found at once, are a step ahead",
    steps_see_nothing_of_later_ones="let a context be of the steps before it",
    sampled_density_is_log_prob="they differ",
)
class StepAhead(Drift):
    def contexts(self, z, x):
        return self.advance(self.start(), z, x)
