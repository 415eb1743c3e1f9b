"""Each baseline against a known truth, and on the measure of the decoders that it stands beside."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import trapezoid
from scipy.special import logsumexp
from sklearn.mixture import GaussianMixture

from lvmbench import Bernoulli, Data, DiagonalNormal, Refusal, Split
from lvmbench.baselines.chow_liu import ChowLiu
from lvmbench.baselines.fitting import BASELINES, applicable, measured, published
from lvmbench.baselines.gaussian import SHRINKAGE, FullGaussian
from lvmbench.baselines.gaussian_mixture import MixtureOfGaussians
from lvmbench.baselines.kernel_density import KernelEstimate
from lvmbench.baselines.marginals import Marginals
from lvmbench.baselines.normal_marginals import NormalMarginals
from lvmbench.baselines.rows import rows_of
from lvmbench.baselines.truth import Truth
from lvmbench.data.published import Published
from lvmbench.dataset import DataSummary
from lvmbench.distributions import CategoricalLevels

NONE = np.empty((0, 1))


def binary(columns):
    return DataSummary((columns,), "binary", torch.zeros(columns), levels=2)


def real(columns=1):
    return DataSummary((columns,), "real", torch.zeros(columns))


def every(columns):
    """All binary vectors."""
    return np.array(list(itertools.product([0.0, 1.0], repeat=columns)))


def data(x, support="real", **fields):
    """The same rows in every split but for what training has more."""
    splits = {name: Split(torch.as_tensor(x)) for name in ("train", "validation", "test")}
    return Data(splits, support, "none", **fields)


# Independent marginals


def test_marginals_are_shares_with_one_added():
    marginals = Marginals(DataSummary((2,), "count", torch.zeros(2), levels=3))
    marginals.fit(np.array([[0.0, 2.0], [0.0, 2.0], [1.0, 2.0]]), NONE)
    assert np.exp(marginals.log_prob(np.array([[0.0, 2.0]]))) == pytest.approx(3 / 6 * 4 / 6)
    total = sum(
        np.exp(marginals.log_prob(np.array([pair]))) for pair in itertools.product(range(3), repeat=2)
    )
    assert total == pytest.approx(1)


@pytest.mark.parametrize(("support", "scale"), [("binary", 1), ("count", 1), ("unit", 1 / 16)])
def test_marginals_are_on_the_measure_of_decoders_of_levels(support, scale):
    levels = {"binary": 2, "count": 5, "unit": 17}[support]
    codes = np.random.default_rng(0).integers(0, levels, size=(40, 3))
    summary = DataSummary((3,), support, torch.zeros(3), levels=levels)
    marginals = Marginals(summary)
    marginals.fit(codes * scale, NONE)
    law = CategoricalLevels(torch.tensor(marginals.log_p).movedim(0, -1), summary.step)
    expected = law.log_prob(torch.tensor(codes * scale))
    np.testing.assert_allclose(marginals.log_prob(codes * scale), expected, rtol=1e-12)
    if support == "binary":
        p = torch.tensor((codes.sum(0) + 1) / (len(codes) + 2))
        bernoulli = Bernoulli(p.logit()).log_prob(torch.tensor(codes, dtype=torch.double))
        np.testing.assert_allclose(marginals.log_prob(codes * 1.0), bernoulli, rtol=1e-12)


def test_normal_marginals_are_on_the_measure_of_gaussian_decoders():
    x = np.random.default_rng(0).normal(2.0, 3.0, size=(50, 4))
    marginals = NormalMarginals(real(4))
    marginals.fit(x, NONE)
    law = DiagonalNormal(torch.tensor(x.mean(0)), torch.tensor(x.std(0)).log())
    np.testing.assert_allclose(marginals.log_prob(x), law.log_prob(torch.tensor(x)), rtol=1e-12)
    np.testing.assert_allclose(marginals.log_prob(x), stats.norm(x.mean(0), x.std(0)).logpdf(x).sum(1))


@pytest.mark.parametrize("kind", [Marginals, NormalMarginals])
def test_marginals_leave_out_what_was_not_observed(kind):
    x = np.array([[0.0, 1.0], [1.0, np.nan], [1.0, 0.0], [np.nan, 0.0]])
    pair, first = kind(binary(2)), kind(binary(1))
    pair.fit(x, NONE)
    first.fit(x[~np.isnan(x[:, :1]).any(1), :1], NONE)
    assert pair.log_prob(np.array([[1.0, np.nan]])) == pytest.approx(first.log_prob(np.array([[1.0]])))


# Chow-Liu trees

TREE = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1}
"""The parent of each node of a tree of six."""


def tree_probabilities(x, copies=0.85):
    """The probability of rows where each value equals its parent's, or differs, with a fixed chance."""
    p = np.full(len(x), 0.5)
    for child, parent in TREE.items():
        p *= np.where(x[:, child] == x[:, parent], copies, 1 - copies)
    return p


