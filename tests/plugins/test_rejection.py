"""Rejection from a posterior: its bound by quadrature and by enumeration, its gradients, and its limits."""

import math

import pytest
import torch
from torch import nn

import lvmbench
from lvmbench import (
    Bernoulli,
    DataSummary,
    DiagonalNormal,
    LatentSpace,
    LatentVariableModel,
    Posterior,
    Refusal,
    Resampled,
    Stream,
    Terms,
    UserError,
)
from lvmbench.combinations.given import combine
from lvmbench.combinations.parts import build
from lvmbench.combinations.requirements import refusal
from lvmbench.distributions import traits_of
from lvmbench.distributions.resampled import threshold
from lvmbench.registry.loader import load_catalogue
from lvmbench_plugins.estimators.covariance import Covariance
from lvmbench_plugins.estimators.score import Score
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.objectives.iwae import Iwae

CATALOGUE = load_catalogue()
F64 = torch.float64
DATA, SPACE = DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,))
SHARES = (1.0, 0.9, 0.7, 0.5, 0.3, 0.1, 0.01, 1e-4)
"""From all that is proposed to next to nothing."""


class Rejected(Posterior):
    """Proposals of another posterior."""

    provides = frozenset({"reads_model"})

    def __init__(self, base, proposals, acceptance):
        super().__init__()
        self.base, self.proposals, self.acceptance = base, proposals, acceptance
        self.distribution = Resampled[base.distribution]

    def forward(self, x, model):
        base = self.base(x, model)
        return Resampled(base, lambda z: model.log_joint(x, z), self.proposals, self.acceptance)


def rejected(line, proposals, acceptance):
    base = line.model.posterior
    return LatentVariableModel(line.model.prior, Rejected(base, proposals, acceptance), line.model.decoder)


# --- a conjugate normal: p(z) = N(0, 1), p(x|z) = N(w z, 1), q(z) = N(m, s^2), by quadrature ---


def log_w_of(line):
    """log p(x, z) - log q(z) as a function of z = m + s e, for a normal e."""
    (m, log_s), w = line.model.posterior.weights, line.model.decoder.weight

    def log_w(e):
        z = m + log_s.exp() * e
        return -0.5 * (z**2 + (line.x - w * z) ** 2 - e**2) - 0.5 * math.log(2 * math.pi) + log_s

    return log_w


def nodes(count=20_001, end=9.0):
    """Values of a standard normal e and their weights, for integrals that are smooth."""
    e = torch.linspace(-end, end, count, dtype=F64)
    weights = (-0.5 * e**2).exp()
    return e, weights / weights.sum()


def r_elbo(log_w, weights, t):
    """E_r[log w - log a] + log Z_R for proposals of these weights: the closed form of the paper."""
    a = (log_w + t).sigmoid()
    z = (weights * a).sum()
    return (weights * a / z * (log_w - a.log())).sum() + z.log()


def at_share(log_w, weights, share):
    """The T at which so large a share of q is accepted, by bisection."""
    low, high = torch.tensor(-1e4).double(), torch.tensor(1e4).double()
    for _ in range(200):
        t = (low + high) / 2
        accepted = (weights * (log_w + t).sigmoid()).sum() > share
        low, high = (low, t) if accepted else (t, high)
    return t


def log_evidence(line):
    variance = 1 + line.model.decoder.weight.item() ** 2
    return -0.5 * (math.log(2 * math.pi * variance) + line.x**2 / variance)


@torch.no_grad()
def test_the_r_elbo_rises_from_the_elbo_to_log_p(line):
    """As the threshold falls; against the closed forms of both ends."""
    e, weights = nodes()
    log_w = log_w_of(line)(e)
    found = torch.stack([r_elbo(log_w, weights, t) for t in torch.linspace(30, -30, 61).double()])
    assert (found.diff() > -1e-12).all()  # rounding, at the very ends
    assert (found[20:32].diff() > 0).all()
    elbo = (weights * log_w).sum()
    assert elbo < log_evidence(line) - 0.4
    torch.testing.assert_close(found[[0, -1]], torch.tensor([elbo, log_evidence(line)]), rtol=0, atol=1e-3)


