"""How exact matrix products are while a model trains."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lvmbench.combinations.budget import Precision


@contextmanager
def matmul_precision(precision: Precision, device: torch.device) -> Iterator[None]:
    """Let matrix products in float32 be of this precision, and warn where the device has no faster ones."""
    if precision != "highest" and not has_fast_products(precision, device):
        warnings.warn(
            f"precision: {precision} is as highest here: {device.type} has no unit for it", stacklevel=2
        )
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def has_fast_products(precision: Precision, device: torch.device) -> bool:
    """Whether a device multiplies matrices faster where they may be rounded."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)  # TF32 began with Ampere
    if device.type == "cpu":
        return precision == "medium" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return False
