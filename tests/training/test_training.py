"""Training: packs, early stopping, divergence, contracts, randomness and host synchronisation."""

import functools
import itertools
import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from lvmbench import Decoder, DiagonalNormal, Estimate, Estimator, Objective, Posterior, Prior
from lvmbench.combinations.budget import Budget
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.optimizers import OPTIMIZERS
from lvmbench.combinations.parts import build
from lvmbench.registry.catalogue import Catalogue, Entry
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.training import restore, state, train
from lvmbench.training.learner import ContractError
from lvmbench.training.loop import Training
from lvmbench.training.optimizer import PackOptimizer
from lvmbench.training.pack import Pack

CATALOGUE = load_catalogue()
CPU = torch.device("cpu")
DEFAULTS = {
    "dataset": "blobs[train=90,validation=30,test=10]",
    "prior": "standard_normal",
    "posterior": "gaussian[hidden=8,layers=1]",
    "decoder": "gaussian[hidden=8,layers=1]",
    "objective": "elbo",
    "estimator": "pathwise",
}
DIGITS = {"dataset": "digits", "decoder": "bernoulli[hidden=8,layers=1]"}
HOLED = "linear_gaussian[missing=0.3,train=90,validation=30]"
COMBINATIONS = {
    "elbo": {},
    "mixture": {"prior": "mixture[components=3]"},
    "iwae": {"objective": "iwae[samples=3]"},
    "sampled kl": {"objective": "elbo[samples=2,kl=sampled]", "decoder": "linear_gaussian"},
    "exact": {"posterior": "exact", "decoder": "linear_gaussian"},
    "leave one out": {"objective": "iwae[samples=3]", "estimator": "score[baseline=leave_one_out]"},
    "dynamic binarisation": {**DIGITS, "dataset": "digits[binarize=dynamic]"},
    "bernoulli": DIGITS,
    "missing values": {"dataset": HOLED, "posterior": "gaussian[hidden=8,mask=true]"},
    "missing values, exact": {"dataset": HOLED, "posterior": "exact", "decoder": "linear_gaussian"},
    "sequences": {
        "dataset": "linear_gaussian_sequences[steps=5,shortest=2,train=90,validation=30,test=10]",
        "prior": "linear_dynamics",
        "posterior": "filtering",
        "objective": "iwae[samples=2]",
    },
    "missing values, svi": {"dataset": HOLED, "posterior": "svi[steps=3,warm=true]", "estimator": "pathwise"},
}
every_combination = pytest.mark.parametrize("parts", COMBINATIONS.values(), ids=COMBINATIONS.keys())
both_ways = pytest.mark.parametrize("vectorized", [True, False], ids=["vectorized", "looped"])


@functools.cache
def load(name):
    return CATALOGUE.build("dataset", name).load()


def budget(**changes):
    return Budget(**{"epochs": 3, "batch": 30, "learning_rate": 1e-2, "patience": 0, **changes})


def make(seeds, change=None, data=None, **parts):
    """Data and built parts of a combination; ``change(parts, seed)`` may tamper with them."""
    refs = {kind: Ref.parse(name) for kind, name in {**DEFAULTS, **parts}.items()}
    data = data or load(str(refs["dataset"]))
    built = [build(CATALOGUE, Combination(refs, latent=2), data, seed) for seed in seeds]
    if change:
        built = [change(part, seed) or part for part, seed in zip(built, seeds, strict=True)]
    return built, data


def fit(seeds, how=None, *, vectorized=None, report=lambda epoch: None, **what):
    """Train, and give the results by seed."""
    built, data = make(seeds, **what)
    results = train(built, seeds, data, how or budget(), CPU, report, vectorized)
    return {result.seed: result for result in results}


@functools.cache
def pair(vectorized, *parts):
    """Two seeds of a combination, trained once for all that others are held against them."""
    return fit([0, 1], vectorized=vectorized, **dict(parts))


def flat(weights):
    return torch.cat([w.double().flatten() for w in weights.values()])


def assert_alike(one, other, tolerance=1e-4):
    """Two results of a seed are equal to a relative tolerance in weights and bounds."""
    assert (one.status, one.epochs, one.best_epoch) == (other.status, other.epochs, other.best_epoch)
    torch.testing.assert_close(torch.tensor(one.curve), torch.tensor(other.curve), rtol=tolerance, atol=0)
    a, b = flat(one.weights), flat(other.weights)
    assert torch.linalg.norm(a - b) <= tolerance * torch.linalg.norm(b)