def equally_likely(count):
    """Normal numbers each of which stands for as much of the normal as the others."""
    share = (torch.arange(count, dtype=F64) + 0.5) / count
    return torch.special.ndtri(share)


def on_nodes(line, share, count=100_000):
    """The ELBO of what is chosen where the proposals are a quadrature of q."""
    log_w = log_w_of(line)(equally_likely(count))
    q = Resampled(DiagonalNormal(torch.zeros(1, 1), torch.zeros(1, 1)), log_w_of(line), count, share)
    log_shares = q.log_shares(log_w)
    return (log_shares.exp() * (log_w - log_shares - math.log(count))).sum()


@pytest.mark.parametrize("share", SHARES)
@torch.no_grad()
def test_the_bound_of_many_proposals_is_the_r_elbo(line, share):
    e, weights = nodes()
    log_w = log_w_of(line)(e)
    due = (weights * log_w).sum() if share == 1 else r_elbo(log_w, weights, at_share(log_w, weights, share))
    torch.testing.assert_close(on_nodes(line, share), due, rtol=0, atol=1e-3)


@torch.no_grad()
def test_the_bound_rises_as_less_is_accepted(line):
    found = torch.stack([on_nodes(line, share) for share in SHARES])
    assert (found.diff() > 0).all()
    assert abs(found[-1].item() - log_evidence(line)) < 1e-3


def gradient_of(value, line):
    weights = [line.model.posterior.weights, line.model.decoder.weight]
    found = torch.autograd.grad(value, weights, retain_graph=True, materialize_grads=True)
    return torch.cat([part.reshape(-1) for part in found])


@pytest.mark.parametrize("share", [0.7, 0.3, 0.05])
def test_the_gradient_of_many_proposals_is_that_of_the_r_elbo(line, share):
    """By autograd of the closed form, with the threshold moving as the share of what is accepted stays."""
    e, weights = nodes()
    log_w = log_w_of(line)(e)
    t = at_share(log_w.detach(), weights, share)
    v = weights * (log_w + t).sigmoid() * (-log_w - t).sigmoid()
    moving = t - ((v / v.sum()).detach() * (log_w - log_w.detach())).sum()
    due = gradient_of(r_elbo(log_w, weights, moving), line)
    torch.testing.assert_close(gradient_of(on_nodes(line, share), line), due, rtol=0, atol=2e-3)


@pytest.mark.parametrize("t", [2.0, 0.0, -5.0])
def test_the_papers_covariances_are_the_gradient_with_the_threshold_held(line, t):
    """grad_phi = Cov_r(A, a grad log q), grad_theta = E_r[grad log p] + Cov_r(A, (1 - a) grad log p)."""
    e, weights = nodes()
    log_w = log_w_of(line)(e)
    due = gradient_of(r_elbo(log_w, weights, t), line)
    (m, log_s), w = line.model.posterior.weights.detach(), line.model.decoder.weight.detach()
    z, a = m + log_s.exp() * e, (log_w.detach() + t).sigmoid()
    r, big_a = weights * a / (weights * a).sum(), log_w.detach() - a.log()

    def covariance(other):
        return (r * (big_a - (r * big_a).sum()) * other).sum()

    in_log_q = e / log_s.exp(), e**2 - 1  # of log q at a z held fixed, in m and log s
    in_log_p = (line.x - w * z) * z
    found = [covariance(a * score) for score in in_log_q]
    found.append((r * in_log_p).sum() + covariance((1 - a) * in_log_p))
    torch.testing.assert_close(torch.stack(found), due, rtol=0, atol=1e-8)


# --- two bits, over which everything is a sum ---

X = torch.tensor([[0.7, -1.2]], dtype=F64)


class Bits(Posterior):
    """q(z|x) of two bits, whose logits are weights."""

    distribution = Bernoulli

    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([0.4, -0.9], dtype=F64))

    def forward(self, x, model):
        return Bernoulli(self.logits.expand(len(x), 2))


