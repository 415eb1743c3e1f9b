"""A fitted model as one file: its weights as safetensors, and in the header, as JSON,
what they are the weights of.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.torch import load

from lvmbench.api.fitted import CURVE, Fitted
from lvmbench.combinations.budget import Budget
from lvmbench.combinations.combination import PROTOCOL
from lvmbench.combinations.given import Given, combine
from lvmbench.data.tensors import write_tensors
from lvmbench.errors import UserError
from lvmbench.kinds import PARTS
from lvmbench.registry.loader import PluginSelection, load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.training import pick_device, state

HEADER = "lvmbench"
"""The key of the header's description."""


def save(fitted: Fitted, path: Path) -> None:
    """Write a fitted model to a file; what it holds is data only, and reading it runs nothing of it."""
    text = json.dumps(_described(fitted), default=lambda number: number.item())
    try:
        write_tensors(state(fitted.parts), path, {HEADER: text})
    except OSError as error:
        raise UserError(f"'{path}' cannot be written: {error.strerror}; give another path") from None


def _described(fitted: Fitted) -> dict[str, Any]:
    combination, catalogue, summary = fitted.combination, fitted.catalogue, fitted.data.summary
    options = {kind: catalogue.options(kind, combination[kind]) for kind in PARTS}
    return {
        "protocol": PROTOCOL,
        "components": {
            kind: {"name": combination[kind].name, "options": options[kind], **about}
            for kind, about in catalogue.provenance(combination.refs).items()
        },
        "latent": combination.latent,
        "budget": combination.budget.model_dump(),
        "seed": fitted.seed,
        "data": {
            "checksum": fitted.data.checksum,
            "event_shape": summary.event_shape,
            "support": summary.support,
            "size": summary.size,
        },
        "curve": fitted.curve.to_numpy().tolist(),
        "facts": dict(fitted.facts),
    }


def load_fitted(path: Path, given: Mapping[str, Given], device: str, plugins: Iterable[str | Path]) -> Fitted:
    """The model in a file, built of its components by name, but for those given.

    Raises `UserError` where it cannot be.

    Arguments:
        path: What `save` wrote.
        given: Components that have no name that can be looked up, by kind: classes, instances, data in
            memory.
        device: Where the model is put, by name.
        plugins: Local plugins, as files or modules.
    """
    saved = _read(path)
    parts = {kind: _component(saved["components"][kind], given.get(kind)) for kind in PARTS}
    try:
        catalogue, combination = combine(
            load_catalogue(PluginSelection.of(plugins)), parts, parts.pop("estimator"), saved["latent"]
        )
    except UserError as error:
        raise UserError(
            f"'{path}': {error}; what was given to fit is given to load too, or plugins="
        ) from None
    combination = replace(combination, budget=Budget(**saved["budget"]))
    for kind, here in catalogue.provenance(combination.refs).items():
        _expect_same(path, f"{kind} '{combination[kind].name}'", here, saved["components"][kind])
    fitted = Fitted.untrained(catalogue, combination, saved["seed"], pick_device(device))
    if fitted.data.checksum != saved["data"]["checksum"]:
        raise UserError(
            f"'{path}': dataset '{combination['dataset']}' holds other data than the model was fitted to; "
            "give data= those, or fit anew"
        )
    curve = pd.DataFrame(saved["curve"], columns=CURVE).astype({"epoch": int})
    return replace(fitted, curve=curve, facts=saved["facts"]).restored(load(path.read_bytes()))


def _read(path: Path) -> dict[str, Any]:
    """The header's description."""
    try:
        with safe_open(path, "pt") as file:
            words = file.metadata() or {}
    except SafetensorError as error:
        raise UserError(f"'{path}' is no file of weights: {error}; give one that Fitted.save wrote") from None
    if HEADER not in words:
        raise UserError(f"'{path}' does not say what its weights are of; give one that Fitted.save wrote")
    saved: dict[str, Any] = json.loads(words[HEADER])
    return saved


def _component(saved: Mapping[str, Any], given: Given | None) -> Given:
    """A component as it was, by name, or as it is given; a class is given the options that it had."""
    if given is None:
        return Ref(saved["name"], saved["options"])
    return {given: saved["options"]} if isinstance(given, type) else given


def _expect_same(path: Path, label: str, here: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    if here["component"] != saved["component"]:
        raise UserError(
            f"'{path}' was made with version {saved['component']} of {label}, this is version "
            f"{here['component']}, which gives other results; fit anew"
        )