@every_combination
def test_a_vectorized_pack_equals_a_looped_one(parts):
    one, other = (fit([0, 1, 2], vectorized=v, **parts) for v in (True, False))
    for seed in (0, 1, 2):
        assert_alike(one[seed], other[seed])


def test_layers_may_share_their_weights():
    """As encoders and decoders that are each other's transpose do."""

    def tie(parts, seed):
        first, second = (
            m for m in parts.model.decoder.modules() if isinstance(m, nn.Linear) and m.weight.shape == (8, 8)
        )
        second.weight = first.weight

    deep = {"decoder": "gaussian[hidden=8,layers=3]"}
    one, other = (fit([0, 1], vectorized=v, change=tie, **deep) for v in (True, False))
    for seed in (0, 1):
        assert_alike(one[seed], other[seed])
        assert one[seed].status == "ok"
    built, _ = make([0], change=tie, **deep)
    restore(built[0], one[0].weights)
    torch.testing.assert_close(dict(state(built[0])), one[0].weights)


@every_combination
def test_what_a_seed_gives_does_not_depend_on_its_pack(parts):
    alone, packed = fit([1], **parts), fit([7, 1, 0], **parts)
    assert_alike(packed[1], alone[1])


def test_an_early_stop_of_one_seed_leaves_the_others():
    how = budget(epochs=30, learning_rate=0.1, patience=2)
    packed = fit([0, 1, 2, 3], how)
    assert len({result.epochs for result in packed.values()}) > 1
    for seed, result in packed.items():
        assert_alike(fit([seed], how)[seed], result, 1e-3)


@both_ways
@pytest.mark.parametrize("parts", [{}, {"estimator": "score"}], ids=["pathwise", "score"])
def test_the_same_seed_gives_the_same_weights_to_the_last_bit(parts, vectorized):
    one, other = (fit([3, 4], vectorized=vectorized, **parts) for _ in range(2))
    assert all(torch.equal(flat(one[s].weights), flat(other[s].weights)) for s in (3, 4))
    assert all(one[s].curve == other[s].curve for s in (3, 4))


def test_seeds_differ():
    results = fit([0, 1])
    assert not torch.equal(flat(results[0].weights), flat(results[1].weights))


@both_ways
def test_training_leaves_the_global_generator(vectorized):
    before = torch.random.get_rng_state()
    fit([0, 1], vectorized=vectorized)
    assert torch.equal(torch.random.get_rng_state(), before)


class Around(Objective):
    """An objective that does something more than another one."""

    def __init__(self, inner, more):
        super().__init__()
        self.inner, self.more = inner, more
        self.samples, self.warm_up = inner.samples, inner.warm_up
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, terms, kl_weight=1.0):
        return self.more(self, self.inner(terms, kl_weight), kl_weight)


def around(more):
    """A change that wraps the objective."""
    return lambda parts, seed: replace(parts, objective=Around(parts.objective, more))


def explosive(seeds, charge):
    """A change after which gradient ascent of some seeds runs off to infinity."""

    def change(parts, seed):
        objective = Around(parts.objective, lambda self, bound, _: bound + self.charge * self.weight.exp())
        objective.register_buffer("charge", torch.tensor(charge if seed in seeds else 0.0))
        return replace(parts, objective=objective)

    return change


@both_ways
def test_a_seed_that_diverges_leaves_the_others(vectorized):
    how = budget(epochs=12, optimizer="sgd", learning_rate=1e-3)
    mixed = fit([0, 1, 2], how, vectorized=vectorized, change=explosive({1}, 80.0))
    calm = fit([0, 2], how, vectorized=vectorized, change=explosive({}, 0.0))
    assert mixed[1].status == "diverged"
    assert 1 < mixed[1].epochs < 12
    assert f"epoch {mixed[1].epochs}: training bound" in mixed[1].reason
    assert len(mixed[1].curve) == mixed[1].epochs - 1
    for seed in (0, 2):
        assert_alike(mixed[seed], calm[seed])


