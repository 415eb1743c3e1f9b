"""Wrong posteriors."""

import math
from functools import partial

import torch
from torch import nn

from lvmbench import (
    Chain,
    Denoised,
    DiagonalNormal,
    Marginal,
    Noised,
    Posterior,
    Resampled,
    Steps,
    ended,
    observed,
    register_draw_kl,
    register_kl,
)
from lvmbench.divergence import draw_kl
from lvmbench.kernels.hmc import leapfrog
from lvmbench_plugins.posteriors._trajectories import Trajectories
from lvmbench_plugins.posteriors.hamiltonian import Hamiltonian
from lvmbench_plugins.posteriors.ladder import Ladder
from lvmbench_plugins.posteriors.noising import Noising
from tests.mutants import mutant


class Affine(Posterior):
    """A normal whose location and log scale are linear in x."""

    distribution = DiagonalNormal
    provides = frozenset({"amortized"})
    requires = frozenset({"prior.real"})

    def __init__(self, data, space):
        super().__init__()
        self.shape = space.event_shape
        self.linear = nn.Linear(data.mean.numel(), 2 * torch.Size(self.shape).numel())

    def numbers(self, x):
        return self.linear(observed(x.flatten(1))[0]).unflatten(-1, (2, *self.shape)).unbind(1)

    def forward(self, x, model):
        return self.distribution(*self.numbers(x), len(self.shape))


@mutant(
    "masks what it made of values that were not observed",
    holes_leave_gradients_finite="the gradient of posterior.weight is not finite; take values and mask from "
    "lvmbench.observed",
)
class MasksTooLate(Affine):
    """Forward all is well: a NaN that is masked is one whose gradient is 0 times NaN."""

    def __init__(self, data, space):
        super().__init__(data, space)
        self.weight = nn.Parameter(torch.ones(data.mean.numel()))

    def numbers(self, x):
        rows = x.flatten(1)
        return super().numbers(torch.where(rows.isnan(), 0.0, rows * self.weight))


class Shared(DiagonalNormal):
    def sample_and_log_prob(self, noise, samples):
        eps = noise.normal(self.loc.shape).expand(samples, *self.loc.shape)
        value = self.loc + self.log_scale.exp() * eps
        return value, self.log_prob(value)


@mutant("the same noise for all samples", samples_are_independent="the whole shape")
class NoiseShared(Affine):
    distribution = Shared


class SharedOverBatch(DiagonalNormal):
    def sample_and_log_prob(self, noise, samples):
        eps = noise.normal((samples, 1, *self.loc.shape[1:])).expand(samples, *self.loc.shape)
        value = self.loc + self.log_scale.exp() * eps
        return value, self.log_prob(value)


@mutant("the same noise for all data", samples_are_independent="between data of the same x")
class NoiseSharedOverBatch(Affine):
    distribution = SharedOverBatch


class WrongSign(DiagonalNormal):
    traits = frozenset({"pathwise"})

    def sample_and_log_prob(self, noise, samples):
        value, log_prob = super().sample_and_log_prob(noise, samples)
        return value, log_prob + 2 * self.log_scale.sum(-1)


@mutant("a flow with the wrong sign of its log-determinant", own_densities_weigh_a_box="log-determinant")
class LogDeterminantSign(Affine):
    distribution = WrongSign


class HalfSloped(DiagonalNormal):
    def sample_with_slope(self, noise, samples):
        value, log_prob, slope = super().sample_with_slope(noise, samples)
        return value, log_prob, 0.5 * slope


@mutant(
    "half the slope of its log density, for path gradients",
    slope_is_that_of_the_density="its slope says",
)
class WrongSlope(Affine):
    distribution = HalfSloped


class LiveSlope(DiagonalNormal):
    def sample_with_slope(self, noise, samples):
        value, log_prob = self.sample_and_log_prob(noise, samples)
        return value, log_prob, (self.loc - value) * (-2 * self.log_scale).exp()


@mutant("the score leaks into path gradients", slope_is_that_of_the_density="carries a gradient")
class LeakingSlope(Affine):
    distribution = LiveSlope


class Squashed(DiagonalNormal):
    traits = frozenset({"pathwise"})

    def sample_and_log_prob(self, noise, samples):
        value, log_prob = super().sample_and_log_prob(noise, samples)
        return value.tanh(), log_prob


@mutant("a squashed sample without the Jacobian of tanh", own_densities_weigh_a_box="log-determinant")
class SquashedWithoutJacobian(Affine):
    distribution = Squashed


class Detached(DiagonalNormal):
    def sample_and_log_prob(self, noise, samples):
        value = self.loc + self.log_scale.detach().exp() * noise.normal((samples, *self.loc.shape))
        return value, self.log_prob(value)


@mutant("the scale is detached in samples", sample_gradient_agrees_with_differences="look for detach()")
class DetachedScale(Affine):
    distribution = Detached


