"""Applying an evaluator to a trained model: the same for stored runs and for models in a notebook."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from lvmbench.combinations.combination import Combination
from lvmbench.combinations.parts import Parts
from lvmbench.combinations.requirements import applicable_estimators, capabilities, unmet
from lvmbench.dataset import Data
from lvmbench.errors import LvmbenchError, Refusal, nearest
from lvmbench.evaluator import Evaluator, Measurement, Subject
from lvmbench.execution.encodings import Encodings, Kept
from lvmbench.posterior import Searched
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.names import Ref
from lvmbench.text import printable, shortened
from lvmbench.training.precision import decoding_precision

WORD = 200
"""So many characters of what a figure is called are kept."""


def check_suits(
    evaluator: Evaluator, ref: Ref, provided: frozenset[str], combination: Combination, data: Data
) -> None:
    """Raise `Refusal` with the reason where an evaluator requires what a combination does not provide."""
    if reason := unmet(f"evaluator '{ref}'", evaluator, provided, combination, data):
        raise Refusal(reason)


def subject_of(
    catalogue: Catalogue,
    combination: Combination,
    parts: Parts,
    data: Data,
    provided: frozenset[str],
    seed: int,
    split: str,
    device: torch.device,
    facts: Mapping[str, Any],
    kept: Kept | None = None,
) -> Subject:
    """What an evaluator is given of parts that are ready, with every estimator that suits them.

    ``kept`` is what other evaluators of the run have found of this split, with products as exact.
    """
    model, kept = parts.model, {} if kept is None else kept
    # those that suit it as it trains: the law that is measured of a posterior may be another one
    trains = capabilities(data, parts)
    estimators = applicable_estimators(catalogue, parts, data, trains, combination["estimator"])
    subject = Subject(model, parts.objective, estimators, data, seed, split, provided, device, facts)
    if not isinstance(model.posterior, Searched):
        return subject
    return replace(subject, encode=Encodings(model, partial(subject.values, split), subject.order, kept))


def figures(evaluator: Evaluator, subject: Subject) -> tuple[list[Measurement], tuple[dict[str, Any], ...]]:
    """The measurements of an evaluator, and the same as rows of the store."""
    with decoding_precision(evaluator.precision, subject.model.decoder, subject.device):
        measurements = list(evaluator.evaluate(subject))
    rows = tuple(_row(m, evaluator, subject.split) for m in measurements)
    _expect_distinct(measurements)
    return measurements, rows


def _row(measurement: Measurement, evaluator: Evaluator, split: str) -> dict[str, Any]:
    """A measurement as the store takes it.

    Raises `LvmbenchError` for one that is undeclared or not finite.
    """
    name, value, stderr = measurement.metric, float(measurement.value), measurement.stderr
    metric = evaluator.metrics.get(name)
    if metric is None:
        raise LvmbenchError(
            f"metric '{name}' is not among the evaluator's metrics{nearest(name, evaluator.metrics)}"
        )
    stderr = None if stderr is None else float(stderr)
    if not (math.isfinite(value) and math.isfinite(stderr or 0.0)):
        raise LvmbenchError(
            f"metric '{name}' is {value} with standard error {stderr}; both must be finite: refuse instead"
        )
    words = {"metric": name, "variant": _word(measurement.variant), "method": _word(measurement.method)}
    return {
        **words,
        "value": value,
        "stderr": stderr,
        "split": split,
        "unit": metric.unit,
        "better": metric.better,
    }


def _word(text: str) -> str:
    """What an evaluator calls a figure, as plain text that can be stored and shown."""
    return shortened(printable(str(text)), WORD)


def _expect_distinct(measurements: Iterable[Measurement]) -> None:
    """Raise `LvmbenchError` where a figure is given twice."""
    for name, times in Counter((m.metric, m.variant, m.method) for m in measurements).items():
        if times > 1:
            raise LvmbenchError(
                f"the evaluator gives {times} measurements called {' / '.join(filter(None, name))}"
            )
