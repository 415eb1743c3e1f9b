"""Distributions over a finite set of values."""

import pytest
import torch
from scipy import stats

from lvmbench import Bernoulli, Finite, LatentSpace, Stream, analytic_kl

LOGITS = torch.tensor([[0.5, -1.0, 0.0, 1.0], [0.0, 0.0, 2.0, -2.0]], dtype=torch.float64)
VALUES = LatentSpace((2,), "binary").values(LOGITS)


def test_mass_is_that_of_its_logits_and_nothing_elsewhere():
    p = Finite(VALUES, LOGITS)
    torch.testing.assert_close(p.log_prob(VALUES.unsqueeze(1)), LOGITS.log_softmax(-1).T)
    assert (p.log_prob(torch.full((2, 2), 0.5).double()) == -torch.inf).all()


@pytest.mark.statistical("counts of 10,000 draws with the mass", "chi-squared of the counts")
def test_draws_have_its_mass(chance):
    p = Finite(VALUES, LOGITS)
    z, log_prob = p.sample_and_log_prob(Stream.seeded(0, dtype=torch.float64), 10_000)
    torch.testing.assert_close(p.log_prob(z), log_prob)
    counts = (z.unsqueeze(2) == VALUES).all(-1).sum(0)
    chance.likely(*stats.chisquare(counts, 10_000 * LOGITS.softmax(-1), axis=1).pvalue)


def test_mean_and_kl_are_sums_over_its_values():
    q, p = Finite(VALUES, LOGITS), Bernoulli(torch.tensor([0.3, -0.7]).double())
    mass = LOGITS.softmax(-1)
    torch.testing.assert_close(q.mean, mass @ VALUES)
    torch.testing.assert_close(analytic_kl(q, p), (mass * (mass.log() - p.log_prob(VALUES))).sum(-1))
