"""The pair register: closed-form KL divergences and exact posteriors."""

import itertools

import pytest
import torch

from lvmbench import (
    Bernoulli,
    DiagonalNormal,
    Distribution,
    LowRankNormal,
    LvmbenchError,
    Mixture,
    MultivariateNormal,
    Stream,
    divergence,
    register_kl,
)
from lvmbench.divergence import analytic_kl, draw_kl, exact_posterior, has_kl, posterior_type


def build(family, *batch):
    numbers = torch.randn(2, *batch, 3, dtype=torch.float64) / 2
    if family is MultivariateNormal:
        tril = torch.tril(torch.randn(*batch, 3, 3).double() / 3, -1) + torch.diag_embed(numbers[1].exp())
        return MultivariateNormal(numbers[0], tril)
    if family is LowRankNormal:
        return LowRankNormal(*numbers, torch.randn(*batch, 3, 2).double())
    return DiagonalNormal(*numbers) if family is DiagonalNormal else Bernoulli(numbers[0])


def torch_twin(p):
    if isinstance(p, DiagonalNormal):
        return torch.distributions.MultivariateNormal(p.loc, torch.diag_embed((2 * p.log_scale).exp()))
    if isinstance(p, MultivariateNormal):
        return torch.distributions.MultivariateNormal(p.loc, scale_tril=p.scale_tril)
    if isinstance(p, LowRankNormal):
        return torch.distributions.MultivariateNormal(
            p.loc, torch.diag_embed((2 * p.log_scale).exp()) + p.factor @ p.factor.mT
        )
    return torch.distributions.Independent(torch.distributions.Bernoulli(logits=p.logits), 1)


FAMILIES = (DiagonalNormal, MultivariateNormal, LowRankNormal, Bernoulli)
OWN = [pair for pair in itertools.product(FAMILIES, repeat=2) if has_kl(*pair)]


@pytest.mark.parametrize(("q", "p"), OWN, ids=lambda family: family.__name__)
@pytest.mark.statistical("the closed form with the average log ratio", "of the 20,000 draws")
def test_kl_is_that_of_torch_and_the_average_log_ratio(q, p, chance):
    q, p = build(q, 7), build(p)
    kl = analytic_kl(q, p)
    assert kl.shape == (7,)
    torch.testing.assert_close(
        kl, torch.distributions.kl_divergence(torch_twin(q), torch_twin(p).expand((7,))), rtol=1e-9, atol=1e-9
    )
    z, log_q = q.sample_and_log_prob(Stream.seeded(0, dtype=torch.float64), 20_000)
    chance.agrees(log_q - p.log_prob(z), kl)


@pytest.mark.parametrize("family", [DiagonalNormal, Bernoulli])
def test_kl_of_a_law_with_itself_is_zero(family):
    q = build(family, 7)
    torch.testing.assert_close(analytic_kl(q, q), torch.zeros(7).double())


def test_kl_sums_over_all_event_dimensions():
    q, p = (DiagonalNormal(torch.randn(7, 2, 3), torch.randn(7, 2, 3) / 3, event_dims=2) for _ in range(2))
    flat = [DiagonalNormal(d.loc.flatten(1), d.log_scale.flatten(1)) for d in (q, p)]
    torch.testing.assert_close(analytic_kl(q, p), analytic_kl(*flat))


class Unknown(DiagonalNormal):
    """No formula is registered for it, although there is one for its base."""


def test_pairs_are_matched_by_class_and_not_by_inheritance():
    p = Unknown(torch.zeros(2), torch.zeros(2))
    assert not has_kl(Unknown, DiagonalNormal)
    assert not has_kl(None, DiagonalNormal)
    assert analytic_kl(p, p) is None
    assert posterior_type(Unknown, object) is None
    with pytest.raises(KeyError):
        exact_posterior(p, torch.nn.Identity(), torch.zeros(1, 2))


def test_registered_formula_is_used(monkeypatch):
    monkeypatch.setattr(divergence, "_KL", dict(divergence._KL))

    @register_kl(Unknown, Unknown)
    def formula(q, p):
        return torch.full(q.loc.shape[:-1], 3.0)

    p = Unknown(torch.zeros(2), torch.zeros(2))
    assert has_kl(Unknown, Unknown)
    assert analytic_kl(p, p).item() == 3


