"""One set of tests over everything in the catalogue: no component is named here, and a new one is covered at once.

Each component is built at its defaults, and once for each value of each option with named choices, among the first partners
that meet all declared requirements.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from lvmbench import (
    Bernoulli,
    Data,
    Decoder,
    DiagonalNormal,
    Distribution,
    LatentSpace,
    LatentVariableModel,
    Noise,
    Posterior,
    Prior,
    Refusal,
    Split,
    Stream,
    Subject,
    Terms,
)
from lvmbench.build import Parts, applicable_estimators, build, capabilities
from lvmbench.catalogue import COMPONENT_KINDS, Entry
from lvmbench.combination import Combination
from lvmbench.errors import Unavailable
from lvmbench.names import Ref
from lvmbench.noise import Buffer, Recorder
from lvmbench.options import options_model
from lvmbench.plugins import load_catalogue
from lvmbench.rawdata import data_home

CATALOGUE = load_catalogue()
PARTS = ("prior", "posterior", "decoder")
BUILT = (*PARTS, "objective", "estimator")


# --- what is tested -----------------------------------------------------------------------------------------


def loads(entry: Entry) -> bool:
    try:
        return bool(entry.load())
    except Unavailable:
        return False


def variants(entry: Entry) -> list[Ref]:
    """The defaults, and every value of every option that has named choices; nothing where an option is required."""
    fields = options_model(entry.load()).model_fields
    if any(field.is_required() for field in fields.values()):
        return []
    choices = [
        (name, value)
        for name, field in fields.items()
        for value in ([True, False] if field.annotation is bool else get_args(field.annotation))
        if (field.annotation is bool or get_origin(field.annotation) is Literal) and value != field.default
    ]
    return [Ref(entry.name), *(Ref(entry.name, {name: value}) for name, value in choices)]


@functools.cache
def offers(*kinds: str) -> list[tuple[str, Ref]]:
    """Every component of these kinds that can be imported, with its variants."""
    found = [
        (e.kind, ref) for kind in kinds for e in CATALOGUE.entries(kind) if loads(e) for ref in variants(e)
    ]
    return list(dict.fromkeys(found))


def refs(kind: str) -> list[Ref]:
    return [ref for _, ref in offers(kind)]


def data(x: Tensor, support: Literal["binary", "unit", "real"], *provides: str) -> Data:
    splits = {
        name: Split(x[i::3], torch.arange(len(x[i::3])) % 2)
        for i, name in enumerate(["train", "validation", "test"])
    }
    return Data(splits, support, "none", provides=frozenset(provides))


def draws(*shape: int) -> Tensor:
    return Stream.seeded(0, "data").uniform(shape)


DATA = (
    data(draws(60, 5).logit(), "real"),
    data((draws(60, 3, 4) < 0.4).float(), "binary"),
    data(draws(60, 3, 4), "unit"),
    data((draws(60, 1, 8, 8) < 0.4).float(), "binary", "image"),
    data(draws(60, 1, 8, 8), "unit", "image"),
)


class Case(NamedTuple):
    """A combination that meets all requirements."""

    data: Data
    refs: dict[str, Ref]

    def parts(self, latent: int = 2, seed: int = 0) -> Parts:
        return build(CATALOGUE, Combination(self.refs, latent), self.data, seed)


def needs(parts: Parts) -> frozenset[str]:
    return frozenset().union(*(part.requires for part in parts.components.values()))


def candidates(fixed: dict[str, Ref], need: frozenset[str]) -> Iterator[Case]:
    choice = {kind: [fixed[kind]] if kind in fixed else refs(kind) for kind in BUILT}
    late = ("objective", "estimator")
    for source, *model in itertools.product(DATA, *(choice[kind] for kind in PARTS)):
        for rest in itertools.product(*(choice[kind] for kind in late)):
            case = Case(source, dict(zip(BUILT, (*model, *rest), strict=True)))
            try:
                parts = case.parts()
            except Refusal:
                break
            missing = (needs(parts) | need) - capabilities(source, parts)
            if not missing:
                yield case
            if any(not m.startswith(late) for p in PARTS for m in missing & parts.components[p].requires):
                break


@functools.cache
def find(need: frozenset[str] = frozenset(), **fixed: Ref) -> Case:
    """The first combination of installed components with these parts that meets all requirements."""
    case = next(candidates(fixed, need), None)
    if case is None:
        pytest.skip(f"no installed partners meet the requirements of {', '.join(map(str, fixed.values()))}")
    return case


def name(value: object) -> str:
    return value.label.replace(" ", "-") if isinstance(value, Entry) else str(value)


each_entry = pytest.mark.parametrize(
    "entry", [e for k in COMPONENT_KINDS for e in CATALOGUE.entries(k)], ids=name
)
each_part = pytest.mark.parametrize(("kind", "ref"), offers(*PARTS), ids=name)
each_pair = pytest.mark.parametrize(
    ("objective", "estimator"), list(itertools.product(refs("objective"), refs("estimator"))), ids=name
)


def stream(*words: object, dtype: torch.dtype | None = None) -> Stream:
    return Stream.seeded(1, *words, dtype=dtype)


class Inputs(NamedTuple):
    """A batch of data and of latent values."""

    x: Tensor
    z: Tensor


def inputs(case: Case, parts: Parts, samples: int = 2, batch: int = 4) -> Inputs:
    weight = next(parts.model.parameters(), torch.zeros(()))
    x = case.data.splits["train"].values[:batch].to(weight.dtype)
    with torch.no_grad():
        z = parts.model.p().sample(stream("z", dtype=weight.dtype), samples * batch)
    return Inputs(x, z.unflatten(0, (samples, batch)))


def call(kind: str, model: LatentVariableModel, at: Inputs) -> Distribution:
    """What a part returns."""
    return {"prior": model.p, "posterior": lambda: model.q(at.x), "decoder": lambda: model.decoder(at.z)}[
        kind
    ]()


def event_shape(kind: str, case: Case, parts: Parts) -> tuple[int, ...]:
    return case.data.summary.event_shape if kind == "decoder" else parts.model.prior.space.event_shape


# --- declarations -------------------------------------------------------------------------------------------


@each_entry
def test_docstring_has_formula_reference_and_example(entry: Entry) -> None:
    text = inspect.getdoc(entry.load()) or ""
    assert entry.summary.endswith("."), "the first line is not one sentence"
    assert ">>> " in text.partition("Example:")[2]
    if entry.kind not in ("dataset", "evaluator"):
        assert ".. math::" in text
    cited = re.split(r"\n\n", text.partition("References:")[2])[0]
    assert re.search(r"\b(1[89]|20)\d\d\b", cited), "no year in References"
    assert re.search(r"https?://", cited), "no link in References"


@each_entry
def test_component_is_final_and_alone_in_its_file(entry: Entry) -> None:
    cls = entry.load()
    assert getattr(cls, "__final__", False), "not marked @typing.final"
    tree = ast.parse(Path(inspect.getfile(cls)).read_text())
    assert [n.name for n in tree.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")] == [
        cls.__name__
    ]


@each_entry
def test_every_option_is_documented(entry: Entry) -> None:
    documented = (inspect.getdoc(entry.load()) or "").partition("Arguments:")[2]
    assert [
        option for option in options_model(entry.load()).model_fields if f"    {option}: " not in documented
    ] == []


@each_entry
def test_requirements_are_written_kind_dot_capability(entry: Entry) -> None:
    cls = entry.load()
    assert all(
        r.partition(".")[0] in (*COMPONENT_KINDS, "model") and r.partition(".")[2] for r in cls.requires
    )
    assert isinstance(cls.version, int)


# --- priors, posteriors, decoders ---------------------------------------------------------------------------


@each_part
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("batch", [1, 7])
def test_shapes_class_and_finite_log_density(kind: str, ref: Ref, samples: int, batch: int) -> None:
    case = find(**{kind: ref})
    parts = case.parts()
    at = inputs(case, parts, samples, batch)
    p = call(kind, parts.model, at)
    declared = (
        parts.model.posterior_distribution if kind == "posterior" else parts.components[kind].distribution
    )
    assert type(p) is declared
    shape = {"prior": (), "posterior": (batch,), "decoder": (samples, batch)}[kind]
    value, log_prob = p.sample_and_log_prob(stream(), samples)
    assert value.shape == (samples, *shape, *event_shape(kind, case, parts))
    assert log_prob.shape == (samples, *shape)
    assert log_prob.isfinite().all()
    if "density" in p.traits and kind != "posterior":
        given = p.log_prob(at.x if kind == "decoder" else at.z)
        assert given.shape == (samples, batch)
        assert given.isfinite().all()


@each_part
def test_double_precision_throughout_and_sampled_density_is_log_prob(kind: str, ref: Ref) -> None:
    case = find(**{kind: ref})
    parts = case.parts()
    parts.model.double()
    p = call(kind, parts.model, inputs(case, parts))
    value, log_prob = p.sample_and_log_prob(stream(dtype=torch.float64), 5)
    assert value.dtype == log_prob.dtype == torch.float64
    if "density" in p.traits:
        torch.testing.assert_close(p.log_prob(value), log_prob, rtol=1e-10, atol=1e-10)


@each_part
def test_gradient_reaches_every_parameter(kind: str, ref: Ref) -> None:
    case = find(**{kind: ref})
    parts = case.parts()
    at = inputs(case, parts)
    p = call(kind, parts.model, at)
    value, log_prob = p.sample_and_log_prob(stream(), 3)
    if "density" in p.traits:
        log_prob = p.log_prob(at.x if kind == "decoder" else value.detach())
    (
        log_prob.sum() + (value.square().sum() if "pathwise" in p.traits else 0)
    ).backward() if log_prob.requires_grad else None
    missed = [
        n
        for n, w in parts.components[kind].named_parameters()
        if w.requires_grad and (w.grad is None or not w.grad.any())
    ]
    assert missed == []
    assert all(w.grad.isfinite().all() for w in parts.model.parameters() if w.grad is not None)


@each_part
def test_same_noise_gives_same_result_and_global_generator_is_untouched(kind: str, ref: Ref) -> None:
    case = find(**{kind: ref})
    parts = case.parts()
    at = inputs(case, parts)
    before = torch.random.get_rng_state()
    first, second = (call(kind, parts.model, at).sample_and_log_prob(stream(), 3) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


@each_part
def test_state_round_trips_through_safetensors(kind: str, ref: Ref) -> None:
    case = find(**{kind: ref})
    trained, fresh = case.parts(seed=0), case.parts(seed=1)
    at = inputs(case, trained)
    fresh.model.load_state_dict(
        load(save({k: v.contiguous() for k, v in trained.model.state_dict().items()}))
    )
    ours, theirs = (
        call(kind, parts.model, at).sample_and_log_prob(stream(), 3) for parts in (trained, fresh)
    )
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1])


class Call(nn.Module):
    """The parts of a run as one module, so that seeds can be stacked."""

    def __init__(self, parts: Parts, action: Any) -> None:
        super().__init__()
        self.model, self.objective, self.estimator = parts.model, parts.objective, parts.estimator
        self.action = action

    def forward(self, noise: Noise) -> tuple[Tensor, ...]:
        return self.action(self, noise)


def assert_pack_equals_loop(case: Case, action: Any) -> None:
    """The output, and the gradient of its sum, of three stacked seeds under vmap are those of each seed alone."""
    calls = [Call(case.parts(seed=seed), action) for seed in range(3)]
    recorder = Recorder(stream())
    calls[0](recorder)
    normals, uniforms = (
        stream("n").normal((3, recorder.demand.normals)),
        stream("u").uniform((3, recorder.demand.uniforms)),
    )
    weights, buffers = torch.func.stack_module_state(calls)

    def one(weights: Any, buffers: Any, normals: Tensor, uniforms: Tensor) -> tuple[Tensor, ...]:
        return torch.func.functional_call(calls[0], (weights, buffers), (Buffer(normals, uniforms),))

    pack = torch.func.vmap(one)(weights, buffers, normals, uniforms)
    sum(out.sum() for out in pack if out.requires_grad).backward()
    for i, alone in enumerate(calls):
        outs = alone(Buffer(normals[i], uniforms[i]))
        for packed, out in zip(pack, outs, strict=True):
            torch.testing.assert_close(packed[i], out, rtol=1e-4, atol=1e-5)
        sum(out.sum() for out in outs if out.requires_grad).backward()
        for key, weight in alone.named_parameters():
            if weight.grad is not None:
                torch.testing.assert_close(weights[key].grad[i], weight.grad, rtol=1e-3, atol=1e-4)


@each_part
def test_vectorised_seeds_equal_each_seed_alone(kind: str, ref: Ref) -> None:
    case = find(**{kind: ref})
    if not case.parts().vectorizable:
        pytest.skip("declared not vectorizable")
    at = inputs(case, case.parts())
    fixed = torch.zeros(())  # an output with a gradient even where the part has no parameters

    def action(parts: Call, noise: Noise) -> tuple[Tensor, ...]:
        value, log_prob = call(kind, parts.model, at).sample_and_log_prob(noise, 3)
        anchor = sum((w.sum() for w in parts.parameters()), fixed)
        return value, log_prob, anchor

    assert_pack_equals_loop(case, action)


@each_part
def test_pathwise_samples_follow_the_parameters(kind: str, ref: Ref) -> None:
    case = find(**{kind: ref})
    parts = case.parts()
    p = call(kind, parts.model, inputs(case, parts))
    weights = list((parts.model if kind == "posterior" else parts.components[kind]).parameters())
    if "pathwise" not in p.traits or not weights:
        pytest.skip("not pathwise, or nothing to learn")
    grads = torch.autograd.grad(p.sample(stream(), 3).square().sum(), weights, allow_unused=True)
    assert any(g is not None and g.any() for g in grads)


@each_part
def test_mean_is_the_average_of_samples(kind: str, ref: Ref) -> None:
    """Within 5 standard errors of 20,000 samples; false-alarm rate 6e-7 for each of at most 128 coordinates."""
    case = find(**{kind: ref})
    parts = case.parts()
    with torch.no_grad():
        p = call(kind, parts.model, inputs(case, parts, 1, 2))
        if "mean" not in p.traits:
            pytest.skip("does not declare a mean")
        values = p.sample(stream(), 20_000).double()
        assert p.mean.shape == values.shape[1:]
        assert ((values.mean(0) - p.mean).abs() <= 5 * values.std(0) / math.sqrt(len(values)) + 1e-6).all()


@each_part
def test_components_share_each_value(kind: str, ref: Ref) -> None:
    case = find(**{kind: ref})
    parts = case.parts()
    p = call(kind, parts.model, inputs(case, parts))
    if "components" not in p.traits:
        pytest.skip("has no components")
    shares = p.assign(p.sample(stream(), 6))
    assert shares.shape[:-1] == p.log_prob(p.sample(stream(), 6)).shape
    torch.testing.assert_close(shares.sum(-1), torch.ones(shares.shape[:-1]))
    assert (shares >= 0).all()


def grid(values: Tensor) -> tuple[Tensor, Tensor]:
    """Points and their volumes over a box that holds the mass of these samples, (N, D) with D of 1 or 2."""
    count = {1: 4001, 2: 501}[values.shape[-1]]
    spread = 10 * values.std(0) + 1e-3
    axes = [
        torch.linspace(m - s, m + s, count, dtype=values.dtype)
        for m, s in zip(values.mean(0), spread, strict=True)
    ]
    return torch.cartesian_prod(*axes).reshape(-1, len(axes)), torch.stack([a[1] - a[0] for a in axes]).prod()


def support_points(support: str, values: Tensor) -> tuple[Tensor, Tensor]:
    """Points that cover the mass of samples (N, D), and the volume that each stands for."""
    if support == "real":
        return grid(values)
    size = values.shape[-1]
    return torch.cartesian_prod(*[torch.arange(2.0).double()] * size).reshape(-1, size), torch.ones(
        ()
    ).double()


@each_part
@pytest.mark.parametrize("latent", [1, 2])
def test_density_of_latents_integrates_to_one_and_is_that_of_the_samples(
    kind: str, ref: Ref, latent: int
) -> None:
    """Moments by quadrature within 5 standard errors of 20,000 draws; false-alarm rate 6e-7 for each of at most 6."""
    case = find(**{kind: ref})
    parts = case.parts(latent)
    parts.model.double()
    p = call(kind, parts.model, inputs(case, parts, 1, 1))
    shape = event_shape(kind, case, parts)
    known = kind != "decoder" and "density" in p.traits and p.support in ("real", "binary")
    if not known or math.prod(shape) > 2:
        pytest.skip("not a density over one or two latent values")
    values = p.sample(stream(dtype=torch.float64), 20_000).detach().flatten(1)
    points, volume = support_points(p.support, values)
    weights = (
        p.log_prob(points.reshape(-1, *[1] * (kind == "posterior"), *shape)).exp().flatten().detach() * volume
    )
    assert weights.sum().item() == pytest.approx(1, abs=1e-3)
    for moment in (lambda z: z, lambda z: (z[:, None] * z[:, :, None]).flatten(1)):
        drawn, exact = moment(values), weights @ moment(points)
        assert ((drawn.mean(0) - exact).abs() <= 5 * drawn.std(0) / math.sqrt(20_000) + 1e-6).all()


@pytest.mark.parametrize("ref", refs("posterior"), ids=name)
def test_kl_in_closed_form_is_the_average_log_ratio(ref: Ref) -> None:
    """Within 5 standard errors of 20,000 draws; false-alarm rate 6e-7 for each of 4 data points."""
    case = find(frozenset({"model.analytic_kl"}), posterior=ref)
    parts = case.parts()
    with torch.no_grad():
        terms = Terms(parts.model, inputs(case, parts).x, stream(), 20_000)
        ratio = (terms.log_q - terms.log_prior).double()
        assert ((ratio.mean(0) - terms.kl()).abs() <= 5 * ratio.std(0) / math.sqrt(20_000) + 1e-4).all()


# --- objectives and estimators ------------------------------------------------------------------------------


def sampled(ref: Ref, samples: int) -> Ref:
    """The objective with this many samples, where it has that option."""
    has = "samples" in options_model(CATALOGUE.entry("objective", ref.name).load()).model_fields
    return Ref(ref.name, {**ref.options, "samples": samples}) if has else ref


def find_pair(objective: Ref, estimator: Ref) -> Case:
    """A combination with these two, with few samples or several, with an exact posterior where there is one."""
    exact = frozenset({"model.exact_posterior"})
    for need, ref in itertools.product((exact, frozenset[str]()), (objective, sampled(objective, 3))):
        case = next(candidates({"objective": ref, "estimator": estimator}, need), None)
        if case:
            return case
    return pytest.skip("no installed partners meet the requirements")


@each_pair
def test_bound_is_finite_and_surrogate_reaches_every_parameter(objective: Ref, estimator: Ref) -> None:
    case = find_pair(objective, estimator)
    parts = case.parts()
    at = inputs(case, parts, batch=7)
    before = torch.random.get_rng_state()
    surrogate, bound = parts.estimator(parts.objective, parts.model, at.x, stream())
    again = parts.estimator(parts.objective, parts.model, at.x, stream())
    assert torch.equal(torch.random.get_rng_state(), before)
    assert surrogate.shape == bound.shape == (7,)
    assert torch.equal(bound, again.bound)
    assert bound.isfinite().all()
    surrogate.sum().backward()
    missed = [
        n
        for n, w in parts.model.named_parameters()
        if w.requires_grad and (w.grad is None or not w.grad.any())
    ]
    assert missed == []


@each_pair
def test_vectorised_estimates_equal_each_seed_alone(objective: Ref, estimator: Ref) -> None:
    case = find_pair(objective, estimator)
    if not case.parts().vectorizable:
        pytest.skip("declared not vectorizable")
    x = inputs(case, case.parts()).x
    assert_pack_equals_loop(
        case, lambda parts, noise: tuple(parts.estimator(parts.objective, parts.model, x, noise))
    )


@each_pair
def test_lower_bound_stays_below_the_exact_log_density(objective: Ref, estimator: Ref) -> None:
    """Mean of 2,000 draws at most 5 standard errors above; false-alarm rate 3e-7 for each of 4 data points."""
    case = find_pair(objective, estimator)
    parts = case.parts()
    if not (parts.objective.lower_bound and "exact_posterior" in parts.model.provides):
        pytest.skip("not a lower bound, or the exact log density is unknown")
    x = inputs(case, parts).x
    with torch.no_grad():
        repeated = x.repeat_interleave(2000, 0)
        bound = (
            parts.estimator(parts.objective, parts.model, repeated, stream())
            .bound.double()
            .unflatten(0, (4, 2000))
        )
        truth = parts.model.exact_log_prob(x)
        assert (bound.mean(1) <= truth + 5 * bound.std(1) / math.sqrt(2000) + 1e-4).all()


class ToyPrior(Prior):
    """A one-dimensional prior of either family."""

    def __init__(self, family: type[Distribution]) -> None:
        super().__init__()
        self.distribution = family
        self.weights = nn.Parameter(torch.tensor([0.3, -0.2], dtype=torch.float64))

    @property
    def space(self) -> LatentSpace:
        return LatentSpace((1,), self.distribution.support)

    def forward(self, model: LatentVariableModel | None) -> Distribution:
        loc, log_scale = self.weights[:1], self.weights[1:]
        return Bernoulli(loc) if self.distribution is Bernoulli else DiagonalNormal(loc, log_scale)


class ToyPosterior(Posterior):
    """A one-dimensional posterior of either family, linear in x."""

    provides = frozenset({"amortized"})

    def __init__(self, family: type[Distribution]) -> None:
        super().__init__()
        self.distribution = family
        self.weights = nn.Parameter(torch.tensor([0.5, 0.2, -0.4], dtype=torch.float64))

    def forward(self, x: Tensor, model: LatentVariableModel) -> Distribution:
        loc = self.weights[0] * x + self.weights[1]
        return Bernoulli(loc) if self.distribution is Bernoulli else DiagonalNormal(loc, self.weights[2:])


class ToyDecoder(Decoder):
    """x is normal about a line in z."""

    distribution = DiagonalNormal

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([1.2, -0.3, 0.1], dtype=torch.float64))

    def forward(self, z: Tensor) -> DiagonalNormal:
        return DiagonalNormal(self.weights[0] * z + self.weights[1], self.weights[2])


def toy(family: type[Distribution]) -> LatentVariableModel:
    return LatentVariableModel(ToyPrior(family), ToyPosterior(family), ToyDecoder())


def expectation(parts: Parts, x: Tensor, nodes: int = 40) -> Tensor:
    """The exact expectation of the objective at x, (1, 1): enumeration of binary z, Gauss-Hermite quadrature of normal z."""
    model, count = parts.model, parts.objective.samples
    if model.prior.distribution is Bernoulli:
        points, weights = torch.arange(2.0).double(), torch.ones(2).double()
    else:
        points, weights = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(nodes))
    every = torch.cartesian_prod(*[points] * count).reshape(-1, count).T.unsqueeze(-1)  # (K, N, 1)
    weight = torch.cartesian_prod(*[weights / weights.sum()] * count).reshape(-1, count).prod(-1)
    terms = Terms(model, x.expand(every.shape[1], 1), None, count)
    if model.prior.distribution is Bernoulli:
        z, weight = every, terms.q.log_prob(every).sum(0).exp()
    else:
        z = terms.q.loc + terms.q.log_scale.exp() * every
    terms.__dict__["_draw"] = z, terms.q.log_prob(z)
    return (weight * parts.objective(terms)).sum()


@each_pair
@pytest.mark.parametrize("family", [DiagonalNormal, Bernoulli])
def test_unbiased_gradient_averages_to_the_exact_one(
    objective: Ref, estimator: Ref, family: type[Distribution]
) -> None:
    """Within 5 standard errors of 100 groups of 100 draws; false-alarm rate 2.5e-6 (t, 99 degrees) for each of 8 weights."""
    objective = sampled(objective, 2)
    parts = Parts(
        toy(family), CATALOGUE.build("objective", objective), CATALOGUE.build("estimator", estimator)
    )
    missing = needs(parts) - capabilities(DATA[0], parts)
    if missing or not parts.estimator.unbiased:
        pytest.skip(f"lacks {', '.join(missing)}" if missing else "not declared unbiased")
    x, weights = torch.tensor([[0.8]], dtype=torch.float64), list(parts.model.parameters())
    try:
        exact = torch.cat(torch.autograd.grad(expectation(parts, x), weights, materialize_grads=True))
    except AttributeError:
        pytest.skip("the objective draws more than the samples of z")
    noise, groups = stream(dtype=torch.float64), []
    for _ in range(100):
        surrogate = parts.estimator(parts.objective, parts.model, x.expand(100, 1), noise).surrogate.mean()
        groups.append(torch.cat(torch.autograd.grad(surrogate, weights, materialize_grads=True)))
    found = torch.stack(groups)
    assert ((found.mean(0) - exact).abs() <= 5 * found.std(0) / 10 + 1e-9).all(), (
        found.mean(0),
        exact,
        found.std(0) / 10,
    )


# --- data sets and evaluators -------------------------------------------------------------------------------


@pytest.fixture
def dataset(entry: Entry, tmp_path: Path) -> Any:
    """Builds the data set afresh; required options get a small sample where there is one of that name. Nothing is downloaded."""
    absent = [file.path for file in entry.load().files if not (data_home() / file.path).is_file()]
    if absent:
        pytest.skip(f"raw files are absent: {', '.join(absent)}")
    table = tmp_path / "table.csv"
    table.write_text(
        "a,b,c\n" + "".join(f"{i / 7:.3f},{(i * 5 % 11) / 3:.3f},{-i / 5:.3f}\n" for i in range(60))
    )
    samples = {"path": str(table)}
    required = [n for n, field in options_model(entry.load()).model_fields.items() if field.is_required()]
    if set(required) - set(samples):
        pytest.skip(f"no sample for the required options {required}")
    return lambda: CATALOGUE.build("dataset", Ref(entry.name, {n: samples[n] for n in required}))


each_dataset = pytest.mark.parametrize("entry", CATALOGUE.entries("dataset"), ids=name)
each_evaluator = pytest.mark.parametrize("entry", CATALOGUE.entries("evaluator"), ids=name)


@each_dataset
def test_data_set_has_three_splits_within_its_support(entry: Entry, dataset: Any) -> None:
    found = dataset().load()
    assert list(found.splits) == ["train", "validation", "test"]
    assert len({split.x.shape[1:] for split in found.splits.values()}) == 1
    assert found.licence
    for split in found.splits.values():
        assert len(split) > 0
        assert split.x.isfinite().all()
        low, high = split.values.min(), split.values.max()
        assert {"binary": 0 <= low <= high <= 1, "unit": 0 <= low <= high <= 1, "real": True}[found.support]
        if found.support == "binary" and found.visit is None:
            assert ((split.x == 0) | (split.x == 1)).all()
        if split.labels is not None:
            assert split.labels.shape == (len(split),)
            assert split.labels.dtype == torch.int64


@each_dataset
def test_data_set_is_the_same_at_every_call_and_leaves_the_global_generators(
    entry: Entry, dataset: Any
) -> None:
    found = dataset().load()
    before = torch.random.get_rng_state(), np.random.get_state()[1].tolist()
    assert dataset().load().checksum == found.checksum
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


@each_dataset
def test_visits_and_true_log_density_keep_shape_and_support(entry: Entry, dataset: Any) -> None:
    found = dataset().load()
    x = found.splits["train"].values[:9]
    if found.visit:
        visited = found.visit(x, stream())
        assert visited.shape == x.shape
        assert found.support != "binary" or ((visited == 0) | (visited == 1)).all()
    if found.log_prob:
        log_prob = found.log_prob(x)
        assert log_prob.shape == (len(x),)
        assert log_prob.isfinite().all()


@each_evaluator
def test_measurements_are_declared_finite_and_repeatable(entry: Entry) -> None:
    evaluator = CATALOGUE.build("evaluator", entry.name)
    case = find(evaluator.requires - {"dataset.log_prob", "dataset.labels"})
    parts = case.parts()
    provided = capabilities(case.data, parts)
    if not evaluator.requires <= provided:
        pytest.skip("no installed partners meet its requirements")
    estimators = applicable_estimators(CATALOGUE, parts, provided, case.refs["estimator"])
    subject = Subject(parts.model.eval(), parts.objective, estimators, case.data, seed=0, provides=provided)
    before = torch.random.get_rng_state()
    first, second = (
        [(m.metric, m.variant, m.method, m.value) for m in evaluator.evaluate(subject)] for _ in range(2)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first
    assert first == second
    for m in evaluator.evaluate(subject):
        assert m.metric in evaluator.metrics
        assert math.isfinite(m.value)
        assert m.stderr is None or 0 <= m.stderr < math.inf
        if m.per_datum is not None:
            assert m.per_datum.shape == (len(subject.x),)
            assert m.per_datum.double().mean().item() == pytest.approx(m.value, rel=1e-4, abs=1e-5)