@both_ways
@every_combination
def test_a_seed_that_is_not_a_number_from_the_start_leaves_the_others(parts, vectorized):
    def poison(built, seed):
        if seed == 1:
            next(built.model.decoder.parameters()).data.fill_(torch.nan)

    mixed = fit([0, 1], vectorized=vectorized, change=poison, **parts)
    calm = pair(vectorized, *parts.items())
    assert (mixed[1].status, mixed[1].epochs) == ("diverged", 1)
    assert_alike(mixed[0], calm[0], 0)


def test_a_seed_that_diverges_at_once_says_so():
    result = fit([0], change=around(lambda self, bound, _: bound * torch.nan))[0]
    assert (result.status, result.epochs, result.curve) == ("diverged", 1, [])
    assert "training bound nan, validation bound nan" in result.reason


def test_training_ends_when_every_seed_has_diverged():
    seen = []
    fit(
        [0, 1], budget(epochs=50), report=seen.append, change=around(lambda self, bound, _: bound - torch.inf)
    )
    assert len(seen) == 1


def test_the_best_weights_on_validation_are_kept():
    how = budget(epochs=40, learning_rate=0.1, patience=3)
    results = fit([0, 1, 2], how)
    assert any(result.epochs < 40 for result in results.values())
    for seed, result in results.items():
        bounds = [validation for _, _, validation in result.curve]
        assert result.best_bound == max(bounds) == bounds[result.best_epoch - 1]
        assert result.epochs in (40, result.best_epoch + 3)
        built, data = make([seed])
        restore(built[0], result.weights)
        again = Training(built, [seed], data, how, CPU)._validate()
        torch.testing.assert_close(again.item(), result.best_bound, rtol=1e-5, atol=0)


def test_reports_only_the_seeds_that_still_train():
    seen = []
    results = fit([0, 1, 2], budget(epochs=40, learning_rate=0.1, patience=2), report=seen.append)
    for seed, result in results.items():
        assert [e.epoch for e in seen if seed in e.validation] == list(range(1, result.epochs + 1))


@pytest.mark.parametrize(("patience", "warm_up", "epochs"), [(2, 0.0, 3), (2, 4.5, 7), (0, 4.5, 12)])
def test_patience_starts_when_the_warm_up_has_ended(patience, warm_up, epochs):
    """No step is large enough to change a weight, so no epoch is better than the first."""
    how = budget(epochs=12, optimizer="sgd", learning_rate=1e-30, patience=patience, warm_up=warm_up)
    result = fit([0], how)[0]
    assert (result.best_epoch, result.epochs) == (1, epochs)


@pytest.mark.parametrize("own", [0.0, 1.0], ids=["the budget's", "the objective's own"])
def test_the_kl_weight_rises_with_every_step_of_the_warm_up(own):
    seen = {True: [], False: []}

    def record(self, bound, kl_weight):
        seen[torch.is_grad_enabled()].append(kl_weight)
        return bound

    fit([0], budget(warm_up=2.0), change=around(record), objective=f"elbo[warm_up={own}]")
    length = 3 * (own or 2)
    assert seen[True][1:] == pytest.approx([min(1.0, step / length) for step in range(9)])
    assert set(seen[False]) == {1.0}


def test_each_split_is_decoded_in_its_own_way(monkeypatch):
    """Dynamic binarisation keeps training images grey, and those for validation as zeros and ones."""
    built, data = make([0], **{**DIGITS, "dataset": "digits[binarize=dynamic]"})
    training, seen, call = Training(built, [0], data, budget(), CPU), [], Pack.__call__
    monkeypatch.setattr(Pack, "__call__", lambda pack, x, *rest: seen.append(x[0]) or call(pack, x, *rest))
    training._validate()
    training.steps_of(1)
    *held, visited = seen
    assert torch.equal(torch.cat(held), data.splits["validation"].values)
    assert set(visited.unique().tolist()) == {0, 1}


def moved(seeds, how, **what):
    """How far one step moved each seed's weights, objective included."""
    built, data = make(seeds, **what)
    training = Training(built, seeds, data, how, CPU)
    before = training.pack.snapshot()
    training.steps_of(1)
    names = training.pack.parameters.keys()
    return torch.cat(
        [(training.pack.snapshot()[n] - before[n]).reshape(len(seeds), -1) for n in names], dim=1
    )


