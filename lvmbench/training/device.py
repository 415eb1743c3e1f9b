"""Which device to train on."""

from __future__ import annotations

import torch

from lvmbench.errors import UserError


def pick_device(name: str = "auto") -> torch.device:
    """The device of this name; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises `UserError` for one that is absent.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"--device: '{name}' is no device; use auto, cpu, mps, cuda or cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"--device: '{name}' is absent, {torch.cuda.device_count()} CUDA devices are here; use "
            "auto or cpu"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("--device: 'mps' is absent; use auto or cpu")
    if device.type not in {"cpu", "cuda", "mps"}:
        raise UserError(f"--device: '{name}' is not supported; use auto, cpu, mps, cuda or cuda:N")
    return device