class Severed(DiagonalNormal):
    def sample_and_log_prob(self, noise, samples):
        value, _ = super().sample_and_log_prob(noise, samples)
        return value.detach(), self.log_prob(value.detach())


@mutant(
    "declares 'pathwise', and its samples are detached", sample_gradient_agrees_with_differences="the samples"
)
class FalselyPathwise(Affine):
    distribution = Severed


@mutant(
    "declares that it is amortised, and ignores x",
    amortized_posterior_depends_on_x="use x, or do not declare",
)
class IgnoresX(Affine):
    def forward(self, x, model):
        return super().forward(torch.zeros_like(x) + self.linear.weight.sum() * 0, model)


@mutant(
    "subtracts the mean over the batch",
    batch_rows_are_independent="do not average, normalise or sum over the batch",
)
class NormalisesOverBatch(Affine):
    def forward(self, x, model):
        return super().forward(x - x.mean(0), model)


@mutant(
    "draws until every sample is near, so that the number of draws depends on the noise",
    number_of_draws_is_fixed="masks instead of data-dependent loops",
)
class DataDependentDraws(Affine):
    class distribution(DiagonalNormal):  # noqa: N801
        def sample_and_log_prob(self, noise, samples):
            for _ in range(int(self.loc.abs().sum().item() * 10) % 7):
                noise.uniform((1,))
            return super().sample_and_log_prob(noise, samples)


@mutant("reads a number back in every step", step_never_synchronises="_local_scalar_dense")
class ItemInStep(Affine):
    def forward(self, x, model):
        loc, log_scale = self.numbers(x)
        return DiagonalNormal(loc / max(1.0, x.abs().max().item()), log_scale, len(self.shape))


@mutant("a branch on values, declared vectorizable", vectorised_equals_looped="vectorizable = False")
class Branches(Affine):
    def forward(self, x, model):
        loc, log_scale = self.numbers(x)
        return DiagonalNormal(loc if loc.sum() > 0 else -loc, log_scale, len(self.shape))


class Own(DiagonalNormal):
    pass


@register_kl(Own, DiagonalNormal)
def _reversed(q, p):
    log_ratio = p.log_scale - q.log_scale
    standard = (p.loc - q.loc) / q.log_scale.exp()
    return (0.5 * ((2 * log_ratio).exp() + standard**2 - 1) - log_ratio).sum(-1)


@mutant("a registered KL the wrong way round: KL(p || q)", kl_is_the_average_log_ratio="the wrong way round")
class ReversedKl(Affine):
    distribution = Own


class Doubled(DiagonalNormal):
    pass


@register_kl(Doubled, DiagonalNormal)
def _sigma_for_log_sigma(q, p):
    return (0.5 * (q.log_scale.exp() + q.loc**2 - 1) - q.log_scale).sum(-1)


class Guessed(DiagonalNormal):
    pass


@register_draw_kl(Guessed, DiagonalNormal)
def _without_log_q(q, p, z, noise):
    return -p.log_prob(z) + p.log_prob(p.loc)


@mutant(
    "a registered KL of draws that leaves log q out",
    kl_is_the_average_log_ratio="compare it with E_q",
)
class WrongKlOfDraws(Affine):
    distribution = Guessed


@mutant("a registered KL that takes sigma for its square", kl_is_the_average_log_ratio="compare it with E_q")
class WrongKl(Affine):
    distribution = Doubled


@mutant(
    "needs a model with a known posterior, and does not say so",
    works_with_every_partner="declare that it requires",
)
class RequiresTooWeak(Affine):
    def forward(self, x, model):
        loc, log_scale = self.numbers(x)
        return DiagonalNormal(0.1 * loc + model.exact_posterior(x).mean, log_scale, len(self.shape))


@mutant("declares that it is amortised, and asks the prior", reads_model_is_true="not 'amortized'")
class AsksThePrior(Affine):
    requires = Affine.requires | {"prior.mean"}

    def forward(self, x, model):
        loc, log_scale = self.numbers(x)
        return DiagonalNormal(loc + model.p().mean, log_scale, len(self.shape))


@mutant("declares that it is amortised, and asks the decoder", reads_model_is_true="not 'amortized'")
class AsksTheDecoder(Affine):
    def forward(self, x, model):
        loc, log_scale = self.numbers(x)
        fit = model.decoder(loc.unsqueeze(0)).log_prob(x)[0]
        return DiagonalNormal(loc + 0.01 * fit.unsqueeze(-1), log_scale, len(self.shape))


@mutant("declares that it reads the model, and does not", reads_model_is_true="do not declare 'reads_model'")
class ReadsNothing(Affine):
    provides = frozenset({"reads_model"})