def test_clipping_limits_the_gradient_of_each_seed_on_its_own():
    free = moved([0, 1, 2], budget(optimizer="sgd", learning_rate=1.0))
    limit = float(free.norm(dim=1).median())
    clipped = moved([0, 1, 2], budget(optimizer="sgd", learning_rate=1.0, clip=limit))
    expected = free * (limit / free.norm(dim=1, keepdim=True)).clamp(max=1.0)
    torch.testing.assert_close(clipped, expected, rtol=1e-4, atol=1e-6)
    assert (clipped.norm(dim=1) < limit * 0.999).any()


def test_a_seed_with_a_huge_gradient_does_not_clip_the_others():
    how = budget(optimizer="sgd", learning_rate=1.0, clip=1.0)
    mixed, calm = (moved([0, 1], how, change=explosive(seeds, 1e8)) for seeds in ({1}, {}))
    torch.testing.assert_close(mixed[0], calm[0], rtol=1e-4, atol=1e-6)


SCHEDULED = {"constant": [1.0] * 6, "cosine": [(1 + math.cos(math.pi * e / 6)) / 2 for e in range(6)]}
SCHEDULED |= {"cosine[end=0.5]": [0.5 + c / 2 for c in SCHEDULED["cosine"]]}
SCHEDULED |= {
    "stages": [1.0, 0.72, 0.72, 0.72, 0.52, 0.52],
    "stages[base=2]": [1.0] + [0.72] * 2 + [0.52] * 3,
}
SCHEDULED |= {"step[every=2,factor=0.5]": [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]}


@pytest.mark.parametrize(("schedule", "rates"), SCHEDULED.items(), ids=SCHEDULED)
def test_a_schedule_sets_the_learning_rate_of_each_epoch(schedule, rates):
    """A step of plain gradient ascent on a bound of slope 1 is as long as its learning rate."""
    how = budget(epochs=6, batch=90, optimizer="sgd", learning_rate=0.25, schedule=schedule)
    weights = sloping([0, 1], how)
    for seed in (0, 1):
        assert torch.tensor(weights[seed]).diff().tolist() == pytest.approx([0.25 * r for r in rates])


def sloping(seeds, how, worse=frozenset()):
    """The weight of an objective that rises with it, before each epoch.

    Its validation bound falls for ``worse`` seeds.
    """
    seen = {}

    def change(parts, seed):
        def more(self, bound, _):
            slope = torch.where(self.falls, -1.0, 1.0) if not torch.is_grad_enabled() else 1.0
            return bound.detach() * 0 + slope * self.weight

        objective = Around(parts.objective, more)
        objective.register_buffer("falls", torch.tensor(seed in worse))
        freeze(parts, seed)
        return replace(parts, objective=objective)

    built, data = make(seeds, change=change)
    training = Training(built, seeds, data, how, CPU)
    stack = training.pack.parameters["objective.weight"]

    def note(*_):
        for row, seed in enumerate(seeds):
            seen.setdefault(seed, [0.0]).append(stack[row].item())

    training.run(note)
    return seen


def test_a_plateau_is_each_seeds_own():
    """Where validation gets worse with each epoch the rate is halved after every third,
    and for that seed alone.
    """
    how = budget(
        epochs=8, batch=90, optimizer="sgd", learning_rate=1.0, schedule="plateau[patience=2,factor=0.5]"
    )
    found = sloping([0, 1], how, worse={1})
    assert torch.tensor(found[0]).diff().tolist() == pytest.approx([1.0] * 8)
    # the first epoch is the best; after three more without a better one the rate is halved
    assert torch.tensor(found[1]).diff().tolist() == pytest.approx([1.0] * 4 + [0.5] * 3 + [0.25])
    alone = sloping([1], how, worse={1})
    assert alone[1] == found[1]


def test_a_plateau_is_not_waited_for_while_the_model_warms_up():
    how = {"epochs": 6, "batch": 90, "optimizer": "sgd", "learning_rate": 1.0}
    plateau = budget(**how, schedule="plateau[patience=0,factor=0.5]", warm_up=3.0)
    steps = torch.tensor(sloping([0], plateau, worse={0})[0]).diff().tolist()
    assert steps == pytest.approx([1.0] * 4 + [0.5, 0.25])


