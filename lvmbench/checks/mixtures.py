"""Checks of mixtures: what they say of their components."""

from __future__ import annotations

import torch
from torch import Tensor

from lvmbench.checks.contract import MODEL_PARTS, contract, require
from lvmbench.checks.gradients import agree
from lvmbench.checks.specimen import Specimen
from lvmbench.checks.statistics import require_average

DRAWS = 20_000
READ = "distributions.base.Distribution"


@contract(
    *MODEL_PARTS,
    due="assign gives each value's shares of the components, which add up to one.",
    read=f"{READ}.assign",
)
def components_share_each_value(specimen: Specimen) -> None:
    trial = specimen.with_trait("components")
    p = trial.call()
    value, log_prob = p.sample_and_log_prob(trial.noise(), 6)
    shares = p.assign(value)
    require(shares.shape[:-1] == log_prob.shape, f"the shares have shape {tuple(shares.shape)}")
    total = (shares.sum(-1) - 1).abs().max().item()
    require(
        total < 1e-4 and bool((shares >= 0).all()), f"their sum is off by {total:.3g}, or one is negative"
    )


@contract(
    *MODEL_PARTS,
    due="Strata with their weights have the moments of samples, and gradients as differences say.",
    read=f"{READ}.strata",
)
def strata_make_up_the_whole(specimen: Specimen) -> None:
    trial = specimen.with_trait("strata", samples=1, batch=2, dtype=torch.float64)

    def moments(draws: int) -> Tensor:
        values, log_weights = trial.call().strata(trial.noise(), draws)
        weights = log_weights.exp().reshape(*log_weights.shape, *[1] * (values.dim() - log_weights.dim() - 1))
        return torch.stack(
            [(weights * f).sum(1) for f in (values, values.sin())], 1
        )  # (K, 2, *batch, *event)

    with torch.no_grad():
        drawn = trial.call().sample(trial.noise("samples"), DRAWS)
        off = moments(DRAWS) - torch.stack([drawn, drawn.sin()], 1)
    hint = "let strata draw as many samples of each component, with the components' weights beside them"
    require_average(off, 0.0, "what strata come to less what samples do", hint)
    if trial.trained:
        agree(lambda: moments(3).sum(), trial.trained, "the strata")