@mutant(
    "declares that it reads x alone, and the model, too", reads_model_is_true="x and its own weights alone"
)
class ReadsBoth(AsksTheDecoder):
    provides = frozenset({"amortized", "reads_model"})


class Integrated(Affine):
    """A normal whose location is off by an auxiliary variable; the reverse model is a guess."""

    distribution = Marginal

    def __init__(self, data, space):
        super().__init__(data, space)
        self.guess = nn.Parameter(torch.zeros(()))

    def forward(self, x, model):
        loc, log_scale = self.numbers(x)
        standard = DiagonalNormal(torch.zeros_like(loc), torch.zeros_like(loc), len(self.shape))
        return self.distribution(
            standard,
            lambda a: DiagonalNormal(loc + a, log_scale, len(self.shape)),
            lambda z: DiagonalNormal(0.5 * (z - loc), self.guess, len(self.shape)),
        )


class HalfTheReverse(Marginal):
    def sample_and_log_prob(self, noise, samples):
        a, log_a = self.auxiliary.sample_and_log_prob(noise, samples)
        z, log_z = (part[0] for part in self.conditional(a).sample_and_log_prob(noise, 1))
        return z, log_a + log_z - 0.5 * self.reverse(z).log_prob(a)


@mutant(
    "half of the density of the auxiliary variables given z is left out of an estimated log q",
    log_q_is_known_as_declared="left out",
)
class HalfOfTheReverse(Integrated):
    distribution = HalfTheReverse


class SignOfTheReverse(Marginal):
    def estimate_log_prob(self, value, noise):
        a, log_r = (part[0] for part in self.reverse(value).sample_and_log_prob(noise, 1))
        return self.auxiliary.log_prob(a) + self.conditional(a).log_prob(value) + log_r


@mutant("an estimate of the density with a wrong sign", log_q_is_known_as_declared="its sign")
class WrongSignOfTheReverse(Integrated):
    distribution = SignOfTheReverse


class AsItBegan(Trajectories):
    def sample_and_log_prob(self, noise, samples):
        z, log_q = self.start.sample_and_log_prob(noise, samples)
        place = self.target.at(z)
        for forth, back, step, steps in self.iterations:
            v, log_forth = (part[0] for part in forth(place.z).sample_and_log_prob(noise, 1))
            place, _ = leapfrog(self.target, place, v, step.unsqueeze(0), steps)
            log_q = log_q + log_forth - back(place.z).log_prob(v)
        return place.z, log_q


@mutant(
    "the reverse model of trajectories is asked about the velocity with which they began",
    log_q_is_known_as_declared="the average of 20000 draws",
)
class VelocityAsItBegan(Hamiltonian):
    distribution = AsItBegan

    def forward(self, x, model):
        q = super().forward(x, model)
        return AsItBegan(q.start, q.target, q.iterations) if isinstance(q, Trajectories) else q


class Unchosen(Resampled[DiagonalNormal]):
    def sample_and_log_prob(self, noise, samples):
        z, _ = super().sample_and_log_prob(noise, samples)
        return z, self.base.log_prob(z)


@mutant(
    "log q of one of several proposals is that of any: that it was chosen is left out",
    log_q_is_known_as_declared="left out in one or both",
)
class ChoiceLeftOut(Affine):
    distribution = Unchosen
    provides = frozenset({"reads_model"})

    def forward(self, x, model):
        base = DiagonalNormal(*self.numbers(x), len(self.shape))
        return Unchosen(base, partial(model.log_joint, x), 4, 0.3)


class Bounded(DiagonalNormal):
    """A normal of whose log density only something larger is said."""

    traits = frozenset({"pathwise", "mean", "bound"})
    over = 0.3

    def sample_and_log_prob(self, noise, samples):
        value, log_prob = super().sample_and_log_prob(noise, samples)
        return value, log_prob + self.over


class OnlyBounded(Affine):
    """A normal whose log q is bounded."""

    distribution = Bounded


class Under(Bounded):
    over = -0.3


@mutant("a bound of log q that lies below it", log_q_is_known_as_declared="on average at least log q")
class BoundOnTheWrongSide(OnlyBounded):
    distribution = Under


class Twice(Marginal):
    traits = frozenset({"pathwise", "estimate", "bound"})


@mutant(
    "log q is declared an estimate and a bound", log_q_is_known_as_declared="choose what log q is known as"
)
class KnownTwice(Integrated):
    distribution = Twice


@mutant("dropout that evaluation leaves on", global_generators_are_left_alone="layers such as Dropout")
class DropoutLeftOn(Affine):
    def forward(self, x, model):
        return super().forward(nn.functional.dropout(x, 0.5, training=True), model)


@mutant(
    "it is trained on x with noise of its own making",
    global_generators_are_left_alone="torch was used in training",
)
class OwnCorruption(Affine):
    def corrupt(self, x, noise):
        return x + torch.randn_like(x)


