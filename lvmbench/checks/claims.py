"""Checks of what parts say of themselves: provides, requires, registered pairs, and that they learn."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from weakref import WeakSet

import torch
from torch import Tensor, nn

from lvmbench.checks.contract import BUILT, MODEL_PARTS, Violation, applies, contract, require
from lvmbench.checks.draws import AT_ONCE
from lvmbench.checks.partners import JITTER, Case
from lvmbench.checks.sources import holed
from lvmbench.checks.specimen import Specimen, Trial, stream
from lvmbench.checks.statistics import require_average
from lvmbench.distributions import Chain, DiagonalNormal
from lvmbench.distributions.base import family_name
from lvmbench.divergence import analytic_kl
from lvmbench.kernels.eager import eager
from lvmbench.terms import Terms

DRAWS = 20_000
STEPS = 50
PATIENCE = 4
"""How often so many training steps are taken until a figure rises."""
EARLY = (5, 10, 25)
"""After so many steps it is enough that a figure has risen for certain: in all ``GROUPS`` of its draws, which
is less likely than 1e-8 in all where it falls as often as it rises.
"""
GROUPS = 32
DROP = 1.0
MANY = 8
"""Of more latents than this fewer draws are taken, so that there are as many values in all."""


@contract(
    *BUILT,
    due="Each datum, and each latent value, is treated alone: no result depends on the others in its batch.",
    read="model.LatentVariableModel",
)
def batch_rows_are_independent(specimen: Specimen) -> None:
    applies(specimen.kind != "prior", "a prior has no batch")
    applies(not getattr(specimen.cls, "batchwise", False), "it declares that its bound is of the batch")
    for mode in (True, False):
        trial = specimen.trial().train(mode)
        state = copy.deepcopy(trial.state_dict())
        before = _by_row(trial)
        trial.load_state_dict(state)  # what a component keeps from call to call is not of the batch
        swapped = trial.x.flip(0)
        trial.x = torch.cat([swapped[:1], trial.x[1:]])
        trial.z = torch.cat([trial.z[:, :1] * 0.5 + 0.1 * (trial.z[:, :1] == 0), trial.z[:, 1:]], 1)
        for one, other in zip(before, _by_row(trial), strict=True):
            error = (one - other)[1:].abs().max().item()
            require(
                error <= 1e-5 * (1 + one.abs().max().item()),
                f"another first row changes the results of the others by {error:.3g}",
                "do not average, normalise or sum over the batch",
            )


BATCH = {"posterior": (1, 1, 1), "decoder": (2, 2, 1), "objective": (0,), "estimator": (0, 0)}
"""Which dimension of each result is the batch."""


def _by_row(trial: Trial) -> list[Tensor]:
    """The results with the batch first."""
    outs = trial(trial.noise())
    return [out.detach().movedim(dim, 0) for out, dim in zip(outs, BATCH[trial.kind], strict=False)]


@contract("posterior", due="A posterior that provides 'amortized' reads x.", read="posterior.Posterior")
def amortized_posterior_depends_on_x(specimen: Specimen) -> None:
    trial = specimen.trial()
    applies("amortized" in trial.component.provides, "it does not provide 'amortized'")
    q = trial.call().sample_and_log_prob(trial.noise(), 3)
    trial.x = trial.x.flip(0)
    other = trial.call().sample_and_log_prob(trial.noise(), 3)
    moved = any(not torch.equal(one, two) for one, two in zip(q, other, strict=True))
    require(moved, "q(z|x) is the same for other x", "use x, or do not declare that it provides 'amortized'")


@contract(
    "posterior",
    due="q(z|x) changes with the weights of prior and decoder where it provides 'reads_model', "
    "and nowhere else.",
    read="posterior.Posterior",
)
def reads_model_is_true(specimen: Specimen) -> None:
    says = specimen.trial().component.provides & {"amortized", "reads_model"}
    require(
        len(says) < 2,
        "it provides 'amortized' and 'reads_model'",
        "the first is of x and its own weights alone",
    )
    cases = _with_each(specimen, "prior", "decoder")
    moved = any(_moves_with_the_model(Trial.of(specimen.kind, case, dtype=torch.float64)) for case in cases)
    hint = (
        "declare that it provides 'reads_model', and not 'amortized'"
        if moved
        else "do not declare 'reads_model'"
    )
    change = "changes" if moved else "does not change"
    require(moved == ("reads_model" in says), f"q(z|x) {change} with the weights of prior and decoder", hint)


def _with_each(specimen: Specimen, *kinds: str) -> Iterator[Case]:
    """A combination with each part of these kinds that it works with."""
    for kind in kinds:
        for ref in specimen.bench.offers[kind]:
            if case := specimen.bench.find({specimen.kind: specimen.ref, kind: ref}):
                yield case


@torch.no_grad()
def _moves_with_the_model(trial: Trial) -> bool:
    """Whether q(z|x) is another one once all weights of prior and decoder are."""
    trial.eval()  # training steps change some posteriors by themselves
    before = trial.call().sample_and_log_prob(trial.noise(), 3)
    for part in (trial.model.prior, trial.model.decoder):
        for weight in part.parameters():
            weight.add_(trial.noise("other weights").normal(weight.shape))
    after = trial.call().sample_and_log_prob(trial.noise(), 3)
    return any(not torch.equal(one, two) for one, two in zip(before, after, strict=True))


@contract(
    "prior",
    due="Where it provides 'top_down', p(z) is a chain of normals, from the last layer to the first.",
    read="distributions.Chain",
)
def top_down_is_true(specimen: Specimen) -> None:
    trial = specimen.trial()
    applies("top_down" in trial.component.provides, "it does not provide 'top_down'")
    p, layers, hint = trial.call(), trial.model.prior.space.layers, "do not declare 'top_down'"
    require(isinstance(p, Chain) and p.top_down, "p(z) is not a Chain that is drawn from the top down", hint)
    assert isinstance(p, Chain)
    require(p.sizes == layers, f"the layers are {layers}, those of p(z) {p.sizes}", "one of them is wrong")
    others = {type(one).__name__ for one in p.given(trial.z)} - {DiagonalNormal.__name__}
    require(not others, f"a layer given the one above is a {', '.join(sorted(others))}", hint)


@contract("decoder", due="p(x|z) depends on z.", read="decoder.Decoder")
def decoder_depends_on_z(specimen: Specimen) -> None:
    trial = specimen.trial()
    before = trial.call().log_prob(trial.x)
    trial.z = trial.z.flip(0, 1)
    after = trial.call().log_prob(trial.x)
    require(not torch.equal(before, after), "p(x|z) is the same for other z", "use z")


@contract(
    "prior",
    "posterior",
    due="A registered KL(q || p) is the average of log q - log p over samples of q.",
    read="divergence.register_kl",
)
def kl_is_the_average_log_ratio(specimen: Specimen) -> None:
    other = "prior" if specimen.kind == "posterior" else "posterior"
    need = frozenset({"model.analytic_kl"})
    fixed = {specimen.kind: specimen.small}
    refs = specimen.bench.offers[other]
    cases = {c for ref in refs if (c := specimen.bench.find({**fixed, other: ref}, need))}
    applies(bool(cases), "no formula is registered for it and a partner")
    for case in sorted(cases.difference(_RIGHT), key=str):
        _compare_kl(case)
        _RIGHT.add(case)


_RIGHT: WeakSet[Case] = WeakSet()
"""Combinations whose closed form is right: each is met twice, as its prior's and as its posterior's."""


def _finite_terms(case: Case) -> list[Terms]:
    """Terms of many draws, with weights near enough to their initial values for all of them to be finite.

    Through many layers, each with a scale that the one before it decides, values may otherwise grow beyond
    any float. Of values that can be summed over, few draws.
    """
    for jitter in (JITTER, JITTER / 4):
        trial = Trial.of("posterior", case, jitter=jitter)
        space = trial.model.prior.space
        draws = 0 if space.enumerable else DRAWS * MANY // max(math.prod(space.event_shape), MANY)
        first = Terms(trial.model, trial.x, trial.noise(), AT_ONCE)
        terms = [first, *(first.again(AT_ONCE) for _ in range(AT_ONCE, draws, AT_ONCE))]
        if all(bool((some.log_q - some.log_prior).isfinite().all()) for some in terms):
            break
    return terms


@torch.no_grad()
def _compare_kl(case: Case) -> None:
    terms, *more = _finite_terms(case)
    kl = terms.kl(analytic=True)
    require(kl.shape == (len(terms.x),), f"the closed form has shape {tuple(kl.shape)}", "it is (B,)")
    names = f"{family_name(terms.q.family)}, {family_name(terms.p.family)}"
    if terms.model.prior.space.enumerable:  # rare values, which no draw may show, count as well
        _compare_sum(terms, kl, names)
        return
    exact = analytic_kl(terms.q, terms.p)
    # what is of the draws has their error, too
    ratio = torch.cat(
        [some.log_q - some.log_prior - (some.kl_of_draws if exact is None else 0) for some in (terms, *more)]
    )
    truth = torch.zeros_like(kl) if exact is None else kl
    what = f"the closed form for ({names})"
    require_average(ratio, truth, what, lambda: _reverse(terms, kl), slack=1e-4)


def _compare_sum(terms: Terms, kl: Tensor, names: str) -> None:
    values = terms.model.prior.space.values(terms.x).unsqueeze(1)
    z = values.expand(-1, len(terms.x), *values.shape[2:])
    every = terms.having(z)
    exact = (every.log_q.exp() * (every.log_q - every.log_prior)).sum(0)
    if analytic_kl(terms.q, terms.p) is None:  # what is of the draws, at each of them as often as it is drawn
        kl = (every.log_q.exp() * every.kl_of_draws).sum(0)
    worst = (kl - exact).abs().max().item()
    require(
        worst <= 1e-4 * (1 + exact.abs().max().item()),
        f"the closed form for ({names}) is off by {worst:.3g} from the sum over z",
        lambda: _reverse(terms, kl),
    )


def _reverse(terms: Terms, kl: Tensor) -> str:
    """A hint, where the closed form is that of the other direction."""
    hint = "compare it with E_q[log q - log p]"
    if "density" not in terms.q.traits:
        return hint
    z = terms.p.sample(stream("reverse"), DRAWS).unsqueeze(1)
    other = (terms.p.log_prob(z) - terms.q.log_prob(z)).mean(0)
    wrong = bool(((other - kl).abs() <= 0.05 * (1 + kl.abs())).all())
    return "it is KL(p || q), the wrong way round" if wrong else hint


@contract(
    "prior",
    "decoder",
    due="With a registered exact posterior log p(x, z) - log p(z|x) is the same at every z, also with holes.",
    read="divergence.register_posterior",
)
def registered_posterior_is_exact(specimen: Specimen) -> None:
    other = "decoder" if specimen.kind == "prior" else "prior"
    need, fixed = frozenset({"model.exact_posterior"}), {specimen.kind: specimen.ref}
    refs = specimen.bench.offers[other]
    cases = {
        c
        for ref in refs
        for sources in (None, holed())
        if (c := specimen.bench.find({**fixed, other: ref}, need, sources))
    }
    applies(bool(cases), "no exact posterior is registered for it and a partner")
    for case in sorted(cases, key=str):
        trial = Trial.of(specimen.kind, case, samples=5, dtype=torch.float64)
        model = trial.parts.model
        evidence = model.log_joint(trial.x, trial.z) - model.exact_posterior(trial.x).log_prob(trial.z)
        spread = (evidence - evidence.mean(0)).abs().max().item()
        require(spread <= 1e-6 * (1 + evidence.abs().max().item()), f"with {case} it varies by {spread:.3g}")


@contract(
    *MODEL_PARTS,
    due=f"At most {PATIENCE * STEPS} training steps of the part alone improve the bound.",
    read="training.loop.train",
)
def training_improves_the_bound(specimen: Specimen) -> None:
    # with an additive objective, discrete latents have gradients that are precise enough for so few steps
    trial = specimen.trial(frozenset({"objective.additive"}))
    trial.x = trial.case.source.data.splits["train"].values
    applies(bool(trial.trained), "it has no parameters")
    fit(trial, list(trial.trained.values()), lambda: _bounds(trial))


def fit(trial: Trial, weights: list[nn.Parameter], figures: Callable[[], Tensor]) -> None:
    """Go a little downhill by the trial's estimator, then up as training does, and require a figure to rise.

    The way down is there because a part may be at its best as it starts; it may end on a plateau, as where a
    choice among classes has become certain, from which the way up takes longer. ``figures`` gives the same
    figure from each of ``GROUPS`` groups of fixed draws.
    """
    start = figures()
    before = _descend(trial, weights, start, figures)
    best = torch.maximum(start, before)
    for step in itertools.islice(_walk(trial, weights, 1), PATIENCE * STEPS):
        if step in EARLY or step % STEPS == 0:
            after = figures()
            if bool((after > best).all()) or (step % STEPS == 0 and bool(after.mean() > before.mean())):
                return
    raise Violation(
        f"it went from {before.mean():.5g} to {after.mean():.5g} nats",
        "the gradient does not point uphill: look for a wrong sign, or for detach()",
    )


def _descend(
    trial: Trial, weights: list[nn.Parameter], start: Tensor, figures: Callable[[], Tensor]
) -> Tensor:
    """Up to half as many steps, until the figure is lower by ``DROP``; none that makes it infinite.

    The figures there.
    """
    found = start
    for _ in range(STEPS // 2):
        kept = [weight.detach().clone() for weight in weights]
        next(_walk(trial, weights, -1))  # a first step each time: later ones carry on where all slopes end
        before, found = found, figures()
        if not bool(found.mean().isfinite()):
            with torch.no_grad():
                for weight, value in zip(weights, kept, strict=True):
                    weight.copy_(value)
            return before
        if found.mean() < start.mean() - DROP:
            break
    return found


def _walk(trial: Trial, weights: list[nn.Parameter], sign: int) -> Iterator[int]:
    """Steps uphill, or with the sign -1 downhill, and how many were taken."""
    optimizer, noise = eager(torch.optim.Adam)(weights, lr=1e-2, fused=True), trial.noise("training", sign)
    parts = trial.parts
    for step in itertools.count(1):
        optimizer.zero_grad()
        surrogate: Tensor = parts.estimator(parts.objective, parts.model, trial.x, noise).surrogate
        (-sign * surrogate.mean()).backward()
        optimizer.step()
        yield step


@torch.no_grad()
def _bounds(trial: Trial) -> Tensor:
    model, objective = trial.parts.model, trial.parts.objective
    x = trial.x.repeat(GROUPS, *[1] * (trial.x.dim() - 1))
    value: Tensor = objective(Terms(model, x, stream("validation", dtype=trial.dtype), objective.samples))
    groups: Tensor = value.unflatten(0, (GROUPS, -1))
    return groups.mean(1)
