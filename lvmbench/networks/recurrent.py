"""A recurrent cell."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Lstm(nn.Module):
    r"""A cell with a long short-term memory, which reads one or several vectors at each step.

    .. math:: m' = \operatorname{sigmoid}(f) \odot m + \operatorname{sigmoid}(i) \odot \tanh(n), \qquad
        h' = \operatorname{sigmoid}(o) \odot \tanh(m')

    where :math:`f, i, o, n` are linear in what is read and in :math:`h`; what is kept, :math:`f`, starts
    at 1. Batch dimensions broadcast.

    References:
        Long Short-Term Memory (Hochreiter, Schmidhuber, 1997), https://doi.org/10.1162/neco.1997.9.8.1735

    Arguments:
        sources: The sizes of the vectors that it reads.
        hidden: The size of :math:`h` and :math:`m`.

    Example:
        >>> cell, state = Lstm((3,), 8), torch.zeros(2, 8)
        >>> hidden, memory = cell((torch.zeros(5, 7, 3),), *state)
        >>> hidden.shape
        torch.Size([5, 7, 8])
    """

    def __init__(self, sources: Sequence[int], hidden: int) -> None:
        super().__init__()
        self.reads = nn.ModuleList(nn.Linear(size, 4 * hidden, bias=False) for size in sources)
        self.before = nn.Linear(hidden, 4 * hidden)
        with torch.no_grad():
            self.before.bias[:hidden].fill_(1.0)

    def forward(self, values: Sequence[Tensor], hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """The next ``h`` and ``m``."""
        gates: Tensor = self.before(hidden)
        for read, value in zip(self.reads, values, strict=True):
            gates = gates + read(value)
        return self._next(gates, memory)

    def scan(
        self, values: Sequence[Tensor], state: Tensor, *, keep: Tensor | None = None, backward: bool = False
    ) -> Tensor:
        """``h`` and ``m`` after each step, side by side, ``(..., T, 2 H)``.

        Arguments:
            values: What it reads at each step, ``(..., T, S)`` each.
            state: The first ``h`` and ``m``, ``(..., 2 H)``.
            keep: Which steps it reads, ``(..., T)``, if not all; the others leave its state as it is.
            backward: Whether it reads from the last step to the first.
        """
        pairs = zip(self.reads, values, strict=True)
        first, *others = [read(value) for read, value in pairs]  # of all steps at once
        gates = sum(others, first).unbind(-2)
        state, found = state.expand(*gates[0].shape[:-1], -1), []
        for t in range(len(gates))[:: -1 if backward else 1]:
            hidden, memory = state.chunk(2, -1)
            after = torch.cat(self._next(gates[t] + self.before(hidden), memory), -1)
            state = after if keep is None else torch.where(keep[..., t, None], after, state)
            found.append(state)
        return torch.stack(found[:: -1 if backward else 1], -2)

    def _next(self, gates: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        keep, write, show, new = gates.chunk(4, -1)
        memory = keep.sigmoid() * memory + write.sigmoid() * new.tanh()
        return show.sigmoid() * memory.tanh(), memory
