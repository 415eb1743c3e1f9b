"""Wrong objectives."""

import math

import torch

from lvmbench import Count, Estimate, Objective, Positive, SurrogateObjective, Terms, Varying, Walk
from lvmbench.kernels.resampling import copies
from lvmbench.kernels.smc import Resampling, sweep
from tests.mutants import mutant


class Weighted(Objective):
    """The importance-weighted bound."""

    def __init__(self, *, samples: Count = 3):
        super().__init__()
        self.samples = samples

    def forward(self, terms, kl_weight=1.0):
        return terms.log_w(kl_weight).logsumexp(0) - math.log(terms.samples)


@mutant("subtracts log(K + 1) where log K is due", equal_weights_give_their_value="log K of K samples")
class LogOfOneMore(Weighted):
    provides = frozenset({"log_weights"})

    def forward(self, terms, kl_weight=1.0):
        return terms.log_w(kl_weight).logsumexp(0) - math.log(terms.samples + 1)


@mutant("subtracts log(K - 1) where log K is due", lower_bound_stays_below_log_p="log K")
class LogOfOneLess(Weighted):
    def forward(self, terms, kl_weight=1.0):
        return terms.log_w(kl_weight).logsumexp(0) - math.log(max(1, terms.samples - 1))


class Plain(Weighted):
    """The mean log weight."""

    additive = True

    def forward(self, terms, kl_weight=1.0):
        return terms.log_w(kl_weight).mean(0)


@mutant("adds the KL divergence", lower_bound_stays_below_log_p="the sign or weight of the KL")
class PlusKl(Plain):
    def forward(self, terms, kl_weight=1.0):
        return terms.log_likelihood.mean(0) + kl_weight * terms.kl()


@mutant("a KL weight of one half, declared a lower bound", lower_bound_stays_below_log_p="weight of the KL")
class HalfTheKl(Plain):
    def forward(self, terms, kl_weight=1.0):
        return terms.log_likelihood.mean(0) - 0.5 * kl_weight * terms.kl()


@mutant(
    "a sum over samples where a mean is due",
    additive_is_true="take the mean over samples",
    lower_bound_stays_below_log_p="a sum where a mean is due",
)
class SumOverSamples(Plain):
    def forward(self, terms, kl_weight=1.0):
        return terms.log_w(kl_weight).sum(0)


@mutant(
    "samples weighed by their weights, declared linear: path gradients would be biased",
    linear_is_true="or declare linear = False",
)
class WeighedButLinear(Weighted):
    linear = True


@mutant(
    "a weight that is declared to vary, kept as a plain number: a pack trains with that of its first run",
    varying_options_are_kept_in_tensors="keep weight in a buffer",
)
class PlainNumber(Plain):
    lower_bound = False

    def __init__(self, *, samples: Count = 3, weight: Varying[Positive] = 1.0):
        super().__init__(samples=samples)
        self.weight = weight

    def forward(self, terms, kl_weight=1.0):
        return self.weight * super().forward(terms, kl_weight)


@mutant("the mean over the batch for every datum", batch_rows_are_independent="over the batch")
class BatchMean(Plain):
    def forward(self, terms, kl_weight=1.0):
        bound = super().forward(terms, kl_weight)
        return bound.mean().expand_as(bound)


@mutant("one figure for the whole batch", bound_is_one_figure_per_datum="has shape () where (1,) is due")
class OneFigure(Plain):
    def forward(self, terms, kl_weight=1.0):
        return super().forward(terms, kl_weight).mean()


@mutant("the prior's density is detached", bound_gradient_agrees_with_differences="look for detach()")
class PriorDetached(Plain):
    def forward(self, terms, kl_weight=1.0):
        return (terms.log_likelihood + kl_weight * (terms.log_prior.detach() - terms.log_q)).mean(0)


@mutant("K from its option, not from its terms", bound_is_of_its_terms="use terms.samples")
class OwnNumberOfSamples(Weighted):
    def forward(self, terms, kl_weight=1.0):
        return terms.log_w(kl_weight).logsumexp(0) - math.log(self.samples)


