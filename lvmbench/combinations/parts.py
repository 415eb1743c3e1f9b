"""Building the parts of a combination, and saying which of their requirements are not met."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch

from lvmbench.combinations.combination import Combination
from lvmbench.component import Component
from lvmbench.dataset import Data
from lvmbench.distributions import Distribution
from lvmbench.errors import Refusal, Unavailable
from lvmbench.estimator import Estimator
from lvmbench.latents import LatentSpace
from lvmbench.model import LatentVariableModel
from lvmbench.noise import derive
from lvmbench.objective import Objective
from lvmbench.options import OptionError
from lvmbench.prior import Prior
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.names import Ref

DECLARED = ("lower_bound", "density", "additive", "linear", "multi_sample")
"""What an objective says of itself that others may require."""


class DataCache:
    """Loaded data sets by their name in the grammar."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self.loaded: dict[str, Data] = {}

    def __getitem__(self, ref: Ref) -> Data:
        if str(ref) not in self.loaded:
            self.loaded[str(ref)] = self._catalogue.build("dataset", ref).load()
        return self.loaded[str(ref)]


@dataclass(frozen=True)
class Parts:
    """The built parts of one combination."""

    model: LatentVariableModel
    objective: Objective
    estimator: Estimator

    @property
    def components(self) -> Mapping[str, Component]:
        """Each part by its kind."""
        model = self.model
        parts: dict[str, Component] = {
            "prior": model.prior,
            "posterior": model.posterior,
            "decoder": model.decoder,
        }
        return {**parts, "objective": self.objective, "estimator": self.estimator}

    @property
    def vectorizable(self) -> bool:
        """Whether every part can run inside ``torch.vmap``."""
        return all(c.vectorizable for c in self.components.values())

    def ready(self, device: torch.device) -> None:
        """Put what is measured on a device, in evaluation mode."""
        self.model.to(device).eval()
        self.objective.to(device).eval()
        self.estimator.to(device).eval()


def build(catalogue: Catalogue, combination: Combination, data: Data, seed: int) -> Parts:
    """Build the parts with the initial weights of one seed, leaving torch's global generator as it was.

    Raises `Refusal` where a component refuses its partners.
    """
    summary = data.summary
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, "weights"))  # parts are built on the CPU
        prior = catalogue.build("prior", combination["prior"], summary, combination.latent)
        posterior = catalogue.build("posterior", combination["posterior"], summary, prior.space)
        decoder = catalogue.build("decoder", combination["decoder"], summary, prior.space.visible)
        objective = catalogue.build("objective", combination["objective"])
        estimator = catalogue.build("estimator", combination["estimator"], summary, prior.space)
    return Parts(LatentVariableModel(prior, posterior, decoder), objective, estimator)


def latent_size(catalogue: Catalogue, prior: Ref, latent: int) -> int:
    """How many latents a combination with this prior has, where the suite's latent size is ``latent``."""
    size: int = (
        catalogue.entry("prior", prior.name).load().latent_size(latent, catalogue.options("prior", prior))
    )
    return size


def default_estimators(catalogue: Catalogue, objective: Ref) -> list[Ref]:
    """The objective's default estimators."""
    names = catalogue.entry("objective", objective.name).load().default_estimators
    return [catalogue.canonical("estimator", Ref.parse(name)) for name in names]


def first_suitable(
    catalogue: Catalogue, estimators: Sequence[Ref], refs: Mapping[str, Ref], latent: int, data: Data
) -> Ref:
    """The first of the estimators whose requirements the other parts meet, or else the first of all."""

    def suits(estimator: Ref) -> bool:
        with suppress(Refusal, Unavailable):
            parts = build(catalogue, Combination({**refs, "estimator": estimator}, latent), data, seed=0)
            return parts.estimator.requires <= capabilities(data, parts)
        return False

    return next(filter(suits, estimators), estimators[0])