def mixture(family):
    components = build(family, 4)
    return Mixture(torch.zeros(4).double(), components)


def test_a_mixture_is_known_with_its_components_and_as_no_other(monkeypatch):
    monkeypatch.setattr(divergence, "_KL", dict(divergence._KL))

    @register_kl(DiagonalNormal, Mixture[DiagonalNormal])
    def formula(q, p):
        return torch.full(q.loc.shape[:-1], 3.0)

    q, p = build(DiagonalNormal, 7), mixture(DiagonalNormal)
    assert has_kl(DiagonalNormal, Mixture[DiagonalNormal])
    assert analytic_kl(q, p).tolist() == [3.0] * 7
    for family in (MultivariateNormal, LowRankNormal, Bernoulli):
        assert not has_kl(DiagonalNormal, Mixture[family])
        assert analytic_kl(q, mixture(family)) is None
    assert (
        analytic_kl(q, Mixture(torch.zeros(1), Mixture(torch.zeros(1, 4), build(DiagonalNormal, 1, 4))))
        is None
    )


def spread(scale):
    """A mixture of four normals over three values, this far apart."""
    loc, log_scale = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Mixture(torch.randn(4).double(), DiagonalNormal(scale * loc, log_scale / 3))


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
@pytest.mark.statistical("terms of draws with log ratios", "of 20,000 draws of either")
def test_the_terms_of_draws_average_to_the_log_ratio_with_less_variance(scale, chance):
    q, p = build(DiagonalNormal, 7), spread(scale)
    noise = Stream.seeded(0, dtype=torch.float64)
    found = draw_kl(q, p, q.sample(noise, 20_000), noise)
    z, log_q = q.sample_and_log_prob(noise, 20_000)
    ratio = log_q - p.log_prob(z)
    assert found.shape == (20_000, 7)
    chance.agrees(found - ratio)
    assert found.var(0).mean() < ratio.var(0).mean()
    assert draw_kl(q, mixture(MultivariateNormal), z, noise) is None


def test_the_terms_of_draws_of_one_component_are_its_divergence():
    q, p = build(DiagonalNormal, 7), build(DiagonalNormal, 1)
    found = draw_kl(q, Mixture(torch.zeros(1).double(), p), q.sample(Stream.seeded(0), 3), None)
    torch.testing.assert_close(found, analytic_kl(q, p).expand(3, 7))


def test_the_terms_of_draws_sum_over_all_event_dimensions():
    q, p = (DiagonalNormal(torch.randn(*n, 2, 3), torch.randn(*n, 2, 3) / 3, 2) for n in ((7,), (4,)))
    flat = [DiagonalNormal(d.loc.flatten(-2), d.log_scale.flatten(-2)) for d in (q, p)]
    z = q.sample(Stream.seeded(0), 5)
    one = draw_kl(q, Mixture(torch.zeros(4), p, 2), z, None)
    torch.testing.assert_close(one, draw_kl(flat[0], Mixture(torch.zeros(4), flat[1]), z.flatten(-2), None))


def test_a_formula_for_mixtures_of_anything_is_refused():
    with pytest.raises(LvmbenchError, match=r"name what is inside, as in Mixture\[DiagonalNormal\]"):
        register_kl(DiagonalNormal, Mixture)


def test_registered_posterior_is_known_by_its_return_annotation(monkeypatch):
    monkeypatch.setattr(divergence, "_POSTERIOR", dict(divergence._POSTERIOR))

    @divergence.register_posterior(Unknown, torch.nn.Identity)
    def formula(p: Unknown, decoder: torch.nn.Identity, x: torch.Tensor) -> Bernoulli:
        return Bernoulli(x)

    assert posterior_type(Unknown, torch.nn.Identity) is Bernoulli
    p = Unknown(torch.zeros(2), torch.zeros(2))
    assert isinstance(exact_posterior(p, torch.nn.Identity(), torch.zeros(1, 2)), Distribution)
