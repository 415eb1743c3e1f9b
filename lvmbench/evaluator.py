"""Evaluators: a trained model and data in, measurements out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from lvmbench.component import Component, Metric
from lvmbench.dataset import Data
from lvmbench.distributions import Distribution
from lvmbench.estimator import Estimator
from lvmbench.model import LatentVariableModel
from lvmbench.noise import Stream
from lvmbench.objective import Objective
from lvmbench.options import Precision
from lvmbench.split import Split

T = TypeVar("T")


@dataclass(frozen=True)
class Measurement:
    """One figure of one run.

    Arguments:
        metric: A name that the evaluator declares in ``metrics``.
        value: The figure, finite.
        stderr: Its Monte Carlo standard error: the error from the draws of this evaluation, not from data or
            training. Where draws leave a bias, as the log of a mean of few, it is the root mean square error,
            bias and all. ``None`` where nothing is drawn, or where the draws are too few to tell.
        variant: Which of several figures of this metric (``"score/posterior"``).
        method: How it was found where there are several ways (``"exact"``, ``"importance"``).
        per_datum: The figure of each datum of the split, ``(N,)``, where it is a mean over data.
    """

    metric: str
    value: float
    stderr: float | None = None
    variant: str = ""
    method: str = ""
    per_datum: Tensor | None = None


@dataclass(frozen=True, repr=False)
class Subject:
    """What an evaluator is given: one trained run and the data it is held against.

    Arguments:
        model: The trained model, on ``device``, in evaluation mode.
        objective: The objective it was trained with, in evaluation mode.
        estimators: The gradient estimators that suit this combination, by name.
        data: The data set; ``split`` names the part that is measured.
        seed: The run's seed, from which `noise` derives every random number.
        provides: Each ``kind.capability`` of this combination.
        device: Where the model is.
        facts: What is on record of its training: ``train_seconds``, ``epochs``, ``parameters``, ...
        tell: Is told the share of an evaluation that is done, from 0 to 1; `followed` tells it.
        encode: How q(z|x) is found of a model and x; evaluators ask `q`.
    """

    model: LatentVariableModel
    objective: Objective
    estimators: Mapping[str, Estimator]
    data: Data
    seed: int
    split: str = "test"
    provides: frozenset[str] = frozenset()
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    facts: Mapping[str, Any] = field(default_factory=dict)
    tell: Callable[[float], None] = lambda share: None
    encode: Callable[[LatentVariableModel, Tensor], Distribution] = lambda model, x: model.q(x)

    def __repr__(self) -> str:
        return f"Subject({self.size} data of '{self.split}', seed={self.seed})"

    @property
    def x(self) -> Tensor:
        """The measured split, ``(N, *x)``."""
        return self.values(self.split)

    @property
    def labels(self) -> Tensor | None:
        """The measured split's labels, ``(N,)``."""
        return self.part(self.split).labels

    @property
    def factors(self) -> Tensor | None:
        """The measured split's true factors, ``(N, F)``."""
        return self.part(self.split).factors

    @property
    def size(self) -> int:
        """How many data the measured split has."""
        return len(self.part(self.split))

    def part(self, split: str) -> Split:
        """A split by name, as it is stored; `values` has what the model takes of it."""
        return self.data.splits[split]

    def values(self, split: str, rows: Tensor | None = None) -> Tensor:
        """A split's values as the model takes them, or some rows of them."""
        part = self.part(split)
        return part.decode(part.x if rows is None else part.x[rows.to(part.x.device)]).to(self.device)

    @property
    def order(self) -> Tensor:
        """The numbers of the measured split's data, ``(N,)``, in a random order:
        of some data only all instruments take the first.
        """
        return self.noise("some data").uniform((self.size,)).argsort()

    def q(self, x: Tensor) -> Distribution:
        """q(z|x) of data ``(B, *x)``.

        Where it is searched for, that of a datum of the measured split is found once for all evaluators of a
        run, and carries no gradients.
        """
        return self.encode(self.model, x)

    def batches(self, size: int) -> Iterator[Tensor]:
        """The measured split in chunks of at most ``size``; sequences as long as the longest of each."""
        trim = self.data.in_steps(self.model.prior.space)
        for number, x in enumerate(self.part(self.split).batches(size, trim=trim)):
            self.tell(number * size / self.size)
            yield x.to(self.device)

    def followed(self, items: Sequence[T]) -> Iterator[T]:
        """The items one by one, and on the way it is told how many of them are done."""
        for number, item in enumerate(items):
            self.tell(number / len(items))
            yield item

    def stage(self, start: float, end: float) -> Subject:
        """The same for a part of an evaluation, from one share of it to another."""
        return replace(self, tell=lambda share: self.tell(start + (end - start) * share))

    def noise(self, *words: object) -> Stream:
        """A stream of noise for one purpose, the same at each call."""
        return Stream.seeded(self.seed, "evaluate", *words, device=self.device)


@dataclass(frozen=True)
class Workload:
    """What the cost of an evaluation depends on:
    objective, estimators, what the combination provides, how many data.
    """

    objective: Objective
    estimators: Mapping[str, Estimator]
    sizes: Mapping[str, int]
    split: str = "test"
    provides: frozenset[str] = frozenset()

    @property
    def size(self) -> int:
        """The number of data of the measured split."""
        return self.sizes[self.split]


class Evaluator(Component, ABC):
    """A measuring instrument; its options are the keyword-only arguments of ``__init__``."""

    metrics: ClassVar[Mapping[str, Metric]]
    board: ClassVar[Sequence[str]] = ()
    """The figures that boards show unless a suite says otherwise, in order, at most one of each metric.

    By default it is the first metric with a better direction.
    """
    precision: Precision = "highest"
    """How exact the decoder's matrix products are while it measures.

    An evaluator that decodes much has it among its options.
    """

    @abstractmethod
    def evaluate(self, subject: Subject) -> Iterable[Measurement]:
        """The measurements; raises `Refusal` where the instrument does not apply to this subject."""

    def evaluations(self, work: Workload) -> int | None:
        """How often the decoder will be evaluated, once for each pair of z and x.

        ``None`` where that is not known.
        """
        return None

    def densities(self, work: Workload) -> int:
        """How often q(z|x) will be evaluated at a z that was not drawn from it,
        once for each pair of z and x.
        """
        return 0

    def gradients(self, work: Workload) -> int:
        """How often the gradient of a training step will be taken, once for each datum, beside
        `evaluations`.
        """
        return 0

    def fits(self, work: Workload) -> int:
        """How many points clusterings and classifiers will be fitted to, once for each fit."""
        return 0