@pytest.fixture(scope="module")
def of_a_tree():
    """Rows whose frequencies are, to a thousandth, the probabilities of a tree."""
    x = every(6)
    return np.repeat(x, np.rint(tree_probabilities(x) * 100_000).astype(int), axis=0)


def fitted_tree(x):
    tree = ChowLiu(binary(x.shape[1]))
    tree.fit(x, NONE)
    return tree


def edges(tree):
    return {frozenset((child, int(parent))) for child, parent in enumerate(tree.parent) if parent >= 0}


def test_a_chow_liu_tree_finds_the_true_tree_and_its_probabilities(of_a_tree):
    tree, x = fitted_tree(of_a_tree), every(6)
    assert edges(tree) == {frozenset(edge) for edge in TREE.items()}
    np.testing.assert_allclose(np.exp(tree.log_prob(x)), tree_probabilities(x), rtol=2e-3)
    assert np.exp(tree.log_prob(x)).sum() == pytest.approx(1, abs=1e-12)


def test_no_other_tree_makes_the_training_data_more_likely():
    """All trees of five values, by their codes of Pruefer, under the same counts."""
    rng = np.random.default_rng(3)
    x = (rng.normal(size=(80, 5)) @ rng.normal(size=(5, 5)) > 0).astype(float)
    own, best = fitted_tree(x), -math.inf
    for code in itertools.product(range(5), repeat=3):
        best = max(best, likelihood(x, from_pruefer(code)))
    assert likelihood(x, [tuple(edge) for edge in edges(own)]) == pytest.approx(best)
    assert own.log_prob(x).sum() == pytest.approx(best)


def from_pruefer(code):
    """The edges of the tree that a code of Pruefer stands for."""
    degree = [1 + code.count(node) for node in range(len(code) + 2)]
    for node in code:
        leaf = degree.index(1)
        yield leaf, node
        degree[leaf] -= 1
        degree[node] -= 1
    yield tuple(node for node, left in enumerate(degree) if left == 1)


def likelihood(x, tree):
    """The log-likelihood of a tree, written out: a value's share by itself, and of each edge the ratio of
    the pair's to those of its ends.
    """

    def shares(*columns):
        """How many rows have what each row has in these columns, as a share."""
        same = (x[:, None, columns] == x[:, columns]).all(2).sum(1)
        return (same + 2 / 2 ** len(columns)) / (len(x) + 2)

    alone = [shares(d) for d in range(x.shape[1])]
    total = np.log(alone).sum()
    return total + sum(np.log(shares(i, j) / alone[i] / alone[j]).sum() for i, j in tree)


def test_what_was_not_observed_is_summed_over(of_a_tree):
    tree, x = fitted_tree(of_a_tree[::37]), every(6)
    p = np.exp(tree.log_prob(x))
    for hidden in [(0,), (2,), (5, 2), (0, 1, 3), tuple(range(6))]:
        seen = x.copy()
        seen[:, hidden] = np.nan
        rest = [d for d in range(6) if d not in hidden]
        summed = [p[(x[:, rest] == row[rest]).all(1)].sum() for row in x]
        np.testing.assert_allclose(np.exp(tree.log_prob(seen)), summed, rtol=1e-12)


