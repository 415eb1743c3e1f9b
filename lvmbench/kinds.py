"""The kinds of plugin: every list of them follows from this table."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kind:
    """One kind of plugin.

    Arguments:
        name: What it is called, in the registry, in tables and in the name of its module.
        plural: The key of a suite that lists several of them.
        makes: What a component of it is made with.
        called: How a component of it is used.
        optional: Whether a suite may leave it out, and take a default.
    """

    name: str
    plural: str
    makes: str = ""
    called: str = ""
    optional: bool = False

    @property
    def title(self) -> str:
        """The name of its base class."""
        return self.name.capitalize()

    def base(self) -> type[Any]:
        """Its base class, imported now: importing this module brings no torch."""
        base: type[Any] = getattr(importlib.import_module(f"lvmbench.{self.name}"), self.title)
        return base


_PARTS = (
    Kind("dataset", "datasets", "()", "dataset.load()"),
    Kind("prior", "priors", "(data, latent)", "prior(model)"),
    Kind("posterior", "posteriors", "(data, space)", "posterior(x, model)"),
    Kind("decoder", "decoders", "(data, space)", "decoder(z)"),
    Kind("objective", "objectives", "()", "objective(terms, kl_weight)"),
    Kind(
        "estimator", "estimators", "(data, space)", "estimator(objective, model, x, noise, kl_weight)", True
    ),
)
_EVALUATOR = Kind("evaluator", "evaluators", "()", "evaluator.evaluate(subject)")
_SUITE = Kind("suite", "suites")
_TRACKER = Kind("tracker", "trackers", "()", "tracker.epoch_ended(event), ...")

TABLE = {kind.name: kind for kind in (*_PARTS, _EVALUATOR, _SUITE, _TRACKER)}
"""Every kind, by name."""
PARTS = tuple(kind.name for kind in _PARTS)
"""The kinds that a combination has one of each of, in the order of its name."""
COMPONENTS = (*PARTS, _EVALUATOR.name)
"""The kinds whose plugins bring maths: all but suites, which are files, and trackers."""
KINDS = tuple(TABLE)
