"""Files of tensors: safetensors, whole or not there at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from lvmbench.data.whole import write_whole


def write_tensors(tensors: Mapping[str, Tensor], path: Path, words: dict[str, str] | None = None) -> str:
    """Write tensors, with words in the header, so that a reader sees all of them or none.

    The sha256 of the file.
    """
    contiguous = torch.contiguous_format  # cloned, as the format has no place for tensors that share memory
    cloned = {name: tensor.detach().clone(memory_format=contiguous) for name, tensor in tensors.items()}
    content = save(cloned, words)
    write_whole(path, content)
    return hashlib.sha256(content).hexdigest()