def bits(proposals, acceptance):
    data = DataSummary((2,), "real", torch.zeros(2))
    prior = CATALOGUE.build("prior", "bernoulli[learned=true]", data, 2)
    decoder = CATALOGUE.build("decoder", "linear_gaussian[noise=0.7]", data, prior.space)
    model = LatentVariableModel(prior, Rejected(Bits(), proposals, acceptance), decoder).double()
    noise = Stream.seeded(0, "bits", dtype=F64)
    with torch.no_grad():
        for weight in [*prior.parameters(), *decoder.parameters()]:
            weight.add_(noise.normal(weight.shape))
    return model


def pools(proposals):
    """Every set of proposals of two bits, ``(S, N, 2)``."""
    values = LatentSpace((2,), "binary").values(X)
    return values[torch.cartesian_prod(*[torch.arange(4)] * proposals)]


def exact(model, beta=1.0):
    """The ELBO of what is chosen, by the definition of its law: a sum over all sets and choices."""
    q, total = model.q(X), 0.0
    for pool in pools(q.proposals):
        log_q = q.base.log_prob(pool.unsqueeze(1)).squeeze(1)
        log_lik, log_prior = model.log_likelihood(X, pool.unsqueeze(1)).squeeze(1), model.p().log_prob(pool)
        log_w = log_lik + log_prior - log_q
        log_shares = q.log_shares(log_w)
        at = log_lik + beta * (log_prior - log_q - log_shares - math.log(q.proposals))
        total = total + log_q.sum().exp() * (log_shares.exp() * at).sum()
    return total


def flat_gradient(value, model):
    found = torch.autograd.grad(value, list(model.parameters()), materialize_grads=True)
    return torch.cat([part.flatten() for part in found])


class Given(Bernoulli):
    """Bits whose samples are given."""

    def __init__(self, logits, samples):
        super().__init__(logits)
        self.samples = samples.unsqueeze(1)

    def sample_and_log_prob(self, noise, samples):
        return self.samples, self.log_prob(self.samples)


@pytest.mark.parametrize("weight", [1.0, 0.3])
@pytest.mark.parametrize(("proposals", "acceptance"), [(2, 0.6), (3, 0.2), (3, 1.0)])
def test_of_bits_bound_and_gradient_are_unbiased(proposals, acceptance, weight, monkeypatch):
    """Exactly: the mean over every set of proposals is the bound's own figure and gradient."""
    model = bits(proposals, acceptance)
    due = exact(model, weight)
    bound, gradient, base = 0.0, 0.0, model.posterior.base
    for pool in pools(proposals):
        chance = base(X, model).log_prob(pool.unsqueeze(1)).sum().exp().item()
        with monkeypatch.context() as patched:
            patched.setattr(
                base, "forward", lambda x, model, pool=pool: Given(base.logits.expand(1, 2), pool)
            )
            found = Covariance()(Elbo(), model, X, Stream.seeded(0, dtype=F64), weight)
        bound += chance * found.bound.item()
        gradient = gradient + chance * flat_gradient(found.surrogate.sum(), model)
    torch.testing.assert_close(bound, due.item())
    torch.testing.assert_close(gradient, flat_gradient(due, model))


@pytest.mark.statistical("the ELBO of draws with the sum over all", "of the 40,000 draws", comparisons=2)
@torch.no_grad()
def test_of_bits_draws_and_densities_are_of_one_law(chance):
    """The weights average to p(x); the log weights to the ELBO of the law."""
    model = bits(3, 0.3)
    noise = Stream.seeded(chance.seed, "draws", dtype=F64)
    log_w = Terms(model, X, noise, 40_000).log_w()
    chance.agrees(log_w, exact(model).item())
    chance.agrees((log_w - model.exact_log_prob(X)).exp(), 1.0)


