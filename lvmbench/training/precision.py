"""How exact matrix products are while a model trains or is measured."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, final

import torch
from torch import Tensor, nn

from lvmbench.kernels.eager import EagerMode
from lvmbench.options import Precision

aten = torch.ops.aten
SMALL = 2_500_000
"""An exact product of fewer multiplications is slower by oneDNN than by MKL: it takes longer to begin."""
SMALL_ROUNDED = 4_000_000
"""A product of fewer multiplications is no faster where numbers are rounded for it."""
FACTORS = {aten.mm.default: 0, aten.bmm.default: 0, aten.addmm.default: 1, aten.baddbmm.default: 1}
"""The operators that multiply matrices, and where the first of the two is among the arguments."""


@contextmanager
def matmul_precision(precision: Precision, device: torch.device, product: float = math.inf) -> Iterator[None]:
    """Let matrix products in float32 be of this precision, and warn where the device has no faster ones.

    Arguments:
        precision: The precision.
        device: Where they are taken.
        product: About how many multiplications one of them is: who is to take them depends on that.
    """
    with _products(_possible(precision, device), device, product):
        yield


@contextmanager
def decoding_precision(precision: Precision, decoder: nn.Module, device: torch.device) -> Iterator[None]:
    """The same where a decoder finds its distribution; all other products are exact, those of densities too.

    Gradients come back through the decoder by exact products.
    """
    inside, entered = _possible(precision, device), ExitStack()
    with _products("highest", device):
        hooks = (
            decoder.register_forward_pre_hook(lambda *_: entered.enter_context(_products(inside, device))),
            decoder.register_forward_hook(lambda *_: entered.close(), always_call=True),
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
    return device.type == "cpu" and (_rounded(precision) or _is_left_to_us(precision))


def _possible(precision: Precision, device: torch.device) -> Precision:
    """This precision, or the highest, with a warning, where the device has no faster products for it."""
    if precision == "highest" or has_fast_products(precision, device):
        return precision
    warnings.warn(
        f"precision: {precision} is as highest here: {device.type} has no unit for it", stacklevel=5
    )
    return "highest"


@contextmanager
def _products(precision: Precision, device: torch.device, product: float = math.inf) -> Iterator[None]:
    """Let products be taken with a precision that is possible."""
    before = torch.get_float32_matmul_precision()
    large = device.type == "cpu" and product >= SMALL
    # torch then leaves products to oneDNN: without a unit that rounds it takes wider vectors than MKL does on
    # processors of other makers than MKL's, and is twice as fast
    exact: Precision = "medium" if large and not _rounded("medium") else "highest"
    torch.set_float32_matmul_precision(exact if precision == "highest" else precision)
    try:
        rounds = large and _is_left_to_us(precision)
        with Bfloat16Products() if rounds else nullcontext():
            yield
    finally:
        torch.set_float32_matmul_precision(before)


@final
class Bfloat16Products(EagerMode):
    """Rounds numbers to bfloat16 where large matrices of float32 are multiplied, and what comes of it.

    Sums are taken in float32. For processors that multiply in bfloat16 and have no unit for whole matrices:
    torch makes no use of that unless the numbers are of that type.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if _is_composed(func):  # as where no gradients are wanted: products are among its parts
            with self:
                return func.decompose(*args, **kwargs)
        first = FACTORS.get(func)
        if first is None or not _gains(*args[first : first + 2]):
            return func(*args, **kwargs)
        rounded = (_to_bfloat16(each) if isinstance(each, Tensor) else each for each in args)
        product = func(*rounded, **kwargs)
        return aten._to_copy.default(product, dtype=torch.float32)


@functools.cache
def _is_composed(operator: Any) -> bool:
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(operator.name(), "CompositeImplicitAutograd"))


def _to_bfloat16(numbers: Tensor) -> Tensor:
    # as they lie in memory: a matrix and its transpose, which both come to be multiplied, are converted alike
    turned = numbers.dim() > 1 and not numbers.is_contiguous()
    rounded: Tensor = aten._to_copy.default(numbers.mT if turned else numbers, dtype=torch.bfloat16)
    return rounded.mT if turned else rounded


def _gains(a: Tensor, b: Tensor) -> bool:
    return a.dtype == torch.float32 and a.numel() * b.shape[-1] >= SMALL_ROUNDED


def _is_left_to_us(precision: Precision) -> bool:
    """Whether this processor multiplies faster in this precision, and torch makes no use of that."""
    if precision != "medium" or _rounded(precision):
        return False
    return bool(torch.cpu.get_capabilities().get("avx512_bf16")) and torch.backends.mkldnn.is_available()


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
