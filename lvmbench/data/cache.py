"""What was read from raw files, kept as tensors in files that processes map into their memory together."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import pooch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lvmbench.data.tensors import checksum, packed
from lvmbench.data.whole import write_whole

FORMAT = 1
"""Raised when such files are written in another way."""
Tensors = Mapping[str, Tensor]
_ANEW: ContextVar[bool] = ContextVar("_ANEW", default=False)


def cache_home() -> Path:
    """The folder of parsed data: ``LVMBENCH_CACHE``, else one in the user's cache."""
    usual = os.environ.get("LVMBENCH_CACHE") or pooch.os_cache("lvmbench") / "parsed"
    return Path(usual).expanduser()


@contextmanager
def parsed_anew() -> Iterator[None]:
    """Have raw files parsed anew inside: nothing that is kept of them is read, and nothing is kept."""
    token = _ANEW.set(True)
    try:
        yield
    finally:
        _ANEW.reset(token)


def kept(name: str, key: str, make: Callable[[], Tensors]) -> Tensors:
    """The tensors that ``make`` makes, in memory that all processes on this machine share.

    They are made where no file has them under this key, or its content is not what was written. Writing to
    them changes this process's copy only. What cannot be kept is given as it was made, with a warning.
    """
    if _ANEW.get():
        return make()
    digest = hashlib.sha256(f"{FORMAT} {key}".encode()).hexdigest()
    path = cache_home() / f"{name}-{digest[:16]}.safetensors"
    found = _read(path)
    return _kept_anew(path, make()) if found is None else found


def _kept_anew(path: Path, made: Tensors) -> Tensors:
    try:
        write_whole(path, packed(made, {"sha256": checksum(made)}))
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        warnings.warn(
            f"'{path}' cannot be written ({reason}): each process reads raw files and holds the data by "
            "itself; LVMBENCH_CACHE names another folder for parsed data",
            stacklevel=2,
        )
    found = _read(path)
    return made if found is None else found


def _read(path: Path) -> Tensors | None:
    """The tensors of a file, mapped; None where there are none, or not those that were written."""
    try:
        with safe_open(path, "pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            stated = (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    return found if checksum(found) == stated else None
