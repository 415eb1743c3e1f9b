"""What the parts of a combination provide and require, and why a combination is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property

from lvmbench.combinations.combination import Combination
from lvmbench.combinations.parts import Parts, build_model
from lvmbench.component import Component
from lvmbench.dataset import Data
from lvmbench.decoder import Decoder
from lvmbench.distributions import Distribution, closed, traits_of
from lvmbench.errors import Refusal, Unavailable
from lvmbench.estimator import Estimator
from lvmbench.latents import LatentSpace
from lvmbench.model import LatentVariableModel
from lvmbench.objective import Objective
from lvmbench.options import OptionError
from lvmbench.prior import Prior
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.names import Ref

DECLARED = ("lower_bound", "density", "additive", "linear", "multi_sample")
"""What an objective says of itself that others may require."""


def default_estimators(catalogue: Catalogue, objective: Ref) -> list[Ref]:
    """The objective's default estimators."""
    names = catalogue.entry("objective", objective.name).load().default_estimators
    return [catalogue.canonical("estimator", Ref.parse(name)) for name in names]


@dataclass(frozen=True)
class Offer:
    """A model, and what it and the data provide, in training and when it is measured."""

    model: LatentVariableModel
    trained: frozenset[str]
    measured: frozenset[str]

    @cached_property
    def parameters(self) -> int:
        """How many numbers training can change."""
        return self.model.parameters_count

    @classmethod
    def of(cls, catalogue: Catalogue, refs: Mapping[str, Ref], latent: int, data: Data) -> Offer:
        """Build a model and ask it; raises `Refusal` where its parts refuse each other."""
        model = build_model(catalogue, refs, latent, data.summary)
        return cls(model, model_capabilities(data, model), model_capabilities(data, model, measured=True))


def first_suitable(
    catalogue: Catalogue, estimators: Sequence[Ref], objective: Objective, offer: Offer, data: Data
) -> Ref:
    """The first of the estimators whose requirements the other parts meet, or else the first of all."""

    def suits(ref: Ref) -> bool:
        with suppress(Refusal, Unavailable):
            estimator = catalogue.build("estimator", ref, data.summary, offer.model.prior.space)
            requires: frozenset[str] = estimator.requires
            return requires <= offer.trained | end_capabilities(objective, estimator)
        return False

    return next(filter(suits, estimators), estimators[0])


def capabilities(data: Data, parts: Parts, *, measured: bool = False) -> frozenset[str]:
    """Everything that the parts of a combination provide, each as ``kind.capability``,
    in training or when measured.
    """
    ends = end_capabilities(parts.objective, parts.estimator)
    return model_capabilities(data, parts.model, measured=measured) | ends


def model_capabilities(data: Data, model: LatentVariableModel, *, measured: bool = False) -> frozenset[str]:
    """What data and model provide."""
    p, q = closed(model.prior.distribution, model.posterior.distribution), model.posterior_distribution
    if measured:
        p, q = p.law_type or p, (q.law_type or q) if q else None
    words = prior_capabilities(model.prior, p).union(
        _words("dataset", data_capabilities(data, model.prior.space)),
        _words("posterior", model.posterior.provides | (posterior_traits(q) if q else frozenset())),
        decoder_capabilities(model.decoder, model.emission_distribution),
        _words("model", model.known(p, q)),
    )
    return _once(words)


@cache
def _once(words: frozenset[str]) -> frozenset[str]:
    """The same words, of which few sets are kept however many models provide them."""
    return words


def data_capabilities(data: Data, space: LatentSpace) -> frozenset[str]:
    """What data provide to a model with these latents.

    One of steps looks at frames alone, up to the end of a sequence: to it data are complete where they are.
    """
    framed = data.in_steps(space) and data.whole_frames
    return data.capabilities | ({"complete"} if framed else set())


def posterior_traits(q: type[Distribution]) -> frozenset[str]:
    """What the posterior's distribution can do.

    Where its density is known anywhere, so is its slope; unless there is only a bound of it, the weights
    average to p(x).
    """
    traits = traits_of(q)
    slope = frozenset({"slope"} if "density" in traits else ())
    weights = frozenset({"weights"} if "bound" not in traits else ())
    return traits | slope | weights


