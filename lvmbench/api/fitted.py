"""One model, trained and measured in this process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from pydantic import ValidationError
from torch import Tensor

from lvmbench.combinations.budget import Budget
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.given import Given, admit, combine, plain
from lvmbench.combinations.parts import Parts, build
from lvmbench.combinations.requirements import capabilities, refusal
from lvmbench.dataset import Data
from lvmbench.errors import LvmbenchError, Refusal, UserError, nearest
from lvmbench.evaluator import Evaluator, Subject
from lvmbench.execution.encodings import Kept
from lvmbench.execution.measuring import check_suits, figures, subject_of
from lvmbench.model import LatentVariableModel
from lvmbench.noise import Stream
from lvmbench.objective import Objective
from lvmbench.options import Precision
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.loader import PluginSelection, load_catalogue
from lvmbench.registry.sandbox import preserved
from lvmbench.results.weights import WrongWeights, read_weights, weights_file
from lvmbench.status import Status
from lvmbench.training import Epoch, pick_device, restore, train
from lvmbench.training.memory import PeakMemory

if TYPE_CHECKING:
    from lvmbench.api.plots import FittedPlots

CURVE = ["epoch", "train_bound", "validation_bound"]
MEASURES = ["evaluator", "split", "metric", "variant", "method", "value", "stderr", "unit", "better"]


@dataclass(frozen=True, repr=False)
class Fitted:
    """A trained model with what it was trained on, ready to be measured by `evaluate`.

    Arguments:
        parts: The trained model, its objective and its gradient estimator.
        data: The data set.
        combination: What the parts are called.
        seed: The seed of weights, data order and noise.
        device: Where the model is.
        catalogue: The components that names stand for.
        curve: The bounds of each epoch: epoch, train_bound, validation_bound.
        facts: What is on record of its training: ``train_seconds``, ``peak_memory_host``, ...
    """

    parts: Parts
    data: Data
    combination: Combination
    seed: int
    device: torch.device
    catalogue: Catalogue
    curve: pd.DataFrame
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def untrained(
        cls, catalogue: Catalogue, combination: Combination, seed: int, device: torch.device
    ) -> Fitted:
        """The model with its initial weights; raises `Refusal` where its parts do not suit each other."""
        data: Data = catalogue.build("dataset", combination["dataset"]).load()
        parts = build(catalogue, combination, data, seed)
        if reason := refusal(data, parts, combination):
            raise Refusal(reason)
        return cls(parts, data, combination, seed, device, catalogue, pd.DataFrame(columns=CURVE))

    def trained(self, budget: Budget, on_epoch: Callable[[Epoch], None]) -> Fitted:
        """The model with the best weights on validation; raises `LvmbenchError` where training diverges."""
        memory = PeakMemory(self.device)
        (result,) = train([self.parts], [self.seed], self.data, budget, self.device, on_epoch)
        if result.status != Status.OK:
            raise LvmbenchError(f"training {result.status} in {result.reason}; try a smaller learning_rate")
        curve = pd.DataFrame(result.curve, columns=CURVE)
        ending = {"trained_epochs": result.epochs, "best_epoch": result.best_epoch, "stopped": result.stopped}
        facts = {"train_seconds": result.seconds, **ending, **memory.facts}
        return replace(self, curve=curve, facts=facts).restored(result.weights)

    def restored(self, weights: Mapping[str, Tensor]) -> Fitted:
        """The model with these weights, ready for use; raises `LvmbenchError` for those of another model."""
        restore(self.parts, weights)
        self.parts.ready(self.device)
        return self

    @property
    def model(self) -> LatentVariableModel:
        """The model: prior, posterior and decoder."""
        return self.parts.model

    @property
    def objective(self) -> Objective:
        """The bound that it was trained with."""
        return self.parts.objective

    @property
    def provides(self) -> frozenset[str]:
        """Each ``kind.capability`` of its parts and its data."""
        return capabilities(self.data, self.parts, measured=True)

    def subject(self, split: str = "test", kept: Kept | None = None) -> Subject:
        """What an evaluator is given, with what others have found of the split.

        Raises `UserError` for a split that the data do not have.
        """
        if split not in self.data.splits:
            raise UserError(f"there is no split '{split}'{nearest(split, self.data.splits)}")
        return subject_of(
            self.catalogue,
            self.combination,
            self.parts,
            self.data,
            self.provides,
            self.seed,
            split,
            self.device,
            self.facts,
            kept,
        )

    def measure(
        self, evaluator: Given, split: str = "test", kept: Mapping[Precision, Kept] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The measurements of one evaluator; raises `Refusal` where it does not apply.

        ``kept`` is what those before it have found of the split.
        """
        catalogue, ref = admit(self.catalogue, "evaluator", evaluator)
        instrument: Evaluator = catalogue.build("evaluator", ref)
        check_suits(instrument, ref, self.provides, self.combination, self.data)
        found = None if kept is None else kept[instrument.precision]
        _, rows = figures(instrument, self.subject(split, found))
        yield from ({"evaluator": str(ref), **row} for row in rows)

    def generate(self, samples: int, *, mean: bool = False, seed: int = 0) -> Tensor:
        """``K`` draws of x from the model, ``(K, *x)``, or the ``mean`` of p(x|z) for as many draws of z.

        Raises `UserError` where p(x|z) has no mean.
        """
        noise = Stream.seeded(seed, "generate", device=self.device)
        return self.model.generate(noise, samples, mean=mean)

    @property
    def plot(self) -> FittedPlots:
        """Its pictures: ``fitted.plot.samples()`` and others."""
        from lvmbench.api.plots import FittedPlots

        return FittedPlots(self)

    def __repr__(self) -> str:
        size = f"{self.model.parameters_count:,} parameters"
        return f"Fitted({self.combination}, latent {self.combination.latent}, seed {self.seed}, {size})"

    def _repr_html_(self) -> str:
        facts = {**self.combination.columns, "seed": self.seed, "parameters": self.model.parameters_count}
        if len(self.curve):
            epoch, _, bound = self.curve.iloc[int(self.curve["validation_bound"].argmax())]
            facts |= {"best epoch": int(epoch), "validation bound": f"{bound:.4g} nats"}
        rows = "".join(f"<tr><th>{escape(k)}</th><td>{escape(str(v))}</td></tr>" for k, v in facts.items())
        return f"<table>{rows}</table>"


