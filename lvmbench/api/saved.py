"""A fitted model as one file: its weights as safetensors, and in the header, as JSON, what they are of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from lvmbench.api.fitted import CURVE, Fitted
from lvmbench.combinations.budget import Budget
from lvmbench.combinations.combination import PROTOCOL, Combination
from lvmbench.combinations.given import Given, admit
from lvmbench.data.tensors import Damaged, read_described, write_described
from lvmbench.dataset import DataSummary
from lvmbench.errors import UserError
from lvmbench.kinds import PARTS
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.loader import PluginSelection, load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.training import pick_device, state


def write_model(path: Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Write tensors and their description to a file; it is data only, and reading it runs nothing of it."""
    try:
        write_described(tensors, json.dumps(description, default=lambda number: number.item()), path)
    except OSError as error:
        raise UserError(f"'{path}' cannot be written: {error.strerror}; give another path") from None


def read_model(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The description and the tensors of a file.

    Raises `UserError` where they are not as they were written.
    """
    try:
        text, tensors = read_described(path)
    except Damaged as error:
        raise UserError(f"'{path}' {error}; give one that lvmbench.save wrote") from None
    description: dict[str, Any] = json.loads(text)
    return description, tensors


def contents(fitted: Fitted) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What is written of a fitted model: everything that was trained, and its description."""
    return state(fitted.parts), described(fitted)


def described(fitted: Fitted) -> dict[str, Any]:
    """What a fitted model is, as JSON can hold it."""
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
        "data": {"checksum": fitted.data.checksum, **_numbers(summary)},
        "curve": fitted.curve.to_numpy().tolist(),
        "facts": dict(fitted.facts),
    }


def _numbers(summary: DataSummary) -> dict[str, Any]:
    """What a summary of data has beside means."""
    values = {field.name: getattr(summary, field.name) for field in fields(summary)}
    return {name: value for name, value in values.items() if name not in ("mean", "frame_mean")}


def load_fitted(
    path: Path,
    saved: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    given: Mapping[str, Given],
    device: str,
    plugins: Iterable[str | Path],
) -> Fitted:
    """The model of a file, built of its components by name, but for those given.

    Raises `UserError` where it cannot be.

    Arguments:
        path: The file.
        saved: What it is, by `described`.
        weights: What was trained.
        given: Components that have no name that can be looked up, by kind: classes, instances, data in
            memory.
        device: Where the model is put, by name.
        plugins: Local plugins, as files or modules.
    """
    catalogue, refs = admitted(path, saved, given, plugins, PARTS)
    combination = Combination(refs, saved["latent"], Budget(**saved["budget"]))
    fitted = Fitted.untrained(catalogue, combination, saved["seed"], pick_device(device))
    if fitted.data.checksum != saved["data"]["checksum"]:
        raise UserError(
            f"'{path}': dataset '{combination['dataset']}' holds other data than the model was fitted to; "
            "give data= those, or fit anew"
        )
    return replace(fitted, curve=curve_of(saved), facts=saved["facts"]).restored(weights)


def curve_of(saved: Mapping[str, Any]) -> pd.DataFrame:
    """The learning curve."""
    return pd.DataFrame(saved["curve"], columns=CURVE).astype({"epoch": int})


def admitted(
    path: Path,
    saved: Mapping[str, Any],
    given: Mapping[str, Given],
    plugins: Iterable[str | Path],
    kinds: Iterable[str],
) -> tuple[Catalogue, dict[str, Ref]]:
    """A catalogue with the components of a saved model in it, and what they are called there.

    Raises `UserError` where there is no such component, or one of another version.
    """
    catalogue, refs = load_catalogue(PluginSelection.of(plugins)), dict[str, Ref]()
    try:
        for kind in kinds:
            part = component(saved["components"][kind], given.get(kind))
            catalogue, refs[kind] = admit(catalogue, kind, part)
    except UserError as error:
        raise UserError(
            f"'{path}': {error}; what was given to fit is given to load too, or plugins="
        ) from None
    for kind, here in catalogue.provenance(refs).items():
        _expect_same(path, f"{kind} '{refs[kind].name}'", here, saved["components"][kind])
    return catalogue, refs


def component(saved: Mapping[str, Any], given: Given | None) -> Given:
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
