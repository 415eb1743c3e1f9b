"""Files of weights: safetensors, whole or not there at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor


def write_weights(weights: Mapping[str, Tensor], path: Path, words: dict[str, str] | None = None) -> None:
    """Write weights, with words in the header, so that a reader sees all of them or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    contiguous = torch.contiguous_format  # cloned, as the format has no place for tensors that share memory
    tensors = {name: tensor.detach().clone(memory_format=contiguous) for name, tensor in weights.items()}
    save_file(tensors, partial, words)
    partial.replace(path)