def test_a_bound_below_zero_that_falls_a_little_is_no_better():
    """A relative threshold would take -100.001 for better than -100."""
    how = budget(epochs=4, batch=90, optimizer="sgd", learning_rate=1e-3, schedule="plateau[patience=0]")
    steps = torch.tensor(sloping([0], how, worse={0})[0]).diff()
    assert steps[-1] < 0.3 * steps[0]


@both_ways
@every_combination
def test_seeds_with_learning_rates_of_their_own_train_as_with_a_shared_one(parts, vectorized):
    """While no seed has come to a plateau."""
    shared = pair(vectorized, *parts.items())
    own = fit([0, 1], budget(schedule="plateau[patience=50]"), vectorized=vectorized, **parts)
    for seed in (0, 1):
        assert_alike(shared[seed], own[seed])


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
@pytest.mark.parametrize(
    ("optimizer", "decay"), [("sgd", 0.5), ("adamw", 0.5), ("adamw", None), ("adam", None)]
)
def test_weight_decay_shrinks_what_no_gradient_moves(optimizer, decay, schedule):
    """By learning rate times decay in each step; the optimiser's own decay is adamw's 0.01, and else none."""

    def level(self, bound, _):
        return bound.detach() * 0 + 0 * self.weight

    def change(parts, seed):
        freeze(parts, seed)
        changed = around(level)(parts, seed)
        changed.objective.weight.data.fill_(2.0)
        return changed

    how = budget(epochs=4, batch=90, optimizer=optimizer, learning_rate=0.1, weight_decay=decay)
    built, data = make([0, 1], change)
    training = Training(
        built, [0, 1], data, how.model_copy(update={"schedule": schedule, "patience": 0}), CPU
    )
    training.run(lambda epoch: None)
    factor = 1 - 0.1 * ({"adamw": 0.01, "adam": 0.0}[optimizer] if decay is None else decay)
    found = training.pack.parameters["objective.weight"].tolist()
    assert found == pytest.approx([2 * factor**4] * 2)


@pytest.mark.parametrize(
    ("changes", "stopped"),
    [
        ({}, "budget"),
        ({"patience": 3, "optimizer": "sgd", "learning_rate": 1e-30}, "patience"),
        ({"seconds": 1e-9}, "seconds"),
        ({"seconds": 1e9}, "budget"),
    ],
    ids=str,
)
def test_a_result_says_why_training_stopped(changes, stopped):
    for result in fit([0, 1], budget(epochs=5, **changes)).values():
        assert (result.stopped, result.epochs) == (
            stopped,
            {"budget": 5, "patience": 4, "seconds": 1}[stopped],
        )


def test_seconds_are_those_of_one_seed(monkeypatch):
    """Two seeds train for twice as long; the clock here moves by a second at each look."""
    ticks = itertools.count()
    monkeypatch.setattr("lvmbench.training.loop.time.perf_counter", lambda: float(next(ticks)))
    for seeds, epochs in (([0], 3), ([0, 1], 6)):
        results = fit(seeds, budget(epochs=9, seconds=3.0))
        assert {(r.stopped, r.epochs) for r in results.values()} == {("seconds", epochs)}


@both_ways
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_improves_the_bound(optimizer, vectorized):
    how = budget(epochs=8, optimizer=optimizer, learning_rate=1e-2 if optimizer != "sgd" else 1e-4)
    for result in fit([0, 1], how, vectorized=vectorized).values():
        assert result.status == "ok"
        assert result.curve[-1][2] > result.curve[0][2]


def moves(optimizer, gradients, scale=1.0):
    """Where the weights of two seeds, a matrix and a number each, go from 0 by these gradients."""
    parameters = [torch.zeros(2, 3, 4, requires_grad=True), torch.zeros(2, requires_grad=True)]
    found = PackOptimizer(parameters, budget(optimizer=optimizer, learning_rate=0.1))
    for step in gradients:
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = scale * gradient
        found.step()
    return [p.detach() for p in parameters]


@pytest.fixture
def gradients():
    source = torch.Generator().manual_seed(0)
    return [[torch.randn(2, 3, 4, generator=source), torch.randn(2, generator=source)] for _ in range(3)]


