"""What the prior and the decoder of fully visible networks share: the network, fitted to complete data."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from lvmbench.distributions import AutoregressiveBernoulli
from lvmbench.kernels.logistic import most_telling, regress

Form = Literal["logistic", "tree"]
"""Whether each bit depends on all bits before it, or on the one of them that tells most of it."""


class Network(nn.Module):
    """D bits in an order, after F that are given: the logit of each is linear in those before it.

    Arguments:
        given: The number F of given bits.
        bits: The number D of bits.
        form: Which of the bits before it a bit depends on.
        ridge: The penalty on all weights.
        iterations: The steps of gradient ascent.
    """

    done: Tensor

    def __init__(self, given: int, bits: int, form: Form, ridge: float, iterations: int) -> None:
        super().__init__()
        self.count, self.form, self.ridge, self.iterations = given, form, ridge, iterations
        self.bias = nn.Parameter(torch.zeros(bits), requires_grad=False)
        self.weight = nn.Parameter(torch.zeros(bits, given + bits), requires_grad=False)
        self.register_buffer("done", torch.zeros((), dtype=torch.bool))

    def forward(self, given: Tensor, shape: tuple[int, ...]) -> AutoregressiveBernoulli:
        """The distribution of the bits as an event of this shape, after given ones ``(*batch, F)``."""
        before, within = self.weight.tensor_split([self.count], -1)
        logits = self.bias + given @ before.mT
        return AutoregressiveBernoulli(logits.unflatten(-1, shape), within, len(shape))

    def fit(self, given: Tensor, bits: Tensor) -> None:
        """Find the weights of bits ``(N, D)`` after given ones ``(N, F)``, the first time it is asked to."""
        if self.done:
            return
        inputs = torch.cat([torch.ones_like(bits[:, :1]), given, bits], 1)
        allowed = torch.ones_like(inputs[: bits.shape[1]]).tril(self.count)
        if self.form == "tree":
            allowed[:, 1:] = most_telling(inputs[:, 1:], bits, allowed[:, 1:])
        found = regress(inputs, bits, allowed, ridge=self.ridge, iterations=self.iterations)
        self.bias.copy_(found[:, 0])
        self.weight.copy_(found[:, 1:])
        self.done.fill_(True)