def test_each_value_by_itself_has_the_probability_that_the_marginals_give_it():
    x = np.random.default_rng(0).integers(0, 2, size=(30, 4)).astype(float)
    tree, marginals = fitted_tree(x), Marginals(binary(4))
    marginals.fit(x, NONE)
    alone = np.full((4, 4), np.nan)
    np.fill_diagonal(alone, 1.0)
    np.testing.assert_allclose(tree.log_prob(alone), marginals.log_prob(alone), rtol=1e-12)


# Gaussians, mixtures and kernels


def test_a_full_gaussian_is_scipys():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 4)) @ rng.normal(size=(4, 4)) + 3.0
    gaussian = FullGaussian(real(4))
    gaussian.fit(x[:400], x[400:])
    s, weight = np.cov(x[:400].T, bias=True), gaussian.shrinkage
    covariances = {w: (1 - w) * s + w * np.diag(np.diag(s)) for w in SHRINKAGE}
    oracle = {w: stats.multivariate_normal(x[:400].mean(0), c) for w, c in covariances.items()}
    np.testing.assert_allclose(gaussian.log_prob(x), oracle[weight].logpdf(x), rtol=1e-9)
    assert weight == max(SHRINKAGE, key=lambda w: oracle[w].logpdf(x[400:]).mean())


def test_a_gaussian_of_fewer_rows_than_columns_is_shrunk():
    x = np.random.default_rng(0).normal(size=(40, 30))
    gaussian = FullGaussian(real(30))
    gaussian.fit(x[:20], x[20:])
    assert gaussian.shrinkage > 0
    assert np.isfinite(gaussian.log_prob(x)).all()


@pytest.mark.parametrize("far", [0.0, 30.0])
def test_a_mixture_is_that_of_its_parameters_brought_back_to_the_data(far):
    rng = np.random.default_rng(0)
    both = [rng.normal(-far, 1, size=(200, 2)), rng.normal(far, [5, 3], size=(200, 2))]
    x = np.concatenate(both)[rng.permutation(400)]
    mixture = MixtureOfGaussians(real(2))
    mixture.fit(x[:300], x[300:])
    model, scale = mixture.model, np.diag(x[:300].std(0))
    spread = model.covariances_ if model.covariance_type == "full" else map(np.diag, model.covariances_)
    parts = [
        np.log(weight)
        + stats.multivariate_normal(x[:300].mean(0) + scale @ mean, scale @ c @ scale).logpdf(x)
        for weight, mean, c in zip(model.weights_, model.means_, spread, strict=True)
    ]
    np.testing.assert_allclose(mixture.log_prob(x), logsumexp(parts, axis=0), rtol=1e-9)
    z = (x - x[:300].mean(0)) @ np.linalg.inv(scale)
    alone = GaussianMixture(1, random_state=0).fit(z[:300]).score(z[300:]) - np.log(np.diag(scale)).sum()
    assert mixture.log_prob(x[300:]).mean() >= alone - 1e-9  # one of those that it was chosen from


@pytest.mark.parametrize("kind", [MixtureOfGaussians, KernelEstimate, FullGaussian, NormalMarginals])
def test_densities_integrate_to_one(kind):
    x = np.random.default_rng(0).gamma(2.0, 7.0, size=(300, 1))
    model = kind(real())
    model.fit(x[:200], x[200:])
    grid = np.linspace(-200, 300, 200_001)
    assert trapezoid(np.exp(model.log_prob(grid[:, None])), grid) == pytest.approx(1, abs=1e-6)


