"""What the posteriors of sequences have in common: they read x with a recurrent network, and the context."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

import torch
from torch import Tensor, nn

from lvmbench import DataSummary, DiagonalNormal, LatentSpace, Posterior, SequencePrior, Steps, ended
from lvmbench.distributions import Step
from lvmbench.networks import ConditionalNormal, Mask, Network, encoder
from lvmbench.networks.recurrent import Lstm

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel


class Reading(Posterior):
    """Normals step by step, each given the context of the step and what a recurrent network has read of x.

    ``backward`` says whether that reads from the end of each sequence, or from its beginning.
    """

    distribution = Steps
    provides = frozenset({"reads_model"})
    requires = frozenset({"prior.real", "prior.steps"})
    backward: ClassVar[bool]

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        network: Network,
        hidden: int,
        layers: int,
        mask: Mask,
        recurrent: bool = True,
    ) -> None:
        super().__init__()
        self.network = encoder(network, data.frame, (hidden,), hidden=hidden, layers=layers, mask=mask)
        self.cell = Lstm((hidden,), hidden) if recurrent else None
        self.state = nn.Parameter(torch.zeros(2 * hidden)) if recurrent else None
        source, target = (hidden + space.context,), space.event_shape[1:]
        self.law = ConditionalNormal(source, target, hidden=hidden, layers=1)

    def forward(self, x: Tensor, model: LatentVariableModel) -> Steps:
        values, lasting = ended(x)
        read = self.network(values)
        if self.cell is not None and self.state is not None:
            states = self.cell.scan([read.relu()], self.state, keep=lasting, backward=self.backward)
            read = states.chunk(2, -1)[0]

        def law(t: Step, h: Tensor) -> DiagonalNormal:
            seen = read[:, t].expand(*h.shape[:-1], -1)
            normal: DiagonalNormal = self.law(torch.cat([seen, h], -1))
            return normal

        return Steps(cast(SequencePrior, model.prior).memory(x), law)