def fit(
    *,
    data: Given,
    prior: Given,
    posterior: Given,
    decoder: Given,
    objective: Given,
    estimator: Given | None = None,
    latent: int = 8,
    seed: int = 0,
    device: str = "auto",
    plugins: Iterable[str | Path] = (),
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    **budget: Any,
) -> Fitted:
    """Train one model in this process.

    Each component is a name with options (``"name[option=value]"``), a class, an instance, or a mapping of
    one of the first two to options (``{MyPrior: {"option": value}}``). What is not registered goes by the
    name of its class, in snake case.

    Arguments:
        data: The data set; `Data` in memory also.
        prior: The prior p(z).
        posterior: The posterior q(z|x).
        decoder: The decoder p(x|z).
        objective: The bound to maximise.
        estimator: The gradient estimator; by default the objective's own.
        latent: The size of the latent space.
        seed: What weights, data order and noise come from.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        plugins: Local plugins, as files or modules.
        on_epoch: Called after each epoch.
        budget: Keys of a suite's ``budget``: ``epochs``, ``batch``, ``learning_rate``, ``patience``, ...

    Global state of torch, numpy and random is afterwards what it was before. Raises `Refusal` where the
    components do not suit each other, `UserError` for names and values that cannot be used, and
    `LvmbenchError` where training diverges.
    """
    where, spent = pick_device(device), _budget(budget)
    given = {
        "dataset": data,
        "prior": prior,
        "posterior": posterior,
        "decoder": decoder,
        "objective": objective,
    }
    catalogue = load_catalogue(PluginSelection.of(plugins))
    with preserved([]):
        catalogue, combination = combine(catalogue, given, estimator, latent)
        combination = replace(combination, budget=spent)
        return Fitted.untrained(catalogue, combination, seed, where).trained(spent, on_epoch)


def evaluate(fitted: Fitted, *evaluators: Given, split: str = "test") -> pd.DataFrame:
    """Measure a fitted model: one row per figure, with its Monte Carlo error.

    Arguments:
        fitted: What `fit` returned, or ``Results.fitted``.
        evaluators: Each a name with options, a class or an instance.
        split: Which part of the data to measure on.

    Raises `Refusal` where an evaluator does not apply, `UserError` for one that there is not.
    """
    kept = defaultdict[Precision, Kept](dict)
    with preserved([]):
        rows = [row for evaluator in evaluators for row in fitted.measure(evaluator, split, kept)]
    return pd.DataFrame(rows, columns=MEASURES)


def stored(
    catalogue: Catalogue,
    combination: Combination,
    seed: int,
    key: str,
    weights: Path,
    facts: Mapping[str, Any],
    provenance: Mapping[str, Mapping[str, Any]],
) -> Fitted:
    """A model that a suite has trained, from the folder of its weights.

    Raises `UserError` where they are missing or not those that were trained, and where data or versions of
    components are no longer those of ``provenance``.
    """
    try:
        tensors = read_weights(weights_file(weights, key), facts.get("weights_sha256"))
    except WrongWeights as error:
        raise UserError(str(error)) from None
    _require_versions(catalogue, combination, provenance)
    fitted = Fitted.untrained(catalogue, combination, seed, pick_device("cpu"))
    now, then = fitted.data.checksum, provenance["dataset"]["sha256"]
    if now != then:  # what was trained on may be called test by now
        raise UserError(
            f"dataset '{combination['dataset']}' is no longer what this run was trained on (sha256 "
            f"{now[:12]}, was {then[:12]}); bring the old data back, or run the suite again "
            "in another directory"
        )
    return replace(fitted, facts=facts).restored(tensors)


def _require_versions(
    catalogue: Catalogue, combination: Combination, provenance: Mapping[str, Mapping[str, Any]]
) -> None:
    """Refuse components whose results are no longer those that are stored."""
    for kind, part in catalogue.provenance(combination.refs).items():
        now, then = part["component"], provenance[kind]["component"]
        if now != then:
            raise UserError(
                f"{kind} '{combination[kind]}' has version {now} here, this run was trained with version "
                f"{then}; install that one, or run the suite again in another directory"
            )


def _budget(given: dict[str, Any]) -> Budget:
    try:
        return Budget(**{name: plain(value) for name, value in given.items()})
    except ValidationError as error:
        detail = error.errors()[0]
        name = str(detail["loc"][0])
    if detail["type"] == "extra_forbidden":
        raise UserError(f"there is no argument '{name}'{nearest(name, Budget.model_fields)}")
    rule = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    raise UserError(f"{name}: {rule}, got {detail['input']!r}")
