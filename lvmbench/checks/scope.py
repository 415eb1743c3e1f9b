"""Which checks a component must run, by what it declares:
found apart from the checks, so that none falls silent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from lvmbench.checks.contract import MODEL_PARTS, Check, Skip
from lvmbench.checks.datasets import loaded_data
from lvmbench.checks.evaluators import first, tried_before
from lvmbench.checks.grid import SUMMABLE
from lvmbench.checks.holes import COMPLETE
from lvmbench.checks.labels import names_matter
from lvmbench.checks.options import ends
from lvmbench.checks.partners import with_samples
from lvmbench.checks.sources import holed
from lvmbench.checks.specimen import Specimen
from lvmbench.checks.truths import TRUTHS
from lvmbench.combinations.parts import Parts
from lvmbench.dataset import Data
from lvmbench.distributions import Distribution, Finite, closed, is_open, traits_of
from lvmbench.divergence import has_kl, posterior_type
from lvmbench.options import varying


class Declared:
    """What a component says of itself, with its options.

    Arguments:
        specimen: The component with its options.
    """

    def __init__(self, specimen: Specimen) -> None:
        self.specimen, self.cls = specimen, specimen.cls

    @cached_property
    def built(self) -> Any:
        """The component, built in a combination where it is a part of one."""
        kind = self.specimen.kind
        return self.parts.components[kind] if kind in MODEL_PARTS else self.specimen.build()

    @cached_property
    def parts(self) -> Parts:
        """The first combination that a part of a model works in."""
        return self.specimen.case().parts()

    @property
    def data(self) -> Data:
        """The data of a data set; a `Skip` where they cannot be had here."""
        return loaded_data(self.specimen)

    @cached_property
    def distributions(self) -> list[type[Distribution]]:
        """The class that it returns, or where its partner decides or its pair, each that one may."""
        own = self.built.distribution
        if own and is_open(own):
            return [closed(own, q.distribution) for q in self.offered("posterior") if q.distribution]
        return [own] if own else [*self._exact()]

    def _exact(self) -> set[type[Distribution]]:
        pairs = [(p, d) for p in self.offered("prior") for d in self.offered("decoder")]
        known = {found for p, d in pairs if (found := posterior_type(p.distribution, d))}
        return known | ({Finite} if self.discrete else set())

    @property
    def discrete(self) -> bool:
        """Whether there are priors over finitely many values."""
        return any(p.distribution.support != "real" for p in self.offered("prior"))

    def offered(self, kind: str) -> list[Any]:
        """The class of each part of a kind that can be had."""
        bench = self.specimen.bench
        names = dict.fromkeys(ref.name for ref in bench.offers[kind])
        return [bench.catalogue.entry(kind, name).load() for name in names]

    def trait(self, *names: str) -> bool:
        """Whether what it returns has all of these traits."""
        return any(set(names) <= traits_of(d) for d in self.distributions)

    def over(self, *supports: str) -> bool:
        """Whether what it returns is over one of these."""
        return any(d.support in supports for d in self.distributions)

    def of(self, most: int) -> bool:
        """Whether there are at most so many latents: few are tried, but where the prior sets their number;
        of steps one in each.
        """
        space = self.parts.model.prior.space
        return (space.steps or math.prod(space.event_shape)) <= most

    @property
    def trained(self) -> bool:
        """Whether it has parameters."""
        return any(weight.requires_grad for weight in self.built.parameters())

    @property
    def kl(self) -> bool:
        """Whether it has a partner with which the KL divergence is known."""
        others = self.offered("prior" if self.specimen.kind == "posterior" else "posterior")
        theirs = [other.distribution for other in others if other.distribution]
        if self.specimen.kind == "posterior":
            return any(has_kl(q, p) for q in self.distributions for p in theirs)
        return any(has_kl(q, p) for q in theirs for p in self.distributions)

    @property
    def exact(self) -> bool:
        """Whether it has a partner with which the posterior is known."""
        if self.specimen.kind == "decoder":
            return self.discrete or any(
                posterior_type(p.distribution, self.cls) for p in self.offered("prior")
            )
        space = self.built.space
        registered = (posterior_type(p, d) for p in self.distributions for d in self.offered("decoder"))
        return bool(space.enumerable) or (not space.sticks and any(registered))

    @property
    def sized(self) -> bool:
        """Whether the number of an objective's samples is an option."""
        catalogue = self.specimen.bench.catalogue
        refs = [with_samples(catalogue, self.specimen.ref, number) for number in (2, 3)]
        return [catalogue.build("objective", ref).samples for ref in refs] == [2, 3]

    @property
    def units(self) -> set[str]:
        """The units of what an evaluator measures."""
        found = {m.metric for m in first(self.specimen)}
        return {metric.unit for name, metric in self.cls.metrics.items() if name in found}


