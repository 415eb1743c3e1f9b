"""Distributions over a finite set of values."""

import torch
from scipy import stats

from lvmbench import Bernoulli, Finite, LatentSpace, Stream, analytic_kl

LOGITS = torch.tensor([[0.5, -1.0, 0.0, 1.0], [0.0, 0.0, 2.0, -2.0]], dtype=torch.float64)
VALUES = LatentSpace((2,), "binary").values(LOGITS)


def test_mass_is_that_of_its_logits_and_nothing_elsewhere():
    p = Finite(VALUES, LOGITS)
    torch.testing.assert_close(p.log_prob(VALUES.unsqueeze(1)), LOGITS.log_softmax(-1).T)
    assert (p.log_prob(torch.full((2, 2), 0.5).double()) == -torch.inf).all()


def test_draws_have_its_mass():
    """Chi-square of 10,000 draws for each of 2 distributions; false-alarm rate 1e-6 each."""
    p = Finite(VALUES, LOGITS)
    z, log_prob = p.sample_and_log_prob(Stream.seeded(0, dtype=torch.float64), 10_000)
    torch.testing.assert_close(p.log_prob(z), log_prob)
    for draws, mass in zip(z.unbind(1), LOGITS.softmax(-1), strict=True):
        counts = (draws.unsqueeze(1) == VALUES).all(-1).sum(0)
        assert stats.chisquare(counts, 10_000 * mass).pvalue > 1e-6


def test_mean_and_kl_are_sums_over_its_values():
    q, p = Finite(VALUES, LOGITS), Bernoulli(torch.tensor([0.3, -0.7]).double())
    mass = LOGITS.softmax(-1)
    torch.testing.assert_close(q.mean, mass @ VALUES)
    torch.testing.assert_close(analytic_kl(q, p), (mass * (mass.log() - p.log_prob(VALUES))).sum(-1))
