"""Optimisers without torch's compiler do what torch's own do."""

import sys

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

from lvmbench.execution.local import LocalExecutor
from lvmbench.kernels.eager import eager

FUSED = {"lr": 0.1, "weight_decay": 0.01, "fused": True}
OPTIMIZERS = [
    (torch.optim.SGD, {**FUSED, "momentum": 0.9}),
    (torch.optim.Adam, FUSED),
    (torch.optim.AdamW, FUSED),
    (torch.optim.Adamax, {"lr": 0.1}),
    (torch.optim.RMSprop, {"lr": 0.1, "momentum": 0.9}),
]


def descended(optimizer, options):
    """Weights after some steps on a slope, at a rate that falls, and what the optimiser has kept."""
    weights = torch.linspace(-1, 1, 6).reshape(2, 3).requires_grad_()
    descent = optimizer([weights], **options)
    schedule = CosineAnnealingLR(descent, 4)
    for _ in range(4):
        descent.zero_grad()
        weights.sin().sum().backward()
        descent.step()
        schedule.step()
    return weights.detach(), *(kept for kept in descent.state[weights].values() if torch.is_tensor(kept))


@pytest.mark.parametrize(("optimizer", "options"), OPTIMIZERS, ids=lambda one: getattr(one, "__name__", ""))
def test_every_step_is_that_of_torch_to_the_bit(optimizer, options):
    ours, theirs = descended(eager(optimizer), options), descended(optimizer, options)
    assert all(map(torch.equal, ours, theirs))
    assert len(ours) == len(theirs) > 1


def descend(job, tell):
    """Take some steps with each, and say whether that has imported the compiler."""
    for optimizer, options in OPTIMIZERS:
        descended(eager(optimizer), options)
    return "torch._dynamo" in sys.modules


def test_nothing_imports_the_compiler():
    with LocalExecutor(1) as executor:
        executor.submit(0, "tests.kernels.test_eager:descend", None)
        while not (ended := executor.completed(60)):
            pass
    assert ended[0].outcome is False
