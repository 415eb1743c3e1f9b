"""Checks of objectives, most of them on a toy model whose log p(x) is known."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lvmbench.checks.claims import GROUPS, PATIENCE, STEPS, fit
from lvmbench.checks.contract import Skip, applies, contract, require
from lvmbench.checks.gradients import agree
from lvmbench.checks.partners import with_samples
from lvmbench.checks.specimen import TOY, Specimen, Trial, stream
from lvmbench.checks.statistics import require_average
from lvmbench.checks.toys import Toy, toys
from lvmbench.estimator import Estimator
from lvmbench.model import LatentVariableModel
from lvmbench.noise import Noise
from lvmbench.objective import Estimate, Objective
from lvmbench.registry.names import Ref
from lvmbench.terms import Terms

DRAWS = 4000
READ = "objective.Objective"


class Plain(Estimator):
    """The gradient through the samples, whatever they are.

    For figures that need no estimator of their own.
    """

    def forward(
        self,
        objective: Objective,
        model: LatentVariableModel,
        x: Tensor,
        noise: Noise,
        kl_weight: Tensor | float = 1.0,
    ) -> Estimate:
        bound = objective(Terms(model, x, noise, objective.samples), kl_weight)
        return Estimate(bound, bound)


def _double(*words: object) -> Noise:
    return stream(*words, dtype=torch.float64)


def _sized(specimen: Specimen, samples: int) -> Any:
    """The objective with this many samples, or a `Skip` where it has no such option."""
    ref = with_samples(specimen.bench.catalogue, specimen.ref, samples)
    built = specimen.bench.catalogue.build("objective", ref)
    applies(built.samples == samples, "its number of samples is not an option")
    return built


def _toys(objective: Any, **options: Any) -> Iterator[Toy]:
    objective.requires = frozenset(r for r in objective.requires if not r.startswith("estimator."))
    return toys(objective.double(), Plain(), **options)


@contract("objective", due="samples is the number of samples that is asked for.", read=READ)
def samples_are_as_asked(specimen: Specimen) -> None:
    found = specimen.build().samples
    require(type(found) is int and found >= 1, f"samples is {found!r}", "it is a whole number of at least 1")
    ref = with_samples(specimen.bench.catalogue, specimen.ref, 3)
    if ref != specimen.ref:
        asked = specimen.bench.catalogue.build("objective", ref).samples
        require(asked == 3, f"with samples=3 it has {asked}", "set self.samples from the option")


@contract(
    "objective",
    due="The default estimators are registered, and one of them works with the objective.",
    read=READ,
)
def default_estimator_works(specimen: Specimen) -> None:
    names = specimen.build().default_estimators
    require(
        isinstance(names, tuple) and bool(names), f"default_estimators is {names!r}", "it is a tuple of names"
    )
    known = specimen.bench.catalogue.names("estimator")
    named = [Ref.parse(name).name for name in names]  # some have options
    unknown = [name for name in named if name not in known]
    require(not unknown, f"default_estimators names '{', '.join(unknown)}'", f"known: {', '.join(known)}")
    refs = [ref for ref in specimen.bench.offers["estimator"] if ref.name in named]
    found = any(specimen.bench.find({"objective": specimen.ref, "estimator": ref}) for ref in refs)
    require(found, f"no combination with {' or '.join(names)} meets all requirements", "name another")


@contract(
    "objective",
    due="The KL weight may be a number or a tensor, and is 1 where it is not given.",
    read=f"{READ}.forward",
)
def kl_weight_is_taken(specimen: Specimen) -> None:
    trial = specimen.trial()
    bound = {}
    for name, given in {
        "nothing": (),
        "1.0": (1.0,),
        "0.5": (0.5,),
        "a tensor": (torch.tensor(0.5),),
    }.items():
        terms = Terms(trial.parts.model, trial.x, trial.noise(), trial.parts.objective.samples)
        bound[name] = trial.parts.objective(terms, *given)
    for one, other in (("nothing", "1.0"), ("0.5", "a tensor")):
        error = (bound[one] - bound[other]).abs().max().item()
        require(error < 1e-4, f"with {one} and with {other} the bounds differ by {error:.3g}")
    require(bool(bound["0.5"].isfinite().all()), "with a weight of 0.5 the bound is not finite")


@contract("objective", due="A declared lower bound is on average no more than log p(x).", read=READ)
def lower_bound_stays_below_log_p(specimen: Specimen) -> None:
    """With the true posterior it has no room: the bound of every draw is at most log p(x)."""
    built = specimen.build()
    applies(built.lower_bound, "it is not declared a lower bound")
    for sharp in (False, True):
        for toy in _toys(specimen.build(), exact=(False, True), sharp=sharp):
            with torch.no_grad():
                bound = toy.parts.objective(toy.terms(_double("bound"), DRAWS)).unflatten(0, (-1, DRAWS))
                truth = toy.log_p
            require_average(
                bound.T,
                truth,
                f"the bound ({toy.name})",
                "it exceeds log p(x): look for the sign or weight of the KL, a sum where a mean is due, or "
                "log K; or declare lower_bound = False",
                above=True,
                slack=1e-8,
            )


@contract(
    "objective",
    due="Where it is declared 'evidence', the exponential of the bound is p(x) on average.",
    read=READ,
)
def evidence_is_unbiased(specimen: Specimen) -> None:
    applies(specimen.build().evidence, "it is not declared to be the log of an estimate of p(x)")
    for toy in _toys(specimen.build()):
        with torch.no_grad():
            bound = toy.parts.objective(toy.terms(_double("evidence"), DRAWS)).unflatten(0, (-1, DRAWS))
            ratio = (bound.T - toy.log_p).exp()
        require_average(
            ratio,
            1.0,
            f"exp(bound) / p(x) ({toy.name})",
            "take the log of a mean of weights; after resampling, let copies be of the chosen, with equal "
            "weights; or declare evidence = False",
        )


@contract(
    "objective", due="An additive bound is the mean over samples of the bounds of single samples.", read=READ
)
def additive_is_true(specimen: Specimen) -> None:
    applies(specimen.build().additive, "it is not declared additive")
    for toy in _toys(_sized(specimen, 3)):
        terms = toy.terms(_double("additive"))
        bound = toy.parts.objective(terms)
        mean = torch.stack([toy.parts.objective(one) for one in terms.singles()]).mean(0)
        _same(
            bound,
            mean,
            "bound and mean of single bounds",
            "take the mean over samples, or declare additive = False",
        )


@contract(
    "objective",
    due="A linear objective takes log q linearly, with weights that do not depend on the samples.",
    read=READ,
)
def linear_is_true(specimen: Specimen) -> None:
    """By what is gained where log q of each sample is larger:
    twice as much for twice the change, and the same at other samples.
    """
    applies(specimen.build().linear, "it is not declared linear")
    for toy in _toys(specimen.build()):
        once, twice, elsewhere = (
            _gain(toy, *args) for args in ((1.0, "linear"), (2.0, "linear"), (1.0, "else"))
        )
        hint = "or declare linear = False: path gradients leave out what log q then adds to the gradient"
        _same(twice, 2 * once, "the change for twice the log q and twice the change", hint)
        _same(elsewhere, once, "the changes for log q at two draws", hint)


@torch.no_grad()
def _gain(toy: Toy, size: float, word: str) -> Tensor:
    """What the objective gains where log q is larger, by other amounts for other samples."""

    def value(larger: float) -> Tensor:
        terms = toy.terms(_double(word))
        rise = _double("rise").normal(terms.log_q.shape)
        terms.__dict__["log_q"] = terms.log_q + larger * rise
        bound: Tensor = toy.parts.objective(terms)
        return bound

    return value(size) - value(0.0)


@contract(
    "objective",
    due="Where it provides 'log_weights' and all log weights are equal, the bound is that value.",
    read=READ,
)
def equal_weights_give_their_value(specimen: Specimen) -> None:
    """With the true posterior every log weight is log p(x)."""
    for samples in (1, 5):
        ref = with_samples(specimen.bench.catalogue, specimen.ref, samples)
        built = specimen.bench.catalogue.build("objective", ref)
        applies("log_weights" in built.provides, "it does not provide 'log_weights'")
        for toy in _toys(built, exact=(True,)):
            bound = toy.parts.objective(toy.terms(_double("equal")))
            what = f"with {built.samples} samples, bound and log p(x)"
            _same(bound, toy.log_p, what, "look at what is subtracted: log K of K samples")


@contract(
    "objective",
    due="The bound is that of the samples in its terms, however many they are.",
    read="terms.Terms",
)
def bound_is_of_its_terms(specimen: Specimen) -> None:
    for toy, other in zip(_toys(_sized(specimen, 3)), _toys(_sized(specimen, 2)), strict=True):
        # of the same noise each, as there are objectives that draw on
        one, two = (toy.terms(_double("rest")).leave_one_out()[0] for _ in range(2))
        hint = "use terms.samples, not self.samples"
        _same(toy.parts.objective(one), other.parts.objective(two), "bounds of the same two samples", hint)


@contract(
    "objective",
    due="A surrogate of its own comes with the bound that a call gives, and is followed by no other "
    "estimator than 'own'.",
    read="objective.SurrogateObjective",
)
def own_surrogate_comes_with_the_bound(specimen: Specimen) -> None:
    built = specimen.build()
    applies("surrogate" in built.provides, "it does not provide 'surrogate'")
    require(
        "estimator.own" in built.requires,
        "it does not require 'estimator.own'",
        "any estimator would be admitted",
    )
    for toy in _toys(built):
        x = toy.x.repeat_interleave(DRAWS, 0)
        for kl_weight in (1.0, 0.3):
            with torch.no_grad():
                found = built.estimate(toy.model, x, _double("one"), kl_weight).bound
                due = built(Terms(toy.model, x, _double("one"), built.samples), kl_weight)
            require_average(
                (found - due).unflatten(0, (-1, DRAWS)).T,
                0.0,
                f"the estimate's bound minus the call's with KL weight {kl_weight} ({toy.name})",
                "return the bound beside the surrogate, and pass kl_weight on to it",
                slack=1e-9,
            )


def _same(one: Tensor, other: Tensor, what: str, hint: str) -> None:
    error = (one - other).abs().max().item()
    require(error <= 1e-8 * (1 + other.abs().max().item()), f"{what} differ by {error:.4g}", hint)


@contract(
    "objective",
    due="The gradient of the bound is that of finite differences at fixed noise.",
    read=f"{READ}.forward",
)
def bound_gradient_agrees_with_differences(specimen: Specimen) -> None:
    toy = next(_toys(specimen.build()))
    q = toy.model.posterior_distribution
    applies(q is not None and "pathwise" in q.traits, "it is for samples without gradients")
    weights = {n: w for n, w in toy.model.named_parameters() if isinstance(w, nn.Parameter)}
    agree(lambda: toy.parts.objective(toy.terms(_double("gradient"))).sum(), weights, "the bound")


@contract(
    "objective",
    "estimator",
    due=f"At most {PATIENCE * STEPS} training steps improve a toy model.",
    read="training.loop.train",
)
def training_improves_a_toy(specimen: Specimen) -> None:
    """Measured by the ELBO over fixed draws, whatever is trained."""
    estimators, objectives = (
        ([specimen.ref], specimen.bench.offers["objective"])
        if specimen.kind == "estimator"
        else (specimen.bench.offers["estimator"], [specimen.ref])
    )
    pairs = list(itertools.product(objectives, estimators))
    for objective, estimator in pairs if specimen.kind == "estimator" else _default(specimen, pairs):
        build = specimen.bench.catalogue.build
        parts = build("objective", objective).double(), build("estimator", estimator, *TOY).double()
        try:
            toy = next(toys(*parts))
        except Skip:
            continue
        _fit(specimen, toy)
        return
    raise Skip("no toy model meets its requirements")


def _default(specimen: Specimen, pairs: list[Any]) -> list[Any]:
    names = specimen.build().default_estimators
    return sorted(pairs, key=lambda pair: names.index(pair[1].name) if pair[1].name in names else len(names))


def _fit(specimen: Specimen, toy: Toy) -> None:
    x = _double("data").normal((128, *toy.x.shape[1:])) * 0.5 + 2.5
    trial = Trial(specimen.kind, None, toy.parts, x, x)  # type: ignore[arg-type]

    @torch.no_grad()
    def elbos() -> Tensor:
        terms = Terms(toy.model, x, _double("elbo"), 2 * GROUPS)
        groups: Tensor = terms.log_w().unflatten(0, (GROUPS, 2))
        return groups.mean((1, 2))

    fit(trial, list(toy.model.parameters()), elbos)