SCOPE: Mapping[str, Callable[[Declared], bool]] = {
    "options_work_at_their_ends": lambda it: any(ends(it.cls)),
    "batch_rows_are_independent": lambda it: it.specimen.kind != "prior" and not _batchwise(it),
    "vectorised_equals_looped": lambda it: it.cls.vectorizable,
    "varying_options_are_kept_in_tensors": lambda it: it.cls.vectorizable and any(varying(it.cls)),
    # parts
    "log_prob_has_its_shape": lambda it: it.trait("density"),
    "sampled_density_is_log_prob": lambda it: it.trait("density"),
    "density_integrates_to_one": lambda it: _on_a_grid(it),
    "samples_follow_the_density": lambda it: _on_a_grid(it),
    "own_densities_weigh_a_box": lambda it: (
        it.specimen.kind != "decoder" and it.over("real") and it.of(3) and not _loose(it)
    ),
    "log_q_is_known_as_declared": lambda it: _loose(it) and it.over("real", "binary"),
    "mean_is_the_average_of_samples": lambda it: it.trait("mean"),
    "components_share_each_value": lambda it: it.trait("components"),
    "strata_make_up_the_whole": lambda it: it.trait("strata"),
    "gradient_reaches_every_parameter": lambda it: it.trained,
    "training_improves_the_bound": lambda it: it.trained,
    "density_gradient_agrees_with_differences": lambda it: (
        it.trait("density") and it.trained and not _fixed(it)
    ),
    "sample_gradient_agrees_with_differences": lambda it: _pathwise(it) and not _fixed(it),
    "slope_is_that_of_the_density": lambda it: any(
        "pathwise" in traits_of(d) and traits_of(d) & {"density", "slope"} for d in it.distributions
    ),
    "amortized_posterior_depends_on_x": lambda it: "amortized" in it.built.provides,
    "top_down_is_true": lambda it: "top_down" in it.built.provides,
    "kl_is_the_average_log_ratio": lambda it: it.kl,
    "registered_posterior_is_exact": lambda it: it.exact,
    "nothing_counts_after_the_end": lambda it: it.trait("steps"),
    "steps_see_nothing_of_later_ones": lambda it: it.trait("steps"),
    "holes_leave_gradients_finite": lambda it: _meets_holes(it.specimen),
    "observed_density_is_the_marginal": lambda it: COMPLETE not in it.built.requires,
    "holes_are_measured": lambda it: (
        COMPLETE not in it.built.requires
        and it.specimen.bench.find({}, it.built.requires, holed()) is not None
    ),
    # objectives and estimators
    "lower_bound_stays_below_log_p": lambda it: it.built.lower_bound,
    "evidence_is_unbiased": lambda it: it.built.evidence,
    "additive_is_true": lambda it: it.built.additive and it.sized,
    "linear_is_true": lambda it: it.built.linear,
    "equal_weights_give_their_value": lambda it: "log_weights" in it.built.provides,
    "own_surrogate_comes_with_the_bound": lambda it: "surrogate" in it.built.provides,
    "bound_is_of_its_terms": lambda it: it.sized,
    "unbiased_gradient_averages_to_the_exact_one": lambda it: (
        it.built.unbiased and "objective.surrogate" not in it.built.requires
    ),
    # evaluators
    "measures_every_combination": lambda it: not tried_before(it.specimen),
    "fractions_are_fractions": lambda it: "fraction" in it.units,
    "per_datum_averages_to_the_value": lambda it: any(m.per_datum is not None for m in first(it.specimen)),
    "labels_change_nothing_else": lambda it: "dataset.labels" not in it.built.requires,
    "uninformative_labels_are_not_scored": lambda it: names_matter(it.specimen),
    "shared_metrics_are_what_they_say": lambda it: bool(TRUTHS.keys() & it.cls.metrics.keys()),
    # data sets
    "raw_files_are_declared": lambda it: bool(it.cls.files),
    "visits_follow_their_noise": lambda it: it.data.visit is not None,
    "log_prob_is_that_of_the_data": lambda it: it.data.log_prob is not None,
    "known_density_integrates_to_one": lambda it: it.data.log_prob is not None and _plane(it),
}
"""When a check must run; those that are not here always must."""


def due(check: Check, declared: Declared) -> bool:
    """Whether a check must run; no check of data can where these are not at hand."""
    try:
        if declared.specimen.kind == "dataset" and not check.once:
            return bool(declared.data) and _holds(check, declared)
        return _holds(check, declared)
    except Skip:
        return False


def _holds(check: Check, declared: Declared) -> bool:
    return check.name not in SCOPE or SCOPE[check.name](declared)


def _meets_holes(specimen: Specimen) -> bool:
    """Whether there is a combination with it for data of which not all was observed."""
    return specimen.bench.find({specimen.kind: specimen.ref}, sources=holed()) is not None


def _on_a_grid(it: Declared) -> bool:
    few = it.specimen.kind == "decoder" or it.of(2)
    return it.trait("density") and it.over(*SUMMABLE) and few


def _loose(it: Declared) -> bool:
    return it.trait("estimate") or it.trait("bound")


def _batchwise(it: Declared) -> bool:
    return it.specimen.kind == "objective" and it.built.batchwise


def _fixed(it: Declared) -> bool:
    return "held_fixed" in it.built.provides


def _pathwise(it: Declared) -> bool:
    known = [traits_of(d) for d in it.distributions]
    return any("pathwise" in traits and "straight_through" not in traits for traits in known)


def _plane(it: Declared) -> bool:
    return it.data.support == "real" and it.data.splits["train"].x[0].numel() <= 2
