"""Files of tensors: safetensors, whole or not there at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lvmbench.data.whole import write_whole
from lvmbench.errors import LvmbenchError

HEADER, SHA256 = "lvmbench", "sha256"
"""The keys of a header: the description, and the checksum of all that is in the file."""


class Damaged(LvmbenchError):  # noqa: N818
    """A file that is not as it was written."""


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> str:
    """Write tensors so that a reader sees all of them or none; the sha256 of the file."""
    content = packed(tensors)
    write_whole(path, content)
    return hashlib.sha256(content).hexdigest()


def packed(tensors: Mapping[str, Tensor], words: dict[str, str] | None = None) -> bytes:
    """The content of a file of tensors, with words in its header."""
    contiguous = torch.contiguous_format  # cloned, as the format has no place for tensors that share memory
    cloned = {name: tensor.detach().clone(memory_format=contiguous) for name, tensor in tensors.items()}
    content: bytes = save(cloned, words)
    return content


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """sha256 over names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def write_described(tensors: Mapping[str, Tensor], description: str, path: Path) -> None:
    """Write tensors with a text on what they are; a file of data only: reading it runs nothing of it."""
    tensors = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
    write_whole(path, packed(tensors, {HEADER: description, SHA256: _sum(tensors, description)}))


def read_described(path: Path) -> tuple[str, dict[str, Tensor]]:
    """The text and the tensors of a file; raises `Damaged` where they are not as they were written."""
    words, tensors = _opened(path, whole=True)
    if HEADER not in words:
        raise Damaged("does not say what its tensors are")
    if words.get(SHA256) != _sum(tensors, words[HEADER]):
        raise Damaged("is not as it was written: its checksum differs")
    return words[HEADER], tensors


def description_of(path: Path) -> str:
    """The text of a file, unchecked; raises `Damaged` where it has none."""
    words, _ = _opened(path, whole=False)
    if HEADER not in words:
        raise Damaged("does not say what its tensors are")
    return words[HEADER]


def _opened(path: Path, *, whole: bool) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The header of a file, and where the whole is asked for its tensors."""
    try:
        with safe_open(path, "pt") as file:
            names = file.keys() if whole else ()
            return file.metadata() or {}, {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise Damaged(f"is no safetensors file ({error})") from error


def _sum(tensors: Mapping[str, Tensor], description: str) -> str:
    return hashlib.sha256(f"{checksum(tensors)} {description}".encode()).hexdigest()
