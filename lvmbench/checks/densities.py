"""Checks of densities: against their own samples, and by quadrature over one or two values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress

import torch
from torch import Tensor

from lvmbench.checks.contract import MODEL_PARTS, applies, contract, require
from lvmbench.checks.draws import AT_ONCE, draw
from lvmbench.checks.grid import DRAWS, POINTS, SUMMABLE, Support, resolved, support_of
from lvmbench.checks.sources import narrow
from lvmbench.checks.specimen import Specimen, Trial, stream
from lvmbench.checks.statistics import require_average
from lvmbench.distributions import Bernoulli, DiagonalNormal, Distribution
from lvmbench.errors import Refusal
from lvmbench.noise import Noise

F64 = torch.float64
PLACES = 64
"""So many draws are tried as the centre of a box."""
READ = "distributions.base.Distribution"


@contract(
    *MODEL_PARTS,
    due="The log density that comes with samples is log_prob of those samples.",
    read=f"{READ}.sample_and_log_prob",
)
def sampled_density_is_log_prob(specimen: Specimen) -> None:
    trial = specimen.with_trait("density", dtype=torch.float64)
    p = trial.call()
    value, log_prob = p.sample_and_log_prob(trial.noise(), 5)
    error = (p.log_prob(value) - log_prob).abs().max().item()
    require(
        error < 1e-8 * (1 + log_prob.abs().max().item()),
        f"they differ by {error:.3g}",
        "both are the density of one distribution: look for another scale, sign or constant in one of them",
    )


@contract(
    *MODEL_PARTS,
    due="Samples are independent: no two of them share their noise.",
    read=f"{READ}.sample_and_log_prob",
)
def samples_are_independent(specimen: Specimen) -> None:
    """For discrete values, by how often two samples are equal: all of 64, at a chance below 1e-6."""
    trial = specimen.trial(samples=1, batch=2)
    trial.x, trial.z = trial.x[:1].expand_as(trial.x), trial.z[:, :1].expand_as(trial.z)
    p = trial.call()
    values = p.sample(trial.noise(), 64).detach()  # (64, *batch, *event)
    rows = values.flatten(0, -1 - len(trial.event_shape)).flatten(1)
    if p.support in ("real", "unit"):
        sorted_, _ = rows.sort(0)
        repeated = (sorted_.diff(dim=0) == 0).all(0)
        applies(not (rows == rows[0]).all(), "the samples are all the same")
        require(not repeated.any() and len(rows.unique(dim=0)) == len(rows), *_reused())
        return
    batch = values.reshape(64, -1, *trial.event_shape)
    across = batch.shape[1] > 1 and bool((batch[:, 0] == batch[:, 1]).all())
    require(not (len(rows.unique(dim=0)) == 1 or across) or _certain(p, values), *_reused())


def _reused() -> tuple[str, str]:
    return (
        "samples are equal, between samples or between data of the same x",
        "draw noise of the whole shape (K, *batch, *event)",
    )


def _certain(p: Distribution, values: Tensor) -> bool:
    """Whether equal samples are no surprise."""
    return bool((p.sample_and_log_prob(stream("certain"), 1)[1].exp() > 0.8).any())


@contract(*MODEL_PARTS, due="The mean is the average of samples.", read=f"{READ}.mean")
def mean_is_the_average_of_samples(specimen: Specimen) -> None:
    for seed in range(3):
        trial = specimen.with_trait("mean", samples=1, batch=2, seed=seed)
        with torch.no_grad():
            p = trial.call()
            mean, (values, _) = p.mean, draw(p, trial.noise(), DRAWS)
        due = tuple(values.shape[1:])
        require(mean.shape == due, f"the mean has shape {tuple(mean.shape)} where {due} is due")
        require_average(
            values, mean, "the mean", "correct it, or do not declare the trait 'mean'", slack=1e-5
        )


def _supports(specimen: Specimen) -> list[tuple[Support, Tensor]]:
    """Each setting of one or two values, with the densities of its points; found once for all checks."""
    if "supports" not in specimen.memory:
        specimen.memory["supports"] = list(_find_supports(specimen))
    found: list[tuple[Support, Tensor]] = specimen.memory["supports"]
    return found


def _find_supports(specimen: Specimen) -> Iterator[tuple[Support, Tensor]]:
    found = 0
    for trial in _small(specimen):
        p = trial.call()
        applies("density" in p.traits, "the density is known at its own draws only")
        applies(p.support in SUMMABLE, f"no quadrature for the support '{p.support}'")
        if math.prod(trial.event_shape) <= max(POINTS):
            found += 1
            support = support_of(trial, p)
            yield support, support.density(len(trial.lead))
    applies(found > 0, "it has more than two values at the smallest size")


def _small(specimen: Specimen) -> Iterator[Trial]:
    if specimen.kind != "decoder":
        for latent in (1, 2):
            with suppress(Refusal):  # some need two
                yield specimen.with_trait("density", samples=1, batch=1, latent=latent, dtype=F64)
        return
    cases = [specimen.bench.find({"decoder": specimen.ref}, sources=(source,)) for source in narrow()]
    applies(any(cases), "it is not for data of one or two values")
    yield from (Trial.of("decoder", c, samples=1, batch=1, dtype=torch.float64) for c in cases if c)


@contract(
    *MODEL_PARTS,
    due="The density of one or two values integrates to one.",
    read=f"{READ}.log_prob",
)
def density_integrates_to_one(specimen: Specimen) -> None:
    for support, density in _supports(specimen):
        total = support.weights(density).sum().item()
        share = support.inside.double()
        slack = 2e-3 + resolved(support, density)
        require(math.isfinite(total), f"the integral is {total}")
        require_average(
            share,
            total,
            f"over {len(support.axes)} values, the integral of the density where samples lie",
            _constant(total / max(share.mean().item(), 1e-9)),
            slack=slack,
        )


def _constant(ratio: float) -> str:
    return (
        f"the density is {ratio:.4g} times too large, {math.log(max(ratio, 1e-300)):+.3g} nats: look for a "
        "missing constant, log-determinant, normalised weight or sum over dimensions"
    )


@contract(*MODEL_PARTS, due="Samples follow the density.", read=f"{READ}.sample_and_log_prob")
def samples_follow_the_density(specimen: Specimen) -> None:
    """First and second moments."""
    for support, density in _supports(specimen):
        slack = 2e-3 + resolved(support, density)
        for name, moment in (("mean", _first), ("second moment", _second)):
            drawn = moment(support.values) * support.inside.unsqueeze(1)
            require_average(
                drawn,
                support.weights(density) @ moment(support.points),
                f"the {name} of samples",
                "sampling and density are of two distributions: look for another scale, sign or Jacobian",
                slack=slack,
            )


def _first(z: Tensor) -> Tensor:
    return z


def _second(z: Tensor) -> Tensor:
    return (z[:, None] * z[:, :, None]).flatten(1)


@contract(
    *MODEL_PARTS,
    due="The log densities that come with samples weigh a box around them to its volume.",
    read=f"{READ}.sample_and_log_prob",
)
def own_densities_weigh_a_box(specimen: Specimen) -> None:
    """Holds for densities known at their own draws only, too: the mean of 1 / q is 1 / density."""
    applies(specimen.kind != "decoder", "of decoders the density can be evaluated")
    loose = specimen.trial().call().traits & {"estimate", "bound"}
    applies(not loose, "the density at its draws is only estimated or bounded")
    done = [_weigh(_smallest(specimen, seed)) for seed in range(3)]
    applies(any(done), "too few samples around the mode, or not up to three real values")


def _smallest(specimen: Specimen, seed: int) -> Trial:
    """The component at work with one latent, or two where it refuses one."""
    try:
        return specimen.trial(samples=1, batch=1, latent=1, seed=seed, dtype=F64)
    except Refusal:
        return specimen.trial(samples=1, batch=1, latent=2, seed=seed, dtype=F64)


def _weigh(trial: Trial) -> bool:
    """Whether the box could be weighed."""
    p, size = trial.call(), math.prod(trial.event_shape)
    if p.support != "real" or size > 3:
        return False
    # a box of other draws than those that weigh it depends on none of them
    centre, half = _box(*_rows(p, trial.noise("box"), size))
    rows, log_prob = _rows(p, trial.noise(), size)
    inside = ((rows - centre).abs() <= half).all(1)
    if int(inside.sum()) < 500:
        return False
    share = inside * (-log_prob - (2 * half).log().sum()).exp()
    hint = _constant(1 / max(share.mean().item(), 1e-9))
    require_average(share, 1.0, "the weight of the box over its volume", hint, slack=2e-3)
    return True


def _rows(p: Distribution, noise: Noise, size: int) -> tuple[Tensor, Tensor]:
    """Draws, ``(DRAWS, size)``, and their log densities."""
    value, log_prob = draw(p, noise, DRAWS)
    return value.reshape(DRAWS, size), log_prob.reshape(DRAWS)


def _box(rows: Tensor, log_prob: Tensor) -> tuple[Tensor, Tensor]:
    """The centre and half the widths of a box in which 1 / q has a useful average."""
    spread = rows.quantile(0.75, 0) - rows.quantile(0.25, 0)
    if rows.shape[1] == 1:
        return rows[log_prob.argmax()], spread * 0.5
    # Over several values a density may fall to nothing within a wide box, and where it is greatest, in the
    # neck of a funnel, within a narrow one. So it is a box of few draws, around that one of some at whose
    # neighbours the density is most even.
    apart = (((rows - centre).abs() / spread).amax(1) for centre in rows[:PLACES])
    nearest = [distances.topk(DRAWS // 20, largest=False) for distances in apart]
    around = torch.stack([log_prob[near.indices] for near in nearest])
    best = int((around.amax(1) - around.amin(1)).argmin())
    return rows[best], spread * nearest[best].values[-1]


@contract(
    "posterior",
    due="log q is known in one way, and what is declared an estimate or a bound of it is one.",
    read=READ,
)
def log_q_is_known_as_declared(specimen: Specimen) -> None:
    """For an estimate, by what both of its directions share, bounded however far apart they are.

    With r(a|z) the reverse model and any density f, l = log f(z) r(a|z) - log q(z, a) has E[sigmoid(l)] under
    q(z, a) equal to E[sigmoid(-l)] under f(z) r(a|z).
    """
    trial = specimen.trial(dtype=F64)
    q = trial.call()
    ways = q.traits & {"density", "estimate", "bound"}
    require(
        len(ways) < 2,
        f"the traits {' and '.join(sorted(ways))} are declared",
        "choose what log q is known as",
    )
    applies(bool(ways - {"density"}), "its density is known at its own draws")
    applies(q.support in ("real", "binary"), f"no density to compare with for the support '{q.support}'")
    with torch.no_grad():
        z, log_q = draw(q, trial.noise(), DRAWS)
        f = _fitted(z, q.support)
        forth = f.log_prob(z) - log_q
        if "bound" in ways:
            hint = "what comes with samples is on average at least log q"
            require_average(forth, 0.0, "the ELBO of a normalised density", hint, above=True)
            return
        other, noise = f.sample(trial.noise("others"), DRAWS), trial.noise("estimate")
        estimated = torch.cat([q.estimate_log_prob(some, noise) for some in other.split(AT_ONCE)])
        back = estimated - f.log_prob(other)
    hint = "look for a density of the auxiliary variables that is left out in one or both, or for its sign"
    what = "what sample_and_log_prob says less what estimate_log_prob says"
    require_average(forth.sigmoid() - back.sigmoid(), 0.0, what, hint)


def _fitted(z: Tensor, support: str) -> Distribution:
    """Independent values with the moments of draws ``(K, B, *z)``."""
    if support == "binary":
        return Bernoulli(z.mean(0).logit(1e-3), z.dim() - 2)
    return DiagonalNormal(z.mean(0), z.std(0).log(), z.dim() - 2)
