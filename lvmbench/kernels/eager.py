"""What torch does, without what only its compiler asks of it, which takes a second to be imported."""

from __future__ import annotations

import inspect
from typing import TypeVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode

O = TypeVar("O", bound=torch.optim.Optimizer)
_WRAPPED = ("add_param_group", "zero_grad", "step")
"""What torch wraps to tell its compiler that it is not to be compiled, for which it imports that."""


def eager(optimizer: type[O]) -> type[O]:
    """An optimiser of torch that does the same without torch's compiler.

    Example:
        >>> weights = torch.ones(2, requires_grad=True)
        >>> sgd = eager(torch.optim.SGD)([weights], lr=0.5)
        >>> weights.sum().backward()
        >>> sgd.step()
        >>> weights.tolist()
        [0.5, 0.5]

    Arguments:
        optimizer: Its class.
    """
    bare = {name: inspect.unwrap(getattr(optimizer, name)) for name in _WRAPPED}
    # what kept gradients out of a step was wrapped around it, too
    return type(optimizer.__name__, (optimizer,), {**bare, "step": torch.no_grad()(bare["step"])})


class EagerMode(TorchDispatchMode):
    """What sees the operators that are called inside, where nothing is compiled: the compiler is not told."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False
