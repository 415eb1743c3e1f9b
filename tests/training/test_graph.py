"""Replayed steps: a stand-in that records and replays operators, as a CUDA graph does, changes nothing."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from lvmbench import Data
from lvmbench.combinations.budget import Budget
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.parts import build
from lvmbench.combinations.requirements import default_estimators
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.training import SeedResult
from lvmbench.training.graph import WARM, Function, Replayed, as_written
from lvmbench.training.loop import Training

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
    {"clip": 0.1, "optimizer": "rmsprop"},
]


class Tape(TorchDispatchMode):
    """What a CUDA graph does, on the CPU: it keeps operators with their memory, and does them again."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Any, Any, Any, Any]] = []
        self.before: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        _refuse_what_waits(func, args)
        if torch.Tag.inplace_view in func.tags:  # another shape of the same memory
            return func(*args, **kwargs)
        # aliases: shapes may be changed in place later
        held = tree_map_only(Tensor, torch.ops.aten.alias, (args, kwargs))
        self.before += [(t, t.clone()) for t in _written(func, *held)]
        result = func(*args, **kwargs)
        self.done.append((func, *held, tree_map_only(Tensor, torch.ops.aten.alias, result)))
        return result

    def prepare(self, call: Callable[[], Tensor]) -> Tensor:
        return call()

    def record(self, call: Callable[[], Tensor]) -> Tensor:
        with self:
            result = call()
        # a graph records and does nothing
        for tensor, value in reversed(self.before):
            tensor.detach().copy_(value)
        return result

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, kept in self.done:
            for old, new in zip(tree_leaves(kept), tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.detach().copy_(new)


def _written(func: Any, args: Any, kwargs: Any) -> Iterator[Tensor]:
    for i, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[i] if i < len(args) else kwargs.get(argument.name)
            yield from (t for t in tree_leaves(value) if isinstance(t, Tensor))


def _refuse_what_waits(func: Any, args: Any) -> None:
    """Refuse what a graph cannot hold: what depends on values, waits for the processor, or is random."""
    masks = any(isinstance(t, Tensor) and t.dtype == torch.bool for t in tree_leaves(args[1:]))
    waits = torch.Tag.dynamic_output_shape in func.tags and (masks or "index" not in str(func))
    waits |= func is torch.ops.aten.lift_fresh.default  # a tensor of Python's numbers
    if waits or {torch.Tag.data_dependent_output, torch.Tag.nondeterministic_seeded} & set(func.tags):
        raise RuntimeError(f"{func} cannot be recorded")


def _taped(function: Function) -> Function:
    return Replayed(function, Tape())


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
    _assert_same(_ended(text, _taped), _ended(text, as_written))
    assert not caplog.records, "a step was not recorded"


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_every_optimiser_can_be_replayed(budget: dict[str, Any]) -> None:
    _assert_same(_ended(METHODS[0], _taped, **budget), _ended(METHODS[0], as_written, **budget))


def test_what_cannot_be_recorded_runs_as_written(caplog: pytest.LogCaptureFixture) -> None:
    replayed = Replayed(lambda x: x[x > 0].sum(), Tape())
    for i in range(WARM + 3):
        assert float(replayed(torch.arange(-2.0, i))) == sum(range(i))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_inputs_change_between_replays() -> None:
    replayed = Replayed(lambda x, weight: weight * x.square().sum(), Tape())
    for i in range(WARM + 4):
        assert float(replayed(torch.full((3,), float(i)), 0.5)) == 1.5 * i**2
