"""A fitted estimator of `lvmbench.sklearn` as one file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lvmbench.api.saved import admitted, component
from lvmbench.api.sklearn import PARTS, LatentVariableModel, keep
from lvmbench.combinations.given import Given, plain
from lvmbench.combinations.parts import build_model
from lvmbench.dataset import DataSummary
from lvmbench.errors import UserError
from lvmbench.model import LatentVariableModel as Model
from lvmbench.training import pick_device

MODEL = "model."
"""What the names of the model's tensors begin with."""


def contents_of(estimator: LatentVariableModel) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What is written of an estimator: its tensors, and what it is.

    Raises `UserError` if it is not fitted.
    """
    if not hasattr(estimator, "model_"):
        raise UserError("this LatentVariableModel is not fitted; call fit before it is saved")
    tensors = {
        **{MODEL + name: tensor for name, tensor in estimator.model_.state_dict().items()},
        "mean": estimator.summary_.mean,
        "location": torch.as_tensor(estimator.location_),
        "scale": torch.as_tensor(estimator.scale_),
    }
    names = getattr(estimator, "feature_names_in_", None)
    columns = None if names is None else names.tolist()
    return tensors, {
        **estimator.description_,
        "estimator": {"parameters": _parameters(estimator), "columns": columns},
    }


def _parameters(estimator: LatentVariableModel) -> dict[str, Any]:
    """The parameters that JSON can hold: all but classes, instances and generators."""
    kept = dict[str, Any]()
    for name, value in estimator.get_params(deep=False).items():
        with suppress(TypeError):
            kept[name] = json.loads(json.dumps(value, default=_written))
    return kept


def _written(value: Any) -> Any:
    if isinstance(value, np.generic | Path):
        return plain(value) if isinstance(value, np.generic) else str(value)
    raise TypeError(f"{type(value).__name__} is nothing that JSON has")


def restored(
    path: Path,
    saved: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    given: Mapping[str, Given],
    device: str,
    plugins: Iterable[str | Path],
) -> LatentVariableModel:
    """The estimator of a file, which needs no data; the arguments are those of `load_fitted`."""
    catalogue, refs = admitted(path, saved, given, plugins, Model.PARTS)
    about = _tuples({name: value for name, value in saved["data"].items() if name != "checksum"})
    summary = DataSummary(mean=tensors["mean"], **about)
    with torch.random.fork_rng(devices=[]):
        model = build_model(catalogue, refs, saved["latent"], summary)
    weights = {name.removeprefix(MODEL): t for name, t in tensors.items() if name.startswith(MODEL)}
    model.double().eval().load_state_dict(weights)
    estimator = LatentVariableModel(**_parameters_of(saved, given))
    keep(estimator, model, pick_device(device), summary, dict(saved))
    estimator.location_, estimator.scale_ = tensors["location"].numpy(), tensors["scale"].numpy()
    estimator.n_features_in_ = len(estimator.location_)
    if columns := saved["estimator"]["columns"]:
        estimator.feature_names_in_ = np.asarray(columns, dtype=object)
    return estimator


def _parameters_of(saved: Mapping[str, Any], given: Mapping[str, Given]) -> dict[str, Any]:
    """The parameters of the file; components that are not among them as they are given, or else by name."""
    known = saved["estimator"]["parameters"]
    missing = {kind for kind in PARTS if kind not in known}
    return _tuples(known) | {kind: component(saved["components"][kind], given.get(kind)) for kind in missing}


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same with tuples for the lists that JSON makes of them."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
