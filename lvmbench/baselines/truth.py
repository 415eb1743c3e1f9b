"""The density that generated data were drawn from."""

from __future__ import annotations

from typing import final

from lvmbench.baselines.baseline import Baseline
from lvmbench.baselines.rows import Array
from lvmbench.dataset import Data, DataSummary


@final
class Truth(Baseline):
    """The true log p(x), where the data know it: on average over data, no model has more."""

    name = "truth"
    requires = "log_prob"

    def __init__(self, summary: DataSummary) -> None:
        super().__init__(summary)
        self.measure = "density" if summary.support in ("real", "unit") else "probability mass"

    def log_densities(self, data: Data, split: str) -> Array:
        assert data.log_prob is not None
        return data.log_prob(data.splits[split].values).double().numpy()