def capabilities(data: Data, parts: Parts, *, measured: bool = False) -> frozenset[str]:
    """Everything that the parts of a combination provide, each as ``kind.capability``, in training or when measured."""
    ends = end_capabilities(parts.objective, parts.estimator)
    return model_capabilities(data, parts.model, measured=measured) | ends


def model_capabilities(data: Data, model: LatentVariableModel, *, measured: bool = False) -> frozenset[str]:
    """What data and model provide."""
    q = model.posterior_distribution
    if measured and q:
        q = q.law_type or q
    return prior_capabilities(model.prior).union(
        _words("dataset", data.capabilities),
        _words("posterior", model.posterior.provides | (_traits(q) if q else frozenset())),
        _words("decoder", model.decoder.provides | model.decoder.distribution.traits),
        _words("model", model.provides),
    )


def _traits(q: type[Distribution]) -> frozenset[str]:
    """What the posterior's distribution can do; where its density is known anywhere, so is its slope."""
    return q.traits | (frozenset({"slope"}) if "density" in q.traits else frozenset())


def prior_capabilities(prior: Prior) -> frozenset[str]:
    """What a prior and its latent space provide."""
    return _words("prior", prior.provides | prior.distribution.traits | _offered(prior.space))


def end_capabilities(objective: Objective, estimator: Estimator) -> frozenset[str]:
    """What an objective and an estimator provide."""
    declared = {name for name in DECLARED if getattr(objective, name)}
    return _words("objective", objective.provides | declared) | _words("estimator", estimator.provides)


def _words(kind: str, names: Iterable[str]) -> frozenset[str]:
    return frozenset(f"{kind}.{name}" for name in names)


def _offered(space: LatentSpace) -> frozenset[str]:
    """What the latent space itself offers."""
    known = {"enumerable": space.enumerable, "layers": bool(space.layers), "steps": bool(space.steps)}
    return frozenset({space.support, *(word for word, holds in known.items() if holds)})


def unmet(
    label: str, component: Component, provided: frozenset[str], combination: Combination, data: Data
) -> str | None:
    """Why a component cannot be part of a combination, or ``None`` where all it requires is there."""
    missing = sorted(component.requires - provided)
    if not missing:
        return None
    kind = missing[0].partition(".")[0]
    offered = sorted(p.partition(".")[2] for p in provided if p.startswith(kind + "."))
    owner = _owner(kind, combination, data)
    advice = data.advice.get(missing[0].removeprefix("dataset."))
    return f"{label} requires {missing[0]}, which {owner} does not provide (it provides {', '.join(offered) or 'nothing'}){f'; {advice}' if advice else ''}"


def _owner(kind: str, combination: Combination, data: Data) -> str:
    """Who should have provided something, in the words of a message."""
    if kind == "dataset":
        low, high = data.range
        return f"dataset '{combination['dataset']}' with values from {low:g} to {high:g}"
    return f"{kind} '{combination[kind]}'" if kind in combination.refs else "this pair of prior and decoder"


def refusal(data: Data, parts: Parts, combination: Combination) -> str | None:
    """The first unmet requirement among the parts of a combination."""
    provided = capabilities(data, parts)
    labelled = ((f"{kind} '{combination[kind]}'", part) for kind, part in parts.components.items())
    reasons = (unmet(label, part, provided, combination, data) for label, part in labelled)
    return next((reason for reason in reasons if reason), None)


def applicable_estimators(
    catalogue: Catalogue, parts: Parts, data: Data, provided: frozenset[str], own: Ref
) -> dict[str, Estimator]:
    """The combination's own estimator and every registered one, at its defaults, whose requirements are met."""
    found: dict[str, Estimator] = {}
    summary = data.summary
    for name in catalogue.names("estimator"):
        with suppress(Unavailable, OptionError, Refusal):
            built = catalogue.build("estimator", name, summary, parts.model.prior.space).eval()
            found |= {name: built} if built.requires <= provided else {}
    return {**found, str(own): parts.estimator}