@mutant("ignores that the KL weight may be a tensor", kl_weight_is_taken="it raised")
class FloatWeightOnly(Plain):
    def forward(self, terms, kl_weight=1.0):
        return super().forward(terms, {0.5: 0.5, 1.0: 1.0}[kl_weight])


@mutant("another default of the KL weight", kl_weight_is_taken="with nothing and with 1.0")
class OtherDefaultWeight(Plain):
    def forward(self, terms, kl_weight=0.0):
        return super().forward(terms, kl_weight)


@mutant(
    "its option does not set its number of samples", samples_are_as_asked="set self.samples from the option"
)
class SamplesForgotten(Weighted):
    def __init__(self, *, samples: Count = 1):
        super().__init__(samples=1)


class Wake(SurrogateObjective):
    """Reweighted wake-sleep."""

    requires = SurrogateObjective.requires | {"posterior.amortized", "posterior.density"}

    def __init__(self, *, samples: Count = 3):
        super().__init__()
        self.samples = samples

    def forward(self, terms, kl_weight=1.0):
        return terms.log_w(kl_weight).logsumexp(0) - math.log(terms.samples)

    def estimate(self, model, x, noise, kl_weight=1.0):
        terms = Terms(model, x, noise, self.samples, pathwise=False)
        share = terms.log_w(kl_weight).softmax(0).detach()
        surrogate = share * (terms.log_likelihood + kl_weight * terms.log_prior + terms.log_q)
        return Estimate(surrogate.sum(0), self(terms, kl_weight))


@mutant(
    "reports its surrogate as the bound",
    own_surrogate_comes_with_the_bound="return the bound beside the surrogate",
)
class SurrogateForBound(Wake):
    def estimate(self, *arguments):
        surrogate = super().estimate(*arguments).surrogate
        return Estimate(surrogate, surrogate)


@mutant(
    "a surrogate of its own, and any estimator will do",
    own_surrogate_comes_with_the_bound="any estimator would be admitted",
)
class AnyEstimator(Wake):
    requires = frozenset({"posterior.amortized", "posterior.density"})


class Particles(SurrogateObjective):
    """The sequential Monte Carlo bound."""

    requires = SurrogateObjective.requires | {"prior.steps", "posterior.pathwise"}
    evidence = True
    resampling = Resampling("always")

    def __init__(self, *, samples: Count = 3):
        super().__init__()
        self.samples = samples

    def forward(self, terms, kl_weight=1.0):
        way = Walk(terms.model, terms.x, q=terms.q, p=terms.p)
        return sweep(way, terms.noise, terms.samples, self.resampling, kl_weight=kl_weight).log_z

    def estimate(self, model, x, noise, kl_weight=1.0):
        bound = self(Terms(model, x, noise, self.samples), kl_weight)
        return Estimate(bound, bound)


class Next(Resampling):
    def resampled(self, h, log_w, index):
        return super().resampled(h, log_w, (index + 1) % len(h))


@mutant("resampling with the wrong ancestor", evidence_is_unbiased="let copies be of the chosen")
class WrongAncestor(Particles):
    resampling = Next("always")


class Inherited(Resampling):
    def resampled(self, h, log_w, index):
        return copies(h, index), copies(log_w, index)


@mutant("weights are not reset after resampling", evidence_is_unbiased="with equal weights")
class WeightsKept(Particles):
    resampling = Inherited("always")


@mutant("a default estimator that is not there", default_estimator_works="known:")
class UnknownEstimator(Plain):
    default_estimators = ("nothing_of_this_name",)


@mutant("maximises minus the bound", training_improves_a_toy="does not point uphill")
class Negative(Plain):
    lower_bound = False
    additive = False

    def forward(self, terms, kl_weight=1.0):
        return -super().forward(terms, kl_weight)


@mutant("nothing trains the decoder", surrogate_reaches_every_parameter="no gradient reaches decoder")
class DecoderLeftOut(Plain):
    def forward(self, terms, kl_weight=1.0):
        with torch.no_grad():
            likelihood = terms.log_likelihood
        return (likelihood + kl_weight * (terms.log_prior - terms.log_q)).mean(0)
