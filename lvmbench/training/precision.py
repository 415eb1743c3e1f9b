"""How exact matrix products are while a model trains or is measured."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from lvmbench.options import Precision

SMALL = 2.5e6
"""An exact product of fewer multiplications is slower by oneDNN than by MKL: it takes longer to begin."""


@contextmanager
def matmul_precision(precision: Precision, device: torch.device, product: float = math.inf) -> Iterator[None]:
    """Let matrix products in float32 be of this precision, and warn where the device has no faster ones.

    Arguments:
        precision: The precision.
        device: Where they are taken.
        product: About how many multiplications one of them is: who is to take exact ones depends on that.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(_setting(precision, device, product))
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def decoding_precision(precision: Precision, decoder: nn.Module, device: torch.device) -> Iterator[None]:
    """The same where a decoder finds its distribution; all other products are exact, those of densities too.

    Gradients come back through the decoder by exact products.
    """
    inside, outside = _setting(precision, device), _setting("highest", device)
    with matmul_precision("highest", device):
        hooks = (
            decoder.register_forward_pre_hook(lambda *_: torch.set_float32_matmul_precision(inside)),
            decoder.register_forward_hook(
                lambda *_: torch.set_float32_matmul_precision(outside), always_call=True
            ),
        )
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def has_fast_products(precision: Precision, device: torch.device) -> bool:
    """Whether a device multiplies matrices faster where they may be rounded."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)  # TF32 began with Ampere
    return device.type == "cpu" and _rounded(precision)


def _setting(precision: Precision, device: torch.device, product: float = math.inf) -> Precision:
    """What torch is told for products of this precision; warns where none are faster than exact ones."""
    if precision != "highest" and not has_fast_products(precision, device):
        warnings.warn(
            f"precision: {precision} is as highest here: {device.type} has no unit for it", stacklevel=4
        )
        precision = "highest"
    # torch then leaves products to oneDNN: without a unit that rounds it takes wider vectors than MKL does on
    # processors of other makers than MKL's, and is twice as fast
    large = precision == "highest" and device.type == "cpu" and product >= SMALL
    return "medium" if large and not _rounded("medium") else precision


@functools.cache
def _rounded(precision: Precision) -> bool:
    """Whether this processor rounds what it multiplies where it may, as products of all sizes tell."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    # of more bits than bfloat16 and TF32 have
    numbers = torch.full((512, 512), 1 + 2**-20)
    try:
        parts = [numbers[:rows, :columns] for rows in (1, 32, 512) for columns in (32, 512)]
        return any(not torch.equal(part @ torch.eye(part.shape[1]), part) for part in parts)
    finally:
        torch.set_float32_matmul_precision(before)