class Unsummed(DiagonalNormal):
    def log_prob(self, value):
        return DiagonalNormal(self.loc, self.log_scale, 0).log_prob(value)


@mutant(
    "log densities that keep the event dimension", samples_have_their_shapes="densities sum over the event"
)
class EventNotSummed(Affine):
    distribution = Unsummed


@mutant("the gradient points downhill", training_improves_the_bound="wrong sign")
class Downhill(Affine):
    def forward(self, x, model):
        loc, log_scale = (n + 2 * (n.detach() - n) for n in self.numbers(x))
        return DiagonalNormal(loc, log_scale, len(self.shape))


@mutant(
    "keeps a count of its calls in its result", same_noise_gives_the_same_result="keep no state between calls"
)
class Counts(Affine):
    calls = 0

    def forward(self, x, model):
        self.calls += 1
        loc, log_scale = self.numbers(x)
        return DiagonalNormal(loc + 0.01 * self.calls, log_scale, len(self.shape))


class Untold(Chain):
    """Drawn as a ladder is; its density leaves the prior out."""

    def __init__(self, drawn, told):
        super().__init__(drawn.first, drawn.conditionals, drawn.sizes, top_down=True)
        self.told = told

    def log_prob(self, value):
        layers = value.split(self.sizes, -1)
        return sum(one.log_prob(layer) for one, layer in zip(self.told, layers, strict=True))


@mutant(
    "a ladder whose density forgets the prior's precision, with which it draws",
    sampled_density_is_log_prob="of one distribution",
)
class ForgetsThePrior(Ladder):
    distribution = Untold

    def forward(self, x, model):
        return Untold(super().forward(x, model), self._told(x))


class Apart(Noised):
    """Each layer is noise of its own about x: no longer the one below with more."""

    def sample_and_log_prob(self, noise, samples):
        z = self.marginals.sample(noise, samples).flatten(-2)
        return z, self.log_prob(z)


@register_draw_kl(Apart, Denoised)
def _of_noised(q, p, z, noise):
    return draw_kl(Noised(q.x, q.gamma), p, z, noise)


@mutant(
    "noised layers that have their marginals, and are not drawn each from the one below",
    kl_is_the_average_log_ratio="compare it with E_q",
)
class NoisedApart(Noising):
    distribution = Apart

    def forward(self, x, model):
        return Apart(*vars(super().forward(x, model)).values())


class Unscaled(Noised):
    pass


@register_draw_kl(Unscaled, Denoised)
def _at_one_time(q, p, z, noise):
    size, times = q.x.shape[-1], len(q.gamma) - 1
    last = draw_kl(Noised(q.x, q.gamma[-1:]), Denoised(p.denoise, p.gamma[-1:], size), z[..., -size:], noise)
    right = Denoised(p.denoise, p.gamma, size, one_time=True)
    return last + (draw_kl(Noised(q.x, q.gamma), right, z, noise) - last) / times


@mutant(
    "the KL of a draw at one layer, which is not multiplied by their number",
    kl_is_the_average_log_ratio="compare it with E_q",
)
class OneLayerForAll(Noising):
    distribution = Unscaled

    def forward(self, x, model):
        return Unscaled(*vars(super().forward(x, model)).values())


class Following(Posterior):
    """Normals about a line in what is seen of x at a step, and in the context."""

    distribution = Steps
    provides = frozenset({"reads_model", "filtering"})
    requires = frozenset({"prior.real", "prior.steps"})

    def __init__(self, data, space):
        super().__init__()
        seen = math.prod(data.frame.event_shape)
        self.linear = nn.Linear(seen + space.context, space.event_shape[-1])

    def seen(self, x):
        return observed(ended(x)[0])[0].flatten(2)

    def forward(self, x, model):
        seen = self.seen(x)

        def law(t, h):
            both = torch.cat([seen[:, t].expand(*h.shape[:-1], -1), h], -1)
            return DiagonalNormal(self.linear(both), torch.zeros((), dtype=both.dtype, device=both.device))

        return self.distribution(model.prior.memory(x), law)


class Endless(Steps):
    def total(self, figures):
        return figures.sum(-1)


@mutant(
    "padding counted as data: log q adds up steps after the end of a sequence",
    nothing_counts_after_the_end="log_q of a sequence among longer ones is off",
)
class PaddingInferred(Following):
    distribution = Endless


@mutant(
    "reads what is after the end of a sequence, and masks what it made of it",
    nothing_counts_after_the_end="is not finite",
)
class EndMaskedTooLate(Following):
    def seen(self, x):
        return x.flatten(2)


@mutant(
    "declares that it filters, and sees the frames to come",
    steps_see_nothing_of_later_ones="read x in its order",
)
class FalselyFiltering(Following):
    def seen(self, x):
        seen = super().seen(x)
        return seen.flip(1).cumsum(1).flip(1)
