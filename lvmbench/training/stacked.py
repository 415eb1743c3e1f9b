"""The linear layers of a pack: one product for the weights of all of its runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import linear
from zuko.nn import MaskedLinear


def stack_linears(module: nn.Module) -> None:
    """Have the linear layers of a module take one product inside ``torch.vmap``, where weights are stacked.

    There torch's own add the offset in another pass, and turn the gradient of each matrix around: a tenth of
    a step, and of the masked layers of wide flows two fifths.
    """
    for part in module.modules():
        if type(part) in FORWARD and part.bias is not None:
            part.forward = partial(FORWARD[type(part)], part)


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    out: Tensor = _Linear.apply(x, layer.weight, layer.bias)  # type: ignore[no-untyped-call]
    return out


def _masked(layer: MaskedLinear, x: Tensor) -> Tensor:
    out: Tensor = _Linear.apply(x, layer.mask * layer.weight, layer.bias)  # type: ignore[no-untyped-call]
    return out


FORWARD: dict[type[nn.Module], Callable[..., Tensor]] = {nn.Linear: _linear, MaskedLinear: _masked}
"""What the layers do that can be stacked; one that is derived from them may do something else."""


class _Linear(Function):
    """A linear layer: of x ``(..., I)``, weights ``(O, I)`` and an offset ``(O,)``."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        rows, found = x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1])
        return grad @ weight if ctx.needs_input_grad[0] else None, found.mT @ rows, found.sum(0)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor) -> tuple[Tensor, int]:
        x, weight, bias = (
            t.expand(info.batch_size, *t.shape) if dim is None else t.movedim(dim, 0)
            for t, dim in zip(inputs, in_dims, strict=True)
        )
        rows = x.reshape(len(x), -1, x.shape[-1])
        out: Tensor = _Stacked.apply(rows, weight, bias)  # type: ignore[no-untyped-call]
        return out.reshape(*x.shape[:-1], -1), 0


class _Stacked(Function):
    """Linear layers side by side: of x ``(S, N, I)``, weights ``(S, O, I)`` and offsets ``(S, O)``."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.baddbmm(bias.unsqueeze(1), x, weight.mT)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        # the gradient of the weights comes out as they lie in memory
        return grad @ weight if ctx.needs_input_grad[0] else None, grad.mT @ x, grad.sum(1)
