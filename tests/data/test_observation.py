"""What was not observed: NaN in x, which densities leave out and data rules know."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from lvmbench import (
    Bernoulli,
    Categorical,
    Data,
    DataSummary,
    DiagonalNormal,
    InvertibleFlow,
    LowRankNormal,
    Mixture,
    MultivariateNormal,
    Refusal,
    Split,
    UserError,
    encoder,
    observed,
)
from lvmbench.registry.loader import load_catalogue

CATALOGUE = load_catalogue()
NAN = math.nan


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def holed(x, share=0.4, seed=1):
    """x with holes, but for its first value."""
    gaps = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)) < share
    gaps.flatten(1)[:, 0] = False
    return x.masked_fill(gaps, NAN)


def test_values_and_mask():
    x = torch.tensor([[1.0, NAN], [NAN, 2.0]])
    values, mask = observed(x)
    assert values.tolist() == [[1, 0], [0, 2]]
    assert mask.tolist() == [[True, False], [False, True]]
    assert observed(x, torch.tensor([7.0, 8.0]))[0].tolist() == [[1, 8], [7, 2]]


def test_nothing_comes_back_from_what_was_not_observed():
    x = torch.tensor([1.0, NAN], requires_grad=True)
    values, mask = observed(x)
    torch.where(mask, values.square(), 0.0).sum().backward()
    assert x.grad.tolist() == [2, 0]


L = normal(4, 4, seed=2).tril(-1) + torch.diag_embed(normal(4, seed=3).exp())
LOC = normal(4, seed=4)
SCALE = normal(4, seed=5)
FACTOR = normal(4, 2, seed=6)
NORMALS = {
    "diagonal": (DiagonalNormal(LOC, SCALE), torch.diag_embed((2 * SCALE).exp())),
    "full": (MultivariateNormal(LOC, L), L @ L.T),
    "low rank": (LowRankNormal(LOC, SCALE, FACTOR), torch.diag_embed((2 * SCALE).exp()) + FACTOR @ FACTOR.T),
}


@pytest.mark.parametrize("name", NORMALS)
def test_the_density_of_some_values_of_a_normal_is_scipys_of_the_block(name):
    p, covariance = NORMALS[name]
    x = holed(normal(6, 4, seed=7))
    due = []
    for row in x:
        keep = ~row.isnan()
        block = stats.multivariate_normal(LOC[keep].numpy(), covariance[keep][:, keep].numpy())
        due.append(block.logpdf(row[keep].numpy()))
    np.testing.assert_allclose(p.observed_log_prob(x).numpy(), due, rtol=1e-10)
    whole = normal(3, 6, 4, seed=8)  # with leading dimensions
    np.testing.assert_allclose(p.observed_log_prob(whole), p.log_prob(whole), rtol=1e-10)


def test_of_independent_units_it_is_the_sum_over_those_observed():
    logits = normal(2, 3, seed=9)
    x = torch.tensor([[1.0, NAN, 0.0], [NAN, NAN, 1.0]]).double()
    each = Bernoulli(logits, 0).log_prob(torch.tensor([[1.0, 0, 0], [0, 0, 1]]).double())
    due = torch.stack([each[0, 0] + each[0, 2], each[1, 2]])
    torch.testing.assert_close(Bernoulli(logits).observed_log_prob(x), due)
    rows = torch.tensor([[[0.0, 1.0], [NAN, NAN], [1.0, 0.0]]]).double()
    p = Categorical(normal(1, 3, 2, seed=10))
    due = p.logits[0, 0, 1] + p.logits[0, 2, 0]
    torch.testing.assert_close(p.observed_log_prob(rows), due[None])


def test_of_a_mixture_it_is_the_mixture_of_the_components():
    centres = normal(3, 2, seed=11)
    p = Mixture(normal(3, seed=12), DiagonalNormal(centres, torch.zeros(2).double()))
    x = torch.tensor([[0.3, NAN]]).double()
    due = Mixture(p.log_weights, DiagonalNormal(centres[:, :1], torch.zeros(1).double())).log_prob(x[:, :1])
    torch.testing.assert_close(p.observed_log_prob(x), due)


def test_gradients_are_those_of_what_was_observed():
    x = holed(normal(5, 4, seed=13))
    for name, (p, _) in NORMALS.items():
        loc = LOC.clone().requires_grad_()
        p = {"diagonal": DiagonalNormal(loc, SCALE), "full": MultivariateNormal(loc, L)}.get(
            name, LowRankNormal(loc, SCALE, FACTOR)
        )
        p.observed_log_prob(x).sum().backward()
        assert loc.grad.isfinite().all()
        assert loc.grad.any()


def test_who_cannot_tell_it_says_so():
    flow = InvertibleFlow(DiagonalNormal(LOC, SCALE), [], [], (4,))
    with pytest.raises(NotImplementedError, match="who returns it requires dataset.complete"):
        flow.observed_log_prob(normal(2, 4))


SUMMARY = DataSummary((2, 3), "real", torch.arange(6.0).reshape(2, 3), complete=False)


@pytest.mark.parametrize("body", ["mlp", "residual"])
def test_an_encoder_reads_the_training_mean_where_nothing_was_observed(body):
    built = encoder(body, SUMMARY, (2,), hidden=4, layers=1)
    x = normal(5, 2, 3).float()
    gaps = torch.zeros(2, 3, dtype=torch.bool)
    gaps[0, 1] = gaps[1, 2] = True
    torch.testing.assert_close(built(x.masked_fill(gaps, NAN)), built(torch.where(gaps, SUMMARY.mean, x)))


@pytest.mark.parametrize(
    ("body", "shape"), [("mlp", (2, 3)), ("residual", (2, 3)), ("conv", (1, 4, 4)), ("conv", (3, 4, 4))]
)
def test_with_the_mask_it_reads_which_values_were_observed(body, shape):
    data = DataSummary(shape, "real", torch.zeros(shape), complete=False)
    built = encoder(body, data, (2,), hidden=16, layers=1, mask=True)
    x = torch.zeros(1, *shape)
    missing = x.clone()
    missing.flatten(1)[0, 0] = NAN
    assert built(x).shape == (1, 2)
    assert not torch.equal(built(x), built(missing))


def test_of_complete_data_an_encoder_is_the_body_itself():
    data = DataSummary((3,), "real", torch.ones(3))
    names = {
        mask: list(encoder("mlp", data, (2,), hidden=4, layers=1, mask=mask).state_dict()) for mask in (0, 1)
    }
    assert (
        names[0] == names[1] == ["linears.0.weight", "linears.0.bias", "linears.1.weight", "linears.1.bias"]
    )


def parts(x, **fields):
    return {name: Split(x.clone(), **fields) for name in ("train", "validation", "test")}


def test_data_say_what_means_missing_and_summaries_are_of_the_rest():
    x = torch.tensor([[1.0, NAN], [3.0, 4.0], [NAN, 8.0]])
    data = Data(parts(x, missing=NAN), "real", "none")
    assert not data.complete
    assert "complete" not in data.capabilities
    assert data.summary.mean.tolist() == [2, 6]
    assert not data.summary.complete
    assert data.range == (1, 8)


def test_a_small_type_has_a_code_for_missing():
    x = torch.tensor([[0, 255], [255, 51], [102, 0]], dtype=torch.uint8)
    data = Data(parts(x, missing=255, scale=1 / 102), "unit", "none")
    values = data.splits["train"].values
    np.testing.assert_allclose(values, [[0, NAN], [NAN, 0.5], [1, 0]])
    assert not data.complete
    assert data.checksum != Data(parts(x.clamp(max=102), scale=1 / 102), "unit", "none").checksum


def test_data_that_could_miss_something_and_do_not_are_complete():
    data = Data(parts(normal(5, 2), missing=NAN), "real", "none")
    assert data.complete
    assert data.summary.complete


REFUSED = {
    "NaN that is not said to mean anything": (
        {},
        torch.tensor([[1.0, 2.0], [NAN, 1.0]]),
        r"x\[1, 0\] of 'train' is nan; if it was not observed say so with Split\(..., missing=math.nan\)",
    ),
    "a datum of which nothing was observed": (
        {"missing": NAN},
        torch.tensor([[1.0, 2.0], [NAN, NAN]]),
        r"nothing was observed of x\[1\] of 'train'; drop it",
    ),
    "a column in which nothing was observed": (
        {"missing": NAN},
        torch.tensor([[NAN, 2.0], [NAN, 3.0]]),
        r"nothing was observed in column \[0\] of 'train'; drop it",
    ),
    "an infinite value": (
        {"missing": NAN},
        torch.tensor([[math.inf, NAN], [2.0, 3.0]]),
        "is inf; fill or drop",
    ),
    "a whole that is not the same": (
        {"missing": NAN, "whole": torch.zeros(2, 2)},
        torch.tensor([[1.0, NAN], [0.0, 0.0]]),
        "whole of 'train' differs from what was observed",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_breaks_a_rule_is_refused_with_the_place(name):
    fields, x, message = REFUSED[name]
    with pytest.raises(UserError, match=message):
        Data(parts(x, **fields), "real", "none")


def test_visits_know_nothing_of_gaps():
    x = torch.tensor([[0.0, NAN], [1.0, 0.5]])
    with pytest.raises(UserError, match="there is a visit, and values that were not observed"):
        Data(parts(x, missing=NAN), "unit", "none", visit=lambda x, noise: x)


def test_remarks_see_through_holes():
    columns = torch.stack([normal(300), normal(300).round(), normal(300) + 1000], 1)
    x = holed(torch.cat([normal(300, 1), columns], 1), share=0.2)
    data = Data(
        {**parts(x, missing=NAN), "test": Split(normal(9, 4)), "validation": Split(normal(9, 4))},
        "real",
        "none",
    )
    missing, *others = data.remarks
    share = x.isnan().double().mean()
    assert missing == (
        f"not all values were observed: missing are {share:.0%} of train, 0% of validation, 0% of test"
    )
    assert [remark.partition(":")[0] for remark in others] == ["column 2", "column 3"]


def test_who_cannot_do_with_holes_says_so():
    """All others are held to it by `lvmbench check`."""
    needy = {
        entry.name
        for kind in ("prior", "posterior", "decoder", "objective", "estimator", "evaluator")
        for entry in CATALOGUE.entries(kind)
        if "dataset.complete" in entry.load().requires
    }
    assert needy == {"bits_back", "sample_quality", "fully_visible", "noising", "pixelcnn"}


def test_a_combination_that_needs_complete_data_is_refused():
    from lvmbench import evaluate, fit

    fitted = fit(
        data="linear_gaussian[missing=0.3,train=50]",
        prior="standard_normal",
        posterior="gaussian[hidden=4]",
        decoder="linear_gaussian",
        objective="elbo",
        epochs=1,
    )
    with pytest.raises(Refusal, match="evaluator 'sample_quality.*' requires dataset.complete"):
        evaluate(fitted, "sample_quality[features=pixels]")