def prior_capabilities(prior: Prior, p: type[Distribution] | None = None) -> frozenset[str]:
    """What a prior and its latent space provide, where p(z) is of this class,
    or whatever its partners where that is not known.
    """
    traits = traits_of(p or prior.distribution)
    return _words("prior", prior.provides | traits | _offered(prior.space))


def decoder_capabilities(decoder: Decoder, emission: type[Distribution] | None = None) -> frozenset[str]:
    """What a decoder provides, where p(x|z) of the model is of this class, if of another than its own."""
    return _words("decoder", decoder.provides | traits_of(emission or decoder.distribution))


def end_capabilities(objective: Objective, estimator: Estimator) -> frozenset[str]:
    """What an objective and an estimator provide."""
    declared = {name for name in DECLARED if getattr(objective, name)}
    return _words("objective", objective.provides | declared) | _words("estimator", estimator.provides)


def _words(kind: str, names: AbstractSet[str]) -> frozenset[str]:
    return _worded(kind, frozenset(names))


@cache
def _worded(kind: str, names: frozenset[str]) -> frozenset[str]:
    return frozenset(f"{kind}.{name}" for name in names)


def _offered(space: LatentSpace) -> frozenset[str]:
    """What the latent space itself offers."""
    steps = bool(space.steps)
    known = {
        "enumerable": space.enumerable,
        "layers": bool(space.layers),
        "steps": steps,
        "fixed": not steps,
    }
    return frozenset({space.support, *(word for word, holds in known.items() if holds)})


def unmet(
    label: str, component: Component, provided: frozenset[str], combination: Combination, data: Data
) -> str | None:
    """Why a component cannot be part of a combination, or ``None`` where all it requires is there."""
    # what z is not of one shape for may lack more besides, as a mean of p(x|z): that is why
    missing = sorted(component.requires - provided, key=lambda word: (word != "prior.fixed", word))
    if not missing:
        return None
    kind = missing[0].partition(".")[0]
    offered = sorted(p.partition(".")[2] for p in provided if p.startswith(kind + "."))
    owner = _owner(kind, combination, data)
    advice = data.advice.get(missing[0].removeprefix("dataset."))
    return (
        f"{label} requires {missing[0]}, which {owner} does not provide (it provides "
        f"{', '.join(offered) or 'nothing'}){f'; {advice}' if advice else ''}"
    )


def _owner(kind: str, combination: Combination, data: Data) -> str:
    """Who should have provided something, in the words of a message."""
    if kind == "dataset":
        low, high = data.range
        return f"dataset '{combination['dataset']}' with values from {low:g} to {high:g}"
    return f"{kind} '{combination[kind]}'" if kind in combination.refs else "this pair of prior and decoder"


def refusal(data: Data, parts: Parts, combination: Combination) -> str | None:
    """The first unmet requirement among the parts of a combination."""
    return unmet_by_parts(parts, capabilities(data, parts), combination, data)


def unmet_by_parts(
    parts: Parts, provided: frozenset[str], combination: Combination, data: Data
) -> str | None:
    """Why one of the parts cannot be part of a combination where so much is provided."""
    labelled = ((f"{kind} '{combination[kind]}'", part) for kind, part in parts.components.items())
    reasons = (unmet(label, part, provided, combination, data) for label, part in labelled)
    return next((reason for reason in reasons if reason), None)


def applicable_estimators(
    catalogue: Catalogue, parts: Parts, data: Data, provided: frozenset[str], own: Ref
) -> dict[str, Estimator]:
    """The combination's own estimator and every registered one, at its defaults,
    that suits the other parts.
    """
    suiting = suiting_estimators(catalogue, parts.objective, parts.model.prior.space, data, provided)
    return {**suiting, str(own): parts.estimator}


def suiting_estimators(
    catalogue: Catalogue, objective: Objective, space: LatentSpace, data: Data, provided: frozenset[str]
) -> dict[str, Estimator]:
    """Every registered estimator, at its defaults, that suits an objective and models with these latents
    that provide so much.
    """
    found: dict[str, Estimator] = {}
    asked = {need for need in objective.requires if need.startswith("estimator.")}
    for name in catalogue.names("estimator"):
        with suppress(Unavailable, OptionError, Refusal):
            built = catalogue.build("estimator", name, data.summary, space).eval()
            suits = built.requires <= provided and asked <= _words("estimator", built.provides)
            found |= {name: built} if suits else {}
    return found
