"""The parts of a combination, and how they are built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from lvmbench.combinations.combination import Combination
from lvmbench.component import Component
from lvmbench.dataset import Data, DataSummary
from lvmbench.estimator import Estimator
from lvmbench.latents import LatentSpace
from lvmbench.model import LatentVariableModel
from lvmbench.noise import derive
from lvmbench.objective import Objective
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.names import Ref
from lvmbench.registry.sandbox import contained
from lvmbench.registry.watch import entered


class DataCache:
    """Loaded data sets by their name in the grammar."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self.loaded: dict[str, Data] = {}

    def __getitem__(self, ref: Ref) -> Data:
        if str(ref) not in self.loaded:
            with contained(), entered(f"dataset '{ref}'"):
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
    summary = data.summary.copy()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, "weights"))  # parts are built on the CPU
        model = build_model(catalogue, combination.refs, combination.latent, summary)
        objective = catalogue.build("objective", combination["objective"])
        objective.prepare(summary, model.prior.space)
        estimator = catalogue.build("estimator", combination["estimator"], summary, model.prior.space)
    return Parts(model, objective, estimator)


def build_model(
    catalogue: Catalogue, refs: Mapping[str, Ref], latent: int, summary: DataSummary
) -> LatentVariableModel:
    """Build prior, posterior and decoder, with weights from torch's global generator."""
    prior = catalogue.build("prior", refs["prior"], summary, latent)
    posterior = catalogue.build("posterior", refs["posterior"], summary, prior.space)
    decoded = emitted(summary, prior.space)
    decoder = catalogue.build("decoder", refs["decoder"], decoded, prior.space.visible)
    return LatentVariableModel(prior, posterior, decoder, complete=decoded.complete)


def emitted(summary: DataSummary, space: LatentSpace) -> DataSummary:
    """What the decoder of a model with these latents is for: the data, or of steps each frame."""
    return summary.frame if space.steps else summary


def identity(catalogue: Catalogue, combination: Combination, data: Data) -> dict[str, Any]:
    """What a run's results depend on besides its seed."""
    parts = {
        kind: [ref.name, catalogue.options(kind, ref), catalogue.version(kind, ref)]
        for kind, ref in combination.refs.items()
    }
    return {"parts": parts, "data": data.checksum, "budget": combination.budget.identity}


def latent_size(catalogue: Catalogue, prior: Ref, latent: int, data: Callable[[], DataSummary]) -> int:
    """How many latents a combination with this prior has on these data,
    where the suite's latent size is ``latent``.
    """
    options = catalogue.options("prior", prior)
    size: int = catalogue.entry("prior", prior.name).load().latent_size(latent, options, data)
    return size
