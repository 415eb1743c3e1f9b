"""Wrong evaluators."""

from dataclasses import replace

import torch

from lvmbench import Evaluator, Measurement, Metric, Refusal, Terms
from tests.mutants import mutant


class Elbo(Evaluator):
    """The ELBO."""

    metrics = {"elbo": Metric("ELBO", "nats", "higher", "evidence lower bound")}  # noqa: RUF012

    @torch.no_grad()
    def draws(self, subject):
        return Terms(subject.model, subject.x, subject.noise("mutant"), 100).log_w()

    def evaluate(self, subject):
        yield self.measured(subject, self.draws(subject))

    def measured(self, subject, draws):
        error = (draws.var(0).sum() / len(draws)).sqrt().item() / draws.shape[1]
        return Measurement("elbo", draws.mean().item(), error, per_datum=draws.mean(0))


@mutant(
    "compares with values that were not observed",
    holes_are_measured="it refuses data with values that were not observed, and would not without",
)
class RefusesHoles(Elbo):
    def evaluate(self, subject):
        if subject.x.isnan().any():
            raise Refusal("the data are not finite")
        yield from super().evaluate(subject)


@mutant(
    "uses labels where there are any", labels_change_nothing_else="declare that it requires 'dataset.labels'"
)
class LeaksLabels(Elbo):
    def evaluate(self, subject):
        draws = self.draws(subject)
        yield self.measured(subject, draws if subject.labels is None else draws + subject.labels)


@mutant("needs labels, and does not say so", labels_change_nothing_else="it raised")
class NeedsLabels(Elbo):
    def evaluate(self, subject):
        yield self.measured(subject, self.draws(subject) + subject.labels.double())


@mutant(
    "scores labels, whatever they tell apart",
    uninformative_labels_are_not_scored="with one class, purity is 1; raise Refusal",
)
class PerfectForNothing(Elbo):
    requires = frozenset({"dataset.labels"})
    metrics = {"purity": Metric("Purity", "fraction", "higher", "share of the commonest label")}  # noqa: RUF012

    def evaluate(self, subject):
        commonest = subject.labels.mode().values
        yield Measurement("purity", (subject.labels == commonest).double().mean().item())


@mutant("trains the model it measures", subject_is_left_alone="the weights changed")
class ChangesWeights(Elbo):
    def evaluate(self, subject):
        with torch.no_grad():
            next(subject.model.parameters()).add_(1e-3)
        yield from super().evaluate(subject)


@mutant("scales the data that it is given", subject_is_left_alone="the data changed")
class ChangesData(Elbo):
    def evaluate(self, subject):
        subject.data.splits["test"].x.mul_(2)
        yield from super().evaluate(subject)


@mutant("leaves the model in training mode", subject_is_left_alone="mode of modules")
class LeavesTrainingMode(Elbo):
    def evaluate(self, subject):
        subject.model.train()
        yield from super().evaluate(subject)


@mutant("leaves gradients behind", subject_is_left_alone="the gradients changed")
class LeavesGradients(Elbo):
    def evaluate(self, subject):
        Terms(subject.model, subject.x, subject.noise("mutant"), 3).log_w().sum().backward()
        yield from super().evaluate(subject)


@mutant("a metric that is not declared", measurements_are_declared="declare it as a Metric")
class UndeclaredMetric(Elbo):
    def evaluate(self, subject):
        yield Measurement("tightness", 1.0)


@mutant("a value that is not a number", measurements_are_finite="raise Refusal")
class NotANumber(Elbo):
    def evaluate(self, subject):
        yield Measurement("elbo", float("nan"))


@mutant(
    "a sum over data where a mean is due",
    shared_metrics_are_what_they_say="sum or factor",
    per_datum_averages_to_the_value="not a sum",
)
class SumOverData(Elbo):
    def measured(self, subject, draws):
        return Measurement("elbo", draws.mean(0).sum().item(), 0.0, per_datum=draws.mean(0))


@mutant("the sign of a loss", shared_metrics_are_what_they_say="look for a sign")
class NegativeElbo(Elbo):
    def measured(self, subject, draws):
        return super().measured(subject, -draws)


@mutant("a percentage where a fraction is due", fractions_are_fractions="not a percentage")
class Percentage(Elbo):
    metrics = {"sharpness": Metric("Sharpness", "fraction", "higher", "share of sharp data")}  # noqa: RUF012

    def evaluate(self, subject):
        yield Measurement("sharpness", 87.5)


@mutant(
    "noise from the global generator",
    evaluation_leaves_global_generators_alone="draw from subject.noise",
)
class GlobalNoise(Elbo):
    def draws(self, subject):
        return super().draws(subject) + 0.01 * torch.randn(len(subject.x))


@mutant("measures something else the second time", measurements_are_repeatable="differs the second time")
class Counts(Elbo):
    calls = 0

    def draws(self, subject):
        Counts.calls += 1
        return super().draws(subject) + Counts.calls


@mutant(
    "needs log p(x) in closed form, and does not say so",
    measures_every_combination="declare that it requires 'model.exact_posterior'",
)
class NeedsExactLogProb(Elbo):
    def draws(self, subject):
        return super().draws(subject) + 0 * subject.model.exact_log_prob(subject.x)


@mutant("a known metric in another unit", metrics_mean_the_same_everywhere="choose another name")
class OtherUnit(Elbo):
    metrics = {"elbo": Metric("ELBO", "bits", "lower", "minus the evidence lower bound")}  # noqa: RUF012


@mutant("a known metric by another title", metrics_mean_the_same_everywhere="or the same words")
class OtherTitle(Elbo):
    metrics = {"elbo": Metric("Lower bound", "nats", "higher", "evidence lower bound")}  # noqa: RUF012


@mutant("a title of two lines", metrics_are_declared="one line of at most 40 signs")
class LongTitle(Elbo):
    metrics = {"mine": Metric("The bound\nthat is mine", "nats", "higher", "a bound")}  # noqa: RUF012

    def measured(self, subject, draws):
        return replace(super().measured(subject, draws), metric="mine")


@mutant("two metrics of one title", titles_and_board_are_of_its_metrics="is the title of two metrics")
class SameTitle(LongTitle):
    metrics = {  # noqa: RUF012
        "mine": Metric("Bound of mine", "nats", "higher", "a bound"),
        "other": Metric("Bound of mine", "nats", "higher", "another bound"),
    }


@mutant("a board of what it does not measure", titles_and_board_are_of_its_metrics="did you mean 'elbo'")
class StrangeBoard(Elbo):
    board = ("elbow",)


@mutant("no metrics", metrics_are_declared="declare a Metric")
class NoMetrics(Elbo):
    metrics = {}  # noqa: RUF012