def test_gradients_are_normalised_tensor_by_tensor_and_seed_by_seed(gradients):
    own = [
        [torch.stack([row / (row.norm() + 1e-7) for row in gradient]) for gradient in step]
        for step in gradients
    ]
    torch.testing.assert_close(moves("adam_norm_grad", gradients), moves("adam", own))
    lone = [[g * torch.tensor([1.0, 1e3]).view(-1, *[1] * (g.dim() - 1)) for g in step] for step in gradients]
    torch.testing.assert_close(moves("adam_norm_grad", lone), moves("adam_norm_grad", gradients))


def test_a_gradient_of_zero_stays_zero_when_normalised(gradients):
    still = moves("adam_norm_grad", [[0 * g for g in step] for step in gradients])
    assert all((p == 0).all() for p in still)


def test_adam_begins_with_the_second_moment_that_it_is_given(gradients):
    g = gradients[0][0]
    moved = moves("adam[second_moment=1.0,epsilon=1e-4]", gradients[:1])[0]
    torch.testing.assert_close(moved, -0.1 * g / (((0.999 + 0.001 * g**2) / 0.001).sqrt() + 1e-4))


def test_adam_by_sums_over_a_batch_is_adam_by_means_with_other_options(gradients):
    """As the docs say; B = 20, the second moment of a sum beginning at 1."""
    sums = moves("adam[second_moment=1.0,epsilon=1e-4]", gradients, scale=20.0)
    means = moves("adam[second_moment=0.0025,epsilon=5e-6]", gradients)
    torch.testing.assert_close(sums, means)


def test_what_models_keep_of_the_data_is_each_ones_own():
    """A component may make the training mean a weight; restoring one seed must not move another."""
    decoder = CATALOGUE.entry("decoder", "linear_gaussian").load()

    class Keeping(decoder):
        def __init__(self, data, space):
            super().__init__(data, space)
            self.offset = torch.nn.Parameter(data.mean)

    entries = [e for e in CATALOGUE.entries() if e.name != "linear_gaussian" or e.kind != "decoder"]
    own = Entry("decoder", "linear_gaussian", Keeping, "mine", "mine", "1")
    data = load(DEFAULTS["dataset"])
    refs = {kind: Ref.parse(name) for kind, name in {**DEFAULTS, "decoder": "linear_gaussian"}.items()}
    one, other = (
        build(Catalogue([*entries, own]), Combination(refs, 2), data, seed).model.decoder.offset
        for seed in (0, 1)
    )
    with torch.no_grad():
        one += 1
    assert torch.equal(other, data.splits["train"].values.mean(0))
    assert torch.equal(data.summary.mean, other)


def batches(seeds, how=None, **parts):
    """The batches of each seed, in the order they are trained on."""
    seen = []
    data = replace(load(DEFAULTS["dataset"]), visit=lambda x, noise: seen.append(x.clone()) or x)
    fit(seeds, how, data=data, **parts)
    probes = len({len(x) for x in seen})  # one for each size of batch, to count random numbers
    visited = seen[probes:]
    return {seed: visited[i :: len(seeds)] for i, seed in enumerate(seeds)}


def test_runs_that_are_compared_share_their_data_order():
    one = batches([0, 1])
    other = batches([1], prior="mixture[components=3]", objective="iwae[samples=4]", estimator="score")
    assert len(one[1]) == len(other[1]) == 9
    assert all(torch.equal(a, b) for a, b in zip(one[1], other[1], strict=True))
    assert not torch.equal(one[0][0], one[1][0])


SIZES = [(30, [30] * 3), (40, [30] * 3), (60, [45] * 2), (89, [45] * 2), (32, [30] * 3), (1000, [90])]
SIZES += [(35, [30] * 3), (20, [18] * 5), (88, [45] * 2), (25, [23, 23, 22, 22])]


@pytest.mark.parametrize(("batch", "sizes"), SIZES, ids=str)
def test_an_epoch_visits_every_datum_once(batch, sizes):
    """90 data, in batches that differ in size by at most one, as the two seeds of a pack have them."""
    for visited in batches([0, 1], budget(batch=batch, epochs=2)).values():
        visited = visited[-2 * len(sizes) :]  # one more is seen for each size, to count random numbers
        assert [len(x) for x in visited] == sizes * 2
        for epoch in (visited[: len(sizes)], visited[len(sizes) :]):
            assert len(torch.cat(epoch).unique(dim=0)) == 90