@pytest.mark.statistical("estimated densities with the chance of each value", "of the draws", comparisons=2)
@torch.no_grad()
def test_of_bits_the_density_is_estimated_without_bias(chance):
    model = bits(3, 0.3)
    q, values = model.q(X), LatentSpace((2,), "binary").values(X)
    due = torch.zeros(4, dtype=F64)
    for index, pool in zip(torch.cartesian_prod(*[torch.arange(4)] * 3), pools(3), strict=True):
        log_q = q.base.log_prob(pool.unsqueeze(1)).squeeze(1)
        shares = q.log_shares(q.log_target(pool.unsqueeze(1)).squeeze(1) - log_q).exp()
        due.index_add_(0, index, log_q.sum().exp() * shares)
    torch.testing.assert_close(due.sum(), torch.ones((), dtype=F64))
    noise = Stream.seeded(chance.seed, "estimates", dtype=F64)
    every = values.expand(20_000, 4, 2).unsqueeze(2)  # (20000, 4, B = 1, 2)
    chance.agrees(q.estimate_log_prob(every, noise).exp().squeeze(-1), due)
    drawn = (q.sample(noise, 20_000).squeeze(1) @ torch.tensor([1.0, 2.0]).double()).long()
    chance.agrees(nn.functional.one_hot(drawn, 4).double(), due)


# --- limits ---


def test_when_all_is_accepted_it_is_the_base(line):
    """The gradient is that of the score with the others as baseline, less a mean of scores: noise."""
    model, x = rejected(line, 5, 1.0), torch.tensor([[line.x]], dtype=F64)
    found = Covariance()(Elbo(), model, x, Stream.seeded(0, dtype=F64))
    score = Score(DataSummary((1,), "real", torch.zeros(1)), LatentSpace((1,)), baseline="leave_one_out")
    plain = score(Elbo(samples=5), line.model, x, Stream.seeded(0, dtype=F64))
    torch.testing.assert_close(found.bound, plain.bound)
    q = line.model.q(x)
    noise = q.log_prob(q.sample(Stream.seeded(0, dtype=F64), 5).detach()).mean()
    torch.testing.assert_close(
        gradient_of(found.surrogate.sum(), line), gradient_of(plain.surrogate.sum() + noise, line)
    )


def test_when_next_to_nothing_is_accepted_it_is_importance_weighted(line):
    model, x = rejected(line, 5, 1e-9), torch.tensor([[line.x]], dtype=F64)
    found = Covariance(gradient="path")(Elbo(), model, x, Stream.seeded(0, dtype=F64))
    due = Iwae(samples=5)(Terms(line.model, x, Stream.seeded(0, dtype=F64), 5))
    torch.testing.assert_close(found.bound, due)
    torch.testing.assert_close(gradient_of(found.surrogate.sum(), line), gradient_of(due.sum(), line))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("spread", [0.0, 1.0, 100.0, 3000.0])
@pytest.mark.parametrize("share", [1e-6, 0.1, 0.5, 0.99])
def test_the_share_is_accepted_however_far_apart_the_weights_are(share, spread, dtype):
    log_w = spread * torch.randn(8, 50, generator=torch.Generator().manual_seed(0)).to(dtype) - 2 * spread
    log_w.requires_grad_()
    t = threshold(log_w, share)
    due = torch.full((50,), share, dtype=dtype)
    torch.testing.assert_close((log_w + t).sigmoid().mean(0), due, rtol=5e-3, atol=1e-6)
    (slope,) = torch.autograd.grad(t.sum(), log_w)
    torch.testing.assert_close(slope.sum(0), -torch.ones(50, dtype=dtype))
    q = Resampled(DiagonalNormal(torch.zeros(1, 1), torch.zeros(1, 1)), lambda z: z, 8, share)
    shares = q.log_shares(log_w)
    (slope,) = torch.autograd.grad((shares.exp() * log_w).sum(), log_w)
    assert shares.logsumexp(0).abs().max() < 1e-5
    assert slope.isfinite().all()


# --- what it goes together with ---

GIVEN = {
    "dataset": "digits",
    "prior": "standard_normal",
    "posterior": "rejection",
    "decoder": "bernoulli",
}


def of(objective="elbo", estimator=None, **parts):
    catalogue, combination = combine(CATALOGUE, {**GIVEN, **parts, "objective": objective}, estimator, 4)
    data = catalogue.build("dataset", combination["dataset"]).load()
    return refusal(data, build(catalogue, combination, data, seed=0), combination), combination


