"""Replayed steps: a stand-in that records and replays operators, as a CUDA graph does, changes nothing."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from lvmbench import Data
from lvmbench.checks.contract import BUILT
from lvmbench.checks.partners import Bench
from lvmbench.combinations.budget import Budget
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.parts import build
from lvmbench.combinations.requirements import default_estimators
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.training import SeedResult
from lvmbench.training.graph import WARM, Function, Replayed, as_written
from lvmbench.training.loop import Training
from lvmbench.training.precision import Bfloat16Products
from lvmbench.training.tape import Pool, Tape

CATALOGUE = load_catalogue()
SEQUENCES = "linear_gaussian_sequences[steps=6,shortest=2,train=90,validation=30,test=10]"
METHODS = [
    "digits standard_normal gaussian bernoulli elbo",
    "digits[binarize=dynamic] standard_normal gaussian bernoulli iwae[samples=4]",
    "digits vamp[components=4] iaf bernoulli elbo",
    "digits bernoulli bernoulli bernoulli elbo rebar",
    "digits bernoulli bernoulli bernoulli iwae[samples=4]",
    "digits standard_normal semi_amortized[steps=2] bernoulli elbo",
    "digits standard_normal svi[steps=2] bernoulli elbo",
    "digits standard_normal hamiltonian bernoulli elbo pathwise",
    "digits standard_normal gaussian bernoulli wasserstein",
    f"{SEQUENCES} linear_dynamics filtering linear_gaussian smc",
]
BUDGETS = [
    {"optimizer": "sgd[momentum=0.9]"},
    {"optimizer": "adam_norm_grad", "warm_up": 2},
    {"schedule": "plateau[patience=1]", "patience": 3},
    {"schedule": "step[every=1,factor=0.3]"},
    {"schedule": "cosine", "optimizer": "adamw"},
    {"schedule": "step[every=1,factor=0.3]", "optimizer": "sgd"},
    {"schedule": "step[every=1,factor=0.3]", "optimizer": "adamax"},
    {"clip": 0.1, "optimizer": "rmsprop"},
]


def _taped(function: Function) -> Function:
    return Replayed(function, Tape(Pool()))


def _ended(text: str, wrap: Callable[[Function], Function], **budget: Any) -> list[SeedResult]:
    kinds = ("dataset", "prior", "posterior", "decoder", "objective", "estimator")
    refs = dict(zip(kinds, map(Ref.parse, text.split()), strict=False))
    refs.setdefault("estimator", default_estimators(CATALOGUE, refs["objective"])[0])
    data = _data(refs["dataset"])
    parts = [build(CATALOGUE, Combination(refs, 4), data, seed) for seed in range(2)]
    given = Budget(**{"epochs": 3, "batch": 40, **budget})
    return Training(parts, [0, 1], data, given, torch.device("cpu"), wrap=wrap).run(lambda epoch: None)


@functools.cache
def _data(ref: Ref) -> Data:
    """A data set, or its first rows where it is longer."""
    data = CATALOGUE.build("dataset", ref).load()
    few = {name: replace(split, x=split.x[:200], labels=None) for name, split in data.splits.items()}
    return replace(data, splits=few)


def _assert_same(found: list[SeedResult], due: list[SeedResult]) -> None:
    for one, other in zip(found, due, strict=True):
        assert one.curve == other.curve
        assert all(torch.equal(one.weights[name], value) for name, value in other.weights.items())


@pytest.mark.parametrize("text", METHODS)
def test_a_replayed_training_is_the_training_as_written(text: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    _assert_same(_ended(text, _taped), _ended(text, as_written))
    assert not caplog.records, "a step was not recorded"


@pytest.mark.slow
@pytest.mark.parametrize("kind", BUILT)
def test_steps_of_every_component_can_be_replayed(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bench, given = Bench(CATALOGUE), Budget(epochs=4, batch=23, schedule="step[every=2]")
    for ref in bench.offers[kind]:
        case = bench.find({kind: ref})
        ended = []
        for wrap in (_taped, as_written) if case else ():
            parts = [case.parts(seed=seed) for seed in range(2)]
            training = Training(parts, [0, 1], case.source.data, given, torch.device("cpu"), wrap=wrap)
            ended.append(training.run(lambda epoch: None))
        if ended:
            _assert_same(*ended)
    assert not caplog.records, "a step was not recorded"


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_every_optimiser_can_be_replayed(budget: dict[str, Any]) -> None:
    _assert_same(_ended(METHODS[0], _taped, **budget), _ended(METHODS[0], as_written, **budget))


def test_a_replayed_training_with_rounded_products_is_the_training_as_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lvmbench.training.precision.SMALL_ROUNDED", 0)
    exact = _ended(METHODS[0], _taped)
    with Bfloat16Products():
        found = _ended(METHODS[0], _taped)
        _assert_same(found, _ended(METHODS[0], as_written))
    assert found[0].curve != exact[0].curve


def test_numbers_are_converted_once_and_anew_where_they_have_changed() -> None:
    weight = torch.ones(3)

    def function(x: Tensor) -> Tensor:
        one, other = x.bfloat16() * 2, x.bfloat16() + weight.bfloat16()
        weight.add_(1)
        return one + other + weight.bfloat16()

    tape = Tape(Pool())
    x = torch.full((3,), 1.0)
    result = tape.record(lambda: function(x))
    converted = [call for call, _, _ in tape._program if call is torch.ops.aten.copy_.default._op]
    assert len(converted) == 3  # x, and the weight before and after
    for i in range(3):
        x.fill_(float(i))
        tape.replay()
        assert result.tolist() == [3.0 * i + 2 * i + 3] * 3


def test_conversions_that_are_changed_afterwards_stay_apart() -> None:
    def changed(x: Tensor) -> Tensor:
        kept, raised = x.double(), x.double().add_(1)
        last = x.double()
        kept.mul_(3)
        return kept + 10 * raised + 100 * last

    for function in (changed, lambda x: x.double() + 0 * x.double(), lambda x: (x.double(), x.double())[1]):
        tape, x = Tape(Pool()), torch.zeros(2)
        result = tape.record(functools.partial(function, x))
        for i in range(3):
            x.fill_(float(i))
            tape.replay()
            assert torch.equal(result, function(x))


def test_what_cannot_be_recorded_runs_as_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    replayed = Replayed(lambda x: x[x > 0].sum(), Tape(Pool()))
    for i in range(WARM + 3):
        assert float(replayed(torch.arange(-2.0, i))) == sum(range(i))
    assert [record.levelno for record in caplog.records] == [logging.INFO]


def test_what_could_not_be_recorded_to_its_end_was_done_once() -> None:
    count = torch.zeros(())

    def function(x: Tensor) -> Tensor:
        count.add_(1)
        return x[x > 0].sum() + count

    replayed = Replayed(function, Tape(Pool()))
    assert [float(replayed(torch.zeros(2))) for _ in range(WARM + 3)] == [*range(1, WARM + 4)]


def test_gradients_that_are_not_asked_for_are_not_replayed() -> None:
    weight = torch.ones(1, 1, 2, 2, requires_grad=True)

    def function(x: Tensor) -> Tensor:
        (found,) = torch.autograd.grad(torch.nn.functional.conv2d(x, weight).square().sum(), weight)
        return found

    replayed = Replayed(function, Tape(Pool()))
    for i in range(WARM + 3):
        x = torch.full((1, 1, 3, 3), float(i))
        assert torch.equal(replayed(x), function(x))


def test_inputs_change_between_replays() -> None:
    replayed = Replayed(lambda x, weight: weight * x.square().sum(), Tape(Pool()))
    for i in range(WARM + 4):
        assert float(replayed(torch.full((3,), float(i)), 0.5)) == 1.5 * i**2


def test_a_step_that_python_changes_runs_as_written(caplog: pytest.LogCaptureFixture) -> None:
    counted = iter(range(100))
    replayed = _taped(lambda x: x * 0.5 ** next(counted))
    with caplog.at_level(logging.INFO):
        found = [replayed(torch.ones(2)) for _ in range(WARM + 3)]
    assert "two calls in a row are not alike" in caplog.text
    assert len({float(value[0]) for value in found}) == len(found)