@both_ways
def test_batches_of_two_sizes_draw_numbers_of_their_own(vectorized):
    """Each step has as many random numbers as its batch takes, and none twice.

    A seed's do not depend on its pack.
    """
    how = budget(batch=25)
    built, data = make([0, 1])
    training = Training(built, [0, 1], data, how, CPU, vectorized)
    assert {shape.size: noise.draw()[0].shape for shape, noise in training.noise.items()} == {
        size: (2, size * 2) for size in (23, 22)
    }
    drawn = [noise.draw()[0] for noise in training.noise.values()]
    assert len(torch.cat([d.flatten() for d in drawn]).unique()) == 2 * 2 * (23 + 22)
    alone, packed = (fit(seeds, how, vectorized=vectorized) for seeds in ([1], [0, 1]))
    assert_alike(packed[1], alone[1])


def test_the_training_bound_of_an_epoch_is_that_of_each_datum():
    """Not the mean of batch means, where the batches differ in size."""

    def numbered(self, bound, _):
        return bound * 0 + len(bound)

    curve = fit([0], budget(batch=25, epochs=1), change=around(numbered))[0].curve
    assert curve[0][1] == pytest.approx((2 * 23 * 23 + 2 * 22 * 22) / 90)


def freeze(parts, seed):
    for parameter in parts.model.parameters():
        parameter.requires_grad_(False)


def strip(parts, seed):
    """Turn the decoder's parameters into buffers."""
    decoder = parts.model.decoder
    for name, parameter in list(decoder.named_parameters()):
        delattr(decoder, name)
        decoder.register_buffer(name, parameter.detach())


@both_ways
@pytest.mark.parametrize("change", [freeze, strip])
def test_nothing_to_train_ends_after_one_epoch(change, vectorized):
    parts = {"posterior": "exact", "decoder": "linear_gaussian"}
    for result in fit([0, 1], vectorized=vectorized, change=change, **parts).values():
        assert (result.status, result.epochs, result.best_epoch) == ("ok", 1, 1)
        assert result.stopped == "untrainable"
        assert {
            "model.decoder.weight",
            "model.decoder.bias",
            "model.decoder.log_scale",
        } <= result.weights.keys()


class Stubborn(Decoder):
    """A decoder that looks at values, which ``torch.vmap`` does not allow."""

    distribution = DiagonalNormal
    vectorizable = False

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, z):
        return self.inner(z if z.sum().item() < 1e9 else z.clone())


def test_parts_that_cannot_be_vectorized_are_looped():
    def change(parts, seed):
        parts.model.decoder = Stubborn(parts.model.decoder)

    built, data = make([0, 1], change)
    assert not Training(built, [0, 1], data, budget(), CPU).pack.vectorized
    looped, plain = fit([0, 1], change=change), fit([0, 1])
    for seed in (0, 1):
        renamed = {k.replace("decoder.inner.", "decoder."): v for k, v in looped[seed].weights.items()}
        assert_alike(replace(looped[seed], weights=renamed), plain[seed])


def test_validation_is_in_evaluation_mode():
    def change(parts, seed):
        noisy = Around(parts.objective, lambda self, bound, _: bound - 1e6 * self.training)
        return replace(parts, objective=noisy)

    for _, training, validation in fit([0], change=change)[0].curve:
        assert training < -9e5 < validation


class WrongPrior(Prior):
    distribution = DiagonalNormal

    def __init__(self, space):
        super().__init__()
        self.true_space = space

    @property
    def space(self):
        return self.true_space

    def forward(self, model):
        return DiagonalNormal(torch.zeros(2), torch.zeros(2), event_dims=0)


class WrongPosterior(Posterior):
    distribution = DiagonalNormal

    def __init__(self, extra, event_dims):
        super().__init__()
        self.shape, self.event_dims = (2, *extra), event_dims

    def forward(self, x, model):
        return DiagonalNormal(torch.zeros(len(x), *self.shape), torch.zeros(()), self.event_dims)


class WrongDecoder(Decoder):
    distribution = DiagonalNormal

    def forward(self, z):
        return DiagonalNormal(z, torch.zeros(()), event_dims=0)


class WrongEstimator(Estimator):
    def __init__(self, surrogate, bound):
        super().__init__()
        self.reduce = surrogate, bound

    def forward(self, objective, model, x, noise, kl_weight=1.0):
        value = torch.zeros(len(x))
        return Estimate(*(f(value) for f in self.reduce))


