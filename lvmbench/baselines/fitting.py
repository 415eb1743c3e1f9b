"""All baselines of a data set, and what is recorded of each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from lvmbench.baselines.baseline import Baseline
from lvmbench.baselines.chow_liu import ChowLiu
from lvmbench.baselines.gaussian import FullGaussian
from lvmbench.baselines.gaussian_mixture import MixtureOfGaussians
from lvmbench.baselines.kernel_density import KernelEstimate
from lvmbench.baselines.marginals import Marginals
from lvmbench.baselines.normal_marginals import NormalMarginals
from lvmbench.baselines.truth import Truth
from lvmbench.dataset import Data

BASELINES: tuple[type[Baseline], ...] = (
    Marginals,
    NormalMarginals,
    ChowLiu,
    FullGaussian,
    MixtureOfGaussians,
    KernelEstimate,
    Truth,
)
PUBLISHED = "published"
"""What the rows of published figures are called."""


def applicable(data: Data) -> list[Baseline]:
    """The baselines that data of this kind have, made for them and not yet fitted."""
    summary = data.summary.frame if data.sequence else data.summary
    return [kind(summary) for kind in BASELINES if kind.requires in data.capabilities]


def measured(baseline: Baseline, data: Data, split: str = "test") -> dict[str, Any]:
    """The mean of log p(x) over a split, its standard error over data, and what was chosen.

    Raises `Refusal` where the data do not allow it.
    """
    log_p = baseline.log_densities(data, split).astype(float)
    stderr = float(log_p.std(ddof=1)) / math.sqrt(len(log_p)) if len(log_p) > 1 else None
    return {"split": split, "value": float(log_p.mean()), "stderr": stderr, "choice": baseline.choice}


def published(data: Data) -> Iterator[dict[str, Any]]:
    """What others published of these data, as it is recorded."""
    for figure in data.published:
        words = {"choice": figure.model, "reason": figure.note, "source": figure.source}
        yield {
            "baseline": PUBLISHED,
            "measure": figure.measure,
            "split": "test",
            "value": figure.value,
            **words,
        }