def test_a_kernel_estimate_is_scipys():
    x = np.random.default_rng(0).normal(5.0, 4.0, size=(300, 1))
    estimate = KernelEstimate(real())
    estimate.fit(x[:200], x[200:])
    factor = estimate.model.bandwidth * x[:200].std() / x[:200].std(ddof=1)
    oracle = stats.gaussian_kde(x[:200, 0], factor).logpdf(x[200:, 0])
    np.testing.assert_allclose(estimate.log_prob(x[200:]), oracle, rtol=1e-6)


def test_kernels_are_refused_where_rows_repeat():
    x = np.random.default_rng(0).normal(size=(50, 1))
    with pytest.raises(Refusal, match="rows of validation repeat those of training"):
        KernelEstimate(real()).fit(x, x)


# Data sets


def test_steps_of_sequences_are_independent_and_end_where_the_sequence_does():
    gap = math.nan
    x = torch.tensor([[[0.0, 1.0], [1.0, 1.0], [gap, gap]], [[1.0, 0.0], [gap, gap], [gap, gap]]])
    splits = {name: Split(x, missing=gap) for name in ("train", "validation", "test")}
    sequences = Data(splits, "binary", "none", sequence=True)
    rows = rows_of(sequences, "test", np.float64)
    assert (rows.values.tolist(), rows.owner.tolist()) == ([[0, 1], [1, 1], [1, 0]], [0, 0, 1])
    model = Marginals(sequences.summary.frame)
    found = model.log_densities(sequences, "test")
    np.testing.assert_allclose(found, [math.log(0.4 * 0.6 * 0.6 * 0.6), math.log(0.6 * 0.4)])


def test_data_that_are_drawn_anew_are_fitted_by_a_visit():
    grey = torch.full((2000, 1), 0.25)
    splits = {"train": Split(grey), "validation": Split(grey.round()), "test": Split(grey.round())}

    def visit(x, noise):
        return (noise.uniform(x.shape) < x).to(x.dtype)

    drawn = Data(splits, "binary", "none", visit=visit)
    rows = rows_of(drawn, "train", np.float32)
    assert set(np.unique(rows.values)) == {0.0, 1.0}
    assert (rows_of(drawn, "train", np.float32).values == rows.values).all()


def test_the_truth_is_the_datas_own():
    x = torch.linspace(-1, 1, 9).unsqueeze(1)
    law = stats.norm()
    known = data(x, log_prob=lambda x: torch.tensor(law.logpdf(x.numpy()).sum(1)))
    row = measured(Truth(known.summary), known)
    assert row["value"] == pytest.approx(law.logpdf(x.numpy()).mean())
    assert row["stderr"] == pytest.approx(law.logpdf(x.numpy()).std(ddof=1) / 3)


def test_which_baselines_data_have():
    x = torch.linspace(0, 1, 12).reshape(6, 2)
    names = {
        support: {(type(b), b.measure) for b in applicable(data(x.round(), support))}
        for support in ("binary", "real")
    }
    masses, densities = (
        ("probability mass", {Marginals, ChowLiu}),
        ("density", {*BASELINES} - {Marginals, ChowLiu, Truth}),
    )
    assert names["binary"] == {(kind, masses[0]) for kind in masses[1]}
    assert names["real"] == {(kind, densities[0]) for kind in densities[1]}


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        ([[0.0, 1.0], [0.5, 1.0]], "1 column is constant in training"),
        ([[0.0, 1.0], [0.5, math.nan], [1.0, 2.0]], "not all values were observed"),
    ],
)
def test_what_is_not_comparable_is_refused(x, reason):
    given = {name: Split(torch.tensor(x), missing=math.nan) for name in ("train", "validation", "test")}
    with pytest.raises(Refusal, match=reason):
        measured(FullGaussian(real(2)), Data(given, "real", "none"))


def test_published_figures_are_recorded_with_their_source():
    known = data(torch.eye(3), "binary", published=(Published(-1.5, "a model", "A & B 2020", "of a note"),))
    (row,) = published(known)
    assert (row["value"], row["choice"], row["source"], row["reason"]) == (
        -1.5,
        "a model",
        "A & B 2020",
        "of a note",
    )
