"""The check of densities that are only estimated or bounded."""

from __future__ import annotations

import torch

from lvmbench.checks.contract import applies, contract, require
from lvmbench.checks.specimen import Specimen
from lvmbench.checks.statistics import require_average
from lvmbench.distributions import DiagonalNormal

DRAWS = 20_000


@contract(
    "posterior",
    due="log q is known in one way, and what is declared an estimate or a bound of it is one.",
    read="distributions.base.Distribution",
)
def log_q_is_known_as_declared(specimen: Specimen) -> None:
    """For an estimate, by what both of its directions have in common, which is bounded.

    With r(a|z) the reverse model and any density f, l = log f(z) r(a|z) - log q(z, a) has E[sigmoid(l)]
    under q(z, a) equal to E[sigmoid(-l)] under f(z) r(a|z).
    """
    trial = specimen.trial(dtype=torch.float64)
    q = trial.call()
    ways = q.traits & {"density", "estimate", "bound"}
    require(
        len(ways) < 2,
        f"the traits {' and '.join(sorted(ways))} are declared",
        "choose what log q is known as",
    )
    applies(bool(ways - {"density"}) and q.support == "real", "its density is known at its own draws")
    with torch.no_grad():
        z, log_q = q.sample_and_log_prob(trial.noise(), DRAWS)
        f = DiagonalNormal(z.mean(0), z.std(0).log(), z.dim() - 2)
        forth = f.log_prob(z) - log_q
        if "bound" in ways:
            hint = "what comes with samples is on average at least log q"
            require_average(forth, 0.0, "the ELBO of a normalised density", hint, above=True)
            return
        other = f.sample(trial.noise("others"), DRAWS)
        back = q.estimate_log_prob(other, trial.noise("estimate")) - f.log_prob(other)
    hint = "look for a density of the auxiliary variables that is left out in one or both, or for its sign"
    what = "what sample_and_log_prob says less what estimate_log_prob says"
    require_average(forth.sigmoid() - back.sigmoid(), 0.0, what, hint)
