"""The figures of single data, which lie beside the weights of their run: a file for each evaluator."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lvmbench.results.weights import sha256_of, weights_file

Array = npt.NDArray[np.float64]


def per_datum_file(weights: Path, key: str, evaluator: str) -> Path:
    """The file of what an evaluator found of the single data of a run.

    Options may hold whatever a path must not, or be too long for one, so they are in its name by their sum.
    """
    name, digest = evaluator.partition("[")[0], hashlib.sha256(evaluator.encode()).hexdigest()
    return weights_file(weights, key).with_suffix("") / f"{name[:32]}-{digest[:16]}.safetensors"


def tensor_name(metric: str, variant: str = "", method: str = "") -> str:
    """What a figure is called in such a file.

    >>> tensor_name("log_likelihood", method="importance")
    'log_likelihood.importance'
    """
    return ".".join(filter(None, (metric, variant, method)))


def changed(file: Path, sha256: str | None) -> bool:
    """Whether a file of such figures is there, and is not the one that was written."""
    return sha256 is not None and file.is_file() and sha256_of(file) != sha256


def read_per_datum(file: Path, name: str, sha256: str | None = None) -> Array | None:
    """A figure of each datum, ``(N,)``; none where it was not kept, or its file has another checksum."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found = None if changed(file, sha256) else load(file.read_bytes()).get(name)
    except (OSError, SafetensorError):
        return None
    return None if found is None else found.astype(np.float64)
