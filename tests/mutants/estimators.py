"""Wrong gradient estimators."""

import torch

from lvmbench import Estimate, Estimator, Terms
from lvmbench_plugins.estimators.covariance import Covariance
from tests.mutants import mutant


class ScoreFunction(Estimator):
    """The score-function gradient without a baseline."""

    requires = frozenset({"posterior.density"})

    def signal(self, objective, terms, bound, kl_weight):
        whole = bound.sum() if objective.batchwise else bound
        return whole.expand_as(bound).unsqueeze(0)

    def forward(self, objective, model, x, noise, kl_weight=1.0):
        terms = Terms(model, x, noise, objective.samples, pathwise=False)
        bound = objective(terms, kl_weight)
        signal = self.signal(objective, terms, bound, kl_weight).detach()
        return Estimate(bound + (signal * terms.log_q).sum(0), bound)


@mutant(
    "a baseline that depends on its own sample",
    unbiased_gradient_averages_to_the_exact_one="a baseline that depends on its own sample",
)
class OwnBaseline(ScoreFunction):
    def signal(self, objective, terms, bound, kl_weight):
        singles = torch.stack([objective(one, kl_weight) for one in terms.singles()])
        return bound - 0.5 * singles


@mutant("reports the surrogate as the bound", reported_bound_is_the_objectives="the objective's own value")
class SurrogateAsBound(ScoreFunction):
    def forward(self, objective, model, x, noise, kl_weight=1.0):
        surrogate, _ = super().forward(objective, model, x, noise, kl_weight)
        return Estimate(surrogate, surrogate)


@mutant(
    "the score term is missing, and it is declared unbiased",
    unbiased_gradient_averages_to_the_exact_one="a missing score term",
)
class NoScoreTerm(ScoreFunction):
    def signal(self, objective, terms, bound, kl_weight):
        return torch.zeros_like(bound).unsqueeze(0)


@mutant(
    "each datum is credited with its own bound, where a draw moves those of the whole batch",
    unbiased_gradient_averages_to_the_exact_one="the other data of a batch",
)
class OwnDatum(ScoreFunction):
    def signal(self, objective, terms, bound, kl_weight):
        return bound.unsqueeze(0)


@mutant(
    "right at a KL weight of 1 only",
    unbiased_gradient_averages_to_the_exact_one="a KL weight left out",
)
class FullWeight(ScoreFunction):
    def signal(self, objective, terms, bound, kl_weight):
        return objective(terms).unsqueeze(0)


class Reparameterised(Estimator):
    requires = frozenset({"posterior.pathwise"})

    def forward(self, objective, model, x, noise, kl_weight=1.0):
        bound = objective(Terms(model, x, noise, objective.samples), kl_weight)
        return Estimate(bound, bound)


@mutant("the gradient has the wrong sign", training_improves_a_toy="a wrong sign")
class WrongSign(Reparameterised):
    unbiased = False

    def forward(self, objective, model, x, noise, kl_weight=1.0):
        bound = super().forward(objective, model, x, noise, kl_weight).bound
        return Estimate(-bound, bound)


@mutant(
    "declared unbiased, and shrinks the gradient",
    unbiased_gradient_averages_to_the_exact_one="declare unbiased = False",
)
class Shrunk(Reparameterised):
    def forward(self, objective, model, x, noise, kl_weight=1.0):
        bound = super().forward(objective, model, x, noise, kl_weight).bound
        return Estimate(0.9 * bound, bound)


@mutant("drops the KL weight", reported_bound_is_the_objectives="pass kl_weight on")
class WeightDropped(Reparameterised):
    def forward(self, objective, model, x, noise, kl_weight=1.0):
        return super().forward(objective, model, x, noise)


@mutant(
    "pathwise, and does not require that samples are: wrong for discrete latents",
    unbiased_gradient_averages_to_the_exact_one="Bernoulli",
)
class PathwiseWithoutRequirement(Reparameterised):
    requires = frozenset()


@mutant(
    "leaves one out, and does not require two samples",
    works_with_every_partner="declare that it requires 'objective.multi_sample'",
)
class LeaveOneOutOfOne(ScoreFunction):
    def signal(self, objective, terms, bound, kl_weight):
        return bound - torch.stack([objective(rest, kl_weight) for rest in terms.leave_one_out()])


@mutant("the mean over the batch as surrogate", estimate_is_one_figure_per_datum="the surrogate has shape ()")
class MeanSurrogate(Reparameterised):
    def forward(self, objective, model, x, noise, kl_weight=1.0):
        surrogate, bound = super().forward(objective, model, x, noise, kl_weight)
        return Estimate(surrogate.mean(), bound)


@mutant(
    "the proposals that one is chosen from have no score, and it is declared unbiased",
    unbiased_gradient_averages_to_the_exact_one="a missing score term",
)
class ProposalsWithoutScore(Covariance):
    def forward(self, objective, model, x, noise, kl_weight=1.0):
        bound = super().forward(objective, model, x, noise, kl_weight).bound
        return Estimate(bound, bound)