def swap(kind, component):
    """A change of one part of the model."""

    def change(parts, seed):
        setattr(parts.model, kind, component(parts.model.prior.space) if kind == "prior" else component)

    return change


def keep(value):
    return value


WRONG = {
    "prior's log density .* (2, 30, 2) .* (2, 30)": swap("prior", WrongPrior),
    "posterior's sample .* (2, 30, 2, 1) .* (2, 30, 2)": swap("posterior", WrongPosterior((1,), 2)),
    "posterior's log density .* (2, 30, 2) .* (2, 30)": swap("posterior", WrongPosterior((), 0)),
    "decoder's log density .* (2, 30, 2) .* (2, 30)": swap("decoder", WrongDecoder()),
    "estimator's surrogate .* () .* (30,)": lambda p, _: replace(
        p, estimator=WrongEstimator(torch.sum, keep)
    ),
    "estimator's bound .* (1, 30) .* (30,)": lambda p, _: replace(
        p, estimator=WrongEstimator(keep, lambda b: b[None])
    ),
    "objective's bound .* () .* (30,)": around(
        lambda self, bound, _: bound if torch.is_grad_enabled() else bound.mean()
    ),
}


@pytest.mark.parametrize(("message", "change"), WRONG.items(), ids=[m.partition(" .*")[0] for m in WRONG])
def test_a_wrong_shape_is_named_with_the_one_that_is_due(message, change):
    pattern = message.replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ContractError, match=pattern):
        fit([0], change=change)


def test_drawing_more_in_a_later_step_is_an_error():
    draws = itertools.count(1)

    class Greedy(Posterior):
        distribution = DiagonalNormal

        def forward(self, x, model):
            q = DiagonalNormal(torch.zeros(len(x), 2), torch.zeros(()))
            q.sample_and_log_prob = lambda noise, k: (
                noise.normal((next(draws), k, len(x), 2))[0],
                torch.zeros(k, len(x)),
            )
            return q

    with pytest.raises(RuntimeError, match="must draw the same number each step"):
        fit([0], change=swap("posterior", Greedy()))


class Operators(TorchDispatchMode):
    """Counts the operators that make the processor wait for a value of the device."""

    SYNCHRONISING = ("_local_scalar_dense", "nonzero", "masked_select", "_linalg_check_errors", "unique")

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        masks = func.name() == "aten::index.Tensor" and any(
            i is not None and i.dtype == torch.bool for i in args[1]
        )
        if masks or any(name in func.name() for name in self.SYNCHRONISING):
            self.found[func.name()] += 1
        return func(*args, **(kwargs or {}))


class Calls(TorchFunctionMode):
    """Counts the methods that copy a tensor to Python.

    No operator tells of these where the device is the processor.
    """

    SYNCHRONISING = ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "__index__")

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func.__name__ in self.SYNCHRONISING:
            self.found[func.__name__] += 1
        return func(*args, **(kwargs or {}))


def synchronisations(vectorized, how=None, **what):
    """What makes the host wait in three steps."""
    built, data = make([0, 1], **what)
    training = Training(built, [0, 1], data, how or budget(warm_up=2.0, clip=1.0), CPU, vectorized)
    training.steps_of(1)
    with Operators() as operators, Calls() as calls:
        training.steps_of(3)
    return operators.found + calls.found


@both_ways
@every_combination
def test_a_step_never_waits_for_the_device(parts, vectorized):
    assert synchronisations(vectorized, **parts) == Counter()


CULPRITS = {
    "item": lambda x: x.sum().item(),
    "bool": lambda x: bool(x.sum() > 0),
    "float": lambda x: float(x.detach().sum()),
    "tolist": lambda x: x.tolist(),
    "numpy": lambda x: x.detach().numpy(),
    "cpu": lambda x: x.cpu(),
    "mask": lambda x: x[x > 0],
    "nonzero": lambda x: x.nonzero(),
}


@pytest.mark.parametrize("culprit", CULPRITS.values(), ids=CULPRITS.keys())
def test_waiting_for_the_device_would_be_noticed(culprit):
    def more(self, bound, _):
        culprit(bound)
        return bound

    assert sum(synchronisations(False, change=around(more)).values()) >= 6
