"""Batches: each datum once in an epoch, sequences of similar length together, padding never counted."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from lvmbench.combinations.budget import Budget
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.parts import build
from lvmbench.noise import generator
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.training.batches import SIMILAR, Batches, Shape, by_length, together
from lvmbench.training.loop import Training
from lvmbench.training.pack import Pack

CATALOGUE = load_catalogue()
CPU = torch.device("cpu")
SEQUENCES = {
    "dataset": "linear_gaussian_sequences[steps=12,shortest=2,train=48,validation=10,test=5]",
    "prior": "linear_dynamics",
    "posterior": "exact",
    "decoder": "linear_gaussian",
    "objective": "elbo",
    "estimator": "pathwise",
}


def lengths(size=101, most=200):
    draws = torch.rand(size, generator=torch.Generator().manual_seed(0))
    return (most * draws**3).long() + 1


def epochs(groups, seeds, count=3):
    batches = Batches(groups, seeds, CPU)
    return [list(batches.epoch(epoch)) for epoch in range(1, count + 1)]


@pytest.mark.parametrize("most", [1, 4, 7, 50, 101, 1000])
def test_each_datum_is_in_one_batch_of_an_epoch(most):
    for groups in (by_length(lengths(), most), together(101, most)):
        for epoch in epochs(groups, [0, 3]):
            rows = torch.cat([rows for _, rows in epoch], 1)
            assert torch.equal(rows.sort(1).values, torch.arange(101).expand(2, -1))
            assert [shape.size for shape, _ in epoch] == [rows.shape[1] for _, rows in epoch]
            assert max(shape.size for shape, _ in epoch) <= most


@pytest.mark.parametrize("most", [2, 4, 7, 20])
def test_sequences_of_similar_length_are_together_and_none_is_cut(most):
    steps = lengths()
    groups = by_length(steps, most)
    for rows, shapes in groups:
        (longest,) = {shape.steps for shape in shapes}
        assert steps[rows].max() == longest
        assert len(shapes) >= 2
        later = rows[shapes[0].size + shapes[1].size :]
        in_later_batches = later.split([shape.size for shape in shapes[2:]])
        last = groups[-1].rows is rows
        assert last or all(steps[batch].max() >= SIMILAR * longest for batch in in_later_batches)
    assert all(steps[a.rows].min() >= steps[b.rows].max() for a, b in pairwise(groups))


def test_sequences_of_one_length_are_one_group():
    (group,) = by_length(torch.full((30,), 5), 8)
    (plain,) = together(30, 8)
    assert torch.equal(group.rows, plain.rows)
    assert group.shapes == [Shape(size, 5) for size, _ in plain.shapes]


def test_data_without_steps_come_in_the_order_that_a_seed_draws():
    source = generator(3, "order")
    for epoch in epochs(together(10, 4), [3]):
        assert torch.equal(torch.cat([rows[0] for _, rows in epoch]), torch.randperm(10, generator=source))


def test_what_meets_in_a_batch_and_the_order_of_batches_change_from_epoch_to_epoch():
    first, second, _ = epochs(by_length(lengths(), 4), [0])
    assert [shape for shape, _ in first] != [shape for shape, _ in second]
    batches, others = ({tuple(rows[0].sort().values.tolist()) for _, rows in e} for e in (first, second))
    assert not batches & others


def test_shapes_are_those_of_all_seeds_and_rows_a_seeds_own():
    groups = by_length(lengths(), 4)
    for alone, packed in zip(epochs(groups, [5]), epochs(groups, [8, 5, 1]), strict=True):
        for (shape, rows), (same, every) in zip(alone, packed, strict=True):
            assert shape == same
            assert torch.equal(rows[0], every[1])
            assert not torch.equal(every[0], every[1])


def made(seeds=(0, 1), **changes):
    refs = {kind: Ref.parse(name) for kind, name in {**SEQUENCES, **changes}.items()}
    data = CATALOGUE.build("dataset", refs["dataset"]).load()
    parts = [build(CATALOGUE, Combination(refs, latent=2), data, seed) for seed in seeds]
    budget = Budget(batch=8, optimizer="sgd", learning_rate=1e-12, patience=0)
    return parts, data, Training(parts, list(seeds), data, budget, CPU)


def test_an_epoch_counts_every_sequence_once_and_padding_never():
    """With the exact posterior every bound is log p(x), whatever is drawn."""
    parts, data, training = made()
    bounds = training._epoch(1), training._validate()
    for name, found in zip(("train", "validation"), bounds, strict=True):
        x = data.splits[name].values
        due = torch.stack([part.model.exact_log_prob(x).mean() for part in parts])
        torch.testing.assert_close(found, due, rtol=1e-4, atol=0)


def test_batches_are_cut_to_the_longest_of_their_group(monkeypatch):
    _, data, training = made()
    seen, call = [], Pack.__call__
    monkeypatch.setattr(Pack, "__call__", lambda pack, x, *rest: seen.append(x) or call(pack, x, *rest))
    training._epoch(1)
    assert {Shape(*x.shape[1:3]) for x in seen} == set(training.batches.shapes)
    assert sum(x[0].numel() for x in seen) < 0.8 * data.splits["train"].x.numel()
    observed = sum(int((~x[0].isnan()).sum()) for x in seen)
    assert observed == 3 * int(data.splits["train"].lengths.sum())


def test_a_prior_without_steps_sees_sequences_whole():
    changes = {"prior": "standard_normal", "posterior": "gaussian[hidden=8,mask=true]"}
    _, _, training = made(**changes)
    assert {shape.steps for shape in training.batches.shapes} == {None}
    assert next(iter(training.validation)).shape[1] == 12
    training._epoch(1)


def test_an_epoch_is_worth_as_many_steps_as_it_has_where_all_are_alike():
    _, _, alike = made(dataset="linear_gaussian_sequences[steps=6,shortest=6,train=64,validation=9,test=9]")
    assert alike.steps == 8
    _, _, training = made()
    assert 1 < training.steps < len(training.batches.shapes)
