"""A step that is recorded once and replayed since, so that no device waits for Python."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Protocol, final

import torch
from torch import Tensor

from lvmbench.training.tape import Pool, Tape

if TYPE_CHECKING:
    from torch.cuda import _POOL_HANDLE

WARM = 3
"""So many calls are as written before one is recorded:
they make what is made once, such as an optimiser's state.
"""
WARM_ON_CPU = 20
"""As many as recording costs: there is something to be gained from the next as many on."""

Function = Callable[..., Tensor]

logger = logging.getLogger(__name__)


class Graph(Protocol):
    """What can record the work of a call, and do it again on the same memory."""

    missed: ClassVar[int]
    """The level at which it is logged that work cannot be recorded."""

    def prepare(self, call: Callable[[], Tensor]) -> Tensor:
        """Do the work of a call that comes before the recorded one."""

    def record(self, call: Callable[[], Tensor]) -> Tensor:
        """Record the work of a call without doing it; where its result will be.

        Raises `RuntimeError` for work that cannot be recorded.
        """

    def replay(self) -> None:
        """Do the recorded work."""


@final
class CudaGraph:
    """A CUDA graph.

    Arguments:
        stream: What it is recorded on.
        pool: Its memory, shared with graphs that are never replayed at the same time.
    """

    missed: ClassVar = logging.WARNING

    def __init__(self, stream: torch.cuda.Stream, pool: _POOL_HANDLE) -> None:
        self._stream, self._pool, self._graph = stream, pool, torch.cuda.CUDAGraph()

    def prepare(self, call: Callable[[], Tensor]) -> Tensor:
        # on the recording stream: what a backward pass keeps belongs to the stream of its first use
        current = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            result = call()
        current.wait_stream(self._stream)
        return result

    def record(self, call: Callable[[], Tensor]) -> Tensor:
        with torch.cuda.graph(self._graph, self._pool, self._stream, capture_error_mode="thread_local"):
            return call()

    def replay(self) -> None:
        self._graph.replay()


@final
class Replayed:
    """A function of tensors that is recorded after a few calls, and replayed since.

    A small step is some hundred kernels of microseconds each: Python takes as long again to call them on a
    processor, and ten times as long to launch them on a GPU. A replay does to the same memory what the
    recorded call did: the function draws no random numbers, reads and writes tensors that live on in place,
    gets inputs of the same shapes in every call, and decides nothing by the values of tensors, which is what
    contracts ask of components. Where it cannot be recorded all the same, it runs as written, and that is
    logged.

    Its results are memory too: the next call overwrites them.

    Arguments:
        function: The function.
        graph: What records and replays it.
        warm: After how many calls it is recorded.
    """

    def __init__(self, function: Function, graph: Graph, warm: int = WARM) -> None:
        self._function, self._graph, self._warm = function, graph, warm
        self._calls = 0
        self._inputs: list[Tensor] = []
        self._result: Tensor | None = None

    def __call__(self, *inputs: Tensor | float) -> Tensor:
        """The function's result."""
        self._calls += 1
        if self._calls <= self._warm:
            return self._graph.prepare(lambda: self._function(*inputs))
        if self._calls == self._warm + 1:
            self._record(*inputs)
        if self._result is None:
            return self._function(*inputs)
        for held, given in zip(self._inputs, inputs, strict=True):
            held.copy_(given) if isinstance(given, Tensor) else held.fill_(given)
        self._graph.replay()
        return self._result

    def _record(self, *inputs: Tensor | float) -> None:
        device = next(given.device for given in inputs if isinstance(given, Tensor))
        self._inputs = [torch.as_tensor(given, device=device).detach().clone() for given in inputs]
        try:
            self._result = self._graph.record(lambda: self._function(*self._inputs))
        except RuntimeError as error:
            logger.log(self._graph.missed, "a step cannot be replayed, and runs as written: %s", error)


def faster(device: torch.device, warm: int | None = None) -> Callable[[Function], Function]:
    """What makes a function faster on a device: it is recorded after some calls, ``warm`` ones if that is
    given, as a CUDA graph or as a `Tape`.
    """
    if device.type == "cuda":
        stream, handle = torch.cuda.Stream(device), torch.cuda.graph_pool_handle()
        return lambda function: Replayed(function, CudaGraph(stream, handle), warm or WARM)
    if device.type == "cpu":
        pool = Pool()
        return lambda function: Replayed(function, Tape(pool), warm or WARM_ON_CPU)
    return as_written


def as_written(function: Function) -> Function:
    """The function itself."""
    return function