BITS = {"prior": "belief_network[layers=3 2]", "posterior": "rejection[base=belief_network]"}


@pytest.mark.parametrize(
    ("parts", "lacking"),
    [
        ({}, None),
        (BITS, None),
        ({"prior": "bernoulli", "posterior": "rejection[base=bernoulli]"}, None),
        ({"prior": "hierarchy", "posterior": "rejection[base=bottom_up]"}, None),
        ({"prior": "bernoulli"}, "posterior 'rejection' requires prior.real"),
        (
            {"posterior": "rejection[base=bernoulli]"},
            "posterior 'rejection[base=bernoulli]' requires prior.binary",
        ),
        ({"estimator": "score"}, "estimator 'score' requires posterior.density"),
        (
            {"posterior": "gaussian", "estimator": "covariance"},
            "estimator 'covariance' requires posterior.prop",
        ),
        (
            {"objective": "iwae", "estimator": "covariance"},
            "estimator 'covariance' requires objective.additive",
        ),
        (
            {**BITS, "estimator": "covariance[gradient=path]"},
            "estimator 'covariance[gradient=path]' requires posterior.moving_proposals",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(parts, lacking):
    reason, _ = of(**parts)
    assert reason is None if lacking is None else reason.startswith(lacking)


@pytest.mark.parametrize(("parts", "due"), [({}, "covariance[gradient=path]"), (BITS, "covariance")])
def test_its_gradient_is_found_by_itself(parts, due):
    assert str(of(**parts)[1]["estimator"]) == due


@pytest.mark.parametrize(
    ("option", "rule"),
    [
        ("acceptance=0", "'acceptance' should be greater than 0, got 0"),
        ("acceptance=1.5", "'acceptance' should be less than or equal to 1, got 1.5"),
        ("proposals=0", "'proposals' should be greater than or equal to 2, got 0"),
        ("proposals=1", "'proposals' should be greater than or equal to 2, got 1"),
    ],
)
def test_what_makes_no_sense_is_refused(option, rule):
    with pytest.raises(UserError, match=rule):
        of(posterior=f"rejection[{option}]")


@pytest.mark.parametrize(
    ("base", "name"), [("planar", "Planar"), ("auxiliary", "Auxiliary"), ("exact", "Exact")]
)
def test_a_base_has_a_density(base, name):
    with pytest.raises(Refusal, match=f"proposals by their density, .* that of {name} is not"):
        CATALOGUE.build("posterior", f"rejection[base={base}]", DATA, SPACE)


def test_what_the_base_sees_while_it_trains_is_what_it_would_by_itself():
    q = CATALOGUE.build("posterior", "rejection[base=denoising[base=gaussian,scale=0.5]]", DATA, SPACE)
    x = torch.zeros(5, 3)
    assert torch.equal(q.corrupt(x, Stream.seeded(0)), q.base.corrupt(x, Stream.seeded(0)))
    assert not torch.equal(q.corrupt(x, Stream.seeded(0)), x)


def test_it_has_proposals_that_move_where_the_base_does():
    assert traits_of(Resampled[DiagonalNormal]) == {"estimate", "proposals", "moving_proposals"}
    assert traits_of(Resampled[Bernoulli]) == {"estimate", "proposals"}
    assert bits(2, 0.5).q(X).family == Resampled[Bernoulli]


def test_it_is_measured_and_so_is_what_it_accepts():
    fitted = lvmbench.fit(
        data="digits",
        prior="belief_network[layers=3 2]",
        posterior="rejection[base=belief_network[hidden=8],acceptance=0.3]",
        decoder="bernoulli[layers=0]",
        objective="elbo",
        epochs=1,
    )
    found = lvmbench.evaluate(fitted, "acceptance[data=50]", "tightness[samples=20,data=50]")
    value = found.set_index("metric")["value"]
    assert 0.2 < value["proposals_accepted"] < 0.5
    assert 1 < value["effective_proposals"] < 8
    assert set(found.loc[found["metric"] == "gap", "variant"]) == {"upper"}
