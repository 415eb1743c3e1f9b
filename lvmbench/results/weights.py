"""The stored weights of runs: where they are, and whether they are those that were trained."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lvmbench.errors import LvmbenchError

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "weights"
"""The folder of a results directory that holds them."""
CHECKPOINTS = "checkpoints"
"""The folder beside it that holds what trainings go on from."""


class WrongWeights(LvmbenchError):  # noqa: N818
    """Weights that are missing, or are not those that were trained: they are not used."""


def weights_file(folder: Path, key: str) -> Path:
    """Where the weights of a run are stored, in the folder of weights."""
    return folder / f"{key[:20]}.safetensors"


def sha256_of(path: Path) -> str:
    """The checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fault(path: Path, sha256: str | None, made: str = "trained") -> str:
    """What is wrong with a file of what was ``made``, if anything; with no checksum whether it is there."""
    if not path.is_file():
        return "missing"
    if sha256 is None:
        return ""
    return _fault(sha256_of(path), sha256, made)


def unusable(path: Path, wrong: str) -> str:
    """What is said of weights that are not used, and what to do."""
    return f"the weights '{path}' are {wrong}; lvmbench run or retry trains them anew"


def read_weights(path: Path, sha256: str | None) -> Mapping[str, Tensor]:
    """The weights in a file; raises `WrongWeights` where they are not those of the checksum."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        content = path.read_bytes()
        wrong = "" if sha256 is None else _fault(hashlib.sha256(content).hexdigest(), sha256)
        weights: Mapping[str, Tensor] = {} if wrong else load(content)
    except FileNotFoundError:
        wrong = "missing"
    except SafetensorError as error:
        wrong = f"no safetensors ({error})"
    if wrong:
        raise WrongWeights(unusable(path, wrong))
    return weights


def _fault(found: str, sha256: str, made: str = "trained") -> str:
    return "" if found == sha256 else f"not those that were {made} (sha256 {found[:12]}, was {sha256[:12]})"
